#include "benchmarks/evaluation/evaluation.h"

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <map>
#include <memory>
#include <system_error>

#include "benchmarks/cluster/sim/substream.h"
#include "benchmarks/evaluation/by_application.h"
#include "benchmarks/evaluation/csv.h"
#include "benchmarks/evaluation/oracle_looks.h"
#include "benchmarks/evaluation/predict_figures.h"
#include "benchmarks/evaluation/recordings.h"
#include "benchmarks/evaluation/replay.h"
#include "benchmarks/evaluation/report_text.h"
#include "benchmarks/evaluation/simulate.h"
#include "benchmarks/evaluation/splits.h"
#include "benchmarks/evaluation/summary.h"
#include "benchmarks/evaluation/trace.h"
#include "benchmarks/evaluation/trained_predictor.h"
#include "benchmarks/evaluation/variants.h"

namespace seer::evaluation {
namespace {

std::string HashOf(std::string_view a, std::string_view b) {
  char text[17];
  std::snprintf(
      text, sizeof text, "%016llx",
      static_cast<unsigned long long>(cluster::Sub(cluster::KeyOf(a), cluster::KeyOf(b))));
  return text;
}

absl::Status MakeFolder(const std::string& path) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (error) return absl::UnavailableError(path + ": " + error.message());
  return absl::OkStatus();
}

class Evaluator {
 public:
  explicit Evaluator(const EvaluationOptions& options) : options_(options) {}

  absl::StatusOr<Evaluation> Everything() {
    struct Step {
      Stage stage;
      absl::Status (Evaluator::*run)();
    };
    for (const Step& step :
         {Step{Stage::kRuns, &Evaluator::MakePlan}, Step{Stage::kRuns, &Evaluator::Simulate},
          Step{Stage::kModels, &Evaluator::ReadTruths},
          Step{Stage::kModels, &Evaluator::ReadOracle}, Step{Stage::kModels, &Evaluator::Coarsen},
          Step{Stage::kModels, &Evaluator::Contend}, Step{Stage::kScores, &Evaluator::ScoreCsvs}}) {
      if (step.stage > options_.until) break;
      if (absl::Status status = (this->*step.run)(); !status.ok()) return status;
    }
    if (options_.until == Stage::kScores) return Conclude();
    Evaluation result;
    result.runs_folder = runs_folder_;
    return result;
  }

 private:
  // A contender, and what became of it.
  struct Entry {
    Contender contender;
    MakePredictor make;
    Fitted fitted;
    std::unique_ptr<Score> score;
    std::unique_ptr<Score> part;  // on the runs that limited ones were asked about, if there are
    bool left_out = false;
    bool outdone = false;  // by another form of the same on the validation runs
  };

  void Say(const std::string& what) const {
    if (options_.say) options_.say(what);
  }

  std::vector<std::string> NamesOf(std::string_view set) const {
    std::vector<std::string> names;
    for (const RunPlan& plan : runs_) {
      if (plan.set == set) names.push_back(plan.name);
    }
    return names;
  }

