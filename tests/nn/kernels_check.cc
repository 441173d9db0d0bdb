// The kernels that are compiled for any architecture (src/nn/kernels_baseline.cc) against plain
// loops: a program of its own, which needs nothing but the compiler of that architecture and
// something that runs its programs (other_architecture.sh). Those of x86-64 are tested through the
// backends (native_test.cc, backend_test.cc).
//
//   kernels_check          prints the largest error of each kernel; exit status 1 if one is too
//   large
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <map>
#include <string>
#include <vector>

#include "nn/kernels.h"
#include "nn/native_kernels.h"

using seer::internal::KernelActivation;
using Floats = std::vector<float>;

namespace {

const seer::internal::Kernels& kernels = *seer::internal::KernelsBaseline();
const seer::internal::NativeKernels& native = *seer::internal::NativeBaseline();
std::map<std::string, double> errors;

Floats Random(std::size_t n, float low = -1, float high = 1) {
  static std::uint32_t state = 1;
  Floats all(n);
  for (float& x : all) {
    state = state * 1664525u + 1013904223u;
    x = low + (high - low) * static_cast<float>(state >> 8) / 16777216.0f;
  }
  return all;
}

void Compare(const char* what, const std::vector<double>& expected, const float* got) {
  double error = 0, largest = 1;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    const double off = std::abs(expected[i] - static_cast<double>(got[i]));
    error = off <= error ? error : off;  // NaN is an error
    largest = std::max(largest, std::abs(expected[i]));
  }
  double& most = errors[what];
  most = error / largest <= most ? most : error / largest;
}

double Sigmoid(double x) { return 1 / (1 + std::exp(-x)); }
double Activated(KernelActivation activation, double x) {
  switch (activation) {
    case KernelActivation::kRelu:
      return std::max(x, 0.0);
    case KernelActivation::kSigmoid:
      return Sigmoid(x);
    case KernelActivation::kTanh:
      return std::tanh(x);
    case KernelActivation::kNone:
      break;
  }
  return x;
}
constexpr KernelActivation kAll[] = {KernelActivation::kNone, KernelActivation::kRelu,
                                     KernelActivation::kSigmoid, KernelActivation::kTanh};

// Columns in panels of four vectors; zeros behind the last one.
Floats Packed(const Floats& w, std::size_t rows, std::size_t columns) {
  const std::size_t panel = 4 * native.lanes, panels = (columns + panel - 1) / panel;
  Floats packed(panels * rows * panel);
  for (std::size_t r = 0; r < rows; ++r) {
    for (std::size_t c = 0; c < columns; ++c) {
      packed[(c / panel * rows + r) * panel + c % panel] = w[r * columns + c];
    }
  }
  return packed;
}

void Products() {
  for (const std::size_t columns : {3, 16, 21, 32, 70}) {
    const std::size_t depth = 2 * columns + 131;
    const Floats w = Random(depth * columns, -0.1f, 0.1f), bias = Random(columns);
    const Floats packed = Packed(w, depth, columns);
    Floats padded = bias;
    padded.resize(columns + 4 * native.lanes);
    seer::internal::PackedMatrix matrix;
    matrix.rows = depth;
    matrix.columns = columns;
    matrix.weights = packed.data();
    matrix.bias = padded.data();
    for (const std::size_t rows : {1, 2, 7, 20}) {
      for (const KernelActivation activation : kAll) {
        const Floats in = Random(rows * depth);
        Floats out(rows * columns);
        native.product(matrix, 0, depth, rows, in.data(), depth, false, activation, out.data(),
                       columns);
        std::vector<double> expected;
        for (std::size_t i = 0; i < rows * columns; ++i) {
          double sum = bias[i % columns];
          for (std::size_t k = 0; k < depth; ++k) {
            sum += double{in[i / columns * depth + k]} * w[k * columns + i % columns];
          }
          expected.push_back(Activated(activation, sum));
        }
        Compare("product", expected, out.data());
        if (rows > 1 || activation != KernelActivation::kNone) continue;
        if (columns % (4 * native.lanes) != 0) continue;
        std::vector<std::uint32_t> list(depth + seer::internal::kListRoom);
        Floats sums(seer::internal::kSparseBlocks * columns);
        for (const bool backwards : {false, true}) {
          native.sparse_row(matrix, in.data(), backwards, {list.data(), sums.data()}, out.data());
          Compare("sparse_row", expected, out.data());
        }
      }
    }
  }
}

void MatrixProducts() {
  constexpr std::size_t m = 37, n = 45, k = 300;
  Floats scratch(seer::internal::kGemmScratch);
  for (int form = 0; form < 4; ++form) {
    const bool at = form % 2 != 0, bt = form / 2 != 0;
    const Floats a = Random(m * k), b = Random(k * n);
    Floats c(m * n);
    kernels.gemm(at, bt, m, n, k, a.data(), at ? m : k, b.data(), bt ? k : n, false, c.data(), n,
                 scratch.data());
    std::vector<double> expected;
    for (std::size_t i = 0; i < m * n; ++i) {
      double sum = 0;
      for (std::size_t t = 0; t < k; ++t) {
        sum += double{at ? a[t * m + i / n] : a[i / n * k + t]} *
               (bt ? b[i % n * k + t] : b[t * n + i % n]);
      }
      expected.push_back(sum);
    }
    Compare("gemm", expected, c.data());
  }
}

