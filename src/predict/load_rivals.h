// The rivals that look at rates and workers: src/predict/load_rivals.cc.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "predict/rival.h"

SEER_BEGIN_NAMESPACE
namespace internal {

// How busy a service is, as far as it can be told.
class ServiceLoad {
 public:
  struct Now {
    bool known = false;
    double per_second = 0;       // requests that come, over about a second
    double done_per_second = 0;  // and that are done
    double at_service = 0;       // requests that wait or are in work there
    double busy = 0;             // of those in work
    double workers = 0;          // that there are; 0: not known yet
    double stay_ms = 0;          // Little: at_service / rate
    double usual_stay_ms = 0;    // 0: not known yet
    Measure measure = Measure::kRunning;
  };
  struct Settings {
    double seconds;  // a tick's length
    double rate;     // of the baselines
    std::uint32_t warmup;
    double told_workers;  // 0: to be learnt
  };

  // False where this tick does not tell.
  bool Observe(const MeasureTable& measures, std::size_t service, const Settings& settings,
               Now* now);
  void State(StateIo& io) {
    io(arrivals_), io(departures_), io(before_), io(most_);
    stay_.State(io);
  }

 private:
  double arrivals_ = -1, departures_ = -1;  // per second, over about a second
  double before_ = -1;                      // at_service in the last tick
  double most_ = 0;                         // workers that were seen
  RobustBaseline stay_;
};

// utilisation, queue-wait, mmc
class LoadRival : public Rival {
 public:
  LoadRival(RivalKind kind, const RivalOptions& options);

 protected:
  void ScoreServices(const Context& context, std::vector<Score>* scores) override;
  void Resize(std::size_t services) override;
  void UseTopology(const Topology& topology) override;
  double ThresholdOf(const RequestClass& request_class) const override;
  void OwnState(StateIo& io) override {
    io.List(loads_, 52, [&](ServiceLoad& load) { load.State(io); });
    io(smooth_);
  }

 private:
  const RivalKind kind_;
  std::vector<ServiceLoad> loads_;
  std::vector<double> told_workers_;
  std::vector<double> smooth_;  // by service: busy, or ms of wait; negative: nothing yet
};

// The share of requests that wait in an M/M/c queue, at `offered` = arrivals x service time.
double ErlangC(double workers, double offered);

// random
class RandomRival : public Rival {
 public:
  using Rival::Rival;
  absl::Status Observe(const ClusterTick& tick, const Topology& topology,
                       Forecast* forecast) override;

 protected:
  void ScoreServices(const Context& context, std::vector<Score>* scores) override;
  void Resize(std::size_t) override {}
};

}  // namespace internal
SEER_END_NAMESPACE
