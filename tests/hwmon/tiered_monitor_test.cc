#include "seer/hwmon/tiered_monitor.h"

#include <gtest/gtest.h>

#include "seer/hwmon/scripted_monitor.h"
#include "tests/hwmon/samples.h"

namespace seer {
namespace {

using testing::Good;
using testing::HealthyReading;
using testing::SampleTarget;

TEST(TieredMonitor, EachSignalComesFromTheFirstThatHasIt) {
  HwReading software = HealthyReading();
  software.instance[Resource::kCache] = {};
  software.instance[Resource::kMemoryBandwidth] = {};
  HwReading counters;
  counters.interval_ns = 100'000'000;
  counters.instance[Resource::kCache].delay_us = Good(77);
  counters.instance[Resource::kCpu].delay_us = Good(99);
  counters.instance[Resource::kMemoryBandwidth].delay_us.reason = Reason::kSelfTest;
  ScriptedMonitor first, second, broken;
  first.Say(software);
  second.Say(counters);
  broken.Fail(absl::UnavailableError("no"));
  TieredMonitor monitor({&first, &broken, &second});
  HwReading reading;
  ASSERT_TRUE(monitor.Read(SampleTarget(), &reading).ok());
  EXPECT_EQ(reading.instance[Resource::kCache].delay_us, Good(77));
  EXPECT_EQ(reading.instance[Resource::kCpu].delay_us, software.instance[Resource::kCpu].delay_us);
  EXPECT_EQ(reading.instance[Resource::kMemoryBandwidth].delay_us.reason, Reason::kSelfTest);
  EXPECT_EQ(reading.interval_ns, software.interval_ns);
}

TEST(TieredMonitor, TheFirstOnesErrorIsItsOwn) {
  ScriptedMonitor first, second;
  first.Fail(absl::NotFoundError("gone"));
  second.Say(HealthyReading());
  TieredMonitor monitor({&first, &second});
  HwReading reading;
  EXPECT_EQ(monitor.Read(SampleTarget(), &reading).code(), absl::StatusCode::kNotFound);
  EXPECT_TRUE(testing::NothingObserved(reading));
  EXPECT_EQ(TieredMonitor({}).Read(SampleTarget(), &reading).code(),
            absl::StatusCode::kUnimplemented);
}

TEST(TieredMonitor, AFurtherOnesFirstReadTellsOnlyReasons) {
  HwReading software = HealthyReading();
  software.instance[Resource::kCache] = {};
  HwReading just_opened;
  just_opened.instance[Resource::kCache].delay_us = Good(5);
  ScriptedMonitor first, second;
  first.Say(software);
  second.Say(just_opened);
  TieredMonitor monitor({&first, &second});
  HwReading reading;
  ASSERT_TRUE(monitor.Read(SampleTarget(), &reading).ok());
  EXPECT_FALSE(reading.instance[Resource::kCache].delay_us.usable());
}

}  // namespace
}  // namespace seer
