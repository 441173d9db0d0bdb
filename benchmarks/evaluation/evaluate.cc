// evaluate: what benchmarks/run-evaluation runs.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <iterator>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

#include "benchmarks/evaluation/csv.h"
#include "benchmarks/evaluation/evaluation.h"

namespace seer::evaluation {
namespace {

constexpr std::string_view kUsage = R"(evaluate --scenarios FILE --graphs FOLDER --folder FOLDER

  --version TEXT, --rivals-version TEXT   of seer's predictor, and of the rivals: forecasts of other
                                        versions are not used
  --stage NAME                          runs, models, forecasts or scores: no further than that
  --runs FOLDER                         of the runs, wherever they were made
  --jobs N                              threads; 0: as many as there are cores
  --forecasts [NAME=]FILE               a CSV of forecasts of the test runs, judged too
  --per-application                     each application as one, not each request class; the
                                        reports are called report-applications
  --recordings FOLDER                   of BuzzBlog (tests/testdata/buzzblog), foreseen by the model
                                        that knows the simulator only
  --only NAME                           contenders, for a quick look; once for each
  --figures FILE                        a line of JSON for each figure

Writes report.md, report.html and report.json into the folder, and prints nothing but progress.
)";

int Fail(std::string_view message) {
  std::fprintf(stderr, "evaluate: %.*s\n", static_cast<int>(message.size()), message.data());
  return 1;
}

std::string Stem(std::string_view path) {
  const std::size_t slash = path.find_last_of('/');
  if (slash != std::string_view::npos) path.remove_prefix(slash + 1);
  return std::string(path.substr(0, path.find('.')));
}

int Main(int argc, char** argv) {
  EvaluationOptions options;
  std::string figures, jobs = "0", stage = "scores";
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
    if (take("--scenarios", &options.scenarios) || take("--graphs", &options.graphs) ||
        take("--folder", &options.folder) || take("--runs", &options.runs) ||
        take("--version", &options.version) || take("--stage", &stage) ||
        take("--rivals-version", &options.rivals_version) || take("--jobs", &jobs) ||
        take("--figures", &figures) || take("--recordings", &options.recordings)) {
      continue;
    }
    if (option == "--per-application") {
      options.per_application = true;
    } else if (take("--forecasts", &value)) {
      const std::size_t equals = value.find('=');
      const bool named = equals != std::string::npos;
      options.forecasts.emplace_back(named ? value.substr(0, equals) : Stem(value),
                                     named ? value.substr(equals + 1) : value);
    } else if (take("--only", &value)) {
      options.only.push_back(value);
    } else {
      return Fail("unknown option or missing value: " + std::string(option) + " (--help)");
    }
  }
  if (options.scenarios.empty() || options.graphs.empty() || options.folder.empty()) {
    return Fail("--scenarios, --graphs and --folder are needed (--help)");
  }
  const auto* const found = std::find(std::begin(kStageNames), std::end(kStageNames), stage);
  if (found == std::end(kStageNames)) {
    return Fail("--stage: give runs, models, forecasts or scores");
  }
  options.until = static_cast<Stage>(found - std::begin(kStageNames));
  options.jobs = static_cast<std::size_t>(std::clamp(std::atoi(jobs.c_str()), 0, 256));
  if (options.jobs == 0) options.jobs = std::max(1u, std::thread::hardware_concurrency());
  const auto begin = std::chrono::steady_clock::now();
  options.say = [begin](std::string_view what) {
    const std::chrono::duration<double> wall = std::chrono::steady_clock::now() - begin;
    timespec used{};  // of the processor, so far
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    std::fprintf(stderr, "seer: %5.0f s, %5lld s of processor time: %.*s\n", wall.count(),
                 static_cast<long long>(used.tv_sec), static_cast<int>(what.size()), what.data());
  };

  auto done = Evaluate(options);
  if (!done.ok()) {
    return Fail(std::string_view(done.status().message().data(), done.status().message().size()));
  }
  if (options.until != Stage::kScores) return 0;
  std::string lines;
  for (const EvaluationFigure& figure : done->figures) lines += FigureLine(figure) + "\n";
  const std::string report =
      options.folder + (options.per_application ? "/report-applications" : "/report");
  const std::pair<std::string, std::string> outputs[] = {{report + ".md", ToMarkdown(done->report)},
                                                         {report + ".html", ToHtml(done->report)},
                                                         {report + ".json", ToJson(done->report)},
                                                         {figures, lines}};
  for (const auto& [path, bytes] : outputs) {
    if (path.empty()) continue;
    const absl::Status status = WriteFile(path, bytes);
    if (!status.ok()) {
      return Fail(std::string_view(status.message().data(), status.message().size()));
    }
  }
  return 0;
}

}  // namespace
}  // namespace seer::evaluation

int main(int argc, char** argv) { return seer::evaluation::Main(argc, argv); }
