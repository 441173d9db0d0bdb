// Flow: Forecast -> [ControlLoop: HwReading -> Diagnosis] -> Recommendation -> host's authority
//
// The control plane's last step, once a tick: looks at the forecast, reads the culprit's node and
// no other, diagnoses, asks the advisor and hands what it recommends to the host.
//
//   seer::ControlLoopOptions options;
//   options.monitor = [&](const seer::Topology& t, seer::InstanceId i) { return RemoteOf(t, i); };
//   options.act = [&](const seer::Recommendation& r) { return bus.Send(NodeOf(r), Encode(r)); };
//   options.audit = [&](std::string_view line) { log << line << '\n'; };
//   options.shadow = false;                                  // it is, unless told
//   auto loop = seer::ControlLoop::Create(predictor.get(), advisor.get(), options);  // StatusOr
//
//   (*loop)->Tick();                                         // every tick, after Observe()
//   (*loop)->Report(taken);                                  // what the node answered
//
// An alarm opens a case for its culprit: the instances are read for `read_ns`, and the case is
// decided earlier if the cause is clear after `min_read_ns` (of waiting for processors a hundredth
// of the class's target). A service has one case or one action in flight at a time, whichever
// classes it endangers, and so has the load of a class. Beside it there is at most one that bridges
// the time until it works, where a rule says so (rules.h, `meanwhile`): who waits for memory holds
// processors for longer, and those who wait for these are given more of them. It is no attempt at
// the cause and not judged as one; it is raised, renewed and ended by what it is needed for. What
// has settled and helped stays in force, and if another cause is clear later that is met beside it.
//
// Load has no culprit. The services on the way of the class's calls are read, and those are acted
// upon that have too little for it; where none has, the one where the requests come in. Where most
// of what rose there is the network it is no load, for two seconds.
//
// That an application itself is to blame is said only after the whole of `read_ns`: what cannot be
// seen yet may still come. With the report to its developers goes what the next rule has to offer,
// a guess that is cheap and undone; a resource that runs short meanwhile takes its place.
//
// Where the node itself is short of what a culprit waits for, or messages wait though its link is
// idle, the others on that node are read, too, and those that wait for the same are given more of
// it before they are to blame in turn.
//
// An action is judged once it was answered and has settled: if the same service is still to blame
// for an alarm it did not help, is undone (`undo`), and the advisor is asked for something else
// after the rule's cool-down; so too after a refusal or a failure. What eased the waiting is kept,
// and is raised while the alarm lasts. What helped stays until it expires, and is renewed as long
// as the same would be short without it; if the alarm is back within a minute of its end, the next
// one is held twice as long, up to 16 times. Limits are not moved to and fro that way.
//
// Never on stale data: a forecast older than `max_stale_ns`, one from the future, and the tick in
// which the clock jumped decide nothing. Kill() stops everything and has all undone. In shadow mode
// all is decided and written to the audit trail, and neither `act` nor `undo` is called.
//
// Healthy baselines are learnt on the side: while nothing is in alarm each instance is read every
// `sample_ns`, some in each tick.
//
// The audit trail has a line for every case that is decided or given up, for every call of `act`
// and `undo` before it is made and after, for every report and judgement, and for stale data, clock
// jumps and the kill switch: README.md beside this file lists the fields.
//
// Threads: Tick() from one; Report(), Kill() and Resume() from any. The functions of the options
//          are called from Tick(), under no lock; what they throw becomes an error.
// Cost:    a tick without alarm: see benchmarks/RESULTS.md. With one: a Read for each instance of
// the
//          culprit, until `budget_ns` of them is spent.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "seer/advise/advisor.h"
#include "seer/advise/alerts.h"
#include "seer/advise/diagnose.h"
#include "seer/core/action_taken.h"
#include "seer/core/clock.h"
#include "seer/core/config.h"
#include "seer/core/forecast.h"
#include "seer/core/recommendation.h"
#include "seer/core/topology.h"
#include "seer/hwmon/monitor.h"
#include "seer/predict/predictor.h"

SEER_BEGIN_NAMESPACE

struct ControlLoopOptions {
  bool shadow = true;

