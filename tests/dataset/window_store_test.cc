#include "seer/dataset/window_store.h"

#include <random>

#include "gmock/gmock.h"
#include "seer/dataset/writer.h"
#include "tests/dataset/random_ticks.h"

namespace seer {
namespace {

using ::testing::HasSubstr;
using testing::RandomTick;
using testing::SomeTopology;
using testing::TempDir;

// A run with holes of many lengths.
void Record(const std::string& path, int ticks) {
  std::mt19937 random(1);
  const Topology topology = SomeTopology(5);
  DatasetWriterOptions options;
  options.ticks_per_block = 8;
  auto writer = DatasetWriter::Create(path, options);
  ASSERT_TRUE(writer->BeginRun({}).ok());
  ASSERT_TRUE(writer->SetTopology(topology).ok());
  Tick number = -3;
  for (int i = 0; i < ticks; ++i) {
    number += i % 10 == 9 ? 1 + static_cast<Tick>(random() % 12) : 1;
    ASSERT_TRUE(writer->Append(RandomTick(&random, topology, number)).ok());
  }
}

TEST(WindowStore, HoldsWhatAWindowBuilderWouldHold) {
  const TempDir dir;
  Record(dir / "a", 200);
  const auto reader = DatasetReader::Open(dir / "a");
  const Topology topology = *reader->LatestTopology(0);
  NormalizerFitter fitter(WindowInputs::Of(ChannelMask::All(), true));
  ClusterTick tick;
  for (TickCursor cursor = reader->Ticks(0); *cursor.Next(&tick);) fitter.Observe(tick, topology);
  for (const std::size_t ticks : {std::size_t{1}, std::size_t{2}, std::size_t{7}}) {
    for (const bool scaled : {false, true}) {
      SCOPED_TRACE(ticks);
      WindowStoreOptions options;
      options.ticks = ticks;
      options.inputs = WindowInputs::Of(ChannelMask::All(), true);
      options.from = scaled ? 20 : options.from;
      options.to = scaled ? 150 : options.to;
      const Normalizer normalizer = scaled ? fitter.Fit() : Normalizer();
      const auto store = WindowStore::Load(*reader, 0, options, normalizer);
      ASSERT_TRUE(store.ok()) << store.status();
      auto builder = WindowBuilder::Create(topology, ticks, options.inputs, normalizer);
      std::size_t i = 0;
      for (TickCursor cursor = reader->Ticks(0, options.from, options.to); *cursor.Next(&tick);) {
        builder->Push(tick, topology);
        if (builder->filled() < ticks) continue;
        ASSERT_LT(i, store->size());
        ASSERT_EQ(store->last(i), tick.tick);
        ASSERT_EQ(store->values(i), absl::MakeConstSpan(builder->window().values)) << tick.tick;
        ASSERT_EQ(store->seen(i), absl::MakeConstSpan(builder->window().seen)) << tick.tick;
        ++i;
      }
      EXPECT_EQ(i, store->size());
      EXPECT_GT(i, 50u);
      EXPECT_EQ(store->ticks(), ticks);
      EXPECT_EQ(store->services() * store->inputs() * ticks, store->values(0).size());
    }
  }
}

TEST(WindowStore, ADamagedBlockIsTicksThatNobodySaw) {
  const TempDir dir;
  Record(dir / "a", 40);
  std::string bytes = testing::ReadFile(dir / "a");
  bytes[DatasetReader::Open(dir / "a")->blocks()[2].offset + 100] ^= 1;
  testing::WriteFile(dir / "b", bytes);
  const auto whole = DatasetReader::Open(dir / "a");
  const auto damaged = DatasetReader::Open(dir / "b");
  WindowStoreOptions options;
  options.ticks = 4;
  const auto all = WindowStore::Load(*whole, 0, options);
  const auto some = WindowStore::Load(*damaged, 0, options);
  ASSERT_TRUE(some.ok()) << some.status();
  EXPECT_EQ(some->damaged_blocks(), 1u);
  EXPECT_EQ(all->damaged_blocks(), 0u);
  EXPECT_EQ(some->size() + 8, all->size());
  EXPECT_EQ(some->values(some->size() - 1), all->values(all->size() - 1));
}

TEST(WindowStore, SaysWhatItCannotLoad) {
  const TempDir dir;
  Record(dir / "a", 30);
  const auto reader = DatasetReader::Open(dir / "a");
  WindowStoreOptions options;
  EXPECT_EQ(WindowStore::Load(*reader, 1, options).status().code(), absl::StatusCode::kNotFound);
  options.ticks = 0;
  EXPECT_EQ(WindowStore::Load(*reader, 0, options).status().code(),
            absl::StatusCode::kInvalidArgument);
  options.ticks = 3;
  options.max_bytes = 20 * 5 * 25;  // 20 rows of 5 services and 5 inputs
  const auto store = WindowStore::Load(*reader, 0, options);
  EXPECT_EQ(store.status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(store.status().ToString(), HasSubstr("max_bytes is 2500"));
  options.to = 5;
  ASSERT_TRUE(WindowStore::Load(*reader, 0, options).ok());
  EXPECT_LE(WindowStore::Load(*reader, 0, options)->bytes(), options.max_bytes);
  options.to = -10;
  EXPECT_EQ(WindowStore::Load(*reader, 0, options)->size(), 0u);
}

}  // namespace
}  // namespace seer
