// The calendar of a simulator: a wheel of short lists by time, and a heap for what lies beyond it.
// A plain value that is cloned by copying it.
//
// A slot of the wheel is 2^shift ns wide; the width follows the events: seldom two in a slot, and
// few beyond the wheel. What a heap pays for each event are branches that no processor foresees: of
// two slots' lists the wheel asks hardly any.
//
// Invariant: events on the wheel lie in slots [cursor, cursor + kSlots), those in the heap at or
// beyond its end; no event is pushed before the time of the last one popped, nor before the limit
// of a PopBefore() that found none.
//
// Events of the same time come in the order in which they were pushed, but for a change of width in
// between; always in the same order in the same simulation.
//
// Threads: one at a time. Cost: Push and Pop O(1) as long as most events lie within kSlots mean
// distances; 24 bytes per event and 17 KB.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace seer::cluster {

struct Event {
  std::int64_t time_ns;
  std::uint32_t index;  // of what it happens to
  std::uint32_t what;   // the kind, and what tells whether it still holds
};

class EventQueue {
 public:
  EventQueue() : heads_(kSlots, kEnd), used_(kSlots / 64, 0) {}

  void Push(const Event& event) {
    ++size_;
    const std::uint64_t slot = SlotOf(event.time_ns);
    if (slot - cursor_ < kSlots) {
      Link(slot, event);
    } else {
      ++far_pushed_;
      far_.push_back({event, order_++});
      std::push_heap(far_.begin(), far_.end(), Later());
    }
  }

  // The earliest event before `limit_ns`; false if there is none.
  bool PopBefore(std::int64_t limit_ns, Event* event) {
    for (;;) {
      const std::uint64_t slot = NextInUse();
      if (slot == kNoSlot) {
        if (far_.empty() || far_[0].event.time_ns >= limit_ns) return false;
        cursor_ = SlotOf(far_[0].event.time_ns);
        TakeNear();
        continue;
      }
      if (slot > SlotOf(limit_ns)) return false;
      std::uint32_t* head = &heads_[slot % kSlots];
      // The earliest of the list; of the same time the one that was pushed first, the last in it.
      std::uint32_t* best = head;
      std::int64_t time = nodes_[*head].event.time_ns;
      std::uint32_t length = 1;
      for (std::uint32_t* at = &nodes_[*head].next; *at != kEnd; at = &nodes_[*at].next) {
        ++length;
        if (nodes_[*at].event.time_ns <= time) {
          time = nodes_[*at].event.time_ns;
          best = at;
        }
      }
      if (time >= limit_ns) return false;
      if (slot != cursor_) {
        cursor_ = slot;
        if (!far_.empty() && SlotOf(far_[0].event.time_ns) - cursor_ < kSlots) {
          TakeNear();
          continue;  // to the end of the wheel: never before what was found, but nodes_ may move
        }
      }
      const std::uint32_t found = *best;
      *event = nodes_[found].event;
      *best = nodes_[found].next;
      nodes_[found].next = free_;
      free_ = found;
      if (*head == kEnd) Clear(slot % kSlots);
      --size_;
      looked_at_ += length;
      if (++popped_ == kReview) Review();
      return true;
    }
  }

  std::size_t size() const { return size_; }

 private:
  static constexpr std::size_t kSlots = 4096;  // 64 words of 64 bits
  static constexpr std::uint32_t kEnd = 0xffffffffu;
  static constexpr std::uint64_t kNoSlot = ~std::uint64_t{0};
  static constexpr std::uint32_t kReview = 1 << 14;
  static constexpr int kMinShift = 6, kMaxShift = 30;

  struct Node {
    Event event;
    std::uint32_t next;
  };
  struct Far {
    Event event;
    std::uint64_t order;
  };
  struct Later {
    bool operator()(const Far& a, const Far& b) const {
      return a.event.time_ns != b.event.time_ns ? a.event.time_ns > b.event.time_ns
                                                : a.order > b.order;
    }
  };

  std::uint64_t SlotOf(std::int64_t ns) const { return static_cast<std::uint64_t>(ns) >> shift_; }

