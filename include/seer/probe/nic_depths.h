// Flow: kernel -> [NicProbe] -> queue/ (channel nic), hwmon/
//
// What one network card of this namespace holds and loses: bytes that its driver handed to the
// hardware and that are not on the wire yet (byte queue limits), and packets its rings had no room
// for (the driver's own statistics, as `ethtool -S` shows them).
//
//   seer::NicProbe nic("eth0");                            // once
//   const seer::NicDepths depths = nic.Sample();           // every tick
//   if (depths.inflight_bytes.ok()) ...
//
// Drivers name their statistics as they like. Those whose names speak of packets that were dropped
// on reception or on transmission are added up; where a driver has them for each ring, these only.
// Some drivers count a packet under two names: take a rise as a sign, not as a number.
//
// Threads: one at a time.
// Cost:    two preads for each transmit ring, and one ioctl whose cost is the driver's: together
//          4.4 us for a virtio card with one ring on a 2.6 GHz EPYC guest, but cards with thousands
//          of statistics fetch them all, under the kernel's RTNL lock. Allocates when constructed,
//          and again only when the driver changes its statistics. No privilege.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "seer/core/config.h"
#include "seer/core/internal/owned_fd.h"
#include "seer/probe/internal/guarded_bytes.h"
#include "seer/probe/internal/proc_file.h"
#include "seer/probe/reading.h"

SEER_BEGIN_NAMESPACE

struct NicDepths {
  // Over all transmit rings; kNotSupported where the driver keeps no byte queue limits.
  Reading inflight_bytes;
  Reading inflight_limit_bytes;
  // Since the driver was loaded.
  Reading receive_dropped;
  Reading transmit_dropped;
};

class NicProbe {
 public:
  static constexpr std::size_t kMaxRings = 256;  // of which the limits are read
  static constexpr std::size_t kMaxStatistics = 65536;

  // `root` stands before /sys; the driver's statistics are always those of this namespace.
  explicit NicProbe(const std::string& device, const std::string& root = "");

  NicDepths Sample();

  // The driver's statistics that are added up, for people who wonder.
  const std::vector<std::string>& receive_names() const { return receive_.names; }
  const std::vector<std::string>& transmit_names() const { return transmit_.names; }

 private:
  struct Ring {
    internal::ProcFile inflight, limit;
  };
  struct Chosen {
    std::vector<std::string> names;
    std::vector<std::size_t> indices;
  };
  void ChooseStatistics();
  void SampleRings(NicDepths* depths) noexcept;
  void SampleStatistics(NicDepths* depths);

  const std::string device_;
  std::vector<Ring> rings_;
  Reason rings_reason_ = Reason::kNotSupported;

  internal::OwnedFd socket_;
  Reason statistics_reason_ = Reason::kNotSupported;
  std::size_t statistics_ = 0;  // how many the driver has
  internal::GuardedBytes buffer_;
  Chosen receive_, transmit_;
};

SEER_END_NAMESPACE
