// What encoding and decoding take from the heap.
#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "seer/core/wire.h"
#include "tests/core/wire_message.h"
#include "tests/core/wire_samples.h"
#include "tests/support/allocations.h"

namespace seer {
namespace {

// The text of an error, which a bad message costs on top.
constexpr std::size_t kErrorBytes = 2048;

template <typename T>
void ExpectBounded(const std::string& bytes) {
  T value;
  const testing::Allocations allocations;
  const absl::Status status = DecodeTo(bytes, &value);
  EXPECT_LE(allocations.peak_bytes(), 8 * bytes.size() + kErrorBytes) << status;
}

std::string Name(std::uint32_t i) {
  std::string name;  // as short as it can be
  do {
    name += static_cast<char>('a' + i % 26);
    i /= 26;
  } while (i > 0);
  return name;
}

// The worst case for a topology: short names, and nothing else in the rows.
Topology ShortNames(std::uint32_t rows) {
  Topology t(1);
  const ServiceId first = *t.AddService("first");
  for (std::uint32_t i = 0; i < rows; ++i) {
    (void)*t.AddService(Name(i));
    (void)*t.AddNode(Name(i));
    (void)*t.AddInstance(first, Name(i));
    (void)*t.AddEdge(ServiceId(i), first);
    (void)*t.AddMethod(first, Name(i));
  }
  return t;
}

TEST(WireMemory, DecodingTakesAtMostEightTimesTheMessage) {
  for (std::uint32_t rows : {0u, 1u, 10u, 1000u, 10'000u}) {
    SCOPED_TRACE(rows);
    ExpectBounded<Topology>(Encode(ShortNames(rows)));
    ExpectBounded<Snapshot>(Encode(testing::SampleSnapshot(rows, rows)));
    ExpectBounded<SpanBatch>(Encode(testing::SampleSpans(rows)));
    Snapshot classes;
    classes.classes.resize(rows);
    ExpectBounded<Snapshot>(Encode(classes));
  }
  ExpectBounded<Topology>(Encode(testing::SampleTopology()));
  ExpectBounded<HwReading>(Encode(testing::SampleHwReading()));
  ExpectBounded<Recommendation>(Encode(testing::SampleRecommendation()));
  ExpectBounded<ActionTaken>(Encode(testing::SampleActionTaken()));
}

template <typename T>
void ExpectBoundedWhateverTheBytesSay(const std::string& good) {
  std::mt19937 random(7);
  for (int round = 0; round < 5000; ++round) {
    std::string bytes = good;
    for (std::uint32_t i = 0; i < 1 + random() % 3; ++i) {
      const std::size_t at = kWireHeaderBytes + random() % (bytes.size() - kWireHeaderBytes);
      const std::uint32_t claims[] = {0xffffffffu, 0x7fffffffu, 1u << 20, 4096u, 255u};
      std::memcpy(&bytes[at], &claims[random() % 5], std::min<std::size_t>(4, bytes.size() - at));
    }
    testing::SealMessage(&bytes);
    ExpectBounded<T>(bytes);
    if (::testing::Test::HasFailure()) return;
  }
}

TEST(WireMemory, HostileLengthsDoNotBuyMemory) {
  ExpectBoundedWhateverTheBytesSay<Topology>(Encode(testing::SampleTopology()));
  ExpectBoundedWhateverTheBytesSay<Topology>(Encode(ShortNames(40)));
  ExpectBoundedWhateverTheBytesSay<Snapshot>(Encode(testing::SampleSnapshot(200, 100)));
  ExpectBoundedWhateverTheBytesSay<SpanBatch>(Encode(testing::SampleSpans(20)));
  ExpectBoundedWhateverTheBytesSay<HwReading>(Encode(testing::SampleHwReading()));
  ExpectBoundedWhateverTheBytesSay<Recommendation>(Encode(testing::SampleRecommendation()));
}

TEST(WireMemory, ASteadyStreamOfSnapshotsAllocatesNothing) {
  std::vector<Snapshot> ticks;
  for (std::uint32_t seed = 0; seed < 8; ++seed) {
    ticks.push_back(testing::SampleSnapshot(386, 800, seed));
    ticks.push_back(testing::SampleSnapshotOfVersion01(386, 800, seed));  // no peaks, no times
  }
  std::string bytes;
  Snapshot decoded;
  for (int warm_up = 0; warm_up < 2; ++warm_up) {
    for (const Snapshot& tick : ticks) {
      EncodeTo(tick, &bytes);
      ASSERT_TRUE(DecodeTo(bytes, &decoded).ok());
    }
  }
  const testing::Allocations allocations;
  for (const Snapshot& tick : ticks) {
    EncodeTo(tick, &bytes);
    if (!DecodeTo(bytes, &decoded).ok()) FAIL();
  }
  EXPECT_EQ(allocations.count(), 0u);
  EXPECT_TRUE(decoded == ticks.back());
}

}  // namespace
}  // namespace seer
