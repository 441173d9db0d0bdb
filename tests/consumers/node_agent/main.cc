// A node agent: numbers what runs on its node, reads its queues once, and encodes what the control
// plane needs. Also what comes down: a recommendation, read before anybody acts on it.
#include <chrono>
#include <cstdio>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "seer/act/callback_actuator.h"
#include "seer/act/executor.h"
#include "seer/core/clock.h"
#include "seer/core/recommendation.h"
#include "seer/core/snapshot.h"
#include "seer/core/topology.h"
#include "seer/core/wire.h"
#include "seer/probe/reading.h"
#include "seer/probe/softnet.h"
#include "seer/queue/reader.h"
#include "seer/queue/registry.h"

namespace {

// As if a service had `waiting` requests in its queue: found by its name, as any other's.
std::uint32_t ReadDepth(int waiting) {
  seer::RegistryOptions service;
  service.directory = "";
  const auto registry = seer::QueueRegistry::Create(service);
  seer::ReaderOptions options;
  options.directory = "";
  const auto reader = seer::Reader::Open(options);
  if (!registry.ok() || !reader.ok() || !(*reader)->Add(**registry).ok()) return 0;
  const auto queue = (*registry)->AddQueue("cart", seer::Channel::kQueued);
  if (!queue.ok()) return 0;
  for (int i = 0; i < waiting; ++i) queue->Enter();
  const seer::NodeReading& now = (*reader)->Read();
  const bool found = now.queues.size() == 1 && (*reader)->queues()[0].service == "cart";
  return found ? now.queues[0].depth : 0;
}

}  // namespace

int main() {
  seer::ManualClock clock(1'700'000'000'000'000'000);
  absl::StatusOr<seer::Topology> topology = seer::Topology::OfNode("node-1", 1);
  if (!topology.ok()) return 1;
  const auto node = topology->AddNode("node-1");
  const auto cart = topology->AddService("cart", "shop");
  const auto database = topology->AddService("cart-db", "shop");
  if (!node.ok() || !cart.ok() || !database.ok()) return 1;
  const auto edge = topology->AddEdge(*cart, *database);
  const auto instance = topology->AddInstance(*cart, "cart-0", *node);
  if (!edge.ok() || !instance.ok()) return 1;

  seer::Snapshot snapshot;
  snapshot.origin = topology->origin();
  snapshot.tick = snapshot.period.TickAt(clock.NowNs());
  snapshot.instances.Reset(topology->instances().size());
  snapshot.edges.Reset(topology->edges().size());
  seer::ChannelSample queued;
  queued.depth = ReadDepth(12);
  if (queued.depth != 12) {
    std::fprintf(stderr, "the reader sees a depth of %u\n", queued.depth);
    return 1;
  }
  snapshot.instances.Set(*instance, seer::Channel::kQueued, queued);
  const seer::Reading backlog = seer::SoftnetProbe().Sample().backlog_packets;
  if (!backlog.ok()) {
    snapshot.instances.set_missing(seer::Channel::kNic, seer::MissingOf(backlog.reason));
  }
  seer::EdgeSample calls;
  calls.outstanding = 5;
  snapshot.edges.Set(*edge, calls);

  const std::string numbering = seer::Encode(*topology);
  const std::string sample = seer::Encode(snapshot);
  const absl::StatusOr<seer::WireHeader> header = seer::PeekWire(sample);
  if (!header.ok() || header->kind != seer::WireKind::kSnapshot ||
      header->message_bytes != sample.size()) {
    std::fprintf(stderr, "the header does not describe the message\n");
    return 1;
  }

  // Bytes that are no recommendation must be refused, not acted upon.
  if (seer::Decode<seer::Recommendation>(sample).ok()) {
    std::fprintf(stderr, "a snapshot passed for a recommendation\n");
    return 1;
  }
  const seer::Recommendation recommendation;
  if (!seer::Decode<seer::Recommendation>(seer::Encode(recommendation)).ok()) {
    std::fprintf(stderr, "the recommendation does not survive its bytes\n");
    return 1;
  }
  // What it would do about one: a dry run, as executors are unless told.
  double replicas = 2;
  seer::CallbackOptions pool;
  pool.actions = {seer::Action::kReplicas};
  pool.granted = {"cart"};
  pool.read = [&](const seer::ActionTarget&, seer::Action) {
    return absl::StatusOr<double>(replicas);
  };
  pool.write = [&](const seer::ActionTarget&, seer::Action, double to) {
    replicas = to;
    return absl::OkStatus();
  };
  std::vector<std::unique_ptr<seer::Actuator>> actuators;
  auto actuator = seer::MakeCallbackActuator(pool);
  if (!actuator.ok()) return 1;
  actuators.push_back(*std::move(actuator));
  seer::ExecutorOptions executor_options;
  executor_options.clock = &clock;
  const auto executor = seer::Executor::Create(executor_options, std::move(actuators));
  if (!executor.ok()) return 1;
  seer::Recommendation more;
  more.id = 1;
  more.issued_ns = clock.NowNs();
  more.target.service = "cart";
  more.action = seer::Action::kReplicas;
  more.to = 3;
  more.upper = 5;
  const seer::ActionTaken taken = (*executor)->Apply(more);
  if (taken.outcome != seer::ActionOutcome::kShadow || taken.value_after != 3 || replicas != 2) {
    std::fprintf(stderr, "the dry run says %s\n", taken.detail.c_str());
    return 1;
  }
  std::printf("topology %zu bytes, snapshot %zu bytes\n", numbering.size(), sample.size());
}
