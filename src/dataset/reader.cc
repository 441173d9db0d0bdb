#include "seer/dataset/reader.h"

#include <algorithm>
#include <utility>

#include "dataset/mapped_file.h"
#include "dataset/record.h"
#include "dataset/scan.h"
#include "seer/core/internal/status_macros.h"
#include "seer/core/wire.h"

SEER_BEGIN_NAMESPACE

using internal::RecordHeader;
using internal::RecordKind;

class DatasetReader::Impl {
 public:
  absl::Status Open(const std::string& path) {
    path_ = path;
    SEER_ASSIGN_OR_RETURN(file_, internal::MappedFile::Open(path));
    SEER_RETURN_IF_ERROR(internal::CheckFileRecord(path, file_.bytes()));
    manifest_.format_major = internal::kDatasetMajor;
    if (const auto header = internal::ReadRecordHeader(file_.bytes(), 0)) {
      internal::FieldReader body(Body(*header));
      body.Number();
      manifest_.format_minor = static_cast<int>(body.Number());
    }
    internal::ScanRecords(
        file_.bytes(), [&](const RecordHeader& header) { Index(header); },
        [&](std::uint64_t offset, std::uint64_t bytes) {
          damage_.push_back({offset, bytes});
        });
    std::stable_sort(blocks_.begin(), blocks_.end(),
                     [](const Block& a, const Block& b) { return a.run < b.run; });
    first_block_.assign(manifest_.runs.size() + 1, 0);
    for (const Block& block : blocks_) ++first_block_[block.run + 1];
    for (std::size_t i = 1; i < first_block_.size(); ++i) first_block_[i] += first_block_[i - 1];
    return absl::OkStatus();
  }

  absl::Status ReadBlock(std::size_t i, TickBlock* block) const {
    if (i >= blocks_.size()) {
      return absl::NotFoundError(path_ + ": there is no block " + std::to_string(i) + " of " +
                                 std::to_string(blocks_.size()));
    }
    const auto header = HeaderAt(blocks_[i].offset);
    absl::Status status = header && internal::RecordBodyIsSound(file_.bytes(), *header)
                              ? block->Decode(Body(*header))
                              : absl::DataLossError("dataset: a block's checksum does not hold");
    if (status.ok() &&
        (block->ticks() != blocks_[i].ticks || block->tick_numbers().front() != blocks_[i].first ||
         block->tick_numbers().back() != blocks_[i].last ||
         block->period() != manifest_.runs[blocks_[i].run].period)) {
      status = absl::DataLossError("dataset: a block is not what its header says");
    }
    if (status.ok()) return status;
    return absl::DataLossError(
        path_ + ": block " + std::to_string(i) + " at byte " + std::to_string(blocks_[i].offset) +
        ", ticks " + std::to_string(blocks_[i].first) + " to " + std::to_string(blocks_[i].last) +
        ": " + std::string(status.message().data(), status.message().size()));
  }

  absl::StatusOr<Topology> TopologyAt(std::uint32_t run, std::uint64_t version) const {
    // The oldest that is new enough; versions grow within a run.
    for (const Kept& kept : topologies_) {
      if (kept.run != run || kept.version < version) continue;
      return DecodeTopology(kept);
    }
    return absl::NotFoundError(path_ + ": run " + std::to_string(run) +
                               " has no topology of version " + std::to_string(version) +
                               " or later");
  }

  absl::StatusOr<Topology> LatestTopology(std::uint32_t run) const {
    for (std::size_t i = topologies_.size(); i-- > 0;) {
      if (topologies_[i].run == run) return DecodeTopology(topologies_[i]);
    }
    return absl::NotFoundError(path_ + ": run " + std::to_string(run) + " has no topology");
  }

  absl::StatusOr<std::vector<DatasetEvent>> Events(std::uint32_t run) const {
    std::vector<DatasetEvent> events;
    for (const Kept& kept : events_) {
      if (kept.run != run) continue;
      const auto header = HeaderAt(kept.offset);
      std::optional<DatasetEvent> event;
      if (header && internal::RecordBodyIsSound(file_.bytes(), *header)) {
        event = internal::DecodeEvent(Body(*header));
      }
      if (!event) {
        return absl::DataLossError(path_ + ": the event at byte " + std::to_string(kept.offset) +
                                   " is damaged: label the run again");
      }
      events.push_back(*std::move(event));
    }
    return events;
  }

  std::string path_;
  internal::MappedFile file_;
  DatasetManifest manifest_;
  std::vector<Block> blocks_;
  std::vector<std::size_t> first_block_;  // by run, and one more
  std::vector<Damage> damage_;

 private:
  struct Kept {
    std::uint32_t run;
    std::uint64_t version;
    std::uint64_t offset;
  };

  // Nothing also where a writer has taken the record back since: AbandonRun() cuts the file.
  std::optional<RecordHeader> HeaderAt(std::uint64_t offset) const {
    if (!file_.Holds(offset + internal::kRecordHeaderBytes)) return std::nullopt;
    std::optional<RecordHeader> header = internal::ReadRecordHeader(file_.bytes(), offset);
    if (header && !file_.Holds(header->end())) header.reset();
    return header;
  }

  std::string_view Body(const RecordHeader& header) const {
    return file_.bytes().substr(header.offset + internal::kRecordHeaderBytes, header.body_bytes);
  }

  absl::StatusOr<Topology> DecodeTopology(const Kept& kept) const {
    const auto header = HeaderAt(kept.offset);
    if (!header || !internal::RecordBodyIsSound(file_.bytes(), *header)) {
      return absl::DataLossError(path_ + ": the topology at byte " + std::to_string(kept.offset) +
                                 " is damaged: record the run again");
    }
    return Decode<Topology>(Body(*header));
  }

