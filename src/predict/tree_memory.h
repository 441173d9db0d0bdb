// What retraining of trees works on. Private to the retrainer (include/seer/predict/retrainer.h).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "predict/tick_order.h"
#include "predict/tree_replay.h"
#include "seer/core/config.h"
#include "seer/core/internal/state_io.h"
#include "seer/core/internal/status_macros.h"
#include "seer/predict/boosted_trees.h"
#include "seer/predict/retrainer.h"

SEER_BEGIN_NAMESPACE
namespace internal {

// An ensemble that grows.
struct GrowingTrees {
  BoostedTrees before;   // that it grows upon; none from scratch
  BoostedTrees dropped;  // what serves and is not among them
  std::vector<BoostedTrees> added;
  TreeRows rows;
  std::vector<std::uint32_t> columns;  // of the rows, that trees may ask; empty: all

  bool any() const { return rows.rows() > 0; }
  // What `trees` say of the rows is said before anything that grows now.
  void Say(const BoostedTrees& trees) {
    if (rows.scores.empty()) rows.scores.assign(rows.labels.size(), 0.0f);
    std::vector<float> scores(rows.labels.size());
    trees.ScoreRows(rows.values, absl::MakeSpan(scores));
    for (std::size_t i = 0; i < scores.size(); ++i) rows.scores[i] += scores[i];
  }
  absl::Status Grow(TreeFitOptions options, bool last) {
    if (!any()) return absl::OkStatus();
    options.columns = columns;
    SEER_ASSIGN_OR_RETURN(BoostedTrees more, BoostedTrees::Fit(rows, nullptr, options));
    if (!last) Say(more);
    added.push_back(std::move(more));
    return absl::OkStatus();
  }
  // `trees` become what has grown, where anything has.
  absl::Status Take(BoostedTrees* trees) const {
    if (added.empty()) return absl::OkStatus();
    std::vector<BoostedTrees> parts = added;
    if (before.columns() > 0) parts.insert(parts.begin(), before);
    SEER_ASSIGN_OR_RETURN(*trees, BoostedTrees::Join(parts));
    return absl::OkStatus();
  }
};

// What it remembers, and goes on with after a restart.
struct TreeMemory {
  TreeMemory(const RetrainerOptions& options, std::int64_t block_ns)
      : replay(options.replay), held_back(options.held_back_bytes, block_ns) {}

  void State(StateIo& io) {
    for (const std::size_t columns : {TreeFeatures::kClassColumns, TreeFeatures::kServiceColumns}) {
      std::size_t theirs = columns;
      io(theirs);
      io.Require(theirs == columns, "of trees that look at other numbers");
    }
    replay.State(io);
    held_back.State(io);
    times().State(io);
    io(wants_scratch), io(unlearnt), io(unjudged), io(jobs), io(rounds), io(fruitless);
    io.List(settled_way, 8, [&](std::string& name) { io(name); });
  }

  Times<5> times() { return {{&newest_ns, &round_ns, &replaced_ns, &probed_ns, &changed_ns}}; }

  TreeReplay replay;
  TreeHeldBack held_back;
  std::int64_t newest_ns = 0, round_ns = 0, replaced_ns = 0, probed_ns = 0, changed_ns = 0;
  bool wants_scratch = false;
  std::uint64_t unlearnt = 0, unjudged = 0;  // looks ahead of violations
  std::uint64_t jobs = 0, rounds = 0;
  std::uint32_t fruitless = 0;
  std::vector<std::string> settled_way;
};

}  // namespace internal
SEER_END_NAMESPACE
