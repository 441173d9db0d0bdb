#include "seer/window/span_depths.h"

#include <algorithm>
#include <limits>
#include <utility>
#include <vector>

#include "window/blocked_requests.h"

SEER_BEGIN_NAMESPACE
namespace {

constexpr std::int64_t kNever = std::numeric_limits<std::int64_t>::max();
// Times beyond (1897, 2116) are nobody's, and so differences do not overflow.
constexpr std::int64_t kTimeLimit = std::int64_t{1} << 62;
constexpr std::int64_t kEarliest = -(std::int64_t{1} << 61);
constexpr std::int64_t kMaxReorderNs = 600'000'000'000;
constexpr std::size_t kJumpVotes = 16;
constexpr std::size_t kMaxGaps = 4096;

// What a tick keeps of an interval that touches it. The times are the interval's own.
struct Part {
  std::uint64_t trace, parent;
  std::int64_t start_ns, end_ns, work_ns;
  std::uint32_t caller, callee, edge, request_class;
  bool server, root, async, queue_known;
};

struct Slot {
  std::vector<Part> parts;
  bool lossy = false;
};

struct Gap {
  ServiceId service;  // none: all
  std::int64_t from_ns, to_ns;
};

struct ServiceSums {
  std::int64_t running_ns = 0, queued_ns = 0, blocked_ns = 0;
  // Of those that left in the tick, from their beginnings, which may be long ago: no sum of them
  // overflows. Exact up to 104 days together.
  double served_ns = 0, waited_ns = 0;
  std::uint32_t running = 0, queued = 0, blocked = 0;
  std::uint32_t began = 0, ended = 0, came = 0, taken = 0;
  bool calls = false;  // has live synchronous edges to others
  bool gap = false;
};

struct SideSums {
  std::int64_t open_ns = 0;
  std::uint32_t open = 0, made = 0;
};

std::uint64_t TraceKey(TraceId id) {
  if (!id.valid()) return 0;
  // Not 0 again, and low ids that count from 1 stay apart from those with a high half.
  const std::uint64_t key = id.low ^ (id.high * 0x9e3779b97f4a7c15u);
  return key == 0 ? 1 : key;
}

// The first moment by row, kept in a vector that grows.
class CoveredFrom {
 public:
  void Note(std::uint32_t row, std::int64_t since_ns) {
    if (row >= Topology::kMaxRows) return;
    if (row >= since_ns_.size()) since_ns_.resize(std::size_t{row} + 1, kNever);
    if (since_ns < since_ns_[row]) since_ns_[row] = since_ns;
  }
  bool Before(std::size_t row, std::int64_t end_ns) const {
    return row < since_ns_.size() && since_ns_[row] < end_ns;
  }

 private:
  std::vector<std::int64_t> since_ns_;
};

}  // namespace

class SpanDepths::Impl {
 public:
  Impl(const SpanDepthsOptions& options, const Topology* topology, TickSink sink)
      : options_(options), topology_(topology), sink_(std::move(sink)) {
    options_.reorder_ns = std::clamp<std::int64_t>(options_.reorder_ns, 0, kMaxReorderNs);
    options_.max_jump_ns =
        std::clamp<std::int64_t>(options_.max_jump_ns, kMaxReorderNs, kTimeLimit / 4);
    options_.silence_ns = std::max<std::int64_t>(options_.silence_ns, 0);
    // Starts are at most reorder_ns and a tick ahead of the next tick's end: see Drain().
    ring_.resize(static_cast<std::size_t>(options_.reorder_ns / period().ns()) + 4);
  }

  void StartAt(Tick first) {
    if (started_ || !period().Contains(first) || period().EndNs(first) > kTimeLimit ||
        period().StartNs(first) < kEarliest) {
      return;
    }
    base_ = first;
    watermark_ns_ = period().StartNs(first);
    started_ = any_given_ = true;
  }

