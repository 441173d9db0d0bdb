// Flow: (host, node agent) -> [Topology] -> (every stage)
//
// What there is: services, their instances (replicas), the nodes they run on, who calls whom, the
// request classes with their QoS targets, and the RPC methods. All other values refer to its rows
// by dense ids (ids.h).
//
//   seer::Topology topology;
//   auto shop = topology.AddService("shop-frontend", "shop");            // StatusOr<ServiceId>
//   auto cart = topology.AddService("cart", "shop");
//   topology.AddEdge(seer::ServiceId(), *shop);                          // from outside
//   topology.AddEdge(*shop, *cart);
//   topology.AddRequestClass("shop", "checkout", QosTarget::Percentile(0.99, 20ms, 1s), *shop);
//   std::optional<seer::ServiceId> found = topology.FindService("cart");
//
// Ids and versions. A row's id is its index in its table, and within an epoch no id is given twice:
// a removed row stays as a tombstone (`removed`), so that any later version of the epoch resolves
// the ids of an earlier snapshot. A name that is added again gets a new id; a rename keeps the id.
// Each call that changes something raises the version by one; a call that changes nothing does not.
//
// Rules. A name has 1 to 255 bytes, none of them a control character (below 0x20, or 0x7f); UTF-8
// is welcome. Among live rows are unique: the name of a service; the name of an instance within its
// service; the name of a node; (caller, callee) of an edge; (application, name) of a class;
// (service, name) of a method. A live row refers to live rows only. A table has at most kMaxRows
// rows, tombstones included: Compacted() makes room.
//
// Errors: InvalidArgument (a bad name or value), NotFound (an id that is out of range or removed),
// AlreadyExists (a second live row of one name), ResourceExhausted (a full table). The message
// names row, field and value, and says what to do. After an error nothing has changed.
//
// Threads: a value; any number of readers, or one writer.
// Cost: Add, Find and Set one hash lookup; RemoveService and RemoveNode one pass over the rows.
//   Memory: the rows, and 5 to 11 bytes of index for each live row; names are stored once.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "seer/core/config.h"
#include "seer/core/ids.h"
#include "seer/core/internal/id_index.h"
#include "seer/core/origin.h"

SEER_BEGIN_NAMESPACE

// When a request class is in violation: within the trailing window, at least `min_over` requests
// were slower than `latency_ns`, and they were more than `allowed_ppm` millionths of all.
struct QosTarget {
  std::int64_t latency_ns = 0;    // 1 ns to 1 h
  std::uint32_t allowed_ppm = 0;  // below 1'000'000; 10'000 is 1 %: a target on the p99
  std::uint32_t window_ms = 0;    // 10 ms to 1 h
  std::uint32_t min_over = 1;     // at least 1

  // "p99 at most 20 ms over 1 s": Percentile(0.99, 20ms, 1s). A factory cannot fail; values out of
  // range give a target that AddRequestClass and SetTarget refuse.
  static QosTarget Percentile(double percentile, std::chrono::nanoseconds latency,
                              std::chrono::milliseconds window);
  // "at most 2 % of the requests over 90 ms in 1 s": AtMost(0.02, 90ms, 1s).
  static QosTarget AtMost(double share, std::chrono::nanoseconds latency,
                          std::chrono::milliseconds window);
  // "fewer than 5 requests over 90 ms in 10 s": FewerThan(5, 90ms, 10s). For low rates, where one
  // slow request would already be a large share.
  static QosTarget FewerThan(std::uint32_t requests, std::chrono::nanoseconds latency,
                             std::chrono::milliseconds window);

  // Whether `over` slow requests of `total` in the window are a violation.
  constexpr bool BreachedBy(std::uint64_t over, std::uint64_t total) const {
    // allowed * total as quotient and remainder, so that no count overflows.
    const std::uint64_t allowed =
        total / 1'000'000 * allowed_ppm + total % 1'000'000 * allowed_ppm / 1'000'000;
    return over >= min_over && over > allowed;
  }

  // OK, or InvalidArgument that names the field.
  [[nodiscard]] absl::Status Validate() const;

  friend bool operator==(const QosTarget& a, const QosTarget& b) {
    return a.latency_ns == b.latency_ns && a.allowed_ppm == b.allowed_ppm &&
           a.window_ms == b.window_ms && a.min_over == b.min_over;
  }
  friend bool operator!=(const QosTarget& a, const QosTarget& b) { return !(a == b); }
};

enum class EdgeKind : std::uint8_t {
  kSync,   // the caller waits for the answer
  kAsync,  // it does not: oneway calls, message queues
};

// The rows. `removed` marks a tombstone.
struct Service {
  std::string name;
  std::string application;   // may be empty: shared by several, or not known
  std::string renamed_from;  // the name before the last rename; empty: never renamed
  bool removed = false;

