#include "seer/core/latency_histogram.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <vector>

namespace seer {
namespace {

TEST(LatencyHistogram, BucketsTileTheLine) {
  for (std::size_t i = 0; i + 1 < LatencyHistogram::kBuckets; ++i) {
    const std::int64_t lower = LatencyHistogram::LowerNs(i);
    const std::int64_t next = LatencyHistogram::LowerNs(i + 1);
    ASSERT_LT(lower, next);
    ASSERT_EQ(LatencyHistogram::BucketOf(lower), i);
    ASSERT_EQ(LatencyHistogram::BucketOf(next - 1), i);
  }
}

TEST(LatencyHistogram, HostileLatenciesHaveABucket) {
  constexpr std::int64_t kMax = std::numeric_limits<std::int64_t>::max();
  EXPECT_EQ(LatencyHistogram::BucketOf(-1), 0);
  EXPECT_EQ(LatencyHistogram::BucketOf(std::numeric_limits<std::int64_t>::min()), 0);
  EXPECT_EQ(LatencyHistogram::BucketOf(kMax), LatencyHistogram::kBuckets - 1);
  LatencyHistogram histogram;
  histogram.Record(5, std::numeric_limits<std::uint32_t>::max());
  histogram.Record(5);
  EXPECT_EQ(histogram.count(), std::numeric_limits<std::uint32_t>::max()) << "no wrap-around";
  histogram.Merge(histogram);
  EXPECT_EQ(histogram.count(), std::numeric_limits<std::uint32_t>::max());
}

TEST(LatencyHistogram, QuantilesAreWithinThreePointTwoPercent) {
  std::mt19937 random(1);
  std::lognormal_distribution<double> latency(std::log(2e6), 1.0);
  LatencyHistogram histogram;
  std::vector<std::int64_t> all;
  for (int i = 0; i < 20'000; ++i) {
    all.push_back(static_cast<std::int64_t>(latency(random)));
    histogram.Record(all.back());
  }
  std::sort(all.begin(), all.end());
  for (double q : {0.001, 0.5, 0.9, 0.99, 0.999, 1.0}) {
    SCOPED_TRACE(q);
    const auto rank = static_cast<std::size_t>(std::ceil(q * static_cast<double>(all.size())));
    const auto exact = static_cast<double>(all[rank - 1]);
    EXPECT_NEAR(static_cast<double>(histogram.Quantile(q)), exact, 0.032 * exact);
  }
  EXPECT_EQ(histogram.count(), all.size());
  EXPECT_EQ(histogram.Quantile(2), histogram.Quantile(1));
  EXPECT_EQ(histogram.Quantile(std::nan("")), histogram.Quantile(0)) << "no crash";
}

TEST(LatencyHistogram, MergeEqualsRecordingEverything) {
  LatencyHistogram a, b, both;
  for (std::int64_t ns : {1, 20, 300, 4000, 20}) {
    a.Record(ns);
    both.Record(ns);
  }
  for (std::int64_t ns : {1, 7'000'000, 25}) {
    b.Record(ns);
    both.Record(ns);
  }
  a.Merge(b);
  EXPECT_TRUE(a == both);
  a.Clear();
  EXPECT_TRUE(a.empty());
  EXPECT_EQ(a.Quantile(0.5), 0);
}

TEST(LatencyHistogram, FromBucketsRefusesWhatCannotBe) {
  using Buckets = std::vector<LatencyHistogram::Bucket>;
  for (const Buckets& bad : {Buckets{{5, 1}, {5, 1}}, Buckets{{5, 1}, {4, 1}}, Buckets{{640, 1}},
                             Buckets{{0xffffffff, 1}}, Buckets{{6, 0}}}) {
    EXPECT_TRUE(absl::IsInvalidArgument(LatencyHistogram::FromBuckets(bad).status()));
  }
  const Buckets good = {{0, 1}, {5, 2}, {639, 3}};
  absl::StatusOr<LatencyHistogram> histogram = LatencyHistogram::FromBuckets(good);
  ASSERT_TRUE(histogram.ok());
  EXPECT_EQ(histogram->count(), 6u);
  EXPECT_EQ(histogram->TakeBuckets(), good);
  EXPECT_TRUE(histogram->empty());
}

}  // namespace
}  // namespace seer
