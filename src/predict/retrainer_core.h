// What retraining has in common, whatever kind of model it is of: what is told and asked by any
// thread, versions, decisions. Private to the retrainer (include/seer/predict/retrainer.h).
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "predict/event_log.h"
#include "seer/core/config.h"
#include "seer/core/internal/mutex.h"
#include "seer/core/internal/state_io.h"
#include "seer/predict/retrainer.h"

SEER_BEGIN_NAMESPACE
namespace internal {

using Provenance = std::map<std::string, std::string>;

class RetrainerCore : public Retrainer {
 public:
  absl::Status Observe(const ClusterTick& tick, const Topology& topology) final;
  void Add(const SpanInterval& interval) final;
  void NoteViolation(const Violation& violation) final;
  void NoteForecast(const Forecast& forecast) final;
  void NoteAction(const ActionTaken& action) final;
  void NoteMajorChange() final;
  bool LeaveAlone(std::uint64_t recommendation_id) const final;
  absl::StatusOr<bool> Step(std::int64_t now_ns) final;
  std::optional<std::string> TakeModel() final;
  std::string serving() const final;
  std::vector<RetrainDecision> TakeDecisions() final;
  absl::Status SaveState(std::string* bytes) const final;
  absl::Status LoadState(std::string_view bytes) final;
  RetrainerHealth health() const final;

 protected:
  static constexpr std::int64_t kBlock = 30'000'000'000;       // of time: all held back, or nothing
  static constexpr std::int64_t kLookEvery = 10'000'000'000;   // at drift
  static constexpr std::int64_t kProbeEvery = 60'000'000'000;  // during probation

  // `model`: its bytes; its version goes on from what its provenance says.
  RetrainerCore(const RetrainerOptions& options, std::string model, const Provenance& provenance);

  // What the ticks come to, and what happened.
  virtual absl::Status TakeTick(const ClusterTick& tick, const Topology& topology)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) = 0;
  virtual EventLog& events() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) = 0;

  virtual absl::StatusOr<bool> DoStep(std::int64_t now_ns) = 0;
  // After an error.
  virtual void GiveUp() = 0;
  virtual bool OfTrees() const = 0;  // else of networks
  // What a restart goes on with, but for the model that serves; loading, all of it or nothing, and
  // `serving` becomes the model.
  virtual absl::Status SaveOwn(StateIo& io) const = 0;
  virtual absl::Status LoadOwn(StateIo& io, std::string_view serving) = 0;
  // What only Step() knows.
  virtual void Publish(RetrainerHealth* health) const = 0;

  static std::int64_t BlockOf(std::int64_t at_ns) { return at_ns / kBlock; }
  bool HeldBack(std::int64_t at_ns) const;
  bool TakeMajorChange() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return std::exchange(major_, false);
  }
  void TakeCounts(const AlarmCounts& alarms, std::uint64_t dropped)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  // The version goes up by one: what the next model has to say of itself.
  void NextVersion(const RetrainDecision& decision, std::size_t windows, Provenance* provenance);
  // It serves from now on.
  void Show(std::string model);
  void Tell(RetrainDecision decision);

  const RetrainerOptions options_;
  mutable Mutex mutex_;
  std::uint64_t version_ = 1;  // of Step() alone, as steps_
  std::uint64_t steps_ = 0;

 private:
  std::string shown_ ABSL_GUARDED_BY(mutex_);
  bool fresh_ ABSL_GUARDED_BY(mutex_) = false;
  bool major_ ABSL_GUARDED_BY(mutex_) = false;
  std::vector<RetrainDecision> decisions_ ABSL_GUARDED_BY(mutex_);
  RetrainerHealth health_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace internal
SEER_END_NAMESPACE
