#include <cmath>
#include <string>

#include "absl/strings/str_cat.h"
#include "predict/fact_text.h"
#include "seer/core/internal/status_macros.h"
#include "seer/core/internal/strings.h"
#include "seer/predict/model_predictor.h"

SEER_BEGIN_NAMESPACE
namespace {

using internal::ToNumber;

template <typename Number>
void AppendFact(const char* key, Number value, std::string* text) {
  text->append(key).push_back(' ');
  internal::AppendNumber(value, text);
  text->push_back('\n');
}

}  // namespace

double ModelCalibration::Apply(double probability) const {
  // At 0 and 1 the log-odds are infinite: as far as a float's probability can tell.
  constexpr double kLeast = 1e-9;
  const double p = std::fmin(std::fmax(probability, kLeast), 1 - kLeast);
  const double z = slope * std::log(p / (1 - p)) + shift;
  return 1 / (1 + std::exp(-z));
}

absl::Status ModelCalibration::Validate() const {
  const auto error = [](const char* field, double value, const char* fix) {
    return absl::InvalidArgumentError(
        absl::StrCat("calibration.", field, " is ", value, ": give ", fix));
  };
  if (!(slope > 0) || !std::isfinite(slope)) return error("slope", slope, "a number above 0");
  if (!std::isfinite(shift)) return error("shift", shift, "a finite number");
  if (!(threshold > 0 && threshold < 1)) {
    return error("threshold", threshold, "a probability between 0 and 1");
  }
  if (alarm_horizon_ns <= 0 || alarm_horizon_ns > 3'600'000'000'000) {
    return error("alarm_horizon_ns", static_cast<double>(alarm_horizon_ns),
                 "1 to an hour of nanoseconds");
  }
  return alarm.Validate();
}

std::string EncodeModelCalibration(const ModelCalibration& calibration) {
  std::string text = "seer-calibration 1\n";
  AppendFact("slope", calibration.slope, &text);
  AppendFact("shift", calibration.shift, &text);
  AppendFact("alarm_horizon_ns", calibration.alarm_horizon_ns, &text);
  AppendFact("threshold", calibration.threshold, &text);
  AppendFact("raise_ns", calibration.alarm.raise_ns, &text);
  AppendFact("clear_ns", calibration.alarm.clear_ns, &text);
  AppendFact("clear_ratio", calibration.alarm.clear_ratio, &text);
  return text;
}

absl::StatusOr<ModelCalibration> DecodeModelCalibration(std::string_view text) {
  ModelCalibration calibration;
  std::size_t number = 0;
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(end == text.npos ? text.size() : end + 1);
    ++number;
    if (number == 1 && line == "seer-calibration 1") continue;
    const std::size_t space = number == 1 ? line.npos : line.find(' ');
    const std::string_view key = line.substr(0, space);
    const std::string_view value = space == line.npos ? "" : line.substr(space + 1);
    const bool known =
        space != line.npos &&
        ((key == "slope" && ToNumber(value, &calibration.slope)) ||
         (key == "shift" && ToNumber(value, &calibration.shift)) ||
         (key == "alarm_horizon_ns" && ToNumber(value, &calibration.alarm_horizon_ns)) ||
         (key == "threshold" && ToNumber(value, &calibration.threshold)) ||
         (key == "raise_ns" && ToNumber(value, &calibration.alarm.raise_ns)) ||
         (key == "clear_ns" && ToNumber(value, &calibration.alarm.clear_ns)) ||
         (key == "clear_ratio" && ToNumber(value, &calibration.alarm.clear_ratio)));
    if (!known) {
      return absl::InvalidArgumentError(
          absl::StrCat("model calibration, line ", number,
                       number == 1 ? ": 'seer-calibration 1' has to stand here"
                                   : ": no such word, or no number behind it"));
    }
  }
  if (number == 0) return absl::InvalidArgumentError("model calibration: empty");
  SEER_RETURN_IF_ERROR(calibration.Validate());
  return calibration;
}

SEER_END_NAMESPACE
