#include "seer/nn/onnx.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <limits>
#include <map>
#include <numeric>
#include <stdexcept>
#include <string>
#include <vector>

#include "onnx.pb.h"
#include "seer/nn/backend.h"
#include "tests/nn/samples.h"

namespace seer {
namespace {

using Shape = std::vector<std::int64_t>;

// A tensor of ONNX; of integers, too, as doubles.
struct Tensor {
  Shape dims;
  std::vector<double> values;
};

std::int64_t Size(const Shape& dims) {
  return std::accumulate(dims.begin(), dims.end(), std::int64_t{1}, std::multiplies<>());
}
void Expect(bool holds, const std::string& what) {
  if (!holds) throw std::runtime_error(what);
}
std::size_t At(std::int64_t i) { return static_cast<std::size_t>(i); }

// Sums of the dimensions before and behind one.
struct Around {
  std::int64_t before = 1, size = 1, behind = 1;
  Around(const Shape& dims, std::size_t axis) {
    for (std::size_t i = 0; i < dims.size(); ++i) {
      (i < axis ? before : i == axis ? size : behind) *= dims[i];
    }
  }
};

// Runs a graph node by node, as the operators are specified. Only what seer writes.
class Runner {
 public:
  explicit Runner(const seer_test_onnx::GraphProto& graph) : graph_(graph) {
    for (const auto& tensor : graph.initializer()) {
      Tensor& to = values_[tensor.name()];
      to.dims.assign(tensor.dims().begin(), tensor.dims().end());
      const std::string& raw = tensor.raw_data();
      const auto count = At(Size(to.dims));
      if (tensor.data_type() == 1) {
        std::vector<float> floats(count);
        Expect(raw.size() == count * sizeof(float), "size of " + tensor.name());
        std::memcpy(floats.data(), raw.data(), raw.size());
        to.values.assign(floats.begin(), floats.end());
      } else {
        std::vector<std::int64_t> integers(count);
        Expect(tensor.data_type() == 7 && raw.size() == count * 8, "type of " + tensor.name());
        std::memcpy(integers.data(), raw.data(), raw.size());
        to.values.assign(integers.begin(), integers.end());
      }
    }
  }

  std::map<std::string, Tensor> Run(const Tensor& window) {
    values_["window"] = window;
    for (const auto& node : graph_.node()) {
      Expect(node.output_size() == 1 && values_.count(node.output(0)) == 0, "outputs");
      std::vector<const Tensor*> in;
      for (const auto& name : node.input()) {
        Expect(values_.count(name) == 1, "input " + name);
        in.push_back(&values_.at(name));
      }
      values_[node.output(0)] = Compute(node, in);
    }
    return values_;
  }

 private:
  using Node = seer_test_onnx::NodeProto;

  static Shape Ints(const Node& node, const std::string& name) {
    for (const auto& attribute : node.attribute()) {
      if (attribute.name() != name) continue;
      if (attribute.type() == 2) return {attribute.i()};
      return {attribute.ints().begin(), attribute.ints().end()};
    }
    throw std::runtime_error("attribute " + name);
  }
  static Tensor Each(const Tensor& x, const std::function<double(double)>& f) {
    Tensor y = x;
    for (double& value : y.values) value = f(value);
    return y;
  }
  static double Logistic(double x) { return 1 / (1 + std::exp(-x)); }

