// Which request the handler of a traced processor works for (trace.h); the rest is in
// trace_test.cc.
#include <gtest/gtest.h>

#include <future>
#include <memory>
#include <string>
#include <vector>

#include <thrift/processor/TMultiplexedProcessor.h>
#include <thrift/protocol/TBinaryProtocol.h>
#include <thrift/protocol/TCompactProtocol.h>
#include <thrift/protocol/TJSONProtocol.h>

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
using apache::thrift::protocol::TProtocol;
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

TEST(Trace, Case14TheContextIsFoundInsideAMultiplexer) {
  const auto handler = std::make_shared<EchoHandler>();
  TMultiplexedProcessor mux;
  RegisterTracedDefault(mux, "trace-context-mux", std::make_shared<EchoProcessor>(handler));
  InMemory memory;
  const TraceContext caller = NewRoot();
  WriteEcho(*memory.client(), caller, true, 8888);
  EXPECT_TRUE(memory.Process(mux));
  const std::vector<SeenSpan> spans = TakeSpansOf("trace-context-mux");
  ASSERT_EQ(spans.size(), 1u);
  EXPECT_EQ(spans[0].span.parent_id(), caller.span_id);
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
