// Services that are replaced under a model, and alarms that are acted on while it learns.
#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "benchmarks/evaluation/retrain_run.h"
#include "benchmarks/evaluation/retrain_served.h"
#include "seer/core/action_taken.h"
#include "seer/predict/model_store.h"

namespace seer::evaluation {
namespace {

void CopyRow(const ServiceTable& from, ServiceId row, ServiceId to, ServiceTable* table) {
  for (const Channel channel : kAllChannels) {
    if (const auto value = from.depth(row, channel)) table->SetDepth(to, channel, *value);
    if (const auto value = from.mean(row, channel)) table->SetMean(to, channel, *value);
    const auto came = from.arrivals(row, channel), went = from.departures(row, channel);
    if (came && went) table->SetFlow(to, channel, *came, *went);
    if (const auto value = from.mean_wait_us(row, channel)) table->SetMeanWait(to, channel, *value);
  }
  if (const auto value = from.outstanding(row)) table->SetOutstanding(to, *value);
  if (const auto value = from.outstanding_mean(row)) table->SetOutstandingMean(to, *value);
}
void CopyRow(const EdgeTickTable& from, EdgeId row, EdgeId to, EdgeTickTable* table) {
  if (const auto value = from.depth(row)) table->SetDepth(to, *value);
  if (const auto value = from.mean(row)) table->SetMean(to, *value);
  if (const auto value = from.made(row)) table->SetMade(to, *value);
}

}  // namespace

absl::StatusOr<RetrainChurn> RunChurn(const RetrainOptions& options) {
  options.say("churn");
  const auto model = TrainOnce(options, 0);
  if (!model.ok()) return model.status();
  auto run = Keep(options, options.seed * 1000 + 950, 2 * options.test_minutes, 0);
  if (!run.ok()) return run.status();
  const std::vector<ClusterTick>& ticks = (*run)->ticks;
  const Topology& before = (*run)->run.topology;
  // Every fifth service that is no class's entry becomes another one, with all its edges.
  Topology after = before;
  RetrainChurn churn;
  std::vector<ServiceId> now(before.services().size());
  for (std::size_t s = 0; s < now.size(); ++s) {
    now[s] = ServiceId(static_cast<std::uint32_t>(s));
    const bool entry = std::any_of(before.classes().begin(), before.classes().end(),
                                   [&](const RequestClass& row) { return row.entry == now[s]; });
    ++churn.of;
    if (s % 4 != 1 || entry) continue;  // entries stay: of the others a few more
    const Service& old = before.service(now[s]);
    const auto made = after.AddService(old.name + "-2", old.application);
    if (!made.ok()) return made.status();
    for (const Instance& instance : before.instances()) {
      if (instance.removed || instance.service != now[s]) continue;
      const auto there = after.AddInstance(*made, instance.name, instance.node);
      if (!there.ok()) return there.status();
    }
    now[s] = *made;
    ++churn.services;
  }
  std::vector<EdgeId> edge_now(before.edges().size());
  for (std::size_t e = 0; e < edge_now.size(); ++e) {
    const Edge& edge = before.edges()[e];
    edge_now[e] = EdgeId(static_cast<std::uint32_t>(e));
    const ServiceId caller = edge.caller.valid() ? now[edge.caller.index()] : edge.caller;
    const ServiceId callee = now[edge.callee.index()];
    if (edge.removed || (caller == edge.caller && callee == edge.callee)) continue;
    const auto made = after.AddEdge(caller, callee, edge.kind);
    if (!made.ok()) return made.status();
    edge_now[e] = *made;
  }
  for (std::size_t s = 0; s < now.size(); ++s) {
    if (now[s].index() == s) continue;
    const absl::Status gone = after.RemoveService(ServiceId(static_cast<std::uint32_t>(s)));
    if (!gone.ok()) return gone;
  }
  Judged same(model->model), replaced(model->model);
  const std::size_t half = ticks.size() / 2;
  ClusterTick other;
  for (std::size_t i = 0; i < ticks.size(); ++i) {
    const ClusterTick& tick = ticks[i];
    absl::Status status = same.Observe(tick, before);
    if (status.ok() && i < half) status = replaced.Observe(tick, before);
    if (status.ok() && i >= half) {
      other = tick;
      other.topology_version = after.version();
      other.Reset(after.services().size(), after.edges().size(), after.classes().size());
      other.classes = tick.classes;
      for (std::size_t s = 0; s < now.size(); ++s) {
        CopyRow(tick.services, ServiceId(static_cast<std::uint32_t>(s)), now[s], &other.services);
      }
      for (std::size_t e = 0; e < edge_now.size(); ++e) {
        CopyRow(tick.edges, EdgeId(static_cast<std::uint32_t>(e)), edge_now[e], &other.edges);
      }
      status = replaced.Observe(other, after);
    }
    if (!status.ok()) return status;
  }
  const std::int64_t from = ticks[half].period.EndNs(ticks[half].tick);
  const std::int64_t to = ticks.back().period.EndNs(ticks.back().tick);
  churn.same = same.Count((*run)->run.violations, from, to);
  churn.replaced = replaced.Count((*run)->run.violations, from, to);
  return churn;
}

absl::StatusOr<RetrainFeedback> RunFeedback(const RetrainOptions& options) {
  const auto trained = TrainOnce(options, 0);
  if (!trained.ok()) return trained.status();
  auto test = Keep(options, options.seed * 1000 + 970, options.test_minutes, 0);
  if (!test.ok()) return test.status();
  RetrainFeedback feedback;
  enum Arm { kNobodyActs, kNoted, kNotNoted };
  for (const Arm arm : {kNobodyActs, kNoted, kNotNoted}) {
    options.say(arm == kNobodyActs ? "retraining, nobody acts"
                : arm == kNoted    ? "retraining, actions are noted"
                                   : "retraining, actions are not noted");
    const double minutes = options.round_minutes * options.rounds;
    auto built = BuildUpdated(options, options.seed * 1000 + 960, minutes, 0, /*series=*/false);
    if (!built.ok()) return built.status();
    const Topology& topology = built->model->topology;
    Judged judged(trained->model);
    auto learns = Learn(options, trained->model, options.left_alone);
    if (!learns.ok()) return learns.status();
    Learning& learning = *learns;
    std::uint64_t alarms = 0;  // one after the other; each is acted on, or left alone until it ends
    bool in_alarm = false;
    absl::Status status;
    built->options.control = [&](cluster::Simulator* simulator) {
      const bool alarm = judged.forecast().alarm();
      alarms += alarm && !in_alarm ? 1 : 0;
      in_alarm = alarm;
      if (arm == kNobodyActs || !alarm || learning.retrainer->LeaveAlone(alarms)) return;
      const auto& faults = simulator->options().faults;
      bool acted = false;
      for (std::size_t f = 0; f < faults.size(); ++f) {
        if (!(faults[f].IntensityAt(simulator->now_ns()) > 0)) continue;
        simulator->Disable(f);
        acted = true;
      }
      if (!acted || arm == kNotNoted) return;
      for (const ClassForecast& row : judged.forecast().classes) {
        if (!row.alarm || row.initiators.empty()) continue;
        // "load" is acted on at the entry.
        ServiceId on = row.initiators.front().service;
        if (!on.valid()) on = topology.request_class(row.request_class).entry;
        if (!on.valid()) continue;
        ActionTaken taken;
        taken.recommendation_id = alarms;
        ++feedback.actions;
        taken.action = Action::kCpuLimit;
        taken.outcome = ActionOutcome::kApplied;
        taken.target.service = topology.service(on).name;
        taken.time_ns = judged.forecast().period.EndNs(judged.forecast().tick);
        learning.retrainer->NoteAction(taken);
      }
    };
    cluster::RunScenario(built->model, built->options, [&](const ClusterTick& tick) {
      if (status.ok()) status = judged.Observe(tick, topology);
      if (status.ok()) status = learning.Observe(tick, topology, &judged);
    });
    if (!status.ok()) return status;
    const auto model = DecodeTreeModel(learning.retrainer->serving());
    if (!model.ok()) return model.status();
    Judged after(*model);
    for (const ClusterTick& tick : (*test)->ticks) {
      status = after.Observe(tick, (*test)->run.topology);
      if (!status.ok()) return status;
    }
    const ClusterTick& first = (*test)->ticks.front();
    const ClusterTick& last = (*test)->ticks.back();
    RetrainFeedback::Arm& own = arm == kNobodyActs ? feedback.without_actions
                                : arm == kNoted    ? feedback.noted
                                                   : feedback.not_noted;
    own.test = after.Count((*test)->run.violations, first.period.EndNs(first.tick) + 60'000'000'000,
                           last.period.EndNs(last.tick));
    own.rounds = learning.rounds + learning.scratches;
    own.models = learning.versions;
  }
  return feedback;
}

}  // namespace seer::evaluation
