// hwmon_trials [--trials N] [--seed S] [--only TRUTH] [--directory D] [--record FILE]
// [--no-probing]
// [--busy]: the live trials by themselves, each as a line while they run, then the table. Needs
// root, cgroup v1 with an empty v2 beside it, ip and tc, and two processors that nobody else uses:
// 2.5 s for each trial, and a minute for what the probes do (--no-probing leaves that out).
//
// hwmon_trials --replay FILE: judges a recording again, by the rules of now. Needs nothing.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "benchmarks/hwmon/trials.h"

int main(int argc, char** argv) {
  seer::bench::TrialOptions options;
  std::string replay;
  for (int i = 1; i < argc; ++i) {
    if (std::strcmp(argv[i], "--busy") == 0) options.busy = true;
    if (std::strcmp(argv[i], "--no-probing") == 0) options.probing = false;
    if (i + 1 == argc) break;
    if (std::strcmp(argv[i], "--trials") == 0) options.trials = std::atoi(argv[i + 1]);
    if (std::strcmp(argv[i], "--seed") == 0) {
      options.seed = std::strtoull(argv[i + 1], nullptr, 10);
    }
    if (std::strcmp(argv[i], "--directory") == 0) options.directory = argv[i + 1];
    if (std::strcmp(argv[i], "--record") == 0) options.record = argv[i + 1];
    if (std::strcmp(argv[i], "--only") == 0) options.only = argv[i + 1];
    if (std::strcmp(argv[i], "--replay") == 0) replay = argv[i + 1];
    if (std::strcmp(argv[i], "--live-tests") == 0) options.live_tests = std::atoi(argv[i + 1]);
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
