#include "benchmarks/evaluation/recordings.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <system_error>
#include <utility>

#include "benchmarks/evaluation/csv.h"
#include "benchmarks/evaluation/events.h"
#include "benchmarks/evaluation/report_text.h"
#include "benchmarks/evaluation/simulate.h"
#include "seer/dataset/importer.h"
#include "seer/predict/rivals.h"

namespace seer::evaluation {
namespace {

struct Known {
  const char* name;
  std::int64_t target_ms;
  std::uint32_t at_least_ppm;  // of the requests of a second over the target: a violation
  const char* culprit;         // of the surges; null: none
};
// As the labels say: "trailing 1.0s >=25% over SLO".
constexpr Known kKnown[] = {{"bb_sat_a", 1000, 250'000, "post"},
                            {"bb_500rps_a", 90, 20'000, nullptr},
                            {"bb_100rps_normal", 90, 20'000, nullptr},
                            {"bb_10rps_normal", 150, 100'000, nullptr}};
constexpr std::int64_t kSurgeMs = 5000, kAheadMs = 500;

absl::StatusOr<std::vector<Span>> ViolationsIn(const std::string& path) {
  auto bytes = ReadFile(path);
  if (!bytes.ok()) return bytes.status();
  std::vector<Span> spans;
  for (std::size_t at = 0; at < bytes->size();) {
    const std::size_t end = std::min(bytes->find('\n', at), bytes->size());
    const std::string line = bytes->substr(at, end - at);
    at = end + 1;
    if (line.rfind("violation,", 0) != 0) continue;
    const std::size_t comma = line.find(',', 10);
    if (comma == std::string::npos) {
      return absl::InvalidArgumentError(path + ": a violation without an end");
    }
    // It starts at the end of the first tick that breaches; the label has that tick's start.
    spans.push_back(
        {std::atoll(line.c_str() + 10) / 1000 + 100, std::atoll(line.c_str() + comma + 1) / 1000});
  }
  return spans;
}

struct Said {
  std::vector<Moment> moments;
  std::vector<std::string> blamed;
};

absl::StatusOr<Said> Ask(const std::string& ticks, TickPredictor* predictor) {
  Said said;
  Forecast forecast;
  predictor->Reset();
  const absl::Status status =
      ForEachTick(ticks, [&](const ClusterTick& tick, const Topology& topology) {
        absl::Status observed = predictor->Observe(tick, topology, &forecast);
        if (!observed.ok()) return observed;
        for (const ClassForecast& row : forecast.classes) {  // there is one class
          said.moments.push_back({tick.period.EndNs(tick.tick) / 1'000'000, row.alarm});
          const bool service = !row.initiators.empty() && !row.initiators.front().is_load();
          said.blamed.push_back(service ? topology.service(row.initiators.front().service).name
                                        : "load");
        }
        return absl::OkStatus();
      });
  if (!status.ok()) return status;
  return said;
}

HeardPredictor Judge(std::string name, const Said& said, const std::vector<Span>& violations,
                     const Known& known) {
  HeardPredictor heard;
  heard.name = std::move(name);
  const Rules rules;
  std::vector<std::int64_t> starts_ms;
  const std::vector<std::size_t> starts = AlarmStarts(said.moments, rules);
  for (const std::size_t i : starts) {
    const std::int64_t at = said.moments[i].time_ms;
    starts_ms.push_back(at);
    ++heard.alarms;
    heard.outside += std::none_of(violations.begin(), violations.end(), [&](const Span& v) {
      return v.start_ms - rules.longest_lead_ms <= at && at <= v.end_ms;
    });
  }
  for (const std::int32_t alarm :
       MatchAlarms(starts_ms, violations, rules.action_lead_ms, rules.longest_lead_ms)) {
    heard.violations_foreseen += alarm >= 0;
  }
  if (known.culprit == nullptr) return heard;
  const auto ahead = MatchAlarms(starts_ms, violations, kAheadMs, rules.longest_lead_ms);
  for (std::size_t v = 0; v < violations.size(); ++v) {
    if (violations[v].end_ms - violations[v].start_ms < kSurgeMs || ahead[v] < 0) continue;
    const auto alarm = static_cast<std::size_t>(ahead[v]);
    ++heard.foreseen;
    heard.hits += said.blamed[starts[alarm]] == known.culprit;
    heard.leads_ms.push_back(violations[v].start_ms - starts_ms[alarm]);
  }
  return heard;
}

}  // namespace

absl::StatusOr<std::vector<HeardRecording>> JudgeRecordings(const std::string& folder,
                                                            const std::string& scratch,
                                                            const TreeModel& model) {
  std::error_code error;
  std::filesystem::create_directories(scratch, error);
  if (error) return absl::UnavailableError(scratch + ": " + error.message());
  std::vector<HeardRecording> recordings;
  for (const Known& known : kKnown) {
    const std::string base = folder + "/" + known.name;
    if (!std::filesystem::exists(base + ".rpc.csv.gz", error)) continue;
    auto violations = ViolationsIn(base + ".labels.csv");
    if (!violations.ok()) return violations.status();
    const std::string dataset = scratch + "/" + known.name + ".seerdata";
    std::filesystem::remove(dataset, error);
    ImportOptions options;
    options.request_class = "all";
    // "at least x %" is more than a millionth less.
    options.target = {known.target_ms * 1'000'000, known.at_least_ppm - 1, 1000, 1};
    auto imported = ImportToFile(ImportFormat::kRpcCsv, {base + ".rpc.csv.gz"}, dataset, options);
    if (!imported.ok()) return imported.status();

    HeardRecording recording;
    recording.name = known.name;
    recording.minutes = static_cast<double>(imported->ticks) / 600;
    recording.violations = violations->size();
    for (const Span& v : *violations) {
      recording.surges += known.culprit != nullptr && v.end_ms - v.start_ms >= kSurgeMs;
    }
    std::vector<std::unique_ptr<TickPredictor>> predictors;
    TreePredictorOptions own;
    own.name = "seer";
    auto trained = MakeTreePredictor(model, own);
    if (!trained.ok()) return trained.status();
    predictors.push_back(*std::move(trained));
    for (const RivalKind kind : kAllRivals) {
      if (kind == RivalKind::kRandom) continue;
      auto rival = MakeRival(kind);
      if (!rival.ok()) return rival.status();
      predictors.push_back(*std::move(rival));
    }
    for (const auto& predictor : predictors) {
      auto said = Ask(dataset, predictor.get());
      if (!said.ok()) return said.status();
      recording.predictors.push_back(
          Judge(std::string(predictor->name()), *said, *violations, known));
    }
    recordings.push_back(std::move(recording));
  }
  return recordings;
}

Section RecordingsSection(const std::vector<HeardRecording>& recordings) {
  Section section;
  section.title = "Recordings of BuzzBlog";
  section.text =
      "Real recordings; the model knows the simulator only, the rivals have the thresholds that "
      "they "
      "have without anything learnt. A surge is foreseen 0.5 to 2 s ahead, a violation 0.1 to 2 s; "
      "alarms outside are neither within the 2 s before a violation nor during one.";
  section.table = {{"recording", "predictor", "surges foreseen", "and `post` named", "leads, ms",
                    "violations foreseen", "alarms", "alarms outside"}};
  for (const HeardRecording& r : recordings) {
    for (const HeardPredictor& p : r.predictors) {
      std::string leads;
      for (const std::int64_t lead : p.leads_ms) {
        leads += (leads.empty() ? "" : ", ") + std::to_string(lead);
      }
      const std::string of = " of " + std::to_string(r.surges);
      section.table.push_back(
          {r.name + " (" + Number(r.minutes) + " min)", p.name, std::to_string(p.foreseen) + of,
           std::to_string(p.hits) + of, leads,
           std::to_string(p.violations_foreseen) + " of " + std::to_string(r.violations),
           std::to_string(p.alarms), std::to_string(p.outside)});
    }
  }
  return section;
}

std::vector<PredictFigure> RecordingFigures(const std::vector<HeardRecording>& recordings) {
  std::uint64_t surges = 0, hits = 0, foreseen = 0, outside = 0, alarms = 0;
  for (const HeardRecording& r : recordings) {
    if (r.predictors.empty()) continue;
    const HeardPredictor& model = r.predictors.front();
    surges += r.surges;
    hits += model.hits;
    foreseen += model.foreseen;
    outside += model.outside;
    alarms += model.alarms;
  }
  const auto count = [](std::uint64_t value, std::uint64_t of) {
    return Metric{static_cast<double>(value), NAN, NAN, of};
  };
  if (recordings.empty()) return {};
  return {{"predict.buzzblog_hits", "of " + std::to_string(surges), count(hits, surges)},
          {"predict.buzzblog_foreseen", "of " + std::to_string(surges), count(foreseen, surges)},
          {"predict.buzzblog_outside_alarms", "", count(outside, alarms)}};
}

}  // namespace seer::evaluation
