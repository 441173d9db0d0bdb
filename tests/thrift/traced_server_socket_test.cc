#include "seer/thrift/traced_server_socket.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <thrift/TApplicationException.h>

#include "seer/thrift/node.h"
#include "seer/thrift/trace.h"
#include "seer/thrift/trace_thread_manager.h"
#include "tests/thrift/echo_handler.h"
#include "tests/thrift/in_memory.h"
#include "tests/thrift/support.h"
#include "tests/thrift/test_server.h"

namespace seer {
namespace {

using apache::thrift::concurrency::ThreadManager;
using apache::thrift::transport::TTransportException;
using echo_plain::EchoClient;
using echo_plain::EchoProcessor;
using testing_support::ClientProtocol;
using testing_support::DepthOf;
using testing_support::EchoHandler;
using testing_support::Eventually;
using testing_support::InMemory;
using testing_support::NameOf;
using testing_support::SeenSpan;
using testing_support::ServerKind;
using testing_support::ServerParts;
using testing_support::TakeSpansOf;
using testing_support::TestServer;

constexpr std::int64_t kMs = 1'000'000;

// A traced service whose sockets have the kernel's stamps.
struct Service {
  Service(const std::string& its_name, ServerKind kind)
      : name(its_name), handler(std::make_shared<EchoHandler>()) {
    parts.kind = kind;
    parts.processor = Trace(name, std::make_shared<EchoProcessor>(handler));
    parts.socket = std::make_shared<TracedServerSocket>("127.0.0.1", 0);
    parts.nonblocking_socket = std::make_shared<TracedNonblockingServerSocket>("127.0.0.1", 0);
    if (kind == ServerKind::kNonblockingWithPool) {
      parts.threads = Trace(name, ThreadManager::newSimpleThreadManager(1));
    }
    TakeSpansOf(name);
    server = std::make_unique<TestServer>(parts);
  }
  EchoClient Client() { return EchoClient(ClientProtocol(parts, server->Connect())); }
  // The kernel begins to stamp only some time after the first socket has asked it to.
  void AwaitStamps() {
    EchoClient client = Client();
    std::string answer;
    EXPECT_TRUE(Eventually([&] {
      client.ping(answer);
      return Spans(1, "ping")[0].span.stamp(ServerStamp::kDequeued).has_value();
    }));
  }
  std::vector<SeenSpan> Spans(std::size_t count, const char* method) {
    std::vector<SeenSpan> spans;
    EXPECT_TRUE(Eventually([&] {
      for (SeenSpan& seen : TakeSpansOf(name, method)) spans.push_back(std::move(seen));
      return spans.size() >= count;
    }));
    EXPECT_EQ(spans.size(), count);
    spans.resize(count);
    return spans;
  }

