#include "seer/predict/predictor.h"

#include <algorithm>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "predict/forecast_state.h"
#include "predict/heir.h"
#include "predict/tick_order.h"
#include "seer/core/internal/mutex.h"
#include "seer/core/internal/state_io.h"
#include "seer/core/internal/status_macros.h"
#include "seer/core/internal/strings.h"
#include "seer/core/wire.h"
#include "seer/nn/checkpoint.h"
#include "seer/predict/model_predictor.h"
#include "seer/predict/tree_model.h"

SEER_BEGIN_NAMESPACE
namespace {

constexpr std::size_t kMaxKeptTicks = 65536;
constexpr std::uint32_t kMostLooksOn = 600;  // ticks above warm_ticks, for one that says too little
constexpr std::int64_t kSecond = 1'000'000'000;

absl::Status Validate(const PredictorOptions& options) {
  if (options.warm_ticks < 1) {
    return absl::InvalidArgumentError("options.warm_ticks is 0: give 1 or more");
  }
  if (options.keep_ticks > kMaxKeptTicks) {
    return absl::InvalidArgumentError(absl::StrCat("options.keep_ticks is ", options.keep_ticks,
                                                   ": give at most ", kMaxKeptTicks));
  }
  if (options.clock_back_ns < kSecond) {
    return absl::InvalidArgumentError(absl::StrCat("options.clock_back_ns is ",
                                                   options.clock_back_ns,
                                                   ": give a second, 1000000000, or more"));
  }
  return absl::OkStatus();
}

// What is about to be read is asked for at once: it comes while others hold the lock.
void Prefetch(const void* what, std::size_t bytes) {
#if defined(__GNUC__)
  for (std::size_t i = 0; i < bytes; i += 64)
    __builtin_prefetch(static_cast<const char*>(what) + i);
#else
  (void)what, (void)bytes;
#endif
}

// The share of the live services of which some depth was known, at the service or by its callers.
class Sight {
 public:
  double Of(const ClusterTick& tick, const Topology& topology) {
    if (version_ != topology.version() || live_.size() != topology.services().size()) {
      version_ = topology.version();
      live_.clear();
      for (const Service& service : topology.services()) live_.push_back(service.removed ? 0 : 1);
    }
    const std::size_t services = std::min(live_.size(), tick.services.size());
    seen_.assign(services, 0);
    // By pointers of its own: a byte that is written might be part of anything.
    std::uint8_t* const seen = seen_.data();
    for (const Channel channel : kAllChannels) {
      const std::uint8_t* const known = tick.services.known(channel).data();
      for (std::size_t i = 0; i < services; ++i) {
        seen[i] = static_cast<std::uint8_t>(seen[i] | (known[i] & ServiceTable::kDepth));
      }
    }
    std::size_t live = 0, with_depth = 0;
    Count(services, &live, &with_depth);
    if (with_depth < live) {
      const absl::Span<const Edge> edges = topology.edges();
      const absl::Span<const std::uint8_t> known = tick.edges.known();
      for (std::size_t e = 0; e < std::min(known.size(), edges.size()); ++e) {
        if ((known[e] & EdgeTickTable::kDepth) == 0 || edges[e].callee.value() >= services) {
          continue;
        }
        seen[edges[e].callee.index()] = ServiceTable::kDepth;
      }
      Count(services, &live, &with_depth);
    }
    return live == 0 ? 0 : static_cast<double>(with_depth) / static_cast<double>(live);
  }
  void Reset() { live_.clear(); }

 private:
  static_assert(ServiceTable::kDepth == 1, "a bit that can be counted");
  void Count(std::size_t services, std::size_t* live, std::size_t* with_depth) const {
    const std::uint8_t *const is_live = live_.data(), *const seen = seen_.data();
    std::uint32_t lives = 0, seens = 0;
    for (std::size_t i = 0; i < services; ++i) {
      lives += is_live[i];
      seens += is_live[i] & seen[i];
    }
    *live = lives;
    *with_depth = seens;
  }
  std::uint64_t version_ = 0;  // of the topology that `live_` is of
  std::vector<std::uint8_t> live_, seen_;
};

}  // namespace

