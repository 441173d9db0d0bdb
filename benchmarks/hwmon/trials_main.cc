// hwmon_trials [--trials N] [--seed S] [--directory D] [--busy]: the live trials by themselves,
// each as a line while they run, then the table. Needs root, cgroup v1 with an empty v2 beside it,
// ip and tc, and two processors that nobody else uses: 2.5 s for each trial.
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "benchmarks/hwmon/trials.h"

int main(int argc, char** argv) {
  seer::bench::TrialOptions options;
  for (int i = 1; i < argc; ++i) {
    if (std::strcmp(argv[i], "--busy") == 0) options.busy = true;
    if (i + 1 == argc) break;
    if (std::strcmp(argv[i], "--trials") == 0) options.trials = std::atoi(argv[i + 1]);
    if (std::strcmp(argv[i], "--seed") == 0) {
      options.seed = std::strtoull(argv[i + 1], nullptr, 10);
    }
    if (std::strcmp(argv[i], "--directory") == 0) options.directory = argv[i + 1];
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
  const seer::bench::TrialResult result = seer::bench::RunTrials(options);
  if (!result.error.empty()) {
    std::fprintf(stderr, "no trials: %s\n", result.error.c_str());
    return 1;
  }
  std::printf("\n%s", seer::bench::Table(result.score).c_str());
  std::printf("p99 while probed: %+.1f %%\n", result.probe_p99_rise_pct);
  for (const std::string& line : result.gauges) std::printf("%s\n", line.c_str());
  return 0;
}
