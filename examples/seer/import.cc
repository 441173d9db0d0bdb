#include <unistd.h>

#include <cmath>

#include "examples/seer/args.h"
#include "seer/dataset/importer.h"

namespace seer_tool {
namespace {

// On a terminal only: one line that is drawn anew.
bool DrawProgress(const seer::ImportProgress& progress) {
  constexpr int kWidth = 40;
  const double share = progress.bytes_total == 0 ? 0
                                                 : static_cast<double>(progress.bytes_done) /
                                                       static_cast<double>(progress.bytes_total);
  const int filled = static_cast<int>(share * kWidth);
  std::fprintf(stderr, "\r[%-*s] %3.0f %%  %llu spans ", kWidth,
               std::string(static_cast<std::size_t>(filled), '#').c_str(), 100 * share,
               static_cast<unsigned long long>(progress.spans));
  return true;
}

}  // namespace

int RunImport(const ImportArgs& args) {
  const auto format = seer::ImportFormatFromName(args.from);
  if (!format) return kUsage;
  if (args.label && *format == seer::ImportFormat::kCsvFolder) {
    std::fprintf(stderr, "seer: --label needs traces, and tables are none: run seer label\n");
    return kUsage;
  }
  seer::ImportOptions options;
  options.run.name = args.name;
  options.run.provenance.licence = args.licence;
  options.application = args.application;
  options.request_class = args.request_class;
  options.target.latency_ns = std::llround(args.target_ms * 1e6);
  options.target.allowed_ppm = static_cast<std::uint32_t>(std::llround(args.over_percent * 1e4));
  options.target.window_ms = static_cast<std::uint32_t>(std::llround(args.window_ms));
  options.target.min_over = args.min_over;
  options.label = args.label;
  options.label_calm_ns = std::llround(args.calm_ms * 1e6);
  const auto period = seer::TickPeriod::FromNs(std::llround(args.tick_ms * 1e6));
  if (!period.ok()) return Fail(period.status());
  options.run.period = *period;
  const bool bar = !args.quiet && !args.json && isatty(STDERR_FILENO) != 0;
  if (bar) options.progress = DrawProgress;

  absl::StatusOr<seer::ImportReport> report;
  if (args.append) {
    absl::StatusOr<seer::DatasetWriter> writer = seer::DatasetWriter::Append(args.output);
    if (!writer.ok()) return Fail(writer.status());
    report = seer::Import(*format, args.inputs, options, &*writer);
  } else {
    report = seer::ImportToFile(*format, args.inputs, args.output, options);
  }
  if (bar) std::fprintf(stderr, "\r%*s\r", 70, "");
  if (!report.ok()) return Fail(report.status());

  const std::vector<std::pair<const char*, std::uint64_t>> facts = {
      {"run", report->run},
      {"rows", report->rows},
      {"intervals", report->intervals},
      {"ticks", report->ticks},
      {"events", report->events},
      {"services", report->services},
      {"edges", report->edges},
      {"internal", report->internal},
      {"without_caller", report->without_caller},
      {"far_ahead", report->far_ahead},
      {"bytes", report->bytes}};
  if (args.json) {
    JsonWriter json;
    json.Open('{');
    for (const auto& [name, value] : facts) {
      json.Key(name).Integer(static_cast<std::int64_t>(value));
    }
    json.Key("sorted").Bool(report->sorted).Close('}').Print();
    return kOk;
  }
  std::vector<std::vector<std::string>> rows;
  for (const auto& [name, value] : facts) rows.push_back({name, std::to_string(value)});
  PrintTable(rows);
  return kOk;
}

}  // namespace seer_tool
