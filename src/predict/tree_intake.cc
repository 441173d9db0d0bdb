#include "predict/tree_intake.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "absl/strings/str_cat.h"
#include "predict/tick_order.h"

SEER_BEGIN_NAMESPACE
namespace internal {
namespace {

constexpr std::int64_t kBlameNs = 1'000'000'000;  // before a violation: who it will be shows
constexpr std::int64_t kAvoidedNs = 500'000'000;  // an action's violation would start so soon after

}  // namespace

TreeIntake::TreeIntake(const TreeIntakeOptions& options)
    : options_(options),
      features_(options.inputs),
      events_(&topology_, options.find_violations, options.avoided_weight) {}

void TreeIntake::UseTopology(const Topology& topology) {
  if (started_ && topology.origin().epoch != topology_.origin().epoch) {
    features_.Reset();
    events_.Clear();
    waiting_.clear();
    waiting_bytes_ = 0;
    last_ = 0;
  }
  topology_ = topology;
  started_ = true;
  features_.UseRows(topology_);
  std::vector<std::string> way;
  members_.Use(topology_, false);
  for (std::size_t c = 0; c < topology_.classes().size(); ++c) {
    const ClassId id(static_cast<std::uint32_t>(c));
    if (!topology_.IsLive(id)) continue;
    for (const std::uint32_t service : members_.Of(id)) {
      way.push_back(topology_.services()[service].name);
    }
  }
  std::sort(way.begin(), way.end());
  way.erase(std::unique(way.begin(), way.end()), way.end());
  on_the_way_since_ns_ = std::min(on_the_way_since_ns_, newest_ns_);  // a clock that was put back
  if (way == on_the_way_) return;
  if (!on_the_way_.empty()) ++version_;
  on_the_way_ = std::move(way);
  on_the_way_since_ns_ = newest_ns_;
}

absl::Status TreeIntake::Observe(const ClusterTick& tick, const Topology& topology) {
  if (tick.period != options_.period) {
    return absl::InvalidArgumentError(absl::StrCat("retrainer: a tick of ", tick.period.ns(),
                                                   " ns, where the model has ",
                                                   options_.period.ns(), ": use one period"));
  }
  if (!tick.period.Contains(tick.tick) || tick.services.size() > topology.services().size() ||
      tick.edges.size() > topology.edges().size() ||
      tick.classes.size() > topology.classes().size()) {
    return absl::InvalidArgumentError(
        "retrainer: the tick does not fit the topology: hand over the one that numbers it");
  }
  if (!IsTime(tick.period.EndNs(tick.tick))) {
    return absl::InvalidArgumentError(absl::StrCat(
        "retrainer: tick ", tick.tick, " ends before 1896 or after 2116: check the clock"));
  }
  const bool anew = !started_ || topology.origin().epoch != topology_.origin().epoch;
  if (!anew && tick.tick <= last_) {
    return absl::InvalidArgumentError(absl::StrCat(
        "retrainer: tick ", tick.tick, " is not later than ", last_, ": hand over ticks in order"));
  }
  newest_ns_ = tick.period.EndNs(tick.tick);
  if (anew || topology.version() != topology_.version()) UseTopology(topology);
  const double gap = anew ? 0 : static_cast<double>(tick.tick) - static_cast<double>(last_) - 1;
  last_ = tick.tick;
  events_.Observe(tick);
  features_.Observe(tick, topology_, gap);
  for (std::size_t c = 0; c < topology_.classes().size(); ++c) {
    const ClassId id(static_cast<std::uint32_t>(c));
    if (topology_.IsLive(id) && features_.known(id)) LookAt(id);
  }

  const std::int64_t due_ns = newest_ns_ - options_.label_delay_ns;
  while (!waiting_.empty() && waiting_.front().look.end_ns + options_.reach_ns <= due_ns) {
    Waiting& oldest = waiting_.front();
    waiting_bytes_ -= oldest.bytes();
    Label(&oldest);
    known_bytes_ += oldest.look.bytes();
    known_.push_back(std::move(oldest.look));
    waiting_.pop_front();
  }
  events_.JudgeAlarms(due_ns);
  events_.ForgetBefore(due_ns - options_.reach_ns - EventLog::kLead);
  Drop(options_.most_waiting);
  return absl::OkStatus();
}

void TreeIntake::LookAt(ClassId id) {
  Waiting& waiting = waiting_.emplace_back();
  TreeLook& look = waiting.look;
  look.end_ns = newest_ns_;
  look.version = version_;
  look.request_class = id.value();
  look.near = features_.near(id);
  features_.ClassRow(id, look.row.data());
  look.stirs = TreeFeatures::Stirs(look.row.data());
  if (look.stirs) {  // else nobody would be blamed by it
    const auto services = features_.candidates();
    waiting.candidates.assign(services.begin(), services.end());
    waiting.candidates.push_back(TreeFeatures::kLoad);
    look.candidates.resize(waiting.candidates.size() * TreeFeatures::kServiceColumns);
    float* row = look.candidates.data();
    for (const std::uint32_t service : waiting.candidates) {
      features_.ServiceRow(id, service, row);
      row += TreeFeatures::kServiceColumns;
    }
  }
  waiting_bytes_ += waiting.bytes();
}

void TreeIntake::Label(Waiting* waiting) const {
  TreeLook& look = waiting->look;
  const ClassId id(look.request_class);
  const Violation* next = nullptr;
  for (const Violation& violation : events_.violations()) {
    if (violation.request_class != id) continue;
    if (violation.start_ns > look.end_ns) {
      next = &violation;
      break;  // they stand by start
    }
    look.in_violation = look.in_violation || violation.open || violation.end_ns >= look.end_ns;
  }
  if (next != nullptr && next->start_ns - look.end_ns <= options_.reach_ns) {
    look.ahead_ns = next->start_ns - look.end_ns;
    std::uint32_t truth = TreeFeatures::kLoad;
    if (next->initiation == Initiation::kService) truth = next->culprit.value();
    const auto found = std::find(waiting->candidates.begin(), waiting->candidates.end(), truth);
    if (look.ahead_ns <= kBlameNs && next->initiation != Initiation::kUnknown &&
        next->confidence > 0 && found != waiting->candidates.end()) {
      look.blamed = static_cast<std::int32_t>(found - waiting->candidates.begin());
      look.blame_weight = std::clamp(next->confidence, 0.05f, 1.0f);
    }
  } else if (!look.in_violation) {
    // Where somebody acted nobody knows what would have come: not nothing, at any rate.
    const EventLog::Acted* const action =
        events_.ActionNear(look.end_ns - EventLog::kEffect, look.end_ns + EventLog::kLead);
    const auto service = action == nullptr ? std::nullopt : topology_.FindService(action->service);
    const auto members = members_.Of(id);
    if (service && std::find(members.begin(), members.end(), service->value()) != members.end()) {
      look.known = false;
      const bool warned = !events_.told_forecasts() ||
                          events_.AlarmNear(id, action->at_ns - EventLog::kLead, action->at_ns);
      if (action->at_ns > look.end_ns && warned) {
        look.ahead_ns = action->at_ns - look.end_ns + kAvoidedNs;
        look.weight = static_cast<float>(events_.AvoidedWeight());
      }
    }
  }
  if (look.blamed < 0) look.candidates = std::vector<float>();
}

void TreeIntake::Drop(std::size_t most) {
  while (waiting_bytes_ > most && !waiting_.empty()) {
    waiting_bytes_ -= waiting_.front().bytes();
    waiting_.pop_front();
    ++dropped_;
  }
  while (known_bytes_ > most && !known_.empty()) {
    known_bytes_ -= known_.front().bytes();
    known_.pop_front();
    ++dropped_;
  }
}

std::vector<TreeLook> TreeIntake::Take() {
  std::vector<TreeLook> taken(std::make_move_iterator(known_.begin()),
                              std::make_move_iterator(known_.end()));
  known_.clear();
  known_bytes_ = 0;
  return taken;
}

}  // namespace internal
SEER_END_NAMESPACE
