// What is called differently in oneDNN 2.6 and 3: primitives are described in 2 by an operation
// descriptor, in 3 directly. Nothing else here knows the version.
//
// Written against 2.6.3 (Debian 12). The branch for 3 follows its documented API and was never
// compiled: no package of it was at hand.
#pragma once

#include <oneapi/dnnl/dnnl.hpp>
#include <utility>

#include "seer/core/config.h"

SEER_BEGIN_NAMESPACE
namespace internal {
namespace onednn {

using Desc = dnnl::memory::desc;
using Dims = dnnl::memory::dims;

struct ConvDescs {
  Desc src, weights, bias, dst;
  Dims strides, padding;
};

struct LstmDescs {
  Desc src, iter, weights, weights_iter, bias, dst;  // iter: of both states, at both ends
};

using Attributes = dnnl::primitive_attr;

#if DNNL_VERSION_MAJOR >= 3

inline void AppendRelu(dnnl::post_ops* ops) {
  ops->append_eltwise(dnnl::algorithm::eltwise_relu, 0.0f, 0.0f);
}
inline dnnl::convolution_forward::primitive_desc ConvForward(const dnnl::engine& engine,
                                                             dnnl::prop_kind kind,
                                                             const ConvDescs& d,
                                                             const Attributes& attributes) {
  return {engine,    kind,      dnnl::algorithm::convolution_direct,
          d.src,     d.weights, d.bias,
          d.dst,     d.strides, d.padding,
          d.padding, attributes};
}
inline dnnl::convolution_backward_data::primitive_desc ConvBackwardData(
    const dnnl::engine& engine, const ConvDescs& d,
    const dnnl::convolution_forward::primitive_desc& forward, const Attributes& attributes) {
  return {engine,    dnnl::algorithm::convolution_direct,
          d.src,     d.weights,
          d.dst,     d.strides,
          d.padding, d.padding,
          forward,   attributes};
}
inline dnnl::convolution_backward_weights::primitive_desc ConvBackwardWeights(
    const dnnl::engine& engine, const ConvDescs& d,
    const dnnl::convolution_forward::primitive_desc& forward, const Attributes& attributes) {
  return {engine,    dnnl::algorithm::convolution_direct,
          d.src,     d.weights,
          d.bias,    d.dst,
          d.strides, d.padding,
          d.padding, forward,
          attributes};
}
inline dnnl::lstm_forward::primitive_desc LstmForward(const dnnl::engine& engine,
                                                      dnnl::prop_kind kind, const LstmDescs& d,
                                                      const Attributes& attributes) {
  return {engine,    kind,           dnnl::rnn_direction::unidirectional_left2right,
          d.src,     d.iter,         d.iter,
          d.weights, d.weights_iter, d.bias,
          d.dst,     d.iter,         d.iter,
          attributes};
}
inline dnnl::lstm_backward::primitive_desc LstmBackward(const dnnl::engine& engine,
                                                        const LstmDescs& d,
                                                        const dnnl::lstm_forward::primitive_desc& f,
                                                        const Attributes& attributes) {
  return {engine,
          dnnl::prop_kind::backward,
          dnnl::rnn_direction::unidirectional_left2right,
          d.src,
          d.iter,
          d.iter,
          d.weights,
          d.weights_iter,
          d.bias,
          d.dst,
          d.iter,
          d.iter,
          d.src,
          d.iter,
          d.iter,
          d.weights,
          d.weights_iter,
          d.bias,
          d.dst,
          d.iter,
          d.iter,
          f,
          attributes};
}

#else

inline void AppendRelu(dnnl::post_ops* ops) {
  ops->append_eltwise(1.0f, dnnl::algorithm::eltwise_relu, 0.0f, 0.0f);
}
inline dnnl::convolution_forward::primitive_desc ConvForward(const dnnl::engine& engine,
                                                             dnnl::prop_kind kind,
                                                             const ConvDescs& d,
                                                             const Attributes& attributes) {
  return {{kind, dnnl::algorithm::convolution_direct, d.src, d.weights, d.bias, d.dst, d.strides,
           d.padding, d.padding},
          attributes,
          engine};
}
inline dnnl::convolution_backward_data::primitive_desc ConvBackwardData(
    const dnnl::engine& engine, const ConvDescs& d,
    const dnnl::convolution_forward::primitive_desc& forward, const Attributes& attributes) {
  return {{dnnl::algorithm::convolution_direct, d.src, d.weights, d.dst, d.strides, d.padding,
           d.padding},
          attributes,
          engine,
          forward};
}
inline dnnl::convolution_backward_weights::primitive_desc ConvBackwardWeights(
    const dnnl::engine& engine, const ConvDescs& d,
    const dnnl::convolution_forward::primitive_desc& forward, const Attributes& attributes) {
  return {{dnnl::algorithm::convolution_direct, d.src, d.weights, d.bias, d.dst, d.strides,
           d.padding, d.padding},
          attributes,
          engine,
          forward};
}
inline dnnl::lstm_forward::primitive_desc LstmForward(const dnnl::engine& engine,
                                                      dnnl::prop_kind kind, const LstmDescs& d,
                                                      const Attributes& attributes) {
  return {{kind, dnnl::rnn_direction::unidirectional_left2right, d.src, d.iter, d.iter, d.weights,
           d.weights_iter, d.bias, d.dst, d.iter, d.iter},
          attributes,
          engine};
}
inline dnnl::lstm_backward::primitive_desc LstmBackward(const dnnl::engine& engine,
                                                        const LstmDescs& d,
                                                        const dnnl::lstm_forward::primitive_desc& f,
                                                        const Attributes& attributes) {
  return {{dnnl::prop_kind::backward,
           dnnl::rnn_direction::unidirectional_left2right,
           d.src,
           d.iter,
           d.iter,
           d.weights,
           d.weights_iter,
           d.bias,
           d.dst,
           d.iter,
           d.iter,
           d.src,
           d.iter,
           d.iter,
           d.weights,
           d.weights_iter,
           d.bias,
           d.dst,
           d.iter,
           d.iter},
          attributes,
          engine,
          f};
}

#endif

}  // namespace onednn
}  // namespace internal
SEER_END_NAMESPACE
