// Any bytes as a request, an answer, a record and a baseline. What is accepted must survive another
// round trip unchanged, and a node must answer whatever comes.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>

#include "seer/core/internal/crc32c.h"
#include "seer/hwmon/attribution.h"
#include "seer/hwmon/hw_exchange.h"
#include "seer/hwmon/replay_monitor.h"
#include "seer/hwmon/stall_baseline.h"

namespace seer {
namespace {

void Require(bool condition) {
  if (!condition) std::abort();
}

// A fuzzer does not guess checksums: they stand in bytes 8 to 11 and are of all that follows.
std::string Sealed(std::string_view bytes) {
  std::string sealed(bytes);
  if (sealed.size() < 12) return sealed;
  const std::uint32_t version = 1;
  std::memcpy(&sealed[4], &version, sizeof(version));
  const std::uint32_t crc = internal::Crc32c(std::string_view(sealed).substr(12));
  std::memcpy(&sealed[8], &crc, sizeof(crc));
  return sealed;
}

void Look(std::string_view bytes) {
  NullMonitor monitor;
  Require(DecodeHwAnswer(AnswerHwRequest(monitor, bytes)).ok());
  if (const auto request = DecodeHwRequest(bytes); request.ok()) {
    const auto again = DecodeHwRequest(EncodeHwRequest(*request));
    Require(again.ok() && again->id == request->id && again->target == request->target);
  }
  if (const auto answer = DecodeHwAnswer(bytes); answer.ok()) {
    const auto again = DecodeHwAnswer(EncodeHwAnswer(*answer));
    Require(again.ok() && again->status == answer->status && again->reading == answer->reading);
    StallBaseline baseline;
    if (baseline.Learn(answer->reading)) (void)Attribute(answer->reading, baseline);
  }
  if (const auto baseline = StallBaseline::Decode(bytes); baseline.ok()) {
    const auto again = StallBaseline::Decode(baseline->Encode());
    Require(again.ok() && *again == *baseline);
    for (Resource resource : kAllResources) {
      Require(baseline->StallUs(resource).samples <= StallBaseline::kHistory);
    }
  }
  if (auto replay = ReplayMonitor::Open(bytes); replay.ok()) {
    HwReading reading;
    for (const HwTarget& target : replay->Targets()) (void)replay->Read(target, &reading);
  }
}

}  // namespace
}  // namespace seer

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  seer::Look(bytes);
  seer::Look(seer::Sealed(bytes));
  return 0;
}
