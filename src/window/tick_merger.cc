#include "seer/window/tick_merger.h"

#include <algorithm>
#include <deque>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "seer/core/internal/state_io.h"
#include "seer/core/internal/status_macros.h"
#include "seer/core/wire.h"
#include "window/tick_sums.h"

SEER_BEGIN_NAMESPACE
namespace {

constexpr std::size_t kMaxOpenTicks = 4096;
// Times beyond are nobody's, and sums of two of them do not overflow.
constexpr std::int64_t kTimeLimit = std::int64_t{1} << 62;

struct Numbering {
  std::uint64_t epoch = 0;
  std::uint64_t version = 0;
  TopologyMap map;
};

struct NodeState {
  std::string name;
  Numbering now;
  Numbering before;  // of the life before this one
  bool has_before = false;
  bool expected = true;
  std::int64_t heard_ns = 0;
  internal::NodeReport report;
};

struct Slot {
  std::unique_ptr<internal::TickSums> sums;  // while it is used
  std::vector<bool> from;                    // by node index
  std::uint32_t nodes = 0;
  bool used = false;
};

}  // namespace

class TickMerger::Impl {
 public:
  Impl(const TickMergerOptions& options, Topology* topology, TickSink sink)
      : options_(options), topology_(topology), sink_(std::move(sink)) {
    options_.deadline_ns = std::clamp<std::int64_t>(options_.deadline_ns, 0, 60'000'000'000);
    const auto needed = static_cast<std::size_t>(options_.deadline_ns / options_.period.ns()) + 3;
    slots_.resize(
        std::clamp(options_.max_open_ticks, std::min(needed, kMaxOpenTicks), kMaxOpenTicks));
  }

  absl::Status AddNode(const Topology& node, std::int64_t now_ns) {
    const Origin& origin = node.origin();
    if (origin.node.empty()) {
      return absl::InvalidArgumentError(
          "topology.origin.node is empty: make it with Topology::OfNode(), as the node's agent "
          "does");
    }
    const auto found = index_.find(origin.node);
    if (found == index_.end() && nodes_.size() >= options_.max_nodes) {
      return absl::ResourceExhaustedError(absl::StrCat("node '", origin.node, "' would be number ",
                                                       nodes_.size() + 1,
                                                       ": raise TickMergerOptions::max_nodes"));
    }
    SEER_ASSIGN_OR_RETURN(TopologyMap map, topology_->Merge(node));
    if (found == index_.end()) {
      index_.emplace(origin.node, nodes_.size());
      nodes_.emplace_back();
      nodes_.back().name = origin.node;
      nodes_.back().now = {origin.epoch, origin.topology_version, std::move(map)};
      nodes_.back().heard_ns = now_ns;
      ++expected_;
    } else {
      NodeState& state = nodes_[found->second];
      if (state.now.epoch != origin.epoch) {
        state.before = std::move(state.now);
        state.has_before = true;
        ++stats_.restarts;
      }
      state.now = {origin.epoch, origin.topology_version, std::move(map)};
      Hear(state, now_ns);
    }
    // What waited for it.
    std::deque<Waiting> waiting = std::exchange(waiting_, {});
    for (Waiting& each : waiting) {
      if (each.snapshot.origin.node == origin.node) {
        Take(each.snapshot, each.since_ns, now_ns);
      } else {
        waiting_.push_back(std::move(each));
      }
    }
    return absl::OkStatus();
  }

  void RemoveNode(std::string_view name) {
    const auto found = index_.find(std::string(name));
    if (found == index_.end() || !nodes_[found->second].expected) return;
    Unexpect(nodes_[found->second]);
  }

  void Add(const Snapshot& snapshot, std::int64_t now_ns) {
    AdvanceTo(now_ns);
    if (snapshot.period != options_.period) {
      ++stats_.other_period;
      return;
    }
    // Its clock and ours may differ by a little: the next tick is possible, what lies beyond is
    // not.
    if (snapshot.tick < -(kTimeLimit / options_.period.ns()) || now_ns > kTimeLimit ||
        now_ns < -kTimeLimit / 2 || snapshot.tick > options_.period.TickAt(now_ns) + 1) {
      ++stats_.ahead;
      return;
    }
    if (!started_) {
      started_ = true;
      // Others may send an earlier tick yet, if it has time left.
      next_ = std::min(snapshot.tick, options_.period.TickAt(now_ns - options_.deadline_ns));
      next_ = std::max(next_, snapshot.tick - static_cast<Tick>(slots_.size()) + 1);
      first_ = true;
    }
    Take(snapshot, now_ns, now_ns);
    GiveComplete(now_ns);
  }

  void AdvanceTo(std::int64_t now_ns) {
    if (now_ns > kTimeLimit || now_ns < -kTimeLimit / 2) return;
    Expire(now_ns);
    if (!started_) return;
    const auto due = [&] { return options_.period.EndNs(next_) + options_.deadline_ns <= now_ns; };
    while (due()) {
      const Tick now = options_.period.TickAt(now_ns);
      if (opened_ == 0 && now - next_ > static_cast<Tick>(slots_.size())) {
        stats_.skipped_ticks += static_cast<std::uint64_t>(now - next_ - 1);
        next_ = now - 1;
        first_ = true;
        continue;
      }
      Give(now_ns);
    }
    GiveComplete(now_ns);
  }

  void Finish() {
    while (started_ && opened_ > 0) Give(last_now_ns_);
    stats_.unknown += waiting_.size();
    waiting_.clear();
  }

  std::size_t expected_nodes() const { return expected_; }
  const TickMergerStats& stats() const { return stats_; }

  std::unique_ptr<Impl> NewOne() const {
    return std::make_unique<Impl>(options_, topology_, sink_);
  }
  void State(internal::StateIo& io) {
    for (std::uint64_t* const count :
         {&stats_.merged, &stats_.late, &stats_.duplicates, &stats_.ahead, &stats_.other_period,
          &stats_.unknown, &stats_.waiting_dropped, &stats_.unknown_rows, &stats_.restarts,
          &stats_.missing, &stats_.forgotten, &stats_.ticks, &stats_.skipped_ticks,
          &stats_.spans_dropped, &stats_.missed_ticks}) {
      io(*count);
    }
    io(started_), io(first_), io(next_), Time(io, last_now_ns_);
    const Tick most = kTimeLimit / options_.period.ns();
    io.Require(next_ >= -most && next_ <= most, "merger: a tick that nobody can be at");
    io.List(nodes_, 64, [&](NodeState& node) { NodeFields(io, node); });
    io.Require(nodes_.size() <= options_.max_nodes, "merger: more nodes than max_nodes");
    SlotFields(io);
    WaitingFields(io);
    if (!io.loading()) return;
    expected_ = 0;
    for (std::size_t i = 0; i < nodes_.size() && io.ok(); ++i) {
      io.Require(index_.emplace(nodes_[i].name, i).second, "merger: a node is there twice");
      expected_ += nodes_[i].expected ? 1 : 0;
    }
  }

 private:
  struct Waiting {
    Snapshot snapshot;
    std::int64_t since_ns = 0;
  };

  // What is loaded has to be a time that can be reckoned with.
  static void Time(internal::StateIo& io, std::int64_t& ns) {
    io(ns);
    io.Require(ns >= -kTimeLimit / 2 && ns <= kTimeLimit, "merger: a time that is nobody's");
  }
  static void NumberingFields(internal::StateIo& io, Numbering& numbering) {
    io(numbering.epoch), io(numbering.version);
    io(numbering.map.services), io(numbering.map.instances), io(numbering.map.nodes);
    io(numbering.map.edges), io(numbering.map.classes), io(numbering.map.methods);
  }
  static void NodeFields(internal::StateIo& io, NodeState& node) {
    io(node.name), io(node.has_before), io(node.expected), Time(io, node.heard_ns);
    io.Require(!node.name.empty(), "merger: a node without a name");
    NumberingFields(io, node.now);
    NumberingFields(io, node.before);
    io.List(node.report.services, 5,
            [&](internal::NodeReport::ServiceChannels& row) { io(row.service), io(row.channels); });
    io(node.report.edges);
  }
  void SlotFields(internal::StateIo& io) {
    std::uint64_t size = slots_.size();
    io(size);
    io.Require(size == slots_.size(), "merger: made with another max_open_ticks");
    for (std::size_t i = 0; i < slots_.size() && io.ok(); ++i) {
      Slot& slot = slots_[i];
      io(slot.used);
      if (!slot.used) continue;
      if (io.loading()) ++opened_;
      std::vector<std::uint32_t> from;
      for (std::uint32_t n = 0; n < slot.from.size() && !io.loading(); ++n) {
        if (slot.from[n]) from.push_back(n);
      }
      io(from);
      if (io.loading()) slot.from.assign(nodes_.size(), false);
      if (slot.sums == nullptr) slot.sums = NewSums();
      for (const std::uint32_t n : from) {
        io.Require(n < nodes_.size() && (!io.loading() || !slot.from[n]),
                   "merger: a node that is not there, or twice");
        if (io.ok()) slot.from[n] = true;
      }
      slot.nodes = static_cast<std::uint32_t>(from.size());
      slot.sums->State(io, *topology_);
    }
  }
  void WaitingFields(internal::StateIo& io) {
    const Tick most = kTimeLimit / options_.period.ns();
    std::size_t count = waiting_.size();
    if (!io.Count(&count, 16)) return;
    io.Require(count <= options_.max_waiting, "merger: more snapshots wait than max_waiting");
    std::string bytes;
    for (std::size_t i = 0; i < count && io.ok(); ++i) {
      if (io.loading()) waiting_.emplace_back();
      Waiting& each = waiting_[i];
      if (!io.loading()) EncodeTo(each.snapshot, &bytes);
      io(bytes);
      Time(io, each.since_ns);
      if (!io.loading() || !io.ok()) continue;
      io.Require(DecodeTo(bytes, &each.snapshot).ok() && each.snapshot.tick >= -most &&
                     each.snapshot.tick <= most && each.snapshot.period == options_.period,
                 "merger: a snapshot that cannot wait");
    }
  }

  // By tick modulo size, counted from the one that was asked for last: mostly it is the same.
  Slot& At(Tick tick) {
    const auto size = static_cast<Tick>(slots_.size());
    if (tick != asked_) {
      asked_ = tick;
      asked_slot_ = static_cast<std::size_t>((tick % size + size) % size);
    }
    return slots_[asked_slot_];
  }

  // The sums that were given back last are those that the processor's caches still hold.
  std::unique_ptr<internal::TickSums> NewSums() {
    if (spare_.empty()) {
      spare_.reserve(slots_.size());
      return std::make_unique<internal::TickSums>();
    }
    std::unique_ptr<internal::TickSums> sums = std::move(spare_.back());
    spare_.pop_back();
    sums->Clear();
    return sums;
  }

  void Hear(NodeState& node, std::int64_t now_ns) {
    node.heard_ns = std::max(node.heard_ns, now_ns);
    if (node.expected) return;
    node.expected = true;
    ++expected_;
  }
  void Unexpect(NodeState& node) {
    node.expected = false;
    node.report = {};
    --expected_;
  }

  void Wait(const Snapshot& snapshot, std::int64_t since_ns) {
    if (waiting_.size() >= options_.max_waiting) {
      ++stats_.waiting_dropped;
      return;
    }
    waiting_.push_back({snapshot, since_ns});
  }

  // The node's index, or how many there are. They mostly tell in the same order.
  std::size_t Find(const std::string& name) {
    std::size_t index = after_last_ < nodes_.size() ? after_last_ : 0;
    if (index == nodes_.size() || nodes_[index].name != name) {
      const auto found = index_.find(name);
      if (found == index_.end()) return nodes_.size();
      index = found->second;
    }
    after_last_ = index + 1;
    return index;
  }

  // Into its tick, or to those that wait.
  void Take(const Snapshot& snapshot, std::int64_t since_ns, std::int64_t now_ns) {
    const std::size_t index = Find(snapshot.origin.node);
    if (index == nodes_.size()) {
      Wait(snapshot, since_ns);
      return;
    }
    NodeState& node = nodes_[index];
    Hear(node, now_ns);
    const bool of_before = node.has_before && snapshot.origin.epoch == node.before.epoch;
    if (!of_before && snapshot.origin.epoch != node.now.epoch) {
      Wait(snapshot, since_ns);
      return;
    }
    if (snapshot.tick < next_) {
      ++stats_.late;
      return;
    }
    if (snapshot.tick - next_ >= static_cast<Tick>(slots_.size())) {
      ++stats_.ahead;  // waited for its numbering while time stood still
      return;
    }
    if (!of_before && snapshot.origin.topology_version > node.now.version &&
        options_.period.EndNs(snapshot.tick) + options_.deadline_ns > now_ns) {
      Wait(snapshot, since_ns);
      return;
    }
    Merge(snapshot, node, index, of_before ? node.before : node.now);
  }

  void Merge(const Snapshot& snapshot, NodeState& node, std::size_t index,
             const Numbering& numbering) {
    Slot& slot = At(snapshot.tick);
    if (!slot.used) {
      slot.used = true;
      slot.nodes = 0;
      slot.sums = NewSums();
      std::fill(slot.from.begin(), slot.from.end(), false);
      ++opened_;
    }
    if (slot.from.size() < nodes_.size()) slot.from.resize(nodes_.size(), false);
    if (slot.from[index]) {
      ++stats_.duplicates;
      return;
    }
    slot.from[index] = true;
    ++slot.nodes;
    stats_.unknown_rows += slot.sums->Add(snapshot, numbering.map, *topology_, &node.report);
    ++stats_.merged;
    stats_.spans_dropped += snapshot.health.spans_dropped;
    stats_.missed_ticks += snapshot.health.missed_ticks;
  }

  void GiveComplete(std::int64_t now_ns) {
    if (!started_) return;
    // Only ticks that are over: a node whose clock is ahead may have told already.
    while (options_.period.EndNs(next_) <= now_ns) {
      const Slot& slot = At(next_);
      // While one waits for its topology nobody knows how many there will be.
      if (!slot.used || slot.nodes < expected_ || !waiting_.empty()) return;
      Give(now_ns);
    }
  }

  void Give(std::int64_t now_ns) {
    // Those that waited for a later version count with what is known.
    for (std::size_t i = 0; i < waiting_.size();) {
      const Snapshot& snapshot = waiting_[i].snapshot;
      const auto found = index_.find(snapshot.origin.node);
      if (snapshot.tick != next_ || found == index_.end() ||
          nodes_[found->second].now.epoch != snapshot.origin.epoch) {
        ++i;
        continue;
      }
      NodeState& node = nodes_[found->second];
      Merge(snapshot, node, found->second, node.now);
      waiting_.erase(waiting_.begin() + static_cast<std::ptrdiff_t>(i));
    }

    Slot& slot = At(next_);
    // Ticks before the first one that anybody told of are not given.
    if (slot.used || !first_) {
      if (!slot.used) slot.sums = NewSums();
      for (std::size_t i = 0; i < nodes_.size(); ++i) {
        NodeState& node = nodes_[i];
        if (!node.expected || (slot.used && i < slot.from.size() && slot.from[i])) continue;
        if (now_ns - node.heard_ns > options_.forget_ns) {
          Unexpect(node);
          ++stats_.forgotten;
          continue;
        }
        ++stats_.missing;
        slot.sums->Miss(node.report);
      }
      slot.sums->Write(*topology_, &tick_);
      spare_.push_back(std::move(slot.sums));
      tick_.tick = next_;
      tick_.period = options_.period;
      tick_.nodes_seen = slot.used ? slot.nodes : 0;
      tick_.nodes_expected =
          static_cast<std::uint32_t>(std::max<std::size_t>(expected_, tick_.nodes_seen));
      ++stats_.ticks;
      first_ = false;
      if (slot.used) --opened_;
      slot.used = false;
      ++next_;
      sink_(tick_);
      return;
    }
    ++next_;
  }

  void Expire(std::int64_t now_ns) {
    last_now_ns_ = std::max(last_now_ns_, now_ns);
    while (!waiting_.empty() && now_ns - waiting_.front().since_ns > options_.unknown_ns) {
      ++stats_.unknown;
      waiting_.pop_front();
    }
  }

  TickMergerOptions options_;
  Topology* topology_;
  TickSink sink_;
  TickMergerStats stats_;
  std::vector<NodeState> nodes_;
  std::unordered_map<std::string, std::size_t> index_;  // by name
  std::size_t after_last_ = 0;                          // index of the node after the one told last
  std::size_t expected_ = 0;
  std::vector<Slot> slots_;  // ticks from next_ on, by tick modulo size
  std::size_t opened_ = 0;   // slots in use
  Tick asked_ = 0;           // of At()
  std::size_t asked_slot_ = 0;
  std::vector<std::unique_ptr<internal::TickSums>> spare_;
  std::deque<Waiting> waiting_;
  Tick next_ = 0;  // the next to give
  bool started_ = false;
  bool first_ = true;
  std::int64_t last_now_ns_ = 0;
  ClusterTick tick_;
};

TickMerger::TickMerger(const TickMergerOptions& options, Topology* topology, TickSink sink)
    : impl_(std::make_unique<Impl>(options, topology, std::move(sink))) {}
TickMerger::~TickMerger() = default;
TickMerger::TickMerger(TickMerger&&) noexcept = default;
TickMerger& TickMerger::operator=(TickMerger&&) noexcept = default;
absl::Status TickMerger::AddNode(const Topology& node, std::int64_t now_ns) {
  return impl_->AddNode(node, now_ns);
}
void TickMerger::RemoveNode(std::string_view node) { impl_->RemoveNode(node); }
void TickMerger::Add(const Snapshot& snapshot, std::int64_t now_ns) {
  impl_->Add(snapshot, now_ns);
}
void TickMerger::AdvanceTo(std::int64_t now_ns) { impl_->AdvanceTo(now_ns); }
void TickMerger::Finish() { impl_->Finish(); }
std::size_t TickMerger::expected_nodes() const { return impl_->expected_nodes(); }
const TickMergerStats& TickMerger::stats() const { return impl_->stats(); }
void TickMerger::SaveState(std::string* bytes) const {
  internal::StateIo io(bytes);
  impl_->State(io);
}
absl::Status TickMerger::LoadState(std::string_view bytes) {
  internal::StateIo io(bytes);
  std::unique_ptr<Impl> loaded = impl_->NewOne();
  loaded->State(io);
  absl::Status status = io.status();
  if (status.ok()) impl_ = std::move(loaded);
  return status;
}

SEER_END_NAMESPACE
