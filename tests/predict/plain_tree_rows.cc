// The rows of PlainTreeFeatures.
#include <algorithm>
#include <cmath>

#include "tests/predict/plain_tree_features.h"

namespace seer::testing {
namespace {

// NaN never wins.
float Larger(float a, float b) { return b > a || std::isnan(a) ? b : a; }

}  // namespace

void PlainTreeFeatures::ClassRow(ClassId id, float* row) {
  const ClassState& state = classes_[id.index()];
  std::size_t n = 0;
  const auto put = [&](float value) { row[n++] = value; };
  put(state.fill);
  put(state.fills[2]);
  put(state.fill == state.fill ? state.allowed - static_cast<float>(state.over) : kNone);
  put(state.over_now);
  put(state.fill - state.fills[1]);
  put(state.oldest < 0.6f ? 0.6f : state.oldest);
  put(state.age - state.age_before);
  put(state.p99);
  put(state.p99_before);
  put(state.usual_slow > 0 ? state.p50 / state.usual_slow : kNone);
  put(state.usual_p99 > 0 ? state.p99 / state.usual_p99 : kNone);
  put(state.fill == state.fill ? static_cast<float>(state.near_sum) / state.allowed : kNone);
  put(state.fill == state.fill ? static_cast<float>(state.half) / state.allowed : kNone);
  put(state.count / std::max(state.usual_count, 1.0f));
  put(state.fill == state.fill ? static_cast<float>(state.total) : kNone);
  put(static_cast<float>(static_cast<double>(state.since_breach) * seconds_));

  float fill = kNone, oldest = kNone, p99 = kNone, other_fill = kNone, other_oldest = kNone;
  float in_breach = 0, all_in_breach = 0;
  const float second = static_cast<float>(1 / seconds_);
  for (const ClassState& other : classes_) {
    if (&other == &state) continue;
    const bool breach = other.since_breach < second;
    all_in_breach += breach ? 1.0f : 0.0f;
    if (other.group != state.group) {
      other_fill = Larger(other_fill, other.fill);
      other_oldest = Larger(other_oldest, other.oldest);
      continue;
    }
    in_breach += breach ? 1.0f : 0.0f;
    fill = Larger(fill, other.fill);
    oldest = Larger(oldest, other.oldest);
    p99 = Larger(p99, other.p99);
  }
  for (const float value :
       {fill, oldest, p99, in_breach, other_fill, other_oldest, all_in_breach}) {
    put(value);
  }

  // All that the class's requests can wait for, and who stands out among them.
  float most[kSeries];
  std::fill(std::begin(most), std::end(most), kNone);
  float second_self = kNone, least_rate = kNone, rise1 = kNone, rise2 = kNone, rise4 = kNone;
  float outstanding_rise = kNone, abnormal = 0, excess_most = kNone, excess_sum = 0;
  float excess_sums[8] = {};  // side by side
  std::size_t side = 7;
  top_count_ = 0;
  for (const std::uint32_t s : members_.Of(id)) {
    side = (side + 1) % 8;
    if (std::find(masked_.begin(), masked_.end(), s) != masked_.end()) continue;
    const float self = columns_[kSelf].z[s];
    if (self > most[kSelf] || std::isnan(most[kSelf])) {
      second_self = most[kSelf];
    } else if (self > second_self || std::isnan(second_self)) {
      second_self = self;
    }
    for (std::size_t k = 0; k < kSeries; ++k) most[k] = Larger(most[k], columns_[k].z[s]);
    const float rate_z = columns_[kRate].z[s];
    if (rate_z < least_rate || std::isnan(least_rate)) least_rate = rate_z;
    rise1 = Larger(rise1, Rise(self_ring_, s, 1));
    rise2 = Larger(rise2, Rise(self_ring_, s, 2));
    rise4 = Larger(rise4, Rise(self_ring_, s, 4));
    outstanding_rise = Larger(outstanding_rise, Rise(outstanding_ring_, s, 2));
    abnormal += self > 4 ? 1.0f : 0.0f;
    if (self == self && recent_rate_[s] >= 0) {
      const float excess =
          (columns_[kSelf].value[s] - columns_[kSelf].mean[s]) / std::max(recent_rate_[s], 1.0f);
      excess_most = Larger(excess_most, excess);
      excess_sums[side] += std::max(excess, 0.0f);
    }
    // Whoever stands out in any way may be to blame.
    float score = Larger(self, 0.5f * columns_[kOutstanding].z[s]);
    for (const Series series : {kGap, kQueued, kSocket, kNic, kAccept}) {
      score = Larger(score, columns_[series].z[s]);
    }
    if (std::isnan(score)) continue;
    if (top_count_ == kCandidates && top_score_[kCandidates - 1] >= score) continue;
    if (top_count_ < kCandidates) ++top_count_;
    std::size_t place = top_count_ - 1;
    for (; place > 0 && top_score_[place - 1] < score; --place) {
      top_score_[place] = top_score_[place - 1];
      top_[place] = top_[place - 1];
    }
    top_score_[place] = score;
    top_[place] = s;
  }
  for (const float sum : excess_sums) excess_sum += sum;
  const bool any = top_count_ > 0;
  const std::uint32_t first = top_[0];
  std::vector<float> scores;
  for (std::uint32_t s = 0; s < held_.size(); ++s) {
    float score = Larger(columns_[kSelf].z[s], 0.5f * columns_[kOutstanding].z[s]);
    for (const Series series : {kGap, kQueued, kSocket, kNic, kAccept}) {
      score = Larger(score, columns_[series].z[s]);
    }
    scores.push_back(score);
  }
  std::vector<std::uint32_t> chosen;
  if (ways_.Candidates(id, scores, masked_, &chosen)) {
    std::copy(chosen.begin(), chosen.end(), top_.begin());
    top_count_ = chosen.size();
  }
  const float target_s = classes_[id.index()].target_s;
  const ServiceId entry = classes_[id.index()].entry;
  if (entry.valid() && std::find(masked_.begin(), masked_.end(), entry.value()) == masked_.end()) {
    const std::size_t e = entry.index();
    put(columns_[kSelf].z[e]);
    put(columns_[kOutstanding].z[e]);
    put(Rise(outstanding_ring_, e, 1));
    put(Rise(outstanding_ring_, e, 2));
    put(Rise(outstanding_ring_, e, 4));
    put(columns_[kRate].z[e]);
    put(recent_rate_[e] / std::max(columns_[kRate].mean[e], 1.0f));
    const float per =
        recent_rate_[e] >= 0 ? 1 / (std::max(recent_rate_[e], 1.0f) * target_s) : kNone;
    put(columns_[kOutstanding].value[e] * per);
    put((columns_[kOutstanding].value[e] - columns_[kOutstanding].mean[e]) * per);
  } else {
    for (int i = 0; i < 9; ++i) put(kNone);
  }
  put(most[kSelf]);
  put(second_self);
  for (const Series series :
       {kOutstanding, kQueued, kSocket, kNic, kAccept, kSend, kGap, kRunning, kStay}) {
    put(most[series]);
  }
  put(rise1);
  put(rise2);
  put(rise4);
  put(outstanding_rise);
  put(abnormal);
  put(excess_most / target_s);
  put(excess_sum / target_s);
  put(most[kRate]);
  put(least_rate);
  if (any) {
    const std::uint32_t s = first;
    put(columns_[kSelf].z[s]);
    put(Rise(self_ring_, s, 2));
    put(columns_[kGap].z[s]);
    put(callee_self_[s]);
    put(mate_self_[s]);
    put(columns_[kQueued].z[s]);
  } else {
    for (int i = 0; i < 6; ++i) put(kNone);
  }
  const PlainClassWays::Weighed weighed = ways_.Weigh(id, held_, masked_);
  put(weighed.delay / target_s);
  put(weighed.most / target_s);
  put(weighed.slow / target_s);
  put(weighed.own / target_s);
  for (const std::size_t back : {0u, 1u, 3u}) {
    put((weighed.delay - state.delays[back]) / target_s);
  }
  put(weighed.self);
  put(weighed.rise);
  put(weighed.gap);
  put(weighed.abnormal);
  put(state.near_now / state.allowed);
  put(state.half_now / state.allowed);
  put(state.fill == state.fill ? state.leaves : kNone);
  put(state.usual_slow > 0 ? state.p90 / state.usual_slow : kNone);
  put(state.usual_p99 > 0 ? state.usual_p99 : kNone);
  float held = 0;
  for (std::size_t i = 0; i < 8; ++i) {
    held += i < state.held.size() ? state.held[i] : 0.0f;
    if (i == 1 || i == 3 || i == 7) put(held / state.allowed);
  }
  put(held / std::max(state.usual_count, 0.1f));
  for (const float value :
       {state.fill_slow, state.fill_slower, state.delay_slow, state.delay_slower, state.peak,
        static_cast<float>(static_cast<double>(state.trouble) * seconds_), state.age,
        state.usual_fill, state.usual_near, state.usual_half,
        state.usual_slow > 0 ? state.usual_slow : kNone}) {
    put(value);
  }
}

void PlainTreeFeatures::ServiceRow(ClassId id, std::uint32_t service, float* row) const {
  std::size_t n = 0;
  const auto put = [&](float value) { row[n++] = value; };
  const bool load = service == kLoad;
  const ServiceId entry = classes_[id.index()].entry;
  put(load ? 1.0f : 0.0f);
  if (load && !entry.valid()) {
    while (n < kServiceColumns) put(kNone);
    return;
  }
  const std::uint32_t s = load ? entry.value() : service;
  const float target_s = classes_[id.index()].target_s;
  for (const Series series :
       {kSelf, kOutstanding, kQueued, kRunning, kSocket, kNic, kAccept, kSend, kGap, kRate}) {
    put(columns_[series].z[s]);
  }
  const float rate = std::max(recent_rate_[s], 1.0f);
  put(recent_rate_[s] >= 0 ? recent_rate_[s] / std::max(columns_[kRate].mean[s], 1.0f) : kNone);
  put(columns_[kStay].z[s]);
  for (const std::size_t back : {1u, 2u, 4u, 8u}) put(Rise(self_ring_, s, back));
  for (const std::size_t back : {1u, 2u, 4u, 8u}) put(Rise(outstanding_ring_, s, back));
  const float self = columns_[kSelf].z[s];
  const auto excess_of = [&](std::uint32_t i) {
    return recent_rate_[i] >= 0
               ? std::max(columns_[kSelf].value[i] - columns_[kSelf].mean[i], 0.0f) /
                     std::max(recent_rate_[i], 1.0f)
               : kNone;
  };
  float before = 1, other = kNone, excess_sum = 0;
  for (const std::uint32_t i : candidates()) {
    const float excess = excess_of(i);
    if (excess == excess) excess_sum += excess;
    if (i == s) continue;
    before += columns_[kSelf].z[i] > self ? 1.0f : 0.0f;
    other = Larger(other, columns_[kSelf].z[i]);
  }
  put(1 / before);
  put(self - other);
  put(callee_self_[s]);
  put(callee_outstanding_[s]);
  put(caller_self_[s]);
  put(mate_self_[s]);
  const float excess = excess_of(s);
  put(excess / target_s);
  put(excess_sum > 0 ? excess / excess_sum : 0.0f);
  put(columns_[kSelf].mean[s]);
  put(columns_[kSelf].value[s]);
  put(entry.valid() && entry.value() == s ? 1.0f : 0.0f);
  put(columns_[kStay].value[s] / std::max(columns_[kStay].mean[s], 1.0f));
  put((columns_[kGap].value[s] - columns_[kGap].mean[s]) / (rate * target_s));
  put((columns_[kQueued].value[s] - columns_[kQueued].mean[s]) / (rate * target_s));
  put(columns_[kRunning].value[s] / std::max(columns_[kRunning].mean[s], 0.1f));
  PutWays(id, s, row + n);
}

void PlainTreeFeatures::PutWays(ClassId id, std::uint32_t s, float* row) const {
  std::size_t n = 0;
  const auto put = [&](float value) { row[n++] = value; };
  const float target_s = classes_[id.index()].target_s;
  const auto own_delay = [&](std::uint32_t i) {
    return ways_.Visits(id, i) * held_[i].own / target_s;
  };
  put(ways_.Visits(id, s));
  for (const bool own : {false, true}) {
    const auto delay = [&](std::uint32_t i) { return own ? own_delay(i) : WayDelay(id, i); };
    float before = 1, most = kNone, sum = 0;
    for (const std::uint32_t i : candidates()) {
      if (delay(i) > 0) sum += delay(i);
      if (i == s) continue;
      before += delay(i) > delay(s) ? 1.0f : 0.0f;
      most = Larger(most, delay(i));
    }
    put(delay(s));
    put(sum > 0 ? delay(s) / sum : 0.0f);
    put(1 / before);
    put(delay(s) - most);
  }
  const auto above = [&](Series series, std::uint32_t i) {
    return columns_[series].value[i] - columns_[series].mean[i];
  };
  const float per = ways_.Visits(id, s) / (std::max(recent_rate_[s], 1.0f) * target_s);
  put((above(kSelf, s) - above(kGap, s) - above(kQueued, s)) * per);

  const std::vector<float>& gaps = columns_[kGap].z;
  float callee = kNone, least = kNone, caller = kNone, mate_gap = kNone;
  float callees = 0, callees_gap = 0, callers = kNone;
  for (const EdgePair& edge : edges_) {
    if (edge.caller == s) {
      callee = Larger(callee, gaps[edge.callee]);
      if (gaps[edge.callee] < least || std::isnan(least)) least = gaps[edge.callee];
      const float delay = WayDelay(id, edge.callee);
      callees += delay > 0 ? delay : 0.0f;
      const float waits = ways_.Visits(id, edge.callee) * above(kGap, edge.callee) /
                          (std::max(recent_rate_[edge.callee], 1.0f) * target_s);
      callees_gap += waits > 0 ? waits : 0.0f;
    }
    if (edge.callee == s) {
      caller = Larger(caller, gaps[edge.caller]);
      callers = Larger(callers, WayDelay(id, edge.caller));
    }
  }
  float node_self = kNone, node_gap = kNone, node_nic = kNone, before = 1, on_node = 0;
  for (const auto& [own, node] : placed_) {
    if (own != s) continue;
    for (const bool gap : {false, true}) {
      float sum = 0, count = 0;
      for (const auto& [mate, other] : placed_) {
        const float z = columns_[gap ? kGap : kSelf].z[mate];
        if (other != node || std::isnan(z)) continue;
        sum += std::min(std::max(z, -2.0f), 8.0f);
        count += 1;
      }
      float& most = gap ? node_gap : node_self;
      most = Larger(most, count > 0 ? sum / count : kNone);
    }
    for (const auto& [mate, other] : placed_) {
      if (other != node) continue;
      node_nic = Larger(node_nic, columns_[kNic].z[mate]);
      on_node += own_delay(mate) > 0 ? own_delay(mate) : 0.0f;
      if (mate == s) continue;
      mate_gap = Larger(mate_gap, gaps[mate]);
      before += WayDelay(id, mate) > WayDelay(id, s) ? 1.0f : 0.0f;
    }
  }
  for (const float value : {callee, least, caller, mate_gap, node_self, node_gap, 1 / before,
                            callees, callers, callees_gap}) {
    put(value);
  }
  put((columns_[kOutstanding].value[s] - columns_[kSelf].value[s]) /
      std::max(columns_[kRunning].value[s], 1.0f));
  put(above(kGap, s) / std::max(above(kSelf, s), 1.0f));
  const float all_own = classes_[id.index()].weighed.own / target_s;
  put(all_own > 0 ? on_node / all_own : kNone);
  put(node_nic);
  const PlainClassWays::Weather weather = ways_.Of(id, held_);
  for (const float value : {weather.self, weather.gap, weather.self_share, weather.gap_share,
                            node_self - weather.self, node_gap - weather.gap}) {
    put(value);
  }
}

float PlainTreeFeatures::Z(std::uint32_t service, Measure measure) const {
  switch (measure) {
    case Measure::kSelf:
      return columns_[kSelf].z[service];
    case Measure::kOutstanding:
      return columns_[kOutstanding].z[service];
    case Measure::kQueued:
      return columns_[kQueued].z[service];
    case Measure::kRunning:
      return columns_[kRunning].z[service];
    case Measure::kSocket:
      return columns_[kSocket].z[service];
    case Measure::kNic:
      return columns_[kNic].z[service];
    case Measure::kAccept:
      return columns_[kAccept].z[service];
    case Measure::kSend:
      return columns_[kSend].z[service];
    case Measure::kBlocked:
      break;
  }
  return kNone;
}

}  // namespace seer::testing
