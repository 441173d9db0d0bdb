// What one predictor said of one run, in six bytes a tick and class, and as a file: so that an
// evaluation which was stopped goes on where it was.
//
//   auto traces = TraceRun(files.ticks, horizons_ms, predictors);
//   traces->front().Save("self-depth-z/test-17.trace");
//   RunToScore{nullptr, &names, &truth, trace.Lines(), trace.culprits()}      // what is scored
//
// A file is of the machine that wrote it: it is a cache, not a format.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "benchmarks/evaluation/rows.h"
#include "seer/predict/tick_predictor.h"

namespace seer::evaluation {

class Trace {
 public:
  struct Cell {
    float p = 0;
    bool known = false;
    bool alarm = false;
    std::uint32_t culprit = 0;  // in culprits()
  };

  Trace() = default;
  Trace(std::vector<std::string> classes, std::vector<std::string> culprits)
      : classes_(std::move(classes)), culprits_(std::move(culprits)) {}
  // A cell for each class. Ticks in order.
  void Add(std::int64_t time_ms, absl::Span<const Cell> cells);

  // Ticks in order, all of one topology and period.
  void Observe(const Forecast& forecast, std::int64_t horizon_ms, const Topology& topology);

  std::size_t ticks() const { return times_ms_.size(); }
  const std::vector<std::string>& classes() const { return classes_; }  // "app/class"
  const std::vector<std::string>& culprits() const { return culprits_; }
  std::int64_t time_ms(std::size_t tick) const { return times_ms_[tick]; }
  Cell at(std::size_t tick, std::size_t request_class) const;

  // What was said of each class, culprits as in culprits().
  std::vector<ClassLines> Lines() const;
  void AddTo(std::string_view run, std::int64_t horizon_ms, Recording* recording) const;

  // Written to a file beside it, and renamed. Load: DataLoss where it is not whole.
  absl::Status Save(const std::string& path) const;
  static absl::StatusOr<Trace> Load(const std::string& path);

 private:
  static constexpr std::uint16_t kAlarm = 0x8000;

  std::vector<std::string> classes_, culprits_;  // culprits: none, "load", then services by id
  std::vector<std::int64_t> times_ms_;
  std::vector<float> p_;              // ticks x classes; NaN: nothing was said
  std::vector<std::uint16_t> blame_;  // so too: index in culprits_, and kAlarm
};

// Every tick of a recorded run through the predictors, from anew; the run is read once. Kept is the
// probability at each one's horizon.
absl::StatusOr<std::vector<Trace>> TraceRun(
    const std::string& ticks, absl::Span<const std::int64_t> horizons_ms,
    absl::Span<const std::unique_ptr<TickPredictor>> predictors);

}  // namespace seer::evaluation
