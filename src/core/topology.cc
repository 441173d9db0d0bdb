#include "seer/core/topology.h"

#include <tuple>
#include <type_traits>
#include <utility>

#include "absl/hash/hash.h"
#include "absl/strings/str_cat.h"
#include "core/topology_check.h"
#include "seer/core/internal/status_macros.h"
#include "seer/core/internal/strings.h"

SEER_BEGIN_NAMESPACE

namespace {

using internal::CheckCgroup;
using internal::CheckKind;
using internal::CheckName;
using internal::CheckOptionalName;
using internal::CheckOptionalReference;
using internal::CheckPids;
using internal::CheckReference;
using internal::CheckRow;
using internal::CheckTarget;
using internal::IdIndex;
using internal::KeyText;
using internal::kNewRow;
using internal::Place;
using internal::TableName;
using internal::ToAbsl;

// ---- Keys: what makes a live row unique in its table.

auto KeyOf(const Service& row) { return std::make_tuple(ToAbsl(row.name)); }
auto KeyOf(const Node& row) { return std::make_tuple(ToAbsl(row.name)); }
auto KeyOf(const Instance& row) { return std::make_tuple(row.service, ToAbsl(row.name)); }
auto KeyOf(const Edge& row) { return std::make_tuple(row.caller, row.callee); }
auto KeyOf(const RequestClass& row) {
  return std::make_tuple(ToAbsl(row.application), ToAbsl(row.name));
}
auto KeyOf(const Method& row) { return std::make_tuple(row.service, ToAbsl(row.name)); }

// absl::Hash is seeded anew in each process: names from outside cannot be made to collide.
template <typename Key>
std::size_t HashKey(const Key& key) {
  return absl::HashOf(key);
}

template <typename Row>
auto HashesOf(const std::vector<Row>& rows) {
  return [&rows](std::uint32_t id) { return HashKey(KeyOf(rows[id])); };
}

template <typename Table, typename Key>
std::uint32_t Lookup(const Table& table, const Key& key) {
  return table.live.Find(HashKey(key),
                         [&](std::uint32_t id) { return KeyOf(table.rows[id]) == key; });
}

template <typename RowId, typename Table, typename Key>
std::optional<RowId> Find(const Table& table, const Key& key) {
  const std::uint32_t id = Lookup(table, key);
  return id == IdIndex::kNone ? std::nullopt : std::optional<RowId>(id);
}

template <typename Table>
void MakeLive(Table& table, std::uint32_t id) {
  table.live.Insert(HashKey(KeyOf(table.rows[id])), id, HashesOf(table.rows));
}

// Takes a row out of the index: before it is removed, or before its key changes.
template <typename Table>
void Unindex(Table& table, std::uint32_t id) {
  table.live.Erase(HashKey(KeyOf(table.rows[id])), id, HashesOf(table.rows));
}

template <typename Table>
void MakeTombstone(Table& table, std::uint32_t id) {
  Unindex(table, id);
  table.rows[id].removed = true;
}

// ---- Checks that need the index or the table.

// The key of `row` must not be that of another live row.
template <typename Table, typename Row>
absl::Status CheckUnique(const Table& table, const Row& row, std::size_t number) {
  const std::uint32_t other = Lookup(table, KeyOf(row));
  if (other == IdIndex::kNone || other == number) return absl::OkStatus();
  return absl::AlreadyExistsError(absl::StrCat(Place{TableName(row), number, ""}.Text(), ": ",
                                               KeyText(row), " is ", TableName(row), "[", other,
                                               "] already; use that id, or another name"));
}

template <typename Table, typename RowId>
absl::Status CheckLive(const Table& table, RowId id) {
  using Row = typename std::decay_t<decltype(table.rows)>::value_type;
  return CheckReference<RowId, Row>({TableName(Row()), id.value(), ""}, id, table.rows);
}

}  // namespace

// ---- Making topologies.

absl::StatusOr<Topology> Topology::OfNode(std::string_view node, std::uint64_t epoch) {
  SEER_RETURN_IF_ERROR(CheckName({"origin", kNewRow, "node"}, node));
  Topology topology(epoch);
  topology.origin_.node = std::string(node);
  return topology;
}

