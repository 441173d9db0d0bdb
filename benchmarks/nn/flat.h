// The network that all engines compute here, with weights and windows made from seeds.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "seer/nn/batch.h"
#include "seer/nn/counter_rng.h"
#include "seer/nn/network.h"

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

// As after 100 ms in which others ran: nothing of ours is left in the caches that are ours alone.
inline void ColdCaches() {
  static std::vector<char>* const others = new std::vector<char>(48 << 20, 1);
  for (std::size_t i = 0; i < others->size(); i += 64) (*others)[i] = static_cast<char>(i >> 6);
}

}  // namespace seer::bench
