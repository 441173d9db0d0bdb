#include "predict/standouts.h"

#include <algorithm>
#include <cstring>
#include <limits>

#include "predict/lanes.h"

SEER_BEGIN_NAMESPACE
namespace internal {
namespace {

using Series = ServiceColumns::Series;
constexpr float kNone = ServiceColumns::kNone;
constexpr float kInfinity = std::numeric_limits<float>::infinity();

float Total(const std::array<float, kSides>& sides) {
  float sum = 0;
  for (const float side : sides) sum += side;
  return sum;
}

bool IsIn(absl::Span<const std::uint32_t> few, std::uint32_t service) {
  return std::find(few.begin(), few.end(), service) != few.end();
}

}  // namespace

void StandoutLists::Clear() {
  lists_.clear();
  masked_ = Standouts();
}

void StandoutLists::UseRows(const ClassMembers& members, std::size_t services) {
  lists_.assign(members.lists(), {});
  const std::size_t padded = (services + kBlock - 1) / kBlock * kBlock;
  std::size_t most_blocks = 0;
  for (std::size_t l = 0; l < lists_.size(); ++l) {
    List& list = lists_[l];
    const absl::Span<const std::uint32_t> of = members.OfList(l);
    list.dense = kDenseLanes && of.size() > services / 4 * 3;
    list.side_by_side = !of.empty() && of.back() - of.front() + 1 == of.size();
    const std::size_t blocks = list.dense ? padded / kBlock : (of.size() + kBlock - 1) / kBlock;
    for (std::size_t b = 0; b < blocks; ++b) {
      const std::size_t start =
          list.dense ? static_cast<std::size_t>(std::lower_bound(of.begin(), of.end(), b * kBlock) -
                                                of.begin())
                     : b * kBlock;
      list.starts.push_back(static_cast<std::uint32_t>(start));
    }
    list.starts.push_back(static_cast<std::uint32_t>(of.size()));
    if (list.dense) {
      list.apart.assign(padded, -kInfinity);
      for (const std::uint32_t s : of) list.apart[s] = 0;
    }
    list.blocks.resize(blocks);
    most_blocks = std::max(most_blocks, blocks);
  }
  masked_blocks_.reserve(most_blocks);
  top_.Reserve(services);
}

const Standouts& StandoutLists::Of(std::size_t list, absl::Span<const std::uint32_t> members,
                                   ServiceColumns& services, absl::Span<const std::uint32_t> masked,
                                   std::size_t wanted) {
  List& all = lists_[list];
  if (all.tick != services.observed() || all.wanted < wanted) {
    Collect(members, services, wanted, &all);
    all.tick = services.observed();
    all.wanted = wanted;
  }
  if (masked.empty()) return all.found;
  CollectUnmasked(all, members, services, masked);
  return masked_;
}

// Without branches that are hard to guess.
void StandoutLists::LookAt(const List& list, std::size_t b, absl::Span<const std::uint32_t> members,
                           ServiceColumns& services, absl::Span<const std::uint32_t> masked,
                           Block* block) {
  if (list.dense) {
    std::array<float, kBlock> apart;
    std::copy_n(list.apart.begin() + static_cast<std::ptrdiff_t>(b * kBlock), kBlock,
                apart.begin());
    for (const std::uint32_t s : masked) {
      if (s / kBlock == b) apart[s % kBlock] = -kInfinity;
    }
    DenseLanes lanes(apart.data(), b * kBlock);
    for (std::size_t k = 0; k < Series::kSeries; ++k) {
      const auto series = static_cast<Series>(k);
      block->most[k] = services.live(series) ? lanes.Most(services.zs(series)) : -kInfinity;
    }
    const float* const self = services.self_before(0);
    block->most[ServiceColumns::kRise1] = lanes.MostRise(services.self_before(1), self);
    block->most[ServiceColumns::kRise2] = lanes.MostRise(services.self_before(2), self);
    block->most[ServiceColumns::kRise4] = lanes.MostRise(services.self_before(4), self);
    block->most[ServiceColumns::kOutstandingRise] =
        lanes.MostRise(services.outstanding_before(2), services.outstanding_before(0));
    block->most[ServiceColumns::kExcess] = lanes.Most(services.excesses());
    block->abnormal = lanes.TwoMost(self, 4, &block->most_self, &block->second_self);
    block->least_rate = lanes.Least(services.zs(Series::kRate));
    return;
  }
  Lanes lanes(-kInfinity);
  float most_self = -kInfinity, second_self = -kInfinity, least_rate = kInfinity;
  std::uint32_t abnormal = 0;
  for (std::size_t i = list.starts[b]; i < list.starts[b + 1]; ++i) {
    const std::uint32_t s = members[i];
    if (!masked.empty() && IsIn(masked, s)) continue;
    const float* const lane = services.digest(s).lane;  // a cache line
    lanes.Take(lane);
    const float self = lane[Series::kSelf], rate = lane[Series::kRate];
    if (self > second_self) {
      second_self = self > most_self ? most_self : self;
      most_self = self > most_self ? self : most_self;
    }
    least_rate = rate < least_rate ? rate : least_rate;
    abnormal += self > 4 ? 1 : 0;
  }
  lanes.Tell(block->most.data());
  block->most_self = most_self;
  block->second_self = second_self;
  block->least_rate = least_rate;
  block->abnormal = abnormal;
}

void StandoutLists::Sum(absl::Span<const Block> blocks, Standouts* into) {
  Lanes lanes(-kInfinity);
  float most_self = -kInfinity, second_self = -kInfinity, least_rate = kInfinity;
  std::uint32_t abnormal = 0;
  for (const Block& block : blocks) {
    lanes.Take(block.most.data());
    for (const float self : {block.most_self, block.second_self}) {
      if (!(self > second_self)) continue;
      second_self = self > most_self ? most_self : self;
      most_self = self > most_self ? self : most_self;
    }
    least_rate = block.least_rate < least_rate ? block.least_rate : least_rate;
    abnormal += block.abnormal;
  }
  lanes.Tell(into->most.data());
  for (float& most : into->most) most = most == -kInfinity ? kNone : most;
  into->second_self = second_self == -kInfinity ? kNone : second_self;
  into->least_rate = least_rate == kInfinity ? kNone : least_rate;
  into->abnormal = static_cast<float>(abnormal);
}

void StandoutLists::Collect(absl::Span<const std::uint32_t> members, ServiceColumns& services,
                            std::size_t wanted, List* list) {
  for (std::size_t b = 0; b < list->blocks.size(); ++b) {
    LookAt(*list, b, members, services, {}, &list->blocks[b]);
  }
  Sum(list->blocks, &list->found);
  SumExcesses(members, services, list);
  list->found.excess_sum = Total(list->excesses);
  FindTop(members, services, wanted + Standouts::kMaskable, list);
}

void StandoutLists::SumExcesses(absl::Span<const std::uint32_t> members,
                                const ServiceColumns& services, List* list) {
  const float* const excesses = services.excesses();
  std::array<float, kSides> sides{};
  std::size_t i = 0;
#if SEER_SIDE_BY_SIDE
  if (list->side_by_side) {
    EightFloats all = {};
    const EightFloats zero = {};
    const float* const first = excesses + members[0];
    for (; i + kSides <= members.size(); i += kSides) {
      EightFloats some;
      std::memcpy(&some, first + i, sizeof(some));
      all += some > 0 ? some : zero;
    }
    std::memcpy(sides.data(), &all, sizeof(all));
  }
#endif
  for (; i < members.size(); ++i) {
    const float excess = excesses[members[i]];
    sides[i % kSides] += excess > 0 ? excess : 0.0f;
  }
  list->excesses = sides;
}

// Those that stand out most, and of equals the first.
void StandoutLists::FindTop(absl::Span<const std::uint32_t> members, const ServiceColumns& services,
                            std::size_t most, List* list) {
  Standouts* const into = &list->found;
  const float* const all = services.scores();
  float* const scores = top_.Fit(members.size());
  if (list->side_by_side) {
    std::copy_n(all + members[0], members.size(), scores);
  } else {
    for (std::size_t i = 0; i < members.size(); ++i) scores[i] = all[members[i]];
  }
  into->count = top_.Find(absl::MakeSpan(into->top).first(most));
  for (std::size_t i = 0; i < into->count; ++i) into->top[i] = members[into->top[i]];
}

// As Collect(), without those that are masked.
void StandoutLists::CollectUnmasked(const List& all, absl::Span<const std::uint32_t> members,
                                    ServiceColumns& services,
                                    absl::Span<const std::uint32_t> masked) {
  masked_blocks_.assign(all.blocks.begin(), all.blocks.end());
  std::size_t place_count = 0;
  static_assert(Standouts::kMaskable == 4);
  std::array<std::size_t, Standouts::kMaskable> places;  // of those that are masked, in the list
  for (const std::uint32_t one : masked) {
    const auto place = std::lower_bound(members.begin(), members.end(), one);
    if (place == members.end() || *place != one) continue;
    const auto at = static_cast<std::size_t>(place - members.begin());
    if (std::find(places.begin(), places.begin() + place_count, at) !=
        places.begin() + place_count) {
      continue;
    }
    places[place_count++] = at;
    const std::size_t b = (all.dense ? one : at) / kBlock;
    LookAt(all, b, members, services, masked, &masked_blocks_[b]);
  }
  Sum(masked_blocks_, &masked_);
  // The sides that change, in the same order as before: the same sums, to the last bit.
  std::array<float, kSides> excesses = all.excesses;
  std::fill(places.begin() + place_count, places.end(), members.size());
  for (std::size_t m = 0; m < place_count; ++m) {
    float sum = 0;
    for (std::size_t i = places[m] % kSides; i < members.size(); i += kSides) {
      const bool out = i == places[0] || i == places[1] || i == places[2] || i == places[3];
      const float excess = services.excess(members[i]);
      sum += std::max(0.0f, out ? 0.0f : excess);  // NaN is the second one, which does not count
    }
    excesses[places[m] % kSides] = sum;
  }
  masked_.excess_sum = Total(excesses);
  masked_.count = 0;
  for (std::size_t i = 0; i < all.found.count; ++i) {
    if (IsIn(masked, all.found.top[i])) continue;
    masked_.top[masked_.count++] = all.found.top[i];
  }
}

}  // namespace internal
SEER_END_NAMESPACE
