#include "predict/window_intake.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "seer/core/internal/status_macros.h"
#include "seer/window/labels.h"

SEER_BEGIN_NAMESPACE
namespace internal {
namespace {

constexpr std::size_t kMostRows = 20'000, kMostViolations = 1024, kMostAlarms = 4096;
constexpr std::size_t kMostActions = 1024, kMostSlots = 1 << 16;
constexpr std::int64_t kLead = 2'000'000'000;    // an alarm is a hit so long before
constexpr std::int64_t kEffect = 5'000'000'000;  // an action may avoid what would start so soon
constexpr float kSpread = 4;  // of the builder's values, so that no depth is cut off

Normalizer OnlyCompressed(const WindowInputs& inputs) {
  Normalizer normalizer;
  for (const WindowInput& input : inputs.list()) {
    normalizer.inputs.push_back(WindowInputName(input));
    normalizer.common.push_back({0, kSpread});
  }
  return normalizer;
}

std::int16_t Packed(float value) {
  const float scaled = std::clamp(value * kSpread * ReplayWindow::kScale, -32767.0f, 32767.0f);
  return static_cast<std::int16_t>(std::lrint(scaled));
}

// As NormalizerFitter has it: the quartiles' width, or the tail's where most values are the same.
Normalizer::Scale ScaleOf(std::vector<std::int16_t>* values) {
  const auto at = [&](double q) {
    const auto nth =
        values->begin() + static_cast<std::ptrdiff_t>(q * static_cast<double>(values->size() - 1));
    std::nth_element(values->begin(), nth, values->end());
    return static_cast<double>(*nth) / static_cast<double>(ReplayWindow::kScale);
  };
  const double middle = at(0.5);
  Normalizer::Scale scale;
  scale.middle = static_cast<float>(middle);
  scale.spread = static_cast<float>(
      std::max({(at(0.75) - at(0.25)) / 1.349, (at(0.95) - middle) / 1.645, 0.05}));
  return scale;
}

}  // namespace

WindowIntake::WindowIntake(const ModelInputs& inputs, std::vector<std::string> services,
                           std::size_t ticks, const IntakeOptions& options)
    : inputs_(inputs),
      ticks_(ticks),
      options_(options),
      services_(std::move(services)),
      labeller_({}, &topology_) {}

void WindowIntake::Forget() {
  rows_.clear();
  labelled_ = 0;
  violations_.clear();
  detector_ = ViolationDetector();
  alarm_log_.clear();
  builder_.reset();
}

absl::Status WindowIntake::UseTopology(const Topology& topology) {
  if (started_ && topology.origin().epoch != topology_.origin().epoch) Forget();
  topology_ = topology;
  started_ = true;
  // Every live service has a slot for good; those of the model have the first ones.
  std::vector<ServiceId> order;
  std::vector<std::string> live;
  slot_of_row_.clear();
  slot_of_service_.assign(topology.services().size(), -1);
  for (std::size_t s = 0; s < services_.size(); ++s) {
    if (const auto id = topology.FindService(services_[s])) {
      slot_of_service_[id->index()] = static_cast<std::int32_t>(s);
    }
  }
  for (std::size_t i = 0; i < topology.services().size(); ++i) {
    if (topology.services()[i].removed) continue;
    if (slot_of_service_[i] < 0 && services_.size() < kMostSlots) {
      slot_of_service_[i] = static_cast<std::int32_t>(services_.size());
      services_.push_back(topology.services()[i].name);
    }
    if (slot_of_service_[i] < 0) continue;
    live.push_back(topology.services()[i].name);
    order.push_back(ServiceId(static_cast<std::uint32_t>(i)));
    slot_of_row_.push_back(static_cast<std::size_t>(slot_of_service_[i]));
  }
  classes_.assign(inputs_.classes.size(), ClassId());
  std::vector<std::string> way;
  members_.Use(topology, false);
  for (std::size_t c = 0; c < topology.classes().size(); ++c) {
    if (topology.classes()[c].removed) continue;
    const ClassId id(static_cast<std::uint32_t>(c));
    for (const std::uint32_t service : members_.Of(id)) {
      way.push_back(topology.services()[service].name);
    }
    for (std::size_t m = 0; m < classes_.size(); ++m) {
      if (inputs_.classes[m] == topology.classes()[c].name) classes_[m] = id;
    }
  }
  std::sort(way.begin(), way.end());
  way.erase(std::unique(way.begin(), way.end()), way.end());
  std::sort(live.begin(), live.end());
  if (way != on_the_way_ || live != live_) {
    if (way != on_the_way_ && !on_the_way_.empty()) ++version_;
    on_the_way_ = std::move(way);
    live_ = std::move(live);
    on_the_way_since_ns_ = newest_ns_;
  }
  if (order.empty()) {
    builder_.reset();
    return absl::OkStatus();
  }
  SEER_ASSIGN_OR_RETURN(builder_, WindowBuilder::Create(topology, order, 1, inputs_.inputs,
                                                        OnlyCompressed(inputs_.inputs)));
  return absl::OkStatus();
}

absl::Status WindowIntake::Observe(const ClusterTick& tick, const Topology& topology) {
  if (tick.period != inputs_.period) {
    return absl::InvalidArgumentError(absl::StrCat("retrainer: a tick of ", tick.period.ns(),
                                                   " ns, where the model has ", inputs_.period.ns(),
                                                   ": use one period"));
  }
  if (!tick.period.Contains(tick.tick) || tick.services.size() > topology.services().size() ||
      tick.edges.size() > topology.edges().size() ||
      tick.classes.size() > topology.classes().size()) {
    return absl::InvalidArgumentError(
        "retrainer: the tick does not fit the topology: hand over the one that numbers it");
  }
  if (!rows_.empty() && tick.tick <= rows_.back().tick) {
    return absl::InvalidArgumentError(absl::StrCat("retrainer: tick ", tick.tick,
                                                   " is not later than ", rows_.back().tick,
                                                   ": hand over ticks in order"));
  }
  newest_ns_ = tick.period.EndNs(tick.tick);
  if (!started_ || topology.version() != topology_.version() ||
      topology.origin().epoch != topology_.origin().epoch) {
    SEER_RETURN_IF_ERROR(UseTopology(topology));
  }
  if (options_.find_violations) {
    detector_.Observe(tick, topology_);
    labeller_.Observe(tick);
    TakeViolations();
  }
  PushRow(tick);
  LabelRows();
  return absl::OkStatus();
}

void WindowIntake::TakeViolations() {
  for (const Violation& violation : detector_.TakeFinished()) Merge(violation);
  for (const Violation& violation : detector_.open()) Merge(violation);
  for (const LabelledViolation& label : labeller_.Take()) {
    for (Violation& known : violations_) {
      if (known.request_class != label.violation.request_class ||
          known.start_ns != label.violation.start_ns) {
        continue;
      }
      known.initiation = label.violation.initiation;
      known.culprit = label.violation.culprit;
      known.confidence = label.violation.confidence;
    }
  }
}

void WindowIntake::Merge(const Violation& violation) {
  for (Violation& known : violations_) {
    if (known.request_class != violation.request_class || known.start_ns != violation.start_ns) {
      continue;
    }
    const Violation before = known;
    known = violation;
    if (violation.initiation == Initiation::kUnknown) {
      known.initiation = before.initiation;
      known.culprit = before.culprit;
      known.confidence = before.confidence;
    }
    return;
  }
  const auto at = std::upper_bound(
      violations_.begin(), violations_.end(), violation,
      [](const Violation& a, const Violation& b) { return a.start_ns < b.start_ns; });
  violations_.insert(at, violation);
  if (violations_.size() > kMostViolations) violations_.erase(violations_.begin());
}

void WindowIntake::NoteViolation(const Violation& violation) { Merge(violation); }

void WindowIntake::NoteAction(const ActionTaken& action) {
  // What changed nothing avoided nothing; the other outcomes tell how an action ended.
  if (action.outcome != ActionOutcome::kApplied || action.action == Action::kReport) return;
  actions_.push_back({action.time_ns, action.target.service});
  if (actions_.size() > kMostActions) actions_.pop_front();
}

void WindowIntake::NoteForecast(const Forecast& forecast) {
  if (!forecast.period.Contains(forecast.tick)) return;
  const std::int64_t now_ns = forecast.period.EndNs(forecast.tick);
  for (const ClassForecast& row : forecast.classes) {
    if (!row.alarm) continue;
    Alarm* same = nullptr;
    for (auto alarm = alarm_log_.rbegin(); alarm != alarm_log_.rend() && same == nullptr; ++alarm) {
      if (alarm->request_class == row.request_class) same = &*alarm;
    }
    // One that lasts counts anew every 2 s.
    if (same != nullptr && now_ns - same->last_ns <= 2 * forecast.period.ns() &&
        now_ns - same->start_ns < kLead) {
      same->last_ns = now_ns;
      continue;
    }
    alarm_log_.push_back({row.request_class, now_ns, now_ns, false});
    if (alarm_log_.size() > kMostAlarms) alarm_log_.pop_front();
  }
}

void WindowIntake::PushRow(const ClusterTick& tick) {
  if (!rows_.empty()) {
    const auto gap =
        static_cast<std::uint64_t>(tick.tick) - static_cast<std::uint64_t>(rows_.back().tick) - 1;
    if (gap >= ticks_) {  // no window spans it
      rows_.clear();
      labelled_ = 0;
    }
    for (std::uint64_t i = 0; i < gap && gap < ticks_; ++i) {
      rows_.push_back({rows_.back().tick + 1, 0, true, {}});
    }
  }
  Row row;
  row.tick = tick.tick;
  row.calm = std::none_of(violations_.begin(), violations_.end(), [&](const Violation& v) {
    return v.open || v.end_ns >= newest_ns_ - kLead;
  });
  if (builder_) {
    builder_->Push(tick, topology_);
    const Window& window = builder_->window();
    const std::size_t each = inputs_.inputs.size();
    row.slots = services_.size();
    row.values.assign(row.slots * each, ReplayWindow::kMissing);
    for (std::size_t i = 0; i < slot_of_row_.size(); ++i) {
      for (std::size_t c = 0; c < each; ++c) {
        if (window.seen[i * each + c] == 0) continue;
        row.values[slot_of_row_[i] * each + c] = Packed(window.values[i * each + c]);
      }
    }
  }
  rows_.push_back(std::move(row));
}

void WindowIntake::LabelRows() {
  const std::int64_t period = inputs_.period.ns();
  const std::int64_t due_ns = newest_ns_ - options_.label_delay_ns;
  std::int64_t reach_ns = inputs_.initiator_horizon_ns;
  for (const std::int64_t horizon : inputs_.horizons_ns) reach_ns = std::max(reach_ns, horizon);
  while (labelled_ < rows_.size()) {
    const std::int64_t end_ns = inputs_.period.EndNs(rows_[labelled_].tick);
    if (end_ns + reach_ns > due_ns) break;
    LabelRow(labelled_, newest_ns_);
    ++labelled_;
  }
  JudgeAlarms(due_ns);
  const std::int64_t kept_ns = std::max(options_.recent_ns, options_.label_delay_ns + reach_ns);
  const std::size_t most =
      std::min(static_cast<std::size_t>(kept_ns / period) + ticks_ + 2, kMostRows);
  while (rows_.size() > most && labelled_ > ticks_) {
    rows_.pop_front();
    --labelled_;
  }
  const std::int64_t oldest_ns = inputs_.period.StartNs(rows_.front().tick) - kLead;
  while (!violations_.empty() && !violations_.front().open &&
         violations_.front().end_ns < oldest_ns) {
    violations_.erase(violations_.begin());
  }
  while (!actions_.empty() && actions_.front().at_ns < oldest_ns - kEffect) actions_.pop_front();
}

const WindowIntake::Acted* WindowIntake::ActionNear(std::int64_t from_ns,
                                                    std::int64_t to_ns) const {
  for (const Acted& action : actions_) {
    if (action.at_ns >= from_ns && action.at_ns <= to_ns) return &action;
  }
  return nullptr;
}

double WindowIntake::AvoidedWeight() const {
  // How often alarms are right, where nobody acted on them and that could be seen.
  const double judged = static_cast<double>(alarms_.hits + alarms_.false_alarms);
  if (judged < 10) return options_.avoided_weight;
  return std::clamp(static_cast<double>(alarms_.hits) / judged, 0.05, 0.95);
}

void WindowIntake::LabelRow(std::size_t i, std::int64_t known_until_ns) {
  if (i + 1 < ticks_ || rows_[i].values.empty()) return;
  LabelRange range;
  range.first = rows_[i].tick;
  range.ticks = 1;
  range.period = inputs_.period;
  range.known_until_ns = known_until_ns;
  const std::int64_t end_ns = inputs_.period.EndNs(range.first);
  std::vector<TickLabel> labels;
  ReplayWindow window;
  bool ahead = false, something = false;
  LabelTicks(range, violations_, {inputs_.initiator_horizon_ns}, ClassId(), &labels);
  const TickLabel any = labels.front();
  if ((any.known & 1) != 0 && (any.starts & 1) == 0) window.initiator = ReplayWindow::kNoViolation;
  if ((any.known & any.starts & 1) != 0 && any.next >= 0) {
    ahead = true;
    const Violation& next = violations_[static_cast<std::size_t>(any.next)];
    if (next.initiation == Initiation::kLoad) window.initiator = ReplayWindow::kLoad;
    if (next.initiation == Initiation::kService && next.culprit.valid() &&
        next.culprit.index() < slot_of_service_.size() &&
        slot_of_service_[next.culprit.index()] >= 0) {
      window.initiator = slot_of_service_[next.culprit.index()];
    }
    if (window.initiator != ReplayWindow::kUnknown && next.confidence > 0) {
      window.weight = std::clamp(next.confidence, 0.05f, 1.0f);
    }
  }
  for (const ClassId id : classes_) {
    std::int32_t hazard = -1;
    if (id.valid()) {
      LabelTicks(range, violations_, inputs_.horizons_ns, id, &labels);
      std::size_t k = 0;
      while (k < inputs_.horizons_ns.size() && (labels[0].known >> k & 1) != 0 &&
             (labels[0].starts >> k & 1) == 0) {
        ++k;
      }
      if (k == inputs_.horizons_ns.size() || (labels[0].known >> k & 1) != 0) {
        hazard = static_cast<std::int32_t>(k);
        ahead = ahead || k < inputs_.horizons_ns.size();
      }
    }
    something = something || hazard >= 0;
    window.hazards.push_back(hazard);
  }
  // Where somebody acted nobody knows what would have come: not nothing, at any rate.
  if (!ahead) {
    if (const Acted* const action = ActionNear(end_ns - kEffect, end_ns + kLead)) {
      std::fill(window.hazards.begin(), window.hazards.end(), -1);
      something = false;
      window.initiator = ReplayWindow::kUnknown;
      const auto service = topology_.FindService(action->service);
      if (action->at_ns > end_ns && service && slot_of_service_[service->index()] >= 0) {
        window.initiator = slot_of_service_[service->index()];
        window.weight = static_cast<float>(AvoidedWeight());
        ahead = true;
      }
    }
  }
  if (window.initiator == ReplayWindow::kUnknown && !something) return;
  if (!ahead && calm_seen_++ % std::max(1u, options_.calm_every) != 0) return;
  window.end_ns = end_ns;
  window.version = version_;
  window.slots = rows_[i].slots;
  const std::size_t each = window.slots * inputs_.inputs.size();
  window.values.assign(ticks_ * each, ReplayWindow::kMissing);
  for (std::size_t t = 0; t < ticks_; ++t) {
    const std::vector<std::int16_t>& from = rows_[i + 1 - ticks_ + t].values;
    std::copy_n(from.begin(), std::min(from.size(), each),
                window.values.begin() + static_cast<std::ptrdiff_t>(t * each));
  }
  known_.push_back(std::move(window));
  if (known_.size() > options_.most_waiting) {
    known_.pop_front();
    ++dropped_;
  }
}

void WindowIntake::JudgeAlarms(std::int64_t known_until_ns) {
  const std::int64_t until_ns = known_until_ns - kLead;
  for (const Violation& violation : violations_) {
    if (violation.start_ns <= judged_until_ns_ || violation.start_ns > until_ns) continue;
    const bool warned = std::any_of(alarm_log_.begin(), alarm_log_.end(), [&](const Alarm& alarm) {
      return alarm.request_class == violation.request_class &&
             alarm.start_ns < violation.start_ns && alarm.last_ns >= violation.start_ns - kLead;
    });
    alarms_.missed += warned ? 0 : 1;
  }
  for (Alarm& alarm : alarm_log_) {
    if (alarm.judged || alarm.start_ns > until_ns) continue;
    alarm.judged = true;
    if (ActionNear(alarm.start_ns, alarm.start_ns + kLead) != nullptr) continue;
    bool hit = false, during = false;
    for (const Violation& violation : violations_) {
      if (violation.request_class != alarm.request_class) continue;
      hit = hit ||
            (violation.start_ns > alarm.start_ns && violation.start_ns <= alarm.start_ns + kLead);
      during = during || (alarm.start_ns >= violation.start_ns &&
                          (violation.open || alarm.start_ns <= violation.end_ns + kLead / 4));
    }
    if (hit) {
      ++alarms_.hits;
    } else if (!during) {
      ++alarms_.false_alarms;
    }
  }
  judged_until_ns_ = std::max(judged_until_ns_, until_ns);
  while (!alarm_log_.empty() && alarm_log_.front().last_ns < until_ns - 2 * kLead) {
    alarm_log_.pop_front();
  }
}

std::vector<ReplayWindow> WindowIntake::Take() {
  std::vector<ReplayWindow> taken(std::make_move_iterator(known_.begin()),
                                  std::make_move_iterator(known_.end()));
  known_.clear();
  return taken;
}

std::vector<Normalizer::Scale> WindowIntake::RecentScales() const {
  constexpr std::size_t kFewest = 100;
  const std::size_t each = inputs_.inputs.size();
  const auto most = static_cast<std::size_t>(options_.recent_ns / inputs_.period.ns());
  std::vector<Normalizer::Scale> scales(services_.size() * each, {0, 0});
  std::vector<std::int16_t> values;
  const std::size_t first = rows_.size() > most ? rows_.size() - most : 0;
  for (std::size_t i = 0; i < scales.size(); ++i) {
    values.clear();
    for (std::size_t r = first; r < rows_.size(); ++r) {
      const Row& row = rows_[r];
      if (!row.calm || i >= row.values.size() || row.values[i] == ReplayWindow::kMissing) continue;
      values.push_back(row.values[i]);
    }
    if (values.size() >= std::min(kFewest, most)) scales[i] = ScaleOf(&values);
  }
  return scales;
}

}  // namespace internal
SEER_END_NAMESPACE
