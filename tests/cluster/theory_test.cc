// The simulator against queueing theory: what is known in closed form has to come out, within 99 %
// intervals of batch means. Fixed seeds: these tests cannot be flaky.
#include <gtest/gtest.h>

#include <cmath>
#include <functional>

#include "benchmarks/cluster/sim/simulator.h"
#include "tests/cluster/stations.h"

namespace seer::cluster {
namespace {

constexpr double kLambda = 700;  // per second; mean service 1 ms unless said otherwise

void ExpectWithin(const Interval& measured, double theory) {
  EXPECT_NEAR(measured.mean, theory, measured.half_width);
  EXPECT_LT(measured.half_width, 0.12 * theory);  // an interval that would catch a mistake
}

TEST(Theory, SingleServer) {
  ExpectWithin(MeanLatencyMs(OneStation(1, 1000, 1), kLambda, 600), 1 / (1 - 0.7));
}

TEST(Theory, SeveralServers) {
  for (int cores : {2, 4, 8}) {
    SCOPED_TRACE(cores);
    const double load = 0.8 * cores;
    ExpectWithin(MeanLatencyMs(OneStation(cores, 1000, 1), 1000 * load, 200),
                 1 + ErlangC(cores, load) / (cores - load));
  }
}

TEST(Theory, GeneralService) {
  for (double cv : {0.0, 0.5, 2.0}) {
    SCOPED_TRACE(cv);
    // Pollaczek-Khinchine.
    ExpectWithin(MeanLatencyMs(OneStation(1, 1000, cv), kLambda, cv > 1 ? 1500 : 600),
                 1 + 0.7 * (1 + cv * cv) / (2 * (1 - 0.7)));
  }
}

TEST(Theory, LossAtAFiniteQueue) {
  // M/M/c/K: c in service, K - c waiting.
  for (int cores : {1, 4}) {
    SCOPED_TRACE(cores);
    const int capacity = cores + 3;
    Application app = OneStation(cores, 1000, 1);
    app.services[0].threads = static_cast<std::uint32_t>(cores);
    app.services[0].queue_limit = 3;
    const double load = 0.9 * cores;
    double sum = 0, term = 1, last = 0;
    for (int n = 0; n <= capacity; ++n) {
      sum += term;
      last = term;
      term *= load / std::min(n + 1, cores);
    }
    ExpectWithin(ShareFailed(app, 1000 * load, 300), last / sum);
  }
}

TEST(Theory, Tandem) {
  // Jackson: two M/M/1 in a row are as if alone.
  Application app = OneStation(1, 1000, 1);
  app.services.push_back(app.services[0]);
  app.services[1].name = "second";
  app.services[1].mean_service_us = 800;
  CallSpec second;
  second.service = 1;
  app.requests[0].calls.then = {{second}};
  ExpectWithin(MeanLatencyMs(app, kLambda, 600), 1 / (1 - 0.7) + 0.8 / (1 - 0.56));
}

TEST(Theory, ForkJoin) {
  // Flatto and Hahn; Nelson and Tantawi: two exponential servers, exact.
  Application app = OneStation(1000, 0, 0);
  CallSpec left, right;
  for (int i = 1; i <= 2; ++i) {
    app.services.push_back(OneStation(1, 1000, 1).services[0]);
    app.services.back().name = "branch-" + std::to_string(i);
  }
  left.service = 1;
  right.service = 2;
  app.requests[0].calls.then = {{left, right}};
  ExpectWithin(MeanLatencyMs(app, kLambda, 600), (12 - 0.7) / 8 / (1 - 0.7));
}

TEST(Theory, BlockedThreadsLimitThroughput) {
  // One thread, held while the callee works: as one server of the sum of both times.
  Application app = OneStation(4, 500, 0);
  app.services[0].threads = 1;
  app.services.push_back(app.services[0]);
  app.services[1].name = "second";
  app.services[1].threads = 100;
  CallSpec second;
  second.service = 1;
  app.requests[0].calls.then = {{second}};
  ExpectWithin(MeanLatencyMs(app, kLambda, 600), 1 + 0.7 / (2 * (1 - 0.7)));  // M/D/1
}

TEST(Theory, FluidGrowthAfterAFault) {
  // Half of two cores left at 1500/s of 1 ms: the queue grows with 1500 - 1000 a second.
  auto model = BuildModel({OneStation(2, 1000, 1)}, UniformCluster(1), Ideal());
  ASSERT_TRUE(model.ok());
  SimulatorOptions options;
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
  const double before = static_cast<double>(simulator.open_requests());
  for (int seconds : {4, 10, 20}) {
    simulator.RunUntil(fault.start_ns + seconds * 1'000'000'000ll);
    const double grown = static_cast<double>(simulator.open_requests()) - before;
    EXPECT_NEAR(grown, 500.0 * seconds, 3 * std::sqrt(2500.0 * seconds));
  }
}

// On each station of all five applications.
TEST(Theory, LittlesLawAndUtilisationOnEveryStation) {
  std::vector<Application> apps;
  for (const char* name : {"social_network", "media", "ecommerce", "banking", "hotel"}) {
    auto app = LoadApplication(std::string(SEER_GRAPHS "/") + name + ".json");
    ASSERT_TRUE(app.ok()) << app.status();
    for (ServiceSpec& service : app->services) service.disk_p = 0;  // the disk is no core
    apps.push_back(*std::move(app));
  }
  auto model = BuildModel(apps, DefaultCluster(), Ideal());
  ASSERT_TRUE(model.ok()) << model.status();
  SimulatorOptions options;
  options.seed = 5;
  const double rate = 600;
  options.loads.assign(5, {rate, 0, 3600, 0});
  Simulator simulator(*model, options);
  simulator.RunUntil(2'000'000'000);
  struct Sums {
    double depth = 0, squares = 0, begin_area = 0, begin_cores = 0;
    std::uint64_t begin_started = 0;
  };
  std::vector<Sums> sums((*model)->instances.size());
  for (std::uint32_t i = 0; i < sums.size(); ++i) {
    sums[i].begin_area = simulator.RequestSeconds(i);
    sums[i].begin_cores = simulator.CoreSeconds(i);
    sums[i].begin_started = simulator.stations()[i].started;
  }
  constexpr int kBatches = 30;
  constexpr int kSamples = 100;
  for (int b = 0; b < kBatches; ++b) {
    std::vector<double> batch(sums.size(), 0);
    for (int s = 0; s < kSamples; ++s) {
      simulator.RunUntil(simulator.now_ns() + 11'000'000);
      for (std::size_t i = 0; i < sums.size(); ++i) {
        const Station& station = simulator.stations()[i];
        batch[i] += station.threads + station.waiting_thread;
      }
    }
    for (std::size_t i = 0; i < sums.size(); ++i) {
      sums[i].depth += batch[i] / kSamples;
      sums[i].squares += batch[i] / kSamples * batch[i] / kSamples;
    }
  }
  const double seconds = kBatches * kSamples * 0.011;
  for (std::uint32_t i = 0; i < sums.size(); ++i) {
    const auto& service = (*model)->services[(*model)->instances[i].service];
    SCOPED_TRACE((*model)->topology.service(ServiceId((*model)->instances[i].service)).name);
    // Little: the mean of instantaneous depths is the arrival rate times the mean time in the
    // station, which is what all requests together spent there for each second.
    const double lambda_w = (simulator.RequestSeconds(i) - sums[i].begin_area) / seconds;
    const double mean = sums[i].depth / kBatches;
    const double variance = sums[i].squares / kBatches - mean * mean;
    // 171 intervals at once: 4.5 standard errors each. Where requests are rare the spread of the
    // batches says little: then that of as many independent looks at a Poisson number.
    const double error = std::max(variance / (kBatches - 1), lambda_w / (kBatches * kSamples));
    EXPECT_NEAR(mean, lambda_w, 4.5 * std::sqrt(error));
    // Utilisation: busy cores are the arrival rate times the mean service time.
    const std::size_t app = service.application;
    const std::uint32_t index =
        (*model)->instances[i].service - (*model)->applications[app].first_service;
    const double expected = rate * MeanDemandUs(apps[app])[index] * 1e-6 / service.instances;
    const double busy = (simulator.CoreSeconds(i) - sums[i].begin_cores) / seconds;
    const double visits =
        static_cast<double>(simulator.stations()[i].started - sums[i].begin_started);
    const double each = visits > 0 ? busy * seconds / visits : 0;
    EXPECT_NEAR(busy, expected, 6 * std::sqrt(visits + 1) * std::max(each, 1e-6) / seconds + 0.001);
  }
}

}  // namespace
}  // namespace seer::cluster