  // Dimensions as in numpy.
  static Tensor Both(const Tensor& a, const Tensor& b,
                     const std::function<double(double, double)>& f) {
    Tensor y;
    const std::size_t rank = std::max(a.dims.size(), b.dims.size());
    const auto dim = [&](const Tensor& x, std::size_t i) {
      return i + x.dims.size() < rank ? 1 : x.dims[i + x.dims.size() - rank];
    };
    for (std::size_t i = 0; i < rank; ++i) {
      Expect(dim(a, i) == dim(b, i) || dim(a, i) == 1 || dim(b, i) == 1, "broadcast");
      y.dims.push_back(std::max(dim(a, i), dim(b, i)));
    }
    for (std::int64_t at = 0; at < Size(y.dims); ++at) {
      std::int64_t rest = at, ia = 0, ib = 0, step_a = 1, step_b = 1;
      for (std::size_t i = rank; i-- > 0;) {
        const std::int64_t k = rest % y.dims[i];
        rest /= y.dims[i];
        ia += dim(a, i) == 1 ? 0 : k * step_a;
        ib += dim(b, i) == 1 ? 0 : k * step_b;
        step_a *= dim(a, i);
        step_b *= dim(b, i);
      }
      y.values.push_back(f(a.values[At(ia)], b.values[At(ib)]));
    }
    return y;
  }
  // The last dimension of x with a matrix.
  static Tensor Product(const Tensor& x, const Tensor& w) {
    Tensor y{x.dims, {}};
    const std::int64_t k = x.dims.back(), n = w.dims[1], rows = Size(x.dims) / k;
    Expect(w.dims.size() == 2 && w.dims[0] == k, "product");
    y.dims.back() = n;
    y.values.resize(At(rows * n));
    for (std::int64_t r = 0; r < rows; ++r) {
      for (std::int64_t i = 0; i < k; ++i) {
        for (std::int64_t j = 0; j < n; ++j) {
          y.values[At(r * n + j)] += x.values[At(r * k + i)] * w.values[At(i * n + j)];
        }
      }
    }
    return y;
  }
  static Tensor Conv(const Tensor& x, const Tensor& w, const Tensor& b, std::int64_t stride,
                     std::int64_t padding) {
    const std::int64_t rows = x.dims[0], in = x.dims[1], positions = x.dims[2];
    const std::int64_t out = w.dims[0], kernel = w.dims[2];
    const std::int64_t results = (positions + 2 * padding - kernel) / stride + 1;
    Expect(w.dims[1] == in && b.dims == Shape{out} && results > 0, "convolution");
    Tensor y{{rows, out, results}, {}};
    for (std::int64_t r = 0; r < rows; ++r) {
      for (std::int64_t u = 0; u < out; ++u) {
        for (std::int64_t o = 0; o < results; ++o) {
          double sum = b.values[At(u)];
          for (std::int64_t c = 0; c < in; ++c) {
            for (std::int64_t k = 0; k < kernel; ++k) {
              const std::int64_t at = o * stride + k - padding;
              if (at < 0 || at >= positions) continue;
              sum += x.values[At((r * in + c) * positions + at)] *
                     w.values[At((u * in + c) * kernel + k)];
            }
          }
          y.values.push_back(sum);
        }
      }
    }
    return y;
  }
  static Tensor Lstm(const Tensor& x, const Tensor& w, const Tensor& r, const Tensor& b,
                     std::int64_t units) {
    const std::int64_t ticks = x.dims[0], batch = x.dims[1], in = x.dims[2];
    Expect(w.dims == Shape({1, 4 * units, in}) && r.dims == Shape({1, 4 * units, units}) &&
               b.dims == Shape({1, 8 * units}),
           "lstm");
    Tensor y{{ticks, 1, batch, units}, std::vector<double>(At(ticks * batch * units))};
    std::vector<double> cells(At(batch * units));
    for (std::int64_t t = 0; t < ticks; ++t) {
      for (std::int64_t k = 0; k < batch; ++k) {
        for (std::int64_t u = 0; u < units; ++u) {
          double gate[4];  // i, o, f, g
          for (std::int64_t g = 0; g < 4; ++g) {
            const std::int64_t row = g * units + u;
            gate[g] = b.values[At(row)] + b.values[At(4 * units + row)];
            for (std::int64_t i = 0; i < in; ++i) {
              gate[g] += x.values[At((t * batch + k) * in + i)] * w.values[At(row * in + i)];
            }
            for (std::int64_t i = 0; t > 0 && i < units; ++i) {
              gate[g] +=
                  y.values[At(((t - 1) * batch + k) * units + i)] * r.values[At(row * units + i)];
            }
          }
          double& cell = cells[At(k * units + u)];
          cell = Logistic(gate[2]) * cell + Logistic(gate[0]) * std::tanh(gate[3]);
          y.values[At((t * batch + k) * units + u)] = Logistic(gate[1]) * std::tanh(cell);
        }
      }
    }
    return y;
  }

