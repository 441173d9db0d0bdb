#include "control_plane.h"

#include <memory>
#include <stdexcept>
#include <utility>

namespace foresee {

ControlPlane::ControlPlane(seer::TickPeriod period, const std::string& model) {
  seer::PredictorOptions options;
  options.merger.period = period;
  options.keep_ticks = 64;
  auto predictor =
      model.empty() ? seer::Predictor::Create(options) : seer::Predictor::Load(model, options);
  if (!predictor.ok()) throw std::runtime_error(std::string(predictor.status().message()));
  predictor_ = *std::move(predictor);
}

std::vector<News> ControlPlane::Poll() {
  const seer::Forecast forecast = predictor_->Predict();
  const std::shared_ptr<const seer::Topology> topology = predictor_->topology();
  std::vector<seer::ClusterTick> ticks;
  predictor_->TicksSince(last_, &ticks);

  std::vector<News> news;
  for (const seer::ClusterTick& tick : ticks) {
    last_ = tick.tick;
    News& of_tick = news.emplace_back();
    of_tick.end_ns = tick.period.EndNs(tick.tick);
    if (!tick.classes.empty()) of_tick.p99_ns = tick.classes[0].latency.Quantile(0.99);
    violations_.Observe(tick, *topology);
    for (const seer::Violation& violation : violations_.open()) {
      of_tick.violation_began = violation.start_ns != last_start_ns_;
      last_start_ns_ = violation.start_ns;
    }
  }
  if (news.empty()) return news;
  const bool alarm = forecast.alarm();
  if (alarm && !alarm_) {
    const seer::Initiator& first = forecast.classes[0].initiators.at(0);
    news.back().alarm_began = true;
    news.back().blamed =
        first.is_load() ? "load" : topology->services()[first.service.index()].name;
    news.back().share = static_cast<double>(first.probability);
  }
  alarm_ = alarm;
  return news;
}

}  // namespace foresee
