// Small networks that together use every layer, head and loss, and windows for them.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

#include "seer/nn/batch.h"
#include "seer/nn/counter_rng.h"
#include "seer/nn/loss.h"
#include "seer/nn/network.h"

namespace seer::testing {

struct Sample {
  std::string name;
  std::string layers;  // the text between the shape and the end
};

// Widths that are no multiples of a vector's.
inline std::vector<Sample> Samples() {
  return {
      {"flat",
       "conv units=8 kernel=5 stride=2 padding=2 activation=relu\n"
       "conv units=16 kernel=5 stride=3 padding=2 activation=relu\n"
       "lstm units=5\nlstm units=4\nlast_tick\nhead kind=dense output=softmax extras=1\n"},
      {"dense_dropout",
       "dense units=7 activation=none\nlstm units=3\ndropout rate=0.25\nlstm units=5\nlast_tick\n"
       "dense units=6 activation=tanh\ndense units=3 activation=sigmoid\ndropout rate=0.5\n"
       "head kind=dense output=sigmoid extras=2\n"},
      {"odd_conv",
       "conv units=3 kernel=3 stride=1 padding=2 activation=none\n"
       "conv units=5 kernel=4 stride=2 padding=3 activation=relu\n"
       "conv units=12 kernel=3 stride=2 padding=2 activation=tanh\n"
       "dense units=9 activation=relu\nlast_tick\n"
       "head kind=dense output=softmax extras=0\nhazard classes=2 horizons=3\n"},
      {"position_wise",
       "conv units=6 kernel=3 stride=1 padding=1 activation=relu\npool\nlstm units=4\nlast_tick\n"
       "dropout rate=0.2\nlocal conv units=5 kernel=5 stride=1 padding=2 activation=relu\n"
       "local conv units=3 kernel=1 stride=1 padding=0 activation=sigmoid\n"
       "head kind=shared output=softmax extras=2 hidden=6\nhazard classes=1 horizons=4\n"},
      {"local_only",
       "local conv units=9 kernel=3 stride=1 padding=1 activation=relu\n"
       "head kind=shared output=softmax extras=1\n"},
      {"pool_only", "pool\nlast_tick\nhead kind=dense output=sigmoid extras=0\n"},
  };
}

inline Network MakeNetwork(const std::string& layers, const std::string& services,
                           std::uint32_t ticks, std::uint32_t inputs) {
  const auto config =
      ModelConfig::Parse("seer-nn 1\nservices " + services + "\nticks " + std::to_string(ticks) +
                         "\ninputs " + std::to_string(inputs) + "\n" + layers);
  if (!config.ok()) throw std::runtime_error(std::string(config.status().message()));
  return *Network::Create(*config);
}

inline std::vector<float> Uniform(std::size_t n, std::uint64_t seed, float low, float high) {
  const CounterRng rng(seed, 0);
  std::vector<float> values(n);
  for (std::size_t i = 0; i < n; ++i) values[i] = low + (high - low) * rng.Uniform(i);
  return values;
}

// Every kind of truth, some of it unknown, with weights.
inline TrainingBatch MakeBatch(const Network& network, std::size_t windows, std::uint64_t seed) {
  TrainingBatch batch;
  batch.windows = windows;
  batch.inputs = Uniform(windows * network.window_values(), seed, -1, 1);
  const CounterRng rng(seed, 1);
  std::uint64_t next = 0;
  for (std::size_t w = 0; w < windows; ++w) {
    batch.weight.push_back(0.5f + rng.Uniform(next++));
    if (network.config().output == OutputKind::kSoftmax) {
      const auto truth = static_cast<std::int32_t>(rng.Below(next++, network.initiators()));
      batch.initiator.push_back(w % 5 == 4 ? -1 : truth);
    } else {
      for (std::size_t i = 0; i < network.initiators(); ++i) {
        const auto kind = rng.Below(next++, 4);
        batch.initiators.push_back(kind == 0   ? -1.0f
                                   : kind == 1 ? 0.0f
                                   : kind == 2 ? 1.0f
                                               : rng.Uniform(next++));
      }
    }
    for (std::size_t c = 0; c < network.config().hazard_classes; ++c) {
      batch.hazard.push_back(
          static_cast<std::int32_t>(rng.Below(next++, network.config().hazard_horizons + 2)) - 1);
    }
  }
  return batch;
}

inline LossOptions MakeLoss(const Network& network, float gamma) {
  LossOptions loss;
  loss.focal_gamma = gamma;
  loss.hazard_weight = 0.75f;
  loss.output_weights = Uniform(network.initiators(), 7, 0.5f, 2.0f);
  return loss;
}

}  // namespace seer::testing
