// A TreeModel as a predictor: see tree_model.h.
#include <algorithm>
#include <array>
#include <cmath>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "predict/alarm_state.h"
#include "predict/heir.h"
#include "predict/predictor_state.h"
#include "predict/tick_order.h"
#include "predict/tree_features.h"
#include "predict/tree_ranking.h"
#include "seer/core/internal/status_macros.h"
#include "seer/predict/tree_model.h"

SEER_BEGIN_NAMESPACE
namespace {

using internal::Measure;
using internal::TreeFeatures;

constexpr std::size_t kMostEvidence = 6;
constexpr std::size_t kMaskedServices = 4;
constexpr float kAbnormal = 1;     // spreads above usual, from which a depth is evidence
constexpr double kRankFrom = 0.1;  // of the threshold

class TreePredictor final : public TickPredictor, public internal::Heir {
 public:
  TreePredictor(TreeModel model, const TreePredictorOptions& options)
      : options_(options), model_(std::move(model)), features_(model_.inputs) {}

  std::string_view name() const override { return options_.name; }

  absl::Status Observe(const ClusterTick& tick, const Topology& topology,
                       Forecast* forecast) override {
    SEER_RETURN_IF_ERROR(order_.Check(tick, topology));
    if (tick.period != model_.period) {
      return absl::InvalidArgumentError(absl::StrCat("tick.period is ", tick.period.ns(),
                                                     " ns, the model was trained with ",
                                                     model_.period.ns(), ": use that period"));
    }
    const bool anew = order_.IsAnew(tick, topology);
    if (anew) Reset();
    if (order_.RowsChanged(topology)) UseRows(topology);
    const double gap = order_.Gap(tick);
    order_.Advance(tick, topology);
    features_.Observe(tick, topology, gap);

    forecast->tick = tick.tick;
    forecast->period = tick.period;
    forecast->classes.reserve(latches_.size());
    std::size_t rows = 0;
    for (std::size_t i = 0; i < latches_.size(); ++i) {
      const ClassId id(static_cast<std::uint32_t>(i));
      if (!topology.IsLive(id)) continue;
      if (!features_.known(id)) {
        latches_[i].Reset();
        continue;
      }
      if (rows == forecast->classes.size()) {
        if (spare_.empty()) spare_.emplace_back();
        forecast->classes.push_back(std::move(spare_.back()));
        spare_.pop_back();
      }
      Foresee(id, tick, &forecast->classes[rows++]);
    }
    while (forecast->classes.size() > rows) {
      if (spare_.size() < latches_.size()) spare_.push_back(std::move(forecast->classes.back()));
      forecast->classes.pop_back();
    }
    return absl::OkStatus();
  }

  void Reset() override {
    order_.Reset();
    features_.Reset();
    latches_.clear();
  }

  // What is usual does not depend on the trees.
  bool Inherit(TickPredictor* from, const Topology& topology) override {
    auto* const other = dynamic_cast<TreePredictor*>(from);
    if (other == nullptr || other->model_.period != model_.period ||
        !(other->model_.inputs == model_.inputs)) {
      return false;
    }
    std::string bytes;
    return other->SaveState(&bytes).ok() && LoadState(bytes, topology).ok();
  }

  absl::Status SaveState(std::string* bytes) override {
    return internal::SavePredictor(bytes, [this](internal::StateIo& io) { State(io); });
  }
  absl::Status LoadState(std::string_view bytes, const Topology& topology) override {
    return internal::LoadPredictor(
        bytes, topology, order_, this, [this](internal::StateIo& io) { State(io); },
        [&] {
          UseRows(topology);
          return absl::OkStatus();
        });
  }

 private:
  void State(internal::StateIo& io) {
    order_.State(io);
    features_.State(io);
    io.List(latches_, 9, [&](AlarmLatch& latch) { internal::AlarmState(io, latch); });
  }

  void UseRows(const Topology& topology) {
    features_.UseRows(topology);
    internal::Links::Pairs pairs;
    for (std::size_t e = 0; e < topology.edges().size(); ++e) {
      const Edge& edge = topology.edges()[e];
      if (!edge.removed) pairs.emplace_back(edge.callee.value(), static_cast<std::uint32_t>(e));
    }
    edges_into_.Build(topology.services().size(), pairs);
    latches_.resize(topology.classes().size());
    // Rows for a class that is not seen yet, so that it costs no memory when it is.
    while (spare_.size() < latches_.size()) {
      ClassForecast& row = spare_.emplace_back();
      row.horizons.reserve(model_.horizons_ns.size());
      row.initiators.reserve(options_.max_initiators + 1);
      row.evidence.reserve(kMostEvidence);
    }
  }

  // The probabilities of the features as they are, unless null; returns that at the alarm's
  // horizon.
  double Ask(ClassId id, std::array<double, BoostedTrees::kMaxOutputs>* probabilities) {
    std::array<float, TreeFeatures::kClassColumns> row;
    std::array<float, BoostedTrees::kMaxOutputs> scores;
    features_.ClassRow(id, row.data());
    model_.violations.Score(row, absl::MakeSpan(scores));
    double before = 0, before_ns = 0, alarm = 0;
    bool found = false;
    const auto alarm_ns = static_cast<double>(model_.calibration.alarm_horizon_ns);
    for (std::size_t h = 0; h < model_.horizons_ns.size(); ++h) {
      // A float, as validation saw it.
      const auto raw = static_cast<float>(1 / (1 + std::exp(-static_cast<double>(scores[h]))));
      // A longer horizon cannot be less likely.
      const double own = std::max(before, model_.calibration.Apply(static_cast<double>(raw)));
      const auto at_ns = static_cast<double>(model_.horizons_ns[h]);
      if (!found && alarm_ns <= at_ns) {
        alarm = before + (alarm_ns - before_ns) / (at_ns - before_ns) * (own - before);
        if (alarm_ns == at_ns) alarm = own;
        found = true;
      }
      if (!found) alarm = own;
      before = own;
      before_ns = at_ns;
      if (probabilities != nullptr) {
        (*probabilities)[h] = own;
      } else if (found) {
        break;
      }
    }
    return alarm;
  }

