#include "seer/dataset/tick_block.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "dataset/column.h"
#include "seer/core/internal/status_macros.h"

SEER_BEGIN_NAMESPACE

using internal::ColumnDecoder;
using internal::ColumnEncoder;
using internal::ColumnView;
using internal::Field;
using internal::kEdgeChannel;
using internal::kOutstandingChannel;

namespace {

constexpr std::size_t kPreambleBytes = 40;

absl::Status Contradiction(const char* what) {
  return absl::DataLossError(std::string("dataset: a block of ticks ") + what +
                             ": it is damaged, record it again or leave it out");
}

struct Shape {
  std::size_t services = 0, edges = 0, classes = 0;
};

bool WithinBounds(std::size_t ticks, const Shape& shape) {
  if (shape.services > Topology::kMaxRows || shape.edges > Topology::kMaxRows ||
      shape.classes > Topology::kMaxRows || ticks > TickBlock::kMaxTicks) {
    return false;
  }
  const std::size_t cells = shape.services * kChannels + shape.edges + shape.classes;
  return ticks <= 1 || ticks * cells <= TickBlock::kMaxCells;
}

// values[row * ticks + i] = get(tick i, row), for the rows that the tick has.
template <typename T, typename Rows, typename Get>
void Gather(absl::Span<const ClusterTick> ticks, std::size_t rows, const Rows& rows_of,
            const Get& get, std::vector<T>* values) {
  values->assign(rows * ticks.size(), T{});
  for (std::size_t i = 0; i < ticks.size(); ++i) {
    const std::size_t n = rows_of(ticks[i]);
    for (std::size_t row = 0; row < n; ++row) {
      (*values)[row * ticks.size() + i] = static_cast<T>(get(ticks[i], row));
    }
  }
}

}  // namespace

