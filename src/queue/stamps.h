// The clock of timed queues, by the number that a segment names it with (SEER_STAMP_*): the writer
// and the reader are different processes and must mean the same one. The time-stamp counter where
// the machine has a good one: CLOCK_MONOTONIC differs between time namespaces.
//
// Threads: any. Cost: 9 to 12 ns with the counter, else clock_gettime.
#pragma once

#include <cstdint>

#include "seer/core/config.h"

SEER_BEGIN_NAMESPACE
namespace internal {

// SEER_STAMP_TSC or SEER_STAMP_MONOTONIC: what this machine's writers use.
std::uint32_t StampSource() noexcept;
// 0: this machine cannot read that clock.
std::uint64_t StampNow(std::uint32_t source) noexcept;
// After a hand-over from another core: see TscClock::FencedStamp().
std::uint64_t FencedStampNow(std::uint32_t source) noexcept;
// For converting differences. Measures for about 2 ms on its first call.
double NsPerStamp(std::uint32_t source);

}  // namespace internal
SEER_END_NAMESPACE
