// The neighbours of the live trials: processes that want what the victim wants.
#pragma once

#include <sys/types.h>

#include <functional>
#include <string>
#include <vector>

#include "benchmarks/hwmon/trial_victim.h"

namespace seer::bench {

inline constexpr char kHogCgroup[] = "/sys/fs/cgroup/cpu/seer-trial/hog";

// Processes that do one thing until they are killed.
class Hogs {
 public:
  Hogs() = default;
  Hogs(const Hogs&) = delete;
  ~Hogs() { Stop(); }
  void Start(int count, int cpu, const std::function<void()>& body, bool only_idle_time = false);
  void Stop();

 private:
  std::vector<pid_t> pids_;
};

[[noreturn]] void Spin();
void ThrashCache();
void ReadDisk(const std::string& path);
void FloodNetwork(const Victim& victim);

// What others than the trials took of the processors since it was made.
class Foreign {
 public:
  Foreign() { Read(&busy_, &total_, &own_); }
  double Share() const;

 private:
  static void Read(double* busy, double* total, double* own);
  double busy_ = 0, total_ = 0, own_ = 0;
};

}  // namespace seer::bench
