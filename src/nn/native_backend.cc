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

// Windows that slide, or streams, of some applications. What each tick gave is kept, so that a new
// one costs itself and the recurrence: of all ticks, or of one with the state that the one before
// it left.
class NativeSession : public TickSession {
 public:
  NativeSession(const NativeInference& engine, RunMode mode, std::size_t applications);

  absl::Status Push(absl::Span<const float> ticks, absl::Span<float> outputs) override;
  void Reset() override;

 private:
  // As many applications as are computed at once, fewer at the end.
  template <typename Body>
  void ForEachGroup(const Body& body) const {
    const std::size_t most = pass_.WindowsAtOnce();
    for (std::size_t a = 0; a < applications_; a += most) {
      body(a, std::min(most, applications_ - a));
    }
  }
  float* Rows(std::size_t application) { return rows_.data() + application * ticks_ * values_; }

  const NativeInference& engine_;
  const bool stream_;
  const std::size_t applications_;
  NativePass pass_;
  const std::size_t tick_, ticks_, values_;  // values_: of a tick, from the pass
  std::vector<float> zero_, newest_;         // what a tick of zeros gives, and the new ones
  std::vector<float> rows_, before_;  // of each group its ticks, oldest first; for an error, those
                                      // before
  std::vector<float> window_, kept_;  // of a network with local layers, each application's
  std::vector<float> state_, previous_;  // of streams; before the tick, for an error
};

