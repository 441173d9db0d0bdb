// Cases: who is to blame is read, the cause is found out, and what is to be done is decided.
#include <algorithm>
#include <string>
#include <utility>

#include "advise/look.h"
#include "advise/loop_impl.h"
#include "seer/hwmon/attribution.h"

SEER_BEGIN_NAMESPACE
namespace {

using internal::Blamed;

constexpr std::int64_t kReturnNs = 60'000'000'000;  // an alarm so soon after an end came back
constexpr std::uint32_t kMaxHoldScale = 16;
// Of a service on the way of load: with so much of its processors in use it is the next one.
constexpr double kBusy = 0.6;
// Of the usual requests: those that are missing are held up somewhere.
constexpr double kFewer = 0.8;
// After an action was applied, before its effect can be read: a period of the kernel's scheduler.
constexpr std::int64_t kEffectNs = 100'000'000;
constexpr double kBetter = 0.9;
// A case with too few requests to tell is read for so many times as long.
constexpr std::int64_t kPatience = 4;
constexpr std::size_t kMostParts = 32;  // readings of one instance that are held against each other
// A raise by less is not worth it.
constexpr double kWorthRaising = 1.1;
// Of a class's target: that processors are waited for a little longer is not what a violation comes
// from yet.
constexpr double kWorthOfTarget = 0.01;
// What a network held up comes at once when it is over, and looks like load.
constexpr std::int64_t kNetworkStandsNs = 2'000'000'000;

Resource ResourceOf(Cause cause) {
  return cause < Cause::kApplication ? static_cast<Resource>(cause) : Resource::kCpu;
}

// Few requests come to a service that is seldom called: they tell nothing yet.
bool HasTooFew(const std::vector<InstanceEvidence>& seen, std::uint64_t least) {
  return std::any_of(seen.begin(), seen.end(), [&](const InstanceEvidence& evidence) {
    return evidence.reading.requests > 0 && evidence.reading.requests < least;
  });
}

// Whether a request waits enough longer to matter to the class in danger.
bool IsWorth(const Topology& topology, const ClassForecast& row,
             const DiagnosisEvidence& evidence) {
  if (!topology.Has(row.request_class)) return true;
  const QosTarget& target = topology.request_class(row.request_class).target;
  return evidence.value - evidence.healthy >=
         kWorthOfTarget * static_cast<double>(target.latency_ns) / 1000;
}

// Whether what rose is enough for the class in danger.
bool IsEnough(const Topology& topology, const ClassForecast& row, const Diagnosis& diagnosis) {
  return diagnosis.cause != Cause::kCpu || diagnosis.evidence.empty() ||
         IsWorth(topology, row, diagnosis.evidence.front());
}

}  // namespace

bool ControlLoop::Impl::HasRoom() const {
  std::size_t busy = 0;
  for (const auto& [blamed, other] : affairs_) busy += other.open || other.flight ? 1 : 0;
  return busy < options_.max_in_flight;
}

// False where there are too many already.
bool ControlLoop::Impl::OpenCase(Affair* affair) {
  if (affair->open) return true;
  if (!HasRoom()) return false;
  affair->open = Case();
  affair->open->with_kept = true;
  affair->open->began_ns = steady_ns_;
  return true;
}

bool ControlLoop::Impl::ReadService(std::uint32_t service, Case* open, LoopTick* tick) {
  if (!options_.monitor) return false;
  if (open->seen.empty()) {
    Choose(
        options_.max_instances,
        [&](const Instance& instance) { return instance.service.value() == service; }, open);
  }
  return ReadAll(open, tick);
}

// Reads those that were chosen once more; whether `min_read_ns` of each are there.
bool ControlLoop::Impl::ReadAll(Case* open, LoopTick* tick) {
  if (!options_.monitor) return false;
  bool enough = !open->seen.empty();
  HwReading reading;
  for (std::size_t i = 0; i < open->seen.size(); ++i) {
    InstanceEvidence& evidence = open->seen[i];
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
    HwReading kept;
    if (open->with_kept && evidence.reading.interval_ns == 0 && Kept(evidence.instance, &kept)) {
      // What the node remembers reaches to now.
      reading = kept;
      fresh = true;
    }
    if (fresh) {
      AddReading(reading, &evidence.reading);
      // Bounded, however long the case is looked at.
      if (evidence.parts.size() < kMostParts) {
        evidence.parts.push_back(reading);
      } else {
        AddReading(reading, &evidence.parts.back());
      }
      open->newest[i] = reading;
    }
    evidence.baseline = watch_.baseline(evidence.instance);
    enough = enough && evidence.reading.interval_ns >= options_.min_read_ns;
  }
  return enough;
}

