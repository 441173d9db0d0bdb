// Flow: Mirror -> StateDelta -> the host's transport -> Mirror of a stand-by
//
// One thing that a primary did, so that a stand-by can do it too: a message that it took, a moment
// at which it looked at the clock, a node that was removed, another model. Deltas are numbered
// without gaps.
//
//   std::string bytes = seer::EncodeDelta(delta);
//   absl::StatusOr<seer::StateDelta> again = seer::DecodeDelta(bytes);
//
// The bytes, little-endian, version 1:
//
//   0 "SEERDELT"     8 u16 version     10 u8 kind    11 u8 0        12 u32 bytes of the payload
//   16 u64 stream    24 u64 term       32 u64 sequence              40 i64 time_ns
//   48 u32 previous  52 u32 forecast   56 u32 0      60 u32 CRC-32C of bytes 0 to 59 and payload
//   64 the payload
//
// Threads: plain values. Cost: a copy and a checksum. Any bytes may be decoded.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "seer/core/config.h"

SEER_BEGIN_NAMESPACE

enum class DeltaKind : std::uint8_t {
  kTakeOver = 1,    // somebody became primary, for a new term; no payload
  kMessage = 2,     // an encoded Topology or Snapshot
  kAdvance = 3,     // looked at the clock; no payload
  kRemoveNode = 4,  // its name
  kModel = 5,       // bytes of a model that is to take over; none: the one that looks on is dropped
};

struct StateDelta {
  static constexpr std::size_t kHeaderBytes = 64;
  static constexpr std::size_t kMostPayload = std::size_t{1} << 30;
  static constexpr std::int64_t kLatestNs = std::int64_t{1} << 62;  // and half of it before 1970

  DeltaKind kind = DeltaKind::kAdvance;
  std::uint64_t stream = 0;    // whose history: one life of a group of mirrors
  std::uint64_t term = 0;      // of the primary that did it
  std::uint64_t sequence = 0;  // from 1
  std::int64_t time_ns = 0;    // what the primary's clock said
  std::uint32_t previous = 0;  // checksum of the delta before; 0 at the first
  std::uint32_t forecast = 0;  // checksum of the forecast that came of it; 0: none did
  std::string payload;

  friend bool operator==(const StateDelta& a, const StateDelta& b) {
    return a.kind == b.kind && a.stream == b.stream && a.term == b.term &&
           a.sequence == b.sequence && a.time_ns == b.time_ns && a.previous == b.previous &&
           a.forecast == b.forecast && a.payload == b.payload;
  }
};

// A payload of more than kMostPayload gives no bytes.
std::string EncodeDelta(const StateDelta& delta);
// DataLoss: cut off or damaged. InvalidArgument: no delta. Unimplemented: of a later version.
absl::StatusOr<StateDelta> DecodeDelta(std::string_view bytes);
// How many bytes the delta has that begins here, from its first 64. OutOfRange: fewer are there;
// InvalidArgument as DecodeDelta(). Says nothing about whether the rest is sound.
absl::StatusOr<std::size_t> PeekDelta(std::string_view bytes);

SEER_END_NAMESPACE
