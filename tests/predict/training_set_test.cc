#include "seer/predict/training_set.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <numeric>
#include <string>
#include <vector>

#include "seer/nn/network.h"

namespace seer {
namespace {

using ::testing::HasSubstr;
using std::chrono_literals::operator""ms;
using std::chrono_literals::operator""s;

constexpr Tick kFirst = 1000;
constexpr std::int64_t kTickNs = 100'000'000;

struct Recording {
  Topology topology;
  ClassId request_class;
  explicit Recording(const std::vector<std::string>& services) {
    for (const std::string& name : services) topology.AddService(name, "shop").value();
    request_class = *topology.AddRequestClass("shop", "checkout",
                                              QosTarget::Percentile(0.99, 20ms, 1s), ServiceId(0));
  }
  ClusterTick At(Tick number, double base) const {
    ClusterTick tick;
    tick.Reset(topology.services().size(), 0, 1);
    tick.tick = number;
    for (std::uint32_t s = 0; s < topology.services().size(); ++s) {
      tick.services.SetDepth(ServiceId(s), Channel::kQueued, base + s);
    }
    return tick;
  }
  Violation Breach(Tick at, std::int64_t lasts_ns, const char* culprit) const {
    Violation violation;
    violation.request_class = request_class;
    violation.start_ns = TickPeriod().EndNs(at);
    violation.end_ns = violation.start_ns + lasts_ns;
    if (std::string(culprit) == "load") {
      violation.initiation = Initiation::kLoad;
    } else if (const auto id = topology.FindService(culprit)) {
      violation.initiation = Initiation::kService;
      violation.culprit = *id;
    }
    return violation;
  }
};

ModelInputs Inputs() {
  ModelInputs inputs;
  inputs.inputs = WindowInputs({{WindowInput::Kind::kDepth, Channel::kQueued}});
  inputs.horizons_ns = {100'000'000, 300'000'000, 1'000'000'000};
  inputs.classes = {"checkout"};
  return inputs;
}

TrainingBatch All(TrainingSet& set) {
  std::vector<std::uint64_t> which(set.windows());
  std::iota(which.begin(), which.end(), 0);
  TrainingBatch batch;
  EXPECT_TRUE(set.Fill(which, &batch).ok());
  return batch;
}

TEST(TrainingSet, CutsWindowsInTheModelsOrder) {
  auto set = *TrainingSet::Create(Inputs(), {"b", "gone", "a"}, 2);
  const Recording run({"a", "new", "b"});
  ASSERT_TRUE(set.BeginRun(run.topology).ok());
  for (Tick t = 0; t < 30; ++t) {
    ASSERT_TRUE(set.Add(run.At(kFirst + t, static_cast<double>(10 * t)), run.topology).ok());
  }
  ASSERT_TRUE(set.EndRun({}).ok());
  // 29 whole windows; for the last 3 ticks nobody knows what comes within 300 ms.
  const TrainingBatch batch = All(set);
  ASSERT_EQ(set.windows(), 26u);
  for (std::size_t w = 0; w < set.windows(); ++w) {
    for (std::size_t t = 0; t < 2; ++t) {
      const auto base = static_cast<float>(10 * (w + t));
      const float* row = &batch.inputs[(w * 2 + t) * 3];
      EXPECT_EQ(row[0], CompressDepth(base + 2));
      EXPECT_EQ(row[1], 0);
      EXPECT_EQ(row[2], CompressDepth(base));
    }
    EXPECT_EQ(batch.initiator[w], 3);
  }
  const Network network = *Network::Create(*[] {
    auto config = ModelConfig::Named("hybrid", 3, 1, 2);
    config->extras = ModelInputs::kExtras;
    config->hazard_classes = 1;
    config->hazard_horizons = 3;
    return config;
  }());
  EXPECT_TRUE(batch.Check(network).ok()) << batch.Check(network);
}

TEST(TrainingSet, SaysWhoInitiatesAndWhen) {
  auto set = *TrainingSet::Create(Inputs(), {"a", "b"}, 1);
  const Recording run({"a", "b", "other"});
  ASSERT_TRUE(set.BeginRun(run.topology).ok());
  for (Tick t = 0; t < 100; ++t) {
    ASSERT_TRUE(set.Add(run.At(kFirst + t, 0), run.topology).ok());
  }
  // By start, to be sorted.
  const std::vector<Violation> violations = {run.Breach(kFirst + 70, 2 * kTickNs, "other"),
                                             run.Breach(kFirst + 20, 5 * kTickNs, "b"),
                                             run.Breach(kFirst + 50, 2 * kTickNs, "load")};
  ASSERT_TRUE(set.EndRun(violations).ok());
  const TrainingBatch batch = All(set);
  EXPECT_EQ(set.counts()[0], 0u);
  EXPECT_EQ(set.counts()[1], 3u);  // ticks 17, 18, 19: within 300 ms
  EXPECT_EQ(set.counts()[3], 3u);
  EXPECT_EQ(set.unknown_initiators(), 3u);  // who is not in the model
  EXPECT_EQ(batch.initiator[16], 2);
  EXPECT_EQ(batch.initiator[17], 1);
  EXPECT_EQ(batch.initiator[19], 1);
  EXPECT_EQ(batch.hazard[19], 0);
  EXPECT_EQ(batch.hazard[17], 1);
  EXPECT_EQ(batch.hazard[16], 2);
  EXPECT_EQ(batch.hazard[10], 2);
  EXPECT_EQ(batch.hazard[9], 3);
  // Ticks 20 to 25 lie in the violation: nothing is known, they are left out.
  EXPECT_EQ(batch.initiator[20], 2);
  const std::vector<float> weights = set.OutputWeights(4);
  EXPECT_EQ(weights, (std::vector<float>{4, 4, 1, 4}));
  EXPECT_NEAR(set.OutputWeights(100)[0], static_cast<float>(set.counts()[2]) / 6, 1e-5);
}

TEST(TrainingSet, NoWindowSpansAGap) {
  auto set = *TrainingSet::Create(Inputs(), {"a"}, 4);
  const Recording run({"a"});
  ASSERT_TRUE(set.BeginRun(run.topology).ok());
  for (Tick t = 0; t < 60; ++t) {
    if (t == 10 || (t >= 30 && t < 34)) continue;  // one tick, and as many as a window has
    ASSERT_TRUE(set.Add(run.At(kFirst + t, 7), run.topology).ok());
    ASSERT_TRUE(set.Add(run.At(kFirst + t, 9), run.topology).ok());  // not newer: ignored
  }
  ASSERT_TRUE(set.EndRun({}).ok());
  const TrainingBatch batch = All(set);
  // Ticks 3..29 without 10, and 37..56.
  EXPECT_EQ(set.windows(), 26u + 20u);
  const float full = CompressDepth(7);
  const auto window = [&](std::size_t w) {
    return std::vector<float>(batch.inputs.begin() + static_cast<std::ptrdiff_t>(4 * w),
                              batch.inputs.begin() + static_cast<std::ptrdiff_t>(4 * w + 4));
  };
  EXPECT_EQ(window(6), (std::vector<float>{full, full, full, full}));  // ends with tick 9
  EXPECT_EQ(window(7), (std::vector<float>{full, full, 0, full}));     // 11
  EXPECT_EQ(window(26), (std::vector<float>{full, full, full, full}));
}

TEST(TrainingSet, RunsWithOtherNumbersAreOne) {
  auto set = *TrainingSet::Create(Inputs(), {"a", "b"}, 1);
  for (const std::vector<std::string>& names :
       {std::vector<std::string>{"a", "b"}, std::vector<std::string>{"b", "a"}}) {
    const Recording run(names);
    ASSERT_TRUE(set.BeginRun(run.topology).ok());
    for (Tick t = 0; t < 40; ++t) ASSERT_TRUE(set.Add(run.At(t, 0), run.topology).ok());
    const Violation violation = run.Breach(30, kTickNs, "b");
    ASSERT_TRUE(set.EndRun({violation}).ok());
  }
  EXPECT_EQ(set.counts()[1], 6u);
  EXPECT_EQ(set.counts()[0], 0u);
}

TEST(TrainingSet, ErrorsAreNamed) {
  EXPECT_FALSE(TrainingSet::Create(Inputs(), {}, 1).ok());
  EXPECT_FALSE(TrainingSet::Create(Inputs(), {"a", "a"}, 1).ok());
  EXPECT_FALSE(TrainingSet::Create(Inputs(), {"a"}, 0).ok());
  EXPECT_FALSE(TrainingSet::Create({}, {"a"}, 1).ok());
  auto set = *TrainingSet::Create(Inputs(), {"a"}, 1);
  const Recording other({"x"}), run({"a"});
  EXPECT_THAT(std::string(set.BeginRun(other.topology).message()),
              HasSubstr("another application"));
  EXPECT_EQ(set.Add(run.At(1, 0), run.topology).code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(set.EndRun({}).code(), absl::StatusCode::kFailedPrecondition);
  ASSERT_TRUE(set.BeginRun(run.topology).ok());
  ClusterTick tick = run.At(1, 0);
  tick.period = *TickPeriod::FromNs(50'000'000);
  EXPECT_EQ(set.Add(tick, run.topology).code(), absl::StatusCode::kFailedPrecondition);
  TrainingBatch batch;
  EXPECT_EQ(set.Fill({7}, &batch).code(), absl::StatusCode::kOutOfRange);
}

}  // namespace
}  // namespace seer
