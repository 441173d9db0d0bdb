// Flow: (Network, weights) -> [Backend: InferenceEngine, TrainingEngine] -> outputs, gradients
//
// Who computes. Backends differ in speed and in the last bits: "reference" is the naive one that
// all others are tested against, "native" the fastest, which "auto" stands for; "eigen" takes
// Eigen's products. What was chosen tell name() and Description().
//
//   const seer::Backend* backend = seer::FindBackend("auto");
//   auto engine = backend->NewInference(network, weights);             // keeps its own weights
//   auto workspace = (*engine)->NewWorkspace(1);                       // one for each thread
//   absl::Status status = (*engine)->Run(window.values, 1, workspace->get(), absl::MakeSpan(out));
//
//   auto session = (*engine)->NewSession(seer::RunMode::kSlide);       // or tick by tick
//   status = (*session)->Push(tick, absl::MakeSpan(out));
//
// Outputs of a window are network.outputs() numbers: the probabilities of the N services and the
// extras; then for each request class the probabilities that a violation starts within the 1st,
// 2nd, ... horizon, which only grow. `logits` asks for what is below the last non-linearity
// instead.
//
// Inputs are checked first, by their bits: NaN and infinity give InvalidArgument, also where a host
// compiles with -ffast-math, and nothing of them is kept. Large finite values are computed with.
//
// Threads: an engine is immutable and may run in many threads at once, each with its own workspace.
//          A TrainingEngine belongs to one thread at a time.
// Cost:    Run() allocates nothing and takes no lock.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "seer/core/config.h"
#include "seer/nn/batch.h"
#include "seer/nn/loss.h"
#include "seer/nn/network.h"

SEER_BEGIN_NAMESPACE

// kWindow: each run computes a whole window. kSlide: a tick comes in, the window that ends with it
// is computed; the same function as kWindow. kStream: the state of the LSTM goes on from tick to
// tick; another function, for which a network has to be trained (TrainerOptions::carried_ticks).
enum class RunMode : std::uint8_t { kWindow, kSlide, kStream };

struct InferenceOptions {
  bool logits = false;
  // One for each service: those that are not live get probability 0 (checkpoint.h). Empty: all are.
  std::vector<bool> live;
  // For networks of thousands of services, whose ticks take as long as it takes to read the
  // weights: those of products are kept as bfloat16, half the memory. Costs accuracy (README.md,
  // "What equals what"). native; of others InvalidArgument.
  bool bfloat16_weights = false;
};

// What a run needs besides weights, sized when it is made.
class Workspace {
 public:
  virtual ~Workspace() = default;
  virtual std::size_t max_windows() const = 0;
  virtual std::size_t bytes() const = 0;
};

// A network that is fed tick by tick. One thread at a time.
class TickSession {
 public:
  virtual ~TickSession() = default;
  // N x C values of the newest tick in, outputs for the window that ends with it out; ticks before
  // the first are zeros. After an error the tick counts as never seen. Of several applications one
  // behind the other, outputs too; an error is one of all.
  virtual absl::Status Push(absl::Span<const float> tick, absl::Span<float> outputs) = 0;
  virtual void Reset() = 0;
};

class InferenceEngine {
 public:
  virtual ~InferenceEngine() = default;
  virtual std::string_view backend() const = 0;
  const Network& network() const { return network_; }
  const InferenceOptions& options() const { return options_; }

  // For 1 to max_windows windows at once. ResourceExhausted above 2^30 values.
  virtual absl::StatusOr<std::unique_ptr<Workspace>> NewWorkspace(
      std::size_t max_windows) const = 0;

  // inputs: windows x T x N x C; outputs: windows x network().outputs(). InvalidArgument: a size
  // does not fit, or an input is not finite (the message says which). Internal: the weights are
  // such that an output is not finite.
  absl::Status Run(absl::Span<const float> inputs, std::size_t windows, Workspace* workspace,
                   absl::Span<float> outputs) const;

  // For engines that compute elsewhere: Start() may return before the outputs are there, Finish()
  // waits for them. One run at a time in a workspace; inputs and outputs stay in place until then.
  // Here Start() does it all.
  virtual absl::Status Start(absl::Span<const float> inputs, std::size_t windows,
                             Workspace* workspace, absl::Span<float> outputs) const {
    return Run(inputs, windows, workspace, outputs);
  }
  virtual absl::Status Finish(Workspace*) const { return absl::OkStatus(); }

