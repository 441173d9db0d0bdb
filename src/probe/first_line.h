// Files that hold one line, or one number.
#pragma once

#include <array>
#include <string_view>

#include "absl/types/span.h"
#include "probe/text.h"
#include "seer/core/config.h"
#include "seer/probe/internal/proc_file.h"
#include "seer/probe/reading.h"

SEER_BEGIN_NAMESPACE
namespace internal {

// kNone and the first line, which lies in `buffer`; or why there is none.
inline Reason FirstLine(const ProcFile& file, absl::Span<char> buffer, std::string_view* line) {
  LineReader lines(file, buffer);
  if (lines.Next(line)) return Reason::kNone;
  return lines.reason() == Reason::kNone ? Reason::kMalformed : lines.reason();
}

// The number that is alone in its file.
inline Reading ReadNumber(const ProcFile& file) {
  std::array<char, 64> buffer;
  std::string_view line;
  if (const Reason reason = FirstLine(file, absl::MakeSpan(buffer), &line);
      reason != Reason::kNone) {
    return Reading::Not(reason);
  }
  const auto number = ParseNumber(line);
  return number.has_value() ? Reading::Of(*number) : Reading::Not(Reason::kMalformed);
}

}  // namespace internal
SEER_END_NAMESPACE
