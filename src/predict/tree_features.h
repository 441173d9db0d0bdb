// What the trees of a TreeModel look at: for each request class some numbers about it and the
// services that it can wait for, and for each service that may be to blame some about that service.
// No number depends on how many services there are, or on what they are called.
//
// Depths are told as spreads above their usual value (robust_baseline.h, over a minute), so that a
// model learnt on one application means something for another. What was not seen is NaN.
//
// Cost: a tick some 20 ns a service (service_columns.h); the first row of a class 2 to 5 ns for
// each service that it can wait for (standouts.h), of classes with the same ones the first only.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "absl/types/span.h"
#include "predict/class_members.h"
#include "predict/class_ways.h"
#include "predict/rival_measures.h"
#include "predict/service_columns.h"
#include "predict/standouts.h"
#include "seer/core/config.h"
#include "seer/core/internal/state_io.h"
#include "seer/core/topology.h"
#include "seer/predict/tree_model.h"
#include "seer/window/cluster_tick.h"

SEER_BEGIN_NAMESPACE
namespace internal {

class TreeFeatures {
 public:
  static constexpr std::size_t kClassColumns = TreeModel::kClassColumns;
  static constexpr std::size_t kServiceColumns = TreeModel::kServiceColumns;
  static constexpr std::size_t kCandidates = Standouts::kCandidates;  // of a class
  static constexpr std::size_t kMaskable = Standouts::kMaskable;      // services at a time
  static std::string_view ClassColumnName(std::size_t i);
  static std::string_view ServiceColumnName(std::size_t i);

  explicit TreeFeatures(const TreeInputs& inputs = {}) : inputs_(inputs) {}
  TreeFeatures(const TreeFeatures&) = delete;
  TreeFeatures& operator=(const TreeFeatures&) = delete;

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
  // Whether a ClassRow() shows that anything is out of the ordinary.
  static bool Stirs(const float* row);
  // Of the last ClassRow(). Services by how conspicuous they are; "load" is not among them.
  absl::Span<const std::uint32_t> candidates() const { return {chosen_.data(), chosen_count_}; }
  // kServiceColumns values of a candidate, or of "load" with kLoad.
  static constexpr std::uint32_t kLoad = 0xffffffffu;
  void ServiceRow(ClassId id, std::uint32_t service, float* row);

  // ClassRow() takes a masked service for one that is not seen. At most kMaskable.
  void Mask(std::uint32_t service) {
    if (masked_.size() < kMaskable) masked_.push_back(service);
  }
  void Unmask() { masked_.clear(); }

  // Whether the class's tail is within 20 % of its target, or over it, in its trailing window.
  bool near(ClassId id) const { return classes_[id.index()].near; }
  bool tails_known() const { return inputs_.latency; }
  absl::Span<const std::uint32_t> members(ClassId id) const { return members_.Of(id); }
  // What was learnt, saved or loaded; loading, UseRows() comes after it (tree_state.cc).
  void State(StateIo& io);
  // How far a depth of a service is above usual, in spreads; NaN: not known.
  float Z(std::uint32_t service, Measure measure) const;

 private:
  using Series = ServiceColumns::Series;
  static constexpr float kNone = ServiceColumns::kNone;

  static constexpr std::size_t kHeldTicks = 8;

  // What candidates are compared by.
  struct Compared {
    std::array<float, kCandidates> values{};  // of each; NaN behind the last
    float most = kNone, second = kNone;       // the largest that are known
    std::uint32_t of_most = kLoad;            // who has it
    float sum = 0;                            // of those above zero

    void Use(absl::Span<const std::uint32_t> candidates, const float* of_services);
    // One more than have more than `mine`.
    float Before(float mine) const {
      unsigned more = 1;
      for (const float value : values) more += value > mine ? 1 : 0;
      return static_cast<float>(more);
    }
    // The largest of the others.
    float MostBut(std::uint32_t service) const { return service == of_most ? second : most; }
  };
  // What stands on a node.
  struct OnNode {
    float nic = kNone;                // the largest, in spreads
    float self = kNone, gap = kNone;  // means
    float most_gap = kNone, second_gap = kNone;
    std::uint32_t of_most_gap = kLoad;
    std::uint64_t tick = 0;  // of which it was computed, counted
  };
  // What stands around a service.
  struct Around {
    float callee_gap = kNone, callee_gap_least = kNone, caller_gap = kNone;  // of these, in spreads
    float mate_gap = kNone;  // the largest of another one on its nodes
    float node_nic = kNone;
    float node_self = kNone, node_gap = kNone;  // the mean over those on a node
    std::uint64_t tick = 0;                     // of which it was computed, counted
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
    float usual_count = 0, usual_p99 = 0, ticks = 0;
    float usual_slow = 0;  // an expectile of the ticks' p99: what a slow request usually takes
    float usual_fill = 0, usual_near = 0, usual_half = 0;  // of what is allowed
    float fill = kNone;                     // over the target, of what is allowed: 1 is a breach
    std::array<float, 3> fills{};           // the three ticks before, the newest first
    float since_breach = 1000;              // ticks
    float age = kNone, age_before = kNone;  // of the oldest open one, in usual_slow; a tick before
    bool near = false, known = false;
    float near_now = kNone, half_now = kNone, p90 = kNone;
    float leaves = kNone;  // over the target, of what is allowed, in the ticks that leave next
    ClassWays::Weighed weighed;
    std::array<float, 4> delays = {kNone, kNone, kNone, kNone};  // the ticks before, newest first
    std::uint32_t group = 0;                                     // of an application
    ServiceId entry;
    float target_s = 1;
    // Of the last ticks, the newest at held_at: requests that should have ended, less those that
    // did.
    std::array<float, kHeldTicks> held{};
    std::uint32_t held_at = 0;
    // How it was of late: means over about two and eight seconds, in which what is not known is 0.
    float fill_slow = 0, fill_slower = 0, delay_slow = 0, delay_slower = 0;
    float peak = 0;     // the largest fill, which fades
    float trouble = 0;  // ticks that it has been in trouble without a break
  };

  void ReadClasses(const ClusterTick& tick, const Topology& topology);
  bool IsMasked(std::uint32_t service) const {
    for (const std::uint32_t masked : masked_) {
      if (masked == service) return true;
    }
    return false;
  }
  float Excess(std::uint32_t service) const;
  float Weight(double seconds) const;  // of one tick in a mean over as many seconds
  void Hold(ClassState* state, float ended, bool known);
  void UseWays(const Topology& topology);
  const Around& AroundOf(std::uint32_t service);
  const OnNode& Node(std::uint32_t node);
  void Compare(ClassId id);
  void PutWays(ClassId id, std::uint32_t service, float* row);

  TreeInputs inputs_;
  ServiceColumns services_;
  ClassMembers members_;
  std::vector<ClassState> classes_;
  ClassWays ways_;
  std::vector<Around> around_;   // of each service
  std::vector<OnNode> on_node_;  // of each node
  std::vector<float> counts_;    // of each class, and whether it is calm
  std::vector<std::uint8_t> calm_;

  StandoutLists lists_;
  // Of the last ClassRow().
  std::array<std::uint32_t, kCandidates> chosen_{};
  std::size_t chosen_count_ = 0;
  // Of them, once the first ServiceRow() was asked for.
  bool compared_ = false;
  Compared by_self_, by_way_, by_own_;
  float excess_sum_ = 0;
  ClassWays::Delays delays_;
  std::vector<std::uint32_t> masked_;
};

}  // namespace internal
SEER_END_NAMESPACE
