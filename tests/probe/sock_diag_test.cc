#include "probe/sock_diag.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/inet_diag.h>
#include <linux/sock_diag.h>
#include <linux/tcp.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <iterator>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "probe/netlink.h"
#include "tests/probe/netlink_bytes.h"

namespace seer::internal {
namespace {

using ::testing::ElementsAre;
using testing::FakeSocket;

// ---- A second implementation of the kernel's machine for the filter: what it accepts, and what a
// program says.

inet_diag_bc_op OpAt(const std::vector<char>& program, std::size_t at) {
  inet_diag_bc_op op;
  std::memcpy(&op, &program.at(at), sizeof(op));
  return op;
}

// The rules by which the kernel refuses a program.
bool KernelAccepts(const std::vector<char>& program) {
  const auto size = static_cast<int>(program.size());
  if (size < 4) return false;
  std::set<int> starts;
  for (int at = 0; at < size; at += OpAt(program, at).yes) {
    starts.insert(at);
    const inet_diag_bc_op op = OpAt(program, at);
    int length = 4;
    if (op.code == INET_DIAG_BC_S_GE || op.code == INET_DIAG_BC_S_LE) {
      length = 8;
    } else if (op.code == INET_DIAG_BC_CGROUP_COND) {
      length = 12;
    } else if (op.code != INET_DIAG_BC_JMP) {
      return false;
    }
    if (size - at < length || op.yes < length || op.no < length || op.yes % 4 || op.no % 4 ||
        op.yes > size - at + 4 || op.no > size - at + 4) {
      return false;
    }
  }
  for (int at : starts) {
    const int target = at + OpAt(program, at).no;
    if (target < size && starts.count(target) == 0) return false;
  }
  return true;
}

bool Passes(const std::vector<char>& program, std::uint16_t port, std::uint64_t cgroup,
            int* steps) {
  auto left = static_cast<int>(program.size());
  std::size_t at = 0;
  while (left > 0) {
    ++*steps;
    const inet_diag_bc_op op = OpAt(program, at);
    bool yes = true;
    if (op.code == INET_DIAG_BC_S_GE) yes = port >= OpAt(program, at + 4).no;
    if (op.code == INET_DIAG_BC_S_LE) yes = port <= OpAt(program, at + 4).no;
    if (op.code == INET_DIAG_BC_JMP) yes = false;
    if (op.code == INET_DIAG_BC_CGROUP_COND) {
      std::uint64_t wanted;
      std::memcpy(&wanted, &program.at(at + 4), sizeof(wanted));
      yes = cgroup == wanted;
    }
    const int jump = yes ? op.yes : op.no;
    at += static_cast<std::size_t>(jump);
    left -= jump;
  }
  return left == 0;
}

void ExpectFilters(const std::vector<std::uint16_t>& ports,
                   const std::vector<std::uint64_t>& cgroups) {
  const std::vector<char> program = BuildSocketFilter(ports, cgroups);
  ASSERT_LT(program.size(), 65'000u);  // an attribute's length has 16 bits
  ASSERT_TRUE(KernelAccepts(program));
  std::vector<std::uint64_t> tried = cgroups;
  tried.push_back(0);
  tried.push_back(~std::uint64_t{0});
  int most_steps = 0;
  for (std::uint64_t cgroup : tried) {
    const bool cgroup_ok = cgroups.empty() || std::count(cgroups.begin(), cgroups.end(), cgroup);
    for (std::uint32_t port = 0; port<65536; port += cgroups.size()> 2 ? 97 : 1) {
      const bool port_ok = ports.empty() || std::binary_search(ports.begin(), ports.end(), port);
      int steps = 0;
      ASSERT_EQ(Passes(program, static_cast<std::uint16_t>(port), cgroup, &steps),
                cgroup_ok && port_ok)
          << port << " " << cgroup;
      most_steps = std::max(most_steps, steps);
    }
  }
  int depth = 0;
  while ((std::size_t{1} << depth) < ports.size()) ++depth;
  EXPECT_LE(most_steps, static_cast<int>(cgroups.size()) + 1 + depth + 3);
}

TEST(SocketFilter, LetsExactlyTheWantedPortsPass) {
  std::mt19937 random(1);
  std::vector<std::uint16_t> every_second, dense;
  for (std::uint16_t i = 0; i < SocketProbeOptions::kMaxPorts; ++i) {
    every_second.push_back(static_cast<std::uint16_t>(2 * i + 1));
    dense.push_back(static_cast<std::uint16_t>(64'000 + i));
  }
  for (const std::vector<std::uint16_t>& ports :
       std::vector<std::vector<std::uint16_t>>{{9090},
                                               {1},
                                               {65535},
                                               {1, 65535},
                                               {9090, 9091},
                                               {80, 443, 8080, 8081},
                                               every_second,
                                               dense}) {
    SCOPED_TRACE(ports.size());
    ExpectFilters(ports, {});
  }
  for (int round = 0; round < 30; ++round) {
    std::set<std::uint16_t> ports;
    const std::size_t count = 1 + random() % 100;
    while (ports.size() < count) ports.insert(static_cast<std::uint16_t>(1 + random() % 65535));
    SCOPED_TRACE(round);
    ExpectFilters({ports.begin(), ports.end()}, {});
  }
}

TEST(SocketFilter, LetsExactlyTheWantedCgroupsPass) {
  std::vector<std::uint64_t> most;
  for (std::uint64_t i = 1; i <= SocketProbeOptions::kMaxCgroups; ++i) most.push_back(i << 33);
  ExpectFilters({}, {7});
  ExpectFilters({}, {7, 1u << 20, std::uint64_t{5} << 40});
  ExpectFilters({9090}, {7});
  ExpectFilters({80, 9090, 9091, 12'000}, {7, 8});
  ExpectFilters({80, 9090}, most);
}

TEST(SocketFilter, NothingToFilterIsNoProgram) { EXPECT_TRUE(BuildSocketFilter({}, {}).empty()); }

// ---- The tally.

PortDepths Row(std::uint16_t port, std::uint64_t cgroup = 0) {
  PortDepths row;
  row.port = port;
  row.cgroup = cgroup;
  return row;
}

struct Tally {
  explicit Tally(SocketProbeOptions o) : options(std::move(o)), tally(options, &rows) {
    tally.Restart();
  }
  void Take(const FakeSocket& socket, std::uint16_t type = TCPDIAG_GETSOCK) {
    tally.Take(type, socket.Payload());
  }
  const std::vector<PortDepths>& Finish() {
    tally.Finish();
    return rows;
  }
  SocketProbeOptions options;
  std::vector<PortDepths> rows;
  SocketTally tally;
};

TEST(SocketTally, PortsAskedForHaveTheirRowsAlways) {
  SocketProbeOptions options;
  options.ports = {80, 81};
  Tally tally(options);
  tally.Take({testing::kListen, 81, 3, 128, 9, ""});
  tally.Take({testing::kEstablished, 81, 5, 0, 9, ""});
  tally.Take({testing::kEstablished, 99, 5, 0, 9, ""});  // no row for it
  PortDepths expected = Row(81);
  expected.listeners = 1;
  expected.accept_backlog = 3;
  expected.accept_limit = 128;
  expected.connections = 1;
  expected.unread_connections = 1;
  expected.unread_bytes = 5;
  EXPECT_THAT(tally.Finish(), ElementsAre(Row(80), expected));
}

TEST(SocketTally, WithoutPortsListenersMakeRowsAndTheRestIsPortZero) {
  Tally tally({});
  tally.Take({testing::kListen, 9000, 1, 10, 9, ""});
  tally.Take({testing::kListen, 80, 2, 20, 9, ""});
  tally.Take({testing::kListen, 9000, 4, 30, 9, ""});  // SO_REUSEPORT, or the other family
  tally.Take({testing::kEstablished, 80, 0, 7, 9, ""});
  tally.Take({testing::kEstablished, 41'000, 6, 0, 9, ""});
  PortDepths others = Row(0), http = Row(80), both = Row(9000);
  others.connections = others.unread_connections = 1;
  others.unread_bytes = 6;
  http.listeners = 1;
  http.accept_backlog = 2;
  http.accept_limit = 20;
  http.connections = http.unsent_connections = 1;
  http.unsent_bytes = 7;
  both.listeners = 2;
  both.accept_backlog = 5;
  both.accept_limit = 40;
  EXPECT_THAT(tally.Finish(), ElementsAre(others, http, both));
}

TEST(SocketTally, AConnectionThatNobodyAcceptedWaitsInOnePlaceOnly) {
  SocketProbeOptions options;
  options.ports = {80};
  Tally tally(options);
  tally.Take({testing::kListen, 80, 1, 128, 9, ""});
  tally.Take({testing::kEstablished, 80, 500, 0, 0, ""});
  PortDepths expected = Row(80);
  expected.listeners = 1;
  expected.accept_backlog = 1;
  expected.accept_limit = 128;
  expected.unaccepted = 1;
  EXPECT_THAT(tally.Finish(), ElementsAre(expected));
}

TEST(SocketTally, TheEndOfAConnectionIsWorkButNoByte) {
  SocketProbeOptions options;
  options.ports = {80};
  Tally tally(options);
  tally.Take({testing::kCloseWait, 80, 1, 0, 9, ""});   // only the end is unread
  tally.Take({testing::kCloseWait, 80, 11, 0, 9, ""});  // ten bytes and the end
  tally.Take({testing::kCloseWait, 80, 0, 0, 9, ""});   // all was read
  PortDepths expected = Row(80);
  expected.connections = 3;
  expected.unread_connections = 2;
  expected.unread_bytes = 10;
  EXPECT_THAT(tally.Finish(), ElementsAre(expected));
}

TEST(SocketTally, SeveralCgroupsAreToldApartByTheAttribute) {
  SocketProbeOptions options;
  options.cgroups = {5, 6};
  const auto in = [](std::uint64_t cgroup) {
    return testing::Attribute(INET_DIAG_SHUTDOWN, std::string(1, '\0')) +
           testing::Attribute(INET_DIAG_CGROUP_ID, testing::Bytes(cgroup));
  };
  Tally tally(options);
  tally.Take({testing::kListen, 80, 2, 10, 9, in(5)});
  tally.Take({testing::kListen, 80, 3, 10, 9, in(6)});
  tally.Take({testing::kEstablished, 80, 1, 0, 9, in(6)});
  tally.Take({testing::kEstablished, 81, 1, 0, 9, in(5)});
  tally.Take({testing::kEstablished, 81, 1, 0, 9, in(7)});  // not asked for
  tally.Take({testing::kEstablished, 81, 1, 0, 9, ""});     // the kernel does not say
  PortDepths others5 = Row(0, 5), http5 = Row(80, 5), others6 = Row(0, 6), http6 = Row(80, 6);
  others5.connections = others5.unread_connections = 1;
  others5.unread_bytes = 1;
  http5.listeners = http6.listeners = 1;
  http5.accept_backlog = 2;
  http6.accept_backlog = 3;
  http5.accept_limit = http6.accept_limit = 10;
  http6.connections = http6.unread_connections = 1;
  http6.unread_bytes = 1;
  EXPECT_THAT(tally.Finish(), ElementsAre(others5, http5, others6, http6));
}

TEST(SocketTally, NotSentIsTakenFromTcpInfo) {
  SocketProbeOptions options;
  options.ports = {80};
  options.unsent = Unsent::kNotSent;
  Tally tally(options);
  tcp_info info = {};
  info.tcpi_notsent_bytes = 30;
  tally.Take({testing::kEstablished, 80, 0, 100, 9,
              testing::Attribute(INET_DIAG_INFO, testing::Bytes(info))});
  info.tcpi_notsent_bytes = 0;
  tally.Take({testing::kEstablished, 80, 0, 100, 9,
              testing::Attribute(INET_DIAG_INFO, testing::Bytes(info))});
  EXPECT_EQ(tally.Finish()[0].unsent_connections, 1u);
  EXPECT_EQ(tally.Finish()[0].unsent_bytes, 30u);
}

TEST(SocketTally, WhatIsNoSocketIsIgnored) {
  Tally tally({});
  FakeSocket socket{testing::kListen, 80, 1, 1, 1, ""};
  tally.Take(socket, 99);
  tally.tally.Take(TCPDIAG_GETSOCK, {});
  const std::string cut = socket.Payload().substr(0, sizeof(inet_diag_msg) - 1);
  tally.tally.Take(TCPDIAG_GETSOCK, cut);
  socket.state = 6;  // TIME_WAIT
  tally.Take(socket);
  EXPECT_THAT(tally.Finish(), ElementsAre(Row(0)));
}

TEST(SocketTally, NoSumRunsOver) {
  SocketProbeOptions options;
  options.ports = {80};
  Tally tally(options);
  for (int i = 0; i < 3; ++i) tally.Take({testing::kListen, 80, ~0u, ~0u, 1, ""});
  for (int i = 0; i < 3; ++i) tally.Take({testing::kEstablished, 80, ~0u, ~0u, 1, ""});
  EXPECT_EQ(tally.Finish()[0].accept_backlog, 3 * std::uint64_t{~0u});
  EXPECT_EQ(tally.Finish()[0].unread_bytes, 3 * std::uint64_t{~0u});
}

// What Linux 6.18 answered for: port 9090 (IPv4) and 9091 (IPv6), on each three connections that
// sent five bytes, of which one was accepted. The other file has the TCP_INFO too.
TEST(SocketTally, ARecordedAnswerIsRead) {
  for (const Unsent unsent : {Unsent::kUnacknowledged, Unsent::kNotSent}) {
    const bool info = unsent == Unsent::kNotSent;
    SCOPED_TRACE(info);
    std::ifstream file(
        info ? SEER_TESTDATA "/probe/sockets_info.bin" : SEER_TESTDATA "/probe/sockets.bin",
        std::ios::binary);
    const std::string recorded((std::istreambuf_iterator<char>(file)),
                               std::istreambuf_iterator<char>());
    SocketProbeOptions options;
    options.unsent = unsent;
    Tally tally(options);
    EXPECT_EQ(ParseDatagram(recorded, 7, &tally.tally).end, DatagramResult::End::kDone);
    PortDepths clients = Row(0), server = Row(9090);
    clients.connections = 6;
    server.listeners = 1;
    server.accept_backlog = server.unaccepted = 2;
    server.accept_limit = 7;
    server.connections = server.unread_connections = 1;
    server.unread_bytes = 5;
    PortDepths server6 = server;
    server6.port = 9091;
    EXPECT_THAT(tally.Finish(), ElementsAre(clients, server, server6));
  }
}

}  // namespace
}  // namespace seer::internal
