#include "seer/predict/mirror.h"

#include <algorithm>
#include <cstring>
#include <deque>
#include <utility>

#include "absl/strings/str_cat.h"
#include "predict/forecast_state.h"
#include "predict/tick_order.h"
#include "seer/core/clock.h"
#include "seer/core/internal/crc32c.h"
#include "seer/core/internal/mutex.h"
#include "seer/core/internal/state_io.h"
#include "seer/core/internal/status_macros.h"
#include "seer/core/internal/strings.h"
#include "seer/core/wire.h"
#include "seer/nn/checkpoint.h"
#include "seer/predict/model_store.h"

SEER_BEGIN_NAMESPACE
namespace {

constexpr char kStateMark[] = "SEERSTAT";
constexpr std::size_t kMarkBytes = 8, kStateHeaderBytes = 16;
constexpr std::uint32_t kStateVersion = 1;

// A predictor with the clock that only deltas move, and the models that it has as bytes.
struct Core {
  ManualClock clock;
  std::unique_ptr<Predictor> predictor;
  std::string model, next_model;
  std::uint64_t models_changed = 0;
  Forecast forecast;
};

// What a delta asks for, made before the lock is taken.
struct Work {
  std::unique_ptr<Topology> topology;
  std::unique_ptr<Snapshot> snapshot;
  std::unique_ptr<TickPredictor> model;
};

absl::StatusOr<Work> ReadMessage(std::string_view bytes) {
  Work work;
  const absl::StatusOr<WireHeader> peeked = PeekWire(bytes);
  // Whoever applies deltas takes OutOfRange for deltas that are missing.
  if (absl::IsOutOfRange(peeked.status())) {
    return absl::DataLossError("the message is cut off: send it again");
  }
  SEER_RETURN_IF_ERROR(peeked.status());
  const WireHeader& header = *peeked;
  if (header.kind == WireKind::kTopology) {
    work.topology = std::make_unique<Topology>();
    SEER_RETURN_IF_ERROR(DecodeTo(bytes, work.topology.get()));
  } else if (header.kind == WireKind::kSnapshot) {
    work.snapshot = std::make_unique<Snapshot>();
    SEER_RETURN_IF_ERROR(DecodeTo(bytes, work.snapshot.get()));
  } else {
    return absl::InvalidArgumentError(absl::StrCat("the message is a ",
                                                   internal::ToAbsl(WireKindName(header.kind)),
                                                   ": a mirror takes topologies and snapshots"));
  }
  return work;
}

std::uint32_t ChecksumOf(const Forecast& forecast, std::string* scratch) {
  scratch->clear();
  internal::StateIo io(scratch);
  Forecast copy = forecast;
  internal::ForecastState(io, copy);
  const std::uint32_t crc = internal::Crc32c(*scratch);
  return crc == 0 ? 1 : crc;  // 0: no forecast came of it
}

std::uint32_t ChecksumOf(std::string_view delta) {
  std::uint32_t crc;
  std::memcpy(&crc, delta.data() + StateDelta::kHeaderBytes - sizeof(crc), sizeof(crc));
  return crc;
}

}  // namespace

class Mirror::Impl {
 public:
  explicit Impl(const MirrorOptions& options)
      : options_(options),
        clock_(options.predictor.clock != nullptr ? *options.predictor.clock : system_clock_) {}

  absl::Status Begin() {
    SEER_ASSIGN_OR_RETURN(std::unique_ptr<Core> core, NewCore(options_.model));
    internal::MutexLock lock(&mutex_);
    core_ = std::move(core);
    return absl::OkStatus();
  }

  absl::Status TakeOver(std::uint64_t term) {
    internal::MutexLock lock(&mutex_);
    if (spoiled_) return Spoiled();
    if (term <= term_) {
      return absl::InvalidArgumentError(absl::StrCat("term is ", term, ", there was ", term_,
                                                     ": give each primary a larger one"));
    }
    const std::int64_t now_ns = Now();
    if (sequence_ == 0) stream_ = static_cast<std::uint64_t>(now_ns);
    term_ = term;
    primary_ = true;
    Work none;
    return Do(DeltaKind::kTakeOver, "", &none, now_ns);
  }

