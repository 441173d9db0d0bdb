// Snapshot as bytes. Sections: 1 header, 2 channels, 3 edges, 4 classes, 5 health; since version
// 0.2 also 6 peaks and 7 timed, each only if it says something.
#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/wire_io.h"
#include "seer/core/internal/edge_columns.h"
#include "seer/core/internal/strings.h"

SEER_BEGIN_NAMESPACE

namespace internal {

namespace {

enum Tag : std::uint32_t {
  kHeader = 1,
  kChannelsTag = 2,
  kEdges = 3,
  kClasses = 4,
  kHealth = 5,
  kPeaks = 6,
  kTimed = 7,
};

// Which columns of a channel follow in section 2. An empty column stands for zeros and is not sent.
enum ColumnBit : std::uint8_t {
  kDepth = 1,
  kWidth = 2,
  kArrivals = 4,
  kDepartures = 8,
  kBytesLow = 16,
  kBytesHigh = 32,
  kKnownColumns = 63,
};

// The same for sections 6 and 7.
enum PeakBit : std::uint8_t { kPeak = 1 };
enum TimedBit : std::uint8_t { kMeanDepth = 1, kMeanWait = 2, kKnownTimed = 3 };

constexpr std::size_t kClassBytes = 18;  // the smallest class: three numbers and no bucket

std::uint8_t PresenceBit(const std::vector<std::uint32_t>& column, std::uint8_t bit) {
  return column.empty() ? std::uint8_t{0} : bit;
}

}  // namespace

// The only code beside ChannelTable and EdgeTable that knows their columns.
struct SnapshotWire {
  static EdgeColumns Columns(const EdgeTable& table) {
    const auto column = [](const std::vector<std::uint32_t>& values) {
      return values.empty() ? nullptr : values.data();
    };
    return {table.seen_.size(), table.seen_.data(), column(table.outstanding_),
            column(table.width_), column(table.made_)};
  }

  static void WriteChannels(const ChannelTable& table, WireWriter& w) {
    w.Number(static_cast<std::uint32_t>(table.size()));
    w.Numbers(table.coverage_.data(), table.size());
    w.Numbers(table.counted_.data(), table.size());
    w.Numbers(table.shared_.data(), table.size());
    w.Number(static_cast<std::uint8_t>(kChannels));
    for (std::size_t i = 0; i < kChannels; ++i) {
      const ChannelTable::Columns& c = table.columns_[i];
      w.Number(static_cast<std::uint8_t>(table.missing_[i]));
      w.Number(static_cast<std::uint8_t>(
          PresenceBit(c.depth, kDepth) | PresenceBit(c.width, kWidth) |
          PresenceBit(c.arrivals, kArrivals) | PresenceBit(c.departures, kDepartures) |
          PresenceBit(c.bytes_low, kBytesLow) | PresenceBit(c.bytes_high, kBytesHigh)));
      for (const auto* column :
           {&c.depth, &c.width, &c.arrivals, &c.departures, &c.bytes_low, &c.bytes_high}) {
        w.Column(*column);
      }
    }
  }

  static void WritePeaks(const ChannelTable& table, WireWriter& w) {
    bool any = false;
    for (const ChannelTable::Columns& c : table.columns_) any |= !c.peak.empty();
    if (!any) return;
    w.Section(kPeaks);
    w.Number(static_cast<std::uint8_t>(kChannels));
    for (const ChannelTable::Columns& c : table.columns_) {
      w.Number(PresenceBit(c.peak, kPeak));
      w.Column(c.peak);
    }
  }

  static void WriteTimed(const ChannelTable& table, WireWriter& w) {
    if (table.timed_.empty()) return;  // there are no means then
    w.Section(kTimed);
    w.Numbers(table.timed_.data(), table.timed_.size());
    w.Number(static_cast<std::uint8_t>(kChannels));
    for (const ChannelTable::Columns& c : table.columns_) {
      w.Number(static_cast<std::uint8_t>(PresenceBit(c.mean_depth_milli, kMeanDepth) |
                                         PresenceBit(c.mean_wait_us, kMeanWait)));
      w.Column(c.mean_depth_milli);
      w.Column(c.mean_wait_us);
    }
  }

