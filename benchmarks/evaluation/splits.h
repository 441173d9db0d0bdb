// Whether what is in one set of an evaluation is in no other: windows of one run, one placement or
// one seed in two sets make any predictor look better than it is.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"

namespace seer::evaluation {

// One run, and all that must not stand in two sets: ("seed", "17"), ("placement", "4f2a"), ...
struct SplitRow {
  std::string set;  // "train", "validation", "test", ...
  std::string run;
  std::vector<std::pair<std::string, std::string>> traits;
};

// FailedPrecondition that names every run and trait found in two sets, up to ten. A run must not
// stand there twice at all, and every row needs the same traits, none of them empty.
absl::Status CheckSplits(absl::Span<const SplitRow> rows);

// set,run,placement,seed[,...]: every further column is a trait. Then CheckSplits.
absl::Status CheckSplitsCsv(std::string_view file, std::string_view csv);

}  // namespace seer::evaluation
