// A control plane: gets two nodes' topologies and a snapshot as bytes, maps the nodes' numbers to
// its own, and reads a depth by the cluster's id.
#include <cstdio>
#include <string>

#include "seer/core/snapshot.h"
#include "seer/core/topology.h"
#include "seer/core/wire.h"

namespace {

// What the agent of a node would have sent.
std::string TopologyBytes(const char* node, const char* service) {
  seer::Topology topology = *seer::Topology::OfNode(node, 1);
  const seer::NodeId here = *topology.AddNode(node);
  const seer::ServiceId id = *topology.AddService(service, "shop");
  topology.AddInstance(id, "0", here).value();
  return seer::Encode(topology);
}

std::string SnapshotBytes(const char* node, std::uint32_t depth) {
  seer::Snapshot snapshot;
  snapshot.origin.node = node;
  snapshot.origin.epoch = 1;
  snapshot.instances.Reset(1);
  seer::ChannelSample queued;
  queued.depth = depth;
  snapshot.instances.Set(seer::InstanceId(0), seer::Channel::kQueued, queued);
  return seer::Encode(snapshot);
}

}  // namespace

int main() {
  seer::Topology cluster;
  seer::TopologyMap from_second;
  for (const std::string& bytes :
       {TopologyBytes("node-1", "front"), TopologyBytes("node-2", "cart")}) {
    const absl::StatusOr<seer::Topology> theirs = seer::Decode<seer::Topology>(bytes);
    if (!theirs.ok()) return 1;
    absl::StatusOr<seer::TopologyMap> map = cluster.Merge(*theirs);
    if (!map.ok()) return 1;
    from_second = *std::move(map);
  }
  if (!cluster.AddEdge(*cluster.FindService("front"), *cluster.FindService("cart")).ok()) return 1;

  const absl::StatusOr<seer::Snapshot> snapshot =
      seer::Decode<seer::Snapshot>(SnapshotBytes("node-2", 42));
  if (!snapshot.ok()) return 1;
  // Number 0 on node 2 is number 1 in the cluster.
  const seer::InstanceId cart = from_second[seer::InstanceId(0)];
  const auto sample = snapshot->instances.Get(seer::InstanceId(0), seer::Channel::kQueued);
  if (cart != seer::InstanceId(1) || !sample.has_value() || sample->depth != 42 ||
      cluster.service(cluster.instance(cart).service).name != "cart") {
    std::fprintf(stderr, "the depth does not reach the right instance\n");
    return 1;
  }

  std::string damaged = SnapshotBytes("node-2", 42);
  damaged.back() = static_cast<char>(damaged.back() ^ 1);
  const absl::Status refused = seer::Decode<seer::Snapshot>(damaged).status();
  if (refused.ok()) {
    std::fprintf(stderr, "damaged bytes were accepted\n");
    return 1;
  }
  std::printf("%s: depth %u\n", cluster.instance(cart).name.c_str(), sample->depth);
}
