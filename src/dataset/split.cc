#include "seer/dataset/split.h"

#include <algorithm>
#include <cmath>
#include <string>

SEER_BEGIN_NAMESPACE
namespace {

// splitmix64: the same everywhere, which std::shuffle is not.
std::uint64_t NextRandom(std::uint64_t* state) {
  std::uint64_t z = (*state += 0x9e3779b97f4a7c15u);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

constexpr SplitPart kParts[] = {SplitPart::kTrain, SplitPart::kValidation, SplitPart::kTest};

}  // namespace

absl::StatusOr<std::vector<SplitRange>> SplitByRun(const DatasetManifest& manifest,
                                                   const SplitOptions& options) {
  const double shares[] = {options.train, options.validation,
                           1 - options.train - options.validation};
  int parts = 0;
  for (const double share : shares) {
    if (!(share >= -1e-9 && share <= 1)) {
      return absl::InvalidArgumentError(
          "SplitOptions: train and validation are shares, together at most 1: mend them");
    }
    parts += share > 1e-9 ? 1 : 0;
  }
  if (options.gap_ns < 0) {
    return absl::InvalidArgumentError("SplitOptions.gap_ns is negative: use 0 or more");
  }
  std::vector<std::uint32_t> runs;
  std::uint64_t total = 0;
  for (std::uint32_t i = 0; i < manifest.runs.size(); ++i) {
    if (manifest.runs[i].ticks == 0) continue;
    runs.push_back(i);
    total += manifest.runs[i].ticks;
  }
  std::vector<SplitRange> split;
  if (runs.size() >= static_cast<std::size_t>(parts)) {
    std::uint64_t state = options.seed;
    for (std::size_t i = runs.size(); i > 1; --i) {
      std::swap(runs[i - 1], runs[NextRandom(&state) % i]);
    }
    // Each run to the part that is furthest from its share; the first runs go once to each part, so
    // that none stays empty.
    double have[3] = {0, 0, 0};
    std::size_t dealt = 0;
    for (const std::uint32_t run : runs) {
      int best = -1;
      for (int p = 0; p < 3; ++p) {
        if (shares[p] <= 1e-9) continue;
        if (dealt < static_cast<std::size_t>(parts) && have[p] > 0) continue;
        if (best < 0 || shares[p] - have[p] > shares[best] - have[best]) best = p;
      }
      have[best] += static_cast<double>(manifest.runs[run].ticks) / static_cast<double>(total);
      ++dealt;
      split.push_back({kParts[best], run, manifest.runs[run].first, manifest.runs[run].last + 1});
    }
  } else {
    for (const std::uint32_t run : runs) {
      const DatasetRun& facts = manifest.runs[run];
      const Tick gap = (options.gap_ns + facts.period.ns() - 1) / facts.period.ns();
      const double span = static_cast<double>(facts.last) - static_cast<double>(facts.first) + 1;
      const double useful = span - static_cast<double>(gap) * (parts - 1);
      if (useful < parts) {
        return absl::InvalidArgumentError(
            "run '" + facts.name + "' has " + std::to_string(facts.ticks) +
            " ticks, too few to be cut with this gap: record more runs, or use a shorter gap");
      }
      Tick from = facts.first;
      int left = parts;
      for (int p = 0; p < 3; ++p) {
        if (shares[p] <= 1e-9) continue;
        const Tick length = std::max<Tick>(1, static_cast<Tick>(std::floor(useful * shares[p])));
        const Tick to = --left == 0 ? facts.last + 1 : std::min(from + length, facts.last + 1);
        if (from >= to) break;
        split.push_back({kParts[p], run, from, to});
        from = to + gap;
      }
    }
  }
  std::sort(split.begin(), split.end(), [](const SplitRange& a, const SplitRange& b) {
    return a.run != b.run ? a.run < b.run : a.from < b.from;
  });
  return split;
}

bool WithinOnePart(const std::vector<SplitRange>& split, std::uint32_t run, Tick from, Tick to) {
  for (const SplitRange& range : split) {
    if (range.run == run && range.from <= from && to <= range.to) return true;
  }
  return false;
}

SEER_END_NAMESPACE
