#include "queue/reader_process.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "queue/stamps.h"

SEER_BEGIN_NAMESPACE
namespace internal {

namespace {

std::uint32_t Saturated(std::uint64_t value) {
  return static_cast<std::uint32_t>(
      std::min<std::uint64_t>(value, std::numeric_limits<std::uint32_t>::max()));
}

}  // namespace

bool ReaderProcess::Refresh() {
  bool changed = false;
  const std::uint32_t retired = view_.retired_count();
  if (retired != retired_seen_) {
    retired_seen_ = retired;
    for (std::size_t i = queues_.size(); i-- > 0;) {
      if (view_.RowState(queues_[i].row) == SEER_QUEUE_LIVE) continue;
      queues_.erase(queues_.begin() + static_cast<std::ptrdiff_t>(i));
      infos_.erase(infos_.begin() + static_cast<std::ptrdiff_t>(i));
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
    known.row = rows_seen_;
    known.slot = row.slot;
    known.timed = info.timed;
    // A queue that appears in a segment we knew is new: it has counted from zero.
    known.seen = counts_from_zero_;
    queues_.push_back(known);
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
  for (std::size_t i = 0; i < queues_.size(); ++i) {
    Known& known = queues_[i];
    const SlotCount& count = counts_[known.slot];
    QueueReading& reading = readings[i];
    const std::uint64_t width = count.dequeued - count.dequeued_before;
    const std::uint64_t enqueued = count.enqueued + known.missing_enters;
    // Modulo 2^64, so that counters may wrap.
    auto low = static_cast<std::int64_t>(enqueued - count.dequeued);
    const auto high = static_cast<std::int64_t>(enqueued - count.dequeued_before);
    if (high < 0) {
      // Even the fewest leaves are more than the enters: nobody entered for them.
      totals->counter_errors += static_cast<std::uint64_t>(-high);
      known.missing_enters += static_cast<std::uint64_t>(-high);
      low = 0;
    }
    low = std::max<std::int64_t>(low, 0);
    if (ended) {
      reading.depth = 0;
      reading.width = 0;
    } else {
      reading.depth = Saturated(static_cast<std::uint64_t>(low));
      reading.width = high <= low ? 0 : Saturated(static_cast<std::uint64_t>(high - low));
      if (width != 0) ++totals->inexact;
    }
    reading.counted = known.seen;
    reading.arrivals = known.seen ? Saturated(count.enqueued - known.enqueued) : 0;
    reading.departures = known.seen ? Saturated(count.dequeued - known.dequeued) : 0;
    reading.enqueued = known.enqueued = count.enqueued;
    reading.dequeued = known.dequeued = count.dequeued;
    known.seen = true;
    reading.timed = false;
    reading.mean_depth = reading.mean_wait_ns = 0;
    if (known.timed) ReadTimed(known, &reading);
  }
}

// The area under the depth from the beginning of time to t is
//   sum over those that left (left - entered) + sum over those that are in (t - entered)
//   = left_sum - entered_sum + t * depth,   modulo 2^64,
// and the mean depth between two readings is the difference of two areas over that of the times.
void ReaderProcess::ReadTimed(Known& known, QueueReading* reading) {
  TimedCount sums;
  const bool whole = SweepTimed(view_, known.slot, &sums);
  const std::uint64_t now = StampNow(stamp_source_);
  if (!whole || now == 0) {
    known.timed_seen = false;
    return;
  }
  const auto area = [](const TimedCount& c, std::uint64_t t) {
    return c.left_sum - c.entered_sum + t * (c.enqueued - c.dequeued);
  };
  const auto elapsed = static_cast<std::int64_t>(now - known.stamp);
  if (known.timed_seen && elapsed > 0 && sums.shared == known.sums.shared) {
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
  known.timed_seen = true;
  known.sums = sums;
  known.stamp = now;
}

}  // namespace internal
SEER_END_NAMESPACE
