#include "benchmarks/evaluation/splits.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace seer::evaluation {
namespace {

using ::testing::HasSubstr;

std::string Message(std::string_view csv) {
  return std::string(CheckSplitsCsv("splits.csv", csv).message());
}

TEST(Splits, SetsThatShareNothingAreFine) {
  EXPECT_EQ(Message("set,run,placement,seed\ntrain,a,p1,1\ntrain,b,p1,2\ntest,c,p2,3\n"), "");
  EXPECT_EQ(Message("set,run,placement,seed\n"), "");
}

TEST(Splits, ARunAPlacementOrASeedInTwoSetsFails) {
  EXPECT_THAT(Message("set,run,placement,seed\ntrain,a,p1,1\ntest,a,p2,2\n"),
              HasSubstr("run 'a' is in 'train' and in 'test'"));
  EXPECT_THAT(Message("set,run,placement,seed\ntrain,a,p1,1\ntest,b,p1,2\n"),
              HasSubstr("placement 'p1' is in 'train' (run 'a') and in 'test' (run 'b')"));
  EXPECT_THAT(Message("set,run,placement,seed\nvalidation,a,p1,7\ntest,b,p2,7\n"),
              HasSubstr("seed '7' is in 'validation'"));
}

TEST(Splits, FurtherColumnsCountToo) {
  EXPECT_THAT(Message("set,run,placement,seed,load_seed\ntrain,a,p1,1,9\ntest,b,p2,2,9\n"),
              HasSubstr("load_seed '9'"));
}

TEST(Splits, WhatIsTheSameInTwoColumnsIsNotTheSame) {
  EXPECT_EQ(Message("set,run,placement,seed\ntrain,a,1,2\ntest,b,2,1\n"), "");
}

TEST(Splits, ARunTwiceInOneSetFailsAndSoDoesWhatIsNotKnown) {
  EXPECT_THAT(Message("set,run,placement,seed\ntrain,a,p1,1\ntrain,a,p1,1\n"),
              HasSubstr("run 'a'"));
  EXPECT_THAT(Message("set,run,placement,seed\ntrain,a,,1\n"), HasSubstr("placement is not known"));
  EXPECT_THAT(Message("set,run,placement,seed\n,a,p,1\n"), HasSubstr("a name is empty"));
  EXPECT_THAT(Message("set,run,seed\ntrain,a,1\n"), HasSubstr("no column 'placement'"));
}

TEST(Splits, EveryRowNeedsTheSameTraits) {
  const std::vector<SplitRow> rows = {{"train", "a", {{"seed", "1"}, {"placement", "p"}}},
                                      {"test", "b", {{"seed", "2"}}}};
  EXPECT_THAT(std::string(CheckSplits(rows).message()), HasSubstr("run 'b': its traits"));
}

}  // namespace
}  // namespace seer::evaluation
