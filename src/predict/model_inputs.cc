#include "seer/predict/model_inputs.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "predict/fact_text.h"
#include "seer/core/internal/status_macros.h"
#include "seer/core/internal/strings.h"
#include "seer/window/labels.h"

SEER_BEGIN_NAMESPACE
namespace {

using internal::ToNumber;

constexpr std::size_t kMaxClasses = 1024;
constexpr std::int64_t kMaxHorizonNs = 3'600'000'000'000;

void AppendScale(const char* key, const Normalizer::Scale& scale, std::string* text) {
  absl::StrAppend(text, key);
  for (const float value : {scale.middle, scale.spread}) {
    text->push_back(' ');
    internal::AppendNumber(value, text);
  }
  text->push_back('\n');
}

bool ToScale(std::string_view text, Normalizer::Scale* scale) {
  const std::size_t space = text.find(' ');
  return space != text.npos && ToNumber(text.substr(0, space), &scale->middle) &&
         ToNumber(text.substr(space + 1), &scale->spread);
}

}  // namespace

absl::Status ModelInputs::Validate() const {
  if (inputs.size() == 0) {
    return absl::InvalidArgumentError("model inputs: no input: give one or more");
  }
  if (horizons_ns.size() > kMaxHorizons) {
    return absl::InvalidArgumentError(absl::StrCat("model inputs: ", horizons_ns.size(),
                                                   " horizons: give at most ", kMaxHorizons));
  }
  std::int64_t before = 0;
  for (const std::int64_t horizon : horizons_ns) {
    if (horizon <= before || horizon > kMaxHorizonNs) {
      return absl::InvalidArgumentError(
          absl::StrCat("model inputs: horizon_ns ", horizon,
                       ": each has to be above the one before, and at most an hour"));
    }
    before = horizon;
  }
  if (initiator_horizon_ns <= 0 || initiator_horizon_ns > kMaxHorizonNs) {
    return absl::InvalidArgumentError(absl::StrCat("model inputs: initiator_horizon_ns ",
                                                   initiator_horizon_ns,
                                                   ": give 1 to an hour of nanoseconds"));
  }
  if (classes.size() > kMaxClasses) {
    return absl::InvalidArgumentError(
        absl::StrCat("model inputs: ", classes.size(), " classes: give at most ", kMaxClasses));
  }
  if (!normalizer.inputs.empty()) {
    bool same = normalizer.inputs.size() == inputs.size();
    for (std::size_t c = 0; same && c < inputs.size(); ++c) {
      same = normalizer.inputs[c] == WindowInputName(inputs.list()[c]);
    }
    if (!same) {
      return absl::InvalidArgumentError(
          "model inputs: the normalizer is of other inputs: fit it for these");
    }
  }
  return normalizer.Validate();
}

std::string EncodeModelInputs(const ModelInputs& inputs) {
  std::string text = absl::StrCat("seer-model 1\nperiod_ns ", inputs.period.ns(),
                                  "\ninitiator_horizon_ns ", inputs.initiator_horizon_ns, "\n");
  for (const std::int64_t horizon : inputs.horizons_ns) {
    absl::StrAppend(&text, "horizon_ns ", horizon, "\n");
  }
  for (const std::string& name : inputs.classes) absl::StrAppend(&text, "class ", name, "\n");
  for (const WindowInput& input : inputs.inputs.list()) {
    absl::StrAppend(&text, "input ", WindowInputName(input), "\n");
  }
  const Normalizer& normalizer = inputs.normalizer;
  for (const Normalizer::Scale& scale : normalizer.common) AppendScale("common", scale, &text);
  const std::size_t each = normalizer.inputs.size();
  for (std::size_t s = 0; s < normalizer.services.size(); ++s) {
    absl::StrAppend(&text, "service ", normalizer.services[s], "\n");
    for (std::size_t c = 0; c < each; ++c) {
      AppendScale("scale", normalizer.scales[s * each + c], &text);
    }
  }
  return text;
}

absl::StatusOr<ModelInputs> DecodeModelInputs(std::string_view text) {
  ModelInputs inputs;
  std::vector<WindowInput> list;
  std::size_t number = 0;
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(end == text.npos ? text.size() : end + 1);
    ++number;
    const auto error = [&](const char* what) {
      return absl::InvalidArgumentError(absl::StrCat("model inputs, line ", number, ": ", what));
    };
    if (number == 1) {
      if (line != "seer-model 1") return error("'seer-model 1' has to stand here");
      continue;
    }
    const std::size_t space = line.find(' ');
    if (space == line.npos) return error("a word and a value have to stand here");
    const std::string_view key = line.substr(0, space), value = line.substr(space + 1);
    Normalizer::Scale scale;
    std::int64_t ns = 0;
    if (key == "class") {
      inputs.classes.emplace_back(value);
    } else if (key == "service") {
      inputs.normalizer.services.emplace_back(value);
    } else if (key == "input") {
      auto input = WindowInputFromName(value);
      if (!input.ok()) return error("no such input");
      if (list.size() == WindowInputs::kMaxInputs) return error("too many inputs");
      list.push_back(*input);
    } else if (key == "common" || key == "scale") {
      if (!ToScale(value, &scale)) return error("middle and spread have to be two numbers");
      (key == "common" ? inputs.normalizer.common : inputs.normalizer.scales).push_back(scale);
    } else if (!ToNumber(value, &ns)) {
      return error("no such word, or no number behind it");
    } else if (key == "horizon_ns") {
      inputs.horizons_ns.push_back(ns);
    } else if (key == "initiator_horizon_ns") {
      inputs.initiator_horizon_ns = ns;
    } else if (key == "period_ns") {
      auto period = TickPeriod::FromNs(ns);
      if (!period.ok()) return error("a period has 10 ms to 5 s");
      inputs.period = *period;
    } else {
      return error("no such word: a later seer has written this");
    }
  }
  if (number == 0) return absl::InvalidArgumentError("model inputs: empty");
  inputs.inputs = WindowInputs(list);
  if (!inputs.normalizer.common.empty()) {
    for (const WindowInput& input : list) {
      inputs.normalizer.inputs.push_back(WindowInputName(input));
    }
  }
  SEER_RETURN_IF_ERROR(inputs.Validate());
  return inputs;
}

SEER_END_NAMESPACE
