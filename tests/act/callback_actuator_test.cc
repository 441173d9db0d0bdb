#include "seer/act/callback_actuator.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <stdexcept>

#include "tests/act/support.h"

namespace seer {
namespace {

using ::testing::HasSubstr;

struct Host {
  Host() {
    options.actions = {Action::kReplicas, Action::kRateLimit};
    options.granted = {"cart"};
    options.read = [this](const ActionTarget&, Action) { return absl::StatusOr<double>(replicas); };
    options.write = [this](const ActionTarget& target, Action action, double to) {
      written_service = target.service;
      written_action = action;
      replicas = to;
      return absl::OkStatus();
    };
  }
  CallbackOptions options;
  double replicas = 3;
  std::string written_service;
  Action written_action = Action::kReport;
};

Recommendation ReplicasTo(double to) {
  Recommendation r = testing::PoolTo(to);
  r.action = Action::kReplicas;
  return r;
}

TEST(CallbackActuator, ReadsAndWritesThroughTheHost) {
  Host host;
  const auto actuator = MakeCallbackActuator(host.options).value();
  EXPECT_TRUE(actuator->Can(Action::kReplicas));
  EXPECT_FALSE(actuator->Can(Action::kCpuLimit));
  const ActionPlan plan = actuator->Plan(ReplicasTo(4.7)).value();
  EXPECT_EQ(plan.from, 3);
  EXPECT_EQ(plan.to, 4);  // there are no parts of a replica
  ASSERT_EQ(plan.changes.size(), 1u);
  ASSERT_TRUE(actuator->Write(plan.changes[0].knob, plan.changes[0].after).ok());
  EXPECT_EQ(host.replicas, 4);
  EXPECT_EQ(host.written_service, "cart");
  EXPECT_EQ(host.written_action, Action::kReplicas);
  EXPECT_EQ(actuator->Read(plan.changes[0].knob).value(), plan.changes[0].after);
}

TEST(CallbackActuator, TextGivesBackTheVeryNumber) {
  Host host;
  const auto actuator = MakeCallbackActuator(host.options).value();
  for (const double value : {0.1, 1.0 / 3, 1e-300, 123456789.123456789, 1e300}) {
    host.replicas = value;
    Recommendation r = ReplicasTo(2);
    r.action = Action::kRateLimit;
    const KnobChange change = actuator->Plan(r)->changes[0];
    host.replicas = 0;
    ASSERT_TRUE(actuator->Write(change.knob, change.before).ok());
    EXPECT_EQ(host.replicas, value);
  }
}

TEST(CallbackActuator, RoundingOutOfTheBoundsIsRefused) {
  Host host;
  testing::PoolNode node;
  std::vector<std::unique_ptr<Actuator>> actuators;
  actuators.push_back(MakeCallbackActuator(host.options).value());
  ExecutorOptions options;
  options.clock = &node.clock;
  const auto executor = Executor::Create(options, std::move(actuators)).value();
  Recommendation r = ReplicasTo(4.7);
  r.lower = 4.5;
  const ActionTaken taken = executor->Apply(r);
  EXPECT_EQ(taken.outcome, ActionOutcome::kRefused);
  EXPECT_THAT(taken.detail, HasSubstr("can only be set as 4"));
}

TEST(CallbackActuator, ServicesThatWereNotGrantedAreRefused) {
  Host host;
  const auto actuator = MakeCallbackActuator(host.options).value();
  Recommendation r = ReplicasTo(4);
  r.target.service = "other";
  EXPECT_TRUE(absl::IsPermissionDenied(actuator->Plan(r).status()));
  // "other" in hexadecimal, as in a journal.
  EXPECT_FALSE(actuator->Write("replicas|6f74686572|||", "4").ok());
  for (const char* knob : {"", "replicas", "replicas|zz|||", "report|63617274|||",
                           "cpu-limit|63617274|||", "replicas|63617274||||"}) {
    SCOPED_TRACE(knob);
    EXPECT_FALSE(actuator->Write(knob, "4").ok());
  }
  EXPECT_EQ(host.replicas, 3);
  host.options.granted = {"*"};
  EXPECT_TRUE(MakeCallbackActuator(host.options).value()->Plan(r).ok());
}

TEST(CallbackActuator, TroublesOfTheHostBecomeAStatus) {
  Host host;
  host.options.read = [](const ActionTarget&, Action) -> absl::StatusOr<double> {
    throw std::runtime_error("no orchestrator");
  };
  host.options.write = [](const ActionTarget&, Action, double) -> absl::Status { throw 5; };
  const auto actuator = MakeCallbackActuator(host.options).value();
  EXPECT_THAT(std::string(actuator->Plan(ReplicasTo(4)).status().message()),
              HasSubstr("no orchestrator"));
  const std::string knob = "replicas|63617274|||";
  EXPECT_EQ(actuator->Write(knob, "4").code(), absl::StatusCode::kUnknown);
  EXPECT_FALSE(actuator->Write(knob, "nan").ok());
  EXPECT_FALSE(actuator->Write(knob, "4x").ok());
}

TEST(CallbackActuator, OptionsAreChecked) {
  const auto message = [](const std::function<void(CallbackOptions*)>& spoil) {
    Host host;
    spoil(&host.options);
    return std::string(MakeCallbackActuator(host.options).status().message());
  };
  EXPECT_THAT(message([](CallbackOptions* o) { o->name = "a b"; }), HasSubstr("name"));
  EXPECT_THAT(message([](CallbackOptions* o) { o->actions.clear(); }), HasSubstr("actions"));
  EXPECT_THAT(message([](CallbackOptions* o) { o->actions = {Action::kReport}; }),
              HasSubstr("actions"));
  EXPECT_THAT(message([](CallbackOptions* o) { o->write = nullptr; }), HasSubstr("write"));
}

}  // namespace
}  // namespace seer
