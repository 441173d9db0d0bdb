// What RTM_GETQDISC answers.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "seer/core/config.h"
#include "seer/probe/net_depths.h"

SEER_BEGIN_NAMESPACE
namespace internal {

std::vector<char> BuildQdiscRequest();

// A row for each root discipline, without the device's name.
class QdiscTally final : public DumpSink {
 public:
  explicit QdiscTally(std::vector<DeviceDepths>* rows) : rows_(*rows) {}
  void Restart() override { rows_.clear(); }
  void Take(std::uint16_t type, absl::Span<const char> payload) override;
  void Finish();  // sorts, and keeps the first row of each device

 private:
  std::vector<DeviceDepths>& rows_;
};

}  // namespace internal
SEER_END_NAMESPACE
