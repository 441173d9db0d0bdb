// Retraining of trees: see include/seer/predict/retrainer.h.
#include <algorithm>
#include <cmath>
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
#include "predict/tree_intake.h"
#include "predict/tree_judge.h"
#include "predict/tree_memory.h"
#include "seer/core/internal/status_macros.h"
#include "seer/nn/counter_rng.h"
#include "seer/predict/boosted_trees.h"

SEER_BEGIN_NAMESPACE
namespace {

using internal::GrowingTrees;
using internal::TreeHeldBack;
using internal::TreeIntake;
using internal::TreeIntakeOptions;
using internal::TreeLook;
using internal::TreeMemory;
using internal::TreeSaid;
using internal::TreeScore;
using internal::TreeVerdict;

constexpr std::uint32_t kFruitless = 3, kFruitlessAgain = 12;  // boosts of no use: from scratch
constexpr std::size_t kFewestBlames = 200;                     // rows, to learn from whom to blame
constexpr std::size_t kBoostDepth = 4;
// Of the columns so many are looked at in a round, and of these a part by each tree; more cuts than
// these tell nothing where there are few rows.
constexpr std::size_t kColumnsToAsk = 24, kBoostCuts = 31;
constexpr double kBoostColumns = 0.6, kLeastChance = 0.25;  // of the mean one's to be looked at
constexpr std::int64_t kFresh = 600'000'000'000;            // of which half of what is learnt is
constexpr std::size_t kJudging = 40;              // violations that are enough to judge by
constexpr std::uint64_t kAnew = 4, kWidely = 12;  // rounds, of which one fits the alarm, and where
constexpr std::size_t kPruneParts = 4;            // of the added trees one part goes at once
constexpr char kOriginal[] = "retrain.original_trees",
               kOriginalBlames[] = "retrain.original_blames";

// So many columns, growing: the more often trees ask one, the likelier, but each has its chance.
std::vector<std::uint32_t> DrawColumns(const BoostedTrees& trees, std::size_t count,
                                       std::uint64_t seed) {
  const std::vector<std::uint32_t> uses = trees.Uses();
  double sum = 1;
  for (const std::uint32_t own : uses) sum += own;
  const double least = kLeastChance * sum / static_cast<double>(uses.size());
  const CounterRng rng(seed, CounterRng::StreamOf("columns"));
  // As if each came by chance, as often as it is asked: the first ones.
  std::vector<std::pair<double, std::uint32_t>> waits;
  for (std::uint32_t c = 0; c < uses.size(); ++c) {
    const double chance = 1 - static_cast<double>(rng.Uniform(c));  // above 0
    waits.emplace_back(-std::log(chance) / (least + uses[c]), c);
  }
  std::sort(waits.begin(), waits.end());
  waits.resize(std::min(count, waits.size()));
  std::vector<std::uint32_t> columns;
  for (const auto& [wait, column] : waits) columns.push_back(column);
  std::sort(columns.begin(), columns.end());
  return columns;
}

struct Job {
  RetrainStage stage = RetrainStage::kIdle;
  TreeModel model;
  std::int64_t from_ns = 0;
  GrowingTrees violations, initiators;
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
        memory_(options, kBlock) {
    // From the library's defaults, but for what costs.
    alarm_.false_alarms_per_hour = options.false_alarms_per_hour;
    alarm_.candidates = 40;
    alarm_.alarm = serving.calibration.alarm;
  }

