// Flow: SpanBatch -> [ClassMeter] -> Snapshot::classes
//
// How each request class did during a tick: how many requests ended, how many of them slower than
// the target, their latencies, and how old the oldest one is that has not ended. For a node's
// agent, from the server's spans of the services where requests come in.
//
//   seer::ClassMeter meter({});
//   meter.AddClass(checkout, {"shop-frontend", {"POST /checkout"}, 20'000'000}).IgnoreError();
//   ...                                                      // every tick, one thread
//   drainer->Drain().IgnoreError();                          // into a sink that calls, for each
//   batch, meter.Add(batch, drainer->topology()); seer::Snapshot snapshot = collector->Tick();
//   meter.Fill(now_unix_ns, &snapshot.classes);
//
// Services and methods are known by name, as spans and snapshots have numberings of their own; the
// ids of the classes are those of the snapshot's.
//
// A request counts in the tick in which its span arrives, which is the one in which it ended or the
// next; its latency is from its first stamp to its last. Spans that failed count too: the user has
// waited for them. Where the services record that a request has begun (OpenSpan::Recorded()), those
// that have not ended are known, also when the end of one arrives before its beginning. One whose
// end was lost is forgotten after `forget_after`.
//
// Threads: one at a time.
// Cost:    Add() a look-up in a vector for each span, its histogram for those of a class, and where
//          requests begin by an event two look-ups in a hash table; Fill() a look at each open
//          request. Memory: some 80 bytes for each request that is open or ended too early, of
//          which there are at most max_open each, and the histograms.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

#include "absl/status/status.h"
#include "seer/core/config.h"
#include "seer/core/ids.h"
#include "seer/core/origin.h"
#include "seer/core/snapshot.h"
#include "seer/core/span.h"
#include "seer/core/topology.h"

SEER_BEGIN_NAMESPACE

struct ClassMeterOptions {
  std::size_t max_open = std::size_t{1} << 16;  // requests that are remembered; 0: none
  std::chrono::nanoseconds forget_after = std::chrono::minutes(10);
};

// Which requests are a class's.
struct MeteredClass {
  std::string service;               // where they come in
  std::vector<std::string> methods;  // empty: all that it serves
  std::int64_t target_ns = 0;        // above it a request counts as over the target; positive
};

struct ClassMeterCounts {
  std::uint64_t requests = 0;   // that ended
  std::uint64_t begun = 0;      // whose begin-event came
  std::uint64_t forgotten = 0;  // of those: never ended, or not for too long
  std::uint64_t refused = 0;    // of those: max_open were open already
};

class ClassMeter {
 public:
  explicit ClassMeter(const ClassMeterOptions& options) : options_(options) {}

  // Where several classes want a method, the first that was added has it. InvalidArgument names the
  // field; AlreadyExists: the id has a class.
  [[nodiscard]] absl::Status AddClass(ClassId id, const MeteredClass& wanted);

  // `topology`: that of the batch. Of another numbering: the batch is passed over.
  void Add(const SpanBatch& batch, const Topology& topology);

  // Writes the samples of the classes, by id, and begins a new tick. Others stay as they are; the
  // vector grows to the highest id.
  void Fill(std::int64_t now_unix_ns, std::vector<ClassSample>* classes);

  const ClassMeterCounts& counts() const { return counts_; }

 private:
  struct Class {
    ClassId id;
    MeteredClass wanted;
    ClassSample sample;
    bool begins = false;  // its services record that requests begin
  };
  struct RequestKey {
    TraceId trace_id;
    std::uint64_t span_id;
    friend bool operator==(const RequestKey& a, const RequestKey& b) {
      return a.trace_id == b.trace_id && a.span_id == b.span_id;
    }
  };
  struct KeyHash {
    std::size_t operator()(const RequestKey& key) const noexcept {
      return static_cast<std::size_t>(key.span_id ^ key.trace_id.low * 0x9e3779b97f4a7c15u);
    }
  };
  struct Open {
    std::int64_t start_ns;
    std::uint32_t of;  // place in classes_
  };

  void LearnMethods(const Topology& topology);
  void Begin(const Span& span, std::uint32_t of);
  void End(const Span& span, std::uint32_t of);

  const ClassMeterOptions options_;
  std::vector<Class> classes_;
  // By MethodId of the numbering that was met last: one more than the place in classes_; 0: none.
  std::vector<std::uint32_t> class_of_;
  Origin origin_;
  std::unordered_map<RequestKey, Open, KeyHash> open_;
  // Ended before their beginning came: the number of the Fill() after which that was.
  std::unordered_map<RequestKey, std::uint64_t, KeyHash> early_;
  std::uint64_t fills_ = 0;
  ClassMeterCounts counts_;
};

SEER_END_NAMESPACE
