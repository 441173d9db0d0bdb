// One look at what the kernel knows about waiting work: 64 listening ports with 2,000 connections,
// one of four with unread data, clients on the same machine (so the kernel's table holds twice as
// many sockets). Beside it the text file that tells the same, and the other probes.
#include <arpa/inet.h>
#include <benchmark/benchmark.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>
#include <vector>

#include "benchmarks/harness/figure.h"
#include "seer/probe/cgroup_stats.h"
#include "seer/probe/net_depths.h"
#include "seer/probe/nic_depths.h"
#include "seer/probe/pressure.h"
#include "seer/probe/schedstat.h"
#include "seer/probe/socket_depths.h"
#include "seer/probe/softnet.h"

namespace seer::bench {
namespace {

constexpr int kListeners = 64;
constexpr int kConnections = 2000;

// Their sockets stay open to the end of the program, which closes them.
class Servers {
 public:
  static const Servers& Shared() {
    static const Servers servers;
    return servers;
  }
  bool ok() const { return ok_; }
  const std::vector<std::uint16_t>& ports() const { return ports_; }

 private:
  Servers() {
    rlimit files;
    if (::getrlimit(RLIMIT_NOFILE, &files) == 0) {
      files.rlim_cur = files.rlim_max;
      ::setrlimit(RLIMIT_NOFILE, &files);
    }
    ok_ = Listen() && Connect();
  }

