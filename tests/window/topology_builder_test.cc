#include "seer/window/topology_builder.h"

#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace seer {
namespace {

constexpr std::int64_t kSecond = 1'000'000'000;

NamedCall Call(std::string_view caller, std::string_view callee, std::string_view operation) {
  NamedCall call;
  call.caller = caller;
  call.callee = callee;
  call.operation = operation;
  call.root = caller.empty();
  return call;
}

TEST(TopologyBuilder, LearnsFromNames) {
  TopologyBuilderOptions options;
  options.application = "shop";
  TopologyBuilder builder(options);
  const CallIds in = builder.Learn(Call("", "front", "GET /"), 0).value();
  const CallIds down = builder.Learn(Call("front", "cart", "GetCart"), 0).value();
  const Topology& topology = builder.topology();
  EXPECT_EQ(topology.edge(in.edge).caller, ServiceId());
  EXPECT_EQ(topology.edge(in.edge).callee, in.callee);
  EXPECT_EQ(topology.request_class(in.request_class).name, "GET /");
  EXPECT_EQ(topology.request_class(in.request_class).entry, in.callee);
  EXPECT_EQ(topology.request_class(in.request_class).application, "shop");
  EXPECT_EQ(down.caller, in.callee);
  EXPECT_EQ(topology.method(down.method).name, "GetCart");
  EXPECT_FALSE(down.request_class.valid());

  const std::uint64_t version = topology.version();
  EXPECT_EQ(builder.Learn(Call("front", "cart", "GetCart"), 1).value().edge, down.edge);
  EXPECT_EQ(topology.version(), version) << "nothing new";
}

TEST(TopologyBuilder, TheSameOperationElsewhereIsAnotherClass) {
  TopologyBuilder builder;
  const ClassId a = builder.Learn(Call("", "a", "GET"), 0).value().request_class;
  const ClassId b = builder.Learn(Call("", "b", "GET"), 0).value().request_class;
  EXPECT_NE(a, b);
  EXPECT_EQ(builder.topology().request_class(b).name, "b/GET");
  EXPECT_EQ(builder.Learn(Call("", "b", "GET"), 0).value().request_class, b);
}

TEST(TopologyBuilder, TargetsThatPeopleSetStay) {
  TopologyBuilder builder;
  const ClassId id = builder.Learn(Call("", "a", "GET"), 0).value().request_class;
  const QosTarget target{1'000'000, 20'000, 500, 3};
  ASSERT_TRUE(builder.topology().SetTarget(id, target).ok());
  ASSERT_TRUE(builder.Learn(Call("", "a", "GET"), 0).ok());
  EXPECT_EQ(builder.topology().request_class(id).target, target);
}

TEST(TopologyBuilder, OperationsWithIdsInsideDoNotFillTheTables) {
  TopologyBuilderOptions options;
  options.max_operations = 10;
  options.max_classes = 5;
  TopologyBuilder builder(options);
  for (int i = 0; i < 100; ++i) {
    const std::string operation = "/user/" + std::to_string(i);
    const CallIds ids = builder.Learn(Call("", "front", operation), 0).value();
    EXPECT_EQ(ids.method.valid(), i < 10);
    EXPECT_EQ(ids.request_class.valid(), i < 5);
    EXPECT_TRUE(ids.edge.valid());
  }
  EXPECT_EQ(builder.stats().operations_ignored, 90u);
  EXPECT_EQ(builder.stats().classes_ignored, 95u);
}

TEST(TopologyBuilder, ABadNameIsAnError) {
  TopologyBuilder builder;
  EXPECT_EQ(builder.Learn(Call("", "a\nb", "x"), 0).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(builder.Learn(Call("a", "b", std::string(300, 'x')), 0).ok())
      << "an operation that is no name is left out";
}

TEST(TopologyBuilder, AnEdgeOfBothKindsIsSynchronous) {
  TopologyBuilder builder;
  NamedCall call = Call("a", "b", "x");
  call.async = true;
  const EdgeId edge = builder.Learn(call, 0).value().edge;
  EXPECT_EQ(builder.topology().edge(edge).kind, EdgeKind::kAsync);
  call.async = false;
  ASSERT_TRUE(builder.Learn(call, 0).ok());
  call.async = true;
  ASSERT_TRUE(builder.Learn(call, 0).ok());
  EXPECT_EQ(builder.topology().edge(edge).kind, EdgeKind::kSync);
}

TEST(TopologyBuilder, InstancesAndHostsFollowTheRecorder) {
  TopologyBuilder builder;
  NamedCall call = Call("a", "b", "x");
  call.side = SpanSide::kServer;
  call.instance = "b-1";
  call.host = "node-1";
  const CallIds ids = builder.Learn(call, 0).value();
  const auto instance = builder.topology().FindInstance(ids.callee, "b-1");
  ASSERT_TRUE(instance);
  EXPECT_EQ(builder.topology().instance(*instance).node, ids.host);
  call.host = "node-2";
  const NodeId moved = builder.Learn(call, 0).value().host;
  EXPECT_EQ(builder.topology().instance(*instance).node, moved);
}

TEST(TopologyBuilder, ForgetsWhatNoSpanShows) {
  TopologyBuilderOptions options;
  options.forget_ns = 10 * kSecond;
  TopologyBuilder builder(options);
  const CallIds in = builder.Learn(Call("", "front", "GET"), 0).value();
  const CallIds old = builder.Learn(Call("", "old", "GET old"), 0).value();
  ASSERT_TRUE(builder.Learn(Call("front", "cart", "Get"), 0).ok());
  ASSERT_TRUE(builder.Learn(Call("", "front", "GET"), 15 * kSecond).ok());
  builder.Forget(16 * kSecond);
  const Topology& topology = builder.topology();
  EXPECT_TRUE(topology.IsLive(in.callee));
  EXPECT_FALSE(topology.IsLive(old.callee));
  EXPECT_FALSE(topology.IsLive(old.request_class));
  EXPECT_FALSE(topology.FindService("cart"));
  EXPECT_EQ(builder.stats().edges_forgotten, 2u);
  EXPECT_EQ(builder.stats().services_forgotten, 2u);
  // It comes again, with another id.
  EXPECT_NE(builder.Learn(Call("", "old", "GET old"), 20 * kSecond).value().callee, old.callee);
}

// A node with two services, and spans as seer's own recorder makes them.
class NodeSpansTest : public ::testing::Test {
 protected:
  NodeSpansTest() : node(Topology::OfNode("node-1", 77).value()) {
    // Other ids than those that the builder will give.
    (void)node.AddService("unused").value();
    front = node.AddService("front").value();
    cart = node.AddService("cart").value();
    front_1 = node.AddInstance(front, "front-1").value();
    cart_1 = node.AddInstance(cart, "cart-1").value();
    page = node.AddMethod(front, "Page").value();
    get = node.AddMethod(cart, "Get").value();
    edge = node.AddEdge(front, cart).value();
  }
  SpanBatch Batch(InstanceId instance, std::vector<Span> spans) const {
    SpanBatch batch;
    batch.origin = node.origin();
    batch.instance = instance;
    batch.spans = std::move(spans);
    return batch;
  }
  static Span Make(SpanSide side, std::uint64_t id, std::uint64_t parent, MethodId method,
                   std::int64_t at_ns) {
    Span span;
    span.SetIds({1, 1}, id, parent);
    span.set_method(method);
    span.set_outcome(Outcome::kOk);
    Span::Stamps stamps;
    if (side == SpanSide::kServer) {
      stamps = {at_ns, at_ns + 10, at_ns + 12, at_ns + 90, at_ns + 100};
    } else {
      stamps = {at_ns, at_ns + 1, at_ns + 199, at_ns + 200, std::nullopt};
    }
    span.SetStamps(side, stamps);
    return span;
  }
  void Learn(const SpanBatch& batch, std::int64_t now_ns) {
    ASSERT_TRUE(
        builder
            .LearnSpans(batch, now_ns,
                        [this](const SpanInterval& interval) { intervals.push_back(interval); })
            .ok());
  }

  Topology node;
  ServiceId front, cart;
  InstanceId front_1, cart_1;
  MethodId page, get;
  EdgeId edge;
  TopologyBuilder builder;
  std::vector<SpanInterval> intervals;
};

TEST_F(NodeSpansTest, AsksForTheNumbering) {
  EXPECT_EQ(builder.LearnSpans(Batch(front_1, {Span()}), 0, [](const SpanInterval&) {}).code(),
            absl::StatusCode::kNotFound);
  ASSERT_TRUE(builder.LearnNode(node).ok());
  SpanBatch batch = Batch(front_1, {});
  batch.origin.epoch = 78;
  EXPECT_EQ(builder.LearnSpans(batch, 0, [](const SpanInterval&) {}).code(),
            absl::StatusCode::kNotFound);
  EXPECT_EQ(builder.stats().without_numbering, 1u);
}

TEST_F(NodeSpansTest, SpansBecomeIntervalsInOurNumbering) {
  ASSERT_TRUE(builder.LearnNode(node).ok());
  Span call = Make(SpanSide::kClient, 20, 10, get, 2000);
  call.set_edge(edge);
  Learn(Batch(front_1, {Make(SpanSide::kServer, 10, 0, page, 1000), call}), 5000);
  Learn(Batch(cart_1, {Make(SpanSide::kServer, 30, 20, get, 2050)}), 5000);
  ASSERT_EQ(intervals.size(), 3u);
  const Topology& ours = builder.topology();
  const ServiceId our_front = *ours.FindService("front");
  const ServiceId our_cart = *ours.FindService("cart");
  EXPECT_TRUE(intervals[0].root);
  EXPECT_EQ(intervals[0].callee, our_front);
  EXPECT_EQ(ours.request_class(intervals[0].request_class).name, "Page");
  EXPECT_EQ(intervals[0].start_ns, 1000);
  EXPECT_EQ(intervals[0].work_ns, 1010);
  EXPECT_EQ(intervals[0].end_ns, 1100);
  EXPECT_TRUE(intervals[0].queue_known);
  EXPECT_EQ(intervals[1].side, SpanSide::kClient);
  EXPECT_EQ(intervals[1].edge, *ours.FindEdge(our_front, our_cart));
  EXPECT_EQ(intervals[1].end_ns, 2200);
  EXPECT_EQ(intervals[2].caller, our_front) << "its parent's";
  EXPECT_EQ(intervals[2].edge, intervals[1].edge);
  EXPECT_FALSE(intervals[2].root);
}

TEST_F(NodeSpansTest, EdgesThatNobodyDeclaredAreLearntFromParents) {
  ASSERT_TRUE(node.RemoveEdge(edge).ok());
  ASSERT_TRUE(builder.LearnNode(node).ok());
  // The callee's span comes first and waits for its parent's.
  Learn(Batch(cart_1, {Make(SpanSide::kServer, 30, 20, get, 2050)}), 5000);
  EXPECT_TRUE(intervals.empty());
  Learn(Batch(front_1, {Make(SpanSide::kClient, 20, 10, get, 2000)}), 6000);
  ASSERT_EQ(intervals.size(), 2u);
  const Topology& ours = builder.topology();
  EXPECT_TRUE(ours.FindEdge(*ours.FindService("front"), *ours.FindService("cart")));
  EXPECT_EQ(intervals[0].caller, *ours.FindService("front"));
}

TEST_F(NodeSpansTest, WhoseParentDoesNotComeIsHandedOnWithoutCaller) {
  ASSERT_TRUE(builder.LearnNode(node).ok());
  Learn(Batch(cart_1, {Make(SpanSide::kServer, 30, 20, get, 2050)}), 5000);
  builder.FlushJoins(5000 + 2 * kSecond, [&](const SpanInterval& i) { intervals.push_back(i); });
  EXPECT_TRUE(intervals.empty());
  builder.FlushJoins(5001 + 2 * kSecond, [&](const SpanInterval& i) { intervals.push_back(i); });
  ASSERT_EQ(intervals.size(), 1u);
  EXPECT_FALSE(intervals[0].edge.valid());
  EXPECT_EQ(builder.stats().without_caller, 1u);
}

TEST_F(NodeSpansTest, SpansWithoutAnEndAreCounted) {
  ASSERT_TRUE(builder.LearnNode(node).ok());
  Span span;
  span.SetStamps(SpanSide::kServer, {1, 2, 3, std::nullopt, std::nullopt});
  Learn(Batch(front_1, {span}), 5000);
  EXPECT_TRUE(intervals.empty());
  EXPECT_EQ(builder.stats().unfinished, 1u);
}

// A tool that sends one traceparent with all of its requests. Each of them must not cost a look at
// all others: this would take minutes.
TEST_F(NodeSpansTest, ManyMayWaitForTheSameParent) {
  TopologyBuilderOptions options;
  options.max_joins = 1 << 17;
  options.join_ns = 1 << 17;
  builder = TopologyBuilder(options);
  ASSERT_TRUE(builder.LearnNode(node).ok());
  constexpr std::int64_t kMany = 100'000;
  for (std::int64_t i = 0; i < kMany; ++i) {
    Learn(
        Batch(cart_1, {Make(SpanSide::kServer, 1000 + static_cast<std::uint64_t>(i), 20, get, i)}),
        i);
  }
  EXPECT_TRUE(intervals.empty());
  const auto keep = [&](const SpanInterval& interval) { intervals.push_back(interval); };
  builder.FlushJoins(options.join_ns + kMany / 2, keep);
  ASSERT_EQ(intervals.size(), static_cast<std::size_t>(kMany / 2));
  EXPECT_EQ(builder.stats().without_caller, intervals.size());
  // Then the parent comes after all.
  Learn(Batch(front_1, {Make(SpanSide::kClient, 20, 10, get, 2000)}), options.join_ns + kMany / 2);
  ASSERT_EQ(intervals.size(), static_cast<std::size_t>(kMany + 1));
  const ServiceId our_front = *builder.topology().FindService("front");
  for (std::int64_t i = 0; i < kMany; ++i) {
    const SpanInterval& interval = intervals[static_cast<std::size_t>(i)];
    ASSERT_EQ(interval.start_ns, i) << "in the order in which they came";
    ASSERT_EQ(interval.caller, i < kMany / 2 ? ServiceId() : our_front);
  }
  builder.FlushJoins(10 * kSecond, keep);
  EXPECT_EQ(intervals.size(), static_cast<std::size_t>(kMany + 1)) << "each once";
}

TEST_F(NodeSpansTest, WhatWaitsIsBounded) {
  TopologyBuilderOptions options;
  options.max_joins = 8;
  builder = TopologyBuilder(options);
  ASSERT_TRUE(builder.LearnNode(node).ok());
  for (std::uint64_t i = 1; i <= 100; ++i) {
    Learn(Batch(cart_1, {Make(SpanSide::kServer, 1000 + i, 5000 + i, get, 2050)}),
          static_cast<std::int64_t>(i));
  }
  EXPECT_GE(intervals.size(), 92u);
  EXPECT_EQ(builder.stats().without_caller, intervals.size());
}

}  // namespace
}  // namespace seer
