// The simulator beside live Thrift servers: one tier, and a chain of three.
//
// Spans of a run at a tenth of the load give the tiers' own times and the way between them; that is
// all the simulator is told, beside the numbers of workers and the moments at which requests are
// sent. Then both serve the same three loads. Tolerances, fixed beforehand: p50 within 15 %, p99
// within 25 %. Runs under foreign pressure are discarded by the rule of pressure.h and tried again;
// what is left of them is reported as such.
//
// Cost: about 2.5 minutes, of which the CPU works a tenth; 20 seconds with `quick`, which shows
// that it works and no more.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "benchmarks/cluster/live/pressure.h"
#include "benchmarks/cluster/live/servers.h"

namespace seer::cluster {

struct LiveRow {
  std::string system;
  double rate = 0;
  std::uint64_t requests = 0, failed = 0;
  double live_p50 = 0, live_p99 = 0;  // ms
  double sim_p50 = 0, sim_p99 = 0;
  Pressure pressure;
  int discarded = 0;  // runs before this one

  double P50Error() const { return live_p50 > 0 ? 100 * (sim_p50 / live_p50 - 1) : 0; }
  double P99Error() const { return live_p99 > 0 ? 100 * (sim_p99 / live_p99 - 1) : 0; }
  bool Counts() const { return !pressure.Discards(); }
  bool Within() const {
    return P50Error() >= -15 && P50Error() <= 15 && P99Error() >= -25 && P99Error() <= 25;
  }
};

absl::StatusOr<std::vector<LiveRow>> CheckAgainstLive(bool quick);
std::string TableOf(const std::vector<LiveRow>& rows);

// The latencies that the simulator gives for such tiers, requests of `repeats` runs together, ms.
absl::StatusOr<std::vector<double>> SimulateTiers(const std::vector<LiveTierSpec>& tiers,
                                                  const LiveTimes& times,
                                                  const std::vector<std::int64_t>& due_ns,
                                                  int repeats);

}  // namespace seer::cluster
