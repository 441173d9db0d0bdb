#include "seer/thrift/carrier.h"

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>

#include <thrift/protocol/TBinaryProtocol.h>

#include "plain/Echo.h"
#include "seer/thrift/make_traced.h"
#include "seer/thrift/node.h"
#include "seer/thrift/trace.h"
#include "tests/thrift/support.h"
#include "tests/thrift/wire.h"

namespace seer {
namespace {

using apache::thrift::protocol::TBinaryProtocol;
using testing_support::TakeSpansOf;
using testing_support::Wire;

// A handler as DeathStarBench's are.
class Handler final : public echo_plain::EchoNull {
 public:
  void carried(std::string& result, const std::string&, const Carrier& carrier) override {
    CarrierScope scope(carrier);
    seen = CurrentContext();
    next = CarrierFor(carrier);
    result = "done";
  }
  TraceContext seen;
  Carrier next;
};

struct Service {
  explicit Service(const std::string& name) {
    processor = Trace(name, std::make_shared<echo_plain::EchoProcessor>(handler));
    wire->on_flush = [this] {
      processor->process(std::make_shared<TBinaryProtocol>(wire->sent),
                         std::make_shared<TBinaryProtocol>(wire->replies), nullptr);
    };
  }
  const std::shared_ptr<Handler> handler = std::make_shared<Handler>();
  const std::shared_ptr<Wire> wire = std::make_shared<Wire>();
  std::shared_ptr<apache::thrift::TProcessor> processor;
};

TEST(Carrier, TheRequestJoinsTheCarriersTrace) {
  Service service("carrier-plain");
  echo_plain::EchoClient client(std::make_shared<TBinaryProtocol>(service.wire));
  const TraceContext caller = NewRoot();
  Carrier carrier = {{"note", "mine"}};
  {
    ContextScope scope(caller);
    carrier = CarrierFor(carrier);
  }
  EXPECT_EQ(carrier.count("note"), 1u);
  EXPECT_EQ(Extract(carrier), caller);
  std::string result;
  client.carried(result, "x", carrier);
  EXPECT_EQ(result, "done");
  const auto spans = TakeSpansOf("carrier-plain");
  ASSERT_EQ(spans.size(), 1u);
  EXPECT_EQ(spans[0].span.trace_id(), caller.trace_id);
  EXPECT_EQ(spans[0].span.parent_id(), caller.span_id);
  EXPECT_EQ(service.handler->seen.trace_id, caller.trace_id);
  EXPECT_EQ(service.handler->seen.span_id, spans[0].span.span_id());
  // What the handler hands on names the handler's span, not the caller's.
  EXPECT_EQ(Extract(service.handler->next), service.handler->seen);
}

TEST(Carrier, WhatCameWithTheMessageStands) {
  SetThriftCaller("carrier-caller");
  Service service("carrier-traced");
  echo_plain::EchoClient client(MakeTraced<TBinaryProtocol>("carrier-traced", service.wire));
  const TraceContext here = NewRoot(), elsewhere = NewRoot();
  ContextScope scope(here);
  Carrier carrier;
  Inject(elsewhere, &carrier);
  std::string result;
  client.carried(result, "x", carrier);
  const auto spans = TakeSpansOf("carrier-traced");
  ASSERT_EQ(spans.size(), 1u);
  EXPECT_EQ(spans[0].span.trace_id(), here.trace_id);
  EXPECT_EQ(service.handler->seen.trace_id, here.trace_id);
}

TEST(Carrier, OutsideOfAnyRequestTheCarriersContextIsCurrent) {
  const TraceContext caller = NewRoot();
  Carrier carrier;
  Inject(caller, &carrier);
  {
    CarrierScope scope(carrier);
    EXPECT_EQ(CurrentContext(), caller);
  }
  EXPECT_FALSE(CurrentContext().valid());
  CarrierScope nothing((Carrier()));
  EXPECT_FALSE(CurrentContext().valid());
  EXPECT_TRUE(CarrierFor().empty());
}

}  // namespace
}  // namespace seer
