// What a manager was worth: a run with it beside the same run without.
//
//   LoopScore score;
//   score.Add(run, base, with);
//   double avoided = score.all.Avoided();
//
// A violation is avoided when its class violates nowhere within a second of it in the run with the
// manager; it is caused where the run without has none near. Actionable is what some action of the
// loop takes away where it comes in time: too few processors, processors, caches, memory, disks and
// links that neighbours take, and more requests than planned. Not so the application's own bugs,
// caches that went cold, detours, and a dead switch.
//
// The cause that is to be found is the resource that is short, which is not always the fault's
// group: an instance whose quota was cut has too little of the processor, whoever cut it; a cold
// software cache is the application's own matter, no resource of its server is short.
//
// Threads: plain values.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "benchmarks/evaluation/loop_run.h"

namespace seer::evaluation {

// `fault` of a row, or null.
const cluster::Fault* FaultOf(const PreparedRun& run, const cluster::TruthRow& row);
bool IsActionable(const cluster::Fault* fault);
Cause CauseToFind(const cluster::Fault* fault);

struct LoopShare {
  std::size_t violations = 0, avoided = 0;
  // Of those that were not avoided: seconds in violation, without the manager and with it.
  double base_seconds = 0, left_seconds = 0;
  double Avoided() const {  // percent
    return violations > 0 ? 100.0 * static_cast<double>(avoided) / static_cast<double>(violations)
                          : 0;
  }
  double LeftEach() const {  // seconds
    const std::size_t left = violations - avoided;
    return left > 0 ? left_seconds / static_cast<double>(left) : 0;
  }
};

struct LoopScore {
  LoopShare all, actionable, foreseeable;
  LoopShare goal;  // actionable and foreseeable
  std::map<std::string, LoopShare> of_kind, of_kind_foreseeable;
  std::size_t caused = 0;
  std::uint64_t actions = 0, refused = 0;
  double extra_core_seconds = 0, core_seconds = 0;
  std::map<Cause, std::map<Cause, int>> said;  // by the cause that was to be found

  void Add(const PreparedRun& run, const LoopResult& base, const LoopResult& with);
  double CausedPercent() const;
  double ExtraCpuPercent() const;
  // Macro-F1 over the causes that were to be found.
  double CauseF1() const;
};

}  // namespace seer::evaluation
