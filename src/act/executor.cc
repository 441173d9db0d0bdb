#include "seer/act/executor.h"

#include <algorithm>
#include <cmath>
#include <deque>
#include <optional>
#include <set>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "act/checks.h"
#include "act/journal.h"
#include "seer/core/internal/monotonic_clock.h"
#include "seer/core/internal/status_macros.h"
#include "seer/core/internal/strings.h"

SEER_BEGIN_NAMESPACE
namespace {

using internal::CheckPlan;
using internal::CheckRecommendation;
using internal::Journal;
using internal::JournalContents;
using internal::JournalEntry;
using internal::OutcomeOf;

constexpr std::int64_t kMinuteNs = 60'000'000'000;
constexpr std::size_t kRememberedIds = 1024;
constexpr std::size_t kMaxDetailBytes = 1024;

// Times come from outside: their difference may not fit.
std::uint64_t Distance(std::int64_t a, std::int64_t b) {
  const auto ua = static_cast<std::uint64_t>(a), ub = static_cast<std::uint64_t>(b);
  return a > b ? ua - ub : ub - ua;
}

void Note(std::string_view note, std::string* detail) {
  if (detail->size() > kMaxDetailBytes) return;
  if (!detail->empty()) detail->append("; ");
  detail->append(note);
}

const KnobChange* FindKnob(const std::vector<KnobChange>& changes, const std::string& knob) {
  for (const KnobChange& change : changes) {
    if (change.knob == knob) return &change;
  }
  return nullptr;
}

}  // namespace

class Executor::Impl {
 public:
  Impl(const ExecutorOptions& options, std::vector<std::unique_ptr<Actuator>> actuators)
      : options_(options), actuators_(std::move(actuators)) {
    if (options_.clock == nullptr) options_.clock = &system_clock_;
    if (options_.steady == nullptr) options_.steady = &monotonic_clock_;
  }

  absl::Status Open(std::vector<ActionTaken>* recovered, std::size_t* damaged);
  ActionTaken Apply(const Recommendation& recommendation);
  ActionTaken Undo(std::uint64_t id);
  std::vector<ActionTaken> Tick();
  std::vector<ActionTaken> UndoAll();
  std::size_t active() const { return active_.size(); }

 private:
  struct InForce {
    JournalEntry entry;
    Actuator* actuator = nullptr;
    std::int64_t expires_ns = 0;   // unix; 0: none
    std::int64_t deadline_ns = 0;  // steady
    // Once its end was tried and failed.
    std::optional<ActionOutcome> ending;
    // What we wrote last was not confirmed: whatever is there is our doing, not somebody else's.
    bool unconfirmed = false;
  };

  ActionTaken Outcome(const Recommendation& r, ActionOutcome outcome, std::string detail) const;
  Actuator* FindActuator(Action action) const;
  InForce* FindById(std::uint64_t id);
  absl::StatusOr<InForce*> FindOverlapping(const JournalEntry& entry, const ActionPlan& plan);
  void SetEnd(const Recommendation& r, InForce* in_force) const;
  absl::Status TakeToken();
  std::string WhyLost(const InForce& in_force) const;
  ActionTaken Renew(InForce* in_force, const Recommendation& r);
  ActionTaken Carry(Actuator* actuator, const Recommendation& r, const ActionPlan& plan);
  absl::Status Change(Actuator* actuator, const std::vector<KnobChange>& changes, bool* clean);
  void NoteUnconfirmed(InForce* in_force);
  bool PutBack(InForce& in_force, std::string* detail);
  std::optional<ActionTaken> End(std::size_t index, ActionOutcome why, std::string detail);
  void Forget(std::size_t index);

  ExecutorOptions options_;
  std::vector<std::unique_ptr<Actuator>> actuators_;
  const SystemClock system_clock_{};
  const internal::MonotonicClock monotonic_clock_{};
  std::optional<Journal> journal_;
  std::vector<std::unique_ptr<InForce>> active_;  // oldest first
  std::deque<std::int64_t> changed_at_;           // steady, within the last minute
  std::deque<std::uint64_t> ended_;
};

