#include "seer/queue/kernel_probe.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "seer/probe/cgroup_stats.h"
#include "tests/support/allocations.h"

namespace seer {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

// What the kernel does on its own; false after 20 s.
template <typename Predicate>
bool Eventually(const Predicate& holds) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (!holds()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::yield();
  }
  return true;
}

bool BringLoopbackUp() {
  const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  ifreq request = {};
  std::strcpy(request.ifr_name, "lo");
  request.ifr_flags = IFF_UP;
  const bool up = ioctl(fd, SIOCSIFFLAGS, &request) == 0;
  close(fd);
  return up;
}

// On a thread with a network of its own where that is permitted, so that no other test's sockets
// are in the way; else in this one.
template <typename Test>
void InOwnNetwork(const Test& test) {
  std::thread([&] {
    const int before = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
    if (unshare(CLONE_NEWNET) == 0 && !BringLoopbackUp()) {
      EXPECT_EQ(setns(before, CLONE_NEWNET), 0);
    }
    close(before);
    test();
  }).join();
}

// A server and its clients on loopback.
class Server {
 public:
  Server() : listener_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    address_.sin_family = AF_INET;
    address_.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    auto* const address = reinterpret_cast<sockaddr*>(&address_);
    socklen_t size = sizeof address_;
    ok_ = bind(listener_, address, size) == 0 && listen(listener_, 16) == 0 &&
          getsockname(listener_, address, &size) == 0;
  }
  ~Server() {
    for (int fd : fds_) close(fd);
    close(listener_);
  }
  bool ok() const { return ok_; }
  std::uint16_t port() const { return ntohs(address_.sin_port); }
  int Connect() {
    fds_.push_back(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    ok_ &= connect(fds_.back(), reinterpret_cast<sockaddr*>(&address_), sizeof address_) == 0;
    return fds_.back();
  }
  int Accept() {
    fds_.push_back(accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC));
    ok_ &= fds_.back() >= 0;
    return fds_.back();
  }
  void StopListening() { shutdown(listener_, SHUT_RDWR); }

 private:
  int listener_;
  sockaddr_in address_ = {};
  std::vector<int> fds_;
  bool ok_;
};

// One client waits to be accepted, one has sent what nobody read.
void MakeWork(Server& server) {
  const int served = server.Connect();
  server.Accept();
  EXPECT_EQ(send(served, "hello", 5, 0), 5);
  server.Connect();
  ASSERT_TRUE(server.ok());
}

class KernelProbeTest : public ::testing::Test {
 protected:
  InstanceId Add(const std::string& service, const std::string& cgroup = "",
                 std::vector<std::int32_t> pids = {}) {
    const auto node = topology_.FindNode("node-7");
    const ServiceId id = *topology_.AddService(service);
    return *topology_.AddInstance(id, service + "-0", node ? *node : *topology_.AddNode("node-7"),
                                  cgroup, pids);
  }
  // A sample of all channels as `probe` sees them.
  const ChannelTable& Sample(KernelProbe& probe) {
    snapshot_.instances.Reset(topology_.instances().size());
    snapshot_.health = NodeHealth();
    EXPECT_TRUE(probe.Sample(topology_, &snapshot_).ok());
    return snapshot_.instances;
  }
  std::unique_ptr<KernelProbe> Make(const KernelProbeOptions& options) {
    auto probe = KernelProbe::Create(options);
    EXPECT_TRUE(probe.ok()) << probe.status();
    return *std::move(probe);
  }
  static std::string Errors(const KernelProbe& probe) {
    std::string all;
    for (const absl::Status& status : probe.errors()) all += status.ToString() + "\n";
    return all;
  }
  static bool IsWork(const ChannelTable& table, InstanceId id) {
    const auto accept = table.Get(id, Channel::kAccept);
    const auto unread = table.Get(id, Channel::kSocket);
    return accept && accept->depth == 1 && unread && unread->depth == 1 &&
           table.bytes(id, Channel::kSocket) == 5;
  }

  Topology topology_ = *Topology::OfNode("node-7", 42);
  Snapshot snapshot_;
};

