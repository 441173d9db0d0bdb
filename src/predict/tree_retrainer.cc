// Retraining of trees: see include/seer/predict/retrainer.h.
#include <algorithm>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "predict/retrainer_core.h"
#include "predict/tree_ensemble.h"
#include "predict/tree_intake.h"
#include "predict/tree_judge.h"
#include "predict/tree_replay.h"
#include "seer/core/internal/status_macros.h"
#include "seer/predict/boosted_trees.h"

SEER_BEGIN_NAMESPACE
namespace {

using internal::TreeHeldBack;
using internal::TreeIntake;
using internal::TreeIntakeOptions;
using internal::TreeLook;
using internal::TreeReplay;
using internal::TreeScore;
using internal::TreeVerdict;

constexpr std::uint32_t kFruitless = 3, kFruitlessAgain = 12;  // boosts of no use: from scratch
constexpr std::size_t kFewestBlames = 200;                     // rows, to learn from whom to blame
constexpr std::size_t kBoostDepth = 4;
constexpr char kOriginal[] = "retrain.original_trees",
               kOriginalBlames[] = "retrain.original_blames";

// An ensemble that grows.
struct Growing {
  std::vector<BoostedTrees> parts;  // the first is what there was before; none from scratch
  TreeRows rows;

  bool any() const { return rows.rows() > 0; }
  // What `trees` say of the rows is said before anything that grows now.
  void Say(const BoostedTrees& trees) {
    if (rows.scores.empty()) rows.scores.assign(rows.labels.size(), 0.0f);
    std::vector<float> scores(rows.outputs);
    for (std::size_t r = 0; r < rows.rows(); ++r) {
      trees.Score({&rows.values[r * rows.columns], rows.columns}, absl::MakeSpan(scores));
      for (std::size_t k = 0; k < rows.outputs; ++k) rows.scores[r * rows.outputs + k] += scores[k];
    }
  }
  absl::Status Grow(const TreeFitOptions& options) {
    if (!any()) return absl::OkStatus();
    SEER_ASSIGN_OR_RETURN(BoostedTrees more, BoostedTrees::Fit(rows, nullptr, options));
    Say(more);
    parts.push_back(std::move(more));
    return absl::OkStatus();
  }
  absl::Status Take(BoostedTrees* trees) const {
    if (parts.empty()) return absl::OkStatus();
    SEER_ASSIGN_OR_RETURN(*trees, internal::JoinTrees(parts));
    return absl::OkStatus();
  }
};

struct Job {
  RetrainStage stage = RetrainStage::kIdle;
  TreeModel model;
  std::int64_t from_ns = 0;
  Growing violations, initiators;
  std::size_t trees = 0, grown = 0;
};

class TreeRetrainer final : public internal::RetrainerCore {
 public:
  TreeRetrainer(const RetrainerOptions& options, const TreeModel& serving,
                const TreeIntakeOptions& intake)
      : RetrainerCore(options, EncodeTreeModel(serving), serving.provenance),
        reach_ns_(intake.reach_ns),
        intake_(intake),
        serving_(serving),
        replay_(options.replay),
        held_back_(options.held_back_bytes, kBlock) {
    // From the library's defaults, but for what costs.
    alarm_.false_alarms_per_hour = options.false_alarms_per_hour;
    alarm_.candidates = 60;
    alarm_.alarm = serving.calibration.alarm;
  }

  absl::Status Observe(const ClusterTick& tick, const Topology& topology) override {
    internal::MutexLock lock(&mutex_);
    return intake_.Observe(tick, topology);
  }
  void Add(const SpanInterval& interval) override {
    internal::MutexLock lock(&mutex_);
    intake_.events().Add(interval);
  }
  void NoteViolation(const Violation& violation) override {
    internal::MutexLock lock(&mutex_);
    intake_.events().NoteViolation(violation);
  }
  void NoteForecast(const Forecast& forecast) override {
    internal::MutexLock lock(&mutex_);
    intake_.events().NoteForecast(forecast);
  }
  void NoteAction(const ActionTaken& action) override {
    internal::MutexLock lock(&mutex_);
    intake_.events().NoteAction(action);
  }

 private:
  void GiveUp() override { job_.reset(); }

  absl::StatusOr<bool> DoStep(std::int64_t now_ns) override {
    TakeIn();
    SEER_RETURN_IF_ERROR(Probe(now_ns));
    if (job_ == nullptr) {
      LookAtServices();
      SEER_RETURN_IF_ERROR(BeginRound(now_ns));
      return job_ != nullptr;
    }
    SEER_RETURN_IF_ERROR(Grow());
    if (job_->grown < job_->trees) return true;
    const std::unique_ptr<Job> done = std::move(job_);
    SEER_RETURN_IF_ERROR(Finish(done.get(), now_ns));
    return false;
  }

