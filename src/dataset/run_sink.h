// Calls with names -> topology, depths, ticks -> the open run of a writer. What all importers of
// spans share.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
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
#include "seer/window/violation_labeller.h"

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

// What one reading of the input learns for the next one.
struct RunFacts {
  Topology topology;
  std::int64_t first_ns = 0;  // the earliest start
  // By row: whether anybody recorded it. Services as callers, and as callees.
  std::vector<std::uint8_t> edges, classes, services[2];
};

class RunSink {
 public:
  // `sort`: the calls come in any order. Otherwise kOutOfOrder is the answer to one that comes too
  // late; the input is then to be read again with `sort`.
  // `known`: of an earlier reading, or null.
  RunSink(const ImportOptions& options, bool sort, const RunFacts* known, DatasetWriter* writer,
          ImportReport* report);

  absl::StatusOr<CallIds> Learn(const NamedCall& call, std::int64_t now_ns);
  [[nodiscard]] absl::Status Add(const SpanInterval& interval);
  [[nodiscard]] absl::Status Finish();

  // Whether a status says that the input has to be read again, sorted.
  static bool IsOutOfOrder(const absl::Status& status);
  // After Finish(): whether rows were learnt when ticks without them had been given. They are to be
  // given again, as these rows were at rest then, not unseen.
  bool learnt_late() const { return learnt_late_; }
  RunFacts TakeFacts();

 private:
  void Note(const SpanInterval& interval);
  void CoverAll();
  void Give(const ClusterTick& tick);

  const ImportOptions options_;
  const bool sort_;
  DatasetWriter* const writer_;
  ImportReport* const report_;
  TopologyBuilder builder_;
  SpanDepths depths_;
  std::unique_ptr<ViolationLabeller> labeller_;  // where the options ask for it
  IntervalSorter sorter_;
  absl::Status failed_;  // of the writer, in Give()
  std::optional<std::uint64_t> version_;
  RunFacts facts_;
  std::int64_t last_start_ns_ = 0;
  bool any_ = false;
  bool learnt_late_ = false;
};

}  // namespace internal
SEER_END_NAMESPACE
