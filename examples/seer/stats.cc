#include <algorithm>
#include <fstream>

#include "examples/seer/args.h"
#include "seer/dataset/reader.h"

namespace seer_tool {
namespace {

// What stands at a service over a run: a depth where it was counted, else a mean.
struct Series {
  std::string name;
  std::vector<float> values;  // of the ticks that know it
  std::vector<float> bins;    // the largest of each part of the run, for the drawing
  std::uint64_t calls = 0;
};

struct Distribution {
  double mean = 0, median = 0, p99 = 0, largest = 0;
};

Distribution Of(std::vector<float> values) {
  Distribution out;
  if (values.empty()) return out;
  std::sort(values.begin(), values.end());
  double sum = 0;
  for (const float value : values) sum += value;
  const auto at = [&](double q) {
    return values[static_cast<std::size_t>(q * static_cast<double>(values.size() - 1))];
  };
  return {sum / static_cast<double>(values.size()), at(0.5), at(0.99), values.back()};
}

constexpr std::size_t kBins = 800;

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

// One strip for each service, violations shaded.
bool Draw(const std::string& path, const std::vector<Series>& services, const seer::DatasetRun& run,
          const std::vector<seer::DatasetEvent>& events) {
  constexpr int kStrip = 50, kLeft = 170;
  std::ofstream svg(path);
  const int height = static_cast<int>(services.size()) * kStrip + 30;
  svg << "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"" << kLeft + kBins + 20
      << "\" height=\"" << height << "\" font-family=\"sans-serif\" font-size=\"12\">\n"
      << "<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n";
  const auto from = static_cast<double>(run.period.EndNs(run.first));
  const double length = std::max(1.0, static_cast<double>(run.period.EndNs(run.last)) - from);
  for (const seer::DatasetEvent& event : events) {
    const double x = kLeft + (static_cast<double>(event.start_ns) - from) / length * kBins;
    const double w = static_cast<double>(event.end_ns - event.start_ns) / length * kBins;
    svg << "<rect x=\"" << x << "\" y=\"0\" width=\"" << std::max(w, 1.0) << "\" height=\""
        << height - 30 << "\" fill=\"#fbb\"/>\n";
  }
  int y = 0;
  for (const Series& series : services) {
    const float largest =
        std::max(1e-9f, *std::max_element(series.bins.begin(), series.bins.end()));
    svg << "<text x=\"4\" y=\"" << y + 28 << "\">" << Escaped(series.name) << " ("
        << Short(static_cast<double>(largest))
        << ")</text><polyline fill=\"none\" stroke=\"#246\" points=\"";
    for (std::size_t i = 0; i < series.bins.size(); ++i) {
      svg << kLeft + static_cast<int>(i) << ','
          << static_cast<float>(y + kStrip - 4) -
                 series.bins[i] / largest * static_cast<float>(kStrip - 8)
          << ' ';
    }
    svg << "\"/>\n";
    y += kStrip;
  }
  svg << "<text x=\"" << kLeft << "\" y=\"" << height - 8 << "\">"
      << Seconds(static_cast<std::int64_t>(from)) << " to "
      << Seconds(static_cast<std::int64_t>(from + length))
      << "; largest depth in brackets; violations shaded</text>\n</svg>\n";
  return static_cast<bool>(svg.flush());
}

}  // namespace

int RunStats(const StatsArgs& args) {
  const auto reader = seer::DatasetReader::Open(args.dataset);
  if (!reader.ok()) return Fail(reader.status());
  if (args.run >= reader->manifest().runs.size()) {
    return Fail(absl::NotFoundError("there is no run " + std::to_string(args.run) +
                                    ": seer inspect lists them"));
  }
  const seer::DatasetRun& run = reader->manifest().runs[args.run];
  const auto topology = reader->LatestTopology(args.run);
  if (!topology.ok()) return Fail(topology.status());
  const auto events = reader->Events(args.run);
  if (!events.ok()) return Fail(events.status());

  std::vector<Series> services;
  for (const seer::Service& service : topology->services()) {
    services.push_back({service.name, {}, std::vector<float>(kBins, 0.0f), 0});
  }
  std::uint64_t requests = 0, over = 0;
  bool damaged = false;
  seer::ClusterTick tick;
  std::uint64_t at = 0;
  for (seer::TickCursor cursor = reader->Ticks(args.run);;) {
    const auto more = cursor.Next(&tick);
    if (!more.ok()) {
      Fail(more.status());
      damaged = true;
      continue;
    }
    if (!*more) break;
    const std::size_t bin = std::min<std::size_t>(kBins - 1, at++ * kBins / run.ticks);
    for (std::uint32_t s = 0; s < services.size(); ++s) {
      const auto depth = seer::Outstanding(tick, *topology, seer::ServiceId(s));
      if (!depth) continue;
      services[s].values.push_back(static_cast<float>(*depth));
      services[s].bins[bin] = std::max(services[s].bins[bin], static_cast<float>(*depth));
    }
    for (std::uint32_t e = 0; e < topology->edges().size(); ++e) {
      services[topology->edges()[e].callee.index()].calls +=
          tick.edges.made(seer::EdgeId(e)).value_or(0);
    }
    for (const seer::ClassTick& row : tick.classes) {
      requests += row.count;
      over += row.over_target;
    }
  }
  const double seconds =
      std::max(1e-9, static_cast<double>(run.ticks) * static_cast<double>(run.period.ns()) / 1e9);
  if (!args.svg.empty() && !Draw(args.svg, services, run, *events)) {
    return Fail(absl::UnavailableError(args.svg + " cannot be written: check the folder"));
  }
  if (args.json) {
    JsonWriter json;
    json.Open('{').Key("run").Text(run.name).Key("ticks").Integer(
        static_cast<std::int64_t>(run.ticks));
    json.Key("requests").Integer(static_cast<std::int64_t>(requests));
    json.Key("over_target").Integer(static_cast<std::int64_t>(over));
    json.Key("services").Open('[');
    for (const Series& series : services) {
      const Distribution d = Of(series.values);
      json.Open('{').Key("name").Text(series.name);
      json.Key("calls_per_s").Number(static_cast<double>(series.calls) / seconds);
      json.Key("mean").Number(d.mean).Key("p50").Number(d.median).Key("p99").Number(d.p99);
      json.Key("max").Number(d.largest);
      json.Key("ticks_known").Integer(static_cast<std::int64_t>(series.values.size())).Close('}');
    }
    json.Close(']').Key("events").Open('[');
    for (const seer::DatasetEvent& event : *events) {
      json.Open('{').Key("kind").Text(seer::DatasetEventKindName(event.kind));
      json.Key("start_ms").Integer(event.start_ns / 1'000'000);
      json.Key("end_ms").Integer(event.end_ns / 1'000'000);
      json.Key("class").Text(event.request_class).Key("culprit").Text(event.culprit);
      json.Key("cause").Text(event.cause).Close('}');
    }
    json.Close(']').Close('}').Print();
    return damaged ? kDamaged : kOk;
  }
  std::printf("%s: %llu ticks, %llu requests (%s/s), %llu over their target, %zu events\n\n",
              run.name.c_str(), static_cast<unsigned long long>(run.ticks),
              static_cast<unsigned long long>(requests),
              Short(static_cast<double>(requests) / seconds).c_str(),
              static_cast<unsigned long long>(over), events->size());
  std::vector<std::vector<std::string>> rows = {
      {"outstanding at", "calls/s", "mean", "p50", "p99", "max", "ticks known"}};
  for (const Series& series : services) {
    const Distribution d = Of(series.values);
    rows.push_back({series.name, Short(static_cast<double>(series.calls) / seconds), Short(d.mean),
                    Short(d.median), Short(d.p99), Short(d.largest),
                    std::to_string(series.values.size())});
  }
  PrintTable(rows);
  if (!events->empty()) {
    std::printf("\n");
    rows = {{"event", "class", "from", "to", "culprit", "cause"}};
    for (const seer::DatasetEvent& event : *events) {
      rows.push_back({std::string(seer::DatasetEventKindName(event.kind)), event.request_class,
                      Seconds(event.start_ns), Seconds(event.end_ns),
                      event.initiation == seer::Initiation::kLoad ? "load" : event.culprit,
                      event.cause});
    }
    PrintTable(rows);
  }
  return damaged ? kDamaged : kOk;
}

}  // namespace seer_tool
