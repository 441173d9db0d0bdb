#include "benchmarks/evaluation/joint.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <set>
#include <string_view>
#include <utility>

#include "benchmarks/evaluation/replay.h"

namespace seer::evaluation {
namespace {

constexpr std::int64_t kNsPerMs = 1'000'000;
constexpr std::string_view kUsed[] = {"self_z", "outstanding_z", "queued_z", "self_rise_4",
                                      "rate_z"};

std::vector<std::size_t> UsedColumns() {
  std::vector<std::size_t> columns;
  for (std::size_t i = 0; i < ServiceFeatures::kCount; ++i) {
    if (std::count(std::begin(kUsed), std::end(kUsed), ServiceFeatures::Name(i)) > 0) {
      columns.push_back(i);
    }
  }
  return columns;
}

// The services' features side by side, and room for which class is asked about.
void JointRow(const ServiceFeatures& features, const std::vector<std::uint32_t>& services,
              std::size_t classes, std::vector<float>* row) {
  static const std::vector<std::size_t> columns = UsedColumns();
  row->clear();
  for (const std::uint32_t s : services) {
    const absl::Span<const float> own = features.row(s);
    for (const std::size_t c : columns) row->push_back(features.known(s) ? own[c] : 0.0f);
  }
  row->resize(row->size() + classes, 0.0f);
}

std::vector<JointPart> PartsOf(const Topology& topology) {
  std::map<std::string, JointPart> parts;
  for (std::uint32_t i = 0; i < topology.classes().size(); ++i) {
    const RequestClass& row = topology.classes()[i];
    if (!row.removed) parts[row.application].classes.push_back(i);
  }
  for (std::uint32_t s = 0; s < topology.services().size(); ++s) {
    const auto part = parts.find(topology.services()[s].application);
    if (part != parts.end()) part->second.services.push_back(s);
  }
  std::vector<JointPart> list;
  for (auto& [name, part] : parts) list.push_back(std::move(part));
  return list;
}

void AppendRows(const LabelledRows& from, LabelledRows* to) {
  to->columns = from.columns;
  to->values.insert(to->values.end(), from.values.begin(), from.values.end());
  to->labels.insert(to->labels.end(), from.labels.begin(), from.labels.end());
  to->weights.insert(to->weights.end(), from.weights.begin(), from.weights.end());
}

}  // namespace

void JointRows::Begin() {
  shared_->Reset();
  quiet_ = 0;
}

void JointRows::Observe(const ClusterTick& tick, const Topology& topology,
                        const std::vector<ViolationRow>& violations) {
  if (parts_.empty()) parts_ = PartsOf(topology);
  shared_->Observe(tick, topology);
  const ServiceFeatures& features = shared_->features();
  const std::int64_t now_ms = tick.period.EndNs(tick.tick) / kNsPerMs;
  const bool sampled = quiet_++ % stride_ == 0;
  // By class: whether it violates now, and who will be to blame for what starts.
  std::set<std::string_view> now;
  std::map<std::string_view, std::string_view> soon;
  for (const ViolationRow& v : violations) {
    if (now_ms >= v.start_ms && now_ms <= v.end_ms) now.insert(v.request_class);
    if (now_ms < v.start_ms && v.start_ms <= now_ms + horizon_ms_) {
      soon.emplace(v.request_class, v.culprit);
    }
  }
  if (!sampled && soon.empty()) return;
  std::vector<float> row;
  for (JointPart& part : parts_) {
    bool any_known = false;
    for (const std::uint32_t s : part.services) any_known = any_known || features.known(s);
    if (!any_known) continue;
    std::vector<std::string> labels;
    bool any_soon = false;
    for (const std::uint32_t c : part.classes) {
      labels.push_back(ClassLabel(topology.classes()[c]));
      any_soon = any_soon || soon.count(labels.back()) > 0;
    }
    if (!any_soon && !sampled) continue;
    JointRow(features, part.services, part.classes.size(), &row);
    part.alarms.columns = part.blames.columns = row.size();
    const std::size_t first = row.size() - part.classes.size();
    bool blamed = false;
    for (std::size_t i = 0; i < labels.size(); ++i) {
      if (now.count(labels[i]) > 0) continue;
      const auto found = soon.find(labels[i]);
      row[first + i] = 1;
      part.alarms.values.insert(part.alarms.values.end(), row.begin(), row.end());
      row[first + i] = 0;
      part.alarms.labels.push_back(found != soon.end() ? 1.0f : 0.0f);
      part.alarms.weights.push_back(any_soon ? 1.0f : static_cast<float>(stride_));
      if (found == soon.end() || found->second.empty() || blamed) continue;
      blamed = true;
      part.blames.values.insert(part.blames.values.end(), row.begin(), row.end());
      part.culprits.emplace_back(found->second);
    }
  }
}

void JointRows::Append(const JointRows& other) {
  if (parts_.empty()) {
    parts_ = other.parts_;
    return;
  }
  for (std::size_t i = 0; i < parts_.size() && i < other.parts_.size(); ++i) {
    AppendRows(other.parts_[i].alarms, &parts_[i].alarms);
    AppendRows(other.parts_[i].blames, &parts_[i].blames);
    parts_[i].culprits.insert(parts_[i].culprits.end(), other.parts_[i].culprits.begin(),
                              other.parts_[i].culprits.end());
  }
}

absl::StatusOr<JointModel> TrainJoint(const JointRows& rows, const TreeOptions& options) {
  JointModel model;
  for (const JointPart& part : rows.parts()) {
    JointModel::Part trained;
    trained.services = part.services;
    trained.classes = part.classes;
    trained.alarms = std::count(part.alarms.labels.begin(), part.alarms.labels.end(), 1.0f) > 0;
    if (trained.alarms) {
      auto trees = TrainTrees(part.alarms, options);
      if (!trees.ok()) return trees.status();
      trained.trees = *std::move(trees);
    }
    TreeOptions blame = options;
    blame.rounds = std::min(options.rounds, 30);
    blame.depth = 3;
    blame.least_child_weight = 1;
    const std::set<std::string> names(part.culprits.begin(), part.culprits.end());
    if (names.size() == 1) trained.only = *names.begin();
    for (const std::string& name : names) {
      if (names.size() < 2) break;
      LabelledRows one = part.blames;
      for (const std::string& culprit : part.culprits) {
        one.labels.push_back(culprit == name ? 1.0f : 0.0f);
      }
      auto trees = TrainTrees(one, blame);
      if (!trees.ok()) return trees.status();
      trained.culprits.push_back({name, *std::move(trees)});
    }
    model.parts.push_back(std::move(trained));
  }
  return model;
}

namespace {

class JointRival : public TickPredictor, public FeatureUser {
 public:
  JointRival(std::string name, std::shared_ptr<const JointModel> model, std::int64_t horizon_ms,
             double threshold, const AlarmOptions& alarm)
      : name_(std::move(name)),
        model_(std::move(model)),
        horizon_ms_(horizon_ms),
        threshold_(threshold),
        alarm_(alarm) {}

