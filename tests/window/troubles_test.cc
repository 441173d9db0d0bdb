// CulpritFinder of labels.h where it looks beyond the violation's own class: whose network it is,
// and for whom those wait that only wait.
#include <chrono>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "seer/window/labels.h"

namespace seer {
namespace {

// A call as it goes, in ms: the way there, the queue, own time, the calls in a row, the way back.
struct Call {
  explicit Call(ServiceId to) : callee(to) {}

  ServiceId callee;
  double there = 0.1, queue = 0, own = 1, back = 0.1;
  std::vector<Call> calls;
  double patience = 0;  // above 0: its caller gives it up then, and nobody serves it
};

class TroublesTest : public ::testing::Test {
 protected:
  // On a host of its own, unless one is given.
  ServiceId Service(const std::string& name, NodeId host = {}) {
    const ServiceId id = topology_.AddService(name).value();
    if (!host.valid()) host = topology_.AddNode("host-of-" + name).value();
    (void)topology_.AddInstance(id, name, host).value();
    return id;
  }
  void Edge(ServiceId caller, ServiceId callee) { (void)topology_.AddEdge(caller, callee).value(); }
  ClassId Class(const std::string& name, ServiceId entry) {
    return topology_
        .AddRequestClass(
            "", name,
            QosTarget::Percentile(0.99, std::chrono::milliseconds(60), std::chrono::seconds(1)),
            entry)
        .value();
  }
  void Request(ClassId id, double at, const Call& call) {
    ++trace_;
    spans_.clear();
    (void)Make(call, ServiceId(), at, 0);
    for (SpanInterval& span : spans_) {
      span.root = span.parent_id == 0 || span.parent_id == 1;
      if (span.root) span.request_class = id;
    }
    RequestTrace trace;
    AssembleTrace(spans_, &trace);
    finder_.Observe(trace);
  }
  Attribution Find(ClassId id, double at) const {
    Violation violation;
    violation.request_class = id;
    violation.start_ns = static_cast<std::int64_t>(at * 1e6);
    violation.end_ns = violation.start_ns + 1'000'000'000;
    return finder_.Find(violation);
  }
  void Anew() { finder_ = CulpritFinder(&topology_); }

  Topology topology_;

 private:
  // Returns when its caller has the answer.
  double Make(const Call& call, ServiceId caller, double at, std::uint64_t parent) {
    const auto id = static_cast<std::uint64_t>(spans_.size()) + 1;
    SpanInterval span;
    span.trace = {1, trace_};
    span.span_id = id;
    span.parent_id = parent;
    span.caller = caller;
    span.callee = call.callee;
    span.start_ns = static_cast<std::int64_t>(at * 1e6);
    spans_.push_back(span);
    double now = at + call.there;
    if (call.patience > 0) {
      now = at + call.patience;
      spans_.back().outcome = Outcome::kTimedOut;
    } else {
      span.side = SpanSide::kServer;
      span.span_id = id + 1;
      span.parent_id = id;
      span.start_ns = static_cast<std::int64_t>(now * 1e6);
      span.queue_known = true;
      now += call.queue;
      span.work_ns = static_cast<std::int64_t>(now * 1e6);
      const std::size_t served = spans_.size();
      spans_.push_back(span);
      now += call.own;
      for (const Call& below : call.calls) now = Make(below, call.callee, now, id + 1);
      spans_[served].end_ns = static_cast<std::int64_t>(now * 1e6);
      now += call.back;
    }
    spans_[id - 1].end_ns = static_cast<std::int64_t>(now * 1e6);
    return now;
  }

