// hwmon_trials [--trials N] [--seed S] [--only TRUTH] [--directory D] [--record FILE]
// [--no-probing]
// [--busy]: the live trials by themselves, each as a line while they run, then the table. Needs
// root, cgroup v1 with an empty v2 beside it, ip and tc, and two processors that nobody else uses:
// 2.5 s for each trial, and a minute for what the probes do (--no-probing leaves that out).
//
// hwmon_trials --replay FILE: judges a recording again, by the rules of now. Needs nothing.
#include <cstdio>
#include <cstdlib>
#include <string>

#include "benchmarks/hwmon/trials.h"

namespace {

constexpr const char* kUsage =
    "hwmon_trials [--trials N] [--seed S] [--only TRUTH] [--directory D] [--record FILE]\n"
    "             [--live-tests N] [--no-probing] [--busy]\n"
    "hwmon_trials --replay FILE\n";

// False: there is an option that nobody knows, or one without its value.
bool Parse(int argc, char** argv, seer::bench::TrialOptions* options, std::string* replay) {
  for (int i = 1; i < argc; ++i) {
    const std::string name = argv[i];
    if (name == "--busy") {
      options->busy = true;
      continue;
    }
    if (name == "--no-probing") {
      options->probing = false;
      continue;
    }
    if (++i == argc) return false;
    const char* const value = argv[i];
    if (name == "--trials") {
      options->trials = std::atoi(value);
    } else if (name == "--seed") {
      options->seed = std::strtoull(value, nullptr, 10);
    } else if (name == "--directory") {
      options->directory = value;
    } else if (name == "--record") {
      options->record = value;
    } else if (name == "--only") {
      options->only = value;
    } else if (name == "--replay") {
      *replay = value;
    } else if (name == "--live-tests") {
      options->live_tests = std::atoi(value);
    } else {
      return false;
    }
  }
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  seer::bench::TrialOptions options;
  std::string replay;
  if (!Parse(argc, argv, &options, &replay)) {
    std::fputs(kUsage, stderr);
    return 2;
  }
  options.each = [](const seer::bench::Trial& t) {
    std::printf(
        "%-10s %-11s said %s/%s/%s software %s  p50 %.0f->%.0f p95 %.0f->%.0f us  foreign "
        "%.2f%s%s  %s\n",
        ProfileName(t.profile), TruthName(t.truth), seer::bench::SaidName(t.said[0]),
        seer::bench::SaidName(t.said[1]), seer::bench::SaidName(t.said[2]),
        seer::bench::SaidName(t.software_said), t.healthy_p50_us, t.p50_us, t.healthy_p95_us,
        t.p95_us, t.foreign, t.discarded ? " DISCARDED" : "", t.degraded ? " degraded" : "",
        t.evidence.c_str());
    std::fflush(stdout);
  };
  const seer::bench::TrialResult result = replay.empty()
                                              ? seer::bench::RunTrials(options)
                                              : seer::bench::ReplayTrials(replay, options.each);
  if (!result.error.empty()) {
    std::fprintf(stderr, "no trials: %s\n", result.error.c_str());
    return 1;
  }
  std::printf("\n%s", seer::bench::Table(result.score).c_str());
  if (!replay.empty() || !options.probing) return 0;
  const seer::bench::ProbeCost& cost = result.cost;
  std::printf(
      "while probed: p99 %+.1f %%, at most %.1f ms of probing, %d of %d rounds ended early; a run "
      "that is to end has ended after %.1f ms\n",
      cost.p99_rise_pct, cost.most_probing_ms, cost.aborted, cost.rounds, cost.most_abort_ms);
  for (const seer::bench::LiveTest& t : result.live) {
    std::printf(
        "%s on the %s's processor, %s: effect %.2f, affected in %d of %d tests (%d undecided), "
        "%.1f pairs\n",
        t.benchmark.c_str(), t.beside_victim ? "victim" : "client", ProfileName(t.profile),
        t.effect, t.affected, t.tests, t.undecided, t.pairs);
  }
  for (const std::string& line : result.gauges) std::printf("%s\n", line.c_str());
  return 0;
}
