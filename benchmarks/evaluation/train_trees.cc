// The only file that knows XGBoost; without it (SEER_HAVE_XGBOOST) it says so.
#include <cmath>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "benchmarks/evaluation/trees.h"

#ifdef SEER_HAVE_XGBOOST
#include <xgboost/c_api.h>
#endif

namespace seer::evaluation {

#ifdef SEER_HAVE_XGBOOST
namespace {

absl::Status Check(int code) {
  return code == 0 ? absl::OkStatus()
                   : absl::InternalError(std::string("XGBoost: ") + XGBGetLastError());
}

struct Handles {
  DMatrixHandle data = nullptr;
  BoosterHandle booster = nullptr;
  ~Handles() {
    if (booster != nullptr) XGBoosterFree(booster);
    if (data != nullptr) XGDMatrixFree(data);
  }
};

}  // namespace

absl::StatusOr<Trees> TrainTrees(const LabelledRows& data, const TreeOptions& options) {
  const std::size_t rows = data.rows();
  if (rows == 0 || data.columns == 0 || data.values.size() != rows * data.columns ||
      (!data.weights.empty() && data.weights.size() != rows)) {
    return absl::InvalidArgumentError("rows: values, labels and weights do not fit together");
  }
  Handles h;
#define EVALUATION_CHECK(call) \
  if (absl::Status status = Check(call); !status.ok()) return status
  EVALUATION_CHECK(XGDMatrixCreateFromMat(data.values.data(), rows, data.columns, NAN, &h.data));
  EVALUATION_CHECK(XGDMatrixSetFloatInfo(h.data, "label", data.labels.data(), rows));
  if (!data.weights.empty()) {
    EVALUATION_CHECK(XGDMatrixSetFloatInfo(h.data, "weight", data.weights.data(), rows));
  }
  EVALUATION_CHECK(XGBoosterCreate(&h.data, 1, &h.booster));
  const std::pair<const char*, std::string> parameters[] = {
      {"objective", "binary:logistic"},
      {"base_score", "0.5"},
      {"tree_method", "hist"},
      {"nthread", "1"},  // the same trees every time
      {"verbosity", "0"},
      {"max_depth", std::to_string(options.depth)},
      {"eta", std::to_string(options.learning_rate)},
      {"min_child_weight", std::to_string(options.least_child_weight)},
      {"subsample", std::to_string(options.subsample)},
      {"seed", std::to_string(options.seed)},
  };
  for (const auto& [name, value] : parameters) {
    EVALUATION_CHECK(XGBoosterSetParam(h.booster, name, value.c_str()));
  }
  for (int round = 0; round < options.rounds; ++round) {
    EVALUATION_CHECK(XGBoosterUpdateOneIter(h.booster, round, h.data));
  }
  bst_ulong count = 0;
  const char** dumps = nullptr;
  EVALUATION_CHECK(XGBoosterDumpModelEx(h.booster, "", 0, "text", &count, &dumps));
#undef EVALUATION_CHECK
  const std::vector<std::string_view> texts(dumps, dumps + count);
  return Trees::Parse(texts, data.columns);
}
#else
absl::StatusOr<Trees> TrainTrees(const LabelledRows&, const TreeOptions&) {
  return absl::UnimplementedError("built without XGBoost: apt install libxgboost-dev");
}
#endif

}  // namespace seer::evaluation
