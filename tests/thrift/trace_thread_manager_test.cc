#include "seer/thrift/trace_thread_manager.h"

#include <gtest/gtest.h>

#include <future>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <thrift/concurrency/Exception.h>
#include <thrift/concurrency/FunctionRunner.h>
#include <thrift/concurrency/ThreadFactory.h>
#include <thrift/server/TNonblockingServer.h>

#include "seer/thrift/node.h"
#include "seer/thrift/trace.h"
#include "tests/thrift/echo_handler.h"
#include "tests/thrift/support.h"
#include "tests/thrift/test_server.h"

namespace seer {
namespace {

using apache::thrift::TException;
using apache::thrift::concurrency::FunctionRunner;
using apache::thrift::concurrency::Runnable;
using apache::thrift::concurrency::ThreadFactory;
using apache::thrift::concurrency::ThreadManager;
using apache::thrift::concurrency::TooManyPendingTasksException;
using apache::thrift::server::T_OVERLOAD_CLOSE_ON_ACCEPT;
using apache::thrift::server::T_OVERLOAD_DRAIN_TASK_QUEUE;
using apache::thrift::server::TNonblockingServer;
using echo_plain::EchoClient;
using echo_plain::EchoProcessor;
using testing_support::ArrivalsOf;
using testing_support::ClientProtocol;
using testing_support::DepthOf;
using testing_support::EchoHandler;
using testing_support::Eventually;
using testing_support::Gate;
using testing_support::SeenSpan;
using testing_support::ServerKind;
using testing_support::ServerParts;
using testing_support::TakeSpansOf;
using testing_support::TestServer;

std::shared_ptr<ThreadManager> Started(const std::string& name, std::size_t workers,
                                       std::size_t max_pending = 0) {
  auto threads = Trace(name, ThreadManager::newSimpleThreadManager(workers, max_pending));
  threads->threadFactory(std::make_shared<ThreadFactory>(false));
  threads->start();
  return threads;
}
std::int64_t Queued(const std::string& name) { return DepthOf(name, Channel::kQueued); }

// A traced service behind a server with a traced task queue.
struct Service {
  Service(const std::string& its_name, ServerKind kind, std::size_t workers,
          std::size_t max_pending = 0)
      : name(its_name), handler(std::make_shared<EchoHandler>()) {
    handler->gate = &gate;
    parts.kind = kind;
    parts.processor = Trace(name, std::make_shared<EchoProcessor>(handler));
    parts.threads = Started(name, workers, max_pending);
    TakeSpansOf(name);
    server = std::make_unique<TestServer>(parts);
  }
  ~Service() {
    gate.Open();
    server->Stop();
  }
  std::unique_ptr<EchoClient> Client() {
    return std::make_unique<EchoClient>(ClientProtocol(parts, server->Connect()));
  }
  std::int64_t queued() const { return Queued(name); }
  std::int64_t running() const { return DepthOf(name, Channel::kRunning); }