  std::string_view name() const override { return name_; }
  void Share(std::shared_ptr<SharedFeatures> features) override { shared_ = std::move(features); }
  void Reset() override {
    shared_->Reset();
    latches_.clear();
    started_ = false;
  }

  absl::Status Observe(const ClusterTick& tick, const Topology& topology,
                       Forecast* forecast) override {
    if (tick.services.size() > topology.services().size() ||
        tick.edges.size() > topology.edges().size()) {
      return absl::InvalidArgumentError("tick: hand over the topology that numbers it");
    }
    for (const JointModel::Part& part : model_->parts) {
      if (part.services.empty() || part.classes.empty()) continue;
      if (part.services.back() >= topology.services().size() ||
          part.classes.back() >= topology.classes().size()) {
        return absl::InvalidArgumentError("topology: not the one that the model was trained with");
      }
    }
    if (started_ && tick.period == period_ && tick.tick <= last_) {
      return absl::InvalidArgumentError("tick.tick: hand over ticks in order");
    }
    if (started_ && tick.period != period_) Reset();
    started_ = true;
    last_ = tick.tick;
    period_ = tick.period;
    shared_->Observe(tick, topology);
    latches_.resize(topology.classes().size());
    forecast->tick = tick.tick;
    forecast->period = tick.period;
    forecast->classes.clear();
    for (const JointModel::Part& part : model_->parts) {
      ForeseePart(part, topology, tick.period.EndNs(tick.tick), forecast);
    }
    std::sort(forecast->classes.begin(), forecast->classes.end(),
              [](const ClassForecast& a, const ClassForecast& b) {
                return a.request_class.value() < b.request_class.value();
              });
    return absl::OkStatus();
  }