// Of the instance in which most wait.
Shortage ControlLoop::Impl::ShortageIn(const Case& open, const Diagnosis& diagnosis) const {
  Shortage worst;
  for (std::size_t i = 0; i < open.seen.size(); ++i) {
    const InstanceEvidence& evidence = open.seen[i];
    if (diagnosis.instance.valid() && evidence.instance != diagnosis.instance) continue;
    const Shortage own = ShortageOf(evidence.reading, open.newest[i], ResourceOf(diagnosis.cause));
    if (own.waiting >= worst.waiting) worst = own;
  }
  return worst;
}

void ControlLoop::Impl::Pursue(const ClassForecast& row, Affair* affair, LoopTick* tick) {
  if (!OpenCase(affair)) return;
  const ServiceId culprit(BlamedBy(row).service);
  const bool all_there = ReadService(culprit.value(), &*affair->open, tick);
  Finding finding;
  finding.diagnosis = Diagnose(row, affair->open->seen, options_.diagnose);
  const Diagnosis& diagnosis = finding.diagnosis;
  diagnoses_.push_back({row.request_class, diagnosis});
  const std::int64_t waited = steady_ns_ - affair->open->began_ns;
  const bool resource = diagnosis.cause < Cause::kApplication || diagnosis.cause == Cause::kLoad;
  const bool clear = all_there && resource && diagnosis.confidence >= options_.clear_confidence &&
                     (affair->guessed || IsEnough(*topology_, row, diagnosis));
  // With nobody to read it there is nothing to wait for.
  const bool nothing_to_read = affair->open->seen.empty();
  if (!clear && !nothing_to_read && waited < options_.read_ns) return;
  if (diagnosis.cause == Cause::kUndecided && waited < kPatience * options_.read_ns &&
      HasTooFew(affair->open->seen, options_.diagnose.rules.min_requests)) {
    return;
  }
  finding.shortage = ShortageIn(*affair->open, diagnosis);
  const Case seen = *std::move(affair->open);
  Decide(row, finding, affair, tick);
  LookAround(row, finding, seen);
  if (affair->flight) Bridge(row, diagnosis, seen, tick);
}

// An action is in force, and the alarm lasts: does a request wait less than before, and is more
// needed?
void ControlLoop::Impl::LookAfter(const ClassForecast& row, Affair* affair, LoopTick* tick) {
  Flight& flight = *affair->flight;
  const Blamed blamed = BlamedBy(row);
  if (options_.shadow || flight.undoing || blamed.load) return;
  Diagnosis as_before;
  as_before.cause = flight.r.cause;
  if (flight.applied_ns == 0 || steady_ns_ - flight.applied_ns < kEffectNs) {
    // It may have been decided while the waiting had only begun.
    if (!flight.until) flight.until = Case();
    if (ReadService(blamed.service, &*flight.until, tick)) {
      flight.before_us = std::max(flight.before_us, ShortageIn(*flight.until, as_before).wait_us);
    }
    return;
  }
  if (!flight.after) {
    flight.after = Case();
    flight.after->began_ns = steady_ns_;
  }
  if (!ReadService(blamed.service, &*flight.after, tick)) return;
  Finding finding;
  finding.diagnosis = Diagnose(row, flight.after->seen, options_.diagnose);
  finding.shortage = ShortageIn(*flight.after, finding.diagnosis);
  as_before.instance = finding.diagnosis.instance;
  flight.relieved = flight.before_us > 0 &&
                    ShortageIn(*flight.after, as_before).wait_us <= kBetter * flight.before_us;
  const Case seen = *std::move(flight.after);
  flight.after.reset();
  const Diagnosis& diagnosis = finding.diagnosis;
  Diagnosis still = diagnosis;  // those who wait hold others up, whatever they wait for by now
  still.cause = flight.r.cause;
  still.confidence = flight.r.confidence;
  Bridge(row, still, seen, tick);
  const bool is_clear =
      diagnosis.cause < Cause::kApplication && diagnosis.confidence >= options_.clear_confidence;
  // It may have been too early to tell.
  if (is_clear && !flight.relieved && IsEnough(*topology_, row, diagnosis)) {
    diagnoses_.push_back({row.request_class, diagnosis});
  }
  if (diagnosis.cause == flight.r.cause && diagnosis.cause < Cause::kApplication) {
    Decide(row, finding, affair, tick);
    LookAround(row, finding, seen);
  } else if (flight.judged && is_clear && IsEnough(*topology_, row, diagnosis) &&
             PutAside(diagnosis.culprit, affair)) {
    Decide(row, finding, affair, tick);
    LookAround(row, finding, seen);
    if (affair->flight) Bridge(row, diagnosis, seen, tick);
  } else if (flight.r.cause == Cause::kApplication && is_clear) {
    // What was done on a guess makes room.
    flight.replaced = true;
    Undo(affair, "another cause was found");
    if (!options_.undo) EndFlight(affair, true, "another cause was found");
  }
}

