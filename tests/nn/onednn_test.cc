#include "seer/nn/onednn.h"

#include <dlfcn.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <limits>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "seer/nn/trainer.h"
#include "tests/nn/oracle.h"
#include "tests/nn/samples.h"
#include "tests/nn/training_task.h"

namespace seer {
namespace {

using testing::Weights;

constexpr double kOutputs = 1e-5, kGradients = 1e-4;

int OmpThreads() {
  const auto get = reinterpret_cast<int (*)()>(dlsym(RTLD_DEFAULT, "omp_get_max_threads"));
  return get == nullptr ? 0 : get();
}

TEST(Onednn, EqualsTheOracleForEveryLayerAndLoss) {
  for (const testing::Sample& sample : testing::Samples()) {
    for (const std::uint32_t ticks : {1u, 2u, 5u}) {
      for (const std::size_t windows : {std::size_t{1}, std::size_t{3}}) {
        for (const bool dropout : {false, true}) {
          SCOPED_TRACE(sample.name + ", T " + std::to_string(ticks) + ", B " +
                       std::to_string(windows) + (dropout ? ", dropout" : ""));
          const Network network = testing::MakeNetwork(sample.layers, ticks == 2 ? "7 1 4" : "23",
                                                       ticks, 3 - ticks % 3);
          testing::CompareWithOracle(*OnednnBackend(), network, windows, dropout, kOutputs,
                                     kGradients);
          if (HasFatalFailure()) return;
        }
      }
    }
  }
}

TEST(Onednn, EqualsTheOracleWhereGradientsEndAtCarriedTicks) {
  for (const testing::Sample& sample : testing::Samples()) {
    for (const std::size_t carried : {1, 4}) {
      SCOPED_TRACE(sample.name + ", carried " + std::to_string(carried));
      const Network network = testing::MakeNetwork(sample.layers, "23", 5, 2);
      testing::CompareWithOracle(*OnednnBackend(), network, 3, carried == 4, kOutputs, kGradients,
                                 carried);
      if (HasFatalFailure()) return;
    }
  }
}

TEST(Onednn, EqualsTheOracleForTheNamedConfigurations) {
  for (const std::string& name : ModelConfig::Names()) {
    for (const std::size_t services : {1, 7, 36}) {
      SCOPED_TRACE(name + ", N " + std::to_string(services));
      const Network network =
          *Network::Create(*ModelConfig::Named(name, services, 1, services == 36 ? 20 : 4));
      testing::CompareWithOracle(*OnednnBackend(), network, 3, services == 7, kOutputs, kGradients);
      if (HasFatalFailure()) return;
    }
  }
}

TEST(Onednn, AnyNumberOfWindowsUpToTheMost) {
  const Network network = testing::MakeNetwork(testing::Samples()[0].layers, "9", 4, 2);
  const std::vector<float> weights = Weights(network);
  const auto inputs = testing::Uniform(7 * network.window_values(), 3, -1, 1);
  auto engine = *OnednnBackend()->NewInference(network, weights);
  auto reference = *FindBackend("reference")->NewInference(network, weights);
  auto workspace = *engine->NewWorkspace(7), plain = *reference->NewWorkspace(7);
  for (const std::size_t windows : {7, 1, 2, 3, 4, 5, 6, 7, 1}) {
    const auto in = absl::MakeConstSpan(inputs).subspan(0, windows * network.window_values());
    std::vector<float> out(windows * network.outputs()), expected(out);
    ASSERT_TRUE(engine->Run(in, windows, workspace.get(), absl::MakeSpan(out)).ok());
    ASSERT_TRUE(reference->Run(in, windows, plain.get(), absl::MakeSpan(expected)).ok());
    for (std::size_t i = 0; i < out.size(); ++i) ASSERT_NEAR(out[i], expected[i], 1e-5);
  }
}

TEST(Onednn, RefusesWhatItsReluWouldSwallow) {
  const Network network = testing::MakeNetwork(testing::Samples()[0].layers, "20", 4, 1);
  auto engine = *OnednnBackend()->NewInference(network, Weights(network));
  auto workspace = *engine->NewWorkspace(1);
  std::vector<float> inputs(network.window_values(), 1.0f), out(network.outputs());
  inputs[7] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_EQ(engine->Run(inputs, 1, workspace.get(), absl::MakeSpan(out)).code(),
            absl::StatusCode::kInvalidArgument);
  inputs[7] = 0;
  EXPECT_TRUE(engine->Run(inputs, 1, workspace.get(), absl::MakeSpan(out)).ok());
}

TEST(Onednn, TrainsByName) {
  ASSERT_TRUE(AddBackend(OnednnBackend()).ok());
  const Network network = testing::MakeNetwork(testing::Samples()[0].layers, "7", 4, 1);
  MemorySource training = testing::GrowingQueue(network, 300, 1);
  TrainerOptions options;
  options.backend = "onednn";
  options.batch = 16;
  options.epochs = 15;
  options.threads = 2;
  options.optimizer.learning_rate = 0.02f;
  auto trainer = *Trainer::Create(network, options);
  const double before = trainer->Evaluate(training)->loss.mean();
  ASSERT_TRUE(trainer->Train(training).ok());
  EXPECT_LT(trainer->Evaluate(training)->loss.mean(), before / 2);
}

TEST(Onednn, LeavesTheHostsThreadsAlone) {
  const int before = OmpThreads();
  const Network network = testing::MakeNetwork(testing::Samples()[0].layers, "20", 4, 1);
  auto engine = *OnednnBackend()->NewInference(network, Weights(network));
  auto workspace = *engine->NewWorkspace(1);
  std::vector<float> inputs(network.window_values(), 1.0f), out(network.outputs());
  ASSERT_TRUE(engine->Run(inputs, 1, workspace.get(), absl::MakeSpan(out)).ok());
  EXPECT_EQ(OmpThreads(), before);
}

TEST(Onednn, ComputesInAChildProcess) {
  const Network network = testing::MakeNetwork(testing::Samples()[0].layers, "20", 4, 1);
  auto engine = *OnednnBackend()->NewInference(network, Weights(network));
  auto workspace = *engine->NewWorkspace(1);
  std::vector<float> inputs(network.window_values(), 1.0f), out(network.outputs());
  ASSERT_TRUE(engine->Run(inputs, 1, workspace.get(), absl::MakeSpan(out)).ok());
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    alarm(20);  // libgomp would hang
    _exit(engine->Run(inputs, 1, workspace.get(), absl::MakeSpan(out)).ok() ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
}

TEST(Onednn, TwoThreadsGiveTheSame) {
  OnednnOptions options;
  options.threads = 2;
  const auto two = MakeOnednnBackend(options);
  ASSERT_NE(two, nullptr);
  testing::CompareWithOracle(*two, *Network::Create(*ModelConfig::Named("flat", 36)), 2, false,
                             kOutputs, kGradients);
  options.threads = 0;
  EXPECT_EQ(MakeOnednnBackend(options), nullptr);
  options.threads = 257;
  EXPECT_EQ(MakeOnednnBackend(options), nullptr);
}

TEST(Onednn, SaysItsVersion) {
  EXPECT_THAT(OnednnVersion(), ::testing::ContainsRegex("^[0-9]+[.][0-9]+[.][0-9]+$"));
  EXPECT_THAT(OnednnBackend()->Description(), ::testing::HasSubstr(OnednnVersion()));
}

TEST(OnednnStress, OneEngineRunsInManyThreads) {
  const Network network = testing::MakeNetwork(testing::Samples()[0].layers, "9", 4, 2);
  auto engine = *OnednnBackend()->NewInference(network, Weights(network));
  const auto inputs = testing::Uniform(network.window_values(), 3, -1, 1);
  std::vector<std::vector<float>> outputs(4, std::vector<float>(network.outputs()));
  std::vector<std::thread> threads;
  for (auto& out : outputs) {
    threads.emplace_back([&] {
      auto workspace = *engine->NewWorkspace(1);
      for (int i = 0; i < 50; ++i) {
        EXPECT_TRUE(engine->Run(inputs, 1, workspace.get(), absl::MakeSpan(out)).ok());
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const auto& out : outputs) EXPECT_EQ(out, outputs[0]);
}

}  // namespace
}  // namespace seer
