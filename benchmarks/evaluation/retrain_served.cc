#include "benchmarks/evaluation/retrain_served.h"

#include <time.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <utility>

#include "seer/predict/alarm.h"
#include "seer/predict/alarm_score.h"
#include "seer/predict/fit_alarm.h"
#include "seer/predict/model_store.h"
#include "seer/predict/tree_trainer.h"
#include "seer/window/violation_labeller.h"

namespace seer::evaluation {

double CpuSeconds() {
  timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

absl::StatusOr<cluster::BuiltScenario> BuildUpdated(const RetrainOptions& options,
                                                    std::uint64_t seed, double minutes,
                                                    std::size_t updates, bool series) {
  auto spec = cluster::LoadScenario(options.scenario);
  if (!spec.ok()) return spec.status();
  spec->seed = seed;
  spec->seconds = minutes * kMinute;
  spec->truth = false;
  spec->update_count = 0;
  spec->updates.resize(std::min(updates, spec->updates.size()));
  for (std::size_t u = 0; u < spec->updates.size(); ++u) {
    spec->updates[u].at_s =
        series ? static_cast<double>(u + 1) * options.phase_minutes * kMinute : 0;
  }
  spec->schedule.emplace();
  spec->schedule->options.seed = seed;
  spec->schedule->options.severe_per_hour = options.severe_per_hour;
  spec->schedule->options.harmless_per_hour = options.harmless_per_hour;
  spec->schedule->options.gap_seconds = 10;
  spec->schedule->options.rate = 0;  // the applications'
  return cluster::BuildScenario(*spec, options.graphs);
}

absl::StatusOr<std::unique_ptr<Kept>> Keep(const RetrainOptions& options, std::uint64_t seed,
                                           double minutes, std::size_t updates) {
  auto built = BuildUpdated(options, seed, minutes, updates, /*series=*/false);
  if (!built.ok()) return built.status();
  auto kept = std::make_unique<Kept>();
  kept->run.topology = built->model->topology;
  ViolationLabeller labeller({}, &kept->run.topology);
  cluster::RunScenario(built->model, built->options, [&](const ClusterTick& tick) {
    labeller.Observe(tick);
    kept->ticks.push_back(tick);
  });
  labeller.Finish();
  for (const LabelledViolation& each : labeller.Take()) {
    kept->run.violations.push_back(each.violation);
  }
  kept->run.for_each_tick = [ticks = &kept->ticks](const auto& handle) {
    for (const ClusterTick& tick : *ticks) {
      if (absl::Status status = handle(tick); !status.ok()) return status;
    }
    return absl::OkStatus();
  };
  return kept;
}

namespace {

struct Trained {
  TreeModel model;
  double cpu_s = 0;
  std::unique_ptr<Kept> validation;
};
absl::StatusOr<Trained> Train(const RetrainOptions& options, std::size_t updates) {
  const std::uint64_t seed = options.seed * 1000 + updates * 10;
  auto train = Keep(options, seed + 1, options.train_minutes, updates);
  if (!train.ok()) return train.status();
  auto validation = Keep(options, seed + 2, options.validation_minutes, updates);
  if (!validation.ok()) return validation.status();
  TreeTrainingOptions training;
  training.alarm.false_alarms_per_hour = options.false_alarms_per_hour;
  const double before = CpuSeconds();
  auto model = TrainTrees({(*train)->run}, {(*validation)->run}, training);
  if (!model.ok()) return model.status();
  return Trained{*std::move(model), CpuSeconds() - before, *std::move(validation)};
}

std::unique_ptr<TickPredictor> Quiet(const TreeModel& model) {
  TreePredictorOptions options;
  options.evidence = false;
  return MakeTreePredictor(model, options).value();
}

// The rival with the most hits on validation, at the threshold that keeps to the rate.
struct Rival {
  RivalKind kind = RivalKind::kSelfDepthZ;
  double threshold = 0;
};
absl::StatusOr<Rival> BestRival(const RetrainOptions& options, const LabelledRun& run) {
  Rival best;
  std::uint64_t most = 0;
  for (const RivalKind kind : kAllRivals) {
    if (kind == RivalKind::kRandom) continue;
    RivalOptions own;
    const auto rival = MakeRival(kind, own);
    if (!rival.ok()) return rival.status();
    const std::int64_t horizon = own.alarm_horizon_ns;
    const auto heard = Listen(run, rival->get(), {horizon});
    if (!heard.ok()) return heard.status();
    std::vector<ForecastTrack> tracks;
    for (const HeardClass& one : heard->classes) tracks.push_back(one.forecasts);
    FitAlarmOptions fit;
    fit.false_alarms_per_hour = options.false_alarms_per_hour;
    const auto fitted = FitAlarm(tracks, {horizon}, heard->hours, fit);
    if (!fitted.ok()) return fitted.status();
    // Back from the calibrated probability to the rival's, and to its score.
    const ModelCalibration& c = fitted->calibration;
    const double z = (std::log(c.threshold / (1 - c.threshold)) - c.shift) / c.slope;
    const double threshold = DefaultThreshold(kind) * std::exp(z / 4);
    if (best.threshold > 0 && fitted->hits <= most) continue;
    most = fitted->hits;
    best = {kind, threshold};
  }
  return best;
}

double Odds(double probability) {
  const double p = std::clamp(probability, 1e-9, 1 - 1e-9);
  return std::log(p / (1 - p));
}
double FromOdds(double odds) { return 1 / (1 + std::exp(-odds)); }

constexpr char kNoteCpu[] = "evaluate.cpu_s", kNoteRival[] = "evaluate.rival";

}  // namespace

absl::StatusOr<TrainedOnce> TrainOnce(const RetrainOptions& options, std::size_t updates) {
  const std::string path = options.models + "/" + std::to_string(options.seed) + "-" +
                           std::to_string(static_cast<int>(options.train_minutes * 60)) + "-" +
                           std::to_string(updates) + ".model";
  TrainedOnce once;
  absl::StatusOr<TreeModel> made = absl::NotFoundError("no folder");
  if (!options.models.empty()) made = LoadTreeModel(path);
  if (!made.ok() && !absl::IsNotFound(made.status())) return made.status();
  if (made.ok()) {
    once.model = *std::move(made);
    std::sscanf(once.model.provenance[kNoteCpu].c_str(), "%lf", &once.cpu_s);
    int kind = 0;
    std::sscanf(once.model.provenance[kNoteRival].c_str(), "%d %lf", &kind, &once.rival_threshold);
    once.rival = static_cast<RivalKind>(kind);
  } else {
    auto trained = Train(options, updates);
    if (!trained.ok()) return trained.status();
    once.model = std::move(trained->model);
    once.cpu_s = trained->cpu_s;
    if (updates == 0) {
      const auto best = BestRival(options, trained->validation->run);
      if (!best.ok()) return best.status();
      once.rival = best->kind;
      once.rival_threshold = best->threshold;
    }
    if (!options.models.empty()) {
      TreeModel noted = once.model;
      noted.provenance[kNoteCpu] = std::to_string(once.cpu_s);
      noted.provenance[kNoteRival] =
          std::to_string(static_cast<int>(once.rival)) + " " + std::to_string(once.rival_threshold);
      const absl::Status saved = SaveTreeModel(noted, path);
      if (!saved.ok()) return saved;
    }
  }
  for (const char* const note : {kNoteCpu, kNoteRival}) once.model.provenance.erase(note);
  return once;
}

void Watched::Observe(const ClusterTick& tick, const Topology& topology) {
  detector.Observe(tick, topology);
  for (Violation& each : detector.TakeFinished()) violations.push_back(each);
}
void Watched::Finish() {
  detector.Finish();
  for (Violation& each : detector.TakeFinished()) violations.push_back(each);
  std::sort(violations.begin(), violations.end(),
            [](const Violation& a, const Violation& b) { return a.start_ns < b.start_ns; });
}

std::vector<std::string> LinesOf(const std::vector<RetrainDecision>& decisions,
                                 std::int64_t start_ns) {
  std::vector<std::string> lines;
  for (const RetrainDecision& each : decisions) {
    char at_min[32];
    std::snprintf(at_min, sizeof(at_min), "%6.2f min ",
                  static_cast<double>(each.at_ns - start_ns) / 6e10);
    lines.push_back(at_min + std::string(RetrainStageName(each.stage)) +
                    (each.rolled_back ? " back: "
                     : each.replaced  ? " yes "
                                      : " no: ") +
                    each.reason);
  }
  return lines;
}

Judged::Judged(std::unique_ptr<TickPredictor> predictor,
               std::optional<ModelCalibration> calibration)
    : predictor_(std::move(predictor)), calibration_(std::move(calibration)) {}
Judged::Judged(const TreeModel& model)
    : predictor_(Quiet(model)), calibration_(model.calibration) {}

absl::Status Judged::Next(const TreeModel& model, const Topology& topology) {
  std::unique_ptr<TickPredictor> predictor = Quiet(model);
  std::string state;
  if (absl::Status status = predictor_->SaveState(&state); !status.ok()) return status;
  if (absl::Status status = predictor->LoadState(state, topology); !status.ok()) return status;
  predictor_ = std::move(predictor);
  calibration_ = model.calibration;
  return absl::OkStatus();
}

void Judged::Succeed(std::unique_ptr<TickPredictor> next, const ModelCalibration& calibration) {
  successor_ = std::move(next);
  its_calibration_ = calibration;
}

absl::Status Judged::Observe(const ClusterTick& tick, const Topology& topology) {
  absl::Status status = predictor_->Observe(tick, topology, &forecast_);
  if (status.ok() && successor_ != nullptr) {
    Forecast own;
    status = successor_->Observe(tick, topology, &own);
    if (!own.classes.empty()) {
      predictor_ = std::move(successor_);
      calibration_ = its_calibration_;
      forecast_ = std::move(own);
    }
  }
  if (!status.ok()) return status;
  for (const ClassForecast& row : forecast_.classes) {
    said_.resize(std::max<std::size_t>(said_.size(), row.request_class.index() + 1));
    Said& said = said_[row.request_class.index()];
    said.times_ns.push_back(tick.period.EndNs(tick.tick));
    said.alarms.push_back(row.alarm ? 1 : 0);
    if (!calibration_) continue;
    const float p = ProbabilityWithin(row, calibration_->alarm_horizon_ns);
    said.odds.push_back(static_cast<float>(Odds(static_cast<double>(p))));
    said.begins.push_back(static_cast<float>(Odds(calibration_->threshold)));
  }
  return absl::OkStatus();
}

RetrainCounts Judged::Count(const std::vector<Violation>& violations, std::int64_t from_ns,
                            std::int64_t to_ns, double shift) const {
  RetrainCounts counts;
  for (std::size_t c = 0; c < said_.size(); ++c) {
    const Said& said = said_[c];
    AlarmTrack part;
    AlarmLatch latch;
    for (std::size_t t = 0; t < said.times_ns.size(); ++t) {
      const std::int64_t at = said.times_ns[t];
      if (at <= from_ns || at > to_ns) continue;
      bool alarm = said.alarms[t] != 0;
      if (shift != 0) {
        const double ratio = FromOdds(static_cast<double>(said.odds[t])) /
                             FromOdds(static_cast<double>(said.begins[t]) + shift);
        alarm = latch.Observe(ratio, at, calibration_->alarm);
      }
      part.times_ns.push_back(at);
      part.alarms.push_back(alarm ? 1 : 0);
    }
    for (const Violation& violation : violations) {
      const bool within = violation.start_ns > from_ns && violation.start_ns <= to_ns;
      if (violation.request_class.index() != c || !within) continue;
      part.violations.push_back({violation.start_ns, violation.end_ns});
    }
    const AlarmScore score = ScoreAlarms(part);
    for (std::size_t v = 0; v < part.violations.size(); ++v) {
      counts.each.push_back({part.violations[v].start_ns, score.violation_hit[v] >= 0});
    }
    counts.violations += part.violations.size();
    counts.hits += score.hits;
    counts.false_alarms += score.false_alarms;
  }
  return counts;
}

absl::Status Learning::Observe(const ClusterTick& tick, const Topology& topology, Judged* judged) {
  const double begin = CpuSeconds();
  absl::Status status = retrainer->Observe(tick, topology);
  if (!status.ok()) return status;
  observe_cpu_s += CpuSeconds() - begin;
  retrainer->NoteForecast(judged->forecast());
  if (tick.tick % 10 != 0) return status;
  const double before = CpuSeconds();
  bool scratch = false, round = false;
  for (bool more = true; more;) {
    const auto step = retrainer->Step(tick.period.EndNs(tick.tick));
    if (!step.ok()) return step.status();
    more = *step;
  }
  for (RetrainDecision& each : retrainer->TakeDecisions()) {
    scratch = scratch || each.stage == RetrainStage::kScratch;
    round = round || !each.rolled_back;
    decisions.push_back(std::move(each));
  }
  (scratch ? scratch_cpu_s : cpu_s) += CpuSeconds() - before;
  scratches += scratch ? 1 : 0;
  rounds += round && !scratch ? 1 : 0;
  if (const auto bytes = retrainer->TakeModel()) {
    ++versions;
    auto model = DecodeTreeModel(*bytes);
    if (!model.ok()) return model.status();
    return judged->Next(*model, topology);
  }
  return status;
}

absl::StatusOr<Learning> Learn(const RetrainOptions& options, const TreeModel& model,
                               double left_alone) {
  RetrainerOptions own;
  own.false_alarms_per_hour = options.false_alarms_per_hour;
  own.left_alone = left_alone;
  auto retrainer = Retrainer::Create(model, own);
  if (!retrainer.ok()) return retrainer.status();
  return Learning{*std::move(retrainer)};
}

}  // namespace seer::evaluation
