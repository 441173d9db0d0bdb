#include "seer/predict/tree_trainer.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "predict/rival_measures.h"
#include "predict/training_views.h"
#include "predict/tree_features.h"
#include "seer/core/internal/status_macros.h"

SEER_BEGIN_NAMESPACE
namespace {

using internal::TreeFeatures;

constexpr std::int64_t kBlameNs = 1'000'000'000;  // before a violation: who it will be shows
constexpr std::size_t kStirringStride = 10;       // stride / this, where something stirs
constexpr std::size_t kStillFirst = 8;            // thinned so many times more than those that stir

// Violations of one class, by start.
std::vector<Violation> OfClass(absl::Span<const Violation> violations, ClassId id) {
  std::vector<Violation> own;
  for (const Violation& violation : violations) {
    if (violation.request_class == id) own.push_back(violation);
  }
  std::stable_sort(own.begin(), own.end(),
                   [](const Violation& a, const Violation& b) { return a.start_ns < b.start_ns; });
  return own;
}

// What is true of a moment, as time goes on.
class Ahead {
 public:
  explicit Ahead(std::vector<Violation> violations) : violations_(std::move(violations)) {}
  void MoveTo(std::int64_t now_ns) {
    now_ns_ = now_ns;
    while (next_ < violations_.size() && violations_[next_].end_ns < now_ns) ++next_;
  }
  bool in_violation() const {
    return next_ < violations_.size() && violations_[next_].start_ns <= now_ns_;
  }
  // Null: none is to come.
  const Violation* next() const {
    const std::size_t i = next_ + (in_violation() ? 1 : 0);
    return i < violations_.size() ? &violations_[i] : nullptr;
  }
  const std::vector<Violation>& violations() const { return violations_; }

 private:
  std::vector<Violation> violations_;
  std::size_t next_ = 0;
  std::int64_t now_ns_ = 0;
};

// A class of which a run tells something.
struct RunClass {
  ClassId id;
  Ahead ahead;
};

std::vector<RunClass> ClassesOf(const LabelledRun& run) {
  std::vector<RunClass> classes;
  for (std::size_t c = 0; c < run.topology.classes().size(); ++c) {
    const ClassId id(static_cast<std::uint32_t>(c));
    if (!run.topology.IsLive(id)) continue;
    classes.push_back({id, Ahead(OfClass(run.violations, id))});
  }
  return classes;
}

// Every tick of a run with its features; the period has to be that of the other runs.
template <typename F>
absl::Status ForEachLook(const LabelledRun& run, const TreeInputs& inputs, TickPeriod period,
                         const F& look) {
  TreeFeatures features(inputs);
  features.UseRows(run.topology);
  bool first = true;
  Tick last = 0;
  return run.for_each_tick([&](const ClusterTick& tick) {
    if (tick.period != period) {
      return absl::InvalidArgumentError(absl::StrCat("runs: one has ticks of ", tick.period.ns(),
                                                     " ns, another of ", period.ns(),
                                                     ": train with runs of one period"));
    }
    if (!first && tick.tick <= last) return absl::OkStatus();
    const double gap = first ? 0 : static_cast<double>(tick.tick) - static_cast<double>(last) - 1;
    first = false;
    last = tick.tick;
    features.Observe(tick, run.topology, gap);
    return look(tick, &features);
  });
}

// What a row is a look at: a violation ahead, or none, and whether anything is out of the ordinary.
enum class Kind : std::uint8_t { kAhead, kStirring, kStill };

struct Collected {
  TreeRows violations, initiators;
  std::vector<Kind> kinds;  // of each row of `violations`
  std::uint64_t ticks = 0, ahead = 0, stirring = 0, groups = 0;
};

class Collector {
 public:
  // Of a class every `each`-th look is taken.
  Collector(const LabelledRun& run, const TreeInputs& inputs, const TreeTrainingOptions& options,
            std::size_t most_rows, std::size_t each, Collected* out)
      : run_(run),
        inputs_(inputs),
        options_(options),
        most_rows_(most_rows),
        each_(each),
        out_(*out) {
    out_.violations.columns = TreeFeatures::kClassColumns;
    out_.violations.outputs = options.horizons_ns.size();
    out_.initiators.columns = TreeFeatures::kServiceColumns;
  }

