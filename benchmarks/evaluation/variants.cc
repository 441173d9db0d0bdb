#include "benchmarks/evaluation/variants.h"

#include <cmath>
#include <set>
#include <string_view>
#include <utility>

#include "benchmarks/evaluation/plot.h"
#include "benchmarks/evaluation/report_text.h"
#include "benchmarks/evaluation/statistics.h"

namespace seer::evaluation {
namespace {

const Comparison* Find(absl::Span<const Comparison> comparisons, std::string_view second) {
  for (const Comparison& c : comparisons) {
    if (c.first == "seer" && c.second == second) return &c;
  }
  return nullptr;
}

Section Worth(const Score& whole, absl::Span<const Judged> variants,
              absl::Span<const Comparison> comparisons) {
  Section section;
  section.title = "What seer is worth with less";
  section.text =
      "seer-1s: alarms at the horizon of 1 s, the threshold chosen for a precision of 80 % on the "
      "validation runs. seer-missing30: 30 % of the services without a probe. seer-nic, -kernel "
      "and "
      "-app: trained with these queues alone, and the classes' latencies. seer-unseen-app: each "
      "application is foreseen by a model that was trained with the others only.";
  section.table = {{"predictor", "recall", "so, of ramps", "precision", "near misses/h",
                    "other false alarms/h", "culprit right, of the hits", "median lead, ms",
                    "recall less seer's", "McNemar's p"}};
  const auto add = [&](const std::string& name, const Score& s, const Comparison* against) {
    section.table.push_back(
        {name, MetricText(s.metric("recall")), MetricText(RecallWhere(s, "onset", "ramp")),
         MetricText(s.metric("precision")), MetricText(s.metric("near_misses_per_hour")),
         MetricText(s.metric("false_alarms_besides_near_misses_per_hour")),
         MetricText(s.metric("culprit_top1")), MetricText(s.metric("lead_median_ms")),
         against == nullptr ? "-" : MetricText(against->recall_difference),
         against == nullptr ? "-" : Number(against->recall_p)});
  };
  add("seer", whole, nullptr);
  for (const Judged& j : variants) add(j.name, *j.score, Find(comparisons, j.name));
  return section;
}

Section ByCause(const Score& whole, absl::Span<const Judged> variants) {
  Section section;
  section.title = "Recall with less, by cause";
  std::set<std::string> causes;
  for (const GroupScore& g : whole.groups) {
    if (g.column == "cause") causes.insert(g.value);
  }
  std::vector<std::string> head = {"predictor"};
  std::vector<BarGroup> bars;
  std::vector<std::string> names = {"seer"};
  for (const Judged& j : variants) names.push_back(j.name);
  std::vector<std::vector<std::string>> rows;
  for (const std::string& name : names) rows.push_back({name});
  for (const std::string& cause : causes) {
    BarGroup bar{cause, {}};
    std::uint64_t violations = 0;
    for (std::size_t i = 0; i < names.size(); ++i) {
      const Score& score = i == 0 ? whole : *variants[i - 1].score;
      const Metric m = RecallWhere(score, "cause", cause);
      violations = m.of;
      rows[i].push_back(m.of == 0 ? "-" : Number(std::round(1000 * m.value) / 10) + " %");
      bar.values.push_back(m.value);
    }
    head.push_back((cause.empty() ? "(none)" : cause) + " (" + std::to_string(violations) + ")");
    bars.push_back(std::move(bar));
  }
  section.table.push_back(std::move(head));
  for (auto& row : rows) section.table.push_back(std::move(row));
  section.plots.push_back(BarsSvg(section.title, names, bars));
  return section;
}

Section Reliability(const Score& whole) {
  Section section;
  section.title = "Whether seer's probabilities are true";
  section.text =
      "Of the lines from the lowest probability at which an alarm started: what was said, and how "
      "often a violation started within the horizon. Expected calibration error: " +
      MetricText(whole.metric("ece_alarm")) +
      ". Intervals of the shares are Wilson's, as if lines were independent.";
  section.table = {{"said", "lines", "mean of what was said", "share that violated"}};
  Plot plot("Calibration in the alarm range", "said", "share that violated", 0, 1, 1, {});
  plot.Line({{0, 0}, {1, 1}}, "#999", 1);
  std::vector<Plot::Point> points;
  for (std::size_t b = 0; b < whole.alarm_bins.size(); ++b) {
    const CalibrationBin& bin = whole.alarm_bins[b];
    if (bin.lines == 0) continue;
    const auto lines = static_cast<double>(bin.lines),
               count = static_cast<double>(whole.alarm_bins.size());
    const Interval interval = Wilson(bin.starts, bin.lines);
    const double said = bin.sum_p / lines, came = static_cast<double>(bin.starts) / lines;
    section.table.push_back({Number(static_cast<double>(b) / count) + " to " +
                                 Number(static_cast<double>(b + 1) / count),
                             std::to_string(bin.lines), Number(said),
                             MetricText({came, interval.low, interval.high, bin.lines})});
    points.push_back({said, came});
    plot.Line({{said, interval.low}, {said, interval.high}}, kColours[1], 1.5);
  }
  plot.Line(points, kColours[0], 1.5);
  for (const Plot::Point& p : points) plot.Dot(p, kColours[0]);
  section.plots.push_back(plot.Done());
  return section;
}

}  // namespace

std::vector<PredictFigure> VariantFigures(absl::Span<const Judged> variants,
                                          absl::Span<const Comparison> comparisons) {
  std::vector<PredictFigure> figures;
  const auto add = [&](std::string id, std::string unit, const Metric& metric) {
    if (!std::isnan(metric.value)) figures.push_back({std::move(id), std::move(unit), metric});
  };
  for (const Judged& j : variants) {
    const Score& s = *j.score;
    if (j.name == "seer-1s") {
      add("predict.recall_1s", "", RecallWhere(s, "onset", "ramp"));
      add("predict.precision_1s", "", s.metric("precision"));
    } else if (j.name == "seer-missing30") {
      if (const Comparison* const c = Find(comparisons, j.name)) {
        const Metric& d = c->recall_difference;
        add("predict.missing30_loss", "points",
            {-100 * d.value, -100 * d.high, -100 * d.low, d.of});
      }
    } else if (j.name == "seer-unseen-app") {
      add("predict.unseen_app_recall", "", s.metric("recall"));
      add("predict.unseen_app_precision", "", s.metric("precision"));
    } else {
      std::string id = "predict." + j.name.substr(j.name.find('-') + 1) + "_only_recall";
      add(std::move(id), "", s.metric("recall"));
    }
  }
  return figures;
}

std::vector<Section> VariantSections(const Score& whole, absl::Span<const Judged> variants,
                                     absl::Span<const Comparison> comparisons) {
  std::vector<Section> sections = {Reliability(whole)};
  if (variants.empty()) return sections;
  sections.push_back(Worth(whole, variants, comparisons));
  sections.push_back(ByCause(whole, variants));
  return sections;
}

}  // namespace seer::evaluation
