// A toy application for predict_quickstart: frontend -> cart -> store, requests as a fluid with
// random arrivals. Every half a minute one of the three gets slow for some seconds.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "seer/core/snapshot.h"
#include "seer/core/topology.h"

class Shop {
 public:
  static constexpr std::int64_t kMs = 1'000'000;
  static const std::vector<std::string>& Services() {
    static const std::vector<std::string> names = {"frontend", "cart", "store"};
    return names;
  }

  explicit Shop(std::uint64_t seed) : random_(seed), topology_(*seer::Topology::OfNode("node", 1)) {
    using namespace std::chrono_literals;
    const seer::NodeId here = *topology_.AddNode("node");
    seer::ServiceId caller;  // the world outside
    for (const std::string& name : Services()) {
      const seer::ServiceId service = *topology_.AddService(name, "shop");
      topology_.AddInstance(service, name + "-0", here).IgnoreError();
      topology_.AddEdge(caller, service).IgnoreError();
      caller = service;
    }
    const auto target = seer::QosTarget::Percentile(0.99, 100ms, 1s);
    topology_.AddRequestClass("shop", "buy", target, seer::ServiceId(0)).IgnoreError();
  }

  const seer::Topology& topology() const { return topology_; }
  // The one that is slow at the end of this tick, or was less than two seconds before; "" for none.
  std::string Culprit(seer::Tick tick) const {
    return tick < fault_end_ + 20 ? Services()[fault_] : "";
  }

  // The next 100 ms, and what the node's agent tells of them.
  seer::Snapshot Tick(seer::Tick tick) {
    if (tick % 300 == 200) {
      fault_ = random_() % tiers_.size();
      fault_start_ = tick;
      fault_end_ = tick + 30;
      fault_strength_ = std::uniform_real_distribution<>(1, 5)(random_);
    }
    seer::Snapshot snapshot;
    snapshot.origin = topology_.origin();
    snapshot.tick = tick;
    snapshot.instances.Reset(tiers_.size());
    snapshot.edges.Reset(tiers_.size());
    std::vector<double> came(tiers_.size()), left(tiers_.size());
    for (int ms = 0; ms < 100; ++ms) {
      double flow = std::poisson_distribution<>(0.4)(random_);  // 400 requests/s
      for (std::size_t i = 0; i < tiers_.size(); ++i) {
        came[i] += flow;
        tiers_[i].at_work += flow;
        flow = tiers_[i].at_work * std::min(1.0, 1 / (tiers_[i].ms * Slowness(i, tick)));
        flow = std::min(flow, tiers_[i].most_per_ms / Slowness(i, tick));
        tiers_[i].at_work -= flow;
        left[i] += flow;
      }
    }
    double below = 0;  // what stands at the services behind
    for (std::size_t i = tiers_.size(); i-- > 0;) {
      const auto count = [](double value) { return static_cast<std::uint32_t>(value + 0.5); };
      const seer::InstanceId instance(static_cast<std::uint32_t>(i));
      seer::ChannelSample sample;
      sample.counted = true;
      sample.arrivals = count(came[i]);
      sample.departures = count(left[i]);
      sample.depth = count(tiers_[i].at_work + below);
      snapshot.instances.Set(instance, seer::Channel::kRunning, sample);
      sample.depth = count(below);
      snapshot.instances.Set(instance, seer::Channel::kBlocked, sample);
      below += tiers_[i].at_work;
      snapshot.edges.Set(seer::EdgeId(instance.value()), {count(below), 0, count(came[i])});
    }
    seer::ClassSample buy;
    const double mean_ms = below / std::max(left.back() / 100, 0.01);  // Little's law
    for (int i = 0; i < std::lround(left.back()); ++i) {
      const double ms = mean_ms * (0.5 + std::exponential_distribution<>(4)(random_));
      buy.latency.Record(static_cast<std::int64_t>(ms * kMs));
      buy.over_target += ms > 100 ? 1 : 0;
      ++buy.count;
    }
    snapshot.classes = {buy};
    return snapshot;
  }

 private:
  struct Tier {
    double ms, most_per_ms, at_work;
  };
  double Slowness(std::size_t tier, seer::Tick tick) const {
    if (tier != fault_ || tick >= fault_end_) return 1;
    // It sets in over a second.
    return 1 + fault_strength_ * std::min(1.0, static_cast<double>(tick - fault_start_) / 10);
  }

  std::mt19937_64 random_;
  seer::Topology topology_;
  std::vector<Tier> tiers_ = {{3, 1.2, 0}, {6, 0.9, 0}, {8, 0.8, 0}};
  std::size_t fault_ = 0;
  seer::Tick fault_start_ = 0, fault_end_ = -100;
  double fault_strength_ = 0;
};
