#include <cstdio>
#include <utility>

#include "dataset/importers.h"
#include "seer/core/internal/status_macros.h"
#include "seer/dataset/importer.h"

SEER_BEGIN_NAMESPACE
namespace {

using internal::ImportContext;
using internal::InputFile;
using internal::ProgressMeter;
using internal::RunFacts;
using internal::RunSink;

constexpr ImportFormat kFormats[] = {ImportFormat::kOtlpJson, ImportFormat::kJaegerJson,
                                     ImportFormat::kZipkinJson, ImportFormat::kRpcCsv,
                                     ImportFormat::kCsvFolder};

absl::Status ImportSpans(ImportFormat format, const std::vector<std::string>& inputs,
                         const ImportOptions& options, bool sort, RunFacts* known, bool* again,
                         DatasetWriter* writer, ImportReport* report) {
  std::uint64_t total = 0;
  for (const std::string& path : inputs) {
    SEER_ASSIGN_OR_RETURN(const std::uint64_t bytes, internal::FileBytes(path));
    total += bytes;
  }
  report->bytes = total;
  ProgressMeter meter(options, total);
  RunSink sink(options, sort, *again ? known : nullptr, writer, report);
  *again = false;
  ImportContext context{options, sink, *report, meter, 0};
  for (const std::string& path : inputs) {
    SEER_ASSIGN_OR_RETURN(InputFile file, InputFile::Open(path));
    SEER_RETURN_IF_ERROR(format == ImportFormat::kRpcCsv
                             ? internal::ImportRpcCsv(file, context)
                             : internal::ImportJson(format, file, context));
    context.bytes_before += file.bytes_done();
  }
  SEER_RETURN_IF_ERROR(sink.Finish());
  if (report->intervals == 0) {
    return absl::InvalidArgumentError(
        inputs.front() + ": holds no span of a call or a request: is it of the format " +
        std::string(ImportFormatName(format)) + "?");
  }
  *again = sink.learnt_late();
  if (*again) *known = sink.TakeFacts();
  return absl::OkStatus();
}

absl::Status CheckOptions(const std::vector<std::string>& inputs, const ImportOptions& options) {
  if (inputs.empty()) return absl::InvalidArgumentError("seer: nothing to import: name an input");
  if (options.reorder_ns < 0 || options.reorder_ns > 600'000'000'000) {
    return absl::InvalidArgumentError("ImportOptions.reorder_ns is outside 0 to 10 min: mend it");
  }
  if (options.max_bytes_per_object < 64 || options.max_bytes_per_object > (std::size_t{1} << 31)) {
    return absl::InvalidArgumentError(
        "ImportOptions.max_bytes_per_object is outside 64 to 2^31: mend it");
  }
  const absl::Status target = options.target.Validate();
  return target;
}

}  // namespace

std::string_view ImportFormatName(ImportFormat format) {
  switch (format) {
    case ImportFormat::kOtlpJson:
      return "otlp-json";
    case ImportFormat::kJaegerJson:
      return "jaeger-json";
    case ImportFormat::kZipkinJson:
      return "zipkin-json";
    case ImportFormat::kRpcCsv:
      return "rpc-csv";
    case ImportFormat::kCsvFolder:
      break;
  }
  return "csv";
}

std::optional<ImportFormat> ImportFormatFromName(std::string_view name) {
  for (const ImportFormat format : kFormats) {
    if (ImportFormatName(format) == name) return format;
  }
  return std::nullopt;
}

absl::StatusOr<ImportReport> Import(ImportFormat format, const std::vector<std::string>& inputs,
                                    const ImportOptions& options, DatasetWriter* writer) {
  SEER_RETURN_IF_ERROR(CheckOptions(inputs, options));
  DatasetRun run = options.run;
  if (run.name.empty()) {
    std::string name = inputs.front();
    while (name.size() > 1 && name.back() == '/') name.pop_back();
    run.name = name.substr(name.find_last_of('/') + 1);
  }
  if (run.provenance.source.empty()) run.provenance.source = inputs.front();
  if (run.provenance.tool.empty()) {
    run.provenance.tool = "seer import --from " + std::string(ImportFormatName(format));
  }
  // Once, as it comes. Again where rows were learnt late, with all of them known from the start; or
  // where it is out of order, sorted: there all rows are known before the first tick is given.
  RunFacts known;
  bool again = false, sort = false;
  for (int readings = 1;; ++readings) {
    ImportReport report;
    report.sorted = sort;
    report.readings = readings;
    SEER_ASSIGN_OR_RETURN(report.run, writer->BeginRun(run));
    absl::Status status;
    if (format == ImportFormat::kCsvFolder) {
      status =
          inputs.size() == 1
              ? internal::ImportCsvFolder(inputs.front(), options, writer, &report)
              : absl::InvalidArgumentError("seer: csv takes one folder: import them one by one");
    } else {
      status = ImportSpans(format, inputs, options, sort, &known, &again, writer, &report);
    }
    const bool out_of_order = RunSink::IsOutOfOrder(status);
    if (status.ok() && (!again || readings > 2)) {
      status = writer->EndRun();
      if (status.ok()) return report;
    }
    SEER_RETURN_IF_ERROR(writer->AbandonRun());
    if (out_of_order && !sort) {
      sort = true;
      again = false;
    } else if (!status.ok()) {
      return status;
    }
  }
}

absl::StatusOr<ImportReport> ImportToFile(ImportFormat format,
                                          const std::vector<std::string>& inputs,
                                          const std::string& path, const ImportOptions& options,
                                          const DatasetWriterOptions& writer_options) {
  if (internal::FileBytes(path).ok()) {
    return absl::AlreadyExistsError(path + " is there already: name another file");
  }
  const std::string partial = path + ".partial";
  // Of an import that died, or of one that is at it.
  if (absl::IsFailedPrecondition(DatasetWriter::Append(partial).status())) {
    return absl::FailedPreconditionError(
        path + " is being made by another import: wait for it, or name another file");
  }
  std::remove(partial.c_str());
  absl::StatusOr<ImportReport> report;
  {
    SEER_ASSIGN_OR_RETURN(DatasetWriter writer, DatasetWriter::Create(partial, writer_options));
    report = Import(format, inputs, options, &writer);
  }
  if (report.ok() && std::rename(partial.c_str(), path.c_str()) != 0) {
    report = absl::UnavailableError(path + ": cannot be made of " + partial + ": check the folder");
  }
  if (!report.ok()) std::remove(partial.c_str());
  return report;
}

SEER_END_NAMESPACE
