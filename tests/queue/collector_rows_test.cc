#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <unistd.h>
#include <chrono>
#include <memory>
#include <string>

#include "seer/queue/collector.h"
#include "seer/queue/registry.h"
#include "tests/queue/collector_fixture.h"

namespace seer {
namespace {

using std::chrono::seconds;
using testing::Counted;
using ::testing::ElementsAre;

// How rows of the topology come, stay and go.
using CollectorTest = testing::CollectorFixture;

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

TEST_F(CollectorTest, ClassesStayWithTheirEntriesUntilTheyAreChanged) {
  options_.grace = seconds(0);
  const auto collector = Make();
  DeclaredClass checkout;
  checkout.application = "shop";
  checkout.name = "checkout";
  checkout.target = QosTarget::Percentile(0.99, std::chrono::milliseconds(20), seconds(1));
  checkout.service = "frontend";
  ASSERT_TRUE(collector->DeclareClass(checkout).ok());
  for (int i = 0; i < 3; ++i) NextTick(*collector);
  const Topology& topology = collector->topology();
  const auto id = topology.FindRequestClass("shop", "checkout");
  ASSERT_TRUE(id.has_value());
  EXPECT_EQ(topology.request_class(*id).target, checkout.target);
  EXPECT_EQ(topology.request_class(*id).entry, topology.FindService("frontend"));
  EXPECT_TRUE(collector->Tick().classes.empty()) << "nobody fills them in: not zero";

  checkout.target = QosTarget::Percentile(0.99, std::chrono::milliseconds(50), seconds(1));
  checkout.service = "gateway";
  ASSERT_TRUE(collector->DeclareClass(checkout).ok());
  NextTick(*collector);
  EXPECT_EQ(topology.FindRequestClass("shop", "checkout"), id);
  EXPECT_EQ(topology.request_class(*id).target, checkout.target);
  EXPECT_EQ(topology.request_class(*id).entry, topology.FindService("gateway"));

  checkout.target.allowed_ppm = 1'000'000;
  const absl::Status bad = collector->DeclareClass(checkout);
  EXPECT_TRUE(absl::IsInvalidArgument(bad));
  EXPECT_THAT(std::string(bad.message()), ::testing::HasSubstr("allowed_ppm"));
  checkout.target.allowed_ppm = 0;
  checkout.name = "";
  EXPECT_TRUE(absl::IsInvalidArgument(collector->DeclareClass(checkout)));
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
  testing::Child child([&]() -> std::string {
    const auto process = Process("cart-0");
    const Queue queued = *process->AddQueue("cart", Channel::kQueued);
    for (int i = 0; i < 7; ++i) queued.Enter();
    if (write(ready[1], "x", 1) != 1) return "nobody waits";
    for (;;) pause();
  });
  char byte;
  ASSERT_EQ(read(ready[0], &byte, 1), 1);
  EXPECT_EQ(At(*collector, NextTick(*collector), "cart", "cart-0", Channel::kQueued),
            Counted(7, 7, 0));
  child.Kill();
  child.Wait();
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

}  // namespace
}  // namespace seer
