// Networks as predictors. What a network says of a window is the oracle: TrainingSet cuts the same
// windows that it was trained with, and the engine runs them whole.
#include "seer/predict/model_predictor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdio>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include <unistd.h>

#include "seer/nn/backend.h"
#include "seer/nn/trainer.h"
#include "seer/predict/model_inputs.h"
#include "seer/predict/predictor.h"
#include "seer/predict/training_set.h"
#include "tests/predict/small_cluster.h"
#include "tests/support/allocations.h"

namespace seer {
namespace {

using ::testing::HasSubstr;
using testing::SmallCluster;

constexpr std::int64_t kTickNs = 100'000'000;
constexpr std::size_t kTicks = 6;  // of a window

const std::vector<std::string>& Names() {
  static const std::vector<std::string> names = {"archive", "store", "logic", "front"};
  return names;
}

ModelInputs Inputs() {
  ModelInputs inputs;
  inputs.inputs = WindowInputs::OfTraces();
  inputs.horizons_ns = {kTickNs, 3 * kTickNs, 10 * kTickNs};
  inputs.classes = {"buy"};
  return inputs;
}

// Not trained: the weights that it was born with, or, with them made larger, opinions.
Checkpoint Newborn(bool hazards, float times = 1) {
  Checkpoint checkpoint;
  checkpoint.config = *ModelConfig::Named("lstm", Names().size(), Inputs().inputs.size(), kTicks);
  checkpoint.config.extras = ModelInputs::kExtras;
  if (hazards) {
    checkpoint.config.hazard_classes = 1;
    checkpoint.config.hazard_horizons = 3;
  }
  const Network network = *Network::Create(checkpoint.config);
  checkpoint.parameters.resize(network.parameters());
  network.Initialize(5, absl::MakeSpan(checkpoint.parameters));
  for (float& parameter : checkpoint.parameters) parameter *= times;
  for (const std::string& name : Names()) checkpoint.services.push_back({name, true});
  checkpoint.sections[ModelInputs::kSection] = EncodeModelInputs(Inputs());
  return checkpoint;
}

double InitiatorOf(const ClassForecast& row, std::optional<ServiceId> service) {
  for (const Initiator& each : row.initiators) {
    if (service ? each.service == *service : each.is_load()) {
      return static_cast<double>(each.probability);
    }
  }
  return -1;
}

TEST(ModelPredictor, SaysWhatTheNetworkSaysOfTheWindowsItWasTrainedWith) {
  for (const bool hazards : {true, false}) {
    SCOPED_TRACE(hazards);
    const Checkpoint checkpoint = Newborn(hazards, 3);
    auto model = MakeModelPredictor(checkpoint).value();
    SmallCluster cluster;
    auto set = TrainingSet::Create(Inputs(), Names(), kTicks, hazards).value();
    ASSERT_TRUE(set.BeginRun(cluster.topology).ok());
    std::vector<Forecast> forecasts;
    for (int i = 0; i < 60; ++i) {
      if (i == 30) cluster.tick += 2;  // two ticks are missing: rows of zeros
      const ClusterTick tick = cluster.Next(i / 10, 0, 1 + i / 40);
      ASSERT_TRUE(set.Add(tick, cluster.topology).ok());
      Forecast forecast;
      ASSERT_TRUE(model->Observe(tick, cluster.topology, &forecast).ok());
      if (i + 1 < static_cast<int>(kTicks)) {
        EXPECT_TRUE(forecast.classes.empty()) << "not a whole window yet";
      } else {
        forecasts.push_back(forecast);
      }
    }
    // Until long after the end it is known that there is no violation: every window is there.
    ASSERT_TRUE(set.EndRun({}, TickPeriod().EndNs(cluster.tick + 100)).ok());
    ASSERT_EQ(set.windows(), forecasts.size());

    const Network network = *Network::Create(checkpoint.config);
    auto engine = FindBackend("reference")->NewInference(network, checkpoint.parameters).value();
    auto workspace = engine->NewWorkspace(1).value();
    std::vector<float> out(network.outputs());
    TrainingBatch batch;
    for (std::uint64_t w = 0; w < set.windows(); ++w) {
      ASSERT_TRUE(set.Fill({w}, &batch).ok());
      ASSERT_TRUE(engine->Run(batch.inputs, 1, workspace.get(), absl::MakeSpan(out)).ok());
      ASSERT_EQ(forecasts[w].classes.size(), 1u);
      const ClassForecast& row = forecasts[w].classes[0];
      // The archive is asynchronous: no request waits for it.
      const double services[] = {out[1], out[2], out[3]};
      const double load = out[Names().size() + ModelInputs::kLoad];
      const double sum = services[0] + services[1] + services[2] + load;
      EXPECT_NEAR(InitiatorOf(row, cluster.store), services[0] / sum, 1e-5);
      EXPECT_NEAR(InitiatorOf(row, cluster.logic), services[1] / sum, 1e-5);
      EXPECT_NEAR(InitiatorOf(row, cluster.front), services[2] / sum, 1e-5);
      EXPECT_NEAR(InitiatorOf(row, std::nullopt), load / sum, 1e-5);
      EXPECT_EQ(InitiatorOf(row, cluster.archive), -1);
      for (std::size_t i = 1; i < row.initiators.size(); ++i) {
        EXPECT_GE(row.initiators[i - 1].probability, row.initiators[i].probability);
      }
      ASSERT_EQ(row.horizons.size(), 3u);
      for (std::size_t k = 0; k < 3; ++k) {
        const double part = static_cast<double>(Inputs().horizons_ns[k]) / 300e6;
        const double expected = hazards ? static_cast<double>(out[network.initiators() + k])
                                        : 1 - std::pow(1 - sum, part);
        EXPECT_NEAR(row.horizons[k].probability, expected, 1e-5) << k;
      }
    }
  }
}

TEST(ModelPredictor, ServicesAreKnownByNameWhateverTheirNumbers) {
  const auto run = [](Topology* topology, bool stranger) {
    // The same cluster in another numbering, with somebody whom the model does not know.
    SmallCluster cluster;
    if (stranger) {
      ASSERT_TRUE(topology->AddService("stranger", "shop").ok());
      const auto map = topology->Merge(cluster.topology);
      ASSERT_TRUE(map.ok());
    }
  };
  Topology other(17);
  run(&other, true);
  SmallCluster cluster;
  auto here = MakeModelPredictor(Newborn(true, 3)).value();
  auto there = MakeModelPredictor(Newborn(true, 3)).value();
  const auto moved = [&](const ClusterTick& tick) {
    ClusterTick to;
    to.tick = tick.tick;
    to.period = tick.period;
    to.Reset(other.services().size(), other.edges().size(), other.classes().size());
    for (std::size_t s = 0; s < cluster.topology.services().size(); ++s) {
      const ServiceId id(static_cast<std::uint32_t>(s));
      const ServiceId name = *other.FindService(cluster.topology.service(id).name);
      if (const auto depth = tick.services.depth(id, Channel::kBlocked)) {
        to.services.SetDepth(name, Channel::kBlocked, *depth);
      }
    }
    for (std::size_t e = 0; e < cluster.topology.edges().size(); ++e) {
      const EdgeId id(static_cast<std::uint32_t>(e));
      to.edges.SetDepth(id, *tick.edges.depth(id));
      to.edges.SetMade(id, *tick.edges.made(id));
    }
    return to;
  };
  Forecast a, b;
  for (int i = 0; i < 20; ++i) {
    const ClusterTick tick = cluster.Next(i);
    ASSERT_TRUE(here->Observe(tick, cluster.topology, &a).ok());
    ASSERT_TRUE(there->Observe(moved(tick), other, &b).ok());
  }
  ASSERT_EQ(a.classes.size(), 1u);
  ASSERT_EQ(b.classes.size(), 1u);
  EXPECT_EQ(InitiatorOf(a.classes[0], cluster.store),
            InitiatorOf(b.classes[0], *other.FindService("store")));
  EXPECT_EQ(a.classes[0].horizons[1].probability, b.classes[0].horizons[1].probability);

  Topology strange(3);
  ASSERT_TRUE(strange.AddService("stranger", "shop").ok());
  ClusterTick tick;
  tick.tick = 5;
  tick.Reset(1, 0, 0);
  const absl::Status status = there->Observe(tick, strange, &b);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("none of the model's 4 services"));
}

TEST(ModelPredictor, WhatACheckpointLacksIsNamed) {
  const auto error = [](const Checkpoint& checkpoint) {
    return std::string(MakeModelPredictor(checkpoint).status().message());
  };
  Checkpoint checkpoint = Newborn(true);
  checkpoint.sections.clear();
  EXPECT_THAT(error(checkpoint), HasSubstr("seer.inputs"));
  checkpoint = Newborn(true);
  checkpoint.services.pop_back();
  EXPECT_THAT(error(checkpoint), HasSubstr("3 names of services"));
  checkpoint = Newborn(true);
  ModelInputs inputs = Inputs();
  inputs.inputs = WindowInputs({{WindowInput::Kind::kSelf}});
  checkpoint.sections[ModelInputs::kSection] = EncodeModelInputs(inputs);
  EXPECT_THAT(error(checkpoint), HasSubstr("1 inputs"));
  checkpoint = Newborn(true);
  inputs = Inputs();
  inputs.classes.push_back("sell");
  checkpoint.sections[ModelInputs::kSection] = EncodeModelInputs(inputs);
  EXPECT_THAT(error(checkpoint), HasSubstr("hazards"));
  checkpoint = Newborn(true);
  checkpoint.sections[ModelCalibration::kSection] = "seer-calibration 1\nslope 0\n";
  EXPECT_THAT(error(checkpoint), HasSubstr("slope"));
  checkpoint = Newborn(true);
  checkpoint.parameters.pop_back();
  EXPECT_FALSE(MakeModelPredictor(checkpoint).ok());
  ModelPredictorOptions options;
  options.backend = "abacus";
  EXPECT_EQ(MakeModelPredictor(Newborn(true), options).status().code(),
            absl::StatusCode::kNotFound);
  options = {};
  options.max_initiators = 0;
  EXPECT_FALSE(MakeModelPredictor(Newborn(true), options).ok());
}

TEST(ModelPredictor, RefusesTicksOfAnotherPeriod) {
  auto model = MakeModelPredictor(Newborn(true)).value();
  SmallCluster cluster;
  ClusterTick tick = cluster.Next();
  tick.period = *TickPeriod::FromNs(50'000'000);
  Forecast forecast;
  const absl::Status status = model->Observe(tick, cluster.topology, &forecast);
  EXPECT_THAT(std::string(status.message()), HasSubstr("trained with 100000000"));
}

TEST(ModelPredictor, SaysNothingWhereNothingIsSeen) {
  auto model = MakeModelPredictor(Newborn(true)).value();
  SmallCluster cluster;
  Forecast forecast;
  for (int i = 0; i < 20; ++i) {
    ASSERT_TRUE(model->Observe(cluster.Next(), cluster.topology, &forecast).ok());
  }
  EXPECT_EQ(forecast.classes.size(), 1u);
  for (std::size_t i = 0; i < kTicks; ++i) {
    ClusterTick blind = cluster.Next();
    blind.Reset(cluster.topology.services().size(), cluster.topology.edges().size(), 1);
    ASSERT_TRUE(model->Observe(blind, cluster.topology, &forecast).ok());
  }
  EXPECT_TRUE(forecast.classes.empty());
  ASSERT_TRUE(model->Observe(cluster.Next(), cluster.topology, &forecast).ok());
  EXPECT_EQ(forecast.classes.size(), 1u);
}

TEST(ModelCalibration, GoesThroughTextAndRefusesWhatMakesNoSense) {
  ModelCalibration calibration;
  calibration.slope = 1.0 / 3;
  calibration.shift = -7.25;
  calibration.threshold = 0.123;
  calibration.alarm_horizon_ns = 200'000'000;
  calibration.alarm.raise_ns = 1;
  calibration.alarm.clear_ratio = 0.5;
  EXPECT_EQ(*DecodeModelCalibration(EncodeModelCalibration(calibration)), calibration);
  for (const char* text :
       {"", "seer-calibration 2\n", "seer-calibration 1\nslope\n", "seer-calibration 1\nslope x\n",
        "seer-calibration 1\nslope nan\n", "seer-calibration 1\nshift inf\n",
        "seer-calibration 1\nthreshold 1\n", "seer-calibration 1\nalarm_horizon_ns 0\n",
        "seer-calibration 1\nclear_ratio 0\n", "seer-calibration 1\nwhat 1\n"}) {
    EXPECT_EQ(DecodeModelCalibration(text).status().code(), absl::StatusCode::kInvalidArgument)
        << text;
  }
}

TEST(ModelCalibration, ChangesProbabilitiesAndNotTheirOrder) {
  ModelCalibration none;
  ModelCalibration some;
  some.slope = 0.5;
  some.shift = -2;
  double before = -1;
  for (const double p : {0.0, 1e-6, 0.1, 0.5, 0.9, 0.999999, 1.0}) {
    EXPECT_NEAR(none.Apply(p), p, 2e-9);
    EXPECT_GT(some.Apply(p), before);
    before = some.Apply(p);
  }
  // Even odds become those of the shift.
  EXPECT_NEAR(some.Apply(0.5), 1 / (1 + std::exp(2.0)), 1e-12);
}

// A day in the life of the small cluster: calm, then a backlog at the store or too many requests
// grows for 1.5 s until it is a violation.
struct Day {
  std::vector<ClusterTick> ticks;
  std::vector<Violation> violations;
};
Day Live(SmallCluster* cluster, int episodes) {
  Day day;
  for (int i = 0; i < episodes; ++i) {
    const bool load = cluster->random() % 2 == 0;
    const int calm = 30 + static_cast<int>(cluster->random() % 20);
    for (int t = 0; t < calm; ++t) day.ticks.push_back(cluster->Next());
    for (int t = 1; t <= 15; ++t) {
      day.ticks.push_back(load ? cluster->Next(0, 0, 1 + 0.2 * t) : cluster->Next(2.5 * t));
    }
    Violation violation;
    violation.request_class = cluster->buy;
    violation.start_ns = TickPeriod().EndNs(cluster->tick + 1);
    for (int t = 0; t < 10; ++t) {
      day.ticks.push_back(load ? cluster->Next(0, 0, 4) : cluster->Next(40));
    }
    violation.end_ns = TickPeriod().EndNs(cluster->tick);
    violation.initiation = load ? Initiation::kLoad : Initiation::kService;
    if (!load) violation.culprit = cluster->store;
    day.violations.push_back(violation);
  }
  return day;
}

class TrainedModel : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    SmallCluster cluster;
    const Day day = Live(&cluster, 80);
    ModelInputs inputs = Inputs();
    NormalizerFitter fitter(inputs.inputs);
    for (const ClusterTick& tick : day.ticks) fitter.Observe(tick, cluster.topology);
    inputs.normalizer = fitter.Fit();
    Checkpoint trained = Newborn(true);
    trained.sections[ModelInputs::kSection] = EncodeModelInputs(inputs);
    auto set = TrainingSet::Create(inputs, Names(), kTicks, true).value();
    ASSERT_TRUE(set.BeginRun(cluster.topology).ok());
    for (const ClusterTick& tick : day.ticks) ASSERT_TRUE(set.Add(tick, cluster.topology).ok());
    ASSERT_TRUE(set.EndRun(day.violations).ok());
    const Network network = *Network::Create(trained.config);
    TrainerOptions options;
    options.epochs = 10;
    options.seed = 2;
    options.threads = 1;
    options.loss.output_weights = set.OutputWeights(5);
    options.optimizer.learning_rate = 3e-3f;
    auto trainer = Trainer::Create(network, options).value();
    ASSERT_TRUE(trainer->Train(set).ok());
    trained.parameters.assign(trainer->parameters().begin(), trainer->parameters().end());
    checkpoint = new Checkpoint(std::move(trained));
  }
  static void TearDownTestSuite() { delete checkpoint; }
  static Checkpoint* checkpoint;
};
Checkpoint* TrainedModel::checkpoint = nullptr;