  // The engine outlives the session. kWindow is not a mode of sessions (InvalidArgument). kSlide:
  // the backends native and eigen keep what each tick gave and compute the newest one and the
  // recurrence; others keep the ticks and compute the whole window. kStream: native; of others
  // Unimplemented.
  absl::StatusOr<std::unique_ptr<TickSession>> NewSession(RunMode mode) const {
    return NewSessionOf(1, mode);
  }
  // One session for the ticks of several applications, or of equal parts of a large one, that the
  // same network watches. native reads its weights once for all of them. ResourceExhausted above
  // 2^30 values.
  virtual absl::StatusOr<std::unique_ptr<TickSession>> NewSessionOf(std::size_t applications,
                                                                    RunMode mode) const;

 protected:
  InferenceEngine(const Network& network, const InferenceOptions& options)
      : network_(network), options_(options) {}
  // The parts of Run(), for sessions. Whether outputs have room and inputs are in range; the size
  // of inputs is the caller's.
  absl::Status CheckInputs(absl::Span<const float> inputs, std::size_t windows,
                           absl::Span<float> outputs) const;
  // From logits to what was asked for; Internal as Run().
  absl::Status FinishOutputs(std::size_t windows, absl::Span<float> outputs) const;
  // Sizes fit and inputs are finite. Writes logits.
  virtual void Compute(const float* inputs, std::size_t windows, Workspace* workspace,
                       float* logits) const noexcept = 0;
  // Of one window, in place.
  virtual void ToProbabilities(float* logits) const noexcept;

 private:
  const Network network_;
  const InferenceOptions options_;
};

// What is the same for all windows of a training step.
struct StepContext {
  const LossOptions* loss = nullptr;
  float scale = 1;  // of the gradient: 1 / the sum of the weights of the step's windows
  // For streams: so many first ticks of a window only bring the state that the LSTMs go on from. No
  // gradient goes back through it. Fewer than the network's ticks.
  std::size_t carried_ticks = 0;
  bool dropout = true;
  std::uint64_t dropout_seed = 0,
                step = 0;  // masks depend on these and the window's place in the step
};

class TrainingEngine {
 public:
  virtual ~TrainingEngine() = default;
  virtual std::string_view backend() const = 0;
  virtual std::size_t max_windows() const = 0;
  virtual std::size_t bytes() const = 0;

  // Windows [first, first + count) of `batch`, which has passed Check(); count <= max_windows().
  // Adds their gradient, times scale, to `gradient`, and their loss to `sum`. With an empty
  // gradient only the loss is computed. `logits`, where not empty, gets count x outputs.
  virtual void Gradient(absl::Span<const float> parameters, const TrainingBatch& batch,
                        std::size_t first, std::size_t count, const StepContext& step,
                        absl::Span<float> gradient, absl::Span<float> logits,
                        LossSum* sum) noexcept = 0;
};

class Backend {
 public:
  virtual ~Backend() = default;
  virtual std::string_view name() const = 0;
  // For people and reports: which kernels it uses here, for example "x86-64-v4".
  virtual std::string Description() const = 0;

  // InvalidArgument: `parameters` has another size, or a value that is not finite.
  virtual absl::StatusOr<std::unique_ptr<InferenceEngine>> NewInference(
      const Network& network, absl::Span<const float> parameters,
      const InferenceOptions& options = {}) const = 0;
  // The same, for weights that nobody else needs (std::move(checkpoint.parameters)): native packs
  // the large ones where they stand, so that there is no second copy of them, nor the time that the
  // kernel takes to give the memory. They are gone, also after an error.
  virtual absl::StatusOr<std::unique_ptr<InferenceEngine>> NewInferenceTaking(
      const Network& network, std::vector<float> parameters,
      const InferenceOptions& options = {}) const {
    return NewInference(network, parameters, options);
  }
  // ResourceExhausted above 2^30 values.
  virtual absl::StatusOr<std::unique_ptr<TrainingEngine>> NewTraining(
      const Network& network, std::size_t max_windows) const = 0;
};

// Those that were built in, best first, then those that were added; "auto" is the first. Null:
// unknown.
const Backend* FindBackend(std::string_view name);
absl::Span<const Backend* const> Backends();

// Lets a backend from elsewhere (onednn.h, an accelerator) be found by its name, from any thread
// and for as long as the process lives. AlreadyExists: another one has the name. InvalidArgument:
// the name is empty or "auto". ResourceExhausted beyond 16.
absl::Status AddBackend(const Backend* backend);

SEER_END_NAMESPACE
