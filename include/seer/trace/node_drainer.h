// Flow: span segments of all processes of a node -> [NodeDrainer] -> SpanBatch -> TraceSink
//
// Empties the rings of every process that records into a directory (RecorderOptions::directory),
// for the node's agent: the services themselves need no thread, no transport and no back end.
//
//   seer::NodeDrainerOptions options;
//   auto drainer = seer::NodeDrainer::Create(sink, options);
//   if (!drainer.ok()) return drainer.status();
//   for (;;) {                                                    // every tick
//     (*drainer)->Drain().IgnoreError();                          // counts() and skipped() tell
//     ...
//   }
//
// All that drainer.h says holds: each span once, or counted; a sink that says "not now" costs
// spans, never memory; one drainer of a segment at a time, by a lease. A process that has a drainer
// of its own is left to it, and stands in skipped() meanwhile. When a drainer dies, the next one
// takes its segments over as soon as its leases have run out.
//
// What a process recorded before it ended or was killed is still drained, then it is forgotten. A
// record that was half-written when its process was killed is not counted as written.
//
// The files are written to (how far each ring is drained, and the lease), so the agent must be
// allowed to: root, or the services' user. Segments may come from any process, also hostile,
// truncated or half-written: they cannot make the drainer crash, wait, or grow beyond its limits.
// A hostile process can make its own spans and losses nonsense; it cannot touch another's.
//
// All processes share one numbering, the drainer's topology(). When one of its tables is full, and
// at most once a minute, it begins anew with what is there, in another epoch; spans that find no
// room for their names keep their ids and stamps and lose method, edge or instance.
//
// Threads: one at a time. Recording goes on meanwhile. SIGBUS is handled as segment.h says.
// Cost:    that of SpanDrainer for each span; two system calls for each process (is it alive), a
// look
//          at the head of each ring in use, and one at the directory. Memory: max_spans, max_batch
//          for each instance, the topology.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "seer/core/config.h"
#include "seer/core/topology.h"
#include "seer/queue/reader.h"
#include "seer/trace/drainer.h"
#include "seer/trace/sink.h"

SEER_BEGIN_NAMESPACE

struct NodeDrainerOptions {
  std::string directory = "/dev/shm/seer";  // need not exist yet
  DrainerOptions drainer;
  std::size_t max_processes = 4096;  // further ones are skipped; 1 to 4096
  std::size_t max_rows = 16384;      // of each table of the topology; 16 to 2^20
  // Removes the files of processes that died, once they are empty.
  bool remove_dead = false;
};

class NodeDrainer {
 public:
  // InvalidArgument names the option.
  static absl::StatusOr<std::unique_ptr<NodeDrainer>> Create(std::shared_ptr<TraceSink> sink,
                                                             const NodeDrainerOptions& options);
  // Gives the leases back.
  ~NodeDrainer();
  NodeDrainer(const NodeDrainer&) = delete;
  NodeDrainer& operator=(const NodeDrainer&) = delete;

  // As SpanDrainer::Drain(), of all processes. FailedPrecondition only after fork().
  [[nodiscard]] absl::Status Drain();

  const Topology& topology() const;
  const DrainCounts& counts() const;
  // That are drained at present.
  std::size_t processes() const;
  // As of the last Drain(): segments that could not be read or have another drainer.
  absl::Span<const SkippedSegment> skipped() const;

 private:
  class Impl;
  explicit NodeDrainer(std::unique_ptr<Impl> impl);
  const std::unique_ptr<Impl> impl_;
};

SEER_END_NAMESPACE
