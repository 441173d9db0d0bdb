// score-forecasts: judges forecasts, anybody's, by the violations that came.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "benchmarks/evaluation/csv.h"
#include "benchmarks/evaluation/report.h"
#include "benchmarks/evaluation/score.h"
#include "benchmarks/evaluation/splits.h"

namespace seer::evaluation {
namespace {

constexpr std::string_view kUsage = R"(score-forecasts --violations FILE --forecasts [NAME=]FILE...

  --violations FILE         [run,]start_ms,end_ms,class,culprit,cause[,trap][,...]
  --forecasts [NAME=]FILE   [run,]time_ms,horizon_ms,class,p_violation,alarm,culprit,p_culprit
                            once for each predictor; all are compared with the first
  --tails FILE              [run,]time_ms,class,tail_ms,target_ms: tells near misses
  --runs FILE               run,start_ms,end_ms: how long was watched
  --horizon-ms N            which of several horizons is scored
  --title TEXT
  --json FILE, --text FILE, --markdown FILE, --html FILE
  --plots FOLDER            pr.svg, <predictor>-reliability.svg, <predictor>-lead.svg
  --check-splits FILE       set,run,placement,seed[,...]: fails if a run or trait is in two sets;
                            needs no other option

Without any of the outputs the text goes to the standard output. How everything is counted:
events.h and score.h beside this program's source. Exit status: 0, or 1 with the reason.
)";

int Fail(std::string_view message) {
  std::fprintf(stderr, "score-forecasts: %.*s\n", static_cast<int>(message.size()), message.data());
  return 1;
}

int Fail(const absl::Status& status) {
  return Fail(std::string_view(status.message().data(), status.message().size()));
}

std::string Stem(std::string_view path) {
  const std::size_t slash = path.find_last_of('/');
  if (slash != std::string_view::npos) path.remove_prefix(slash + 1);
  return std::string(path.substr(0, path.find('.')));
}

int Main(int argc, char** argv) {
  std::string violations, tails, runs, json, text, markdown, html, plots, splits;
  std::vector<std::string> forecasts;
  Report report;
  ScoreOptions options;
  for (int i = 1; i < argc; ++i) {
    const std::string_view option = argv[i];
    if (option == "--help" || option == "-h") {
      std::fwrite(kUsage.data(), 1, kUsage.size(), stdout);
      return 0;
    }
    const auto take = [&](std::string_view name, std::string* value) {
      if (option != name || i + 1 >= argc) return false;
      *value = argv[++i];
      return true;
    };
    std::string value;
    if (take("--violations", &violations) || take("--tails", &tails) || take("--runs", &runs) ||
        take("--json", &json) || take("--text", &text) || take("--markdown", &markdown) ||
        take("--html", &html) || take("--plots", &plots) || take("--check-splits", &splits) ||
        take("--title", &report.title)) {
      continue;
    }
    if (take("--forecasts", &value)) {
      forecasts.push_back(value);
    } else if (take("--horizon-ms", &value)) {
      char* end = nullptr;
      const long horizon = std::strtol(value.c_str(), &end, 10);
      if (*end != '\0' || horizon < 1 || horizon > 3'600'000) {
        return Fail("--horizon-ms: give 1 to 3600000");
      }
      options.horizon_ms = static_cast<std::int32_t>(horizon);
    } else {
      return Fail("unknown option or missing value: " + std::string(option) + " (--help)");
    }
  }

  if (!splits.empty()) {
    auto bytes = ReadFile(splits);
    if (!bytes.ok()) return Fail(bytes.status());
    const absl::Status status = CheckSplitsCsv(splits, *bytes);
    if (!status.ok()) return Fail(status);
    if (forecasts.empty() && violations.empty()) return 0;
  }
  if (violations.empty() || forecasts.empty()) {
    return Fail("--violations and --forecasts are needed (--help)");
  }

  // What is known without the predictor, and then a copy for each of them.
  Recording truth;
  struct Input {
    const std::string& path;
    absl::Status (*read)(std::string_view, std::string_view, Recording*);
  };
  for (const Input& input :
       {Input{violations, &ReadViolations}, Input{tails, &ReadTails}, Input{runs, &ReadRuns}}) {
    if (input.path.empty()) continue;
    auto bytes = ReadFile(input.path);
    if (!bytes.ok()) return Fail(bytes.status());
    const absl::Status status = input.read(input.path, *bytes, &truth);
    if (!status.ok()) return Fail(status);
  }
  for (const std::string& argument : forecasts) {
    const std::size_t equals = argument.find('=');
    const std::string path = equals == std::string::npos ? argument : argument.substr(equals + 1);
    options.name = equals == std::string::npos ? Stem(path) : argument.substr(0, equals);
    auto bytes = ReadFile(path);
    if (!bytes.ok()) return Fail(bytes.status());
    Recording recording = truth;
    const absl::Status status = ReadForecasts(path, *bytes, &recording);
    if (!status.ok()) return Fail(status);
    auto score = ScoreForecasts(recording, options);
    if (!score.ok()) return Fail(score.status());
    report.scores.push_back(*std::move(score));
  }
  for (std::size_t i = 1; i < report.scores.size(); ++i) {
    auto comparison = Compare(report.scores[0], report.scores[i], options);
    if (!comparison.ok()) return Fail(comparison.status());
    report.comparisons.push_back(*std::move(comparison));
  }

  struct Output {
    std::string path;
    std::string bytes;
  };
  std::vector<Output> outputs;
  if (!json.empty()) outputs.push_back({json, ToJson(report)});
  if (!text.empty()) outputs.push_back({text, ToText(report)});
  if (!markdown.empty()) outputs.push_back({markdown, ToMarkdown(report)});
  if (!html.empty()) outputs.push_back({html, ToHtml(report)});
  if (!plots.empty()) {
    outputs.push_back({plots + "/pr.svg", PrSvg(report.scores)});
    for (const Score& score : report.scores) {
      outputs.push_back(
          {plots + "/" + Stem(score.name) + "-reliability.svg", ReliabilitySvg(score)});
      outputs.push_back({plots + "/" + Stem(score.name) + "-lead.svg", LeadSvg(score)});
    }
  }
  for (const Output& output : outputs) {
    const absl::Status status = WriteFile(output.path, output.bytes);
    if (!status.ok()) return Fail(status);
  }
  if (outputs.empty()) {
    const std::string all = ToText(report);
    std::fwrite(all.data(), 1, all.size(), stdout);
  }
  return 0;
}

}  // namespace
}  // namespace seer::evaluation

int main(int argc, char** argv) { return seer::evaluation::Main(argc, argv); }