  void Add(const SpanInterval& span) {
    ++stats_.intervals;
    if (span.end_ns < span.start_ns || span.start_ns < kEarliest || span.end_ns > kTimeLimit) {
      ++stats_.negative;
      return;
    }
    if (!started_) {
      started_ = true;
      watermark_ns_ = std::max(watermark_ns_, span.start_ns);
      // Others may have begun before it; ticks before the first one touched are not given.
      base_ = period().TickAt(span.start_ns - options_.reorder_ns);
    } else if (span.start_ns - watermark_ns_ > options_.max_jump_ns) {
      if (ahead_.size() + 1 < kJumpVotes) {
        ahead_.push_back(span);
        return;
      }
      Jump(span);
      return;
    }
    if (!ahead_.empty()) {
      stats_.far_ahead += ahead_.size();
      ahead_.clear();
    }
    Take(span);
  }

  void AdvanceTo(std::int64_t now_ns) {
    if (now_ns > kTimeLimit) return;
    if (now_ns <= watermark_ns_) return;
    if (started_ && now_ns - watermark_ns_ > options_.max_jump_ns) {
      GiveOpen();
      ++stats_.jumps;
      Rebase(period().TickAt(now_ns - options_.reorder_ns));
    }
    watermark_ns_ = now_ns;
    if (started_) Drain();
  }

  void Finish() {
    stats_.far_ahead += ahead_.size();
    ahead_.clear();
    if (started_) GiveOpen();
  }

  void CoverFrom(ServiceId service, SpanSide side, std::int64_t since_ns) {
    (side == SpanSide::kServer ? served_ : called_).Note(service.value(), since_ns);
  }
  void CoverFrom(EdgeId edge, std::int64_t since_ns) { edge_[0].Note(edge.value(), since_ns); }
  void CoverFrom(ClassId id, std::int64_t since_ns) { class_.Note(id.value(), since_ns); }

  void AddGap(ServiceId service, std::int64_t from_ns, std::int64_t to_ns) {
    if (to_ns <= from_ns) return;
    if (gaps_.size() < kMaxGaps) {
      gaps_.push_back({service, from_ns, to_ns});
      return;
    }
    // Too many to keep: the newest of all becomes one for everybody that reaches over both.
    Gap& last = gaps_.back();
    last = {ServiceId(), std::min(last.from_ns, from_ns), std::max(last.to_ns, to_ns)};
  }

  const SpanDepthsStats& stats() const { return stats_; }

 private:
  const TickPeriod& period() const { return options_.period; }
  Slot& At(Tick tick) {
    const auto size = static_cast<Tick>(ring_.size());
    const Tick index = tick % size;
    return ring_[static_cast<std::size_t>(index < 0 ? index + size : index)];
  }
  Tick RingEnd() const { return base_ + static_cast<Tick>(ring_.size()); }

  void Take(const SpanInterval& span) {
    Note(span);
    if (span.start_ns > watermark_ns_) {
      watermark_ns_ = span.start_ns;
      Drain();
    }
    const Tick first = TickAt(span.start_ns);
    const Tick last = TickAt(span.end_ns);
    if (first < base_) ++stats_.late;
    if (last < base_) return;
    last_touched_ = any_touched_ ? std::max(last_touched_, last) : last;
    any_touched_ = true;

    const Part part{TraceKey(span.trace),
                    span.parent_id,
                    span.start_ns,
                    span.end_ns,
                    std::clamp(span.running_from_ns(), span.start_ns, span.end_ns),
                    span.caller.value(),
                    span.callee.value(),
                    span.edge.value(),
                    span.request_class.value(),
                    span.side == SpanSide::kServer,
                    span.root,
                    span.async,
                    span.queue_known};
    const Tick stop = std::min(last + 1, RingEnd());
    for (Tick tick = std::max(first, base_); tick < stop; ++tick) Put(tick, part);
    if (last >= RingEnd()) {
      if (parts_ + long_.size() < options_.max_parts) {
        long_.push_back(part);
      } else {
        ++stats_.parts_dropped;
        lossy_until_ns_ = std::max(lossy_until_ns_, span.end_ns);
      }
    }
  }

  void Put(Tick tick, const Part& part) {
    Slot& slot = At(tick);
    if (parts_ + long_.size() >= options_.max_parts) {
      ++stats_.parts_dropped;
      slot.lossy = true;
      return;
    }
    slot.parts.push_back(part);
    ++parts_;
  }

