// Flow: HwReading -> [StallBaseline] -> attribution.h
//
// How long a request of one instance waits for each resource when all is well. A slow sampler feeds
// it, once in ten seconds say, for every instance of a node; when the instance is named as culprit
// later, attribution.h holds the new readings against it.
//
//   seer::StallBaseline baseline;                       // one for each instance; kept over
//   restarts if (no_violation) baseline.Learn(reading);          // reading.requests filled in
//   file.Write(baseline.Encode());
//
// Remembered are the last kHistory readings with enough requests, so that it follows an application
// that changes slowly; median and spread are over them, so that a bad minute does not matter. A
// reading that says of a resource that it was not observed teaches nothing about that resource.
//
// Threads: a plain value.
// Cost:    Learn() 0.1 us, no allocation; a look 1 us for each resource; 4 kB for each instance.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "seer/core/config.h"
#include "seer/core/hw_reading.h"

SEER_BEGIN_NAMESPACE

// One number when all is well.
struct HealthyValue {
  double median = 0;
  double spread = 0;          // median distance from the median
  std::uint32_t samples = 0;  // 0: not known
  bool known() const { return samples > 0; }
};

class StallBaseline {
 public:
  static constexpr std::size_t kHistory = 64;
  // Fewer requests in a reading tell too little about one.
  static constexpr std::uint64_t kMinRequests = 5;

  // Of a time in which nobody's target was missed. False where nothing was learnt: too few
  // requests, no interval, or no usable signal.
  bool Learn(const HwReading& reading) noexcept;

  HealthyValue StallUs(Resource resource) const noexcept;  // for one request
  // Processor time for one request, in microseconds of all that the instance may use.
  HealthyValue BusyUs() const noexcept;
  HealthyValue RequestsPerSecond() const noexcept;
  std::uint64_t learnt() const { return learnt_; }  // readings, ever

  // Bytes for a file, and back. InvalidArgument for bytes that are none of ours, DataLoss for
  // damaged ones.
  std::string Encode() const;
  static absl::StatusOr<StallBaseline> Decode(std::string_view bytes);

  friend bool operator==(const StallBaseline& a, const StallBaseline& b);
  friend bool operator!=(const StallBaseline& a, const StallBaseline& b) { return !(a == b); }

 private:
  struct History {
    std::array<float, kHistory> values = {};
    std::uint32_t count = 0;  // of values, at most kHistory
    std::uint32_t next = 0;   // where the next one goes
    void Add(double value) noexcept;
    HealthyValue Summary() const noexcept;
  };
  static constexpr std::size_t kBusy = kResources;
  static constexpr std::size_t kRate = kResources + 1;
  static constexpr std::size_t kSeries = kResources + 2;

  std::array<History, kSeries> series_;
  std::uint64_t learnt_ = 0;
};

// The processor time of one request as a reading tells it, in the unit of BusyUs(); below 0 where
// it does not.
double BusyUsPerRequest(const HwReading& reading) noexcept;

SEER_END_NAMESPACE
