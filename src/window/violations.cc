#include "seer/window/violations.h"

#include <algorithm>
#include <utility>

SEER_BEGIN_NAMESPACE
namespace {

// Windows are at most an hour, ticks at least 10 ms: 360,000 ticks.
std::size_t WindowTicks(const QosTarget& target, TickPeriod period) {
  const std::int64_t window_ns = std::int64_t{target.window_ms} * 1'000'000;
  return static_cast<std::size_t>(
      std::max<std::int64_t>(1, (window_ns + period.ns() - 1) / period.ns()));
}

// The part of a bucket's latencies that is above the target, taken as evenly spread.
std::uint64_t OverInHistogram(const LatencyHistogram& latency, std::int64_t target_ns) {
  double over = 0;
  for (const LatencyHistogram::Bucket& bucket : latency.buckets()) {
    const auto lower = static_cast<double>(LatencyHistogram::LowerNs(bucket.index));
    const auto upper = static_cast<double>(LatencyHistogram::LowerNs(bucket.index + 1));
    const auto target = static_cast<double>(target_ns);
    const double share = upper <= target  ? 0
                         : lower > target ? 1
                                          : (upper - target) / std::max(upper - lower, 1.0);
    over += std::min(share, 1.0) * bucket.count;
  }
  return static_cast<std::uint64_t>(over + 0.5);
}

}  // namespace

std::string_view InitiationName(Initiation initiation) {
  switch (initiation) {
    case Initiation::kService:
      return "service";
    case Initiation::kLoad:
      return "load";
    case Initiation::kUnknown:
      break;
  }
  return "unknown";
}

std::uint64_t OverTarget(const ClassTick& tick, const QosTarget& target, bool recount) {
  if (!recount) return std::min(tick.over_target, tick.count);
  if (!tick.latency.empty()) {
    return std::min(OverInHistogram(tick.latency, target.latency_ns), tick.count);
  }
  // A quantile above the target: at least that share of the requests, rounded up, is too.
  if (tick.p50_ns > target.latency_ns) return tick.count - tick.count / 2;
  if (tick.p99_ns > target.latency_ns) return (tick.count + 99) / 100;
  if (tick.p50_ns == 0 && tick.p99_ns == 0) return std::min(tick.over_target, tick.count);
  return 0;
}

void ViolationDetector::Observe(const ClusterTick& tick, const Topology& topology) {
  if (started_ && tick.period != period_) {
    Finish();
    started_ = false;
    classes_.clear();
  }
  if (!tick.period.Contains(tick.tick) || (started_ && tick.tick <= last_)) {
    ++ignored_ticks_;
    return;
  }
  if (started_ && tick.tick - last_ > 1) {
    // What was not given was not seen. After so many ticks nobody remembers anything.
    std::int64_t longest = options_.quiet_ns / tick.period.ns() + 2;
    for (const ClassState& state : classes_) {
      longest = std::max(longest, static_cast<std::int64_t>(state.ring.size()));
    }
    if (tick.tick - last_ > longest) {
      while (!open_.empty()) Close(open_.size() - 1, false);
      for (ClassState& state : classes_) state = ClassState();
    } else {
      for (Tick missed = last_ + 1; missed < tick.tick; ++missed) Step(missed, nullptr, topology);
    }
  }
  period_ = tick.period;
  started_ = true;
  last_ = tick.tick;
  Step(tick.tick, &tick, topology);
}

void ViolationDetector::Step(Tick tick, const ClusterTick* values, const Topology& topology) {
  const auto classes = topology.classes();
  if (classes_.size() < classes.size()) classes_.resize(classes.size());
  for (std::size_t i = 0; i < classes_.size(); ++i) {
    const ClassTick* row = nullptr;
    if (values != nullptr && i < values->classes.size() && values->classes[i].seen) {
      row = &values->classes[i];
    }
    const bool removed = i >= classes.size() || classes[i].removed;
    if (removed && classes_[i].open < 0 && !classes_[i].ring.empty()) classes_[i] = ClassState();
    StepClass(ClassId(static_cast<std::uint32_t>(i)), tick, removed ? nullptr : row,
              i < classes.size() ? classes[i].target : QosTarget());
  }
}

