// The backends that are built in, and what they have in common.
#pragma once

#include <cstddef>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "seer/nn/backend.h"

SEER_BEGIN_NAMESPACE
namespace internal {

const Backend* ReferenceBackend();
#ifdef SEER_NN_EIGEN
const Backend* EigenBackend();
#endif

absl::Status CheckParameters(const Network& network, absl::Span<const float> parameters);
absl::Status CheckWorkspaceSize(std::size_t values_per_window, std::size_t windows);

}  // namespace internal
SEER_END_NAMESPACE
