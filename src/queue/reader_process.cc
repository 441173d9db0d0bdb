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

// What was counted since. Modulo 2^64, so that counters may wrap; one that went down is a lie.
std::uint32_t Since(std::uint64_t before, std::uint64_t now) {
  const std::uint64_t counted = now - before;
  return static_cast<std::int64_t>(counted) < 0 ? 0 : Saturated(counted);
}

}  // namespace

bool ReaderProcess::Refresh() {
  bool changed = false;
  const std::uint32_t retired = view_.retired_count();
  if (retired != retired_seen_) {
    retired_seen_ = retired;
    changed = DropRetired();
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
    if (known.timed) timed_.emplace_back();
    infos_.push_back(std::move(info));
    slots_ = std::max(slots_, row.slot + 1);
    changed = true;
  }
  counts_from_zero_ = true;
  if (changed) counts_.resize((slots_ + std::size_t{3}) / 4 * 4);
  return changed;
}

// In one pass, however many there are.
bool ReaderProcess::DropRetired() {
  const std::size_t size = queues_.size();
  std::size_t kept = 0, timed = 0, timed_kept = 0;
  for (std::size_t i = 0; i < size; ++i) {
    // Nothing but RETIRED: where memory is gone there are zeros, and the queues stay.
    const bool keep = view_.RowState(rows_[i]) != SEER_QUEUE_RETIRED;
    if (queues_[i].timed) {
      if (keep) timed_[timed_kept++] = timed_[timed];
      ++timed;
    }
    if (!keep) continue;
    if (kept != i) {
      queues_[kept] = queues_[i];
      rows_[kept] = rows_[i];
      infos_[kept] = std::move(infos_[i]);
    }
    ++kept;
  }
  queues_.resize(kept);
  rows_.resize(kept);
  infos_.resize(kept);
  timed_.resize(timed_kept);
  return kept != size;
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

void ReaderProcess::Sweep() {
  SweepSlots(view_, slots_, counts_.data());
  std::size_t timed = 0;
  for (const Known& known : queues_) {
    if (known.timed) SweepOne(known.slot, &timed_[timed++]);
  }
}

// The sums of the shards belong together as far as nothing happened between the first and the last,
// and the stamp. That is short; where it was not, as when this thread had to wait for a processor,
// another attempt will do.
void ReaderProcess::SweepOne(std::uint32_t slot, Timed* timed) const {
  for (int attempt = 1; attempt <= kSweepAttempts; ++attempt) {
    TimedCount sums;
    const std::uint64_t begun = StampNow(stamp_source_);
    const bool whole = SweepTimed(view_, slot, &sums);
    const std::uint64_t stamp = StampNow(stamp_source_);
    const std::uint64_t took = stamp - begun;
    if (attempt == 1 || (whole && (!timed->whole || took < timed->took))) {
      timed->sums = sums;
      timed->stamp = stamp;
      timed->took = took;
      timed->whole = whole;
    }
    const std::uint64_t short_enough = (timed->stamp - timed->seen_stamp) / 1024;
    if (timed->whole && (!timed->seen || timed->took <= short_enough)) return;
  }
}

void ReaderProcess::Read(bool ended, QueueReading* readings, NodeReading* totals) {
  std::uint64_t inexact = 0;
  std::size_t timed = 0;
  for (std::size_t i = 0, size = queues_.size(); i < size; ++i) {
    Known& known = queues_[i];
    const SlotCount& count = counts_[known.slot];
    QueueReading& reading = readings[i];
    reading.counted = known.seen;
    reading.arrivals = known.seen ? Since(known.enqueued, count.enqueued) : 0;
    reading.departures = known.seen ? Since(known.dequeued, count.dequeued) : 0;
    reading.enqueued = known.enqueued = count.enqueued;
    reading.dequeued = known.dequeued = count.dequeued;
    known.seen = true;
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
    if (known.timed) ReadTimed(&timed_[timed++], &reading);
    if (ended) reading.depth = reading.width = 0;
  }
  if (!ended) totals->inexact += inexact;
}

void ReaderProcess::ReadNothing(QueueReading* readings) const {
  for (std::size_t i = 0; i < queues_.size(); ++i) {
    readings[i] = QueueReading();
    readings[i].counted = queues_[i].seen;
    readings[i].enqueued = queues_[i].enqueued;
    readings[i].dequeued = queues_[i].dequeued;
  }
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
  // Not below `from` unless a count went down between the passes.
  reading->width = high > from ? Saturated(static_cast<std::uint64_t>(high - from)) : 0;
}

// The area under the depth from the beginning of time to t is
//   sum over those that left (left - entered) + sum over those that are in (t - entered)
//   = left_sum - entered_sum + t * depth,   modulo 2^64,
// and the mean depth between two readings is the difference of two areas over that of the times.
//
// Requests that went through the shared shard have no stamps. As long as none does in between they
// add the same to both areas, but for their depth: hence their counts are among the sums.
void ReaderProcess::ReadTimed(Timed* timed, QueueReading* reading) {
  reading->timed = false;
  reading->mean_depth = reading->mean_wait_ns = 0;
  const bool follows = timed->seen;
  const TimedCount before = std::exchange(timed->seen_sums, timed->sums);
  const std::uint64_t stamp_before = std::exchange(timed->seen_stamp, timed->stamp);
  const std::uint64_t took_before = std::exchange(timed->seen_took, timed->took);
  const TimedCount& sums = timed->sums;
  timed->seen = timed->whole && timed->stamp != 0;
  if (!follows || !timed->seen || sums.shared != before.shared) return;
  const auto elapsed = static_cast<std::int64_t>(timed->stamp - stamp_before);
  if (elapsed <= 0) return;
  // Too short a time for its edges, which are as wide as the sweeps took; but for a queue at rest.
  const std::uint64_t edge = std::max(took_before, timed->took);
  if (edge > static_cast<std::uint64_t>(elapsed) / 16 && !(sums == before)) return;
  const auto area = [](const TimedCount& c, std::uint64_t t) {
    return c.left_sum - c.entered_sum + t * (c.enqueued - c.dequeued);
  };
  const auto under =
      static_cast<std::int64_t>(area(sums, timed->stamp) - area(before, stamp_before));
  const std::uint64_t left = sums.dequeued - before.dequeued;
  const auto waited = static_cast<std::int64_t>(sums.left_sum - before.left_sum -
                                                (sums.left_entered_sum - before.left_entered_sum));
  reading->timed = true;
  reading->mean_depth =
      static_cast<double>(std::max<std::int64_t>(under, 0)) / static_cast<double>(elapsed);
  if (left != 0) {
    reading->mean_wait_ns = static_cast<double>(std::max<std::int64_t>(waited, 0)) /
                            static_cast<double>(left) * NsPerStamp(stamp_source_);
  }
}

}  // namespace internal
SEER_END_NAMESPACE
