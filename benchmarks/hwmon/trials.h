// Live trials: real victims, real contention, and whether the monitor names the cause.
//
// Each trial looks at one victim for 0.8 s when all is well and for 0.8 s under one kind of
// contention, and asks for the cause after 0.1, 0.3 and 0.8 s. Scored are contentions that hurt
// (p95 above 1.5 or median above 1.3 times the healthy one; of memory only where the victim's
// processor time for a request rose by 15 %, too); all trials without contention count for false
// blame. A trial is discarded only where other programs took more than kForeignLimit of
// the processors; that limit and the rules (AttributionRules, with the healthy median) were fixed
// beforehand. What was read may be recorded (trial_record.h) and judged again: ReplayTrials().
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "benchmarks/hwmon/trial_victim.h"

namespace seer::bench {

enum class Truth : std::uint8_t {
  kNone,
  kCpu,
  kQuota,
  kMemory,  // cache and memory bandwidth: merged
  kMemoryCapacity,
  kDisk,
  kNetwork,
  kApplication,  // it blocks by itself
  kLoad,         // more requests than it can do
};
inline constexpr int kTruths = 9;
const char* TruthName(Truth truth);
// What may be said: the first seven, and "undecided" (abstention).
inline constexpr int kSaid = 8;
const char* SaidName(int said);
inline constexpr int kUndecided = 7;

inline constexpr std::array<double, 3> kLooks = {0.1, 0.3, 0.8};  // seconds
inline constexpr double kForeignLimit = 0.10;

struct Trial {
  Profile profile = Profile::kCompute;
  Truth truth = Truth::kNone;
  bool discarded = false;
  bool degraded = false;
  double foreign = 0;  // share of the processors
  double healthy_p50_us = 0, healthy_p95_us = 0, p50_us = 0, p95_us = 0;
  std::array<int, 3> said = {kUndecided, kUndecided, kUndecided};  // at kLooks
  int software_said = kUndecided;                                  // at the last look
  std::string evidence;                                            // rises in us, for people
};

struct ProbeCost {
  double p99_rise_pct = 0;     // of the victim, while it is probed from the core outwards
  double most_probing_ms = 0;  // of one such round
  double most_abort_ms = 0;    // from the wish to end a run until it has ended
  int rounds = 0, aborted = 0;
};

// The sequential test, with a benchmark at full intensity.
struct LiveTest {
  Profile profile = Profile::kCompute;
  std::string benchmark;
  bool beside_victim = true;  // on its processor; else on the client's, where it hurts nobody
  int tests = 0, affected = 0, undecided = 0;
  double effect = 1;  // the victim's mean latency with the benchmark, of that without: all pairs
  double pairs = 0;   // of a test
};

struct TrialOptions {
  int trials = 210;
  std::uint64_t seed = 1;
  std::string directory = "/var/tmp";  // of the disk that is meant
  std::string record;                  // the file that the readings are written to; empty: none
  std::string only;                    // this truth alone, to look at it; empty: all
  bool busy = false;    // go on where the machine is too busy to calibrate: to see that it runs
  bool probing = true;  // measure what the probes do and see, too
  int live_tests = 20;  // of each kind
  std::function<void(const Trial&)> each;
};

struct TrialScore {
  int made = 0, discarded = 0, harmless = 0;
  std::array<std::array<int, kSaid>, kTruths> matrix = {};  // scored
  std::array<double, 3> accuracy_pct = {};                  // at kLooks
  double false_blame_pct = 0, abstain_pct = 0;
  double software_accuracy_pct = 0, software_false_blame_pct = 0;  // without the probe
  int contended = 0, innocent = 0;
};

struct TrialResult {
  std::string error;  // why there are none: no privilege, no cgroups
  std::vector<Trial> trials;
  TrialScore score;
  ProbeCost cost;
  std::vector<LiveTest> live;
  std::vector<std::string> gauges;  // what each microbenchmark said, idle and contended
};
TrialResult RunTrials(const TrialOptions& options);
// Those of a recording, by the rules of now.
TrialResult ReplayTrials(const std::string& path, const std::function<void(const Trial&)>& each);
TrialScore Score(const std::vector<Trial>& trials);
std::string Table(const TrialScore& score);

}  // namespace seer::bench
