// Small worlds for the tests of the simulator, and intervals of batch means.
#pragma once

#include <algorithm>
#include <cmath>
#include <memory>
#include <string>
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

// Two in a row, the second one's mean a part of the first one's.
inline Application TwoInARow(double first_us, double second_us) {
  Application app = OneStation(1, first_us, 1);
  app.services.push_back(app.services[0]);
  app.services[1].name = "second";
  app.services[1].mean_service_us = second_us;
  CallSpec second;
  second.service = 1;
  app.requests[0].calls.then = {{second}};
  return app;
}

// Two exponential servers at once, and the later one counts.
inline Application ForkAndJoin(double mean_us) {
  Application app = OneStation(1000, 0, 0);
  CallSpec left, right;
  for (int i = 1; i <= 2; ++i) {
    app.services.push_back(OneStation(1, mean_us, 1).services[0]);
    app.services.back().name = "branch-" + std::to_string(i);
  }
  left.service = 1;
  right.service = 2;
  app.requests[0].calls.then = {{left, right}};
  return app;
}

// What has to be alike on a station of an application, whatever its service times.
struct StationLaws {
  std::string service;
  // Little: the mean of instantaneous depths is the arrival rate times the mean time in the
  // station, which is what all requests together spent there for each second.
  double depth = 0, lambda_w = 0, depth_error = 0;  // one standard error
  // Utilisation: busy cores are the arrival rate times the mean service time.
  double busy = 0, expected = 0, busy_error = 0;
};

// Of each station, with so many requests a second of each application.
inline std::vector<StationLaws> LawsOnEveryStation(std::vector<Application> apps, double rate,
                                                   double seconds) {
  constexpr int kBatches = 30;
  constexpr std::int64_t kStepNs = 11'000'000;
  for (Application& app : apps) {
    for (ServiceSpec& service : app.services) service.disk_p = 0;  // the disk is no core
  }
  auto model = BuildModel(apps, DefaultCluster(), Ideal());
  if (!model.ok()) return {};
  SimulatorOptions options;
  options.seed = 5;
  options.loads.assign(apps.size(), {rate, 0, 3600, 0});
  Simulator simulator(*model, options);
  simulator.RunUntil(2'000'000'000);
  struct Sums {
    double depth = 0, squares = 0, busy_squares = 0;
    double begin_area = 0, begin_cores = 0, batch_cores = 0;
    std::uint64_t begin_started = 0;
  };
  std::vector<Sums> sums((*model)->instances.size());
  for (std::uint32_t i = 0; i < sums.size(); ++i) {
    sums[i].begin_area = simulator.RequestSeconds(i);
    sums[i].begin_cores = sums[i].batch_cores = simulator.CoreSeconds(i);
    sums[i].begin_started = simulator.stations()[i].started;
  }
  const int samples = std::max(1, static_cast<int>(seconds * 1e9 / kBatches / kStepNs));
  for (int b = 0; b < kBatches; ++b) {
    std::vector<double> batch(sums.size(), 0);
    for (int s = 0; s < samples; ++s) {
      simulator.RunUntil(simulator.now_ns() + kStepNs);
      for (std::size_t i = 0; i < sums.size(); ++i) {
        const Station& station = simulator.stations()[i];
        batch[i] += station.threads + station.waiting_thread;
      }
    }
    for (std::uint32_t i = 0; i < sums.size(); ++i) {
      sums[i].depth += batch[i] / samples;
      sums[i].squares += batch[i] / samples * batch[i] / samples;
      const double cores = simulator.CoreSeconds(i);
      const double busy =
          (cores - sums[i].batch_cores) / (static_cast<double>(samples * kStepNs) * 1e-9);
      sums[i].busy_squares += busy * busy;
      sums[i].batch_cores = cores;
    }
  }
  const double took = kBatches * samples * static_cast<double>(kStepNs) * 1e-9;
  std::vector<StationLaws> laws;
  for (std::uint32_t i = 0; i < sums.size(); ++i) {
    const std::uint32_t s = (*model)->instances[i].service;
    const auto& service = (*model)->services[s];
    StationLaws& own = laws.emplace_back();
    own.service = (*model)->topology.service(ServiceId(s)).name;
    own.lambda_w = (simulator.RequestSeconds(i) - sums[i].begin_area) / took;
    own.depth = sums[i].depth / kBatches;
    const double variance = sums[i].squares / kBatches - own.depth * own.depth;
    // Where requests are rare the spread of the batches says little: then that of as many
    // independent looks at a Poisson number.
    own.depth_error =
        std::sqrt(std::max(variance / (kBatches - 1), own.lambda_w / (kBatches * samples)));
    const std::uint32_t first = (*model)->applications[service.application].first_service;
    own.expected =
        rate * MeanDemandUs(apps[service.application])[s - first] * 1e-6 / service.instances;
    own.busy = (simulator.CoreSeconds(i) - sums[i].begin_cores) / took;
    const auto visits =
        static_cast<double>(simulator.stations()[i].started - sums[i].begin_started);
    const double each = visits > 0 ? own.busy * took / visits : 0;
    const double busy_variance = sums[i].busy_squares / kBatches - own.busy * own.busy;
    own.busy_error = std::max(std::sqrt(std::max(0.0, busy_variance) / (kBatches - 1)),
                              std::sqrt(visits + 1) * std::max(each, 1e-6) / took);
  }
  return laws;
}

// Requests more than before, so long after one of two cores was taken away from a station with
// 1500 a second of 1 ms: 500 a second.
inline double GrownAfterAFault(double seconds, std::uint64_t seed) {
  auto model = BuildModel({OneStation(2, 1000, 1)}, UniformCluster(1), Ideal());
  if (!model.ok()) return -1;
  SimulatorOptions options;
  options.seed = seed;
  options.loads = {{1500, 0, 3600, 0}};
  Fault fault;
  fault.kind = FaultKind::kUnderProvisioned;
  fault.start_ns = 2'000'000'000;
  fault.end_ns = 60'000'000'000;
  fault.service = 0;
  fault.magnitude = 0.5;
  options.faults = {fault};
  Simulator simulator(*model, options);
  simulator.RunUntil(fault.start_ns);
  const auto before = static_cast<double>(simulator.open_requests());
  simulator.RunUntil(fault.start_ns + static_cast<std::int64_t>(seconds * 1e9));
  return static_cast<double>(simulator.open_requests()) - before;
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
