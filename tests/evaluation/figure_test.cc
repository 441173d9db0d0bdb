#include "benchmarks/evaluation/figure.h"

#include <cmath>

#include "gtest/gtest.h"
#include "tests/support/json.h"

namespace seer::evaluation {
namespace {

using seer::testing::Json;

TEST(Figure, IsALineOfJson) {
  auto json = Json::Parse(
      FigureLine({"oracle.recall", "/h", {0.5, 0.25, 0.75, 10}, ">= 0.8", "a \"plain\" one"}));
  ASSERT_TRUE(json);
  EXPECT_EQ((*json)["id"].text, "oracle.recall");
  EXPECT_EQ((*json)["value"].text, "0.5");
  EXPECT_EQ((*json)["low"].text, "0.25");
  EXPECT_EQ((*json)["unit"].text, "/h");
  EXPECT_EQ((*json)["of"].text, "10");
  EXPECT_EQ((*json)["goal"].text, ">= 0.8");
  EXPECT_EQ((*json)["peer"].text, "a \"plain\" one");
}

TEST(Figure, WhatIsNotKnownIsNull) {
  const std::string line = FigureLine({"advise.cause_f1", "", {0.8, NAN, NAN, 0}, "", ""});
  ASSERT_TRUE(Json::Parse(line));
  EXPECT_NE(line.find("\"low\": null"), std::string::npos) << line;
}

}  // namespace
}  // namespace seer::evaluation
