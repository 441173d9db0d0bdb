#include "predict/class_ways.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

#include "predict/side_by_side.h"
#include "predict/way_loops.h"

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

bool IsWarm(const std::vector<float>& learnt) {
  return std::any_of(learnt.begin(), learnt.end(),
                     [](float blocks) { return blocks >= ClassWays::kWarm; });
}

// Of those that are known, each cut off; and how many of them are far above usual.
float Mean(const std::vector<float>& spreads, float* share) {
  std::array<WaySpreads<float>, kSides> sides;
  BestWayLoops().add_spreads(spreads.data(), spreads.size(), sides.data());
  float sum = 0, known = 0, far = 0;
  for (const WaySpreads<float>& side : sides) {
    sum += side.sum;
    known += side.known;
    far += side.far;
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
  way_delays_.assign(services, kNone);
  own_delays_.assign(services, kNone);
  delays_of_ = delays_in_ = kNowhere;
  top_.Reserve(services);
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
    group.warm = IsWarm(group.learnt);
    group.side_by_side = columns > 0 && group.members.back() - group.members[0] + 1 == columns;
  }
}

void ClassWays::Observe(absl::Span<const float> counts, absl::Span<const std::uint8_t> calm,
                        const ServiceColumns& services, double gap) {
  ReadServices(services);
  ranked_.of = delays_of_ = kNowhere;
  for (Group& group : groups_) {
    if (gap > 0) group.good = false;
    for (std::size_t r = 0; r < group.classes.size(); ++r) {
      const float count = counts[group.classes[r]];
      group.good = group.good && count == count && calm[group.classes[r]] != 0;
      group.ended[r] += OrNone(count, 0);
    }
    Gather(services, &group);
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

void ClassWays::Gather(const ServiceColumns& services, Group* group) const {
  const auto seconds = static_cast<float>(services.seconds());
  const WayAsked all = {services.values(ServiceColumns::kRate),
                        services.excesses(),
                        slow_.data(),
                        own_.data(),
                        services.zs(ServiceColumns::kSelf),
                        services.self_before(2),
                        services.zs(ServiceColumns::kGap)};
  const auto gather = [&](const WayAsked& at, std::size_t m, std::size_t columns) {
    BestWayLoops().gather(at, columns, seconds, &group->came[m], &group->now[kDelay][m],
                          &group->now[kSlow][m], &group->now[kOwn][m], &group->now[kSelf][m],
                          &group->now[kRise][m], &group->now[kGap][m]);
  };
  const std::size_t columns = group->members.size();
  if (columns == 0) return;
  if (group->side_by_side) {
    const std::size_t s = group->members[0];
    gather({all.rate + s, all.excess + s, all.slow + s, all.own + s, all.self + s,
            all.self_before + s, all.gap + s},
           0, columns);
    return;
  }
  // Some at a time are put side by side.
  constexpr std::size_t kSome = 64;
  float rate[kSome], excess[kSome], slow[kSome], own[kSome], self[kSome], before[kSome], gap[kSome];
  for (std::size_t first = 0; first < columns; first += kSome) {
    const std::size_t some = std::min(columns - first, kSome);
    for (std::size_t i = 0; i < some; ++i) {
      const std::size_t s = group->members[first + i];
      rate[i] = all.rate[s];
      excess[i] = all.excess[s];
      slow[i] = all.slow[s];
      own[i] = all.own[s];
      self[i] = all.self[s];
      before[i] = all.self_before[s];
      gap[i] = all.gap[s];
    }
    gather({rate, excess, slow, own, self, before, gap}, first, some);
  }
}

void ClassWays::ReadServices(const ServiceColumns& services) {
  using C = ServiceColumns;
  const auto weight = static_cast<float>(std::min(1.0, services.seconds() / kSlowSeconds));
  BestWayLoops().hold_up(
      {services.recent_rates(), services.values(C::kSelf), services.means(C::kSelf),
       services.values(C::kGap), services.means(C::kGap), services.values(C::kQueued),
       services.means(C::kQueued), services.values(C::kOutstanding), services.values(C::kRunning)},
      own_.size(), weight, own_.data(), slow_.data());
}

ClassWays::Delays ClassWays::DelaysOf(ClassId id, float target_s) {
  const Delays delays = {way_delays_.data(), own_delays_.data()};
  if (delays_of_ == id.value()) return delays;
  const std::uint32_t in = id.index() < places_.size() ? places_[id.index()].group : kNowhere;
  if (delays_in_ != kNowhere && delays_in_ != in) {
    for (const std::uint32_t s : groups_[delays_in_].members) {
      way_delays_[s] = own_delays_[s] = kNone;
    }
  }
  delays_of_ = id.value();
  delays_in_ = in;
  if (in == kNowhere) return delays;
  const Group& group = groups_[in];
  const std::size_t columns = group.members.size();
  if (columns == 0) return delays;
  const float* const visits = &group.visits[places_[id.index()].row * columns];
  const auto fill = [&](const std::vector<float>& held, std::vector<float>* into) {
    if (group.side_by_side) {
      const std::size_t s = group.members[0];
      BestWayLoops().delay(visits, group.learnt.data(), columns, target_s, &held[s], &(*into)[s]);
      return;
    }
    for (std::size_t m = 0; m < columns; ++m) {
      const std::uint32_t s = group.members[m];
      BestWayLoops().delay(visits + m, &group.learnt[m], 1, target_s, &held[s], &(*into)[s]);
    }
  };
  fill(slow_, &way_delays_);
  fill(own_, &own_delays_);
  return delays;
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
  group->warm = IsWarm(group->learnt);
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
  if (!group.warm) return weighed;

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

  std::array<WaySides<float>, kSides> sides;
  BestWayLoops().take({&group.visits[places_[id.index()].row * columns], group.now[kDelay].data(),
                       group.now[kSlow].data(), group.now[kOwn].data(), group.now[kSelf].data(),
                       group.now[kRise].data(), group.now[kGap].data()},
                      columns, sides.data());
  weighed.delay = weighed.most = weighed.slow = weighed.own = weighed.abnormal = 0;
  weighed.self = weighed.rise = weighed.gap = -kInfinity;
  for (const WaySides<float>& side : sides) {
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
  const float* const visits = group.visits.data() + places_[of].row * columns;
  const float *const learnt = group.learnt.data(), *const all = services.scores();
  const std::uint32_t* const members = group.members.data();
  float* const scores = top_.Fit(columns);
  const auto may = [&](std::size_t m, float score) {
    const float told = visits[m] < kMayPass ? -kInfinity : score;
    return learnt[m] >= kWarm ? told : score;
  };
  if (group.side_by_side) {
    const float* const first = all + members[0];
    for (std::size_t m = 0; m < columns; ++m) scores[m] = may(m, first[m]);
  } else {
    for (std::size_t m = 0; m < columns; ++m) scores[m] = may(m, all[members[m]]);
  }
  ranked_.of = of;
  ranked_.warm = group.warm;
  ranked_.count = top_.Find(absl::MakeSpan(ranked_.services));
  for (std::size_t i = 0; i < ranked_.count; ++i) {
    ranked_.services[i] = members[ranked_.services[i]];
  }
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
