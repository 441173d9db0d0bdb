// Sockets told apart by the cgroups of the processes that made them.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <string>
#include <vector>

#include "seer/probe/cgroup_stats.h"
#include "seer/probe/socket_depths.h"
#include "tests/probe/sandbox.h"

namespace seer {
namespace {

using internal::OwnedFd;

// A process in a cgroup of its own, if that can be had, with a listener whose three clients wait,
// and with one connection to itself that has 9 bytes unread at the client's end.
class Service {
 public:
  explicit Service(const std::string& cgroup) : cgroup_(cgroup) {
    made_ = ::mkdir(cgroup.c_str(), 0755) == 0;
    int ready[2], stop[2];
    EXPECT_EQ(::pipe2(ready, O_CLOEXEC), 0);
    EXPECT_EQ(::pipe2(stop, O_CLOEXEC), 0);
    child_ = ::fork();
    if (child_ == 0) {
      ::close(stop[1]);  // so that the parent's end is the last one
      const std::uint16_t port = Serve(made_ ? cgroup + "/cgroup.procs" : "");
      (void)!::write(ready[1], &port, sizeof(port));
      char byte;
      (void)!::read(stop[0], &byte, 1);
      ::_exit(0);
    }
    ::close(ready[1]);
    ::close(stop[0]);
    stop_ = OwnedFd(stop[1]);
    EXPECT_EQ(::read(ready[0], &port_, sizeof(port_)), static_cast<ssize_t>(sizeof(port_)));
    ::close(ready[0]);
  }
  ~Service() {
    stop_ = OwnedFd();
    EXPECT_EQ(::waitpid(child_, nullptr, 0), child_);
    if (made_) {
      // A cgroup is empty a moment after its last process was waited for.
      EXPECT_TRUE(testing::Eventually([&] { return ::rmdir(cgroup_.c_str()) == 0; }));
    }
  }
  bool made() const { return made_; }
  std::uint16_t port() const { return port_; }
  std::uint64_t id() const { return CgroupId(cgroup_).value; }

 private:
  // In the child. 0 where something went wrong.
  static std::uint16_t Serve(const std::string& procs) {
    if (!procs.empty()) {
      std::ofstream file(procs);
      file << ::getpid() << std::flush;
      if (!file) return 0;
    }
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    auto* const generic = reinterpret_cast<sockaddr*>(&address);
    const int listener = ::socket(AF_INET, SOCK_STREAM, 0);
    if (::bind(listener, generic, size) != 0 || ::listen(listener, 16) != 0 ||
        ::getsockname(listener, generic, &size) != 0) {
      return 0;
    }
    for (int i = 0; i < 4; ++i) {
      const int client = ::socket(AF_INET, SOCK_STREAM, 0);
      if (::connect(client, generic, size) != 0) return 0;
    }
    const int accepted = ::accept(listener, nullptr, nullptr);
    if (::send(accepted, "unread by", 9, MSG_NOSIGNAL) != 9) return 0;
    return ntohs(address.sin_port);
  }

  const std::string cgroup_;
  bool made_ = false;
  pid_t child_ = 0;
  OwnedFd stop_;
  std::uint16_t port_ = 0;
};

TEST(SocketDepthsByCgroup, EachServiceHasItsListenersAndAllItsConnections) {
  const absl::StatusOr<CgroupPaths> own = FindCgroups(::getpid());
  const std::string base = (own.ok() ? own->unified.mount : std::string("/nowhere")) +
                           "/seer-probe-sockets-" + std::to_string(::getpid());
  const Service a(base + "a"), b(base + "b"), c(base + "c");
  ASSERT_NE(a.port(), 0);
  ASSERT_NE(b.port(), 0);
  ASSERT_NE(c.port(), 0);

  SocketProbeOptions options;
  options.time_limit = std::chrono::seconds(60);
  options.retries = 20;
  if (!a.made()) {
    // No cgroup may be made here: then at least one that does not exist has no sockets.
    options.cgroups = {std::uint64_t{1} << 60};
    absl::StatusOr<SocketProbe> probe = SocketProbe::Open(options);
    ASSERT_TRUE(probe.ok()) << probe.status();
    std::vector<PortDepths> rows;
    const absl::Status status = probe->Sample(&rows);
    if (status.ok()) {
      ASSERT_EQ(rows.size(), 1u);
      EXPECT_EQ(rows[0].connections, 0u);
    } else {
      EXPECT_TRUE(absl::IsUnimplemented(status)) << status;
    }
    return;
  }

  PortDepths clients, server;
  clients.connections = 4;
  clients.unread_connections = 1;
  clients.unread_bytes = 9;
  server.listeners = 1;
  server.accept_backlog = server.unaccepted = 3;
  server.accept_limit = 16;
  server.connections = 1;
  const auto expect = [&](const std::vector<const Service*>& services, bool ports) {
    options.cgroups.clear();
    options.ports.clear();
    for (const Service* service : services) {
      options.cgroups.push_back(service->id());
      if (ports) options.ports.push_back(service->port());
    }
    absl::StatusOr<SocketProbe> probe = SocketProbe::Open(options);
    ASSERT_TRUE(probe.ok()) << probe.status();
    std::vector<PortDepths> rows;
    // The acknowledgement of the nine bytes may take a moment.
    EXPECT_TRUE(testing::Eventually([&] {
      const absl::Status status = probe->Sample(&rows);
      EXPECT_TRUE(status.ok()) << status;
      if (!status.ok()) return true;
      for (const PortDepths& row : rows) {
        if (row.unsent_connections > 0) return false;
      }
      return true;
    }));
    const std::size_t per_cgroup = ports ? services.size() : 2;
    ASSERT_EQ(rows.size(), services.size() * per_cgroup);
    for (const Service* service : services) {
      clients.cgroup = server.cgroup = service->id();
      server.port = service->port();
      EXPECT_EQ(std::count(rows.begin(), rows.end(), server), 1);
      EXPECT_EQ(std::count(rows.begin(), rows.end(), clients), ports ? 0 : 1);
    }
  };
  expect({&a}, false);
  expect({&a, &b}, false);  // and c's are not seen
  expect({&a, &b, &c}, false);
  expect({&b}, true);
  expect({&a, &c}, true);
}

}  // namespace
}  // namespace seer
