#include "tests/predict/plain_class_ways.h"

#include <algorithm>
#include <cmath>
#include <set>

namespace seer::testing {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

}  // namespace

void PlainClassWays::UseRows(const internal::ClassMembers& members, const Topology& topology,
                             const std::vector<std::uint32_t>& groups) {
  const std::vector<Group> before = std::move(groups_);
  groups_.clear();
  group_of_.clear();
  std::map<std::uint32_t, std::size_t> made;
  for (std::uint32_t c = 0; c < groups.size(); ++c) {
    if (!topology.IsLive(ClassId(c))) continue;
    const auto [at, anew] = made.emplace(groups[c], groups_.size());
    if (anew) groups_.emplace_back();
    Group& group = groups_[at->second];
    group_of_[c] = at->second;
    group.classes.push_back(c);
    std::set<std::uint32_t> all(group.members.begin(), group.members.end());
    for (const std::uint32_t s : members.Of(ClassId(c))) all.insert(s);
    group.members.assign(all.begin(), all.end());
  }
  for (Group& group : groups_) {
    for (const Group& old : before) {
      if (old.classes == group.classes && old.members == group.members) group = old;
    }
  }
}

void PlainClassWays::Observe(const std::vector<float>& counts, const std::vector<bool>& calm,
                             const std::vector<PlainHeld>& services, double gap) {
  for (Group& group : groups_) {
    if (gap > 0) group.good = false;
    for (const std::uint32_t c : group.classes) {
      if (std::isnan(counts[c]) || !calm[c]) group.good = false;
      group.ended[c] += std::isnan(counts[c]) ? 0 : counts[c];
    }
    for (const std::uint32_t s : group.members) group.came[s] += services[s].came;
    if (++group.ticks < 4) continue;
    if (group.good) Learn(&group);
    group.ticks = 0;
    group.good = true;
    group.ended.clear();
    group.came.clear();
  }
}

void PlainClassWays::Learn(Group* group) {
  double requests = 0;
  for (const std::uint32_t c : group->classes) requests += static_cast<double>(group->ended[c]);
  if (!(requests > 0) || requests > 1e7) return;
  const auto inverse = [&](std::uint32_t a, std::uint32_t b) -> double& {
    return inverse_.emplace(Cell(a, b), a == b ? 1.0 : 0.0).first->second;
  };
  std::map<std::uint32_t, double> spread;
  double all = 0.1 * requests + 1;
  for (const std::uint32_t a : group->classes) {
    double sum = 0;
    for (const std::uint32_t b : group->classes) {
      sum += inverse(a, b) * static_cast<double>(group->ended[b]);
    }
    spread[a] = sum;
    all += sum * static_cast<double>(group->ended[a]);
  }
  if (!(all >= 1)) return;
  for (const std::uint32_t a : group->classes) {
    for (const std::uint32_t b : group->classes) {
      double& cell = inverse(a, b);
      cell -= spread[a] * spread[b] / all;
      if (a == b) cell = std::min(std::max(cell, 0.0) + 1e-5, 1.0);
    }
  }
  for (const std::uint32_t s : group->members) {
    float error = group->came[s];
    if (!(error <= 1e7f)) continue;
    learnt_[{group->classes[0], s}] += 1;
    for (const std::uint32_t c : group->classes) error -= visits_[{c, s}] * group->ended[c];
    if (std::isnan(error)) continue;
    for (const std::uint32_t c : group->classes) {
      visits_[{c, s}] += static_cast<float>(spread[c] / all) * error;
    }
  }
}

float PlainClassWays::Visits(ClassId id, std::uint32_t service) const {
  const auto group = group_of_.find(id.value());
  if (group == group_of_.end()) return kNone;
  const Group& own = groups_[group->second];
  if (!std::binary_search(own.members.begin(), own.members.end(), service)) return kNone;
  const auto learnt = learnt_.find({own.classes[0], service});
  if (learnt == learnt_.end() || learnt->second < 20) return kNone;
  return std::max(visits_.at({id.value(), service}), 0.0f);
}

