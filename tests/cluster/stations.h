// Small worlds for the tests of the simulator, and intervals of batch means.
#pragma once

#include <cmath>
#include <vector>

#include "benchmarks/cluster/sim/simulator.h"

namespace seer::cluster {

struct Interval {
  double mean = 0;
  double half_width = 0;
};

// 99 %, of 30 batches: 2.756 is Student's quantile for 29 degrees of freedom.
inline Interval OfBatches(const std::vector<double>& values) {
  constexpr std::size_t kBatches = 30;
  const std::size_t size = values.size() / kBatches;
  double sum = 0, squares = 0;
  for (std::size_t b = 0; b < kBatches; ++b) {
    double batch = 0;
    for (std::size_t i = b * size; i < (b + 1) * size; ++i) batch += values[i];
    batch /= static_cast<double>(size);
    sum += batch;
    squares += batch * batch;
  }
  const double mean = sum / kBatches;
  const double variance = (squares / kBatches - mean * mean) * kBatches / (kBatches - 1);
  return {mean, 2.756 * std::sqrt(variance / kBatches)};
}

inline Application OneStation(int cores, double mean_us, double cv) {
  Application app;
  app.name = "one";
  ServiceSpec service;
  service.name = "station";
  service.cores = static_cast<std::uint32_t>(cores);
  service.threads = 1'000'000;
  service.mean_service_us = mean_us;
  service.cv = cv;
  app.services = {service};
  app.requests = {{"request", 1, 1e6, CallSpec()}};
  return app;
}

inline ModelOptions Ideal() {
  ModelOptions options;
  options.ideal = true;
  return options;
}

inline std::vector<Finished> RunAll(const Application& app, double rate, double seconds) {
  auto model = BuildModel({app}, UniformCluster(1), Ideal());
  if (!model.ok()) return {};
  SimulatorOptions options;
  options.seed = 11;
  options.loads = {{rate, 0, 3600, 0}};
  Simulator simulator(*model, options);
  simulator.RunUntil(10'000'000'000);  // warm
  simulator.KeepFinished(true);
  simulator.RunUntil(10'000'000'000 + static_cast<std::int64_t>(seconds * 1e9));
  return simulator.TakeFinished();
}

inline Interval MeanLatencyMs(const Application& app, double rate, double seconds) {
  std::vector<double> values;
  for (const Finished& f : RunAll(app, rate, seconds)) {
    values.push_back(static_cast<double>(f.end_ns - f.start_ns) * 1e-6);
  }
  return OfBatches(values);
}

inline Interval ShareFailed(const Application& app, double rate, double seconds) {
  std::vector<double> values;
  for (const Finished& f : RunAll(app, rate, seconds)) values.push_back(f.failed ? 1 : 0);
  return OfBatches(values);
}

// The probability to wait in M/M/c at a load of `load` erlangs.
inline double ErlangC(int cores, double load) {
  double sum = 0, term = 1;
  for (int n = 0; n < cores; ++n) {
    sum += term;
    term *= load / (n + 1);
  }
  const double wait = term * cores / (cores - load);
  return wait / (sum + wait);
}

}  // namespace seer::cluster
