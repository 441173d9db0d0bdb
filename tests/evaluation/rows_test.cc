#include "benchmarks/evaluation/rows.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace seer::evaluation {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;

constexpr std::string_view kViolationColumns = "start_ms,end_ms,class,culprit,cause\n";

template <typename Read>
std::string Message(Read read, const std::string& csv) {
  Recording recording;
  return std::string(read("f.csv", csv, &recording).message());
}

TEST(Rows, ViolationsAreReadByRunAndStart) {
  Recording recording;
  ASSERT_TRUE(ReadViolations("f.csv",
                             "run,start_ms,end_ms,class,culprit,cause,trap,onset\n"
                             "b,500,900,buy,store,cpu,1,ramp\n"
                             "a,100,200,buy,load,load,0,step\n"
                             "b,100,400,buy,,,0,step\n"
                             "b,100,900,sell,store,cpu,1,step\n",
                             &recording)
                  .ok());
  ASSERT_EQ(recording.runs.size(), 2u);
  EXPECT_EQ(recording.runs[0].name, "a");
  const auto& rows = recording.runs[1].violations;
  ASSERT_EQ(rows.size(), 3u);
  EXPECT_EQ(rows[0].start_ms, 100);
  EXPECT_EQ(rows[2].start_ms, 500);
  EXPECT_EQ(rows[2].culprit, "store");
  EXPECT_TRUE(rows[2].trap);
  EXPECT_THAT(rows[2].groups, ElementsAre(Pair("onset", "ramp")));
}

TEST(Rows, WrongViolationsAreRefused) {
  const std::string columns(kViolationColumns);
  EXPECT_THAT(Message(ReadViolations, columns + "5,4,c,s,x\n"),
              HasSubstr("line 2, column 3 (end_ms): the violation ends before it starts"));
  EXPECT_THAT(Message(ReadViolations, columns + "0,10,c,s,x\n10,20,c,s,x\n"),
              HasSubstr("line 3, column 1 (start_ms): another violation of the class lasts then"));
  EXPECT_EQ(Message(ReadViolations, columns + "0,10,c,s,x\n10,20,d,s,x\n11,12,c,s,x\n"), "");
  EXPECT_THAT(Message(ReadViolations, "start_ms,end_ms,class,culprit\n"),
              HasSubstr("no column 'cause'"));
  EXPECT_THAT(Message(ReadViolations, columns + "99999999999999999,4,c,s,x\n"),
              HasSubstr("column 1 (start_ms)"));
}

TEST(Rows, ForecastsAreReadAndSorted) {
  Recording recording;
  const std::string csv = std::string(kForecastColumns) +
                          "\n200,300,buy,0.5,1,store,0.75\n"
                          "100,300,buy,0.25,0,,\n";
  ASSERT_TRUE(ReadForecasts("f.csv", csv, &recording).ok());
  const auto& rows = recording.runs.at(0).forecasts;
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_EQ(rows[0].time_ms, 100);
  EXPECT_EQ(recording.names[rows[0].culprit], "");
  EXPECT_TRUE(rows[1].alarm);
  EXPECT_EQ(recording.names[rows[1].culprit], "store");
  EXPECT_EQ(rows[1].p_culprit, 0.75f);
  EXPECT_EQ(ForecastLine(rows[1], recording.names), "200,300,buy,0.5,1,store,0.75");
}

TEST(Rows, WrongForecastsAreRefused) {
  const std::string columns = std::string(kForecastColumns) + "\n";
  EXPECT_THAT(Message(ReadForecasts, columns + "1,300,c,1.5,0,s,0\n"),
              HasSubstr("line 2, column 9 (p_violation): 1.5 is not from 0 to 1"));
  EXPECT_THAT(Message(ReadForecasts, columns + "1,300,c,nan,0,s,0\n"), HasSubstr("p_violation"));
  EXPECT_THAT(Message(ReadForecasts, columns + "1,0,c,0,0,s,0\n"), HasSubstr("horizon_ms"));
  EXPECT_THAT(Message(ReadForecasts, columns + "1,300,c,0,yes,s,0\n"), HasSubstr("alarm"));
  EXPECT_THAT(Message(ReadForecasts, columns + "1,300,c,0,0,s,\n"), HasSubstr("p_culprit"));
  EXPECT_THAT(Message(ReadForecasts, columns + "1,300,c,0,0,s,0\n1,300,c,0,1,s,0\n"),
              HasSubstr("two forecasts at time_ms 1 of class 'c'"));
  EXPECT_EQ(Message(ReadForecasts, columns + "1,300,c,0,0,s,0\n1,500,c,0,1,s,0\n"), "")
      << "of two horizons";
  EXPECT_THAT(Message(ReadForecasts, "p_alarm," + columns + "1,1,300,c,0,0,s,0\n"),
              HasSubstr("'p_alarm' is not known"));
}

TEST(Rows, TailsAndRunsAreRead) {
  Recording recording;
  ASSERT_TRUE(
      ReadTails("f.csv", "time_ms,class,tail_ms,target_ms\n2,c,5,10\n1,c,4,10\n", &recording).ok());
  EXPECT_EQ(recording.runs.at(0).tails.at(0).tail_ms, 4);
  ASSERT_TRUE(
      ReadRuns("f.csv", "run,start_ms,end_ms\nrun,0,3600000\nempty,5,6\n", &recording).ok());
  EXPECT_EQ(recording.runs.size(), 2u);
  EXPECT_EQ(recording.Of("run").end_ms, 3600000);
  EXPECT_THAT(Message(ReadTails, "time_ms,class,tail_ms,target_ms\n1,c,1,0\n"),
              HasSubstr("target_ms"));
  EXPECT_THAT(Message(ReadRuns, "run,start_ms,end_ms\na,5,5\n"), HasSubstr("ends before"));
  EXPECT_THAT(Message(ReadRuns, "run,start_ms,end_ms\na,5,6\na,5,6\n"), HasSubstr("twice"));
}

TEST(Rows, ACopyOfARecordingKeepsItsNames) {
  Recording recording;
  recording.names.Intern("a");
  const Recording copy = recording;
  recording.names.Intern("b");
  EXPECT_EQ(copy.names[0], "a");
}

}  // namespace
}  // namespace seer::evaluation
