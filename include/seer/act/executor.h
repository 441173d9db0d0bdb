// Flow: Recommendation -> [Executor] -> ActionTaken
//
// Carries out recommendations on a node, and puts everything back: when their time is over, when it
// is told to, when it ends, and when it finds in its journal what an earlier life left behind. It
// needs to know nothing of predictions: what to do, within which bounds and for how long stands in
// the recommendation, and what may be touched at all in the actuators (actuator.h).
//
//   seer::CgroupOptions granted;
//   granted.granted = {"shop"};
//   std::vector<std::unique_ptr<seer::Actuator>> actuators;
//   actuators.push_back(*seer::MakeCgroupActuator(granted));
//   seer::ExecutorOptions options;
//   options.dry_run = false;                                       // it is, unless told
//   options.journal_path = "/var/lib/seer/actions";
//   auto executor = seer::Executor::Create(options, std::move(actuators));   // undoes leftovers
//
//   bus.Publish(seer::Encode((*executor)->Apply(recommendation)));
//   for (const seer::ActionTaken& taken : (*executor)->Tick()) ...  // every tick: what expired
//
// One action: plan, check bounds and precondition, write the journal to the disk, compare each
// setting with what was planned upon, set it, read it back. What reads back as anything else is put
// back at once. The same recommendation again writes nothing; with another `expires_ns` it is
// renewed.
//
// A further recommendation for the same settings and target takes over from the one in force, and
// inherits what was there before the first: undoing it undoes both. A recommendation that shares
// only some of the settings is refused.
//
// Others. A setting that somebody else has moved since is theirs: it is neither overwritten, nor
// renewed, nor put back, and the outcome says so. A cgroup that has gone needs no undoing. Two
// executors never act upon one cgroup at a time.
//
// What cannot be put back (a permission that was lost) stays in the journal and is tried again at
// every Tick() and in the next life.
//
// Clocks. An action ends `expires_ns - now` after it was applied on the steady clock, or when unix
// time passes `expires_ns`, whichever is first: a clock that jumps shortens it, and never prolongs
// it. One without expiry, and one with a late expiry, ends after `max_hold_ns` unless renewed.
//
// Threads: one at a time.
// Cost:    Apply 2 to 5 system calls for each setting, and one fdatasync.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "seer/act/actuator.h"
#include "seer/core/action_taken.h"
#include "seer/core/clock.h"
#include "seer/core/config.h"
#include "seer/core/recommendation.h"

SEER_BEGIN_NAMESPACE

struct ExecutorOptions {
  bool dry_run = true;       // plan and check, change nothing: every outcome is kShadow at most
  std::string journal_path;  // needed unless dry_run; its folder exists, others cannot write there

  // How far one action may go, as a factor of what is in place.
  double max_step_up = 16;      // at least 1; as far as DefaultRules() of advise/ go
  double max_step_down = 0.75;  // in (0, 1]
  // Whether a limit may be set where there was none.
  bool may_limit_unlimited = false;

  std::int64_t max_hold_ns = 600'000'000'000;  // above 0
  // A recommendation older than this, or as much from the future, is refused: it was delayed, or
  // sent twice. Above 0.
  std::int64_t max_age_ns = 10'000'000'000;
  std::size_t max_active = 64;      // actions in force, 1 to 4096
  std::size_t max_per_minute = 60;  // actions that change something, at least 1

  const Clock* clock = nullptr;   // unix time; null: the system's
  const Clock* steady = nullptr;  // never jumps; null: CLOCK_MONOTONIC
};

class Executor {
 public:
  // Undoes what the journal says is still in force; see recovered(). InvalidArgument names the
  // option; Unavailable: another executor uses the journal; DataLoss: the journal is none.
  static absl::StatusOr<std::unique_ptr<Executor>> Create(
      const ExecutorOptions& options, std::vector<std::unique_ptr<Actuator>> actuators);
  // Undoes what is in force.
  ~Executor();
  Executor(const Executor&) = delete;
  Executor& operator=(const Executor&) = delete;

  // kApplied, kUnchanged, kRefused, kFailed, or kShadow; the detail says why.
  ActionTaken Apply(const Recommendation& recommendation);
  // kUndone; kRefused where no such action is in force; kFailed: will be tried again.
  ActionTaken Undo(std::uint64_t recommendation_id);
  // Undoes what has expired, and tries again what could not be undone: one outcome for each action
  // that has ended.
  std::vector<ActionTaken> Tick();
  // The kill switch: one outcome for each action that was in force.
  std::vector<ActionTaken> UndoAll();

  // What Create() found in the journal and put back, or could not yet.
  const std::vector<ActionTaken>& recovered() const { return recovered_; }
  // Lines of the journal that could not be read; what they stood for is not undone.
  std::size_t damaged_journal_lines() const { return damaged_lines_; }
  // Actions in force, those included that could not be undone yet.
  std::size_t active() const;

 private:
  class Impl;
  explicit Executor(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
  std::vector<ActionTaken> recovered_;
  std::size_t damaged_lines_ = 0;
};

SEER_END_NAMESPACE
