#include "judge.h"

#include <algorithm>
#include <cstdlib>
#include <set>
#include <sstream>
#include <utility>

#include "unix_time.h"

namespace social {
namespace {

constexpr std::int64_t kLeastLeadNs = 100 * kMs, kMostLeadNs = 2'000 * kMs;
constexpr std::int64_t kAfterNs = 500 * kMs;
constexpr std::int64_t kAfterFaultNs = 1'500 * kMs;  // until its queues are gone

std::size_t KindOf(const std::string& name) {
  for (std::size_t kind = 0; kind < kRequestKinds; ++kind) {
    if (name == kRequestNames[kind]) return kind;
  }
  return 0;
}

QueuesAt QueuesOf(const News& news) {
  QueuesAt at;
  at.at_ns = news.at_ns;
  for (const std::string& word : news.words) {
    const std::size_t end = word.find('=');
    if (end == std::string::npos) continue;
    std::istringstream numbers(word.substr(end + 1));
    std::array<double, 3>& depths = at.depths[word.substr(0, end)];
    char comma;
    numbers >> depths[0] >> comma >> depths[1] >> comma >> depths[2];
  }
  return at;
}

}  // namespace

void Record::Take(const News& news) {
  if (news.kind == "queues") {
    queues.push_back(QueuesOf(news));
  } else if (news.kind == "calls") {
    calls.clear();
    for (const std::string& word : news.words) {
      const std::size_t end = word.find('=');
      if (end != std::string::npos) calls.emplace_back(word.substr(0, end), word.substr(end + 1));
    }
  } else if (news.kind == "alarm") {
    alarms.push_back(
        {KindOf(news.word(0)), news.at_ns, news.word(1), news.number(2), news.word(3) == "lasts"});
  } else if (news.kind == "cause") {
    causes.push_back({KindOf(news.word(0)), news.at_ns, news.word(1), news.word(2), news.word(4),
                      news.number(3)});
  } else if (news.kind == "action") {
    actions.push_back({std::strtoull(news.word(0).c_str(), nullptr, 10), news.at_ns, news.word(1),
                       news.word(2), news.word(3), news.word(4), news.word(5), "", ""});
  } else if (news.kind == "outcome") {
    const auto id = std::strtoull(news.word(0).c_str(), nullptr, 10);
    for (Done& done : actions) {
      if (done.id != id) continue;
      // What is renewed is unchanged each time: said once, as the first that was found.
      if (news.word(2) == "unchanged" && !done.outcome.empty()) continue;
      done.outcome += (done.outcome.empty() ? "" : ", ") + news.word(2);
      done.detail = news.word(5);
    }
  } else if (news.kind == "learnt") {
    const bool better = news.word(2) == "better";
    notes.emplace_back(news.at_ns,
                       better ? "learnt a better model (" + news.word(0) + ")"
                              : "learnt no better model (" + news.word(0) + "): " + news.word(2));
  } else if (news.kind == "trace") {
    traces.push_back(news.word(0));
  } else if (news.kind == "began") {
    predictor = news.word(0);
  }
}

int FaultBehind(const Record& record, std::int64_t start_ns) {
  for (std::size_t i = 0; i < record.faults.size(); ++i) {
    const FaultMade& made = record.faults[i];
    if (start_ns >= made.start_ns && start_ns <= made.end_ns + kAfterFaultNs) {
      return static_cast<int>(i);
    }
  }
  return -1;
}

Verdict Judge(const Record& record) {
  Verdict verdict;
  verdict.violations = record.missed.size();
  verdict.hours = static_cast<double>(record.end_ns - record.start_ns) / 3.6e12;
  std::vector<bool> matched(record.alarms.size());
  std::set<int> hurt;
  for (std::size_t i = 0; i < record.missed.size(); ++i) {
    const Missed& missed = record.missed[i];
    verdict.missed_s += static_cast<double>(missed.end_ns - missed.start_ns) / 1e9;
    const int fault = FaultBehind(record, missed.start_ns);
    if (fault >= 0) {
      ++verdict.of_faults;
      hurt.insert(fault);
    }
    for (std::size_t j = 0; j < record.alarms.size(); ++j) {
      const Alarm& alarm = record.alarms[j];
      const std::int64_t lead = missed.start_ns - alarm.at_ns;
      if (matched[j] || alarm.kind != missed.kind || lead < kLeastLeadNs || lead > kMostLeadNs) {
        continue;
      }
      matched[j] = true;
      Hit hit;
      hit.missed = i;
      hit.alarm = j;
      hit.lead_ms = static_cast<double>(lead) / 1e6;
      if (fault >= 0) {
        const Fault& truth = record.faults[static_cast<std::size_t>(fault)].fault;
        hit.culprit_right = alarm.blamed == truth.target;
        // What was found out for this alarm: the first of the class, or of whom it blamed, in the
        // second that follows. A service has one case, whichever classes it endangers.
        for (const Diagnosed& found : record.causes) {
          if ((found.kind != alarm.kind && found.culprit != alarm.blamed) ||
              found.at_ns < alarm.at_ns || found.at_ns > alarm.at_ns + 1'500 * kMs ||
              found.cause == "undecided") {
            continue;
          }
          hit.cause_right = found.culprit == truth.target && found.cause == truth.cause();
          break;
        }
        ++verdict.hits_of_faults;
        verdict.culprit_right += hit.culprit_right ? 1 : 0;
        verdict.cause_right += hit.cause_right ? 1 : 0;
      }
      verdict.hits.push_back(hit);
      break;
    }
  }
  for (std::size_t j = 0; j < record.alarms.size(); ++j) {
    if (matched[j]) continue;
    const Alarm& alarm = record.alarms[j];
    const auto of = [&](std::int64_t before, std::int64_t after) {
      return std::any_of(record.missed.begin(), record.missed.end(), [&](const Missed& missed) {
        return missed.kind == alarm.kind && alarm.at_ns > missed.start_ns - before &&
               alarm.at_ns <= missed.end_ns + after;
      });
    };
    if (of(kLeastLeadNs, 0)) {
      ++verdict.late;
    } else if (!of(0, kAfterNs)) {
      ++verdict.false_alarms;
    }
  }
  verdict.faults_that_hurt = hurt.size();
  return verdict;
}

}  // namespace social
