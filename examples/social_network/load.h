// The clients: first they register and follow each other, then they read and write as the schedule
// says, whether or not the requests before were answered.
//
// A request's latency counts from the moment when it was due, also where no connection was free to
// send it: a slow application does not slow down its own measurement.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "deployment.h"
#include "schedule.h"
#include "seer/core/snapshot.h"
#include "seer/core/tick.h"

namespace social {

struct Person {
  std::int64_t id = 0;
  std::string name;
};

// Registers people who follow each other and have posted something. Throws what a client throws.
std::vector<Person> Populate(const Deployment& deployment, std::size_t people, std::uint64_t seed);

class Load {
 public:
  struct Plan {
    double requests_per_s = 300;
    Shape shape = Shape::kConstant;
    std::uint64_t seed = 1;
    std::size_t connections = 128;  // requests at the same time
    std::array<std::int64_t, kRequestKinds> target_ns = {};
    seer::TickPeriod period;
    bool each = false;  // keep the latency of each request
  };
  struct Second {
    std::array<seer::LatencyHistogram, kRequestKinds> latency;
    double sum_ns = 0;  // of all latencies, exact
    std::uint64_t errors = 0;
  };

  Load(const Deployment& deployment, std::vector<Person> people, const Plan& plan);
  ~Load();  // ends it; the requests under way are answered first
  Load(const Load&) = delete;
  Load& operator=(const Load&) = delete;

  // What the clients know of a tick that has ended. Each tick once.
  std::vector<seer::ClassSample> Take(seer::Tick tick);
  // What was answered since the last call.
  Second TakeSecond();
  // With Plan::each: us, by the place of a request in the schedule; -1: not answered yet.
  std::vector<float> TakeEach();

 private:
  struct Callees;
  struct Due {
    std::int64_t at_ns = 0;  // unix time
    std::size_t place = 0;   // in the schedule
    Arrival arrival;
  };

  void Connection(std::size_t index);
  void Request(const Arrival& arrival);
  const Person& Somebody(std::uint64_t draw) const;

  const Plan plan_;
  const std::vector<Person> people_;
  const std::unique_ptr<Callees> callees_;
  const std::int64_t start_ns_;
  std::atomic<bool> stop_{false};
  std::mutex mutex_;
  Schedule schedule_;  // guarded by mutex_
  // Guarded by mutex_: by tick and class, by connection, since the last TakeSecond(), and each.
  std::map<seer::Tick, std::array<seer::ClassSample, kRequestKinds>> samples_;
  std::vector<std::optional<Due>> open_;
  Second second_;
  std::size_t drawn_ = 0;  // arrivals, of the schedule
  std::vector<float> each_;
  std::vector<std::thread> threads_;
};

}  // namespace social