absl::Status TickBlock::Encode(absl::Span<const ClusterTick> ticks, int level, std::string* bytes) {
  bytes->clear();
  Shape shape;
  std::size_t bucket_count = 0;
  for (std::size_t i = 0; i < ticks.size(); ++i) {
    const ClusterTick& tick = ticks[i];
    if (tick.period != ticks[0].period || (i > 0 && tick.tick <= ticks[i - 1].tick)) {
      return absl::InvalidArgumentError(
          "TickBlock: ticks of one block have one period and increase: sort them");
    }
    shape.services = std::max(shape.services, tick.services.size());
    shape.edges = std::max(shape.edges, tick.edges.size());
    shape.classes = std::max(shape.classes, tick.classes.size());
    for (const ClassTick& row : tick.classes) bucket_count += row.latency.buckets().size();
  }
  if (ticks.empty() || !WithinBounds(ticks.size(), shape) || bucket_count > kMaxCells) {
    return absl::InvalidArgumentError(
        "TickBlock: no ticks, or more values than kMaxCells: encode fewer ticks at once");
  }

  const std::size_t n = ticks.size();
  const auto period_us = static_cast<std::uint32_t>(ticks[0].period.ns() / 1000);
  char preamble[kPreambleBytes] = {};
  const std::int64_t period_ns = ticks[0].period.ns();
  const std::int64_t first = ticks[0].tick;
  const std::uint32_t sizes[] = {
      static_cast<std::uint32_t>(n), static_cast<std::uint32_t>(shape.services),
      static_cast<std::uint32_t>(shape.edges), static_cast<std::uint32_t>(shape.classes),
      static_cast<std::uint32_t>(bucket_count)};
  std::memcpy(preamble, &period_ns, sizeof(period_ns));
  std::memcpy(preamble + 8, &first, sizeof(first));
  std::memcpy(preamble + 16, sizes, sizeof(sizes));
  bytes->append(preamble, kPreambleBytes);

  ColumnEncoder encoder(level, bytes);
  std::vector<std::uint64_t> whole;
  std::vector<float> floats;
  const auto one = [](const ClusterTick&) { return std::size_t{1}; };
  const auto scalar = [&](Field field, const auto& get) {
    Gather(
        ticks, 1, one, [&](const ClusterTick& tick, std::size_t) { return get(tick); }, &whole);
    encoder.Integers(field, 0, 1, n, &whole);
  };
  scalar(Field::kTick, [first](const ClusterTick& tick) {
    return static_cast<std::uint64_t>(tick.tick) - static_cast<std::uint64_t>(first);
  });
  scalar(Field::kVersion, [](const ClusterTick& tick) { return tick.topology_version; });
  scalar(Field::kNodesSeen, [](const ClusterTick& tick) { return tick.nodes_seen; });
  scalar(Field::kNodesExpected, [](const ClusterTick& tick) { return tick.nodes_expected; });
  scalar(Field::kServices, [](const ClusterTick& tick) { return tick.services.size(); });
  scalar(Field::kEdges, [](const ClusterTick& tick) { return tick.edges.size(); });
  scalar(Field::kClasses, [](const ClusterTick& tick) { return tick.classes.size(); });

  const auto services_of = [](const ClusterTick& tick) { return tick.services.size(); };
  const auto edges_of = [](const ClusterTick& tick) { return tick.edges.size(); };
  const auto classes_of = [](const ClusterTick& tick) { return tick.classes.size(); };

  for (std::uint8_t c = 0; c < kChannels; ++c) {
    const Channel channel = kAllChannels[c];
    // What nobody knows of the channel need not be gathered.
    unsigned known = 0;
    for (const ClusterTick& tick : ticks) {
      for (const std::uint8_t bits : tick.services.known(channel)) known |= bits;
    }
    if (known == 0) continue;
    const auto integers = [&](Field field, const auto& column) {
      Gather(
          ticks, shape.services, services_of,
          [&](const ClusterTick& tick, std::size_t row) { return column(tick.services)[row]; },
          &whole);
      encoder.Integers(field, c, shape.services, n, &whole);
    };
    const auto reals = [&](Field field, const auto& column) {
      // + 0: there is one zero in a dataset, not -0 too.
      Gather(
          ticks, shape.services, services_of,
          [&](const ClusterTick& tick, std::size_t row) {
            return column(tick.services)[row] + 0.0f;
          },
          &floats);
      encoder.Floats(field, c, shape.services, n, floats, period_us);
    };
    integers(Field::kKnown, [&](const ServiceTable& table) { return table.known(channel); });
    if (known & ServiceTable::kDepth) {
      reals(Field::kDepth, [&](const ServiceTable& table) { return table.depths(channel); });
    }
    if (known & ServiceTable::kMean) {
      reals(Field::kMean, [&](const ServiceTable& table) { return table.means(channel); });
    }
    if (known & ServiceTable::kMeanWait) {
      reals(Field::kWait, [&](const ServiceTable& table) { return table.mean_waits_us(channel); });
    }
    if (known & ServiceTable::kFlow) {
      integers(Field::kArrivals,
               [&](const ServiceTable& table) { return table.arrivals(channel); });
      integers(Field::kDepartures,
               [&](const ServiceTable& table) { return table.departures(channel); });
    }
  }

  unsigned whole_known = 0;
  for (const ClusterTick& tick : ticks) {
    for (const std::uint8_t bits : tick.services.outstanding_known()) whole_known |= bits;
  }
  if (whole_known != 0) {
    Gather(
        ticks, shape.services, services_of,
        [](const ClusterTick& tick, std::size_t row) {
          return tick.services.outstanding_known()[row];
        },
        &whole);
    encoder.Integers(Field::kKnown, kOutstandingChannel, shape.services, n, &whole);
    const auto reals = [&](Field field, const auto& column) {
      Gather(
          ticks, shape.services, services_of,
          [&](const ClusterTick& tick, std::size_t row) {
            return column(tick.services)[row] + 0.0f;
          },
          &floats);
      encoder.Floats(field, kOutstandingChannel, shape.services, n, floats, period_us);
    };
    if (whole_known & ServiceTable::kDepth) {
      reals(Field::kDepth, [](const ServiceTable& table) { return table.outstanding_depths(); });
    }
    if (whole_known & ServiceTable::kMean) {
      reals(Field::kMean, [](const ServiceTable& table) { return table.outstanding_means(); });
    }
  }

  const auto edge_integers = [&](Field field, const auto& column) {
    Gather(
        ticks, shape.edges, edges_of,
        [&](const ClusterTick& tick, std::size_t row) { return column(tick.edges)[row]; }, &whole);
    encoder.Integers(field, kEdgeChannel, shape.edges, n, &whole);
  };
  const auto edge_reals = [&](Field field, const auto& column) {
    Gather(
        ticks, shape.edges, edges_of,
        [&](const ClusterTick& tick, std::size_t row) { return column(tick.edges)[row] + 0.0f; },
        &floats);
    encoder.Floats(field, kEdgeChannel, shape.edges, n, floats, period_us);
  };
  if (shape.edges > 0) {
    edge_integers(Field::kKnown, [](const EdgeTickTable& table) { return table.known(); });
    edge_reals(Field::kDepth, [](const EdgeTickTable& table) { return table.depths(); });
    edge_reals(Field::kMean, [](const EdgeTickTable& table) { return table.means(); });
    edge_integers(Field::kArrivals, [](const EdgeTickTable& table) { return table.made(); });
  }

  const auto of_class = [&](Field field, const auto& get) {
    Gather(
        ticks, shape.classes, classes_of,
        [&](const ClusterTick& tick, std::size_t row) { return get(tick.classes[row]); }, &whole);
    encoder.Integers(field, 0, shape.classes, n, &whole);
  };
  if (shape.classes > 0) {
    of_class(Field::kSeen, [](const ClassTick& row) { return row.seen; });
    of_class(Field::kCount, [](const ClassTick& row) { return row.count; });
    of_class(Field::kOver, [](const ClassTick& row) { return row.over_target; });
    of_class(Field::kOldest, [](const ClassTick& row) { return row.oldest_open_ns; });
    of_class(Field::kP50, [](const ClassTick& row) { return row.p50_ns; });
    of_class(Field::kP99, [](const ClassTick& row) { return row.p99_ns; });
    of_class(Field::kBuckets, [](const ClassTick& row) { return row.latency.buckets().size(); });
  }
  if (bucket_count > 0) {
    std::vector<std::uint64_t> index, counts;
    index.reserve(bucket_count);
    counts.reserve(bucket_count);
    for (std::size_t row = 0; row < shape.classes; ++row) {
      for (const ClusterTick& tick : ticks) {
        if (row >= tick.classes.size()) continue;
        for (const LatencyHistogram::Bucket& bucket : tick.classes[row].latency.buckets()) {
          index.push_back(bucket.index);
          counts.push_back(bucket.count);
        }
      }
    }
    encoder.Integers(Field::kBucketIndex, 0, 1, bucket_count, &index);
    encoder.Integers(Field::kBucketCount, 0, 1, bucket_count, &counts);
  }
  return absl::OkStatus();
}

