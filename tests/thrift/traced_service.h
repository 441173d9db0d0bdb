// A service with its handler, traced, and called through memory.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <thrift/TProcessor.h>

#include "seer/thrift/node.h"
#include "seer/thrift/trace.h"
#include "tests/thrift/echo_handler.h"
#include "tests/thrift/in_memory.h"
#include "tests/thrift/support.h"

namespace seer::testing_support {

struct Traced {
  explicit Traced(const std::string& service)
      : name(service),
        handler(std::make_shared<EchoHandler>()),
        inner(std::make_shared<echo_plain::EchoProcessor>(handler)),
        processor(Trace(name, inner)) {
    TakeSpansOf(name);
  }
  std::int64_t running() const { return DepthOf(name, Channel::kRunning); }
  ThriftCounts counts() const { return *ThriftCountsOf(name); }
  SeenSpan only_span() const {
    const std::vector<SeenSpan> spans = TakeSpansOf(name);
    EXPECT_EQ(spans.size(), 1u);
    return spans.empty() ? SeenSpan() : spans[0];
  }

  std::string name;
  std::shared_ptr<EchoHandler> handler;
  std::shared_ptr<echo_plain::EchoProcessor> inner;
  std::shared_ptr<apache::thrift::TProcessor> processor;
};

inline std::int64_t At(const SeenSpan& seen, ServerStamp stamp) {
  return seen.span.stamp(stamp).value();
}

inline void CallOnce(apache::thrift::TProcessor& processor) {
  InMemory memory;
  echo_plain::EchoClient client(memory.client());
  client.send_echo("x");
  ASSERT_TRUE(memory.Process(processor));
  std::string answer;
  client.recv_echo(answer);
  ASSERT_EQ(answer, "x");
}

}  // namespace seer::testing_support
