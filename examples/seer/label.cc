#include <algorithm>
#include <cmath>
#include <cstdio>
#include <fstream>

#include "examples/seer/args.h"
#include "seer/dataset/importer.h"
#include "seer/dataset/reader.h"
#include "seer/dataset/writer.h"
#include "seer/window/labels.h"
#include "seer/window/violation_labeller.h"

namespace seer_tool {
namespace {

bool IsLabel(const seer::DatasetEvent& event) {
  return event.kind == seer::DatasetEventKind::kViolation &&
         std::string_view(event.source).substr(0, seer::kLabelSource.size()) == seer::kLabelSource;
}

std::int64_t NsOf(double ms) { return static_cast<std::int64_t>(std::llround(ms * 1e6)); }

// From the ticks of the dataset: there is no trace in it, so the depths are asked.
std::vector<seer::DatasetEvent> LabelByDepths(const seer::DatasetReader& reader, std::uint32_t run,
                                              const seer::Topology& topology, std::int64_t calm_ns,
                                              bool* damaged) {
  seer::ViolationLabellerOptions options;
  options.violations.quiet_ns = calm_ns;
  options.culprits.period = reader.manifest().runs[run].period;
  seer::ViolationLabeller labeller(options, &topology);
  std::vector<seer::DatasetEvent> events;
  seer::ClusterTick tick;
  for (seer::TickCursor cursor = reader.Ticks(run);;) {
    const auto more = cursor.Next(&tick);
    if (!more.ok()) {
      Fail(more.status());
      *damaged = true;
      continue;
    }
    if (!*more) break;
    labeller.Observe(tick);
  }
  labeller.Finish();
  for (const seer::LabelledViolation& label : labeller.Take()) {
    events.push_back(seer::EventOf(label, topology));
  }
  return events;
}

// From the traces that the run was made of: they are read once more, into a dataset that goes away.
absl::StatusOr<std::vector<seer::DatasetEvent>> LabelByTraces(const LabelArgs& args,
                                                              const seer::DatasetRun& run,
                                                              const seer::Topology& topology) {
  const auto format = seer::ImportFormatFromName(args.from);
  seer::ImportOptions options;
  options.run.period = run.period;
  options.label = true;
  options.label_calm_ns = NsOf(args.calm_ms);
  const auto classes = topology.classes();
  for (const seer::RequestClass& each : classes) {
    if (each.target == classes[0].target) continue;
    return absl::FailedPreconditionError(
        "the classes of run " + run.name +
        " have several targets, which one import does not: label it by depths, without --traces");
  }
  if (!classes.empty()) {
    options.target = classes[0].target;
    options.application = classes[0].application;
    if (classes.size() == 1) options.request_class = classes[0].name;
  }
  const std::string scratch = args.dataset + ".label-scratch";
  std::remove(scratch.c_str());  // of a call that died
  const auto report = seer::ImportToFile(*format, args.traces, scratch, options);
  if (!report.ok()) return report.status();
  auto reader = seer::DatasetReader::Open(scratch);
  std::remove(scratch.c_str());
  if (!reader.ok()) return reader.status();
  return reader->Events(0);
}

// What people or a simulator know goes before what is found out.
void TakeTruth(const std::vector<seer::DatasetEvent>& events, std::int64_t calm_ns,
               seer::DatasetEvent* label) {
  for (const seer::DatasetEvent& truth : events) {
    if (truth.kind != seer::DatasetEventKind::kViolation || IsLabel(truth) ||
        truth.initiation == seer::Initiation::kUnknown) {
      continue;
    }
    if (!truth.request_class.empty() && truth.request_class != label->request_class) continue;
    if (truth.start_ns > label->end_ns + calm_ns || label->start_ns > truth.end_ns + calm_ns) {
      continue;
    }
    label->initiation = truth.initiation;
    label->culprit = truth.culprit;
    label->cause = truth.cause;
    label->confidence = truth.confidence;
    label->source = std::string(seer::kLabelSource) + ": truth";
    return;
  }
}

// Each tick and class: does a violation start within each horizon? An empty field: not known.
void WriteTicks(std::ostream& out, const seer::DatasetRun& run, const seer::Topology& topology,
                const std::vector<seer::DatasetEvent>& labels,
                const std::vector<std::int64_t>& horizons) {
  constexpr seer::Tick kAtOnce = 1 << 16;
  std::vector<seer::TickLabel> ticks;
  for (std::uint32_t c = 0; c < topology.classes().size(); ++c) {
    const seer::RequestClass& request_class = topology.classes()[c];
    std::vector<seer::Violation> violations;
    std::vector<const seer::DatasetEvent*> of;
    for (const seer::DatasetEvent& event : labels) {
      if (event.request_class != request_class.name) continue;
      seer::Violation violation;
      violation.request_class = seer::ClassId(c);
      violation.start_ns = event.start_ns;
      violation.end_ns = event.end_ns;
      violations.push_back(violation);
      of.push_back(&event);
    }
    for (seer::Tick from = run.first; run.ticks > 0 && from <= run.last; from += kAtOnce) {
      const auto n = static_cast<std::size_t>(std::min(kAtOnce, run.last - from + 1));
      seer::LabelTicks({from, n, run.period, run.period.EndNs(run.last)}, violations, horizons,
                       seer::ClassId(c), &ticks);
      for (const seer::TickLabel& tick : ticks) {
        out << CsvField(run.name) << ',' << run.period.EndNs(tick.tick) / 1'000'000 << ','
            << CsvField(request_class.name) << ',' << (tick.in_violation ? 1 : 0);
        for (std::size_t h = 0; h < horizons.size(); ++h) {
          out << ',';
          if (tick.known >> h & 1) out << (tick.starts >> h & 1);
        }
        out << ',';
        if (tick.next >= 0) {
          const seer::DatasetEvent& next = *of[static_cast<std::size_t>(tick.next)];
          out << seer::InitiationName(next.initiation) << ',' << CsvField(next.culprit);
        } else {
          out << ',';
        }
        out << '\n';
      }
    }
  }
}

}  // namespace

int RunLabel(const LabelArgs& args) {
  if (!args.traces.empty() && args.from.empty()) {
    std::fprintf(stderr, "seer: --traces needs --from, the format of the traces\n");
    return kUsage;
  }
  if (args.horizons_ms.size() > seer::kMaxHorizons) {
    std::fprintf(stderr, "seer: at most %zu horizons: leave some out\n", seer::kMaxHorizons);
    return kUsage;
  }
  const std::int64_t calm_ns = NsOf(args.calm_ms);
  std::vector<std::int64_t> horizons;
  for (const double ms : args.horizons_ms) horizons.push_back(NsOf(ms));

  std::vector<std::pair<std::uint32_t, seer::DatasetEvent>> found;
  bool damaged = false;
  {
    const auto reader = seer::DatasetReader::Open(args.dataset);
    if (!reader.ok()) return Fail(reader.status());
    const std::vector<seer::DatasetRun>& runs = reader->manifest().runs;
    if (!args.traces.empty() && runs.size() != 1 && args.run < 0) {
      std::fprintf(stderr, "seer: there are %zu runs: say with --run whose traces these are\n",
                   runs.size());
      return kUsage;
    }
    if (args.run >= static_cast<std::int64_t>(runs.size())) return Fail(NoSuchRun(args.run));
    std::ofstream ticks;
    if (!args.ticks.empty()) {
      ticks.open(args.ticks);
      ticks << "run,time_ms,class,in_violation";
      for (const double ms : args.horizons_ms) ticks << ",starts_in_" << ms << "_ms";
      ticks << ",initiation,culprit\n";
    }
    for (std::uint32_t run = 0; run < runs.size(); ++run) {
      if (args.run >= 0 && args.run != run) continue;
      const auto events = reader->Events(run);
      if (!events.ok()) return Fail(events.status());
      const auto topology = reader->LatestTopology(run);
      if (!topology.ok()) continue;  // a run that recorded nothing
      std::vector<seer::DatasetEvent> labels;
      std::copy_if(events->begin(), events->end(), std::back_inserter(labels), IsLabel);
      if (labels.empty()) {  // else an earlier call found them
        if (args.traces.empty()) {
          labels = LabelByDepths(*reader, run, *topology, calm_ns, &damaged);
        } else {
          auto by_traces = LabelByTraces(args, runs[run], *topology);
          if (!by_traces.ok()) return Fail(by_traces.status());
          labels = *std::move(by_traces);
        }
        for (seer::DatasetEvent& label : labels) {
          TakeTruth(*events, calm_ns, &label);
          found.emplace_back(run, label);
        }
      }
      if (!args.ticks.empty()) WriteTicks(ticks, runs[run], *topology, labels, horizons);
    }
    if (!args.ticks.empty() && !ticks.flush()) {
      return Fail(absl::UnavailableError(args.ticks + " cannot be written: check the folder"));
    }
  }
  if (!args.dry_run && !found.empty()) {
    auto writer = seer::DatasetWriter::Append(args.dataset);
    if (!writer.ok()) return Fail(writer.status());
    for (const auto& [run, event] : found) {
      if (const auto status = writer->AddEvent(run, event); !status.ok()) return Fail(status);
    }
  }
  if (args.json) {
    JsonWriter json;
    json.Open('[');
    for (const auto& [run, event] : found) {
      json.Open('{').Key("run").Integer(run);
      PutEvent(event, &json);
      json.Close('}');
    }
    json.Close(']').Print();
  } else {
    std::vector<std::vector<std::string>> rows = {
        {"class", "run", "start", "end", "initiation", "culprit", "confidence", "by", "cause"}};
    for (const auto& [run, event] : found) {
      std::string by =
          event.source.substr(std::min(event.source.size(), seer::kLabelSource.size()));
      by.erase(0, std::min<std::size_t>(2, by.size()));  // ": "
      rows.push_back({event.request_class, std::to_string(run), Seconds(event.start_ns),
                      Seconds(event.end_ns), std::string(seer::InitiationName(event.initiation)),
                      event.culprit, Short(static_cast<double>(event.confidence)), by,
                      event.cause});
    }
    PrintTable(rows);
    if (found.empty()) std::printf("no violation that was not labelled before\n");
  }
  return damaged ? kDamaged : kOk;
}

}  // namespace seer_tool
