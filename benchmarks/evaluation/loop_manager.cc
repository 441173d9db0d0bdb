#include "benchmarks/evaluation/loop_manager.h"

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
constexpr std::int64_t kOnNs =
    200 * kMsNs;  // how long a forecaster who knows goes on after a start
// So long a diagnosis of a culprit stands for later violations of the same one, where nothing was
// done about it.
constexpr std::int64_t kStandsNs = 10'000 * kMsNs;

// The simulator's counters, added up since each instance was last read.
class SimMonitor final : public HwMonitor {
 public:
  void Tick(cluster::Simulator* simulator) {
    simulator->ReadHardware();
    sums_.resize(simulator->stations().size());
    handled_.resize(sums_.size(), 0);
    last_.resize(sums_.size());
    before_.resize(sums_.size());
    for (std::uint32_t i = 0; i < sums_.size(); ++i) {
      const HwReading reading = simulator->Hardware(i);
      AddReading(reading, &sums_[i]);
      before_[i] = std::exchange(last_[i], reading);
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
  // As a node's agent keeps them: the last two ticks.
  std::optional<HwReading> Recent(InstanceId instance) const {
    const std::size_t i = instance.index();
    if (i >= last_.size()) return std::nullopt;
    HwReading both = before_[i];
    AddReading(last_[i], &both);
    both.target = instance;
    return both;
  }
  std::uint64_t handled(InstanceId instance) const {
    return instance.index() < handled_.size() ? handled_[instance.index()] : 0;
  }

 private:
  std::vector<HwReading> sums_, last_, before_;
  std::vector<std::uint64_t> handled_;
};

// Shares of a resource that an instance does not have until it is given one.
bool IsShare(Action action) {
  return action == Action::kCachePartition || action == Action::kMemoryBandwidthShare ||
         action == Action::kMemoryLimit || action == Action::kNetworkShare ||
         action == Action::kIoShare;
}

class SeerManager final : public LoopManager {
 public:
  SeerManager(const PreparedRun& run, LoopArm arm, const LoopResult& base,
              const LoopOptions& options)
      : run_(run), arm_(arm), base_(base), options_(options), topology_(run.model->topology) {}

  absl::Status Start();
  void Act(const ClusterTick& tick, cluster::Simulator* simulator) override;
  std::vector<Cause> said() const override { return said_; }
  std::vector<std::int64_t> acted_ns() const override;

 private:
  void Tell(const ClusterTick& tick);
  void LookAhead(std::vector<bool>* violates);
  std::optional<InPlace> PlaceOf(const ActionTarget& target, Action action) const;
  absl::Status Carry(Recommendation r);
  absl::Status Undo(std::uint64_t id);
  void TakeDiagnoses(std::int64_t now_ns);
  ServiceId EntryOf(ClassId id) const { return topology_.request_class(id).entry; }
  bool IsNear(const Violation& v, std::int64_t now_ns, std::int64_t after_ns) const {
    return now_ns >= v.start_ns - lead_ns_ && now_ns <= v.start_ns + after_ns;
  }

  const PreparedRun& run_;
  const LoopArm arm_;
  const LoopResult& base_;
  const LoopOptions& options_;
  Topology topology_;  // with cgroups, which the simulator's instances lack
  ManualClock clock_;
  cluster::Simulator* simulator_ = nullptr;  // of the present tick
  std::int64_t lead_ns_ = 1000 * kMsNs;
  std::unique_ptr<TickPredictor> predictor_;  // none: who knows
  SimMonitor monitor_;
  std::unique_ptr<RuleAdvisor> advisor_;
  std::unique_ptr<ControlLoop> loop_;
  ViolationDetector detector_;
  Forecast forecast_;
  std::map<std::uint64_t, Recommendation> carried_;
  std::map<std::string, std::int64_t> acted_;  // by service, or by application upon load: until
  std::vector<Cause> said_;
  std::map<std::uint32_t, std::pair<Cause, std::int64_t>> found_;  // by culprit, and until when
  struct Done {
    std::string service;
    std::int64_t at_ns, until_ns;
  };
  std::vector<Done> done_;
};

absl::Status SeerManager::Start() {
  for (std::uint32_t i = 0; i < topology_.instances().size(); ++i) {
    const Instance& instance = topology_.instance(InstanceId(i));
    if (instance.removed || !instance.cgroup.empty()) continue;
    if (absl::Status status = topology_.SetCgroup(InstanceId(i), absl::StrCat("sim/", i));
        !status.ok()) {
      return status;
    }
  }
  said_.assign(base_.truth.size(), Cause::kUndecided);
  if (arm_ == LoopArm::kSeerTold300) lead_ns_ = 300 * kMsNs;
  if (arm_ == LoopArm::kSeer && options_.predictor) {
    auto trained = options_.predictor();
    if (!trained.ok()) return trained.status();
    predictor_ = *std::move(trained);
  } else if (arm_ == LoopArm::kSeer || arm_ == LoopArm::kLargestDepth) {
    auto rival =
        MakeRival(arm_ == LoopArm::kSeer ? RivalKind::kSelfDepthZ : RivalKind::kLargestDepth);
    if (!rival.ok()) return rival.status();
    predictor_ = *std::move(rival);
  }
  RuleAdvisorOptions rules;
  rules.rules = options_.rules;
  rules.in_place = [this](const ActionTarget& t, Action a) { return PlaceOf(t, a); };
  auto advisor = RuleAdvisor::Create(rules);
  if (!advisor.ok()) return advisor.status();
  advisor_ = *std::move(advisor);
  ControlLoopOptions options;
  options.shadow = false;
  options.clock = options.steady = &clock_;
  options.sample_ns = 2'000 * kMsNs;
  options.monitor = [this](const Topology&, InstanceId) { return &monitor_; };
  options.handled = [this](const Topology&, InstanceId i) -> std::optional<std::uint64_t> {
    return monitor_.handled(i);
  };
  options.recent = [this](const Topology&, InstanceId i) { return monitor_.Recent(i); };
  options.max_in_flight = 64;
  options.act = [this](const Recommendation& r) { return Carry(r); };
  options.undo = [this](std::uint64_t id) { return Undo(id); };
  options.audit = options_.audit;
  auto loop = ControlLoop::Create(nullptr, advisor_.get(), options);
  if (!loop.ok()) return loop.status();
  loop_ = *std::move(loop);
  return absl::OkStatus();
}

std::optional<InPlace> SeerManager::PlaceOf(const ActionTarget& target, Action action) const {
  const std::uint32_t service = run_.model->FindService(target.service);
  if (service == cluster::kNone) return std::nullopt;
  const auto& info = run_.model->services[service];
  const cluster::Station& station = simulator_->stations()[info.first_instance];
  switch (action) {
    case Action::kCpuLimit: {
      double most = 16.0 * station.initial_cores;
      for (std::uint32_t i = info.first_instance; i < info.first_instance + info.instances; ++i) {
        const auto& server = run_.model->cluster.servers[run_.model->instances[i].server];
        most = std::min(most, static_cast<double>(server.cores));
      }
      const auto now = static_cast<double>(station.plan_cores);
      return InPlace{now, 1, std::max(most, now)};
    }
    case Action::kPoolSize: {  // what is in place may be a bug's
      const auto now = static_cast<double>(std::max(1, station.thread_limit));
      return InPlace{now, 1, std::max(now, 4.0 * station.plan_threads)};
    }
    case Action::kReplicas:
      return InPlace{static_cast<double>(info.instances), 1, 4.0 * info.instances};
    case Action::kCachePartition:
      return InPlace{5, 0, 10};
    case Action::kMemoryBandwidthShare:
      return InPlace{25, 0, 50};
    case Action::kMemoryLimit:
    case Action::kNetworkShare:
    case Action::kIoShare:
      return InPlace{1e9, 0, 1e10};
    case Action::kRateLimit: {
      const double rate = simulator_->options().loads[info.application].rate;
      return InPlace{rate, 0.5 * rate, rate};
    }
    default:
      return std::nullopt;
  }
}

absl::Status SeerManager::Carry(Recommendation r) {
  if (r.action == Action::kReport) return simulator_->Act(r);
  ActionTaken taken;
  taken.recommendation_id = r.id;
  taken.target = r.target;
  taken.action = r.action;
  taken.time_ns = clock_.NowNs();
  taken.outcome = ActionOutcome::kApplied;
  // A share that is not there any more, and a limit of requests, is 0; so is a pool as it was.
  if (IsShare(r.action) || r.action == Action::kRateLimit || r.action == Action::kPoolSize) {
    r.undo = 0;
    r.lower = 0;
  }
  if (absl::Status status = simulator_->Act(r); !status.ok()) return status;
  carried_[r.id] = r;
  if (r.cause == Cause::kLoad) {
    acted_[r.target.service.substr(0, r.target.service.find('/'))] = r.expires_ns;
  }
  acted_[r.target.service] = r.expires_ns;
  done_.push_back({r.target.service, clock_.NowNs(), r.expires_ns});
  if (const auto service = topology_.FindService(r.target.service);
      service && r.cause != Cause::kLoad) {
    found_[service->value()] = {r.cause, r.expires_ns};
  }
  loop_->Report(taken);
  return absl::OkStatus();
}

absl::Status SeerManager::Undo(std::uint64_t id) {
  if (absl::Status status = simulator_->Undo(id); !status.ok()) return status;
  const Recommendation& r = carried_[id];
  ActionTaken taken;
  taken.recommendation_id = id;
  taken.target = r.target;
  taken.action = r.action;
  taken.time_ns = clock_.NowNs();
  taken.outcome = ActionOutcome::kUndone;
  loop_->Report(taken);
  return absl::OkStatus();
}

// When something was done first about the culprit of each of the base's rows, or, where load is
// to blame, about a service of its application.
std::vector<std::int64_t> SeerManager::acted_ns() const {
  std::vector<std::int64_t> first(base_.truth.size(), 0);
  for (std::size_t i = 0; i < first.size(); ++i) {
    const Violation& v = base_.truth[i].violation;
    const std::string name = v.culprit.valid()
                                 ? topology_.service(v.culprit).name
                                 : topology_.request_class(v.request_class).application;
    for (const Done& done : done_) {
      const bool same = v.culprit.valid()
                            ? done.service == name
                            : done.service.compare(0, name.size() + 1, name + "/") == 0;
      if (!same || done.at_ns > v.end_ns || done.until_ns < v.start_ns) continue;
      if (first[i] == 0 || done.at_ns < first[i]) first[i] = done.at_ns;
    }
  }
  return first;
}

// Which classes violate, or will, if nothing else is done and nothing else goes wrong.
void SeerManager::LookAhead(std::vector<bool>* violates) {
  cluster::Simulator future = *simulator_;
  ViolationDetector detector = detector_;
  ClusterTick tick;
  for (std::size_t f = 0; f < future.options().faults.size(); ++f) {
    if (future.options().faults[f].start_ns >= future.now_ns()) future.Disable(f);
  }
  const std::int64_t until_ns = future.now_ns() + lead_ns_;
  violates->assign(topology_.classes().size(), false);
  while (future.now_ns() < until_ns) {
    future.RunTick();
    future.Observe(&tick);
    detector.Observe(tick, run_.model->topology);
    for (const Violation& v : detector.open()) {
      if (detector.breaching(v.request_class)) (*violates)[v.request_class.index()] = true;
    }
  }
}

// The rows of who knows what will come.
void SeerManager::Tell(const ClusterTick& tick) {
  const std::int64_t now_ns = clock_.NowNs();
  std::vector<bool> ahead;  // of the run as it is, once something was done
  forecast_.classes.clear();
  for (std::uint32_t id = 0; id < topology_.classes().size(); ++id) {
    ClassForecast row;
    row.request_class = ClassId(id);
    row.horizons = {{lead_ns_, 0.02f}};
    row.initiators = {{ServiceId(), 1.0f}};
    const bool violates =
        std::any_of(detector_.open().begin(), detector_.open().end(),
                    [&](const Violation& v) { return v.request_class == ClassId(id); });
    for (const cluster::TruthRow& truth : base_.truth) {
      const Violation& v = truth.violation;
      if (v.request_class != row.request_class) continue;
      if (truth.fault >= 0) {
        const auto& fault = run_.scenario.simulator.faults[static_cast<std::size_t>(truth.fault)];
        const std::int64_t began_ns = run_.scenario.simulator.start_ns + fault.start_ns;
        if (now_ns < began_ns + tick.period.ns()) continue;
      }
      const bool by_service = v.initiation == Initiation::kService && v.culprit.valid();
      const std::string& name = by_service ? topology_.service(v.culprit).name
                                           : topology_.request_class(v.request_class).application;
      const auto acted = acted_.find(name);
      const bool in_hand = acted != acted_.end() && acted->second > v.start_ns - lead_ns_;
      // In hand, it may begin later than it would have: all its time is looked at.
      const std::int64_t lasts_ns = v.end_ns - v.start_ns;
      if (!IsNear(v, now_ns, violates || in_hand ? std::max(lasts_ns, kOnNs) : kOnNs)) continue;
      if (in_hand) {
        if (ahead.empty()) LookAhead(&ahead);
        if (!ahead[id]) continue;
      }
      row.alarm = true;
      row.horizons = {{lead_ns_, 0.98f}};
      row.initiators = {{by_service ? v.culprit : ServiceId(), 1.0f}};
    }
    forecast_.classes.push_back(std::move(row));
  }
}

void SeerManager::Act(const ClusterTick& tick, cluster::Simulator* simulator) {
  simulator_ = simulator;
  const std::int64_t now_ns = tick.period.EndNs(tick.tick);
  clock_.Set(now_ns);
  monitor_.Tick(simulator);
  detector_.Observe(tick, run_.model->topology);
  (void)detector_.TakeFinished();
  if (predictor_ == nullptr) {
    Tell(tick);
  } else if (!predictor_->Observe(tick, run_.model->topology, &forecast_).ok()) {
    return;
  }
  forecast_.tick = tick.tick;
  forecast_.period = tick.period;
  (void)loop_->Tick(forecast_, topology_);
  TakeDiagnoses(now_ns);
}

// The last diagnosis of a violation's culprit, or of its class, that is one.
void SeerManager::TakeDiagnoses(std::int64_t now_ns) {
  for (const ClassDiagnosis& found : loop_->diagnoses()) {
    const Diagnosis& diagnosis = found.diagnosis;
    if (diagnosis.cause == Cause::kUndecided) continue;
    if (diagnosis.culprit.valid()) {
      found_[diagnosis.culprit.value()] = {diagnosis.cause, now_ns + kStandsNs};
    }
    for (std::size_t i = 0; i < base_.truth.size(); ++i) {
      const Violation& v = base_.truth[i].violation;
      const bool same = v.culprit.valid() && diagnosis.culprit.valid()
                            ? v.culprit == diagnosis.culprit
                            : v.request_class == found.request_class ||
                                  (!v.culprit.valid() && !diagnosis.culprit.valid() &&
                                   EntryOf(v.request_class) == EntryOf(found.request_class));
      if (same && IsNear(v, now_ns, 1000 * kMsNs)) said_[i] = diagnosis.cause;
    }
  }
  // Those whose culprit is in hand already.
  for (std::size_t i = 0; i < base_.truth.size(); ++i) {
    const Violation& v = base_.truth[i].violation;
    if (said_[i] != Cause::kUndecided || !v.culprit.valid() || !IsNear(v, now_ns, kOnNs)) continue;
    const auto found = found_.find(v.culprit.value());
    if (found != found_.end() && now_ns <= found->second.second) {
      said_[i] = found->second.first;
    }
  }
}

}  // namespace

absl::StatusOr<std::unique_ptr<LoopManager>> MakeLoopManager(const PreparedRun& run, LoopArm arm,
                                                             const LoopResult& base,
                                                             const LoopOptions& options) {
  switch (arm) {
    case LoopArm::kNone:
      return nullptr;
    case LoopArm::kAutoscaler:
    case LoopArm::kRateLimit:
      return MakeLateManager(run, arm);
    default:
      break;
  }
  auto manager = std::make_unique<SeerManager>(run, arm, base, options);
  if (absl::Status status = manager->Start(); !status.ok()) return status;
  return manager;
}

}  // namespace seer::evaluation