  absl::Status Observe(std::string_view bytes) {
    absl::StatusOr<Work> work = ReadMessage(bytes);
    SEER_RETURN_IF_ERROR(work.status());
    return Act(DeltaKind::kMessage, bytes, &*work);
  }

  absl::Status RemoveNode(std::string_view node) {
    Work none;
    return Act(DeltaKind::kRemoveNode, node, &none);
  }

  absl::Status UseModel(std::string_view model) {
    Work work;
    if (!model.empty()) {
      SEER_ASSIGN_OR_RETURN(work.model, Make(model));
    }
    return Act(DeltaKind::kModel, model, &work);
  }

  Forecast Predict() {
    internal::MutexLock lock(&mutex_);
    Work none;
    if (primary_) Do(DeltaKind::kAdvance, "", &none, Now()).IgnoreError();
    return core_->forecast;
  }

  absl::Status Apply(std::string_view bytes) {
    SEER_ASSIGN_OR_RETURN(const StateDelta delta, DecodeDelta(bytes));
    Work work;
    if (delta.kind == DeltaKind::kMessage) {
      SEER_ASSIGN_OR_RETURN(work, ReadMessage(delta.payload));
    } else if (delta.kind == DeltaKind::kModel && !delta.payload.empty()) {
      SEER_ASSIGN_OR_RETURN(work.model, Make(delta.payload));
    }
    internal::MutexLock lock(&mutex_);
    SEER_RETURN_IF_ERROR(Fits(delta));
    const bool took_over = delta.kind == DeltaKind::kTakeOver;
    if (took_over) {
      stream_ = delta.stream;
      term_ = delta.term;
      primary_ = false;
    }
    const std::uint32_t forecast = Perform(delta.kind, delta.payload, &work, delta.time_ns);
    Keep(delta.sequence, std::string(bytes));
    if (forecast != delta.forecast) {
      spoiled_ = true;
      return absl::InternalError(absl::StrCat(
          "delta ", delta.sequence, ": the forecast that came of it is not the primary's: use the ",
          "same build and options in all mirrors, and the model's backend \"reference\" where "
          "their "
          "processors differ; then load the primary's state"));
    }
    return absl::OkStatus();
  }

  absl::StatusOr<std::vector<std::string>> DeltasAfter(std::uint64_t sequence,
                                                       std::size_t most_bytes) {
    internal::MutexLock lock(&mutex_);
    if (sequence > sequence_) {
      return absl::OutOfRangeError(absl::StrCat("deltas after ", sequence,
                                                ": the last one here is ", sequence_,
                                                ": load the state of this mirror"));
    }
    if (sequence_ - sequence > kept_.size()) {
      return absl::OutOfRangeError(absl::StrCat("deltas after ", sequence,
                                                ": kept are those after ", sequence_ - kept_.size(),
                                                ": load a state first, or raise keep_bytes"));
    }
    std::vector<std::string> deltas;
    std::size_t size = 0;
    for (std::size_t i = kept_.size() - static_cast<std::size_t>(sequence_ - sequence);
         i < kept_.size() && (deltas.empty() || size + kept_[i].size() <= most_bytes); ++i) {
      size += kept_[i].size();
      deltas.push_back(kept_[i]);
    }
    return deltas;
  }

  absl::StatusOr<std::string> SaveState() {
    internal::MutexLock lock(&mutex_);
    if (spoiled_) return Spoiled();
    std::string bytes(kStateHeaderBytes, '\0'), predictor;
    SEER_RETURN_IF_ERROR(core_->predictor->SaveState(&predictor));
    internal::StateIo io(&bytes);
    std::int64_t time_ns = core_->clock.NowNs();
    io(stream_), io(term_), io(sequence_), io(last_), io(time_ns);
    io(core_->model), io(core_->next_model), io(core_->models_changed), io(predictor);
    std::memcpy(&bytes[0], kStateMark, kMarkBytes);
    std::memcpy(&bytes[8], &kStateVersion, sizeof(kStateVersion));
    const std::uint32_t crc = internal::Crc32c(std::string_view(bytes).substr(kStateHeaderBytes));
    std::memcpy(&bytes[12], &crc, sizeof(crc));
    return bytes;
  }

