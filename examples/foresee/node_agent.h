// What runs on the node: reads the queues of all processes, and what the clients measured, and
// makes messages of it for the control plane.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "load.h"
#include "seer/core/snapshot.h"
#include "seer/core/tick.h"
#include "seer/core/topology.h"
#include "seer/queue/collector.h"

namespace foresee {

class NodeAgent {
 public:
  explicit NodeAgent(const std::string& queue_directory);

  // The tick that ended last: encoded topologies where they changed, and snapshots. The queues come
  // from the node "machine", the latencies from the node "clients".
  std::vector<std::string> Tick(Load& load);

  seer::TickPeriod period() const { return {}; }
  const seer::QosTarget& target() const { return target_; }

 private:
  const seer::QosTarget target_;
  std::unique_ptr<seer::Collector> collector_;
  std::uint64_t sent_epoch_ = 0;
  std::uint64_t sent_version_ = 0;
  seer::Topology clients_;
  seer::Snapshot latencies_;
  bool clients_sent_ = false;
};

}  // namespace foresee
