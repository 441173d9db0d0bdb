// A network in libtorch, with the same weights: what seer's backends are compared with. Networks of
// one input, convolutions with ReLU, LSTMs and a head; dropout is left out.
//
// One thread, kernels for AVX-512 where the processor has it: Debian's OpenBLAS and ATen choose
// slower ones by themselves on many machines (OPENBLAS_CORETYPE, ATEN_CPU_CAPABILITY).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/types/span.h"
#include "seer/nn/network.h"

namespace seer::bench {

class TorchPeer {
 public:
  // Weights as seer has them.
  TorchPeer(const Network& network, const std::vector<float>& weights, bool training);
  ~TorchPeer();

  // Probabilities of one window.
  void Window(const float* inputs, float* outputs);
  // Probabilities after one more tick; the LSTMs go on from where they were. Two LSTMs, dense head.
  void Tick(const float* inputs, float* outputs);
  // One step of Adam with cross-entropy. Returns the loss. Dense head.
  double Train(const std::vector<float>& inputs, const std::vector<std::int32_t>& truth);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace seer::bench
