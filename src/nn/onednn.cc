#include "seer/nn/onednn.h"

#include <dlfcn.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <exception>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "nn/backends.h"
#include "nn/kernels.h"
#include "nn/loss_math.h"
#include "nn/onednn_pass.h"
#include "seer/core/internal/status_macros.h"

SEER_BEGIN_NAMESPACE
namespace internal {
namespace {

// OpenMP's number of threads for the calling thread, while this lives. Asked for by name: a oneDNN
// that was built without OpenMP brings no such function.
class Threads {
 public:
  explicit Threads(std::uint32_t threads) {
    if (Functions().get == nullptr || Functions().set == nullptr) return;
    before_ = Functions().get();
    Functions().set(static_cast<int>(threads));
  }
  ~Threads() {
    if (before_ > 0) Functions().set(before_);
  }
  Threads(const Threads&) = delete;
  Threads& operator=(const Threads&) = delete;

 private:
  struct Found {
    int (*get)() = nullptr;
    void (*set)(int) = nullptr;
  };
  static const Found& Functions() {
    static const Found found = [] {
      Found f;
      f.get = reinterpret_cast<int (*)()>(dlsym(RTLD_DEFAULT, "omp_get_max_threads"));
      f.set = reinterpret_cast<void (*)(int)>(dlsym(RTLD_DEFAULT, "omp_set_num_threads"));
      return f;
    }();
    return found;
  }
  int before_ = 0;
};

const Kernels& OnednnKernels() {
  static const Kernels kernels = [] {
    std::size_t count;
    return WithOnednnProducts(*UsableKernels(&count)[0]);
  }();
  return kernels;
}

// Runs what may throw.
template <typename F>
absl::Status Guarded(const F& work) {
  try {
    work();
    return absl::OkStatus();
  } catch (const std::bad_alloc&) {
    return absl::ResourceExhaustedError("onednn: no memory: give fewer windows");
  } catch (const std::exception& e) {
    return absl::InternalError(absl::StrCat("onednn ", OnednnVersion(), ": ", e.what(),
                                            ": take the backend eigen for this network"));
  }
}

// Passes for the numbers of windows that were used last.
class Passes {
 public:
  Passes(const Network& network, std::uint32_t threads, std::size_t max_windows, bool training)
      : network_(network), threads_(threads), max_windows_(max_windows), training_(training) {}

  std::size_t max_windows() const { return max_windows_; }
  std::uint32_t threads() const { return threads_; }
  std::size_t bytes() const {
    std::size_t sum = 0;
    for (const Entry& entry : entries_) sum += entry.pass == nullptr ? 0 : entry.pass->bytes();
    return sum;
  }
  // Throws. Under Threads of the same number.
  OnednnPass& For(std::size_t windows) {
    for (Entry& entry : entries_) {
      if (entry.windows == windows) return *entry.pass;
    }
    Entry& entry = entries_[next_];
    entry.windows = 0;
    entry.pass.reset();
    entry.pass = std::make_unique<OnednnPass>(network_, OnednnKernels(), windows, training_);
    entry.windows = windows;
    next_ = (next_ + 1) % entries_.size();
    return *entry.pass;
  }

 private:
  struct Entry {
    std::size_t windows = 0;
    std::unique_ptr<OnednnPass> pass;
  };
  const Network& network_;
  const std::uint32_t threads_;
  const std::size_t max_windows_;
  const bool training_;
  std::array<Entry, 4> entries_;
  std::size_t next_ = 0;
};

class OnednnWorkspace : public Workspace {
 public:
  OnednnWorkspace(const Network& network, std::uint32_t threads, std::size_t max_windows)
      : passes(network, threads, max_windows, /*training=*/false) {}
  std::size_t max_windows() const override { return passes.max_windows(); }
  std::size_t bytes() const override { return passes.bytes(); }

  Passes passes;
};

class OnednnInference : public InferenceEngine {
 public:
  OnednnInference(const Network& network, std::uint32_t threads, absl::Span<const float> parameters,
                  const InferenceOptions& options)
      : InferenceEngine(network, options),
        threads_(threads),
        parameters_(parameters.begin(), parameters.end()) {}
  std::string_view backend() const override { return "onednn"; }
  absl::StatusOr<std::unique_ptr<Workspace>> NewWorkspace(std::size_t max_windows) const override {
    SEER_RETURN_IF_ERROR(
        CheckWorkspaceSize(Pass::ValuesPerWindow(network(), /*training=*/true), max_windows));
    auto workspace = std::make_unique<OnednnWorkspace>(network(), threads_, max_windows);
    const Threads threads(threads_);
    SEER_RETURN_IF_ERROR(Guarded([&] { workspace->passes.For(max_windows); }));
    return std::unique_ptr<Workspace>(std::move(workspace));
  }

