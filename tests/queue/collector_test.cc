#include "seer/queue/collector.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <limits>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "seer/queue/registry.h"
#include "seer/queue/segment.h"
#include "tests/support/allocations.h"

namespace seer {
namespace {

using std::chrono::milliseconds;
using std::chrono::nanoseconds;
using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr std::int64_t kTick = 100'000'000;
constexpr std::int64_t kStart = 1'700'000'000'000'000'000;
constexpr Tick kFirst = kStart / kTick - 1;  // what Tick() at kStart makes

class CollectorTest : public ::testing::Test {
 protected:
  CollectorTest() {
    char path[] = "/tmp/seer-collector-XXXXXX";
    directory_ = mkdtemp(path);
    options_.node = "node-7";
    options_.clock = &clock_;
    options_.epoch = 42;
    options_.reader.directory = directory_;
  }
  ~CollectorTest() override { std::filesystem::remove_all(directory_); }

  // As if another process published there.
  std::unique_ptr<QueueRegistry> Process(const std::string& instance) {
    RegistryOptions options;
    options.directory = directory_;
    options.instance = instance;
    auto registry = QueueRegistry::Create(options);
    EXPECT_TRUE(registry.ok()) << registry.status();
    EXPECT_TRUE((*registry)->status().ok()) << (*registry)->status();
    return *std::move(registry);
  }

  std::unique_ptr<Collector> Make() {
    auto collector = Collector::Create(options_);
    EXPECT_TRUE(collector.ok()) << collector.status();
    return *std::move(collector);
  }

  const Snapshot& NextTick(Collector& collector) {
    clock_.Advance(kTick);
    return collector.Tick();
  }

  static std::optional<ChannelSample> At(const Collector& collector, const Snapshot& snapshot,
                                         const char* service, const char* instance,
                                         Channel channel) {
    const Topology& topology = collector.topology();
    const auto service_id = topology.FindService(service);
    if (!service_id) return std::nullopt;
    const auto id = topology.FindInstance(*service_id, instance);
    return id ? snapshot.instances.Get(*id, channel) : std::nullopt;
  }

