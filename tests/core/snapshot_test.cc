#include "seer/core/snapshot.h"

#include <gtest/gtest.h>

#include <cstdint>

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

TEST(ChannelTable, EqualityIsOfSamplesNotOfColumns) {
  ChannelTable a(2);
  ChannelTable b(2);
  a.Set(InstanceId(0), Channel::kQueued, Depth(3));
  a.Set(InstanceId(0), Channel::kQueued, Depth(0));  // leaves a column of zeros
  b.Set(InstanceId(0), Channel::kQueued, Depth(0));
  EXPECT_TRUE(a == b);
  b.Set(InstanceId(1), Channel::kQueued, Depth(0));
  EXPECT_TRUE(a != b) << "zero is not missing";
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
