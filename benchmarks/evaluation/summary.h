// What stands at the head of an evaluation's report: who foresaw how much, by cause and by lead,
// and what could be foreseen at all.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/types/span.h"
#include "benchmarks/evaluation/fit.h"
#include "benchmarks/evaluation/oracle.h"
#include "benchmarks/evaluation/report.h"
#include "benchmarks/evaluation/scenario_set.h"

namespace seer::evaluation {

// What the oracle said of one violation or quiet tick, joined with the truth.
struct OracleLook {
  std::string run;
  OracleRow row;
  std::string cause, onset, kind;  // of the violation
};

struct OracleSummary {
  std::int64_t horizon_ms = 2000;
  Metric recall;        // violations foreseen at any of the leads of 100 ms and more
  Metric quiet_alarms;  // share of the quiet ticks
  std::vector<std::pair<std::int64_t, Metric>> by_lead;     // foreseen that early or earlier
  std::vector<std::pair<std::int64_t, Metric>> by_horizon;  // at any lead
  std::vector<std::pair<std::string, Metric>> by_cause;
  // Of each cause those that early or earlier, as by_lead.
  std::vector<std::pair<std::string, std::vector<std::pair<std::int64_t, Metric>>>>
      by_cause_and_lead;
  std::vector<std::pair<std::string, Metric>> by_onset;
};
OracleSummary Summarize(absl::Span<const OracleLook> looks, std::int64_t horizon_ms);

struct Judged {
  std::string name;
  const Score* score = nullptr;
  Fitted fitted;  // on the validation runs
  bool fits = false;
  // On the runs alone that further training seeds were asked about; null: all of them.
  const Score* part = nullptr;
};

// What was done with which runs: Report::notes.
std::vector<std::string> NotesOf(const ScenarioSet& set, absl::Span<const Judged> judged,
                                 bool per_application);

// Tables for Report::sections.
std::vector<Section> OracleSections(const OracleSummary& oracle);
// And plots, of everybody.
std::vector<Section> Sections(absl::Span<const Judged> judged, const OracleSummary& oracle);

}  // namespace seer::evaluation
