#include "seer/dataset/window_store.h"

#include <algorithm>
#include <string>
#include <utility>

#include "seer/core/internal/status_macros.h"
#include "seer/core/topology_order.h"

SEER_BEGIN_NAMESPACE

absl::StatusOr<WindowStore> WindowStore::Load(const DatasetReader& reader, std::uint32_t run,
                                              const WindowStoreOptions& options,
                                              const Normalizer& normalizer) {
  SEER_ASSIGN_OR_RETURN(const Topology topology, reader.LatestTopology(run));
  const std::vector<ServiceId> order =
      options.order.empty() ? OrderServices(topology).services : options.order;
  // Windows of one tick are the rows. What is asked of T ticks is asked first.
  SEER_RETURN_IF_ERROR(
      WindowBuilder::Create(topology, order, options.ticks, options.inputs, normalizer).status());
  SEER_ASSIGN_OR_RETURN(WindowBuilder row,
                        WindowBuilder::Create(topology, order, 1, options.inputs, normalizer));

  WindowStore store;
  store.ticks_ = options.ticks;
  store.services_ = order.size();
  store.inputs_ = options.inputs.size();
  const std::size_t width = store.services_ * store.inputs_;
  // Rows that may be taken; a row of nothing takes no bytes, but its end does.
  const std::size_t most_rows = options.max_bytes / (5 * std::max<std::size_t>(width, 1));
  std::size_t expected = 0;
  for (const DatasetReader::Block& block : reader.blocks()) {
    if (block.run == run && block.last >= options.from && block.first < options.to) {
      expected += block.ticks;
    }
  }
  if (expected > most_rows + 2 * TickBlock::kMaxTicks) expected = 0;  // it will be refused
  store.values_.reserve(std::min(expected, most_rows) * width);
  store.seen_.reserve(std::min(expected, most_rows) * width);

  std::size_t rows = 0;
  Tick before = 0;
  ClusterTick tick;
  TickCursor cursor = reader.Ticks(run, options.from, options.to);
  for (;;) {
    const absl::StatusOr<bool> more = cursor.Next(&tick);
    if (!more.ok()) {
      if (more.status().code() != absl::StatusCode::kDataLoss) return more.status();
      ++store.damaged_blocks_;
      continue;
    }
    if (!*more) break;
    // Rows for what lies between; more than a window has tell nothing. Unsigned, as the difference
    // of any two ticks fits.
    std::size_t missing = 0;
    if (rows > 0) {
      missing = static_cast<std::size_t>(std::min<std::uint64_t>(
          static_cast<std::uint64_t>(tick.tick) - static_cast<std::uint64_t>(before) - 1,
          options.ticks - 1));
    }
    rows += missing + 1;
    if (rows > most_rows) {
      return absl::ResourceExhaustedError(
          "WindowStoreOptions.max_bytes is " + std::to_string(options.max_bytes) + ", and run " +
          std::to_string(run) + " needs more from tick " + std::to_string(tick.tick) +
          " on: load a shorter range, or allow more");
    }
    store.values_.resize((rows - 1) * width, 0.0f);
    store.seen_.resize((rows - 1) * width, 0);
    row.Push(tick, topology);
    const Window& window = row.window();
    store.values_.insert(store.values_.end(), window.values.begin(), window.values.end());
    store.seen_.insert(store.seen_.end(), window.seen.begin(), window.seen.end());
    if (rows >= options.ticks) store.ends_.push_back({tick.tick, rows - 1});
    before = tick.tick;
  }
  return store;
}

SEER_END_NAMESPACE
