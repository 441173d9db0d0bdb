#include "seer/thrift/make_traced.h"

#include <gtest/gtest.h>
#include <thrift/TApplicationException.h>
#include <thrift/protocol/TBinaryProtocol.h>
#include <thrift/protocol/TCompactProtocol.h>
#include <thrift/protocol/TJSONProtocol.h>
#include <thrift/protocol/TMultiplexedProtocol.h>
#include <thrift/transport/TSocket.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "plain/Echo.h"
#include "seer/thrift/node.h"
#include "seer/thrift/trace.h"
#include "seer/thrift/trace_client.h"
#include "tests/thrift/echo_handler.h"
#include "tests/thrift/support.h"
#include "tests/thrift/test_server.h"
#include "tests/thrift/wire.h"

namespace seer {
namespace {

namespace thrift = apache::thrift;
using testing_support::EchoHandler;
using testing_support::EdgeCalls;
using testing_support::EdgeDepth;
using testing_support::Eventually;
using testing_support::SeenSpan;
using testing_support::TakeSpansOf;
using testing_support::Wire;
using thrift::protocol::TBinaryProtocol;
using thrift::protocol::TCompactProtocol;
using thrift::protocol::TJSONProtocol;
using thrift::protocol::TProtocol;
using thrift::transport::TTransport;
using thrift::transport::TTransportException;

constexpr char kCaller[] = "client-test";

enum class How { kMakeTraced, kTraceClient };
template <typename Protocol>
std::shared_ptr<TProtocol> TracedProtocol(How how, const std::string& callee,
                                          std::shared_ptr<TTransport> transport) {
  if (how == How::kMakeTraced) return MakeTraced<Protocol>(callee, transport);
  return TraceClient(callee, std::make_shared<Protocol>(transport));
}

// Each way to trace a client, against a wire that the test holds in its hands.
class TracedClient : public testing::TestWithParam<How> {
 protected:
  TracedClient() {
    SetThriftCaller(kCaller);
    TakeSpansOf(kCaller);
    const testing::TestInfo& test = *testing::UnitTest::GetInstance()->current_test_info();
    callee_ = std::string(test.name()).substr(0, 63);
    for (char& c : callee_) c = c == '/' ? '-' : c;
    client_ = std::make_unique<echo_plain::EchoClient>(
        TracedProtocol<TBinaryProtocol>(GetParam(), callee_, wire_));
  }

  std::int64_t Depth() { return EdgeDepth(kCaller, callee_); }
  std::int64_t Calls() { return EdgeCalls(kCaller, callee_); }
  std::vector<Span> Spans() {
    std::vector<Span> spans;
    for (const SeenSpan& seen : TakeSpansOf(kCaller)) {
      EXPECT_EQ(seen.callee, callee_);
      spans.push_back(seen.span);
    }
    return spans;
  }
  // Lets a plain server answer what has been sent.
  void Answer(int calls = 1) {
    for (int i = 0; i < calls; ++i) {
      processor_.process(std::make_shared<TBinaryProtocol>(wire_->sent),
                         std::make_shared<TBinaryProtocol>(wire_->replies), nullptr);
    }
  }

