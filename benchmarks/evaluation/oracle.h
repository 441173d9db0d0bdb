// How much could be foreseen at all: futures forked from the simulator's whole state, each with
// fresh random numbers and without the faults that have not begun yet, as nothing tells of those.
// Where at least half of them violate within the horizon, a predictor that sees everything alarms.
//
//   Oracle oracle(model, options, run_seed);
//   sink:    oracle.Observe(tick);              // after each tick
//   control: oracle.Look(simulator);            // then
//   std::vector<OracleRow> rows = oracle.TakeRows();
//
// It looks at the first violations of a run, from `leads_ms` before their starts, and at ticks
// drawn at random that turn out to have no violation of any class in them or within the horizon
// behind.
//
// What a future still shares with the run: how long the faults last that have begun, and the
// arrivals that were already drawn, one of each stream.
//
// Threads: one at a time. Cost: a copy of the simulator every half second, and for each look
// `futures` times up to the horizon of simulated time.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "benchmarks/cluster/sim/simulator.h"
#include "seer/window/violations.h"

namespace seer::evaluation {

struct OracleOptions {
  std::uint32_t futures = 32;
  std::uint32_t violations = 10;  // of this run, at most
  std::uint32_t quiet_ticks = 10;
  std::uint32_t ticks = 6000;  // of the run, about: quiet ticks are spread over them
  std::vector<std::int64_t> leads_ms = {100, 300, 1000};
  std::int64_t horizon_ms = 2000;
};

struct OracleRow {
  bool quiet = false;
  std::string request_class;  // "app/class"; quiet: empty, any class counts
  std::int64_t time_ms = 0;   // at which it looked
  std::int64_t start_ms = 0;  // of the violation
  std::uint32_t futures = 0;
  std::vector<std::int64_t> after_ms;  // for each future that violates: how long after time_ms

  // Whether at least half of the futures violate within so long.
  bool Alarms(std::int64_t horizon_ms) const;
};

// Where a run is, and which violations it is in.
struct OracleState {
  cluster::Simulator simulator;
  ViolationDetector detector;
};

// For each future in which the class (or, where it is none, any) violates within the horizon: how
// long after the state it first does, in ms, growing.
std::vector<std::int64_t> FuturesOf(const OracleState& state, const cluster::Model& model,
                                    ClassId request_class, std::uint32_t futures,
                                    std::int64_t horizon_ms, std::uint64_t seed);

class Oracle {
 public:
  Oracle(std::shared_ptr<const cluster::Model> model, OracleOptions options, std::uint64_t seed);

  void Observe(const ClusterTick& tick);
  void Look(const cluster::Simulator& simulator);
  std::vector<OracleRow> TakeRows() { return std::move(rows_); }

 private:
  std::vector<std::int64_t> Futures(const OracleState& state, ClassId request_class) const {
    return FuturesOf(state, *model_, request_class, options_.futures, options_.horizon_ms, seed_);
  }
  void LookBack(const Violation& violation);

  std::shared_ptr<const cluster::Model> model_;
  OracleOptions options_;
  std::uint64_t seed_;
  ViolationDetector detector_;
  std::int64_t now_ns_ = 0;
  std::int64_t calm_since_ns_ = 0;  // no class is or was in violation since
  std::uint64_t ticks_ = 0;
  std::uint32_t violations_ = 0, quiet_ = 0;
  std::int64_t looked_ns_ = 0;  // at a violation, last
  std::deque<OracleState> past_;
  std::deque<OracleState> quiet_states_;  // whose horizon has not passed yet
  std::vector<OracleRow> rows_;
};

// run,kind,class,time_ms,start_ms,futures,after_ms (separated by spaces)
std::string OracleCsv(std::string_view run, const std::vector<OracleRow>& rows);
// Of one file as OracleCsv() writes it.
absl::StatusOr<std::vector<OracleRow>> ReadOracleCsv(std::string_view file, std::string_view csv);

}  // namespace seer::evaluation
