#include "benchmarks/evaluation/by_application.h"

#include <algorithm>
#include <map>
#include <utility>
#include <vector>

namespace seer::evaluation {
namespace {

constexpr std::int64_t kQuietMs = 1000;

std::vector<ViolationRow> Merged(std::vector<ViolationRow> rows) {
  std::stable_sort(rows.begin(), rows.end(), [](const ViolationRow& a, const ViolationRow& b) {
    return a.start_ms < b.start_ms;
  });
  std::vector<ViolationRow> merged;
  std::map<std::string, std::size_t> last;  // of each application, in `merged`
  for (ViolationRow& row : rows) {
    row.request_class = ApplicationOf(row.request_class);
    const auto found = last.find(row.request_class);
    if (found != last.end() && row.start_ms <= merged[found->second].end_ms + kQuietMs) {
      ViolationRow& before = merged[found->second];
      before.end_ms = std::max(before.end_ms, row.end_ms);
      continue;
    }
    last[row.request_class] = merged.size();
    merged.push_back(std::move(row));
  }
  return merged;
}

}  // namespace

std::string ApplicationOf(std::string_view request_class) {
  return std::string(request_class.substr(0, request_class.find('/')));
}

Recording ByApplication(const Recording& truth) {
  Recording result;
  for (const Run& run : truth.runs) {
    Run& out = result.Of(run.name);
    out.start_ms = run.start_ms;
    out.end_ms = run.end_ms;
    out.violations = Merged(run.violations);
    std::map<std::pair<std::int64_t, std::uint32_t>, double> tails;
    for (const TailRow& row : run.tails) {
      const std::uint32_t id = result.names.Intern(ApplicationOf(truth.names[row.request_class]));
      double& most = tails[{row.time_ms, id}];
      if (row.target_ms > 0) most = std::max(most, row.tail_ms / row.target_ms);
    }
    for (const auto& [key, tail] : tails) out.tails.push_back({key.first, key.second, tail, 1.0});
  }
  return result;
}

Trace ByApplication(const Trace& trace) {
  std::vector<std::string> applications;
  std::vector<std::size_t> of_class;
  for (const std::string& request_class : trace.classes()) {
    const std::string name = ApplicationOf(request_class);
    const auto found = std::find(applications.begin(), applications.end(), name);
    of_class.push_back(static_cast<std::size_t>(found - applications.begin()));
    if (found == applications.end()) applications.push_back(name);
  }
  Trace result(applications, trace.culprits());
  std::vector<Trace::Cell> cells;
  for (std::size_t t = 0; t < trace.ticks(); ++t) {
    cells.assign(applications.size(), Trace::Cell());
    for (std::size_t c = 0; c < of_class.size(); ++c) {
      const Trace::Cell cell = trace.at(t, c);
      if (!cell.known) continue;
      Trace::Cell& most = cells[of_class[c]];
      const bool alarm = most.alarm || cell.alarm;
      if (!most.known || cell.p > most.p) most = cell;
      most.alarm = alarm;
    }
    result.Add(trace.time_ms(t), cells);
  }
  return result;
}

}  // namespace seer::evaluation
