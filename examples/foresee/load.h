// The clients: requests at random moments, whether or not the ones before were answered.
//
// When a request is due is drawn beforehand; its latency counts from that moment, also where no
// connection was free to send it. So a slow application does not slow down its own measurement.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <mutex>
#include <random>
#include <thread>
#include <vector>

#include "seer/core/snapshot.h"
#include "seer/core/topology.h"

namespace foresee {

class Load {
 public:
  struct Plan {
    int port = 0;  // of the gateway
    double requests_per_s = 0;
    std::size_t connections = 200;
    std::int64_t target_ns = 0;  // slower requests are over the target
    seer::TickPeriod period;
    std::uint64_t seed = 1;
  };

  explicit Load(const Plan& plan);
  ~Load();  // ends it; the requests under way are answered first
  Load(const Load&) = delete;
  Load& operator=(const Load&) = delete;

  // What the clients know of a tick that has ended. Each tick once.
  seer::ClassSample Take(seer::Tick tick);
  std::uint64_t errors() const { return errors_; }

 private:
  void Connection(std::size_t index);
  std::int64_t NextDue();

  const Plan plan_;
  std::atomic<bool> stop_{false};
  std::atomic<std::uint64_t> errors_{0};
  std::mutex mutex_;
  std::mt19937_64 random_;                           // guarded by mutex_
  std::int64_t due_ns_;                              // guarded by mutex_; when the last one was due
  std::map<seer::Tick, seer::ClassSample> samples_;  // guarded by mutex_
  std::vector<std::int64_t> open_since_;             // guarded by mutex_; by connection, 0 = idle
  std::vector<std::thread> threads_;
};

}  // namespace foresee