  const std::shared_ptr<Wire> wire_ = std::make_shared<Wire>();
  std::string callee_;
  std::unique_ptr<echo_plain::EchoClient> client_;
  const std::shared_ptr<EchoHandler> handler_ = std::make_shared<EchoHandler>();
  echo_plain::EchoProcessor processor_{handler_};
};
INSTANTIATE_TEST_SUITE_P(All, TracedClient, testing::Values(How::kMakeTraced, How::kTraceClient),
                         [](const testing::TestParamInfo<How>& how) {
                           return how.param == How::kMakeTraced ? "MakeTraced" : "TraceClient";
                         });

TEST_P(TracedClient, IsOpenFromTheMessagesEndToTheReplysBegin) {
  std::int64_t depth_in_flush = -1;
  wire_->on_flush = [&] { depth_in_flush = Depth(); };
  client_->send_echo("hello");
  EXPECT_EQ(depth_in_flush, 1);
  EXPECT_EQ(Depth(), 1);
  Answer();
  std::string result;
  client_->recv_echo(result);
  EXPECT_EQ(result, "hello");
  EXPECT_EQ(Depth(), 0);
  EXPECT_EQ(Calls(), 1);

  const std::vector<Span> spans = Spans();
  ASSERT_EQ(spans.size(), 1u);
  EXPECT_EQ(spans[0].side(), SpanSide::kClient);
  EXPECT_EQ(spans[0].outcome(), Outcome::kOk);
  EXPECT_TRUE(spans[0].StampsAreOrdered());
  for (const ClientStamp stamp : {ClientStamp::kCallStart, ClientStamp::kRequestSent,
                                  ClientStamp::kFirstByte, ClientStamp::kCallEnd}) {
    EXPECT_TRUE(spans[0].stamp(stamp).has_value());
  }
}

TEST_P(TracedClient, OutcomesAreTold) {
  wire_->on_flush = [&] { Answer(); };
  std::string result;
  EXPECT_THROW(client_->declared(result, "why"), echo_plain::Declared);
  EXPECT_THROW(client_->undeclared(result, "why"), thrift::TApplicationException);
  const std::vector<Span> spans = Spans();
  ASSERT_EQ(spans.size(), 2u);
  EXPECT_EQ(spans[0].outcome(), Outcome::kOk);
  EXPECT_EQ(spans[1].outcome(), Outcome::kFailed);
  EXPECT_EQ(Depth(), 0);
}

TEST_P(TracedClient, OnewayIsOpenWhileItIsFlushed) {
  std::int64_t depth_in_flush = -1;
  wire_->on_flush = [&] { depth_in_flush = Depth(); };
  client_->fire("hello");
  EXPECT_EQ(depth_in_flush, 1);
  EXPECT_EQ(Depth(), 0);
  const std::vector<Span> spans = Spans();
  ASSERT_EQ(spans.size(), 1u);
  EXPECT_EQ(spans[0].outcome(), Outcome::kOk);
  EXPECT_TRUE(spans[0].stamp(ClientStamp::kRequestSent).has_value());
  EXPECT_FALSE(spans[0].stamp(ClientStamp::kFirstByte).has_value());
}

// Acceptance 20.
TEST_P(TracedClient, ATimeoutEndsTheCallAtOnce) {
  wire_->when_empty = TTransportException::TIMED_OUT;
  std::string result;
  EXPECT_THROW(client_->echo(result, "hello"), TTransportException);
  EXPECT_EQ(Depth(), 0);
  EXPECT_EQ(Calls(), 1);
  const std::vector<Span> spans = Spans();
  ASSERT_EQ(spans.size(), 1u);
  EXPECT_EQ(spans[0].outcome(), Outcome::kTimedOut);

  // The reply that comes too late belongs to nobody; the connection works on.
  Answer();
  client_->recv_echo(result);
  EXPECT_EQ(result, "hello");
  EXPECT_EQ(Depth(), 0);
  EXPECT_TRUE(Spans().empty());
}

TEST_P(TracedClient, AFlushThatFailsEndsTheCallAtOnce) {
  wire_->on_flush = [] { throw TTransportException(TTransportException::NOT_OPEN, "reset"); };
  std::string result;
  EXPECT_THROW(client_->echo(result, "hello"), TTransportException);
  EXPECT_EQ(Depth(), 0);
  EXPECT_THROW(client_->fire("hello"), TTransportException);
  EXPECT_EQ(Depth(), 0);
  wire_->on_flush = [] { throw TTransportException(TTransportException::TIMED_OUT, "full"); };
  EXPECT_THROW(client_->echo(result, "hello"), TTransportException);
  EXPECT_EQ(Depth(), 0);
  const std::vector<Span> spans = Spans();
  ASSERT_EQ(spans.size(), 3u);
  EXPECT_EQ(spans[0].outcome(), Outcome::kTransport);
  EXPECT_EQ(spans[1].outcome(), Outcome::kTransport);
  EXPECT_EQ(spans[2].outcome(), Outcome::kTimedOut);
}

TEST_P(TracedClient, ABrokenConnectionEndsTheCallAtOnce) {
  std::string result;
  EXPECT_THROW(client_->echo(result, "hello"), TTransportException);
  EXPECT_EQ(Depth(), 0);
  const std::vector<Span> spans = Spans();
  ASSERT_EQ(spans.size(), 1u);
  EXPECT_EQ(spans[0].outcome(), Outcome::kTransport);
}

TEST_P(TracedClient, ArgumentsThatCannotBeWrittenAreNeverOpen) {
  wire_->on_write = [this] {
    if (wire_->sent->available_read() > 98) {
      throw TTransportException(TTransportException::NOT_OPEN, "reset");
    }
  };
  std::string result;
  EXPECT_THROW(client_->echo(result, "hello"), TTransportException);
  EXPECT_EQ(Depth(), 0);
  EXPECT_EQ(Calls(), 0);
  wire_->on_write = nullptr;
  wire_->TakeSent();
  wire_->on_flush = [&] { Answer(); };
  client_->echo(result, "hello");
  EXPECT_EQ(result, "hello");
  const std::vector<Span> spans = Spans();  // the one that broke off is told by the next
  ASSERT_EQ(spans.size(), 2u);
  EXPECT_EQ(spans[0].outcome(), Outcome::kTransport);
  EXPECT_EQ(spans[1].outcome(), Outcome::kOk);
}

TEST_P(TracedClient, AResultThatBreaksOffLeavesNothingOpen) {
  client_->send_echo("hello");
  Answer();
  std::string reply = wire_->replies->getBufferAsString();
  reply.resize(reply.size() - 3);
  wire_->replies->resetBuffer();
  wire_->replies->write(reinterpret_cast<const std::uint8_t*>(reply.data()),
                        static_cast<std::uint32_t>(reply.size()));
  std::string result;
  EXPECT_THROW(client_->recv_echo(result), TTransportException);
  EXPECT_EQ(Depth(), 0);
  client_.reset();
  const std::vector<Span> spans = Spans();
  ASSERT_EQ(spans.size(), 1u);
  EXPECT_EQ(spans[0].outcome(), Outcome::kUndecodable);
}

TEST_P(TracedClient, CloseReconnectAndDestructionEndCallsAtOnce) {
  client_->send_echo("one");
  EXPECT_EQ(Depth(), 1);
  client_->getOutputProtocol()->getTransport()->close();
  EXPECT_EQ(Depth(), 0);
  client_->send_echo("two");
  EXPECT_EQ(Depth(), 1);
  client_->getOutputProtocol()->getTransport()->open();
  EXPECT_EQ(Depth(), 0);
  client_->send_echo("three");
  client_->send_echo("four");
  EXPECT_EQ(Depth(), 2);
  client_.reset();
  EXPECT_EQ(Depth(), 0);
  const std::vector<Span> spans = Spans();
  ASSERT_EQ(spans.size(), 4u);
  for (const Span& span : spans) EXPECT_EQ(span.outcome(), Outcome::kTransport);
}

TEST_P(TracedClient, PipelinedCallsEndInTheirOrder) {
  std::string result;
  int sent = 0, received = 0;
  for (const int ahead : {3, 1, 5, 0, 2}) {
    while (sent < received + ahead) client_->send_echo(std::to_string(sent++));
    EXPECT_EQ(Depth(), ahead);
    if (ahead == 0) continue;
    Answer();
    client_->recv_echo(result);
    EXPECT_EQ(result, std::to_string(received++));
    EXPECT_EQ(Depth(), ahead - 1);
    if (ahead == 5) {
      Answer(4);
      for (int i = 0; i < 4; ++i) {
        client_->recv_echo(result);
        EXPECT_EQ(result, std::to_string(received++));
      }
    }
    Answer(sent - received);
    while (received < sent) {
      client_->recv_echo(result);
      EXPECT_EQ(result, std::to_string(received++));
    }
    EXPECT_EQ(Depth(), 0);
  }
  const std::vector<Span> spans = Spans();
  ASSERT_EQ(spans.size(), static_cast<std::size_t>(sent));
  for (std::size_t i = 1; i < spans.size(); ++i) {  // oldest first
    EXPECT_LE(*spans[i - 1].stamp(ClientStamp::kCallStart),
              *spans[i].stamp(ClientStamp::kCallStart));
  }
}

TEST_P(TracedClient, TheContextIsThatOfTheSpan) {
  const TraceContext here = NewRoot();
  ContextScope scope(here);
  client_->send_echo("hello");
  TraceContext sent;
  TBinaryProtocol in(wire_->sent);
  std::string name;
  thrift::protocol::TMessageType type = thrift::protocol::T_CALL;
  std::int32_t seqid = 0;
  in.readMessageBegin(name, type, seqid);
  ASSERT_TRUE(internal::TakeContext(&in, &sent));
  client_.reset();
  const std::vector<Span> spans = Spans();
  ASSERT_EQ(spans.size(), 1u);
  EXPECT_EQ(spans[0].trace_id(), here.trace_id);
  EXPECT_EQ(spans[0].parent_id(), here.span_id);
  EXPECT_EQ(sent.trace_id, here.trace_id);
  EXPECT_EQ(sent.span_id, spans[0].span_id());
  EXPECT_EQ(sent.flags, here.flags);
}

TEST_P(TracedClient, SwitchedOffItSendsWhatAPlainClientSends) {
  const auto plain_wire = std::make_shared<Wire>();
  echo_plain::EchoClient plain(std::make_shared<TBinaryProtocol>(plain_wire));
  plain.send_echo("hello");
  const std::string expected = plain_wire->TakeSent();
  SetThriftTracing(false);
  client_->send_echo("hello");
  SetThriftTracing(true);
  EXPECT_EQ(wire_->TakeSent(), expected);
  EXPECT_LE(Depth(), 0);
  client_->send_echo("hello");
  EXPECT_EQ(wire_->TakeSent().size(), expected.size() + 83);
}

TEST_P(TracedClient, ANameThatIsRefusedCountsNowhereAndWorks) {
  echo_plain::EchoClient client(
      TracedProtocol<TBinaryProtocol>(GetParam(), std::string(300, 'x'), wire_));
  wire_->on_flush = [&] { Answer(); };
  std::string result;
  client.echo(result, "hello");
  EXPECT_EQ(result, "hello");
}

TEST_P(TracedClient, WithinAMultiplexerTheMethodIsNamedWithoutTheService) {
  const auto mux = std::make_shared<thrift::protocol::TMultiplexedProtocol>(
      client_->getOutputProtocol(), "Echo");
  echo_plain::EchoClient(mux).send_echo("hello");
  mux->getTransport()->close();
  const auto seen = TakeSpansOf(kCaller);
  ASSERT_EQ(seen.size(), 1u);
  EXPECT_EQ(seen[0].method, "echo");
}

// The request that is handled counts as blocked while it waits for another service.
TEST_P(TracedClient, TheCallerIsBlockedWhileTheCallIsOpen) {
  const std::string front = callee_.substr(0, 50) + "-front";
  const auto front_handler = std::make_shared<EchoHandler>();
  std::int64_t blocked = -1, running = -1;
  front_handler->relay_to = [&](const std::string& text) {
    client_->send_echo(text);
    blocked = testing_support::DepthOf(front, Channel::kBlocked);
    running = testing_support::DepthOf(front, Channel::kRunning);
    Answer();
    std::string result;
    client_->recv_echo(result);
    EXPECT_EQ(testing_support::DepthOf(front, Channel::kBlocked), 0);
    // Left open on purpose: the request's end is the end of its waiting too.
    client_->send_echo(text);
    EXPECT_EQ(testing_support::DepthOf(front, Channel::kBlocked), 1);
    return result;
  };
  const auto traced = Trace(front, std::make_shared<echo_plain::EchoProcessor>(front_handler));
  const auto memory_in = std::make_shared<Wire>();
  echo_plain::EchoClient user(std::make_shared<TBinaryProtocol>(memory_in));
  memory_in->on_flush = [&] {
    traced->process(std::make_shared<TBinaryProtocol>(memory_in->sent),
                    std::make_shared<TBinaryProtocol>(memory_in->replies), nullptr);
  };
  std::string result;
  user.relay(result, "hello");
  EXPECT_EQ(result, "hello");
  EXPECT_EQ(blocked, 1);
  EXPECT_EQ(running, 1);
  EXPECT_EQ(testing_support::DepthOf(front, Channel::kBlocked), 0);
  EXPECT_EQ(EdgeCalls(front, callee_), 2);  // it calls, not kCaller
  client_.reset();
  EXPECT_EQ(EdgeDepth(front, callee_), 0);

  const auto served = TakeSpansOf(front);
  ASSERT_EQ(served.size(), 3u);  // both calls and the request
  const Span& request =
      served[1].span.side() == SpanSide::kServer ? served[1].span : served[2].span;
  EXPECT_EQ(served[0].span.side(), SpanSide::kClient);
  EXPECT_EQ(served[0].span.trace_id(), request.trace_id());
  EXPECT_EQ(served[0].span.parent_id(), request.span_id());
}

// The first one behind `from`.
std::string WithoutSpanId(std::string bytes, std::size_t from = 0) {
  const std::size_t at = bytes.find("00-", from);
  EXPECT_NE(at, std::string::npos);
  if (at != std::string::npos) bytes.replace(at + 36, 16, 16, '0');
  return bytes;
}

// Both ways, and all protocols, write the same as each other, and no peer reads other arguments.
template <typename Protocol>
void ExpectSameBytes(std::size_t more) {
  TraceContext context = NewRoot();
  for (const char* state : {"", "a=b",
                            "much=0123456789012345678901234567890123456789012345678901234"
                            "567890123456789012345678901234567890123456789"}) {
    context.tracestate = ParseTracestate(state);
    ContextScope scope(context);
    std::string by_way[2];
    for (const How how : {How::kMakeTraced, How::kTraceClient}) {
      const auto wire = std::make_shared<Wire>();
      echo_plain::EchoClient client(TracedProtocol<Protocol>(how, "same-bytes", wire));
      client.send_echo("hello");
      by_way[static_cast<int>(how)] = WithoutSpanId(wire->TakeSent());
    }
    EXPECT_EQ(by_way[0], by_way[1]);
    // And so into the buffers of Thrift's transports, where there is room for the field, and where
    // there is not.
    const auto wire = std::make_shared<Wire>();
    const auto sends = [&](const std::shared_ptr<thrift::transport::TTransport>& transport) {
      echo_plain::EchoClient client(MakeTraced<Protocol>("same-bytes", transport));
      client.send_echo("hello");
      client.send_echo("hello");  // the buffer is used again
      return WithoutSpanId(WithoutSpanId(wire->TakeSent()), by_way[0].size());
    };
    for (const std::uint32_t room : {1, 40, 90, 100, 110, 200, 1000, 5000}) {
      EXPECT_EQ(sends(std::make_shared<thrift::transport::TBufferedTransport>(wire, 512, room)),
                by_way[0] + by_way[0])
          << room;
      const std::string frames =
          sends(std::make_shared<thrift::transport::TFramedTransport>(wire, room));
      ASSERT_EQ(frames.size(), 2 * by_way[0].size() + 8);
      EXPECT_EQ(WithoutSpanId(frames.substr(4, by_way[0].size())), by_way[0]) << room;
      EXPECT_EQ(WithoutSpanId(frames.substr(by_way[0].size() + 8)), by_way[0]) << room;
    }
    if (*state == '\0') {
      const auto plain_wire = std::make_shared<Wire>();
      echo_plain::EchoClient plain(std::make_shared<Protocol>(plain_wire));
      plain.send_echo("hello");
      EXPECT_EQ(by_way[0].size(), plain_wire->TakeSent().size() + more);
    }
  }
}
TEST(MakeTraced, WritesWhatTheProtocolWouldHaveWritten) {
  ExpectSameBytes<TBinaryProtocol>(83);
  ExpectSameBytes<TCompactProtocol>(75);  // of them 1 for the next field's id in full
  ExpectSameBytes<TJSONProtocol>(105);
}

TEST(MakeTraced, TakesTheProtocolsOwnArguments) {
  SetThriftCaller(kCaller);
  const auto wire = std::make_shared<Wire>();
  const auto processor =
      std::make_shared<echo_plain::EchoProcessor>(std::make_shared<EchoHandler>());
  wire->on_flush = [&] {
    processor->process(std::make_shared<TBinaryProtocol>(wire->sent),
                       std::make_shared<TBinaryProtocol>(wire->replies), nullptr);
  };
  echo_plain::EchoClient client(
      MakeTraced<TBinaryProtocol>("limits", wire, /*string_limit=*/5, 0, true, true));
  std::string result;
  client.echo(result, "hello");
  EXPECT_THROW(client.echo(result, "hello!"), thrift::protocol::TProtocolException);
  EXPECT_EQ(EdgeDepth(kCaller, "limits"), 0);
}

TEST(MakeTraced, ServesCodeMadeWithTemplates) {
  using thrift::protocol::TBinaryProtocolT;
  using thrift::transport::TBufferBase;
  using thrift::transport::TMemoryBuffer;
  using Fast = Traced<TBinaryProtocolT<TBufferBase>>;
  SetThriftCaller(kCaller);
  TakeSpansOf(kCaller);
  const auto memory = std::make_shared<TMemoryBuffer>();
  echo_templates::EchoClientT<Fast> client(
      std::make_shared<Fast>("templates", std::shared_ptr<TBufferBase>(memory)));
  client.send_echo("hello");
  EXPECT_EQ(EdgeDepth(kCaller, "templates"), 1);
  // The server's fast path: the protocol's own type.
  const auto reply = std::make_shared<TMemoryBuffer>();
  echo_templates::EchoProcessorT<TBinaryProtocolT<TBufferBase>> processor(
      std::make_shared<testing_support::EchoTemplatesHandler>());
  processor.process(
      std::make_shared<TBinaryProtocolT<TBufferBase>>(std::shared_ptr<TBufferBase>(memory)),
      std::make_shared<TBinaryProtocolT<TBufferBase>>(std::shared_ptr<TBufferBase>(reply)),
      nullptr);
  const std::string bytes = reply->getBufferAsString();
  memory->resetBuffer();
  memory->write(reinterpret_cast<const std::uint8_t*>(bytes.data()),
                static_cast<std::uint32_t>(bytes.size()));
  std::string result;
  client.recv_echo(result);
  EXPECT_EQ(result, "hello");
  EXPECT_EQ(EdgeDepth(kCaller, "templates"), 0);
  EXPECT_EQ(TakeSpansOf(kCaller).size(), 1u);
}

}  // namespace
}  // namespace seer
