// Ticks as they come, cut into windows, and labelled once it is known what came of them. Private to
// the retrainer (include/seer/predict/retrainer.h).
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "predict/class_members.h"
#include "predict/event_log.h"
#include "seer/core/config.h"
#include "seer/core/internal/state_io.h"
#include "seer/core/topology.h"
#include "seer/predict/model_inputs.h"
#include "seer/predict/replay_buffer.h"
#include "seer/window/cluster_tick.h"
#include "seer/window/window_builder.h"

SEER_BEGIN_NAMESPACE
namespace internal {

struct IntakeOptions {
  std::int64_t label_delay_ns = 20'000'000'000;
  std::int64_t recent_ns = 60'000'000'000;  // rows that are kept to see what is usual
  std::uint32_t calm_every = 5;             // of windows without a violation ahead, one in so many
  std::size_t most_waiting = 4096;          // windows that nobody took yet
  std::size_t most_waiting_bytes = std::size_t{64} << 20;  // of these
  bool find_violations = true;                             // else they are told by NoteViolation()
  double avoided_weight = 0.3;  // until it is known how often alarms are right
};

// Rows of the last ticks without a violation.
struct RecentRows {
  using Values = std::shared_ptr<const std::vector<std::int16_t>>;  // slots x inputs
  std::vector<Values> rows;
  std::size_t columns = 0;  // slots x inputs that there are by now
  std::size_t fewest = 0;   // values, to tell a scale from
  // Middle and spread by slot and input; spread 0: too few.
  std::vector<Normalizer::Scale> Scales() const;
};

class WindowIntake {
 public:
  WindowIntake(const ModelInputs& inputs, std::vector<std::string> services, std::size_t ticks,
               const IntakeOptions& options);
  WindowIntake(const WindowIntake&) = delete;
  WindowIntake& operator=(const WindowIntake&) = delete;

  [[nodiscard]] absl::Status Observe(const ClusterTick& tick, const Topology& topology);
  EventLog& events() { return events_; }

  // Windows that became known. Those that nobody took in time are dropped, the oldest first.
  std::vector<ReplayWindow> Take();
  // By slot. Only grows.
  const std::vector<std::string>& services() const { return services_; }
  std::uint64_t version() const { return version_; }
  std::uint64_t dropped() const { return dropped_; }
  // Shared, so that whoever looks at them holds up nobody who adds more.
  RecentRows Recent() const;
  // The services that requests wait for, sorted; since when they are these. None: no topology yet.
  const std::vector<std::string>& on_the_way() const { return on_the_way_; }
  // Those that are there, sorted.
  const std::vector<std::string>& live() const { return live_; }
  std::int64_t on_the_way_since_ns() const { return on_the_way_since_ns_; }
  std::int64_t newest_ns() const { return newest_ns_; }

  // All of it, so that the ticks that follow become the windows that they would have become; of
  // violations that it finds itself see EventLog::State(). Loading, into one that was just made;
  // then Rebuild() what follows from it. After an error of either it is of no use.
  void State(StateIo& io);
  [[nodiscard]] absl::Status Rebuild();

 private:
  struct Row {
    Tick tick = 0;
    std::size_t slots = 0;
    bool calm = true;
    RecentRows::Values values;  // none: nothing was seen
  };

  absl::Status UseTopology(const Topology& topology);
  void Forget();
  void PushRow(const ClusterTick& tick);
  void LabelRows();
  void LabelRow(std::size_t i, std::int64_t known_until_ns);

  const ModelInputs inputs_;
  const bool changes_;  // whether an input is one
  const std::size_t ticks_;
  const IntakeOptions options_;
  std::vector<std::string> services_;

  Topology topology_;
  bool started_ = false;
  std::optional<WindowBuilder> builder_;       // of one tick, compressed and not normalised
  std::vector<std::size_t> slot_of_row_;       // of the builder's services
  std::vector<std::int32_t> slot_of_service_;  // by ServiceId
  std::vector<ClassId> classes_;               // of the model's, in the topology
  ClassMembers members_;
  std::vector<std::string> on_the_way_, live_;
  std::int64_t on_the_way_since_ns_ = 0, newest_ns_ = 0;
  std::uint64_t version_ = 1;

  std::deque<Row> rows_;
  std::size_t labelled_ = 0;  // rows from the front that are
  std::uint64_t calm_seen_ = 0;
  ClusterTick last_tick_;  // where inputs are changes

  EventLog events_;

  std::deque<ReplayWindow> known_;
  std::size_t known_bytes_ = 0;
  std::uint64_t dropped_ = 0;
};

}  // namespace internal
SEER_END_NAMESPACE
