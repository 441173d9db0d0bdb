#include "seer/predict/rivals.h"

#include <cmath>

#include "absl/strings/str_cat.h"
#include "predict/depth_rivals.h"
#include "predict/load_rivals.h"
#include "seer/core/internal/strings.h"

SEER_BEGIN_NAMESPACE
namespace {

struct KindRow {
  RivalKind kind;
  std::string_view name;
  double threshold;
};
// Round numbers, not fitted to any data. 20 ms of wait: Zhou et al., "Overload control for scaling
// WeChat microservices", 2018.
constexpr KindRow kKinds[] = {
    {RivalKind::kLargestDepth, "largest-depth", 64},
    {RivalKind::kLargestDepthZ, "largest-depth-z", 10},
    {RivalKind::kSelfDepthZ, "self-depth-z", 10},
    {RivalKind::kDeepestAbnormal, "deepest-abnormal", 10},
    {RivalKind::kQueueSlope, "queue-slope", 20},
    {RivalKind::kUtilisation, "utilisation", 0.9},
    {RivalKind::kQueueWait, "queue-wait", 20},
    {RivalKind::kMmc, "mmc", 1},
    {RivalKind::kRandom, "random", 1},
};

const KindRow* Find(RivalKind kind) {
  for (const KindRow& row : kKinds) {
    if (row.kind == kind) return &row;
  }
  return nullptr;
}

absl::Status Bad(std::string_view field, std::string_view fix) {
  return absl::InvalidArgumentError(
      absl::StrCat(internal::ToAbsl(field), ": ", internal::ToAbsl(fix)));
}

}  // namespace

std::string_view RivalName(RivalKind kind) {
  const KindRow* const row = Find(kind);
  return row == nullptr ? "?" : row->name;
}

std::optional<RivalKind> RivalFromName(std::string_view name) {
  for (const KindRow& row : kKinds) {
    if (row.name == name) return row.kind;
  }
  return std::nullopt;
}

double DefaultThreshold(RivalKind kind) {
  const KindRow* const row = Find(kind);
  return row == nullptr ? 1 : row->threshold;
}

absl::Status RivalOptions::Validate() const {
  constexpr std::int64_t kSecond = 1'000'000'000;
  if (!(threshold >= 0 && std::isfinite(threshold))) {
    return Bad("threshold", "give a finite number, or 0 for the default");
  }
  if (baseline_ns < kSecond || baseline_ns > 86'400 * kSecond) {
    return Bad("baseline_ns", "give 1 s to 1 day");
  }
  if (warmup_ns < 0 || warmup_ns > baseline_ns) return Bad("warmup_ns", "give 0 to baseline_ns");
  if (hold_ns < 0 || hold_ns > 3600 * kSecond) return Bad("hold_ns", "give 0 to 1 h");
  if (slope_horizon_ns < 0 || slope_horizon_ns > 3600 * kSecond) {
    return Bad("slope_horizon_ns", "give 0 to 1 h");
  }
  if (alarm_horizon_ns <= 0) return Bad("alarm_horizon_ns", "give more than 0");
  if (horizons_ns.empty() || horizons_ns.size() > 16) {
    return Bad("horizons_ns", "give 1 to 16 of them");
  }
  std::int64_t last = 0;
  for (const std::int64_t horizon : horizons_ns) {
    if (horizon <= last) return Bad("horizons_ns", "give them above 0 and increasing");
    last = horizon;
  }
  if (absl::Status status = alarm.Validate(); !status.ok()) return status;
  if (!(own_spreads > 0 && std::isfinite(own_spreads))) {
    return Bad("own_spreads", "give a finite number above 0");
  }
  if (!(load_growth > 1 && std::isfinite(load_growth))) {
    return Bad("load_growth", "give a finite number above 1");
  }
  if (max_initiators < 1 || max_initiators > 64) return Bad("max_initiators", "give 1 to 64");
  for (const ServiceWorkers& row : workers) {
    if (!(row.workers > 0 && std::isfinite(row.workers))) {
      return absl::InvalidArgumentError(
          absl::StrCat("workers[", row.service, "]: give a finite number above 0"));
    }
  }
  if (!(alarms_per_hour >= 0 && std::isfinite(alarms_per_hour))) {
    return Bad("alarms_per_hour", "give a finite number, 0 or more");
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<TickPredictor>> MakeRival(RivalKind kind,
                                                         const RivalOptions& options) {
  if (absl::Status status = options.Validate(); !status.ok()) return status;
  std::unique_ptr<TickPredictor> rival;
  switch (kind) {
    case RivalKind::kLargestDepth:
      rival = std::make_unique<internal::DepthRival>(kind, options);
      break;
    case RivalKind::kLargestDepthZ:
    case RivalKind::kSelfDepthZ:
    case RivalKind::kDeepestAbnormal:
      rival = std::make_unique<internal::DepthZRival>(kind, options);
      break;
    case RivalKind::kQueueSlope:
      rival = std::make_unique<internal::SlopeRival>(kind, options);
      break;
    case RivalKind::kUtilisation:
    case RivalKind::kQueueWait:
    case RivalKind::kMmc:
      rival = std::make_unique<internal::LoadRival>(kind, options);
      break;
    case RivalKind::kRandom:
      rival = std::make_unique<internal::RandomRival>(kind, options);
      break;
  }
  if (rival == nullptr) return Bad("kind", "give one of RivalKind");
  return rival;
}

SEER_END_NAMESPACE
