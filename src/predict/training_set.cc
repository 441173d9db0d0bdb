#include "seer/predict/training_set.h"

#include <algorithm>
#include <cstddef>
#include <set>
#include <unordered_map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "seer/core/internal/status_macros.h"
#include "seer/window/labels.h"

SEER_BEGIN_NAMESPACE

absl::StatusOr<TrainingSet> TrainingSet::Create(const ModelInputs& inputs,
                                                std::vector<std::string> services,
                                                std::size_t ticks, bool hazards) {
  SEER_RETURN_IF_ERROR(inputs.Validate());
  if (ticks == 0 || ticks > WindowBuilder::kMaxTicks) {
    return absl::InvalidArgumentError(
        absl::StrCat("training set: ", ticks, " ticks: give 1 to ", WindowBuilder::kMaxTicks));
  }
  if (services.empty()) return absl::InvalidArgumentError("training set: no services: give some");
  if (std::set<std::string>(services.begin(), services.end()).size() != services.size()) {
    return absl::InvalidArgumentError("training set: a service is there twice: remove one");
  }
  TrainingSet set;
  set.inputs_ = inputs;
  set.services_ = std::move(services);
  set.ticks_ = ticks;
  set.row_values_ = set.services_.size() * inputs.inputs.size();
  set.hazards_ = hazards && !inputs.classes.empty() && !inputs.horizons_ns.empty();
  set.counts_.assign(set.services_.size() + ModelInputs::kExtras, 0);
  return set;
}

absl::Status TrainingSet::BeginRun(const Topology& topology) {
  std::vector<ServiceId> order;
  places_.clear();
  segments_.clear();
  builder_.reset();
  model_service_.assign(topology.services().size(), -1);
  for (std::size_t i = 0; i < services_.size(); ++i) {
    const auto id = topology.FindService(services_[i]);
    if (!id) continue;
    order.push_back(*id);
    places_.push_back(i);
    model_service_[id->index()] = static_cast<std::int32_t>(i);
  }
  if (order.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("training set: none of the model's ", services_.size(),
                     " services is in this run: it is of another application"));
  }
  run_classes_.clear();
  for (const std::string& name : inputs_.classes) {
    ClassId found;
    for (std::size_t c = 0; c < topology.classes().size(); ++c) {
      if (!topology.classes()[c].removed && topology.classes()[c].name == name) {
        found = ClassId(static_cast<std::uint32_t>(c));
      }
    }
    run_classes_.push_back(found);
  }
  SEER_ASSIGN_OR_RETURN(
      builder_, WindowBuilder::Create(topology, order, 1, inputs_.inputs, inputs_.normalizer));
  return absl::OkStatus();
}

absl::Status TrainingSet::Add(const ClusterTick& tick, const Topology& topology) {
  if (!builder_) return absl::FailedPreconditionError("training set: call BeginRun() first");
  if (tick.period != inputs_.period) {
    return absl::FailedPreconditionError(
        absl::StrCat("training set: a tick of ", tick.period.ns(), " ns, where the model has ",
                     inputs_.period.ns(), ": record with one period"));
  }
  bool joins = false;
  if (!segments_.empty()) {
    Segment& last = segments_.back();
    const Tick next = last.first + static_cast<Tick>(last.rows);
    if (tick.tick < next) return absl::OkStatus();  // not newer: as WindowBuilder
    const std::uint64_t missing =
        static_cast<std::uint64_t>(tick.tick) - static_cast<std::uint64_t>(next);
    joins = missing < ticks_;
    if (joins) {
      values_.resize(values_.size() + missing * row_values_, 0.0f);
      recorded_.resize(recorded_.size() + missing, 0);
      last.rows += missing + 1;
    }
  }
  if (!joins) segments_.push_back({tick.tick, recorded_.size(), 1});
  builder_->Push(tick, topology);
  const std::size_t each = inputs_.inputs.size(), at = values_.size();
  values_.resize(at + row_values_, 0.0f);
  recorded_.push_back(1);
  const Window& window = builder_->window();
  for (std::size_t i = 0; i < places_.size(); ++i) {
    std::copy_n(window.values.begin() + static_cast<std::ptrdiff_t>(i * each), each,
                values_.begin() + static_cast<std::ptrdiff_t>(at + places_[i] * each));
  }
  return absl::OkStatus();
}

absl::Status TrainingSet::EndRun(absl::Span<const Violation> violations,
                                 std::int64_t known_until_ns) {
  if (!builder_) return absl::FailedPreconditionError("training set: call BeginRun() first");
  std::vector<Violation> sorted(violations.begin(), violations.end());
  std::stable_sort(sorted.begin(), sorted.end(),
                   [](const Violation& a, const Violation& b) { return a.start_ns < b.start_ns; });
  if (known_until_ns == 0 && !segments_.empty()) {
    const Segment& last = segments_.back();
    known_until_ns = inputs_.period.EndNs(last.first + static_cast<Tick>(last.rows) - 1);
  }
  for (const Segment& segment : segments_) Label(segment, sorted, known_until_ns);
  builder_.reset();
  segments_.clear();
  return absl::OkStatus();
}

