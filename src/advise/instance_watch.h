// What a control loop knows of each instance: its healthy baseline, and how many requests it has
// handled since it was last read.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "seer/advise/control_loop.h"
#include "seer/core/config.h"
#include "seer/core/hw_reading.h"
#include "seer/hwmon/stall_baseline.h"
#include "seer/predict/predictor.h"

SEER_BEGIN_NAMESPACE
namespace internal {

class InstanceWatch {
 public:
  // Both outlive it; the predictor may be null.
  InstanceWatch(const ControlLoopOptions* options, Predictor* predictor)
      : options_(options), predictor_(predictor) {}

  // The ids mean something else from now on.
  void Reset();
  // Adds up what the predictor's newest ticks say was handled.
  void Count(const Topology& topology);
  // Reads an instance, and fills in its requests since it was last read. `fresh` is false where
  // that was longer ago than `max_age_ns`: then the reading only begins an interval.
  // Again at the same time: the same reading again.
  absl::Status Read(const Topology& topology, InstanceId instance, std::int64_t steady_ns,
                    std::int64_t max_age_ns, HwReading* reading, bool* fresh);
  // Of an instance that is well.
  void Learn(InstanceId instance, const HwReading& reading);

  const StallBaseline* baseline(InstanceId instance) const;
  void SetBaseline(InstanceId instance, const StallBaseline& baseline);

  // The next instance whose turn it is to be sampled; none where there is none.
  InstanceId Next(const Topology& topology, std::int64_t steady_ns);

 private:
  struct Row {
    StallBaseline baseline;
    std::uint64_t handled = 0;  // when it was last read
    std::int64_t read_ns = 0;   // steady
    bool was_read = false;
    bool was_fresh = false;
    HwReading last;  // asked for again in the same tick, it is the same
  };
  Row& At(InstanceId instance);
  std::optional<std::uint64_t> Handled(const Topology& topology, InstanceId instance) const;

  const ControlLoopOptions* const options_;
  Predictor* const predictor_;
  std::vector<std::unique_ptr<Row>> rows_;  // by InstanceId
  std::vector<double> handled_;             // by ServiceId, since the numbering began
  std::vector<std::uint32_t> instances_;    // by ServiceId, live ones
  std::uint64_t counted_version_ = 0;
  bool counted_ = false;
  std::vector<ClusterTick> ticks_;
  Tick last_tick_ = 0;
  std::uint32_t next_ = 0;
  double due_ = 0;  // samples that are due
  std::int64_t due_since_ns_ = 0;
};

}  // namespace internal
SEER_END_NAMESPACE
