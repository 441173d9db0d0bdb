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
// caches that went cold, detours, and a dead switch: what pools and replicas do about some of them
// counts among all.
//
// The cause that is to be found is the resource that is short, which is not always the fault's
// group: an instance whose quota was cut has too little of the processor, whoever cut it; a cold
// software cache is the application's own matter, no resource of its server is short.
//
// Threads: plain values.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "benchmarks/evaluation/loop_run.h"

namespace seer::evaluation {

// `fault` of a row, or null.
const cluster::Fault* FaultOf(const PreparedRun& run, const cluster::TruthRow& row);
bool IsActionable(const cluster::Fault* fault);
Cause CauseToFind(const cluster::Fault* fault);

// Seconds for which a violation of the run without a manager lasts with one; none: it is avoided.
std::optional<double> SecondsLeft(const cluster::TruthRow& row, const LoopResult& with);

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

// What became of a violation under a manager.
enum class LoopFate : std::uint8_t {
  kAvoided,
  kNoDiagnosis,     // its cause was not found, and nothing was done
  kWrongDiagnosis,  // another one was
  kNoAction,        // nothing was done, though the cause was found: there is nothing to do
  kTooLate,         // less than kInEffectNs before its start
  kTooLittle,       // in time, and not enough
};
inline constexpr std::size_t kLoopFates = 6;
std::string_view LoopFateName(LoopFate fate);

struct LoopScore {
  // What is done less than this before a violation's start cannot take its effect any more: it
  // takes 50 to 150 ms, and requests that waited before are in the window.
  static constexpr std::int64_t kInEffectNs = 200'000'000;

  LoopShare all, actionable, foreseeable;
  LoopShare goal;  // actionable and foreseeable
  std::map<std::string, LoopShare> of_kind, of_kind_foreseeable;
  std::size_t caused = 0;
  std::uint64_t actions = 0, refused = 0;
  double extra_core_seconds = 0, core_seconds = 0;
  std::map<Cause, std::map<Cause, int>> said;                // by the cause that was to be found
  std::map<std::string, std::array<int, kLoopFates>> fates;  // by kind

  void Add(const PreparedRun& run, const LoopResult& base, const LoopResult& with);
  double CausedPercent() const;
  double ExtraCpuPercent() const;
  // Macro-F1 over the causes that were to be found.
  double CauseF1() const;
};

}  // namespace seer::evaluation