 protected:
  void Compute(const float* inputs, std::size_t windows, Workspace* workspace,
               float* logits) const noexcept override {
    const Threads threads(threads_);
    const bool ok = Guarded([&] {
                      static_cast<OnednnWorkspace*>(workspace)->passes.For(windows).Forward(
                          parameters_.data(), inputs, windows, {}, logits);
                    }).ok();
    // Run() makes an error of it.
    if (!ok) std::fill_n(logits, windows * network().outputs(), NAN);
  }

 private:
  const std::uint32_t threads_;
  const std::vector<float> parameters_;
};

class OnednnTraining : public TrainingEngine {
 public:
  OnednnTraining(const Network& network, std::uint32_t threads, std::size_t max_windows)
      : network_(network),
        passes_(network_, threads, max_windows, /*training=*/true),
        logits_(max_windows * network.outputs()),
        d_logits_(max_windows * network.outputs()) {}
  absl::Status Prepare() {
    const Threads threads(passes_.threads());
    return Guarded([&] { passes_.For(passes_.max_windows()); });
  }
  std::string_view backend() const override { return "onednn"; }
  std::size_t max_windows() const override { return passes_.max_windows(); }
  std::size_t bytes() const override {
    return passes_.bytes() + (logits_.size() + d_logits_.size()) * sizeof(float);
  }

  void Gradient(absl::Span<const float> parameters, const TrainingBatch& batch, std::size_t first,
                std::size_t count, const StepContext& step, absl::Span<float> gradient,
                absl::Span<float> logits, LossSum* sum) noexcept override {
    if (count == 0) return;
    const Threads threads(passes_.threads());
    const bool ok = Guarded([&] {
                      OnednnPass& pass = passes_.For(count);
                      PassGradient(network_, &pass, parameters, batch, first, count, step, gradient,
                                   logits, logits_.data(), d_logits_.data(), sum);
                    }).ok();
    if (!ok) sum->loss = NAN;  // the trainer makes an error of it
  }

 private:
  const Network network_;
  Passes passes_;
  std::vector<float> logits_, d_logits_;
};

class OnednnBackendImpl : public Backend {
 public:
  explicit OnednnBackendImpl(std::uint32_t threads) : threads_(threads) {}
  std::string_view name() const override { return "onednn"; }
  std::string Description() const override {
    return absl::StrCat("oneDNN ", OnednnVersion(), ", ", threads_,
                        threads_ == 1 ? " thread" : " threads");
  }
  absl::StatusOr<std::unique_ptr<InferenceEngine>> NewInference(
      const Network& network, absl::Span<const float> parameters,
      const InferenceOptions& options) const override {
    SEER_RETURN_IF_ERROR(CheckParameters(network, parameters));
    SEER_RETURN_IF_ERROR(CheckOptions(network, options));
    return std::unique_ptr<InferenceEngine>(
        std::make_unique<OnednnInference>(network, threads_, parameters, options));
  }
  absl::StatusOr<std::unique_ptr<TrainingEngine>> NewTraining(
      const Network& network, std::size_t max_windows) const override {
    SEER_RETURN_IF_ERROR(
        CheckWorkspaceSize(Pass::ValuesPerWindow(network, /*training=*/true), max_windows));
    auto engine = std::make_unique<OnednnTraining>(network, threads_, max_windows);
    SEER_RETURN_IF_ERROR(engine->Prepare());
    return std::unique_ptr<TrainingEngine>(std::move(engine));
  }

 private:
  const std::uint32_t threads_;
};

}  // namespace
}  // namespace internal

const Backend* OnednnBackend() {
  static const internal::OnednnBackendImpl backend(1);
  return &backend;
}

std::unique_ptr<Backend> MakeOnednnBackend(const OnednnOptions& options) {
  if (options.threads < 1 || options.threads > 256) return nullptr;
  return std::make_unique<internal::OnednnBackendImpl>(options.threads);
}

std::string OnednnVersion() {
  const dnnl_version_t* const version = dnnl_version();
  return absl::StrCat(version->major, ".", version->minor, ".", version->patch);
}

SEER_END_NAMESPACE
