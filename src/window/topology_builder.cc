#include "seer/window/topology_builder.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "absl/hash/hash.h"
#include "absl/strings/str_cat.h"
#include "seer/core/internal/status_macros.h"
#include "seer/core/internal/strings.h"

SEER_BEGIN_NAMESPACE
namespace {

constexpr std::int64_t kNeverSeen = std::numeric_limits<std::int64_t>::min();

// The first stamp that is known.
template <typename... Stamps>
std::optional<std::int64_t> FirstKnown(const Span& span, Stamps... stamps) {
  std::optional<std::int64_t> found;
  ((found = found ? found : span.stamp(stamps)), ...);
  return found;
}

}  // namespace

std::size_t TopologyBuilder::IdHash::operator()(std::uint64_t id) const noexcept {
  return absl::HashOf(id);
}

TopologyBuilder::TopologyBuilder(TopologyBuilderOptions options)
    : options_(std::move(options)), topology_(options_.epoch) {}

TopologyBuilder::TopologyBuilder(Topology topology, TopologyBuilderOptions options)
    : options_(std::move(options)), topology_(std::move(topology)) {}

absl::StatusOr<ServiceId> TopologyBuilder::SeeService(std::string_view name) {
  if (const auto found = topology_.FindService(name)) return *found;
  return topology_.AddService(name, options_.application);
}

absl::StatusOr<EdgeId> TopologyBuilder::SeeEdge(ServiceId caller, ServiceId callee, bool async,
                                                std::int64_t now_ns) {
  std::optional<EdgeId> id = topology_.FindEdge(caller, callee);
  if (!id) {
    SEER_ASSIGN_OR_RETURN(
        id, topology_.AddEdge(caller, callee, async ? EdgeKind::kAsync : EdgeKind::kSync));
  } else if (!async && topology_.edge(*id).kind == EdgeKind::kAsync) {
    // Where both kinds of call are made the caller does wait for some.
    SEER_RETURN_IF_ERROR(topology_.SetKind(*id, EdgeKind::kSync));
  }
  if (id->index() >= edge_seen_ns_.size()) edge_seen_ns_.resize(id->index() + 1, kNeverSeen);
  edge_seen_ns_[id->index()] = std::max(edge_seen_ns_[id->index()], now_ns);
  return *id;
}

MethodId TopologyBuilder::SeeMethod(ServiceId service, std::string_view name) {
  if (!service.valid() || name.empty()) return MethodId();
  if (const auto found = topology_.FindMethod(service, name)) return *found;
  if (topology_.live_methods() < options_.max_operations) {
    if (const auto added = topology_.AddMethod(service, name); added.ok()) return *added;
  }
  ++stats_.operations_ignored;
  return MethodId();
}

ClassId TopologyBuilder::SeeClass(ServiceId entry, std::string_view operation) {
  const Service& service = topology_.service(entry);
  const std::string_view name = operation.empty() ? std::string_view(service.name) : operation;
  const std::string_view application = options_.application;
  const auto fits = [&](std::optional<ClassId> id) {
    if (!id) return false;
    const ServiceId there = topology_.request_class(*id).entry;
    return there == entry || !there.valid();
  };
  const std::optional<ClassId> found = topology_.FindRequestClass(application, name);
  if (fits(found)) return *found;
  // The same operation where requests come in elsewhere is another class.
  std::string other;
  if (found) {
    other = absl::StrCat(service.name, "/", internal::ToAbsl(name));
    if (const auto id = topology_.FindRequestClass(application, other); fits(id)) return *id;
  }
  if (options_.learn_classes && topology_.live_classes() < options_.max_classes) {
    const auto added = topology_.AddRequestClass(
        application, found ? std::string_view(other) : name, options_.default_target, entry);
    if (added.ok()) return *added;
  }
  ++stats_.classes_ignored;
  return ClassId();
}

