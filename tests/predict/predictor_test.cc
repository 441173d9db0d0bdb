// seer::Predictor from outside: nodes send what they see, in good order and in bad, and the
// forecasts that come out.
#include "seer/predict/predictor.h"

#include <algorithm>
#include <atomic>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "seer/core/wire.h"
#include "tests/support/allocations.h"

namespace seer {
namespace {

constexpr std::int64_t kMs = 1'000'000;
constexpr Tick kFirst = 17'000'000'000;

// Two machines: the front and the clients' latencies on one, the store on the other.
struct Nodes {
  Nodes() {
    const ServiceId front = a.AddService("front", "shop").value();
    const ServiceId store = a.AddService("store", "shop").value();
    const NodeId node_a = a.AddNode("node-a").value();
    front_0 = a.AddInstance(front, "front-0", node_a).value();
    in = a.AddEdge(ServiceId(), front).value();
    to_store = a.AddEdge(front, store).value();
    buy = a.AddRequestClass(
               "shop", "buy",
               QosTarget::Percentile(0.99, std::chrono::milliseconds(100), std::chrono::seconds(1)),
               front)
              .value();
    const ServiceId store_b = b.AddService("store", "shop").value();
    const NodeId node_b = b.AddNode("node-b").value();
    store_0 = b.AddInstance(store_b, "store-0", node_b).value();
  }

  // `at_store` more requests than usual wait at the store; the front's wait for them.
  std::pair<Snapshot, Snapshot> At(Tick tick, std::uint32_t at_store = 0) {
    std::pair<Snapshot, Snapshot> both;
    Reset(a, tick, &both.first);
    Reset(b, tick, &both.second);
    const std::uint32_t s = 4 + static_cast<std::uint32_t>(random() % 3) + at_store;
    const std::uint32_t f = 2 + static_cast<std::uint32_t>(random() % 2) + s;
    both.first.instances.Set(front_0, Channel::kBlocked, Depth(s));
    EdgeSample edge;
    edge.outstanding = f;
    edge.made = 100;
    both.first.edges.Set(in, edge);
    edge.outstanding = s;
    both.first.edges.Set(to_store, edge);
    both.first.classes.resize(1);
    both.first.classes[buy.index()].count = 100;
    both.second.instances.Set(store_0, Channel::kBlocked, Depth(0));
    return both;
  }

  static ChannelSample Depth(std::uint32_t depth) {
    ChannelSample sample;
    sample.depth = depth;
    return sample;
  }
  static void Reset(const Topology& topology, Tick tick, Snapshot* snapshot) {
    snapshot->origin = topology.origin();
    snapshot->tick = tick;
    snapshot->instances.Reset(topology.instances().size());
    snapshot->edges.Reset(topology.edges().size());
  }

  Topology a = Topology::OfNode("node-a", 1).value();
  Topology b = Topology::OfNode("node-b", 1).value();
  InstanceId front_0, store_0;
  EdgeId in, to_store;
  ClassId buy;
  std::mt19937 random{3};
};

std::int64_t EndOf(Tick tick) { return TickPeriod().EndNs(tick); }

class PredictorTest : public ::testing::Test {
 protected:
  PredictorTest() { clock.Set(EndOf(kFirst - 1)); }

  std::unique_ptr<Predictor> Make(PredictorOptions options = {}) {
    options.clock = &clock;
    std::unique_ptr<Predictor> predictor = Predictor::Create(options).value();
    EXPECT_TRUE(predictor->Observe(nodes.a).ok());
    EXPECT_TRUE(predictor->Observe(nodes.b).ok());
    return predictor;
  }
  // One tick: both nodes tell, a little later.
  Forecast Next(Predictor* predictor, std::uint32_t at_store = 0) {
    const auto [a, b] = nodes.At(tick, at_store);
    clock.Set(EndOf(tick) + 5 * kMs);
    ++tick;
    EXPECT_TRUE(predictor->Observe(a).ok());
    EXPECT_TRUE(predictor->Observe(b).ok());
    return predictor->Predict();
  }
  // One tick: how many the forecast is behind it.
  Tick Behind(Predictor* predictor) {
    const Forecast forecast = Next(predictor);
    return tick - 1 - forecast.tick;
  }

