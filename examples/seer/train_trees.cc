// seer train --config trees: the model that does not care how many services there are, and the
// alarm of the others.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "examples/seer/args.h"
#include "examples/seer/model_commands.h"
#include "examples/seer/recorded.h"
#include "seer/predict/model_inputs.h"
#include "seer/predict/model_predictor.h"
#include "seer/predict/tree_trainer.h"

namespace seer_tool {
namespace {

constexpr double kMs = 1e6;

using Facts = std::vector<std::pair<std::string, double>>;

void AddAlarm(const seer::FittedAlarm& alarm, Facts* facts) {
  facts->emplace_back("alarm horizon ms",
                      static_cast<double>(alarm.calibration.alarm_horizon_ns) / kMs);
  facts->emplace_back("alarm threshold", alarm.calibration.threshold);
  facts->emplace_back("validation hours", alarm.hours);
  facts->emplace_back("validation violations", static_cast<double>(alarm.violations));
  facts->emplace_back("validation recall", alarm.recall());
  const double hours = std::max(alarm.hours, 1e-9);
  facts->emplace_back("validation false alarms an hour",
                      static_cast<double>(alarm.false_alarms - alarm.near_misses) / hours);
  facts->emplace_back("validation near misses an hour",
                      static_cast<double>(alarm.near_misses) / hours);
  facts->emplace_back("calibration error before", alarm.error_before);
  facts->emplace_back("calibration error after", alarm.error_after);
}

seer::TreeInputs InputsOf(const std::string& name) {
  seer::TreeInputs inputs;
  if (name == "auto" || name == "traces") return inputs;
  inputs.channels = name == "nic"      ? seer::ChannelMask::NicOnly()
                    : name == "kernel" ? seer::ChannelMask::KernelOnly()
                                       : seer::ChannelMask::AppOnly();
  inputs.edges = name == "app";  // told by the applications' instrumentation
  return inputs;
}

// Of two models the better on the validation runs: more hits, or as many and fewer false alarms, or
// with the alarms alike more culprits.
bool Better(const seer::TreeTrainingReport& a, const seer::TreeTrainingReport& b) {
  if (a.alarm.hits != b.alarm.hits) return a.alarm.hits > b.alarm.hits;
  if (a.alarm.false_alarms != b.alarm.false_alarms) {
    return a.alarm.false_alarms < b.alarm.false_alarms;
  }
  return a.culprit_top1 > b.culprit_top1;
}

}  // namespace

absl::Status TrainTreeModel(const TrainArgs& args) {
  const auto readers = OpenAll(args.datasets);
  if (!readers.ok()) return readers.status();
  const auto validation_readers = OpenAll(args.validation);
  if (!validation_readers.ok()) return validation_readers.status();
  auto parts = PartsOf(*readers, seer::SplitPart::kTrain, args.labels);
  if (!parts.ok()) return parts.status();
  auto held = args.validation.empty() ? PartsOf(*readers, seer::SplitPart::kValidation, args.labels)
                                      : PartsOf(*validation_readers, std::nullopt, args.labels);
  if (!held.ok()) return held.status();
  bool split = false;
  for (const auto& reader : *readers) split = split || !reader->manifest().split.empty();
  const bool kept_back = args.validation.empty() && !split;
  if (kept_back) held = KeepBack(&*parts);

  seer::TreeTrainingOptions options;
  options.inputs = InputsOf(args.inputs);
  options.alarm.false_alarms_per_hour = args.false_alarms;
  options.threads = args.threads;
  options.violations.seed = options.initiators.seed = args.seed;
  const auto train_runs = LabelledRunsOf(*parts);
  const auto held_runs = LabelledRunsOf(*held);
  const auto start = std::chrono::steady_clock::now();
  seer::TreeTrainingReport report;
  auto model = seer::TrainTrees(train_runs, held_runs, options, &report);
  if (!model.ok()) return model.status();

  // Other shapes of trees, in the order in which they promise most, as long as there is time.
  struct Shape {
    std::size_t depth;
    double rate, least_child;
  };
  constexpr Shape kShapes[] = {{4, 0.1, 10}, {6, 0.1, 10},  {5, 0.05, 20}, {6, 0.05, 30},
                               {4, 0.05, 5}, {7, 0.05, 30}, {3, 0.1, 10},  {5, 0.1, 40}};
  double tried = 1;
  for (std::size_t i = 0; args.search_s > 0; ++i) {
    const std::chrono::duration<double> used = std::chrono::steady_clock::now() - start;
    if (used.count() * (tried + 1) / tried > args.search_s) break;
    const Shape& shape = kShapes[i % std::size(kShapes)];
    options.violations.depth = options.initiators.depth = shape.depth;
    options.violations.learning_rate = options.initiators.learning_rate = shape.rate;
    options.violations.least_child = options.initiators.least_child = shape.least_child;
    options.violations.rounds = options.initiators.rounds = 400;
    options.violations.seed = options.initiators.seed = args.seed + i / std::size(kShapes) + 1;
    seer::TreeTrainingReport other_report;
    auto other = seer::TrainTrees(train_runs, held_runs, options, &other_report);
    if (!other.ok()) return other.status();
    ++tried;
    if (!Better(other_report, report)) continue;
    model = std::move(other);
    report = other_report;
  }

  model->provenance["made-by"] = "seer train";
  for (std::size_t i = 0; i < args.datasets.size() && i < 100; ++i) {
    std::string path = args.datasets[i];
    std::replace(path.begin(), path.end(), '\n', ' ');
    model->provenance[absl::StrCat("dataset-", i)] = path;
  }
  if (const absl::Status status = seer::SaveTreeModel(*model, args.output); !status.ok()) {
    return status;
  }
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  Facts facts = {{"seconds", took.count()},
                 {"models tried", tried},
                 {"ticks", static_cast<double>(report.ticks)},
                 {"violations", static_cast<double>(report.violations)},
                 {"rows", static_cast<double>(report.rows)},
                 {"rows ahead of a violation", static_cast<double>(report.rows_ahead)},
                 {"trees", static_cast<double>(report.violation_trees)},
                 {"trees for initiators", static_cast<double>(report.initiator_trees)}};
  AddAlarm(report.alarm, &facts);
  facts.emplace_back("validation culprit right", report.culprit_top1);
  if (report.inferred > 0) {
    facts.emplace_back("inferred depths: usual", report.inferred_depth);
    facts.emplace_back("inferred depths: wrong by", report.inferred_error);
  }
  if (kept_back) facts.emplace_back("validation is the last part of each run", 1);
  PrintFacts(args.output, facts, args.json);
  return absl::OkStatus();
}

absl::StatusOr<std::vector<std::pair<std::string, double>>> ChooseAlarm(
    const std::vector<Part>& validation, double false_alarms, const std::string& backend,
    seer::Checkpoint* checkpoint) {
  auto inputs = seer::DecodeModelInputs(checkpoint->sections[seer::ModelInputs::kSection]);
  if (!inputs.ok()) return inputs.status();
  checkpoint->sections.erase(seer::ModelCalibration::kSection);
  seer::ModelPredictorOptions options;
  options.backend = backend;
  options.evidence = false;
  auto predictor = seer::MakeModelPredictor(*checkpoint, options);
  if (!predictor.ok()) return predictor.status();
  std::vector<std::int64_t> horizons = inputs->horizons_ns;
  if (horizons.empty()) horizons = {inputs->initiator_horizon_ns};
  std::vector<seer::ForecastTrack> tracks;
  double hours = 0;
  for (const seer::LabelledRun& run : LabelledRunsOf(validation)) {
    const auto heard = seer::Listen(run, predictor->get(), horizons);
    if (!heard.ok()) return heard.status();
    hours += heard->hours;
    for (const seer::HeardClass& one : heard->classes) tracks.push_back(one.forecasts);
  }
  seer::FitAlarmOptions alarm;
  alarm.false_alarms_per_hour = false_alarms;
  const auto fitted = seer::FitAlarm(tracks, horizons, hours, alarm);
  if (!fitted.ok()) return fitted.status();
  checkpoint->sections[seer::ModelCalibration::kSection] =
      seer::EncodeModelCalibration(fitted->calibration);
  Facts facts;
  AddAlarm(*fitted, &facts);
  return facts;
}

}  // namespace seer_tool
