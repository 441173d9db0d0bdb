// Who stands out among all that a class's requests can wait for, and how far: of many services the
// few numbers that the rows of TreeFeatures are made of. Classes with the same services share them.
//
// Bit for bit what tests/predict/plain_tree_features.cc computes one by one.
//
// Cost: where a list has nearly all services 2 ns for each of them, else 5 ns for each on the list;
// another look with some of them masked, a tenth of that.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "predict/class_members.h"
#include "predict/service_columns.h"
#include "predict/side_by_side.h"
#include "predict/top_scores.h"
#include "seer/core/config.h"

SEER_BEGIN_NAMESPACE
namespace internal {

struct Standouts {
  static constexpr std::size_t kCandidates = 24;  // the most conspicuous services that are told
  static constexpr std::size_t kMaskable = 4;     // services at a time

  std::array<float, ServiceColumns::kLanes> most;  // of each lane
  float second_self = ServiceColumns::kNone, least_rate = ServiceColumns::kNone;
  float abnormal = 0, excess_sum = 0;
  // The first that were wanted, and some more to take the places of those that are masked.
  std::array<std::uint32_t, kCandidates + kMaskable> top;
  std::size_t count = 0;  // of top
};

class StandoutLists {
 public:
  void Clear();
  // When the members are others.
  void UseRows(const ClassMembers& members, std::size_t services);
  // Of a list of `members`, without those that are masked; at least `wanted` of `top`, if there are
  // so many. Until the next call or tick.
  const Standouts& Of(std::size_t list, absl::Span<const std::uint32_t> members,
                      ServiceColumns& services, absl::Span<const std::uint32_t> masked,
                      std::size_t wanted);

 private:
  static constexpr std::size_t kBlock = ServiceColumns::kStride;
  // Of a part of the list: so that another look without some of them looks only at the parts of
  // those.
  struct Block {
    alignas(16) std::array<float, ServiceColumns::kLanes> most;
    float most_self, second_self, least_rate;
    std::uint32_t abnormal;
  };
  struct List {
    Standouts found;
    std::uint64_t tick = 0;              // of which it was computed, counted
    std::size_t wanted = 0;              // of its `top`
    std::array<float, kSides> excesses;  // sums; member i is added to side i % kSides
    bool side_by_side = false;           // in the columns, all of them
    // The blocks are of services side by side in the columns; else side by side in the list.
    bool dense = false;
    std::vector<float> apart;           // dense: minus infinity for who is not on the list, else 0
    std::vector<std::uint32_t> starts;  // of each block in the list, and the list's size
    std::vector<Block> blocks;
  };

  void Collect(absl::Span<const std::uint32_t> members, ServiceColumns& services,
               std::size_t wanted, List* list);
  static void SumExcesses(absl::Span<const std::uint32_t> members, const ServiceColumns& services,
                          List* list);
  void FindTop(absl::Span<const std::uint32_t> members, const ServiceColumns& services,
               std::size_t most, List* list);
  void CollectUnmasked(const List& all, absl::Span<const std::uint32_t> members,
                       ServiceColumns& services, absl::Span<const std::uint32_t> masked);
  static void LookAt(const List& list, std::size_t block, absl::Span<const std::uint32_t> members,
                     ServiceColumns& services, absl::Span<const std::uint32_t> masked, Block* into);
  static void Sum(absl::Span<const Block> blocks, Standouts* into);

  std::vector<List> lists_;
  Standouts masked_;
  TopScores top_;
  std::vector<Block> masked_blocks_;
};

}  // namespace internal
SEER_END_NAMESPACE