absl::Status TickBlock::Decode(std::string_view bytes) {
  absl::Status status = DecodeColumns(bytes);
  if (status.ok()) status = CheckColumns();
  if (!status.ok()) *this = TickBlock();
  return status;
}

absl::Status TickBlock::DecodeColumns(std::string_view bytes) {
  // Keep no column of the block before; memory is kept where the column comes again.
  std::array<Columns, kChannels> old_channels = std::move(channels_);
  channels_ = {};
  Columns old_edge = std::move(edge_);
  edge_ = Columns();
  Columns old_outstanding = std::move(outstanding_);
  outstanding_ = Columns();
  class_ = ClassColumns();
  tick_numbers_.clear();

  if (bytes.size() < kPreambleBytes) return Contradiction("is cut off");
  std::int64_t period_ns, first;
  std::uint32_t sizes[5];
  std::memcpy(&period_ns, bytes.data(), sizeof(period_ns));
  std::memcpy(&first, bytes.data() + 8, sizeof(first));
  std::memcpy(sizes, bytes.data() + 16, sizeof(sizes));
  bytes.remove_prefix(kPreambleBytes);
  const absl::StatusOr<TickPeriod> period = TickPeriod::FromNs(period_ns);
  const std::size_t n = sizes[0];
  const Shape shape{sizes[1], sizes[2], sizes[3]};
  const std::size_t bucket_count = sizes[4];
  if (!period.ok() || n == 0 || !WithinBounds(n, shape) || bucket_count > kMaxCells) {
    return Contradiction("has impossible sizes");
  }
  period_ = *period;
  services_ = shape.services;
  edges_ = shape.edges;
  classes_ = shape.classes;

  std::vector<std::uint64_t> ticks(n, 0);
  versions_.assign(n, 0);
  for (auto* column :
       {&nodes_seen_, &nodes_expected_, &tick_services_, &tick_edges_, &tick_classes_}) {
    column->assign(n, 0);
  }
  class_.index.assign(bucket_count, 0);
  class_.counts.assign(bucket_count, 0);

  ColumnDecoder decoder;
  std::vector<unsigned> decoded;  // field and channel
  while (!bytes.empty()) {
    ColumnView view;
    SEER_RETURN_IF_ERROR(internal::NextColumn(&bytes, &view));
    // Each column once: a few bytes can stand for as many values as a block may have.
    const auto decode = [&](std::uint8_t channel, std::size_t rows, std::size_t columns,
                            auto* values) -> absl::Status {
      const unsigned which = static_cast<unsigned>(view.field) << 8 | channel;
      if (std::find(decoded.begin(), decoded.end(), which) != decoded.end()) {
        return Contradiction("has a column twice");
      }
      decoded.push_back(which);
      return decoder.Decode(view, rows, columns, values);
    };
    const auto scalar = [&](auto* values) { return decode(0, 1, n, values); };
    const auto of_class = [&](auto* values) { return decode(0, shape.classes, n, values); };
    // A column of services or edges, in the memory that it had in the block before.
    const auto table = [&](auto member) -> absl::Status {
      const bool is_edge = view.channel == kEdgeChannel;
      const bool is_whole = view.channel == kOutstandingChannel;
      if (!is_edge && !is_whole && view.channel >= kChannels) {
        return absl::OkStatus();  // of a newer version
      }
      Columns& columns = is_edge ? edge_ : is_whole ? outstanding_ : channels_[view.channel];
      Columns& old = is_edge ? old_edge : is_whole ? old_outstanding : old_channels[view.channel];
      if ((columns.*member).empty()) (columns.*member).swap(old.*member);
      return decode(view.channel, is_edge ? shape.edges : shape.services, n, &(columns.*member));
    };
    absl::Status status;
    switch (view.field) {
      case Field::kTick:
        status = scalar(&ticks);
        break;
      case Field::kVersion:
        status = scalar(&versions_);
        break;
      case Field::kNodesSeen:
        status = scalar(&nodes_seen_);
        break;
      case Field::kNodesExpected:
        status = scalar(&nodes_expected_);
        break;
      case Field::kServices:
        status = scalar(&tick_services_);
        break;
      case Field::kEdges:
        status = scalar(&tick_edges_);
        break;
      case Field::kClasses:
        status = scalar(&tick_classes_);
        break;
      case Field::kDepth:
        status = table(&Columns::depth);
        break;
      case Field::kMean:
        status = table(&Columns::mean);
        break;
      case Field::kWait:
        status = table(&Columns::wait);
        break;
      case Field::kArrivals:
        status = table(&Columns::arrivals);
        break;
      case Field::kDepartures:
        status = table(&Columns::departures);
        break;
      case Field::kKnown:
        status = table(&Columns::known);
        break;
      case Field::kSeen:
        status = of_class(&class_.seen);
        break;
      case Field::kCount:
        status = of_class(&class_.count);
        break;
      case Field::kOver:
        status = of_class(&class_.over);
        break;
      case Field::kOldest:
        status = of_class(&class_.oldest);
        break;
      case Field::kP50:
        status = of_class(&class_.p50);
        break;
      case Field::kP99:
        status = of_class(&class_.p99);
        break;
      case Field::kBuckets:
        status = of_class(&class_.buckets);
        break;
      case Field::kBucketIndex:
        status = decode(0, 1, bucket_count, &class_.index);
        break;
      case Field::kBucketCount:
        status = decode(0, 1, bucket_count, &class_.counts);
        break;
      default:
        break;  // of a newer minor version
    }
    if (!status.ok()) return status;
  }

  tick_numbers_.resize(n);
  for (std::size_t i = 0; i < n; ++i) {
    const std::uint64_t sum = static_cast<std::uint64_t>(first) + ticks[i];
    tick_numbers_[i] = static_cast<Tick>(sum);
    const bool increases =
        i == 0 ? tick_numbers_[0] == first : tick_numbers_[i] > tick_numbers_[i - 1];
    if (!increases || !period_.Contains(tick_numbers_[i])) {
      return Contradiction("has ticks that do not increase");
    }
  }
  if (!class_.buckets.empty()) {
    class_.first.reserve(class_.buckets.size() + 1);
    std::size_t sum = 0;
    for (const std::uint32_t size : class_.buckets) {
      class_.first.push_back(sum);
      if (size > LatencyHistogram::kBuckets) return Contradiction("has an impossible histogram");
      sum += size;
    }
    class_.first.push_back(sum);
    if (sum != bucket_count) return Contradiction("has more or fewer buckets than it says");
  } else if (bucket_count > 0) {
    return Contradiction("has buckets of no histogram");
  }
  return absl::OkStatus();
}

