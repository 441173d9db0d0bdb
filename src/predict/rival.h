// What the rivals share: everything but the score of a service. See include/seer/predict/rivals.h.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "predict/class_members.h"
#include "predict/rival_measures.h"
#include "predict/robust_baseline.h"
#include "predict/tick_order.h"
#include "seer/core/config.h"
#include "seer/core/internal/state_io.h"
#include "seer/predict/rivals.h"

SEER_BEGIN_NAMESPACE
namespace internal {

class Rival : public TickPredictor {
 public:
  Rival(RivalKind kind, const RivalOptions& options);

  std::string_view name() const override { return RivalName(kind_); }
  absl::Status Observe(const ClusterTick& tick, const Topology& topology,
                       Forecast* forecast) override;
  void Reset() override;
  absl::Status SaveState(std::string* bytes) override;
  absl::Status LoadState(std::string_view bytes, const Topology& topology) override;

 protected:
  struct Context {
    const ClusterTick& tick;
    const Topology& topology;
    const MeasureTable& measures;
    double seconds;        // a tick's length
    std::size_t gap;       // ticks left out since the last one; 0 at the first
    double rate;           // of the baselines: tick over baseline_ns
    std::uint32_t warmup;  // values until a baseline counts, at least 2
  };
  // What a service's score is and where it was seen.
  struct Score {
    double value = 0;  // in the rival's unit
    Measure measure = Measure::kOutstanding;
    bool known = false;
  };

  // Fills `scores`, one for each service, all unknown before.
  virtual void ScoreServices(const Context& context, std::vector<Score>* scores) = 0;
  // What is kept by service, when services came (and to none by Reset).
  virtual void Resize(std::size_t services) = 0;
  // What is kept by service, saved or loaded (state_io.h); in any size, Resize() comes after it.
  virtual void OwnState(StateIo&) {}
  // The topology changed: what depends on its rows.
  virtual void UseTopology(const Topology&) {}
  // The threshold for one class, in the score's unit.
  virtual double ThresholdOf(const RequestClass&) const { return threshold_; }
  // How much of the blame a service gets; `rank`: 0 for the deepest service of the class that has
  // reached the threshold, 1 for the next, ...
  virtual double Blame(double ratio, std::size_t rank) const;
  // From deepest to front end, where Blame() needs the rank; else by id.
  virtual bool NeedsOrder() const { return false; }

  const RivalOptions& options() const { return options_; }
  double threshold() const { return threshold_; }

 private:
  // A score that is kept for a while where nothing is seen.
  struct Held {
    Score score;
    std::int64_t at_ns = 0;
  };
  struct ClassState {
    AlarmLatch latch;
    double ratio = 0;
    std::int64_t known_at_ns = 0;
    bool known = false;
    RobustBaseline load;      // requests per second
    double recent_load = -1;  // over about a second; negative: not known yet
    RobustBaseline slowest;   // of its requests in a tick, in percent of the target
    double own = 1;           // how far its requests take longer than usual, 0 to 1
  };
  struct Top {
    std::uint32_t service;
    double blame;
    double ratio;
  };

  void State(StateIo& io);
  void UseRows(const Topology& topology);
  void Hold(std::int64_t now_ns);
  bool Foresee(const Context& context, ClassId id, std::int64_t now_ns, ClassForecast* row);
  double OwnRequests(const Context& context, const RequestClass& row, ClassState* state);
  double GrowthOfLoad(const Context& context, const RequestClass& row, ClassState* state);
  void Explain(const Context& context, const Top& strongest, double next_ratio, float probability,
               ClassForecast* row) const;

  const RivalKind kind_;
  const RivalOptions options_;
  const double threshold_;

  TickOrder order_;
  ClassMembers members_;  // deepest first if NeedsOrder()
  MeasureTable measures_;
  std::vector<Score> scores_;
  std::vector<Held> held_;
  std::vector<ClassState> classes_;
  std::vector<Top> top_;
  std::vector<ClassForecast> spare_;  // rows that a forecast had and may need again: their memory
};

// P(violation) at the alarm horizon, from score over threshold.
float ProbabilityOf(double ratio);

}  // namespace internal
SEER_END_NAMESPACE
