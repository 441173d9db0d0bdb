#include "seer/nn/backend.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "nn/backends.h"
#include "nn/eigen_kernels.h"
#include "nn/finite.h"
#include "nn/native_kernels.h"
#include "tests/nn/oracle.h"
#include "tests/nn/samples.h"
#include "tests/support/allocations.h"

namespace seer {
namespace {

using ::testing::HasSubstr;

using testing::CompareWithOracle;
using testing::Weights;

class EveryBackend : public ::testing::TestWithParam<const Backend*> {};

TEST_P(EveryBackend, EqualsTheOracleForEveryLayerAndLoss) {
  for (const testing::Sample& sample : testing::Samples()) {
    for (const std::uint32_t ticks : {1u, 2u, 5u}) {
      for (const std::size_t windows : {std::size_t{1}, std::size_t{3}, std::size_t{8}}) {
        for (const bool dropout : {false, true}) {
          SCOPED_TRACE(sample.name + ", T " + std::to_string(ticks) + ", B " +
                       std::to_string(windows) + (dropout ? ", dropout" : ""));
          const Network network = testing::MakeNetwork(sample.layers, ticks == 2 ? "7 1 4" : "23",
                                                       ticks, 3 - ticks % 3);
          CompareWithOracle(*GetParam(), network, windows, dropout);
          if (HasFatalFailure()) return;
        }
      }
    }
  }
}

TEST_P(EveryBackend, EqualsTheOracleWhereGradientsEndAtCarriedTicks) {
  for (const testing::Sample& sample : testing::Samples()) {
    for (const std::size_t carried : {1, 3, 4}) {
      SCOPED_TRACE(sample.name + ", carried " + std::to_string(carried));
      const Network network = testing::MakeNetwork(sample.layers, "23", 5, 2);
      CompareWithOracle(*GetParam(), network, 3, carried == 3, 2e-6, 1e-5, carried);
      if (HasFatalFailure()) return;
    }
  }
}

TEST_P(EveryBackend, EqualsTheOracleForTheNamedConfigurations) {
  for (const std::string& name : ModelConfig::Names()) {
    for (const std::size_t services : {1, 2, 5, 6, 7, 36}) {
      SCOPED_TRACE(name + ", N " + std::to_string(services));
      const Network network =
          *Network::Create(*ModelConfig::Named(name, services, 1, services == 36 ? 20 : 4));
      CompareWithOracle(*GetParam(), network, services == 36 ? 2 : 3, services % 2 == 0);
      if (HasFatalFailure()) return;
    }
  }
}

TEST_P(EveryBackend, WindowsOfABatchDoNotSeeEachOther) {
  for (const testing::Sample& sample : testing::Samples()) {
    SCOPED_TRACE(sample.name);
    const Network network = testing::MakeNetwork(sample.layers, "9", 4, 2);
    const TrainingBatch batch = testing::MakeBatch(network, 7, 3);
    auto engine = *GetParam()->NewInference(network, Weights(network));
    auto workspace = *engine->NewWorkspace(7);
    std::vector<float> all(7 * network.outputs()), one(network.outputs());
    ASSERT_TRUE(engine->Run(batch.inputs, 7, workspace.get(), absl::MakeSpan(all)).ok());
    for (std::size_t w = 0; w < 7; ++w) {
      const auto inputs = absl::MakeConstSpan(batch.inputs)
                              .subspan(w * network.window_values(), network.window_values());
      ASSERT_TRUE(engine->Run(inputs, 1, workspace.get(), absl::MakeSpan(one)).ok());
      for (std::size_t i = 0; i < one.size(); ++i) {
        EXPECT_NEAR(one[i], all[w * one.size() + i], 2e-6) << w << " " << i;
      }
    }
  }
}

TEST_P(EveryBackend, ShardsOfAStepSumUpToTheWhole) {
  const Network network = testing::MakeNetwork(testing::Samples()[1].layers, "9", 4, 2);
  const std::vector<float> weights = Weights(network);
  const TrainingBatch batch = testing::MakeBatch(network, 6, 3);
  const LossOptions loss;
  StepContext step;
  step.loss = &loss;
  std::vector<float> whole(weights.size()), parts(weights.size());
  LossSum whole_sum, parts_sum;
  auto engine = *GetParam()->NewTraining(network, 6);
  engine->Gradient(weights, batch, 0, 6, step, absl::MakeSpan(whole), {}, &whole_sum);
  engine->Gradient(weights, batch, 0, 1, step, absl::MakeSpan(parts), {}, &parts_sum);
  engine->Gradient(weights, batch, 1, 5, step, absl::MakeSpan(parts), {}, &parts_sum);
  EXPECT_NEAR(whole_sum.loss, parts_sum.loss, 1e-4);
  EXPECT_NEAR(whole_sum.weight, parts_sum.weight, 1e-9);
  for (std::size_t i = 0; i < whole.size(); ++i) EXPECT_NEAR(whole[i], parts[i], 2e-5) << i;
}

TEST_P(EveryBackend, OutputsAreProbabilities) {
  for (const testing::Sample& sample : testing::Samples()) {
    SCOPED_TRACE(sample.name);
    const Network network = testing::MakeNetwork(sample.layers, "9", 4, 2);
    auto engine = *GetParam()->NewInference(network, Weights(network));
    auto workspace = *engine->NewWorkspace(1);
    std::vector<float> out(network.outputs());
    const auto inputs = testing::Uniform(network.window_values(), 3, -2, 2);
    ASSERT_TRUE(engine->Run(inputs, 1, workspace.get(), absl::MakeSpan(out)).ok());
    float sum = 0;
    for (float p : out) EXPECT_TRUE(p > 0 && p < 1) << p;
    for (std::size_t i = 0; i < network.initiators(); ++i) sum += out[i];
    if (network.config().output == OutputKind::kSoftmax) {
      EXPECT_NEAR(sum, 1, 1e-6);
    }
    const std::size_t horizons = network.config().hazard_horizons;
    for (std::size_t k = 1; k < network.hazards(); ++k) {
      const float* hazard = &out[network.initiators() + k];
      if (k % horizons != 0) {
        EXPECT_GT(hazard[0], hazard[-1]);
      }
    }
  }
}

TEST_P(EveryBackend, NotFiniteOrTooLargeInputsAreRefusedAndLeaveNothingBehind) {
  const Network network = testing::MakeNetwork(testing::Samples()[0].layers, "20", 4, 1);
  auto engine = *GetParam()->NewInference(network, Weights(network));
  auto workspace = *engine->NewWorkspace(2);
  const auto good = testing::Uniform(2 * network.window_values(), 3, -1, 1);
  std::vector<float> expected(2 * network.outputs()), out(expected);
  ASSERT_TRUE(engine->Run(good, 2, workspace.get(), absl::MakeSpan(expected)).ok());
  for (const float bad :
       {std::numeric_limits<float>::quiet_NaN(), -std::numeric_limits<float>::signaling_NaN(),
        std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity(), 0x1p64f,
        -3e38f}) {
    for (const std::size_t at : {0, 63, 64, 83, 159}) {
      auto inputs = good;
      inputs[at] = bad;
      const absl::Status status = engine->Run(inputs, 2, workspace.get(), absl::MakeSpan(out));
      EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << bad << " at " << at;
      EXPECT_THAT(
          std::string(status.message()),
          HasSubstr("value " + std::to_string(at % 80) + " of window " + std::to_string(at / 80)));
      ASSERT_TRUE(engine->Run(good, 2, workspace.get(), absl::MakeSpan(out)).ok());
      EXPECT_EQ(out, expected);
    }
  }
}

TEST_P(EveryBackend, LargeInputsAndDenormalsGiveFiniteOutputs) {
  for (const testing::Sample& sample : testing::Samples()) {
    SCOPED_TRACE(sample.name);
    const Network network = testing::MakeNetwork(sample.layers, "9", 4, 2);
    auto engine = *GetParam()->NewInference(network, Weights(network));
    auto workspace = *engine->NewWorkspace(1);
    std::vector<float> out(network.outputs());
    for (const float value : {1e19f, -1e19f, 1e-40f, 0.0f, -0.0f}) {
      std::vector<float> inputs(network.window_values(), value);
      inputs[0] = -value;
      ASSERT_TRUE(engine->Run(inputs, 1, workspace.get(), absl::MakeSpan(out)).ok()) << value;
      for (float p : out) EXPECT_TRUE(internal::IsFinite(p)) << value;
    }
  }
}

TEST_P(EveryBackend, WeightsThatOverflowAreAnError) {
  const Network network = testing::MakeNetwork(testing::Samples()[0].layers, "9", 4, 2);
  std::vector<float> weights = Weights(network);
  const Tensor& head = *network.Find("head.bias");
  weights[head.offset] = std::numeric_limits<float>::quiet_NaN();
  const auto refused = GetParam()->NewInference(network, weights);
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(refused.status().message()), HasSubstr("head.bias"));
  for (const Tensor& tensor : network.tensors()) {
    std::fill_n(weights.begin() + static_cast<std::ptrdiff_t>(tensor.offset), tensor.size(), 3e38f);
  }
  auto engine = *GetParam()->NewInference(network, weights);
  auto workspace = *engine->NewWorkspace(1);
  std::vector<float> out(network.outputs());
  const std::vector<float> inputs(network.window_values(), 1.0f);
  EXPECT_EQ(engine->Run(inputs, 1, workspace.get(), absl::MakeSpan(out)).code(),
            absl::StatusCode::kInternal);
}

TEST_P(EveryBackend, SizesThatDoNotFitAreNamed) {
  const Network network = testing::MakeNetwork(testing::Samples()[0].layers, "9", 4, 2);
  auto engine = *GetParam()->NewInference(network, Weights(network));
  EXPECT_FALSE(engine->NewWorkspace(0).ok());
  EXPECT_EQ(engine->NewWorkspace(std::size_t{1} << 40).status().code(),
            absl::StatusCode::kResourceExhausted);
  EXPECT_FALSE(GetParam()->NewTraining(network, 0).ok());
  EXPECT_FALSE(GetParam()->NewInference(network, {1.0f}).ok());
  auto workspace = *engine->NewWorkspace(2);
  EXPECT_EQ(workspace->max_windows(), 2u);
  std::vector<float> in(3 * 72), out(3 * 10);
  const auto run = [&](std::size_t values, std::size_t windows, std::size_t outputs) {
    return std::string(engine
                           ->Run(absl::MakeConstSpan(in).subspan(0, values), windows,
                                 workspace.get(), absl::MakeSpan(out).subspan(0, outputs))
                           .message());
  };
  EXPECT_THAT(run(72, 0, 10), HasSubstr("windows is 0"));
  EXPECT_THAT(run(216, 3, 30), HasSubstr("windows is 3: give 1 to 2"));
  EXPECT_THAT(run(71, 1, 10), HasSubstr("inputs has 71 values: give 72"));
  EXPECT_THAT(run(72, 1, 11), HasSubstr("outputs has room for 11 values: give 10"));
  EXPECT_EQ(run(72, 1, 10), "");
  EXPECT_EQ(engine->Run(in, 1, nullptr, absl::MakeSpan(out)).code(),
            absl::StatusCode::kInvalidArgument);
}

TEST_P(EveryBackend, SlidingEqualsTheWholeWindow) {
  std::vector<testing::Sample> samples = testing::Samples();
  for (const std::string& name : ModelConfig::Names()) samples.push_back({name, ""});
  for (const testing::Sample& sample : samples) {
    SCOPED_TRACE(sample.name);
    const Network network = sample.layers.empty()
                                ? *Network::Create(*ModelConfig::Named(sample.name, 9, 2, 4))
                                : testing::MakeNetwork(sample.layers, "9", 4, 2);
    auto engine = *GetParam()->NewInference(network, Weights(network));
    auto workspace = *engine->NewWorkspace(1);
    auto session = *engine->NewSession(RunMode::kSlide);
    EXPECT_EQ(engine->NewSession(RunMode::kWindow).status().code(),
              absl::StatusCode::kInvalidArgument);
    const std::vector<float> ticks = testing::Uniform(12 * 18, 3, -1, 1);
    std::vector<float> history(3 * 18), slid(network.outputs()), whole(network.outputs());
    for (std::size_t t = 0; t < 12; ++t) {
      const auto tick = absl::MakeConstSpan(ticks).subspan(t * 18, 18);
      history.insert(history.end(), tick.begin(), tick.end());
      if (t == 5) {  // as if it had never come
        std::vector<float> bad(tick.begin(), tick.end());
        bad[3] = std::numeric_limits<float>::infinity();
        EXPECT_FALSE(session->Push(bad, absl::MakeSpan(slid)).ok());
        EXPECT_FALSE(session->Push(tick.subspan(1), absl::MakeSpan(slid)).ok());
        EXPECT_FALSE(session->Push(tick, absl::MakeSpan(slid).subspan(1)).ok());
      }
      ASSERT_TRUE(session->Push(tick, absl::MakeSpan(slid)).ok());
      const auto window = absl::MakeConstSpan(history).subspan(t * 18, 4 * 18);
      ASSERT_TRUE(engine->Run(window, 1, workspace.get(), absl::MakeSpan(whole)).ok());
      for (std::size_t i = 0; i < whole.size(); ++i) ASSERT_NEAR(slid[i], whole[i], 1e-6) << t;
    }
    session->Reset();
    ASSERT_TRUE(
        session->Push(absl::MakeConstSpan(ticks).subspan(0, 18), absl::MakeSpan(slid)).ok());
    ASSERT_TRUE(engine
                    ->Run(absl::MakeConstSpan(history).subspan(0, 72), 1, workspace.get(),
                          absl::MakeSpan(whole))
                    .ok());
    for (std::size_t i = 0; i < whole.size(); ++i) ASSERT_NEAR(slid[i], whole[i], 1e-6);
  }
}

TEST_P(EveryBackend, AnOutputThatIsNotFiniteLeavesTheSlidingWindowAsItWas) {
  const Network network = testing::MakeNetwork(testing::Samples()[5].layers, "9", 4, 2);
  std::vector<float> weights = Weights(network);
  for (float& weight : weights) weight *= 1e20f;  // 2^63 times as much is no float
  auto engine = *GetParam()->NewInference(network, weights);
  auto session = *engine->NewSession(RunMode::kSlide), other = *engine->NewSession(RunMode::kSlide);
  const std::vector<float> good = testing::Uniform(18, 3, -1, 1), huge(18, 0x1p63f);
  std::vector<float> out(network.outputs()), expected(out);
  ASSERT_TRUE(session->Push(good, absl::MakeSpan(out)).ok());
  ASSERT_TRUE(other->Push(good, absl::MakeSpan(expected)).ok());
  EXPECT_EQ(session->Push(huge, absl::MakeSpan(out)).code(), absl::StatusCode::kInternal);
  ASSERT_TRUE(session->Push(good, absl::MakeSpan(out)).ok());
  ASSERT_TRUE(other->Push(good, absl::MakeSpan(expected)).ok());
  EXPECT_EQ(out, expected);
}

TEST_P(EveryBackend, SlidesForSeveralApplicationsAtOnce) {
  std::vector<testing::Sample> samples = testing::Samples();
  for (const std::string& name : ModelConfig::Names()) samples.push_back({name, ""});
  for (const testing::Sample& sample : samples) {
    SCOPED_TRACE(sample.name);
    const Network network = sample.layers.empty()
                                ? *Network::Create(*ModelConfig::Named(sample.name, 9, 2, 3))
                                : testing::MakeNetwork(sample.layers, "9", 3, 2);
    auto engine = *GetParam()->NewInference(network, Weights(network));
    EXPECT_FALSE(engine->NewSessionOf(0, RunMode::kSlide).ok());
    for (const std::size_t applications : {2, 5, 17}) {
      auto together = *engine->NewSessionOf(applications, RunMode::kSlide);
      std::vector<std::unique_ptr<TickSession>> alone;
      for (std::size_t a = 0; a < applications; ++a) {
        alone.push_back(*engine->NewSession(RunMode::kSlide));
      }
      const std::size_t outputs = network.outputs();
      std::vector<float> all(applications * outputs), one(outputs);
      for (std::uint64_t t = 0; t < 5; ++t) {
        const auto ticks = testing::Uniform(applications * 18, t, -1, 1);
        if (t == 3) {  // as if they had never come
          std::vector<float> bad = ticks;
          bad[applications * 18 - 2] = 0x1p70f;
          EXPECT_FALSE(together->Push(bad, absl::MakeSpan(all)).ok());
          EXPECT_FALSE(
              together->Push(absl::MakeConstSpan(ticks).subspan(18), absl::MakeSpan(all)).ok());
        }
        ASSERT_TRUE(together->Push(ticks, absl::MakeSpan(all)).ok());
        for (std::size_t a = 0; a < applications; ++a) {
          const auto tick = absl::MakeConstSpan(ticks).subspan(a * 18, 18);
          ASSERT_TRUE(alone[a]->Push(tick, absl::MakeSpan(one)).ok());
          for (std::size_t i = 0; i < outputs; ++i) {
            ASSERT_NEAR(all[a * outputs + i], one[i], 1e-6)
                << "application " << a << ", tick " << t;
          }
        }
      }
    }
  }
}

// Those that are built in, each with its slower kernels too.
std::vector<const Backend*> All() {
  std::vector<const Backend*> all(Backends().begin(), Backends().end());
  static std::vector<std::unique_ptr<Backend>> made;
  std::size_t count = 0;
  const internal::NativeKernels* const* native = internal::UsableNativeKernels(&count);
  for (std::size_t i = 1; i < count; ++i) made.push_back(internal::MakeNativeBackend(*native[i]));
#ifdef SEER_NN_EIGEN
  const internal::Kernels* const* kernels = internal::UsableEigenKernels(&count);
  for (std::size_t i = 1; i < count; ++i) made.push_back(internal::MakeEigenBackend(*kernels[i]));
#endif
  for (const auto& backend : made) all.push_back(backend.get());
  return all;
}
std::string NameOf(const ::testing::TestParamInfo<const Backend*>& info) {
  return std::string(info.param->name()) + std::to_string(info.index);
}
INSTANTIATE_TEST_SUITE_P(Nn, EveryBackend, ::testing::ValuesIn(All()), NameOf);

TEST(Backend, RunsWithoutTheHeap) {
  const Backend& backend = *FindBackend("auto");
  if (backend.name() == "reference") GTEST_SKIP() << "the reference backend allocates";
  for (const std::string& name : ModelConfig::Names()) {
    const Network network = *Network::Create(*ModelConfig::Named(name, 150));
    auto engine = *backend.NewInference(network, Weights(network));
    auto workspace = *engine->NewWorkspace(3);
    const auto inputs = testing::Uniform(3 * network.window_values(), 3, -1, 1);
    std::vector<float> out(3 * network.outputs());
    const testing::Allocations allocations;
    for (const std::size_t windows : {1, 3}) {
      const bool ok =
          engine
              ->Run(absl::MakeConstSpan(inputs).subspan(0, windows * network.window_values()),
                    windows, workspace.get(),
                    absl::MakeSpan(out).subspan(0, windows * network.outputs()))
              .ok();
      EXPECT_TRUE(ok);
    }
    EXPECT_EQ(allocations.count(), 0u) << name;
  }
}

TEST(Backend, SlidesWithoutTheHeap) {
  const Backend& backend = *FindBackend("auto");
  if (backend.name() == "reference") GTEST_SKIP() << "the reference backend allocates";
  for (const std::string& name : ModelConfig::Names()) {
    const Network network = *Network::Create(*ModelConfig::Named(name, 150));
    auto engine = *backend.NewInference(network, Weights(network));
    auto session = *engine->NewSession(RunMode::kSlide);
    const auto tick = testing::Uniform(150, 3, -1, 1);
    std::vector<float> out(network.outputs());
    const testing::Allocations allocations;
    EXPECT_TRUE(session->Push(tick, absl::MakeSpan(out)).ok());
    EXPECT_EQ(allocations.count(), 0u) << name;
  }
}

// A backend of somebody else's: names are all that matters here.
class Named : public Backend {
 public:
  explicit Named(std::string name) : name_(std::move(name)) {}
  std::string_view name() const override { return name_; }
  std::string Description() const override { return "of a test"; }
  absl::StatusOr<std::unique_ptr<InferenceEngine>> NewInference(
      const Network& network, absl::Span<const float> parameters,
      const InferenceOptions& options) const override {
    return FindBackend("reference")->NewInference(network, parameters, options);
  }
  absl::StatusOr<std::unique_ptr<TrainingEngine>> NewTraining(
      const Network& network, std::size_t max_windows) const override {
    return FindBackend("reference")->NewTraining(network, max_windows);
  }

