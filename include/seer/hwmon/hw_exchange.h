// Flow: HwRequest -> [EncodeTo] -> bytes -> host's transport -> [AnswerHwRequest] -> bytes ->
// HwAnswer
//
// A question to a monitor and its answer as bytes, so that a control plane can read the monitors of
// other nodes over whatever the host has (remote_monitor.h), and so that a session with a monitor
// can be kept in a file (replay_monitor.h).
//
//   std::string answer = seer::AnswerHwRequest(monitor, request_bytes);     // on the node
//
// The format: "SeHq" (request) or "SeHa" (answer), u32 version, u32 CRC-32C of the rest; then the
// fields in the order of the structs, numbers little-endian, strings with a u32 length before them,
// the reading as core/wire.h writes it. Errors are those of core/wire.h.
//
// Threads: pure functions. Cost: about 1 us.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "seer/core/config.h"
#include "seer/core/hw_reading.h"
#include "seer/hwmon/monitor.h"

SEER_BEGIN_NAMESPACE

struct HwRequest {
  std::uint64_t id = 0;  // comes back in the answer
  HwTarget target;
};

struct HwAnswer {
  std::uint64_t id = 0;
  absl::Status status;
  HwReading reading;  // where the status is OK
};

// More bytes than this are no message of ours: a request has at most this many.
inline constexpr std::size_t kMaxHwRequestBytes = 8192;
inline constexpr std::size_t kMaxHwAnswerBytes = 65536;

std::string EncodeHwRequest(const HwRequest& request);
std::string EncodeHwAnswer(const HwAnswer& answer);
absl::StatusOr<HwRequest> DecodeHwRequest(std::string_view bytes);
absl::StatusOr<HwAnswer> DecodeHwAnswer(std::string_view bytes);

// What a node does with a request: decodes it, reads the monitor (as ReadGuarded does), encodes the
// answer. Bytes that are no request are answered, too: with their error and id 0.
std::string AnswerHwRequest(HwMonitor& monitor, std::string_view request);

SEER_END_NAMESPACE
