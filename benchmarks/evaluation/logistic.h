// Logistic regression with a ridge: the plainest trained rival. Fitted by Newton's method, without
// random numbers, so that the same rows give the same weights.
#pragma once

#include <cstddef>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"

namespace seer::evaluation {

struct LabelledRows {
  std::size_t columns = 0;
  std::vector<float> values;   // rows x columns
  std::vector<float> labels;   // 0 or 1, one for each row
  std::vector<float> weights;  // one for each row; empty: all 1
  std::size_t rows() const { return labels.size(); }
};

class LogisticRegression {
 public:
  // InvalidArgument: shapes that do not fit, values that are no numbers, or labels of one kind
  // only.
  static absl::StatusOr<LogisticRegression> Fit(const LabelledRows& data, double ridge = 1.0);

  double Probability(absl::Span<const float> row) const;
  // Of the values as they come, after the scale of the training rows was taken out.
  const std::vector<double>& weights() const { return weights_; }
  double bias() const { return bias_; }

 private:
  std::vector<double> weights_;
  double bias_ = 0;
};

}  // namespace seer::evaluation
