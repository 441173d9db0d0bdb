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

namespace {

// Maps the rows of one table. find(row) gives our row of the same key, if any; merge(row, found)
// brings ours up to date or adds it. Tombstones come last, when all that lives has been added, for
// a name that was removed may be alive again further down the table.
template <typename Row, typename RowId, typename Find, typename MergeRow>
absl::Status MergeTable(absl::Span<const Row> rows, std::vector<RowId>& ids, const Find& find,
                        const MergeRow& merge) {
  ids.resize(rows.size());
  for (std::size_t i = 0; i < rows.size(); ++i) {
    if (rows[i].removed) continue;
    SEER_ASSIGN_OR_RETURN(ids[i], merge(rows[i], find(rows[i])));
  }
  for (std::size_t i = 0; i < rows.size(); ++i) {
    if (rows[i].removed) ids[i] = find(rows[i]).value_or(RowId());
  }
  return absl::OkStatus();
}

}  // namespace

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
  return MergeTable(
      other.services(), map.services, [this](const Service& row) { return FindService(row.name); },
      [&](const Service& row, std::optional<ServiceId> ours) -> absl::StatusOr<ServiceId> {
        if (!ours) {
          SEER_ASSIGN_OR_RETURN(ours, AddService(row.name, row.application));
          // For whoever merges this one in turn, and knows the service by its old name.
          services_.rows[ours->value()].renamed_from = row.renamed_from;
          ++map.added;
        } else if (!row.application.empty()) {
          SEER_RETURN_IF_ERROR(SetApplication(*ours, row.application));
        }
        return *ours;
      });
}

absl::Status Topology::MergeNodes(const Topology& other, TopologyMap& map) {
  return MergeTable(
      other.nodes(), map.nodes, [this](const Node& row) { return FindNode(row.name); },
      [&](const Node& row, std::optional<NodeId> ours) -> absl::StatusOr<NodeId> {
        if (ours) return *ours;
        ++map.added;
        return AddNode(row.name);
      });
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
  return MergeTable(
      other.edges(), map.edges,
      [&](const Edge& row) {
        // A removed caller without counterpart here is not the virtual client.
        const ServiceId caller = map[row.caller];
        return row.caller.valid() == caller.valid() ? FindEdge(caller, map[row.callee])
                                                    : std::nullopt;
      },
      [&](const Edge& row, std::optional<EdgeId> ours) -> absl::StatusOr<EdgeId> {
        if (ours) {
          SEER_RETURN_IF_ERROR(SetKind(*ours, row.kind));
          return *ours;
        }
        ++map.added;
        return AddEdge(map[row.caller], map[row.callee], row.kind);
      });
}

absl::Status Topology::MergeClasses(const Topology& other, TopologyMap& map) {
  return MergeTable(
      other.classes(), map.classes,
      [this](const RequestClass& row) { return FindRequestClass(row.application, row.name); },
      [&](const RequestClass& row, std::optional<ClassId> ours) -> absl::StatusOr<ClassId> {
        const ServiceId entry = map[row.entry];
        if (!ours) {
          ++map.added;
          return AddRequestClass(row.application, row.name, row.target, entry);
        }
        if (request_class(*ours).target != row.target) ++map.changed_targets;
        SEER_RETURN_IF_ERROR(SetTarget(*ours, row.target));
        if (entry.valid()) SEER_RETURN_IF_ERROR(SetEntry(*ours, entry));
        return *ours;
      });
}

absl::Status Topology::MergeMethods(const Topology& other, TopologyMap& map) {
  return MergeTable(
      other.methods(), map.methods,
      [&](const Method& row) { return FindMethod(map[row.service], row.name); },
      [&](const Method& row, std::optional<MethodId> ours) -> absl::StatusOr<MethodId> {
        if (ours) return *ours;
        ++map.added;
        return AddMethod(map[row.service], row.name);
      });
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
