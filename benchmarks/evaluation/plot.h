// A plane with axes, drawn as SVG: what all plots of the reports are made of.
#pragma once

#include <algorithm>
#include <iterator>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "benchmarks/evaluation/report_text.h"

namespace seer::evaluation {

// Distinguishable without colour vision too (Okabe and Ito); the second half is drawn dashed.
inline constexpr const char* kColours[] = {"#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00",
                                           "#56b4e9", "#000000", "#8c6d00", "#7f3fbf", "#777777"};
inline const char* ColourOf(std::size_t i) { return kColours[i % std::size(kColours)]; }
inline bool DashedOf(std::size_t i) { return i / std::size(kColours) % 2 == 1; }

class Plot {
 public:
  struct Size {
    double width = 420, height = 300;
    double right = 14;  // room for a legend beside the plane
  };
  struct Tick {
    double at;
    std::string text;
  };
  struct Point {
    double x, y;
  };

  // From (x0, 0) to (x1, y1); without ticks five steps each.
  Plot(std::string_view title, std::string_view x, std::string_view y, double x0, double x1,
       double y1, Size size, std::vector<Tick> x_ticks = {})
      : size_(size), x0_(x0), x1_(x1), y1_(y1) {
    svg_ = "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 " + Number(size_.width) + " " +
           Number(size_.height) + "\" width=\"" + Number(size_.width) + "\" height=\"" +
           Number(size_.height) + "\" font-family=\"sans-serif\" font-size=\"11\">\n";
    svg_ += "<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n";
    const double middle = (kLeft + size_.width - size_.right) / 2;
    Text(middle, 16, title, "middle");
    Text(middle, size_.height - 8, x, "middle");
    svg_ += "<text transform=\"translate(13," + Number(size_.height / 2) +
            ") rotate(-90)\" text-anchor=\"middle\">" + Escaped(y) + "</text>\n";
    for (int i = 0; i <= 5 && x_ticks.empty(); ++i) {
      const double at = x0_ + i / 5.0 * (x1_ - x0_);
      Line({{at, 0}, {at, y1_}}, "#ddd", 1);
      Text(X(at), size_.height - kBottom + 14, Number(at), "middle");
    }
    for (const Tick& tick : x_ticks) {
      Line({{tick.at, 0}, {tick.at, y1_}}, "#ddd", 1);
      Text(X(tick.at), size_.height - kBottom + 14, tick.text, "middle");
    }
    for (int i = 0; i <= 5; ++i) {
      const double at = i / 5.0 * y1_;
      Line({{x0_, at}, {x1_, at}}, "#ddd", 1);
      Text(kLeft - 5, Y(at) + 4, Number(at), "end");
    }
  }

  void Line(const std::vector<Point>& points, std::string_view colour, double width,
            bool dashed = false) {
    svg_ += "<polyline fill=\"none\" stroke=\"" + std::string(colour) + "\" stroke-width=\"" +
            Number(width) + "\"" + (dashed ? " stroke-dasharray=\"5 3\"" : "") + " points=\"";
    for (const Point& p : points) svg_ += Number(X(p.x)) + "," + Number(Y(p.y)) + " ";
    svg_ += "\"/>\n";
  }
  void Dot(Point p, std::string_view colour) {
    svg_ += "<circle cx=\"" + Number(X(p.x)) + "\" cy=\"" + Number(Y(p.y)) +
            "\" r=\"3.5\" fill=\"" + std::string(colour) + "\"/>\n";
  }
  void Bar(double from, double to, double height, std::string_view colour, bool pale = false) {
    svg_ += "<rect x=\"" + Number(X(from)) + "\" y=\"" + Number(Y(height)) + "\" width=\"" +
            Number(X(to) - X(from)) + "\" height=\"" + Number(Y(0) - Y(height)) + "\" fill=\"" +
            std::string(colour) + "\" stroke=\"#fff\" stroke-width=\"0.5\"" +
            (pale ? " fill-opacity=\"0.55\"" : "") + "/>\n";
  }
  // Within the plane, or where there is room beside it.
  void Legend(std::size_t row, std::string_view name, std::string_view colour,
              bool dashed = false) {
    const bool beside = size_.right > 40;
    const double x = beside ? size_.width - size_.right + 10 : kLeft + 6;
    const double y = kTop + 10 + 13 * static_cast<double>(row);
    svg_ += "<line x1=\"" + Number(x) + "\" y1=\"" + Number(y - 4) + "\" x2=\"" + Number(x + 16) +
            "\" y2=\"" + Number(y - 4) + "\" stroke-width=\"4\" stroke=\"" + std::string(colour) +
            "\"" + (dashed ? " stroke-dasharray=\"4 3\"" : "") + "/>\n";
    Text(x + 21, y, name, "start");
  }
  std::string Done() { return svg_ + "</svg>\n"; }

 private:
  static constexpr double kLeft = 50, kTop = 28, kBottom = 42;

  double X(double x) const {
    return kLeft +
           std::clamp((x - x0_) / (x1_ - x0_), 0.0, 1.0) * (size_.width - kLeft - size_.right);
  }
  double Y(double y) const {
    return size_.height - kBottom - std::clamp(y / y1_, 0.0, 1.0) * (size_.height - kTop - kBottom);
  }
  void Text(double x, double y, std::string_view text, std::string_view anchor) {
    svg_ += "<text x=\"" + Number(x) + "\" y=\"" + Number(y) + "\" text-anchor=\"" +
            std::string(anchor) + "\">" + Escaped(text) + "</text>\n";
  }

  Size size_;
  double x0_, x1_, y1_;
  std::string svg_;
};

}  // namespace seer::evaluation
