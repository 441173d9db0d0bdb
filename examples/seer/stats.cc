#include <algorithm>
#include <cmath>
#include <fstream>
#include <limits>
#include <unordered_map>

#include "examples/seer/args.h"
#include "seer/dataset/reader.h"

namespace seer_tool {
namespace {

constexpr std::size_t kBins = 800;

// How often each depth was seen. Exact while there are few different ones, as there are of whole
// requests; then each is rounded to within 0.4 %: a week's means do not fill the memory.
class DepthCounts {
 public:
  void Add(float depth) {
    ++counts_[rounded_ ? Rounded(depth) : depth];
    sum_ += static_cast<double>(depth);
    ++total_;
    largest_ = std::max(largest_, depth);
    if (rounded_ || counts_.size() <= kMaxDistinct) return;
    rounded_ = true;
    std::unordered_map<float, std::uint64_t> exact;
    exact.swap(counts_);
    for (const auto& [value, count] : exact) counts_[Rounded(value)] += count;
  }
  std::uint64_t total() const { return total_; }
  double mean() const { return total_ == 0 ? 0 : sum_ / static_cast<double>(total_); }
  double largest() const { return static_cast<double>(largest_); }

  struct Bar {
    double above, to;  // (above, to]; of the first bar both are 0
    std::uint64_t ticks;
  };
  struct Shape {
    double p50 = 0, p90 = 0, p99 = 0;
    std::vector<Bar> bars;  // 0, up to 1, 2, 4, ... the largest
  };
  Shape Look() const {
    std::vector<std::pair<float, std::uint64_t>> sorted(counts_.begin(), counts_.end());
    std::sort(sorted.begin(), sorted.end());
    Shape shape;
    shape.bars.push_back({0, 0, 0});
    std::uint64_t seen = 0;
    const auto at = [&](double q) { return q * static_cast<double>(total_); };
    for (const auto& [value, count] : sorted) {
      const auto depth = static_cast<double>(value);
      const auto before = static_cast<double>(seen);
      seen += count;
      const auto now = static_cast<double>(seen);
      const auto take = [&](double q, double* quantile) {
        if (before < at(q) && now >= at(q)) *quantile = depth;
      };
      take(0.5, &shape.p50);
      take(0.9, &shape.p90);
      take(0.99, &shape.p99);
      while (depth > shape.bars.back().to) {
        const double to = shape.bars.back().to;
        shape.bars.push_back({to, to == 0 ? 1 : 2 * to, 0});
      }
      shape.bars.back().ticks += count;
    }
    return shape;
  }

 private:
  static constexpr std::size_t kMaxDistinct = 4096;
  static float Rounded(float value) {
    int exponent = 0;
    const float mantissa = std::frexp(value, &exponent);
    return std::ldexp(std::round(mantissa * 256.0f) / 256.0f, exponent);
  }

  std::unordered_map<float, std::uint64_t> counts_;
  std::uint64_t total_ = 0;
  double sum_ = 0;
  float largest_ = 0;
  bool rounded_ = false;
};

// Of one service over a run: a depth where it was counted, else a mean.
struct Series {
  std::string name;
  DepthCounts depths;
  std::vector<float> bins;  // the largest of each part of the run, for the drawing
  std::uint64_t calls = 0;
  bool calls_known = false;
  DepthCounts::Shape shape = {};
};

std::string Escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '<')
      out += "&lt;";
    else if (c == '&')
      out += "&amp;";
    else if (static_cast<unsigned char>(c) >= 0x20)
      out += c;
  }
  return out;
}

