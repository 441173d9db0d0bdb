// seer forecast: each tick of a recorded run through a predictor.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <map>
#include <memory>
#include <vector>

#include "absl/strings/str_cat.h"
#include "examples/seer/args.h"
#include "examples/seer/eval_command.h"
#include "examples/seer/forecast_command.h"
#include "examples/seer/model_commands.h"
#include "seer/dataset/reader.h"
#include "seer/nn/checkpoint.h"
#include "seer/predict/model_predictor.h"
#include "seer/predict/rivals.h"
#include "seer/predict/tree_model.h"

namespace seer_tool {
namespace {

constexpr std::int64_t kMs = 1'000'000;
// An alarm foresees a violation that starts so much later, and counts anew when it lasts longer.
constexpr std::int64_t kLeastLeadNs = 100 * kMs, kMostLeadNs = 2000 * kMs;

// One that begins, or has lasted for so long that it counts anew.
struct Alarm {
  std::int64_t at_ns;
  std::string request_class, culprit;
  float share, probability;
  const seer::DatasetEvent* foresaw = nullptr;
  bool late = false;  // less than that ahead, during one, or in the half second after
};

std::string LabelOf(const seer::RequestClass& row) {
  return row.application.empty() ? row.name : absl::StrCat(row.application, "/", row.name);
}
std::string NameOf(const seer::Initiator& initiator, const seer::Topology& topology) {
  return initiator.is_load() ? "load" : topology.service(initiator.service).name;
}

// To each violation the first alarm that foresees it, one to one.
void Match(const std::vector<seer::DatasetEvent>& events, std::vector<Alarm>* alarms) {
  for (const seer::DatasetEvent& event : events) {
    if (event.kind != seer::DatasetEventKind::kViolation) continue;
    for (Alarm& alarm : *alarms) {
      const std::int64_t lead = event.start_ns - alarm.at_ns;
      if (alarm.foresaw != nullptr || lead < kLeastLeadNs || lead > kMostLeadNs) continue;
      alarm.foresaw = &event;
      break;
    }
    for (Alarm& alarm : *alarms) {
      alarm.late = alarm.late || (alarm.at_ns > event.start_ns - kLeastLeadNs &&
                                  alarm.at_ns <= event.end_ns + 500 * kMs);
    }
  }
}

absl::Status Forecast(const std::string& model, const std::string& dataset, std::uint32_t run,
                      double threshold, double horizon_ms, bool csv, bool json) {
  auto chosen = ChoosePredictor(model, threshold);
  if (!chosen.ok()) return chosen.status();
  const std::int64_t horizon_ns =
      horizon_ms > 0 ? std::llround(horizon_ms * static_cast<double>(kMs)) : chosen->horizon_ns;
  auto reader = seer::DatasetReader::Open(dataset);
  if (!reader.ok()) return reader.status();
  if (run >= reader->manifest().runs.size()) return NoSuchRun(run);
  const auto topology = reader->LatestTopology(run);
  if (!topology.ok()) return topology.status();
  const auto events = reader->Events(run);
  if (!events.ok()) return events.status();

  if (csv) std::printf("time_ms,horizon_ms,class,p_violation,alarm,culprit,p_culprit\n");
  std::vector<Alarm> alarms;
  std::map<std::uint32_t, std::int64_t> alarm_since;  // by class
  seer::Forecast forecast;
  seer::ClusterTick tick;
  for (seer::TickCursor cursor = reader->Ticks(run);;) {
    const auto more = cursor.Next(&tick);
    if (!more.ok()) continue;  // a damaged block: `seer inspect --check` tells of it
    if (!*more) break;
    const absl::Status status = chosen->predictor->Observe(tick, *topology, &forecast);
    if (!status.ok()) return status;
    const std::int64_t now_ns = tick.period.EndNs(tick.tick);
    for (const seer::ClassForecast& row : forecast.classes) {
      const seer::Initiator* const first = row.initiators.empty() ? nullptr : &row.initiators[0];
      const std::string culprit = first == nullptr ? "" : NameOf(*first, *topology);
      const float share = first == nullptr ? 0 : first->probability;
      const float probability = seer::ProbabilityWithin(row, horizon_ns);
      const std::string label = LabelOf(topology->request_class(row.request_class));
      if (csv) {
        std::printf("%lld,%lld,%s,%.6g,%d,%s,%.6g\n", static_cast<long long>(now_ns / kMs),
                    static_cast<long long>(horizon_ns / kMs), CsvField(label).c_str(),
                    static_cast<double>(probability), row.alarm ? 1 : 0, CsvField(culprit).c_str(),
                    static_cast<double>(share));
        continue;
      }
      const auto since = alarm_since.find(row.request_class.value());
      if (!row.alarm) {
        if (since != alarm_since.end()) alarm_since.erase(since);
      } else if (since == alarm_since.end() || now_ns - since->second >= kMostLeadNs) {
        alarm_since[row.request_class.value()] = now_ns;
        alarms.push_back({now_ns, label, culprit, share, probability});
      }
    }
  }
  if (csv) return absl::OkStatus();

  Match(*events, &alarms);
  if (json) {
    JsonWriter out;
    out.Open('{').Key("predictor").Text(chosen->predictor->name()).Key("alarms").Open('[');
    for (const Alarm& alarm : alarms) {
      out.Open('{').Key("time_ms").Integer(alarm.at_ns / kMs);
      out.Key("class").Text(alarm.request_class);
      out.Key("p_violation").Number(static_cast<double>(alarm.probability));
      out.Key("culprit").Text(alarm.culprit);
      out.Key("p_culprit").Number(static_cast<double>(alarm.share));
      if (alarm.foresaw != nullptr) {
        out.Key("lead_ms").Integer((alarm.foresaw->start_ns - alarm.at_ns) / kMs);
        out.Key("truth").Text(alarm.foresaw->culprit);
      } else {
        out.Key("late").Bool(alarm.late);
      }
      out.Close('}');
    }
    out.Close(']').Close('}').Print();
    return absl::OkStatus();
  }
  if (alarms.empty()) {
    std::printf("no alarm\n");
    return absl::OkStatus();
  }
  std::vector<std::vector<std::string>> rows = {
      {"class", "time", "probability", "initiator", "share", "lead", "truth"}};
  for (const Alarm& alarm : alarms) {
    const bool hit = alarm.foresaw != nullptr;
    rows.push_back({alarm.request_class, Seconds(alarm.at_ns),
                    Short(static_cast<double>(alarm.probability)), alarm.culprit,
                    Short(static_cast<double>(alarm.share)),
                    hit          ? Seconds(alarm.foresaw->start_ns - alarm.at_ns)
                    : alarm.late ? "late"
                                 : "-",
                    hit && !alarm.foresaw->culprit.empty() ? alarm.foresaw->culprit : "-"});
  }
  PrintTable(rows);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<ChosenPredictor> ChoosePredictor(const std::string& model, double threshold) {
  if (const auto rival = seer::RivalFromName(model)) {
    seer::RivalOptions options;
    options.threshold = threshold;
    auto made = seer::MakeRival(*rival, options);
    if (!made.ok()) return made.status();
    return ChosenPredictor{*std::move(made), options.alarm_horizon_ns};
  }
  if (seer::IsTreeModelFile(model)) {
    auto trees = seer::LoadTreeModel(model);
    if (!trees.ok()) return trees.status();
    if (threshold > 0) trees->calibration.threshold = threshold;
    const std::int64_t horizon_ns = trees->calibration.alarm_horizon_ns;
    auto made = seer::MakeTreePredictor(*std::move(trees));
    if (!made.ok()) return made.status();
    return ChosenPredictor{*std::move(made), horizon_ns};
  }
  auto checkpoint = seer::LoadCheckpoint(model);
  if (!checkpoint.ok()) {
    if (checkpoint.status().code() != absl::StatusCode::kNotFound) return checkpoint.status();
    std::string names;
    for (const seer::RivalKind kind : seer::kAllRivals) {
      absl::StrAppend(&names, names.empty() ? "" : ", ", std::string(seer::RivalName(kind)));
    }
    return absl::NotFoundError(absl::StrCat(model, ": no such file; without a model: ", names));
  }
  std::string& section = checkpoint->sections[seer::ModelCalibration::kSection];
  seer::ModelCalibration calibration;
  if (!section.empty()) {
    auto decoded = seer::DecodeModelCalibration(section);
    if (!decoded.ok()) return decoded.status();
    calibration = *decoded;
  }
  if (threshold > 0) calibration.threshold = threshold;
  section = seer::EncodeModelCalibration(calibration);
  auto made = seer::MakeModelPredictor(*checkpoint);
  if (!made.ok()) return made.status();
  return ChosenPredictor{*std::move(made), calibration.alarm_horizon_ns};
}

ForecastCommand::ForecastCommand(CLI::App& app)
    : command_(app.add_subcommand("forecast", "what would have been foreseen of a recorded run")) {
  command_->add_option("MODEL", model_, "of `seer train`; or the name of a predictor without one")
      ->required();
  command_->add_option("DATASET", dataset_)->required();
  command_->add_option("--run", run_);
  command_->add_option("--threshold", threshold_, "of the alarm; without it the model's")
      ->check(CLI::PositiveNumber);
  command_->add_option("--horizon-ms", horizon_ms_, "of the probability; without it the alarm's")
      ->check(CLI::PositiveNumber);
  command_->add_flag("--csv", csv_, "a line for each tick and class, as scorers read it");
  command_->add_flag("--json", json_);
  command_->footer(
      "Without --csv: the alarms, each with the recorded violation that it foresaw (0.1 to 2 s\n"
      "ahead), if there was one; \"late\" are those about a violation under way.\n"
      "  seer forecast shop.model friday.seerdata\n"
      "  seer forecast self-depth-z friday.seerdata --csv >forecasts.csv");
}

int ForecastCommand::Run() const {
  if (!*command_) return -1;
  const absl::Status status =
      Forecast(model_, dataset_, run_, threshold_, horizon_ms_, csv_, json_);
  return status.ok() ? kOk : Fail(status);
}

}  // namespace seer_tool
