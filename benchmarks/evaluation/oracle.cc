#include "benchmarks/evaluation/oracle.h"

#include <algorithm>
#include <charconv>
#include <functional>
#include <utility>

#include "benchmarks/cluster/sim/substream.h"
#include "benchmarks/evaluation/csv.h"
#include "benchmarks/evaluation/replay.h"

namespace seer::evaluation {
namespace {

constexpr std::int64_t kNsPerMs = 1'000'000;
constexpr std::int64_t kCheckpointNs = 500 * kNsPerMs;
// Violations closer together are taken as of one incident, of which the first is looked at.
constexpr std::int64_t kIncidentNs = 10'000 * kNsPerMs;

}  // namespace

bool OracleRow::Alarms(std::int64_t horizon_ms) const {
  const auto within = std::count_if(after_ms.begin(), after_ms.end(),
                                    [&](std::int64_t after) { return after <= horizon_ms; });
  return futures > 0 && 2 * static_cast<std::uint64_t>(within) >= futures;
}

Oracle::Oracle(std::shared_ptr<const cluster::Model> model, OracleOptions options,
               std::uint64_t seed)
    : model_(std::move(model)), options_(std::move(options)), seed_(seed) {
  // From the farthest look on, each goes on from the state of the one before.
  std::sort(options_.leads_ms.begin(), options_.leads_ms.end(), std::greater<>());
}

void Oracle::Observe(const ClusterTick& tick) {
  const std::int64_t before_ns = now_ns_;
  detector_.Observe(tick, model_->topology);
  now_ns_ = tick.period.EndNs(tick.tick);
  if (before_ns == 0) calm_since_ns_ = now_ns_;
  if (!detector_.open().empty()) calm_since_ns_ = now_ns_ + tick.period.ns();
  detector_.TakeFinished();
  ++ticks_;
}

void Oracle::Look(const cluster::Simulator& simulator) {
  if (options_.violations > 0) {
    for (const Violation& violation : detector_.open()) {
      if (violation.start_ns == now_ns_ && violations_ < options_.violations &&
          now_ns_ - looked_ns_ >= kIncidentNs) {
        ++violations_;
        looked_ns_ = now_ns_;
        LookBack(violation);
      }
    }
    if (simulator.now_ns() % kCheckpointNs == 0) {
      past_.push_back({simulator, detector_});
      const std::int64_t keep_ns = options_.leads_ms.front() * kNsPerMs + kCheckpointNs;
      while (past_.size() > 1 && past_[1].simulator.now_ns() + keep_ns <= simulator.now_ns()) {
        past_.pop_front();
      }
    }
  }

  // Twice as many are drawn as are wanted, as some will not stay quiet.
  const double share = 2.0 * options_.quiet_ticks / std::max<double>(1, options_.ticks);
  const std::uint64_t dice = cluster::Sub(cluster::Sub(seed_, cluster::KeyOf("quiet")), ticks_);
  if (calm_since_ns_ <= now_ns_ && quiet_ + quiet_states_.size() < options_.quiet_ticks &&
      cluster::Uniform(dice) < share) {
    quiet_states_.push_back({simulator, detector_});
  }
  const std::int64_t start_ns = simulator.options().start_ns;
  while (!quiet_states_.empty()) {
    const OracleState& state = quiet_states_.front();
    const std::int64_t at_ns = start_ns + state.simulator.now_ns();
    if (now_ns_ < at_ns + options_.horizon_ms * kNsPerMs) break;
    if (calm_since_ns_ <= at_ns) {
      OracleRow row;
      row.quiet = true;
      row.time_ms = at_ns / kNsPerMs;
      row.futures = options_.futures;
      row.after_ms = Futures(state, ClassId());
      rows_.push_back(std::move(row));
      ++quiet_;
    }
    quiet_states_.pop_front();
  }
}

void Oracle::LookBack(const Violation& violation) {
  ClusterTick tick;
  std::size_t from = 0;
  bool have = false;
  OracleState* state = nullptr;
  std::vector<OracleState> copy;  // one at most
  for (const std::int64_t lead_ms : options_.leads_ms) {
    const std::int64_t at_ns = violation.start_ns - lead_ms * kNsPerMs;
    const auto time_of = [](const OracleState& c) {
      return c.simulator.options().start_ns + c.simulator.now_ns();
    };
    if (!have) {
      while (from + 1 < past_.size() && time_of(past_[from + 1]) <= at_ns) ++from;
      if (past_.empty() || time_of(past_[from]) > at_ns) continue;  // the run began later
      copy.push_back(past_[from]);
      state = &copy.front();
      have = true;
    }
    while (time_of(*state) < at_ns) {
      state->simulator.RunTick();
      state->simulator.Observe(&tick);
      state->detector.Observe(tick, model_->topology);
    }
    OracleRow row;
    row.request_class = ClassLabel(model_->topology.request_class(violation.request_class));
    row.time_ms = at_ns / kNsPerMs;
    row.start_ms = violation.start_ns / kNsPerMs;
    row.futures = options_.futures;
    row.after_ms = Futures(*state, violation.request_class);
    rows_.push_back(std::move(row));
  }
}

std::vector<std::int64_t> FuturesOf(const OracleState& state, const cluster::Model& model,
                                    ClassId request_class, std::uint32_t futures,
                                    std::int64_t horizon_ms, std::uint64_t seed) {
  std::vector<std::int64_t> after_ms;
  ClusterTick tick;
  const std::int64_t from_ns = state.simulator.now_ns();
  const std::int64_t until_ns = from_ns + horizon_ms * kNsPerMs;
  const std::int64_t epoch_ns = state.simulator.options().start_ns;
  for (std::uint32_t k = 0; k < futures; ++k) {
    OracleState future = state;
    future.simulator.Reseed(
        cluster::Sub(cluster::Sub(seed, static_cast<std::uint64_t>(from_ns)), k));
    const std::vector<cluster::Fault>& faults = state.simulator.options().faults;
    for (std::size_t f = 0; f < faults.size(); ++f) {
      if (faults[f].start_ns >= from_ns) future.simulator.Disable(f);
    }
    bool violates = false;
    while (!violates && future.simulator.now_ns() < until_ns) {
      future.simulator.RunTick();
      future.simulator.Observe(&tick);
      future.detector.Observe(tick, model.topology);
      for (const Violation& v : future.detector.open()) {
        violates = violates || (v.start_ns > epoch_ns + from_ns &&
                                (!request_class.valid() || v.request_class == request_class));
      }
    }
    if (violates) after_ms.push_back((future.simulator.now_ns() - from_ns) / kNsPerMs);
  }
  std::sort(after_ms.begin(), after_ms.end());
  return after_ms;
}

std::string OracleCsv(std::string_view run, const std::vector<OracleRow>& rows) {
  std::string csv = "run,kind,class,time_ms,start_ms,futures,after_ms\n";
  for (const OracleRow& row : rows) {
    csv += CsvField(run) + (row.quiet ? ",quiet," : ",violation,") + CsvField(row.request_class) +
           "," + std::to_string(row.time_ms) + "," + std::to_string(row.start_ms) + "," +
           std::to_string(row.futures) + ",";
    for (std::size_t i = 0; i < row.after_ms.size(); ++i) {
      csv += (i == 0 ? "" : " ") + std::to_string(row.after_ms[i]);
    }
    csv += "\n";
  }
  return csv;
}

absl::StatusOr<std::vector<OracleRow>> ReadOracleCsv(std::string_view file, std::string_view csv) {
  auto reader = CsvReader::Open(file, csv);
  if (!reader.ok()) return reader.status();
  constexpr std::string_view kNames[] = {"kind",     "class",   "time_ms",
                                         "start_ms", "futures", "after_ms"};
  std::size_t columns[6];
  for (std::size_t i = 0; i < 6; ++i) {
    auto column = reader->Require(kNames[i]);
    if (!column.ok()) return column.status();
    columns[i] = *column;
  }
  constexpr std::int64_t kLatest = std::int64_t{1} << 53;
  std::vector<OracleRow> rows;
  while (true) {
    auto more = reader->Next();
    if (!more.ok()) return more.status();
    if (!*more) return rows;
    OracleRow row;
    row.quiet = reader->field(columns[0]) == "quiet";
    row.request_class = reader->field(columns[1]);
    const auto time = reader->Integer(columns[2], 0, kLatest);
    const auto start = reader->Integer(columns[3], 0, kLatest);
    const auto futures = reader->Integer(columns[4], 1, 1'000'000);
    for (const auto* value : {&time, &start, &futures}) {
      if (!value->ok()) return value->status();
    }
    row.time_ms = *time;
    row.start_ms = *start;
    row.futures = static_cast<std::uint32_t>(*futures);
    const std::string& list = reader->field(columns[5]);
    for (const char* at = list.data(); at != list.data() + list.size();) {
      std::int64_t value = 0;
      const auto [stop, error] = std::from_chars(at, list.data() + list.size(), value);
      if (error != std::errc()) return reader->Error(columns[5], "not numbers");
      row.after_ms.push_back(value);
      at = stop;
      if (at != list.data() + list.size() && *at == ' ') ++at;
    }
    rows.push_back(std::move(row));
  }
}

}  // namespace seer::evaluation
