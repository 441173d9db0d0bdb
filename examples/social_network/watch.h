// The node agent and the control plane of this machine: reads the queues of all processes, and what
// the clients measured; makes messages of it, as between machines; and foresees.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "deployment.h"
#include "load.h"
#include "schedule.h"
#include "seer/core/snapshot.h"
#include "seer/core/topology.h"
#include "seer/predict/predictor.h"
#include "seer/queue/collector.h"
#include "seer/window/violations.h"

namespace social {

// What each class of requests should keep to.
const std::array<seer::QosTarget, kRequestKinds>& Targets();

struct News {
  enum class Kind { kAlarm, kViolation } kind = Kind::kAlarm;
  std::int64_t at_ns = 0;  // unix time: the end of a tick
  std::string request_class;
  std::string blamed;  // of an alarm: a service, a store, or "load"
  double share = 0;    // how sure of it
};

class Watch {
 public:
  explicit Watch(const Deployment& deployment);

  // The tick that ended last; to be called shortly after its end. What began in it.
  std::vector<News> Tick(Load& load);
  // Services and stores, by name, of which a queue or the calls to it are known.
  std::vector<std::string> Services() const;

 private:
  void Receive(const std::string& message);

  std::unique_ptr<seer::Collector> collector_;  // the queues, of the node "machine"
  seer::Topology clients_;                      // the latencies, of the node "clients"
  std::uint64_t sent_epoch_ = 0;
  std::uint64_t sent_version_ = 0;
  seer::Snapshot latencies_;

  std::unique_ptr<seer::Predictor> predictor_;
  seer::ViolationDetector violations_;
  seer::Tick last_ = 0;
  std::vector<bool> alarm_;              // by class
  std::vector<std::int64_t> violation_;  // by class: the start of the one that was told last
};

}  // namespace social
