#include <algorithm>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "nn/backends.h"
#include "nn/kernels.h"
#include "nn/loss_math.h"
#include "nn/pass.h"
#include "seer/core/internal/status_macros.h"
#include "seer/nn/backend.h"

SEER_BEGIN_NAMESPACE
namespace internal {
namespace {

class EigenWorkspace : public Workspace {
 public:
  EigenWorkspace(const Network& network, const Kernels& kernels, std::size_t max_windows)
      : pass(network, kernels, max_windows, /*training=*/false), max_windows_(max_windows) {}
  std::size_t max_windows() const override { return max_windows_; }
  std::size_t bytes() const override { return pass.bytes(); }

  Pass pass;

 private:
  const std::size_t max_windows_;
};

class EigenInference : public InferenceEngine {
 public:
  EigenInference(const Network& network, const Kernels& kernels, absl::Span<const float> parameters,
                 const InferenceOptions& options)
      : InferenceEngine(network, options),
        kernels_(kernels),
        parameters_(parameters.begin(), parameters.end()) {}
  std::string_view backend() const override { return "eigen"; }
  absl::StatusOr<std::unique_ptr<Workspace>> NewWorkspace(std::size_t max_windows) const override {
    SEER_RETURN_IF_ERROR(
        CheckWorkspaceSize(Pass::ValuesPerWindow(network(), /*training=*/false), max_windows));
    return std::unique_ptr<Workspace>(
        std::make_unique<EigenWorkspace>(network(), kernels_, max_windows));
  }

 protected:
  void Compute(const float* inputs, std::size_t windows, Workspace* workspace,
               float* logits) const noexcept override {
    static_cast<EigenWorkspace*>(workspace)->pass.Forward(parameters_.data(), inputs, windows, {},
                                                          logits);
  }

 private:
  const Kernels& kernels_;
  const std::vector<float> parameters_;
};

class EigenTraining : public TrainingEngine {
 public:
  EigenTraining(const Network& network, const Kernels& kernels, std::size_t max_windows)
      : network_(network),
        max_windows_(max_windows),
        pass_(network_, kernels, max_windows, /*training=*/true),
        logits_(max_windows * network.outputs()),
        d_logits_(max_windows * network.outputs()) {}
  std::string_view backend() const override { return "eigen"; }
  std::size_t max_windows() const override { return max_windows_; }
  std::size_t bytes() const override {
    return pass_.bytes() + (logits_.size() + d_logits_.size()) * sizeof(float);
  }

  void Gradient(absl::Span<const float> parameters, const TrainingBatch& batch, std::size_t first,
                std::size_t count, const StepContext& step, absl::Span<float> gradient,
                absl::Span<float> logits, LossSum* sum) noexcept override {
    if (count == 0) return;
    Pass::Dropout dropout;
    dropout.on = step.dropout;
    dropout.seed = step.dropout_seed;
    dropout.step = step.step;
    dropout.first = first;
    pass_.Forward(parameters.data(), batch.inputs.data() + first * network_.window_values(), count,
                  dropout, logits_.data());
    const std::size_t outputs = network_.outputs();
    for (std::size_t w = 0; w < count; ++w) {
      float* const d = d_logits_.data() + w * outputs;
      const float weight = batch.weight.empty() ? 1.0f : batch.weight[first + w];
      const float loss = WindowLoss(network_, *step.loss, batch, first + w,
                                    logits_.data() + w * outputs, gradient.empty() ? nullptr : d);
      sum->loss += double{weight} * double{loss};
      sum->weight += double{weight};
      if (gradient.empty()) continue;
      for (std::size_t i = 0; i < outputs; ++i) d[i] *= weight * step.scale;
    }
    if (!logits.empty()) std::copy_n(logits_.begin(), count * outputs, logits.begin());
    if (!gradient.empty()) pass_.Backward(parameters.data(), d_logits_.data(), gradient.data());
  }

 private:
  const Network network_;
  const std::size_t max_windows_;
  Pass pass_;
  std::vector<float> logits_, d_logits_;
};

class EigenBackendImpl : public Backend {
 public:
  explicit EigenBackendImpl(const Kernels& kernels) : kernels_(kernels) {}
  std::string_view name() const override { return "eigen"; }
  std::string Description() const override {
    return std::string("Eigen 3, kernels for ") + kernels_.name;
  }
  absl::StatusOr<std::unique_ptr<InferenceEngine>> NewInference(
      const Network& network, absl::Span<const float> parameters,
      const InferenceOptions& options) const override {
    SEER_RETURN_IF_ERROR(CheckParameters(network, parameters));
    SEER_RETURN_IF_ERROR(CheckOptions(network, options));
    return std::unique_ptr<InferenceEngine>(
        std::make_unique<EigenInference>(network, kernels_, parameters, options));
  }
  absl::StatusOr<std::unique_ptr<TrainingEngine>> NewTraining(
      const Network& network, std::size_t max_windows) const override {
    SEER_RETURN_IF_ERROR(
        CheckWorkspaceSize(Pass::ValuesPerWindow(network, /*training=*/true), max_windows));
    return std::unique_ptr<TrainingEngine>(
        std::make_unique<EigenTraining>(network, kernels_, max_windows));
  }

 private:
  const Kernels& kernels_;
};

}  // namespace

std::unique_ptr<Backend> MakeEigenBackend(const Kernels& kernels) {
  return std::make_unique<EigenBackendImpl>(kernels);
}

const Backend* EigenBackend() {
  static const Backend* const backend = [] {
    std::size_t count;
    return new EigenBackendImpl(*UsableKernels(&count)[0]);
  }();
  return backend;
}

}  // namespace internal
SEER_END_NAMESPACE
