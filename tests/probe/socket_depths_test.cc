// The real thing: servers that do not accept, do not read, and cannot send.
#include "seer/probe/socket_depths.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cstring>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tests/probe/sandbox.h"
#include "tests/support/allocations.h"

namespace seer {
namespace {

using internal::OwnedFd;
using testing::Eventually;
using testing::InOwnNetwork;

enum class Family { kIpv4, kIpv6, kMapped };  // kMapped: an IPv4 client of an IPv6 listener

sockaddr_storage Address(int family, std::uint16_t port, bool any, socklen_t* size) {
  sockaddr_storage storage = {};
  if (family == AF_INET) {
    auto* const a = reinterpret_cast<sockaddr_in*>(&storage);
    a->sin_family = AF_INET;
    a->sin_port = htons(port);
    a->sin_addr.s_addr = htonl(any ? INADDR_ANY : INADDR_LOOPBACK);
    *size = sizeof(*a);
  } else {
    auto* const a = reinterpret_cast<sockaddr_in6*>(&storage);
    a->sin6_family = AF_INET6;
    a->sin6_port = htons(port);
    a->sin6_addr = any ? in6addr_any : in6addr_loopback;
    *size = sizeof(*a);
  }
  return storage;
}

// What this machine speaks: there are containers without IPv6.
std::vector<Family> Families() {
  const OwnedFd fd(::socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0));
  socklen_t size;
  const sockaddr_storage address = Address(AF_INET6, 0, false, &size);
  if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), size) != 0) {
    return {Family::kIpv4};
  }
  return {Family::kIpv4, Family::kIpv6, Family::kMapped};
}

