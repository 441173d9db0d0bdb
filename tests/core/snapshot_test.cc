#include "seer/core/snapshot.h"

#include <gtest/gtest.h>

#include <cstdint>

#include "absl/types/span.h"

namespace seer {
namespace {

ChannelSample Depth(std::uint32_t depth) {
  ChannelSample sample;
  sample.depth = depth;
  return sample;
}

TEST(ChannelTable, WhatWasNotSetIsMissingAndNotZero) {
  ChannelTable table(2);
  table.Set(InstanceId(1), Channel::kQueued, Depth(0));
  EXPECT_EQ(table.Get(InstanceId(0), Channel::kQueued), std::nullopt);
  EXPECT_EQ(table.Get(InstanceId(1), Channel::kQueued), Depth(0)) << "an empty queue was seen";
  EXPECT_EQ(table.Get(InstanceId(1), Channel::kRunning), std::nullopt);
  EXPECT_EQ(table.Get(InstanceId(2), Channel::kQueued), std::nullopt) << "no such instance";
  EXPECT_EQ(table.Get(InstanceId(), Channel::kQueued), std::nullopt);
  EXPECT_EQ(table.coverage(InstanceId(1)), ChannelMask::Of(Channel::kQueued));
}

TEST(ChannelTable, AllOfASampleIsKept) {
  ChannelSample sample;
  sample.depth = 1;
  sample.width = 2;
  sample.arrivals = 3;
  sample.departures = 0xffffffff;
  sample.counted = true;
  sample.shared = true;
  sample.peak = 4;
  sample.timed = true;
  sample.mean_depth_milli = 5;
  sample.mean_wait_us = 6;
  ChannelTable table(3);
  for (Channel channel : kAllChannels) {
    table.Set(InstanceId(2), channel, sample);
    EXPECT_EQ(table.Get(InstanceId(2), channel), sample);
  }
  table.Set(InstanceId(2), Channel::kNic, Depth(9));
  EXPECT_EQ(table.Get(InstanceId(2), Channel::kNic), Depth(9)) << "the last one counts";
  EXPECT_EQ(table.Get(InstanceId(2), Channel::kSend), sample);
}

TEST(ChannelTable, ColumnsAreEmptyOrWhole) {
  ChannelTable table(3);
  table.Set(InstanceId(0), Channel::kQueued, Depth(0));
  EXPECT_TRUE(table.depths(Channel::kQueued).empty());
  table.Set(InstanceId(2), Channel::kQueued, Depth(5));
  ASSERT_EQ(table.depths(Channel::kQueued).size(), 3u);
  EXPECT_EQ(table.depths(Channel::kQueued)[0], 0u);
  EXPECT_EQ(table.depths(Channel::kQueued)[2], 5u);
  EXPECT_TRUE(table.widths(Channel::kQueued).empty());
  table.Reset(1);
  EXPECT_TRUE(table.depths(Channel::kQueued).empty());
  EXPECT_EQ(table.Get(InstanceId(0), Channel::kQueued), std::nullopt);
}

TEST(ChannelTable, TellsWhichChannelsCountAndWhichAreShared) {
  ChannelTable table(2);
  ChannelSample sample = Depth(5);
  sample.counted = true;
  table.Set(InstanceId(1), Channel::kQueued, sample);
  sample.counted = false;
  sample.shared = true;
  table.Set(InstanceId(1), Channel::kNic, sample);
  EXPECT_EQ(table.counted(InstanceId(1)), ChannelMask::Of(Channel::kQueued));
  EXPECT_EQ(table.shared(InstanceId(1)), ChannelMask::Of(Channel::kNic));
  EXPECT_TRUE(table.counted(InstanceId(0)).empty());
  EXPECT_TRUE(table.shared(InstanceId(2)).empty()) << "no such instance";
}

TEST(ChannelTable, PeaksAndMeansHaveColumnsOnlyWhereThereAreAny) {
  ChannelTable table(3);
  ChannelSample sample = Depth(5);
  table.Set(InstanceId(0), Channel::kQueued, sample);
  EXPECT_TRUE(table.peaks(Channel::kQueued).empty());
  EXPECT_TRUE(table.timed(InstanceId(0)).empty());
  sample.peak = 9;
  sample.timed = true;
  table.Set(InstanceId(2), Channel::kQueued, sample);
  EXPECT_EQ(table.peaks(Channel::kQueued), absl::MakeConstSpan({0u, 0u, 9u}));
  EXPECT_EQ(table.timed(InstanceId(2)), ChannelMask::Of(Channel::kQueued));
  EXPECT_TRUE(table.timed(InstanceId(0)).empty());
  EXPECT_TRUE(table.timed(InstanceId(3)).empty()) << "no such instance";
  EXPECT_TRUE(table.mean_depths_milli(Channel::kQueued).empty()) << "a mean of zero";
  sample.mean_depth_milli = 4700;
  sample.mean_wait_us = 31;
  table.Set(InstanceId(2), Channel::kQueued, sample);
  EXPECT_EQ(table.mean_depths_milli(Channel::kQueued), absl::MakeConstSpan({0u, 0u, 4700u}));
  EXPECT_EQ(table.mean_waits_us(Channel::kQueued), absl::MakeConstSpan({0u, 0u, 31u}));
  EXPECT_TRUE(table.mean_waits_us(Channel::kRunning).empty());
  table.Reset(3);
  EXPECT_TRUE(table == ChannelTable(3));
  table.Set(InstanceId(2), Channel::kQueued, Depth(5));
  EXPECT_EQ(table.Get(InstanceId(2), Channel::kQueued), Depth(5));
}

TEST(ChannelTable, OnlyWhatIsTimedHasMeans) {
  ChannelSample sample = Depth(5);
  sample.mean_depth_milli = 4700;
  sample.mean_wait_us = 31;
  ChannelTable table(2);
  table.Set(InstanceId(0), Channel::kQueued, sample);
  EXPECT_EQ(table.Get(InstanceId(0), Channel::kQueued), Depth(5)) << "the table knows no time yet";
  sample.timed = true;
  table.Set(InstanceId(0), Channel::kQueued, sample);
  EXPECT_EQ(table.Get(InstanceId(0), Channel::kQueued), sample);
  sample.timed = false;
  table.Set(InstanceId(0), Channel::kQueued, sample);
  EXPECT_EQ(table.Get(InstanceId(0), Channel::kQueued), Depth(5)) << "it was, and is no longer";
}

TEST(ChannelTable, EqualityIsOfSamplesNotOfColumns) {
  ChannelTable a(2);
  ChannelTable b(2);
  a.Set(InstanceId(0), Channel::kQueued, Depth(3));
  a.Set(InstanceId(0), Channel::kQueued, Depth(0));  // leaves a column of zeros
  b.Set(InstanceId(0), Channel::kQueued, Depth(0));
  EXPECT_TRUE(a == b);
  ChannelSample timed;
  timed.timed = true;
  a.Set(InstanceId(0), Channel::kQueued, timed);
  EXPECT_TRUE(a != b) << "a mean of zero is not no mean";
  a.Set(InstanceId(0), Channel::kQueued, Depth(0));  // leaves a mask of zeros
  EXPECT_TRUE(a == b);
  b.Set(InstanceId(1), Channel::kQueued, Depth(0));
  EXPECT_TRUE(a != b) << "zero is not missing";
}

TEST(Snapshot, EqualityLooksAtEveryField) {
  // One value per field: a field that operator== forgets makes two of them equal.
  const auto with = [](auto change) {
    ChannelSample sample = Depth(1);
    change(sample);
    return sample;
  };
  const ChannelSample samples[] = {
      Depth(1),
      with([](ChannelSample& s) { s.width = 1; }),
      with([](ChannelSample& s) { s.arrivals = 1; }),
      with([](ChannelSample& s) { s.departures = 1; }),
      with([](ChannelSample& s) { s.counted = true; }),
      with([](ChannelSample& s) { s.shared = true; }),
      with([](ChannelSample& s) { s.peak = 1; }),
      with([](ChannelSample& s) { s.timed = true; }),
      with([](ChannelSample& s) { s.timed = true, s.mean_depth_milli = 1; }),
      with([](ChannelSample& s) { s.timed = true, s.mean_wait_us = 1; })};
  for (const ChannelSample& a : samples) {
    for (const ChannelSample& b : samples) {
      ChannelTable x(1);
      ChannelTable y(1);
      x.Set(InstanceId(0), Channel::kQueued, a);
      y.Set(InstanceId(0), Channel::kQueued, b);
      EXPECT_EQ(a == b, &a == &b);
      EXPECT_EQ(x == y, &a == &b) << &a - samples << " and " << &b - samples;
    }
  }
  NodeHealth health[9];
  health[0].spans_dropped = 1;
  health[1].counter_errors = 1;
  health[2].segments_skipped = 1;
  health[3].probe_errors = 1;
  health[4].late_ns = 1;
  health[5].missed_ticks = 1;
  health[6].processes = 1;
  health[7].dead_processes = 1;
  health[8].inexact_reads = 1;
  for (const NodeHealth& a : health) {
    EXPECT_FALSE(a == NodeHealth()) << &a - health;
    EXPECT_TRUE(a == a);
  }
}

TEST(ChannelTable, BytesBesideAChannel) {
  ChannelTable table(2);
  table.SetBytes(InstanceId(1), Channel::kSocket, 9);
  EXPECT_EQ(table.bytes(InstanceId(1), Channel::kSocket), 0u) << "the channel was not seen";
  table.Set(InstanceId(1), Channel::kSocket, Depth(1));
  table.SetBytes(InstanceId(1), Channel::kSocket, std::uint64_t{5} << 40 | 7);
  EXPECT_EQ(table.bytes(InstanceId(1), Channel::kSocket), std::uint64_t{5} << 40 | 7);
  EXPECT_EQ(table.bytes(InstanceId(0), Channel::kSocket), 0u);
  EXPECT_EQ(table.bytes(InstanceId(9), Channel::kSocket), 0u);
}

TEST(EdgeTable, SeenAndMissing) {
  EdgeTable table(2);
  const EdgeSample sample{4, 1, 90};
  table.Set(EdgeId(1), sample);
  EXPECT_EQ(table.Get(EdgeId(1)), sample);
  EXPECT_EQ(table.Get(EdgeId(0)), std::nullopt);
  EXPECT_EQ(table.Get(EdgeId(2)), std::nullopt);
  EXPECT_EQ(table.made()[1], 90u);
  table.Reset(2);
  EXPECT_EQ(table.Get(EdgeId(1)), std::nullopt);
}

}  // namespace
}  // namespace seer
