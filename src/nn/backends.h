// The backends that are built in, and what they have in common.
#pragma once

#include <cstddef>
#include <memory>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "seer/nn/backend.h"

SEER_BEGIN_NAMESPACE
namespace internal {

const Backend* ReferenceBackend();
const Backend* NativeBackend();
// With kernels that the processor can run (native_kernels.h): for tests of the slower ones.
struct NativeKernels;
std::unique_ptr<Backend> MakeNativeBackend(const NativeKernels& kernels);
#ifdef SEER_NN_EIGEN
const Backend* EigenBackend();
// With kernels that the processor can run (kernels.h): for tests of the slower ones.
struct Kernels;
std::unique_ptr<Backend> MakeEigenBackend(const Kernels& kernels);
#endif

// bfloat16: the backend has weights of that kind.
absl::Status CheckOptions(const Network& network, const InferenceOptions& options,
                          bool bfloat16 = false);
absl::Status CheckParameters(const Network& network, absl::Span<const float> parameters);
absl::Status CheckWorkspaceSize(std::size_t values_per_window, std::size_t windows);

}  // namespace internal
SEER_END_NAMESPACE
