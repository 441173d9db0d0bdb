// A predictor that goes on from what another one has learnt while it ran. Private to predict.
#pragma once

#include "seer/core/config.h"
#include "seer/core/topology.h"
#include "seer/predict/tick_predictor.h"

SEER_BEGIN_NAMESPACE
namespace internal {

class Heir {
 public:
  virtual ~Heir() = default;
  // Where both learn the same while they run: from the next tick on this one is as if it had seen
  // all that `from` has. Else false, and it is as newly made. `topology`: of the last tick, or a
  // later version.
  virtual bool Inherit(TickPredictor* from, const Topology& topology) = 0;
};

}  // namespace internal
SEER_END_NAMESPACE