TEST_F(TrainedModel, ForeseesWhatItHasNotSeenAndNamesWhoIsToBlame) {
  SmallCluster cluster;
  cluster.random.seed(99);
  const Day day = Live(&cluster, 20);
  auto model = MakeModelPredictor(*checkpoint).value();
  Forecast forecast;
  std::vector<std::pair<std::int64_t, std::string>> alarms;  // when each began, and who
  bool before = false;
  for (const ClusterTick& tick : day.ticks) {
    ASSERT_TRUE(model->Observe(tick, cluster.topology, &forecast).ok());
    if (forecast.alarm() && !before) {
      const Initiator& first = forecast.classes[0].initiators[0];
      alarms.emplace_back(tick.period.EndNs(tick.tick),
                          first.is_load() ? "load" : cluster.topology.service(first.service).name);
      double weight = 0;
      for (const ForecastEvidence& each : forecast.classes[0].evidence) {
        EXPECT_NE(each.service.valid(), each.edge.valid());
        weight += static_cast<double>(each.weight);
      }
      EXPECT_LE(weight, 1.0);
    }
    before = forecast.alarm();
  }
  int foreseen = 0, named = 0;
  for (const Violation& violation : day.violations) {
    for (const auto& [at_ns, who] : alarms) {
      if (at_ns > violation.start_ns - kTickNs || at_ns < violation.start_ns - 2'000'000'000) {
        continue;
      }
      ++foreseen;
      named += who == (violation.initiation == Initiation::kLoad ? "load" : "store") ? 1 : 0;
      break;
    }
  }
  EXPECT_GE(foreseen, 17) << "of 20";
  EXPECT_GE(named, foreseen - 2);
  EXPECT_LE(alarms.size(), 26u);
}

