#include "seer/advise/control_loop.h"

#include <time.h>

#include <algorithm>
#include <cmath>
#include <deque>
#include <exception>
#include <map>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "advise/audit.h"
#include "advise/instance_watch.h"
#include "seer/core/internal/mutex.h"

SEER_BEGIN_NAMESPACE
namespace {

using internal::InstanceWatch;
using internal::Mutex;
using internal::MutexLock;

constexpr std::int64_t kQuietNs = 2'000'000'000;     // without alarm, before a baseline is learnt
constexpr std::int64_t kReturnNs = 60'000'000'000;   // an alarm so soon after an end came back
constexpr std::int64_t kForgetNs = 600'000'000'000;  // what did not help, and how often it returned
constexpr std::uint32_t kMaxHoldScale = 16;
constexpr std::size_t kMaxReports = 4096;

class MonotonicClock final : public Clock {
 public:
  std::int64_t NowNs() const override {
    timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return static_cast<std::int64_t>(t.tv_sec) * 1'000'000'000 + t.tv_nsec;
  }
};

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

float LargestProbability(const ClassForecast& forecast) {
  float largest = 0;
  for (const HorizonProbability& row : forecast.horizons)
    largest = std::max(largest, row.probability);
  return largest;
}

// Whom a row blames: a service, or the load of its class.
struct Blamed {
  std::uint32_t service = ServiceId::kNone;
  std::uint32_t load_of = ClassId::kNone;  // where there is no service
  friend bool operator<(const Blamed& a, const Blamed& b) {
    return a.service != b.service ? a.service < b.service : a.load_of < b.load_of;
  }
  friend bool operator==(const Blamed& a, const Blamed& b) {
    return a.service == b.service && a.load_of == b.load_of;
  }
};

Blamed BlamedBy(const ClassForecast& row) {
  Blamed blamed;
  const bool load = row.initiators.empty() || row.initiators.front().is_load();
  if (load)
    blamed.load_of = row.request_class.value();
  else
    blamed.service = row.initiators.front().service.value();
  return blamed;
}

}  // namespace

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
  InstanceWatch& watch() { return watch_; }
  std::size_t in_flight() const;
  const std::vector<ClassDiagnosis>& diagnoses() const { return diagnoses_; }

 private:
  struct Case {
    std::int64_t began_ns = 0;
    std::vector<InstanceEvidence> seen;
  };
  struct Flight {
    Recommendation r;
    std::int64_t sent_ns = 0;  // all steady
    std::int64_t settled_ns = 0;
    std::int64_t ends_ns = 0;
    bool answered = false;
    bool judged = false;
    bool undoing = false;
  };
  // What goes on about one culprit.
  struct Affair {
    std::optional<Case> open;
    std::optional<Flight> flight;
    std::int64_t wait_until_ns = 0;
    std::uint32_t failed = 0;  // actions in a row that did not help
    std::uint32_t hold_scale = 1;
    std::int64_t ended_ns = 0;  // the last one that helped
    std::int64_t touched_ns = 0;
  };

  void Audit(std::string line) const;
  bool MayDecide(const Forecast& forecast, bool killed);
  void UndoAll();
  void TakeReports();
  void Judge();
  void EndFlight(Affair* affair, bool helped, std::string_view why);
  void Undo(Affair* affair, std::string_view why);
  void Pursue(const ClassForecast& row, Affair* affair, LoopTick* tick);
  bool Gather(Affair* affair, LoopTick* tick, const Blamed& blamed);
  void Decide(const ClassForecast& row, const Diagnosis& diagnosis, Affair* affair, LoopTick* tick);
  void Sample(LoopTick* tick);
  bool HasBudget() const { return options_.steady->NowNs() - steady_ns_ < options_.budget_ns; }

  Predictor* const predictor_;
  Advisor& advisor_;
  ControlLoopOptions options_;
  const SystemClock system_clock_{};
  const MonotonicClock monotonic_clock_{};
  InstanceWatch watch_;

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
  std::uint64_t next_id_ = 0;
  std::vector<const ClassForecast*> alarms_;
  std::vector<ClassDiagnosis> diagnoses_;

  Mutex mutex_;
  std::deque<ActionTaken> reports_ ABSL_GUARDED_BY(mutex_);
};

