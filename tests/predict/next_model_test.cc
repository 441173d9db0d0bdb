// Models that take over from others while the cluster is served: trees after trees, and after
// something else.
#include <gtest/gtest.h>

#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "seer/core/clock.h"
#include "seer/predict/mirror.h"
#include "seer/predict/predictor.h"
#include "seer/predict/tree_model.h"
#include "tests/predict/small_nodes.h"

namespace seer {
namespace {

using testing::BitsOf;
using testing::NodeInput;
using testing::SmallNodes;

// Never trained but of opinion: another one for each seed.
TreeModel Opinions(unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> some(0, 3);
  const auto fit = [&](std::size_t columns, std::size_t outputs) {
    TreeRows rows;
    rows.columns = columns;
    rows.outputs = outputs;
    for (int r = 0; r < 400; ++r) {
      for (std::size_t c = 0; c < columns; ++c) rows.values.push_back(some(random));
      for (std::size_t k = 0; k < outputs; ++k) rows.labels.push_back(random() % 2 ? 1.0f : 0.0f);
    }
    TreeFitOptions options;
    options.rounds = 20;
    options.least_child = 1;
    options.seed = seed;
    return BoostedTrees::Fit(rows, nullptr, options).value();
  };
  TreeModel model;
  model.horizons_ns = {100'000'000, 300'000'000};
  model.violations = fit(TreeModel::kClassColumns, 2);
  model.initiators = fit(TreeModel::kServiceColumns, 1);
  model.calibration.alarm_horizon_ns = 300'000'000;
  return model;
}
std::unique_ptr<TickPredictor> Trees(unsigned seed) {
  return MakeTreePredictor(Opinions(seed)).value();
}

// A predictor that hears of everything in time; the forecast after each tick.
template <typename F>
std::vector<Forecast> Serve(Predictor* predictor, ManualClock* clock, int ticks, const F& between) {
  std::vector<Forecast> forecasts;
  Tick last = 0;
  for (const NodeInput& input : SmallNodes(5).Send(ticks, /*calm=*/true)) {
    clock->Set(input.time_ns);
    EXPECT_TRUE(predictor->ObserveWire(input.bytes).ok());
    Forecast forecast = predictor->Predict();
    if (forecast.tick == last) continue;
    last = forecast.tick;
    forecasts.push_back(std::move(forecast));
    between(static_cast<int>(forecasts.size()));
  }
  return forecasts;
}

TEST(NextModel, TreesGoOnFromWhatTreesHaveLearnt) {
  ManualClock clock;
  PredictorOptions options;
  options.clock = &clock;
  const auto always = Predictor::Create(Trees(1), options).value();
  const std::vector<Forecast> expected = Serve(always.get(), &clock, 600, [](int) {});
  ASSERT_EQ(expected.size(), 600u);
  ASSERT_FALSE(expected.back().classes.empty());

  // Others at first, and the same ones from the 450th tick on: each bit is as if they had seen all.
  clock.Set(0);
  const auto predictor = Predictor::Create(Trees(2), options).value();
  const std::vector<Forecast> said = Serve(predictor.get(), &clock, 600, [&](int tick) {
    if (tick == 450) predictor->UseModel(Trees(1));
  });
  ASSERT_EQ(said.size(), 600u);
  EXPECT_EQ(predictor->health().models_changed, 1u);
  int differ = 0;
  for (std::size_t i = 0; i < 600; ++i) {
    for (std::size_t c = 0; c < said[i].classes.size(); ++c) {
      // An alarm that is up stays so for a while, whoever raised it.
      const ClassForecast &a = said[i].classes[c], &b = expected[i].classes.at(c);
      ASSERT_EQ(a.horizons.size(), b.horizons.size());
      const bool same = a.horizons[1].probability == b.horizons[1].probability;
      if (i >= 450) {
        EXPECT_TRUE(same) << i;
      } else {
        differ += same ? 0 : 1;
      }
    }
    EXPECT_EQ(said[i].classes.size(), expected[i].classes.size()) << i;
  }
  EXPECT_GT(differ, 50) << "they are of one opinion: the test shows nothing";
}

TEST(NextModel, HoweverOftenThereIsOneItTakesOver) {
  ManualClock clock;
  PredictorOptions options;
  options.clock = &clock;
  const auto predictor = Predictor::Create(Trees(1), options).value();
  unsigned seed = 1;
  const std::vector<Forecast> said = Serve(predictor.get(), &clock, 500, [&](int tick) {
    if (tick % 5 == 0) predictor->UseModel(Trees(++seed));
  });
  EXPECT_EQ(predictor->health().models_changed, 99u) << "the last one waits for a tick";
  EXPECT_EQ(predictor->health().ticks, 500u);
  for (std::size_t i = 320; i < said.size(); ++i) EXPECT_EQ(said[i].classes.size(), 1u) << i;
}

TEST(NextModel, AfterSomethingElseNobodyFallsSilent) {
  ManualClock clock;
  PredictorOptions options;
  options.clock = &clock;
  const auto predictor = Predictor::Create(options).value();  // a rival
  unsigned seed = 1;
  bool spoke = false;
  int took_over = 0;
  const std::vector<Forecast> said = Serve(predictor.get(), &clock, 500, [&](int tick) {
    // More often than the 30 ticks that trees need to know what is usual.
    if (tick >= 400 && tick % 10 == 0) predictor->UseModel(Trees(++seed));
    if (took_over == 0 && predictor->health().model == "trees") took_over = tick;
  });
  EXPECT_GE(took_over, 400 + 30) << "before it had learnt anything";
  EXPECT_LT(took_over, 400 + 40);
  for (const Forecast& forecast : said) {
    EXPECT_TRUE(!spoke || !forecast.classes.empty()) << forecast.tick;
    spoke = spoke || !forecast.classes.empty();
  }
  EXPECT_TRUE(spoke);
}

TEST(NextModel, AnotherKindLooksOnAsEver) {
  ManualClock clock;
  PredictorOptions options;
  options.clock = &clock;
  options.warm_ticks = 10;
  const auto predictor = Predictor::Create(Trees(1), options).value();
  TreeModel other = Opinions(2);
  other.inputs.latency = false;
  int took_over = 0;
  (void)Serve(predictor.get(), &clock, 100, [&](int tick) {
    if (tick == 50) predictor->UseModel(MakeTreePredictor(other, {"others"}).value());
    if (took_over == 0 && predictor->health().model == "others") took_over = tick;
  });
  EXPECT_EQ(took_over, 81) << "10 ticks, and until it knows what is usual";
}

TEST(NextModel, StandBysTakeOverInTheSameTick) {
  ManualClock clock;
  MirrorOptions options;
  options.predictor.clock = &clock;
  options.model = EncodeTreeModel(Opinions(1));
  const auto primary = Mirror::Create(options).value(), standby = Mirror::Create(options).value();
  ASSERT_TRUE(primary->TakeOver(1).ok());
  int inputs = 0;
  for (const NodeInput& input : SmallNodes(6).Send(450)) {
    clock.Set(input.time_ns);
    (void)primary->ObserveWire(input.bytes).ok();
    if (++inputs % 97 == 0) {
      const auto seed = static_cast<unsigned>(inputs);
      ASSERT_TRUE(primary->UseModel(EncodeTreeModel(Opinions(seed))).ok());
    }
    const std::vector<std::string> deltas = primary->DeltasAfter(standby->sequence()).value();
    for (const std::string& delta : deltas) {
      ASSERT_TRUE(standby->Apply(delta).ok());
    }
    ASSERT_EQ(BitsOf(standby->forecast()), BitsOf(primary->forecast()));
  }
  EXPECT_GT(primary->health().models_changed, 5u);
  EXPECT_EQ(standby->health().models_changed, primary->health().models_changed);
}

}  // namespace
}  // namespace seer
