#include "seer/predict/state_delta.h"

#include <gtest/gtest.h>

#include <string>

namespace seer {
namespace {

StateDelta Example() {
  StateDelta delta;
  delta.kind = DeltaKind::kRemoveNode;
  delta.stream = 0x1122334455667788u;
  delta.term = 3;
  delta.sequence = 17;
  delta.time_ns = 1'700'000'000'000'000'000;
  delta.previous = 0xdeadbeefu;
  delta.forecast = 0x01020304u;
  delta.payload = "node-a";
  return delta;
}

TEST(StateDelta, ComesBackAsItWas) {
  const std::string bytes = EncodeDelta(Example());
  EXPECT_EQ(bytes.size(), 64u + 6u);
  EXPECT_EQ(bytes.substr(0, 8), "SEERDELT");
  ASSERT_TRUE(DecodeDelta(bytes).ok());
  EXPECT_EQ(*DecodeDelta(bytes), Example());
  EXPECT_EQ(*PeekDelta(bytes), bytes.size());
  EXPECT_EQ(*PeekDelta(bytes.substr(0, 64)), bytes.size()) << "the header is enough";
}

TEST(StateDelta, EveryDamagedByteIsFound) {
  const std::string bytes = EncodeDelta(Example());
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    for (const int flip : {1, 0x80}) {
      std::string damaged = bytes;
      damaged[i] = static_cast<char>(damaged[i] ^ flip);
      EXPECT_FALSE(DecodeDelta(damaged).ok()) << i;
    }
  }
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_FALSE(DecodeDelta(bytes.substr(0, size)).ok()) << size;
  }
  EXPECT_TRUE(absl::IsDataLoss(DecodeDelta(bytes.substr(0, 20)).status()));
  EXPECT_TRUE(absl::IsDataLoss(DecodeDelta(bytes + "x").status()));
  EXPECT_TRUE(absl::IsOutOfRange(PeekDelta(bytes.substr(0, 63)).status()));
}

TEST(StateDelta, WhatNoSeerWritesIsRefused) {
  StateDelta delta = Example();
  delta.kind = static_cast<DeltaKind>(9);
  EXPECT_TRUE(absl::IsInvalidArgument(DecodeDelta(EncodeDelta(delta)).status()));
  delta = Example();
  delta.kind = DeltaKind::kAdvance;  // has no payload
  EXPECT_TRUE(absl::IsInvalidArgument(DecodeDelta(EncodeDelta(delta)).status()));
  delta = Example();
  delta.time_ns = StateDelta::kLatestNs + 1;
  EXPECT_TRUE(absl::IsInvalidArgument(DecodeDelta(EncodeDelta(delta)).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(DecodeDelta(std::string(100, 'x')).status()));
  std::string later = EncodeDelta(Example());
  later[8] = 2;
  EXPECT_TRUE(absl::IsUnimplemented(DecodeDelta(later).status()));
}

}  // namespace
}  // namespace seer
