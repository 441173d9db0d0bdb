#include "seer/window/labels.h"

#include <chrono>
#include <random>
#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace seer {
namespace {

constexpr std::int64_t kMs = 1'000'000;
constexpr std::int64_t kSecond = 1000 * kMs;

Violation At(std::int64_t start_ms, std::int64_t end_ms, ClassId id = ClassId(0)) {
  Violation violation;
  violation.request_class = id;
  violation.start_ns = start_ms * kMs;
  violation.end_ns = end_ms * kMs;
  return violation;
}

TEST(LabelTicks, TellsForEachHorizonWhetherAViolationStarts) {
  const Violation violations[] = {At(1000, 1500)};
  const std::int64_t horizons[] = {100 * kMs, 300 * kMs, kSecond};
  std::vector<TickLabel> labels;
  LabelTicks({0, 40, TickPeriod(), 0}, violations, horizons, ClassId(), &labels);
  ASSERT_EQ(labels.size(), 40u);
  // Tick 8 ends at 900 ms: the violation starts within 100 ms.
  EXPECT_EQ(labels[8].starts, 7u);
  EXPECT_EQ(labels[8].known, 7u);
  EXPECT_EQ(labels[8].next, 0);
  EXPECT_EQ(labels[7].starts, 6u) << "in 200 ms";
  EXPECT_EQ(labels[5].starts, 4u);
  EXPECT_EQ(labels[0].starts, 4u);
  // Tick 9 ends at its start: it has started.
  EXPECT_EQ(labels[9].starts, 0u);
  EXPECT_TRUE(labels[9].in_violation);
  EXPECT_EQ(labels[9].known, 0u);
  EXPECT_TRUE(labels[14].in_violation);
  EXPECT_FALSE(labels[15].in_violation);
  EXPECT_EQ(labels[15].known, 7u);
  // The recording ends at 4 s: what starts in the second after tick 30 is not known.
  EXPECT_EQ(labels[29].known, 7u);
  EXPECT_EQ(labels[30].known, 3u);
  EXPECT_EQ(labels[37].known, 1u);
  EXPECT_EQ(labels[39].known, 0u);
}

TEST(LabelTicks, OtherClassesAreOthers) {
  const Violation violations[] = {At(1000, 1500, ClassId(1)), At(2000, 2500, ClassId(0))};
  const std::int64_t horizons[] = {kSecond};
  std::vector<TickLabel> labels;
  LabelTicks({0, 30, TickPeriod(), 0}, violations, horizons, ClassId(0), &labels);
  EXPECT_EQ(labels[5].starts, 0u);
  EXPECT_EQ(labels[12].starts, 1u);
  EXPECT_EQ(labels[12].next, 1);
  EXPECT_FALSE(labels[12].in_violation);
}

TEST(LabelTicks, AnOpenViolationLastsToTheEnd) {
  Violation open = At(1000, 1500);
  open.open = true;
  const std::int64_t horizons[] = {100 * kMs};
  std::vector<TickLabel> labels;
  LabelTicks({0, 30, TickPeriod(), 0}, absl::MakeSpan(&open, 1), horizons, ClassId(), &labels);
  EXPECT_TRUE(labels[29].in_violation);
  LabelTicks({0, 0, TickPeriod(), 0}, {}, {}, ClassId(), &labels);
  EXPECT_TRUE(labels.empty());
}

TEST(LabelTicks, AgreesWithTheDefinition) {
  std::mt19937 random(2);
  for (int round = 0; round < 100; ++round) {
    std::vector<Violation> violations;
    std::int64_t at = 0;
    for (int i = 0; i < 5; ++i) {
      at += 100 * static_cast<std::int64_t>(1 + random() % 30);
      const std::int64_t end = at + 100 * static_cast<std::int64_t>(random() % 20);
      violations.push_back(At(at, end));
      at = end + 100;
    }
    const std::int64_t horizons[] = {100 * kMs, 250 * kMs, 700 * kMs, 2 * kSecond};
    std::vector<TickLabel> labels;
    const LabelRange range{3, 100, TickPeriod(), 0};
    LabelTicks(range, violations, horizons, ClassId(0), &labels);
    const std::int64_t known_until = range.period.EndNs(102);
    for (const TickLabel& label : labels) {
      const std::int64_t now = range.period.EndNs(label.tick);
      bool lasts = false;
      for (const Violation& v : violations) lasts = lasts || (v.start_ns <= now && now <= v.end_ns);
      ASSERT_EQ(label.in_violation, lasts);
      for (unsigned h = 0; h < 4; ++h) {
        bool starts = false;
        for (const Violation& v : violations) {
          starts = starts || (v.start_ns > now && v.start_ns <= now + horizons[h]);
        }
        ASSERT_EQ(label.starts >> h & 1, starts ? 1u : 0u);
        ASSERT_EQ(label.known >> h & 1,
                  !lasts && (starts || now + horizons[h] <= known_until) ? 1u : 0u);
      }
    }
  }
}

TEST(Apply, WritesWhatWasFound) {
  Attribution found;
  found.initiation = Initiation::kService;
  found.culprit = ServiceId(4);
  found.confidence = 0.5f;
  Violation violation;
  Apply(found, &violation);
  EXPECT_EQ(violation.culprit, ServiceId(4));
  EXPECT_EQ(violation.initiation, Initiation::kService);
  found.initiation = Initiation::kLoad;
  Apply(found, &violation);
  EXPECT_FALSE(violation.culprit.valid());
}

// client -> front -> { left, right -> deep }, and front tells `mailer` without waiting.
class CulpritTest : public ::testing::Test {
 protected:
  // What a request spends, in ms.
  struct Spends {
    double front = 4, left = 6, right = 3, deep = 5, mailer = 10;
    double front_waits = 0;    // for a connection to right, in front's own time
    double right_waits = 0;    // for one to deep
    double deep_queue = 0;     // in deep's queue
    double right_way = 0;      // of each message to right and from it
    double deep_way = 0;       // so too of deep
    int timeouts = 0;          // calls to deep of which only the caller knows
    double patience = 30;      // after which right gives them up
    bool deep_records = true;  // what deep serves
  };

