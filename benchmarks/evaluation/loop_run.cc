#include "benchmarks/evaluation/loop_run.h"

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "seer/advise/control_loop.h"
#include "seer/predict/rivals.h"
#include "seer/window/violations.h"

namespace seer::evaluation {
namespace {

constexpr std::int64_t kMsNs = 1'000'000;
constexpr std::int64_t kToldNs = 300 * kMsNs;
constexpr std::int64_t kToldOnNs = 200 * kMsNs;

// The simulator's counters, added up since each instance was last read.
class SimMonitor final : public HwMonitor {
 public:
  void Tick(cluster::Simulator* simulator) {
    simulator->ReadHardware();
    sums_.resize(simulator->stations().size());
    handled_.resize(sums_.size(), 0);
    for (std::uint32_t i = 0; i < sums_.size(); ++i) {
      const HwReading reading = simulator->Hardware(i);
      AddReading(reading, &sums_[i]);
      handled_[i] += reading.requests;
    }
  }
  absl::Status Read(const HwTarget& target, HwReading* reading) override {
    const std::size_t i = target.instance.index();
    if (i >= sums_.size()) return absl::NotFoundError("no such instance");
    *reading = sums_[i];
    reading->target = target.instance;
    sums_[i] = HwReading();
    return absl::OkStatus();
  }
  std::uint64_t handled(InstanceId instance) const {
    return instance.index() < handled_.size() ? handled_[instance.index()] : 0;
  }

 private:
  std::vector<HwReading> sums_;
  std::vector<std::uint64_t> handled_;
};

// Shares of a resource that an instance does not have until it is given one.
bool IsShare(Action action) {
  return action == Action::kCachePartition || action == Action::kMemoryBandwidthShare ||
         action == Action::kMemoryLimit || action == Action::kNetworkShare ||
         action == Action::kIoShare;
}

class Manager {
 public:
  Manager(const PreparedRun& run, LoopArm arm, const LoopResult& base)
      : run_(run), arm_(arm), base_(base), topology_(run.model->topology) {}

  absl::Status Start();
  void Act(const ClusterTick& tick, cluster::Simulator* simulator);
  std::vector<Cause> said() const { return said_; }

 private:
  void SeerTick(const ClusterTick& tick, cluster::Simulator* simulator);
  void Told(std::int64_t now_ns);
  void Posterior(const ClusterTick& tick, cluster::Simulator* simulator);
  std::optional<InPlace> PlaceOf(const ActionTarget& target, Action action) const;
  absl::Status Carry(Recommendation r, bool undo);

