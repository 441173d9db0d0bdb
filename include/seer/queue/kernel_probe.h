// Flow: kernel -> probe/ -> [KernelProbe] -> Collector (channels nic, accept, socket, send)
//
// What the kernel knows of every instance on the node, whether or not it was written with seer in
// mind: connections that nobody accepted, requests that nobody read, replies that do not get away,
// packets that wait for the network.
//
//   seer::KernelProbeOptions options;
//   options.ports = {{3306, "post-db", "mysql-0"}, {9090, "cart", "cart-0"}};
//   absl::StatusOr<std::unique_ptr<seer::KernelProbe>> probe = seer::KernelProbe::Create(options);
//   collector->AddProbe(*std::move(probe));
//   collector->Declare({"post-db", "mysql-0"});     // publishes nothing itself
//
// How it knows which sockets are whose; the first that applies to an instance:
//
//   port        the host says so: the connections that came in there, in the network namespace of
//               the thread that Tick() runs on. Not the calls that the instance makes itself.
//   cgroup      Instance::cgroup (Collector::Declare), v2: all sockets that were made in it
//   namespace   the network namespace of Instance::pids[0], where it is not our own: all sockets in
//               there. Only if asked for: it takes CAP_SYS_ADMIN, and pids that mean here what they
//               mean to the processes.
//
// Instances that share a cgroup or a namespace cannot be told apart: each gets the sum, flagged
// shared. An instance without a listening socket has no `accept`. `nic` is what waits in the
// queueing disciplines of the instance's namespace, and on the host also between them and the
// protocol stack: one aggregate for all, flagged shared, but for an instance alone in a namespace.
//
// A part that fails (one way of looking, one namespace) is missing with the reason, counted in
// health.probe_errors and tried less often; the others go on. Cells that the service counts itself
// stand.
//
// Threads: as DepthProbe.
// Cost:    one walk over the kernel's sockets for the ports, one for each 256 cgroups, one for each
//          namespace (socket_depths.h), and about 8 us for each namespace's devices. Allocates only
//          when the topology changes, and every 64 ticks, as cgroups and processes may be others by
//          then under the same names.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "seer/core/config.h"
#include "seer/probe/socket_depths.h"
#include "seer/queue/depth_probe.h"

SEER_BEGIN_NAMESPACE

struct KernelProbeOptions {
  struct Port {
    std::uint16_t port = 0;  // that it listens on; several entries for several ports
    std::string service;
    std::string instance;
  };
  std::vector<Port> ports;  // at most SocketProbeOptions::kMaxPorts, each once
  bool by_cgroup = true;
  bool by_namespace = false;
  std::size_t max_namespaces = 64;
  bool nic = true;
  // Where the v2 hierarchy is mounted; empty: where this process finds it.
  std::string cgroup_root;
  Unsent unsent = Unsent::kUnacknowledged;
};

class KernelProbe final : public DepthProbe {
 public:
  // InvalidArgument names the option. What this machine does not permit shows later, as missing.
  static absl::StatusOr<std::unique_ptr<KernelProbe>> Create(const KernelProbeOptions& options);
  ~KernelProbe() override;

  std::string_view name() const override { return "kernel"; }
  ChannelMask channels() const override;
  absl::Status Sample(const Topology& topology, Snapshot* snapshot) override;

  // Of each part that failed when it was tried last: which one, and why.
  std::vector<absl::Status> errors() const;

 private:
  class Impl;
  explicit KernelProbe(std::unique_ptr<Impl> impl);
  const std::unique_ptr<Impl> impl_;
};

SEER_END_NAMESPACE
