#include "seer/window/trace_assembler.h"

#include <algorithm>
#include <cstdlib>
#include <map>
#include <unordered_map>
#include <utility>

#include "absl/hash/hash.h"
#include "window/host_skews.h"
#include "window/trace_tree.h"

SEER_BEGIN_NAMESPACE
namespace {

// Times beyond are nobody's: sums and differences of two of them do not overflow.
constexpr std::int64_t kTimeLimit = std::int64_t{1} << 62;
// No two clocks are nine years apart.
constexpr std::int64_t kMaxSkewNs = std::int64_t{1} << 58;
// One wrong clock must not end all traces: to an end so far away time moves only when many say so.
constexpr std::int64_t kMaxJumpNs = 3'600'000'000'000;
constexpr int kJumpVotes = 16;

std::int64_t Limited(std::int64_t ahead_ns) {
  return std::clamp(ahead_ns, -kMaxSkewNs, kMaxSkewNs);
}

// Seeded anew in each process: ids come from whoever sends requests, and must not collide at will.
struct TraceHash {
  std::size_t operator()(TraceId id) const noexcept { return absl::HashOf(id.high, id.low); }
};

}  // namespace

class TraceAssembler::Impl {
 public:
  Impl(const TraceAssemblerOptions& options, TraceSink sink)
      : options_(options), sink_(std::move(sink)), skews_(options.max_host_pairs) {
    options_.linger_ns = std::clamp<std::int64_t>(options_.linger_ns, 0, kMaxJumpNs);
    options_.max_spans = std::max<std::size_t>(options_.max_spans, 1);
    options_.max_spans_per_trace = std::max<std::size_t>(options_.max_spans_per_trace, 1);
  }

  void Add(const SpanInterval& span) {
    ++stats_.spans;
    if (!span.trace.valid()) {
      ++stats_.without_trace;
      return;
    }
    if (span.end_ns < span.start_ns || span.start_ns < -kTimeLimit / 2 ||
        span.end_ns > kTimeLimit) {
      ++stats_.negative;
      return;
    }
    Pass(span.end_ns);
    auto [found, is_new] = pending_.try_emplace(span.trace);
    Pending& pending = found->second;
    if (is_new) ends_.emplace_hint(ends_.end(), now_ns_ + options_.linger_ns, span.trace);
    pending.last_ns = now_ns_;
    if (pending.spans.size() >= options_.max_spans_per_trace) {
      ++stats_.over_limit;
      pending.cut = true;
      return;
    }
    pending.spans.push_back(span);
    ++held_;
    while (held_ > options_.max_spans && !ends_.empty()) {
      const TraceId oldest = ends_.begin()->second;
      ends_.erase(ends_.begin());
      const auto it = pending_.find(oldest);
      if (it == pending_.end()) continue;
      ++stats_.evicted;
      it->second.cut = true;
      Give(it);
    }
  }

  void AdvanceTo(std::int64_t now_ns) {
    if (now_ns > kTimeLimit || now_ns < now_ns_) return;
    now_ns_ = now_ns;
    GiveOld();
  }

  void Finish() {
    for (const auto& [at_ns, id] : std::exchange(ends_, {})) {
      const auto it = pending_.find(id);
      if (it != pending_.end()) Give(it);
    }
  }

  std::vector<HostSkew> Skews() const { return skews_.All(); }
  const TraceAssemblerStats& stats() const { return stats_; }

 private:
  struct Pending {
    std::vector<SpanInterval> spans;
    std::int64_t last_ns = 0;
    bool cut = false;
  };
  using PendingMap = std::unordered_map<TraceId, Pending, TraceHash>;

  void Pass(std::int64_t end_ns) {
    const bool far = started_ && std::abs(end_ns - now_ns_) > kMaxJumpNs;
    if (far && ++jump_votes_ < kJumpVotes) return;
    jump_votes_ = 0;
    if (far && end_ns < now_ns_) Finish();  // what waits for the time that never was
    now_ns_ = started_ && !far ? std::max(now_ns_, end_ns) : end_ns;
    started_ = true;
    GiveOld();
  }

  void GiveOld() {
    while (!ends_.empty() && ends_.begin()->first < now_ns_) {
      const TraceId id = ends_.begin()->second;
      ends_.erase(ends_.begin());
      const auto it = pending_.find(id);
      if (it == pending_.end()) continue;
      if (it->second.last_ns + options_.linger_ns >= now_ns_) {
        ends_.emplace(it->second.last_ns + options_.linger_ns, id);
        continue;
      }
      Give(it);
    }
  }