  absl::Status Run(TickPeriod period) {
    std::vector<RunClass> classes = ClassesOf(run_);
    std::int64_t last_ns = 0;
    absl::Status status =
        ForEachLook(run_, inputs_, period, [&](const ClusterTick& tick, TreeFeatures* f) {
          const std::int64_t now_ns = tick.period.EndNs(tick.tick);
          last_ns = now_ns;
          ++out_.ticks;
          for (RunClass& one : classes) {
            one.ahead.MoveTo(now_ns);
            if (!f->known(one.id) || one.ahead.in_violation()) continue;
            if ((out_.ticks + one.id.index()) % each_ == 0) Take(now_ns, one, f);
          }
          return absl::OkStatus();
        });
    out_.stirring = static_cast<std::uint64_t>(
        std::count(out_.kinds.begin(), out_.kinds.end(), Kind::kStirring));
    // Of the last ticks it is not known what came after them.
    const std::size_t horizons = options_.horizons_ns.size();
    for (std::size_t r = rows_.size();
         r-- > 0 && rows_[r] + options_.horizons_ns.back() > last_ns;) {
      for (std::size_t h = 0; h < horizons; ++h) {
        float& label = out_.violations.labels[r * horizons + h];
        if (label == 0 && rows_[r] + options_.horizons_ns[h] > last_ns) label = -1;
      }
    }
    return status;
  }

 private:
  void Take(std::int64_t now_ns, const RunClass& one, TreeFeatures* features) {
    const Violation* const next = one.ahead.next();
    const std::int64_t horizon_ns = options_.horizons_ns.back();
    const bool ahead = next != nullptr && next->start_ns - now_ns <= horizon_ns;
    std::array<float, TreeFeatures::kClassColumns> row;
    features->ClassRow(one.id, row.data());
    if (ahead && next->start_ns - now_ns <= kBlameNs) Blame(one.id, *next, features);
    float weight = 1;
    Kind kind = Kind::kAhead;
    if (!ahead) {
      const bool stirs = features->Stirs(row.data());
      kind = stirs ? Kind::kStirring : Kind::kStill;
      Quiet& quiet = stirs ? stirring_ : still_;
      const std::size_t stride =
          quiet.thinned *
          std::max<std::size_t>(1, stirs ? options_.stride / kStirringStride : options_.stride);
      if (quiet.looks++ % stride != 0) return;
      weight = static_cast<float>(stride);
    }
    TreeRows& rows = out_.violations;
    rows.values.insert(rows.values.end(), row.begin(), row.end());
    rows.weights.push_back(weight);
    out_.kinds.push_back(kind);
    rows_.push_back(now_ns);
    out_.ahead += ahead ? 1 : 0;
    for (const std::int64_t horizon : options_.horizons_ns) {
      rows.labels.push_back(next != nullptr && next->start_ns - now_ns <= horizon ? 1.0f : 0.0f);
    }
    if (rows_.size() > most_rows_) Thin();
  }

  // Of the quiet rows, still ones first, every second goes, and the others weigh as two.
  void Thin() {
    const bool still = still_.thinned < kStillFirst * stirring_.thinned;
    const Kind thinned = still ? Kind::kStill : Kind::kStirring;
    (still ? still_ : stirring_).thinned *= 2;
    TreeRows& rows = out_.violations;
    const std::size_t columns = rows.columns, outputs = rows.outputs;
    std::size_t kept = 0, quiet = 0;
    for (std::size_t r = 0; r < rows_.size(); ++r) {
      if (out_.kinds[r] == thinned && quiet++ % 2 != 0) continue;
      const auto copy = [&](std::vector<float>* values, std::size_t each) {
        std::copy_n(values->begin() + static_cast<std::ptrdiff_t>(r * each), each,
                    values->begin() + static_cast<std::ptrdiff_t>(kept * each));
      };
      copy(&rows.values, columns);
      copy(&rows.labels, outputs);
      rows.weights[kept] = rows.weights[r] * (out_.kinds[r] == thinned ? 2.0f : 1.0f);
      rows_[kept] = rows_[r];
      out_.kinds[kept] = out_.kinds[r];
      ++kept;
    }
    rows.values.resize(kept * columns);
    rows.labels.resize(kept * outputs);
    rows.weights.resize(kept);
    rows_.resize(kept);
    out_.kinds.resize(kept);
    // Where hardly any row may go, nothing is gained: more may come.
    if (!still && kept > most_rows_ - most_rows_ / 4) most_rows_ *= 2;
  }