void TrainingSet::Label(const Segment& segment, absl::Span<const Violation> violations,
                        std::int64_t known_until_ns) {
  LabelRange range;
  range.first = segment.first;
  range.ticks = segment.rows;
  range.period = inputs_.period;
  range.known_until_ns = known_until_ns;
  std::vector<TickLabel> any;
  LabelTicks(range, violations, {inputs_.initiator_horizon_ns}, ClassId(), &any);
  std::vector<std::vector<TickLabel>> classes(hazards_ ? run_classes_.size() : 0);
  for (std::size_t c = 0; c < classes.size(); ++c) {
    if (!run_classes_[c].valid()) continue;
    LabelTicks(range, violations, inputs_.horizons_ns, run_classes_[c], &classes[c]);
  }
  const auto no_violation = static_cast<std::int32_t>(services_.size() + ModelInputs::kNoViolation);
  const auto load = static_cast<std::int32_t>(services_.size() + ModelInputs::kLoad);
  std::vector<std::int32_t> hazards(classes.size());
  for (std::size_t i = ticks_ - 1; i < segment.rows; ++i) {
    if (recorded_[segment.row + i] == 0) continue;
    std::int32_t initiator = -1;
    if ((any[i].known & 1) != 0 && (any[i].starts & 1) == 0) initiator = no_violation;
    if ((any[i].known & any[i].starts & 1) != 0 && any[i].next >= 0) {
      const Violation& next = violations[static_cast<std::size_t>(any[i].next)];
      if (next.initiation == Initiation::kLoad) initiator = load;
      if (next.initiation == Initiation::kService && next.culprit.valid() &&
          next.culprit.index() < model_service_.size()) {
        initiator = model_service_[next.culprit.index()];
      }
    }
    bool something = initiator >= 0;
    for (std::size_t c = 0; c < classes.size(); ++c) {
      hazards[c] = -1;
      if (classes[c].empty()) continue;
      const TickLabel& label = classes[c][i];
      // The first horizon within which one starts, if those below it are known.
      std::size_t k = 0;
      while (k < inputs_.horizons_ns.size() && (label.known >> k & 1) != 0 &&
             (label.starts >> k & 1) == 0) {
        ++k;
      }
      if (k == inputs_.horizons_ns.size() || (label.known >> k & 1) != 0) {
        hazards[c] = static_cast<std::int32_t>(k);
        something = true;
      }
    }
    if (!something) continue;
    if (initiator >= 0) {
      ++counts_[static_cast<std::size_t>(initiator)];
    } else {
      ++unknown_;
    }
    windows_.push_back({segment.row + i, initiator});
    window_hazards_.insert(window_hazards_.end(), hazards.begin(), hazards.end());
  }
}

std::vector<float> TrainingSet::OutputWeights(double most) const {
  const std::size_t none = services_.size() + ModelInputs::kNoViolation;
  std::uint64_t ahead = 0;
  for (std::size_t i = 0; i < counts_.size(); ++i) ahead += i == none ? 0 : counts_[i];
  double weight = 1;
  if (ahead > 0) {
    weight = std::clamp(static_cast<double>(counts_[none]) / static_cast<double>(ahead), 1.0,
                        std::max(1.0, most));
  }
  std::vector<float> weights(counts_.size(), static_cast<float>(weight));
  weights[none] = 1;
  return weights;
}

absl::Status TrainingSet::Fill(absl::Span<const std::uint64_t> which, TrainingBatch* batch) {
  batch->Clear();
  batch->windows = which.size();
  const std::size_t classes = hazards_ ? inputs_.classes.size() : 0;
  const std::size_t window_values = ticks_ * row_values_;
  batch->inputs.reserve(which.size() * window_values);
  for (const std::uint64_t i : which) {
    if (i >= windows_.size()) {
      return absl::OutOfRangeError(
          absl::StrCat("training set: window ", i, " of ", windows_.size()));
    }
    const Row& row = windows_[i];
    const auto first =
        values_.begin() + static_cast<std::ptrdiff_t>((row.newest + 1 - ticks_) * row_values_);
    batch->inputs.insert(batch->inputs.end(), first,
                         first + static_cast<std::ptrdiff_t>(window_values));
    batch->initiator.push_back(row.initiator);
    const auto hazard = window_hazards_.begin() + static_cast<std::ptrdiff_t>(i * classes);
    batch->hazard.insert(batch->hazard.end(), hazard,
                         hazard + static_cast<std::ptrdiff_t>(classes));
  }
  return absl::OkStatus();
}

SEER_END_NAMESPACE