  static absl::Status ReadChannels(WireReader r, ChannelTable* table) {
    std::size_t size = 0;
    std::uint8_t channels = 0;
    std::uint8_t everywhere = ChannelMask::All().bits();
    if (!r.empty()) {
      SEER_RETURN_IF_ERROR(r.Count("instances", 3, Topology::kMaxRows, &size));
    }
    if (size != table->size()) table->Reset(size);  // else every column below is overwritten
    table->missing_.fill(Missing::kNotMissing);
    if (!r.empty()) {
      SEER_RETURN_IF_ERROR(r.Numbers("coverage", size, &table->coverage_));
      SEER_RETURN_IF_ERROR(r.Numbers("counted", size, &table->counted_));
      SEER_RETURN_IF_ERROR(r.Numbers("shared", size, &table->shared_));
      DropUnknownChannels(table);
      everywhere = Everywhere(table->coverage_);
      SEER_RETURN_IF_ERROR(r.Number("channels", &channels));
    }
    for (std::size_t i = 0; i < kChannels; ++i) {
      std::uint8_t present = 0;
      if (i < channels) {
        SEER_RETURN_IF_ERROR(ReadChannelHeader(r, i, &present, table));
      }
      SEER_RETURN_IF_ERROR(ReadColumns(r, i, present, everywhere, table));
    }
    return absl::OkStatus();
  }

  // A newer version may know channels that this one does not: their columns come last and are never
  // reached, and their bits are dropped here.
  static void DropUnknownChannels(ChannelTable* table) {
    // Pointers of our own: a byte that is written could be part of the vectors themselves, for all
    // the compiler knows, and the loop would not become SIMD code.
    std::uint8_t* const coverage = table->coverage_.data();
    std::uint8_t* const counted = table->counted_.data();
    std::uint8_t* const shared = table->shared_.data();
    for (std::size_t i = 0, size = table->size(); i < size; ++i) {
      const std::uint8_t seen = coverage[i] & ChannelMask::All().bits();
      coverage[i] = seen;
      counted[i] &= seen;
      shared[i] &= seen;
    }
  }

  // The channels that every instance has.
  static std::uint8_t Everywhere(const std::vector<std::uint8_t>& masks) {
    std::uint8_t everywhere = ChannelMask::All().bits();
    for (const std::uint8_t mask : masks) everywhere &= mask;
    return everywhere;
  }

  static absl::Status ReadChannelHeader(WireReader& r, std::size_t i, std::uint8_t* present,
                                        ChannelTable* table) {
    std::uint8_t missing = 0;
    SEER_RETURN_IF_ERROR(r.Number("missing", &missing));
    SEER_RETURN_IF_ERROR(ReadPresence(r, i, kKnownColumns, present));
    table->missing_[i] = missing < kMissings ? static_cast<Missing>(missing) : Missing::kFailed;
    return absl::OkStatus();
  }

  // The mask of the columns of channel `i` that follow.
  static absl::Status ReadPresence(WireReader& r, std::size_t i, std::uint8_t known,
                                   std::uint8_t* present) {
    SEER_RETURN_IF_ERROR(r.Number("columns", present));
    if ((*present & ~known) == 0) return absl::OkStatus();
    return r.Error("columns", absl::StrCat("channel ", i, " has columns of a later format, ",
                                           static_cast<int>(*present)));
  }

  static absl::Status ReadColumns(WireReader& r, std::size_t i, std::uint8_t present,
                                  std::uint8_t everywhere, ChannelTable* table) {
    ChannelTable::Columns& c = table->columns_[i];
    const std::pair<std::uint8_t, std::vector<std::uint32_t>*> columns[] = {
        {kDepth, &c.depth},           {kWidth, &c.width},        {kArrivals, &c.arrivals},
        {kDepartures, &c.departures}, {kBytesLow, &c.bytes_low}, {kBytesHigh, &c.bytes_high}};
    for (const auto& [bit, column] : columns) {
      SEER_RETURN_IF_ERROR(
          ReadColumn(r, i, (present & bit) != 0, table->coverage_, everywhere, column));
    }
    return absl::OkStatus();
  }

