#include "seer/trace/rpc_scope.h"

#include <gtest/gtest.h>

#include <future>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "seer/trace/propagation.h"
#include "tests/queue/sandbox.h"
#include "tests/support/allocations.h"
#include "tests/trace/depths.h"
#include "tests/trace/recording.h"

namespace seer {
namespace {

using testing::Allocations;
using testing::AllSpans;
using testing::Depths;
using testing::kSlower;
using testing::MakeDrainer;
using testing::MakeRecorder;
using testing::MakeRegistry;

class RpcScope : public ::testing::Test {
 protected:
  RpcScope()
      : registry_(MakeRegistry()),
        recorder_(MakeRecorder(256)),
        sink_(std::make_shared<MemorySink>()),
        drainer_(MakeDrainer(*recorder_, sink_)),
        served_(*ServedRpc::Add(*registry_, *recorder_, "cart", "GET /cart")),
        called_(*CalledRpc::Add(*registry_, *recorder_, "cart", "user", "FindUser")),
        depths_(*registry_) {}

  std::vector<Span> Spans() {
    EXPECT_TRUE(drainer_->Drain().ok());
    return AllSpans(*sink_);
  }
  void ExpectAllGone() {
    for (const char* queue : {"cart queued", "cart running", "cart blocked", "cart -> user"}) {
      EXPECT_EQ(depths_.Of(queue), 0) << queue;
    }
    EXPECT_EQ(depths_.errors(), 0u);
  }

