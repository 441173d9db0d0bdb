// Flow: Recommendation -> [Actuator] -> ActionPlan -> [Executor] -> the kernel, or the host
//
// Where a kind of limit lives, and how it is read and set: cgroup files, resctrl groups, classes of
// a queueing discipline, or a function of the host's. An actuator only reads, plans and writes one
// setting at a time; when and whether that is done, and how it is undone, is the Executor's part
// (executor.h), and the same for all of them.
//
//   class PoolActuator : public seer::Actuator {
//    public:
//     std::string_view name() const override { return "pool"; }
//     bool Can(seer::Action action) const override { return action == seer::Action::kPoolSize; }
//     absl::StatusOr<seer::ActionPlan> Plan(const seer::Recommendation& r) override;
//     absl::StatusOr<std::string> Read(const std::string& knob) override;
//     absl::Status Write(const std::string& knob, const std::string& text) override;
//   };
//
// A knob is one setting, named by a text that means the same in the actuator's next life: it is
// kept in a journal, and undone from there after a crash. Whatever a journal says, Read() and
// Write() go nowhere that was not granted.
//
// Errors: NotFound, the target is not there; PermissionDenied, it is not granted, or the kernel
// says no; FailedPrecondition, OutOfRange and InvalidArgument, it cannot be done as asked;
// Unimplemented, this machine does not have it. Anything else is a failure that may pass.
//
// Threads: one at a time. Cost: Read and Write a few system calls.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "seer/core/config.h"
#include "seer/core/recommendation.h"

SEER_BEGIN_NAMESPACE

struct KnobChange {
  std::string knob;
  std::string before;  // what Read() gives now
  std::string after;   // what to write, and what Read() gives then

  friend bool operator==(const KnobChange& a, const KnobChange& b) {
    return a.knob == b.knob && a.before == b.before && a.after == b.after;
  }
};

struct ActionPlan {
  double from = 0;                  // what is in place, in the action's unit
  double to = 0;                    // what will be, after rounding to what can be set
  bool unlimited = false;           // nothing limits at present; `from` says nothing then
  std::vector<KnobChange> changes;  // in this order; empty: what is wanted is in place
};

class Actuator {
 public:
  virtual ~Actuator() = default;

  // Tells its entries in a journal from others': lower case, without blanks.
  virtual std::string_view name() const = 0;
  virtual bool Can(Action action) const = 0;

  // What would have to change for `recommendation.to`. Changes nothing.
  virtual absl::StatusOr<ActionPlan> Plan(const Recommendation& recommendation) = 0;
  virtual absl::StatusOr<std::string> Read(const std::string& knob) = 0;
  // Whether it took is for the executor to read.
  [[nodiscard]] virtual absl::Status Write(const std::string& knob, const std::string& text) = 0;

  // While an action is in force the executor holds its knobs, so that no other executor on this
  // machine acts there. Unavailable: somebody else does.
  [[nodiscard]] virtual absl::Status Hold(const std::string& knob);
  virtual void Release(const std::string& knob);

 protected:
  Actuator() = default;
  Actuator(const Actuator&) = delete;
  Actuator& operator=(const Actuator&) = delete;
};

SEER_END_NAMESPACE