  // Divisions are what an interval costs most; most fall into the tick of the one before.
  Tick TickAt(std::int64_t ns) {
    if (ns < cached_start_ns_ || ns - cached_start_ns_ >= period().ns()) {
      cached_ = period().TickAt(ns);
      cached_start_ns_ = period().StartNs(cached_);
    }
    return cached_;
  }

  void Note(const SpanInterval& span) {
    const bool server = span.side == SpanSide::kServer;
    any_without_ids_ = any_without_ids_ || (span.parent_id == 0 && span.caller.valid());
    if (span.edge.valid()) edge_[server ? 1 : 0].Note(span.edge.value(), span.start_ns);
    if (span.request_class.valid()) class_.Note(span.request_class.value(), span.start_ns);
    if (!server) {
      if (span.caller.valid()) called_.Note(span.caller.value(), span.start_ns);
      return;
    }
    if (!span.callee.valid()) return;
    served_.Note(span.callee.value(), span.start_ns);
    if (span.queue_known) queued_.Note(span.callee.value(), span.start_ns);
  }

  // After it: EndNs(base_) + reorder > watermark, so every later start that is not ahead of the
  // watermark lies in the ring.
  void Drain() {
    while (period().EndNs(base_) + options_.reorder_ns <= watermark_ns_) GiveNext();
  }

  void GiveOpen() {
    if (!any_touched_) return;
    const Tick last = std::min(
        last_touched_, period().TickAt(std::min(watermark_ns_ + options_.max_jump_ns, kTimeLimit)));
    while (base_ <= last) GiveNext();
  }

  void Jump(const SpanInterval& span) {
    std::vector<SpanInterval> ahead = std::move(ahead_);
    ahead_.clear();
    ahead.push_back(span);
    // Where most of them are: what is far ahead even of these is left aside.
    std::vector<std::int64_t> starts;
    for (const SpanInterval& each : ahead) starts.push_back(each.start_ns);
    std::nth_element(starts.begin(), starts.begin() + starts.size() / 2, starts.end());
    const std::int64_t middle_ns = starts[starts.size() / 2];
    GiveOpen();
    ++stats_.jumps;
    Rebase(std::max(base_, period().TickAt(middle_ns - options_.reorder_ns)));
    watermark_ns_ = middle_ns;
    for (const SpanInterval& each : ahead) {
      if (each.start_ns - watermark_ns_ > options_.max_jump_ns) {
        ++stats_.far_ahead;
      } else {
        Take(each);
      }
    }
  }

  void Rebase(Tick base) {
    if (base <= base_) return;
    for (Slot& slot : ring_) Empty(slot);
    base_ = base;
    any_given_ = false;  // go on with the first tick that something touches
    untouched_ = 0;
    for (Tick tick = base_; tick < RingEnd(); ++tick) Open(tick);
  }

  // Keeps the memory, but not so much that all slots together held more than twice max_parts.
  void Empty(Slot& slot) {
    parts_ -= slot.parts.size();
    slot.parts.clear();
    if (slot.parts.capacity() > 2 * options_.max_parts / ring_.size() + 1024) {
      std::vector<Part>().swap(slot.parts);
    }
    slot.lossy = false;
  }

  // A tick enters the ring: what reaches into it from before.
  void Open(Tick tick) {
    const std::int64_t start_ns = period().StartNs(tick);
    if (lossy_until_ns_ >= start_ns) At(tick).lossy = true;
    std::size_t kept = 0;
    for (std::size_t i = 0; i < long_.size(); ++i) {
      const Part part = long_[i];
      if (part.end_ns < start_ns) continue;
      Put(tick, part);
      if (part.end_ns - start_ns >= period().ns()) long_[kept++] = part;
    }
    long_.resize(kept);
  }