  Nodes nodes;
  ManualClock clock;
  Tick tick = kFirst;
};

std::string NameOf(const Predictor& predictor, const Initiator& initiator) {
  if (initiator.is_load()) return "load";
  return predictor.topology()->services()[initiator.service.index()].name;
}

// Forecasts as text, every bit of them.
std::string Text(const Forecast& forecast) {
  std::string text = std::to_string(forecast.tick) + (forecast.alarm() ? " alarm" : "");
  const auto bits = [](float value) {
    char out[64];
    std::snprintf(out, sizeof out, " %a", static_cast<double>(value));
    return std::string(out);
  };
  for (const ClassForecast& row : forecast.classes) {
    text += " class " + std::to_string(row.request_class.value());
    for (const auto& horizon : row.horizons) text += bits(horizon.probability);
    for (const auto& each : row.initiators) {
      text += " " + (each.is_load() ? "load" : std::to_string(each.service.value())) +
              bits(each.probability);
    }
    for (const auto& each : row.evidence) text += bits(each.weight);
  }
  return text;
}

TEST_F(PredictorTest, ForeseesABacklogWithoutAModelAndNamesTheService) {
  const auto predictor = Make();
  EXPECT_TRUE(predictor->Predict().classes.empty());
  for (int i = 0; i < 200; ++i) EXPECT_FALSE(Next(predictor.get()).alarm()) << i;
  Forecast forecast;
  for (std::uint32_t i = 1; i < 10 && !forecast.alarm(); ++i) {
    forecast = Next(predictor.get(), 12 * i);
  }
  ASSERT_TRUE(forecast.alarm());
  EXPECT_EQ(forecast.tick, tick - 1);
  EXPECT_EQ(NameOf(*predictor, forecast.classes.at(0).initiators.at(0)), "store");

  const PredictorHealth health = predictor->health();
  EXPECT_EQ(health.model, "self-depth-z");
  EXPECT_EQ(health.ticks, static_cast<std::uint64_t>(tick - kFirst));
  EXPECT_EQ(health.refused_ticks, 0u);
  EXPECT_EQ(health.nodes_seen, 2u);
  EXPECT_EQ(health.nodes_expected, 2u);
  EXPECT_EQ(health.services_seen, 1.0);
  EXPECT_EQ(health.lag_ns, 5 * kMs);
}

TEST_F(PredictorTest, OptionsThatMakeNoSenseAreNamed) {
  const auto error = [](const PredictorOptions& options) {
    return std::string(Predictor::Create(options).status().message());
  };
  PredictorOptions options;
  options.warm_ticks = 0;
  EXPECT_NE(error(options).find("warm_ticks"), std::string::npos);
  options = {};
  options.keep_ticks = 1 << 20;
  EXPECT_NE(error(options).find("keep_ticks"), std::string::npos);
  options = {};
  options.clock_back_ns = 1;
  EXPECT_NE(error(options).find("clock_back_ns"), std::string::npos);
  options = {};
  options.rival_options.threshold = -1;
  EXPECT_NE(error(options).find("threshold"), std::string::npos);
  EXPECT_FALSE(Predictor::Create(nullptr).ok());
}

// What the network does to messages must not show in what is foreseen, as long as they come in
// time.
TEST_F(PredictorTest, DisorderAndDuplicatesChangeNothing) {
  const auto in_order = Make();
  const auto disorderly = Make();
  std::mt19937 random(11);
  for (int i = 0; i < 300; ++i) {
    const std::uint32_t at_store = i > 200 ? static_cast<std::uint32_t>(3 * (i - 200)) : 0;
    const auto [a, b] = nodes.At(tick, at_store);
    clock.Set(EndOf(tick) + 5 * kMs);
    ++tick;
    ASSERT_TRUE(in_order->Observe(a).ok());
    ASSERT_TRUE(in_order->Observe(b).ok());
    std::vector<Snapshot> messages = {a, b, a, b};
    std::shuffle(messages.begin(), messages.end(), random);
    for (const Snapshot& message : messages) ASSERT_TRUE(disorderly->Observe(message).ok());
    ASSERT_EQ(Text(disorderly->Predict()), Text(in_order->Predict())) << i;
  }
  EXPECT_TRUE(in_order->Predict().alarm());
  EXPECT_EQ(disorderly->health().merger.late + disorderly->health().merger.duplicates, 600u);
}

TEST_F(PredictorTest, ASilentNodeIsWaitedForAndThenMissing) {
  const auto predictor = Make();
  for (int i = 0; i < 20; ++i) Next(predictor.get());
  const auto [a, b] = nodes.At(tick);
  clock.Set(EndOf(tick) + 5 * kMs);
  ASSERT_TRUE(predictor->Observe(a).ok());
  EXPECT_EQ(predictor->Predict().tick, tick - 1) << "the other one has time left";
  clock.Set(EndOf(tick) + 60 * kMs);
  EXPECT_EQ(predictor->Predict().tick, tick);
  EXPECT_EQ(predictor->health().nodes_seen, 1u);
  EXPECT_EQ(predictor->health().services_seen, 1.0) << "the store is seen by who calls it";
  ASSERT_TRUE(predictor->Observe(b).ok()) << "late: counted, no error";
  EXPECT_EQ(predictor->health().merger.late, 1u);

  ++tick;
  const auto [silent, other] = nodes.At(tick);
  clock.Set(EndOf(tick) + 5 * kMs);
  ASSERT_TRUE(predictor->Observe(other).ok());
  clock.Set(EndOf(tick) + 60 * kMs);
  EXPECT_EQ(predictor->Predict().tick, tick);
  EXPECT_EQ(predictor->health().services_seen, 0.5) << "nobody tells of the front";

  ++tick;
  predictor->RemoveNode("node-b");
  const auto [only, gone] = nodes.At(tick);
  clock.Set(EndOf(tick) + 5 * kMs);
  ASSERT_TRUE(predictor->Observe(only).ok());
  EXPECT_EQ(predictor->Predict().tick, tick) << "nobody waits for a node that was removed";
}

TEST_F(PredictorTest, TakesMessagesAsBytesAndRefusesOthers) {
  PredictorOptions options;
  options.clock = &clock;
  const auto by_bytes = Predictor::Create(options).value();
  const auto by_value = Make();
  ASSERT_TRUE(by_bytes->ObserveWire(Encode(nodes.a)).ok());
  ASSERT_TRUE(by_bytes->ObserveWire(Encode(nodes.b)).ok());
  std::uint64_t refused = 0;
  for (int i = 0; i < 100; ++i) {
    const auto [a, b] = nodes.At(tick, i > 80 ? 200 : 0);
    clock.Set(EndOf(tick) + 5 * kMs);
    ++tick;
    ASSERT_TRUE(by_value->Observe(a).ok());
    ASSERT_TRUE(by_value->Observe(b).ok());
    std::string damaged = Encode(a);
    damaged[static_cast<std::size_t>(i) % damaged.size()] ^= 4;
    EXPECT_FALSE(by_bytes->ObserveWire(damaged).ok());
    EXPECT_FALSE(by_bytes->ObserveWire(damaged.substr(0, static_cast<std::size_t>(i))).ok());
    EXPECT_FALSE(by_bytes->ObserveWire(Encode(ActionTaken())).ok());
    refused += 3;
    ASSERT_TRUE(by_bytes->ObserveWire(Encode(a)).ok());
    ASSERT_TRUE(by_bytes->ObserveWire(Encode(b)).ok());
    ASSERT_EQ(Text(by_bytes->Predict()), Text(by_value->Predict())) << i;
  }
  EXPECT_TRUE(by_value->Predict().alarm());
  EXPECT_EQ(by_bytes->health().bad_messages, refused);
}

TEST_F(PredictorTest, AnotherPeriodIsAnErrorThatSaysWhatToSet) {
  const auto predictor = Make();
  Snapshot snapshot = nodes.At(tick).first;
  snapshot.period = *TickPeriod::FromNs(50 * kMs);
  const absl::Status status = predictor->Observe(snapshot);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_NE(status.message().find("node-a"), std::string::npos);
  EXPECT_NE(status.message().find("merger.period"), std::string::npos);
}

// Depths at the largest that a snapshot can hold; 2^32 - 1 requests outstanding.
TEST_F(PredictorTest, AbsurdDepthsLeaveFiniteForecasts) {
  const auto predictor = Make();
  for (int i = 0; i < 100; ++i) {
    auto [a, b] = nodes.At(tick);
    const std::uint32_t most = ~std::uint32_t{0};
    ChannelSample sample = Nodes::Depth(i % 3 == 0 ? most : 0);
    sample.width = i % 3 == 1 ? most : 0;
    b.instances.Set(nodes.store_0, Channel::kBlocked, sample);
    clock.Set(EndOf(tick) + 5 * kMs);
    ++tick;
    ASSERT_TRUE(predictor->Observe(a).ok());
    ASSERT_TRUE(predictor->Observe(b).ok());
    for (const ClassForecast& row : predictor->Predict().classes) {
      for (const HorizonProbability& each : row.horizons) {
        ASSERT_TRUE(each.probability >= 0 && each.probability <= 1) << i;
      }
    }
  }
}

// Remembers what it was shown.
class Witness : public TickPredictor {
 public:
  Witness(std::string name, std::vector<Tick>* seen) : name_(std::move(name)), seen_(seen) {}
  std::string_view name() const override { return name_; }
  absl::Status Observe(const ClusterTick& tick, const Topology&, Forecast* forecast) override {
    if (refuse) return absl::InvalidArgumentError("not this one");
    seen_->push_back(tick.tick);
    forecast->tick = tick.tick;
    return absl::OkStatus();
  }
  void Reset() override { seen_->clear(); }
  bool refuse = false;

