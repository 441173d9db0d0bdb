#include "seer/thrift/node.h"

#include <gtest/gtest.h>

#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "seer/thrift/internal/method_table.h"
#include "tests/thrift/support.h"

namespace seer {
namespace {

using internal::CallerHere;
using internal::DownstreamCall;
using internal::HandledCall;
using internal::MethodTable;
using internal::ServiceState;
using testing_support::DepthOf;
using testing_support::EdgeDepth;

TEST(ThriftNode, KnowsOnlyServicesThatAreTraced) {
  EXPECT_EQ(ThriftCountsOf("node-nobody").status().code(), absl::StatusCode::kNotFound);
  ServiceState::Of("node-somebody").Serve();
  ASSERT_TRUE(ThriftCountsOf("node-somebody").ok());
  EXPECT_EQ(ThriftCountsOf("node-somebody")->failed, 0u);
}

TEST(ThriftNode, ANameThatTheRegistryRefusesSaysSoAndCountsNowhere) {
  const std::string name(64, 'n');
  ServiceState& service = ServiceState::Of(name);
  service.Serve();
  service.running().Enter();  // harmless
  EXPECT_EQ(ThriftCountsOf(name).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(ThriftNode, TheSameNameIsTheSameService) {
  EXPECT_EQ(&ServiceState::Of("node-twice"), &ServiceState::Of("node-twice"));
  EXPECT_NE(&ServiceState::Of("node-twice"), &ServiceState::Of("node-other"));
}

TEST(ThriftNode, ACallIsFromTheServiceWhoseRequestIsHandled) {
  SetThriftCaller("node-process");
  EXPECT_EQ(CallerHere().name(), "node-process");
  HandledCall call;
  call.service = &ServiceState::Of("node-handling");
  internal::handled_call = &call;
  EXPECT_EQ(CallerHere().name(), "node-handling");
  internal::handled_call = nullptr;
  EXPECT_EQ(CallerHere().name(), "node-process");
}

TEST(ThriftNode, AnEdgeCountsOpenCalls) {
  internal::EdgeState& edge = ServiceState::Of("node-a").EdgeTo("node-b");
  EXPECT_EQ(&edge, &ServiceState::Of("node-a").EdgeTo("node-b"));
  edge.outbound().Enter();
  EXPECT_EQ(EdgeDepth("node-a", "node-b"), 1);
  edge.outbound().Leave();
  EXPECT_EQ(EdgeDepth("node-a", "node-b"), 0);
}

TEST(ThriftNode, ARequestIsBlockedWhileAnyOfItsCallsIsOpen) {
  ServiceState& service = ServiceState::Of("node-blocked");
  service.Serve();
  HandledCall handled;
  handled.service = &service;
  handled.id = 7;
  internal::handled_call = &handled;
  {
    DownstreamCall first;
    first.Begin();
    EXPECT_EQ(DepthOf("node-blocked", Channel::kBlocked), 1);
    DownstreamCall second;
    second.Begin();
    EXPECT_EQ(DepthOf("node-blocked", Channel::kBlocked), 1);
    first.End();
    first.End();
    EXPECT_EQ(DepthOf("node-blocked", Channel::kBlocked), 1);
  }
  EXPECT_EQ(DepthOf("node-blocked", Channel::kBlocked), 0);

  // Given up after the request was over, and a later one is being handled.
  DownstreamCall late;
  late.Begin();
  service.blocked().Leave();  // what the end of the handler does
  handled.id = 8;
  handled.downstream = 0;
  late.End();
  EXPECT_EQ(handled.downstream, 0u);
  EXPECT_EQ(DepthOf("node-blocked", Channel::kBlocked), 0);
  internal::handled_call = nullptr;
  late.Begin();  // nothing is handled: nothing is blocked
  EXPECT_EQ(DepthOf("node-blocked", Channel::kBlocked), 0);
}

TEST(ThriftNode, TheSwitchIsOnAtFirst) {
  EXPECT_TRUE(ThriftTracing());
  SetThriftTracing(false);
  EXPECT_FALSE(ThriftTracing());
  SetThriftTracing(true);
}

TEST(MethodTable, FindsByTheBytesOfTheName) {
  MethodTable<std::string> table;
  int made = 0;
  const auto make = [&](std::string_view name) {
    ++made;
    return std::string(name);
  };
  std::string buffer = "Echo.echo";
  EXPECT_EQ(table.Find(buffer, make), "Echo.echo");
  buffer = "Echo.ping";  // the same address, another name
  EXPECT_EQ(table.Find(buffer, make), "Echo.ping");
  EXPECT_EQ(table.Find("Echo.echo", make), "Echo.echo");
  EXPECT_EQ(table.Find("", make), "");
  EXPECT_EQ(table.Find("x", make), "x");
  EXPECT_EQ(made, 4);
}

TEST(MethodTable, ManyNamesEndInOne) {
  MethodTable<std::string> table;
  const auto make = [](std::string_view name) { return std::string(name); };
  for (int i = 0; i < 10000; ++i) {
    const std::string name = "name" + std::to_string(i);
    EXPECT_EQ(table.Find(name, make), i < 256 ? name : "(other)");
  }
  EXPECT_EQ(table.Find("name7", make), "name7");
}

TEST(MethodTableConcurrency, EachNameIsMadeOnce) {
  MethodTable<int> table;
  std::atomic<int> made{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int round = 0; round < 100; ++round) {
        for (int i = 0; i < 50; ++i) {
          const std::string name = "method" + std::to_string(i);
          EXPECT_EQ(table.Find(name,
                               [&](std::string_view) {
                                 made.fetch_add(1);
                                 return i;
                               }),
                    i);
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(made.load(), 50);
}

}  // namespace
}  // namespace seer
