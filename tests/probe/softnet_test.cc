#include "seer/probe/softnet.h"

#include <gtest/gtest.h>

#include <string>

#include "tests/probe/fake_root.h"
#include "tests/support/allocations.h"

namespace seer {
namespace {

constexpr char kFile[] = "/proc/net/softnet_stat";

SoftnetDepths Of(std::string_view text) {
  testing::FakeRoot root;
  root.Write(kFile, text);
  return SoftnetProbe(root.path()).Sample();
}

TEST(Softnet, EveryFormatOfTheKernelIsRead) {
  struct Case {
    const char* name;
    const char* text;
    Reading backlog, processed, dropped, squeezed;
  };
  const Reading old = Reading::Not(Reason::kNotSupported);
  for (const Case& c : {
           Case{"2.6: nine columns", "0000000a 00000001 00000002 0 0 0 0 0 00000000\n", old,
                Reading::Of(10), Reading::Of(1), Reading::Of(2)},
           Case{"4.x: eleven columns, two processors",
                "0000000a 00000001 00000002 0 0 0 0 0 0 00000007 00000000\n"
                "00000010 00000000 00000001 0 0 0 0 0 0 00000000 00000000\n",
                old, Reading::Of(26), Reading::Of(1), Reading::Of(3)},
           Case{"5.10: thirteen columns",
                "0000000a 00000001 00000002 0 0 0 0 0 0 0 0 00000005 00000000\n"
                "ffffffff 00000000 00000000 0 0 0 0 0 0 0 0 0000000f 00000001\n",
                Reading::Of(20), Reading::Of(0x100000009), Reading::Of(1), Reading::Of(2)},
           Case{"6.4: fifteen columns, no newline at the end",
                "0000000e 00000000 00000000 0 0 0 0 0 0 0 0 00000003 00000000 00000002 00000001",
                Reading::Of(3), Reading::Of(14), Reading::Of(0), Reading::Of(0)},
       }) {
    SCOPED_TRACE(c.name);
    const SoftnetDepths depths = Of(c.text);
    EXPECT_EQ(depths.backlog_packets, c.backlog);
    EXPECT_EQ(depths.processed_packets, c.processed);
    EXPECT_EQ(depths.dropped_packets, c.dropped);
    EXPECT_EQ(depths.squeezed, c.squeezed);
  }
}

TEST(Softnet, GarbageIsMissingNeverZero) {
  for (const std::string& text :
       {std::string(), std::string("\n"), std::string("0000000a 00000001\n"),
        std::string("nan inf -1 0 0 0 0 0 0 0 0 0\n"), std::string("00000000a00000000 0 0\n"),
        std::string("0000000e 0 0\nhello\n"), std::string(10'000, 'f'), std::string(100, '\0')}) {
    SCOPED_TRACE(text.substr(0, 40));
    const SoftnetDepths depths = Of(text);
    for (const Reading& r : {depths.backlog_packets, depths.processed_packets,
                             depths.dropped_packets, depths.squeezed}) {
      EXPECT_EQ(r, Reading::Not(Reason::kMalformed));
    }
  }
}

TEST(Softnet, AThousandProcessorsFitIntoTheBuffer) {
  std::string text;
  for (int i = 0; i < 1024; ++i) {
    text +=
        "00000001 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 "
        "00000000 00000000 00000002 00000000 00000000 00000000\n";
  }
  EXPECT_EQ(Of(text).backlog_packets, Reading::Of(2048));
  EXPECT_EQ(Of(text).processed_packets, Reading::Of(1024));
}

TEST(Softnet, WithoutTheFileThereIsAReason) {
  testing::FakeRoot root;
  EXPECT_EQ(SoftnetProbe(root.path()).Sample().backlog_packets, Reading::Not(Reason::kNotFound));
}

TEST(Softnet, ThisKernelIsReadWithoutTheHeap) {
  SoftnetProbe probe;
  const SoftnetDepths before = probe.Sample();
  const testing::Allocations allocations;
  const SoftnetDepths after = probe.Sample();
  EXPECT_EQ(allocations.count(), 0u);
  // Sandboxes without the file exist; they must say so.
  EXPECT_TRUE(after.processed_packets.ok() || after.processed_packets.reason == Reason::kNotFound);
  EXPECT_EQ(after.processed_packets.ok(), before.processed_packets.ok());
}

}  // namespace
}  // namespace seer
