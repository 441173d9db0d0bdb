// Whether one model is better than another, on windows that neither was trained with. Private to
// the retrainer.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "predict/judged_score.h"
#include "seer/core/config.h"
#include "seer/nn/checkpoint.h"
#include "seer/predict/model_inputs.h"
#include "seer/predict/replay_buffer.h"

SEER_BEGIN_NAMESPACE
namespace internal {

// A checkpoint with what it says of its inputs, and where its services stand in windows.
struct JudgedModel {
  Checkpoint checkpoint;
  ModelInputs inputs;
  std::vector<std::string> services;
  std::vector<std::int32_t> slots;

  // InvalidArgument: as MakeModelPredictor().
  static absl::StatusOr<JudgedModel> Of(Checkpoint checkpoint);
  // The services' places among `slots`.
  void FindSlots(const std::vector<std::string>& names);
};

// Of windows.
struct ModelScore : JudgedScore {
  double ahead_loss = 0;  // mean of -log P of who initiates it
  double calm_loss = 0;   // mean of -log P(no violation)

  // Log-odds of an alarm in windows of the second kind, before calibration; sorted.
  std::vector<double> calm_odds;

  double loss() const { return ahead > 0 && calm > 0 ? (ahead_loss + calm_loss) / 2 : calm_loss; }
};

// Over the windows that end after `from_ns`. Internal: the model's outputs are not finite.
absl::StatusOr<ModelScore> Judge(const JudgedModel& model, const ReplayBuffer& windows,
                                 std::int64_t from_ns, const std::string& backend);

// That windows ending after `from_ns` are ahead of.
std::size_t ViolationsIn(const ReplayBuffer& windows, std::int64_t from_ns);

// Empty: the candidate is no worse. Else why it is. With fewer than `fewest` violations nothing is
// said of one that learnt from labels; `only_scales`: it did not, and what there is has to do.
std::string WhyWorse(const ModelScore& serving, const ModelScore& candidate, std::size_t fewest,
                     bool only_scales);

// A candidate that was trained with other windows, or more of some, says other probabilities of the
// same. Its calibration is shifted so that as many calm windows reach the threshold as before.
void KeepAlarmRate(const JudgedModel& serving, const ModelScore& of_serving,
                   const ModelScore& of_candidate, JudgedModel* candidate);

// Services whose usual depths are now more than `shift` spreads from what the model takes for
// usual, or spread twice as far, in half of their inputs or more. `recent`: by slot and input.
std::vector<std::size_t> Drifted(const JudgedModel& model,
                                 const std::vector<Normalizer::Scale>& recent, double shift);
// The model with what is usual now for these places of its services.
void Renormalize(const std::vector<std::size_t>& places,
                 const std::vector<Normalizer::Scale>& recent, JudgedModel* model);

}  // namespace internal
SEER_END_NAMESPACE