class Predictor::Impl {
 public:
  Impl(const PredictorOptions& options, std::unique_ptr<TickPredictor> model)
      : options_(options),
        clock_(options.clock != nullptr ? *options.clock : system_clock_),
        merger_(NewMerger()),
        model_(std::move(model)) {
    health_.model = std::string(model_->name());
    health_.model_since_ns = clock_.NowNs();
  }

  absl::Status Observe(const Topology& node) {
    internal::MutexLock lock(&mutex_);
    return AddNode(node, Advance());
  }

  absl::Status Observe(const Snapshot& snapshot) {
    Prefetch(&snapshot, sizeof(snapshot));
    internal::MutexLock lock(&mutex_);
    return Add(snapshot);
  }

  absl::Status ObserveWire(std::string_view bytes) {
    // Decoded before the lock is taken: many connections may decode at the same time.
    absl::Status status;
    if (const auto header = PeekWire(bytes); !header.ok()) {
      status = header.status();
    } else if (header->kind == WireKind::kTopology) {
      const absl::StatusOr<Topology> topology = Decode<Topology>(bytes);
      status = topology.ok() ? Observe(*topology) : topology.status();
    } else if (header->kind == WireKind::kSnapshot) {
      const absl::StatusOr<Snapshot> snapshot = Decode<Snapshot>(bytes);
      status = snapshot.ok() ? Observe(*snapshot) : snapshot.status();
    } else {
      status = absl::InvalidArgumentError(
          absl::StrCat("the message is a ", internal::ToAbsl(WireKindName(header->kind)),
                       ": a predictor takes topologies and snapshots"));
    }
    if (!status.ok()) {
      internal::MutexLock lock(&mutex_);
      ++health_.bad_messages;
    }
    return status;
  }

  void RemoveNode(std::string_view node) {
    internal::MutexLock lock(&mutex_);
    merger_.RemoveNode(node);
    nodes_.erase(std::string(node));
  }

  void Predict(Forecast* forecast) {
    internal::MutexLock lock(&mutex_);
    Advance();
    *forecast = forecast_;
  }

  std::shared_ptr<const Topology> topology() {
    internal::MutexLock lock(&mutex_);
    if (shown_ == nullptr || shown_->version() != topology_.version()) {
      shown_ = std::make_shared<const Topology>(topology_);
    }
    return shown_;
  }

  void TicksSince(Tick last, std::vector<ClusterTick>* ticks) {
    internal::MutexLock lock(&mutex_);
    for (std::size_t i = 0; i < kept_.size(); ++i) {
      const ClusterTick& tick = kept_[(oldest_ + i) % kept_.size()];
      if (tick.tick > last) ticks->push_back(tick);
    }
  }

  void UseModel(std::unique_ptr<TickPredictor> model) {
    std::unique_ptr<TickPredictor> old;  // destroyed without the lock: it may be large
    internal::MutexLock lock(&mutex_);
    // One of the same kind is ready at once. Else it is as far as the one that looks on, so that
    // however often there is a new one, one of them takes over.
    std::uint32_t ticks = 0;
    if (auto* const heir = dynamic_cast<internal::Heir*>(model.get()); heir != nullptr) {
      if (heir->Inherit(model_.get(), topology_)) {
        ticks = options_.warm_ticks;
      } else if (next_ != nullptr && heir->Inherit(next_.get(), topology_)) {
        ticks = next_ticks_;
      }
    }
    old = std::exchange(next_, std::move(model));
    next_ticks_ = ticks;
    health_.next_model = next_ != nullptr ? std::string(next_->name()) : "";
    health_.next_model_status = absl::OkStatus();
  }

  absl::Status SaveState(std::string* bytes) {
    internal::MutexLock lock(&mutex_);
    internal::StateIo io(bytes);
    return State(io);
  }

  absl::Status LoadState(std::string_view bytes) {
    internal::MutexLock lock(&mutex_);
    Forget();
    internal::StateIo io(bytes);
    absl::Status status = State(io);
    if (!status.ok()) Forget();
    return status;
  }