  void GiveNext() {
    Slot& slot = At(base_);
    const bool touched = !slot.parts.empty() || slot.lossy;
    any_given_ = any_given_ || touched;
    if (any_given_) {
      Sum(slot);
      ++stats_.ticks;
      sink_(tick_);
    }
    untouched_ = touched ? 0 : untouched_ + 1;
    Empty(slot);
    ++base_;
    Open(RingEnd() - 1);
    if (!gaps_.empty()) {
      const std::int64_t start_ns = period().StartNs(base_);
      gaps_.erase(std::remove_if(gaps_.begin(), gaps_.end(),
                                 [&](const Gap& gap) { return gap.to_ns <= start_ns; }),
                  gaps_.end());
    }
  }

  bool Silent(const Slot& slot) {
    if (options_.silence_ns <= 0 || !slot.parts.empty()) return false;
    const std::int64_t needed = (options_.silence_ns + period().ns() - 1) / period().ns();
    std::int64_t run = untouched_;
    const Tick seen_until = std::min(period().TickAt(watermark_ns_), RingEnd());
    for (Tick tick = base_; tick < seen_until && run < needed; ++tick, ++run) {
      if (!At(tick).parts.empty()) return false;
    }
    return run >= needed;
  }

  void Sum(const Slot& slot);
  void SumPart(const Part& part, std::int64_t start_ns, std::int64_t end_ns);
  void AddToBlocked(const Part& part, std::int64_t end_ns);
  void Publish(std::int64_t end_ns);
  void PublishService(ServiceId id, std::int64_t end_ns);

  SpanDepthsOptions options_;
  const Topology* topology_;
  TickSink sink_;
  SpanDepthsStats stats_;

  std::vector<Slot> ring_;  // ticks base_ to RingEnd() - 1, by tick modulo size
  std::vector<Part> long_;  // that reach beyond the ring
  std::size_t parts_ = 0;   // in the ring
  Tick base_ = 0;           // the next to give
  bool started_ = false, any_given_ = false, any_touched_ = false;
  Tick last_touched_ = 0;
  std::int64_t watermark_ns_ = kEarliest;
  std::int64_t lossy_until_ns_ = kEarliest;
  std::int64_t untouched_ = 0;  // ticks before base_ without a part
  Tick cached_ = 0;
  std::int64_t cached_start_ns_ = 0;
  std::vector<SpanInterval> ahead_;
  std::vector<Gap> gaps_;

  CoveredFrom served_, called_, queued_, class_;
  CoveredFrom edge_[2];  // by the caller, by the callee

  // One tick's sums.
  ClusterTick tick_;
  std::vector<ServiceSums> services_;
  std::vector<SideSums> edges_[2];
  internal::BlockedRequests blocked_;
  bool any_without_ids_ = false;
};

void SpanDepths::Impl::Sum(const Slot& slot) {
  const std::int64_t start_ns = period().StartNs(base_);
  const std::int64_t end_ns = period().EndNs(base_);
  const Topology& topology = *topology_;
  tick_.tick = base_;
  tick_.period = period();
  tick_.topology_version = topology.version();
  tick_.Reset(topology.services().size(), topology.edges().size(), topology.classes().size());
  if (slot.lossy || Silent(slot)) return;  // everything is missing

  services_.assign(topology.services().size(), {});
  for (std::vector<SideSums>& side : edges_) side.assign(topology.edges().size(), {});
  for (const Edge& edge : topology.edges()) {
    if (!edge.removed && edge.caller.valid() && edge.kind == EdgeKind::kSync) {
      services_[edge.caller.index()].calls = true;
    }
  }
  for (const Gap& gap : gaps_) {
    if (gap.from_ns >= end_ns || gap.to_ns <= start_ns) continue;
    if (!gap.service.valid()) return;
    if (gap.service.value() < services_.size()) services_[gap.service.index()].gap = true;
  }

  blocked_.Clear();
  for (const Part& part : slot.parts) {
    SumPart(part, start_ns, end_ns);
    AddToBlocked(part, end_ns);
  }
  stats_.orphans += blocked_.ForEach(
      start_ns, end_ns, [&](std::uint32_t service, std::int64_t ns, std::uint32_t open) {
        if (service >= services_.size()) return;
        services_[service].blocked_ns += ns;
        services_[service].blocked += open;
      });
  Publish(end_ns);
}

