// The charts of the report. Colours are classes of the page's style sheet, so that they are right
// in light and dark.
#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <iterator>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "deployment.h"
#include "report.h"

namespace social {
namespace {

constexpr double kWidth = 900, kLeft = 64, kRight = 12, kTop = 22, kBottom = 24;

std::string Number(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.5g", value);
  return text;
}

// The next of 4, 8, 20, 40, 80, 200, ...: quarters of it are short numbers.
double RoundUp(double most) {
  double nice = 4;
  while (nice < most) {
    for (const double factor : {2.0, 2.5, 2.0}) {
      if (nice < most) nice *= factor;
    }
  }
  return nice;
}

// A plane with time from left to right.
class Plane {
 public:
  Plane(const std::string& title, double seconds, double most, const std::string& unit,
        double height = 190)
      : seconds_(std::max(seconds, 1.0)), most_(RoundUp(most)), height_(height) {
    svg_ = "<svg viewBox=\"0 0 " + Number(kWidth) + " " + Number(height) +
           "\" role=\"img\" aria-label=\"" + Escaped(title) + "\">";
    Text(kLeft, 14, title, "title", "start");
    for (int i = 0; i <= 4; ++i) {
      const double value = most_ * i / 4;
      Path({{0, value}, {seconds_, value}}, "grid");
      Text(kLeft - 6, Y(value) + 4, Number(value) + (i == 4 ? " " + unit : ""), "axis", "end");
    }
    const double step = seconds_ > 300 ? 60 : seconds_ > 60 ? 20 : seconds_ > 15 ? 5 : 1;
    for (double at = 0; at <= seconds_; at += step) {
      Text(X(at), height_ - 6, Number(at) + " s", "axis", "middle");
    }
  }

  double X(double at) const { return kLeft + at / seconds_ * (kWidth - kLeft - kRight); }
  double Y(double value) const {
    return height_ - kBottom -
           std::min(1.0, std::max(0.0, value / most_)) * (height_ - kBottom - kTop);
  }
  void Path(const std::vector<std::pair<double, double>>& points, const std::string& style) {
    if (points.empty()) return;
    svg_ += "<polyline class=\"" + style + "\" points=\"";
    for (const auto& [x, y] : points) svg_ += Number(X(x)) + "," + Number(Y(y)) + " ";
    svg_ += "\"/>";
  }
  void Span(double from, double to, const std::string& style, const std::string& hint) {
    svg_ += "<rect class=\"" + style + "\" x=\"" + Number(X(from)) + "\" y=\"" + Number(kTop) +
            "\" width=\"" + Number(std::max(1.5, X(to) - X(from))) + "\" height=\"" +
            Number(height_ - kTop - kBottom) + "\"><title>" + Escaped(hint) + "</title></rect>";
  }
  void Bar(double from, double to, double value) {
    svg_ += "<rect class=\"bar\" x=\"" + Number(X(from)) + "\" y=\"" + Number(Y(value)) +
            "\" width=\"" + Number(X(to) - X(from)) + "\" height=\"" + Number(Y(0) - Y(value)) +
            "\"/>";
  }
  void Mark(double at, const std::string& style, const std::string& hint) {
    svg_ += "<path class=\"" + style + "\" d=\"M" + Number(X(at)) + " " + Number(kTop + 9) +
            " l-5 -9 l10 0 z\"><title>" + Escaped(hint) + "</title></path>";
  }
  void Text(double x, double y, const std::string& text, const char* style, const char* anchor) {
    svg_ += "<text class=\"" + std::string(style) + "\" x=\"" + Number(x) + "\" y=\"" + Number(y) +
            "\" text-anchor=\"" + anchor + "\">" + Escaped(text) + "</text>";
  }
  void Legend(std::size_t place, const std::string& text, const std::string& style) {
    const double x = kLeft + 236 + 119 * static_cast<double>(place);
    svg_ += "<line class=\"" + style + "\" x1=\"" + Number(x) + "\" y1=\"10\" x2=\"" +
            Number(x + 16) + "\" y2=\"10\"/>";
    Text(x + 20, 14, text, "axis", "start");
  }
  std::string Done() { return svg_ + "</svg>"; }

