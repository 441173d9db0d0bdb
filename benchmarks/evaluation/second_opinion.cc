#include "benchmarks/evaluation/second_opinion.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "benchmarks/evaluation/oracle.h"
#include "benchmarks/evaluation/statistics.h"

namespace seer::evaluation {

std::vector<AskedAlarm> AlarmsOf(const HeardRun& heard, std::size_t every, std::size_t skip) {
  std::vector<AskedAlarm> asked;
  std::size_t hits = skip, others = skip;
  const AlarmRules rules;
  for (const HeardClass& one : heard.classes) {
    for (const ScoredAlarm& alarm : ScoreAlarms(one.alarms, rules).alarms) {
      const bool hit = alarm.outcome == AlarmOutcome::kHit;
      if (!hit && alarm.outcome != AlarmOutcome::kFalse) continue;
      if ((hit ? hits : others)++ % std::max<std::size_t>(1, every) != 0) continue;
      AskedAlarm& own = asked.emplace_back();
      own.request_class = one.request_class;
      own.time_ns = one.alarms.times_ns[alarm.tick];
      own.hit = hit;
      own.near_miss = alarm.near_miss;
      for (const ViolationSpan& span : one.alarms.violations) {
        own.again = own.again || (!hit && own.time_ns >= span.start_ns - rules.longest_lead_ns &&
                                  own.time_ns <= span.start_ns - rules.action_lead_ns);
      }
    }
  }
  return asked;
}

absl::StatusOr<std::size_t> AskAgain(const PreparedRun& run, std::uint32_t futures,
                                     std::int64_t horizon_ms, std::vector<AskedAlarm>* alarms) {
  std::multimap<std::int64_t, AskedAlarm*> at;
  for (AskedAlarm& alarm : *alarms) at.emplace(alarm.time_ns, &alarm);
  cluster::ScenarioOptions scenario = run.scenario;
  scenario.truth = false;
  ViolationDetector detector;
  std::int64_t now_ns = 0;
  std::size_t violations = 0;
  scenario.control = [&](cluster::Simulator* simulator) {
    const auto [first, end] = at.equal_range(now_ns);
    if (first == end) return;
    const OracleState state{*simulator, detector};
    for (auto each = first; each != end; ++each) {
      const ClassId id = each->second->request_class;
      const auto after = FuturesOf(state, *run.model, id, futures, horizon_ms, run.plan.seed);
      each->second->futures = futures;
      each->second->violate = static_cast<std::uint32_t>(after.size());
    }
    at.erase(first, end);
  };
  cluster::RunScenario(run.model, scenario, [&](const ClusterTick& tick) {
    detector.Observe(tick, run.model->topology);
    violations += detector.TakeFinished().size();
    now_ns = tick.period.EndNs(tick.tick);
  });
  detector.Finish();
  violations += detector.TakeFinished().size();
  if (at.empty()) return violations;
  return absl::InternalError(run.plan.name + ": alarms at moments that are no tick's end: of " +
                             "another run");
}

SecondOpinion Summarize(const std::vector<AskedAlarm>& alarms) {
  struct Counts {
    std::uint64_t all = 0, raised = 0;
    double shares = 0;
    Metric metric() const {
      const Interval interval = Wilson(raised, all);
      const double value = all == 0 ? NAN : static_cast<double>(raised) / static_cast<double>(all);
      return {value, interval.low, interval.high, all};
    }
    double mean() const { return all == 0 ? NAN : shares / static_cast<double>(all); }
  };
  Counts hits, others, in_vain, again;
  for (const AskedAlarm& alarm : alarms) {
    Counts& kind = alarm.again ? again : in_vain;
    for (Counts* into : {alarm.hit ? &hits : &others, &kind}) {
      if (into == &kind && alarm.hit) continue;
      into->all += 1;
      into->raised += alarm.raised() ? 1 : 0;
      into->shares += alarm.share();
    }
  }
  const auto ratio = [](double part, double all) { return all > 0 ? part / all : NAN; };
  const auto of = [](std::uint64_t count) { return static_cast<double>(count); };
  SecondOpinion opinion;
  opinion.hits = hits.metric();
  opinion.false_alarms = others.metric();
  opinion.in_vain = in_vain.metric();
  opinion.again = again.metric();
  opinion.share_of_hits = hits.mean();
  opinion.share_of_false = others.mean();
  opinion.precision = ratio(of(hits.all), of(hits.all + others.all));
  opinion.precision_expected = ratio(hits.shares + others.shares, of(hits.all + others.all));
  opinion.precision_agreed = ratio(of(hits.raised), of(hits.raised + others.raised));
  return opinion;
}

}  // namespace seer::evaluation