// ---- Load.

// The services that calls reach which come in at this one.
std::vector<bool> ControlLoop::Impl::OnPath(ServiceId entry) const {
  std::vector<bool> reached(topology_->services().size(), false);
  if (entry.index() >= reached.size()) return reached;
  reached[entry.index()] = true;
  // As many rounds as calls are deep, at most.
  for (bool more = true; more;) {
    more = false;
    for (const Edge& edge : topology_->edges()) {
      if (edge.removed || !edge.caller.valid() || !reached[edge.caller.index()]) continue;
      more = more || !reached[edge.callee.index()];
      reached[edge.callee.index()] = true;
    }
  }
  return reached;
}

// Services that have too few processors for what comes, the shortest first. `network`: most of what
// rose is the network instead.
std::vector<ControlLoop::Impl::Finding> ControlLoop::Impl::ShortOnPath(const Case& open,
                                                                       bool* network) const {
  std::vector<Finding> findings;
  std::size_t by_network = 0, risen = 0;
  bool fewer = true;  // requests than usual, of all for whom something rose
  for (std::size_t i = 0; i < open.seen.size(); ++i) {
    const InstanceEvidence& evidence = open.seen[i];
    const Shortage shortage = ShortageOf(evidence.reading, open.newest[i], Resource::kCpu);
    bool is_short = shortage.used >= kBusy;
    if (evidence.baseline != nullptr) {
      const StallAttribution found = internal::Look(evidence, options_.diagnose.rules);
      const bool rose = found.verdict == StallAttribution::Verdict::kResource ||
                        found.verdict == StallAttribution::Verdict::kLoad;
      risen += rose ? 1 : 0;
      by_network += rose && found.worst().resource == Resource::kNetwork ? 1 : 0;
      fewer = fewer && (!rose || (found.request_ratio > 0 && found.request_ratio < kFewer));
      is_short = is_short || (rose && found.worst().resource == Resource::kCpu);
    }
    if (!is_short) continue;
    const ServiceId service = topology_->instance(evidence.instance).service;
    const auto same = std::find_if(findings.begin(), findings.end(), [&](const Finding& f) {
      return f.diagnosis.culprit == service;
    });
    if (same == findings.end()) {
      findings.emplace_back();
      findings.back().diagnosis.culprit = service;
      findings.back().shortage = shortage;
    } else if (shortage.waiting > same->shortage.waiting) {
      same->shortage = shortage;
    }
  }
  // One alone may be chance, but not where its requests stay away: that is no load.
  *network = 2 * by_network > risen && (by_network > 1 || fewer);
  std::stable_sort(findings.begin(), findings.end(), [](const Finding& a, const Finding& b) {
    return a.shortage.waiting > b.shortage.waiting;
  });
  return findings;
}

void ControlLoop::Impl::PursueLoad(const ClassForecast& row, Affair* affair, LoopTick* tick) {
  if (!OpenCase(affair)) return;
  const ServiceId entry(BlamedBy(row).service);
  Finding load;
  load.diagnosis = Diagnose(row, {}, options_.diagnose);
  const std::int64_t waited = steady_ns_ - affair->open->began_ns;
  std::vector<Finding> findings;
  if (load.diagnosis.cause == Cause::kLoad && options_.monitor) {
    if (affair->open->seen.empty()) {
      const std::vector<bool> on_path = OnPath(entry);
      Choose(
          options_.max_on_path,
          [&](const Instance& instance) { return on_path[instance.service.index()]; },
          &*affair->open);
    }
    const bool all_there = ReadAll(&*affair->open, tick);
    bool network = false;
    findings = ShortOnPath(*affair->open, &network);
    if (network) {
      findings.clear();
      load.diagnosis.cause = Cause::kNetwork;
    }
    diagnoses_.push_back({row.request_class, load.diagnosis});
    const bool found = network || !findings.empty();
    if (waited < options_.read_ns && !affair->open->seen.empty() && !(all_there && found)) return;
  } else {
    diagnoses_.push_back({row.request_class, load.diagnosis});
  }
  affair->open.reset();
  affair->wait_until_ns =
      steady_ns_ + (load.diagnosis.cause == Cause::kNetwork ? kNetworkStandsNs : options_.read_ns);
  if (findings.empty()) findings.push_back(load);
  for (Finding& finding : findings) {
    const ServiceId service = finding.diagnosis.culprit.valid() ? finding.diagnosis.culprit : entry;
    finding.diagnosis.cause = load.diagnosis.cause;
    finding.diagnosis.confidence = load.diagnosis.confidence;
    Affair& own = affairs_[{service.value(), false}];
    if (own.flight ? options_.shadow || own.flight->undoing || own.flight->applied_ns == 0
                   : steady_ns_ < own.wait_until_ns) {
      continue;
    }
    own.touched_ns = steady_ns_;
    Decide(row, finding, &own, tick);
  }
}