  // What has become known since the last time.
  void TakeIn() {
    std::vector<TreeLook> looks;
    {
      internal::MutexLock lock(&mutex_);
      looks = intake_.Take();
      newest_ns_ = intake_.newest_ns();
      way_ = intake_.on_the_way();
      way_since_ns_ = intake_.on_the_way_since_ns();
      if (TakeMajorChange()) ChangedInAMajorWay();
      TakeCounts(intake_.events().alarms(), intake_.dropped());
    }
    for (TreeLook& look : looks) {
      const bool ahead = look.ahead_ns != TreeLook::kNever;
      const bool held = HeldBack(look.end_ns);
      if (held) {
        unjudged_ += ahead ? 1 : 0;
        held_back_.Add(std::move(look));
        continue;
      }
      // What a look's truth rests on is held back or not, all of it.
      if (HeldBack(look.end_ns + reach_ns_)) continue;
      unlearnt_ += ahead && !look.in_violation ? 1 : 0;
      replay_.Add(std::move(look));
    }
  }

  void ChangedInAMajorWay() {
    wants_scratch_ = true;
    changed_ns_ = newest_ns_;
  }

  // Who is new, who is gone, of those that requests wait for?
  void LookAtServices() {
    if (way_.empty() || newest_ns_ - way_since_ns_ < options_.settle_ns || way_ == settled_way_) {
      return;
    }
    std::vector<std::string> other;
    std::set_symmetric_difference(way_.begin(), way_.end(), settled_way_.begin(),
                                  settled_way_.end(), std::back_inserter(other));
    const std::size_t all = (way_.size() + settled_way_.size() + other.size()) / 2;
    const bool major =
        !settled_way_.empty() &&
        static_cast<double>(other.size()) >= options_.major_change * static_cast<double>(all);
    settled_way_ = way_;
    if (major) ChangedInAMajorWay();
  }

  absl::Status BeginRound(std::int64_t now_ns) {
    if (newest_ns_ < round_ns_ + options_.retrain_every_ns) return absl::OkStatus();
    // What could not be judged is not worth its training.
    if (held_back_.Violations(0) < options_.fewest_held_back) return absl::OkStatus();
    const bool learn = unlearnt_ >= options_.new_windows;
    if (!learn && unjudged_ < options_.new_windows) return absl::OkStatus();
    round_ns_ = newest_ns_;
    if (std::exchange(unjudged_, 0) > 0) SEER_RETURN_IF_ERROR(FitTheAlarm(now_ns));
    if (!learn) return absl::OkStatus();
    unlearnt_ = 0;
    if (wants_scratch_ && replay_.AheadSince(changed_ns_) >= 5 * options_.new_windows &&
        held_back_.Violations(changed_ns_) >= options_.fewest_held_back) {
      wants_scratch_ = false;
      return BeginScratch(changed_ns_, now_ns);
    }
    if (fruitless_ % kFruitlessAgain == kFruitless) {
      ++fruitless_;
      return BeginScratch(0, now_ns);
    }
    return BeginBoost(now_ns);
  }

  absl::Status FitTheAlarm(std::int64_t now_ns) {
    Job job;
    job.stage = RetrainStage::kAlarm;
    job.model = serving_;
    return Finish(&job, now_ns);
  }

  std::uint64_t NewSeed() { return options_.seed + 1000 * ++jobs_; }

  absl::Status BeginBoost(std::int64_t now_ns) {
    auto job = std::make_unique<Job>();
    job->stage = RetrainStage::kBoost;
    job->model = serving_;
    SEER_RETURN_IF_ERROR(Prune(kOriginal, &job->model.violations, &job->model.provenance));
    SEER_RETURN_IF_ERROR(Prune(kOriginalBlames, &job->model.initiators, &job->model.provenance));
    const std::uint64_t seed = NewSeed();
    job->violations.rows =
        replay_.Rows(serving_.horizons_ns, options_.boost_rows, /*from_ns=*/0, seed);
    if (serving_.initiators.size() > 0) {
      TreeRows rows = replay_.Blames(options_.boost_rows, 0, seed);
      if (rows.rows() >= kFewestBlames) job->initiators.rows = std::move(rows);
    }
    for (auto [growing, trees] : {std::pair{&job->violations, &job->model.violations},
                                  std::pair{&job->initiators, &job->model.initiators}}) {
      if (!growing->any()) continue;
      growing->Say(*trees);
      growing->parts.push_back(*trees);
    }
    job->trees = options_.boost_trees;
    return Begin(std::move(job), now_ns);
  }

