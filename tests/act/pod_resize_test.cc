#include "seer/act/pod_resize.h"

#include <gtest/gtest.h>

#include "tests/support/json.h"

namespace seer {
namespace {

Recommendation To(Action action, double to) {
  Recommendation r;
  r.action = action;
  r.to = to;
  r.upper = 1e18;
  return r;
}

PodResizeOptions Container(const std::string& name) {
  PodResizeOptions options;
  options.container = name;
  return options;
}

TEST(PodResize, PatchIsWhatKubernetesTakes) {
  struct Case {
    Action action;
    double to;
    const char* key;
    const char* quantity;
  };
  for (const Case& c :
       {Case{Action::kCpuLimit, 1.5, "cpu", "1500m"}, Case{Action::kCpuLimit, 0.3, "cpu", "300m"},
        Case{Action::kCpuLimit, 1.0001, "cpu", "1001m"},
        Case{Action::kMemoryLimit, 1073741824.7, "memory", "1073741824"}}) {
    SCOPED_TRACE(c.quantity);
    const absl::StatusOr<std::string> patch = PodResizePatch(To(c.action, c.to), Container("cart"));
    ASSERT_TRUE(patch.ok()) << patch.status();
    const auto json = testing::Json::Parse(*patch);
    ASSERT_TRUE(json) << *patch;
    const testing::Json& container = (*json)["spec"]["containers"][0];
    EXPECT_EQ(container["name"].text, "cart");
    EXPECT_EQ(container["resources"]["requests"][c.key].text, c.quantity);
    EXPECT_EQ(container["resources"]["limits"][c.key].text, c.quantity);
  }
}

TEST(PodResize, OnlyWhatIsWantedIsSet) {
  PodResizeOptions options = Container("cart");
  options.requests = false;
  const auto json = testing::Json::Parse(PodResizePatch(To(Action::kCpuLimit, 2), options).value());
  ASSERT_TRUE(json);
  const testing::Json& resources = (*json)["spec"]["containers"][0]["resources"];
  EXPECT_FALSE(resources.Has("requests"));
  EXPECT_TRUE(resources.Has("limits"));
}

TEST(PodResize, StaysWithinTheBoundsWhenRounding) {
  Recommendation r = To(Action::kCpuLimit, 1.0005);
  r.upper = 1.0005;
  EXPECT_NE(PodResizePatch(r, Container("c"))->find("\"1000m\""), std::string::npos);
  r.lower = 1.0004;
  EXPECT_TRUE(absl::IsOutOfRange(PodResizePatch(r, Container("c")).status()));
}

TEST(PodResize, RefusesWhatIsNoResize) {
  EXPECT_TRUE(
      absl::IsUnimplemented(PodResizePatch(To(Action::kReplicas, 3), Container("cart")).status()));
  for (const char* name : {"", "Cart", "a\"b", "-a", "a b"}) {
    EXPECT_TRUE(
        absl::IsInvalidArgument(PodResizePatch(To(Action::kCpuLimit, 1), Container(name)).status()))
        << name;
  }
  for (const double to : {0.0, -1.0, 1e17, 1.0 / 0.0, 0.0 / 0.0}) {
    EXPECT_FALSE(PodResizePatch(To(Action::kCpuLimit, to), Container("cart")).ok()) << to;
  }
}

TEST(PodResize, DeferredIsNotNowAndInfeasibleIsNever) {
  EXPECT_TRUE(absl::IsUnavailable(PodResizeStatus("PodResizePending", "True", "Deferred")));
  EXPECT_TRUE(
      absl::IsFailedPrecondition(PodResizeStatus("PodResizePending", "True", "Infeasible")));
  EXPECT_FALSE(PodResizeStatus("PodResizeInProgress", "True", "Error").ok());
  EXPECT_TRUE(PodResizeStatus("PodResizeInProgress", "True", "").ok());
  EXPECT_TRUE(PodResizeStatus("PodResizePending", "False", "Infeasible").ok());
  EXPECT_TRUE(PodResizeStatus("Ready", "True", "").ok());
}

}  // namespace
}  // namespace seer