// Checks and indexes the rows of one table. All tables must hold their rows by now.
template <typename Row>
absl::Status Topology::Adopt(Table<Row>& table) const {
  std::size_t live = 0;
  for (const Row& row : table.rows) live += row.removed ? 0 : 1;
  table.live.Reserve(live, HashesOf(table.rows));
  for (std::size_t i = 0; i < table.rows.size(); ++i) {
    const Row& row = table.rows[i];
    SEER_RETURN_IF_ERROR(CheckRow(*this, row, i));
    if (row.removed) continue;
    SEER_RETURN_IF_ERROR(CheckUnique(table, row, i));
    MakeLive(table, static_cast<std::uint32_t>(i));
  }
  return absl::OkStatus();
}

absl::StatusOr<Topology> Topology::FromTables(Origin origin, TopologyTables tables) {
  Topology t;
  SEER_RETURN_IF_ERROR(CheckOptionalName({"origin", kNewRow, "node"}, origin.node));
  t.origin_ = std::move(origin);
  const auto take = [](auto& table, auto& rows) {
    using Row = std::decay_t<decltype(rows[0])>;
    if (rows.size() > kMaxRows) {
      return absl::ResourceExhaustedError(absl::StrCat(TableName(Row()), ": ", rows.size(),
                                                       " rows; at most ", kMaxRows,
                                                       " fit, so compact before sending"));
    }
    table.rows = std::move(rows);
    return absl::OkStatus();
  };
  SEER_RETURN_IF_ERROR(take(t.services_, tables.services));
  SEER_RETURN_IF_ERROR(take(t.instances_, tables.instances));
  SEER_RETURN_IF_ERROR(take(t.nodes_, tables.nodes));
  SEER_RETURN_IF_ERROR(take(t.edges_, tables.edges));
  SEER_RETURN_IF_ERROR(take(t.classes_, tables.classes));
  SEER_RETURN_IF_ERROR(take(t.methods_, tables.methods));

  SEER_RETURN_IF_ERROR(t.Adopt(t.services_));
  SEER_RETURN_IF_ERROR(t.Adopt(t.nodes_));
  SEER_RETURN_IF_ERROR(t.Adopt(t.instances_));
  SEER_RETURN_IF_ERROR(t.Adopt(t.edges_));
  SEER_RETURN_IF_ERROR(t.Adopt(t.classes_));
  SEER_RETURN_IF_ERROR(t.Adopt(t.methods_));
  return t;
}

// ---- Changes.

template <typename RowId, typename Row>
absl::StatusOr<RowId> Topology::Add(Table<Row>& table, Row row) {
  SEER_RETURN_IF_ERROR(CheckRow(*this, row, kNewRow));
  SEER_RETURN_IF_ERROR(CheckUnique(table, row, kNewRow));
  if (table.rows.size() >= kMaxRows) {
    return absl::ResourceExhaustedError(absl::StrCat(TableName(row), ": all ", kMaxRows,
                                                     " ids of this epoch are given; Compacted() ",
                                                     "drops the removed rows"));
  }
  // Room in the index first: what may throw must come before the first change.
  table.live.Reserve(table.live.size() + 1, HashesOf(table.rows));
  const auto id = static_cast<std::uint32_t>(table.rows.size());
  table.rows.push_back(std::move(row));
  MakeLive(table, id);
  ++origin_.topology_version;
  return RowId(id);
}

template <typename Value>
void Topology::Assign(Value& field, Value value) {
  if (field == value) return;
  field = std::move(value);
  ++origin_.topology_version;
}

absl::StatusOr<ServiceId> Topology::AddService(std::string_view name,
                                               std::string_view application) {
  Service row;
  row.name = std::string(name);
  row.application = std::string(application);
  return Add<ServiceId>(services_, std::move(row));
}

