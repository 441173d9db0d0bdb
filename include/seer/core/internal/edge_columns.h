// Flow: EdgeTable -> [EdgeColumns] -> a loop over all edges (window/)
//
// The columns of a table as they are, for whoever reads all of it: EdgeTable::Get() is a call for
// each edge.
#pragma once

#include <cstddef>
#include <cstdint>

#include "seer/core/config.h"
#include "seer/core/snapshot.h"

SEER_BEGIN_NAMESPACE
namespace internal {

struct EdgeColumns {
  std::size_t size = 0;
  const std::uint8_t* seen = nullptr;  // 0 or 1, of each edge
  // Null where all are zero.
  const std::uint32_t *outstanding = nullptr, *width = nullptr, *made = nullptr;
};

// Valid until the table changes.
EdgeColumns ColumnsOf(const EdgeTable& table);

}  // namespace internal
SEER_END_NAMESPACE
