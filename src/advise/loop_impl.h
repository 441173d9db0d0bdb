// The inside of a control loop: control_loop.cc has the tick, loop_cases.cc finds out and decides,
// loop_around.cc looks at a node's others and at what is about to end, loop_flights.cc looks after
// what was sent.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <exception>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "absl/status/status.h"
#include "advise/audit.h"
#include "advise/instance_watch.h"
#include "seer/advise/control_loop.h"
#include "seer/advise/shortage.h"
#include "seer/core/clock.h"
#include "seer/core/config.h"
#include "seer/core/internal/monotonic_clock.h"
#include "seer/core/internal/mutex.h"

SEER_BEGIN_NAMESPACE
namespace internal {

// Whatever the host's function does becomes a status.
template <typename Function, typename... Arguments>
absl::Status Guarded(const Function& function, const Arguments&... arguments) {
  try {
    return function(arguments...);
  } catch (const std::exception& e) {
    return absl::UnknownError(e.what());
  } catch (...) {
    return absl::UnknownError("it threw something that is no std::exception");
  }
}

// Whom a row blames: a service, or the load that comes in at one.
struct Blamed {
  std::uint32_t service = ServiceId::kNone;
  bool load = false;
  // No row's, if not 0: what bridges the time until an action works (rules.h), or one that helped
  // and was put aside for another cause, by its action.
  std::uint8_t aside = 0;
  friend bool operator<(const Blamed& a, const Blamed& b) {
    return std::tie(a.service, a.load, a.aside) < std::tie(b.service, b.load, b.aside);
  }
  friend bool operator==(const Blamed& a, const Blamed& b) {
    return a.service == b.service && a.load == b.load && a.aside == b.aside;
  }
};

inline constexpr std::uint8_t kBridge = 1;
constexpr std::uint8_t AsideOf(Action action) {
  return static_cast<std::uint8_t>(kBridge + 1 + static_cast<std::uint8_t>(action));
}

// So long does the loop remember what did not help, and how often an alarm returned.
inline constexpr std::int64_t kForgetNs = 600'000'000'000;

}  // namespace internal

class ControlLoop::Impl {
 public:
  Impl(Predictor* predictor, Advisor* advisor, const ControlLoopOptions& options)
      : predictor_(predictor), advisor_(*advisor), options_(options), watch_(&options_, predictor) {
    if (options_.clock == nullptr) options_.clock = &system_clock_;
    if (options_.steady == nullptr) options_.steady = &monotonic_clock_;
    next_id_ = static_cast<std::uint64_t>(options_.clock->NowNs());
  }

  LoopTick Tick(bool killed);
  LoopTick Tick(const Forecast& forecast, const Topology& topology, bool killed);
  void Report(const ActionTaken& taken);
  internal::InstanceWatch& watch() { return watch_; }
  std::size_t in_flight() const;
  const std::vector<ClassDiagnosis>& diagnoses() const { return diagnoses_; }

 private:
  using Blamed = internal::Blamed;

  struct Case {
    std::int64_t began_ns = 0;
    std::vector<InstanceEvidence> seen;
    std::vector<HwReading> newest;  // of those that were seen, the last reading of each
    bool with_kept = false;         // begins with what the nodes remember
  };
  struct Flight {
    Recommendation r;
    Blamed because;            // whom the alarm blamed
    std::int64_t sent_ns = 0;  // all steady
    std::int64_t settled_ns = 0;
    std::int64_t ends_ns = 0;
    std::int64_t applied_ns = 0;  // 0: not yet
    double before_us = 0;         // what a request waited for the resource when it was decided
    bool relieved = false;        // it waits less by now
    std::optional<Case> until;    // what is read of it until it can have an effect
    std::optional<Case> after;    // and since
    std::optional<Case> at_end;   // and before its time is over
    bool answered = false;
    bool judged = false;
    bool undoing = false;
    bool meanwhile = false;  // it bridges: nobody judges whether it was enough
    bool replaced = false;   // a clearer cause was found: no failure
    bool ends = false;       // it was looked at, and is needed no longer
  };
  // What goes on about one culprit.
  struct Affair {
    std::optional<Case> open;
    std::optional<Flight> flight;
    std::int64_t wait_until_ns = 0;
    std::int64_t report_after_ns = 0;  // before that no report is repeated
    std::uint32_t failed = 0;          // actions in a row that did not help
    std::uint32_t hold_scale = 1;
    std::int64_t ended_ns = 0;  // the last one that helped
    std::int64_t touched_ns = 0;
    bool guessed = false;  // what was in force made room for a cause that is clear
  };
  // What a case found: the diagnosis, and how much is short.
  struct Finding {
    Diagnosis diagnosis;
    Shortage shortage;
  };
  enum class Occasion : std::uint8_t { kCulprit, kBeside, kMeanwhile };
  // Who else is on the nodes on which a culprit's resource ran short.
  struct Around {
    ClassForecast row;
    Cause cause = Cause::kUndecided;
    std::vector<NodeId> nodes;
    Case seen;
  };

