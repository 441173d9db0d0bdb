// Flow: Span -> [LatencyHistogram] -> Snapshot
//
// Latencies of one request class during one tick. Buckets are 1/16 of a power of two wide, so that
// a quantile is within 3.2 % of the true one from 16 ns to 73 minutes; longer latencies count in
// the last bucket. Only buckets with something in them are stored: a tick's latencies spread over a
// few dozen.
//
//   seer::LatencyHistogram latency;
//   latency.Record(1'250'000);
//   std::int64_t p99_ns = latency.Quantile(0.99);
//
// Threads: a plain value.
// Cost:    Record() a binary search among the buckets in use, and an insertion for a new one: 30 ns
//          with 18 buckets in use (benchmarks/RESULTS.md).
//          Eight bytes per bucket in use.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "seer/core/config.h"

SEER_BEGIN_NAMESPACE

class LatencyHistogram {
 public:
  static constexpr int kBucketsPerOctave = 16;
  static constexpr std::size_t kBuckets = 40 * kBucketsPerOctave;  // up to 2^43 ns

  struct Bucket {
    std::uint32_t index;
    std::uint32_t count;  // stays at its maximum instead of wrapping around
    friend bool operator==(const Bucket& a, const Bucket& b) {
      return a.index == b.index && a.count == b.count;
    }
  };

  // Negative latencies (a clock that stepped) count as 0.
  void Record(std::int64_t latency_ns, std::uint32_t count = 1) {
    Add(BucketOf(latency_ns), count);
  }
  void Merge(const LatencyHistogram& other);
  void Clear() { buckets_.clear(); }

  bool empty() const { return buckets_.empty(); }
  std::uint64_t count() const;
  // The middle of the bucket that holds the q-quantile (q in [0, 1], clamped); 0 when empty.
  std::int64_t Quantile(double q) const;

  // Buckets in use, by index.
  absl::Span<const Bucket> buckets() const { return buckets_; }
  // Strictly increasing indexes below kBuckets and counts above 0, else InvalidArgument.
  static absl::StatusOr<LatencyHistogram> FromBuckets(std::vector<Bucket> buckets);
  // The buckets with their memory, to be filled and handed back; the histogram is empty then.
  std::vector<Bucket> TakeBuckets() { return std::exchange(buckets_, {}); }

  static std::uint32_t BucketOf(std::int64_t latency_ns);
  // The latencies of a bucket: [LowerNs(index), LowerNs(index + 1)).
  static std::int64_t LowerNs(std::size_t index);

  friend bool operator==(const LatencyHistogram& a, const LatencyHistogram& b) {
    return a.buckets_ == b.buckets_;
  }
  friend bool operator!=(const LatencyHistogram& a, const LatencyHistogram& b) { return !(a == b); }

 private:
  void Add(std::uint32_t index, std::uint32_t count);

  std::vector<Bucket> buckets_;  // by index
};

SEER_END_NAMESPACE
