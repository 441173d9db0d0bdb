// TreeFeatures as it was before it was made fast, kept to be compared with bit by bit: every number
// where it is needed, service by service, over again for every class.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <limits>
#include <optional>
#include <utility>
#include <vector>

#include "absl/types/span.h"
#include "predict/class_members.h"
#include "predict/rival_measures.h"
#include "seer/core/topology.h"
#include "seer/predict/tree_model.h"
#include "seer/window/cluster_tick.h"
#include "tests/predict/plain_class_ways.h"

namespace seer::testing {

using internal::ClassMembers;
using internal::kMeasures;
using internal::Measure;
using internal::MeasureBit;

class PlainMeasures {
 public:
  // `topology` has every row of the tick. What the masks leave out is missing.
  void Read(const ClusterTick& tick, const Topology& topology, ChannelMask channels, bool edges);

  std::size_t size() const { return seen_.size(); }
  bool Seen(std::size_t service, Measure measure) const {
    return (seen_[service] & MeasureBit(measure)) != 0;
  }
  double Value(std::size_t service, Measure measure) const {
    return values_[service * kMeasures + static_cast<std::size_t>(measure)];
  }

  // Requests that came to the service during the tick, and that it finished: from the channels
  // where they count (queued, then running), else calls made on the edges into it. Negative: not
  // known.
  double Arrivals(std::size_t service) const { return arrivals_[service]; }
  double Departures(std::size_t service) const { return departures_[service]; }
  // Mean wait in `queued` of those that left it during the tick; negative: not known.
  double QueueWaitMs(std::size_t service) const { return wait_ms_[service]; }

 private:
  std::optional<float> Standing(std::size_t service) const;
  void InferSelf(const ClusterTick& tick, const Topology& topology);

  std::vector<double> values_;  // [service][measure]
  std::vector<std::uint16_t> seen_;
  std::vector<double> arrivals_, departures_, wait_ms_;
  std::vector<std::uint8_t> unknown_made_;
  SelfDepthTable self_depths_;
};

class PlainTreeFeatures {
 public:
  static constexpr std::size_t kClassColumns = TreeModel::kClassColumns;
  static constexpr std::size_t kServiceColumns = TreeModel::kServiceColumns;
  static constexpr std::size_t kCandidates = 24;  // of a class: the most conspicuous services

  explicit PlainTreeFeatures(const TreeInputs& inputs = {}) : inputs_(inputs) {}

  // As if newly made.
  void Reset();
  // Before the first tick, and when rows changed.
  void UseRows(const Topology& topology);
  // `gap`: ticks that were left out before this one.
  void Observe(const ClusterTick& tick, const Topology& topology, double gap);

  // False while too little is known of the class: fill no row then.
  bool known(ClassId id) const { return classes_[id.index()].known; }
  // kClassColumns values; finds the class's candidates too.
  void ClassRow(ClassId id, float* row);
  // Of the last ClassRow(). Services by how conspicuous they are; "load" is not among them.
  absl::Span<const std::uint32_t> candidates() const { return {top_.data(), top_count_}; }
  // kServiceColumns values of a candidate, or of "load" with kLoad.
  static constexpr std::uint32_t kLoad = 0xffffffffu;
  void ServiceRow(ClassId id, std::uint32_t service, float* row) const;

  // ClassRow() takes a masked service for one that is not seen.
  void Mask(std::uint32_t service) { masked_.push_back(service); }
  void Unmask() { masked_.clear(); }

  // Whether the class's tail is within 20 % of its target, or over it, in its trailing window.
  bool near(ClassId id) const { return classes_[id.index()].near; }
  bool tails_known() const { return inputs_.latency; }
  absl::Span<const std::uint32_t> members(ClassId id) const { return members_.Of(id); }
  // How far a depth of a service is above usual, in spreads; NaN: not known.
  float Z(std::uint32_t service, Measure measure) const;

 private:
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
  static constexpr std::size_t kBack = 9;  // ticks of history: now and 8 before
  static constexpr float kNone = std::numeric_limits<float>::quiet_NaN();

  // One number of every service, by column, so that a tick is a few loops.
  struct Column {
    std::vector<float> value, mean, deviation, count, z;
    void Resize(std::size_t services);
    void Observe(float rate);
  };
  struct ClassRing {
    float over = 0, near = 0, half = 0, total = 0;
  };
  struct ClassState {
    std::vector<ClassRing> ring;  // the trailing window
    std::size_t at = 0;
    double over = 0, near_sum = 0, half = 0, total = 0;
    std::uint32_t near_bucket = 0, half_bucket = 0;
    float allowed = 0;
    float over_now = kNone, oldest = kNone, p99 = kNone, p99_before = kNone;
    float p50 = kNone, count = kNone;
    float usual_count = 0, usual_p99 = 0, usual_slow = 0, ticks = 0;
    float usual_fill = 0, usual_near = 0, usual_half = 0;
    float age = kNone, age_before = kNone;
    float fill = kNone;            // over the target, of what is allowed: 1 is a breach
    std::array<float, 3> fills{};  // the three ticks before, the newest first
    float since_breach = 1000;     // ticks
    bool near = false, known = false;
    float near_now = kNone, half_now = kNone, p90 = kNone, leaves = kNone;
    PlainClassWays::Weighed weighed;
    std::array<float, 4> delays = {kNone, kNone, kNone, kNone};  // the ticks before
    std::uint32_t group = 0;                                     // of an application
    ServiceId entry;
    float target_s = 1;
    std::deque<float> held;  // of the last ticks, the newest first
    float fill_slow = 0, fill_slower = 0, delay_slow = 0, delay_slower = 0, peak = 0, trouble = 0;
  };
  struct EdgePair {
    std::uint32_t caller, callee;
  };

  void ReadClasses(const ClusterTick& tick, const Topology& topology);
  void ReadServices(const ClusterTick& tick, const Topology& topology);
  void ReadWays();
  void Follow(float value, double seconds, float* mean) const;
  float WayDelay(ClassId id, std::uint32_t service) const {
    return ways_.Visits(id, service) * held_[service].slow / classes_[id.index()].target_s;
  }
  void PutWays(ClassId id, std::uint32_t service, float* row) const;
  float Rise(const std::array<std::vector<float>, kBack>& ring, std::size_t service,
             std::size_t back) const {
    const float now = ring[at_][service];
    return now - ring[(at_ + kBack - back) % kBack][service];
  }

  TreeInputs inputs_;
  float rate_ = 1.0f / 600;  // of the usual values
  double seconds_ = 0.1;
  std::uint64_t observed_ = 0;

  ClassMembers members_;
  PlainMeasures measures_;
  std::array<Column, kSeries> columns_;
  std::vector<float> recent_rate_;
  std::array<std::vector<float>, kBack> self_ring_, outstanding_ring_;  // of z
  std::size_t at_ = 0;
  std::vector<EdgePair> edges_;                                  // live, synchronous
  std::vector<std::pair<std::uint32_t, std::uint32_t>> placed_;  // service, node
  std::vector<float> callee_self_, callee_outstanding_, caller_self_, mate_self_;
  std::vector<std::pair<float, float>> node_two_;  // the two largest self z of a node
  std::vector<ClassState> classes_;
  PlainClassWays ways_;
  std::vector<PlainHeld> held_;
  std::array<std::uint32_t, kCandidates> top_{};
  std::array<float, kCandidates> top_score_{};
  std::size_t top_count_ = 0;
  std::vector<std::uint32_t> masked_;
};

}  // namespace seer::testing
