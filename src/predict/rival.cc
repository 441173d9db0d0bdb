#include "predict/rival.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

#include "predict/alarm_state.h"
#include "predict/predictor_state.h"

SEER_BEGIN_NAMESPACE
namespace internal {
namespace {

constexpr std::size_t kMostEvidence = 4;

}  // namespace

float ProbabilityOf(double ratio) {
  if (!(ratio > 0)) return 0;
  const double square = ratio * ratio;
  const double fourth = square * square;
  return static_cast<float>(std::isfinite(fourth) ? fourth / (1 + fourth) : 1);
}

Rival::Rival(RivalKind kind, const RivalOptions& options)
    : kind_(kind),
      options_(options),
      threshold_(options.threshold > 0 ? options.threshold : DefaultThreshold(kind)) {
  top_.reserve(options_.max_initiators + 1);
}

double Rival::Blame(double ratio, std::size_t) const { return ratio > 0 ? ratio * ratio : 0; }

void Rival::Reset() {
  order_.Reset();
  scores_.clear();
  held_.clear();
  classes_.clear();
  members_.Clear();
  Resize(0);
}

void Rival::State(StateIo& io) {
  order_.State(io);
  io.List(held_, 18, [&](Held& held) {
    io(held.score.value), io(held.score.measure), io(held.score.known), io(held.at_ns);
    io.Require(static_cast<std::size_t>(held.score.measure) < kMeasures, "rival: no such measure");
    RequireTime(io, held.at_ns);
  });
  io.List(classes_, 40, [&](ClassState& state) {
    AlarmState(io, state.latch);
    io(state.ratio), io(state.known_at_ns), io(state.known), io(state.recent_load);
    state.load.State(io);
    if (!options_.own_requests) return;
    io(state.own);
    state.slowest.State(io);
  });
  OwnState(io);
}

absl::Status Rival::SaveState(std::string* bytes) {
  return SavePredictor(bytes, [this](StateIo& io) { State(io); });
}

absl::Status Rival::LoadState(std::string_view bytes, const Topology& topology) {
  return LoadPredictor(
      bytes, topology, order_, this, [this](StateIo& io) { State(io); },
      [&] {
        // Where they are of an earlier version, the next tick looks at the rows anew, as it would
        // have.
        UseRows(topology);
        return absl::OkStatus();
      });
}

void Rival::UseRows(const Topology& topology) {
  const std::size_t services = topology.services().size();
  const auto rows = topology.classes();
  classes_.resize(rows.size());
  members_.Use(topology, NeedsOrder());

  // Rows for a class that is not seen yet, so that it costs no memory when it is.
  while (spare_.size() < rows.size()) {
    ClassForecast& row = spare_.emplace_back();
    row.horizons.reserve(options_.horizons_ns.size());
    row.initiators.reserve(options_.max_initiators + 1);
    row.evidence.reserve(kMostEvidence);
  }
  scores_.resize(services);
  held_.resize(services);
  Resize(services);
  UseTopology(topology);
}

absl::Status Rival::Observe(const ClusterTick& tick, const Topology& topology, Forecast* forecast) {
  if (absl::Status status = order_.Check(tick, topology); !status.ok()) return status;
  const bool anew = order_.IsAnew(tick, topology);
  if (anew) Reset();
  if (order_.RowsChanged(topology)) UseRows(topology);

  const double gap = order_.Gap(tick);
  const double tick_ns = static_cast<double>(tick.period.ns());
  const double rate = std::min(1.0, tick_ns / static_cast<double>(options_.baseline_ns));
  const double warmup = std::max(2.0, static_cast<double>(options_.warmup_ns) / tick_ns);
  measures_.Read(tick, topology, options_.channels, options_.edges);
  const Context context{tick,
                        topology,
                        measures_,
                        tick_ns * 1e-9,
                        static_cast<std::size_t>(std::min(gap, 1e9)),
                        rate,
                        static_cast<std::uint32_t>(std::min(warmup, 1e9))};
  order_.Advance(tick, topology);

  const std::int64_t now_ns = tick.period.EndNs(tick.tick);
  scores_.assign(scores_.size(), Score());
  ScoreServices(context, &scores_);
  Hold(now_ns);

  forecast->tick = tick.tick;
  forecast->period = tick.period;
  forecast->classes.reserve(classes_.size());
  std::size_t rows = 0;
  for (std::size_t i = 0; i < classes_.size(); ++i) {
    const ClassId id(static_cast<std::uint32_t>(i));
    if (!topology.IsLive(id)) continue;
    if (rows == forecast->classes.size()) {
      if (spare_.empty()) spare_.emplace_back();
      forecast->classes.push_back(std::move(spare_.back()));
      spare_.pop_back();
    }
    if (Foresee(context, id, now_ns, &forecast->classes[rows])) ++rows;
  }
  while (forecast->classes.size() > rows) {
    // A row with its lists; one for each class is enough, whatever forecasts are handed over.
    if (spare_.size() < classes_.size()) spare_.push_back(std::move(forecast->classes.back()));
    forecast->classes.pop_back();
  }
  return absl::OkStatus();
}

void Rival::Hold(std::int64_t now_ns) {
  for (std::size_t i = 0; i < scores_.size(); ++i) {
    Held& held = held_[i];
    if (scores_[i].known) {
      held.score = scores_[i];
      held.at_ns = now_ns;
    } else if (held.score.known && now_ns - held.at_ns > options_.hold_ns) {
      held.score.known = false;
    }
  }
}

double Rival::GrowthOfLoad(const Context& context, const RequestClass& row, ClassState* state) {
  double requests = -1;
  if (row.entry.valid()) requests = context.measures.Arrivals(row.entry.index());
  const auto index = static_cast<std::size_t>(state - classes_.data());
  if (requests < 0 && index < context.tick.classes.size() && context.tick.classes[index].seen) {
    requests = static_cast<double>(context.tick.classes[index].count);
  }
  if (requests >= 0) {
    const double per_second = requests / context.seconds;
    const double weight = std::min(1.0, context.seconds);  // about the last second
    state->recent_load = state->recent_load < 0
                             ? per_second
                             : state->recent_load + weight * (per_second - state->recent_load);
    state->load.Observe(per_second, context.rate);
  }
  if (state->load.count() < context.warmup || state->load.centre() <= 0) return 1;
  // Of few requests no growth can be told: not beyond what their number varies by itself.
  const double usual = state->load.centre();
  if (state->recent_load < usual + 3 * std::sqrt(usual)) return 1;
  return state->recent_load / usual;
}

double Rival::OwnRequests(const Context& context, const RequestClass& row, ClassState* state) {
  const auto index = static_cast<std::size_t>(state - classes_.data());
  if (index >= context.tick.classes.size() || !context.tick.classes[index].seen) return state->own;
  const ClassTick& now = context.tick.classes[index];
  const std::int64_t slowest_ns =
      std::max(now.oldest_open_ns, now.latency.empty() ? now.p99_ns : now.latency.Quantile(0.99));
  if (now.count == 0 && now.oldest_open_ns == 0) return state->own;  // none was there
  const double percent = 100 * static_cast<double>(slowest_ns) /
                         static_cast<double>(std::max<std::int64_t>(1, row.target.latency_ns));
  const double slowest = std::min(percent, RobustBaseline::kLargest);
  state->own = state->slowest.count() < context.warmup
                   ? 1
                   : std::clamp(state->slowest.Z(slowest) / options_.own_spreads, 0.0, 1.0);
  state->slowest.Observe(slowest, context.rate);
  return state->own;
}

bool Rival::Foresee(const Context& context, ClassId id, std::int64_t now_ns, ClassForecast* row) {
  ClassState& state = classes_[id.index()];
  const RequestClass& request_class = context.topology.request_class(id);
  const double growth = GrowthOfLoad(context, request_class, &state);
  const double own = options_.own_requests ? OwnRequests(context, request_class, &state) : 1;
  const double threshold = ThresholdOf(request_class);

  // The services with the most of the blame, and the two largest scores.
  top_.clear();
  Top strongest{0, 0, 0};
  double next_ratio = 0;
  bool known = false;
  bool fresh = false;
  std::size_t rank = 0;
  for (const std::uint32_t service : members_.Of(id)) {
    const Held& held = held_[service];
    if (!held.score.known) continue;
    fresh = fresh || held.at_ns == now_ns;
    const double ratio = held.score.value / threshold;
    if (!known || ratio > strongest.ratio) {
      if (known) next_ratio = strongest.ratio;
      strongest = {service, 0, ratio};
    } else {
      next_ratio = std::max(next_ratio, ratio);
    }
    known = true;
    const double blame = Blame(ratio, rank);
    if (ratio >= 1) ++rank;
    if (!(blame > 0)) continue;
    if (top_.size() == options_.max_initiators && top_.back().blame >= blame) continue;
    if (top_.size() == options_.max_initiators) top_.pop_back();
    const auto place = std::upper_bound(top_.begin(), top_.end(), blame,
                                        [](double b, const Top& t) { return b > t.blame; });
    top_.insert(place, {service, blame, ratio});
  }
  if (!known) {
    state.latch.Reset();
    return false;
  }
  strongest.ratio *= own;
  next_ratio *= own;
  if (fresh) state.latch.Observe(strongest.ratio, now_ns, options_.alarm);

  row->request_class = id;
  row->alarm = state.latch.alarm();
  const float probability = ProbabilityOf(strongest.ratio);
  row->horizons.resize(options_.horizons_ns.size());
  for (std::size_t i = 0; i < row->horizons.size(); ++i) {
    // Violations as events of a constant rate, which is such that the alarm horizon gets its own.
    const double part = static_cast<double>(options_.horizons_ns[i]) /
                        static_cast<double>(options_.alarm_horizon_ns);
    row->horizons[i].horizon_ns = options_.horizons_ns[i];
    row->horizons[i].probability =
        static_cast<float>(1 - std::pow(1 - static_cast<double>(probability), part));
  }

  // "load" gets one half when requests come load_growth times as fast as usual, more beyond it.
  double load = 1;
  double sum = 0;
  for (const Top& top : top_) sum += top.blame;
  if (sum > 0) load = 1 / (1 + std::pow(options_.load_growth / growth, 8));
  row->initiators.clear();
  bool load_done = false;
  for (const Top& top : top_) {
    const double share = (1 - load) * (top.blame / sum);
    if (!load_done && load > share) {
      row->initiators.push_back({ServiceId(), static_cast<float>(load)});
      load_done = true;
    }
    row->initiators.push_back({ServiceId(top.service), static_cast<float>(share)});
  }
  if (!load_done) row->initiators.push_back({ServiceId(), static_cast<float>(load)});
  Explain(context, strongest, next_ratio, probability, row);
  return true;
}

void Rival::Explain(const Context& context, const Top& strongest, double next_ratio,
                    float probability, ClassForecast* row) const {
  row->evidence.clear();
  const float weight = probability - ProbabilityOf(next_ratio);
  if (!(weight > 0)) return;
  const Measure measure = held_[strongest.service].score.measure;
  ForecastEvidence evidence;
  evidence.weight = weight;
  if (measure < Measure::kOutstanding) {
    evidence.service = ServiceId(strongest.service);
    evidence.channel = static_cast<Channel>(measure);
    row->evidence.push_back(evidence);
    return;
  }
  // Without any one of the edges into it, the service's depth is not known: each has all the
  // weight.
  const auto edges = context.topology.edges();
  const auto depth = [&](std::size_t i) {
    const EdgeId id(static_cast<std::uint32_t>(i));
    return context.tick.edges.depth(id).value_or(context.tick.edges.mean(id).value_or(0));
  };
  for (std::size_t i = 0; i < edges.size(); ++i) {
    if (edges[i].removed || edges[i].callee.value() != strongest.service) continue;
    evidence.edge = EdgeId(static_cast<std::uint32_t>(i));
    const auto place = std::find_if(
        row->evidence.begin(), row->evidence.end(),
        [&](const ForecastEvidence& other) { return depth(other.edge.index()) < depth(i); });
    if (place == row->evidence.end() && row->evidence.size() == kMostEvidence) continue;
    const auto at = place - row->evidence.begin();
    if (row->evidence.size() == kMostEvidence) row->evidence.pop_back();
    row->evidence.insert(row->evidence.begin() + at, evidence);
  }
}

}  // namespace internal
SEER_END_NAMESPACE
