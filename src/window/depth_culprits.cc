#include "seer/window/depth_culprits.h"

#include <algorithm>
#include <cmath>

#include "window/suspects.h"

SEER_BEGIN_NAMESPACE
namespace {

constexpr std::int64_t kMaxKeptTicks = 1 << 16;
constexpr std::int64_t kTimeLimit = std::int64_t{1} << 62;
constexpr float kMostConfidence = 0.7f;
// One request more or less is nothing, however quiet a service usually is.
constexpr double kLeastSpread = 0.5;
// A mean over many ticks spreads less than one tick does: what stands out of it by so much less is
// named where nothing else is, with half the confidence.
constexpr double kFaint = 3;

struct Moments {
  double sum = 0, square = 0;
  std::uint64_t count = 0;
  void Add(double value) {
    sum += value;
    square += value * value;
    ++count;
  }
  double mean() const { return count == 0 ? 0 : sum / static_cast<double>(count); }
  double spread() const {
    if (count == 0) return 0;
    return std::sqrt(std::max(0.0, square / static_cast<double>(count) - mean() * mean()));
  }
};

}  // namespace

void DepthCulpritFinder::Observe(const ClusterTick& tick, const Topology& topology) {
  if (!tick.period.Contains(tick.tick)) return;
  if (rows_.empty() || tick.period != period_ || tick.tick <= last_) {
    period_ = tick.period;
    const std::int64_t kept =
        std::clamp<std::int64_t>(options_.keep_ns / period_.ns(), 1, kMaxKeptTicks);
    rows_.assign(static_cast<std::size_t>(kept), Row());
  }
  last_ = tick.tick;
  const auto size = static_cast<Tick>(rows_.size());
  Row& row = rows_[static_cast<std::size_t>((tick.tick % size + size) % size)];
  row.tick = tick.tick;
  row.used = true;
  SelfDepths(tick, topology, &table_);
  row.self = table_.self;
  row.seen = table_.self_seen;
  row.ended.clear();
  for (const ClassTick& each : tick.classes) {
    row.ended.push_back(
        static_cast<std::uint32_t>(std::min<std::uint64_t>(each.count, 0xffffffffu)));
  }
  row.entered = 0;
  row.entered_known = false;
  for (std::uint32_t e = 0; e < topology.edges().size(); ++e) {
    const Edge& edge = topology.edges()[e];
    if (edge.removed || edge.caller.valid()) continue;
    if (const auto made = tick.edges.made(EdgeId(e))) {
      row.entered += *made;
      row.entered_known = true;
    }
  }
}

const DepthCulpritFinder::Row* DepthCulpritFinder::Look(Tick tick) const {
  if (rows_.empty()) return nullptr;
  const auto size = static_cast<Tick>(rows_.size());
  const Row& row = rows_[static_cast<std::size_t>((tick % size + size) % size)];
  return row.used && row.tick == tick ? &row : nullptr;
}

// Requests before the violation over what is usual: those that came in, where that is known, else
// those of all classes that ended, which queues delay.
double DepthCulpritFinder::RateGrowth(const std::vector<std::pair<Tick, Tick>>& usual_ticks,
                                      const Violation& violation, double* spreads) const {
  const auto requests = [](const Row& row) {
    if (row.entered_known) return static_cast<double>(row.entered);
    double ended = 0;
    for (const std::uint32_t count : row.ended) ended += count;
    return ended;
  };
  Moments usual;
  for (const auto& [from, to] : usual_ticks) {
    for (Tick tick = from; tick < to; ++tick) {
      if (const Row* row = Look(tick)) usual.Add(requests(*row));
    }
  }
  double growth = 1;
  *spreads = 0;
  if (usual.sum <= 0) return growth;
  const Tick end = period_.TickAt(violation.start_ns - 1) + 1;
  for (const std::int64_t span_ns : {options_.onset_ns, options_.onset_ns / 3}) {
    Moments now;
    const Tick length = std::max<Tick>(span_ns / period_.ns(), 1);
    for (Tick tick = end - length; tick < end; ++tick) {
      if (const Row* row = Look(tick)) now.Add(requests(*row));
    }
    if (now.count == 0 || now.mean() <= growth * usual.mean()) continue;
    growth = now.mean() / usual.mean();
    const double expected = usual.mean() * static_cast<double>(now.count);
    *spreads = (now.sum - expected) / std::sqrt(std::max(expected, 1.0));
  }
  return growth;
}

