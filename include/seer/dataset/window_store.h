// Flow: DatasetReader -> [WindowStore] -> windows in any order -> nn/ (train)
//
// All windows of a recorded run, ready to be taken at random. Each tick is read, turned into the
// model's inputs and normalised once; its row is kept once, and a window is a piece of the array of
// rows: as many times less memory as a window has ticks, and nothing is copied.
//
//   seer::WindowStoreOptions options;
//   options.ticks = 20;
//   auto store = seer::WindowStore::Load(reader, 0, options, normalizer);
//   for (std::size_t i : shuffled) Train(store->values(i), LabelAt(store->last(i)));
//
// A window holds what WindowBuilder would hold after the same ticks: values by tick, service and
// input. Ticks that were not recorded, or whose block is damaged (damaged_blocks()), are rows in
// which nothing was seen. The windows end at each recorded tick that has its whole history within
// what was loaded.
//
// Threads: any number may read. Cost: 5 bytes per tick, service and input; loading is what
// DatasetReader and WindowBuilder::Push() cost for each tick.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "seer/core/config.h"
#include "seer/core/ids.h"
#include "seer/core/tick.h"
#include "seer/dataset/reader.h"
#include "seer/window/window_builder.h"

SEER_BEGIN_NAMESPACE

struct WindowStoreOptions {
  std::size_t ticks = 20;  // of a window
  WindowInputs inputs = WindowInputs::OfTraces();
  // Ids of the run's newest topology, in the model's order; empty: OrderServices().
  std::vector<ServiceId> order;
  // Of the ticks, also of the first window's history.
  Tick from = std::numeric_limits<Tick>::min();
  Tick to = std::numeric_limits<Tick>::max();
  std::size_t max_bytes = std::size_t{4} << 30;
};

class WindowStore {
 public:
  // NotFound: no such run, or no topology in it. ResourceExhausted: more than max_bytes. What
  // WindowBuilder::Create() refuses.
  static absl::StatusOr<WindowStore> Load(const DatasetReader& reader, std::uint32_t run,
                                          const WindowStoreOptions& options,
                                          const Normalizer& normalizer = {});

  std::size_t size() const { return ends_.size(); }
  std::size_t ticks() const { return ticks_; }
  std::size_t services() const { return services_; }
  std::size_t inputs() const { return inputs_; }

  // The i-th window, the oldest first. last() is its newest tick.
  Tick last(std::size_t i) const { return ends_[i].tick; }
  absl::Span<const float> values(std::size_t i) const { return Piece(values_, i); }
  absl::Span<const std::uint8_t> seen(std::size_t i) const { return Piece(seen_, i); }

  std::uint64_t damaged_blocks() const { return damaged_blocks_; }
  std::size_t bytes() const { return values_.size() * 5; }

 private:
  struct End {
    Tick tick;
    std::size_t row;  // the window's last
  };

  WindowStore() = default;
  template <typename T>
  absl::Span<const T> Piece(const std::vector<T>& rows, std::size_t i) const {
    const std::size_t row = services_ * inputs_;
    return absl::MakeConstSpan(rows).subspan((ends_[i].row + 1 - ticks_) * row, ticks_ * row);
  }

  std::size_t ticks_ = 0, services_ = 0, inputs_ = 0;
  std::vector<End> ends_;
  std::vector<float> values_;
  std::vector<std::uint8_t> seen_;
  std::uint64_t damaged_blocks_ = 0;
};

SEER_END_NAMESPACE
