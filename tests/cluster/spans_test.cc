#include "benchmarks/cluster/sim/spans.h"

#include <gtest/gtest.h>

#include <map>
#include <set>

#include "benchmarks/cluster/sim/scenario.h"
#include "seer/window/span_depths.h"
#include "seer/window/trace_assembler.h"

namespace seer::cluster {
namespace {

constexpr std::int64_t kSecond = 1'000'000'000;

std::shared_ptr<Model> Build(std::uint32_t instances = 60) {
  std::vector<Application> apps;
  for (const char* name : {"social_network", "hotel"}) {
    auto app = LoadApplication(std::string(SEER_GRAPHS "/") + name + ".json");
    EXPECT_TRUE(app.ok()) << app.status();
    apps.push_back(*std::move(app));
  }
  AddReplicas(instances, &apps);
  auto model = BuildModel(apps, DefaultCluster(), {});
  EXPECT_TRUE(model.ok()) << model.status();
  return *model;
}

// Overload, time-outs with calls repeated, and messages that are lost.
SimulatorOptions Troubled(const Model& model) {
  SimulatorOptions options;
  options.loads.assign(2, {400, 0, 3600, 0});
  const auto fault = [&](FaultKind kind, const char* service, double magnitude) {
    Fault f;
    f.kind = kind;
    f.service = model.FindService(service);
    f.magnitude = magnitude;
    f.start_ns = kSecond / 2;
    f.end_ns = 2 * kSecond;
    options.faults.push_back(f);
  };
  fault(FaultKind::kUnderProvisioned, "social_network/post-storage-service", 0.02);
  fault(FaultKind::kRetryStorm, "social_network/user-timeline-service", 0.5);
  fault(FaultKind::kDropRule, "hotel/search", 0.1);
  return options;
}

struct Depths {
  std::int64_t threads = 0, waiting_thread = 0, waiting_core = 0;
  friend bool operator==(const Depths& a, const Depths& b) {
    return a.threads == b.threads && a.waiting_thread == b.waiting_thread &&
           a.waiting_core == b.waiting_core;
  }
};
std::ostream& operator<<(std::ostream& out, const Depths& d) {
  return out << d.threads << " threads, " << d.waiting_thread << " wait for one, " << d.waiting_core
             << " for a core";
}

TEST(Spans, IntervalsGiveEachStationsDepthsAtEachTickExactly) {
  const auto model = Build();
  Simulator simulator(model, Troubled(*model));
  simulator.KeepSpans(1);
  std::vector<std::vector<Depths>> seen;  // by tick, by instance
  std::vector<std::vector<std::int64_t>> edges_seen;
  std::vector<SpanBatch> batches;
  const auto take = [&] {
    for (SpanBatch& batch : simulator.TakeSpans()) batches.push_back(std::move(batch));
  };
  for (int tick = 1; tick <= 25; ++tick) {
    simulator.RunTick();
    auto& depths = seen.emplace_back();
    for (const Station& s : simulator.stations()) {
      depths.push_back({s.threads, s.waiting_thread, s.waiting_core});
    }
    auto& edges = edges_seen.emplace_back();
    for (const EdgeState& edge : simulator.edges()) edges.push_back(edge.outstanding);
    take();
  }
  simulator.SetRate(0, 0);
  simulator.SetRate(1, 0);
  simulator.RunUntil(60 * kSecond);
  take();
  ASSERT_EQ(simulator.open_requests(), 0u);

  const std::int64_t start = simulator.options().start_ns;
  std::vector<std::vector<Depths>> counted(25, std::vector<Depths>(model->instances.size()));
  std::vector<std::vector<std::int64_t>> edges_counted(
      25, std::vector<std::int64_t>(model->edges.size(), 0));
  std::vector<double> seconds(model->instances.size(), 0);
  std::map<Outcome, int> outcomes;
  for (const SpanBatch& batch : batches) {
    for (const Span& span : batch.spans) {
      ASSERT_TRUE(span.edge().valid());
      ASSERT_TRUE(span.StampsAreOrdered());
      if (span.side() == SpanSide::kClient) {
        ++outcomes[span.outcome()];
        for (int t = 0; t < 25; ++t) {
          const std::int64_t at = start + (t + 1) * kSecond / 10;
          if (span.start_ns() < at && span.start_ns() + span.duration_ns() >= at) {
            ++edges_counted[t][span.edge().index()];
          }
        }
        continue;
      }
      const std::int64_t received = *span.stamp(ServerStamp::kReceived);
      const std::int64_t dequeued = *span.stamp(ServerStamp::kDequeued);
      const std::int64_t started = *span.stamp(ServerStamp::kHandlerStart);
      const std::int64_t sent = *span.stamp(ServerStamp::kReplySent);
      seconds[batch.instance.index()] += static_cast<double>(sent - received) * 1e-9;
      for (int t = 0; t < 25; ++t) {
        const std::int64_t at = start + (t + 1) * kSecond / 10;
        Depths& d = counted[t][batch.instance.index()];
        d.waiting_thread += received < at && dequeued >= at;
        d.threads += dequeued < at && sent >= at;
        d.waiting_core += dequeued < at && started >= at;
      }
    }
  }
  for (int t = 0; t < 25; ++t) {
    SCOPED_TRACE(t);
    for (std::size_t i = 0; i < model->instances.size(); ++i) {
      EXPECT_EQ(counted[t][i], seen[t][i]) << i;
    }
    for (std::size_t e = 0; e < model->edges.size(); ++e) {
      if (!model->edges[e].async) {
        EXPECT_EQ(edges_counted[t][e], edges_seen[t][e]) << e;
      }
    }
  }
  // Little's law has nothing to estimate here: all the time that requests spent in a station.
  for (std::uint32_t i = 0; i < seconds.size(); ++i) {
    EXPECT_NEAR(seconds[i], simulator.RequestSeconds(i), 1e-6 + 1e-6 * seconds[i]);
  }
  EXPECT_GT(outcomes[Outcome::kOk], 5000);
  EXPECT_GT(outcomes[Outcome::kTimedOut], 10);
}

TEST(Spans, WindowsDepthsOutOfSpansAreTheSimulatorsOwn) {
  const auto model = Build();
  SimulatorOptions options;
  options.loads.assign(2, {300, 0, 3600, 0});
  Simulator simulator(model, options);
  simulator.KeepSpans(1);
  std::vector<ClusterTick> theirs;
  SpanDepthsOptions depths_options;
  SpanDepths depths(depths_options, &model->topology,
                    [&](const ClusterTick& tick) { theirs.push_back(tick); });
  depths.StartAt(TickPeriod().TickAt(options.start_ns));
  for (std::uint32_t s = 0; s < model->services.size(); ++s) {
    depths.CoverFrom(ServiceId(s), SpanSide::kServer, options.start_ns);
    depths.CoverFrom(ServiceId(s), SpanSide::kClient, options.start_ns);
  }
  std::vector<ClusterTick> ours(20);
  for (ClusterTick& tick : ours) {
    simulator.RunTick();
    simulator.Observe(&tick);
  }
  simulator.SetRate(0, 0);
  simulator.SetRate(1, 0);
  simulator.RunUntil(20 * kSecond);
  for (const SpanBatch& batch : simulator.TakeSpans()) {
    for (const Span& span : batch.spans) {
      depths.Add(IntervalOf(*model, batch.instance, span));
    }
  }
  depths.Finish();
  ASSERT_GE(theirs.size(), ours.size());
  int compared = 0;
  for (std::size_t t = 0; t < ours.size(); ++t) {
    SCOPED_TRACE(t);
    ASSERT_EQ(theirs[t].tick, ours[t].tick);
    for (std::uint32_t s = 0; s < model->services.size(); ++s) {
      SCOPED_TRACE(model->topology.service(ServiceId(s)).name);
      const auto sum = [&](const ClusterTick& tick, std::initializer_list<Channel> channels) {
        double all = 0;
        for (Channel c : channels) all += tick.services.depth(ServiceId(s), c).value_or(0);
        return all;
      };
      EXPECT_EQ(sum(theirs[t], {Channel::kRunning}), sum(ours[t], {Channel::kRunning}));
      EXPECT_EQ(sum(theirs[t], {Channel::kQueued}),
                sum(ours[t], {Channel::kQueued, Channel::kAccept, Channel::kSocket}));
      if (auto blocked = theirs[t].services.depth(ServiceId(s), Channel::kBlocked)) {
        EXPECT_EQ(*blocked, *ours[t].services.depth(ServiceId(s), Channel::kBlocked));
        ++compared;
      }
    }
    for (std::size_t c = 0; c < model->classes.size(); ++c) {
      EXPECT_EQ(theirs[t].classes[c].count, ours[t].classes[c].count);
    }
  }
  EXPECT_GT(compared, 100);
}

TEST(Spans, AssembleToWholeRequestsOfTheSampledApplication) {
  const auto model = Build();
  SimulatorOptions options;
  options.loads.assign(2, {300, 0, 3600, 0});
  Simulator simulator(model, options);
  Simulator all = simulator;
  simulator.KeepSpans(0.25, /*application=*/1);
  simulator.KeepFinished(true);
  TraceAssemblerOptions assembler_options;
  std::set<std::uint64_t> ids;
  double latency = 0;
  TraceAssembler assembler(assembler_options, [&](const RequestTrace& trace) {
    EXPECT_FALSE(trace.incomplete);
    ASSERT_TRUE(trace.request_class.valid());
    EXPECT_EQ(model->classes[trace.request_class.index()].application, 1u);
    std::int64_t critical = 0;
    for (const Hop& hop : trace.hops) {
      EXPECT_TRUE(hop.has_client && hop.has_server);
      EXPECT_FALSE(hop.adopted);
      EXPECT_TRUE(hop.callee.valid());
      critical += hop.critical_own_ns + hop.critical_queue_ns;
    }
    EXPECT_EQ(critical, trace.latency_ns());
    latency += static_cast<double>(trace.latency_ns());
    ids.insert(trace.id.low);
  });
  for (int tick = 0; tick < 30; ++tick) {
    simulator.RunTick();
    for (const SpanBatch& batch : simulator.TakeSpans()) {
      for (const Span& span : batch.spans) {
        assembler.Add(IntervalOf(*model, batch.instance, span));
      }
    }
  }
  simulator.SetRate(0, 0);
  simulator.SetRate(1, 0);
  simulator.RunUntil(5 * kSecond);
  for (const SpanBatch& batch : simulator.TakeSpans()) {
    for (const Span& span : batch.spans) assembler.Add(IntervalOf(*model, batch.instance, span));
  }
  assembler.Finish();
  EXPECT_NEAR(static_cast<double>(ids.size()), 0.25 * 900, 60);
  double mean = 0;
  int count = 0;
  for (const Finished& f : simulator.TakeFinished()) {
    if (model->classes[f.request_class].application != 1) continue;
    mean += static_cast<double>(f.end_ns - f.start_ns);
    ++count;
  }
  EXPECT_NEAR(latency / static_cast<double>(ids.size()), mean / count, 0.15 * mean / count);

  // The same traces from another sample that holds them: drawn by id, not by chance.
  all.KeepSpans(1);
  all.RunUntil(3 * kSecond);
  std::set<std::uint64_t> others;
  for (const SpanBatch& batch : all.TakeSpans()) {
    for (const Span& span : batch.spans) others.insert(span.trace_id().low);
  }
  EXPECT_GT(others.size(), 1500u);
  std::size_t found = 0;
  for (std::uint64_t id : ids) found += others.count(id);
  EXPECT_GT(found + 5, ids.size());
}

TEST(Spans, TracingChangesNothingAndReplaysKeepNone) {
  const auto run = [](bool traced, std::size_t* spans) {
    const auto model = Build(51);
    ScenarioOptions options;
    options.simulator = Troubled(*model);
    options.seconds = 4;
    std::map<std::uint32_t, std::uint64_t> sequences;
    if (traced) {
      options.spans = [&, spans](const SpanBatch& batch) {
        EXPECT_EQ(sequences[batch.instance.value()]++, batch.sequence);
        *spans += batch.spans.size();
      };
      options.span_share = 0.5;
    }
    std::vector<ClusterTick> ticks;
    const auto truth =
        RunScenario(model, options, [&](const ClusterTick& t) { ticks.push_back(t); });
    return std::make_pair(ticks, truth.size());
  };
  std::size_t spans = 0;
  EXPECT_EQ(run(false, nullptr), run(true, &spans));
  EXPECT_GT(spans, 1000u);
}

}  // namespace
}  // namespace seer::cluster
