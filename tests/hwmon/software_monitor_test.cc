#include "seer/hwmon/software_monitor.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstring>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>

#include "seer/core/clock.h"
#include "seer/hwmon/attribution.h"
#include "tests/hwmon/fake_machine.h"
#include "tests/hwmon/samples.h"
#include "tests/probe/sandbox.h"
#include "tests/support/allocations.h"

namespace seer {
namespace {

using testing::Hierarchy;
using testing::kTick;
using testing::Machine;

class SoftwareMonitorOf : public ::testing::TestWithParam<Hierarchy> {};

TEST_P(SoftwareMonitorOf, TellsWhatHappenedBetweenTwoReads) {
  Machine machine(GetParam());
  SoftwareMonitor monitor(machine.Options());
  HwTarget target = HwTarget::OfProcess(77);
  target.instance = InstanceId(3);
  HwReading reading;
  ASSERT_TRUE(monitor.Read(target, &reading).ok());
  EXPECT_EQ(reading.interval_ns, 0);
  EXPECT_TRUE(testing::NothingObserved(reading));

  machine.clock.Advance(kTick);
  machine.Thread(31'000'000, 12'000'000);  // 30 ms more, 10 ms waited
  machine.Pressure(7000, 4000, 9000);
  machine.HostPressure(20'000, 5000, 10'000);
  machine.root.Write("/proc/stat", "cpu 112 0 100 804 0 0 0 4 0 0\n");
  machine.Disk(10, 50, 60);
  ASSERT_TRUE(monitor.Read(target, &reading).ok());
  EXPECT_EQ(reading.target, InstanceId(3));
  EXPECT_EQ(reading.interval_ns, kTick);
  EXPECT_EQ(reading.end_ns, machine.clock.NowNs());
  const ResourceReading& cpu = reading.instance[Resource::kCpu];
  EXPECT_EQ(cpu.delay_us, testing::Good(10'000));
  EXPECT_NEAR(cpu.utilisation.value, 0.15, 1e-9);  // of two processors
  EXPECT_NEAR(cpu.saturation.value, 0.25, 1e-9);
  EXPECT_EQ(cpu.saturation.scope, Scope::kProcess);
  EXPECT_NEAR(reading.instance[Resource::kMemoryCapacity].utilisation.value, 0.5, 1e-9);
  const HwSignal& memory = reading.instance[Resource::kMemoryCapacity].delay_us;
  const HwSignal& storage = reading.instance[Resource::kStorage].delay_us;
  if (GetParam() == Hierarchy::kV1) {
    EXPECT_FALSE(memory.usable());  // PSI is of v2
    EXPECT_FALSE(storage.usable());
  } else {
    EXPECT_EQ(memory, testing::Good(4000, Scope::kCgroup));
    EXPECT_EQ(storage, testing::Good(9000, Scope::kCgroup));
  }
  for (Resource hidden : {Resource::kCache, Resource::kMemoryBandwidth}) {
    EXPECT_EQ(reading.instance[hidden].delay_us.reason, Reason::kNotObserved);
  }
  EXPECT_EQ(reading.node[Resource::kCpu].delay_us, testing::Good(20'000, Scope::kHost));
  EXPECT_NEAR(reading.node[Resource::kCpu].utilisation.value, 16.0 / 20, 1e-9);
  EXPECT_NEAR(reading.node[Resource::kCpu].saturation.value, 0.25, 1e-9);  // stolen: 4 of 16
  EXPECT_NEAR(reading.node[Resource::kStorage].utilisation.value, 0.6, 1e-9);
  EXPECT_NEAR(reading.node[Resource::kStorage].saturation.value, 0.1, 1e-9);
  EXPECT_EQ(monitor.last().disk_await_us, Reading::Of(5000));
  EXPECT_EQ(monitor.last().disk_in_flight, Reading::Of(4));
  EXPECT_EQ(monitor.last().run_us, Reading::Of(30'000));
  EXPECT_EQ(monitor.last().threads, 1u);
}

TEST_P(SoftwareMonitorOf, AQuotaIsSeenAsOne) {
  Machine machine(GetParam());
  machine.Quota(50'000, 100'000);
  SoftwareMonitor monitor(machine.Options());
  const HwTarget target = HwTarget::OfProcess(77);
  HwReading reading;
  ASSERT_TRUE(monitor.Read(target, &reading).ok());
  machine.clock.Advance(kTick);
  machine.Thread(51'000'000, 47'000'000);
  machine.Throttled(1, 1, 40'000);
  ASSERT_TRUE(monitor.Read(target, &reading).ok());
  const ResourceReading& cpu = reading.instance[Resource::kCpu];
  EXPECT_TRUE(IsQuota(cpu));
  EXPECT_NEAR(cpu.utilisation.value, 1, 1e-9);  // of half a processor
  EXPECT_NEAR(cpu.delay_us.value, 45'000, 1e-9);
  EXPECT_EQ(monitor.last().throttled_us, Reading::Of(40'000));
  // In force, but not used up.
  machine.clock.Advance(kTick);
  machine.Throttled(2, 1, 40'000);
  ASSERT_TRUE(monitor.Read(target, &reading).ok());
  EXPECT_FALSE(IsQuota(reading.instance[Resource::kCpu]));
}

TEST_P(SoftwareMonitorOf, StorageThatMemoryCausesIsMemorys) {
  if (GetParam() == Hierarchy::kV1) GTEST_SKIP() << "without v2 there are no stalls";
  Machine machine(GetParam());
  machine.Memory(95'000'000, 100'000'000, 10);
  SoftwareMonitor monitor(machine.Options());
  const HwTarget target = HwTarget::OfProcess(77);
  HwReading reading;
  ASSERT_TRUE(monitor.Read(target, &reading).ok());
  machine.clock.Advance(kTick);
  machine.Pressure(0, 6000, 30'000);
  machine.Memory(95'000'000, 100'000'000, 400);
  ASSERT_TRUE(monitor.Read(target, &reading).ok());
  EXPECT_EQ(reading.instance[Resource::kMemoryCapacity].delay_us.value, 30'000);
  EXPECT_EQ(reading.instance[Resource::kStorage].delay_us.reason, Reason::kNotObserved);
  // Full, but nothing comes back: the storage is slow for reasons of its own.
  machine.clock.Advance(kTick);
  machine.Pressure(0, 6000, 60'000);
  ASSERT_TRUE(monitor.Read(target, &reading).ok());
  EXPECT_EQ(reading.instance[Resource::kMemoryCapacity].delay_us.value, 0);
  EXPECT_EQ(reading.instance[Resource::kStorage].delay_us.value, 30'000);
}

TEST_P(SoftwareMonitorOf, ACgroupsProcessesAreFoundAndFollowed) {
  Machine machine(GetParam());
  SoftwareMonitor monitor(machine.Options());
  const HwTarget target = HwTarget::OfCgroup("/pods/a");
  HwReading reading;
  ASSERT_TRUE(monitor.Read(target, &reading).ok());
  EXPECT_EQ(monitor.last().processes, 1u);
  machine.clock.Advance(kTick);
  machine.Thread(11'000'000, 5'000'000);
  ASSERT_TRUE(monitor.Read(target, &reading).ok());
  EXPECT_EQ(reading.instance[Resource::kCpu].delay_us.value, 3000);
  EXPECT_EQ(reading.instance[Resource::kCpu].delay_us.scope, Scope::kCgroup);

  // A second one begins; a second later it is known.
  machine.root.Write("/proc/78/stat",
                     "78 (x) S 1 78 78 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 950 1000 200 1\n");
  machine.root.Write("/proc/78/task/78/schedstat", "900000000 900000000 7\n");
  const std::string members = "77\n78\n";
  machine.root.Write(machine.CpuDirectory() + "/cgroup.procs", members);
  machine.clock.Advance(1'000'000'000);
  ASSERT_TRUE(monitor.Read(target, &reading).ok());
  EXPECT_EQ(monitor.last().processes, 2u);
  // What it did before it was known is not of this interval.
  EXPECT_EQ(reading.instance[Resource::kCpu].delay_us.value, 0);
  machine.clock.Advance(kTick);
  machine.root.Write("/proc/78/task/78/schedstat", "900000000 902000000 7\n");
  ASSERT_TRUE(monitor.Read(target, &reading).ok());
  EXPECT_EQ(reading.instance[Resource::kCpu].delay_us.value, 2000);
  // The first ends: what it did stays counted.
  machine.root.Write(machine.CpuDirectory() + "/cgroup.procs", "78\n");
  machine.clock.Advance(1'000'000'000);
  ASSERT_TRUE(monitor.Read(target, &reading).ok());
  EXPECT_EQ(monitor.last().processes, 1u);
  EXPECT_EQ(reading.instance[Resource::kCpu].delay_us.value, 0);
}

TEST_P(SoftwareMonitorOf, ACgroupThatIsMadeAgainIsAnother) {
  Machine machine(GetParam());
  SoftwareMonitor monitor(machine.Options());
  const HwTarget target = HwTarget::OfCgroup("/pods/a");
  HwReading reading;
  ASSERT_TRUE(monitor.Read(target, &reading).ok());
  EXPECT_EQ(monitor.targets(), 1u);
  machine.root.Write("/sys/fs/cgroup/keep", "");
  for (const char* at :
       {"/sys/fs/cgroup/cpu/pods", "/sys/fs/cgroup/memory/pods", "/sys/fs/cgroup/unified/pods"}) {
    machine.root.Remove(at);
  }
  machine.clock.Advance(kTick);
  EXPECT_EQ(monitor.Read(target, &reading).code(), absl::StatusCode::kNotFound);
  EXPECT_TRUE(testing::NothingObserved(reading));
  EXPECT_EQ(monitor.targets(), 0u);
  EXPECT_EQ(monitor.Read(HwTarget::OfCgroup("/nowhere"), &reading).code(),
            absl::StatusCode::kNotFound);
}

INSTANTIATE_TEST_SUITE_P(Hierarchies, SoftwareMonitorOf,
                         ::testing::Values(Hierarchy::kV1, Hierarchy::kV2, Hierarchy::kHybrid));

TEST(SoftwareMonitor, EverySourceMayFailAndTheRestIsRead) {
  // Each file gone, empty, garbage, or endless: never a crash, never a number from nothing.
  const std::string kFiles[] = {"/proc/77/task/77/schedstat",
                                "/proc/stat",
                                "/proc/pressure/cpu",
                                "/proc/pressure/memory",
                                "/proc/pressure/io",
                                "/proc/net/softnet_stat",
                                "/sys/block/vda/stat",
                                "/proc/77/cgroup",
                                "/proc/1/mountinfo",
                                "/sys/fs/cgroup/cpu/pods/a/cpu.stat",
                                "/sys/fs/cgroup/cpu/pods/a/cpu.cfs_quota_us",
                                "/sys/fs/cgroup/cpu/pods/a/cpu.cfs_period_us",
                                "/sys/fs/cgroup/memory/pods/a/memory.stat",
                                "/sys/fs/cgroup/memory/pods/a/memory.usage_in_bytes",
                                "/sys/fs/cgroup/memory/pods/a/memory.limit_in_bytes",
                                "/sys/fs/cgroup/unified/pods/a/cpu.pressure",
                                "/sys/fs/cgroup/unified/pods/a/memory.pressure",
                                "/sys/fs/cgroup/unified/pods/a/io.pressure"};
  const std::string kContents[] = {"",
                                   "garbage\n",
                                   "nan inf -1\n",
                                   "some total=-5\n",
                                   "99999999999999999999999999\n",
                                   std::string(70'000, '7'),
                                   std::string(100, '\0')};
  Machine machine(Hierarchy::kHybrid);
  for (const std::string& file : kFiles) {
    std::ostringstream original;
    original << std::ifstream(machine.root.path() + file).rdbuf();
    for (int content = -1; content < static_cast<int>(std::size(kContents)); ++content) {
      for (const bool from_the_start : {true, false}) {
        SCOPED_TRACE(file + " " + std::to_string(content));
        const auto spoil = [&] {
          if (content < 0) machine.root.Remove(file);
          if (content >= 0) machine.root.Write(file, kContents[content]);
        };
        machine.root.Write(file, original.str());
        SoftwareMonitor monitor(machine.Options());
        HwReading reading;
        if (from_the_start) spoil();
        absl::Status status = ReadGuarded(monitor, HwTarget::OfProcess(77), &reading);
        machine.clock.Advance(kTick);
        if (!from_the_start) spoil();
        if (status.ok()) status = ReadGuarded(monitor, HwTarget::OfProcess(77), &reading);
        if (!status.ok()) {
          EXPECT_TRUE(testing::NothingObserved(reading));
        }
        for (const ResourceReadings* side : {&reading.instance, &reading.node}) {
          for (const ResourceReading& r : side->by_resource) {
            for (const HwSignal& s : {r.delay_us, r.utilisation, r.saturation}) {
              if (s.usable()) {
                EXPECT_LE(s.value, 1e9);
              } else {
                EXPECT_NE(s.reason, Reason::kNone);
                EXPECT_EQ(s.value, 0);
              }
            }
          }
        }
      }
    }
    machine.root.Write(file, original.str());
  }
}

TEST(SoftwareMonitor, AClockThatGoesBackBeginsAnew) {
  Machine machine(Hierarchy::kHybrid);
  SoftwareMonitor monitor(machine.Options());
  HwReading reading;
  ASSERT_TRUE(monitor.Read(HwTarget::OfProcess(77), &reading).ok());
  machine.clock.Advance(-5 * kTick);
  ASSERT_TRUE(monitor.Read(HwTarget::OfProcess(77), &reading).ok());
  EXPECT_TRUE(testing::NothingObserved(reading));
  machine.clock.Advance(kTick);
  ASSERT_TRUE(monitor.Read(HwTarget::OfProcess(77), &reading).ok());
  EXPECT_EQ(reading.interval_ns, kTick);
}

TEST(SoftwareMonitor, TheTargetReadLongestAgoMakesRoom) {
  Machine machine(Hierarchy::kHybrid);
  SoftwareMonitorOptions options = machine.Options();
  options.max_targets = 2;
  SoftwareMonitor monitor(options);
  HwReading reading;
  const HwTarget a = HwTarget::OfProcess(77), b = HwTarget::OfCgroup("/pods/a"),
                 c = HwTarget::OfHost();
  for (const HwTarget& target : {a, b, a, c}) {
    ASSERT_TRUE(monitor.Read(target, &reading).ok());
    machine.clock.Advance(kTick);
  }
  EXPECT_EQ(monitor.targets(), 2u);
  ASSERT_TRUE(monitor.Read(a, &reading).ok());
  EXPECT_GT(reading.interval_ns, 0);  // still open
  ASSERT_TRUE(monitor.Read(b, &reading).ok());
  EXPECT_EQ(reading.interval_ns, 0);  // opened anew
  monitor.Forget(b);
  monitor.Forget(b);
  EXPECT_EQ(monitor.targets(), 1u);
}

TEST(SoftwareMonitor, WithoutACgroupOfItsOwnItWaitedNoLongerThanTheWholeNode) {
  struct Case {
    const char* name;
    std::uint64_t memory_us, storage_us;  // of the node, in a tick
    bool memory, storage;                 // known of the instance
  };
  for (const Case& c :
       {Case{"nobody waits", 0, 0, true, true}, Case{"hardly anybody", 200, 150, true, true},
        Case{"somebody waits for storage", 0, 900, true, false},
        Case{"somebody waits for both", 40'000, 90'000, false, false}}) {
    SCOPED_TRACE(c.name);
    Machine machine(Hierarchy::kV2);
    machine.root.Write("/proc/77/cgroup", "0::/\n");
    SoftwareMonitor monitor(machine.Options());
    HwReading reading;
    ASSERT_TRUE(monitor.Read(HwTarget::OfProcess(77), &reading).ok());
    machine.clock.Advance(kTick);
    machine.HostPressure(0, c.memory_us, c.storage_us);
    ASSERT_TRUE(monitor.Read(HwTarget::OfProcess(77), &reading).ok());
    const HwSignal& memory = reading.instance[Resource::kMemoryCapacity].delay_us;
    const HwSignal& storage = reading.instance[Resource::kStorage].delay_us;
    ASSERT_EQ(memory.usable(), c.memory);
    ASSERT_EQ(storage.usable(), c.storage);
    if (c.memory) {
      EXPECT_EQ(memory, testing::Good(static_cast<double>(c.memory_us), Scope::kHost));
    }
    if (c.storage) {
      EXPECT_EQ(storage, testing::Good(static_cast<double>(c.storage_us), Scope::kHost));
    }
    EXPECT_FALSE(reading.instance[Resource::kMemoryCapacity].utilisation.usable());
  }
}

TEST(SoftwareMonitor, WhoseCgroupTellsIsNotTakenForTheNode) {
  Machine machine(Hierarchy::kV2);
  SoftwareMonitor monitor(machine.Options());
  HwReading reading;
  ASSERT_TRUE(monitor.Read(HwTarget::OfProcess(77), &reading).ok());
  machine.clock.Advance(kTick);
  machine.Pressure(0, 300, 70);
  ASSERT_TRUE(monitor.Read(HwTarget::OfProcess(77), &reading).ok());
  EXPECT_EQ(reading.instance[Resource::kMemoryCapacity].delay_us,
            testing::Good(300, Scope::kCgroup));
  EXPECT_EQ(reading.instance[Resource::kStorage].delay_us, testing::Good(70, Scope::kCgroup));
}

TEST(SoftwareMonitor, AHostHasNoInstance) {
  Machine machine(Hierarchy::kHybrid);
  SoftwareMonitor monitor(machine.Options());
  HwReading reading;
  ASSERT_TRUE(monitor.Read(HwTarget::OfHost(), &reading).ok());
  machine.clock.Advance(kTick);
  machine.HostPressure(0, 0, 50'000);
  ASSERT_TRUE(monitor.Read(HwTarget::OfHost(), &reading).ok());
  EXPECT_EQ(reading.node[Resource::kStorage].delay_us.value, 50'000);
  for (const ResourceReading& r : reading.instance.by_resource) {
    EXPECT_EQ(r.delay_us.reason, Reason::kNotObserved);
  }
}

TEST(SoftwareMonitor, ThisProcessIsReadWithoutTheHeap) {
  SoftwareMonitor monitor;
  const HwTarget self = HwTarget::OfProcess(::getpid());
  HwReading reading;
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(monitor.Read(self, &reading).ok());
  const testing::Allocations allocations;
  ASSERT_TRUE(monitor.Read(self, &reading).ok());
  EXPECT_EQ(allocations.count(), 0u);
  EXPECT_GT(reading.interval_ns, 0);
  EXPECT_TRUE(reading.instance[Resource::kCpu].delay_us.usable())
      << ReasonName(reading.instance[Resource::kCpu].delay_us.reason);
}

// A process in a cgroup of its own on this machine, where a test may make one.
class LiveCgroup {
 public:
  LiveCgroup() {
    directory_ = "/sys/fs/cgroup/cpu/seer-test-" + std::to_string(::getpid());
    made_ = ::access("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", F_OK) == 0 &&
            ::mkdir(directory_.c_str(), 0755) == 0;
  }
  ~LiveCgroup() {
    if (pid_ > 0) {
      ::kill(pid_, SIGKILL);
      ::waitpid(pid_, nullptr, 0);
    }
    if (made_) ::rmdir(directory_.c_str());
  }
  bool Write(const char* file, const std::string& text) const {
    std::ofstream out(directory_ + "/" + file);
    out << text;
    out.close();
    return !out.fail();
  }
  // One that never stops.
  bool Spin() {
    pid_ = ::fork();
    if (pid_ == 0) {
      for (volatile std::uint64_t i = 0;; i = i + 1) {
      }
    }
    return pid_ > 0 && Write("cgroup.procs", std::to_string(pid_));
  }
  bool made() const { return made_; }
  pid_t pid() const { return pid_; }
  std::string name() const { return directory_.substr(std::strlen("/sys/fs/cgroup/cpu")); }

 private:
  std::string directory_;
  bool made_ = false;
  pid_t pid_ = 0;
};

TEST(SoftwareMonitor, ALiveProcessWithAQuotaIsSeenToBeHeldBack) {
  LiveCgroup cgroup;
  if (!cgroup.made()) GTEST_SKIP() << "no cgroup v1 for processors can be made here";
  ASSERT_TRUE(cgroup.Write("cpu.cfs_quota_us", "2000"));  // of 100,000
  ASSERT_TRUE(cgroup.Spin());
  SoftwareMonitor by_pid, by_cgroup;
  HwReading reading, of_cgroup;
  const HwTarget process = HwTarget::OfProcess(cgroup.pid());
  const HwTarget whole = HwTarget::OfCgroup(cgroup.name());
  ASSERT_TRUE(by_pid.Read(process, &reading).ok());
  ASSERT_TRUE(by_cgroup.Read(whole, &of_cgroup).ok());
  // Some periods have to pass; each Read is of a short time only, so they are added up.
  HwReading total, cgroup_total;
  std::uint64_t throttled = 0;
  EXPECT_TRUE(testing::Eventually([&] {
    EXPECT_TRUE(by_pid.Read(process, &reading).ok());
    AddReading(reading, &total);
    throttled += by_pid.last().throttled_us.value;
    EXPECT_TRUE(by_cgroup.Read(whole, &of_cgroup).ok());
    AddReading(of_cgroup, &cgroup_total);
    return throttled > 100'000;
  }));
  EXPECT_EQ(by_pid.last().cpu_limit_millis, Reading::Of(20));
  EXPECT_EQ(by_cgroup.last().cpu_limit_millis, Reading::Of(20));
  EXPECT_EQ(by_cgroup.last().processes, 1u);
  // Being held back is part of the wait.
  EXPECT_GT(total.instance[Resource::kCpu].delay_us.value, 50'000);
  EXPECT_GT(cgroup_total.instance[Resource::kCpu].delay_us.value, 50'000);
}

TEST(SoftwareMonitor, AProcessThatEndedIsNotFoundAndNoOtherTakesItsPlace) {
  const pid_t child = ::fork();
  if (child == 0) {
    for (;;) ::pause();
  }
  ASSERT_GT(child, 0);
  SoftwareMonitor monitor;
  HwReading reading;
  const HwTarget target = HwTarget::OfProcess(child);
  EXPECT_TRUE(monitor.Read(target, &reading).ok());
  HwTarget another = target;
  another.start_time = 1;  // one that began at boot, with this pid
  EXPECT_EQ(monitor.Read(another, &reading).code(), absl::StatusCode::kNotFound);
  ::kill(child, SIGKILL);
  ASSERT_EQ(::waitpid(child, nullptr, 0), child);
  EXPECT_EQ(monitor.Read(target, &reading).code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(monitor.targets(), 0u);
}

}  // namespace
}  // namespace seer
