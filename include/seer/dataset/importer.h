// Flow: traces and tables of other tools -> [Import] -> DatasetWriter
//
// Turns recordings of other tracers into a run of a dataset: reads spans, learns the topology,
// derives queue depths per tick.
//
//   seer::ImportOptions options;
//   options.run.name = "friday";
//   auto report = seer::ImportToFile(seer::ImportFormat::kJaegerJson, {"traces.json.gz"},
//                                    "friday.seerdata", options);
//   if (!report.ok()) std::cerr << report.status() << "\n";   // file, line or byte, column, the
//   fix
//
// Formats:
//   otlp-json    OTLP/JSON, one document or one a line (the collector's file exporter)
//   jaeger-json  of the query API and of the UI's download: {"data": [trace, ...]}, or traces alone
//   zipkin-json  Zipkin v2: [span, ...], or [[span, ...], ...]
//   rpc-csv      trace,caller,callee,op,c_start_us,c_dur_us,s_start_us,s_dur_us,status
//                A row is a call: c_ as the caller saw it, s_ as the callee did; either may be
//                empty. An empty caller is a client outside.
//   csv          a folder: depths.csv  (time_ms,<service>#<channel>,<caller>><callee>#outbound,...;
//                                       `outstanding` is a channel too: calls that stand at a
//                                       service, whoever made them; depths at one moment)
//                          means.csv       (the same columns: means over the tick)
//                          topology.csv    (caller,callee; an empty caller is the client outside)
//                          latency.csv     (time_ms,count,p50_ms,p99_ms[,over_target][,class])
//                          violations.csv  (start_ms,end_ms,culprit,cause)
//                The last three may be absent. time_ms is a tick's end. An empty field was not
//                measured. `outstanding` of a service with one caller is that edge's outbound; with
//                several it stays the service's, as nobody tells whose calls they are.
// A file that is packed with gzip is unpacked on the way, whatever its name.
//
// Spans need not be sorted: where they are out of order by more than `reorder_ns`, the input is
// read a second time and sorted through a temporary file. It is read a second time too where a
// service or an edge shows up only later than that: a file is a whole recording, so it was at rest
// before, and not unseen. All inputs together make one run.
//
// Errors: InvalidArgument names file, line (CSV) or byte (JSON), column, and the fix; NotFound and
// Unavailable what the system says; FailedPrecondition where another import makes the same file;
// Cancelled where `progress` said so. After an error the dataset is as it was before: nothing is
// half-written. Bounds: a line of 1 MiB, a JSON object of 64 MiB.
//
// Threads: one at a time for each writer. Cost: see benchmarks/RESULTS.md. Memory does not depend
//   on the size of the input.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "seer/core/config.h"
#include "seer/core/tick.h"
#include "seer/core/topology.h"
#include "seer/dataset/manifest.h"
#include "seer/dataset/writer.h"

SEER_BEGIN_NAMESPACE

enum class ImportFormat : std::uint8_t { kOtlpJson, kJaegerJson, kZipkinJson, kRpcCsv, kCsvFolder };
// "otlp-json", "jaeger-json", "zipkin-json", "rpc-csv", "csv".
std::string_view ImportFormatName(ImportFormat format);
std::optional<ImportFormat> ImportFormatFromName(std::string_view name);

struct ImportProgress {
  std::uint64_t bytes_done = 0;  // of the files as they lie there
  std::uint64_t bytes_total = 0;
  std::uint64_t spans = 0;
};

struct ImportOptions {
  // Name, period and provenance. What is empty is filled in: the first input's name, the format.
  DatasetRun run;
  std::string application;
  // Not empty: all requests from outside are of this one class. Empty: a class for each operation.
  std::string request_class;
  QosTarget target{100'000'000, 10'000, 1000, 1};  // of the classes
  std::int64_t reorder_ns = 30'000'000'000;        // at most 10 min
  std::size_t max_bytes_per_object = std::size_t{64} << 20;
  // Also finds the violations and, by the traces, who initiated each, and writes them as events. Of
  // formats with spans; it costs about as much again as the rest.
  bool label = false;
  std::int64_t label_calm_ns = 1'000'000'000;  // violations that are less apart are one
  // Called now and then; false cancels.
  std::function<bool(const ImportProgress&)> progress;
};

struct ImportReport {
  std::uint32_t run = 0;
  std::uint64_t bytes = 0;      // of the files as they lie there
  std::uint64_t rows = 0;       // spans, or rows of tables
  std::uint64_t intervals = 0;  // of those, calls and requests that count
  std::uint64_t ticks = 0;
  std::uint64_t events = 0;
  std::uint64_t services = 0;
  std::uint64_t edges = 0;
  std::uint64_t without_caller = 0;  // requests whose parent is not in the input
  std::uint64_t internal = 0;        // spans inside one service: no call, not counted
  std::uint64_t far_ahead = 0;       // of a clock that is hours ahead: left out
  bool sorted = false;               // the input was out of order by more than reorder_ns
  int readings = 1;                  // how often it was read
};

// Adds a run to the writer, in which no run may be open.
absl::StatusOr<ImportReport> Import(ImportFormat format, const std::vector<std::string>& inputs,
                                    const ImportOptions& options, DatasetWriter* writer);

// Makes the file, which must not be there: under another name first, so that it is whole or absent.
absl::StatusOr<ImportReport> ImportToFile(ImportFormat format,
                                          const std::vector<std::string>& inputs,
                                          const std::string& path, const ImportOptions& options,
                                          const DatasetWriterOptions& writer_options = {});

SEER_END_NAMESPACE
