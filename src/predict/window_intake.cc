#include "predict/window_intake.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "predict/replay_state.h"
#include "predict/tick_order.h"
#include "predict/tick_state.h"
#include "seer/core/internal/status_macros.h"
#include "seer/core/wire.h"
#include "seer/window/labels.h"

SEER_BEGIN_NAMESPACE
namespace internal {
namespace {

constexpr std::size_t kMostRows = 20'000, kMostSlots = 1 << 16;
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

bool AnyChange(const WindowInputs& inputs) {
  const auto list = inputs.list();
  return std::any_of(list.begin(), list.end(), [](const WindowInput& each) { return each.delta; });
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
      changes_(AnyChange(inputs.inputs)),
      ticks_(ticks),
      options_(options),
      services_(std::move(services)),
      events_(&topology_, options.find_violations, options.avoided_weight) {}

void WindowIntake::Forget() {
  rows_.clear();
  labelled_ = 0;
  events_.Clear();
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
  on_the_way_since_ns_ = std::min(on_the_way_since_ns_, newest_ns_);  // a clock that was put back
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
  if (!IsTime(tick.period.EndNs(tick.tick))) {
    return absl::InvalidArgumentError(absl::StrCat(
        "retrainer: tick ", tick.tick, " ends before 1896 or after 2116: check the clock"));
  }
  const bool anew = !started_ || topology.origin().epoch != topology_.origin().epoch;
  if (!anew && !rows_.empty() && tick.tick <= rows_.back().tick) {
    return absl::InvalidArgumentError(absl::StrCat("retrainer: tick ", tick.tick,
                                                   " is not later than ", rows_.back().tick,
                                                   ": hand over ticks in order"));
  }
  newest_ns_ = tick.period.EndNs(tick.tick);
  if (anew || topology.version() != topology_.version()) {
    SEER_RETURN_IF_ERROR(UseTopology(topology));
  }
  if (changes_) last_tick_ = tick;
  events_.Observe(tick);
  PushRow(tick);
  LabelRows();
  return absl::OkStatus();
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
      rows_.push_back({rows_.back().tick + 1, 0, true, nullptr});
    }
  }
  Row row;
  row.tick = tick.tick;
  row.calm = std::none_of(
      events_.violations().begin(), events_.violations().end(),
      [&](const Violation& v) { return v.open || v.end_ns >= newest_ns_ - EventLog::kLead; });
  if (builder_) {
    builder_->Push(tick, topology_);
    const Window& window = builder_->window();
    const std::size_t each = inputs_.inputs.size();
    row.slots = services_.size();
    std::vector<std::int16_t> values(row.slots * each, ReplayWindow::kMissing);
    for (std::size_t i = 0; i < slot_of_row_.size(); ++i) {
      for (std::size_t c = 0; c < each; ++c) {
        if (window.seen[i * each + c] == 0) continue;
        values[slot_of_row_[i] * each + c] = Packed(window.values[i * each + c]);
      }
    }
    row.values = std::make_shared<const std::vector<std::int16_t>>(std::move(values));
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
  events_.JudgeAlarms(due_ns);
  const std::int64_t kept_ns = std::max(options_.recent_ns, options_.label_delay_ns + reach_ns);
  const std::size_t most =
      std::min(static_cast<std::size_t>(kept_ns / period) + ticks_ + 2, kMostRows);
  while (rows_.size() > most && labelled_ > ticks_) {
    rows_.pop_front();
    --labelled_;
  }
  events_.ForgetBefore(inputs_.period.StartNs(rows_.front().tick) - EventLog::kLead);
}

void WindowIntake::LabelRow(std::size_t i, std::int64_t known_until_ns) {
  if (i + 1 < ticks_ || rows_[i].values == nullptr) return;
  LabelRange range;
  range.first = rows_[i].tick;
  range.ticks = 1;
  range.period = inputs_.period;
  range.known_until_ns = known_until_ns;
  const std::int64_t end_ns = inputs_.period.EndNs(range.first);
  std::vector<TickLabel> labels;
  ReplayWindow window;
  bool ahead = false, something = false;
  LabelTicks(range, events_.violations(), {inputs_.initiator_horizon_ns}, ClassId(), &labels);
  const TickLabel any = labels.front();
  if ((any.known & 1) != 0 && (any.starts & 1) == 0) window.initiator = ReplayWindow::kNoViolation;
  if ((any.known & any.starts & 1) != 0 && any.next >= 0) {
    ahead = true;
    const Violation& next = events_.violations()[static_cast<std::size_t>(any.next)];
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
      LabelTicks(range, events_.violations(), inputs_.horizons_ns, id, &labels);
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
    if (const auto* const action =
            events_.ActionNear(end_ns - EventLog::kEffect, end_ns + EventLog::kLead)) {
      std::fill(window.hazards.begin(), window.hazards.end(), -1);
      something = false;
      window.initiator = ReplayWindow::kUnknown;
      const auto service = topology_.FindService(action->service);
      if (action->at_ns > end_ns && service && slot_of_service_[service->index()] >= 0) {
        window.initiator = slot_of_service_[service->index()];
        window.weight = static_cast<float>(events_.AvoidedWeight());
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
    const RecentRows::Values& from = rows_[i + 1 - ticks_ + t].values;
    if (from == nullptr) continue;
    std::copy_n(from->begin(), std::min(from->size(), each),
                window.values.begin() + static_cast<std::ptrdiff_t>(t * each));
  }
  known_bytes_ += BytesOf(window);
  known_.push_back(std::move(window));
  while (known_.size() > options_.most_waiting || known_bytes_ > options_.most_waiting_bytes) {
    known_bytes_ -= BytesOf(known_.front());
    known_.pop_front();
    ++dropped_;
  }
}

std::vector<ReplayWindow> WindowIntake::Take() {
  std::vector<ReplayWindow> taken(std::make_move_iterator(known_.begin()),
                                  std::make_move_iterator(known_.end()));
  known_.clear();
  known_bytes_ = 0;
  return taken;
}

RecentRows WindowIntake::Recent() const {
  constexpr std::size_t kFewest = 100;
  const auto most = static_cast<std::size_t>(options_.recent_ns / inputs_.period.ns());
  RecentRows recent;
  recent.columns = services_.size() * inputs_.inputs.size();
  recent.fewest = std::max<std::size_t>(1, std::min(kFewest, most));
  for (std::size_t r = rows_.size() > most ? rows_.size() - most : 0; r < rows_.size(); ++r) {
    if (rows_[r].calm && rows_[r].values != nullptr) recent.rows.push_back(rows_[r].values);
  }
  return recent;
}

std::vector<Normalizer::Scale> RecentRows::Scales() const {
  std::vector<Normalizer::Scale> scales(columns, {0, 0});
  std::vector<std::int16_t> values;
  for (std::size_t i = 0; i < columns; ++i) {
    values.clear();
    for (const Values& row : rows) {
      if (i < row->size() && (*row)[i] != ReplayWindow::kMissing) values.push_back((*row)[i]);
    }
    if (values.size() >= fewest) scales[i] = ScaleOf(&values);
  }
  return scales;
}

void WindowIntake::State(StateIo& io) {
  io.List(services_, 8, [&](std::string& name) { io(name); });
  io.List(on_the_way_, 8, [&](std::string& name) { io(name); });
  io.List(live_, 8, [&](std::string& name) { io(name); });
  io(version_), io(calm_seen_), io(dropped_);
  io(on_the_way_since_ns_), io(newest_ns_);
  RequireTime(io, on_the_way_since_ns_), RequireTime(io, newest_ns_);
  io.Require(services_.size() <= kMostSlots, "more services than there are places");
  io.Require(std::is_sorted(on_the_way_.begin(), on_the_way_.end()) &&
                 std::is_sorted(live_.begin(), live_.end()),
             "names that are not in order");
  std::string topology = started_ ? Encode(topology_) : "";
  io(topology);
  if (io.loading() && io.ok() && !topology.empty()) {
    started_ = DecodeTo(topology, &topology_).ok();
    io.Require(started_, "a topology that is none");
  }
  std::size_t rows = rows_.size();
  if (!io.Count(&rows, 25)) return;
  if (io.loading()) rows_.resize(rows);
  io.Require(rows <= kMostRows + ticks_, "more ticks than are kept");
  for (std::size_t i = 0; i < rows && io.ok(); ++i) {
    Row& row = rows_[i];
    std::vector<std::int16_t> values;
    if (row.values != nullptr) values = *row.values;
    io(row.tick), io(row.slots), io(row.calm), io(values);
    io.Require(inputs_.period.Contains(row.tick), "a tick that cannot be");
    io.Require(i == 0 || row.tick == rows_[i - 1].tick + 1, "ticks that do not follow");
    io.Require(row.slots <= services_.size() &&
                   (values.empty() || values.size() == row.slots * inputs_.inputs.size()),
               "a tick of other services");
    if (!io.loading() || values.empty()) continue;
    row.values = std::make_shared<const std::vector<std::int16_t>>(std::move(values));
  }
  io(labelled_);
  io.Require(labelled_ <= rows, "more ticks labelled than there are");
  io.List(known_, kLeastReplayWindow, [&](ReplayWindow& window) {
    ReplayWindowState(io, window);
    known_bytes_ += io.loading() ? BytesOf(window) : 0;
  });
  io.Require(known_.size() <= options_.most_waiting && known_bytes_ <= options_.most_waiting_bytes,
             "more windows than wait");
  bool last = changes_ && started_;
  io(last);
  io.Require(last == (changes_ && started_), "of other inputs");
  if (last && io.ok()) TickState(io, last_tick_);
  events_.State(io);
}

absl::Status WindowIntake::Rebuild() {
  if (!started_) return absl::OkStatus();
  const Topology topology = topology_;
  SEER_RETURN_IF_ERROR(UseTopology(topology));
  if (!changes_ || !builder_) return absl::OkStatus();
  if (last_tick_.period != inputs_.period ||
      last_tick_.services.size() > topology_.services().size() ||
      last_tick_.edges.size() > topology_.edges().size() ||
      last_tick_.classes.size() > topology_.classes().size()) {
    return absl::InvalidArgumentError(
        "retrainer state: its last tick does not fit its topology: take another copy");
  }
  builder_->Push(last_tick_, topology_);
  return absl::OkStatus();
}

}  // namespace internal
SEER_END_NAMESPACE
