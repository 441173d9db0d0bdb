// seer at work on a whole application: examples/social_network with real servers, a load and
// faults.
//
// It takes as long as it says: three seeds, each without seer, watched and acted upon, ten minutes
// each; and pairs of 10 s with and without tracing. Beside what seer foresees stands what the best
// of the predictors without training (rivals.h) makes of the same ticks. SEER_LIVE_SECONDS sets
// other than 600 s, SEER_LIVE_SEEDS fewer than 3 seeds, SEER_LIVE_PAIRS other than 20 pairs, for a
// look; so does
// --quick of benchmarks/run. The machine must be idle, and without root there are fewer faults.
#include <benchmark/benchmark.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <system_error>
#include <vector>

#include "benchmarks/harness/figure.h"
#include "benchmarks/live/rivals.h"

namespace seer::bench {
namespace {

double Wanted(const char* name, double usual, double least, double most) {
  const char* const text = std::getenv(name);
  return std::clamp(text == nullptr ? usual : std::strtod(text, nullptr), least, most);
}
double Seconds() { return Wanted("SEER_LIVE_SECONDS", 600, 20, 3600); }
int Seeds() { return static_cast<int>(Wanted("SEER_LIVE_SEEDS", 3, 1, 100)); }
// Two parts each, of which a run has 64 at most.
int Pairs() { return static_cast<int>(Wanted("SEER_LIVE_PAIRS", 20, 1, 32)); }

// One part of a run, as the program's --json tells it.
struct Part {
  std::string text;
  double operator[](const std::string& name) const {
    const std::size_t at = text.find("\"" + name + "\":");
    if (at == std::string::npos) return 0;
    const char* number = text.c_str() + at + name.size() + 3;
    return std::strtod(*number == '[' ? number + 1 : number, nullptr);
  }
  bool is(const std::string& name) const { return text.find("\"" + name + "\"") != text.npos; }
};

// A folder that is gone when this is.
class Scratch {
 public:
  Scratch() {
    if (::mkdtemp(path_.data()) == nullptr) path_.clear();
  }
  ~Scratch() {
    std::error_code none;
    if (!path_.empty()) std::filesystem::remove_all(path_, none);
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  std::string File(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_ = "/tmp/seer-live-XXXXXX";
};

std::vector<Part> Run(const std::string& arguments) {
  const Scratch scratch;
  const std::string json = scratch.File("figures");
  const std::string command = std::string(SEER_SOCIAL_NETWORK) + " " + arguments +
                              " --report '' --json " + json + " >&2 </dev/null";
  std::vector<Part> parts;
  if (std::system(command.c_str()) == 0) {
    std::ifstream in(json);
    for (std::string line; std::getline(in, line);) {
      if (line.find("\"part\":") != std::string::npos) parts.push_back({line});
    }
  }
  return parts;
}

double Share(double some, double all) { return all > 0 ? some / all : 0; }

double Median(std::vector<double> values) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  return (values[values.size() / 2] + values[(values.size() - 1) / 2]) / 2;
}

void BM_Faults(benchmark::State& state) {
  for (auto _ : state) {
    double violations = 0, hits = 0, of_faults = 0, culprit = 0, cause = 0, alarms = 0, hours = 0;
    double without = 0, with = 0, cpu = 0, watched = 0;
    const Scratch scratch;
    std::vector<std::string> recordings;
    for (int seed = 1; seed <= Seeds(); ++seed) {
      recordings.push_back(scratch.File(std::to_string(seed) + ".seerdata"));
      for (const Part& part :
           Run("--parts none,watch,act --seed " + std::to_string(seed) + " --record " +
               recordings.back() + " --duration " + std::to_string(3 * Seconds()))) {
        if (part.is("none")) without += part["violations"];
        if (part.is("act")) with += part["violations"];
        if (!part.is("watch")) continue;
        violations += part["violations"];
        hits += part["hits"];
        of_faults += part["hits_of_faults"];
        culprit += part["culprit_right"];
        cause += part["cause_right"];
        alarms += part["false_alarms"];
        hours += part["hours"];
        cpu += part["cpu_share"];
        ++watched;
      }
    }
    if (watched == 0) {
      state.SkipWithError("the social network did not run to its end");
      return;
    }
    state.counters["recall"] = Share(hits, violations);
    state.counters["culprit"] = Share(culprit, of_faults);
    state.counters["cause"] = Share(cause, of_faults);
    state.counters["avoided"] = without > 0 ? 1 - with / without : 0;
    state.counters["false_alarms_per_hour"] = Share(alarms, hours);
    state.counters["cpu_pct"] = 100 * Share(cpu, watched);
    state.counters["violations"] = violations;
    state.counters["violations_without"] = without;
    state.counters["violations_with"] = with;
    const RivalScore rival = BestRival(recordings);
    state.SetLabel("rival: " + rival.name);
    state.counters["rival_recall"] = rival.recall;
    state.counters["rival_culprit"] = rival.culprit;
    state.counters["rival_false_alarms_per_hour"] = rival.false_alarms_per_hour;
  }
}
BENCHMARK(BM_Faults)->Iterations(1)->Repetitions(1)->UseRealTime()->Unit(benchmark::kSecond);

// Tracing, agent and control plane against none of them, in turns.
void BM_Overhead(benchmark::State& state) {
  const int pairs = Pairs();
  for (auto _ : state) {
    std::string parts;
    // Either comes first in half of the pairs: a machine that gets slower slows them alike.
    for (int i = 0; i < pairs; ++i) {
      parts += std::string(i > 0 ? "," : "") + (i % 2 == 0 ? "none,watch" : "watch,none");
    }
    const double each = Seconds() >= 600 ? 10 : 6;
    const std::vector<Part> all =
        Run("--no-faults --parts " + parts + " --duration " + std::to_string(2 * pairs * each));
    std::vector<double> latency, throughput;
    for (std::size_t i = 0; i + 1 < all.size(); i += 2) {
      const Part& none = all[i].is("none") ? all[i] : all[i + 1];
      const Part& with = all[i].is("none") ? all[i + 1] : all[i];
      if (none["mean_ms"] <= 0 || none["per_s"] <= 0) continue;
      latency.push_back(100 * (with["mean_ms"] / none["mean_ms"] - 1));
      throughput.push_back(100 * (1 - with["per_s"] / none["per_s"]));
    }
    if (latency.size() < static_cast<std::size_t>(pairs)) {
      state.SkipWithError("the social network did not run to its end");
      return;
    }
    state.counters["latency_pct"] = Median(latency);
    state.counters["throughput_pct"] = Median(throughput);
    std::sort(latency.begin(), latency.end());
    state.counters["latency_p10_pct"] = latency[latency.size() / 10];
    state.counters["latency_p90_pct"] = latency[latency.size() * 9 / 10];
  }
}
BENCHMARK(BM_Overhead)->Iterations(1)->Repetitions(1)->UseRealTime()->Unit(benchmark::kSecond);

constexpr char kFaults[] = "BM_Faults";
constexpr char kOverhead[] = "BM_Overhead";
SEER_FIGURE(latency, Counter("live.overhead_latency_pct", "%", "< 0.1", kOverhead, "latency_pct"));
SEER_FIGURE(throughput,
            Counter("live.overhead_throughput_pct", "%", "< 0.15", kOverhead, "throughput_pct"));
SEER_FIGURE(cpu, Counter("live.cpu_pct", "%", "<= 2", kFaults, "cpu_pct"));
SEER_FIGURE(recall, Counter("live.recall", "", "", kFaults, "recall"));
SEER_FIGURE(culprit, Counter("live.culprit", "", "", kFaults, "culprit"));
SEER_FIGURE(avoided, Counter("live.avoided", "", "", kFaults, "avoided"));
SEER_FIGURE(false_alarms,
            Counter("live.false_alarms_per_hour", "1/h", "", kFaults, "false_alarms_per_hour"));

}  // namespace
}  // namespace seer::bench
