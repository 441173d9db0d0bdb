// The simplest warning that a violation is near: how many of the class's own requests are late
// already. Depths are not looked at, and nobody is named.
//
//   auto rival = MakeLateRival("late-requests", horizon_ms, threshold);
//
// Its score is the number of requests over the target in the trailing window, of as many as make a
// violation; the probability r^4 / (1 + r^4), with r = score / threshold, as the untrained rivals
// have it (seer/predict/rivals.h). Whoever claims to foresee violations by looking at queues has to
// beat it.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "seer/predict/alarm.h"
#include "seer/predict/tick_predictor.h"

namespace seer::evaluation {

class LateRival final : public TickPredictor {
 public:
  LateRival(std::string name, std::int64_t horizon_ms, double threshold, const AlarmOptions& alarm)
      : name_(std::move(name)), horizon_ms_(horizon_ms), threshold_(threshold), alarm_(alarm) {}

  std::string_view name() const override { return name_; }
  void Reset() override {
    classes_.clear();
    started_ = false;
  }

  absl::Status Observe(const ClusterTick& tick, const Topology& topology,
                       Forecast* forecast) override {
    if (tick.classes.size() > topology.classes().size()) {
      return absl::InvalidArgumentError("tick: hand over the topology that numbers it");
    }
    const bool same = started_ && period_ == tick.period && epoch_ == topology.origin().epoch;
    if (same && tick.tick <= last_) {
      return absl::InvalidArgumentError("tick.tick: hand over ticks in order");
    }
    if (!same) Reset();
    started_ = true;
    last_ = tick.tick;
    period_ = tick.period;
    epoch_ = topology.origin().epoch;
    classes_.resize(topology.classes().size());
    forecast->tick = tick.tick;
    forecast->period = tick.period;
    forecast->classes.clear();
    for (std::size_t i = 0; i < tick.classes.size(); ++i) {
      const ClassId id(static_cast<std::uint32_t>(i));
      if (!topology.IsLive(id) || !tick.classes[i].seen) continue;
      const double ratio = ScoreOf(tick, topology.request_class(id).target, i) / threshold_;
      const double fourth = std::pow(ratio, 4);
      ClassForecast row;
      row.request_class = id;
      row.horizons = {{horizon_ms_ * 1'000'000, static_cast<float>(fourth / (1 + fourth))}};
      row.alarm = classes_[i].latch.Observe(ratio, tick.period.EndNs(tick.tick), alarm_);
      forecast->classes.push_back(std::move(row));
    }
    return absl::OkStatus();
  }

 private:
  struct Entry {
    Tick tick;
    std::uint64_t over, count;
  };
  struct ClassState {
    std::deque<Entry> window;
    AlarmLatch latch;
  };

  double ScoreOf(const ClusterTick& tick, const QosTarget& target, std::size_t request_class) {
    const ClassTick& now = tick.classes[request_class];
    std::deque<Entry>& window = classes_[request_class].window;
    const std::int64_t ticks =
        std::max<std::int64_t>(1, std::int64_t{target.window_ms} * 1'000'000 / tick.period.ns());
    while (!window.empty() && tick.tick - window.front().tick >= ticks) window.pop_front();
    window.push_back({tick.tick, now.over_target, now.count});
    double over = now.oldest_open_ns > target.latency_ns ? 1 : 0;
    double count = over;
    for (const Entry& entry : window) {
      over += static_cast<double>(entry.over);
      count += static_cast<double>(entry.count);
    }
    const double allowed = std::floor(count * target.allowed_ppm * 1e-6) + 1;
    return over / std::max<double>(allowed, target.min_over);
  }

  const std::string name_;
  const std::int64_t horizon_ms_;
  const double threshold_;
  const AlarmOptions alarm_;
  std::vector<ClassState> classes_;
  bool started_ = false;
  Tick last_ = 0;
  TickPeriod period_;
  std::uint64_t epoch_ = 0;
};

inline std::unique_ptr<TickPredictor> MakeLateRival(std::string name, std::int64_t horizon_ms,
                                                    double threshold,
                                                    const AlarmOptions& alarm = {}) {
  return std::make_unique<LateRival>(std::move(name), horizon_ms, threshold, alarm);
}

}  // namespace seer::evaluation
