#include "seer/act/resctrl_actuator.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/act/support.h"

namespace seer {
namespace {

using ::testing::HasSubstr;
using testing::TestFolder;

Recommendation To(Action action, double to) {
  Recommendation r;
  r.action = action;
  r.to = to;
  r.upper = 1000;
  r.target.service = "cart";
  return r;
}

// What a kernel with 12 ways in two domains would show.
void MakeResctrl(const TestFolder& folder, const char* schemata) {
  folder.Write("schemata", "    L3:0=fff;1=fff\n    MB:0=100;1=100\n");
  folder.Write("info/L3/cbm_mask", "fff\n");
  folder.Write("info/L3/min_cbm_bits", "2\n");
  folder.Write("info/MB/min_bandwidth", "10\n");
  folder.Write("info/MB/bandwidth_gran", "10\n");
  folder.Write("info/last_cmd_status", "ok\n");
  folder.Write("cart/schemata", schemata);
  folder.Write("other/schemata", schemata);
}

ResctrlOptions Options(const TestFolder& folder) {
  ResctrlOptions options;
  options.root = folder.path();
  options.groups = {{"cart", "cart"}};
  return options;
}

TEST(ResctrlActuator, MasksGrowAndShrinkInOnePiece) {
  struct Case {
    const char* before;
    double ways;
    double from;
    const char* after;
  };
  for (const Case& c :
       {Case{"0=f;1=f0", 6, 4, "0=3f;1=3f0"},
        Case{"0=f00;1=f", 6, 4, "0=fc0;1=3f"},  // no room above
        Case{"0=ff;1=ff", 4, 8, "0=f;1=f"},     // shrinks at its upper end
        Case{"0=00f;1=0f0", 6, 4, "0=03f;1=3f0"}, Case{"0=f0f;1=f", 12, 4, "0=fff;1=fff"},
        Case{"0=f;1=ff", 8, 4, "0=ff;1=ff"}}) {
    SCOPED_TRACE(c.before);
    TestFolder folder;
    MakeResctrl(folder, (std::string("    L3:") + c.before + "\n    MB:0=100;1=100\n").c_str());
    const auto actuator = MakeResctrlActuator(Options(folder)).value();
    const absl::StatusOr<ActionPlan> plan = actuator->Plan(To(Action::kCachePartition, c.ways));
    ASSERT_TRUE(plan.ok()) << plan.status();
    EXPECT_EQ(plan->from, c.from);
    EXPECT_EQ(plan->to, c.ways);
    ASSERT_EQ(plan->changes.size(), 1u);
    EXPECT_EQ(plan->changes[0].before, c.before);
    EXPECT_EQ(plan->changes[0].after, c.after);
  }
}

TEST(ResctrlActuator, WritesOneLineAndRestoresIt) {
  TestFolder folder;
  MakeResctrl(folder, "L3:0=f;1=f\n");
  const auto actuator = MakeResctrlActuator(Options(folder)).value();
  const KnobChange change = actuator->Plan(To(Action::kCachePartition, 6))->changes[0];
  ASSERT_TRUE(actuator->Write(change.knob, change.after).ok());
  EXPECT_EQ(folder.Read("cart/schemata"), "L3:0=3f;1=3f\n");
  EXPECT_EQ(actuator->Read(change.knob).value(), change.after);
  ASSERT_TRUE(actuator->Write(change.knob, change.before).ok());
  EXPECT_EQ(folder.Read("cart/schemata"), "L3:0=f;1=f\n");
}

TEST(ResctrlActuator, BandwidthIsRoundedDownToWhatTheHardwareCanDo) {
  TestFolder folder;
  MakeResctrl(folder, "MB:0= 40;1= 50\n");
  const auto actuator = MakeResctrlActuator(Options(folder)).value();
  const ActionPlan plan = actuator->Plan(To(Action::kMemoryBandwidthShare, 65)).value();
  EXPECT_EQ(plan.from, 40);
  EXPECT_EQ(plan.to, 60);
  EXPECT_EQ(plan.changes[0].after, "0=60;1=60");
  EXPECT_TRUE(absl::IsOutOfRange(actuator->Plan(To(Action::kMemoryBandwidthShare, 9)).status()));
}

TEST(ResctrlActuator, RefusesWhatTheCacheOrTheHostDoesNotAllow) {
  TestFolder folder;
  MakeResctrl(folder, "L3:0=f;1=f\n");
  const auto actuator = MakeResctrlActuator(Options(folder)).value();
  for (const double ways : {0.0, 1.0, 13.0, 65.0, 1e18}) {
    EXPECT_TRUE(absl::IsOutOfRange(actuator->Plan(To(Action::kCachePartition, ways)).status()))
        << ways;
  }
  Recommendation other = To(Action::kCachePartition, 6);
  other.target.service = "other";
  EXPECT_TRUE(absl::IsPermissionDenied(actuator->Plan(other).status()));
  for (const char* knob : {"L3|other", "L3|../cart", "L3|", "L2|cart", "tasks|cart", ""}) {
    EXPECT_FALSE(actuator->Write(knob, "0=1;1=1").ok()) << knob;
  }
  EXPECT_EQ(folder.Read("other/schemata"), "L3:0=f;1=f\n");
  EXPECT_TRUE(
      absl::IsUnimplemented(actuator->Plan(To(Action::kMemoryBandwidthShare, 50)).status()));
}

TEST(ResctrlActuator, GarbageIsAnError) {
  for (const char* schemata :
       {"L3:", "L3:0", "L3:0=xyz", "L3:=f", "L3:0=f;;1=f", "L3:0=fffffffffffffffffffff", ""}) {
    SCOPED_TRACE(schemata);
    TestFolder folder;
    MakeResctrl(folder, schemata);
    const auto actuator = MakeResctrlActuator(Options(folder)).value();
    EXPECT_FALSE(actuator->Plan(To(Action::kCachePartition, 6)).ok());
  }
}

TEST(ResctrlActuator, OptionsAreChecked) {
  TestFolder folder;
  EXPECT_TRUE(absl::IsNotFound(MakeResctrlActuator(Options(folder)).status()));
  ResctrlOptions options = Options(folder);
  for (const char* group : {"", "../x", "info", "/"}) {
    options.groups = {{"cart", group}};
    EXPECT_THAT(std::string(MakeResctrlActuator(options).status().message()), HasSubstr("groups"));
  }
}

}  // namespace
}  // namespace seer
