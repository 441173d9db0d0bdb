#include "seer/advise/advisor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "seer/core/wire.h"
#include "tests/advise/support.h"

namespace seer {
namespace {

using ::testing::HasSubstr;
using testing::kSecondNs;
using testing::Shop;

struct Desk {
  explicit Desk(const std::string& rules = std::string(DefaultRulesText())) {
    options.rules = ParseRules(rules).value();
    options.in_place = [this](const ActionTarget&, Action action) {
      asked.push_back(action);
      const auto found = places.find(action);
      return found == places.end() ? std::nullopt : std::optional<InPlace>(found->second);
    };
    advisor = RuleAdvisor::Create(options).value();
    diagnosis.culprit = shop.cart;
    diagnosis.cause = Cause::kCpu;
    diagnosis.confidence = 0.9f;
    row = shop.Row(shop.buy, shop.cart, 1.0f);
  }
  std::optional<Recommendation> Ask(std::uint32_t failed = 0) {
    AdviceRequest request;
    request.diagnosis = &diagnosis;
    request.forecast = &row;
    request.topology = &shop.topology;
    request.now_ns = 1000 * kSecondNs;
    request.failed_before = failed;
    request.shortage = shortage;
    request.in_force = in_force;
    return advisor->Advise(request);
  }

  Shop shop;
  Diagnosis diagnosis;
  ClassForecast row;
  Shortage shortage;
  const Recommendation* in_force = nullptr;
  std::map<Action, InPlace> places{{Action::kCpuLimit, {2, 0.5, 16}},
                                   {Action::kReplicas, {3, 1, 10}},
                                   {Action::kPoolSize, {10, 1, 12}},
                                   {Action::kRateLimit, {1000, 100, 5000}}};
  std::vector<Action> asked;
  RuleAdvisorOptions options;
  std::unique_ptr<RuleAdvisor> advisor;
};

TEST(RuleAdvisor, RecommendationIsCompleteEnoughToBeCarriedOutElsewhere) {
  Desk desk;
  desk.diagnosis.instance = desk.shop.cart_1;
  const std::optional<Recommendation> r = desk.Ask();
  ASSERT_TRUE(r);
  EXPECT_EQ(r->action, Action::kCpuLimit);
  EXPECT_EQ(r->target.service, "cart");
  EXPECT_EQ(r->target.instance, "cart-1");
  EXPECT_EQ(r->target.node, "node-1");
  EXPECT_EQ(r->target.cgroup, "shop/cart-1");
  EXPECT_EQ(r->from, 2);
  EXPECT_EQ(r->to, 4);
  EXPECT_EQ(r->lower, 0.5);
  EXPECT_EQ(r->upper, 16);
  EXPECT_EQ(r->precondition, 2.0);
  EXPECT_EQ(r->undo, 2.0);
  EXPECT_EQ(r->issued_ns, 1000 * kSecondNs);
  EXPECT_EQ(r->expires_ns, 1010 * kSecondNs);
  EXPECT_EQ(r->settle_ns, kSecondNs);
  EXPECT_THAT(r->reason, HasSubstr("cart would initiate it, cause cpu"));
  EXPECT_EQ(Decode<Recommendation>(Encode(*r)).value(), *r);
}

TEST(RuleAdvisor, SizeFollowsTheForecast) {
  Desk desk;
  desk.row = desk.shop.Row(desk.shop.buy, desk.shop.cart, 0.75f);
  EXPECT_EQ(desk.Ask()->to, 3.5);
  desk.row = desk.shop.Row(desk.shop.buy, desk.shop.cart, 0.1f);
  EXPECT_EQ(desk.Ask()->to, 3);  // at least half of the way
}

TEST(RuleAdvisor, StaysWithinTheHostsBounds) {
  Desk desk;
  desk.places[Action::kCpuLimit] = {2, 0.5, 2.5};
  EXPECT_EQ(desk.Ask()->to, 2.5);
  desk.places[Action::kCpuLimit] = {2, 0.5, 2};  // no room: nothing but a replica is left
  EXPECT_EQ(desk.Ask()->action, Action::kReplicas);
  desk.places.erase(Action::kReplicas);
  EXPECT_FALSE(desk.Ask());
  desk.places[Action::kCpuLimit] = {2, 3, 4};  // what is in place is outside already
  EXPECT_FALSE(desk.Ask());
  desk.places.erase(Action::kCpuLimit);
  EXPECT_FALSE(desk.Ask());
}

TEST(RuleAdvisor, TriesSomethingElseWhereTheFirstDidNotHelp) {
  Desk desk;
  EXPECT_EQ(desk.Ask(0)->action, Action::kCpuLimit);
  const std::optional<Recommendation> second = desk.Ask(1);
  EXPECT_EQ(second->action, Action::kReplicas);
  EXPECT_EQ(second->to, 4);
  desk.places.erase(Action::kReplicas);
  EXPECT_EQ(desk.Ask(1)->action, Action::kCpuLimit);
}

TEST(RuleAdvisor, ApplicationIsReportedFirstAndRequestsRefusedLast) {
  Desk desk;
  desk.diagnosis.cause = Cause::kApplication;
  EXPECT_EQ(desk.Ask(0)->action, Action::kReport);
  EXPECT_TRUE(desk.asked.empty());
  const std::optional<Recommendation> pool = desk.Ask(1);
  EXPECT_EQ(pool->action, Action::kPoolSize);
  EXPECT_EQ(pool->to, 12);  // 110 is beyond what the host allows
  EXPECT_EQ(desk.Ask(2)->action, Action::kReplicas);
  const std::optional<Recommendation> limit = desk.Ask(3);
  EXPECT_EQ(limit->action, Action::kRateLimit);
  EXPECT_EQ(limit->to, 800);
  desk.diagnosis.confidence = 0.7f;
  EXPECT_EQ(desk.Ask(3)->action, Action::kReplicas);
}

TEST(RuleAdvisor, WhatCannotBeHadCountsAsTriedButForTheLastResort) {
  Desk desk;
  desk.diagnosis.cause = Cause::kApplication;
  desk.places.erase(Action::kPoolSize);
  EXPECT_EQ(desk.Ask(0)->action, Action::kReport);  // that can be had
  EXPECT_EQ(desk.Ask(1)->action, Action::kReplicas);
  desk.places.erase(Action::kReplicas);
  EXPECT_EQ(desk.Ask(1)->action, Action::kReport);
  EXPECT_EQ(desk.Ask(2)->action, Action::kReport);
  EXPECT_EQ(desk.Ask(3)->action, Action::kRateLimit);
}

TEST(RuleAdvisor, AShareOfALinkThatIsIdleIsNotRaised) {
  struct Case {
    double used;
    bool known;
    double wait_us;  // the target is 20 ms
    Action action;
  };
  for (const Case& c :
       {Case{0.9, true, 5000, Action::kNetworkShare}, Case{0.01, true, 5000, Action::kReplicas},
        Case{0.01, true, 100, Action::kNetworkShare},
        Case{0, false, 5000, Action::kNetworkShare}}) {
    SCOPED_TRACE(absl::StrCat(c.used, " ", c.wait_us));
    Desk desk;
    desk.places[Action::kNetworkShare] = {1e6, 0, 1e9};
    desk.diagnosis.cause = Cause::kNetwork;
    desk.shortage.waiting = 3;
    desk.shortage.wait_us = c.wait_us;
    desk.shortage.used = c.used;
    desk.shortage.used_known = c.known;
    EXPECT_EQ(desk.Ask()->action, c.action);
  }
}

TEST(RuleAdvisor, WhatIsCountedIsNotRaisedWhileItIsInForce) {
  Desk desk;
  const Recommendation replicas = desk.Ask(1).value();
  ASSERT_EQ(replicas.action, Action::kReplicas);
  desk.in_force = &replicas;
  desk.places[Action::kReplicas].value = replicas.to;
  EXPECT_FALSE(desk.Ask(1));
}

TEST(RuleAdvisor, AbstainsWhereNothingIsKnown) {
  Desk desk;
  desk.diagnosis.cause = Cause::kUndecided;
  EXPECT_FALSE(desk.Ask());
  desk.diagnosis.cause = Cause::kCpu;
  desk.diagnosis.confidence = 0.1f;
  EXPECT_FALSE(desk.Ask());
  desk.diagnosis.confidence = 0.9f;
  ASSERT_TRUE(desk.shop.topology.RemoveService(desk.shop.cart).ok());
  EXPECT_FALSE(desk.Ask());
}

TEST(RuleAdvisor, LoadActsWhereTheRequestsComeIn) {
  Desk desk;
  desk.diagnosis = Diagnosis();
  desk.diagnosis.cause = Cause::kLoad;
  desk.diagnosis.confidence = 0.9f;
  EXPECT_EQ(desk.Ask()->target.service, "front");
}

TEST(RuleAdvisor, BudgetBoundsWhatIsInForceAtATime) {
  Desk desk("cpu cpu-limit factor=2 hold=30s\ntenant shop cpu-limit=3\n");
  std::optional<Recommendation> first = desk.Ask();
  ASSERT_TRUE(first);
  EXPECT_EQ(first->to, 4);
  first->id = 1;
  desk.advisor->Issued(*first);
  EXPECT_EQ(desk.advisor->InForce("shop", Action::kCpuLimit), 2);
  std::optional<Recommendation> second = desk.Ask();
  EXPECT_EQ(second->to, 3);  // one core is left
  second->id = 2;
  desk.advisor->Issued(*second);
  EXPECT_FALSE(desk.Ask());
  ActionTaken taken;
  taken.recommendation_id = 1;
  taken.outcome = ActionOutcome::kApplied;
  desk.advisor->Note(taken);
  EXPECT_FALSE(desk.Ask());
  taken.outcome = ActionOutcome::kUndone;
  desk.advisor->Note(taken);
  EXPECT_EQ(desk.Ask()->to, 4);
  // Another tenant has a purse of its own.
  desk.diagnosis.culprit = desk.shop.video;
  EXPECT_EQ(desk.Ask()->to, 4);
}

TEST(RuleAdvisor, PriorityIsTheTenants) {
  Desk desk("cpu cpu-limit factor=2\ntenant films priority=5\n");
  EXPECT_EQ(desk.advisor->Priority(desk.shop.topology, desk.shop.watch), 5u);
  EXPECT_EQ(desk.advisor->Priority(desk.shop.topology, desk.shop.buy), 0u);
  EXPECT_EQ(desk.advisor->Priority(desk.shop.topology, ClassId()), 0u);
}

TEST(RuleAdvisor, OptionsAreChecked) {
  RuleAdvisorOptions options;
  EXPECT_THAT(std::string(RuleAdvisor::Create(options).status().message()), HasSubstr("in_place"));
  options.rules = RuleTable();
  EXPECT_THAT(std::string(RuleAdvisor::Create(options).status().message()), HasSubstr("rules"));
  options.rules = ParseRules("application report").value();
  EXPECT_TRUE(RuleAdvisor::Create(options).ok());
}

}  // namespace
}  // namespace seer
