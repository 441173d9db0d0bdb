#include <algorithm>
#include <cmath>

#include "benchmarks/evaluation/plot.h"
#include "benchmarks/evaluation/report.h"
#include "benchmarks/evaluation/report_text.h"

namespace seer::evaluation {

std::string PrSvg(absl::Span<const Score> scores) {
  Plot plot("Recall and precision of events", "recall", "precision", 0, 1, 1, {});
  for (std::size_t i = 0; i < scores.size(); ++i) {
    const char* const colour = ColourOf(i);
    std::vector<Plot::Point> points;
    for (const PrPoint& p : scores[i].pr) {
      if (!std::isnan(p.recall) && !std::isnan(p.precision))
        points.push_back({p.recall, p.precision});
    }
    std::sort(points.begin(), points.end(), [](const Plot::Point& a, const Plot::Point& b) {
      return a.x < b.x || (a.x == b.x && a.y > b.y);
    });
    plot.Line(points, colour, 1.5);
    const double recall = scores[i].metric("recall").value;
    const double precision = scores[i].metric("precision").value;
    if (!std::isnan(recall) && !std::isnan(precision)) plot.Dot({recall, precision}, colour);
    plot.Legend(i, scores[i].name, colour);
  }
  return plot.Done();
}

std::string ReliabilitySvg(const Score& score) {
  Plot plot("Calibration: " + score.name, "p_violation", "share that violated", 0, 1, 1, {});
  plot.Line({{0, 0}, {1, 1}}, "#999", 1);
  std::vector<Plot::Point> points;
  for (const CalibrationBin& bin : score.bins) {
    if (bin.lines == 0) continue;
    const auto lines = static_cast<double>(bin.lines);
    points.push_back({bin.sum_p / lines, static_cast<double>(bin.starts) / lines});
  }
  plot.Line(points, kColours[0], 1.5);
  for (const Plot::Point& p : points) plot.Dot(p, kColours[0]);
  return plot.Done();
}

std::string LeadSvg(const Score& score) {
  constexpr std::size_t kBins = 20;
  constexpr double kMostMs = 2000;
  std::vector<std::size_t> bins(kBins, 0);
  std::size_t most = 1;
  for (const double lead : score.leads_ms) {
    const auto bin = static_cast<std::size_t>(std::clamp(lead / kMostMs, 0.0, 0.9999) * kBins);
    most = std::max(most, ++bins[bin]);
  }
  Plot plot("Leads of the hits: " + score.name, "ms before the violation", "hits", 0, kMostMs,
            static_cast<double>((most + 4) / 5 * 5), {});
  for (std::size_t i = 0; i < kBins; ++i) {
    const double from = kMostMs * static_cast<double>(i) / kBins;
    if (bins[i] > 0)
      plot.Bar(from, from + kMostMs / kBins, static_cast<double>(bins[i]), kColours[0]);
  }
  return plot.Done();
}

namespace {

Plot::Size Beside(std::size_t names) {
  return {760, std::max(340.0, 60 + 13 * static_cast<double>(names)), 190};
}

std::string Draw(Plot plot, absl::Span<const Curve> curves, double (*x_of)(double)) {
  for (std::size_t i = 0; i < curves.size(); ++i) {
    std::vector<Plot::Point> points;
    for (const CurvePoint& p : curves[i].points) points.push_back({x_of(p.x), p.y});
    plot.Line(points, ColourOf(i), 1.5, DashedOf(i));
    for (const CurvePoint& p : curves[i].marks) plot.Dot({x_of(p.x), p.y}, ColourOf(i));
    plot.Legend(i, curves[i].name, ColourOf(i), DashedOf(i));
  }
  return plot.Done();
}

}  // namespace

std::string CurvesSvg(std::string_view title, std::string_view x, std::string_view y, double x_most,
                      absl::Span<const Curve> curves) {
  return Draw(Plot(title, x, y, 0, x_most, 1, Beside(curves.size())), curves,
              [](double value) { return value; });
}

std::string TradeOffSvg(absl::Span<const Curve> curves) {
  return Draw(Plot("Recall against false alarms", "false alarms an hour", "recall", -1, 4, 1,
                   Beside(curves.size()),
                   {{-1, "0.1"}, {0, "1"}, {1, "10"}, {2, "100"}, {3, "1000"}, {4, "10000"}}),
              curves, [](double value) { return std::log10(std::max(value, 0.1)); });
}

std::string BarsSvg(std::string_view title, absl::Span<const std::string> names,
                    absl::Span<const BarGroup> groups) {
  const auto count = static_cast<double>(std::max<std::size_t>(1, groups.size()));
  std::vector<Plot::Tick> ticks;
  for (std::size_t g = 0; g < groups.size(); ++g) {
    ticks.push_back({static_cast<double>(g) + 0.5, groups[g].name});
  }
  Plot::Size size = Beside(names.size());
  size.width =
      std::max(size.width, 240 + count * std::max(90.0, 9 * static_cast<double>(names.size())));
  Plot plot(title, "", "share", 0, count, 1, size, ticks);
  for (std::size_t g = 0; g < groups.size(); ++g) {
    const double step = 0.9 / static_cast<double>(std::max<std::size_t>(1, names.size()));
    for (std::size_t i = 0; i < groups[g].values.size(); ++i) {
      if (std::isnan(groups[g].values[i])) continue;
      const double from = static_cast<double>(g) + 0.05 + step * static_cast<double>(i);
      plot.Bar(from, from + step, std::max(0.004, groups[g].values[i]), ColourOf(i), DashedOf(i));
    }
  }
  for (std::size_t i = 0; i < names.size(); ++i) plot.Legend(i, names[i], ColourOf(i), DashedOf(i));
  return plot.Done();
}

}  // namespace seer::evaluation
