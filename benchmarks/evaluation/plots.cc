#include <algorithm>
#include <cmath>
#include <cstdio>

#include "benchmarks/evaluation/report.h"
#include "benchmarks/evaluation/report_text.h"

namespace seer::evaluation {
namespace {

constexpr double kWidth = 420, kHeight = 300;
constexpr double kLeft = 50, kRight = 14, kTop = 28, kBottom = 42;
// Distinguishable without colour vision too (Okabe and Ito).
constexpr const char* kColours[] = {"#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00",
                                    "#56b4e9", "#000000", "#8c6d00", "#7f3fbf", "#777777"};

// A plane from (x0, y0) to (x1, y1) with axes.
class Plot {
 public:
  Plot(std::string_view title, std::string_view x, std::string_view y, double x1, double y1)
      : x1_(x1), y1_(y1) {
    svg_ = "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 " + Number(kWidth) + " " +
           Number(kHeight) + "\" width=\"" + Number(kWidth) + "\" height=\"" + Number(kHeight) +
           "\" font-family=\"sans-serif\" font-size=\"11\">\n";
    svg_ += "<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n";
    Text(kWidth / 2, 16, title, "middle");
    Text(kWidth / 2, kHeight - 8, x, "middle");
    svg_ += "<text transform=\"translate(13," + Number(kHeight / 2) +
            ") rotate(-90)\" text-anchor=\"middle\">" + Escaped(y) + "</text>\n";
    for (int i = 0; i <= 5; ++i) {
      const double part = i / 5.0;
      Line({{part * x1_, 0}, {part * x1_, y1_}}, "#ddd", 1);
      Line({{0, part * y1_}, {x1_, part * y1_}}, "#ddd", 1);
      Text(X(part * x1_), kHeight - kBottom + 14, Number(part * x1_), "middle");
      Text(kLeft - 5, Y(part * y1_) + 4, Number(part * y1_), "end");
    }
  }

  struct Point {
    double x, y;
  };
  void Line(const std::vector<Point>& points, std::string_view colour, double width) {
    svg_ += "<polyline fill=\"none\" stroke=\"" + std::string(colour) + "\" stroke-width=\"" +
            Number(width) + "\" points=\"";
    for (const Point& p : points) svg_ += Number(X(p.x)) + "," + Number(Y(p.y)) + " ";
    svg_ += "\"/>\n";
  }
  void Dot(Point p, std::string_view colour) {
    svg_ += "<circle cx=\"" + Number(X(p.x)) + "\" cy=\"" + Number(Y(p.y)) +
            "\" r=\"3.5\" fill=\"" + std::string(colour) + "\"/>\n";
  }
  void Bar(double from, double to, double height, std::string_view colour) {
    svg_ += "<rect x=\"" + Number(X(from)) + "\" y=\"" + Number(Y(height)) + "\" width=\"" +
            Number(X(to) - X(from)) + "\" height=\"" + Number(Y(0) - Y(height)) + "\" fill=\"" +
            std::string(colour) + "\" stroke=\"#fff\"/>\n";
  }
  void Legend(std::size_t row, std::string_view name, std::string_view colour) {
    const double y = kTop + 10 + 13 * static_cast<double>(row);
    svg_ += "<rect x=\"" + Number(kLeft + 6) + "\" y=\"" + Number(y - 8) +
            "\" width=\"9\" height=\"9\" fill=\"" + std::string(colour) + "\"/>\n";
    Text(kLeft + 19, y, name, "start");
  }
  std::string Done() { return svg_ + "</svg>\n"; }

 private:
  double X(double x) const {
    return kLeft + std::clamp(x / x1_, 0.0, 1.0) * (kWidth - kLeft - kRight);
  }
  double Y(double y) const {
    return kHeight - kBottom - std::clamp(y / y1_, 0.0, 1.0) * (kHeight - kTop - kBottom);
  }
  void Text(double x, double y, std::string_view text, std::string_view anchor) {
    svg_ += "<text x=\"" + Number(x) + "\" y=\"" + Number(y) + "\" text-anchor=\"" +
            std::string(anchor) + "\">" + Escaped(text) + "</text>\n";
  }

  double x1_, y1_;
  std::string svg_;
};

}  // namespace

std::string PrSvg(absl::Span<const Score> scores) {
  Plot plot("Recall and precision of events", "recall", "precision", 1, 1);
  for (std::size_t i = 0; i < scores.size(); ++i) {
    const char* const colour = kColours[i % std::size(kColours)];
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
  Plot plot("Calibration: " + score.name, "p_violation", "share that violated", 1, 1);
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
  Plot plot("Leads of the hits: " + score.name, "ms before the violation", "hits", kMostMs,
            static_cast<double>((most + 4) / 5 * 5));
  for (std::size_t i = 0; i < kBins; ++i) {
    const double from = kMostMs * static_cast<double>(i) / kBins;
    if (bins[i] > 0)
      plot.Bar(from, from + kMostMs / kBins, static_cast<double>(bins[i]), kColours[0]);
  }
  return plot.Done();
}

}  // namespace seer::evaluation
