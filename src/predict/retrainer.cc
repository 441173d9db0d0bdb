#include "seer/predict/retrainer.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "predict/model_judge.h"
#include "predict/retrainer_core.h"
#include "predict/window_intake.h"
#include "seer/core/internal/status_macros.h"
#include "seer/nn/backend.h"
#include "seer/nn/counter_rng.h"
#include "seer/nn/topology_map.h"
#include "seer/nn/trainer.h"

SEER_BEGIN_NAMESPACE
namespace {

using internal::Judge;
using internal::JudgedModel;
using internal::ModelScore;
using internal::WhyWorse;

// What is being trained.
struct Job {
  RetrainStage stage = RetrainStage::kIdle;
  JudgedModel model;
  std::unique_ptr<Trainer> trainer;
  std::uint32_t steps = 0, done = 0;
};

}  // namespace

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

namespace {

class NetworkRetrainer final : public internal::RetrainerCore {
 public:
  // `model`: the bytes of `serving`.
  NetworkRetrainer(const RetrainerOptions& options, std::string model, JudgedModel serving,
                   ReplayBuffer replay, ReplayBuffer held_back,
                   const internal::IntakeOptions& intake)
      : RetrainerCore(options, std::move(model), serving.checkpoint.provenance),
        ticks_(serving.checkpoint.config.ticks),
        inputs_(serving.inputs),
        intake_(serving.inputs, serving.services, serving.checkpoint.config.ticks, intake),
        serving_(std::move(serving)),
        replay_(std::move(replay)),
        held_back_(std::move(held_back)) {}

