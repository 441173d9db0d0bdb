#include "benchmarks/evaluation/blind.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "benchmarks/cluster/sim/substream.h"
#include "seer/core/channel.h"

namespace seer::evaluation {

std::vector<bool> Blind::Missing(const Topology& topology) const {
  std::vector<std::uint64_t> keys(topology.services().size());
  for (std::size_t s = 0; s < keys.size(); ++s) {
    keys[s] = cluster::KeyOf(topology.services()[s].name);
  }
  for (const Instance& instance : topology.instances()) {
    if (instance.removed || !instance.node.valid()) continue;
    std::uint64_t& key = keys[instance.service.index()];
    key = cluster::Sub(key, cluster::KeyOf(topology.node(instance.node).name));
  }
  std::vector<bool> missing;
  missing.reserve(keys.size());
  for (const std::uint64_t key : keys) {
    const std::uint64_t bits = cluster::Sub(key, cluster::KeyOf("probe"));
    missing.push_back(static_cast<double>(bits >> 11) * 0x1p-53 < share_);
  }
  return missing;
}

const ClusterTick& Blind::Of(const ClusterTick& tick, const Topology& topology) {
  if (!known_ || epoch_ != topology.origin().epoch || version_ != topology.version()) {
    missing_ = Missing(topology);
    epoch_ = topology.origin().epoch;
    version_ = topology.version();
    known_ = true;
  }
  const auto blind = [&](std::size_t service) {
    return service < missing_.size() && missing_[service];
  };
  const std::size_t services = tick.services.size();
  seen_.Reset(services, tick.edges.size(), tick.classes.size());
  seen_.tick = tick.tick;
  seen_.period = tick.period;
  seen_.topology_version = tick.topology_version;
  seen_.classes = tick.classes;
  seen_.nodes_seen = tick.nodes_seen;
  seen_.nodes_expected = tick.nodes_expected;
  for (std::size_t s = 0; s < services; ++s) {
    const ServiceId id(static_cast<std::uint32_t>(s));
    if (blind(s)) continue;
    for (const Channel channel : kAllChannels) {
      if (const auto depth = tick.services.depth(id, channel)) {
        seen_.services.SetDepth(id, channel, *depth);
      }
      if (const auto mean = tick.services.mean(id, channel)) {
        seen_.services.SetMean(id, channel, *mean);
      }
      const auto arrivals = tick.services.arrivals(id, channel);
      const auto departures = tick.services.departures(id, channel);
      if (arrivals && departures) seen_.services.SetFlow(id, channel, *arrivals, *departures);
      if (const auto wait = tick.services.mean_wait_us(id, channel)) {
        seen_.services.SetMeanWait(id, channel, *wait);
      }
    }
    if (const auto depth = tick.services.outstanding(id)) {
      seen_.services.SetOutstanding(id, *depth);
    }
    if (const auto mean = tick.services.outstanding_mean(id)) {
      seen_.services.SetOutstandingMean(id, *mean);
    }
  }
  for (std::size_t e = 0; e < tick.edges.size(); ++e) {
    const EdgeId id(static_cast<std::uint32_t>(e));
    const ServiceId caller = topology.edges()[e].caller;
    if (caller.valid() && blind(caller.index())) continue;
    if (const auto depth = tick.edges.depth(id)) seen_.edges.SetDepth(id, *depth);
    if (const auto mean = tick.edges.mean(id)) seen_.edges.SetMean(id, *mean);
    if (const auto made = tick.edges.made(id)) seen_.edges.SetMade(id, *made);
  }
  return seen_;
}

namespace {

class BlindPredictor final : public TickPredictor {
 public:
  BlindPredictor(std::string name, std::unique_ptr<TickPredictor> predictor, double share)
      : name_(std::move(name)), predictor_(std::move(predictor)), blind_(share) {}

  std::string_view name() const override { return name_; }
  absl::Status Observe(const ClusterTick& tick, const Topology& topology,
                       Forecast* forecast) override {
    if (tick.edges.size() > topology.edges().size()) {
      return absl::InvalidArgumentError("tick: hand over the topology that numbers it");
    }
    return predictor_->Observe(blind_.Of(tick, topology), topology, forecast);
  }
  void Reset() override {
    predictor_->Reset();
    blind_.Forget();
  }

 private:
  const std::string name_;
  const std::unique_ptr<TickPredictor> predictor_;
  Blind blind_;
};

}  // namespace

std::unique_ptr<TickPredictor> MakeBlind(std::string name, std::unique_ptr<TickPredictor> predictor,
                                         double share) {
  return std::make_unique<BlindPredictor>(std::move(name), std::move(predictor), share);
}

}  // namespace seer::evaluation
