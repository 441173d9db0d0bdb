// Flow: (internal) which row of a table has this key? Without a second copy of the key
//
// A hash table of row numbers. The keys stay in the rows, so the caller brings the hash and the
// comparison with every call:
//
//   std::uint32_t row = index.Find(hash, [&](std::uint32_t r) { return rows[r].name == name; });
//
// Four bytes a slot: the row number in the low 21 bits, eleven bits of the hash above it. Those let
// a probe pass a stranger without touching its row, which would be a cache miss. Linear probing at
// a load of at most 3/4; Erase closes the gap it leaves, so there are no tombstones to clean up.
//
// Threads: plain value. Cost: 5.4 to 10.7 bytes for each id; Find touches about one cache line.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#include "seer/core/config.h"

SEER_BEGIN_NAMESPACE
namespace internal {

class IdIndex {
 public:
  static constexpr std::uint32_t kNone = 0xffffffffu;
  static constexpr std::uint32_t kMaxId = (1u << 20) - 1;

  std::size_t size() const { return size_; }

  // The id for which is_key(id) holds, or kNone. is_key is asked only about ids of a similar hash.
  template <typename IsKey>
  std::uint32_t Find(std::size_t hash, const IsKey& is_key) const {
    if (slots_.empty()) return kNone;
    const std::uint32_t tag = TagOf(hash);
    for (std::size_t i = hash & Mask(); slots_[i] != kEmpty; i = (i + 1) & Mask()) {
      if ((slots_[i] & kTagBits) == tag && is_key(IdOf(slots_[i]))) return IdOf(slots_[i]);
    }
    return kNone;
  }

  // Adds an id whose key is not in the index yet. hash_of(id) must give the hash under which each
  // id of the index was inserted.
  template <typename HashOf>
  void Insert(std::size_t hash, std::uint32_t id, const HashOf& hash_of) {
    SEER_DCHECK(id <= kMaxId);
    Reserve(size_ + 1, hash_of);
    Place(hash, id);
    ++size_;
  }

  // Removes an id that is in the index under this hash.
  template <typename HashOf>
  void Erase(std::size_t hash, std::uint32_t id, const HashOf& hash_of) {
    std::size_t gap = hash & Mask();
    while (IdOf(slots_[gap]) != id) {
      SEER_DCHECK(slots_[gap] != kEmpty);
      gap = (gap + 1) & Mask();
    }
    for (std::size_t i = (gap + 1) & Mask(); slots_[i] != kEmpty; i = (i + 1) & Mask()) {
      // An entry may move into the gap unless that would put it before its home slot.
      const std::size_t from_home = (i - hash_of(IdOf(slots_[i]))) & Mask();
      if (from_home < ((i - gap) & Mask())) continue;
      slots_[gap] = slots_[i];
      gap = i;
    }
    slots_[gap] = kEmpty;
    --size_;
  }

  // Makes room for `count` ids, so that no Insert up to there allocates.
  template <typename HashOf>
  void Reserve(std::size_t count, const HashOf& hash_of) {
    if (count <= slots_.size() / 4 * 3) return;
    std::size_t wanted = slots_.empty() ? 8 : slots_.size();
    while (count > wanted / 4 * 3) wanted *= 2;
    std::vector<std::uint32_t> old(wanted, kEmpty);
    old.swap(slots_);
    for (std::uint32_t slot : old) {
      if (slot != kEmpty) Place(hash_of(IdOf(slot)), IdOf(slot));
    }
  }

 private:
  static constexpr std::uint32_t kEmpty = 0;  // a used slot holds id + 1 in its low bits
  static constexpr unsigned kIdBits = 21;
  static constexpr std::uint32_t kTagBits = ~((1u << kIdBits) - 1);

  static std::uint32_t IdOf(std::uint32_t slot) { return (slot & ~kTagBits) - 1; }
  // From the top of the hash: its low bits already chose the slot.
  static std::uint32_t TagOf(std::size_t hash) {
    constexpr int kShift = std::numeric_limits<std::size_t>::digits - (32 - kIdBits);
    return static_cast<std::uint32_t>(hash >> kShift) << kIdBits;
  }
  std::size_t Mask() const { return slots_.size() - 1; }

  void Place(std::size_t hash, std::uint32_t id) {
    std::size_t i = hash & Mask();
    while (slots_[i] != kEmpty) i = (i + 1) & Mask();
    slots_[i] = TagOf(hash) | (id + 1);
  }

  std::vector<std::uint32_t> slots_;  // a power of two, never full
  std::size_t size_ = 0;
};

}  // namespace internal
SEER_END_NAMESPACE
