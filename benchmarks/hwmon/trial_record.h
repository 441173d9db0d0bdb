// What was read in one live trial, in a file of lines, so that other rules can judge it later.
//
// A trial is a line "trial,PROFILE,TRUTH,SCORED,FOREIGN,HEALTHY_P50,HEALTHY_P95,P50,P95,REQUESTS",
// then a line "reading,h|c,INTERVAL_NS,REQUESTS,SIGNAL..." for each 100 ms of the healthy and of
// the contended time. The signals are those of the instance, then those of the node, each as
// VALUE:QUALITY:REASON:SCOPE in numbers; delay, utilisation, saturation of each resource in turn.
// What follows them, NAME=VALUE, is for people.
#pragma once

#include <array>
#include <iosfwd>
#include <string>
#include <vector>

#include "benchmarks/hwmon/trials.h"
#include "seer/core/hw_reading.h"
#include "seer/hwmon/stall_baseline.h"

namespace seer::bench {

struct TrialRecord {
  Trial trial;         // what was measured; not what was said
  bool scored = true;  // the first of each profile only teaches its baseline
  std::size_t healthy_requests = 0;
  std::vector<HwReading> healthy, contended;
  std::vector<std::string> details;  // of each reading, the healthy ones first
};

void Write(const TrialRecord& record, std::ostream* out);
// All of a file, or why not in `error`.
std::vector<TrialRecord> ReadRecords(const std::string& path, std::string* error);

// Learns the healthy time, then says at each look what the rules say. `baselines` are one for each
// profile, and go from trial to trial.
using Baselines = std::array<StallBaseline, kProfiles>;
Trial Judge(const TrialRecord& record, Baselines* baselines);

}  // namespace seer::bench