  // The candidates, one of which it is.
  void Blame(ClassId id, const Violation& violation, TreeFeatures* features) {
    std::uint32_t truth = TreeFeatures::kLoad;
    if (violation.initiation == Initiation::kUnknown) return;
    if (violation.initiation == Initiation::kService) truth = violation.culprit.value();
    const auto candidates = features->candidates();
    const bool there = truth == TreeFeatures::kLoad ||
                       std::find(candidates.begin(), candidates.end(), truth) != candidates.end();
    if (!there) return;
    TreeRows& rows = out_.initiators;
    const auto group = static_cast<std::uint32_t>(out_.groups++);
    const auto add = [&](std::uint32_t service) {
      const std::size_t at = rows.values.size();
      rows.values.resize(at + TreeFeatures::kServiceColumns);
      features->ServiceRow(id, service, &rows.values[at]);
      rows.labels.push_back(service == truth ? 1.0f : 0.0f);
      rows.groups.push_back(group);
    };
    for (const std::uint32_t service : candidates) add(service);
    add(TreeFeatures::kLoad);
  }

  const LabelledRun& run_;
  const TreeInputs& inputs_;
  const TreeTrainingOptions& options_;
  std::size_t most_rows_;
  const std::size_t each_;
  Collected& out_;
  std::vector<std::int64_t> rows_;  // of each row its time
  struct Quiet {
    std::size_t looks = 0, thinned = 1;
  };
  Quiet stirring_, still_;
};

template <typename F>
absl::Status InParallel(std::size_t threads, std::size_t count, const F& handle) {
  std::vector<absl::Status> statuses(count);
  std::atomic<std::size_t> next{0};
  const auto work = [&] {
    // relaxed: which index is whose is all that counts; join() orders the results.
    for (std::size_t i; (i = next.fetch_add(1, std::memory_order_relaxed)) < count;) {
      statuses[i] = handle(i);
    }
  };
  std::vector<std::thread> others;
  for (std::size_t t = 1; t < std::min(threads, count); ++t) others.emplace_back(work);
  work();
  for (std::thread& thread : others) thread.join();
  for (absl::Status& status : statuses) {
    if (!status.ok()) return std::move(status);
  }
  return absl::OkStatus();
}

void Append(const TreeRows& from, std::uint64_t groups_before, TreeRows* to) {
  to->columns = from.columns;
  to->outputs = from.outputs;
  to->values.insert(to->values.end(), from.values.begin(), from.values.end());
  to->labels.insert(to->labels.end(), from.labels.begin(), from.labels.end());
  to->weights.insert(to->weights.end(), from.weights.begin(), from.weights.end());
  for (const std::uint32_t group : from.groups) {
    to->groups.push_back(group + static_cast<std::uint32_t>(groups_before));
  }
}

// `view_stride`: as TreeTrainingOptions has it.
absl::StatusOr<Collected> Collect(absl::Span<const LabelledRun> runs, TickPeriod period,
                                  const TreeTrainingOptions& options, std::size_t view_stride) {
  std::vector<Collected> each(runs.size());
  const std::size_t most = std::max<std::size_t>(100, options.max_rows / runs.size());
  const absl::Status status = InParallel(options.threads, runs.size(), [&](std::size_t i) {
    SEER_RETURN_IF_ERROR(
        Collector(runs[i], options.inputs, options, most, 1, &each[i]).Run(period));
    if (view_stride == 0) return absl::OkStatus();
    SEER_ASSIGN_OR_RETURN(const auto views,
                          internal::ViewsOf(runs[i], options.inputs, options.violations.seed + i));
    for (const internal::TrainingView& view : views) {
      Collected own;
      SEER_RETURN_IF_ERROR(
          Collector(view.run, view.inputs, options, most / 4, view_stride, &own).Run(period));
      Append(own.violations, 0, &each[i].violations);
      Append(own.initiators, each[i].groups, &each[i].initiators);
      each[i].groups += own.groups;
      each[i].stirring += own.stirring;
    }
    return absl::OkStatus();
  });
  if (!status.ok()) return status;
  Collected all;
  for (Collected& one : each) {
    Append(one.violations, 0, &all.violations);
    Append(one.initiators, all.groups, &all.initiators);
    all.ticks += one.ticks;
    all.ahead += one.ahead;
    all.stirring += one.stirring;
    all.groups += one.groups;
    one = Collected();
  }
  return all;
}

// Whether the alarms that hit blamed the right one, at the alarm that was chosen.
void JudgeBlame(std::vector<HeardRun>* heard, const TreeModel& model, TreeTrainingReport* report) {
  const ModelCalibration& calibration = model.calibration;
  std::size_t horizon = 0;
  while (model.horizons_ns[horizon] != calibration.alarm_horizon_ns) ++horizon;
  std::uint64_t right = 0;
  for (HeardRun& run : *heard) {
    for (HeardClass& one : run.classes) {
      AlarmLatch latch;
      for (std::size_t t = 0; t < one.alarms.times_ns.size(); ++t) {
        const double p = calibration.Apply(static_cast<double>(
            one.forecasts.probabilities[t * model.horizons_ns.size() + horizon]));
        one.alarms.alarms[t] =
            latch.Observe(p / calibration.threshold, one.alarms.times_ns[t], calibration.alarm) ? 1
                                                                                                : 0;
      }
      for (const ScoredAlarm& alarm : ScoreAlarms(one.alarms).alarms) {
        const int blamed = BlamedRightly(one, alarm);
        report->culprits += blamed >= 0 ? 1 : 0;
        right += blamed > 0 ? 1 : 0;
      }
    }
  }
  if (report->culprits > 0) {
    report->culprit_top1 = static_cast<double>(right) / static_cast<double>(report->culprits);
  }
}

// What a self depth would be taken for if the service had no probe, beside what it is.
absl::Status JudgeInference(absl::Span<const LabelledRun> runs, const TreeInputs& inputs,
                            TreeTrainingReport* report) {
  constexpr std::uint64_t kEach = 16;  // ticks
  if (!inputs.edges) return absl::OkStatus();
  for (const LabelledRun& run : runs) {
    internal::MeasureTable table;
    table.Follow(run.topology);
    std::uint64_t ticks = 0;
    const absl::Status played = run.for_each_tick([&](const ClusterTick& tick) {
      if (ticks++ % kEach != 0) return absl::OkStatus();
      table.ReadArrivals(tick, run.topology, inputs.channels, true);
      const auto self = table.Column(internal::Measure::kSelf);
      const auto outstanding = table.Column(internal::Measure::kOutstanding);
      for (std::size_t s = 0; s < self.size(); ++s) {
        const float inferred = outstanding[s] - table.BlockedByCallees(tick, s);
        const auto wrong = static_cast<double>(std::abs(inferred - self[s]));
        if (!table.Calls(s) || !std::isfinite(wrong)) continue;
        report->inferred += 1;
        report->inferred_error += wrong;
        report->inferred_depth += static_cast<double>(std::max(self[s], 0.0f));
      }
      return absl::OkStatus();
    });
    if (!played.ok()) return played;
  }
  if (report->inferred == 0) return absl::OkStatus();
  report->inferred_error /= static_cast<double>(report->inferred);
  report->inferred_depth /= static_cast<double>(report->inferred);
  return absl::OkStatus();
}

absl::StatusOr<TickPeriod> PeriodOf(absl::Span<const LabelledRun> runs) {
  for (const LabelledRun& run : runs) {
    TickPeriod period;
    bool found = false;
    const absl::Status status = run.for_each_tick([&](const ClusterTick& tick) {
      period = tick.period;
      found = true;
      return absl::CancelledError("enough");
    });
    if (found) return period;
    SEER_RETURN_IF_ERROR(status);
  }
  return absl::InvalidArgumentError("training runs: they have no ticks: give recordings");
}

}  // namespace