absl::StatusOr<CallIds> TopologyBuilder::Learn(const NamedCall& call, std::int64_t now_ns) {
  ++stats_.calls;
  CallIds ids;
  if (!call.caller.empty()) {
    SEER_ASSIGN_OR_RETURN(ids.caller, SeeService(call.caller));
  }
  if (!call.callee.empty()) {
    SEER_ASSIGN_OR_RETURN(ids.callee, SeeService(call.callee));
  }
  const bool root = call.root && !ids.caller.valid();
  if (ids.callee.valid() && (ids.caller.valid() || root)) {
    SEER_ASSIGN_OR_RETURN(ids.edge, SeeEdge(ids.caller, ids.callee, call.async, now_ns));
  }
  ids.method = SeeMethod(ids.callee, call.operation);
  if (root && ids.callee.valid()) ids.request_class = SeeClass(ids.callee, call.operation);
  if (!call.host.empty()) {
    if (const auto found = topology_.FindNode(call.host)) {
      ids.host = *found;
    } else {
      SEER_ASSIGN_OR_RETURN(ids.host, topology_.AddNode(call.host));
    }
  }
  const ServiceId recorder = call.side == SpanSide::kServer ? ids.callee : ids.caller;
  if (!call.instance.empty() && recorder.valid()) {
    if (const auto found = topology_.FindInstance(recorder, call.instance)) {
      if (ids.host.valid() && topology_.instance(*found).node != ids.host) {
        SEER_RETURN_IF_ERROR(topology_.MoveInstance(*found, ids.host));
      }
    } else {
      SEER_RETURN_IF_ERROR(topology_.AddInstance(recorder, call.instance, ids.host).status());
    }
  }
  return ids;
}

absl::StatusOr<const TopologyMap*> TopologyBuilder::LearnNode(const Topology& node) {
  SEER_ASSIGN_OR_RETURN(TopologyMap map, topology_.Merge(node));
  NodeNumbering& numbering = nodes_[node.origin().node];
  numbering.origin = node.origin();
  numbering.map = std::move(map);
  return &numbering.map;
}

absl::Status TopologyBuilder::LearnSpans(const SpanBatch& batch, std::int64_t now_ns,
                                         const IntervalSink& sink) {
  Expire(now_ns, sink);
  const auto found = nodes_.find(batch.origin.node);
  if (found == nodes_.end() || !found->second.origin.SameNumbering(batch.origin)) {
    stats_.without_numbering += batch.spans.size();
    return absl::NotFoundError(absl::StrCat(
        "spans of node '", batch.origin.node, "', epoch ", batch.origin.epoch,
        ": its numbering is not known; ask the node for its topology and give it to LearnNode()"));
  }
  NodeNumbering& node = found->second;
  const InstanceId instance = node.map[batch.instance];
  const std::optional<NodeId> host = topology_.FindNode(batch.origin.node);
  for (const Span& span : batch.spans) {
    SpanInterval interval;
    interval.trace = span.trace_id();
    interval.span_id = span.span_id();
    interval.parent_id = span.parent_id();
    interval.side = span.side();
    interval.outcome = span.outcome();
    interval.host = host.value_or(NodeId());
    const bool server = span.side() == SpanSide::kServer;
    const auto start = server
                           ? FirstKnown(span, ServerStamp::kReceived, ServerStamp::kDequeued,
                                        ServerStamp::kHandlerStart)
                           : FirstKnown(span, ClientStamp::kCallStart, ClientStamp::kRequestSent);
    const auto end = server ? FirstKnown(span, ServerStamp::kReplySent, ServerStamp::kHandlerEnd)
                            : span.stamp(ClientStamp::kCallEnd);
    if (!start || !end) {
      ++stats_.unfinished;
      continue;
    }
    ++stats_.calls;
    interval.start_ns = *start;
    interval.end_ns = *end;
    const ServiceId recorder =
        topology_.Has(instance) ? topology_.instance(instance).service : ServiceId();
    (server ? interval.callee : interval.caller) = recorder;
    if (server) {
      LearnServed(span, node, interval, now_ns, sink);
    } else {
      LearnCall(span, node, interval, now_ns, sink);
    }
  }
  return absl::OkStatus();
}

