// What a retrainer is asked for: see include/seer/predict/retrainer.h.
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <string_view>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "seer/core/config.h"
#include "seer/nn/backend.h"
#include "seer/predict/boosted_trees.h"
#include "seer/predict/retrainer.h"

SEER_BEGIN_NAMESPACE

std::string_view RetrainStageName(RetrainStage stage) {
  constexpr std::string_view kNames[] = {"idle",  "mapping", "normaliser", "head",
                                         "whole", "scratch", "alarm",      "boost"};
  const auto i = static_cast<std::size_t>(stage);
  return i < std::size(kNames) ? kNames[i] : "?";
}

absl::Status RetrainerOptions::Validate() const {
  const auto wrong = [](const char* field, const char* fix) {
    return absl::InvalidArgumentError(absl::StrCat("retrainer: options.", field, ": ", fix));
  };
  if (replay.bytes < 1 << 16) return wrong("replay.bytes", "give 65536 or more");
  if (held_back_bytes < 1 << 16) return wrong("held_back_bytes", "give 65536 or more");
  constexpr std::int64_t kHour = 3'600'000'000'000;
  if (label_delay_ns < 0 || label_delay_ns > kHour) return wrong("label_delay_ns", "give 0 to 1 h");
  if (recent_ns < 1'000'000'000 || recent_ns > kHour) return wrong("recent_ns", "give 1 s to 1 h");
  if (batches_a_step < 1 || batches_a_step > 10'000) {
    return wrong("batches_a_step", "give 1 to 10000");
  }
  if (head_steps < 1 || whole_steps < 1 || scratch_steps < 1) {
    return wrong("head_steps, whole_steps, scratch_steps", "give 1 or more");
  }
  for (const float rate : {head_rate, whole_rate, scratch_rate}) {
    if (!(rate > 0 && rate < 1)) return wrong("head_rate, whole_rate, scratch_rate", "give 0 to 1");
  }
  if (!(drift_shift > 0)) return wrong("drift_shift", "give more than 0");
  if (!(major_change > 0)) return wrong("major_change", "give more than 0; above 1: never");
  if (fewest_held_back < 1) return wrong("fewest_held_back", "give 1 or more");
  if (new_windows < 1) return wrong("new_windows", "give 1 or more");
  if (settle_ns < 0 || retrain_every_ns < 0 || probation_ns < 0) {
    return wrong("settle_ns, retrain_every_ns, probation_ns", "give 0 or more");
  }
  if (!(avoided_weight > 0 && avoided_weight <= 1)) return wrong("avoided_weight", "give 0 to 1");
  if (!(left_alone >= 0 && left_alone <= 0.5)) return wrong("left_alone", "give 0 to 0.5");
  if (!(false_alarms_per_hour >= 0)) return wrong("false_alarms_per_hour", "give 0 or more");
  if (trees_a_step < 1 || boost_trees < 1 || scratch_trees < 1 ||
      scratch_trees > BoostedTrees::kMaxTrees) {
    return wrong("trees_a_step, boost_trees, scratch_trees", "give 1 to 5000");
  }
  if (added_trees < boost_trees || added_trees > BoostedTrees::kMaxTrees / 2) {
    return wrong("added_trees", "give as many as boost_trees, or up to 2500");
  }
  for (const double rate : {boost_learning_rate, scratch_learning_rate}) {
    if (!(rate > 0 && rate <= 1)) {
      return wrong("boost_learning_rate, scratch_learning_rate", "give more than 0, up to 1");
    }
  }
  if (boost_rows < 100 || scratch_rows < 100) {
    return wrong("boost_rows, scratch_rows", "give 100 or more");
  }
  if (FindBackend(backend) == nullptr) return wrong("backend", "give \"auto\"");
  return absl::OkStatus();
}

SEER_END_NAMESPACE
