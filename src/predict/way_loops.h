// The loops of ClassWays over many services (class_ways.h), side by side and for each set of
// instructions (side_by_side.h). Private to it.
#pragma once

#include <cstddef>

#include "absl/types/span.h"
#include "predict/side_by_side.h"
#include "seer/core/config.h"

SEER_BEGIN_NAMESPACE
namespace internal {

// What a class visits, and what stands there.
struct WayStanding {
  const float *visits, *delay, *slow, *own, *self, *rise, *gap;
};

// Sums and maxima that run side by side: of `T`, a float or a vector of them.
template <typename T>
struct WaySides {
  T delay, most, slow, own, abnormal, self, rise, gap;
};

// What stands at a service now, and what is usual: of `T`, as above.
template <typename T>
struct WayHeld {
  T rate, self, usual_self, gap, usual_gap, queued, usual_queued, outstanding, running;
};
using WayHeldColumns = WayHeld<const float*>;

// What Weigh() asks of services that stand side by side; what is not known is 0 or minus infinity.
struct WayAsked {
  const float *rate, *excess, *slow, *own, *self, *self_before, *gap;
};
// How many spreads are known, and far above usual; and the sum of them, each cut off.
template <typename T>
struct WaySpreads {
  T known, far, sum;
};
struct WayLoops {
  // Sums and maxima of what stands on the way; service m is taken into side m % kSides.
  void (*take)(const WayStanding&, std::size_t columns, WaySides<float>* sides);
  // What holds requests up, into ClassWays::own() and slow().
  void (*hold_up)(const WayHeldColumns&, std::size_t services, float weight, float* owns,
                  float* slows);
  // What is asked of each service of a group.
  void (*gather)(const WayAsked&, std::size_t columns, float seconds, float* came, float* delay,
                 float* slow, float* own, float* self, float* rise, float* gap);
  // Spread m is added to side m % kSides.
  void (*add_spreads)(const float* spreads, std::size_t count, WaySpreads<float>* sides);
  // How long requests wait, in targets; NaN where visits are not known.
  void (*delay)(const float* visits, const float* learnt, std::size_t columns, float target_s,
                const float* held, float* into);
};
const WayLoops& BestWayLoops();
// Those that run here, the best first: all give the same bits.
absl::Span<const WayLoops* const> UsableWayLoops();

}  // namespace internal
SEER_END_NAMESPACE
