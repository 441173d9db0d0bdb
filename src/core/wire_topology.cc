// Topology as bytes. Sections: 1 origin, then a table each: 2 services, 3 nodes, 4 instances,
// 5 edges, 6 classes, 7 methods. A table is a row count and one column after the other, so that a
// newer version can append columns.
#include <cstddef>
#include <type_traits>
#include <utility>
#include <vector>

#include "core/wire_fields.h"
#include "core/wire_io.h"

SEER_BEGIN_NAMESPACE

namespace internal {

namespace {

enum Tag : std::uint32_t {
  kOrigin = 1,
  kServices = 2,
  kNodes = 3,
  kInstances = 4,
  kEdges = 5,
  kClasses = 6,
  kMethods = 7,
};

// The bytes of a row without its strings and pids: a table of n rows has at least n times as many.
// Each is at least an eighth of what the row and its index entry take in memory.
template <typename Row>
constexpr std::size_t kRowBytes = 0;
template <>
constexpr std::size_t kRowBytes<Service> = 16;
template <>
constexpr std::size_t kRowBytes<Node> = 8;
template <>
constexpr std::size_t kRowBytes<Instance> = 24;
template <>
constexpr std::size_t kRowBytes<Edge> = 12;
template <>
constexpr std::size_t kRowBytes<RequestClass> = 36;
template <>
constexpr std::size_t kRowBytes<Method> = 12;

// One column: a member of every row, or a member of that. `Rows` is const when writing.
template <typename Io, typename Rows, typename... Members>
absl::Status Column(Io& io, const char* name, Rows& rows, Members... members) {
  for (auto& row : rows) SEER_RETURN_IF_ERROR(io(name, (row.*....*members)));
  return absl::OkStatus();
}

enum Flag : std::uint32_t { kRemoved = 1, kAsync = 2 };

template <typename Row>
std::uint32_t FlagsOf(const Row& row) {
  return row.removed ? kRemoved : 0u;
}
std::uint32_t FlagsOf(const Edge& row) {
  return (row.removed ? kRemoved : 0u) | (row.kind == EdgeKind::kAsync ? kAsync : 0u);
}
template <typename Row>
void SetFlags(std::uint32_t flags, Row& row) {
  row.removed = (flags & kRemoved) != 0;
}
void SetFlags(std::uint32_t flags, Edge& row) {
  row.removed = (flags & kRemoved) != 0;
  row.kind = (flags & kAsync) != 0 ? EdgeKind::kAsync : EdgeKind::kSync;
}

template <typename Io, typename Rows>
absl::Status FlagColumn(Io& io, Rows& rows) {
  for (auto& row : rows) {
    std::uint32_t flags = FlagsOf(row);
    SEER_RETURN_IF_ERROR(io("flags", flags));
    if constexpr (std::is_same_v<Io, FieldReader>) SetFlags(flags, row);
  }
  return absl::OkStatus();
}

// The columns of each table, chosen by the row's type.
template <typename Io, typename Rows>
absl::Status Columns(Io& io, Rows& rows, const Service*) {
  SEER_RETURN_IF_ERROR(Column(io, "name", rows, &Service::name));
  SEER_RETURN_IF_ERROR(Column(io, "application", rows, &Service::application));
  return Column(io, "renamed_from", rows, &Service::renamed_from);
}

template <typename Io, typename Rows>
absl::Status Columns(Io& io, Rows& rows, const Node*) {
  return Column(io, "name", rows, &Node::name);
}

template <typename Io, typename Rows>
absl::Status Columns(Io& io, Rows& rows, const Instance*) {
  SEER_RETURN_IF_ERROR(Column(io, "name", rows, &Instance::name));
  SEER_RETURN_IF_ERROR(Column(io, "service", rows, &Instance::service));
  SEER_RETURN_IF_ERROR(Column(io, "node", rows, &Instance::node));
  SEER_RETURN_IF_ERROR(Column(io, "cgroup", rows, &Instance::cgroup));
  return Column(io, "pids", rows, &Instance::pids);
}

template <typename Io, typename Rows>
absl::Status Columns(Io& io, Rows& rows, const Edge*) {
  SEER_RETURN_IF_ERROR(Column(io, "caller", rows, &Edge::caller));
  return Column(io, "callee", rows, &Edge::callee);
}

template <typename Io, typename Rows>
absl::Status Columns(Io& io, Rows& rows, const RequestClass*) {
  SEER_RETURN_IF_ERROR(Column(io, "name", rows, &RequestClass::name));
  SEER_RETURN_IF_ERROR(Column(io, "application", rows, &RequestClass::application));
  SEER_RETURN_IF_ERROR(Column(io, "entry", rows, &RequestClass::entry));
  SEER_RETURN_IF_ERROR(
      Column(io, "target.latency_ns", rows, &RequestClass::target, &QosTarget::latency_ns));
  SEER_RETURN_IF_ERROR(
      Column(io, "target.allowed_ppm", rows, &RequestClass::target, &QosTarget::allowed_ppm));
  SEER_RETURN_IF_ERROR(
      Column(io, "target.window_ms", rows, &RequestClass::target, &QosTarget::window_ms));
  return Column(io, "target.min_over", rows, &RequestClass::target, &QosTarget::min_over);
}

template <typename Io, typename Rows>
absl::Status Columns(Io& io, Rows& rows, const Method*) {
  SEER_RETURN_IF_ERROR(Column(io, "name", rows, &Method::name));
  return Column(io, "service", rows, &Method::service);
}

template <typename Row>
void WriteTable(Tag tag, absl::Span<const Row> rows, WireWriter& w) {
  w.Section(tag);
  w.Number(static_cast<std::uint32_t>(rows.size()));
  FieldWriter io(w);
  Columns(io, rows, static_cast<const Row*>(nullptr)).IgnoreError();  // writing cannot fail
  FlagColumn(io, rows).IgnoreError();
}

template <typename Row>
absl::Status ReadTable(const char* name, std::string_view section, std::vector<Row>* rows) {
  if (section.empty()) return absl::OkStatus();
  WireReader r(name, section);
  std::size_t size = 0;
  SEER_RETURN_IF_ERROR(r.Count("rows", kRowBytes<Row>, Topology::kMaxRows, &size));
  rows->resize(size);
  FieldReader io(r);
  SEER_RETURN_IF_ERROR(Columns(io, *rows, static_cast<const Row*>(nullptr)));
  return FlagColumn(io, *rows);
}

absl::Status ReadTopology(const WireSections& sections, Topology* topology) {
  Origin origin;
  TopologyTables t;
  WireReader r("Topology.origin", sections.Get(kOrigin));
  SEER_RETURN_IF_ERROR(r.Origin(&origin));
  SEER_RETURN_IF_ERROR(ReadTable("Topology.services", sections.Get(kServices), &t.services));
  SEER_RETURN_IF_ERROR(ReadTable("Topology.nodes", sections.Get(kNodes), &t.nodes));
  SEER_RETURN_IF_ERROR(ReadTable("Topology.instances", sections.Get(kInstances), &t.instances));
  SEER_RETURN_IF_ERROR(ReadTable("Topology.edges", sections.Get(kEdges), &t.edges));
  SEER_RETURN_IF_ERROR(ReadTable("Topology.classes", sections.Get(kClasses), &t.classes));
  SEER_RETURN_IF_ERROR(ReadTable("Topology.methods", sections.Get(kMethods), &t.methods));
  SEER_ASSIGN_OR_RETURN(*topology, Topology::FromTables(std::move(origin), std::move(t)));
  return absl::OkStatus();
}

}  // namespace
}  // namespace internal

void EncodeTo(const Topology& topology, std::string* bytes) {
  using namespace internal;  // NOLINT(google-build-using-namespace): the format's own file
  WireWriter w(WireKind::kTopology, bytes);
  w.Section(kOrigin);
  w.Origin(topology.origin());
  WriteTable(kServices, topology.services(), w);
  WriteTable(kNodes, topology.nodes(), w);
  WriteTable(kInstances, topology.instances(), w);
  WriteTable(kEdges, topology.edges(), w);
  WriteTable(kClasses, topology.classes(), w);
  WriteTable(kMethods, topology.methods(), w);
  w.Finish();
}

absl::Status DecodeTo(std::string_view bytes, Topology* topology) {
  return internal::DecodeMessage(WireKind::kTopology, bytes, topology, internal::ReadTopology);
}

SEER_END_NAMESPACE
