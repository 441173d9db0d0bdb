#include "benchmarks/evaluation/rows.h"

#include <algorithm>
#include <cstdio>
#include <set>
#include <tuple>

#include "benchmarks/evaluation/csv.h"

namespace seer::evaluation {
namespace {

// Before the year 287,396: differences of two times fit into 64 bits.
constexpr std::int64_t kMaxMs = 9'000'000'000'000'000;
constexpr std::int64_t kMaxHorizonMs = 3'600'000;

#define EVALUATION_ASSIGN(name, expression)       \
  auto name##_or = (expression);                  \
  if (!name##_or.ok()) return name##_or.status(); \
  const auto name = *std::move(name##_or)

// Columns that are neither in `required` nor `optional` are refused.
absl::Status OnlyKnown(const CsvReader& reader, std::string_view file,
                       std::initializer_list<std::string_view> known) {
  for (const std::string& column : reader.header()) {
    if (std::find(known.begin(), known.end(), column) == known.end()) {
      return absl::InvalidArgumentError(std::string(file) + ": line 1: the column '" + column +
                                        "' is not known here: leave it out");
    }
  }
  return absl::OkStatus();
}

std::string_view RunOf(const CsvReader& reader, std::size_t column) {
  return column == CsvReader::kNoColumn ? std::string_view("run")
                                        : std::string_view(reader.field(column));
}

}  // namespace

std::uint32_t Names::Intern(std::string_view text) {
  const auto found = ids_.find(text);
  if (found != ids_.end()) return found->second;
  const auto id = static_cast<std::uint32_t>(texts_.size());
  ids_.emplace(std::string(text), id);
  texts_.emplace_back(text);
  return id;
}

Run& Recording::Of(std::string_view name) {
  auto place = std::lower_bound(runs.begin(), runs.end(), name,
                                [](const Run& run, std::string_view n) { return run.name < n; });
  if (place == runs.end() || place->name != name) {
    Run run;
    run.name = name;
    place = runs.insert(place, std::move(run));
  }
  return *place;
}

absl::Status ReadViolations(std::string_view file, std::string_view csv, Recording* recording) {
  auto opened = CsvReader::Open(file, csv);
  if (!opened.ok()) return opened.status();
  CsvReader& reader = *opened;
  EVALUATION_ASSIGN(start, reader.Require("start_ms"));
  EVALUATION_ASSIGN(end, reader.Require("end_ms"));
  EVALUATION_ASSIGN(request_class, reader.Require("class"));
  EVALUATION_ASSIGN(culprit, reader.Require("culprit"));
  EVALUATION_ASSIGN(cause, reader.Require("cause"));
  const std::size_t run = reader.Find("run");
  const std::size_t trap = reader.Find("trap");
  const std::set<std::size_t> own = {start, end, request_class, culprit, cause, run, trap};
  while (true) {
    EVALUATION_ASSIGN(more, reader.Next());
    if (!more) break;
    ViolationRow row;
    EVALUATION_ASSIGN(start_ms, reader.Integer(start, -kMaxMs, kMaxMs));
    EVALUATION_ASSIGN(end_ms, reader.Integer(end, -kMaxMs, kMaxMs));
    if (end_ms < start_ms) return reader.Error(end, "the violation ends before it starts");
    row.start_ms = start_ms;
    row.end_ms = end_ms;
    row.request_class = reader.field(request_class);
    row.culprit = reader.field(culprit);
    row.cause = reader.field(cause);
    if (trap != CsvReader::kNoColumn) {
      EVALUATION_ASSIGN(flag, reader.Flag(trap));
      row.trap = flag;
    }
    for (std::size_t i = 0; i < reader.header().size(); ++i) {
      if (own.count(i) == 0) row.groups.emplace_back(reader.header()[i], reader.field(i));
    }
    std::vector<ViolationRow>& rows = recording->Of(RunOf(reader, run)).violations;
    for (const ViolationRow& other : rows) {
      if (other.request_class == row.request_class && row.start_ms <= other.end_ms &&
          other.start_ms <= row.end_ms) {
        return reader.Error(start, "another violation of the class lasts then, from " +
                                       std::to_string(other.start_ms) + " to " +
                                       std::to_string(other.end_ms));
      }
    }
    rows.push_back(std::move(row));
  }
  for (Run& r : recording->runs) {
    std::stable_sort(
        r.violations.begin(), r.violations.end(),
        [](const ViolationRow& a, const ViolationRow& b) { return a.start_ms < b.start_ms; });
  }
  return absl::OkStatus();
}

absl::Status ReadForecasts(std::string_view file, std::string_view csv, Recording* recording) {
  auto opened = CsvReader::Open(file, csv);
  if (!opened.ok()) return opened.status();
  CsvReader& reader = *opened;
  EVALUATION_ASSIGN(time, reader.Require("time_ms"));
  EVALUATION_ASSIGN(horizon, reader.Require("horizon_ms"));
  EVALUATION_ASSIGN(request_class, reader.Require("class"));
  EVALUATION_ASSIGN(p_violation, reader.Require("p_violation"));
  EVALUATION_ASSIGN(alarm, reader.Require("alarm"));
  EVALUATION_ASSIGN(culprit, reader.Require("culprit"));
  EVALUATION_ASSIGN(p_culprit, reader.Require("p_culprit"));
  const std::size_t run = reader.Find("run");
  if (absl::Status status = OnlyKnown(reader, file,
                                      {"run", "time_ms", "horizon_ms", "class", "p_violation",
                                       "alarm", "culprit", "p_culprit"});
      !status.ok()) {
    return status;
  }
  while (true) {
    EVALUATION_ASSIGN(more, reader.Next());
    if (!more) break;
    ForecastRow row;
    EVALUATION_ASSIGN(time_ms, reader.Integer(time, -kMaxMs, kMaxMs));
    EVALUATION_ASSIGN(horizon_ms, reader.Integer(horizon, 1, kMaxHorizonMs));
    EVALUATION_ASSIGN(p, reader.Number(p_violation, 0, 1));
    EVALUATION_ASSIGN(flag, reader.Flag(alarm));
    double share = 0;
    if (!reader.field(p_culprit).empty() || !reader.field(culprit).empty()) {
      EVALUATION_ASSIGN(q, reader.Number(p_culprit, 0, 1));
      share = q;
    }
    row.time_ms = time_ms;
    row.horizon_ms = static_cast<std::int32_t>(horizon_ms);
    row.request_class = recording->names.Intern(reader.field(request_class));
    row.culprit = recording->names.Intern(reader.field(culprit));
    row.p_violation = static_cast<float>(p);
    row.p_culprit = static_cast<float>(share);
    row.alarm = flag;
    recording->Of(RunOf(reader, run)).forecasts.push_back(row);
  }
  for (Run& r : recording->runs) {
    const auto key = [](const ForecastRow& f) {
      return std::tuple(f.time_ms, f.request_class, f.horizon_ms);
    };
    std::stable_sort(r.forecasts.begin(), r.forecasts.end(),
                     [&](const ForecastRow& a, const ForecastRow& b) { return key(a) < key(b); });
    for (std::size_t i = 1; i < r.forecasts.size(); ++i) {
      if (key(r.forecasts[i - 1]) != key(r.forecasts[i])) continue;
      return absl::InvalidArgumentError(
          std::string(file) + ": run '" + r.name + "' has two forecasts at time_ms " +
          std::to_string(r.forecasts[i].time_ms) + " of class '" +
          recording->names[r.forecasts[i].request_class] + "' for the same horizon: leave one out");
    }
  }
  return absl::OkStatus();
}

absl::Status ReadTails(std::string_view file, std::string_view csv, Recording* recording) {
  auto opened = CsvReader::Open(file, csv);
  if (!opened.ok()) return opened.status();
  CsvReader& reader = *opened;
  EVALUATION_ASSIGN(time, reader.Require("time_ms"));
  EVALUATION_ASSIGN(request_class, reader.Require("class"));
  EVALUATION_ASSIGN(tail, reader.Require("tail_ms"));
  EVALUATION_ASSIGN(target, reader.Require("target_ms"));
  const std::size_t run = reader.Find("run");
  if (absl::Status status =
          OnlyKnown(reader, file, {"run", "time_ms", "class", "tail_ms", "target_ms"});
      !status.ok()) {
    return status;
  }
  while (true) {
    EVALUATION_ASSIGN(more, reader.Next());
    if (!more) break;
    TailRow row;
    EVALUATION_ASSIGN(time_ms, reader.Integer(time, -kMaxMs, kMaxMs));
    EVALUATION_ASSIGN(tail_ms, reader.Number(tail, 0, 1e12));
    EVALUATION_ASSIGN(target_ms, reader.Number(target, 1e-6, 1e12));
    row.time_ms = time_ms;
    row.request_class = recording->names.Intern(reader.field(request_class));
    row.tail_ms = tail_ms;
    row.target_ms = target_ms;
    recording->Of(RunOf(reader, run)).tails.push_back(row);
  }
  for (Run& r : recording->runs) {
    std::stable_sort(r.tails.begin(), r.tails.end(),
                     [](const TailRow& a, const TailRow& b) { return a.time_ms < b.time_ms; });
  }
  return absl::OkStatus();
}

absl::Status ReadRuns(std::string_view file, std::string_view csv, Recording* recording) {
  auto opened = CsvReader::Open(file, csv);
  if (!opened.ok()) return opened.status();
  CsvReader& reader = *opened;
  EVALUATION_ASSIGN(run, reader.Require("run"));
  EVALUATION_ASSIGN(start, reader.Require("start_ms"));
  EVALUATION_ASSIGN(end, reader.Require("end_ms"));
  while (true) {
    EVALUATION_ASSIGN(more, reader.Next());
    if (!more) break;
    EVALUATION_ASSIGN(start_ms, reader.Integer(start, -kMaxMs, kMaxMs));
    EVALUATION_ASSIGN(end_ms, reader.Integer(end, -kMaxMs, kMaxMs));
    if (end_ms <= start_ms) return reader.Error(end, "the run ends before it starts");
    Run& row = recording->Of(reader.field(run));
    if (row.end_ms > row.start_ms) return reader.Error(run, "the run stands here twice");
    row.start_ms = start_ms;
    row.end_ms = end_ms;
  }
  return absl::OkStatus();
}

std::string ForecastLine(const ForecastRow& row, const Names& names) {
  char head[64], middle[64], tail[32];
  std::snprintf(head, sizeof head, "%lld,%d,", static_cast<long long>(row.time_ms), row.horizon_ms);
  std::snprintf(middle, sizeof middle, ",%.6g,%d,", static_cast<double>(row.p_violation),
                row.alarm ? 1 : 0);
  std::snprintf(tail, sizeof tail, ",%.6g", static_cast<double>(row.p_culprit));
  return head + CsvField(names[row.request_class]) + middle + CsvField(names[row.culprit]) + tail;
}

}  // namespace seer::evaluation
