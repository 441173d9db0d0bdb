#include "seer/predict/tree_model.h"

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "seer/core/wire.h"
#include "seer/predict/alarm_score.h"
#include "seer/predict/predictor.h"
#include "seer/predict/tree_trainer.h"
#include "tests/predict/faulty_cluster.h"
#include "tests/predict/small_nodes.h"
#include "tests/support/allocations.h"

namespace seer {
namespace {

using testing::FaultyRun;
using ::testing::HasSubstr;
using testing::SmallTraining;

// Trained once for all tests of a process.
const TreeModel& Trained() {
  static const TreeModel* const model = [] {
    const FaultyRun a(1), held(3);
    TreeTrainingOptions options = SmallTraining();
    auto trained = TrainTrees({a.Labelled()}, {held.Labelled()}, options);
    EXPECT_TRUE(trained.ok()) << trained.status();
    return new TreeModel(*std::move(trained));
  }();
  return *model;
}

std::unique_ptr<TickPredictor> Make(const TreePredictorOptions& options = {}) {
  return MakeTreePredictor(Trained(), options).value();
}

struct Replayed {
  AlarmTrack track;
  std::vector<ServiceId> blamed;
  std::vector<Forecast> forecasts;
};
Replayed Replay(const FaultyRun& run, TickPredictor* predictor) {
  Replayed replayed;
  for (const Violation& v : run.violations) {
    replayed.track.violations.push_back({v.start_ns, v.end_ns});
  }
  Forecast forecast;
  for (const ClusterTick& tick : run.all) {
    EXPECT_TRUE(predictor->Observe(tick, run.cluster.topology, &forecast).ok());
    replayed.forecasts.push_back(forecast);
    const ClassForecast* const row = FindClass(forecast, run.cluster.buy);
    if (row == nullptr) continue;
    replayed.track.times_ns.push_back(tick.period.EndNs(tick.tick));
    replayed.track.alarms.push_back(row->alarm ? 1 : 0);
    replayed.blamed.push_back(row->initiators.front().service);
  }
  return replayed;
}

TEST(TreePredictor, ForeseesARunThatItNeverSaw) {
  const FaultyRun run(9);
  const auto predictor = Make();
  EXPECT_EQ(predictor->name(), "trees");
  const Replayed replayed = Replay(run, predictor.get());
  const AlarmScore score = ScoreAlarms(replayed.track);
  ASSERT_GT(run.violations.size(), 10u);
  EXPECT_GT(score.hits * 10, run.violations.size() * 9);
  EXPECT_LE(score.false_alarms, 3u);
  std::size_t right = 0;
  for (const ScoredAlarm& alarm : score.alarms) {
    if (alarm.outcome != AlarmOutcome::kHit) continue;
    right += replayed.blamed[alarm.tick] == run.violations[alarm.violation].culprit ? 1 : 0;
  }
  EXPECT_GT(right * 10, score.hits * 9);
}

TEST(TreePredictor, RowsAreProbabilities) {
  const FaultyRun run(10, 1500);
  TreePredictorOptions options;
  options.max_initiators = 2;
  const Replayed replayed = Replay(run, Make(options).get());
  std::size_t alarms = 0, evidence = 0;
  for (const Forecast& forecast : replayed.forecasts) {
    for (const ClassForecast& row : forecast.classes) {
      ASSERT_EQ(row.horizons.size(), 6u);
      float before = 0;
      for (const HorizonProbability& horizon : row.horizons) {
        EXPECT_GE(horizon.probability, before);
        EXPECT_LE(horizon.probability, 1);
        before = horizon.probability;
      }
      float sum = 0, last = 2;
      ASSERT_LE(row.initiators.size(), 3u);
      for (const Initiator& one : row.initiators) {
        EXPECT_LE(one.probability, last);
        last = one.probability;
        sum += one.probability;
      }
      EXPECT_NEAR(sum, 1, 1e-5);
      alarms += row.alarm ? 1 : 0;
      evidence += row.evidence.empty() ? 0 : 1;
      EXPECT_TRUE(row.alarm || row.evidence.empty());
    }
  }
  EXPECT_GT(alarms, 10u);
  EXPECT_GT(evidence * 2, alarms);
}

TEST(TreePredictor, SameTicksGiveTheSameForecasts) {
  const FaultyRun run(11, 1000);
  const auto predictor = Make();
  const Replayed first = Replay(run, predictor.get());
  predictor->Reset();
  const Replayed again = Replay(run, predictor.get());
  ASSERT_EQ(first.forecasts.size(), again.forecasts.size());
  for (std::size_t i = 0; i < first.forecasts.size(); ++i) {
    ASSERT_EQ(first.forecasts[i].classes.size(), again.forecasts[i].classes.size());
    for (std::size_t c = 0; c < first.forecasts[i].classes.size(); ++c) {
      const ClassForecast &a = first.forecasts[i].classes[c], &b = again.forecasts[i].classes[c];
      EXPECT_EQ(a.alarm, b.alarm);
      EXPECT_EQ(a.horizons[2].probability, b.horizons[2].probability);
      EXPECT_EQ(a.initiators[0].probability, b.initiators[0].probability);
    }
  }
}

TEST(TreePredictor, AllocatesNothingFromTickToTick) {
  const FaultyRun run(12, 1200);
  const auto predictor = Make();
  Forecast forecast;
  std::size_t alarms = 0;
  std::optional<testing::Allocations> allocations;
  for (std::size_t i = 0; i < run.all.size(); ++i) {
    if (i == 100) allocations.emplace();
    ASSERT_TRUE(predictor->Observe(run.all[i], run.cluster.topology, &forecast).ok());
    alarms += forecast.alarm() ? 1 : 0;
  }
  EXPECT_EQ(allocations->count(), 0u);
  EXPECT_GT(alarms, 0u);
}

TEST(TreePredictor, RefusesWhatDoesNotFitAndKeepsWhatItKnows) {
  const FaultyRun run(13, 200);
  const auto predictor = Make();
  Forecast forecast;
  for (const ClusterTick& tick : run.all) {
    ASSERT_TRUE(predictor->Observe(tick, run.cluster.topology, &forecast).ok());
  }
  const Tick newest = forecast.tick;
  EXPECT_EQ(predictor->Observe(run.all[5], run.cluster.topology, &forecast).code(),
            absl::StatusCode::kInvalidArgument);
  ClusterTick other = run.all.back();
  other.tick += 1;
  other.period = *TickPeriod::FromNs(50'000'000);
  EXPECT_THAT(std::string(predictor->Observe(other, run.cluster.topology, &forecast).message()),
              HasSubstr("period"));
  EXPECT_EQ(forecast.tick, newest);
  EXPECT_EQ(forecast.classes.size(), 1u);
}

TEST(TreePredictor, LivesThroughGarbageGapsAndNewServices) {
  FaultyRun run(14, 400);
  const auto predictor = Make();
  Forecast forecast;
  std::mt19937 random(15);
  Topology topology = run.cluster.topology;
  Tick shift = 0;
  for (std::size_t i = 0; i < run.all.size(); ++i) {
    if (i == 150) shift += 100000;  // a gap
    if (i == 250) {
      const ServiceId late = topology.AddService("late", "shop").value();
      ASSERT_TRUE(topology.AddEdge(run.cluster.front, late).ok());
    }
    if (i == 300) {
      ASSERT_TRUE(topology.RemoveService(run.cluster.archive).ok());
    }
    ClusterTick tick = run.all[i];
    tick.tick += shift;
    if (i % 7 == 3) {
      tick.services.SetDepth(run.cluster.store, Channel::kQueued, 9.2e18);
      tick.edges.SetDepth(run.cluster.to_store, 9.2e18);
      tick.classes[0].oldest_open_ns = std::numeric_limits<std::int64_t>::max();
      tick.classes[0].over_target = std::numeric_limits<std::uint64_t>::max();
    }
    if (i % 11 == 5) tick.Reset(0, 0, 0);  // nothing was seen
    ASSERT_TRUE(predictor->Observe(tick, topology, &forecast).ok()) << i;
    for (const ClassForecast& row : forecast.classes) {
      for (const HorizonProbability& h : row.horizons) {
        EXPECT_TRUE(h.probability >= 0 && h.probability <= 1) << i;
      }
    }
  }
}

// Every bit of what is said of the only class.
void ExpectSame(const Forecast& a, const Forecast& b) {
  EXPECT_EQ(testing::BitsOf(a), testing::BitsOf(b));
}

// What is refused leaves no trace: a twin that never saw it says the same, bit by bit.
TEST(TreePredictor, GarbageIsRefusedAndChangesNothing) {
  const FaultyRun run(21, 500);
  const auto predictor = Make(), twin = Make();
  Forecast forecast, expected;
  for (const ClusterTick& tick : run.all) {
    ClusterTick bad = tick;
    bad.tick = std::numeric_limits<Tick>::max();
    EXPECT_FALSE(predictor->Observe(bad, run.cluster.topology, &forecast).ok());
    if (&tick == &run.all[100]) {
      bad.tick = tick.tick;
      bad.Reset(1'000'000, 4, 1);  // services that the topology has not
      const absl::Status status = predictor->Observe(bad, run.cluster.topology, &forecast);
      EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
      EXPECT_THAT(std::string(status.message()), HasSubstr("1000000 services"));
    }
    bad = tick;
    bad.period = *TickPeriod::FromNs(1'000'000'000);
    EXPECT_FALSE(predictor->Observe(bad, run.cluster.topology, &forecast).ok());
    // What is no number is not taken by the tick itself.
    ClusterTick same = tick;
    same.services.SetDepth(run.cluster.store, Channel::kQueued, std::nan(""));
    same.edges.SetDepth(run.cluster.to_store, -1);
    ASSERT_TRUE(predictor->Observe(same, run.cluster.topology, &forecast).ok());
    bad = tick;
    bad.tick -= 1;  // the clock was set back
    EXPECT_FALSE(predictor->Observe(bad, run.cluster.topology, &forecast).ok());
    ASSERT_TRUE(twin->Observe(tick, run.cluster.topology, &expected).ok());
    ExpectSame(forecast, expected);
  }
}

// A node whose snapshots claim a million instances, and depths and times that cannot be.
TEST(TreePredictor, NodesThatSendGarbageChangeNothing) {
  ManualClock clock, twin_clock;
  PredictorOptions options;
  options.clock = &clock;
  const auto predictor = Predictor::Create(Make(), options).value();
  options.clock = &twin_clock;
  const auto twin = Predictor::Create(Make(), options).value();
  std::mt19937 random(3);
  std::uint64_t garbage = 0;
  for (const testing::NodeInput& input : testing::SmallNodes(7).Send(200, true)) {
    clock.Set(input.time_ns);
    twin_clock.Set(input.time_ns);
    ASSERT_TRUE(predictor->ObserveWire(input.bytes).ok());
    ASSERT_TRUE(twin->ObserveWire(input.bytes).ok());
    ExpectSame(predictor->Predict(), twin->Predict());
    if (PeekWire(input.bytes)->kind != WireKind::kSnapshot || random() % 20 != 0) continue;
    ++garbage;
    // Another of the same tick: the first one counts. And one of the year 2200.
    Snapshot bad = Decode<Snapshot>(input.bytes).value();
    bad.instances.Reset(1'000'000);
    ChannelSample sample;
    sample.depth = sample.width = ~std::uint32_t{0};
    bad.instances.Set(InstanceId(999'999), Channel::kQueued, sample);
    ASSERT_TRUE(predictor->Observe(bad).ok());
    bad.tick += 50'000'000'000;
    ASSERT_TRUE(predictor->Observe(bad).ok());
    std::string damaged = input.bytes;
    damaged[random() % damaged.size()] ^= 8;
    EXPECT_FALSE(predictor->ObserveWire(damaged).ok());
    ExpectSame(predictor->Predict(), twin->Predict());
  }
  EXPECT_GT(garbage, 10u);
  const TickMergerStats stats = predictor->health().merger;
  EXPECT_EQ(stats.duplicates + stats.late + stats.ahead, 2 * garbage);
}

// The tick without what the evidence names.
ClusterTick Without(const std::vector<ForecastEvidence>& evidence, const ClusterTick& tick) {
  ClusterTick masked = tick;
  masked.services.Reset(tick.services.size());
  masked.edges.Reset(tick.edges.size());
  const auto named = [&](ServiceId service, Channel channel, EdgeId edge) {
    return std::any_of(evidence.begin(), evidence.end(), [&](const ForecastEvidence& one) {
      return one.service == service && one.edge == edge &&
             (!service.valid() || one.channel == channel);
    });
  };
  for (std::uint32_t s = 0; s < tick.services.size(); ++s) {
    for (const Channel channel : kAllChannels) {
      const auto depth = tick.services.depth(ServiceId(s), channel);
      if (!depth || named(ServiceId(s), channel, EdgeId())) continue;
      masked.services.SetDepth(ServiceId(s), channel, *depth);
    }
  }
  for (std::uint32_t e = 0; e < tick.edges.size(); ++e) {
    const EdgeId edge(e);
    if (tick.edges.made(edge)) masked.edges.SetMade(edge, *tick.edges.made(edge));
    if (named(ServiceId(), Channel::kQueued, edge)) continue;
    if (tick.edges.depth(edge)) masked.edges.SetDepth(edge, *tick.edges.depth(edge));
  }
  return masked;
}

// Of a model that knows depths only: nobody's latency keeps the alarm up.
TEST(TreePredictor, AnAlarmClearsWithoutTheDepthsThatItRestsOn) {
  const FaultyRun a(1), held(3), run(22, 3000);
  TreeTrainingOptions options = SmallTraining();
  options.inputs.latency = false;
  const TreeModel model = TrainTrees({a.Labelled()}, {held.Labelled()}, options).value();
  const auto predictor = MakeTreePredictor(model).value();
  const auto blind = MakeTreePredictor(model).value();
  Forecast forecast, without;
  std::string before;
  bool alarm = false;
  std::size_t alarms = 0, cleared = 0, few = 0;
  for (const ClusterTick& tick : run.all) {
    before.clear();
    ASSERT_TRUE(predictor->SaveState(&before).ok());
    ASSERT_TRUE(predictor->Observe(tick, run.cluster.topology, &forecast).ok());
    const ClassForecast* const row = FindClass(forecast, run.cluster.buy);
    const bool begins = row != nullptr && row->alarm && !alarm;
    alarm = row != nullptr && row->alarm;
    if (!begins) continue;
    ++alarms;
    few += row->evidence.size() <= 6 && !row->evidence.empty() ? 1 : 0;
    ASSERT_TRUE(blind->LoadState(before, run.cluster.topology).ok());
    ASSERT_TRUE(blind->Observe(Without(row->evidence, tick), run.cluster.topology, &without).ok());
    const ClassForecast* const masked = FindClass(without, run.cluster.buy);
    cleared += masked == nullptr || !masked->alarm ? 1 : 0;
  }
  EXPECT_GT(alarms, 8u);
  EXPECT_EQ(few, alarms);
  EXPECT_EQ(cleared, alarms);
}

TEST(TreeModel, BytesHoldAllOfIt) {
  const std::string bytes = EncodeTreeModel(Trained());
  EXPECT_TRUE(IsTreeModel(bytes));
  EXPECT_FALSE(IsTreeModel("seer"));
  const auto back = DecodeTreeModel(bytes);
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(EncodeTreeModel(*back), bytes);
  EXPECT_EQ(back->calibration, Trained().calibration);
  EXPECT_EQ(back->inputs, Trained().inputs);
}

TEST(TreeModel, DamageIsFound) {
  const std::string bytes = EncodeTreeModel(Trained());
  std::mt19937 random(16);
  for (int i = 0; i < 60; ++i) {
    std::string bad = bytes;
    if (i % 2 == 0) {
      bad.resize(random() % bytes.size());
    } else {
      bad[random() % bad.size()] ^= 1;
    }
    EXPECT_FALSE(DecodeTreeModel(bad).ok());
  }
  EXPECT_EQ(DecodeTreeModel("seer-trees 9\n").status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_FALSE(DecodeTreeModel("").ok());
}

TEST(TreeModel, IsSavedAndLoaded) {
  const std::string path =
      ::testing::TempDir() + "seer_tree_model_" + std::to_string(getpid()) + ".model";
  ASSERT_TRUE(SaveTreeModel(Trained(), path).ok());
  const auto loaded = LoadTreeModel(path);
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_EQ(EncodeTreeModel(*loaded), EncodeTreeModel(Trained()));
  EXPECT_TRUE(IsTreeModelFile(path));
  const auto predictor = Predictor::Load(path);
  ASSERT_TRUE(predictor.ok()) << predictor.status();
  EXPECT_EQ((*predictor)->health().model, "trees");
  std::remove(path.c_str());
  EXPECT_FALSE(IsTreeModelFile(path));
  EXPECT_EQ(LoadTreeModel(path).status().code(), absl::StatusCode::kNotFound);
  EXPECT_FALSE(SaveTreeModel(Trained(), "/nonexistent/folder/x.model").ok());
}

TEST(TreeModel, NamesWhatDoesNotFit) {
  TreeModel bad = Trained();
  bad.horizons_ns.pop_back();
  EXPECT_THAT(std::string(bad.Validate().message()), HasSubstr("train it anew"));
  bad = Trained();
  bad.horizons_ns[0] = 0;
  EXPECT_THAT(std::string(bad.Validate().message()), HasSubstr("horizons_ns"));
  bad = Trained();
  bad.provenance["a"] = "b\nc";
  EXPECT_THAT(std::string(bad.Validate().message()), HasSubstr("provenance"));
  TreePredictorOptions options;
  options.max_initiators = 24;
  EXPECT_TRUE(MakeTreePredictor(Trained(), options).ok());
  for (const std::size_t wrong : {0u, 25u}) {
    options.max_initiators = wrong;
    EXPECT_THAT(std::string(MakeTreePredictor(Trained(), options).status().message()),
                HasSubstr("give 1 to 24"));
  }
}

}  // namespace
}  // namespace seer