  // Who reads an instance; null: nobody can. Needed to tell more causes than load.
  std::function<HwMonitor*(const Topology& topology, InstanceId instance)> monitor;
  // Requests that an instance has handled, ever. None given: from the predictor's ticks
  // (PredictorOptions::keep_ticks of at least 8), evenly over the instances of a service.
  std::function<std::optional<std::uint64_t>(const Topology& topology, InstanceId instance)>
      handled;
  // What an instance's node remembers of it: its last reading or two, `requests` filled in, up to
  // now. A case begins with it, and is a tick shorter. None given: nodes remember nothing.
  std::function<std::optional<HwReading>(const Topology& topology, InstanceId instance)> recent;

  // Carries it out, or sends it to who does; returns soon. OK: an answer will come by Report().
  // Reports to developers come this way too (Action::kReport), and need no answer.
  std::function<absl::Status(const Recommendation& recommendation)> act;
  std::function<absl::Status(std::uint64_t recommendation_id)> undo;  // may be missing
  std::function<void(std::string_view line)> audit;                   // may be missing

  DiagnoseOptions diagnose;
  std::int64_t read_ns = 300'000'000;      // four times that where too few requests come to tell
  std::int64_t min_read_ns = 100'000'000;  // at most read_ns
  float clear_confidence = 0.6f;           // of a diagnosis that is not waited on
  std::int64_t sample_ns = 10'000'000'000;
  std::int64_t max_stale_ns = 500'000'000;
  std::int64_t max_clock_jump_ns = 1'000'000'000;
  std::int64_t report_timeout_ns = 5'000'000'000;
  std::int64_t budget_ns = 50'000'000;  // of reading, in one tick
  std::size_t max_in_flight = 16;       // actions and cases, over all services
  std::size_t max_instances = 8;        // of a culprit that are read
  std::size_t max_on_path = 64;         // instances that are read where load is to blame
  std::size_t max_around = 64;          // and of a culprit's neighbours; 0: they are left alone

  const Clock* clock = nullptr;   // unix time; null: the system's
  const Clock* steady = nullptr;  // never jumps; null: CLOCK_MONOTONIC
};

// What a tick did.
struct LoopTick {
  bool decided_nothing = false;  // stale, a clock that jumped, or killed
  std::size_t alarms = 0;        // classes in alarm
  std::size_t read = 0;          // instances
  std::size_t decided = 0;       // cases that came to an end
  std::size_t sent = 0;          // recommendations that the host took
};

class ControlLoop {
 public:
  // The predictor and the advisor outlive the loop; the predictor may be null where the forecasts
  // are handed over. InvalidArgument names the option.
  static absl::StatusOr<std::unique_ptr<ControlLoop>> Create(Predictor* predictor, Advisor* advisor,
                                                             const ControlLoopOptions& options);
  ~ControlLoop();
  ControlLoop(const ControlLoop&) = delete;
  ControlLoop& operator=(const ControlLoop&) = delete;

  // With the predictor's newest forecast; decides nothing where there is no predictor.
  LoopTick Tick();
  // With any.
  LoopTick Tick(const Forecast& forecast, const Topology& topology);

  // What became of a recommendation. Taken in by the next Tick().
  void Report(const ActionTaken& taken);

  // Nothing more is decided, and what is in force is undone, from the next Tick() on.
  void Kill() { killed_.store(true, std::memory_order_relaxed); }  // orders nothing: a wish
  void Resume() { killed_.store(false, std::memory_order_relaxed); }
  bool killed() const { return killed_.load(std::memory_order_relaxed); }

  // What is usual of an instance, to be kept over restarts; null: nothing was learnt yet. Valid
  // until the next Tick().
  const StallBaseline* baseline(InstanceId instance) const;
  void SetBaseline(InstanceId instance, const StallBaseline& baseline);
  // Recommendations whose end is not known yet.
  std::size_t in_flight() const;
  // What was found out in the last tick, for AlertsJson().
  const std::vector<ClassDiagnosis>& diagnoses() const;

 private:
  class Impl;
  explicit ControlLoop(std::unique_ptr<Impl> impl);
  std::atomic<bool> killed_{false};
  std::unique_ptr<Impl> impl_;
};

SEER_END_NAMESPACE
