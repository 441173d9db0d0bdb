// Which violations of a run could be foreseen 300 ms ahead at all: at least half of the futures
// that are forked from the simulator's whole state then, with fresh random numbers and without the
// faults that have not begun, violate within 2 s. As oracle.h, but of every violation.
//
// Threads: one at a time. Cost: a copy of the simulator each tick; the futures.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <utility>

#include "benchmarks/cluster/sim/simulator.h"
#include "seer/window/violations.h"

namespace seer::evaluation {

class LoopForesight {
 public:
  static constexpr std::int64_t kLeadNs = 300'000'000;
  static constexpr std::int64_t kHorizonNs = 2'000'000'000;

  LoopForesight(std::shared_ptr<const cluster::Model> model, std::uint32_t futures)
      : model_(std::move(model)), futures_(futures) {}

  // After each tick of the run.
  void Observe(const ClusterTick& tick, const cluster::Simulator& simulator);
  bool Foreseeable(const Violation& violation) const {
    const auto found = votes_.find({violation.request_class.value(), violation.start_ns});
    return found != votes_.end() && 2 * found->second >= futures_;
  }

 private:
  struct State {
    cluster::Simulator simulator;
    ViolationDetector detector;
  };
  void Ask(const State& state, std::int64_t start_ns);

  std::shared_ptr<const cluster::Model> model_;
  std::uint32_t futures_;
  ViolationDetector detector_;
  std::deque<State> past_;
  // Of a class and a start: futures that violate.
  std::map<std::pair<std::uint32_t, std::int64_t>, std::uint32_t> votes_;
};

}  // namespace seer::evaluation