namespace {

// A column's values are finite, not negative, and 0 where they are not known. Loops without a
// branch, which the compiler makes wide.
bool Sound(const std::vector<float>& values, const std::vector<std::uint8_t>& known,
           std::uint8_t bit) {
  if (values.empty()) return true;
  if (known.size() != values.size()) return false;
  // As bits, some at a time: a float may not be looked at as an integer where it stands.
  constexpr std::size_t kStep = 1024;
  std::uint32_t raw[kStep];
  std::uint32_t broken = 0, unknown = 0;
  for (std::size_t done = 0; done < values.size(); done += kStep) {
    const std::size_t n = std::min(kStep, values.size() - done);
    std::memcpy(raw, values.data() + done, n * sizeof(float));
    // The highest bit tells a sign, and of the sum infinity and what is no number.
    for (std::size_t i = 0; i < n; ++i) broken |= raw[i] | (raw[i] + 0x00800000u);
    for (std::size_t i = 0; i < n; ++i) {
      unknown |= raw[i] & (static_cast<std::uint32_t>((known[done + i] & bit) != 0) - 1);
    }
  }
  return broken >> 31 == 0 && unknown == 0;
}
bool Sound(const std::vector<std::uint32_t>& values, const std::vector<std::uint8_t>& known,
           std::uint8_t bit) {
  if (values.empty()) return true;
  if (known.size() != values.size()) return false;
  std::uint32_t unknown = 0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    unknown |= values[i] & (static_cast<std::uint32_t>((known[i] & bit) != 0) - 1);
  }
  return unknown == 0;
}

}  // namespace