absl::StatusOr<TreeModel> TrainTrees(absl::Span<const LabelledRun> train,
                                     absl::Span<const LabelledRun> validation,
                                     const TreeTrainingOptions& options,
                                     TreeTrainingReport* report) {
  TreeTrainingReport own;
  if (report == nullptr) report = &own;
  *report = TreeTrainingReport();
  TreeModel model;
  model.inputs = options.inputs;
  model.horizons_ns = options.horizons_ns;
  if (options.horizons_ns.empty() || options.horizons_ns.size() > BoostedTrees::kMaxOutputs ||
      !std::is_sorted(options.horizons_ns.begin(), options.horizons_ns.end()) ||
      options.horizons_ns.front() <= 0) {
    return absl::InvalidArgumentError("options.horizons_ns: give 1 to 16, growing");
  }
  if (train.empty()) return absl::InvalidArgumentError("training runs: there are none: give some");
  if (validation.empty()) {
    return absl::InvalidArgumentError(
        "validation runs: there are none: give runs of their own, or keep back a part of the "
        "training runs");
  }
  SEER_ASSIGN_OR_RETURN(model.period, PeriodOf(train));
  for (const LabelledRun& run : train) report->violations += run.violations.size();

  SEER_ASSIGN_OR_RETURN(Collected rows, Collect(train, model.period, options, options.view_stride));
  report->ticks = rows.ticks;
  report->rows = rows.violations.rows();
  report->rows_ahead = rows.ahead;
  report->rows_stirring = rows.stirring;
  report->initiator_groups = rows.groups;
  if (rows.ahead == 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        "training runs: no tick of ", rows.ticks, " is ahead of one of their ", report->violations,
        " violations: label the recordings (`seer label`), or give longer ones"));
  }
  SEER_ASSIGN_OR_RETURN(const Collected held, Collect(validation, model.period, options, 0));
  {
    absl::StatusOr<BoostedTrees> foresees, blames = BoostedTrees();
    // Two fits that do not need each other.
    const std::size_t fits = rows.groups > 0 ? 2 : 1;
    SEER_RETURN_IF_ERROR(InParallel(options.threads, fits, [&](std::size_t i) {
      if (i == 0) {
        foresees = BoostedTrees::Fit(rows.violations, &held.violations, options.violations);
        return foresees.status();
      }
      blames = BoostedTrees::Fit(rows.initiators, held.groups > 0 ? &held.initiators : nullptr,
                                 options.initiators);
      return blames.status();
    }));
    model.violations = *std::move(foresees);
    model.initiators = *std::move(blames);
  }
  report->violation_trees = model.violations.size();
  report->initiator_trees = model.initiators.size();

  // The predictor itself on the validation runs: not calibrated yet, and with a threshold so low
  // that the initiators are always ranked.
  TreeModel open = model;
  open.calibration.threshold = 1e-3;
  std::vector<HeardRun> heard(validation.size());
  SEER_RETURN_IF_ERROR(InParallel(options.threads, validation.size(), [&](std::size_t i) {
    TreePredictorOptions quick;
    quick.evidence = false;
    SEER_ASSIGN_OR_RETURN(const auto predictor, MakeTreePredictor(open, quick));
    SEER_ASSIGN_OR_RETURN(heard[i], Listen(validation[i], predictor.get(), model.horizons_ns));
    return absl::OkStatus();
  }));
  std::vector<ForecastTrack> tracks;
  double hours = 0;
  for (const HeardRun& run : heard) {
    hours += run.hours;
    for (const HeardClass& one : run.classes) tracks.push_back(one.forecasts);
  }
  SEER_ASSIGN_OR_RETURN(report->alarm, FitAlarm(tracks, model.horizons_ns, hours, options.alarm));
  model.calibration = report->alarm.calibration;
  JudgeBlame(&heard, model, report);
  SEER_RETURN_IF_ERROR(JudgeInference(validation, options.inputs, report));
  SEER_RETURN_IF_ERROR(model.Validate());
  return model;
}

SEER_END_NAMESPACE