void TopologyBuilder::LearnCall(const Span& span, NodeNumbering& node, SpanInterval interval,
                                std::int64_t now_ns, const IntervalSink& sink) {
  const EdgeId edge = node.map[span.edge()];
  const MethodId method = node.map[span.method()];
  if (topology_.Has(edge)) {
    interval.callee = topology_.edge(edge).callee;
    interval.caller = topology_.edge(edge).caller;
    interval.async = topology_.edge(edge).kind == EdgeKind::kAsync;
  } else if (topology_.Has(method)) {
    interval.callee = topology_.method(method).service;
  }
  if (topology_.IsLive(interval.callee) &&
      (!interval.caller.valid() || topology_.IsLive(interval.caller))) {
    // By services, as the edge may have been forgotten and come again with another id.
    const auto seen = SeeEdge(interval.caller, interval.callee, interval.async, now_ns);
    if (seen.ok()) interval.edge = *seen;
  }
  Remember(span.span_id(), interval.caller, now_ns, sink);
  sink(interval);
}

void TopologyBuilder::LearnServed(const Span& span, NodeNumbering& node, SpanInterval interval,
                                  std::int64_t now_ns, const IntervalSink& sink) {
  const MethodId method = node.map[span.method()];
  if (!interval.callee.valid() && topology_.Has(method)) {
    interval.callee = topology_.method(method).service;
  }
  const auto taken = FirstKnown(span, ServerStamp::kDequeued, ServerStamp::kHandlerStart);
  interval.queue_known = span.stamp(ServerStamp::kReceived).has_value() && taken.has_value();
  if (interval.queue_known) interval.work_ns = *taken;
  Remember(span.span_id(), interval.callee, now_ns, sink);

  const EdgeId edge = node.map[span.edge()];
  const bool root = interval.parent_id == 0;
  if (topology_.Has(edge) || root) {
    const ServiceId caller = topology_.Has(edge) ? topology_.edge(edge).caller : ServiceId();
    Place(&interval, method, caller, root, now_ns);
    sink(interval);
    return;
  }
  if (const auto parent = known_.find(interval.parent_id); parent != known_.end()) {
    Place(&interval, method, parent->second.service, false, now_ns);
    sink(interval);
    return;
  }
  if (!waiting_.empty() && waiting_.size() >= options_.max_joins) {
    Expire(waiting_.front().at_ns + options_.join_ns + 1, sink);
  }
  const std::uint64_t number = first_number_ + waiting_.size();
  const auto [line, fresh] = lines_.try_emplace(interval.parent_id, Line{number, number});
  if (!fresh) At(std::exchange(line->second.last, number)).next = number;
  Waiting& waiting = waiting_.emplace_back();
  waiting.interval = interval;
  waiting.method = method;
  waiting.at_ns = now_ns;
}

void TopologyBuilder::Place(SpanInterval* served, MethodId method, ServiceId caller, bool root,
                            std::int64_t now_ns) {
  served->caller = caller;
  served->root = root;
  if (!topology_.IsLive(served->callee)) return;
  if (!root && !topology_.IsLive(caller)) return;
  // A service that is called by itself through its own parent's span is a call like any other.
  const std::optional<EdgeId> there = topology_.FindEdge(caller, served->callee);
  served->async = there && topology_.edge(*there).kind == EdgeKind::kAsync;
  const auto edge = SeeEdge(caller, served->callee, served->async, now_ns);
  if (edge.ok()) served->edge = *edge;
  if (!root) return;
  const std::string operation =
      topology_.Has(method) ? topology_.method(method).name : std::string();
  served->request_class = SeeClass(served->callee, operation);
}

