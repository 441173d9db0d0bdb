// Flow: kernel -> [NetProbe] -> queue/ (channel nic), hwmon/
//
// Packets that wait to leave: the backlog of the queueing discipline (qdisc) of each network
// device.
//
//   absl::StatusOr<seer::NetProbe> probe = seer::NetProbe::OpenInNamespaceOf(pid);  // once
//   std::vector<seer::DeviceDepths> devices;                                        // reused
//   absl::Status status = probe->Sample(&devices);                                  // every tick
//   seer::PacketsWaiting waiting = seer::PacketsWaitingIn(devices, /*exclusive=*/true);
//
// A device has one root discipline whose backlog includes that of the classes below it. A device
// that keeps none (loopback, most veth) really has nothing waiting there. What a discipline lets
// through may still wait in the card: nic_depths.h.
//
// Threads: one at a time; another one each time is fine. The caller's network namespace is never
//          changed.
// Cost:    7.5 us for two devices on a 2.6 GHz EPYC guest, more while somebody changes the network
//          (it takes the kernel's RTNL lock). Allocates only while `devices` grows. No privilege
//          but for entering another namespace.
#pragma once

#include <sys/types.h>

#include <array>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "seer/core/config.h"
#include "seer/probe/internal/netlink_socket.h"
#include "seer/probe/reading.h"
#include "seer/probe/softnet.h"

SEER_BEGIN_NAMESPACE

struct DeviceDepths {
  int ifindex = 0;
  std::array<char, 16> name_bytes = {};
  std::string_view name() const;  // "eth0"; empty where the device is gone already

  Reading queued_packets;  // now
  Reading queued_bytes;
  Reading dropped_packets;  // since the discipline was set up; 32 bits that start over
  Reading overlimits;       // how often a packet had to wait for the discipline's rate
};

// For the channel `nic`.
struct PacketsWaiting {
  Reading packets;
  bool shared = true;  // others than one service use these queues too: ChannelSample::shared
};

// What waits in all devices of a namespace. `exclusive`: one service alone lives in it. With
// `softnet`, what waits between the devices and the protocol stack too, which is the whole host's.
PacketsWaiting PacketsWaitingIn(absl::Span<const DeviceDepths> devices, bool exclusive,
                                const SoftnetDepths* softnet = nullptr);

class NetProbe {
 public:
  static constexpr std::size_t kMaxQdiscs = 16384;  // a sample with more is kResourceExhausted

  // As SocketProbe's.
  static absl::StatusOr<NetProbe> Open();
  static absl::StatusOr<NetProbe> OpenInNamespaceOf(pid_t pid);
  static absl::StatusOr<NetProbe> OpenInNamespace(const std::string& path);

  // Replaces `devices`, sorted by ifindex; they are empty after an error.
  absl::Status Sample(std::vector<DeviceDepths>* devices);
  // A system call for each device: a node may have hundreds. Without, name() is empty.
  void set_names(bool wanted) { names_ = wanted; }

 private:
  explicit NetProbe(internal::NetlinkSocket socket);

  internal::NetlinkSocket socket_;
  std::vector<char> request_;
  bool names_ = true;
};

SEER_END_NAMESPACE