  bool Listen() {
    for (int i = 0; i < kListeners; ++i) {
      sockaddr_in address = {};
      address.sin_family = AF_INET;
      address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
      socklen_t size = sizeof(address);
      const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
      if (::bind(fd, reinterpret_cast<sockaddr*>(&address), size) != 0 || ::listen(fd, 128) != 0 ||
          ::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
        return false;
      }
      listeners_.push_back(fd);
      addresses_.push_back(address);
      ports_.push_back(ntohs(address.sin_port));
    }
    return true;
  }
  bool Connect() {
    for (int i = 0; i < kConnections; ++i) {
      const auto at = static_cast<std::size_t>(i % kListeners);
      const int client = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
      if (::connect(client, reinterpret_cast<const sockaddr*>(&addresses_[at]),
                    sizeof(addresses_[at])) != 0) {
        return false;
      }
      if (::accept4(listeners_[at], nullptr, nullptr, SOCK_CLOEXEC) < 0) return false;
      if (i % 4 == 0 && ::send(client, "x", 1, MSG_NOSIGNAL) != 1) return false;
    }
    return true;
  }
  bool ok_ = false;
  std::vector<int> listeners_;
  std::vector<sockaddr_in> addresses_;
  std::vector<std::uint16_t> ports_;
};

void SampleSockets(benchmark::State& state, Unsent unsent, bool listeners_only) {
  const Servers& servers = Servers::Shared();
  if (!servers.ok()) {
    state.SkipWithError("no 4,000 sockets are to be had: raise `ulimit -n`");
    return;
  }
  SocketProbeOptions options;
  options.ports = servers.ports();
  options.unsent = unsent;
  options.time_limit = std::chrono::seconds(1);
  absl::StatusOr<SocketProbe> probe = SocketProbe::Open(options);
  std::vector<PortDepths> rows;
  if (!probe.ok() || !probe->Sample(&rows).ok()) {
    state.SkipWithError("the sockets cannot be sampled");
    return;
  }
  std::uint64_t connections = 0;
  for (const PortDepths& row : rows) connections += row.connections;
  if (rows.size() != kListeners || connections != kConnections) {
    state.SkipWithError("the probe does not see what is there");
    return;
  }
  for (auto _ : state) {
    const absl::Status status =
        listeners_only ? probe->SampleListeners(&rows) : probe->Sample(&rows);
    if (!status.ok()) state.SkipWithError("a sample failed");
  }
}

void BM_ProbeSockets(benchmark::State& state) {
  SampleSockets(state, Unsent::kUnacknowledged, false);
}
BENCHMARK(BM_ProbeSockets)->UseRealTime()->Unit(benchmark::kMicrosecond);

void BM_ProbeSocketsNotSent(benchmark::State& state) {
  SampleSockets(state, Unsent::kNotSent, false);
}
BENCHMARK(BM_ProbeSocketsNotSent)->UseRealTime()->Unit(benchmark::kMicrosecond);

void BM_ProbeListeners(benchmark::State& state) {
  SampleSockets(state, Unsent::kUnacknowledged, true);
}
BENCHMARK(BM_ProbeListeners)->UseRealTime()->Unit(benchmark::kMicrosecond);

// The plain way: the same numbers as text, not even parsed.
void BM_ReadProcNetTcp(benchmark::State& state) {
  if (!Servers::Shared().ok()) {
    state.SkipWithError("no 4,000 sockets are to be had: raise `ulimit -n`");
    return;
  }
  std::vector<char> buffer(65536);
  for (auto _ : state) {
    for (const char* path : {"/proc/net/tcp", "/proc/net/tcp6"}) {
      const int fd = ::open(path, O_RDONLY | O_CLOEXEC);
      while (::read(fd, buffer.data(), buffer.size()) > 0) {
      }
      ::close(fd);
    }
  }
}
BENCHMARK(BM_ReadProcNetTcp)->UseRealTime()->Unit(benchmark::kMicrosecond);

void BM_ProbeSoftnet(benchmark::State& state) {
  SoftnetProbe probe;
  for (auto _ : state) benchmark::DoNotOptimize(probe.Sample());
}
BENCHMARK(BM_ProbeSoftnet)->UseRealTime();

void BM_ProbeQdiscs(benchmark::State& state) {
  absl::StatusOr<NetProbe> probe = NetProbe::Open();
  std::vector<DeviceDepths> devices;
  if (!probe.ok() || !probe->Sample(&devices).ok()) {
    state.SkipWithError("the queueing disciplines cannot be sampled");
    return;
  }
  for (auto _ : state) {
    if (!probe->Sample(&devices).ok()) state.SkipWithError("a sample failed");
  }
  state.counters["devices"] = static_cast<double>(devices.size());
}
BENCHMARK(BM_ProbeQdiscs)->UseRealTime();

void BM_ProbeNic(benchmark::State& state) {
  NicProbe probe("eth0");
  for (auto _ : state) benchmark::DoNotOptimize(probe.Sample());
}
BENCHMARK(BM_ProbeNic)->UseRealTime();

// A process with this many threads, all asleep.
void BM_ProbeTasks(benchmark::State& state) {
  std::mutex mutex;
  std::condition_variable wake;
  bool stop = false;
  std::vector<std::thread> threads;
  for (std::int64_t i = 1; i < state.range(0); ++i) {
    threads.emplace_back([&] {
      std::unique_lock<std::mutex> lock(mutex);
      wake.wait(lock, [&] { return stop; });
    });
  }
  absl::StatusOr<TaskProbe> probe = TaskProbe::Open(::getpid());
  if (probe.ok()) {
    TaskTimes times;
    for (auto _ : state) benchmark::DoNotOptimize(times = probe->Sample());
    if (!times.run_delay_ns.ok() || times.threads != threads.size() + 1) {
      state.SkipWithError("the probe does not see what is there");
    }
  } else {
    state.SkipWithError("the threads cannot be sampled");
  }
  {
    const std::lock_guard<std::mutex> lock(mutex);
    stop = true;
  }
  wake.notify_all();
  for (std::thread& thread : threads) thread.join();
}
BENCHMARK(BM_ProbeTasks)->Arg(1)->Arg(64)->UseRealTime();

void BM_ProbeHostCpu(benchmark::State& state) {
  HostCpuProbe probe;
  for (auto _ : state) benchmark::DoNotOptimize(probe.Sample());
}
BENCHMARK(BM_ProbeHostCpu)->UseRealTime();

void BM_ProbePressure(benchmark::State& state) {
  PressureProbe probe = PressureProbe::OfHost();
  for (auto _ : state) benchmark::DoNotOptimize(probe.Sample());
}
BENCHMARK(BM_ProbePressure)->UseRealTime();

void BM_ProbeCgroup(benchmark::State& state) {
  const absl::StatusOr<CgroupPaths> paths = FindCgroups(::getpid());
  if (!paths.ok()) {
    state.SkipWithError("no cgroup is visible");
    return;
  }
  CgroupProbe probe(*paths);
  for (auto _ : state) benchmark::DoNotOptimize(probe.Sample());
}
BENCHMARK(BM_ProbeCgroup)->UseRealTime();

SEER_FIGURE(probe_us, Time("queue.probe_us", "us", "<= 1000", "BM_ProbeSockets"));

}  // namespace
}  // namespace seer::bench
