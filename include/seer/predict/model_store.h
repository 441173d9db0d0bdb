// Flow: Retrainer -> model -> [ModelStore] -> a folder -> Predictor, audit
//
// Every model that ever served, in a folder, each with where it comes from, and pruned by policy.
//
//   auto store = seer::ModelStore::Open("/var/lib/seer/models");             // StatusOr
//   absl::StatusOr<std::uint64_t> number = (*store)->Put(model);             // 7
//   absl::StatusOr<std::string> back = (*store)->Get(6);                     // to roll back
//   predictor->UseModel(*seer::MakeModelOf(*back));
//   for (const seer::StoredModel& each : *(*store)->List()) Show(each.provenance);
//
// Models are bytes: those of a checkpoint (nn/) or of trees (tree_model.h). A file
// `model.<number>` is one, written as a whole or not at all. Numbers grow and are not given twice
// while the newest model is kept, which it always is.
//
// Threads: one at a time; several processes may read, one writes. Cost: SaveCheckpoint(); List()
// reads the files.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "seer/core/config.h"
#include "seer/predict/tick_predictor.h"

SEER_BEGIN_NAMESPACE

// A model's bytes as a predictor, as Predictor::Load() makes it of a file.
absl::StatusOr<std::unique_ptr<TickPredictor>> MakeModelOf(std::string_view model);

struct ModelStoreOptions {
  std::size_t most = 32;                     // models; the oldest go first; at least 1
  std::size_t bytes = std::size_t{4} << 30;  // of all files
  std::vector<std::uint64_t> never;          // numbers that no policy removes
};

struct StoredModel {
  std::uint64_t number = 0;
  std::size_t bytes = 0;
  std::map<std::string, std::string> provenance;
  bool damaged = false;  // it cannot be read
};

class ModelStore {
 public:
  // Makes the folder if its parent is there.
  static absl::StatusOr<std::unique_ptr<ModelStore>> Open(const std::string& folder,
                                                          const ModelStoreOptions& options = {});

  // Its number. Then prunes. DataLoss, InvalidArgument: the bytes are no model.
  absl::StatusOr<std::uint64_t> Put(std::string_view model);
  // NotFound: there is none, or it was pruned. DataLoss: it is damaged.
  absl::StatusOr<std::string> Get(std::uint64_t number) const;
  // By number.
  absl::StatusOr<std::vector<StoredModel>> List() const;
  [[nodiscard]] absl::Status Prune();

 private:
  ModelStore(std::string folder, const ModelStoreOptions& options)
      : folder_(std::move(folder)), options_(options) {}
  std::string Path(std::uint64_t number) const;
  absl::StatusOr<std::vector<StoredModel>> Files() const;

  const std::string folder_;
  const ModelStoreOptions options_;
};

SEER_END_NAMESPACE
