#include "seer/predict/listen.h"

#include <algorithm>

#include "predict/tree_features.h"
#include "seer/core/internal/status_macros.h"

SEER_BEGIN_NAMESPACE

absl::StatusOr<HeardRun> Listen(const LabelledRun& run, TickPredictor* predictor,
                                absl::Span<const std::int64_t> horizons_ns) {
  HeardRun heard;
  std::vector<std::size_t> place(run.topology.classes().size(), 0);
  for (std::size_t c = 0; c < place.size(); ++c) {
    const ClassId id(static_cast<std::uint32_t>(c));
    if (!run.topology.IsLive(id)) continue;
    place[c] = heard.classes.size();
    HeardClass& one = heard.classes.emplace_back();
    one.request_class = id;
    for (const Violation& violation : run.violations) {
      if (violation.request_class == id) one.violations.push_back(violation);
    }
    std::stable_sort(
        one.violations.begin(), one.violations.end(),
        [](const Violation& a, const Violation& b) { return a.start_ns < b.start_ns; });
    for (const Violation& violation : one.violations) {
      one.alarms.violations.push_back({violation.start_ns, violation.end_ns});
    }
    one.forecasts.violations = one.alarms.violations;
  }
  // Knows when tails are near their targets.
  internal::TreeFeatures tails;
  tails.UseRows(run.topology);
  predictor->Reset();
  Forecast forecast;
  std::int64_t first_ns = 0, last_ns = 0;
  Tick last = 0;
  const absl::Status played = run.for_each_tick([&](const ClusterTick& tick) {
    SEER_RETURN_IF_ERROR(predictor->Observe(tick, run.topology, &forecast));
    const std::int64_t now_ns = tick.period.EndNs(tick.tick);
    const bool first = first_ns == 0;
    tails.Observe(tick, run.topology, first ? 0 : static_cast<double>(tick.tick - last - 1));
    if (first) first_ns = now_ns;
    last_ns = now_ns;
    last = tick.tick;
    for (const ClassForecast& row : forecast.classes) {
      HeardClass& one = heard.classes[place[row.request_class.index()]];
      const std::uint8_t near = tails.near(row.request_class) ? 1 : 0;
      one.forecasts.times_ns.push_back(now_ns);
      one.forecasts.near.push_back(near);
      for (const std::int64_t horizon : horizons_ns) {
        one.forecasts.probabilities.push_back(ProbabilityWithin(row, horizon));
      }
      one.alarms.times_ns.push_back(now_ns);
      one.alarms.near.push_back(near);
      one.alarms.alarms.push_back(row.alarm ? 1 : 0);
      one.blamed.push_back(row.initiators.empty() ? ServiceId() : row.initiators[0].service);
    }
    return absl::OkStatus();
  });
  if (!played.ok()) return played;
  heard.hours = static_cast<double>(last_ns - first_ns) / 3.6e12;
  return heard;
}

int BlamedRightly(const HeardClass& heard, const ScoredAlarm& alarm) {
  if (alarm.outcome != AlarmOutcome::kHit) return -1;
  const Violation& violation = heard.violations[alarm.violation];
  const ServiceId blamed = heard.blamed[alarm.tick];
  if (violation.initiation == Initiation::kLoad) return blamed.valid() ? 0 : 1;
  if (violation.initiation != Initiation::kService) return -1;
  return blamed == violation.culprit ? 1 : 0;
}

SEER_END_NAMESPACE
