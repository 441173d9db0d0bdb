// Flow: Forecast, HwReading -> [Diagnose] -> Diagnosis
//
// Puts together who will be to blame (the forecast) and which resource makes its requests wait
// (hwmon/attribution.h), or says that none does.
//
//   seer::InstanceEvidence seen;
//   seen.instance = instance;
//   seen.reading = total;                                  // 300 ms of the culprit's readings
//   seen.baseline = &baselines[instance];
//   seer::Diagnosis diagnosis = seer::Diagnose(row, absl::MakeSpan(&seen, 1));
//
//   a resource    one rose enough over what is healthy; with several, the one that rose most. Where
//                 requests wait for a processor that others hold for so long because they wait for
//                 memory, it is the memory: where a request holds processors twice as long
//                 as when all is well, or waits for memory a part of what it waits for them
//   load          the forecast says so, or the instance has more requests than processors for them,
//                 and more than by chance
//   application   the culprit is clear, everything a cause could hide in was observed, nothing rose
//   undecided     anything else: no clear culprit, no baseline, too few requests, too little
//                 observed, or causes that are too much alike
//
// Enough is held against what a request takes at that instance when all is well
// (AttributionRules::healthy_latency_us): what it works and waits there as its baseline tells,
// unless the options say.
//
// An instance that gets fewer requests than can tell, where more are usual, hangs: it is judged as
// if as many as usual had come. Where few are usual, only waiting counts that is clear even so.
//
// The confidence is the probability of the culprit, times the part that the blamed resource has of
// all that rose, times a half where cache and memory bandwidth could not be told apart and eight
// tenths where a signal was extrapolated. Below `min_confidence` the cause is undecided; the
// evidence and the confidence stay, for who can act on a guess.
//
// Threads: pure functions. Cost: 10 us for each instance.
#pragma once

#include <vector>

#include "absl/types/span.h"
#include "seer/core/config.h"
#include "seer/core/diagnosis.h"
#include "seer/core/forecast.h"
#include "seer/core/hw_reading.h"
#include "seer/hwmon/attribution.h"
#include "seer/hwmon/stall_baseline.h"

SEER_BEGIN_NAMESPACE

// What was read of one replica of the culprit.
struct InstanceEvidence {
  InstanceId instance;
  HwReading reading;  // with `requests` filled in
  // Those that `reading` is the sum of, where they were kept: what was short in few of them, as
  // by a process that came and went, is not blamed (attribution.h). Empty: `reading` is judged.
  std::vector<HwReading> parts;
  const StallBaseline* baseline = nullptr;  // null: none
};

struct DiagnoseOptions {
  AttributionRules rules;
  float min_culprit = 0.3f;     // least probability of an initiator that is looked at, 0 to 1
  float min_confidence = 0.3f;  // 0 to 1
};

Diagnosis Diagnose(const ClassForecast& forecast, absl::Span<const InstanceEvidence> seen,
                   const DiagnoseOptions& options = {});

SEER_END_NAMESPACE
