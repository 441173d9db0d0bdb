// Who else suffers, and what is about to end: the others on a node whose resource ran short, and
// actions that are still needed when their time is over.
#include <algorithm>
#include <string>
#include <utility>

#include "advise/look.h"
#include "advise/loop_impl.h"
#include "seer/hwmon/attribution.h"

SEER_BEGIN_NAMESPACE
namespace {

using internal::Blamed;

// Of a node's resource: so saturated it is short for all on the node.
constexpr double kNodeIsShort = 0.5;
// Of a class's target: so long nobody waits for a link that is merely slow.
constexpr double kLongOfTarget = 0.02;
// Of a node's link: with so little of it in use nobody waits for the others on the node.
constexpr double kIdleLink = 0.1;
// Before an action's time is over.
constexpr std::int64_t kEndAheadNs = 1'000'000'000;
// Others are looked at for so many times as long as a culprit.
constexpr std::int64_t kAroundTimes = 2;
constexpr double kRoomyUse = 0.7;

bool IsShort(const ResourceReadings& node, Resource resource) {
  const HwSignal& saturation = node[resource].saturation;
  return saturation.usable() && saturation.value >= kNodeIsShort;
}

// The link is idle: where messages wait all the same it is the way to the node, which all on it
// share.
bool IsIdleLink(const ResourceReadings& node, Resource resource) {
  const HwSignal& use = node[resource].utilisation;
  return resource == Resource::kNetwork && use.usable() && use.value < kIdleLink;
}

}  // namespace

bool ControlLoop::Impl::Kept(InstanceId instance, HwReading* reading) const {
  if (!options_.recent) return false;
  bool there = false;
  (void)internal::Guarded([&] {
    const std::optional<HwReading> kept = options_.recent(*topology_, instance);
    if (kept && kept->interval_ns > 0) {
      *reading = *kept;
      there = true;
    }
    return absl::OkStatus();
  });
  return there;
}

void ControlLoop::Impl::LookAround(const ClassForecast& row, const Finding& finding,
                                   const Case& seen) {
  constexpr std::size_t kMostAtATime = 8;
  const Diagnosis& diagnosis = finding.diagnosis;
  if (options_.max_around == 0 || diagnosis.cause >= Cause::kApplication ||
      diagnosis.confidence < options_.clear_confidence || arounds_.size() >= kMostAtATime) {
    return;
  }
  const auto resource = static_cast<Resource>(diagnosis.cause);
  const bool waits_long =
      topology_->Has(row.request_class) &&
      finding.shortage.wait_us * 1000 >=
          kLongOfTarget *
              static_cast<double>(topology_->request_class(row.request_class).target.latency_ns);
  Around around;
  for (const InstanceEvidence& evidence : seen.seen) {
    const ResourceReadings& there = evidence.reading.node;
    if (!topology_->IsLive(evidence.instance) ||
        (!IsShort(there, resource) && !(waits_long && IsIdleLink(there, resource)))) {
      continue;
    }
    const NodeId node = topology_->instance(evidence.instance).node;
    const auto looked_at = [&](const Around& other) {
      return other.cause == diagnosis.cause &&
             std::find(other.nodes.begin(), other.nodes.end(), node) != other.nodes.end();
    };
    if (!node.valid() || looked_at(around) ||
        std::any_of(arounds_.begin(), arounds_.end(), looked_at)) {
      continue;
    }
    around.nodes.push_back(node);
    around.cause = diagnosis.cause;
  }
  if (around.nodes.empty()) return;
  around.row = row;
  around.seen.began_ns = steady_ns_;
  around.seen.with_kept = true;
  Choose(
      options_.max_around,
      [&](const Instance& instance) {
        if (instance.service == diagnosis.culprit ||
            std::find(around.nodes.begin(), around.nodes.end(), instance.node) ==
                around.nodes.end()) {
          return false;
        }
        const auto own = affairs_.find({instance.service.value(), false});
        return own == affairs_.end() || (!own->second.open && !own->second.flight);
      },
      &around.seen);
  if (!around.seen.seen.empty()) arounds_.push_back(std::move(around));
}

void ControlLoop::Impl::PursueAround(LoopTick* tick) {
  for (std::size_t i = 0; i < arounds_.size();) {
    if (DecideAround(&arounds_[i], tick)) {
      arounds_.erase(arounds_.begin() + static_cast<std::ptrdiff_t>(i));
    } else {
      ++i;
    }
  }
}

