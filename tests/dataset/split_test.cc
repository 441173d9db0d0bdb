#include "seer/dataset/split.h"

#include <map>
#include <set>

#include "gtest/gtest.h"

namespace seer {
namespace {

DatasetManifest Runs(const std::vector<std::uint64_t>& ticks) {
  DatasetManifest manifest;
  for (const std::uint64_t n : ticks) {
    DatasetRun run;
    run.ticks = n;
    run.first = 100;
    run.last = 99 + static_cast<Tick>(n);
    manifest.runs.push_back(run);
  }
  return manifest;
}

TEST(SplitByRun, NoRunIsInTwoParts) {
  const DatasetManifest manifest = Runs(std::vector<std::uint64_t>(40, 1000));
  const auto split = SplitByRun(manifest);
  ASSERT_TRUE(split.ok());
  std::map<SplitPart, double> ticks;
  std::set<std::uint32_t> runs;
  for (const SplitRange& range : *split) {
    EXPECT_TRUE(runs.insert(range.run).second);
    ticks[range.part] += static_cast<double>(range.to - range.from);
  }
  EXPECT_EQ(runs.size(), 40u);
  EXPECT_NEAR(ticks[SplitPart::kTrain] / 40'000, 0.7, 0.05);
  EXPECT_NEAR(ticks[SplitPart::kValidation] / 40'000, 0.15, 0.05);
  EXPECT_EQ(*SplitByRun(manifest), *split);
  SplitOptions other;
  other.seed = 2;
  EXPECT_FALSE(*SplitByRun(manifest, other) == *split);
}

TEST(SplitByRun, EveryPartHasARunWhereThereAreEnough) {
  const auto split = SplitByRun(Runs({10, 100'000, 20}));
  ASSERT_TRUE(split.ok());
  std::set<SplitPart> parts;
  for (const SplitRange& range : *split) parts.insert(range.part);
  EXPECT_EQ(parts.size(), 3u);
}

TEST(SplitByRun, OneRunIsCutInTimeWithGaps) {
  SplitOptions options;
  options.gap_ns = 1'000'000'000;  // ten ticks
  const auto split = SplitByRun(Runs({1020}), options);
  ASSERT_TRUE(split.ok());
  ASSERT_EQ(split->size(), 3u);
  EXPECT_EQ((*split)[0], (SplitRange{SplitPart::kTrain, 0, 100, 800}));
  EXPECT_EQ((*split)[1], (SplitRange{SplitPart::kValidation, 0, 810, 960}));
  EXPECT_EQ((*split)[2], (SplitRange{SplitPart::kTest, 0, 970, 1120}));
  EXPECT_TRUE(WithinOnePart(*split, 0, 790, 800));
  EXPECT_FALSE(WithinOnePart(*split, 0, 790, 801));
  EXPECT_FALSE(WithinOnePart(*split, 1, 790, 800));
}

TEST(SplitByRun, RefusesNonsense) {
  SplitOptions options;
  options.train = 0.9;
  options.validation = 0.2;
  EXPECT_FALSE(SplitByRun(Runs({100}), options).ok());
  EXPECT_FALSE(SplitByRun(Runs({100})).ok());  // two gaps of 100 ticks
  options = {};
  options.gap_ns = -1;
  EXPECT_FALSE(SplitByRun(Runs({100}), options).ok());
  EXPECT_TRUE(SplitByRun(Runs({}))->empty());
}

}  // namespace
}  // namespace seer
