#include "benchmarks/evaluation/summary.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <tuple>
#include <utility>

#include "benchmarks/evaluation/report_text.h"
#include "benchmarks/evaluation/statistics.h"

namespace seer::evaluation {
namespace {

Metric Share(std::uint64_t part, std::uint64_t whole) {
  const Interval interval = Wilson(part, whole);
  return {whole == 0 ? NAN : static_cast<double>(part) / static_cast<double>(whole), interval.low,
          interval.high, whole};
}

struct Tally {
  std::uint64_t part = 0, whole = 0;
  void Add(bool yes) { ++whole, part += yes; }
  Metric metric() const { return Share(part, whole); }
};

template <typename Key>
std::vector<std::pair<Key, Metric>> Metrics(const std::map<Key, Tally>& tallies) {
  std::vector<std::pair<Key, Metric>> metrics;
  for (const auto& [key, tally] : tallies) metrics.emplace_back(key, tally.metric());
  return metrics;
}

std::string OfText(const Metric& metric) {
  if (metric.of == 0) return "-";
  return std::to_string(std::llround(metric.value * static_cast<double>(metric.of))) + " of " +
         std::to_string(metric.of);
}

Section Main(absl::Span<const Judged> judged) {
  Section section;
  section.title = "Who foresees";
  section.text =
      "Hits are alarms 100 ms to 2 s before the violation. Thresholds were chosen on the "
      "validation "
      "runs; the last three columns are what they gave there. In brackets: 95 % intervals.";
  section.table = {{"predictor", "recall", "precision", "false alarms/h", "near misses/h",
                    "other false alarms/h", "culprit right, of the hits", "so, of the traps",
                    "median lead, ms", "PR-AUC", "threshold", "recall (validation)",
                    "other false alarms/h (validation)"}};
  for (const Judged& j : judged) {
    const Score& s = *j.score;
    std::vector<std::string> row = {j.name};
    for (const char* id : {"recall", "precision", "false_alarms_per_hour", "near_misses_per_hour",
                           "false_alarms_besides_near_misses_per_hour", "culprit_top1",
                           "culprit_traps", "lead_median_ms", "pr_auc"}) {
      row.push_back(MetricText(s.metric(id)));
    }
    const Fitted& f = j.fitted;
    row.push_back(j.fits ? Number(f.threshold) : "own");
    row.push_back(f.violations == 0 ? "-" : Number(f.recall()));
    row.push_back(f.hours > 0 ? Number(f.PerHour(f.false_alarms - f.near_misses)) : "-");
    section.table.push_back(std::move(row));
  }
  std::vector<Curve> tradeoff;
  for (const Judged& j : judged) {
    Curve curve{j.name, {}, {}};
    for (const PrPoint& p : j.score->pr) {
      if (!std::isnan(p.recall) && !std::isnan(p.false_alarms_per_hour)) {
        curve.points.push_back({p.false_alarms_per_hour, p.recall});
      }
    }
    // The best recall that can be had for so many false alarms.
    std::sort(curve.points.begin(), curve.points.end(),
              [](const CurvePoint& a, const CurvePoint& b) { return a.x < b.x; });
    for (std::size_t i = 1; i < curve.points.size(); ++i) {
      curve.points[i].y = std::max(curve.points[i].y, curve.points[i - 1].y);
    }
    const double rate = j.score->metric("false_alarms_per_hour").value;
    const double recall = j.score->metric("recall").value;
    if (!std::isnan(rate) && !std::isnan(recall)) curve.marks.push_back({rate, recall});
    tradeoff.push_back(std::move(curve));
  }
  section.plots.push_back(TradeOffSvg(tradeoff));
  std::vector<Curve> pr;
  for (const Judged& j : judged) {
    Curve curve{j.name, {}, {}};
    for (const PrPoint& p : j.score->pr) {
      if (!std::isnan(p.recall) && !std::isnan(p.precision)) {
        curve.points.push_back({p.recall, p.precision});
      }
    }
    std::sort(curve.points.begin(), curve.points.end(),
              [](const CurvePoint& a, const CurvePoint& b) {
                return a.x < b.x || (a.x == b.x && a.y > b.y);
              });
    const double recall = j.score->metric("recall").value;
    const double precision = j.score->metric("precision").value;
    if (!std::isnan(recall) && !std::isnan(precision)) curve.marks.push_back({recall, precision});
    pr.push_back(std::move(curve));
  }
  section.plots.push_back(
      CurvesSvg("Recall and precision of events", "recall", "precision", 1, pr));
  return section;
}

// Hits of violations by the values of a column, and what the oracle foresaw of those it looked at.
Section By(const std::string& column, const std::string& title, absl::Span<const Judged> judged,
           const std::vector<std::pair<std::string, Metric>>* oracle, bool plot) {
  Section section;
  section.title = title;
  std::vector<std::string> values;
  std::vector<std::string> head = {"predictor"};
  if (judged.empty()) return section;
  for (const GroupScore& g : judged[0].score->groups) {
    if (g.column != column) continue;
    values.push_back(g.value);
    head.push_back((g.value.empty() ? "(none)" : g.value) + " (" + std::to_string(g.violations) +
                   ")");
  }
  section.table.push_back(std::move(head));
  std::vector<BarGroup> bars;
  for (const std::string& value : values) bars.push_back({value, {}});
  std::vector<std::string> names;
  const auto cell = [](double part, double whole) {
    return whole > 0 ? Number(std::round(1000 * part / whole) / 10) + " %" : std::string("-");
  };
  for (const Judged& j : judged) {
    std::vector<std::string> row = {j.name};
    names.push_back(j.name);
    for (std::size_t i = 0; i < values.size(); ++i) {
      // Who was asked about fewer runs may have met none of them.
      const auto& groups = j.score->groups;
      const auto g = std::find_if(groups.begin(), groups.end(), [&](const GroupScore& each) {
        return each.column == column && each.value == values[i];
      });
      const double hits = g == groups.end() ? 0 : static_cast<double>(g->hits);
      const double of = g == groups.end() ? 0 : static_cast<double>(g->violations);
      row.push_back(cell(hits, of));
      bars[i].values.push_back(of > 0 ? hits / of : NAN);
    }
    section.table.push_back(std::move(row));
  }
  if (oracle != nullptr) {
    std::vector<std::string> row = {"oracle"};
    names.emplace_back("oracle");
    for (std::size_t i = 0; i < values.size(); ++i) {
      const auto found = std::find_if(oracle->begin(), oracle->end(),
                                      [&](const auto& entry) { return entry.first == values[i]; });
      row.push_back(found == oracle->end() ? "not asked" : OfText(found->second));
      bars[i].values.push_back(found == oracle->end() ? NAN : found->second.value);
    }
    section.table.push_back(std::move(row));
  }
  if (plot) section.plots.push_back(BarsSvg(title, names, bars));
  return section;
}

Section Culprits(absl::Span<const Judged> judged) {
  Section section;
  section.title = "Culprits rightly named, of the hits, by cause";
  std::set<std::string> causes;
  for (const Judged& j : judged) {
    for (const GroupScore& g : j.score->groups) {
      if (g.column == "cause") causes.insert(g.value);
    }
  }
  section.table = {{"predictor"}};
  section.table[0].insert(section.table[0].end(), causes.begin(), causes.end());
  for (const Judged& j : judged) {
    std::vector<std::string> row = {j.name};
    for (const std::string& cause : causes) {
      std::string text = "-";
      for (const GroupScore& g : j.score->groups) {
        if (g.column == "cause" && g.value == cause && g.culprits_known > 0) {
          text = std::to_string(g.culprits_right) + " of " + std::to_string(g.culprits_known);
        }
      }
      row.push_back(text);
    }
    section.table.push_back(std::move(row));
  }
  return section;
}

Section Leads(absl::Span<const Judged> judged, const OracleSummary& oracle) {
  Section section;
  section.title = "Recall by lead";
  section.text = "Alarms at least so long before the violation, 2 s at most.";
  std::vector<std::int64_t> leads;
  constexpr std::string_view kPrefix = "recall_lead_";
  if (!judged.empty()) {
    for (const auto& [id, metric] : judged[0].score->metrics) {
      if (id.rfind(kPrefix, 0) == 0) leads.push_back(std::stoll(id.substr(kPrefix.size())));
    }
  }
  section.table = {{"predictor"}};
  for (const std::int64_t lead : leads) section.table[0].push_back(std::to_string(lead) + " ms");
  std::vector<Curve> curves;
  for (const Judged& j : judged) {
    std::vector<std::string> row = {j.name};
    Curve curve{j.name, {}, {}};
    for (const std::int64_t lead : leads) {
      const Metric& metric = j.score->metric(std::string(kPrefix) + std::to_string(lead));
      row.push_back(MetricText(metric));
      if (!std::isnan(metric.value)) {
        curve.points.push_back({static_cast<double>(lead), metric.value});
      }
    }
    section.table.push_back(std::move(row));
    curves.push_back(std::move(curve));
  }
  std::vector<std::string> row = {"oracle"};
  Curve seen{"oracle", {}, {}};
  for (const std::int64_t lead : leads) {
    const auto found = std::find_if(oracle.by_lead.begin(), oracle.by_lead.end(),
                                    [&](const auto& entry) { return entry.first == lead; });
    row.push_back(found == oracle.by_lead.end() ? "not asked" : MetricText(found->second));
  }
  for (const auto& [lead, metric] : oracle.by_lead) {
    if (!std::isnan(metric.value)) seen.points.push_back({static_cast<double>(lead), metric.value});
  }
  section.table.push_back(std::move(row));
  if (!seen.points.empty()) curves.push_back(std::move(seen));
  section.plots.push_back(
      CurvesSvg("Recall by lead", "ms before the violation", "recall", 2000, curves));
  return section;
}

Section OfOracle(const OracleSummary& oracle) {
  Section section;
  section.title = "The oracle";
  section.text =
      "Futures forked from the simulator's whole state with fresh random numbers, without the "
      "faults "
      "that had not begun: it alarms where at least half of them violate within the horizon (" +
      std::to_string(oracle.horizon_ms) + " ms unless said otherwise).";
  section.table = {{"", "foreseen", "of"}};
  const auto add = [&](const std::string& what, const Metric& metric) {
    section.table.push_back({what, MetricText(metric), std::to_string(metric.of)});
  };
  add("violations", oracle.recall);
  for (const auto& [lead, metric] : oracle.by_lead) {
    add(std::to_string(lead) + " ms before, or earlier", metric);
  }
  for (const auto& [horizon, metric] : oracle.by_horizon) {
    add("with a horizon of " + std::to_string(horizon) + " ms", metric);
  }
  for (const auto& [cause, metric] : oracle.by_cause) add("cause " + cause, metric);
  for (const auto& [onset, metric] : oracle.by_onset) add("onset " + onset, metric);
  add("quiet ticks at which it alarms", oracle.quiet_alarms);
  return section;
}

Section OracleByCauseAndLead(const OracleSummary& oracle) {
  Section section;
  section.title = "What the oracle foresees, by cause and lead";
  section.text = "So long before the violation, or earlier.";
  section.table = {{"cause", "violations"}};
  for (const auto& [lead, metric] : oracle.by_lead) {
    section.table[0].push_back(std::to_string(lead) + " ms");
  }
  const auto add = [&](const std::string& cause, const auto& by_lead) {
    std::vector<std::string> row = {cause, ""};
    for (const auto& [lead, metric] : by_lead) {
      row[1] = std::to_string(metric.of);
      row.push_back(MetricText(metric));
    }
    section.table.push_back(std::move(row));
  };
  for (const auto& [cause, by_lead] : oracle.by_cause_and_lead) {
    add(cause.empty() ? "(none)" : cause, by_lead);
  }
  add("all", oracle.by_lead);
  return section;
}

// Mean and range over the training seeds: "trees", "trees@2", ...
Section Seeds(absl::Span<const Judged> judged) {
  std::map<std::string, std::vector<const Score*>> families;
  double hours = 0, whole = 0;
  for (const Judged& j : judged) {
    const Score* const score = j.part == nullptr ? j.score : j.part;
    families[j.name.substr(0, j.name.find('@'))].push_back(score);
    if (j.name.find('@') != std::string::npos) hours = score->hours;
    whole = std::max(whole, j.score->hours);
  }
  Section section;
  section.title = "Over the training seeds";
  section.text =
      "Logistic regression has one: its loss has one minimum, and another seed would only draw "
      "other "
      "quiet ticks.";
  if (hours < whole) section.text += " On the first " + Number(hours) + " hours of the test runs.";
  section.table = {{"predictor", "seeds", "recall", "precision", "false alarms/h",
                    "culprit right, of the hits"}};
  for (const auto& [name, scores] : families) {
    if (scores.size() < 2) continue;
    std::vector<std::string> row = {name, std::to_string(scores.size())};
    for (const char* id : {"recall", "precision", "false_alarms_per_hour", "culprit_top1"}) {
      double sum = 0, low = INFINITY, high = -INFINITY;
      for (const Score* score : scores) {
        const double value = score->metric(id).value;
        sum += value, low = std::min(low, value), high = std::max(high, value);
      }
      row.push_back(Number(sum / static_cast<double>(scores.size())) + " (" + Number(low) + " to " +
                    Number(high) + ")");
    }
    section.table.push_back(std::move(row));
  }
  return section;
}

}  // namespace

OracleSummary Summarize(absl::Span<const OracleLook> looks, std::int64_t horizon_ms) {
  OracleSummary summary;
  summary.horizon_ms = horizon_ms;
  std::set<std::int64_t> leads;
  // By violation: its looks.
  std::map<std::tuple<std::string, std::int64_t>, std::vector<const OracleLook*>> violations;
  Tally quiet;
  for (const OracleLook& look : looks) {
    if (look.row.quiet) {
      quiet.Add(look.row.Alarms(horizon_ms));
      continue;
    }
    leads.insert(look.row.start_ms - look.row.time_ms);
    // Runs start at the same time: two of them may have a violation of the same start.
    violations[{look.run + "\n" + look.row.request_class, look.row.start_ms}].push_back(&look);
  }
  const auto foreseen = [](const std::vector<const OracleLook*>& of, std::int64_t lead_ms,
                           std::int64_t within_ms) {
    return std::any_of(of.begin(), of.end(), [&](const OracleLook* look) {
      return look->row.start_ms - look->row.time_ms >= lead_ms && look->row.Alarms(within_ms);
    });
  };
  std::set<std::int64_t> horizons = {horizon_ms};
  for (const std::int64_t within : {300, 1000}) {
    if (within < horizon_ms) horizons.insert(within);
  }
  Tally all;
  std::map<std::int64_t, Tally> by_lead, by_horizon;
  std::map<std::string, Tally> by_cause, by_onset;
  std::map<std::string, std::map<std::int64_t, Tally>> by_cause_and_lead;
  for (const auto& [key, of] : violations) {
    const bool seen = foreseen(of, 100, horizon_ms);
    all.Add(seen);
    by_cause[of.front()->cause].Add(seen);
    by_onset[of.front()->onset].Add(seen);
    for (const std::int64_t lead : leads) {
      const bool early = foreseen(of, lead, horizon_ms);
      by_lead[lead].Add(early);
      by_cause_and_lead[of.front()->cause][lead].Add(early);
    }
    for (const std::int64_t within : horizons) by_horizon[within].Add(foreseen(of, 100, within));
  }
  summary.recall = all.metric();
  summary.quiet_alarms = quiet.metric();
  summary.by_lead = Metrics(by_lead);
  summary.by_horizon = Metrics(by_horizon);
  summary.by_cause = Metrics(by_cause);
  summary.by_onset = Metrics(by_onset);
  for (const auto& [cause, tallies] : by_cause_and_lead) {
    summary.by_cause_and_lead.emplace_back(cause, Metrics(tallies));
  }
  return summary;
}

std::vector<std::string> NotesOf(const ScenarioSet& set, absl::Span<const Judged> judged,
                                 bool per_application) {
  std::vector<std::string> notes;
  const auto describe = [&](const SetPlan& plan) {
    return std::to_string(plan.runs) + " x " + Number(plan.minutes) + " min with " +
           Number(plan.severe_per_hour) + " severe and " + Number(plan.harmless_per_hour) +
           " harmless faults an hour";
  };
  notes.push_back(
      "Simulated (benchmarks/cluster), never a cluster's result. Training: " + describe(set.train) +
      ". Validation: " + describe(set.validation) + ". Test: " + describe(set.test) +
      ", each service's time changed by up to " + Number(100 * set.test.service_time_spread) +
      " %. No run, placement, seed, load or schedule of faults is in two of them.");
  if (!judged.empty()) {
    const Score& first = *judged.front().score;
    notes.push_back(
        std::to_string(first.violations.size()) + " violations in " + Number(first.hours) +
        " hours of the test runs, " +
        Number(static_cast<double>(first.violations.size()) / std::max(first.hours, 1e-9)) +
        " an hour, each " + (per_application ? "application" : "request class") +
        " counted for itself. Horizon of the forecasts: " + std::to_string(set.horizon_ms) +
        " ms. Thresholds: the highest recall on the validation "
        "runs with at most " +
        Number(set.false_alarms_per_hour) + " false alarms an hour besides near misses.");
  }
  if (set.training.variant_runs > 0 && set.training.variant_runs < set.test.runs) {
    notes.push_back("Variants of seer and further training seeds were asked about the first " +
                    std::to_string(set.training.variant_runs) +
                    " test runs, and are compared with the others on these.");
  }
  std::string held = "Never in training or validation: ";
  for (const std::string& name : set.culprits) held += name + ", ";
  for (const std::string& name : set.causes) held += name + ", ";
  if (!set.culprits.empty() || !set.causes.empty()) {
    notes.push_back(held.substr(0, held.size() - 2) + ".");
  }
  return notes;
}

std::vector<Section> OracleSections(const OracleSummary& oracle) {
  return {OfOracle(oracle), OracleByCauseAndLead(oracle)};
}

std::vector<Section> Sections(absl::Span<const Judged> all, const OracleSummary& oracle) {
  std::vector<Judged> judged;  // of several training seeds the first
  for (const Judged& j : all) {
    if (j.name.find('@') == std::string::npos) judged.push_back(j);
  }
  std::vector<Section> sections = {Main(judged)};
  sections.push_back(By("cause", "Recall by cause", judged, &oracle.by_cause, true));
  sections.push_back(Culprits(judged));
  sections.push_back(Leads(judged, oracle));
  for (Section& section : OracleSections(oracle)) sections.push_back(std::move(section));
  sections.push_back(
      By("foreseeable", "Recall of what the oracle foresees", judged, nullptr, false));
  sections.push_back(By("onset", "Recall by onset", judged, &oracle.by_onset, false));
  sections.push_back(
      By("reason", "Recall by what the violation is of its fault", judged, nullptr, false));
  sections.push_back(By("kind", "Recall by kind of fault", judged, nullptr, false));
  sections.push_back(
      By("unseen_culprit", "Culprits never met in training", judged, nullptr, false));
  sections.push_back(By("unseen_cause", "Causes never met in training", judged, nullptr, false));
  Section seeds = Seeds(all);
  if (seeds.table.size() > 1) sections.push_back(std::move(seeds));
  return sections;
}

}  // namespace seer::evaluation
