// What happened of late, as far as a retrainer has to know: violations and who initiated them,
// alarms, actions. Private to the retrainer (include/seer/predict/retrainer.h).
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "seer/core/action_taken.h"
#include "seer/core/config.h"
#include "seer/core/forecast.h"
#include "seer/core/internal/state_io.h"
#include "seer/core/topology.h"
#include "seer/window/cluster_tick.h"
#include "seer/window/span_interval.h"
#include "seer/window/violation_labeller.h"
#include "seer/window/violations.h"

SEER_BEGIN_NAMESPACE
namespace internal {

// What alarms were worth where nobody acted on them.
struct AlarmCounts {
  std::uint64_t hits = 0, false_alarms = 0, missed = 0;
};

class EventLog {
 public:
  static constexpr std::int64_t kLead = 2'000'000'000;    // an alarm is a hit so long before
  static constexpr std::int64_t kEffect = 5'000'000'000;  // an action may avoid what starts so soon

  struct Acted {
    std::int64_t at_ns = 0;
    std::string service;
  };

  // The topology outlives it. Without `find` violations are told. `avoided_weight`: until it is
  // known how often alarms are right.
  EventLog(const Topology* topology, bool find, double avoided_weight)
      : topology_(topology), find_(find), avoided_weight_(avoided_weight) {
    labeller_.emplace(ViolationLabellerOptions(), topology);
  }

  // The topology is that of the tick.
  void Observe(const ClusterTick& tick);
  void Add(const SpanInterval& interval) { labeller_->Add(interval); }
  // Not of a time that no clock tells.
  void NoteViolation(const Violation& violation);
  void NoteForecast(const Forecast& forecast);
  void NoteAction(const ActionTaken& action);
  // What came of the alarms until then is known.
  void JudgeAlarms(std::int64_t known_until_ns);
  void ForgetBefore(std::int64_t time_ns);
  // Ids mean something else.
  void Clear();

  const std::vector<Violation>& violations() const { return violations_; }  // by start
  const AlarmCounts& alarms() const { return alarms_; }
  bool told_forecasts() const { return told_forecasts_; }
  const Acted* ActionNear(std::int64_t from_ns, std::int64_t to_ns) const;
  bool AlarmNear(ClassId request_class, std::int64_t from_ns, std::int64_t to_ns) const;
  // How likely an alarm that was acted on was right.
  double AvoidedWeight() const;
  // All of it but what the detector and the labeller have seen: those begin anew. Of a violation
  // that lasts they take the rest for another one, which it ends with; who initiated one that
  // nobody was found for yet stays unknown.
  void State(StateIo& io);

 private:
  struct Alarm {
    ClassId request_class;
    std::int64_t start_ns = 0, last_ns = 0;
    bool judged = false;
  };
  void Merge(const Violation& violation);
  void EndInherited(const ClusterTick& tick);

  const Topology* const topology_;
  const bool find_;
  const double avoided_weight_;
  std::optional<ViolationLabeller> labeller_;  // always there
  ViolationDetector detector_;
  std::vector<Violation> violations_;
  std::deque<Alarm> alarm_log_;
  std::deque<Acted> actions_;
  AlarmCounts alarms_;
  std::int64_t judged_until_ns_ = 0;
  bool told_forecasts_ = false;
  bool inherited_ = false;               // some of `violations_` lasted when they were loaded
  std::int64_t inherited_since_ns_ = 0;  // the first tick after that; 0: none yet
};

}  // namespace internal
SEER_END_NAMESPACE