  const std::string name;
  Gate gate;
  std::shared_ptr<EchoHandler> handler;
  ServerParts parts;
  std::unique_ptr<TestServer> server;
};

TEST(TraceThreadManager, Case10TwelveSlowCallsOnFourWorkersAreEightQueuedAndFourRunning) {
  Service service("tm-twelve", ServerKind::kNonblockingWithPool, 4);
  std::vector<std::unique_ptr<EchoClient>> clients;
  for (int i = 0; i < 12; ++i) {
    clients.push_back(service.Client());
    clients.back()->send_slow(-1);
  }
  ASSERT_TRUE(Eventually([&] { return service.gate.waiting() == 4; }));
  ASSERT_TRUE(Eventually([&] { return service.queued() == 8; }));
  EXPECT_EQ(service.running(), 4);
  // The other view of the same.
  EXPECT_EQ(service.parts.threads->pendingTaskCount(), 8u);
  std::this_thread::sleep_for(
      std::chrono::milliseconds(20));  // how long eight of them wait, at least
  service.gate.Open();
  for (auto& client : clients) EXPECT_EQ(client->recv_slow(), -1);
  ASSERT_TRUE(Eventually([&] { return service.running() == 0; }));
  EXPECT_EQ(service.queued(), 0);
  EXPECT_EQ(ArrivalsOf(service.name, Channel::kQueued), 12);

  std::vector<SeenSpan> spans;
  ASSERT_TRUE(Eventually([&] {
    for (SeenSpan& seen : TakeSpansOf(service.name)) spans.push_back(std::move(seen));
    return spans.size() == 12;
  }));
  int waited = 0;
  for (const SeenSpan& seen : spans) {
    const std::int64_t received = seen.span.stamp(ServerStamp::kReceived).value();
    const std::int64_t dequeued = seen.span.stamp(ServerStamp::kDequeued).value();
    const std::int64_t start = seen.span.stamp(ServerStamp::kHandlerStart).value();
    EXPECT_LE(received, dequeued);
    EXPECT_LE(dequeued, start);
    waited += dequeued - received > 19'000'000;
  }
  EXPECT_EQ(waited, 8);
}

TEST(TraceThreadManager, Case10OneConnectionIsServedByManyWorkers) {
  Service service("tm-one-connection", ServerKind::kNonblockingWithPool, 4);
  const auto client = service.Client();
  std::string answer;
  for (int i = 0; i < 50; ++i) {
    client->echo(answer, std::to_string(i));
    EXPECT_EQ(answer, std::to_string(i));
  }
  ASSERT_TRUE(Eventually([&] { return service.running() == 0; }));
  EXPECT_EQ(ArrivalsOf(service.name, Channel::kQueued), 50);
  EXPECT_EQ(ArrivalsOf(service.name, Channel::kRunning), 50);
}

TEST(TraceThreadManager, Case11TasksThatExpireLeaveTheQueueAndAreCounted) {
  Service service("tm-expire", ServerKind::kNonblockingWithPool, 1);
  auto& server = dynamic_cast<TNonblockingServer&>(service.server->server());
  auto holder = service.Client();
  holder->send_slow(-1);
  ASSERT_TRUE(Eventually([&] { return service.gate.waiting() == 1; }));
  server.setTaskExpireTime(1);  // of those that come from now on
  std::vector<std::unique_ptr<EchoClient>> clients;
  for (int i = 0; i < 6; ++i) {
    clients.push_back(service.Client());
    clients.back()->send_echo("late");
  }
  ASSERT_TRUE(Eventually([&] { return service.queued() == 6; }));
  std::this_thread::sleep_for(std::chrono::milliseconds(20));  // the expiry's own clock
  service.gate.Open();
  EXPECT_EQ(holder->recv_slow(), -1);
  ASSERT_TRUE(Eventually([&] { return service.queued() == 0; }));
  ASSERT_TRUE(Eventually([&] { return ThriftCountsOf(service.name)->expired == 6; }));
  std::string answer;
  for (auto& client : clients) EXPECT_THROW(client->recv_echo(answer), TException);
  ASSERT_TRUE(Eventually([&] { return service.running() == 0; }));
}

TEST(TraceThreadManager, Case11DrainingTheTaskQueueLeavesNothingCounted) {
  Service service("tm-drain", ServerKind::kNonblockingWithPool, 1);
  auto& server = dynamic_cast<TNonblockingServer&>(service.server->server());
  server.setOverloadAction(T_OVERLOAD_DRAIN_TASK_QUEUE);
  auto holder = service.Client();
  holder->send_slow(-1);
  ASSERT_TRUE(Eventually([&] { return service.gate.waiting() == 1; }));
  std::vector<std::unique_ptr<EchoClient>> clients;
  for (int i = 0; i < 5; ++i) {
    clients.push_back(service.Client());
    clients.back()->send_echo("drained");
  }
  ASSERT_TRUE(Eventually([&] { return service.queued() == 5; }));
  EXPECT_TRUE(server.drainPendingTask());
  EXPECT_EQ(service.queued(), 4);
  server.setMaxActiveProcessors(3);  // new connections find it overloaded, and drain
  for (int i = 0; i < 5; ++i) service.Client();
  service.gate.Open();
  EXPECT_EQ(holder->recv_slow(), -1);
  ASSERT_TRUE(Eventually([&] { return service.queued() == 0 && service.running() == 0; }));
}

TEST(TraceThreadManager, Case11ClosingOnAcceptWhenOverloaded) {
  Service service("tm-close", ServerKind::kNonblockingWithPool, 1);
  auto& server = dynamic_cast<TNonblockingServer&>(service.server->server());
  server.setOverloadAction(T_OVERLOAD_CLOSE_ON_ACCEPT);
  server.setMaxActiveProcessors(1);
  auto holder = service.Client();
  holder->send_slow(-1);
  ASSERT_TRUE(Eventually([&] { return service.gate.waiting() == 1; }));
  auto second = service.Client();
  second->send_echo("two");
  ASSERT_TRUE(Eventually([&] { return service.queued() == 1; }));  // and with that the overload
  for (int i = 0; i < 3; ++i) {
    auto refused = service.Client();
    refused->send_echo("refused");
    std::string answer;
    EXPECT_THROW(refused->recv_echo(answer), TException);
  }
  service.gate.Open();
  EXPECT_EQ(holder->recv_slow(), -1);
  ASSERT_TRUE(Eventually([&] { return service.queued() == 0 && service.running() == 0; }));
}

TEST(TraceThreadManager, Case11APoolAtItsLimitRefusesAndCountsNothing) {
  const std::string name = "tm-full";
  Gate gate;
  const auto threads = Started(name, 1, 2);
  const auto hold = [&] { return FunctionRunner::create([&] { gate.Wait(); }); };
  threads->add(hold());
  ASSERT_TRUE(Eventually([&] { return gate.waiting() == 1; }));
  threads->add(hold());
  threads->add(hold());
  EXPECT_EQ(Queued(name), 2);
  EXPECT_THROW(threads->add(hold(), -1), TooManyPendingTasksException);
  EXPECT_EQ(Queued(name), 2);
  gate.Open();
  threads->stop();
  EXPECT_EQ(Queued(name), 0);
}

TEST(TraceThreadManager, TasksComeBackAsTheyWereGiven) {
  const std::string name = "tm-unwrapped";
  Gate gate;
  const auto threads = Started(name, 1);
  threads->add(FunctionRunner::create([&] { gate.Wait(); }));
  ASSERT_TRUE(Eventually([&] { return gate.waiting() == 1; }));
  const std::shared_ptr<Runnable> first = FunctionRunner::create([] {});
  const std::shared_ptr<Runnable> second = FunctionRunner::create([] {});
  const std::shared_ptr<Runnable> third = FunctionRunner::create([] {});
  threads->add(first);
  threads->add(second);
  threads->add(third);
  EXPECT_EQ(Queued(name), 3);
  threads->remove(second);
  EXPECT_EQ(Queued(name), 2);
  threads->remove(second);  // is not there any more
  EXPECT_EQ(Queued(name), 2);
  EXPECT_EQ(threads->removeNextPending(), first);
  EXPECT_EQ(Queued(name), 1);
  std::vector<std::shared_ptr<Runnable>> expired;
  threads->setExpireCallback([&](std::shared_ptr<Runnable> task) { expired.push_back(task); });
  threads->add(first, 0, 1);
  std::this_thread::sleep_for(std::chrono::milliseconds(10));
  threads->removeExpiredTasks();
  EXPECT_EQ(expired, std::vector<std::shared_ptr<Runnable>>{first});
  EXPECT_EQ(ThriftCountsOf(name)->expired, 1u);
  EXPECT_EQ(Queued(name), 1);
  gate.Open();
  threads->stop();
  EXPECT_EQ(Queued(name), 0);
  EXPECT_EQ(Trace(name, std::shared_ptr<ThreadManager>()), nullptr);
}

TEST(TraceThreadManager, StoppedWithTasksInItsQueueItIsEmpty) {
  const std::string name = "tm-stopped";
  Gate gate;
  auto threads = Started(name, 1);
  threads->add(FunctionRunner::create([&] { gate.Wait(); }));
  ASSERT_TRUE(Eventually([&] { return gate.waiting() == 1; }));
  for (int i = 0; i < 3; ++i) threads->add(FunctionRunner::create([] {}));
  EXPECT_EQ(Queued(name), 3);
  std::thread stopper([&] { threads->stop(); });
  gate.Open();
  stopper.join();
  threads.reset();
  EXPECT_EQ(Queued(name), 0);
}

TEST(TraceThreadManager, Case12WaitingConnectionsOfAThreadPoolAreNoRequests) {
  Service service("tm-pool", ServerKind::kThreadPool, 2);
  // Two idle connections hold both workers; they have asked for something once, because a
  // connection that says nothing is not even accepted (TCP_DEFER_ACCEPT).
  auto first = service.Client();
  auto second = service.Client();
  std::string answer;
  first->echo(answer, "1");
  second->echo(answer, "2");
  std::vector<std::unique_ptr<EchoClient>> waiting;
  for (int i = 0; i < 3; ++i) {
    waiting.push_back(service.Client());
    waiting.back()->send_echo("starved");
  }
  ASSERT_TRUE(Eventually([&] { return DepthOf(service.name, Channel::kAccept) == 3; }));
  EXPECT_EQ(service.queued(), 0);
  // An idle keep-alive connection counts nothing. (Who has the answer may be ahead of the worker
  // that wrote it.)
  EXPECT_TRUE(Eventually([&] { return service.running() == 0; }));
  first.reset();
  second.reset();
  for (auto& client : waiting) {
    client->recv_echo(answer);
    EXPECT_EQ(answer, "starved");
    client.reset();
  }
  ASSERT_TRUE(Eventually([&] { return DepthOf(service.name, Channel::kAccept) == 0; }));
}

TEST(TraceThreadManager, OffItAddsNothing) {
  const std::string name = "tm-off";
  const auto threads = Started(name, 1);
  SetThriftTracing(false);
  std::promise<void> done;
  threads->add(FunctionRunner::create([&] { done.set_value(); }));
  done.get_future().wait();
  SetThriftTracing(true);
  EXPECT_EQ(ArrivalsOf(name, Channel::kQueued), 0);
  threads->stop();
}

// Not under TSan, as ThriftServersStress (servers_test.cc).
TEST(TraceThreadManagerStress, ManyAddAndTakeAway) {
  const std::string name = "tm-concurrency";
  const auto threads = Started(name, 2);
  std::atomic<int> ran{0};
  std::atomic<int> taken{0};
  constexpr int kThreads = 3;
  constexpr int kTasks = 300;
  std::vector<std::thread> adders;
  for (int t = 0; t < kThreads; ++t) {
    adders.emplace_back([&, t] {
      for (int i = 0; i < kTasks; ++i) {
        const std::shared_ptr<Runnable> task = FunctionRunner::create([&] { ran.fetch_add(1); });
        threads->add(task);
        if (t == 0) threads->remove(task);
        if (t == 1 && i % 4 == 0 && threads->removeNextPending() != nullptr) taken.fetch_add(1);
        EXPECT_GE(Queued(name), 0);
      }
    });
  }
  for (std::thread& adder : adders) adder.join();
  ASSERT_TRUE(Eventually([&] { return Queued(name) == 0; }));
  threads->stop();
  EXPECT_LE(ran.load() + taken.load(), kThreads * kTasks);
  EXPECT_GE(ran.load() + taken.load(), (kThreads - 1) * kTasks);
  EXPECT_EQ(ArrivalsOf(name, Channel::kQueued), kThreads * kTasks);
}

}  // namespace
}  // namespace seer