  // Records that contradict those before them are damage too.
  void Index(const RecordHeader& header) {
    const bool sound = Take(header);
    if (!sound) damage_.push_back({header.offset, header.end() - header.offset});
  }

  bool Take(const RecordHeader& header) {
    std::vector<DatasetRun>& runs = manifest_.runs;
    switch (header.kind) {
      case RecordKind::kFile:
        return header.offset == 0;
      case RecordKind::kRunBegin: {
        // Small, and everything else depends on it. Where a run's beginning was damaged its number
        // is not used again, and its ticks are of no use: they have no period.
        std::optional<DatasetRun> run;
        if (internal::RecordBodyIsSound(file_.bytes(), header)) {
          run = internal::DecodeRun(Body(header));
        }
        if (!run || header.run < runs.size() || header.run - runs.size() > kMaxLostRuns) {
          return false;
        }
        while (runs.size() < header.run) runs.emplace_back();
        runs.push_back(*std::move(run));
        return true;
      }
      case RecordKind::kTopology: {
        if (header.run >= runs.size()) return false;
        const auto version = static_cast<std::uint64_t>(header.last);
        topologies_.push_back({header.run, version, header.offset});
        runs[header.run].topologies.push_back({static_cast<std::uint64_t>(header.first), version});
        return true;
      }
      case RecordKind::kTicks: {
        if (header.run >= runs.size() || header.ticks == 0 || header.last < header.first) {
          return false;
        }
        DatasetRun& run = runs[header.run];
        if (run.ticks > 0 && header.first <= run.last) return false;
        if (run.ticks == 0) run.first = header.first;
        run.last = header.last;
        run.ticks += header.ticks;
        blocks_.push_back({header.run, header.ticks, header.first, header.last, header.offset,
                           header.end() - header.offset});
        return true;
      }
      case RecordKind::kEvent:
        if (header.run >= runs.size()) return false;
        events_.push_back({header.run, 0, header.offset});
        return true;
      case RecordKind::kRunEnd:
        if (header.run >= runs.size()) return false;
        runs[header.run].complete = true;
        return true;
      case RecordKind::kSplit: {
        std::optional<std::vector<SplitRange>> split;
        if (internal::RecordBodyIsSound(file_.bytes(), header)) {
          split = internal::DecodeSplit(Body(header));
        }
        if (!split) return false;
        manifest_.split = *std::move(split);
        return true;
      }
    }
    return true;  // of a newer minor version
  }

  static constexpr std::uint32_t kMaxLostRuns = 1024;

  std::vector<Kept> topologies_;
  std::vector<Kept> events_;
};

absl::StatusOr<DatasetReader> DatasetReader::Open(const std::string& path) {
  auto impl = std::make_unique<Impl>();
  SEER_RETURN_IF_ERROR(impl->Open(path));
  return DatasetReader(std::move(impl));
}

DatasetReader::DatasetReader(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
DatasetReader::~DatasetReader() = default;
DatasetReader::DatasetReader(DatasetReader&&) noexcept = default;
DatasetReader& DatasetReader::operator=(DatasetReader&&) noexcept = default;

const DatasetManifest& DatasetReader::manifest() const { return impl_->manifest_; }
std::uint64_t DatasetReader::file_bytes() const { return impl_->file_.bytes().size(); }
absl::Span<const DatasetReader::Damage> DatasetReader::damage() const { return impl_->damage_; }
absl::Span<const DatasetReader::Block> DatasetReader::blocks() const { return impl_->blocks_; }
absl::Status DatasetReader::ReadBlock(std::size_t i, TickBlock* block) const {
  return impl_->ReadBlock(i, block);
}
absl::StatusOr<Topology> DatasetReader::LatestTopology(std::uint32_t run) const {
  return impl_->LatestTopology(run);
}
absl::StatusOr<Topology> DatasetReader::TopologyAt(std::uint32_t run, std::uint64_t version) const {
  return impl_->TopologyAt(run, version);
}
absl::StatusOr<std::vector<DatasetEvent>> DatasetReader::Events(std::uint32_t run) const {
  return impl_->Events(run);
}
TickCursor DatasetReader::Ticks(std::uint32_t run, Tick from, Tick to) const {
  TickCursor cursor(this, run, from, to);
  const std::vector<std::size_t>& first = impl_->first_block_;
  cursor.block_ = run + std::size_t{1} < first.size() ? first[run] : impl_->blocks_.size();
  return cursor;
}

TickCursor::TickCursor(const DatasetReader* reader, std::uint32_t run, Tick from, Tick to)
    : reader_(reader), run_(run), from_(from), to_(to) {}

absl::StatusOr<bool> TickCursor::Next(ClusterTick* tick) {
  for (;;) {
    while (at_ < values_.ticks()) {
      const Tick number = values_.tick_numbers()[at_];
      if (number >= to_) return false;
      if (number >= from_) {
        values_.Get(at_++, tick);
        return true;
      }
      ++at_;
    }
    const absl::Span<const DatasetReader::Block> blocks = reader_->blocks();
    while (block_ < blocks.size() && blocks[block_].run == run_ && blocks[block_].last < from_) {
      ++block_;
    }
    if (block_ >= blocks.size() || blocks[block_].run != run_ || blocks[block_].first >= to_) {
      return false;
    }
    at_ = 0;
    if (absl::Status status = reader_->ReadBlock(block_++, &values_); !status.ok()) {
      values_ = TickBlock();  // the next call goes on with the next block
      return status;
    }
  }
}

SEER_END_NAMESPACE
