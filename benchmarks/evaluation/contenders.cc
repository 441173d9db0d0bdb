#include "benchmarks/evaluation/contenders.h"

#include <algorithm>
#include <atomic>
#include <thread>
#include <utility>

#include "benchmarks/evaluation/late_rival.h"
#include "benchmarks/evaluation/simulate.h"
#include "benchmarks/evaluation/trained.h"
#include "benchmarks/evaluation/trained_predictor.h"
#include "benchmarks/evaluation/trees.h"
#include "seer/predict/rivals.h"

namespace seer::evaluation {
namespace {

constexpr std::int64_t kNsPerMs = 1'000'000;

RivalOptions OptionsFor(const ScenarioSet& set) {
  RivalOptions options;
  options.alarm_horizon_ns = set.horizon_ms * kNsPerMs;
  options.horizons_ns = {options.alarm_horizon_ns};
  return options;
}

Contender Untrained(RivalKind kind, const ScenarioSet& set,
                    const std::vector<ServiceWorkers>& workers, bool own_requests) {
  Contender contender;
  contender.name = std::string(RivalName(kind));
  if (own_requests) {
    contender.form_of = contender.name;
    contender.name += "-own";
  }
  contender.scale = Scale::kRatio4;
  // So far above the default that P is not so near to 1, nor so near to 0, that its score is lost.
  contender.probe = 400 * DefaultThreshold(kind);
  contender.usual = DefaultThreshold(kind);
  RivalOptions options = OptionsFor(set);
  options.workers = workers;
  options.own_requests = own_requests;
  contender.prepare = [kind, options](const TrainingData*) {
    return MakePredictor([kind, options](double threshold) {
      RivalOptions own = options;
      own.threshold = threshold;
      return MakeRival(kind, own);
    });
  };
  return contender;
}

Contender LateRequests(const ScenarioSet& set) {
  Contender contender;
  contender.name = "late-requests";
  contender.scale = Scale::kRatio4;
  contender.probe = 1;
  contender.usual = 0.5;
  contender.prepare = [name = contender.name, horizon_ms = set.horizon_ms](const TrainingData*) {
    return MakePredictor([name, horizon_ms](double threshold) {
      return absl::StatusOr<std::unique_ptr<TickPredictor>>(
          MakeLateRival(name, horizon_ms, threshold));
    });
  };
  return contender;
}

Contender Shared(std::string name, const ScenarioSet& set,
                 std::function<absl::StatusOr<ServiceModel>(const TrainingData&)> train) {
  Contender contender;
  contender.name = name;
  contender.scale = Scale::kProbability;
  contender.probe = 0.5;
  contender.trained = contender.rows = true;
  contender.prepare = [name, horizon_ms = set.horizon_ms, train = std::move(train)](
                          const TrainingData* data) -> absl::StatusOr<MakePredictor> {
    auto model = train(*data);
    if (!model.ok()) return model.status();
    return MakePredictor([name, horizon_ms, model = *std::move(model)](double threshold) {
      return absl::StatusOr<std::unique_ptr<TickPredictor>>(
          MakeTrainedRival(name, model, horizon_ms, threshold));
    });
  };
  return contender;
}

TreeOptions TreesFor(const TrainingPlan& plan, std::size_t seed) {
  TreeOptions options;
  options.rounds = plan.rounds;
  options.depth = plan.depth;
  options.subsample = 0.8;
  options.seed = seed + 1;
  return options;
}

}  // namespace

std::vector<Contender> AllContenders(const ScenarioSet& set,
                                     const std::vector<ServiceWorkers>& workers) {
  std::vector<Contender> all = TrainedPredictors(set);
  for (Contender& contender : all) {
    const bool another = contender.name == "seer-1s" || contender.name == "seer-missing30";
    contender.models = contender.name == "seer-unseen-app" ? static_cast<int>(set.apps.size())
                       : another                           ? 0
                                                           : 1;
  }
  for (const RivalKind kind : kAllRivals) {
    if (kind == RivalKind::kRandom) continue;
    all.push_back(Untrained(kind, set, workers, false));
    all.push_back(Untrained(kind, set, workers, true));
  }
  all.push_back(LateRequests(set));
  // Its loss has one minimum: another seed would only draw other quiet ticks.
  all.push_back(
      Shared("logistic", set, [](const TrainingData& data) -> absl::StatusOr<ServiceModel> {
        auto model = LogisticRegression::Fit(data.shared[0]);
        if (!model.ok()) return model.status();
        return EachRow([model = *std::move(model)](auto row) { return model.Probability(row); });
      }));
  for (std::uint32_t seed = 0; seed < set.training.seeds; ++seed) {
    const std::string at = seed == 0 ? "" : "@" + std::to_string(seed + 1);
    all.push_back(
        Shared("trees" + at, set, [seed](const TrainingData& data) -> absl::StatusOr<ServiceModel> {
          auto model = TrainTrees(data.shared[seed], TreesFor(data.plan, seed));
          if (!model.ok()) return model.status();
          auto kept = std::make_shared<const Trees>(*std::move(model));
          return ServiceModel([kept](auto rows, auto p) { kept->Probabilities(rows, p); });
        }));
    Contender joint;
    joint.name = "trees-joint" + at;
    joint.scale = Scale::kProbability;
    joint.probe = 0.5;
    joint.trained = joint.rows = true;
    joint.prepare = [name = joint.name, horizon_ms = set.horizon_ms,
                     seed](const TrainingData* data) -> absl::StatusOr<MakePredictor> {
      auto trained = TrainJoint(data->joint, TreesFor(data->plan, seed));
      if (!trained.ok()) return trained.status();
      auto model = std::make_shared<const JointModel>(*std::move(trained));
      return MakePredictor([name, horizon_ms, model](double threshold) {
        return absl::StatusOr<std::unique_ptr<TickPredictor>>(
            MakeJointRival(name, model, horizon_ms, threshold));
      });
    };
    all.push_back(std::move(joint));
  }
  return all;
}

std::vector<ServiceWorkers> WorkersOf(const cluster::Model& model) {
  std::vector<ServiceWorkers> workers;
  for (std::size_t s = 0; s < model.services.size(); ++s) {
    const cluster::Model::ServiceInfo& info = model.services[s];
    if (info.spec.model != cluster::ServerModel::kWorkers &&
        info.spec.model != cluster::ServerModel::kThreadPerConnection) {
      continue;
    }
    workers.push_back({model.topology.services()[s].name,
                       static_cast<double>(info.spec.threads) * info.instances});
  }
  return workers;
}

Contender RandomContender(const ScenarioSet& set, double alarms_per_hour) {
  Contender contender;
  contender.name = std::string(RivalName(RivalKind::kRandom));
  contender.prepare = [options = OptionsFor(set), alarms_per_hour](const TrainingData*) {
    return MakePredictor([options, alarms_per_hour](double) {
      RivalOptions own = options;
      own.alarms_per_hour = alarms_per_hour;
      return MakeRival(RivalKind::kRandom, own);
    });
  };
  return contender;
}

absl::Status CollectTrainingData(const ScenarioSet& set, std::size_t jobs, TrainingData* data) {
  const std::size_t seeds = set.training.seeds;
  struct OfRun {
    std::vector<TrainingRows> shared;
    JointRows joint;
  };
  std::vector<OfRun> runs(
      data->train.size(),
      OfRun{std::vector<TrainingRows>(seeds, TrainingRows(set.horizon_ms, set.training.stride)),
            JointRows(set.horizon_ms, set.training.joint_stride)});
  const absl::Status status = ForEachInParallel(jobs, runs.size(), [&](std::size_t r) {
    OfRun& own = runs[r];
    const RunFiles files(data->folder, data->train[r]);
    Recording recording;
    if (absl::Status read = ReadTruth(files, &recording); !read.ok()) return read;
    const std::vector<ViolationRow>& violations = recording.Of(data->train[r]).violations;
    const auto features = std::make_shared<SharedFeatures>();
    own.joint.Share(features);
    for (std::size_t k = 0; k < seeds; ++k) {
      own.shared[k].Share(features);
      own.shared[k].Begin(k * set.training.stride / seeds + r);
    }
    own.joint.Begin();
    return ForEachTick(files.ticks, [&](const ClusterTick& tick, const Topology& topology) {
      for (TrainingRows& rows : own.shared) rows.Observe(tick, topology, violations);
      own.joint.Observe(tick, topology, violations);
      return absl::OkStatus();
    });
  });
  if (!status.ok()) return status;
  data->shared.assign(seeds, LabelledRows());
  data->joint = JointRows(set.horizon_ms, set.training.joint_stride);
  for (OfRun& own : runs) {
    for (std::size_t k = 0; k < seeds; ++k) {
      const LabelledRows& from = own.shared[k].data();
      LabelledRows& to = data->shared[k];
      to.columns = from.columns;
      to.values.insert(to.values.end(), from.values.begin(), from.values.end());
      to.labels.insert(to.labels.end(), from.labels.begin(), from.labels.end());
      to.weights.insert(to.weights.end(), from.weights.begin(), from.weights.end());
    }
    data->joint.Append(own.joint);
    own = OfRun{{}, JointRows(set.horizon_ms, 1)};
  }
  return absl::OkStatus();
}

absl::Status ForEachInParallel(std::size_t jobs, std::size_t count,
                               const std::function<absl::Status(std::size_t)>& handle) {
  std::vector<absl::Status> statuses(count);
  std::atomic<std::size_t> next{0};
  std::atomic<bool> failed{false};
  const auto work = [&] {
    while (true) {
      // relaxed: which index is whose is all that counts; join() orders the results.
      const std::size_t i = next.fetch_add(1, std::memory_order_relaxed);
      if (i >= count || failed.load(std::memory_order_relaxed)) return;
      statuses[i] = handle(i);
      if (!statuses[i].ok()) failed.store(true, std::memory_order_relaxed);
    }
  };
  std::vector<std::thread> threads;
  for (std::size_t t = 1; t < std::min(jobs, count); ++t) threads.emplace_back(work);
  work();
  for (std::thread& thread : threads) thread.join();
  for (absl::Status& status : statuses) {
    if (!status.ok()) return std::move(status);
  }
  return absl::OkStatus();
}

}  // namespace seer::evaluation
