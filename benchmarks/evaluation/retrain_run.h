// A cluster that is updated again and again, and what becomes of models that serve it: the series
// of the paper's Fig. 13, on simulated applications that share their servers.
//
//   RetrainSeries series = RunSeries(options).value();
//   for (const RetrainPhase& phase : series.phases) Show(phase);
//
// Violations are what the library's own detector finds, and their initiators what its labeller says
// of the depths: retrained is with what a control plane has, and everybody is judged alike.
//
// Threads: one at a time. Cost: see benchmarks/evaluation/README.md.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "benchmarks/cluster/sim/scenario_file.h"

namespace seer::evaluation {

struct RetrainOptions {
  std::string scenario;  // as benchmarks/cluster/scenarios/updates.json
  std::string graphs;
  std::uint64_t seed = 1;
  double phase_minutes = 15, late_minutes = 10;  // after an update; the late part begins then
  double train_minutes = 20, validation_minutes = 10;
  double severe_per_hour = 120, harmless_per_hour = 60;
  double false_alarms_per_hour = 40;
  int rounds = 10;  // of retraining with actions
  double round_minutes = 2, test_minutes = 20;
  double left_alone = 0.3;  // of the alarms while actions are taken: else there is nothing to learn
  std::string models;       // a folder with those that were trained before; empty: none
  std::string network = "lstm";  // of RunRenormalised(): ModelConfig::Named()
  std::uint32_t epochs = 8;      // and how often it sees what it is trained with, at most
  std::function<void(std::string_view)> say = [](std::string_view) {};
};

struct RetrainCounts {
  struct Violation {
    std::int64_t start_ns;
    bool hit;
  };
  std::uint64_t violations = 0, hits = 0, false_alarms = 0;
  std::vector<Violation> each;  // of one run, class by class
  double Recall() const {
    return violations == 0 ? 0 : static_cast<double>(hits) / static_cast<double>(violations);
  }
  void Add(const RetrainCounts& other) {
    violations += other.violations;
    hits += other.hits;
    false_alarms += other.false_alarms;
  }
};

// Of one predictor between two updates.
struct RetrainOf {
  RetrainCounts all, settled, late;  // settled: from a minute after the update on
};

struct RetrainPhase {
  std::string update;  // its kind; "none" before the first
  double minutes = 0, late_minutes = 0;
  RetrainOf frozen, rival, ceiling, retrained;
};

// The late parts after all updates, had the alarms begun at other log-odds.
struct RetrainShift {
  double by = 0;
  RetrainCounts ceiling, retrained;
};

struct RetrainSeries {
  std::vector<RetrainPhase> phases;
  std::vector<RetrainShift> shifts;  // growing: ever fewer alarms
  double late_minutes = 0;           // after an update, from which on is late
  std::string rival;                 // the best without training, on validation
  double scratch_cpu_s = 0;          // of one training from scratch, the mean
  double round_cpu_s = 0;    // of one round of retraining, the mean: Step() but for from scratch
  double observe_cpu_s = 0;  // and of Observe() between two
  double own_scratch_cpu_s = 0;  // of what the retrainer trained from scratch itself, in all
  std::uint64_t scratches = 0, rounds = 0, versions = 0, own_scratches = 0;
  std::vector<std::string> decisions;  // a line each
};
absl::StatusOr<RetrainSeries> RunSeries(const RetrainOptions& options);

// A network of the first version, as it is and with scales that follow what is usual: from a minute
// after each update on, and the minute before that.
struct RetrainRenormalised {
  struct Phase {
    std::string update;
    double minutes = 0;
    RetrainCounts frozen, renormalised, first_minute_frozen, first_minute;
  };
  std::vector<Phase> phases;
  std::vector<RetrainShift> shifts;  // of frozen (`ceiling`) and renormalised, after all updates
  std::uint64_t models = 0;          // with other scales, or mapped onto other services
  std::size_t weights = 0;
  std::uint64_t epochs = 0, validation_hits = 0, validation_violations = 0;
  double train_cpu_s = 0;
  std::vector<std::string> decisions;  // a line each
};
absl::StatusOr<RetrainRenormalised> RunRenormalised(const RetrainOptions& options);

// The same ticks with a fifth of the services replaced by others half way, and without; the model
// is not retrained. Counted is the second half.
struct RetrainChurn {
  RetrainCounts same, replaced;
  std::size_t services = 0, of = 0;
};
absl::StatusOr<RetrainChurn> RunChurn(const RetrainOptions& options);

// Rounds of retraining while alarms are acted on, whatever is wrong then being taken away; then a
// test without actions.
struct RetrainFeedback {
  struct Arm {
    RetrainCounts test;
    std::uint64_t rounds = 0, models = 0;  // that were tried, that replaced the one before
  };
  Arm without_actions, noted, not_noted;
  std::uint64_t actions = 0;  // with those that were noted
};
absl::StatusOr<RetrainFeedback> RunFeedback(const RetrainOptions& options);

}  // namespace seer::evaluation
