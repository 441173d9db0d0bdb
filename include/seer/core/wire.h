// Flow: value -> [Encode] -> bytes -> host's transport -> bytes -> [Decode] -> value
//
// The values that travel between machines, as bytes. The host carries them over whatever it has.
//
//   bus.Publish(seer::Encode(collector.Tick()));                           // node agent
//
//   absl::StatusOr<seer::Snapshot> snapshot = seer::Decode<seer::Snapshot>(bytes);
//   if (!snapshot.ok()) Count(snapshot.status());                          // control plane
//
// Where it happens thousands of times a second, reuse the buffers: nothing is allocated then.
//
//   seer::EncodeTo(snapshot, &bytes);
//   absl::Status status = seer::DecodeTo(bytes, &snapshot);
//
// Over a byte stream, PeekWire() tells from the first 16 bytes how many the message has. It says
// what the sender says, up to 4 GiB: bound it before making room.
//
// The format (README.md beside this file) is little-endian, versioned apart from the library, and
// protected by CRC-32C. Any minor version reads any other of the same major version: what is new is
// skipped, what is absent keeps its default.
//
// Decode refuses whatever would break an invariant of the value, whoever wrote it: a bad message is
// an error that names the field, never a crash, and takes no more memory than eight times its size.
//   DataLoss         truncated or damaged on the way
//   InvalidArgument  not a message of seer, another kind of message, or contents that contradict
//                    each other
//   Unimplemented    written by a newer major version: update this side
//   OutOfRange       (PeekWire only) fewer than 16 bytes: read more
//
// Threads: pure functions.
// Cost:    about 1 ns per sample in either direction; see benchmarks/RESULTS.md.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "seer/core/action_taken.h"
#include "seer/core/config.h"
#include "seer/core/hw_reading.h"
#include "seer/core/recommendation.h"
#include "seer/core/snapshot.h"
#include "seer/core/span.h"
#include "seer/core/topology.h"

SEER_BEGIN_NAMESPACE

inline constexpr int kWireMajor = 0;
inline constexpr int kWireMinor = 2;
inline constexpr std::size_t kWireHeaderBytes = 16;

enum class WireKind : std::uint8_t {
  kTopology = 1,
  kSnapshot = 2,
  kSpanBatch = 3,
  kHwReading = 4,
  kRecommendation = 5,
  kActionTaken = 6,
};
// "Topology", "Snapshot", ...
std::string_view WireKindName(WireKind kind);

struct WireHeader {
  WireKind kind;
  int major;
  int minor;
  std::size_t message_bytes;  // with the header
};
// Looks at the first 16 bytes only: says nothing about whether the rest is sound.
absl::StatusOr<WireHeader> PeekWire(std::string_view bytes);

// Replaces what `bytes` holds; reuses its memory. A value of more than 4 GiB, which only a runaway
// program makes, leaves `bytes` empty.
void EncodeTo(const Topology& topology, std::string* bytes);
void EncodeTo(const Snapshot& snapshot, std::string* bytes);
void EncodeTo(const SpanBatch& batch, std::string* bytes);
void EncodeTo(const HwReading& reading, std::string* bytes);
void EncodeTo(const Recommendation& recommendation, std::string* bytes);
void EncodeTo(const ActionTaken& taken, std::string* bytes);

template <typename Value>
std::string Encode(const Value& value) {
  std::string bytes;
  EncodeTo(value, &bytes);
  return bytes;
}

// Reads one whole message. On an error the value is left empty, not half-filled.
[[nodiscard]] absl::Status DecodeTo(std::string_view bytes, Topology* topology);
[[nodiscard]] absl::Status DecodeTo(std::string_view bytes, Snapshot* snapshot);
[[nodiscard]] absl::Status DecodeTo(std::string_view bytes, SpanBatch* batch);
[[nodiscard]] absl::Status DecodeTo(std::string_view bytes, HwReading* reading);
[[nodiscard]] absl::Status DecodeTo(std::string_view bytes, Recommendation* recommendation);
[[nodiscard]] absl::Status DecodeTo(std::string_view bytes, ActionTaken* taken);

template <typename Value>
[[nodiscard]] absl::StatusOr<Value> Decode(std::string_view bytes) {
  Value value;
  absl::Status status = DecodeTo(bytes, &value);
  if (!status.ok()) return status;
  return value;
}

SEER_END_NAMESPACE
