#include "seer/core/wire.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <limits>
#include <map>
#include <random>
#include <string>

#include "tests/core/wire_message.h"
#include "tests/core/wire_samples.h"

namespace seer {
namespace {

using ::testing::HasSubstr;
using testing::SealMessage;

// The tests below run for every kind of message.
template <typename T>
struct Sample;
#define SEER_SAMPLE(Type, Kind, make)                    \
  template <>                                            \
  struct Sample<Type> {                                  \
    static constexpr WireKind kKind = WireKind::Kind;    \
    static Type Make() { return seer::testing::make(); } \
  }
SEER_SAMPLE(Topology, kTopology, SampleTopology);
SEER_SAMPLE(Snapshot, kSnapshot, SampleSnapshot);
SEER_SAMPLE(SpanBatch, kSpanBatch, SampleSpans);
SEER_SAMPLE(HwReading, kHwReading, SampleHwReading);
SEER_SAMPLE(Recommendation, kRecommendation, SampleRecommendation);
SEER_SAMPLE(ActionTaken, kActionTaken, SampleActionTaken);

template <typename T>
class EveryKind : public ::testing::Test {
 protected:
  T value_ = Sample<T>::Make();
  std::string bytes_ = Encode(value_);

  void ExpectErrorOnly(const std::string& bytes) {
    T out = value_;
    const absl::Status status = DecodeTo(bytes, &out);
    ASSERT_FALSE(status.ok());
    EXPECT_TRUE(out == T()) << "after an error the value is empty";
    EXPECT_FALSE(status.message().empty());
  }
};
using Kinds =
    ::testing::Types<Topology, Snapshot, SpanBatch, HwReading, Recommendation, ActionTaken>;
TYPED_TEST_SUITE(EveryKind, Kinds, );  // clang wants the empty third argument

std::string GoldenPath(int minor, WireKind kind) {
  static_assert(kWireMajor == 0, "");
  return SEER_TESTDATA "/wire/v0." + std::to_string(minor) + "/" + std::string(WireKindName(kind)) +
         ".bin";
}

std::string ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  EXPECT_TRUE(file.is_open()) << path;
  return std::string(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
}

// The sample as version 0.1 knew it.
template <typename T>
T OfVersion01(const T& sample) {
  return sample;
}
Snapshot OfVersion01(const Snapshot&) { return seer::testing::SampleSnapshotOfVersion01(); }

// The contents of the sections by their tags.
std::map<std::uint32_t, std::string> SectionsOf(const std::string& message) {
  std::map<std::uint32_t, std::string> sections;
  for (std::size_t at = kWireHeaderBytes; at + 8 <= message.size();) {
    std::uint32_t tag = 0;
    std::uint32_t size = 0;
    std::memcpy(&tag, &message[at], 4);
    std::memcpy(&size, &message[at + 4], 4);
    sections[tag] = message.substr(at + 8, size);
    at += 8 + size;
  }
  return sections;
}

// A message of these sections.
std::string MessageOf(const std::string& header, const std::map<std::uint32_t, std::string>& all) {
  std::string message = header.substr(0, kWireHeaderBytes);
  for (const auto& [tag, bytes] : all) {
    const auto size = static_cast<std::uint32_t>(bytes.size());
    message.append(reinterpret_cast<const char*>(&tag), 4);
    message.append(reinterpret_cast<const char*>(&size), 4);
    message += bytes;
  }
  SealMessage(&message);
  return message;
}

TYPED_TEST(EveryKind, RoundTrips) {
  const absl::StatusOr<TypeParam> decoded = Decode<TypeParam>(this->bytes_);
  ASSERT_TRUE(decoded.ok()) << decoded.status();
  EXPECT_TRUE(*decoded == this->value_);
  EXPECT_EQ(Encode(*decoded), this->bytes_) << "and the bytes are canonical";
}

TYPED_TEST(EveryKind, AnEmptyValueRoundTripsIntoAUsedOne) {
  TypeParam out = this->value_;
  ASSERT_TRUE(DecodeTo(Encode(TypeParam()), &out).ok());
  EXPECT_TRUE(out == TypeParam());
}

TYPED_TEST(EveryKind, EncodeToReplacesWhatTheBufferHeld) {
  std::string buffer(100'000, 'x');
  EncodeTo(this->value_, &buffer);
  EXPECT_EQ(buffer, this->bytes_);
  buffer = "short";
  EncodeTo(this->value_, &buffer);
  EXPECT_EQ(buffer, this->bytes_);
}

// The bytes of every version, kept for ever: a change of the format has to be a decision.
// SEER_UPDATE_GOLDENS writes those of the current one anew.
TYPED_TEST(EveryKind, ReadsAndWritesTheGoldenBytes) {
  const std::string path = GoldenPath(kWireMinor, Sample<TypeParam>::kKind);
  if (std::getenv("SEER_UPDATE_GOLDENS") != nullptr) {
    std::ofstream(path, std::ios::binary) << this->bytes_;
  }
  const std::string golden = ReadFile(path);
  EXPECT_TRUE(golden == this->bytes_) << "the format changed: raise kWireMinor or kWireMajor";
  const absl::StatusOr<TypeParam> decoded = Decode<TypeParam>(golden);
  ASSERT_TRUE(decoded.ok()) << decoded.status();
  EXPECT_TRUE(*decoded == this->value_);
}

TYPED_TEST(EveryKind, ReadsTheBytesOfOlderVersions) {
  const TypeParam then = OfVersion01(this->value_);
  const std::string golden = ReadFile(GoldenPath(1, Sample<TypeParam>::kKind));
  TypeParam out = this->value_;  // what the older version did not know must not stay behind
  const absl::Status status = DecodeTo(golden, &out);
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_TRUE(out == then);
}

// What an older reader needs: whatever it knows is where it was.
TYPED_TEST(EveryKind, NewVersionsAddOnlySectionsAndFieldsAtTheirEnd) {
  const std::string golden = ReadFile(GoldenPath(1, Sample<TypeParam>::kKind));
  const std::map<std::uint32_t, std::string> then = SectionsOf(golden);
  const std::map<std::uint32_t, std::string> now = SectionsOf(this->bytes_);
  ASSERT_FALSE(then.empty());
  for (const auto& [tag, bytes] : then) {
    SCOPED_TRACE(tag);
    ASSERT_EQ(now.count(tag), 1u);
    EXPECT_TRUE(now.at(tag).substr(0, bytes.size()) == bytes);
  }
}

TYPED_TEST(EveryKind, PeekTellsKindAndSize) {
  const absl::StatusOr<WireHeader> header = PeekWire(this->bytes_ + "the next message");
  ASSERT_TRUE(header.ok()) << header.status();
  EXPECT_EQ(header->kind, Sample<TypeParam>::kKind);
  EXPECT_EQ(header->message_bytes, this->bytes_.size());
  EXPECT_EQ(header->major, kWireMajor);
  EXPECT_EQ(header->minor, kWireMinor);
}

TYPED_TEST(EveryKind, TruncationAtEveryByteIsDataLoss) {
  for (std::size_t size = 0; size < this->bytes_.size(); ++size) {
    SCOPED_TRACE(size);
    this->ExpectErrorOnly(this->bytes_.substr(0, size));
    const absl::Status status = Decode<TypeParam>(this->bytes_.substr(0, size)).status();
    EXPECT_TRUE(absl::IsDataLoss(status)) << status;
  }
}

TYPED_TEST(EveryKind, TruncationWithALyingHeaderNamesTheField) {
  for (std::size_t size = kWireHeaderBytes; size < this->bytes_.size(); ++size) {
    SCOPED_TRACE(size);
    std::string bytes = this->bytes_.substr(0, size);
    SealMessage(&bytes);
    const absl::StatusOr<TypeParam> decoded = Decode<TypeParam>(bytes);
    if (decoded.ok()) continue;  // whole sections are gone: their fields have their defaults
    EXPECT_TRUE(absl::IsInvalidArgument(decoded.status())) << decoded.status();
    EXPECT_THAT(std::string(decoded.status().message()),
                HasSubstr(std::string(WireKindName(Sample<TypeParam>::kKind))));
  }
}

TYPED_TEST(EveryKind, EveryFlippedBitIsFound) {
  for (std::size_t bit = 0; bit < this->bytes_.size() * 8; ++bit) {
    SCOPED_TRACE(bit);
    std::string bytes = this->bytes_;
    bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ (1 << bit % 8));
    this->ExpectErrorOnly(bytes);
  }
}

// Past the checksum.
TYPED_TEST(EveryKind, HostileBytesGiveAnErrorOrASoundValue) {
  std::mt19937 random(1);
  for (int round = 0; round < 20'000; ++round) {
    std::string bytes = this->bytes_;
    const int changes = 1 + static_cast<int>(random() % 4);
    for (int i = 0; i < changes; ++i) {
      const std::size_t at = kWireHeaderBytes + random() % (bytes.size() - kWireHeaderBytes);
      const std::uint32_t hostile[] = {0xffffffffu, 0x7fffffffu, 0x80000000u, 0u,
                                       static_cast<std::uint32_t>(random())};
      const std::uint32_t value = hostile[random() % 5];
      std::memcpy(&bytes[at], &value, std::min<std::size_t>(4, bytes.size() - at));
    }
    SealMessage(&bytes);
    const absl::StatusOr<TypeParam> decoded = Decode<TypeParam>(bytes);
    if (!decoded.ok()) continue;
    const absl::StatusOr<TypeParam> again = Decode<TypeParam>(Encode(*decoded));
    ASSERT_TRUE(again.ok()) << "what Decode accepts, it must accept again: " << again.status();
    ASSERT_TRUE(*again == *decoded);
  }
}

TYPED_TEST(EveryKind, OtherVersionsKindsAndTails) {
  const auto with = [this](std::size_t at, char value) {
    std::string bytes = this->bytes_;
    bytes[at] = value;
    SealMessage(&bytes);
    return Decode<TypeParam>(bytes).status();
  };
  EXPECT_TRUE(absl::IsInvalidArgument(with(0, 'X')));
  EXPECT_TRUE(absl::IsUnimplemented(with(4, kWireMajor + 1)));
  EXPECT_TRUE(with(5, 99).ok()) << "a newer minor version";
  EXPECT_TRUE(absl::IsUnimplemented(with(6, 99))) << "a kind of a newer version";
  EXPECT_TRUE(absl::IsUnimplemented(with(7, 1))) << "a flag of a newer version";
  const bool is_topology = Sample<TypeParam>::kKind == WireKind::kTopology;
  EXPECT_TRUE(absl::IsInvalidArgument(with(6, is_topology ? 2 : 1))) << "another kind";
  const absl::Status tail = Decode<TypeParam>(this->bytes_ + "tail").status();
  EXPECT_TRUE(absl::IsInvalidArgument(tail)) << tail;
}

TYPED_TEST(EveryKind, ANewerMinorVersionsSectionsAndFieldsAreSkipped) {
  std::string bytes = this->bytes_;
  bytes[5] = static_cast<char>(kWireMinor + 1);
  // A section that this version does not know, and one with a tag far beyond.
  for (std::uint32_t tag : {15u, 4'000'000'000u}) {
    const std::uint32_t size = 5;
    bytes.append(reinterpret_cast<const char*>(&tag), 4);
    bytes.append(reinterpret_cast<const char*>(&size), 4);
    bytes.append("hello");
  }
  // A field more at the end of every section that this version knows.
  std::size_t at = kWireHeaderBytes;
  while (at < this->bytes_.size()) {
    std::uint32_t size = 0;
    std::memcpy(&size, &bytes[at + 4], 4);
    bytes.insert(at + 8 + size, "new!");
    const std::uint32_t longer = size + 4;
    std::memcpy(&bytes[at + 4], &longer, 4);
    at += 8 + longer;
    if (at >= bytes.size() - 2 * 13) break;
  }
  SealMessage(&bytes);
  const absl::StatusOr<TypeParam> decoded = Decode<TypeParam>(bytes);
  ASSERT_TRUE(decoded.ok()) << decoded.status();
  EXPECT_TRUE(*decoded == this->value_);
}

TYPED_TEST(EveryKind, ASectionThatIsThereTwiceIsRefused) {
  std::string bytes = this->bytes_;
  std::uint32_t size = 0;
  std::memcpy(&size, &bytes[kWireHeaderBytes + 4], 4);
  bytes += bytes.substr(kWireHeaderBytes, 8 + size);
  SealMessage(&bytes);
  const absl::Status status = Decode<TypeParam>(bytes).status();
  EXPECT_TRUE(absl::IsInvalidArgument(status));
  EXPECT_THAT(std::string(status.message()), HasSubstr("twice"));
}

TEST(Wire, SectionsOfAnOlderVersionMayBeAbsent) {
  // Only the header section, as if edges, classes and health had come later.
  const std::string whole = Encode(seer::testing::SampleSnapshot());
  std::uint32_t size = 0;
  std::memcpy(&size, &whole[kWireHeaderBytes + 4], 4);
  std::string bytes = whole.substr(0, kWireHeaderBytes + 8 + size);
  SealMessage(&bytes);
  Snapshot out = seer::testing::SampleSnapshot(7, 7);
  ASSERT_TRUE(DecodeTo(bytes, &out).ok());
  Snapshot expected;
  expected.origin = out.origin;
  expected.tick = out.tick;
  EXPECT_EQ(out.origin.node, "node-7");
  EXPECT_TRUE(out == expected);
}

TEST(Wire, PeekNeedsSixteenBytesAndTheMagic) {
  const std::string bytes = Encode(Snapshot());
  for (std::size_t size = 0; size < kWireHeaderBytes; ++size) {
    SCOPED_TRACE(size);
    EXPECT_TRUE(absl::IsOutOfRange(PeekWire(bytes.substr(0, size)).status()));
  }
  EXPECT_TRUE(PeekWire(bytes.substr(0, kWireHeaderBytes)).ok());
  EXPECT_TRUE(absl::IsInvalidArgument(PeekWire("GET / HTTP/1.1").status()));
  EXPECT_TRUE(absl::IsInvalidArgument(PeekWire("X").status()));
}

TEST(Wire, SnapshotsOfEverySizeRoundTrip) {
  Snapshot out;  // reused, as a control plane does
  std::string bytes;
  for (std::size_t instances : {0u, 1u, 2u, 127u, 128u, 129u, 386u, 1000u, 5u}) {
    SCOPED_TRACE(instances);
    const auto seed = static_cast<std::uint32_t>(instances);
    const Snapshot snapshot = seer::testing::SampleSnapshot(instances, 2 * instances, seed);
    EncodeTo(snapshot, &bytes);
    const absl::Status status = DecodeTo(bytes, &out);
    ASSERT_TRUE(status.ok()) << status;
    EXPECT_TRUE(out == snapshot);
  }
}

TEST(Wire, WhatWasNotSeenIsZeroWhateverTheSenderPutThere) {
  Snapshot snapshot;
  snapshot.instances.Reset(2);
  ChannelSample sample;
  sample.depth = 7;
  snapshot.instances.Set(InstanceId(0), Channel::kNic, sample);
  snapshot.instances.Set(InstanceId(1), Channel::kNic, sample);
  std::string bytes = Encode(snapshot);
  // The coverage byte of instance 1: after the header section and the table's size.
  std::uint32_t header_size = 0;
  std::memcpy(&header_size, &bytes[kWireHeaderBytes + 4], 4);
  const std::size_t coverage = kWireHeaderBytes + 8 + header_size + 8 + 4;
  ASSERT_EQ(bytes[coverage + 1], 1);
  bytes[coverage + 1] = 0;
  SealMessage(&bytes);
  const absl::StatusOr<Snapshot> decoded = Decode<Snapshot>(bytes);
  ASSERT_TRUE(decoded.ok()) << decoded.status();
  EXPECT_EQ(decoded->instances.Get(InstanceId(1), Channel::kNic), std::nullopt);
  EXPECT_EQ(decoded->instances.depths(Channel::kNic)[1], 0u);
  EXPECT_EQ(decoded->instances.depths(Channel::kNic)[0], 7u);
}

TEST(Wire, PeaksAndTimesThatAreNotThereTakeNoByte) {
  const Snapshot plain = seer::testing::SampleSnapshotOfVersion01();
  const std::map<std::uint32_t, std::string> sections = SectionsOf(Encode(plain));
  EXPECT_EQ(sections.count(6), 0u);
  EXPECT_EQ(sections.count(7), 0u);
  Snapshot out = seer::testing::SampleSnapshot();
  ASSERT_TRUE(DecodeTo(Encode(plain), &out).ok());
  EXPECT_TRUE(out == plain) << "and nothing stays behind of what the value held";
}

TEST(Wire, PeaksOfTheMissingAndMeansOfTheUntimedAreZeroWhateverTheSenderPutThere) {
  Snapshot snapshot;
  snapshot.instances.Reset(2);
  ChannelSample sample;
  sample.depth = 1;
  sample.peak = 7;
  sample.timed = true;
  sample.mean_depth_milli = 8;
  sample.mean_wait_us = 9;
  snapshot.instances.Set(InstanceId(0), Channel::kNic, sample);
  snapshot.instances.Set(InstanceId(1), Channel::kNic, sample);
  const std::string bytes = Encode(snapshot);
  const std::map<std::uint32_t, std::string> sections = SectionsOf(bytes);

  auto untimed = sections;
  ASSERT_EQ(untimed.at(7)[1], 1);
  untimed.at(7)[1] = 0;
  absl::StatusOr<Snapshot> decoded = Decode<Snapshot>(MessageOf(bytes, untimed));
  ASSERT_TRUE(decoded.ok()) << decoded.status();
  EXPECT_EQ(decoded->instances.Get(InstanceId(0), Channel::kNic), sample);
  sample.timed = false;
  sample.mean_depth_milli = sample.mean_wait_us = 0;
  EXPECT_EQ(decoded->instances.Get(InstanceId(1), Channel::kNic), sample);

  auto unseen = sections;
  ASSERT_EQ(unseen.at(2)[4 + 1], 1) << "the coverage byte of instance 1";
  unseen.at(2)[4 + 1] = 0;
  decoded = Decode<Snapshot>(MessageOf(bytes, unseen));
  ASSERT_TRUE(decoded.ok()) << decoded.status();
  EXPECT_TRUE(decoded->instances.timed(InstanceId(1)).empty());
  EXPECT_EQ(decoded->instances.peaks(Channel::kNic)[1], 0u);
  EXPECT_EQ(decoded->instances.mean_depths_milli(Channel::kNic)[1], 0u);
  EXPECT_EQ(decoded->instances.mean_waits_us(Channel::kNic)[1], 0u);
  EXPECT_EQ(decoded->instances.peaks(Channel::kNic)[0], 7u);
}

TEST(Wire, PeaksAndTimesThatContradictTheInstancesAreRefusedByName) {
  const std::string bytes = Encode(seer::testing::SampleSnapshot());
  struct Case {
    const char* what;
    std::uint32_t tag;
    std::string contents;
    const char* error;
  };
  // The sample has three instances.
  for (const Case& c : {
           Case{"a column of a later format", 6, std::string("\x01\x02", 2),
                "Snapshot.peaks.columns"},
           Case{"a column cut short", 6, std::string("\x01\x01\x01\x05\x05", 5),
                "Snapshot.peaks.nic"},
           Case{"a width that is none", 6, std::string("\x01\x01\x03\x05\x05\x05", 6),
                "Snapshot.peaks.nic"},
           Case{"two masks for three instances", 7, std::string("\x01\x01", 2),
                "Snapshot.timed.timed"},
           Case{"masks and nothing else", 7, std::string("\x01\x01\x01", 3),
                "Snapshot.timed.channels"},
           Case{"a mean of a later format", 7, std::string("\x01\x01\x01\x01\x04", 5),
                "Snapshot.timed.columns"},
       }) {
    SCOPED_TRACE(c.what);
    auto sections = SectionsOf(bytes);
    sections.at(c.tag) = c.contents;
    const absl::Status status = Decode<Snapshot>(MessageOf(bytes, sections)).status();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr(c.error));
  }
  // Without the section of the instances, there are none that could have peaks.
  auto sections = SectionsOf(bytes);
  sections.erase(2);
  const absl::Status status = Decode<Snapshot>(MessageOf(bytes, sections)).status();
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
}

// Columns of several blocks, of which each may be the last that is there; of four wide blocks and
// their widths there are as many bytes as of all numbers. Into a fresh value and into one that
// holds columns already.
TEST(Wire, AColumnMayEndBetweenItsBlocksOnlyWhereItIsOver) {
  constexpr std::uint32_t kRows = 4 * 128 + 1;
  Snapshot snapshot;
  snapshot.instances.Reset(kRows);
  snapshot.edges.Reset(kRows);
  ChannelSample sample;
  sample.depth = 1u << 31;  // four bytes each
  sample.peak = sample.mean_wait_us = 1u << 30;
  sample.timed = true;
  for (std::uint32_t i = 0; i + 1 < kRows; ++i) {  // the last row is not seen
    snapshot.instances.Set(InstanceId(i), Channel::kSend, sample);
    snapshot.edges.Set(EdgeId(i), {0, 0, 1u << 29});
  }
  const std::string bytes = Encode(snapshot);
  const std::map<std::uint32_t, std::string> sections = SectionsOf(bytes);
  for (const std::uint32_t tag : {2, 3, 6, 7}) {  // each ends with a column
    for (std::size_t cut = 1; cut < kRows * sizeof(std::uint32_t); ++cut) {
      auto shorter = sections;
      shorter.at(tag).resize(shorter.at(tag).size() - cut);
      const std::string message = MessageOf(bytes, shorter);
      Snapshot fresh;
      Snapshot used = snapshot;
      ASSERT_TRUE(absl::IsInvalidArgument(DecodeTo(message, &fresh))) << tag << ", less " << cut;
      ASSERT_TRUE(absl::IsInvalidArgument(DecodeTo(message, &used))) << tag << ", less " << cut;
    }
  }
}

TEST(Wire, NumbersThatAreNotFiniteAreRefusedByName) {
  for (double bad :
       {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()}) {
    Recommendation r = seer::testing::SampleRecommendation();
    r.upper = bad;
    const absl::Status status = Decode<Recommendation>(Encode(r)).status();
    EXPECT_TRUE(absl::IsInvalidArgument(status));
    EXPECT_THAT(std::string(status.message()), HasSubstr("Recommendation.upper"));
  }
}

TEST(Wire, AnUnknownActionIsRefusedAndAnUnknownCauseIsUndecided) {
  Recommendation r = seer::testing::SampleRecommendation();
  r.cause = static_cast<Cause>(200);
  EXPECT_EQ(Decode<Recommendation>(Encode(r))->cause, Cause::kUndecided);
  r.action = static_cast<Action>(200);
  const absl::Status status = Decode<Recommendation>(Encode(r)).status();
  EXPECT_THAT(std::string(status.message()), HasSubstr("Recommendation.action: 200 is unknown"));
}

// "2^32 services claimed", and the like: refused by name before any memory is asked for.
TEST(Wire, ClaimsBeyondTheMessageAreRefusedByName) {
  struct Case {
    std::uint32_t tag;
    std::uint32_t claim;
    const char* field;
  };
  for (const Case& c :
       {Case{2, 0xffffffffu, "Topology.services.rows"}, Case{3, 0x80000000u, "Topology.nodes.rows"},
        Case{4, 1u << 20, "Topology.instances.rows"}, Case{5, 1000, "Topology.edges.rows"}}) {
    SCOPED_TRACE(c.field);
    std::string bytes = Encode(seer::testing::SampleTopology());
    for (std::size_t at = kWireHeaderBytes; at < bytes.size();) {
      std::uint32_t tag = 0;
      std::uint32_t size = 0;
      std::memcpy(&tag, &bytes[at], 4);
      std::memcpy(&size, &bytes[at + 4], 4);
      if (tag == c.tag) std::memcpy(&bytes[at + 8], &c.claim, 4);
      at += 8 + size;
    }
    SealMessage(&bytes);
    const absl::Status status = Decode<Topology>(bytes).status();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr(c.field));
  }
}

TEST(Wire, DuplicateNamesAreRefusedByName) {
  Topology t;
  (void)*t.AddService("cart-a", "shop");
  (void)*t.AddService("cart-b", "shop");
  std::string bytes = Encode(t);
  bytes[bytes.find("cart-b") + 5] = 'a';
  SealMessage(&bytes);
  const absl::Status status = Decode<Topology>(bytes).status();
  EXPECT_FALSE(status.ok());
  EXPECT_THAT(std::string(status.message()), HasSubstr("services[1]"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("cart-a"));
}

TEST(Wire, SpanRecordsMayGrow) {
  const SpanBatch batch = seer::testing::SampleSpans(5);
  std::string bytes = Encode(batch);
  // As a newer version would send them: eight bytes more for each span.
  const std::size_t spans = bytes.size() - 5 * sizeof(Span);
  for (std::size_t i = 5; i > 0; --i) bytes.insert(spans + i * sizeof(Span), "newfield");
  const std::uint32_t record = sizeof(Span) + 8;
  const std::uint32_t section = 8 + 5 * record;
  std::memcpy(&bytes[spans - 8], &record, 4);
  std::memcpy(&bytes[spans - 12], &section, 4);
  SealMessage(&bytes);
  const absl::StatusOr<SpanBatch> decoded = Decode<SpanBatch>(bytes);
  ASSERT_TRUE(decoded.ok()) << decoded.status();
  EXPECT_TRUE(*decoded == batch);
}

}  // namespace
}  // namespace seer
