// The network that all engines compute here, with weights and windows made from seeds.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "seer/nn/backend.h"
#include "seer/nn/batch.h"
#include "seer/nn/counter_rng.h"
#include "seer/nn/network.h"
#include "seer/nn/optimizer.h"

namespace seer::bench {

struct Flat {
  Network network;
  std::vector<float> weights;
  TrainingBatch batch;  // 32 windows; the first is the one for inference

  explicit Flat(std::size_t services, const char* name = "flat")
      : network(*Network::Create(*ModelConfig::Named(name, services))),
        weights(network.parameters()) {
    network.Initialize(5, absl::MakeSpan(weights));
    const CounterRng rng(1, 1);
    batch.windows = 32;
    batch.inputs.resize(32 * network.window_values());
    for (std::size_t i = 0; i < batch.inputs.size(); ++i) batch.inputs[i] = 2 * rng.Uniform(i);
    for (std::size_t w = 0; w < 32; ++w) {
      batch.initiator.push_back(static_cast<std::int32_t>(rng.Below(w, network.initiators())));
    }
  }
};

// Steps of training on the batch: its gradient, and what the optimizer makes of it.
class TrainingSteps {
 public:
  TrainingSteps(std::size_t services, const Backend* backend)
      : flat_(services),
        engine_(*backend->NewTraining(flat_.network, flat_.batch.windows)),
        gradient_(flat_.weights.size()),
        optimizer_(flat_.network) {
    step_.loss = &loss_;
    step_.scale = 1.0f / static_cast<float>(flat_.batch.windows);
  }
  TrainingSteps(const TrainingSteps&) = delete;  // step_ points into it
  TrainingSteps& operator=(const TrainingSteps&) = delete;

  // False: the gradient is not finite.
  bool Run() {
    std::fill(gradient_.begin(), gradient_.end(), 0.0f);
    LossSum sum;
    engine_->Gradient(flat_.weights, flat_.batch, 0, flat_.batch.windows, step_,
                      absl::MakeSpan(gradient_), {}, &sum);
    return ApplyGradient(flat_.network, {}, gradient_, &optimizer_, absl::MakeSpan(flat_.weights))
        .ok();
  }
  const Network& network() const { return flat_.network; }
  std::size_t windows() const { return flat_.batch.windows; }

 private:
  Flat flat_;
  std::unique_ptr<TrainingEngine> engine_;
  std::vector<float> gradient_;
  OptimizerState optimizer_;
  const LossOptions loss_;
  StepContext step_;
};

// As after 100 ms in which others ran: nothing of ours is left in the caches that are ours alone.
inline void ColdCaches() {
  static std::vector<char>* const others = new std::vector<char>(48 << 20, 1);
  for (std::size_t i = 0; i < others->size(); i += 64) (*others)[i] = static_cast<char>(i >> 6);
}

}  // namespace seer::bench