absl::Status TickBlock::CheckColumns() const {
  bool sound = true;
  for (const Columns& c : channels_) {
    sound = sound && Sound(c.depth, c.known, ServiceTable::kDepth) &&
            Sound(c.mean, c.known, ServiceTable::kMean) &&
            Sound(c.wait, c.known, ServiceTable::kMeanWait) &&
            Sound(c.arrivals, c.known, ServiceTable::kFlow) &&
            Sound(c.departures, c.known, ServiceTable::kFlow);
  }
  sound = sound && Sound(edge_.depth, edge_.known, EdgeTickTable::kDepth) &&
          Sound(edge_.mean, edge_.known, EdgeTickTable::kMean) &&
          Sound(edge_.arrivals, edge_.known, EdgeTickTable::kMade) && edge_.wait.empty() &&
          edge_.departures.empty() &&
          Sound(outstanding_.depth, outstanding_.known, ServiceTable::kDepth) &&
          Sound(outstanding_.mean, outstanding_.known, ServiceTable::kMean) &&
          outstanding_.wait.empty() && outstanding_.arrivals.empty() &&
          outstanding_.departures.empty();
  if (!sound) return Contradiction("has values that cannot be, or that nobody knows");
  for (std::size_t i = 0; i < ticks(); ++i) {
    if (tick_services_[i] > services_ || tick_edges_[i] > edges_ || tick_classes_[i] > classes_) {
      return Contradiction("has a tick with more rows than the block");
    }
  }
  for (const auto* column : {&class_.oldest, &class_.p50, &class_.p99}) {
    for (const std::uint64_t value : *column) {
      if (value >> 63) return Contradiction("has a negative time");
    }
  }
  // Bucket numbers increase within each histogram, and none is empty.
  for (std::size_t i = 0; i + 1 < class_.first.size(); ++i) {
    for (std::size_t b = class_.first[i]; b < class_.first[i + 1]; ++b) {
      if (class_.counts[b] == 0 || class_.index[b] >= LatencyHistogram::kBuckets ||
          (b > class_.first[i] && class_.index[b] <= class_.index[b - 1])) {
        return Contradiction("has an impossible histogram");
      }
    }
  }
  return absl::OkStatus();
}

