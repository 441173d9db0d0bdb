// Recorded runs as the commands that learn and judge want them: ticks, topology, violations.
#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "seer/core/topology.h"
#include "seer/dataset/reader.h"
#include "seer/dataset/split.h"
#include "seer/predict/listen.h"
#include "seer/window/violations.h"

namespace seer_tool {

// Ticks [from, to) of a run that belong together.
struct Part {
  const seer::DatasetReader* reader;
  std::uint32_t run;
  seer::Tick from = std::numeric_limits<seer::Tick>::min();
  seer::Tick to = std::numeric_limits<seer::Tick>::max();
  seer::Topology topology;
  std::vector<seer::Violation> violations;
};

// Damaged blocks are left out, and told once.
template <typename F>
absl::Status ForEachTick(const Part& part, const F& visit) {
  seer::ClusterTick tick;
  for (seer::TickCursor cursor = part.reader->Ticks(part.run, part.from, part.to);;) {
    const auto more = cursor.Next(&tick);
    if (!more.ok()) continue;  // `seer inspect --check` tells of it
    if (!*more) return absl::OkStatus();
    const absl::Status status = visit(tick);
    if (!status.ok()) return status;
  }
}

absl::StatusOr<std::vector<std::unique_ptr<seer::DatasetReader>>> OpenAll(
    const std::vector<std::string>& paths);

// All runs of the datasets, or with a split and `which` those ticks of them. `labels`: the source
// of the violations, where there are several; empty: the one that named most initiators.
absl::StatusOr<std::vector<Part>> PartsOf(
    const std::vector<std::unique_ptr<seer::DatasetReader>>& readers,
    std::optional<seer::SplitPart> which, const std::string& labels);

// Of each part that is long enough the last quarter, which the part loses, with a gap between them.
std::vector<Part> KeepBack(std::vector<Part>* parts);

// As the library takes them; refer to `parts` and their readers.
std::vector<seer::LabelledRun> LabelledRunsOf(const std::vector<Part>& parts);

}  // namespace seer_tool
