// Flow: Recommendation -> [PodResizePatch] -> JSON, for the host to send to Kubernetes
//
// The body of a request that resizes a container in place, without a restart:
//
//   PATCH /api/v1/namespaces/{namespace}/pods/{pod}/resize
//   Content-Type: application/strategic-merge-patch+json
//
//   {"spec":{"containers":[{"name":"cart","resources":
//     {"requests":{"cpu":"1500m"},"limits":{"cpu":"1500m"}}}]}}
//
// The host sends it with its own client and its own rights, in practice from the `write` of a
// callback actuator (callback_actuator.h). The answer may come later: the pod's condition
// PodResizePending with reason Deferred means that the node has no room now (Unavailable), with
// reason Infeasible that it never will (FailedPrecondition): PodResizeStatus() tells them apart.
//
// CPU is rounded up to thousandths of a core when growing and memory to bytes, never beyond the
// recommendation's bounds. Kubernetes may restart a container whose memory limit shrinks, unless
// its resizePolicy says NotRequired.
//
// Threads: pure functions.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "seer/core/config.h"
#include "seer/core/recommendation.h"

SEER_BEGIN_NAMESPACE

struct PodResizeOptions {
  std::string container;  // of the pod; needed
  bool requests = true;   // which of the two are set: both, for a guaranteed pod
  bool limits = true;
};

// InvalidArgument: no container, or nothing to set. Unimplemented: an action other than kCpuLimit
// and kMemoryLimit. OutOfRange: `to` is not within the bounds, or not above 0.
absl::StatusOr<std::string> PodResizePatch(const Recommendation& recommendation,
                                           const PodResizeOptions& options);

// From type, status and reason of the pod's resize conditions, as Kubernetes gives them. OK:
// neither deferred nor infeasible nor failed.
absl::Status PodResizeStatus(std::string_view type, std::string_view status,
                             std::string_view reason);

SEER_END_NAMESPACE