// Whether nothing more is to be found out there.
bool ControlLoop::Impl::DecideAround(Around* around, LoopTick* tick) {
  const bool late = steady_ns_ - around->seen.began_ns >= kAroundTimes * options_.read_ns;
  if (!ReadAll(&around->seen, tick) && !late) return false;
  const float sure =
      around->row.initiators.empty() ? 1.0f : around->row.initiators.front().probability;
  bool all_tell = true;
  std::vector<ServiceId> done;
  for (const InstanceEvidence& first : around->seen.seen) {
    const ServiceId service = topology_->IsLive(first.instance)
                                  ? topology_->instance(first.instance).service
                                  : ServiceId();
    if (!service.valid() || std::find(done.begin(), done.end(), service) != done.end()) continue;
    done.push_back(service);
    Case own_case;
    for (std::size_t i = 0; i < around->seen.seen.size(); ++i) {
      const InstanceId id = around->seen.seen[i].instance;
      if (!topology_->IsLive(id) || topology_->instance(id).service != service) continue;
      own_case.seen.push_back(around->seen.seen[i]);
      own_case.newest.push_back(around->seen.newest[i]);
    }
    ClassForecast row = around->row;
    row.initiators = {{service, sure}};
    Finding finding;
    finding.diagnosis = Diagnose(row, own_case.seen, options_.diagnose);
    all_tell = all_tell && finding.diagnosis.cause != Cause::kUndecided;
    if (finding.diagnosis.cause != around->cause ||
        finding.diagnosis.confidence < options_.clear_confidence || !HasRoom()) {
      continue;
    }
    Affair& own = affairs_[{service.value(), false}];
    if (own.open || own.flight || steady_ns_ < own.wait_until_ns) continue;
    own.touched_ns = steady_ns_;
    finding.shortage = ShortageIn(own_case, finding.diagnosis);
    Decide(row, finding, &own, tick, Occasion::kBeside);
    if (own.flight) Bridge(row, finding.diagnosis, own_case, tick);
  }
  return late || all_tell;
}

// ---- What is about to end.

void ControlLoop::Impl::LookAtEnd(const Blamed& blamed, Affair* affair, LoopTick* tick) {
  Flight& flight = *affair->flight;
  // What nobody said was applied is not prolonged.
  if (options_.shadow || flight.undoing || flight.ends || flight.applied_ns == 0 ||
      flight.r.expires_ns == 0 || steady_ns_ < flight.ends_ns - kEndAheadNs) {
    return;
  }
  if (!flight.at_end) flight.at_end = Case();
  if (!ReadService(blamed.service, &*flight.at_end, tick)) return;
  const Case seen = *std::move(flight.at_end);
  flight.at_end.reset();
  flight.ends = !IsNeeded(seen, flight.r);
  if (flight.ends) return;
  const std::int64_t hold = std::max<std::int64_t>(flight.ends_ns - flight.sent_ns, 0);
  Recommendation again = flight.r;  // the same one, for longer
  again.issued_ns = now_ns_;
  again.expires_ns = now_ns_ + hold;
  Audit(internal::AuditAction(now_ns_, "renewed", again, "it is still needed"));
  const absl::Status status = internal::Guarded(options_.act, again);
  if (!status.ok()) {
    flight.ends = true;
    Audit(internal::AuditAction(now_ns_, "not-sent", again, status.ToString()));
    return;
  }
  flight.r = again;
  flight.sent_ns = steady_ns_;
  flight.ends_ns = steady_ns_ + hold;
  flight.answered = false;
  advisor_.Issued(again);
}

// Whether the same would be short without it: it is short even so, or its node is, or more is in
// use than there was before.
bool ControlLoop::Impl::IsNeeded(const Case& seen, const Recommendation& r) const {
  if (r.cause == Cause::kApplication) return false;
  // Of processors it is these that count, whatever they were given for.
  const Resource resource = r.action != Action::kCpuLimit && r.cause < Cause::kApplication
                                ? static_cast<Resource>(r.cause)
                                : Resource::kCpu;
  for (std::size_t i = 0; i < seen.seen.size(); ++i) {
    const InstanceEvidence& evidence = seen.seen[i];
    if (evidence.reading.interval_ns <= 0) continue;
    if (IsShort(evidence.reading.node, resource)) return true;
    const double used = ShortageOf(evidence.reading, seen.newest[i], resource).used;
    if (r.action == Action::kCpuLimit && used * r.to > kRoomyUse * r.undo.value_or(r.to)) {
      return true;
    }
    if (evidence.baseline == nullptr) continue;
    const StallAttribution found =
        Attribute(evidence.reading, *evidence.baseline,
                  internal::RulesFor(*evidence.baseline, options_.diagnose.rules));
    for (const StallRise& rise : found.rises()) {
      if (rise.blamed && rise.resource == resource) return true;
    }
  }
  return false;
}

SEER_END_NAMESPACE