ActionTaken Executor::Impl::Outcome(const Recommendation& r, ActionOutcome outcome,
                                    std::string detail) const {
  ActionTaken taken;
  taken.recommendation_id = r.id;
  taken.target = r.target;
  taken.action = r.action;
  taken.outcome = outcome;
  taken.time_ns = options_.clock->NowNs();
  taken.detail = std::move(detail);
  return taken;
}

Actuator* Executor::Impl::FindActuator(Action action) const {
  for (const auto& actuator : actuators_) {
    if (actuator->Can(action)) return actuator.get();
  }
  return nullptr;
}

Executor::Impl::InForce* Executor::Impl::FindById(std::uint64_t id) {
  for (const auto& in_force : active_) {
    if (in_force->entry.recommendation.id == id) return in_force.get();
  }
  return nullptr;
}

absl::Status Executor::Impl::Open(std::vector<ActionTaken>* recovered, std::size_t* damaged) {
  if (options_.dry_run) return absl::OkStatus();
  JournalContents contents;
  SEER_ASSIGN_OR_RETURN(journal_, Journal::Open(options_.journal_path, &contents));
  *damaged = contents.damaged;
  for (JournalEntry& entry : contents.open) {
    auto in_force = std::make_unique<InForce>();
    for (const auto& actuator : actuators_) {
      if (actuator->name() == entry.actuator) in_force->actuator = actuator.get();
    }
    in_force->entry = std::move(entry);
    in_force->ending = ActionOutcome::kUndone;
    if (in_force->actuator != nullptr) {
      for (const KnobChange& change : in_force->entry.changes) {
        // Held by another or gone: then it is not put back by us, which PutBack() finds out.
        (void)in_force->actuator->Hold(change.knob);
      }
    }
    active_.push_back(std::move(in_force));
  }
  // The newest first: an action that took over from another was put on top of it.
  for (std::size_t i = active_.size(); i-- > 0;) {
    const Recommendation r = active_[i]->entry.recommendation;
    std::optional<ActionTaken> taken = End(i, ActionOutcome::kUndone, "left by an earlier life");
    recovered->push_back(taken ? *std::move(taken)
                               : Outcome(r, ActionOutcome::kFailed,
                                         "left by an earlier life, and cannot be put back yet"));
  }
  return absl::OkStatus();
}

void Executor::Impl::SetEnd(const Recommendation& r, InForce* in_force) const {
  const std::int64_t now = options_.clock->NowNs();
  std::uint64_t left = static_cast<std::uint64_t>(options_.max_hold_ns);
  if (r.expires_ns != 0)
    left = std::min(left, r.expires_ns > now ? Distance(r.expires_ns, now) : 0);
  in_force->expires_ns = r.expires_ns;
  in_force->deadline_ns = options_.steady->NowNs() + static_cast<std::int64_t>(left);
}

absl::Status Executor::Impl::TakeToken() {
  const std::int64_t now = options_.steady->NowNs();
  while (!changed_at_.empty() && now - changed_at_.front() >= kMinuteNs) changed_at_.pop_front();
  if (changed_at_.size() >= options_.max_per_minute) {
    return absl::ResourceExhaustedError("max_per_minute: enough was changed for now");
  }
  changed_at_.push_back(now);
  return absl::OkStatus();
}

// The action in force that `plan` would change, null if none. It must be one that may be taken
// over.
absl::StatusOr<Executor::Impl::InForce*> Executor::Impl::FindOverlapping(const JournalEntry& entry,
                                                                         const ActionPlan& plan) {
  InForce* found = nullptr;
  for (const auto& in_force : active_) {
    if (in_force->entry.actuator != entry.actuator) continue;
    const Recommendation& theirs = in_force->entry.recommendation;
    for (const KnobChange& change : plan.changes) {
      const KnobChange* const held = FindKnob(in_force->entry.changes, change.knob);
      if (held == nullptr) continue;
      if (in_force->ending || !(theirs.target == entry.recommendation.target) ||
          theirs.action != entry.recommendation.action || (found && found != in_force.get())) {
        return absl::FailedPreconditionError(
            absl::StrCat("another action, ", theirs.id, ", is in force there: wait for its end"));
      }
      if (held->after != change.before) {
        return absl::AbortedError(absl::StrCat("somebody moved what action ", theirs.id,
                                               " has set ('", change.before, "' instead of '",
                                               held->after, "'): nothing is changed"));
      }
      found = in_force.get();
    }
  }
  return found;
}

