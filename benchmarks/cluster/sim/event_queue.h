// The calendar of a simulator: a 4-ary heap by time, a plain value that is cloned by copying it.
//
// Most handlers schedule one event: so the popped root stays as a hole that the next Push() fills,
// which saves one of two walks through the heap.
//
// Threads: one at a time. Cost: Push and Pop O(log4 n); 16 bytes per event.
#pragma once

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
  void Push(const Event& event) {
    if (hole_) {
      hole_ = false;
      SiftDown(event);
      return;
    }
    std::size_t at = heap_.size();
    heap_.push_back(event);
    while (at > 0) {
      const std::size_t parent = (at - 1) / 4;
      if (heap_[parent].time_ns <= event.time_ns) break;
      heap_[at] = heap_[parent];
      at = parent;
    }
    heap_[at] = event;
  }

  // The earliest event before `limit_ns`; false if there is none.
  bool PopBefore(std::int64_t limit_ns, Event* event) {
    if (hole_) {
      hole_ = false;
      const Event last = heap_.back();
      heap_.pop_back();
      if (!heap_.empty()) SiftDown(last);
    }
    if (heap_.empty() || heap_[0].time_ns >= limit_ns) return false;
    *event = heap_[0];
    hole_ = true;
    return true;
  }

  std::size_t size() const { return heap_.size() - (hole_ ? 1 : 0); }

 private:
  void SiftDown(const Event& event) {  // from the root
    const std::size_t size = heap_.size();
    std::size_t at = 0;
    for (;;) {
      const std::size_t child = 4 * at + 1;
      if (child >= size) break;
      std::size_t best = child;
      const std::size_t end = child + 4 < size ? child + 4 : size;
      for (std::size_t c = child + 1; c < end; ++c) {
        if (heap_[c].time_ns < heap_[best].time_ns) best = c;
      }
      if (heap_[best].time_ns >= event.time_ns) break;
      heap_[at] = heap_[best];
      at = best;
    }
    heap_[at] = event;
  }

  std::vector<Event> heap_;
  bool hole_ = false;  // heap_[0] was handed out
};

}  // namespace seer::cluster
