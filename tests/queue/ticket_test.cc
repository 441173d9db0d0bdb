// Scopes and tickets, of both kinds of queues.
#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "seer/queue/reader.h"
#include "seer/queue/registry.h"
#include "tests/queue/sandbox.h"

namespace seer {
namespace {

using testing::Anonymous;
using testing::MakeRegistry;
using testing::ReaderOf;
using testing::ReadQueue;

template <typename AnyQueue>
class Tickets : public ::testing::Test {
 protected:
  AnyQueue Add(const char* name) {
    if constexpr (std::is_same_v<AnyQueue, TimedQueue>) {
      return *registry_->AddTimedQueue("a", Channel::kQueued, name);
    } else {
      return *registry_->AddQueue("a", Channel::kQueued, name);
    }
  }
  std::string Counts(const char* name) {
    const QueueReading now = ReadQueue(*reader_, name);
    EXPECT_EQ(now.depth, now.enqueued - now.dequeued);
    return std::to_string(now.enqueued) + "-" + std::to_string(now.dequeued);
  }

  const std::unique_ptr<QueueRegistry> registry_ = MakeRegistry(Anonymous());
  const std::unique_ptr<Reader> reader_ = ReaderOf(*registry_);
};
using BothKinds = ::testing::Types<Queue, TimedQueue>;
TYPED_TEST_SUITE(Tickets, BothKinds, );

TYPED_TEST(Tickets, AScopeLeavesWhateverIsThrown) {
  const TypeParam queue = this->Add("q");
  {
    QueueScope scope(queue);
    EXPECT_EQ(this->Counts("q"), "1-0");
  }
  EXPECT_EQ(this->Counts("q"), "1-1");
  try {
    QueueScope outer(queue);
    BasicTicket ticket(queue);
    QueueScope inner(queue);
    EXPECT_EQ(this->Counts("q"), "4-1");
    throw std::runtime_error("the handler failed");
  } catch (const std::runtime_error&) {
  }
  EXPECT_EQ(this->Counts("q"), "4-4");
}

TYPED_TEST(Tickets, ATicketLeavesOnceWhereverItHasGone) {
  const TypeParam queue = this->Add("q");
  {
    BasicTicket first(queue);
    BasicTicket second(std::move(first));
    EXPECT_FALSE(first);  // NOLINT: moved from, it holds no place
    first.Leave();
    EXPECT_EQ(this->Counts("q"), "1-0");
    std::thread([moved = std::move(second)]() mutable { moved.Leave(); }).join();
    EXPECT_EQ(this->Counts("q"), "1-1");
  }
  EXPECT_EQ(this->Counts("q"), "1-1");
  {
    BasicTicket<TypeParam> none;
    EXPECT_FALSE(none);
    none.Leave();
    BasicTicket ticket(queue);
    BasicTicket other(queue);
    ticket = std::move(other);  // the place that it held is left
    EXPECT_EQ(this->Counts("q"), "3-2");
    BasicTicket<TypeParam>& same = ticket;
    ticket = std::move(same);
    EXPECT_TRUE(ticket);
    EXPECT_EQ(this->Counts("q"), "3-2");
    ticket.Leave();
    ticket.Leave();
    EXPECT_EQ(this->Counts("q"), "3-3");
    ticket = BasicTicket(queue);
  }
  EXPECT_EQ(this->Counts("q"), "4-4");
}

TYPED_TEST(Tickets, ATicketThatNobodyConsumesLeavesWithItsJob) {
  const TypeParam queue = this->Add("q");
  {
    std::vector<BasicTicket<TypeParam>> jobs;
    for (int i = 0; i < 100; ++i) jobs.emplace_back(queue);  // grows, and so moves them
    EXPECT_EQ(this->Counts("q"), "100-0");
    jobs.erase(jobs.begin() + 10, jobs.begin() + 20);
    EXPECT_EQ(this->Counts("q"), "100-10");
  }
  EXPECT_EQ(this->Counts("q"), "100-100");
}

TYPED_TEST(Tickets, MoveToIsAStepFromOneQueueToTheNext) {
  const TypeParam queued = this->Add("queued");
  const TypeParam running = this->Add("running");
  {
    BasicTicket ticket(queued);
    ticket.MoveTo(running);
    EXPECT_EQ(this->Counts("queued"), "1-1");
    EXPECT_EQ(this->Counts("running"), "1-0");
    ticket.MoveTo(running);
    EXPECT_EQ(this->Counts("running"), "2-1");
    ticket.Leave();
    ticket.MoveTo(queued);  // a ticket without a place may take one
    EXPECT_EQ(this->Counts("queued"), "2-1");
    ticket.MoveTo(TypeParam());
    EXPECT_FALSE(ticket);
  }
  EXPECT_EQ(this->Counts("queued"), "2-2");
  EXPECT_EQ(this->Counts("running"), "2-2");
}

TYPED_TEST(Tickets, TheDefaultQueueCountsNowhere) {
  const TypeParam nowhere;
  EXPECT_FALSE(nowhere);
  EXPECT_TRUE(this->Add("q"));
  QueueScope scope(nowhere);
  BasicTicket ticket(nowhere);
  std::thread([nowhere] { nowhere.Leave(nowhere.Enter()); }).join();
  EXPECT_EQ(this->Counts("q"), "0-0");
}

}  // namespace
}  // namespace seer
