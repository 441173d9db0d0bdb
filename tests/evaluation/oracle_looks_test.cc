#include "benchmarks/evaluation/oracle_looks.h"

#include <unistd.h>

#include <filesystem>
#include <string>
#include <vector>

#include "benchmarks/evaluation/csv.h"
#include "benchmarks/evaluation/simulate.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace seer::evaluation {
namespace {

using ::testing::ElementsAre;

ViolationRow ViolationAt(std::int64_t start_ms, const std::string& cause) {
  ViolationRow v;
  v.start_ms = start_ms;
  v.end_ms = start_ms + 1000;
  v.request_class = "shop/buy";
  v.cause = cause;
  v.groups = {{"kind", "incast"}, {"onset", "ramp"}};
  return v;
}

OracleRow LookAt(std::int64_t start_ms, std::int64_t lead_ms, std::vector<std::int64_t> after_ms) {
  OracleRow row;
  row.request_class = "shop/buy";
  row.start_ms = start_ms;
  row.time_ms = start_ms - lead_ms;
  row.futures = 2;
  row.after_ms = std::move(after_ms);
  return row;
}

TEST(OracleLooks, AreJoinedWithTheViolationsOfTheirRun) {
  const std::string folder = ::testing::TempDir() + "/oracle-looks-" + std::to_string(::getpid());
  std::filesystem::create_directories(folder);
  Recording truth;
  truth.Of("test-1").violations = {ViolationAt(10'000, "cpu"), ViolationAt(30'000, "network"),
                                   ViolationAt(60'000, "cpu")};
  truth.Of("test-2").violations = {ViolationAt(10'000, "cache")};
  OracleRow quiet;
  quiet.quiet = true;
  quiet.time_ms = 5000;
  quiet.futures = 2;
  // Of the first both futures violate in time, of the second one too late, the third is not asked;
  // and one is of a violation that nobody knows.
  const std::vector<OracleRow> first = {LookAt(10'000, 300, {300, 400}), LookAt(10'000, 50, {50}),
                                        LookAt(30'000, 100, {2100}), LookAt(40'000, 100, {100}),
                                        quiet};
  // Too late a look is none.
  const std::vector<OracleRow> second = {LookAt(10'000, 50, {50, 50})};
  ASSERT_TRUE(WriteFile(RunFiles(folder, "test-1").oracle, OracleCsv("test-1", first)).ok());
  ASSERT_TRUE(WriteFile(RunFiles(folder, "test-2").oracle, OracleCsv("test-2", second)).ok());

  const auto looks = ReadLooks(folder, {"test-1", "test-2"}, 2000, &truth);
  ASSERT_TRUE(looks.ok()) << looks.status();
  std::vector<std::string> said;
  for (const OracleLook& look : *looks) said.push_back(look.run + " " + look.cause + look.onset);
  EXPECT_THAT(said, ElementsAre("test-1 cpuramp", "test-1 cpuramp", "test-1 networkramp", "test-1 ",
                                "test-2 cacheramp"));
  std::vector<std::string> foreseeable;
  for (const seer::evaluation::Run& run : truth.runs) {
    for (const ViolationRow& v : run.violations) {
      ASSERT_EQ(v.groups.size(), 3u);
      EXPECT_EQ(v.groups[2].first, "foreseeable");
      foreseeable.push_back(v.groups[2].second);
    }
  }
  EXPECT_THAT(foreseeable, ElementsAre("yes", "no", "not asked", "no"));
  EXPECT_FALSE(ReadLooks(folder, {"test-3"}, 2000, &truth).ok());
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace seer::evaluation