void ControlLoop::Impl::Audit(std::string line) const {
  if (!options_.audit) return;
  (void)Guarded([&] {
    options_.audit(line);
    return absl::OkStatus();
  });
}

void ControlLoop::Impl::Report(const ActionTaken& taken) {
  MutexLock lock(&mutex_);
  // A node that never stops: the oldest is the least.
  if (reports_.size() >= kMaxReports) reports_.pop_front();
  reports_.push_back(taken);
}

std::size_t ControlLoop::Impl::in_flight() const {
  return static_cast<std::size_t>(
      std::count_if(affairs_.begin(), affairs_.end(),
                    [](const auto& affair) { return affair.second.flight.has_value(); }));
}

LoopTick ControlLoop::Impl::Tick(bool killed) {
  if (predictor_ == nullptr) {
    LoopTick nothing;
    nothing.decided_nothing = true;
    return nothing;
  }
  predictor_->Predict(&forecast_);
  const std::shared_ptr<const Topology> topology = predictor_->topology();
  return Tick(forecast_, *topology, killed);
}

LoopTick ControlLoop::Impl::Tick(const Forecast& forecast, const Topology& topology, bool killed) {
  LoopTick tick;
  topology_ = &topology;
  tick_ = forecast.tick;
  diagnoses_.clear();
  now_ns_ = options_.clock->NowNs();
  steady_ns_ = options_.steady->NowNs();
  if (!origin_ || !origin_->SameNumbering(topology.origin())) {
    // Ids mean something else: what was found out about them is void. Actions end by themselves.
    if (origin_)
      Audit(internal::AuditEvent(now_ns_, "renumbered", "the topology has another epoch"));
    origin_ = topology.origin();
    watch_.Reset();
    if (!affairs_.empty()) UndoAll();
    affairs_.clear();
  }
  watch_.Count(topology);
  TakeReports();
  if (!MayDecide(forecast, killed)) {
    tick.decided_nothing = true;
    return tick;
  }

  alarms_.clear();
  for (const ClassForecast& row : forecast.classes) {
    if (row.alarm) alarms_.push_back(&row);
  }
  tick.alarms = alarms_.size();
  if (!affairs_.empty()) Judge();
  if (alarms_.empty()) {
    if (steady_ns_ - last_alarm_ns_ >= kQuietNs) Sample(&tick);
    return tick;
  }
  last_alarm_ns_ = steady_ns_;
  std::stable_sort(alarms_.begin(), alarms_.end(), [&](const auto* a, const auto* b) {
    const std::uint32_t pa = advisor_.Priority(topology, a->request_class);
    const std::uint32_t pb = advisor_.Priority(topology, b->request_class);
    return pa != pb ? pa > pb : LargestProbability(*a) > LargestProbability(*b);
  });
  for (const ClassForecast* row : alarms_) {
    Affair& affair = affairs_[BlamedBy(*row)];
    // Touched by another class in this tick already, or not its turn.
    if (affair.touched_ns == steady_ns_ || affair.flight || steady_ns_ < affair.wait_until_ns) {
      continue;
    }
    affair.touched_ns = steady_ns_;
    Pursue(*row, &affair, &tick);
  }
  return tick;
}

bool ControlLoop::Impl::MayDecide(const Forecast& forecast, bool killed) {
  const std::int64_t offset = now_ns_ - steady_ns_;
  const bool jumped =
      started_ && std::abs(static_cast<double>(offset) - static_cast<double>(jump_from_ns_)) >
                      static_cast<double>(options_.max_clock_jump_ns);
  started_ = true;
  jump_from_ns_ = offset;
  if (killed != was_killed_) {
    was_killed_ = killed;
    Audit(internal::AuditEvent(now_ns_, killed ? "killed" : "resumed", "the host says so"));
    if (killed) UndoAll();
  }
  if (killed) return false;
  if (jumped) {
    for (auto& [blamed, affair] : affairs_) affair.open.reset();
    Audit(internal::AuditEvent(now_ns_, "clock-jumped", "this tick decides nothing"));
    return false;
  }
  const bool known = forecast.period.Contains(forecast.tick) && !forecast.classes.empty();
  const double age = known ? static_cast<double>(now_ns_) -
                                 static_cast<double>(forecast.period.EndNs(forecast.tick))
                           : 0;
  const bool stale = known && std::abs(age) > static_cast<double>(options_.max_stale_ns);
  if (stale && !stale_) {
    Audit(internal::AuditEvent(now_ns_, "stale",
                               absl::StrCat("the forecast is of ", age / 1e6, " ms ago")));
  }
  if (stale) {
    for (auto& [blamed, affair] : affairs_) affair.open.reset();
  }
  stale_ = stale;
  return !stale;
}