void SpanDepths::Impl::SumPart(const Part& part, std::int64_t start_ns, std::int64_t end_ns) {
  const auto within = [&](std::int64_t from, std::int64_t to) {
    return std::max<std::int64_t>(0, std::min(to, end_ns) - std::max(from, start_ns));
  };
  const auto now = [&](std::int64_t ns) { return ns >= start_ns && ns < end_ns; };
  const bool open = part.start_ns < end_ns && part.end_ns >= end_ns;

  if (part.edge < edges_[0].size()) {
    SideSums& edge = edges_[part.server ? 1 : 0][part.edge];
    edge.open_ns += within(part.start_ns, part.end_ns);
    edge.open += open ? 1 : 0;
    edge.made += now(part.start_ns) ? 1 : 0;
  }
  if (part.server && part.callee < services_.size()) {
    ServiceSums& sums = services_[part.callee];
    sums.running_ns += within(part.work_ns, part.end_ns);
    sums.queued_ns += within(part.start_ns, part.work_ns);
    if (open) ++(part.work_ns < end_ns ? sums.running : sums.queued);
    sums.began += now(part.work_ns) ? 1 : 0;
    if (now(part.end_ns)) {
      ++sums.ended;
      sums.served_ns += static_cast<double>(part.end_ns - part.work_ns);
    }
    if (part.queue_known) {
      sums.came += now(part.start_ns) ? 1 : 0;
      if (now(part.work_ns)) {
        ++sums.taken;
        sums.waited_ns += static_cast<double>(part.work_ns - part.start_ns);
      }
    }
  }
  // A request that both sides recorded counts once: as its caller saw it.
  const bool counts = !part.server || !edge_[0].Before(part.edge, end_ns);
  if (part.root && counts && part.request_class < tick_.classes.size()) {
    ClassTick& row = tick_.classes[part.request_class];
    if (now(part.end_ns)) {
      const std::int64_t latency_ns = part.end_ns - part.start_ns;
      ++row.count;
      row.latency.Record(latency_ns);
      const auto target_ns = topology_->classes()[part.request_class].target.latency_ns;
      row.over_target += latency_ns > target_ns ? 1 : 0;
    }
    if (open) row.oldest_open_ns = std::max(row.oldest_open_ns, end_ns - part.start_ns);
  }
}

void SpanDepths::Impl::AddToBlocked(const Part& part, std::int64_t end_ns) {
  using internal::BlockedRequests;
  // Only calls without ids are looked for in requests.
  if (any_without_ids_ && part.callee < services_.size() && part.trace != 0) {
    blocked_.Add(BlockedRequests::Request{BlockedRequests::Place(part.trace, part.callee),
                                          part.work_ns, part.end_ns},
                 !part.server);
  }
  const bool stands_for_caller =
      part.server && options_.servers_stand_for_callers && !edge_[0].Before(part.edge, end_ns);
  if (part.caller < services_.size() && !part.async && (!part.server || stands_for_caller)) {
    blocked_.Add(BlockedRequests::Call{BlockedRequests::Place(part.trace, part.caller), part.parent,
                                       part.start_ns, part.end_ns, part.caller, part.trace == 0});
  }
}

void SpanDepths::Impl::Publish(std::int64_t end_ns) {
  for (std::size_t i = 0; i < services_.size(); ++i) {
    PublishService(ServiceId(static_cast<std::uint32_t>(i)), end_ns);
  }
  const double period_ns = static_cast<double>(period().ns());
  const auto edges = topology_->edges();
  for (std::size_t i = 0; i < edges.size(); ++i) {
    const Edge& edge = edges[i];
    const bool outside = !edge.caller.valid();
    const bool by_caller =
        edge_[0].Before(i, end_ns) || (!outside && called_.Before(edge.caller.index(), end_ns));
    const bool by_callee =
        (outside || options_.servers_stand_for_callers) && edge_[1].Before(i, end_ns);
    if (edge.removed || (!by_caller && !by_callee)) continue;
    const ServiceId recorder = by_caller && !outside ? edge.caller : edge.callee;
    if (services_[recorder.index()].gap) continue;
    const SideSums& sums = edges_[by_caller ? 0 : 1][i];
    const EdgeId id(static_cast<std::uint32_t>(i));
    tick_.edges.SetDepth(id, sums.open);
    tick_.edges.SetMean(id, static_cast<double>(sums.open_ns) / period_ns);
    tick_.edges.SetMade(id, sums.made);
  }
  for (std::size_t i = 0; i < tick_.classes.size(); ++i) {
    ClassTick& row = tick_.classes[i];
    const ServiceId entry = topology_->classes()[i].entry;
    row.seen = class_.Before(i, end_ns) &&
               !(entry.value() < services_.size() && services_[entry.index()].gap);
    if (!row.seen) row = ClassTick();
  }
}

