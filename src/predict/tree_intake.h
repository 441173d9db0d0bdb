// Ticks as they come, as the rows that trees look at, and labelled once it is known what came of
// them. Private to the retrainer (include/seer/predict/retrainer.h).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <limits>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "predict/class_members.h"
#include "predict/event_log.h"
#include "predict/tree_features.h"
#include "seer/core/config.h"
#include "seer/core/topology.h"
#include "seer/predict/tree_model.h"
#include "seer/window/cluster_tick.h"

SEER_BEGIN_NAMESPACE
namespace internal {

// One request class in one tick.
struct TreeLook {
  static constexpr std::int64_t kNever = std::numeric_limits<std::int64_t>::max();

  std::int64_t end_ns = 0;
  std::uint64_t version = 0;        // of the application
  std::int64_t ahead_ns = kNever;   // until a violation of the class starts
  std::uint32_t request_class = 0;  // as the topology numbers it
  float weight = 1;                 // how sure it is that one does
  float blame_weight = 1;           // and who initiates it
  bool in_violation = false;
  bool near = false;  // the tail is near its target
  bool stirs = false;
  bool known = true;         // false: somebody acted, nobody knows what would have come
  std::int32_t blamed = -1;  // of the candidates, the last of which is "load"
  std::array<float, TreeFeatures::kClassColumns> row{};
  std::vector<float> candidates;  // each kServiceColumns; none where `blamed` is not known

  std::size_t bytes() const { return sizeof(*this) + candidates.capacity() * sizeof(float); }
  std::size_t candidate_count() const { return candidates.size() / TreeFeatures::kServiceColumns; }
};

struct TreeIntakeOptions {
  TickPeriod period;
  TreeInputs inputs;
  std::int64_t reach_ns = 2'000'000'000;  // the longest horizon
  std::int64_t label_delay_ns = 20'000'000'000;
  bool find_violations = true;
  double avoided_weight = 0.3;
  std::size_t most_waiting = std::size_t{64} << 20;  // bytes, not labelled yet; and not taken yet
};

class TreeIntake {
 public:
  explicit TreeIntake(const TreeIntakeOptions& options);
  TreeIntake(const TreeIntake&) = delete;
  TreeIntake& operator=(const TreeIntake&) = delete;

  [[nodiscard]] absl::Status Observe(const ClusterTick& tick, const Topology& topology);
  EventLog& events() { return events_; }

  // What became known, by time. What nobody took in time is dropped, the oldest first.
  std::vector<TreeLook> Take();
  std::uint64_t dropped() const { return dropped_; }
  // The services that requests wait for, sorted; since when they are these.
  const std::vector<std::string>& on_the_way() const { return on_the_way_; }
  std::int64_t on_the_way_since_ns() const { return on_the_way_since_ns_; }
  std::int64_t newest_ns() const { return newest_ns_; }

 private:
  struct Waiting {
    TreeLook look;
    std::vector<std::uint32_t> candidates;  // services, of look.candidates
    std::size_t bytes() const {
      return look.bytes() + candidates.capacity() * sizeof(std::uint32_t);
    }
  };

  void UseTopology(const Topology& topology);
  void LookAt(ClassId id);
  void Label(Waiting* waiting) const;
  void Drop(std::size_t most);

  const TreeIntakeOptions options_;
  Topology topology_;
  bool started_ = false;
  Tick last_ = 0;
  TreeFeatures features_;
  ClassMembers members_;
  std::vector<std::string> on_the_way_;
  std::int64_t on_the_way_since_ns_ = 0, newest_ns_ = 0;
  std::uint64_t version_ = 1;

  EventLog events_;
  std::deque<Waiting> waiting_;
  std::deque<TreeLook> known_;
  std::size_t waiting_bytes_ = 0, known_bytes_ = 0;
  std::uint64_t dropped_ = 0;
};

}  // namespace internal
SEER_END_NAMESPACE
