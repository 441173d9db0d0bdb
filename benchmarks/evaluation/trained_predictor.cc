#include "benchmarks/evaluation/trained_predictor.h"

#include <map>
#include <memory>
#include <mutex>
#include <tuple>
#include <utility>

#include "benchmarks/evaluation/blind.h"
#include "benchmarks/evaluation/simulate.h"

namespace seer::evaluation {
namespace {

constexpr std::int64_t kNsPerMs = 1'000'000;

std::string LabelOf(const RequestClass& row) {
  return row.application.empty() ? row.name : row.application + "/" + row.name;
}

std::vector<Violation> ViolationsOf(const std::vector<ViolationRow>& rows,
                                    const Topology& topology) {
  std::vector<Violation> violations;
  for (const ViolationRow& row : rows) {
    Violation violation;
    violation.start_ns = row.start_ms * kNsPerMs;
    violation.end_ns = row.end_ms * kNsPerMs;
    violation.confidence = 1;
    if (row.culprit == kLoad) violation.initiation = Initiation::kLoad;
    if (const auto culprit = topology.FindService(row.culprit)) {
      violation.initiation = Initiation::kService;
      violation.culprit = *culprit;
    }
    for (std::size_t c = 0; c < topology.classes().size(); ++c) {
      if (LabelOf(topology.classes()[c]) != row.request_class) continue;
      violation.request_class = ClassId(static_cast<std::uint32_t>(c));
      violations.push_back(violation);
    }
  }
  return violations;
}

}  // namespace

absl::StatusOr<std::vector<LabelledRun>> LabelledRuns(const std::string& folder,
                                                      const std::vector<std::string>& names) {
  std::vector<LabelledRun> runs;
  for (const std::string& name : names) {
    const RunFiles files(folder, name);
    LabelledRun run;
    const absl::Status first =
        ForEachTick(files.ticks, [&](const ClusterTick&, const Topology& topology) {
          run.topology = topology;
          return absl::CancelledError("enough");
        });
    if (!first.ok() && !absl::IsCancelled(first)) return first;
    Recording recording;
    if (absl::Status read = ReadTruth(files, &recording); !read.ok()) return read;
    run.violations = ViolationsOf(recording.Of(name).violations, run.topology);
    run.for_each_tick = [path = files.ticks](const auto& handle) {
      return ForEachTick(path,
                         [&](const ClusterTick& tick, const Topology&) { return handle(tick); });
    };
    runs.push_back(std::move(run));
  }
  return runs;
}

TreeTrainingOptions TrainedPredictorOptions(const ScenarioSet& set) {
  TreeTrainingOptions options;
  options.alarm.false_alarms_per_hour = set.false_alarms_per_hour;
  options.threads = 2;
  return options;
}

absl::StatusOr<Topology> WithClassesOf(Topology topology, std::string_view application,
                                       bool of_others) {
  for (std::size_t c = 0; c < topology.classes().size(); ++c) {
    const ClassId id(static_cast<std::uint32_t>(c));
    if (!topology.IsLive(id)) continue;
    if ((topology.request_class(id).application == application) != of_others) continue;
    if (absl::Status status = topology.RemoveRequestClass(id); !status.ok()) return status;
  }
  return topology;
}

namespace {

// Models are trained once, by whoever asks first.
class ModelStore {
 public:
  absl::StatusOr<TreeModel> Get(const std::string& name, const TrainingData& data,
                                const TreeTrainingOptions& options,
                                std::string_view without_application) {
    Slot* slot = nullptr;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      slot = &slots_[data.models + "/" + name];
    }
    const std::lock_guard<std::mutex> lock(slot->mutex);
    if (slot->model != nullptr) return *slot->model;
    const std::string path = data.models.empty() ? "" : data.models + "/" + name + ".model";
    absl::StatusOr<TreeModel> model = absl::NotFoundError("");
    if (!path.empty()) model = LoadTreeModel(path);
    if (!model.ok()) {
      model = Train(data, options, without_application);
      if (!model.ok()) return model;
      if (!path.empty()) {
        if (absl::Status saved = SaveTreeModel(*model, path); !saved.ok()) return saved;
      }
    }
    slot->model = std::make_unique<TreeModel>(*model);
    return model;
  }