  CulpritTest() {
    front = topology.AddService("front").value();
    left = topology.AddService("left").value();
    right = topology.AddService("right").value();
    deep = topology.AddService("deep").value();
    mailer = topology.AddService("mailer").value();
    (void)topology.AddEdge(ServiceId(), front).value();
    (void)topology.AddEdge(front, left).value();
    (void)topology.AddEdge(front, right).value();
    (void)topology.AddEdge(right, deep).value();
    (void)topology.AddEdge(front, mailer, EdgeKind::kAsync).value();
    page = topology
               .AddRequestClass("", "page",
                                QosTarget::Percentile(0.99, std::chrono::milliseconds(60),
                                                      std::chrono::seconds(1)),
                                front)
               .value();
  }

  double Noise(double mean) {
    return mean * std::uniform_real_distribution<double>(0.7, 1.3)(random_);
  }
  SpanInterval Span(SpanSide side, std::uint64_t id, std::uint64_t parent, ServiceId caller,
                    ServiceId callee, double start, double work, double end) const {
    SpanInterval span;
    span.trace = {1, next_};
    span.side = side;
    span.span_id = id;
    span.parent_id = parent;
    span.caller = caller;
    span.callee = callee;
    span.start_ns = static_cast<std::int64_t>(start * 1e6);
    span.work_ns = static_cast<std::int64_t>(work * 1e6);
    span.end_ns = static_cast<std::int64_t>(end * 1e6);
    span.queue_known = side == SpanSide::kServer;
    return span;
  }
  // One request that begins at a time, in ms.
  void Request(double at, const Spends& spends) {
    ++next_;
    std::vector<SpanInterval> spans;
    const double begun = at + Noise(spends.front) / 2 + spends.front_waits;
    // left and right in parallel.
    const double left_end = begun + Noise(spends.left);
    spans.push_back(Span(SpanSide::kClient, 2, 1, front, left, begun, 0, left_end));
    spans.push_back(Span(SpanSide::kServer, 3, 2, front, left, begun, begun, left_end));
    const double way = spends.right_way + spends.deep_way;
    double now = begun + spends.right_way + Noise(spends.right) / 2 + spends.right_waits;
    std::uint64_t id = 10;
    for (int i = 0; i < spends.timeouts; ++i) {
      const double until = now + spends.patience;
      spans.push_back(Span(SpanSide::kClient, id++, 5, right, deep, now, 0, until));
      spans.back().outcome = Outcome::kTimedOut;
      now = until + 1;
    }
    const double queue = Noise(spends.deep_queue);
    const double deep_end = now + way + queue + Noise(spends.deep);
    spans.push_back(Span(SpanSide::kClient, 6, 5, right, deep, now, 0, deep_end + way));
    if (spends.deep_records) {
      spans.push_back(
          Span(SpanSide::kServer, 7, 6, right, deep, now + way, now + way + queue, deep_end));
    }
    const double right_end = deep_end + way + Noise(spends.right) / 2;
    const double answered = right_end + spends.right_way;
    const double reached = begun + spends.right_way;
    spans.push_back(Span(SpanSide::kClient, 4, 1, front, right, begun, 0, answered));
    spans.push_back(Span(SpanSide::kServer, 5, 4, front, right, reached, reached, right_end));
    const double end = std::max(left_end, answered) + Noise(spends.front) / 2;
    spans.push_back(
        Span(SpanSide::kClient, 8, 1, front, mailer, begun, 0, begun + Noise(spends.mailer)));
    spans.back().async = true;
    SpanInterval root = Span(SpanSide::kServer, 1, 0, ServiceId(), front, at, at, end);
    root.root = true;
    root.request_class = page;
    spans.push_back(root);
    RequestTrace trace;
    AssembleTrace(spans, &trace);
    finder_.Observe(trace);
  }
  // 40 s as always, then a fault of 3 s; the violation starts 0.5 s after it.
  Attribution Find(const Spends& fault, double usual_gap_ms = 10, double fault_gap_ms = 10) {
    finder_ = CulpritFinder(&topology);
    for (double at = 0; at < 40000; at += usual_gap_ms) Request(at, Spends());
    for (double at = 40000; at < 43000; at += fault_gap_ms) Request(at, fault);
    return finder_.Find(At(40500, 43000, page));
  }