// Sets one after the other. On an error what was set is put back; `clean` says whether that worked.
absl::Status Executor::Impl::Change(Actuator* actuator, const std::vector<KnobChange>& changes,
                                    bool* clean) {
  *clean = true;
  absl::Status status;
  std::size_t touched = 0;
  for (; touched < changes.size() && status.ok(); ++touched) {
    const KnobChange& change = changes[touched];
    absl::StatusOr<std::string> text = actuator->Read(change.knob);
    if (!text.ok()) {
      status = std::move(text).status();
      break;
    }
    if (*text != change.before) {
      status = absl::AbortedError(absl::StrCat("somebody moved '", change.knob, "' meanwhile, to '",
                                               *text, "': nothing is changed"));
      break;
    }
    status = actuator->Write(change.knob, change.after);
    text = actuator->Read(change.knob);
    if (!status.ok()) continue;
    if (!text.ok()) {
      status = std::move(text).status();
    } else if (*text != change.after) {
      status = absl::InternalError(absl::StrCat("'", change.knob, "' reads back as '", *text,
                                                "' instead of '", change.after, "'"));
    }
  }
  if (status.ok()) return status;
  while (touched-- > 0) {
    const KnobChange& change = changes[touched];
    absl::StatusOr<std::string> text = actuator->Read(change.knob);
    if (text.ok() && *text != change.before) {
      (void)actuator->Write(change.knob, change.before);
      text = actuator->Read(change.knob);
    }
    *clean = *clean && (text.ok() ? *text == change.before : absl::IsNotFound(text.status()));
  }
  return status;
}

// Why what it had set is not ours any more; empty where it is, or cannot be read just now.
std::string Executor::Impl::WhyLost(const InForce& in_force) const {
  for (const KnobChange& change : in_force.entry.changes) {
    const absl::StatusOr<std::string> text = in_force.actuator->Read(change.knob);
    if (text.ok() && *text != change.after) {
      return absl::StrCat("somebody moved what it had set ('", *text, "' instead of '",
                          change.after, "')");
    }
    if (absl::IsNotFound(text.status())) return text.status().ToString();
  }
  return "";
}

ActionTaken Executor::Impl::Renew(InForce* in_force, const Recommendation& r) {
  const Recommendation& theirs = in_force->entry.recommendation;
  ActionTaken taken = Outcome(r, ActionOutcome::kUnchanged, "in force already");
  taken.value_before = taken.value_after = theirs.to;
  if (r.expires_ns != in_force->expires_ns) {
    SetEnd(r, in_force);
    taken.detail = "in force already; renewed";
  }
  return taken;
}

ActionTaken Executor::Impl::Apply(const Recommendation& r) {
  const auto refuse = [&](const absl::Status& status) {
    return Outcome(r, OutcomeOf(status), status.ToString());
  };
  if (absl::Status status = CheckRecommendation(r); !status.ok()) return refuse(status);
  const std::int64_t now = options_.clock->NowNs();
  if (Distance(now, r.issued_ns) > static_cast<std::uint64_t>(options_.max_age_ns)) {
    return refuse(absl::FailedPreconditionError(
        "issued_ns: it is not from now; delayed, sent twice, or the clocks differ"));
  }
  if (r.expires_ns != 0 && r.expires_ns <= now) {
    return refuse(absl::FailedPreconditionError("expires_ns: its time is over"));
  }
  if (InForce* const same = FindById(r.id)) {
    const Recommendation& theirs = same->entry.recommendation;
    if (same->ending || !(theirs.target == r.target) || theirs.action != r.action) {
      return refuse(absl::FailedPreconditionError(
          "id: an action of this id is in force that is another, or is ending"));
    }
    // It is over at its time, and what is there is left alone then.
    if (const std::string why = WhyLost(*same); !why.empty()) {
      return refuse(absl::AbortedError(why + ": it is not renewed"));
    }
    return Renew(same, r);
  }
  if (std::find(ended_.begin(), ended_.end(), r.id) != ended_.end()) {
    return refuse(absl::FailedPreconditionError("id: this action has ended: issue another"));
  }
  Actuator* const actuator = FindActuator(r.action);
  if (actuator == nullptr) {
    return refuse(absl::UnimplementedError(
        absl::StrCat("action: no actuator here can do ", internal::ToAbsl(ActionName(r.action)))));
  }
  absl::StatusOr<ActionPlan> plan = actuator->Plan(r);
  if (!plan.ok()) return refuse(plan.status());
  if (absl::Status status = CheckPlan(r, *plan, options_); !status.ok()) return refuse(status);

  if (plan->changes.empty()) {
    // Another recommendation may be what put it there: it lasts as long as this one now.
    for (const auto& in_force : active_) {
      const Recommendation& theirs = in_force->entry.recommendation;
      if (!in_force->ending && theirs.action == r.action && theirs.target == r.target &&
          WhyLost(*in_force).empty()) {
        return Renew(in_force.get(), r);
      }
    }
    ActionTaken taken = Outcome(r, ActionOutcome::kUnchanged, "in place already");
    taken.value_before = taken.value_after = plan->from;
    return taken;
  }
  if (options_.dry_run) {
    ActionTaken taken = Outcome(r, ActionOutcome::kShadow, "dry run");
    for (const KnobChange& change : plan->changes) {
      Note(absl::StrCat(change.knob, ": '", change.before, "' -> '", change.after, "'"),
           &taken.detail);
    }
    taken.value_before = plan->from;
    taken.value_after = plan->to;
    return taken;
  }
  return Carry(actuator, r, *plan);
}

