#include "seer/queue/collector.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "seer/queue/depth_probe.h"
#include "seer/queue/registry.h"
#include "seer/queue/segment.h"
#include "tests/queue/collector_fixture.h"
#include "tests/support/allocations.h"

namespace seer {
namespace {

using std::chrono::milliseconds;
using std::chrono::nanoseconds;
using std::chrono::seconds;
using testing::Counted;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::kFirst;
using testing::kStart;
using testing::kTick;

using CollectorTest = testing::CollectorFixture;

TEST_F(CollectorTest, ANodeWithoutProcessesHasEmptySnapshots) {
  options_.reader.directory = directory_ / "not/there";
  const auto collector = Make();
  const Snapshot& snapshot = collector->Tick();
  EXPECT_EQ(snapshot.tick, kFirst);
  EXPECT_EQ(snapshot.origin, collector->topology().origin());
  EXPECT_EQ(snapshot.origin.node, "node-7");
  EXPECT_EQ(snapshot.origin.epoch, 42u);
  EXPECT_EQ(snapshot.instances.size(), 0u);
  for (Channel channel : kAllChannels) {
    EXPECT_EQ(snapshot.instances.missing(channel), Missing::kNoProbe) << ChannelName(channel);
  }
  EXPECT_TRUE(snapshot.health == NodeHealth());
}

TEST_F(CollectorTest, DiscoversServicesInstancesAndEdges) {
  const auto process = Process("cart-0");
  const Queue queued = *process->AddQueue("cart", Channel::kQueued);
  const Queue calls = *process->AddOutbound("cart", "cart-db");
  const auto collector = Make();
  collector->Tick();
  queued.Enter();
  queued.Enter();
  queued.Leave();
  calls.Enter();
  const Snapshot& snapshot = NextTick(*collector);

  const Topology& topology = collector->topology();
  const ServiceId cart = *topology.FindService("cart");
  const ServiceId database = *topology.FindService("cart-db");
  const InstanceId instance = *topology.FindInstance(cart, "cart-0");
  EXPECT_EQ(topology.node(topology.instance(instance).node).name, "node-7");
  EXPECT_THAT(topology.instance(instance).pids, ElementsAre(getpid()));
  EXPECT_EQ(topology.live_instances(), 1u) << "nobody publishes an instance of cart-db";

  EXPECT_EQ(snapshot.instances.Get(instance, Channel::kQueued), Counted(1, 2, 1));
  EXPECT_EQ(snapshot.instances.Get(instance, Channel::kRunning), std::nullopt);
  EXPECT_EQ(snapshot.instances.missing(Channel::kQueued), Missing::kNotMissing);
  EXPECT_EQ(snapshot.instances.missing(Channel::kRunning), Missing::kNoProbe);
  EXPECT_EQ(snapshot.edges.Get(*topology.FindEdge(cart, database)), (EdgeSample{1, 0, 1}));
  EXPECT_EQ(snapshot.health.processes, 1u);
}

TEST_F(CollectorTest, WhatWasThereBeforeTheFirstLookIsNotCountedAsArrived) {
  const auto process = Process("cart-0");
  const Queue queued = *process->AddQueue("cart", Channel::kQueued);
  for (int i = 0; i < 5; ++i) queued.Enter();
  const auto collector = Make();
  ChannelSample expected;
  expected.depth = 5;
  EXPECT_EQ(At(*collector, collector->Tick(), "cart", "cart-0", Channel::kQueued), expected);
  EXPECT_EQ(At(*collector, NextTick(*collector), "cart", "cart-0", Channel::kQueued),
            Counted(5, 0, 0));
}

TEST_F(CollectorTest, ProcessesOfAnInstanceAndQueuesOfAChannelAreAddedUp) {
  const auto one = Process("cart-0");
  const auto two = Process("cart-0");
  const auto other = Process("cart-1");
  const Queue queues[] = {*one->AddQueue("cart", Channel::kQueued, "epoll"),
                          *one->AddQueue("cart", Channel::kQueued, "pool"),
                          *two->AddQueue("cart", Channel::kQueued, "epoll"),
                          *other->AddQueue("cart", Channel::kQueued)};
  const Queue calls[] = {*one->AddOutbound("cart", "db"), *other->AddOutbound("cart", "db")};
  const auto collector = Make();
  collector->Tick();
  for (int i = 0; i < 4; ++i) {
    for (int n = 0; n <= i; ++n) queues[i].Enter();
  }
  queues[1].Leave();
  calls[0].Enter();
  calls[1].Enter();
  const Snapshot& snapshot = NextTick(*collector);
  EXPECT_EQ(At(*collector, snapshot, "cart", "cart-0", Channel::kQueued),
            Counted(1 + 2 + 3 - 1, 6, 1));
  EXPECT_EQ(At(*collector, snapshot, "cart", "cart-1", Channel::kQueued), Counted(4, 4, 0));
  EXPECT_EQ(snapshot.edges.Get(EdgeId(0)), (EdgeSample{2, 0, 2}));
  EXPECT_EQ(collector->topology().live_instances(), 2u);
  EXPECT_EQ(snapshot.health.processes, 3u);
}

TEST_F(CollectorTest, LateAndMissedTicksAreMarkedAndNotInvented) {
  const auto process = Process("cart-0");
  const Queue queued = *process->AddQueue("cart", Channel::kQueued);
  const auto collector = Make();
  EXPECT_EQ(collector->Tick().health.missed_ticks, 0u);
  queued.Enter();
  clock_.Advance(kTick + 30'000'000);
  const Snapshot& late = collector->Tick();
  EXPECT_EQ(late.tick, kFirst + 1);
  EXPECT_EQ(late.health.late_ns, 30'000'000);
  EXPECT_EQ(late.health.missed_ticks, 0u);
  queued.Enter();
  queued.Enter();
  clock_.Set(kStart + 5 * kTick);
  const Snapshot& next = collector->Tick();
  EXPECT_EQ(next.tick, kFirst + 5);
  EXPECT_EQ(next.health.late_ns, 0);
  EXPECT_EQ(next.health.missed_ticks, 3u);
  EXPECT_EQ(At(*collector, next, "cart", "cart-0", Channel::kQueued), Counted(3, 2, 0))
      << "with what happened in the missed ticks";
}

TEST_F(CollectorTest, ASecondCallWithinATickGivesTheSameSnapshotAndLosesNothing) {
  const auto process = Process("cart-0");
  const Queue queued = *process->AddQueue("cart", Channel::kQueued);
  const auto collector = Make();
  const Snapshot first = collector->Tick();
  queued.Enter();
  clock_.Advance(kTick / 2);
  EXPECT_TRUE(collector->Tick() == first);
  queued.Leave();
  EXPECT_TRUE(collector->Tick() == first);
  clock_.Advance(kTick / 2);
  ChannelSample expected = Counted(0, 1, 1);
  expected.peak = 1;  // each call was a look
  EXPECT_EQ(At(*collector, collector->Tick(), "cart", "cart-0", Channel::kQueued), expected);
}

TEST_F(CollectorTest, AClockThatIsSetBackALittleIsWaitedFor) {
  const auto process = Process("cart-0");
  const Queue queued = *process->AddQueue("cart", Channel::kQueued);
  const auto collector = Make();
  const Snapshot first = collector->Tick();
  queued.Enter();
  clock_.Advance(-900'000'000);
  EXPECT_TRUE(collector->Tick() == first);
  clock_.Set(kStart + kTick);
  const Snapshot& next = collector->Tick();
  EXPECT_EQ(next.tick, kFirst + 1);
  EXPECT_EQ(next.origin.epoch, 42u);
  EXPECT_EQ(At(*collector, next, "cart", "cart-0", Channel::kQueued)->arrivals, 1u);
}

TEST_F(CollectorTest, AClockThatIsSetBackFurtherBeginsAnEpoch) {
  const auto process = Process("cart-0");
  const Queue queued = *process->AddQueue("cart", Channel::kQueued);
  const auto collector = Make();
  collector->Tick();
  queued.Enter();
  clock_.Advance(-3600 * std::int64_t{1'000'000'000});
  const Snapshot& back = collector->Tick();
  EXPECT_EQ(back.tick, kFirst - 36'000);
  EXPECT_GT(back.origin.epoch, 42u);
  EXPECT_EQ(back.origin, collector->topology().origin());
  EXPECT_EQ(back.health.missed_ticks, 0u);
  EXPECT_EQ(At(*collector, back, "cart", "cart-0", Channel::kQueued), Counted(1, 1, 0));
  EXPECT_EQ(NextTick(*collector).tick, kFirst - 35'999);
}

TEST_F(CollectorTest, ImpossibleTimesDoNoHarm) {
  const auto collector = Make();
  for (std::int64_t now : {std::numeric_limits<std::int64_t>::max(), std::int64_t{0},
                           std::numeric_limits<std::int64_t>::min(), std::int64_t{-1}, kStart}) {
    SCOPED_TRACE(now);
    clock_.Set(now);
    EXPECT_TRUE(options_.period.Contains(collector->Tick().tick));
  }
}

TEST_F(CollectorTest, APeakIsTheDeepestOfSeveralLooks) {
  const auto one = Process("cart-0");
  const auto two = Process("cart-0");
  const Queue first = *one->AddQueue("cart", Channel::kQueued);
  const Queue second = *two->AddQueue("cart", Channel::kQueued);
  const auto collector = Make();
  collector->Tick();
  EXPECT_EQ(At(*collector, NextTick(*collector), "cart", "cart-0", Channel::kQueued),
            Counted(0, 0, 0))
      << "one look has no peak";
  for (int i = 0; i < 3; ++i) first.Enter();
  collector->Sample();
  for (int i = 0; i < 3; ++i) first.Leave();
  for (int i = 0; i < 2; ++i) second.Enter();
  collector->Sample();
  ChannelSample expected = Counted(2, 5, 3);
  expected.peak = 3;  // of the sums, not the sum of peaks
  EXPECT_EQ(At(*collector, NextTick(*collector), "cart", "cart-0", Channel::kQueued), expected);
  EXPECT_EQ(At(*collector, NextTick(*collector), "cart", "cart-0", Channel::kQueued)->peak, 0u);
}

// The queue keeps real time. Only relations are tested that hold however long anything takes.
TEST_F(CollectorTest, MeansAreOfTimedQueuesOverAllLooks) {
  const auto process = Process("cart-0");
  const TimedQueue queued = *process->AddTimedQueue("cart", Channel::kQueued);
  const Queue plain = *process->AddQueue("cart", Channel::kRunning);
  const auto collector = Make();
  collector->Tick();  // from here on the times are known
  const auto a = queued.Enter();
  const auto b = queued.Enter();
  collector->Sample();
  const Snapshot& full = NextTick(*collector);
  const auto held = At(*collector, full, "cart", "cart-0", Channel::kQueued);
  ASSERT_TRUE(held && held->timed);
  EXPECT_GT(held->mean_depth_milli, 0u);
  EXPECT_LE(held->mean_depth_milli, 2000u);
  EXPECT_EQ(held->mean_wait_us, 0u) << "nobody left";
  EXPECT_FALSE(At(*collector, full, "cart", "cart-0", Channel::kRunning)->timed);

  // For a whole tick, two requests and nothing else, however many looks.
  collector->Sample();
  collector->Sample();
  const auto steady = At(*collector, NextTick(*collector), "cart", "cart-0", Channel::kQueued);
  EXPECT_NEAR(steady->mean_depth_milli, 2000, 1);

  const auto before = std::chrono::steady_clock::now();
  while (std::chrono::steady_clock::now() - before < milliseconds(2)) {
  }
  queued.Leave(a);
  collector->Sample();
  queued.Leave(b);
  const auto left = At(*collector, NextTick(*collector), "cart", "cart-0", Channel::kQueued);
  EXPECT_EQ(left->departures, 2u);
  EXPECT_GE(left->mean_wait_us, 2000u);
  EXPECT_EQ(
      At(*collector, NextTick(*collector), "cart", "cart-0", Channel::kQueued)->mean_depth_milli,
      0u);

  // One queue of the channel that keeps no times, and the channel has no mean.
  const Queue untimed = *process->AddQueue("cart", Channel::kQueued, "pool");
  collector->Tick();
  EXPECT_FALSE(At(*collector, NextTick(*collector), "cart", "cart-0", Channel::kQueued)->timed);
  (void)plain;
  (void)untimed;
}

TEST_F(CollectorTest, ARegistryWithoutASharedSegmentIsAdded) {
  RegistryOptions options;
  options.directory = "";
  options.instance = "cart-0";
  auto registry = *QueueRegistry::Create(options);
  const Queue queued = *registry->AddQueue("cart", Channel::kQueued);
  const auto collector = Make();
  ASSERT_TRUE(collector->Add(*registry).ok());
  collector->Tick();
  queued.Enter();
  EXPECT_EQ(At(*collector, NextTick(*collector), "cart", "cart-0", Channel::kQueued),
            Counted(1, 1, 0));
  registry.reset();
  NextTick(*collector);
  EXPECT_EQ(NextTick(*collector).health.processes, 0u);
}

TEST_F(CollectorTest, QueuesForWhichThereIsNoRowAreCounted) {
  options_.max_rows = 2;
  const auto process = Process("cart-0");
  for (const char* service : {"a", "b", "c"}) (void)*process->AddQueue(service, Channel::kQueued);
  const auto collector = Make();
  const Snapshot& snapshot = collector->Tick();
  EXPECT_EQ(snapshot.instances.size(), 2u);
  EXPECT_EQ(snapshot.health.segments_skipped, 1u);
}

TEST_F(CollectorTest, SegmentsThatCannotBeReadAreToldWithTheReason) {
  const auto process = Process("cart-0");
  const Queue queued = *process->AddQueue("cart", Channel::kQueued);
  const std::string name = SegmentFilePrefix(SEER_SEGMENT_QUEUES) + "1.garbage";
  directory_.Write(name, std::string(5000, 'x'));
  const auto collector = Make();
  collector->Tick();
  queued.Enter();
  const Snapshot& snapshot = NextTick(*collector);
  EXPECT_EQ(snapshot.health.segments_skipped, 1u);
  ASSERT_EQ(collector->skipped().size(), 1u);
  EXPECT_EQ(collector->skipped()[0].file, directory_ / name);
  EXPECT_EQ(At(*collector, snapshot, "cart", "cart-0", Channel::kQueued), Counted(1, 1, 0));
}

TEST_F(CollectorTest, TotalsOnlyRise) {
  auto one = Process("cart-0");
  const auto two = Process("cart-0");
  const Queue first = *one->AddQueue("cart", Channel::kQueued);
  const Queue second = *two->AddQueue("cart", Channel::kQueued);
  (void)*one->AddOutbound("cart", "db");
  first.Enter();
  first.Leave();
  const auto collector = Make();
  collector->Tick();
  first.Enter();
  first.Enter();
  second.Enter();
  NextTick(*collector);
  one.reset();  // with its counters
  second.Leave();
  NextTick(*collector);
  NextTick(*collector);
  const CollectorTotals& totals = collector->totals();
  ASSERT_EQ(totals.channels.size(), 1u);
  EXPECT_EQ(totals.channels[0].enqueued, 4u);
  EXPECT_EQ(totals.channels[0].dequeued, 2u);
  ASSERT_EQ(totals.edges.size(), 1u);
  EXPECT_EQ(totals.snapshots, 4u);
}

TEST_F(CollectorTest, OptionsAreRefusedByName) {
  struct Case {
    const char* field;
    void (*change)(CollectorOptions&);
  };
  for (const Case& c : {
           Case{"samples_per_tick", [](CollectorOptions& o) { o.samples_per_tick = 0; }},
           Case{"samples_per_tick", [](CollectorOptions& o) { o.samples_per_tick = 101; }},
           Case{"grace", [](CollectorOptions& o) { o.grace = nanoseconds(-1); }},
           Case{"max_rows", [](CollectorOptions& o) { o.max_rows = 0; }},
           Case{"max_processes", [](CollectorOptions& o) { o.reader.max_processes = 0; }},
           Case{"node", [](CollectorOptions& o) { o.node = "two\nlines"; }},
       }) {
    SCOPED_TRACE(c.field);
    CollectorOptions options = options_;
    c.change(options);
    const absl::Status status = Collector::Create(options).status();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr(c.field));
  }
  options_.node = "";
  EXPECT_FALSE(Make()->topology().origin().node.empty()) << "the host's name";
}

TEST_F(CollectorTest, ASteadyStateAllocatesNothing) {
  std::vector<std::unique_ptr<QueueRegistry>> processes;
  std::vector<Queue> queues;
  for (const char* name : {"a", "b", "c"}) {
    processes.push_back(Process(name));
    for (Channel channel : {Channel::kQueued, Channel::kRunning, Channel::kBlocked}) {
      queues.push_back(*processes.back()->AddQueue("cart", channel));
    }
    queues.push_back(*processes.back()->AddOutbound("cart", "db"));
  }
  const auto collector = Make();
  auto probe = std::make_unique<FakeDepthProbe>(Channel::kAccept);
  probe->depth = 2;
  collector->AddProbe(std::move(probe));
  const auto tick = [&] {
    for (const Queue& queue : queues) queue.Enter();
    collector->Sample();
    for (std::size_t i = 0; i < queues.size(); i += 2) queues[i].Leave();
    NextTick(*collector);
  };
  // The reader looks through the directory soon after a change and once a second, which allocates:
  // within the time limit there are ticks between.
  const auto deadline = std::chrono::steady_clock::now() + seconds(20);
  std::size_t least = 1;
  while (least > 0 && std::chrono::steady_clock::now() < deadline) {
    const testing::Allocations allocations;
    for (int i = 0; i < 20; ++i) tick();
    least = allocations.count();
  }
  EXPECT_EQ(least, 0u);
  EXPECT_EQ(At(*collector, NextTick(*collector), "cart", "b", Channel::kAccept)->depth, 2u);
}

}  // namespace
}  // namespace seer
