#include <algorithm>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/str_cat.h"
#include "nn/backends.h"
#include "nn/eigen_kernels.h"
#include "nn/kernels.h"
#include "nn/pass.h"
#include "nn/pass_training.h"
#include "nn/prefault.h"
#include "nn/processor.h"
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

class EigenInference;

// A window that slides: what each tick gave is kept, so that a new one costs itself and the
// recurrence.
class EigenSession : public TickSession {
 public:
  EigenSession(const EigenInference& engine, const Kernels& kernels, const float* parameters);

  absl::Status Push(absl::Span<const float> tick, absl::Span<float> outputs) override;
  void Reset() override;

 private:
  const EigenInference& engine_;
  const float* const parameters_;
  Pass pass_;
  const std::size_t tick_, values_, ticks_;
  std::vector<float> zero_;           // what a tick of zeros gives
  std::vector<float> rows_, before_;  // T x values_, oldest first; the tick before, for an error
  std::vector<float> window_, kept_;  // of a network with local layers
};

class EigenInference : public InferenceEngine {
 public:
  EigenInference(const Network& network, const Kernels& kernels, absl::Span<const float> parameters,
                 const InferenceOptions& options)
      : InferenceEngine(network, options),
        kernels_(kernels),
        parameters_(PrefaultedCopy(parameters)) {}
  std::string_view backend() const override { return "eigen"; }
  absl::StatusOr<std::unique_ptr<Workspace>> NewWorkspace(std::size_t max_windows) const override {
    SEER_RETURN_IF_ERROR(
        CheckWorkspaceSize(Pass::ValuesPerWindow(network(), /*training=*/false), max_windows));
    return std::unique_ptr<Workspace>(
        std::make_unique<EigenWorkspace>(network(), kernels_, max_windows));
  }
  absl::StatusOr<std::unique_ptr<TickSession>> NewSessionOf(std::size_t applications,
                                                            RunMode mode) const override {
    if (mode != RunMode::kSlide || applications != 1) {
      return InferenceEngine::NewSessionOf(applications, mode);
    }
    SEER_RETURN_IF_ERROR(CheckWorkspaceSize(Pass::ValuesPerWindow(network(), false), 1));
    return std::unique_ptr<TickSession>(
        std::make_unique<EigenSession>(*this, kernels_, parameters_.data()));
  }
  using InferenceEngine::CheckInputs;
  using InferenceEngine::FinishOutputs;

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

EigenSession::EigenSession(const EigenInference& engine, const Kernels& kernels,
                           const float* parameters)
    : engine_(engine),
      parameters_(parameters),
      pass_(engine.network(), kernels, 1, /*training=*/false),
      tick_(engine.network().window_values() / engine.network().config().ticks),
      values_(pass_.TickValues()),
      ticks_(engine.network().config().ticks),
      zero_(values_),
      rows_(values_ * ticks_),
      before_(values_),
      window_(engine.network().local().empty() ? 0 : engine.network().window_values()),
      kept_(window_.empty() ? 0 : tick_) {
  pass_.TickForward(parameters_, std::vector<float>(tick_, 0.0f).data(), zero_.data());
  Reset();
}

void EigenSession::Reset() {
  for (std::size_t t = 0; t < ticks_; ++t) {
    std::copy(zero_.begin(), zero_.end(), rows_.begin() + static_cast<std::ptrdiff_t>(t * values_));
  }
  std::fill(window_.begin(), window_.end(), 0.0f);
}

absl::Status EigenSession::Push(absl::Span<const float> tick, absl::Span<float> outputs) {
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
  const auto newest = move_up(&rows_, &before_);
  if (values_ > 0) pass_.TickForward(parameters_, tick.data(), &*newest);
  if (!window_.empty()) std::copy(tick.begin(), tick.end(), move_up(&window_, &kept_));
  pass_.ForwardFromTicks(parameters_, rows_.data(), window_.data(), outputs.data());
  absl::Status status = engine_.FinishOutputs(1, outputs);
  if (!status.ok()) {  // as if the tick had never come
    const auto move_back = [](std::vector<float>* all, const std::vector<float>& oldest) {
      std::copy_backward(all->begin(), all->end() - static_cast<std::ptrdiff_t>(oldest.size()),
                         all->end());
      std::copy(oldest.begin(), oldest.end(), all->begin());
    };
    move_back(&rows_, before_);
    if (!window_.empty()) move_back(&window_, kept_);
  }
  return status;
}

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
        std::make_unique<PassTraining>("eigen", network, kernels_, max_windows));
  }

 private:
  const Kernels& kernels_;
};

}  // namespace

const Kernels* const* UsableEigenKernels(std::size_t* count) {
  struct Usable {
    Kernels kernels[3];
    const Kernels* tables[3] = {};
    std::size_t count = 0;
    Usable() {
      // Best first in both, and as many.
      const UsableTables<EigenFunctions> eigen(EigenV4(), EigenV3(), EigenBaseline());
      const Kernels* const* const own = UsableKernels(&count);
      SEER_DCHECK(eigen.count == count);
      for (std::size_t i = 0; i < count; ++i) {
        kernels[i] = *own[i];
        kernels[i].gemm = eigen.tables[i]->gemm;
        kernels[i].activate = eigen.tables[i]->activate;
        kernels[i].activate_backward = eigen.tables[i]->activate_backward;
        kernels[i].lstm = eigen.tables[i]->lstm;
        tables[i] = &kernels[i];
      }
    }
  };
  static const Usable usable;
  *count = usable.count;
  return usable.tables;
}

std::unique_ptr<Backend> MakeEigenBackend(const Kernels& kernels) {
  return std::make_unique<EigenBackendImpl>(kernels);
}

const Backend* EigenBackend() {
  static const Backend* const backend = [] {
    std::size_t count;
    return new EigenBackendImpl(*UsableEigenKernels(&count)[0]);
  }();
  return backend;
}

}  // namespace internal
SEER_END_NAMESPACE
