// seer at work on a whole application: examples/social_network with real servers, a load and
// faults.
//
// Three seeds, each without seer, watched and acted upon, ten minutes each; 20 pairs of 10 s with
// and without seer; a minute in which its processes are killed. That is two hours on a machine that
// has nothing else to do. So each of these pieces is kept in build/live (pieces.h), and the figures
// are there when all of them are:
//
//   SEER_LIVE_MINUTES=20 ./benchmarks/run live      # as often as it takes; then once more
//
// Pieces of other commits are not made anew: it says which commits the figures are of.
// Without the folder it begins from the beginning. SEER_LIVE_SECONDS sets other than 600 s,
// SEER_LIVE_SEEDS other than 3 seeds, SEER_LIVE_PAIRS other than 20 pairs, SEER_LIVE_FOLDER another
// folder; --quick of benchmarks/run sets fewer, for a look, and keeps nothing. Without root there
// are fewer faults.
//
// Beside what seer foresees stands what the best of the predictors without training (rivals.h)
// makes of the same ticks. What seer costs is told by the same requests with and without it
// (paired.h), with the interval that the machine's noise leaves.
#include <benchmark/benchmark.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <system_error>
#include <vector>

#include "benchmarks/harness/figure.h"
#include "benchmarks/live/paired.h"
#include "benchmarks/live/pieces.h"
#include "benchmarks/live/rivals.h"

namespace seer::bench {
namespace {

constexpr int kPairsAPiece = 5;
constexpr double kRate = 300;         // requests a second, by itself
constexpr double kWarmSeconds = 2;    // in which connections are made
constexpr double kChaosSeconds = 60;  // a process is killed every 8 s

double Wanted(const char* name, double usual, double least, double most) {
  const char* const text = std::getenv(name);
  return std::clamp(text == nullptr ? usual : std::strtod(text, nullptr), least, most);
}
double Seconds() { return Wanted("SEER_LIVE_SECONDS", 600, 20, 3600); }
int Seeds() { return static_cast<int>(Wanted("SEER_LIVE_SEEDS", 3, 1, 100)); }
int Pairs() { return static_cast<int>(Wanted("SEER_LIVE_PAIRS", 20, 2, 1000)); }
double PairSeconds() { return Seconds() >= 600 ? 10 : 6; }  // of either half

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
  const std::string& path() const { return path_; }

