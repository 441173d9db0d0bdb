// The simulator against queueing theory: what is known in closed form has to come out, within 99 %
// intervals of batch means. Fixed seeds: these tests cannot be flaky.
#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

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
  ExpectWithin(MeanLatencyMs(TwoInARow(1000, 800), kLambda, 600), 1 / (1 - 0.7) + 0.8 / (1 - 0.56));
}

TEST(Theory, ForkJoin) {
  // Flatto and Hahn; Nelson and Tantawi: two exponential servers, exact.
  ExpectWithin(MeanLatencyMs(ForkAndJoin(1000), kLambda, 600), (12 - 0.7) / 8 / (1 - 0.7));
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
  for (const double seconds : {4.0, 10.0, 20.0}) {
    EXPECT_NEAR(GrownAfterAFault(seconds, 1), 500 * seconds, 3 * std::sqrt(2500 * seconds));
  }
}

// On each station of all five applications.
TEST(Theory, LittlesLawAndUtilisationOnEveryStation) {
  std::vector<Application> apps;
  for (const char* name : {"social_network", "media", "ecommerce", "banking", "hotel"}) {
    auto app = LoadApplication(std::string(SEER_GRAPHS "/") + name + ".json");
    ASSERT_TRUE(app.ok()) << app.status();
    apps.push_back(*std::move(app));
  }
  const std::vector<StationLaws> laws = LawsOnEveryStation(apps, 600, 33);
  ASSERT_GT(laws.size(), 150u);
  for (const StationLaws& station : laws) {
    SCOPED_TRACE(station.service);
    // 171 intervals at once: 4.5 standard errors each.
    EXPECT_NEAR(station.depth, station.lambda_w, 4.5 * station.depth_error);
    EXPECT_NEAR(station.busy, station.expected, 6 * station.busy_error + 0.001);
  }
}

}  // namespace
}  // namespace seer::cluster