 private:
  const std::string name_;
};

TEST(Backend, OthersCanBeAdded) {
  const Backend* const best = FindBackend("auto");
  static const Named added("accelerator"), again("accelerator"), taken("reference"), all("auto");
  EXPECT_EQ(AddBackend(nullptr).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(AddBackend(&all).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(AddBackend(&taken).code(), absl::StatusCode::kAlreadyExists);
  ASSERT_TRUE(AddBackend(&added).ok());
  ASSERT_TRUE(AddBackend(&added).ok());  // the same once more: nothing to do
  EXPECT_EQ(AddBackend(&again).code(), absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(FindBackend("accelerator"), &added);
  EXPECT_EQ(FindBackend("auto"), best);
  EXPECT_EQ(Backends().back(), &added);
}

TEST(Backend, AreFoundByName) {
  ASSERT_FALSE(Backends().empty());
  EXPECT_EQ(FindBackend("auto"), Backends().front());
  ASSERT_NE(FindBackend("reference"), nullptr);
  EXPECT_EQ(FindBackend("reference")->name(), "reference");
  EXPECT_EQ(FindBackend("tpu"), nullptr);
  for (const Backend* backend : Backends()) EXPECT_FALSE(backend->Description().empty());
}

class EveryBackendConcurrency : public ::testing::TestWithParam<const Backend*> {};

TEST_P(EveryBackendConcurrency, OneEngineRunsInManyThreads) {
  const Network network = testing::MakeNetwork(testing::Samples()[3].layers, "9", 4, 2);
  auto engine = *GetParam()->NewInference(network, Weights(network));
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

INSTANTIATE_TEST_SUITE_P(Nn, EveryBackendConcurrency, ::testing::ValuesIn(All()), NameOf);

}  // namespace
}  // namespace seer
