#include "benchmarks/evaluation/evaluation.h"

#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "benchmarks/evaluation/csv.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace seer::evaluation {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

class EvaluationTest : public ::testing::Test {
 protected:
  EvaluationTest() {
    folder_ = ::testing::TempDir() + "/evaluation-" + std::to_string(getpid()) + "-" +
              ::testing::UnitTest::GetInstance()->current_test_info()->name();
    fs::remove_all(folder_);
    fs::create_directories(folder_);
    options_.scenarios = std::string(SEER_SOURCE) + "/benchmarks/evaluation/scenarios/tiny.json";
    options_.graphs = std::string(SEER_SOURCE) + "/benchmarks/cluster/graphs";
    options_.folder = folder_ + "/one";
    // Enough of each sort; the others take as long again.
    options_.only = {"largest-depth", "self-depth-z", "logistic",
                     "trees",         "trees@2",      "trees-joint"};
  }
  ~EvaluationTest() override { fs::remove_all(folder_); }

  static std::string Everything(const Evaluation& e) {
    std::string text = ToJson(e.report) + ToMarkdown(e.report) + ToHtml(e.report);
    for (const EvaluationFigure& figure : e.figures) text += FigureLine(figure) + "\n";
    return text;
  }
  std::string Run() {
    auto done = Evaluate(options_);
    EXPECT_TRUE(done.ok()) << done.status();
    return done.ok() ? Everything(*done) : "";
  }
  // What is kept, and when it was written.
  std::map<std::string, fs::file_time_type> Kept() const {
    std::map<std::string, fs::file_time_type> files;
    for (const auto& entry : fs::recursive_directory_iterator(options_.folder)) {
      const std::string extension = entry.path().extension();
      if (extension == ".seerdata" || extension == ".trace") {
        files[entry.path()] = entry.last_write_time();
      }
    }
    return files;
  }

  std::string folder_;
  EvaluationOptions options_;
};

TEST_F(EvaluationTest, SameScenariosSameBytes) {
  options_.jobs = 1;
  const std::string once = Run();
  options_.folder = folder_ + "/two";
  options_.jobs = 3;
  EXPECT_EQ(Run(), once);
  EXPECT_THAT(once, HasSubstr("rival.self_depth_z.recall"));
  EXPECT_THAT(once, HasSubstr("rival.random.false_alarms_per_hour"));
  EXPECT_THAT(once, HasSubstr("oracle.recall"));
}

TEST_F(EvaluationTest, AModelThatWasTrainedIsNotTrainedAgain) {
  options_.only = {"seer", "seer-missing30"};
  const std::string whole = Run();
  EXPECT_THAT(whole, HasSubstr("predict.missing30_loss"));
  std::vector<fs::path> models;
  for (const auto& entry : fs::recursive_directory_iterator(options_.folder)) {
    if (entry.path().extension() == ".model") models.push_back(entry.path());
  }
  ASSERT_EQ(models.size(), 1u) << "both are the same model";
  const auto written = fs::last_write_time(models[0]);
  // Killed before it had forecast anything.
  for (const auto& [path, time] : Kept()) {
    if (fs::path(path).extension() == ".trace") fs::remove(path);
  }
  EXPECT_EQ(Run(), whole);
  EXPECT_EQ(fs::last_write_time(models[0]), written);
  // Half a model is none.
  fs::resize_file(models[0], fs::file_size(models[0]) / 2);
  for (const auto& [path, time] : Kept()) {
    if (fs::path(path).extension() == ".trace") fs::remove(path);
  }
  EXPECT_EQ(Run(), whole);
}

