#include "seer/predict/model_store.h"

#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "seer/core/internal/status_macros.h"
#include "seer/nn/checkpoint.h"
#include "seer/predict/model_predictor.h"
#include "seer/predict/tree_model.h"

SEER_BEGIN_NAMESPACE
namespace {

constexpr std::string_view kModel = "model.";

absl::Status SystemError(const char* what, const std::string& path) {
  const int error = errno;
  return absl::ErrnoToStatus(error, absl::StrCat("'", path, "': ", what));
}

}  // namespace

absl::StatusOr<std::unique_ptr<TickPredictor>> MakeModelOf(std::string_view model) {
  if (IsTreeModel(model)) {
    SEER_ASSIGN_OR_RETURN(TreeModel trees, DecodeTreeModel(model));
    return MakeTreePredictor(std::move(trees));
  }
  SEER_ASSIGN_OR_RETURN(const Checkpoint checkpoint, DecodeCheckpoint(model));
  return MakeModelPredictor(checkpoint);
}

absl::StatusOr<std::unique_ptr<ModelStore>> ModelStore::Open(const std::string& folder,
                                                             const ModelStoreOptions& options) {
  if (options.most < 1) {
    return absl::InvalidArgumentError("model store: options.most is 0: give 1 or more");
  }
  if (mkdir(folder.c_str(), 0755) != 0 && errno != EEXIST) {
    return SystemError("cannot be made", folder);
  }
  std::unique_ptr<ModelStore> store(new ModelStore(folder, options));
  SEER_RETURN_IF_ERROR(store->Files().status());
  return store;
}

std::string ModelStore::Path(std::uint64_t number) const {
  return absl::StrCat(folder_, "/model.", number);
}

absl::StatusOr<std::vector<StoredModel>> ModelStore::Files() const {
  DIR* const folder = opendir(folder_.c_str());
  if (folder == nullptr) return SystemError("cannot be read", folder_);
  std::vector<StoredModel> files;
  while (const dirent* const entry = readdir(folder)) {
    std::string_view name(entry->d_name);
    if (name.substr(0, kModel.size()) != kModel) continue;
    name.remove_prefix(kModel.size());
    StoredModel file;
    const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), file.number);
    struct stat info {};
    if (error != std::errc() || end != name.data() + name.size()) continue;
    if (stat(Path(file.number).c_str(), &info) != 0 || !S_ISREG(info.st_mode)) continue;
    file.bytes = static_cast<std::size_t>(info.st_size);
    files.push_back(std::move(file));
  }
  closedir(folder);
  std::sort(files.begin(), files.end(),
            [](const StoredModel& a, const StoredModel& b) { return a.number < b.number; });
  return files;
}

absl::StatusOr<std::uint64_t> ModelStore::Put(std::string_view model) {
  SEER_ASSIGN_OR_RETURN(const std::vector<StoredModel> files, Files());
  const std::uint64_t number = files.empty() ? 1 : files.back().number + 1;
  if (IsTreeModel(model)) {
    SEER_ASSIGN_OR_RETURN(const TreeModel trees, DecodeTreeModel(model));
    SEER_RETURN_IF_ERROR(SaveTreeModel(trees, Path(number)));
  } else {
    SEER_ASSIGN_OR_RETURN(const Checkpoint checkpoint, DecodeCheckpoint(model));
    SEER_RETURN_IF_ERROR(SaveCheckpoint(checkpoint, Path(number)));
  }
  SEER_RETURN_IF_ERROR(Prune());
  return number;
}

absl::StatusOr<std::string> ModelStore::Get(std::uint64_t number) const {
  const std::string path = Path(number);
  if (IsTreeModelFile(path)) {
    SEER_ASSIGN_OR_RETURN(const TreeModel trees, LoadTreeModel(path));
    return EncodeTreeModel(trees);
  }
  SEER_ASSIGN_OR_RETURN(const Checkpoint checkpoint, LoadCheckpoint(path));
  return EncodeCheckpoint(checkpoint);
}

absl::StatusOr<std::vector<StoredModel>> ModelStore::List() const {
  SEER_ASSIGN_OR_RETURN(std::vector<StoredModel> files, Files());
  for (StoredModel& file : files) {
    const std::string path = Path(file.number);
    const auto read = [&](auto model) {
      file.damaged = !model.ok();
      if (model.ok()) file.provenance = std::move(model->provenance);
    };
    if (IsTreeModelFile(path)) {
      read(LoadTreeModel(path));
    } else {
      read(LoadCheckpoint(path));
    }
  }
  return files;
}

absl::Status ModelStore::Prune() {
  SEER_ASSIGN_OR_RETURN(const std::vector<StoredModel> files, Files());
  std::size_t left = files.size(), bytes = 0;
  for (const StoredModel& file : files) bytes += file.bytes;
  for (std::size_t i = 0; i + 1 < files.size(); ++i) {
    if (left <= options_.most && bytes <= options_.bytes) break;
    const auto& never = options_.never;
    if (std::find(never.begin(), never.end(), files[i].number) != never.end()) continue;
    if (unlink(Path(files[i].number).c_str()) != 0) {
      return SystemError("cannot be removed", Path(files[i].number));
    }
    --left;
    bytes -= files[i].bytes;
  }
  return absl::OkStatus();
}

SEER_END_NAMESPACE
