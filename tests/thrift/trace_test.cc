#include "seer/thrift/trace.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <thrift/TApplicationException.h>
#include <thrift/protocol/TBinaryProtocol.h>
#include <thrift/protocol/TCompactProtocol.h>
#include <thrift/protocol/TJSONProtocol.h>
#include <thrift/protocol/TMultiplexedProtocol.h>
#include <thrift/transport/TBufferTransports.h>

#include "seer/thrift/node.h"
#include "tests/thrift/echo_handler.h"
#include "tests/thrift/in_memory.h"
#include "tests/thrift/support.h"
#include "tests/thrift/traced_service.h"

namespace seer {
namespace {

using apache::thrift::TApplicationException;
using apache::thrift::TException;
using apache::thrift::TMultiplexedProcessor;
using apache::thrift::TProcessor;
using apache::thrift::TProcessorEventHandler;
using apache::thrift::protocol::TBinaryProtocol;
using apache::thrift::protocol::TBinaryProtocolT;
using apache::thrift::protocol::TCompactProtocol;
using apache::thrift::protocol::TJSONProtocol;
using apache::thrift::protocol::TMultiplexedProtocol;
using apache::thrift::protocol::TProtocol;
using apache::thrift::transport::TMemoryBuffer;
using apache::thrift::transport::TTransportException;
using echo_plain::EchoClient;
using echo_plain::EchoProcessor;
using testing_support::ArrivalsOf;
using testing_support::At;
using testing_support::CallOnce;
using testing_support::DepthOf;
using testing_support::EchoHandler;
using testing_support::EchoTemplatesHandler;
using testing_support::InMemory;
using testing_support::SeenSpan;
using testing_support::TakeSpansOf;
using testing_support::Traced;

TEST(Trace, ACallIsRunningAndLeavesASpan) {
  Traced service("trace-call");
  InMemory memory;
  EchoClient client(memory.client());
  service.handler->within = [&] {
    EXPECT_EQ(service.running(), 1);
    EXPECT_EQ(DepthOf(service.name, Channel::kBlocked), 0);
  };
  client.send_echo("hello");
  EXPECT_TRUE(memory.Process(*service.processor));
  std::string answer;
  client.recv_echo(answer);
  EXPECT_EQ(answer, "hello");
  EXPECT_EQ(service.running(), 0);
  EXPECT_EQ(ArrivalsOf(service.name, Channel::kRunning), 1);
  const SeenSpan seen = service.only_span();
  EXPECT_EQ(seen.method, "echo");
  EXPECT_EQ(seen.span.side(), SpanSide::kServer);
  EXPECT_EQ(seen.span.outcome(), Outcome::kOk);
  EXPECT_TRUE(seen.span.trace_id().valid());
  EXPECT_NE(seen.span.span_id(), 0u);
  EXPECT_EQ(seen.span.parent_id(), 0u);
  EXPECT_FALSE(seen.span.stamp(ServerStamp::kDequeued).has_value());
  EXPECT_LE(At(seen, ServerStamp::kReceived), At(seen, ServerStamp::kHandlerStart));
  EXPECT_LE(At(seen, ServerStamp::kHandlerStart), At(seen, ServerStamp::kHandlerEnd));
  EXPECT_LE(At(seen, ServerStamp::kHandlerEnd), At(seen, ServerStamp::kReplySent));
}

// Case 1, in memory: the matrix over servers is in matrix_test.cc.
template <typename Protocol>
void RepliesAreEqual(const std::string& name) {
  Traced service(name);
  EchoProcessor plain(service.handler);
  const auto request = [](EchoClient& client, int which) {
    switch (which) {
      case 0:
        return client.send_echo("text");
      case 1:
        return client.send_declared("declared");
      case 2:
        return client.send_undeclared("undeclared");
      case 3:
        return client.send_own8888("mine");
      case 4:
        return client.send_own3333("text", {{3, 4}});
      case 5:
        return client.send_fire("oneway");
      default:
        return client.send_count(std::vector<echo_plain::Item>(20));
    }
  };
  for (int which = 0; which < 7; ++which) {
    SCOPED_TRACE(which);
    InMemory traced_memory(InMemory::Of<Protocol>{});
    InMemory plain_memory(InMemory::Of<Protocol>{});
    EchoClient to_traced(traced_memory.client());
    EchoClient to_plain(plain_memory.client());
    request(to_traced, which);
    request(to_plain, which);
    EXPECT_TRUE(traced_memory.Process(*service.processor));
    EXPECT_TRUE(plain_memory.Process(plain));
    EXPECT_EQ(traced_memory.ReplyBytes(), plain_memory.ReplyBytes());
    EXPECT_EQ(service.running(), 0);
  }
}
TEST(Trace, Case01RepliesAreByteForByteThoseOfThePlainProcessor) {
  RepliesAreEqual<TBinaryProtocol>("trace-equal-binary");
  RepliesAreEqual<TCompactProtocol>("trace-equal-compact");
  RepliesAreEqual<TJSONProtocol>("trace-equal-json");
}

TEST(Trace, Case03AnUndeclaredExceptionEndsTheRequestAsFailed) {
  Traced service("trace-undeclared");
  InMemory memory;
  EchoClient client(memory.client());
  client.send_undeclared("broken");
  EXPECT_TRUE(memory.Process(*service.processor));
  std::string answer;
  EXPECT_THROW(client.recv_undeclared(answer), TApplicationException);
  EXPECT_EQ(service.running(), 0);
  EXPECT_EQ(service.counts().failed, 1u);
  const SeenSpan seen = service.only_span();
  EXPECT_EQ(seen.span.outcome(), Outcome::kFailed);
  EXPECT_TRUE(seen.span.stamp(ServerStamp::kHandlerEnd).has_value());
  EXPECT_TRUE(seen.span.stamp(ServerStamp::kReplySent).has_value());
}

TEST(Trace, Case04WhatIsNoStdExceptionPassesThroughAndEndsTheRequest) {
  Traced service("trace-int");
  InMemory memory;
  EchoClient client(memory.client());
  client.send_undeclared("int");
  EXPECT_THROW(memory.Process(*service.processor), int);
  EXPECT_EQ(service.running(), 0);
  EXPECT_EQ(service.counts().failed, 1u);
  EXPECT_EQ(service.counts().unhandled, 0u);
  EXPECT_EQ(service.only_span().span.outcome(), Outcome::kFailed);
  EXPECT_FALSE(CurrentContext().valid());
}

TEST(Trace, Case05OnewayCallsEndWithoutAReply) {
  Traced service("trace-oneway");
  InMemory memory;
  EchoClient client(memory.client());
  client.fire("away");
  EXPECT_TRUE(memory.Process(*service.processor));
  EXPECT_EQ(service.counts().oneway, 1u);
  EXPECT_EQ(service.counts().failed, 0u);
  const SeenSpan seen = service.only_span();
  EXPECT_EQ(seen.span.outcome(), Outcome::kOk);
  EXPECT_TRUE(seen.span.stamp(ServerStamp::kHandlerEnd).has_value());
  EXPECT_FALSE(seen.span.stamp(ServerStamp::kReplySent).has_value());
  client.misfire("away");
  EXPECT_TRUE(memory.Process(*service.processor));
  EXPECT_EQ(service.counts().failed, 1u);
  EXPECT_EQ(service.only_span().span.outcome(), Outcome::kFailed);
  EXPECT_EQ(service.running(), 0);
  EXPECT_EQ(memory.ReplyBytes(), "");
}

TEST(Trace, Case06AnUnknownMethodIsUnhandledAndNoLoss) {
  Traced service("trace-unknown");
  InMemory memory;
  memory.client()->writeMessageBegin("nonsense", apache::thrift::protocol::T_CALL, 1);
  memory.client()->writeStructBegin("args");
  memory.client()->writeFieldStop();
  memory.client()->writeStructEnd();
  memory.client()->writeMessageEnd();
  EXPECT_TRUE(memory.Process(*service.processor));
  EXPECT_NE(memory.ReplyBytes(), "");
  EXPECT_EQ(service.counts().unhandled, 1u);
  EXPECT_EQ(service.counts().hooks_lost, 0u);
  EXPECT_EQ(service.running(), 0);
  EXPECT_EQ(ArrivalsOf(service.name, Channel::kRunning), 0);
  EXPECT_TRUE(TakeSpansOf(service.name).empty());
}

TEST(Trace, Case07ArgumentsThatCannotBeReadAreUndecodable) {
  Traced service("trace-undecodable");
  InMemory memory;
  EchoClient client(memory.client());
  client.send_echo("a text that will not be there in full");
  memory.TruncateRequest(10);
  EXPECT_THROW(memory.Process(*service.processor), TTransportException);
  EXPECT_EQ(service.running(), 0);
  EXPECT_EQ(service.counts().undecodable, 1u);
  EXPECT_EQ(service.counts().unhandled, 0u);
  const SeenSpan seen = service.only_span();
  EXPECT_EQ(seen.span.outcome(), Outcome::kUndecodable);
  EXPECT_TRUE(seen.span.trace_id().valid());
  EXPECT_FALSE(seen.span.stamp(ServerStamp::kHandlerStart).has_value());
}

TEST(Trace, TheEndOfAConnectionIsNoRequest) {
  Traced service("trace-end");
  InMemory memory;  // nothing in it
  EXPECT_THROW(memory.Process(*service.processor), TTransportException);
  EXPECT_EQ(service.counts().unhandled, 0u);
  EXPECT_EQ(service.counts().undecodable, 0u);
}

// Fails when the reply is flushed, like a socket whose client has gone.
class BrokenTransport final : public TMemoryBuffer {
 public:
  void flush() override { throw TTransportException(TTransportException::NOT_OPEN, "gone"); }
};

TEST(Trace, Case08AReplyThatCannotBeSentIsTheTransportsFault) {
  Traced service("trace-unanswered");
  InMemory memory;
  EchoClient client(memory.client());
  client.send_echo("x");
  const auto broken = std::make_shared<TBinaryProtocol>(std::make_shared<BrokenTransport>());
  EXPECT_THROW(service.processor->process(memory.server_in(), broken, nullptr),
               TTransportException);
  EXPECT_EQ(service.running(), 0);
  EXPECT_EQ(service.counts().unanswered, 1u);
  EXPECT_EQ(service.only_span().span.outcome(), Outcome::kTransport);
}

// Notes what is called with which context of its own.
class Noting final : public TProcessorEventHandler {
 public:
  std::vector<std::string> calls;

