#include "node_agent.h"

#include <chrono>
#include <stdexcept>

#include "seer/core/wire.h"

namespace foresee {

NodeAgent::NodeAgent(const std::string& queue_directory)
    : target_(
          seer::QosTarget::AtMost(0.01, std::chrono::milliseconds(100), std::chrono::seconds(1))) {
  seer::CollectorOptions options;
  options.node = "machine";
  options.period = period();
  options.reader.directory = queue_directory;
  auto collector = seer::Collector::Create(options);
  if (!collector.ok()) throw std::runtime_error(std::string(collector.status().message()));
  collector_ = *std::move(collector);

  auto clients = seer::Topology::OfNode("clients", 1);
  if (!clients.ok()) throw std::runtime_error(std::string(clients.status().message()));
  clients_ = *std::move(clients);
  const auto gateway = clients_.AddService("gateway", "shop");
  if (!gateway.ok() || !clients_.AddRequestClass("shop", "timeline", target_, *gateway).ok()) {
    throw std::runtime_error("the clients' topology");
  }
}

std::vector<std::string> NodeAgent::Tick(Load& load) {
  std::vector<std::string> messages;
  const seer::Snapshot& queues = collector_->Tick();
  const seer::Topology& topology = collector_->topology();
  if (topology.origin().epoch != sent_epoch_ || topology.version() != sent_version_) {
    sent_epoch_ = topology.origin().epoch;
    sent_version_ = topology.version();
    messages.push_back(seer::Encode(topology));
  }
  messages.push_back(seer::Encode(queues));

  if (!clients_sent_) messages.push_back(seer::Encode(clients_));
  clients_sent_ = true;
  latencies_.origin = clients_.origin();
  latencies_.tick = queues.tick;
  latencies_.period = queues.period;
  latencies_.classes = {load.Take(queues.tick)};
  messages.push_back(seer::Encode(latencies_));
  return messages;
}

}  // namespace foresee
