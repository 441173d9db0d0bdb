// Ticks of which a part is not seen: what a predictor is worth where probes are missing.
//
//   auto predictor = MakeBlind("seer-missing30", *std::move(inner), 0.3);
//
// A service's probe tells its channels and the calls that it makes. Which ones are missing follows
// from the names of the service and of the nodes it is placed on: the same in each tick of a run,
// others in another run. What clients see stays: the latencies, and the calls from outside.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "seer/core/topology.h"
#include "seer/predict/tick_predictor.h"
#include "seer/window/cluster_tick.h"

namespace seer::evaluation {

class Blind {
 public:
  explicit Blind(double share) : share_(share) {}
  // Whether the probe of each service is missing.
  std::vector<bool> Missing(const Topology& topology) const;
  // Valid until the next call.
  const ClusterTick& Of(const ClusterTick& tick, const Topology& topology);
  // Another run comes, whose topology may have the same version.
  void Forget() { known_ = false; }

 private:
  double share_;
  std::uint64_t epoch_ = 0, version_ = 0;
  bool known_ = false;
  std::vector<bool> missing_;
  ClusterTick seen_;
};

std::unique_ptr<TickPredictor> MakeBlind(std::string name, std::unique_ptr<TickPredictor> predictor,
                                         double share);

}  // namespace seer::evaluation
