#include "seer/probe/pressure.h"

#include <gtest/gtest.h>

#include <string>

#include "tests/probe/fake_root.h"
#include "tests/support/allocations.h"

namespace seer {
namespace {

Pressure CpuOf(std::string_view text) {
  testing::FakeRoot root;
  root.Write("/proc/pressure/cpu", text);
  return PressureProbe::OfHost(root.path()).Sample().cpu;
}

TEST(Pressure, BothTotalsAreReadWhereBothAreTold) {
  const Pressure both = CpuOf(
      "some avg10=0.00 avg60=0.60 avg300=0.40 total=4049477\n"
      "full avg10=0.00 avg60=0.00 avg300=0.00 total=18446744073709551615\n");
  EXPECT_EQ(both.some_us, Reading::Of(4049477));
  EXPECT_EQ(both.full_us, Reading::Of(~std::uint64_t{0}));
  // Before Linux 5.13 nobody told "full" for processors.
  const Pressure one = CpuOf("some avg10=1.53 avg60=0.87 avg300=0.40 total=12");
  EXPECT_EQ(one.some_us, Reading::Of(12));
  EXPECT_EQ(one.full_us, Reading::Not(Reason::kNotSupported));
}

TEST(Pressure, GarbageIsMissingNeverZero) {
  const Reading malformed = Reading::Not(Reason::kMalformed);
  for (const std::string& text :
       {std::string(), std::string("\n\n"), std::string("some"), std::string("some total="),
        std::string("some avg10=nan total=-5\n"), std::string("some total=nan"),
        std::string("some total=1e6"), std::string("some total=99999999999999999999"),
        std::string("some avg10=0 total =5"), std::string("\0\0\0total=5", 11),
        std::string("total=5\n"), std::string(5000, 'x')}) {
    SCOPED_TRACE(text.substr(0, 40));
    EXPECT_EQ(CpuOf(text).some_us, malformed);
    EXPECT_FALSE(CpuOf(text).full_us.ok());
  }
  EXPECT_EQ(CpuOf("some total=1\nfull total=x\n").full_us, malformed);
  EXPECT_EQ(CpuOf("some total=1\nfull total=x\n").some_us, Reading::Of(1));
}

TEST(Pressure, ACgroupHasItsOwn) {
  testing::FakeRoot root;
  root.Write("/c/memory.pressure", "some total=3\nfull total=2\n");
  PressureProbe probe = PressureProbe::OfCgroup(root.path() + "/c");
  EXPECT_EQ(probe.Sample().memory.some_us, Reading::Of(3));
  EXPECT_EQ(probe.Sample().memory.full_us, Reading::Of(2));
  EXPECT_EQ(probe.Sample().io.some_us, Reading::Not(Reason::kNotFound));
  EXPECT_EQ(PressureProbe::OfCgroup("").Sample().io.some_us, Reading::Not(Reason::kNotObserved));
  EXPECT_EQ(PressureProbe().Sample().cpu.full_us, Reading::Not(Reason::kNotObserved));
}

TEST(Pressure, TheHostIsReadWithoutTheHeapOrSaysWhyNot) {
  PressureProbe probe = PressureProbe::OfHost();
  const Pressures before = probe.Sample();
  const testing::Allocations allocations;
  const Pressures after = probe.Sample();
  EXPECT_EQ(allocations.count(), 0u);
  for (const auto& [b, a] : {std::pair(before.cpu.some_us, after.cpu.some_us),
                             std::pair(before.memory.some_us, after.memory.some_us),
                             std::pair(before.io.some_us, after.io.some_us)}) {
    if (a.ok()) {
      EXPECT_TRUE(Delta(b, a).ok());
    } else {
      EXPECT_TRUE(a.reason == Reason::kNotFound || a.reason == Reason::kNotSupported);
    }
  }
}

}  // namespace
}  // namespace seer
