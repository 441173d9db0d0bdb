#include "seer/predict/model_predictor.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "predict/alarm_state.h"
#include "predict/class_members.h"
#include "predict/predictor_state.h"
#include "predict/tick_order.h"
#include "predict/tick_state.h"
#include "seer/core/internal/state_io.h"
#include "seer/core/internal/status_macros.h"
#include "seer/nn/backend.h"
#include "seer/predict/model_inputs.h"
#include "seer/window/window_builder.h"

SEER_BEGIN_NAMESPACE
namespace {

constexpr std::size_t kMostEvidence = 4;
constexpr std::size_t kMaskedServices = 2;

class ModelPredictor final : public TickPredictor {
 public:
  ModelPredictor(const ModelPredictorOptions& options, ModelInputs inputs,
                 ModelCalibration calibration, std::vector<ServiceSlot> services,
                 std::unique_ptr<InferenceEngine> engine, std::unique_ptr<TickSession> session,
                 std::unique_ptr<Workspace> workspace)
      : options_(options),
        inputs_(std::move(inputs)),
        calibration_(calibration),
        services_(std::move(services)),
        engine_(std::move(engine)),
        session_(std::move(session)),
        workspace_(std::move(workspace)),
        row_values_(services_.size() * inputs_.inputs.size()) {
    const Network& network = engine_->network();
    row_.resize(row_values_);
    history_.resize(network.window_values());
    window_.resize(network.window_values());
    outputs_.resize(network.outputs());
    masked_.resize(network.outputs());
    top_.reserve(options_.max_initiators + 1);
    for (const WindowInput& input : inputs_.inputs.list()) keep_tick_ = keep_tick_ || input.delta;
  }

  std::string_view name() const override { return options_.name; }

  absl::Status Observe(const ClusterTick& tick, const Topology& topology,
                       Forecast* forecast) override {
    SEER_RETURN_IF_ERROR(order_.Check(tick, topology));
    if (tick.period != inputs_.period) {
      return absl::InvalidArgumentError(absl::StrCat("tick.period is ", tick.period.ns(),
                                                     " ns, the model was trained with ",
                                                     inputs_.period.ns(), ": use that period"));
    }
    const bool anew = order_.IsAnew(tick, topology);
    if (anew || order_.RowsChanged(topology)) {
      std::vector<ServiceId> ids;
      std::vector<std::size_t> places;
      FindServices(topology, &ids, &places);
      if (ids.empty()) {
        return absl::InvalidArgumentError(
            absl::StrCat("topology: has none of the model's ", services_.size(),
                         " services: the model is of another application"));
      }
      if (anew || ids != ids_) {
        // Deltas need the tick before: with other services there is none.
        auto builder = WindowBuilder::Create(topology, ids, 1, inputs_.inputs, inputs_.normalizer);
        if (!builder.ok()) return builder.status();
        if (anew) Reset();
        builder_ = *std::move(builder);
        ids_ = std::move(ids);
        places_ = std::move(places);
      }
      UseRows(topology);
    }

    const auto gap = static_cast<std::size_t>(
        std::min(order_.Gap(tick), static_cast<double>(engine_->network().config().ticks)));
    order_.Advance(tick, topology);
    std::fill(row_.begin(), row_.end(), 0.0f);
    for (std::size_t i = 0; i < gap; ++i) SEER_RETURN_IF_ERROR(Push(false));
    builder_->Push(tick, topology);
    if (keep_tick_) last_tick_ = tick;
    const Window& window = builder_->window();
    const std::size_t each = inputs_.inputs.size();
    bool seen = false;
    for (std::size_t i = 0; i < places_.size(); ++i) {
      std::copy_n(&window.values[i * each], each, &row_[places_[i] * each]);
      for (std::size_t c = 0; c < each; ++c) seen = seen || window.seen[i * each + c] != 0;
    }
    SEER_RETURN_IF_ERROR(Push(seen));
    Write(tick, topology, forecast);
    return absl::OkStatus();
  }

  void Reset() override {
    order_.Reset();
    session_->Reset();
    std::fill(history_.begin(), history_.end(), 0.0f);
    newest_ = 0;
    filled_ = 0;
    blind_ = 0;
    ids_.clear();
    builder_.reset();
    for (ClassState& each : classes_) each = ClassState();
  }

  absl::Status SaveState(std::string* bytes) override {
    return internal::SavePredictor(bytes, [this](internal::StateIo& io) { State(io); });
  }
  absl::Status LoadState(std::string_view bytes, const Topology& topology) override {
    return internal::LoadPredictor(
        bytes, topology, order_, this, [this](internal::StateIo& io) { State(io); },
        [&] { return Rebuild(topology); });
  }

