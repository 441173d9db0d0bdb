#include "seer/thrift/accept_probe.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <vector>

#include <thrift/transport/TServerSocket.h>

#include "seer/core/snapshot.h"
#include "seer/core/topology.h"
#include "tests/thrift/support.h"

namespace seer {
namespace {

// A listening socket with connections that nobody accepts.
class Backlogged {
 public:
  explicit Backlogged(int clients) {
    listener_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(bind(listener_, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
    EXPECT_EQ(listen(listener_, 16), 0);
    socklen_t size = sizeof(address);
    EXPECT_EQ(getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size), 0);
    for (int i = 0; i < clients; ++i) {
      clients_.push_back(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
      EXPECT_EQ(connect(clients_.back(), reinterpret_cast<sockaddr*>(&address), sizeof(address)),
                0);
    }
  }
  ~Backlogged() {
    for (const int client : clients_) ::close(client);
    ::close(listener_);
  }
  int fd() const { return listener_; }

 private:
  int listener_ = -1;
  std::vector<int> clients_;
};

struct Cluster {
  Cluster() {
    service = *topology.AddService("cart");
    instance = *topology.AddInstance(service, "cart-0", *topology.AddNode("here"), "", {});
    snapshot.instances.Reset(topology.instances().size());
  }
  Topology topology;
  ServiceId service;
  InstanceId instance;
  Snapshot snapshot;
};

TEST(AcceptProbe, TellsTheConnectionsThatNobodyAccepted) {
  Backlogged three(3);
  const auto backlog = AcceptProbe::Ask(three.fd());
  ASSERT_TRUE(backlog.ok()) << backlog.status();
  EXPECT_TRUE(
      testing_support::Eventually([&] { return AcceptProbe::Ask(three.fd())->waiting == 3; }));
  EXPECT_EQ(backlog->limit, 16u);
  ::close(accept(three.fd(), nullptr, nullptr));
  EXPECT_EQ(AcceptProbe::Ask(three.fd())->waiting, 2u);
}

TEST(AcceptProbe, AddsUpTheSocketsOfOneInstance) {
  Backlogged one(1);
  Backlogged two(2);
  AcceptProbe probe;
  ASSERT_TRUE(probe.Add("cart", "cart-0", one.fd()).ok());
  ASSERT_TRUE(probe.Add("cart", "cart-0", two.fd()).ok());
  EXPECT_EQ(probe.Add("cart", "cart-0", two.fd()).code(), absl::StatusCode::kAlreadyExists);
  Cluster cluster;
  ASSERT_TRUE(testing_support::Eventually([&] {
    return AcceptProbe::Ask(one.fd())->waiting == 1 && AcceptProbe::Ask(two.fd())->waiting == 2;
  }));
  ASSERT_TRUE(probe.Sample(cluster.topology, &cluster.snapshot).ok());
  EXPECT_EQ(cluster.snapshot.instances.Get(cluster.instance, Channel::kAccept)->depth, 3u);
  // What is covered already stands.
  ASSERT_TRUE(probe.Sample(cluster.topology, &cluster.snapshot).ok());
  EXPECT_EQ(cluster.snapshot.instances.Get(cluster.instance, Channel::kAccept)->depth, 3u);
  probe.Remove(two.fd());
  cluster.snapshot.instances.Reset(cluster.topology.instances().size());
  ASSERT_TRUE(probe.Sample(cluster.topology, &cluster.snapshot).ok());
  EXPECT_EQ(cluster.snapshot.instances.Get(cluster.instance, Channel::kAccept)->depth, 1u);
}

TEST(AcceptProbe, WhatIsNoListeningSocketIsRefusedAndLaterMissing) {
  AcceptProbe probe;
  EXPECT_EQ(probe.Add("cart", "cart-0", -1).code(), absl::StatusCode::kInvalidArgument);
  const int idle = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  EXPECT_EQ(probe.Add("cart", "cart-0", idle).code(), absl::StatusCode::kInvalidArgument);
  ::close(idle);
  auto gone = std::make_unique<Backlogged>(1);
  ASSERT_TRUE(probe.Add("cart", "cart-0", gone->fd()).ok());
  gone.reset();
  Cluster cluster;
  EXPECT_EQ(probe.Sample(cluster.topology, &cluster.snapshot).code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_FALSE(cluster.snapshot.instances.Get(cluster.instance, Channel::kAccept).has_value());
}

TEST(AcceptProbe, UnknownServicesAreLeftOut) {
  Backlogged one(1);
  AcceptProbe probe;
  ASSERT_TRUE(probe.Add("nobody", "cart-0", one.fd()).ok());
  Cluster cluster;
  EXPECT_TRUE(probe.Sample(cluster.topology, &cluster.snapshot).ok());
  EXPECT_FALSE(cluster.snapshot.instances.Get(cluster.instance, Channel::kAccept).has_value());
  EXPECT_TRUE(probe.channels().Has(Channel::kAccept));
}

TEST(AcceptProbe, Case12DeferAcceptKeepsSilentConnectionsOutOfThriftsBacklog) {
  apache::thrift::transport::TServerSocket server("127.0.0.1", 0);
  server.listen();
  EXPECT_EQ(AcceptProbe::Ask(server.getSocketFD())->waiting, 0u);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<std::uint16_t>(server.getPort()));
  std::vector<int> clients;
  for (int i = 0; i < 5; ++i) {
    clients.push_back(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    ASSERT_EQ(connect(clients.back(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  }
  EXPECT_EQ(AcceptProbe::Ask(server.getSocketFD())->waiting, 0u);
  ASSERT_EQ(send(clients[0], "x", 1, 0), 1);
  ASSERT_EQ(send(clients[1], "x", 1, 0), 1);
  EXPECT_TRUE(testing_support::Eventually(
      [&] { return AcceptProbe::Ask(server.getSocketFD())->waiting == 2; }));
  for (const int client : clients) ::close(client);
}

}  // namespace
}  // namespace seer
