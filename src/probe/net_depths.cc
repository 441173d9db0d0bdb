#include "seer/probe/net_depths.h"

#include <linux/gen_stats.h>
#include <linux/if.h>
#include <linux/netlink.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "probe/netlink.h"
#include "probe/qdisc.h"
#include "seer/core/internal/status_macros.h"

SEER_BEGIN_NAMESPACE
namespace internal {

std::vector<char> BuildQdiscRequest() {
  nlmsghdr header = {};
  header.nlmsg_type = RTM_GETQDISC;
  header.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
  header.nlmsg_len = sizeof(header) + sizeof(tcmsg);
  tcmsg all_devices = {};
  std::vector<char> request;
  Append(header, &request);
  Append(all_devices, &request);
  return request;
}

void QdiscTally::Take(std::uint16_t type, absl::Span<const char> payload) {
  if (type != RTM_NEWQDISC || payload.size() < sizeof(tcmsg)) return;
  const auto qdisc = LoadFront<tcmsg>(payload);
  // The others are parts of a root, or (ingress, clsact) hold no packets.
  if (qdisc.tcm_parent != TC_H_ROOT) return;
  const Reading unknown = Reading::Not(Reason::kNotSupported);
  DeviceDepths row;
  row.ifindex = qdisc.tcm_ifindex;
  row.queued_packets = row.queued_bytes = row.dropped_packets = row.overlimits = unknown;
  NetlinkAttributes attributes(payload.subspan(NLMSG_ALIGN(sizeof(tcmsg))));
  std::uint16_t attribute;
  absl::Span<const char> value;
  while (attributes.Next(&attribute, &value)) {
    if (attribute != TCA_STATS2) continue;
    NetlinkAttributes statistics(value);
    while (statistics.Next(&attribute, &value)) {
      if (attribute != TCA_STATS_QUEUE || value.size() < sizeof(gnet_stats_queue)) continue;
      const auto queue = LoadFront<gnet_stats_queue>(value);
      row.queued_packets = Reading::Of(queue.qlen);
      row.queued_bytes = Reading::Of(queue.backlog);
      row.dropped_packets = Reading::Of(queue.drops);
      row.overlimits = Reading::Of(queue.overlimits);
    }
  }
  rows_.push_back(row);
}

void QdiscTally::Finish() {
  const auto before = [](const DeviceDepths& a, const DeviceDepths& b) {
    return a.ifindex < b.ifindex;
  };
  const auto same = [](const DeviceDepths& a, const DeviceDepths& b) {
    return a.ifindex == b.ifindex;
  };
  std::sort(rows_.begin(), rows_.end(), before);
  rows_.erase(std::unique(rows_.begin(), rows_.end(), same), rows_.end());
}

}  // namespace internal

std::string_view DeviceDepths::name() const {
  return {name_bytes.data(), ::strnlen(name_bytes.data(), name_bytes.size())};
}

PacketsWaiting PacketsWaitingIn(absl::Span<const DeviceDepths> devices, bool exclusive,
                                const SoftnetDepths* softnet) {
  PacketsWaiting sum;
  sum.shared = !exclusive || softnet != nullptr;
  // Without a device there is no queue that could hold anything, but nothing was observed either.
  if (!devices.empty()) sum.packets = Reading::Of(0);
  for (const DeviceDepths& device : devices) sum.packets = Sum(sum.packets, device.queued_packets);
  if (softnet != nullptr) sum.packets = Sum(sum.packets, softnet->backlog_packets);
  return sum;
}

NetProbe::NetProbe(internal::NetlinkSocket socket)
    : socket_(std::move(socket)), request_(internal::BuildQdiscRequest()) {}

absl::StatusOr<NetProbe> NetProbe::OpenInNamespace(const std::string& path) {
  SEER_ASSIGN_OR_RETURN(internal::NetlinkSocket socket,
                        internal::NetlinkSocket::Open(NETLINK_ROUTE, path));
  return NetProbe(std::move(socket));
}
absl::StatusOr<NetProbe> NetProbe::Open() { return OpenInNamespace(""); }
absl::StatusOr<NetProbe> NetProbe::OpenInNamespaceOf(pid_t pid) {
  if (pid <= 0) return absl::InvalidArgumentError(absl::StrCat("no process has the pid ", pid));
  return OpenInNamespace(absl::StrCat("/proc/", pid, "/ns/net"));
}

absl::Status NetProbe::Sample(std::vector<DeviceDepths>* devices) {
  internal::QdiscTally tally(devices);
  internal::DumpLimits limits;
  limits.messages = kMaxQdiscs;
  absl::Status status = socket_.Dump(absl::MakeSpan(request_), limits, &tally);
  if (!status.ok()) {
    devices->clear();
    if (absl::IsInvalidArgument(status) || absl::IsUnimplemented(status)) {
      return absl::UnimplementedError("this kernel does not dump queueing disciplines");
    }
    return status;
  }
  tally.Finish();
  if (!names_) return status;
  for (DeviceDepths& device : *devices) {
    ifreq request = {};
    request.ifr_ifindex = device.ifindex;
    if (::ioctl(socket_.fd(), SIOCGIFNAME, &request) != 0) continue;
    static_assert(sizeof(request.ifr_name) == sizeof(device.name_bytes));
    std::memcpy(device.name_bytes.data(), request.ifr_name, sizeof(request.ifr_name));
  }
  return status;
}

SEER_END_NAMESPACE
