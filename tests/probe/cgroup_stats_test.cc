#include "seer/probe/cgroup_stats.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "probe/cgroup_text.h"
#include "tests/probe/fake_root.h"
#include "tests/probe/sandbox.h"
#include "tests/support/allocations.h"

namespace seer {
namespace {

using testing::FakeRoot;

constexpr pid_t kPid = 77;
constexpr char kV1Mounts[] =
    "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n"
    "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw shared:9 - cgroup cgroup rw,cpu,cpuacct\n"
    "35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n";
constexpr char kV2Mount[] = "41 31 0:38 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
constexpr char kHybridMount[] = "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 none rw\n";

CgroupPaths Find(const FakeRoot& root, const std::string& mounts, const std::string& memberships) {
  root.Write("/proc/1/mountinfo", mounts);
  root.Write("/proc/77/cgroup", memberships);
  absl::StatusOr<CgroupPaths> paths = FindCgroups(kPid, root.path());
  EXPECT_TRUE(paths.ok()) << paths.status();
  return paths.ok() ? *paths : CgroupPaths();
}

TEST(FindCgroups, FindsThemInEitherHierarchyAndInBoth) {
  struct Case {
    const char* name;
    std::string mounts, memberships, unified, cpu, memory;
  };
  for (const Case& c : {
           Case{"v2", kV2Mount, "0::/a/b\n", "/sys/fs/cgroup/a/b", "", ""},
           Case{"v1", kV1Mounts, "9:memory:/m\n8:cpu,cpuacct:/c\n1:name=systemd:/\n", "",
                "/sys/fs/cgroup/cpu,cpuacct/c", "/sys/fs/cgroup/memory/m"},
           Case{"hybrid", std::string(kV1Mounts) + kHybridMount,
                "9:memory:/m\n8:cpu,cpuacct:/\n0::/u\n", "/sys/fs/cgroup/unified/u",
                "/sys/fs/cgroup/cpu,cpuacct", "/sys/fs/cgroup/memory/m"},
           Case{"a container's own namespace", kV2Mount, "0::/\n", "/sys/fs/cgroup", "", ""},
           Case{"a part of the hierarchy is mounted", "1 1 0:1 /docker/x /cg rw - cgroup2 c rw\n",
                "0::/docker/x/y\n", "/cg/y", "", ""},
           Case{"exactly that part", "1 1 0:1 /docker/x /cg rw - cgroup2 c rw\n", "0::/docker/x\n",
                "/cg", "", ""},
           Case{"the first mount does not show it",
                "1 1 0:1 /other /no rw - cgroup2 c rw\n2 1 0:1 / /yes rw - cgroup2 c rw\n",
                "0::/docker\n", "/yes/docker", "", ""},
           Case{"a blank in the path", "1 1 0:1 / /my\\040cg rw - cgroup2 c rw\n", "0::/a:b c\n",
                "/my cg/a:b c", "", ""},
       }) {
    SCOPED_TRACE(c.name);
    FakeRoot root;
    const CgroupPaths paths = Find(root, c.mounts, c.memberships);
    const auto at = [&](const std::string& p) { return p.empty() ? p : root.path() + p; };
    EXPECT_EQ(paths.unified.path, at(c.unified));
    EXPECT_EQ(paths.cpu.path, at(c.cpu));
    EXPECT_EQ(paths.cpuacct.path, at(c.cpu));
    EXPECT_EQ(paths.memory.path, at(c.memory));
  }
}

TEST(FindCgroups, WhatCannotBeSeenIsNotFound) {
  struct Case {
    const char* name;
    std::string mounts, memberships;
  };
  for (const Case& c : {
           Case{"nothing is mounted", "31 23 0:28 / /sys rw - sysfs sysfs rw\n", "0::/a\n"},
           Case{"outside our namespace", kV2Mount, "0::/../../b\n"},
           Case{"a way up at the end", kV2Mount, "0::/a/..\n"},
           Case{"another part is mounted", "1 1 0:1 /docker/x /cg rw - cgroup2 c rw\n",
                "0::/docker/xy\n"},
           Case{"the part lies outside", "1 1 0:1 /.. /cg rw - cgroup2 c rw\n", "0::/a\n"},
           Case{"garbage", "cgroup2\n - cgroup2\n\n1 2 3 / / - \n", "::\n0:\n/\n0::relative\n"},
           Case{"nothing", "", ""},
       }) {
    SCOPED_TRACE(c.name);
    FakeRoot root;
    root.Write("/proc/1/mountinfo", c.mounts);
    root.Write("/proc/77/cgroup", c.memberships);
    EXPECT_TRUE(absl::IsNotFound(FindCgroups(kPid, root.path()).status()));
  }
  FakeRoot root;
  root.Write("/proc/1/mountinfo", kV2Mount);
  EXPECT_TRUE(absl::IsNotFound(FindCgroups(kPid, root.path()).status()));  // no such process
  EXPECT_TRUE(absl::IsUnavailable(FindCgroups(kPid, root.path() + "/nowhere").status()));
  EXPECT_TRUE(absl::IsInvalidArgument(FindCgroups(0, root.path()).status()));
}

TEST(CgroupStats, V1IsReadInTheUnitsOfV2) {
  FakeRoot root;
  const CgroupPaths paths = Find(root, kV1Mounts, "9:memory:/a/m\n8:cpu,cpuacct:/c\n");
  const std::string cpu = "/sys/fs/cgroup/cpu,cpuacct", memory = "/sys/fs/cgroup/memory";
  root.Write(cpu + "/c/cpu.stat", "nr_periods 10\nnr_throttled 4\nthrottled_time 5000\n");
  root.Write(cpu + "/c/cpuacct.usage", "123456\n");
  root.Write(cpu + "/c/cpu.cfs_quota_us", "250000\n");
  root.Write(cpu + "/c/cpu.cfs_period_us", "100000\n");
  root.Write(cpu + "/cpu.cfs_quota_us", "-1\n");
  root.Write(cpu + "/cpu.cfs_period_us", "100000\n");
  root.Write(memory + "/a/m/memory.usage_in_bytes", "4096\n");
  root.Write(memory + "/a/m/memory.limit_in_bytes", "9223372036854771712\n");
  root.Write(memory + "/a/memory.limit_in_bytes", "1048576\n");
  root.Write(memory + "/memory.limit_in_bytes", "9223372036854771712\n");
  root.Write(memory + "/a/m/memory.stat",
             "workingset_refault_file 1\ntotal_workingset_refault_anon 3\n"
             "total_workingset_refault_file 4\npgmajfault 1\ntotal_pgmajfault 9\n");
  const CgroupStats stats = CgroupProbe(paths).Sample();
  EXPECT_EQ(stats.periods, Reading::Of(10));
  EXPECT_EQ(stats.throttled_periods, Reading::Of(4));
  EXPECT_EQ(stats.throttled_us, Reading::Of(5));
  EXPECT_EQ(stats.cpu_usage_us, Reading::Of(123));
  EXPECT_EQ(stats.cpu_limit_millis, Reading::Of(2500));
  EXPECT_EQ(stats.memory_bytes, Reading::Of(4096));
  EXPECT_EQ(stats.memory_limit_bytes, Reading::Of(1048576));  // the parent's
  EXPECT_EQ(stats.refaults, Reading::Of(7));
  EXPECT_EQ(stats.major_faults, Reading::Of(9));
  EXPECT_EQ(stats.pressure.cpu.some_us, Reading::Not(Reason::kNotObserved));  // only v2 has it
}

TEST(CgroupStats, V2IsReadWithTheTightestLimitOfItsAncestors) {
  FakeRoot root;
  const CgroupPaths paths = Find(root, kV2Mount, "0::/a/b\n");
  const std::string a = "/sys/fs/cgroup/a", b = a + "/b";
  root.Write(b + "/cpu.stat",
             "usage_usec 99\nuser_usec 9\nnr_periods 10\nnr_throttled 4\nthrottled_usec 5\n");
  root.Write(b + "/cpu.max", "max 100000\n");
  root.Write(a + "/cpu.max", "50000 100000\n");
  root.Write(b + "/memory.current", "4096\n");
  root.Write(b + "/memory.max", "8192\n");
  root.Write(a + "/memory.max", "max\n");
  root.Write(b + "/memory.stat",
             "workingset_refault_anon 3\nworkingset_refault_file 4\npgmajfault 9\n");
  root.Write(b + "/cpu.pressure", "some total=7\nfull total=1\n");
  CgroupProbe probe(paths);
  CgroupStats stats = probe.Sample();
  EXPECT_EQ(stats.cpu_usage_us, Reading::Of(99));
  EXPECT_EQ(stats.throttled_periods, Reading::Of(4));
  EXPECT_EQ(stats.throttled_us, Reading::Of(5));
  EXPECT_EQ(stats.cpu_limit_millis, Reading::Of(500));
  EXPECT_EQ(stats.memory_bytes, Reading::Of(4096));
  EXPECT_EQ(stats.memory_limit_bytes, Reading::Of(8192));
  EXPECT_EQ(stats.refaults, Reading::Of(7));
  EXPECT_EQ(stats.major_faults, Reading::Of(9));
  EXPECT_EQ(stats.pressure.cpu.some_us, Reading::Of(7));
  EXPECT_EQ(stats.pressure.io.some_us, Reading::Not(Reason::kNotFound));
  // Limits change while we look.
  root.Write(a + "/cpu.max", "max 100000\n");
  root.Write(b + "/memory.max", "max\n");
  stats = probe.Sample();
  EXPECT_TRUE(stats.cpu_limit_millis.unlimited());
  EXPECT_TRUE(stats.memory_limit_bytes.unlimited());
}

TEST(CgroupStats, AQuickSampleLeavesOutWhatIsDearUnlessTheMemoryIsNearlyFull) {
  FakeRoot root;
  const CgroupPaths paths = Find(root, kV2Mount, "0::/a\n");
  const std::string a = "/sys/fs/cgroup/a";
  root.Write(a + "/cpu.stat", "usage_usec 99\nnr_periods 10\nnr_throttled 4\nthrottled_usec 5\n");
  root.Write(a + "/memory.current", "5000\n");
  root.Write(a + "/memory.max", "8192\n");
  const auto refaults = [&](int count) {
    root.Write(a + "/memory.stat", "workingset_refault_anon 3\nworkingset_refault_file " +
                                       std::to_string(count) + "\npgmajfault 9\n");
  };
  refaults(4);
  root.Write(a + "/cpu.pressure", "some total=7\nfull total=1\n");
  root.Write(a + "/memory.pressure", "some total=8\nfull total=1\n");
  root.Write(a + "/io.pressure", "some total=9\nfull total=1\n");
  CgroupProbe probe(paths);
  EXPECT_EQ(probe.SampleQuickly().refaults, Reading());  // never read
  EXPECT_EQ(probe.Sample().refaults, Reading::Of(7));
  refaults(40);
  CgroupStats stats = probe.SampleQuickly();
  EXPECT_EQ(stats.refaults, Reading::Of(7));
  EXPECT_EQ(stats.major_faults, Reading::Of(9));
  EXPECT_EQ(stats.pressure.cpu.some_us, Reading());
  EXPECT_EQ(stats.pressure.memory.some_us, Reading::Of(8));
  EXPECT_EQ(stats.pressure.io.some_us, Reading::Of(9));
  EXPECT_EQ(stats.throttled_us, Reading::Of(5));
  EXPECT_EQ(stats.memory_bytes, Reading::Of(5000));
  root.Write(a + "/memory.current", "6200\n");
  EXPECT_EQ(probe.SampleQuickly().refaults, Reading::Of(43));
}

TEST(CgroupStats, InHybridModeTimeIsCountedThoughTheControllersAreElsewhere) {
  FakeRoot root;
  const CgroupPaths paths =
      Find(root, std::string(kV1Mounts) + kHybridMount, "9:memory:/m\n8:cpu:/c\n0::/u\n");
  root.Write("/sys/fs/cgroup/unified/u/cpu.stat", "usage_usec 77\n");
  root.Write("/sys/fs/cgroup/unified/u/memory.pressure", "some total=7\nfull total=1\n");
  root.Write("/sys/fs/cgroup/cpu,cpuacct/c/cpu.stat", "nr_periods 1\nnr_throttled 0\n");
  const CgroupStats stats = CgroupProbe(paths).Sample();
  EXPECT_EQ(stats.cpu_usage_us, Reading::Of(77));
  EXPECT_EQ(stats.periods, Reading::Of(1));
  EXPECT_EQ(stats.throttled_us, Reading::Not(Reason::kNotSupported));
  EXPECT_EQ(stats.pressure.memory.some_us, Reading::Of(7));
  EXPECT_EQ(stats.memory_bytes, Reading::Not(Reason::kNotFound));
}

TEST(CgroupStats, OldKernelsCountRefaultsInOneNumber) {
  FakeRoot root;
  const CgroupPaths paths = Find(root, kV2Mount, "0::/a\n");
  root.Write("/sys/fs/cgroup/a/memory.stat", "workingset_refault 5\n");
  const CgroupStats stats = CgroupProbe(paths).Sample();
  EXPECT_EQ(stats.refaults, Reading::Of(5));
  EXPECT_EQ(stats.major_faults, Reading::Not(Reason::kNotSupported));
}

TEST(CgroupStats, GarbageIsMissingNeverZero) {
  for (const std::string& bad :
       {std::string("nan"), std::string("-5"), std::string("99999999999999999999"), std::string(),
        std::string("max"), std::string(200'000, 'x'), std::string("1 2 3\n4")}) {
    SCOPED_TRACE(bad.substr(0, 30));
    FakeRoot root;
    const CgroupPaths paths = Find(root, kV2Mount, "0::/a\n");
    const std::string a = "/sys/fs/cgroup/a";
    root.Write(a + "/cpu.stat", "usage_usec x" + bad.substr(0, 100) + "\n");
    root.Write(a + "/memory.current", bad);
    root.Write(a + "/cpu.max", "50000 " + bad + "z\n");
    const CgroupStats stats = CgroupProbe(paths).Sample();
    EXPECT_EQ(stats.cpu_usage_us, Reading::Not(Reason::kMalformed));
    EXPECT_EQ(stats.memory_bytes, Reading::Not(Reason::kMalformed));
    if (bad != "1 2 3\n4") {
      EXPECT_EQ(stats.cpu_limit_millis, Reading::Not(Reason::kMalformed));
    }
  }
}

TEST(CgroupStats, ACgroupThatIsNotThereHasNoLimitsEither) {
  FakeRoot root;
  const CgroupStats gone = CgroupProbe(Find(root, kV2Mount, "0::/a\n")).Sample();
  const CgroupStats none = CgroupProbe(CgroupPaths()).Sample();
  for (const auto& [stats, reason] :
       {std::pair(gone, Reason::kNotFound), std::pair(none, Reason::kNotObserved)}) {
    for (const Reading& r :
         {stats.cpu_usage_us, stats.periods, stats.throttled_periods, stats.throttled_us,
          stats.refaults, stats.major_faults, stats.pressure.io.full_us, stats.cpu_limit_millis,
          stats.memory_bytes, stats.memory_limit_bytes}) {
      EXPECT_EQ(r, Reading::Not(reason));
    }
  }
}

TEST(CgroupLimit, EveryWayToSayNoneIsNone) {
  using internal::LimitInMillis;
  using internal::ParseLimit;
  for (const char* none : {"max", "-1", "9223372036854771712", "9223372036854775807",
                           "18446744073709551615", "9223372036854710272"}) {
    SCOPED_TRACE(none);
    EXPECT_TRUE(ParseLimit(none).unlimited());
    EXPECT_TRUE(LimitInMillis(ParseLimit(none), Reading::Of(100'000)).unlimited());
  }
  EXPECT_EQ(ParseLimit("1099511627776"), Reading::Of(std::uint64_t{1} << 40));
  for (const char* bad : {"", "-2", "Max", "0x10", "1.5", "nan"}) {
    SCOPED_TRACE(bad);
    EXPECT_EQ(ParseLimit(bad), Reading::Not(Reason::kMalformed));
  }
  EXPECT_EQ(LimitInMillis(Reading::Of(1000), Reading::Of(1'000'000)), Reading::Of(1));
  EXPECT_EQ(LimitInMillis(Reading::Of(1000), Reading::Of(0)), Reading::Not(Reason::kMalformed));
  EXPECT_EQ(LimitInMillis(Reading::Of(std::uint64_t{1} << 61), Reading::Of(1)),
            Reading::Not(Reason::kMalformed));
  EXPECT_EQ(LimitInMillis(Reading::Of(1), Reading::Not(Reason::kVanished)),
            Reading::Not(Reason::kVanished));
}

// ---- The real thing.

TEST(CgroupStats, OurOwnIsReadWithoutTheHeapOrSaysWhyNot) {
  const absl::StatusOr<CgroupPaths> paths = FindCgroups(::getpid());
  if (!paths.ok()) {
    EXPECT_TRUE(absl::IsNotFound(paths.status())) << paths.status();
    return;
  }
  CgroupProbe probe(*paths);
  (void)probe.Sample();
  const testing::Allocations allocations;
  const CgroupStats stats = probe.Sample();
  EXPECT_EQ(allocations.count(), 0u);
  for (const Reading& r : {stats.cpu_usage_us, stats.cpu_limit_millis, stats.memory_bytes,
                           stats.memory_limit_bytes, stats.pressure.cpu.some_us}) {
    if (!r.ok()) {
      EXPECT_TRUE(r.reason == Reason::kNotFound || r.reason == Reason::kNotSupported ||
                  r.reason == Reason::kNotObserved);
    }
  }
  if (!paths->unified.path.empty()) {
    struct stat of_directory;
    ASSERT_EQ(::stat(paths->unified.path.c_str(), &of_directory), 0);
    EXPECT_EQ(CgroupId(paths->unified.path), Reading::Of(of_directory.st_ino));
  }
  EXPECT_EQ(CgroupId("/nowhere"), Reading::Not(Reason::kNotFound));
  EXPECT_EQ(CgroupId(""), Reading::Not(Reason::kNotObserved));
}

TEST(CgroupStats, ACgroupThatIsRemovedVanishesAlsoWhenAnotherTakesItsName) {
  const absl::StatusOr<CgroupPaths> own = FindCgroups(::getpid());
  const std::string name = (own.ok() ? own->unified.mount : std::string("/nowhere")) +
                           "/seer-probe-test-" + std::to_string(::getpid());
  if (::mkdir(name.c_str(), 0755) != 0) {
    // Not permitted, or no v2: then a directory that is removed has to do.
    FakeRoot root;
    root.Write("/sys/fs/cgroup/a/cpu.stat", "usage_usec 1\n");
    const CgroupPaths paths = Find(root, kV2Mount, "0::/a\n");
    root.Remove("/sys/fs/cgroup/a");
    EXPECT_FALSE(CgroupProbe(paths).Sample().cpu_usage_us.ok());
    return;
  }
  CgroupPaths paths;
  paths.unified = {name, own->unified.mount};
  CgroupProbe probe(paths);
  EXPECT_TRUE(probe.Sample().cpu_usage_us.ok());
  ASSERT_EQ(::rmdir(name.c_str()), 0);
  EXPECT_EQ(probe.Sample().cpu_usage_us, Reading::Not(Reason::kVanished));
  ASSERT_EQ(::mkdir(name.c_str(), 0755), 0);
  EXPECT_EQ(probe.Sample().cpu_usage_us, Reading::Not(Reason::kVanished));
  EXPECT_TRUE(CgroupProbe(paths).Sample().cpu_usage_us.ok());
  ASSERT_EQ(::rmdir(name.c_str()), 0);
}

TEST(CgroupStats, NoPrivilegeIsNeeded) {
  const pid_t parent = ::getpid();
  const bool visible = FindCgroups(parent).ok();
  EXPECT_EQ(testing::AsNobody([&](bool) {
              const absl::StatusOr<CgroupPaths> paths = FindCgroups(parent);
              if (paths.ok() != visible) return 1;
              if (!paths.ok()) return 0;
              const CgroupStats stats = CgroupProbe(*paths).Sample();
              const Reading& usage = stats.cpu_usage_us;
              return usage.ok() || usage.reason != Reason::kFailed ? 0 : 2;
            }),
            0);
}

}  // namespace
}  // namespace seer
