// The messages, with the numbers of onnx/onnx.proto:
//
//   ModelProto     1 ir_version, 2 producer_name, 7 graph, 8 opset_import {2 version}
//   GraphProto     1 node, 2 name, 5 initializer, 11 input, 12 output
//   NodeProto      1 input, 2 output, 3 name, 4 op_type, 5 attribute
//   AttributeProto 1 name, 3 i, 8 ints, 20 type (INT 2, INTS 7)
//   TensorProto    1 dims, 2 data_type (FLOAT 1, INT64 7), 8 name, 9 raw_data
//   ValueInfoProto 1 name, 2 type {1 tensor_type {1 elem_type, 2 shape {1 dim {1 value, 2 param}}}}
//
// Rows (a tick of a window) are ordered by tick, then by window, as ONNX's LSTM wants them.
#include "seer/nn/onnx.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "nn/backends.h"
#include "seer/core/internal/status_macros.h"

SEER_BEGIN_NAMESPACE
namespace {

constexpr int kVarint = 0, kBytes = 2;
constexpr std::uint64_t kIrVersion = 7;  // of opset 14

void PutVarint(std::uint64_t value, std::string* out) {
  while (value >= 0x80) {
    out->push_back(static_cast<char>(value | 0x80));
    value >>= 7;
  }
  out->push_back(static_cast<char>(value));
}
void PutNumber(int field, std::uint64_t value, std::string* out) {
  PutVarint(static_cast<std::uint64_t>(field) << 3 | kVarint, out);
  PutVarint(value, out);
}
void PutBytes(int field, std::string_view bytes, std::string* out) {
  PutVarint(static_cast<std::uint64_t>(field) << 3 | kBytes, out);
  PutVarint(bytes.size(), out);
  out->append(bytes);
}

using Name = std::string;  // of a value in the graph
using Ints = std::vector<std::int64_t>;

struct Attribute {
  const char* name;
  Ints ints;
  bool list;
};

class Graph {
 public:
  // A node with one output.
  Name Op(const char* op, const std::vector<Name>& inputs,
          const std::vector<Attribute>& attributes = {}) {
    Name output = absl::StrCat("v", ++values_);
    Op(op, inputs, attributes, output);
    return output;
  }
  void Op(const char* op, const std::vector<Name>& inputs, const std::vector<Attribute>& attributes,
          const Name& output) {
    std::string node;
    for (const Name& input : inputs) PutBytes(1, input, &node);
    PutBytes(2, output, &node);
    PutBytes(3, absl::StrCat("n", ++nodes_), &node);
    PutBytes(4, op, &node);
    for (const Attribute& attribute : attributes) {
      std::string bytes;
      PutBytes(1, attribute.name, &bytes);
      for (const std::int64_t value : attribute.ints) {
        PutNumber(attribute.list ? 8 : 3, static_cast<std::uint64_t>(value), &bytes);
      }
      PutNumber(20, attribute.list ? 7 : 2, &bytes);
      PutBytes(5, bytes, &node);
    }
    PutBytes(1, node, &bytes_);
  }

  Name Floats(const Name& name, const Ints& dims, const std::vector<float>& values) {
    return Tensor(name, dims, 1, values.data(), values.size() * sizeof(float));
  }
  // The same numbers are stored once.
  Name Integers(const Ints& values) {
    Name name = "i";
    for (const std::int64_t value : values) absl::StrAppend(&name, "_", value);
    if (std::find(integers_.begin(), integers_.end(), name) == integers_.end()) {
      integers_.push_back(name);
      Tensor(name, {static_cast<std::int64_t>(values.size())}, 7, values.data(),
             values.size() * sizeof(std::int64_t));
    }
    return name;
  }
  Name Transpose(const Name& in, Ints perm) {
    return Op("Transpose", {in}, {{"perm", std::move(perm), true}});
  }
  Name Reshape(const Name& in, const Ints& shape) { return Op("Reshape", {in, Integers(shape)}); }

  // 0 in dims: any.
  void Value(int field, std::string_view name, const Ints& dims) {
    std::string shape, tensor, type, info;
    for (const std::int64_t size : dims) {
      std::string dim;
      if (size == 0) {
        PutBytes(2, "batch", &dim);
      } else {
        PutNumber(1, static_cast<std::uint64_t>(size), &dim);
      }
      PutBytes(1, dim, &shape);
    }
    PutNumber(1, 1, &tensor);
    PutBytes(2, shape, &tensor);
    PutBytes(1, tensor, &type);
    PutBytes(1, name, &info);
    PutBytes(2, type, &info);
    PutBytes(field, info, &bytes_);
  }

