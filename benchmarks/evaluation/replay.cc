#include "benchmarks/evaluation/replay.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <deque>

#include "benchmarks/evaluation/csv.h"
#include "seer/core/latency_histogram.h"
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

// The tail of one class over its trailing window, from the ticks' latencies.
class TailMeter {
 public:
  void Observe(const ClusterTick& tick, std::size_t row, const QosTarget& target) {
    const std::int64_t ticks =
        std::max<std::int64_t>(1, std::int64_t{target.window_ms} * kNsPerMs / tick.period.ns());
    while (!window_.empty() && tick.tick - window_.front().tick >= ticks) window_.pop_front();
    if (row < tick.classes.size() && tick.classes[row].seen) {
      window_.push_back({tick.tick, tick.classes[row].latency});
    }
  }
  // In ms; nothing where no request ended.
  double Tail(const QosTarget& target) const {
    LatencyHistogram all;
    for (const Entry& entry : window_) all.Merge(entry.latency);
    if (all.empty()) return NAN;
    return static_cast<double>(all.Quantile(1 - target.allowed_ppm * 1e-6)) / kNsPerMs;
  }

 private:
  struct Entry {
    Tick tick;
    LatencyHistogram latency;
  };
  std::deque<Entry> window_;
};

}  // namespace

std::string ClassLabel(const RequestClass& row) {
  return row.application.empty() ? row.name : row.application + "/" + row.name;
}

void AddTruth(const RecordedRun& run, Recording* recording) {
  Run& out = recording->Of(run.name);
  if (run.ticks.empty()) return;
  const auto classes = run.topology.classes();
  out.start_ms = EndMs(run.ticks.front());
  out.end_ms = EndMs(run.ticks.back());
  ViolationDetector detector;
  std::vector<TailMeter> meters(classes.size());
  for (const ClusterTick& tick : run.ticks) {
    detector.Observe(tick, run.topology);
    for (std::size_t i = 0; i < classes.size(); ++i) {
      if (classes[i].removed) continue;
      meters[i].Observe(tick, i, classes[i].target);
      const double tail_ms = meters[i].Tail(classes[i].target);
      if (std::isnan(tail_ms)) continue;
      out.tails.push_back({EndMs(tick), recording->names.Intern(ClassLabel(classes[i])), tail_ms,
                           static_cast<double>(classes[i].target.latency_ns) / kNsPerMs});
    }
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
  std::string csv = "run,start_ms,end_ms,class,culprit,cause,trap\n";
  for (const Run& run : recording.runs) {
    for (const ViolationRow& row : run.violations) {
      csv += CsvField(run.name) + "," + std::to_string(row.start_ms) + "," +
             std::to_string(row.end_ms) + "," + CsvField(row.request_class) + "," +
             CsvField(row.culprit) + "," + CsvField(row.cause) + (row.trap ? ",1\n" : ",0\n");
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