// ---- What to do.

// One action moves a limit at a time: what was put aside, or bridges, has it.
bool ControlLoop::Impl::InForceBeside(ServiceId service, Action action) const {
  const auto there = [&](std::uint8_t aside) {
    const auto affair = affairs_.find({service.value(), false, aside});
    return affair != affairs_.end() && affair->second.flight.has_value();
  };
  return there(internal::AsideOf(action)) ||
         (action == Action::kCpuLimit && there(internal::kBridge));
}

// What has helped stays, and another cause is met beside it.
bool ControlLoop::Impl::PutAside(ServiceId service, Affair* affair) {
  const Action action = affair->flight->r.action;
  if (!service.valid() || InForceBeside(service, action)) return false;
  Affair& aside = affairs_[{service.value(), false, internal::AsideOf(action)}];
  aside.flight = std::move(affair->flight);
  affair->flight.reset();
  return true;
}

// Something is done about what requests wait for, which takes its time: they hold processors for
// longer until then, and where the others wait for these, they are given more of them.
void ControlLoop::Impl::Bridge(const ClassForecast& row, const Diagnosis& diagnosis,
                               const Case& seen, LoopTick* tick) {
  if (diagnosis.cause >= Cause::kApplication || diagnosis.cause == Cause::kCpu ||
      !topology_->IsLive(diagnosis.culprit)) {
    return;
  }
  const bool waits = std::any_of(
      diagnosis.evidence.begin(), diagnosis.evidence.end(), [&](const DiagnosisEvidence& evidence) {
        return evidence.resource == Resource::kCpu && IsWorth(*topology_, row, evidence);
      });
  if (!waits) return;
  const Blamed key{diagnosis.culprit.value(), false, internal::kBridge};
  const auto known = affairs_.find(key);
  if (known == affairs_.end() && !HasRoom()) return;
  const bool bridges = known != affairs_.end() && known->second.flight.has_value();
  if (!bridges && InForceBeside(diagnosis.culprit, Action::kCpuLimit)) return;
  Affair& affair = known == affairs_.end() ? affairs_[key] : known->second;
  if (affair.flight ? affair.flight->undoing || affair.flight->applied_ns == 0 ||
                          steady_ns_ - affair.flight->applied_ns < kEffectNs
                    : steady_ns_ < affair.wait_until_ns) {
    return;
  }
  affair.touched_ns = steady_ns_;
  Diagnosis of_processors;
  of_processors.cause = Cause::kCpu;
  of_processors.instance = diagnosis.instance;
  Finding finding;
  finding.diagnosis = diagnosis;
  finding.shortage = ShortageIn(seen, of_processors);
  Decide(row, finding, &affair, tick, Occasion::kMeanwhile);
}

void ControlLoop::Impl::SendReport(const ClassForecast& row, const Finding& finding,
                                   Recommendation report, Affair* affair, LoopTick* tick) {
  report.id = ++next_id_;
  affair->report_after_ns = steady_ns_ + std::max<std::int64_t>(0, advisor_.CooldownNs(report));
  Audit(internal::AuditDecision(now_ns_, *topology_, tick_, row, finding.diagnosis, &report,
                                options_.shadow ? "shadow" : "act", ""));
  if (options_.shadow) return;
  const absl::Status status = internal::Guarded(options_.act, report);
  Audit(internal::AuditAction(now_ns_, status.ok() ? "sent" : "not-sent", report,
                              status.ok() ? "" : status.ToString()));
  tick->sent += status.ok() ? 1 : 0;
}

