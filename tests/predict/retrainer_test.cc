// A small shop whose store falls ill once in a while, a network that was trained with it, and what
// becomes of the network as the shop changes. Violations are told, so that the truth is known.
#include "seer/predict/retrainer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "seer/nn/trainer.h"
#include "seer/predict/model_inputs.h"
#include "seer/predict/model_predictor.h"
#include "seer/predict/training_set.h"
#include "tests/predict/retrain_text.h"
#include "tests/predict/small_cluster.h"

namespace seer {
namespace {

using testing::SmallCluster;
using testing::StepAll;
using testing::Text;

constexpr std::size_t kTicks = 6;
const std::vector<std::string>& Names() {
  static const std::vector<std::string> names = {"archive", "store", "logic", "front"};
  return names;
}

// Every `every` ticks the store falls ill, five ticks later there is a violation for a second.
struct Shop {
  explicit Shop(double load_ = 1, std::uint32_t seed = 1) : load(load_) {
    cluster.random.seed(seed);
  }

  ClusterTick Next(bool sick_at_all = true) {
    const int phase = time++ % every;
    const int since = phase - (every - 20);
    const bool sick = sick_at_all && since >= 0;
    ClusterTick tick = cluster.Next(sick ? load * 6 * std::min(since + 1, 8) : 0, 0, load);
    if (sick && since == 5) {
      Violation violation;
      violation.request_class = cluster.buy;
      violation.start_ns = tick.period.EndNs(tick.tick);
      violation.end_ns = violation.start_ns + 1'000'000'000;
      violation.initiation = Initiation::kService;
      violation.culprit = cluster.store;
      violation.confidence = 1;
      violations.push_back(violation);
    }
    return tick;
  }

  SmallCluster cluster;
  double load;
  int every = 100, time = 0;
  std::vector<Violation> violations;
};

ModelInputs Inputs(const Normalizer& normalizer) {
  ModelInputs inputs;
  inputs.inputs = WindowInputs::OfTraces();
  inputs.horizons_ns = {300'000'000, 1'000'000'000};
  inputs.classes = {"buy"};
  inputs.normalizer = normalizer;
  return inputs;
}

Checkpoint Train(double load) {
  Shop shop(load, 99);
  std::vector<ClusterTick> ticks;
  NormalizerFitter fitter(WindowInputs::OfTraces());
  for (int i = 0; i < 3000; ++i) {
    ticks.push_back(shop.Next());
    fitter.Observe(ticks.back(), shop.cluster.topology);
  }
  const ModelInputs inputs = Inputs(fitter.Fit());
  TrainingSet set = TrainingSet::Create(inputs, Names(), kTicks).value();
  EXPECT_TRUE(set.BeginRun(shop.cluster.topology).ok());
  for (const ClusterTick& tick : ticks) EXPECT_TRUE(set.Add(tick, shop.cluster.topology).ok());
  EXPECT_TRUE(set.EndRun(shop.violations).ok());
  Checkpoint checkpoint;
  checkpoint.config = *ModelConfig::Named("lstm", 4, inputs.inputs.size(), kTicks);
  checkpoint.config.extras = ModelInputs::kExtras;
  checkpoint.config.hazard_classes = 1;
  checkpoint.config.hazard_horizons = 2;
  for (LayerConfig& layer : checkpoint.config.trunk) layer.units = std::min(layer.units, 12u);
  const Network network = *Network::Create(checkpoint.config);
  TrainerOptions options;
  options.epochs = 6;
  options.optimizer.learning_rate = 5e-3f;
  options.loss.output_weights = set.OutputWeights();
  auto trainer = Trainer::Create(network, options).value();
  EXPECT_TRUE(trainer->Train(set).ok());
  checkpoint.parameters.assign(trainer->parameters().begin(), trainer->parameters().end());
  for (const std::string& name : Names()) checkpoint.services.push_back({name, true});
  checkpoint.sections[ModelInputs::kSection] = EncodeModelInputs(inputs);
  return checkpoint;
}
const Checkpoint& Trained() {
  static const auto* const trained = new Checkpoint(Train(1));
  return *trained;
}

Checkpoint Serving(const Retrainer& retrainer) {
  return DecodeCheckpoint(retrainer.serving()).value();
}

RetrainerOptions Options() {
  RetrainerOptions options;
  options.find_violations = false;
  options.replay.bytes = 4 << 20;
  options.held_back_bytes = 1 << 20;
  options.label_delay_ns = 3'000'000'000;
  options.recent_ns = 20'000'000'000;
  options.batches_a_step = 4;
  options.head_steps = options.whole_steps = 10;
  options.scratch_steps = 60;
  options.scratch_rate = options.head_rate = 5e-3f;
  return options;
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
  EXPECT_EQ(retrainer->health().replay_windows, 0u) << "what it collected is not kept";
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
}

}  // namespace
}  // namespace seer