 private:
  struct Slot {
    std::mutex mutex;
    std::unique_ptr<TreeModel> model;
  };

  static absl::StatusOr<TreeModel> Train(const TrainingData& data,
                                         const TreeTrainingOptions& options,
                                         std::string_view without_application) {
    auto train = LabelledRuns(data.folder, data.train);
    if (!train.ok()) return train.status();
    auto validation = LabelledRuns(data.folder, data.validation);
    if (!validation.ok()) return validation.status();
    for (auto* runs : {&*train, &*validation}) {
      for (LabelledRun& run : *runs) {
        if (without_application.empty()) continue;
        auto topology = WithClassesOf(run.topology, without_application, true);
        if (!topology.ok()) return topology.status();
        run.topology = *std::move(topology);
      }
    }
    auto trained = TrainTrees(*train, *validation, options);
    if (absl::IsInvalidArgument(trained.status())) {  // too few violations: it is left out
      return absl::UnimplementedError(trained.status().message());
    }
    return trained;
  }

  std::mutex mutex_;  // of slots_
  std::map<std::string, Slot> slots_;
};

// Each application's classes are foreseen by a predictor of its own.
class ByApplicationPredictor final : public TickPredictor {
 public:
  struct Part {
    std::string application;
    std::unique_ptr<TickPredictor> predictor;
    Topology topology;
    Forecast forecast;
  };
  ByApplicationPredictor(std::string name, std::vector<Part> parts)
      : name_(std::move(name)), parts_(std::move(parts)) {}

  std::string_view name() const override { return name_; }
  void Reset() override {
    for (Part& part : parts_) part.predictor->Reset();
    known_ = false;
  }
  absl::Status Observe(const ClusterTick& tick, const Topology& topology,
                       Forecast* forecast) override {
    const std::pair<std::uint64_t, std::uint64_t> version(topology.origin().epoch,
                                                          topology.version());
    for (Part& part : parts_) {
      if (!known_ || version != version_) {
        auto own = WithClassesOf(topology, part.application, false);
        if (!own.ok()) return own.status();
        part.topology = *std::move(own);
      }
      absl::Status status = part.predictor->Observe(tick, part.topology, &part.forecast);
      if (!status.ok()) return status;
    }
    version_ = version;
    known_ = true;
    forecast->tick = tick.tick;
    forecast->period = tick.period;
    forecast->classes.clear();
    for (const Part& part : parts_) {
      forecast->classes.insert(forecast->classes.end(), part.forecast.classes.begin(),
                               part.forecast.classes.end());
    }
    return absl::OkStatus();
  }

 private:
  const std::string name_;
  std::vector<Part> parts_;
  std::pair<std::uint64_t, std::uint64_t> version_;
  bool known_ = false;
};

absl::StatusOr<std::unique_ptr<TickPredictor>> Predictor(const TreeModel& model,
                                                         const std::string& name) {
  TreePredictorOptions own;
  own.name = name;
  own.evidence = false;  // nobody reads it here
  return MakeTreePredictor(model, own);
}

using Models = std::vector<std::shared_ptr<const TreeModel>>;

struct Recipe {
  std::string name;
  std::string model;  // whose model it is
  TreeTrainingOptions options;
};

}  // namespace

