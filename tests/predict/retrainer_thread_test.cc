#include "seer/predict/retrainer_thread.h"

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <utility>

#include "seer/nn/checkpoint.h"
#include "seer/nn/network.h"
#include "seer/predict/model_inputs.h"
#include "tests/predict/small_cluster.h"

namespace seer {
namespace {

Checkpoint Model() {
  ModelInputs inputs;
  inputs.inputs = WindowInputs::OfTraces();
  // What it takes for usual is far away: there is something to do.
  for (const WindowInput& input : inputs.inputs.list()) {
    inputs.normalizer.inputs.push_back(WindowInputName(input));
    inputs.normalizer.common.push_back({9, 0.1f});
  }
  Checkpoint checkpoint;
  checkpoint.config = *ModelConfig::Named("lstm", 2, inputs.inputs.size(), 4);
  checkpoint.config.extras = ModelInputs::kExtras;
  const Network network = *Network::Create(checkpoint.config);
  checkpoint.parameters.resize(network.parameters());
  network.Initialize(1, absl::MakeSpan(checkpoint.parameters));
  checkpoint.services = {{"store", true}, {"front", true}};
  checkpoint.sections[ModelInputs::kSection] = EncodeModelInputs(inputs);
  return checkpoint;
}

TEST(RetrainerThreadConcurrency, WorksBesideWhoeverTellsIt) {
  RetrainerOptions options;
  options.label_delay_ns = 1'000'000'000;
  options.recent_ns = 10'000'000'000;
  options.replay.bytes = options.held_back_bytes = 1 << 20;
  auto retrainer = Retrainer::Create(Model(), options).value();
  std::atomic<int> decisions{0};
  RetrainerThreadOptions thread_options;
  thread_options.cpu_share = 1;
  thread_options.idle_ns = 1'000'000;
  auto thread = std::make_unique<RetrainerThread>(
      retrainer.get(), [&](std::string) { decisions.fetch_add(1, std::memory_order_relaxed); },
      thread_options);
  testing::SmallCluster cluster;
  // Until it has looked at the drift and judged; ticks are told as fast as they can be.
  for (int i = 0; i < 200'000 && retrainer->health().held_back_windows < 20; ++i) {
    ASSERT_TRUE(retrainer->Observe(cluster.Next(), cluster.topology).ok());
    std::this_thread::yield();
  }
  EXPECT_GE(retrainer->health().held_back_windows, 20u);
  EXPECT_TRUE(retrainer->health().last_error.ok()) << retrainer->health().last_error;
  thread.reset();
  EXPECT_GE(retrainer->TakeDecisions().size() + static_cast<std::size_t>(decisions.load()), 1u);
}

}  // namespace
}  // namespace seer
