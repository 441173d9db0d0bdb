// One process as the Reader sees it: its tables, and what was read the last time.
//
// Threads: one at a time. Cost: 56 bytes and an info per queue.
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
  // Fills size() readings. `ended`: nobody counts any more; its requests are gone.
  void Read(bool ended, QueueReading* readings, NodeReading* totals);

 private:
  struct Known {
    std::uint32_t row = 0;
    std::uint32_t slot = 0;
    bool timed = false;
    bool seen = false;  // the two below hold
    std::uint64_t enqueued = 0;
    std::uint64_t dequeued = 0;
    std::uint64_t missing_enters = 0;  // leaves without an enter so far: added to `enqueued`
    // Of timed queues: the last sums, and when.
    bool timed_seen = false;
    TimedCount sums;
    std::uint64_t stamp = 0;
  };

  void ReadTimed(Known& known, QueueReading* reading);

  QueuesView view_;
  std::uint32_t stamp_source_;
  bool counts_from_zero_;
  std::uint32_t rows_seen_ = 0;
  std::uint32_t retired_seen_ = 0;
  std::uint32_t slots_ = 0;  // to sweep
  std::vector<Known> queues_;
  std::vector<QueueInfo> infos_;  // as queues_; `process` is not set
  std::vector<SlotCount> counts_;
};

}  // namespace internal
SEER_END_NAMESPACE
