// Cases: who is to blame is read, the cause is found out, and what is to be done is decided.
#include <algorithm>
#include <string>
#include <utility>

#include "advise/loop_impl.h"
#include "seer/hwmon/attribution.h"

SEER_BEGIN_NAMESPACE
namespace {

using internal::Blamed;

constexpr std::int64_t kReturnNs = 60'000'000'000;  // an alarm so soon after an end came back
constexpr std::uint32_t kMaxHoldScale = 16;
// Of a service on the way of load: with so much of its processors in use it is the next one.
constexpr double kBusy = 0.6;
// After an action was applied, before its effect can be read: a period of the kernel's scheduler.
constexpr std::int64_t kEffectNs = 100'000'000;
constexpr double kBetter = 0.9;
// A case with too few requests to tell is read for so many times as long.
constexpr std::int64_t kPatience = 4;
// A raise by less is not worth it.
constexpr double kWorthRaising = 1.1;

Resource ResourceOf(Cause cause) {
  return cause < Cause::kApplication ? static_cast<Resource>(cause) : Resource::kCpu;
}

// Few requests come to a service that is seldom called: they tell nothing yet.
bool HasTooFew(const std::vector<InstanceEvidence>& seen, std::uint64_t least) {
  return std::any_of(seen.begin(), seen.end(), [&](const InstanceEvidence& evidence) {
    return evidence.reading.requests > 0 && evidence.reading.requests < least;
  });
}

}  // namespace

// False where there are too many already.
bool ControlLoop::Impl::OpenCase(Affair* affair) {
  if (affair->open) return true;
  std::size_t busy = 0;
  for (const auto& [blamed, other] : affairs_) {
    busy += other.open || (other.flight && other.flight->changes()) ? 1 : 0;
  }
  if (busy >= options_.max_in_flight) return false;
  affair->open = Case();
  affair->open->began_ns = steady_ns_;
  return true;
}

