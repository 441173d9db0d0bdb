// The parts of a KernelProbe: each asks the kernel one thing, fails and is tried again by itself.
//
// Threads: one at a time. Cost: what SocketProbe and NetProbe cost.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "seer/core/config.h"
#include "seer/core/snapshot.h"
#include "seer/probe/net_depths.h"
#include "seer/probe/socket_depths.h"
#include "seer/probe/softnet.h"
#include "seer/queue/internal/patience.h"

SEER_BEGIN_NAMESPACE
namespace internal {

// Ticks after which a part that goes on failing is tried again, at most.
inline constexpr std::uint32_t kMaxPause = 64;

// A network namespace: ours, or that of a process.
struct Network {
  std::uint64_t id = 0;  // 0: ours
  pid_t pid = 0;

  // None: the process is gone, or lives in ours.
  static std::optional<Network> Of(pid_t pid);
  std::string Text() const;
};

// What came of asking.
struct Answer {
  bool tried = false;
  absl::Status status;  // of the last time that it was tried
};

// Sockets: what one walk over one namespace tells of some instances.
class SocketPart {
 public:
  enum class Key { kPort, kCgroup, kAll };

  SocketPart(Key key, const Network& network, Unsent unsent) : key_(key), network_(network) {
    options_.unsent = unsent;
  }

  // The sockets with this key (kAll: 0) are the instance's. Where several have one key, all of its
  // sockets count for each of them.
  void Add(std::uint64_t key, InstanceId instance);
  std::size_t keys() const { return keys_; }
  const Network& network() const { return network_; }
  // When everything is added. Goes on with what one of `before` has open, if it asks the same.
  void Finish(std::vector<SocketPart>* before);

  Answer Sample();
  void Fill(ChannelTable* table) const;  // after an ok answer
  absl::Status error() const;            // of the last time, with what failed

 private:
  struct Owner {  // of the sockets with a key
    std::uint64_t key;
    std::size_t row;  // of rows_
    friend bool operator<(const Owner& a, const Owner& b) {
      return a.key != b.key ? a.key < b.key : a.row < b.row;
    }
  };
  struct Row {
    InstanceId instance;
    bool shared = false;
    bool seen = false;  // there is a socket
    PortDepths sum;
  };

  absl::Status Ask();
  void AddUp();

  Key key_;
  Network network_;
  SocketProbeOptions options_;
  std::vector<Owner> owners_;  // sorted
  std::vector<Row> rows_;      // by instance
  std::size_t keys_ = 0;
  std::optional<SocketProbe> probe_;
  Patience patience_{kMaxPause};
  std::vector<PortDepths> depths_;
};

// Packets: the devices of one namespace.
class NicPart {
 public:
  explicit NicPart(const Network& network) : network_(network) {}

  void Add(InstanceId instance) { instances_.push_back(instance); }
  bool empty() const { return instances_.empty(); }
  void Finish(std::vector<NicPart>* before);

  Answer Sample(SoftnetProbe* softnet);
  void Fill(ChannelTable* table) const;
  absl::Status error() const;

 private:
  absl::Status Ask(SoftnetProbe* softnet);

  Network network_;
  std::vector<InstanceId> instances_;
  std::optional<NetProbe> probe_;
  Patience patience_{kMaxPause};
  std::vector<DeviceDepths> devices_;
  PacketsWaiting waiting_;
};

}  // namespace internal
SEER_END_NAMESPACE
