#include "seer/hwmon/replay_monitor.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string>

#include "absl/strings/str_cat.h"
#include "seer/hwmon/hw_exchange.h"

SEER_BEGIN_NAMESPACE
namespace {

// A record: u32 bytes of the request, u32 bytes of the answer, the request, the answer.
constexpr std::size_t kRecordHeader = 8;

}  // namespace

absl::Status RecordingMonitor::Read(const HwTarget& target, HwReading* reading) {
  HwAnswer answer;
  answer.status = ReadGuarded(monitor_, target, reading);
  if (answer.status.ok()) answer.reading = *reading;
  if (sink_ == nullptr) return answer.status;
  HwRequest request;
  request.target = target;
  const std::string asked = EncodeHwRequest(request);
  const std::string said = EncodeHwAnswer(answer);
  std::string record(kRecordHeader, '\0');
  const auto asked_size = static_cast<std::uint32_t>(asked.size());
  const auto said_size = static_cast<std::uint32_t>(said.size());
  std::memcpy(&record[0], &asked_size, sizeof(asked_size));
  std::memcpy(&record[4], &said_size, sizeof(said_size));
  sink_(record + asked + said);
  return answer.status;
}

absl::StatusOr<ReplayMonitor> ReplayMonitor::Open(std::string_view bytes) {
  ReplayMonitor replay;
  while (bytes.size() >= kRecordHeader) {
    std::uint32_t asked = 0, said = 0;
    std::memcpy(&asked, bytes.data(), sizeof(asked));
    std::memcpy(&said, bytes.data() + 4, sizeof(said));
    const auto where = [&] { return absl::StrCat("record ", replay.records_.size(), ": "); };
    if (asked > kMaxHwRequestBytes || said > kMaxHwAnswerBytes) {
      return absl::InvalidArgumentError(
          absl::StrCat(where(), "not one of a RecordingMonitor: give the bytes it handed out"));
    }
    if (bytes.size() - kRecordHeader < std::size_t{asked} + said) break;
    bytes.remove_prefix(kRecordHeader);
    absl::StatusOr<HwRequest> request = DecodeHwRequest(bytes.substr(0, asked));
    absl::StatusOr<HwAnswer> answer = DecodeHwAnswer(bytes.substr(asked, said));
    for (const absl::Status& status : {request.status(), answer.status()}) {
      if (!status.ok()) {
        return absl::Status(status.code(), absl::StrCat(where(), status.message()));
      }
    }
    bytes.remove_prefix(std::size_t{asked} + said);
    replay.records_.push_back(
        {std::move(request->target), answer->status, std::move(answer->reading)});
  }
  return replay;
}

absl::Status ReplayMonitor::Read(const HwTarget& target, HwReading* reading) {
  ClearReading(target, reading);
  for (Record& record : records_) {
    if (record.said || !(record.target == target)) continue;
    record.said = true;
    if (!record.status.ok()) return record.status;
    *reading = record.reading;
    return absl::OkStatus();
  }
  return absl::UnavailableError(ToString(target) + ": the record says no more about it");
}

std::vector<HwTarget> ReplayMonitor::Targets() const {
  std::vector<HwTarget> targets;
  for (const Record& record : records_) {
    if (std::find(targets.begin(), targets.end(), record.target) == targets.end()) {
      targets.push_back(record.target);
    }
  }
  return targets;
}

SEER_END_NAMESPACE