// kBeside: it is on the culprit's node, and short of the same.
void ControlLoop::Impl::Decide(const ClassForecast& row, const Finding& finding, Affair* affair,
                               LoopTick* tick, Occasion occasion) {
  const Diagnosis& diagnosis = finding.diagnosis;
  const bool meanwhile = occasion == Occasion::kMeanwhile;
  affair->guessed = false;
  // More of what is in force, or the first of it.
  const Flight* const more = affair->flight ? &*affair->flight : nullptr;
  if (more == nullptr) {
    affair->open.reset();
    tick->decided += meanwhile ? 0 : 1;
  }
  if (steady_ns_ - affair->ended_ns > internal::kForgetNs) affair->hold_scale = 1;
  AdviceRequest request;
  request.diagnosis = &diagnosis;
  request.forecast = &row;
  request.topology = topology_;
  request.now_ns = now_ns_;
  request.failed_before = affair->failed;
  request.shortage = finding.shortage;
  request.in_force = more != nullptr ? &more->r : nullptr;
  request.beside = occasion == Occasion::kBeside;
  request.meanwhile = meanwhile;
  // A report alone helps nobody now: the next rule is asked for with it.
  const bool reported = diagnosis.cause == Cause::kApplication && affair->report_after_ns != 0;
  if (reported) ++request.failed_before;
  std::optional<Recommendation> advice = advisor_.Advise(request);
  if (advice && advice->action == Action::kReport) {
    if (steady_ns_ >= affair->report_after_ns) {
      SendReport(row, finding, *advice, affair, tick);
      if (!reported) ++request.failed_before;
      advice = advisor_.Advise(request);
    }
    if (advice && advice->action == Action::kReport) {
      affair->wait_until_ns = steady_ns_ + options_.read_ns;
      return;
    }
  }
  const auto audit = [&](std::string_view verdict, std::string_view why) {
    Audit(internal::AuditDecision(now_ns_, *topology_, tick_, row, diagnosis,
                                  advice ? &*advice : nullptr, verdict, why));
  };
  if (more != nullptr && (!advice || !(advice->to > kWorthRaising * more->r.to))) return;
  if (advice && !meanwhile && InForceBeside(diagnosis.culprit, advice->action)) advice.reset();
  if (!advice) {
    // Looked at again while the alarm lasts, with new readings.
    affair->wait_until_ns = steady_ns_ + options_.read_ns;
    if (meanwhile) return;  // most causes have no such rule
    audit("nothing", diagnosis.cause == Cause::kUndecided ? "the cause is not clear"
                                                          : "no rule has anything to offer");
    return;
  }
  advice->id = ++next_id_;
  if (more == nullptr && affair->ended_ns != 0 && steady_ns_ - affair->ended_ns < kReturnNs) {
    affair->hold_scale = std::min(affair->hold_scale * 2, kMaxHoldScale);
  }
  const std::int64_t hold = (advice->expires_ns - now_ns_) * affair->hold_scale;
  if (advice->expires_ns != 0) advice->expires_ns = now_ns_ + hold;

  Flight flight;
  flight.r = *advice;
  flight.because = BlamedBy(row);
  flight.sent_ns = steady_ns_;
  flight.settled_ns = steady_ns_ + advice->settle_ns;
  flight.ends_ns = steady_ns_ + hold;
  flight.before_us = finding.shortage.wait_us;
  flight.meanwhile = meanwhile;
  if (more != nullptr) {  // held against what was before all of it
    flight.before_us = std::max(flight.before_us, more->before_us);
    flight.relieved = more->relieved;
  }
  audit(options_.shadow ? "shadow" : "act", meanwhile         ? "until that works, processors"
                                            : more != nullptr ? "it is not enough"
                                            : occasion == Occasion::kBeside
                                                ? "its node is short of it"
                                                : "");
  if (!options_.shadow) {
    const absl::Status status = internal::Guarded(options_.act, *advice);
    if (!status.ok()) {
      Audit(internal::AuditAction(now_ns_, "not-sent", *advice, status.ToString()));
      if (more != nullptr) return;
      affair->failed = std::min<std::uint32_t>(affair->failed + 1, 100);
      affair->wait_until_ns = steady_ns_ + std::max<std::int64_t>(0, advisor_.CooldownNs(*advice));
      return;
    }
    Audit(internal::AuditAction(now_ns_, "sent", *advice, ""));
    ++tick->sent;
  }
  flight.answered = options_.shadow;
  advisor_.Issued(*advice);
  affair->flight = std::move(flight);
}

SEER_END_NAMESPACE
