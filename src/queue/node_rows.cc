#include "queue/node_rows.h"

#include <algorithm>
#include <cstddef>
#include <utility>

#include "seer/core/internal/status_macros.h"

SEER_BEGIN_NAMESPACE
namespace internal {

namespace {

// Below it, tombstones are no burden.
constexpr std::size_t kFewTombstones = 1024;

template <typename RowId, typename Presences>
Presences Renumbered(const Presences& before, const std::vector<RowId>& map, std::size_t size) {
  Presences after(size);
  for (std::size_t i = 0; i < before.size(); ++i) {
    if (map[i].valid()) after[map[i].index()] = before[i];
  }
  return after;
}

}  // namespace

absl::StatusOr<NodeRows> NodeRows::Create(const CollectorOptions& options, std::uint64_t epoch) {
  SEER_ASSIGN_OR_RETURN(Topology topology, Topology::OfNode(options.node, epoch));
  SEER_ASSIGN_OR_RETURN(const NodeId here, topology.AddNode(options.node));
  return NodeRows(std::move(topology), here, options.grace.count(), options.max_rows);
}

ServiceId NodeRows::FindOrAddService(std::string_view name) {
  if (const auto found = topology_.FindService(name)) return *found;
  if (topology_.live_services() >= max_rows_) return ServiceId();
  const absl::StatusOr<ServiceId> added = topology_.AddService(name);
  return added.ok() ? *added : ServiceId();
}

InstanceId NodeRows::FindOrAddInstance(ServiceId service, std::string_view name) {
  if (!service.valid()) return InstanceId();
  if (const auto found = topology_.FindInstance(service, name)) return *found;
  if (topology_.live_instances() >= max_rows_) return InstanceId();
  const absl::StatusOr<InstanceId> added = topology_.AddInstance(service, name, here_);
  if (!added.ok()) return InstanceId();
  instances_.resize(topology_.instances().size());
  return *added;
}

EdgeId NodeRows::FindOrAddEdge(ServiceId caller, ServiceId callee) {
  if (!caller.valid() || !callee.valid()) return EdgeId();
  if (const auto found = topology_.FindEdge(caller, callee)) return *found;
  if (topology_.live_edges() >= max_rows_) return EdgeId();
  const absl::StatusOr<EdgeId> added = topology_.AddEdge(caller, callee);
  if (!added.ok()) return EdgeId();
  edges_.resize(topology_.edges().size());
  return *added;
}

void NodeRows::Gone(Presence& presence, std::int64_t now_ns) {
  presence.gone_since_ns = now_ns;
  look_again_ns_ = std::min(look_again_ns_, now_ns + grace_ns_);
}

void NodeRows::Place(absl::Span<const ProcessInfo> processes, absl::Span<const QueueInfo> queues,
                     std::int64_t now_ns, std::vector<QueuePlace>* places) {
  std::vector<bool> instances_were(instances_.size());
  std::vector<bool> edges_were(edges_.size());
  for (std::size_t i = 0; i < instances_.size(); ++i) {
    instances_were[i] = std::exchange(instances_[i].published, false);
  }
  for (std::size_t i = 0; i < edges_.size(); ++i) {
    edges_were[i] = std::exchange(edges_[i].published, false);
  }

  places->assign(queues.size(), QueuePlace());
  std::vector<bool> unplaced(processes.size());
  for (std::size_t i = 0; i < queues.size(); ++i) {
    const QueueInfo& queue = queues[i];
    QueuePlace& place = (*places)[i];
    const ServiceId service = FindOrAddService(queue.service);
    // Whoever calls is an instance too, even if it publishes nothing else.
    place.instance = FindOrAddInstance(service, processes[queue.process].instance);
    if (queue.channel) {
      place.channel = *queue.channel;
    } else {
      place.edge = FindOrAddEdge(service, FindOrAddService(queue.callee));
    }
    if (!place.instance.valid() || (!queue.channel && !place.edge.valid())) {
      unplaced[queue.process] = true;
      place = QueuePlace();
      continue;
    }
    instances_[place.instance.index()].published = true;
    if (place.edge.valid()) edges_[place.edge.index()].published = true;
  }
  unplaced_ = static_cast<std::uint64_t>(std::count(unplaced.begin(), unplaced.end(), true));

  for (std::size_t i = 0; i < instances_were.size(); ++i) {
    if (instances_were[i] && !instances_[i].here()) Gone(instances_[i], now_ns);
  }
  for (std::size_t i = 0; i < edges_were.size(); ++i) {
    if (edges_were[i] && !edges_[i].here()) Gone(edges_[i], now_ns);
  }
  SetPublishedPids(processes, queues, *places);
}

void NodeRows::SetPublishedPids(absl::Span<const ProcessInfo> processes,
                                absl::Span<const QueueInfo> queues,
                                const std::vector<QueuePlace>& places) {
  std::vector<std::pair<InstanceId, std::int32_t>> pids;
  for (std::size_t i = 0; i < queues.size(); ++i) {
    const ProcessInfo& process = processes[queues[i].process];
    const std::uint64_t pid = process.pid;
    if (!places[i].instance.valid() || process.life != ProcessInfo::Life::kRuns || pid < 1 ||
        pid > std::numeric_limits<std::int32_t>::max()) {
      continue;
    }
    pids.emplace_back(places[i].instance, static_cast<std::int32_t>(pid));
  }
  std::sort(pids.begin(), pids.end());
  pids.erase(std::unique(pids.begin(), pids.end()), pids.end());
  std::vector<std::int32_t> of_one;
  for (std::size_t at = 0; at < pids.size();) {
    const InstanceId id = pids[at].first;
    of_one.clear();
    for (; at < pids.size() && pids[at].first == id; ++at) {
      if (of_one.size() < Topology::kMaxPids) of_one.push_back(pids[at].second);
    }
    if (instances_[id.index()].pids_declared) continue;
    (void)topology_.SetPids(id,
                            of_one);  // a live row and good numbers; the same ones change nothing
  }
}

absl::Status NodeRows::Check(const DeclaredInstance& instance) {
  Topology scratch;
  SEER_ASSIGN_OR_RETURN(const ServiceId service,
                        scratch.AddService(instance.service, instance.application));
  return scratch.AddInstance(service, instance.instance, NodeId(), instance.cgroup, instance.pids)
      .status();
}

void NodeRows::Declare(const DeclaredInstance& instance) {
  const ServiceId service = FindOrAddService(instance.service);
  const InstanceId id = FindOrAddInstance(service, instance.instance);
  if (!id.valid()) {
    ++unplaced_;
    return;
  }
  Presence& presence = instances_[id.index()];
  presence.declared = true;
  presence.pids_declared = !instance.pids.empty();
  // Check() has seen the values, and the rows are live.
  if (!instance.application.empty()) {
    (void)topology_.SetApplication(service, instance.application);
  }
  (void)topology_.SetCgroup(id, instance.cgroup);
  if (presence.pids_declared) (void)topology_.SetPids(id, instance.pids);
}

absl::Status NodeRows::Check(const DeclaredClass& request_class) {
  Topology scratch;
  ServiceId entry;
  if (!request_class.service.empty()) {
    SEER_ASSIGN_OR_RETURN(entry, scratch.AddService(request_class.service));
  }
  return scratch
      .AddRequestClass(request_class.application, request_class.name, request_class.target, entry)
      .status();
}

void NodeRows::DeclareClass(const DeclaredClass& wanted) {
  ServiceId entry;
  if (!wanted.service.empty()) entry = FindOrAddService(wanted.service);
  // Check() has seen the values, and the entry is a live row or none.
  if (const auto known = topology_.FindRequestClass(wanted.application, wanted.name)) {
    (void)topology_.SetTarget(*known, wanted.target);
    (void)topology_.SetEntry(*known, entry);
  } else if (topology_.live_classes() >= max_rows_ ||
             !topology_.AddRequestClass(wanted.application, wanted.name, wanted.target, entry)
                  .ok()) {
    ++unplaced_;
  }
}

void NodeRows::Withdraw(std::string_view service, std::string_view instance, std::int64_t now_ns) {
  const auto service_id = topology_.FindService(service);
  if (!service_id) return;
  const auto id = topology_.FindInstance(*service_id, instance);
  if (!id) return;
  Presence& presence = instances_[id->index()];
  if (!presence.declared) return;
  presence.declared = presence.pids_declared = false;
  if (!presence.published) Gone(presence, now_ns);
}

void NodeRows::RemoveGone(std::int64_t now_ns) {
  if (now_ns < look_again_ns_) return;
  look_again_ns_ = kNever;
  // By id: removing leaves tombstones and moves nothing.
  for (std::uint32_t i = 0; i < instances_.size(); ++i) {
    if (instances_[i].here() || !topology_.IsLive(InstanceId(i))) continue;
    if (now_ns - instances_[i].gone_since_ns >= grace_ns_) {
      (void)topology_.RemoveInstance(InstanceId(i));
    } else {
      look_again_ns_ = std::min(look_again_ns_, instances_[i].gone_since_ns + grace_ns_);
    }
  }
  for (std::uint32_t i = 0; i < edges_.size(); ++i) {
    if (edges_[i].here() || !topology_.IsLive(EdgeId(i))) continue;
    if (now_ns - edges_[i].gone_since_ns >= grace_ns_) {
      (void)topology_.RemoveEdge(EdgeId(i));
    } else {
      look_again_ns_ = std::min(look_again_ns_, edges_[i].gone_since_ns + grace_ns_);
    }
  }
  RemoveUnusedServices();
}

void NodeRows::RemoveUnusedServices() {
  std::vector<bool> used(topology_.services().size());
  for (const Instance& row : topology_.instances()) {
    if (!row.removed) used[row.service.index()] = true;
  }
  for (const Edge& row : topology_.edges()) {
    if (row.removed) continue;
    if (row.caller.valid()) used[row.caller.index()] = true;
    used[row.callee.index()] = true;
  }
  for (const RequestClass& row : topology_.classes()) {
    if (!row.removed && row.entry.valid()) used[row.entry.index()] = true;
  }
  for (std::uint32_t i = 0; i < used.size(); ++i) {
    if (!used[i] && topology_.IsLive(ServiceId(i))) (void)topology_.RemoveService(ServiceId(i));
  }
}

bool NodeRows::HasTooManyTombstones() const {
  const auto too_many = [](std::size_t rows, std::size_t live) {
    return rows - live > kFewTombstones && rows - live > 4 * live;
  };
  return too_many(topology_.services().size(), topology_.live_services()) ||
         too_many(topology_.instances().size(), topology_.live_instances()) ||
         too_many(topology_.edges().size(), topology_.live_edges());
}

TopologyMap NodeRows::NewEpoch(std::uint64_t epoch, std::int64_t now_ns) {
  absl::StatusOr<Topology::Renumbered> renumbered = topology_.Compacted(epoch);
  SEER_DCHECK(renumbered.ok());  // the epoch is another one
  if (!renumbered.ok()) return TopologyMap();
  TopologyMap map = std::move(renumbered->map);
  topology_ = std::move(renumbered->topology);
  here_ = map[here_];
  instances_ = Renumbered(instances_, map.instances, topology_.instances().size());
  edges_ = Renumbered(edges_, map.edges, topology_.edges().size());
  for (auto* const rows : {&instances_, &edges_}) {
    for (Presence& presence : *rows) {
      if (!presence.here()) Gone(presence, now_ns);
    }
  }
  return map;
}

}  // namespace internal
SEER_END_NAMESPACE
