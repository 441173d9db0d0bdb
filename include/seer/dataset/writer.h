// Flow: ClusterTick -> [DatasetWriter] -> dataset file -> DatasetReader
//
// Records runs into a dataset: one file that only ever grows. What was written is safe from the
// death of the program at once; a torn end is cut when the file is opened again, and nothing before
// it.
//
//   auto writer = seer::DatasetWriter::Create("week.seerdata");       // or Append()
//   seer::DatasetRun run;
//   run.name = "monday";
//   writer->BeginRun(run);
//   writer->SetTopology(topology);                   // and again whenever it changed
//   writer->Append(tick);                            // every tick
//   writer->AddEvent(event);
//   writer->EndRun();
//
// Ticks are collected to blocks and written when a block is full, at Flush(), SetTopology() with
// another epoch, and EndRun(): a crash loses at most the ticks of the block that was not full.
//
// Errors: InvalidArgument for what the reader would refuse (ticks that do not increase, rows that
// the topology does not have), FailedPrecondition for calls out of order or a file that another
// writer holds, Unavailable or ResourceExhausted for what the system says. After an error of the
// system the file ends with its last whole record, and further calls go on from there: ticks that
// wait are written by a later call, but while a full block of them waits no more are taken.
//
// Threads: one. Cost: about 30 ns for each known value; one block of ticks in memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "seer/core/config.h"
#include "seer/core/topology.h"
#include "seer/dataset/manifest.h"
#include "seer/window/cluster_tick.h"

SEER_BEGIN_NAMESPACE

struct DatasetWriterOptions {
  std::size_t ticks_per_block = 512;  // 1 to 4096; large clusters get shorter blocks (TickBlock)
  int zstd_level = 3;                 // 1 to 19
  bool sync = false;  // each record reaches the disk before the call returns: safe from power loss
};

class DatasetWriter {
 public:
  // AlreadyExists if there is a file: it is never overwritten.
  static absl::StatusOr<DatasetWriter> Create(const std::string& path,
                                              const DatasetWriterOptions& options = {});
  // Goes on behind what is there; cuts a torn end. A run that was not ended stays incomplete.
  static absl::StatusOr<DatasetWriter> Append(const std::string& path,
                                              const DatasetWriterOptions& options = {});
  ~DatasetWriter();  // flushes; errors are lost, so call EndRun()
  DatasetWriter(DatasetWriter&&) noexcept;
  DatasetWriter& operator=(DatasetWriter&&) noexcept;

  // Only name, period and provenance of the run are used. Ends the run before.
  absl::StatusOr<std::uint32_t> BeginRun(const DatasetRun& run);
  // Ticks that follow use this numbering.
  [[nodiscard]] absl::Status SetTopology(const Topology& topology);
  [[nodiscard]] absl::Status Append(const ClusterTick& tick);
  // The same behind SetTopology(), where the topology's origin or version has changed: one line for
  // who records what a TickMerger or TopologyBuilder gives.
  [[nodiscard]] absl::Status Append(const ClusterTick& tick, const Topology& topology);
  // Of the open run, or with `run` of any earlier one.
  [[nodiscard]] absl::Status AddEvent(const DatasetEvent& event);
  [[nodiscard]] absl::Status AddEvent(std::uint32_t run, const DatasetEvent& event);
  // Replaces the split that is there.
  [[nodiscard]] absl::Status SetSplit(absl::Span<const SplitRange> split);
  [[nodiscard]] absl::Status Flush();
  [[nodiscard]] absl::Status EndRun();
  // Takes back everything since BeginRun(), as if it had not been called.
  [[nodiscard]] absl::Status AbandonRun();

  std::uint64_t bytes_written() const;  // size of the file

 private:
  class Impl;
  explicit DatasetWriter(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

SEER_END_NAMESPACE
