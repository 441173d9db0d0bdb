#include "predict/way_loops.h"

#include <cstring>
#include <limits>

#include "predict/class_ways.h"

// Compiled for speed, and so that selections become vector instructions
// (src/predict/CMakeLists.txt): neither changes a bit of any result.

SEER_BEGIN_NAMESPACE
namespace internal {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

// `at`: of one service, or of as many as T has lanes.
template <typename T>
SEER_ALWAYS_INLINE void Take(const WaySides<T>& at, const T& visits, WaySides<T>* into) {
  const T zero = T{}, far = zero - kInfinity;
  const T v = visits > 0 ? visits : zero;
  const T waits = v * at.delay;
  into->delay += waits;
  into->most = waits > into->most ? waits : into->most;
  into->slow += v * at.slow;
  into->own += v * at.own;
  const T self = visits >= ClassWays::kOnWay ? at.self : far;
  const T rise = visits >= ClassWays::kOnWay ? at.rise : far;
  const T gap = visits >= ClassWays::kOnWay ? at.gap : far;
  into->self = self > into->self ? self : into->self;
  into->rise = rise > into->rise ? rise : into->rise;
  into->gap = gap > into->gap ? gap : into->gap;
  into->abnormal += self > 4 ? zero + 1 : zero;
}
// Service m is taken into side m % kSides.
SEER_ALWAYS_INLINE void TakeEach(const WayStanding& at, std::size_t columns,
                                 WaySides<float>* sides) {
  for (std::size_t i = 0; i < kSides; ++i) {
    sides[i] = {0, 0, 0, 0, 0, -kInfinity, -kInfinity, -kInfinity};
  }
  std::size_t m = 0;
#if SEER_SIDE_BY_SIDE
  const EightFloats zero = EightFloats{}, far = zero - kInfinity;
  WaySides<EightFloats> all = {zero, zero, zero, zero, zero, far, far, far};
  for (; m + kSides <= columns; m += kSides) {
    WaySides<EightFloats> some = {};
    EightFloats visits;
    std::memcpy(&visits, at.visits + m, sizeof(visits));
    std::memcpy(&some.delay, at.delay + m, sizeof(visits));
    std::memcpy(&some.slow, at.slow + m, sizeof(visits));
    std::memcpy(&some.own, at.own + m, sizeof(visits));
    std::memcpy(&some.self, at.self + m, sizeof(visits));
    std::memcpy(&some.rise, at.rise + m, sizeof(visits));
    std::memcpy(&some.gap, at.gap + m, sizeof(visits));
    Take(some, visits, &all);
  }
  for (std::size_t i = 0; i < kSides; ++i) {
    sides[i] = {all.delay[i],    all.most[i], all.slow[i], all.own[i],
                all.abnormal[i], all.self[i], all.rise[i], all.gap[i]};
  }
#endif
  for (std::size_t i = 0; m < columns; ++m, i = (i + 1) % kSides) {
    const WaySides<float> one = {at.delay[m], 0,          at.slow[m], at.own[m],
                                 0,           at.self[m], at.rise[m], at.gap[m]};
    Take(one, at.visits[m], &sides[i]);
  }
}

// The larger one; `a` where one of them is NaN.
template <typename T>
SEER_ALWAYS_INLINE void Larger(const T& a, const T& b, T* into) {
  *into = a < b ? b : a;
}

// What of it holds requests up, into ClassWays::own() and slow().
template <typename T>
SEER_ALWAYS_INLINE void HoldUp(const WayHeld<T>& at, float weight, T* own, T* slow) {
  const T zero = T{}, one = zero + 1, none = zero + ClassWays::kNone;
  T rate, running, own_gap, own_work, own_queue, share, most;
  Larger(at.rate, one, &rate);
  Larger(at.running, one, &running);
  const T per = one / rate;
  const T all = at.self - at.usual_self, gap = at.gap - at.usual_gap;
  const T queued = at.queued - at.usual_queued;
  const T works = all - gap - queued;  // running, less those that wait for others
  const T blocked = (at.outstanding - at.self) / running;
  Larger(blocked, zero, &share);
  share = one < share ? one : share;
  Larger(gap, zero, &own_gap);
  Larger(works, zero, &own_work);
  Larger(queued, zero, &own_queue);
  Larger(all, zero, &most);
  const T parts = own_gap + own_work + own_queue * (one - share);
  T held = share == share ? parts : most;
  held = works == works ? held : most;
  // What is not known, now or before, is NaN, and so are sums with it.
  const T known = at.rate >= zero ? all : none;
  held = known == known ? held * per : none;
  const T waits = known * per;
  const T next_own = *own + (held - *own) * weight, next_slow = *slow + (waits - *slow) * weight;
  *own = *own == *own ? next_own : held;
  *slow = *slow == *slow ? next_slow : waits;
}

SEER_ALWAYS_INLINE void HoldUpEach(const WayHeldColumns& columns, std::size_t services,
                                   float weight, float* owns, float* slows) {
  const WayHeldColumns at = columns;  // by itself, or it would be read anew each time
  std::size_t s = 0;
#if SEER_SIDE_BY_SIDE
  for (; s + kSides <= services; s += kSides) {
    WayHeld<EightFloats> some;
    EightFloats own, slow;
    std::memcpy(&some.rate, at.rate + s, sizeof(own));
    std::memcpy(&some.self, at.self + s, sizeof(own));
    std::memcpy(&some.usual_self, at.usual_self + s, sizeof(own));
    std::memcpy(&some.gap, at.gap + s, sizeof(own));
    std::memcpy(&some.usual_gap, at.usual_gap + s, sizeof(own));
    std::memcpy(&some.queued, at.queued + s, sizeof(own));
    std::memcpy(&some.usual_queued, at.usual_queued + s, sizeof(own));
    std::memcpy(&some.outstanding, at.outstanding + s, sizeof(own));
    std::memcpy(&some.running, at.running + s, sizeof(own));
    std::memcpy(&own, owns + s, sizeof(own));
    std::memcpy(&slow, slows + s, sizeof(own));
    HoldUp(some, weight, &own, &slow);
    std::memcpy(owns + s, &own, sizeof(own));
    std::memcpy(slows + s, &slow, sizeof(own));
  }
#endif
  for (; s < services; ++s) {
    const WayHeld<float> one = {at.rate[s],         at.self[s],        at.usual_self[s],
                                at.gap[s],          at.usual_gap[s],   at.queued[s],
                                at.usual_queued[s], at.outstanding[s], at.running[s]};
    HoldUp(one, weight, &owns[s], &slows[s]);
  }
}

SEER_ALWAYS_INLINE void GatherEach(const WayAsked& asked, std::size_t columns, float seconds,
                                   float* __restrict came, float* __restrict delay,
                                   float* __restrict slow, float* __restrict own,
                                   float* __restrict self, float* __restrict rise,
                                   float* __restrict gap) {
  const WayAsked at = asked;
  for (std::size_t m = 0; m < columns; ++m) came[m] += at.rate[m] * seconds;
  for (std::size_t m = 0; m < columns; ++m) delay[m] = at.excess[m] > 0 ? at.excess[m] : 0.0f;
  for (std::size_t m = 0; m < columns; ++m) slow[m] = at.slow[m] > 0 ? at.slow[m] : 0.0f;
  for (std::size_t m = 0; m < columns; ++m) own[m] = at.own[m] > 0 ? at.own[m] : 0.0f;
  for (std::size_t m = 0; m < columns; ++m) {
    const float now = at.self[m], more = now - at.self_before[m];
    self[m] = now == now ? now : -kInfinity;
    rise[m] = more == more ? more : -kInfinity;
  }
  for (std::size_t m = 0; m < columns; ++m) {
    gap[m] = at.gap[m] == at.gap[m] ? at.gap[m] : -kInfinity;
  }
}

template <typename T>
SEER_ALWAYS_INLINE void AddSpread(const T& z, WaySpreads<T>* into) {
  const T zero = T{}, one = zero + 1, least = zero - 2, most = zero + 8;
  T cut = z < least ? least : z;
  cut = most < cut ? most : cut;
  into->known += z > zero - kInfinity ? one : zero;
  into->far += z > zero + 2 ? one : zero;
  into->sum += z > zero - kInfinity ? cut : zero;
}
// Spread m is added to side m % kSides.
SEER_ALWAYS_INLINE void AddSpreads(const float* spreads, std::size_t count,
                                   WaySpreads<float>* sides) {
  for (std::size_t i = 0; i < kSides; ++i) sides[i] = {0, 0, 0};
  std::size_t m = 0;
#if SEER_SIDE_BY_SIDE
  WaySpreads<EightFloats> all = {};
  for (; m + kSides <= count; m += kSides) {
    EightFloats some;
    std::memcpy(&some, spreads + m, sizeof(some));
    AddSpread(some, &all);
  }
  for (std::size_t i = 0; i < kSides; ++i) sides[i] = {all.known[i], all.far[i], all.sum[i]};
#endif
  for (std::size_t i = 0; m < count; ++m, i = (i + 1) % kSides) AddSpread(spreads[m], &sides[i]);
}

// Of visits that are known, how long requests wait, in targets.
SEER_ALWAYS_INLINE void DelayEach(const float* visits, const float* learnt, std::size_t columns,
                                  float target_s, const float* __restrict held,
                                  float* __restrict into) {
  for (std::size_t m = 0; m < columns; ++m) {
    const float at_least_0 = visits[m] > 0 ? visits[m] : 0.0f;
    const float known = learnt[m] >= ClassWays::kWarm ? at_least_0 : ClassWays::kNone;
    into[m] = known * held[m] / target_s;
  }
}

#define SEER_LOOPS(name, target)                                                                   \
  struct name {                                                                                    \
    target static void Take(const WayStanding& at, std::size_t columns, WaySides<float>* sides) {  \
      TakeEach(at, columns, sides);                                                                \
    }                                                                                              \
    target static void Hold(const WayHeldColumns& at, std::size_t services, float weight,          \
                            float* own, float* slow) {                                             \
      HoldUpEach(at, services, weight, own, slow);                                                 \
    }                                                                                              \
    target static void Gather(const WayAsked& at, std::size_t columns, float seconds, float* came, \
                              float* delay, float* slow, float* own, float* self, float* rise,     \
                              float* gap) {                                                        \
      GatherEach(at, columns, seconds, came, delay, slow, own, self, rise, gap);                   \
    }                                                                                              \
    target static void Add(const float* spreads, std::size_t count, WaySpreads<float>* sides) {    \
      AddSpreads(spreads, count, sides);                                                           \
    }                                                                                              \
    target static void Delay(const float* visits, const float* learnt, std::size_t columns,        \
                             float target_s, const float* held, float* into) {                     \
      DelayEach(visits, learnt, columns, target_s, held, into);                                    \
    }                                                                                              \
    static constexpr WayLoops kLoops = {Take, Hold, Gather, Add, Delay};                           \
  }
SEER_LOOPS(PlainLoops, );
#ifdef SEER_FOR_AVX2
SEER_LOOPS(Avx2Loops, SEER_FOR_AVX2);
#endif
#undef SEER_LOOPS

}  // namespace

absl::Span<const WayLoops* const> UsableWayLoops() {
#ifdef SEER_FOR_AVX2
  static constexpr const WayLoops* kAll[] = {&Avx2Loops::kLoops, &PlainLoops::kLoops};
  if (HasAvx2()) return kAll;
#endif
  static constexpr const WayLoops* kPlain[] = {&PlainLoops::kLoops};
  return kPlain;
}

const WayLoops& BestWayLoops() { return *UsableWayLoops()[0]; }

}  // namespace internal
SEER_END_NAMESPACE
