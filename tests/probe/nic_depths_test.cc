#include "seer/probe/nic_depths.h"

#include <fcntl.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <filesystem>
#include <string>

#include "probe/ethtool.h"
#include "tests/probe/fake_root.h"
#include "tests/support/allocations.h"

namespace seer {
namespace {

void WriteRing(const testing::FakeRoot& root, int ring, const std::string& inflight,
               const std::string& limit) {
  const std::string at =
      "/sys/class/net/eth9/queues/tx-" + std::to_string(ring) + "/byte_queue_limits/";
  root.Write(at + "inflight", inflight);
  root.Write(at + "limit", limit);
}

TEST(NicDepths, BytesInFlightAreAddedUpOverTheRings) {
  testing::FakeRoot root;
  WriteRing(root, 0, "1500\n", "3000\n");
  WriteRing(root, 1, "64", "5000");
  NicProbe nic("eth9", root.path());
  EXPECT_EQ(nic.Sample().inflight_bytes, Reading::Of(1564));
  EXPECT_EQ(nic.Sample().inflight_limit_bytes, Reading::Of(8000));
  WriteRing(root, 1, "0\n", "5000\n");
  EXPECT_EQ(nic.Sample().inflight_bytes, Reading::Of(1500));
  WriteRing(root, 1, "nan\n", "5000\n");
  EXPECT_EQ(nic.Sample().inflight_bytes, Reading::Not(Reason::kMalformed));
  EXPECT_EQ(nic.Sample().inflight_limit_bytes, Reading::Of(8000));
  WriteRing(root, 1, "", "5000\n");
  EXPECT_EQ(nic.Sample().inflight_bytes, Reading::Not(Reason::kMalformed));
}

TEST(NicDepths, ADriverWithoutLimitsHasNoInflight) {
  testing::FakeRoot root;
  WriteRing(root, 0, "0\n", "0\n");
  EXPECT_EQ(NicProbe("eth9", root.path()).Sample().inflight_bytes,
            Reading::Not(Reason::kNotSupported));
}

TEST(NicDepths, ADeviceThatIsNotThereHasReasons) {
  testing::FakeRoot root;
  root.Write("/outside/queues/tx-0/byte_queue_limits/inflight", "1\n");
  root.Write("/outside/queues/tx-0/byte_queue_limits/limit", "1\n");
  for (const char* name :
       {"seer-no-device", "", "a-name-longer-than-any-device-may-have", "../../../outside"}) {
    SCOPED_TRACE(name);
    const NicDepths depths = NicProbe(name, root.path()).Sample();
    for (const Reading& r : {depths.inflight_bytes, depths.inflight_limit_bytes,
                             depths.receive_dropped, depths.transmit_dropped}) {
      EXPECT_FALSE(r.ok());
    }
  }
}

TEST(NicDepths, EveryDeviceOfThisMachineIsReadOrSaysWhyNot) {
  std::error_code ignored;
  std::size_t devices = 0;
  for (const auto& entry : std::filesystem::directory_iterator("/sys/class/net", ignored)) {
    SCOPED_TRACE(entry.path());
    NicProbe nic(entry.path().filename().string());
    const NicDepths before = nic.Sample();
    const testing::Allocations allocations;
    const NicDepths after = nic.Sample();
    EXPECT_EQ(allocations.count(), 0u);
    EXPECT_EQ(before.inflight_bytes.ok(), after.inflight_bytes.ok());
    EXPECT_EQ(before.receive_dropped.ok(), after.receive_dropped.ok());
    // A driver with statistics on drops has values for them.
    EXPECT_EQ(after.receive_dropped.ok(), !nic.receive_names().empty());
    EXPECT_EQ(after.transmit_dropped.ok(), !nic.transmit_names().empty());
    for (const Reading& r : {after.receive_dropped, after.transmit_dropped}) {
      if (!r.ok()) {
        EXPECT_NE(r.reason, Reason::kNotObserved);
      }
    }
    ++devices;
  }
  if (devices == 0) {
    EXPECT_FALSE(NicProbe("lo").Sample().inflight_bytes.ok());
  }
}

TEST(NicDepths, StatisticsAreChosenByWhatTheirNamesSay) {
  using internal::ClassifyNicStatistic;
  using internal::NicStatistic;
  struct Case {
    const char* name;
    NicStatistic kind;
    bool of_ring;
  };
  for (const Case& c : {
           Case{"rx_queue_0_drops", NicStatistic::kReceiveDropped, true},  // virtio, veth
           Case{"rx0_drops", NicStatistic::kReceiveDropped, true},         // virtio 6.8
           Case{"rx0_xdp_drops", NicStatistic::kOther, false},
           Case{"tx0_xdp_tx_drops", NicStatistic::kOther, false},
           Case{"rx_missed_errors", NicStatistic::kReceiveDropped, false},  // Intel
           Case{"rx_no_buffer_count", NicStatistic::kReceiveDropped, false},
           Case{"rx_no_dma_resources", NicStatistic::kReceiveDropped, false},
           Case{"rx_out_of_buffer", NicStatistic::kReceiveDropped, false},  // Mellanox
           Case{"rx_discards_phy", NicStatistic::kReceiveDropped, false},
           Case{"tx3_dropped", NicStatistic::kTransmitDropped, true},
           Case{"tx_dropped", NicStatistic::kTransmitDropped, false},
           Case{"rx_packets", NicStatistic::kOther, false},
           Case{"tx_queue_0_bytes", NicStatistic::kOther, false},
           Case{"dropped", NicStatistic::kOther, false},  // on which way?
           Case{"rx_tx_dropped", NicStatistic::kOther, false},
           Case{"", NicStatistic::kOther, false},
       }) {
    SCOPED_TRACE(c.name);
    EXPECT_EQ(ClassifyNicStatistic(c.name).kind, c.kind);
    EXPECT_EQ(ClassifyNicStatistic(c.name).of_ring, c.of_ring);
  }
}

TEST(GuardedBytes, TheKernelCannotWriteBeyondThem) {
  const internal::OwnedFd zeros(::open("/dev/zero", O_RDONLY | O_CLOEXEC));
  for (std::size_t size : {8u, 4096u, 4104u, 100'000u}) {
    SCOPED_TRACE(size);
    const internal::GuardedBytes bytes(size);
    ASSERT_NE(bytes.data(), nullptr);
    EXPECT_EQ(bytes.size(), size);
    EXPECT_EQ(::read(zeros.get(), bytes.data(), size), static_cast<ssize_t>(size));
    EXPECT_LT(::read(zeros.get(), bytes.data(), size + 64), static_cast<ssize_t>(size + 64));
    EXPECT_EQ(::read(zeros.get(), bytes.data() + size, 1), -1);
    EXPECT_EQ(errno, EFAULT);
  }
}

}  // namespace
}  // namespace seer
