#include "benchmarks/evaluation/thresholds.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <map>

namespace seer::evaluation {
namespace {

// Of values from 0 on, in falling order, those at these places; not all have to be sorted for it.
std::vector<float> AtRanks(const std::vector<float>& values,
                           const std::vector<std::size_t>& ranks) {
  constexpr std::size_t kBuckets = 1 << 16;
  const auto bucket_of = [](float value) {  // the larger the value, the lower
    value += 0.0f;                          // -0 is 0
    std::uint32_t bits = 0;
    std::memcpy(&bits, &value, sizeof bits);
    return kBuckets - 1 - (bits >> 16);
  };
  std::vector<std::size_t> first(kBuckets + 1, 0);
  for (const float value : values) ++first[bucket_of(value) + 1];
  for (std::size_t b = 0; b < kBuckets; ++b) first[b + 1] += first[b];
  std::map<std::size_t, std::vector<float>> wanted;
  std::vector<std::size_t> whose;
  std::vector<std::uint8_t> is_wanted(kBuckets, 0);
  for (const std::size_t rank : ranks) {
    const auto after = std::upper_bound(first.begin(), first.end(), rank);
    whose.push_back(static_cast<std::size_t>(after - first.begin()) - 1);
    wanted[whose.back()];
    is_wanted[whose.back()] = 1;
  }
  for (const float value : values) {
    const std::size_t bucket = bucket_of(value);
    if (is_wanted[bucket] != 0) wanted[bucket].push_back(value);
  }
  std::vector<float> result;
  for (std::size_t i = 0; i < ranks.size(); ++i) {
    std::vector<float>& own = wanted[whose[i]];
    const auto place = own.begin() + static_cast<std::ptrdiff_t>(ranks[i] - first[whose[i]]);
    std::nth_element(own.begin(), place, own.end(), std::greater<>());
    result.push_back(*place);
  }
  return result;
}

}  // namespace

void ThresholdLevels::Add(const ClassLines& lines, absl::Span<const Span> violations,
                          const Rules& rules) {
  const std::vector<std::int64_t>& times = lines.times_ms;
  values.insert(values.end(), lines.p.begin(), lines.p.end());
  for (const Span& span : violations) {
    const auto from =
        std::lower_bound(times.begin(), times.end(), span.start_ms - rules.longest_lead_ms);
    float most = 0;
    for (auto i = static_cast<std::size_t>(from - times.begin()); i < times.size(); ++i) {
      if (times[i] > span.start_ms - rules.action_lead_ms) break;
      most = std::max(most, lines.p[i]);
    }
    levels.push_back(most);
  }
}

std::vector<double> ThresholdsOf(const ThresholdLevels& all, std::size_t count) {
  std::vector<double> thresholds;
  const auto take = [&](const std::vector<float>& values, const auto& rank_of) {
    if (values.empty()) return;
    const auto last = static_cast<double>(values.size() - 1);
    std::vector<std::size_t> ranks;
    for (std::size_t i = 0; i < count; ++i) {
      const double part = count < 2 ? 0 : static_cast<double>(i) / static_cast<double>(count - 1);
      const double rank = std::clamp(std::floor(rank_of(part, last)), 0.0, last);
      ranks.push_back(static_cast<std::size_t>(rank));
    }
    for (const float value : AtRanks(values, ranks)) thresholds.push_back(value);
  };
  take(all.values,
       [](double part, double last) { return std::exp2(part * std::log2(last + 1)) - 1; });
  take(all.levels, [](double part, double last) { return part * last; });
  std::sort(thresholds.begin(), thresholds.end(), std::greater<>());
  thresholds.erase(std::unique(thresholds.begin(), thresholds.end()), thresholds.end());
  while (!thresholds.empty() && thresholds.back() <= 0) thresholds.pop_back();
  return thresholds;
}

StartsAtThresholds::StartsAtThresholds(const ClassLines& lines, const Rules& rules)
    : lines_(lines), rules_(rules), gap_ms_(EpisodeGapMs(lines.times_ms, rules)) {
  for (std::size_t i = 0; i < lines.p.size(); i += kBlock) {
    const auto from = lines.p.begin() + static_cast<std::ptrdiff_t>(i);
    const std::size_t count = std::min(kBlock, lines.p.size() - i);
    most_.push_back(*std::max_element(from, from + static_cast<std::ptrdiff_t>(count)));
  }
}

const std::vector<std::int64_t>& StartsAtThresholds::At(double threshold) {
  starts_ms_.clear();
  Episodes episodes(gap_ms_, rules_);
  for (std::size_t b = 0; b < most_.size(); ++b) {
    if (static_cast<double>(most_[b]) < threshold) {
      episodes.PassOver();
      continue;
    }
    const std::size_t end = std::min((b + 1) * kBlock, lines_.p.size());
    for (std::size_t i = b * kBlock; i < end; ++i) {
      const std::int64_t now_ms = lines_.times_ms[i];
      const bool alarm = static_cast<double>(lines_.p[i]) >= threshold;
      if (episodes.Observe(now_ms, alarm)) starts_ms_.push_back(now_ms);
    }
  }
  return starts_ms_;
}

}  // namespace seer::evaluation