ActionTaken Executor::Impl::Carry(Actuator* actuator, const Recommendation& r,
                                  const ActionPlan& plan) {
  const auto refuse = [&](const absl::Status& status) {
    return Outcome(r, OutcomeOf(status), status.ToString());
  };
  auto made = std::make_unique<InForce>();
  made->actuator = actuator;
  made->entry.actuator = std::string(actuator->name());
  made->entry.recommendation = r;
  made->entry.recommendation.from = plan.unlimited ? r.upper : plan.from;
  made->entry.recommendation.to = plan.to;

  absl::StatusOr<InForce*> before = FindOverlapping(made->entry, plan);
  if (!before.ok()) return refuse(before.status());
  std::set<std::string> inherited;
  if (*before != nullptr) {
    made->entry.recommendation.from = (*before)->entry.recommendation.from;
    for (KnobChange change : (*before)->entry.changes) {
      const KnobChange* const ours = FindKnob(plan.changes, change.knob);
      if (ours != nullptr) change.after = ours->after;
      inherited.insert(change.knob);
      made->entry.changes.push_back(std::move(change));
    }
  } else if (active_.size() >= options_.max_active) {
    return refuse(absl::ResourceExhaustedError("max_active: enough actions are in force"));
  }
  for (const KnobChange& change : plan.changes) {
    if (inherited.count(change.knob) == 0) made->entry.changes.push_back(change);
  }
  if (absl::Status status = TakeToken(); !status.ok()) return refuse(status);

  std::vector<std::string> held;
  const auto release = [&] {
    for (const std::string& knob : held) actuator->Release(knob);
  };
  for (const KnobChange& change : plan.changes) {
    if (inherited.count(change.knob) != 0) continue;
    if (absl::Status status = actuator->Hold(change.knob); !status.ok()) {
      release();
      return refuse(status);
    }
    held.push_back(change.knob);
  }
  if (absl::Status status = journal_->Begin(made->entry); !status.ok()) {
    release();
    return Outcome(r, ActionOutcome::kFailed,
                   absl::StrCat(status.ToString(), "; nothing is changed"));
  }

  bool clean = false;
  const absl::Status status = Change(actuator, plan.changes, &clean);
  SetEnd(r, made.get());
  active_.push_back(std::move(made));
  const std::size_t index = active_.size() - 1;
  if (!status.ok() && clean) {
    // What was taken over stays in force, and keeps its knobs.
    auto& changes = active_[index]->entry.changes;
    changes.erase(std::remove_if(changes.begin(), changes.end(),
                                 [&](const KnobChange& c) { return inherited.count(c.knob) != 0; }),
                  changes.end());
    Forget(index);
    return refuse(status);
  }
  InForce& in_force = *active_[index];
  if (!status.ok()) {
    // What it took over from stays in the journal too: one of the two fits what is there.
    if (*before != nullptr) (*before)->ending = ActionOutcome::kUndone;
    for (const std::string& knob : inherited) (void)actuator->Hold(knob);
    in_force.ending = ActionOutcome::kFailed;
    NoteUnconfirmed(&in_force);
    return Outcome(r, ActionOutcome::kFailed,
                   absl::StrCat(status.ToString(), "; not all is put back yet: it will be tried"));
  }
  if (*before != nullptr) {
    // Everything of it is in the new entry; nothing is released.
    for (std::size_t i = 0; i < active_.size(); ++i) {
      if (active_[i].get() != *before) continue;
      active_[i]->entry.changes.clear();
      Forget(i);
      break;
    }
  }
  ActionTaken taken = Outcome(r, ActionOutcome::kApplied, "");
  for (const KnobChange& change : plan.changes) {
    Note(absl::StrCat(change.knob, ": '", change.before, "' -> '", change.after, "'"),
         &taken.detail);
  }
  taken.value_before = plan.unlimited ? r.upper : plan.from;
  taken.value_after = plan.to;
  return taken;
}

