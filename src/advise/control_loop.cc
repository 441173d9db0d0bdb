#include "seer/advise/control_loop.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "advise/loop_impl.h"

SEER_BEGIN_NAMESPACE
namespace {

constexpr std::int64_t kQuietNs = 2'000'000'000;  // without alarm, before a baseline is learnt
constexpr std::size_t kMaxReports = 4096;

float LargestProbability(const ClassForecast& forecast) {
  float largest = 0;
  for (const HorizonProbability& row : forecast.horizons)
    largest = std::max(largest, row.probability);
  return largest;
}

}  // namespace

void ControlLoop::Impl::Audit(std::string line) const {
  if (!options_.audit) return;
  (void)internal::Guarded([&] {
    options_.audit(line);
    return absl::OkStatus();
  });
}

void ControlLoop::Impl::Report(const ActionTaken& taken) {
  internal::MutexLock lock(&mutex_);
  // A node that never stops: the oldest is the least.
  if (reports_.size() >= kMaxReports) reports_.pop_front();
  reports_.push_back(taken);
}

std::size_t ControlLoop::Impl::in_flight() const {
  return static_cast<std::size_t>(
      std::count_if(affairs_.begin(), affairs_.end(),
                    [](const auto& affair) { return affair.second.flight.has_value(); }));
}

LoopTick ControlLoop::Impl::Tick(bool killed) {
  if (predictor_ == nullptr) {
    LoopTick nothing;
    nothing.decided_nothing = true;
    return nothing;
  }
  predictor_->Predict(&forecast_);
  const std::shared_ptr<const Topology> topology = predictor_->topology();
  return Tick(forecast_, *topology, killed);
}

LoopTick ControlLoop::Impl::Tick(const Forecast& forecast, const Topology& topology, bool killed) {
  LoopTick tick;
  topology_ = &topology;
  tick_ = forecast.tick;
  diagnoses_.clear();
  now_ns_ = options_.clock->NowNs();
  steady_ns_ = options_.steady->NowNs();
  if (!origin_ || !origin_->SameNumbering(topology.origin())) {
    // Ids mean something else: what was found out about them is void. Actions end by themselves.
    if (origin_)
      Audit(internal::AuditEvent(now_ns_, "renumbered", "the topology has another epoch"));
    origin_ = topology.origin();
    watch_.Reset();
    if (!affairs_.empty()) UndoAll();
    affairs_.clear();
    arounds_.clear();
  }
  watch_.Count(topology);
  TakeReports();
  if (!MayDecide(forecast, killed)) {
    tick.decided_nothing = true;
    return tick;
  }

  alarms_.clear();
  for (const ClassForecast& row : forecast.classes) {
    if (row.alarm) alarms_.push_back(&row);
  }
  tick.alarms = alarms_.size();
  if (!affairs_.empty()) Judge(&tick);
  if (alarms_.empty()) {
    if (steady_ns_ - last_alarm_ns_ >= kQuietNs) Sample(&tick);
    return tick;
  }
  last_alarm_ns_ = steady_ns_;
  std::stable_sort(alarms_.begin(), alarms_.end(), [&](const auto* a, const auto* b) {
    const std::uint32_t pa = advisor_.Priority(topology, a->request_class);
    const std::uint32_t pb = advisor_.Priority(topology, b->request_class);
    return pa != pb ? pa > pb : LargestProbability(*a) > LargestProbability(*b);
  });
  for (const ClassForecast* row : alarms_) {
    const internal::Blamed blamed = BlamedBy(*row);
    Affair& affair = affairs_[blamed];
    // Touched by another class in this tick already, or not its turn.
    if (affair.touched_ns == steady_ns_) continue;
    if (affair.flight) {
      affair.touched_ns = steady_ns_;
      LookAfter(*row, &affair, &tick);
      continue;
    }
    if (steady_ns_ < affair.wait_until_ns) continue;
    affair.touched_ns = steady_ns_;
    blamed.load ? PursueLoad(*row, &affair, &tick) : Pursue(*row, &affair, &tick);
  }
  PursueAround(&tick);
  return tick;
}

internal::Blamed ControlLoop::Impl::BlamedBy(const ClassForecast& row) const {
  Blamed blamed;
  blamed.load = row.initiators.empty() || row.initiators.front().is_load();
  if (!blamed.load) {
    blamed.service = row.initiators.front().service.value();
  } else if (topology_->Has(row.request_class)) {
    blamed.service = topology_->request_class(row.request_class).entry.value();
  }
  return blamed;
}

bool ControlLoop::Impl::InDanger(const Blamed& blamed) const {
  return std::any_of(alarms_.begin(), alarms_.end(),
                     [&](const ClassForecast* row) { return BlamedBy(*row) == blamed; });
}

void ControlLoop::Impl::StopLooking() {
  for (auto& [blamed, affair] : affairs_) affair.open.reset();
  arounds_.clear();
}

