// Calls with names -> topology, depths, ticks -> the open run of a writer. What all importers of
// spans share.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "seer/core/config.h"
#include "seer/dataset/importer.h"
#include "seer/dataset/writer.h"
#include "seer/window/span_depths.h"
#include "seer/window/span_interval.h"
#include "seer/window/topology_builder.h"

SEER_BEGIN_NAMESPACE
namespace internal {

// Intervals that were written to a temporary file, and come back by their start.
class IntervalSorter {
 public:
  IntervalSorter() = default;
  ~IntervalSorter();
  IntervalSorter(const IntervalSorter&) = delete;
  IntervalSorter& operator=(const IntervalSorter&) = delete;

  absl::Status Add(const SpanInterval& interval);
  absl::Status Drain(const std::function<void(const SpanInterval&)>& sink);

 private:
  static constexpr std::size_t kInMemory = std::size_t{1} << 18;  // 27 MB
  absl::Status Spill();

  std::vector<SpanInterval> some_;
  int fd_ = -1;
  std::uint64_t file_bytes_ = 0;
  std::vector<std::uint64_t> ends_;  // of each sorted piece in the file
};

class RunSink {
 public:
  // `sort`: the calls come in any order. Otherwise kOutOfOrder is the answer to one that comes too
  // late; the input is then to be read again with `sort`.
  RunSink(const ImportOptions& options, bool sort, DatasetWriter* writer, ImportReport* report);

  // The names' ids. `key` is the same for the same names, and from no other.
  absl::StatusOr<CallIds> Learn(const NamedCall& call, std::int64_t now_ns);
  [[nodiscard]] absl::Status Add(const SpanInterval& interval);
  [[nodiscard]] absl::Status Finish();

  // Whether a status says that the input has to be read again.
  static bool IsOutOfOrder(const absl::Status& status);

 private:
  void Take(const SpanInterval& interval);
  void Give(const ClusterTick& tick);

  const ImportOptions options_;
  const bool sort_;
  DatasetWriter* const writer_;
  ImportReport* const report_;
  TopologyBuilder builder_;
  SpanDepths depths_;
  IntervalSorter sorter_;
  absl::Status failed_;  // of the writer, in Give()
  std::optional<std::uint64_t> version_;
  std::int64_t first_ns_ = 0, last_start_ns_ = 0;
  bool any_ = false;
  std::vector<std::uint8_t> edge_covered_, class_covered_;
  std::vector<std::uint8_t> service_covered_[2];
};

}  // namespace internal
SEER_END_NAMESPACE
