// The victims of the live trials: small servers with one thread, each in cgroups and a network
// namespace of its own, and the client that measures them.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <cstdint>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace seer::bench {

// What a request needs.
enum class Profile : std::uint8_t { kCompute, kMemory, kPageCache, kDisk, kNetwork };
inline constexpr int kProfiles = 5;
const char* ProfileName(Profile profile);
double RequestsPerSecond(Profile profile);  // when all is well

inline constexpr int kVictimCpu = 0;
inline constexpr int kClientCpu = 1;

std::int64_t SteadyNs();
// True where the shell command succeeded; what it prints is thrown away.
bool Shell(const std::string& command);
bool WriteFile(const std::string& path, const std::string& text);
std::string ReadFile(const std::string& path);
void PinTo(int cpu);

class Victim {
 public:
  // Forks. `number` tells its addresses and cgroups from those of others.
  Victim(Profile profile, int number, std::string directory);
  ~Victim();
  // Cgroups, network, and the answer to a first connection; false and why in error().
  bool Begin();

  Profile profile() const { return profile_; }
  pid_t pid() const { return pid_; }
  const std::string& error() const { return error_; }
  std::uint64_t handled() const { return shared_->handled.load(std::memory_order_relaxed); }
  std::string cgroup(const char* controller) const;  // its directory there
  std::string address() const { return "10.77." + std::to_string(number_) + ".2"; }
  std::string peer_address() const { return "10.77." + std::to_string(number_) + ".1"; }

 private:
  struct Shared {
    std::atomic<std::uint64_t> handled;
  };
  [[noreturn]] void Serve(int ready, int go);
  bool Fail(const std::string& why) {
    error_ = why;
    return false;
  }

  const Profile profile_;
  const int number_;
  const std::string directory_;
  Shared* shared_ = nullptr;
  pid_t pid_ = 0;
  int ready_ = -1, go_ = -1;
  std::string error_;
};

struct Latency {
  std::int64_t sent_ns;  // when it was to be sent: open loop
  std::int64_t latency_ns;
};

// Requests at random times, whatever becomes of those before.
class Client {
 public:
  explicit Client(const Victim& victim);
  ~Client();
  bool ok() const { return ok_; }

  void set_rate(double per_second) { rate_.store(per_second, std::memory_order_relaxed); }
  void set_blocked_share(double share) { blocked_.store(share, std::memory_order_relaxed); }
  void Warm() { warm_.store(true, std::memory_order_relaxed); }
  // Of the requests that were to be sent in [from, to), and were answered by now; those that were
  // not count with the time that they wait already.
  std::vector<std::int64_t> LatenciesIn(std::int64_t from_ns, std::int64_t to_ns);
  bool HasOpen();  // requests without an answer
  void Forget();   // all of them, those that are open, too

 private:
  void Run();

  std::vector<int> sockets_;
  bool ok_ = false;
  std::atomic<double> rate_{100}, blocked_{0};
  std::atomic<bool> warm_{false}, stop_{false};
  std::mutex mutex_;
  std::vector<Latency> answered_;   // under mutex_
  std::vector<std::int64_t> open_;  // under mutex_: ring by id, when it was to be sent; 0: none
  std::uint64_t oldest_ = 1, next_ = 1;  // under mutex_: ids that may be open, [oldest_, next_)
  std::thread thread_;
};

}  // namespace seer::bench
