#include "benchmarks/evaluation/trained.h"

#include <cmath>
#include <cstdio>
#include <random>
#include <string>
#include <vector>

#include "benchmarks/evaluation/score.h"
#include "benchmarks/evaluation/trees.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/evaluation/faulty_run.h"

namespace seer::evaluation {
namespace {

using ::testing::HasSubstr;

TEST(Logistic, FindsTheWeightsThatMadeTheData) {
  std::mt19937 random(4);
  std::normal_distribution<float> normal;
  LabelledRows data;
  data.columns = 3;
  for (int i = 0; i < 20000; ++i) {
    const float x = normal(random), y = 10 * normal(random) + 3;
    const double p = 1 / (1 + std::exp(-(1.5 * x - 0.2 * y + 0.5)));
    data.values.insert(data.values.end(), {x, y, 7});
    data.labels.push_back(static_cast<double>(random() % 100000) < p * 100000 ? 1 : 0);
  }
  const LogisticRegression model = LogisticRegression::Fit(data).value();
  EXPECT_NEAR(model.weights()[0], 1.5, 0.1);
  EXPECT_NEAR(model.weights()[1], -0.2, 0.02);
  EXPECT_EQ(model.weights()[2], 0) << "a column that never varies";
  EXPECT_NEAR(model.bias(), 0.5, 0.1);
}

TEST(Logistic, DataThatCanBeSeparatedStaysFinite) {
  LabelledRows data;
  data.columns = 1;
  data.values = {-2, -1, 1, 2};
  data.labels = {0, 0, 1, 1};
  const LogisticRegression model = LogisticRegression::Fit(data).value();
  EXPECT_GT(model.Probability({2.0f}), 0.6);
  EXPECT_LT(model.Probability({-2.0f}), 0.4);
  EXPECT_TRUE(std::isfinite(model.weights()[0]));
}

TEST(Logistic, AWeightIsARowThatOften) {
  LabelledRows weighted, repeated;
  weighted.columns = repeated.columns = 1;
  weighted.values = {0, 1, 2, 3};
  weighted.labels = {0, 1, 0, 1};
  for (int i = 0; i < 4; ++i) {
    repeated.values.insert(repeated.values.end(), 3, static_cast<float>(i));
    repeated.labels.insert(repeated.labels.end(), 3, i % 2 == 0 ? 0.0f : 1.0f);
  }
  weighted.weights.assign(4, 3);
  const double a = LogisticRegression::Fit(weighted).value().Probability({1.0f});
  EXPECT_NEAR(a, LogisticRegression::Fit(repeated).value().Probability({1.0f}), 1e-6);
}

TEST(Logistic, WrongRowsAreRefused) {
  LabelledRows data;
  EXPECT_FALSE(LogisticRegression::Fit(data).ok());
  data.columns = 1;
  data.values = {1, 2};
  data.labels = {0, 0};
  EXPECT_THAT(std::string(LogisticRegression::Fit(data).status().message()),
              HasSubstr("all are the same"));
  data.labels = {0, 1};
  EXPECT_TRUE(LogisticRegression::Fit(data).ok());
  EXPECT_FALSE(LogisticRegression::Fit(data, 0).ok());
  data.values[0] = NAN;
  EXPECT_FALSE(LogisticRegression::Fit(data).ok());
  data.values = {1};
  EXPECT_FALSE(LogisticRegression::Fit(data).ok());
}

TEST(Trees, AreReadFromTheirDump) {
  const std::string_view dumps[] = {
      "0:[f1<0.5] yes=1,no=2,missing=1\n\t1:leaf=-1\n\t2:[f0<2] "
      "yes=3,no=4,missing=3\n\t\t3:leaf=0.5"
      "\n\t\t4:leaf=1e-1\n",
      "0:leaf=0.25\n"};
  const Trees trees = Trees::Parse(dumps).value();
  EXPECT_EQ(trees.size(), 2u);
  const auto logit = [&](float a, float b) {
    const double p = trees.Probability({a, b});
    return std::log(p / (1 - p));
  };
  EXPECT_NEAR(logit(0, 0.4f), -0.75, 1e-6);
  EXPECT_NEAR(logit(0, 0.5f), 0.75, 1e-6);
  EXPECT_NEAR(logit(2, 1), 0.35, 1e-6);
}

// A walk from node to node, as the dump says it; leaves are added up as floats, in order.
float PlainScore(const std::vector<std::string>& dumps, const std::vector<float>& row) {
  float sum = 0;
  for (const std::string& dump : dumps) {
    int id = 0;
    while (true) {
      const std::string mark = "\n" + std::to_string(id) + ":";
      const std::string node = dump.substr(("\n" + dump).find(mark) + mark.size() - 1);
      int feature = 0, yes = 0, no = 0;
      float value = 0;
      if (std::sscanf(node.c_str(), "leaf=%f", &value) == 1) {
        sum += value;
        break;
      }
      EXPECT_EQ(std::sscanf(node.c_str(), "[f%d<%f] yes=%d,no=%d", &feature, &value, &yes, &no), 4);
      id = row[static_cast<std::size_t>(feature)] < value ? yes : no;
    }
  }
  return sum;
}

TEST(Trees, SayToTheLastBitWhatAPlainWalkThroughTheirDumpsSays) {
  std::mt19937 random(8);
  const auto below = [&](int n) { return static_cast<int>(random() % static_cast<unsigned>(n)); };
  constexpr std::size_t kColumns = 5;
  std::vector<std::string> dumps;
  for (int t = 0; t < 40; ++t) {
    // Nodes split at random; children are numbered as XGBoost does, by levels.
    std::string dump;
    int next = 1;
    for (int id = 0; id < next; ++id) {
      char line[96];
      if (next < 40 && below(4) > 0) {
        std::snprintf(line, sizeof line, "%d:[f%d<%.9g] yes=%d,no=%d,missing=%d\n", id,
                      below(kColumns), 0.1 * below(40), next, next + 1, next);
        next += 2;
      } else {
        std::snprintf(line, sizeof line, "%d:leaf=%.9g\n", id, 0.001 * (below(2000) - 1000));
      }
      dump += line;
    }
    dumps.push_back(dump);
  }
  const std::vector<std::string_view> views(dumps.begin(), dumps.end());
  const Trees trees = Trees::Parse(views, kColumns).value();
  std::vector<float> rows;
  std::vector<double> p(101);
  for (std::size_t i = 0; i < p.size() * kColumns; ++i) {
    rows.push_back(0.1f * static_cast<float>(below(40)));
  }
  trees.Probabilities(rows, absl::MakeSpan(p));
  for (std::size_t i = 0; i < p.size(); ++i) {
    const std::vector<float> row(rows.begin() + static_cast<std::ptrdiff_t>(i * kColumns),
                                 rows.begin() + static_cast<std::ptrdiff_t>((i + 1) * kColumns));
    const auto score = static_cast<double>(PlainScore(dumps, row));
    const double plain =
        score >= 0 ? 1 / (1 + std::exp(-score)) : std::exp(score) / (1 + std::exp(score));
    EXPECT_EQ(p[i], plain);
    EXPECT_EQ(trees.Probability(row), plain);
  }
}

TEST(Trees, WrongDumpsAreRefused) {
  for (const std::string_view dump :
       {"", "x", "1:leaf=1", "0:leaf=nan", "0:[f0<1] yes=1,no=2\n1:leaf=1", "0:[f0<1] yes=0,no=0",
        "0:leaf=1\n0:leaf=2", "0:[f-1<1] yes=1,no=2\n1:leaf=1\n2:leaf=1",
        "0:[name<1] yes=1,no=2\n1:leaf=1\n2:leaf=1", "0:[f0<1] yes=1,no=1\n1:leaf=1"}) {
    EXPECT_FALSE(Trees::Parse({dump}).ok()) << dump;
  }
}

// Trained on some runs, scored on another: every violation is foreseen and its culprit named.
void CheckForesees(const char* name, const ServiceModel& model) {
  Recording recording;
  std::vector<ViolationRow> violations;
  const RecordedRun run = FaultyRun(99, &violations);
  recording.Of(run.name).violations = violations;
  recording.Of(run.name).end_ms = 600'000;
  const auto rival = MakeTrainedRival(name, model, 500, 0.5);
  ASSERT_TRUE(AddForecasts(run, 500, rival.get(), &recording).ok());
  const Score score = ScoreForecasts(recording, {}).value();
  EXPECT_EQ(score.metric("recall").value, 1) << name;
  EXPECT_GE(score.metric("precision").value, 0.8) << name;
  EXPECT_EQ(score.metric("culprit_top1").value, 1) << name;
}

TrainingRows FourFaultyRuns() {
  TrainingRows rows(500);
  for (const unsigned seed : {1u, 2u, 3u, 4u}) {
    std::vector<ViolationRow> violations;
    const RecordedRun run = FaultyRun(seed, &violations);
    rows.Add(run, violations);
  }
  return rows;
}

TEST(Trained, LogisticRegressionForeseesOnARunItHasNotSeen) {
  const TrainingRows rows = FourFaultyRuns();
  const LogisticRegression logistic = LogisticRegression::Fit(rows.data()).value();
  CheckForesees("logistic", EachRow([&](auto row) { return logistic.Probability(row); }));
}

TEST(Trained, TreesForeseeOnARunTheyHaveNotSeen) {
  const TrainingRows rows = FourFaultyRuns();
  TreeOptions options;
  options.rounds = 60;
  options.least_child_weight = 3;
  const auto trees = TrainTrees(rows.data(), options);
  if (trees.status().code() == absl::StatusCode::kUnimplemented) {
    GTEST_SKIP() << trees.status();  // built without XGBoost; tests/run installs it
  }
  ASSERT_TRUE(trees.ok()) << trees.status();
  CheckForesees("trees", [&](auto asked, auto p) { trees->Probabilities(asked, p); });
}

TEST(Trained, WhatIsOutOfOrderIsRefused) {
  std::vector<ViolationRow> violations;
  const RecordedRun run = FaultyRun(1, &violations);
  const auto rival = MakeTrainedRival("never", EachRow([](auto) { return 0.0; }), 300, 0.5);
  Forecast forecast;
  EXPECT_TRUE(rival->Observe(run.ticks[5], run.topology, &forecast).ok());
  EXPECT_FALSE(rival->Observe(run.ticks[5], run.topology, &forecast).ok());
  EXPECT_FALSE(rival->Observe(run.ticks[6], Topology(), &forecast).ok());
  rival->Reset();
  EXPECT_TRUE(rival->Observe(run.ticks[0], run.topology, &forecast).ok());
}

TEST(Trained, EveryFeatureHasAName) {
  for (std::size_t i = 0; i < ServiceFeatures::kCount; ++i) {
    EXPECT_FALSE(ServiceFeatures::Name(i).empty());
  }
}

}  // namespace
}  // namespace seer::evaluation