TEST_F(EvaluationTest, WhatIsThereIsUsedAndWhatIsMissingIsMadeAgain) {
  const std::string whole = Run();
  const auto kept = Kept();
  ASSERT_GT(kept.size(), 10u);
  EXPECT_EQ(Run(), whole);
  EXPECT_EQ(Kept(), kept) << "nothing is made twice";

  // As after a kill: a run without its truth and half a dataset, a forecast that is missing.
  std::string runs, traces;
  for (const auto& [path, time] : kept) {
    if (path.find("/test-301.seerdata") != std::string::npos) runs = fs::path(path).parent_path();
    if (path.find("/self-depth-z/test-302.trace") != std::string::npos) traces = path;
  }
  ASSERT_FALSE(runs.empty());
  ASSERT_FALSE(traces.empty());
  fs::remove(runs + "/test-301.violations.csv");
  ASSERT_TRUE(WriteFile(runs + "/test-301.seerdata.tmp", "half").ok());
  fs::remove(traces);
  EXPECT_EQ(Run(), whole);
  auto now = Kept();
  ASSERT_EQ(now.size(), kept.size());
  int made_anew = 0;
  for (const auto& [path, time] : kept) made_anew += now[path] != time;
  EXPECT_EQ(made_anew, 2) << "the run and the forecast, nothing else";
}

TEST_F(EvaluationTest, KilledAtAnyStageItGoesOn) {
  options_.jobs = 1;
  options_.only = {"self-depth-z", "logistic"};
  int stages = 0;
  options_.say = [&](std::string_view) { ++stages; };
  const std::string whole = Run();
  ASSERT_GE(stages, 5);
  options_.folder = folder_ + "/killed";
  for (int stage = 1; stage <= stages; ++stage) {
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      int left = stage;
      options_.say = [&](std::string_view) {
        if (--left == 0) kill(getpid(), SIGKILL);
      };
      const bool good = Evaluate(options_).ok();
      _exit(good ? 0 : 1);
    }
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    EXPECT_TRUE(WIFSIGNALED(status) || WEXITSTATUS(status) == 0);
  }
  options_.say = nullptr;
  EXPECT_EQ(Run(), whole);
}

TEST_F(EvaluationTest, EachStageIsMadeOnceAndTheNextGoesOn) {
  options_.only = {"seer", "self-depth-z", "trees"};
  const std::string whole = Run();
  options_.folder = folder_ + "/staged";
  const auto count = [&](std::string_view extension) {
    int files = 0;
    for (const auto& entry : fs::recursive_directory_iterator(options_.folder)) {
      files += entry.path().extension() == extension ? 1 : 0;
    }
    return files;
  };
  const std::vector<std::pair<Stage, std::vector<int>>> stages = {
      {Stage::kRuns, {5, 0, 0}}, {Stage::kModels, {5, 1, 0}}, {Stage::kForecasts, {5, 1, 11}}};
  for (const auto& [stage, files] : stages) {
    SCOPED_TRACE(kStageNames[static_cast<std::size_t>(stage)]);
    options_.until = stage;
    const auto done = Evaluate(options_);
    ASSERT_TRUE(done.ok()) << done.status();
    EXPECT_TRUE(done->figures.empty());
    EXPECT_EQ(count(".seerdata"), files[0]);
    EXPECT_EQ(count(".model"), files[1]);
    EXPECT_EQ(count(".trace"), files[2]) << "of three runs; and random, of the two test runs";
  }
  options_.until = Stage::kScores;
  const auto kept = Kept();
  EXPECT_EQ(Run(), whole);
  EXPECT_EQ(Kept(), kept);
}

