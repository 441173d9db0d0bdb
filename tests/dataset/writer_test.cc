#include "seer/dataset/writer.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "gmock/gmock.h"
#include "seer/dataset/reader.h"
#include "tests/dataset/random_ticks.h"

namespace seer {
namespace {

using ::testing::HasSubstr;
using testing::RandomTick;
using testing::SomeTopology;
using testing::TempDir;

DatasetRun NamedRun(const std::string& name) {
  DatasetRun run;
  run.name = name;
  run.provenance = {"a cluster", "CC-BY-4.0", "the test", "none"};
  return run;
}

std::vector<ClusterTick> AllTicks(const DatasetReader& reader, std::uint32_t run) {
  std::vector<ClusterTick> ticks;
  ClusterTick tick;
  TickCursor cursor = reader.Ticks(run);
  for (;;) {
    const auto more = cursor.Next(&tick);
    EXPECT_TRUE(more.ok()) << more.status();
    if (!more.ok() || !*more) return ticks;
    ticks.push_back(tick);
  }
}

TEST(DatasetWriter, RunsTicksEventsAndSplitComeBack) {
  const TempDir dir;
  std::mt19937 random(1);
  Topology topology = SomeTopology(4);
  std::vector<ClusterTick> ticks;
  DatasetEvent event;
  event.start_ns = 5;
  event.end_ns = 7;
  event.request_class = "class-0";
  event.initiation = Initiation::kService;
  event.culprit = "service-1";
  event.confidence = 0.25f;
  event.cause = "memory";
  event.source = "people";
  {
    DatasetWriterOptions options;
    options.ticks_per_block = 16;
    auto writer = DatasetWriter::Create(dir / "a", options);
    ASSERT_TRUE(writer.ok()) << writer.status();
    ASSERT_EQ(*writer->BeginRun(NamedRun("one")), 0u);
    ASSERT_TRUE(writer->SetTopology(topology).ok());
    for (int i = 0; i < 50; ++i) {
      if (i == 20) {
        ASSERT_TRUE(topology.AddService("late").ok());
        ASSERT_TRUE(writer->SetTopology(topology).ok());
      }
      ticks.push_back(RandomTick(&random, topology, 10 + i));
      ASSERT_TRUE(writer->Append(ticks.back()).ok());
    }
    ASSERT_TRUE(writer->AddEvent(event).ok());
    ASSERT_TRUE(writer->EndRun().ok());
  }
  {
    auto writer = DatasetWriter::Append(dir / "a");
    ASSERT_TRUE(writer.ok()) << writer.status();
    ASSERT_EQ(*writer->BeginRun(NamedRun("two")), 1u);
    ASSERT_TRUE(writer->SetTopology(topology).ok());
    ASSERT_TRUE(writer->Append(ticks[0]).ok());
    ASSERT_TRUE(writer->SetSplit({{SplitPart::kTest, 1, 0, 100}}).ok());
  }
  auto reader = DatasetReader::Open(dir / "a");
  ASSERT_TRUE(reader.ok()) << reader.status();
  const DatasetManifest& manifest = reader->manifest();
  ASSERT_EQ(manifest.runs.size(), 2u);
  EXPECT_EQ(manifest.runs[0].name, "one");
  EXPECT_EQ(manifest.runs[0].provenance, NamedRun("one").provenance);
  EXPECT_EQ(manifest.runs[0].ticks, 50u);
  EXPECT_EQ(manifest.runs[0].first, 10);
  EXPECT_EQ(manifest.runs[0].last, 59);
  EXPECT_TRUE(manifest.runs[0].complete);
  EXPECT_TRUE(manifest.runs[1].complete);  // by the destructor
  EXPECT_EQ(manifest.split, (std::vector<SplitRange>{{SplitPart::kTest, 1, 0, 100}}));
  EXPECT_EQ(AllTicks(*reader, 0), ticks);
  EXPECT_EQ(AllTicks(*reader, 1), (std::vector<ClusterTick>{ticks[0]}));
  EXPECT_EQ(*reader->LatestTopology(0), topology);
  EXPECT_EQ(*reader->Events(0), (std::vector<DatasetEvent>{event}));
  EXPECT_TRUE(reader->Events(1)->empty());
  EXPECT_TRUE(reader->damage().empty());
  // The first block was written before the topology grew.
  ASSERT_EQ(manifest.runs[0].topologies.size(), 2u);
  EXPECT_EQ(reader->TopologyAt(0, manifest.runs[0].topologies[0].version)->services().size(), 4u);
  EXPECT_FALSE(reader->TopologyAt(0, topology.version() + 1).ok());
}

TEST(DatasetWriter, RefusesWhatItCouldNotReadBack) {
  const TempDir dir;
  std::mt19937 random(1);
  const Topology topology = SomeTopology(2);
  auto writer = DatasetWriter::Create(dir / "a");
  ASSERT_TRUE(writer.ok());
  const ClusterTick tick = RandomTick(&random, topology, 5);
  EXPECT_THAT(writer->Append(tick).ToString(), HasSubstr("BeginRun"));
  ASSERT_TRUE(writer->BeginRun(NamedRun("a")).ok());
  EXPECT_THAT(writer->Append(tick).ToString(), HasSubstr("SetTopology"));
  ASSERT_TRUE(writer->SetTopology(topology).ok());
  ASSERT_TRUE(writer->Append(tick).ok());
  EXPECT_THAT(writer->Append(tick).ToString(), HasSubstr("sort the ticks"));
  ClusterTick bad = RandomTick(&random, topology, 6, *TickPeriod::FromNs(50'000'000));
  EXPECT_THAT(writer->Append(bad).ToString(), HasSubstr("period"));
  bad = RandomTick(&random, SomeTopology(3), 6);
  EXPECT_THAT(writer->Append(bad).ToString(), HasSubstr("more rows"));
  bad = RandomTick(&random, topology, std::numeric_limits<Tick>::max());
  EXPECT_FALSE(writer->Append(bad).ok());
  bad = tick;
  bad.tick = 6;
  bad.classes[0].p99_ns = -1;
  EXPECT_FALSE(writer->Append(bad).ok());
  EXPECT_FALSE(writer->SetTopology(Topology(8)).ok());
  EXPECT_FALSE(writer->AddEvent(9, DatasetEvent()).ok());
  DatasetEvent event;
  event.start_ns = 2;
  event.end_ns = 1;
  EXPECT_FALSE(writer->AddEvent(event).ok());
  EXPECT_FALSE(writer->SetSplit({{SplitPart::kTest, 9, 0, 1}}).ok());
  EXPECT_EQ(DatasetWriter::Create(dir / "a").status().code(), absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(DatasetWriter::Append(dir / "a").status().code(),
            absl::StatusCode::kFailedPrecondition);  // another writer holds it
  EXPECT_EQ(DatasetWriter::Append(dir / "b").status().code(), absl::StatusCode::kNotFound);
  EXPECT_FALSE(DatasetWriter::Create("/").ok());
  DatasetWriterOptions options;
  options.ticks_per_block = 0;
  EXPECT_FALSE(DatasetWriter::Create(dir / "c", options).ok());
  testing::WriteFile(dir / "text", "this is no dataset, and somebody may still want it");
  EXPECT_EQ(DatasetWriter::Append(dir / "text").status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(testing::ReadFile(dir / "text"), HasSubstr("may still want it"));
}

// A control plane that records what it sees, and somebody who trains with a part of it.
TEST(DatasetWriter, TakesTheTopologyWithEachTick) {
  const TempDir dir;
  std::mt19937 random(1);
  Topology topology = SomeTopology(3);
  std::vector<ClusterTick> ticks;
  {
    auto writer = DatasetWriter::Create(dir / "a");
    ASSERT_TRUE(writer.ok());
    EXPECT_THAT(writer->Append(ClusterTick(), topology).ToString(), HasSubstr("BeginRun"));
    ASSERT_TRUE(writer->BeginRun(NamedRun("live")).ok());
    for (int i = 0; i < 30; ++i) {
      if (i == 10 || i == 20) {
        ASSERT_TRUE(topology.AddService("late-" + std::to_string(i)).ok());
      }
      ticks.push_back(RandomTick(&random, topology, i));
      ASSERT_TRUE(writer->Append(ticks.back(), topology).ok());
      if (i % 5 == 4) {
        ASSERT_TRUE(writer->Flush().ok());
      }
    }
    ASSERT_TRUE(
        writer->SetSplit({{SplitPart::kTrain, 0, 0, 18}, {SplitPart::kTest, 0, 22, 30}}).ok());
    EXPECT_FALSE(writer->Append(RandomTick(&random, SomeTopology(9), 30), Topology(8)).ok());
  }
  const auto reader = DatasetReader::Open(dir / "a");
  EXPECT_EQ(AllTicks(*reader, 0), ticks);
  EXPECT_EQ(reader->manifest().runs[0].topologies.size(), 3u);
  EXPECT_EQ(*reader->LatestTopology(0), topology);
  ClusterTick tick;
  std::vector<Tick> found;
  for (const SplitRange& range : reader->manifest().split) {
    for (TickCursor cursor = reader->Ticks(range); *cursor.Next(&tick);) found.push_back(tick.tick);
  }
  ASSERT_EQ(found.size(), 18u + 8u);
  EXPECT_EQ(found[17], 17);
  EXPECT_EQ(found[18], 22);
}

TEST(DatasetWriter, AnAbandonedRunLeavesNothing) {
  const TempDir dir;
  std::mt19937 random(1);
  const Topology topology = SomeTopology(2);
  auto writer = DatasetWriter::Create(dir / "a");
  ASSERT_TRUE(writer.ok());
  ASSERT_TRUE(writer->BeginRun(NamedRun("kept")).ok());
  ASSERT_TRUE(writer->EndRun().ok());
  const std::string before = testing::ReadFile(dir / "a");
  ASSERT_TRUE(writer->BeginRun(NamedRun("lost")).ok());
  ASSERT_TRUE(writer->SetTopology(topology).ok());
  ASSERT_TRUE(writer->Append(RandomTick(&random, topology, 1)).ok());
  ASSERT_TRUE(writer->Flush().ok());
  ASSERT_TRUE(writer->AbandonRun().ok());
  EXPECT_EQ(testing::ReadFile(dir / "a"), before);
  EXPECT_EQ(*writer->BeginRun(NamedRun("next")), 1u);
}

// The recorder dies at any moment: what was told to be written is there, and can be gone on from.
TEST(DatasetWriter, KilledAtAnyTimeLosesNoCompletedBlock) {
  const TempDir dir;
  std::mt19937 random(1);
  const Topology topology = SomeTopology(5);
  constexpr int kTicks = 64;
  std::vector<ClusterTick> ticks;
  for (int i = 0; i < kTicks; ++i) ticks.push_back(RandomTick(&random, topology, i));
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  constexpr int kKills = 20;
#else
  constexpr int kKills = 200;
#endif
  std::uint64_t runs_before = 0;
  for (int kill_count = 0; kill_count < kKills; ++kill_count) {
    int fds[2];
    ASSERT_EQ(pipe(fds), 0);
    const pid_t child = fork();
    if (child == 0) {
      DatasetWriterOptions options;
      options.ticks_per_block = 8;
      auto writer = kill_count == 0 ? DatasetWriter::Create(dir / "a", options)
                                    : DatasetWriter::Append(dir / "a", options);
      if (!writer.ok()) _exit(3);
      for (;;) {
        if (!writer->BeginRun(NamedRun("r")).ok() || !writer->SetTopology(topology).ok()) _exit(4);
        for (int i = 0; i < kTicks; ++i) {
          if (!writer->Append(ticks[static_cast<std::size_t>(i)]).ok()) _exit(5);
          // One byte for each block that is complete.
          if (i % 8 == 7 && write(fds[1], "b", 1) != 1) _exit(6);
        }
        if (!writer->EndRun().ok()) _exit(7);
      }
    }
    close(fds[1]);
    // After a random number of blocks, and a random moment later.
    std::uint64_t blocks = 0;
    char byte;
    for (std::uint64_t wanted = random() % 12; blocks < wanted && read(fds[0], &byte, 1) == 1;)
      ++blocks;
    for (volatile std::uint64_t spin = random() % 200'000; spin > 0;) spin = spin - 1;
    ASSERT_EQ(kill(child, SIGKILL), 0);
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status)) << WEXITSTATUS(status);
    while (read(fds[0], &byte, 1) == 1) ++blocks;
    close(fds[0]);

    auto reader = DatasetReader::Open(dir / "a");
    if (!reader.ok()) {  // killed before the file had begun
      ASSERT_EQ(blocks, 0u) << reader.status();
      if (kill_count == 0) {
        std::remove((dir / "a").c_str());
        kill_count = -1;
      }
      continue;
    }
    std::uint64_t found = 0;
    for (std::size_t run = runs_before; run < reader->manifest().runs.size(); ++run) {
      const std::vector<ClusterTick> back = AllTicks(*reader, static_cast<std::uint32_t>(run));
      ASSERT_EQ(back.size() % 8, 0u);
      found += back.size() / 8;
      for (std::size_t i = 0; i < back.size(); ++i) ASSERT_EQ(back[i], ticks[i]);
    }
    ASSERT_GE(found, blocks);
    runs_before = reader->manifest().runs.size();
  }
}

}  // namespace
}  // namespace seer
