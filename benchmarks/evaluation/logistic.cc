#include "benchmarks/evaluation/logistic.h"

#include <algorithm>
#include <cmath>

namespace seer::evaluation {
namespace {

double Sigmoid(double x) {
  return x >= 0 ? 1 / (1 + std::exp(-x)) : std::exp(x) / (1 + std::exp(x));
}

// Solves A x = b for a positive definite A (n x n, in place); false if it is not.
bool SolveCholesky(std::vector<double>* a_in, std::vector<double>* b_in) {
  std::vector<double>& a = *a_in;
  std::vector<double>& b = *b_in;
  const std::size_t n = b.size();
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t j = 0; j <= i; ++j) {
      double sum = a[i * n + j];
      for (std::size_t k = 0; k < j; ++k) sum -= a[i * n + k] * a[j * n + k];
      if (i != j) {
        a[i * n + j] = sum / a[j * n + j];
      } else if (sum > 0) {
        a[i * n + i] = std::sqrt(sum);
      } else {
        return false;
      }
    }
  }
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t k = 0; k < i; ++k) b[i] -= a[i * n + k] * b[k];
    b[i] /= a[i * n + i];
  }
  for (std::size_t i = n; i-- > 0;) {
    for (std::size_t k = i + 1; k < n; ++k) b[i] -= a[k * n + i] * b[k];
    b[i] /= a[i * n + i];
  }
  return true;
}

}  // namespace

absl::StatusOr<LogisticRegression> LogisticRegression::Fit(const LabelledRows& data, double ridge) {
  const std::size_t rows = data.rows();
  const std::size_t columns = data.columns;
  if (columns == 0 || data.values.size() != rows * columns ||
      (!data.weights.empty() && data.weights.size() != rows)) {
    return absl::InvalidArgumentError("rows: values, labels and weights do not fit together");
  }
  if (!(ridge > 0 && std::isfinite(ridge))) {
    return absl::InvalidArgumentError("ridge: give a finite number above 0");
  }
  const auto weight = [&](std::size_t r) { return data.weights.empty() ? 1.0 : data.weights[r]; };
  bool some[2] = {false, false};
  for (const float label : data.labels) {
    if (label != 0 && label != 1) return absl::InvalidArgumentError("labels: give 0 or 1");
    some[label == 1] = true;
  }
  if (!some[0] || !some[1]) {
    return absl::InvalidArgumentError("labels: all are the same; record more");
  }
  for (const float value : data.values) {
    if (!std::isfinite(value)) return absl::InvalidArgumentError("values: one is no number");
  }

  // To mean 0 and deviation 1; a column that never varies gets no weight.
  std::vector<double> mean(columns, 0), scale(columns, 0);
  for (std::size_t r = 0; r < rows; ++r) {
    for (std::size_t c = 0; c < columns; ++c) mean[c] += data.values[r * columns + c];
  }
  for (double& m : mean) m /= static_cast<double>(rows);
  for (std::size_t r = 0; r < rows; ++r) {
    for (std::size_t c = 0; c < columns; ++c) {
      const double d = data.values[r * columns + c] - mean[c];
      scale[c] += d * d;
    }
  }
  for (double& s : scale) {
    s = std::sqrt(s / static_cast<double>(rows));
    s = s > 1e-9 ? 1 / s : 0;
  }

  const std::size_t n = columns + 1;  // the bias last
  std::vector<double> beta(n, 0), gradient(n), hessian(n * n), x(n);
  const auto loss_of = [&](const std::vector<double>& b) {
    double loss = 0;
    for (std::size_t c = 0; c < columns; ++c) loss += ridge * b[c] * b[c] / 2;
    for (std::size_t r = 0; r < rows; ++r) {
      double at = b[columns];
      for (std::size_t c = 0; c < columns; ++c) {
        at += b[c] * (data.values[r * columns + c] - mean[c]) * scale[c];
      }
      const double signed_at = data.labels[r] == 1 ? at : -at;
      loss += weight(r) * (signed_at > 0 ? std::log1p(std::exp(-signed_at))
                                         : std::log1p(std::exp(signed_at)) - signed_at);
    }
    return loss;
  };
  double loss = loss_of(beta);
  for (int step = 0; step < 50; ++step) {
    std::fill(gradient.begin(), gradient.end(), 0);
    std::fill(hessian.begin(), hessian.end(), 0);
    for (std::size_t c = 0; c < columns; ++c) {
      gradient[c] = -ridge * beta[c];
      hessian[c * n + c] = ridge;
    }
    hessian[columns * n + columns] = 1e-9;
    for (std::size_t r = 0; r < rows; ++r) {
      double at = beta[columns];
      for (std::size_t c = 0; c < columns; ++c) {
        x[c] = (data.values[r * columns + c] - mean[c]) * scale[c];
        at += beta[c] * x[c];
      }
      x[columns] = 1;
      const double p = Sigmoid(at);
      const double w = weight(r);
      for (std::size_t i = 0; i < n; ++i) {
        gradient[i] += w * (data.labels[r] - p) * x[i];
        for (std::size_t j = 0; j <= i; ++j) hessian[i * n + j] += w * p * (1 - p) * x[i] * x[j];
      }
    }
    if (!SolveCholesky(&hessian, &gradient)) break;
    // Halved until it helps: far from the optimum Newton's step may be too long.
    double size = 1;
    std::vector<double> next(n);
    double next_loss = loss;
    for (int halving = 0; halving < 30; ++halving, size /= 2) {
      for (std::size_t i = 0; i < n; ++i) next[i] = beta[i] + size * gradient[i];
      next_loss = loss_of(next);
      if (next_loss <= loss) break;
    }
    if (!(next_loss <= loss)) break;
    const bool done = loss - next_loss <= 1e-10 * (1 + loss);
    beta = next;
    loss = next_loss;
    if (done) break;
  }

  LogisticRegression model;
  model.weights_.resize(columns);
  model.bias_ = beta[columns];
  for (std::size_t c = 0; c < columns; ++c) {
    model.weights_[c] = beta[c] * scale[c];
    model.bias_ -= model.weights_[c] * mean[c];
  }
  return model;
}

double LogisticRegression::Probability(absl::Span<const float> row) const {
  double at = bias_;
  for (std::size_t c = 0; c < weights_.size() && c < row.size(); ++c) at += weights_[c] * row[c];
  return Sigmoid(at);
}

}  // namespace seer::evaluation