  const std::unique_ptr<QueueRegistry> registry_;
  const std::unique_ptr<SpanRecorder> recorder_;
  const std::shared_ptr<MemorySink> sink_;
  const std::unique_ptr<SpanDrainer> drainer_;
  const ServedRpc served_;
  const CalledRpc called_;
  Depths depths_;
};

TEST_F(RpcScope, RequestGoesThroughTheQueuesInOrder) {
  ServedCall call(served_, TraceContext());
  EXPECT_EQ(depths_.Of("cart queued"), 1);
  EXPECT_EQ(depths_.Of("cart running"), 0);
  call.Dequeued();
  EXPECT_EQ(depths_.Of("cart queued"), 0);
  EXPECT_EQ(depths_.Of("cart running"), 1);
  {
    HandlerScope handling(&call);
    EXPECT_EQ(CurrentContext(), call.context());
    EXPECT_EQ(depths_.Of("cart running"), 1);
  }
  EXPECT_FALSE(CurrentContext().valid());
  call.End(Outcome::kOk);
  call.End(Outcome::kFailed);  // too late
  ExpectAllGone();
  EXPECT_EQ(depths_.Enqueued("cart running"), 1u);

  const std::vector<Span> spans = Spans();
  ASSERT_EQ(spans.size(), 1u);
  EXPECT_EQ(spans[0].outcome(), Outcome::kOk);
  for (std::size_t i = 0; i < 5; ++i) EXPECT_TRUE(spans[0].stamp(i).has_value()) << i;
}

TEST_F(RpcScope, ServerWithoutATaskQueueRunsFromTheHandlerOn) {
  ServedCall call(served_, TraceContext());
  {
    HandlerScope handling(&call);
    EXPECT_EQ(depths_.Of("cart queued"), 0);
    EXPECT_EQ(depths_.Of("cart running"), 1);
  }
  call.End(Outcome::kOk);
  ExpectAllGone();
  const std::vector<Span> spans = Spans();
  ASSERT_EQ(spans.size(), 1u);
  EXPECT_FALSE(spans[0].stamp(ServerStamp::kDequeued).has_value());
}

TEST_F(RpcScope, CallBelongsToTheRequestAndBlocksIt) {
  std::map<std::string, std::string> headers;
  TraceContext caller = NewRoot();
  ServedCall call(served_, caller);
  {
    HandlerScope handling(&call);
    OutgoingCall user(called_);
    EXPECT_EQ(depths_.Of("cart -> user"), 1);
    EXPECT_EQ(depths_.Of("cart blocked"), 1);
    Inject(user.context(), &headers);
    {
      OutgoingCall second(called_);
      EXPECT_EQ(depths_.Of("cart -> user"), 2);
      EXPECT_EQ(depths_.Of("cart blocked"), 1);  // one request
      second.End(Outcome::kTimedOut);
    }
    EXPECT_EQ(depths_.Of("cart blocked"), 1);
    user.End(Outcome::kOk);
    EXPECT_EQ(depths_.Of("cart blocked"), 0);
    EXPECT_EQ(depths_.Of("cart running"), 1);
  }
  call.End(Outcome::kOk);
  ExpectAllGone();

  const std::vector<Span> spans = Spans();
  ASSERT_EQ(spans.size(), 3u);  // as they ended: second, user, request
  EXPECT_EQ(spans[0].outcome(), Outcome::kTimedOut);
  EXPECT_EQ(spans[2].parent_id(), caller.span_id);
  EXPECT_EQ(spans[1].parent_id(), spans[2].span_id());
  for (const Span& span : spans) EXPECT_EQ(span.trace_id(), caller.trace_id);
  EXPECT_EQ(Extract(headers).span_id, spans[1].span_id());
}

TEST_F(RpcScope, CallNobodyWaitsForDoesNotBlock) {
  ServedCall call(served_, TraceContext());
  HandlerScope handling(&call);
  OutgoingCall user(called_, CallKind::kAsync);
  EXPECT_EQ(depths_.Of("cart -> user"), 1);
  EXPECT_EQ(depths_.Of("cart blocked"), 0);
}

TEST_F(RpcScope, CallInAnotherThreadBlocksTheRequest) {
  ServedCall call(served_, TraceContext());
  {
    HandlerScope handling(&call);
    std::promise<void> let_go;
    std::promise<void> begun;
    auto done = std::async(std::launch::async, Bind([&] {
                             OutgoingCall user(called_);
                             begun.set_value();
                             let_go.get_future().wait();
                             user.End(Outcome::kOk);
                           }));
    begun.get_future().wait();
    EXPECT_EQ(depths_.Of("cart blocked"), 1);
    let_go.set_value();
    done.wait();
    EXPECT_EQ(depths_.Of("cart blocked"), 0);
  }
  call.End(Outcome::kOk);
  ExpectAllGone();
}

TEST_F(RpcScope, CallThatOutlivesItsRequestUnblocksNothingTwice) {
  std::optional<OutgoingCall> user;
  {
    ServedCall call(served_, TraceContext());
    {
      HandlerScope handling(&call);
      user.emplace(called_);
    }
    EXPECT_EQ(depths_.Of("cart blocked"), 1);
    call.End(Outcome::kOk);
    EXPECT_EQ(depths_.Of("cart blocked"), 0);
  }
  EXPECT_EQ(depths_.Of("cart -> user"), 1);
  user.reset();
  ExpectAllGone();
}

TEST_F(RpcScope, WhatIsThrownEndsAsFailed) {
  const auto handle = [&] {
    ServedCall call(served_, TraceContext());
    HandlerScope handling(&call);
    OutgoingCall user(called_);
    throw std::runtime_error("no such cart");
  };
  EXPECT_THROW(handle(), std::runtime_error);
  ExpectAllGone();
  const std::vector<Span> spans = Spans();
  ASSERT_EQ(spans.size(), 2u);
  for (const Span& span : spans) EXPECT_EQ(span.outcome(), Outcome::kFailed);
  EXPECT_TRUE(spans[1].stamp(ServerStamp::kHandlerEnd).has_value());
}

TEST_F(RpcScope, RequestMovesToAnotherThreadWithItsPlace) {
  ServedCall call(served_, TraceContext());
  ServedCall moved = std::move(call);
  call.End(Outcome::kFailed);  // NOLINT(bugprone-use-after-move): it is nothing now
  EXPECT_EQ(depths_.Of("cart queued"), 1);
  std::thread worker([job = std::move(moved)]() mutable {
    job.Dequeued();
    HandlerScope handling(&job);
    job.End(Outcome::kOk);
  });
  worker.join();
  ExpectAllGone();
  EXPECT_EQ(Spans().size(), 1u);
}

TEST_F(RpcScope, SecondHandlerScopeContinuesTheFirst) {
  ServedCall call(served_, TraceContext());
  { const HandlerScope handling(&call); }
  {
    const HandlerScope handling(&call);
    const OutgoingCall user(called_);
    EXPECT_EQ(depths_.Of("cart blocked"), 1);
  }
  call.End(Outcome::kOk);
  ExpectAllGone();
  EXPECT_EQ(depths_.Enqueued("cart running"), 1u);
}

TEST_F(RpcScope, DefaultHandlesCountNowhere) {
  ServedCall call{ServedRpc(), TraceContext()};
  HandlerScope handling(&call);
  OutgoingCall user{CalledRpc()};
  user.End(Outcome::kOk);
  ExpectAllGone();
  EXPECT_TRUE(Spans().empty());
}

TEST_F(RpcScope, BadNamesAreRefused) {
  EXPECT_TRUE(absl::IsInvalidArgument(ServedRpc::Add(*registry_, *recorder_, "", "m").status()));
  EXPECT_TRUE(
      absl::IsInvalidArgument(CalledRpc::Add(*registry_, *recorder_, "a", "b\n", "m").status()));
}

TEST_F(RpcScope, NothingIsAllocatedAfterTheFirst) {
  const auto one = [&] {
    ServedCall call(served_, TraceContext());
    call.Dequeued();
    HandlerScope handling(&call);
    OutgoingCall user(called_);
    user.End(Outcome::kOk);
    call.End(Outcome::kOk);
  };
  one();
  const Allocations allocations;
  for (int i = 0; i < 50; ++i) one();
  EXPECT_EQ(allocations.count(), 0u);
}

// Far more requests at a time than there are places: some are not seen as blocked, and everything
// is zero in the end all the same.
TEST_F(RpcScope, MoreRequestsThanPlacesStayConsistent) {
  std::vector<std::unique_ptr<ServedCall>> calls;
  std::vector<std::unique_ptr<OutgoingCall>> users;
  for (int i = 0; i < 10000; ++i) {
    calls.push_back(std::make_unique<ServedCall>(served_, TraceContext()));
    const HandlerScope handling(calls.back().get());
    users.push_back(std::make_unique<OutgoingCall>(called_));
  }
  const std::int64_t blocked = depths_.Of("cart blocked");
  EXPECT_GT(blocked, 6000);
  EXPECT_LE(blocked, 8192);
  std::mt19937 random(1);
  while (!calls.empty()) {
    auto& pick = calls[random() % calls.size()];
    std::swap(pick, calls.back());
    calls.pop_back();
    if (users.size() > calls.size() * 9 / 10) users.pop_back();
  }
  users.clear();
  ExpectAllGone();
}

// Threads that begin and end calls of requests that end meanwhile: each enter has one leave.
TEST_F(RpcScope, BlockedStaysExactConcurrency) {
  constexpr int kThreads = 4;
  const int rounds = 4000 / kSlower;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      std::mt19937 random(static_cast<unsigned>(t));
      for (int i = 0; i < rounds; ++i) {
        std::optional<ServedCall> call(std::in_place, served_, TraceContext());
        std::vector<std::future<void>> others;
        {
          const HandlerScope handling(&*call);
          OutgoingCall user(called_);
          if (random() % 64 == 0) {
            others.push_back(std::async(std::launch::async, Bind([this] {
                                          for (int k = 0; k < 20; ++k) {
                                            OutgoingCall late(called_);
                                            late.End(Outcome::kOk);
                                          }
                                        })));
          }
          if (random() % 2 == 0) user.End(Outcome::kOk);
        }
        call.reset();  // others may still be calling
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  ExpectAllGone();
}

}  // namespace
}  // namespace seer
