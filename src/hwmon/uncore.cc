#include "hwmon/uncore.h"

#include <dirent.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdlib>
#include <memory>
#include <string_view>

#include "hwmon/files.h"

SEER_BEGIN_NAMESPACE
namespace internal {
namespace {

constexpr std::size_t kMostText = 256;

std::string FirstLineOf(const std::string& path) {
  std::string text;
  (void)ReadFront(path, kMostText, &text);
  return text.substr(0, text.find('\n'));
}

// A number in the base that it says it has; false where it is none.
bool NumberIn(std::string_view text, std::uint64_t* value) {
  const bool hex = text.substr(0, 2) == "0x";
  if (hex) text.remove_prefix(2);
  const auto [end, error] =
      std::from_chars(text.data(), text.data() + text.size(), *value, hex ? 16 : 10);
  return error == std::errc() && end == text.data() + text.size();
}

// "0,28" or "0-3": the first of each part.
std::vector<int> ProcessorsIn(std::string_view mask) {
  std::vector<int> processors;
  constexpr std::size_t kMostSockets = 16;
  while (!mask.empty() && processors.size() < kMostSockets) {
    const std::size_t end = std::min(mask.find(','), mask.size());
    std::uint64_t first = 0;
    const std::string_view part = mask.substr(0, std::min(end, mask.find('-')));
    constexpr std::uint64_t kMost = 1u << 20;
    if (NumberIn(part, &first) && first < kMost) processors.push_back(static_cast<int>(first));
    mask.remove_prefix(std::min(mask.size(), end + 1));
  }
  return processors;
}

}  // namespace

std::uint64_t UncoreConfig(std::string_view event, const std::string& format_directory) {
  std::uint64_t config = 0;
  while (!event.empty()) {
    const std::size_t end = std::min(event.find(','), event.size());
    const std::string_view field = event.substr(0, end);
    event.remove_prefix(std::min(event.size(), end + 1));
    const std::size_t equals = field.find('=');
    std::uint64_t value = 1;  // a flag
    if (equals != std::string_view::npos && !NumberIn(field.substr(equals + 1), &value)) return 0;
    const std::string_view name = field.substr(0, equals);
    if (name.empty() || name.find('/') != std::string_view::npos) return 0;
    const std::string format = FirstLineOf(format_directory + "/" + std::string(name));
    constexpr std::string_view kPrefix = "config:";
    if (format.compare(0, kPrefix.size(), kPrefix) != 0) return 0;
    std::uint64_t shift = 0;
    const std::string_view bits = std::string_view(format).substr(kPrefix.size());
    if (!NumberIn(bits.substr(0, bits.find('-')), &shift) || shift > 63) return 0;
    config |= value << shift;
  }
  return config;
}

std::vector<UncoreEvent> FindUncoreEvents(const std::string& root) {
  std::vector<UncoreEvent> events;
  const std::string devices = root + "/sys/bus/event_source/devices";
  struct Close {
    void operator()(DIR* directory) const { ::closedir(directory); }
  };
  const std::unique_ptr<DIR, Close> directory(::opendir(devices.c_str()));
  if (directory == nullptr) return events;
  constexpr int kMaxEntries = 4096;
  for (int i = 0; i < kMaxEntries; ++i) {
    const dirent* const entry = ::readdir(directory.get());
    if (entry == nullptr) break;
    const std::string name = entry->d_name, at = devices + "/" + name;
    const bool intel = name.compare(0, 10, "uncore_imc") == 0;
    const bool amd = name.compare(0, 7, "amd_umc") == 0;
    std::uint64_t type = 0;
    if ((!intel && !amd) || !NumberIn(FirstLineOf(at + "/type"), &type)) continue;
    std::vector<UncoreEvent> wanted;
    // Of servers; and of clients, whose counters run by themselves.
    for (const char* event : {"cas_count_read", "cas_count_write", "data_read", "data_write"}) {
      const std::string file = at + "/events/" + event;
      const std::string text = FirstLineOf(file);
      UncoreEvent found;
      if (text.empty() || (found.config = UncoreConfig(text, at + "/format")) == 0) continue;
      const double scale = std::strtod(FirstLineOf(file + ".scale").c_str(), nullptr);
      const bool mebibytes = FirstLineOf(file + ".unit") == "MiB";
      constexpr double kMost = 4096;  // of bytes in one count
      const double bytes = scale * (mebibytes ? 1048576.0 : 1);
      if (bytes > 0 && bytes <= kMost) found.bytes = bytes;
      wanted.push_back(found);
    }
    if (amd && wanted.empty()) {
      // CAS commands, reads and writes, 64 bytes each: umc_cas_cmd.rd and .wr of perf's
      // arch/x86/amdzen4/memory-controller.json. The kernel lists no events of them,
      // but where their fields stand: event in bits 0 to 7, rdwrmask in 8 and 9.
      for (const char* event : {"event=0x0a,rdwrmask=0x1", "event=0x0a,rdwrmask=0x2"}) {
        UncoreEvent found;
        found.config = UncoreConfig(event, at + "/format");
        if (found.config != 0) wanted.push_back(found);
      }
    }
    for (const int cpu : ProcessorsIn(FirstLineOf(at + "/cpumask"))) {
      for (UncoreEvent event : wanted) {
        if (events.size() == kMostUncoreEvents) return events;
        event.type = static_cast<std::uint32_t>(type);
        event.cpu = cpu;
        events.push_back(event);
      }
    }
  }
  return events;
}

UncoreCounters::UncoreCounters(const std::string& root, PerfEvents* events) : events_(*events) {
  for (const UncoreEvent& event : FindUncoreEvents(root)) {
    CounterRequest request;
    request.event.type = event.type;
    request.event.config = event.config;
    request.cpu = event.cpu;
    request.uncore = true;
    Counter counter;
    counter.bytes = event.bytes;
    counter.file = events_.Open(request);
    if (counter.file < 0) {
      // All or nothing: half of the controllers would look like half of the traffic.
      reason_ = ReasonOfErrno(-counter.file);
      for (const Counter& open : counters_) events_.Close(open.file);
      counters_.clear();
      return;
    }
    counters_.push_back(counter);
  }
  if (!counters_.empty()) reason_ = Reason::kNone;
}

UncoreCounters::~UncoreCounters() {
  for (const Counter& counter : counters_) events_.Close(counter.file);
}

Reading UncoreCounters::Bytes() {
  if (reason_ != Reason::kNone) return Reading::Not(reason_);
  Reason wrong = Reason::kNone;
  for (Counter& counter : counters_) {
    std::array<std::uint64_t, 4> words = {};  // how many, enabled, running, value
    const std::ptrdiff_t got = events_.Read(counter.file, absl::MakeSpan(words));
    if (got < 4 || words[0] != 1) {
      wrong = got < 0 ? ReasonOfErrno(static_cast<int>(-got)) : Reason::kMalformed;
      continue;
    }
    if (words[1] < counter.enabled || words[2] < counter.running || words[3] < counter.value) {
      wrong = Reason::kImplausible;
    } else {
      const auto enabled = static_cast<double>(words[1] - counter.enabled);
      const auto running = static_cast<double>(words[2] - counter.running);
      if (enabled > 0 && running <= 0) wrong = Reason::kMultiplexed;
      const double scale = running > 0 ? std::max(1.0, enabled / running) : 0;
      // Controllers give a few GB/s to tens of them; a wild count does not poison the rest.
      constexpr double kMostBytesPerNs = 10'000;
      const double bytes = static_cast<double>(words[3] - counter.value) * counter.bytes * scale;
      if (bytes > kMostBytesPerNs * std::max(1.0, enabled)) {
        wrong = Reason::kImplausible;
      } else {
        total_ += bytes;
      }
    }
    counter.enabled = words[1];
    counter.running = words[2];
    counter.value = words[3];
  }
  return wrong == Reason::kNone ? Reading::Of(static_cast<std::uint64_t>(total_))
                                : Reading::Not(wrong);
}

}  // namespace internal
SEER_END_NAMESPACE
