#include "benchmarks/evaluation/trained.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <utility>

namespace seer::evaluation {
namespace {

constexpr std::int64_t kNsPerMs = 1'000'000;

// The rows of all services that are known, and of "load" for each class's entry.
void RowFor(absl::Span<const float> features, bool load, std::vector<float>* row) {
  row->assign(features.begin(), features.end());
  row->push_back(load ? 1.0f : 0.0f);
}

// The live services that a request of the class can wait for; all where its entry is not known.
std::vector<std::uint32_t> MembersOf(const Topology& topology, const RequestClass& row) {
  std::vector<std::uint32_t> members;
  std::vector<std::uint8_t> seen(topology.services().size(), 0);
  if (row.entry.valid()) {
    members.push_back(row.entry.value());
    seen[row.entry.index()] = 1;
    for (std::size_t i = 0; i < members.size(); ++i) {
      for (const Edge& edge : topology.edges()) {
        if (edge.removed || edge.kind != EdgeKind::kSync || !edge.caller.valid()) continue;
        if (edge.caller.value() != members[i] || seen[edge.callee.index()] != 0) continue;
        seen[edge.callee.index()] = 1;
        members.push_back(edge.callee.value());
      }
    }
    if (members.size() > 1) return members;
  }
  members.clear();
  for (std::uint32_t s = 0; s < seen.size(); ++s) {
    if (topology.IsLive(ServiceId(s))) members.push_back(s);
  }
  return members;
}

class TrainedRival : public TickPredictor, public FeatureUser {
 public:
  TrainedRival(std::string name, ServiceModel model, std::int64_t horizon_ms, double threshold,
               const AlarmOptions& alarm)
      : name_(std::move(name)),
        model_(std::move(model)),
        horizon_ms_(horizon_ms),
        threshold_(threshold),
        alarm_(alarm) {}

  std::string_view name() const override { return name_; }

  void Share(std::shared_ptr<SharedFeatures> features) override { shared_ = std::move(features); }

  void Reset() override {
    shared_->Reset();
    classes_.clear();
    started_ = false;
  }

  absl::Status Observe(const ClusterTick& tick, const Topology& topology,
                       Forecast* forecast) override {
    if (tick.services.size() > topology.services().size() ||
        tick.edges.size() > topology.edges().size()) {
      return absl::InvalidArgumentError("tick: hand over the topology that numbers it");
    }
    const bool same = started_ && period_ == tick.period && epoch_ == topology.origin().epoch;
    if (same && tick.tick <= last_) {
      return absl::InvalidArgumentError("tick.tick: hand over ticks in order");
    }
    if (!same) Reset();
    if (!started_ || version_ != topology.version()) {
      classes_.resize(topology.classes().size());
      for (std::size_t i = 0; i < classes_.size(); ++i) {
        classes_[i].members = MembersOf(topology, topology.classes()[i]);
      }
    }
    started_ = true;
    last_ = tick.tick;
    period_ = tick.period;
    epoch_ = topology.origin().epoch;
    version_ = topology.version();

    shared_->Observe(tick, topology);
    AskModel(topology);
    forecast->tick = tick.tick;
    forecast->period = tick.period;
    forecast->classes.clear();
    for (std::size_t i = 0; i < classes_.size(); ++i) {
      const ClassId id(static_cast<std::uint32_t>(i));
      if (topology.IsLive(id)) Foresee(topology, id, tick.period.EndNs(tick.tick), forecast);
    }
    return absl::OkStatus();
  }

 private:
  struct ClassState {
    std::vector<std::uint32_t> members;
    AlarmLatch latch;
  };

  // Classes share services: the model is asked once for each, and all at once.
  void AskModel(const Topology& topology) {
    const ServiceFeatures& features = shared_->features();
    places_.assign(2 * features.services(), kNotAsked);
    rows_.clear();
    std::uint32_t count = 0;
    const auto ask = [&](std::uint32_t service, bool load) {
      std::uint32_t& place = places_[2 * service + (load ? 1 : 0)];
      if (place != kNotAsked || !features.known(service)) return;
      place = count++;
      RowFor(features.row(service), load, &row_);
      rows_.insert(rows_.end(), row_.begin(), row_.end());
    };
    for (std::size_t i = 0; i < classes_.size(); ++i) {
      const ClassId id(static_cast<std::uint32_t>(i));
      if (!topology.IsLive(id)) continue;
      for (const std::uint32_t s : classes_[i].members) ask(s, false);
      const ServiceId entry = topology.request_class(id).entry;
      if (entry.valid()) ask(entry.value(), true);
    }
    blames_.resize(count);
    if (count > 0) model_(rows_, absl::MakeSpan(blames_));
  }

