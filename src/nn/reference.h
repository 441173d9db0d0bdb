// The network in the plainest loops there are, for any scalar: the oracle of all other backends.
//
//   internal::Reference<double> reference(network);
//   reference.Forward(parameters, window, logits);                       // keeps what Backward
//   needs reference.Backward(parameters, logits_gradient, 0, parameters_gradient);   // adds
//
// One window at a time. Nothing here is fast, and nothing should be.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "nn/dropout.h"
#include "nn/loss_math.h"
#include "seer/core/config.h"
#include "seer/nn/network.h"

SEER_BEGIN_NAMESPACE
namespace internal {

template <typename Scalar>
class Reference {
 public:
  explicit Reference(const Network& network)
      : network_(network), trunk_(network.trunk().size()), local_(network.local().size()) {}

  // Masks of dropout for the window-th window of a step, until the next call. Without: no dropout.
  struct Dropout {
    bool on = false;
    std::uint64_t seed = 0, step = 0;
    std::size_t window = 0;
  };

  // input: T x N x C. logits: network.outputs().
  void Forward(const Scalar* p, const Scalar* input, const Dropout& dropout, Scalar* logits) {
    dropout_ = dropout;
    const ModelConfig& config = network_.config();
    const std::size_t ticks = config.ticks, services = network_.services(), inputs = config.inputs;
    input_.assign(input, input + network_.window_values());
    const std::vector<Scalar>* last = &input_;
    for (std::size_t i = 0; i < trunk_.size(); ++i) {
      StageForward(network_.trunk()[i], p, *last, &trunk_[i]);
      last = &trunk_[i].out;
    }
    context_ = trunk_.empty() ? std::vector<Scalar>() : *last;

    stacked_.resize(input_.size());  // N x (T x C)
    for (std::size_t t = 0; t < ticks; ++t) {
      for (std::size_t s = 0; s < services; ++s) {
        for (std::size_t c = 0; c < inputs; ++c) {
          stacked_[(s * ticks + t) * inputs + c] = input_[(t * services + s) * inputs + c];
        }
      }
    }
    last = &stacked_;
    for (std::size_t i = 0; i < local_.size(); ++i) {
      StageForward(network_.local()[i], p, *last, &local_[i]);
      last = &local_[i].out;
    }
    HeadForward(p, *last, logits);
  }

  // The next Forward() goes on from the state that the LSTMs of `before` ended with.
  void GoOnFrom(const Reference& before) {
    for (std::size_t i = 0; i < trunk_.size(); ++i) {
      const Values& from = before.trunk_[i];
      const auto units = static_cast<std::ptrdiff_t>(network_.trunk()[i].layer.units);
      if (network_.trunk()[i].layer.kind != LayerKind::kLstm) continue;
      trunk_[i].first_out.assign(from.out.end() - units, from.out.end());
      trunk_[i].first_cells.assign(from.cells.end() - units, from.cells.end());
    }
  }

  // No gradient goes back to the first `carried` ticks.
  void Backward(const Scalar* p, const Scalar* d_logits, std::size_t carried, Scalar* g) {
    carried_ = carried;
    std::vector<Scalar> d_context(context_.size(), Scalar(0));
    std::vector<Scalar> d_local(local_.empty() ? 0 : local_.back().out.size(), Scalar(0));
    HeadBackward(p, d_logits, g, &d_context, &d_local);
    std::vector<Scalar> d = d_context, d_in;
    for (std::size_t i = trunk_.size(); i-- > 0;) {
      StageBackward(network_.trunk()[i], p, i == 0 ? input_ : trunk_[i - 1].out, trunk_[i], d,
                    &d_in, g);
      d.swap(d_in);
    }
    d = d_local;
    for (std::size_t i = local_.size(); i-- > 0;) {
      StageBackward(network_.local()[i], p, i == 0 ? stacked_ : local_[i - 1].out, local_[i], d,
                    &d_in, g);
      d.swap(d_in);
    }
  }

 private:
  struct Values {
    std::vector<Scalar> out;
    std::vector<Scalar> gates, cells;            // of an lstm: T x 4H after activation, T x H
    std::vector<Scalar> first_out, first_cells;  // H each: its state before; empty: zeros
    std::vector<std::size_t> greatest;           // of a pool: T x C
  };

