#include "seer/hwmon/stall_baseline.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "seer/core/internal/crc32c.h"

SEER_BEGIN_NAMESPACE
namespace {

// magic, version, CRC-32C of what follows; then learnt, and for each series its count and values,
// the oldest first. Little-endian, see config.h.
constexpr char kMagic[4] = {'S', 'e', 'S', 'b'};
constexpr std::uint32_t kVersion = 1;
constexpr std::size_t kHeaderBytes = 12;

template <typename T>
void Put(T value, std::string* bytes) {
  char raw[sizeof(T)];
  std::memcpy(raw, &value, sizeof(T));
  bytes->append(raw, sizeof(T));
}

template <typename T>
bool Take(std::string_view* bytes, T* value) {
  if (bytes->size() < sizeof(T)) return false;
  std::memcpy(value, bytes->data(), sizeof(T));
  bytes->remove_prefix(sizeof(T));
  return true;
}

// Also under -ffast-math; no value of ours is as large.
bool IsSane(float value) {
  std::uint32_t bits;
  std::memcpy(&bits, &value, sizeof(bits));
  return (bits & 0x7f800000u) != 0x7f800000u && (bits & 0x80000000u) == 0;
}

double MedianOf(float* begin, std::size_t count) {
  float* const middle = begin + count / 2;
  std::nth_element(begin, middle, begin + count);
  if (count % 2 != 0) return static_cast<double>(*middle);
  const float below = *std::max_element(begin, middle);
  return (static_cast<double>(below) + static_cast<double>(*middle)) / 2;
}

}  // namespace

double BusyUsPerRequest(const HwReading& reading) noexcept {
  const HwSignal& use = reading.instance[Resource::kCpu].utilisation;
  if (!use.usable() || reading.requests == 0 || reading.interval_ns <= 0) return -1;
  return use.value * static_cast<double>(reading.interval_ns) / 1000 /
         static_cast<double>(reading.requests);
}

void StallBaseline::History::Add(double value) noexcept {
  const auto v = static_cast<float>(value);
  if (!IsSane(v)) return;
  values[next] = v;
  next = (next + 1) % kHistory;
  count = std::min<std::uint32_t>(count + 1, kHistory);
}

HealthyValue StallBaseline::History::Summary() const noexcept {
  HealthyValue result;
  result.samples = count;
  if (count == 0) return result;
  std::array<float, kHistory> sorted = values;
  result.median = MedianOf(sorted.data(), count);
  for (std::size_t i = 0; i < count; ++i) {
    sorted[i] = std::abs(sorted[i] - static_cast<float>(result.median));
  }
  result.spread = MedianOf(sorted.data(), count);
  return result;
}

bool StallBaseline::Learn(const HwReading& reading) noexcept {
  if (reading.requests < kMinRequests || reading.interval_ns <= 0) return false;
  const auto requests = static_cast<double>(reading.requests);
  bool any = false;
  for (Resource resource : kAllResources) {
    const HwSignal& delay = reading.instance[resource].delay_us;
    if (!delay.usable()) continue;
    series_[static_cast<std::size_t>(resource)].Add(delay.value / requests);
    any = true;
  }
  if (const double busy = BusyUsPerRequest(reading); busy >= 0) {
    series_[kBusy].Add(busy);
    any = true;
  }
  if (!any) return false;
  series_[kRate].Add(requests * 1e9 / static_cast<double>(reading.interval_ns));
  ++learnt_;
  return true;
}

HealthyValue StallBaseline::StallUs(Resource resource) const noexcept {
  return series_[static_cast<std::size_t>(resource)].Summary();
}
HealthyValue StallBaseline::BusyUs() const noexcept { return series_[kBusy].Summary(); }
HealthyValue StallBaseline::RequestsPerSecond() const noexcept { return series_[kRate].Summary(); }

std::string StallBaseline::Encode() const {
  std::string body;
  Put(learnt_, &body);
  Put(static_cast<std::uint32_t>(kSeries), &body);
  for (const History& history : series_) {
    Put(history.count, &body);
    for (std::size_t i = 0; i < history.count; ++i) {
      Put(history.values[(history.next + kHistory - history.count + i) % kHistory], &body);
    }
  }
  std::string bytes(kMagic, sizeof(kMagic));
  Put(kVersion, &bytes);
  Put(internal::Crc32c(body), &bytes);
  return bytes + body;
}

absl::StatusOr<StallBaseline> StallBaseline::Decode(std::string_view bytes) {
  if (bytes.size() < kHeaderBytes || std::memcmp(bytes.data(), kMagic, sizeof(kMagic)) != 0) {
    return absl::InvalidArgumentError(
        "baseline: not the bytes of a StallBaseline: learn a new one");
  }
  bytes.remove_prefix(sizeof(kMagic));
  std::uint32_t version = 0, crc = 0;
  Take(&bytes, &version);
  Take(&bytes, &crc);
  if (version != kVersion) {
    return absl::InvalidArgumentError("baseline.version: another one's: learn a new one");
  }
  if (internal::Crc32c(bytes) != crc) {
    return absl::DataLossError("baseline: damaged (checksum): learn a new one");
  }
  const auto malformed = [] {
    return absl::InvalidArgumentError("baseline: contents contradict each other: learn a new one");
  };
  StallBaseline baseline;
  std::uint32_t series = 0;
  if (!Take(&bytes, &baseline.learnt_) || !Take(&bytes, &series) || series != kSeries) {
    return malformed();
  }
  for (History& history : baseline.series_) {
    std::uint32_t count = 0;
    if (!Take(&bytes, &count) || count > kHistory) return malformed();
    for (std::uint32_t i = 0; i < count; ++i) {
      float value = 0;
      if (!Take(&bytes, &value) || !IsSane(value)) return malformed();
      history.Add(static_cast<double>(value));
    }
  }
  if (!bytes.empty()) return malformed();
  return baseline;
}

bool operator==(const StallBaseline& a, const StallBaseline& b) { return a.Encode() == b.Encode(); }

SEER_END_NAMESPACE
