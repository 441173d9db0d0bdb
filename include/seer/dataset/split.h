// Flow: DatasetManifest -> [SplitByRun] -> SplitRange -> nn/, predict/
//
// Which ticks are for training, which for validation, which for the test. Windows of one run are
// never in two parts: whole runs are dealt out, at random but always alike for a seed.
//
//   auto split = seer::SplitByRun(reader.manifest(), options);
//   writer->SetSplit(*split);
//
// With fewer runs than parts a run has to be cut in time: the oldest ticks for training, the newest
// for the test, and `gap` between the parts: history and horizon, so that no window and no label of
// one part reaches into another.
//
// Threads: pure functions. Cost: O(runs).
#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "seer/core/config.h"
#include "seer/dataset/manifest.h"

SEER_BEGIN_NAMESPACE

struct SplitOptions {
  double train = 0.7;  // shares of the ticks; what is left is for the test
  double validation = 0.15;
  // At least the model's history and its longest horizon.
  std::int64_t gap_ns = 10'000'000'000;
  std::uint64_t seed = 1;
};

// InvalidArgument for shares outside 0 to 1, or a run that is too short to be cut.
absl::StatusOr<std::vector<SplitRange>> SplitByRun(const DatasetManifest& manifest,
                                                   const SplitOptions& options = {});

// Whether [from, to) of a run touches ranges of one part only, and no gap: what a window's ticks
// and its horizon have to.
bool WithinOnePart(const std::vector<SplitRange>& split, std::uint32_t run, Tick from, Tick to);

SEER_END_NAMESPACE
