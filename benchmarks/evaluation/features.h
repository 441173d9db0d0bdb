// What the trained rivals look at: for each service the same few numbers, so that one model with
// shared weights serves every service of every application.
//
// Depths as spreads above their usual value, how they changed over 0.1 to 0.8 s, how the service
// compares with the others, and how requests grow. What was not seen is 0 here, with a flag beside
// it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "absl/types/span.h"
#include "seer/core/topology.h"
#include "seer/window/cluster_tick.h"

namespace seer::evaluation {

class ServiceFeatures {
 public:
  static constexpr std::size_t kCount = 18;
  static std::string_view Name(std::size_t i);

  // Ticks in order, of one numbering.
  void Observe(const ClusterTick& tick, const Topology& topology);
  void Reset() { *this = ServiceFeatures(); }

  std::size_t services() const { return rows_.size(); }
  // False until the usual values are known, and where nothing is seen of the service.
  bool known(std::size_t service) const { return known_[service] != 0; }
  absl::Span<const float> row(std::size_t service) const { return rows_[service]; }

 private:
  // Usual values as a slow mean and mean deviation, outliers drawn in.
  struct Usual {
    double mean = 0, deviation = 0;
    std::uint32_t count = 0;
    double Z(double value) const;
    void Observe(double value);
  };
  static constexpr std::size_t kHistory = 9;  // of 100 ms: now and 0.8 s ago
  struct State {
    Usual outstanding, self, queued, rate;
    std::array<float, kHistory> self_z{}, outstanding_z{};  // the newest first
    double recent_rate = -1;
  };

  std::vector<State> states_;
  std::vector<std::array<float, kCount>> rows_;
  std::vector<std::uint8_t> known_;
  std::vector<double> arrivals_;
  std::vector<std::uint32_t> order_;
  SelfDepthTable depths_;
};

// The features of a tick, for several predictors that are shown the same ticks in turn: whoever
// comes first computes them.
class SharedFeatures {
 public:
  void Observe(const ClusterTick& tick, const Topology& topology) {
    if (known_ && tick_ == tick.tick && period_ == tick.period) return;
    features_.Observe(tick, topology);
    known_ = true;
    tick_ = tick.tick;
    period_ = tick.period;
  }
  // Each that shares calls it, before the same tick.
  void Reset() {
    features_.Reset();
    known_ = false;
  }
  const ServiceFeatures& features() const { return features_; }

 private:
  ServiceFeatures features_;
  bool known_ = false;
  Tick tick_ = 0;
  TickPeriod period_;
};

// A predictor that looks at ServiceFeatures. Before its first tick, or after a Reset().
class FeatureUser {
 public:
  virtual ~FeatureUser() = default;
  virtual void Share(std::shared_ptr<SharedFeatures> features) = 0;
};

}  // namespace seer::evaluation
