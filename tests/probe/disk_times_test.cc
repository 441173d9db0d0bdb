#include "seer/probe/disk_times.h"

#include <gtest/gtest.h>

#include <string>

#include "tests/probe/fake_root.h"
#include "tests/support/allocations.h"

namespace seer {
namespace {

constexpr char kFile[] = "/sys/block/vda/stat";

DiskTimes Of(std::string_view text) {
  testing::FakeRoot root;
  root.Write(kFile, text);
  return DiskProbe("vda", root.path()).Sample();
}

TEST(DiskTimes, EveryFormatOfTheKernelIsRead) {
  struct Case {
    const char* name;
    const char* text;
    std::uint64_t completed, wait, busy, queue, in_flight;
  };
  for (const Case& c : {
           Case{"2.6: eleven columns", "   10 1 80 30 20 2 160 50 3 70 85\n", 30, 80, 70, 85, 3},
           Case{"4.18: discards", "10 1 80 30 20 2 160 50 3 70 85 5 0 9 4\n", 35, 84, 70, 85, 3},
           Case{"5.5: flushes", "10 1 80 30 20 2 160 50 0 70 85 5 0 9 4 7 6\n", 42, 90, 70, 85, 0},
           Case{"later: more", "10 1 80 30 20 2 160 50 0 70 85 5 0 9 4 7 6 99 98", 42, 90, 70, 85,
                0},
       }) {
    SCOPED_TRACE(c.name);
    const DiskTimes times = Of(c.text);
    EXPECT_EQ(times.completed, Reading::Of(c.completed));
    EXPECT_EQ(times.wait_ms, Reading::Of(c.wait));
    EXPECT_EQ(times.busy_ms, Reading::Of(c.busy));
    EXPECT_EQ(times.queue_ms, Reading::Of(c.queue));
    EXPECT_EQ(times.in_flight, Reading::Of(c.in_flight));
  }
}

TEST(DiskTimes, GarbageIsMissingNeverZero) {
  for (const std::string& text :
       {std::string(), std::string("\n"), std::string("1 2 3 4 5 6 7 8 9 10\n"),
        std::string("1 2 3 4 5 6 7 8 9 10 -11\n"), std::string("a b c d e f g h i j k\n"),
        std::string(10'000, '1'), std::string(100, '\0')}) {
    SCOPED_TRACE(text.substr(0, 40));
    const DiskTimes times = Of(text);
    for (const Reading& r :
         {times.completed, times.wait_ms, times.busy_ms, times.queue_ms, times.in_flight}) {
      EXPECT_EQ(r, Reading::Not(Reason::kMalformed));
    }
  }
}

TEST(DiskTimes, WithoutTheDiskThereIsAReason) {
  testing::FakeRoot root;
  EXPECT_EQ(DiskProbe("vda", root.path()).Sample().busy_ms, Reading::Not(Reason::kNotFound));
  EXPECT_TRUE(DiskProbe::Disks(root.path()).empty());
}

TEST(DiskTimes, WhatIsNoDiskOfItsOwnIsLeftOut) {
  testing::FakeRoot root;
  for (const char* name : {"vdb", "nvme0n1", "vda", "loop0", "zram0", "ram1", "dm-0", "md127"}) {
    root.Write("/sys/block/" + std::string(name) + "/stat", "0 0 0 0 0 0 0 0 0 0 0\n");
  }
  root.Write("/sys/block/sdz/size", "1\n");  // without statistics
  EXPECT_EQ(DiskProbe::Disks(root.path()), (std::vector<std::string>{"nvme0n1", "vda", "vdb"}));
}

TEST(DiskTimes, ThisKernelIsReadWithoutTheHeap) {
  const std::vector<std::string> disks = DiskProbe::Disks();
  if (disks.empty()) GTEST_SKIP() << "no disk is visible here";
  DiskProbe probe(disks.front());
  const DiskTimes before = probe.Sample();
  const testing::Allocations allocations;
  const DiskTimes after = probe.Sample();
  EXPECT_EQ(allocations.count(), 0u);
  ASSERT_TRUE(after.busy_ms.ok());
  EXPECT_TRUE(Delta(before.completed, after.completed).ok());
}

}  // namespace
}  // namespace seer
