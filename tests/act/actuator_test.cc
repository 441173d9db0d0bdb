#include "seer/act/actuator.h"

#include <gtest/gtest.h>

namespace seer {
namespace {

class Bare final : public Actuator {
 public:
  std::string_view name() const override { return "bare"; }
  bool Can(Action) const override { return false; }
  absl::StatusOr<ActionPlan> Plan(const Recommendation&) override { return ActionPlan(); }
  absl::StatusOr<std::string> Read(const std::string&) override { return std::string(); }
  absl::Status Write(const std::string&, const std::string&) override { return absl::OkStatus(); }
};

TEST(Actuator, HoldsNothingUnlessItSaysSo) {
  Bare bare;
  EXPECT_TRUE(bare.Hold("anything").ok());
  bare.Release("anything");
  EXPECT_TRUE(bare.Plan({})->changes.empty());
}

}  // namespace
}  // namespace seer
