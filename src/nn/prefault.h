// Memory that will be written at once in any case, a model's weights, asked for in one system call:
// page by page it costs more than to copy the weights.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "seer/core/config.h"

SEER_BEGIN_NAMESPACE
namespace internal {

inline constexpr std::size_t kLargePage = std::size_t{2} << 20, kManyPages = 2 * kLargePage;

// For memory that begins at a large page. Where the kernel has none, nothing changes.
inline void AskForLargePages(void* begin, std::size_t bytes) {
#ifdef MADV_HUGEPAGE
  (void)madvise(begin, bytes / kLargePage * kLargePage, MADV_HUGEPAGE);
#else
  (void)begin;
  (void)bytes;
#endif
}

// Where the kernel cannot (before 5.14), pages come as ever.
inline void Prefault(const float* values, std::size_t count) {
#ifdef MADV_POPULATE_WRITE
  constexpr std::size_t kWorthIt = 128 << 10;
  const std::size_t bytes = count * sizeof(float);
  if (bytes < kWorthIt) return;
  const auto page = static_cast<std::uintptr_t>(sysconf(_SC_PAGESIZE));
  const auto begin = reinterpret_cast<std::uintptr_t>(values);
  const std::uintptr_t first = (begin + page - 1) / page * page;
  const std::uintptr_t last = (begin + bytes) / page * page;
  if (first < last) {
    // NOLINTNEXTLINE(performance-no-int-to-ptr): an address, rounded
    (void)madvise(reinterpret_cast<void*>(first), last - first, MADV_POPULATE_WRITE);
  }
#else
  (void)values;
  (void)count;
#endif
}

// Of a vector that is empty.
inline void ReservePrefaulted(std::size_t values, std::vector<float>* out) {
  out->reserve(values);
  Prefault(out->data(), values);
}

inline std::vector<float> PrefaultedCopy(absl::Span<const float> values) {
  std::vector<float> copy;
  ReservePrefaulted(values.size(), &copy);
  copy.assign(values.begin(), values.end());
  return copy;
}

}  // namespace internal
SEER_END_NAMESPACE
