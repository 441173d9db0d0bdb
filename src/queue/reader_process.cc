#include "queue/reader_process.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "queue/stamps.h"

SEER_BEGIN_NAMESPACE
namespace internal {

namespace {

constexpr std::uint64_t kMaxDepth = std::numeric_limits<std::uint32_t>::max();

std::uint32_t Saturated(std::uint64_t value) {
  return static_cast<std::uint32_t>(std::min(value, kMaxDepth));
}

}  // namespace

bool ReaderProcess::Refresh() {
  bool changed = false;
  const std::uint32_t retired = view_.retired_count();
  if (retired != retired_seen_) {
    retired_seen_ = retired;
    for (std::size_t i = queues_.size(); i-- > 0;) {
      if (view_.RowState(rows_[i]) == SEER_QUEUE_LIVE) continue;
      const auto at = static_cast<std::ptrdiff_t>(i);
      const std::uint32_t slot = queues_[i].slot;
      timed_.erase(std::remove_if(timed_.begin(), timed_.end(),
                                  [&](const Timed& timed) { return timed.slot == slot; }),
                   timed_.end());
      queues_.erase(queues_.begin() + at);
      infos_.erase(infos_.begin() + at);
      rows_.erase(rows_.begin() + at);
      changed = true;
    }
  }
  // A count that goes down is a lie; what was seen stays seen.
  const std::uint32_t rows = view_.rows_count();
  for (; rows_seen_ < rows; ++rows_seen_) {
    seer_queue_row row;
    if (!view_.Row(rows_seen_, &row) || row.state != SEER_QUEUE_LIVE) continue;
    seer_name_row service, callee;
    if (!view_.Name(row.service, &service)) continue;
    QueueInfo info;
    info.service.assign(service.name, service.bytes);
    info.name.assign(row.name, row.bytes);
    info.timed = (row.flags & SEER_QUEUE_TIMED) != 0;
    if (row.channel == SEER_CHANNEL_OUTBOUND) {
      if (!view_.Name(row.callee, &callee)) continue;
      info.callee.assign(callee.name, callee.bytes);
    } else {
      info.channel = static_cast<Channel>(row.channel);
    }
    Known known;
    known.slot = row.slot;
    known.timed = info.timed;
    // A queue that appears in a segment we knew is new: it has counted from zero.
    known.seen = counts_from_zero_;
    queues_.push_back(known);
    rows_.push_back(rows_seen_);
    if (known.timed) {
      timed_.emplace_back();
      timed_.back().slot = row.slot;
    }
    infos_.push_back(std::move(info));
    slots_ = std::max(slots_, row.slot + 1);
    changed = true;
  }
  counts_from_zero_ = true;
  if (changed) counts_.resize((slots_ + std::size_t{3}) / 4 * 4);
  return changed;
}

std::uint64_t ReaderProcess::counters() const {
  const QueuesView::ShardsUsed used = view_.shards_used();
  return std::uint64_t{slots_} * (used.highest + 1);
}

void ReaderProcess::AppendInfos(std::uint32_t process, std::vector<QueueInfo>* infos) const {
  for (const QueueInfo& info : infos_) {
    infos->push_back(info);
    infos->back().process = process;
  }
}

void ReaderProcess::Read(bool ended, QueueReading* readings, NodeReading* totals) {
  SweepSlots(view_, slots_, counts_.data());
  std::uint64_t inexact = 0;
  for (std::size_t i = 0, size = queues_.size(); i < size; ++i) {
    Known& known = queues_[i];
    const SlotCount& count = counts_[known.slot];
    QueueReading& reading = readings[i];
    reading.counted = known.seen;
    reading.arrivals = known.seen ? Saturated(count.enqueued - known.enqueued) : 0;
    reading.departures = known.seen ? Saturated(count.dequeued - known.dequeued) : 0;
    reading.enqueued = known.enqueued = count.enqueued;
    reading.dequeued = known.dequeued = count.dequeued;
    known.seen = true;
    // Modulo 2^64, so that counters may wrap.
    const auto low =
        static_cast<std::int64_t>(count.enqueued + known.missing_enters - count.dequeued);
    const std::uint64_t width = count.dequeued - count.dequeued_before;
    if (static_cast<std::uint64_t>(low) <= kMaxDepth && width == 0) {
      reading.depth = static_cast<std::uint32_t>(low);  // nearly always
      reading.width = 0;
    } else {
      inexact += width != 0;
      ReadOdd(low, width, &known, &reading, totals);
    }
    if (known.timed) ReadTimed(known.slot, &reading);
    if (ended) reading.depth = reading.width = 0;
  }
  if (!ended) totals->inexact += inexact;
}

// A depth that is not exact, or negative, or beyond belief.
void ReaderProcess::ReadOdd(std::int64_t low, std::uint64_t width, Known* known,
                            QueueReading* reading, NodeReading* totals) {
  const auto high = static_cast<std::int64_t>(static_cast<std::uint64_t>(low) + width);
  if (high < 0) {
    // Even the fewest leaves are more than the enters: nobody entered for them.
    const std::uint64_t missing = std::uint64_t{0} - static_cast<std::uint64_t>(high);
    totals->counter_errors += missing;
    known->missing_enters += missing;
    reading->depth = reading->width = 0;
    return;
  }
  const std::int64_t from = std::max<std::int64_t>(low, 0);
  reading->depth = Saturated(static_cast<std::uint64_t>(from));
  reading->width = Saturated(static_cast<std::uint64_t>(high - from));
}

// The area under the depth from the beginning of time to t is
//   sum over those that left (left - entered) + sum over those that are in (t - entered)
//   = left_sum - entered_sum + t * depth,   modulo 2^64,
// and the mean depth between two readings is the difference of two areas over that of the times.
void ReaderProcess::ReadTimed(std::uint32_t slot, QueueReading* reading) {
  reading->timed = false;
  reading->mean_depth = reading->mean_wait_ns = 0;
  const auto found = std::find_if(timed_.begin(), timed_.end(),
                                  [&](const Timed& timed) { return timed.slot == slot; });
  if (found == timed_.end()) return;
  Timed& known = *found;
  TimedCount sums;
  const bool whole = SweepTimed(view_, known.slot, &sums);
  const std::uint64_t now = StampNow(stamp_source_);
  if (!whole || now == 0) {
    known.seen = false;
    return;
  }
  const auto area = [](const TimedCount& c, std::uint64_t t) {
    return c.left_sum - c.entered_sum + t * (c.enqueued - c.dequeued);
  };
  const auto elapsed = static_cast<std::int64_t>(now - known.stamp);
  if (known.seen && elapsed > 0 && sums.shared == known.sums.shared) {
    const auto under = static_cast<std::int64_t>(area(sums, now) - area(known.sums, known.stamp));
    const std::uint64_t left = sums.dequeued - known.sums.dequeued;
    const auto waited =
        static_cast<std::int64_t>(sums.left_sum - known.sums.left_sum -
                                  (sums.left_entered_sum - known.sums.left_entered_sum));
    reading->timed = true;
    reading->mean_depth =
        static_cast<double>(std::max<std::int64_t>(under, 0)) / static_cast<double>(elapsed);
    if (left != 0) {
      reading->mean_wait_ns = static_cast<double>(std::max<std::int64_t>(waited, 0)) /
                              static_cast<double>(left) * NsPerStamp(stamp_source_);
    }
  }
  known.seen = true;
  known.sums = sums;
  known.stamp = now;
}

}  // namespace internal
SEER_END_NAMESPACE
