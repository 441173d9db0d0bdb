// A pass whose convolutions and LSTMs are primitives of oneDNN; products come with the kernels.
//
// Primitives are made for one number of windows. Everything here may throw dnnl::error and
// std::bad_alloc; the backend catches them.
#pragma once

#include <cstddef>
#include <memory>
#include <oneapi/dnnl/dnnl.hpp>
#include <unordered_map>
#include <vector>

#include "nn/pass.h"
#include "seer/core/config.h"
#include "seer/nn/network.h"

SEER_BEGIN_NAMESPACE
namespace internal {
namespace onednn {

// A primitive with the memory it works in. Left to itself oneDNN takes that of the thread that made
// the primitive, and crashes in another one.
template <typename Primitive>
class Step {
 public:
  Step() = default;
  explicit Step(const typename Primitive::primitive_desc& described)
      : primitive_(described), scratch_(described.scratchpad_desc(), described.get_engine()) {}
  void Run(const dnnl::stream& stream, std::unordered_map<int, dnnl::memory> values) const {
    values.emplace(DNNL_ARG_SCRATCHPAD, scratch_);
    primitive_.execute(stream, values);
  }

 private:
  Primitive primitive_;
  dnnl::memory scratch_;
};

// Memory of oneDNN, of the shape that a primitive wants, and the way to it from a plain array.
class Converted {
 public:
  Converted() = default;
  // constant: what From() is given never changes, so that it is converted once.
  Converted(const dnnl::engine& engine, const dnnl::memory::desc& plain,
            const dnnl::memory::desc& wanted, bool constant = false);
  const dnnl::memory& From(const dnnl::stream& stream, const float* values);
  // For gradients: zeros before, added to a plain array behind.
  const dnnl::memory& Zeros();
  void AddTo(const dnnl::stream& stream, float* sums);

 private:
  dnnl::memory plain_, wanted_;
  Step<dnnl::reorder> to_wanted_, to_plain_;
  bool same_ = false, constant_ = false, done_ = false;
};

// Convolutions, one behind the other, of `rows` rows at once.
class ConvChain {
 public:
  ConvChain(const dnnl::engine& engine, const std::vector<Stage>& stages, std::size_t count,
            std::size_t rows, bool training);
  ~ConvChain();
  ConvChain(ConvChain&&) noexcept;
  ConvChain& operator=(ConvChain&&) noexcept;

  // in: rows x in_features, of the first. Returns the last one's outputs.
  const float* Forward(const dnnl::stream& stream, const Kernels& kernels, const float* p,
                       const float* in);
  // After Forward() with the same inputs. d: gradient of its outputs, not changed. Adds to g.
  void Backward(const dnnl::stream& stream, const Kernels& kernels, const float* p, const float* in,
                const float* d, float* g);

 private:
  struct Block;
  struct Layer;
  std::vector<Layer> layers_;
  std::size_t rows_;
};

struct Lstm;

}  // namespace onednn

class OnednnPass : public Pass {
 public:
  OnednnPass(const Network& network, const Kernels& kernels, std::size_t windows, bool training);
  ~OnednnPass() override;

 protected:
  void TrunkFrontForward(const float* p) override;
  void TrunkFrontBackward(const float* p, float* d, float* g) override;
  void LocalForward(const float* p, std::size_t window, float* out) override;
  void LocalBackward(const float* p, std::size_t window, const float* out, float* d,
                     float* g) override;
  void LstmForward(std::size_t i, const float* p, const float* in) override;
  void LstmBackward(std::size_t i, const float* p, const float* in, float* d, float* d_in,
                    float* g) override;

 private:
  const dnnl::engine engine_;
  dnnl::stream stream_;
  const std::size_t windows_;
  std::vector<onednn::ConvChain> trunk_, local_;  // none or one
  const Stage* pool_ = nullptr;
  const float* last_ = nullptr;  // what the trunk's convolutions gave
  Floats rows_, d_rows_;  // inputs of the trunk in the order of its rows; d: ahead of the pool
  std::vector<std::unique_ptr<onednn::Lstm>> lstms_;  // by stage; null where there is none
};

// `kernels` with oneDNN's matrix product.
Kernels WithOnednnProducts(const Kernels& kernels);

}  // namespace internal
SEER_END_NAMESPACE