  const PreparedRun& run_;
  const LoopArm arm_;
  const LoopResult& base_;
  Topology topology_;  // with cgroups, which the simulator's instances lack
  ManualClock clock_;
  cluster::Simulator* simulator_ = nullptr;  // of the present tick
  std::unique_ptr<TickPredictor> predictor_;
  SimMonitor monitor_;
  std::unique_ptr<RuleAdvisor> advisor_;
  std::unique_ptr<ControlLoop> loop_;
  Forecast forecast_;
  std::map<std::uint64_t, Recommendation> carried_;
  std::vector<Cause> said_;
  ViolationDetector detector_;
  std::int64_t next_posterior_ns_ = 0;
  std::vector<double> busy_then_;
  double limited_rate_ = 0;
};

absl::Status Manager::Start() {
  for (std::uint32_t i = 0; i < topology_.instances().size(); ++i) {
    const Instance& instance = topology_.instance(InstanceId(i));
    if (instance.removed || !instance.cgroup.empty()) continue;
    if (absl::Status status = topology_.SetCgroup(InstanceId(i), absl::StrCat("sim/", i));
        !status.ok()) {
      return status;
    }
  }
  said_.assign(base_.truth.size(), Cause::kUndecided);
  if (arm_ == LoopArm::kSeer || arm_ == LoopArm::kLargestDepth) {
    auto rival =
        MakeRival(arm_ == LoopArm::kSeer ? RivalKind::kSelfDepthZ : RivalKind::kLargestDepth);
    if (!rival.ok()) return rival.status();
    predictor_ = *std::move(rival);
  }
  if (predictor_ == nullptr && arm_ != LoopArm::kSeerTold) return absl::OkStatus();
  RuleAdvisorOptions rules;
  rules.in_place = [this](const ActionTarget& t, Action a) { return PlaceOf(t, a); };
  auto advisor = RuleAdvisor::Create(rules);
  if (!advisor.ok()) return advisor.status();
  advisor_ = *std::move(advisor);
  ControlLoopOptions options;
  options.shadow = false;
  options.clock = options.steady = &clock_;
  options.monitor = [this](const Topology&, InstanceId) { return &monitor_; };
  options.handled = [this](const Topology&, InstanceId i) -> std::optional<std::uint64_t> {
    return monitor_.handled(i);
  };
  options.act = [this](const Recommendation& r) { return Carry(r, false); };
  options.undo = [this](std::uint64_t id) { return Carry(carried_[id], true); };
  auto loop = ControlLoop::Create(nullptr, advisor_.get(), options);
  if (!loop.ok()) return loop.status();
  loop_ = *std::move(loop);
  return absl::OkStatus();
}

std::optional<InPlace> Manager::PlaceOf(const ActionTarget& target, Action action) const {
  const std::uint32_t service = run_.model->FindService(target.service);
  if (service == cluster::kNone) return std::nullopt;
  const auto& info = run_.model->services[service];
  const cluster::Station& station = simulator_->stations()[info.first_instance];
  switch (action) {
    case Action::kCpuLimit:
      return InPlace{static_cast<double>(station.plan_cores), 1, 4.0 * station.initial_cores};
    case Action::kPoolSize:
      return InPlace{static_cast<double>(station.plan_threads), 1, 4.0 * station.plan_threads};
    case Action::kReplicas:
      return InPlace{static_cast<double>(info.instances), 1, 2.0 * info.instances};
    case Action::kCachePartition:
      return InPlace{5, 0, 10};
    case Action::kMemoryBandwidthShare:
      return InPlace{25, 0, 50};
    case Action::kMemoryLimit:
    case Action::kNetworkShare:
    case Action::kIoShare:
      return InPlace{1e9, 0, 1e10};
    default:
      return std::nullopt;
  }
}

absl::Status Manager::Carry(Recommendation r, bool undo) {
  // The simulator keeps to whole services; a share that is not there any more is 0.
  if (IsShare(r.action)) {
    r.undo = 0;
    r.lower = 0;
  }
  if (undo) {
    r.to = r.undo.value_or(r.from);
    r.expires_ns = 0;
  }
  ActionTaken taken;
  taken.recommendation_id = r.id;
  taken.target = r.target;
  taken.action = r.action;
  taken.time_ns = clock_.NowNs();
  const absl::Status status = simulator_->Act(r);
  if (!status.ok()) return status;
  if (!undo) carried_[r.id] = r;
  taken.outcome = undo ? ActionOutcome::kUndone : ActionOutcome::kApplied;
  loop_->Report(taken);
  return absl::OkStatus();
}

void Manager::Act(const ClusterTick& tick, cluster::Simulator* simulator) {
  simulator_ = simulator;
  clock_.Set(tick.period.EndNs(tick.tick));
  if (loop_ != nullptr) {
    SeerTick(tick, simulator);
  } else if (arm_ != LoopArm::kNone) {
    Posterior(tick, simulator);
  }
}

// The rows of who knows what will come.
void Manager::Told(std::int64_t now_ns) {
  forecast_.classes.clear();
  for (std::uint32_t id = 0; id < topology_.classes().size(); ++id) {
    ClassForecast row;
    row.request_class = ClassId(id);
    row.horizons = {{kToldNs, 0.02f}};
    row.initiators = {{ServiceId(), 1.0f}};
    for (const cluster::TruthRow& truth : base_.truth) {
      const Violation& v = truth.violation;
      if (v.request_class != row.request_class || now_ns < v.start_ns - kToldNs ||
          now_ns > v.start_ns + kToldOnNs) {
        continue;
      }
      row.alarm = true;
      row.horizons = {{kToldNs, 0.98f}};
      const bool service = v.initiation == Initiation::kService && v.culprit.valid();
      row.initiators = {{service ? v.culprit : ServiceId(), 1.0f}};
    }
    forecast_.classes.push_back(std::move(row));
  }
}

void Manager::SeerTick(const ClusterTick& tick, cluster::Simulator* simulator) {
  monitor_.Tick(simulator);
  const std::int64_t now_ns = clock_.NowNs();
  if (predictor_ != nullptr) {
    if (!predictor_->Observe(tick, run_.model->topology, &forecast_).ok()) return;
  } else {
    Told(now_ns);
  }
  forecast_.tick = tick.tick;
  forecast_.period = tick.period;
  (void)loop_->Tick(forecast_, topology_);
  // Of several diagnoses the last that is one stands.
  for (const ClassDiagnosis& found : loop_->diagnoses()) {
    for (std::size_t i = 0; i < base_.truth.size(); ++i) {
      const Violation& v = base_.truth[i].violation;
      if (v.request_class != found.request_class || now_ns < v.start_ns - kToldNs ||
          now_ns > v.start_ns + kToldOnNs || found.diagnosis.cause == Cause::kUndecided) {
        continue;
      }
      said_[i] = found.diagnosis.cause;
    }
  }
}

void Manager::Posterior(const ClusterTick& tick, cluster::Simulator* simulator) {
  detector_.Observe(tick, run_.model->topology);
  (void)detector_.TakeFinished();
  const std::int64_t now_ns = clock_.NowNs();
  const std::size_t stations = simulator->stations().size();
  std::vector<double> busy(stations);
  for (std::uint32_t i = 0; i < stations; ++i) busy[i] = simulator->CoreSeconds(i);
  busy_then_.resize(stations, 0);
  const std::vector<double> then = std::exchange(busy_then_, busy);
  if (detector_.open().empty() || now_ns < next_posterior_ns_) return;
  next_posterior_ns_ = now_ns + 1'000 * kMsNs;
  const double seconds = static_cast<double>(tick.period.ns()) * 1e-9;
  for (const auto& info : run_.model->services) {
    const std::string& name =
        topology_.instance(InstanceId(info.first_instance)).service.valid()
            ? topology_.service(topology_.instance(InstanceId(info.first_instance)).service).name
            : std::string();
    const cluster::Station& station = simulator->stations()[info.first_instance];
    Recommendation r;
    r.issued_ns = now_ns;
    r.expires_ns = now_ns + 60'000 * kMsNs;
    r.target.service = name;
    r.upper = 1e12;
    if (arm_ == LoopArm::kAutoscaler) {
      const double use = (busy[info.first_instance] - then[info.first_instance]) / seconds /
                         std::max(1, station.core_limit);
      if (use < 0.7 || station.plan_cores > station.initial_cores) continue;
      r.action = Action::kReplicas;
      r.from = info.instances;
      r.to = info.instances + 1.0;
      r.undo = info.instances;
      (void)simulator->Act(r);
      continue;
    }
    for (const Violation& v : detector_.open()) {
      const ServiceId entry = topology_.request_class(v.request_class).entry;
      if (!topology_.Has(entry) || topology_.service(entry).name != name) continue;
      if (station.rate_limit_per_ns > 0) continue;
      r.action = Action::kRateLimit;
      r.to = 0.8 * simulator->options().loads[info.application].rate;
      r.expires_ns = now_ns + 10'000 * kMsNs;
      r.undo = 0;
      (void)simulator->Act(r);
      break;
    }
  }
}

bool IsActionable(const cluster::TruthRow& row) { return row.cause != "application"; }

}  // namespace

std::string_view LoopArmName(LoopArm arm) {
  constexpr std::string_view kNames[] = {"none",          "seer-told",  "seer",
                                         "largest-depth", "autoscaler", "rate-limit"};
  return kNames[static_cast<std::size_t>(arm)];
}

absl::StatusOr<LoopResult> RunLoop(const PreparedRun& run, LoopArm arm, const LoopResult& base) {
  Manager manager(run, arm, base);
  if (absl::Status status = manager.Start(); !status.ok()) return status;
  LoopResult result;
  cluster::ScenarioOptions scenario = run.scenario;
  scenario.truth = arm == LoopArm::kNone;
  ClusterTick last;
  double planned = 0;
  scenario.control = [&](cluster::Simulator* simulator) {
    manager.Act(last, simulator);
    result.actions = simulator->cost().actions;
    result.extra_core_seconds = simulator->cost().core_seconds;
    result.refused = simulator->cost().refused;
    planned = 0;
    for (const cluster::Station& station : simulator->stations()) planned += station.initial_cores;
  };
  result.truth =
      cluster::RunScenario(run.model, scenario, [&](const ClusterTick& tick) { last = tick; });
  result.core_seconds = planned * scenario.seconds;
  result.said = manager.said();
  return result;
}

void LoopScore::Add(const LoopResult& base, const LoopResult& with) {
  constexpr std::int64_t kNearNs = 1'000 * kMsNs;
  const auto near = [&](const Violation& a, const Violation& b) {
    return a.request_class == b.request_class && a.start_ns <= b.end_ns + kNearNs &&
           b.start_ns <= a.end_ns + kNearNs;
  };
  const auto seconds = [](const Violation& v) {
    return static_cast<double>(v.end_ns - v.start_ns) * 1e-9;
  };
  for (const cluster::TruthRow& row : base.truth) {
    ++violations;
    actionable += IsActionable(row) ? 1 : 0;
    double left = 0;
    bool there = false;
    for (const cluster::TruthRow& other : with.truth) {
      if (!near(row.violation, other.violation)) continue;
      there = true;
      left += seconds(other.violation);
    }
    if (!there) {
      ++avoided;
      avoided_actionable += IsActionable(row) ? 1 : 0;
    } else {
      base_seconds += seconds(row.violation);
      left_seconds += left;
    }
  }
  for (const cluster::TruthRow& other : with.truth) {
    caused += std::none_of(base.truth.begin(), base.truth.end(),
                           [&](const cluster::TruthRow& row) {
                             return near(row.violation, other.violation);
                           })
                  ? 1
                  : 0;
  }
  actions += with.actions;
  extra_core_seconds += with.extra_core_seconds;
  core_seconds += with.core_seconds;
}

}  // namespace seer::evaluation
