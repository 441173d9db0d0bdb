// What the features of trees remember from tick to tick, saved and loaded.
#include "predict/tree_features.h"

SEER_BEGIN_NAMESPACE
namespace internal {

void TreeFeatures::State(StateIo& io) {
  services_.State(io);
  ways_.State(io);
  io.List(classes_, 100, [&](ClassState& state) {
    io.List(state.ring, 16, [&](ClassRing& slot) {
      for (float* const value : {&slot.over, &slot.near, &slot.half, &slot.total}) io(*value);
    });
    std::uint64_t next = state.at;
    io(next);
    io.Require(next < state.ring.size() || next == 0, "trees: a slot that is not there");
    if (io.ok()) state.at = static_cast<std::size_t>(next);
    io(state.over), io(state.near_sum), io(state.half), io(state.total);
    for (float* const value : {&state.allowed,      &state.over_now,      &state.oldest,
                               &state.usual_slow,   &state.age,           &state.age_before,
                               &state.usual_fill,   &state.usual_near,    &state.usual_half,
                               &state.p99,          &state.p99_before,    &state.p50,
                               &state.count,        &state.usual_count,   &state.usual_p99,
                               &state.ticks,        &state.fill,          &state.fills[0],
                               &state.fills[1],     &state.fills[2],      &state.since_breach,
                               &state.near_now,     &state.half_now,      &state.p90,
                               &state.leaves,       &state.weighed.delay, &state.weighed.most,
                               &state.weighed.slow, &state.weighed.own,   &state.weighed.self,
                               &state.weighed.rise, &state.weighed.gap,   &state.weighed.abnormal,
                               &state.delays[0],    &state.delays[1],     &state.delays[2],
                               &state.delays[3],    &state.fill_slow,     &state.fill_slower,
                               &state.delay_slow,   &state.delay_slower,  &state.peak,
                               &state.trouble}) {
      io.AnyFloat(*value);
    }
    for (float& held : state.held) io.AnyFloat(held);
    io(state.held_at);
    io.Require(state.held_at < kHeldTicks, "trees: a tick that is not kept");
    io(state.near), io(state.known);
  });
}

}  // namespace internal
SEER_END_NAMESPACE
