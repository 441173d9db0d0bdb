#include "queue/stamps.h"

#include <atomic>
#include <ctime>

#include "seer/core/tsc_clock.h"
#include "seer/queue/segment_layout.h"

SEER_BEGIN_NAMESPACE
namespace internal {

namespace {

std::uint64_t MonotonicNs() noexcept {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return static_cast<std::uint64_t>(t.tv_sec) * 1'000'000'000u +
         static_cast<std::uint64_t>(t.tv_nsec);
}

}  // namespace

std::uint32_t StampSource() noexcept {
  // No static that is made once: if another thread is at it while the process forks, the child
  // waits for that thread for ever. Relaxed: each finds the same.
  static std::atomic<std::uint32_t> source{0};
  std::uint32_t known = source.load(std::memory_order_relaxed);
  if (known == 0) {
    known =
        TscClock::BestSource() == TscClock::Source::kTsc ? SEER_STAMP_TSC : SEER_STAMP_MONOTONIC;
    source.store(known, std::memory_order_relaxed);
  }
  return known;
}

std::uint64_t StampNow(std::uint32_t source) noexcept {
  if (source == SEER_STAMP_MONOTONIC) return MonotonicNs();
#if defined(__x86_64__)
  if (source == SEER_STAMP_TSC && StampSource() == SEER_STAMP_TSC) return __rdtsc();
#endif
  return 0;
}

std::uint64_t FencedStampNow(std::uint32_t source) noexcept {
#if defined(__x86_64__)
  if (source == SEER_STAMP_TSC) _mm_lfence();
#endif
  return StampNow(source);
}

double NsPerStamp(std::uint32_t source) {
  if (source == SEER_STAMP_MONOTONIC) return 1;
  static const double rate = [] {
    const TscClock clock;  // calibrates itself
    constexpr std::uint64_t kStamps = std::uint64_t{1} << 30;
    const std::uint64_t now = clock.Stamp();
    return static_cast<double>(clock.ToUnixNs(now + kStamps) - clock.ToUnixNs(now)) /
           static_cast<double>(kStamps);
  }();
  return rate;
}

}  // namespace internal
SEER_END_NAMESPACE
