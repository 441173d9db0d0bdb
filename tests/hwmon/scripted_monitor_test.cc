#include "seer/hwmon/scripted_monitor.h"

#include <gtest/gtest.h>

#include "tests/hwmon/samples.h"

namespace seer {
namespace {

using testing::HealthyReading;
using testing::SampleTarget;

TEST(ScriptedMonitor, SaysItsLinesInOrderAndThenNothing) {
  ScriptedMonitor monitor;
  monitor.Say(HealthyReading(100));
  monitor.Fail(absl::NotFoundError("gone"));
  HwReading reading;
  const HwTarget target = HwTarget::OfProcess(5);
  ASSERT_TRUE(monitor.Read(target, &reading).ok());
  EXPECT_EQ(reading.requests, 100u);
  // Of whom was asked, not of whom the script was written for.
  EXPECT_EQ(reading.target, target.instance);
  EXPECT_EQ(monitor.Read(SampleTarget(), &reading).code(), absl::StatusCode::kNotFound);
  EXPECT_TRUE(testing::NothingObserved(reading));
  EXPECT_EQ(monitor.Read(target, &reading).code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(monitor.asked(), (std::vector<HwTarget>{target, SampleTarget(), target}));
}

TEST(ScriptedMonitor, RepeatsItsLastLineIfTold) {
  ScriptedMonitor monitor;
  HwReading reading;
  monitor.Repeat();
  EXPECT_EQ(monitor.Read(SampleTarget(), &reading).code(), absl::StatusCode::kUnavailable);
  monitor.Say(HealthyReading(1));
  monitor.Say(HealthyReading(2));
  for (const std::uint64_t requests : {1u, 2u, 2u, 2u}) {
    ASSERT_TRUE(monitor.Read(SampleTarget(), &reading).ok());
    EXPECT_EQ(reading.requests, requests);
  }
}

}  // namespace
}  // namespace seer
