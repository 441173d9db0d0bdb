#include "seer/advise/shortage.h"

#include <gtest/gtest.h>

#include "seer/hwmon/attribution.h"
#include "tests/advise/support.h"

namespace seer {
namespace {

using testing::kMsNs;
using testing::ReadingOf;

HwReading Reading(double wait_us, double used, std::uint64_t requests = 100) {
  HwReading reading = ReadingOf({{Resource::kCpu, wait_us}}, requests, 100 * kMsNs);
  reading.instance[Resource::kCpu].utilisation = {used, Quality::kOk, Reason::kNone,
                                                  Scope::kCgroup};
  return reading;
}

TEST(Shortage, IsHowManyWaitAtATime) {
  const HwReading reading = Reading(3000, 0.5);  // 100 requests, 3 ms each, in 100 ms
  const Shortage cpu = ShortageOf(reading, reading, Resource::kCpu);
  EXPECT_NEAR(cpu.waiting, 3, 1e-9);
  EXPECT_NEAR(cpu.wait_us, 3000, 1e-9);
  EXPECT_EQ(cpu.used, 0.5);
  EXPECT_TRUE(cpu.used_known);
  EXPECT_EQ(cpu.growth, 0);
  // One of two cores runs, three wait: four, at seven tenths of a limit.
  EXPECT_NEAR(LimitNeeded(cpu, 2, 0.5), 4 / 0.7, 1e-9);
}

TEST(Shortage, GrowsFromReadingToReading) {
  HwReading total;
  for (const double wait_us : {1000.0, 2000.0, 3000.0}) AddReading(Reading(wait_us, 0.5), &total);
  const Shortage cpu = ShortageOf(total, Reading(3000, 0.5), Resource::kCpu);
  EXPECT_NEAR(cpu.waiting, 3, 1e-9);
  EXPECT_NEAR(cpu.growth, 10, 1e-6);  // one more each 100 ms
  EXPECT_NEAR(LimitNeeded(cpu, 2, 0.5), (1 + 3 + 5) / 0.7, 1e-6);
  // What shrinks is not taken to go on shrinking.
  HwReading falling;
  AddReading(Reading(3000, 0.5), &falling);
  AddReading(Reading(1000, 0.5), &falling);
  const Shortage less = ShortageOf(falling, Reading(1000, 0.5), Resource::kCpu);
  EXPECT_LT(less.growth, 0);
  EXPECT_NEAR(LimitNeeded(less, 2, 0.5), 2 / 0.7, 1e-9);
}

TEST(Shortage, OfWhatWasNotObservedNothingIsKnown) {
  HwReading reading = ReadingOf({});
  reading.instance[Resource::kCpu].delay_us = HwSignal();
  const Shortage cpu = ShortageOf(reading, reading, Resource::kCpu);
  EXPECT_FALSE(cpu.known());
  EXPECT_FALSE(cpu.used_known);
  EXPECT_EQ(LimitNeeded(cpu, 2, 0.5), 0);
  const Shortage none = ShortageOf(HwReading(), HwReading(), Resource::kCpu);
  EXPECT_FALSE(none.known());
}

}  // namespace
}  // namespace seer
