// What TreeFeatures knows of every service: depths, rates and what is usual of them, by column, so
// that a tick is a few loops over floats, a few services at a time; and for classes that wait for a
// part of them, once more service by service in one cache line each. Digests and neighbours are
// made only when they are asked for.
//
// Bit for bit what tests/predict/plain_tree_features.cc computes one by one.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#include "absl/types/span.h"
#include "predict/links.h"
#include "predict/rival_measures.h"
#include "seer/core/config.h"
#include "seer/core/internal/state_io.h"
#include "seer/core/topology.h"
#include "seer/predict/tree_model.h"
#include "seer/window/cluster_tick.h"

SEER_BEGIN_NAMESPACE
namespace internal {

class ServiceColumns {
 public:
  static constexpr float kNone = std::numeric_limits<float>::quiet_NaN();
  static constexpr float kWarm = 30;       // values until one is usual
  static constexpr std::size_t kBack = 9;  // ticks of history: now and 8 before

  enum Series : std::size_t {
    kSelf,
    kOutstanding,
    kQueued,
    kRunning,
    kSocket,
    kNic,
    kAccept,
    kSend,
    kGap,   // outstanding at its callers, neither queued nor running here: on its way
    kRate,  // requests that come, per second
    kStay,  // self depth over rate: us
    kSeries
  };

  // Of a service, in spreads above usual; NaN: not known. The series, and:
  enum Lane : std::size_t {
    kRise1 = kSeries,  // of self, in 1, 2, 4 ticks
    kRise2,
    kRise4,
    kOutstandingRise,  // in 2 ticks
    kExcess,           // of self above usual, over the rate: seconds
    kLanes
  };
  static_assert(kLanes == 16, "a cache line");
  struct alignas(64) Digest {
    float lane[kLanes];
  };

  // Of the neighbours of a service, the largest.
  struct Neighbours {
    float callee_self = kNone, callee_outstanding = kNone;
    float caller_self = kNone;
    float mate_self = kNone;  // others on the same nodes
    std::uint64_t tick = 0;   // of which it was computed, counted
  };

  void UseRows(const Topology& topology);
  // `gap`: ticks that were left out before this one.
  void Observe(const ClusterTick& tick, const Topology& topology, const TreeInputs& inputs,
               double gap);

  std::uint64_t observed() const { return observed_; }
  double seconds() const { return seconds_; }
  float rate() const { return rate_; }  // of the usual values

  const Digest& digest(std::size_t service) {
    if (digested_ != observed_) Digests();
    return digests_[service];
  }
  // How conspicuous a service is in whatever way; minus infinity: nothing is known of it.
  float score(std::size_t service) const { return scores_[service]; }
  // Lane kExcess of the digest, by itself.
  float excess(std::size_t service) const { return excess_[service]; }
  float z(Series series, std::size_t service) const { return columns_[series].z[service]; }
  // Whole columns, of a multiple of kStride values: NaN behind the last service.
  static constexpr std::size_t kStride = 32;
  const float* zs(Series series) const { return columns_[series].z.data(); }
  const float* values(Series series) const { return columns_[series].value.data(); }
  const float* means(Series series) const { return columns_[series].mean.data(); }
  const float* scores() const { return scores_.data(); }
  const float* excesses() const { return excess_.data(); }
  const float* self_before(std::size_t back) const { return Before(self_ring_, back); }
  const float* outstanding_before(std::size_t back) const {
    return Before(outstanding_ring_, back);
  }
  float value(Series series, std::size_t service) const { return columns_[series].value[service]; }
  float mean(Series series, std::size_t service) const { return columns_[series].mean[service]; }
  // Whether any of the services has a value now.
  bool live(Series series) const { return columns_[series].live; }
  // Requests a second, lately; negative: not known.
  float recent_rate(std::size_t service) const { return recent_rate_[service]; }
  const float* recent_rates() const { return recent_rate_.data(); }  // as many as services
  float SelfRise(std::size_t service, std::size_t back) const {
    return self_ring_[at_][service] - self_ring_[(at_ + kBack - back) % kBack][service];
  }
  float OutstandingRise(std::size_t service, std::size_t back) const {
    return outstanding_ring_[at_][service] -
           outstanding_ring_[(at_ + kBack - back) % kBack][service];
  }
  const Neighbours& neighbours(std::uint32_t service);
  // Of a service, whom it calls and who calls it, synchronously, and its nodes; of a node, who is
  // on it.
  absl::Span<const std::uint32_t> callees(std::uint32_t s) const { return callees_.Of(s); }
  absl::Span<const std::uint32_t> callers(std::uint32_t s) const { return callers_.Of(s); }
  absl::Span<const std::uint32_t> nodes(std::uint32_t s) const { return nodes_.Of(s); }
  absl::Span<const std::uint32_t> mates(std::uint32_t node) const { return mates_.Of(node); }

  // What was learnt, saved or loaded; loading, UseRows() comes after it.
  void State(StateIo& io);

 private:
  struct Column {
    std::vector<float> value, mean, deviation, count, z;
    bool live = true;    // false: all of value and z are NaN
    bool stale = false;  // since this tick: the digests do not say so yet
    void Resize(std::size_t services);
  };
  struct NodeTwo {
    float most = kNone, second = kNone;  // the two largest self z
    std::uint64_t tick = 0;
  };

  using Ring = std::array<std::vector<float>, kBack>;
  const float* Before(const Ring& ring, std::size_t back) const {
    return ring[(at_ + kBack - back) % kBack].data();
  }

  void FindLive();
  // For some of the services each.
  void ReadDepths(std::size_t first, std::size_t end);
  void ReadRates(std::size_t first, std::size_t end);
  void Learn(std::size_t first, std::size_t end);
  void Compare(std::size_t first, std::size_t end);
  void Digests();
  const NodeTwo& OfNode(std::uint32_t node);

  float rate_ = 1.0f / 600;
  double seconds_ = 0.1;
  std::uint64_t observed_ = 0;

  MeasureTable measures_;
  std::array<Column, kSeries> columns_;
  std::vector<float> recent_rate_;
  Ring self_ring_, outstanding_ring_;  // of z
  std::size_t at_ = 0;
  std::vector<Digest> digests_;
  std::uint64_t digested_ = 0;  // the tick of which they are, counted
  std::vector<float> scores_, excess_;

  Links callees_, callers_;  // synchronous
  Links nodes_, mates_;      // of a service; of a node
  std::vector<Neighbours> neighbours_;
  std::vector<NodeTwo> node_two_;
};

}  // namespace internal
SEER_END_NAMESPACE