 private:
  std::string path_ = "/tmp/seer-live-XXXXXX";
};

std::string Folder() {
  const char* const wanted = std::getenv("SEER_LIVE_FOLDER");
  if (wanted == nullptr) return "build/live";
  if (*wanted != '\0') return wanted;
  static const Scratch scratch;  // nothing is kept
  return scratch.path();
}

std::string Commit() {
  std::string commit;
  FILE* const said = ::popen("git describe --always --dirty 2>/dev/null", "r");
  if (said == nullptr) return "unknown";
  char word[80];
  if (std::fscanf(said, "%79s", word) == 1) commit = word;
  ::pclose(said);
  return commit.empty() ? "unknown" : commit;
}

bool RunProgram(const std::string& arguments, const std::string& json) {
  const std::string command = std::string(SEER_SOCIAL_NETWORK) + " " + arguments +
                              " --report '' --json " + json + " >&2 </dev/null";
  return std::system(command.c_str()) == 0;
}

double Now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// ---- The pieces, what is short first.

Piece PairsPiece(int first) {
  const int pairs = std::min(kPairsAPiece, Pairs() - first);
  std::string parts;
  // Either comes first in half of the pairs: a machine that gets slower slows them alike.
  for (int i = 0; i < pairs; ++i) {
    parts += std::string(i > 0 ? "," : "") + ((first + i) % 2 == 0 ? "none,watch" : "watch,none");
  }
  Piece piece;
  piece.seconds = 2 * pairs * PairSeconds();
  piece.name = "pairs-" + std::to_string(first) + "-" + std::to_string(pairs) + "x" +
               std::to_string(static_cast<int>(PairSeconds())) + "s";
  piece.arguments = "--no-faults --parts " + parts + " --seed " + std::to_string(first + 1) +
                    " --duration " + std::to_string(piece.seconds);
  return piece;
}

Piece ChaosPiece() {
  Piece piece;
  piece.seconds = std::min(kChaosSeconds, Seconds());
  piece.name = "chaos-" + std::to_string(static_cast<int>(piece.seconds)) + "s";
  piece.arguments = "--no-faults --parts watch --chaos --duration " + std::to_string(piece.seconds);
  return piece;
}

Piece FaultsPiece(int seed, const std::string& part) {
  Piece piece;
  piece.seconds = Seconds();
  piece.name = "seed-" + std::to_string(seed) + "-" + part + "-" +
               std::to_string(static_cast<int>(piece.seconds)) + "s";
  piece.arguments = "--parts " + part + " --seed " + std::to_string(seed) + " --duration " +
                    std::to_string(piece.seconds);
  piece.records = part == "watch";
  return piece;
}

std::vector<Piece> PairsPieces() {
  std::vector<Piece> pieces;
  for (int first = 0; first < Pairs(); first += kPairsAPiece) pieces.push_back(PairsPiece(first));
  return pieces;
}
std::vector<Piece> FaultsPieces() {
  std::vector<Piece> pieces;
  for (int seed = 1; seed <= Seeds(); ++seed) {
    for (const char* part : {"none", "watch", "act"}) pieces.push_back(FaultsPiece(seed, part));
  }
  return pieces;
}

// All of them, played as far as the time goes.
struct Played {
  Played()
      : pieces(
            {Folder(), Commit(), 60 * Wanted("SEER_LIVE_MINUTES", 1e6, 0, 1e6), RunProgram, Now}) {
    std::vector<Piece> all = PairsPieces();
    all.push_back(ChaosPiece());
    for (const Piece& piece : FaultsPieces()) all.push_back(piece);
    if (!pieces.Play(all, &why)) std::fprintf(stderr, "live: %s\n", why.c_str());
  }
  static const Played& Get() {
    static const Played played;
    return played;
  }
  // False: some are missing. It is no error that there was no time for them.
  bool Has(const std::vector<Piece>& wanted, benchmark::State* state) const {
    if (std::all_of(wanted.begin(), wanted.end(),
                    [&](const Piece& piece) { return pieces.IsThere(piece); })) {
      return true;
    }
    if (pieces.failed()) state->SkipWithError(why.c_str());
    return false;
  }
  // All counters, more than there are figures; and the commits whose pieces they are of.
  void Tell(const char* name, const std::vector<Piece>& wanted,
            const benchmark::State& state) const {
    std::fprintf(stderr, "%s, of", name);
    for (const std::string& commit : pieces.CommitsOf(wanted)) {
      std::fprintf(stderr, " %s", commit.c_str());
    }
    for (const auto& [counter, value] : state.counters) {
      std::fprintf(stderr, "\n  %-28s %.4g", counter.c_str(), value.value);
    }
    std::fprintf(stderr, "\n");
  }

