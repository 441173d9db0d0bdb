#include "benchmarks/evaluation/loop_foresee.h"

#include <set>

#include "benchmarks/cluster/sim/substream.h"

namespace seer::evaluation {

void LoopForesight::Observe(const ClusterTick& tick, const cluster::Simulator& simulator) {
  if (futures_ == 0) return;
  detector_.Observe(tick, model_->topology);
  (void)detector_.TakeFinished();
  const std::int64_t now_ns = tick.period.EndNs(tick.tick);
  past_.push_back({simulator, detector_});
  while (past_.size() > 1 && past_[1].simulator.now_ns() + kLeadNs <= simulator.now_ns()) {
    past_.pop_front();
  }
  bool starts = false;
  for (const Violation& violation : detector_.open()) {
    starts = starts || violation.start_ns == now_ns;
  }
  if (starts && past_.front().simulator.now_ns() + kLeadNs == simulator.now_ns()) {
    Ask(past_.front(), now_ns);
  }
}

void LoopForesight::Ask(const State& state, std::int64_t start_ns) {
  std::set<std::uint32_t> asked;
  for (const Violation& violation : detector_.open()) {
    if (violation.start_ns == start_ns) asked.insert(violation.request_class.value());
  }
  ClusterTick tick;
  const std::int64_t from_ns = state.simulator.now_ns();
  const std::int64_t epoch_ns = state.simulator.options().start_ns;
  for (std::uint32_t k = 0; k < futures_; ++k) {
    State future = state;
    future.simulator.Reseed(cluster::Sub(static_cast<std::uint64_t>(from_ns), k));
    const auto& faults = state.simulator.options().faults;
    for (std::size_t f = 0; f < faults.size(); ++f) {
      if (faults[f].start_ns >= from_ns) future.simulator.Disable(f);
    }
    std::set<std::uint32_t> left = asked;
    while (!left.empty() && future.simulator.now_ns() < from_ns + kHorizonNs) {
      future.simulator.RunTick();
      future.simulator.Observe(&tick);
      future.detector.Observe(tick, model_->topology);
      for (const Violation& v : future.detector.open()) {
        if (v.start_ns <= epoch_ns + from_ns || left.erase(v.request_class.value()) == 0) continue;
        ++votes_[{v.request_class.value(), start_ns}];
      }
    }
  }
}

}  // namespace seer::evaluation