void Recurrence() {
  for (const std::size_t units : {4, 16, 20}) {
    constexpr std::size_t kTicks = 5;
    // Rows of the weights and of the gates: panels of i, f, g, o of as many units as there are
    // lanes.
    const std::size_t lanes = native.lanes;
    const auto at = [&](std::size_t gate, std::size_t unit) {
      return unit / lanes * 4 * lanes + gate * lanes + unit % lanes;
    };
    const Floats w = Random(units * 4 * units, -0.3f, 0.3f), gates = Random(kTicks * 4 * units);
    Floats state(3 * units), out(kTicks * units);
    native.recurrence(kTicks, 1, units, Packed(w, units, 4 * units).data(), gates.data(), true,
                      state.data(), out.data());
    std::vector<double> expected, h(units), cells(units);
    for (std::size_t t = 0; t < kTicks; ++t) {
      const std::vector<double> before = h;
      for (std::size_t u = 0; u < units; ++u) {
        double sum[4];
        for (std::size_t g = 0; g < 4; ++g) {
          sum[g] = gates[t * 4 * units + at(g, u)];
          for (std::size_t k = 0; k < units; ++k) {
            sum[g] += before[k] * w[k * 4 * units + at(g, u)];
          }
        }
        cells[u] = Sigmoid(sum[1]) * cells[u] + Sigmoid(sum[0]) * std::tanh(sum[2]);
        h[u] = Sigmoid(sum[3]) * std::tanh(cells[u]);
      }
      expected.insert(expected.end(), h.begin(), h.end());
    }
    Compare("recurrence", expected, out.data());
  }
}

void Convolutions() {
  for (const std::size_t channels : {1, 2, 4, 5, 8, 24}) {
    for (const std::size_t positions : {1, 2, 23}) {
      for (const KernelActivation activation : kAll) {
        constexpr std::size_t kTaps = 10, kStep = 4;
        const Floats w = Random(kTaps * channels), bias = Random(channels);
        const Floats in = Random(positions * kStep + kTaps);
        Floats out(positions * channels);
        native.conv({kTaps, kStep, channels, w.data(), bias.data(), activation}, positions,
                    in.data(), out.data());
        std::vector<double> expected;
        for (std::size_t i = 0; i < positions * channels; ++i) {
          double sum = bias[i % channels];
          for (std::size_t j = 0; j < kTaps; ++j) {
            sum += double{in[i / channels * kStep + j]} * w[j * channels + i % channels];
          }
          expected.push_back(Activated(activation, sum));
        }
        Compare("conv", expected, out.data());
        // Training's, two inputs each and padded, for the same shape.
        const seer::internal::ConvShape shape = {2 * positions + 3, positions, 2, channels, 5, 2, 0,
                                                 activation};
        const Floats both = Random(2 * shape.in_positions);
        kernels.conv(shape, both.data(), w.data(), bias.data(), out.data());
        for (std::size_t i = 0; i < positions * channels; ++i) {
          double sum = bias[i % channels];
          for (std::size_t j = 0; j < kTaps; ++j) {
            sum += double{both[i / channels * 4 + j]} * w[j * channels + i % channels];
          }
          expected[i] = Activated(activation, sum);
        }
        Compare("conv, training", expected, out.data());
      }
    }
  }
}

void Rest() {
  constexpr std::size_t kRows = 9, kWidth = 21;
  const Floats in = Random(kRows * kWidth), w = Random(kWidth);
  Floats out(2 * kWidth);
  std::vector<double> expected(2 * kWidth, -1e9);
  for (std::size_t i = 0; i < kWidth; ++i) {
    expected[i] = 0;
    for (std::size_t r = 0; r < kRows; ++r) {
      expected[i] += double{in[r * kWidth + i]} / kRows;
      expected[kWidth + i] = std::max(expected[kWidth + i], double{in[r * kWidth + i]});
    }
  }
  native.pool(kRows, kWidth, in.data(), out.data());
  Compare("pool", expected, out.data());
  expected.assign(kRows, 0.5);
  for (std::size_t i = 0; i < kRows * kWidth; ++i) {
    expected[i / kWidth] += double{in[i]} * w[i % kWidth];
  }
  native.dots(kRows, kWidth, in.data(), w.data(), 0.5f, out.data());
  Compare("dots", expected, out.data());
  Floats z = Random(kWidth, -20, 20);
  double sum = 0;
  expected.clear();
  for (const float x : z) {
    expected.push_back(std::exp(double{x}));
    sum += expected.back();
  }
  for (double& x : expected) x /= sum;
  native.softmax(kWidth, z.data());
  Compare("softmax", expected, z.data());
}

}  // namespace

int main() {
  std::printf("kernels '%s', %zu lanes\n", kernels.name, native.lanes);
  Products();
  MatrixProducts();
  Recurrence();
  Convolutions();
  Rest();
  int status = 0;
  for (const auto& [what, error] : errors) {
    const bool ok = error <= 2e-6;
    std::printf("%-16s %.2g%s\n", what.c_str(), error, ok ? "" : "  too large");
    if (!ok) status = 1;
  }
  return status;
}