 private:
  void ForeseePart(const JointModel::Part& part, const Topology& topology, std::int64_t now_ns,
                   Forecast* forecast) {
    const ServiceFeatures& features = shared_->features();
    bool any_known = false;
    for (const std::uint32_t s : part.services) any_known = any_known || features.known(s);
    if (!any_known) return;
    JointRow(features, part.services, part.classes.size(), &row_);
    const std::vector<Initiator> initiators = Blame(part, topology);
    const std::size_t first = row_.size() - part.classes.size();
    said_.assign(part.classes.size(), 0.0);
    if (part.alarms) {
      rows_.clear();
      for (std::size_t i = 0; i < part.classes.size(); ++i) {
        row_[first + i] = 1;
        rows_.insert(rows_.end(), row_.begin(), row_.end());
        row_[first + i] = 0;
      }
      part.trees.Probabilities(rows_, absl::MakeSpan(said_));
    }
    for (std::size_t i = 0; i < part.classes.size(); ++i) {
      ClassForecast row;
      row.request_class = ClassId(part.classes[i]);
      const double p = said_[i];
      row.horizons = {{horizon_ms_ * kNsPerMs, static_cast<float>(p)}};
      row.initiators = initiators;
      row.alarm = latches_[part.classes[i]].Observe(p / threshold_, now_ns, alarm_);
      forecast->classes.push_back(std::move(row));
    }
  }

  std::vector<Initiator> Blame(const JointModel::Part& part, const Topology& topology) const {
    std::vector<Initiator> initiators;
    double sum = 0;
    const auto add = [&](const std::string& name, double p) {
      ServiceId id;
      if (name != kLoad) {
        const auto found = topology.FindService(name);
        if (!found) return;
        id = *found;
      }
      initiators.push_back({id, static_cast<float>(p)});
      sum += p;
    };
    if (!part.only.empty()) add(part.only, 1);
    for (const JointModel::Culprit& c : part.culprits) add(c.name, c.trees.Probability(row_));
    const bool load = std::any_of(initiators.begin(), initiators.end(),
                                  [](const Initiator& i) { return i.is_load(); });
    if (!load) initiators.push_back({ServiceId(), 0});
    for (Initiator& i : initiators) {
      i.probability = static_cast<float>(sum > 0 ? i.probability / sum
                                                 : 1.0 / static_cast<double>(initiators.size()));
    }
    std::stable_sort(
        initiators.begin(), initiators.end(),
        [](const Initiator& a, const Initiator& b) { return a.probability > b.probability; });
    return initiators;
  }

  const std::string name_;
  const std::shared_ptr<const JointModel> model_;
  const std::int64_t horizon_ms_;
  const double threshold_;
  const AlarmOptions alarm_;
  std::shared_ptr<SharedFeatures> shared_ = std::make_shared<SharedFeatures>();
  std::vector<AlarmLatch> latches_;  // by class
  std::vector<float> row_, rows_;
  std::vector<double> said_;
  bool started_ = false;
  Tick last_ = 0;
  TickPeriod period_;
};

}  // namespace

std::unique_ptr<TickPredictor> MakeJointRival(std::string name,
                                              std::shared_ptr<const JointModel> model,
                                              std::int64_t horizon_ms, double threshold,
                                              const AlarmOptions& alarm) {
  return std::make_unique<JointRival>(std::move(name), std::move(model), horizon_ms, threshold,
                                      alarm);
}

}  // namespace seer::evaluation
