// Flow: recorded runs -> [TrainTrees] -> TreeModel
//
// Training that works unattended: it takes labelled runs and gives a model with calibrated
// probabilities and a threshold that keeps to a rate of false alarms.
//
//   std::vector<seer::LabelledRun> train = ..., validation = ...;
//   seer::TreeTrainingOptions options;
//   options.alarm.false_alarms_per_hour = 1;
//   seer::TreeTrainingReport report;
//   auto model = seer::TrainTrees(train, validation, options, &report);      // StatusOr
//
// Of the training runs, every tick before a violation is looked at, of others a part, which weighs
// as many: the probabilities stay those of the runs, and a rare violation is not drowned.
// Validation runs tell when to stop, calibrate, and choose the alarm (fit_alarm.h); nothing else.
//
// Threads: runs are read from `threads` threads, a run by one. Cost: a validation run is read three
// times, a training run once, or with views six times; memory `max_rows` rows, with views twice as
// many, and 30 bytes for each tick and class of validation.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "seer/core/config.h"
#include "seer/predict/boosted_trees.h"
#include "seer/predict/fit_alarm.h"
#include "seer/predict/listen.h"
#include "seer/predict/tree_model.h"

SEER_BEGIN_NAMESPACE

struct TreeTrainingOptions {
  // An alarm that foresees the last few violations at any cost is one for nearly nothing.
  TreeTrainingOptions() { alarm.least_precision = 0.6; }

  TreeInputs inputs;
  std::vector<std::int64_t> horizons_ns = {100'000'000, 200'000'000,   300'000'000,
                                           500'000'000, 1'000'000'000, 2'000'000'000};
  TreeFitOptions violations;
  TreeFitOptions initiators;
  FitAlarmOptions alarm;
  std::size_t stride = 20;  // of ticks in which nothing stirs; others: a tenth of that
  // More: of quiet ones each second is dropped, again and again, those in which nothing stirs
  // first.
  std::size_t max_rows = 400'000;
  // Each training run is shown as others would have seen it too: with fewer probes, with other
  // targets. Of these ticks each so many-th is learnt from; 0: none.
  std::size_t view_stride = 3;
  std::size_t threads = 1;
};

struct TreeTrainingReport {
  std::uint64_t ticks = 0, violations = 0;  // of training
  std::uint64_t rows = 0, rows_ahead = 0;   // of training; ahead: of a violation
  std::uint64_t rows_stirring = 0;  // not ahead of one, yet something is out of the ordinary
  std::uint64_t initiator_groups = 0;
  std::size_t violation_trees = 0, initiator_trees = 0;
  FittedAlarm alarm;        // on the validation runs
  double culprit_top1 = 0;  // of the hits there whose initiator is known
  std::uint64_t culprits = 0;
  // Self depths as they are inferred where a probe is missing, for each service in turn that calls
  // others: requests by which they are wrong, the mean, and how many stand there.
  double inferred_error = 0, inferred_depth = 0;
  std::uint64_t inferred = 0;  // 0: the validation runs do not tell
};

// InvalidArgument: no runs, none ahead of a violation, validation without any.
absl::StatusOr<TreeModel> TrainTrees(absl::Span<const LabelledRun> train,
                                     absl::Span<const LabelledRun> validation,
                                     const TreeTrainingOptions& options,
                                     TreeTrainingReport* report = nullptr);

SEER_END_NAMESPACE
