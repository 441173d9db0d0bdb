#include "benchmarks/cluster/live/check.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <memory>
#include <random>
#include <utility>

#include "benchmarks/cluster/sim/simulator.h"

namespace seer::cluster {
namespace {

std::vector<std::int64_t> Moments(double rate, double seconds, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::exponential_distribution<double> gap(rate);
  std::vector<std::int64_t> due;
  for (double at = gap(random); at < seconds; at += gap(random)) {
    due.push_back(static_cast<std::int64_t>(at * 1e9));
  }
  return due;
}

double Quantile(std::vector<double> values, double q) {
  if (values.empty()) return 0;
  const auto at = static_cast<std::ptrdiff_t>(q * static_cast<double>(values.size() - 1));
  std::nth_element(values.begin(), values.begin() + at, values.end());
  return values[static_cast<std::size_t>(at)];
}

struct System {
  std::string name;
  std::vector<LiveTierSpec> tiers;
  std::vector<double> rates;
};

absl::Status Check(const System& system, bool quick, int* retries, std::vector<LiveRow>* rows) {
  auto servers = LiveServers::Start(system.tiers);
  if (!servers.ok()) return servers.status();
  // One request at a time, nearly: nobody waits, and every time is a service's own.
  const double unloaded = system.rates[0] / 10;
  (*servers)->Run(Moments(unloaded, 1, 1));  // connections, threads, caches
  absl::StatusOr<LiveTimes> times = (*servers)->TakeTimes();
  for (int attempt = 0; attempt < 3; ++attempt) {
    (*servers)->Run(Moments(quick ? 5 * unloaded : 2 * unloaded, quick ? 4 : 20, 2));
    times = (*servers)->TakeTimes();
    if (times.ok()) break;
  }
  if (!times.ok()) return times.status();
  for (double rate : system.rates) {
    const auto due = Moments(rate, quick ? 2 : 14, static_cast<std::uint64_t>(rate));
    const auto simulated = SimulateTiers(system.tiers, *times, due, quick ? 3 : 30);
    if (!simulated.ok()) return simulated.status();
    LiveRow row;
    row.system = system.name;
    row.rate = rate;
    row.sim_p50 = Quantile(*simulated, 0.5);
    row.sim_p99 = Quantile(*simulated, 0.99);
    for (int discarded = 0;; ++discarded) {
      const CpuTimes before = ReadCpuTimes();
      const LiveRun live = (*servers)->Run(due);
      row.pressure = Between(before, ReadCpuTimes(), due.size());
      row.requests = due.size();
      row.failed = live.failed;
      row.live_p50 = Quantile(live.latency_ms, 0.5);
      row.live_p99 = Quantile(live.latency_ms, 0.99);
      row.discarded = discarded;
      if (row.Counts() || quick || *retries <= 0) break;
      --*retries;
    }
    rows->push_back(row);
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::vector<double>> SimulateTiers(const std::vector<LiveTierSpec>& tiers,
                                                  const LiveTimes& times,
                                                  const std::vector<std::int64_t>& due_ns,
                                                  int repeats) {
  Application app;
  app.name = "live";
  app.one_way_us = times.one_way_us;
  app.per_msg_cpu_us = 0;
  CallSpec call;
  for (std::size_t t = tiers.size(); t-- > 0;) {
    ServiceSpec service;
    service.name = tiers[t].name;
    service.model = ServerModel::kWorkers;
    service.threads = static_cast<std::uint32_t>(tiers[t].workers);
    service.cores = service.threads;  // its time is waiting: what it needs is a worker
    service.times_us = times.own_us[t];
    service.request_bytes = service.response_bytes = 100;
    app.services.insert(app.services.begin(), service);
    CallSpec next = std::move(call);
    call = CallSpec();
    call.service = static_cast<std::uint32_t>(t);
    if (t + 1 < tiers.size()) call.then = {{std::move(next)}};
  }
  app.requests = {{"request", 1, 1e6, std::move(call)}};
  // A server for each tier, so that messages between them take the time they were told.
  ModelOptions placement;
  placement.placement = Placement::kSpread;
  const auto model =
      BuildModel({app}, UniformCluster(static_cast<std::uint32_t>(tiers.size())), placement);
  if (!model.ok()) return model.status();
  SimulatorOptions options;
  options.background = 0;
  options.arrivals = {std::make_shared<const std::vector<std::int64_t>>(due_ns)};
  std::vector<double> latency_ms;
  for (int i = 0; i < repeats; ++i) {
    Simulator simulator(*model, options);
    simulator.Reseed(static_cast<std::uint64_t>(i));
    simulator.KeepFinished(true);
    simulator.RunUntil((due_ns.empty() ? 0 : due_ns.back()) + 60'000'000'000);
    for (const Finished& f : simulator.TakeFinished()) {
      latency_ms.push_back(static_cast<double>(f.end_ns - f.start_ns) * 1e-6);
    }
  }
  return latency_ms;
}

absl::StatusOr<std::vector<LiveRow>> CheckAgainstLive(bool quick) {
  // Capacities: 500/s; about 800/s, and a worker of the front is held for all of it.
  const System systems[] = {{"tier", {{"live-tier", 4, 8}}, {200, 300, 375}},
                            {"chain",
                             {{"live-front", 16, 1}, {"live-middle", 8, 4}, {"live-back", 4, 5}},
                             {200, 350, 500}}};
  std::vector<LiveRow> rows;
  int retries = 2;
  for (const System& system : systems) {
    const absl::Status status = Check(system, quick, &retries, &rows);
    if (!status.ok()) return status;
  }
  return rows;
}

std::string TableOf(const std::vector<LiveRow>& rows) {
  std::string table =
      "| live | requests/s | p50 live | simulated | | p99 live | simulated | | machine |\n"
      "|---|---|---|---|---|---|---|---|---|\n";
  for (const LiveRow& row : rows) {
    char line[400];
    std::snprintf(line, sizeof line,
                  "| %-5s | %3.0f | %6.2f ms | %6.2f ms | %+5.1f %% | %6.2f ms | %6.2f ms | "
                  "%+5.1f %% | %s%s%s |\n",
                  row.system.c_str(), row.rate, row.live_p50, row.sim_p50, row.P50Error(),
                  row.live_p99, row.sim_p99, row.P99Error(), row.pressure.Text().c_str(),
                  row.Counts() && !row.Within() ? ", MISSED" : "",
                  row.discarded > 0 ? ", tried again" : "");
    table += line;
  }
  return table;
}

}  // namespace seer::cluster