 private:
  absl::Status TakeTick(const ClusterTick& tick, const Topology& topology) override
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return intake_.Observe(tick, topology);
  }
  internal::EventLog& events() override ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return intake_.events();
  }
  void GiveUp() override { job_.reset(); }
  absl::StatusOr<bool> DoStep(std::int64_t now_ns) override {
    TakeIn();
    serving_.FindSlots(names_);
    if (before_) before_->FindSlots(names_);
    SEER_RETURN_IF_ERROR(Probe(now_ns));
    if (job_ == nullptr) SEER_RETURN_IF_ERROR(LookAtServices(now_ns));
    if (job_ == nullptr) SEER_RETURN_IF_ERROR(LookAtDrift(now_ns));
    if (job_ == nullptr) SEER_RETURN_IF_ERROR(BeginRound(now_ns));
    if (job_ == nullptr) return false;
    SEER_RETURN_IF_ERROR(Train());
    if (job_->done < job_->steps) return true;
    const std::unique_ptr<Job> done = std::move(job_);
    SEER_RETURN_IF_ERROR(Finish(done.get(), now_ns));
    // The whole network after the head, from what serves now.
    if (done->stage == RetrainStage::kHead) {
      SEER_RETURN_IF_ERROR(Begin(RetrainStage::kWhole, serving_));
    }
    return job_ != nullptr;
  }

  // What has become known since the last time.
  void TakeIn() {
    std::vector<ReplayWindow> windows;
    {
      internal::MutexLock lock(&mutex_);
      windows = intake_.Take();
      names_ = intake_.services();
      way_ = intake_.on_the_way();
      live_ = intake_.live();
      if (TakeMajorChange()) {
        wants_scratch_ = true;
        changed_ns_ = intake_.newest_ns();
      }
      way_since_ns_ = intake_.on_the_way_since_ns();
      newest_ns_ = intake_.newest_ns();
      TakeCounts(intake_.events().alarms(), intake_.dropped());
    }
    std::int64_t reach_ns = inputs_.initiator_horizon_ns;
    for (const std::int64_t horizon : inputs_.horizons_ns) reach_ns = std::max(reach_ns, horizon);
    for (ReplayWindow& window : windows) {
      // What a window and its truth rest on is held back or not, all of it.
      const std::int64_t begin_ns =
          window.end_ns - static_cast<std::int64_t>(ticks_) * inputs_.period.ns();
      const bool held = HeldBack(begin_ns);
      if (held != HeldBack(window.end_ns + reach_ns)) continue;
      const bool ahead = window.initiator != ReplayWindow::kNoViolation &&
                         window.initiator != ReplayWindow::kUnknown;
      // One that does not fit is not remembered; nothing else comes of it.
      const bool added = (held ? held_back_ : replay_).Add(std::move(window)).ok();
      if (added && !held && ahead) ++unlearnt_;
    }
  }

  // Who is new, who is gone, of those that requests wait for?
  absl::Status LookAtServices(std::int64_t now_ns) {
    if (way_.empty() || newest_ns_ - way_since_ns_ < options_.settle_ns) return absl::OkStatus();
    std::vector<std::string> live;
    for (const ServiceSlot& slot : serving_.checkpoint.services) {
      if (slot.live) live.push_back(slot.name);
    }
    std::vector<std::string> fresh, gone;
    for (const std::string& name : way_) {
      if (std::find(live.begin(), live.end(), name) == live.end()) fresh.push_back(name);
    }
    for (const std::string& name : live) {
      if (!std::binary_search(live_.begin(), live_.end(), name)) gone.push_back(name);
    }
    if (fresh.empty() && gone.empty()) return absl::OkStatus();
    const double change = static_cast<double>(fresh.size() + gone.size()) /
                          static_cast<double>(way_.size() + gone.size());
    SEER_RETURN_IF_ERROR(MapOntoThese(fresh, now_ns));
    if (change >= options_.major_change) {
      wants_scratch_ = true;
      changed_ns_ = newest_ns_;
    }
    return absl::OkStatus();
  }

  absl::Status MapOntoThese(const std::vector<std::string>& fresh, std::int64_t now_ns) {
    std::vector<std::string> services;
    for (const ServiceSlot& slot : serving_.checkpoint.services) {
      if (slot.live && std::binary_search(live_.begin(), live_.end(), slot.name)) {
        services.push_back(slot.name);
      }
    }
    services.insert(services.end(), fresh.begin(), fresh.end());
    if (services == not_mapped_) return absl::OkStatus();  // tried before
    const absl::StatusOr<Checkpoint> mapped = MapOnto(serving_.checkpoint, services);
    RetrainDecision decision;
    decision.stage = RetrainStage::kMapping;
    decision.at_ns = now_ns;
    absl::StatusOr<JudgedModel> model =
        mapped.ok() ? JudgedModel::Of(*mapped) : absl::StatusOr<JudgedModel>(mapped.status());
    if (!model.ok()) {
      // A network whose layers pool over all services stays as it was, and does not see them.
      not_mapped_ = services;
      decision.reason = std::string(model.status().message());
      wants_scratch_ = true;
      changed_ns_ = newest_ns_;
    } else {
      model->checkpoint.training.reset();
      model->FindSlots(names_);
      SEER_RETURN_IF_ERROR(Replace(*std::move(model), decision, /*keep_before=*/false));
      decision.replaced = true;
    }
    Tell(decision);
    return absl::OkStatus();
  }

  absl::Status LookAtDrift(std::int64_t now_ns) {
    if (newest_ns_ < looked_ns_ + kLookEvery) return absl::OkStatus();
    looked_ns_ = newest_ns_;
    std::vector<Normalizer::Scale> recent;
    {
      internal::MutexLock lock(&mutex_);
      recent = intake_.RecentScales();
    }
    const std::vector<std::size_t> drifted =
        internal::Drifted(serving_, recent, options_.drift_shift);
    drifted_ = static_cast<double>(drifted.size()) /
               static_cast<double>(std::max<std::size_t>(1, serving_.services.size()));
    // Twice in a row, so that what passes within seconds moves nothing.
    std::vector<std::size_t> both;
    std::set_intersection(drifted.begin(), drifted.end(), drifted_before_.begin(),
                          drifted_before_.end(), std::back_inserter(both));
    drifted_before_ = drifted;
    if (both.empty()) return absl::OkStatus();
    Job job;
    job.stage = RetrainStage::kNormaliser;
    job.model = serving_;
    internal::Renormalize(both, recent, &job.model);
    drifted_before_.clear();
    looked_ns_ += options_.recent_ns;  // until all that is recent is what it is now
    return Finish(&job, now_ns);
  }

  absl::Status BeginRound(std::int64_t now_ns) {
    if (newest_ns_ < round_ns_ + options_.retrain_every_ns) return absl::OkStatus();
    if (unlearnt_ < options_.new_windows) return absl::OkStatus();
    // What could not be judged is not worth its training.
    const std::int64_t from_ns = wants_scratch_ ? changed_ns_ : 0;
    if (internal::ViolationsIn(held_back_, from_ns) < options_.fewest_held_back) {
      return absl::OkStatus();
    }
    round_ns_ = newest_ns_;
    unlearnt_ = 0;
    if (!wants_scratch_) return Begin(RetrainStage::kHead, serving_);
    wants_scratch_ = false;
    absl::StatusOr<JudgedModel> anew = NewNetwork();
    if (!anew.ok()) {
      RetrainDecision decision;
      decision.stage = RetrainStage::kScratch;
      decision.at_ns = now_ns;
      decision.reason = std::string(anew.status().message());
      Tell(decision);
      return Begin(RetrainStage::kHead, serving_);
    }
    return Begin(RetrainStage::kScratch, *std::move(anew));
  }

  // For the services that there are, with weights that know nothing.
  absl::StatusOr<JudgedModel> NewNetwork() const {
    Checkpoint checkpoint = serving_.checkpoint;
    checkpoint.training.reset();
    checkpoint.config.blocks = {static_cast<std::uint32_t>(way_.size())};
    checkpoint.services.clear();
    for (const std::string& name : way_) checkpoint.services.push_back({name, true});
    SEER_ASSIGN_OR_RETURN(const Network network, Network::Create(checkpoint.config));
    checkpoint.parameters.resize(network.parameters());
    network.Initialize(options_.seed + version_, absl::MakeSpan(checkpoint.parameters));
    return JudgedModel::Of(std::move(checkpoint));
  }

  absl::Status Begin(RetrainStage stage, JudgedModel model) {
    if (replay_.positives() == 0) return absl::OkStatus();
    auto job = std::make_unique<Job>();
    job->stage = stage;
    job->model = std::move(model);
    job->model.FindSlots(names_);
    SEER_ASSIGN_OR_RETURN(const Network network, Network::Create(job->model.checkpoint.config));
    TrainerOptions options;
    options.backend = options_.backend;
    options.epochs = 1;
    options.shuffle = false;
    options.keep_best = false;
    options.seed = options_.seed + ++jobs_;
    options.optimizer.clip_norm = 1;
    options.optimizer.learning_rate = stage == RetrainStage::kHead    ? options_.head_rate
                                      : stage == RetrainStage::kWhole ? options_.whole_rate
                                                                      : options_.scratch_rate;
    job->steps = stage == RetrainStage::kHead    ? options_.head_steps
                 : stage == RetrainStage::kWhole ? options_.whole_steps
                                                 : options_.scratch_steps;
    SEER_ASSIGN_OR_RETURN(job->trainer, Trainer::Create(network, options));
    SEER_RETURN_IF_ERROR(job->trainer->SetParameters(job->model.checkpoint.parameters));
    job_ = std::move(job);
    return absl::OkStatus();
  }

  // A few minibatches.
  absl::Status Train() {
    Job& job = *job_;
    Trainer& trainer = *job.trainer;
    const Network& network = trainer.network();
    // The head alone: after each minibatch everything else is put back.
    const bool head = job.stage == RetrainStage::kHead;
    const std::uint32_t rounds = head ? options_.batches_a_step : 1;
    const std::size_t batches = head ? 1 : options_.batches_a_step;
    std::vector<float> parameters;
    for (std::uint32_t r = 0; r < rounds; ++r) {
      const std::uint64_t seed = CounterRng::Mix(options_.seed + jobs_) + job.done * rounds + r;
      const auto source = replay_.NewSource(job.model.inputs, job.model.services, job.model.slots,
                                            batches * network.config().batch, seed);
      if (source->windows() == 0) break;
      // Each source is an epoch of its own; the optimizer goes on.
      TrainingState state = trainer.state();
      state.windows = state.epoch = state.step = 0;
      state.epoch_loss = LossSum();
      state.finished = false;
      if (job.done + r > 0) {
        parameters.assign(trainer.parameters().begin(), trainer.parameters().end());
        SEER_RETURN_IF_ERROR(trainer.Restore(parameters, state));
      }
      SEER_RETURN_IF_ERROR(trainer.Train(*source));
      if (!head) continue;
      parameters.assign(trainer.parameters().begin(), trainer.parameters().end());
      for (const Tensor& tensor : network.tensors()) {
        if (tensor.name.rfind("head", 0) == 0) continue;
        std::copy_n(
            job.model.checkpoint.parameters.begin() + static_cast<std::ptrdiff_t>(tensor.offset),
            tensor.size(), parameters.begin() + static_cast<std::ptrdiff_t>(tensor.offset));
      }
      state = trainer.state();
      SEER_RETURN_IF_ERROR(trainer.Restore(parameters, state));
    }
    ++job.done;
    ++steps_;
    return absl::OkStatus();
  }

  // Does it replace the model that serves?
  absl::Status Finish(Job* job, std::int64_t now_ns) {
    if (job->trainer != nullptr) {
      job->model.checkpoint.parameters.assign(job->trainer->parameters().begin(),
                                              job->trainer->parameters().end());
    }
    job->model.checkpoint.training.reset();
    job->model.FindSlots(names_);
    RetrainDecision decision;
    decision.stage = job->stage;
    decision.at_ns = now_ns;
    // Of another application only what came since it changed is of use.
    // Scales are fitted without labels, to what is recent: by those windows they are judged, and
    // no block need be waited for that is held back.
    const bool scales = job->stage == RetrainStage::kNormaliser;
    const std::int64_t from_ns = job->stage == RetrainStage::kScratch ? changed_ns_
                                 : scales
                                     ? newest_ns_ - options_.recent_ns - options_.label_delay_ns
                                     : 0;
    const ReplayBuffer& judges =
        scales && replay_.windows() > held_back_.windows() ? replay_ : held_back_;
    SEER_ASSIGN_OR_RETURN(const ModelScore serving,
                          Judge(serving_, judges, from_ns, options_.backend));
    const absl::StatusOr<ModelScore> candidate =
        Judge(job->model, judges, from_ns, options_.backend);
    if (candidate.ok()) {
      if (job->trainer != nullptr)
        internal::KeepAlarmRate(serving_, serving, *candidate, &job->model);
      decision.candidate_loss = candidate->loss();
      decision.held_back = candidate->ahead + candidate->calm;
      decision.held_back_ahead = candidate->ahead;
      decision.reason = WhyWorse(serving, *candidate, options_.fewest_held_back, scales);
    } else {
      decision.reason = std::string(candidate.status().message());
    }
    decision.serving_loss = serving.loss();
    if (decision.reason.empty()) {
      SEER_RETURN_IF_ERROR(Replace(std::move(job->model), decision, /*keep_before=*/true));
      decision.replaced = true;
      replaced_ns_ = newest_ns_;
      probed_ns_ = newest_ns_;
    }
    Tell(decision);
    return absl::OkStatus();
  }

  // Would the model before have done better since?
  absl::Status Probe(std::int64_t now_ns) {
    if (!before_ || newest_ns_ < probed_ns_ + kProbeEvery) return absl::OkStatus();
    probed_ns_ = newest_ns_;
    SEER_ASSIGN_OR_RETURN(const ModelScore serving,
                          Judge(serving_, held_back_, replaced_ns_, options_.backend));
    SEER_ASSIGN_OR_RETURN(const ModelScore before,
                          Judge(*before_, held_back_, replaced_ns_, options_.backend));
    if (serving.violations >= options_.fewest_held_back && serving.calm > 0 &&
        serving.loss() > 1.1 * before.loss() && serving.auc <= before.auc + 0.005) {
      RetrainDecision decision;
      decision.at_ns = now_ns;
      decision.rolled_back = decision.replaced = true;
      decision.serving_loss = serving.loss();
      decision.candidate_loss = before.loss();
      decision.held_back = serving.ahead + serving.calm;
      decision.held_back_ahead = serving.ahead;
      decision.reason = absl::StrFormat(
          "since it was replaced the model before would have had loss "
          "%.4f, this one %.4f",
          before.loss(), serving.loss());
      job_.reset();  // it began from what was no good
      JudgedModel back = *std::move(before_);
      before_.reset();
      SEER_RETURN_IF_ERROR(Replace(std::move(back), decision, /*keep_before=*/false));
      Tell(decision);
    } else if (newest_ns_ - replaced_ns_ > options_.probation_ns) {
      before_.reset();
    }
    return absl::OkStatus();
  }

  absl::Status Replace(JudgedModel model, const RetrainDecision& decision, bool keep_before) {
    NextVersion(decision, replay_.windows(), &model.checkpoint.provenance);
    SEER_ASSIGN_OR_RETURN(std::string bytes, EncodeCheckpoint(model.checkpoint));
    // The model from before the first change stays the one to go back to while it is on trial.
    if (!keep_before) {
      before_.reset();
    } else if (!before_) {
      before_ = std::move(serving_);
    }
    serving_ = std::move(model);
    Show(std::move(bytes));
    return absl::OkStatus();
  }

  void Publish(RetrainerHealth* health) const override {
    health->stage = job_ != nullptr ? job_->stage : RetrainStage::kIdle;
    health->replay_windows = replay_.windows();
    health->replay_ahead = replay_.positives();
    health->replay_bytes = replay_.bytes();
    health->held_back_windows = held_back_.windows();
    health->held_back_ahead = held_back_.positives();
    health->drifted_services = drifted_;
  }

  const std::size_t ticks_;
  const ModelInputs inputs_;  // but for the normaliser

  internal::WindowIntake intake_ ABSL_GUARDED_BY(mutex_);

  // Of Step() alone.
  JudgedModel serving_;
  std::optional<JudgedModel> before_;
  ReplayBuffer replay_, held_back_;
  std::unique_ptr<Job> job_;
  std::vector<std::string> names_, way_, live_, not_mapped_;
  std::int64_t way_since_ns_ = 0, newest_ns_ = 0, looked_ns_ = 0, round_ns_ = 0;
  std::int64_t replaced_ns_ = 0, probed_ns_ = 0, changed_ns_ = 0;
  std::vector<std::size_t> drifted_before_;
  double drifted_ = 0;
  bool wants_scratch_ = false;
  std::size_t unlearnt_ = 0;
  std::uint64_t jobs_ = 0;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Retrainer>> Retrainer::Create(const Checkpoint& serving,
                                                             const RetrainerOptions& options) {
  SEER_RETURN_IF_ERROR(options.Validate());
  SEER_ASSIGN_OR_RETURN(JudgedModel model, JudgedModel::Of(serving));
  model.checkpoint.training.reset();
  const bool hazards = serving.config.hazard_classes > 0;
  if (!hazards) model.inputs.classes.clear();
  const std::size_t classes = model.inputs.classes.size();
  ReplayOptions held = options.replay;
  held.bytes = options.held_back_bytes;
  held.seed = options.replay.seed + 1;
  SEER_ASSIGN_OR_RETURN(ReplayBuffer replay,
                        ReplayBuffer::Create(serving.config.ticks, model.inputs.inputs.size(),
                                             classes, options.replay));
  SEER_ASSIGN_OR_RETURN(
      ReplayBuffer held_back,
      ReplayBuffer::Create(serving.config.ticks, model.inputs.inputs.size(), classes, held));
  internal::IntakeOptions intake;
  intake.label_delay_ns = options.label_delay_ns;
  intake.recent_ns = options.recent_ns;
  intake.find_violations = options.find_violations;
  intake.avoided_weight = options.avoided_weight;
  SEER_ASSIGN_OR_RETURN(std::string bytes, EncodeCheckpoint(model.checkpoint));
  return std::unique_ptr<Retrainer>(new NetworkRetrainer(options, std::move(bytes),
                                                         std::move(model), std::move(replay),
                                                         std::move(held_back), intake));
}

SEER_END_NAMESPACE
