#include "predict/retrainer_core.h"

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "seer/nn/counter_rng.h"

SEER_BEGIN_NAMESPACE
namespace internal {
namespace {

constexpr std::size_t kMostDecisions = 256;

}  // namespace

RetrainerCore::RetrainerCore(const RetrainerOptions& options, std::string model,
                             const Provenance& provenance)
    : options_(options), shown_(std::move(model)) {
  const auto version = provenance.find("retrain.version");
  std::uint64_t number = 0;
  if (version != provenance.end() && absl::SimpleAtoi(version->second, &number) && number > 0) {
    version_ = number;
  }
  health_.version = version_;
}

void RetrainerCore::NoteMajorChange() {
  MutexLock lock(&mutex_);
  major_ = true;
}

bool RetrainerCore::LeaveAlone(std::uint64_t recommendation_id) const {
  const CounterRng rng(options_.seed, CounterRng::StreamOf("alone"));
  return static_cast<double>(rng.Uniform(recommendation_id)) < options_.left_alone;
}

bool RetrainerCore::HeldBack(std::int64_t at_ns) const {
  // One block of each four, by chance which.
  const auto block = static_cast<std::uint64_t>(BlockOf(at_ns));
  const CounterRng rng(options_.seed, CounterRng::StreamOf("held back"));
  return rng.Below(block / 4, 4) == block % 4;
}

absl::StatusOr<bool> RetrainerCore::Step(std::int64_t now_ns) {
  absl::StatusOr<bool> more = DoStep(now_ns);
  if (!more.ok()) GiveUp();
  MutexLock lock(&mutex_);
  health_.version = version_;
  health_.steps = steps_;
  Publish(&health_);
  if (!more.ok()) health_.last_error = more.status();
  return more;
}

std::optional<std::string> RetrainerCore::TakeModel() {
  MutexLock lock(&mutex_);
  if (!std::exchange(fresh_, false)) return std::nullopt;
  return shown_;
}

std::string RetrainerCore::serving() const {
  MutexLock lock(&mutex_);
  return shown_;
}

std::vector<RetrainDecision> RetrainerCore::TakeDecisions() {
  MutexLock lock(&mutex_);
  return std::exchange(decisions_, {});
}

RetrainerHealth RetrainerCore::health() const {
  MutexLock lock(&mutex_);
  return health_;
}

void RetrainerCore::TakeCounts(const AlarmCounts& alarms, std::uint64_t dropped) {
  health_.dropped_windows = dropped;
  health_.hits = alarms.hits;
  health_.false_alarms = alarms.false_alarms;
  health_.missed = alarms.missed;
}

void RetrainerCore::NextVersion(const RetrainDecision& decision, std::size_t windows,
                                Provenance* provenance) {
  const std::uint64_t parent = version_++;
  Provenance& notes = *provenance;
  notes["retrain.version"] = absl::StrCat(version_);
  notes["retrain.parent"] = absl::StrCat(parent);
  notes["retrain.stage"] =
      decision.rolled_back ? "roll-back" : std::string(RetrainStageName(decision.stage));
  notes["retrain.at_ns"] = absl::StrCat(decision.at_ns);
  notes["retrain.held_back_loss"] = absl::StrFormat("%.6g", decision.candidate_loss);
  notes["retrain.parent_loss"] = absl::StrFormat("%.6g", decision.serving_loss);
  notes["retrain.windows"] = absl::StrCat(windows);
}

void RetrainerCore::Show(std::string model) {
  MutexLock lock(&mutex_);
  shown_ = std::move(model);
  fresh_ = true;
}

void RetrainerCore::Tell(RetrainDecision decision) {
  decision.version = version_;
  MutexLock lock(&mutex_);
  if (decisions_.size() >= kMostDecisions) decisions_.erase(decisions_.begin());
  decisions_.push_back(std::move(decision));
}

}  // namespace internal
SEER_END_NAMESPACE
