#include "seer/advise/rules.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

namespace seer {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

TEST(Rules, DefaultCoversEveryCauseButUndecided) {
  const RuleTable& table = DefaultRules();
  for (std::size_t i = 0; i < kCauses; ++i) {
    const auto cause = static_cast<Cause>(i);
    const bool covered = std::any_of(table.rules.begin(), table.rules.end(),
                                     [&](const AdviceRule& r) { return r.cause == cause; });
    EXPECT_EQ(covered, cause != Cause::kUndecided) << CauseName(cause);
  }
  // An application's own trouble is told to its developers first, requests are refused last.
  const auto of_application = [&](std::uint32_t after) {
    for (const AdviceRule& rule : table.rules) {
      if (rule.cause == Cause::kApplication && rule.after == after) return rule.action;
    }
    return Action::kCpuLimit;
  };
  EXPECT_EQ(of_application(0), Action::kReport);
  EXPECT_EQ(of_application(1), Action::kPoolSize);
  EXPECT_EQ(of_application(2), Action::kReplicas);
  EXPECT_EQ(of_application(3), Action::kRateLimit);
}

TEST(Rules, ReadsARuleWithAllItHas) {
  const absl::StatusOr<RuleTable> table = ParseRules(
      "# comment\n\n\tcpu cpu-limit factor=1.5 min-confidence=0.25 after=3 settle=250ms hold=1.5m "
      "cooldown=2s  # more\r\nload replicas add=2 min-use=0.3\n");
  ASSERT_TRUE(table.ok()) << table.status();
  ASSERT_EQ(table->rules.size(), 2u);
  const AdviceRule& rule = table->rules[0];
  EXPECT_EQ(rule.cause, Cause::kCpu);
  EXPECT_EQ(rule.action, Action::kCpuLimit);
  EXPECT_EQ(rule.factor, 1.5);
  EXPECT_EQ(rule.min_confidence, 0.25);
  EXPECT_EQ(rule.after, 3u);
  EXPECT_EQ(rule.settle_ns, 250'000'000);
  EXPECT_EQ(rule.hold_ns, 90'000'000'000);
  EXPECT_EQ(rule.cooldown_ns, 2'000'000'000);
  EXPECT_EQ(rule.min_use, 0);
  EXPECT_EQ(table->rules[1].add, 2);
  EXPECT_EQ(table->rules[1].min_use, 0.3);
}

TEST(Rules, WhatIsDoneMeanwhileIsSaidByAWord) {
  const RuleTable table =
      ParseRules("memory-capacity cpu-limit factor=2 meanwhile hold=10s\ncpu cpu-limit factor=2\n")
          .value();
  EXPECT_TRUE(table.rules[0].meanwhile);
  EXPECT_EQ(table.rules[0].hold_ns, 10'000'000'000);
  EXPECT_FALSE(table.rules[1].meanwhile);
  EXPECT_TRUE(ParseRules(FormatRules(table)).value().rules[0].meanwhile);
}

TEST(Rules, TenantsHavePrioritiesAndBudgets) {
  const RuleTable table = ParseRules(
                              "tenant shop priority=2 cpu-limit=16 memory-limit=64e9\n"
                              "tenant * cpu-limit=4\n")
                              .value();
  EXPECT_EQ(table.Tenant("shop").priority, 2u);
  EXPECT_EQ(table.Tenant("shop").budget[static_cast<std::size_t>(Action::kMemoryLimit)], 64e9);
  EXPECT_FALSE(table.Tenant("shop").budget[static_cast<std::size_t>(Action::kReplicas)]);
  EXPECT_EQ(table.Tenant("other").budget[static_cast<std::size_t>(Action::kCpuLimit)], 4);
  EXPECT_EQ(RuleTable().Tenant("any").priority, 0u);
}

TEST(Rules, ErrorNamesTheLineAndTheFix) {
  struct Case {
    const char* line;
    const char* part;
  };
  for (const Case& c : {Case{"heat cpu-limit factor=2", "'heat' is no cause"},
                        Case{"undecided cpu-limit factor=2", "is no cause"},
                        Case{"cpu", "has no action"},
                        Case{"cpu overclock", "'overclock' is no action"},
                        Case{"cpu cpu-limit", "changes nothing"},
                        Case{"cpu cpu-limit factor=0", "is no factor"},
                        Case{"cpu cpu-limit factor=x", "is no factor"},
                        Case{"cpu cpu-limit factor", "is no factor"},
                        Case{"cpu cpu-limit factor=2 add=1", "both"},
                        Case{"cpu replicas add=0.5", "adds nothing"},
                        Case{"cpu cpu-limit factor=2 settle=1", "is no time"},
                        Case{"cpu cpu-limit factor=2 settle=1h", "is no time"},
                        Case{"cpu cpu-limit factor=2 hold=99999m", "is no time"},
                        Case{"cpu cpu-limit factor=2 settle=5s hold=5s", "ends before"},
                        Case{"cpu cpu-limit factor=2 min-confidence=2", "is no probability"},
                        Case{"network network-share factor=2 min-use=2", "is no share"},
                        Case{"cpu cpu-limit factor=2 after=1.5", "is no count"},
                        Case{"cpu cpu-limit factor=2 colour=red", "is not known"},
                        Case{"cpu replicas add=1 meanwhile", "nothing to do meanwhile"},
                        Case{"cpu report meanwhile", "nothing to do meanwhile"},
                        Case{"cpu cpu-limit factor=2 meanwhile=1", "is not known"},
                        Case{"tenant", "names nobody"},
                        Case{"tenant shop cpu-limit", "is no setting"},
                        Case{"tenant shop cpu-limit=-1", "is no setting"},
                        Case{"tenant shop report=1", "no action with a budget"},
                        Case{"tenant shop priority=1.5", "is no priority"}}) {
    SCOPED_TRACE(c.line);
    const absl::Status status =
        ParseRules(std::string("cpu cpu-limit factor=2\n") + c.line).status();
    EXPECT_TRUE(absl::IsInvalidArgument(status));
    EXPECT_THAT(std::string(status.message()), StartsWith("line 2: "));
    EXPECT_THAT(std::string(status.message()), HasSubstr(c.part));
  }
  EXPECT_FALSE(ParseRules("tenant a\ntenant a").ok());
  EXPECT_FALSE(ParseRules(std::string(20'000, '\n')).ok());
}

TEST(Rules, WrittenAndReadAgainIsTheSame) {
  const std::string text = std::string(DefaultRulesText()) +
                           "cpu cpu-limit factor=1.37 settle=0.5ms hold=123456ms\n"
                           "tenant shop priority=7 io-share=1e6\ntenant * replicas=3\n";
  const std::string once = FormatRules(ParseRules(text).value());
  const absl::StatusOr<RuleTable> again = ParseRules(once);
  ASSERT_TRUE(again.ok()) << again.status() << once;
  EXPECT_EQ(FormatRules(*again), once);
  EXPECT_EQ(again->rules.size(), DefaultRules().rules.size() + 1);
  EXPECT_EQ(again->rules.back().settle_ns, 500'000);
  EXPECT_EQ(again->rules.back().hold_ns, 123'456'000'000);
}

TEST(Rules, RandomTextIsReadOrRefused) {
  std::mt19937 random(1);
  const std::string_view pieces[] = {
      "cpu",  "cpu-limit", "factor=", "1",  "e9",      " ",   "\n",
      "hold", "=",         "tenant",  "#",  "settle=", "ms",  "-",
      "*",    "nan",       "inf",     "\t", "report",  "0.5", " meanwhile "};
  int accepted = 0;
  for (int i = 0; i < 20'000; ++i) {
    std::string text;
    for (auto j = random() % 12; j > 0; --j) text += pieces[random() % std::size(pieces)];
    const absl::StatusOr<RuleTable> table = ParseRules(text);
    if (!table.ok()) continue;
    ++accepted;
    const absl::StatusOr<RuleTable> again = ParseRules(FormatRules(*table));
    ASSERT_TRUE(again.ok()) << text << again.status();
    ASSERT_EQ(FormatRules(*again), FormatRules(*table)) << text;
  }
  EXPECT_GT(accepted, 100);
}

}  // namespace
}  // namespace seer
