#include "benchmarks/evaluation/score.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <set>
#include <utility>

#include "benchmarks/evaluation/statistics.h"
#include "benchmarks/evaluation/thresholds.h"

namespace seer::evaluation {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

double Share(double part, double whole) { return whole > 0 ? part / whole : kNan; }

Metric Proportion(std::uint64_t successes, std::uint64_t trials) {
  const Interval interval = Wilson(successes, trials);
  return {Share(static_cast<double>(successes), static_cast<double>(trials)), interval.low,
          interval.high, trials};
}

// One class of one run.
struct Part {
  ClassLines lines;
  std::vector<Span> spans;
  std::vector<const ViolationRow*> violations;
  std::vector<TailRow> tails;
};

// By class. Takes the lines away.
std::vector<Part> PartsOf(RunToScore* of, std::int32_t horizon_ms) {
  const Run& run = *of->run;
  const Names& names = *of->names;
  std::map<std::string, Part> parts;
  for (ClassLines& lines : of->lines) {
    if (!lines.times_ms.empty()) parts[lines.request_class].lines = std::move(lines);
  }
  std::map<std::uint32_t, Part*> by_id;  // a look-up by name for each line takes too long
  const auto part = [&](std::uint32_t id) -> Part& {
    Part*& own = by_id[id];
    if (own == nullptr) own = &parts[names[id]];
    return *own;
  };
  for (const ForecastRow& row : run.forecasts) {
    if (row.horizon_ms != horizon_ms) continue;
    ClassLines& lines = part(row.request_class).lines;
    lines.times_ms.push_back(row.time_ms);
    lines.p.push_back(row.p_violation);
    lines.alarms.push_back(row.alarm ? 1 : 0);
    lines.culprits.push_back(row.culprit);
  }
  for (const ViolationRow& row : run.violations) {
    Part& p = parts[row.request_class];
    p.spans.push_back({row.start_ms, row.end_ms});
    p.violations.push_back(&row);
  }
  for (const TailRow& row : run.tails) part(row.request_class).tails.push_back(row);
  std::vector<Part> list;
  for (auto& [name, p] : parts) list.push_back(std::move(p));
  return list;
}

absl::StatusOr<std::int32_t> HorizonOf(const Recording& recording, std::int32_t wanted) {
  std::set<std::int32_t> found;
  for (const Run& run : recording.runs) {
    for (const ForecastRow& row : run.forecasts) found.insert(row.horizon_ms);
  }
  if (wanted != 0) {
    if (found.empty() || found.count(wanted) > 0) return wanted;
    return absl::InvalidArgumentError("horizon_ms: no forecast is for " + std::to_string(wanted));
  }
  if (found.empty()) return 0;
  if (found.size() == 1) return *found.begin();
  std::string all;
  for (const std::int32_t h : found) all += " " + std::to_string(h);
  return absl::InvalidArgumentError("horizon_ms: the forecasts have several, choose one of:" + all);
}

std::vector<Moment> MomentsOf(const Part& part) {
  std::vector<Moment> moments;
  moments.reserve(part.lines.p.size());
  for (std::size_t i = 0; i < part.lines.p.size(); ++i) {
    moments.push_back({part.lines.times_ms[i], part.lines.alarms[i] != 0});
  }
  return moments;
}

void AddCalibration(const Part& part, std::int64_t horizon_ms, std::int64_t run_end_ms,
                    double alarm_from, RunScore* run) {
  std::size_t next = 0;  // the first violation that starts after the line's time
  for (std::size_t i = 0; i < part.lines.p.size(); ++i) {
    const std::int64_t now_ms = part.lines.times_ms[i];
    while (next < part.spans.size() && part.spans[next].start_ms <= now_ms) ++next;
    // In a violation none can start; near the end nobody saw whether one did.
    if (next > 0 && now_ms <= part.spans[next - 1].end_ms) continue;
    const bool starts =
        next < part.spans.size() && part.spans[next].start_ms <= now_ms + horizon_ms;
    if (!starts && now_ms + horizon_ms > run_end_ms) continue;
    const double p = part.lines.p[i];
    const std::size_t count = run->bins.size();
    const auto bin = std::min(count - 1, static_cast<std::size_t>(p * static_cast<double>(count)));
    const auto add = [&](CalibrationBin* b) {
      ++b->lines;
      b->starts += starts;
      b->sum_p += p;
    };
    add(&run->bins[bin]);
    if (p >= alarm_from) add(&run->alarm_bins[bin]);
    run->brier_sum += (p - starts) * (p - starts);
  }
}

double Ece(const std::vector<CalibrationBin>& bins) {
  double lines = 0;
  double error = 0;
  for (const CalibrationBin& bin : bins) {
    lines += static_cast<double>(bin.lines);
    error += std::abs(bin.sum_p - static_cast<double>(bin.starts));
  }
  return Share(error, lines);
}

// Sums over runs, each as often as it was drawn.
using Times = std::vector<std::uint32_t>;
template <typename Value>
double Sum(const Score& score, const Times& times, Value value) {
  double sum = 0;
  for (std::size_t i = 0; i < score.runs.size(); ++i) {
    sum += times[i] * static_cast<double>(value(score.runs[i]));
  }
  return sum;
}

std::vector<CalibrationBin> SumBins(const Score& score, const Times& times,
                                    std::vector<CalibrationBin> RunScore::*bins) {
  std::vector<CalibrationBin> sum;
  for (std::size_t i = 0; i < score.runs.size(); ++i) {
    const std::vector<CalibrationBin>& own = score.runs[i].*bins;
    sum.resize(own.size());
    for (std::size_t b = 0; b < own.size(); ++b) {
      sum[b].lines += times[i] * own[b].lines;
      sum[b].starts += times[i] * own[b].starts;
      sum[b].sum_p += times[i] * own[b].sum_p;
    }
  }
  return sum;
}

std::vector<PrPoint> PrCurve(const Score& score, const Times& times,
                             const std::vector<double>& thresholds) {
  std::vector<PrPoint> points;
  const double violations = Sum(score, times, [](const RunScore& r) { return r.violations; });
  const double hours = Sum(score, times, [](const RunScore& r) { return r.hours; });
  for (std::size_t t = 0; t < thresholds.size(); ++t) {
    const double hits = Sum(score, times, [&](const RunScore& r) { return r.pr_hits[t]; });
    const double wrong = Sum(score, times, [&](const RunScore& r) { return r.pr_false[t]; });
    points.push_back(
        {thresholds[t], Share(hits, violations), Share(hits, hits + wrong), Share(wrong, hours)});
  }
  return points;
}

double AreaUnder(std::vector<PrPoint> points) {
  points.erase(std::remove_if(points.begin(), points.end(),
                              [](const PrPoint& p) {
                                return std::isnan(p.recall) || std::isnan(p.precision);
                              }),
               points.end());
  std::sort(points.begin(), points.end(),
            [](const PrPoint& a, const PrPoint& b) { return a.recall < b.recall; });
  double area = 0;
  double best = 0;  // precision at this recall or above, from the right
  for (std::size_t i = points.size(); i-- > 0;) {
    best = std::max(best, points[i].precision);
    const double before = i == 0 ? 0 : points[i - 1].recall;
    area += (points[i].recall - before) * best;
  }
  return area;
}

template <typename Statistic>
Metric OverRuns(const Score& score, const ScoreOptions& options, std::uint64_t of,
                const Statistic& statistic) {
  Metric metric{statistic(Times(score.runs.size(), 1)), kNan, kNan, of};
  if (score.runs.size() < 2 || std::isnan(metric.value)) return metric;
  const Interval interval =
      Bootstrap(score.runs.size(), options.bootstrap, options.seed, statistic);
  metric.low = interval.low;
  metric.high = interval.high;
  return metric;
}

template <typename Count>
Metric RatePerHour(const Score& score, const ScoreOptions& options, const Count& count) {
  Metric metric = OverRuns(score, options, score.runs.size(), [&](const Times& times) {
    return Share(Sum(score, times, count),
                 Sum(score, times, [](const RunScore& r) { return r.hours; }));
  });
  if (score.runs.size() == 1 && score.hours > 0) {
    const Interval interval = PoissonInterval(count(score.runs[0]));
    metric.low = interval.low / score.hours;
    metric.high = interval.high / score.hours;
  }
  return metric;
}

void AddGroups(Score* score) {
  std::map<std::pair<std::string, std::string>, GroupScore> groups;
  for (const ScoredViolation& v : score->violations) {
    std::vector<std::pair<std::string, std::string>> keys = {
        {"cause", v.row.cause}, {"class", v.row.request_class}, {"culprit", v.row.culprit}};
    keys.insert(keys.end(), v.row.groups.begin(), v.row.groups.end());
    for (const auto& key : keys) {
      GroupScore& group = groups[key];
      group.column = key.first;
      group.value = key.second;
      ++group.violations;
      group.hits += v.hit;
      group.late += v.late;
      if (v.row.culprit.empty() || !v.hit) continue;
      ++group.culprits_known;
      group.culprits_right += v.culprit_right;
    }
  }
  for (auto& [key, group] : groups) score->groups.push_back(std::move(group));
}

void AddMetrics(const ScoreOptions& options, const std::vector<double>& thresholds,
                const std::vector<std::uint64_t>& hits_at_lead, Score* score) {
  const auto add = [&](std::string id, const Metric& metric) {
    score->metrics.emplace_back(std::move(id), metric);
  };
  const std::uint64_t violations = score->violations.size();
  const std::uint64_t hits = score->hits;
  const std::uint64_t real_false = score->false_alarms - score->near_misses;
  add("recall", Proportion(hits, violations));
  add("precision", Proportion(hits, hits + score->false_alarms));
  add("precision_besides_near_misses", Proportion(hits, hits + real_false));
  add("false_alarms_per_hour",
      RatePerHour(*score, options, [](const RunScore& r) { return r.false_alarms; }));
  Metric near = RatePerHour(*score, options, [](const RunScore& r) { return r.near_misses; });
  Metric besides = RatePerHour(*score, options,
                               [](const RunScore& r) { return r.false_alarms - r.near_misses; });
  if (!score->near_misses_known) near = besides = Metric{kNan, kNan, kNan, 0};
  add("near_misses_per_hour", near);
  add("false_alarms_besides_near_misses_per_hour", besides);
  add("late", Proportion(score->late, violations));

  struct Culprits {
    std::uint64_t right = 0, hits = 0, all = 0;
  };
  Culprits everywhere, traps;
  for (const ScoredViolation& v : score->violations) {
    if (v.row.culprit.empty()) continue;
    const auto count = [&](Culprits* c) {
      ++c->all;
      c->hits += v.hit;
      c->right += v.culprit_right;
    };
    count(&everywhere);
    if (v.row.trap) count(&traps);
  }
  add("culprit_top1", Proportion(everywhere.right, everywhere.hits));
  add("culprit_top1_all", Proportion(everywhere.right, everywhere.all));
  add("culprit_traps", Proportion(traps.right, traps.hits));
  add("culprit_traps_all", Proportion(traps.right, traps.all));

  for (std::size_t i = 0; i < options.leads_ms.size(); ++i) {
    add("recall_lead_" + std::to_string(options.leads_ms[i]),
        Proportion(hits_at_lead[i], violations));
  }
  std::map<std::string, std::vector<double>> leads;
  for (const ScoredViolation& v : score->violations) {
    if (v.hit) leads[v.run].push_back(static_cast<double>(v.lead_ms));
  }
  for (const auto& [id, q] : {std::pair("lead_p10_ms", 0.1), std::pair("lead_median_ms", 0.5),
                              std::pair("lead_p90_ms", 0.9)}) {
    add(id, OverRuns(*score, options, hits, [&, q = q](const Times& times) {
          std::vector<double> drawn;
          for (std::size_t i = 0; i < score->runs.size(); ++i) {
            const auto own = leads.find(score->runs[i].name);
            if (own == leads.end()) continue;
            for (std::uint32_t k = 0; k < times[i]; ++k) {
              drawn.insert(drawn.end(), own->second.begin(), own->second.end());
            }
          }
          return Quantile(std::move(drawn), q);
        }));
  }

  add("pr_auc", OverRuns(*score, options, violations, [&](const Times& times) {
        if (Sum(*score, times, [](const RunScore& r) { return r.violations; }) == 0) return kNan;
        return AreaUnder(PrCurve(*score, times, thresholds));
      }));
  std::uint64_t lines = 0;
  std::uint64_t alarm_lines = 0;
  for (const RunScore& run : score->runs) {
    for (const CalibrationBin& bin : run.bins) lines += bin.lines;
    for (const CalibrationBin& bin : run.alarm_bins) alarm_lines += bin.lines;
  }
  add("ece", OverRuns(*score, options, lines, [&](const Times& times) {
        return Ece(SumBins(*score, times, &RunScore::bins));
      }));
  add("ece_alarm", OverRuns(*score, options, alarm_lines, [&](const Times& times) {
        return Ece(SumBins(*score, times, &RunScore::alarm_bins));
      }));
  add("brier", OverRuns(*score, options, lines, [&](const Times& times) {
        return Share(Sum(*score, times, [](const RunScore& r) { return r.brier_sum; }),
                     Sum(*score, times, [](const RunScore& r) {
                       std::uint64_t own = 0;
                       for (const CalibrationBin& bin : r.bins) own += bin.lines;
                       return own;
                     }));
      }));
}

}  // namespace