  void Link(std::uint64_t slot, const Event& event) {
    const std::size_t at = slot % kSlots;
    std::uint32_t node = free_;
    if (node == kEnd) {
      node = static_cast<std::uint32_t>(nodes_.size());
      nodes_.push_back({event, heads_[at]});
    } else {
      free_ = nodes_[node].next;
      nodes_[node] = {event, heads_[at]};
    }
    heads_[at] = node;
    used_[at / 64] |= std::uint64_t{1} << (at % 64);
    words_ |= std::uint64_t{1} << (at / 64);
  }
  void Clear(std::size_t at) {
    used_[at / 64] &= ~(std::uint64_t{1} << (at % 64));
    if (used_[at / 64] == 0) words_ &= ~(std::uint64_t{1} << (at / 64));
  }

  // The first slot in use from the cursor on, round the wheel.
  std::uint64_t NextInUse() const {
    const std::size_t start = cursor_ % kSlots;
    const std::size_t word = start / 64;
    const std::uint64_t here = used_[word] >> (start % 64);
    if (here != 0) return cursor_ + static_cast<std::uint64_t>(__builtin_ctzll(here));
    if (words_ == 0) return kNoSlot;
    // Words after this one, then those before it, and at last the part of this one that was left.
    const std::uint64_t after = word == 63 ? 0 : words_ >> (word + 1) << (word + 1);
    const std::uint64_t from = after != 0 ? after : words_;
    const auto next = static_cast<std::size_t>(__builtin_ctzll(from));
    const std::size_t at = next * 64 + static_cast<std::size_t>(__builtin_ctzll(used_[next]));
    return cursor_ + (at - start) % kSlots;
  }

  // What has come within the wheel's reach.
  void TakeNear() {
    while (!far_.empty() && SlotOf(far_[0].event.time_ns) - cursor_ < kSlots) {
      std::pop_heap(far_.begin(), far_.end(), Later());
      const Event event = far_.back().event;
      far_.pop_back();
      Link(SlotOf(event.time_ns), event);
    }
  }

  // Now and then: narrower slots where lists are long, wider ones where the wheel is too short.
  void Review() {
    // More than 1.25 in a slot in use, and hardly any pushed beyond the wheel.
    const bool crowded = 4 * looked_at_ > 5 * std::uint64_t{kReview} && far_pushed_ < kReview / 32;
    const bool short_reach =
        far_pushed_ > kReview / 8 && 2 * looked_at_ < 3 * std::uint64_t{kReview};
    popped_ = 0;
    looked_at_ = far_pushed_ = 0;
    if (crowded && shift_ > kMinShift) {
      Rebuild(shift_ - 1);
    } else if (short_reach && shift_ < kMaxShift) {
      Rebuild(shift_ + 1);
    }
  }
  void Rebuild(int shift) {
    std::vector<Event> events;
    for (std::uint64_t slot = cursor_; slot < cursor_ + kSlots; ++slot) {
      const std::size_t first = events.size();
      for (std::uint32_t at = heads_[slot % kSlots]; at != kEnd; at = nodes_[at].next) {
        events.push_back(nodes_[at].event);
      }
      std::reverse(events.begin() + static_cast<std::ptrdiff_t>(first), events.end());
      heads_[slot % kSlots] = kEnd;
    }
    std::sort_heap(far_.begin(), far_.end(), Later());  // the latest first
    for (auto far = far_.rbegin(); far != far_.rend(); ++far) events.push_back(far->event);
    far_.clear();
    std::fill(used_.begin(), used_.end(), 0);
    words_ = 0;
    nodes_.clear();
    free_ = kEnd;
    cursor_ = static_cast<std::uint64_t>(static_cast<std::int64_t>(cursor_ << shift_)) >> shift;
    shift_ = shift;
    size_ = 0;
    for (const Event& event : events) Push(event);
    far_pushed_ = 0;
  }

  std::vector<std::uint32_t> heads_;  // by slot modulo kSlots
  std::vector<std::uint64_t> used_;   // slots with events
  std::uint64_t words_ = 0;           // words of used_ that are not 0
  std::vector<Node> nodes_;
  std::uint32_t free_ = kEnd;
  std::vector<Far> far_;
  std::uint64_t order_ = 0;
  std::uint64_t cursor_ = 0;  // slot of the last event popped
  int shift_ = 14;
  std::size_t size_ = 0;
  std::uint32_t popped_ = 0;
  std::uint64_t looked_at_ = 0, far_pushed_ = 0;
};

}  // namespace seer::cluster