  const std::string name;
  std::shared_ptr<EchoHandler> handler;
  ServerParts parts;
  std::unique_ptr<TestServer> server;
};

std::int64_t At(const SeenSpan& seen, ServerStamp stamp) { return seen.span.stamp(stamp).value(); }
std::int64_t Wait(const SeenSpan& seen) {
  return At(seen, ServerStamp::kDequeued) - At(seen, ServerStamp::kReceived);
}

constexpr ServerKind kServersWithAWait[] = {ServerKind::kSimple, ServerKind::kThreaded,
                                            ServerKind::kThreadPool, ServerKind::kNonblocking,
                                            ServerKind::kNonblockingWithPool};

TEST(TracedServerSocket, ARequestBehindACallOf50msShowsThemAsItsWait) {
  for (const ServerKind kind : kServersWithAWait) {
    SCOPED_TRACE(NameOf(kind));
    Service service(std::string("socket-wait-") + NameOf(kind), kind);
    service.AwaitStamps();
    EchoClient client = service.Client();
    client.send_slow(50);  // and one more on the same connection: pipelined
    ASSERT_TRUE(Eventually([&] { return service.handler->slow_calls.load() == 1; }));
    const auto sent = std::chrono::system_clock::now().time_since_epoch();
    client.send_echo("behind");
    EXPECT_EQ(client.recv_slow(), 50);
    std::string answer;
    client.recv_echo(answer);
    const auto answered = std::chrono::system_clock::now().time_since_epoch();
    const SeenSpan slow = service.Spans(1, "slow")[0];
    const SeenSpan echo = service.Spans(1, "echo")[0];
    EXPECT_TRUE(echo.span.StampsAreOrdered());
    // The request behind waited as long as the handler before it ran on, not longer than the client
    // did. Where the clocks that tell of it differ, they do by less than a millisecond.
    const std::int64_t least = At(slow, ServerStamp::kHandlerEnd) -
                               std::chrono::duration_cast<std::chrono::nanoseconds>(sent).count() -
                               5 * kMs;
    EXPECT_GE(Wait(echo), least);
    EXPECT_GT(Wait(echo), 20 * kMs);
    EXPECT_LE(Wait(echo),
              std::chrono::duration_cast<std::chrono::nanoseconds>(answered - sent).count() + kMs);
    // Network and computation are told apart: the slow call itself hardly waited.
    EXPECT_LT(Wait(slow), 45 * kMs);
    EXPECT_GE(At(slow, ServerStamp::kHandlerEnd) - At(slow, ServerStamp::kHandlerStart), 49 * kMs);
  }
}

TEST(TracedServerSocket, OnAnotherConnectionOfTheSameThreadToo) {
  Service service("socket-wait-other", ServerKind::kNonblocking);
  service.AwaitStamps();
  EchoClient slow = service.Client();
  EchoClient other = service.Client();
  std::string answer;
  other.echo(answer, "the connection is there");
  service.Spans(1, "echo");
  slow.send_slow(50);
  ASSERT_TRUE(Eventually([&] { return service.handler->slow_calls.load() == 1; }));
  other.echo(answer, "behind");
  EXPECT_EQ(slow.recv_slow(), 50);
  EXPECT_GT(Wait(service.Spans(1, "echo")[0]), 20 * kMs);
}

TEST(TracedServerSocket, Case09AnIdleConnectionIsNoQueueAndCountsNothing) {
  for (const ServerKind kind : kServersWithAWait) {
    SCOPED_TRACE(NameOf(kind));
    Service service(std::string("socket-idle-") + NameOf(kind), kind);
    EchoClient client = service.Client();
    std::string answer;
    client.echo(answer, "1");
    ASSERT_TRUE(Eventually([&] { return DepthOf(service.name, Channel::kRunning) == 0; }));
    std::this_thread::sleep_for(std::chrono::milliseconds(150));  // the gap itself
    EXPECT_EQ(DepthOf(service.name, Channel::kRunning), 0);
    client.echo(answer, "2");
    for (const SeenSpan& seen : service.Spans(2, "echo")) {
      const auto dequeued = seen.span.stamp(ServerStamp::kDequeued);
      if (dequeued.has_value()) {
        EXPECT_LT(Wait(seen), 100 * kMs);
      }
      EXPECT_LT(At(seen, ServerStamp::kReplySent) - At(seen, ServerStamp::kReceived), 100 * kMs);
    }
  }
}

TEST(TracedServerSocket, WhatIsProcessedWithoutASocketHasNoneOfItsStamps) {
  Service service("socket-reentrant", ServerKind::kThreaded);
  const auto inner_handler = std::make_shared<EchoHandler>();
  const auto inner =
      Trace("socket-reentrant-inner", std::make_shared<EchoProcessor>(inner_handler));
  const auto call_inner = [&] {
    InMemory memory;
    EchoClient(memory.client()).send_ping();
    EXPECT_TRUE(memory.Process(*inner));
  };
  service.handler->within = call_inner;  // on the thread of the connection
  EchoClient client = service.Client();
  std::string answer;
  client.echo(answer, "x");
  client.echo(answer, "x");
  service.Spans(2, "echo");
  call_inner();
  const std::vector<SeenSpan> spans = TakeSpansOf("socket-reentrant-inner");
  ASSERT_EQ(spans.size(), 3u);
  for (const SeenSpan& seen : spans) {
    EXPECT_FALSE(seen.span.stamp(ServerStamp::kDequeued).has_value());
  }
}

TEST(TracedServerSocket, StopsAndTimesOutAsThriftsDo) {
  ServerParts parts;
  parts.kind = ServerKind::kThreaded;
  const auto socket = std::make_shared<TracedServerSocket>("127.0.0.1", 0);
  parts.socket = socket;
  parts.processor =
      Trace("socket-stop", std::make_shared<EchoProcessor>(std::make_shared<EchoHandler>()));
  auto server = std::make_unique<TestServer>(parts);
  EchoClient client(ClientProtocol(parts, server->Connect()));
  std::string answer;
  client.echo(answer, "x");
  server->Stop();  // returns although the connection is idle in a read
  EXPECT_THROW(client.echo(answer, "x"), apache::thrift::TException);

  const auto impatient = std::make_shared<TracedServerSocket>("127.0.0.1", 0);
  impatient->setRecvTimeout(20);
  parts.socket = impatient;
  server = std::make_unique<TestServer>(parts);
  EchoClient idle(ClientProtocol(parts, server->Connect()));
  idle.echo(answer, "x");
  // The server gives up on the connection, and the client finds it closed.
  EXPECT_TRUE(Eventually([&] {
    try {
      idle.echo(answer, "x");
      std::this_thread::sleep_for(std::chrono::milliseconds(30));
      return false;
    } catch (const apache::thrift::TException&) {
      return true;
    }
  }));
}

TEST(TracedServerSocket, AClientThatIsGoneIsTheEndOfTheStream) {
  Service service("socket-gone", ServerKind::kThreaded);
  {
    EchoClient client = service.Client();
    client.send_echo("and away");
  }
  const SeenSpan seen = service.Spans(1, "echo")[0];
  EXPECT_TRUE(seen.span.outcome() == Outcome::kOk || seen.span.outcome() == Outcome::kTransport);
  EXPECT_TRUE(Eventually([&] { return DepthOf(service.name, Channel::kRunning) == 0; }));
  EXPECT_EQ(ThriftCountsOf(service.name)->unhandled, 0u);
}

}  // namespace
}  // namespace seer