 private:
  const std::string name_;
  std::vector<Tick>* const seen_;
};

TEST_F(PredictorTest, AnotherModelLooksOnAndTakesOverWithoutALostTick) {
  PredictorOptions options;
  options.warm_ticks = 5;
  const auto predictor = Make(options);
  for (int i = 0; i < 10; ++i) Next(predictor.get());
  std::vector<Tick> seen;
  predictor->UseModel(std::make_unique<Witness>("next", &seen));
  EXPECT_EQ(predictor->health().next_model, "next");
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(Behind(predictor.get()), 0);
    EXPECT_EQ(predictor->health().model, "self-depth-z") << i;
  }
  EXPECT_EQ(Behind(predictor.get()), 0);
  EXPECT_EQ(predictor->health().model, "next");
  EXPECT_EQ(predictor->health().next_model, "");
  EXPECT_EQ(predictor->health().model_since_ns, EndOf(tick - 1));
  EXPECT_EQ(predictor->health().models_changed, 1u);
  EXPECT_EQ(predictor->health().ticks, 16u) << "each tick had a forecast";
  EXPECT_EQ(seen.size(), 6u);
  EXPECT_EQ(seen.back(), tick - 1);
}

TEST_F(PredictorTest, AModelThatRefusesTicksDoesNotTakeOver) {
  PredictorOptions options;
  options.warm_ticks = 2;
  const auto predictor = Make(options);
  std::vector<Tick> seen;
  auto model = std::make_unique<Witness>("lame", &seen);
  model->refuse = true;
  predictor->UseModel(std::move(model));
  for (int i = 0; i < 20; ++i) EXPECT_EQ(Behind(predictor.get()), 0);
  EXPECT_EQ(predictor->health().model, "self-depth-z");
  EXPECT_EQ(predictor->health().next_model_status.message(), "not this one");
  predictor->UseModel(nullptr);
  EXPECT_EQ(predictor->health().next_model, "");
}

TEST_F(PredictorTest, AModelThatFailsIsToldOfAndTheForecastSaysItsTick) {
  PredictorOptions options;
  options.clock = &clock;
  std::vector<Tick> seen;
  auto model = std::make_unique<Witness>("lame", &seen);
  Witness* const lame = model.get();
  const auto predictor = Predictor::Create(std::move(model), options).value();
  ASSERT_TRUE(predictor->Observe(nodes.a).ok());
  ASSERT_TRUE(predictor->Observe(nodes.b).ok());
  EXPECT_EQ(Behind(predictor.get()), 0);
  lame->refuse = true;
  EXPECT_EQ(Behind(predictor.get()), 1);
  EXPECT_EQ(predictor->health().refused_ticks, 1u);
  EXPECT_EQ(predictor->health().model_status.message(), "not this one");
}

TEST_F(PredictorTest, WhenTheClockIsSetBackTicksBeginAnew) {
  const auto predictor = Make();
  for (int i = 0; i < 50; ++i) Next(predictor.get());
  tick -= 36'000;  // an hour
  Next(predictor.get());
  EXPECT_EQ(predictor->health().clock_set_back, 1u);
  EXPECT_EQ(predictor->Predict().tick, tick - 1);
  EXPECT_EQ(predictor->health().nodes_expected, 2u) << "the nodes need not tell who they are again";
  for (int i = 0; i < 200; ++i) EXPECT_FALSE(Next(predictor.get()).alarm());
  Forecast forecast;
  for (std::uint32_t i = 1; i < 10 && !forecast.alarm(); ++i) {
    forecast = Next(predictor.get(), 12 * i);
  }
  EXPECT_TRUE(forecast.alarm());
  tick += 36'000'000;  // and ahead
  EXPECT_EQ(Behind(predictor.get()), 0);
}

TEST_F(PredictorTest, KeepsTheNewestTicksForWhoeverRecordsThem) {
  PredictorOptions options;
  options.keep_ticks = 8;
  const auto predictor = Make(options);
  std::vector<ClusterTick> ticks;
  for (int i = 0; i < 20; ++i) {
    Next(predictor.get());
    if (i == 5) {
      predictor->TicksSince(kFirst + 2, &ticks);
      ASSERT_EQ(ticks.size(), 3u);
      EXPECT_EQ(ticks.front().tick, kFirst + 3);
      ticks.clear();
    }
  }
  predictor->TicksSince(0, &ticks);
  ASSERT_EQ(ticks.size(), 8u);
  for (std::size_t i = 0; i < ticks.size(); ++i) {
    EXPECT_EQ(ticks[i].tick, tick - 8 + static_cast<Tick>(i));
  }
}

TEST_F(PredictorTest, NothingIsAllocatedOnceTheClusterIsKnown) {
  PredictorOptions options;
  options.keep_ticks = 4;
  const auto predictor = Make(options);
  std::vector<std::pair<Snapshot, Snapshot>> run;
  for (Tick t = tick; t < tick + 200; ++t) run.push_back(nodes.At(t));
  Forecast forecast;
  const auto play = [&](std::size_t from, std::size_t to) {
    for (std::size_t i = from; i < to; ++i) {
      clock.Set(EndOf(tick++) + 5 * kMs);
      predictor->Observe(run[i].first).IgnoreError();
      predictor->Observe(run[i].second).IgnoreError();
      predictor->Predict(&forecast);
    }
  };
  play(0, 100);
  const testing::Allocations allocations;
  play(100, 200);
  EXPECT_EQ(allocations.count(), 0u);
  EXPECT_EQ(forecast.tick, tick - 1);
}

TEST_F(PredictorTest, TopologiesStayAsTheyWereGivenOut) {
  const auto predictor = Make();
  const auto before = predictor->topology();
  EXPECT_EQ(predictor->topology(), before) << "nothing changed: the same one";
  Topology c = Topology::OfNode("node-c", 1).value();
  ASSERT_TRUE(c.AddService("cart", "shop").ok());
  ASSERT_TRUE(predictor->Observe(c).ok());
  EXPECT_FALSE(before->FindService("cart").has_value());
  EXPECT_TRUE(predictor->topology()->FindService("cart").has_value());
}

// Connections, the control loop, and somebody who changes models, all at once. What is checked is
// what each of them can rely on: forecasts never go back in time, and at the end every tick has had
// one.
TEST(PredictorConcurrency, EverythingAtOnce) {
  Nodes nodes;
  ManualClock clock(EndOf(kFirst - 1));
  PredictorOptions options;
  options.clock = &clock;
  options.warm_ticks = 3;
  options.keep_ticks = 16;
  const auto predictor = Predictor::Create(options).value();
  ASSERT_TRUE(predictor->Observe(nodes.a).ok());
  ASSERT_TRUE(predictor->Observe(nodes.b).ok());
  constexpr Tick kTicks = 300;
  std::vector<std::pair<Snapshot, Snapshot>> run;
  for (Tick t = 0; t < kTicks; ++t) run.push_back(nodes.At(kFirst + t));

  std::atomic<Tick> told_a{0}, told_b{0};
  std::atomic<bool> done{false};
  const auto tell = [&](bool first, std::atomic<Tick>* told, const std::atomic<Tick>& other) {
    for (Tick t = 0; t < kTicks; ++t) {
      while (t - other > 1) std::this_thread::yield();  // neither is ever late
      if (first) clock.Set(EndOf(kFirst + t) + kMs);
      while (!first && clock.NowNs() < EndOf(kFirst + t)) std::this_thread::yield();
      const auto& [a, b] = run[static_cast<std::size_t>(t)];
      EXPECT_TRUE(predictor->ObserveWire(Encode(first ? a : b)).ok());
      *told = t + 1;
    }
  };
  std::thread node_a([&] { tell(true, &told_a, told_b); });
  std::thread node_b([&] { tell(false, &told_b, told_a); });
  std::thread loop([&] {
    Tick last = 0;
    Forecast forecast;
    std::vector<ClusterTick> ticks;
    while (!done) {
      predictor->Predict(&forecast);
      EXPECT_GE(forecast.tick, last);
      last = forecast.tick;
      ticks.clear();
      predictor->TicksSince(last - 4, &ticks);
      EXPECT_LE(ticks.size(), 16u);
    }
  });
  std::thread models([&] {
    while (!done) {
      predictor->UseModel(MakeRival(RivalKind::kQueueSlope).value());
      std::this_thread::yield();
      const auto topology = predictor->topology();
      EXPECT_GE(topology->services().size(), 2u);
      EXPECT_LE(predictor->health().ticks, static_cast<std::uint64_t>(kTicks));
    }
  });
  node_a.join();
  node_b.join();
  done = true;
  loop.join();
  models.join();
  clock.Set(EndOf(kFirst + kTicks));
  EXPECT_EQ(predictor->Predict().tick, kFirst + kTicks - 1);
  const PredictorHealth health = predictor->health();
  EXPECT_EQ(health.ticks, static_cast<std::uint64_t>(kTicks));
  EXPECT_EQ(health.refused_ticks, 0u);
  EXPECT_EQ(health.bad_messages, 0u);
}

}  // namespace
}  // namespace seer
