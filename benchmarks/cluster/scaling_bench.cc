// How the simulator's cost grows with the load and with the number of services: a table in the
// output, a plot (SVG) in the build folder, and the slopes as figures: 1 is linear.
//
// BM_Second is one point of it alone, for counters: that instructions grow linearly and what grows
// more are misses shows
//
//   valgrind --tool=callgrind --cache-sim=yes --branch-sim=yes
//     '--toggle-collect=seer::cluster::Simulator::RunUntil(long)'
//     bench_cluster --benchmark_filter=BM_Second/services/10000
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <ctime>
#include <fstream>
#include <string>
#include <vector>

#include "benchmarks/cluster/sim/simulator.h"
#include "benchmarks/harness/figure.h"

namespace seer::cluster {
namespace {

using bench::Counter;

struct Point {
  double x = 0;
  double seconds = 0;  // of CPU for a simulated second
  double events = 0;   // in it
};

struct Line {
  std::string title, axis;
  std::vector<Point> points;

  // The slope of log(cost) over log(x), by least squares.
  double Exponent() const {
    double n = 0, sx = 0, sy = 0, sxx = 0, sxy = 0;
    for (const Point& p : points) {
      const double x = std::log(p.x);
      const double y = std::log(p.seconds);
      ++n, sx += x, sy += y, sxx += x * x, sxy += x * y;
    }
    return (n * sxy - sx * sy) / (n * sxx - sx * sx);
  }
};

double CpuSeconds() {
  timespec now{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

// What is simulated at a point of a line.
struct World {
  Application app;
  std::uint32_t servers = 20;
  double rate = 0;
};
World OfLoad(std::uint32_t rate) {
  auto social = LoadApplication(SEER_GRAPHS "/social_network.json");
  return {social.ok() ? *std::move(social) : Application(), 20, static_cast<double>(rate)};
}
World OfServices(std::uint32_t services) {
  World world;
  world.app = RandomApplication(services, 1);
  world.servers = std::max(1u, services / 4);
  world.rate = 20.0 * services / MeanVisits(world.app);
  return world;
}

// The best of five: others only ever add.
Point Measure(const World& world, std::uint32_t x) {
  Point point;
  point.x = x;
  const auto model = BuildModel({world.app}, UniformCluster(world.servers), {});
  if (!model.ok()) return point;
  SimulatorOptions options;
  options.loads = {{world.rate, 0, 3600, 0}};
  Simulator simulator(*model, options);
  simulator.RunUntil(1'000'000'000);
  ClusterTick tick;
  for (int repeat = 0; repeat < 5; ++repeat) {
    const std::uint64_t events = simulator.events();
    const double begin = CpuSeconds();
    for (int t = 0; t < 5; ++t) {
      simulator.RunTick();
      simulator.Observe(&tick);
    }
    const double seconds = 2 * (CpuSeconds() - begin);  // of five ticks: half a second
    if (repeat == 0 || seconds < point.seconds) point.seconds = seconds;
    point.events = 2 * static_cast<double>(simulator.events() - events);
  }
  return point;
}

void Panel(const Line& line, double left, std::ofstream* out) {
  constexpr double kWidth = 300, kHeight = 220, kTop = 40;
  double x0 = 1e300, x1 = 0, y0 = 1e300, y1 = 0;
  for (const Point& p : line.points) {
    x0 = std::min(x0, p.x), x1 = std::max(x1, p.x);
    y0 = std::min(y0, p.seconds), y1 = std::max(y1, p.seconds);
  }
  x0 /= 1.3, x1 *= 1.3, y0 /= 1.5, y1 *= 1.5;
  const auto x = [&](double v) { return left + kWidth * std::log(v / x0) / std::log(x1 / x0); };
  const auto y = [&](double v) {
    return kTop + kHeight * (1 - std::log(v / y0) / std::log(y1 / y0));
  };
  char text[400];
  const auto put = [&](auto... values) {
    std::snprintf(text, sizeof text, values...);
    *out << text << '\n';
  };
  put("<rect x='%.1f' y='%.1f' width='%.1f' height='%.1f' fill='none' stroke='#999'/>", left, kTop,
      kWidth, kHeight);
  put("<text x='%.1f' y='%.1f' font-weight='bold'>%s</text>", left, kTop - 12, line.title.c_str());
  for (double decade = 1e-6; decade < 1e9; decade *= 10) {
    if (decade > x0 && decade < x1) {
      put("<line x1='%.1f' y1='%.1f' x2='%.1f' y2='%.1f' stroke='#ddd'/>", x(decade), kTop,
          x(decade), kTop + kHeight);
      put("<text x='%.1f' y='%.1f' text-anchor='middle'>%g</text>", x(decade), kTop + kHeight + 16,
          decade);
    }
    if (decade > y0 && decade < y1) {
      put("<line x1='%.1f' y1='%.1f' x2='%.1f' y2='%.1f' stroke='#ddd'/>", left, y(decade),
          left + kWidth, y(decade));
      put("<text x='%.1f' y='%.1f' text-anchor='end'>%g</text>", left - 5, y(decade) + 4, decade);
    }
  }
  put("<text x='%.1f' y='%.1f' text-anchor='middle'>%s; slope %.2f</text>", left + kWidth / 2,
      kTop + kHeight + 34, line.axis.c_str(), line.Exponent());
  // What exactly linear growth from the last point down would be.
  const Point& last = line.points.back();
  const double from = std::max(x0, last.x * y0 / last.seconds);
  put("<line x1='%.1f' y1='%.1f' x2='%.1f' y2='%.1f' stroke='#bbb' stroke-dasharray='4 3'/>",
      x(from), y(last.seconds * from / last.x), x(last.x), y(last.seconds));
  std::string path;
  for (const Point& p : line.points) {
    std::snprintf(text, sizeof text, "%s%.1f %.1f", path.empty() ? "M" : " L", x(p.x),
                  y(p.seconds));
    path += text;
    put("<circle cx='%.1f' cy='%.1f' r='3' fill='#246'/>", x(p.x), y(p.seconds));
  }
  *out << "<path d='" << path << "' fill='none' stroke='#246' stroke-width='1.5'/>\n";
}

bool Plot(const std::vector<Line>& lines, const std::string& path) {
  std::ofstream out(path);
  out << "<svg xmlns='http://www.w3.org/2000/svg' width='760' height='310' font-family='sans-serif'"
         " font-size='11'>\n<rect width='760' height='310' fill='white'/>\n"
         "<text transform='translate(14 150) rotate(-90)' text-anchor='middle'>CPU seconds for a "
         "simulated second</text>\n";
  double left = 60;
  for (const Line& line : lines) {
    Panel(line, left, &out);
    left += 370;
  }
  out << "</svg>\n";
  return out.good();
}

void BM_Scaling(benchmark::State& state) {
  for (auto _ : state) {
    std::vector<Line> lines(2);
    lines[0].title = "load";
    lines[0].axis = "requests/s of the social network";
    for (const std::uint32_t rate : {250u, 500u, 1000u, 2000u, 4000u, 8000u}) {
      lines[0].points.push_back(Measure(OfLoad(rate), rate));
    }
    lines[1].title = "services";
    lines[1].axis = "services, with 20 calls/s each";
    for (const std::uint32_t services : {100u, 316u, 1000u, 3162u, 10'000u}) {
      lines[1].points.push_back(Measure(OfServices(services), services));
    }
    std::printf(
        "| what | how much | CPU s per simulated s | events | ns per event |\n"
        "|---|---|---|---|---|\n");
    for (const Line& line : lines) {
      for (const Point& p : line.points) {
        if (!(p.seconds > 0)) state.SkipWithError("a model could not be built");
        std::printf("| %-8s | %6.0f | %8.4f | %9.0f | %5.1f |\n", line.title.c_str(), p.x,
                    p.seconds, p.events, p.seconds / p.events * 1e9);
      }
    }
    state.counters["load"] = lines[0].Exponent();
    state.counters["services"] = lines[1].Exponent();
    const std::string path = SEER_SCALING_SVG;
    std::printf("%s %s\n", Plot(lines, path) ? "plot:" : "cannot be written:", path.c_str());
  }
}
BENCHMARK(BM_Scaling)->Iterations(1)->Repetitions(1)->Unit(benchmark::kSecond);

void BM_Second(benchmark::State& state, World (*make)(std::uint32_t)) {
  const World world = make(static_cast<std::uint32_t>(state.range(0)));
  const auto model = BuildModel({world.app}, UniformCluster(world.servers), {});
  if (!model.ok()) {
    state.SkipWithError("a model could not be built");
    return;
  }
  SimulatorOptions options;
  options.loads = {{world.rate, 0, 3600, 0}};
  Simulator simulator(*model, options);
  ClusterTick tick;
  for (auto _ : state) {
    for (int t = 0; t < 10; ++t) {
      simulator.RunTick();
      simulator.Observe(&tick);
    }
  }
  state.counters["events"] = static_cast<double>(simulator.events());
}
BENCHMARK_CAPTURE(BM_Second, load, OfLoad)
    ->Arg(250)
    ->Arg(1000)
    ->Arg(8000)
    ->Iterations(1)
    ->Repetitions(1)
    ->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(BM_Second, services, OfServices)
    ->Arg(100)
    ->Arg(1000)
    ->Arg(10'000)
    ->Iterations(1)
    ->Repetitions(1)
    ->Unit(benchmark::kMillisecond);

SEER_FIGURE(load, Counter("cluster.load_exponent", "", "<= 1.05", "BM_Scaling", "load"));
SEER_FIGURE(services,
            Counter("cluster.services_exponent", "", "<= 1.05", "BM_Scaling", "services"));

}  // namespace
}  // namespace seer::cluster