Attribution DepthCulpritFinder::Find(const Violation& violation, const Topology& topology,
                                     absl::Span<const Violation> others) const {
  Attribution found;
  if (rows_.empty() || violation.start_ns < -kTimeLimit / 2 || violation.start_ns > kTimeLimit) {
    return found;
  }
  const auto kept = static_cast<Tick>(rows_.size());
  const Tick to = period_.TickAt(violation.start_ns + options_.after_ns) + 1;
  const Tick from = std::max(period_.TickAt(violation.start_ns - options_.onset_ns), to - kept);
  const std::vector<std::pair<Tick, Tick>> usual_ticks =
      internal::CalmTicks(from, to - kept, options_, period_, others);
  // Around the start, where the queue that broke the target stands.
  const Tick peak_from = std::max(period_.TickAt(violation.start_ns - options_.after_ns / 2), from);

  double rate_spreads = 0;
  found.request_rate_growth = RateGrowth(usual_ticks, violation, &rate_spreads);

  const ClassId id = violation.request_class;
  const ServiceId entry = topology.Has(id) ? topology.request_class(id).entry : ServiceId();
  const std::vector<std::uint32_t> depths = internal::CallDepths(topology, entry);
  std::vector<internal::Suspicion> suspicions(depths.size());
  std::vector<Moments> usual(depths.size()), now(depths.size());
  Moments ended;
  const auto add = [&](Tick tick, std::vector<Moments>* moments) -> const Row* {
    const Row* const row = Look(tick);
    if (row == nullptr) return nullptr;
    for (std::size_t s = 0; s < std::min(row->self.size(), depths.size()); ++s) {
      if (row->seen[s] != 0) (*moments)[s].Add(row->self[s]);
    }
    return row;
  };
  for (const auto& [calm_from, calm_to] : usual_ticks) {
    for (Tick tick = calm_from; tick < calm_to; ++tick) {
      const Row* const row = add(tick, &usual);
      if (row != nullptr && id.value() < row->ended.size()) ended.Add(row->ended[id.index()]);
    }
  }
  for (Tick tick = peak_from; tick < to; ++tick) add(tick, &now);
  double all_growth = 0;
  for (std::uint32_t s = 0; s < suspicions.size(); ++s) {
    if (usual[s].count < 3 || now[s].count == 0 || depths[s] == internal::kFarAway) continue;
    internal::Suspicion& at = suspicions[s];
    at.growth = now[s].mean() - usual[s].mean();
    if (at.growth > 0) all_growth += at.growth;
  }
  if (all_growth <= 0) return found;
  const double per_second = ended.mean() * 1e9 / static_cast<double>(period_.ns());
  const auto stands_out = [&](std::uint32_t s) {
    const double least = options_.min_spread * std::max(usual[s].spread(), kLeastSpread);
    return suspicions[s].growth >= std::max(least, options_.min_share * all_growth);
  };
  bool any = false;
  for (std::uint32_t s = 0; s < suspicions.size(); ++s) any = any || stands_out(s);
  const double faint = any ? 1 : kFaint;
  for (std::uint32_t s = 0; s < suspicions.size(); ++s) {
    internal::Suspicion& at = suspicions[s];
    if (at.growth <= 0) continue;
    const double spread = std::max(usual[s].spread(), kLeastSpread);
    at.spreads = at.growth / spread;
    at.abnormal =
        at.spreads * faint >= options_.min_spread && at.growth >= options_.min_share * all_growth;
    at.suspect.service = ServiceId(s);
    at.suspect.share = static_cast<float>(at.growth / all_growth);
    at.suspect.depth = depths[s];
    if (per_second > 0) {
      at.suspect.queue_growth_ns =
          static_cast<std::int64_t>(std::min(at.growth / per_second, 1e6) * 1e9);
    }
    if (!at.abnormal) continue;
    at.suspect.since_ns = period_.EndNs(to - 1);
    for (Tick tick = to - 1; tick >= from; --tick) {  // of its last rise
      const Row* const row = Look(tick);
      if (row == nullptr || s >= row->self.size() || row->seen[s] == 0) continue;
      if (row->self[s] <= usual[s].mean() + options_.min_spread / 2 * spread) {
        if (tick >= peak_from) continue;  // a moment's calm
        break;
      }
      at.suspect.since_ns = period_.EndNs(tick);
    }
  }
  const std::int64_t slack_ns = std::max<std::int64_t>(3 * period_.ns(), 300'000'000);
  const internal::Choice choice = internal::ChooseCulprit(
      topology, suspicions, slack_ns, [](std::uint32_t, std::uint32_t) { return true; },
      &found.suspects);
  if (found.request_rate_growth >= options_.load_growth && rate_spreads >= options_.min_spread) {
    found.initiation = Initiation::kLoad;
    const double over = found.request_rate_growth / options_.load_growth - 1;
    found.confidence = std::min(kMostConfidence, static_cast<float>(0.4 + over));
    return found;
  }
  if (choice.culprit == nullptr) return found;
  found.initiation = Initiation::kService;
  found.culprit = choice.culprit->suspect.service;
  const double sure = std::min(1.0, choice.culprit->spreads / (2 * options_.min_spread));
  found.confidence =
      kMostConfidence * static_cast<float>(sure * choice.explained * (any ? 1 : 0.5));
  return found;
}

SEER_END_NAMESPACE