  CulpritFinder finder_{&topology_};
  std::vector<SpanInterval> spans_;
  std::uint64_t trace_ = 0;
};

TEST_F(TroublesTest, WhatKeepsRequestsFromComingInIsNoServicesDoing) {
  const ServiceId entry = Service("entry"), shop = Service("shop"), cart = Service("cart");
  Edge(ServiceId(), entry);
  Edge(entry, shop);
  Edge(shop, cart);
  const ClassId page = Class("page", entry);
  // For 300 ms what comes from outside comes 200 ms late; `answers`: and half of the calls' answers
  // to the entry too, as where its own host cannot be reached.
  const auto find = [&](bool answers) {
    Anew();
    for (int i = 0; i < 4200; ++i) {
      const double at = i * 10;
      Call call(entry);
      call.calls = {Call(shop)};
      call.calls[0].calls = {Call(cart)};
      if (at >= 40000 && at < 40300) {
        call.there = 200;
        if (answers && i % 2 == 0) call.calls[0].back = 200;
      }
      Request(page, at, call);
    }
    return Find(page, 40200);
  };
  const Attribution nobody = find(false);
  EXPECT_EQ(nobody.initiation, Initiation::kLoad);
  EXPECT_FALSE(nobody.culprit.valid());
  const Attribution host = find(true);
  EXPECT_EQ(host.initiation, Initiation::kService);
  EXPECT_EQ(host.culprit, entry);
}

TEST_F(TroublesTest, AnEntryWhoseAnswersGetLostTooIsToBlame) {
  const ServiceId entry = Service("entry"), shop = Service("shop");
  Edge(ServiceId(), entry);
  Edge(entry, shop);
  const ClassId page = Class("page", entry);
  for (int i = 0; i < 4200; ++i) {
    Call call(entry);
    call.calls = {Call(shop)};
    if (i >= 4000 && i % 3 == 0) (i % 2 == 0 ? call.there : call.back) = 200;
    Request(page, i * 10, call);
  }
  const Attribution found = Find(page, 40200);
  EXPECT_EQ(found.initiation, Initiation::kService);
  EXPECT_EQ(found.culprit, entry);
}

// entry -> shop -> stock -> cache; shop and cache on one host, to which messages come late.
TEST_F(TroublesTest, OfTheServicesOnAHostThatIsHardToReachTheOneThatLostMost) {
  const NodeId host = topology_.AddNode("hard-to-reach").value();
  const ServiceId entry = Service("entry"), shop = Service("shop", host);
  const ServiceId stock = Service("stock"), cache = Service("cache", host);
  Edge(ServiceId(), entry);
  Edge(entry, shop);
  Edge(shop, stock);
  Edge(stock, cache);
  const ClassId page = Class("page", entry);
  const auto find = [&](double to_shop, double to_cache) {
    Anew();
    for (int i = 0; i < 4200; ++i) {
      Call call(entry);
      call.calls = {Call(shop)};
      call.calls[0].calls = {Call(stock)};
      call.calls[0].calls[0].calls = {Call(cache)};
      if (i >= 4000) {
        call.calls[0].there += to_shop;
        call.calls[0].calls[0].back += 8;  // the answer to shop
        call.calls[0].calls[0].calls[0].there += to_cache;
      }
      Request(page, i * 10, call);
    }
    return Find(page, 40200);
  };
  // Not stock, whose answer is late, nor the deepest.
  const Attribution most = find(60, 40);
  EXPECT_EQ(most.initiation, Initiation::kService);
  EXPECT_EQ(most.culprit, shop);
  ASSERT_FALSE(most.suspects.empty());
  EXPECT_EQ(most.suspects[0].service, shop);
  EXPECT_EQ(find(20, 90).culprit, cache);
}

// Two classes share the entry. `buy` never comes to those that wait for each other.
class DeadlockTest : public TroublesTest {
 protected:
  DeadlockTest() {
    entry = Service("entry"), cart = Service("cart");
    search = Service("search"), geo = Service("geo");
    Edge(ServiceId(), entry);
    Edge(entry, cart);
    Edge(entry, search);
    Edge(search, geo);
    Edge(geo, search);
    buy = Class("buy", entry), look = Class("look", entry);
  }
  // From 40 s on geo calls search back, in vain, and all requests stand in the entry's queue.
  Attribution FindWith(double patience_ms) {
    Anew();
    for (int i = 0; i < 4200; ++i) {
      const double queue = i < 4000 ? 0 : 800;
      Call bought(entry);
      bought.queue = queue;
      bought.calls = {Call(cart)};
      Call looked(entry);
      looked.queue = queue;
      looked.calls = {Call(search)};
      looked.calls[0].calls = {Call(geo)};
      if (i >= 4000) {
        Call back(search);
        back.patience = patience_ms;
        looked.calls[0].calls[0].calls = {back};
      }
      Request(i % 2 == 0 ? buy : look, i * 10, i % 2 == 0 ? bought : looked);
    }
    return Find(buy, 40200);
  }

  ServiceId entry, cart, search, geo;
  ClassId buy, look;
};

TEST_F(DeadlockTest, AQueueBeforeWorkersThatWaitIsTheDoingOfWhoLeavesThemUnanswered) {
  const Attribution found = FindWith(2000);
  EXPECT_EQ(found.initiation, Initiation::kService);
  EXPECT_EQ(found.culprit, search);
  ASSERT_GE(found.suspects.size(), 2u);
  EXPECT_EQ(found.suspects[0].service, search);
  EXPECT_EQ(found.suspects[1].service, entry) << "where the requests stood";
}

TEST_F(DeadlockTest, WaitingThatDoesNotAccountForTheQueueExplainsNothing) {
  EXPECT_EQ(FindWith(50).culprit, entry);
}

}  // namespace
}  // namespace seer