  static Tensor Reshape(const Tensor& x, const Tensor& shape) {
    Tensor y{{}, x.values};
    std::int64_t known = 1;
    for (const double dim : shape.values) {
      y.dims.push_back(static_cast<std::int64_t>(dim));
      if (y.dims.back() > 0) known *= y.dims.back();
    }
    for (std::int64_t& dim : y.dims) {
      if (dim == -1) dim = Size(x.dims) / known;
    }
    Expect(Size(y.dims) == Size(x.dims), "reshape");
    return y;
  }
  static Tensor Transpose(const Tensor& x, const Shape& perm) {
    Tensor y;
    Shape steps(x.dims.size(), 1);
    for (std::size_t i = x.dims.size() - 1; i-- > 0;) steps[i] = steps[i + 1] * x.dims[i + 1];
    for (const std::int64_t from : perm) y.dims.push_back(x.dims[At(from)]);
    for (std::int64_t at = 0; at < Size(y.dims); ++at) {
      std::int64_t rest = at, from = 0;
      for (std::size_t i = perm.size(); i-- > 0;) {
        from += rest % y.dims[i] * steps[At(perm[i])];
        rest /= y.dims[i];
      }
      y.values.push_back(x.values[At(from)]);
    }
    return y;
  }
  // Of the positions [from, to) along an axis; or those of `which`.
  static Tensor Take(const Tensor& x, std::size_t axis, const std::vector<std::int64_t>& which) {
    const Around around(x.dims, axis);
    Tensor y{x.dims, {}};
    y.dims[axis] = static_cast<std::int64_t>(which.size());
    for (std::int64_t a = 0; a < around.before; ++a) {
      for (const std::int64_t i : which) {
        for (std::int64_t b = 0; b < around.behind; ++b) {
          y.values.push_back(x.values[At((a * around.size + i) * around.behind + b)]);
        }
      }
    }
    return y;
  }
  static Tensor Concat(const std::vector<const Tensor*>& in, std::size_t axis) {
    Tensor y{in[0]->dims, {}};
    y.dims[axis] = 0;
    for (const Tensor* x : in) y.dims[axis] += x->dims[axis];
    const Around around(y.dims, axis);
    for (std::int64_t a = 0; a < around.before; ++a) {
      for (const Tensor* x : in) {
        const std::int64_t part = x->dims[axis] * around.behind;
        for (std::int64_t i = 0; i < part; ++i) y.values.push_back(x->values[At(a * part + i)]);
      }
    }
    return y;
  }
  // f over the values along an axis, from the first on; what it gives last is kept, or all of it.
  static Tensor Along(const Tensor& x, std::size_t axis, bool all,
                      const std::function<double(double, double)>& f) {
    const Around around(x.dims, axis);
    Tensor y = x;
    for (std::int64_t a = 0; a < around.before; ++a) {
      for (std::int64_t i = 1; i < around.size; ++i) {
        for (std::int64_t b = 0; b < around.behind; ++b) {
          double& value = y.values[At((a * around.size + i) * around.behind + b)];
          value = f(y.values[At((a * around.size + i - 1) * around.behind + b)], value);
        }
      }
    }
    if (all) return y;
    y = Take(y, axis, {around.size - 1});
    y.dims.erase(y.dims.begin() + static_cast<std::ptrdiff_t>(axis));
    return y;
  }

  static Tensor Compute(const Node& node, const std::vector<const Tensor*>& in) {
    const std::string& op = node.op_type();
    const auto integers = [&](std::size_t i) {
      return std::vector<std::int64_t>(in[i]->values.begin(), in[i]->values.end());
    };
    const auto add = [](double a, double b) { return a + b; };
    if (op == "Relu") return Each(*in[0], [](double x) { return std::max(x, 0.0); });
    if (op == "Sigmoid") return Each(*in[0], Logistic);
    if (op == "Tanh") return Each(*in[0], [](double x) { return std::tanh(x); });
    if (op == "Softplus") return Each(*in[0], [](double x) { return std::log1p(std::exp(x)); });
    if (op == "Neg") return Each(*in[0], std::negate<>());
    if (op == "Exp") return Each(*in[0], [](double x) { return std::exp(x); });
    if (op == "Add") return Both(*in[0], *in[1], add);
    if (op == "Sub") return Both(*in[0], *in[1], std::minus<>());
    if (op == "Mul") return Both(*in[0], *in[1], std::multiplies<>());
    if (op == "MatMul") return Product(*in[0], *in[1]);
    if (op == "Gemm") return Both(Product(*in[0], *in[1]), *in[2], add);
    if (op == "Conv") {
      const Shape pads = Ints(node, "pads");
      Expect(pads[0] == pads[1] && Ints(node, "kernel_shape") == Shape{in[1]->dims[2]}, "pads");
      return Conv(*in[0], *in[1], *in[2], Ints(node, "strides")[0], pads[0]);
    }
    if (op == "LSTM") return Lstm(*in[0], *in[1], *in[2], *in[3], Ints(node, "hidden_size")[0]);
    if (op == "Reshape") return Reshape(*in[0], *in[1]);
    if (op == "Transpose") return Transpose(*in[0], Ints(node, "perm"));
    if (op == "Concat") return Concat(in, At(Ints(node, "axis")[0]));
    if (op == "Gather") return Take(*in[0], At(Ints(node, "axis")[0]), integers(1));
    if (op == "CumSum") return Along(*in[0], At(integers(1)[0]), true, add);
    if (op == "Slice") {
      std::vector<std::int64_t> which;
      for (std::int64_t i = integers(1)[0]; i < integers(2)[0]; ++i) which.push_back(i);
      return Take(*in[0], At(integers(3)[0]), which);
    }
    if (op == "ReduceMean" || op == "ReduceMax") {
      Expect(Ints(node, "keepdims")[0] == 0, "keepdims");
      const std::size_t axis = At(Ints(node, "axes")[0]);
      const auto size = static_cast<double>(in[0]->dims[axis]);
      if (op == "ReduceMean") {
        return Each(Along(*in[0], axis, false, add), [&](double x) { return x / size; });
      }
      return Along(*in[0], axis, false, [](double a, double b) { return std::max(a, b); });
    }
    if (op == "Softmax") {
      Expect(Ints(node, "axis")[0] == 1 && in[0]->dims.size() == 2, "softmax");
      const Tensor e = Each(*in[0], [](double x) { return std::exp(x); });
      Tensor sums = Along(e, 1, false, add);
      sums.dims.push_back(1);
      return Both(e, sums, std::divides<>());
    }
    throw std::runtime_error("operator " + op);
  }

