// The loops over services in each set of instructions that runs here, against each other; what they
// say is compared with numbers made one by one in tree_features_test.cc.
#include "predict/way_loops.h"

#include <array>
#include <cstdint>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "gtest/gtest.h"

namespace seer {
namespace {

using internal::kSides;
using internal::WayLoops;
using internal::WaySides;
using internal::WaySpreads;

constexpr float kNone = std::numeric_limits<float>::quiet_NaN();

// What is not known is as good as any other.
std::vector<std::uint32_t> Bits(const float* values, std::size_t count) {
  std::vector<std::uint32_t> bits(count);
  for (std::size_t i = 0; i < count; ++i) {
    if (values[i] != values[i]) continue;
    const float value = values[i] + 0.0f;  // zeros have no sign
    std::memcpy(&bits[i], &value, sizeof(value));
    ++bits[i];
  }
  return bits;
}

class Columns {
 public:
  Columns(std::size_t count, unsigned seed) : count_(count), random_(seed) {}

  // Some values are not known, some are infinitely small, some zero.
  const float* Draw() {
    std::vector<float>& column = columns_[used_++ % columns_.size()];
    column.resize(count_ + 1);
    for (float& value : column) {
      const auto which = random_() % 16;
      value = which == 0   ? kNone
              : which == 1 ? -std::numeric_limits<float>::infinity()
              : which == 2 ? 0.0f
                           : std::uniform_real_distribution<float>(-4, 40)(random_);
    }
    return column.data();
  }

 private:
  const std::size_t count_;
  std::mt19937 random_;
  std::array<std::vector<float>, 32> columns_;
  std::size_t used_ = 0;
};

// All that the loops say of columns drawn at random.
std::vector<std::uint32_t> AllOf(const WayLoops& loops, std::size_t count) {
  Columns columns(count, static_cast<unsigned>(count));
  std::vector<std::uint32_t> all;
  const auto add = [&](const float* values, std::size_t some) {
    const std::vector<std::uint32_t> bits = Bits(values, some);
    all.insert(all.end(), bits.begin(), bits.end());
  };
  // Structs of nothing but floats.
  const auto add_all = [&](const auto& structs) {
    std::vector<float> values(sizeof(structs) / sizeof(float));
    std::memcpy(values.data(), structs.data(), sizeof(structs));
    add(values.data(), values.size());
  };
  const float* drawn[16];
  for (const float*& column : drawn) column = columns.Draw();
  std::array<std::vector<float>, 7> into;
  for (std::vector<float>& values : into) {
    const float* const before = columns.Draw();
    values.assign(before, before + count + 1);
  }
  loops.hold_up(
      {drawn[0], drawn[1], drawn[2], drawn[3], drawn[4], drawn[5], drawn[6], drawn[7], drawn[8]},
      count, 0.3f, into[0].data(), into[1].data());
  for (const auto& values : into) add(values.data(), count + 1);
  loops.gather({drawn[0], drawn[1], drawn[2], drawn[3], drawn[4], drawn[5], drawn[6]}, count, 0.1f,
               into[0].data(), into[1].data(), into[2].data(), into[3].data(), into[4].data(),
               into[5].data(), into[6].data());
  for (const auto& values : into) add(values.data(), count + 1);
  std::array<WaySides<float>, kSides> sides;
  loops.take({drawn[9], into[1].data(), into[2].data(), into[3].data(), into[4].data(),
              into[5].data(), into[6].data()},
             count, sides.data());
  add_all(sides);
  std::array<WaySpreads<float>, kSides> spreads;
  loops.add_spreads(into[4].data(), count, spreads.data());
  add_all(spreads);
  loops.delay(drawn[0], drawn[9], count, 0.02f, drawn[1], into[0].data());
  add(into[0].data(), count + 1);
  return all;
}

TEST(WayLoops, EverySetOfInstructionsGivesTheSameBits) {
  const auto usable = internal::UsableWayLoops();
  ASSERT_FALSE(usable.empty());
  for (const std::size_t count : {0u, 1u, 7u, 8u, 9u, 64u, 387u}) {
    const std::vector<std::uint32_t> plain = AllOf(*usable.back(), count);
    for (const WayLoops* const loops : usable) EXPECT_EQ(AllOf(*loops, count), plain) << count;
  }
}

TEST(WayLoops, WhatIsNotKnownBeforeIsAsItIsNow) {
  for (const WayLoops* const loops : internal::UsableWayLoops()) {
    // Ten calls above usual at two a second, all of them running.
    const std::vector<float> rate(9, 2), self(9, 11), usual(9, 1), zero(9, 0), running(9, 11);
    std::vector<float> own(9, kNone), slow(9, 1);
    loops->hold_up({rate.data(), self.data(), usual.data(), zero.data(), zero.data(), zero.data(),
                    zero.data(), self.data(), running.data()},
                   9, 0.25f, own.data(), slow.data());
    for (const float held : own) EXPECT_EQ(held, 5);
    for (const float waits : slow) EXPECT_EQ(waits, 2);  // a quarter of the way to five
    const std::vector<float> unknown(9, -1);
    loops->hold_up({unknown.data(), self.data(), usual.data(), zero.data(), zero.data(),
                    zero.data(), zero.data(), self.data(), running.data()},
                   9, 0.25f, own.data(), slow.data());
    for (const float held : own) EXPECT_NE(held, held);
  }
}

}  // namespace
}  // namespace seer
