// Flow: Recommendation -> [MakeCallbackActuator] -> ActionPlan: what the host does itself
//
// For everything that somebody else owns: replicas, the size of a pool, a rate limit, a container
// that an orchestrator resizes (pod_resize.h). The host writes two functions, one that says what is
// in place and one that sets it; the executor's journal, checks and undoing are the same.
//
//   seer::CallbackOptions options;
//   options.actions = {seer::Action::kReplicas};
//   options.read = [&](const seer::ActionTarget& target, seer::Action) -> absl::StatusOr<double> {
//     return orchestrator.Replicas(target.service);
//   };
//   options.write = [&](const seer::ActionTarget& target, seer::Action, double to) {
//     return orchestrator.Scale(target.service, to);        // Unavailable: not now
//   };
//   auto actuator = seer::MakeCallbackActuator(options);     // StatusOr
//
// What `write` has set, `read` must give at once, as wanted even if not yet done; else the executor
// takes it for refused and puts it back. Exceptions of the functions become a status.
//
// Threads: the functions run in the executor's calls. Cost: theirs.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "seer/act/actuator.h"
#include "seer/core/config.h"
#include "seer/core/recommendation.h"

SEER_BEGIN_NAMESPACE

struct CallbackOptions {
  std::string name = "host";    // of the actuator, for the journal
  std::vector<Action> actions;  // at least one, kReport is none
  std::function<absl::StatusOr<double>(const ActionTarget& target, Action action)> read;
  std::function<absl::Status(const ActionTarget& target, Action action, double to)> write;
  // Services that may be touched; nothing is, unless listed. "*" is all of them.
  std::vector<std::string> granted;
};

// InvalidArgument names the option.
absl::StatusOr<std::unique_ptr<Actuator>> MakeCallbackActuator(const CallbackOptions& options);

SEER_END_NAMESPACE