  friend bool operator==(const Service& a, const Service& b) {
    return a.name == b.name && a.application == b.application && a.renamed_from == b.renamed_from &&
           a.removed == b.removed;
  }
  friend bool operator!=(const Service& a, const Service& b) { return !(a == b); }
};

struct Instance {
  std::string name;  // of the container or process, e.g. "cart-7f9c"
  ServiceId service;
  NodeId node;                     // none: placement not known
  std::string cgroup;              // path below the cgroup root; may be empty
  std::vector<std::int32_t> pids;  // may be empty
  bool removed = false;

  friend bool operator==(const Instance& a, const Instance& b) {
    return a.name == b.name && a.service == b.service && a.node == b.node && a.cgroup == b.cgroup &&
           a.pids == b.pids && a.removed == b.removed;
  }
  friend bool operator!=(const Instance& a, const Instance& b) { return !(a == b); }
};

struct Node {
  std::string name;
  bool removed = false;

  friend bool operator==(const Node& a, const Node& b) {
    return a.name == b.name && a.removed == b.removed;
  }
  friend bool operator!=(const Node& a, const Node& b) { return !(a == b); }
};

struct Edge {
  ServiceId caller;  // none: the virtual client outside
  ServiceId callee;  // may be the caller itself
  EdgeKind kind = EdgeKind::kSync;
  bool removed = false;

  friend bool operator==(const Edge& a, const Edge& b) {
    return a.caller == b.caller && a.callee == b.callee && a.kind == b.kind &&
           a.removed == b.removed;
  }
  friend bool operator!=(const Edge& a, const Edge& b) { return !(a == b); }
};

struct RequestClass {
  std::string name;
  std::string application;  // may be empty
  ServiceId entry;          // where its requests come in; none: not known
  QosTarget target;
  bool removed = false;

  friend bool operator==(const RequestClass& a, const RequestClass& b) {
    return a.name == b.name && a.application == b.application && a.entry == b.entry &&
           a.target == b.target && a.removed == b.removed;
  }
  friend bool operator!=(const RequestClass& a, const RequestClass& b) { return !(a == b); }
};

struct Method {
  std::string name;
  ServiceId service;
  bool removed = false;

  friend bool operator==(const Method& a, const Method& b) {
    return a.name == b.name && a.service == b.service && a.removed == b.removed;
  }
  friend bool operator!=(const Method& a, const Method& b) { return !(a == b); }
};

// All rows, tombstones included, in the order of their ids.
struct TopologyTables {
  std::vector<Service> services;
  std::vector<Instance> instances;
  std::vector<Node> nodes;
  std::vector<Edge> edges;
  std::vector<RequestClass> classes;
  std::vector<Method> methods;
};

// From the ids of one numbering to those of another. `map[id]` is none for an id that has no
// counterpart, and for one that the mapped topology did not know.
struct TopologyMap {
  std::vector<ServiceId> services;
  std::vector<InstanceId> instances;
  std::vector<NodeId> nodes;
  std::vector<EdgeId> edges;
  std::vector<ClassId> classes;
  std::vector<MethodId> methods;

  // What Merge changed; all 0 if it changed nothing that is counted here.
  std::uint32_t added = 0;  // rows, of all tables
  std::uint32_t renamed_services = 0;
  std::uint32_t moved_instances = 0;
  std::uint32_t removed_instances = 0;
  std::uint32_t changed_targets = 0;

  ServiceId operator[](ServiceId id) const { return At(services, id); }
  InstanceId operator[](InstanceId id) const { return At(instances, id); }
  NodeId operator[](NodeId id) const { return At(nodes, id); }
  EdgeId operator[](EdgeId id) const { return At(edges, id); }
  ClassId operator[](ClassId id) const { return At(classes, id); }
  MethodId operator[](MethodId id) const { return At(methods, id); }

 private:
  template <typename RowId>
  static RowId At(const std::vector<RowId>& ids, RowId id) {
    return id.value() < ids.size() ? ids[id.value()] : RowId();
  }
};

class Topology {
 public:
  static constexpr std::size_t kMaxRows = std::size_t{internal::IdIndex::kMaxId} + 1;  // 2^20
  static constexpr std::size_t kMaxNameBytes = 255;
  static constexpr std::size_t kMaxCgroupBytes = 4095;  // a path
  static constexpr std::size_t kMaxPids = 4096;         // of one instance

  // Empty, version 0, the control plane's own numbering.
  explicit Topology(std::uint64_t epoch = 0) { origin_.epoch = epoch; }

  // Empty, version 0, numbered by a node. The epoch must differ from that of the agent's earlier
  // lives: the time at which it started will do.
  static absl::StatusOr<Topology> OfNode(std::string_view node, std::uint64_t epoch);

