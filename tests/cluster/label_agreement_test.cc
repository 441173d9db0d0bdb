// Labels out of traces against the truth of the simulator, which knows by counterfactual replay
// whose doing each violation was. The labeller sees spans and ticks, as of a real cluster; nothing
// in it was fitted to this simulator's constants. Prints what agrees by cause.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>
#include <vector>

#include "benchmarks/cluster/sim/scenario.h"
#include "benchmarks/cluster/sim/spans.h"
#include "seer/window/violation_labeller.h"

namespace seer::cluster {
namespace {

struct Score {
  int violations = 0, right = 0, unknown = 0;
  void Add(bool is_right, bool is_unknown) {
    ++violations;
    right += is_right ? 1 : 0;
    unknown += is_unknown ? 1 : 0;
  }
  double share() const { return violations == 0 ? 0 : static_cast<double>(right) / violations; }
};

struct Agreement {
  Score all, sure;    // sure: with a confidence of one half or more
  Score same_server;  // right also where it names another service on a server of the culprit's
  std::map<std::string, Score> by_kind;
};

void Print(const char* what, const Agreement& agreement) {
  std::printf("%s: %d of %d violations (%.1f %%), %d unknown; with confidence >= 0.5: %d of %d\n",
              what, agreement.all.right, agreement.all.violations, 100 * agreement.all.share(),
              agreement.all.unknown, agreement.sure.right, agreement.sure.violations);
  std::printf("  on a server of the culprit's: %.1f %%\n", 100 * agreement.same_server.share());
  for (const auto& [kind, score] : agreement.by_kind) {
    std::printf("  %-20s %3d of %3d, %d unknown\n", kind.c_str(), score.right, score.violations,
                score.unknown);
  }
}

bool Agrees(const Violation& label, const Violation& truth) {
  if (label.initiation != truth.initiation) return false;
  return truth.initiation != Initiation::kService || label.culprit == truth.culprit;
}

bool SameServer(const Model& model, ServiceId a, ServiceId b) {
  if (!a.valid() || !b.valid()) return false;
  for (const Model::InstanceInfo& one : model.instances) {
    for (const Model::InstanceInfo& other : model.instances) {
      if (one.service == a.value() && other.service == b.value() && one.server == other.server) {
        return true;
      }
    }
  }
  return false;
}

void Compare(const char* app_name, std::uint64_t seed, bool verbose, Agreement* by_traces,
             Agreement* by_depths) {
  auto app = LoadApplication(std::string(SEER_GRAPHS "/") + app_name + ".json");
  ASSERT_TRUE(app.ok()) << app.status();
  ModelOptions placement;
  placement.seed = seed;
  auto model = BuildModel({*app}, DefaultCluster(), placement);
  ASSERT_TRUE(model.ok()) << model.status();

  constexpr double kRate = 300;
  ScheduleOptions schedule;
  schedule.seed = seed;
  schedule.seconds = 600;
  schedule.rate = kRate;
  schedule.severe_per_hour = 70;
  schedule.harmless_per_hour = 10;
  schedule.gap_seconds = 25;
  ScenarioOptions scenario;
  scenario.seconds = schedule.seconds;
  scenario.simulator.seed = seed;
  scenario.simulator.loads = {{kRate, 0, 3600, 0}};
  scenario.simulator.faults = DrawFaults(model->get(), schedule);

  const Topology& topology = (*model)->topology;
  ViolationLabellerOptions options;
  ViolationLabeller traces(options, &topology), depths(options, &topology);
  scenario.spans = [&](const SpanBatch& batch) {
    for (const Span& span : batch.spans) traces.Add(IntervalOf(**model, batch.instance, span));
  };
  const std::vector<TruthRow> truth = RunScenario(*model, scenario, [&](const ClusterTick& tick) {
    traces.Observe(tick);
    depths.Observe(tick);
  });
  traces.Finish();
  depths.Finish();

  const auto judge = [&](std::vector<LabelledViolation> labels, const char* what,
                         Agreement* agreement) {
    ASSERT_EQ(labels.size(), truth.size());
    for (const TruthRow& row : truth) {
      if (row.reason == "several") continue;  // the truth does not know either
      const auto label =
          std::find_if(labels.begin(), labels.end(), [&](const LabelledViolation& l) {
            return l.violation.request_class == row.violation.request_class &&
                   l.violation.start_ns == row.violation.start_ns;
          });
      ASSERT_NE(label, labels.end());
      const bool right = Agrees(label->violation, row.violation);
      const bool unknown = label->violation.initiation == Initiation::kUnknown;
      const std::string kind(
          row.fault < 0
              ? "none"
              : FaultKindName(scenario.simulator.faults[static_cast<std::size_t>(row.fault)].kind));
      agreement->all.Add(right, unknown);
      agreement->same_server.Add(
          right || SameServer(**model, label->violation.culprit, row.violation.culprit), unknown);
      agreement->by_kind[kind].Add(right, unknown);
      if (label->violation.confidence >= 0.5f) agreement->sure.Add(right, unknown);
      if (right || !verbose) continue;
      const bool near = SameServer(**model, label->violation.culprit, row.violation.culprit);
      const auto name = [&](ServiceId id) {
        return id.valid() ? topology.service(id).name : std::string("-");
      };
      std::printf(
          "%s %s/%llu %.1f s class %u %s %s: truth %s %s, label %s %s (%.2f), rate %.2f, slow "
          "%llu%s\n",
          what, app_name, static_cast<unsigned long long>(seed),
          static_cast<double>(row.violation.start_ns - scenario.simulator.start_ns) / 1e9,
          row.violation.request_class.value(), kind.c_str(), row.reason.c_str(),
          std::string(InitiationName(row.violation.initiation)).c_str(),
          name(row.violation.culprit).c_str(),
          std::string(InitiationName(label->violation.initiation)).c_str(),
          name(label->violation.culprit).c_str(), static_cast<double>(label->violation.confidence),
          label->found.request_rate_growth,
          static_cast<unsigned long long>(label->found.slow_requests),
          near ? ", on the same server" : "");
      for (const Attribution::Suspect& s : label->found.suspects) {
        std::printf("    %-45s own %8.2f ms queue %8.2f ms share %.2f since %.1f s depth %u\n",
                    name(s.service).c_str(), static_cast<double>(s.own_growth_ns) / 1e6,
                    static_cast<double>(s.queue_growth_ns) / 1e6, static_cast<double>(s.share),
                    static_cast<double>(s.since_ns - scenario.simulator.start_ns) / 1e9, s.depth);
      }
    }
  };
  judge(traces.Take(), "traces", by_traces);
  judge(depths.Take(), "depths", by_depths);
}

TEST(LabelAgreement, LabelsFromTracesAgreeWithTheCounterfactualTruth) {
  // For those who work on it: other seeds, and each label that is wrong.
  const char* const seeds = std::getenv("SEER_LABEL_SEEDS");  // first-last
  // Seeds that nobody had ever looked at, 401 to 405: 94.4 % and 97.3 %, by depths 61.1 %
  // (2026-11-22). The labeller was written with 1 to 3 and 101 to 120. Without the optimiser they
  // take minutes, and only the first is asked.
  std::uint64_t first = 201;
#ifdef NDEBUG
  std::uint64_t last = 203;
#else
  std::uint64_t last = 201;
#endif
  if (seeds != nullptr) {
    unsigned long long from = 0, to = 0;
    ASSERT_EQ(std::sscanf(seeds, "%llu-%llu", &from, &to), 2);
    first = from, last = to;
  }
  Agreement by_traces, by_depths;
  for (std::uint64_t seed = first; seed <= last; ++seed) {
    for (const char* app : {"social_network", "media", "hotel"}) {
      Compare(app, seed, seeds != nullptr, &by_traces, &by_depths);
    }
  }
  Print("labels by traces", by_traces);
  Print("labels by depths", by_depths);
  ASSERT_GE(by_traces.all.violations, 20);
  // What is wrong most: who of those on a server in trouble it is, and circles of calls.
  const bool all = last > first;
  EXPECT_GE(by_traces.all.share(), all ? 0.88 : 0.6);
  EXPECT_GE(by_traces.same_server.share(), all ? 0.9 : 0.75);
  EXPECT_GE(by_depths.all.share(), all ? 0.65 : 0.5);
}

}  // namespace
}  // namespace seer::cluster
