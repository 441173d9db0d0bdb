#include "seer/probe/net_depths.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/gen_stats.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netinet/in.h>

#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

#include "probe/netlink.h"
#include "probe/qdisc.h"
#include "tests/probe/netlink_bytes.h"
#include "tests/probe/sandbox.h"
#include "tests/support/allocations.h"

namespace seer {
namespace {

using internal::OwnedFd;
using internal::QdiscTally;
using testing::Attribute;
using testing::Bytes;
using testing::Message;

constexpr std::uint32_t kSequence = 7;

std::vector<DeviceDepths> Tally(const std::string& datagram) {
  std::vector<DeviceDepths> rows;
  QdiscTally tally(&rows);
  tally.Restart();
  const std::vector<char> exact(datagram.begin(), datagram.end());
  internal::ParseDatagram(exact, kSequence, &tally);
  tally.Finish();
  return rows;
}

std::string Queue(std::uint32_t packets, std::uint32_t bytes, std::uint32_t drops) {
  gnet_stats_queue queue = {};
  queue.qlen = packets;
  queue.backlog = bytes;
  queue.drops = drops;
  return Attribute(TCA_STATS2, Attribute(TCA_STATS_BASIC, std::string(16, '\0')) +
                                   Attribute(TCA_STATS_QUEUE, Bytes(queue)));
}

std::string Qdisc(int ifindex, std::uint32_t parent, const std::string& attributes) {
  tcmsg body = {};
  body.tcm_ifindex = ifindex;
  body.tcm_parent = parent;
  return Message(RTM_NEWQDISC, kSequence,
                 Bytes(body) + Attribute(TCA_KIND, std::string("x\0", 2)) + attributes);
}

// What Linux 6.18 answered for: tbf on lo with nine packets waiting, htb with a class with a pfifo
// of five on a veth, clsact beside it, and a veth without a discipline.
TEST(NetDepths, ARecordedAnswerGivesEachDeviceItsRoot) {
  std::ifstream file(SEER_TESTDATA "/probe/qdisc.bin", std::ios::binary);
  const std::string recorded((std::istreambuf_iterator<char>(file)),
                             std::istreambuf_iterator<char>());
  ASSERT_FALSE(recorded.empty());
  const std::vector<DeviceDepths> rows = Tally(recorded);
  ASSERT_EQ(rows.size(), 3u);
  EXPECT_EQ(rows[0].ifindex, 1);
  EXPECT_EQ(rows[0].queued_packets, Reading::Of(9));
  EXPECT_EQ(rows[0].queued_bytes, Reading::Of(8926));
  EXPECT_EQ(rows[0].dropped_packets, Reading::Of(0));
  EXPECT_EQ(rows[1].queued_packets, Reading::Of(0));
  EXPECT_EQ(rows[2].queued_packets, Reading::Of(5));
  EXPECT_EQ(rows[2].queued_bytes, Reading::Of(1710));
  EXPECT_EQ(rows[2].dropped_packets, Reading::Of(3));
}

TEST(NetDepths, OnlyRootsHoldPackets) {
  const std::vector<DeviceDepths> rows =
      Tally(Qdisc(3, TC_H_ROOT, Queue(4, 400, 1)) + Qdisc(3, 0x00010010, Queue(4, 400, 1)) +
            Qdisc(3, TC_H_INGRESS, Queue(9, 9, 9)) + Qdisc(2, TC_H_ROOT, Queue(1, 60, 0)) +
            Qdisc(2, TC_H_ROOT, Queue(7, 7, 7)));
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_EQ(rows[0].ifindex, 2);
  EXPECT_EQ(rows[1].ifindex, 3);
  EXPECT_EQ(rows[1].queued_packets, Reading::Of(4));
  EXPECT_EQ(rows[1].dropped_packets, Reading::Of(1));
}

TEST(NetDepths, ADisciplineWithoutStatisticsIsMissingNotEmpty) {
  for (const std::string& attributes :
       {std::string(), Attribute(TCA_STATS2, ""),
        Attribute(TCA_STATS2, Attribute(TCA_STATS_QUEUE, "short")), std::string("garbage")}) {
    SCOPED_TRACE(attributes.size());
    const std::vector<DeviceDepths> rows = Tally(Qdisc(3, TC_H_ROOT, attributes));
    ASSERT_EQ(rows.size(), 1u);
    EXPECT_EQ(rows[0].queued_packets, Reading::Not(Reason::kNotSupported));
    EXPECT_EQ(rows[0].dropped_packets, Reading::Not(Reason::kNotSupported));
  }
}

TEST(NetDepths, BrokenAnswersBreakNothing) {
  std::mt19937 random(5);
  const std::string good = Qdisc(3, TC_H_ROOT, Queue(4, 400, 1)) +
                           Qdisc(2, TC_H_ROOT, Queue(1, 60, 0)) + testing::Done(kSequence);
  for (int round = 0; round < 20'000; ++round) {
    std::string bytes = good;
    for (auto flips = random() % 6; flips > 0; --flips) {
      bytes[random() % bytes.size()] = static_cast<char>(random());
    }
    bytes.resize(random() % 3 == 0 ? random() % (bytes.size() + 1) : bytes.size());
    const std::vector<DeviceDepths> rows = Tally(bytes);
    ASSERT_LE(rows.size(), 2u);
    if (rows.size() == 2) {
      ASSERT_LT(rows[0].ifindex, rows[1].ifindex);
    }
  }
}

// ---- A queue that fills on purpose: loopback behind a token bucket of 100 bytes a second.

bool SlowDownLoopback() {
  constexpr std::uint32_t kBytesPerSecond = 100;
  tcmsg body = {};
  body.tcm_ifindex = static_cast<int>(::if_nametoindex("lo"));
  body.tcm_parent = TC_H_ROOT;
  body.tcm_handle = 0x00010000;
  tc_tbf_qopt bucket = {};
  bucket.rate.rate = kBytesPerSecond;
  bucket.rate.linklayer = TC_LINKLAYER_ETHERNET;
  bucket.limit = 5000;  // bytes: what does not fit is dropped
  bucket.buffer = 0x7fffffff;
  const std::uint32_t burst = 1600;
  const std::string request =
      Message(RTM_NEWQDISC, 1,
              Bytes(body) + Attribute(TCA_KIND, std::string("tbf\0", 4)) +
                  Attribute(TCA_OPTIONS, Attribute(TCA_TBF_PARMS, Bytes(bucket)) +
                                             Attribute(TCA_TBF_BURST, Bytes(burst))),
              NLM_F_REQUEST | NLM_F_CREATE | NLM_F_EXCL | NLM_F_ACK);
  const OwnedFd fd(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
  char answer[1024];
  if (::send(fd.get(), request.data(), request.size(), 0) < 0) return false;
  const ssize_t n = ::recv(fd.get(), answer, sizeof(answer), 0);
  if (n < static_cast<ssize_t>(NLMSG_HDRLEN + sizeof(int))) return false;
  int error;
  std::memcpy(&error, answer + NLMSG_HDRLEN, sizeof(error));
  return error == 0;
}

TEST(NetDepths, PacketsBehindASlowLinkAreCountedWhereTheyWait) {
  testing::InOwnNetwork([](bool isolated) {
    absl::StatusOr<NetProbe> probe = NetProbe::Open();
    ASSERT_TRUE(probe.ok()) << probe.status();
    std::vector<DeviceDepths> devices;
    ASSERT_TRUE(probe->Sample(&devices).ok());
    // Where neither a namespace nor a token bucket is to be had, the queue is only looked at.
    if (!isolated || !SlowDownLoopback()) return;
    const OwnedFd sender(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    sockaddr_in to = {};
    to.sin_family = AF_INET;
    to.sin_port = htons(9);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const std::string packet(958, 'x');  // a thousand bytes with its headers
    for (int i = 0; i < 20; ++i) {
      // ENOBUFS where the discipline has no room.
      ::sendto(sender.get(), packet.data(), packet.size(), MSG_DONTWAIT,
               reinterpret_cast<const sockaddr*>(&to), sizeof(to));
    }
    ASSERT_TRUE(probe->Sample(&devices).ok());
    ASSERT_EQ(devices.size(), 1u);
    EXPECT_EQ(devices[0].name(), "lo");
    // 1.6 kB pass at once, 5 kB wait, the rest is dropped; a packet more for each ten seconds that
    // this machine takes.
    ASSERT_TRUE(devices[0].queued_packets.ok());
    EXPECT_GE(devices[0].queued_packets.value, 1u);
    EXPECT_LE(devices[0].queued_packets.value, 5u);
    EXPECT_EQ(devices[0].queued_bytes.value, devices[0].queued_packets.value * 1000);
    EXPECT_GE(devices[0].dropped_packets.value, 5u);
    EXPECT_EQ(PacketsWaitingIn(devices, true).packets, devices[0].queued_packets);
  });
}

TEST(NetDepths, AnotherNamespacesDevicesAreSeenFromOutside) {
  testing::InOwnNetwork([](bool isolated) {
    const std::string there = testing::OwnNetworkPath();
    testing::InFirstNetwork([&](bool) {
      absl::StatusOr<NetProbe> probe = NetProbe::OpenInNamespace(there);
      ASSERT_TRUE(probe.ok()) << probe.status();
      std::vector<DeviceDepths> devices;
      ASSERT_TRUE(probe->Sample(&devices).ok());
      if (isolated) {
        ASSERT_EQ(devices.size(), 1u);
        EXPECT_EQ(devices[0].name(), "lo");
      }
    });
  });
}

TEST(NetDepths, SharedUnlessTheQueuesServeOneServiceOnly) {
  DeviceDepths a, b;
  a.queued_packets = Reading::Of(3);
  b.queued_packets = Reading::Of(4);
  SoftnetDepths softnet;
  softnet.backlog_packets = Reading::Of(10);
  EXPECT_EQ(PacketsWaitingIn({a, b}, true).packets, Reading::Of(7));
  EXPECT_FALSE(PacketsWaitingIn({a, b}, true).shared);
  EXPECT_TRUE(PacketsWaitingIn({a, b}, false).shared);
  EXPECT_EQ(PacketsWaitingIn({a, b}, true, &softnet).packets, Reading::Of(17));
  EXPECT_TRUE(PacketsWaitingIn({a, b}, true, &softnet).shared);
  // One that is missing leaves the sum missing, not smaller.
  softnet.backlog_packets = Reading::Not(Reason::kNotSupported);
  EXPECT_EQ(PacketsWaitingIn({a, b}, true, &softnet).packets, Reading::Not(Reason::kNotSupported));
  b.queued_packets = Reading::Not(Reason::kMalformed);
  EXPECT_EQ(PacketsWaitingIn({a, b}, true).packets, Reading::Not(Reason::kMalformed));
  EXPECT_EQ(PacketsWaitingIn({}, true).packets, Reading());
}

TEST(NetDepths, SamplingAllocatesNothingOnceItKnowsItsDevices) {
  absl::StatusOr<NetProbe> probe = NetProbe::Open();
  ASSERT_TRUE(probe.ok()) << probe.status();
  std::vector<DeviceDepths> devices;
  ASSERT_TRUE(probe->Sample(&devices).ok());
  const testing::Allocations allocations;
  const absl::Status status = probe->Sample(&devices);
  EXPECT_EQ(allocations.count(), 0u);
  EXPECT_TRUE(status.ok()) << status;
}

TEST(NetDepths, WithoutPrivilegesOnlyOtherNamespacesAreClosed) {
  EXPECT_EQ(testing::AsNobody([&](bool dropped) {
              absl::StatusOr<NetProbe> probe = NetProbe::Open();
              if (!probe.ok()) return 1;
              std::vector<DeviceDepths> devices;
              if (!probe->Sample(&devices).ok()) return 2;
              const absl::Status other = NetProbe::OpenInNamespaceOf(1).status();
              if (dropped && !absl::IsPermissionDenied(other)) return 3;
              return 0;
            }),
            0);
}

}  // namespace
}  // namespace seer