  const seer_test_onnx::GraphProto& graph_;
  std::map<std::string, Tensor> values_;
};

void Compare(const Network& network, std::size_t windows) {
  std::vector<float> weights(network.parameters());
  network.Initialize(5, absl::MakeSpan(weights));
  const auto bytes = EncodeOnnx(network, weights);
  ASSERT_TRUE(bytes.ok()) << bytes.status();
  seer_test_onnx::ModelProto model;
  ASSERT_TRUE(model.ParseFromString(*bytes));
  EXPECT_EQ(model.ir_version(), 7);
  ASSERT_EQ(model.opset_import_size(), 1);
  EXPECT_EQ(model.opset_import(0).version(), kOnnxOpset);
  ASSERT_EQ(model.graph().input_size(), 1);
  const auto& shape = model.graph().input(0).type().tensor_type().shape();
  EXPECT_EQ(shape.dim(0).dim_param(), "batch");
  EXPECT_EQ(shape.dim(2).dim_value(), static_cast<std::int64_t>(network.services()));

  const auto inputs = testing::Uniform(windows * network.window_values(), 3, -1, 1);
  const ModelConfig& config = network.config();
  Tensor window{{static_cast<std::int64_t>(windows), config.ticks,
                 static_cast<std::int64_t>(network.services()), config.inputs},
                {inputs.begin(), inputs.end()}};
  std::map<std::string, Tensor> values;
  ASSERT_NO_THROW(values = Runner(model.graph()).Run(window));

  auto engine = *FindBackend("reference")->NewInference(network, weights);
  auto workspace = *engine->NewWorkspace(windows);
  std::vector<float> expected(windows * network.outputs());
  ASSERT_TRUE(engine->Run(inputs, windows, workspace.get(), absl::MakeSpan(expected)).ok());
  const std::size_t n = network.initiators(), h = network.hazards();
  ASSERT_EQ(values["initiators"].values.size(), windows * n);
  EXPECT_EQ(model.graph().output_size(), h > 0 ? 2 : 1);
  for (std::size_t w = 0; w < windows; ++w) {
    for (std::size_t i = 0; i < n; ++i) {
      ASSERT_NEAR(values["initiators"].values[w * n + i], double{expected[w * (n + h) + i]}, 2e-6);
    }
    for (std::size_t i = 0; i < h; ++i) {
      ASSERT_NEAR(values["hazards"].values[w * h + i], double{expected[w * (n + h) + n + i]}, 2e-6);
    }
  }
}

TEST(Onnx, ComputesWhatTheReferenceDoes) {
  for (const testing::Sample& sample : testing::Samples()) {
    for (const std::uint32_t ticks : {1u, 4u}) {
      for (const char* services : {"9", "7 1 4"}) {
        SCOPED_TRACE(sample.name + ", T " + std::to_string(ticks) + ", N " + services);
        Compare(testing::MakeNetwork(sample.layers, services, ticks, 2), 3);
      }
    }
  }
}

TEST(Onnx, ComputesTheNamedConfigurations) {
  for (const std::string& name : ModelConfig::Names()) {
    SCOPED_TRACE(name);
    Compare(*Network::Create(*ModelConfig::Named(name, 7, 1, 5)), 2);
  }
}

TEST(Onnx, RefusesWeightsThatDoNotFit) {
  const Network network = testing::MakeNetwork(testing::Samples()[0].layers, "9", 4, 2);
  std::vector<float> weights(network.parameters());
  EXPECT_TRUE(EncodeOnnx(network, weights).ok());
  weights[3] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_EQ(EncodeOnnx(network, weights).status().code(), absl::StatusCode::kInvalidArgument);
  weights.pop_back();
  EXPECT_EQ(EncodeOnnx(network, weights).status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace seer
