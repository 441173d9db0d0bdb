// What a model that knows the simulator only says of a real application: BuzzBlog's recordings
// (tests/testdata/buzzblog has two short pieces, and whose they are). Nothing is fitted on them.
//
//   auto judged = JudgeRecordings("tests/testdata/buzzblog", scratch_folder, model);    // StatusOr
//
// A recording is NAME.rpc.csv.gz with NAME.labels.csv, of the names in recordings.cc. In bb_sat_a
// the load doubles for ten seconds now and then, and saturates `post`: each such violation (they
// last more than 5 s) is a surge. It is foreseen where an alarm starts 0.5 to 2 s ahead of it, and
// that counts where the alarm names `post`. An alarm is outside where it starts more than 2 s
// before every labelled violation and during none. Beside the model, the rivals with the thresholds
// that they have without anything learnt.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "benchmarks/evaluation/predict_figures.h"
#include "benchmarks/evaluation/report.h"
#include "seer/predict/tree_model.h"

namespace seer::evaluation {

struct HeardPredictor {
  std::string name;
  std::uint64_t foreseen = 0;  // surges
  std::uint64_t hits = 0;      // of those, the right service named
  std::uint64_t alarms = 0, outside = 0;
  // Of all labelled violations: an alarm 0.1 to 2 s ahead.
  std::uint64_t violations_foreseen = 0;
  std::vector<std::int64_t> leads_ms;  // of the surges foreseen
};

struct HeardRecording {
  std::string name;
  double minutes = 0;
  std::uint64_t violations = 0, surges = 0;
  std::vector<HeardPredictor> predictors;  // the model first
};

// Those that are in the folder. `scratch` is made, and holds them as datasets.
absl::StatusOr<std::vector<HeardRecording>> JudgeRecordings(const std::string& folder,
                                                            const std::string& scratch,
                                                            const TreeModel& model);

Section RecordingsSection(const std::vector<HeardRecording>& recordings);
std::vector<PredictFigure> RecordingFigures(const std::vector<HeardRecording>& recordings);

}  // namespace seer::evaluation