  absl::Status MakePlan() {
    auto json = ReadFile(options_.scenarios);
    if (!json.ok()) return json.status();
    auto set = ParseScenarioSet(options_.scenarios, *json);
    if (!set.ok()) return set.status();
    set_ = *std::move(set);
    runs_ = RunsOf(set_);
    auto digest = RunsDigest(set_, options_.graphs);
    if (!digest.ok()) return digest.status();
    runs_folder_ = options_.runs.empty() ? options_.folder + "/runs-" + *digest : options_.runs;
    const std::string key = HashOf(*digest, *json);
    const std::string form = options_.per_application ? "-applications" : "";
    ours_folder_ = options_.folder + "/forecasts-" + HashOf(key, options_.version) + form;
    rivals_folder_ = options_.folder + "/rivals-" + HashOf(key, options_.rivals_version) + form;
    for (const std::string& folder :
         {runs_folder_, ours_folder_, ours_folder_ + "/models", rivals_folder_}) {
      if (absl::Status status = MakeFolder(folder); !status.ok()) return status;
    }
    // Nothing is simulated before it is sure that no run, placement, seed, load or schedule of
    // faults is in two sets.
    std::vector<SplitRow> splits(runs_.size());
    const absl::Status prepared =
        ForEachInParallel(options_.jobs, runs_.size(), [&](std::size_t i) {
          auto run = Prepare(set_, runs_[i], options_.graphs);
          if (!run.ok()) return run.status();
          splits[i] = std::move(run->split);
          if (i == 0) workers_ = WorkersOf(*run->model);  // the same in every run
          return absl::OkStatus();
        });
    if (!prepared.ok()) return prepared;
    if (absl::Status status = CheckSplits(splits); !status.ok()) return status;
    std::string csv = "set,run,placement,seed,load,faults\n";
    for (const SplitRow& row : splits) {
      csv += row.set + "," + row.run;
      for (const auto& [trait, value] : row.traits) csv += "," + value;
      csv += "\n";
    }
    // What is there already is of the same placements, loads and faults.
    const std::string path = runs_folder_ + "/splits.csv";
    std::error_code error;
    if (std::filesystem::exists(path, error)) {
      auto there = ReadFile(path);
      if (!there.ok()) return there.status();
      if (*there == csv) return absl::OkStatus();
      return absl::FailedPreconditionError(path +
                                           ": the runs there are of another scenario set: "
                                           "take another folder, or remove it");
    }
    return WriteFile(path, csv);
  }