  void* getContext(const char* fn, void*) override {
    calls.push_back(std::string("get ") + fn);
    return &mine_;
  }
  void freeContext(void* ctx, const char*) override { Note("free", ctx); }
  void preRead(void* ctx, const char*) override { Note("preRead", ctx); }
  void postRead(void* ctx, const char*, std::uint32_t) override { Note("postRead", ctx); }
  void preWrite(void* ctx, const char*) override { Note("preWrite", ctx); }
  void postWrite(void* ctx, const char*, std::uint32_t) override { Note("postWrite", ctx); }
  void asyncComplete(void* ctx, const char*) override { Note("asyncComplete", ctx); }
  void handlerError(void* ctx, const char*) override { Note("handlerError", ctx); }

 private:
  void Note(const char* what, void* ctx) {
    calls.push_back(what);
    EXPECT_EQ(ctx, &mine_) << what;
  }
  int mine_ = 0;
};
const std::vector<std::string> kReplyHooks = {"get Echo.echo", "preRead",   "postRead",
                                              "preWrite",      "postWrite", "free"};

TEST(Trace, Case13AHandlerThatWasThereBeforeKeepsItsContext) {
  const auto handler = std::make_shared<EchoHandler>();
  const auto inner = std::make_shared<EchoProcessor>(handler);
  const auto noting = std::make_shared<Noting>();
  inner->setEventHandler(noting);
  const auto processor = Trace("trace-before", inner);
  CallOnce(*processor);
  EXPECT_EQ(noting->calls, kReplyHooks);
  EXPECT_EQ(TakeSpansOf("trace-before").size(), 1u);
  InMemory memory;
  EchoClient client(memory.client());
  noting->calls.clear();
  client.send_undeclared("x");
  memory.Process(*processor);
  client.send_fire("x");
  memory.Process(*processor);
  EXPECT_EQ(noting->calls, (std::vector<std::string>{
                               "get Echo.undeclared", "preRead", "postRead", "handlerError", "free",
                               "get Echo.fire", "preRead", "postRead", "asyncComplete", "free"}));
}

TEST(Trace, Case13AHandlerOnTheWrapperIsCalledToo) {
  Traced service("trace-wrapper");
  const auto noting = std::make_shared<Noting>();
  service.processor->setEventHandler(noting);
  CallOnce(*service.processor);
  EXPECT_EQ(noting->calls, kReplyHooks);
  EXPECT_EQ(TakeSpansOf(service.name).size(), 1u);
  // Also while tracing is off: it is the host's.
  SetThriftTracing(false);
  CallOnce(*service.processor);
  SetThriftTracing(true);
  EXPECT_EQ(noting->calls.size(), 2 * kReplyHooks.size());
  EXPECT_TRUE(TakeSpansOf(service.name).empty());
}

TEST(Trace, Case13AHandlerSetLaterOnTheInnerProcessorIsALossThatIsCounted) {
  Traced service("trace-lost");
  const auto noting = std::make_shared<Noting>();
  service.inner->setEventHandler(noting);
  CallOnce(*service.processor);
  CallOnce(*service.processor);
  EXPECT_EQ(noting->calls.size(), 2 * kReplyHooks.size());
  EXPECT_EQ(service.counts().hooks_lost, 2u);
  EXPECT_EQ(service.counts().unhandled, 0u);
  EXPECT_EQ(service.running(), 0);
}

TEST(Trace, OneProcessorMayBeTracedForTwoServers) {
  Traced one("trace-twice");
  const auto again = Trace("trace-twice", one.inner);
  const auto other = Trace("trace-other-name", one.inner);
  CallOnce(*one.processor);
  CallOnce(*again);
  EXPECT_EQ(TakeSpansOf("trace-twice").size(), 2u);
  CallOnce(*other);
  EXPECT_EQ(TakeSpansOf("trace-other-name").size(), 1u);
  EXPECT_TRUE(TakeSpansOf("trace-twice").empty());
}

TEST(Trace, TracedTwiceItCountsInBoth) {
  Traced inside("trace-inside");
  const auto outside = Trace("trace-outside", inside.processor);
  CallOnce(*outside);
  EXPECT_EQ(TakeSpansOf("trace-inside").size(), 1u);
  EXPECT_EQ(TakeSpansOf("trace-outside").size(), 1u);
  EXPECT_EQ(DepthOf("trace-inside", Channel::kRunning), 0);
  EXPECT_EQ(DepthOf("trace-outside", Channel::kRunning), 0);
}

TEST(Trace, OffItIsThePlainProcessor) {
  Traced service("trace-off");
  SetThriftTracing(false);
  service.handler->within = [&] { EXPECT_FALSE(CurrentContext().valid()); };
  CallOnce(*service.processor);
  SetThriftTracing(true);
  EXPECT_TRUE(TakeSpansOf(service.name).empty());
  EXPECT_EQ(ArrivalsOf(service.name, Channel::kRunning), 0);
}

TEST(Trace, TurnedOffInTheMiddleOfACallItIsCountedToItsEnd) {
  Traced service("trace-off-within");
  service.handler->within = [] { SetThriftTracing(false); };
  CallOnce(*service.processor);
  SetThriftTracing(true);
  EXPECT_EQ(service.running(), 0);
  EXPECT_EQ(TakeSpansOf(service.name).size(), 1u);
}

// ---- Names.

TEST(Trace, Case14InAMultiplexerEachServiceHasItsRegisteredName) {
  const auto handler = std::make_shared<EchoHandler>();
  TMultiplexedProcessor mux;
  RegisterTraced(mux, "trace-orders-v2", std::make_shared<EchoProcessor>(handler));
  RegisterTraced(mux, "trace-users", std::make_shared<EchoProcessor>(handler));
  RegisterTracedDefault(mux, "trace-default", std::make_shared<EchoProcessor>(handler));
  InMemory memory;
  std::string answer;
  for (const char* name : {"trace-orders-v2", "trace-users"}) {
    EchoClient client(std::make_shared<TMultiplexedProtocol>(memory.client(), name));
    client.send_echo(name);
    EXPECT_TRUE(memory.Process(mux));
    client.recv_echo(answer);
    EXPECT_EQ(answer, name);
    const std::vector<SeenSpan> spans = TakeSpansOf(name);
    ASSERT_EQ(spans.size(), 1u);
    EXPECT_EQ(spans[0].method, "echo");
  }
  CallOnce(mux);
  EXPECT_EQ(TakeSpansOf("trace-default").size(), 1u);
  EXPECT_EQ(DepthOf("trace-default", Channel::kRunning), 0);
}

TEST(Trace, Case14AMultiplexerThatIsTracedItselfCountsWhatItTurnsAway) {
  const auto handler = std::make_shared<EchoHandler>();
  const auto mux = std::make_shared<TMultiplexedProcessor>();
  RegisterTraced(*mux, "trace-mux-known", std::make_shared<EchoProcessor>(handler));
  mux->registerProcessor("trace-mux-plain", std::make_shared<EchoProcessor>(handler));
  const auto processor = Trace("trace-mux", mux);
  InMemory memory;
  const auto call = [&](const char* name) {
    EchoClient client(std::make_shared<TMultiplexedProtocol>(memory.client(), name));
    client.send_echo(name);
    memory.Process(*processor);
    std::string answer;
    client.recv_echo(answer);
    EXPECT_EQ(answer, name);
  };
  call("trace-mux-known");
  EXPECT_EQ(ThriftCountsOf("trace-mux")->hooks_lost, 0u);
  EXPECT_EQ(ThriftCountsOf("trace-mux")->unhandled, 0u);
  EXPECT_EQ(TakeSpansOf("trace-mux-known").size(), 1u);
  call("trace-mux-plain");
  EXPECT_EQ(ThriftCountsOf("trace-mux")->hooks_lost, 1u);
  EXPECT_THROW(call("trace-mux-unknown"), TException);
  EXPECT_EQ(ThriftCountsOf("trace-mux")->unhandled, 1u);
  EXPECT_EQ(DepthOf("trace-mux", Channel::kRunning), 0);
}

TEST(Trace, Case15InheritedMethodsBelongToTheServiceThatIsServed) {
  Traced service("trace-inherited");
  InMemory memory;
  EchoClient client(memory.client());
  client.send_ping();
  EXPECT_TRUE(memory.Process(*service.processor));
  const SeenSpan seen = service.only_span();
  EXPECT_EQ(seen.service, "trace-inherited");
  EXPECT_EQ(seen.method, "ping");
}

// Written by hand: names that are not literals, and several requests in one message.
class HandWritten final : public TProcessor {
 public:
  std::vector<std::string> names;
  bool process(std::shared_ptr<TProtocol>, std::shared_ptr<TProtocol>, void* connection) override {
    for (const std::string& name : names) {
      const std::string copy = name;
      void* const ctx = eventHandler_->getContext(copy.c_str(), connection);
      eventHandler_->preRead(ctx, copy.c_str());
      eventHandler_->postRead(ctx, copy.c_str(), 0);
      eventHandler_->preWrite(ctx, copy.c_str());
      eventHandler_->postWrite(ctx, copy.c_str(), 0);
      eventHandler_->freeContext(ctx, copy.c_str());
    }
    return true;
  }
};

TEST(Trace, Case15NamesThatAreNoLiteralsAndManyRequestsInOneMessage) {
  const auto inner = std::make_shared<HandWritten>();
  inner->names = {"one", "Other.two", "three", "one"};
  const auto processor = Trace("trace-by-hand", inner);
  InMemory memory;
  EXPECT_TRUE(memory.Process(*processor));
  std::vector<std::string> methods;
  for (const SeenSpan& seen : TakeSpansOf("trace-by-hand")) methods.push_back(seen.method);
  EXPECT_EQ(methods, (std::vector<std::string>{"one", "two", "three", "one"}));
  EXPECT_EQ(DepthOf("trace-by-hand", Channel::kRunning), 0);

  inner->names.clear();
  for (int i = 0; i < 1000; ++i) inner->names.push_back("endless" + std::to_string(i));
  EXPECT_TRUE(memory.Process(*processor));  // names without end become one
  std::size_t other = 0;
  for (const SeenSpan& seen : TakeSpansOf("trace-by-hand")) other += seen.method == "(other)";
  EXPECT_GE(other, 700u);
}

TEST(Trace, Case16FieldsOfTheUsersOwnAreDeliveredUntouched) {
  Traced service("trace-own-fields");
  InMemory memory;
  EchoClient client(memory.client());
  std::string answer;
  client.send_own8888("mine");
  EXPECT_TRUE(memory.Process(*service.processor));
  client.recv_own8888(answer);
  EXPECT_EQ(answer, "mine");
  client.send_own3333("t", {{1, 2}, {3, 4}});
  EXPECT_TRUE(memory.Process(*service.processor));
  client.recv_own3333(answer);
  EXPECT_EQ(answer, "t 1:2 3:4");
}

// ---- cpp:templates.

// Notes whether the generated code found its own protocol.
TEST(Trace, Case24TemplatesKeepTheFastPath) {
  using Fast = TBinaryProtocolT<TMemoryBuffer>;
  using Client = echo_templates::EchoClientT<Fast>;
  const auto handler = std::make_shared<EchoTemplatesHandler>();
  class Watching final : public echo_templates::EchoProcessorT<Fast> {
   public:
    using EchoProcessorT::EchoProcessorT;
    int fast = 0;
    int slow = 0;

   protected:
    bool dispatchCall(TProtocol* in, TProtocol* out, const std::string& name, std::int32_t seqid,
                      void* context) override {
      ++slow;
      return EchoProcessorT::dispatchCall(in, out, name, seqid, context);
    }
    bool dispatchCallTemplated(Fast* in, Fast* out, const std::string& name, std::int32_t seqid,
                               void* context) override {
      ++fast;
      return EchoProcessorT::dispatchCallTemplated(in, out, name, seqid, context);
    }
  };
  const auto inner = std::make_shared<Watching>(handler);
  const auto processor = Trace("trace-templates", inner);
  const auto request = std::make_shared<TMemoryBuffer>();
  const auto reply = std::make_shared<TMemoryBuffer>();
  Client client(std::make_shared<Fast>(reply), std::make_shared<Fast>(request));
  client.send_echo("x");
  EXPECT_TRUE(
      processor->process(std::make_shared<Fast>(request), std::make_shared<Fast>(reply), nullptr));
  std::string answer;
  client.recv_echo(answer);
  EXPECT_EQ(answer, "x");
  EXPECT_EQ(inner->fast, 1);
  EXPECT_EQ(inner->slow, 0);
  EXPECT_EQ(TakeSpansOf("trace-templates").size(), 1u);
}

// ---- Factories.

TEST(Trace, AFactoryThatGivesOneProcessorToAllDoesNotPileUpHooks) {
  class Same final : public apache::thrift::TProcessorFactory {
   public:
    explicit Same(std::shared_ptr<TProcessor> processor) : processor_(std::move(processor)) {}
    std::shared_ptr<TProcessor> getProcessor(const apache::thrift::TConnectionInfo&) override {
      return processor_;
    }
    std::shared_ptr<TProcessor> processor_;
  };
  const auto inner = std::make_shared<EchoProcessor>(std::make_shared<EchoHandler>());
  const std::shared_ptr<apache::thrift::TProcessorFactory> factory =
      Trace("trace-factory", std::make_shared<Same>(inner));
  const apache::thrift::TConnectionInfo connection;
  const auto first = factory->getProcessor(connection);
  const auto hooks = inner->getEventHandler();
  const auto second = factory->getProcessor(connection);
  EXPECT_EQ(inner->getEventHandler(), hooks);
  CallOnce(*first);
  CallOnce(*second);
  EXPECT_EQ(TakeSpansOf("trace-factory").size(), 2u);
  EXPECT_EQ(Trace("trace-factory", std::shared_ptr<TProcessor>()), nullptr);
  EXPECT_EQ(Trace("trace-factory", std::shared_ptr<apache::thrift::TProcessorFactory>()), nullptr);
}

TEST(TraceConcurrency, ManyThreadsCountExactly) {
  Traced service("trace-threads");
  constexpr int kThreads = 4;
  constexpr int kCalls = 200;
  std::atomic<bool> done{false};
  std::thread reader([&] {
    while (!done.load()) {
      const std::int64_t depth = service.running();
      EXPECT_GE(depth, 0);
      EXPECT_LE(depth, kThreads);
    }
  });
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < kCalls; ++i) CallOnce(*service.processor);
    });
  }
  for (std::thread& thread : threads) thread.join();
  done.store(true);
  reader.join();
  EXPECT_EQ(service.running(), 0);
  EXPECT_EQ(ArrivalsOf(service.name, Channel::kRunning), kThreads * kCalls);
  const std::vector<SeenSpan> spans = TakeSpansOf(service.name);
  EXPECT_EQ(spans.size(), static_cast<std::size_t>(kThreads * kCalls));
  for (const SeenSpan& seen : spans) EXPECT_TRUE(seen.span.StampsAreOrdered());
}

}  // namespace
}  // namespace seer