const Metric& Score::metric(std::string_view id) const {
  static const Metric none{kNan, kNan, kNan, 0};
  for (const auto& [own, value] : metrics) {
    if (own == id) return value;
  }
  return none;
}

absl::StatusOr<Score> ScoreForecasts(const Recording& recording, const ScoreOptions& options) {
  auto horizon = HorizonOf(recording, options.horizon_ms);
  if (!horizon.ok()) return horizon.status();
  ScoreOptions own = options;
  own.horizon_ms = *horizon;
  return ScoreRuns(
      recording.runs.size(),
      [&](std::size_t i) -> absl::StatusOr<RunToScore> {
        return RunToScore{nullptr, &recording.names, &recording.runs[i], {}, {}};
      },
      own);
}

absl::StatusOr<Score> ScoreRuns(std::size_t count,
                                const std::function<absl::StatusOr<RunToScore>(std::size_t)>& load,
                                const ScoreOptions& options) {
  if (options.bins == 0) return absl::InvalidArgumentError("bins: give at least 1");
  Score score;
  score.name = options.name;
  score.horizon_ms = options.horizon_ms;

  // Once for what thresholds and bins are about ...
  ThresholdLevels levels;
  double alarm_from = std::numeric_limits<double>::infinity();
  std::vector<std::int64_t> run_end_ms;
  for (std::size_t i = 0; i < count; ++i) {
    auto loaded = load(i);
    if (!loaded.ok()) return loaded.status();
    const Run& run = *loaded->run;
    RunScore row;
    row.name = run.name;
    std::int64_t start_ms = run.start_ms;
    std::int64_t end_ms = run.end_ms;
    if (end_ms <= start_ms && !run.forecasts.empty()) {
      start_ms = run.forecasts.front().time_ms;
      end_ms = run.forecasts.back().time_ms;
    }
    row.hours = static_cast<double>(std::max<std::int64_t>(0, end_ms - start_ms)) / 3.6e6;
    row.bins.resize(options.bins);
    row.alarm_bins.resize(options.bins);
    score.near_misses_known = score.near_misses_known || !run.tails.empty();
    run_end_ms.push_back(end_ms);
    score.runs.push_back(std::move(row));
    for (const Part& part : PartsOf(&*loaded, options.horizon_ms)) {
      levels.Add(part.lines, part.spans, options.rules);
      for (const std::size_t start : AlarmStarts(MomentsOf(part), options.rules)) {
        alarm_from = std::min<double>(alarm_from, part.lines.p[start]);
      }
    }
  }
  const std::vector<double> thresholds = ThresholdsOf(levels, options.thresholds);
  std::vector<std::uint64_t> hits_at_lead(options.leads_ms.size(), 0);

  // ... and once to count.
  for (std::size_t i = 0; i < count; ++i) {
    RunScore& run = score.runs[i];
    run.pr_hits.assign(thresholds.size(), 0);
    run.pr_false.assign(thresholds.size(), 0);
    auto loaded = load(i);
    if (!loaded.ok()) return loaded.status();
    const bool by_names = loaded->lines.empty();
    for (const Part& part : PartsOf(&*loaded, options.horizon_ms)) {
      score.lines += part.lines.p.size();
      const Matched matched = Match(MomentsOf(part), part.spans, part.tails, options.rules);
      std::vector<std::int64_t> starts_ms;
      for (const Alarm& alarm : matched.alarms) {
        starts_ms.push_back(alarm.start_ms);
        ++run.alarms;
        run.after += alarm.kind == AlarmKind::kAfter;
        run.false_alarms += alarm.kind == AlarmKind::kFalse;
        run.near_misses += alarm.near_miss;
      }
      for (std::size_t v = 0; v < part.violations.size(); ++v) {
        const ViolationOutcome& outcome = matched.violations[v];
        ScoredViolation scored;
        scored.run = run.name;
        scored.row = *part.violations[v];
        scored.hit = outcome.alarm >= 0;
        scored.late = outcome.late;
        if (scored.hit) {
          const Alarm& alarm = matched.alarms[static_cast<std::size_t>(outcome.alarm)];
          scored.lead_ms = scored.row.start_ms - alarm.start_ms;
          const std::uint32_t named = part.lines.culprits[alarm.forecast];
          scored.named = by_names ? (*loaded->names)[named] : loaded->culprits[named];
          scored.culprit_right = !scored.row.culprit.empty() && scored.named == scored.row.culprit;
        }
        ++run.violations;
        run.hits += scored.hit;
        run.late += scored.late;
        if (scored.hit) score.leads_ms.push_back(static_cast<double>(scored.lead_ms));
        score.violations.push_back(std::move(scored));
      }
      for (std::size_t l = 0; l < options.leads_ms.size(); ++l) {
        for (const std::int32_t alarm : MatchAlarms(starts_ms, part.spans, options.leads_ms[l],
                                                    options.rules.longest_lead_ms)) {
          hits_at_lead[l] += alarm >= 0;
        }
      }
      StartsAtThresholds starts(part.lines, options.rules);
      for (std::size_t t = 0; t < thresholds.size(); ++t) {
        const Matched at = Match(starts.At(thresholds[t]), part.spans, {}, options.rules);
        for (const Alarm& alarm : at.alarms) {
          run.pr_hits[t] += alarm.kind == AlarmKind::kHit;
          run.pr_false[t] += alarm.kind == AlarmKind::kFalse;
        }
      }
      AddCalibration(part, options.horizon_ms, run_end_ms[i], alarm_from, &run);
    }
  }

  for (const RunScore& run : score.runs) {
    score.hours += run.hours;
    score.hits += run.hits;
    score.late += run.late;
    score.alarms += run.alarms;
    score.false_alarms += run.false_alarms;
    score.near_misses += run.near_misses;
    score.after += run.after;
  }
  const Times once(score.runs.size(), 1);
  score.pr = PrCurve(score, once, thresholds);
  score.bins = SumBins(score, once, &RunScore::bins);
  score.alarm_bins = SumBins(score, once, &RunScore::alarm_bins);
  AddGroups(&score);
  AddMetrics(options, thresholds, hits_at_lead, &score);
  return score;
}

