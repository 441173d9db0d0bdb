// Flow: Recommendation -> [Simulator::Act, Undo] -> Station
//
// What actions do to the simulated services, how soon, and what they cost. All assumed:
//
//   action                    after    effect, on every instance of the service
//   cpu-limit                  30 ms   so many cores each, and weight: with twice the cores
//                                      neighbours hold it up half as much. Who is being served
//                                      goes on faster. (A raised quota let a busy process run
//                                      after 0.2 to 12 ms, 3.9 in the median of 40: cgroup v1)
//   replicas                    3 s    cores and threads of so many instances more, with locks of
//                                      their own. Where they are as many as before, they take the
//                                      requests over, on servers where nothing is wrong, nor
//                                      any rule drops messages
//   pool-size                  50 ms   so many threads, whatever a bug left of them
//   cache-partition           150 ms   neighbours press on its cache less, from 10 ways on not
//   memory-bandwidth-share    150 ms   so too, from 50 % on
//   memory-limit                3 s    no pressure on memory, once all was read again
//   network-share              50 ms   a class of its own on its server's link, both ways: others'
//                                      bytes do not stand before it, nor take its rate. A detour
//                                      and a lossy path stay what they are; nothing helps against
//                                      a dead switch
//   io-share                   50 ms   so too on the disk
//   rate-limit                100 ms   requests beyond are refused: for their users, late
//   report                             none
//
// Threads: plain values.
#pragma once

#include <cstdint>

#include "benchmarks/cluster/sim/model.h"
#include "seer/core/recommendation.h"

namespace seer::cluster {

struct ActionInForce {
  enum State : std::uint8_t { kComing, kThere, kOver };
  State state = kComing;
  Action action = Action::kReport;
  std::uint32_t service = kNone;
  std::uint64_t id = 0;  // the recommendation's
  double to = 0;
  double back_to = 0;       // when it ends
  std::int64_t end_ns = 0;  // of the simulation; 0 = stays
};

// What actions gave a service; 0: what the plan says.
struct Granted {
  double cores = 0, threads = 0, replicas = 0;
};

struct ActionCost {
  std::uint64_t actions = 0;
  double core_seconds = 0;    // promised beyond the plan
  std::uint64_t refused = 0;  // requests turned away by rate limits
};

}  // namespace seer::cluster