  Topology topology;
  ServiceId front, left, right, deep, mailer;
  ClassId page;
  std::mt19937 random_{7};
  std::uint64_t next_ = 0;
  CulpritFinder finder_{&topology};
};

TEST_F(CulpritTest, ASlowBackEnd) {
  Spends fault;
  fault.deep = 120;
  const Attribution found = Find(fault);
  EXPECT_EQ(found.initiation, Initiation::kService);
  EXPECT_EQ(found.culprit, deep);
  EXPECT_GT(found.confidence, 0.8f);
  ASSERT_FALSE(found.suspects.empty());
  EXPECT_EQ(found.suspects[0].service, deep);
  EXPECT_EQ(found.suspects[0].depth, 2u);
  EXPECT_GT(found.suspects[0].own_growth_ns, 100 * kMs);
  EXPECT_NEAR(static_cast<double>(found.suspects[0].since_ns) / 1e6, 40100, 150);
}

TEST_F(CulpritTest, ASlowFrontEnd) {
  Spends fault;
  fault.front = 150;
  EXPECT_EQ(Find(fault).culprit, front);
}

TEST_F(CulpritTest, AServiceInTheMiddle) {
  Spends fault;
  fault.right = 150;
  EXPECT_EQ(Find(fault).culprit, right);
}

TEST_F(CulpritTest, ItsQueueCountsToo) {
  Spends fault;
  fault.deep_queue = 120;
  const Attribution found = Find(fault);
  EXPECT_EQ(found.culprit, deep);
  EXPECT_GT(found.suspects[0].queue_growth_ns, 100 * kMs);
}

TEST_F(CulpritTest, BackPressureDoesNotBlameThoseWhoWait) {
  Spends fault;
  fault.deep = 60;
  fault.right_waits = 150;  // far longer than what they wait for
  fault.front_waits = 300;
  const Attribution found = Find(fault);
  EXPECT_EQ(found.initiation, Initiation::kService);
  EXPECT_EQ(found.culprit, deep);
  EXPECT_EQ(found.suspects.size(), 3u);
}

TEST_F(CulpritTest, OnOneHostEachIsSlowByItself) {
  Spends fault;
  fault.deep = 60;
  fault.right_waits = 150;
  EXPECT_EQ(Find(fault).culprit, deep) << "right may wait for it";
  const NodeId host = topology.AddNode("host").value();
  (void)topology.AddInstance(right, "right-1", host).value();
  (void)topology.AddInstance(deep, "deep-1", host).value();
  EXPECT_EQ(Find(fault).culprit, right) << "what troubles the host troubles both";
}

// Eight services call one another in a row, each on a host of its own.
TEST(CulpritFinder, WhatDelaysEverybodysMessagesIsNoServicesDoing) {
  Topology topology;
  std::vector<ServiceId> services;
  for (int i = 0; i < 8; ++i) {
    const std::string name = "s" + std::to_string(i);
    services.push_back(topology.AddService(name).value());
    const NodeId host = topology.AddNode("host-" + name).value();
    (void)topology.AddInstance(services.back(), name, host).value();
    (void)topology.AddEdge(i == 0 ? ServiceId() : services[i - 1], services[i]).value();
  }
  const ClassId page =
      topology
          .AddRequestClass(
              "", "page",
              QosTarget::Percentile(0.99, std::chrono::milliseconds(60), std::chrono::seconds(1)),
              services[0])
          .value();
  std::mt19937 random(3);
  // From 40 s on a reply comes 200 ms late: to the service that is given, or to any of them.
  const auto find = [&](int late_at) {
    CulpritFinder finder(&topology);
    for (double at = 0; at < 43000; at += 10) {
      const int late = at < 40000 ? -1 : late_at >= 0 ? late_at : static_cast<int>(random() % 8);
      RequestTrace trace;
      trace.request_class = page;
      double begin = at, end = at + 20 + (late >= 0 ? 200 : 0);
      for (int i = 0; i < 8; ++i) {
        const double reply = 0.1 + (late == i ? 200 : 0);
        Hop hop;
        hop.parent = i - 1;
        if (i > 0) hop.caller = services[i - 1];
        hop.callee = services[i];
        hop.has_client = hop.has_server = true;
        hop.client_start_ns = hop.start_ns = static_cast<std::int64_t>(begin * 1e6);
        hop.client_end_ns = hop.end_ns = static_cast<std::int64_t>(end * 1e6);
        hop.server_start_ns = static_cast<std::int64_t>((begin + 0.1) * 1e6);
        hop.server_end_ns = static_cast<std::int64_t>((end - reply) * 1e6);
        hop.queue_ns = hop.critical_queue_ns = static_cast<std::int64_t>((0.1 + reply) * 1e6);
        hop.own_ns = hop.critical_own_ns = 2 * kMs;
        trace.hops.push_back(hop);
        begin += 1.1;
        end -= reply + 1;
      }
      finder.Observe(trace);
    }
    return finder.Find(At(40500, 43000, page));
  };
  EXPECT_EQ(find(-1).initiation, Initiation::kLoad);
  const Attribution one = find(5);
  EXPECT_EQ(one.initiation, Initiation::kService);
  EXPECT_EQ(one.culprit, services[5]);
}

TEST_F(CulpritTest, NetworkTroubleBlamesTheServiceWhoseWaysAreLong) {
  Spends fault;
  fault.right_way = 40;  // also those to deep, which is innocent
  const Attribution found = Find(fault);
  EXPECT_EQ(found.initiation, Initiation::kService);
  EXPECT_EQ(found.culprit, right);
  EXPECT_GT(found.suspects[0].queue_growth_ns, 120 * kMs);
  fault.right_way = 0;
  fault.deep_way = 60;
  EXPECT_EQ(Find(fault).culprit, deep) << "of one way's two ends the callee";
}

TEST_F(CulpritTest, OfTheBranchesTheOneThatBecameSlow) {
  Spends fault;
  fault.left = 140;
  EXPECT_EQ(Find(fault).culprit, left);
}

TEST_F(CulpritTest, ABranchThatIsSlowBehindAnotherIsInnocent) {
  Spends fault;
  fault.deep = 200;
  fault.left = 60;  // slower than usual, and yet nobody waits for it
  EXPECT_EQ(Find(fault).culprit, deep);
}

TEST_F(CulpritTest, RetriesBlameTheOneWhoDoesNotAnswer) {
  Spends fault;
  fault.timeouts = 3;
  EXPECT_EQ(Find(fault).culprit, deep);
  fault.deep_records = false;
  EXPECT_EQ(Find(fault).culprit, deep) << "also where it says nothing at all";
}

TEST_F(CulpritTest, WhoGivesUpWhatTakesNoLongerThanUsualIsToBlameItself) {
  Spends fault;
  fault.timeouts = 20;
  fault.patience = 5;  // as long as deep takes
  const Attribution found = Find(fault);
  EXPECT_EQ(found.initiation, Initiation::kService);
  EXPECT_EQ(found.culprit, right);
}

TEST_F(CulpritTest, RequestsThatFailBlameTheServiceThatFailsFirst) {
  // Nobody becomes slower; from 40 s on deep turns every third request away.
  int n = 0;
  const auto request = [&](double at, bool fails) {
    RequestTrace trace;
    trace.request_class = page;
    const ServiceId services[] = {front, right, deep};
    for (int i = 0; i < 3; ++i) {
      Hop hop;
      hop.parent = i - 1;
      hop.callee = services[i];
      hop.start_ns = static_cast<std::int64_t>((at + i) * 1e6);
      hop.end_ns = static_cast<std::int64_t>((at + 12 - i) * 1e6);
      hop.critical_own_ns = 2 * kMs;
      hop.outcome = !fails ? Outcome::kOk : i == 2 ? Outcome::kRejected : Outcome::kFailed;
      trace.hops.push_back(hop);
    }
    finder_.Observe(trace);
  };
  for (double at = 0; at < 40000; at += 10) request(at, ++n % 50 == 0);  // as always
  EXPECT_EQ(finder_.Find(At(39900, 40000, page)).initiation, Initiation::kUnknown);
  for (double at = 40000; at < 43000; at += 10) request(at, ++n % 3 == 0);
  const Attribution found = finder_.Find(At(40500, 43000, page));
  EXPECT_EQ(found.initiation, Initiation::kService);
  EXPECT_EQ(found.culprit, deep);
  EXPECT_NEAR(static_cast<double>(found.slow_requests), 45, 10);
}

TEST_F(CulpritTest, WhatIsDoneAsynchronouslyDelaysNobody) {
  Spends fault;
  fault.mailer = 500;
  fault.deep = 120;
  EXPECT_EQ(Find(fault).culprit, deep);
  fault.deep = 5;
  EXPECT_EQ(Find(fault).initiation, Initiation::kUnknown);
}

TEST_F(CulpritTest, MoreRequestsThanUsualAreLoad) {
  Spends fault;
  fault.deep_queue = 120;
  const Attribution found = Find(fault, 10, 5);
  EXPECT_EQ(found.initiation, Initiation::kLoad);
  EXPECT_FALSE(found.culprit.valid());
  EXPECT_GT(found.request_rate_growth, 1.4) << "half of the last second";
  EXPECT_FALSE(found.suspects.empty()) << "who gave way first is told all the same";
}

TEST_F(CulpritTest, NothingToGoByIsUnknown) {
  EXPECT_EQ(Find(Spends()).initiation, Initiation::kUnknown) << "nobody was slow";
  CulpritFinder fresh(&topology);
  EXPECT_EQ(fresh.Find(At(40500, 43000, page)).initiation, Initiation::kUnknown);
  EXPECT_EQ(fresh.Find(At(40500, 43000, ClassId(7))).initiation, Initiation::kUnknown);
  // Only the time of the fault was recorded: nobody knows what is usual.
  finder_ = CulpritFinder(&topology);
  Spends fault;
  fault.deep = 120;
  for (double at = 40000; at < 43000; at += 10) Request(at, fault);
  EXPECT_EQ(finder_.Find(At(40500, 43000, page)).initiation, Initiation::kUnknown);
}

TEST_F(CulpritTest, FewRequestsGiveLittleConfidence) {
  Spends fault;
  fault.deep = 120;
  const Attribution found = Find(fault, 300, 300);
  EXPECT_EQ(found.culprit, deep);
  EXPECT_LT(found.confidence, 0.7f);
}

// Each a row of its own, if it were kept: looking for it would take minutes.
TEST_F(CulpritTest, ServicesThatTheTopologyDoesNotHaveAreLeftOut) {
  for (double at = 0; at < 40000; at += 10) Request(at, Spends());
  RequestTrace trace;
  trace.request_class = page;
  trace.hops.resize(1000);
  for (std::uint32_t request = 0; request < 300; ++request) {
    for (std::size_t i = 0; i < trace.hops.size(); ++i) {
      Hop& hop = trace.hops[i];
      hop.parent = static_cast<std::int32_t>(i) - 1;
      hop.caller = i == 0 ? ServiceId() : front;
      hop.callee = ServiceId(1000 + request * 1000 + static_cast<std::uint32_t>(i));
      hop.has_client = hop.has_server = true;
      hop.start_ns = hop.client_start_ns = hop.server_start_ns = 40'050 * kMs;
      hop.end_ns = hop.client_end_ns = hop.server_end_ns = 40'060 * kMs;
      hop.own_ns = hop.critical_own_ns = 10 * kMs;
    }
    finder_.Observe(trace);
  }
  Spends fault;
  fault.deep = 120;
  for (double at = 40000; at < 43000; at += 10) Request(at, fault);
  const Attribution found = finder_.Find(At(40500, 43000, page));
  for (const auto& suspect : found.suspects) EXPECT_TRUE(topology.Has(suspect.service));
}

TEST_F(CulpritTest, OldTracesAndStrangeTimesAreIgnored) {
  RequestTrace trace;
  trace.request_class = page;
  trace.hops.resize(1);
  for (const std::int64_t at :
       {INT64_MIN, -(std::int64_t{1} << 61), std::int64_t{0}, std::int64_t{1} << 61, INT64_MAX}) {
    trace.hops[0].start_ns = at;
    trace.hops[0].end_ns = at;
    finder_.Observe(trace);
  }
  Violation violation = At(0, 0, page);
  for (const std::int64_t at : {INT64_MIN, std::int64_t{0}, INT64_MAX}) {
    violation.start_ns = at;
    EXPECT_EQ(finder_.Find(violation).initiation, Initiation::kUnknown);
  }
}

TEST_F(CulpritTest, OneWrongClockDoesNotEndAllAttribution) {
  constexpr double kYear = 365.0 * 24 * 3600 * 1000;  // in ms
  Spends fault;
  fault.deep = 120;
  for (const double wrong_until : {10.0, 40000.0}) {  // from the first request on, or now and then
    finder_ = CulpritFinder(&topology);
    for (double at = 0; at < 43000; at += 10) {
      if (at < wrong_until && static_cast<int>(at) % 1000 == 0) Request(at + kYear, Spends());
      Request(at, at < 40000 ? Spends() : fault);
    }
    EXPECT_EQ(finder_.Find(At(40500, 43000, page)).culprit, deep) << wrong_until;
  }
}

}  // namespace
}  // namespace seer
