// Flow: kernel -> [SocketProbe] -> queue/ (channels accept, socket, send), hwmon/
//
// What the kernel knows about the work that waits in TCP sockets, of any process and without its
// help: connections nobody accepted yet, requests nobody read yet, replies that do not get away.
//
//   seer::SocketProbeOptions options;
//   options.ports = {9090, 9091};
//   absl::StatusOr<seer::SocketProbe> probe = seer::SocketProbe::Open(options);  // once
//   std::vector<seer::PortDepths> rows;                                          // reused
//   absl::Status status = probe->Sample(&rows);                                  // every tick
//   rows[0].accept_backlog ...                          // port 9090; rows are sorted
//
// One netlink socket asks one network namespace for listeners and connections, IPv4 and IPv6 in one
// walk, and the kernel filters by port and by cgroup. No privilege is needed but for entering
// another namespace. These are connections and bytes, not requests.
//
// Rows. With `ports`: one row for each of them, always, those without listener too. Without: one
// row for each port that somebody listens on, and one with port 0 for the connections of all other
// ports, those that clients made among them. With `cgroups` the same again for each of them, so
// that one walk serves every service of a node. All sockets of a cgroup are the sum of its rows.
// Listeners that share a port (SO_REUSEPORT, or one each for IPv4 and IPv6) are added up.
//
// A connection that nobody accepted yet waits in its listener's backlog. It is in `accept_backlog`
// and in `unaccepted`, and nowhere else, whatever data it has brought: so it is counted once.
//
// A socket belongs to the cgroup its process was in when it made the socket, or its listener; a
// process that moves leaves them behind. MPTCP subflows without a socket of their own count as
// unaccepted.
//
// Threads: one at a time; another one each time is fine. The caller's network namespace is never
//          changed: a short-lived thread opens the socket inside the other one.
// Cost:    on a 2.6 GHz EPYC guest 1.2 ms for 64 ports with 2,000 connections whose clients are on
//          the same machine, 95 % of it in the kernel: 0.4 ms to walk its table (262,144 buckets,
//          as usual), 0.3 us for each connection that passes the filter. SampleListeners() 44 us.
//          /proc/net/tcp beside them 12.5 ms (benchmarks/queue/probe_bench.cc). Allocates only
//          while `rows` grows.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "seer/core/config.h"
#include "seer/probe/internal/netlink_socket.h"

SEER_BEGIN_NAMESPACE

struct PortDepths {
  std::uint64_t cgroup = 0;  // one of SocketProbeOptions::cgroups; 0 where none was asked for
  std::uint16_t port = 0;    // the local one; 0: all that have no row of their own

  std::uint32_t listeners = 0;
  std::uint64_t accept_backlog = 0;  // connections not yet accepted
  std::uint64_t accept_limit = 0;    // how many would fit; more are turned away

  std::uint32_t unaccepted = 0;   // the same connections as `accept_backlog`, counted one by one
  std::uint32_t connections = 0;  // accepted or made, and not closed on this side
  std::uint32_t unread_connections = 0;  // of those: with data, or its end, that nobody read
  std::uint64_t unread_bytes = 0;
  std::uint32_t unsent_connections = 0;  // of those: with unsent data, see SocketProbeOptions
  std::uint64_t unsent_bytes = 0;

  friend bool operator==(const PortDepths& a, const PortDepths& b) {
    return a.cgroup == b.cgroup && a.port == b.port && a.listeners == b.listeners &&
           a.accept_backlog == b.accept_backlog && a.accept_limit == b.accept_limit &&
           a.unaccepted == b.unaccepted && a.connections == b.connections &&
           a.unread_connections == b.unread_connections && a.unread_bytes == b.unread_bytes &&
           a.unsent_connections == b.unsent_connections && a.unsent_bytes == b.unsent_bytes;
  }
  friend bool operator!=(const PortDepths& a, const PortDepths& b) { return !(a == b); }
};

// When data counts as unsent.
enum class Unsent : std::uint8_t {
  // Until the peer acknowledged it. The kernel tells that for nothing, but it includes what is on
  // its way, and an idle peer may take 40 ms to acknowledge the last reply.
  kUnacknowledged,
  // Until it was handed to the network: what the peer's window or the network holds back. 0.2 us
  // more for each connection, as the kernel has to fill in all of its TCP_INFO.
  kNotSent,
};

struct SocketProbeOptions {
  static constexpr std::size_t kMaxPorts = 1024;
  static constexpr std::size_t kMaxCgroups = 256;
  static constexpr std::size_t kMaxRows = 65536;  // ports times cgroups

  std::vector<std::uint16_t> ports;    // local; empty: all
  std::vector<std::uint64_t> cgroups;  // CgroupId() of cgroup_stats.h (v2); empty: all
  Unsent unsent = Unsent::kUnacknowledged;

  // What one Sample() may take. A dump that was interrupted, cut off or overrun is made again up to
  // `retries` times, all within the time; that is looked at whenever the kernel hands out a piece,
  // which is 32 KiB or about 250 sockets.
  std::uint32_t max_sockets = 200'000;
  std::chrono::nanoseconds time_limit = std::chrono::milliseconds(50);
  int retries = 2;
};

class SocketProbe {
 public:
  // Of the calling thread's network namespace.
  static absl::StatusOr<SocketProbe> Open(const SocketProbeOptions& options = {});
  // Of the process's; needs CAP_SYS_ADMIN, and the process to be one that we may look into.
  static absl::StatusOr<SocketProbe> OpenInNamespaceOf(pid_t pid,
                                                       const SocketProbeOptions& options = {});
  // "/run/netns/cart", "/proc/12/ns/net". The namespace lives as long as the probe.
  static absl::StatusOr<SocketProbe> OpenInNamespace(const std::string& path,
                                                     const SocketProbeOptions& options = {});

  // Replaces `rows`; they are empty after an error.
  //   kUnavailable        this time no whole answer was to be had within the bounds
  //   kResourceExhausted  there are more than max_sockets, or the time was up
  //   kUnimplemented      this kernel lacks what is asked for (cgroups: Linux 5.8); stop asking
  absl::Status Sample(std::vector<PortDepths>* rows);
  // The listeners alone: what is said of connections stays 0, and the walk is short.
  absl::Status SampleListeners(std::vector<PortDepths>* rows);

 private:
  SocketProbe(internal::NetlinkSocket socket, const SocketProbeOptions& options);
  absl::Status Sample(std::vector<char>* request, std::vector<PortDepths>* rows);

  internal::NetlinkSocket socket_;
  SocketProbeOptions options_;  // ports and cgroups are sorted, each once
  std::vector<char> sockets_request_;
  std::vector<char> listeners_request_;
};

SEER_END_NAMESPACE