void ViolationDetector::StepClass(ClassId id, Tick tick, const ClassTick* row,
                                  const QosTarget& target) {
  ClassState& state = classes_[id.index()];
  // Whoever declares classes by the thousand, with windows of an hour, gets no memory for them
  // before somebody sees their requests.
  if (state.ring.empty() && row == nullptr) return;
  const std::size_t ticks = WindowTicks(target, period_);
  if (state.ring.size() != ticks + 1) {
    state.ring.assign(ticks + 1, {});  // a new target is judged by what comes from now on
    state.over = state.total = 0;
  }
  // Behind the window's ticks: what a window held when no request was late yet.
  Row& usual = state.ring.back();
  const auto size = static_cast<Tick>(ticks);
  Row& oldest = state.ring[static_cast<std::size_t>((tick % size + size) % size)];
  state.over -= oldest.over;
  state.total -= oldest.total;
  oldest = {};
  if (row != nullptr) oldest = {OverTarget(*row, target, options_.recount), row->count};
  state.over += oldest.over;
  state.total += oldest.total;

  std::uint64_t waiting = 0;  // requests that are open and over the target already
  if (row != nullptr && row->oldest_open_ns > target.latency_ns) {
    waiting = 1;
    // Of those behind the oldest nothing is known but that none of them was answered, where nobody
    // was for a whole window: then as many wait as usually come in that time.
    if (state.total == 0 && usual.total > 0 && usual.total >= target.min_over) {
      const double late_ms = static_cast<double>(row->oldest_open_ns - target.latency_ns) / 1e6;
      const double come = static_cast<double>(usual.total) * late_ms / target.window_ms;
      waiting = std::max<std::uint64_t>(1, static_cast<std::uint64_t>(std::min(come, 1e9)));
    }
  } else if (row != nullptr && state.total > 0) {
    usual.total = state.total;
  }
  const std::uint64_t over = state.over + waiting;
  const std::uint64_t total = state.total + waiting;
  state.breaching = row != nullptr && target.BreachedBy(over, total);
  const std::int64_t end_ns = period_.EndNs(tick);
  if (state.open >= 0) {
    Violation& violation = open_[static_cast<std::size_t>(state.open)];
    state.missed = state.missed || row == nullptr;
    if (state.breaching) {
      violation.end_ns = end_ns;
      violation.gap = violation.gap || state.missed;
      state.missed = false;
    } else if (end_ns - violation.end_ns >= options_.quiet_ns) {
      Close(static_cast<std::size_t>(state.open), false);
      return;
    }
  } else if (state.breaching) {
    Violation violation;
    violation.request_class = id;
    violation.start_ns = violation.end_ns = end_ns;
    violation.open = true;
    state.missed = false;
    state.open = static_cast<std::int32_t>(open_.size());
    open_.push_back(violation);
  }
  if (!state.breaching) return;
  Violation& violation = open_[static_cast<std::size_t>(state.open)];
  // a / b > c / d without division; counts of a window are far below 2^32.
  if (violation.worst_total == 0 || over * violation.worst_total > violation.worst_over * total) {
    violation.worst_over = over;
    violation.worst_total = total;
  }
}

void ViolationDetector::Close(std::size_t index, bool still_open) {
  Violation violation = open_[index];
  violation.open = still_open;
  finished_.push_back(violation);
  classes_[violation.request_class.index()].open = -1;
  open_.erase(open_.begin() + static_cast<std::ptrdiff_t>(index));
  for (std::size_t i = index; i < open_.size(); ++i) {
    classes_[open_[i].request_class.index()].open = static_cast<std::int32_t>(i);
  }
}

void ViolationDetector::Finish() {
  while (!open_.empty()) Close(open_.size() - 1, true);
}

std::vector<Violation> ViolationDetector::TakeFinished() {
  std::stable_sort(finished_.begin(), finished_.end(),
                   [](const Violation& a, const Violation& b) { return a.start_ns < b.start_ns; });
  return std::exchange(finished_, {});
}

bool ViolationDetector::breaching(ClassId request_class) const {
  return request_class.value() < classes_.size() && classes_[request_class.index()].breaching;
}

SEER_END_NAMESPACE
