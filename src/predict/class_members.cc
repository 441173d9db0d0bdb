#include "predict/class_members.h"

#include <algorithm>
#include <string>
#include <utility>

#include "seer/core/topology_order.h"

SEER_BEGIN_NAMESPACE
namespace internal {
namespace {

// Services in all lists together: 16 MiB. Classes beyond it look at every service.
constexpr std::size_t kMaxMembers = std::size_t{1} << 22;

// The live services that a request entering at `entry` can wait for.
std::vector<std::uint32_t> Reachable(const Topology& topology,
                                     const std::vector<std::vector<std::uint32_t>>& callees,
                                     ServiceId entry) {
  std::vector<std::uint8_t> seen(topology.services().size(), 0);
  std::vector<std::uint32_t> found = {entry.value()};
  seen[entry.index()] = 1;
  for (std::size_t i = 0; i < found.size(); ++i) {
    for (const std::uint32_t callee : callees[found[i]]) {
      if (seen[callee] != 0) continue;
      seen[callee] = 1;
      found.push_back(callee);
    }
  }
  return found;
}

}  // namespace

void ClassMembers::Use(const Topology& topology, bool from_back_end) {
  const std::size_t services = topology.services().size();
  std::vector<std::vector<std::uint32_t>> callees(services);
  bool any_call = false;
  for (const Edge& edge : topology.edges()) {
    if (edge.removed || !edge.caller.valid() || edge.kind != EdgeKind::kSync) continue;
    callees[edge.caller.index()].push_back(edge.callee.value());
    any_call = true;
  }
  std::vector<std::uint32_t> rank;
  if (from_back_end) rank = OrderServices(topology).rank;
  const auto live = [&](std::uint32_t id) { return topology.IsLive(ServiceId(id)); };
  const auto arranged = [&](std::vector<std::uint32_t> list) {
    list.erase(std::remove_if(list.begin(), list.end(), [&](auto id) { return !live(id); }),
               list.end());
    std::sort(list.begin(), list.end(), [&](std::uint32_t a, std::uint32_t b) {
      return rank.empty() || rank[a] == rank[b] ? a < b : rank[a] < rank[b];
    });
    return list;
  };

  std::vector<std::uint32_t> everyone;
  for (std::uint32_t id = 0; id < services; ++id) everyone.push_back(id);
  lists_.clear();
  lists_.push_back(arranged(everyone));
  std::size_t members = 0;

  const auto rows = topology.classes();
  of_class_.assign(rows.size(), 0);
  // Classes with the same entry, or without entries of the same application, share a list.
  std::vector<std::pair<std::pair<std::uint32_t, std::string>, std::uint32_t>> known;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    if (rows[i].removed) continue;
    const bool by_entry = rows[i].entry.valid() && any_call;
    if (!by_entry && rows[i].application.empty()) continue;
    const std::pair<std::uint32_t, std::string> key(
        by_entry ? rows[i].entry.value() : ServiceId::kNone, by_entry ? "" : rows[i].application);
    const auto found = std::lower_bound(known.begin(), known.end(), std::pair(key, 0u));
    if (found != known.end() && found->first == key) {
      of_class_[i] = found->second;
      continue;
    }
    if (members >= kMaxMembers) continue;
    std::vector<std::uint32_t> list;
    if (by_entry) {
      list = Reachable(topology, callees, rows[i].entry);
    } else {
      for (std::uint32_t id = 0; id < services; ++id) {
        if (topology.service(ServiceId(id)).application == rows[i].application) list.push_back(id);
      }
    }
    list = arranged(std::move(list));
    if (list.empty()) continue;
    members += list.size();
    of_class_[i] = static_cast<std::uint32_t>(lists_.size());
    known.insert(found, {key, of_class_[i]});
    lists_.push_back(std::move(list));
  }
}

}  // namespace internal
SEER_END_NAMESPACE