// Reads the instances of these services once more; whether `min_read_ns` of each are there.
bool ControlLoop::Impl::ReadAll(Case* open, std::size_t most, LoopTick* tick,
                                const std::vector<bool>& services) {
  if (!options_.monitor) return false;
  if (open->seen.empty()) {
    const absl::Span<const Instance> instances = topology_->instances();
    for (std::uint32_t i = 0; i < instances.size() && open->seen.size() < most; ++i) {
      const std::size_t service = instances[i].service.index();
      if (instances[i].removed || service >= services.size() || !services[service]) continue;
      open->seen.emplace_back();
      open->seen.back().instance = InstanceId(i);
    }
    open->newest.resize(open->seen.size());
  }
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
    if (fresh) {
      AddReading(reading, &evidence.reading);
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
  std::vector<bool> services(topology_->services().size(), false);
  if (culprit.index() < services.size()) services[culprit.index()] = true;
  const bool all_there = ReadAll(&*affair->open, options_.max_instances, tick, services);
  Finding finding;
  finding.diagnosis = Diagnose(row, affair->open->seen, options_.diagnose);
  const Diagnosis& diagnosis = finding.diagnosis;
  diagnoses_.push_back({row.request_class, diagnosis});
  const std::int64_t waited = steady_ns_ - affair->open->began_ns;
  const bool resource = diagnosis.cause < Cause::kApplication || diagnosis.cause == Cause::kLoad;
  const bool clear = all_there && resource && diagnosis.confidence >= options_.clear_confidence;
  // With nobody to read it there is nothing to wait for.
  const bool nothing_to_read = affair->open->seen.empty();
  if (!clear && !nothing_to_read && waited < options_.read_ns) return;
  if (diagnosis.cause == Cause::kUndecided && waited < kPatience * options_.read_ns &&
      HasTooFew(affair->open->seen, options_.diagnose.rules.min_requests)) {
    return;
  }
  if (!resource && (affair->flight || steady_ns_ < affair->report_after_ns)) {
    // It was reported already; a resource may still run short.
    affair->open.reset();
    return;
  }
  finding.shortage = ShortageIn(*affair->open, diagnosis);
  if (affair->flight) {
    Audit(internal::AuditAction(now_ns_, "ended", affair->flight->r, "another cause was found"));
    affair->flight.reset();
  }
  Decide(row, finding, affair, tick);
}

// An action is in force, and the alarm lasts: does a request wait less than before, and is more
// needed?
void ControlLoop::Impl::LookAfter(const ClassForecast& row, Affair* affair, LoopTick* tick) {
  Flight& flight = *affair->flight;
  const Blamed blamed = BlamedBy(row);
  if (options_.shadow || flight.undoing || flight.applied_ns == 0 || blamed.load ||
      steady_ns_ - flight.applied_ns < kEffectNs) {
    return;
  }
  if (!flight.after) {
    flight.after = Case();
    flight.after->began_ns = steady_ns_;
  }
  std::vector<bool> services(topology_->services().size(), false);
  if (blamed.service < services.size()) services[blamed.service] = true;
  if (!ReadAll(&*flight.after, options_.max_instances, tick, services)) return;
  Finding finding;
  finding.diagnosis = Diagnose(row, flight.after->seen, options_.diagnose);
  finding.shortage = ShortageIn(*flight.after, finding.diagnosis);
  Diagnosis as_before = finding.diagnosis;
  as_before.cause = flight.r.cause;
  flight.relieved = ShortageIn(*flight.after, as_before).wait_us <= kBetter * flight.before_us;
  flight.after.reset();
  if (finding.diagnosis.cause == flight.r.cause) Decide(row, finding, affair, tick);
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
  for (std::size_t i = 0; i < open.seen.size(); ++i) {
    const InstanceEvidence& evidence = open.seen[i];
    const Shortage shortage = ShortageOf(evidence.reading, open.newest[i], Resource::kCpu);
    bool is_short = shortage.used >= kBusy;
    if (evidence.baseline != nullptr) {
      const StallAttribution found =
          Attribute(evidence.reading, *evidence.baseline, options_.diagnose.rules);
      const bool rose = found.verdict == StallAttribution::Verdict::kResource ||
                        found.verdict == StallAttribution::Verdict::kLoad;
      risen += rose ? 1 : 0;
      by_network += rose && found.worst().resource == Resource::kNetwork ? 1 : 0;
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
  *network = by_network > 1 && 2 * by_network > risen;
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
    const bool all_there = ReadAll(&*affair->open, options_.max_on_path, tick, OnPath(entry));
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
  affair->wait_until_ns = steady_ns_ + options_.read_ns;
  if (findings.empty()) findings.push_back(load);
  for (Finding& finding : findings) {
    const ServiceId service = finding.diagnosis.culprit.valid() ? finding.diagnosis.culprit : entry;
    finding.diagnosis.cause = load.diagnosis.cause;
    finding.diagnosis.confidence = load.diagnosis.confidence;
    Affair& own = affairs_[{service.value(), false}];
    const bool in_force = own.flight && own.flight->changes();
    if (in_force ? options_.shadow || own.flight->undoing || own.flight->applied_ns == 0
                 : steady_ns_ < own.wait_until_ns) {
      continue;
    }
    if (own.flight && !in_force) {
      Audit(internal::AuditAction(now_ns_, "ended", own.flight->r, "another cause was found"));
      own.flight.reset();
    }
    own.touched_ns = steady_ns_;
    Decide(row, finding, &own, tick);
  }
}

// ---- What to do.

void ControlLoop::Impl::Decide(const ClassForecast& row, const Finding& finding, Affair* affair,
                               LoopTick* tick) {
  const Diagnosis& diagnosis = finding.diagnosis;
  // More of what is in force, or the first of it.
  const Flight* const more =
      affair->flight && affair->flight->changes() ? &*affair->flight : nullptr;
  if (more == nullptr) {
    affair->open.reset();
    ++tick->decided;
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
  std::optional<Recommendation> advice = advisor_.Advise(request);
  const auto audit = [&](std::string_view verdict, std::string_view why) {
    Audit(internal::AuditDecision(now_ns_, *topology_, tick_, row, diagnosis,
                                  advice ? &*advice : nullptr, verdict, why));
  };
  if (more != nullptr && (!advice || !(advice->to > kWorthRaising * more->r.to))) return;
  if (!advice) {
    // Looked at again while the alarm lasts, with new readings.
    affair->wait_until_ns = steady_ns_ + options_.read_ns;
    audit("nothing", diagnosis.cause == Cause::kUndecided ? "the cause is not clear"
                                                          : "no rule has anything to offer");
    return;
  }
  advice->id = ++next_id_;
  if (more == nullptr && advice->action != Action::kReport && affair->ended_ns != 0 &&
      steady_ns_ - affair->ended_ns < kReturnNs) {
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
  audit(options_.shadow ? "shadow" : "act", more != nullptr ? "it is not enough" : "");
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
  flight.answered = options_.shadow || advice->action == Action::kReport;
  advisor_.Issued(*advice);
  affair->flight = std::move(flight);
}

SEER_END_NAMESPACE
