// seer eval: how good a model is on recorded runs whose violations are known.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "examples/seer/args.h"
#include "examples/seer/eval_command.h"
#include "examples/seer/recorded.h"
#include "seer/predict/listen.h"

namespace seer_tool {
namespace {

// A share of events, or a number, with its 95 % interval where one is known.
struct Metric {
  std::string name;
  double value = 0, low = NAN, high = NAN;
  std::uint64_t of = 0;  // 0: no share
};

Metric Share(std::string name, std::uint64_t part, std::uint64_t whole) {  // Wilson
  Metric m{std::move(name), NAN, 0, 1, whole};
  if (whole == 0) return m;
  const double n = static_cast<double>(whole), p = static_cast<double>(part) / n;
  constexpr double kZ = 1.959964;
  const double middle = (p + kZ * kZ / (2 * n)) / (1 + kZ * kZ / n);
  const double half = kZ * std::sqrt(p * (1 - p) / n + kZ * kZ / (4 * n * n)) / (1 + kZ * kZ / n);
  m.value = p;
  m.low = std::max(0.0, middle - half);
  m.high = std::min(1.0, middle + half);
  return m;
}

// Events an hour; Poisson's interval, by the square root's normal approximation.
Metric Rate(std::string name, std::uint64_t events, double hours) {
  Metric m{std::move(name), NAN, NAN, NAN, 0};
  if (!(hours > 0)) return m;
  const double root = std::sqrt(static_cast<double>(events) + 0.375);
  m.value = static_cast<double>(events) / hours;
  m.low = events == 0 ? 0 : std::pow(std::max(0.0, root - 0.98), 2) / hours;
  m.high = std::pow(root + 0.98, 2) / hours;
  return m;
}

std::vector<Metric> Judge(const std::vector<seer::HeardRun>& runs, std::int64_t horizon_ns) {
  std::uint64_t violations = 0, hits = 0, late = 0, false_alarms = 0, near = 0, right = 0,
                known = 0;
  double hours = 0;
  std::vector<double> leads_ms;
  std::vector<seer::SaidAndCame> said;
  constexpr std::int64_t kLeadsMs[] = {0, 100, 300, 1000};
  std::uint64_t by_lead[std::size(kLeadsMs)] = {};
  for (const seer::HeardRun& run : runs) {
    hours += run.hours;
    for (const seer::HeardClass& one : run.classes) {
      const seer::AlarmScore score = seer::ScoreAlarms(one.alarms);
      violations += one.violations.size();
      hits += score.hits;
      late += score.late;
      false_alarms += score.false_alarms;
      near += score.near_misses;
      for (const seer::ScoredAlarm& alarm : score.alarms) {
        const int blamed = seer::BlamedRightly(one, alarm);
        known += blamed >= 0 ? 1 : 0;
        right += blamed > 0 ? 1 : 0;
        if (alarm.outcome != seer::AlarmOutcome::kHit) continue;
        leads_ms.push_back(static_cast<double>(one.violations[alarm.violation].start_ns -
                                               one.alarms.times_ns[alarm.tick]) /
                           1e6);
      }
      for (std::size_t i = 0; i < std::size(kLeadsMs); ++i) {
        seer::AlarmRules rules;
        rules.action_lead_ns = kLeadsMs[i] * 1'000'000;
        by_lead[i] += seer::ScoreAlarms(one.alarms, rules).hits;
      }
      const std::vector<seer::SaidAndCame> more = seer::SaidAt(one.forecasts, 0, horizon_ns);
      said.insert(said.end(), more.begin(), more.end());
    }
  }
  std::vector<Metric> metrics = {{"hours", hours, NAN, NAN, 0},
                                 {"violations", static_cast<double>(violations), NAN, NAN, 0},
                                 Share("recall", hits, violations),
                                 Share("precision", hits, hits + false_alarms),
                                 Rate("false alarms an hour", false_alarms, hours),
                                 Rate("of these near misses", near, hours),
                                 Share("culprit right, of the hits", right, known),
                                 {"late alarms", static_cast<double>(late), NAN, NAN, 0}};
  for (std::size_t i = 0; i < std::size(kLeadsMs); ++i) {
    metrics.push_back(
        Share(absl::StrCat("recall with a lead of ", kLeadsMs[i], " ms"), by_lead[i], violations));
  }
  std::sort(leads_ms.begin(), leads_ms.end());
  metrics.push_back(
      {"median lead ms", leads_ms.empty() ? NAN : leads_ms[leads_ms.size() / 2], NAN, NAN, 0});
  metrics.push_back({"calibration error", seer::CalibrationError(said), NAN, NAN, 0});
  metrics.push_back(
      {"calibration error from 0.05 on", seer::CalibrationError(said, 0.05), NAN, NAN, 0});
  return metrics;
}

absl::Status Evaluate(const std::string& model, const std::vector<std::string>& datasets,
                      const std::string& labels, double threshold, bool json_wanted) {
  auto chosen = ChoosePredictor(model, threshold);
  if (!chosen.ok()) return chosen.status();
  const auto readers = OpenAll(datasets);
  if (!readers.ok()) return readers.status();
  const auto parts = PartsOf(*readers, std::nullopt, labels);
  if (!parts.ok()) return parts.status();
  std::vector<seer::HeardRun> heard;
  std::size_t violations = 0;
  for (const seer::LabelledRun& run : LabelledRunsOf(*parts)) {
    auto one = seer::Listen(run, chosen->predictor.get(), {chosen->horizon_ns});
    if (!one.ok()) return one.status();
    violations += run.violations.size();
    heard.push_back(*std::move(one));
  }
  if (violations == 0) {
    return absl::InvalidArgumentError(
        "the datasets have no violations: label them first (`seer label`)");
  }
  const std::vector<Metric> metrics = Judge(heard, chosen->horizon_ns);
  if (json_wanted) {
    JsonWriter json;
    json.Open('{').Key("predictor").Text(chosen->predictor->name());
    json.Key("horizon_ms").Integer(chosen->horizon_ns / 1'000'000);
    for (const Metric& m : metrics) {
      json.Key(m.name).Open('{').Key("value").Number(m.value);
      if (!std::isnan(m.low)) json.Key("low").Number(m.low).Key("high").Number(m.high);
      if (m.of > 0) json.Key("of").Integer(static_cast<std::int64_t>(m.of));
      json.Close('}');
    }
    json.Close('}').Print();
    return absl::OkStatus();
  }
  std::vector<std::vector<std::string>> rows = {{"", "value", "95 % interval", "of"}};
  for (const Metric& m : metrics) {
    rows.push_back({m.name, std::isnan(m.value) ? "-" : Short(m.value),
                    std::isnan(m.low) ? "" : absl::StrCat(Short(m.low), " .. ", Short(m.high)),
                    m.of > 0 ? std::to_string(m.of) : ""});
  }
  PrintTable(rows);
  return absl::OkStatus();
}

}  // namespace

EvalCommand::EvalCommand(CLI::App& app)
    : command_(app.add_subcommand("eval", "how good a model is on labelled recordings")) {
  command_->add_option("MODEL", model_, "of `seer train`; or the name of a predictor without one")
      ->required();
  command_->add_option("DATASET", datasets_)->required();
  command_->add_option("--threshold", threshold_, "of the alarm; without it the model's")
      ->check(CLI::PositiveNumber);
  command_->add_option("--labels", labels_, "source of the violations, where there are several");
  command_->add_flag("--json", json_);
  command_->footer(
      "An alarm foresees a violation of its class that starts 0.1 to 2 s later, one to one. Judge "
      "a\n"
      "model by runs that it was neither trained nor validated with.\n"
      "  seer eval shop.model sunday.seerdata\n"
      "  seer eval self-depth-z sunday.seerdata --json");
}

int EvalCommand::Run() const {
  if (!*command_) return -1;
  const absl::Status status = Evaluate(model_, datasets_, labels_, threshold_, json_);
  return status.ok() ? kOk : Fail(status);
}

}  // namespace seer_tool
