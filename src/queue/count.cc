// The slower ways of counting.
#include "seer/queue/internal/count.h"

#include "queue/stamps.h"
#include "seer/core/internal/shared_word.h"
#include "seer/queue/segment_layout.h"

SEER_BEGIN_NAMESPACE
namespace internal {

namespace {

seer_slot* SlotAt(PartAddress part) { return reinterpret_cast<seer_slot*>(part.address); }

}  // namespace

void CountSlow(Place place, Word word) noexcept {
  const PartAddress part = InPart(place);
  if (part.address == nullptr) return;
  std::uint64_t* const counter =
      word == kEnqueued ? &SlotAt(part)->enqueued : &SlotAt(part)->dequeued;
  if (part.mine) {
    AddOwned(counter, 1);
  } else {
    AddShared(counter, 1);
  }
}

// Readers tell by `sequence` whether they saw all of a change: it is odd meanwhile. Every store is
// a release and every load of the reader an acquire [T], so that whoever sees one of the new sums
// sees at least the odd sequence before it. In the shared shard no sums are kept; the reader sees
// its counts and gives no mean for the tick.
std::uint64_t EnterTimed(Place place) noexcept {
  const std::uint64_t stamp = StampNow(StampSource());
  const PartAddress part = InPart(place);
  if (part.address == nullptr) return stamp;
  seer_slot* const slot = SlotAt(part);
  if (!part.mine) {
    AddShared(&slot->enqueued, 1);
    return stamp;
  }
  auto* const timed = reinterpret_cast<seer_timed_slots*>(slot + 1);
  AddOwned(&timed->sequence, 1);
  AddOwned(&slot->enqueued, 1);
  AddOwned(&timed->entered_sum, stamp);
  AddOwned(&timed->sequence, 1);
  return stamp;
}

void LeaveTimed(Place place, std::uint64_t entered) noexcept {
  const std::uint64_t stamp = FencedStampNow(StampSource());  // it may come from another core
  const PartAddress part = InPart(place);
  if (part.address == nullptr) return;
  seer_slot* const slot = SlotAt(part);
  if (!part.mine) {
    AddShared(&slot->dequeued, 1);
    return;
  }
  auto* const timed = reinterpret_cast<seer_timed_slots*>(slot + 1);
  AddOwned(&timed->sequence, 1);
  AddOwned(&slot->dequeued, 1);
  AddOwned(&timed->left_sum, stamp);
  AddOwned(&timed->left_entered_sum, entered);
  AddOwned(&timed->sequence, 1);
}

}  // namespace internal
SEER_END_NAMESPACE
