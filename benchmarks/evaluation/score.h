// Every figure of one predictor on one recording, with its intervals.
//
//   recall       hits, of all violations; also at other leads than 100 ms (recall_lead_<ms>)
//   precision    hits, of hits and false alarms (near misses included, and once more without them)
//   rates        false alarms and near misses an hour of watching
//   culprit      right ones, of the violations whose culprit is known: among hits (what the alarm's
//                first line named), and among all, where a miss is wrong; both also for the traps
//   lead         violation start minus alarm start, of the hits
//   pr_auc       area under recall and precision of events, over thresholds of p_violation (without
//                hysteresis); at each recall the best precision at that recall or above
//   calibration  each forecast line, in no violation, whose horizon the run covers: bins of
//                p_violation against how often a violation of the class started in (t, t +
//                horizon]. ece: |mean p - frequency| weighted by lines; ece_alarm: so for the lines
//                from the lowest p_violation at which an alarm started
//
// Intervals are 95 %: Wilson's for proportions of events, Poisson's for rates of a single run, and
// a bootstrap over whole runs for everything else, as what happens within a run is not independent.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "benchmarks/evaluation/events.h"
#include "benchmarks/evaluation/rows.h"

namespace seer::evaluation {

struct ScoreOptions {
  std::string name = "predictor";
  Rules rules;
  std::int32_t horizon_ms = 0;  // 0: the only one that the forecasts have
  std::vector<std::int64_t> leads_ms = {0, 100, 300, 1000};
  std::size_t bins = 10;
  std::size_t thresholds = 60;  // of all lines, and as many of the violations
  std::size_t bootstrap = 1000;
  std::uint64_t seed = 1;
};

struct Metric {
  double value = 0;  // NaN: there is nothing that it could be of
  double low = 0;    // NaN: no interval
  double high = 0;
  std::uint64_t of = 0;  // events, lines or runs that it rests on
};

struct CalibrationBin {
  std::uint64_t lines = 0;
  std::uint64_t starts = 0;
  double sum_p = 0;
};

struct PrPoint {
  double threshold;
  double recall;
  double precision;
  double false_alarms_per_hour;
};

// One violation, and what became of it.
struct ScoredViolation {
  std::string run;
  ViolationRow row;
  bool hit = false;
  bool late = false;
  std::int64_t lead_ms = 0;  // with hit
  std::string named;         // with hit: the culprit that the alarm named
  bool culprit_right = false;
};

struct GroupScore {
  std::string column;  // "cause", "class", "culprit" or a further column of the violations
  std::string value;
  std::uint64_t violations = 0, hits = 0, late = 0;
  std::uint64_t culprits_known = 0, culprits_right = 0;  // of the hits
};

struct RunScore {
  std::string name;
  double hours = 0;
  std::uint64_t violations = 0, hits = 0, late = 0;
  std::uint64_t alarms = 0, false_alarms = 0, near_misses = 0, after = 0;
  std::vector<std::uint64_t> pr_hits, pr_false;  // by threshold
  std::vector<CalibrationBin> bins, alarm_bins;
  double brier_sum = 0;
};

struct Score {
  std::string name;
  std::int32_t horizon_ms = 0;
  std::size_t lines = 0;
  bool near_misses_known = false;
  std::vector<RunScore> runs;
  std::vector<ScoredViolation> violations;
  std::vector<GroupScore> groups;
  std::vector<PrPoint> pr;                       // by falling threshold
  std::vector<CalibrationBin> bins, alarm_bins;  // of all runs; alarm_bins: as ece_alarm
  std::vector<double> leads_ms;
  double hours = 0;
  std::uint64_t hits = 0, late = 0, alarms = 0, false_alarms = 0, near_misses = 0, after = 0;
  // In the order of the table.
  std::vector<std::pair<std::string, Metric>> metrics;

  const Metric& metric(std::string_view id) const;  // an empty one if there is none
};

// InvalidArgument where the forecasts have several horizons and none was chosen, or not this one.
absl::StatusOr<Score> ScoreForecasts(const Recording& recording, const ScoreOptions& options);

// A run at a time, each asked for twice, so that no more than one is in memory: of a hundred hours
// the forecasts alone are gigabytes. The same score, byte by byte; `options.horizon_ms` is set.
struct RunToScore {
  std::shared_ptr<const void> owner;  // of the two below
  const Names* names = nullptr;
  const Run* run = nullptr;             // the truth; and the forecasts, where there are no lines
  std::vector<ClassLines> lines{};      // for `options.horizon_ms`, each class once
  std::vector<std::string> culprits{};  // of the lines
};
absl::StatusOr<Score> ScoreRuns(std::size_t count,
                                const std::function<absl::StatusOr<RunToScore>(std::size_t)>& load,
                                const ScoreOptions& options);

// Two predictors on the same violations.
struct Comparison {
  std::string first, second;
  std::uint64_t both = 0, only_first = 0, only_second = 0, neither = 0;  // hits
  double recall_p = 1;                                                   // McNemar's exact test
  std::uint64_t culprit_only_first = 0, culprit_only_second = 0;
  double culprit_p = 1;  // so too: hit and rightly named
  // Second minus first; intervals by bootstrap over runs.
  Metric recall_difference;
  Metric false_alarms_per_hour_difference;
  double false_alarms_p = 1;  // sign flips of whole runs
};
// InvalidArgument if the violations are not the same.
absl::StatusOr<Comparison> Compare(const Score& first, const Score& second,
                                   const ScoreOptions& options);

}  // namespace seer::evaluation
