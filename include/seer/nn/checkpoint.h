// Flow: Trainer -> [Checkpoint] -> a file -> Trainer, predict/
//
// A trained network as bytes: its configuration, weights, which service stands where, and, where
// training is to go on, all of its state. Others add sections of their own (normalisation,
// topology, calibration), which are kept as they are.
//
//   seer::Checkpoint checkpoint;
//   checkpoint.config = network.config();
//   checkpoint.parameters.assign(trainer->parameters().begin(), trainer->parameters().end());
//   checkpoint.training = trainer->state();
//   if (absl::Status status = seer::SaveCheckpoint(checkpoint, "cart.seer"); !status.ok()) { ... }
//   auto loaded = seer::LoadCheckpoint("cart.seer");                           // absl::StatusOr
//
// The same value gives the same bytes, and the other way round: a training that goes on from a file
// ends with the same bits as one that was never interrupted. The format is in README.md here. Any
// bytes may be decoded: what is not right is an error that says where, and memory stays within a
// small multiple of the file's size.
//
// A file is replaced as a whole or not at all: written under another name in the same folder,
// forced to the disk, renamed.
//
// Threads: functions of their arguments. Cost: about 2 GB/s, plus the disk.
#pragma once

#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "seer/core/config.h"
#include "seer/nn/model_config.h"
#include "seer/nn/trainer.h"

SEER_BEGIN_NAMESPACE

// A place in the model's order. One that is not live belonged to a service that is gone: its inputs
// are zeros and nobody looks at its output, but its weights wait for it (topology_map.h).
struct ServiceSlot {
  std::string name;  // 1 to 255 bytes
  bool live = true;
  bool operator==(const ServiceSlot& o) const { return name == o.name && live == o.live; }
};

struct Checkpoint {
  ModelConfig config;
  std::vector<float> parameters;
  std::vector<ServiceSlot> services;  // N of them; empty: the model's order has no names
  std::optional<TrainingState> training;
  // Where this model comes from: "dataset" -> "social-network week 1". Up to 1000 entries.
  std::map<std::string, std::string> provenance;
  // Of others, by a name of 1 to 255 bytes. Up to 1000.
  std::map<std::string, std::string> sections;
};

// InvalidArgument names what does not fit together.
absl::StatusOr<std::string> EncodeCheckpoint(const Checkpoint& checkpoint);
// DataLoss: truncated or changed. InvalidArgument: no checkpoint, or not one that a seer has
// written. Unimplemented: of a later major version.
absl::StatusOr<Checkpoint> DecodeCheckpoint(std::string_view bytes);

absl::Status SaveCheckpoint(const Checkpoint& checkpoint, const std::string& path);
// NotFound, PermissionDenied, ...: what the system said, with the path. ResourceExhausted: larger
// than max_bytes.
absl::StatusOr<Checkpoint> LoadCheckpoint(const std::string& path,
                                          std::size_t max_bytes = std::size_t{1} << 32);

SEER_END_NAMESPACE
