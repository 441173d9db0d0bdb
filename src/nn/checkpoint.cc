#include "seer/nn/checkpoint.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "nn/backends.h"
#include "nn/checkpoint_bytes.h"
#include "nn/finite.h"
#include "nn/prefault.h"
#include "seer/core/internal/crc32c.h"
#include "seer/core/internal/status_macros.h"

SEER_BEGIN_NAMESPACE
namespace {

using internal::Bytes;
using internal::Crc32c;
using internal::Put;

constexpr char kMagic[] = "SEERNN\r\n";  // as PNG has it: a transfer as text is noticed
constexpr std::size_t kMagicBytes = 8, kHeaderBytes = 32, kSectionHeaderBytes = 16;
constexpr std::uint16_t kMajor = 1, kMinor = 0;
constexpr std::uint32_t kOrderMark = 0x01020304u;
constexpr std::size_t kMaxEntries = 1000, kMaxName = 255;

enum Kind : std::uint32_t {
  kConfig = 1,
  kWeights = 2,
  kServices = 3,
  kTraining = 4,
  kProvenance = 5,
  kOpaque = 6,
};
constexpr const char* kKindNames[] = {"?",        "configuration", "weights", "services",
                                      "training", "provenance",    "opaque"};

absl::Status Wrong(std::string what) {
  return absl::InvalidArgumentError("checkpoint: " + std::move(what));
}
absl::Status Damaged(std::string what) {
  return absl::DataLossError(
      absl::StrCat("checkpoint: ", what, ": the file is damaged, take another copy"));
}

absl::Status CheckState(const Network& network, const TrainingState& state) {
  SEER_RETURN_IF_ERROR(internal::CheckParameters(network, state.optimizer.mean));
  SEER_RETURN_IF_ERROR(internal::CheckParameters(network, state.optimizer.square));
  if (!state.best.empty()) SEER_RETURN_IF_ERROR(internal::CheckParameters(network, state.best));
  return absl::OkStatus();
}

absl::Status Check(const Checkpoint& checkpoint) {
  SEER_ASSIGN_OR_RETURN(const Network network, Network::Create(checkpoint.config));
  SEER_RETURN_IF_ERROR(internal::CheckParameters(network, checkpoint.parameters));
  if (!checkpoint.services.empty() && checkpoint.services.size() != network.services()) {
    return Wrong(absl::StrCat("services has ", checkpoint.services.size(), " names: give ",
                              network.services(), ", or none"));
  }
  std::set<std::string_view> names;
  for (const ServiceSlot& slot : checkpoint.services) {
    if (slot.name.empty() || slot.name.size() > kMaxName) {
      return Wrong(
          absl::StrCat("a service's name has ", slot.name.size(), " bytes: give 1 to ", kMaxName));
    }
    if (!names.insert(slot.name).second) {
      return Wrong(absl::StrCat("service '", slot.name, "' is there twice: remove one"));
    }
  }
  if (checkpoint.training) SEER_RETURN_IF_ERROR(CheckState(network, *checkpoint.training));
  for (const auto* entries : {&checkpoint.provenance, &checkpoint.sections}) {
    if (entries->size() > kMaxEntries) {
      return Wrong(absl::StrCat(entries->size(), " entries of provenance or sections: give up to ",
                                kMaxEntries));
    }
    for (const auto& [name, value] : *entries) {
      if (name.empty() || name.size() > kMaxName) {
        return Wrong(absl::StrCat("a name of provenance or a section has ", name.size(),
                                  " bytes: give 1 to ", kMaxName));
      }
    }
  }
  return absl::OkStatus();
}

void PutSection(Kind kind, std::string_view name, std::string_view payload, std::string* out) {
  const std::size_t begin = out->size();
  Put(static_cast<std::uint32_t>(kind), out);
  Put(static_cast<std::uint32_t>(name.size()), out);
  Put(static_cast<std::uint64_t>(payload.size()), out);
  out->append(name);
  out->append(payload);
  Put(Crc32c(std::string_view(*out).substr(begin)), out);
}

void PutOptional(const std::optional<double>& value, std::string* out) {
  Put(static_cast<std::uint8_t>(value.has_value()), out);
  Put(value.value_or(0.0), out);
}
std::optional<double> GetOptional(Bytes* bytes, bool* canonical) {
  const auto there = bytes->Get<std::uint8_t>();
  const auto value = bytes->Get<double>();
  std::uint64_t bits;
  std::memcpy(&bits, &value, sizeof(bits));
  const bool finite = (bits & 0x7ff0000000000000u) != 0x7ff0000000000000u;
  if (there > 1 || !finite || (there == 0 && bits != 0)) *canonical = false;
  return there == 1 ? std::optional<double>(value) : std::nullopt;
}

std::string EncodeTraining(const TrainingState& state) {
  std::string out;
  for (std::uint64_t number : {state.seed, state.batch, state.threads, state.windows, state.epoch,
                               state.step, state.epochs_since_best, state.optimizer.step}) {
    Put(number, &out);
  }
  Put(state.epoch_loss.loss, &out);
  Put(state.epoch_loss.weight, &out);
  PutOptional(state.validation_loss, &out);
  PutOptional(state.best_loss, &out);
  Put(static_cast<std::uint8_t>(state.finished), &out);
  Put(static_cast<std::uint8_t>(!state.best.empty()), &out);
  internal::PutFloats(state.optimizer.mean, &out);
  internal::PutFloats(state.optimizer.square, &out);
  internal::PutFloats(state.best, &out);
  return out;
}

absl::Status DecodeTraining(std::string_view payload, std::size_t parameters,
                            TrainingState* state) {
  Bytes bytes(payload);
  bool canonical = true;
  for (std::uint64_t* number :
       {&state->seed, &state->batch, &state->threads, &state->windows, &state->epoch, &state->step,
        &state->epochs_since_best, &state->optimizer.step}) {
    *number = bytes.Get<std::uint64_t>();
  }
  state->epoch_loss.loss = bytes.Get<double>();
  state->epoch_loss.weight = bytes.Get<double>();
  state->validation_loss = GetOptional(&bytes, &canonical);
  state->best_loss = GetOptional(&bytes, &canonical);
  const auto finished = bytes.Get<std::uint8_t>(), best = bytes.Get<std::uint8_t>();
  state->finished = finished == 1;
  state->optimizer.mean = bytes.GetFloats(parameters);
  state->optimizer.square = bytes.GetFloats(parameters);
  if (best == 1) state->best = bytes.GetFloats(parameters);
  if (!bytes.done() || !canonical || finished > 1 || best > 1) {
    return Wrong("section training: not what this configuration needs: take another copy");
  }
  return absl::OkStatus();
}

absl::Status DecodeServices(std::string_view payload, std::vector<ServiceSlot>* services) {
  Bytes bytes(payload);
  while (bytes.ok() && bytes.left() > 0) {
    ServiceSlot slot;
    const auto live = bytes.Get<std::uint8_t>();
    slot.live = live == 1;
    slot.name = std::string(bytes.Take(bytes.Get<std::uint8_t>()));
    if (live > 1) return Wrong("section services: neither live nor gone: take another copy");
    services->push_back(std::move(slot));
  }
  return bytes.ok() && !services->empty()
             ? absl::OkStatus()
             : Wrong("section services: ends too early: take another copy");
}

absl::Status DecodeProvenance(std::string_view payload, std::map<std::string, std::string>* to) {
  Bytes bytes(payload);
  while (bytes.ok() && bytes.left() > 0) {
    const std::string name(bytes.Take(bytes.Get<std::uint8_t>()));
    const std::string value(bytes.Take(bytes.Get<std::uint32_t>()));
    // In order, so that each value has one form only.
    if (!to->empty() && name <= to->rbegin()->first) {
      return Wrong("section provenance: not in order: take another copy");
    }
    to->emplace(name, value);
  }
  return bytes.ok() && !to->empty()
             ? absl::OkStatus()
             : Wrong("section provenance: ends too early: take another copy");
}

}  // namespace