  // control_loop.cc
  void Audit(std::string line) const;
  bool MayDecide(const Forecast& forecast, bool killed);
  void StopLooking();
  Blamed BlamedBy(const ClassForecast& row) const;
  bool InDanger(const Blamed& blamed) const;
  void Sample(LoopTick* tick);
  bool HasBudget() const { return options_.steady->NowNs() - steady_ns_ < options_.budget_ns; }

  // loop_flights.cc
  void UndoAll();
  void TakeReports();
  void Judge(LoopTick* tick);
  void EndFlight(Affair* affair, bool helped, std::string_view why);
  void Undo(Affair* affair, std::string_view why);

  // loop_cases.cc
  bool HasRoom() const;
  bool OpenCase(Affair* affair);
  void Pursue(const ClassForecast& row, Affair* affair, LoopTick* tick);
  void PursueLoad(const ClassForecast& row, Affair* affair, LoopTick* tick);
  void LookAfter(const ClassForecast& row, Affair* affair, LoopTick* tick);
  // Live instances of which `wanted` is true, at most so many.
  template <typename Wanted>
  void Choose(std::size_t most, const Wanted& wanted, Case* open) const {
    const absl::Span<const Instance> instances = topology_->instances();
    for (std::uint32_t i = 0; i < instances.size() && open->seen.size() < most; ++i) {
      if (instances[i].removed || !wanted(instances[i])) continue;
      open->seen.emplace_back();
      open->seen.back().instance = InstanceId(i);
    }
    open->newest.resize(open->seen.size());
  }
  bool ReadAll(Case* open, LoopTick* tick);
  // So of one service's, which are chosen first.
  bool ReadService(std::uint32_t service, Case* open, LoopTick* tick);
  std::vector<bool> OnPath(ServiceId entry) const;
  Shortage ShortageIn(const Case& open, const Diagnosis& diagnosis) const;
  std::vector<Finding> ShortOnPath(const Case& open, bool* network) const;
  void Decide(const ClassForecast& row, const Finding& finding, Affair* affair, LoopTick* tick,
              Occasion occasion = Occasion::kCulprit);
  bool InForceBeside(ServiceId service, Action action) const;
  bool PutAside(ServiceId service, Affair* affair);
  void Bridge(const ClassForecast& row, const Diagnosis& diagnosis, const Case& seen,
              LoopTick* tick);
  void SendReport(const ClassForecast& row, const Finding& finding, Recommendation report,
                  Affair* affair, LoopTick* tick);

  // loop_around.cc
  bool Kept(InstanceId instance, HwReading* reading) const;
  void LookAround(const ClassForecast& row, const Finding& finding, const Case& seen);
  void PursueAround(LoopTick* tick);
  bool DecideAround(Around* around, LoopTick* tick);
  void LookAtEnd(const Blamed& blamed, Affair* affair, LoopTick* tick);
  bool IsNeeded(const Case& seen, const Recommendation& r) const;

  Predictor* const predictor_;
  Advisor& advisor_;
  ControlLoopOptions options_;
  const SystemClock system_clock_{};
  const internal::MonotonicClock monotonic_clock_{};
  internal::InstanceWatch watch_;

  Forecast forecast_;
  // Of the present tick.
  const Topology* topology_ = nullptr;
  std::int64_t tick_ = 0;  // the forecast's
  std::int64_t now_ns_ = 0;
  std::int64_t steady_ns_ = 0;
  bool started_ = false;
  std::int64_t jump_from_ns_ = 0;  // unix minus steady, of the last tick
  std::optional<Origin> origin_;
  std::int64_t last_alarm_ns_ = 0;
  bool stale_ = false, was_killed_ = false;

  std::map<Blamed, Affair> affairs_;
  std::vector<Around> arounds_;
  std::uint64_t next_id_ = 0;
  std::vector<const ClassForecast*> alarms_;
  std::vector<ClassDiagnosis> diagnoses_;

  internal::Mutex mutex_;
  std::deque<ActionTaken> reports_ ABSL_GUARDED_BY(mutex_);
};

SEER_END_NAMESPACE
