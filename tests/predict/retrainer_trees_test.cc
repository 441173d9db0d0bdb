// A shop in which a tier falls behind now and then, trees that were trained with it, and what
// becomes of them as the shop changes. Violations are told, so that the truth is known.
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "seer/predict/alarm_score.h"
#include "seer/predict/listen.h"
#include "seer/predict/model_store.h"
#include "seer/predict/retrainer.h"
#include "seer/predict/tree_trainer.h"
#include "tests/predict/faulty_cluster.h"
#include "tests/predict/retrain_text.h"

namespace seer {
namespace {

using testing::FaultyRun;
using testing::SmallTraining;
using testing::StepAll;
using testing::Text;

// Trained once for all tests of a process.
const TreeModel& Trained() {
  static const TreeModel* const model = [] {
    const FaultyRun a(1), held(3);
    TreeTrainingOptions options = SmallTraining();
    options.violations.rounds = options.initiators.rounds = 30;
    return new TreeModel(TrainTrees({a.Labelled()}, {held.Labelled()}, options).value());
  }();
  return *model;
}

// After an update a few requests that stand somewhere are enough for a violation.
constexpr double kUsual = 1.6, kUpdated = 8;

RetrainerOptions Options() {
  RetrainerOptions options;
  options.find_violations = false;
  options.replay.bytes = 4 << 20;
  options.held_back_bytes = 4 << 20;
  options.label_delay_ns = 3'000'000'000;
  options.false_alarms_per_hour = 12;
  options.scratch_trees = 30;
  options.trees_a_step = 12;
  return options;
}

// All of a run, and what came of it; a Step() each second.
void Live(Retrainer* retrainer, const FaultyRun& run, bool tell = true) {
  std::size_t told = 0;
  for (std::size_t i = 0; i < run.all.size(); ++i) {
    const ClusterTick& tick = run.all[i];
    ASSERT_TRUE(retrainer->Observe(tick, run.cluster.topology).ok());
    const std::int64_t now_ns = tick.period.EndNs(tick.tick);
    while (tell && told < run.violations.size() && run.violations[told].end_ns <= now_ns) {
      retrainer->NoteViolation(run.violations[told++]);
    }
    if (i % 10 != 0) continue;
    StepAll(retrainer, now_ns);
  }
}

struct Found {
  std::uint64_t hits = 0, false_alarms = 0;
};
Found Score(const std::string& model, double ms_each) {
  const FaultyRun run(77, 4000, ms_each);
  const auto predictor = MakeModelOf(model).value();
  const HeardRun heard = Listen(run.Labelled(), predictor.get(), {300'000'000}).value();
  Found found;
  for (const HeardClass& one : heard.classes) {
    const AlarmScore score = ScoreAlarms(one.alarms);
    found.hits += score.hits;
    found.false_alarms += score.false_alarms - score.near_misses;
  }
  return found;
}

std::size_t Count(const std::vector<RetrainDecision>& decisions, RetrainStage stage,
                  bool replaced) {
  return static_cast<std::size_t>(
      std::count_if(decisions.begin(), decisions.end(), [&](const RetrainDecision& each) {
        return each.stage == stage && each.replaced == replaced;
      }));
}

TEST(RetrainerTrees, FindsItsWayAfterAnUpdate) {
  const std::string frozen = EncodeTreeModel(Trained());
  const Found before = Score(frozen, kUpdated);
  auto retrainer = Retrainer::Create(Trained(), Options()).value();
  Live(retrainer.get(), FaultyRun(21, 9000, kUpdated));
  const auto decisions = retrainer->TakeDecisions();
  SCOPED_TRACE(Text(decisions));
  const auto model = retrainer->TakeModel();
  ASSERT_TRUE(model.has_value());
  EXPECT_FALSE(retrainer->TakeModel().has_value()) << "once";
  const Found after = Score(*model, kUpdated);
  EXPECT_GE(after.hits, before.hits + 3);
  EXPECT_LE(after.false_alarms, before.false_alarms + 2);
  EXPECT_GT(
      Count(decisions, RetrainStage::kAlarm, true) + Count(decisions, RetrainStage::kBoost, true),
      0u);
  const RetrainerHealth health = retrainer->health();
  EXPECT_TRUE(health.last_error.ok());
  EXPECT_GT(health.replay_ahead, 50u);
  EXPECT_GT(health.held_back_ahead, 10u);
  const TreeModel serving = DecodeTreeModel(retrainer->serving()).value();
  EXPECT_EQ(serving.provenance.at("retrain.version"), std::to_string(health.version));
  EXPECT_NE(serving.provenance.at("retrain.parent_loss"), "");
}

TEST(RetrainerTrees, UpdatesWithoutEffectCostNothing) {
  const Found before = Score(EncodeTreeModel(Trained()), kUsual);
  auto retrainer = Retrainer::Create(Trained(), Options()).value();
  Live(retrainer.get(), FaultyRun(22, 6000));
  SCOPED_TRACE(Text(retrainer->TakeDecisions()));
  const Found after = Score(retrainer->serving(), kUsual);
  EXPECT_GE(after.hits + 1, before.hits);
  EXPECT_LE(after.false_alarms, before.false_alarms + 2);
}

TEST(RetrainerTrees, TheSameCallsGiveTheSameTrees) {
  std::string serving;
  for (int i = 0; i < 2; ++i) {
    auto retrainer = Retrainer::Create(Trained(), Options()).value();
    Live(retrainer.get(), FaultyRun(23, 4000, kUpdated));
    EXPECT_NE(retrainer->serving(), EncodeTreeModel(Trained()));
    EXPECT_TRUE(i == 0 || retrainer->serving() == serving);
    serving = retrainer->serving();
  }
}

TEST(RetrainerTrees, AnEmptyDayChangesNothing) {
  auto retrainer = Retrainer::Create(Trained(), Options()).value();
  FaultyRun run(36, 6000);
  run.violations.clear();
  std::vector<ClusterTick> calm;
  for (std::size_t i = 0; i < run.all.size(); ++i) {
    if (i % 200 < 110) calm.push_back(run.all[i]);  // nothing falls behind
  }
  run.all = calm;
  Live(retrainer.get(), run);
  // A day of which nothing is known, and an hour in which nobody is seen.
  constexpr Tick kDay = 864'000;
  ClusterTick unseen;
  unseen.tick = run.all.back().tick + kDay;
  for (int i = 0; i < 36'000; ++i) {
    ++unseen.tick;
    ASSERT_TRUE(retrainer->Observe(unseen, run.cluster.topology).ok());
    if (i % 10 == 0) StepAll(retrainer.get(), unseen.period.EndNs(unseen.tick));
  }
  for (ClusterTick& tick : run.all) tick.tick += 2 * kDay;
  Live(retrainer.get(), run);
  EXPECT_TRUE(retrainer->TakeDecisions().empty());
  EXPECT_EQ(retrainer->health().steps, 0u);
  EXPECT_TRUE(retrainer->health().last_error.ok());
  EXPECT_EQ(retrainer->serving(), EncodeTreeModel(Trained()));
}

TEST(RetrainerTrees, ContradictoryLabelsDoNotReplaceTheModel) {
  auto retrainer = Retrainer::Create(Trained(), Options()).value();
  FaultyRun run(24, 6000);
  // Violations that nothing announced, blamed on anybody.
  run.violations.clear();
  std::mt19937 random(4);
  for (std::size_t i = 50; i + 50 < run.all.size(); i += 40 + random() % 40) {
    Violation violation;
    violation.request_class = run.cluster.buy;
    violation.start_ns = TickPeriod().EndNs(run.all[i].tick);
    violation.end_ns = violation.start_ns + 300'000'000;
    violation.initiation = Initiation::kService;
    violation.culprit = ServiceId(static_cast<std::uint32_t>(random() % 4));
    violation.confidence = 1;
    run.violations.push_back(violation);
  }
  Live(retrainer.get(), run);
  const auto decisions = retrainer->TakeDecisions();
  SCOPED_TRACE(Text(decisions));
  EXPECT_GT(decisions.size(), 2u) << "nothing was tried";
  for (const RetrainDecision& each : decisions) {
    EXPECT_FALSE(each.replaced) << RetrainStageName(each.stage);
    EXPECT_FALSE(each.reason.empty());
  }
  EXPECT_EQ(retrainer->serving(), EncodeTreeModel(Trained()));
}

TEST(RetrainerTrees, WhatWasBetterComesBack) {
  RetrainerOptions options = Options();
  // Only probabilities are fitted anew, so that nothing else can mend it.
  options.boost_learning_rate = options.scratch_learning_rate = 1e-6;
  options.probation_ns = 3'600'000'000'000;
  TreeModel wary = Trained();  // for the shop as it is
  wary.calibration.shift += 8;
  auto retrainer = Retrainer::Create(wary, options).value();
  Live(retrainer.get(), FaultyRun(25, 9000, kUsual));
  const auto first = retrainer->TakeDecisions();
  const std::uint64_t version = retrainer->health().version;
  ASSERT_GT(version, 1u) << Text(first);
  // Then there are violations that nothing announces, and being wary was right.
  FaultyRun later(26, 7000, kUsual, 10'100);
  Violation violation = later.violations.front();
  later.violations.clear();
  std::vector<ClusterTick> calm;
  for (std::size_t i = 0; i < later.all.size(); ++i) {
    if (i % 200 >= 110) continue;  // something falls behind, or gets over it
    calm.push_back(later.all[i]);
    if (i % 200 % 25 != 20) continue;
    violation.start_ns = TickPeriod().EndNs(later.all[i].tick);
    violation.end_ns = violation.start_ns + 100'000'000;
    later.violations.push_back(violation);
  }
  later.all = std::move(calm);
  Live(retrainer.get(), later);
  const auto decisions = retrainer->TakeDecisions();
  SCOPED_TRACE(Text(first) + "then\n" + Text(decisions));
  const auto rolled = std::find_if(decisions.begin(), decisions.end(),
                                   [](const RetrainDecision& each) { return each.rolled_back; });
  ASSERT_NE(rolled, decisions.end());
  EXPECT_TRUE(rolled->replaced);
  EXPECT_FALSE(rolled->reason.empty());
  EXPECT_LT(rolled->candidate_loss, rolled->serving_loss);
  EXPECT_GT(rolled->version, version);
  EXPECT_TRUE(retrainer->TakeModel().has_value());
}

TEST(RetrainerTrees, AfterAMajorChangeTheyGrowFromScratch) {
  auto retrainer = Retrainer::Create(Trained(), Options()).value();
  const std::string before = retrainer->serving();
  retrainer->NoteMajorChange();
  EXPECT_EQ(retrainer->serving(), before) << "it serves meanwhile";
  Live(retrainer.get(), FaultyRun(27, 9000, kUpdated));
  const auto decisions = retrainer->TakeDecisions();
  SCOPED_TRACE(Text(decisions));
  const auto scratch = std::find_if(
      decisions.begin(), decisions.end(),
      [](const RetrainDecision& each) { return each.stage == RetrainStage::kScratch; });
  ASSERT_NE(scratch, decisions.end());
  EXPECT_EQ(Count({decisions.begin(), scratch}, RetrainStage::kBoost, false), 0u)
      << "not because boosting was of no use";
  EXPECT_GE(retrainer->health().steps, 3u) << "30 trees, 12 a step";
}

TEST(RetrainerTrees, NewServicesOnTheWayAreAMajorChange) {
  RetrainerOptions options = Options();
  options.settle_ns = 2'000'000'000;
  auto retrainer = Retrainer::Create(Trained(), options).value();
  Live(retrainer.get(), FaultyRun(28, 500));
  FaultyRun run(29, 8000, kUpdated, 1600);
  for (const char* const name : {"cart", "bill"}) {
    const ServiceId id = run.cluster.topology.AddService(name, "shop").value();
    (void)run.cluster.topology.AddEdge(run.cluster.front, id).value();
  }
  Live(retrainer.get(), run);
  const auto decisions = retrainer->TakeDecisions();
  EXPECT_GT(Count(decisions, RetrainStage::kScratch, true) +
                Count(decisions, RetrainStage::kScratch, false),
            0u)
      << Text(decisions);
}

TEST(RetrainerTrees, OnlySoManyTreesAreAdded) {
  RetrainerOptions options = Options();
  options.boost_trees = 8;
  options.added_trees = 12;
  auto retrainer = Retrainer::Create(Trained(), options).value();
  // Until more were adopted than may be; one run of the shop has seldom less than two.
  std::size_t adopted = 0;
  std::string text;
  for (int run = 0; run < 6 && adopted < 2; ++run) {
    const Tick first = 1000 + 9000 * static_cast<Tick>(run);
    Live(retrainer.get(), FaultyRun(40 + static_cast<unsigned>(run), 9000, kUpdated, first));
    for (const RetrainDecision& each : retrainer->TakeDecisions()) {
      text += Text({each});
      if (each.replaced && each.stage == RetrainStage::kScratch) adopted = 0;
      if (each.replaced && each.stage == RetrainStage::kBoost) ++adopted;
      if (each.rolled_back) adopted = 0;
    }
    const TreeModel serving = DecodeTreeModel(retrainer->serving()).value();
    for (const bool blames : {false, true}) {
      const auto note =
          serving.provenance.find(blames ? "retrain.original_blames" : "retrain.original_trees");
      if (note == serving.provenance.end()) continue;
      const std::size_t original = std::stoul(note->second);
      const std::size_t trees = blames ? serving.initiators.size() : serving.violations.size();
      EXPECT_LE(trees, original + 12);
      if (!blames && adopted >= 2) {
        EXPECT_EQ(trees, original + 12);
      }
    }
  }
  EXPECT_GE(adopted, 2u) << text;
}

TEST(RetrainerTrees, ARestartKeepsTheModelAndBeginsToCollectAnew) {
  auto retrainer = Retrainer::Create(Trained(), Options()).value();
  Live(retrainer.get(), FaultyRun(21, 9000, kUpdated));
  const std::uint64_t version = retrainer->health().version;
  ASSERT_GT(version, 1u);
  const TreeModel saved = DecodeTreeModel(retrainer->serving()).value();
  retrainer.reset();
  auto again = Retrainer::Create(saved, Options()).value();
  EXPECT_EQ(again->health().version, version);
  EXPECT_EQ(again->serving(), EncodeTreeModel(saved));
  EXPECT_FALSE(again->TakeModel().has_value()) << "nothing new";
  EXPECT_EQ(again->health().replay_windows, 0u);
  const FaultyRun run(32, 3000, kUpdated, 11'000);
  Live(again.get(), run);
  EXPECT_GT(again->health().replay_windows, 0u);
  EXPECT_GE(again->health().version, version);
}

TEST(RetrainerTrees, AViolationThatIsToldAsOpenAndNeverAgainIsOver) {
  auto retrainer = Retrainer::Create(Trained(), Options()).value();
  const FaultyRun run(21, 3000, kUpdated);
  Violation violation = run.violations.front();
  violation.start_ns = violation.end_ns = run.all.front().period.EndNs(run.all.front().tick);
  violation.open = true;
  ASSERT_TRUE(retrainer->Observe(run.all.front(), run.cluster.topology).ok());
  retrainer->NoteViolation(violation);
  FaultyRun rest = run;
  rest.all.erase(rest.all.begin());
  Live(retrainer.get(), rest);
  EXPECT_GT(retrainer->health().replay_ahead, 10u);
}

TEST(RetrainerTrees, AClockThatIsPutBackWithAnotherEpochStopsNothing) {
  auto retrainer = Retrainer::Create(Trained(), Options()).value();
  // More than a year later than it is.
  Live(retrainer.get(), FaultyRun(21, 4000, kUpdated, 400'000'000));
  EXPECT_FALSE(retrainer->TakeDecisions().empty()) << "nothing was tried";
  FaultyRun after(22, 6000, kUpdated);
  after.cluster.topology = after.cluster.topology.Compacted(18).value().topology;
  Live(retrainer.get(), after);
  EXPECT_FALSE(retrainer->TakeDecisions().empty()) << "it waits for the time before";
  std::string state;
  ASSERT_TRUE(retrainer->SaveState(&state).ok());
  const absl::Status status = Retrainer::Create(Trained(), Options()).value()->LoadState(state);
  EXPECT_TRUE(status.ok()) << status;
}

TEST(RetrainerTrees, AvoidedViolationsAreNotLearntAsFalseAlarms) {
  for (const bool noted : {false, true}) {
    SCOPED_TRACE(noted);
    auto retrainer = Retrainer::Create(Trained(), Options()).value();
    const FaultyRun run(33, 3000);
    std::size_t next = 0;
    for (const ClusterTick& tick : run.all) {
      ASSERT_TRUE(retrainer->Observe(tick, run.cluster.topology).ok());
      // Each is foreseen and avoided: no violation is seen, but an action is.
      const std::int64_t now_ns = tick.period.EndNs(tick.tick);
      for (; next < run.violations.size() && run.violations[next].start_ns <= now_ns; ++next) {
        ActionTaken taken;
        taken.action = Action::kCpuLimit;
        taken.outcome = ActionOutcome::kApplied;
        taken.target.service = "store";
        taken.time_ns = run.violations[next].start_ns - 200'000'000;
        if (noted) retrainer->NoteAction(taken);
      }
    }
    ASSERT_TRUE(retrainer->Step(0).ok());
    EXPECT_EQ(retrainer->health().replay_ahead > 0, noted);
    EXPECT_GT(retrainer->health().replay_windows, 50u);
  }
}

TEST(RetrainerTrees, AFloodThatNobodyTakesIsBounded) {
  RetrainerOptions options = Options();
  options.replay.bytes = options.held_back_bytes = 1 << 17;
  auto retrainer = Retrainer::Create(Trained(), options).value();
  const FaultyRun run(34, 12'000);
  for (const ClusterTick& tick : run.all) {
    ASSERT_TRUE(retrainer->Observe(tick, run.cluster.topology).ok());
  }
  for (const Violation& violation : run.violations) retrainer->NoteViolation(violation);
  ASSERT_TRUE(retrainer->Step(0).ok());
  const RetrainerHealth health = retrainer->health();
  EXPECT_GT(health.replay_windows, 10u);
  EXPECT_LE(health.replay_bytes, options.replay.bytes);
  EXPECT_LE(health.held_back_windows, options.held_back_bytes / 200);
}

TEST(RetrainerTrees, WhatItCannotUseIsRefused) {
  TreeModel model = Trained();
  model.horizons_ns.clear();
  EXPECT_TRUE(absl::IsInvalidArgument(Retrainer::Create(model).status()));
  RetrainerOptions options = Options();
  options.added_trees = 1;
  EXPECT_TRUE(absl::IsInvalidArgument(Retrainer::Create(Trained(), options).status()));
  auto retrainer = Retrainer::Create(Trained(), Options()).value();
  const FaultyRun run(35, 10);
  ASSERT_TRUE(retrainer->Observe(run.all[0], run.cluster.topology).ok());
  EXPECT_TRUE(absl::IsInvalidArgument(retrainer->Observe(run.all[0], run.cluster.topology)));
  EXPECT_TRUE(absl::IsInvalidArgument(retrainer->Observe(run.all[1], Topology(17))));
  ClusterTick other = run.all[1];
  other.period = TickPeriod::FromNs(50'000'000).value();
  EXPECT_TRUE(absl::IsInvalidArgument(retrainer->Observe(other, run.cluster.topology)));
}

}  // namespace
}  // namespace seer