  absl::Status LoadState(std::string_view bytes) {
    if (bytes.size() < kMarkBytes || std::memcmp(bytes.data(), kStateMark, kMarkBytes) != 0) {
      return absl::InvalidArgumentError("state: does not begin with its mark: is it a mirror's?");
    }
    std::uint32_t version = 0, crc = 0;
    if (bytes.size() >= kStateHeaderBytes) {
      std::memcpy(&version, bytes.data() + 8, sizeof(version));
      std::memcpy(&crc, bytes.data() + 12, sizeof(crc));
      bytes.remove_prefix(kStateHeaderBytes);
      if (version != kStateVersion) {
        return absl::UnimplementedError(absl::StrCat("state: version ", version,
                                                     ", this seer reads ", kStateVersion,
                                                     ": use one seer in all mirrors"));
      }
    }
    if (version == 0 || internal::Crc32c(bytes) != crc) {
      return absl::DataLossError("state: cut off, or its checksum is wrong: take another copy");
    }
    std::uint64_t stream = 0, term = 0, sequence = 0, models_changed = 0;
    std::uint32_t last = 0;
    std::int64_t time_ns = 0;
    std::string model, next_model, predictor;
    internal::StateIo io(bytes);
    io(stream), io(term), io(sequence), io(last), io(time_ns);
    internal::RequireTime(io, time_ns);
    io(model), io(next_model), io(models_changed), io(predictor);
    SEER_RETURN_IF_ERROR(io.status());
    SEER_ASSIGN_OR_RETURN(std::unique_ptr<Core> core, NewCore(model));
    if (!next_model.empty()) {
      SEER_ASSIGN_OR_RETURN(std::unique_ptr<TickPredictor> next, Make(next_model));
      core->predictor->UseModel(std::move(next));
      core->next_model = std::move(next_model);
    }
    core->clock.Set(time_ns);
    SEER_RETURN_IF_ERROR(core->predictor->LoadState(predictor));
    core->models_changed = models_changed;
    core->predictor->Predict(&core->forecast);  // at the same time as the last: nothing moves
    internal::MutexLock lock(&mutex_);
    core_ = std::move(core);
    stream_ = stream;
    term_ = term;
    sequence_ = sequence;
    last_ = last;
    kept_.clear();
    kept_size_ = 0;
    primary_ = false;
    spoiled_ = false;
    return absl::OkStatus();
  }

  bool primary() {
    internal::MutexLock lock(&mutex_);
    return primary_;
  }
  std::uint64_t term() {
    internal::MutexLock lock(&mutex_);
    return term_;
  }
  std::uint64_t sequence() {
    internal::MutexLock lock(&mutex_);
    return sequence_;
  }
  Forecast forecast() {
    internal::MutexLock lock(&mutex_);
    return core_->forecast;
  }
  std::shared_ptr<const Topology> topology() {
    internal::MutexLock lock(&mutex_);
    return core_->predictor->topology();
  }
  void TicksSince(Tick last, std::vector<ClusterTick>* ticks) {
    internal::MutexLock lock(&mutex_);
    core_->predictor->TicksSince(last, ticks);
  }
  PredictorHealth health() {
    internal::MutexLock lock(&mutex_);
    return core_->predictor->health();
  }

 private:
  absl::StatusOr<std::unique_ptr<TickPredictor>> Make(std::string_view model) const {
    auto made = options_.make_model ? options_.make_model(model) : MakeModelOf(model);
    if (made.ok() && *made == nullptr) {
      return absl::InvalidArgumentError("make_model gave none: return a status instead");
    }
    return made;
  }

  absl::StatusOr<std::unique_ptr<Core>> NewCore(const std::string& model) const {
    auto core = std::make_unique<Core>();
    PredictorOptions options = options_.predictor;
    options.clock = &core->clock;
    if (model.empty()) {
      SEER_ASSIGN_OR_RETURN(core->predictor, Predictor::Create(options));
    } else {
      SEER_ASSIGN_OR_RETURN(std::unique_ptr<TickPredictor> made, Make(model));
      SEER_ASSIGN_OR_RETURN(core->predictor, Predictor::Create(std::move(made), options));
    }
    core->model = model;
    return core;
  }

  // Within what a delta can say (1897 to 2116).
  std::int64_t Now() const {
    constexpr std::int64_t kMost = StateDelta::kLatestNs;
    return std::clamp(clock_.NowNs(), -kMost / 2, kMost);
  }

