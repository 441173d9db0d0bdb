#include "benchmarks/evaluation/retrain_run.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "benchmarks/evaluation/retrain_served.h"
#include "seer/predict/rivals.h"

namespace seer::evaluation {

absl::StatusOr<RetrainSeries> RunSeries(const RetrainOptions& options) {
  const auto spec = cluster::LoadScenario(options.scenario);
  if (!spec.ok()) return spec.status();
  const std::size_t updates = spec->updates.size();
  RetrainSeries series;
  series.late_minutes = options.late_minutes;
  std::vector<TreeModel> versions;  // trained on each version of the application
  RivalKind rival = RivalKind::kSelfDepthZ;
  RivalOptions rival_options;
  for (std::size_t v = 0; v <= updates; ++v) {
    options.say("training from scratch on version " + std::to_string(v));
    auto trained = TrainOnce(options, v);
    if (!trained.ok()) return trained.status();
    series.scratch_cpu_s += trained->cpu_s / static_cast<double>(updates + 1);
    ++series.scratches;
    if (v == 0) {
      rival = trained->rival;
      series.rival = std::string(RivalName(rival));
      rival_options.threshold = trained->rival_threshold;
    }
    versions.push_back(std::move(trained->model));
  }
  auto made = MakeRival(rival, rival_options);
  if (!made.ok()) return made.status();

  options.say("the series");
  const double minutes = options.phase_minutes * static_cast<double>(updates + 1);
  auto built = BuildUpdated(options, options.seed * 1000 + 900, minutes, updates, /*series=*/true);
  if (!built.ok()) return built.status();
  const Topology& topology = built->model->topology;
  Judged frozen(versions[0]), untrained(*std::move(made)), retrained(versions[0]);
  std::vector<std::unique_ptr<Judged>> ceilings;
  for (const TreeModel& model : versions) ceilings.push_back(std::make_unique<Judged>(model));
  auto learns = Learn(options, versions[0]);
  if (!learns.ok()) return learns.status();
  Learning& learning = *learns;
  Watched watched;
  absl::Status status;
  const std::int64_t start_ns = built->options.simulator.start_ns;
  const auto phase_ns = static_cast<std::int64_t>(options.phase_minutes * kMinute * 1e9);
  cluster::RunScenario(built->model, built->options, [&](const ClusterTick& tick) {
    watched.Observe(tick, topology);
    const auto take = [&](absl::Status each) {
      if (status.ok()) status = std::move(each);
    };
    take(frozen.Observe(tick, topology));
    take(untrained.Observe(tick, topology));
    take(retrained.Observe(tick, topology));
    take(learning.Observe(tick, topology, &retrained));
    // Each ceiling where it is one, and long enough before to know what is usual.
    const std::int64_t now_ns = tick.period.EndNs(tick.tick) - start_ns;
    const auto phase = static_cast<std::size_t>(now_ns / phase_ns);
    for (std::size_t v = phase; v <= std::min(phase + 1, updates); ++v) {
      take(ceilings[v]->Observe(tick, topology));
    }
  });
  if (!status.ok()) return status;
  watched.Finish();
  for (std::size_t p = 0; p <= updates; ++p) {
    RetrainPhase& phase = series.phases.emplace_back();
    phase.update = p == 0 ? "none" : std::string(UpdateKindName(spec->updates[p - 1].kind));
    phase.minutes = options.phase_minutes;
    phase.late_minutes = options.phase_minutes - options.late_minutes;
    const std::int64_t from = start_ns + static_cast<std::int64_t>(p) * phase_ns;
    const std::int64_t late =
        from + static_cast<std::int64_t>(options.late_minutes * kMinute * 1e9);
    const std::int64_t to = from + phase_ns;
    const auto count = [&](const Judged& judged) {
      const std::int64_t settled = from + static_cast<std::int64_t>(kMinute * 1e9);
      return RetrainOf{judged.Count(watched.violations, from, to),
                       judged.Count(watched.violations, settled, to),
                       judged.Count(watched.violations, late, to)};
    };
    phase.frozen = count(frozen);
    phase.rival = count(untrained);
    phase.ceiling = count(*ceilings[p]);
    phase.retrained = count(retrained);
  }
  for (int step = -16; step <= 16 && updates > 0; ++step) {
    RetrainShift& shift = series.shifts.emplace_back();
    shift.by = 0.25 * step;
    for (std::size_t p = 1; p <= updates; ++p) {
      const std::int64_t from = start_ns + static_cast<std::int64_t>(p) * phase_ns;
      const std::int64_t late =
          from + static_cast<std::int64_t>(options.late_minutes * kMinute * 1e9);
      shift.ceiling.Add(ceilings[p]->Count(watched.violations, late, from + phase_ns, shift.by));
      shift.retrained.Add(retrained.Count(watched.violations, late, from + phase_ns, shift.by));
    }
  }
  series.versions = learning.versions;
  series.rounds = learning.rounds;
  series.own_scratches = learning.scratches;
  series.own_scratch_cpu_s = learning.scratch_cpu_s;
  series.decisions = LinesOf(learning.decisions, start_ns);
  if (series.rounds > 0) {
    const auto rounds = static_cast<double>(series.rounds);
    series.round_cpu_s = learning.cpu_s / rounds;
    series.observe_cpu_s = learning.observe_cpu_s / rounds;
  }
  return series;
}

}  // namespace seer::evaluation
