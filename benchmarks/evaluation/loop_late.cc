// Managers that wait for a violation.
#include <algorithm>
#include <utility>

#include "benchmarks/evaluation/loop_manager.h"
#include "seer/window/violations.h"

namespace seer::evaluation {
namespace {

constexpr std::int64_t kSecondNs = 1'000'000'000;
constexpr double kBusy = 0.7;
constexpr double kMost = 4;  // replicas, of those that were planned

class LateManager final : public LoopManager {
 public:
  LateManager(const PreparedRun& run, LoopArm arm) : run_(run), arm_(arm) {
    for (const auto& info : run.model->services) replicas_.push_back(info.instances);
  }

  void Act(const ClusterTick& tick, cluster::Simulator* simulator) override {
    const Topology& topology = run_.model->topology;
    detector_.Observe(tick, topology);
    (void)detector_.TakeFinished();
    now_ns_ = tick.period.EndNs(tick.tick);
    const double seconds = static_cast<double>(tick.period.ns()) * 1e-9;
    std::vector<double> use(run_.model->instances.size());
    busy_.resize(use.size(), 0);
    for (std::uint32_t i = 0; i < use.size(); ++i) {
      const double busy = simulator->CoreSeconds(i);
      use[i] = (busy - busy_[i]) / seconds / std::max(1, simulator->stations()[i].core_limit);
      busy_[i] = busy;
    }
    if (detector_.open().empty() || now_ns_ < next_ns_) return;
    next_ns_ = now_ns_ + kSecondNs;
    for (std::uint32_t s = 0; s < run_.model->services.size(); ++s) {
      const auto& info = run_.model->services[s];
      if (arm_ == LoopArm::kAutoscaler) {
        const double most = *std::max_element(use.begin() + info.first_instance,
                                              use.begin() + info.first_instance + info.instances);
        if (most < kBusy || replicas_[s] >= kMost * info.instances) continue;
        Do(simulator, s, Action::kReplicas, ++replicas_[s], info.instances, 60 * kSecondNs);
      } else {
        Limit(simulator, s);
      }
    }
  }

 private:
  void Limit(cluster::Simulator* simulator, std::uint32_t s) {
    const Topology& topology = run_.model->topology;
    const auto& info = run_.model->services[s];
    if (simulator->stations()[info.first_instance].rate_limit_per_ns > 0) return;
    for (const Violation& v : detector_.open()) {
      if (topology.request_class(v.request_class).entry != ServiceId(s)) continue;
      const double rate = simulator->options().loads[info.application].rate;
      Do(simulator, s, Action::kRateLimit, 0.8 * rate, 0, 10 * kSecondNs);
      return;
    }
  }
  void Do(cluster::Simulator* simulator, std::uint32_t s, Action action, double to, double undo,
          std::int64_t hold_ns) {
    Recommendation r;
    r.id = ++last_id_;
    r.issued_ns = now_ns_;
    r.expires_ns = now_ns_ + hold_ns;
    r.target.service = run_.model->topology.service(ServiceId(s)).name;
    r.action = action;
    r.to = to;
    r.undo = undo;
    r.upper = 1e12;
    (void)simulator->Act(r);
  }

  const PreparedRun& run_;
  const LoopArm arm_;
  ViolationDetector detector_;
  std::vector<double> busy_;      // core seconds, by instance
  std::vector<double> replicas_;  // by service
  std::int64_t now_ns_ = 0, next_ns_ = 0;
  std::uint64_t last_id_ = 0;
};

}  // namespace

std::unique_ptr<LoopManager> MakeLateManager(const PreparedRun& run, LoopArm arm) {
  return std::make_unique<LateManager>(run, arm);
}

}  // namespace seer::evaluation
