// Flow: HwTarget -> [RemoteMonitor] -> bytes -> host's transport -> another node's HwMonitor ->
// HwReading
//
// The monitor of another node. The host carries the question there and the answer back; on the node
// AnswerHwRequest() of hw_exchange.h makes the one into the other.
//
//   seer::RemoteMonitor monitor([&](std::string_view request) -> absl::StatusOr<std::string> {
//     return rpc.Call("node-17", "hwmon", request);
//   });
//
// The transport must bound its own time: a Read waits for it. An answer to another question, one
// about another instance, or bytes that are no answer, are kUnavailable: no reading this time.
//
// Threads: one at a time. Cost: the transport's, and about 2 us.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "seer/core/config.h"
#include "seer/hwmon/monitor.h"

SEER_BEGIN_NAMESPACE

class RemoteMonitor final : public HwMonitor {
 public:
  using Exchange = std::function<absl::StatusOr<std::string>(std::string_view request)>;

  explicit RemoteMonitor(Exchange exchange) : exchange_(std::move(exchange)) {}
  absl::Status Read(const HwTarget& target, HwReading* reading) override;

 private:
  const Exchange exchange_;
  std::uint64_t next_id_ = 1;
};

SEER_END_NAMESPACE
