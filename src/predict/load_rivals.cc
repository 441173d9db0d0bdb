#include "predict/load_rivals.h"

#include <algorithm>
#include <cmath>
#include <optional>

SEER_BEGIN_NAMESPACE
namespace internal {
namespace {

// Over about a second, whatever the tick.
void Smooth(double value, double seconds, double over_seconds, double* smooth) {
  *smooth =
      *smooth < 0 ? value : *smooth + std::min(1.0, seconds / over_seconds) * (value - *smooth);
}

std::uint64_t Mix(std::uint64_t x) {  // splitmix64
  x += 0x9e3779b97f4a7c15u;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}
double Uniform(std::uint64_t bits) { return static_cast<double>(bits >> 11) * 0x1p-53; }

}  // namespace

double ErlangC(double workers, double offered) {
  if (!(offered > 0)) return 0;
  if (offered >= workers) return 1;
  // Erlang's B by its recursion; the workers are bounded, as thousands behave as if without end.
  const double c = std::clamp(std::floor(workers), 1.0, 1024.0);
  const double a = offered * (c / workers);
  double blocked = 1;
  for (double k = 1; k <= c; ++k) blocked = a * blocked / (k + a * blocked);
  const double rho = a / c;
  return blocked / (1 - rho * (1 - blocked));
}

bool ServiceLoad::Observe(const MeasureTable& measures, std::size_t service,
                          const Settings& settings, Now* now) {
  const bool running = measures.Seen(service, Measure::kRunning);
  std::optional<double> waiting;
  if (measures.Seen(service, Measure::kQueued)) waiting = measures.Value(service, Measure::kQueued);
  double at_service = 0;
  if (running) {
    now->measure = Measure::kRunning;
    at_service = measures.Value(service, Measure::kRunning) + waiting.value_or(0);
  } else if (measures.Seen(service, Measure::kSelf)) {
    now->measure = Measure::kSelf;
    at_service = std::max(0.0, measures.Value(service, Measure::kSelf));
  } else {
    before_ = -1;
    return false;
  }
  at_service = std::min(at_service, RobustBaseline::kLargest);
  const double arrivals = measures.Arrivals(service);
  if (arrivals < 0) return false;
  double departures = measures.Departures(service);
  if (departures < 0) departures = before_ < 0 ? arrivals : arrivals - (at_service - before_);
  before_ = at_service;
  Smooth(arrivals / settings.seconds, settings.seconds, 1.0, &arrivals_);
  Smooth(std::max(0.0, departures) / settings.seconds, settings.seconds, 1.0, &departures_);

  now->known = true;
  now->per_second = arrivals_;
  now->done_per_second = departures_;
  now->at_service = at_service;
  // Of an idle service nothing can be told; of one that stands still, that it lasts long.
  const double flow = std::max(departures_, 1.0);
  now->stay_ms = at_service / flow * 1000;
  const bool usual_known = stay_.count() >= settings.warmup;
  now->usual_stay_ms = usual_known ? std::max(stay_.centre(), 0.0) : 0;

  if (settings.told_workers > 0) {
    most_ = settings.told_workers;
  } else if (running) {
    most_ = std::max(most_, measures.Value(service, Measure::kRunning));
  } else if (usual_known && now->stay_ms <= 1.5 * now->usual_stay_ms) {
    most_ = std::max(most_, at_service);
  }
  now->busy = running ? measures.Value(service, Measure::kRunning) : std::min(at_service, most_);
  now->workers = settings.told_workers > 0 || usual_known ? most_ : 0;
  if (departures_ > 0 && at_service > 0) stay_.Observe(now->stay_ms, settings.rate);
  return true;
}

LoadRival::LoadRival(RivalKind kind, const RivalOptions& options)
    : Rival(kind, options), kind_(kind) {}

void LoadRival::Resize(std::size_t services) {
  loads_.resize(services);
  smooth_.resize(services, -1.0);
  told_workers_.resize(services, 0.0);
}

void LoadRival::UseTopology(const Topology& topology) {
  std::fill(told_workers_.begin(), told_workers_.end(), 0.0);
  for (const ServiceWorkers& row : options().workers) {
    if (const auto id = topology.FindService(row.service)) told_workers_[id->index()] = row.workers;
  }
}

double LoadRival::ThresholdOf(const RequestClass& request_class) const {
  if (kind_ != RivalKind::kMmc) return threshold();
  // Scores are ms of wait, the threshold a part of the target.
  return threshold() * std::max(1.0, static_cast<double>(request_class.target.latency_ns)) * 1e-6;
}

void LoadRival::ScoreServices(const Context& context, std::vector<Score>* scores) {
  for (std::size_t i = 0; i < scores->size(); ++i) {
    const ServiceLoad::Settings settings{context.seconds, context.rate, context.warmup,
                                         told_workers_[i]};
    ServiceLoad::Now now;
    const bool known = loads_[i].Observe(context.measures, i, settings, &now);
    Score& score = (*scores)[i];
    double& smooth = smooth_[i];

    if (kind_ == RivalKind::kQueueWait) {
      double wait = context.measures.QueueWaitMs(i);
      Measure measure = Measure::kQueued;
      const double arrivals = context.measures.Arrivals(i);
      if (context.measures.Seen(i, Measure::kQueued) && arrivals >= 0 && wait <= 0) {
        // Little's law; a queue from which nobody leaves has no mean wait of those who left.
        const double per_second = known ? now.per_second : arrivals / context.seconds;
        wait = context.measures.Value(i, Measure::kQueued) / std::max(per_second, 1.0) * 1000;
      } else if (wait < 0) {
        if (!known || !(now.usual_stay_ms > 0)) continue;
        wait = std::max(0.0, now.stay_ms - now.usual_stay_ms);
        measure = now.measure;
      }
      Smooth(wait, context.seconds, 1.0, &smooth);
      score = {smooth, measure, true};
      continue;
    }

    if (!known || !(now.workers > 0)) continue;
    if (kind_ == RivalKind::kUtilisation) {
      // Fewer than these were never seen to be all there are.
      constexpr double kFewest = 8;
      if (now.workers < kFewest && !(told_workers_[i] > 0)) continue;
      const double at_work = now.measure == Measure::kSelf ? now.at_service : now.busy;
      Smooth(at_work / now.workers, context.seconds, 0.5, &smooth);
      score = {smooth, now.measure, true};
      continue;
    }

    // mmc: the time a request is in work, from those in work and those done (Little).
    const double work_s = now.busy / std::max(now.done_per_second, 1.0);
    double wait_ms = 0;
    if (work_s > 0) {
      const double most_per_second = now.workers / work_s;
      const double spare = most_per_second - now.per_second;
      const double ahead_s = static_cast<double>(options().slope_horizon_ns) * 1e-9;
      // Workers that were learnt are at least so many: of a queue in balance they tell nothing.
      if (told_workers_[i] > 0 && spare > 0) {
        // P(wait > t) = C exp(-spare t), so that one in a hundred waits longer than this. A queue
        // in balance reaches it only after long: not within the horizon, if it is longer than that.
        const double waiting = ErlangC(now.workers, now.per_second * work_s);
        if (waiting > 0.01) wait_ms = std::log(waiting / 0.01) / spare * 1000;
        wait_ms = std::min(wait_ms, ahead_s * 1000);
      }
      const double backlog = std::max(0.0, now.at_service - now.workers);
      const double grown = backlog > 0 ? std::max(0.0, backlog - spare * ahead_s) : 0;
      wait_ms = std::max(wait_ms, grown / most_per_second * 1000);
    }
    score = {std::min(wait_ms, RobustBaseline::kLargest), now.measure, true};
  }
}

void RandomRival::ScoreServices(const Context& context, std::vector<Score>* scores) {
  // All alike but for a hair, so that any of them may come first.
  const std::uint64_t state =
      Mix(~options().seed ^ Mix(static_cast<std::uint64_t>(context.tick.tick)));
  for (std::size_t i = 0; i < scores->size(); ++i) {
    const bool live = context.topology.IsLive(ServiceId(static_cast<std::uint32_t>(i)));
    (*scores)[i] = {1 + 1e-3 * Uniform(Mix(state + i)), Measure::kOutstanding, live};
  }
}

absl::Status RandomRival::Observe(const ClusterTick& tick, const Topology& topology,
                                  Forecast* forecast) {
  if (absl::Status status = Rival::Observe(tick, topology, forecast); !status.ok()) return status;
  // From the tick's number alone: the same ticks get the same alarms, whatever came before.
  const std::uint64_t state = Mix(options().seed ^ Mix(static_cast<std::uint64_t>(tick.tick)));
  const double hours = static_cast<double>(tick.period.ns()) / 3.6e12;
  const bool alarm = Uniform(Mix(state + 1)) < options().alarms_per_hour * hours;
  const std::size_t rows = forecast->classes.size();
  const std::size_t chosen = rows == 0 ? 0 : Mix(state + 2) % rows;
  for (std::size_t i = 0; i < rows; ++i) {
    ClassForecast& row = forecast->classes[i];
    row.alarm = alarm && i == chosen;
    row.evidence.clear();
    const double draw = row.alarm ? 1 : Uniform(Mix(state + 3 + i));
    for (HorizonProbability& horizon : row.horizons) {
      horizon.probability = static_cast<float>(draw);
    }
  }
  return absl::OkStatus();
}

}  // namespace internal
SEER_END_NAMESPACE
