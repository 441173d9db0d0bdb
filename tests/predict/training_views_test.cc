#include "predict/training_views.h"

#include <algorithm>
#include <cstdint>
#include <vector>

#include "gtest/gtest.h"
#include "seer/window/violations.h"
#include "tests/predict/faulty_cluster.h"

namespace seer {
namespace {

using internal::TrainingView;
using internal::ViewsOf;
using internal::WithOtherTargets;
using internal::WithoutProbes;
using testing::FaultyRun;

std::vector<ClusterTick> TicksOf(const LabelledRun& run) {
  std::vector<ClusterTick> ticks;
  EXPECT_TRUE(run.for_each_tick([&](const ClusterTick& tick) {
                   ticks.push_back(tick);
                   return absl::OkStatus();
                 })
                  .ok());
  return ticks;
}

TEST(WithoutProbes, NothingIsSeenOfThoseAndOfOthersEverything) {
  const FaultyRun run(1, 20);
  const Topology& topology = run.cluster.topology;
  const LabelledRun labelled = run.Labelled();
  EXPECT_EQ(TicksOf(WithoutProbes(labelled, 0, 7)), run.all);
  bool some_hidden = false, some_seen = false;
  for (std::uint64_t seed = 1; seed <= 8; ++seed) {
    const LabelledRun less = WithoutProbes(labelled, 0.5, seed);
    const std::vector<ClusterTick> ticks = TicksOf(less);
    EXPECT_EQ(ticks, TicksOf(less)) << "it can be read again";
    ASSERT_EQ(ticks.size(), run.all.size());
    std::vector<bool> hidden(topology.services().size());
    for (std::uint32_t s = 0; s < hidden.size(); ++s) {
      const auto blocked = [&](const ClusterTick& tick) {
        return tick.services.depth(ServiceId(s), Channel::kBlocked);
      };
      hidden[s] = !blocked(ticks[0]);
      some_hidden = some_hidden || hidden[s];
      some_seen = some_seen || !hidden[s];
      for (std::size_t i = 0; i < ticks.size(); ++i) {
        EXPECT_EQ(blocked(ticks[i]), hidden[s] ? std::nullopt : blocked(run.all[i]));
      }
    }
    for (std::uint32_t e = 0; e < topology.edges().size(); ++e) {
      const ServiceId caller = topology.edges()[e].caller;
      const bool gone = caller.valid() && hidden[caller.index()];
      EXPECT_EQ(ticks[3].edges.depth(EdgeId(e)).has_value(), !gone);
    }
    EXPECT_EQ(ticks[3].classes, run.all[3].classes) << "who asks knows how long it took";
  }
  EXPECT_TRUE(some_hidden && some_seen);
}

TEST(WithOtherTargets, ViolationsAreThoseOfTheOtherTargets) {
  const FaultyRun run(2);
  const LabelledRun labelled = run.Labelled();
  const QosTarget before = run.cluster.topology.request_class(run.cluster.buy).target;
  bool stricter = false, laxer = false;
  for (std::uint64_t seed = 1; seed <= 6; ++seed) {
    const auto other = WithOtherTargets(labelled, seed);
    ASSERT_TRUE(other.ok()) << other.status();
    const QosTarget target = other->topology.request_class(run.cluster.buy).target;
    EXPECT_TRUE(target.Validate().ok());
    stricter = stricter || target.latency_ns < before.latency_ns;
    laxer = laxer || target.latency_ns > before.latency_ns;
    const std::vector<ClusterTick> ticks = TicksOf(*other);
    ASSERT_EQ(ticks.size(), run.all.size());
    ViolationDetector detector({1'000'000'000, true});
    for (std::size_t i = 0; i < ticks.size(); ++i) {
      ASSERT_EQ(ticks[i].classes[0].over_target, OverTarget(run.all[i].classes[0], target, true));
      detector.Observe(run.all[i], other->topology);
    }
    detector.Finish();
    const std::vector<Violation> expected = detector.TakeFinished();
    ASSERT_EQ(other->violations.size(), expected.size());
    std::size_t known = 0;
    for (std::size_t v = 0; v < expected.size(); ++v) {
      const Violation& own = other->violations[v];
      EXPECT_EQ(own.start_ns, expected[v].start_ns);
      EXPECT_EQ(own.end_ns, expected[v].end_ns);
      const auto same =
          std::find_if(run.violations.begin(), run.violations.end(), [&](const Violation& each) {
            return each.start_ns <= own.end_ns && own.start_ns <= each.end_ns;
          });
      if (same == run.violations.end()) {
        EXPECT_EQ(own.initiation, Initiation::kUnknown);
        continue;
      }
      ++known;
      EXPECT_EQ(own.culprit, same->culprit);
      EXPECT_EQ(own.initiation, Initiation::kService);
    }
    EXPECT_GT(known, 5u);
    EXPECT_EQ(TicksOf(WithOtherTargets(labelled, seed).value()), ticks) << "the same each time";
  }
  EXPECT_TRUE(stricter && laxer);
}

TEST(WithOtherTargets, ARunThatCannotBeReadIsAnError) {
  const FaultyRun run(1, 20);
  LabelledRun broken = run.Labelled();
  broken.for_each_tick = [](const auto&) { return absl::DataLossError("torn"); };
  EXPECT_TRUE(absl::IsDataLoss(WithOtherTargets(broken, 1).status()));
  EXPECT_TRUE(absl::IsDataLoss(ViewsOf(broken, TreeInputs(), 1).status()));
}

TEST(ViewsOf, ThereIsNoneWithMoreThanTheModelMayLookAt) {
  const FaultyRun run(1, 200);
  const auto views = [&](const TreeInputs& inputs) {
    return ViewsOf(run.Labelled(), inputs, 1).value();
  };
  EXPECT_EQ(views({}).size(), 4u);
  TreeInputs inputs;
  inputs.latency = false;
  EXPECT_EQ(views(inputs).size(), 2u) << "no targets";
  inputs.edges = false;
  EXPECT_EQ(views(inputs).size(), 1u) << "no calls either";
  inputs = TreeInputs();
  inputs.channels = ChannelMask();
  EXPECT_EQ(views(inputs).size(), 2u) << "it is calls and latencies alone already";
  for (const TrainingView& view : views(inputs)) EXPECT_TRUE(view.inputs == inputs);
  inputs.channels = ChannelMask::KernelOnly();
  for (const TrainingView& view : views(inputs)) {
    EXPECT_TRUE((view.inputs.channels & inputs.channels) == view.inputs.channels);
  }
}

}  // namespace
}  // namespace seer
