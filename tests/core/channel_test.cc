#include "seer/core/channel.h"

#include <gtest/gtest.h>

namespace seer {
namespace {

TEST(Channel, NamesRoundTripAndUnknownNamesAreNone) {
  for (Channel channel : kAllChannels) {
    SCOPED_TRACE(ChannelName(channel));
    EXPECT_EQ(ChannelFromName(ChannelName(channel)), channel);
    EXPECT_NE(ChannelUnit(channel), "?");
  }
  EXPECT_EQ(ChannelFromName("NIC"), std::nullopt);
  EXPECT_EQ(ChannelFromName(""), std::nullopt);
  EXPECT_EQ(ChannelName(static_cast<Channel>(kChannels)), "?");
}

TEST(ChannelMask, KernelAndApplicationPartitionTheChannels) {
  EXPECT_EQ(ChannelMask::KernelOnly() | ChannelMask::AppOnly(), ChannelMask::All());
  EXPECT_TRUE((ChannelMask::KernelOnly() & ChannelMask::AppOnly()).empty());
  EXPECT_EQ(ChannelMask::NicOnly() & ChannelMask::KernelOnly(), ChannelMask::NicOnly());
}

TEST(ChannelMask, AddAndRemove) {
  ChannelMask mask;
  EXPECT_TRUE(mask.empty());
  mask.Add(Channel::kSend);
  EXPECT_TRUE(mask.Has(Channel::kSend));
  EXPECT_FALSE(mask.Has(Channel::kNic));
  mask.Remove(Channel::kSend);
  EXPECT_EQ(mask, ChannelMask());
}

}  // namespace
}  // namespace seer
