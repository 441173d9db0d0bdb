#include "predict/event_log.h"

#include <algorithm>

#include "predict/tick_order.h"

SEER_BEGIN_NAMESPACE
namespace internal {
namespace {

constexpr std::size_t kMostViolations = 1024, kMostAlarms = 4096, kMostActions = 1024;

}  // namespace

void EventLog::Observe(const ClusterTick& tick) {
  if (!find_) return;
  detector_.Observe(tick, *topology_);
  labeller_->Observe(tick);
  if (inherited_) EndInherited(tick);
  for (const Violation& violation : detector_.TakeFinished()) Merge(violation);
  for (const Violation& violation : detector_.open()) Merge(violation);
  for (const LabelledViolation& label : labeller_->Take()) {
    for (Violation& known : violations_) {
      if (known.request_class != label.violation.request_class ||
          known.start_ns != label.violation.start_ns) {
        continue;
      }
      known.initiation = label.violation.initiation;
      known.culprit = label.violation.culprit;
      known.confidence = label.violation.confidence;
    }
  }
}

void EventLog::NoteViolation(const Violation& violation) {
  if (IsTime(violation.start_ns) && IsTime(violation.end_ns)) Merge(violation);
}

void EventLog::EndInherited(const ClusterTick& tick) {
  const std::int64_t now_ns = tick.period.EndNs(tick.tick);
  if (inherited_since_ns_ == 0) inherited_since_ns_ = now_ns;
  const bool quiet = now_ns - inherited_since_ns_ >= ViolationOptions().quiet_ns;
  inherited_ = false;
  for (Violation& known : violations_) {
    if (!known.open || known.start_ns >= inherited_since_ns_) continue;
    const auto rest = std::find_if(
        detector_.open().begin(), detector_.open().end(),
        [&](const Violation& open) { return open.request_class == known.request_class; });
    const bool goes_on = rest != detector_.open().end();
    if (goes_on) known.end_ns = std::max(known.end_ns, rest->start_ns);
    known.open = !goes_on && !quiet;
    inherited_ = inherited_ || known.open;
  }
}

void EventLog::State(StateIo& io) {
  io.List(violations_, 47, [&](Violation& each) {
    io(each.request_class), io(each.start_ns), io(each.end_ns), io(each.worst_over);
    io(each.worst_total), io(each.gap), io(each.open), io(each.initiation), io(each.culprit);
    io(each.confidence);
    RequireTime(io, each.start_ns), RequireTime(io, each.end_ns);
    io.Require(each.initiation <= Initiation::kLoad, "a violation that nobody can initiate so");
  });
  io.List(alarm_log_, 21, [&](Alarm& each) {
    io(each.request_class), io(each.start_ns), io(each.last_ns), io(each.judged);
    RequireTime(io, each.start_ns), RequireTime(io, each.last_ns);
  });
  io.List(actions_, 16, [&](Acted& each) {
    io(each.at_ns), io(each.service);
    RequireTime(io, each.at_ns);
  });
  io(alarms_.hits), io(alarms_.false_alarms), io(alarms_.missed);
  io(judged_until_ns_), io(told_forecasts_);
  io.Require(violations_.size() <= kMostViolations && alarm_log_.size() <= kMostAlarms &&
                 actions_.size() <= kMostActions,
             "more events than are kept");
  const bool sorted = std::is_sorted(
      violations_.begin(), violations_.end(),
      [](const Violation& a, const Violation& b) { return a.start_ns < b.start_ns; });
  io.Require(sorted, "violations that are not in order");
  if (!io.loading()) return;
  inherited_ = find_;
  inherited_since_ns_ = 0;
}

void EventLog::Merge(const Violation& violation) {
  for (Violation& known : violations_) {
    if (known.request_class != violation.request_class || known.start_ns != violation.start_ns) {
      continue;
    }
    const Violation before = known;
    known = violation;
    if (violation.initiation == Initiation::kUnknown) {
      known.initiation = before.initiation;
      known.culprit = before.culprit;
      known.confidence = before.confidence;
    }
    return;
  }
  const auto at = std::upper_bound(
      violations_.begin(), violations_.end(), violation,
      [](const Violation& a, const Violation& b) { return a.start_ns < b.start_ns; });
  violations_.insert(at, violation);
  if (violations_.size() > kMostViolations) violations_.erase(violations_.begin());
}

void EventLog::NoteAction(const ActionTaken& action) {
  // What changed nothing avoided nothing; the other outcomes tell how an action ended.
  if (action.outcome != ActionOutcome::kApplied || action.action == Action::kReport) return;
  if (!IsTime(action.time_ns)) return;
  actions_.push_back({action.time_ns, action.target.service});
  if (actions_.size() > kMostActions) actions_.pop_front();
}

void EventLog::NoteForecast(const Forecast& forecast) {
  if (!forecast.period.Contains(forecast.tick)) return;
  told_forecasts_ = true;
  const std::int64_t now_ns = forecast.period.EndNs(forecast.tick);
  for (const ClassForecast& row : forecast.classes) {
    if (!row.alarm) continue;
    Alarm* same = nullptr;
    for (auto alarm = alarm_log_.rbegin(); alarm != alarm_log_.rend() && same == nullptr; ++alarm) {
      if (alarm->request_class == row.request_class) same = &*alarm;
    }
    // One that lasts counts anew every 2 s.
    if (same != nullptr && now_ns - same->last_ns <= 2 * forecast.period.ns() &&
        now_ns - same->start_ns < kLead) {
      same->last_ns = now_ns;
      continue;
    }
    alarm_log_.push_back({row.request_class, now_ns, now_ns, false});
    if (alarm_log_.size() > kMostAlarms) alarm_log_.pop_front();
  }
}

const EventLog::Acted* EventLog::ActionNear(std::int64_t from_ns, std::int64_t to_ns) const {
  for (const Acted& action : actions_) {
    if (action.at_ns >= from_ns && action.at_ns <= to_ns) return &action;
  }
  return nullptr;
}

double EventLog::AvoidedWeight() const {
  // How often alarms are right, where nobody acted on them and that could be seen.
  const double judged = static_cast<double>(alarms_.hits + alarms_.false_alarms);
  if (judged < 10) return avoided_weight_;
  return std::clamp(static_cast<double>(alarms_.hits) / judged, 0.05, 0.95);
}

void EventLog::JudgeAlarms(std::int64_t known_until_ns) {
  const std::int64_t until_ns = known_until_ns - kLead;
  for (const Violation& violation : violations_) {
    if (violation.start_ns <= judged_until_ns_ || violation.start_ns > until_ns) continue;
    const bool warned = std::any_of(alarm_log_.begin(), alarm_log_.end(), [&](const Alarm& alarm) {
      return alarm.request_class == violation.request_class &&
             alarm.start_ns < violation.start_ns && alarm.last_ns >= violation.start_ns - kLead;
    });
    alarms_.missed += warned ? 0 : 1;
  }
  for (Alarm& alarm : alarm_log_) {
    if (alarm.judged || alarm.start_ns > until_ns) continue;
    alarm.judged = true;
    if (ActionNear(alarm.start_ns, alarm.start_ns + kLead) != nullptr) continue;
    bool hit = false, during = false;
    for (const Violation& violation : violations_) {
      if (violation.request_class != alarm.request_class) continue;
      hit = hit ||
            (violation.start_ns > alarm.start_ns && violation.start_ns <= alarm.start_ns + kLead);
      during = during || (alarm.start_ns >= violation.start_ns &&
                          (violation.open || alarm.start_ns <= violation.end_ns + kLead / 4));
    }
    if (hit) {
      ++alarms_.hits;
    } else if (!during) {
      ++alarms_.false_alarms;
    }
  }
  judged_until_ns_ = std::max(judged_until_ns_, until_ns);
  while (!alarm_log_.empty() && alarm_log_.front().last_ns < until_ns - 2 * kLead) {
    alarm_log_.pop_front();
  }
}

bool EventLog::AlarmNear(ClassId request_class, std::int64_t from_ns, std::int64_t to_ns) const {
  return std::any_of(alarm_log_.begin(), alarm_log_.end(), [&](const Alarm& alarm) {
    return alarm.request_class == request_class && alarm.start_ns <= to_ns &&
           alarm.last_ns >= from_ns;
  });
}

void EventLog::ForgetBefore(std::int64_t time_ns) {
  // Open ones, too: whoever tells of one and never again would else stop all learning.
  violations_.erase(
      std::remove_if(violations_.begin(), violations_.end(),
                     [&](const Violation& violation) { return violation.end_ns < time_ns; }),
      violations_.end());
  while (!actions_.empty() && actions_.front().at_ns < time_ns - kEffect) actions_.pop_front();
}

void EventLog::Clear() {
  violations_.clear();
  detector_ = ViolationDetector();
  labeller_.emplace(ViolationLabellerOptions(), topology_);
  alarm_log_.clear();
  judged_until_ns_ = 0;
  inherited_ = false;
}

}  // namespace internal
SEER_END_NAMESPACE
