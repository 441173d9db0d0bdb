// What OpenTracing's names mean here: where the spans of an operation are counted and recorded.
//
// Threads: any. Cost: Find() takes no lock for what is known: a hash, and a look at a table that
// only grows. A new name takes a lock, and allocates.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "seer/core/config.h"
#include "seer/core/internal/mutex.h"
#include "seer/queue/registry.h"
#include "seer/trace/recorder.h"

SEER_BEGIN_NAMESPACE
namespace internal {

enum class OperationKind : std::uint8_t { kInner, kServer, kClient };

struct Operation {
  std::string name;
  OperationKind kind = OperationKind::kInner;
  std::string peer;  // as the tag names it
  ServedMethod served;
  CalledMethod called;
  Queue outbound;
};

class Operations {
 public:
  Operations(std::string service, std::map<std::string, std::string> callees,
             std::string client_suffix, std::size_t max, QueueRegistry* queues,
             SpanRecorder* recorder);
  // Adds "(other)"; before anything else.
  absl::Status Open();

  // Never null; `other` is set where the operation has no row of its own.
  const Operation* Find(std::string_view name, OperationKind kind, std::string_view peer,
                        bool* other);
  bool IsCallee(std::string_view name) const {
    return callees_.find(std::string(name)) != callees_.end();
  }

 private:
  const Operation* Look(std::uint64_t hash, std::string_view name, OperationKind kind,
                        std::string_view peer) const;
  const Operation* Add(std::uint64_t hash, std::string_view name, OperationKind kind,
                       std::string_view peer) ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status Resolve(Operation* operation) const;

  const std::string service_;
  const std::map<std::string, std::string> callees_;
  const std::string client_suffix_;
  const std::size_t max_;
  QueueRegistry* const queues_;
  SpanRecorder* const recorder_;
  // At most half of it is used; a power of two. Entries are stored once.
  std::vector<std::atomic<const Operation*>> table_;
  std::atomic<bool> full_{false};
  Operation other_served_;
  Operation other_called_;
  Mutex mutex_;
  std::vector<std::unique_ptr<Operation>> all_ ABSL_GUARDED_BY(mutex_);
};

// A name as the recorder and the registry take it: 1 to `max` bytes, no control characters.
std::string FittingName(std::string_view name, std::size_t max);

}  // namespace internal
SEER_END_NAMESPACE
