// Flow: kernel -> [AcceptProbe] -> Collector (channel accept)
//
// Connections that a server of this process has not accepted yet, asked of its own listening
// socket: exact, without privileges, and in whatever network namespace it is. For a Collector in
// the service's process; an agent that looks from outside has KernelProbe (queue/kernel_probe.h).
//
//   auto probe = std::make_unique<seer::AcceptProbe>();
//   absl::Status status = probe->Add("cart", "cart-7f9c", socket->getSocketFD());   // listens
//   collector->AddProbe(std::move(probe));
//
// A TThreadPoolServer accepts all there is and lets connections wait for a worker: where its pool
// is traced (trace_thread_manager.h) that count stands.
//
// Thrift's sockets set TCP_DEFER_ACCEPT: a connection that has not said anything yet is not even in
// the backlog.
//
// Threads: Add() and Remove() from any thread, at any time. Remove a socket before it is closed:
//          its descriptor may be another file's then.
// Cost:    one system call for each socket and tick.
#pragma once

#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "seer/core/channel.h"
#include "seer/core/config.h"
#include "seer/core/ids.h"
#include "seer/core/internal/mutex.h"
#include "seer/core/internal/strings.h"
#include "seer/core/snapshot.h"
#include "seer/core/topology.h"
#include "seer/queue/depth_probe.h"

SEER_BEGIN_NAMESPACE

class AcceptProbe final : public DepthProbe {
 public:
  struct Backlog {
    std::uint32_t waiting = 0;  // connections that nobody accepted
    std::uint32_t limit = 0;    // how many may wait
  };
  // InvalidArgument unless it is a TCP socket that listens.
  static absl::StatusOr<Backlog> Ask(int listening_socket) {
    // Not glibc's struct of this name, which is older than some of the fields.
    tcp_info info;
    std::memset(&info, 0, sizeof(info));
    socklen_t size = sizeof(info);
    if (getsockopt(listening_socket, IPPROTO_TCP, TCP_INFO, &info, &size) != 0) {
      return absl::InvalidArgumentError(absl::StrCat("listening_socket: ", listening_socket,
                                                     " is no TCP socket (", std::strerror(errno),
                                                     "); give that of a server that listens"));
    }
    constexpr std::uint8_t kListen = 10;  // TCP_LISTEN
    if (info.tcpi_state != kListen) {
      return absl::InvalidArgumentError(
          absl::StrCat("listening_socket: ", listening_socket,
                       " does not listen; add it after the server's socket does"));
    }
    // In this state the two fields mean the backlog and its limit.
    return Backlog{info.tcpi_unacked, info.tcpi_sacked};
  }

  // Several sockets of one instance are added up. AlreadyExists if this one is there.
  [[nodiscard]] absl::Status Add(std::string_view service, std::string_view instance,
                                 int listening_socket) {
    if (absl::Status status = Ask(listening_socket).status(); !status.ok()) return status;
    internal::MutexLock lock(&mutex_);
    for (const Socket& socket : sockets_) {
      if (socket.descriptor == listening_socket) {
        return absl::AlreadyExistsError(
            absl::StrCat("listening_socket: ", listening_socket, " is there; Remove() it first"));
      }
    }
    sockets_.push_back({std::string(service), std::string(instance), listening_socket});
    return absl::OkStatus();
  }
  // A socket that is not there is not an error.
  void Remove(int listening_socket) {
    internal::MutexLock lock(&mutex_);
    sockets_.erase(
        std::remove_if(sockets_.begin(), sockets_.end(),
                       [&](const Socket& socket) { return socket.descriptor == listening_socket; }),
        sockets_.end());
  }

  std::string_view name() const override { return "thrift accept"; }
  ChannelMask channels() const override { return ChannelMask::Of(Channel::kAccept); }

  absl::Status Sample(const Topology& topology, Snapshot* snapshot) override {
    internal::MutexLock lock(&mutex_);
    absl::Status first;
    std::size_t failed = 0;
    own_.clear();
    for (const Socket& socket : sockets_) {
      const absl::StatusOr<Backlog> backlog = Ask(socket.descriptor);
      if (!backlog.ok()) {
        if (first.ok()) first = backlog.status();
        ++failed;
        continue;
      }
      const auto service = topology.FindService(socket.service);
      if (!service.has_value()) continue;  // nothing of it has been seen yet
      const auto instance = topology.FindInstance(*service, socket.instance);
      if (!instance.has_value()) continue;
      ChannelSample sample;
      if (const auto there = snapshot->instances.Get(*instance, Channel::kAccept)) {
        // A covered cell stands, unless it is of another socket of the same instance.
        if (std::find(own_.begin(), own_.end(), *instance) == own_.end()) continue;
        sample = *there;
      }
      sample.depth += backlog->waiting;
      snapshot->instances.Set(*instance, Channel::kAccept, sample);
      own_.push_back(*instance);
    }
    snapshot->health.probe_errors += failed < sockets_.size() ? failed : 0;
    return failed < sockets_.size() ? absl::OkStatus() : first;
  }

 private:
  struct Socket {
    std::string service;
    std::string instance;
    int descriptor;
  };
  internal::Mutex mutex_;
  std::vector<Socket> sockets_ ABSL_GUARDED_BY(mutex_);
  std::vector<InstanceId> own_ ABSL_GUARDED_BY(mutex_);  // filled by this Sample()
};

SEER_END_NAMESPACE