  absl::Status BeginScratch(std::int64_t from_ns, std::int64_t now_ns) {
    auto job = std::make_unique<Job>();
    job->stage = RetrainStage::kScratch;
    job->model = serving_;
    job->from_ns = from_ns;
    job->model.provenance.erase(kOriginal);
    job->model.provenance.erase(kOriginalBlames);
    const std::uint64_t seed = NewSeed();
    job->violations.rows = replay_.Rows(serving_.horizons_ns, options_.scratch_rows, from_ns, seed);
    TreeRows rows = replay_.Blames(options_.scratch_rows, from_ns, seed);
    if (rows.rows() >= kFewestBlames) job->initiators.rows = std::move(rows);
    job->trees = options_.scratch_trees;
    return Begin(std::move(job), now_ns);
  }

  absl::Status Begin(std::unique_ptr<Job> job, std::int64_t now_ns) {
    if (job->violations.any()) {
      job_ = std::move(job);
      return absl::OkStatus();
    }
    RetrainDecision decision;
    decision.stage = job->stage;
    decision.at_ns = now_ns;
    decision.reason = "nothing to learn from: the rows have labels of one kind only";
    Tell(decision);
    return absl::OkStatus();
  }

  // Where more were added than may be, with those to come, the oldest of them go.
  absl::Status Prune(const char* original, BoostedTrees* trees,
                     internal::Provenance* provenance) const {
    std::size_t first = trees->size();
    const auto note = provenance->find(original);
    std::size_t told = 0;
    if (note != provenance->end() && absl::SimpleAtoi(note->second, &told)) {
      first = std::min(first, told);
    }
    (*provenance)[original] = absl::StrCat(first);
    const std::size_t added = trees->size() - first + options_.boost_trees;
    if (added <= options_.added_trees) return absl::OkStatus();
    const std::size_t over = std::min(added - options_.added_trees, trees->size() - first);
    SEER_ASSIGN_OR_RETURN(*trees, internal::DropTrees(*trees, first, over));
    return absl::OkStatus();
  }

  // A few trees.
  absl::Status Grow() {
    Job& job = *job_;
    const bool boost = job.stage == RetrainStage::kBoost;
    TreeFitOptions options;
    options.rounds = std::min<std::size_t>(options_.trees_a_step, job.trees - job.grown);
    options.seed = options_.seed + 1000 * jobs_ + job.grown;
    options.learning_rate = boost ? options_.boost_learning_rate : options_.scratch_learning_rate;
    if (boost) options.depth = kBoostDepth;
    SEER_RETURN_IF_ERROR(job.violations.Grow(options));
    SEER_RETURN_IF_ERROR(job.initiators.Grow(options));
    job.grown += options.rounds;
    ++steps_;
    return absl::OkStatus();
  }

  // Does it replace the model that serves?
  absl::Status Finish(Job* job, std::int64_t now_ns) {
    SEER_RETURN_IF_ERROR(job->violations.Take(&job->model.violations));
    SEER_RETURN_IF_ERROR(job->initiators.Take(&job->model.initiators));
    RetrainDecision decision;
    decision.stage = job->stage;
    decision.at_ns = now_ns;
    const TreeVerdict of_serving(serving_, held_back_, job->from_ns);
    const TreeVerdict verdict(job->model, held_back_, job->from_ns);
    const TreeScore own = of_serving.Own();
    decision.serving_loss = own.loss;
    const absl::StatusOr<TreeScore> candidate = verdict.ByHalves(alarm_);
    const absl::StatusOr<ModelCalibration> calibration = verdict.Fit(alarm_);
    if (candidate.ok() && calibration.ok()) {
      TreeScore serving = own;
      if (job->stage != RetrainStage::kAlarm) {
        // Half of what is held back chooses an alarm badly, whatever the trees: so for both.
        const absl::StatusOr<TreeScore> halves = of_serving.ByHalves(alarm_);
        if (halves.ok()) {
          serving.hits = std::min(own.hits, halves->hits);
          serving.false_alarms = std::max(own.false_alarms, halves->false_alarms);
        }
      }
      decision.candidate_loss = candidate->loss;
      decision.held_back = candidate->ahead + candidate->calm;
      decision.held_back_ahead = candidate->ahead;
      decision.reason = internal::WhyWorse(serving, *candidate, options_.fewest_held_back,
                                           options_.false_alarms_per_hour);
      const TreeScore fitted = verdict.With(*calibration);
      if (decision.reason.empty() && fitted.hits < own.hits &&
          fitted.false_alarms >= own.false_alarms) {
        decision.reason = absl::StrFormat("%d hits of %d with its own alarm, were %d", fitted.hits,
                                          fitted.violations, own.hits);
      }
      // As good is no reason to change.
      if (decision.reason.empty() && candidate->hits == serving.hits &&
          candidate->false_alarms >= serving.false_alarms &&
          candidate->loss > 0.995 * serving.loss) {
        decision.reason = absl::StrFormat("as good as what serves: loss %.5f, is %.5f",
                                          candidate->loss, serving.loss);
      }
    } else {
      decision.reason =
          std::string((candidate.ok() ? calibration.status() : candidate.status()).message());
    }
    if (decision.reason.empty()) {
      job->model.calibration = *calibration;
      Replace(std::move(job->model), decision, /*keep_before=*/true);
      decision.replaced = true;
      replaced_ns_ = probed_ns_ = newest_ns_;
    }
    if (job->stage == RetrainStage::kBoost) fruitless_ = decision.replaced ? 0 : fruitless_ + 1;
    Tell(decision);
    return absl::OkStatus();
  }