  const std::string& bytes() const { return bytes_; }

 private:
  Name Tensor(const Name& name, const Ints& dims, std::uint64_t type, const void* data,
              std::size_t size) {
    std::string tensor;
    for (const std::int64_t dim : dims) PutNumber(1, static_cast<std::uint64_t>(dim), &tensor);
    PutNumber(2, type, &tensor);
    PutBytes(8, name, &tensor);
    // raw_data is little-endian, as is every processor that seer is built for.
    PutBytes(9, {static_cast<const char*>(data), size}, &tensor);
    PutBytes(5, tensor, &bytes_);
    return name;
  }

  std::string bytes_;
  std::vector<Name> integers_;
  int values_ = 0, nodes_ = 0;
};

std::int64_t Int(std::size_t value) { return static_cast<std::int64_t>(value); }

class Exporter {
 public:
  Exporter(const Network& network, absl::Span<const float> parameters)
      : network_(network), p_(parameters.data()) {}

  std::string Export() {
    const ModelConfig& config = network_.config();
    const std::int64_t ticks = config.ticks, services = Int(network_.services());
    const std::int64_t inputs = config.inputs;
    graph_.Value(11, "window", {0, ticks, services, inputs});
    if (!network_.trunk().empty()) {
      // T, batch, N, C; then rows, N, C; then rows, C, N.
      const Name rows =
          graph_.Reshape(graph_.Transpose("window", {1, 0, 2, 3}), {-1, services, inputs});
      context_ = Stages("trunk", network_.trunk(), graph_.Transpose(rows, {0, 2, 1}));
    }
    Name logits = config.head == HeadKind::kDense
                      ? Product(context_, "head", network_.head().weight, network_.head().bias,
                                network_.context(), network_.initiators())
                      : SharedHead();
    if (config.output == OutputKind::kSoftmax) {
      graph_.Op("Softmax", {logits}, {{"axis", {1}, false}}, "initiators");
    } else {
      graph_.Op("Sigmoid", {logits}, {}, "initiators");
    }
    graph_.Value(12, "initiators", {0, Int(network_.initiators())});
    if (network_.hazards() > 0) {
      const std::int64_t classes = config.hazard_classes, horizons = config.hazard_horizons;
      const Name z = Product(context_, "hazard", network_.head().hazard,
                             network_.head().hazard_bias, network_.context(), network_.hazards());
      // 1 - the product of 1 - sigmoid(z): all in logarithms.
      const Name each = graph_.Op("Softplus", {graph_.Reshape(z, {-1, classes, horizons})});
      const Name sum = graph_.Op("CumSum", {each, graph_.Integers({2})});
      const Name none = graph_.Op("Exp", {graph_.Op("Neg", {sum})});
      const Name one = graph_.Floats("one", {1}, {1.0f});
      graph_.Op("Sub", {one, none}, {}, "hazards");
      graph_.Value(12, "hazards", {0, classes, horizons});
    }
    std::string graph = graph_.bytes(), model, opset;
    PutBytes(2, "seer", &graph);
    PutNumber(1, kIrVersion, &model);
    PutBytes(2, "seer", &model);
    PutBytes(7, graph, &model);
    PutBytes(1, "", &opset);
    PutNumber(2, kOnnxOpset, &opset);
    PutBytes(8, opset, &model);
    return model;
  }

 private:
  std::vector<float> Copy(std::size_t at, std::size_t count) const {
    return {p_ + at, p_ + at + count};
  }

  Name Product(const Name& x, const std::string& name, std::size_t weight, std::size_t bias,
               std::size_t rows, std::size_t columns) {
    return graph_.Op("Gemm", {x,
                              graph_.Floats(name + ".weight", {Int(rows), Int(columns)},
                                            Copy(weight, rows * columns)),
                              graph_.Floats(name + ".bias", {Int(columns)}, Copy(bias, columns))});
  }

  Name Activate(Activation activation, const Name& x) {
    switch (activation) {
      case Activation::kRelu:
        return graph_.Op("Relu", {x});
      case Activation::kSigmoid:
        return graph_.Op("Sigmoid", {x});
      case Activation::kTanh:
        return graph_.Op("Tanh", {x});
      case Activation::kNone:
        break;
    }
    return x;
  }