// ---- What was sent.

void ControlLoop::Impl::Undo(Affair* affair, std::string_view why) {
  Flight& flight = *affair->flight;
  if (flight.undoing || options_.shadow || flight.r.action == Action::kReport) return;
  flight.undoing = true;
  Audit(internal::AuditAction(now_ns_, "undo", flight.r, why));
  if (!options_.undo) return;  // it expires
  const absl::Status status = Guarded(options_.undo, flight.r.id);
  if (!status.ok()) {
    Audit(internal::AuditAction(now_ns_, "undo-not-sent", flight.r, status.ToString()));
  }
}

void ControlLoop::Impl::UndoAll() {
  for (auto& [blamed, affair] : affairs_) {
    affair.open.reset();
    if (affair.flight) Undo(&affair, "all are undone");
  }
}

void ControlLoop::Impl::EndFlight(Affair* affair, bool helped, std::string_view why) {
  const Recommendation& r = affair->flight->r;
  Audit(internal::AuditAction(now_ns_, "ended", r, why));
  if (helped) {
    affair->ended_ns = steady_ns_;
    affair->failed = 0;
    affair->wait_until_ns = steady_ns_;
  } else {
    affair->failed = std::min<std::uint32_t>(affair->failed + 1, 100);
    affair->wait_until_ns = steady_ns_ + std::max<std::int64_t>(0, advisor_.CooldownNs(r));
  }
  affair->flight.reset();
}

void ControlLoop::Impl::TakeReports() {
  std::deque<ActionTaken> reports;
  {
    MutexLock lock(&mutex_);
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
        flight.settled_ns = steady_ns_ + flight.r.settle_ns;
        break;
      case ActionOutcome::kExpired:
        EndFlight(found, flight.judged && !flight.undoing, "it expired");
        break;
      default:
        EndFlight(found, false, ActionOutcomeName(taken.outcome));
    }
  }
}

// What has settled, was never answered, or is over.
void ControlLoop::Impl::Judge() {
  for (auto entry = affairs_.begin(); entry != affairs_.end();) {
    Affair& affair = entry->second;
    const auto in_danger = [&] {
      return std::any_of(alarms_.begin(), alarms_.end(),
                         [&](const ClassForecast* row) { return BlamedBy(*row) == entry->first; });
    };
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
      } else if (!flight.judged && !flight.undoing && steady_ns_ >= flight.settled_ns) {
        flight.judged = true;
        const bool helped = !in_danger();
        Audit(internal::AuditAction(now_ns_, helped ? "helped" : "did-not-help", flight.r, ""));
        if (flight.r.action == Action::kReport) {
          EndFlight(&affair, helped, "a report has no effect to wait for");
        } else if (!helped) {
          Undo(&affair, "it did not help");
          if (!options_.undo) EndFlight(&affair, false, "it did not help");
        }
      }
      if (affair.flight && steady_ns_ >= affair.flight->ends_ns) {
        EndFlight(&affair, affair.flight->judged && !affair.flight->undoing, "its time is over");
      }
    }
    // A case without alarm for a second has gone away.
    if (affair.open && !in_danger() && steady_ns_ - affair.touched_ns >= 1'000'000'000) {
      Audit(internal::AuditEvent(now_ns_, "case-closed", "the alarm has gone"));
      affair.open.reset();
    }
    const bool idle = !affair.open && !affair.flight &&
                      steady_ns_ - std::max(affair.touched_ns, affair.ended_ns) > kForgetNs;
    entry = idle ? affairs_.erase(entry) : std::next(entry);
  }
}

// ---- Cases.