TEST_F(TrainedModel, EvidenceIsWhatTheAlarmRestsOn) {
  SmallCluster cluster;
  auto model = MakeModelPredictor(*checkpoint).value();
  Forecast forecast;
  for (int i = 0; i < 40; ++i) {
    ASSERT_TRUE(model->Observe(cluster.Next(), cluster.topology, &forecast).ok());
  }
  for (int i = 1; i < 16 && !forecast.alarm(); ++i) {
    ASSERT_TRUE(model->Observe(cluster.Next(2.5 * i), cluster.topology, &forecast).ok());
  }
  ASSERT_TRUE(forecast.alarm());
  const auto& evidence = forecast.classes[0].evidence;
  ASSERT_FALSE(evidence.empty());
  bool at_store = false;
  for (std::size_t i = 0; i < evidence.size(); ++i) {
    EXPECT_GT(evidence[i].weight, 0);
    EXPECT_GE(evidence[i == 0 ? 0 : i - 1].weight, evidence[i].weight);
    at_store = at_store || evidence[i].edge == cluster.to_store ||
               (evidence[i].service.valid() && evidence[i].service == cluster.store);
  }
  EXPECT_TRUE(at_store);
}

TEST_F(TrainedModel, AllocatesNothingFromTickToTick) {
  SmallCluster cluster;
  auto model = MakeModelPredictor(*checkpoint).value();
  std::vector<ClusterTick> ticks;
  for (int i = 0; i < 200; ++i) ticks.push_back(cluster.Next(i < 150 ? 0 : 2.0 * (i - 150)));
  Forecast forecast;
  for (int i = 0; i < 100; ++i) {
    ASSERT_TRUE(
        model->Observe(ticks[static_cast<std::size_t>(i)], cluster.topology, &forecast).ok());
  }
  const testing::Allocations allocations;
  bool alarmed = false;
  for (std::size_t i = 100; i < ticks.size(); ++i) {
    model->Observe(ticks[i], cluster.topology, &forecast).IgnoreError();
    alarmed = alarmed || forecast.alarm();
  }
  EXPECT_EQ(allocations.count(), 0u);
  EXPECT_TRUE(alarmed) << "or explaining an alarm was not tried";
}

TEST_F(TrainedModel, IsLoadedFromAFileByAPredictor) {
  const std::string path = ::testing::TempDir() + "/model-" + std::to_string(getpid()) + ".seer";
  ASSERT_TRUE(SaveCheckpoint(*checkpoint, path).ok());
  const auto predictor = Predictor::Load(path);
  ASSERT_TRUE(predictor.ok()) << predictor.status();
  EXPECT_EQ((*predictor)->health().model, "model");
  std::remove(path.c_str());
  EXPECT_EQ(Predictor::Load(path).status().code(), absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace seer