  PredictorHealth health() {
    internal::MutexLock lock(&mutex_);
    PredictorHealth health = health_;
    health.merger = merger_.stats();
    if (given_) health.lag_ns = clock_.NowNs() - last_end_ns_;
    return health;
  }

 private:
  TickMerger NewMerger() {
    return TickMerger(options_.merger, &topology_, [this](const ClusterTick& tick) { Look(tick); });
  }

  void Forget() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    topology_ = Topology();
    sight_.Reset();
    nodes_.clear();
    merger_ = NewMerger();
    shown_ = nullptr;
    forecast_ = Forecast();
    kept_.clear();
    oldest_ = 0;
    given_ = false;
    next_ticks_ = 0;
    model_->Reset();
    if (next_ != nullptr) next_->Reset();
  }

  absl::Status State(internal::StateIo& io) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    SEER_RETURN_IF_ERROR(OptionsState(io));
    // The numbering comes first: everything else speaks in its ids.
    SEER_RETURN_IF_ERROR(TopologyState(io, topology_));
    std::size_t count = nodes_.size();
    io.Count(&count, 8);
    if (!io.loading()) {
      for (auto& [name, node] : nodes_) SEER_RETURN_IF_ERROR(TopologyState(io, node));
    }
    for (std::size_t i = 0; i < count && io.loading() && io.ok(); ++i) {
      Topology node;
      SEER_RETURN_IF_ERROR(TopologyState(io, node));
      const std::string name = node.origin().node;
      nodes_.insert_or_assign(name, std::move(node));
    }
    std::string part;
    if (!io.loading()) merger_.SaveState(&part);
    io(part);
    SEER_RETURN_IF_ERROR(io.ok() ? absl::OkStatus() : io.status());
    if (io.loading()) SEER_RETURN_IF_ERROR(merger_.LoadState(part));
    SEER_RETURN_IF_ERROR(ModelState(io, model_.get()));
    SEER_RETURN_IF_ERROR(ModelState(io, next_.get()));
    internal::ForecastState(io, forecast_);
    internal::ForecastState(io, next_forecast_);
    io(next_ticks_), io(given_), io(last_end_ns_);
    internal::RequireTime(io, last_end_ns_);
    for (std::uint64_t* const number :
         {&health_.ticks, &health_.refused_ticks, &health_.bad_messages, &health_.clock_set_back,
          &health_.models_changed}) {
      io(*number);
    }
    io(health_.model_since_ns), io(health_.nodes_seen), io(health_.nodes_expected);
    io(health_.services_seen);
    return io.status();
  }

  // Who loads it has to be made as who saved it.
  absl::Status OptionsState(internal::StateIo& io) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    const TickMergerOptions& merger = options_.merger;
    const std::pair<const char*, std::int64_t> numbers[] = {
        {"merger.period", merger.period.ns()},
        {"merger.deadline_ns", merger.deadline_ns},
        {"merger.unknown_ns", merger.unknown_ns},
        {"merger.forget_ns", merger.forget_ns},
        {"merger.max_waiting", static_cast<std::int64_t>(merger.max_waiting)},
        {"merger.max_nodes", static_cast<std::int64_t>(merger.max_nodes)},
        {"merger.max_open_ticks", static_cast<std::int64_t>(merger.max_open_ticks)},
        {"warm_ticks", options_.warm_ticks},
        {"clock_back_ns", options_.clock_back_ns}};
    for (const auto& [field, ours] : numbers) {
      std::int64_t theirs = ours;
      io(theirs);
      if (io.ok() && theirs != ours) {
        return absl::FailedPreconditionError(absl::StrCat(
            "state: options.", field, " was ", theirs, ", is ", ours, ": make both with the same"));
      }
    }
    return io.ok() ? absl::OkStatus() : io.status();
  }

  absl::Status TopologyState(internal::StateIo& io, Topology& topology) {
    std::string bytes;
    if (!io.loading()) EncodeTo(topology, &bytes);
    io(bytes);
    if (!io.loading() || !io.ok()) return io.ok() ? absl::OkStatus() : io.status();
    return DecodeTo(bytes, &topology);
  }

  absl::Status ModelState(internal::StateIo& io, TickPredictor* model)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    std::string name = model != nullptr ? std::string(model->name()) : "";
    const std::string ours = name;
    io(name);
    if (io.ok() && name != ours) {
      return absl::FailedPreconditionError(absl::StrCat("state: of the model '", name,
                                                        "', here is '", ours,
                                                        "': load it into one with that model"));
    }
    std::string part;
    if (!io.loading() && model != nullptr) SEER_RETURN_IF_ERROR(model->SaveState(&part));
    io(part);
    if (!io.ok()) return io.status();
    return io.loading() && model != nullptr ? model->LoadState(part, topology_) : absl::OkStatus();
  }

  absl::Status AddNode(const Topology& node, std::int64_t now_ns)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    SEER_RETURN_IF_ERROR(merger_.AddNode(node, now_ns));
    nodes_.insert_or_assign(std::string(node.origin().node), node);
    return absl::OkStatus();
  }

  absl::Status Add(const Snapshot& snapshot) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (snapshot.period != options_.merger.period) {
      return absl::InvalidArgumentError(absl::StrCat(
          "snapshot.period of node '", snapshot.origin.node, "' is ", snapshot.period.ns(),
          " ns, that of the predictor ", options_.merger.period.ns(),
          ": set PredictorOptions::merger.period, or CollectorOptions::period of the node"));
    }
    merger_.Add(snapshot, Advance());
    return absl::OkStatus();
  }

  // Gives the ticks that are overdue. Returns what time it is.
  std::int64_t Advance() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    const std::int64_t now_ns = clock_.NowNs();
    if (given_ && now_ns < last_end_ns_ - options_.clock_back_ns) BeginAnew(now_ns);
    merger_.AdvanceTo(now_ns);
    return now_ns;
  }

  void BeginAnew(std::int64_t now_ns) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    ++health_.clock_set_back;
    given_ = false;
    merger_ = NewMerger();
    model_->Reset();
    if (next_ != nullptr) next_->Reset();
    next_ticks_ = 0;
    forecast_ = Forecast();
    kept_.clear();
    oldest_ = 0;
    // Their topologies were merged before: this can only find the same rows again.
    for (const auto& [name, node] : nodes_) merger_.AddNode(node, now_ns).IgnoreError();
  }

  // The merger calls it, within Advance(), Add() or AddNode().
  void Look(const ClusterTick& tick) ABSL_NO_THREAD_SAFETY_ANALYSIS {
    given_ = true;
    last_end_ns_ = tick.period.EndNs(tick.tick);
    health_.nodes_seen = tick.nodes_seen;
    health_.nodes_expected = tick.nodes_expected;
    health_.services_seen = sight_.Of(tick, topology_);
    Keep(tick);

    if (next_ != nullptr) {
      health_.next_model_status = next_->Observe(tick, topology_, &next_forecast_);
      if (health_.next_model_status.ok() && ++next_ticks_ > options_.warm_ticks && NextSpeaks()) {
        model_ = std::move(next_);
        health_.model = std::exchange(health_.next_model, "");
        health_.model_since_ns = last_end_ns_;
        health_.model_status = absl::OkStatus();
        ++health_.models_changed;
        ++health_.ticks;
        std::swap(forecast_, next_forecast_);
        return;
      }
    }
    // One that refuses a tick leaves the forecast as it was: it says of which tick it is.
    health_.model_status = model_->Observe(tick, topology_, &forecast_);
    ++(health_.model_status.ok() ? health_.ticks : health_.refused_ticks);
  }

  // Whether nobody falls silent when it takes over; for ever is not waited for that.
  bool NextSpeaks() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return next_forecast_.classes.size() >= forecast_.classes.size() ||
           next_ticks_ - options_.warm_ticks > kMostLooksOn;
  }

  void Keep(const ClusterTick& tick) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (options_.keep_ticks == 0) return;
    if (kept_.size() < options_.keep_ticks) {
      kept_.push_back(tick);
      return;
    }
    kept_[oldest_] = tick;  // into the memory of the oldest
    oldest_ = (oldest_ + 1) % kept_.size();
  }

  const PredictorOptions options_;
  const SystemClock system_clock_;
  const Clock& clock_;

  internal::Mutex mutex_;
  Topology topology_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, Topology> nodes_ ABSL_GUARDED_BY(mutex_);  // as they told them last
  TickMerger merger_ ABSL_GUARDED_BY(mutex_);
  std::unique_ptr<TickPredictor> model_ ABSL_GUARDED_BY(mutex_);
  std::unique_ptr<TickPredictor> next_ ABSL_GUARDED_BY(mutex_);
  std::uint32_t next_ticks_ ABSL_GUARDED_BY(mutex_) = 0;  // that it took
  Forecast forecast_ ABSL_GUARDED_BY(mutex_);
  Forecast next_forecast_ ABSL_GUARDED_BY(mutex_);
  bool given_ ABSL_GUARDED_BY(mutex_) = false;  // a tick was
  std::int64_t last_end_ns_ ABSL_GUARDED_BY(mutex_) = 0;
  std::vector<ClusterTick> kept_ ABSL_GUARDED_BY(mutex_);  // a ring, once it is full
  std::size_t oldest_ ABSL_GUARDED_BY(mutex_) = 0;
  Sight sight_ ABSL_GUARDED_BY(mutex_);
  std::shared_ptr<const Topology> shown_ ABSL_GUARDED_BY(mutex_);
  PredictorHealth health_ ABSL_GUARDED_BY(mutex_);
};

