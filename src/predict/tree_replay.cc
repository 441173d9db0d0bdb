#include "predict/tree_replay.h"

#include <algorithm>
#include <utility>

SEER_BEGIN_NAMESPACE
namespace internal {
namespace {

constexpr std::uint64_t kStride[] = {20, 2, 1};  // of each group, every so many are kept
constexpr double kShare[] = {0.25, 0.25, 0.5};
constexpr int kTries = 8;                // for one of an old version
constexpr std::size_t kEnough = 50'000;  // looks, to judge by
constexpr std::size_t kSaidBytes = 64;   // of what is said of a look

// With which probability one is drawn, so that about `most` are: half of them fresh ones, if there
// are so many.
struct Shares {
  Shares(std::size_t old, std::size_t fresh, double most) {
    const auto n_old = static_cast<double>(old), n_fresh = static_cast<double>(fresh);
    const double of_fresh = std::min(n_fresh, std::max(most / 2, most - n_old));
    const double of_old = std::min(n_old, most - of_fresh);
    share_fresh = of_fresh / std::max(1.0, n_fresh);
    share_old = of_old / std::max(1.0, n_old);
    drawn = of_fresh + of_old;
  }
  double Of(bool fresh) const { return fresh ? share_fresh : share_old; }
  double share_fresh = 0, share_old = 0;
  double drawn = 0;  // of both
};

constexpr std::size_t kLeastLook = 48 + sizeof(TreeLook::row);  // bytes of a saved one

void LookState(StateIo& io, TreeLook& look) {
  io(look.end_ns), io(look.version), io(look.ahead_ns), io(look.request_class);
  io(look.weight), io(look.blame_weight);
  io(look.in_violation), io(look.near), io(look.stirs), io(look.known), io(look.blamed);
  for (float& value : look.row) io.AnyFloat(value);
  io.AnyFloats(look.candidates);
  constexpr std::int64_t kMost = std::int64_t{1} << 62;
  io.Require(look.end_ns >= 0 && look.end_ns < kMost && look.ahead_ns >= 0, "a time of nobody's");
  io.Require(
      look.weight >= 0 && look.weight <= 1 && look.blame_weight >= 0 && look.blame_weight <= 1,
      "a weight of nobody's");
  const std::size_t count = look.candidate_count();
  io.Require(count * TreeFeatures::kServiceColumns == look.candidates.size() && look.blamed >= -1 &&
                 look.blamed < static_cast<std::int32_t>(count),
             "somebody blamed who is not there");
}

}  // namespace

void TreeReplay::Add(TreeLook look) {
  if (look.in_violation) return;
  const bool ahead = look.ahead_ns != TreeLook::kNever;
  if (!ahead && !look.known) return;
  const std::size_t group = ahead ? kAhead : look.stirs ? kStirring : kStill;
  Kept& kept = groups_[group];
  if (kept.seen++ % kStride[group] != 0) return;
  kept.came += static_cast<double>(kStride[group]);
  newest_version_ = std::max(newest_version_, look.version);
  kept.bytes += look.bytes();
  bytes_ += look.bytes();
  kept.ends_ns.push_back(look.end_ns);
  kept.looks.push_back(std::move(look));
  while (bytes_ > options_.bytes) MakeRoom();
}

void TreeReplay::State(StateIo& io) {
  io(drawn_), io(newest_version_);
  for (std::size_t g = 0; g < kGroups; ++g) {
    Kept& kept = groups_[g];
    io(kept.seen), io(kept.came);
    io.List(kept.looks, kLeastLook, [&](TreeLook& look) { LookState(io, look); });
    if (!io.loading()) continue;
    const auto least = static_cast<double>(kept.looks.size());
    io.Require(kept.came >= least && kept.came < 1e18, "a sample of fewer than it has");
    for (const TreeLook& look : kept.looks) {
      kept.bytes += look.bytes();
      kept.ends_ns.push_back(look.end_ns);
    }
    bytes_ += kept.bytes;
  }
  while (io.loading() && bytes_ > options_.bytes) MakeRoom();
}

void TreeReplay::MakeRoom() {
  std::size_t group = 0;
  double most = -1;
  for (std::size_t g = 0; g < kGroups; ++g) {
    if (groups_[g].looks.empty()) continue;
    const double share = static_cast<double>(groups_[g].bytes) / kShare[g];
    if (share > most) most = share, group = g;
  }
  std::vector<TreeLook>& looks = groups_[group].looks;
  std::vector<std::int64_t>& ends_ns = groups_[group].ends_ns;
  std::size_t victim = 0;
  for (int i = 0; i < kTries; ++i) {
    victim = static_cast<std::size_t>(rng_.Below(drawn_++, looks.size()));
    if (looks[victim].version + options_.versions <= newest_version_) break;
  }
  const std::size_t bytes = looks[victim].bytes();
  groups_[group].bytes -= bytes;
  bytes_ -= bytes;
  if (victim + 1 < looks.size()) looks[victim] = std::move(looks.back());
  looks.pop_back();
  ends_ns[victim] = ends_ns.back();
  ends_ns.pop_back();
}

std::size_t TreeReplay::looks() const {
  std::size_t count = 0;
  for (const Kept& kept : groups_) count += kept.looks.size();
  return count;
}

std::size_t TreeReplay::AheadSince(std::int64_t from_ns) const {
  const auto& ends_ns = groups_[kAhead].ends_ns;
  return static_cast<std::size_t>(std::count_if(
      ends_ns.begin(), ends_ns.end(), [&](std::int64_t end_ns) { return end_ns > from_ns; }));
}

TreeRows TreeReplay::Rows(absl::Span<const std::int64_t> horizons_ns, std::size_t most,
                          std::int64_t from_ns, std::int64_t fresh_ns, std::uint64_t seed) const {
  TreeRows rows;
  rows.columns = TreeFeatures::kClassColumns;
  rows.outputs = horizons_ns.size();
  const CounterRng rng(seed, CounterRng::StreamOf("rows"));
  std::uint64_t drawn = 0;
  for (std::size_t g = 0; g < kGroups; ++g) {
    const Kept& kept = groups_[g];
    std::size_t old = 0, fresh = 0;
    for (const std::int64_t end_ns : kept.ends_ns) {
      if (end_ns > from_ns) ++(end_ns > fresh_ns ? fresh : old);
    }
    const Shares shares(old, fresh, kShare[g] * static_cast<double>(most));
    if (!(shares.drawn > 0)) continue;
    const double each = kept.came / static_cast<double>(kept.looks.size()) *
                        static_cast<double>(old + fresh) / shares.drawn;
    for (std::size_t i = 0; i < kept.looks.size(); ++i) {
      const std::int64_t end_ns = kept.ends_ns[i];
      if (end_ns <= from_ns) continue;
      if (static_cast<double>(rng.Uniform(drawn++)) >= shares.Of(end_ns > fresh_ns)) continue;
      const TreeLook& look = kept.looks[i];
      const auto put = [&](bool ahead, double weight) {
        rows.values.insert(rows.values.end(), look.row.begin(), look.row.end());
        rows.weights.push_back(static_cast<float>(weight));
        for (const std::int64_t horizon : horizons_ns) {
          rows.labels.push_back(ahead && look.ahead_ns <= horizon ? 1.0f : 0.0f);
        }
      };
      const bool ahead = look.ahead_ns != TreeLook::kNever;
      const auto sure = static_cast<double>(look.weight);
      put(ahead, each * (ahead ? sure : 1));
      if (ahead && sure < 1) put(false, each * (1 - sure));  // as likely as not: so it counts
    }
  }
  const bool any =
      std::any_of(rows.labels.begin(), rows.labels.end(), [](float l) { return l > 0; });
  const bool all =
      std::all_of(rows.labels.begin(), rows.labels.end(), [](float l) { return l > 0; });
  if (any && !all) return rows;
  TreeRows none;
  none.columns = rows.columns;
  none.outputs = rows.outputs;
  return none;
}

TreeRows TreeReplay::Blames(std::size_t most, std::int64_t from_ns, std::int64_t fresh_ns,
                            std::uint64_t seed) const {
  TreeRows rows;
  rows.columns = TreeFeatures::kServiceColumns;
  const CounterRng rng(seed, CounterRng::StreamOf("blames"));
  std::uint64_t drawn = 0;
  std::uint32_t group = 0;
  std::size_t old = 0, fresh = 0;
  for (const TreeLook& look : groups_[kAhead].looks) {
    if (look.blamed < 0 || look.end_ns <= from_ns) continue;
    (look.end_ns > fresh_ns ? fresh : old) += look.candidate_count();
  }
  const Shares shares(old, fresh, static_cast<double>(most));
  for (const TreeLook& look : groups_[kAhead].looks) {
    if (look.blamed < 0 || look.end_ns <= from_ns) continue;
    if (static_cast<double>(rng.Uniform(drawn++)) >= shares.Of(look.end_ns > fresh_ns)) continue;
    rows.values.insert(rows.values.end(), look.candidates.begin(), look.candidates.end());
    for (std::size_t i = 0; i < look.candidate_count(); ++i) {
      rows.labels.push_back(static_cast<std::int32_t>(i) == look.blamed ? 1.0f : 0.0f);
      rows.weights.push_back(look.blame_weight);
      rows.groups.push_back(group);
    }
    ++group;
  }
  return rows;
}

void TreeHeldBack::Add(TreeLook look) {
  const std::int64_t block = look.end_ns / block_ns_;
  // A clock that was put back: what is yet to come has not been seen.
  while (!tracks_.empty() && tracks_.back().block > block) {
    Leave(tracks_.back());
    tracks_.pop_back();
  }
  Track* track = nullptr;
  for (auto t = tracks_.rbegin(); t != tracks_.rend() && t->block == block; ++t) {
    if (t->request_class == look.request_class) track = &*t;
  }
  if (track == nullptr) {
    for (auto t = tracks_.rbegin(); t != tracks_.rend() && tracks_.back().block != block; ++t) {
      if (t->block != tracks_.back().block) break;
      t->looks.shrink_to_fit();  // nothing more comes to them
    }
    track = &tracks_.emplace_back();
    track->block = block;
    track->request_class = look.request_class;
  }
  const std::size_t bytes = look.bytes() + kSaidBytes;
  const bool starts =
      look.in_violation && !track->looks.empty() && !track->looks.back().in_violation;
  track->violations += starts ? 1 : 0;
  track->bytes += bytes;
  bytes_ += bytes;
  ++looks_;
  ahead_ += look.ahead_ns != TreeLook::kNever ? 1 : 0;
  track->looks.push_back(std::move(look));
  while (bytes_ > most_) {
    Leave(tracks_.front());
    tracks_.pop_front();
  }
}

void TreeHeldBack::State(StateIo& io) {
  std::size_t count = looks_;
  if (!io.Count(&count, kLeastLook)) return;
  if (!io.loading()) {
    for (Track& track : tracks_) {
      for (TreeLook& look : track.looks) LookState(io, look);
    }
    return;
  }
  for (std::size_t i = 0; i < count && io.ok(); ++i) {
    TreeLook look;
    LookState(io, look);
    // Tracks stand by block.
    const bool later = tracks_.empty() || look.end_ns / block_ns_ >= tracks_.back().block;
    io.Require(later, "held-back looks that are not in order");
    if (io.ok()) Add(std::move(look));
  }
}

void TreeHeldBack::Leave(const Track& track) {
  bytes_ -= track.bytes;
  looks_ -= track.looks.size();
  for (const TreeLook& look : track.looks) ahead_ -= look.ahead_ns != TreeLook::kNever ? 1 : 0;
}

std::vector<TreeHeldBack::Track*> TreeHeldBack::Recent(std::int64_t from_ns, std::size_t violations,
                                                       std::size_t fewest) {
  std::vector<Track*> tracks;
  std::size_t found = 0, looks = 0;
  for (auto t = tracks_.rbegin(); t != tracks_.rend(); ++t) {
    if (t->looks.front().end_ns <= from_ns) break;
    const bool next_block = tracks.empty() || tracks.back()->block != t->block;
    if (next_block && found >= (looks < kEnough ? violations : fewest)) break;
    found += t->violations;
    looks += t->looks.size();
    tracks.push_back(&*t);
  }
  std::reverse(tracks.begin(), tracks.end());
  return tracks;
}

std::size_t TreeHeldBack::Violations(std::int64_t from_ns) const {
  std::size_t count = 0;
  for (auto t = tracks_.rbegin(); t != tracks_.rend(); ++t) {
    if (t->looks.front().end_ns <= from_ns) break;
    count += t->violations;
  }
  return count;
}

void TreeHeldBack::Forget(Teller teller) {
  for (Track& track : tracks_) track.said[teller] = TreeSaid();
}

void TreeHeldBack::ServingIsBefore() {
  for (Track& track : tracks_) track.said[kBefore] = track.said[kServing];
}

}  // namespace internal
SEER_END_NAMESPACE