// The settings have values that nobody asked for. They are ours to put back, in the next life too.
void Executor::Impl::NoteUnconfirmed(InForce* in_force) {
  in_force->unconfirmed = true;
  bool differs = false;
  // In place: PutBack() is going over them.
  for (KnobChange& change : in_force->entry.changes) {
    absl::StatusOr<std::string> text = in_force->actuator->Read(change.knob);
    if (!text.ok() || *text == change.before || *text == change.after) continue;
    change.after = *std::move(text);
    differs = true;
  }
  if (!differs) return;
  (void)journal_->Begin(in_force->entry);  // best effort: there is one already
}

// Whether nothing of it is left behind.
bool Executor::Impl::PutBack(InForce& in_force, std::string* detail) {
  if (in_force.actuator == nullptr) {
    Note(absl::StrCat("there is no actuator '", in_force.entry.actuator, "' in this life"), detail);
    return false;
  }
  bool done = true;
  for (auto change = in_force.entry.changes.rbegin(); change != in_force.entry.changes.rend();
       ++change) {
    absl::StatusOr<std::string> text = in_force.actuator->Read(change->knob);
    const bool ours = text.ok() && (in_force.unconfirmed || *text == change->after);
    if (ours && *text != change->before) {
      const absl::Status status = in_force.actuator->Write(change->knob, change->before);
      if (!status.ok()) Note(status.ToString(), detail);
      text = in_force.actuator->Read(change->knob);
      if (text.ok() && *text != change->before) {
        done = false;
        NoteUnconfirmed(&in_force);
        Note(absl::StrCat("'", change->knob, "' reads '", *text, "' instead of '", change->before,
                          "'"),
             detail);
        continue;
      }
    } else if (text.ok() && *text != change->before) {
      Note(absl::StrCat("'", change->knob, "' was moved by somebody else to '", *text,
                        "', and is left so"),
           detail);
    }
    if (text.ok()) continue;
    if (absl::IsNotFound(text.status())) {
      Note(absl::StrCat("'", change->knob, "' is gone"), detail);
    } else {
      done = false;
      Note(text.status().ToString(), detail);
    }
  }
  return done;
}

// None: not yet.
std::optional<ActionTaken> Executor::Impl::End(std::size_t index, ActionOutcome why,
                                               std::string detail) {
  InForce& in_force = *active_[index];
  if (!PutBack(in_force, &detail)) {
    in_force.ending = why;
    return std::nullopt;
  }
  const Recommendation& r = in_force.entry.recommendation;
  ActionTaken taken = Outcome(r, why, std::move(detail));
  taken.value_before = r.to;
  taken.value_after = r.from;
  Forget(index);
  return taken;
}

void Executor::Impl::Forget(std::size_t index) {
  const std::unique_ptr<InForce> gone = std::move(active_[index]);
  active_.erase(active_.begin() + static_cast<std::ptrdiff_t>(index));
  for (const KnobChange& change : gone->entry.changes) {
    if (gone->actuator != nullptr) gone->actuator->Release(change.knob);
  }
  const std::uint64_t id = gone->entry.recommendation.id;
  if (ended_.size() == kRememberedIds) ended_.pop_front();
  ended_.push_back(id);
  if (!journal_) return;
  std::vector<const JournalEntry*> open;
  for (const auto& in_force : active_) open.push_back(&in_force->entry);
  journal_->End(id, open);
}

