#include "seer/nn/loss.h"

#include "absl/strings/str_cat.h"
#include "nn/finite.h"

SEER_BEGIN_NAMESPACE

absl::Status LossOptions::Check(const Network& network) const {
  if (!output_weights.empty() && output_weights.size() != network.initiators()) {
    return absl::InvalidArgumentError(absl::StrCat("loss: output_weights has ",
                                                   output_weights.size(), " values: give ",
                                                   network.initiators(), ", or none"));
  }
  for (float weight : output_weights) {
    if (!internal::IsFinite(weight) || weight < 0 || weight > 1e6f) {
      return absl::InvalidArgumentError("loss: an output weight is not 0 to 1e6: give another");
    }
  }
  if (!internal::IsFinite(focal_gamma) || focal_gamma < 0 || focal_gamma > 10) {
    return absl::InvalidArgumentError("loss: focal_gamma is not 0 to 10: give 0 or about 2");
  }
  if (!internal::IsFinite(hazard_weight) || hazard_weight < 0 || hazard_weight > 1e6f) {
    return absl::InvalidArgumentError("loss: hazard_weight is not 0 to 1e6: give another");
  }
  return absl::OkStatus();
}

SEER_END_NAMESPACE
