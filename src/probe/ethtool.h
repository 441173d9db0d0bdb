// The driver's statistics, as `ethtool -S` shows them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "seer/core/config.h"

SEER_BEGIN_NAMESPACE
namespace internal {

enum class NicStatistic : std::uint8_t { kOther, kReceiveDropped, kTransmitDropped };

struct NicStatisticName {
  NicStatistic kind = NicStatistic::kOther;
  bool of_ring = false;  // one ring's share
};
NicStatisticName ClassifyNicStatistic(std::string_view name);

}  // namespace internal
SEER_END_NAMESPACE
