// What is scored: violations, forecasts and tail latencies, from CSV files or from memory.
//
//   violations  [run,]start_ms,end_ms,class,culprit,cause[,trap][,anything else]
//               culprit: a service, "load", or empty where nobody knows. trap: 1 where the longest
//               queue is not the culprit's. By every other column the score is broken down too
//               (onset, foreseeable, unseen, ...).
//   forecasts   [run,]time_ms,horizon_ms,class,p_violation,alarm,culprit,p_culprit
//   tails       [run,]time_ms,class,tail_ms,target_ms: the tail latency that the target is about,
//   at
//               each tick's end; where it is missing, near misses are not known
//   runs        run,start_ms,end_ms: how long was watched; where it is missing, from the first to
//               the last forecast
//
// All times are ticks' ends, in ms of unix time. A file without the column `run` is of one run.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace seer::evaluation {

inline constexpr std::string_view kLoad = "load";

// Strings as numbers: a forecast is a line a tick, and a run has a hundred thousand.
class Names {
 public:
  std::uint32_t Intern(std::string_view text);
  const std::string& operator[](std::uint32_t id) const { return texts_[id]; }

 private:
  std::map<std::string, std::uint32_t, std::less<>> ids_;
  std::vector<std::string> texts_;
};

struct ViolationRow {
  std::int64_t start_ms = 0;
  std::int64_t end_ms = 0;
  std::string request_class;
  std::string culprit;
  std::string cause;
  bool trap = false;
  std::vector<std::pair<std::string, std::string>> groups;  // other columns
};

struct ForecastRow {
  std::int64_t time_ms = 0;
  std::int32_t horizon_ms = 0;
  std::uint32_t request_class = 0;  // in Names
  std::uint32_t culprit = 0;        // in Names
  float p_violation = 0;
  float p_culprit = 0;
  bool alarm = false;
};

// The forecasts of one class of one run for one horizon, as columns by time: a hundred hours of
// ForecastRows would take several times as long to look at.
struct ClassLines {
  std::string request_class;
  std::vector<std::int64_t> times_ms;
  std::vector<float> p;              // of a violation
  std::vector<std::uint8_t> alarms;  // 0 or 1
  std::vector<std::uint32_t> culprits;
};

struct TailRow {
  std::int64_t time_ms = 0;
  std::uint32_t request_class = 0;  // in Names
  double tail_ms = 0;
  double target_ms = 0;
};

// What happened in a run, and what one predictor said of it.
struct Run {
  std::string name;
  std::int64_t start_ms = 0;  // with end_ms > start_ms; else from the forecasts
  std::int64_t end_ms = 0;
  std::vector<ViolationRow> violations;  // by start
  std::vector<TailRow> tails;            // by time
  std::vector<ForecastRow> forecasts;    // by time
};

struct Recording {
  Names names;
  std::vector<Run> runs;  // by name

  Run& Of(std::string_view name);
};

// Each adds to `recording`; `file` is for the messages. Two lines of one (run, time, class,
// horizon) are an error, as is a violation of a class that starts before the one before it has
// ended.
absl::Status ReadViolations(std::string_view file, std::string_view csv, Recording* recording);
absl::Status ReadForecasts(std::string_view file, std::string_view csv, Recording* recording);
absl::Status ReadTails(std::string_view file, std::string_view csv, Recording* recording);
absl::Status ReadRuns(std::string_view file, std::string_view csv, Recording* recording);

// A line of a forecasts file, without its end.
inline constexpr std::string_view kForecastColumns =
    "time_ms,horizon_ms,class,p_violation,alarm,culprit,p_culprit";
std::string ForecastLine(const ForecastRow& row, const Names& names);

}  // namespace seer::evaluation