void TopologyBuilder::Remember(std::uint64_t span_id, ServiceId service, std::int64_t now_ns,
                               const IntervalSink& sink) {
  if (span_id == 0) return;
  while (known_order_.size() >= std::max<std::size_t>(options_.max_joins, 1)) {
    known_.erase(known_order_.front().first);
    known_order_.pop_front();
  }
  known_[span_id] = {service, now_ns};
  known_order_.emplace_back(span_id, now_ns);
  const auto line = lines_.find(span_id);
  if (line == lines_.end()) return;
  std::uint64_t number = line->second.first;
  lines_.erase(line);
  while (number != 0) {
    Waiting& served = At(number);
    number = served.next;
    HandOn(served, service, now_ns, sink);
  }
}

void TopologyBuilder::HandOn(Waiting& waiting, ServiceId caller, std::int64_t now_ns,
                             const IntervalSink& sink) {
  waiting.waits = false;
  if (caller.valid()) {
    Place(&waiting.interval, waiting.method, caller, false, now_ns);
  } else {
    ++stats_.without_caller;
  }
  sink(waiting.interval);
}

void TopologyBuilder::Expire(std::int64_t now_ns, const IntervalSink& sink) {
  const auto old = [&](std::int64_t at_ns) { return now_ns - at_ns > options_.join_ns; };
  while (!known_order_.empty() && old(known_order_.front().second)) {
    // The id may have come again since.
    const auto it = known_.find(known_order_.front().first);
    if (it != known_.end() && it->second.at_ns == known_order_.front().second) known_.erase(it);
    known_order_.pop_front();
  }
  while (!waiting_.empty() && old(waiting_.front().at_ns)) {
    Waiting& oldest = waiting_.front();
    if (oldest.waits) {
      // The first of its line, as lines are in the same order.
      const auto line = lines_.find(oldest.interval.parent_id);
      if (oldest.next != 0) {
        line->second.first = oldest.next;
      } else {
        lines_.erase(line);
      }
      HandOn(oldest, ServiceId(), now_ns, sink);
    }
    waiting_.pop_front();
    ++first_number_;
  }
}

void TopologyBuilder::FlushJoins(std::int64_t now_ns, const IntervalSink& sink) {
  Expire(now_ns, sink);
}

void TopologyBuilder::Forget(std::int64_t now_ns) {
  edge_seen_ns_.resize(topology_.edges().size(), kNeverSeen);
  std::vector<bool> in_use(topology_.services().size(), false);
  std::vector<bool> lost_edge(topology_.services().size(), false);
  for (std::size_t i = 0; i < edge_seen_ns_.size(); ++i) {
    const EdgeId id(static_cast<std::uint32_t>(i));
    if (!topology_.IsLive(id)) continue;
    // An edge that only a topology told of is looked at from now on.
    if (edge_seen_ns_[i] == kNeverSeen) edge_seen_ns_[i] = now_ns;
    const Edge edge = topology_.edge(id);
    const bool forget = now_ns - edge_seen_ns_[i] > options_.forget_ns;
    for (const ServiceId service : {edge.caller, edge.callee}) {
      if (!service.valid()) continue;
      if (forget) {
        lost_edge[service.index()] = true;
      } else {
        in_use[service.index()] = true;
      }
    }
    if (forget && topology_.RemoveEdge(id).ok()) ++stats_.edges_forgotten;
  }
  for (const Instance& instance : topology_.instances()) {
    if (!instance.removed) in_use[instance.service.index()] = true;
  }
  for (std::size_t i = 0; i < in_use.size(); ++i) {
    const ServiceId id(static_cast<std::uint32_t>(i));
    if (in_use[i] || !lost_edge[i] || !topology_.IsLive(id)) continue;
    for (std::size_t c = 0; c < topology_.classes().size(); ++c) {
      const ClassId request_class(static_cast<std::uint32_t>(c));
      if (topology_.IsLive(request_class) && topology_.request_class(request_class).entry == id) {
        // Live, so it can be removed.
        (void)topology_.RemoveRequestClass(request_class).ok();
      }
    }
    if (topology_.RemoveService(id).ok()) ++stats_.services_forgotten;
  }
}

SEER_END_NAMESPACE
