// seer in one minute: four services of a social network, a fault in one of them, and who looks
// guilty.
//
// A toy model stands for the application: each service has workers, a request holds its worker
// while it waits for the next service. After half a second the database of post-storage gets slow.
// What follows is what every real deployment does: the node agent describes the node once
// (Topology), sends a Snapshot every 100 ms, and the control plane, which knows nothing of the node
// but the bytes that arrive, looks for the culprit.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

#include "seer/core/topology.h"
#include "seer/core/topology_order.h"
#include "seer/core/wire.h"

namespace {

// The application: a chain of services, in steps of 1 ms, requests as a fluid.
class ToyApplication {
 public:
  struct Tier {
    const char* name;
    double workers;
    double service_ms;
    double queued = 0, running = 0, blocked = 0;  // requests
    double arrived = 0, left = 0;                 // during this tick
    double outstanding() const { return queued + running + blocked; }
  };
  std::vector<Tier> tiers = {{"nginx", 1024, 1},
                             {"home-timeline", 256, 3},
                             {"post-storage", 128, 4},
                             {"post-storage-db", 16, 2}};

  void Step(double requests) {
    Arrive(tiers[0], requests);
    for (std::size_t i = 0; i < tiers.size(); ++i) {
      Tier& tier = tiers[i];
      const double start = std::min(tier.queued, tier.workers - tier.running - tier.blocked);
      tier.queued -= start;
      tier.running += start;
      const double done = tier.running * std::min(1.0, 1 / tier.service_ms);
      tier.running -= done;
      if (i + 1 < tiers.size()) {
        tier.blocked += done;
        Arrive(tiers[i + 1], done);
        continue;
      }
      tier.left += done;  // the answer travels up the chain and frees a worker on every tier
      for (std::size_t caller = i; caller-- > 0;) {
        tiers[caller].blocked -= done;
        tiers[caller].left += done;
      }
    }
  }

 private:
  static void Arrive(Tier& tier, double requests) {
    tier.queued += requests;
    tier.arrived += requests;
  }
};

std::uint32_t Count(double requests) { return static_cast<std::uint32_t>(std::lround(requests)); }

// What the node agent sends at the end of a tick. The toy's tiers have the ids 0, 1, 2, ... because
// they were added in this order; edge i leads into tier i.
seer::Snapshot ReadCounters(ToyApplication& app, const seer::Topology& node, seer::Tick tick) {
  seer::Snapshot snapshot;
  snapshot.origin = node.origin();
  snapshot.tick = tick;
  snapshot.instances.Reset(node.instances().size());
  snapshot.edges.Reset(node.edges().size());
  for (std::uint32_t i = 0; i < app.tiers.size(); ++i) {
    ToyApplication::Tier& tier = app.tiers[i];
    const auto set = [&](seer::Channel channel, double depth) {
      seer::ChannelSample sample;
      sample.depth = Count(depth);
      sample.counted = true;
      sample.arrivals = Count(tier.arrived);
      sample.departures = Count(tier.left);
      snapshot.instances.Set(seer::InstanceId(i), channel, sample);
    };
    set(seer::Channel::kQueued, tier.queued);
    set(seer::Channel::kRunning, tier.running + tier.blocked);
    set(seer::Channel::kBlocked, tier.blocked);
    snapshot.edges.Set(seer::EdgeId(i), {Count(tier.outstanding()), 0, Count(tier.arrived)});
    tier.arrived = tier.left = 0;
  }
  return snapshot;
}

std::string Bar(std::int64_t requests) {
  return std::string(static_cast<std::size_t>(std::clamp<std::int64_t>(requests / 2, 0, 24)), '#');
}

}  // namespace

int main() {
  ToyApplication app;

  // The node agent: what runs here, under the node's own ids.
  seer::Topology node = *seer::Topology::OfNode("node-1", 1);
  const seer::NodeId here = *node.AddNode("node-1");
  seer::ServiceId caller;  // none: the world outside
  for (const ToyApplication::Tier& tier : app.tiers) {
    const seer::ServiceId service = *node.AddService(tier.name, "social-network");
    const bool added = node.AddInstance(service, std::string(tier.name) + "-0", here).ok() &&
                       node.AddEdge(caller, service).ok();
    if (!added) return 1;
    caller = service;
  }

  // The control plane: folds the node's numbering into its own by name.
  const absl::StatusOr<seer::Topology> received = seer::Decode<seer::Topology>(seer::Encode(node));
  if (!received.ok()) return 1;
  seer::Topology cluster;
  const absl::StatusOr<seer::TopologyMap> map = cluster.Merge(*received);
  if (!map.ok()) return 1;
  const seer::TopologyOrder order = seer::OrderServices(cluster);
  std::printf("services, back end first:");
  for (seer::ServiceId id : order.services) {
    std::printf(" %s", cluster.service(id).name.c_str());
  }
  std::printf(
      "\n\n  time  outstanding (queued, running, blocked)     self depth = outstanding - "
      "blocked\n");

  seer::Snapshot snapshot;
  std::size_t bytes_sent = 0;
  for (seer::Tick tick = 1; tick <= 9; ++tick) {
    for (int ms = 0; ms < 100; ++ms) {
      if (tick == 6 && ms == 0) app.tiers[3].service_ms = 100;  // the fault
      app.Step(0.4);                                            // 400 requests/s
    }
    const std::string bytes =
        seer::Encode(ReadCounters(app, node, tick));  // the host carries these
    bytes_sent += bytes.size();
    const absl::Status status = seer::DecodeTo(bytes, &snapshot);
    if (!status.ok()) {
      std::printf("%s\n", status.ToString().c_str());
      return 1;
    }
    if (tick < 5) continue;  // warming up

    std::int64_t longest = -1, most = -1;
    std::string longest_name, self_name;
    std::printf("%4d ms\n", static_cast<int>(tick) * 100);
    for (const seer::Edge& edge : received->edges()) {
      const auto id = seer::EdgeId(static_cast<std::uint32_t>(&edge - received->edges().data()));
      const seer::InstanceId instance(edge.callee.value());  // one instance for each service here
      const auto calls = snapshot.edges.Get(id);
      const auto blocked = snapshot.instances.Get(instance, seer::Channel::kBlocked);
      if (!calls || !blocked) continue;  // not seen is not zero
      const std::int64_t outstanding = calls->outstanding;
      const std::int64_t self = outstanding - std::int64_t{blocked->depth};
      const std::string& name = cluster.service((*map)[edge.callee]).name;
      std::printf("        %-16s %5d %-24s %5d %s\n", name.c_str(), static_cast<int>(outstanding),
                  Bar(outstanding).c_str(), static_cast<int>(self), Bar(self).c_str());
      if (outstanding > longest) longest = outstanding, longest_name = name;
      if (self > most) most = self, self_name = name;
    }
    if (longest < 10) {
      std::printf("        all quiet\n");
    } else {
      std::printf("        the longest queue blames %s, self depth blames %s\n",
                  longest_name.c_str(), self_name.c_str());
    }
  }
  std::printf("\n%zu bytes sent, %zu a tick. The fault was in post-storage-db.\n", bytes_sent,
              bytes_sent / 9);
  return 0;
}
