#include "seer/core/latency_histogram.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

SEER_BEGIN_NAMESPACE

namespace {

constexpr int kSubBits = 4;  // log2(kBucketsPerOctave)
static_assert(1 << kSubBits == LatencyHistogram::kBucketsPerOctave, "");

constexpr std::uint32_t kMaxCount = std::numeric_limits<std::uint32_t>::max();

}  // namespace

// Below 16 a bucket holds one value; from there on the index is the position of the highest bit
// followed by the four bits below it.
std::uint32_t LatencyHistogram::BucketOf(std::int64_t latency_ns) {
  if (latency_ns < kBucketsPerOctave) {
    return static_cast<std::uint32_t>(std::max<std::int64_t>(latency_ns, 0));
  }
  const auto value = static_cast<std::uint64_t>(latency_ns);
  const int high_bit = 63 - __builtin_clzll(value);
  const auto sub = (value >> (high_bit - kSubBits)) & (kBucketsPerOctave - 1);
  const std::uint64_t index =
      static_cast<std::uint64_t>(high_bit - kSubBits + 1) * kBucketsPerOctave + sub;
  return static_cast<std::uint32_t>(std::min<std::uint64_t>(index, kBuckets - 1));
}

std::int64_t LatencyHistogram::LowerNs(std::size_t index) {
  const auto octave = index / kBucketsPerOctave;
  const auto sub = static_cast<std::int64_t>(index % kBucketsPerOctave);
  if (octave == 0) return sub;
  return (kBucketsPerOctave + sub) << (octave - 1);
}

void LatencyHistogram::Add(std::uint32_t index, std::uint32_t count) {
  if (count == 0) return;
  const auto at = std::lower_bound(
      buckets_.begin(), buckets_.end(), index,
      [](const Bucket& bucket, std::uint32_t wanted) { return bucket.index < wanted; });
  if (at == buckets_.end() || at->index != index) {
    buckets_.insert(at, Bucket{index, count});
  } else {
    at->count += std::min(count, kMaxCount - at->count);
  }
}

void LatencyHistogram::Merge(const LatencyHistogram& other) {
  if (&other == this) {
    for (Bucket& bucket : buckets_)
      bucket.count += std::min(bucket.count, kMaxCount - bucket.count);
    return;
  }
  for (const Bucket& bucket : other.buckets_) Add(bucket.index, bucket.count);
}

std::uint64_t LatencyHistogram::count() const {
  std::uint64_t sum = 0;
  for (const Bucket& bucket : buckets_) sum += bucket.count;
  return sum;
}

std::int64_t LatencyHistogram::Quantile(double q) const {
  if (buckets_.empty()) return 0;
  const double share = q > 0 ? std::min(q, 1.0) : 0;  // 0 for NaN as well
  const double wanted = std::ceil(share * static_cast<double>(count()));
  std::uint64_t seen = 0;
  std::size_t index = buckets_.back().index;
  for (const Bucket& bucket : buckets_) {
    seen += bucket.count;
    if (static_cast<double>(seen) >= wanted) {
      index = bucket.index;
      break;
    }
  }
  // Of one value wide buckets the middle is that value.
  return LowerNs(index) + (LowerNs(index + 1) - LowerNs(index)) / 2;
}

absl::StatusOr<LatencyHistogram> LatencyHistogram::FromBuckets(std::vector<Bucket> buckets) {
  std::int64_t last = -1;
  for (const Bucket& bucket : buckets) {
    if (bucket.index <= last || bucket.index >= kBuckets) {
      return absl::InvalidArgumentError(absl::StrCat("bucket index ", bucket.index, " after ", last,
                                                     "; indexes must increase and stay below ",
                                                     kBuckets));
    }
    if (bucket.count == 0) {
      return absl::InvalidArgumentError(
          absl::StrCat("bucket ", bucket.index, " counts 0; leave empty buckets out"));
    }
    last = bucket.index;
  }
  LatencyHistogram histogram;
  histogram.buckets_ = std::move(buckets);
  return histogram;
}

SEER_END_NAMESPACE
