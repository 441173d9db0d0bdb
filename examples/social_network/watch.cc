#include "watch.h"

#include <algorithm>
#include <chrono>
#include <stdexcept>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "seer/core/wire.h"

namespace social {
namespace {

void Check(const absl::Status& status) {
  if (!status.ok()) throw std::runtime_error(std::string(status.message()));
}

template <typename T>
T Value(absl::StatusOr<T> result) {
  Check(result.status());
  return *std::move(result);
}

}  // namespace

const std::array<seer::QosTarget, kRequestKinds>& Targets() {
  using std::chrono::milliseconds;
  using std::chrono::seconds;
  // There are 30 posts in a second: one of them is 3 %.
  static const std::array<seer::QosTarget, kRequestKinds> targets = {
      seer::QosTarget::AtMost(0.01, milliseconds(100), seconds(1)),
      seer::QosTarget::AtMost(0.02, milliseconds(100), seconds(1)),
      seer::QosTarget::AtMost(0.05, milliseconds(200), seconds(1))};
  return targets;
}

Watch::Watch(const Deployment& deployment) {
  seer::CollectorOptions options;
  options.node = "machine";
  options.reader.directory = deployment.QueueDirectory();
  collector_ = Value(seer::Collector::Create(options));

  clients_ = Value(seer::Topology::OfNode("clients", 1));
  const char* const entries[kRequestKinds] = {"home-timeline-service", "user-timeline-service",
                                              "compose-post-service"};
  for (std::size_t kind = 0; kind < kRequestKinds; ++kind) {
    const seer::ServiceId entry = Value(clients_.AddService(entries[kind], "social-network"));
    Value(clients_.AddRequestClass("social-network", kRequestNames[kind], Targets()[kind], entry));
  }

  seer::PredictorOptions predictor;
  predictor.keep_ticks = 64;
  predictor_ = Value(seer::Predictor::Create(predictor));
  Receive(seer::Encode(clients_));
}

void Watch::Receive(const std::string& message) { Check(predictor_->ObserveWire(message)); }

std::vector<std::string> Watch::Services() const {
  std::vector<std::string> names;
  const std::shared_ptr<const seer::Topology> topology = predictor_->topology();
  for (const seer::Service& service : topology->services()) {
    if (!service.removed) names.push_back(service.name);
  }
  std::sort(names.begin(), names.end());
  return names;
}

std::vector<News> Watch::Tick(Load& load) {
  const seer::Snapshot& queues = collector_->Tick();
  const seer::Topology& node = collector_->topology();
  if (node.origin().epoch != sent_epoch_ || node.version() != sent_version_) {
    sent_epoch_ = node.origin().epoch;
    sent_version_ = node.version();
    Receive(seer::Encode(node));
  }
  Receive(seer::Encode(queues));
  latencies_.origin = clients_.origin();
  latencies_.tick = queues.tick;
  latencies_.period = queues.period;
  latencies_.classes = load.Take(queues.tick);
  Receive(seer::Encode(latencies_));

  const seer::Forecast forecast = predictor_->Predict();
  const std::shared_ptr<const seer::Topology> topology = predictor_->topology();
  std::vector<seer::ClusterTick> ticks;
  predictor_->TicksSince(last_, &ticks);
  std::vector<News> news;
  alarm_.resize(topology->classes().size());
  violation_.resize(topology->classes().size());
  std::int64_t end_ns = 0;
  for (const seer::ClusterTick& tick : ticks) {
    last_ = tick.tick;
    end_ns = tick.period.EndNs(tick.tick);
    violations_.Observe(tick, *topology);
    for (const seer::Violation& violation : violations_.open()) {
      const std::size_t index = violation.request_class.index();
      if (std::exchange(violation_.at(index), violation.start_ns) == violation.start_ns) continue;
      News& violated = news.emplace_back();
      violated.kind = News::Kind::kViolation;
      violated.at_ns = violation.start_ns;
      violated.request_class = topology->classes()[index].name;
    }
  }
  if (ticks.empty()) return news;
  for (const seer::ClassForecast& of_class : forecast.classes) {
    const std::size_t index = of_class.request_class.index();
    const bool before = alarm_.at(index);
    alarm_[index] = of_class.alarm;
    if (before || !of_class.alarm || of_class.initiators.empty()) continue;
    const seer::Initiator& first = of_class.initiators[0];
    News& alarm = news.emplace_back();
    alarm.at_ns = end_ns;
    alarm.request_class = topology->classes()[index].name;
    alarm.blamed = first.is_load() ? "load" : topology->services()[first.service.index()].name;
    alarm.share = static_cast<double>(first.probability);
  }
  return news;
}

}  // namespace social