  // Rebuilds a topology from its rows, checking every rule above. For decoders: the bytes may come
  // from anywhere. NotFound or InvalidArgument also for references, as "instances[17].node: ...".
  static absl::StatusOr<Topology> FromTables(Origin origin, TopologyTables tables);

  const Origin& origin() const { return origin_; }
  std::uint64_t version() const { return origin_.topology_version; }

  // ---- Services. A name is unique over all applications.

  absl::StatusOr<ServiceId> AddService(std::string_view name, std::string_view application = {});
  // Removes its instances, edges and methods too; a class that entered here has no entry then.
  [[nodiscard]] absl::Status RemoveService(ServiceId id);
  // Keeps the id; the old name is kept in `renamed_from` and is free for another service.
  [[nodiscard]] absl::Status RenameService(ServiceId id, std::string_view name);
  [[nodiscard]] absl::Status SetApplication(ServiceId id, std::string_view application);
  std::optional<ServiceId> FindService(std::string_view name) const;

  // ---- Nodes.

  absl::StatusOr<NodeId> AddNode(std::string_view name);
  // Removes the instances that are placed on it too.
  [[nodiscard]] absl::Status RemoveNode(NodeId id);
  std::optional<NodeId> FindNode(std::string_view name) const;

  // ---- Instances.

  absl::StatusOr<InstanceId> AddInstance(ServiceId service, std::string_view name,
                                         NodeId node = NodeId(), std::string_view cgroup = {},
                                         absl::Span<const std::int32_t> pids = {});
  // The tombstone keeps name, service and node, not the cgroup and the pids.
  [[nodiscard]] absl::Status RemoveInstance(InstanceId id);
  // `node` may be none: placement not known. What ran on the old node has gone: clears cgroup,
  // pids.
  [[nodiscard]] absl::Status MoveInstance(InstanceId id, NodeId node);
  [[nodiscard]] absl::Status SetCgroup(InstanceId id, std::string_view cgroup);
  [[nodiscard]] absl::Status SetPids(InstanceId id, absl::Span<const std::int32_t> pids);
  std::optional<InstanceId> FindInstance(ServiceId service, std::string_view name) const;

  // ---- Call edges. Caller none: the virtual client outside.

  absl::StatusOr<EdgeId> AddEdge(ServiceId caller, ServiceId callee,
                                 EdgeKind kind = EdgeKind::kSync);
  [[nodiscard]] absl::Status RemoveEdge(EdgeId id);
  [[nodiscard]] absl::Status SetKind(EdgeId id, EdgeKind kind);
  std::optional<EdgeId> FindEdge(ServiceId caller, ServiceId callee) const;

  // ---- Request classes.

  absl::StatusOr<ClassId> AddRequestClass(std::string_view application, std::string_view name,
                                          const QosTarget& target, ServiceId entry = ServiceId());
  [[nodiscard]] absl::Status RemoveRequestClass(ClassId id);
  [[nodiscard]] absl::Status SetTarget(ClassId id, const QosTarget& target);
  [[nodiscard]] absl::Status SetEntry(ClassId id, ServiceId entry);  // none: not known
  std::optional<ClassId> FindRequestClass(std::string_view application,
                                          std::string_view name) const;

  // ---- RPC methods.

  absl::StatusOr<MethodId> AddMethod(ServiceId service, std::string_view name);
  [[nodiscard]] absl::Status RemoveMethod(MethodId id);
  std::optional<MethodId> FindMethod(ServiceId service, std::string_view name) const;

  // ---- Rows, tombstones included.

  // The id was given in this epoch, and up to this version: the row may be asked for.
  template <typename RowId>
  bool Has(RowId id) const {
    return id.value() < TableOf(id).rows.size();
  }
  // Has(id), and the row is not a tombstone.
  template <typename RowId>
  bool IsLive(RowId id) const {
    return Has(id) && !TableOf(id).rows[id.value()].removed;
  }

  // Has(id) must hold.
  const Service& service(ServiceId id) const { return RowOf(services_, id); }
  const Instance& instance(InstanceId id) const { return RowOf(instances_, id); }
  const Node& node(NodeId id) const { return RowOf(nodes_, id); }
  const Edge& edge(EdgeId id) const { return RowOf(edges_, id); }
  const RequestClass& request_class(ClassId id) const { return RowOf(classes_, id); }
  const Method& method(MethodId id) const { return RowOf(methods_, id); }

  // By id. Valid until the next change.
  absl::Span<const Service> services() const { return services_.rows; }
  absl::Span<const Instance> instances() const { return instances_.rows; }
  absl::Span<const Node> nodes() const { return nodes_.rows; }
  absl::Span<const Edge> edges() const { return edges_.rows; }
  absl::Span<const RequestClass> classes() const { return classes_.rows; }
  absl::Span<const Method> methods() const { return methods_.rows; }