  // x: rows x channels x positions, until a layer has made rows x features of it. Ends as rows x
  // features, the local layers as they are.
  Name Stages(const std::string& part, const std::vector<Stage>& stages, Name x) {
    bool positions = true;
    const auto features = [&](const Stage& stage) {
      if (positions) {
        x = graph_.Reshape(graph_.Transpose(x, {0, 2, 1}), {-1, Int(stage.in_features)});
      }
      positions = false;
    };
    for (std::size_t i = 0; i < stages.size(); ++i) {
      const Stage& stage = stages[i];
      const std::string name = absl::StrCat(part, ".", i);
      switch (stage.layer.kind) {
        case LayerKind::kConv:
          x = Activate(stage.layer.activation, Conv(name, stage, x));
          break;
        case LayerKind::kPool: {
          const std::vector<Attribute> over = {{"axes", {2}, true}, {"keepdims", {0}, false}};
          const Name mean = graph_.Op("ReduceMean", {x}, over);
          const Name most = graph_.Op("ReduceMax", {x}, over);
          x = graph_.Op("Concat", {mean, most}, {{"axis", {1}, false}});
          positions = false;
          break;
        }
        case LayerKind::kDense:
          features(stage);
          x = Activate(stage.layer.activation, Product(x, name, stage.weight, stage.bias,
                                                       stage.in_features, stage.layer.units));
          break;
        case LayerKind::kLstm:
          features(stage);
          x = Lstm(name, stage, x);
          break;
        case LayerKind::kLastTick:
          features(stage);
          x = graph_.Reshape(x, {Int(stage.in_ticks), -1, Int(stage.in_features)});
          x = graph_.Op("Gather", {x, graph_.Integers({Int(stage.in_ticks) - 1})},
                        {{"axis", {0}, false}});
          x = graph_.Reshape(x, {-1, Int(stage.in_features)});
          break;
        case LayerKind::kDropout:
          break;
      }
    }
    if (part == "trunk" && positions) {
      x = graph_.Reshape(graph_.Transpose(x, {0, 2, 1}), {-1, Int(stages.back().out_features)});
    }
    return x;
  }

  Name Conv(const std::string& name, const Stage& stage, const Name& x) {
    const std::size_t kernel = stage.layer.kernel, in = stage.in_channels, out = stage.out_channels;
    std::vector<float> weights(kernel * in * out);  // to out x in x kernel
    for (std::size_t k = 0; k < kernel; ++k) {
      for (std::size_t c = 0; c < in; ++c) {
        for (std::size_t u = 0; u < out; ++u) {
          weights[(u * in + c) * kernel + k] = p_[stage.weight + (k * in + c) * out + u];
        }
      }
    }
    const Name w = graph_.Floats(name + ".weight", {Int(out), Int(in), Int(kernel)}, weights);
    const Name b = graph_.Floats(name + ".bias", {Int(out)}, Copy(stage.bias, out));
    const std::int64_t padding = stage.layer.padding;
    const std::vector<Attribute> attributes = {{"kernel_shape", {Int(kernel)}, true},
                                               {"strides", {Int(stage.layer.stride)}, true},
                                               {"pads", {padding, padding}, true}};
    if (stage.in_positions.size() == 1) return graph_.Op("Conv", {x, w, b}, attributes);
    std::vector<Name> blocks;
    std::size_t at = 0;
    for (const std::size_t positions : stage.in_positions) {
      const Name block =
          graph_.Op("Slice", {x, graph_.Integers({Int(at)}), graph_.Integers({Int(at + positions)}),
                              graph_.Integers({2})});
      blocks.push_back(graph_.Op("Conv", {block, w, b}, attributes));
      at += positions;
    }
    return graph_.Op("Concat", blocks, {{"axis", {2}, false}});
  }

