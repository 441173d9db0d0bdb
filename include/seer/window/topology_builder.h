// Flow: SpanBatch, dataset/ importers -> [TopologyBuilder] -> Topology, SpanInterval
//
// Learns what there is from what happens: services, instances, who calls whom, request classes and
// methods, and their changes. Nobody has to write the dependency graph down.
//
//   seer::TopologyBuilder builder(options);
//
//   // From a table with names (an importer):
//   seer::NamedCall call;
//   call.caller = "front", call.callee = "cart", call.operation = "GetCart";
//   auto ids = builder.Learn(call, now_ns);                     // StatusOr<CallIds>
//
//   // From seer's own spans, whose nodes number by themselves:
//   auto changed = builder.LearnNode(node_topology);            // when a node's topology changes
//   auto refused = builder.LearnSpans(batch, now_ns, [&](const seer::SpanInterval& interval) {
//     depths.Add(interval);
//   });
//   builder.Forget(now_ns);                                     // now and then
//   const seer::Topology& topology = builder.topology();
//
// A call without a caller that is a root enters from outside: its callee gets an edge from the
// virtual client, and its operation becomes a request class with the default target (unless
// `learn_classes` is off or a class of that name is there: SetTarget() on topology() stays). A span
// that a server recorded does not say who called: its parent, the caller's span, does. The caller's
// spans of the last `join_ns` are remembered for that, and a server's span whose parent is not
// among them waits for as long (both at most `max_joins`); then it is handed on without its caller.
//
// Forget() removes edges that no span has shown for `forget_ns`, services that then have neither
// edge nor instance, and classes of such services: what is removed stays as a tombstone.
//
// Errors: InvalidArgument for a name that Topology refuses, ResourceExhausted for a full table;
// then nothing has changed. Bounds: Topology::kMaxRows; `max_operations` methods and `max_classes`
// classes (operations with an id inside would otherwise fill the tables): beyond, the call is
// learnt without them and counted.
//
// Threads: one at a time. Cost: a call that is known already two to four hash lookups, no
// allocation; the rest is rare.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "seer/core/config.h"
#include "seer/core/ids.h"
#include "seer/core/span.h"
#include "seer/core/topology.h"
#include "seer/window/span_interval.h"

SEER_BEGIN_NAMESPACE

// A call as other tracers tell it. The views need only live during the call.
struct NamedCall {
  std::string_view caller;     // empty: outside (with `root`), or not known
  std::string_view callee;     // empty: not known
  std::string_view operation;  // may be empty
  std::string_view instance;   // of the recorder: pod or container; may be empty
  std::string_view host;       // of the recorder; may be empty
  SpanSide side = SpanSide::kClient;
  bool root = false;
  bool async = false;
};

struct CallIds {
  ServiceId caller;
  ServiceId callee;
  EdgeId edge;
  MethodId method;
  ClassId request_class;
  NodeId host;
};

struct TopologyBuilderOptions {
  std::uint64_t epoch = 0;
  std::string application;  // of services and classes that are learnt
  bool learn_classes = true;
  // Of a class that is learnt: p99 at most 100 ms over 1 s.
  QosTarget default_target{100'000'000, 10'000, 1000, 1};
  std::int64_t forget_ns = 600'000'000'000;
  std::int64_t join_ns = 2'000'000'000;
  std::size_t max_joins = 1 << 16;
  std::size_t max_operations = 1 << 14;
  std::size_t max_classes = 1 << 10;
};

struct TopologyBuilderStats {
  std::uint64_t calls = 0;               // learnt from
  std::uint64_t without_numbering = 0;   // spans of a node whose topology is not known
  std::uint64_t without_caller = 0;      // server spans whose parent did not come in time
  std::uint64_t unfinished = 0;          // spans without an end, not handed on
  std::uint64_t operations_ignored = 0;  // beyond max_operations
  std::uint64_t classes_ignored = 0;     // beyond max_classes
  std::uint64_t edges_forgotten = 0;
  std::uint64_t services_forgotten = 0;
};

class TopologyBuilder {
 public:
  using IntervalSink = std::function<void(const SpanInterval&)>;

