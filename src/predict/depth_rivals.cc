#include "predict/depth_rivals.h"

#include <algorithm>
#include <cmath>

SEER_BEGIN_NAMESPACE
namespace internal {

void DepthRival::ScoreServices(const Context& context, std::vector<Score>* scores) {
  for (std::size_t i = 0; i < scores->size(); ++i) {
    Score& score = (*scores)[i];
    // Calls are what services can be compared by. Packets and connections are other units, and only
    // where the calls are not known the longest of them has to do.
    if (context.measures.Seen(i, Measure::kOutstanding)) {
      score = {context.measures.Value(i, Measure::kOutstanding), Measure::kOutstanding, true};
      continue;
    }
    for (const Measure measure : kDepthMeasures) {
      if (!context.measures.Seen(i, measure)) continue;
      const double depth = context.measures.Value(i, measure);
      if (!score.known || depth > score.value) score = {depth, measure, true};
    }
  }
}

DepthZRival::DepthZRival(RivalKind kind, const RivalOptions& options)
    : Rival(kind, options),
      self_(kind == RivalKind::kSelfDepthZ),
      deepest_(kind == RivalKind::kDeepestAbnormal) {}

void DepthZRival::Resize(std::size_t services) { baselines_.resize(services); }

void DepthZRival::ScoreServices(const Context& context, std::vector<Score>* scores) {
  for (std::size_t i = 0; i < scores->size(); ++i) {
    Score& score = (*scores)[i];
    const auto look = [&](Measure measure) {
      if (!context.measures.Seen(i, measure)) return false;
      const double depth = context.measures.Value(i, measure);
      RobustBaseline& baseline = baselines_[i][static_cast<std::size_t>(measure)];
      // Before the value counts as usual itself.
      if (baseline.count() >= context.warmup) {
        const double z = baseline.Z(depth);
        if (!score.known || z > score.value) score = {z, measure, true};
      }
      baseline.Observe(depth, context.rate);
      return true;
    };
    if (self_) {
      for (const Measure measure : kSelfMeasures) {
        if (look(measure)) break;
      }
    } else {
      for (const Measure measure : kDepthMeasures) look(measure);
    }
  }
}

double DepthZRival::Blame(double ratio, std::size_t rank) const {
  if (!deepest_) return Rival::Blame(ratio, rank);
  // The deepest that is abnormal, half of that for the next, ...; who is not yet abnormal shares
  // what is left.
  if (ratio >= 1) return std::exp2(-static_cast<double>(std::min<std::size_t>(rank, 60)));
  return ratio > 0 && rank == 0 ? 1e-3 * ratio * ratio : 0;
}

void SlopeRival::Resize(std::size_t services) { queues_.resize(services); }

void SlopeRival::ScoreServices(const Context& context, std::vector<Score>* scores) {
  const auto wanted = static_cast<std::size_t>(std::clamp(
      std::ceil(kSpanSeconds / context.seconds), static_cast<double>(kFewest), double{kMost}));
  const double ahead =
      static_cast<double>(options().slope_horizon_ns) * 1e-9 / context.seconds;  // in ticks
  constexpr Measure kQueues[] = {Measure::kOutstanding, Measure::kQueued, Measure::kSocket,
                                 Measure::kAccept, Measure::kNic};
  for (std::size_t i = 0; i < scores->size(); ++i) {
    Queue& queue = queues_[i];
    const auto* const measure =
        std::find_if(std::begin(kQueues), std::end(kQueues),
                     [&](Measure candidate) { return context.measures.Seen(i, candidate); });
    if (measure == std::end(kQueues)) {
      queue.count = 0;  // a line has no holes
      continue;
    }
    if (queue.measure != *measure) queue = Queue();
    queue.measure = *measure;
    if (context.gap > 0) queue.count = 0;
    const double depth = std::min(context.measures.Value(i, *measure), RobustBaseline::kLargest);

    if (queue.count == wanted) {
      std::copy(queue.values.begin() + 1, queue.values.begin() + queue.count, queue.values.begin());
      --queue.count;
    }
    queue.values[queue.count++] = static_cast<float>(depth);
    double slope = 0;  // per tick, by least squares
    if (queue.count >= kFewest) {
      const double middle = (queue.count - 1) / 2.0;
      double products = 0;
      double squares = 0;
      for (std::size_t t = 0; t < queue.count; ++t) {
        const double at = static_cast<double>(t) - middle;
        products += at * queue.values[t];
        squares += at * at;
      }
      slope = products / squares;
    }
    if (queue.baseline.count() >= context.warmup) {
      // (Q* - Q) / slope <= ahead, in other words; a queue that shrinks is as deep as it is.
      const double then = depth + std::max(0.0, slope) * ahead;
      (*scores)[i] = {queue.baseline.Z(then), *measure, true};
    }
    queue.baseline.Observe(depth, context.rate);
  }
}

}  // namespace internal
SEER_END_NAMESPACE