absl::StatusOr<std::unique_ptr<Predictor>> Predictor::Create(const PredictorOptions& options) {
  SEER_ASSIGN_OR_RETURN(std::unique_ptr<TickPredictor> rival,
                        MakeRival(options.rival, options.rival_options));
  return Create(std::move(rival), options);
}

absl::StatusOr<std::unique_ptr<Predictor>> Predictor::Load(const std::string& path,
                                                           const PredictorOptions& options) {
  if (IsTreeModelFile(path)) {
    SEER_ASSIGN_OR_RETURN(TreeModel trees, LoadTreeModel(path));
    SEER_ASSIGN_OR_RETURN(std::unique_ptr<TickPredictor> model,
                          MakeTreePredictor(std::move(trees)));
    return Create(std::move(model), options);
  }
  SEER_ASSIGN_OR_RETURN(const Checkpoint checkpoint, LoadCheckpoint(path));
  SEER_ASSIGN_OR_RETURN(std::unique_ptr<TickPredictor> model, MakeModelPredictor(checkpoint));
  return Create(std::move(model), options);
}

absl::StatusOr<std::unique_ptr<Predictor>> Predictor::Create(std::unique_ptr<TickPredictor> model,
                                                             const PredictorOptions& options) {
  SEER_RETURN_IF_ERROR(Validate(options));
  if (model == nullptr) {
    return absl::InvalidArgumentError("model is null: leave it out for one without training");
  }
  return std::unique_ptr<Predictor>(
      new Predictor(std::make_unique<Impl>(options, std::move(model))));
}

