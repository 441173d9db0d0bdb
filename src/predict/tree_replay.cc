#include "predict/tree_replay.h"

#include <algorithm>
#include <map>
#include <utility>

SEER_BEGIN_NAMESPACE
namespace internal {
namespace {

constexpr std::uint64_t kStride[] = {20, 2, 1};  // of each group, every so many are kept
constexpr double kShare[] = {0.25, 0.25, 0.5};
constexpr int kTries = 8;  // for one of an old version

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
  kept.looks.push_back(std::move(look));
  while (bytes_ > options_.bytes) MakeRoom();
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
}

std::size_t TreeReplay::looks() const {
  std::size_t count = 0;
  for (const Kept& kept : groups_) count += kept.looks.size();
  return count;
}

std::size_t TreeReplay::AheadSince(std::int64_t from_ns) const {
  const auto& looks = groups_[kAhead].looks;
  return static_cast<std::size_t>(std::count_if(
      looks.begin(), looks.end(), [&](const TreeLook& look) { return look.end_ns > from_ns; }));
}

TreeRows TreeReplay::Rows(absl::Span<const std::int64_t> horizons_ns, std::size_t most,
                          std::int64_t from_ns, std::uint64_t seed) const {
  TreeRows rows;
  rows.columns = TreeFeatures::kClassColumns;
  rows.outputs = horizons_ns.size();
  const CounterRng rng(seed, CounterRng::StreamOf("rows"));
  std::uint64_t drawn = 0;
  for (std::size_t g = 0; g < kGroups; ++g) {
    const Kept& kept = groups_[g];
    std::size_t there = 0;
    for (const TreeLook& look : kept.looks) there += look.end_ns > from_ns ? 1 : 0;
    if (there == 0) continue;
    const double drawn_share =
        std::min(1.0, kShare[g] * static_cast<double>(most) / static_cast<double>(there));
    const double each = kept.came / static_cast<double>(kept.looks.size()) / drawn_share;
    for (const TreeLook& look : kept.looks) {
      if (look.end_ns <= from_ns) continue;
      if (static_cast<double>(rng.Uniform(drawn++)) >= drawn_share) continue;
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

TreeRows TreeReplay::Blames(std::size_t most, std::int64_t from_ns, std::uint64_t seed) const {
  TreeRows rows;
  rows.columns = TreeFeatures::kServiceColumns;
  const CounterRng rng(seed, CounterRng::StreamOf("blames"));
  std::uint64_t drawn = 0;
  std::uint32_t group = 0;
  std::size_t there = 0;
  for (const TreeLook& look : groups_[kAhead].looks) {
    there += look.blamed >= 0 && look.end_ns > from_ns ? look.candidate_count() : 0;
  }
  const double share = there == 0 ? 1 : static_cast<double>(most) / static_cast<double>(there);
  for (const TreeLook& look : groups_[kAhead].looks) {
    if (look.blamed < 0 || look.end_ns <= from_ns) continue;
    if (static_cast<double>(rng.Uniform(drawn++)) >= share) continue;
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
  bytes_ += look.bytes();
  ahead_ += look.ahead_ns != TreeLook::kNever ? 1 : 0;
  looks_.push_back(std::move(look));
  while (bytes_ > most_ && looks_.size() > 1) {
    bytes_ -= looks_.front().bytes();
    ahead_ -= looks_.front().ahead_ns != TreeLook::kNever ? 1 : 0;
    looks_.pop_front();
  }
}

std::vector<TreeHeldBack::Track> TreeHeldBack::Tracks(std::int64_t from_ns) const {
  std::map<std::pair<std::int64_t, std::uint32_t>, std::vector<const TreeLook*>> found;
  for (const TreeLook& look : looks_) {
    if (look.end_ns <= from_ns) continue;
    found[{look.end_ns / block_ns_, look.request_class}].push_back(&look);
  }
  std::vector<Track> tracks;
  for (auto& [key, looks] : found) tracks.push_back({key.first, std::move(looks)});
  return tracks;
}

std::size_t TreeHeldBack::Violations(std::int64_t from_ns) const {
  std::size_t count = 0;
  for (const Track& track : Tracks(from_ns)) {
    for (std::size_t i = 1; i < track.looks.size(); ++i) {
      count += track.looks[i]->in_violation && !track.looks[i - 1]->in_violation ? 1 : 0;
    }
  }
  return count;
}

}  // namespace internal
SEER_END_NAMESPACE
