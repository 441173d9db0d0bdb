#include "predict/training_views.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <utility>

#include "seer/core/channel.h"
#include "seer/core/internal/status_macros.h"
#include "seer/nn/counter_rng.h"

SEER_BEGIN_NAMESPACE
namespace internal {
namespace {

constexpr double kMissing = 0.3;  // probes of a view
// Of other targets: which part of it a class's tail usually takes, at least and at most; where that
// is not known, as many times the latency; requests and shares.
constexpr double kLeastTail = 0.1, kMostTail = 0.85;
constexpr double kLeastLatency = 0.6, kMostLatency = 1.6;
constexpr std::uint32_t kMinOver[] = {1, 2, 5, 10};
constexpr std::uint32_t kAllowedPpm[] = {10'000, 20'000, 50'000, 250'000};

// What is left of a tick.
void CopySeen(const ClusterTick& tick, const Topology& topology, const std::vector<bool>& hidden,
              ClusterTick* seen) {
  const std::size_t services = tick.services.size(), edges = tick.edges.size();
  seen->Reset(services, edges, tick.classes.size());
  seen->tick = tick.tick;
  seen->period = tick.period;
  seen->topology_version = tick.topology_version;
  seen->classes = tick.classes;
  seen->nodes_seen = tick.nodes_seen;
  seen->nodes_expected = tick.nodes_expected;
  const ServiceTable& from = tick.services;
  ServiceTable& to = seen->services;
  for (std::size_t s = 0; s < services; ++s) {
    if (s < hidden.size() && hidden[s]) continue;
    const ServiceId id(static_cast<std::uint32_t>(s));
    for (const Channel channel : kAllChannels) {
      if (const auto depth = from.depth(id, channel)) to.SetDepth(id, channel, *depth);
      if (const auto mean = from.mean(id, channel)) to.SetMean(id, channel, *mean);
      const auto arrivals = from.arrivals(id, channel), left = from.departures(id, channel);
      if (arrivals && left) to.SetFlow(id, channel, *arrivals, *left);
      if (const auto wait = from.mean_wait_us(id, channel)) to.SetMeanWait(id, channel, *wait);
    }
    if (const auto depth = from.outstanding(id)) to.SetOutstanding(id, *depth);
    if (const auto mean = from.outstanding_mean(id)) to.SetOutstandingMean(id, *mean);
  }
  for (std::size_t e = 0; e < edges && e < topology.edges().size(); ++e) {
    const ServiceId caller = topology.edges()[e].caller;
    if (caller.valid() && caller.index() < hidden.size() && hidden[caller.index()]) continue;
    const EdgeId id(static_cast<std::uint32_t>(e));
    if (const auto depth = tick.edges.depth(id)) seen->edges.SetDepth(id, *depth);
    if (const auto mean = tick.edges.mean(id)) seen->edges.SetMean(id, *mean);
    if (const auto made = tick.edges.made(id)) seen->edges.SetMade(id, *made);
  }
}

// A value of each class a second: what its p99 was in that second.
class Tails {
 public:
  absl::Status Read(const LabelledRun& run) {
    const absl::Status status = run.for_each_tick([this](const ClusterTick& tick) {
      if (classes_.size() < tick.classes.size()) classes_.resize(tick.classes.size());
      const std::int64_t second = tick.period.EndNs(tick.tick) / 1'000'000'000;
      if (second != second_) Next();
      second_ = second;
      for (std::size_t c = 0; c < tick.classes.size(); ++c) {
        const ClassTick& own = tick.classes[c];
        if (!own.seen || own.count == 0) continue;
        if (!own.latency.empty()) {
          classes_[c].now.Merge(own.latency);
        } else {
          classes_[c].p99_ns = std::max(classes_[c].p99_ns, own.p99_ns);
        }
      }
      return absl::OkStatus();
    });
    Next();
    return status;
  }
  // The median of the seconds; 0 where there is none.
  std::int64_t UsualNs(std::size_t c) const {
    return c < classes_.size() ? classes_[c].seconds.Quantile(0.5) : 0;
  }

