// Flow: HwReading, StallBaseline -> [Attribute] -> StallAttribution -> advise/
//
// Which resource makes a request of the culprit wait longer than when all was well. Every resource
// answers in the same unit, microseconds of waiting for one request; what rose most is to blame if
// it rose enough to matter. Utilisation is not looked at: a busy resource that nobody waits for
// is no problem.
//
//   std::vector<seer::HwReading> readings;              // 100 ms each, for 300 ms
//   const seer::StallAttribution found = seer::Attribute(readings, baseline, rules);
//   if (found.verdict == seer::StallAttribution::Verdict::kResource) Blame(found.worst().resource);
//
// Two things are more than a comparison. Waiting for memory capacity comes with its storage (the
// monitor has put it together already). And a monitor without counters tells of the cache by how a
// probe of its own slowed down (scope kHost): that is held against how the probe does when all is
// well, and counts only as far as the instance itself needs more processor time for a request than
// it did.
//
// Of several readings, a resource that was short in only a third of them or fewer is not blamed: a
// process that came and went, or a packet that was seen waiting twice by chance, is no cause that
// would still be there when something is done about it. A quota is there as long as nobody changes
// it: that it ran out in a tenth of its periods is enough. So give it readings, where there are
// some, rather than their sum.
//
// Threads: pure functions. Cost: 10 us for a reading, all of it the baseline's medians.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "absl/types/span.h"
#include "seer/core/config.h"
#include "seer/core/hw_reading.h"
#include "seer/hwmon/stall_baseline.h"

SEER_BEGIN_NAMESPACE

struct AttributionRules {
  double min_rise_us = 40;
  // And this part of what a request takes when all is well, where the caller knows it.
  double min_rise_share = 0.15;
  double healthy_latency_us = 0;  // the median; 0: not known
  // And so many spreads of the healthy stalls themselves.
  double min_rise_spreads = 4;
  // Of a probe's slowdown: so many spreads of its own, and so much of it that is felt, in spreads
  // of the processor time of a healthy request, too. Two witnesses, of whom none need be as sure
  // as one alone.
  double min_probe_spreads = 1;
  double min_felt_us = 20;
  std::uint32_t min_samples = 3;   // readings of the baseline
  std::uint64_t min_requests = 5;  // in the reading
  // With so many more requests than usual, waiting for the network, for storage, or for processors
  // that the instance itself has all of, is load.
  double load_ratio = 1.5;
};

struct StallRise {
  Resource resource = Resource::kCpu;
  double now_us = 0;      // for one request
  double healthy_us = 0;  // as it was
  double rise_us = 0;     // how much more that is; never below 0
  bool blamed = false;    // enough to matter
};

struct StallAttribution {
  enum class Verdict : std::uint8_t {
    kUndecided,  // no baseline, or too few requests; nothing can be said
    kNone,       // of what is observed, nothing rose: see `unobserved`
    kResource,   // worst() is to blame
    kLoad,       // more requests than it has resources for; worst() is what they wait for
  };
  Verdict verdict = Verdict::kUndecided;
  bool quota = false;  // the resource is the processor, and the quota is what is short
  // Which of cache and memory bandwidth it is, is not known: they are reported as the cache.
  bool memory_merged = false;
  double request_ratio = 0;  // requests per second, of the healthy ones; 0: not known

  // Those that could be compared, the largest rise first; several may be blamed.
  std::array<StallRise, kResources> by_rise;
  std::size_t compared = 0;
  absl::Span<const StallRise> rises() const { return {by_rise.data(), compared}; }
  const StallRise& worst() const { return by_rise[0]; }
  // Nothing can be said of these, neither good nor bad.
  std::array<bool, kResources> unobserved = {};
};

StallAttribution Attribute(const HwReading& reading, const StallBaseline& baseline,
                           const AttributionRules& rules = {});
// Consecutive readings of one target: as of their sum, without what was not short for long enough.
StallAttribution Attribute(absl::Span<const HwReading> readings, const StallBaseline& baseline,
                           const AttributionRules& rules = {});

// Puts two consecutive readings of one target together: delays and requests are added up, shares
// are averaged by time, and a signal is as good as the worse of the two. A total without an
// interval becomes the reading.
void AddReading(const HwReading& reading, HwReading* total);

SEER_END_NAMESPACE