ActionTaken Executor::Impl::Undo(std::uint64_t id) {
  for (std::size_t i = 0; i < active_.size(); ++i) {
    const Recommendation r = active_[i]->entry.recommendation;
    if (r.id != id) continue;
    std::optional<ActionTaken> taken = End(i, ActionOutcome::kUndone, "on request");
    if (taken) return *std::move(taken);
    return Outcome(r, ActionOutcome::kFailed, "cannot be put back yet; it will be tried again");
  }
  Recommendation unknown;
  unknown.id = id;
  return Outcome(unknown, ActionOutcome::kRefused, "no such action is in force");
}

std::vector<ActionTaken> Executor::Impl::Tick() {
  std::vector<ActionTaken> ended;
  const std::int64_t now = options_.clock->NowNs();
  const std::int64_t steady = options_.steady->NowNs();
  for (std::size_t i = active_.size(); i-- > 0;) {
    const InForce& in_force = *active_[i];
    const bool expired =
        (in_force.expires_ns != 0 && in_force.expires_ns <= now) || in_force.deadline_ns <= steady;
    if (!expired && !in_force.ending) continue;
    std::optional<ActionTaken> taken =
        End(i, in_force.ending.value_or(ActionOutcome::kExpired), "");
    if (taken) ended.push_back(*std::move(taken));
  }
  return ended;
}

std::vector<ActionTaken> Executor::Impl::UndoAll() {
  std::vector<ActionTaken> outcomes;
  for (std::size_t i = active_.size(); i-- > 0;) {
    const Recommendation r = active_[i]->entry.recommendation;
    std::optional<ActionTaken> taken = End(i, ActionOutcome::kUndone, "all are undone");
    outcomes.push_back(taken ? *std::move(taken)
                             : Outcome(r, ActionOutcome::kFailed,
                                       "cannot be put back yet; it will be tried again"));
  }
  return outcomes;
}

absl::StatusOr<std::unique_ptr<Executor>> Executor::Create(
    const ExecutorOptions& options, std::vector<std::unique_ptr<Actuator>> actuators) {
  if (!options.dry_run && options.journal_path.empty()) {
    return absl::InvalidArgumentError("journal_path: needed unless dry_run: name a file");
  }
  if (!(options.max_step_up >= 1 && std::isfinite(options.max_step_up))) {
    return absl::InvalidArgumentError("max_step_up: give a factor of at least 1");
  }
  if (!(options.max_step_down > 0 && options.max_step_down <= 1)) {
    return absl::InvalidArgumentError("max_step_down: give a factor above 0 and at most 1");
  }
  if (options.max_hold_ns <= 0) return absl::InvalidArgumentError("max_hold_ns: give above 0");
  if (options.max_age_ns <= 0) return absl::InvalidArgumentError("max_age_ns: give above 0");
  if (options.max_active == 0 || options.max_active > 4096) {
    return absl::InvalidArgumentError("max_active: give 1 to 4096");
  }
  if (options.max_per_minute == 0) {
    return absl::InvalidArgumentError("max_per_minute: give at least 1");
  }
  std::set<std::string_view> names;
  for (const auto& actuator : actuators) {
    if (actuator == nullptr || !names.insert(actuator->name()).second) {
      return absl::InvalidArgumentError("actuators: one is null, or two have one name");
    }
  }
  auto executor = std::unique_ptr<Executor>(
      new Executor(std::make_unique<Impl>(options, std::move(actuators))));
  SEER_RETURN_IF_ERROR(executor->impl_->Open(&executor->recovered_, &executor->damaged_lines_));
  return executor;
}

Executor::Executor(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Executor::~Executor() { (void)impl_->UndoAll(); }
ActionTaken Executor::Apply(const Recommendation& recommendation) {
  return impl_->Apply(recommendation);
}
ActionTaken Executor::Undo(std::uint64_t recommendation_id) {
  return impl_->Undo(recommendation_id);
}
std::vector<ActionTaken> Executor::Tick() { return impl_->Tick(); }
std::vector<ActionTaken> Executor::UndoAll() { return impl_->UndoAll(); }
std::size_t Executor::active() const { return impl_->active(); }

SEER_END_NAMESPACE