void ControlLoop::Impl::Pursue(const ClassForecast& row, Affair* affair, LoopTick* tick) {
  if (!affair->open) {
    std::size_t busy = 0;
    for (const auto& [blamed, other] : affairs_) busy += other.open || other.flight ? 1 : 0;
    if (busy >= options_.max_in_flight) return;
    affair->open = Case();
    affair->open->began_ns = steady_ns_;
  }
  const Blamed blamed = BlamedBy(row);
  const bool all_there = Gather(affair, tick, blamed);
  const Diagnosis diagnosis = Diagnose(row, affair->open->seen, options_.diagnose);
  diagnoses_.push_back({row.request_class, diagnosis});
  const std::int64_t waited = steady_ns_ - affair->open->began_ns;
  const bool clear = all_there && diagnosis.cause != Cause::kUndecided &&
                     diagnosis.confidence >= options_.clear_confidence;
  // Without a culprit, or with nobody to read it, there is nothing to wait for.
  const bool nothing_to_read = blamed.service == ServiceId::kNone || affair->open->seen.empty();
  if (!clear && !nothing_to_read && waited < options_.read_ns) return;
  Decide(row, diagnosis, affair, tick);
}

// Reads the culprit's instances once more; whether `min_read_ns` of each are there.
bool ControlLoop::Impl::Gather(Affair* affair, LoopTick* tick, const Blamed& blamed) {
  if (blamed.service == ServiceId::kNone || !options_.monitor) return false;
  std::vector<InstanceEvidence>& seen = affair->open->seen;
  if (seen.empty()) {
    const absl::Span<const Instance> instances = topology_->instances();
    for (std::uint32_t i = 0; i < instances.size() && seen.size() < options_.max_instances; ++i) {
      if (instances[i].removed || instances[i].service.value() != blamed.service) continue;
      seen.emplace_back();
      seen.back().instance = InstanceId(i);
    }
  }
  bool enough = !seen.empty();
  HwReading reading;
  for (InstanceEvidence& evidence : seen) {
    if (!HasBudget()) return false;
    if (!topology_->IsLive(evidence.instance)) continue;
    bool fresh = false;
    // Of the time before the alarm as much as the case itself waits: it has begun before.
    const absl::Status status =
        watch_.Read(*topology_, evidence.instance, steady_ns_, options_.read_ns, &reading, &fresh);
    if (!status.ok()) {
      enough = false;
      continue;
    }
    ++tick->read;
    if (fresh) AddReading(reading, &evidence.reading);
    evidence.baseline = watch_.baseline(evidence.instance);
    enough = enough && evidence.reading.interval_ns >= options_.min_read_ns;
  }
  return enough;
}

void ControlLoop::Impl::Decide(const ClassForecast& row, const Diagnosis& diagnosis, Affair* affair,
                               LoopTick* tick) {
  affair->open.reset();
  ++tick->decided;
  if (steady_ns_ - affair->ended_ns > kForgetNs) affair->hold_scale = 1;
  AdviceRequest request;
  request.diagnosis = &diagnosis;
  request.forecast = &row;
  request.topology = topology_;
  request.now_ns = now_ns_;
  request.failed_before = affair->failed;
  std::optional<Recommendation> advice = advisor_.Advise(request);
  const auto audit = [&](std::string_view verdict, std::string_view why) {
    Audit(internal::AuditDecision(now_ns_, *topology_, tick_, row, diagnosis,
                                  advice ? &*advice : nullptr, verdict, why));
  };
  if (!advice) {
    // Looked at again while the alarm lasts, with new readings.
    affair->wait_until_ns = steady_ns_ + options_.read_ns;
    audit("nothing", diagnosis.cause == Cause::kUndecided ? "the cause is not clear"
                                                          : "no rule has anything to offer");
    return;
  }
  advice->id = ++next_id_;
  if (advice->action != Action::kReport && affair->ended_ns != 0 &&
      steady_ns_ - affair->ended_ns < kReturnNs) {
    affair->hold_scale = std::min(affair->hold_scale * 2, kMaxHoldScale);
  }
  const std::int64_t hold = (advice->expires_ns - now_ns_) * affair->hold_scale;
  if (advice->expires_ns != 0) advice->expires_ns = now_ns_ + hold;

  Flight flight;
  flight.r = *advice;
  flight.sent_ns = steady_ns_;
  flight.settled_ns = steady_ns_ + advice->settle_ns;
  flight.ends_ns = steady_ns_ + hold;
  audit(options_.shadow ? "shadow" : "act", "");
  if (!options_.shadow) {
    const absl::Status status = Guarded(options_.act, *advice);
    if (!status.ok()) {
      Audit(internal::AuditAction(now_ns_, "not-sent", *advice, status.ToString()));
      affair->failed = std::min<std::uint32_t>(affair->failed + 1, 100);
      affair->wait_until_ns = steady_ns_ + std::max<std::int64_t>(0, advisor_.CooldownNs(*advice));
      return;
    }
    Audit(internal::AuditAction(now_ns_, "sent", *advice, ""));
    ++tick->sent;
  }
  flight.answered = options_.shadow || advice->action == Action::kReport;
  advisor_.Issued(*advice);
  affair->flight = std::move(flight);
}

