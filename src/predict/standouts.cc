#include "predict/standouts.h"

#include <algorithm>
#include <limits>

#include "predict/lanes.h"

SEER_BEGIN_NAMESPACE
namespace internal {
namespace {

using Series = ServiceColumns::Series;
constexpr float kNone = ServiceColumns::kNone;
constexpr float kInfinity = std::numeric_limits<float>::infinity();

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
}

const Standouts& StandoutLists::Of(std::size_t list, absl::Span<const std::uint32_t> members,
                                   ServiceColumns& services,
                                   absl::Span<const std::uint32_t> masked) {
  List& all = lists_[list];
  if (all.tick != services.observed()) {
    Collect(members, services, &all);
    all.tick = services.observed();
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
                            List* list) {
  Standouts* const into = &list->found;
  float excess_sum = 0, floor = -kInfinity;
  std::size_t count = 0;
  for (std::size_t b = 0; b < list->blocks.size(); ++b) {
    LookAt(*list, b, members, services, {}, &list->blocks[b]);
    list->blocks[b].excess_before = excess_sum;
    for (std::size_t i = list->starts[b]; i < list->starts[b + 1]; ++i) {
      const std::uint32_t s = members[i];
      const float excess = services.excess(s);
      excess_sum += excess > 0 ? excess : 0.0f;
      // Those that stand out most, and of equals the first.
      const float score = services.score(s);
      if (!(score > floor)) continue;
      if (count < into->top.size()) ++count;
      std::size_t place = count - 1;
      for (; place > 0 && into->top_score[place - 1] < score; --place) {
        into->top_score[place] = into->top_score[place - 1];
        into->top[place] = into->top[place - 1];
      }
      into->top_score[place] = score;
      into->top[place] = s;
      if (count == into->top.size()) floor = into->top_score.back();
    }
  }
  Sum(list->blocks, into);
  into->excess_sum = excess_sum;
  into->count = count;
}

// As Collect(), without those that are masked.
void StandoutLists::CollectUnmasked(const List& all, absl::Span<const std::uint32_t> members,
                                    ServiceColumns& services,
                                    absl::Span<const std::uint32_t> masked) {
  masked_blocks_.assign(all.blocks.begin(), all.blocks.end());
  std::size_t first = all.blocks.size(), place_count = 0;
  std::array<std::size_t, Standouts::kMaskable> places;  // of those that are masked, in the list
  for (const std::uint32_t one : masked) {
    const auto place = std::lower_bound(members.begin(), members.end(), one);
    if (place == members.end() || *place != one) continue;
    const auto at = static_cast<std::size_t>(place - members.begin());
    if (std::find(places.begin(), places.begin() + place_count, at) !=
        places.begin() + place_count) {
      continue;
    }
    std::size_t slot = place_count++;  // in order
    for (; slot > 0 && places[slot - 1] > at; --slot) places[slot] = places[slot - 1];
    places[slot] = at;
    const std::size_t b = (all.dense ? one : at) / kBlock;
    LookAt(all, b, members, services, masked, &masked_blocks_[b]);
    first = std::min(first, b);
  }
  Sum(masked_blocks_, &masked_);
  masked_.excess_sum = all.found.excess_sum;
  if (first < all.blocks.size()) {
    // In the same order as before: the same sum, to the last bit.
    float sum = all.blocks[first].excess_before;
    std::size_t i = all.starts[first];
    const auto add_until = [&](std::size_t end) {
      for (; i < end; ++i) {
        const float excess = services.excess(members[i]);
        sum += excess > 0 ? excess : 0.0f;
      }
    };
    for (std::size_t m = 0; m < place_count; ++m) {
      add_until(places[m]);
      i = places[m] + 1;
    }
    add_until(members.size());
    masked_.excess_sum = sum;
  }
  masked_.count = 0;
  for (std::size_t i = 0; i < all.found.count; ++i) {
    if (IsIn(masked, all.found.top[i])) continue;
    masked_.top[masked_.count] = all.found.top[i];
    masked_.top_score[masked_.count++] = all.found.top_score[i];
  }
}

}  // namespace internal
SEER_END_NAMESPACE