  Pieces pieces;
  std::string why;
};

double Share(double some, double all) { return all > 0 ? some / all : 0; }

void BM_Faults(benchmark::State& state) {
  for (auto _ : state) {
    const Played& played = Played::Get();
    const std::vector<Piece> wanted = FaultsPieces();
    if (!played.Has(wanted, &state)) continue;
    double violations = 0, hits = 0, of_faults = 0, culprit = 0, cause = 0, alarms = 0, hours = 0;
    double without = 0, with = 0, late_without = 0, late_with = 0, cpu = 0, watched = 0;
    std::vector<std::string> recordings;
    for (const Piece& piece : wanted) {
      if (piece.records) recordings.push_back(played.pieces.RecordingOf(piece));
      for (const Part& part : played.pieces.PartsOf(piece)) {
        if (part.is("none")) {
          without += part["violations"];
          late_without += part["over_target"];
        }
        if (part.is("act")) {
          with += part["violations"];
          late_with += part["over_target"];
        }
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
    state.counters["recall"] = Share(hits, violations);
    state.counters["culprit"] = Share(culprit, of_faults);
    state.counters["cause"] = Share(cause, of_faults);
    state.counters["avoided"] = without > 0 ? 1 - with / without : 0;
    state.counters["false_alarms_per_hour"] = Share(alarms, hours);
    state.counters["cpu_pct"] = 100 * Share(cpu, watched);
    state.counters["violations"] = violations;
    state.counters["violations_without"] = without;
    state.counters["violations_with"] = with;
    state.counters["late_without"] = late_without;
    state.counters["late_with"] = late_with;
    const RivalScore rival = BestRival(recordings);
    state.counters["rival_recall"] = rival.recall;
    state.counters["rival_culprit"] = rival.culprit;
    state.counters["rival_false_alarms_per_hour"] = rival.false_alarms_per_hour;
    played.Tell(("BM_Faults beside " + rival.name).c_str(), wanted, state);
  }
}
BENCHMARK(BM_Faults)->Iterations(1)->Repetitions(1)->UseRealTime()->Unit(benchmark::kSecond);

// Tracing, agent and control plane against none of them, in turns.
void BM_Overhead(benchmark::State& state) {
  for (auto _ : state) {
    const Played& played = Played::Get();
    const std::vector<Piece> wanted = PairsPieces();
    if (!played.Has(wanted, &state)) continue;
    std::vector<Pair> pairs;
    std::vector<double> loss, mean;
    double p99_ms[3] = {};
    for (const Piece& piece : wanted) {
      const std::vector<Part> parts = played.pieces.PartsOf(piece);
      for (std::size_t i = 0; i + 1 < parts.size(); i += 2) {
        const Part& none = parts[i].is("none") ? parts[i] : parts[i + 1];
        const Part& with = parts[i].is("none") ? parts[i + 1] : parts[i];
        if (none["mean_ms"] <= 0 || none["per_s"] <= 0) continue;
        pairs.push_back({none.List("each_us"), with.List("each_us")});
        mean.push_back(100 * (with["mean_ms"] / none["mean_ms"] - 1));
        loss.push_back(100 * (1 - with["per_s"] / none["per_s"]));
        const std::vector<float> p99 = with.List("p99_ms");
        for (std::size_t kind = 0; kind < std::min<std::size_t>(3, p99.size()); ++kind) {
          p99_ms[kind] = std::max(p99_ms[kind], static_cast<double>(p99[kind]));
        }
      }
    }
    const auto tell = [&](const std::string& name, const Interval& interval) {
      state.counters[name + "_pct"] = interval.mean;
      state.counters[name + "_pct_low"] = interval.low;
      state.counters[name + "_pct_high"] = interval.high;
    };
    tell("latency", AddedPercent(pairs, static_cast<std::size_t>(kRate * kWarmSeconds)));
    tell("throughput", IntervalOf(loss));
    tell("mean_latency", IntervalOf(mean));
    // The largest of a part in which seer watches: targets are 100, 100 and 200 ms.
    state.counters["home_p99_ms"] = p99_ms[0];
    state.counters["user_p99_ms"] = p99_ms[1];
    state.counters["compose_p99_ms"] = p99_ms[2];
    played.Tell("BM_Overhead", wanted, state);
  }
}
BENCHMARK(BM_Overhead)->Iterations(1)->Repetitions(1)->UseRealTime()->Unit(benchmark::kSecond);

// Agent and control plane are killed in turns.
void BM_Killed(benchmark::State& state) {
  for (auto _ : state) {
    const Played& played = Played::Get();
    const std::vector<Piece> wanted = {ChaosPiece()};
    if (!played.Has(wanted, &state)) continue;
    const Part part = played.pieces.PartsOf(wanted[0])[0];
    state.counters["killed"] = part["killed"];
    state.counters["longest_pause_ms"] = part["longest_pause_ms"];  // without a forecast
    state.counters["failed_requests"] = part["failed"];
    state.counters["violations"] = part["violations"];
    played.Tell("BM_Killed", wanted, state);
  }
}
BENCHMARK(BM_Killed)->Iterations(1)->Repetitions(1)->UseRealTime()->Unit(benchmark::kSecond);

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
