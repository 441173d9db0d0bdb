#include "benchmarks/evaluation/features.h"

#include <algorithm>
#include <cmath>

namespace seer::evaluation {
namespace {

constexpr double kMemory = 600;        // ticks that are usual
constexpr std::uint32_t kWarmUp = 50;  // ticks
constexpr double kLargest = 1e6;

// Spreads grow without end while a queue does; their size matters more than their number.
float Squeezed(double z) {
  return static_cast<float>(std::copysign(std::log1p(std::min(std::abs(z), kLargest)), z));
}

enum Feature : std::size_t {
  kSelfZ,
  kOutstandingZ,
  kQueuedZ,
  kSelfDepth,
  kSelfRise1,
  kSelfRise2,
  kSelfRise4,
  kSelfRise8,
  kOutstandingRise1,
  kOutstandingRise2,
  kOutstandingRise4,
  kOutstandingRise8,
  kRankOfSelf,
  kLargestOther,
  kRateZ,
  kRateGrowth,
  kSelfSeen,
  kQueuedSeen,
};
constexpr std::string_view kNames[ServiceFeatures::kCount] = {"self_z",
                                                              "outstanding_z",
                                                              "queued_z",
                                                              "self_depth",
                                                              "self_rise_1",
                                                              "self_rise_2",
                                                              "self_rise_4",
                                                              "self_rise_8",
                                                              "outstanding_rise_1",
                                                              "outstanding_rise_2",
                                                              "outstanding_rise_4",
                                                              "outstanding_rise_8",
                                                              "rank_of_self",
                                                              "largest_other",
                                                              "rate_z",
                                                              "rate_growth",
                                                              "self_seen",
                                                              "queued_seen"};

}  // namespace

std::string_view ServiceFeatures::Name(std::size_t i) { return kNames[i]; }

double ServiceFeatures::Usual::Z(double value) const {
  const double spread = std::max(1.2533 * deviation, std::sqrt(std::max(std::abs(mean), 1.0)));
  return (value - mean) / spread;
}

void ServiceFeatures::Usual::Observe(double value) {
  const double weight = std::max(1 / kMemory, 1.0 / (count + 1.0));
  if (count >= 8) {
    const double spread = std::max(1.2533 * deviation, std::sqrt(std::max(std::abs(mean), 1.0)));
    value = std::clamp(value, mean - 4 * spread, mean + 4 * spread);
  }
  if (count > 0) deviation += weight * (std::abs(value - mean) - deviation);
  mean += weight * (value - mean);
  ++count;
}

void ServiceFeatures::Observe(const ClusterTick& tick, const Topology& topology) {
  const std::size_t services = topology.services().size();
  states_.resize(services);
  rows_.resize(services);
  known_.assign(services, 0);
  SelfDepths(tick, topology, &depths_);
  arrivals_.assign(services, -1.0);
  const auto edges = topology.edges();
  for (std::size_t i = 0; i < edges.size(); ++i) {
    if (edges[i].removed) continue;
    const auto made = tick.edges.made(EdgeId(static_cast<std::uint32_t>(i)));
    if (made)
      arrivals_[edges[i].callee.index()] =
          std::max(0.0, arrivals_[edges[i].callee.index()]) + *made;
  }

  for (std::size_t s = 0; s < services; ++s) {
    State& state = states_[s];
    std::array<float, kCount>& row = rows_[s];
    row.fill(0);
    const ServiceId id(static_cast<std::uint32_t>(s));
    const bool self_seen = depths_.self_seen[s] != 0;
    const bool outstanding_seen = depths_.outstanding_seen[s] != 0;
    auto queued = tick.services.depth(id, Channel::kQueued);
    if (!queued) queued = tick.services.mean(id, Channel::kQueued);
    std::copy_backward(state.self_z.begin(), state.self_z.end() - 1, state.self_z.end());
    std::copy_backward(state.outstanding_z.begin(), state.outstanding_z.end() - 1,
                       state.outstanding_z.end());
    // What is missing stays as it was: no rise, no fall.
    if (self_seen) state.self_z[0] = Squeezed(state.self.Z(depths_.self[s]));
    if (outstanding_seen) {
      state.outstanding_z[0] = Squeezed(state.outstanding.Z(depths_.outstanding[s]));
    }
    row[kSelfZ] = self_seen ? state.self_z[0] : 0;
    row[kOutstandingZ] = outstanding_seen ? state.outstanding_z[0] : 0;
    row[kQueuedZ] = queued ? Squeezed(state.queued.Z(*queued)) : 0;
    row[kSelfDepth] = self_seen ? Squeezed(depths_.self[s]) : 0;
    constexpr std::size_t kBack[4] = {1, 2, 4, 8};
    for (std::size_t k = 0; k < 4; ++k) {
      row[kSelfRise1 + k] = state.self_z[0] - state.self_z[kBack[k]];
      row[kOutstandingRise1 + k] = state.outstanding_z[0] - state.outstanding_z[kBack[k]];
    }
    row[kSelfSeen] = self_seen;
    row[kQueuedSeen] = queued.has_value();
    if (arrivals_[s] >= 0) {
      const double seconds = static_cast<double>(tick.period.ns()) * 1e-9;
      const double rate = arrivals_[s] / seconds;
      const double weight = std::min(1.0, seconds / 0.5);
      state.recent_rate =
          state.recent_rate < 0 ? rate : state.recent_rate + weight * (rate - state.recent_rate);
      row[kRateZ] = Squeezed(state.rate.Z(state.recent_rate));
      row[kRateGrowth] =
          Squeezed((state.recent_rate - state.rate.mean) / std::max(1.0, state.rate.mean));
      state.rate.Observe(rate);
    }
    const std::uint32_t warm =
        std::max(state.self.count, std::max(state.outstanding.count, state.queued.count));
    known_[s] = topology.IsLive(id) && warm >= kWarmUp && (self_seen || outstanding_seen || queued);
    if (self_seen) state.self.Observe(depths_.self[s]);
    if (outstanding_seen) state.outstanding.Observe(depths_.outstanding[s]);
    if (queued) state.queued.Observe(*queued);
  }

  // Among the services that are known: the place by self depth, and the largest of the others.
  order_.clear();
  for (std::uint32_t s = 0; s < services; ++s) {
    if (known_[s] != 0) order_.push_back(s);
  }
  std::sort(order_.begin(), order_.end(), [&](std::uint32_t a, std::uint32_t b) {
    return rows_[a][kSelfZ] > rows_[b][kSelfZ] || (rows_[a][kSelfZ] == rows_[b][kSelfZ] && a < b);
  });
  for (std::size_t i = 0; i < order_.size(); ++i) {
    std::array<float, kCount>& row = rows_[order_[i]];
    row[kRankOfSelf] = static_cast<float>(1.0 / static_cast<double>(i + 1));
    row[kLargestOther] = order_.size() < 2 ? 0 : rows_[order_[i == 0 ? 1 : 0]][kSelfZ];
  }
}

}  // namespace seer::evaluation
