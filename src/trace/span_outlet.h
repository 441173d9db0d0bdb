// Spans on their way from rings to a sink: sorted by instance into batches, in one numbering.
//
// Threads: one at a time. Memory: max_batch and at most 256 spans more for each instance, of which
// what is idle is given back where there are many.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "seer/core/config.h"
#include "seer/core/span.h"
#include "seer/core/topology.h"
#include "seer/trace/drainer.h"
#include "seer/trace/sink.h"

SEER_BEGIN_NAMESPACE
namespace internal {

// The sink has no room at present.
bool NotNow(const absl::Status& status);
// `options.node`, or the host name where that is empty; `epoch_ns` where the option is 0.
absl::StatusOr<Topology> DrainersTopology(const DrainerOptions& options, std::int64_t epoch_ns);
// InvalidArgument names the option.
absl::Status CheckDrainerOptions(const DrainerOptions& options);

// Unix time in ms, of the clock for leases.
std::int64_t LeaseNowMs(const DrainerOptions& options);

class SpanOutlet {
 public:
  SpanOutlet(std::shared_ptr<TraceSink> sink, std::size_t max_batch, std::size_t max_rows,
             Topology topology);

  const Topology& topology() const { return topology_; }
  const DrainCounts& counts() const { return counts_; }

  // Rows of the numbering: found, or added where there is room; not valid otherwise.
  ServiceId Service(std::string_view name);
  MethodId Method(ServiceId service, std::string_view name);
  EdgeId Edge(ServiceId caller, ServiceId callee);
  InstanceId Instance(ServiceId service, std::string_view name, std::uint64_t pid);
  // A row had no room.
  bool full() const { return full_; }
  // Another numbering, empty; after HandOnAll().
  void StartOver(Topology topology);

  void Add(InstanceId instance, const Span& span);
  void AddDropped(std::uint64_t spans) {
    dropped_ += spans;
    counts_.dropped += spans;
  }
  // Batches that are full. The first error; ends with one that is NotNow().
  absl::Status HandOnFull();
  absl::Status HandOnAll();

 private:
  absl::Status HandOn(SpanBatch* batch);
  bool Room(std::size_t rows);

  const std::shared_ptr<TraceSink> sink_;
  const std::size_t max_batch_;
  const std::size_t max_rows_;  // of each table
  Topology topology_;
  bool full_ = false;
  std::vector<SpanBatch> batches_;  // by InstanceId; the last: spans of no known instance
  std::uint64_t dropped_ = 0;       // not told to the sink yet
  DrainCounts counts_;
};

}  // namespace internal
SEER_END_NAMESPACE
