#include "benchmarks/hwmon/trials.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <random>
#include <sstream>
#include <utility>

#include "benchmarks/hwmon/trial_bench.h"
#include "benchmarks/hwmon/trial_record.h"

namespace seer::bench {
namespace {

// Which contentions can hurt which profile: a disk's neighbour does nothing to a service that does
// not read.
std::vector<std::pair<Profile, Truth>> Combinations() {
  std::vector<std::pair<Profile, Truth>> all;
  for (int p = 0; p < kProfiles; ++p) {
    const auto profile = static_cast<Profile>(p);
    for (const Truth truth : {Truth::kNone, Truth::kCpu, Truth::kQuota, Truth::kMemory,
                              Truth::kNetwork, Truth::kApplication, Truth::kLoad}) {
      all.emplace_back(profile, truth);
    }
  }
  for (int twice = 0; twice < 2; ++twice) {
    all.emplace_back(Profile::kPageCache, Truth::kMemoryCapacity);
    all.emplace_back(Profile::kDisk, Truth::kDisk);
    all.emplace_back(Profile::kNetwork, Truth::kNetwork);
    all.emplace_back(Profile::kMemory, Truth::kMemory);
  }
  return all;
}

}  // namespace

const char* TruthName(Truth truth) {
  constexpr const char* kNames[kTruths] = {"none", "cpu",     "quota",       "memory", "capacity",
                                           "disk", "network", "application", "load"};
  return kNames[static_cast<int>(truth)];
}

const char* SaidName(int said) {
  return said == kUndecided ? "undecided" : TruthName(static_cast<Truth>(said));
}

TrialScore Score(const std::vector<Trial>& trials) {
  TrialScore score;
  std::array<int, 3> right = {};
  int blamed = 0, software_blamed = 0, software_right = 0, abstained = 0;
  for (const Trial& trial : trials) {
    ++score.made;
    if (trial.discarded) {
      ++score.discarded;
      continue;
    }
    const bool innocent = trial.truth == Truth::kNone || trial.truth == Truth::kApplication ||
                          trial.truth == Truth::kLoad;
    if (!innocent && !trial.degraded) {
      ++score.harmless;
      continue;
    }
    const int said = trial.said.back();
    ++score.matrix[static_cast<std::size_t>(trial.truth)][static_cast<std::size_t>(said)];
    abstained += said == kUndecided ? 1 : 0;
    const auto blames = [](int s) {
      return s != kUndecided && s != static_cast<int>(Truth::kNone);
    };
    if (innocent) {
      ++score.innocent;
      blamed += blames(said) ? 1 : 0;
      software_blamed += blames(trial.software_said) ? 1 : 0;
      continue;
    }
    ++score.contended;
    software_right += trial.software_said == static_cast<int>(trial.truth) ? 1 : 0;
    for (std::size_t i = 0; i < right.size(); ++i) {
      right[i] += trial.said[i] == static_cast<int>(trial.truth) ? 1 : 0;
    }
  }
  const auto percent = [](int part, int whole) { return whole > 0 ? 100.0 * part / whole : NAN; };
  for (std::size_t i = 0; i < right.size(); ++i) {
    score.accuracy_pct[i] = percent(right[i], score.contended);
  }
  score.false_blame_pct = percent(blamed, score.innocent);
  score.software_accuracy_pct = percent(software_right, score.contended);
  score.software_false_blame_pct = percent(software_blamed, score.innocent);
  score.abstain_pct = percent(abstained, score.contended + score.innocent);
  return score;
}

std::string Table(const TrialScore& score) {
  std::ostringstream text;
  char cell[64];
  text << "truth \\ said ";
  for (int s = 0; s < kSaid; ++s) {
    std::snprintf(cell, sizeof(cell), "%10s", SaidName(s));
    text << cell;
  }
  text << "\n";
  for (int t = 0; t < kTruths; ++t) {
    std::snprintf(cell, sizeof(cell), "%-13s", TruthName(static_cast<Truth>(t)));
    text << cell;
    for (int s = 0; s < kSaid; ++s) {
      std::snprintf(cell, sizeof(cell), "%10d",
                    score.matrix[static_cast<std::size_t>(t)][static_cast<std::size_t>(s)]);
      text << cell;
    }
    text << "\n";
  }
  std::snprintf(cell, sizeof(cell), "%d made, %d discarded, %d harmless\n", score.made,
                score.discarded, score.harmless);
  text << cell;
  text << "cause named: " << score.accuracy_pct[0] << " % after 0.1 s, " << score.accuracy_pct[1]
       << " % after 0.3 s, " << score.accuracy_pct[2] << " % after 0.8 s, of " << score.contended
       << "\nfalse blame: " << score.false_blame_pct << " % of " << score.innocent << "; abstained "
       << score.abstain_pct << " %\nsoftware alone: cause named " << score.software_accuracy_pct
       << " %, false blame " << score.software_false_blame_pct << " %\n";
  return text.str();
}

TrialResult RunTrials(const TrialOptions& options) {
  TrialResult result;
  TrialBench bench(options);
  result.error = bench.Begin();
  if (!result.error.empty()) return result;
  std::vector<std::pair<Profile, Truth>> order;
  std::mt19937_64 random(options.seed);
  while (static_cast<int>(order.size()) < options.trials) {
    auto more = Combinations();
    const auto is_other = [&](const auto& c) {
      return !options.only.empty() && options.only != TruthName(c.second);
    };
    more.erase(std::remove_if(more.begin(), more.end(), is_other), more.end());
    if (more.empty()) break;
    std::shuffle(more.begin(), more.end(), random);
    order.insert(order.end(), more.begin(), more.end());
  }
  order.resize(static_cast<std::size_t>(std::max(0, options.trials)));
  std::ofstream file;
  if (!options.record.empty()) {
    file.open(options.record);
    if (!file) {
      result.error = options.record + ": cannot be written";
      return result;
    }
  }
  Baselines baselines;
  const auto make = [&](Profile profile, Truth truth, bool scored) {
    TrialRecord record = bench.Run(profile, truth);
    record.scored = scored;
    if (file.is_open()) Write(record, &file);
    return Judge(record, &baselines);
  };
  // The baseline of each victim, from healthy trials that nobody scores.
  for (int p = 0; p < kProfiles && options.trials > 0; ++p) {
    make(static_cast<Profile>(p), Truth::kNone, false);
  }
  for (const auto& [profile, truth] : order) {
    result.trials.push_back(make(profile, truth, true));
    if (options.each) options.each(result.trials.back());
  }
  result.score = Score(result.trials);
  if (!options.probing) return result;
  result.cost = bench.MeasureProbing();
  // Beside the victim where it hurts; on the other processor, where it does not.
  for (const int processor : {kVictimCpu, kClientCpu}) {
    for (const auto& [profile, benchmark] :
         {std::make_pair(Profile::kCompute, Microbenchmark::kCpu),
          std::make_pair(Profile::kMemory, Microbenchmark::kLlc)}) {
      result.live.push_back(bench.TestLive(profile, benchmark, processor, options.live_tests));
    }
  }
  result.gauges = bench.Gauges();
  return result;
}

TrialResult ReplayTrials(const std::string& path, const std::function<void(const Trial&)>& each) {
  TrialResult result;
  const std::vector<TrialRecord> records = ReadRecords(path, &result.error);
  if (!result.error.empty()) return result;
  Baselines baselines;
  for (const TrialRecord& record : records) {
    const Trial trial = Judge(record, &baselines);
    if (!record.scored) continue;
    result.trials.push_back(trial);
    if (each) each(trial);
  }
  result.score = Score(result.trials);
  return result;
}

}  // namespace seer::bench