TEST_F(KernelProbeTest, SocketsOfAnInstanceByItsPorts) {
  const InstanceId cart = Add("cart");
  const InstanceId two = Add("two-ports");
  const InstanceId down = Add("down");
  const InstanceId unknown = Add("unknown");
  InOwnNetwork([&] {
    Server a, b, c;
    KernelProbeOptions options;
    options.ports = {{a.port(), "cart", "cart-0"},
                     {b.port(), "two-ports", "two-ports-0"},
                     {c.port(), "two-ports", "two-ports-0"},
                     {1, "down", "down-0"},
                     {2, "cart", "another instance"}};
    options.nic = false;
    const auto probe = Make(options);
    MakeWork(a);
    MakeWork(b);
    c.Connect();
    EXPECT_TRUE(Eventually([&] {
      const ChannelTable& table = Sample(*probe);
      const auto both = table.Get(two, Channel::kAccept);
      return IsWork(table, cart) && both && both->depth == 2;
    })) << Errors(*probe);
    const ChannelTable& table = snapshot_.instances;
    const auto accept = table.Get(cart, Channel::kAccept);
    EXPECT_FALSE(accept->counted);
    EXPECT_FALSE(accept->shared);
    EXPECT_EQ(table.Get(cart, Channel::kSend)->depth, 0u);
    EXPECT_TRUE(table.coverage(down).empty()) << "nobody listens there";
    EXPECT_TRUE(table.coverage(unknown).empty());
    EXPECT_EQ(table.missing(Channel::kAccept), Missing::kNotMissing);
    EXPECT_EQ(snapshot_.health.probe_errors, 0u);

    // Replies that nobody takes.
    const int client = a.Connect();
    (void)client;
    a.Accept();  // the one that waited
    const int served = a.Accept();
    const std::string much(1 << 16, 'x');
    while (send(served, much.data(), much.size(), MSG_DONTWAIT) > 0) {
    }
    EXPECT_TRUE(Eventually([&] {
      const ChannelTable& now = Sample(*probe);
      return now.Get(cart, Channel::kSend)->depth == 1 && now.bytes(cart, Channel::kSend) > 0 &&
             now.Get(cart, Channel::kAccept)->depth == 0;
    }));
  });
}

TEST_F(KernelProbeTest, WhatAServiceCountsItselfStands) {
  const InstanceId cart = Add("cart");
  InOwnNetwork([&] {
    Server server;
    KernelProbeOptions options;
    options.ports = {{server.port(), "cart", "cart-0"}};
    const auto probe = Make(options);
    MakeWork(server);
    EXPECT_TRUE(Eventually([&] { return IsWork(Sample(*probe), cart); }));
    Snapshot snapshot;
    snapshot.instances.Reset(1);
    ChannelSample own;
    own.depth = 77;
    for (Channel channel : {Channel::kAccept, Channel::kSocket, Channel::kNic}) {
      snapshot.instances.Set(cart, channel, own);
    }
    EXPECT_TRUE(probe->Sample(topology_, &snapshot).ok());
    for (Channel channel : {Channel::kAccept, Channel::kSocket, Channel::kNic}) {
      EXPECT_EQ(snapshot.instances.Get(cart, channel), own) << ChannelName(channel);
    }
    EXPECT_EQ(snapshot.instances.bytes(cart, Channel::kSocket), 0u);
    EXPECT_TRUE(snapshot.instances.Get(cart, Channel::kSend).has_value());
  });
}

TEST_F(KernelProbeTest, PacketsAreTheHostsAndShared) {
  const InstanceId one = Add("one");
  const InstanceId two = Add("two");
  const auto probe = Make({});
  const ChannelTable& table = Sample(*probe);
  const auto nic = table.Get(one, Channel::kNic);
  if (nic) {
    EXPECT_TRUE(nic->shared);
    EXPECT_EQ(nic, table.Get(two, Channel::kNic));
  } else {
    EXPECT_NE(table.missing(Channel::kNic), Missing::kNotMissing);
    EXPECT_FALSE(probe->errors().empty());
  }
  EXPECT_EQ(table.Get(one, Channel::kAccept), std::nullopt) << "nobody said where to look";
}

TEST_F(KernelProbeTest, SocketsOfAnInstanceByItsCgroup) {
  const auto ours = FindCgroups(getpid());
  const bool v2 = ours.ok() && !ours->unified.path.empty();
  const std::string path = v2 ? ours->unified.path.substr(ours->unified.mount.size()) : "";
  const std::string cgroup = path.empty() ? "/" : path;
  const InstanceId one = Add("one", cgroup);
  const InstanceId two = Add("two", cgroup);
  const InstanceId gone = Add("gone", "/no/such/cgroup");
  InOwnNetwork([&] {
    Server server;
    MakeWork(server);
    const auto probe = Make({});
    const ChannelTable& first = Sample(*probe);
    if (!v2 || first.missing(Channel::kAccept) == Missing::kNotSupported) {
      // No v2 hierarchy, or a kernel that cannot filter by it: missing, with the reason.
      EXPECT_EQ(first.missing(Channel::kAccept), Missing::kNotSupported) << Errors(*probe);
      EXPECT_TRUE(first.Get(one, Channel::kAccept) == std::nullopt);
      return;
    }
    EXPECT_TRUE(Eventually([&] {
      const ChannelTable& table = Sample(*probe);
      const auto accept = table.Get(one, Channel::kAccept);
      const auto unread = table.Get(one, Channel::kSocket);
      return accept && accept->depth >= 1 && unread && unread->depth >= 1;
    })) << Errors(*probe);
    EXPECT_TRUE(snapshot_.instances.Get(one, Channel::kAccept)->shared)
        << "nobody can tell the two apart";
    EXPECT_TRUE(snapshot_.instances.Get(two, Channel::kAccept)->shared);
    EXPECT_EQ(snapshot_.instances.Get(gone, Channel::kAccept), std::nullopt);
  });
}