  // Would the model before have done better since?
  absl::Status Probe(std::int64_t now_ns) {
    if (!before_ || newest_ns_ < probed_ns_ + kProbeEvery) return absl::OkStatus();
    probed_ns_ = newest_ns_;
    const TreeScore serving = TreeVerdict(serving_, held_back_, replaced_ns_).Own();
    const TreeScore before = TreeVerdict(*before_, held_back_, replaced_ns_).Own();
    const bool loss = serving.loss > 1.1 * before.loss && serving.auc <= before.auc + 0.005;
    if (serving.violations >= options_.fewest_held_back && serving.calm > 0 && loss &&
        serving.hits <= before.hits) {
      RetrainDecision decision;
      decision.at_ns = now_ns;
      decision.rolled_back = decision.replaced = true;
      decision.serving_loss = serving.loss;
      decision.candidate_loss = before.loss;
      decision.held_back = serving.ahead + serving.calm;
      decision.held_back_ahead = serving.ahead;
      decision.reason = absl::StrFormat(
          "since it was replaced the model before would have had loss %.5f, this one %.5f",
          before.loss, serving.loss);
      job_.reset();  // it began from what was no good
      TreeModel back = *std::move(before_);
      Replace(std::move(back), decision, /*keep_before=*/false);
      Tell(decision);
    } else if (newest_ns_ - replaced_ns_ > options_.probation_ns) {
      before_.reset();
    }
    return absl::OkStatus();
  }

  void Replace(TreeModel model, const RetrainDecision& decision, bool keep_before) {
    // The model from before the first change stays the one to go back to while it is on trial.
    if (!keep_before) {
      before_.reset();
    } else if (!before_) {
      before_ = std::move(serving_);
    }
    NextVersion(decision, replay_.looks(), &model.provenance);
    serving_ = std::move(model);
    Show(EncodeTreeModel(serving_));
  }

  void Publish(RetrainerHealth* health) const override {
    health->stage = job_ != nullptr ? job_->stage : RetrainStage::kIdle;
    health->replay_windows = replay_.looks();
    health->replay_ahead = replay_.ahead();
    health->replay_bytes = replay_.bytes();
    health->held_back_windows = held_back_.looks();
    health->held_back_ahead = held_back_.ahead();
  }

  const std::int64_t reach_ns_;
  TreeIntake intake_ ABSL_GUARDED_BY(mutex_);

  // Of Step() alone.
  TreeModel serving_;
  std::optional<TreeModel> before_;
  TreeReplay replay_;
  TreeHeldBack held_back_;
  FitAlarmOptions alarm_;
  std::unique_ptr<Job> job_;
  std::vector<std::string> way_, settled_way_;
  std::int64_t way_since_ns_ = 0, newest_ns_ = 0, round_ns_ = 0;
  std::int64_t replaced_ns_ = 0, probed_ns_ = 0, changed_ns_ = 0;
  bool wants_scratch_ = false;
  std::size_t unlearnt_ = 0, unjudged_ = 0;
  std::uint64_t jobs_ = 0;
  std::uint32_t fruitless_ = 0;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Retrainer>> Retrainer::Create(const TreeModel& serving,
                                                             const RetrainerOptions& options) {
  SEER_RETURN_IF_ERROR(options.Validate());
  SEER_RETURN_IF_ERROR(serving.Validate());
  TreeIntakeOptions intake;
  intake.period = serving.period;
  intake.inputs = serving.inputs;
  intake.reach_ns = serving.horizons_ns.back();
  intake.label_delay_ns = options.label_delay_ns;
  intake.find_violations = options.find_violations;
  intake.avoided_weight = options.avoided_weight;
  return std::unique_ptr<Retrainer>(new TreeRetrainer(options, serving, intake));
}

SEER_END_NAMESPACE