void SpanDepths::Impl::PublishService(ServiceId id, std::int64_t end_ns) {
  const ServiceSums& sums = services_[id.index()];
  if (sums.gap) return;
  const double period_ns = static_cast<double>(period().ns());
  const auto mean = [&](std::int64_t ns) { return static_cast<double>(ns) / period_ns; };
  const auto wait_us = [](double ns, std::uint32_t of) { return ns / 1000.0 / of; };
  ServiceTable& table = tick_.services;
  if (served_.Before(id.index(), end_ns)) {
    table.SetDepth(id, Channel::kRunning, sums.running);
    table.SetMean(id, Channel::kRunning, mean(sums.running_ns));
    table.SetFlow(id, Channel::kRunning, sums.began, sums.ended);
    if (sums.ended != 0) {
      table.SetMeanWait(id, Channel::kRunning, wait_us(sums.served_ns, sums.ended));
    }
  }
  if (queued_.Before(id.index(), end_ns)) {
    table.SetDepth(id, Channel::kQueued, sums.queued);
    table.SetMean(id, Channel::kQueued, mean(sums.queued_ns));
    table.SetFlow(id, Channel::kQueued, sums.came, sums.taken);
    if (sums.taken != 0) {
      table.SetMeanWait(id, Channel::kQueued, wait_us(sums.waited_ns, sums.taken));
    }
  }
  // Who records what it serves and calls nobody is never blocked.
  const bool leaf = served_.Before(id.index(), end_ns) && !sums.calls;
  const bool stands = options_.servers_stand_for_callers && sums.blocked_ns > 0;
  if (called_.Before(id.index(), end_ns) || leaf || stands) {
    table.SetDepth(id, Channel::kBlocked, sums.blocked);
    table.SetMean(id, Channel::kBlocked, mean(sums.blocked_ns));
  }
}

SpanDepths::SpanDepths(const SpanDepthsOptions& options, const Topology* topology, TickSink sink)
    : impl_(std::make_unique<Impl>(options, topology, std::move(sink))) {}
SpanDepths::~SpanDepths() = default;
SpanDepths::SpanDepths(SpanDepths&&) noexcept = default;
SpanDepths& SpanDepths::operator=(SpanDepths&&) noexcept = default;

void SpanDepths::StartAt(Tick first) { impl_->StartAt(first); }
void SpanDepths::Add(const SpanInterval& interval) { impl_->Add(interval); }
void SpanDepths::AdvanceTo(std::int64_t now_ns) { impl_->AdvanceTo(now_ns); }
void SpanDepths::Finish() { impl_->Finish(); }
void SpanDepths::CoverFrom(ServiceId service, SpanSide side, std::int64_t since_ns) {
  impl_->CoverFrom(service, side, since_ns);
}
void SpanDepths::CoverFrom(EdgeId edge, std::int64_t since_ns) { impl_->CoverFrom(edge, since_ns); }
void SpanDepths::CoverFrom(ClassId request_class, std::int64_t since_ns) {
  impl_->CoverFrom(request_class, since_ns);
}
void SpanDepths::AddGap(ServiceId service, std::int64_t from_ns, std::int64_t to_ns) {
  impl_->AddGap(service, from_ns, to_ns);
}
void SpanDepths::AddGap(std::int64_t from_ns, std::int64_t to_ns) {
  impl_->AddGap(ServiceId(), from_ns, to_ns);
}
const SpanDepthsStats& SpanDepths::stats() const { return impl_->stats(); }

SEER_END_NAMESPACE
