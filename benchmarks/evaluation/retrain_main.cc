// evaluate-retrain: what becomes of a model while applications are updated under it.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <limits>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "benchmarks/evaluation/figure.h"
#include "benchmarks/evaluation/report.h"
#include "benchmarks/evaluation/retrain_run.h"
#include "benchmarks/evaluation/statistics.h"

namespace seer::evaluation {
namespace {

constexpr char kUsage[] =
    "evaluate-retrain --scenario FILE --graphs FOLDER --folder FOLDER [--figures FILE] [--seed N]\n"
    "                 [--full] [--only series|churn|feedback|network] [--scale X]\n"
    "                 [--models FOLDER] [--round-minutes X] [--test-minutes X] [--series N]\n"
    "                 [--network NAME] [--epochs N] [--train-minutes X]\n"
    "  --full     phases of 40 minutes instead of 15, and an hour to train from\n"
    "  --scale X  all times times X: for a look\n"
    "  --models FOLDER  models that were trained before, and where they are kept\n"
    "  --series N  so many, of this seed and those behind it, added up\n"
    "  --network NAME, --epochs N  that is trained for `network`: lstm, 8\n"
    "  --train-minutes X  to train from, and half of it for validation; not scaled\n"
    "  --round-minutes X, --test-minutes X  of feedback (of churn twice the second), not scaled\n"
    "Writes retrain.md and retrain.svg into the folder.\n";

int Fail(std::string_view what) {
  std::fprintf(stderr, "evaluate-retrain: %.*s\n", static_cast<int>(what.size()), what.data());
  return 1;
}
int Fail(const absl::Status& status) {
  return Fail({status.message().data(), status.message().size()});
}

std::string Number(double value, int digits = 1) {
  char text[64];
  std::snprintf(text, sizeof(text), "%.*f", digits, value);
  return text;
}

std::string Cells(const RetrainCounts& counts, double minutes) {
  return " " + std::to_string(counts.violations - counts.hits) + " of " +
         std::to_string(counts.violations) + ", " +
         Number(static_cast<double>(counts.false_alarms) * 60 / minutes, 0) + "/h |";
}

constexpr double kNone = std::numeric_limits<double>::quiet_NaN();

struct Out {
  std::string report, figures, svg;
  void Figure(const char* id, const char* unit, const Metric& metric, const char* goal) {
    figures += FigureLine({id, unit, metric, goal, ""}) + "\n";
    report += "- `" + std::string(id) + "` " + Number(metric.value, 2) + " " + unit;
    if (!std::isnan(metric.low)) {
      report += " (" + Number(metric.low, 2) + " .. " + Number(metric.high, 2) + ")";
    }
    report += "\n";
  }
};

// a - b in points over parts that are drawn anew.
void Difference(const char* id, const char* goal, const std::vector<RetrainCounts>& a,
                const std::vector<RetrainCounts>& b, Out* out) {
  RetrainCounts all;
  for (const RetrainCounts& part : a) all.Add(part);
  const auto of = [&](const std::vector<std::uint32_t>& times) {
    RetrainCounts x, y;
    for (std::size_t i = 0; i < a.size(); ++i) {
      for (std::uint32_t t = 0; t < times[i]; ++t) x.Add(a[i]), y.Add(b[i]);
    }
    return 100 * (x.Recall() - y.Recall());
  };
  const Interval interval = Bootstrap(a.size(), 1000, 1, of);
  const double value = of(std::vector<std::uint32_t>(a.size(), 1));
  out->Figure(id, "points", {value, interval.low, interval.high, all.violations}, goal);
}
// Of one run: its minutes are drawn anew, as what one fault does to several classes is one thing.
void Loss(const char* id, const char* goal, const RetrainCounts& before, const RetrainCounts& after,
          Out* out) {
  std::map<std::int64_t, std::pair<RetrainCounts, RetrainCounts>> minutes;
  const auto sort = [&](const RetrainCounts& counts, auto which) {
    for (const RetrainCounts::Violation& each : counts.each) {
      RetrainCounts& minute = minutes[each.start_ns / 60'000'000'000].*which;
      ++minute.violations;
      minute.hits += each.hit ? 1 : 0;
    }
  };
  using Both = std::pair<RetrainCounts, RetrainCounts>;
  sort(before, &Both::first);
  sort(after, &Both::second);
  std::vector<RetrainCounts> a, b;
  for (const auto& [minute, both] : minutes) {
    a.push_back(both.first);
    b.push_back(both.second);
  }
  Difference(id, goal, a, b, out);
}

// Of what retrains, at a threshold at which it raises as many false alarms; between two of them
// there is a line.
double RecallAt(const std::vector<RetrainShift>& shifts, double false_alarms) {
  for (std::size_t i = 1; i < shifts.size(); ++i) {
    const RetrainCounts &more = shifts[i - 1].retrained, &fewer = shifts[i].retrained;
    const auto high = static_cast<double>(more.false_alarms);
    const auto low = static_cast<double>(fewer.false_alarms);
    if (false_alarms > high) return more.Recall();
    if (false_alarms < low || high == low) continue;
    return fewer.Recall() + (false_alarms - low) / (high - low) * (more.Recall() - fewer.Recall());
  }
  return shifts.back().retrained.Recall();
}

// Of several series phase by phase.
RetrainSeries SumOf(const std::vector<RetrainSeries>& all) {
  RetrainSeries sum = all.front();
  const auto of_all = [&](auto what) {
    double value = 0;
    for (const RetrainSeries& one : all) value += what(one);
    return value;
  };
  for (std::size_t i = 1; i < all.size(); ++i) {
    const RetrainSeries& more = all[i];
    for (std::size_t p = 0; p < sum.phases.size(); ++p) {
      RetrainPhase& phase = sum.phases[p];
      phase.minutes += more.phases[p].minutes;
      phase.late_minutes += more.phases[p].late_minutes;
      for (RetrainOf RetrainPhase::*const who :
           {&RetrainPhase::frozen, &RetrainPhase::rival, &RetrainPhase::ceiling,
            &RetrainPhase::retrained}) {
        (phase.*who).all.Add((more.phases[p].*who).all);
        (phase.*who).settled.Add((more.phases[p].*who).settled);
        (phase.*who).late.Add((more.phases[p].*who).late);
      }
    }
    for (std::size_t t = 0; t < sum.shifts.size(); ++t) {
      sum.shifts[t].ceiling.Add(more.shifts[t].ceiling);
      sum.shifts[t].retrained.Add(more.shifts[t].retrained);
    }
    if (sum.rival.find(more.rival) == std::string::npos) sum.rival += ", " + more.rival;
    sum.scratches += more.scratches;
    sum.rounds += more.rounds;
    sum.versions += more.versions;
    sum.own_scratches += more.own_scratches;
    sum.own_scratch_cpu_s += more.own_scratch_cpu_s;
    sum.decisions.insert(sum.decisions.end(), more.decisions.begin(), more.decisions.end());
  }
  const auto rounds = static_cast<double>(std::max<std::uint64_t>(1, sum.rounds));
  const auto scratches = static_cast<double>(std::max<std::uint64_t>(1, sum.scratches));
  sum.scratch_cpu_s = of_all([](const RetrainSeries& one) {
                        return one.scratch_cpu_s * static_cast<double>(one.scratches);
                      }) /
                      scratches;
  sum.round_cpu_s = of_all([](const RetrainSeries& one) {
                      return one.round_cpu_s * static_cast<double>(one.rounds);
                    }) /
                    rounds;
  sum.observe_cpu_s = of_all([](const RetrainSeries& one) {
                        return one.observe_cpu_s * static_cast<double>(one.rounds);
                      }) /
                      rounds;
  return sum;
}

void TellShifts(const RetrainSeries& series, Out* out) {
  if (series.shifts.empty()) return;
  double hours = 0;
  for (const RetrainPhase& phase : series.phases) {
    hours += phase.update == "none" ? 0 : phase.late_minutes / 60;
  }
  out->report +=
      "\nThe late parts, had the alarms begun at other log-odds: recall, false alarms "
      "an hour.\n\n| by | from scratch | retrained |\n|---|---|---|\n";
  const auto cell = [&](const RetrainCounts& counts) {
    return " " + Number(counts.Recall(), 3) + ", " +
           Number(static_cast<double>(counts.false_alarms) / hours, 0) + "/h |";
  };
  const RetrainCounts* ceiling = nullptr;
  for (const RetrainShift& shift : series.shifts) {
    if (shift.by == 0) ceiling = &shift.ceiling;
    if (std::fmod(shift.by, 0.5) != 0) continue;
    out->report +=
        "| " + Number(shift.by, 1) + " |" + cell(shift.ceiling) + cell(shift.retrained) + "\n";
  }
  out->report += "\n";
  const double at_equal = RecallAt(series.shifts, static_cast<double>(ceiling->false_alarms));
  out->Figure("retrain.gap_at_equal_false_alarms", "points",
              {100 * (ceiling->Recall() - at_equal), kNone, kNone, ceiling->violations}, "<= 3");
}

// Between updates, of each series: what somebody says of a part.
std::vector<RetrainCounts> PartsOf(const std::vector<RetrainSeries>& all,
                                   RetrainOf RetrainPhase::*who, RetrainCounts RetrainOf::*part) {
  std::vector<RetrainCounts> parts;
  for (const RetrainSeries& one : all) {
    for (const RetrainPhase& phase : one.phases) {
      if (phase.update != "none") parts.push_back(phase.*who.*part);
    }
  }
  return parts;
}

void TellCosts(const RetrainSeries& series, Out* out) {
  const double speedup = series.round_cpu_s > 0 ? series.scratch_cpu_s / series.round_cpu_s : 0;
  out->Figure("retrain.speedup", "x", {speedup, kNone, kNone, series.rounds}, ">= 100");
  out->Figure("retrain.scratch_cpu_s", "s", {series.scratch_cpu_s, kNone, kNone, series.scratches},
              "");
  out->Figure("retrain.round_cpu_s", "s", {series.round_cpu_s, kNone, kNone, series.rounds}, "");
  const double with_ticks = series.round_cpu_s + series.observe_cpu_s;
  out->report += "\nTo look at the ticks since the last round takes " +
                 Number(series.observe_cpu_s, 4) + " s more: with it the speedup is " +
                 Number(with_ticks > 0 ? series.scratch_cpu_s / with_ticks : 0) + ". " +
                 std::to_string(series.rounds) + " rounds, and " +
                 std::to_string(series.own_scratches) +
                 " trainings from scratch that the retrainer began itself (" +
                 Number(series.own_scratch_cpu_s, 2) + " s in all, not among the rounds), gave " +
                 std::to_string(series.versions) + " new models.\n\n";
}

void Tell(const std::vector<RetrainSeries>& all, Out* out) {
  const RetrainSeries series = SumOf(all);
  out->report += "## Updates\n\n" + std::to_string(all.size()) +
                 " series. Misses, and false alarms an hour (near misses among them), after each "
                 "update; in the second line those from " +
                 Number(series.late_minutes, 1) +
                 " minutes after it on. The gain is what retraining foresees more than the frozen "
                 "model, in points of recall.\n\n| update | frozen | " +
                 series.rival + " | from scratch | retrained | gain |\n|---|---|---|---|---|---|\n";
  Curve curves[4] = {
      {"frozen", {}, {}}, {series.rival, {}, {}}, {"from scratch", {}, {}}, {"retrained", {}, {}}};
  double x = 0;
  for (const RetrainPhase& phase : series.phases) {
    const auto line = [&](const std::string& name, RetrainCounts RetrainOf::*part, double minutes) {
      out->report +=
          "| " + name + " |" + Cells(phase.frozen.*part, minutes) +
          Cells(phase.rival.*part, minutes) + Cells(phase.ceiling.*part, minutes) +
          Cells(phase.retrained.*part, minutes) + " " +
          Number(100 * ((phase.retrained.*part).Recall() - (phase.frozen.*part).Recall())) + " |\n";
    };
    line(phase.update, &RetrainOf::all, phase.minutes);
    line("", &RetrainOf::late, phase.late_minutes);
    const RetrainOf* const of[4] = {&phase.frozen, &phase.rival, &phase.ceiling, &phase.retrained};
    for (int i = 0; i < 4; ++i) {
      curves[i].points.push_back({x, of[i]->all.Recall()});
      curves[i].marks.push_back({x, of[i]->all.Recall()});
    }
    x += 1;
  }
  out->report += "\n";
  using Phase = RetrainPhase;
  Difference("retrain.gap_to_ceiling", "<= 3", PartsOf(all, &Phase::ceiling, &RetrainOf::late),
             PartsOf(all, &Phase::retrained, &RetrainOf::late), out);
  Difference("retrain.vs_untrained", ">= 0", PartsOf(all, &Phase::retrained, &RetrainOf::all),
             PartsOf(all, &Phase::rival, &RetrainOf::all), out);
  // Trees take what is usual from the last minutes by themselves: a frozen model is what that
  // brings alone.
  Difference("retrain.renormalised_gap", "", PartsOf(all, &Phase::ceiling, &RetrainOf::settled),
             PartsOf(all, &Phase::frozen, &RetrainOf::settled), out);
  TellShifts(series, out);
  TellCosts(series, out);
  for (const std::string& line : series.decisions) out->report += "    " + line + "\n";
  out->svg = CurvesSvg("Recall after each update", "update", "recall",
                       static_cast<double>(series.phases.size()) - 1, curves);
}

void Tell(const RetrainRenormalised& network, const std::string& name, Out* out) {
  out->report +=
      "\n## Scales alone\n\nA network (" + name + ", " + std::to_string(network.weights) +
      " weights, " + std::to_string(network.epochs) + " epochs, " + Number(network.train_cpu_s, 0) +
      " s; " + std::to_string(network.validation_hits) + " of " +
      std::to_string(network.validation_violations) +
      " foreseen in validation) as it is, and with scales that follow what is usual (" +
      std::to_string(network.models) +
      " times). Misses, and false alarms an hour (near misses among them), from a minute after "
      "each update on; in brackets the misses of the first minute. The gain in points of "
      "recall.\n\n| update | frozen | re-normalised | gain |\n|---|---|---|---|\n";
  std::vector<RetrainCounts> before, after;
  for (const RetrainRenormalised::Phase& phase : network.phases) {
    const auto first = [](const RetrainCounts& counts) {
      return " (" + std::to_string(counts.violations - counts.hits) + " of " +
             std::to_string(counts.violations) + ")";
    };
    const auto cell = [&](const RetrainCounts& all, const RetrainCounts& minute) {
      std::string text = Cells(all, phase.minutes);
      return text.insert(text.size() - 2, first(minute));
    };
    out->report += "| " + phase.update + " |" + cell(phase.frozen, phase.first_minute_frozen) +
                   cell(phase.renormalised, phase.first_minute) + " " +
                   Number(100 * (phase.renormalised.Recall() - phase.frozen.Recall())) + " |\n";
    if (phase.update == "none") continue;
    before.push_back(phase.frozen);
    after.push_back(phase.renormalised);
  }
  out->report += "\n";
  Difference("retrain.network_renormalised_gain", "", after, before, out);
  double hours = 0;
  for (const RetrainRenormalised::Phase& phase : network.phases) {
    hours += phase.update == "none" ? 0 : phase.minutes / 60;
  }
  out->report +=
      "\nHad the alarms begun at other log-odds: recall, false alarms an hour.\n\n"
      "| by | frozen | re-normalised |\n|---|---|---|\n";
  for (const RetrainShift& shift : network.shifts) {
    if (std::fmod(shift.by, 1) != 0) continue;
    const auto cell = [&](const RetrainCounts& counts) {
      return " " + Number(counts.Recall(), 3) + ", " +
             Number(static_cast<double>(counts.false_alarms) / hours, 0) + "/h |";
    };
    out->report +=
        "| " + Number(shift.by, 0) + " |" + cell(shift.ceiling) + cell(shift.retrained) + "\n";
  }
  out->report += "\n";
  std::uint64_t frozen_false = 0, violations = 0;
  double frozen_recall = 0;
  for (const RetrainShift& shift : network.shifts) {
    if (shift.by != 0) continue;
    frozen_false = shift.ceiling.false_alarms;
    frozen_recall = shift.ceiling.Recall();
    violations = shift.ceiling.violations;
  }
  const double at_equal = RecallAt(network.shifts, static_cast<double>(frozen_false));
  out->Figure("retrain.network_renormalised_gain_at_equal_false_alarms", "points",
              {100 * (at_equal - frozen_recall), kNone, kNone, violations}, "");
  for (const std::string& line : network.decisions) out->report += "    " + line + "\n";
}

bool Write(const std::string& path, const std::string& text) {
  if (path.empty()) return true;
  std::ofstream file(path, std::ios::binary);
  file << text;
  return file.good();
}

int Main(int argc, char** argv) {
  RetrainOptions options;
  std::string folder, figures, only, scale_text = "1", seed = "1", round, test, count = "1", epochs,
                                     train;
  const std::map<std::string_view, std::string*> texts = {{"--scenario", &options.scenario},
                                                          {"--graphs", &options.graphs},
                                                          {"--folder", &folder},
                                                          {"--figures", &figures},
                                                          {"--only", &only},
                                                          {"--scale", &scale_text},
                                                          {"--seed", &seed},
                                                          {"--round-minutes", &round},
                                                          {"--test-minutes", &test},
                                                          {"--models", &options.models},
                                                          {"--series", &count},
                                                          {"--network", &options.network},
                                                          {"--epochs", &epochs},
                                                          {"--train-minutes", &train}};
  for (int i = 1; i < argc; ++i) {
    if (std::string_view(argv[i]) == "--full") {
      options.phase_minutes = 40;
      options.train_minutes = 60;
      options.validation_minutes = 30;
      options.round_minutes = 10;
      options.test_minutes = 30;
      continue;
    }
    const auto text = texts.find(argv[i]);
    if (text == texts.end() || i + 1 >= argc) return Fail(kUsage);
    *text->second = argv[++i];
  }
  const double scale = std::atof(scale_text.c_str());
  if (options.scenario.empty() || options.graphs.empty() || folder.empty() || !(scale > 0)) {
    return Fail(kUsage);
  }
  options.seed = static_cast<std::uint64_t>(std::atoll(seed.c_str()));
  for (double* const minutes :
       {&options.phase_minutes, &options.late_minutes, &options.train_minutes,
        &options.validation_minutes, &options.round_minutes, &options.test_minutes}) {
    *minutes *= scale;
  }
  if (!round.empty()) options.round_minutes = std::atof(round.c_str());
  if (!test.empty()) options.test_minutes = std::atof(test.c_str());
  if (!epochs.empty()) options.epochs = static_cast<std::uint32_t>(std::atoi(epochs.c_str()));
  if (!train.empty()) options.train_minutes = std::atof(train.c_str());
  if (!train.empty()) options.validation_minutes = options.train_minutes / 2;
  if (!(options.train_minutes > 0)) return Fail(kUsage);
  if (!(options.round_minutes > 0) || !(options.test_minutes > 0)) return Fail(kUsage);
  options.say = [](std::string_view what) {
    std::fprintf(stderr, "seer: %.*s\n", static_cast<int>(what.size()), what.data());
  };
  Out out;
  const auto wanted = [&](std::string_view part) { return only.empty() || only == part; };
  if (wanted("series")) {
    std::vector<RetrainSeries> all;
    RetrainOptions own = options;
    for (int i = 0; i < std::max(1, std::atoi(count.c_str())); ++i, ++own.seed) {
      auto series = RunSeries(own);
      if (!series.ok()) return Fail(series.status());
      all.push_back(*std::move(series));
    }
    Tell(all, &out);
  }
  if (wanted("churn")) {
    const auto churn = RunChurn(options);
    if (!churn.ok()) return Fail(churn.status());
    out.report += "\n## Churn\n\n" + std::to_string(churn->services) + " of " +
                  std::to_string(churn->of) + " services replaced. |" +
                  Cells(churn->same, options.test_minutes) +
                  Cells(churn->replaced, options.test_minutes) + "\n\n";
    Loss("retrain.churn_loss", "<= 5", churn->same, churn->replaced, &out);
  }
  if (wanted("feedback")) {
    const auto feedback = RunFeedback(options);
    if (!feedback.ok()) return Fail(feedback.status());
    out.report += "\n## Feedback\n\nOf the alarms " + Number(100 * options.left_alone, 0) +
                  " % were left alone where somebody acts; " + std::to_string(feedback->actions) +
                  " actions were noted.\n\n| | rounds | new models | test |\n|---|---|---|---|\n";
    const auto arm = [&](const char* name, const RetrainFeedback::Arm& own) {
      out.report += std::string("| ") + name + " | " + std::to_string(own.rounds) + " | " +
                    std::to_string(own.models) + " |" + Cells(own.test, options.test_minutes) +
                    "\n";
    };
    arm("nobody acts", feedback->without_actions);
    arm("actions are noted", feedback->noted);
    arm("they are not", feedback->not_noted);
    out.report += "\n";
    Loss("retrain.feedback_loss", "<= 2", feedback->without_actions.test, feedback->noted.test,
         &out);
    Loss("retrain.feedback_loss_not_noted", "", feedback->without_actions.test,
         feedback->not_noted.test, &out);
  }
  if (wanted("network")) {
    const auto network = RunRenormalised(options);
    if (!network.ok()) return Fail(network.status());
    Tell(*network, options.network, &out);
  }
  if (!Write(folder + "/retrain.md", out.report) || !Write(figures, out.figures) ||
      (!out.svg.empty() && !Write(folder + "/retrain.svg", out.svg))) {
    return Fail("cannot write into " + folder);
  }
  std::fputs(out.report.c_str(), stdout);
  return 0;
}

}  // namespace
}  // namespace seer::evaluation

int main(int argc, char** argv) { return seer::evaluation::Main(argc, argv); }
