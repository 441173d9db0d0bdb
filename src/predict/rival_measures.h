// What rivals look at, service by service: the depths of one tick as one table, with what was not
// seen marked, and the rates of requests.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "predict/links.h"
#include "seer/core/channel.h"
#include "seer/core/config.h"
#include "seer/core/topology.h"
#include "seer/window/cluster_tick.h"

SEER_BEGIN_NAMESPACE
namespace internal {

// The channels of an instance, and what the edges tell of a service.
enum class Measure : std::uint8_t {
  kNic,
  kAccept,
  kSocket,
  kQueued,
  kRunning,
  kBlocked,
  kSend,
  kOutstanding,
  kSelf,
};
inline constexpr std::size_t kMeasures = 9;
static_assert(static_cast<std::size_t>(Measure::kOutstanding) == kChannels);

constexpr std::uint16_t MeasureBit(Measure measure) {
  return static_cast<std::uint16_t>(1u << static_cast<unsigned>(measure));
}

// The depths at which a waiting request shows: not `blocked`, which is a part of running, nor
// `send`, where the other side is slow.
inline constexpr Measure kDepthMeasures[] = {Measure::kNic,     Measure::kAccept,
                                             Measure::kSocket,  Measure::kQueued,
                                             Measure::kRunning, Measure::kOutstanding};
// From the service itself outwards: what stands there and not at those it calls. The first that was
// seen counts.
inline constexpr Measure kSelfMeasures[] = {Measure::kSelf, Measure::kQueued, Measure::kSocket,
                                            Measure::kAccept, Measure::kNic};

class MeasureTable {
 public:
  // `topology` has every row of the tick. What the masks leave out is missing.
  void Read(const ClusterTick& tick, const Topology& topology, ChannelMask channels, bool edges);
  // The same, of which only depths and arrivals are asked for. Follow() has seen the topology.
  void ReadArrivals(const ClusterTick& tick, const Topology& topology, ChannelMask channels,
                    bool edges);
  // Which edges lead into each service: once for each version of the topology.
  void Follow(const Topology& topology);
  // Self depths that the calls do not tell, as a probe is missing, inferred from the queues of the
  // other services: to within the requests that are on their way. ReadArrivals() does it.
  void InferSelf(const ClusterTick& tick);
  // As if the service had no probe: of its requests, those that wait for whom it calls; NaN: that
  // cannot be told.
  float BlockedByCallees(const ClusterTick& tick, std::size_t service) const;
  bool Calls(std::size_t service) const {
    return !out_of_.Of(static_cast<std::uint32_t>(service)).empty();
  }

  std::size_t size() const { return arrivals_.size(); }
  bool Seen(std::size_t service, Measure measure) const {
    const float value = At(measure).values[service];
    return value == value;
  }
  double Value(std::size_t service, Measure measure) const {
    const float value = At(measure).values[service];
    return value == value ? static_cast<double>(value) : 0.0;
  }
  // By service; NaN: not seen. AnySeen: false only where all of them are.
  absl::Span<const float> Column(Measure measure) const { return At(measure).values; }
  bool AnySeen(Measure measure) const { return At(measure).any; }

  // Requests that came to the service during the tick, and that it finished: from the channels
  // where they count (queued, then running), else calls made on the edges into it. Negative: not
  // known.
  double Arrivals(std::size_t service) const { return arrivals_[service]; }
  double Departures(std::size_t service) const { return departures_[service]; }
  absl::Span<const double> arrivals() const { return arrivals_; }
  // Mean wait in `queued` of those that left it during the tick; negative: not known.
  double QueueWaitMs(std::size_t service) const { return wait_ms_[service]; }

 private:
  struct OfMeasure {
    std::vector<float> values;  // by service
    bool any = false;
  };
  const OfMeasure& At(Measure measure) const { return columns_[static_cast<std::size_t>(measure)]; }
  void Forget(std::size_t services, OfMeasure* column);
  void ReadChannels(const ClusterTick& tick, const Topology& topology, ChannelMask channels);
  // False where nothing of it was seen.
  static bool ReadChannel(const ServiceTable& table, Channel channel, std::size_t services,
                          OfMeasure* column);
  bool ReadsEdges(std::size_t services, bool edges);
  void ReadSelf(const ClusterTick& tick, std::size_t services);
  void ReadSelfOf(const ClusterTick& tick, std::size_t service);
  float StandingIn(std::size_t service) const;
  void ReadFlows(const ServiceTable& table, std::size_t services, ChannelMask channels);
  void ReadCalls(const ClusterTick& tick, const Topology& topology);

  std::array<OfMeasure, kMeasures> columns_;
  std::vector<double> arrivals_, departures_, wait_ms_;
  std::vector<std::uint8_t> unknown_made_;
  SelfDepthTable self_depths_;
  // Edges that are not removed: into a service; out of it and waited for. The only one into it,
  // or kNoEdge.
  static constexpr std::uint32_t kNoEdge = 0xffffffffu;
  Links into_, out_of_;
  std::vector<std::uint32_t> only_into_;
  std::vector<std::uint32_t> callees_;  // of each edge
};

}  // namespace internal
SEER_END_NAMESPACE