bool ControlLoop::Impl::MayDecide(const Forecast& forecast, bool killed) {
  const std::int64_t offset = now_ns_ - steady_ns_;
  const bool jumped =
      started_ && std::abs(static_cast<double>(offset) - static_cast<double>(jump_from_ns_)) >
                      static_cast<double>(options_.max_clock_jump_ns);
  started_ = true;
  jump_from_ns_ = offset;
  if (killed != was_killed_) {
    was_killed_ = killed;
    Audit(internal::AuditEvent(now_ns_, killed ? "killed" : "resumed", "the host says so"));
    if (killed) UndoAll();
  }
  if (killed) return false;
  if (jumped) {
    StopLooking();
    Audit(internal::AuditEvent(now_ns_, "clock-jumped", "this tick decides nothing"));
    return false;
  }
  const bool known = forecast.period.Contains(forecast.tick) && !forecast.classes.empty();
  const double age = known ? static_cast<double>(now_ns_) -
                                 static_cast<double>(forecast.period.EndNs(forecast.tick))
                           : 0;
  const bool stale = known && std::abs(age) > static_cast<double>(options_.max_stale_ns);
  if (stale && !stale_) {
    Audit(internal::AuditEvent(now_ns_, "stale",
                               absl::StrCat("the forecast is of ", age / 1e6, " ms ago")));
  }
  if (stale) StopLooking();
  stale_ = stale;
  return !stale;
}

// ---- What is usual.

void ControlLoop::Impl::Sample(LoopTick* tick) {
  if (!options_.monitor) return;
  HwReading reading;
  // As many turns as have become due, and never more than all instances.
  for (InstanceId next = watch_.Next(*topology_, steady_ns_); next.valid();
       next = watch_.Next(*topology_, steady_ns_)) {
    if (!HasBudget()) return;
    const std::uint32_t service = topology_->instance(next).service.value();
    bool acted_on = false;  // not as usual
    for (auto affair = affairs_.lower_bound({service, false});
         affair != affairs_.end() && affair->first.service == service; ++affair) {
      acted_on = acted_on || (!affair->first.load && affair->second.flight.has_value());
    }
    if (acted_on) continue;
    bool fresh = false;
    // Readings that span an alarm are not of health: not longer than it has been quiet.
    const std::int64_t quiet =
        last_alarm_ns_ == 0 ? 4 * options_.sample_ns : steady_ns_ - last_alarm_ns_;
    if (watch_.Read(*topology_, next, steady_ns_, quiet, &reading, &fresh).ok()) {
      ++tick->read;
      if (fresh) watch_.Learn(next, reading);
    }
  }
}

absl::StatusOr<std::unique_ptr<ControlLoop>> ControlLoop::Create(
    Predictor* predictor, Advisor* advisor, const ControlLoopOptions& options) {
  if (advisor == nullptr) return absl::InvalidArgumentError("advisor: needed: give a RuleAdvisor");
  if (!options.shadow && !options.act) {
    return absl::InvalidArgumentError(
        "act: needed unless shadow: give what sends a recommendation");
  }
  if (options.min_read_ns < 0 || options.read_ns < options.min_read_ns) {
    return absl::InvalidArgumentError("min_read_ns: give 0 to read_ns");
  }
  const std::pair<const char*, std::int64_t> times[] = {
      {"sample_ns", options.sample_ns},
      {"max_stale_ns", options.max_stale_ns},
      {"max_clock_jump_ns", options.max_clock_jump_ns},
      {"report_timeout_ns", options.report_timeout_ns},
      {"budget_ns", options.budget_ns}};
  for (const auto& [name, time] : times) {
    if (time <= 0) return absl::InvalidArgumentError(absl::StrCat(name, ": give a time above 0"));
  }
  if (options.max_in_flight == 0) {
    return absl::InvalidArgumentError("max_in_flight: give at least 1");
  }
  if (options.max_instances == 0) {
    return absl::InvalidArgumentError("max_instances: give at least 1");
  }
  if (options.max_on_path == 0) {
    return absl::InvalidArgumentError("max_on_path: give at least 1");
  }
  return std::unique_ptr<ControlLoop>(
      new ControlLoop(std::make_unique<Impl>(predictor, advisor, options)));
}

ControlLoop::ControlLoop(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
ControlLoop::~ControlLoop() = default;
LoopTick ControlLoop::Tick() { return impl_->Tick(killed()); }
LoopTick ControlLoop::Tick(const Forecast& forecast, const Topology& topology) {
  return impl_->Tick(forecast, topology, killed());
}
void ControlLoop::Report(const ActionTaken& taken) { impl_->Report(taken); }
const StallBaseline* ControlLoop::baseline(InstanceId instance) const {
  return impl_->watch().baseline(instance);
}
void ControlLoop::SetBaseline(InstanceId instance, const StallBaseline& baseline) {
  impl_->watch().SetBaseline(instance, baseline);
}
std::size_t ControlLoop::in_flight() const { return impl_->in_flight(); }
const std::vector<ClassDiagnosis>& ControlLoop::diagnoses() const { return impl_->diagnoses(); }

SEER_END_NAMESPACE
