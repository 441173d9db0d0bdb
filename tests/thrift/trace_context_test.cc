// Which request the handler of a traced processor works for (trace.h); the rest is in
// trace_test.cc.
#include <gtest/gtest.h>
#include <unistd.h>

#include <future>
#include <memory>
#include <string>
#include <vector>

#include <thrift/processor/TMultiplexedProcessor.h>
#include <thrift/protocol/TBinaryProtocol.h>
#include <thrift/protocol/TCompactProtocol.h>
#include <thrift/protocol/TJSONProtocol.h>
#include <thrift/protocol/TMultiplexedProtocol.h>
#include <thrift/transport/TBufferTransports.h>
#include <thrift/transport/TFDTransport.h>
#include <thrift/transport/TZlibTransport.h>

#include "seer/thrift/make_traced.h"
#include "seer/thrift/node.h"
#include "seer/thrift/trace.h"
#include "seer/trace/context.h"
#include "seer/trace/propagation.h"
#include "tests/thrift/echo_handler.h"
#include "tests/thrift/in_memory.h"
#include "tests/thrift/support.h"
#include "tests/thrift/traced_service.h"

namespace seer {
namespace {

using apache::thrift::TMultiplexedProcessor;
using apache::thrift::protocol::TBinaryProtocol;
using apache::thrift::protocol::TCompactProtocol;
using apache::thrift::protocol::TJSONProtocol;
using apache::thrift::protocol::TMultiplexedProtocol;
using apache::thrift::protocol::TProtocol;
using apache::thrift::transport::TBufferedTransport;
using apache::thrift::transport::TFDTransport;
using apache::thrift::transport::TMemoryBuffer;
using apache::thrift::transport::TTransport;
using apache::thrift::transport::TZlibTransport;
using echo_plain::EchoClient;
using echo_plain::EchoProcessor;
using testing_support::CallOnce;
using testing_support::EchoHandler;
using testing_support::InMemory;
using testing_support::SeenSpan;
using testing_support::TakeSpansOf;
using testing_support::Traced;

// A request with the context's field at the front, in the middle or at the end, as any peer may.
void WriteEcho(TProtocol& out, const TraceContext& context, bool first, std::int16_t id) {
  using namespace apache::thrift::protocol;
  const auto text = FormatTraceparent(context);
  const auto field = [&] {
    out.writeFieldBegin("seer", T_MAP, id);
    out.writeMapBegin(T_STRING, T_STRING, 1);
    out.writeString(std::string("traceparent"));
    out.writeString(std::string(text.data(), text.size()));
    out.writeMapEnd();
    out.writeFieldEnd();
  };
  out.writeMessageBegin("echo", T_CALL, 1);
  out.writeStructBegin("args");
  if (first) field();
  out.writeFieldBegin("text", T_STRING, 1);
  out.writeString(std::string("x"));
  out.writeFieldEnd();
  if (!first) field();
  out.writeFieldStop();
  out.writeStructEnd();
  out.writeMessageEnd();
  out.getTransport()->writeEnd();
  out.getTransport()->flush();
}

template <typename Protocol>
void TakesTheCallersContext(const std::string& name, bool first) {
  SCOPED_TRACE(name);
  Traced service(name);
  InMemory memory(InMemory::Of<Protocol>{});
  const TraceContext caller = NewRoot();
  TraceContext within;
  service.handler->within = [&] { within = CurrentContext(); };
  WriteEcho(*memory.client(), caller, first, 8888);
  EXPECT_TRUE(memory.Process(*service.processor));
  EXPECT_FALSE(CurrentContext().valid());
  const SeenSpan seen = service.only_span();
  EXPECT_EQ(seen.span.trace_id(), caller.trace_id);
  EXPECT_EQ(seen.span.parent_id(), caller.span_id);
  EXPECT_EQ(within.trace_id, caller.trace_id);
  EXPECT_EQ(within.span_id, seen.span.span_id());
  EXPECT_EQ(within.flags, caller.flags);
}
TEST(Trace, TheCallersContextComesOutOfTheArguments) {
  TakesTheCallersContext<TBinaryProtocol>("trace-context-binary", true);
  TakesTheCallersContext<TCompactProtocol>("trace-context-compact", true);
  TakesTheCallersContext<TJSONProtocol>("trace-context-json", true);
  TakesTheCallersContext<TJSONProtocol>("trace-context-json-last", false);
}

// The context behind the other fields, as tracers of Java write it.
template <typename Protocol>
void TakesTheLastField(const std::string& name, bool search) {
  SCOPED_TRACE(name);
  ThriftTraceOptions options;
  options.search_arguments = search;
  const auto processor =
      Trace(name, std::make_shared<EchoProcessor>(std::make_shared<EchoHandler>()), options);
  for (const std::int16_t id : {std::int16_t{8888}, std::int16_t{3333}}) {
    InMemory memory(InMemory::Of<Protocol>{});
    const TraceContext caller = NewRoot();
    WriteEcho(*memory.client(), caller, false, id);
    EXPECT_TRUE(memory.Process(*processor));
    std::string answer;
    EchoClient(memory.client()).recv_echo(answer);
    EXPECT_EQ(answer, "x");
    const std::vector<SeenSpan> spans = TakeSpansOf(name);
    ASSERT_EQ(spans.size(), 1u);
    EXPECT_EQ(spans[0].span.trace_id() == caller.trace_id, search);
    EXPECT_EQ(spans[0].span.parent_id(), search ? caller.span_id : 0);
  }
}
TEST(Trace, Case18AFieldThatComesLastIsFoundWhereItIsSearchedFor) {
  TakesTheLastField<TBinaryProtocol>("trace-last-binary", true);
  TakesTheLastField<TCompactProtocol>("trace-last-compact", true);
  TakesTheLastField<TBinaryProtocol>("trace-last-binary-not-searched", false);
  TakesTheLastField<TCompactProtocol>("trace-last-compact-not-searched", false);
}
// What is first is still found at once.
TEST(Trace, WhereItIsSearchedForTheFirstFieldIsFoundToo) {
  ThriftTraceOptions options;
  options.search_arguments = true;
  TMultiplexedProcessor mux;
  RegisterTracedDefault(mux, "trace-search-first",
                        std::make_shared<EchoProcessor>(std::make_shared<EchoHandler>()), options);
  for (const bool first : {true, false}) {
    InMemory memory;
    const TraceContext caller = NewRoot();
    WriteEcho(*memory.client(), caller, first, 8888);
    EXPECT_TRUE(memory.Process(mux));
    const std::vector<SeenSpan> spans = TakeSpansOf("trace-search-first");
    ASSERT_EQ(spans.size(), 1u);
    EXPECT_EQ(spans[0].span.parent_id(), caller.span_id);
  }
}

// One call of a traced client through `request`, of which the server reads; the server's span.
template <typename Protocol>
void JoinsTheCallersTrace(const std::string& service, apache::thrift::TProcessor& server,
                          const std::shared_ptr<TTransport>& written,
                          const std::shared_ptr<TTransport>& read, bool by_name = false) {
  SCOPED_TRACE(service);
  SetThriftCaller("trace-context-client");
  const auto client = MakeTraced<Protocol>(service, written);
  const TraceContext root = NewRoot();
  {
    ContextScope scope(root);
    std::shared_ptr<TProtocol> out = client;
    if (by_name) out = std::make_shared<TMultiplexedProtocol>(out, service);
    EchoClient(out).send_echo("x");
  }
  const auto reply = std::make_shared<TMemoryBuffer>();
  EXPECT_TRUE(
      server.process(std::make_shared<Protocol>(read), std::make_shared<Protocol>(reply), nullptr));
  std::string answer;
  EchoClient(std::make_shared<Protocol>(reply)).recv_echo(answer);
  EXPECT_EQ(answer, "x");
  const std::vector<SeenSpan> spans = TakeSpansOf(service);
  ASSERT_EQ(spans.size(), 1u);
  EXPECT_EQ(spans[0].method, "echo");
  EXPECT_EQ(spans[0].span.trace_id(), root.trace_id);
  EXPECT_NE(spans[0].span.parent_id(), 0u);
}

TEST(Trace, Case14TheContextIsFoundInsideAMultiplexer) {
  const auto handler = std::make_shared<EchoHandler>();
  const auto mux = std::make_shared<TMultiplexedProcessor>();
  const std::string by_name = "trace-context-mux-v2";
  const std::string by_default = "trace-context-mux";
  RegisterTraced(*mux, by_name, std::make_shared<EchoProcessor>(handler));
  RegisterTracedDefault(*mux, by_default, std::make_shared<EchoProcessor>(handler));
  const auto both = Trace("trace-context-outside", mux);
  for (apache::thrift::TProcessor* const server :
       {static_cast<apache::thrift::TProcessor*>(mux.get()), both.get()}) {
    const auto memory = std::make_shared<TMemoryBuffer>();
    JoinsTheCallersTrace<TBinaryProtocol>(by_name, *server, memory, memory, true);
    JoinsTheCallersTrace<TCompactProtocol>(by_name, *server, memory, memory, true);
    JoinsTheCallersTrace<TBinaryProtocol>(by_default, *server, memory, memory);
    JoinsTheCallersTrace<TCompactProtocol>(by_default, *server, memory, memory);
    JoinsTheCallersTrace<TJSONProtocol>(by_name, *server, memory, memory, true);
    JoinsTheCallersTrace<TJSONProtocol>(by_default, *server, memory, memory);
  }
  // What the multiplexer turns away reaches neither of them, and breaks nothing.
  const auto memory = std::make_shared<TMemoryBuffer>();
  EchoClient(std::make_shared<TMultiplexedProtocol>(std::make_shared<TBinaryProtocol>(memory),
                                                    "trace-context-nobody"))
      .send_echo("x");
  const auto in = std::make_shared<TBinaryProtocol>(memory);
  EXPECT_THROW(mux->process(in, in, nullptr), apache::thrift::TException);
  EXPECT_TRUE(TakeSpansOf(by_name).empty());
  EXPECT_TRUE(TakeSpansOf(by_default).empty());
  EXPECT_FALSE(CurrentContext().valid());
}

// Transports that have no buffer to look into, or one that ends anywhere.
TEST(Trace, TheContextIsFoundOverOtherTransports) {
  const auto handler = std::make_shared<EchoHandler>();
  const std::string pipe_name = "trace-over-pipe";
  const auto over_pipe = Trace(pipe_name, std::make_shared<EchoProcessor>(handler));
  int ends[2] = {-1, -1};
  ASSERT_EQ(pipe(ends), 0);
  const auto from = std::make_shared<TFDTransport>(ends[0], TFDTransport::CLOSE_ON_DESTROY);
  const auto to = std::make_shared<TFDTransport>(ends[1], TFDTransport::CLOSE_ON_DESTROY);
  JoinsTheCallersTrace<TBinaryProtocol>(pipe_name, *over_pipe, to, from);
  JoinsTheCallersTrace<TCompactProtocol>(pipe_name, *over_pipe, to, from);
  JoinsTheCallersTrace<TJSONProtocol>(pipe_name, *over_pipe, to, from);

  // Its buffer of 128 bytes ends within the field.
  const std::string zlib_name = "trace-over-zlib-" + std::string(40, 'z');
  TMultiplexedProcessor over_zlib;
  RegisterTraced(over_zlib, zlib_name, std::make_shared<EchoProcessor>(handler));
  const auto memory = std::make_shared<TMemoryBuffer>();
  const auto zlib = std::make_shared<TZlibTransport>(memory);
  JoinsTheCallersTrace<TBinaryProtocol>(zlib_name, over_zlib, zlib, zlib, true);
  JoinsTheCallersTrace<TCompactProtocol>(zlib_name, over_zlib, zlib, zlib, true);
  const auto buffered = std::make_shared<TBufferedTransport>(zlib);
  JoinsTheCallersTrace<TBinaryProtocol>(zlib_name, over_zlib, buffered, buffered, true);
}

TEST(Trace, Case23ACallOfTheOwnProcessorRestoresTheContext) {
  Traced service("trace-reentrant");
  std::vector<TraceContext> seen;
  int depth = 0;
  service.handler->within = [&] {
    seen.push_back(CurrentContext());
    if (depth++ > 0) return;
    InMemory memory;
    WriteEcho(*memory.client(), CurrentContext(), true, 8888);
    EXPECT_TRUE(memory.Process(*service.processor));
    EXPECT_EQ(service.running(), 1);
    seen.push_back(CurrentContext());
  };
  CallOnce(*service.processor);
  ASSERT_EQ(seen.size(), 3u);
  EXPECT_EQ(seen[0], seen[2]);
  EXPECT_EQ(seen[0].trace_id, seen[1].trace_id);
  EXPECT_NE(seen[0].span_id, seen[1].span_id);
  const std::vector<SeenSpan> spans = TakeSpansOf(service.name);
  ASSERT_EQ(spans.size(), 2u);
  EXPECT_EQ(spans[0].span.parent_id(), spans[1].span.span_id());
  EXPECT_FALSE(CurrentContext().valid());
}

TEST(Trace, Case23AnotherThreadHasTheContextThatIsBound) {
  Traced service("trace-async");
  TraceContext within;
  TraceContext bound;
  TraceContext unbound;
  service.handler->within = [&] {
    within = CurrentContext();
    bound = std::async(std::launch::async, Bind([] { return CurrentContext(); })).get();
    unbound = std::async(std::launch::async, [] { return CurrentContext(); }).get();
  };
  CallOnce(*service.processor);
  EXPECT_TRUE(within.valid());
  EXPECT_EQ(bound, within);
  EXPECT_FALSE(unbound.valid());
}

}  // namespace
}  // namespace seer
