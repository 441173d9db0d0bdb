#include "seer/hwmon/perf_events.h"

#include <gtest/gtest.h>

#include <set>

#include "tests/hwmon/fake_processor.h"
#include "tests/probe/fake_root.h"

namespace seer {
namespace {

using testing::FakeProcessor;

TEST(EventTable, EachMakerCountsLinesFromMemoryByItsOwnEvent) {
  struct Case {
    const char* vendor;
    int family, model;
    const char* fills;
    std::uint64_t config;
    bool stalls;
  };
  for (const Case& c : {
           Case{"GenuineIntel", 6, 0x8f, "LONGEST_LAT_CACHE.MISS", 0x412e, true},
           Case{"GenuineIntel", 6, 0x1c, "LONGEST_LAT_CACHE.MISS", 0x412e, false},  // an Atom
           Case{"AuthenticAMD", 0x1a, 2, "ls_any_fills_from_sys.dram_io_all", 0x4844, false},
           Case{"AuthenticAMD", 0x17, 0x31, "ls_refills_from_sys.ls_mabresp_dram", 0x4843, false},
           Case{"arm64", 0, 0, "LL_CACHE_MISS_RD", 0x37, true},
           Case{"AuthenticAMD", 0x15, 2, "", 0, false},
           Case{"VIA VIA VIA ", 6, 15, "", 0, false},
       }) {
    SCOPED_TRACE(c.vendor);
    const EventTable table = EventTable::Of(c.vendor, c.family, c.model);
    EXPECT_TRUE(table[CounterKind::kCycles].known());
    EXPECT_TRUE(table[CounterKind::kInstructions].known());
    EXPECT_EQ(table[CounterKind::kMemoryFills].name, c.fills);
    EXPECT_EQ(table[CounterKind::kMemoryFills].config, c.config);
    EXPECT_EQ(table[CounterKind::kMemoryStalls].known(), c.stalls);
    std::set<std::pair<std::uint32_t, std::uint64_t>> different;
    for (const CounterEvent& event : table.events) {
      if (!event.known()) continue;
      EXPECT_FALSE(event.source.empty());
      EXPECT_TRUE(different.insert({event.type, event.config}).second) << event.name;
    }
  }
}

TEST(EventTable, TheMachineIsRecognisedByWhatItSays) {
  testing::FakeRoot root;
  const auto processor = [&](std::string_view text) {
    root.Write("/proc/cpuinfo", text);
    return EventTable::OfThisMachine(root.path()).processor;
  };
  EXPECT_EQ(processor("processor\t: 0\nvendor_id\t: GenuineIntel\ncpu family\t: 6\nmodel\t\t: 143\n"
                      "model name\t: Any Xeon\n\nprocessor\t: 1\n"),
            "Intel");
  EXPECT_EQ(
      processor("processor\t: 0\nvendor_id\t: AuthenticAMD\ncpu family\t: 26\nmodel\t\t: 2\n"),
      "AMD Zen");
  EXPECT_EQ(processor("processor\t: 0\nBogoMIPS\t: 50\nCPU implementer\t: 0x41\n"), "Arm");
  EXPECT_EQ(processor(""), "any");
  EXPECT_EQ(processor("cpu family: x\nmodel: 99999999999999999999\n:::\n\n"), "any");
  root.Remove("/proc/cpuinfo");
  EXPECT_EQ(EventTable::OfThisMachine(root.path()).processor, "any");
}

TEST(TestCounters, ADeadCounterIsCaughtEveryTime) {
  const EventTable table = EventTable::Of("GenuineIntel", 6, 0x8f);
  for (int good = 0; good < kMostCounters; ++good) {
    SCOPED_TRACE(good);
    for (int run = 0; run < 100; ++run) {
      FakeProcessor processor(table);
      processor.true_counters = good;
      const CounterTrust trust = TestCounters(processor, table);
      ASSERT_EQ(trust.reason, Reason::kSelfTest);
      ASSERT_EQ(trust.at_once, good > 0 ? good - 1 : 0);
      ASSERT_EQ(trust.tried, good + 1);
      ASSERT_EQ(processor.open(), 0);
    }
  }
}

TEST(TestCounters, AsManyAreTrustedAsRunAtOnce) {
  const EventTable table = EventTable::Of("AuthenticAMD", 0x1a, 2);
  for (int room = 1; room <= kMostCounters; ++room) {
    FakeProcessor processor(table);
    processor.counters = room;
    const CounterTrust trust = TestCounters(processor, table);
    EXPECT_EQ(trust.at_once, room);
    EXPECT_EQ(trust.reason, Reason::kNone);
  }
}

TEST(TestCounters, WithoutCountersItSaysWhy) {
  const EventTable table = EventTable::Of("GenuineIntel", 6, 0x8f);
  for (const auto& [error, reason] :
       {std::make_pair(ENOENT, Reason::kNotFound), std::make_pair(EACCES, Reason::kPermission),
        std::make_pair(ENOSYS, Reason::kNotSupported),
        std::make_pair(EINVAL, Reason::kNotSupported),
        std::make_pair(EOPNOTSUPP, Reason::kNotSupported)}) {
    FakeProcessor processor(table);
    processor.open_error = error;
    const CounterTrust trust = TestCounters(processor, table);
    EXPECT_EQ(trust.at_once, 0);
    EXPECT_EQ(trust.reason, reason);
  }
  for (const bool short_reads : {true, false}) {
    FakeProcessor processor(table);
    processor.short_reads = short_reads;
    processor.read_error = short_reads ? 0 : -EIO;
    EXPECT_EQ(TestCounters(processor, table).at_once, 0);
    EXPECT_EQ(processor.open(), 0);
  }
}

TEST(TestCounters, ThisMachineAnswers) {
  const EventTable table = EventTable::OfThisMachine();
  const CounterTrust trust = TestCounters(KernelPerfEvents(), table);
  EXPECT_GE(trust.at_once, 0);
  EXPECT_LE(trust.at_once, kMostCounters);
  if (trust.at_once == 0) {
    EXPECT_NE(trust.reason, Reason::kNone);
  }
}

}  // namespace
}  // namespace seer
