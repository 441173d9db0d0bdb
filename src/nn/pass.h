// One way through the network, forwards and backwards, for a number of windows at once.
//
//   Pass pass(network, kernels, max_windows, training);
//   pass.Forward(parameters, inputs, windows, {}, logits);
//   pass.Backward(parameters, d_logits, gradient);                    // adds
//
// Rows are ordered by tick, then by window, so that one tick of all windows is a matrix without
// gaps. The convolutions of a tick are computed one behind the other while their values are near;
// only the last one's outputs are kept, the others are computed again on the way back.
//
// Threads: one at a time. Cost: all memory is taken in the constructor.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/types/span.h"
#include "nn/floats.h"
#include "nn/kernels.h"
#include "seer/core/config.h"
#include "seer/nn/backend.h"
#include "seer/nn/network.h"

SEER_BEGIN_NAMESPACE
namespace internal {

inline KernelActivation ToKernel(Activation activation) {
  switch (activation) {
    case Activation::kRelu:
      return KernelActivation::kRelu;
    case Activation::kSigmoid:
      return KernelActivation::kSigmoid;
    case Activation::kTanh:
      return KernelActivation::kTanh;
    case Activation::kNone:
      break;
  }
  return KernelActivation::kNone;
}

class Pass {
 public:
  struct Dropout {
    bool on = false;
    std::uint64_t seed = 0, step = 0;
    std::size_t first = 0;  // the place of the first window in its step
  };

  // How many floats a pass needs for each window, about.
  static std::size_t ValuesPerWindow(const Network& network, bool training);

  Pass(const Network& network, const Kernels& kernels, std::size_t max_windows, bool training);
  virtual ~Pass() = default;
  Pass(const Pass&) = delete;
  Pass& operator=(const Pass&) = delete;

  void Forward(const float* p, const float* inputs, std::size_t windows, const Dropout& dropout,
               float* logits);
  // After Forward() with the same parameters, whose inputs are still there. No gradient goes back
  // to the first `carried` ticks.
  void Backward(const float* p, const float* d_logits, std::size_t carried, float* g);

  // A window that moves on by one tick. What the layers ahead of the first LSTM's recurrence make
  // of a tick does not depend on its place in the window: computed once, TickValues() floats, and
  // kept by whoever slides. ForwardFromTicks() wants those of T ticks, oldest first, and where the
  // network has local layers the window itself. One window at a time.
  std::size_t TickValues() const { return tick_values_; }
  void TickForward(const float* p, const float* tick, float* values);
  void ForwardFromTicks(const float* p, const float* values, const float* window, float* logits);

  std::size_t bytes() const;

 protected:
  struct StageMemory {
    Floats out, gates, cells, tanh_cells;  // gates: of an lstm
    Floats d_in, d_cells;                  // training
    Floats recurrent;                      // packed; on the way back transposed
    const float* result = nullptr;         // what the stage gave: out, or what came in
  };
  // The convolutions, and the pool, that come first; of one tick.
  struct Front {
    const std::vector<Stage>* stages;
    std::size_t count = 0;  // convolutions
    const Stage* pool = nullptr;
    std::vector<Floats> out, d_out, weight_t;
  };

  // What a pass may compute in another way (onednn_pass.h). Rows as described above.
  virtual void TrunkFrontForward(const float* p);
  virtual void TrunkFrontBackward(const float* p, float* d, float* g);
  // `out`: of this window. Gradients `d` are destroyed on the way back.
  virtual void LocalForward(const float* p, std::size_t window, float* out);
  virtual void LocalBackward(const float* p, std::size_t window, const float* out, float* d,
                             float* g);
  virtual void LstmForward(std::size_t i, const float* p, const float* in);
  // d: gradient of the outputs, destroyed; d_in: of the inputs, unless null.
  virtual void LstmBackward(std::size_t i, const float* p, const float* in, float* d, float* d_in,
                            float* g);

