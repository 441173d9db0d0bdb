#include "window/trace_tree.h"

#include <algorithm>
#include <tuple>
#include <utility>

SEER_BEGIN_NAMESPACE
namespace internal {
namespace {

// Tracers round to microseconds: calls in sequence may overlap by one.
constexpr std::int64_t kRoundingNs = 1000;

}  // namespace

std::uint64_t TraceTree::Pair(absl::Span<const SpanInterval> spans) {
  calls_.clear();
  clients_.clear();
  servers_.clear();
  std::uint64_t duplicates = 0;
  const auto count = static_cast<std::int32_t>(spans.size());
  for (std::int32_t i = 0; i < count; ++i) {
    const SpanInterval& span = spans[static_cast<std::size_t>(i)];
    if (span.side != SpanSide::kClient) continue;
    if (span.span_id != 0 &&
        !clients_.emplace(span.span_id, static_cast<std::int32_t>(calls_.size())).second) {
      ++duplicates;
      continue;
    }
    calls_.push_back({i, kNone});
  }
  for (std::int32_t i = 0; i < count; ++i) {
    const SpanInterval& span = spans[static_cast<std::size_t>(i)];
    if (span.side != SpanSide::kServer) continue;
    // The caller's span is the parent (OpenTelemetry), or has the same id (Zipkin).
    auto caller = span.parent_id != 0 ? clients_.find(span.parent_id) : clients_.end();
    if (caller == clients_.end() && span.span_id != 0) caller = clients_.find(span.span_id);
    const bool pairs = caller != clients_.end() &&
                       calls_[static_cast<std::size_t>(caller->second)].server == kNone;
    const auto call = pairs ? caller->second : static_cast<std::int32_t>(calls_.size());
    if (span.span_id != 0 && !servers_.emplace(span.span_id, call).second) {
      ++duplicates;
      continue;
    }
    if (pairs) {
      calls_[static_cast<std::size_t>(call)].server = i;
    } else {
      calls_.push_back({kNone, i});
    }
  }
  return duplicates;
}

void TraceTree::Draw(absl::Span<const SpanInterval> spans) {
  drafts_.resize(calls_.size());
  for (std::size_t i = 0; i < calls_.size(); ++i) {
    Draft& draft = drafts_[i];
    draft.hop = Hop();
    draft.parent = kNone;
    draft.root = false;
    draft.children.clear();
    Hop& hop = draft.hop;
    const auto take = [&](const SpanInterval& span) {
      if (!hop.caller.valid()) hop.caller = span.caller;
      if (!hop.callee.valid()) hop.callee = span.callee;
      if (!hop.edge.valid()) hop.edge = span.edge;
      hop.async = hop.async || span.async;
      if (hop.outcome == Outcome::kOk || hop.outcome == Outcome::kUnknown) {
        hop.outcome = span.outcome;
      }
      draft.root = draft.root || span.root;
    };
    if (calls_[i].server != kNone) {
      const SpanInterval& span = spans[static_cast<std::size_t>(calls_[i].server)];
      take(span);
      hop.has_server = true;
      hop.server_start_ns = hop.start_ns = span.start_ns;
      hop.server_end_ns = hop.end_ns = span.end_ns;
      draft.work_ns = std::clamp(span.running_from_ns(), span.start_ns, span.end_ns);
      draft.work_end_ns = span.end_ns;
      draft.has_parent_id = span.parent_id != 0;
    }
    if (calls_[i].client != kNone) {
      const SpanInterval& span = spans[static_cast<std::size_t>(calls_[i].client)];
      take(span);
      hop.has_client = true;
      hop.client_start_ns = hop.start_ns = span.start_ns;
      hop.client_end_ns = hop.end_ns = span.end_ns;
      if (!hop.has_server) {
        draft.work_ns = span.start_ns;
        draft.work_end_ns = span.end_ns;
      }
      draft.has_parent_id = span.parent_id != 0;
    }
  }
}

// The latest started call into the caller's service that contains this one.
std::int32_t TraceTree::Containing(std::int32_t call, bool any_service) const {
  const Draft& draft = drafts_[static_cast<std::size_t>(call)];
  std::int32_t best = kNone;
  for (std::size_t i = 0; i < drafts_.size(); ++i) {
    const Draft& other = drafts_[i];
    if (static_cast<std::int32_t>(i) == call) continue;
    if (!any_service && (!draft.hop.caller.valid() || other.hop.callee != draft.hop.caller)) {
      continue;
    }
    if (other.hop.start_ns > draft.hop.start_ns || other.hop.end_ns < draft.hop.end_ns) continue;
    // Of two with the same interval only one can contain the other.
    if (other.hop.start_ns == draft.hop.start_ns && other.hop.end_ns == draft.hop.end_ns &&
        static_cast<std::int32_t>(i) > call) {
      continue;
    }
    if (best == kNone ||
        other.hop.start_ns > drafts_[static_cast<std::size_t>(best)].hop.start_ns) {
      best = static_cast<std::int32_t>(i);
    }
  }
  return best;
}

void TraceTree::FindParents(absl::Span<const SpanInterval> spans) {
  for (std::size_t i = 0; i < calls_.size(); ++i) {
    Draft& draft = drafts_[i];
    const std::int32_t self = static_cast<std::int32_t>(i);
    const bool client = calls_[i].client != kNone;
    const SpanInterval& span =
        spans[static_cast<std::size_t>(client ? calls_[i].client : calls_[i].server)];
    if (draft.root) continue;
    if (span.parent_id != 0) {
      auto found = servers_.find(span.parent_id);
      if (found != servers_.end() && found->second != self) {
        draft.parent = found->second;
        continue;
      }
      found = clients_.find(span.parent_id);
      if (found != clients_.end() && found->second != self) {
        // A second server's span of one call: beside the first one.
        draft.parent = found->second;
        continue;
      }
    } else if (span.span_id != 0 || !draft.hop.caller.valid()) {
      continue;  // with ids, who has no parent is a root
    }
    draft.parent = Containing(self, false);
    draft.hop.adopted = draft.has_parent_id || draft.parent == kNone;
  }
}

std::int32_t TraceTree::ChooseRoot() const {
  const auto rank = [&](std::size_t i) {
    const Draft& draft = drafts_[i];
    const int kind = draft.root ? 0 : draft.parent == kNone && !draft.hop.adopted ? 1 : 2;
    return std::make_tuple(kind, draft.hop.start_ns, -draft.hop.end_ns);
  };
  std::size_t best = 0;
  for (std::size_t i = 1; i < drafts_.size(); ++i) {
    if (rank(i) < rank(best)) best = i;
  }
  return static_cast<std::int32_t>(best);
}

// Parents before children; whatever the ids say, each call once.
void TraceTree::Order(std::int32_t root, RequestTrace* trace) {
  const auto at = [&](std::int32_t i) -> Draft& { return drafts_[static_cast<std::size_t>(i)]; };
  at(root).parent = kNone;
  std::vector<std::int32_t> placed(drafts_.size(), kNone);  // where each call stands
  for (std::size_t i = 0; i < drafts_.size(); ++i) {
    const auto self = static_cast<std::int32_t>(i);
    if (self == root) continue;
    if (drafts_[i].parent == kNone) {
      drafts_[i].parent = root;
      drafts_[i].hop.adopted = true;
    }
    at(drafts_[i].parent).children.push_back(self);
  }
  const auto by_start = [&](std::int32_t a, std::int32_t b) {
    return std::make_pair(at(a).hop.start_ns, a) < std::make_pair(at(b).hop.start_ns, b);
  };
  order_.clear();
  std::vector<std::int32_t> stack = {root};
  std::size_t looked = 0;
  while (order_.size() < drafts_.size()) {
    if (stack.empty()) {
      // Calls whose parents form a circle: cut it, and hang them below the root.
      while (placed[looked] != kNone) ++looked;
      drafts_[looked].parent = root;
      drafts_[looked].hop.adopted = true;
      stack.push_back(static_cast<std::int32_t>(looked));
    }
    const std::int32_t call = stack.back();
    stack.pop_back();
    if (placed[static_cast<std::size_t>(call)] != kNone) continue;
    placed[static_cast<std::size_t>(call)] = static_cast<std::int32_t>(order_.size());
    order_.push_back(call);
    auto& children = at(call).children;
    std::sort(children.begin(), children.end(), by_start);
    for (auto it = children.rbegin(); it != children.rend(); ++it) stack.push_back(*it);
  }
  trace->hops.clear();
  for (const std::int32_t call : order_) {
    Hop hop = at(call).hop;
    hop.parent = call == root ? Hop::kNoParent : placed[static_cast<std::size_t>(at(call).parent)];
    trace->hops.push_back(hop);
    at(call).children.clear();
  }
  // From here on by place, in the order of the ends, the last first: as the path is walked.
  for (std::size_t i = 1; i < order_.size(); ++i) {
    const auto parent = static_cast<std::size_t>(trace->hops[i].parent);
    drafts_[static_cast<std::size_t>(order_[parent])].children.push_back(
        static_cast<std::int32_t>(i));
  }
}

void TraceTree::OwnTimes(RequestTrace* trace) {
  for (std::size_t i = 0; i < order_.size(); ++i) {
    Draft& draft = drafts_[static_cast<std::size_t>(order_[i])];
    Hop& hop = trace->hops[i];
    const std::int64_t in_work_ns = draft.work_end_ns - draft.work_ns;
    hop.queue_ns = std::max<std::int64_t>(0, hop.latency_ns() - in_work_ns);
    std::int64_t covered_ns = 0;
    std::int64_t until_ns = draft.work_ns;
    for (const std::int32_t child : draft.children) {  // by start
      const Hop& call = trace->hops[static_cast<std::size_t>(child)];
      if (call.async) continue;
      const std::int64_t from = std::max(call.start_ns, until_ns);
      const std::int64_t to = std::min(call.end_ns, draft.work_end_ns);
      if (to <= from) continue;
      covered_ns += to - from;
      until_ns = to;
    }
    hop.own_ns = in_work_ns - covered_ns;
  }
}

void TraceTree::CriticalPath(RequestTrace* trace) {
  // A hop that lies on the path with `budget` of its time, after `cut` at its end was left out.
  struct OnPath {
    std::int32_t hop;
    std::int64_t cut_ns, budget_ns;
  };
  std::vector<OnPath> stack = {{0, 0, trace->latency_ns()}};
  while (!stack.empty()) {
    const OnPath on = stack.back();
    stack.pop_back();
    Hop& hop = trace->hops[static_cast<std::size_t>(on.hop)];
    Draft& draft = drafts_[static_cast<std::size_t>(order_[static_cast<std::size_t>(on.hop)])];
    std::int64_t at_ns = std::max(draft.work_ns, draft.work_end_ns - on.cut_ns);
    const std::int64_t floor_ns = std::max(draft.work_ns, at_ns - on.budget_ns);
    hop.critical_queue_ns += on.budget_ns - (at_ns - floor_ns);
    auto& children = draft.children;
    std::sort(children.begin(), children.end(), [&](std::int32_t a, std::int32_t b) {
      return std::make_pair(trace->hops[static_cast<std::size_t>(a)].end_ns, a) >
             std::make_pair(trace->hops[static_cast<std::size_t>(b)].end_ns, b);
    });
    for (const std::int32_t child : children) {
      const Hop& call = trace->hops[static_cast<std::size_t>(child)];
      // What ended after the next one on the path began did not delay it.
      const std::int64_t end_ns = std::min(call.end_ns, draft.work_end_ns - on.cut_ns);
      if (call.async || end_ns > at_ns + kRoundingNs) continue;
      const std::int64_t to_ns = std::min(end_ns, at_ns);
      const std::int64_t from_ns = std::max(call.start_ns, floor_ns);
      if (from_ns >= to_ns) continue;
      hop.critical_own_ns += at_ns - to_ns;
      stack.push_back({child, call.end_ns - to_ns, to_ns - from_ns});
      at_ns = from_ns;
    }
    hop.critical_own_ns += at_ns - floor_ns;
  }
}

void TraceTree::Build(absl::Span<const SpanInterval> spans, RequestTrace* trace) {
  trace->hops.clear();
  trace->incomplete = true;
  trace->request_class = ClassId();
  if (calls_.empty()) return;
  trace->id = spans[0].trace;
  Draw(spans);
  FindParents(spans);
  const std::int32_t root = ChooseRoot();
  const Draft& top = drafts_[static_cast<std::size_t>(root)];
  trace->incomplete = !top.root && (top.parent != kNone || top.has_parent_id || top.hop.adopted);
  Order(root, trace);
  trace->hops[0].adopted = false;
  OwnTimes(trace);
  CriticalPath(trace);
  for (const Hop& hop : trace->hops) trace->incomplete = trace->incomplete || hop.adopted;
  const Sides& sides = calls_[static_cast<std::size_t>(root)];
  for (const std::int32_t side : {sides.server, sides.client}) {
    if (side == kNone) continue;
    const ClassId id = spans[static_cast<std::size_t>(side)].request_class;
    if (id.valid()) trace->request_class = id;
  }
}

}  // namespace internal
SEER_END_NAMESPACE
