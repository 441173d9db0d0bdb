#include "benchmarks/cluster/theory_table.h"

#include <cstdio>

#include "tests/cluster/stations.h"

namespace seer::cluster {
namespace {

void Row(const char* name, const Interval& measured, double theory, int* outside) {
  const bool within = std::abs(measured.mean - theory) <= measured.half_width;
  *outside += within ? 0 : 1;
  std::printf("| %-28s | %10.5f | %10.5f | +- %8.5f | %s |\n", name, theory, measured.mean,
              measured.half_width, within ? "within" : "OUTSIDE");
}

}  // namespace

int PrintTheoryTable(double seconds) {
  int outside = 0;
  std::printf("| system                       |     theory |  simulated | 99 %% interval | |\n");
  std::printf("|---|---|---|---|---|\n");
  for (double load : {0.3, 0.5, 0.7, 0.8, 0.9}) {
    char name[64];
    std::snprintf(name, sizeof name, "M/M/1 ms, load %.1f", load);
    Row(name, MeanLatencyMs(OneStation(1, 1000, 1), 1000 * load, seconds), 1 / (1 - load),
        &outside);
    for (int cores : {2, 4, 16}) {
      const double erlangs = load * cores;
      std::snprintf(name, sizeof name, "M/M/%d ms, load %.1f", cores, load);
      Row(name, MeanLatencyMs(OneStation(cores, 1000, 1), 1000 * erlangs, seconds),
          1 + ErlangC(cores, erlangs) / (cores - erlangs), &outside);
    }
    for (double cv : {0.0, 0.5, 2.0}) {
      std::snprintf(name, sizeof name, "M/G/1 ms, cv %.1f, load %.1f", cv, load);
      Row(name, MeanLatencyMs(OneStation(1, 1000, cv), 1000 * load, seconds),
          1 + load * (1 + cv * cv) / (2 * (1 - load)), &outside);
    }
    for (int cores : {1, 4}) {
      Application app = OneStation(cores, 1000, 1);
      app.services[0].threads = static_cast<std::uint32_t>(cores);
      app.services[0].queue_limit = 3;
      double sum = 0, term = 1, last = 0;
      for (int n = 0; n <= cores + 3; ++n) {
        sum += term;
        last = term;
        term *= load * cores / std::min(n + 1, cores);
      }
      std::snprintf(name, sizeof name, "M/M/%d/%d lost, load %.1f", cores, cores + 3, load);
      Row(name, ShareFailed(app, 1000 * load * cores, seconds), last / sum, &outside);
    }
    Application fork = OneStation(1000, 0, 0);
    for (std::uint32_t i = 1; i <= 2; ++i) {
      fork.services.push_back(OneStation(1, 1000, 1).services[0]);
      fork.services.back().name += std::to_string(i);
    }
    CallSpec left, right;
    left.service = 1;
    right.service = 2;
    fork.requests[0].calls.then = {{left, right}};
    std::snprintf(name, sizeof name, "fork-join of 2 ms, load %.1f", load);
    Row(name, MeanLatencyMs(fork, 1000 * load, seconds), (12 - load) / 8 / (1 - load), &outside);
  }
  return outside;
}

}  // namespace seer::cluster
