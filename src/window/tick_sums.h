// One tick of the cluster while it is put together. Private to the room.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "seer/core/channel.h"
#include "seer/core/config.h"
#include "seer/core/internal/state_io.h"
#include "seer/core/snapshot.h"
#include "seer/core/topology.h"
#include "seer/window/cluster_tick.h"

SEER_BEGIN_NAMESPACE
namespace internal {

// What a node told last: what is missing of the cluster when it is silent.
struct NodeReport {
  struct ServiceChannels {
    std::uint32_t service;
    std::uint8_t channels;
  };
  std::vector<ServiceChannels> services;
  std::vector<std::uint32_t> edges;
};

class TickSums {
 public:
  // Nothing was seen. Keeps the memory.
  void Clear();
  // Adds a node's snapshot; `map` leads from its ids to those of the topology. Notes in `report`
  // what it told. Returns the rows that the map does not know.
  std::uint64_t Add(const Snapshot& snapshot, const TopologyMap& map, const Topology& topology,
                    NodeReport* report);
  // A node is silent that told this last time.
  void Miss(const NodeReport& report);
  // The tick; `tick` and `period` of it are left alone.
  void Write(const Topology& topology, ClusterTick* out) const;
  // What has been added; loading, into empty sums.
  void State(StateIo& io, const Topology& topology);

 private:
  // Half a cache line: at ten thousand services a tick is as fast as its memory.
  struct Cell {
    double depth = 0;
    std::uint64_t arrivals = 0, departures = 0;
    std::uint32_t told = 0, counted = 0;  // instances
  };
  struct TimedCell {
    double mean = 0, waited_us = 0;
    std::uint32_t timed = 0;  // instances
  };
  // Of one channel, by ServiceId. What nobody used since Clear() is all zeros and is not looked at.
  struct Column {
    std::vector<Cell> cells;
    std::vector<TimedCell> timed;
    std::vector<std::uint8_t> missed;
    bool has_cells = false, has_timed = false, has_missed = false;
  };
  struct EdgeCell {
    double depth = 0;
    std::uint32_t told = 0, missed = 0;  // 0 or 1
    std::uint64_t made = 0;
  };
  // An instance of the snapshot that is added, of which something was seen.
  struct Found {
    std::uint32_t local, service;
    ChannelMask coverage;
  };
  // The largest depth of a shared queue that this node's instances of a service told.
  struct Shared {
    std::uint32_t service;
    Channel channel;
    double depth;
  };

  void Fit(const Topology& topology);
  void AddShared(Cell* cell, std::uint32_t service, Channel channel, double depth);
  void AddChannel(const Snapshot& snapshot, Channel channel);
  static void WriteChannel(const Column& column, std::size_t services, ServiceTable::Columns* out);

  std::array<Column, kChannels> columns_;
  std::vector<EdgeCell> edges_;     // by EdgeId
  std::vector<ClassTick> classes_;  // by ClassId
  std::vector<Shared> shared_;      // of the snapshot that is added
  std::vector<std::uint8_t> told_;  // by ServiceId: channels, of the snapshot that is added
  std::vector<Found> found_;        // of the snapshot that is added
  // By InstanceId of the topology, which is read anew when it has another version.
  std::vector<std::uint32_t> service_of_;
  std::uint64_t version_ = 0;
};

}  // namespace internal
SEER_END_NAMESPACE
