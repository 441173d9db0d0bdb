#include "benchmarks/cluster/theory_table.h"

#include <algorithm>
#include <cmath>
#include <cstdarg>
#include <cstdio>
#include <string>
#include <vector>

#include "tests/cluster/stations.h"

namespace seer::cluster {
namespace {

constexpr double kNormal99 = 2.576;

// Rows of the table, and how many of them are outside.
class Table {
 public:
  void Row(const std::string& name, const Interval& measured, double theory) {
    const bool within = std::abs(measured.mean - theory) <= measured.half_width;
    ++rows_;
    outside_ += within ? 0 : 1;
    std::printf("| %-28s | %10.5f | %10.5f | +- %8.5f | %s |\n", name.c_str(), theory,
                measured.mean, measured.half_width, within ? "within" : "OUTSIDE");
  }
  int rows() const { return rows_; }
  int outside() const { return outside_; }

 private:
  int rows_ = 0, outside_ = 0;
};

std::string Text(const char* format, ...) {
  char text[96];
  va_list values;
  va_start(values, format);
  std::vsnprintf(text, sizeof text, format, values);
  va_end(values);
  return text;
}

// One station, a tandem and a fork, at a load of its busiest server.
void Systems(double load, double seconds, Table* table) {
  const double rate = 1000 * load;
  for (const int cores : {1, 2, 4, 16}) {
    const double erlangs = load * cores;
    table->Row(Text("M/M/%d ms, load %.1f", cores, load),
               MeanLatencyMs(OneStation(cores, 1000, 1), 1000 * erlangs, seconds),
               1 + ErlangC(cores, erlangs) / (cores - erlangs));
  }
  for (const double cv : {0.0, 0.5, 2.0}) {
    table->Row(
        cv > 0 ? Text("M/G/1 ms, cv %.1f, load %.1f", cv, load) : Text("M/D/1 ms, load %.1f", load),
        MeanLatencyMs(OneStation(1, 1000, cv), rate, seconds),
        1 + load * (1 + cv * cv) / (2 * (1 - load)));
  }
  for (const int cores : {1, 4}) {
    Application app = OneStation(cores, 1000, 1);
    app.services[0].threads = static_cast<std::uint32_t>(cores);
    app.services[0].queue_limit = 3;
    double sum = 0, term = 1, last = 0;
    for (int n = 0; n <= cores + 3; ++n) {
      sum += term;
      last = term;
      term *= load * cores / std::min(n + 1, cores);
    }
    table->Row(Text("M/M/%d/%d lost, load %.1f", cores, cores + 3, load),
               ShareFailed(app, rate * cores, seconds), last / sum);
  }
  table->Row(Text("tandem of 1 and 0.8 ms, %.1f", load),
             MeanLatencyMs(TwoInARow(1000, 800), rate, seconds),
             1 / (1 - load) + 0.8 / (1 - 0.8 * load));
  table->Row(Text("fork-join of 2 ms, load %.1f", load),
             MeanLatencyMs(ForkAndJoin(1000), rate, seconds), (12 - load) / 8 / (1 - load));
}

// A queue that grows with 500 a second, the mean of some seeds.
void Growth(double seconds, Table* table) {
  const int seeds = std::clamp(static_cast<int>(seconds / 50), 1, 100);
  for (const double after : {4.0, 10.0, 20.0}) {
    double sum = 0;
    for (int seed = 1; seed <= seeds; ++seed) {
      sum += GrownAfterAFault(after, static_cast<std::uint64_t>(seed));
    }
    // Arrivals and departures are Poisson: 1500 and 1000 a second.
    table->Row(Text("grown %.0f s after a fault", after),
               {sum / seeds, kNormal99 * std::sqrt(2500 * after / seeds)}, 500 * after);
  }
}

// By application: of its stations, how many are outside, and the worst.
void Laws(const std::string& graphs, double seconds) {
  std::printf(
      "\n| law on every station | stations | outside 99 %% | largest distance, in standard errors |"
      "\n|---|---|---|---|\n");
  for (const char* name : {"social_network", "media", "ecommerce", "banking", "hotel"}) {
    const auto app = LoadApplication(graphs + "/" + name + ".json");
    if (!app.ok()) continue;
    int little = 0, use = 0, stations = 0;
    double most_little = 0, most_use = 0;
    for (const StationLaws& own : LawsOnEveryStation({*app}, 600, seconds)) {
      if (!(own.lambda_w > 0)) continue;  // nobody came
      ++stations;
      const double a = std::abs(own.depth - own.lambda_w) / own.depth_error;
      const double b = std::abs(own.busy - own.expected) / own.busy_error;
      little += a > kNormal99 ? 1 : 0;
      use += b > kNormal99 ? 1 : 0;
      most_little = std::max(most_little, a);
      most_use = std::max(most_use, b);
    }
    std::printf("| Little, %s | %d | %d | %.2f |\n", name, stations, little, most_little);
    std::printf("| utilisation, %s | %d | %d | %.2f |\n", name, stations, use, most_use);
  }
}

}  // namespace

int PrintTheoryTable(double seconds, const std::string& graphs) {
  Table table;
  std::printf("| system                       |     theory |  simulated | 99 %% interval | |\n");
  std::printf("|---|---|---|---|---|\n");
  for (const double load : {0.3, 0.5, 0.7, 0.8, 0.9}) Systems(load, seconds, &table);
  Growth(seconds, &table);
  Laws(graphs, seconds);
  std::printf("\n%d of %d systems outside their 99 %% interval\n", table.outside(), table.rows());
  return table.outside();
}

}  // namespace seer::cluster
