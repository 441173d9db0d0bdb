#include "benchmarks/live/rivals.h"

#include <cstdint>
#include <memory>
#include <optional>
#include <utility>

#include "examples/seer/recorded.h"
#include "seer/predict/alarm_score.h"
#include "seer/predict/listen.h"
#include "seer/predict/rivals.h"

namespace seer::bench {
namespace {

struct Counts {
  std::uint64_t violations = 0, hits = 0, false_alarms = 0, blamed = 0, blamed_rightly = 0;
  double hours = 0;

  void Add(const HeardRun& run) {
    hours += run.hours;
    for (const HeardClass& one : run.classes) {
      const AlarmScore score = ScoreAlarms(one.alarms);
      violations += one.violations.size();
      hits += score.hits;
      false_alarms += score.false_alarms;
      for (const ScoredAlarm& alarm : score.alarms) {
        const int right = BlamedRightly(one, alarm);
        blamed += right >= 0 ? 1 : 0;
        blamed_rightly += right > 0 ? 1 : 0;
      }
    }
  }
};

double Share(std::uint64_t some, std::uint64_t all) {
  return all > 0 ? static_cast<double>(some) / static_cast<double>(all) : 0;
}

}  // namespace

RivalScore BestRival(const std::vector<std::string>& recordings) {
  RivalScore best;
  const auto readers = seer_tool::OpenAll(recordings);
  if (!readers.ok()) return best;
  auto parts = seer_tool::PartsOf(*readers, std::nullopt, "social-network");
  if (!parts.ok()) return best;
  std::vector<seer_tool::Part> watched;
  for (seer_tool::Part& part : *parts) {
    if (part.reader->manifest().runs[part.run].name == "watch") watched.push_back(std::move(part));
  }
  const std::vector<LabelledRun> runs = seer_tool::LabelledRunsOf(watched);
  for (const RivalKind kind : kAllRivals) {
    const RivalOptions options;
    auto rival = MakeRival(kind, options);
    if (!rival.ok()) continue;
    Counts counts;
    for (const LabelledRun& run : runs) {
      const auto heard = Listen(run, rival->get(), {options.alarm_horizon_ns});
      if (heard.ok()) counts.Add(*heard);
    }
    RivalScore score;
    score.name = std::string(RivalName(kind));
    score.recall = Share(counts.hits, counts.violations);
    score.precision = Share(counts.hits, counts.hits + counts.false_alarms);
    score.culprit = Share(counts.blamed_rightly, counts.blamed);
    if (counts.hours > 0) {
      score.false_alarms_per_hour = static_cast<double>(counts.false_alarms) / counts.hours;
    }
    if (counts.violations > 0 && (best.name.empty() || score.f1() > best.f1())) best = score;
  }
  return best;
}

}  // namespace seer::bench
