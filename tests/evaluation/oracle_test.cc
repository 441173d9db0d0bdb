#include "benchmarks/evaluation/oracle.h"

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "benchmarks/cluster/sim/scenario.h"
#include "gtest/gtest.h"

namespace seer::evaluation {
namespace {

constexpr std::int64_t kMs = 1'000'000;
constexpr std::int64_t kSecond = 1000 * kMs;

std::int64_t StartMs() { return cluster::SimulatorOptions().start_ns / kMs; }

std::shared_ptr<const cluster::Model> Hotel() {
  auto app =
      cluster::LoadApplication(std::string(SEER_SOURCE) + "/benchmarks/cluster/graphs/hotel.json");
  EXPECT_TRUE(app.ok()) << app.status();
  auto model = cluster::BuildModel({*app}, cluster::UniformCluster(4), {});
  EXPECT_TRUE(model.ok()) << model.status();
  return *model;
}

// The rows of a run of 20 s at 500 requests a second, and its violations.
std::vector<OracleRow> Ask(const std::vector<cluster::Fault>& faults, const OracleOptions& options,
                           std::vector<cluster::TruthRow>* truth = nullptr) {
  const auto model = Hotel();
  Oracle oracle(model, options, 7);
  cluster::ScenarioOptions scenario;
  scenario.seconds = 20;
  scenario.simulator.loads = {{500, 0, 3600, 0}};
  scenario.simulator.faults = faults;
  scenario.control = [&](cluster::Simulator* simulator) { oracle.Look(*simulator); };
  const auto rows =
      cluster::RunScenario(model, scenario, [&](const ClusterTick& tick) { oracle.Observe(tick); });
  if (truth != nullptr) *truth = rows;
  return oracle.TakeRows();
}

// One request at a time, and slowly: queues grow until everybody is late.
cluster::Fault Convoy(std::int64_t ramp_ns) {
  cluster::Fault fault;
  fault.kind = cluster::FaultKind::kLockConvoy;
  fault.service = Hotel()->FindService("hotel/frontend");
  EXPECT_NE(fault.service, cluster::kNone);
  fault.magnitude = 60;
  fault.start_ns = 10 * kSecond;
  fault.end_ns = 14 * kSecond;
  fault.ramp_ns = ramp_ns;
  return fault;
}

OracleOptions Options() {
  OracleOptions options;
  options.futures = 8;
  options.violations = 3;
  options.quiet_ticks = 0;
  options.leads_ms = {100, 300, 1000, 2000};
  options.horizon_ms = 2000;
  return options;
}

TEST(Oracle, ForeseesWhatHasBegunAndNothingElse) {
  const cluster::Fault fault = Convoy(0);
  std::vector<cluster::TruthRow> truth;
  const std::vector<OracleRow> rows = Ask({fault}, Options(), &truth);
  ASSERT_FALSE(truth.empty());
  ASSERT_FALSE(rows.empty());
  const std::int64_t fault_ms = StartMs() + fault.start_ns / kMs;
  int before = 0, shortly = 0;
  for (const OracleRow& row : rows) {
    EXPECT_FALSE(row.quiet);
    EXPECT_EQ(row.futures, 8u);
    EXPECT_LE(row.after_ms.size(), 8u);
    EXPECT_TRUE(std::is_sorted(row.after_ms.begin(), row.after_ms.end()));
    EXPECT_TRUE(std::any_of(truth.begin(), truth.end(), [&](const cluster::TruthRow& t) {
      return t.violation.start_ns / kMs == row.start_ms;
    }));
    if (row.time_ms <= fault_ms) {
      EXPECT_FALSE(row.Alarms(2000)) << "nothing tells of a fault that has not begun";
      ++before;
    } else if (row.start_ms - row.time_ms == 100) {
      EXPECT_TRUE(row.Alarms(2000)) << "100 ms before, with the fault in full swing";
      ++shortly;
    }
  }
  EXPECT_GT(before, 0);
  EXPECT_GT(shortly, 0);
}

TEST(Oracle, TheSameRunGivesTheSameRows) {
  const std::string once = OracleCsv("run", Ask({Convoy(kSecond)}, Options()));
  EXPECT_EQ(once, OracleCsv("run", Ask({Convoy(kSecond)}, Options())));
  EXPECT_GT(once.size(), 100u);
}

TEST(Oracle, QuietTicksStayQuietAndAreAsManyAsAskedFor) {
  OracleOptions options = Options();
  options.violations = 0;
  options.quiet_ticks = 5;
  options.ticks = 200;
  const std::vector<OracleRow> rows = Ask({Convoy(0)}, options);
  EXPECT_GE(rows.size(), 2u);
  EXPECT_LE(rows.size(), 5u);
  const std::int64_t fault_ms = StartMs() + 10'000;
  for (const OracleRow& row : rows) {
    EXPECT_TRUE(row.quiet);
    EXPECT_FALSE(row.Alarms(2000));
    // Nothing violates in them or within the horizon behind.
    EXPECT_TRUE(row.time_ms < fault_ms || row.time_ms > fault_ms + 4000) << row.time_ms - fault_ms;
  }
}

TEST(Oracle, HalfOfTheFuturesAreEnough) {
  OracleRow row;
  row.futures = 4;
  row.after_ms = {300, 900};
  EXPECT_TRUE(row.Alarms(1000));
  EXPECT_TRUE(row.Alarms(900));
  EXPECT_FALSE(row.Alarms(800));
  row.futures = 5;
  EXPECT_FALSE(row.Alarms(1000));
  EXPECT_FALSE(OracleRow().Alarms(1000));
}

TEST(Oracle, RowsGoThroughAFile) {
  OracleRow violation;
  violation.request_class = "shop/\"buy\", fast";
  violation.time_ms = 1000;
  violation.start_ms = 1300;
  violation.futures = 32;
  violation.after_ms = {100, 100, 300};
  OracleRow quiet;
  quiet.quiet = true;
  quiet.time_ms = 5000;
  quiet.futures = 32;
  const std::string csv = OracleCsv("a,b", {violation, quiet});
  const auto rows = ReadOracleCsv("o.csv", csv);
  ASSERT_TRUE(rows.ok()) << rows.status();
  ASSERT_EQ(rows->size(), 2u);
  EXPECT_EQ(OracleCsv("a,b", *rows), csv);
  EXPECT_EQ((*rows)[0].after_ms, violation.after_ms);
  EXPECT_TRUE((*rows)[1].quiet);
  for (const char* wrong : {"x", "kind,class,time_ms,start_ms,futures,after_ms\nquiet,,x,0,1,\n",
                            "kind,class,time_ms,start_ms,futures,after_ms\nquiet,,1,0,1,1 y\n",
                            "kind,class,time_ms,start_ms,futures,after_ms\nquiet,,1,0,0,\n"}) {
    EXPECT_FALSE(ReadOracleCsv("o.csv", wrong).ok()) << wrong;
  }
}

}  // namespace
}  // namespace seer::evaluation
