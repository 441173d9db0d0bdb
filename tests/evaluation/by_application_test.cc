#include "benchmarks/evaluation/by_application.h"

#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace seer::evaluation {
namespace {

ViolationRow Row(std::int64_t start_ms, std::int64_t end_ms, const std::string& request_class,
                 const std::string& culprit) {
  ViolationRow row;
  row.start_ms = start_ms;
  row.end_ms = end_ms;
  row.request_class = request_class;
  row.culprit = culprit;
  return row;
}

TEST(ByApplication, ViolationsThatMeetAreOne) {
  Recording truth;
  evaluation::Run& run = truth.Of("run");
  run.start_ms = 1;
  run.end_ms = 90'000;
  run.violations = {Row(1000, 2000, "shop/buy", "a"), Row(1500, 4000, "shop/look", "b"),
                    Row(1600, 1700, "bank/pay", "c"), Row(5000, 6000, "shop/buy", "d"),
                    Row(7001, 8000, "shop/buy", "e")};
  const std::uint32_t buy = truth.names.Intern("shop/buy");
  const std::uint32_t look = truth.names.Intern("shop/look");
  run.tails = {{100, buy, 30, 60}, {100, look, 18, 20}, {200, look, 1, 20}};
  const Recording by = ByApplication(truth);
  ASSERT_EQ(by.runs.size(), 1u);
  const std::vector<ViolationRow>& rows = by.runs[0].violations;
  ASSERT_EQ(rows.size(), 3u);
  EXPECT_EQ(rows[0].request_class, "shop");
  EXPECT_EQ(rows[0].culprit, "a");
  EXPECT_EQ(rows[0].start_ms, 1000);
  EXPECT_EQ(rows[0].end_ms, 6000) << "5000 is within a second of 4000";
  EXPECT_EQ(rows[1].request_class, "bank");
  EXPECT_EQ(rows[2].culprit, "e") << "7001 is not within a second of 6000";
  ASSERT_EQ(by.runs[0].tails.size(), 2u);
  EXPECT_DOUBLE_EQ(by.runs[0].tails[0].tail_ms, 0.9);
  EXPECT_DOUBLE_EQ(by.runs[0].tails[0].target_ms, 1);
  EXPECT_EQ(by.names[by.runs[0].tails[0].request_class], "shop");
  EXPECT_EQ(by.runs[0].end_ms, 90'000);
}

TEST(ByApplication, ForecastsAreThoseOfTheClassThatIsWorst) {
  Trace trace({"shop/buy", "bank/pay", "shop/look"}, {"", "load", "cart", "stock"});
  const auto cell = [](float p, bool alarm, std::uint32_t culprit) {
    Trace::Cell c;
    c.p = p;
    c.known = true;
    c.alarm = alarm;
    c.culprit = culprit;
    return c;
  };
  trace.Add(100, {cell(0.2f, true, 2), Trace::Cell(), cell(0.4f, false, 3)});
  trace.Add(200, {cell(0.6f, false, 2), cell(0.1f, false, 1), Trace::Cell()});
  const Trace by = ByApplication(trace);
  ASSERT_EQ(by.classes(), (std::vector<std::string>{"shop", "bank"}));
  ASSERT_EQ(by.ticks(), 2u);
  EXPECT_TRUE(by.at(0, 0).alarm) << "any class's alarm is the application's";
  EXPECT_FLOAT_EQ(by.at(0, 0).p, 0.4f);
  EXPECT_EQ(by.at(0, 0).culprit, 3u);
  EXPECT_FALSE(by.at(0, 1).known);
  EXPECT_FALSE(by.at(1, 0).alarm);
  EXPECT_EQ(by.at(1, 0).culprit, 2u);
  EXPECT_EQ(by.at(1, 1).culprit, 1u);
  EXPECT_EQ(by.time_ms(1), 200);
}

TEST(ByApplication, AClassWithoutApplicationIsOne) {
  EXPECT_EQ(ApplicationOf("shop/buy"), "shop");
  EXPECT_EQ(ApplicationOf("buy"), "buy");
}

}  // namespace
}  // namespace seer::evaluation