  // One column of channel `i`, with a cell for each byte of `masks`. A cell whose mask lacks the
  // channel holds zero, whatever the sender put there; `everywhere` are the channels that no mask
  // lacks.
  static absl::Status ReadColumn(WireReader& r, std::size_t i, bool present,
                                 const std::vector<std::uint8_t>& masks, std::uint8_t everywhere,
                                 std::vector<std::uint32_t>* column) {
    if (!present) {
      column->clear();
      return absl::OkStatus();
    }
    SEER_RETURN_IF_ERROR(
        r.Column(ChannelName(static_cast<Channel>(i)).data(), masks.size(), column));
    if ((everywhere >> i & 1) != 0) return absl::OkStatus();
    for (std::size_t row = 0; row < masks.size(); ++row) {
      if ((masks[row] >> i & 1) == 0) (*column)[row] = 0;
    }
    return absl::OkStatus();
  }

  // Sections 6 and 7 have a row for each instance of section 2, which is read before them.
  static absl::Status ReadPeaks(WireReader r, ChannelTable* table) {
    std::uint8_t channels = 0;
    std::uint8_t everywhere = 0;
    if (!r.empty()) {
      SEER_RETURN_IF_ERROR(r.Number("channels", &channels));
      everywhere = Everywhere(table->coverage_);
    }
    for (std::size_t i = 0; i < kChannels; ++i) {
      std::uint8_t present = 0;
      if (i < channels) {
        SEER_RETURN_IF_ERROR(ReadPresence(r, i, kPeak, &present));
      }
      SEER_RETURN_IF_ERROR(
          ReadColumn(r, i, present != 0, table->coverage_, everywhere, &table->columns_[i].peak));
    }
    return absl::OkStatus();
  }

  static absl::Status ReadTimed(WireReader r, ChannelTable* table) {
    std::uint8_t channels = 0;
    std::uint8_t everywhere = 0;
    table->timed_.clear();
    if (!r.empty()) {
      SEER_RETURN_IF_ERROR(r.Numbers("timed", table->size(), &table->timed_));
      const std::uint8_t* const coverage = table->coverage_.data();  // see DropUnknownChannels()
      std::uint8_t* const timed = table->timed_.data();
      for (std::size_t i = 0, size = table->size(); i < size; ++i) timed[i] &= coverage[i];
      SEER_RETURN_IF_ERROR(r.Number("channels", &channels));
      everywhere = Everywhere(table->timed_);
    }
    for (std::size_t i = 0; i < kChannels; ++i) {
      ChannelTable::Columns& c = table->columns_[i];
      std::uint8_t present = 0;
      if (i < channels) {
        SEER_RETURN_IF_ERROR(ReadPresence(r, i, kKnownTimed, &present));
      }
      SEER_RETURN_IF_ERROR(ReadColumn(r, i, (present & kMeanDepth) != 0, table->timed_, everywhere,
                                      &c.mean_depth_milli));
      SEER_RETURN_IF_ERROR(
          ReadColumn(r, i, (present & kMeanWait) != 0, table->timed_, everywhere, &c.mean_wait_us));
    }
    return absl::OkStatus();
  }

  static void WriteEdges(const EdgeTable& table, WireWriter& w) {
    w.Number(static_cast<std::uint32_t>(table.size()));
    w.Numbers(table.seen_.data(), table.size());
    w.Number(static_cast<std::uint8_t>(PresenceBit(table.outstanding_, 1) |
                                       PresenceBit(table.width_, 2) | PresenceBit(table.made_, 4)));
    for (const auto* column : {&table.outstanding_, &table.width_, &table.made_}) {
      w.Column(*column);
    }
  }