 private:
  struct ClassState {
    AlarmLatch latch;
    std::size_t hazards = kNone;  // the class's place among the network's
  };
  struct Top {
    std::size_t place;  // in the model's order
    ServiceId service;
    double probability;
  };
  static constexpr std::size_t kNone = static_cast<std::size_t>(-1);

  // The session is not part of it: it is what the rows of the history make it.
  void State(internal::StateIo& io) {
    order_.State(io);
    std::uint64_t newest = newest_, filled = filled_, blind = blind_;
    io(newest), io(filled), io(blind);
    const std::size_t ticks = engine_->network().config().ticks, values = history_.size();
    io.Require(newest < ticks && filled <= ticks && blind <= ticks, "model: of another window");
    io(history_), io(ids_);
    std::vector<std::uint32_t> places(places_.begin(), places_.end());
    io(places);
    io.List(classes_, 9, [&](ClassState& each) { internal::AlarmState(io, each.latch); });
    if (keep_tick_) internal::TickState(io, last_tick_);
    io.Require(history_.size() == values && places.size() == ids_.size(),
               "model: of other services or inputs");
    for (const std::uint32_t place : places) {
      io.Require(place < services_.size(), "model: of other services");
    }
    history_.resize(values);
    if (!io.loading() || !io.ok()) return;
    newest_ = static_cast<std::size_t>(newest);
    filled_ = static_cast<std::size_t>(filled);
    blind_ = static_cast<std::size_t>(blind);
    places_.assign(places.begin(), places.end());
  }

  // After the state was loaded: everything that follows from it.
  absl::Status Rebuild(const Topology& topology) {
    if (!order_.started()) return absl::OkStatus();
    auto builder = WindowBuilder::Create(topology, ids_, 1, inputs_.inputs, inputs_.normalizer);
    if (!builder.ok()) return builder.status();
    builder_ = *std::move(builder);
    if (keep_tick_) {
      if (last_tick_.services.size() > topology.services().size() ||
          last_tick_.edges.size() > topology.edges().size()) {
        return absl::InvalidArgumentError(
            "state: model: its last tick has rows that the topology has not: take another copy");
      }
      builder_->Push(last_tick_, topology);
    }
    UseRows(topology);
    const std::size_t ticks = engine_->network().config().ticks;
    for (std::size_t t = ticks - filled_; t < ticks; ++t) {
      const std::size_t from = (newest_ + t) % ticks * row_values_;
      SEER_RETURN_IF_ERROR(session_->Push(absl::MakeConstSpan(history_).subspan(from, row_values_),
                                          absl::MakeSpan(outputs_)));
    }
    return absl::OkStatus();
  }

  void FindServices(const Topology& topology, std::vector<ServiceId>* ids,
                    std::vector<std::size_t>* places) const {
    for (std::size_t i = 0; i < services_.size(); ++i) {
      if (!services_[i].live) continue;
      const std::optional<ServiceId> id = topology.FindService(services_[i].name);
      if (!id) continue;
      ids->push_back(*id);
      places->push_back(i);
    }
  }

  void UseRows(const Topology& topology) {
    members_.Use(topology, false);
    place_of_.assign(topology.services().size(), kNone);
    for (std::size_t i = 0; i < ids_.size(); ++i) place_of_[ids_[i].index()] = places_[i];
    const auto rows = topology.classes();
    classes_.resize(rows.size());
    const bool hazards = engine_->network().hazards() > 0;
    for (std::size_t i = 0; i < rows.size(); ++i) {
      const auto found = std::find(inputs_.classes.begin(), inputs_.classes.end(), rows[i].name);
      classes_[i].hazards = hazards && found != inputs_.classes.end()
                                ? static_cast<std::size_t>(found - inputs_.classes.begin())
                                : kNone;
    }
    // Rows for a class that is not seen yet, so that it costs no memory when it is.
    while (spare_.size() < rows.size()) {
      ClassForecast& row = spare_.emplace_back();
      row.horizons.reserve(std::max<std::size_t>(inputs_.horizons_ns.size(), 1));
      row.initiators.reserve(options_.max_initiators + 1);
      row.evidence.reserve(kMostEvidence);
    }
  }

