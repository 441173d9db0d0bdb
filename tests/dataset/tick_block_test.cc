#include "seer/dataset/tick_block.h"

#include "dataset/column.h"
#include "tests/dataset/random_ticks.h"

namespace seer {
namespace {

using testing::RandomTick;
using testing::SomeTopology;

std::vector<ClusterTick> RandomTicks(unsigned seed, int count, int services) {
  std::mt19937 random(seed);
  Topology topology = SomeTopology(services);
  std::vector<ClusterTick> ticks;
  Tick number = 1000 + seed;
  for (int i = 0; i < count; ++i) {
    if (i == count / 2) {  // the cluster grows meanwhile
      EXPECT_TRUE(topology.AddEdge(ServiceId(), *topology.AddService("late", "")).ok());
    }
    ticks.push_back(RandomTick(&random, topology, number));
    ServiceTable& table = ticks.back().services;
    for (std::uint32_t s = 0; seed % 2 == 1 && s < table.size(); ++s) {
      const auto dice = random();
      if (dice & 1) table.SetOutstanding(ServiceId(s), static_cast<double>(dice / 4 % 50));
      if (dice & 2) table.SetOutstandingMean(ServiceId(s), static_cast<double>(dice % 500) / 7);
    }
    number += 1 + static_cast<Tick>(random() % 3);
  }
  return ticks;
}

TEST(TickBlock, TicksComeBackAsTheyWere) {
  for (const int services : {0, 1, 6, 40}) {
    for (const int count : {1, 2, 50}) {
      SCOPED_TRACE(services * 1000 + count);
      const std::vector<ClusterTick> ticks = RandomTicks(1, count, services);
      std::string bytes;
      ASSERT_TRUE(TickBlock::Encode(ticks, 3, &bytes).ok());
      TickBlock block;
      ASSERT_TRUE(block.Decode(bytes).ok());
      ASSERT_EQ(block.ticks(), ticks.size());
      ClusterTick tick;
      for (std::size_t i = 0; i < ticks.size(); ++i) {
        block.Get(i, &tick);
        ASSERT_EQ(tick, ticks[i]) << i;
      }
    }
  }
}

TEST(TickBlock, ABlockThatIsReusedKeepsNothing) {
  TickBlock block;
  std::string bytes;
  ClusterTick tick;
  for (unsigned seed = 1; seed < 6; ++seed) {
    const std::vector<ClusterTick> ticks =
        RandomTicks(seed, 30 - 5 * static_cast<int>(seed), static_cast<int>(seed * 7 % 5));
    ASSERT_TRUE(TickBlock::Encode(ticks, 1, &bytes).ok());
    ASSERT_TRUE(block.Decode(bytes).ok());
    for (std::size_t i = 0; i < ticks.size(); ++i) {
      block.Get(i, &tick);
      ASSERT_EQ(tick, ticks[i]);
    }
  }
}

TEST(TickBlock, SeriesAreByTick) {
  const std::vector<ClusterTick> ticks = RandomTicks(3, 20, 4);
  std::string bytes;
  ASSERT_TRUE(TickBlock::Encode(ticks, 3, &bytes).ok());
  TickBlock block;
  ASSERT_TRUE(block.Decode(bytes).ok());
  const ServiceId id(2);
  const auto depths = block.depths(id, Channel::kRunning);
  const auto known = block.known(id, Channel::kRunning);
  ASSERT_EQ(depths.size(), ticks.size());
  for (std::size_t i = 0; i < ticks.size(); ++i) {
    EXPECT_EQ(depths[i], ticks[i].services.depth(id, Channel::kRunning).value_or(0));
    EXPECT_EQ((known[i] & ServiceTable::kDepth) != 0,
              ticks[i].services.depth(id, Channel::kRunning).has_value());
    EXPECT_EQ(block.outstanding(id)[i], ticks[i].services.outstanding(id).value_or(0));
    EXPECT_EQ((block.outstanding_known(id)[i] & ServiceTable::kMean) != 0,
              ticks[i].services.outstanding_mean(id).has_value());
    EXPECT_EQ(block.counts(ClassId(1))[i], ticks[i].classes[1].count);
    EXPECT_EQ(block.made(EdgeId(1))[i], ticks[i].edges.made(EdgeId(1)).value_or(0));
  }
  EXPECT_TRUE(block.depths(id, Channel::kNic).empty());
  EXPECT_TRUE(block.depths(ServiceId(99), Channel::kRunning).empty());
  EXPECT_TRUE(block.depths(ServiceId(), Channel::kRunning).empty());
}

TEST(TickBlock, RefusesTicksThatAreNoSequence) {
  std::vector<ClusterTick> ticks = RandomTicks(4, 3, 2);
  std::string bytes;
  EXPECT_FALSE(TickBlock::Encode({}, 3, &bytes).ok());
  std::swap(ticks[0], ticks[1]);
  EXPECT_FALSE(TickBlock::Encode(ticks, 3, &bytes).ok());
  std::swap(ticks[0], ticks[1]);
  ticks[2].period = *TickPeriod::FromNs(50'000'000);
  EXPECT_FALSE(TickBlock::Encode(ticks, 3, &bytes).ok());
  // 8 columns of 2^20 rows fit once, and not twice.
  ClusterTick wide;
  wide.Reset(Topology::kMaxRows, 0, 0);
  ClusterTick later = wide;
  later.tick = 1;
  EXPECT_TRUE(TickBlock::Encode({wide}, 3, &bytes).ok());
  EXPECT_LT(bytes.size(), 1000u);
  EXPECT_FALSE(TickBlock::Encode({wide, later}, 3, &bytes).ok());
}

// A value that nobody knows, or that no depth can have, is damage.
TEST(TickBlock, RefusesValuesThatCannotBe) {
  ClusterTick tick;
  tick.Reset(1, 0, 0);
  tick.services.SetDepth(ServiceId(0), Channel::kRunning, 1 / 7.0);  // as the bits of a float
  std::string sound;
  ASSERT_TRUE(TickBlock::Encode({tick}, 3, &sound).ok());
  const auto with = [&](internal::Field field, const std::string& payload) {
    std::string bytes = sound;
    std::string_view left = std::string_view(bytes).substr(40);
    internal::ColumnView column;
    while (!left.empty()) {
      EXPECT_TRUE(internal::NextColumn(&left, &column).ok());
      if (column.field != field) continue;
      EXPECT_EQ(column.payload.size(), payload.size());
      bytes.replace(static_cast<std::size_t>(column.payload.data() - bytes.data()), payload.size(),
                    payload);
      left = {};
    }
    TickBlock block;
    return block.Decode(bytes);
  };
  const auto known = [](int bits) { return std::string(1, static_cast<char>(bits)); };
  EXPECT_TRUE(with(internal::Field::kKnown, known(ServiceTable::kDepth)).ok());
  EXPECT_TRUE(with(internal::Field::kKnown, known(0xf)).ok());
  EXPECT_FALSE(with(internal::Field::kKnown, known(0)).ok());
  EXPECT_FALSE(with(internal::Field::kKnown, known(ServiceTable::kMean)).ok());
  const auto depth = [](std::uint32_t bits) {
    return std::string(reinterpret_cast<const char*>(&bits), sizeof(bits));
  };
  EXPECT_TRUE(with(internal::Field::kDepth, depth(0x7f7fffff)).ok());   // the largest
  EXPECT_FALSE(with(internal::Field::kDepth, depth(0x7f800000)).ok());  // infinity
  EXPECT_FALSE(with(internal::Field::kDepth, depth(0x7fc00000)).ok());  // no number
  EXPECT_FALSE(with(internal::Field::kDepth, depth(0x80000000)).ok());  // -0
  EXPECT_FALSE(with(internal::Field::kDepth, depth(0xbf800000)).ok());  // -1
  EXPECT_FALSE(with(internal::Field::kDepth, depth(0xffffffff)).ok());
}

// Seventeen bytes can stand for four million values, which take milliseconds to fill in.
TEST(TickBlock, AColumnThatIsThereTwiceIsRefused) {
  std::string bytes;
  ASSERT_TRUE(TickBlock::Encode(RandomTicks(1, 20, 3), 3, &bytes).ok());
  TickBlock block;
  ASSERT_TRUE(block.Decode(bytes).ok());
  std::string_view rest = std::string_view(bytes).substr(40);  // behind the sizes
  int columns = 0;
  for (; !rest.empty(); ++columns) {
    const std::string_view before = rest;
    internal::ColumnView column;
    ASSERT_TRUE(internal::NextColumn(&rest, &column).ok());
    std::string twice = bytes + std::string(before.substr(0, before.size() - rest.size()));
    EXPECT_EQ(block.Decode(twice).code(), absl::StatusCode::kDataLoss) << columns;
  }
  EXPECT_GT(columns, 20);
}

// Checksums are above this: whatever bytes pass them must do no harm.
TEST(TickBlock, AnyBytesAreAnErrorOrASoundBlock) {
  const std::vector<ClusterTick> ticks = RandomTicks(5, 12, 3);
  std::string bytes;
  ASSERT_TRUE(TickBlock::Encode(ticks, 3, &bytes).ok());
  std::mt19937 random(6);
  TickBlock block;
  ClusterTick tick;
  int errors = 0;
  const auto use = [&](const std::string& damaged) {
    const absl::Status status = block.Decode(damaged);
    if (!status.ok()) {
      EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
      EXPECT_EQ(block.ticks(), 0u);
      ++errors;
      return;
    }
    for (std::size_t t = 0; t < block.ticks(); ++t) block.Get(t, &tick);
  };
  for (std::size_t size = 0; size < bytes.size(); ++size) use(bytes.substr(0, size));
  for (int i = 0; i < 5000; ++i) {
    std::string damaged = bytes;
    for (std::uint64_t flips = 1 + random() % 3; flips > 0; --flips) {
      damaged[random() % damaged.size()] ^= static_cast<char>(1 << random() % 8);
    }
    use(damaged);
  }
  EXPECT_GT(errors, 1000);
}

}  // namespace
}  // namespace seer