TEST_F(KernelProbeTest, WithoutAHierarchyCgroupsAreNotSupported) {
  Add("cart", "/cart");
  KernelProbeOptions options;
  options.nic = false;
  options.cgroup_root = "/nowhere";
  const auto there_is_none = Make(options);
  EXPECT_EQ(Sample(*there_is_none).missing(Channel::kAccept), Missing::kNotMissing)
      << "a cgroup that is not made yet is no error";
  EXPECT_THAT(there_is_none->errors(), IsEmpty());
}

TEST_F(KernelProbeTest, SocketsOfAnInstanceByItsNetwork) {
  int ready[2];
  ASSERT_EQ(pipe(ready), 0);
  const pid_t child = fork();
  if (child == 0) {
    const bool own = unshare(CLONE_NEWNET) == 0 && BringLoopbackUp();
    Server server;
    if (own) MakeWork(server);
    if (write(ready[1], own ? "y" : "n", 1) != 1) _exit(1);
    for (;;) pause();
  }
  char alone = 'n';
  ASSERT_EQ(read(ready[0], &alone, 1), 1);
  const InstanceId there = Add("there", "", {child});
  const InstanceId here = Add("here", "", {getpid()});
  KernelProbeOptions options;
  options.by_namespace = true;
  const auto probe = Make(options);
  if (alone == 'y') {
    EXPECT_TRUE(Eventually([&] { return IsWork(Sample(*probe), there); })) << Errors(*probe);
    const auto nic = snapshot_.instances.Get(there, Channel::kNic);
    EXPECT_TRUE(!nic || !nic->shared) << "it is alone in there";
  } else {
    Sample(*probe);  // not permitted here; then it is in our network, where nothing tells it apart
    EXPECT_EQ(snapshot_.instances.Get(there, Channel::kAccept), std::nullopt);
  }
  EXPECT_EQ(snapshot_.instances.Get(here, Channel::kAccept), std::nullopt)
      << "others live in our network too";

  options.max_namespaces = 0;
  const auto none = Make(options);
  Sample(*none);
  EXPECT_EQ(snapshot_.instances.Get(there, Channel::kAccept), std::nullopt);
  if (alone == 'y') {
    EXPECT_THAT(Errors(*none), HasSubstr("max_namespaces"));
    EXPECT_EQ(snapshot_.instances.missing(Channel::kAccept), Missing::kFailed);
  }

  // A process that is gone is no error once the plan is made anew.
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  for (int i = 0; i < 130; ++i) Sample(*probe);
  EXPECT_EQ(snapshot_.instances.Get(there, Channel::kAccept), std::nullopt);
  close(ready[0]);
  close(ready[1]);
}

TEST_F(KernelProbeTest, FollowsTheTopology) {
  const InstanceId first = Add("first");
  InOwnNetwork([&] {
    Server a, b;
    KernelProbeOptions options;
    options.ports = {{a.port(), "first", "first-0"}, {b.port(), "second", "second-0"}};
    const auto probe = Make(options);
    MakeWork(a);
    MakeWork(b);
    EXPECT_TRUE(Eventually([&] { return IsWork(Sample(*probe), first); }));
    const InstanceId second = Add("second");
    EXPECT_TRUE(Eventually([&] { return IsWork(Sample(*probe), second); }));
    ASSERT_TRUE(topology_.RemoveInstance(first).ok());
    EXPECT_TRUE(Sample(*probe).coverage(first).empty());
    EXPECT_TRUE(IsWork(snapshot_.instances, second));
  });
}

TEST_F(KernelProbeTest, ASteadyStateAllocatesNothing) {
  Add("cart");
  InOwnNetwork([&] {
    Server server;
    KernelProbeOptions options;
    options.ports = {{server.port(), "cart", "cart-0"}};
    const auto probe = Make(options);
    MakeWork(server);
    for (int i = 0; i < 3; ++i) Sample(*probe);
    const testing::Allocations allocations;
    for (int i = 0; i < 20; ++i) Sample(*probe);
    EXPECT_EQ(allocations.count(), 0u);
  });
}

TEST_F(KernelProbeTest, OptionsAreRefusedByName) {
  KernelProbeOptions zero, twice, many;
  zero.ports = {{0, "a", "a-0"}};
  twice.ports = {{80, "a", "a-0"}, {81, "a", "a-0"}, {80, "b", "b-0"}};
  many.ports.resize(SocketProbeOptions::kMaxPorts + 1);
  for (const KernelProbeOptions* options : {&zero, &twice, &many}) {
    const absl::Status status = KernelProbe::Create(*options).status();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr("ports"));
  }
}

}  // namespace
}  // namespace seer
