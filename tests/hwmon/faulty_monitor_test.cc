#include "seer/hwmon/faulty_monitor.h"

#include <gtest/gtest.h>

#include <cmath>

#include "seer/hwmon/attribution.h"
#include "seer/hwmon/scripted_monitor.h"
#include "tests/hwmon/samples.h"

namespace seer {
namespace {

using testing::HealthyReading;
using testing::SampleTarget;

ScriptedMonitor Always() {
  ScriptedMonitor monitor;
  monitor.Say(HealthyReading());
  monitor.Repeat();
  return monitor;
}

TEST(FaultyMonitor, WithoutFaultsItIsTheOther) {
  ScriptedMonitor inner = Always();
  FaultyMonitor monitor(inner, {});
  HwReading reading;
  for (int i = 0; i < 100; ++i) {
    ASSERT_TRUE(monitor.Read(SampleTarget(), &reading).ok());
    ASSERT_EQ(reading, HealthyReading());
  }
  EXPECT_EQ(monitor.faults(), 0u);
}

TEST(FaultyMonitor, EachFaultHappensAsOftenAsAsked) {
  FaultyMonitor::Options options;
  options.error = 0.2;
  options.missing = 0.3;
  options.garbage = 0.1;
  ScriptedMonitor inner = Always();
  FaultyMonitor monitor(inner, options);
  int errors = 0, missing = 0, garbage = 0;
  constexpr int kReads = 2000;
  HwReading reading;
  for (int i = 0; i < kReads; ++i) {
    if (!monitor.Read(SampleTarget(), &reading).ok()) {
      ++errors;
      continue;
    }
    const HwSignal& signal = reading.instance[Resource::kStorage].delay_us;
    if (!signal.usable()) {
      ++missing;
    } else if (!(signal.value == 1000)) {
      ++garbage;
    }
  }
  EXPECT_NEAR(errors, kReads * 0.2, 80);
  EXPECT_NEAR(missing, kReads * 0.8 * 0.3, 80);
  EXPECT_NEAR(garbage, kReads * 0.8 * 0.7 * 0.1, 50);
}

TEST(FaultyMonitor, TheSameSeedFailsTheSameWay) {
  FaultyMonitor::Options options;
  options.error = options.stale = options.missing = options.dead = 0.3;
  ScriptedMonitor inner_a = Always(), inner_b = Always();
  FaultyMonitor a(inner_a, options), b(inner_b, options);
  HwReading reading_a, reading_b;
  for (int i = 0; i < 200; ++i) {
    ASSERT_EQ(a.Read(SampleTarget(), &reading_a), b.Read(SampleTarget(), &reading_b));
    ASSERT_EQ(reading_a, reading_b);
  }
}

TEST(FaultyMonitor, WhateverHappensAGuardedReadIsSoundAndBlamesNothingUnseen) {
  FaultyMonitor::Options options;
  options.error = options.thrown = options.stale = 0.1;
  options.missing = options.garbage = options.dead = 0.3;
  StallBaseline baseline;
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(baseline.Learn(HealthyReading()));
  ScriptedMonitor inner = Always();
  FaultyMonitor monitor(inner, options);
  HwReading reading;
  for (int i = 0; i < 2000; ++i) {
    const bool ok = ReadGuarded(monitor, SampleTarget(), &reading).ok();
    if (!ok) {
      ASSERT_TRUE(testing::NothingObserved(reading));
    }
    for (const ResourceReading& r : reading.instance.by_resource) {
      for (const HwSignal& s : {r.delay_us, r.utilisation, r.saturation}) {
        ASSERT_TRUE(std::isfinite(s.value));
        ASSERT_GE(s.value, 0);
        if (!s.usable()) {
          ASSERT_NE(s.reason, Reason::kNone);
        }
      }
    }
    const StallAttribution found = Attribute(reading, baseline);
    for (const StallRise& rise : found.rises()) {
      ASSERT_TRUE(std::isfinite(rise.rise_us));
      ASSERT_TRUE(reading.instance[rise.resource].delay_us.usable());
    }
  }
  EXPECT_GT(monitor.faults(), 1000u);
}

}  // namespace
}  // namespace seer
