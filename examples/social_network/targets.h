// What each class of requests should keep to.
#pragma once

#include <array>
#include <chrono>

#include "schedule.h"
#include "seer/core/topology.h"

namespace social {

inline const std::array<seer::QosTarget, kRequestKinds>& Targets() {
  using std::chrono::milliseconds;
  using std::chrono::seconds;
  // There are 30 posts in a second: one of them is 3 %.
  static const std::array<seer::QosTarget, kRequestKinds> targets = {
      seer::QosTarget::AtMost(0.01, milliseconds(100), seconds(1)),
      seer::QosTarget::AtMost(0.02, milliseconds(100), seconds(1)),
      seer::QosTarget::AtMost(0.05, milliseconds(200), seconds(1))};
  return targets;
}

}  // namespace social