std::vector<Contender> TrainedPredictors(const ScenarioSet& set) {
  const auto store = std::make_shared<ModelStore>();
  const TreeTrainingOptions usual = TrainedPredictorOptions(set);
  std::vector<Contender> all;
  const auto add = [&](const Recipe& recipe) -> Contender& {
    Contender contender;
    contender.name = recipe.name;
    contender.scale = Scale::kOwn;  // the library has chosen its threshold, on the validation runs
    contender.trained = true;
    contender.variant = recipe.name.find('-') != std::string::npos;
    contender.prepare = [store, recipe](const TrainingData* data) -> absl::StatusOr<MakePredictor> {
      auto trained = store->Get(recipe.model, *data, recipe.options, "");
      if (!trained.ok()) return trained.status();
      auto model = std::make_shared<const TreeModel>(*std::move(trained));
      return MakePredictor([model, name = recipe.name](double) { return Predictor(*model, name); });
    };
    all.push_back(std::move(contender));
    return all.back();
  };
  for (std::uint32_t seed = 0; seed < set.training.seeds; ++seed) {
    const std::string at = seed == 0 ? "" : "@" + std::to_string(seed + 1);
    Recipe recipe{kTrainedPredictor + at, kTrainedPredictor + at, usual};
    recipe.options.violations.seed = recipe.options.initiators.seed = seed + 1;
    add(recipe);
  }
  {
    Contender& second = add({"seer-1s", kTrainedPredictor, usual});
    second.scale = Scale::kProbability;
    second.probe = 0.5;
    second.horizon_ms = 1000;
    second.least_precision = 0.8;
    second.prepare = [store, usual](const TrainingData* data) -> absl::StatusOr<MakePredictor> {
      auto trained = store->Get(kTrainedPredictor, *data, usual, "");
      if (!trained.ok()) return trained.status();
      return MakePredictor([model = *std::move(trained)](double threshold) {
        TreeModel own = model;
        own.calibration.alarm_horizon_ns = 1'000'000'000;
        own.calibration.threshold = threshold;
        return Predictor(own, "seer-1s");
      });
    };
  }
  {
    Contender& blind = add({"seer-missing30", kTrainedPredictor, usual});
    const auto whole = blind.prepare;
    blind.prepare = [whole](const TrainingData* data) -> absl::StatusOr<MakePredictor> {
      auto make = whole(data);
      if (!make.ok()) return make.status();
      return MakePredictor([make = *std::move(make)](
                               double threshold) -> absl::StatusOr<std::unique_ptr<TickPredictor>> {
        auto inner = make(threshold);
        if (!inner.ok()) return inner.status();
        return MakeBlind("seer-missing30", *std::move(inner), 0.3);
      });
    };
  }
  for (const auto& [name, channels, edges] :
       {std::tuple("seer-nic", ChannelMask::NicOnly(), false),
        std::tuple("seer-kernel", ChannelMask::KernelOnly(), false),
        std::tuple("seer-app", ChannelMask::AppOnly(), true)}) {
    Recipe recipe{name, name, usual};
    recipe.options.inputs.channels = channels;
    recipe.options.inputs.edges = edges;  // told by the applications' instrumentation
    add(recipe);
  }
  if (set.apps.size() < 2) return all;
  Contender& unseen = add({"seer-unseen-app", kTrainedPredictor, usual});
  unseen.prepare = [store, usual,
                    apps = set.apps](const TrainingData* data) -> absl::StatusOr<MakePredictor> {
    Models models;
    for (const std::string& app : apps) {
      auto model = store->Get("seer-without-" + app, *data, usual, app);
      if (!model.ok()) return model.status();
      models.push_back(std::make_shared<const TreeModel>(*std::move(model)));
    }
    return MakePredictor([models, apps](double) -> absl::StatusOr<std::unique_ptr<TickPredictor>> {
      std::vector<ByApplicationPredictor::Part> parts;
      for (std::size_t i = 0; i < apps.size(); ++i) {
        auto predictor = Predictor(*models[i], "seer-unseen-app");
        if (!predictor.ok()) return predictor.status();
        parts.push_back({apps[i], *std::move(predictor), Topology(), Forecast()});
      }
      return std::unique_ptr<TickPredictor>(
          std::make_unique<ByApplicationPredictor>("seer-unseen-app", std::move(parts)));
    });
  };
  return all;
}

absl::StatusOr<TreeModel> TheTrainedModel(const ScenarioSet& set, const TrainingData& data) {
  return ModelStore().Get(kTrainedPredictor, data, TrainedPredictorOptions(set), "");
}

}  // namespace seer::evaluation
