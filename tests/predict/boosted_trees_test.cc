#include "seer/predict/boosted_trees.h"

#include <cmath>
#include <limits>
#include <random>
#include <sstream>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace seer {
namespace {

using ::testing::HasSubstr;

constexpr float kNone = std::numeric_limits<float>::quiet_NaN();

// Whether a point lies in a ring: no line tells it, and a third column only disturbs.
TreeRows Rings(std::size_t count, unsigned seed) {
  TreeRows rows;
  rows.columns = 3;
  std::mt19937 random(seed);
  std::uniform_real_distribution<float> uniform(-1, 1);
  for (std::size_t i = 0; i < count; ++i) {
    const float x = uniform(random), y = uniform(random);
    const float radius = std::sqrt(x * x + y * y);
    rows.values.insert(rows.values.end(), {x, y, uniform(random)});
    rows.labels.push_back(radius > 0.4f && radius < 0.8f ? 1.0f : 0.0f);
  }
  return rows;
}

double Accuracy(const BoostedTrees& trees, const TreeRows& rows) {
  std::size_t right = 0;
  for (std::size_t r = 0; r < rows.rows(); ++r) {
    float score = 0;
    trees.Score({&rows.values[r * rows.columns], rows.columns}, {&score, 1});
    right += (score > 0) == (rows.labels[r] > 0.5f) ? 1 : 0;
  }
  return static_cast<double>(right) / static_cast<double>(rows.rows());
}

TreeFitOptions Small() {
  TreeFitOptions options;
  options.rounds = 60;
  options.depth = 4;
  options.learning_rate = 0.2;
  options.least_child = 1;
  return options;
}

// The scores as the text tells them: line by line, tree by tree.
std::vector<float> PlainScore(const std::string& text, const std::vector<float>& row) {
  std::istringstream in(text);
  std::string word;
  std::size_t columns, outputs, count;
  in >> word >> columns >> outputs >> count >> word;
  std::vector<float> scores(outputs);
  for (float& score : scores) in >> score;
  for (std::size_t t = 0; t < count; ++t) {
    std::size_t size;
    in >> word >> size;
    std::vector<std::vector<float>> nodes(size);  // of a leaf its values; else column, from, left
    std::vector<bool> is_leaf(size);
    for (std::size_t i = 0; i < size; ++i) {
      in >> word;
      is_leaf[i] = word == "leaf";
      nodes[i].resize(is_leaf[i] ? outputs : 3);
      if (!is_leaf[i]) nodes[i][0] = std::stof(word);
      for (std::size_t k = is_leaf[i] ? 0 : 1; k < nodes[i].size(); ++k) in >> nodes[i][k];
    }
    std::size_t at = 0;
    while (!is_leaf[at]) {
      at = static_cast<std::size_t>(nodes[at][2]) +
           (row[static_cast<std::size_t>(nodes[at][0])] >= nodes[at][1] ? 1 : 0);
    }
    for (std::size_t k = 0; k < outputs; ++k) scores[k] += nodes[at][k];
  }
  return scores;
}

// Whatever shape they have, and however many rows come at a time.
TEST(BoostedTrees, ScoresAreBitForBitThoseOfAPlainWalk) {
  for (const std::size_t depth : {1u, 4u, 5u, 6u, 8u}) {
    TreeRows rows = Rings(2000, 20);
    TreeFitOptions options = Small();
    options.depth = depth;
    options.rounds = 13;
    options.least_child = 0.1;
    const BoostedTrees fitted = BoostedTrees::Fit(rows, nullptr, options).value();
    const BoostedTrees decoded = BoostedTrees::Decode(fitted.Encode()).value();
    TreeRows test = Rings(101, 21);
    for (std::size_t i = 0; i < test.values.size(); i += 7) test.values[i] = kNone;
    for (const std::size_t at_once : {1u, 3u, 6u, 9u, 17u, 29u, 101u}) {
      for (std::size_t r = 0; r + at_once <= test.rows(); r += at_once) {
        std::vector<float> scores(at_once);
        decoded.ScoreRows({&test.values[r * 3], at_once * 3}, absl::MakeSpan(scores));
        for (std::size_t i = 0; i < at_once; ++i) {
          const std::vector<float> row(&test.values[(r + i) * 3], &test.values[(r + i) * 3] + 3);
          float one = 0;
          fitted.Score(row, {&one, 1});
          ASSERT_EQ(one, PlainScore(fitted.Encode(), row)[0]);
          ASSERT_EQ(scores[i], one);
        }
      }
    }
  }
}

// Of several outputs too.
TEST(BoostedTrees, ScoresOfSeveralOutputsAreThoseOfAPlainWalk) {
  for (const std::size_t outputs : {2u, 6u, 8u, 9u}) {
    for (const std::size_t depth : {4u, 5u, 6u, 7u}) {
      TreeRows rows = Rings(1500, 22);
      rows.outputs = outputs;
      rows.labels.clear();
      for (std::size_t r = 0; r < 1500; ++r) {
        const float radius = std::hypot(rows.values[3 * r], rows.values[3 * r + 1]);
        for (std::size_t k = 0; k < outputs; ++k) {
          rows.labels.push_back(radius > 0.1f * static_cast<float>(k + 1) ? 1.0f : 0.0f);
        }
      }
      TreeFitOptions options = Small();
      options.depth = depth;
      options.rounds = 11;
      options.least_child = 0.1;
      const BoostedTrees trees = BoostedTrees::Fit(rows, nullptr, options).value();
      TreeRows test = Rings(53, 23);
      for (std::size_t i = 0; i < test.values.size(); i += 7) test.values[i] = kNone;
      const std::string text = trees.Encode();
      std::vector<float> plain;
      for (std::size_t r = 0; r < test.rows(); ++r) {
        const std::vector<float> row(&test.values[r * 3], &test.values[r * 3] + 3);
        const std::vector<float> scores = PlainScore(text, row);
        plain.insert(plain.end(), scores.begin(), scores.end());
      }
      for (const std::size_t at_once : {4u, 6u, 9u, 16u, 53u}) {
        for (std::size_t r = 0; r + at_once <= test.rows(); r += at_once) {
          std::vector<float> scores(at_once * outputs);
          trees.ScoreRows({&test.values[r * 3], at_once * 3}, absl::MakeSpan(scores));
          for (std::size_t i = 0; i < scores.size(); ++i) {
            ASSERT_EQ(scores[i], plain[r * outputs + i]) << outputs << " " << depth;
          }
        }
      }
    }
  }
}

// Two nodes may lead to the same child in a text that nobody's training wrote.
TEST(BoostedTrees, AnyTextThatIsTakenEndsItsWalks) {
  std::string text = "trees 2 2 1\nbase 0 0\ntree 101\n";
  for (int i = 0; i < 99; ++i) text += "1 0.5 " + std::to_string(i + 1) + "\n";
  text += "leaf 1 2\nleaf 3 4\n";
  const auto trees = BoostedTrees::Decode(text);
  ASSERT_TRUE(trees.ok()) << trees.status();
  for (const float value : {0.0f, 1.0f, kNone}) {
    const std::vector<float> row = {0, value};
    std::vector<float> scores(2);
    trees->Score(row, absl::MakeSpan(scores));
    EXPECT_EQ(scores, PlainScore(text, row));
  }
}

TEST(BoostedTrees, LearnWhatNoLineTells) {
  TreeFitOptions options = Small();
  options.rounds = 150;
  auto trees = BoostedTrees::Fit(Rings(4000, 1), nullptr, options);
  ASSERT_TRUE(trees.ok()) << trees.status();
  EXPECT_EQ(trees->size(), 150u);
  EXPECT_GT(Accuracy(*trees, Rings(2000, 2)), 0.95);
  // What disturbs is hardly asked, as long as there is something to learn.
  options.rounds = 10;
  options.columns_share = 1;
  trees = BoostedTrees::Fit(Rings(4000, 1), nullptr, options);
  ASSERT_TRUE(trees.ok());
  const std::vector<std::uint32_t> uses = trees->Uses();
  EXPECT_GT(uses[0], 2 * uses[2]);
  EXPECT_GT(uses[1], 2 * uses[2]);
}

TEST(BoostedTrees, SameRowsGiveTheSameTrees) {
  const TreeRows rows = Rings(1000, 3);
  EXPECT_EQ(*BoostedTrees::Fit(rows, nullptr, Small()), *BoostedTrees::Fit(rows, nullptr, Small()));
  TreeFitOptions other = Small();
  other.seed = 2;
  EXPECT_FALSE(*BoostedTrees::Fit(rows, nullptr, Small()) ==
               *BoostedTrees::Fit(rows, nullptr, other));
}

TEST(BoostedTrees, StopWhenValidationGainsNothing) {
  TreeRows rows = Rings(400, 4), validation = Rings(400, 5);
  std::mt19937 random(6);
  for (float& label : rows.labels) label = static_cast<float>(random() % 2);  // nothing to learn
  TreeFitOptions options = Small();
  options.rounds = 500;
  options.patience = 5;
  const auto trees = BoostedTrees::Fit(rows, &validation, options);
  ASSERT_TRUE(trees.ok());
  EXPECT_LT(trees->size(), 100u);
}

TEST(BoostedTrees, ProbabilitiesAreThoseOfTheWeights) {
  // One column says nothing: the score is the log-odds of the weighted share, 3 of 4.
  TreeRows rows;
  rows.columns = 1;
  for (int i = 0; i < 1000; ++i) {
    rows.values.push_back(static_cast<float>(i % 7));
    rows.labels.push_back(i % 2 == 0 ? 1.0f : 0.0f);
    rows.weights.push_back(i % 2 == 0 ? 3.0f : 1.0f);
  }
  TreeFitOptions options = Small();
  options.rounds = 1;
  const auto trees = BoostedTrees::Fit(rows, nullptr, options);
  ASSERT_TRUE(trees.ok());
  float score = 0;
  trees->Score({&rows.values[0], 1}, {&score, 1});
  EXPECT_NEAR(score, std::log(3.0), 0.2);
}

TEST(BoostedTrees, WhatIsNotKnownIsAValueOfItsOwn) {
  TreeRows rows;
  rows.columns = 1;
  for (int i = 0; i < 600; ++i) {
    rows.values.push_back(i % 3 == 0 ? kNone : static_cast<float>(i % 3));
    rows.labels.push_back(i % 3 == 0 ? 1.0f : 0.0f);
  }
  TreeFitOptions options = Small();
  options.columns_share = 1;
  const auto trees = BoostedTrees::Fit(rows, nullptr, options);
  ASSERT_TRUE(trees.ok());
  float unknown = 0, one = 0;
  const float value = 1;
  trees->Score({&kNone, 1}, {&unknown, 1});
  trees->Score({&value, 1}, {&one, 1});
  EXPECT_GT(unknown, 1);
  EXPECT_LT(one, -1);
}

TEST(BoostedTrees, OutputsShareTreesAndLabelsMayBeUnknown) {
  TreeRows rows = Rings(3000, 7);
  TreeRows two = rows;
  two.outputs = 2;
  two.labels.clear();
  for (std::size_t r = 0; r < rows.rows(); ++r) {
    two.labels.push_back(rows.labels[r]);
    // The second: whether x is positive; of every third row it is not known.
    two.labels.push_back(r % 3 == 0 ? -1.0f : rows.values[3 * r] > 0 ? 1.0f : 0.0f);
  }
  TreeFitOptions options = Small();
  options.rounds = 150;
  const auto trees = BoostedTrees::Fit(two, nullptr, options);
  ASSERT_TRUE(trees.ok()) << trees.status();
  const TreeRows test = Rings(1000, 8);
  std::size_t right = 0;
  for (std::size_t r = 0; r < test.rows(); ++r) {
    float scores[2];
    trees->Score({&test.values[3 * r], 3}, scores);
    right +=
        (scores[0] > 0) == (test.labels[r] > 0.5f) && (scores[1] > 0) == (test.values[3 * r] > 0)
            ? 1
            : 0;
  }
  EXPECT_GT(right, 920u);
}

TEST(BoostedTrees, GroupsAreRankedAmongThemselves) {
  // In each group of five the largest is the one; groups have different levels.
  const auto make = [](unsigned seed) {
    TreeRows rows;
    rows.columns = 2;
    std::mt19937 random(seed);
    std::uniform_real_distribution<float> uniform(0, 1);
    for (std::uint32_t group = 0; group < 600; ++group) {
      float values[5], most = -1;
      for (float& value : values) most = std::max(most, value = uniform(random));
      for (const float value : values) {
        rows.values.insert(rows.values.end(), {value - most / 2, uniform(random)});
        rows.labels.push_back(value == most ? 1.0f : 0.0f);
        rows.groups.push_back(group);
      }
    }
    return rows;
  };
  const TreeRows held = make(2);
  const auto trees = BoostedTrees::Fit(make(1), &held, Small());
  ASSERT_TRUE(trees.ok()) << trees.status();
  const TreeRows test = make(3);
  std::size_t right = 0;
  for (std::size_t g = 0; g < 600; ++g) {
    std::size_t best = 0;
    float best_score = -1e9f;
    for (std::size_t i = 5 * g; i < 5 * g + 5; ++i) {
      float score = 0;
      trees->Score({&test.values[2 * i], 2}, {&score, 1});
      if (score > best_score) {
        best_score = score;
        best = i;
      }
    }
    right += test.labels[best] > 0.5f ? 1 : 0;
  }
  EXPECT_GT(right, 500u);
}

TEST(BoostedTrees, TextHoldsAllOfThem) {
  const auto trees = BoostedTrees::Fit(Rings(500, 9), nullptr, Small());
  ASSERT_TRUE(trees.ok());
  const std::string text = trees->Encode();
  const auto back = BoostedTrees::Decode(text);
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(back->Encode(), text);
  const TreeRows test = Rings(100, 10);
  for (std::size_t r = 0; r < test.rows(); ++r) {
    float a = 0, b = 0;
    trees->Score({&test.values[3 * r], 3}, {&a, 1});
    back->Score({&test.values[3 * r], 3}, {&b, 1});
    EXPECT_EQ(a, b);
  }
}

TEST(BoostedTrees, PartsThatAreJoinedAreTheWhole) {
  const BoostedTrees all = BoostedTrees::Fit(Rings(500, 14), nullptr, Small()).value();
  const BoostedTrees head = all.Part(0, 20).value(), middle = all.Part(20, 25).value();
  const BoostedTrees tail = all.Part(25, all.size()).value();
  EXPECT_EQ(head.size(), 20u);
  EXPECT_EQ(BoostedTrees::Join({head, middle, tail}).value(), all);
  EXPECT_EQ(BoostedTrees::Decode(middle.Encode()).value(), middle);
  // Without the middle: what it said is missing, and nothing else.
  const BoostedTrees without = BoostedTrees::Join({head, tail}).value();
  const TreeRows test = Rings(100, 15);
  for (std::size_t r = 0; r < test.rows(); ++r) {
    float whole = 0, less = 0, part = 0;
    all.Score({&test.values[3 * r], 3}, {&whole, 1});
    without.Score({&test.values[3 * r], 3}, {&less, 1});
    middle.Score({&test.values[3 * r], 3}, {&part, 1});
    EXPECT_NEAR(less + part, whole, 1e-4f);
  }
  EXPECT_EQ(all.Part(7, 7).value().size(), 0u);
  EXPECT_TRUE(absl::IsInvalidArgument(all.Part(3, all.size() + 1).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(all.Part(3, 2).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(BoostedTrees::Join({}).status()));
  const BoostedTrees other = BoostedTrees::Decode("trees 1 1 0\nbase 0\n").value();
  EXPECT_TRUE(absl::IsInvalidArgument(BoostedTrees::Join({all, other}).status()));
  const std::vector<BoostedTrees> many(BoostedTrees::kMaxTrees / all.size() + 1, all);
  EXPECT_TRUE(absl::IsInvalidArgument(BoostedTrees::Join(many).status()));
}

TEST(BoostedTrees, OnlyColumnsThatMayBeAskedAre) {
  TreeFitOptions options = Small();
  options.rounds = 150;
  options.columns = {0, 1};
  options.cuts = 31;
  const auto trees = BoostedTrees::Fit(Rings(4000, 1), nullptr, options);
  ASSERT_TRUE(trees.ok()) << trees.status();
  EXPECT_EQ(trees->Uses()[2], 0u);
  EXPECT_GT(Accuracy(*trees, Rings(2000, 2)), 0.95);
  options.cuts = 1;  // nothing but whether it is known
  EXPECT_LT(Accuracy(*BoostedTrees::Fit(Rings(4000, 1), nullptr, options), Rings(2000, 2)), 0.8);
}

TEST(BoostedTrees, DamagedTextIsRefusedOrHarmless) {
  TreeFitOptions options = Small();
  options.rounds = 3;
  const auto trees = BoostedTrees::Fit(Rings(500, 11), nullptr, options);
  ASSERT_TRUE(trees.ok());
  const std::string text = trees->Encode();
  const std::vector<float> row(3, 0.5f);
  std::mt19937 random(12);
  for (int i = 0; i < 3000; ++i) {
    std::string bad = text;
    if (i % 3 == 0) {
      bad.resize(random() % text.size());
    } else {
      bad[random() % bad.size()] = "0123456789 -\n.ef"[random() % 16];
    }
    const auto decoded = BoostedTrees::Decode(bad);
    if (!decoded.ok()) {
      EXPECT_THAT(std::string(decoded.status().message()), HasSubstr("line"));
      continue;
    }
    if (decoded->columns() > 3 || decoded->outputs() != 1) continue;
    float score = 0;
    decoded->Score(row, {&score, 1});
  }
  // A child before its parent would never end.
  EXPECT_FALSE(BoostedTrees::Decode("trees 1 1 1\nbase 0\ntree 3\n0 1 0\nleaf 1\nleaf 2\n").ok());
  EXPECT_FALSE(BoostedTrees::Decode("trees 1 1 1\nbase 0\ntree 3\n1 1 1\nleaf 1\nleaf 2\n").ok());
  EXPECT_TRUE(BoostedTrees::Decode("trees 1 1 1\nbase 0\ntree 3\n0 1 1\nleaf 1\nleaf 2\n").ok());
}

TEST(BoostedTrees, SaysWhatIsWrongWithRowsAndOptions) {
  TreeRows rows = Rings(100, 13);
  const auto message = [](const TreeRows& r, const TreeFitOptions& o) {
    return std::string(BoostedTrees::Fit(r, nullptr, o).status().message());
  };
  TreeRows bad = rows;
  bad.values.pop_back();
  EXPECT_THAT(message(bad, Small()), HasSubstr("do not fit together"));
  bad = rows;
  bad.labels.assign(100, 0.0f);
  EXPECT_THAT(message(bad, Small()), HasSubstr("one kind"));
  bad = rows;
  bad.weights.assign(100, kNone);
  EXPECT_THAT(message(bad, Small()), HasSubstr("weight"));
  TreeFitOptions options = Small();
  options.depth = 9;
  EXPECT_THAT(message(rows, options), HasSubstr("depth"));
  options = Small();
  options.learning_rate = 0;
  EXPECT_THAT(message(rows, options), HasSubstr("learning_rate"));
  options = Small();
  options.cuts = 64;
  EXPECT_THAT(message(rows, options), HasSubstr("cuts"));
  options = Small();
  options.columns = {1, 1};
  EXPECT_THAT(message(rows, options), HasSubstr("columns"));
  options.columns = {1, 3};
  EXPECT_THAT(message(rows, options), HasSubstr("columns"));
}

}  // namespace
}  // namespace seer
