// Edge cases that go through several parts of the room. README.md of the tests' table names, for
// each of the 24 that were foreseen, the test that holds it.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "seer/hwmon/attribution.h"
#include "seer/hwmon/probe_monitor.h"
#include "seer/hwmon/software_monitor.h"
#include "tests/hwmon/fake_machine.h"
#include "tests/hwmon/samples.h"
#include "tests/probe/sandbox.h"

namespace seer {
namespace {

using testing::Hierarchy;
using testing::kTick;
using testing::Machine;

// 5: counters that fall were started anew, or are somebody else's: no huge number comes of it.
TEST(EdgeCases, CountersThatFallAreMissingForOneReading) {
  for (const Hierarchy hierarchy : {Hierarchy::kV1, Hierarchy::kV2, Hierarchy::kHybrid}) {
    Machine machine(hierarchy);
    machine.Quota(50'000, 100'000);
    machine.Pressure(5000, 6000, 7000);
    machine.HostPressure(9000, 9000, 9000);
    machine.Throttled(10, 5, 90'000);
    machine.Memory(95'000'000, 100'000'000, 900);
    SoftwareMonitor monitor(machine.Options());
    HwReading reading;
    ASSERT_TRUE(monitor.Read(HwTarget::OfProcess(77), &reading).ok());
    machine.clock.Advance(kTick);
    machine.Pressure(0, 0, 0);
    machine.HostPressure(0, 0, 0);
    machine.Throttled(1, 0, 0);
    machine.Memory(95'000'000, 100'000'000, 3);
    machine.root.Write("/proc/stat", "cpu 0 0 0 1 0 0 0 0 0 0\n");
    ASSERT_TRUE(monitor.Read(HwTarget::OfProcess(77), &reading).ok());
    EXPECT_EQ(monitor.last().throttled_us.reason, Reason::kImplausible);
    EXPECT_EQ(monitor.last().refaults.reason, Reason::kImplausible);
    EXPECT_EQ(reading.node[Resource::kMemoryCapacity].delay_us.reason, Reason::kImplausible);
    EXPECT_EQ(reading.node[Resource::kCpu].utilisation.reason, Reason::kImplausible);
    EXPECT_FALSE(reading.instance[Resource::kStorage].delay_us.usable());
    EXPECT_FALSE(IsQuota(reading.instance[Resource::kCpu]));
    machine.clock.Advance(kTick);
    machine.HostPressure(0, 0, 4000);
    ASSERT_TRUE(monitor.Read(HwTarget::OfProcess(77), &reading).ok());
    EXPECT_EQ(reading.node[Resource::kStorage].delay_us.value, 4000);
  }
}

// 6: no cgroups at all: the process is read as ever, and what is of cgroups says why it is not (but
// where nobody on the node waits: software_monitor_test.cc).
TEST(EdgeCases, AProcessWithoutCgroupsIsReadAllTheSame) {
  Machine machine(Hierarchy::kHybrid);
  machine.root.Write("/proc/1/mountinfo", "20 1 0:9 / / rw - ext4 /dev/vda rw\n");
  SoftwareMonitor monitor(machine.Options());
  HwReading reading;
  ASSERT_TRUE(monitor.Read(HwTarget::OfProcess(77), &reading).ok());
  machine.clock.Advance(kTick);
  machine.Thread(31'000'000, 12'000'000);
  machine.HostPressure(0, 5000, 9000);
  ASSERT_TRUE(monitor.Read(HwTarget::OfProcess(77), &reading).ok());
  EXPECT_EQ(reading.instance[Resource::kCpu].delay_us, testing::Good(10'000));
  for (const Resource resource : {Resource::kMemoryCapacity, Resource::kStorage}) {
    EXPECT_EQ(reading.instance[resource].delay_us.quality, Quality::kUnavailable);
    EXPECT_NE(reading.instance[resource].delay_us.reason, Reason::kNone);
  }
  EXPECT_EQ(monitor.Read(HwTarget::OfCgroup("/pods/a"), &reading).code(),
            absl::StatusCode::kNotFound);
}

// 7: each way in which a limit says that there is none.
TEST(EdgeCases, NoLimitIsNoUtilisationAndNoQuota) {
  for (const Hierarchy hierarchy : {Hierarchy::kV1, Hierarchy::kV2}) {
    for (const char* limit : {"max\n", "-1\n", "9223372036854771712\n", "18446744073709551615\n"}) {
      SCOPED_TRACE(limit);
      Machine machine(hierarchy);
      const bool v2 = hierarchy == Hierarchy::kV2;
      machine.root.Write(
          machine.MemoryDirectory() + (v2 ? "/memory.max" : "/memory.limit_in_bytes"), limit);
      SoftwareMonitor monitor(machine.Options());
      HwReading reading;
      ASSERT_TRUE(monitor.Read(HwTarget::OfProcess(77), &reading).ok());
      machine.clock.Advance(kTick);
      machine.Thread(101'000'000, 2'000'000);
      machine.Throttled(1, 1, 90'000);
      ASSERT_TRUE(monitor.Read(HwTarget::OfProcess(77), &reading).ok());
      EXPECT_TRUE(monitor.last().memory_limit_bytes.unlimited());
      EXPECT_EQ(reading.instance[Resource::kMemoryCapacity].utilisation.reason,
                Reason::kNotSupported);
      EXPECT_TRUE(monitor.last().cpu_limit_millis.unlimited());
      EXPECT_FALSE(IsQuota(reading.instance[Resource::kCpu]));
      EXPECT_NEAR(reading.instance[Resource::kCpu].utilisation.value, 0.5, 1e-9);  // of two
    }
  }
}

// 8 and 9: nothing is divided by no requests, and a baseline of bad times makes nothing look well.
TEST(EdgeCases, NoRequestsAndABaselineFromBadTimes) {
  StallBaseline baseline;
  EXPECT_FALSE(baseline.Learn(testing::HealthyReading(0, 5)));
  EXPECT_EQ(baseline.learnt(), 0u);
  for (int i = 0; i < 40; ++i) {
    // One minute in four was bad.
    baseline.Learn(testing::HealthyReading(100, i % 4 == 0 ? 5000 : 10 + i % 3));
  }
  const StallAttribution found = Attribute(testing::HealthyReading(100, 300), baseline);
  EXPECT_EQ(found.verdict, StallAttribution::Verdict::kResource);
  EXPECT_LT(found.worst().healthy_us, 20);
}

// 11: it blocks by itself, on a lock or on a slow service downstream: it waits, but for nobody's
// resource.
TEST(EdgeCases, AnApplicationThatBlocksIsNoResource) {
  Machine machine(Hierarchy::kHybrid);
  SoftwareMonitor monitor(machine.Options());
  const HwTarget target = HwTarget::OfProcess(77);
  HwReading reading;
  StallBaseline baseline;
  ASSERT_TRUE(monitor.Read(target, &reading).ok());
  std::uint64_t run_ns = 1'000'000, delay_ns = 2'000'000;
  const auto serve = [&](std::uint64_t requests) {
    machine.clock.Advance(kTick);
    run_ns += requests * 100'000;
    delay_ns += requests * 2000;
    machine.Thread(run_ns, delay_ns);
    EXPECT_TRUE(monitor.Read(target, &reading).ok());
    reading.requests = requests;
    return reading;
  };
  for (int i = 0; i < 10; ++i) EXPECT_TRUE(baseline.Learn(serve(100)));
  // Each takes longer, so fewer are done; what each needs is the same.
  std::vector<HwReading> readings;
  for (int i = 0; i < 3; ++i) readings.push_back(serve(12));
  EXPECT_EQ(Attribute(readings, baseline).verdict, StallAttribution::Verdict::kNone);
}

// 15: the victim exits while it is probed.
TEST(EdgeCases, AVictimThatExitsWhileItIsProbed) {
  const pid_t child = ::fork();
  if (child == 0) {
    for (;;) ::pause();
  }
  ASSERT_GT(child, 0);
  MicrobenchmarkOptions options;
  options.budget = std::chrono::milliseconds(50);
  options.max_bytes = 4 << 20;
  auto benchmarks = Microbenchmarks::Create(options);
  ASSERT_TRUE(benchmarks.ok());
  (*benchmarks)->set_idle_ns(Microbenchmark::kLlc, 10);
  SoftwareMonitor software;
  ProbeMonitor monitor(software, **benchmarks);
  const HwTarget target = HwTarget::OfProcess(child);
  HwReading reading;
  ASSERT_TRUE(monitor.Read(target, &reading).ok());
  bool killed = false;
  monitor.set_stop([&] {
    if (!killed) {
      ::kill(child, SIGKILL);
      ::waitpid(child, nullptr, 0);
      killed = true;
    }
    return false;
  });
  EXPECT_TRUE(monitor.Read(target, &reading).ok());  // it was there when it was read
  if (!killed) {
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
  }
  EXPECT_EQ(monitor.Read(target, &reading).code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(ReadGuarded(monitor, target, &reading).code(), absl::StatusCode::kNotFound);
  EXPECT_TRUE(testing::NothingObserved(reading));
}

// 16: it is moved to fewer processors while it is looked at.
TEST(EdgeCases, AChangedSetOfProcessorsIsNoticed) {
  cpu_set_t all;
  ASSERT_EQ(::sched_getaffinity(0, sizeof(all), &all), 0);
  if (CPU_COUNT(&all) < 2) GTEST_SKIP() << "there is one processor only";
  auto* const turns = static_cast<std::atomic<std::uint64_t>*>(
      ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  ASSERT_NE(turns, MAP_FAILED);
  const pid_t child = ::fork();
  if (child == 0) {
    for (;;) {  // it sleeps at times: the kernel adds up what a process ran when it stops
      for (int i = 0; i < 100'000; ++i) turns->fetch_add(1, std::memory_order_relaxed);
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  }
  ASSERT_GT(child, 0);
  SoftwareMonitorOptions options;
  options.rescan_ns = 0;
  options.processors = 1000;  // so that only its own set limits it
  options.network = false;
  SoftwareMonitor monitor(options);
  const HwTarget target = HwTarget::OfProcess(child);
  // What it ran by the share that this is of what it may: of an interval in which it ran, and not
  // all of the time, as a share is cut to 1.
  const auto processors = [&] {
    HwReading reading;
    EXPECT_TRUE(monitor.Read(target, &reading).ok());
    double ran_us = 0;
    double share = 0;
    EXPECT_TRUE(testing::Eventually([&] {
      const std::uint64_t before = turns->load(std::memory_order_relaxed);
      EXPECT_TRUE(testing::Eventually(
          [&] { return turns->load(std::memory_order_relaxed) > before + 1'000'000; }));
      EXPECT_TRUE(monitor.Read(target, &reading).ok());
      ran_us = static_cast<double>(monitor.last().run_us.value);
      share = reading.instance[Resource::kCpu].utilisation.value;
      return share > 0 && share < 1;
    }));
    return share > 0 ? ran_us * 1000 / (share * static_cast<double>(reading.interval_ns)) : 0;
  };
  EXPECT_NEAR(processors(), CPU_COUNT(&all), 0.01);
  cpu_set_t one;
  CPU_ZERO(&one);
  for (int cpu = 0; cpu < CPU_SETSIZE && CPU_COUNT(&one) == 0; ++cpu) {
    if (CPU_ISSET(cpu, &all)) CPU_SET(cpu, &one);
  }
  ASSERT_EQ(::sched_setaffinity(child, sizeof(one), &one), 0);
  const double after = processors();
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  ::munmap(turns, 4096);
  EXPECT_NEAR(after, 1, 0.01);
}

// 20: the machine slept for an hour, or steady time leapt: shares stay shares, and what a request
// waited stays what it was.
TEST(EdgeCases, AnHourThatNobodyLookedIsAnInterval) {
  Machine machine(Hierarchy::kHybrid);
  SoftwareMonitor monitor(machine.Options());
  HwReading reading;
  ASSERT_TRUE(monitor.Read(HwTarget::OfProcess(77), &reading).ok());
  machine.clock.Advance(3'600'000'000'000);
  machine.Thread(2'000'000, 3'000'000);
  machine.Pressure(0, 1000, 2000);
  ASSERT_TRUE(monitor.Read(HwTarget::OfProcess(77), &reading).ok());
  EXPECT_EQ(reading.instance[Resource::kCpu].delay_us.value, 1000);
  EXPECT_EQ(reading.instance[Resource::kStorage].delay_us.value, 2000);
  EXPECT_LT(reading.instance[Resource::kCpu].utilisation.value, 1e-6);
  // A stall that is longer than the time that was looked at is cut to it.
  machine.clock.Advance(kTick);
  machine.Pressure(0, 1000, 900'000'000);
  ASSERT_TRUE(monitor.Read(HwTarget::OfProcess(77), &reading).ok());
  EXPECT_EQ(reading.instance[Resource::kStorage].delay_us.value, kTick / 1000);
  EXPECT_EQ(reading.instance[Resource::kStorage].saturation.value, 1);
}

// A listener in a cgroup2 cgroup of its own, with connections that nobody accepts.
class LiveListener {
 public:
  LiveListener() {
    for (const char* mount : {"/sys/fs/cgroup/unified", "/sys/fs/cgroup"}) {
      if (::access((std::string(mount) + "/cgroup.controllers").c_str(), F_OK) != 0) continue;
      name_ = "/seer-test-sockets-" + std::to_string(::getpid());
      directory_ = mount + name_;
      made_ = ::mkdir(directory_.c_str(), 0755) == 0;
      break;
    }
    int ready[2];
    if (!made_ || ::pipe(ready) != 0) return;
    child_ = ::fork();
    if (child_ == 0) Listen(ready[1]);
    ::close(ready[1]);
    char byte = 0;
    listens_ = ::read(ready[0], &byte, 1) == 1 && byte == '1';
    ::close(ready[0]);
  }
  LiveListener(const LiveListener&) = delete;
  ~LiveListener() {
    if (child_ > 0) {
      ::kill(child_, SIGKILL);
      ::waitpid(child_, nullptr, 0);
    }
    if (made_) ::rmdir(directory_.c_str());
  }
  bool listens() const { return listens_; }
  pid_t pid() const { return child_; }
  const std::string& name() const { return name_; }

 private:
  [[noreturn]] void Listen(int ready) const {
    std::ofstream procs(directory_ + "/cgroup.procs");
    procs << ::getpid();
    procs.close();
    const int listener = ::socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    bool ok = !procs.fail() && ::bind(listener, reinterpret_cast<sockaddr*>(&address), size) == 0 &&
              ::listen(listener, 7) == 0 &&
              ::getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size) == 0;
    for (int i = 0; i < 3; ++i) {
      const int client = ::socket(AF_INET, SOCK_STREAM, 0);
      ok = ok && ::connect(client, reinterpret_cast<sockaddr*>(&address), size) == 0;
    }
    (void)!::write(ready, ok ? "1" : "0", 1);
    for (;;) ::pause();
  }
  std::string name_, directory_;
  bool made_ = false, listens_ = false;
  pid_t child_ = 0;
};

TEST(EdgeCases, WhatWaitsInSocketsIsToldWhereItIsAskedFor) {
  const LiveListener listener;
  if (!listener.listens()) GTEST_SKIP() << "no cgroup2 cgroup can be made here";
  const HwTarget target = HwTarget::OfProcess(listener.pid());
  HwReading reading;
  SoftwareMonitor without;
  ASSERT_TRUE(without.Read(target, &reading).ok());
  EXPECT_EQ(without.last().accept_backlog.reason, Reason::kNotObserved);
  SoftwareMonitorOptions options;
  options.sockets = true;
  SoftwareMonitor monitor(options);
  ASSERT_TRUE(monitor.Read(target, &reading).ok());
  if (monitor.last().accept_backlog.reason == Reason::kNotSupported) {
    GTEST_SKIP() << "this kernel does not tell sockets by cgroup";
  }
  EXPECT_EQ(monitor.last().accept_backlog, Reading::Of(3));
  EXPECT_EQ(monitor.last().accept_limit, Reading::Of(7));
  EXPECT_EQ(monitor.last().unread_bytes, Reading::Of(0));
  SoftwareMonitor by_cgroup(options);
  ASSERT_TRUE(by_cgroup.Read(HwTarget::OfCgroup(listener.name()), &reading).ok());
  EXPECT_EQ(by_cgroup.last().accept_backlog, Reading::Of(3));
}

}  // namespace
}  // namespace seer
