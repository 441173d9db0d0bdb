// Ensembles of trees put together and taken apart, whole trees at a time. Private to the retrainer.
#pragma once

#include <cstddef>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "seer/core/config.h"
#include "seer/predict/boosted_trees.h"

SEER_BEGIN_NAMESPACE
namespace internal {

// All trees, in their order; the base is the first one's, and of the others 0 (TreeRows::scores).
// InvalidArgument: of different shapes, or too many trees.
absl::StatusOr<BoostedTrees> JoinTrees(absl::Span<const BoostedTrees> parts);
// Without `count` trees from the `first` on.
absl::StatusOr<BoostedTrees> DropTrees(const BoostedTrees& trees, std::size_t first,
                                       std::size_t count);

}  // namespace internal
SEER_END_NAMESPACE
