// Flow: DatasetReader -> [TickBlock] -> ClusterTick, columns
//
// Some hundred ticks of one run, by column: the unit in which a dataset is written, checked and
// read.
//
//   seer::TickBlock block;
//   if (auto status = reader.ReadBlock(i, &block); !status.ok()) ...
//   absl::Span<const float> depth = block.depths(nginx, seer::Channel::kRunning);   // by tick
//   block.Get(t, &tick);                                                // or tick by tick
//
// A series that no tick of the block knows is empty. `known` tells for each tick what is known,
// with the bits of ServiceTable::Known and EdgeTickTable::Known; where a bit is not set, the value
// is 0.
//
// Threads: any number of readers, or one writer. Cost: 4 bytes per value that some tick knows; at
//   most about 160 MiB, whatever the file says. Get() reuses the memory of the tick.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "seer/core/channel.h"
#include "seer/core/config.h"
#include "seer/core/ids.h"
#include "seer/core/tick.h"
#include "seer/window/cluster_tick.h"

SEER_BEGIN_NAMESPACE

class TickBlock {
 public:
  static constexpr std::size_t kMaxTicks = 4096;
  // Of ticks x (7 x services + edges + classes), unless the block has one tick only; and of the
  // buckets of all latency histograms.
  static constexpr std::size_t kMaxCells = std::size_t{1} << 22;

  std::size_t ticks() const { return tick_numbers_.size(); }
  // The widest tick's; a topology may have grown within the block.
  std::size_t services() const { return services_; }
  std::size_t edges() const { return edges_; }
  std::size_t classes() const { return classes_; }
  TickPeriod period() const { return period_; }
  absl::Span<const Tick> tick_numbers() const { return tick_numbers_; }

  // ---- Series of one row, one value for each tick.
  absl::Span<const float> depths(ServiceId s, Channel c) const { return Row(At(c).depth, s); }
  absl::Span<const float> means(ServiceId s, Channel c) const { return Row(At(c).mean, s); }
  absl::Span<const float> mean_waits_us(ServiceId s, Channel c) const { return Row(At(c).wait, s); }
  absl::Span<const std::uint32_t> arrivals(ServiceId s, Channel c) const {
    return Row(At(c).arrivals, s);
  }
  absl::Span<const std::uint32_t> departures(ServiceId s, Channel c) const {
    return Row(At(c).departures, s);
  }
  absl::Span<const std::uint8_t> known(ServiceId s, Channel c) const { return Row(At(c).known, s); }

  // What was counted of a service as a whole (cluster_tick.h); kDepth and kMean in `known`.
  absl::Span<const float> outstanding(ServiceId s) const { return Row(outstanding_.depth, s); }
  absl::Span<const float> outstanding_means(ServiceId s) const { return Row(outstanding_.mean, s); }
  absl::Span<const std::uint8_t> outstanding_known(ServiceId s) const {
    return Row(outstanding_.known, s);
  }

  absl::Span<const float> depths(EdgeId edge) const { return Row(edge_.depth, edge); }
  absl::Span<const float> means(EdgeId edge) const { return Row(edge_.mean, edge); }
  absl::Span<const std::uint32_t> made(EdgeId edge) const { return Row(edge_.arrivals, edge); }
  absl::Span<const std::uint8_t> known(EdgeId edge) const { return Row(edge_.known, edge); }

  absl::Span<const std::uint8_t> seen(ClassId id) const { return Row(class_.seen, id); }
  absl::Span<const std::uint64_t> counts(ClassId id) const { return Row(class_.count, id); }
  absl::Span<const std::uint64_t> over_target(ClassId id) const { return Row(class_.over, id); }
  absl::Span<const std::uint64_t> p50_ns(ClassId id) const { return Row(class_.p50, id); }
  absl::Span<const std::uint64_t> p99_ns(ClassId id) const { return Row(class_.p99, id); }

  // The i-th tick, as it was written.
  void Get(std::size_t i, ClusterTick* tick) const;

  // ---- For writers and readers of files (the bytes: README.md beside this file).

  // Replaces `bytes`. The ticks have one period and increase; InvalidArgument for more than the
  // bounds above. `level` is zstd's, 1 to 19.
  [[nodiscard]] static absl::Status Encode(absl::Span<const ClusterTick> ticks, int level,
                                           std::string* bytes);
  // DataLoss if anything in the bytes contradicts the format; the block is empty then.
  [[nodiscard]] absl::Status Decode(std::string_view bytes);

 private:
  // [row][tick]; empty: zero everywhere.
  struct Columns {
    std::vector<float> depth, mean, wait;
    std::vector<std::uint32_t> arrivals, departures;
    std::vector<std::uint8_t> known;
  };
  struct ClassColumns {
    std::vector<std::uint8_t> seen;
    std::vector<std::uint64_t> count, over, oldest, p50, p99;
    std::vector<std::uint32_t> buckets;        // of each row's and tick's histogram
    std::vector<std::size_t> first;            // [row][tick] and one more: sums of `buckets`
    std::vector<std::uint32_t> index, counts;  // of all histograms, one after the other
  };

  const Columns& At(Channel channel) const { return channels_[static_cast<std::size_t>(channel)]; }
  template <typename T, typename RowId>
  absl::Span<const T> Row(const std::vector<T>& values, RowId id) const {
    const std::size_t n = ticks();
    if (!id.valid() || n == 0 || id.value() >= values.size() / n) return {};
    return absl::MakeConstSpan(values).subspan(id.index() * n, n);
  }
  absl::Status DecodeColumns(std::string_view bytes);
  absl::Status CheckColumns() const;

  std::size_t services_ = 0, edges_ = 0, classes_ = 0;
  TickPeriod period_;
  std::vector<Tick> tick_numbers_;
  std::vector<std::uint64_t> versions_;
  std::vector<std::uint32_t> nodes_seen_, nodes_expected_;
  std::vector<std::uint32_t> tick_services_, tick_edges_, tick_classes_;
  std::array<Columns, kChannels> channels_;
  Columns edge_;
  Columns outstanding_;
  ClassColumns class_;
};

SEER_END_NAMESPACE
