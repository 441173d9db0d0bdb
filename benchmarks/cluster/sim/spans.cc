#include "benchmarks/cluster/sim/spans.h"

#include <algorithm>

#include "benchmarks/cluster/sim/simulator.h"
#include "benchmarks/cluster/sim/substream.h"

namespace seer::cluster {
namespace {

constexpr std::uint64_t kClientSide = 0xd1b54a32d192ed03u;
constexpr std::uint64_t kServerSide = 0x8cb92ba72f3d8dd7u;
constexpr std::uint64_t kSample = 0xabc98388fb8fac03u;

std::uint64_t SpanIdOf(std::uint64_t key, std::uint64_t side) {
  const std::uint64_t id = Mix(key ^ side);
  return id == 0 ? 1 : id;
}

}  // namespace

void Simulator::KeepSpans(double share, std::uint32_t application) {
  span_share_ = share;
  span_application_ = application;
}

// Not valid: not to be traced.
TraceId Simulator::TraceOf(std::uint32_t request_class, std::uint64_t key) const {
  const std::uint32_t application = model_->classes[request_class].application;
  if (span_application_ != kNone && span_application_ != application) return {};
  if (span_share_ < 1 && Uniform(Mix(key ^ kSample)) >= span_share_) return {};
  return {std::uint64_t{request_class} + 1, key};
}

void Simulator::BeginSpans(std::uint32_t id, std::uint32_t parent) {
  TracedVisit traced;
  if (parent == kNone) {
    traced.trace = root_trace_;
  } else if (visits_[parent].Is(Visit::kTraced)) {
    traced.trace = traced_[parent].trace;
    traced.parent_span = SpanIdOf(visits_[parent].key, kServerSide);
  }
  if (!traced.trace.valid()) return;
  if (traced_.size() < visits_.size()) traced_.resize(visits_.size());
  traced.called = now_;
  visits_[id].flags |= Visit::kTraced;
  traced_[id] = traced;
}

void Simulator::KeepClientSpan(std::uint32_t id, Outcome outcome) {
  if (!(span_share_ > 0)) return;
  const Visit& visit = visits_[id];
  const TracedVisit& traced = traced_[id];
  Span::Stamps stamps;
  const auto set = [&](ClientStamp stamp, std::int64_t at) {
    if (at >= 0) stamps[static_cast<std::size_t>(stamp)] = options_.start_ns + at;
  };
  set(ClientStamp::kCallStart, traced.called);
  set(ClientStamp::kRequestSent, traced.sent);
  const bool answered = outcome == Outcome::kOk || outcome == Outcome::kFailed;
  if (answered && !visit.Is(Visit::kAsync)) set(ClientStamp::kFirstByte, now_);
  set(ClientStamp::kCallEnd, now_);
  KeptSpan kept;
  kept.instance = visit.caller;
  kept.span.SetIds(traced.trace, SpanIdOf(visit.key, kClientSide), traced.parent_span);
  kept.span.set_edge(EdgeId(model_->nodes[visit.node].edge));
  kept.span.set_outcome(outcome);
  kept.span.SetStamps(SpanSide::kClient, stamps);
  kept_spans_.push_back(kept);
}

void Simulator::KeepServerSpan(std::uint32_t id, Outcome outcome) {
  if (!(span_share_ > 0)) return;
  const Visit& visit = visits_[id];
  const TracedVisit& traced = traced_[id];
  Span::Stamps stamps;
  const auto set = [&](ServerStamp stamp, std::int64_t at) {
    if (at >= 0) stamps[static_cast<std::size_t>(stamp)] = options_.start_ns + at;
  };
  set(ServerStamp::kReceived, traced.received);
  set(ServerStamp::kDequeued, traced.dequeued);
  set(ServerStamp::kHandlerStart, traced.started);
  if (traced.started >= 0) set(ServerStamp::kHandlerEnd, now_);
  set(ServerStamp::kReplySent, now_);
  KeptSpan kept;
  kept.instance = visit.instance;
  kept.blocked = traced.blocked;
  kept.span.SetIds(traced.trace, SpanIdOf(visit.key, kServerSide),
                   SpanIdOf(visit.key, kClientSide));
  kept.span.set_edge(EdgeId(model_->nodes[visit.node].edge));
  kept.span.set_outcome(outcome);
  kept.span.SetStamps(SpanSide::kServer, stamps);
  kept_spans_.push_back(kept);
}

std::vector<SpanBatch> Simulator::TakeSpans() {
  std::stable_sort(kept_spans_.begin(), kept_spans_.end(),
                   [](const KeptSpan& a, const KeptSpan& b) { return a.instance < b.instance; });
  std::vector<SpanBatch> batches;
  span_sequences_.resize(stations_.size() + 1);
  std::uint32_t last = kNone;
  for (const KeptSpan& kept : kept_spans_) {
    if (batches.empty() || kept.instance != last) {
      last = kept.instance;
      SpanBatch& batch = batches.emplace_back();
      batch.origin = model_->topology.origin();
      if (last != kNone) batch.instance = InstanceId(last);
      batch.sequence = span_sequences_[std::min<std::size_t>(last, stations_.size())]++;
    }
    batches.back().spans.push_back(kept.span);
  }
  kept_spans_.clear();
  return batches;
}

SpanInterval IntervalOf(const Model& model, InstanceId recorded_by, const Span& span) {
  SpanInterval interval;
  interval.trace = span.trace_id();
  interval.span_id = span.span_id();
  interval.parent_id = span.parent_id();
  interval.edge = span.edge();
  interval.side = span.side();
  interval.outcome = span.outcome();
  if (span.edge().value() < model.edges.size()) {
    const Model::EdgeInfo& edge = model.edges[span.edge().index()];
    if (edge.caller != kNone) interval.caller = ServiceId(edge.caller);
    interval.callee = ServiceId(edge.callee);
    interval.root = edge.caller == kNone;
    interval.async = edge.async;
  }
  if (span.trace_id().high - 1 < model.classes.size()) {
    interval.request_class = ClassId(static_cast<std::uint32_t>(span.trace_id().high - 1));
  }
  const bool placed = recorded_by.value() < model.instances.size();
  if (placed) interval.host = NodeId(model.instances[recorded_by.index()].server);
  interval.start_ns = span.start_ns();
  interval.end_ns = span.start_ns() + span.duration_ns();
  if (span.side() == SpanSide::kClient) {
    interval.async =
        interval.async || (span.outcome() == Outcome::kOk && !span.stamp(ClientStamp::kFirstByte));
    return interval;
  }
  ServerModel software = ServerModel::kWorkers;
  if (placed) software = model.services[model.instances[recorded_by.index()].service].spec.model;
  const bool by_worker = software == ServerModel::kWorkers || software == ServerModel::kGoroutines;
  interval.queue_known = true;
  interval.work_ns = span.stamp(by_worker ? ServerStamp::kDequeued : ServerStamp::kHandlerStart)
                         .value_or(interval.end_ns);  // turned away: it only waited
  return interval;
}

}  // namespace seer::cluster