 private:
  struct OfClass {
    LatencyHistogram now;
    std::int64_t p99_ns = 0;
    LatencyHistogram seconds;  // of their p99: however long the run is
  };
  void Next() {
    for (OfClass& own : classes_) {
      if (!own.now.empty()) own.p99_ns = own.now.Quantile(0.99);
      if (own.p99_ns > 0) own.seconds.Record(own.p99_ns);
      own.now.Clear();
      own.p99_ns = 0;
    }
  }
  std::int64_t second_ = -1;
  std::vector<OfClass> classes_;
};

// What is held against the violations of the run before: one that overlaps tells who initiated it.
void TakeInitiators(const std::vector<Violation>& known, std::vector<Violation>* violations) {
  for (Violation& violation : *violations) {
    for (const Violation& other : known) {
      if (other.request_class != violation.request_class || other.end_ns < violation.start_ns ||
          other.start_ns > violation.end_ns) {
        continue;
      }
      violation.initiation = other.initiation;
      violation.culprit = other.culprit;
      violation.confidence = other.confidence;
      break;
    }
  }
}

}  // namespace

LabelledRun WithoutProbes(const LabelledRun& run, double share, std::uint64_t seed) {
  std::vector<bool> hidden;
  const CounterRng random(seed, CounterRng::StreamOf("missing probes"));
  for (std::size_t s = 0; s < run.topology.services().size(); ++s) {
    hidden.push_back(static_cast<double>(random.Uniform(s)) < share);
  }
  LabelledRun seen = run;
  seen.for_each_tick = [whole = run.for_each_tick, topology = run.topology,
                        hidden = std::move(hidden)](const auto& handle) {
    ClusterTick some;
    return whole([&](const ClusterTick& tick) {
      CopySeen(tick, topology, hidden, &some);
      return handle(some);
    });
  };
  return seen;
}

absl::StatusOr<LabelledRun> WithOtherTargets(const LabelledRun& run, std::uint64_t seed) {
  LabelledRun other = run;
  const CounterRng random(seed, CounterRng::StreamOf("other targets"));
  const auto draw = [&](std::size_t c, std::size_t which) {
    return static_cast<double>(random.Uniform(4 * c + which));
  };
  Tails tails;
  SEER_RETURN_IF_ERROR(tails.Read(run));
  for (std::size_t c = 0; c < run.topology.classes().size(); ++c) {
    const ClassId id(static_cast<std::uint32_t>(c));
    if (!run.topology.IsLive(id)) continue;
    QosTarget target = run.topology.request_class(id).target;
    const auto usual = static_cast<double>(tails.UsualNs(c));
    const double latency = usual > 0
                               ? usual / (kLeastTail * std::pow(kMostTail / kLeastTail, draw(c, 0)))
                               : static_cast<double>(target.latency_ns) * kLeastLatency *
                                     std::pow(kMostLatency / kLeastLatency, draw(c, 0));
    constexpr double kMostNs = 3'600e9;
    target.latency_ns = static_cast<std::int64_t>(std::clamp(latency, 1.0, kMostNs));
    const auto pick = [&](const auto& list, std::size_t which) {
      const auto count = static_cast<double>(std::size(list));
      return list[static_cast<std::size_t>(std::min(draw(c, which) * count, count - 1))];
    };
    target.min_over = pick(kMinOver, 1);
    target.allowed_ppm = pick(kAllowedPpm, 2);
    SEER_RETURN_IF_ERROR(other.topology.SetTarget(id, target));
  }
  other.for_each_tick = [whole = run.for_each_tick, topology = other.topology](const auto& handle) {
    ClusterTick own;
    return whole([&](const ClusterTick& tick) {
      own = tick;
      for (std::size_t c = 0; c < own.classes.size() && c < topology.classes().size(); ++c) {
        own.classes[c].over_target = OverTarget(own.classes[c], topology.classes()[c].target, true);
      }
      return handle(own);
    });
  };
  ViolationDetector detector;
  SEER_RETURN_IF_ERROR(other.for_each_tick([&](const ClusterTick& tick) {
    detector.Observe(tick, other.topology);
    return absl::OkStatus();
  }));
  detector.Finish();
  other.violations = detector.TakeFinished();
  TakeInitiators(run.violations, &other.violations);
  return other;
}

absl::StatusOr<std::vector<TrainingView>> ViewsOf(const LabelledRun& run, const TreeInputs& inputs,
                                                  std::uint64_t seed) {
  std::vector<TrainingView> views;
  TreeInputs calls = inputs;
  calls.channels = ChannelMask();
  const bool fewer = inputs.edges && !(calls == inputs);
  if (fewer) views.push_back({run, calls});
  views.push_back({WithoutProbes(run, kMissing, seed), inputs});
  if (!inputs.latency) return views;
  SEER_ASSIGN_OR_RETURN(const LabelledRun other, WithOtherTargets(run, seed));
  views.push_back({other, inputs});
  if (fewer) views.push_back({other, calls});
  return views;
}

}  // namespace internal
SEER_END_NAMESPACE