// One strip for each service, over time, violations shaded; on its right how often each depth was
// seen: 0, up to 1, 2, 4, ...
bool Draw(const std::string& path, const StatsArgs& args, const std::vector<Series>& services,
          const seer::DatasetRun& run, const std::vector<seer::DatasetEvent>& events) {
  constexpr int kStrip = 50, kLeft = 170, kHistogram = 160, kBar = 8;
  std::ofstream svg(path);
  const int height = static_cast<int>(services.size()) * kStrip + 30;
  svg << "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"" << kLeft + kBins + 30 + kHistogram
      << "\" height=\"" << height << "\" font-family=\"sans-serif\" font-size=\"12\">\n"
      << "<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n";
  const auto from = static_cast<double>(run.period.StartNs(run.first));
  const double length = std::max(1.0, static_cast<double>(run.period.EndNs(run.last)) - from);
  for (const seer::DatasetEvent& event : events) {
    const double x = kLeft + (static_cast<double>(event.start_ns) - from) / length * kBins;
    const double w = static_cast<double>(event.end_ns - event.start_ns) / length * kBins;
    if (x + w < kLeft || x > kLeft + static_cast<double>(kBins)) continue;
    svg << "<rect x=\"" << x << "\" y=\"0\" width=\"" << std::max(w, 1.0) << "\" height=\""
        << height - 30 << "\" fill=\"#fbb\"/>\n";
  }
  int y = 0;
  for (const Series& series : services) {
    const float largest =
        std::max(1e-9f, *std::max_element(series.bins.begin(), series.bins.end()));
    svg << "<text x=\"4\" y=\"" << y + 28 << "\">" << Escaped(series.name) << " ("
        << (series.depths.total() == 0 ? "not known" : Short(static_cast<double>(largest)))
        << ")</text><polyline fill=\"none\" stroke=\"#246\" points=\"";
    for (std::size_t i = 0; i < series.bins.size(); ++i) {
      svg << kLeft + static_cast<int>(i) << ','
          << static_cast<float>(y + kStrip - 4) -
                 series.bins[i] / largest * static_cast<float>(kStrip - 8)
          << ' ';
    }
    svg << "\"/>\n";
    int x = kLeft + static_cast<int>(kBins) + 10;
    for (const DepthCounts::Bar& bar : series.shape.bars) {
      const double share =
          series.depths.total() == 0
              ? 0
              : static_cast<double>(bar.ticks) / static_cast<double>(series.depths.total());
      const double tall = share * (kStrip - 8);
      if (tall > 0) {
        svg << "<rect class=\"bar\" x=\"" << x << "\" y=\"" << y + kStrip - 4 - tall
            << "\" width=\"" << kBar - 1 << "\" height=\"" << tall << "\" fill=\"#68a\"/>\n";
      }
      x += kBar;
    }
    y += kStrip;
  }
  svg << "<text x=\"" << kLeft << "\" y=\"" << height - 8 << "\">" << Escaped(args.of) << ", "
      << Seconds(static_cast<std::int64_t>(from)) << " to "
      << Seconds(static_cast<std::int64_t>(from + length))
      << "; the largest in brackets; violations shaded; right: share of ticks at 0, up to 1, 2, 4, "
         "...</text>\n</svg>\n";
  return static_cast<bool>(svg.flush());
}

std::string Percent(std::uint64_t part, std::uint64_t of) {
  if (part == 0) return "";
  char digits[40];
  std::snprintf(digits, sizeof(digits), "%.1f %%",
                100 * static_cast<double>(part) / static_cast<double>(of));
  return digits;
}

void PrintJson(const StatsArgs& args, const seer::DatasetRun& run,
               const std::vector<Series>& services, std::uint64_t requests, std::uint64_t over,
               double seconds, const std::vector<seer::DatasetEvent>& events) {
  JsonWriter json;
  json.Open('{').Key("run").Text(run.name).Key("ticks").Integer(
      static_cast<std::int64_t>(run.ticks));
  json.Key("requests").Integer(static_cast<std::int64_t>(requests));
  json.Key("over_target").Integer(static_cast<std::int64_t>(over));
  json.Key("of").Text(args.of).Key("services").Open('[');
  for (const Series& series : services) {
    json.Open('{').Key("name").Text(series.name);
    json.Key("ticks_known").Integer(static_cast<std::int64_t>(series.depths.total()));
    // What was not seen is not there: null is no number, and so no zero.
    constexpr double kNothing = std::numeric_limits<double>::quiet_NaN();
    const bool known = series.depths.total() > 0;
    json.Key("calls_per_s")
        .Number(series.calls_known ? static_cast<double>(series.calls) / seconds : kNothing);
    json.Key("mean").Number(known ? series.depths.mean() : kNothing);
    json.Key("p50").Number(known ? series.shape.p50 : kNothing);
    json.Key("p90").Number(known ? series.shape.p90 : kNothing);
    json.Key("p99").Number(known ? series.shape.p99 : kNothing);
    json.Key("max").Number(known ? series.depths.largest() : kNothing);
    json.Key("histogram").Open('[');
    for (const DepthCounts::Bar& bar : series.shape.bars) {
      if (!known) break;
      json.Open('{').Key("above").Number(bar.above).Key("to").Number(bar.to);
      json.Key("ticks").Integer(static_cast<std::int64_t>(bar.ticks)).Close('}');
    }
    json.Close(']').Close('}');
  }
  json.Close(']').Key("events").Open('[');
  for (const seer::DatasetEvent& event : events) {
    json.Open('{');
    PutEvent(event, &json);
    json.Close('}');
  }
  json.Close(']').Close('}').Print();
}