  // row_ is the newest tick.
  absl::Status Push(bool seen) {
    SEER_RETURN_IF_ERROR(session_->Push(row_, absl::MakeSpan(outputs_)));
    const std::size_t ticks = engine_->network().config().ticks;
    std::copy(row_.begin(), row_.end(),
              history_.begin() + static_cast<std::ptrdiff_t>(newest_ * row_values_));
    newest_ = (newest_ + 1) % ticks;
    filled_ = std::min(filled_ + 1, ticks);
    blind_ = seen ? 0 : std::min(blind_ + 1, ticks);
    return absl::OkStatus();
  }

  void Write(const ClusterTick& tick, const Topology& topology, Forecast* forecast) {
    forecast->tick = tick.tick;
    forecast->period = tick.period;
    forecast->classes.reserve(classes_.size());
    const std::size_t ticks = engine_->network().config().ticks;
    const bool knows = filled_ == ticks && blind_ < ticks;
    std::size_t rows = 0;
    for (std::size_t i = 0; i < classes_.size() && knows; ++i) {
      const ClassId id(static_cast<std::uint32_t>(i));
      if (!topology.IsLive(id)) continue;
      if (rows == forecast->classes.size()) {
        if (spare_.empty()) spare_.emplace_back();
        forecast->classes.push_back(std::move(spare_.back()));
        spare_.pop_back();
      }
      if (Foresee(id, tick.period.EndNs(tick.tick), topology, &forecast->classes[rows])) ++rows;
    }
    while (forecast->classes.size() > rows) {
      if (spare_.size() < classes_.size()) spare_.push_back(std::move(forecast->classes.back()));
      forecast->classes.pop_back();
    }
  }

  // The initiators of the class by probability into top_; returns their sum, "load" among it.
  double Rank(ClassId id, const std::vector<float>& outputs) {
    const std::size_t services = services_.size();
    double sum = static_cast<double>(outputs[services + ModelInputs::kLoad]);
    top_.clear();
    for (const std::uint32_t service : members_.Of(id)) {
      const std::size_t place = service < place_of_.size() ? place_of_[service] : kNone;
      if (place == kNone) continue;
      const auto probability = static_cast<double>(outputs[place]);
      sum += probability;
      if (top_.size() == options_.max_initiators) {
        if (top_.back().probability >= probability) continue;
        top_.pop_back();
      }
      const auto at = std::upper_bound(top_.begin(), top_.end(), probability,
                                       [](double p, const Top& t) { return p > t.probability; });
      top_.insert(at, {place, ServiceId(service), probability});
    }
    return sum;
  }

  // P(a violation of the class starts within the horizon), calibrated. `initiators`: that of the
  // initiators that it can have.
  double Probability(const ClassState& state, const std::vector<float>& outputs, double initiators,
                     std::int64_t horizon_ns) const {
    if (state.hazards != kNone) {
      const std::size_t count = inputs_.horizons_ns.size();
      const std::size_t first = engine_->network().initiators() +
                                state.hazards * engine_->network().config().hazard_horizons;
      // Horizons in between: on the line between their neighbours; from 0 at a horizon of 0.
      double below = 0, below_ns = 0;
      for (std::size_t k = 0; k < count; ++k) {
        const auto at_ns = static_cast<double>(inputs_.horizons_ns[k]);
        const auto p = static_cast<double>(outputs[first + k]);
        const auto wanted_ns = static_cast<double>(horizon_ns);
        if (wanted_ns <= at_ns) {
          const double part = (wanted_ns - below_ns) / (at_ns - below_ns);
          return calibration_.Apply(below + part * (p - below));
        }
        below = p;
        below_ns = at_ns;
      }
      return calibration_.Apply(below);
    }
    const double at_trained = calibration_.Apply(std::min(initiators, 1.0));
    const double part =
        static_cast<double>(horizon_ns) / static_cast<double>(inputs_.initiator_horizon_ns);
    return part == 1 ? at_trained : 1 - std::pow(1 - at_trained, part);
  }

