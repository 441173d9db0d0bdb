#include "benchmarks/cluster/sim/initiator.h"

#include <algorithm>
#include <limits>

namespace seer::cluster {
namespace {

void AddServices(const Model& model, std::uint32_t node, std::vector<bool>* services) {
  std::vector<std::uint32_t> nodes = {node};
  while (!nodes.empty()) {
    const Model::Node& at = model.nodes[nodes.back()];
    nodes.pop_back();
    (*services)[at.service] = true;
    if (model.edges[at.edge].caller != kNone) (*services)[model.edges[at.edge].caller] = true;
    for (std::uint32_t s = at.first_step; s < at.first_step + at.steps; ++s) {
      const Model::Step& step = model.steps[s];
      for (std::uint32_t n = step.first_node; n < step.first_node + step.nodes; ++n) {
        nodes.push_back(n);
      }
    }
  }
}

std::int64_t At(const Span& span, ClientStamp stamp, std::int64_t otherwise) {
  return span.stamp(stamp).value_or(otherwise);
}
std::int64_t At(const Span& span, ServerStamp stamp, std::int64_t otherwise) {
  return span.stamp(stamp).value_or(otherwise);
}
std::int64_t EndOf(const Span& span) { return span.start_ns() + span.duration_ns(); }

}  // namespace

Site SiteOf(const Model& model, const Fault& fault) {
  Site site;
  std::vector<bool> servers(model.cluster.servers.size(), false);
  std::vector<bool> services(model.services.size(), false);
  const bool one = fault.service < services.size();
  bool by_server = false;
  switch (fault.kind) {
    case FaultKind::kMemoryPartition:
    case FaultKind::kNoisyNeighbour:
      by_server = true;
      if (fault.server < servers.size()) servers[fault.server] = true;
      break;
    case FaultKind::kIncast:
    case FaultKind::kBandwidth:
    case FaultKind::kRouting:
      site.network = true;
      [[fallthrough]];
    case FaultKind::kCpuContention:
    case FaultKind::kCacheContention:
    case FaultKind::kMemoryBandwidth:
    case FaultKind::kMemoryCapacity:
    case FaultKind::kDiskContention:
      by_server = true;
      for (const Model::InstanceInfo& instance : model.instances) {
        if (one && instance.service == fault.service) servers[instance.server] = true;
      }
      break;
    case FaultKind::kCyclicSync:
    case FaultKind::kPoolDeadlock:
      if (fault.tree < model.nodes.size()) AddServices(model, fault.tree, &services);
      [[fallthrough]];
    case FaultKind::kBlockingCall:
    case FaultKind::kLockConvoy:
    case FaultKind::kRetryStorm:
    case FaultKind::kDropRule:
    case FaultKind::kUnderProvisioned:
    case FaultKind::kCacheFlush:
    case FaultKind::kOffPath:
      if (one) services[fault.service] = true;
      break;
    case FaultKind::kSwitchFailure:
    case FaultKind::kLoadSpike:
      break;
  }
  for (const Model::InstanceInfo& instance : model.instances) {
    const bool hit = by_server ? servers[instance.server] : services[instance.service];
    site.instances.push_back(hit);
    if (hit) services[instance.service] = true;
  }
  for (std::uint32_t s = 0; s < services.size(); ++s) {
    if (services[s]) site.services.push_back(s);
  }
  return site;
}

DelayBook::DelayBook(const Model* model, Site site, std::vector<Asked> asked)
    : model_(model),
      site_(std::move(site)),
      wanted_(model->classes.size(), false),
      delays_(model->services.size(), 0) {
  for (const Asked& each : asked) {
    rows_.push_back({each, std::vector<double>(model->services.size(), 0)});
    if (each.request_class < wanted_.size()) wanted_[each.request_class] = true;
  }
}

void DelayBook::Add(absl::Span<const KeptSpan> spans, bool with_fault) {
  for (const KeptSpan& kept : spans) {
    const TraceId id = kept.span.trace_id();
    const Key key{id.high, id.low};
    if (key.high == 0 || key.high > wanted_.size() || !wanted_[key.high - 1]) continue;
    if (!with_fault && slow_.find(key) == slow_.end()) continue;
    if (kept.span.side() == SpanSide::kClient && kept.instance == kNone) {  // the user's own
      const auto found = open_.find(key);
      Close(kept, found == open_.end() ? std::vector<KeptSpan>() : found->second, with_fault);
      open_.erase(key);
    } else {
      open_[key].push_back(kept);
    }
  }
}

void DelayBook::Close(const KeptSpan& root, const std::vector<KeptSpan>& spans, bool with_fault) {
  const Span& span = root.span;
  const Key key{span.trace_id().high, span.trace_id().low};
  std::vector<std::size_t> rows;
  if (with_fault) {
    const auto request_class = static_cast<std::uint32_t>(key.high - 1);
    const bool slow = span.duration_ns() > model_->classes[request_class].target_ns ||
                      span.outcome() != Outcome::kOk;
    for (std::size_t r = 0; slow && r < rows_.size(); ++r) {
      const Asked& asked = rows_[r].asked;
      if (asked.request_class == request_class && span.start_ns() >= asked.from_ns &&
          span.start_ns() < asked.until_ns) {
        rows.push_back(r);
      }
    }
    if (rows.empty()) return;
    slow_.emplace(key, rows);
  } else {
    rows = slow_.find(key)->second;
  }
  std::fill(delays_.begin(), delays_.end(), 0.0);
  Book(root, spans);
  for (const std::size_t r : rows) {
    for (std::size_t s = 0; s < delays_.size(); ++s) {
      rows_[r].growth[s] += with_fault ? delays_[s] : -delays_[s];
    }
  }
}

// Along the critical path, from the root's end backwards: before each moment the call that ended
// last.
void DelayBook::Book(const KeptSpan& root, const std::vector<KeptSpan>& spans) {
  std::vector<const KeptSpan*> path = {&root};
  while (!path.empty()) {
    const KeptSpan& call = *path.back();
    path.pop_back();
    const Model::EdgeInfo& edge = model_->edges[call.span.edge().index()];
    const std::int64_t called = call.span.start_ns();
    const std::int64_t returned = EndOf(call.span);
    const std::int64_t sent = At(call.span, ClientStamp::kRequestSent, called);
    const KeptSpan* served = nullptr;
    for (const KeptSpan& kept : spans) {
      const bool callee =
          kept.span.side() == SpanSide::kServer && kept.span.parent_id() == call.span.span_id();
      if (callee) served = &kept;
    }
    const bool caller_hit = call.instance != kNone && site_.instances[call.instance];
    // Where nobody served it yet, it may be any of the callee's instances.
    const Model::ServiceInfo& info = model_->services[edge.callee];
    const bool callee_hit =
        site_.instances[served != nullptr ? served->instance : info.first_instance];
    const auto book = [&](std::uint32_t service, std::int64_t ns, double part) {
      if (ns > 0) delays_[service] += part * static_cast<double>(ns);
    };
    if (served == nullptr) {
      if (callee_hit) {
        book(edge.callee, returned - called, 1);
      } else if (site_.network && caller_hit) {
        book(edge.caller, returned - called, 1);
      }
      continue;
    }
    const Span& own = served->span;
    const std::int64_t received = own.start_ns();
    const std::int64_t dequeued = At(own, ServerStamp::kDequeued, EndOf(own));
    const std::int64_t end = std::min(EndOf(own), returned);
    if (callee_hit) {
      book(edge.callee, sent - called, 1);
      book(edge.callee, dequeued - received, 1 - static_cast<double>(served->blocked));
    }
    const std::int64_t under_way = (received - sent) + (returned - EndOf(own));
    if (callee_hit) {
      book(edge.callee, under_way, 1);
    } else if (site_.network && caller_hit) {
      book(edge.caller, under_way, 1);
    }
    std::int64_t at = end, work = end - dequeued;
    while (true) {
      const KeptSpan* last = nullptr;
      for (const KeptSpan& kept : spans) {
        if (kept.span.side() != SpanSide::kClient || kept.span.parent_id() != own.span_id() ||
            model_->edges[kept.span.edge().index()].async || EndOf(kept.span) > at ||
            kept.span.start_ns() < dequeued) {
          continue;
        }
        if (last == nullptr || EndOf(kept.span) > EndOf(last->span)) last = &kept;
      }
      if (last == nullptr || last->span.start_ns() >= at) break;
      work -= EndOf(last->span) - last->span.start_ns();
      at = last->span.start_ns();
      path.push_back(last);
    }
    if (callee_hit) book(edge.callee, work, 1);
  }
}

std::uint32_t DelayBook::Initiator(std::size_t asked) const {
  const std::vector<double>& growth = rows_[asked].growth;
  std::uint32_t most = kNone;
  for (const std::uint32_t s : site_.services) {
    if (growth[s] > 0 && (most == kNone || growth[s] > growth[most])) most = s;
  }
  return most;
}

}  // namespace seer::cluster
