#include "benchmarks/evaluation/loop_score.h"

#include <algorithm>

namespace seer::evaluation {
namespace {

constexpr std::int64_t kNearNs = 1'000'000'000;

bool Near(const Violation& a, const Violation& b) {
  return a.request_class == b.request_class && a.start_ns <= b.end_ns + kNearNs &&
         b.start_ns <= a.end_ns + kNearNs;
}

double Seconds(const Violation& v) { return static_cast<double>(v.end_ns - v.start_ns) * 1e-9; }

}  // namespace

const cluster::Fault* FaultOf(const PreparedRun& run, const cluster::TruthRow& row) {
  const auto& faults = run.scenario.simulator.faults;
  const auto index = static_cast<std::size_t>(row.fault);
  return row.fault >= 0 && index < faults.size() ? &faults[index] : nullptr;
}

bool IsActionable(const cluster::Fault* fault) {
  if (fault == nullptr) return true;  // load
  switch (fault->kind) {
    case cluster::FaultKind::kUnderProvisioned:
    case cluster::FaultKind::kCpuContention:
    case cluster::FaultKind::kCacheContention:
    case cluster::FaultKind::kMemoryBandwidth:
    case cluster::FaultKind::kMemoryCapacity:
    case cluster::FaultKind::kDiskContention:
    case cluster::FaultKind::kMemoryPartition:
    case cluster::FaultKind::kIncast:
    case cluster::FaultKind::kBandwidth:
    case cluster::FaultKind::kLoadSpike:
    case cluster::FaultKind::kNoisyNeighbour:
      return true;
    default:
      return false;
  }
}

Cause CauseToFind(const cluster::Fault* fault) {
  if (fault == nullptr) return Cause::kLoad;
  if (fault->kind == cluster::FaultKind::kUnderProvisioned) return Cause::kCpu;
  if (fault->kind == cluster::FaultKind::kCacheFlush) return Cause::kApplication;
  return CauseFromName(cluster::CauseOf(fault->kind)).value_or(Cause::kUndecided);
}

std::optional<double> SecondsLeft(const cluster::TruthRow& row, const LoopResult& with) {
  std::optional<double> left;
  for (const cluster::TruthRow& other : with.truth) {
    if (Near(row.violation, other.violation)) left = left.value_or(0) + Seconds(other.violation);
  }
  return left;
}

std::string_view LoopFateName(LoopFate fate) {
  constexpr std::string_view kNames[kLoopFates] = {"avoided",   "no diagnosis", "wrong diagnosis",
                                                   "no action", "too late",     "too little"};
  const auto index = static_cast<std::size_t>(fate);
  return index < kLoopFates ? kNames[index] : "?";
}

void LoopScore::Add(const PreparedRun& run, const LoopResult& base, const LoopResult& with) {
  for (std::size_t i = 0; i < base.truth.size(); ++i) {
    const cluster::TruthRow& row = base.truth[i];
    const cluster::Fault* const fault = FaultOf(run, row);
    const bool can_act = IsActionable(fault);
    const bool can_see = i < base.foreseeable.size() && base.foreseeable[i];
    const std::optional<double> left = SecondsLeft(row, with);
    const auto count = [&](LoopShare* share) {
      ++share->violations;
      if (!left) {
        ++share->avoided;
      } else {
        share->base_seconds += Seconds(row.violation);
        share->left_seconds += *left;
      }
    };
    const std::string kind(fault == nullptr ? "load" : cluster::FaultKindName(fault->kind));
    count(&all);
    count(&of_kind[kind]);
    if (can_act) count(&actionable);
    if (can_see) count(&foreseeable);
    if (can_see) count(&of_kind_foreseeable[kind]);
    if (can_act && can_see) count(&goal);
    if (i >= with.said.size()) continue;
    ++said[CauseToFind(fault)][with.said[i]];
    const std::int64_t acted_ns = i < with.acted_ns.size() ? with.acted_ns[i] : 0;
    LoopFate fate = LoopFate::kTooLittle;
    if (!left) {
      fate = LoopFate::kAvoided;
    } else if (with.said[i] == Cause::kUndecided) {
      fate = LoopFate::kNoDiagnosis;
    } else if (with.said[i] != CauseToFind(fault)) {
      fate = LoopFate::kWrongDiagnosis;
    } else if (acted_ns == 0) {
      fate = LoopFate::kNoAction;
    } else if (acted_ns + kInEffectNs > row.violation.start_ns) {
      fate = LoopFate::kTooLate;
    }
    ++fates[kind][static_cast<std::size_t>(fate)];
  }
  for (const cluster::TruthRow& other : with.truth) {
    caused += std::none_of(base.truth.begin(), base.truth.end(),
                           [&](const cluster::TruthRow& row) {
                             return Near(row.violation, other.violation);
                           })
                  ? 1
                  : 0;
  }
  actions += with.actions;
  refused += with.refused;
  extra_core_seconds += with.extra_core_seconds;
  core_seconds += with.core_seconds;
}

double LoopScore::CausedPercent() const {
  return all.violations > 0
             ? 100.0 * static_cast<double>(caused) / static_cast<double>(all.violations)
             : 0;
}

double LoopScore::ExtraCpuPercent() const {
  return core_seconds > 0 ? 100 * extra_core_seconds / core_seconds : 0;
}

double LoopScore::CauseF1() const {
  double sum = 0;
  for (const auto& [cause, of_cause] : said) {
    double hits = 0, there = 0, said_so = 0;
    for (const auto& [what, n] : of_cause) {
      there += n;
      if (what == cause) hits += n;
    }
    for (const auto& [other, of_other] : said) {
      const auto found = of_other.find(cause);
      if (found != of_other.end()) said_so += found->second;
    }
    sum += there + said_so > 0 ? 2 * hits / (there + said_so) : 0;
  }
  return said.empty() ? 0 : sum / static_cast<double>(said.size());
}

}  // namespace seer::evaluation