  void Give(PendingMap::iterator it) {
    std::vector<SpanInterval> spans = std::move(it->second.spans);
    const bool cut = it->second.cut;
    pending_.erase(it);
    held_ -= spans.size();
    stats_.duplicates += tree_.Pair(spans);
    for (const internal::TraceTree::Sides& call : tree_.calls()) {
      if (call.client < 0 || call.server < 0) continue;
      skews_.Observe(spans[static_cast<std::size_t>(call.client)],
                     spans[static_cast<std::size_t>(call.server)]);
    }
    if (options_.correct_skew) Correct(spans);
    tree_.Build(spans, &trace_);
    trace_.incomplete = trace_.incomplete || cut;
    for (const Hop& hop : trace_.hops) stats_.adopted += hop.adopted ? 1 : 0;
    stats_.incomplete += trace_.incomplete ? 1 : 0;
    if (trace_.incomplete && !options_.give_incomplete) return;
    ++stats_.traces;
    sink_(trace_);
  }

  // Onto the clock of the host of the first span: hosts are reached over calls between them.
  void Correct(std::vector<SpanInterval>& spans) {
    ahead_.clear();
    for (const SpanInterval& span : spans) {
      if (!span.host.valid()) continue;
      ahead_.emplace(span.host.value(), 0);
      break;
    }
    for (bool found = true; found;) {
      found = false;
      for (const internal::TraceTree::Sides& call : tree_.calls()) {
        if (call.client < 0 || call.server < 0) continue;
        const NodeId client = spans[static_cast<std::size_t>(call.client)].host;
        const NodeId server = spans[static_cast<std::size_t>(call.server)].host;
        const auto skew = skews_.Of(client, server);
        if (!skew) continue;
        const auto from_client = ahead_.find(client.value());
        const auto from_server = ahead_.find(server.value());
        if (from_client != ahead_.end() && from_server == ahead_.end()) {
          ahead_.emplace(server.value(), Limited(from_client->second + skew->ahead_ns));
          found = true;
        } else if (from_client == ahead_.end() && from_server != ahead_.end()) {
          ahead_.emplace(client.value(), Limited(from_server->second - skew->ahead_ns));
          found = true;
        }
      }
    }
    for (SpanInterval& span : spans) {
      const auto known = ahead_.find(span.host.value());
      if (known == ahead_.end()) continue;
      const std::int64_t ahead_ns = Limited(known->second);
      span.start_ns -= ahead_ns;
      span.end_ns -= ahead_ns;
      span.work_ns = span.queue_known
                         ? std::clamp(span.work_ns, -kTimeLimit / 2, kTimeLimit) - ahead_ns
                         : span.work_ns;
    }
  }

  TraceAssemblerOptions options_;
  TraceSink sink_;
  TraceAssemblerStats stats_;
  internal::HostSkews skews_;
  internal::TraceTree tree_;
  RequestTrace trace_;
  PendingMap pending_;
  std::multimap<std::int64_t, TraceId> ends_;  // when to look at a trace again
  std::unordered_map<std::uint32_t, std::int64_t> ahead_;
  std::size_t held_ = 0;
  std::int64_t now_ns_ = -kTimeLimit;
  bool started_ = false;
  int jump_votes_ = 0;
};

TraceAssembler::TraceAssembler(const TraceAssemblerOptions& options, TraceSink sink)
    : impl_(std::make_unique<Impl>(options, std::move(sink))) {}
TraceAssembler::~TraceAssembler() = default;
TraceAssembler::TraceAssembler(TraceAssembler&&) noexcept = default;
TraceAssembler& TraceAssembler::operator=(TraceAssembler&&) noexcept = default;
void TraceAssembler::Add(const SpanInterval& span) { impl_->Add(span); }
void TraceAssembler::AdvanceTo(std::int64_t now_ns) { impl_->AdvanceTo(now_ns); }
void TraceAssembler::Finish() { impl_->Finish(); }
std::vector<HostSkew> TraceAssembler::Skews() const { return impl_->Skews(); }
const TraceAssemblerStats& TraceAssembler::stats() const { return impl_->stats(); }

void AssembleTrace(absl::Span<const SpanInterval> spans, RequestTrace* trace) {
  internal::TraceTree tree;
  tree.Pair(spans);
  tree.Build(spans, trace);
}

SEER_END_NAMESPACE
