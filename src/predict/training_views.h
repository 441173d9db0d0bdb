// A recorded run as others would have seen it: who have fewer probes, or want something else of
// their requests. What a model is trained with besides, so that it does not rest on what others
// lack, nor on one kind of target.
//
//   auto views = internal::ViewsOf(run, inputs, seed);       // StatusOr
//   for (const internal::TrainingView& view : *views) Collect(view.run, view.inputs);
//
// Threads: as the run. Cost: the run is read once; a tick of a view is a copy.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "seer/core/config.h"
#include "seer/predict/listen.h"
#include "seer/predict/tree_model.h"

SEER_BEGIN_NAMESPACE
namespace internal {

// Without the probes of a share of the services, drawn by `seed`: neither their channels nor the
// calls that they make are seen.
LabelledRun WithoutProbes(const LabelledRun& run, double share, std::uint64_t seed);

// With a target of another strictness for each class, drawn by `seed`, and the violations that
// there are then; where there was one before, their initiator is that one's. The class's tail
// usually takes a tenth of it at least and nearly all of it at most: the simulator's requests take
// a tenth of theirs at most, those of a real application half and more. Where latencies are only
// known as quantiles, a violation that is not sure is none.
absl::StatusOr<LabelledRun> WithOtherTargets(const LabelledRun& run, std::uint64_t seed);

struct TrainingView {
  LabelledRun run;
  TreeInputs inputs;
};
// Calls and latencies alone, as traces tell them (unless the inputs have no more anyway); a part of
// the probes missing; other targets, seen whole, and as traces tell.
absl::StatusOr<std::vector<TrainingView>> ViewsOf(const LabelledRun& run, const TreeInputs& inputs,
                                                  std::uint64_t seed);

}  // namespace internal
SEER_END_NAMESPACE
