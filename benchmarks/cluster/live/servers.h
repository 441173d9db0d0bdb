// Live tiers: real Thrift servers in this process, each with a task queue and workers, traced by
// seer as in production, and an open-loop load on them.
//
// A request waits for a time that is drawn, holding its worker, and then calls the next tier, as in
// the simulator. The load is a list of moments: each request is sent at its own, or as soon as one
// of the connections is free, and its latency counts from the moment when it was due. So a slow
// answer makes no later request wait unseen (coordinated omission).
//
// Threads: one at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace seer::cluster {

struct LiveTierSpec {
  std::string name;
  int workers = 4;
  double mean_ms = 5;  // exponential
};

// What spans of an unloaded run say.
struct LiveTimes {
  std::vector<std::vector<double>> own_us;  // by tier: with a worker, and not calling
  double one_way_us = 0;  // median of half of what a call takes beyond its callee's time
};

struct LiveRun {
  std::vector<double> latency_ms;
  std::uint64_t failed = 0;
};

class LiveServers {
 public:
  // The first tier is called from outside, each calls the next one. Names are unique over the life
  // of the process.
  static absl::StatusOr<std::unique_ptr<LiveServers>> Start(const std::vector<LiveTierSpec>& tiers);
  virtual ~LiveServers() = default;

  // `due_ns` since the start of the run, ascending.
  virtual LiveRun Run(const std::vector<std::int64_t>& due_ns) = 0;
  // Of the spans since the last call.
  virtual absl::StatusOr<LiveTimes> TakeTimes() = 0;
};

}  // namespace seer::cluster