  std::size_t live_services() const { return services_.live.size(); }
  std::size_t live_instances() const { return instances_.live.size(); }
  std::size_t live_nodes() const { return nodes_.live.size(); }
  std::size_t live_edges() const { return edges_.live.size(); }
  std::size_t live_classes() const { return classes_.live.size(); }
  std::size_t live_methods() const { return methods_.live.size(); }

  // ---- Numberings. In src/core/topology_merge.cc.

  // Folds another numbering, in practice a node's, into this one by name, and tells for each of its
  // ids ours. All or nothing; the version rises by one if anything changed. Merging the same
  // topology again changes nothing and gives the same ids. `other` counts as the newer:
  //
  //   services   Renames come first, in the order of ids: a live row of `other` whose name is not
  //              live here but whose `renamed_from` is, renames ours. Then whatever is missing is
  //              added. An application that `other` knows is taken over. A service that `other`
  //              has lost stays: other nodes may have it.
  //   nodes      added, never removed.
  //   instances  added. Where `other` places an instance on a node, its node, cgroup and pids are
  //              taken over: an instance that was elsewhere has moved. An instance that `other` has
  //              removed is removed here if ours is placed where `other` had it, so that a node
  //              cannot remove what meanwhile runs elsewhere.
  //   edges, methods
  //              added, never removed. The kind of an edge is taken over.
  //   classes    added, never removed. A different target is taken over and counted; an entry that
  //              `other` knows is taken over.
  //
  // Tombstones of `other` map to the live row of the same name here, or to none; those of instances
  // always to none: a late count from the old node must not enter the new one's.
  //
  // ResourceExhausted if a table would outgrow kMaxRows.
  // Cost: one or two hash lookups for each row of `other`; independent of the size of this.
  absl::StatusOr<TopologyMap> Merge(const Topology& other);

  struct Renumbered;
  // A copy without tombstones, at version 0 of another epoch. It no longer tells what was removed,
  // so merge before compacting. InvalidArgument if the epoch is the present one.
  absl::StatusOr<Renumbered> Compacted(std::uint64_t new_epoch) const;

  // Equal origin and equal rows, tombstones included.
  friend bool operator==(const Topology& a, const Topology& b) {
    return a.origin_ == b.origin_ && a.services_.rows == b.services_.rows &&
           a.instances_.rows == b.instances_.rows && a.nodes_.rows == b.nodes_.rows &&
           a.edges_.rows == b.edges_.rows && a.classes_.rows == b.classes_.rows &&
           a.methods_.rows == b.methods_.rows;
  }
  friend bool operator!=(const Topology& a, const Topology& b) { return !(a == b); }

 private:
  template <typename Row>
  struct Table {
    std::vector<Row> rows;
    internal::IdIndex live;  // the ids of exactly the live rows, by the row's key
  };

  const Table<Service>& TableOf(ServiceId) const { return services_; }
  const Table<Instance>& TableOf(InstanceId) const { return instances_; }
  const Table<Node>& TableOf(NodeId) const { return nodes_; }
  const Table<Edge>& TableOf(EdgeId) const { return edges_; }
  const Table<RequestClass>& TableOf(ClassId) const { return classes_; }
  const Table<Method>& TableOf(MethodId) const { return methods_; }
  template <typename Row, typename RowId>
  static const Row& RowOf(const Table<Row>& table, RowId id) {
    SEER_DCHECK(id.value() < table.rows.size());
    return table.rows[id.value()];
  }

  template <typename RowId, typename Row>
  absl::StatusOr<RowId> Add(Table<Row>& table, Row row);
  template <typename Row>
  absl::Status Adopt(Table<Row>& table) const;
  template <typename Row, typename RowId>
  absl::Status RemoveRow(Table<Row>& table, RowId id);
  template <typename Value>
  void Assign(Value& field, Value value);
  void Bury(std::uint32_t instance);
  bool HasRoomFor(const Topology& other) const;
  absl::Status MergeInto(const Topology& other, TopologyMap& map);
  absl::Status MergeServices(const Topology& other, TopologyMap& map);
  absl::Status MergeNodes(const Topology& other, TopologyMap& map);
  absl::Status MergeInstances(const Topology& other, TopologyMap& map);
  absl::Status MergeEdges(const Topology& other, TopologyMap& map);
  absl::Status MergeClasses(const Topology& other, TopologyMap& map);
  absl::Status MergeMethods(const Topology& other, TopologyMap& map);

  Origin origin_;
  Table<Service> services_;
  Table<Instance> instances_;
  Table<Node> nodes_;
  Table<Edge> edges_;
  Table<RequestClass> classes_;
  Table<Method> methods_;
};

struct Topology::Renumbered {
  Topology topology;
  TopologyMap map;  // from the old ids
};

SEER_END_NAMESPACE
