// Flow: RPC -> [TscClock] -> stamps -> Span, Snapshot
//
// Time for the hot path: a raw stamp is one instruction, and turning it into unix time is left to
// whoever drains the stamps later.
//
//   static seer::TscClock clock;                            // calibrates itself once, about 2 ms
//   const std::uint64_t stamp = clock.Stamp();              // RPC thread
//   const std::int64_t unix_ns = clock.ToUnixNs(stamp);     // collector
//   clock.Recalibrate();                                    // collector, every tick or so
//
// Where the processor has no invariant time-stamp counter, or the kernel itself does not trust it,
// a stamp is clock_gettime(CLOCK_MONOTONIC); source() tells. Nothing else changes.
//
// Unix time from stamps follows the system's clock without ever running backwards: Recalibrate()
// bends the rate by at most 500 ppm until the two agree again. Only when they disagree by more than
// 100 ms (the machine's clock was set, or the machine was suspended or migrated) does it jump, and
// counts the jump.
//
// Threads: Stamp, FencedStamp, ToUnixNs, NowNs from any thread. Recalibrate from one at a time.
// Cost:    on a 2.8 GHz Ice Lake guest Stamp() 9 ns, FencedStamp() 12 ns (it waits for the loads
//          before it), ToUnixNs() 1.4 ns; clock_gettime beside them 16 ns (benchmarks/RESULTS.md).
//          No system call except in Recalibrate().
#pragma once

#include <atomic>
#include <cstdint>
#include <ctime>

#if defined(__x86_64__)
#include <x86intrin.h>
#endif

#include "seer/core/clock.h"
#include "seer/core/config.h"

SEER_BEGIN_NAMESPACE

class TscClock final : public Clock {
 public:
  enum class Source : std::uint8_t { kTsc, kClockGettime };

  // The best source this machine has.
  TscClock() : TscClock(BestSource()) {}
  // Forces a source. kTsc on a machine without an invariant counter gives wrong times.
  explicit TscClock(Source source);
  static Source BestSource();

  Source source() const { return source_; }

  std::uint64_t Stamp() const noexcept {
#if defined(__x86_64__)
    if (source_ == Source::kTsc) return __rdtsc();
#endif
    return MonotonicNs();
  }

  // For a stamp that follows a hand-over from another core: an unfenced rdtsc may execute before
  // the load that received the work, and the request would seem to start before it was sent.
  std::uint64_t FencedStamp() const noexcept {
#if defined(__x86_64__)
    if (source_ == Source::kTsc) {
      _mm_lfence();  // every earlier load is done before the counter is read
      return __rdtsc();
    }
#endif
    return MonotonicNs();
  }

  std::int64_t ToUnixNs(std::uint64_t stamp) const noexcept {
    const Conversion c = Load();
    return Convert(c, stamp);
  }
  std::int64_t NowNs() const override { return ToUnixNs(Stamp()); }

  // Compares with the system's clock and corrects rate and offset. Call it every 0.1 to 10 s.
  void Recalibrate() { Recalibrate(SampleNow()); }
  // How often unix time jumped, see above.
  std::uint64_t jumps() const { return jumps_.load(std::memory_order_relaxed); }  // only a count

  // One reading of all three clocks at (nearly) the same moment; public so that tests can make the
  // clocks disagree.
  struct Sample {
    std::uint64_t stamp = 0;
    std::int64_t monotonic_ns = 0;
    std::int64_t unix_ns = 0;
  };
  void Recalibrate(const Sample& now);
  Sample SampleNow() const;

 private:
  // unix_ns = base_unix_ns + (stamp - base_stamp) * ns_per_stamp / 2^32
  struct Conversion {
    std::uint64_t base_stamp;
    std::int64_t base_unix_ns;
    std::uint64_t ns_per_stamp;
  };

  static std::uint64_t MonotonicNs() noexcept {
    timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return static_cast<std::uint64_t>(t.tv_sec) * 1'000'000'000u +
           static_cast<std::uint64_t>(t.tv_nsec);
  }

  static std::int64_t Convert(const Conversion& c, std::uint64_t stamp) noexcept {
    // Signed: stamps from before the last Recalibrate() are converted too.
    const auto elapsed = static_cast<std::int64_t>(stamp - c.base_stamp);
    __extension__ using Wide = __int128;
    return c.base_unix_ns +
           static_cast<std::int64_t>(
               (static_cast<Wide>(elapsed) * static_cast<Wide>(c.ns_per_stamp)) >> 32);
  }

  // Two copies and a count whose parity says which one to read: while Recalibrate() writes one, or
  // is preempted half-way, readers use the other and never wait for it.
  //   Writer: sequence_ = odd ([A]), write copy 0 ([B]), sequence_ = even ([A]), write copy 1
  //   ([B]). Reader: sequence_ ([A]), the copy it names ([B]), sequence_ again.
  // Every field is a release store and an acquire load, [B]: a reader that saw a new field in the
  // copy it was told to read also sees the count that was stored before that field, which differs
  // from its first look, and it retries. That takes a whole Recalibrate() during three loads.
  // (No fences: ThreadSanitizer does not know them.)
  Conversion Load() const noexcept {
    for (;;) {
      const std::uint32_t before = sequence_.load(std::memory_order_acquire);  // [A]
      const AtomicConversion& copy = copies_[before % 2];
      Conversion c;
      c.base_stamp = copy.base_stamp.load(std::memory_order_acquire);      // [B]
      c.base_unix_ns = copy.base_unix_ns.load(std::memory_order_acquire);  // [B]
      c.ns_per_stamp = copy.ns_per_stamp.load(std::memory_order_acquire);  // [B]
      // Relaxed: the acquires above keep it behind the fields.
      if (sequence_.load(std::memory_order_relaxed) == before) return c;
    }
  }
  void Store(const Conversion& c) noexcept;

  struct AtomicConversion {
    std::atomic<std::uint64_t> base_stamp{0};
    std::atomic<std::int64_t> base_unix_ns{0};
    std::atomic<std::uint64_t> ns_per_stamp{0};
  };

  const Source source_;
  Sample origin_;  // start of the baseline over which the rate is measured; Recalibrate() only
  std::uint64_t measured_rate_ = 0;  // ns per stamp, times 2^32, over that baseline
  bool rate_is_stale_ = false;       // the counter is another one now; measure it anew
  std::atomic<std::uint64_t> jumps_{0};
  std::atomic<std::uint32_t> sequence_{0};
  AtomicConversion copies_[2];
};

SEER_END_NAMESPACE
