// One process as the Reader sees it: its tables, and what was read the last time.
//
// Threads: one at a time. Cost: 32 bytes and an info per queue.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "queue/queues_view.h"
#include "queue/sweep.h"
#include "seer/core/config.h"
#include "seer/queue/reader.h"

SEER_BEGIN_NAMESPACE
namespace internal {

class ReaderProcess {
 public:
  // `counts_from_zero`: it came into being after the Read() before, so all it counted is new.
  ReaderProcess(const QueuesView& view, std::uint32_t stamp_source, bool counts_from_zero)
      : view_(view), stamp_source_(stamp_source), counts_from_zero_(counts_from_zero) {}

  // Looks for queues that were added or retired. True: the set changed.
  bool Refresh();
  std::size_t size() const { return queues_.size(); }
  // How much a Read() has to look at: slots times shards.
  std::uint64_t counters() const;

  // Appends what it knows of its queues.
  void AppendInfos(std::uint32_t process, std::vector<QueueInfo>* infos) const;
  // Reads the memory. What was read may be thrown away: the memory may have gone meanwhile.
  void Sweep();
  // Fills size() readings from the last Sweep(). `ended`: nobody counts any more; its requests are
  // gone.
  void Read(bool ended, QueueReading* readings, NodeReading* totals);
  // Instead, where the memory is gone: the counts that were read last, and nothing in the queues.
  void ReadNothing(QueueReading* readings) const;

 private:
  // Kept small: all of them are walked through on every Read().
  struct Known {
    std::uint64_t enqueued = 0;  // at the last Read(), if `seen`
    std::uint64_t dequeued = 0;
    std::uint64_t missing_enters = 0;  // leaves without an enter so far: added to `enqueued`
    std::uint32_t slot = 0;
    bool seen = false;
    bool timed = false;
  };
  // The sums of a timed queue, and when they were read: by the last Sweep(), and by the last Read()
  // if `seen`.
  struct Timed {
    TimedCount sums;
    std::uint64_t stamp = 0;
    std::uint64_t took = 0;
    TimedCount seen_sums;
    std::uint64_t seen_stamp = 0;
    std::uint64_t seen_took = 0;
    bool whole = false;
    bool seen = false;
  };

  static void ReadOdd(std::int64_t low, std::uint64_t width, Known* known, QueueReading* reading,
                      NodeReading* totals);
  void SweepOne(std::uint32_t slot, Timed* timed) const;
  void ReadTimed(Timed* timed, QueueReading* reading);
  bool DropRetired();

  QueuesView view_;
  std::uint32_t stamp_source_;
  bool counts_from_zero_;
  std::uint32_t rows_seen_ = 0;
  std::uint32_t retired_seen_ = 0;
  std::uint32_t slots_ = 0;  // to sweep
  std::vector<Known> queues_;
  std::vector<QueueInfo> infos_;     // as queues_; `process` is not set
  std::vector<std::uint32_t> rows_;  // as queues_
  std::vector<Timed> timed_;         // of those that are, in their order
  std::vector<SlotCount> counts_;
};

}  // namespace internal
SEER_END_NAMESPACE
