// Topology's renumberings: Merge (another numbering into this one) and Compacted (a new epoch).
#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "seer/core/internal/status_macros.h"
#include "seer/core/topology.h"

SEER_BEGIN_NAMESPACE

absl::StatusOr<TopologyMap> Topology::Merge(const Topology& other) {
  const std::uint64_t version = origin_.topology_version;
  TopologyMap map;
  if (HasRoomFor(other)) {
    // Names and references of `other` are valid, and whatever is added was looked up before: only
    // a full table could refuse a row, and there is room.
    const absl::Status status = MergeInto(other, map);
    SEER_DCHECK(status.ok());
    if (!status.ok()) return status;
  } else {
    // Most rows of `other` may be here already, so it may fit all the same: try with a copy.
    Topology copy = *this;
    SEER_RETURN_IF_ERROR(copy.MergeInto(other, map));
    *this = std::move(copy);
  }
  if (origin_.topology_version != version) origin_.topology_version = version + 1;
  return map;
}

bool Topology::HasRoomFor(const Topology& other) const {
  const auto fits = [](const auto& ours, const auto& theirs) {
    return ours.rows.size() + theirs.live.size() <= kMaxRows;
  };
  return fits(services_, other.services_) && fits(instances_, other.instances_) &&
         fits(nodes_, other.nodes_) && fits(edges_, other.edges_) &&
         fits(classes_, other.classes_) && fits(methods_, other.methods_);
}

// The rules are in topology.h. Every step but the instances' works through the public calls, so
// that it counts as a change exactly if it is one.
absl::Status Topology::MergeInto(const Topology& other, TopologyMap& map) {
  SEER_RETURN_IF_ERROR(MergeServices(other, map));
  SEER_RETURN_IF_ERROR(MergeNodes(other, map));
  SEER_RETURN_IF_ERROR(MergeInstances(other, map));
  SEER_RETURN_IF_ERROR(MergeEdges(other, map));
  SEER_RETURN_IF_ERROR(MergeClasses(other, map));
  return MergeMethods(other, map);
}

absl::Status Topology::MergeServices(const Topology& other, TopologyMap& map) {
  for (const Service& row : other.services()) {
    if (row.removed || row.renamed_from.empty() || FindService(row.name)) continue;
    if (const std::optional<ServiceId> old = FindService(row.renamed_from)) {
      SEER_RETURN_IF_ERROR(RenameService(*old, row.name));
      ++map.renamed_services;
    }
  }
  map.services.reserve(other.services().size());
  for (const Service& row : other.services()) {
    std::optional<ServiceId> ours = FindService(row.name);
    if (!row.removed && !ours) {
      SEER_ASSIGN_OR_RETURN(ours, AddService(row.name, row.application));
      // For whoever merges this one in turn, and knows the service by its old name.
      services_.rows[ours->value()].renamed_from = row.renamed_from;
      ++map.added;
    } else if (!row.removed && !row.application.empty()) {
      SEER_RETURN_IF_ERROR(SetApplication(*ours, row.application));
    }
    map.services.push_back(ours.value_or(ServiceId()));
  }
  return absl::OkStatus();
}

absl::Status Topology::MergeNodes(const Topology& other, TopologyMap& map) {
  map.nodes.reserve(other.nodes().size());
  for (const Node& row : other.nodes()) {
    std::optional<NodeId> ours = FindNode(row.name);
    if (!row.removed && !ours) {
      SEER_ASSIGN_OR_RETURN(ours, AddNode(row.name));
      ++map.added;
    }
    map.nodes.push_back(ours.value_or(NodeId()));
  }
  return absl::OkStatus();
}

absl::Status Topology::MergeInstances(const Topology& other, TopologyMap& map) {
  std::vector<bool> claimed;  // by id here: a live row of `other` stands for it
  map.instances.reserve(other.instances().size());
  for (const Instance& row : other.instances()) {
    map.instances.emplace_back();
    if (row.removed) continue;
    const ServiceId service = map[row.service];
    const NodeId node = map[row.node];
    std::optional<InstanceId> ours = FindInstance(service, row.name);
    if (!ours) {
      SEER_ASSIGN_OR_RETURN(ours, AddInstance(service, row.name, node, row.cgroup, row.pids));
      ++map.added;
    } else if (node.valid()) {
      if (instances_.rows[ours->value()].node != node) ++map.moved_instances;
      SEER_RETURN_IF_ERROR(MoveInstance(*ours, node));
      SEER_RETURN_IF_ERROR(SetCgroup(*ours, row.cgroup));
      SEER_RETURN_IF_ERROR(SetPids(*ours, row.pids));
    }
    if (claimed.size() < instances_.rows.size()) claimed.resize(instances_.rows.size());
    claimed[ours->value()] = true;
    map.instances.back() = *ours;
  }
  // A name that `other` has removed and added again is alive: hence the second pass.
  for (const Instance& row : other.instances()) {
    if (!row.removed) continue;
    const std::optional<InstanceId> ours = FindInstance(map[row.service], row.name);
    if (!ours || (ours->value() < claimed.size() && claimed[ours->value()])) continue;
    // A node without counterpart here is not "placement not known".
    const NodeId node = map[row.node];
    if (row.node.valid() != node.valid() || instance(*ours).node != node) continue;
    SEER_RETURN_IF_ERROR(RemoveInstance(*ours));
    ++map.removed_instances;
  }
  return absl::OkStatus();
}