  static Scalar Activate(Activation activation, Scalar x) {
    switch (activation) {
      case Activation::kRelu:
        return x > 0 ? x : Scalar(0);
      case Activation::kSigmoid:
        return Logistic(x);
      case Activation::kTanh:
        return std::tanh(x);
      case Activation::kNone:
        break;
    }
    return x;
  }
  // The derivative, from the activated value.
  static Scalar Slope(Activation activation, Scalar y) {
    switch (activation) {
      case Activation::kRelu:
        return y > 0 ? Scalar(1) : Scalar(0);
      case Activation::kSigmoid:
        return y * (1 - y);
      case Activation::kTanh:
        return 1 - y * y;
      case Activation::kNone:
        break;
    }
    return Scalar(1);
  }

  // Calls visit(row, block's first input position, its input positions, its first output position,
  // output position within the block) for all outputs of a convolution.
  template <typename Visit>
  static void ForEachPosition(const Stage& stage, const Visit& visit) {
    for (std::size_t t = 0; t < stage.in_ticks; ++t) {
      std::size_t in = 0, out = 0;
      for (std::size_t b = 0; b < stage.in_positions.size(); ++b) {
        for (std::size_t o = 0; o < stage.out_positions[b]; ++o) {
          visit(t, in, stage.in_positions[b], out + o, o);
        }
        in += stage.in_positions[b];
        out += stage.out_positions[b];
      }
    }
  }
  // Calls visit(input index, weight's first index) for each input of the output at `o`.
  template <typename Visit>
  static void ForEachTap(const Stage& stage, std::size_t t, std::size_t in, std::size_t positions,
                         std::size_t o, const Visit& visit) {
    for (std::size_t k = 0; k < stage.layer.kernel; ++k) {
      const std::size_t at = o * stage.layer.stride + k;
      if (at < stage.layer.padding || at - stage.layer.padding >= positions) continue;
      for (std::size_t c = 0; c < stage.in_channels; ++c) {
        const std::size_t position = in + at - stage.layer.padding;
        visit(t * stage.in_features + position * stage.in_channels + c,
              (k * stage.in_channels + c) * stage.out_channels);
      }
    }
  }

  void StageForward(const Stage& stage, const Scalar* p, const std::vector<Scalar>& in,
                    Values* values) {
    std::vector<Scalar>& out = values->out;
    out.assign(stage.out_ticks * stage.out_features, Scalar(0));
    const std::size_t units = stage.layer.units, width = stage.in_features;
    switch (stage.layer.kind) {
      case LayerKind::kConv:
        ForEachPosition(stage, [&](std::size_t t, std::size_t in_at, std::size_t positions,
                                   std::size_t out_at, std::size_t o) {
          for (std::size_t u = 0; u < units; ++u) {
            Scalar sum = p[stage.bias + u];
            ForEachTap(stage, t, in_at, positions, o, [&](std::size_t i, std::size_t w) {
              sum += in[i] * p[stage.weight + w + u];
            });
            out[t * stage.out_features + out_at * units + u] =
                Activate(stage.layer.activation, sum);
          }
        });
        break;
      case LayerKind::kPool: {
        const std::size_t channels = stage.in_channels, positions = width / channels;
        values->greatest.assign(stage.in_ticks * channels, 0);
        for (std::size_t t = 0; t < stage.in_ticks; ++t) {
          for (std::size_t c = 0; c < channels; ++c) {
            Scalar sum = 0;
            std::size_t top = t * width + c;
            for (std::size_t at = top; at < (t + 1) * width; at += channels) {
              sum += in[at];
              if (in[at] > in[top]) top = at;
            }
            out[t * stage.out_features + c] = sum / static_cast<Scalar>(positions);
            out[t * stage.out_features + channels + c] = in[top];
            values->greatest[t * channels + c] = top;
          }
        }
        break;
      }
      case LayerKind::kDense:
        for (std::size_t t = 0; t < stage.in_ticks; ++t) {
          for (std::size_t u = 0; u < units; ++u) {
            Scalar sum = p[stage.bias + u];
            for (std::size_t i = 0; i < width; ++i) {
              sum += in[t * width + i] * p[stage.weight + i * units + u];
            }
            out[t * units + u] = Activate(stage.layer.activation, sum);
          }
        }
        break;
      case LayerKind::kLstm:
        LstmForward(stage, p, in, values);
        break;
      case LayerKind::kLastTick:
        std::copy(in.end() - static_cast<std::ptrdiff_t>(width), in.end(), out.begin());
        break;
      case LayerKind::kDropout:
        for (std::size_t i = 0; i < in.size(); ++i) out[i] = in[i] * MaskAt(stage, i);
        break;
    }
  }