  static absl::Status ReadEdges(WireReader r, EdgeTable* table) {
    std::size_t size = 0;
    std::uint8_t present = 0;
    bool all_seen = true;
    if (!r.empty()) {
      SEER_RETURN_IF_ERROR(r.Count("edges", 1, Topology::kMaxRows, &size));
    }
    if (size != table->size()) table->Reset(size);
    if (!r.empty()) {
      SEER_RETURN_IF_ERROR(r.Numbers("seen", size, &table->seen_));
      std::uint8_t* const seen = table->seen_.data();
      for (std::size_t i = 0; i < size; ++i) {
        seen[i] &= 1;
        all_seen &= seen[i] != 0;
      }
      SEER_RETURN_IF_ERROR(r.Number("columns", &present));
      if (present > 7) {
        return r.Error("columns",
                       absl::StrCat("columns of a later format, ", static_cast<int>(present)));
      }
    }
    const std::pair<const char*, std::vector<std::uint32_t>*> columns[] = {
        {"outstanding", &table->outstanding_}, {"width", &table->width_}, {"made", &table->made_}};
    for (std::size_t i = 0; i < 3; ++i) {
      std::vector<std::uint32_t>& column = *columns[i].second;
      if ((present >> i & 1) == 0) {
        column.clear();
        continue;
      }
      SEER_RETURN_IF_ERROR(r.Column(columns[i].first, size, &column));
      for (std::size_t row = 0; !all_seen && row < size; ++row) {
        if (table->seen_[row] == 0) column[row] = 0;
      }
    }
    return absl::OkStatus();
  }
};

namespace {

void WriteClasses(const std::vector<ClassSample>& classes, WireWriter& w) {
  w.Number(static_cast<std::uint32_t>(classes.size()));
  for (const ClassSample& sample : classes) {
    w.Number(sample.count);
    w.Number(sample.over_target);
    w.Number(sample.oldest_open_ns);
    const auto buckets = sample.latency.buckets();
    w.Number(static_cast<std::uint16_t>(buckets.size()));
    w.Records(buckets.data(), buckets.size() * sizeof(LatencyHistogram::Bucket));
  }
}

absl::Status ReadClasses(WireReader r, std::vector<ClassSample>* classes) {
  std::size_t size = 0;
  if (!r.empty()) {
    SEER_RETURN_IF_ERROR(r.Count("classes", kClassBytes, Topology::kMaxRows, &size));
  }
  classes->resize(size);
  for (ClassSample& sample : *classes) {
    SEER_RETURN_IF_ERROR(r.Number("count", &sample.count));
    SEER_RETURN_IF_ERROR(r.Number("over_target", &sample.over_target));
    SEER_RETURN_IF_ERROR(r.Number("oldest_open_ns", &sample.oldest_open_ns));
    std::uint16_t used = 0;
    SEER_RETURN_IF_ERROR(r.Number("latency.buckets", &used));
    std::vector<LatencyHistogram::Bucket> buckets = sample.latency.TakeBuckets();
    SEER_RETURN_IF_ERROR(r.Numbers("latency.buckets", used, &buckets));
    absl::StatusOr<LatencyHistogram> latency = LatencyHistogram::FromBuckets(std::move(buckets));
    if (!latency.ok()) return r.Error("latency", ToStd(latency.status().message()));
    sample.latency = *std::move(latency);
  }
  return absl::OkStatus();
}

absl::Status ReadHeader(WireReader r, Snapshot* snapshot) {
  SEER_RETURN_IF_ERROR(r.Origin(&snapshot->origin));
  std::int64_t period_ns = 0;
  SEER_RETURN_IF_ERROR(r.Number("tick", &snapshot->tick));
  SEER_RETURN_IF_ERROR(r.Number("period_ns", &period_ns));
  absl::StatusOr<TickPeriod> period = TickPeriod::FromNs(period_ns);
  if (!period.ok()) return r.Error("period_ns", ToStd(period.status().message()));
  snapshot->period = *period;
  if (!period->Contains(snapshot->tick)) {
    return r.Error("tick", absl::StrCat(snapshot->tick,
                                        " lies outside the time that 64 bits of "
                                        "nanoseconds can hold"));
  }
  return absl::OkStatus();
}

absl::Status ReadHealth(WireReader r, NodeHealth* health) {
  *health = NodeHealth();
  if (r.empty()) return absl::OkStatus();
  SEER_RETURN_IF_ERROR(r.Number("spans_dropped", &health->spans_dropped));
  SEER_RETURN_IF_ERROR(r.Number("counter_errors", &health->counter_errors));
  SEER_RETURN_IF_ERROR(r.Number("segments_skipped", &health->segments_skipped));
  SEER_RETURN_IF_ERROR(r.Number("probe_errors", &health->probe_errors));
  SEER_RETURN_IF_ERROR(r.Number("late_ns", &health->late_ns));
  if (r.empty()) return absl::OkStatus();  // version 0.1 ends here
  SEER_RETURN_IF_ERROR(r.Number("missed_ticks", &health->missed_ticks));
  SEER_RETURN_IF_ERROR(r.Number("processes", &health->processes));
  SEER_RETURN_IF_ERROR(r.Number("dead_processes", &health->dead_processes));
  return r.Number("inexact_reads", &health->inexact_reads);
}

absl::Status ReadSnapshot(const WireSections& sections, Snapshot* snapshot) {
  SEER_RETURN_IF_ERROR(ReadHeader({"Snapshot.header", sections.Get(kHeader)}, snapshot));
  SEER_RETURN_IF_ERROR(SnapshotWire::ReadChannels({"Snapshot.channels", sections.Get(kChannelsTag)},
                                                  &snapshot->instances));
  SEER_RETURN_IF_ERROR(
      SnapshotWire::ReadPeaks({"Snapshot.peaks", sections.Get(kPeaks)}, &snapshot->instances));
  SEER_RETURN_IF_ERROR(
      SnapshotWire::ReadTimed({"Snapshot.timed", sections.Get(kTimed)}, &snapshot->instances));
  SEER_RETURN_IF_ERROR(
      SnapshotWire::ReadEdges({"Snapshot.edges", sections.Get(kEdges)}, &snapshot->edges));
  SEER_RETURN_IF_ERROR(
      ReadClasses({"Snapshot.classes", sections.Get(kClasses)}, &snapshot->classes));
  return ReadHealth({"Snapshot.health", sections.Get(kHealth)}, &snapshot->health);
}

}  // namespace

EdgeColumns ColumnsOf(const EdgeTable& table) { return SnapshotWire::Columns(table); }

}  // namespace internal

