#include "seer/probe/schedstat.h"

#include <gtest/gtest.h>
#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "probe/schedstat_text.h"
#include "tests/probe/fake_root.h"
#include "tests/probe/sandbox.h"
#include "tests/support/allocations.h"

namespace seer {
namespace {

using testing::Eventually;
using testing::FakeRoot;

constexpr pid_t kPid = 77;

std::string Stat(int major_faults, int threads, int start_time, const char* name = "a b) S (c") {
  return "77 (" + std::string(name) + ") S 1 77 77 0 -1 4194560 100 0 " +
         std::to_string(major_faults) + " 0 5 6 0 0 20 0 " + std::to_string(threads) + " 0 " +
         std::to_string(start_time) + " 1000 200 18446744073709551615\n";
}

void WriteThread(const FakeRoot& root, int tid, const std::string& text) {
  root.Write("/proc/77/task/" + std::to_string(tid) + "/schedstat", text);
}

TaskProbe OpenIn(const FakeRoot& root, TaskProbeOptions options = {}) {
  options.root = root.path();
  absl::StatusOr<TaskProbe> probe = TaskProbe::Open(kPid, options);
  EXPECT_TRUE(probe.ok()) << probe.status();
  return *std::move(probe);
}

TEST(TaskProbe, TotalsCountFromWhenItWasOpened) {
  FakeRoot root;
  root.Write("/proc/77/stat", Stat(3, 2, 900));
  WriteThread(root, 77, "1000 50 7\n");
  WriteThread(root, 78, "2000 60 7\n");
  for (const std::size_t max_open : {0u, 1u, 2u}) {
    SCOPED_TRACE(max_open);
    TaskProbeOptions options;
    options.max_open = max_open;
    TaskProbe probe = OpenIn(root, options);
    EXPECT_EQ(probe.start_time(), 900u);
    EXPECT_EQ(probe.Sample().run_ns, Reading::Of(0));
    WriteThread(root, 77, "1300 55 7\n");
    WriteThread(root, 78, "2001 60 7\n");
    const TaskTimes times = probe.Sample();
    EXPECT_EQ(times.run_ns, Reading::Of(301));
    EXPECT_EQ(times.run_delay_ns, Reading::Of(5));
    EXPECT_EQ(times.major_faults, Reading::Of(3));
    EXPECT_EQ(times.threads, 2u);
    EXPECT_EQ(times.ended, 0u);
    WriteThread(root, 77, "1000 50 7\n");
    WriteThread(root, 78, "2000 60 7\n");
  }
}

TEST(TaskProbe, ThreadsThatBeginAndEndNeverMakeTheTotalsFall) {
  FakeRoot root;
  root.Write("/proc/77/stat", Stat(3, 2, 900));
  WriteThread(root, 77, "1000 50 7\n");
  WriteThread(root, 78, "2000 60 7\n");
  TaskProbeOptions options;
  options.max_open = 0;  // a file that is removed from a test's directory stays readable
  TaskProbe probe = OpenIn(root, options);
  // 78 ended, 79 began: all that 79 has is new.
  root.Remove("/proc/77/task/78");
  WriteThread(root, 79, "40 3 1\n");
  WriteThread(root, 77, "1100 50 7\n");
  TaskTimes times = probe.Sample();
  EXPECT_EQ(times.run_ns, Reading::Of(140));
  EXPECT_EQ(times.run_delay_ns, Reading::Of(3));
  EXPECT_EQ(times.threads, 2u);
  EXPECT_EQ(times.ended, 1u);
  // One more, seen by the number of threads alone.
  root.Write("/proc/77/stat", Stat(3, 3, 900));
  WriteThread(root, 80, "5 1 1\n");
  times = probe.Sample();
  EXPECT_EQ(times.run_ns, Reading::Of(145));
  EXPECT_EQ(times.threads, 3u);
  // The same tid for another thread: its numbers are smaller, and all new.
  WriteThread(root, 79, "7 1 1\n");
  times = probe.Sample();
  EXPECT_EQ(times.run_ns, Reading::Of(152));
  EXPECT_EQ(times.run_delay_ns, Reading::Of(5));
}

TEST(TaskProbe, MoreThreadsThanAllowedAreSaidToBeUncounted) {
  FakeRoot root;
  root.Write("/proc/77/stat", Stat(0, 4, 900));
  for (int tid = 77; tid < 81; ++tid) WriteThread(root, tid, "1000 50 7\n");
  TaskProbeOptions options;
  options.max_threads = 3;
  options.max_open = 0;
  TaskProbe probe = OpenIn(root, options);
  TaskTimes times = probe.Sample();
  EXPECT_EQ(times.threads, 3u);
  EXPECT_EQ(times.uncounted, 1u);
  EXPECT_EQ(times.run_ns, Reading::Of(0));
  // Two make room for the fourth, which is old: what it did before nobody saw.
  root.Remove("/proc/77/task/77");
  root.Remove("/proc/77/task/78");
  root.Write("/proc/77/stat", Stat(0, 2, 900));
  times = probe.Sample();
  EXPECT_EQ(times.threads, 2u);
  EXPECT_EQ(times.uncounted, 0u);
  EXPECT_EQ(times.run_ns, Reading::Of(0));
}

TEST(TaskProbe, AnotherProcessWithTheSamePidIsNotTakenForIt) {
  FakeRoot root;
  root.Write("/proc/77/stat", Stat(3, 1, 900));
  WriteThread(root, 77, "1000 50 7\n");
  TaskProbe probe = OpenIn(root);
  root.Write("/proc/77/stat", Stat(3, 1, 901));
  const TaskTimes times = probe.Sample();
  for (const Reading& r : {times.run_ns, times.run_delay_ns, times.major_faults}) {
    EXPECT_EQ(r, Reading::Not(Reason::kVanished));
  }
  TaskProbeOptions options;
  options.root = root.path();
  options.start_time = 900;
  EXPECT_TRUE(absl::IsNotFound(TaskProbe::Open(kPid, options).status()));
  options.start_time = 901;
  EXPECT_TRUE(TaskProbe::Open(kPid, options).ok());
}

TEST(TaskProbe, GarbageIsMissingNeverZero) {
  for (const char* bad :
       {"", "\n", "1000\n", "nan 5 6\n", "-1 5 6\n", "99999999999999999999 1 1"}) {
    SCOPED_TRACE(bad);
    FakeRoot root;
    root.Write("/proc/77/stat", Stat(3, 1, 900));
    WriteThread(root, 77, "1000 50 7\n");
    TaskProbe probe = OpenIn(root);
    WriteThread(root, 77, bad);
    EXPECT_EQ(probe.Sample().run_ns, Reading::Not(Reason::kMalformed));
    EXPECT_EQ(probe.Sample().major_faults, Reading::Of(3));
    WriteThread(root, 77, "1100 50 7\n");  // and again all is well
    EXPECT_EQ(probe.Sample().run_ns, Reading::Of(100));
    root.Write("/proc/77/stat", bad);
    EXPECT_EQ(probe.Sample().major_faults, Reading::Not(Reason::kMalformed));
    EXPECT_FALSE(TaskProbe::Open(kPid,
                                 [&] {
                                   TaskProbeOptions options;
                                   options.root = root.path();
                                   return options;
                                 }())
                     .ok());
  }
}

TEST(TaskProbe, WhatAThreadDidBeforeItCouldBeReadIsNotCounted) {
  FakeRoot root;
  root.Write("/proc/77/stat", Stat(3, 1, 900));
  WriteThread(root, 77, "garbage\n");
  TaskProbe probe = OpenIn(root);
  WriteThread(root, 77, "5000 50 7\n");
  EXPECT_EQ(probe.Sample().run_ns, Reading::Of(0));
  WriteThread(root, 77, "5003 50 7\n");
  EXPECT_EQ(probe.Sample().run_ns, Reading::Of(3));
}

TEST(TaskProbe, AKernelWithoutTheseStatisticsSaysSo) {
  FakeRoot root;
  root.Write("/proc/77/stat", Stat(3, 1, 900));  // it did run: 11 ticks
  WriteThread(root, 77, "0 0 0\n");
  EXPECT_EQ(OpenIn(root).Sample().run_ns, Reading::Not(Reason::kNotSupported));
  root.Remove("/proc/77/task/77/schedstat");
  EXPECT_EQ(OpenIn(root).Sample().run_ns, Reading::Not(Reason::kNotSupported));
}

TEST(TaskProbe, NoProcessIsNoProbe) {
  EXPECT_TRUE(absl::IsInvalidArgument(TaskProbe::Open(0).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(TaskProbe::Open(-3).status()));
  EXPECT_TRUE(absl::IsNotFound(TaskProbe::Open(0x7ffffffe).status()));
}

// ---- The real thing.

TEST(TaskProbe, ThreadsThatShareAProcessorWait) {
  absl::StatusOr<TaskProbe> probe = TaskProbe::Open(::getpid());
  ASSERT_TRUE(probe.ok()) << probe.status();
  cpu_set_t allowed;
  ASSERT_EQ(::sched_getaffinity(0, sizeof(allowed), &allowed), 0);
  int cpu = 0;
  while (cpu < CPU_SETSIZE && !CPU_ISSET(cpu, &allowed)) ++cpu;
  std::atomic<bool> stop{false};
  std::vector<std::thread> threads;
  for (int i = 0; i < 3; ++i) {
    threads.emplace_back([&] {
      cpu_set_t one;
      CPU_ZERO(&one);
      CPU_SET(cpu, &one);
      ::sched_setaffinity(0, sizeof(one), &one);
      while (!stop.load(std::memory_order_relaxed)) {  // only a signal
      }
    });
  }
  const TaskTimes before = probe->Sample();
  constexpr std::uint64_t kEnoughNs = 5'000'000;
  TaskTimes now = before;
  EXPECT_TRUE(Eventually([&] {
    now = probe->Sample();
    if (now.run_ns.reason == Reason::kNotSupported) return true;
    return Delta(before.run_ns, now.run_ns).value > kEnoughNs &&
           Delta(before.run_delay_ns, now.run_delay_ns).value > kEnoughNs;
  }));
  if (now.run_ns.ok()) {
    EXPECT_GE(now.threads, 4u);
  }
  {
    (void)probe->Sample();
    const testing::Allocations allocations;
    (void)probe->Sample();
    EXPECT_EQ(allocations.count(), 0u);
  }
  stop.store(true, std::memory_order_relaxed);
  for (std::thread& thread : threads) thread.join();
  // They ended, and took nothing away.
  const TaskTimes after = probe->Sample();
  if (after.run_ns.ok()) {
    EXPECT_TRUE(Delta(now.run_ns, after.run_ns).ok());
    EXPECT_GE(after.ended, 3u);
    EXPECT_LE(after.threads, now.threads - 3);
  }
}

TEST(TaskProbe, AProcessThatEndsVanishes) {
  int wait_here[2];
  ASSERT_EQ(::pipe(wait_here), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    char byte;
    ::close(wait_here[1]);
    (void)!::read(wait_here[0], &byte, 1);
    ::_exit(0);
  }
  absl::StatusOr<TaskProbe> probe = TaskProbe::Open(child);
  ASSERT_TRUE(probe.ok()) << probe.status();
  EXPECT_TRUE(probe->Sample().major_faults.ok());
  ::close(wait_here[1]);
  ASSERT_EQ(::waitpid(child, nullptr, 0), child);
  EXPECT_EQ(probe->Sample().run_ns, Reading::Not(Reason::kVanished));
  EXPECT_EQ(probe->Sample().major_faults, Reading::Not(Reason::kVanished));
  ::close(wait_here[0]);
}

TEST(TaskProbe, OtherUsersThreadsAreSeenWithoutPrivileges) {
  const pid_t parent = ::getpid();
  EXPECT_EQ(testing::AsNobody([&](bool) {
              absl::StatusOr<TaskProbe> probe = TaskProbe::Open(parent);
              // Mounted with hidepid, /proc hides the process instead.
              if (!probe.ok()) return absl::IsNotFound(probe.status()) ? 0 : 1;
              const TaskTimes times = probe->Sample();
              if (!times.run_ns.ok() && times.run_ns.reason != Reason::kPermission &&
                  times.run_ns.reason != Reason::kNotSupported) {
                return 2;
              }
              return 0;
            }),
            0);
}

// ---- Text.

TEST(TaskStat, TheNameMayBeAnything) {
  for (const char* name : {"a", "", "a b) S 1 2 3 (", ")))) 9 9 9", "\x01\xff"}) {
    SCOPED_TRACE(name);
    const auto stat = internal::ParseTaskStat(Stat(3, 2, 900, name));
    ASSERT_TRUE(stat.has_value());
    EXPECT_EQ(stat->major_faults, 3u);
    EXPECT_EQ(stat->cpu_ticks, 11u);
    EXPECT_EQ(stat->threads, 2u);
    EXPECT_EQ(stat->start_time, 900u);
  }
  const std::string whole = Stat(3, 2, 900);
  for (std::size_t size = 0; size < whole.find("900") + 1; ++size) {
    // Whatever is cut off: no number is made up but by cutting one.
    const auto stat = internal::ParseTaskStat(std::string_view(whole).substr(0, size));
    if (stat.has_value()) {
      EXPECT_EQ(stat->start_time, 9u);
    }
  }
}

// ---- The host.

HostCpuTimes HostOf(std::string_view text) {
  FakeRoot root;
  root.Write("/proc/stat", text);
  return HostCpuProbe(root.path()).Sample();
}

TEST(HostCpu, StealIsToldApartFromWhatRanHere) {
  const HostCpuTimes times = HostOf("cpu  1 2 4 8 16 32 64 128 256 512\ncpu0 9 9 9 9\n");
  const auto us = [&](std::uint64_t ticks) {
    return Reading::Of(ticks * 1'000'000 / static_cast<std::uint64_t>(::sysconf(_SC_CLK_TCK)));
  };
  EXPECT_EQ(times.busy_us, us(1 + 2 + 4 + 32 + 64));
  EXPECT_EQ(times.steal_us, us(128));
  EXPECT_EQ(times.total_us, us(255));
  const HostCpuTimes old = HostOf("cpu 1 2 4 8");
  EXPECT_EQ(old.busy_us, us(7));
  EXPECT_EQ(old.total_us, us(15));
  EXPECT_EQ(old.steal_us, Reading::Not(Reason::kNotSupported));
}

TEST(HostCpu, GarbageIsMissingNeverZero) {
  for (const char* bad : {"", "\n", "cpu", "cpu 1 2 3", "cpu0 1 2 3 4", "cpu 1 2 nan 4",
                          "cpu -1 2 3 4", "cpu 18446744073709551615 0 0 0 0 0 0 0"}) {
    SCOPED_TRACE(bad);
    EXPECT_EQ(HostOf(bad).busy_us, Reading::Not(Reason::kMalformed));
    EXPECT_EQ(HostOf(bad).total_us, Reading::Not(Reason::kMalformed));
  }
  FakeRoot root;
  EXPECT_EQ(HostCpuProbe(root.path()).Sample().steal_us, Reading::Not(Reason::kNotFound));
}

TEST(HostCpu, ThisHostIsReadWithoutTheHeap) {
  HostCpuProbe probe;
  const HostCpuTimes before = probe.Sample();
  const testing::Allocations allocations;
  const HostCpuTimes after = probe.Sample();
  EXPECT_EQ(allocations.count(), 0u);
  ASSERT_TRUE(after.busy_us.ok());
  EXPECT_TRUE(Delta(before.busy_us, after.busy_us).ok());
}

}  // namespace
}  // namespace seer
