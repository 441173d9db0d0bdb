// Flow: kernel, proxy, driver -> [DepthProbe] -> Collector -> Snapshot
//
// Depths that no service counts itself: whoever can see them (the kernel, a sidecar, a network
// card's driver) brings them into the node's snapshot. KernelProbe is the one that seer has.
//
//   class ProxyProbe final : public seer::DepthProbe {
//    public:
//     std::string_view name() const override { return "proxy"; }
//     seer::ChannelMask channels() const override {
//       return seer::ChannelMask::Of(seer::Channel::kAccept);
//     }
//     absl::Status Sample(const seer::Topology& topology, seer::Snapshot* snapshot) override {
//       seer::ChannelSample accept;
//       accept.depth = AskTheProxy();
//       snapshot->instances.Set(proxy_, seer::Channel::kAccept, accept);
//       return absl::OkStatus();
//     }
//   };
//   collector->AddProbe(std::make_unique<ProxyProbe>());
//
// Contract. Sample() fills cells of its own channels. A cell that is covered already holds what the
// service counts itself, or what an earlier probe saw: leave it. What the probe cannot see it
// leaves missing, and may say why with set_missing(). It may take a tenth of a tick: a tick that it
// makes late is late for all of the node.
//   kUnavailable, others   not this time; it is asked less often while it goes on failing
//   kPermissionDenied      the same; the channels are missing for want of a privilege
//   kUnimplemented         never on this machine: it is not asked again
// A probe of several parts, one of which may fail, is ok as long as one works: it counts the errors
// of its parts in snapshot->health.probe_errors.
//
// Threads: called only by Collector::Tick(), on its thread, never under a lock of seer.
// Cost:    the probe's own.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "seer/core/channel.h"
#include "seer/core/config.h"
#include "seer/core/snapshot.h"
#include "seer/core/topology.h"
#include "seer/queue/internal/patience.h"

SEER_BEGIN_NAMESPACE

class DepthProbe {
 public:
  virtual ~DepthProbe() = default;
  // For messages; lives as long as the probe.
  virtual std::string_view name() const = 0;
  // Those it may fill.
  virtual ChannelMask channels() const = 0;
  // The tables of `snapshot` have a row for each row of `topology`.
  [[nodiscard]] virtual absl::Status Sample(const Topology& topology, Snapshot* snapshot) = 0;
};

// Sees nothing.
class NullDepthProbe final : public DepthProbe {
 public:
  std::string_view name() const override { return "null"; }
  ChannelMask channels() const override { return ChannelMask(); }
  absl::Status Sample(const Topology&, Snapshot*) override { return absl::OkStatus(); }
};

// Tells what it was told, for tests of hosts: one depth for every live instance, or a status.
class FakeDepthProbe final : public DepthProbe {
 public:
  explicit FakeDepthProbe(Channel channel) : channel_(channel) {}

  std::uint32_t depth = 0;
  absl::Status status;
  std::uint64_t asked = 0;  // how often

  std::string_view name() const override { return "fake"; }
  ChannelMask channels() const override { return ChannelMask::Of(channel_); }
  absl::Status Sample(const Topology& topology, Snapshot* snapshot) override;

 private:
  const Channel channel_;
};

// Keeps the troubles of another probe away from the collector. What it throws becomes a status;
// errors are counted; while it fails its channels are missing with the reason, and it is asked
// after 1, 2, 4, ... and at most kMaxPause ticks. Collector::AddProbe() puts one around every
// probe.
class GuardedDepthProbe final : public DepthProbe {
 public:
  static constexpr std::uint32_t kMaxPause = 64;

  explicit GuardedDepthProbe(std::unique_ptr<DepthProbe> probe);

  std::string_view name() const override { return name_; }
  ChannelMask channels() const override { return channels_; }
  // The probe's error; ok where it was not asked.
  absl::Status Sample(const Topology& topology, Snapshot* snapshot) override;

  std::uint64_t errors() const { return errors_; }
  // Of the last time that it was asked.
  const absl::Status& last_status() const { return patience_.status(); }
  DepthProbe& probe() { return *probe_; }

 private:
  const std::unique_ptr<DepthProbe> probe_;
  const std::string name_;  // copies: the probe's own functions may throw later
  const ChannelMask channels_;
  internal::Patience patience_{kMaxPause};
  std::uint64_t errors_ = 0;
};

// The reason for which a probe's channels are missing after this status.
Missing WhyMissing(const absl::Status& status);

SEER_END_NAMESPACE
