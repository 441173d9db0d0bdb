// Flow: schedule.h, scenario -> [Fault] -> Simulator
//
// Something that goes wrong for a while, or only looks as if. Faults change parameters, never the
// random numbers: the same run without one is the counterfactual.
//
// Threads: plain values.
#pragma once

#include <cstdint>
#include <string_view>

#include "benchmarks/cluster/sim/model.h"
#include "seer/core/hw_reading.h"

namespace seer::cluster {

enum class FaultKind : std::uint8_t {
  // The application's own.
  kBlockingCall,      // requests of the service hold their thread for magnitude ms more
  kCyclicSync,        // a synchronous call back (tree) with probability magnitude: the cyclic trio
  kLockConvoy,        // one request at a time, each magnitude times slower
  kPoolDeadlock,      // few threads (magnitude), each waiting for a call back into the same service
  kRetryStorm,        // calls of the service time out after magnitude ms and are repeated twice
  kDropRule,          // messages to the service are lost with probability magnitude
  kUnderProvisioned,  // the service's instances have magnitude of their cores
  // Contention on the servers of the service, from outside: magnitude is pressure (Simulator).
  kCpuContention,
  kCacheContention,
  kMemoryBandwidth,
  kMemoryCapacity,
  kDiskContention,
  kMemoryPartition,  // as kMemoryBandwidth, but only of the one server `server`
  // The network of the servers of the service.
  kIncast,         // bursts of others keep the port to them full for magnitude of the time
  kBandwidth,      // their links have 1 - magnitude of their rate
  kRouting,        // detours: magnitude ms more each way, and one message in 500 lost
  kSwitchFailure,  // the top-of-rack switch forwards nothing
  // Cold caches: the service forgets magnitude of what it had, and fills up again.
  kCacheFlush,
  // No service's fault.
  kLoadSpike,  // magnitude times as many requests of the application
  // Harmless, or they should be.
  kNoisyNeighbour,  // pressure on all resources of server `server`, mild
  kOffPath,         // a service nobody waits for is magnitude times slower: deep, and no matter
};
inline constexpr std::size_t kFaultKinds = 21;
std::string_view FaultKindName(FaultKind kind);

// The groups of the paper's Fig. 12b.
enum class CauseGroup : std::uint8_t {
  kApplication,
  kCompute,
  kNetwork,
  kCacheMemory,
  kDisk,
  kLoad,
  kHarmless
};
inline constexpr std::size_t kCauseGroups = 7;
CauseGroup GroupOf(FaultKind kind);
std::string_view CauseGroupName(CauseGroup group);
// As Diagnosis says it: "cpu", ..., "application", "load".
std::string_view CauseOf(FaultKind kind);

struct Fault {
  FaultKind kind = FaultKind::kBlockingCall;
  std::int64_t start_ns = 0;  // since the simulation's start
  std::int64_t ramp_ns = 0;   // grows linearly for so long; 0 = a step
  std::int64_t end_ns = 0;
  std::uint32_t service = kNone;  // whose fault it is
  std::uint32_t server = kNone;   // kMemoryPartition, kNoisyNeighbour; else the service's servers
  std::uint32_t application = kNone;  // kLoadSpike
  std::uint32_t tree = kNone;         // node of the call back: kCyclicSync, kPoolDeadlock
  double magnitude = 1;
  bool enabled = true;
  bool mild = false;  // drawn not to breach anything

  // 0 before the start and after the end, rising to 1.
  double IntensityAt(std::int64_t now_ns) const {
    if (!enabled || now_ns < start_ns || now_ns >= end_ns) return 0;
    if (ramp_ns <= 0 || now_ns - start_ns >= ramp_ns) return 1;
    return static_cast<double>(now_ns - start_ns) / static_cast<double>(ramp_ns);
  }
  bool operator==(const Fault& o) const {
    return kind == o.kind && start_ns == o.start_ns && ramp_ns == o.ramp_ns && end_ns == o.end_ns &&
           service == o.service && server == o.server && application == o.application &&
           tree == o.tree && magnitude == o.magnitude && enabled == o.enabled && mild == o.mild;
  }
};

}  // namespace seer::cluster
