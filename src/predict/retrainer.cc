#include "seer/predict/retrainer.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "predict/model_judge.h"
#include "predict/network_memory.h"
#include "predict/retrainer_core.h"
#include "predict/window_intake.h"
#include "seer/core/internal/status_macros.h"
#include "seer/nn/counter_rng.h"
#include "seer/nn/topology_map.h"
#include "seer/nn/trainer.h"

SEER_BEGIN_NAMESPACE
namespace {

using internal::Judge;
using internal::JudgedModel;
using internal::ModelScore;
using internal::NetworkMemory;
using internal::WhyWorse;
using internal::WindowIntake;

// What is being trained.
struct Job {
  RetrainStage stage = RetrainStage::kIdle;
  JudgedModel model;
  std::unique_ptr<Trainer> trainer;
  std::uint32_t steps = 0, done = 0;
};

class NetworkRetrainer final : public internal::RetrainerCore {
 public:
  // `model`: the bytes of `serving`.
  NetworkRetrainer(const RetrainerOptions& options, std::string model, JudgedModel serving,
                   NetworkMemory memory)
      : RetrainerCore(options, std::move(model), serving.checkpoint.provenance),
        ticks_(serving.checkpoint.config.ticks),
        inputs_(serving.inputs),
        reach_ns_(ReachOf(serving.inputs)),
        intake_(NewIntake(serving.services)),
        serving_(std::move(serving)),
        memory_(std::move(memory)) {}

  static absl::StatusOr<NetworkMemory> NewMemory(const RetrainerOptions& options,
                                                 const JudgedModel& model) {
    const std::size_t ticks = model.checkpoint.config.ticks;
    const std::size_t inputs = model.inputs.inputs.size(), classes = model.inputs.classes.size();
    ReplayOptions held = options.replay;
    held.bytes = options.held_back_bytes;
    held.seed = options.replay.seed + 1;
    SEER_ASSIGN_OR_RETURN(ReplayBuffer replay,
                          ReplayBuffer::Create(ticks, inputs, classes, options.replay));
    SEER_ASSIGN_OR_RETURN(ReplayBuffer held_back,
                          ReplayBuffer::Create(ticks, inputs, classes, held));
    return NetworkMemory(std::move(replay), std::move(held_back));
  }