  absl::Status Simulate() {
    const OraclePlan& plan = set_.oracle;
    // The longest work first: test runs have the oracle.
    std::vector<std::size_t> order(runs_.size());
    for (std::size_t i = 0; i < order.size(); ++i) order[i] = order.size() - 1 - i;
    std::size_t missing = 0;
    for (const RunPlan& run : runs_) missing += !RunFiles(runs_folder_, run.name).done();
    if (missing > 0) {
      Say("simulating " + std::to_string(missing) + " of " + std::to_string(runs_.size()) +
          " runs");
    }
    return ForEachInParallel(options_.jobs, runs_.size(), [&](std::size_t i) {
      const RunPlan& run = runs_[order[i]];
      if (RunFiles(runs_folder_, run.name).done()) return absl::OkStatus();
      auto prepared = Prepare(set_, run, options_.graphs);
      if (!prepared.ok()) return prepared.status();
      OracleOptions oracle;
      oracle.futures = plan.futures;
      oracle.leads_ms = plan.leads_ms;
      oracle.horizon_ms = plan.horizon_ms;
      oracle.violations = oracle.quiet_ticks = 0;
      if (run.set == "test") {
        const std::uint32_t runs = set_.test.runs;
        oracle.violations = (plan.violations + runs - 1) / runs;
        oracle.quiet_ticks = (plan.quiet_ticks + runs - 1) / runs;
        oracle.ticks =
            static_cast<std::uint32_t>(run.minutes * 60'000 / static_cast<double>(set_.tick_ms));
      }
      return SimulateRun(set_, *prepared, oracle, runs_folder_);
    });
  }

  absl::Status ReadTruths() {
    for (const auto& [set, truth] :
         {std::pair("validation", &validation_), std::pair("test", &test_)}) {
      for (const std::string& name : NamesOf(set)) {
        const absl::Status status = ReadTruth(RunFiles(runs_folder_, name), truth);
        if (!status.ok()) return status;
      }
    }
    return absl::OkStatus();
  }

  absl::Status ReadOracle() {
    auto looks = ReadLooks(runs_folder_, NamesOf("test"), set_.oracle.horizon_ms, &test_);
    if (!looks.ok()) return looks.status();
    looks_ = *std::move(looks);
    return absl::OkStatus();
  }

  absl::Status Coarsen() {
    classes_ = test_;
    if (!options_.per_application) return absl::OkStatus();
    validation_ = ByApplication(validation_);
    test_ = ByApplication(test_);
    return absl::OkStatus();
  }

  absl::StatusOr<Trace> LoadTrace(const Entry& entry, const std::string& run) const {
    auto trace = Trace::Load(TracePath(entry, run));
    if (!trace.ok() || !options_.per_application) return trace;
    return ByApplication(*trace);
  }

  // Of the test runs, so many were to be shown to it.
  std::size_t TestRunsOf(const Entry& entry) const {
    const bool limited =
        entry.contender.variant || entry.contender.name.find('@') != std::string::npos;
    return limited ? LimitedRuns() : test_.runs.size();
  }
  std::size_t LimitedRuns() const {
    const std::size_t runs = set_.training.variant_runs;
    return runs == 0 ? test_.runs.size() : std::min(runs, test_.runs.size());
  }

  std::int64_t HorizonOf(const Entry& entry) const {
    return entry.contender.horizon_ms > 0 ? entry.contender.horizon_ms : set_.horizon_ms;
  }

  static bool IsOurs(const Entry& entry) {
    const std::string& name = entry.contender.name;
    return entry.contender.variant || name.substr(0, name.find('@')) == kTrainedPredictor ||
           name == RivalName(RivalKind::kRandom);  // as many alarms as ours, maybe
  }

  std::string FolderOf(const Entry& entry) const {
    return (IsOurs(entry) ? ours_folder_ : rivals_folder_) + "/" + entry.contender.name;
  }

  std::string TracePath(const Entry& entry, const std::string& run) const {
    return FolderOf(entry) + "/" + run + ".trace";
  }

  bool HasTraces(const Entry& entry, const std::vector<std::string>& runs) const {
    return std::all_of(runs.begin(), runs.end(), [&](const std::string& run) {
      std::error_code error;
      return std::filesystem::exists(TracePath(entry, run), error);
    });
  }

  // What each entry says of each run, unless it is there already; `validation`: at its probe.
  absl::Status TraceAll(const std::vector<std::string>& runs, bool validation,
                        std::vector<Entry>* entries) {
    // Each run in two parts, so that few runs keep as many threads busy to the end: seer's own
    // predictors, which take longer, and the rivals, which share their features.
    return ForEachInParallel(options_.jobs, 2 * runs.size(), [&](std::size_t part) {
      const std::size_t r = part % runs.size();
      const bool ours = part < runs.size();
      std::vector<std::unique_ptr<TickPredictor>> predictors;
      std::vector<const Entry*> whose;
      std::vector<std::int64_t> horizons_ms;
      for (const Entry& entry : *entries) {
        if (entry.left_out || entry.outdone || HasTraces(entry, {runs[r]})) continue;
        if (IsOurs(entry) != ours || (!validation && r >= TestRunsOf(entry))) continue;
        auto made = entry.make(validation ? entry.contender.probe : entry.fitted.threshold);
        if (!made.ok()) return made.status();
        predictors.push_back(*std::move(made));
        whose.push_back(&entry);
        horizons_ms.push_back(HorizonOf(entry));
      }
      if (predictors.empty()) return absl::OkStatus();
      auto traces = TraceRun(RunFiles(runs_folder_, runs[r]).ticks, horizons_ms, predictors);
      if (!traces.ok()) return traces.status();
      for (std::size_t i = 0; i < traces->size(); ++i) {
        const absl::Status saved = (*traces)[i].Save(TracePath(*whose[i], runs[r]));
        if (!saved.ok()) return saved;
      }
      return absl::OkStatus();
    });
  }

  TrainingData DataForTraining() const {
    TrainingData data;
    data.folder = runs_folder_;
    data.models = ours_folder_ + "/models";
    data.train = NamesOf("train");
    data.validation = NamesOf("validation");
    data.horizon_ms = set_.horizon_ms;
    data.plan = set_.training;
    return data;
  }

  // For the test runs that they are to be shown, and maybe those of validation.
  absl::Status MakeReady(std::vector<Entry>* entries, bool validation) {
    for (const Entry& entry : *entries) {
      const absl::Status status = MakeFolder(FolderOf(entry));
      if (!status.ok()) return status;
    }
    // Trained only where something that it says is missing.
    TrainingData data;
    std::vector<Entry*> wanted;
    bool train = false, rows = false;
    const std::vector<std::string> test = NamesOf("test");
    for (Entry& entry : *entries) {
      std::vector<std::string> runs;
      if (validation) runs = NamesOf("validation");
      runs.insert(runs.end(), test.begin(),
                  test.begin() + static_cast<std::ptrdiff_t>(TestRunsOf(entry)));
      if (HasTraces(entry, runs)) continue;
      // Rivals' models are not kept: they are trained when they are asked.
      if (options_.until == Stage::kModels && !IsOurs(entry)) continue;
      wanted.push_back(&entry);
      train = train || entry.contender.trained;
      rows = rows || entry.contender.rows;
    }
    data = DataForTraining();
    if (rows) {
      Say("reading the training runs");
      const absl::Status status = CollectTrainingData(set_, options_.jobs, &data);
      if (!status.ok()) return status;
    }
    if (train) Say("training");
    // What takes long first; and last who uses the model of another, for which he would wait.
    std::stable_sort(wanted.begin(), wanted.end(), [](const Entry* a, const Entry* b) {
      return a->contender.models > b->contender.models;
    });
    return ForEachInParallel(options_.jobs, wanted.size(), [&](std::size_t i) {
      auto make = wanted[i]->contender.prepare(&data);
      if (make.ok()) wanted[i]->make = *std::move(make);
      if (absl::IsUnimplemented(make.status())) {
        wanted[i]->left_out = true;
        return absl::OkStatus();
      }
      return make.status();
    });
  }

  absl::Status Contend() {
    const std::vector<std::string> validation = NamesOf("validation"), test = NamesOf("test");
    for (Contender& contender : AllContenders(set_, workers_)) {
      const auto& only = options_.only;
      if (!only.empty() && std::count(only.begin(), only.end(), contender.name) == 0) continue;
      Entry& entry = entries_.emplace_back();
      entry.contender = std::move(contender);
    }
    if (absl::Status status = MakeReady(&entries_, true); !status.ok()) return status;
    if (options_.until == Stage::kModels) return absl::OkStatus();
    Say("forecasts of the validation runs");
    if (absl::Status status = TraceAll(validation, true, &entries_); !status.ok()) return status;
    const absl::Status fitted =
        ForEachInParallel(options_.jobs, entries_.size(),
                          [&](std::size_t i) { return FitEntry(validation, &entries_[i]); });
    if (!fitted.ok()) return fitted;
    ChooseForms();
    // Random alarms, as many as the best on the validation runs raised there.
    if (const Entry* const best = Best(); best != nullptr) {
      std::vector<Entry> random(1);
      random[0].contender = RandomContender(set_, best->fitted.PerHour(best->fitted.alarms));
      if (absl::Status status = MakeReady(&random, false); !status.ok()) return status;
      entries_.push_back(std::move(random[0]));
    }
    Say("forecasts of the test runs");
    if (absl::Status status = TraceAll(test, false, &entries_); !status.ok()) return status;
    if (options_.until == Stage::kForecasts) return absl::OkStatus();
    Say("scoring");
    return ForEachInParallel(options_.jobs, entries_.size(),
                             [&](std::size_t i) { return ScoreEntry(&entries_[i]); });
  }

  // Of two forms of a rival the one that foresees more on the validation runs is judged.
  void ChooseForms() {
    for (Entry& form : entries_) {
      if (form.contender.form_of.empty() || form.left_out) continue;
      for (Entry& other : entries_) {
        if (other.contender.name != form.contender.form_of || other.left_out) continue;
        (form.fitted.hits > other.fitted.hits ? other : form).outdone = true;
      }
    }
  }

  const Entry* Best() const {
    const Entry* best = nullptr;
    for (const Entry& entry : entries_) {
      if (entry.left_out || entry.outdone || entry.contender.variant || entry.fitted.hours <= 0 ||
          entry.contender.name.find('@') != std::string::npos) {
        continue;
      }
      if (best == nullptr || entry.fitted.hits > best->fitted.hits) best = &entry;
    }
    return best;
  }

  absl::Status FitEntry(const std::vector<std::string>& runs, Entry* entry) {
    if (entry->left_out) return absl::OkStatus();
    std::vector<Trace> traces;
    for (const std::string& run : runs) {
      auto trace = LoadTrace(*entry, run);
      if (!trace.ok()) return trace.status();
      traces.push_back(*std::move(trace));
    }
    std::vector<TracedRun> traced;
    for (std::size_t i = 0; i < runs.size(); ++i) {
      for (const Run& run : validation_.runs) {
        if (run.name == runs[i]) traced.push_back({&run, &traces[i]});
      }
    }
    ProbeOptions probe;
    probe.scale = entry->contender.scale;
    probe.probe = entry->contender.probe;
    probe.usual = entry->contender.usual;
    probe.least_precision = entry->contender.least_precision;
    entry->fitted = FitThreshold(validation_.names, traced, probe, set_.false_alarms_per_hour);
    return absl::OkStatus();
  }

  absl::Status ScoreEntry(Entry* entry) {
    if (entry->left_out || entry->outdone) return absl::OkStatus();
    const std::size_t runs = TestRunsOf(*entry);
    auto score = ScoreOn(*entry, runs);
    if (!score.ok()) return score.status();
    entry->score = std::make_unique<Score>(*std::move(score));
    if (LimitedRuns() == runs) return absl::OkStatus();
    score = ScoreOn(*entry, LimitedRuns());
    if (!score.ok()) return score.status();
    entry->part = std::make_unique<Score>(*std::move(score));
    return absl::OkStatus();
  }

  // On so many of the test runs, the first ones.
  absl::StatusOr<Score> ScoreOn(const Entry& entry, std::size_t runs) const {
    ScoreOptions options = score_options_;
    options.name = entry.contender.name;
    options.horizon_ms = static_cast<std::int32_t>(HorizonOf(entry));
    return ScoreRuns(
        runs,
        [&](std::size_t i) -> absl::StatusOr<RunToScore> {
          const Run& truth = test_.runs[i];
          RunToScore run{nullptr, &test_.names, &truth, {}, {}};
          auto trace = LoadTrace(entry, truth.name);
          if (!trace.ok()) return trace.status();
          run.lines = trace->Lines();
          run.culprits = trace->culprits();
          return run;
        },
        options);
  }

  absl::Status ScoreOne(const std::string& name, const Recording& recording,
                        std::unique_ptr<Score>* score) {
    ScoreOptions options = score_options_;
    options.name = name;
    auto scored = ScoreForecasts(recording, options);
    if (!scored.ok()) return scored.status();
    *score = std::make_unique<Score>(*std::move(scored));
    return absl::OkStatus();
  }

  absl::Status ScoreCsvs() {
    for (const auto& [name, path] : options_.forecasts) {
      auto bytes = ReadFile(path);
      if (!bytes.ok()) return bytes.status();
      Recording recording = test_;
      if (options_.per_application) {
        return absl::UnimplementedError(path + ": forecasts are judged for each class only");
      }
      if (absl::Status status = ReadForecasts(path, *bytes, &recording); !status.ok()) {
        return status;
      }
      for (const Run& run : recording.runs) {
        if (run.end_ms <= run.start_ms) {
          return absl::InvalidArgumentError(path + ": there is no test run '" + run.name + "'");
        }
      }
      Entry entry;
      entry.contender.name = name;
      entry.contender.scale = Scale::kOwn;
      if (absl::Status status = ScoreOne(name, recording, &entry.score); !status.ok()) {
        return status;
      }
      entries_.push_back(std::move(entry));
    }
    return absl::OkStatus();
  }

  absl::StatusOr<Evaluation> Conclude() {
    Evaluation result;
    result.runs_folder = runs_folder_;
    for (const auto& [name, bytes] :
         {std::pair("violations.csv", ViolationsCsv(test_)),
          std::pair("tails.csv", TailsCsv(test_)), std::pair("runs.csv", RunsCsv(test_))}) {
      const absl::Status status = WriteFile(runs_folder_ + "/" + name, bytes);
      if (!status.ok()) return status;
    }
    Report& report = result.report;
    report.title = "Foreseeing violations: " + set_.name +
                   (options_.per_application ? ", each application as one" : "");
    const Entry* best = Best();
    std::vector<Judged> judged, variants;
    for (const Entry& entry : entries_) {
      if (entry.outdone) continue;
      if (entry.left_out) {
        report.notes.push_back(
            entry.contender.name +
            " is left out: not in this build, or the runs have too few violations to train it.");
        continue;
      }
      (entry.contender.variant ? variants : judged)
          .push_back({entry.contender.name, entry.score.get(), entry.fitted,
                      entry.contender.scale != Scale::kOwn, entry.part.get()});
    }
    const OracleSummary oracle = Summarize(looks_, set_.oracle.horizon_ms);
    for (std::string& note : NotesOf(set_, judged, options_.per_application)) {
      report.notes.push_back(std::move(note));
    }
    report.sections = Sections(judged, oracle);
    const Entry* own = nullptr;
    for (const Entry& entry : entries_) {
      if (entry.contender.name == kTrainedPredictor && !entry.left_out) own = &entry;
    }
    // Everybody against the best on the validation runs, and what seer is worth with less against
    // seer.
    for (const Entry& entry : entries_) {
      const Entry* const first = entry.contender.variant ? own : best;
      if (entry.left_out || entry.outdone || &entry == first || first == nullptr) continue;
      // Of two of which one was asked about fewer runs: on these.
      const bool fewer =
          first->part != nullptr && entry.score->runs.size() == first->part->runs.size();
      auto comparison = Compare(fewer ? *first->part : *first->score, *entry.score, score_options_);
      if (!comparison.ok()) return comparison.status();
      report.comparisons.push_back(*std::move(comparison));
    }
    AddFigures(judged, variants, oracle, report.comparisons, &result.figures);
    if (own != nullptr) {
      if (absl::Status status = AddRecordings(&report, &result.figures); !status.ok()) {
        return status;
      }
      const Score& beside = own->part == nullptr ? *own->score : *own->part;
      for (Section& section : VariantSections(beside, variants, report.comparisons)) {
        report.sections.push_back(std::move(section));
      }
    }
    for (Entry& entry : entries_) {
      if (entry.score != nullptr) report.scores.push_back(std::move(*entry.score));
    }
    for (EvaluationFigure& figure : result.figures) figure.goal = GoalOf(figure.id);
    return result;
  }

  // What the model, which knows the simulator only, says of real recordings.
  absl::Status AddRecordings(Report* report, std::vector<EvaluationFigure>* figures) {
    if (options_.recordings.empty() || options_.per_application) return absl::OkStatus();
    auto model = TheTrainedModel(set_, DataForTraining());
    if (!model.ok()) return model.status();
    auto heard = JudgeRecordings(options_.recordings, ours_folder_ + "/recordings", *model);
    if (!heard.ok()) return heard.status();
    report->sections.push_back(RecordingsSection(*heard));
    for (const PredictFigure& figure : RecordingFigures(*heard)) {
      figures->push_back({figure.id, figure.unit, figure.metric, "", ""});
    }
    return absl::OkStatus();
  }

  void AddFigures(const std::vector<Judged>& judged, const std::vector<Judged>& variants,
                  const OracleSummary& oracle, const std::vector<Comparison>& comparisons,
                  std::vector<EvaluationFigure>* figures) const {
    figures->push_back({"oracle.recall", "", oracle.recall, "", ""});
    for (const Judged& j : judged) {
      if (j.name.find('@') != std::string::npos) continue;
      if (j.name == kTrainedPredictor) {
        for (const PredictFigure& figure : PredictFigures(*j.score)) {
          figures->push_back({figure.id, figure.unit, figure.metric, "", ""});
        }
        continue;
      }
      std::string id = j.name;
      for (const Entry& entry : entries_) {  // a rival's figures, whatever its form
        if (entry.contender.name == id && !entry.contender.form_of.empty()) {
          id = entry.contender.form_of;
          break;
        }
      }
      for (const PredictFigure& figure : RivalFigures(id, *j.score)) {
        figures->push_back({figure.id, figure.unit, figure.metric, "", ""});
      }
    }
    for (const PredictFigure& figure : VariantFigures(variants, comparisons)) {
      figures->push_back({figure.id, figure.unit, figure.metric, "", ""});
    }
  }

  const EvaluationOptions& options_;
  ScenarioSet set_;
  std::vector<RunPlan> runs_;
  std::vector<ServiceWorkers> workers_;
  std::string runs_folder_, ours_folder_, rivals_folder_;
  Recording validation_, test_;
  Recording classes_;  // the test runs, each class for itself
  std::vector<OracleLook> looks_;
  std::vector<Entry> entries_;
  ScoreOptions score_options_;
};

}  // namespace

absl::StatusOr<Evaluation> Evaluate(const EvaluationOptions& options) {
  return Evaluator(options).Everything();
}

}  // namespace seer::evaluation