  void Foresee(const Topology& topology, ClassId id, std::int64_t now_ns, Forecast* forecast) {
    const ServiceFeatures& features = shared_->features();
    ClassState& state = classes_[id.index()];
    ClassForecast row;
    row.request_class = id;
    double most = 0;
    double sum = 0;
    const auto add = [&](ServiceId service, std::uint32_t whose, bool load) {
      const double p = std::clamp(blames_[places_[2 * whose + (load ? 1 : 0)]], 0.0, 1.0);
      row.initiators.push_back({service, static_cast<float>(p)});
      most = std::max(most, p);
      sum += p;
    };
    bool any = false;
    for (const std::uint32_t s : state.members) {
      if (!features.known(s)) continue;
      any = true;
      add(ServiceId(s), s, false);
    }
    if (!any) return;
    const ServiceId entry = topology.request_class(id).entry;
    if (entry.valid() && features.known(entry.index())) {
      add(ServiceId(), entry.value(), true);
    } else {
      row.initiators.push_back({ServiceId(), 0});
    }
    for (Initiator& initiator : row.initiators) {
      initiator.probability = static_cast<float>(
          sum > 0 ? initiator.probability / sum : 1.0 / static_cast<double>(row.initiators.size()));
    }
    std::stable_sort(
        row.initiators.begin(), row.initiators.end(),
        [](const Initiator& a, const Initiator& b) { return a.probability > b.probability; });
    row.horizons = {{horizon_ms_ * kNsPerMs, static_cast<float>(most)}};
    row.alarm = state.latch.Observe(most / threshold_, now_ns, alarm_);
    forecast->classes.push_back(std::move(row));
  }

  const std::string name_;
  const ServiceModel model_;
  const std::int64_t horizon_ms_;
  const double threshold_;
  const AlarmOptions alarm_;
  static constexpr std::uint32_t kNotAsked = 0xffffffff;
  std::shared_ptr<SharedFeatures> shared_ = std::make_shared<SharedFeatures>();
  std::vector<ClassState> classes_;
  // Of this tick: what the model is asked, what it said, and where in it each service and, behind
  // it, the service as "load" stands.
  std::vector<float> row_, rows_;
  std::vector<double> blames_;
  std::vector<std::uint32_t> places_;
  bool started_ = false;
  Tick last_ = 0;
  TickPeriod period_;
  std::uint64_t epoch_ = 0;
  std::uint64_t version_ = 0;
};

}  // namespace

void TrainingRows::Add(const RecordedRun& run, const std::vector<ViolationRow>& violations) {
  Begin();
  for (const ClusterTick& tick : run.ticks) Observe(tick, run.topology, violations);
}

void TrainingRows::Begin(std::size_t quiet) {
  data_.columns = kTrainedColumns;
  shared_->Reset();
  quiet_ = quiet;
}

void TrainingRows::Observe(const ClusterTick& tick, const Topology& topology,
                           const std::vector<ViolationRow>& violations) {
  shared_->Observe(tick, topology);
  const ServiceFeatures& features = shared_->features();
  const std::int64_t now_ms = tick.period.EndNs(tick.tick) / kNsPerMs;
  // What starts within the horizon, in any class; nothing is learnt within a violation.
  bool within = false;
  bool unknown = false;
  std::vector<std::string_view> culprits;
  for (const ViolationRow& violation : violations) {
    within = within || (now_ms >= violation.start_ms && now_ms <= violation.end_ms);
    if (now_ms >= violation.start_ms || now_ms + horizon_ms_ < violation.start_ms) continue;
    unknown = unknown || violation.culprit.empty();
    culprits.push_back(violation.culprit);
  }
  if (within || unknown) return;
  if (culprits.empty() && quiet_++ % stride_ != 0) return;
  const float weight = culprits.empty() ? static_cast<float>(stride_) : 1.0f;
  const auto take = [&](std::uint32_t service, bool load, bool label) {
    RowFor(features.row(service), load, &row_);
    data_.values.insert(data_.values.end(), row_.begin(), row_.end());
    data_.labels.push_back(label ? 1.0f : 0.0f);
    data_.weights.push_back(weight);
  };
  const auto is_culprit = [&](std::string_view name) {
    return std::find(culprits.begin(), culprits.end(), name) != culprits.end();
  };
  for (std::uint32_t s = 0; s < features.services(); ++s) {
    if (features.known(s)) take(s, false, is_culprit(topology.service(ServiceId(s)).name));
  }
  for (const RequestClass& request_class : topology.classes()) {
    if (request_class.removed || !request_class.entry.valid()) continue;
    if (!features.known(request_class.entry.index())) continue;
    take(request_class.entry.value(), true, is_culprit(kLoad));
  }
}

ServiceModel EachRow(std::function<double(absl::Span<const float> row)> model) {
  return [model = std::move(model)](absl::Span<const float> rows, absl::Span<double> p) {
    for (std::size_t i = 0; i < p.size(); ++i) {
      p[i] = model(rows.subspan(i * kTrainedColumns, kTrainedColumns));
    }
  };
}

std::unique_ptr<TickPredictor> MakeTrainedRival(std::string name, ServiceModel model,
                                                std::int64_t horizon_ms, double threshold,
                                                const AlarmOptions& alarm) {
  return std::make_unique<TrainedRival>(std::move(name), std::move(model), horizon_ms, threshold,
                                        alarm);
}

}  // namespace seer::evaluation