TEST_F(EvaluationTest, RunsOutliveWhateverIsMadeOfThem) {
  options_.only = {"seer", "self-depth-z"};
  const std::string whole = Run();
  const auto before = Kept();
  const auto made_anew = [&](std::string_view part) {
    int files = 0;
    for (const auto& [path, time] : Kept()) {
      files += before.count(path) == 0 && path.find(part) != std::string::npos ? 1 : 0;
    }
    return files;
  };
  options_.version = "another predictor";
  EXPECT_EQ(Run(), whole);
  EXPECT_EQ(made_anew(".seerdata"), 0);
  EXPECT_EQ(made_anew("/rivals-"), 0);
  EXPECT_EQ(made_anew("/forecasts-"), 5) << "of seer three, of random two";
  options_.rivals_version = "other rivals";
  EXPECT_EQ(Run(), whole);
  EXPECT_EQ(made_anew(".seerdata"), 0);
  EXPECT_EQ(made_anew("/rivals-"), 3);

  // Wherever they were made.
  fs::path runs;
  for (const auto& [path, time] : before) {
    if (fs::path(path).extension() == ".seerdata") runs = fs::path(path).parent_path();
  }
  fs::rename(runs, folder_ + "/kept");
  options_.runs = folder_ + "/kept";
  EXPECT_EQ(Run(), whole);
  EXPECT_FALSE(fs::exists(runs));
  // But not those of another set.
  std::string json = ReadFile(options_.scenarios).value();
  const std::string from = "\"first_seed\": 301";
  json.replace(json.find(from), from.size(), "\"first_seed\": 311");
  options_.scenarios = folder_ + "/other.json";
  ASSERT_TRUE(WriteFile(options_.scenarios, json).ok());
  const auto other = Evaluate(options_);
  EXPECT_EQ(other.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(other.status().message()), HasSubstr("of another scenario set"));
}

TEST_F(EvaluationTest, VariantsAndFurtherSeedsMayBeAskedAboutFewerRuns) {
  options_.only = {"seer", "seer-missing30", "trees", "trees@2", "self-depth-z"};
  const auto whole = Evaluate(options_);
  ASSERT_TRUE(whole.ok()) << whole.status();
  std::string json = ReadFile(options_.scenarios).value();
  const std::string from = "\"depth\": 3";
  json.replace(json.find(from), from.size(), from + ", \"variant_runs\": 1");
  options_.scenarios = folder_ + "/fewer.json";
  ASSERT_TRUE(WriteFile(options_.scenarios, json).ok());
  const auto fewer = Evaluate(options_);
  ASSERT_TRUE(fewer.ok()) << fewer.status();
  EXPECT_EQ(fewer->runs_folder, whole->runs_folder);
  std::map<std::string, int> traces;  // of the test runs, of both
  for (const auto& [path, time] : Kept()) {
    const fs::path file = path;
    if (file.filename().string().rfind("test-", 0) == 0 && file.extension() == ".trace") {
      ++traces[file.parent_path().filename()];
    }
  }
  const std::map<std::string, int> expected = {{"seer", 4},         {"seer-missing30", 3},
                                               {"trees", 4},        {"trees@2", 3},
                                               {"self-depth-z", 4}, {"random", 4}};
  EXPECT_EQ(traces, expected);
  // Of whoever was asked about all of them nothing is different.
  const auto of_all = [](const Evaluation& evaluation) {
    std::string lines;
    for (const EvaluationFigure& figure : evaluation.figures) {
      if (figure.id != "predict.missing30_loss") lines += FigureLine(figure) + "\n";
    }
    return lines;
  };
  EXPECT_EQ(of_all(*fewer), of_all(*whole));
  EXPECT_THAT(ToMarkdown(fewer->report), HasSubstr("about the first 1 test runs"));
  EXPECT_THAT(ToMarkdown(whole->report), ::testing::Not(HasSubstr("about the first")));
  ASSERT_EQ(fewer->report.comparisons.size(), whole->report.comparisons.size());
  for (const Comparison& c : fewer->report.comparisons) {
    const std::size_t all = fewer->report.scores[0].violations.size();
    const bool limited = c.second == "seer-missing30" || c.second == "trees@2";
    EXPECT_EQ(c.both + c.only_first + c.only_second + c.neither == all, !limited) << c.second;
  }
}