  explicit TopologyBuilder(TopologyBuilderOptions options = {});
  // Goes on from one that is known, e.g. of a recorded run.
  TopologyBuilder(Topology topology, TopologyBuilderOptions options);

  absl::StatusOr<CallIds> Learn(const NamedCall& call, std::int64_t now_ns);

  // The numbering of a node, anew whenever its version grows. The map is valid until the next call.
  absl::StatusOr<const TopologyMap*> LearnNode(const Topology& node);
  // OK, or NotFound where LearnNode() has not seen the batch's numbering: ask the node for it.
  [[nodiscard]] absl::Status LearnSpans(const SpanBatch& batch, std::int64_t now_ns,
                                        const IntervalSink& sink);
  // Server spans that waited for their caller and shall wait no longer.
  void FlushJoins(std::int64_t now_ns, const IntervalSink& sink);

  void Forget(std::int64_t now_ns);

  const Topology& topology() const { return topology_; }
  // For what only people know: targets, names, kinds of edges.
  Topology& topology() { return topology_; }
  const TopologyBuilderStats& stats() const { return stats_; }

 private:
  struct NodeNumbering {
    Origin origin;
    TopologyMap map;
  };
  // A span that others may have as their parent.
  struct Known {
    ServiceId service;  // that it is part of: of a call, the caller
    std::int64_t at_ns = 0;
  };
  // A server's span whose parent has not come. Many may have the same parent: a tool that sends one
  // traceparent with all of its requests is enough.
  struct Waiting {
    SpanInterval interval;
    MethodId method;
    std::int64_t at_ns = 0;
    std::uint64_t next = 0;  // number of the next one with this parent; 0: it is the last
    bool waits = true;
  };
  struct Line {
    std::uint64_t first = 0, last = 0;  // numbers
  };
  // Seeded anew in each process: ids come from whoever sends requests, and must not collide at
  // will.
  struct IdHash {
    std::size_t operator()(std::uint64_t id) const noexcept;
  };
  template <typename Value>
  using ById = std::unordered_map<std::uint64_t, Value, IdHash>;

  absl::StatusOr<ServiceId> SeeService(std::string_view name);
  absl::StatusOr<EdgeId> SeeEdge(ServiceId caller, ServiceId callee, bool async,
                                 std::int64_t now_ns);
  MethodId SeeMethod(ServiceId service, std::string_view name);
  ClassId SeeClass(ServiceId entry, std::string_view operation);
  void LearnCall(const Span& span, NodeNumbering& node, SpanInterval interval, std::int64_t now_ns,
                 const IntervalSink& sink);
  void LearnServed(const Span& span, NodeNumbering& node, SpanInterval interval,
                   std::int64_t now_ns, const IntervalSink& sink);
  void Place(SpanInterval* served, MethodId method, ServiceId caller, bool root,
             std::int64_t now_ns);
  void Remember(std::uint64_t span_id, ServiceId service, std::int64_t now_ns,
                const IntervalSink& sink);
  void HandOn(Waiting& waiting, ServiceId caller, std::int64_t now_ns, const IntervalSink& sink);
  Waiting& At(std::uint64_t number) { return waiting_[number - first_number_]; }
  void Expire(std::int64_t now_ns, const IntervalSink& sink);

  TopologyBuilderOptions options_;
  Topology topology_;
  TopologyBuilderStats stats_;
  std::vector<std::int64_t> edge_seen_ns_;  // by EdgeId
  std::unordered_map<std::string, NodeNumbering> nodes_;
  ById<Known> known_;
  std::deque<std::pair<std::uint64_t, std::int64_t>> known_order_;
  std::deque<Waiting> waiting_;     // as they came, by number; those handed on until their turn
  std::uint64_t first_number_ = 1;  // of waiting_.front()
  ById<Line> lines_;                // those that wait, by parent id
};

SEER_END_NAMESPACE
