// What it brings a network that only what is usual is taken anew, from its first minute after an
// update on: the same ticks for a network that stays as it is, and for one whose scales follow.
#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "benchmarks/evaluation/retrain_run.h"
#include "benchmarks/evaluation/retrain_served.h"
#include "seer/core/topology_order.h"
#include "seer/nn/checkpoint.h"
#include "seer/nn/network.h"
#include "seer/nn/trainer.h"
#include "seer/predict/fit_alarm.h"
#include "seer/predict/listen.h"
#include "seer/predict/model_predictor.h"
#include "seer/predict/training_set.h"
#include "seer/window/violation_labeller.h"

namespace seer::evaluation {
namespace {

constexpr std::uint32_t kWindow = 20;  // ticks
constexpr std::int64_t kMs = 1'000'000;

absl::Status FillWith(const Kept& kept, TrainingSet* set) {
  absl::Status status = set->BeginRun(kept.run.topology);
  for (std::size_t i = 0; i < kept.ticks.size() && status.ok(); ++i) {
    status = set->Add(kept.ticks[i], kept.run.topology);
  }
  return status.ok() ? set->EndRun(kept.run.violations) : status;
}

// As `seer train` makes one, of what traces tell.
absl::StatusOr<Checkpoint> TrainNetwork(const RetrainOptions& options, const Kept& train,
                                        const Kept& validation, RetrainRenormalised* facts) {
  const double begin = CpuSeconds();
  ModelInputs inputs;
  inputs.inputs = WindowInputs::OfTraces();
  for (const int ms : {100, 200, 300, 500, 1000, 2000}) inputs.horizons_ns.push_back(ms * kMs);
  for (const RequestClass& row : train.run.topology.classes()) {
    if (!row.removed) inputs.classes.push_back(row.name);
  }
  std::sort(inputs.classes.begin(), inputs.classes.end());
  inputs.classes.erase(std::unique(inputs.classes.begin(), inputs.classes.end()),
                       inputs.classes.end());
  NormalizerFitter fitter(inputs.inputs);
  for (const ClusterTick& tick : train.ticks) fitter.Observe(tick, train.run.topology);
  inputs.normalizer = fitter.Fit();
  std::vector<std::string> services;
  for (const ServiceId id : OrderServices(train.run.topology).services) {
    services.push_back(train.run.topology.service(id).name);
  }
  auto set = TrainingSet::Create(inputs, services, kWindow);
  auto held = TrainingSet::Create(inputs, services, kWindow);
  if (!set.ok()) return set.status();
  if (!held.ok()) return held.status();
  if (absl::Status status = FillWith(train, &*set); !status.ok()) return status;
  if (absl::Status status = FillWith(validation, &*held); !status.ok()) return status;

  Checkpoint checkpoint;
  auto config = ModelConfig::Named(options.network, services.size(), inputs.inputs.size(), kWindow);
  if (!config.ok()) return config.status();
  checkpoint.config = *config;
  checkpoint.config.extras = ModelInputs::kExtras;
  checkpoint.config.hazard_classes = static_cast<std::uint32_t>(inputs.classes.size());
  checkpoint.config.hazard_horizons = static_cast<std::uint32_t>(inputs.horizons_ns.size());
  const auto network = Network::Create(checkpoint.config);
  if (!network.ok()) return network.status();
  TrainerOptions training;
  training.epochs = options.epochs;
  training.seed = options.seed;
  training.patience = 3;
  training.optimizer.clip_norm = 1;
  training.loss.output_weights = set->OutputWeights();
  auto trainer = Trainer::Create(*network, training);
  if (!trainer.ok()) return trainer.status();
  if (absl::Status status = (*trainer)->Train(*set, &*held); !status.ok()) return status;
  checkpoint.parameters.assign((*trainer)->parameters().begin(), (*trainer)->parameters().end());
  for (const std::string& name : services) checkpoint.services.push_back({name, true});
  checkpoint.sections[ModelInputs::kSection] = EncodeModelInputs(inputs);

  // What its probabilities are worth, and from which one on there is alarm.
  ModelPredictorOptions quiet;
  quiet.evidence = false;
  auto predictor = MakeModelPredictor(checkpoint, quiet);
  if (!predictor.ok()) return predictor.status();
  const auto heard = Listen(validation.run, predictor->get(), inputs.horizons_ns);
  if (!heard.ok()) return heard.status();
  std::vector<ForecastTrack> tracks;
  for (const HeardClass& one : heard->classes) tracks.push_back(one.forecasts);
  FitAlarmOptions fit;
  fit.false_alarms_per_hour = options.false_alarms_per_hour;
  const auto fitted = FitAlarm(tracks, inputs.horizons_ns, heard->hours, fit);
  if (!fitted.ok()) return fitted.status();
  checkpoint.sections[ModelCalibration::kSection] = EncodeModelCalibration(fitted->calibration);
  facts->weights = network->parameters();
  facts->epochs = (*trainer)->state().epoch;
  facts->train_cpu_s = CpuSeconds() - begin;
  facts->validation_hits = fitted->hits;
  for (const HeardClass& one : heard->classes) {
    facts->validation_violations += one.violations.size();
  }
  return checkpoint;
}

absl::StatusOr<ModelCalibration> CalibrationIn(const Checkpoint& checkpoint) {
  return DecodeModelCalibration(checkpoint.sections.at(ModelCalibration::kSection));
}

}  // namespace

absl::StatusOr<RetrainRenormalised> RunRenormalised(const RetrainOptions& options) {
  const auto spec = cluster::LoadScenario(options.scenario);
  if (!spec.ok()) return spec.status();
  const std::size_t updates = spec->updates.size();
  RetrainRenormalised result;
  const std::uint64_t seed = options.seed * 1000;
  options.say("training a network on version 0");
  absl::StatusOr<Checkpoint> model;
  {
    auto train = Keep(options, seed + 1, options.train_minutes, 0);
    if (!train.ok()) return train.status();
    auto validation = Keep(options, seed + 2, options.validation_minutes, 0);
    if (!validation.ok()) return validation.status();
    model = TrainNetwork(options, **train, **validation, &result);
    if (!model.ok()) return model.status();
  }

  options.say("the series");
  const double minutes = options.phase_minutes * static_cast<double>(updates + 1);
  auto built = BuildUpdated(options, seed + 900, minutes, updates, /*series=*/true);
  if (!built.ok()) return built.status();
  const Topology& topology = built->model->topology;
  ModelPredictorOptions quiet;
  quiet.evidence = false;
  const auto served = [&](const Checkpoint& checkpoint) {
    return MakeModelPredictor(checkpoint, quiet);
  };
  auto first = served(*model), second = served(*model);
  const auto calibration = CalibrationIn(*model);
  if (!first.ok()) return first.status();
  if (!second.ok()) return second.status();
  if (!calibration.ok()) return calibration.status();
  Judged frozen(*std::move(first), *calibration), follows(*std::move(second), *calibration);
  RetrainerOptions scales;  // it learns nothing, and takes no other services
  scales.new_windows = std::size_t{1} << 40;
  scales.settle_ns = std::int64_t{1} << 61;
  auto retrainer = Retrainer::Create(*model, scales);
  if (!retrainer.ok()) return retrainer.status();
  Watched watched;
  absl::Status status;
  cluster::RunScenario(built->model, built->options, [&](const ClusterTick& tick) {
    watched.Observe(tick, topology);
    const auto take = [&](absl::Status each) {
      if (status.ok()) status = std::move(each);
    };
    take(frozen.Observe(tick, topology));
    take(follows.Observe(tick, topology));
    take((*retrainer)->Observe(tick, topology));
    if (tick.tick % 10 != 0 || !status.ok()) return;
    for (bool more = true; more && status.ok();) {
      const auto step = (*retrainer)->Step(tick.period.EndNs(tick.tick));
      more = step.ok() && *step;
      take(step.status());
    }
    const auto bytes = (*retrainer)->TakeModel();
    if (!bytes) return;
    ++result.models;
    const auto next = DecodeCheckpoint(*bytes);
    take(next.status());
    if (!next.ok()) return;
    auto predictor = served(*next);
    const auto own = CalibrationIn(*next);
    take(predictor.status());
    take(own.status());
    if (predictor.ok() && own.ok()) follows.Succeed(*std::move(predictor), *own);
  });
  if (!status.ok()) return status;
  watched.Finish();
  const std::vector<Violation>& violations = watched.violations;

  const std::int64_t start_ns = built->options.simulator.start_ns;
  const auto phase_ns = static_cast<std::int64_t>(options.phase_minutes * kMinute * 1e9);
  const auto minute_ns = static_cast<std::int64_t>(kMinute * 1e9);
  const auto from_ns = [&](std::size_t p) {
    return start_ns + static_cast<std::int64_t>(p) * phase_ns;
  };
  for (std::size_t p = 0; p <= updates; ++p) {
    RetrainRenormalised::Phase& phase = result.phases.emplace_back();
    phase.update = p == 0 ? "none" : std::string(UpdateKindName(spec->updates[p - 1].kind));
    phase.minutes = options.phase_minutes - 1;
    phase.frozen = frozen.Count(violations, from_ns(p) + minute_ns, from_ns(p) + phase_ns);
    phase.renormalised = follows.Count(violations, from_ns(p) + minute_ns, from_ns(p) + phase_ns);
    phase.first_minute_frozen = frozen.Count(violations, from_ns(p), from_ns(p) + minute_ns);
    phase.first_minute = follows.Count(violations, from_ns(p), from_ns(p) + minute_ns);
  }
  for (int step = -24; step <= 24; ++step) {
    RetrainShift& shift = result.shifts.emplace_back();
    shift.by = 0.25 * step;
    for (std::size_t p = 1; p <= updates; ++p) {
      const std::int64_t from = from_ns(p) + minute_ns, to = from_ns(p) + phase_ns;
      shift.ceiling.Add(frozen.Count(violations, from, to, shift.by));
      shift.retrained.Add(follows.Count(violations, from, to, shift.by));
    }
  }
  result.decisions = LinesOf((*retrainer)->TakeDecisions(), start_ns);
  return result;
}

}  // namespace seer::evaluation
