#include "predict/model_judge.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "seer/core/internal/status_macros.h"
#include "seer/nn/backend.h"
#include "seer/predict/model_predictor.h"

SEER_BEGIN_NAMESPACE
namespace internal {
namespace {

constexpr std::size_t kAtOnce = 16;
constexpr double kWolf = 0.35;   // -log P(no violation): 0.7 on the average
constexpr double kLeast = 1e-6;  // of a probability: one that was impossible and came costs 14

// What the model takes for usual of a service's inputs.
const Normalizer::Scale* ScalesOf(const JudgedModel& model, std::size_t place) {
  const Normalizer& normalizer = model.inputs.normalizer;
  const auto row =
      std::find(normalizer.services.begin(), normalizer.services.end(), model.services[place]);
  if (row == normalizer.services.end()) return normalizer.common.data();
  return &normalizer.scales[static_cast<std::size_t>(row - normalizer.services.begin()) *
                            model.inputs.inputs.size()];
}

ModelCalibration CalibrationOf(const JudgedModel& model) {
  ModelCalibration calibration;
  calibration.alarm_horizon_ns = model.inputs.initiator_horizon_ns;
  const auto section = model.checkpoint.sections.find(ModelCalibration::kSection);
  if (section == model.checkpoint.sections.end()) return calibration;
  return DecodeModelCalibration(section->second).value_or(calibration);
}

// Windows ahead of one violation tell the same thing several times.
std::size_t CountViolations(std::vector<std::int64_t>* ends_ns) {
  std::sort(ends_ns->begin(), ends_ns->end());
  std::size_t count = 0;
  for (std::size_t i = 0; i < ends_ns->size(); ++i) {
    count += i == 0 || (*ends_ns)[i] - (*ends_ns)[i - 1] > 1'000'000'000 ? 1 : 0;
  }
  return count;
}

// What somebody is judged by: known, and not only guessed.
bool Judges(const ReplayWindow& window, std::int64_t from_ns) {
  return window.end_ns > from_ns && window.initiator != ReplayWindow::kUnknown &&
         window.weight >= 0.5f;
}

}  // namespace

std::size_t ViolationsIn(const ReplayBuffer& windows, std::int64_t from_ns) {
  std::vector<std::int64_t> ends_ns;
  for (std::size_t i = 0; i < windows.windows(); ++i) {
    const ReplayWindow& window = windows.window(i);
    if (Judges(window, from_ns) && window.initiator != ReplayWindow::kNoViolation) {
      ends_ns.push_back(window.end_ns);
    }
  }
  return CountViolations(&ends_ns);
}

void KeepAlarmRate(const JudgedModel& serving, const ModelScore& of_serving,
                   const ModelScore& of_candidate, JudgedModel* candidate) {
  constexpr double kQuantile = 0.98, kMost = 6;
  const std::size_t n = std::min(of_serving.calm_odds.size(), of_candidate.calm_odds.size());
  if (n < 50) return;
  const auto at = [&](const ModelScore& score) {
    return score.calm_odds[static_cast<std::size_t>(
        kQuantile * static_cast<double>(score.calm_odds.size() - 1))];
  };
  ModelCalibration calibration = CalibrationOf(serving);
  calibration.shift +=
      std::clamp(calibration.slope * (at(of_serving) - at(of_candidate)), -kMost, kMost);
  candidate->checkpoint.sections[ModelCalibration::kSection] = EncodeModelCalibration(calibration);
}

absl::StatusOr<JudgedModel> JudgedModel::Of(Checkpoint checkpoint) {
  // What serves has to be servable: the same checks as where it will be used.
  SEER_RETURN_IF_ERROR(MakeModelPredictor(checkpoint).status());
  JudgedModel model;
  SEER_ASSIGN_OR_RETURN(model.inputs,
                        DecodeModelInputs(checkpoint.sections.at(ModelInputs::kSection)));
  if (checkpoint.config.output != OutputKind::kSoftmax) {
    return absl::InvalidArgumentError(
        "retrainer: the network's output is not softmax: train one with `output softmax`");
  }
  for (const ServiceSlot& slot : checkpoint.services) model.services.push_back(slot.name);
  model.checkpoint = std::move(checkpoint);
  return model;
}

void JudgedModel::FindSlots(const std::vector<std::string>& names) {
  slots.assign(services.size(), -1);
  for (std::size_t i = 0; i < services.size(); ++i) {
    if (!checkpoint.services[i].live) continue;
    const auto found = std::find(names.begin(), names.end(), services[i]);
    if (found != names.end()) slots[i] = static_cast<std::int32_t>(found - names.begin());
  }
}

absl::StatusOr<ModelScore> Judge(const JudgedModel& model, const ReplayBuffer& windows,
                                 std::int64_t from_ns, const std::string& backend) {
  SEER_ASSIGN_OR_RETURN(const Network network, Network::Create(model.checkpoint.config));
  InferenceOptions options;
  for (const ServiceSlot& slot : model.checkpoint.services) options.live.push_back(slot.live);
  SEER_ASSIGN_OR_RETURN(const auto engine, FindBackend(backend)->NewInference(
                                               network, model.checkpoint.parameters, options));
  SEER_ASSIGN_OR_RETURN(const auto workspace, engine->NewWorkspace(kAtOnce));
  const auto source = windows.NewSource(model.inputs, model.services, model.slots, 0, 0);
  std::vector<std::uint64_t> which;
  for (std::size_t i = 0; i < windows.windows(); ++i) {
    if (Judges(windows.window(i), from_ns)) which.push_back(i);
  }
  const std::size_t none = network.services() + ModelInputs::kNoViolation;
  std::vector<float> outputs(kAtOnce * network.outputs());
  // As the predictor has it: the hazard at the horizon of the alarm, or that anybody initiates one.
  const ModelCalibration calibration = CalibrationOf(model);
  const std::size_t horizons = network.config().hazard_horizons;
  std::size_t alarm_horizon = 0;
  while (alarm_horizon + 1 < horizons &&
         model.inputs.horizons_ns[alarm_horizon] < calibration.alarm_horizon_ns) {
    ++alarm_horizon;
  }
  std::vector<float> suspicion[2];  // of calm windows, and of those ahead
  std::vector<std::int64_t> ends_ns;
  ModelScore score;
  TrainingBatch batch;
  for (std::size_t at = 0; at < which.size(); at += kAtOnce) {
    const std::size_t count = std::min(kAtOnce, which.size() - at);
    SEER_RETURN_IF_ERROR(source->Fill(absl::MakeConstSpan(which).subspan(at, count), &batch));
    SEER_RETURN_IF_ERROR(
        engine->Run(batch.inputs, count, workspace.get(),
                    absl::MakeSpan(outputs).subspan(0, count * network.outputs())));
    for (std::size_t w = 0; w < count; ++w) {
      const float* const p = &outputs[w * network.outputs()];
      const bool ahead = windows.window(static_cast<std::size_t>(which[at + w])).initiator !=
                         ReplayWindow::kNoViolation;
      // Whom the model does not know it cannot name: that costs as the impossible does.
      const std::int32_t right = batch.initiator[w];
      const double of_right = right < 0 ? 0 : static_cast<double>(p[right]);
      suspicion[ahead ? 1 : 0].push_back(-p[none]);
      (ahead ? score.ahead_loss : score.calm_loss) -= std::log(std::max(of_right, kLeast));
      ++(ahead ? score.ahead : score.calm);
      if (!ahead) {
        double alarm = network.hazards() > 0 ? 0 : 1 - static_cast<double>(p[none]);
        for (std::size_t c = 0; c < network.config().hazard_classes; ++c) {
          alarm = std::max(
              alarm, static_cast<double>(p[network.initiators() + c * horizons + alarm_horizon]));
        }
        alarm = std::clamp(alarm, kLeast, 1 - kLeast);
        score.calm_odds.push_back(std::log(alarm / (1 - alarm)));
      }
      if (!ahead) continue;
      ends_ns.push_back(windows.window(static_cast<std::size_t>(which[at + w])).end_ns);
      std::size_t best = none + 1;  // "load"
      for (std::size_t i = 0; i < network.services(); ++i) best = p[i] > p[best] ? i : best;
      score.culprits += static_cast<std::int32_t>(best) == right ? 1 : 0;
    }
  }
  score.violations = CountViolations(&ends_ns);
  std::sort(score.calm_odds.begin(), score.calm_odds.end());
  if (score.calm > 0) score.calm_loss /= static_cast<double>(score.calm);
  if (score.ahead > 0) {
    score.ahead_loss /= static_cast<double>(score.ahead);
    score.culprits /= static_cast<double>(score.ahead);
  }
  score.auc = AreaUnderCurve(std::move(suspicion[1]), std::move(suspicion[0]));
  return score;
}

std::string WhyWorse(const ModelScore& serving, const ModelScore& candidate, std::size_t fewest,
                     bool only_scales) {
  if (only_scales && candidate.violations < fewest) {
    if (candidate.calm == 0) return "no windows to compare on";
    // Where the depths are others than it was trained with, that a model is silent says nothing for
    // it. One that takes them for usual need not be as silent, but may not cry wolf either.
    if (candidate.ahead == 0 && candidate.calm_loss > std::max(serving.calm_loss, kWolf)) {
      return absl::StrFormat("loss without a violation ahead %.4f, was %.4f", candidate.calm_loss,
                             serving.calm_loss);
    }
    if (candidate.ahead > 0 && candidate.loss() > serving.loss()) {
      return absl::StrFormat("loss %.4f, was %.4f", candidate.loss(), serving.loss());
    }
    return "";
  }
  std::string reason = WhyBlinder(serving, candidate, fewest);
  if (!reason.empty()) return reason;
  if (candidate.loss() > serving.loss()) {
    return absl::StrFormat("loss %.4f, was %.4f", candidate.loss(), serving.loss());
  }
  return "";
}

std::vector<std::size_t> Drifted(const JudgedModel& model,
                                 const std::vector<Normalizer::Scale>& recent, double shift) {
  std::vector<std::size_t> places;
  const std::size_t each = model.inputs.inputs.size();
  if (model.inputs.normalizer.inputs.empty()) return places;
  for (std::size_t i = 0; i < model.services.size(); ++i) {
    if (model.slots[i] < 0) continue;
    const std::size_t row = static_cast<std::size_t>(model.slots[i]) * each;
    if (row + each > recent.size()) continue;
    const Normalizer::Scale* const usual = ScalesOf(model, i);
    std::size_t known = 0, moved = 0;
    for (std::size_t c = 0; c < each; ++c) {
      const Normalizer::Scale& now = recent[row + c];
      if (!(now.spread > 0)) continue;
      ++known;
      const double away = std::abs(static_cast<double>(now.middle - usual[c].middle)) /
                          std::max(static_cast<double>(usual[c].spread), 0.05);
      const double wider = static_cast<double>(now.spread / std::max(usual[c].spread, 0.05f));
      moved += away > shift || wider > 2 * std::max(shift, 0.5) ? 1 : 0;
    }
    if (known > 0 && 2 * moved >= known && moved > 0) places.push_back(i);
  }
  return places;
}

void Renormalize(const std::vector<std::size_t>& places,
                 const std::vector<Normalizer::Scale>& recent, JudgedModel* model) {
  Normalizer& normalizer = model->inputs.normalizer;
  const std::size_t each = model->inputs.inputs.size();
  for (const std::size_t place : places) {
    auto row =
        std::find(normalizer.services.begin(), normalizer.services.end(), model->services[place]);
    if (row == normalizer.services.end()) {
      normalizer.services.push_back(model->services[place]);
      normalizer.scales.insert(normalizer.scales.end(), normalizer.common.begin(),
                               normalizer.common.end());
      row = normalizer.services.end() - 1;
    }
    Normalizer::Scale* const scales =
        &normalizer.scales[static_cast<std::size_t>(row - normalizer.services.begin()) * each];
    for (std::size_t c = 0; c < each; ++c) {
      const Normalizer::Scale& now =
          recent[static_cast<std::size_t>(model->slots[place]) * each + c];
      if (now.spread > 0) scales[c] = now;
    }
  }
  model->checkpoint.sections[ModelInputs::kSection] = EncodeModelInputs(model->inputs);
}

}  // namespace internal
SEER_END_NAMESPACE
