// One step of an optimizer in parts, for threads that each take some of the weights.
//
//   SquareSums sums(weights);                                 // each thread, of its own blocks:
//   sums.Add(gradient, first_block, last_block);
//   auto step = OptimizerStep::Create(options, state, sums.Norm());
//   step->Apply(network, gradient, begin, end, &state, parameters);      // each thread
//   ++state.step;
//
// Threads: Add() of different blocks and Apply() of different weights may run at once.
// Cost: none of its own.
#pragma once

#include <cstddef>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "seer/core/config.h"
#include "seer/nn/network.h"
#include "seer/nn/optimizer.h"

SEER_BEGIN_NAMESPACE
namespace internal {

// The norm of a gradient: sums of blocks whose bounds and order do not depend on who adds up which.
class SquareSums {
 public:
  static constexpr std::size_t kBlock = 4096;

  explicit SquareSums(std::size_t values)
      : values_(values), sums_((values + kBlock - 1) / kBlock) {}
  std::size_t blocks() const { return sums_.size(); }
  // Where a block begins, or the last one ends.
  std::size_t BeginOf(std::size_t block) const {
    return block < sums_.size() ? block * kBlock : values_;
  }
  void Add(absl::Span<const float> gradient, std::size_t first, std::size_t last);
  double Norm() const;

 private:
  const std::size_t values_;
  std::vector<double> sums_;
};

class OptimizerStep {
 public:
  // Internal: the norm is not finite.
  static absl::StatusOr<OptimizerStep> Create(const OptimizerOptions& options,
                                              const OptimizerState& state, double norm);
  // Of weights [begin, end).
  void Apply(const Network& network, absl::Span<const float> gradient, std::size_t begin,
             std::size_t end, OptimizerState* state, absl::Span<float> parameters) const;

 private:
  OptimizerOptions::Kind kind_;
  float beta1_, beta2_, step_size_, root_of_correction_, epsilon_, l2_, shrink_, clip_;
};

}  // namespace internal
SEER_END_NAMESPACE
