#include <algorithm>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/str_cat.h"
#include "nn/backends.h"
#include "nn/flush_denormals.h"
#include "nn/loss_math.h"
#include "nn/native_model.h"
#include "nn/native_pass.h"
#include "nn/pass_training.h"
#include "seer/core/internal/status_macros.h"
#include "seer/nn/backend.h"

SEER_BEGIN_NAMESPACE
namespace internal {
namespace {

class NativeWorkspace : public Workspace {
 public:
  NativeWorkspace(const NativeModel& model, std::size_t max_windows)
      : pass(model, max_windows), max_windows_(max_windows) {}
  std::size_t max_windows() const override { return max_windows_; }
  std::size_t bytes() const override { return pass.bytes(); }

  NativePass pass;

 private:
  const std::size_t max_windows_;
};

class NativeInference;

// A window that slides, or a stream. What each tick gave is kept, so that a new one costs itself
// and the recurrence: of all ticks, or of one with the state that the one before it left.
class NativeSession : public TickSession {
 public:
  NativeSession(const NativeInference& engine, RunMode mode);

  absl::Status Push(absl::Span<const float> tick, absl::Span<float> outputs) override;
  void Reset() override;

 private:
  const NativeInference& engine_;
  const bool stream_;
  NativePass pass_;
  const std::size_t tick_, ticks_;
  std::vector<float> zero_;              // what a tick of zeros gives
  std::vector<float> rows_, before_;     // ticks, oldest first; the tick before, for an error
  std::vector<float> window_, kept_;     // of a network with local layers
  std::vector<float> state_, previous_;  // of a stream; before the tick, for an error
};

class NativeInference : public InferenceEngine {
 public:
  NativeInference(const Network& network, const NativeKernels& kernels,
                  absl::Span<const float> parameters, const InferenceOptions& options)
      : InferenceEngine(network, options), model_(this->network(), kernels, parameters) {}
  std::string_view backend() const override { return "native"; }
  absl::StatusOr<std::unique_ptr<Workspace>> NewWorkspace(std::size_t max_windows) const override {
    // Windows are computed a few at a time: what they need does not grow with their number.
    SEER_RETURN_IF_ERROR(CheckWorkspaceSize(1, max_windows));
    SEER_RETURN_IF_ERROR(CheckWorkspaceSize(NativePass::Values(model_, 1),
                                            std::min(max_windows, kMostWindowsAtOnce)));
    return std::unique_ptr<Workspace>(std::make_unique<NativeWorkspace>(model_, max_windows));
  }
  absl::StatusOr<std::unique_ptr<TickSession>> NewSession(RunMode mode) const override {
    if (mode != RunMode::kSlide && mode != RunMode::kStream) {
      return InferenceEngine::NewSession(mode);
    }
    SEER_RETURN_IF_ERROR(CheckWorkspaceSize(NativePass::Values(model_, 1), 1));
    return std::unique_ptr<TickSession>(std::make_unique<NativeSession>(*this, mode));
  }
  using InferenceEngine::CheckInputs;
  using InferenceEngine::FinishOutputs;
  const NativeModel& model() const { return model_; }

 protected:
  void Compute(const float* inputs, std::size_t windows, Workspace* workspace,
               float* logits) const noexcept override {
    const FlushDenormals flush;
    static_cast<NativeWorkspace*>(workspace)->pass.Forward(inputs, windows, logits);
  }
  void ToProbabilities(float* logits) const noexcept override {
    if (network().config().output != OutputKind::kSoftmax) {
      return InferenceEngine::ToProbabilities(logits);
    }
    model_.kernels.softmax(network().initiators(), logits);
    HazardsToOutputs(network(), logits + network().initiators());
  }