void EncodeTo(const Snapshot& snapshot, std::string* bytes) {
  using namespace internal;  // NOLINT(google-build-using-namespace): the format's own file
  WireWriter w(WireKind::kSnapshot, bytes);
  // A guess for the usual case of two or three one-byte columns per channel.
  w.Reserve(256 + snapshot.instances.size() * 28 + snapshot.edges.size() * 4);
  w.Section(kHeader);
  w.Origin(snapshot.origin);
  w.Number(snapshot.tick);
  w.Number(snapshot.period.ns());
  w.Section(kChannelsTag);
  SnapshotWire::WriteChannels(snapshot.instances, w);
  w.Section(kEdges);
  SnapshotWire::WriteEdges(snapshot.edges, w);
  w.Section(kClasses);
  WriteClasses(snapshot.classes, w);
  w.Section(kHealth);
  w.Number(snapshot.health.spans_dropped);
  w.Number(snapshot.health.counter_errors);
  w.Number(snapshot.health.segments_skipped);
  w.Number(snapshot.health.probe_errors);
  w.Number(snapshot.health.late_ns);
  w.Number(snapshot.health.missed_ticks);
  w.Number(snapshot.health.processes);
  w.Number(snapshot.health.dead_processes);
  w.Number(snapshot.health.inexact_reads);
  SnapshotWire::WritePeaks(snapshot.instances, w);
  SnapshotWire::WriteTimed(snapshot.instances, w);
  w.Finish();
}

absl::Status DecodeTo(std::string_view bytes, Snapshot* snapshot) {
  return internal::DecodeMessage(WireKind::kSnapshot, bytes, snapshot, internal::ReadSnapshot);
}

SEER_END_NAMESPACE