  Scalar MaskAt(const Stage& stage, std::size_t i) const {
    if (!dropout_.on) return Scalar(1);
    const DropoutMask mask(stage, dropout_.seed, dropout_.step);
    return static_cast<Scalar>(mask.Factor(
        DropoutMask::Index(stage, dropout_.window, i / stage.in_features, i % stage.in_features)));
  }

  // The value one tick before that at `i`.
  static Scalar Before(const std::vector<Scalar>& values, const std::vector<Scalar>& first,
                       std::size_t i, std::size_t units) {
    if (i >= units) return values[i - units];
    return first.empty() ? Scalar(0) : first[i];
  }

  void LstmForward(const Stage& stage, const Scalar* p, const std::vector<Scalar>& in,
                   Values* values) {
    const std::size_t units = stage.layer.units, width = stage.in_features;
    values->gates.assign(stage.in_ticks * 4 * units, Scalar(0));
    values->cells.assign(stage.in_ticks * units, Scalar(0));
    for (std::size_t t = 0; t < stage.in_ticks; ++t) {
      Scalar* gates = &values->gates[t * 4 * units];
      for (std::size_t u = 0; u < 4 * units; ++u) {
        Scalar sum = p[stage.bias + u];
        for (std::size_t i = 0; i < width; ++i) {
          sum += in[t * width + i] * p[stage.weight + i * 4 * units + u];
        }
        for (std::size_t i = 0; i < units; ++i) {
          const Scalar before = Before(values->out, values->first_out, t * units + i, units);
          sum += before * p[stage.recurrent + i * 4 * units + u];
        }
        gates[u] = u / units == 2 ? std::tanh(sum) : Logistic(sum);
      }
      for (std::size_t u = 0; u < units; ++u) {
        const Scalar before = Before(values->cells, values->first_cells, t * units + u, units);
        const Scalar cell = gates[units + u] * before + gates[u] * gates[2 * units + u];
        values->cells[t * units + u] = cell;
        values->out[t * units + u] = gates[3 * units + u] * std::tanh(cell);
      }
    }
  }

  void LstmBackward(const Stage& stage, const Scalar* p, const std::vector<Scalar>& in,
                    const Values& values, const std::vector<Scalar>& d, std::vector<Scalar>* d_in,
                    Scalar* g) {
    const std::size_t units = stage.layer.units, width = stage.in_features;
    std::vector<Scalar> d_out = d, d_cell(units, Scalar(0)), d_gates(4 * units);
    const std::size_t first = stage.in_ticks == network_.config().ticks ? carried_ : 0;
    for (std::size_t t = stage.in_ticks; t-- > first;) {
      const Scalar* gates = &values.gates[t * 4 * units];
      for (std::size_t u = 0; u < units; ++u) {
        const Scalar i = gates[u], f = gates[units + u], c = gates[2 * units + u];
        const Scalar o = gates[3 * units + u], tanh_cell = std::tanh(values.cells[t * units + u]);
        const Scalar before = Before(values.cells, values.first_cells, t * units + u, units);
        const Scalar dh = d_out[t * units + u];
        const Scalar dc = d_cell[u] + dh * o * (1 - tanh_cell * tanh_cell);
        d_gates[u] = dc * c * i * (1 - i);
        d_gates[units + u] = dc * before * f * (1 - f);
        d_gates[2 * units + u] = dc * i * (1 - c * c);
        d_gates[3 * units + u] = dh * tanh_cell * o * (1 - o);
        d_cell[u] = dc * f;
      }
      for (std::size_t u = 0; u < 4 * units; ++u) {
        g[stage.bias + u] += d_gates[u];
        for (std::size_t i = 0; i < width; ++i) {
          g[stage.weight + i * 4 * units + u] += in[t * width + i] * d_gates[u];
          (*d_in)[t * width + i] += p[stage.weight + i * 4 * units + u] * d_gates[u];
        }
        for (std::size_t i = 0; i < units; ++i) {
          g[stage.recurrent + i * 4 * units + u] +=
              Before(values.out, values.first_out, t * units + i, units) * d_gates[u];
          if (t == first) continue;
          d_out[(t - 1) * units + i] += p[stage.recurrent + i * 4 * units + u] * d_gates[u];
        }
      }
    }
  }