bool PlainClassWays::Candidates(ClassId id, const std::vector<float>& scores,
                                const std::vector<std::uint32_t>& masked,
                                std::vector<std::uint32_t>* into) const {
  into->clear();
  const auto group = group_of_.find(id.value());
  if (group == group_of_.end()) return false;
  bool warm = false;
  for (const std::uint32_t s : groups_[group->second].members) {
    const float visits = Visits(id, s);
    warm = warm || visits == visits;
    if (std::isnan(scores[s]) || scores[s] == -kInfinity || visits < 0.02f) continue;
    if (std::find(masked.begin(), masked.end(), s) == masked.end()) into->push_back(s);
  }
  std::stable_sort(into->begin(), into->end(),
                   [&](std::uint32_t a, std::uint32_t b) { return scores[a] > scores[b]; });
  if (into->size() > 16) into->resize(16);
  return warm;
}

PlainClassWays::Weather PlainClassWays::Of(ClassId id,
                                           const std::vector<PlainHeld>& services) const {
  Weather weather;
  const auto group = group_of_.find(id.value());
  if (group == group_of_.end()) return weather;
  for (const bool gap : {false, true}) {
    float sum = 0, known = 0, far = 0, sums[8] = {};  // side by side
    std::size_t side = 7;
    for (const std::uint32_t s : groups_[group->second].members) {
      const float z = gap ? services[s].gap_z : services[s].self_z;
      side = (side + 1) % 8;
      if (std::isnan(z)) continue;
      known += 1;
      far += z > 2 ? 1.0f : 0.0f;
      sums[side] += std::min(std::max(z, -2.0f), 8.0f);
    }
    for (const float each : sums) sum += each;
    if (!(known > 0)) continue;
    (gap ? weather.gap : weather.self) = sum / known;
    (gap ? weather.gap_share : weather.self_share) = far / known;
  }
  return weather;
}

PlainClassWays::Weighed PlainClassWays::Weigh(ClassId id, const std::vector<PlainHeld>& services,
                                              const std::vector<std::uint32_t>& masked) const {
  Weighed weighed;
  const auto found = group_of_.find(id.value());
  if (found == group_of_.end()) return weighed;
  const Group& group = groups_[found->second];
  bool warm = false;
  for (const std::uint32_t s : group.members) {
    const auto learnt = learnt_.find({group.classes[0], s});
    warm = warm || (learnt != learnt_.end() && learnt->second >= 20);
  }
  if (!warm) return weighed;
  weighed.most = 0;
  weighed.self = weighed.rise = weighed.gap = -kInfinity;
  const auto more = [](float value, float* most) {
    if (value > *most) *most = value;
  };
  // Summed as eight sums side by side.
  float delay = 0, slow = 0, own = 0, abnormal = 0;
  for (std::size_t lane = 0; lane < 8; ++lane) {
    float delays = 0, slows = 0, owns = 0, many = 0;
    for (std::size_t m = lane; m < group.members.size(); m += 8) {
      const std::uint32_t s = group.members[m];
      if (std::find(masked.begin(), masked.end(), s) != masked.end()) continue;
      const auto cell = visits_.find({id.value(), s});
      const float visits = cell == visits_.end() ? 0 : cell->second;
      const float times = std::max(visits, 0.0f);
      const float waits = times * (services[s].excess > 0 ? services[s].excess : 0);
      delays += waits;
      more(waits, &weighed.most);
      slows += times * (services[s].slow > 0 ? services[s].slow : 0);
      owns += times * (services[s].own > 0 ? services[s].own : 0);
      if (!(visits >= 0.1f)) continue;
      more(services[s].self_z, &weighed.self);
      more(services[s].rise, &weighed.rise);
      more(services[s].gap_z, &weighed.gap);
      many += services[s].self_z > 4 ? 1.0f : 0.0f;
    }
    delay += delays;
    slow += slows;
    own += owns;
    abnormal += many;
  }
  weighed.delay = delay;
  weighed.slow = slow;
  weighed.own = own;
  weighed.abnormal = abnormal;
  for (float* const value : {&weighed.self, &weighed.rise, &weighed.gap}) {
    if (*value == -kInfinity) *value = kNone;
  }
  return weighed;
}

}  // namespace seer::testing