// ---- What is usual.

void ControlLoop::Impl::Sample(LoopTick* tick) {
  if (!options_.monitor) return;
  HwReading reading;
  // As many turns as have become due, and never more than all instances.
  for (InstanceId next = watch_.Next(*topology_, steady_ns_); next.valid();
       next = watch_.Next(*topology_, steady_ns_)) {
    if (!HasBudget()) return;
    const auto affair = affairs_.find({topology_->instance(next).service.value(), ClassId::kNone});
    if (affair != affairs_.end() && affair->second.flight) continue;  // not as usual
    bool fresh = false;
    // Readings that span an alarm are not of health: not longer than it has been quiet.
    const std::int64_t quiet =
        last_alarm_ns_ == 0 ? 4 * options_.sample_ns : steady_ns_ - last_alarm_ns_;
    if (watch_.Read(*topology_, next, steady_ns_, quiet, &reading, &fresh).ok()) {
      ++tick->read;
      if (fresh) watch_.Learn(next, reading);
    }
  }
}

absl::StatusOr<std::unique_ptr<ControlLoop>> ControlLoop::Create(
    Predictor* predictor, Advisor* advisor, const ControlLoopOptions& options) {
  if (advisor == nullptr) return absl::InvalidArgumentError("advisor: needed: give a RuleAdvisor");
  if (!options.shadow && !options.act) {
    return absl::InvalidArgumentError(
        "act: needed unless shadow: give what sends a recommendation");
  }
  if (options.min_read_ns < 0 || options.read_ns < options.min_read_ns) {
    return absl::InvalidArgumentError("min_read_ns: give 0 to read_ns");
  }
  const std::pair<const char*, std::int64_t> times[] = {
      {"sample_ns", options.sample_ns},
      {"max_stale_ns", options.max_stale_ns},
      {"max_clock_jump_ns", options.max_clock_jump_ns},
      {"report_timeout_ns", options.report_timeout_ns},
      {"budget_ns", options.budget_ns}};
  for (const auto& [name, time] : times) {
    if (time <= 0) return absl::InvalidArgumentError(absl::StrCat(name, ": give a time above 0"));
  }
  if (options.max_in_flight == 0) {
    return absl::InvalidArgumentError("max_in_flight: give at least 1");
  }
  if (options.max_instances == 0) {
    return absl::InvalidArgumentError("max_instances: give at least 1");
  }
  return std::unique_ptr<ControlLoop>(
      new ControlLoop(std::make_unique<Impl>(predictor, advisor, options)));
}

ControlLoop::ControlLoop(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
ControlLoop::~ControlLoop() = default;
LoopTick ControlLoop::Tick() { return impl_->Tick(killed()); }
LoopTick ControlLoop::Tick(const Forecast& forecast, const Topology& topology) {
  return impl_->Tick(forecast, topology, killed());
}
void ControlLoop::Report(const ActionTaken& taken) { impl_->Report(taken); }
const StallBaseline* ControlLoop::baseline(InstanceId instance) const {
  return impl_->watch().baseline(instance);
}
void ControlLoop::SetBaseline(InstanceId instance, const StallBaseline& baseline) {
  impl_->watch().SetBaseline(instance, baseline);
}
std::size_t ControlLoop::in_flight() const { return impl_->in_flight(); }
const std::vector<ClassDiagnosis>& ControlLoop::diagnoses() const { return impl_->diagnoses(); }

SEER_END_NAMESPACE