  // d: of the outputs. d_in becomes that of the inputs.
  void StageBackward(const Stage& stage, const Scalar* p, const std::vector<Scalar>& in,
                     const Values& values, const std::vector<Scalar>& d, std::vector<Scalar>* d_in,
                     Scalar* g) {
    d_in->assign(stage.in_ticks * stage.in_features, Scalar(0));
    const std::size_t units = stage.layer.units, width = stage.in_features;
    switch (stage.layer.kind) {
      case LayerKind::kConv:
        ForEachPosition(stage, [&](std::size_t t, std::size_t in_at, std::size_t positions,
                                   std::size_t out_at, std::size_t o) {
          for (std::size_t u = 0; u < units; ++u) {
            const std::size_t at = t * stage.out_features + out_at * units + u;
            const Scalar slope = d[at] * Slope(stage.layer.activation, values.out[at]);
            g[stage.bias + u] += slope;
            ForEachTap(stage, t, in_at, positions, o, [&](std::size_t i, std::size_t w) {
              g[stage.weight + w + u] += in[i] * slope;
              (*d_in)[i] += p[stage.weight + w + u] * slope;
            });
          }
        });
        break;
      case LayerKind::kPool: {
        const std::size_t channels = stage.in_channels, positions = width / channels;
        for (std::size_t t = 0; t < stage.in_ticks; ++t) {
          for (std::size_t c = 0; c < channels; ++c) {
            for (std::size_t at = t * width + c; at < (t + 1) * width; at += channels) {
              (*d_in)[at] += d[t * stage.out_features + c] / static_cast<Scalar>(positions);
            }
            (*d_in)[values.greatest[t * channels + c]] += d[t * stage.out_features + channels + c];
          }
        }
        break;
      }
      case LayerKind::kDense:
        for (std::size_t t = 0; t < stage.in_ticks; ++t) {
          for (std::size_t u = 0; u < units; ++u) {
            const Scalar slope =
                d[t * units + u] * Slope(stage.layer.activation, values.out[t * units + u]);
            g[stage.bias + u] += slope;
            for (std::size_t i = 0; i < width; ++i) {
              g[stage.weight + i * units + u] += in[t * width + i] * slope;
              (*d_in)[t * width + i] += p[stage.weight + i * units + u] * slope;
            }
          }
        }
        break;
      case LayerKind::kLstm:
        LstmBackward(stage, p, in, values, d, d_in, g);
        break;
      case LayerKind::kLastTick:
        std::copy(d.begin(), d.end(), d_in->end() - static_cast<std::ptrdiff_t>(width));
        break;
      case LayerKind::kDropout:
        for (std::size_t i = 0; i < d.size(); ++i) (*d_in)[i] = d[i] * MaskAt(stage, i);
        break;
    }
  }

  // y[0, columns) += x[0, rows) * W, where W stands at `weight`.
  static void AddProduct(const Scalar* x, std::size_t rows, const Scalar* w, std::size_t columns,
                         Scalar* y) {
    for (std::size_t i = 0; i < rows; ++i) {
      for (std::size_t u = 0; u < columns; ++u) y[u] += x[i] * w[i * columns + u];
    }
  }
  static void ProductBackward(const Scalar* x, std::size_t rows, const Scalar* w,
                              std::size_t columns, const Scalar* dy, Scalar* dw, Scalar* dx) {
    for (std::size_t i = 0; i < rows; ++i) {
      for (std::size_t u = 0; u < columns; ++u) {
        dw[i * columns + u] += x[i] * dy[u];
        dx[i] += w[i * columns + u] * dy[u];
      }
    }
  }

