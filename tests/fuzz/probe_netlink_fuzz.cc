// Any bytes as what the kernel answers to a dump: of sockets, with every way to tally them, and of
// queueing disciplines.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <vector>

#include "probe/netlink.h"
#include "probe/qdisc.h"
#include "probe/sock_diag.h"

namespace seer::internal {
namespace {

constexpr std::uint32_t kSequence = 7;  // of the recorded answers in the corpus

void Require(bool condition) {
  if (!condition) std::abort();
}

void TallySockets(absl::Span<const char> bytes, const SocketProbeOptions& options) {
  std::vector<PortDepths> rows;
  SocketTally tally(options, &rows);
  tally.Restart();
  const DatagramResult result = ParseDatagram(bytes, kSequence, &tally);
  tally.Finish();
  Require(result.messages <= bytes.size() / sizeof(nlmsghdr));
  Require((result.end == DatagramResult::End::kError) == (result.error > 0));
  const std::size_t asked =
      options.ports.size() * (options.cgroups.empty() ? 1 : options.cgroups.size());
  Require(asked == 0 ? !rows.empty() : rows.size() == asked);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const PortDepths& row = rows[i];
    Require(row.unread_connections <= row.connections);
    Require(row.unsent_connections <= row.connections);
    Require(row.unread_bytes == 0 || row.unread_connections > 0);
    Require(row.accept_backlog == 0 || row.listeners > 0);
    Require(i == 0 || rows[i - 1].cgroup < row.cgroup ||
            (rows[i - 1].cgroup == row.cgroup && rows[i - 1].port < row.port));
  }
}

}  // namespace
}  // namespace seer::internal

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace seer;
  using namespace seer::internal;
  const absl::Span<const char> bytes(reinterpret_cast<const char*>(data), size);
  SocketProbeOptions options;
  TallySockets(bytes, options);
  options.cgroups = {1, 5};
  TallySockets(bytes, options);
  options.ports = {9090, 9091};
  TallySockets(bytes, options);
  options.cgroups.clear();
  options.unsent = Unsent::kNotSent;
  TallySockets(bytes, options);

  std::vector<DeviceDepths> devices;
  QdiscTally qdiscs(&devices);
  qdiscs.Restart();
  ParseDatagram(bytes, kSequence, &qdiscs);
  qdiscs.Finish();
  for (std::size_t i = 1; i < devices.size(); ++i) {
    Require(devices[i - 1].ifindex < devices[i].ifindex);
  }
  return 0;
}
