#include "predict/retrainer_core.h"

#include <cstring>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "seer/core/internal/crc32c.h"
#include "seer/core/internal/status_macros.h"
#include "seer/nn/counter_rng.h"

SEER_BEGIN_NAMESPACE
namespace internal {
namespace {

constexpr std::size_t kMostDecisions = 256;
constexpr char kStateMark[] = "SEERRET2";  // the last letter is the version
constexpr std::size_t kMarkBytes = 8;

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

absl::Status RetrainerCore::Observe(const ClusterTick& tick, const Topology& topology) {
  MutexLock lock(&mutex_);
  return TakeTick(tick, topology);
}

void RetrainerCore::Add(const SpanInterval& interval) {
  MutexLock lock(&mutex_);
  events().Add(interval);
}

void RetrainerCore::NoteViolation(const Violation& violation) {
  MutexLock lock(&mutex_);
  events().NoteViolation(violation);
}

void RetrainerCore::NoteForecast(const Forecast& forecast) {
  MutexLock lock(&mutex_);
  events().NoteForecast(forecast);
}

void RetrainerCore::NoteAction(const ActionTaken& action) {
  MutexLock lock(&mutex_);
  events().NoteAction(action);
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

absl::Status RetrainerCore::SaveState(std::string* bytes) const {
  std::string own;
  StateIo io(&own);
  std::string model;
  std::uint64_t seed = options_.seed, version = version_, steps = steps_;
  bool trees = OfTrees(), major = false;
  {
    MutexLock lock(&mutex_);
    model = shown_;
    major = major_;
  }
  io(trees), io(seed), io(version), io(steps), io(major), io(model);
  SEER_RETURN_IF_ERROR(SaveOwn(io));
  const std::uint32_t crc = Crc32c(own);
  bytes->append(kStateMark, kMarkBytes);
  bytes->append(reinterpret_cast<const char*>(&crc), sizeof(crc));
  bytes->append(own);
  return absl::OkStatus();
}

absl::Status RetrainerCore::LoadState(std::string_view bytes) {
  if (bytes.substr(0, kMarkBytes) != kStateMark) {
    return absl::InvalidArgumentError(
        "retrainer state: does not begin with its mark: is it one, and of this version?");
  }
  bytes.remove_prefix(kMarkBytes);
  std::uint32_t crc = 0;
  if (bytes.size() < sizeof(crc)) {
    return absl::DataLossError("retrainer state: cut off: take another copy");
  }
  std::memcpy(&crc, bytes.data(), sizeof(crc));
  bytes.remove_prefix(sizeof(crc));
  if (Crc32c(bytes) != crc) {
    return absl::DataLossError("retrainer state: its checksum is wrong: take another copy");
  }
  StateIo io(bytes);
  std::uint64_t seed = 0, version = 0, steps = 0;
  std::string model;
  bool trees = false, major = false;
  io(trees), io(seed), io(version), io(steps), io(major), io(model);
  io.Require(version > 0, "a version of 0");
  if (!io.ok()) return io.status();
  if (trees != OfTrees()) {
    return absl::InvalidArgumentError(
        absl::StrCat("retrainer state: of ", trees ? "trees" : "a network",
                     ": load it into a retrainer that was made with ", trees ? "some" : "one"));
  }
  // By it the time is chosen that is held back: with another one what was learnt would judge.
  if (seed != options_.seed) {
    return absl::InvalidArgumentError(absl::StrCat("retrainer state: options.seed was ", seed,
                                                   ", here it is ", options_.seed, ": give ",
                                                   seed));
  }
  SEER_RETURN_IF_ERROR(LoadOwn(io, model));
  version_ = version;
  steps_ = steps;
  MutexLock lock(&mutex_);
  shown_ = std::move(model);
  fresh_ = false;
  major_ = major;
  health_.version = version;
  health_.steps = steps;
  Publish(&health_);
  return absl::OkStatus();
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