 private:
  absl::Status TakeTick(const ClusterTick& tick, const Topology& topology) override
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return intake_.Observe(tick, topology);
  }
  internal::EventLog& events() override ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return intake_.events();
  }
  void GiveUp() override { job_.reset(); }
  bool OfTrees() const override { return true; }

  absl::Status SaveOwn(internal::StateIo& io) const override {
    std::string before = before_ ? EncodeTreeModel(*before_) : "";
    io(before);
    memory_.State(io);
    return io.status();
  }
  absl::Status LoadOwn(internal::StateIo& io, std::string_view serving) override {
    SEER_ASSIGN_OR_RETURN(TreeModel model, DecodeTreeModel(serving));
    if (model.period != serving_.period || !(model.inputs == serving_.inputs)) {
      return absl::InvalidArgumentError(
          "retrainer state: of a model with other inputs: load it into one made with such");
    }
    std::string before_bytes;
    io(before_bytes);
    TreeMemory memory(options_, kBlock);
    memory.State(io);
    SEER_RETURN_IF_ERROR(io.status());
    std::optional<TreeModel> before;
    if (!before_bytes.empty()) {
      SEER_ASSIGN_OR_RETURN(before, DecodeTreeModel(before_bytes));
    }
    serving_ = std::move(model);
    before_ = std::move(before);
    memory_ = std::move(memory);
    versions_before_ = memory_.replay.newest_version();
    job_.reset();
    return absl::OkStatus();
  }

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
      if (intake_.newest_ns() < memory_.newest_ns) {
        memory_.times().NotLaterThan(intake_.newest_ns());
      }
      memory_.newest_ns = intake_.newest_ns();
      way_ = intake_.on_the_way();
      way_since_ns_ = intake_.on_the_way_since_ns();
      if (TakeMajorChange()) ChangedInAMajorWay();
      TakeCounts(intake_.events().alarms(), intake_.dropped());
    }
    for (TreeLook& look : looks) {
      look.version += versions_before_;
      const bool ahead = look.ahead_ns != TreeLook::kNever;
      const bool held = HeldBack(look.end_ns);
      if (held) {
        memory_.unjudged += ahead ? 1 : 0;
        memory_.held_back.Add(std::move(look));
        continue;
      }
      // What a look's truth rests on is held back or not, all of it.
      if (HeldBack(look.end_ns + reach_ns_)) continue;
      memory_.unlearnt += ahead && !look.in_violation ? 1 : 0;
      memory_.replay.Add(std::move(look));
    }
  }

  void ChangedInAMajorWay() {
    memory_.wants_scratch = true;
    memory_.changed_ns = memory_.newest_ns;
  }

  // Who is new, who is gone, of those that requests wait for?
  void LookAtServices() {
    if (way_.empty() || memory_.newest_ns - way_since_ns_ < options_.settle_ns ||
        way_ == memory_.settled_way) {
      return;
    }
    std::vector<std::string> other;
    std::set_symmetric_difference(way_.begin(), way_.end(), memory_.settled_way.begin(),
                                  memory_.settled_way.end(), std::back_inserter(other));
    const std::size_t all = (way_.size() + memory_.settled_way.size() + other.size()) / 2;
    const bool major =
        !memory_.settled_way.empty() &&
        static_cast<double>(other.size()) >= options_.major_change * static_cast<double>(all);
    memory_.settled_way = way_;
    if (major) ChangedInAMajorWay();
  }

  absl::Status BeginRound(std::int64_t now_ns) {
    if (memory_.newest_ns < memory_.round_ns + options_.retrain_every_ns) return absl::OkStatus();
    const bool learn = memory_.unlearnt >= options_.new_windows;
    if (!learn && memory_.unjudged < options_.new_windows) return absl::OkStatus();
    // What could not be judged is not worth its training.
    if (memory_.held_back.Violations(0) < options_.fewest_held_back) return absl::OkStatus();
    memory_.round_ns = memory_.newest_ns;
    memory_.unjudged = 0;
    ++memory_.rounds;
    if (!learn) return FitTheAlarm(JudgeServing(/*from_ns=*/0), now_ns);
    memory_.unlearnt = 0;
    if (memory_.wants_scratch &&
        memory_.replay.AheadSince(memory_.changed_ns) >= 5 * options_.new_windows &&
        memory_.held_back.Violations(memory_.changed_ns) >= options_.fewest_held_back) {
      memory_.wants_scratch = false;
      return BeginScratch(memory_.changed_ns, now_ns);
    }
    if (memory_.fruitless % kFruitlessAgain == kFruitless) {
      ++memory_.fruitless;
      return BeginScratch(0, now_ns);
    }
    return BeginBoost(now_ns);
  }

  std::uint64_t NewSeed() { return options_.seed + 1000 * ++memory_.jobs; }

  absl::Status BeginBoost(std::int64_t now_ns) {
    auto job = std::make_unique<Job>();
    job->stage = RetrainStage::kBoost;
    job->model = serving_;
    const std::uint64_t seed = NewSeed();
    const std::int64_t fresh_ns = memory_.newest_ns - kFresh;
    job->violations.rows = memory_.replay.Rows(serving_.horizons_ns, options_.boost_rows,
                                               /*from_ns=*/0, fresh_ns, seed);
    // Who is to blame changes less than what lies ahead: each second time is enough.
    if (serving_.initiators.size() > 0 && memory_.rounds % 2 == 0) {
      TreeRows rows = memory_.replay.Blames(options_.boost_rows, 0, fresh_ns, seed);
      if (rows.rows() >= kFewestBlames) job->initiators.rows = std::move(rows);
    }
    SEER_RETURN_IF_ERROR(
        GrowUpon(kOriginal, serving_.violations, seed, job.get(), &job->violations));
    SEER_RETURN_IF_ERROR(
        GrowUpon(kOriginalBlames, serving_.initiators, seed, job.get(), &job->initiators));
    job->trees = options_.boost_trees;
    return Begin(std::move(job), now_ns);
  }

  // Where more were added than may be, with those to come, the oldest of them go.
  absl::Status GrowUpon(const char* original, const BoostedTrees& trees, std::uint64_t seed,
                        Job* job, GrowingTrees* growing) const {
    if (!growing->any()) return absl::OkStatus();
    std::size_t first = trees.size(), told = 0;
    const auto note = job->model.provenance.find(original);
    if (note != job->model.provenance.end() && absl::SimpleAtoi(note->second, &told)) {
      first = std::min(first, told);
    }
    job->model.provenance[original] = absl::StrCat(first);
    growing->before = trees;
    const std::size_t added = trees.size() - first + options_.boost_trees;
    if (added > options_.added_trees) {
      // Some more at once, so that it need not be done each time.
      const std::size_t over =
          std::max(added - options_.added_trees, options_.added_trees / kPruneParts);
      const std::size_t end = first + std::min(over, trees.size() - first);
      SEER_ASSIGN_OR_RETURN(const BoostedTrees head, trees.Part(0, first));
      SEER_ASSIGN_OR_RETURN(const BoostedTrees tail, trees.Part(end, trees.size()));
      SEER_ASSIGN_OR_RETURN(growing->before, BoostedTrees::Join({head, tail}));
      SEER_ASSIGN_OR_RETURN(growing->dropped, trees.Part(first, end));
    }
    growing->Say(growing->before);
    growing->columns = DrawColumns(trees, kColumnsToAsk, seed);
    return absl::OkStatus();
  }

  absl::Status BeginScratch(std::int64_t from_ns, std::int64_t now_ns) {
    auto job = std::make_unique<Job>();
    job->stage = RetrainStage::kScratch;
    job->model = serving_;
    job->from_ns = from_ns;
    job->model.provenance.erase(kOriginal);
    job->model.provenance.erase(kOriginalBlames);
    const std::uint64_t seed = NewSeed();
    job->violations.rows =
        memory_.replay.Rows(serving_.horizons_ns, options_.scratch_rows, from_ns, from_ns, seed);
    TreeRows rows = memory_.replay.Blames(options_.scratch_rows, from_ns, from_ns, seed);
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

  // A few trees.
  absl::Status Grow() {
    Job& job = *job_;
    const bool boost = job.stage == RetrainStage::kBoost;
    TreeFitOptions options;
    options.rounds = std::min<std::size_t>(options_.trees_a_step, job.trees - job.grown);
    options.seed = options_.seed + 1000 * memory_.jobs + job.grown;
    options.learning_rate = boost ? options_.boost_learning_rate : options_.scratch_learning_rate;
    if (boost) {
      options.depth = kBoostDepth;
      options.columns_share = kBoostColumns;
      options.cuts = kBoostCuts;
    }
    job.grown += options.rounds;
    SEER_RETURN_IF_ERROR(job.violations.Grow(options, job.grown >= job.trees));
    SEER_RETURN_IF_ERROR(job.initiators.Grow(options, job.grown >= job.trees));
    ++steps_;
    return absl::OkStatus();
  }

  // What serves, on what is held back.
  struct Judged {
    TreeVerdict::Tracks tracks;
    TreeVerdict verdict;
    TreeScore own;
  };

  // By the newest blocks alone: what is long past says nothing of the application as it is now.
  TreeVerdict::Tracks RecentTracks(std::int64_t from_ns) {
    return memory_.held_back.Recent(from_ns, kJudging, options_.fewest_held_back);
  }
  TreeVerdict Hear(const TreeModel& model, TreeHeldBack::Teller teller,
                   const TreeVerdict::Tracks& tracks) const {
    std::vector<const TreeSaid*> said;
    for (TreeHeldBack::Track* const track : tracks) {
      internal::SayMore(model, *track, &track->said[teller]);
      said.push_back(&track->said[teller]);
    }
    return TreeVerdict(serving_.horizons_ns, serving_.calibration.alarm_horizon_ns, tracks, said);
  }
  Judged JudgeServing(std::int64_t from_ns) {
    const TreeVerdict::Tracks tracks = RecentTracks(from_ns);
    TreeVerdict verdict = Hear(serving_, TreeHeldBack::kServing, tracks);
    const TreeScore own = verdict.With(serving_.calibration);
    return {tracks, std::move(verdict), own};
  }

  // Another alarm for the trees that serve.
  absl::Status FitTheAlarm(const Judged& judged, std::int64_t now_ns) {
    RetrainDecision decision;
    decision.stage = RetrainStage::kAlarm;
    decision.at_ns = now_ns;
    ModelCalibration calibration = serving_.calibration;
    decision.reason = Decide(judged.own, judged.verdict, decision.stage, &decision, &calibration);
    if (decision.reason.empty()) {
      TreeModel model = serving_;
      model.calibration = calibration;
      Replace(std::move(model), decision, /*keep_before=*/true);
      decision.replaced = true;
    }
    Tell(decision);
    return absl::OkStatus();
  }

  // Why trees with this verdict should not serve; empty: they should, with this calibration, which
  // comes as the one that serves. Other trees may do with it as it is; else the log-odds are fitted
  // anew; else, now and then, the alarm is, and that first where there are too many false alarms.
  std::string Decide(const TreeScore& own, const TreeVerdict& verdict, RetrainStage stage,
                     RetrainDecision* decision, ModelCalibration* calibration) const {
    const bool scratch = stage == RetrainStage::kScratch;
    ModelCalibration from = *calibration;
    if (scratch) from.slope = 1, from.shift = 0;  // of other trees
    FitAlarmOptions anew = alarm_;
    if (!scratch && memory_.rounds % kWidely != 0 &&
        std::binary_search(serving_.horizons_ns.begin(), serving_.horizons_ns.end(),
                           from.alarm_horizon_ns)) {
      anew.least_horizon_ns = anew.most_horizon_ns = from.alarm_horizon_ns;
    }
    decision->serving_loss = own.loss;
    decision->held_back = own.ahead + own.calm;
    decision->held_back_ahead = own.ahead;
    enum Way { kAsItIs, kCalibrated, kAlarmAnew };
    std::vector<Way> ways;
    const bool too_many = internal::TooManyFalseAlarms(own, options_.false_alarms_per_hour);
    if (too_many) ways.push_back(kAlarmAnew);
    if (!scratch && stage != RetrainStage::kAlarm) ways.push_back(kAsItIs);
    ways.push_back(kCalibrated);
    if (!too_many && (scratch || memory_.rounds % kAnew == 0)) ways.push_back(kAlarmAnew);
    std::string why_not;
    for (const Way way : ways) {
      const std::string reason = Try(own, verdict, from, way != kAsItIs,
                                     way == kAlarmAnew ? &anew : nullptr, decision, calibration);
      if (reason.empty()) return "";
      if (why_not.empty()) why_not = reason;
    }
    return why_not;
  }

  // One of these ways, from which on `calibration` is what came of it.
  std::string Try(const TreeScore& own, const TreeVerdict& verdict, const ModelCalibration& from,
                  bool fit, const FitAlarmOptions* alarm, RetrainDecision* decision,
                  ModelCalibration* calibration) const {
    *calibration = from;
    const absl::StatusOr<TreeScore> score =
        fit ? verdict.ByHalves(from, alarm) : absl::StatusOr<TreeScore>(verdict.With(from));
    if (!score.ok()) return std::string(score.status().message());
    decision->candidate_loss = score->loss;
    const auto why_worse = [&](const TreeScore& other) {
      return internal::WhyWorse(own, other, options_.fewest_held_back,
                                options_.false_alarms_per_hour);
    };
    std::string reason = why_worse(*score);
    if (!reason.empty()) return reason;
    // As good is no reason to change.
    if (score->hits == own.hits && score->false_alarms >= own.false_alarms &&
        score->loss > 0.995 * own.loss) {
      return absl::StrFormat("as good as what serves: loss %.5f, is %.5f", score->loss, own.loss);
    }
    if (!fit) return "";
    const absl::StatusOr<ModelCalibration> setting = verdict.Fit(from, alarm);
    if (!setting.ok()) return std::string(setting.status().message());
    *calibration = *setting;
    reason = why_worse(verdict.With(*setting));
    return reason.empty() ? "" : absl::StrCat("as it would serve: ", reason);
  }

  // What the candidate says of a track: where it grew upon all that serves, that and what it adds.
  TreeSaid SaidBy(const Job& job, const TreeHeldBack::Track& track) const {
    TreeSaid said = track.said[TreeHeldBack::kServing];
    const auto add = [&](const GrowingTrees& growing, std::vector<float> TreeSaid::*what,
                         const auto& add_trees) {
      if (growing.added.empty()) return;
      if (growing.before.columns() == 0) {
        std::fill((said.*what).begin(), (said.*what).end(), 0.0f);
      }
      if (growing.dropped.size() > 0) add_trees(growing.dropped, track, -1, &said);
      for (const BoostedTrees& more : growing.added) add_trees(more, track, 1, &said);
    };
    add(job.violations, &TreeSaid::scores, internal::AddTrees);
    add(job.initiators, &TreeSaid::blames, internal::AddBlames);
    return said;
  }

  // Does it replace the model that serves? If not, would another alarm do it?
  absl::Status Finish(Job* job, std::int64_t now_ns) {
    const bool boost = job->stage == RetrainStage::kBoost;
    const bool same_application = boost || job->from_ns == 0;
    const Judged judged = JudgeServing(job->from_ns);
    std::vector<TreeSaid> said;
    std::vector<const TreeSaid*> pointers;
    said.reserve(judged.tracks.size());
    for (const TreeHeldBack::Track* const track : judged.tracks) {
      pointers.push_back(&said.emplace_back(SaidBy(*job, *track)));
    }
    TreeVerdict verdict(serving_.horizons_ns, serving_.calibration.alarm_horizon_ns, judged.tracks,
                        pointers);
    if (same_application && !job->initiators.added.empty() &&
        verdict.culprits() < judged.verdict.culprits()) {
      // Who is to blame is told better by those that serve; what lies ahead may not be.
      job->initiators = GrowingTrees();
      const auto note = serving_.provenance.find(kOriginalBlames);
      job->model.provenance.erase(kOriginalBlames);
      if (note != serving_.provenance.end()) job->model.provenance.insert(*note);
      verdict.BlameAs(judged.verdict);
      for (std::size_t t = 0; t < said.size(); ++t) {
        said[t].blames = judged.tracks[t]->said[TreeHeldBack::kServing].blames;
      }
    }
    RetrainDecision decision;
    decision.stage = job->stage;
    decision.at_ns = now_ns;
    job->model.calibration = serving_.calibration;
    decision.reason =
        Decide(judged.own, verdict, decision.stage, &decision, &job->model.calibration);
    if (decision.reason.empty()) {
      SEER_RETURN_IF_ERROR(job->violations.Take(&job->model.violations));
      SEER_RETURN_IF_ERROR(job->initiators.Take(&job->model.initiators));
      Replace(std::move(job->model), decision, /*keep_before=*/true);
      for (std::size_t t = 0; t < said.size(); ++t) {
        judged.tracks[t]->said[TreeHeldBack::kServing] = std::move(said[t]);
      }
      decision.replaced = true;
    }
    if (boost) memory_.fruitless = decision.replaced ? 0 : memory_.fruitless + 1;
    Tell(decision);
    return decision.replaced ? absl::OkStatus() : FitTheAlarm(judged, now_ns);
  }

  // Would the model before have done better since?
  absl::Status Probe(std::int64_t now_ns) {
    if (!before_ || memory_.newest_ns < memory_.probed_ns + kProbeEvery) return absl::OkStatus();
    memory_.probed_ns = memory_.newest_ns;
    const TreeVerdict::Tracks tracks = RecentTracks(memory_.replaced_ns);
    const TreeScore serving =
        Hear(serving_, TreeHeldBack::kServing, tracks).With(serving_.calibration);
    const TreeScore before =
        Hear(*before_, TreeHeldBack::kBefore, tracks).With(before_->calibration);
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
    } else if (memory_.newest_ns - memory_.replaced_ns > options_.probation_ns) {
      before_.reset();
      memory_.held_back.Forget(TreeHeldBack::kBefore);
    }
    return absl::OkStatus();
  }

  void Replace(TreeModel model, const RetrainDecision& decision, bool keep_before) {
    // The model from before the first change stays the one to go back to while it is on trial: a
    // trial that began anew with each change would never have enough to judge by.
    if (!keep_before) {
      before_.reset();
      memory_.held_back.Forget(TreeHeldBack::kBefore);
    } else if (!before_) {
      memory_.replaced_ns = memory_.probed_ns = memory_.newest_ns;
      before_ = serving_;
      memory_.held_back.ServingIsBefore();
    }
    if (decision.stage != RetrainStage::kAlarm) memory_.held_back.Forget(TreeHeldBack::kServing);
    NextVersion(decision, memory_.replay.looks(), &model.provenance);
    serving_ = std::move(model);
    Show(EncodeTreeModel(serving_));
  }

  void Publish(RetrainerHealth* health) const override {
    health->stage = job_ != nullptr ? job_->stage : RetrainStage::kIdle;
    health->replay_windows = memory_.replay.looks();
    health->replay_ahead = memory_.replay.ahead();
    health->replay_bytes = memory_.replay.bytes();
    health->held_back_windows = memory_.held_back.looks();
    health->held_back_ahead = memory_.held_back.ahead();
  }

  const std::int64_t reach_ns_;
  TreeIntake intake_ ABSL_GUARDED_BY(mutex_);

  // Of Step() alone.
  TreeModel serving_;
  std::optional<TreeModel> before_;
  mutable TreeMemory memory_;  // saving it changes nothing
  FitAlarmOptions alarm_;
  std::unique_ptr<Job> job_;
  std::vector<std::string> way_;
  std::int64_t way_since_ns_ = 0;
  std::uint64_t versions_before_ = 0;  // of the application, before the restart
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
