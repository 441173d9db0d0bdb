// Which rows of the node's topology the queues of a reading belong to, and how long rows stay when
// nobody publishes them any more.
//
// A row is present while a process publishes a queue of it, or the host declared it. Once it is
// not, it stays for the grace period, so that a service that restarts keeps its ids; then it
// becomes a tombstone, and so does a service that has neither instances nor edges left and is no
// class's entry. When
// tombstones outnumber the living by far, the topology is numbered anew in another epoch.
//
// Threads: one at a time. Cost: Place() three hash lookups per queue; the others nothing while
// nothing is gone.
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "seer/core/channel.h"
#include "seer/core/config.h"
#include "seer/core/topology.h"
#include "seer/queue/collector.h"
#include "seer/queue/reader.h"

SEER_BEGIN_NAMESPACE
namespace internal {

// Where a queue counts: one channel of an instance, or an edge, or nowhere.
struct QueuePlace {
  InstanceId instance;
  Channel channel = Channel::kNic;
  EdgeId edge;
};

class NodeRows {
 public:
  // InvalidArgument names the option.
  static absl::StatusOr<NodeRows> Create(const CollectorOptions& options, std::uint64_t epoch);

  const Topology& topology() const { return topology_; }

  // The places of all queues, by their number; adds the rows that are missing.
  void Place(absl::Span<const ProcessInfo> processes, absl::Span<const QueueInfo> queues,
             std::int64_t now_ns, std::vector<QueuePlace>* places);
  // Processes of the last Place() with a queue that got no place: no room, or an impossible name.
  std::uint64_t unplaced() const { return unplaced_; }

  // Whether the topology could take it as it is.
  static absl::Status Check(const DeclaredInstance& instance);
  void Declare(const DeclaredInstance& instance);
  static absl::Status Check(const DeclaredClass& request_class);
  void DeclareClass(const DeclaredClass& request_class);
  void Withdraw(std::string_view service, std::string_view instance, std::int64_t now_ns);

  // Buries what has been gone for the grace period.
  void RemoveGone(std::int64_t now_ns);
  bool HasTooManyTombstones() const;
  // All ids become other ones; rows that are gone begin their grace anew.
  TopologyMap NewEpoch(std::uint64_t epoch, std::int64_t now_ns);

 private:
  static constexpr std::int64_t kNever = std::numeric_limits<std::int64_t>::max();

  struct Presence {
    bool published = false;
    bool declared = false;
    bool pids_declared = false;
    std::int64_t gone_since_ns = 0;  // where it is neither
    bool here() const { return published || declared; }
  };

  NodeRows(Topology topology, NodeId here, std::int64_t grace_ns, std::size_t max_rows)
      : topology_(std::move(topology)), here_(here), grace_ns_(grace_ns), max_rows_(max_rows) {}

  ServiceId FindOrAddService(std::string_view name);
  InstanceId FindOrAddInstance(ServiceId service, std::string_view name);
  EdgeId FindOrAddEdge(ServiceId caller, ServiceId callee);
  void SetPublishedPids(absl::Span<const ProcessInfo> processes, absl::Span<const QueueInfo> queues,
                        const std::vector<QueuePlace>& places);
  void Gone(Presence& presence, std::int64_t now_ns);
  void RemoveUnusedServices();

  Topology topology_;
  NodeId here_;
  std::int64_t grace_ns_;
  std::size_t max_rows_;
  std::vector<Presence> instances_;  // by id
  std::vector<Presence> edges_;
  std::int64_t look_again_ns_ = kNever;  // nothing is due before
  std::uint64_t unplaced_ = 0;
};

}  // namespace internal
SEER_END_NAMESPACE
