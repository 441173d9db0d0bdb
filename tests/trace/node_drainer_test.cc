#include "seer/trace/node_drainer.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <iterator>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "seer/core/clock.h"
#include "seer/core/tsc_clock.h"
#include "tests/queue/sandbox.h"
#include "tests/trace/recording.h"

namespace seer {
namespace {

using testing::AllSpans;
using testing::CheckedSpan;
using testing::Child;
using testing::IsWhole;
using testing::kSlower;
using testing::MakeDrainer;
using testing::ScratchDirectory;

std::unique_ptr<SpanRecorder> SharedRecorder(const ScratchDirectory& directory,
                                             const std::string& instance,
                                             std::uint32_t records = 64) {
  RecorderOptions options;
  options.directory = directory.path();
  options.instance = instance;
  options.records_per_thread = records;
  options.max_threads = 16;
  options.max_methods = 32;
  options.max_edges = 32;
  options.max_services = 32;
  auto recorder = SpanRecorder::Create(options);
  EXPECT_TRUE(recorder.ok() && (*recorder)->status().ok());
  return *std::move(recorder);
}

NodeDrainerOptions OptionsFor(const ScratchDirectory& directory) {
  NodeDrainerOptions options;
  options.directory = directory.path();
  options.drainer.node = "node-1";
  return options;
}
std::unique_ptr<NodeDrainer> MakeNodeDrainer(std::shared_ptr<TraceSink> sink,
                                             const NodeDrainerOptions& options) {
  auto drainer = NodeDrainer::Create(std::move(sink), options);
  EXPECT_TRUE(drainer.ok()) << drainer.status();
  return drainer.ok() ? *std::move(drainer) : nullptr;
}

void Record(const ServedMethod& served, std::uint64_t from, std::uint64_t to) {
  for (std::uint64_t i = from; i < to; ++i) served.Record(CheckedSpan(1, i, served.Stamp()));
}

TEST(NodeDrainer, OptionsOutOfRangeAreNamed) {
  struct Case {
    const char* field;
    void (*set)(NodeDrainerOptions&);
  };
  for (const Case& c : {
           Case{"directory", [](NodeDrainerOptions& o) { o.directory = ""; }},
           Case{"max_processes", [](NodeDrainerOptions& o) { o.max_processes = 0; }},
           Case{"max_rows", [](NodeDrainerOptions& o) { o.max_rows = 15; }},
           Case{"max_batch", [](NodeDrainerOptions& o) { o.drainer.max_batch = 0; }},
       }) {
    NodeDrainerOptions options;
    c.set(options);
    const auto status = NodeDrainer::Create(std::make_shared<MemorySink>(), options).status();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
    EXPECT_THAT(std::string(status.message()), ::testing::HasSubstr(c.field));
  }
  EXPECT_FALSE(NodeDrainer::Create(nullptr, {}).ok());
}

TEST(NodeDrainer, ProcessesShareOneNumbering) {
  const ScratchDirectory directory;
  const auto sink = std::make_shared<MemorySink>();
  const auto drainer = MakeNodeDrainer(sink, OptionsFor(directory));
  EXPECT_TRUE(drainer->Drain().ok());  // nobody there
  const auto cart = SharedRecorder(directory, "cart-1");
  const auto other = SharedRecorder(directory, "cart-2");
  Record(*cart->AddServed("cart", "Get"), 0, 3);
  Record(*other->AddServed("cart", "Get"), 0, 5);
  const auto call = *other->AddCalled("cart", "user", "Find");
  RawSpan span = CheckedSpan(1, 9, call.Stamp());
  call.Record(span);
  ASSERT_TRUE(drainer->Drain().ok());
  EXPECT_EQ(drainer->processes(), 2u);
  EXPECT_EQ(drainer->counts().delivered, 9u);

  const Topology& topology = drainer->topology();
  EXPECT_EQ(topology.services().size(), 2u);
  EXPECT_EQ(topology.methods().size(), 2u);
  std::map<std::string, std::size_t> by_instance;
  for (const SpanBatch& batch : sink->Take()) {
    ASSERT_TRUE(batch.instance.valid());
    EXPECT_EQ(batch.origin, topology.origin());
    by_instance[topology.instances()[batch.instance.index()].name] += batch.spans.size();
  }
  EXPECT_EQ(by_instance["cart-1"], 3u);
  EXPECT_EQ(by_instance["cart-2"], 6u);
  EXPECT_TRUE(drainer->skipped().empty());
}

TEST(NodeDrainer, WhatAKilledProcessRecordedComesAndItsFileGoes) {
  const ScratchDirectory directory;
  Child child([&]() -> std::string {
    const auto recorder = SharedRecorder(directory, "cart-1");
    Record(*recorder->AddServed("cart", "Get"), 0, 40);
    ::kill(::getpid(), SIGKILL);
    return "still there";
  });
  child.Wait();
  NodeDrainerOptions options = OptionsFor(directory);
  options.remove_dead = true;
  options.drainer.max_spans = 30;  // not all at once
  const auto sink = std::make_shared<MemorySink>();
  const auto drainer = MakeNodeDrainer(sink, options);
  ASSERT_TRUE(drainer->Drain().ok());
  EXPECT_EQ(drainer->counts().delivered, 30u);
  EXPECT_EQ(directory.Files().size(), 1u);
  ASSERT_TRUE(drainer->Drain().ok());
  ASSERT_TRUE(drainer->Drain().ok());
  EXPECT_EQ(drainer->counts().delivered, 40u);
  EXPECT_EQ(drainer->processes(), 0u);
  EXPECT_TRUE(directory.Files().empty());
  for (const Span& span : AllSpans(*sink)) EXPECT_TRUE(IsWhole(span));
}

TEST(NodeDrainer, WhatWasRecordedBeforeTheEndIsNotLost) {
  const ScratchDirectory directory;
  const auto sink = std::make_shared<MemorySink>();
  const auto drainer = MakeNodeDrainer(sink, OptionsFor(directory));
  auto recorder = SharedRecorder(directory, "cart-1");
  const auto served = *recorder->AddServed("cart", "Get");
  Record(served, 0, 1);
  ASSERT_TRUE(drainer->Drain().ok());
  Record(served, 1, 20);
  recorder.reset();  // its file is gone, its memory is mapped here
  ASSERT_TRUE(drainer->Drain().ok());
  EXPECT_EQ(drainer->counts().delivered, 20u);
  ASSERT_TRUE(drainer->Drain().ok());
  EXPECT_EQ(drainer->processes(), 0u);
}

TEST(NodeDrainer, ProcessWithADrainerOfItsOwnIsLeftToIt) {
  const ScratchDirectory directory;
  const auto recorder = SharedRecorder(directory, "cart-1");
  const auto served = *recorder->AddServed("cart", "Get");
  auto own = MakeDrainer(*recorder, std::make_shared<MemorySink>());
  Record(served, 0, 4);
  const auto drainer = MakeNodeDrainer(std::make_shared<MemorySink>(), OptionsFor(directory));
  ASSERT_TRUE(drainer->Drain().ok());
  EXPECT_EQ(drainer->counts().delivered, 0u);
  ASSERT_EQ(drainer->skipped().size(), 1u);
  EXPECT_EQ(drainer->skipped()[0].file, recorder->path());
  own.reset();
  ASSERT_TRUE(drainer->Drain().ok());
  EXPECT_EQ(drainer->counts().delivered, 4u);
  EXPECT_TRUE(drainer->skipped().empty());
}

TEST(NodeDrainer, LeaseOfADeadDrainerIsTakenOver) {
  const ScratchDirectory directory;
  const auto recorder = SharedRecorder(directory, "cart-1");
  const auto served = *recorder->AddServed("cart", "Get");
  Record(served, 0, 4);
  NodeDrainerOptions options = OptionsFor(directory);
  Child agent([&]() -> std::string {
    const auto drainer = MakeNodeDrainer(std::make_shared<MemorySink>(), options);
    if (!drainer->Drain().ok() || drainer->counts().delivered != 4) return "drained nothing";
    ::kill(::getpid(), SIGKILL);
    return "still there";
  });
  agent.Wait();
  Record(served, 4, 10);
  ManualClock clock;
  clock.Set(TscClock().NowNs());
  options.drainer.lease_clock = &clock;
  const auto drainer = MakeNodeDrainer(std::make_shared<MemorySink>(), options);
  ASSERT_TRUE(drainer->Drain().ok());
  EXPECT_EQ(drainer->counts().delivered, 0u);
  EXPECT_EQ(drainer->skipped().size(), 1u);
  clock.Advance(11'000'000'000);
  ASSERT_TRUE(drainer->Drain().ok());
  EXPECT_EQ(drainer->counts().delivered, 6u);
}

TEST(NodeDrainer, SinkWithoutRoomCostsNoMemoryAndNoSpanTwice) {
  const ScratchDirectory directory;
  const auto recorder = SharedRecorder(directory, "cart-1", 16);
  const auto served = *recorder->AddServed("cart", "Get");
  const auto sink = std::make_shared<MemorySink>(17);
  const auto drainer = MakeNodeDrainer(sink, OptionsFor(directory));
  Record(served, 0, 16);
  ASSERT_TRUE(drainer->Drain().ok());
  for (int i = 0; i < 5; ++i) {
    Record(served, 16, 32);
    EXPECT_TRUE(absl::IsResourceExhausted(drainer->Drain())) << i;
  }
  EXPECT_EQ(drainer->counts().waiting, 16u);
  std::size_t got = AllSpans(*sink).size();
  ASSERT_FALSE(drainer->Drain().ok());
  got += AllSpans(*sink).size();
  ASSERT_TRUE(drainer->Drain().ok());
  got += AllSpans(*sink).size();
  EXPECT_EQ(drainer->counts().delivered, got);
  EXPECT_EQ(got + drainer->counts().dropped, 16u + 5 * 16u);
}

TEST(NodeDrainer, FullTablesBeginAnewInAnotherEpoch) {
  const ScratchDirectory directory;
  NodeDrainerOptions options = OptionsFor(directory);
  options.max_rows = 16;
  const auto sink = std::make_shared<MemorySink>();
  const auto drainer = MakeNodeDrainer(sink, options);
  const Origin before = drainer->topology().origin();
  for (int i = 0; i < 20; ++i) {  // pods come and go
    auto recorder = SharedRecorder(directory, "cart-" + std::to_string(i));
    Record(*recorder->AddServed("cart", "Get"), 0, 1);
    ASSERT_TRUE(drainer->Drain().ok());
    recorder.reset();
    ASSERT_TRUE(drainer->Drain().ok());
  }
  EXPECT_EQ(drainer->counts().delivered, 20u);
  EXPECT_LT(drainer->topology().instances().size(), 16u);
  EXPECT_NE(drainer->topology().origin(), before);
  std::size_t nameless = 0;
  for (const SpanBatch& batch : sink->Take()) {
    if (!batch.instance.valid()) nameless += batch.spans.size();
  }
  EXPECT_EQ(nameless, 1u);  // the one that found the table full
}

TEST(NodeDrainer, ForkedChildDoesNotDrain) {
  const ScratchDirectory directory;
  const auto drainer = MakeNodeDrainer(std::make_shared<MemorySink>(), OptionsFor(directory));
  Child child([&]() -> std::string {
    return absl::IsFailedPrecondition(drainer->Drain()) ? "" : "it drained";
  });
  EXPECT_EQ(child.Wait(), "");
}

TEST(NodeDrainer, FilesThatAreNoSegmentsAreNamed) {
  const ScratchDirectory directory;
  directory.Write("spans.1.garbage", std::string(5000, 'x'));
  directory.Write("spans.2.empty", "");
  ::mkfifo((directory / "spans.3.pipe").c_str(), 0600);
  const auto drainer = MakeNodeDrainer(std::make_shared<MemorySink>(), OptionsFor(directory));
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(drainer->Drain().ok());
  EXPECT_EQ(drainer->skipped().size(), 2u);  // the empty one may still become one
  EXPECT_EQ(drainer->processes(), 0u);
}

TEST(NodeDrainer, TruncatedSegmentIsDroppedNotFatal) {
  const ScratchDirectory directory;
  const auto recorder = SharedRecorder(directory, "cart-1");
  Record(*recorder->AddServed("cart", "Get"), 0, 8);
  std::ifstream in(recorder->path(), std::ios::binary);
  const std::string bytes((std::istreambuf_iterator<char>(in)), {});
  directory.Write("spans.1.copy", bytes);
  const auto drainer = MakeNodeDrainer(std::make_shared<MemorySink>(), OptionsFor(directory));
  ASSERT_TRUE(drainer->Drain().ok());
  ASSERT_EQ(::truncate((directory / "spans.1.copy").c_str(), 4096), 0);
  ASSERT_TRUE(drainer->Drain().ok());
  ASSERT_TRUE(drainer->Drain().ok());
  EXPECT_EQ(drainer->processes(), 1u);
}

// Whatever an owner writes into its segment: it ends, within its limits.
TEST(NodeDrainer, HostileBytesAreSurvived) {
  const ScratchDirectory directory;
  std::string bytes;
  {
    const auto recorder = SharedRecorder(directory, "cart-1");
    Record(*recorder->AddServed("cart", "Get"), 0, 8);
    ASSERT_TRUE(recorder->AddCalled("cart", "user", "Find").ok());
    std::ifstream in(recorder->path(), std::ios::binary);
    bytes.assign((std::istreambuf_iterator<char>(in)), {});
  }
  std::mt19937_64 random(3);
  const std::size_t rings =
      reinterpret_cast<const seer_spans_header*>(bytes.data() + 384)->rings_offset;
  for (int i = 0; i < 300 / kSlower; ++i) {
    std::string bad = bytes;
    for (std::size_t k = random() % 8; k > 0; --k) {
      // Layout, tables, heads of rings: where it hurts.
      const std::size_t at = random() % 3 == 0   ? 384 + random() % 128
                             : random() % 2 == 0 ? random() % rings
                                                 : rings + random() % 512;
      const std::uint64_t value = random() >> (random() % 64);
      std::memcpy(&bad[at / 8 * 8], &value, sizeof value);
    }
    directory.Write("spans.1." + std::to_string(i), bad);
    NodeDrainerOptions options = OptionsFor(directory);
    options.drainer.max_spans = 1000;
    const auto sink = std::make_shared<MemorySink>();
    const auto drainer = MakeNodeDrainer(sink, options);
    for (int k = 0; k < 3; ++k) drainer->Drain().IgnoreError();
    EXPECT_LE(drainer->counts().delivered, 3000u);
    for (const Span& span : AllSpans(*sink)) {
      EXPECT_GE(span.duration_ns(), 0);
      EXPECT_TRUE(span.StampsAreOrdered());
    }
    ::unlink((directory / ("spans.1." + std::to_string(i))).c_str());
  }
}

// Two agents at once, recorders of several threads: each span once, or counted.
TEST(NodeDrainer, RivalsTakeEachSpanOnceConcurrency) {
  const ScratchDirectory directory;
  const std::uint64_t each = 40000 / kSlower;
  std::vector<std::unique_ptr<SpanRecorder>> recorders;
  for (int i = 0; i < 3; ++i) {
    recorders.push_back(SharedRecorder(directory, "cart-" + std::to_string(i), 256));
  }
  NodeDrainerOptions options = OptionsFor(directory);
  options.drainer.lease = std::chrono::milliseconds(10);  // runs out now and then
  std::atomic<bool> done{false};
  std::vector<std::uint64_t> delivered(2), dropped(2);
  std::vector<std::thread> agents;
  for (std::size_t a = 0; a < 2; ++a) {
    agents.emplace_back([&, a] {
      // Batches are of three instances, whose sequences the sink would mix up: count only.
      const auto sink = std::make_shared<MemorySink>(std::size_t{1} << 22);
      const auto drainer = MakeNodeDrainer(sink, options);
      for (bool last = false; !last;) {
        last = done.load();
        ASSERT_TRUE(drainer->Drain().ok());
        for (const Span& span : AllSpans(*sink)) ASSERT_TRUE(IsWhole(span));
      }
      // The other one may have had the lease at last.
      for (int i = 0; i < 4; ++i) {
        std::this_thread::sleep_for(std::chrono::milliseconds(15));
        ASSERT_TRUE(drainer->Drain().ok());
        for (const Span& span : AllSpans(*sink)) ASSERT_TRUE(IsWhole(span));
      }
      delivered[a] = drainer->counts().delivered;
      dropped[a] = drainer->counts().dropped;
    });
  }
  std::vector<std::thread> threads;
  for (const auto& recorder : recorders) {
    for (std::uint64_t t = 0; t < 2; ++t) {
      threads.emplace_back([&, t] {
        const auto served = *recorder->AddServed("cart", "Get");
        for (std::uint64_t i = 0; i < each; ++i) {
          served.Record(CheckedSpan(t, i, served.Stamp()));
        }
      });
    }
  }
  for (std::thread& thread : threads) thread.join();
  done.store(true);
  for (std::thread& agent : agents) agent.join();
  EXPECT_EQ(delivered[0] + delivered[1] + dropped[0] + dropped[1], 6 * each);
}

}  // namespace
}  // namespace seer
