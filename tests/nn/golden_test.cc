// Against what PyTorch computed (tests/testdata/nn/make_golden.py says how).
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include "seer/nn/backend.h"
#include "seer/nn/counter_rng.h"
#include "seer/nn/optimizer.h"
#include "tests/nn/samples.h"

namespace seer {
namespace {

constexpr std::size_t kBatch = 3;

class Golden {
 public:
  explicit Golden(std::size_t services) {
    std::ifstream file(std::string(SEER_TESTDATA) + "/nn/flat_" + std::to_string(services) + ".bin",
                       std::ios::binary);
    const std::string bytes((std::istreambuf_iterator<char>(file)),
                            std::istreambuf_iterator<char>());
    values_.resize(bytes.size() / sizeof(float));
    if (!values_.empty()) std::memcpy(values_.data(), bytes.data(), bytes.size());
  }
  bool empty() const { return values_.empty(); }
  bool done() const { return at_ == values_.size(); }
  double Next() { return at_ < values_.size() ? double{values_[at_++]} : std::nan(""); }

 private:
  std::vector<float> values_;
  std::size_t at_ = 0;
};

class GoldenOf : public ::testing::TestWithParam<const Backend*> {};

TEST_P(GoldenOf, PyTorchAgrees) {
  for (const std::size_t services : {1, 2, 5, 6, 7, 36, 158, 386}) {
    SCOPED_TRACE(services);
    Golden golden(services);
    ASSERT_FALSE(golden.empty());
    const Network network = *Network::Create(*ModelConfig::Named("flat", services));
    std::vector<float> weights(network.parameters());
    network.Initialize(5, absl::MakeSpan(weights));
    TrainingBatch batch;
    batch.windows = kBatch;
    const CounterRng x(1, CounterRng::StreamOf("x")), truth(1, CounterRng::StreamOf("truth"));
    for (std::size_t i = 0; i < kBatch * network.window_values(); ++i) {
      batch.inputs.push_back(2 * x.Uniform(i));
    }
    for (std::size_t w = 0; w < kBatch; ++w) {
      batch.initiator.push_back(static_cast<std::int32_t>(truth.Below(w, services + 1)));
    }
    auto inference = *GetParam()->NewInference(network, weights);
    auto workspace = *inference->NewWorkspace(kBatch);
    std::vector<float> out(kBatch * network.outputs());
    ASSERT_TRUE(inference->Run(batch.inputs, kBatch, workspace.get(), absl::MakeSpan(out)).ok());
    for (float p : out) ASSERT_NEAR(double{p}, golden.Next(), 1e-6);

    const LossOptions loss;
    StepContext step;
    step.loss = &loss;
    step.scale = 1.0f / kBatch;
    auto engine = *GetParam()->NewTraining(network, kBatch);
    OptimizerState state(network);
    double losses[3];
    for (double& mean : losses) {
      std::vector<float> gradient(weights.size());
      LossSum sum;
      engine->Gradient(weights, batch, 0, kBatch, step, absl::MakeSpan(gradient), {}, &sum);
      mean = sum.mean();
      if (&mean == losses) {
        EXPECT_NEAR(mean, golden.Next(), 1e-6 * std::max(1.0, mean));
        for (const Tensor& tensor : network.tensors()) {
          SCOPED_TRACE(tensor.name);
          const float* const g = gradient.data() + tensor.offset;
          const std::size_t n = tensor.size(), samples = std::min<std::size_t>(n, 96);
          const CounterRng direction(2, CounterRng::StreamOf(tensor.name));
          double largest = 0, product = 0;
          for (std::size_t i = 0; i < n; ++i) {
            largest = std::max(largest, std::abs(double{g[i]}));
            product += double{g[i]} * (2 * double{direction.Uniform(i)} - 1);
          }
          const double scale = golden.Next();
          EXPECT_NEAR(largest, scale, 1e-5 * scale);
          // A sum of n terms with random signs.
          EXPECT_NEAR(product, golden.Next(), 1e-5 * scale * std::sqrt(static_cast<double>(n)));
          for (std::size_t i = 0; i < samples; ++i) {
            const std::size_t at = i * (n - 1) / std::max<std::size_t>(samples - 1, 1);
            ASSERT_NEAR(double{g[at]}, golden.Next(), 1e-5 * scale) << at;
          }
        }
      }
      OptimizerOptions adam;
      ASSERT_TRUE(ApplyGradient(network, adam, gradient, &state, absl::MakeSpan(weights)).ok());
    }
    for (double mean : losses) EXPECT_NEAR(mean, golden.Next(), 2e-5 * std::max(1.0, mean));
    EXPECT_TRUE(golden.done());
  }
}

std::string NameOf(const ::testing::TestParamInfo<const Backend*>& backend) {
  return std::string(backend.param->name());
}
INSTANTIATE_TEST_SUITE_P(Nn, GoldenOf, ::testing::ValuesIn(Backends().begin(), Backends().end()),
                         NameOf);

}  // namespace
}  // namespace seer
