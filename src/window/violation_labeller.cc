#include "seer/window/violation_labeller.h"

#include <algorithm>
#include <utility>

#include "window/suspects.h"

SEER_BEGIN_NAMESPACE
namespace {

constexpr std::int64_t kMarginNs = 500'000'000;
constexpr std::uint64_t kFewSlow = 10;

}  // namespace

std::string_view LabelBasisName(LabelBasis basis) {
  switch (basis) {
    case LabelBasis::kTraces:
      return "traces";
    case LabelBasis::kDepths:
      return "depths";
    case LabelBasis::kNone:
      break;
  }
  return "nothing";
}

ViolationLabeller::ViolationLabeller(const ViolationLabellerOptions& options,
                                     const Topology* topology)
    : options_(options),
      topology_(topology),
      detector_(options.violations),
      traces_(topology, options.culprits),
      depths_(options.culprits),
      assembler_(options.traces, [this](const RequestTrace& trace) { traces_.Observe(trace); }) {}

void ViolationLabeller::Add(const SpanInterval& interval) {
  any_spans_ = true;
  assembler_.Add(interval);
}

void ViolationLabeller::Observe(const ClusterTick& tick) {
  depths_.Observe(tick, *topology_);
  detector_.Observe(tick, *topology_);
  for (const Violation& violation : detector_.open()) {
    const bool known = std::any_of(open_.begin(), open_.end(), [&](const Open& open) {
      return open.label.violation.request_class == violation.request_class &&
             open.label.violation.start_ns == violation.start_ns;
    });
    if (!known) open_.push_back({{violation, {}, LabelBasis::kNone}, false, false});
  }
  // Requests that began in the violation's first second (after_ns) have as long again to end, and
  // their traces to be given.
  const std::int64_t now_ns = tick.period.EndNs(tick.tick);
  for (Open& open : open_) {
    const std::int64_t ready_ns =
        open.label.violation.start_ns + 2 * options_.culprits.after_ns + options_.traces.linger_ns;
    if (!open.looked && now_ns >= ready_ns) Look(&open);
  }
  last_ns_ = now_ns;
  Collect(now_ns, false);
}

void ViolationLabeller::Look(Open* open) {
  open->looked = true;
  const LabelledViolation before = open->label;
  LabelledViolation& label = open->label;
  // Those before it; what lasts still, or is as old, is its own trouble.
  const std::int64_t start_ns = label.violation.start_ns;
  std::vector<Violation> others;
  const auto add = [&](const Violation& other) {
    if (other.start_ns < start_ns) others.push_back(other);
  };
  for (const LabelledViolation& other : recent_) add(other.violation);
  for (const Open& other : open_) add(other.label.violation);
  if (any_spans_) {
    label.found = traces_.Find(label.violation, others);
    label.basis = LabelBasis::kTraces;
  }
  // Without one slow request traces tell little.
  const bool sound =
      label.found.initiation != Initiation::kUnknown && label.found.slow_requests > 0;
  if (!sound) {
    Attribution by_depths = depths_.Find(label.violation, *topology_, others);
    if (by_depths.initiation != Initiation::kUnknown &&
        by_depths.confidence > label.found.confidence) {
      label.found = std::move(by_depths);
      label.basis = LabelBasis::kDepths;
    }
  }
  // A second look that sees nothing is no better than the first.
  if (label.found.initiation == Initiation::kUnknown &&
      before.found.initiation != Initiation::kUnknown) {
    label = before;
  }
  Inherit(&label);
}

// A queue that an earlier violation left, or that one of another class fills, has its initiator:
// the service for which those wait that stand here.
void ViolationLabeller::Inherit(LabelledViolation* label) const {
  Attribution& found = label->found;
  if (found.initiation != Initiation::kService || found.suspects.empty()) return;
  const Attribution::Suspect& here = found.suspects.front();
  if (here.service != found.culprit || here.queue_growth_ns < 3 * here.own_growth_ns) return;
  const LabelledViolation* from = nullptr;
  const auto consider = [&](const LabelledViolation& other) {
    const bool near =
        other.violation.start_ns < label->violation.start_ns &&
        other.violation.end_ns + options_.culprits.onset_ns > label->violation.start_ns;
    if (!near || other.found.initiation != Initiation::kService) return;
    if (other.found.culprit == found.culprit || other.found.confidence <= found.confidence / 2 ||
        !internal::Calls(*topology_, found.culprit, other.found.culprit)) {
      return;
    }
    // On one host both may be in trouble by themselves.
    if (internal::ShareHost(*topology_, found.culprit, other.found.culprit)) return;
    if (from == nullptr || other.found.confidence > from->found.confidence) from = &other;
  };
  for (const LabelledViolation& other : recent_) consider(other);
  for (const Open& other : open_) {
    if (other.looked && &other.label != label) consider(other.label);
  }
  if (from == nullptr) return;
  found.culprit = from->found.culprit;
  found.confidence = 0.8f * std::min(found.confidence, from->found.confidence);
}

void ViolationLabeller::Collect(std::int64_t now_ns, bool all) {
  for (const Violation& violation : detector_.TakeFinished()) {
    const auto open = std::find_if(open_.begin(), open_.end(), [&](const Open& each) {
      return each.label.violation.request_class == violation.request_class &&
             each.label.violation.start_ns == violation.start_ns;
    });
    if (open == open_.end()) {
      open_.push_back({{violation, {}, LabelBasis::kNone}, false, true});
    } else {
      open->label.violation = violation;
      open->over = true;
    }
  }
  const std::int64_t kept_ns = options_.culprits.keep_ns;
  for (std::size_t i = 0; i < open_.size();) {
    Open& open = open_[i];
    const std::int64_t end_ns = open.label.violation.end_ns;
    if (!open.over || (!all && now_ns < end_ns + options_.traces.linger_ns + kMarginNs)) {
      ++i;
      continue;
    }
    const bool remembered = now_ns - open.label.violation.start_ns < kept_ns / 2;
    // Few slow requests had ended then: more have by now.
    const bool few = open.label.found.initiation == Initiation::kUnknown ||
                     (any_spans_ && open.label.found.slow_requests < kFewSlow);
    if (!open.looked || (few && remembered)) Look(&open);
    Apply(open.label.found, &open.label.violation);
    recent_.push_back(open.label);
    finished_.push_back(std::move(open.label));
    open_.erase(open_.begin() + static_cast<std::ptrdiff_t>(i));
  }
  recent_.erase(std::remove_if(recent_.begin(), recent_.end(),
                               [&](const LabelledViolation& old) {
                                 return old.violation.end_ns < now_ns - kept_ns;
                               }),
                recent_.end());
}

void ViolationLabeller::Finish() {
  assembler_.Finish();
  detector_.Finish();
  Collect(last_ns_, true);
}

std::vector<LabelledViolation> ViolationLabeller::Take() {
  std::stable_sort(finished_.begin(), finished_.end(),
                   [](const LabelledViolation& a, const LabelledViolation& b) {
                     return a.violation.start_ns < b.violation.start_ns;
                   });
  return std::exchange(finished_, {});
}

SEER_END_NAMESPACE
