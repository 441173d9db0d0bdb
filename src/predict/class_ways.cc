#include "predict/class_ways.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

SEER_BEGIN_NAMESPACE
namespace internal {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
// Of a call that nobody knows anything of yet: once a request, more or less.
constexpr double kPrior = 1;
// By which visits may drift in a block: after ten minutes by a tenth.
constexpr double kDrift = 1e-5;
// What requests do not explain of the calls: a share of them, and one.
constexpr double kNoise = 0.1;
constexpr float kMostCalls = 1e7f;    // of a block
constexpr double kSlowSeconds = 0.3;  // over which what is slow is told

float OrNone(float value, float none) { return value == value ? value : none; }

#if defined(__GNUC__)
#define SEER_ALWAYS_INLINE inline __attribute__((always_inline))
#else
#define SEER_ALWAYS_INLINE inline
#endif

constexpr std::size_t kSides = ClassWays::kLanes;

// What a class visits, and what stands there.
struct Standing {
  const float *visits, *delay, *slow, *own, *self, *rise, *gap;
};

// Sums and maxima that run side by side: of `T`, a float or a vector of them.
template <typename T>
struct Sides {
  T delay, most, slow, own, abnormal, self, rise, gap;
};

// `at`: of one service, or of as many as T has lanes.
template <typename T>
SEER_ALWAYS_INLINE void Take(const Sides<T>& at, const T& visits, Sides<T>* into) {
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
SEER_ALWAYS_INLINE void TakeEach(const Standing& at, std::size_t columns, Sides<float>* sides) {
  for (std::size_t i = 0; i < kSides; ++i) {
    sides[i] = {0, 0, 0, 0, 0, -kInfinity, -kInfinity, -kInfinity};
  }
  std::size_t m = 0;
#if defined(__GNUC__)
  typedef float Eight __attribute__((vector_size(32)));
  static_assert(sizeof(Eight) == kSides * sizeof(float));
  const Eight zero = Eight{}, far = zero - kInfinity;
  Sides<Eight> all = {zero, zero, zero, zero, zero, far, far, far};
  for (; m + kSides <= columns; m += kSides) {
    Sides<Eight> some = {};
    Eight visits;
    std::memcpy(&visits, at.visits + m, sizeof(Eight));
    std::memcpy(&some.delay, at.delay + m, sizeof(Eight));
    std::memcpy(&some.slow, at.slow + m, sizeof(Eight));
    std::memcpy(&some.own, at.own + m, sizeof(Eight));
    std::memcpy(&some.self, at.self + m, sizeof(Eight));
    std::memcpy(&some.rise, at.rise + m, sizeof(Eight));
    std::memcpy(&some.gap, at.gap + m, sizeof(Eight));
    Take(some, visits, &all);
  }
  for (std::size_t i = 0; i < kSides; ++i) {
    sides[i] = {all.delay[i],    all.most[i], all.slow[i], all.own[i],
                all.abnormal[i], all.self[i], all.rise[i], all.gap[i]};
  }
#endif
  for (std::size_t i = 0; m < columns; ++m, i = (i + 1) % kSides) {
    const Sides<float> one = {at.delay[m], 0,          at.slow[m], at.own[m],
                              0,           at.self[m], at.rise[m], at.gap[m]};
    Take(one, at.visits[m], &sides[i]);
  }
}
#undef SEER_ALWAYS_INLINE

using TakeFunction = void (*)(const Standing&, std::size_t, Sides<float>*);
void TakePlain(const Standing& at, std::size_t columns, Sides<float>* sides) {
  TakeEach(at, columns, sides);
}
#if defined(__GNUC__) && defined(__x86_64__)
// Eight at a time; without fused operations, which round once less.
__attribute__((target("avx2"))) void TakeAvx2(const Standing& at, std::size_t columns,
                                              Sides<float>* sides) {
  TakeEach(at, columns, sides);
}
TakeFunction ChooseTake() {
  static const bool has = __builtin_cpu_supports("avx2");
  return has ? TakeAvx2 : TakePlain;
}
#else
TakeFunction ChooseTake() { return TakePlain; }
#endif

// Of those that are known, each cut off; and how many of them are far above usual.
float Mean(const std::vector<float>& spreads, float* share) {
  float sum = 0, known = 0, far = 0;
  for (const float z : spreads) {
    known += z > -kInfinity ? 1.0f : 0.0f;
    far += z > 2 ? 1.0f : 0.0f;
    sum += z > -kInfinity ? std::min(std::max(z, -2.0f), 8.0f) : 0.0f;
  }
  *share = known > 0 ? far / known : ClassWays::kNone;
  return known > 0 ? sum / known : ClassWays::kNone;
}

}  // namespace

void ClassWays::UseRows(const ClassMembers& members, absl::Span<const std::uint32_t> groups,
                        absl::Span<const std::uint8_t> live, std::size_t services) {
  own_.resize(services, kNone);
  slow_.resize(services, kNone);
  std::vector<Group> before;
  before.swap(groups_);
  places_.assign(groups.size(), {});
  homes_.assign(services, {});
  ranked_.of = kNowhere;
  std::vector<std::uint32_t> made(groups.size(), kNowhere);
  for (std::uint32_t c = 0; c < groups.size(); ++c) {
    if (live[c] == 0) continue;
    std::uint32_t& at = made[groups[c]];
    if (at == kNowhere) {
      at = static_cast<std::uint32_t>(groups_.size());
      groups_.emplace_back();
    }
    Group& group = groups_[at];
    group.classes.push_back(c);
    const auto own = members.Of(ClassId(c));
    // Classes with one list are the rule.
    if (group.members.size() == own.size() &&
        std::equal(own.begin(), own.end(), group.members.begin())) {
      continue;
    }
    group.members.insert(group.members.end(), own.begin(), own.end());
    std::sort(group.members.begin(), group.members.end());
    group.members.erase(std::unique(group.members.begin(), group.members.end()),
                        group.members.end());
  }
  std::size_t cells = 0;
  for (std::uint32_t g = 0; g < groups_.size(); ++g) {
    Group& group = groups_[g];
    const std::size_t rows = group.classes.size(), columns = group.members.size();
    if (rows > kMostClasses || cells + rows * columns > kMostCells) {
      group = Group();
      continue;
    }
    cells += rows * columns;
    group.inverse.assign(rows * rows, 0.0);
    for (std::size_t i = 0; i < rows; ++i) group.inverse[i * rows + i] = kPrior;
    group.visits.assign(rows * columns, 0.0f);
    group.learnt.assign(columns, 0.0f);
    group.ended.assign(rows, 0.0f);
    group.came.assign(columns, 0.0f);
    for (auto& values : group.now) values.assign(columns, 0.0f);
    for (std::uint32_t r = 0; r < rows; ++r) places_[group.classes[r]] = {g, r};
    for (std::uint32_t m = 0; m < columns; ++m) {
      Place& home = homes_[group.members[m]];
      if (home.group == kNowhere) home = {g, m};
    }
    // What was learnt of these classes and services stays.
    for (const Group& old : before) {
      const std::size_t width = old.members.size();
      for (std::size_t r = 0; r < rows; ++r) {
        const auto found =
            std::lower_bound(old.classes.begin(), old.classes.end(), group.classes[r]);
        if (found == old.classes.end() || *found != group.classes[r]) continue;
        const auto row = static_cast<std::size_t>(found - old.classes.begin());
        for (std::size_t other = 0; other < rows; ++other) {
          const auto place =
              std::lower_bound(old.classes.begin(), old.classes.end(), group.classes[other]);
          if (place == old.classes.end() || *place != group.classes[other]) continue;
          group.inverse[r * rows + other] =
              old.inverse[row * old.classes.size() +
                          static_cast<std::size_t>(place - old.classes.begin())];
        }
        for (std::size_t m = 0; m < columns; ++m) {
          const std::size_t at = MemberOf(old, group.members[m]);
          if (at == width) continue;
          group.visits[r * columns + m] = old.visits[row * width + at];
          group.learnt[m] = old.learnt[at];
        }
      }
      if (old.classes == group.classes && old.members == group.members) {
        group.ticks = old.ticks;
        group.good = old.good;
        group.ended = old.ended;
        group.came = old.came;
      }
    }
  }
}

void ClassWays::Observe(absl::Span<const float> counts, absl::Span<const std::uint8_t> calm,
                        const ServiceColumns& services, double gap) {
  ReadServices(services);
  ranked_.of = kNowhere;
  for (Group& group : groups_) {
    const std::size_t columns = group.members.size();
    if (gap > 0) group.good = false;
    for (std::size_t r = 0; r < group.classes.size(); ++r) {
      const float count = counts[group.classes[r]];
      group.good = group.good && count == count && calm[group.classes[r]] != 0;
      group.ended[r] += OrNone(count, 0);
    }
    const auto seconds = static_cast<float>(services.seconds());
    for (std::size_t m = 0; m < columns; ++m) {
      const std::uint32_t s = group.members[m];
      group.came[m] += services.value(ServiceColumns::kRate, s) * seconds;
      const float excess = services.excess(s);
      group.now[kDelay][m] = excess > 0 ? excess : 0.0f;
      group.now[kSlow][m] = slow_[s] > 0 ? slow_[s] : 0.0f;
      group.now[kOwn][m] = own_[s] > 0 ? own_[s] : 0.0f;
      group.now[kSelf][m] = OrNone(services.z(ServiceColumns::kSelf, s), -kInfinity);
      group.now[kRise][m] = OrNone(services.SelfRise(s, 2), -kInfinity);
      group.now[kGap][m] = OrNone(services.z(ServiceColumns::kGap, s), -kInfinity);
    }
    group.weather = {};
    group.weather.self = Mean(group.now[kSelf], &group.weather.self_share);
    group.weather.gap = Mean(group.now[kGap], &group.weather.gap_share);
    if (++group.ticks < kBlockTicks) continue;
    if (group.good) Learn(&group);
    group.ticks = 0;
    group.good = true;
    std::fill(group.ended.begin(), group.ended.end(), 0.0f);
    std::fill(group.came.begin(), group.came.end(), 0.0f);
  }
}

void ClassWays::ReadServices(const ServiceColumns& services) {
  using C = ServiceColumns;
  const auto weight = static_cast<float>(std::min(1.0, services.seconds() / kSlowSeconds));
  for (std::size_t s = 0; s < own_.size(); ++s) {
    const float rate = services.recent_rate(s);
    const auto above = [&](C::Series series) {
      return services.value(series, s) - services.mean(series, s);
    };
    const float per = 1 / std::max(rate, 1.0f);
    const float all = above(C::kSelf), gap = above(C::kGap), queued = above(C::kQueued);
    const float works = all - gap - queued;  // running, less those that wait for others
    const float blocked = services.value(C::kOutstanding, s) - services.value(C::kSelf, s);
    const float share =
        std::min(std::max(blocked / std::max(services.value(C::kRunning, s), 1.0f), 0.0f), 1.0f);
    const float parts =
        std::max(gap, 0.0f) + std::max(works, 0.0f) + std::max(queued, 0.0f) * (1 - share);
    // max(NaN, 0) is either, so what is not known is asked for.
    const float own = works == works && share == share ? parts : std::max(all, 0.0f);
    const bool known = rate >= 0 && all == all;
    const float now = known ? own * per : kNone, slow = known ? all * per : kNone;
    own_[s] = own_[s] == own_[s] && known ? own_[s] + weight * (now - own_[s]) : now;
    slow_[s] = slow_[s] == slow_[s] && known ? slow_[s] + weight * (slow - slow_[s]) : slow;
  }
}

void ClassWays::Learn(Group* group) {
  const std::size_t rows = group->classes.size(), columns = group->members.size();
  double requests = 0;
  std::array<double, kMostClasses> spread{};  // inverse x ended
  for (std::size_t r = 0; r < rows; ++r) requests += static_cast<double>(group->ended[r]);
  if (!(requests > 0) || requests > static_cast<double>(kMostCalls)) return;
  double all = kNoise * requests + 1;
  for (std::size_t r = 0; r < rows; ++r) {
    for (std::size_t c = 0; c < rows; ++c) {
      spread[r] += group->inverse[r * rows + c] * static_cast<double>(group->ended[c]);
    }
    all += spread[r] * static_cast<double>(group->ended[r]);
  }
  if (!(all >= 1)) return;  // rounded away
  for (std::size_t r = 0; r < rows; ++r) {
    for (std::size_t c = 0; c < rows; ++c) {
      double& cell = group->inverse[r * rows + c];
      cell -= spread[r] * spread[c] / all;
      // What did not come is forgotten, up to what is known of nothing.
      if (r == c) cell = std::min(std::max(cell, 0.0) + kDrift, kPrior);
    }
  }
  // What the visits as they are do not explain, to all classes by the gain.
  float* const error = group->came.data();
  for (std::size_t m = 0; m < columns; ++m) {
    const bool known = error[m] <= kMostCalls;
    group->learnt[m] = known ? std::min(group->learnt[m] + 1, 1e6f) : group->learnt[m];
    error[m] = known ? error[m] : kNone;
  }
  for (std::size_t r = 0; r < rows; ++r) {
    const float ended = group->ended[r];
    const float* const visits = &group->visits[r * columns];
    for (std::size_t m = 0; m < columns; ++m) error[m] -= visits[m] * ended;
  }
  for (std::size_t m = 0; m < columns; ++m) error[m] = error[m] == error[m] ? error[m] : 0.0f;
  for (std::size_t r = 0; r < rows; ++r) {
    const auto gain = static_cast<float>(spread[r] / all);
    float* const visits = &group->visits[r * columns];
    for (std::size_t m = 0; m < columns; ++m) visits[m] += gain * error[m];
  }
}

const ClassWays::Group* ClassWays::GroupOf(ClassId id) const {
  if (id.index() >= places_.size() || places_[id.index()].group == kNowhere) return nullptr;
  return &groups_[places_[id.index()].group];
}

std::size_t ClassWays::MemberOf(const Group& group, std::uint32_t service) {
  const auto found = std::lower_bound(group.members.begin(), group.members.end(), service);
  if (found == group.members.end() || *found != service) return group.members.size();
  return static_cast<std::size_t>(found - group.members.begin());
}

ClassWays::Weighed ClassWays::Weigh(ClassId id, absl::Span<const std::uint32_t> masked) {
  Weighed weighed;
  if (GroupOf(id) == nullptr) return weighed;
  Group& group = groups_[places_[id.index()].group];
  const std::size_t columns = group.members.size();
  bool warm = false;
  for (std::size_t m = 0; m < columns && !warm; ++m) warm = group.learnt[m] >= kWarm;
  if (!warm) return weighed;

  // A masked service is as one of which nothing is known, for this once.
  struct Kept {
    std::size_t member;
    std::array<float, kGathered> values;
  };
  std::array<Kept, 4> kept;
  std::size_t count = 0;
  for (const std::uint32_t service : masked) {
    const std::size_t m = MemberOf(group, service);
    if (m == columns || count == kept.size()) continue;
    kept[count].member = m;
    for (std::size_t k = 0; k < kGathered; ++k) {
      kept[count].values[k] = group.now[k][m];
      group.now[k][m] = k == kDelay || k == kSlow || k == kOwn ? 0.0f : -kInfinity;
    }
    ++count;
  }

  std::array<Sides<float>, kSides> sides;
  ChooseTake()({&group.visits[places_[id.index()].row * columns], group.now[kDelay].data(),
                group.now[kSlow].data(), group.now[kOwn].data(), group.now[kSelf].data(),
                group.now[kRise].data(), group.now[kGap].data()},
               columns, sides.data());
  weighed.delay = weighed.most = weighed.slow = weighed.own = weighed.abnormal = 0;
  weighed.self = weighed.rise = weighed.gap = -kInfinity;
  for (const Sides<float>& side : sides) {
    weighed.delay += side.delay;
    weighed.slow += side.slow;
    weighed.own += side.own;
    weighed.abnormal += side.abnormal;
    weighed.most = std::max(weighed.most, side.most);
    weighed.self = std::max(weighed.self, side.self);
    weighed.rise = std::max(weighed.rise, side.rise);
    weighed.gap = std::max(weighed.gap, side.gap);
  }
  for (std::size_t i = count; i-- > 0;) {
    for (std::size_t k = 0; k < kGathered; ++k) group.now[k][kept[i].member] = kept[i].values[k];
  }
  for (float* const value : {&weighed.self, &weighed.rise, &weighed.gap}) {
    if (*value == -kInfinity) *value = kNone;
  }
  return weighed;
}

ClassWays::Weather ClassWays::weather(ClassId id) const {
  const Group* const group = GroupOf(id);
  return group == nullptr ? Weather() : group->weather;
}

// What is masked later on only moves others up.
void ClassWays::Rank(std::uint32_t of, const Group& group, const ServiceColumns& services) {
  const std::size_t columns = group.members.size();
  const float* const visits = &group.visits[places_[of].row * columns];
  const std::size_t most = ranked_.services.size();
  std::array<float, Standouts::kCandidates + Standouts::kMaskable> scores;
  std::size_t count = 0;
  float floor = -kInfinity;
  ranked_.of = of;
  ranked_.warm = false;
  for (std::size_t m = 0; m < columns; ++m) {
    const bool known = group.learnt[m] >= kWarm;
    ranked_.warm = ranked_.warm || known;
    const float score = services.score(group.members[m]);
    if (!(score > floor) || (known && visits[m] < kMayPass)) continue;
    if (count < most) ++count;
    std::size_t place = count - 1;
    for (; place > 0 && scores[place - 1] < score; --place) {
      scores[place] = scores[place - 1];
      ranked_.services[place] = ranked_.services[place - 1];
    }
    scores[place] = score;
    ranked_.services[place] = group.members[m];
    if (count == most) floor = scores[most - 1];
  }
  ranked_.count = count;
}

bool ClassWays::Candidates(ClassId id, const ServiceColumns& services,
                           absl::Span<const std::uint32_t> masked, absl::Span<std::uint32_t> into,
                           std::size_t* count) {
  const Group* const group = GroupOf(id);
  if (group == nullptr) return false;
  if (ranked_.of != id.value()) Rank(id.value(), *group, services);
  *count = 0;
  for (std::size_t i = 0; i < ranked_.count && *count < into.size(); ++i) {
    const std::uint32_t service = ranked_.services[i];
    if (std::find(masked.begin(), masked.end(), service) != masked.end()) continue;
    into[(*count)++] = service;
  }
  return ranked_.warm;
}

void ClassWays::State(StateIo& io) {
  std::size_t cells = 0;
  io.List(groups_, 40, [&](Group& group) {
    io(group.members), io(group.classes), io(group.inverse), io(group.visits), io(group.learnt);
    io(group.ticks), io(group.good), io(group.ended);
    io.AnyFloats(group.came);
    const std::size_t rows = group.classes.size(), columns = group.members.size();
    io.Require(rows <= kMostClasses && columns <= kMostCells, "ways: more than there may be");
    if (!io.ok()) return;
    io.Require(group.inverse.size() == rows * rows && group.visits.size() == rows * columns &&
                   group.learnt.size() == columns && group.ended.size() == rows &&
                   group.came.size() == columns && group.ticks < kBlockTicks &&
                   std::is_sorted(group.members.begin(), group.members.end()) &&
                   std::is_sorted(group.classes.begin(), group.classes.end()),
               "ways: rows and columns do not fit together");
    cells += rows * columns;
  });
  io.Require(cells <= kMostCells, "ways: more than there may be");
  io.AnyFloats(own_), io.AnyFloats(slow_);
  if (io.loading()) {
    places_.clear();
    ranked_.of = kNowhere;
  }
}

}  // namespace internal
SEER_END_NAMESPACE
