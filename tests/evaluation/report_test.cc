#include "benchmarks/evaluation/report.h"

#include <cmath>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/json.h"

namespace seer::evaluation {
namespace {

using seer::testing::Json;
using ::testing::HasSubstr;
using ::testing::Not;

Report Sample() {
  Recording recording;
  const absl::Status violations = ReadViolations("v.csv",
                                                 "start_ms,end_ms,class,culprit,cause\n"
                                                 "1000,2000,\"a<b|c\",store,cpu\n",
                                                 &recording);
  EXPECT_TRUE(violations.ok());
  std::string csv = std::string(kForecastColumns) + "\n";
  for (int t = 0; t <= 10'000; t += 100) {
    csv += std::to_string(t) + ",300,a<b|c," + (t == 500 ? "0.8,1" : "0.1,0") + ",store,0.9\n";
  }
  const absl::Status forecasts = ReadForecasts("f.csv", csv, &recording);
  EXPECT_TRUE(forecasts.ok());
  Report report;
  report.title = "Title & <more>";
  report.notes = {"A note with \"quotes\"."};
  ScoreOptions options;
  for (const char* name : {"one", "<two>"}) {
    options.name = name;
    report.scores.push_back(ScoreForecasts(recording, options).value());
  }
  report.comparisons.push_back(Compare(report.scores[0], report.scores[1], options).value());
  return report;
}

TEST(Report, JsonHasEveryMetricAndNoNumberThatIsNone) {
  const auto json = Json::Parse(ToJson(Sample()));
  ASSERT_TRUE(json);
  const Json& one = (*json)["predictors"][0];
  EXPECT_EQ(one["name"].text, "one");
  EXPECT_EQ(one["metrics"]["recall"]["value"].text, "1");
  EXPECT_EQ(one["metrics"]["recall"]["of"].text, "1");
  EXPECT_EQ(one["metrics"]["lead_median_ms"]["value"].text, "500");
  EXPECT_EQ(one["metrics"]["near_misses_per_hour"]["value"].type, Json::Type::kNull);
  EXPECT_EQ(one["violations"][0]["named"].text, "store");
  EXPECT_EQ(one["violations"][0]["class"].text, "a<b|c");
  EXPECT_EQ((*json)["comparisons"][0]["both"].text, "1");
  EXPECT_TRUE(Json::Parse(ToJson(Report())));
}

TEST(Report, TextAndMarkdownShowTheTable) {
  const Report report = Sample();
  EXPECT_THAT(ToText(report), HasSubstr("recall"));
  EXPECT_THAT(ToText(report), HasSubstr("<two>"));
  EXPECT_THAT(ToMarkdown(report), HasSubstr("| figure | one | <two> |\n|---|---|---|\n"));
  EXPECT_THAT(ToMarkdown(report), HasSubstr("a<b\\|c"));
  EXPECT_THAT(ToText(Report()), HasSubstr("Forecasts"));
}

// Every tag is closed by the right one.
void CheckBalanced(const std::string& xml) {
  std::vector<std::string> open;
  for (std::size_t at = xml.find('<'); at != std::string::npos; at = xml.find('<', at + 1)) {
    const std::size_t end = xml.find('>', at);
    ASSERT_NE(end, std::string::npos);
    const std::string tag = xml.substr(at + 1, end - at - 1);
    const std::string name = tag.substr(0, tag.find_first_of(" \n/", 1));
    if (tag[0] == '!' || tag.back() == '/' || name == "meta") continue;
    if (tag[0] != '/') {
      open.push_back(name);
      continue;
    }
    ASSERT_FALSE(open.empty()) << tag;
    EXPECT_EQ("/" + open.back(), tag);
    open.pop_back();
  }
  EXPECT_TRUE(open.empty());
}

TEST(Report, HtmlAndPlotsAreWellFormed) {
  const Report report = Sample();
  const std::string html = ToHtml(report);
  CheckBalanced(html);
  EXPECT_THAT(html, HasSubstr("Title &amp; &lt;more&gt;"));
  EXPECT_THAT(html, HasSubstr("&lt;two&gt;"));
  EXPECT_THAT(html, Not(HasSubstr("<two>")));
  for (const std::string& svg :
       {PrSvg(report.scores), ReliabilitySvg(report.scores[0]), LeadSvg(report.scores[0])}) {
    CheckBalanced(svg);
    EXPECT_THAT(svg, HasSubstr("<svg xmlns="));
    EXPECT_THAT(svg, Not(HasSubstr("nan")));
  }
  CheckBalanced(ToHtml(Report()));
}

TEST(Report, TheSameScoreGivesTheSameBytes) {
  EXPECT_EQ(ToHtml(Sample()), ToHtml(Sample()));
  EXPECT_EQ(ToJson(Sample()), ToJson(Sample()));
}

}  // namespace
}  // namespace seer::evaluation