  void Foresee(ClassId id, const ClusterTick& tick, ClassForecast* row) {
    std::array<double, BoostedTrees::kMaxOutputs> probabilities;
    const double alarm = Ask(id, &probabilities);
    const double ratio = alarm / model_.calibration.threshold;
    row->request_class = id;
    row->horizons.clear();
    for (std::size_t h = 0; h < model_.horizons_ns.size(); ++h) {
      row->horizons.push_back({model_.horizons_ns[h], static_cast<float>(probabilities[h])});
    }
    row->alarm =
        latches_[id.index()].Observe(ratio, tick.period.EndNs(tick.tick), model_.calibration.alarm);
    ranking_.Rank(features_, id, model_.initiators, ratio < kRankFrom && !row->alarm);
    row->initiators.clear();
    float told = 0;
    std::size_t services = 0;
    for (const auto& one : ranking_.ranked()) {
      const bool load = one.service == TreeFeatures::kLoad;
      if (!load && services == options_.max_initiators) continue;
      services += load ? 0 : 1;
      row->initiators.push_back({load ? ServiceId() : ServiceId(one.service), one.share});
      told += one.share;
    }
    for (Initiator& one : row->initiators) one.probability /= told;
    row->evidence.clear();
    if (row->alarm && options_.evidence) Explain(id, alarm, tick, row);
  }

  // The likeliest initiators are masked one after the other until the alarm would clear. What it
  // rested on are the depths of those that made a difference, which stand furthest above usual;
  // each service's weigh as much as the probability fell with it.
  void Explain(ClassId id, double alarm, const ClusterTick& tick, ClassForecast* row) {
    const double clear = model_.calibration.threshold * model_.calibration.alarm.clear_ratio;
    double before = alarm;
    std::size_t masked = 0;
    for (const Initiator& one : row->initiators) {
      if (one.is_load()) continue;
      if (masked == kMaskedServices || (masked > 0 && before < clear)) break;
      ++masked;
      features_.Mask(one.service.value());
      const double now = Ask(id, nullptr);
      const double fall = before - now;
      before = now;
      if (fall > 0) Blame(one.service, fall, tick, row);
    }
    features_.Unmask();
  }

  // `fall` goes to the service's depths in proportion to how abnormal they are.
  void Blame(ServiceId service, double fall, const ClusterTick& tick, ClassForecast* row) {
    float all = 0;
    for (const Measure measure : internal::kDepthMeasures) {
      const float z = features_.Z(service.value(), measure);
      if (z > kAbnormal) all += z;
    }
    for (const Measure measure : internal::kDepthMeasures) {
      const float z = features_.Z(service.value(), measure);
      if (!(z > kAbnormal)) continue;
      ForecastEvidence found;
      found.weight = static_cast<float>(fall) * (z / all);
      if (measure < Measure::kOutstanding) {
        found.service = service;
        found.channel = static_cast<Channel>(measure);
      } else {
        found.edge = DeepestEdgeInto(service, tick);
        if (!found.edge.valid()) continue;
      }
      Keep(found, &row->evidence);
    }
  }

  static void Keep(const ForecastEvidence& found, std::vector<ForecastEvidence>* list) {
    if (list->size() == kMostEvidence) {
      if (list->back().weight >= found.weight) return;
      list->pop_back();
    }
    const auto place =
        std::upper_bound(list->begin(), list->end(), found,
                         [](const auto& a, const auto& b) { return a.weight > b.weight; });
    list->insert(place, found);
  }

  EdgeId DeepestEdgeInto(ServiceId service, const ClusterTick& tick) const {
    EdgeId found;
    double most = -1;
    for (const std::uint32_t e : edges_into_.Of(service.value())) {
      const EdgeId id(e);
      const double depth = tick.edges.depth(id).value_or(tick.edges.mean(id).value_or(-1));
      if (depth <= most) continue;
      most = depth;
      found = id;
    }
    return found;
  }

  const TreePredictorOptions options_;
  const TreeModel model_;
  internal::TickOrder order_;
  TreeFeatures features_;
  internal::Links edges_into_;  // live ones, by callee
  internal::TreeRanking ranking_;
  std::vector<AlarmLatch> latches_;  // of each class
  std::vector<ClassForecast> spare_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<TickPredictor>> MakeTreePredictor(
    TreeModel model, const TreePredictorOptions& options) {
  SEER_RETURN_IF_ERROR(model.Validate());
  if (options.max_initiators < 1 || options.max_initiators > TreeFeatures::kCandidates) {
    return absl::InvalidArgumentError(absl::StrCat("options.max_initiators is ",
                                                   options.max_initiators, ": give 1 to ",
                                                   TreeFeatures::kCandidates));
  }
  return std::unique_ptr<TickPredictor>(new TreePredictor(std::move(model), options));
}

SEER_END_NAMESPACE
