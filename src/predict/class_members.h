// Which services a request of each class can wait for: among them is whoever initiates its
// violation.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "seer/core/config.h"
#include "seer/core/ids.h"
#include "seer/core/topology.h"

SEER_BEGIN_NAMESPACE
namespace internal {

class ClassMembers {
 public:
  // The services that are reachable from the class's entry along synchronous calls; where no entry
  // is known, those of its application; where that is not known either, all. Live ones, by id or,
  // `from_back_end`, in the order of topology_order.h.
  void Use(const Topology& topology, bool from_back_end);
  absl::Span<const std::uint32_t> Of(ClassId id) const { return lists_[ListOf(id)]; }
  absl::Span<const std::uint32_t> OfList(std::size_t list) const { return lists_[list]; }
  // Classes with the same services have the same list.
  std::size_t lists() const { return lists_.size(); }
  std::size_t ListOf(ClassId id) const {
    return id.index() < of_class_.size() ? of_class_[id.index()] : 0;
  }
  void Clear() {
    lists_.assign(1, {});
    of_class_.clear();
  }

 private:
  std::vector<std::vector<std::uint32_t>> lists_{1};  // the first: all services
  std::vector<std::uint32_t> of_class_;               // index of its list
};

}  // namespace internal
SEER_END_NAMESPACE
