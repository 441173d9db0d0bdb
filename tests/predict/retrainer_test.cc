// A small shop whose store falls ill once in a while, a network that was trained with it, and what
// becomes of the network as the shop changes. Violations are told, so that the truth is known.
#include "seer/predict/retrainer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "seer/predict/model_predictor.h"
#include "tests/predict/retrain_text.h"
#include "tests/predict/sick_shop.h"

namespace seer {
namespace {

using testing::Shop;
using testing::StepAll;
using testing::Text;

const Checkpoint& Trained() { return testing::TrainedShop(); }
RetrainerOptions Options() { return testing::ShopRetraining(); }

Checkpoint Serving(const Retrainer& retrainer) {
  return DecodeCheckpoint(retrainer.serving()).value();
}

// Ticks into it, and what was seen of them; a Step() each second.
void Live(Retrainer* retrainer, Shop* shop, int ticks, bool sick = true, bool tell = true) {
  std::size_t told = shop->violations.size();
  for (int i = 0; i < ticks; ++i) {
    const ClusterTick tick = shop->Next(sick);
    ASSERT_TRUE(retrainer->Observe(tick, shop->cluster.topology).ok());
    for (; tell && told < shop->violations.size(); ++told) {
      retrainer->NoteViolation(shop->violations[told]);
    }
    if (i % 10 != 0) continue;
    StepAll(retrainer, tick.period.EndNs(tick.tick));
  }
}

// Of the windows before violations and of the others: the mean probability of one within 300 ms.
std::pair<double, double> Says(const Checkpoint& model, double load) {
  auto predictor = MakeModelPredictor(model).value();
  Shop shop(load, 1234);
  double ahead = 0, calm = 0;
  int n_ahead = 0, n_calm = 0;
  Forecast forecast;
  for (int i = 0; i < 2000; ++i) {
    const ClusterTick tick = shop.Next();
    EXPECT_TRUE(predictor->Observe(tick, shop.cluster.topology, &forecast).ok());
    const ClassForecast* const row = FindClass(forecast, shop.cluster.buy);
    if (row == nullptr) continue;
    const int since = i % shop.every - (shop.every - 20);
    const auto p = static_cast<double>(ProbabilityWithin(*row, 300'000'000));
    if (since >= 2 && since < 5) ahead += p, ++n_ahead;
    if (since < 0) calm += p, ++n_calm;
  }
  return {ahead / n_ahead, calm / n_calm};
}

bool Replaced(const std::vector<RetrainDecision>& decisions, RetrainStage stage) {
  for (const RetrainDecision& each : decisions) {
    if (each.stage == stage && each.replaced) return true;
  }
  return false;
}

TEST(Retrainer, FindsItsWayAfterAnUpdate) {
  const auto [ahead, calm] = Says(Trained(), 1);
  ASSERT_GT(ahead, 0.5) << "the model was trained badly";
  ASSERT_LT(calm, 0.1);
  // The update: every request takes so much longer that six times as many stand everywhere.
  const auto [ahead_after, calm_after] = Says(Trained(), 6);
  ASSERT_GT(calm_after, 0.5 * ahead_after) << "the update has no effect";

  auto retrainer = Retrainer::Create(Trained(), Options()).value();
  Shop shop(6);
  Live(retrainer.get(), &shop, 700);
  const auto soon = retrainer->TakeDecisions();
  EXPECT_TRUE(Replaced(soon, RetrainStage::kNormaliser)) << Text(soon);
  const auto bytes = retrainer->TakeModel();
  ASSERT_TRUE(bytes.has_value());
  const auto model = DecodeCheckpoint(*bytes);
  ASSERT_TRUE(model.ok());
  EXPECT_FALSE(retrainer->TakeModel().has_value()) << "once";
  const auto [ahead_soon, calm_soon] = Says(*model, 6);
  EXPECT_GT(ahead_soon - calm_soon, ahead_after - calm_after + 0.2);

  Live(retrainer.get(), &shop, 5000);
  SCOPED_TRACE(Text(retrainer->TakeDecisions()));
  const auto [ahead_late, calm_late] = Says(Serving(*retrainer), 6);
  EXPECT_GT(ahead_late - calm_late, 0.5);
  EXPECT_GE(ahead_late - calm_late, ahead_soon - calm_soon - 0.05);
  const RetrainerHealth health = retrainer->health();
  EXPECT_TRUE(health.last_error.ok());
  EXPECT_GT(health.steps, 10u);
  EXPECT_GT(health.held_back_ahead, 10u);
  const Checkpoint serving = Serving(*retrainer);
  EXPECT_EQ(serving.provenance.at("retrain.version"), std::to_string(health.version));
  EXPECT_NE(serving.provenance.at("retrain.parent_loss"), "");
}

TEST(Retrainer, UpdatesWithoutEffectChangeNothing) {
  auto retrainer = Retrainer::Create(Trained(), Options()).value();
  Shop shop(1, 5);
  Live(retrainer.get(), &shop, 3000);
  for (const RetrainDecision& each : retrainer->TakeDecisions()) {
    EXPECT_NE(each.stage, RetrainStage::kNormaliser) << each.reason;
    EXPECT_NE(each.stage, RetrainStage::kMapping);
    EXPECT_NE(each.stage, RetrainStage::kScratch);
    EXPECT_TRUE(each.replaced || !each.reason.empty());
  }
  const auto [ahead, calm] = Says(Serving(*retrainer), 1);
  const auto [ahead_before, calm_before] = Says(Trained(), 1);
  EXPECT_GE(ahead - calm, ahead_before - calm_before - 0.05);
}

TEST(Retrainer, TheSameCallsGiveTheSameWeights) {
  std::vector<float> weights;
  for (int i = 0; i < 2; ++i) {
    auto retrainer = Retrainer::Create(Trained(), Options()).value();
    Shop shop(6);
    Live(retrainer.get(), &shop, 3000);
    const Checkpoint serving = Serving(*retrainer);
    SCOPED_TRACE(Text(retrainer->TakeDecisions()));
    EXPECT_FALSE(serving.parameters == Trained().parameters);
    EXPECT_TRUE(i == 0 || serving.parameters == weights);
    weights = serving.parameters;
  }
}

TEST(Retrainer, ContradictoryLabelsDoNotReplaceTheModel) {
  RetrainerOptions options = Options();
  options.drift_shift = 100;
  auto retrainer = Retrainer::Create(Trained(), options).value();
  Shop shop(1, 8);
  std::mt19937 random(4);
  for (int minute = 0; minute < 60; ++minute) {
    Live(retrainer.get(), &shop, 50, /*sick=*/false, /*tell=*/false);
    // Violations that nothing announced, blamed on anybody.
    Violation violation;
    violation.request_class = shop.cluster.buy;
    violation.start_ns = TickPeriod().EndNs(shop.cluster.tick - static_cast<Tick>(random() % 20));
    violation.end_ns = violation.start_ns + 300'000'000;
    violation.initiation = Initiation::kService;
    violation.culprit = ServiceId(static_cast<std::uint32_t>(random() % 4));
    violation.confidence = 1;
    retrainer->NoteViolation(violation);
  }
  int judged = 0;
  const auto decisions = retrainer->TakeDecisions();
  SCOPED_TRACE(Text(decisions));
  for (const RetrainDecision& each : decisions) {
    EXPECT_FALSE(each.replaced) << RetrainStageName(each.stage);
    EXPECT_FALSE(each.reason.empty());
    ++judged;
  }
  EXPECT_GT(judged, 0) << "nothing was tried";
  EXPECT_TRUE(Serving(*retrainer).parameters == Trained().parameters);
}

TEST(Retrainer, AnEmptyDayChangesNothing) {
  auto retrainer = Retrainer::Create(Trained(), Options()).value();
  Shop shop(1, 3);
  Live(retrainer.get(), &shop, 3000, /*sick=*/false);
  EXPECT_EQ(retrainer->health().steps, 0u);
  EXPECT_TRUE(Serving(*retrainer).parameters == Trained().parameters);
  ClusterTick unseen;
  unseen.tick = shop.cluster.tick;
  for (int i = 0; i < 100; ++i) {
    ++unseen.tick;
    ASSERT_TRUE(retrainer->Observe(unseen, shop.cluster.topology).ok());
    ASSERT_TRUE(retrainer->Step(0).ok());
  }
}

TEST(Retrainer, AFloodThatNobodyTakesIsBounded) {
  RetrainerOptions options = Options();
  options.replay.bytes = options.held_back_bytes = 1 << 17;
  auto retrainer = Retrainer::Create(Trained(), options).value();
  Shop shop(1, 3);
  shop.every = 21;
  std::size_t told = 0;
  for (int i = 0; i < 30'000; ++i) {
    ASSERT_TRUE(retrainer->Observe(shop.Next(), shop.cluster.topology).ok());
    for (; told < shop.violations.size(); ++told) retrainer->NoteViolation(shop.violations[told]);
  }
  ASSERT_TRUE(retrainer->Step(0).ok());
  const RetrainerHealth health = retrainer->health();
  EXPECT_GT(health.dropped_windows, 100u);
  EXPECT_LE(health.replay_bytes, options.replay.bytes);
}

TEST(Retrainer, AFloodOfLargeWindowsThatNobodyTakesIsBounded) {
  // Of a window of 6 ticks x 3,000 services x 5 inputs 400 are more than 64 MiB.
  RetrainerOptions options = Options();
  options.label_delay_ns = 0;
  auto retrainer = Retrainer::Create(Trained(), options).value();
  Shop shop(1, 9);
  for (int s = 0; s < 3000; ++s) {
    (void)shop.cluster.topology.AddService("other-" + std::to_string(s), "shop").value();
  }
  std::size_t told = 0;
  shop.every = 25;  // ahead of violations every window is kept
  for (int i = 0; i < 1500; ++i) {
    ASSERT_TRUE(retrainer->Observe(shop.Next(), shop.cluster.topology).ok());
    for (; told < shop.violations.size(); ++told) retrainer->NoteViolation(shop.violations[told]);
  }
  ASSERT_TRUE(retrainer->Step(0).ok());
  EXPECT_GT(retrainer->health().dropped_windows, 0u);
}

TEST(Retrainer, AClockThatIsPutBackWithAnotherEpochStopsNothing) {
  auto retrainer = Retrainer::Create(Trained(), Options()).value();
  Shop before(1, 4);
  before.cluster.tick = 400'000'000;  // more than a year later than it is
  Live(retrainer.get(), &before, 5000);
  EXPECT_FALSE(retrainer->TakeDecisions().empty()) << "nothing was tried";
  Shop after(6, 5);
  after.cluster.topology = after.cluster.topology.Compacted(18).value().topology;
  Live(retrainer.get(), &after, 5000);
  const auto decisions = retrainer->TakeDecisions();
  for (const RetrainStage stage : {RetrainStage::kNormaliser, RetrainStage::kHead}) {
    EXPECT_TRUE(std::any_of(decisions.begin(), decisions.end(), [&](const RetrainDecision& each) {
      return each.stage == stage;
    })) << Text(decisions);
  }
}

TEST(Retrainer, AViolationThatIsToldAsOpenAndNeverAgainIsOver) {
  auto retrainer = Retrainer::Create(Trained(), Options()).value();
  Shop shop(1, 7);
  Live(retrainer.get(), &shop, 300);
  Violation violation;
  violation.request_class = shop.cluster.buy;
  violation.start_ns = violation.end_ns = TickPeriod().EndNs(shop.cluster.tick);
  violation.open = true;
  retrainer->NoteViolation(violation);
  Live(retrainer.get(), &shop, 1000);
  const RetrainerHealth soon = retrainer->health();
  Live(retrainer.get(), &shop, 1000);
  const RetrainerHealth later = retrainer->health();
  EXPECT_GT(later.replay_windows + later.held_back_windows,
            soon.replay_windows + soon.held_back_windows + 100);
}

TEST(Retrainer, WhereATickIsLongerThanWhatIsRecentNothingIsTakenForUsual) {
  Checkpoint model = Trained();
  ModelInputs inputs = DecodeModelInputs(model.sections.at(ModelInputs::kSection)).value();
  inputs.period = TickPeriod::FromNs(5'000'000'000).value();
  model.sections[ModelInputs::kSection] = EncodeModelInputs(inputs);
  RetrainerOptions options = Options();
  options.recent_ns = 1'000'000'000;
  auto retrainer = Retrainer::Create(model, options).value();
  Shop shop(6);
  for (int i = 0; i < 100; ++i) {
    ClusterTick tick = shop.Next();
    tick.period = inputs.period;
    ASSERT_TRUE(retrainer->Observe(tick, shop.cluster.topology).ok());
    ASSERT_TRUE(retrainer->Step(0).ok());
  }
  EXPECT_EQ(retrainer->health().drifted_services, 0);
  EXPECT_TRUE(retrainer->TakeDecisions().empty());
}

TEST(Retrainer, AvoidedViolationsAreNotLearntAsFalseAlarms) {
  for (const bool noted : {false, true}) {
    SCOPED_TRACE(noted);
    auto retrainer = Retrainer::Create(Trained(), Options()).value();
    Shop shop(1, 6);
    std::size_t told = 0;
    for (int i = 0; i < 2000; ++i) {
      const ClusterTick tick = shop.Next();
      ASSERT_TRUE(retrainer->Observe(tick, shop.cluster.topology).ok());
      // Each is foreseen and avoided: no violation is seen, but an action is.
      for (; told < shop.violations.size(); ++told) {
        ActionTaken taken;
        taken.action = Action::kCpuLimit;
        taken.outcome = ActionOutcome::kApplied;
        taken.target.service = "store";
        taken.time_ns = shop.violations[told].start_ns - 200'000'000;
        if (noted) retrainer->NoteAction(taken);
      }
      ASSERT_TRUE(retrainer->Step(0).ok());
    }
    const RetrainerHealth health = retrainer->health();
    EXPECT_EQ(health.replay_ahead > 0, noted);
    EXPECT_GT(health.replay_windows, 50u);
  }
}

TEST(Retrainer, AlarmsThatNobodyActedOnAreCounted) {
  auto retrainer = Retrainer::Create(Trained(), Options()).value();
  Shop shop(1, 6);
  std::size_t told = 0;
  for (int i = 0; i < 1000; ++i) {
    const ClusterTick tick = shop.Next();
    ASSERT_TRUE(retrainer->Observe(tick, shop.cluster.topology).ok());
    for (; told < shop.violations.size(); ++told) retrainer->NoteViolation(shop.violations[told]);
    Forecast forecast;
    forecast.tick = tick.tick;
    forecast.classes.resize(1);
    forecast.classes[0].request_class = shop.cluster.buy;
    const int phase = i % shop.every;
    // In time for every second violation, and once where there is none.
    forecast.classes[0].alarm = (phase == 83 && i % 200 < 100) || phase == 30;
    retrainer->NoteForecast(forecast);
    ASSERT_TRUE(retrainer->Step(0).ok());
  }
  const RetrainerHealth health = retrainer->health();
  EXPECT_EQ(health.hits, 5u);
  EXPECT_EQ(health.false_alarms, 10u);
  EXPECT_EQ(health.missed, 4u) << "of the last it is not known yet";
}

TEST(Retrainer, NewServicesAreMappedAndMajorChangesLearntFromScratch) {
  RetrainerOptions options = Options();
  options.settle_ns = 2'000'000'000;
  auto retrainer = Retrainer::Create(Trained(), options).value();
  Shop shop(1, 2);
  Live(retrainer.get(), &shop, 500);
  const ServiceId cart = shop.cluster.topology.AddService("cart", "shop").value();
  const ServiceId bill = shop.cluster.topology.AddService("bill", "shop").value();
  (void)shop.cluster.topology.AddEdge(shop.cluster.front, cart).value();
  (void)shop.cluster.topology.AddEdge(shop.cluster.front, bill).value();
  Live(retrainer.get(), &shop, 4000);
  const auto decisions = retrainer->TakeDecisions();
  EXPECT_TRUE(Replaced(decisions, RetrainStage::kMapping));
  bool scratch = false;
  for (const RetrainDecision& each : decisions) {
    scratch = scratch || each.stage == RetrainStage::kScratch;
    EXPECT_TRUE(each.replaced || !each.reason.empty());
  }
  EXPECT_TRUE(scratch) << "two of five services that requests wait for are new";
  const Checkpoint serving = Serving(*retrainer);
  bool found = false;
  for (const ServiceSlot& slot : serving.services) found = found || slot.name == "bill";
  EXPECT_TRUE(found);
  const auto [ahead, calm] = Says(serving, 1);
  EXPECT_GT(ahead - calm, 0.4);
}

TEST(Retrainer, AMajorChangeThatNoTopologyTellsIsLearntFromScratch) {
  auto retrainer = Retrainer::Create(Trained(), Options()).value();
  const std::string before = retrainer->serving();
  retrainer->NoteMajorChange();
  EXPECT_EQ(retrainer->serving(), before) << "it serves meanwhile";
  Shop shop(1, 11);
  Live(retrainer.get(), &shop, 4000);
  const auto decisions = retrainer->TakeDecisions();
  EXPECT_TRUE(std::any_of(decisions.begin(), decisions.end(), [](const RetrainDecision& each) {
    return each.stage == RetrainStage::kScratch;
  })) << Text(decisions);
}

TEST(Retrainer, VersionsGoOnAfterARestart) {
  Checkpoint checkpoint = Trained();
  checkpoint.provenance["retrain.version"] = "7";
  auto retrainer = Retrainer::Create(checkpoint, Options()).value();
  EXPECT_EQ(retrainer->health().version, 7u);
  EXPECT_EQ(retrainer->health().replay_windows, 0u) << "without its state it collects anew";
}

TEST(Retrainer, AShareOfAlarmsIsLeftAloneIfThatIsAskedFor) {
  auto none = Retrainer::Create(Trained(), Options()).value();
  RetrainerOptions options = Options();
  options.left_alone = 0.1;
  auto some = Retrainer::Create(Trained(), options).value();
  int left = 0;
  for (std::uint64_t id = 0; id < 10'000; ++id) {
    EXPECT_FALSE(none->LeaveAlone(id));
    left += some->LeaveAlone(id) ? 1 : 0;
  }
  EXPECT_NEAR(left, 1000, 150);
}

TEST(Retrainer, WhatItCannotUseIsRefused) {
  Checkpoint checkpoint = Trained();
  checkpoint.sections.clear();
  EXPECT_TRUE(absl::IsInvalidArgument(Retrainer::Create(checkpoint).status()));
  RetrainerOptions options = Options();
  options.left_alone = 0.9;
  EXPECT_TRUE(absl::IsInvalidArgument(Retrainer::Create(Trained(), options).status()));
  auto retrainer = Retrainer::Create(Trained(), Options()).value();
  Shop shop;
  const ClusterTick first = shop.Next();
  ASSERT_TRUE(retrainer->Observe(first, shop.cluster.topology).ok());
  EXPECT_TRUE(absl::IsInvalidArgument(retrainer->Observe(first, shop.cluster.topology)));
  EXPECT_TRUE(absl::IsInvalidArgument(retrainer->Observe(shop.Next(), Topology(17))));
  ClusterTick late = shop.Next();
  late.tick = 73'000'000'000;  // of 100 ms: in the year 2201
  EXPECT_TRUE(absl::IsInvalidArgument(retrainer->Observe(late, shop.cluster.topology)));
  EXPECT_TRUE(retrainer->Observe(shop.Next(), shop.cluster.topology).ok());
}

}  // namespace
}  // namespace seer