// Features are computed once for all who look at them.
TEST_F(EvaluationTest, WhoIsAskedBesideChangesNoForecast) {
  options_.only = {"trees"};
  Run();
  const auto read = [&] {
    std::map<std::string, std::string> traces;  // of the trees
    for (const auto& [path, time] : Kept()) {
      if (path.find("/trees/") != std::string::npos) {
        traces[fs::path(path).filename()] = ReadFile(path).value();
      }
    }
    return traces;
  };
  const auto alone = read();
  EXPECT_EQ(alone.size(), 3u);
  options_.folder = folder_ + "/beside";
  options_.only = {"logistic", "trees", "trees@2", "trees-joint"};
  Run();
  EXPECT_EQ(read(), alone);
}

TEST_F(EvaluationTest, ASeedInTwoSetsIsRefusedBeforeAnythingIsSimulated) {
  std::string json = ReadFile(options_.scenarios).value();
  const std::string from = "\"first_seed\": 301";
  json.replace(json.find(from), from.size(), "\"first_seed\": 102");
  options_.scenarios = folder_ + "/overlapping.json";
  ASSERT_TRUE(WriteFile(options_.scenarios, json).ok());
  const auto done = Evaluate(options_);
  EXPECT_EQ(done.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(done.status().message()), HasSubstr("seed '102'"));
  EXPECT_TRUE(Kept().empty());
}

TEST_F(EvaluationTest, AnybodysForecastsAreJudgedBesideTheOthers) {
  options_.only = {"self-depth-z"};
  const auto first = Evaluate(options_);
  ASSERT_TRUE(first.ok()) << first.status();
  // Somebody who knows it all.
  Recording truth;
  const std::string path = first->runs_folder + "/violations.csv";
  ASSERT_TRUE(ReadViolations(path, ReadFile(path).value(), &truth).ok());
  std::string csv = "run," + std::string(kForecastColumns) + "\n";
  std::size_t violations = 0;
  std::map<std::string, std::string> lines;  // one each
  for (const seer::evaluation::Run& run : truth.runs) {
    for (const ViolationRow& v : run.violations) {
      ++violations;
      lines[run.name + std::to_string(v.start_ms) + v.request_class] =
          run.name + "," + std::to_string(v.start_ms - 500) + ",300," + v.request_class +
          ",0.9,1," + v.culprit + ",1\n";
    }
  }
  ASSERT_GT(violations, 0u);
  for (const auto& [key, line] : lines) csv += line;
  ASSERT_TRUE(WriteFile(folder_ + "/seer.csv", csv).ok());
  options_.forecasts = {{"know-all", folder_ + "/seer.csv"}};
  const auto second = Evaluate(options_);
  ASSERT_TRUE(second.ok()) << second.status();
  double recall = -1, top1 = -1;
  for (const EvaluationFigure& figure : second->figures) {
    if (figure.id == "rival.know_all.recall") recall = figure.metric.value;
    if (figure.id == "rival.know_all.culprit_top1") top1 = figure.metric.value;
  }
  EXPECT_EQ(recall, 1);
  EXPECT_EQ(top1, 1);

  ASSERT_TRUE(WriteFile(folder_ + "/other.csv", "run," + std::string(kForecastColumns) +
                                                    "\nnone,1000,300,hotel/reserve,0.5,0,,0\n")
                  .ok());
  options_.forecasts = {{"other", folder_ + "/other.csv"}};
  EXPECT_THAT(std::string(Evaluate(options_).status().message()),
              HasSubstr("there is no test run 'none'"));
}

TEST_F(EvaluationTest, EachApplicationAsOneHasFewerViolationsAndTheSameRuns) {
  options_.only = {"self-depth-z"};
  const auto classes = Evaluate(options_);
  ASSERT_TRUE(classes.ok()) << classes.status();
  options_.per_application = true;
  const auto applications = Evaluate(options_);
  ASSERT_TRUE(applications.ok()) << applications.status();
  EXPECT_EQ(applications->runs_folder, classes->runs_folder);
  EXPECT_LT(applications->report.scores[0].violations.size(),
            classes->report.scores[0].violations.size());
  for (const ScoredViolation& v : applications->report.scores[0].violations) {
    EXPECT_EQ(v.row.request_class, "hotel");
  }
}

}  // namespace
}  // namespace seer::evaluation
