#include "seer/hwmon/remote_monitor.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "seer/hwmon/hw_exchange.h"

SEER_BEGIN_NAMESPACE

absl::Status RemoteMonitor::Read(const HwTarget& target, HwReading* reading) {
  ClearReading(target, reading);
  if (absl::Status status = CheckTarget(target); !status.ok()) return status;
  if (exchange_ == nullptr) {
    return absl::UnimplementedError("exchange: there is none: give the monitor a transport");
  }
  HwRequest request;
  request.id = next_id_++;
  request.target = target;
  absl::StatusOr<std::string> bytes = exchange_(EncodeHwRequest(request));
  if (!bytes.ok()) return bytes.status();
  absl::StatusOr<HwAnswer> answer = DecodeHwAnswer(*bytes);
  if (!answer.ok()) {
    return absl::UnavailableError(absl::StrCat("the node's answer: ", answer.status().message()));
  }
  if (!answer->status.ok()) return answer->status;
  if (answer->id != request.id || answer->reading.target != target.instance ||
      !(answer->reading.origin == target.origin)) {
    return absl::UnavailableError(
        "the node's answer: it is one to another question: match questions and answers");
  }
  *reading = std::move(answer->reading);
  return absl::OkStatus();
}

SEER_END_NAMESPACE