  bool Foresee(ClassId id, std::int64_t now_ns, const Topology& topology, ClassForecast* row) {
    ClassState& state = classes_[id.index()];
    const double sum = Rank(id, outputs_);
    if (top_.empty()) {
      state.latch.Reset();
      return false;
    }
    row->request_class = id;
    row->horizons.clear();
    if (inputs_.horizons_ns.empty()) {
      const double p = Probability(state, outputs_, sum, inputs_.initiator_horizon_ns);
      row->horizons.push_back({inputs_.initiator_horizon_ns, static_cast<float>(p)});
    }
    double before = 0;
    for (const std::int64_t horizon : inputs_.horizons_ns) {
      before = std::max(before, Probability(state, outputs_, sum, horizon));
      row->horizons.push_back({horizon, static_cast<float>(before)});
    }
    const double alarm = Probability(state, outputs_, sum, calibration_.alarm_horizon_ns);
    row->alarm = state.latch.Observe(alarm / calibration_.threshold, now_ns, calibration_.alarm);

    row->initiators.clear();
    double told = static_cast<double>(outputs_[services_.size() + ModelInputs::kLoad]);
    for (const Top& top : top_) told += top.probability;
    const double load =
        told > 0 ? static_cast<double>(outputs_[services_.size() + ModelInputs::kLoad]) / told : 1;
    bool load_done = false;
    for (const Top& top : top_) {
      const double share = told > 0 ? top.probability / told : 0;
      if (!load_done && load > share) {
        row->initiators.push_back({ServiceId(), static_cast<float>(load)});
        load_done = true;
      }
      row->initiators.push_back({top.service, static_cast<float>(share)});
    }
    if (!load_done) row->initiators.push_back({ServiceId(), static_cast<float>(load)});
    row->evidence.clear();
    if (row->alarm && options_.evidence) Explain(id, alarm, topology, row);
    return true;
  }

  void Explain(ClassId id, double alarm, const Topology& topology, ClassForecast* row) {
    // The window, oldest tick first, without the services that it rests on.
    const std::size_t ticks = engine_->network().config().ticks;
    const std::size_t each = inputs_.inputs.size();
    const std::size_t masked = std::min(kMaskedServices, top_.size());
    for (std::size_t t = 0; t < ticks; ++t) {
      const std::size_t from = (newest_ + t) % ticks * row_values_;
      float* const to = &window_[t * row_values_];
      std::copy_n(&history_[from], row_values_, to);
      for (std::size_t m = 0; m < masked; ++m) std::fill_n(to + top_[m].place * each, each, 0.0f);
    }
    if (!engine_->Run(window_, 1, workspace_.get(), absl::MakeSpan(masked_)).ok()) return;
    // What of these services stands furthest from usual now; weights are that distance at first.
    for (std::size_t m = 0; m < masked; ++m) {
      for (std::size_t c = 0; c < each; ++c) {
        const WindowInput& input = inputs_.inputs.list()[c];
        ForecastEvidence found;
        found.weight = row_[top_[m].place * each + c];
        if (!(found.weight > 0)) continue;
        if (input.kind <= WindowInput::Kind::kMeanWait) {
          found.service = top_[m].service;
          found.channel = input.channel;
        } else {
          found.edge = EdgeOf(topology, top_[m].service, input.kind);
          if (!found.edge.valid()) continue;
        }
        Keep(found, &row->evidence);
      }
    }
    const double sum = Rank(id, masked_);  // top_ is of the masked window from here on
    const double fall =
        alarm - Probability(classes_[id.index()], masked_, sum, calibration_.alarm_horizon_ns);
    if (!(fall > 0)) {
      row->evidence.clear();
      return;
    }
    float all = 0;
    for (const ForecastEvidence& one : row->evidence) all += one.weight;
    for (ForecastEvidence& one : row->evidence) {
      one.weight = static_cast<float>(fall) * (one.weight / all);
    }
  }

  // Into the list of the kMostEvidence weightiest, each measurement once.
  static void Keep(const ForecastEvidence& found, std::vector<ForecastEvidence>* list) {
    const auto same = std::find_if(list->begin(), list->end(), [&](const auto& other) {
      return other.service == found.service && other.edge == found.edge &&
             other.channel == found.channel;
    });
    if (same != list->end()) {
      if (same->weight >= found.weight) return;
      list->erase(same);
    } else if (list->size() == kMostEvidence) {
      if (list->back().weight >= found.weight) return;
      list->pop_back();
    }
    const auto place =
        std::upper_bound(list->begin(), list->end(), found,
                         [](const auto& a, const auto& b) { return a.weight > b.weight; });
    list->insert(place, found);
  }

  // The first edge into the service, or for calls that it makes the first out of it.
  static EdgeId EdgeOf(const Topology& topology, ServiceId service, WindowInput::Kind kind) {
    const bool out = kind == WindowInput::Kind::kOutbound || kind == WindowInput::Kind::kCallsMade;
    for (std::size_t e = 0; e < topology.edges().size(); ++e) {
      const Edge& edge = topology.edges()[e];
      if (!edge.removed && (out ? edge.caller : edge.callee) == service) {
        return EdgeId(static_cast<std::uint32_t>(e));
      }
    }
    return EdgeId();
  }

