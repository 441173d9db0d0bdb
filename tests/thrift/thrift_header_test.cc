#include "seer/thrift/thrift_header.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>

#include <thrift/protocol/TBinaryProtocol.h>
#include <thrift/transport/TBufferTransports.h>

#include "plain/Echo.h"
#include "seer/thrift/node.h"
#include "seer/thrift/trace.h"
#include "tests/thrift/echo_handler.h"
#include "tests/thrift/support.h"
#include "tests/thrift/wire.h"

namespace seer {
namespace {

using apache::thrift::protocol::T_BINARY_PROTOCOL;
using apache::thrift::protocol::TBinaryProtocol;
using apache::thrift::protocol::THeaderProtocol;
using apache::thrift::protocol::TProtocol;
using apache::thrift::transport::TFramedTransport;
using testing_support::EchoHandler;
using testing_support::TakeSpansOf;
using testing_support::Wire;

// A THeader server on the other end of a wire; one connection.
struct Service {
  explicit Service(const std::string& name) {
    ReadThriftHeaders();
    processor =
        Trace(name, std::make_shared<echo_plain::EchoProcessor>(std::make_shared<EchoHandler>()));
    in = std::make_shared<THeaderProtocol>(wire->sent, wire->replies, T_BINARY_PROTOCOL);
    wire->on_flush = [this] { processor->process(in, in, nullptr); };
  }
  const std::shared_ptr<Wire> wire = std::make_shared<Wire>();
  std::shared_ptr<apache::thrift::TProcessor> processor;
  std::shared_ptr<THeaderProtocol> in;
};

TEST(ThriftHeader, TheContextTravelsAsAHeader) {
  SetThriftCaller("header-caller");
  TakeSpansOf("header-caller");
  Service service("header-server");
  const auto header = std::make_shared<THeaderProtocol>(service.wire, T_BINARY_PROTOCOL);
  echo_plain::EchoClient client(TraceClientWithHeaders("header-server", header));
  std::string result;
  for (int i = 0; i < 3; ++i) {
    client.echo(result, "hello");
    EXPECT_EQ(result, "hello");
  }
  const auto called = TakeSpansOf("header-caller");
  const auto served = TakeSpansOf("header-server");
  ASSERT_EQ(called.size(), 3u);
  ASSERT_EQ(served.size(), 3u);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(served[i].span.parent_id(), called[i].span.span_id());
  // Untraced, nothing of the message before is sent again.
  SetThriftTracing(false);
  client.echo(result, "hello");
  SetThriftTracing(true);
  EXPECT_EQ(header->getWriteHeaders().count("traceparent"), 0u);
  EXPECT_EQ(testing_support::EdgeDepth("header-caller", "header-server"), 0);
}

// Acceptance 19.
TEST(ThriftHeader, AClientThatChangesToPlainFramingBringsNoOldContext) {
  SetThriftCaller("header-caller");  // or the first service traced here would be the caller too
  Service service("header-sticky");
  const TraceContext caller = NewRoot();
  std::string result;
  {
    ContextScope scope(caller);
    echo_plain::EchoClient client(TraceClientWithHeaders(
        "header-sticky", std::make_shared<THeaderProtocol>(service.wire, T_BINARY_PROTOCOL)));
    client.echo(result, "hello");
  }
  echo_plain::EchoClient plain(
      std::make_shared<TBinaryProtocol>(std::make_shared<TFramedTransport>(service.wire)));
  plain.echo(result, "again");
  EXPECT_EQ(result, "again");
  const auto served = TakeSpansOf("header-sticky");
  ASSERT_EQ(served.size(), 2u);
  EXPECT_EQ(served[0].span.trace_id(), caller.trace_id);
  EXPECT_NE(served[1].span.trace_id(), caller.trace_id);
  EXPECT_EQ(served[1].span.parent_id(), 0u);
}

TEST(ThriftHeader, ALargeTracestateNeverFailsACall) {
  Service service("header-large");
  TraceContext caller = NewRoot();
  std::string state;
  for (int i = 0; state.size() < 480; ++i)
    state += (i > 0 ? ",k" : "k") + std::to_string(i) + "=" + std::string(20, 'v');
  caller.tracestate = ParseTracestate(state);
  ASSERT_NE(caller.tracestate, nullptr);
  ContextScope scope(caller);
  echo_plain::EchoClient client(TraceClientWithHeaders(
      "header-large", std::make_shared<THeaderProtocol>(service.wire, T_BINARY_PROTOCOL)));
  std::string result;
  for (const std::size_t size : {1, 100, 450, 1000, 5000}) {
    client.echo(result, std::string(size, 'x'));
    EXPECT_EQ(result.size(), size);
  }
  for (const auto& seen : TakeSpansOf("header-large")) {
    EXPECT_EQ(seen.span.trace_id(), caller.trace_id);
  }
}

TEST(ThriftHeader, TheHostsOwnHeadersComeFirst) {
  Service service("header-host");
  const auto header = std::make_shared<THeaderProtocol>(service.wire, T_BINARY_PROTOCOL);
  echo_plain::EchoClient client(TraceClientWithHeaders("header-host", header));
  header->setHeader("mine", std::string(200, 'm'));
  std::string result;
  client.echo(result, "hello");
  EXPECT_EQ(result, "hello");
  EXPECT_EQ(service.in->getHeaders().at("mine"), std::string(200, 'm'));
  EXPECT_EQ(service.in->getHeaders().count("traceparent"), 0u);  // no room left
}

TEST(ThriftHeader, NullStaysNull) { EXPECT_EQ(TraceClientWithHeaders("x", nullptr), nullptr); }

}  // namespace
}  // namespace seer
