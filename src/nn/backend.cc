#include "seer/nn/backend.h"

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "nn/backends.h"
#include "nn/finite.h"
#include "nn/loss_math.h"
#include "seer/core/internal/mutex.h"
#include "seer/core/internal/status_macros.h"

SEER_BEGIN_NAMESPACE
namespace {

// kSlide for every engine: the last T ticks of each application, one behind the other, and the
// whole windows each time.
class SlidingSession : public TickSession {
 public:
  SlidingSession(const InferenceEngine& engine, std::unique_ptr<Workspace> workspace)
      : engine_(engine),
        workspace_(std::move(workspace)),
        tick_(engine.network().window_values() / engine.network().config().ticks),
        windows_(workspace_->max_windows() * engine.network().window_values(), 0.0f),
        kept_(workspace_->max_windows() * tick_) {}

  absl::Status Push(absl::Span<const float> ticks, absl::Span<float> outputs) override {
    if (ticks.size() != kept_.size()) {
      return absl::InvalidArgumentError(
          absl::StrCat("tick has ", ticks.size(), " values: give ", kept_.size()));
    }
    const std::size_t applications = workspace_->max_windows();
    const std::size_t size = engine_.network().window_values();
    for (std::size_t a = 0; a < applications; ++a) {
      float* const window = &windows_[a * size];
      std::copy_n(window, tick_, &kept_[a * tick_]);
      std::copy(window + tick_, window + size, window);
      std::copy_n(&ticks[a * tick_], tick_, window + size - tick_);
    }
    absl::Status status = engine_.Run(windows_, applications, workspace_.get(), outputs);
    for (std::size_t a = 0; !status.ok() && a < applications; ++a) {  // as if it had never come
      float* const window = &windows_[a * size];
      std::copy_backward(window, window + size - tick_, window + size);
      std::copy_n(&kept_[a * tick_], tick_, window);
    }
    return status;
  }
  void Reset() override { std::fill(windows_.begin(), windows_.end(), 0.0f); }

 private:
  const InferenceEngine& engine_;
  const std::unique_ptr<Workspace> workspace_;
  const std::size_t tick_;
  std::vector<float> windows_, kept_;
};

}  // namespace

absl::Status InferenceEngine::Run(absl::Span<const float> inputs, std::size_t windows,
                                  Workspace* workspace, absl::Span<float> outputs) const {
  if (workspace == nullptr || windows == 0 || windows > workspace->max_windows()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "windows is ", windows, ": give 1 to ", workspace == nullptr ? 0 : workspace->max_windows(),
        ", or a workspace for more"));
  }
  if (inputs.size() != windows * network_.window_values()) {
    return absl::InvalidArgumentError(absl::StrCat("inputs has ", inputs.size(), " values: give ",
                                                   windows * network_.window_values()));
  }
  SEER_RETURN_IF_ERROR(CheckInputs(inputs, windows, outputs));
  Compute(inputs.data(), windows, workspace, outputs.data());
  return FinishOutputs(windows, outputs);
}

absl::Status InferenceEngine::CheckInputs(absl::Span<const float> inputs, std::size_t windows,
                                          absl::Span<float> outputs) const {
  if (outputs.size() != windows * network_.outputs()) {
    return absl::InvalidArgumentError(absl::StrCat("outputs has room for ", outputs.size(),
                                                   " values: give ", windows * network_.outputs()));
  }
  if (const std::size_t i = internal::FirstNotBelow(inputs, internal::kTooLargeBits);
      i < inputs.size()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "inputs: value ", i % network_.window_values(), " of window ", i / network_.window_values(),
        " is not finite, or 2^64 or more: give 0 for what was not seen"));
  }
  return absl::OkStatus();
}

absl::Status InferenceEngine::FinishOutputs(std::size_t windows, absl::Span<float> outputs) const {
  if (internal::FirstNotFinite(outputs) < outputs.size()) {
    std::fill(outputs.begin(), outputs.end(), 0.0f);
    return absl::InternalError(
        "an output is not finite: the weights are out of bounds, train again from an older model");
  }
  if (options_.logits) return absl::OkStatus();
  for (std::size_t w = 0; w < windows; ++w) {
    float* const z = outputs.data() + w * network_.outputs();
    for (std::size_t s = 0; s < options_.live.size(); ++s) {
      if (!options_.live[s]) z[s] = -1e30f;
    }
    ToProbabilities(z);
  }
  return absl::OkStatus();
}

void InferenceEngine::ToProbabilities(float* logits) const noexcept {
  internal::LogitsToOutputs(network_, logits);
}

