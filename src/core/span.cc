#include "seer/core/span.h"

#include <algorithm>
#include <limits>

SEER_BEGIN_NAMESPACE

void Span::SetStamps(SpanSide side, const Stamps& unix_ns) {
  constexpr std::uint64_t kMaxUnits = std::numeric_limits<std::uint32_t>::max();
  constexpr int kMaxShift = 15;

  std::array<std::uint64_t, kStamps> distance = {};
  std::uint64_t known = 0;
  std::uint64_t last = 0;
  first_ns_ = 0;
  for (std::size_t i = 0; i < kStamps; ++i) {
    if (!unix_ns[i].has_value()) continue;
    if (known == 0) first_ns_ = *unix_ns[i];
    // Unsigned, so that hostile stamps far apart cannot overflow.
    const std::uint64_t since_first =
        *unix_ns[i] > first_ns_
            ? static_cast<std::uint64_t>(*unix_ns[i]) - static_cast<std::uint64_t>(first_ns_)
            : 0;
    last = distance[i] = std::max(last, since_first);
    known |= std::uint64_t{1} << i;
  }

  int shift = 0;
  while (shift < kMaxShift && last >> shift > kMaxUnits) ++shift;
  for (std::size_t i = 1; i < kStamps; ++i) {
    later_[i - 1] = static_cast<std::uint32_t>(std::min(distance[i] >> shift, kMaxUnits));
  }
  SetField(kSideBit, 1, static_cast<std::uint64_t>(side));
  SetField(kShiftBit, 4, static_cast<std::uint64_t>(shift));
  SetField(kKnownBit, kStamps, known);
}

std::int64_t Span::duration_ns() const {
  // Stamps that are not known are zero.
  const std::uint32_t last = *std::max_element(later_.begin(), later_.end());
  return static_cast<std::int64_t>(std::uint64_t{last} << Field(kShiftBit, 4));
}

bool Span::StampsAreOrdered() const {
  std::uint32_t last = 0;
  for (std::size_t i = 1; i < kStamps; ++i) {
    if ((Field(kKnownBit, kStamps) >> i & 1) == 0) continue;
    if (later_[i - 1] < last) return false;
    last = later_[i - 1];
  }
  return true;
}

SEER_END_NAMESPACE