class NativeInference : public InferenceEngine {
 public:
  NativeInference(const Network& network, const NativeKernels& kernels,
                  absl::Span<const float> parameters, const InferenceOptions& options,
                  std::vector<float>* taken)
      : InferenceEngine(network, options),
        model_(this->network(), kernels, parameters, options.bfloat16_weights, taken) {}
  std::string_view backend() const override { return "native"; }
  absl::StatusOr<std::unique_ptr<Workspace>> NewWorkspace(std::size_t max_windows) const override {
    // Windows are computed a few at a time: what they need does not grow with their number.
    SEER_RETURN_IF_ERROR(CheckWorkspaceSize(1, max_windows));
    SEER_RETURN_IF_ERROR(CheckWorkspaceSize(NativePass::Values(model_, 1),
                                            std::min(max_windows, kMostWindowsAtOnce)));
    return std::unique_ptr<Workspace>(std::make_unique<NativeWorkspace>(model_, max_windows));
  }
  absl::StatusOr<std::unique_ptr<TickSession>> NewSessionOf(std::size_t applications,
                                                            RunMode mode) const override {
    if (mode != RunMode::kSlide && mode != RunMode::kStream) {
      return InferenceEngine::NewSessionOf(applications, mode);
    }
    SEER_RETURN_IF_ERROR(CheckWorkspaceSize(NativePass::Values(model_, 1), 1));
    const std::size_t each = model_.tick_values * network().config().ticks;
    SEER_RETURN_IF_ERROR(CheckWorkspaceSize(2 * (each + network().window_values()), applications));
    return std::unique_ptr<TickSession>(std::make_unique<NativeSession>(*this, mode, applications));
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

NativeSession::NativeSession(const NativeInference& engine, RunMode mode, std::size_t applications)
    : engine_(engine),
      stream_(mode == RunMode::kStream),
      applications_(applications),
      pass_(engine.model(), applications),
      tick_(engine.network().window_values() / engine.network().config().ticks),
      ticks_(stream_ ? 1 : engine.network().config().ticks),
      values_(engine.model().tick_values),
      zero_(values_),
      newest_(applications * values_),
      rows_(stream_ ? 0 : applications * ticks_ * values_),
      before_(stream_ ? 0 : applications * values_),
      window_(engine.network().local().empty() ? 0
                                               : applications * engine.network().window_values()),
      kept_(window_.empty() ? 0 : applications * tick_),
      state_(stream_ ? applications * pass_.StateSize() : 0),
      previous_(state_.size()) {
  const FlushDenormals flush;
  pass_.Tick(std::vector<float>(tick_, 0.0f).data(), 1, zero_.data());
  Reset();
}

void NativeSession::Reset() {
  for (std::size_t at = 0; at < rows_.size(); at += values_) {
    std::copy(zero_.begin(), zero_.end(), rows_.begin() + static_cast<std::ptrdiff_t>(at));
  }
  std::fill(window_.begin(), window_.end(), 0.0f);
  std::fill(state_.begin(), state_.end(), 0.0f);
}

// `oldest` takes what `add` pushes out of `all`, and back.
void MoveUp(float* all, std::size_t size, const float* add, std::size_t added, float* oldest) {
  std::copy_n(all, added, oldest);
  std::copy(all + added, all + size, all);
  std::copy_n(add, added, all + size - added);
}
void MoveBack(float* all, std::size_t size, const float* oldest, std::size_t added) {
  std::copy_backward(all, all + size - added, all + size);
  std::copy_n(oldest, added, all);
}

absl::Status NativeSession::Push(absl::Span<const float> ticks, absl::Span<float> outputs) {
  if (ticks.size() != applications_ * tick_) {
    return absl::InvalidArgumentError(
        absl::StrCat("tick has ", ticks.size(), " values: give ", applications_ * tick_));
  }
  SEER_RETURN_IF_ERROR(engine_.CheckInputs(ticks, applications_, outputs));
  const std::size_t window = engine_.network().window_values();
  for (std::size_t a = 0; !window_.empty() && a < applications_; ++a) {
    MoveUp(&window_[a * window], window, &ticks[a * tick_], tick_, &kept_[a * tick_]);
  }
  std::copy(state_.begin(), state_.end(), previous_.begin());
  {
    const FlushDenormals flush;
    // Products see all applications at once.
    const std::size_t most = pass_.TicksAtOnce();
    for (std::size_t a = 0; a < applications_; a += most) {
      pass_.Tick(&ticks[a * tick_], std::min(most, applications_ - a),
                 newest_.data() + a * values_);
    }
    ForEachGroup([&](std::size_t a, std::size_t count) {
      const float* const inputs = window_.empty() ? nullptr : &window_[a * window];
      const float* const newest = newest_.data() + a * values_;
      float* const logits = &outputs[a * engine_.network().outputs()];
      if (stream_) {
        pass_.Stream(newest, count, inputs, state_.data() + a * pass_.StateSize(), logits);
      } else {
        MoveUp(Rows(a), count * ticks_ * values_, newest, count * values_,
               before_.data() + a * values_);
        pass_.FromTicks(Rows(a), count, inputs, logits);
      }
    });
  }
  absl::Status status = engine_.FinishOutputs(applications_, outputs);
  if (!status.ok()) {  // as if the ticks had never come
    if (!stream_) {
      ForEachGroup([&](std::size_t a, std::size_t count) {
        MoveBack(Rows(a), count * ticks_ * values_, before_.data() + a * values_, count * values_);
      });
    }
    for (std::size_t a = 0; !window_.empty() && a < applications_; ++a) {
      MoveBack(&window_[a * window], window, &kept_[a * tick_], tick_);
    }
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
    return New(network, parameters, options, nullptr);
  }
  absl::StatusOr<std::unique_ptr<InferenceEngine>> NewInferenceTaking(
      const Network& network, std::vector<float> parameters,
      const InferenceOptions& options) const override {
    return New(network, parameters, options, &parameters);
  }
  absl::StatusOr<std::unique_ptr<TrainingEngine>> NewTraining(
      const Network& network, std::size_t max_windows) const override {
    SEER_RETURN_IF_ERROR(
        CheckWorkspaceSize(Pass::ValuesPerWindow(network, /*training=*/true), max_windows));
    return std::unique_ptr<TrainingEngine>(
        std::make_unique<PassTraining>("native", network, *kernels_.training, max_windows));
  }

 private:
  absl::StatusOr<std::unique_ptr<InferenceEngine>> New(const Network& network,
                                                       absl::Span<const float> parameters,
                                                       const InferenceOptions& options,
                                                       std::vector<float>* taken) const {
    SEER_RETURN_IF_ERROR(CheckParameters(network, parameters));
    SEER_RETURN_IF_ERROR(CheckOptions(network, options, /*bfloat16=*/true));
    return std::unique_ptr<InferenceEngine>(
        std::make_unique<NativeInference>(network, kernels_, parameters, options, taken));
  }
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