  void HeadForward(const Scalar* p, const std::vector<Scalar>& local, Scalar* logits) {
    const Network::Head& head = network_.head();
    const std::size_t services = network_.services(), extras = network_.config().extras;
    const std::size_t context = context_.size(), channels = network_.local_channels();
    if (network_.config().head == HeadKind::kDense) {
      std::copy_n(p + head.bias, network_.initiators(), logits);
      AddProduct(context_.data(), context, p + head.weight, network_.initiators(), logits);
    } else {
      const std::size_t hidden = network_.config().head_hidden,
                        width = std::max<std::size_t>(hidden, 1);
      hidden_.assign(services * width, Scalar(0));
      for (std::size_t s = 0; s < services; ++s) {
        Scalar* h = &hidden_[s * width];
        std::copy_n(p + head.bias, width, h);
        if (context > 0) AddProduct(context_.data(), context, p + head.context, width, h);
        AddProduct(&local[s * channels], channels, p + head.weight, width, h);
        if (hidden == 0) {
          logits[s] = h[0];
          continue;
        }
        for (std::size_t u = 0; u < width; ++u) h[u] = std::tanh(h[u]);
        logits[s] = p[head.out_bias];
        AddProduct(h, width, p + head.out, 1, &logits[s]);
      }
      if (extras > 0) {
        std::copy_n(p + head.extras_bias, extras, logits + services);
        if (context > 0) {
          AddProduct(context_.data(), context, p + head.extras, extras, logits + services);
        }
      }
    }
    if (network_.hazards() > 0) {
      Scalar* out = logits + network_.initiators();
      std::copy_n(p + head.hazard_bias, network_.hazards(), out);
      AddProduct(context_.data(), context, p + head.hazard, network_.hazards(), out);
    }
  }

  void HeadBackward(const Scalar* p, const Scalar* d_logits, Scalar* g,
                    std::vector<Scalar>* d_context, std::vector<Scalar>* d_local) {
    const Network::Head& head = network_.head();
    const std::size_t services = network_.services(), extras = network_.config().extras;
    const std::size_t context = context_.size(), channels = network_.local_channels();
    const auto add_bias = [&](const Scalar* d, std::size_t n, std::size_t bias) {
      for (std::size_t i = 0; i < n; ++i) g[bias + i] += d[i];
    };
    if (network_.config().head == HeadKind::kDense) {
      add_bias(d_logits, network_.initiators(), head.bias);
      ProductBackward(context_.data(), context, p + head.weight, network_.initiators(), d_logits,
                      g + head.weight, d_context->data());
    } else {
      const std::size_t hidden = network_.config().head_hidden,
                        width = std::max<std::size_t>(hidden, 1);
      const std::vector<Scalar>& local = local_.back().out;
      std::vector<Scalar> d_hidden(width);
      for (std::size_t s = 0; s < services; ++s) {
        if (hidden == 0) {
          d_hidden[0] = d_logits[s];
        } else {
          const Scalar* h = &hidden_[s * width];
          g[head.out_bias] += d_logits[s];
          for (std::size_t u = 0; u < width; ++u) {
            g[head.out + u] += h[u] * d_logits[s];
            d_hidden[u] = p[head.out + u] * d_logits[s] * (1 - h[u] * h[u]);
          }
        }
        add_bias(d_hidden.data(), width, head.bias);
        if (context > 0) {
          ProductBackward(context_.data(), context, p + head.context, width, d_hidden.data(),
                          g + head.context, d_context->data());
        }
        ProductBackward(&local[s * channels], channels, p + head.weight, width, d_hidden.data(),
                        g + head.weight, &(*d_local)[s * channels]);
      }
      if (extras > 0) {
        add_bias(d_logits + services, extras, head.extras_bias);
        if (context > 0) {
          ProductBackward(context_.data(), context, p + head.extras, extras, d_logits + services,
                          g + head.extras, d_context->data());
        }
      }
    }
    if (network_.hazards() > 0) {
      const Scalar* d = d_logits + network_.initiators();
      add_bias(d, network_.hazards(), head.hazard_bias);
      ProductBackward(context_.data(), context, p + head.hazard, network_.hazards(), d,
                      g + head.hazard, d_context->data());
    }
  }

  const Network& network_;
  Dropout dropout_;
  std::size_t carried_ = 0;
  std::vector<Scalar> input_, stacked_, context_, hidden_;
  std::vector<Values> trunk_, local_;
};

}  // namespace internal
SEER_END_NAMESPACE
