// Flow: (internal) the rules that the rows of a Topology keep (topology.h), and how a breach reads
//
//   SEER_RETURN_IF_ERROR(CheckName({"nodes", kNewRow, "name"}, name));
//   -> InvalidArgument "nodes[new].name: is empty; give it 1 to 255 bytes"
//
// Threads: pure functions. Cost: nothing is allocated unless a rule is broken.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "seer/core/topology.h"

SEER_BEGIN_NAMESPACE
namespace internal {

// The number of a row that is being added.
inline constexpr std::size_t kNewRow = std::numeric_limits<std::size_t>::max();

// Where a value stands: "services[17].name", or "services[new].name".
struct Place {
  const char* table;
  std::size_t row;
  const char* field;  // empty: the row itself

  std::string Text() const;
};

inline const char* TableName(const Service&) { return "services"; }
inline const char* TableName(const Instance&) { return "instances"; }
inline const char* TableName(const Node&) { return "nodes"; }
inline const char* TableName(const Edge&) { return "edges"; }
inline const char* TableName(const RequestClass&) { return "classes"; }
inline const char* TableName(const Method&) { return "methods"; }

// A row's key as it stands in a message.
std::string KeyText(const Service& row);
std::string KeyText(const Instance& row);
std::string KeyText(const Node& row);
std::string KeyText(const Edge& row);
std::string KeyText(const RequestClass& row);
std::string KeyText(const Method& row);

// ---- One value.

absl::Status CheckName(const Place& place, std::string_view name);
absl::Status CheckOptionalName(const Place& place, std::string_view name);  // may be empty
absl::Status CheckCgroup(const Place& place, std::string_view cgroup);
absl::Status CheckPids(const Place& place, absl::Span<const std::int32_t> pids);
absl::Status CheckKind(const Place& place, EdgeKind kind);
absl::Status CheckTarget(const Place& place, const QosTarget& target);

// ---- References. A tombstone may refer to tombstones, a live row may not.

enum class Referrer { kLive, kTombstone };

template <typename RowId, typename Row>
absl::Status CheckReference(const Place& place, RowId id, absl::Span<const Row> rows,
                            Referrer referrer = Referrer::kLive) {
  if (!id.valid()) {
    return absl::InvalidArgumentError(
        absl::StrCat(place.Text(), ": is none; give the id of a live row of ", TableName(Row())));
  }
  if (id.value() >= rows.size()) {
    return absl::NotFoundError(absl::StrCat(place.Text(), ": id ", id.value(), " is not among the ",
                                            rows.size(), " ", TableName(Row()),
                                            "; use ids of this topology and epoch only"));
  }
  const Row& row = rows[id.index()];
  if (referrer == Referrer::kTombstone || !row.removed) return absl::OkStatus();
  return absl::NotFoundError(absl::StrCat(place.Text(), ": id ", id.value(), " (", KeyText(row),
                                          ") was removed; use the id of a live row"));
}

template <typename RowId, typename Row>
absl::Status CheckOptionalReference(const Place& place, RowId id, absl::Span<const Row> rows,
                                    Referrer referrer = Referrer::kLive) {
  return id.valid() ? CheckReference(place, id, rows, referrer) : absl::OkStatus();
}

// ---- Whole rows: every rule but uniqueness.

absl::Status CheckRow(const Topology& topology, const Service& row, std::size_t number);
absl::Status CheckRow(const Topology& topology, const Instance& row, std::size_t number);
absl::Status CheckRow(const Topology& topology, const Node& row, std::size_t number);
absl::Status CheckRow(const Topology& topology, const Edge& row, std::size_t number);
absl::Status CheckRow(const Topology& topology, const RequestClass& row, std::size_t number);
absl::Status CheckRow(const Topology& topology, const Method& row, std::size_t number);

}  // namespace internal
SEER_END_NAMESPACE