absl::StatusOr<std::string> EncodeCheckpoint(const Checkpoint& checkpoint) {
  SEER_RETURN_IF_ERROR(Check(checkpoint));
  std::string out;
  std::uint32_t sections = 2 + static_cast<std::uint32_t>(checkpoint.sections.size());
  sections += !checkpoint.services.empty();
  sections += checkpoint.training.has_value();
  sections += !checkpoint.provenance.empty();
  out.append(kMagic, kMagicBytes);
  Put(kMajor, &out);
  Put(kMinor, &out);
  Put(kOrderMark, &out);
  Put(std::uint64_t{0}, &out);  // of all bytes, below
  Put(sections, &out);
  Put(std::uint32_t{0}, &out);  // the header's checksum, below

  PutSection(kConfig, "", checkpoint.config.ToText(), &out);
  std::string payload;
  internal::PutFloats(checkpoint.parameters, &payload);
  PutSection(kWeights, "", payload, &out);
  if (!checkpoint.services.empty()) {
    payload.clear();
    for (const ServiceSlot& slot : checkpoint.services) {
      Put(static_cast<std::uint8_t>(slot.live), &payload);
      Put(static_cast<std::uint8_t>(slot.name.size()), &payload);
      payload += slot.name;
    }
    PutSection(kServices, "", payload, &out);
  }
  if (checkpoint.training) PutSection(kTraining, "", EncodeTraining(*checkpoint.training), &out);
  if (!checkpoint.provenance.empty()) {
    payload.clear();
    for (const auto& [name, value] : checkpoint.provenance) {
      Put(static_cast<std::uint8_t>(name.size()), &payload);
      payload += name;
      Put(static_cast<std::uint32_t>(value.size()), &payload);
      payload += value;
    }
    PutSection(kProvenance, "", payload, &out);
  }
  for (const auto& [name, value] : checkpoint.sections) PutSection(kOpaque, name, value, &out);

  const std::uint64_t size = out.size();
  std::memcpy(&out[16], &size, sizeof(size));
  const std::uint32_t crc = Crc32c(std::string_view(out).substr(0, kHeaderBytes - 4));
  std::memcpy(&out[kHeaderBytes - 4], &crc, sizeof(crc));
  return out;
}

