// What the oracle said of runs, joined with what is known of their violations.
//
//   auto looks = ReadLooks(folder, {"test-23001", ...}, 2000, &truth);
//   report.sections = OracleSections(Summarize(*looks, 2000));            // summary.h
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "benchmarks/evaluation/rows.h"
#include "benchmarks/evaluation/summary.h"

namespace seer::evaluation {

// Of the runs in a folder (simulate.h), whose violations `truth` holds: each gets a further column,
// "foreseeable": whether the oracle alarms within the horizon, 100 ms before or earlier.
absl::StatusOr<std::vector<OracleLook>> ReadLooks(const std::string& folder,
                                                  const std::vector<std::string>& runs,
                                                  std::int64_t horizon_ms, Recording* truth);

}  // namespace seer::evaluation