absl::StatusOr<std::unique_ptr<TickSession>> InferenceEngine::NewSessionOf(std::size_t applications,
                                                                           RunMode mode) const {
  if (mode == RunMode::kStream) {
    return absl::UnimplementedError(
        absl::StrCat("backend ", std::string(backend()), " has no mode stream: use slide"));
  }
  if (mode != RunMode::kSlide) {
    return absl::InvalidArgumentError("mode window needs no session: call Run()");
  }
  SEER_ASSIGN_OR_RETURN(std::unique_ptr<Workspace> workspace, NewWorkspace(applications));
  return std::unique_ptr<TickSession>(
      std::make_unique<SlidingSession>(*this, std::move(workspace)));
}

namespace {

// Grows only: whoever reads the count may read the pointers before it.
struct BackendList {
  static constexpr std::size_t kMost = 16;
  const Backend* all[kMost] = {};
  std::string names[kMost];  // so that nobody's code is called under the lock
  std::atomic<std::size_t> count{0};
  internal::Mutex writers;

  BackendList() {
    std::size_t built_in = 0;
    all[built_in++] = internal::NativeBackend();
#ifdef SEER_NN_EIGEN
    all[built_in++] = internal::EigenBackend();
#endif
    all[built_in++] = internal::ReferenceBackend();
    for (std::size_t i = 0; i < built_in; ++i) names[i] = std::string(all[i]->name());
    count.store(built_in, std::memory_order_relaxed);  // nobody else knows of it yet
  }
};

BackendList& List() {
  static BackendList* const list = new BackendList;
  return *list;
}

}  // namespace

absl::Span<const Backend* const> Backends() {
  const BackendList& list = List();
  // [A] acquire, pairs with [B] in AddBackend().
  return {list.all, list.count.load(std::memory_order_acquire)};
}

const Backend* FindBackend(std::string_view name) {
  for (const Backend* backend : Backends()) {
    if (name == "auto" || backend->name() == name) return backend;
  }
  return nullptr;
}

absl::Status AddBackend(const Backend* backend) {
  const std::string name = backend == nullptr ? "" : std::string(backend->name());
  if (name.empty() || name == "auto") {
    return absl::InvalidArgumentError("backend: null, or named '' or 'auto': give it another name");
  }
  BackendList& list = List();
  const internal::MutexLock lock(&list.writers);
  const std::size_t count = list.count.load(std::memory_order_relaxed);  // only we change it
  for (std::size_t i = 0; i < count; ++i) {
    if (list.all[i] == backend) return absl::OkStatus();
    if (list.names[i] == name) {
      return absl::AlreadyExistsError(
          absl::StrCat("backend ", name, " is there: give it another name"));
    }
  }
  if (count == BackendList::kMost) {
    return absl::ResourceExhaustedError(absl::StrCat("backends: there are ", count, " already"));
  }
  list.all[count] = backend;
  list.names[count] = name;
  list.count.store(count + 1, std::memory_order_release);  // [B] release, pairs with [A]
  return absl::OkStatus();
}

namespace internal {

absl::Status CheckOptions(const Network& network, const InferenceOptions& options, bool bfloat16) {
  if (options.bfloat16_weights && !bfloat16) {
    return absl::InvalidArgumentError("bfloat16_weights: only the backend native has them");
  }
  if (options.live.empty() || options.live.size() == network.services()) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("live has ", options.live.size(), " values: give ",
                                                 network.services(), ", or none"));
}

absl::Status CheckParameters(const Network& network, absl::Span<const float> parameters) {
  if (parameters.size() != network.parameters()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "parameters has ", parameters.size(), " values: this network has ", network.parameters()));
  }
  const std::size_t i = FirstNotFinite(parameters);
  if (i == parameters.size()) return absl::OkStatus();
  std::string where = "?";
  for (const Tensor& tensor : network.tensors()) {
    if (i >= tensor.offset && i < tensor.offset + tensor.size()) where = tensor.name;
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "parameters: ", where, " has a value that is not finite: train again from an older model"));
}

absl::Status CheckWorkspaceSize(std::size_t values_per_window, std::size_t windows) {
  constexpr std::size_t kMost = std::size_t{1} << 30;
  if (windows == 0) return absl::InvalidArgumentError("max_windows is 0: give 1 or more");
  if (values_per_window > kMost / windows) {
    return absl::ResourceExhaustedError(absl::StrCat(
        "max_windows is ", windows, ", with ", values_per_window, " values for each: give fewer"));
  }
  return absl::OkStatus();
}

}  // namespace internal
SEER_END_NAMESPACE
