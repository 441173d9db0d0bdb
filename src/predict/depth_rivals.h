// The rivals that look at depths alone: src/predict/depth_rivals.cc.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "predict/rival.h"

SEER_BEGIN_NAMESPACE
namespace internal {

// largest-depth
class DepthRival : public Rival {
 public:
  using Rival::Rival;

 protected:
  void ScoreServices(const Context& context, std::vector<Score>* scores) override;
  void Resize(std::size_t) override {}
};

// largest-depth-z, deepest-abnormal: over every depth; self-depth-z: over the innermost one.
class DepthZRival : public Rival {
 public:
  DepthZRival(RivalKind kind, const RivalOptions& options);

 protected:
  void ScoreServices(const Context& context, std::vector<Score>* scores) override;
  void Resize(std::size_t services) override;
  double Blame(double ratio, std::size_t rank) const override;
  bool NeedsOrder() const override { return deepest_; }
  void OwnState(StateIo& io) override {
    io.List(baselines_, kMeasures * 20, [&](Baselines& row) {
      for (RobustBaseline& baseline : row) baseline.State(io);
    });
  }

 private:
  using Baselines = std::array<RobustBaseline, kMeasures>;
  const bool self_;
  const bool deepest_;
  std::vector<Baselines> baselines_;
};

// queue-slope
class SlopeRival : public Rival {
 public:
  using Rival::Rival;

 protected:
  void ScoreServices(const Context& context, std::vector<Score>* scores) override;
  void Resize(std::size_t services) override;
  void OwnState(StateIo& io) override {
    io.List(queues_, 22 + kMost * 4, [&](Queue& queue) {
      queue.baseline.State(io);
      for (float& value : queue.values) io(value);
      io(queue.count), io(queue.measure);
      io.Require(queue.count <= kMost && static_cast<std::size_t>(queue.measure) < kMeasures,
                 "queue-slope: more values than it keeps");
    });
  }

 private:
  // The line is drawn through the last values: at least kFewest, over about kSpanNs.
  static constexpr std::size_t kMost = 16;
  static constexpr std::size_t kFewest = 3;
  static constexpr double kSpanSeconds = 0.6;
  struct Queue {
    RobustBaseline baseline;
    std::array<float, kMost> values{};  // the newest last
    std::uint8_t count = 0;
    Measure measure = Measure::kOutstanding;
  };
  std::vector<Queue> queues_;
};

}  // namespace internal
SEER_END_NAMESPACE