absl::StatusOr<Comparison> Compare(const Score& first, const Score& second,
                                   const ScoreOptions& options) {
  bool same = first.violations.size() == second.violations.size() &&
              first.runs.size() == second.runs.size();
  for (std::size_t i = 0; same && i < first.violations.size(); ++i) {
    const ScoredViolation& a = first.violations[i];
    const ScoredViolation& b = second.violations[i];
    same = a.run == b.run && a.row.start_ms == b.row.start_ms &&
           a.row.request_class == b.row.request_class;
  }
  for (std::size_t i = 0; same && i < first.runs.size(); ++i) {
    same = first.runs[i].name == second.runs[i].name;
  }
  if (!same) {
    return absl::InvalidArgumentError("compare: '" + first.name + "' and '" + second.name +
                                      "' were not scored on the same violations");
  }
  Comparison result;
  result.first = first.name;
  result.second = second.name;
  for (std::size_t i = 0; i < first.violations.size(); ++i) {
    const ScoredViolation& a = first.violations[i];
    const ScoredViolation& b = second.violations[i];
    ++(a.hit ? (b.hit ? result.both : result.only_first)
             : (b.hit ? result.only_second : result.neither));
    result.culprit_only_first += a.culprit_right && !b.culprit_right;
    result.culprit_only_second += b.culprit_right && !a.culprit_right;
  }
  result.recall_p = McNemar(result.only_first, result.only_second);
  result.culprit_p = McNemar(result.culprit_only_first, result.culprit_only_second);

  const auto difference = [&](auto part, auto whole) {
    return OverRuns(first, options, first.runs.size(), [&](const Times& times) {
      return Share(Sum(second, times, part), Sum(second, times, whole)) -
             Share(Sum(first, times, part), Sum(first, times, whole));
    });
  };
  result.recall_difference = difference([](const RunScore& r) { return r.hits; },
                                        [](const RunScore& r) { return r.violations; });
  result.false_alarms_per_hour_difference = difference(
      [](const RunScore& r) { return r.false_alarms; }, [](const RunScore& r) { return r.hours; });
  std::vector<double> false_alarms;
  for (std::size_t i = 0; i < first.runs.size(); ++i) {
    false_alarms.push_back(static_cast<double>(second.runs[i].false_alarms) -
                           static_cast<double>(first.runs[i].false_alarms));
  }
  result.false_alarms_p = SignFlipTest(false_alarms, 2000, options.seed);
  return result;
}

}  // namespace seer::evaluation
