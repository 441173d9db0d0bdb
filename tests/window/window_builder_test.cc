#include "seer/window/window_builder.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "tests/support/allocations.h"

namespace seer {
namespace {

// client -> front -> back
class WindowBuilderTest : public ::testing::Test {
 protected:
  WindowBuilderTest() {
    front = topology.AddService("front").value();
    back = topology.AddService("back").value();
    in = topology.AddEdge(ServiceId(), front).value();
    down = topology.AddEdge(front, back).value();
  }
  ClusterTick Make(Tick number, double depth) const {
    ClusterTick tick;
    tick.Reset(topology.services().size(), topology.edges().size(), 0);
    tick.tick = number;
    tick.services.SetDepth(front, Channel::kQueued, depth);
    tick.services.SetDepth(back, Channel::kQueued, 2 * depth);
    tick.edges.SetDepth(in, 10);
    tick.edges.SetDepth(down, 4);
    tick.edges.SetMade(down, 7);
    return tick;
  }
  WindowBuilder Build(std::size_t ticks, WindowInputs inputs, const Normalizer& normalizer = {}) {
    return WindowBuilder::Create(topology, ticks, std::move(inputs), normalizer).value();
  }
  using Kind = WindowInput::Kind;

  Topology topology;
  ServiceId front, back;
  EdgeId in, down;
  const WindowInputs queued{{WindowInput{Kind::kDepth, Channel::kQueued}}};
};

TEST_F(WindowBuilderTest, HoldsTheLastTicksInTheModelsOrder) {
  WindowBuilder builder = Build(3, queued);
  ASSERT_EQ(builder.order().size(), 2u);
  EXPECT_EQ(builder.order()[0], back) << "callees first";
  for (Tick tick = 0; tick < 5; ++tick)
    builder.Push(Make(tick, static_cast<double>(tick)), topology);
  const Window& window = builder.window();
  EXPECT_EQ(window.last, 4);
  EXPECT_EQ(window.ticks, 3u);
  EXPECT_EQ(window.services, 2u);
  EXPECT_EQ(window.inputs, 1u);
  EXPECT_EQ(builder.filled(), 3u);
  for (std::size_t t = 0; t < 3; ++t) {
    EXPECT_NEAR(window.at(t, 1, 0), std::log1p(static_cast<double>(t) + 2), 1e-5);
    EXPECT_NEAR(window.at(t, 0, 0), std::log1p(2 * (static_cast<double>(t) + 2)), 1e-5);
  }
}

TEST_F(WindowBuilderTest, WhatIsMissingIsZeroAndNotSeen) {
  WindowBuilder builder = Build(4, WindowInputs::Of(ChannelMask::All(), true));
  ClusterTick tick = Make(0, 3);
  tick.services.Reset(2);  // nobody saw a queue
  builder.Push(tick, topology);
  const Window& window = builder.window();
  for (std::size_t i = 0; i < window.values.size(); ++i) {
    if (window.seen[i] == 0) {
      EXPECT_EQ(window.values[i], 0);
    }
  }
  EXPECT_EQ(builder.filled(), 1u);
  EXPECT_EQ(window.seen[window.index(3, 0, 0)], 0);
  EXPECT_GT(std::count(window.seen.begin(), window.seen.end(), 1), 0) << "edges were seen";
}

TEST_F(WindowBuilderTest, TicksLeftOutAreEmptyRows) {
  WindowBuilder builder = Build(4, queued);
  builder.Push(Make(0, 1), topology);
  builder.Push(Make(2, 3), topology);
  const Window& window = builder.window();
  EXPECT_EQ(window.seen, (std::vector<std::uint8_t>{0, 0, 1, 1, 0, 0, 1, 1})) << "row by row";
  builder.Push(Make(2, 3), topology);
  builder.Push(Make(1, 3), topology);
  EXPECT_EQ(builder.ignored_ticks(), 2u);
  builder.Push(Make(1'000'000'000'000, 1), topology);
  EXPECT_EQ(std::count(window.seen.begin(), window.seen.end(), 1), 2);
  builder.Clear();
  EXPECT_EQ(builder.filled(), 0u);
  builder.Push(Make(0, 1), topology);
  EXPECT_EQ(builder.window().last, 0);
}

TEST_F(WindowBuilderTest, InputsAreWhatTheirNamesSay) {
  const std::vector<std::string> names = {"depth(queued)",      "arrivals(queued)",
                                          "departures(queued)", "wait(queued)",
                                          "outstanding",        "self",
                                          "outbound",           "calls",
                                          "delta outstanding",  "depth(running)",
                                          "delta depth(queued)"};
  std::vector<WindowInput> list;
  for (const std::string& name : names) {
    list.push_back(WindowInputFromName(name).value());
    EXPECT_EQ(WindowInputName(list.back()), name);
  }
  EXPECT_FALSE(WindowInputFromName("depth(luck)").ok());
  EXPECT_FALSE(WindowInputFromName("depth").ok());
  EXPECT_FALSE(WindowInputFromName("delta ").ok());
  WindowBuilder builder = Build(1, WindowInputs(list));
  for (Tick number = 0; number < 2; ++number) {
    ClusterTick tick = Make(number, 3 + static_cast<double>(number));
    tick.services.SetFlow(front, Channel::kQueued, 5, 6);
    tick.services.SetMeanWait(front, Channel::kQueued, 2500);
    tick.services.SetDepth(front, Channel::kBlocked, 3);
    tick.services.SetMean(front, Channel::kRunning, 0.5);
    tick.edges.SetDepth(in, 10 + static_cast<double>(number));
    builder.Push(tick, topology);
  }
  const Window& window = builder.window();
  const double want[] = {4, 50, 60, 2.5, 11, 8, 4, 70, 1, 0.5, 1};
  for (std::size_t c = 0; c < names.size(); ++c) {
    EXPECT_NEAR(window.at(0, 1, c), std::log1p(want[c]), 1e-5) << names[c];
    EXPECT_EQ(window.seen[window.index(0, 1, c)], 1) << names[c];
  }
  EXPECT_EQ(window.seen[window.index(0, 0, 6)], 0) << "the back end calls nobody";
  EXPECT_EQ(window.seen[window.index(0, 0, 1)], 0) << "nobody counted its arrivals";
}

TEST_F(WindowBuilderTest, SignedValuesKeepTheirSign) {
  WindowBuilder builder = Build(1, WindowInputs({WindowInput{Kind::kSelf}}));
  ClusterTick tick = Make(0, 0);
  tick.edges.SetDepth(down, 13);  // calls in parallel
  builder.Push(tick, topology);
  EXPECT_NEAR(builder.window().at(0, 1, 0), -std::log1p(3.0), 1e-5);
}

TEST_F(WindowBuilderTest, MasksReproduceTheAblations) {
  const auto channels_of = [](const WindowInputs& inputs) {
    std::string names;
    for (const WindowInput& input : inputs.list()) names += WindowInputName(input) + " ";
    return names;
  };
  EXPECT_EQ(channels_of(WindowInputs::Of(ChannelMask::NicOnly())), "depth(nic) ");
  EXPECT_EQ(channels_of(WindowInputs::Of(ChannelMask::KernelOnly())),
            "depth(nic) depth(accept) depth(socket) depth(send) ");
  EXPECT_EQ(channels_of(WindowInputs::Of(ChannelMask::AppOnly())),
            "depth(queued) depth(running) depth(blocked) arrivals(queued) outstanding self "
            "outbound ");
  EXPECT_EQ(WindowInputs::Of(ChannelMask::All(), true).size(), 22u);
}

TEST_F(WindowBuilderTest, TheFittedScaleMakesTrainingDataStandard) {
  NormalizerFitter fitter(queued);
  std::mt19937 random(5);
  std::lognormal_distribution<double> depth(3, 0.8);
  for (Tick tick = 0; tick < 5000; ++tick) fitter.Observe(Make(tick, depth(random)), topology);
  const Normalizer normalizer = fitter.Fit();
  ASSERT_TRUE(normalizer.Validate().ok());
  EXPECT_EQ(normalizer.services, (std::vector<std::string>{"front", "back"}));
  EXPECT_NEAR(normalizer.scales[0].middle, std::log1p(std::exp(3.0)), 0.1);
  EXPECT_NEAR(normalizer.scales[0].spread, 0.77, 0.1);

  WindowBuilder builder = Build(1000, queued, normalizer);
  for (Tick tick = 0; tick < 1000; ++tick) builder.Push(Make(tick, depth(random)), topology);
  for (std::size_t service = 0; service < 2; ++service) {
    std::vector<float> values;
    for (std::size_t t = 0; t < 1000; ++t) values.push_back(builder.window().at(t, service, 0));
    std::sort(values.begin(), values.end());
    EXPECT_NEAR(values[500], 0, 0.15);
    EXPECT_NEAR(values[750] - values[250], 1.35, 0.25);
  }
}

TEST_F(WindowBuilderTest, AQueueThatNeverMovedDoesNotExplode) {
  NormalizerFitter fitter(queued);
  for (Tick tick = 0; tick < 100; ++tick) fitter.Observe(Make(tick, 0), topology);
  const Normalizer normalizer = fitter.Fit();
  WindowBuilder builder = Build(1, queued, normalizer);
  builder.Push(Make(0, 1e9), topology);
  EXPECT_EQ(builder.window().at(0, 0, 0), 8) << "cut off";
}

TEST_F(WindowBuilderTest, ServicesThatTrainingDidNotSeeTakeTheCommonScale) {
  NormalizerFitter fitter(queued);
  for (Tick tick = 0; tick < 100; ++tick)
    fitter.Observe(Make(tick, static_cast<double>(tick % 10)), topology);
  const Normalizer normalizer = fitter.Fit();
  const ServiceId fresh = topology.AddService("fresh").value();
  WindowBuilder builder = Build(1, queued, normalizer);
  ClusterTick tick = Make(0, 1);
  tick.services.SetDepth(fresh, Channel::kQueued, 4);
  builder.Push(tick, topology);
  const auto at = static_cast<std::size_t>(
      std::find(builder.order().begin(), builder.order().end(), fresh) - builder.order().begin());
  const Normalizer::Scale& common = normalizer.common[0];
  EXPECT_NEAR(builder.window().at(0, at, 0), (std::log1p(4.0) - common.middle) / common.spread,
              1e-4);
  (void)topology.AddService("later").value();
  builder.Push(tick, topology);
  tick.tick = 1;
  builder.Push(tick, topology);
  EXPECT_EQ(builder.unknown_services(), 1u);
}

TEST_F(WindowBuilderTest, RefusesWhatCannotBe) {
  const auto code = [&](std::size_t ticks, const WindowInputs& inputs, const Normalizer& n) {
    return WindowBuilder::Create(topology, ticks, inputs, n).status();
  };
  EXPECT_TRUE(code(1, queued, {}).ok());
  EXPECT_FALSE(code(0, queued, {}).ok());
  EXPECT_FALSE(code(5000, queued, {}).ok());
  EXPECT_FALSE(code(1, WindowInputs(), {}).ok());
  Normalizer normalizer;
  normalizer.inputs = {"depth(nic)"};
  EXPECT_FALSE(code(1, queued, normalizer).ok()) << "no scales";
  normalizer.common = {{0, 1}};
  EXPECT_NE(code(1, queued, normalizer).message().find("depth(nic)"), std::string::npos);
  normalizer.inputs = {"depth(queued)"};
  EXPECT_TRUE(code(1, queued, normalizer).ok());
  for (const float bad : {0.0f, -1.0f, std::numeric_limits<float>::quiet_NaN()}) {
    normalizer.common = {{0, bad}};
    EXPECT_FALSE(code(1, queued, normalizer).ok());
  }
  normalizer.common = {{0, 1}};
  normalizer.services = {"front"};
  EXPECT_FALSE(code(1, queued, normalizer).ok()) << "scales of the service are missing";
  const ServiceId nobody(99);
  EXPECT_FALSE(WindowBuilder::Create(topology, absl::MakeSpan(&nobody, 1), 1, queued).ok());
}

TEST_F(WindowBuilderTest, CompressionIsTheLogarithm) {
  EXPECT_EQ(CompressDepth(0), 0);
  EXPECT_EQ(CompressDepth(std::numeric_limits<float>::quiet_NaN()), 0);
  double worst = 0;
  for (double x = 1e-6; x < 1e9; x *= 1.01) {
    const auto value = static_cast<float>(x);
    worst = std::max(worst, std::fabs(CompressDepth(value) - std::log1p(double{value})));
    ASSERT_EQ(CompressDepth(-value), -CompressDepth(value));
  }
  EXPECT_LT(worst, 2e-6);
  EXPECT_TRUE(std::isfinite(CompressDepth(std::numeric_limits<float>::infinity())));
}

TEST_F(WindowBuilderTest, PushAllocatesNothing) {
  WindowBuilder builder = Build(10, WindowInputs::Of(ChannelMask::All(), true));
  ClusterTick tick = Make(0, 1);
  for (; tick.tick < 3; ++tick.tick) builder.Push(tick, topology);
  const testing::Allocations allocations;
  for (; tick.tick < 50; ++tick.tick) builder.Push(tick, topology);
  EXPECT_EQ(allocations.count(), 0u);
}

// Every value again, from the tick itself and the definition.
TEST_F(WindowBuilderTest, AgreesWithTheDefinition) {
  std::mt19937 random(8);
  for (int round = 0; round < 10; ++round) {
    Topology random_topology;
    std::vector<ServiceId> services;
    for (int s = 0; s < 12; ++s) {
      services.push_back(random_topology.AddService("s" + std::to_string(s)).value());
    }
    for (int e = 0; e < 25; ++e) {
      (void)random_topology.AddEdge(services[random() % 12], services[random() % 12]).ok();
    }
    const WindowInputs inputs = WindowInputs::Of(ChannelMask::All(), true);
    const std::size_t ticks = 1 + random() % 8;
    WindowBuilder builder = WindowBuilder::Create(random_topology, ticks, inputs).value();
    std::vector<ClusterTick> pushed;
    const auto below = [&](unsigned limit) { return static_cast<std::uint32_t>(random() % limit); };
    for (Tick number = 0; number < 20; ++number) {
      if (random() % 6 == 0) continue;
      ClusterTick tick;
      tick.Reset(12, random_topology.edges().size(), 0);
      tick.tick = number;
      for (const ServiceId id : services) {
        for (const Channel channel : kAllChannels) {
          if (random() % 4 != 0) tick.services.SetDepth(id, channel, below(50));
          if (random() % 4 == 0) tick.services.SetFlow(id, channel, below(9), below(9));
        }
      }
      for (std::uint32_t e = 0; e < random_topology.edges().size(); ++e) {
        if (random() % 10 != 0) tick.edges.SetDepth(EdgeId(e), below(20));
      }
      builder.Push(tick, random_topology);
      pushed.push_back(tick);
    }
    const auto raw = [&](const ClusterTick& tick, ServiceId id,
                         const WindowInput& input) -> std::optional<double> {
      switch (input.kind) {
        case Kind::kDepth:
          return tick.services.depth(id, input.channel);
        case Kind::kArrivals:
          if (const auto n = tick.services.arrivals(id, input.channel)) return *n * 10.0;
          return std::nullopt;
        case Kind::kOutstanding:
          return Outstanding(tick, random_topology, id);
        case Kind::kSelf:
          return SelfDepth(tick, random_topology, id);
        default: {
          std::optional<double> sum;
          for (std::uint32_t e = 0; e < random_topology.edges().size(); ++e) {
            if (random_topology.edges()[e].caller != id) continue;
            const auto depth = tick.edges.depth(EdgeId(e));
            if (!depth) return std::nullopt;
            sum = sum.value_or(0) + *depth;
          }
          return sum;
        }
      }
    };
    const auto find = [&](Tick number) -> const ClusterTick* {
      for (const ClusterTick& tick : pushed) {
        if (tick.tick == number) return &tick;
      }
      return nullptr;
    };
    const Window& window = builder.window();
    for (std::size_t t = 0; t < ticks; ++t) {
      const Tick number = window.last - static_cast<Tick>(ticks - 1 - t);
      const ClusterTick* now = find(number);
      const ClusterTick* before = find(number - 1);
      for (std::size_t rank = 0; rank < 12; ++rank) {
        for (std::size_t c = 0; c < inputs.size(); ++c) {
          const WindowInput& input = inputs.list()[c];
          const ServiceId id = builder.order()[rank];
          // A number that says that there is none, as g++ 12 takes an optional for uninitialized.
          constexpr double kMissing = -1e300;
          const auto read = [&](const ClusterTick* from) {
            return from == nullptr ? kMissing : raw(*from, id, input).value_or(kMissing);
          };
          double want = read(now);
          if (want != kMissing && input.delta) {
            const double old = read(before);
            want = old == kMissing ? kMissing : want - old;
          }
          const bool seen = want != kMissing;
          ASSERT_EQ(window.seen[window.index(t, rank, c)], seen ? 1 : 0)
              << number << " " << WindowInputName(input);
          const double plain = seen ? want : 0;
          const double value = std::copysign(std::min(std::log1p(std::fabs(plain)), 8.0), plain);
          ASSERT_NEAR(window.at(t, rank, c), value, 1e-5) << WindowInputName(input);
        }
      }
    }
  }
}

}  // namespace
}  // namespace seer