 private:
  absl::Status TakeTick(const ClusterTick& tick, const Topology& topology) override
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return intake_->Observe(tick, topology);
  }
  internal::EventLog& events() override ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return intake_->events();
  }
  void GiveUp() override { job_.reset(); }
  bool OfTrees() const override { return false; }

  static std::int64_t ReachOf(const ModelInputs& inputs) {
    std::int64_t reach_ns = inputs.initiator_horizon_ns;
    for (const std::int64_t horizon : inputs.horizons_ns) reach_ns = std::max(reach_ns, horizon);
    return reach_ns;
  }
  std::unique_ptr<WindowIntake> NewIntake(std::vector<std::string> services) const {
    internal::IntakeOptions intake;
    intake.label_delay_ns = options_.label_delay_ns;
    intake.recent_ns = options_.recent_ns;
    intake.find_violations = options_.find_violations;
    intake.avoided_weight = options_.avoided_weight;
    return std::make_unique<WindowIntake>(inputs_, std::move(services), ticks_, intake);
  }

  // A restart. What is being trained goes on, too: the weights, and the optimizer's moments.
  absl::Status SaveOwn(internal::StateIo& io) const override {
    {
      internal::MutexLock lock(&mutex_);
      intake_->State(io);
    }
    memory_.State(io, inputs_.horizons_ns.size());
    std::string before, begun, trained;
    if (before_) {
      SEER_ASSIGN_OR_RETURN(before, EncodeCheckpoint(before_->checkpoint));
    }
    io(before);
    RetrainStage stage = RetrainStage::kIdle;
    std::uint32_t steps = 0, done = 0;
    std::vector<std::int32_t> slots;
    if (job_ != nullptr) {
      stage = job_->stage, steps = job_->steps, done = job_->done;
      slots = job_->model.slots;
      SEER_ASSIGN_OR_RETURN(begun, EncodeCheckpoint(job_->model.checkpoint));
      Checkpoint now;
      now.config = job_->model.checkpoint.config;
      now.parameters.assign(job_->trainer->parameters().begin(), job_->trainer->parameters().end());
      now.training = NextEpoch(job_->trainer->state());
      SEER_ASSIGN_OR_RETURN(trained, EncodeCheckpoint(now));
    }
    io(stage), io(steps), io(done), io(slots), io(begun), io(trained);
    return io.status();
  }

  absl::Status LoadOwn(internal::StateIo& io, std::string_view serving) override {
    SEER_ASSIGN_OR_RETURN(JudgedModel model, Decoded(serving));
    std::unique_ptr<WindowIntake> intake = NewIntake({});
    intake->State(io);
    SEER_ASSIGN_OR_RETURN(NetworkMemory memory, NewMemory(options_, model));
    memory.State(io, inputs_.horizons_ns.size());
    std::string before_bytes, begun, trained;
    RetrainStage stage = RetrainStage::kIdle;
    std::uint32_t steps = 0, done = 0;
    std::vector<std::int32_t> slots;
    io(before_bytes), io(stage), io(steps), io(done), io(slots), io(begun), io(trained);
    io.Require(stage == RetrainStage::kIdle || stage == RetrainStage::kHead ||
                   stage == RetrainStage::kWhole || stage == RetrainStage::kScratch,
               "a stage that trains nothing");
    io.Require(stage == RetrainStage::kIdle || done < steps, "training that is over");
    SEER_RETURN_IF_ERROR(io.status());
    SEER_RETURN_IF_ERROR(intake->Rebuild());
    std::optional<JudgedModel> before;
    if (!before_bytes.empty()) {
      SEER_ASSIGN_OR_RETURN(before, Decoded(before_bytes));
    }
    std::unique_ptr<Job> job;
    if (stage != RetrainStage::kIdle) {
      SEER_ASSIGN_OR_RETURN(JudgedModel from, Decoded(begun));
      SEER_ASSIGN_OR_RETURN(Checkpoint now, DecodeCheckpoint(trained));
      ModelConfig config = from.checkpoint.config;
      const bool same = now.config == config && now.training;
      config.blocks = model.checkpoint.config.blocks;
      if (!same || config != model.checkpoint.config || slots.size() != from.services.size()) {
        return absl::InvalidArgumentError(
            "retrainer state: what was being trained is no network like the one that serves: take "
            "another copy");
      }
      from.slots = std::move(slots);
      SEER_ASSIGN_OR_RETURN(job, NewJob(stage, std::move(from), memory.jobs));
      job->steps = steps, job->done = done;
      const absl::Status goes_on = job->trainer->Restore(now.parameters, NextEpoch(*now.training));
      if (!goes_on.ok()) {
        return absl::InvalidArgumentError(absl::StrCat("retrainer state: ", goes_on.message()));
      }
    }
    serving_ = std::move(model);
    before_ = std::move(before);
    memory_ = std::move(memory);
    job_ = std::move(job);
    internal::MutexLock lock(&mutex_);
    intake_.swap(intake);
    return absl::OkStatus();
  }

  // Each source of minibatches is an epoch of its own; the optimizer goes on.
  static TrainingState NextEpoch(const TrainingState& now) {
    TrainingState next;
    next.seed = now.seed, next.batch = now.batch, next.threads = now.threads;
    next.optimizer = now.optimizer;
    return next;
  }

  // A model that could serve here.
  absl::StatusOr<JudgedModel> Decoded(std::string_view bytes) const {
    SEER_ASSIGN_OR_RETURN(Checkpoint checkpoint, DecodeCheckpoint(bytes));
    checkpoint.training.reset();
    SEER_ASSIGN_OR_RETURN(JudgedModel model, JudgedModel::Of(std::move(checkpoint)));
    const ModelConfig &theirs = model.checkpoint.config, &ours = serving_.checkpoint.config;
    if (ours.hazard_classes == 0) model.inputs.classes.clear();
    ModelInputs inputs = model.inputs;
    inputs.normalizer = inputs_.normalizer;
    if (!(inputs == inputs_) || theirs.ticks != ours.ticks ||
        theirs.hazard_classes != ours.hazard_classes ||
        theirs.hazard_horizons != ours.hazard_horizons) {
      return absl::InvalidArgumentError(
          "retrainer state: of a model with other inputs: load it into one made with such");
    }
    return model;
  }

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
      windows = intake_->Take();
      names_ = intake_->services();
      way_ = intake_->on_the_way();
      live_ = intake_->live();
      if (TakeMajorChange()) {
        memory_.wants_scratch = true;
        memory_.changed_ns = intake_->newest_ns();
      }
      way_since_ns_ = intake_->on_the_way_since_ns();
      if (intake_->newest_ns() < memory_.newest_ns) {
        memory_.times().NotLaterThan(intake_->newest_ns());
      }
      memory_.newest_ns = intake_->newest_ns();
      TakeCounts(intake_->events().alarms(), intake_->dropped());
    }
    for (ReplayWindow& window : windows) {
      // What a window and its truth rest on is held back or not, all of it.
      const std::int64_t begin_ns =
          window.end_ns - static_cast<std::int64_t>(ticks_) * inputs_.period.ns();
      const bool held = HeldBack(begin_ns);
      if (held != HeldBack(window.end_ns + reach_ns_)) continue;
      const bool ahead = window.initiator != ReplayWindow::kNoViolation &&
                         window.initiator != ReplayWindow::kUnknown;
      // One that does not fit is not remembered; nothing else comes of it.
      const bool added = (held ? memory_.held_back : memory_.replay).Add(std::move(window)).ok();
      if (added && !held && ahead) ++memory_.unlearnt;
    }
  }

  // Who is new, who is gone, of those that requests wait for?
  absl::Status LookAtServices(std::int64_t now_ns) {
    if (way_.empty() || memory_.newest_ns - way_since_ns_ < options_.settle_ns)
      return absl::OkStatus();
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
      memory_.wants_scratch = true;
      memory_.changed_ns = memory_.newest_ns;
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
    if (services == memory_.not_mapped) return absl::OkStatus();  // tried before
    const absl::StatusOr<Checkpoint> mapped = MapOnto(serving_.checkpoint, services);
    RetrainDecision decision;
    decision.stage = RetrainStage::kMapping;
    decision.at_ns = now_ns;
    absl::StatusOr<JudgedModel> model =
        mapped.ok() ? JudgedModel::Of(*mapped) : absl::StatusOr<JudgedModel>(mapped.status());
    if (!model.ok()) {
      // A network whose layers pool over all services stays as it was, and does not see them.
      memory_.not_mapped = services;
      decision.reason = std::string(model.status().message());
      memory_.wants_scratch = true;
      memory_.changed_ns = memory_.newest_ns;
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
    if (memory_.newest_ns < memory_.looked_ns + kLookEvery) return absl::OkStatus();
    memory_.looked_ns = memory_.newest_ns;
    internal::RecentRows rows;
    {
      internal::MutexLock lock(&mutex_);
      rows = intake_->Recent();
    }
    const std::vector<Normalizer::Scale> recent = rows.Scales();
    const std::vector<std::size_t> drifted =
        internal::Drifted(serving_, recent, options_.drift_shift);
    memory_.drifted = static_cast<double>(drifted.size()) /
                      static_cast<double>(std::max<std::size_t>(1, serving_.services.size()));
    // Twice in a row, so that what passes within seconds moves nothing.
    std::vector<std::size_t> both;
    std::set_intersection(drifted.begin(), drifted.end(), memory_.drifted_before.begin(),
                          memory_.drifted_before.end(), std::back_inserter(both));
    memory_.drifted_before = drifted;
    if (both.empty()) return absl::OkStatus();
    Job job;
    job.stage = RetrainStage::kNormaliser;
    job.model = serving_;
    internal::Renormalize(both, recent, &job.model);
    memory_.drifted_before.clear();
    memory_.looked_ns += options_.recent_ns;  // until all that is recent is what it is now
    return Finish(&job, now_ns);
  }

  absl::Status BeginRound(std::int64_t now_ns) {
    if (memory_.newest_ns < memory_.round_ns + options_.retrain_every_ns) return absl::OkStatus();
    if (memory_.unlearnt < options_.new_windows) return absl::OkStatus();
    // What could not be judged is not worth its training.
    const std::int64_t from_ns = memory_.wants_scratch ? memory_.changed_ns : 0;
    if (internal::ViolationsIn(memory_.held_back, from_ns) < options_.fewest_held_back) {
      return absl::OkStatus();
    }
    memory_.round_ns = memory_.newest_ns;
    memory_.unlearnt = 0;
    if (!memory_.wants_scratch) return Begin(RetrainStage::kHead, serving_);
    memory_.wants_scratch = false;
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
    if (memory_.replay.positives() == 0) return absl::OkStatus();
    model.FindSlots(names_);
    SEER_ASSIGN_OR_RETURN(job_, NewJob(stage, std::move(model), ++memory_.jobs));
    return absl::OkStatus();
  }

  absl::StatusOr<std::unique_ptr<Job>> NewJob(RetrainStage stage, JudgedModel model,
                                              std::uint64_t number) const {
    auto job = std::make_unique<Job>();
    job->stage = stage;
    job->model = std::move(model);
    SEER_ASSIGN_OR_RETURN(const Network network, Network::Create(job->model.checkpoint.config));
    TrainerOptions options;
    options.backend = options_.backend;
    options.epochs = 1;
    options.shuffle = false;
    options.keep_best = false;
    options.seed = options_.seed + number;
    options.optimizer.clip_norm = 1;
    options.optimizer.learning_rate = stage == RetrainStage::kHead    ? options_.head_rate
                                      : stage == RetrainStage::kWhole ? options_.whole_rate
                                                                      : options_.scratch_rate;
    job->steps = stage == RetrainStage::kHead    ? options_.head_steps
                 : stage == RetrainStage::kWhole ? options_.whole_steps
                                                 : options_.scratch_steps;
    SEER_ASSIGN_OR_RETURN(job->trainer, Trainer::Create(network, options));
    SEER_RETURN_IF_ERROR(job->trainer->SetParameters(job->model.checkpoint.parameters));
    return job;
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
      const std::uint64_t seed =
          CounterRng::Mix(options_.seed + memory_.jobs) + job.done * rounds + r;
      const auto source =
          memory_.replay.NewSource(job.model.inputs, job.model.services, job.model.slots,
                                   batches * network.config().batch, seed);
      if (source->windows() == 0) break;
      if (job.done + r > 0) {
        parameters.assign(trainer.parameters().begin(), trainer.parameters().end());
        SEER_RETURN_IF_ERROR(trainer.Restore(parameters, NextEpoch(trainer.state())));
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
      const TrainingState state = trainer.state();
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
    const std::int64_t from_ns =
        job->stage == RetrainStage::kScratch ? memory_.changed_ns
        : scales ? memory_.newest_ns - options_.recent_ns - options_.label_delay_ns
                 : 0;
    const ReplayBuffer& judges = scales && memory_.replay.windows() > memory_.held_back.windows()
                                     ? memory_.replay
                                     : memory_.held_back;
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
      memory_.replaced_ns = memory_.newest_ns;
      memory_.probed_ns = memory_.newest_ns;
    }
    Tell(decision);
    return absl::OkStatus();
  }

  // Would the model before have done better since?
  absl::Status Probe(std::int64_t now_ns) {
    if (!before_ || memory_.newest_ns < memory_.probed_ns + kProbeEvery) return absl::OkStatus();
    memory_.probed_ns = memory_.newest_ns;
    SEER_ASSIGN_OR_RETURN(const ModelScore serving, Judge(serving_, memory_.held_back,
                                                          memory_.replaced_ns, options_.backend));
    SEER_ASSIGN_OR_RETURN(const ModelScore before, Judge(*before_, memory_.held_back,
                                                         memory_.replaced_ns, options_.backend));
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
    } else if (memory_.newest_ns - memory_.replaced_ns > options_.probation_ns) {
      before_.reset();
    }
    return absl::OkStatus();
  }

  absl::Status Replace(JudgedModel model, const RetrainDecision& decision, bool keep_before) {
    NextVersion(decision, memory_.replay.windows(), &model.checkpoint.provenance);
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
    health->replay_windows = memory_.replay.windows();
    health->replay_ahead = memory_.replay.positives();
    health->replay_bytes = memory_.replay.bytes();
    health->held_back_windows = memory_.held_back.windows();
    health->held_back_ahead = memory_.held_back.positives();
    health->drifted_services = memory_.drifted;
  }

  const std::size_t ticks_;
  const ModelInputs inputs_;     // but for the normaliser
  const std::int64_t reach_ns_;  // of the longest horizon

  std::unique_ptr<WindowIntake> intake_ ABSL_GUARDED_BY(mutex_);

  // Of Step() alone.
  JudgedModel serving_;
  std::optional<JudgedModel> before_;
  mutable NetworkMemory memory_;  // saving it changes nothing
  std::unique_ptr<Job> job_;
  std::vector<std::string> names_, way_, live_;
  std::int64_t way_since_ns_ = 0;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Retrainer>> Retrainer::Create(const Checkpoint& serving,
                                                             const RetrainerOptions& options) {
  SEER_RETURN_IF_ERROR(options.Validate());
  SEER_ASSIGN_OR_RETURN(JudgedModel model, JudgedModel::Of(serving));
  model.checkpoint.training.reset();
  const bool hazards = serving.config.hazard_classes > 0;
  if (!hazards) model.inputs.classes.clear();
  SEER_ASSIGN_OR_RETURN(NetworkMemory memory, NetworkRetrainer::NewMemory(options, model));
  SEER_ASSIGN_OR_RETURN(std::string bytes, EncodeCheckpoint(model.checkpoint));
  return std::unique_ptr<Retrainer>(
      new NetworkRetrainer(options, std::move(bytes), std::move(model), std::move(memory)));
}

SEER_END_NAMESPACE
