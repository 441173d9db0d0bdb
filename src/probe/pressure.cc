#include "seer/probe/pressure.h"

#include <array>
#include <optional>
#include <string_view>

#include "probe/text.h"

SEER_BEGIN_NAMESPACE
namespace {

using internal::LineReader;
using internal::ProcFile;

// "some avg10=0.00 avg60=0.60 avg300=0.40 total=4049477": the averages are of no use to us.
Reading TotalOf(std::string_view line) {
  constexpr std::string_view kTotal = "total=";
  for (;;) {  // each turn takes a word off the line
    const std::string_view word = internal::TakeWord(&line);
    if (word.empty()) return Reading::Not(Reason::kMalformed);
    if (!internal::StartsWith(word, kTotal)) continue;
    const auto total = internal::ParseNumber(word.substr(kTotal.size()));
    return total.has_value() ? Reading::Of(*total) : Reading::Not(Reason::kMalformed);
  }
}

Pressure Read(const ProcFile& file) {
  std::array<char, 512> buffer;
  LineReader lines(file, absl::MakeSpan(buffer));
  Pressure pressure = {Reading::Not(Reason::kMalformed), Reading::Not(Reason::kNotSupported)};
  std::string_view line;
  while (lines.Next(&line)) {
    const std::string_view kind = internal::TakeWord(&line);
    if (kind == "some") {
      pressure.some_us = TotalOf(line);
    } else if (kind == "full") {
      pressure.full_us = TotalOf(line);
      break;  // the last line: saves the look for the end of the file
    }
  }
  if (lines.reason() == Reason::kNone) return pressure;
  return {Reading::Not(lines.reason()), Reading::Not(lines.reason())};
}

}  // namespace

PressureProbe PressureProbe::OfHost(const std::string& root) {
  PressureProbe probe;
  probe.cpu_ = ProcFile(root + "/proc/pressure/cpu");
  probe.memory_ = ProcFile(root + "/proc/pressure/memory");
  probe.io_ = ProcFile(root + "/proc/pressure/io");
  return probe;
}

PressureProbe PressureProbe::OfCgroup(const std::string& directory) {
  PressureProbe probe;
  if (directory.empty()) return probe;
  probe.cpu_ = ProcFile(directory + "/cpu.pressure");
  probe.memory_ = ProcFile(directory + "/memory.pressure");
  probe.io_ = ProcFile(directory + "/io.pressure");
  return probe;
}

Pressures PressureProbe::Sample() noexcept { return {Read(cpu_), Read(memory_), Read(io_)}; }
Pressures PressureProbe::SampleMemoryAndIo() noexcept {
  return {Pressure(), Read(memory_), Read(io_)};
}

SEER_END_NAMESPACE
