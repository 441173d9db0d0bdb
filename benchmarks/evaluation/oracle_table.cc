// oracle-table: how much can be foreseen at all, by cause and by lead, of the runs in a folder.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "benchmarks/evaluation/oracle_looks.h"
#include "benchmarks/evaluation/report.h"
#include "benchmarks/evaluation/simulate.h"

namespace seer::evaluation {
namespace {

constexpr std::string_view kUsage = R"(oracle-table FOLDER [HORIZON_MS]

What the oracle said of the test runs in FOLDER, as `run-evaluation --stage runs` makes them, of
those that are there. The horizon is 2000 ms unless said otherwise.
)";

int Fail(std::string_view message) {
  std::fprintf(stderr, "oracle-table: %.*s\n", static_cast<int>(message.size()), message.data());
  return 1;
}
int Fail(const absl::Status& status) {
  return Fail({status.message().data(), status.message().size()});
}

int Main(int argc, char** argv) {
  const std::string folder = argc > 1 ? argv[1] : "";
  if (argc > 3 || folder.empty() || folder[0] == '-') {
    std::fwrite(kUsage.data(), 1, kUsage.size(), stdout);
    return folder == "-h" || folder == "--help" ? 0 : 2;
  }
  const std::int64_t horizon_ms = argc > 2 ? std::atoll(argv[2]) : 2000;
  if (horizon_ms <= 0) return Fail("HORIZON_MS: give more than 0");
  std::vector<std::string> runs;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
    const std::string name = entry.path().stem();
    if (entry.path().extension() != ".seerdata" || name.rfind("test-", 0) != 0) continue;
    if (RunFiles(folder, name).done()) runs.push_back(name);
  }
  if (error) return Fail(folder + ": " + error.message());
  if (runs.empty()) return Fail(folder + ": no finished run test-*: give a folder that has some");
  std::sort(runs.begin(), runs.end());
  Recording truth;
  for (const std::string& run : runs) {
    if (auto read = ReadTruth(RunFiles(folder, run), &truth); !read.ok()) return Fail(read);
  }
  const auto looks = ReadLooks(folder, runs, horizon_ms, &truth);
  if (!looks.ok()) return Fail(looks.status());
  Report report;
  report.title = "The oracle on " + std::to_string(runs.size()) + " test runs";
  report.sections = OracleSections(Summarize(*looks, horizon_ms));
  const std::string text = ToMarkdown(report);
  std::fwrite(text.data(), 1, text.size(), stdout);
  return 0;
}

}  // namespace
}  // namespace seer::evaluation

int main(int argc, char** argv) { return seer::evaluation::Main(argc, argv); }
