#include "benchmarks/evaluation/recordings.h"

#include <unistd.h>

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "seer/predict/tree_trainer.h"
#include "tests/evaluation/faulty_run.h"

namespace seer::evaluation {
namespace {

using ::testing::HasSubstr;

LabelledRun Labelled(unsigned seed) {
  std::vector<ViolationRow> rows;
  const RecordedRun recorded = FaultyRun(seed, &rows);
  LabelledRun run;
  run.topology = recorded.topology;
  for (const ViolationRow& row : rows) {
    Violation violation;
    violation.start_ns = row.start_ms * 1'000'000;
    violation.end_ns = row.end_ms * 1'000'000;
    violation.request_class = ClassId(0);
    violation.initiation = Initiation::kService;
    violation.culprit = run.topology.FindService(row.culprit).value();
    run.violations.push_back(violation);
  }
  run.for_each_tick = [ticks = recorded.ticks](const auto& handle) {
    for (const ClusterTick& tick : ticks) {
      if (absl::Status status = handle(tick); !status.ok()) return status;
    }
    return absl::OkStatus();
  };
  return run;
}

TEST(Recordings, ThePiecesInTheTreeAreJudgedByTheModelAndByTheRivals) {
  TreeTrainingOptions options;
  options.violations.rounds = options.initiators.rounds = 20;
  options.alarm.false_alarms_per_hour = 10;
  const auto model = TrainTrees({Labelled(1), Labelled(2)}, {Labelled(3)}, options);
  ASSERT_TRUE(model.ok()) << model.status();
  const std::string scratch = ::testing::TempDir() + "/recordings-" + std::to_string(getpid());
  const auto judged =
      JudgeRecordings(std::string(SEER_SOURCE) + "/tests/testdata/buzzblog", scratch, *model);
  std::filesystem::remove_all(scratch);
  ASSERT_TRUE(judged.ok()) << judged.status();
  ASSERT_EQ(judged->size(), 2u);
  const HeardRecording& surge = judged->front();
  EXPECT_EQ(surge.name, "bb_sat_a");
  EXPECT_EQ(surge.violations, 1u);
  EXPECT_EQ(surge.surges, 1u);
  EXPECT_NEAR(surge.minutes, 0.4, 0.05);
  EXPECT_EQ(surge.predictors.front().name, "seer");
  EXPECT_EQ((*judged)[1].surges, 0u);
  EXPECT_EQ((*judged)[1].violations, 2u);
  for (const HeardPredictor& p : surge.predictors) {
    EXPECT_LE(p.hits, p.foreseen) << p.name;
    EXPECT_LE(p.foreseen, p.alarms) << p.name;
    EXPECT_EQ(p.leads_ms.size(), p.foreseen) << p.name;
    for (const std::int64_t lead : p.leads_ms) EXPECT_GE(lead, 500) << p.name;
  }
  std::map<std::string, double> figures;
  for (const PredictFigure& f : RecordingFigures(*judged)) figures[f.id] = f.metric.value;
  EXPECT_EQ(figures.count("predict.buzzblog_hits"), 1u);
  EXPECT_EQ(figures.count("predict.buzzblog_outside_alarms"), 1u);
  Report report;
  report.sections = {RecordingsSection(*judged)};
  EXPECT_THAT(ToMarkdown(report), HasSubstr("| bb_sat_a (0.4"));
}

TEST(Recordings, AFolderWithoutAnyHasNone) {
  const std::string folder = ::testing::TempDir() + "/recordings-none-" + std::to_string(getpid());
  std::filesystem::create_directories(folder);
  const auto judged = JudgeRecordings(folder, folder + "/scratch", TreeModel());
  std::filesystem::remove_all(folder);
  ASSERT_TRUE(judged.ok());
  EXPECT_TRUE(judged->empty());
  EXPECT_TRUE(RecordingFigures(*judged).empty());
}

}  // namespace
}  // namespace seer::evaluation
