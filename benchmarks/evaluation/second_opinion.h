// What the oracle says at the moments at which a predictor raised alarm: how many of its false
// alarms somebody would raise too who knows everything but the dice, and so what precision can be
// had at all.
//
//   std::vector<AskedAlarm> asked = AlarmsOf(heard, every);          // some of a run's alarms
//   auto violations = AskAgain(prepared, 32, 2000, &asked);          // plays the run once more
//   SecondOpinion opinion = Summarize(asked);
//
// The run is simulated again, as it was; at each alarm futures are forked as oracle.h forks them.
//
// Threads: runs are independent. Cost: the run without its truth, and for each alarm `futures`
// times up to the horizon of simulated time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "benchmarks/evaluation/scenario_set.h"
#include "benchmarks/evaluation/score.h"
#include "seer/predict/listen.h"

namespace seer::evaluation {

struct AskedAlarm {
  ClassId request_class;
  std::int64_t time_ns = 0;  // at which the alarm started
  bool hit = false;          // else false
  bool near_miss = false;    // of a false one
  bool again = false;  // of a false one: a violation came, but an earlier alarm had told of it
  std::uint32_t futures = 0, violate = 0;  // that were asked; in which the class violates

  // As the oracle does.
  bool raised() const { return futures > 0 && 2 * violate >= futures; }
  double share() const {
    return futures == 0 ? 0 : static_cast<double>(violate) / static_cast<double>(futures);
  }
};

// Every so many of the hits and false alarms that a predictor raised, in the order of classes and
// time; late ones are neither. `skip`: of the first ones.
std::vector<AskedAlarm> AlarmsOf(const HeardRun& heard, std::size_t every, std::size_t skip = 0);

// Fills in `futures` and `violate`, and tells how many violations the run had. Internal: a moment
// that is no tick's end.
absl::StatusOr<std::size_t> AskAgain(const PreparedRun& run, std::uint32_t futures,
                                     std::int64_t horizon_ms, std::vector<AskedAlarm>* alarms);

struct SecondOpinion {
  // Alarms that the oracle raises too: of the hits, of the false ones, of those in vain (no
  // violation followed that another alarm had told of) and not.
  Metric hits, false_alarms, in_vain, again;
  double share_of_hits = 0, share_of_false = 0;  // of the futures that violate, the mean
  // Of all the alarms: hits; and what it would be if the dice were thrown again.
  double precision = 0, precision_expected = 0;
  // If an alarm were raised only where the oracle raises it too.
  double precision_agreed = 0;
};
SecondOpinion Summarize(const std::vector<AskedAlarm>& alarms);

}  // namespace seer::evaluation