absl::Status Topology::RemoveService(ServiceId id) {
  SEER_RETURN_IF_ERROR(CheckLive(services_, id));
  for (std::uint32_t i = 0; i < instances_.rows.size(); ++i) {
    const Instance& row = instances_.rows[i];
    if (!row.removed && row.service == id) Bury(i);
  }
  for (std::uint32_t i = 0; i < edges_.rows.size(); ++i) {
    const Edge& row = edges_.rows[i];
    if (!row.removed && (row.caller == id || row.callee == id)) MakeTombstone(edges_, i);
  }
  for (std::uint32_t i = 0; i < methods_.rows.size(); ++i) {
    const Method& row = methods_.rows[i];
    if (!row.removed && row.service == id) MakeTombstone(methods_, i);
  }
  for (RequestClass& row : classes_.rows) {
    if (!row.removed && row.entry == id) row.entry = ServiceId();
  }
  MakeTombstone(services_, id.value());
  ++origin_.topology_version;
  return absl::OkStatus();
}

absl::Status Topology::RenameService(ServiceId id, std::string_view name) {
  SEER_RETURN_IF_ERROR(CheckLive(services_, id));
  Service& row = services_.rows[id.value()];
  if (row.name == name) return absl::OkStatus();
  SEER_RETURN_IF_ERROR(CheckName({"services", id.value(), "name"}, name));
  Service renamed;
  renamed.name = std::string(name);
  SEER_RETURN_IF_ERROR(CheckUnique(services_, renamed, id.value()));
  Unindex(services_, id.value());
  row.renamed_from = std::exchange(row.name, std::move(renamed.name));
  MakeLive(services_, id.value());
  ++origin_.topology_version;
  return absl::OkStatus();
}

absl::Status Topology::SetApplication(ServiceId id, std::string_view application) {
  SEER_RETURN_IF_ERROR(CheckLive(services_, id));
  SEER_RETURN_IF_ERROR(CheckOptionalName({"services", id.value(), "application"}, application));
  Assign(services_.rows[id.value()].application, std::string(application));
  return absl::OkStatus();
}

absl::StatusOr<NodeId> Topology::AddNode(std::string_view name) {
  Node row;
  row.name = std::string(name);
  return Add<NodeId>(nodes_, std::move(row));
}

absl::Status Topology::RemoveNode(NodeId id) {
  SEER_RETURN_IF_ERROR(CheckLive(nodes_, id));
  for (std::uint32_t i = 0; i < instances_.rows.size(); ++i) {
    const Instance& row = instances_.rows[i];
    if (!row.removed && row.node == id) Bury(i);
  }
  MakeTombstone(nodes_, id.value());
  ++origin_.topology_version;
  return absl::OkStatus();
}

absl::StatusOr<InstanceId> Topology::AddInstance(ServiceId service, std::string_view name,
                                                 NodeId node, std::string_view cgroup,
                                                 absl::Span<const std::int32_t> pids) {
  Instance row;
  row.name = std::string(name);
  row.service = service;
  row.node = node;
  row.cgroup = std::string(cgroup);
  row.pids.assign(pids.begin(), pids.end());
  return Add<InstanceId>(instances_, std::move(row));
}

// Removes an instance. Its cgroup and pids mean nothing any more, and the kernel reuses them.
void Topology::Bury(std::uint32_t instance) {
  MakeTombstone(instances_, instance);
  Instance& row = instances_.rows[instance];
  row.cgroup = std::string();
  row.pids = std::vector<std::int32_t>();
}

absl::Status Topology::RemoveInstance(InstanceId id) {
  SEER_RETURN_IF_ERROR(CheckLive(instances_, id));
  Bury(id.value());
  ++origin_.topology_version;
  return absl::OkStatus();
}

absl::Status Topology::MoveInstance(InstanceId id, NodeId node) {
  SEER_RETURN_IF_ERROR(CheckLive(instances_, id));
  SEER_RETURN_IF_ERROR(CheckOptionalReference({"instances", id.value(), "node"}, node, nodes()));
  Instance& row = instances_.rows[id.value()];
  if (row.node == node) return absl::OkStatus();
  row.node = node;
  row.cgroup.clear();
  row.pids.clear();
  ++origin_.topology_version;
  return absl::OkStatus();
}

absl::Status Topology::SetCgroup(InstanceId id, std::string_view cgroup) {
  SEER_RETURN_IF_ERROR(CheckLive(instances_, id));
  SEER_RETURN_IF_ERROR(CheckCgroup({"instances", id.value(), "cgroup"}, cgroup));
  Assign(instances_.rows[id.value()].cgroup, std::string(cgroup));
  return absl::OkStatus();
}