  static absl::Status Spoiled() {
    return absl::FailedPreconditionError(
        "mirror: its forecasts are not the primary's: load the state of another mirror");
  }

  absl::Status Act(DeltaKind kind, std::string_view payload, Work* work) {
    internal::MutexLock lock(&mutex_);
    if (!primary_) {
      return absl::FailedPreconditionError(
          "mirror: this is a stand-by: hand it deltas by Apply(), or make it primary by "
          "TakeOver()");
    }
    if (payload.size() > StateDelta::kMostPayload) {
      return absl::InvalidArgumentError("mirror: a message of more than 2^30 bytes: send less");
    }
    return Do(kind, payload, work, Now());
  }

  // As the primary: does it, and keeps it as a delta.
  absl::Status Do(DeltaKind kind, std::string_view payload, Work* work, std::int64_t now_ns)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    StateDelta delta;
    delta.kind = kind;
    delta.stream = stream_;
    delta.term = term_;
    delta.sequence = sequence_ + 1;
    delta.time_ns = now_ns;
    delta.previous = last_;
    absl::Status status;
    delta.forecast = Perform(kind, payload, work, now_ns, &status);
    delta.payload = std::string(payload);
    Keep(delta.sequence, EncodeDelta(delta));
    return status;
  }

  // Returns the checksum of the forecast that came of it, 0 where none did. That a node or a
  // snapshot is refused is part of it: it is refused everywhere.
  std::uint32_t Perform(DeltaKind kind, std::string_view payload, Work* work, std::int64_t time_ns,
                        absl::Status* result = nullptr) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    Core& core = *core_;
    if (kind == DeltaKind::kTakeOver) return 0;
    const Tick before = core.forecast.tick;
    core.clock.Set(time_ns);
    absl::Status status;
    switch (kind) {
      case DeltaKind::kTakeOver:
      case DeltaKind::kMessage:
        if (work->topology != nullptr) status = core.predictor->Observe(*work->topology);
        if (work->snapshot != nullptr) status = core.predictor->Observe(*work->snapshot);
        break;
      case DeltaKind::kAdvance:
        break;
      case DeltaKind::kRemoveNode:
        core.predictor->RemoveNode(payload);
        break;
      case DeltaKind::kModel:
        core.predictor->UseModel(std::move(work->model));
        core.next_model = std::string(payload);
        break;
    }
    core.predictor->Predict(&core.forecast);
    if (!core.next_model.empty()) {
      const std::uint64_t changed = core.predictor->health().models_changed;
      if (changed != core.models_changed) {
        core.models_changed = changed;
        core.model = std::exchange(core.next_model, "");
      }
    }
    if (result != nullptr) *result = std::move(status);
    return core.forecast.tick == before ? 0 : ChecksumOf(core.forecast, &scratch_);
  }

  // Whether it is the one to apply now.
  absl::Status Fits(const StateDelta& delta) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (spoiled_) return Spoiled();
    const auto refuse = [](auto... what) {
      return absl::FailedPreconditionError(absl::StrCat("delta ", what...));
    };
    if (sequence_ > 0 && delta.stream != stream_) {
      return refuse(delta.sequence, ": of another history: load the state of who sent it");
    }
    if (delta.term < term_) {
      return refuse(delta.sequence, ": of term ", delta.term, ", there is a primary of term ",
                    term_, ": drop it");
    }
    const bool takes_over = delta.kind == DeltaKind::kTakeOver && delta.term > term_;
    if (delta.term > term_ && delta.sequence <= sequence_) {
      // Others have gone on without what this one did or was told last.
      primary_ = false;
      spoiled_ = true;
      return refuse(delta.sequence, ": the primary of term ", delta.term,
                    " does not know what this mirror applied after it: load its state");
    }
    if (delta.sequence <= sequence_) {
      return absl::AlreadyExistsError(
          absl::StrCat("delta ", delta.sequence, ": applied already, as all up to ", sequence_));
    }
    if (delta.sequence != sequence_ + 1) {
      return absl::OutOfRangeError(absl::StrCat("delta ", delta.sequence, ": those from ",
                                                sequence_ + 1,
                                                " on are missing: ask for them, or "
                                                "load a state"));
    }
    if (primary_ && !takes_over) {
      return refuse(delta.sequence, ": this is the primary of term ", term_,
                    ": elect one, and give it a larger term");
    }
    if (delta.term > term_ && !takes_over) {
      return refuse(delta.sequence, ": that the primary of term ", delta.term,
                    " took over is not known here: load its state");
    }
    if (delta.previous != last_) {
      spoiled_ = true;
      return refuse(delta.sequence, ": follows another than delta ", sequence_,
                    " of this mirror: load the state of who sent it");
    }
    return absl::OkStatus();
  }

  void Keep(std::uint64_t sequence, std::string delta) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    sequence_ = sequence;
    last_ = ChecksumOf(delta);
    kept_size_ += delta.size();
    kept_.push_back(std::move(delta));
    while (kept_.size() > 1 && kept_size_ > options_.keep_bytes) {
      kept_size_ -= kept_.front().size();
      kept_.pop_front();
    }
  }

  const MirrorOptions options_;
  const SystemClock system_clock_;
  const Clock& clock_;

  internal::Mutex mutex_;
  std::unique_ptr<Core> core_ ABSL_GUARDED_BY(mutex_);
  std::uint64_t stream_ ABSL_GUARDED_BY(mutex_) = 0;
  std::uint64_t term_ ABSL_GUARDED_BY(mutex_) = 0;
  std::uint64_t sequence_ ABSL_GUARDED_BY(mutex_) = 0;
  std::uint32_t last_ ABSL_GUARDED_BY(mutex_) = 0;  // checksum of the last delta
  bool primary_ ABSL_GUARDED_BY(mutex_) = false;
  bool spoiled_ ABSL_GUARDED_BY(mutex_) = false;          // only LoadState() helps
  std::deque<std::string> kept_ ABSL_GUARDED_BY(mutex_);  // up to sequence_, without gaps
  std::size_t kept_size_ ABSL_GUARDED_BY(mutex_) = 0;
  std::string scratch_ ABSL_GUARDED_BY(mutex_);
};

