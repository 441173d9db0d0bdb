#include "seer/probe/softnet.h"

#include <array>
#include <cstddef>
#include <optional>
#include <string_view>

#include "probe/text.h"

SEER_BEGIN_NAMESPACE
namespace {

// Columns of /proc/net/softnet_stat, hexadecimal. The line grew at its end only.
constexpr std::size_t kProcessed = 0;
constexpr std::size_t kDropped = 1;
constexpr std::size_t kSqueezed = 2;
constexpr std::size_t kBacklog = 11;  // Linux 5.10

constexpr SoftnetDepths Nothing(Reason reason) {
  return {Reading::Not(reason), Reading::Not(reason), Reading::Not(reason), Reading::Not(reason)};
}

}  // namespace

SoftnetProbe::SoftnetProbe(const std::string& root) : file_(root + "/proc/net/softnet_stat") {}

SoftnetDepths SoftnetProbe::Sample() noexcept {
  std::array<char, 4096> buffer;
  internal::LineReader lines(file_, absl::MakeSpan(buffer));
  SoftnetDepths sum = Nothing(Reason::kMalformed);
  bool first = true;
  std::string_view line;
  while (lines.Next(&line)) {
    std::array<std::optional<std::uint32_t>, kBacklog + 1> column;
    std::size_t columns = 0;
    for (; columns < column.size(); ++columns) {
      const std::string_view word = internal::TakeWord(&line);
      if (word.empty()) break;
      column[columns] = internal::ParseNumber<std::uint32_t>(word, 16);
      if (!column[columns].has_value()) return Nothing(Reason::kMalformed);
    }
    if (columns <= kSqueezed) return Nothing(Reason::kMalformed);
    if (first) {
      const Reading zero = Reading::Of(0);
      sum = {zero, zero, zero, zero};
      first = false;
    }
    const auto add = [&](Reading* to, std::size_t i, Reason otherwise) {
      *to = Sum(*to, column[i].has_value() ? Reading::Of(*column[i]) : Reading::Not(otherwise));
    };
    add(&sum.backlog_packets, kBacklog, Reason::kNotSupported);
    add(&sum.processed_packets, kProcessed, Reason::kMalformed);
    add(&sum.dropped_packets, kDropped, Reason::kMalformed);
    add(&sum.squeezed, kSqueezed, Reason::kMalformed);
  }
  return lines.reason() == Reason::kNone ? sum : Nothing(lines.reason());
}

SEER_END_NAMESPACE