void PrintTables(const StatsArgs& args, const std::vector<Series>& services, double seconds,
                 const std::vector<seer::DatasetEvent>& events) {
  std::vector<std::vector<std::string>> rows = {
      {args.of + " at", "calls/s", "mean", "p50", "p90", "p99", "max", "ticks known"}};
  std::size_t bars = 0;
  for (const Series& series : services) {
    const bool known = series.depths.total() > 0;
    const auto number = [&](double value) { return known ? Short(value) : std::string("-"); };
    rows.push_back({series.name,
                    series.calls_known ? Short(static_cast<double>(series.calls) / seconds) : "-",
                    number(series.depths.mean()), number(series.shape.p50),
                    number(series.shape.p90), number(series.shape.p99),
                    number(series.depths.largest()), std::to_string(series.depths.total())});
    if (known) bars = std::max(bars, series.shape.bars.size());
  }
  PrintTable(rows);
  if (bars > 0) {
    std::printf("\n");
    rows = {{"share of ticks"}};
    for (std::size_t b = 0; b < bars; ++b) {
      rows[0].push_back(b == 0 ? "0" : "<= " + Short(std::ldexp(1.0, static_cast<int>(b) - 1)));
    }
    for (const Series& series : services) {
      if (series.depths.total() == 0) continue;
      rows.push_back({series.name});
      for (const DepthCounts::Bar& bar : series.shape.bars) {
        rows.back().push_back(Percent(bar.ticks, series.depths.total()));
      }
    }
    PrintTable(rows);
  }
  if (events.empty()) return;
  std::printf("\n");
  rows = {
      {"event", "class", "from", "to", "initiation", "culprit", "confidence", "cause", "source"}};
  for (const seer::DatasetEvent& event : events) {
    rows.push_back({std::string(seer::DatasetEventKindName(event.kind)), event.request_class,
                    Seconds(event.start_ns), Seconds(event.end_ns),
                    std::string(seer::InitiationName(event.initiation)), event.culprit,
                    Short(static_cast<double>(event.confidence)), event.cause, event.source});
  }
  PrintTable(rows);
}

}  // namespace

int RunStats(const StatsArgs& args) {
  const auto reader = seer::DatasetReader::Open(args.dataset);
  if (!reader.ok()) return Fail(reader.status());
  if (args.run >= reader->manifest().runs.size()) return Fail(NoSuchRun(args.run));
  const seer::DatasetRun& run = reader->manifest().runs[args.run];
  const auto topology = reader->LatestTopology(args.run);
  if (!topology.ok()) return Fail(topology.status());
  const auto events = reader->Events(args.run);
  if (!events.ok()) return Fail(events.status());
  const auto channel = seer::ChannelFromName(args.of);  // none: outstanding

  std::vector<Series> services;
  for (const seer::Service& service : topology->services()) {
    services.push_back({service.name, {}, std::vector<float>(kBins, 0.0f)});
  }
  std::uint64_t requests = 0, over = 0;
  bool damaged = false;
  const double ticks = static_cast<double>(run.last - run.first) + 1;
  seer::ClusterTick tick;
  seer::SelfDepthTable table;
  for (seer::TickCursor cursor = reader->Ticks(args.run);;) {
    const auto more = cursor.Next(&tick);
    if (!more.ok()) {
      Fail(more.status());
      damaged = true;
      continue;
    }
    if (!*more) break;
    const auto bin =
        std::min(kBins - 1, static_cast<std::size_t>(static_cast<double>(tick.tick - run.first) /
                                                     ticks * static_cast<double>(kBins)));
    const auto take = [&](std::size_t s, float depth) {
      services[s].depths.Add(depth);
      services[s].bins[bin] = std::max(services[s].bins[bin], depth);
    };
    if (channel) {
      for (std::uint32_t s = 0; s < services.size(); ++s) {
        auto depth = tick.services.depth(seer::ServiceId(s), *channel);
        if (!depth) depth = tick.services.mean(seer::ServiceId(s), *channel);
        if (depth) take(s, static_cast<float>(*depth));
      }
    } else {
      seer::SelfDepths(tick, *topology, &table);
      for (std::size_t s = 0; s < services.size(); ++s) {
        if (table.outstanding_seen[s] != 0) take(s, table.outstanding[s]);
      }
    }
    for (std::uint32_t e = 0; e < topology->edges().size(); ++e) {
      const auto made = tick.edges.made(seer::EdgeId(e));
      if (!made) continue;
      Series& callee = services[topology->edges()[e].callee.index()];
      callee.calls += *made;
      callee.calls_known = true;
    }
    for (const seer::ClassTick& row : tick.classes) {
      requests += row.count;
      over += row.over_target;
    }
  }
  for (Series& series : services) series.shape = series.depths.Look();
  const double seconds =
      std::max(1e-9, static_cast<double>(run.ticks) * static_cast<double>(run.period.ns()) / 1e9);
  if (!args.svg.empty() && !Draw(args.svg, args, services, run, *events)) {
    return Fail(absl::UnavailableError(args.svg + " cannot be written: check the folder"));
  }
  if (args.json) {
    PrintJson(args, run, services, requests, over, seconds, *events);
    return damaged ? kDamaged : kOk;
  }
  std::printf("%s: %llu ticks, %llu requests (%s/s), %llu over their target, %zu events\n\n",
              run.name.c_str(), static_cast<unsigned long long>(run.ticks),
              static_cast<unsigned long long>(requests),
              Short(static_cast<double>(requests) / seconds).c_str(),
              static_cast<unsigned long long>(over), events->size());
  PrintTables(args, services, seconds, *events);
  return damaged ? kDamaged : kOk;
}

}  // namespace seer_tool
