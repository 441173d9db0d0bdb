// Who of the services that grew initiated it: what the finders of culprits have in common. Private
// to the room.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <utility>
#include <vector>

#include "absl/types/span.h"
#include "seer/core/config.h"
#include "seer/core/ids.h"
#include "seer/core/topology.h"
#include "seer/window/labels.h"

SEER_BEGIN_NAMESPACE
namespace internal {

// What is usual: ticks [first, second) before `before`, the newest first, baseline_ns of them, that
// belong to no other violation nor to the time in which it began; none before `oldest`. Where all
// that is kept is of violations, the ticks just before.
std::vector<std::pair<Tick, Tick>> CalmTicks(Tick before, Tick oldest,
                                             const CulpritOptions& options, TickPeriod period,
                                             absl::Span<const Violation> others);

// Of one service, by ServiceId.
struct Suspicion {
  bool abnormal = false;
  double growth = 0;   // of its time, or of what stands at it; any unit, the same for all
  double spreads = 0;  // the growth in spreads of its usual value
  Attribution::Suspect suspect;
};

// Synchronous calls from where the class's requests enter; from outside where that is not known.
// kFarAway where they do not come.
inline constexpr std::uint32_t kFarAway = 0xffffffffu;
std::vector<std::uint32_t> CallDepths(const Topology& topology, ServiceId entry);

// Whether there is a way of synchronous calls from one to the other.
bool Calls(const Topology& topology, ServiceId from, ServiceId to);

// Whether instances of both are placed on one node.
bool ShareHost(const Topology& topology, ServiceId a, ServiceId b);

struct Choice {
  const Suspicion* culprit = nullptr;  // none of them: nullptr
  // Of the growth of all that are abnormal: the culprit's own, and that of those who wait for it.
  double explained = 0;
};

// The deepest of those that are abnormal: none that it calls, directly or not, and may wait for
// grew before it or with it. Writes all of them into `suspects`, the culprit first, then by share.
Choice ChooseCulprit(const Topology& topology, absl::Span<const Suspicion> suspicions,
                     std::int64_t slack_ns,
                     const std::function<bool(std::uint32_t, std::uint32_t)>& may_wait_for,
                     std::vector<Attribution::Suspect>* suspects);

// Puts the culprit in front, also where it is none of them.
void PutFirst(ServiceId culprit, absl::Span<const Suspicion> suspicions,
              std::vector<Attribution::Suspect>* suspects);

}  // namespace internal
SEER_END_NAMESPACE