absl::StatusOr<std::unique_ptr<Mirror>> Mirror::Create(const MirrorOptions& options) {
  auto impl = std::make_unique<Impl>(options);
  SEER_RETURN_IF_ERROR(impl->Begin());
  return std::unique_ptr<Mirror>(new Mirror(std::move(impl)));
}
Mirror::Mirror(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Mirror::~Mirror() = default;
absl::Status Mirror::TakeOver(std::uint64_t term) { return impl_->TakeOver(term); }
absl::Status Mirror::Observe(const Topology& node) { return impl_->Observe(Encode(node)); }
absl::Status Mirror::Observe(const Snapshot& snapshot) { return impl_->Observe(Encode(snapshot)); }
absl::Status Mirror::ObserveWire(std::string_view bytes) { return impl_->Observe(bytes); }
absl::Status Mirror::RemoveNode(std::string_view node) { return impl_->RemoveNode(node); }
absl::Status Mirror::UseModel(std::string_view model) { return impl_->UseModel(model); }
Forecast Mirror::Predict() { return impl_->Predict(); }
absl::Status Mirror::Apply(std::string_view delta) { return impl_->Apply(delta); }
bool Mirror::primary() const { return impl_->primary(); }
std::uint64_t Mirror::term() const { return impl_->term(); }
std::uint64_t Mirror::sequence() const { return impl_->sequence(); }
absl::StatusOr<std::vector<std::string>> Mirror::DeltasAfter(std::uint64_t sequence,
                                                             std::size_t most_bytes) const {
  return impl_->DeltasAfter(sequence, most_bytes);
}
absl::StatusOr<std::string> Mirror::SaveState() const { return impl_->SaveState(); }
absl::Status Mirror::LoadState(std::string_view bytes) { return impl_->LoadState(bytes); }
Forecast Mirror::forecast() const { return impl_->forecast(); }
std::shared_ptr<const Topology> Mirror::topology() const { return impl_->topology(); }
void Mirror::TicksSince(Tick last, std::vector<ClusterTick>* ticks) const {
  impl_->TicksSince(last, ticks);
}
PredictorHealth Mirror::health() const { return impl_->health(); }

SEER_END_NAMESPACE