  std::string directory_;
  ManualClock clock_{kStart};
  CollectorOptions options_;
};

ChannelSample Counted(std::uint32_t depth, std::uint32_t arrivals, std::uint32_t departures) {
  ChannelSample sample;
  sample.depth = depth;
  sample.counted = true;
  sample.arrivals = arrivals;
  sample.departures = departures;
  return sample;
}

TEST_F(CollectorTest, ANodeWithoutProcessesHasEmptySnapshots) {
  options_.reader.directory = directory_ + "/not/there";
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

TEST_F(CollectorTest, RowsOutliveTheirLastProcessByTheGracePeriod) {
  options_.grace = seconds(1);
  auto process = Process("cart-0");
  (void)*process->AddQueue("cart", Channel::kQueued);
  (void)*process->AddOutbound("cart", "db");
  const auto stays = Process("front-0");
  (void)*stays->AddOutbound("front", "cart");
  const auto collector = Make();
  collector->Tick();
  const ServiceId cart = *collector->topology().FindService("cart");
  const InstanceId id = *collector->topology().FindInstance(cart, "cart-0");

  process.reset();
  for (int i = 0; i < 3; ++i) NextTick(*collector);
  EXPECT_TRUE(collector->topology().IsLive(id));
  EXPECT_EQ(NextTick(*collector).instances.Get(id, Channel::kQueued), std::nullopt);

  // It comes back in time and keeps its id.
  process = Process("cart-0");
  const Queue queued = *process->AddQueue("cart", Channel::kQueued);
  queued.Enter();
  EXPECT_EQ(NextTick(*collector).instances.Get(id, Channel::kQueued), Counted(1, 1, 0));

  process.reset();
  for (int i = 0; i < 13; ++i) NextTick(*collector);
  EXPECT_FALSE(collector->topology().IsLive(id));
  EXPECT_EQ(collector->topology().FindService("db"), std::nullopt) << "nobody calls it any more";
  EXPECT_EQ(collector->topology().FindService("cart"), cart) << "front calls it";
  EXPECT_EQ(collector->topology().live_edges(), 1u);
  EXPECT_EQ(NextTick(*collector).origin, collector->topology().origin());

  process = Process("cart-0");
  (void)*process->AddQueue("cart", Channel::kQueued);
  NextTick(*collector);
  EXPECT_NE(collector->topology().FindInstance(cart, "cart-0"), id) << "an id is given once";
}

TEST_F(CollectorTest, TooManyTombstonesBeginAnEpochAndCountsGoOn) {
  options_.grace = seconds(0);
  const auto process = Process("cart-0");
  const Queue queued = *process->AddQueue("cart", Channel::kQueued);
  const auto collector = Make();
  collector->Tick();
  for (int round = 0; round < 3; ++round) {
    for (int i = 0; i < 500; ++i) {
      DeclaredInstance instance;
      instance.service = "batch";
      instance.instance = std::to_string(round) + "-" + std::to_string(i);
      ASSERT_TRUE(collector->Declare(instance).ok());
    }
    NextTick(*collector);
    EXPECT_EQ(collector->topology().live_instances(), 501u);
    for (int i = 0; i < 500; ++i) {
      collector->Withdraw("batch", std::to_string(round) + "-" + std::to_string(i));
    }
    queued.Enter();
    NextTick(*collector);
  }
  NextTick(*collector);
  const Snapshot& last = NextTick(*collector);
  EXPECT_GT(last.origin.epoch, 42u);
  EXPECT_EQ(last.origin, collector->topology().origin());
  EXPECT_EQ(collector->topology().instances().size(), 1u);
  EXPECT_EQ(At(*collector, last, "cart", "cart-0", Channel::kQueued), Counted(3, 0, 0));
  ASSERT_EQ(collector->totals().channels.size(), 1u);
  EXPECT_EQ(collector->totals().channels[0].enqueued, 3u);
  queued.Enter();
  EXPECT_EQ(At(*collector, NextTick(*collector), "cart", "cart-0", Channel::kQueued),
            Counted(4, 1, 0));
}

TEST_F(CollectorTest, DeclaredInstancesStayUntilTheyAreWithdrawn) {
  options_.grace = seconds(0);
  const auto collector = Make();
  DeclaredInstance mysql;
  mysql.service = "post-db";
  mysql.instance = "mysql-0";
  mysql.application = "social";
  mysql.cgroup = "/system.slice/mysql.service";
  mysql.pids = {17, 18};
  ASSERT_TRUE(collector->Declare(mysql).ok());
  for (int i = 0; i < 3; ++i) NextTick(*collector);
  const Topology& topology = collector->topology();
  const ServiceId service = *topology.FindService("post-db");
  const InstanceId id = *topology.FindInstance(service, "mysql-0");
  EXPECT_EQ(topology.service(service).application, "social");
  EXPECT_EQ(topology.instance(id).cgroup, mysql.cgroup);
  EXPECT_THAT(topology.instance(id).pids, ElementsAre(17, 18));

  // A process of it starts to publish: the host's word about pids stands, until it is withdrawn.
  auto process = Process("mysql-0");
  (void)*process->AddQueue("post-db", Channel::kQueued);
  NextTick(*collector);
  EXPECT_THAT(topology.instance(id).pids, ElementsAre(17, 18));
  collector->Withdraw("post-db", "mysql-0");
  NextTick(*collector);
  NextTick(*collector);
  EXPECT_TRUE(topology.IsLive(id)) << "a process publishes it";
  process.reset();
  for (int i = 0; i < 3; ++i) NextTick(*collector);
  EXPECT_FALSE(topology.IsLive(id));

  mysql.service = "";
  EXPECT_TRUE(absl::IsInvalidArgument(collector->Declare(mysql)));
  mysql.service = "post-db";
  mysql.pids = {-1};
  EXPECT_TRUE(absl::IsInvalidArgument(collector->Declare(mysql)));
}

TEST_F(CollectorTest, AProcessThatWasKilledLeavesItsLastCountsAndNoDepth) {
  const auto collector = Make();
  collector->Tick();
  int ready[2];
  ASSERT_EQ(pipe(ready), 0);
  const pid_t child = fork();
  if (child == 0) {
    RegistryOptions options;
    options.directory = directory_;
    options.instance = "cart-0";
    auto registry = QueueRegistry::Create(options);
    if (!registry.ok()) _exit(1);
    const Queue queued = *(*registry)->AddQueue("cart", Channel::kQueued);
    for (int i = 0; i < 7; ++i) queued.Enter();
    (void)!write(ready[1], "x", 1);
    for (;;) pause();
  }
  char byte;
  ASSERT_EQ(read(ready[0], &byte, 1), 1);
  EXPECT_EQ(At(*collector, NextTick(*collector), "cart", "cart-0", Channel::kQueued),
            Counted(7, 7, 0));
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  const Snapshot& after = NextTick(*collector);
  EXPECT_EQ(after.health.dead_processes, 1u);
  EXPECT_EQ(after.health.processes, 0u);
  EXPECT_EQ(At(*collector, after, "cart", "cart-0", Channel::kQueued), Counted(0, 0, 0));
  const Snapshot& later = NextTick(*collector);
  EXPECT_EQ(later.health.dead_processes, 0u);
  EXPECT_EQ(At(*collector, later, "cart", "cart-0", Channel::kQueued), std::nullopt);
  EXPECT_EQ(collector->totals().health.dead_processes, 1u);
  close(ready[0]);
  close(ready[1]);
}

TEST_F(CollectorTest, ARetiredQueueIsMissing) {
  const auto process = Process("cart-0");
  const Queue queued = *process->AddQueue("cart", Channel::kQueued);
  const Queue running = *process->AddQueue("cart", Channel::kRunning);
  const auto collector = Make();
  collector->Tick();
  queued.Enter();
  running.Enter();
  ASSERT_TRUE(process->Retire(queued).ok());
  const Snapshot& snapshot = NextTick(*collector);
  EXPECT_EQ(At(*collector, snapshot, "cart", "cart-0", Channel::kQueued), std::nullopt);
  EXPECT_EQ(At(*collector, snapshot, "cart", "cart-0", Channel::kRunning), Counted(1, 1, 0));
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
  const std::string path = directory_ + "/" + SegmentFilePrefix(SEER_SEGMENT_QUEUES) + "1.garbage";
  std::FILE* const file = std::fopen(path.c_str(), "w");
  ASSERT_NE(file, nullptr);
  for (int i = 0; i < 1000; ++i) std::fputs("garbage", file);
  std::fclose(file);
  const auto collector = Make();
  collector->Tick();
  queued.Enter();
  const Snapshot& snapshot = NextTick(*collector);
  EXPECT_EQ(snapshot.health.segments_skipped, 1u);
  ASSERT_EQ(collector->skipped().size(), 1u);
  EXPECT_EQ(collector->skipped()[0].file, path);
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

// ---- Probes.

TEST_F(CollectorTest, ProbesFillWhatNobodyCounts) {
  const auto process = Process("cart-0");
  const Queue queued = *process->AddQueue("cart", Channel::kQueued);
  queued.Enter();
  const auto collector = Make();
  for (Channel channel : {Channel::kAccept, Channel::kQueued}) {
    auto probe = std::make_unique<FakeDepthProbe>(channel);
    probe->depth = 33;
    collector->AddProbe(std::move(probe));
  }
  const Snapshot& snapshot = collector->Tick();
  EXPECT_EQ(At(*collector, snapshot, "cart", "cart-0", Channel::kAccept)->depth, 33u);
  EXPECT_EQ(At(*collector, snapshot, "cart", "cart-0", Channel::kQueued)->depth, 1u)
      << "the service's own count stands";
  EXPECT_EQ(snapshot.instances.missing(Channel::kAccept), Missing::kNotMissing);
  EXPECT_EQ(snapshot.health.probe_errors, 0u);
}

TEST_F(CollectorTest, AProbeThatFailsLeavesItsChannelsMissingWithTheReason) {
  struct Case {
    absl::Status status;
    Missing reason;
  };
  for (const Case& c : {Case{absl::UnavailableError("busy"), Missing::kFailed},
                        Case{absl::PermissionDeniedError("no"), Missing::kNoPermission},
                        Case{absl::UnimplementedError("never"), Missing::kNotSupported}}) {
    SCOPED_TRACE(c.status);
    const auto collector = Make();
    auto probe = std::make_unique<FakeDepthProbe>(Channel::kAccept);
    probe->status = c.status;
    collector->AddProbe(std::move(probe));
    for (int tick = 0; tick < 4; ++tick) {
      EXPECT_EQ(NextTick(*collector).instances.missing(Channel::kAccept), c.reason);
    }
    EXPECT_GT(collector->totals().health.probe_errors, 0u);
    EXPECT_EQ(collector->Tick().instances.missing(Channel::kSend), Missing::kNoProbe);
  }
}

class Throwing final : public DepthProbe {
 public:
  explicit Throwing(bool standard) : standard_(standard) {}
  std::string_view name() const override { return "throwing"; }
  ChannelMask channels() const override { return ChannelMask::Of(Channel::kNic); }
  absl::Status Sample(const Topology&, Snapshot*) override {
    if (standard_) throw std::runtime_error("out of luck");
    throw 7;
  }

 private:
  const bool standard_;
};

TEST(GuardedDepthProbe, WhatAProbeThrowsBecomesAStatus) {
  for (bool standard : {true, false}) {
    SCOPED_TRACE(standard);
    GuardedDepthProbe guarded(std::make_unique<Throwing>(standard));
    Snapshot snapshot;
    const absl::Status status = guarded.Sample(Topology(), &snapshot);
    EXPECT_EQ(status.code(), absl::StatusCode::kUnknown);
    EXPECT_THAT(std::string(status.message()), HasSubstr("throwing"));
    EXPECT_THAT(std::string(status.message()),
                HasSubstr(standard ? "out of luck" : "no std::exception"));
    EXPECT_EQ(guarded.errors(), 1u);
    EXPECT_EQ(snapshot.instances.missing(Channel::kNic), Missing::kFailed);
  }
}

TEST(GuardedDepthProbe, AProbeThatGoesOnFailingIsAskedLessOften) {
  auto owned = std::make_unique<FakeDepthProbe>(Channel::kNic);
  FakeDepthProbe& probe = *owned;
  GuardedDepthProbe guarded(std::move(owned));
  probe.status = absl::UnavailableError("busy");
  Snapshot snapshot;
  std::vector<int> asked;
  for (int tick = 0; tick < 300; ++tick) {
    const std::uint64_t before = probe.asked;
    const absl::Status status = guarded.Sample(Topology(), &snapshot);
    EXPECT_EQ(status.ok(), probe.asked == before) << "an error is reported once";
    EXPECT_EQ(snapshot.instances.missing(Channel::kNic), Missing::kFailed);
    if (probe.asked != before) asked.push_back(tick);
  }
  EXPECT_THAT(asked, ElementsAre(0, 1, 3, 7, 15, 31, 63, 127, 191, 255));
  // And as often as before once it succeeds.
  probe.status = absl::OkStatus();
  for (int tick = 0; tick < 64; ++tick) (void)guarded.Sample(Topology(), &snapshot);
  const std::uint64_t before = probe.asked;
  for (int tick = 0; tick < 10; ++tick) EXPECT_TRUE(guarded.Sample(Topology(), &snapshot).ok());
  EXPECT_EQ(probe.asked, before + 10);
}

TEST(GuardedDepthProbe, WhatIsNotSupportedIsNotAskedAgain) {
  auto owned = std::make_unique<FakeDepthProbe>(Channel::kNic);
  FakeDepthProbe& probe = *owned;
  GuardedDepthProbe guarded(std::move(owned));
  probe.status = absl::UnimplementedError("no such kernel");
  Snapshot snapshot;
  for (int tick = 0; tick < 300; ++tick) (void)guarded.Sample(Topology(), &snapshot);
  EXPECT_EQ(probe.asked, 1u);
  EXPECT_EQ(snapshot.instances.missing(Channel::kNic), Missing::kNotSupported);
}

TEST(NullDepthProbe, SeesNothing) {
  NullDepthProbe probe;
  Snapshot snapshot;
  EXPECT_TRUE(probe.channels().empty());
  EXPECT_TRUE(probe.Sample(Topology(), &snapshot).ok());
  EXPECT_TRUE(snapshot == Snapshot());
}

// ---- The collector's own thread. The clock stands still until the test moves it.

class CollectorConcurrency : public CollectorTest {
 protected:
  CollectorConcurrency() { options_.period = *TickPeriod::FromNs(TickPeriod::kMinNs); }

  absl::Status Start(Collector& collector, std::function<void(const Collection&)> also = nullptr) {
    return collector.Start([this, also](const Collection& now) {
      {
        std::lock_guard<std::mutex> lock(mutex_);
        seen_.push_back(now.snapshot);
        changed_.push_back(now.topology_changed);
      }
      if (also != nullptr) also(now);
      more_.notify_all();
    });
  }
  // Waits for the `count`th snapshot since the beginning.
  Snapshot Wait(std::size_t count) {
    std::unique_lock<std::mutex> lock(mutex_);
    more_.wait(lock, [&] { return seen_.size() >= count; });
    return seen_[count - 1];
  }
  std::size_t Seen() {
    std::lock_guard<std::mutex> lock(mutex_);
    return seen_.size();
  }

  std::mutex mutex_;
  std::condition_variable more_;
  std::vector<Snapshot> seen_;
  std::vector<bool> changed_;
};

TEST_F(CollectorConcurrency, ItsThreadMakesOneSnapshotPerTickThatPasses) {
  const auto process = Process("cart-0");
  const Queue queued = *process->AddQueue("cart", Channel::kQueued);
  const auto collector = Make();
  ASSERT_TRUE(Start(*collector).ok());
  EXPECT_TRUE(absl::IsFailedPrecondition(Start(*collector)));
  clock_.Advance(TickPeriod::kMinNs);
  const Snapshot first = Wait(1);
  queued.Enter();
  clock_.Advance(4 * TickPeriod::kMinNs);
  const Snapshot second = Wait(2);
  EXPECT_EQ(second.tick, first.tick + 4);
  EXPECT_EQ(second.health.missed_ticks, 3u);
  EXPECT_EQ(second.instances.Get(InstanceId(0), Channel::kQueued)->arrivals, 1u);
  collector->Stop();
  EXPECT_TRUE(changed_[0]);
  EXPECT_FALSE(changed_[1]);
  clock_.Advance(4 * TickPeriod::kMinNs);
  EXPECT_EQ(collector->Tick().tick, second.tick + 4) << "by hand, once it has stopped";
  EXPECT_EQ(Seen(), 2u);
  ASSERT_TRUE(Start(*collector).ok()) << "and again";
  clock_.Advance(TickPeriod::kMinNs);
  Wait(3);
}

// Tells how often it was read.
class CountingClock final : public Clock {
 public:
  std::int64_t NowNs() const override {
    reads.fetch_add(1, std::memory_order_relaxed);
    return clock.NowNs();
  }
  ManualClock clock{kStart};
  mutable std::atomic<int> reads{0};
};

TEST_F(CollectorConcurrency, ItLooksSeveralTimesDuringATick) {
  CountingClock clock;
  options_.clock = &clock;
  options_.samples_per_tick = 4;
  const auto process = Process("cart-0");
  const Queue queued = *process->AddQueue("cart", Channel::kQueued);
  const auto collector = Make();
  ASSERT_TRUE(Start(*collector).ok());
  clock.clock.Advance(TickPeriod::kMinNs);
  Wait(1);
  queued.Enter();
  queued.Enter();
  clock.clock.Advance(TickPeriod::kMinNs / 4);
  // The thread reads the clock three times a round: after these it has looked.
  const int before = clock.reads.load(std::memory_order_relaxed);
  while (clock.reads.load(std::memory_order_relaxed) < before + 8) std::this_thread::yield();
  queued.Leave();
  queued.Leave();
  clock.clock.Advance(3 * TickPeriod::kMinNs / 4);
  const auto sample = Wait(2).instances.Get(InstanceId(0), Channel::kQueued);
  EXPECT_EQ(sample->depth, 0u);
  EXPECT_EQ(sample->peak, 2u);
}

TEST_F(CollectorConcurrency, TheCallbackMayStopItAndThrow) {
  const auto collector = Make();
  ASSERT_TRUE(Start(*collector, [&](const Collection& now) {
                if (now.totals.snapshots == 1) throw 7;
                collector->Stop();
              }).ok());
  clock_.Advance(TickPeriod::kMinNs);
  while (Seen() < 1) std::this_thread::yield();
  clock_.Advance(TickPeriod::kMinNs);
  Wait(2);
  collector->Stop();
  EXPECT_EQ(collector->totals().callback_errors, 1u);
  EXPECT_EQ(collector->totals().snapshots, 2u);
  ASSERT_TRUE(Start(*collector).ok());
  EXPECT_TRUE(absl::IsInvalidArgument(collector->Start(nullptr)));
}

TEST_F(CollectorConcurrency, InstancesMayBeDeclaredFromAnyThreadAtAnyTime) {
  options_.grace = seconds(0);
  const auto collector = Make();
  ASSERT_TRUE(Start(*collector).ok());
  std::vector<std::thread> threads;
  for (int t = 0; t < 3; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 50; ++i) {
        DeclaredInstance instance;
        instance.service = "s" + std::to_string(t);
        instance.instance = std::to_string(i);
        EXPECT_TRUE(collector->Declare(instance).ok());
        if (i % 2 == 0) collector->Withdraw(instance.service, instance.instance);
        clock_.Advance(TickPeriod::kMinNs / 10);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  collector->Stop();
  clock_.Advance(TickPeriod::kMinNs);
  collector->Tick();
  clock_.Advance(TickPeriod::kMinNs);
  collector->Tick();
  EXPECT_EQ(collector->topology().live_instances(), 3 * 25u);
}

TEST_F(CollectorConcurrency, QueuesAreCountedWhileItLooks) {
  const auto process = Process("cart-0");
  const Queue queued = *process->AddQueue("cart", Channel::kQueued);
  const auto collector = Make();
  std::atomic<bool> stop{false};
  std::vector<std::thread> threads;
  for (int t = 0; t < 2; ++t) {
    threads.emplace_back([&] {
      while (!stop.load(std::memory_order_relaxed)) {
        queued.Enter();
        queued.Leave();
      }
    });
  }
  collector->Tick();
  for (int tick = 0; tick < 200; ++tick) {
    collector->Sample();
    clock_.Advance(TickPeriod::kMinNs);
    const auto sample = collector->Tick().instances.Get(InstanceId(0), Channel::kQueued);
    ASSERT_TRUE(sample.has_value());
    ASSERT_LE(sample->depth, 2u);
    ASSERT_TRUE(sample->counted || tick == 0);
    ASSERT_LE(sample->depth, sample->peak);
  }
  stop.store(true, std::memory_order_relaxed);
  for (std::thread& thread : threads) thread.join();
  clock_.Advance(TickPeriod::kMinNs);
  collector->Tick();
  EXPECT_EQ(collector->totals().channels[0].enqueued, collector->totals().channels[0].dequeued);
}

}  // namespace
}  // namespace seer
