#include "examples/seer/recorded.h"

#include <map>
#include <utility>

namespace seer_tool {
namespace {

// Violations of a run, by whoever named most of the initiators: a recording may be labelled twice.
absl::StatusOr<std::vector<seer::Violation>> ViolationsOf(const seer::DatasetReader& reader,
                                                          std::uint32_t run,
                                                          const seer::Topology& topology,
                                                          const std::string& wanted) {
  const auto events = reader.Events(run);
  if (!events.ok()) return events.status();
  std::map<std::string, std::vector<seer::Violation>> by_source;
  for (const seer::DatasetEvent& event : *events) {
    if (event.kind != seer::DatasetEventKind::kViolation) continue;
    if (!wanted.empty() && event.source != wanted) continue;
    seer::Violation violation;
    violation.start_ns = event.start_ns;
    violation.end_ns = event.end_ns;
    violation.initiation = event.initiation;
    violation.confidence = event.confidence;
    if (event.initiation == seer::Initiation::kService) {
      const auto culprit = topology.FindService(event.culprit);
      violation.culprit = culprit.value_or(seer::ServiceId());
      if (!culprit) violation.initiation = seer::Initiation::kUnknown;
    }
    for (std::size_t c = 0; c < topology.classes().size(); ++c) {
      const seer::RequestClass& row = topology.classes()[c];
      if (!row.removed && (row.name == event.request_class || topology.live_classes() == 1)) {
        violation.request_class = seer::ClassId(static_cast<std::uint32_t>(c));
      }
    }
    by_source[event.source].push_back(violation);
  }
  std::vector<seer::Violation> best;
  std::size_t best_named = 0;
  for (auto& [source, violations] : by_source) {
    std::size_t named = 0;
    for (const seer::Violation& v : violations) {
      named += v.initiation == seer::Initiation::kUnknown ? 0 : 1;
    }
    if (best.empty() || named > best_named) {
      best = std::move(violations);
      best_named = named;
    }
  }
  return best;
}

}  // namespace

absl::StatusOr<std::vector<Part>> PartsOf(
    const std::vector<std::unique_ptr<seer::DatasetReader>>& readers,
    std::optional<seer::SplitPart> which, const std::string& labels) {
  std::vector<Part> parts;
  for (const auto& reader : readers) {
    const seer::DatasetManifest& manifest = reader->manifest();
    for (std::uint32_t run = 0; run < manifest.runs.size(); ++run) {
      auto topology = reader->LatestTopology(run);
      if (!topology.ok() || manifest.runs[run].ticks == 0) continue;  // it recorded nothing
      auto violations = ViolationsOf(*reader, run, *topology, labels);
      if (!violations.ok()) return violations.status();
      Part part{reader.get(), run, {}, {}, *topology, *violations};
      part.from = manifest.runs[run].first;
      part.to = manifest.runs[run].last + 1;
      if (!which || manifest.split.empty()) {
        parts.push_back(std::move(part));
        continue;
      }
      for (const seer::SplitRange& range : manifest.split) {
        if (range.run != run || range.part != *which) continue;
        part.from = range.from;
        part.to = range.to;
        parts.push_back(part);
      }
    }
  }
  return parts;
}

absl::StatusOr<std::vector<std::unique_ptr<seer::DatasetReader>>> OpenAll(
    const std::vector<std::string>& paths) {
  std::vector<std::unique_ptr<seer::DatasetReader>> readers;
  for (const std::string& path : paths) {
    auto reader = seer::DatasetReader::Open(path);
    if (!reader.ok()) return reader.status();
    readers.push_back(std::make_unique<seer::DatasetReader>(*std::move(reader)));
  }
  return readers;
}

std::vector<Part> KeepBack(std::vector<Part>* parts) {
  constexpr std::int64_t kGapNs = 10'000'000'000;  // more than any history and horizon
  std::vector<Part> kept;
  for (Part& part : *parts) {
    const std::int64_t period_ns = part.reader->manifest().runs[part.run].period.ns();
    const seer::Tick gap = kGapNs / period_ns + 1;
    const seer::Tick ticks = part.to - part.from;
    if (ticks < 8 * gap) continue;
    Part last = part;
    last.from = part.to - ticks / 4;
    part.to = last.from - gap;
    kept.push_back(std::move(last));
  }
  return kept;
}

std::vector<seer::LabelledRun> LabelledRunsOf(const std::vector<Part>& parts) {
  std::vector<seer::LabelledRun> runs;
  for (const Part& part : parts) {
    seer::LabelledRun run;
    run.topology = part.topology;
    // Those of its own ticks: what was before a part is over, what comes later is not its own.
    const seer::TickPeriod period = part.reader->manifest().runs[part.run].period;
    for (const seer::Violation& violation : part.violations) {
      if (violation.end_ns < period.EndNs(part.from)) continue;
      if (violation.start_ns > period.EndNs(part.to - 1)) continue;
      run.violations.push_back(violation);
    }
    run.for_each_tick = [&part](const auto& handle) { return ForEachTick(part, handle); };
    runs.push_back(std::move(run));
  }
  return runs;
}

}  // namespace seer_tool
