// A small shop whose store falls ill once in a while, and a network that was trained with it: for
// the tests of retrainers of networks. Violations are told, so that the truth is known.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "seer/nn/trainer.h"
#include "seer/predict/model_inputs.h"
#include "seer/predict/retrainer.h"
#include "seer/predict/training_set.h"
#include "tests/predict/small_cluster.h"

namespace seer::testing {

inline constexpr std::size_t kShopTicks = 6;
inline const std::vector<std::string>& ShopServices() {
  static const std::vector<std::string> names = {"archive", "store", "logic", "front"};
  return names;
}

// Every `every` ticks the store falls ill, five ticks later there is a violation for a second.
struct Shop {
  explicit Shop(double load_ = 1, std::uint32_t seed = 1) : load(load_) {
    cluster.random.seed(seed);
  }

  ClusterTick Next(bool sick_at_all = true) {
    const int phase = time++ % every;
    const int since = phase - (every - 20);
    const bool sick = sick_at_all && since >= 0;
    ClusterTick tick = cluster.Next(sick ? load * 6 * std::min(since + 1, 8) : 0, 0, load);
    if (sick && since == 5) {
      Violation violation;
      violation.request_class = cluster.buy;
      violation.start_ns = tick.period.EndNs(tick.tick);
      violation.end_ns = violation.start_ns + 1'000'000'000;
      violation.initiation = Initiation::kService;
      violation.culprit = cluster.store;
      violation.confidence = 1;
      violations.push_back(violation);
    }
    return tick;
  }

  SmallCluster cluster;
  double load;
  int every = 100, time = 0;
  std::vector<Violation> violations;
};

inline ModelInputs ShopInputs(const Normalizer& normalizer, bool changes) {
  ModelInputs inputs;
  inputs.inputs = WindowInputs::OfTraces(changes);
  inputs.horizons_ns = {300'000'000, 1'000'000'000};
  inputs.classes = {"buy"};
  inputs.normalizer = normalizer;
  return inputs;
}

// `changes`: inputs are changes against the tick before, too.
inline Checkpoint TrainShop(double load, bool changes = false) {
  Shop shop(load, 99);
  std::vector<ClusterTick> ticks;
  NormalizerFitter fitter(WindowInputs::OfTraces(changes));
  for (int i = 0; i < 3000; ++i) {
    ticks.push_back(shop.Next());
    fitter.Observe(ticks.back(), shop.cluster.topology);
  }
  const ModelInputs inputs = ShopInputs(fitter.Fit(), changes);
  TrainingSet set = TrainingSet::Create(inputs, ShopServices(), kShopTicks).value();
  EXPECT_TRUE(set.BeginRun(shop.cluster.topology).ok());
  for (const ClusterTick& tick : ticks) EXPECT_TRUE(set.Add(tick, shop.cluster.topology).ok());
  EXPECT_TRUE(set.EndRun(shop.violations).ok());
  Checkpoint checkpoint;
  checkpoint.config = *ModelConfig::Named("lstm", 4, inputs.inputs.size(), kShopTicks);
  checkpoint.config.extras = ModelInputs::kExtras;
  checkpoint.config.hazard_classes = 1;
  checkpoint.config.hazard_horizons = 2;
  for (LayerConfig& layer : checkpoint.config.trunk) layer.units = std::min(layer.units, 12u);
  const Network network = *Network::Create(checkpoint.config);
  TrainerOptions options;
  options.epochs = 6;
  options.optimizer.learning_rate = 5e-3f;
  options.loss.output_weights = set.OutputWeights();
  auto trainer = Trainer::Create(network, options).value();
  EXPECT_TRUE(trainer->Train(set).ok());
  checkpoint.parameters.assign(trainer->parameters().begin(), trainer->parameters().end());
  for (const std::string& name : ShopServices()) checkpoint.services.push_back({name, true});
  checkpoint.sections[ModelInputs::kSection] = EncodeModelInputs(inputs);
  return checkpoint;
}
inline const Checkpoint& TrainedShop() {
  static const auto* const trained = new Checkpoint(TrainShop(1));
  return *trained;
}

inline RetrainerOptions ShopRetraining() {
  RetrainerOptions options;
  options.find_violations = false;
  options.replay.bytes = 4 << 20;
  options.held_back_bytes = 1 << 20;
  options.label_delay_ns = 3'000'000'000;
  options.recent_ns = 20'000'000'000;
  options.batches_a_step = 4;
  options.head_steps = options.whole_steps = 10;
  options.scratch_steps = 60;
  options.scratch_rate = options.head_rate = 5e-3f;
  return options;
}

}  // namespace seer::testing