  static void PoolForward(const Stage& stage, const float* in, float* out);
  static void PoolBackward(const Stage& stage, const float* in, const float* d_out, float* d_in);
  const float* StackTicks(std::size_t window);

  const Network& network() const { return network_; }
  std::size_t windows() const { return windows_; }
  // The first tick of a stage that a gradient comes to.
  std::size_t FirstTick(const Stage& stage) const {
    return stage.in_ticks == network_.config().ticks ? carried_ : 0;
  }
  const float* TickInputs(std::size_t tick, std::size_t window) const {
    const std::size_t values = network_.window_values() / network_.config().ticks;
    return inputs_ + (window * network_.config().ticks + tick) * values;
  }
  const Floats& features() const { return features_; }
  std::size_t tick_features() const { return tick_features_; }
  std::size_t first_after_front() const { return first_after_front_; }
  StageMemory& stage_memory(std::size_t i) { return stages_[i]; }
  const Kernels& kernels() const { return kernels_; }

 private:
  void InitFront(const std::vector<Stage>& stages, bool training, Front* front);
  static void ConvRow(const Kernels& kernels, const Stage& stage, const float* p, const float* in,
                      float* out);
  // Values of all convolutions but the last, which goes to `out` (or, with a pool, the pool's).
  void FrontForward(const Front& front, const float* p, const float* in, float* out);
  // d_out is destroyed.
  void FrontBackward(const Front& front, const float* p, const float* in, const float* out,
                     float* d_out, float* g);
  void TransposeWeights(const Front& front, const float* p);

  void StageForward(std::size_t i, const float* p, const float* in);
  void LstmInputs(const Stage& stage, const float* p, const float* in, std::size_t rows,
                  float* gates);
  void LstmRecurrence(const Stage& stage, const float* p, StageMemory& memory);
  void TrunkForward(std::size_t first, const float* p, const float* in);
  // The gradient of the inputs; null if nobody asks for it.
  float* StageBackward(std::size_t i, const float* p, const float* in, float* d, float* g);
  void DropoutRows(const Stage& stage, std::size_t first_tick, const float* in, float* out) const;

  void HeadForward(const float* p, float* logits);
  void HeadBackward(const float* p, const float* d_logits, float* g);

  void Gemm(bool at, bool bt, std::size_t m, std::size_t n, std::size_t k, const float* a,
            std::size_t lda, const float* b, std::size_t ldb, bool add, float* c, std::size_t ldc) {
    kernels_.gemm(at, bt, m, n, k, a, lda, b, ldb, add, c, ldc, scratch_.get());
  }

  const Network& network_;
  const Kernels& kernels_;
  const std::size_t max_windows_;
  const bool training_;
  Front trunk_front_, local_front_;
  std::size_t first_after_front_ = 0;
  std::size_t tick_features_ = 0;  // of the front's output
  std::size_t tick_end_ = 0;       // the first stage that sees more than one tick
  std::size_t tick_values_ = 0;
  Floats features_, d_features_;  // (T x windows) x tick_features_
  std::vector<StageMemory> stages_;
  const float* context_ = nullptr;  // windows x context
  Floats d_context_;
  Floats stacked_, local_, d_local_;  // N x (T x C); windows x N x channels
  Floats base_, hidden_, d_hidden_;   // windows x width; windows x N x width
  Floats scratch_;

  std::size_t windows_ = 0;  // of the pass
  std::size_t carried_ = 0;
  const float* inputs_ = nullptr;
  Dropout dropout_;
};

// What TrainingEngine::Gradient() promises, with a pass. logits_of, d_logits: room for count x
// outputs.
void PassGradient(const Network& network, Pass* pass, absl::Span<const float> parameters,
                  const TrainingBatch& batch, std::size_t first, std::size_t count,
                  const StepContext& step, absl::Span<float> gradient, absl::Span<float> logits,
                  float* logits_of, float* d_logits, LossSum* sum);

}  // namespace internal
SEER_END_NAMESPACE
