// What is asked of NETLINK_SOCK_DIAG, and what its answers say.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "seer/core/config.h"
#include "seer/probe/socket_depths.h"

SEER_BEGIN_NAMESPACE
namespace internal {

// A program for the kernel's filter (INET_DIAG_REQ_BYTECODE) that lets a socket pass if its local
// port is one of `ports` and its cgroup one of `cgroups`, each sorted without doubles; an empty
// list lets all pass. Empty where there is nothing to filter.
//
// Ports are searched in a tree of comparisons, about log2(ports) + 2 steps for each socket.
std::vector<char> BuildSocketFilter(absl::Span<const std::uint16_t> ports,
                                    absl::Span<const std::uint64_t> cgroups);

// A dump of the listeners, and if `connections` of what is established too. options.ports and
// options.cgroups are sorted without doubles.
std::vector<char> BuildSocketRequest(const SocketProbeOptions& options, bool connections);

// Adds up the messages of such a dump.
class SocketTally final : public DumpSink {
 public:
  // Both outlive the tally; ports and cgroups are sorted without doubles.
  SocketTally(const SocketProbeOptions& options, std::vector<PortDepths>* rows)
      : options_(options), rows_(*rows) {}

  void Restart() override;
  void Take(std::uint16_t type, absl::Span<const char> payload) override;
  // After the last message: rows that are sorted, and each key once.
  void Finish();

 private:
  PortDepths* Find(std::uint64_t cgroup, std::uint16_t port);
  void Seal();

  const SocketProbeOptions& options_;
  std::vector<PortDepths>& rows_;
  // Without options_.ports, rows are made for listeners as they come: the kernel tells them first.
  // The first connection seals the rows: from there on they are sorted.
  bool sealed_ = false;
};

}  // namespace internal
SEER_END_NAMESPACE
