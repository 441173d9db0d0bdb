#include "benchmarks/evaluation/fit.h"

#include <algorithm>
#include <cmath>
#include <functional>

namespace seer::evaluation {
namespace {

constexpr std::int64_t kNsPerMs = 1'000'000;

// One class of one run.
struct Part {
  std::vector<std::int64_t> times_ms;
  std::vector<double> scores;
  std::vector<bool> alarms;  // as they came
  std::vector<Span> spans;
  std::vector<TailRow> tails;
  std::vector<double> most;  // score of each block of kBlock lines
  std::int64_t gap_ms = 0;   // of episodes
};
constexpr std::size_t kBlock = 64;

double ScoreOf(double p, const ProbeOptions& options) {
  if (options.scale != Scale::kRatio4) return p;
  if (p >= 1) return 1e12;
  return options.probe * std::sqrt(std::sqrt(p / (1 - p)));
}

std::vector<Part> PartsOf(const Names& names, absl::Span<const TracedRun> runs,
                          const ProbeOptions& options) {
  std::vector<Part> parts;
  for (const TracedRun& run : runs) {
    const Trace& trace = *run.trace;
    for (std::size_t c = 0; c < trace.classes().size(); ++c) {
      Part part;
      for (std::size_t t = 0; t < trace.ticks(); ++t) {
        const Trace::Cell cell = trace.at(t, c);
        if (!cell.known) continue;
        part.times_ms.push_back(trace.time_ms(t));
        part.scores.push_back(ScoreOf(static_cast<double>(cell.p), options));
        part.alarms.push_back(cell.alarm);
        if ((part.scores.size() - 1) % kBlock == 0) part.most.push_back(0);
        part.most.back() = std::max(part.most.back(), part.scores.back());
      }
      for (const ViolationRow& v : run.truth->violations) {
        if (v.request_class == trace.classes()[c]) part.spans.push_back({v.start_ms, v.end_ms});
      }
      for (const TailRow& row : run.truth->tails) {
        if (names[row.request_class] == trace.classes()[c]) part.tails.push_back(row);
      }
      part.gap_ms = EpisodeGapMs(part.times_ms, options.rules);
      parts.push_back(std::move(part));
    }
  }
  return parts;
}

// Scores at falling ranks, denser at the top, and those at which one violation more is foreseen.
std::vector<double> Candidates(const std::vector<Part>& parts, const ProbeOptions& options) {
  std::vector<double> scores, levels;
  for (const Part& part : parts) {
    scores.insert(scores.end(), part.scores.begin(), part.scores.end());
    for (const Span& span : part.spans) {
      double most = 0;
      const auto from = std::lower_bound(part.times_ms.begin(), part.times_ms.end(),
                                         span.start_ms - options.rules.longest_lead_ms);
      for (auto i = static_cast<std::size_t>(from - part.times_ms.begin());
           i < part.scores.size() &&
           part.times_ms[i] <= span.start_ms - options.rules.action_lead_ms;
           ++i) {
        most = std::max(most, part.scores[i]);
      }
      levels.push_back(most);
    }
  }
  std::vector<double> candidates;
  for (std::vector<double>* values : {&scores, &levels}) {
    std::sort(values->begin(), values->end(), std::greater<>());
    if (values->empty()) continue;
    const auto last = static_cast<double>(values->size() - 1);
    const std::size_t count = std::max<std::size_t>(2, options.candidates / 2);
    for (std::size_t i = 0; i < count; ++i) {
      const double part = static_cast<double>(i) / static_cast<double>(count - 1);
      const double rank =
          values == &scores ? std::exp2(part * std::log2(last + 1)) - 1 : part * last;
      candidates.push_back((*values)[static_cast<std::size_t>(std::clamp(rank, 0.0, last))]);
    }
  }
  std::sort(candidates.begin(), candidates.end(), std::greater<>());
  candidates.erase(std::unique(candidates.begin(), candidates.end()), candidates.end());
  while (!candidates.empty() && !(candidates.back() > 0)) candidates.pop_back();
  return candidates;
}

void CountAt(const Part& part, double threshold, const ProbeOptions& options, Fitted* counts) {
  counts->violations += part.spans.size();
  std::vector<std::int64_t> starts_ms;
  Episodes episodes(part.gap_ms, options.rules);
  AlarmLatch latch;
  for (std::size_t i = 0; i < part.scores.size(); ++i) {
    // A score below the threshold never raises an alarm, nor leaves anything behind.
    if (i % kBlock == 0 && options.scale != Scale::kOwn && !latch.alarm() &&
        part.most[i / kBlock] < threshold) {
      latch.Reset();
      episodes.PassOver();
      i += kBlock - 1;
      continue;
    }
    const bool alarm =
        options.scale == Scale::kOwn
            ? part.alarms[i]
            : latch.Observe(part.scores[i] / threshold, part.times_ms[i] * kNsPerMs, options.alarm);
    if (episodes.Observe(part.times_ms[i], alarm)) starts_ms.push_back(part.times_ms[i]);
  }
  const Matched matched = Match(starts_ms, part.spans, part.tails, options.rules);
  counts->alarms += matched.alarms.size();
  for (const Alarm& alarm : matched.alarms) {
    counts->hits += alarm.kind == AlarmKind::kHit;
    counts->false_alarms += alarm.kind == AlarmKind::kFalse;
    counts->near_misses += alarm.near_miss;
  }
}

}  // namespace

Fitted FitThreshold(const Names& names, absl::Span<const TracedRun> runs,
                    const ProbeOptions& options, double false_alarms_per_hour) {
  const std::vector<Part> parts = PartsOf(names, runs, options);
  double hours = 0;
  for (const TracedRun& run : runs) {
    hours += static_cast<double>(run.truth->end_ms - run.truth->start_ms) / 3.6e6;
  }
  const auto count = [&](double threshold) {
    Fitted counts;
    counts.threshold = threshold;
    counts.hours = hours;
    for (const Part& part : parts) CountAt(part, threshold, options, &counts);
    return counts;
  };
  if (options.scale == Scale::kOwn) return count(0);

  double most = 0;
  for (const Part& part : parts) {
    for (const double block : part.most) most = std::max(most, block);
  }
  const double above = options.scale == Scale::kProbability
                           ? std::min(0.999999, most + 1e-6)
                           : std::max({most * 1.000001, options.usual, 1e-9});
  Fitted best = count(above);
  for (double candidate : Candidates(parts, options)) {
    candidate *= 1 - 1e-4;  // P is a float: the predictor's own score may lie a little lower
    if (options.scale == Scale::kProbability) candidate = std::min(candidate, 0.999999);
    const Fitted at = count(candidate);
    const double real = at.PerHour(at.false_alarms - at.near_misses);
    if (options.least_precision > 0) {
      const auto hits = static_cast<double>(at.hits);
      if (hits < options.least_precision * (hits + static_cast<double>(at.false_alarms))) continue;
    } else if (real > false_alarms_per_hour) {
      continue;
    }
    const bool better =
        at.hits > best.hits || (at.hits == best.hits && at.false_alarms < best.false_alarms);
    if (better) best = at;
  }
  return best;
}

}  // namespace seer::evaluation