  // seer's gates are i, f, g, o; ONNX has i, o, f, g, and two biases of which one is zero here.
  Name Lstm(const std::string& name, const Stage& stage, const Name& x) {
    const std::size_t units = stage.layer.units;
    constexpr std::size_t kFrom[] = {0, 3, 1, 2};
    const auto turned = [&](std::size_t at, std::size_t rows) {
      std::vector<float> out(4 * units * rows);
      for (std::size_t gate = 0; gate < 4; ++gate) {
        for (std::size_t u = 0; u < units; ++u) {
          for (std::size_t r = 0; r < rows; ++r) {
            out[(gate * units + u) * rows + r] = p_[at + r * 4 * units + kFrom[gate] * units + u];
          }
        }
      }
      return out;
    };
    std::vector<float> bias = turned(stage.bias, 1);
    bias.resize(8 * units, 0.0f);
    const std::int64_t gates = Int(4 * units);
    const Name sequence = graph_.Reshape(x, {Int(stage.in_ticks), -1, Int(stage.in_features)});
    const Name y = graph_.Op(
        "LSTM",
        {sequence,
         graph_.Floats(name + ".weight", {1, gates, Int(stage.in_features)},
                       turned(stage.weight, stage.in_features)),
         graph_.Floats(name + ".recurrent", {1, gates, Int(units)}, turned(stage.recurrent, units)),
         graph_.Floats(name + ".bias", {1, 2 * gates}, bias)},
        {{"hidden_size", {Int(units)}, false}});
    return graph_.Reshape(y, {-1, Int(units)});  // T, 1, batch, units to rows, units
  }

  Name SharedHead() {
    const ModelConfig& config = network_.config();
    const Network::Head& head = network_.head();
    const std::int64_t services = Int(network_.services());
    const std::size_t channels = network_.local_channels(), context = network_.context();
    const std::size_t width = std::max<std::size_t>(config.head_hidden, 1);
    // batch, N, T x C; then channels ahead of positions.
    const Name stacked = graph_.Reshape(graph_.Transpose("window", {0, 2, 1, 3}),
                                        {-1, services, std::int64_t{config.ticks} * config.inputs});
    Name x = Stages("local", network_.local(), graph_.Transpose(stacked, {0, 2, 1}));
    x = graph_.Transpose(x, {0, 2, 1});
    x = graph_.Op("MatMul", {x, graph_.Floats("head.weight", {Int(channels), Int(width)},
                                              Copy(head.weight, channels * width))});
    x = graph_.Op("Add", {x, graph_.Floats("head.bias", {Int(width)}, Copy(head.bias, width))});
    if (context > 0) {
      const Name of_all =
          graph_.Op("MatMul", {context_, graph_.Floats("head.context", {Int(context), Int(width)},
                                                       Copy(head.context, context * width))});
      x = graph_.Op("Add", {x, graph_.Reshape(of_all, {-1, 1, Int(width)})});
    }
    if (config.head_hidden > 0) {
      x = graph_.Op("Tanh", {x});
      x = graph_.Op("MatMul",
                    {x, graph_.Floats("head.out", {Int(width), 1}, Copy(head.out, width))});
      x = graph_.Op("Add", {x, graph_.Floats("head.out_bias", {1}, Copy(head.out_bias, 1))});
    }
    x = graph_.Reshape(x, {-1, services});
    const std::size_t extras = config.extras;
    if (extras == 0) return x;
    Name others;
    if (context > 0) {
      others = Product(context_, "head.extras", head.extras, head.extras_bias, context, extras);
    } else {
      // The same for every window: as many rows as there are windows, all of them the bias.
      const Name column = graph_.Op("Gather", {x, graph_.Integers({0})}, {{"axis", {1}, false}});
      const Name zeros = graph_.Op("Mul", {column, graph_.Floats("zero", {1}, {0.0f})});
      others = graph_.Op("Add", {zeros, graph_.Floats("head.extras_bias", {Int(extras)},
                                                      Copy(head.extras_bias, extras))});
    }
    return graph_.Op("Concat", {x, others}, {{"axis", {1}, false}});
  }

  const Network& network_;
  const float* const p_;
  Graph graph_;
  Name context_;
};

}  // namespace

absl::StatusOr<std::string> EncodeOnnx(const Network& network, absl::Span<const float> parameters) {
  SEER_RETURN_IF_ERROR(internal::CheckParameters(network, parameters));
  if (parameters.size() > (std::size_t{1} << 31) / sizeof(float) - (1 << 20)) {
    return absl::ResourceExhaustedError(absl::StrCat(
        "onnx: ", parameters.size(), " weights: a protobuf message has at most 2 GiB"));
  }
  return Exporter(network, parameters).Export();
}

SEER_END_NAMESPACE