 private:
  const NativeModel model_;
};

NativeSession::NativeSession(const NativeInference& engine, RunMode mode)
    : engine_(engine),
      stream_(mode == RunMode::kStream),
      pass_(engine.model(), 1),
      tick_(engine.network().window_values() / engine.network().config().ticks),
      ticks_(stream_ ? 1 : engine.network().config().ticks),
      zero_(engine.model().tick_values),
      rows_(zero_.size() * ticks_),
      before_(stream_ ? 0 : zero_.size()),
      window_(engine.network().local().empty() ? 0 : engine.network().window_values()),
      kept_(window_.empty() ? 0 : tick_),
      state_(stream_ ? pass_.StateSize() : 0),
      previous_(state_.size()) {
  const FlushDenormals flush;
  pass_.Tick(std::vector<float>(tick_, 0.0f).data(), zero_.data());
  Reset();
}

void NativeSession::Reset() {
  for (std::size_t t = 0; t < ticks_; ++t) {
    std::copy(zero_.begin(), zero_.end(),
              rows_.begin() + static_cast<std::ptrdiff_t>(t * zero_.size()));
  }
  std::fill(window_.begin(), window_.end(), 0.0f);
  std::fill(state_.begin(), state_.end(), 0.0f);
}

absl::Status NativeSession::Push(absl::Span<const float> tick, absl::Span<float> outputs) {
  if (tick.size() != tick_) {
    return absl::InvalidArgumentError(
        absl::StrCat("tick has ", tick.size(), " values: give ", tick_));
  }
  SEER_RETURN_IF_ERROR(engine_.CheckInputs(tick, 1, outputs));
  const auto move_up = [](std::vector<float>* all, std::vector<float>* oldest) {
    const auto row = static_cast<std::ptrdiff_t>(oldest->size());
    std::copy_n(all->begin(), row, oldest->begin());
    std::copy(all->begin() + row, all->end(), all->begin());
    return all->end() - row;
  };
  if (!window_.empty()) std::copy(tick.begin(), tick.end(), move_up(&window_, &kept_));
  if (stream_) {
    std::copy(state_.begin(), state_.end(), previous_.begin());
  } else {
    move_up(&rows_, &before_);
  }
  {
    const FlushDenormals flush;
    pass_.Tick(tick.data(), rows_.data() + (ticks_ - 1) * zero_.size());
    if (stream_) {
      pass_.Stream(rows_.data(), window_.data(), state_.data(), outputs.data());
    } else {
      pass_.FromTicks(rows_.data(), window_.data(), outputs.data());
    }
  }
  absl::Status status = engine_.FinishOutputs(1, outputs);
  if (!status.ok()) {  // as if the tick had never come
    const auto move_back = [](std::vector<float>* all, const std::vector<float>& oldest) {
      std::copy_backward(all->begin(), all->end() - static_cast<std::ptrdiff_t>(oldest.size()),
                         all->end());
      std::copy(oldest.begin(), oldest.end(), all->begin());
    };
    if (!stream_) move_back(&rows_, before_);
    if (!window_.empty()) move_back(&window_, kept_);
    std::copy(previous_.begin(), previous_.end(), state_.begin());
  }
  return status;
}

class NativeBackendImpl : public Backend {
 public:
  explicit NativeBackendImpl(const NativeKernels& kernels) : kernels_(kernels) {}
  std::string_view name() const override { return "native"; }
  std::string Description() const override {
    return std::string("own kernels for ") + kernels_.name;
  }
  absl::StatusOr<std::unique_ptr<InferenceEngine>> NewInference(
      const Network& network, absl::Span<const float> parameters,
      const InferenceOptions& options) const override {
    SEER_RETURN_IF_ERROR(CheckParameters(network, parameters));
    SEER_RETURN_IF_ERROR(CheckOptions(network, options));
    return std::unique_ptr<InferenceEngine>(
        std::make_unique<NativeInference>(network, kernels_, parameters, options));
  }
  absl::StatusOr<std::unique_ptr<TrainingEngine>> NewTraining(
      const Network& network, std::size_t max_windows) const override {
    SEER_RETURN_IF_ERROR(
        CheckWorkspaceSize(Pass::ValuesPerWindow(network, /*training=*/true), max_windows));
    return std::unique_ptr<TrainingEngine>(
        std::make_unique<PassTraining>("native", network, *kernels_.training, max_windows));
  }

 private:
  const NativeKernels& kernels_;
};

}  // namespace

std::unique_ptr<Backend> MakeNativeBackend(const NativeKernels& kernels) {
  return std::make_unique<NativeBackendImpl>(kernels);
}

const Backend* NativeBackend() {
  static const Backend* const backend = [] {
    std::size_t count;
    return new NativeBackendImpl(*UsableNativeKernels(&count)[0]);
  }();
  return backend;
}

}  // namespace internal
SEER_END_NAMESPACE