void TickBlock::Get(std::size_t i, ClusterTick* tick) const {
  SEER_DCHECK(i < ticks());
  const std::size_t n = ticks();
  tick->tick = tick_numbers_[i];
  tick->period = period_;
  tick->topology_version = versions_[i];
  tick->Reset(tick_services_[i], tick_edges_[i], tick_classes_[i]);
  tick->nodes_seen = nodes_seen_[i];
  tick->nodes_expected = nodes_expected_[i];
  const auto value = [](const auto& values, std::size_t at) {
    return values.empty() ? 0 : values[at];
  };
  for (std::size_t c = 0; c < kChannels; ++c) {
    const Columns& columns = channels_[c];
    if (columns.known.empty()) continue;
    const Channel channel = kAllChannels[c];
    for (std::uint32_t row = 0; row < tick_services_[i]; ++row) {
      const std::size_t at = row * n + i;
      const std::uint8_t known = columns.known[at];
      const ServiceId id(row);
      if (known & ServiceTable::kDepth)
        tick->services.SetDepth(id, channel, value(columns.depth, at));
      if (known & ServiceTable::kMean) tick->services.SetMean(id, channel, value(columns.mean, at));
      if (known & ServiceTable::kFlow) {
        tick->services.SetFlow(id, channel, value(columns.arrivals, at),
                               value(columns.departures, at));
      }
      if (known & ServiceTable::kMeanWait) {
        tick->services.SetMeanWait(id, channel, value(columns.wait, at));
      }
    }
  }
  for (std::uint32_t row = 0; row < tick_services_[i] && !outstanding_.known.empty(); ++row) {
    const std::size_t at = row * n + i;
    const std::uint8_t known = outstanding_.known[at];
    const ServiceId id(row);
    if (known & ServiceTable::kDepth) {
      tick->services.SetOutstanding(id, value(outstanding_.depth, at));
    }
    if (known & ServiceTable::kMean) {
      tick->services.SetOutstandingMean(id, value(outstanding_.mean, at));
    }
  }
  for (std::uint32_t row = 0; row < tick_edges_[i] && !edge_.known.empty(); ++row) {
    const std::size_t at = row * n + i;
    const std::uint8_t known = edge_.known[at];
    const EdgeId id(row);
    if (known & EdgeTickTable::kDepth) tick->edges.SetDepth(id, value(edge_.depth, at));
    if (known & EdgeTickTable::kMean) tick->edges.SetMean(id, value(edge_.mean, at));
    if (known & EdgeTickTable::kMade) tick->edges.SetMade(id, value(edge_.arrivals, at));
  }
  for (std::size_t row = 0; row < tick_classes_[i]; ++row) {
    const std::size_t at = row * n + i;
    ClassTick& out = tick->classes[row];
    out.seen = value(class_.seen, at) != 0;
    out.count = value(class_.count, at);
    out.over_target = value(class_.over, at);
    out.oldest_open_ns = static_cast<std::int64_t>(value(class_.oldest, at));
    out.p50_ns = static_cast<std::int64_t>(value(class_.p50, at));
    out.p99_ns = static_cast<std::int64_t>(value(class_.p99, at));
    if (class_.first.empty() || class_.first[at] == class_.first[at + 1]) continue;
    std::vector<LatencyHistogram::Bucket> buckets = out.latency.TakeBuckets();
    buckets.clear();
    for (std::size_t b = class_.first[at]; b < class_.first[at + 1]; ++b) {
      buckets.push_back({class_.index[b], class_.counts[b]});
    }
    // Checked in CheckColumns().
    out.latency = *LatencyHistogram::FromBuckets(std::move(buckets));
  }
}

SEER_END_NAMESPACE
