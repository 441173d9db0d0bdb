#include "seer/core/snapshot.h"

#include <algorithm>

SEER_BEGIN_NAMESPACE

namespace {

using Column = std::vector<std::uint32_t>;
using Bits = std::vector<std::uint8_t>;

// An empty column stands for zeros, so a zero needs no column.
void SetCell(Column& column, std::size_t size, std::size_t i, std::uint32_t value) {
  if (column.empty()) {
    if (value == 0) return;
    column.assign(size, 0);
  }
  column[i] = value;
}

std::uint32_t Cell(const Column& column, std::size_t i) { return column.empty() ? 0 : column[i]; }

template <typename T>
bool SameColumn(const std::vector<T>& a, const std::vector<T>& b) {
  if (a.size() == b.size()) return a == b;
  const std::vector<T>& values = a.empty() ? b : a;
  return std::all_of(values.begin(), values.end(), [](T v) { return v == 0; });
}

void SetBit(std::uint8_t& bits, std::size_t bit, bool on) {
  bits = static_cast<std::uint8_t>((bits & ~(1u << bit)) | (unsigned{on} << bit));
}

}  // namespace

void ChannelTable::Reset(std::size_t instances) {
  for (Columns& c : columns_) {
    for (Column* column : {&c.depth, &c.width, &c.arrivals, &c.departures, &c.bytes_low,
                           &c.bytes_high, &c.peak, &c.mean_depth_milli, &c.mean_wait_us}) {
      column->clear();
    }
  }
  for (Bits* bits : {&coverage_, &counted_, &shared_}) bits->assign(instances, 0);
  timed_.clear();
  missing_.fill(Missing::kNotMissing);
}

void ChannelTable::Set(InstanceId instance, Channel channel, const ChannelSample& sample) {
  const std::size_t i = instance.value();
  SEER_DCHECK(i < size());
  if (i >= size()) return;
  Columns& c = columns_[Index(channel)];
  SetCell(c.depth, size(), i, sample.depth);
  SetCell(c.width, size(), i, sample.width);
  SetCell(c.arrivals, size(), i, sample.arrivals);
  SetCell(c.departures, size(), i, sample.departures);
  SetCell(c.peak, size(), i, sample.peak);
  SetBit(coverage_[i], Index(channel), true);
  SetBit(counted_[i], Index(channel), sample.counted);
  SetBit(shared_[i], Index(channel), sample.shared);
  if (timed_.empty()) {
    if (!sample.timed) return;  // no cell has means
    timed_.assign(size(), 0);
  }
  SetBit(timed_[i], Index(channel), sample.timed);
  SetCell(c.mean_depth_milli, size(), i, sample.timed ? sample.mean_depth_milli : 0);
  SetCell(c.mean_wait_us, size(), i, sample.timed ? sample.mean_wait_us : 0);
}

std::optional<ChannelSample> ChannelTable::Get(InstanceId instance, Channel channel) const {
  if (!coverage(instance).Has(channel)) return std::nullopt;
  const std::size_t i = instance.index();
  const Columns& c = At(channel);
  ChannelSample sample;
  sample.depth = Cell(c.depth, i);
  sample.width = Cell(c.width, i);
  sample.arrivals = Cell(c.arrivals, i);
  sample.departures = Cell(c.departures, i);
  sample.counted = counted(instance).Has(channel);
  sample.shared = shared(instance).Has(channel);
  sample.peak = Cell(c.peak, i);
  if (timed_.empty()) return sample;  // no cell has means
  sample.timed = timed(instance).Has(channel);
  sample.mean_depth_milli = Cell(c.mean_depth_milli, i);
  sample.mean_wait_us = Cell(c.mean_wait_us, i);
  return sample;
}

void ChannelTable::SetBytes(InstanceId instance, Channel channel, std::uint64_t bytes) {
  const std::size_t i = instance.value();
  if (!coverage(instance).Has(channel)) return;
  Columns& c = columns_[Index(channel)];
  SetCell(c.bytes_low, size(), i, static_cast<std::uint32_t>(bytes));
  SetCell(c.bytes_high, size(), i, static_cast<std::uint32_t>(bytes >> 32));
}

std::uint64_t ChannelTable::bytes(InstanceId instance, Channel channel) const {
  if (instance.value() >= size()) return 0;
  const Columns& c = At(channel);
  return std::uint64_t{Cell(c.bytes_high, instance.value())} << 32 |
         Cell(c.bytes_low, instance.value());
}

bool operator==(const ChannelTable& a, const ChannelTable& b) {
  if (a.coverage_ != b.coverage_ || a.counted_ != b.counted_ || a.shared_ != b.shared_ ||
      !SameColumn(a.timed_, b.timed_) || a.missing_ != b.missing_) {
    return false;
  }
  for (std::size_t i = 0; i < kChannels; ++i) {
    const ChannelTable::Columns& x = a.columns_[i];
    const ChannelTable::Columns& y = b.columns_[i];
    if (!SameColumn(x.depth, y.depth) || !SameColumn(x.width, y.width) ||
        !SameColumn(x.arrivals, y.arrivals) || !SameColumn(x.departures, y.departures) ||
        !SameColumn(x.bytes_low, y.bytes_low) || !SameColumn(x.bytes_high, y.bytes_high) ||
        !SameColumn(x.peak, y.peak) || !SameColumn(x.mean_depth_milli, y.mean_depth_milli) ||
        !SameColumn(x.mean_wait_us, y.mean_wait_us)) {
      return false;
    }
  }
  return true;
}

void EdgeTable::Reset(std::size_t edges) {
  seen_.assign(edges, 0);
  for (Column* column : {&outstanding_, &width_, &made_}) column->clear();
}

void EdgeTable::Set(EdgeId edge, const EdgeSample& sample) {
  const std::size_t i = edge.value();
  SEER_DCHECK(i < size());
  if (i >= size()) return;
  seen_[i] = 1;
  SetCell(outstanding_, size(), i, sample.outstanding);
  SetCell(width_, size(), i, sample.width);
  SetCell(made_, size(), i, sample.made);
}

std::optional<EdgeSample> EdgeTable::Get(EdgeId edge) const {
  if (edge.value() >= size() || seen_[edge.value()] == 0) return std::nullopt;
  const std::size_t i = edge.value();
  EdgeSample sample;
  sample.outstanding = Cell(outstanding_, i);
  sample.width = Cell(width_, i);
  sample.made = Cell(made_, i);
  return sample;
}

bool operator==(const EdgeTable& a, const EdgeTable& b) {
  return a.seen_ == b.seen_ && SameColumn(a.outstanding_, b.outstanding_) &&
         SameColumn(a.width_, b.width_) && SameColumn(a.made_, b.made_);
}

SEER_END_NAMESPACE
