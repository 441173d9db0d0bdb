// The application that is watched: four Thrift services, each a process of its own with a
// non-blocking server and a pool of workers.
//
//   client -> gateway -> timeline -> posts
//                              '---> users
//
// A request takes 50 us of a processor in each service and waits a few ms in some: how many fit
// through a service is decided by its workers, not by how fast this machine is.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include <sys/types.h>

namespace foresee {

inline constexpr std::size_t kTiers = 4;

struct Tier {
  const char* name;
  std::vector<std::size_t> calls;  // one after the other
  std::size_t workers;
  int wait_us;
};
const std::vector<Tier>& Tiers();

// Shared by all processes: where the services listen, and what is wrong with them now.
struct Control {
  struct OfTier {
    std::atomic<int> port{0};                // 0: not listening yet
    std::atomic<int> extra_wait_us{0};       // a slow disk, say
    std::atomic<bool> one_at_a_time{false};  // a lock that all workers need
  };
  OfTier tiers[kTiers];
  std::atomic<bool> failed{false};
};

// Forks the services; they publish their queues in the directory. They end with this process.
class Application {
 public:
  explicit Application(const std::string& queue_directory);
  ~Application();
  Application(const Application&) = delete;
  Application& operator=(const Application&) = delete;

  // Whether all services listen, after at most ten seconds.
  bool WaitUntilServing() const;
  Control& control() { return *control_; }

 private:
  Control* control_;
  std::vector<pid_t> pids_;
};

}  // namespace foresee
