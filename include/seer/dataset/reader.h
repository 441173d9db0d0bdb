// Flow: dataset file -> [DatasetReader] -> ClusterTick -> WindowBuilder, labels.h
//
// Reads what DatasetWriter recorded, also while it still records. The file is mapped, not read: the
// runs of a week open in milliseconds, and only what is asked for is unpacked.
//
//   auto reader = seer::DatasetReader::Open("week.seerdata");
//   const seer::Topology topology = *reader->LatestTopology(0);
//   seer::ClusterTick tick;
//   for (seer::TickCursor cursor = reader->Ticks(0); *cursor.Next(&tick);) builder.Push(tick);
//
// What is damaged is left out and told, never guessed: a torn end (the recorder died, or still
// writes), and records whose checksums do not hold. Everything else is read. Whatever the bytes, no
// call crashes, and memory is bounded by a small multiple of the file's size plus one block.
//
// Errors: NotFound, Unavailable (the system), InvalidArgument (not a dataset), Unimplemented (of a
// newer major version), DataLoss (a damaged block: Next() goes on behind it when called again).
//
// Threads: any number may read; a cursor belongs to one. The file must not be shortened by anybody
//   but DatasetWriter while it is open: what that takes back (AbandonRun()) is DataLoss. Cost: 64
//   bytes in memory per block of ticks, and an open file.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "seer/core/config.h"
#include "seer/core/topology.h"
#include "seer/dataset/manifest.h"
#include "seer/dataset/tick_block.h"
#include "seer/window/cluster_tick.h"

SEER_BEGIN_NAMESPACE

class DatasetReader;

class TickCursor {
 public:
  // The next tick, and true; false at the end. DataLoss: a block is damaged and left out.
  absl::StatusOr<bool> Next(ClusterTick* tick);

 private:
  friend class DatasetReader;
  TickCursor(const DatasetReader* reader, std::uint32_t run, Tick from, Tick to);

  const DatasetReader* reader_;
  std::uint32_t run_;
  Tick from_, to_;
  std::size_t block_ = 0;  // the next one to read
  std::size_t at_ = 0;
  TickBlock values_;
};

class DatasetReader {
 public:
  struct Block {
    std::uint32_t run;
    std::uint32_t ticks;
    Tick first;
    Tick last;
    std::uint64_t offset;  // of its record in the file
    std::uint64_t bytes;   // of its record
  };
  // Bytes that belong to no sound record.
  struct Damage {
    std::uint64_t offset;
    std::uint64_t bytes;
  };

  static absl::StatusOr<DatasetReader> Open(const std::string& path);
  ~DatasetReader();
  DatasetReader(DatasetReader&&) noexcept;
  DatasetReader& operator=(DatasetReader&&) noexcept;

  const DatasetManifest& manifest() const;
  std::uint64_t file_bytes() const;
  // The torn end, if there is one, and what else is not sound, as far as Open() saw.
  absl::Span<const Damage> damage() const;

  // By run, then by time as recorded.
  absl::Span<const Block> blocks() const;
  [[nodiscard]] absl::Status ReadBlock(std::size_t i, TickBlock* block) const;

  // Ticks [from, to) of a run. The reader must outlive the cursor, and stay where it is.
  TickCursor Ticks(std::uint32_t run, Tick from = std::numeric_limits<Tick>::min(),
                   Tick to = std::numeric_limits<Tick>::max()) const;
  // Of a part: for (const seer::SplitRange& range : reader.manifest().split) ...
  TickCursor Ticks(const SplitRange& range) const { return Ticks(range.run, range.from, range.to); }

  // The newest topology of a run, which resolves all its ids; or that of a version, or the next
  // later one that was kept. NotFound if there is none.
  absl::StatusOr<Topology> LatestTopology(std::uint32_t run) const;
  absl::StatusOr<Topology> TopologyAt(std::uint32_t run, std::uint64_t version) const;

  // Events of a run, in the order in which they were written.
  absl::StatusOr<std::vector<DatasetEvent>> Events(std::uint32_t run) const;

 private:
  class Impl;
  explicit DatasetReader(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

SEER_END_NAMESPACE
