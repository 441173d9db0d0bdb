#include "benchmarks/evaluation/retrain_run.h"

#include <time.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <memory>
#include <optional>
#include <utility>

#include "seer/predict/alarm.h"
#include "seer/predict/alarm_score.h"
#include "seer/predict/fit_alarm.h"
#include "seer/predict/listen.h"
#include "seer/predict/model_store.h"
#include "seer/predict/retrainer.h"
#include "seer/predict/rivals.h"
#include "seer/predict/tree_trainer.h"
#include "seer/window/violation_labeller.h"
#include "seer/window/violations.h"

namespace seer::evaluation {
namespace {

constexpr double kMinute = 60;

double CpuSeconds() {
  timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

// The first `updates` of the scenario's, from the start (a version of the application), or at even
// distances (a series of them).
absl::StatusOr<cluster::BuiltScenario> Build(const RetrainOptions& options, std::uint64_t seed,
                                             double minutes, std::size_t updates, bool series) {
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

// A run that is kept, labelled as `seer label` does it.
struct Kept {
  std::vector<ClusterTick> ticks;
  LabelledRun run;
};
absl::StatusOr<std::unique_ptr<Kept>> Keep(const RetrainOptions& options, std::uint64_t seed,
                                           double minutes, std::size_t updates) {
  auto built = Build(options, seed, minutes, updates, /*series=*/false);
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

// Somebody's alarms, and in the end what they were worth.
class Judged {
 public:
  explicit Judged(std::unique_ptr<TickPredictor> predictor) : predictor_(std::move(predictor)) {}
  explicit Judged(const TreeModel& model)
      : predictor_(Quiet(model)), calibration_(model.calibration) {}

  // Another model of the same kind goes on from what this one knows, as in a Predictor.
  absl::Status Next(const TreeModel& model, const Topology& topology) {
    std::unique_ptr<TickPredictor> predictor = Quiet(model);
    std::string state;
    if (absl::Status status = predictor_->SaveState(&state); !status.ok()) return status;
    if (absl::Status status = predictor->LoadState(state, topology); !status.ok()) return status;
    predictor_ = std::move(predictor);
    calibration_ = model.calibration;
    return absl::OkStatus();
  }
  absl::Status Observe(const ClusterTick& tick, const Topology& topology) {
    absl::Status status = predictor_->Observe(tick, topology, &forecast_);
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
  const Forecast& forecast() const { return forecast_; }

  // `shift`: of the log-odds from which on there is alarm, of a model.
  RetrainCounts Count(const std::vector<Violation>& violations, std::int64_t from_ns,
                      std::int64_t to_ns, double shift = 0) const {
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

 private:
  // Of a class; of models also the log-odds of a violation, and from which on there is alarm.
  struct Said {
    std::vector<std::int64_t> times_ns;
    std::vector<std::uint8_t> alarms;
    std::vector<float> odds, begins;
  };

  std::unique_ptr<TickPredictor> predictor_;
  std::optional<ModelCalibration> calibration_;
  Forecast forecast_;
  std::vector<Said> said_;
};

constexpr char kNoteCpu[] = "evaluate.cpu_s", kNoteRival[] = "evaluate.rival";

// A model for one version of the application, with notes of what it cost, and of the best rival
// there; from `options.models` where it was made before.
absl::StatusOr<TreeModel> TrainOnce(const RetrainOptions& options, std::size_t updates) {
  const std::string path = options.models + "/" + std::to_string(options.seed) + "-" +
                           std::to_string(static_cast<int>(options.train_minutes * 60)) + "-" +
                           std::to_string(updates) + ".model";
  if (!options.models.empty()) {
    auto made = LoadTreeModel(path);
    if (made.ok() || !absl::IsNotFound(made.status())) return made;
  }
  auto trained = Train(options, updates);
  if (!trained.ok()) return trained.status();
  trained->model.provenance[kNoteCpu] = std::to_string(trained->cpu_s);
  if (updates == 0) {
    const auto best = BestRival(options, trained->validation->run);
    if (!best.ok()) return best.status();
    trained->model.provenance[kNoteRival] =
        std::to_string(static_cast<int>(best->kind)) + " " + std::to_string(best->threshold);
  }
  if (!options.models.empty()) {
    const absl::Status saved = SaveTreeModel(trained->model, path);
    if (!saved.ok()) return saved;
  }
  return trained->model;
}

RetrainerOptions OptionsOf(const RetrainOptions& options) {
  RetrainerOptions own;
  own.false_alarms_per_hour = options.false_alarms_per_hour;
  return own;
}

// A retrainer beside a predictor, with what its rounds cost.
struct Learning {
  std::unique_ptr<Retrainer> retrainer;
  double cpu_s = 0;  // of Step()s, but for those below
  double scratch_cpu_s =
      0;  // of those between the beginning and the end of a training from scratch
  double observe_cpu_s = 0;  // of Observe(): what the ticks look like to the model
  std::uint64_t versions = 0, rounds = 0;
  std::vector<RetrainDecision> decisions = {};

  absl::Status Observe(const ClusterTick& tick, const Topology& topology, Judged* judged) {
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
    rounds += round && !scratch ? 1 : 0;
    if (const auto bytes = retrainer->TakeModel()) {
      ++versions;
      auto model = DecodeTreeModel(*bytes);
      if (!model.ok()) return model.status();
      return judged->Next(*model, topology);
    }
    return status;
  }
};

// Detected as it runs.
struct Watched {
  ViolationDetector detector;
  std::vector<Violation> violations;
  void Observe(const ClusterTick& tick, const Topology& topology) {
    detector.Observe(tick, topology);
    for (Violation& v : detector.TakeFinished()) violations.push_back(v);
  }
  void Finish() {
    detector.Finish();
    for (Violation& v : detector.TakeFinished()) violations.push_back(v);
    std::sort(violations.begin(), violations.end(),
              [](const Violation& a, const Violation& b) { return a.start_ns < b.start_ns; });
  }
};

void CopyRow(const ServiceTable& from, ServiceId row, ServiceId to, ServiceTable* table) {
  for (const Channel channel : kAllChannels) {
    if (const auto value = from.depth(row, channel)) table->SetDepth(to, channel, *value);
    if (const auto value = from.mean(row, channel)) table->SetMean(to, channel, *value);
    const auto came = from.arrivals(row, channel), went = from.departures(row, channel);
    if (came && went) table->SetFlow(to, channel, *came, *went);
    if (const auto value = from.mean_wait_us(row, channel)) table->SetMeanWait(to, channel, *value);
  }
  if (const auto value = from.outstanding(row)) table->SetOutstanding(to, *value);
  if (const auto value = from.outstanding_mean(row)) table->SetOutstandingMean(to, *value);
}
void CopyRow(const EdgeTickTable& from, EdgeId row, EdgeId to, EdgeTickTable* table) {
  if (const auto value = from.depth(row)) table->SetDepth(to, *value);
  if (const auto value = from.mean(row)) table->SetMean(to, *value);
  if (const auto value = from.made(row)) table->SetMade(to, *value);
}

}  // namespace

absl::StatusOr<RetrainSeries> RunSeries(const RetrainOptions& options) {
  const auto spec = cluster::LoadScenario(options.scenario);
  if (!spec.ok()) return spec.status();
  const std::size_t updates = spec->updates.size();
  RetrainSeries series;
  series.late_minutes = options.late_minutes;
  std::vector<TreeModel> versions;  // trained on each version of the application
  Rival rival;
  for (std::size_t v = 0; v <= updates; ++v) {
    options.say("training from scratch on version " + std::to_string(v));
    auto trained = TrainOnce(options, v);
    if (!trained.ok()) return trained.status();
    double cpu_s = 0;
    std::sscanf(trained->provenance[kNoteCpu].c_str(), "%lf", &cpu_s);
    series.scratch_cpu_s += cpu_s / static_cast<double>(updates + 1);
    ++series.scratches;
    if (v == 0) {
      int kind = 0;
      std::sscanf(trained->provenance[kNoteRival].c_str(), "%d %lf", &kind, &rival.threshold);
      rival.kind = static_cast<RivalKind>(kind);
      series.rival = std::string(RivalName(rival.kind));
    }
    for (const char* const note : {kNoteCpu, kNoteRival}) trained->provenance.erase(note);
    versions.push_back(*std::move(trained));
  }
  RivalOptions rival_options;
  rival_options.threshold = rival.threshold;
  auto made = MakeRival(rival.kind, rival_options);
  if (!made.ok()) return made.status();

  options.say("the series");
  const double minutes = options.phase_minutes * static_cast<double>(updates + 1);
  auto built = Build(options, options.seed * 1000 + 900, minutes, updates, /*series=*/true);
  if (!built.ok()) return built.status();
  const Topology& topology = built->model->topology;
  Judged frozen(versions[0]), untrained(*std::move(made)), retrained(versions[0]);
  std::vector<std::unique_ptr<Judged>> ceilings;
  for (const TreeModel& model : versions) ceilings.push_back(std::make_unique<Judged>(model));
  auto retrainer = Retrainer::Create(versions[0], OptionsOf(options));
  if (!retrainer.ok()) return retrainer.status();
  Learning learning{*std::move(retrainer)};
  Watched watched;
  absl::Status status;
  const std::int64_t start_ns = built->options.simulator.start_ns;
  const auto phase_ns = static_cast<std::int64_t>(options.phase_minutes * kMinute * 1e9);
  cluster::RunScenario(built->model, built->options, [&](const ClusterTick& tick) {
    watched.Observe(tick, topology);
    const auto take = [&](absl::Status each) {
      if (status.ok()) status = std::move(each);
    };
    take(frozen.Observe(tick, topology));
    take(untrained.Observe(tick, topology));
    take(retrained.Observe(tick, topology));
    take(learning.Observe(tick, topology, &retrained));
    // Each ceiling where it is one, and long enough before to know what is usual.
    const std::int64_t now_ns = tick.period.EndNs(tick.tick) - start_ns;
    const auto phase = static_cast<std::size_t>(now_ns / phase_ns);
    for (std::size_t v = phase; v <= std::min(phase + 1, updates); ++v) {
      take(ceilings[v]->Observe(tick, topology));
    }
  });
  if (!status.ok()) return status;
  watched.Finish();
  for (std::size_t p = 0; p <= updates; ++p) {
    RetrainPhase& phase = series.phases.emplace_back();
    phase.update = p == 0 ? "none" : std::string(UpdateKindName(spec->updates[p - 1].kind));
    phase.minutes = options.phase_minutes;
    phase.late_minutes = options.phase_minutes - options.late_minutes;
    const std::int64_t from = start_ns + static_cast<std::int64_t>(p) * phase_ns;
    const std::int64_t late =
        from + static_cast<std::int64_t>(options.late_minutes * kMinute * 1e9);
    const std::int64_t to = from + phase_ns;
    const auto count = [&](const Judged& judged) {
      return RetrainOf{judged.Count(watched.violations, from, to),
                       judged.Count(watched.violations, late, to)};
    };
    phase.frozen = count(frozen);
    phase.rival = count(untrained);
    phase.ceiling = count(*ceilings[p]);
    phase.retrained = count(retrained);
  }
  for (int step = -16; step <= 16 && updates > 0; ++step) {
    RetrainShift& shift = series.shifts.emplace_back();
    shift.by = 0.25 * step;
    for (std::size_t p = 1; p <= updates; ++p) {
      const std::int64_t from = start_ns + static_cast<std::int64_t>(p) * phase_ns;
      const std::int64_t late =
          from + static_cast<std::int64_t>(options.late_minutes * kMinute * 1e9);
      shift.ceiling.Add(ceilings[p]->Count(watched.violations, late, from + phase_ns, shift.by));
      shift.retrained.Add(retrained.Count(watched.violations, late, from + phase_ns, shift.by));
    }
  }
  series.versions = learning.versions;
  series.rounds = learning.rounds;
  for (const RetrainDecision& each : learning.decisions) {
    char at_min[32];
    std::snprintf(at_min, sizeof(at_min), "%6.2f min ",
                  static_cast<double>(each.at_ns - start_ns) / 6e10);
    series.decisions.push_back(at_min + std::string(RetrainStageName(each.stage)) +
                               (each.rolled_back ? " back: "
                                : each.replaced  ? " yes "
                                                 : " no: ") +
                               each.reason);
  }
  if (series.rounds > 0) {
    const auto rounds = static_cast<double>(series.rounds);
    series.round_cpu_s = learning.cpu_s / rounds;
    series.observe_cpu_s = learning.observe_cpu_s / rounds;
  }
  return series;
}

absl::StatusOr<RetrainChurn> RunChurn(const RetrainOptions& options) {
  options.say("churn");
  const auto model = TrainOnce(options, 0);
  if (!model.ok()) return model.status();
  auto run = Keep(options, options.seed * 1000 + 950, 2 * options.test_minutes, 0);
  if (!run.ok()) return run.status();
  const std::vector<ClusterTick>& ticks = (*run)->ticks;
  const Topology& before = (*run)->run.topology;
  // Every fifth service that is no class's entry becomes another one, with all its edges.
  Topology after = before;
  RetrainChurn churn;
  std::vector<ServiceId> now(before.services().size());
  for (std::size_t s = 0; s < now.size(); ++s) {
    now[s] = ServiceId(static_cast<std::uint32_t>(s));
    const bool entry = std::any_of(before.classes().begin(), before.classes().end(),
                                   [&](const RequestClass& row) { return row.entry == now[s]; });
    ++churn.of;
    if (s % 4 != 1 || entry) continue;  // entries stay: of the others a few more
    const Service& old = before.service(now[s]);
    const auto made = after.AddService(old.name + "-2", old.application);
    if (!made.ok()) return made.status();
    for (const Instance& instance : before.instances()) {
      if (instance.removed || instance.service != now[s]) continue;
      const auto there = after.AddInstance(*made, instance.name, instance.node);
      if (!there.ok()) return there.status();
    }
    now[s] = *made;
    ++churn.services;
  }
  std::vector<EdgeId> edge_now(before.edges().size());
  for (std::size_t e = 0; e < edge_now.size(); ++e) {
    const Edge& edge = before.edges()[e];
    edge_now[e] = EdgeId(static_cast<std::uint32_t>(e));
    const ServiceId caller = edge.caller.valid() ? now[edge.caller.index()] : edge.caller;
    const ServiceId callee = now[edge.callee.index()];
    if (edge.removed || (caller == edge.caller && callee == edge.callee)) continue;
    const auto made = after.AddEdge(caller, callee, edge.kind);
    if (!made.ok()) return made.status();
    edge_now[e] = *made;
  }
  for (std::size_t s = 0; s < now.size(); ++s) {
    if (now[s].index() == s) continue;
    const absl::Status gone = after.RemoveService(ServiceId(static_cast<std::uint32_t>(s)));
    if (!gone.ok()) return gone;
  }
  Judged same(*model), replaced(*model);
  const std::size_t half = ticks.size() / 2;
  ClusterTick other;
  for (std::size_t i = 0; i < ticks.size(); ++i) {
    const ClusterTick& tick = ticks[i];
    absl::Status status = same.Observe(tick, before);
    if (status.ok() && i < half) status = replaced.Observe(tick, before);
    if (status.ok() && i >= half) {
      other = tick;
      other.topology_version = after.version();
      other.Reset(after.services().size(), after.edges().size(), after.classes().size());
      other.classes = tick.classes;
      for (std::size_t s = 0; s < now.size(); ++s) {
        CopyRow(tick.services, ServiceId(static_cast<std::uint32_t>(s)), now[s], &other.services);
      }
      for (std::size_t e = 0; e < edge_now.size(); ++e) {
        CopyRow(tick.edges, EdgeId(static_cast<std::uint32_t>(e)), edge_now[e], &other.edges);
      }
      status = replaced.Observe(other, after);
    }
    if (!status.ok()) return status;
  }
  const std::int64_t from = ticks[half].period.EndNs(ticks[half].tick);
  const std::int64_t to = ticks.back().period.EndNs(ticks.back().tick);
  churn.same = same.Count((*run)->run.violations, from, to);
  churn.replaced = replaced.Count((*run)->run.violations, from, to);
  return churn;
}

absl::StatusOr<RetrainFeedback> RunFeedback(const RetrainOptions& options) {
  const auto trained = TrainOnce(options, 0);
  if (!trained.ok()) return trained.status();
  auto test = Keep(options, options.seed * 1000 + 970, options.test_minutes, 0);
  if (!test.ok()) return test.status();
  RetrainFeedback feedback;
  enum Arm { kNobodyActs, kNoted, kNotNoted };
  for (const Arm arm : {kNobodyActs, kNoted, kNotNoted}) {
    options.say(arm == kNobodyActs ? "retraining, nobody acts"
                : arm == kNoted    ? "retraining, actions are noted"
                                   : "retraining, actions are not noted");
    const double minutes = options.round_minutes * options.rounds;
    auto built = Build(options, options.seed * 1000 + 960, minutes, 0, /*series=*/false);
    if (!built.ok()) return built.status();
    const Topology& topology = built->model->topology;
    Judged judged(*trained);
    auto retrainer = Retrainer::Create(*trained, OptionsOf(options));
    if (!retrainer.ok()) return retrainer.status();
    Learning learning{*std::move(retrainer)};
    absl::Status status;
    built->options.control = [&](cluster::Simulator* simulator) {
      if (arm == kNobodyActs || !judged.forecast().alarm()) return;
      const auto& faults = simulator->options().faults;
      bool acted = false;
      for (std::size_t f = 0; f < faults.size(); ++f) {
        if (!(faults[f].IntensityAt(simulator->now_ns()) > 0)) continue;
        simulator->Disable(f);
        acted = true;
      }
      if (!acted || arm == kNotNoted) return;
      for (const ClassForecast& row : judged.forecast().classes) {
        if (!row.alarm || row.initiators.empty()) continue;
        // "load" is acted on at the entry.
        ServiceId on = row.initiators.front().service;
        if (!on.valid()) on = topology.request_class(row.request_class).entry;
        if (!on.valid()) continue;
        ActionTaken taken;
        taken.recommendation_id = ++feedback.actions;
        taken.action = Action::kCpuLimit;
        taken.outcome = ActionOutcome::kApplied;
        taken.target.service = topology.service(on).name;
        taken.time_ns = judged.forecast().period.EndNs(judged.forecast().tick);
        learning.retrainer->NoteAction(taken);
      }
    };
    cluster::RunScenario(built->model, built->options, [&](const ClusterTick& tick) {
      if (status.ok()) status = judged.Observe(tick, topology);
      if (status.ok()) status = learning.Observe(tick, topology, &judged);
    });
    if (!status.ok()) return status;
    const auto model = DecodeTreeModel(learning.retrainer->serving());
    if (!model.ok()) return model.status();
    Judged after(*model);
    for (const ClusterTick& tick : (*test)->ticks) {
      status = after.Observe(tick, (*test)->run.topology);
      if (!status.ok()) return status;
    }
    const ClusterTick& first = (*test)->ticks.front();
    const ClusterTick& last = (*test)->ticks.back();
    const RetrainCounts counts =
        after.Count((*test)->run.violations, first.period.EndNs(first.tick) + 60'000'000'000,
                    last.period.EndNs(last.tick));
    (arm == kNobodyActs ? feedback.without_actions
     : arm == kNoted    ? feedback.noted
                        : feedback.not_noted) = counts;
  }
  return feedback;
}

}  // namespace seer::evaluation
