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
  // The tick; `tick` and `period` of it are left alone. `out` is a new one, or one that only this
  // function has written: what it never writes is not cleared again.
  void Write(const Topology& topology, ClusterTick* out) const;
  // What has been added; loading, into empty sums.
  void State(StateIo& io, const Topology& topology);

 private:
  // What is known of a cell, or an edge. All zeros: nothing since Clear().
  enum Mark : std::uint8_t {
    kTold = 1,       // by an instance
    kUncounted = 2,  // by one that does not count what comes and leaves
    kUntimed = 4,    // by one that does not keep the times
    kMissed = 8,     // an instance is missing
  };
  struct TimedCell {
    double mean = 0, waited_us = 0;
  };
  // Of one channel, by ServiceId: 17 bytes a service, as at ten thousand of them a tick is as fast
  // as its memory. What nobody used since Clear() is all zeros and is not looked at.
  struct Column {
    std::vector<double> depths;
    std::vector<std::uint32_t> arrivals, departures;  // the largest value: that or more
    std::vector<std::uint8_t> marks;
    std::vector<TimedCell> timed;
    bool used = false, has_timed = false;
    bool has_holes = false;  // a cell that is missed or not counted
  };
  struct Edges {
    std::vector<double> depths;
    std::vector<std::uint32_t> made;  // the largest value: that or more
    std::vector<std::uint8_t> marks;
    bool has_missed = false;
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
  double OfShared(std::uint32_t service, Channel channel, double depth);
  void AddChannel(const ChannelTable& table, Channel channel);
  // Where all that was found told depths and flows of the channel, and nothing else.
  void AddPlainChannel(const ChannelTable& table, Channel channel);
  std::uint64_t AddEdges(const EdgeTable& table, const TopologyMap& map, NodeReport* report);
  std::uint64_t AddClasses(const Snapshot& snapshot, const TopologyMap& map);
  static void WriteChannel(const Column& column, std::size_t services, ServiceTable::Columns* out);
  static void WriteWhole(const Column& column, std::size_t services, ServiceTable::Columns* out);
  void WriteEdges(EdgeTickTable* out) const;
  static void CellState(StateIo& io, std::size_t i, Column* column);

  std::array<Column, kChannels> columns_;
  Edges edges_;                     // by EdgeId
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
