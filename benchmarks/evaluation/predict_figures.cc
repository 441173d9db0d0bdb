#include "benchmarks/evaluation/predict_figures.h"

#include <algorithm>
#include <cmath>
#include <string_view>
#include <utility>

#include "benchmarks/evaluation/statistics.h"

namespace seer::evaluation {
namespace {

bool Is(const ViolationRow& row, std::string_view column, std::string_view value) {
  if (column == "cause") return row.cause == value;
  return std::any_of(row.groups.begin(), row.groups.end(), [&](const auto& group) {
    return group.first == column && group.second == value;
  });
}

// As the library promises them; the paper's figures are in brackets there.
constexpr std::pair<std::string_view, std::string_view> kGoals[] = {
    {"predict.recall", ">= 0.95"},
    {"predict.recall_of_oracle", ">= 0.98"},
    {"predict.precision", ">= 0.90"},
    {"predict.false_alarms_per_hour", "<= 1"},
    {"predict.culprit_top1", ">= 0.94"},
    {"predict.culprit_traps", ">= 0.88"},
    {"predict.lead_ramp_ms", ">= 500"},
    {"predict.recall_1s", ">= 0.80"},
    {"predict.precision_1s", ">= 0.80"},
    {"predict.ece", "<= 0.05"},
    {"predict.unseen_cause_recall", ">= 0.80"},
    {"predict.unseen_culprit_recall", ">= 0.80"},
    {"predict.unseen_app_recall", "> untrained"},
    {"predict.missing30_loss", "<= 4"},
    {"predict.buzzblog_hits", "all"},
    {"predict.buzzblog_outside_alarms", "<= 3"}};

}  // namespace

std::string GoalOf(std::string_view id) {
  for (const auto& [own, goal] : kGoals) {
    if (own == id) return std::string(goal);
  }
  return "";
}

Metric RecallWhere(const Score& score, std::string_view column, std::string_view value) {
  std::uint64_t hits = 0, all = 0;
  for (const ScoredViolation& violation : score.violations) {
    if (!Is(violation.row, column, value)) continue;
    ++all;
    hits += violation.hit ? 1 : 0;
  }
  if (all == 0) return {std::nan(""), std::nan(""), std::nan(""), 0};
  const Interval interval = Wilson(hits, all);
  return {static_cast<double>(hits) / static_cast<double>(all), interval.low, interval.high, all};
}

std::vector<PredictFigure> PredictFigures(const Score& score) {
  std::vector<PredictFigure> figures = {
      {"predict.recall", "", score.metric("recall")},
      {"predict.recall_of_oracle", "", RecallWhere(score, "foreseeable", "yes")},
      {"predict.precision", "", score.metric("precision")},
      {"predict.false_alarms_per_hour", "/h",
       score.metric("false_alarms_besides_near_misses_per_hour")},
      {"predict.near_misses_per_hour", "/h", score.metric("near_misses_per_hour")},
      {"predict.culprit_top1", "", score.metric("culprit_top1")},
      {"predict.culprit_traps", "", score.metric("culprit_traps")},
      {"predict.ece", "", score.metric("ece_alarm")},
      {"predict.unseen_cause_recall", "", RecallWhere(score, "unseen_cause", "yes")},
      {"predict.unseen_culprit_recall", "", RecallWhere(score, "unseen_culprit", "yes")}};
  std::vector<double> leads_ms;
  for (const ScoredViolation& violation : score.violations) {
    if (violation.hit && Is(violation.row, "onset", "ramp")) {
      leads_ms.push_back(static_cast<double>(violation.lead_ms));
    }
  }
  if (!leads_ms.empty()) {
    std::sort(leads_ms.begin(), leads_ms.end());
    const auto at = [&](double part) {
      return leads_ms[static_cast<std::size_t>(part * static_cast<double>(leads_ms.size() - 1))];
    };
    // Half of the leads on ramps lie between these; no interval of the median.
    figures.push_back(
        {"predict.lead_ramp_ms", "ms", {at(0.5), at(0.25), at(0.75), leads_ms.size()}});
  }
  figures.erase(std::remove_if(figures.begin(), figures.end(),
                               [](const auto& f) { return std::isnan(f.metric.value); }),
                figures.end());
  return figures;
}

std::vector<PredictFigure> RivalFigures(std::string_view name, const Score& score) {
  std::string id = "rival." + std::string(name);
  std::replace(id.begin(), id.end(), '-', '_');
  return {{id + ".recall", "", score.metric("recall")},
          {id + ".precision", "", score.metric("precision")},
          {id + ".false_alarms_per_hour", "/h", score.metric("false_alarms_per_hour")},
          {id + ".near_misses_per_hour", "/h", score.metric("near_misses_per_hour")},
          {id + ".culprit_top1", "", score.metric("culprit_top1")}};
}

}  // namespace seer::evaluation
