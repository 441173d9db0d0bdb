// One way through a network with the native kernels, for inference.
//
// What a tick gives ahead of the first recurrence does not depend on its place in a window: Tick()
// computes it, FromTicks() the rest, from T of them; Stream() from one and the state of the LSTMs.
// Forward() does both for whole windows, for a few of them at once.
//
// Threads: one at a time. Cost: all memory is taken in the constructor.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "nn/floats.h"
#include "nn/native_model.h"
#include "seer/core/config.h"

SEER_BEGIN_NAMESPACE
namespace internal {

class NativePass {
 public:
  // How many floats a pass has, about.
  static std::size_t Values(const NativeModel& model, std::size_t at_once);

  // at_once: windows, up to those of the kernels.
  NativePass(const NativeModel& model, std::size_t at_once);
  NativePass(const NativePass&) = delete;
  NativePass& operator=(const NativePass&) = delete;

  void Forward(const float* inputs, std::size_t windows, float* logits);

  // A tick of each of some windows, TicksAtOnce() at most. values: model.tick_values of each.
  void Tick(const float* ticks, std::size_t windows, float* values);
  std::size_t TicksAtOnce() const { return at_once_ * model_.network.config().ticks; }
  // For WindowsAtOnce() windows at most. values: of all ticks, oldest first, of each tick those of
  // all windows; inputs: of window after window, where there are local layers.
  void FromTicks(const float* values, std::size_t windows, const float* inputs, float* logits);
  // One tick of each; `state`, of StateSize() floats for each window, zeros at first, is moved on.
  void Stream(const float* values, std::size_t windows, const float* inputs, float* state,
              float* logits);
  std::size_t WindowsAtOnce() const { return at_once_; }
  std::size_t StateSize() const { return state_size_; }

  std::size_t bytes() const;

 private:
  // Inputs of each tick of each window; rows are ordered by tick, then by window.
  struct Rows {
    const float* inputs;
    std::size_t ticks, windows, values;
    const float* At(std::size_t row) const {
      return inputs + (row % windows * ticks + row / windows) * values;
    }
    std::size_t count() const { return ticks * windows; }
  };
  // What a piece of a convolution reads, and the padding around it.
  struct Reach {
    std::size_t begin, count;         // positions that come in
    std::size_t before, behind;       // zeros around them
    std::size_t in_block, out_count;  // where the block begins, in positions; what comes out
  };

  void PlanPiece(const NativeChain& chain, const NativeChain::Piece& piece,
                 std::vector<Floats>* buffers);
  void RunPiece(const NativeChain& chain, const float* in, std::vector<Floats>* buffers,
                float* out);
  void MakeBuffers(const NativeChain& chain, std::vector<Floats>* buffers);

  void Front(const Rows& rows, float* out);
  void TickRows(const Rows& rows, float* values);
  void Multiply(const NativeProduct& product, std::size_t rows, const float* in, float* out,
                std::size_t ld) const;
  void Rest(const float* values, std::size_t ticks, std::size_t windows, float* state,
            const float* inputs, float* logits);
  void SharedHead(const float* inputs, std::size_t windows, float* logits);

  const NativeModel& model_;
  const std::size_t at_once_;
  std::vector<Reach> reach_;                           // of the piece that was planned last
  std::vector<Floats> trunk_buffers_, local_buffers_;  // inputs of each convolution
  Floats pooled_;                                      // what the convolutions give the pool
  Floats features_;  // rows x what comes out of the front, or x a piece of it; or one row
  Floats values_;    // rows x tick_values
  Floats gates_, states_;
  std::vector<Floats> outs_;   // by stage
  std::vector<Floats> ticks_;  // of dense layers ahead of tick_end
  Floats stacked_, local_, hidden_, base_;
  std::vector<std::uint32_t> list_;  // of a sparse row, and the sums of its blocks
  Floats sums_;
  bool backwards_ = false;       // how it was read the last time
  std::size_t state_size_ = 0;   // of one window
  const float* last_ = nullptr;  // windows x context
  const float no_context_ = 0;
};

}  // namespace internal
SEER_END_NAMESPACE