absl::Status Topology::MergeEdges(const Topology& other, TopologyMap& map) {
  map.edges.reserve(other.edges().size());
  for (const Edge& row : other.edges()) {
    const ServiceId caller = map[row.caller];
    const ServiceId callee = map[row.callee];
    // A removed caller without counterpart here is not the virtual client.
    std::optional<EdgeId> ours;
    if (row.caller.valid() == caller.valid()) ours = FindEdge(caller, callee);
    if (!row.removed && !ours) {
      SEER_ASSIGN_OR_RETURN(ours, AddEdge(caller, callee, row.kind));
      ++map.added;
    } else if (!row.removed) {
      SEER_RETURN_IF_ERROR(SetKind(*ours, row.kind));
    }
    map.edges.push_back(ours.value_or(EdgeId()));
  }
  return absl::OkStatus();
}

absl::Status Topology::MergeClasses(const Topology& other, TopologyMap& map) {
  map.classes.reserve(other.classes().size());
  for (const RequestClass& row : other.classes()) {
    const ServiceId entry = map[row.entry];
    std::optional<ClassId> ours = FindRequestClass(row.application, row.name);
    if (!row.removed && !ours) {
      SEER_ASSIGN_OR_RETURN(ours, AddRequestClass(row.application, row.name, row.target, entry));
      ++map.added;
    } else if (!row.removed) {
      if (request_class(*ours).target != row.target) ++map.changed_targets;
      SEER_RETURN_IF_ERROR(SetTarget(*ours, row.target));
      if (entry.valid()) SEER_RETURN_IF_ERROR(SetEntry(*ours, entry));
    }
    map.classes.push_back(ours.value_or(ClassId()));
  }
  return absl::OkStatus();
}

absl::Status Topology::MergeMethods(const Topology& other, TopologyMap& map) {
  map.methods.reserve(other.methods().size());
  for (const Method& row : other.methods()) {
    const ServiceId service = map[row.service];
    std::optional<MethodId> ours = FindMethod(service, row.name);
    if (!row.removed && !ours) {
      SEER_ASSIGN_OR_RETURN(ours, AddMethod(service, row.name));
      ++map.added;
    }
    map.methods.push_back(ours.value_or(MethodId()));
  }
  return absl::OkStatus();
}

absl::StatusOr<Topology::Renumbered> Topology::Compacted(std::uint64_t new_epoch) const {
  if (new_epoch == origin_.epoch) {
    return absl::InvalidArgumentError(
        absl::StrCat("new_epoch: ", new_epoch,
                     " is the present epoch, in which ids must not change; give another"));
  }
  TopologyMap map;
  TopologyTables tables;
  // Copies the live rows of one table and maps their ids; `remap` mends what a row refers to.
  const auto compact = [](const auto& from, auto& to, auto& ids, const auto& remap) {
    using RowId = typename std::decay_t<decltype(ids)>::value_type;
    to.reserve(from.live.size());
    ids.assign(from.rows.size(), RowId());
    for (std::size_t i = 0; i < from.rows.size(); ++i) {
      if (from.rows[i].removed) continue;
      ids[i] = RowId(static_cast<std::uint32_t>(to.size()));
      to.push_back(from.rows[i]);
      remap(to.back());
    }
  };
  compact(services_, tables.services, map.services, [](Service&) {});
  compact(nodes_, tables.nodes, map.nodes, [](Node&) {});
  compact(instances_, tables.instances, map.instances, [&map](Instance& row) {
    row.service = map[row.service];
    row.node = map[row.node];
  });
  compact(edges_, tables.edges, map.edges, [&map](Edge& row) {
    row.caller = map[row.caller];
    row.callee = map[row.callee];
  });
  compact(classes_, tables.classes, map.classes,
          [&map](RequestClass& row) { row.entry = map[row.entry]; });
  compact(methods_, tables.methods, map.methods,
          [&map](Method& row) { row.service = map[row.service]; });

  Origin origin;
  origin.node = origin_.node;
  origin.epoch = new_epoch;
  SEER_ASSIGN_OR_RETURN(Topology topology, FromTables(std::move(origin), std::move(tables)));
  return Renumbered{std::move(topology), std::move(map)};
}

SEER_END_NAMESPACE
