#include "benchmarks/evaluation/replay.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "benchmarks/evaluation/csv.h"
#include "seer/window/violations.h"

namespace seer::evaluation {
namespace {

constexpr std::int64_t kNsPerMs = 1'000'000;

std::int64_t EndMs(const ClusterTick& tick) { return tick.period.EndNs(tick.tick) / kNsPerMs; }

std::string Text(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.9g", value);
  return text;
}

}  // namespace

std::string ClassLabel(const RequestClass& row) {
  return row.application.empty() ? row.name : row.application + "/" + row.name;
}

void TailMeters::Observe(const ClusterTick& tick, const Topology& topology, double share,
                         Names* names, std::vector<TailRow>* rows) {
  const auto classes = topology.classes();
  windows_.resize(classes.size());
  for (std::size_t i = 0; i < classes.size(); ++i) {
    if (classes[i].removed) continue;
    const QosTarget& target = classes[i].target;
    std::deque<Entry>& window = windows_[i];
    const std::int64_t ticks =
        std::max<std::int64_t>(1, std::int64_t{target.window_ms} * kNsPerMs / tick.period.ns());
    while (!window.empty() && tick.tick - window.front().tick >= ticks) window.pop_front();
    if (i < tick.classes.size() && tick.classes[i].seen) {
      window.push_back({tick.tick, tick.classes[i].latency});
    }
    LatencyHistogram all;
    for (const Entry& entry : window) all.Merge(entry.latency);
    if (all.empty()) continue;  // no request ended
    const auto tail_ns = all.Quantile(1 - target.allowed_ppm * 1e-6);
    if (!rows->empty() &&
        static_cast<double>(tail_ns) < share * static_cast<double>(target.latency_ns)) {
      continue;
    }
    rows->push_back({EndMs(tick), names->Intern(ClassLabel(classes[i])),
                     static_cast<double>(tail_ns) / kNsPerMs,
                     static_cast<double>(target.latency_ns) / kNsPerMs});
  }
}

void AddTruth(const RecordedRun& run, Recording* recording) {
  Run& out = recording->Of(run.name);
  if (run.ticks.empty()) return;
  out.start_ms = EndMs(run.ticks.front());
  out.end_ms = EndMs(run.ticks.back());
  ViolationDetector detector;
  TailMeters meters;
  for (const ClusterTick& tick : run.ticks) {
    detector.Observe(tick, run.topology);
    meters.Observe(tick, run.topology, 0, &recording->names, &out.tails);
  }
  if (!out.violations.empty()) return;
  detector.Finish();
  for (const Violation& violation : detector.TakeFinished()) {
    ViolationRow row;
    row.start_ms = violation.start_ns / kNsPerMs;
    row.end_ms = violation.end_ns / kNsPerMs;
    row.request_class = ClassLabel(run.topology.request_class(violation.request_class));
    out.violations.push_back(std::move(row));
  }
  std::stable_sort(
      out.violations.begin(), out.violations.end(),
      [](const ViolationRow& a, const ViolationRow& b) { return a.start_ms < b.start_ms; });
}

void MarkTraps(const RecordedRun& run, Recording* recording) {
  SelfDepthTable depths;
  for (ViolationRow& row : recording->Of(run.name).violations) {
    if (row.culprit.empty() || row.culprit == kLoad) continue;
    const auto after = std::lower_bound(
        run.ticks.begin(), run.ticks.end(), row.start_ms,
        [](const ClusterTick& tick, std::int64_t time) { return EndMs(tick) < time; });
    if (after == run.ticks.begin()) continue;
    SelfDepths(*(after - 1), run.topology, &depths);
    std::size_t longest = 0;
    for (std::size_t i = 0; i < depths.outstanding.size(); ++i) {
      if (depths.outstanding[i] > depths.outstanding[longest]) longest = i;
    }
    row.trap = !depths.outstanding.empty() && run.topology.services()[longest].name != row.culprit;
  }
}

absl::Status AddForecasts(const RecordedRun& run, std::int64_t horizon_ms, TickPredictor* predictor,
                          Recording* recording) {
  predictor->Reset();
  Run& out = recording->Of(run.name);
  Forecast forecast;
  for (const ClusterTick& tick : run.ticks) {
    if (absl::Status status = predictor->Observe(tick, run.topology, &forecast); !status.ok()) {
      return status;
    }
    for (const ClassForecast& row : forecast.classes) {
      ForecastRow line;
      line.time_ms = EndMs(tick);
      line.horizon_ms = static_cast<std::int32_t>(horizon_ms);
      line.request_class =
          recording->names.Intern(ClassLabel(run.topology.request_class(row.request_class)));
      line.p_violation = ProbabilityWithin(row, horizon_ms * kNsPerMs);
      line.alarm = row.alarm;
      std::string_view culprit;
      if (!row.initiators.empty()) {
        const Initiator& first = row.initiators.front();
        culprit = first.is_load() ? kLoad : run.topology.service(first.service).name;
        line.p_culprit = first.probability;
      }
      line.culprit = recording->names.Intern(culprit);
      out.forecasts.push_back(line);
    }
  }
  return absl::OkStatus();
}

std::string ViolationsCsv(const Recording& recording) {
  std::string csv = "run,start_ms,end_ms,class,culprit,cause,trap";
  const ViolationRow* first = nullptr;  // all have its groups
  for (const Run& run : recording.runs) {
    if (first == nullptr && !run.violations.empty()) first = &run.violations.front();
  }
  if (first != nullptr) {
    for (const auto& [column, value] : first->groups) csv += "," + CsvField(column);
  }
  csv += "\n";
  for (const Run& run : recording.runs) {
    for (const ViolationRow& row : run.violations) {
      csv += CsvField(run.name) + "," + std::to_string(row.start_ms) + "," +
             std::to_string(row.end_ms) + "," + CsvField(row.request_class) + "," +
             CsvField(row.culprit) + "," + CsvField(row.cause) + (row.trap ? ",1" : ",0");
      for (const auto& [column, value] : row.groups) csv += "," + CsvField(value);
      csv += "\n";
    }
  }
  return csv;
}

std::string TailsCsv(const Recording& recording) {
  std::string csv = "run,time_ms,class,tail_ms,target_ms\n";
  for (const Run& run : recording.runs) {
    for (const TailRow& row : run.tails) {
      csv += CsvField(run.name) + "," + std::to_string(row.time_ms) + "," +
             CsvField(recording.names[row.request_class]) + "," + Text(row.tail_ms) + "," +
             Text(row.target_ms) + "\n";
    }
  }
  return csv;
}

std::string RunsCsv(const Recording& recording) {
  std::string csv = "run,start_ms,end_ms\n";
  for (const Run& run : recording.runs) {
    if (run.end_ms <= run.start_ms) continue;
    csv += CsvField(run.name) + "," + std::to_string(run.start_ms) + "," +
           std::to_string(run.end_ms) + "\n";
  }
  return csv;
}

std::string ForecastsCsv(const Recording& recording) {
  std::string csv = "run," + std::string(kForecastColumns) + "\n";
  for (const Run& run : recording.runs) {
    for (const ForecastRow& row : run.forecasts) {
      csv += CsvField(run.name) + "," + ForecastLine(row, recording.names) + "\n";
    }
  }
  return csv;
}

}  // namespace seer::evaluation
