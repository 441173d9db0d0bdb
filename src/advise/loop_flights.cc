// What was sent to the host, until its end is known.
#include <algorithm>
#include <string>
#include <utility>

#include "advise/loop_impl.h"

SEER_BEGIN_NAMESPACE
void ControlLoop::Impl::Undo(Affair* affair, std::string_view why) {
  Flight& flight = *affair->flight;
  if (flight.undoing || options_.shadow) return;
  flight.undoing = true;
  Audit(internal::AuditAction(now_ns_, "undo", flight.r, why));
  if (!options_.undo) return;  // it expires
  const absl::Status status = internal::Guarded(options_.undo, flight.r.id);
  if (!status.ok()) {
    Audit(internal::AuditAction(now_ns_, "undo-not-sent", flight.r, status.ToString()));
  }
}

void ControlLoop::Impl::UndoAll() {
  StopLooking();
  for (auto& [blamed, affair] : affairs_) {
    if (affair.flight) Undo(&affair, "all are undone");
  }
}

void ControlLoop::Impl::EndFlight(Affair* affair, bool helped, std::string_view why) {
  const Recommendation& r = affair->flight->r;
  const std::int64_t pause = std::max<std::int64_t>(0, advisor_.CooldownNs(r));
  Audit(internal::AuditAction(now_ns_, "ended", r, why));
  if (affair->flight->replaced) {
    affair->guessed = true;
    affair->wait_until_ns = steady_ns_;
  } else if (helped) {
    affair->ended_ns = steady_ns_;
    affair->failed = 0;
    affair->wait_until_ns = steady_ns_;
  } else {
    affair->failed = std::min<std::uint32_t>(affair->failed + 1, 100);
    affair->wait_until_ns = steady_ns_ + pause;
  }
  affair->flight.reset();
}

void ControlLoop::Impl::TakeReports() {
  std::deque<ActionTaken> reports;
  {
    internal::MutexLock lock(&mutex_);
    reports.swap(reports_);
  }
  for (const ActionTaken& taken : reports) {
    Affair* found = nullptr;
    for (auto& [blamed, affair] : affairs_) {
      if (affair.flight && affair.flight->r.id == taken.recommendation_id) found = &affair;
    }
    Audit(internal::AuditReport(now_ns_, taken, found != nullptr));
    advisor_.Note(taken);
    if (found == nullptr) continue;
    Flight& flight = *found->flight;
    flight.answered = true;
    switch (taken.outcome) {
      case ActionOutcome::kApplied:
      case ActionOutcome::kUnchanged:
        // It settles from when it was applied, not from when it was asked for.
        flight.applied_ns = steady_ns_;
        flight.settled_ns = steady_ns_ + flight.r.settle_ns;
        flight.judged = flight.judged || flight.meanwhile;
        break;
      case ActionOutcome::kExpired:
        EndFlight(found, flight.judged && !flight.undoing, "it expired");
        break;
      default:
        // What had helped and cannot be renewed, as where somebody else has moved it since, is over
        // and no failure.
        EndFlight(found, flight.judged && !flight.undoing, ActionOutcomeName(taken.outcome));
    }
  }
}

// What has settled, was never answered, or is over.
void ControlLoop::Impl::Judge(LoopTick* tick) {
  for (auto entry = affairs_.begin(); entry != affairs_.end();) {
    Affair& affair = entry->second;
    if (affair.flight) {
      Flight& flight = *affair.flight;
      if (!flight.answered && steady_ns_ - flight.sent_ns >= options_.report_timeout_ns) {
        flight.answered = true;  // said once; it counts as in force until it expires
        Audit(internal::AuditAction(now_ns_, "no-report", flight.r, "the node did not answer"));
      }
      if (options_.shadow && steady_ns_ >= flight.settled_ns) {
        // Nothing was done that could be judged; decided again after a pause.
        const std::int64_t pause = std::max<std::int64_t>(0, advisor_.CooldownNs(flight.r));
        EndFlight(&affair, true, "a shadow has no effect");
        affair.wait_until_ns = steady_ns_ + pause;
        affair.ended_ns = 0;
      } else if (flight.answered && !flight.judged && !flight.undoing &&
                 steady_ns_ >= flight.settled_ns) {
        const bool helped = !InDanger(entry->first) && !InDanger(flight.because);
        if (!helped && flight.relieved) {
          // Requests wait less than before: what has queued up needs time, or more is needed.
          flight.settled_ns = steady_ns_ + flight.r.settle_ns;
          flight.relieved = false;
          ++entry;
          continue;
        }
        flight.judged = true;
        Audit(internal::AuditAction(now_ns_, helped ? "helped" : "did-not-help", flight.r, ""));
        if (!helped) {
          Undo(&affair, "it did not help");
          if (!options_.undo) EndFlight(&affair, false, "it did not help");
        }
      }
      if (affair.flight && affair.flight->judged) LookAtEnd(entry->first, &affair, tick);
      if (affair.flight && steady_ns_ >= affair.flight->ends_ns) {
        EndFlight(&affair, affair.flight->judged && !affair.flight->undoing, "its time is over");
      }
    }
    // A case without alarm for a second has gone away.
    if (affair.open && !InDanger(entry->first) && steady_ns_ - affair.touched_ns >= 1'000'000'000) {
      Audit(internal::AuditEvent(now_ns_, "case-closed", "the alarm has gone"));
      affair.open.reset();
    }
    const bool idle =
        !affair.open && !affair.flight &&
        steady_ns_ - std::max(affair.touched_ns, affair.ended_ns) > internal::kForgetNs;
    entry = idle ? affairs_.erase(entry) : std::next(entry);
  }
}

SEER_END_NAMESPACE
