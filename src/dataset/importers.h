// The importers of each format. Import() in import.cc calls them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "dataset/input.h"
#include "dataset/run_sink.h"
#include "seer/core/config.h"
#include "seer/dataset/importer.h"
#include "seer/dataset/writer.h"

SEER_BEGIN_NAMESPACE
namespace internal {

// Tells the host how far it is, every MiB or so.
class ProgressMeter {
 public:
  ProgressMeter(const ImportOptions& options, std::uint64_t bytes_total)
      : options_(options), total_(bytes_total) {}
  // Cancelled if the host says so.
  absl::Status Tell(std::uint64_t bytes_done, std::uint64_t spans) {
    if (!options_.progress || bytes_done - told_ < (1u << 20)) return absl::OkStatus();
    told_ = bytes_done;
    if (options_.progress({bytes_done, total_, spans})) return absl::OkStatus();
    return absl::CancelledError("seer: the import was cancelled");
  }

 private:
  const ImportOptions& options_;
  const std::uint64_t total_;
  std::uint64_t told_ = 0;
};

struct ImportContext {
  const ImportOptions& options;
  RunSink& sink;
  ImportReport& report;
  ProgressMeter& meter;
  std::uint64_t bytes_before = 0;  // of the files before this one
};

absl::Status ImportRpcCsv(InputFile& file, ImportContext& context);
absl::Status ImportJson(ImportFormat format, InputFile& file, ImportContext& context);
// Writes topology, ticks and events by itself: there are no spans.
absl::Status ImportCsvFolder(const std::string& folder, const ImportOptions& options,
                             DatasetWriter* writer, ImportReport* report);

}  // namespace internal
SEER_END_NAMESPACE
