// Flow: Checkpoint, ClusterTick -> [MakeModelPredictor] -> Forecast
//
// A trained network (nn/) as a predictor: the ticks become the inputs it was trained with, and its
// outputs become forecasts.
//
//   auto model = seer::MakeModelPredictor(*seer::LoadCheckpoint("shop.seer"));    // StatusOr
//   auto predictor = seer::Predictor::Create(*std::move(model));
//
// The checkpoint needs the names of its services and a section ModelInputs::kSection; `seer train`
// writes both. A section ModelCalibration::kSection tells what its probabilities are worth.
//
// How outputs become a row of a class:
//   initiators  those services that a request of the class can wait for (as rivals.h), and "load",
//               by their share of what is not "no violation"
//   horizons    where the network has hazards for the class, they. Else the probability of its
//               initiators is one for the horizon it was trained for, and the others follow as if
//               violations came at a constant rate.
//   alarm       the calibrated probability at the alarm horizon against the threshold (alarm.h)
//   evidence    while there is alarm: the depths of the most likely initiators that stand furthest
//               from usual. Together they weigh as much as the probability falls when all that is
//               known of these services is masked.
//
// Services. The model's order stays what it was in training. Services that it does not know have no
// say, those that are gone are zeros; a topology with none of its services is an error. Until it
// has seen as many ticks as its window has, it says nothing; of ticks that were left out it sees
// zeros.
//
// Threads: one at a time. Cost: one run of the network per tick (nn/), by sliding where the backend
// can; one more while there is alarm. No allocation from one tick to the next.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "seer/core/config.h"
#include "seer/nn/checkpoint.h"
#include "seer/predict/alarm.h"
#include "seer/predict/tick_predictor.h"

SEER_BEGIN_NAMESPACE

// What a network's probabilities are worth, as fitted on validation runs. A probability with
// log-odds z counts as one with log-odds slope * z + shift: slope is 1 / temperature, and shift
// undoes the weights that rare windows had in training.
struct ModelCalibration {
  static constexpr char kSection[] = "seer.calibration";

  double slope = 1;  // above 0
  double shift = 0;
  std::int64_t alarm_horizon_ns = 300'000'000;
  double threshold = 0.5;  // of the calibrated probability, between 0 and 1
  AlarmOptions alarm;

  double Apply(double probability) const;

  // InvalidArgument names the field.
  [[nodiscard]] absl::Status Validate() const;
  friend bool operator==(const ModelCalibration& a, const ModelCalibration& b) {
    return a.slope == b.slope && a.shift == b.shift && a.alarm_horizon_ns == b.alarm_horizon_ns &&
           a.threshold == b.threshold && a.alarm.raise_ns == b.alarm.raise_ns &&
           a.alarm.clear_ns == b.alarm.clear_ns && a.alarm.clear_ratio == b.alarm.clear_ratio;
  }
};
// As text, one fact a line: "seer-calibration 1", "slope 0.8", ... What is decoded is valid.
std::string EncodeModelCalibration(const ModelCalibration& calibration);
absl::StatusOr<ModelCalibration> DecodeModelCalibration(std::string_view text);

struct ModelPredictorOptions {
  std::string name = "model";
  std::string backend = "auto";    // nn/backend.h
  std::size_t max_initiators = 8;  // 1 to 64, "load" not counted
  bool evidence = true;
};

// InvalidArgument: names what the checkpoint lacks, or what in it does not fit. NotFound: no such
// backend.
absl::StatusOr<std::unique_ptr<TickPredictor>> MakeModelPredictor(
    const Checkpoint& checkpoint, const ModelPredictorOptions& options = {});

SEER_END_NAMESPACE
