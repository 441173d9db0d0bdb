#include "seer/core/tsc_clock.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <string_view>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

SEER_BEGIN_NAMESPACE

namespace {

constexpr std::int64_t kFirstCalibrationNs = 2'000'000;
constexpr std::int64_t kJumpNs = 100'000'000;
// An offset is worked off over about a second, at no more than 500 parts per million.
constexpr std::int64_t kSlewNs = 1'000'000'000;
constexpr double kMaxSlew = 500e-6;
// A rate that changes by more than this between two calibrations is another counter: the virtual
// machine was moved.
constexpr double kMaxRateChange = 1e-3;
constexpr double kScale = 4294967296.0;  // 2^32

std::int64_t ReadClock(clockid_t id) {
  timespec t;
  clock_gettime(id, &t);
  return static_cast<std::int64_t>(t.tv_sec) * 1'000'000'000 + t.tv_nsec;
}

#if defined(__x86_64__)
bool ProcessorHasInvariantTsc() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  return __get_cpuid(0x80000007, &a, &b, &c, &d) != 0 && (d & (1u << 8)) != 0;
}

// The kernel watches the counter and switches away from it when the cores' counters drift apart.
bool KernelTrustsTsc() {
  char name[32] = {};
  const int fd = open("/sys/devices/system/clocksource/clocksource0/current_clocksource",
                      O_RDONLY | O_CLOEXEC);
  if (fd < 0) return false;
  const ssize_t size = read(fd, name, sizeof(name) - 1);
  close(fd);
  if (size <= 0) return false;
  std::string_view source(name, static_cast<std::size_t>(size));
  while (!source.empty() && source.back() == '\n') source.remove_suffix(1);
  return source == "tsc" || source == "kvm-clock" || source == "hyperv_clocksource_tsc_page";
}
#endif

}  // namespace

TscClock::Source TscClock::BestSource() {
#if defined(__x86_64__)
  if (ProcessorHasInvariantTsc() && KernelTrustsTsc()) return Source::kTsc;
#endif
  return Source::kClockGettime;
}

TscClock::TscClock(Source source) : source_(source) {
  origin_ = SampleNow();
  Sample now = origin_;
  if (source_ == Source::kTsc) {
    // Long enough for some 20 ppm, which the first Recalibrate() improves a hundredfold.
    while (now.monotonic_ns - origin_.monotonic_ns < kFirstCalibrationNs) now = SampleNow();
    measured_rate_ =
        static_cast<std::uint64_t>(static_cast<double>(now.monotonic_ns - origin_.monotonic_ns) /
                                   static_cast<double>(now.stamp - origin_.stamp) * kScale);
  } else {
    measured_rate_ = std::uint64_t{1} << 32;
  }
  Store({now.stamp, now.unix_ns, measured_rate_});
}

TscClock::Sample TscClock::SampleNow() const {
  // Between two stamps as close together as can be had in a few tries: a preemption in between
  // would shift the clocks against each other.
  Sample best;
  std::uint64_t best_gap = ~std::uint64_t{0};
  for (int i = 0; i < 8; ++i) {
    const std::uint64_t before = FencedStamp();
    const std::int64_t monotonic_ns = ReadClock(CLOCK_MONOTONIC);
    const std::int64_t unix_ns = ReadClock(CLOCK_REALTIME);
    const std::uint64_t after = FencedStamp();
    if (after - before < best_gap) {
      best_gap = after - before;
      best = {before + (after - before) / 2, monotonic_ns, unix_ns};
    }
  }
  return best;
}

void TscClock::Recalibrate(const Sample& now) {
  const std::int64_t stamps = static_cast<std::int64_t>(now.stamp - origin_.stamp);
  const std::int64_t monotonic_ns = now.monotonic_ns - origin_.monotonic_ns;
  if (monotonic_ns < kFirstCalibrationNs / 2) return;  // too soon to learn anything

  bool jump = false;
  if (source_ == Source::kTsc) {
    const double known = static_cast<double>(measured_rate_);
    const double measured =
        stamps > 0 ? static_cast<double>(monotonic_ns) / static_cast<double>(stamps) * kScale : 0;
    const bool same_counter =
        measured <= known * (1 + kMaxRateChange) && measured >= known * (1 - kMaxRateChange);
    // Another counter: the baseline starts afresh here, and the next call measures its rate and
    // jumps once more, over the time in between that was counted at the old rate.
    jump = !same_counter;
    if (same_counter || (rate_is_stale_ && measured > 0)) {
      measured_rate_ = static_cast<std::uint64_t>(measured);
      rate_is_stale_ = false;
    } else {
      rate_is_stale_ = true;
    }
  }

  const std::int64_t predicted_ns = Convert(Load(), now.stamp);
  const std::int64_t error_ns = now.unix_ns - predicted_ns;
  jump = jump || error_ns > kJumpNs || error_ns < -kJumpNs;
  if (jump) {
    jumps_.fetch_add(1, std::memory_order_relaxed);  // a count; orders nothing
    origin_ = now;
    Store({now.stamp, now.unix_ns, measured_rate_});
    return;
  }
  const double slew =
      std::clamp(static_cast<double>(error_ns) / static_cast<double>(kSlewNs), -kMaxSlew, kMaxSlew);
  Store({now.stamp, predicted_ns,
         static_cast<std::uint64_t>(static_cast<double>(measured_rate_) * (1 + slew))});
}

void TscClock::Store(const Conversion& c) noexcept {
  // Only one thread writes: relaxed suffices for its own word.
  std::uint32_t sequence = sequence_.load(std::memory_order_relaxed);
  for (int writing : {0, 1}) {
    // [A] release: readers of the other copy see what the previous round wrote there.
    sequence_.store(++sequence, std::memory_order_release);
    AtomicConversion& copy = copies_[writing];
    copy.base_stamp.store(c.base_stamp, std::memory_order_release);      // [B]
    copy.base_unix_ns.store(c.base_unix_ns, std::memory_order_release);  // [B]
    copy.ns_per_stamp.store(c.ns_per_stamp, std::memory_order_release);  // [B]
  }
}

SEER_END_NAMESPACE
