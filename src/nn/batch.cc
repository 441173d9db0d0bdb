#include "seer/nn/batch.h"

#include <cstddef>
#include <cstdint>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "nn/finite.h"
#include "seer/core/internal/status_macros.h"

SEER_BEGIN_NAMESPACE
namespace {

absl::Status Wrong(std::string what) {
  return absl::InvalidArgumentError("training batch: " + std::move(what));
}

absl::Status CheckLength(const char* list, std::size_t length, std::size_t wanted, bool may_lack) {
  if (length == wanted || (may_lack && length == 0)) return absl::OkStatus();
  return Wrong(absl::StrCat(list, " has ", length, " values: ", wanted, " are needed",
                            may_lack ? ", or none" : ""));
}

}  // namespace

void TrainingBatch::Clear() {
  windows = 0;
  inputs.clear();
  initiator.clear();
  initiators.clear();
  hazard.clear();
  weight.clear();
}

absl::Status TrainingBatch::Check(const Network& network) const {
  const bool softmax = network.config().output == OutputKind::kSoftmax;
  const std::size_t classes = network.config().hazard_classes;
  if (windows == 0) return Wrong("no windows: give at least one");
  SEER_RETURN_IF_ERROR(
      CheckLength("inputs", inputs.size(), windows * network.window_values(), false));
  SEER_RETURN_IF_ERROR(CheckLength("initiator", initiator.size(), softmax ? windows : 0, true));
  SEER_RETURN_IF_ERROR(CheckLength("initiators", initiators.size(),
                                   softmax ? 0 : windows * network.initiators(), true));
  SEER_RETURN_IF_ERROR(CheckLength("hazard", hazard.size(), windows * classes, true));
  SEER_RETURN_IF_ERROR(CheckLength("weight", weight.size(), windows, true));
  if (const std::size_t i = internal::FirstNotBelow(inputs, internal::kTooLargeBits);
      i < inputs.size()) {
    return Wrong(absl::StrCat("inputs: value ", i % network.window_values(), " of window ",
                              i / network.window_values(),
                              " is not finite, or 2^64 or more: give 0 for what was not seen"));
  }
  for (std::size_t i = 0; i < initiator.size(); ++i) {
    if (initiator[i] < -1 || initiator[i] >= static_cast<std::int64_t>(network.initiators())) {
      return Wrong(absl::StrCat("initiator of window ", i, " is ", initiator[i], ": give -1 to ",
                                network.initiators() - 1));
    }
  }
  if (const std::size_t i = internal::FirstNotFinite(initiators); i < initiators.size()) {
    return Wrong(absl::StrCat("initiators: value ", i, " is not finite: give -1 for not known"));
  }
  for (std::size_t i = 0; i < initiators.size(); ++i) {
    if (initiators[i] > 1) {
      return Wrong(absl::StrCat("initiators: value ", i, " is above 1: give 0 to 1, or -1"));
    }
  }
  for (std::size_t i = 0; i < hazard.size(); ++i) {
    if (hazard[i] < -1 || hazard[i] > static_cast<std::int64_t>(network.config().hazard_horizons)) {
      return Wrong(absl::StrCat("hazard: value ", i, " is ", hazard[i], ": give -1 to ",
                                network.config().hazard_horizons));
    }
  }
  for (std::size_t i = 0; i < weight.size(); ++i) {
    if (!internal::IsFinite(weight[i]) || weight[i] < 0 || weight[i] > 1e6f) {
      return Wrong(absl::StrCat("weight of window ", i, " is not 0 to 1e6: give another"));
    }
  }
  return absl::OkStatus();
}

MemorySource::MemorySource(const Network& network)
    : values_(network.window_values()),
      initiators_(network.initiators()),
      classes_(network.config().hazard_classes),
      output_(network.config().output) {}

absl::Status MemorySource::Add(absl::Span<const float> values, const Truth& truth) {
  SEER_RETURN_IF_ERROR(CheckLength("values", values.size(), values_, false));
  SEER_RETURN_IF_ERROR(CheckLength("initiators", truth.initiators.size(), initiators_, true));
  SEER_RETURN_IF_ERROR(CheckLength("hazard", truth.hazard.size(), classes_, true));
  all_.inputs.insert(all_.inputs.end(), values.begin(), values.end());
  if (output_ == OutputKind::kSoftmax) {
    all_.initiator.push_back(truth.initiator);
  } else if (truth.initiators.empty()) {
    all_.initiators.resize(all_.initiators.size() + initiators_, -1.0f);
  } else {
    all_.initiators.insert(all_.initiators.end(), truth.initiators.begin(), truth.initiators.end());
  }
  if (truth.hazard.empty()) {
    all_.hazard.resize(all_.hazard.size() + classes_, -1);
  } else {
    all_.hazard.insert(all_.hazard.end(), truth.hazard.begin(), truth.hazard.end());
  }
  all_.weight.push_back(truth.weight);
  ++all_.windows;
  return absl::OkStatus();
}

absl::Status MemorySource::Fill(absl::Span<const std::uint64_t> which, TrainingBatch* batch) {
  batch->Clear();
  batch->windows = which.size();
  const auto append = [](const auto& all, std::uint64_t i, std::size_t each, auto* to) {
    if (each == 0 || all.empty()) return;
    const auto from = all.begin() + static_cast<std::ptrdiff_t>(i * each);
    to->insert(to->end(), from, from + static_cast<std::ptrdiff_t>(each));
  };
  const bool softmax = output_ == OutputKind::kSoftmax;
  for (std::uint64_t i : which) {
    if (i >= all_.windows) {
      return absl::OutOfRangeError(
          absl::StrCat("window ", i, ": there are ", all_.windows, ": ask for a lower number"));
    }
    append(all_.inputs, i, values_, &batch->inputs);
    append(all_.initiator, i, softmax ? 1 : 0, &batch->initiator);
    append(all_.initiators, i, softmax ? 0 : initiators_, &batch->initiators);
    append(all_.hazard, i, classes_, &batch->hazard);
    append(all_.weight, i, 1, &batch->weight);
  }
  return absl::OkStatus();
}

SEER_END_NAMESPACE