  const ModelPredictorOptions options_;
  const ModelInputs inputs_;
  const ModelCalibration calibration_;
  const std::vector<ServiceSlot> services_;
  const std::unique_ptr<InferenceEngine> engine_;
  const std::unique_ptr<TickSession> session_;
  const std::unique_ptr<Workspace> workspace_;
  const std::size_t row_values_;  // N x C

  internal::TickOrder order_;
  internal::ClassMembers members_;
  std::optional<WindowBuilder> builder_;  // of one tick
  std::vector<ServiceId> ids_;            // that the builder has
  std::vector<std::size_t> places_;       // of them, in the model's order
  std::vector<std::size_t> place_of_;     // by ServiceId; kNone: not the model's
  std::vector<ClassState> classes_;

  std::vector<float> row_, window_, outputs_, masked_;
  std::vector<float> history_;  // T rows, a ring
  std::size_t newest_ = 0;      // where the next row goes: the oldest one
  std::size_t filled_ = 0;      // rows since Reset()
  std::size_t blind_ = 0;       // newest rows in which nothing was seen
  bool keep_tick_ = false;      // an input is a change against the tick before
  ClusterTick last_tick_;       // with keep_tick_, for those who load this state
  std::vector<Top> top_;
  std::vector<ClassForecast> spare_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<TickPredictor>> MakeModelPredictor(
    const Checkpoint& checkpoint, const ModelPredictorOptions& options) {
  if (options.max_initiators < 1 || options.max_initiators > 64) {
    return absl::InvalidArgumentError(
        absl::StrCat("options.max_initiators is ", options.max_initiators, ": give 1 to 64"));
  }
  const auto section = checkpoint.sections.find(ModelInputs::kSection);
  if (section == checkpoint.sections.end()) {
    return absl::InvalidArgumentError(
        absl::StrCat("the checkpoint has no section ", ModelInputs::kSection,
                     ": train it with `seer train`, or add EncodeModelInputs()"));
  }
  SEER_ASSIGN_OR_RETURN(ModelInputs inputs, DecodeModelInputs(section->second));
  ModelCalibration calibration;
  calibration.alarm_horizon_ns = inputs.initiator_horizon_ns;
  if (const auto found = checkpoint.sections.find(ModelCalibration::kSection);
      found != checkpoint.sections.end()) {
    SEER_ASSIGN_OR_RETURN(calibration, DecodeModelCalibration(found->second));
  }
  SEER_ASSIGN_OR_RETURN(const Network network, Network::Create(checkpoint.config));
  const auto mismatch = [](const char* what, std::size_t has, std::size_t wanted) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the checkpoint has ", has, " ", what, ", its network needs ", wanted, ": train it anew"));
  };
  if (checkpoint.services.size() != network.services()) {
    return mismatch("names of services", checkpoint.services.size(), network.services());
  }
  if (inputs.inputs.size() != network.config().inputs) {
    return mismatch("inputs", inputs.inputs.size(), network.config().inputs);
  }
  if (network.config().extras != ModelInputs::kExtras) {
    return mismatch("extra outputs", network.config().extras, ModelInputs::kExtras);
  }
  if (network.hazards() > 0 && (inputs.classes.size() != network.config().hazard_classes ||
                                inputs.horizons_ns.size() != network.config().hazard_horizons)) {
    return mismatch("hazards", inputs.classes.size() * inputs.horizons_ns.size(),
                    network.hazards());
  }
  const Backend* const backend = FindBackend(options.backend);
  if (backend == nullptr) {
    return absl::NotFoundError(
        absl::StrCat("options.backend '", options.backend, "' is unknown: give \"auto\""));
  }
  InferenceOptions inference;
  for (const ServiceSlot& slot : checkpoint.services) inference.live.push_back(slot.live);
  SEER_ASSIGN_OR_RETURN(std::unique_ptr<InferenceEngine> engine,
                        backend->NewInference(network, checkpoint.parameters, inference));
  SEER_ASSIGN_OR_RETURN(std::unique_ptr<TickSession> session, engine->NewSession(RunMode::kSlide));
  SEER_ASSIGN_OR_RETURN(std::unique_ptr<Workspace> workspace, engine->NewWorkspace(1));
  return std::unique_ptr<TickPredictor>(
      new ModelPredictor(options, std::move(inputs), calibration, checkpoint.services,
                         std::move(engine), std::move(session), std::move(workspace)));
}

SEER_END_NAMESPACE