class Server {
 public:
  explicit Server(Family family, int backlog = 16, std::uint16_t port = 0, bool reuse = false)
      : family_(family) {
    const int af = family == Family::kIpv4 ? AF_INET : AF_INET6;
    fd_ = OwnedFd(::socket(af, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const int on = 1, off = 0;
    if (af == AF_INET6) ::setsockopt(fd_.get(), IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
    if (reuse) ::setsockopt(fd_.get(), SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
    socklen_t size;
    sockaddr_storage address = Address(af, port, family == Family::kMapped, &size);
    EXPECT_EQ(::bind(fd_.get(), reinterpret_cast<sockaddr*>(&address), size), 0)
        << std::strerror(errno);
    EXPECT_EQ(::listen(fd_.get(), backlog), 0);
    EXPECT_EQ(::getsockname(fd_.get(), reinterpret_cast<sockaddr*>(&address), &size), 0);
    port_ = ntohs(reinterpret_cast<sockaddr_in*>(&address)->sin_port);  // the same place in both
  }
  std::uint16_t port() const { return port_; }

  OwnedFd Connect() const {
    const int af = family_ == Family::kIpv6 ? AF_INET6 : AF_INET;
    OwnedFd fd(::socket(af, SOCK_STREAM | SOCK_CLOEXEC, 0));
    socklen_t size;
    const sockaddr_storage address = Address(af, port_, false, &size);
    EXPECT_EQ(::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), size), 0)
        << std::strerror(errno);
    return fd;
  }
  OwnedFd Accept() const {
    OwnedFd fd(::accept4(fd_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    EXPECT_TRUE(static_cast<bool>(fd));
    return fd;
  }

 private:
  const Family family_;
  OwnedFd fd_;
  std::uint16_t port_ = 0;
};

void Send(const OwnedFd& fd, std::size_t bytes) {
  const std::string data(bytes, 'x');
  EXPECT_EQ(::send(fd.get(), data.data(), data.size(), MSG_NOSIGNAL), static_cast<ssize_t>(bytes));
}

SocketProbe OpenFor(SocketProbeOptions options) {
  // A busy machine is no failure of these tests.
  options.time_limit = std::chrono::seconds(60);
  options.retries = 20;
  absl::StatusOr<SocketProbe> probe = SocketProbe::Open(options);
  EXPECT_TRUE(probe.ok()) << probe.status();
  return *std::move(probe);
}
SocketProbe OpenFor(std::vector<std::uint16_t> ports) {
  SocketProbeOptions options;
  options.ports = std::move(ports);
  return OpenFor(options);
}

// The rows, once `holds` for them: loopback needs a moment where the machine is busy.
template <typename Predicate>
std::vector<PortDepths> SampleUntil(SocketProbe* probe, const Predicate& holds) {
  std::vector<PortDepths> rows;
  absl::Status status;
  const bool held = Eventually([&] {
    status = probe->Sample(&rows);
    return !status.ok() || holds(rows);
  });
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_TRUE(held) << "the kernel says otherwise";
  return rows;
}

TEST(SocketDepths, AServerThatDoesNotAcceptHasABacklogOnItsPort) {
  for (Family family : Families()) {
    SCOPED_TRACE(static_cast<int>(family));
    InOwnNetwork([&](bool) {
      const Server idle(family), busy(family, 8);
      std::vector<OwnedFd> clients;
      for (int i = 0; i < 5; ++i) clients.push_back(busy.Connect());
      Send(clients[0], 10);  // waits too, but inside the backlog
      SocketProbe probe = OpenFor({busy.port(), idle.port()});
      const auto busy_row = static_cast<std::size_t>(busy.port() > idle.port());
      std::vector<PortDepths> rows = SampleUntil(&probe, [&](const std::vector<PortDepths>& r) {
        return r[busy_row].accept_backlog == 5 && r[busy_row].unaccepted == 5;
      });
      EXPECT_EQ(rows.size(), 2u);
      PortDepths expected;
      expected.port = busy.port();
      expected.listeners = 1;
      expected.accept_backlog = expected.unaccepted = 5;
      expected.accept_limit = 8;
      EXPECT_EQ(rows[busy_row], expected);
      PortDepths nothing;
      nothing.port = idle.port();
      nothing.listeners = 1;
      nothing.accept_limit = 16;
      EXPECT_EQ(rows[1 - busy_row], nothing);

      // Accepted, the connection waits no more, but its data does.
      const OwnedFd accepted = busy.Accept();
      rows = SampleUntil(
          &probe, [&](const std::vector<PortDepths>& r) { return r[busy_row].connections == 1; });
      EXPECT_EQ(rows[busy_row].accept_backlog, 4u);
      EXPECT_EQ(rows[busy_row].unaccepted, 4u);
      EXPECT_EQ(rows[busy_row].unread_connections, 1u);
      EXPECT_EQ(rows[busy_row].unread_bytes, 10u);

      std::vector<PortDepths> listeners;
      EXPECT_TRUE(probe.SampleListeners(&listeners).ok());
      expected.accept_backlog = 4;
      expected.unaccepted = 0;
      EXPECT_EQ(listeners[busy_row], expected);
    });
  }
}

TEST(SocketDepths, AServerThatDoesNotReadHasUnreadBytes) {
  for (Family family : Families()) {
    SCOPED_TRACE(static_cast<int>(family));
    InOwnNetwork([&](bool) {
      const Server server(family);
      std::vector<OwnedFd> clients, accepted;
      for (int i = 0; i < 4; ++i) {
        clients.push_back(server.Connect());
        accepted.push_back(server.Accept());
      }
      Send(clients[0], 100);
      Send(clients[1], 23);
      ::shutdown(clients[2].get(), SHUT_WR);  // an end to be read, without a byte
      SocketProbe probe = OpenFor({server.port()});
      const std::vector<PortDepths> rows =
          SampleUntil(&probe, [](const std::vector<PortDepths>& r) {
            return r[0].unread_connections == 3 && r[0].unread_bytes == 123;
          });
      EXPECT_EQ(rows.size(), 1u);
      EXPECT_EQ(rows[0].connections, 4u);
      EXPECT_EQ(rows[0].accept_backlog, 0u);
      EXPECT_EQ(rows[0].unaccepted, 0u);
      // Once read, nothing waits.
      char buffer[200];
      for (const OwnedFd& fd : accepted) {
        EXPECT_GE(::recv(fd.get(), buffer, sizeof(buffer), MSG_DONTWAIT), -1);
      }
      SampleUntil(&probe, [](const std::vector<PortDepths>& r) {
        return r[0].unread_connections == 0 && r[0].unread_bytes == 0;
      });
    });
  }
}

TEST(SocketDepths, AClientThatDoesNotReadLeavesTheServerWithUnsentBytes) {
  InOwnNetwork([&](bool) {
    const Server server(Family::kIpv4);
    const OwnedFd slow = server.Connect();
    const OwnedFd to_slow = server.Accept();
    const OwnedFd fast = server.Connect();
    const OwnedFd to_fast = server.Accept();
    Send(to_fast, 10);
    // Until the client's buffer and ours are full.
    ::fcntl(to_slow.get(), F_SETFL, O_NONBLOCK);
    const std::string block(65536, 'x');
    std::size_t written = 0;
    for (int i = 0; i < 10'000; ++i) {
      const ssize_t n = ::send(to_slow.get(), block.data(), block.size(), MSG_NOSIGNAL);
      if (n < 0) break;
      written += static_cast<std::size_t>(n);
    }
    for (Unsent unsent : {Unsent::kUnacknowledged, Unsent::kNotSent}) {
      SCOPED_TRACE(static_cast<int>(unsent));
      SocketProbeOptions options;
      options.ports = {server.port()};
      options.unsent = unsent;
      SocketProbe probe = OpenFor(options);
      // The ten bytes are gone once they are acknowledged, or at once.
      const std::vector<PortDepths> rows =
          SampleUntil(&probe, [](const std::vector<PortDepths>& r) {
            return r[0].unsent_connections == 1 && r[0].unsent_bytes > 0;
          });
      EXPECT_LT(rows[0].unsent_bytes, written);  // the rest is in the client's buffer
      EXPECT_EQ(rows[0].connections, 2u);
    }
  });
}

TEST(SocketDepths, ListenersOfOnePortAreAddedUp) {
  InOwnNetwork([&](bool) {
    const Server first(Family::kIpv4, 10, 0, true);
    const Server second(Family::kIpv4, 20, first.port(), true);
    std::vector<OwnedFd> clients;
    for (int i = 0; i < 8; ++i) clients.push_back(first.Connect());  // to either of them
    SocketProbe probe = OpenFor({first.port()});
    const std::vector<PortDepths> rows = SampleUntil(
        &probe, [](const std::vector<PortDepths>& r) { return r[0].accept_backlog == 8; });
    EXPECT_EQ(rows[0].listeners, 2u);
    EXPECT_EQ(rows[0].accept_limit, 30u);
  });
}

TEST(SocketDepths, WithoutPortsTheWholeNamespaceIsSeen) {
  InOwnNetwork([&](bool isolated) {
    const Server a(Family::kIpv4), b(Families().back());
    const OwnedFd client = a.Connect();
    const OwnedFd accepted = a.Accept();
    Send(accepted, 5);  // the client's to read, and the client's port is nobody's
    SocketProbe probe = OpenFor(SocketProbeOptions());
    const auto row = [](const std::vector<PortDepths>& rows, std::uint16_t port) {
      for (const PortDepths& r : rows) {
        if (r.port == port) return r;
      }
      return PortDepths();
    };
    const std::vector<PortDepths> rows = SampleUntil(&probe, [&](const std::vector<PortDepths>& r) {
      return r[0].port == 0 && r[0].unread_bytes >= 5;
    });
    EXPECT_EQ(row(rows, a.port()).connections, 1u);
    EXPECT_EQ(row(rows, a.port()).listeners, 1u);
    EXPECT_EQ(row(rows, b.port()).listeners, 1u);
    EXPECT_EQ(row(rows, b.port()).connections, 0u);
    EXPECT_GE(rows[0].connections, 1u);
    if (isolated) {
      EXPECT_EQ(rows.size(), 3u);
      EXPECT_EQ(rows[0].connections, 1u);
      EXPECT_EQ(rows[0].unread_bytes, 5u);
    }
  });
}

TEST(SocketDepths, AnotherNamespaceIsSeenFromOutsideAndOurOwnStaysOurs) {
  InOwnNetwork([&](bool isolated) {
    const Server server(Family::kIpv4);
    const OwnedFd client = server.Connect();
    const std::string there = testing::OwnNetworkPath();
    testing::InFirstNetwork([&](bool away) {
      SocketProbeOptions options;
      options.ports = {server.port()};
      const auto namespace_here = [] {
        char target[64] = {};
        EXPECT_GT(::readlink("/proc/thread-self/ns/net", target, sizeof(target) - 1), 0);
        return std::string(target);
      };
      const std::string before = namespace_here();
      absl::StatusOr<SocketProbe> probe = SocketProbe::OpenInNamespace(there, options);
      EXPECT_TRUE(probe.ok()) << probe.status();
      if (!probe.ok()) return;
      EXPECT_EQ(namespace_here(), before);
      SampleUntil(&*probe,
                  [](const std::vector<PortDepths>& r) { return r[0].accept_backlog == 1; });
      if (isolated && away) {
        std::vector<PortDepths> rows;
        EXPECT_TRUE(OpenFor({server.port()}).Sample(&rows).ok());
        EXPECT_EQ(rows[0].listeners, 0u);  // nobody on that port here
      }
    });
  });
}

TEST(SocketDepths, TheNamespaceOfAProcessIsFoundByItsPid) {
  const Server server(Family::kIpv4);
  SocketProbeOptions options;
  options.ports = {server.port()};
  absl::StatusOr<SocketProbe> probe = SocketProbe::OpenInNamespaceOf(::getpid(), options);
  ASSERT_TRUE(probe.ok()) << probe.status();
  std::vector<PortDepths> rows;
  ASSERT_TRUE(probe->Sample(&rows).ok());
  EXPECT_EQ(rows[0].listeners, 1u);
  EXPECT_TRUE(absl::IsNotFound(SocketProbe::OpenInNamespaceOf(0x7ffffffe).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(SocketProbe::OpenInNamespaceOf(0).status()));
  EXPECT_FALSE(SocketProbe::OpenInNamespace("/dev/null").ok());
}

TEST(SocketDepths, OptionsThatCannotBeAreRefusedByName) {
  SocketProbeOptions zero_port, many_ports, zero_cgroup, many_cgroups, many_rows, no_time,
      no_sockets;
  zero_port.ports = {80, 0};
  for (std::uint16_t i = 1; i <= SocketProbeOptions::kMaxPorts + 1; ++i) {
    many_ports.ports.push_back(i);
    many_cgroups.cgroups.push_back(i);
  }
  many_rows.ports.assign(many_ports.ports.begin(), many_ports.ports.end() - 1);
  many_rows.cgroups.assign(many_cgroups.cgroups.begin(), many_cgroups.cgroups.begin() + 65);
  zero_cgroup.cgroups = {0};
  no_time.time_limit = std::chrono::nanoseconds(0);
  no_sockets.max_sockets = 0;
  struct Case {
    const SocketProbeOptions* options;
    const char* names;
  };
  for (const Case& c :
       {Case{&zero_port, "ports"}, Case{&many_ports, "ports"}, Case{&zero_cgroup, "cgroups"},
        Case{&many_cgroups, "cgroups"}, Case{&many_rows, "rows"}, Case{&no_time, "time_limit"},
        Case{&no_sockets, "max_sockets"}}) {
    SCOPED_TRACE(c.names);
    const absl::Status status = SocketProbe::Open(*c.options).status();
    EXPECT_TRUE(absl::IsInvalidArgument(status));
    EXPECT_THAT(std::string(status.message()), ::testing::HasSubstr(c.names));
  }
}

TEST(SocketDepths, AProbeThatWasMovedFromSaysSo) {
  SocketProbe probe = OpenFor({80});
  SocketProbe other = std::move(probe);
  std::vector<PortDepths> rows;
  EXPECT_TRUE(other.Sample(&rows).ok());
  const absl::Status status = probe.Sample(&rows);  // NOLINT(bugprone-use-after-move)
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition) << status;
}

TEST(SocketDepths, MoreSocketsThanAllowedLeaveNoRowsButTheProbeGoesOn) {
  InOwnNetwork([&](bool) {
    const Server server(Family::kIpv4, 64);
    std::vector<OwnedFd> clients;
    for (int i = 0; i < 50; ++i) clients.push_back(server.Connect());
    SocketProbeOptions options;
    options.ports = {server.port()};
    options.max_sockets = 10;
    options.time_limit = std::chrono::seconds(60);
    absl::StatusOr<SocketProbe> probe = SocketProbe::Open(options);
    ASSERT_TRUE(probe.ok());
    for (int i = 0; i < 3; ++i) {
      std::vector<PortDepths> rows(7);
      EXPECT_TRUE(absl::IsResourceExhausted(probe->Sample(&rows)));
      EXPECT_TRUE(rows.empty());
      EXPECT_TRUE(probe->SampleListeners(&rows).ok());
      EXPECT_EQ(rows[0].accept_backlog, 50u);
    }
  });
}

TEST(SocketDepths, SamplingAllocatesNothingOnceItKnowsItsRows) {
  InOwnNetwork([&](bool) {
    const Server server(Family::kIpv4);
    const OwnedFd client = server.Connect();
    SocketProbe by_port = OpenFor({server.port()});
    SocketProbe all = OpenFor(SocketProbeOptions());
    std::vector<PortDepths> rows;
    for (SocketProbe* probe : {&by_port, &all}) {
      for (int i = 0; i < 3; ++i) EXPECT_TRUE(probe->Sample(&rows).ok());
      const testing::Allocations allocations;
      const absl::Status status = probe->Sample(&rows);
      EXPECT_EQ(allocations.count(), 0u);
      EXPECT_TRUE(status.ok());
    }
  });
}

TEST(SocketDepthsConcurrency, ProbesOfSeveralThreadsDoNotMeet) {
  const Server server(Family::kIpv4);
  const OwnedFd client = server.Connect();
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      SocketProbe probe = OpenFor({server.port()});
      std::vector<PortDepths> rows;
      for (int round = 0; round < 20; ++round) {
        const absl::Status status = probe.Sample(&rows);
        EXPECT_TRUE(status.ok()) << status;
        EXPECT_EQ(rows.size(), 1u);
        EXPECT_EQ(rows[0].listeners, 1u);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST(SocketDepths, WithoutPrivilegesOnlyOtherNamespacesAreClosed) {
  const Server server(Family::kIpv4);
  const OwnedFd client = server.Connect();
  SocketProbeOptions options;
  options.ports = {server.port()};
  options.time_limit = std::chrono::seconds(60);
  const int failed = testing::AsNobody([&](bool dropped) {
    absl::StatusOr<SocketProbe> probe = SocketProbe::Open(options);
    if (!probe.ok()) return 1;
    std::vector<PortDepths> rows;
    if (!probe->Sample(&rows).ok()) return 2;
    if (rows.size() != 1 || rows[0].accept_backlog != 1) return 3;
    const absl::Status other = SocketProbe::OpenInNamespaceOf(1, options).status();
    if (dropped && !absl::IsPermissionDenied(other)) return 4;
    return 0;
  });
  EXPECT_EQ(failed, 0);
}

}  // namespace
}  // namespace seer
