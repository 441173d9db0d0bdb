#include "benchmarks/hwmon/trial_neighbours.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <random>

#include "seer/probe/schedstat.h"

namespace seer::bench {

void Hogs::Start(int count, int cpu, const std::function<void()>& body, bool only_idle_time) {
  for (int i = 0; i < count; ++i) {
    const pid_t pid = ::fork();
    if (pid == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      ::setpriority(PRIO_PROCESS, 0, 0);
      if (only_idle_time) {
        const sched_param param = {};
        ::sched_setscheduler(0, SCHED_IDLE, &param);
      } else {
        WriteFile(std::string(kHogCgroup) + "/cgroup.procs", std::to_string(::getpid()));
      }
      PinTo(cpu);
      body();
      std::_Exit(0);
    }
    if (pid > 0) pids_.push_back(pid);
  }
}

void Hogs::Stop() {
  for (const pid_t pid : pids_) ::kill(pid, SIGKILL);
  for (const pid_t pid : pids_) ::waitpid(pid, nullptr, 0);
  pids_.clear();
}

void Spin() {
  for (volatile std::uint64_t i = 0;; i = i + 1) {
  }
}

void ThrashCache() {
  constexpr std::size_t kBytes = 8u << 20;  // some times what a core's own cache holds
  auto* const words = static_cast<volatile std::uint64_t*>(::mmap(
      nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0));
  if (words == MAP_FAILED) return;
  for (std::uint64_t round = 0;; ++round) {
    for (std::size_t i = 0; i < kBytes / 8; i += 8) words[i] = words[i] + round;
  }
}

void ReadDisk(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDWR | O_DIRECT | O_CLOEXEC);
  constexpr std::size_t kBlock = 512 << 10;
  void* const block =
      ::mmap(nullptr, kBlock, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  const off_t blocks = ::lseek(fd, 0, SEEK_END) / static_cast<off_t>(kBlock);
  if (fd < 0 || block == MAP_FAILED || blocks < 1) return;
  std::mt19937 random(static_cast<unsigned>(::getpid()));
  for (;;) {
    const off_t at = static_cast<off_t>(random() % static_cast<unsigned>(blocks)) * kBlock;
    if (random() % 2 == 0) {
      (void)!::pread(fd, block, kBlock, at);
    } else {
      (void)!::pwrite(fd, block, kBlock, at);
    }
  }
}

void FloodNetwork(const Victim& victim) {
  const std::string path = "/proc/" + std::to_string(victim.pid()) + "/ns/net";
  const int space = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (space < 0 || ::setns(space, CLONE_NEWNET) != 0) return;
  const int fd = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  int bytes = 100'000;  // bounds what stands in the queue: a delay, no losses
  ::setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
  sockaddr_in to = {};
  to.sin_family = AF_INET;
  to.sin_port = htons(9);
  ::inet_pton(AF_INET, victim.peer_address().c_str(), &to.sin_addr);
  char packet[1400] = {};
  for (;;) {
    (void)::sendto(fd, packet, sizeof(packet), 0, reinterpret_cast<sockaddr*>(&to), sizeof(to));
  }
}

double Foreign::Share() const {
  double busy, total, own;
  Read(&busy, &total, &own);
  return std::max(0.0, (busy - busy_) - (own - own_)) / std::max(1.0, total - total_);
}

void Foreign::Read(double* busy, double* total, double* own) {
  static HostCpuProbe host;
  const HostCpuTimes times = host.Sample();
  *busy = static_cast<double>(times.busy_us.value) + static_cast<double>(times.steal_us.value);
  *total = static_cast<double>(times.total_us.value);
  *own = std::atof(ReadFile("/sys/fs/cgroup/cpuacct/seer-trial/cpuacct.usage").c_str()) / 1000;
}

}  // namespace seer::bench
