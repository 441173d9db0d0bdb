// Training with a pass: what backends have in common that compute with the kernels of kernels.h.
#pragma once

#include <cstddef>
#include <string_view>
#include <vector>

#include "nn/pass.h"
#include "seer/nn/backend.h"

SEER_BEGIN_NAMESPACE
namespace internal {

class PassTraining : public TrainingEngine {
 public:
  // backend: lives as long as the process.
  PassTraining(std::string_view backend, const Network& network, const Kernels& kernels,
               std::size_t max_windows)
      : backend_(backend),
        network_(network),
        max_windows_(max_windows),
        pass_(network_, kernels, max_windows, /*training=*/true),
        logits_(max_windows * network.outputs()),
        d_logits_(max_windows * network.outputs()) {}
  std::string_view backend() const override { return backend_; }
  std::size_t max_windows() const override { return max_windows_; }
  std::size_t bytes() const override {
    return pass_.bytes() + (logits_.size() + d_logits_.size()) * sizeof(float);
  }

  void Gradient(absl::Span<const float> parameters, const TrainingBatch& batch, std::size_t first,
                std::size_t count, const StepContext& step, absl::Span<float> gradient,
                absl::Span<float> logits, LossSum* sum) noexcept override {
    if (count == 0) return;
    PassGradient(network_, &pass_, parameters, batch, first, count, step, gradient, logits,
                 logits_.data(), d_logits_.data(), sum);
  }

 private:
  const std::string_view backend_;
  const Network network_;
  const std::size_t max_windows_;
  Pass pass_;
  std::vector<float> logits_, d_logits_;
};

}  // namespace internal
SEER_END_NAMESPACE
