#include "seer/queue/depth_probe.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "seer/queue/collector.h"
#include "seer/queue/registry.h"
#include "tests/queue/collector_fixture.h"

namespace seer {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

using DepthProbeTest = testing::CollectorFixture;

TEST_F(DepthProbeTest, ProbesFillWhatNobodyCounts) {
  const auto process = Process("cart-0");
  const Queue queued = *process->AddQueue("cart", Channel::kQueued);
  queued.Enter();
  const auto collector = Make();
  for (Channel channel : {Channel::kAccept, Channel::kQueued}) {
    auto probe = std::make_unique<FakeDepthProbe>(channel);
    probe->depth = 33;
    collector->AddProbe(std::move(probe));
  }
  const Snapshot& snapshot = collector->Tick();
  EXPECT_EQ(At(*collector, snapshot, "cart", "cart-0", Channel::kAccept)->depth, 33u);
  EXPECT_EQ(At(*collector, snapshot, "cart", "cart-0", Channel::kQueued)->depth, 1u)
      << "the service's own count stands";
  EXPECT_EQ(snapshot.instances.missing(Channel::kAccept), Missing::kNotMissing);
  EXPECT_EQ(snapshot.health.probe_errors, 0u);
}

TEST_F(DepthProbeTest, AProbeThatFailsLeavesItsChannelsMissingWithTheReason) {
  struct Case {
    absl::Status status;
    Missing reason;
  };
  for (const Case& c : {Case{absl::UnavailableError("busy"), Missing::kFailed},
                        Case{absl::PermissionDeniedError("no"), Missing::kNoPermission},
                        Case{absl::UnimplementedError("never"), Missing::kNotSupported}}) {
    SCOPED_TRACE(c.status);
    const auto collector = Make();
    auto probe = std::make_unique<FakeDepthProbe>(Channel::kAccept);
    probe->status = c.status;
    collector->AddProbe(std::move(probe));
    for (int tick = 0; tick < 4; ++tick) {
      EXPECT_EQ(NextTick(*collector).instances.missing(Channel::kAccept), c.reason);
    }
    EXPECT_GT(collector->totals().health.probe_errors, 0u);
    EXPECT_EQ(collector->Tick().instances.missing(Channel::kSend), Missing::kNoProbe);
  }
}

class Throwing final : public DepthProbe {
 public:
  explicit Throwing(bool standard) : standard_(standard) {}
  std::string_view name() const override { return "throwing"; }
  ChannelMask channels() const override { return ChannelMask::Of(Channel::kNic); }
  absl::Status Sample(const Topology&, Snapshot*) override {
    if (standard_) throw std::runtime_error("out of luck");
    throw 7;
  }

 private:
  const bool standard_;
};

TEST(GuardedDepthProbe, WhatAProbeThrowsBecomesAStatus) {
  for (bool standard : {true, false}) {
    SCOPED_TRACE(standard);
    GuardedDepthProbe guarded(std::make_unique<Throwing>(standard));
    Snapshot snapshot;
    const absl::Status status = guarded.Sample(Topology(), &snapshot);
    EXPECT_EQ(status.code(), absl::StatusCode::kUnknown);
    EXPECT_THAT(std::string(status.message()), HasSubstr("throwing"));
    EXPECT_THAT(std::string(status.message()),
                HasSubstr(standard ? "out of luck" : "no std::exception"));
    EXPECT_EQ(guarded.errors(), 1u);
    EXPECT_EQ(snapshot.instances.missing(Channel::kNic), Missing::kFailed);
  }
}

TEST(GuardedDepthProbe, AProbeThatGoesOnFailingIsAskedLessOften) {
  auto owned = std::make_unique<FakeDepthProbe>(Channel::kNic);
  FakeDepthProbe& probe = *owned;
  GuardedDepthProbe guarded(std::move(owned));
  probe.status = absl::UnavailableError("busy");
  Snapshot snapshot;
  std::vector<int> asked;
  for (int tick = 0; tick < 300; ++tick) {
    const std::uint64_t before = probe.asked;
    const absl::Status status = guarded.Sample(Topology(), &snapshot);
    EXPECT_EQ(status.ok(), probe.asked == before) << "an error is reported once";
    EXPECT_EQ(snapshot.instances.missing(Channel::kNic), Missing::kFailed);
    if (probe.asked != before) asked.push_back(tick);
  }
  EXPECT_THAT(asked, ElementsAre(0, 1, 3, 7, 15, 31, 63, 127, 191, 255));
  // And as often as before once it succeeds.
  probe.status = absl::OkStatus();
  for (int tick = 0; tick < 64; ++tick) (void)guarded.Sample(Topology(), &snapshot);
  const std::uint64_t before = probe.asked;
  for (int tick = 0; tick < 10; ++tick) EXPECT_TRUE(guarded.Sample(Topology(), &snapshot).ok());
  EXPECT_EQ(probe.asked, before + 10);
}

TEST(GuardedDepthProbe, WhatIsNotSupportedIsNotAskedAgain) {
  auto owned = std::make_unique<FakeDepthProbe>(Channel::kNic);
  FakeDepthProbe& probe = *owned;
  GuardedDepthProbe guarded(std::move(owned));
  probe.status = absl::UnimplementedError("no such kernel");
  Snapshot snapshot;
  for (int tick = 0; tick < 300; ++tick) (void)guarded.Sample(Topology(), &snapshot);
  EXPECT_EQ(probe.asked, 1u);
  EXPECT_EQ(snapshot.instances.missing(Channel::kNic), Missing::kNotSupported);
}

TEST(NullDepthProbe, SeesNothing) {
  NullDepthProbe probe;
  Snapshot snapshot;
  EXPECT_TRUE(probe.channels().empty());
  EXPECT_TRUE(probe.Sample(Topology(), &snapshot).ok());
  EXPECT_TRUE(snapshot == Snapshot());
}

}  // namespace
}  // namespace seer