absl::Status Topology::SetPids(InstanceId id, absl::Span<const std::int32_t> pids) {
  SEER_RETURN_IF_ERROR(CheckLive(instances_, id));
  SEER_RETURN_IF_ERROR(CheckPids({"instances", id.value(), "pids"}, pids));
  Assign(instances_.rows[id.value()].pids, std::vector<std::int32_t>(pids.begin(), pids.end()));
  return absl::OkStatus();
}

absl::StatusOr<EdgeId> Topology::AddEdge(ServiceId caller, ServiceId callee, EdgeKind kind) {
  Edge row;
  row.caller = caller;
  row.callee = callee;
  row.kind = kind;
  return Add<EdgeId>(edges_, row);
}

absl::Status Topology::RemoveEdge(EdgeId id) { return RemoveRow(edges_, id); }

absl::Status Topology::SetKind(EdgeId id, EdgeKind kind) {
  SEER_RETURN_IF_ERROR(CheckLive(edges_, id));
  SEER_RETURN_IF_ERROR(CheckKind({"edges", id.value(), "kind"}, kind));
  Assign(edges_.rows[id.value()].kind, kind);
  return absl::OkStatus();
}

absl::StatusOr<ClassId> Topology::AddRequestClass(std::string_view application,
                                                  std::string_view name, const QosTarget& target,
                                                  ServiceId entry) {
  RequestClass row;
  row.name = std::string(name);
  row.application = std::string(application);
  row.entry = entry;
  row.target = target;
  return Add<ClassId>(classes_, std::move(row));
}

absl::Status Topology::RemoveRequestClass(ClassId id) { return RemoveRow(classes_, id); }

absl::Status Topology::SetTarget(ClassId id, const QosTarget& target) {
  SEER_RETURN_IF_ERROR(CheckLive(classes_, id));
  SEER_RETURN_IF_ERROR(CheckTarget({"classes", id.value(), "target"}, target));
  Assign(classes_.rows[id.value()].target, target);
  return absl::OkStatus();
}

absl::Status Topology::SetEntry(ClassId id, ServiceId entry) {
  SEER_RETURN_IF_ERROR(CheckLive(classes_, id));
  SEER_RETURN_IF_ERROR(CheckOptionalReference({"classes", id.value(), "entry"}, entry, services()));
  Assign(classes_.rows[id.value()].entry, entry);
  return absl::OkStatus();
}

absl::StatusOr<MethodId> Topology::AddMethod(ServiceId service, std::string_view name) {
  Method row;
  row.name = std::string(name);
  row.service = service;
  return Add<MethodId>(methods_, std::move(row));
}

absl::Status Topology::RemoveMethod(MethodId id) { return RemoveRow(methods_, id); }

template <typename Row, typename RowId>
absl::Status Topology::RemoveRow(Table<Row>& table, RowId id) {
  SEER_RETURN_IF_ERROR(CheckLive(table, id));
  MakeTombstone(table, id.value());
  ++origin_.topology_version;
  return absl::OkStatus();
}

// ---- Look-ups.

std::optional<ServiceId> Topology::FindService(std::string_view name) const {
  return Find<ServiceId>(services_, std::make_tuple(ToAbsl(name)));
}

std::optional<NodeId> Topology::FindNode(std::string_view name) const {
  return Find<NodeId>(nodes_, std::make_tuple(ToAbsl(name)));
}

std::optional<InstanceId> Topology::FindInstance(ServiceId service, std::string_view name) const {
  return Find<InstanceId>(instances_, std::make_tuple(service, ToAbsl(name)));
}

std::optional<EdgeId> Topology::FindEdge(ServiceId caller, ServiceId callee) const {
  return Find<EdgeId>(edges_, std::make_tuple(caller, callee));
}

std::optional<ClassId> Topology::FindRequestClass(std::string_view application,
                                                  std::string_view name) const {
  return Find<ClassId>(classes_, std::make_tuple(ToAbsl(application), ToAbsl(name)));
}

std::optional<MethodId> Topology::FindMethod(ServiceId service, std::string_view name) const {
  return Find<MethodId>(methods_, std::make_tuple(service, ToAbsl(name)));
}

SEER_END_NAMESPACE
