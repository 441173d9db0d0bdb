#include "nn/reference.h"

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "nn/backends.h"
#include "seer/core/internal/status_macros.h"
#include "seer/nn/backend.h"

SEER_BEGIN_NAMESPACE
namespace internal {
namespace {

class ReferenceWorkspace : public Workspace {
 public:
  ReferenceWorkspace(const Network& network, std::size_t max_windows)
      : reference(network), max_windows_(max_windows) {}
  std::size_t max_windows() const override { return max_windows_; }
  std::size_t bytes() const override { return sizeof(*this); }  // grows with use

  Reference<float> reference;

 private:
  const std::size_t max_windows_;
};

// Allocates while it runs: it is for tests.
class ReferenceInference : public InferenceEngine {
 public:
  ReferenceInference(const Network& network, absl::Span<const float> parameters,
                     const InferenceOptions& options)
      : InferenceEngine(network, options), parameters_(parameters.begin(), parameters.end()) {}
  std::string_view backend() const override { return "reference"; }
  absl::StatusOr<std::unique_ptr<Workspace>> NewWorkspace(std::size_t max_windows) const override {
    SEER_RETURN_IF_ERROR(CheckWorkspaceSize(network().window_values(), max_windows));
    return std::unique_ptr<Workspace>(std::make_unique<ReferenceWorkspace>(network(), max_windows));
  }

 protected:
  void Compute(const float* inputs, std::size_t windows, Workspace* workspace,
               float* logits) const noexcept override {
    auto& reference = static_cast<ReferenceWorkspace*>(workspace)->reference;
    for (std::size_t w = 0; w < windows; ++w) {
      reference.Forward(parameters_.data(), inputs + w * network().window_values(), {},
                        logits + w * network().outputs());
    }
  }

 private:
  const std::vector<float> parameters_;
};

class ReferenceTraining : public TrainingEngine {
 public:
  ReferenceTraining(const Network& network, std::size_t max_windows)
      : network_(network), max_windows_(max_windows), reference_(network_) {}
  std::string_view backend() const override { return "reference"; }
  std::size_t max_windows() const override { return max_windows_; }
  std::size_t bytes() const override { return sizeof(*this); }

  void Gradient(absl::Span<const float> parameters, const TrainingBatch& batch, std::size_t first,
                std::size_t count, const StepContext& step, absl::Span<float> gradient,
                absl::Span<float> logits, LossSum* sum) noexcept override {
    std::vector<float> z(network_.outputs()), d(network_.outputs());
    for (std::size_t w = first; w < first + count; ++w) {
      Reference<float>::Dropout dropout;
      dropout.on = step.dropout;
      dropout.seed = step.dropout_seed;
      dropout.step = step.step;
      dropout.window = w;
      reference_.Forward(parameters.data(), batch.inputs.data() + w * network_.window_values(),
                         dropout, z.data());
      const float weight = batch.weight.empty() ? 1.0f : batch.weight[w];
      const float loss = WindowLoss(network_, *step.loss, batch, w, z.data(), d.data());
      sum->loss += double{weight} * double{loss};
      sum->weight += double{weight};
      if (!logits.empty()) {
        std::copy(z.begin(), z.end(),
                  logits.begin() + static_cast<std::ptrdiff_t>((w - first) * z.size()));
      }
      if (gradient.empty()) continue;
      for (float& value : d) value *= weight * step.scale;
      reference_.Backward(parameters.data(), d.data(), step.carried_ticks, gradient.data());
    }
  }

 private:
  const Network network_;
  const std::size_t max_windows_;
  Reference<float> reference_;
};

class ReferenceBackendImpl : public Backend {
 public:
  std::string_view name() const override { return "reference"; }
  std::string Description() const override { return "plain loops, for tests"; }
  absl::StatusOr<std::unique_ptr<InferenceEngine>> NewInference(
      const Network& network, absl::Span<const float> parameters,
      const InferenceOptions& options) const override {
    SEER_RETURN_IF_ERROR(CheckParameters(network, parameters));
    SEER_RETURN_IF_ERROR(CheckOptions(network, options));
    return std::unique_ptr<InferenceEngine>(
        std::make_unique<ReferenceInference>(network, parameters, options));
  }
  absl::StatusOr<std::unique_ptr<TrainingEngine>> NewTraining(
      const Network& network, std::size_t max_windows) const override {
    SEER_RETURN_IF_ERROR(CheckWorkspaceSize(network.window_values(), max_windows));
    return std::unique_ptr<TrainingEngine>(
        std::make_unique<ReferenceTraining>(network, max_windows));
  }
};

}  // namespace

const Backend* ReferenceBackend() {
  static const ReferenceBackendImpl backend;
  return &backend;
}

}  // namespace internal
SEER_END_NAMESPACE