 private:
  const double seconds_, most_, height_;
  std::string svg_;
};

double At(const Record& record, std::int64_t ns) {
  return static_cast<double>(ns - record.start_ns) / 1e9;
}
double SecondsOf(const Record& record) { return At(record, record.end_ns); }

void DrawFaults(const Record& record, Plane* plane) {
  for (const FaultMade& made : record.faults) {
    plane->Span(At(record, made.start_ns), At(record, made.end_ns), "fault",
                "fault: " + made.fault.Describe());
  }
}

}  // namespace

double MostLatency(const Record& record, std::size_t kind) {
  double most = 0;
  for (const LatencySecond& second : record.seconds) most = std::max(most, second.p99_ms[kind]);
  return most;
}

std::string LatencyChart(const Record& record, std::size_t kind, double target_ms, double most) {
  Plane plane(kRequestNames[kind], SecondsOf(record),
              std::clamp(most, target_ms * 1.5, target_ms * 20), "ms");
  DrawFaults(record, &plane);
  for (const Missed& missed : record.missed) {
    if (missed.kind != kind) continue;
    plane.Span(At(record, missed.start_ns), At(record, missed.end_ns), "missed", "target missed");
  }
  std::vector<std::pair<double, double>> p50, p99;
  for (const LatencySecond& second : record.seconds) {
    p50.emplace_back(At(record, second.end_ns), second.p50_ms[kind]);
    p99.emplace_back(At(record, second.end_ns), second.p99_ms[kind]);
  }
  plane.Path({{0, target_ms}, {SecondsOf(record), target_ms}}, "target");
  plane.Path(p50, "line c1");
  plane.Path(p99, "line c0");
  for (const Alarm& alarm : record.alarms) {
    if (alarm.kind != kind) continue;
    plane.Mark(At(record, alarm.at_ns), "alarm", "alarm: initiator " + alarm.blamed);
  }
  plane.Legend(0, "p99", "line c0");
  plane.Legend(1, "p50", "line c1");
  plane.Legend(2, "target", "target");
  return plane.Done();
}

double MostStanding(const Record& record) {
  double most = 0;
  for (const QueuesAt& at : record.queues) {
    for (const auto& each : at.depths) most = std::max(most, each.second[2]);
  }
  return most;
}

std::string QueueChart(const Record& record, double most_standing) {
  // The services at which most stood by themselves.
  std::map<std::string, double> most;
  for (const QueuesAt& at : record.queues) {
    for (const auto& [name, depths] : at.depths) most[name] = std::max(most[name], depths[2]);
  }
  std::vector<std::pair<double, std::string>> deepest;
  for (const auto& [name, depth] : most) deepest.emplace_back(-depth, name);
  std::sort(deepest.begin(), deepest.end());
  if (deepest.size() > 5) deepest.resize(5);
  Plane plane("Standing at a service itself", SecondsOf(record), std::max(1.0, most_standing), "",
              210);
  DrawFaults(record, &plane);
  std::size_t place = 0;
  for (const auto& [depth, name] : deepest) {
    std::vector<std::pair<double, double>> points;
    for (const QueuesAt& at : record.queues) {
      const auto found = at.depths.find(name);
      if (found != at.depths.end()) points.emplace_back(At(record, at.at_ns), found->second[2]);
    }
    const std::string style = "line c" + std::to_string(place);
    plane.Path(points, style);
    plane.Legend(place++, ShortNames(name), style);
  }
  for (const Done& done : record.actions) {
    if (done.action != "report") {
      plane.Mark(At(record, done.at_ns), "action",
                 done.service + ": " + done.action + " " + done.from + " -> " + done.to + ", " +
                     done.outcome);
    }
  }
  return plane.Done();
}

std::string LeadChart(const std::vector<Record>& records) {
  constexpr std::size_t kBins = 20;
  std::array<int, kBins> bins = {};
  int most = 1;
  for (const Record& record : records) {
    for (const Hit& hit : Judge(record).hits) {
      const auto bin = std::min(kBins - 1, static_cast<std::size_t>(hit.lead_ms / 100));
      most = std::max(most, ++bins[bin]);
    }
  }
  Plane plane("Leads: how long before its violation an alarm came", 2, most, "", 170);
  for (std::size_t i = 0; i < kBins; ++i) {
    const double from = static_cast<double>(i) * 0.1;
    if (bins[i] > 0) plane.Bar(from + 0.01, from + 0.09, bins[i]);
  }
  return plane.Done();
}

std::string CallGraph(const std::vector<Record>& records) {
  std::set<std::pair<std::string, std::string>> calls;
  std::map<std::string, int> blamed, guilty;
  for (const Record& record : records) {
    calls.insert(record.calls.begin(), record.calls.end());
    for (const Alarm& alarm : record.alarms) ++blamed[alarm.blamed];
    for (const Missed& missed : record.missed) {
      const int fault = FaultBehind(record, missed.start_ns);
      if (fault >= 0) ++guilty[record.faults[static_cast<std::size_t>(fault)].fault.target];
    }
  }
  // The shortest way from the clients tells the column. How they made users before the run is left
  // out.
  std::map<std::string, std::size_t> column;
  for (auto call = calls.begin(); call != calls.end();) {
    call = call->first == "clients" && call->second != kEntry ? calls.erase(call) : std::next(call);
  }
  column["clients"] = 0;
  const auto follow = [&] {
    for (std::size_t distance = 0; distance < 12; ++distance) {
      for (const auto& [caller, callee] : calls) {
        const auto from = column.find(caller);
        if (from != column.end() && from->second == distance) column.emplace(callee, distance + 1);
      }
    }
  };
  follow();
  // Who is called by nobody takes its requests out of a queue: it stands behind that.
  for (const auto& [caller, callee] : calls) {
    const auto queue = column.find(callee);
    if (queue != column.end()) column.emplace(caller, queue->second + 1);
  }
  follow();
  std::map<std::size_t, std::vector<std::string>> columns;
  for (const auto& [name, place] : column) columns[place].push_back(name);
  std::size_t rows = 1;
  for (const auto& each : columns) rows = std::max(rows, each.second.size());
  std::map<std::string, std::pair<double, double>> places;
  const double height = 40 * static_cast<double>(rows) + 20;
  const double width = std::max(kWidth, 150 * static_cast<double>(columns.size()));
  std::size_t x = 0;
  for (const auto& [number, names] : columns) {
    for (std::size_t i = 0; i < names.size(); ++i) {
      places[names[i]] = {
          (static_cast<double>(x) + 0.5) * width / static_cast<double>(columns.size()),
          (static_cast<double>(i) + 0.5) * height / static_cast<double>(names.size())};
    }
    ++x;
  }
  std::string svg = "<svg viewBox=\"0 0 " + Number(width) + " " + Number(height) +
                    "\" role=\"img\" aria-label=\"call graph\">";
  for (const auto& [caller, callee] : calls) {
    if (places.count(caller) == 0 || places.count(callee) == 0) continue;
    const auto [x1, y1] = places[caller];
    const auto [x2, y2] = places[callee];
    svg += "<path class=\"edge\" d=\"M" + Number(x1) + " " + Number(y1) + " C" +
           Number((x1 + x2) / 2) + " " + Number(y1) + " " + Number((x1 + x2) / 2) + " " +
           Number(y2) + " " + Number(x2) + " " + Number(y2) + "\"/>";
  }
  for (const auto& [name, place] : places) {
    const bool is_guilty = guilty[name] > 0, is_told = blamed[name] + guilty[name] > 0;
    svg += "<g><rect class=\"node" + std::string(is_guilty ? " guilty" : "") + "\" x=\"" +
           Number(place.first - 62) + "\" y=\"" + Number(place.second - 15) +
           "\" width=\"124\" height=\"30\" rx=\"6\"/><text class=\"axis\" text-anchor=\"middle\" "
           "x=\"" +
           Number(place.first) + "\" y=\"" + Number(place.second + (is_told ? -1 : 4)) + "\">" +
           Escaped(ShortNames(name)) + "</text><text class=\"small\" text-anchor=\"middle\" x=\"" +
           Number(place.first) + "\" y=\"" + Number(place.second + 11) + "\">" +
           (is_told ? "initiated " + std::to_string(guilty[name]) + ", blamed " +
                          std::to_string(blamed[name])
                    : "") +
           "</text></g>";
  }
  return svg + "</svg>";
}

std::string TraceChart(const std::string& trace) {
  std::istringstream words(trace);
  double start = 0, latency = 0;
  std::size_t hops = 0;
  if (!(words >> start >> latency >> hops) || hops == 0 || hops > 100 || latency <= 0) return "";
  const double height = 18 * static_cast<double>(hops) + 26;
  std::string svg = "<svg viewBox=\"0 0 900 " + Number(height) +
                    "\" role=\"img\" aria-label=\"a slow request\"><text class=\"title\" x=\"4\" "
                    "y=\"14\">" +
                    Number(latency / 1000) + " ms</text>";
  std::vector<int> depths;
  for (std::size_t i = 0; i < hops; ++i) {
    int parent = -1;
    std::string name;
    double at = 0, took = 0, queue = 0, own = 0, critical = 0;
    if (!(words >> parent >> name >> at >> took >> queue >> own >> critical)) return "";
    const bool known = parent >= 0 && static_cast<std::size_t>(parent) < depths.size();
    depths.push_back(known ? depths[static_cast<std::size_t>(parent)] + 1 : 0);
    const double y = 18 * static_cast<double>(i) + 22;
    const auto x = [&](double us) { return 230 + std::min(us, latency) / latency * 560; };
    svg += "<text class=\"axis\" x=\"" + Number(4 + 10 * depths.back()) + "\" y=\"" +
           Number(y + 11) + "\">" + Escaped(name) + "</text><rect class=\"" +
           (critical * 2 > latency ? "span guilty" : "span") + "\" x=\"" + Number(x(at)) +
           "\" y=\"" + Number(y) + "\" width=\"" + Number(std::max(1.0, x(at + took) - x(at))) +
           "\" height=\"13\"><title>" + Escaped(name) + ": " + Number(took / 1000) +
           " ms, of these queued " + Number(queue / 1000) + ", own " + Number(own / 1000) +
           "</title></rect><text class=\"small\" x=\"" + Number(x(at + took) + 4) + "\" y=\"" +
           Number(y + 10) + "\">" + Number(took / 1000) + "</text>";
  }
  return svg + "</svg>";
}

}  // namespace social