Predictor::Predictor(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Predictor::~Predictor() = default;
absl::Status Predictor::Observe(const Topology& node) { return impl_->Observe(node); }
absl::Status Predictor::Observe(const Snapshot& snapshot) { return impl_->Observe(snapshot); }
absl::Status Predictor::ObserveWire(std::string_view bytes) { return impl_->ObserveWire(bytes); }
void Predictor::RemoveNode(std::string_view node) { impl_->RemoveNode(node); }
Forecast Predictor::Predict() {
  Forecast forecast;
  impl_->Predict(&forecast);
  return forecast;
}
void Predictor::Predict(Forecast* forecast) { impl_->Predict(forecast); }
std::shared_ptr<const Topology> Predictor::topology() const { return impl_->topology(); }
void Predictor::TicksSince(Tick last, std::vector<ClusterTick>* ticks) const {
  impl_->TicksSince(last, ticks);
}
void Predictor::UseModel(std::unique_ptr<TickPredictor> model) {
  impl_->UseModel(std::move(model));
}
PredictorHealth Predictor::health() const { return impl_->health(); }
absl::Status Predictor::SaveState(std::string* bytes) const { return impl_->SaveState(bytes); }
absl::Status Predictor::LoadState(std::string_view bytes) { return impl_->LoadState(bytes); }

SEER_END_NAMESPACE