namespace internal {

absl::StatusOr<Checkpoint> ReadCheckpoint(CheckpointSource& source) {
  const std::uint64_t all = source.left();
  char header[kHeaderBytes] = {};
  const std::size_t there = std::min<std::size_t>(all, kHeaderBytes);
  if (!source.Read(header, there)) return Damaged("the header cannot be read");
  if (there < kMagicBytes || std::memcmp(header, kMagic, kMagicBytes) != 0) {
    return Wrong("does not begin with its mark: is it the right file?");
  }
  if (there < kHeaderBytes) return Damaged("the header is cut off");
  Bytes fields(std::string_view(header, kHeaderBytes).substr(kMagicBytes));
  const auto major = fields.Get<std::uint16_t>();
  fields.Get<std::uint16_t>();  // of a later minor version: has sections that this one passes over
  const auto mark = fields.Get<std::uint32_t>();
  const auto size = fields.Get<std::uint64_t>();
  const auto sections = fields.Get<std::uint32_t>();
  const auto header_crc = fields.Get<std::uint32_t>();
  if (mark == 0x04030201u) {
    return Wrong("written on a machine of another byte order: write it on a little-endian one");
  }
  if (header_crc != Crc32c(std::string_view(header, kHeaderBytes - 4)) || mark != kOrderMark) {
    return Damaged("the header's checksum is wrong");
  }
  if (major != kMajor) {
    return absl::UnimplementedError(absl::StrCat("checkpoint: version ", major,
                                                 ", this seer reads ", kMajor,
                                                 ": use the seer that wrote it"));
  }
  if (size != all) return Damaged(absl::StrCat("has ", all, " bytes instead of ", size));

  Checkpoint checkpoint;
  std::optional<Network> network;
  std::uint64_t weights_bytes = 0;
  std::string name, payload, training;
  bool has_training = false;
  std::uint32_t last = 0;
  for (std::uint32_t i = 0; i < sections; ++i) {
    CheckedReader in(source);
    char start[kSectionHeaderBytes] = {};
    bool ok = in.Read(start, sizeof(start));
    Bytes sizes(std::string_view(start, sizeof(start)));
    const auto kind = sizes.Get<std::uint32_t>();
    const auto name_bytes = sizes.Get<std::uint32_t>();
    const auto payload_bytes = sizes.Get<std::uint64_t>();
    // Nothing is allocated for what is not there.
    ok = ok && name_bytes <= source.left() && payload_bytes <= source.left() - name_bytes;
    if (ok) {
      name.resize(name_bytes);
      ok = in.Read(name.data(), name.size());
    }
    // Straight to where they belong: of all bytes of a checkpoint nearly all are weights.
    const bool weights =
        ok && kind == kWeights && network && payload_bytes == network->parameters() * sizeof(float);
    if (weights) {
      if (checkpoint.parameters.empty()) {
        ReservePrefaulted(network->parameters(), &checkpoint.parameters);
      }
      checkpoint.parameters.resize(network->parameters());
      ok = in.Read(reinterpret_cast<char*>(checkpoint.parameters.data()),
                   static_cast<std::size_t>(payload_bytes));
    } else if (ok) {
      payload.resize(static_cast<std::size_t>(payload_bytes));
      ok = in.Read(payload.data(), payload.size());
    }
    const std::uint32_t computed = in.crc();
    std::uint32_t crc = 0;
    ok = ok && source.Read(reinterpret_cast<char*>(&crc), sizeof(crc));
    const char* const label = kind <= kOpaque ? kKindNames[kind] : "of a later version";
    if (!ok) return Damaged(absl::StrCat("section ", i, " is cut off"));
    if (crc != computed) {
      return Damaged(absl::StrCat("the checksum of section ", i, ", ", label, ", is wrong"));
    }
    if (kind < last || (kind == last && kind < kOpaque)) {
      return Wrong(absl::StrCat("section ", i, ", ", label, ", is out of order or there twice"));
    }
    if (kind < kOpaque && !name.empty())
      return Wrong(absl::StrCat("section ", label, " has a name"));
    last = kind;
    switch (kind) {
      case kConfig: {
        SEER_ASSIGN_OR_RETURN(checkpoint.config, ModelConfig::Parse(payload));
        SEER_ASSIGN_OR_RETURN(network, Network::Create(checkpoint.config));
        break;
      }
      case kWeights:
        weights_bytes = payload_bytes;
        break;
      case kServices:
        SEER_RETURN_IF_ERROR(DecodeServices(payload, &checkpoint.services));
        break;
      case kTraining:
        training.swap(payload);
        has_training = true;
        break;
      case kProvenance:
        SEER_RETURN_IF_ERROR(DecodeProvenance(payload, &checkpoint.provenance));
        break;
      case kOpaque:
        if (!checkpoint.sections.empty() && name <= checkpoint.sections.rbegin()->first) {
          return Wrong("opaque sections are not in order");
        }
        checkpoint.sections.emplace(name, payload);
        break;
      default:
        break;
    }
  }
  if (source.left() != 0) return Damaged("there are bytes behind the last section");
  if (!network) return Wrong("has no configuration");
  if (weights_bytes != network->parameters() * sizeof(float)) {
    return Wrong(absl::StrCat("has ", weights_bytes, " bytes of weights: its configuration needs ",
                              network->parameters() * sizeof(float)));
  }
  if (has_training) {
    checkpoint.training.emplace();
    SEER_RETURN_IF_ERROR(DecodeTraining(training, network->parameters(), &*checkpoint.training));
  }
  SEER_RETURN_IF_ERROR(Check(checkpoint));
  return checkpoint;
}

}  // namespace internal

absl::StatusOr<Checkpoint> DecodeCheckpoint(std::string_view all) {
  class Memory final : public internal::CheckpointSource {
   public:
    explicit Memory(std::string_view bytes) : CheckpointSource(bytes.size()), bytes_(bytes) {}

   private:
    bool ReadNext(char* to, std::size_t bytes) override {
      std::memcpy(to, bytes_.data(), bytes);
      bytes_.remove_prefix(bytes);
      return true;
    }
    std::string_view bytes_;
  };
  Memory memory(all);
  return internal::ReadCheckpoint(memory);
}

SEER_END_NAMESPACE
