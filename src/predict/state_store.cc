#include "seer/predict/state_store.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "seer/core/internal/status_macros.h"
#include "seer/core/internal/strings.h"
#include "seer/predict/retrainer.h"

SEER_BEGIN_NAMESPACE
namespace {

absl::Status SystemError(std::string_view what, const std::string& path) {
  const int error = errno;
  return absl::ErrnoToStatus(error, absl::StrCat("'", path, "': ", internal::ToAbsl(what)));
}

class File {
 public:
  File() = default;
  explicit File(int descriptor) : descriptor_(descriptor) {}
  ~File() { Close(); }
  File(File&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}
  File& operator=(File&& other) noexcept {
    std::swap(descriptor_, other.descriptor_);
    return *this;
  }
  bool open() const { return descriptor_ >= 0; }
  int get() const { return descriptor_; }
  bool Close() {
    const int descriptor = std::exchange(descriptor_, -1);
    return descriptor < 0 || close(descriptor) == 0;
  }

 private:
  int descriptor_ = -1;
};

bool WriteAll(int descriptor, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = write(descriptor, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return false;
    bytes.remove_prefix(static_cast<std::size_t>(written));
  }
  return true;
}

absl::StatusOr<std::string> ReadFile(const std::string& path) {
  const File file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.open()) return SystemError("cannot be opened", path);
  struct stat info {};
  if (fstat(file.get(), &info) != 0) return SystemError("cannot be read", path);
  if (!S_ISREG(info.st_mode) || info.st_size > (std::int64_t{1} << 34)) {
    return absl::DataLossError(absl::StrCat("'", path, "': no file of a state: remove it"));
  }
  std::string bytes(static_cast<std::size_t>(info.st_size), '\0');
  std::size_t at = 0;
  while (at < bytes.size()) {
    const ssize_t got = read(file.get(), &bytes[at], bytes.size() - at);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return SystemError("cannot be read", path);
    if (got == 0) break;
    at += static_cast<std::size_t>(got);
  }
  bytes.resize(at);
  return bytes;
}

// Of the bytes of a state or a delta (state_delta.h).
template <typename T>
T At(std::string_view bytes, std::size_t at) {
  T value;
  std::memcpy(&value, bytes.data() + at, sizeof(T));
  return value;
}

constexpr std::string_view kState = "state.", kLog = "log.", kRetrainer = "retrainer.",
                           kNew = "new";

}  // namespace

class StateStore::Impl {
 public:
  Impl(std::string folder, const StateStoreOptions& options, File lock)
      : folder_(std::move(folder)), options_(options), lock_(std::move(lock)) {}

  absl::StatusOr<RestoredState> Restore(Mirror* mirror) {
    SEER_ASSIGN_OR_RETURN(const std::vector<std::uint64_t> states, Numbers(kState));
    SEER_ASSIGN_OR_RETURN(const std::vector<std::uint64_t> logs, Numbers(kLog));
    fresh_ = true;
    RestoredState restored;
    absl::Status first;
    for (auto state = states.rbegin(); state != states.rend(); ++state) {
      const absl::StatusOr<std::string> bytes = ReadFile(Path(kState, *state));
      absl::Status status = bytes.ok() ? mirror->LoadState(*bytes) : bytes.status();
      if (!status.ok()) {
        if (first.ok()) first = status;
        ++restored.damaged;
        continue;
      }
      restored.checkpoint = *state;
      for (const std::uint64_t log : logs) {
        if (log < *state) continue;
        if (log > mirror->sequence()) break;
        SEER_RETURN_IF_ERROR(Replay(Path(kLog, log), mirror, &restored));
      }
      return restored;
    }
    if (states.empty()) {
      return absl::NotFoundError(absl::StrCat("'", folder_, "': has no state: begin anew"));
    }
    return first;
  }

  absl::Status Keep(const Mirror& mirror) {
    bool follows = false;
    SEER_RETURN_IF_ERROR(Append(mirror, mirror.sequence(), &follows));
    if (!follows || log_size_ >= options_.log_bytes) return Checkpoint(mirror);
    if (options_.sync && fdatasync(log_.get()) != 0) {
      return SystemError("cannot be forced to the disk", Path(kLog, log_of_));
    }
    return absl::OkStatus();
  }

  // The deltas up to `sequence`. False: what the mirror has does not follow on what is in the log.
  absl::Status Append(const Mirror& mirror, std::uint64_t sequence, bool* follows) {
    *follows = false;
    if (fresh_ || !log_.open() || sequence < logged_) return absl::OkStatus();
    while (logged_ < sequence) {
      absl::StatusOr<std::vector<std::string>> deltas = mirror.DeltasAfter(logged_);
      // More than it keeps, or it loaded a state, or that of another history.
      if (!deltas.ok() || deltas->empty()) return absl::OkStatus();
      if (At<std::uint32_t>(deltas->front(), 48) != last_) return absl::OkStatus();
      buffer_.clear();
      for (const std::string& delta : *deltas) buffer_ += delta;
      if (!WriteAll(log_.get(), buffer_)) {
        absl::Status status = SystemError("cannot be written", Path(kLog, log_of_));
        // Half a delta would hide those behind it.
        if (ftruncate(log_.get(), static_cast<off_t>(log_size_)) != 0) log_.Close();
        return status;
      }
      log_size_ += buffer_.size();
      logged_ += deltas->size();
      last_ = At<std::uint32_t>(deltas->back(), 60);
    }
    *follows = true;
    return absl::OkStatus();
  }

  absl::Status Checkpoint(const Mirror& mirror) {
    SEER_ASSIGN_OR_RETURN(const std::string bytes, mirror.SaveState());
    // Of the state, not of the mirror, which others may have moved on meanwhile.
    const auto sequence = At<std::uint64_t>(bytes, kSequenceAt);
    // The log before it leads up to it, for whoever finds this checkpoint damaged.
    bool follows = false;
    Append(mirror, sequence, &follows).IgnoreError();
    SEER_RETURN_IF_ERROR(Write(bytes, Path(kState, sequence)));
    const std::string log_path = Path(kLog, sequence);
    File log(open(log_path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0644));
    if (!log.open()) return SystemError("cannot be made", log_path);
    SEER_RETURN_IF_ERROR(ForceFolder());
    log_ = std::move(log);
    log_of_ = logged_ = sequence;
    last_ = At<std::uint32_t>(bytes, kSequenceAt + 8);
    log_size_ = 0;
    fresh_ = false;
    return Prune();
  }

  absl::Status Restore(Retrainer* retrainer) {
    SEER_ASSIGN_OR_RETURN(const std::vector<std::uint64_t> kept, Numbers(kRetrainer));
    absl::Status first;
    for (auto number = kept.rbegin(); number != kept.rend(); ++number) {
      const absl::StatusOr<std::string> bytes = ReadFile(Path(kRetrainer, *number));
      absl::Status status = bytes.ok() ? retrainer->LoadState(*bytes) : bytes.status();
      if (status.ok()) return status;
      if (first.ok()) first = std::move(status);
    }
    if (!first.ok()) return first;
    return absl::NotFoundError(
        absl::StrCat("'", folder_, "': has no state of a retrainer: begin to collect anew"));
  }

  absl::Status Keep(const Retrainer& retrainer) {
    std::string bytes;
    SEER_RETURN_IF_ERROR(retrainer.SaveState(&bytes));
    SEER_ASSIGN_OR_RETURN(std::vector<std::uint64_t> kept, Numbers(kRetrainer));
    kept.push_back(kept.empty() ? 1 : kept.back() + 1);
    SEER_RETURN_IF_ERROR(Write(bytes, Path(kRetrainer, kept.back())));
    SEER_RETURN_IF_ERROR(ForceFolder());
    for (std::size_t i = 0; i + options_.checkpoints < kept.size(); ++i) {
      unlink(Path(kRetrainer, kept[i]).c_str());
    }
    return absl::OkStatus();
  }

 private:
  // In a state: behind its header, stream and term.
  static constexpr std::size_t kSequenceAt = 16 + 8 + 8;

  std::string Path(std::string_view kind, std::uint64_t sequence) const {
    return absl::StrCat(folder_, "/", internal::ToAbsl(kind), sequence);
  }

  // All of a file at once, forced to the disk: until then there is what was there before.
  absl::Status Write(std::string_view bytes, const std::string& path) const {
    const std::string fresh = folder_ + "/" + std::string(kNew);
    File file(open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
    if (!file.open()) return SystemError("cannot be made", fresh);
    if (!WriteAll(file.get(), bytes) || fsync(file.get()) != 0 || !file.Close()) {
      absl::Status status = SystemError("cannot be written", fresh);
      unlink(fresh.c_str());
      return status;
    }
    if (rename(fresh.c_str(), path.c_str()) != 0) return SystemError("cannot be renamed", fresh);
    return absl::OkStatus();
  }
  absl::Status ForceFolder() const {
    const File folder(open(folder_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!folder.open() || fsync(folder.get()) != 0) {
      return SystemError("cannot be forced to the disk", folder_);
    }
    return absl::OkStatus();
  }

  // Of the files of a kind, growing.
  absl::StatusOr<std::vector<std::uint64_t>> Numbers(std::string_view kind) const {
    DIR* const folder = opendir(folder_.c_str());
    if (folder == nullptr) return SystemError("cannot be read", folder_);
    std::vector<std::uint64_t> numbers;
    while (const dirent* const entry = readdir(folder)) {
      std::string_view name(entry->d_name);
      if (name.substr(0, kind.size()) != kind) continue;
      name.remove_prefix(kind.size());
      std::uint64_t number = 0;
      const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), number);
      if (error == std::errc() && end == name.data() + name.size()) numbers.push_back(number);
    }
    closedir(folder);
    std::sort(numbers.begin(), numbers.end());
    return numbers;
  }

  static absl::Status Replay(const std::string& path, Mirror* mirror, RestoredState* restored) {
    const absl::StatusOr<std::string> bytes = ReadFile(path);
    if (!bytes.ok()) return bytes.status();
    std::string_view rest = *bytes;
    while (!rest.empty()) {
      const absl::StatusOr<std::size_t> size = PeekDelta(rest);
      if (!size.ok() || *size > rest.size()) break;
      const absl::Status status = mirror->Apply(rest.substr(0, *size));
      if (status.ok()) {
        ++restored->deltas;
      } else if (absl::IsInternal(status)) {
        return status;  // another build or processor than wrote it
      } else if (!absl::IsAlreadyExists(status)) {
        break;
      }
      rest.remove_prefix(*size);
    }
    restored->cut_bytes += rest.size();
    return absl::OkStatus();
  }

  // The oldest go, and what a killed process left half-written.
  absl::Status Prune() {
    SEER_ASSIGN_OR_RETURN(std::vector<std::uint64_t> states, Numbers(kState));
    // Those of a later number are of another life of this mirror: they are not what follows.
    while (!states.empty() && states.back() > log_of_) {
      unlink(Path(kState, states.back()).c_str());
      unlink(Path(kLog, states.back()).c_str());
      states.pop_back();
    }
    const std::size_t keep = options_.checkpoints;
    const std::uint64_t oldest = states.size() > keep ? states[states.size() - keep] : 0;
    for (const std::string_view kind : {kState, kLog}) {
      SEER_ASSIGN_OR_RETURN(const std::vector<std::uint64_t> numbers, Numbers(kind));
      for (const std::uint64_t number : numbers) {
        if (number < oldest) unlink(Path(kind, number).c_str());
      }
    }
    return absl::OkStatus();
  }

  const std::string folder_;
  const StateStoreOptions options_;
  const File lock_;
  File log_;
  std::uint64_t log_of_ = 0;  // the checkpoint that it follows
  std::uint64_t logged_ = 0;  // sequence of its last delta
  std::uint32_t last_ = 0;    // its checksum
  std::size_t log_size_ = 0;
  bool fresh_ = true;  // no checkpoint was made yet by this process, or since Restore()
  std::string buffer_;
};

absl::StatusOr<std::unique_ptr<StateStore>> StateStore::Open(const std::string& folder,
                                                             const StateStoreOptions& options) {
  if (options.log_bytes < 4096) {
    return absl::InvalidArgumentError(
        absl::StrCat("options.log_bytes is ", options.log_bytes, ": give 4096 or more"));
  }
  if (options.checkpoints < 1) {
    return absl::InvalidArgumentError("options.checkpoints is 0: give 1 or more");
  }
  if (mkdir(folder.c_str(), 0755) != 0 && errno != EEXIST) {
    return SystemError("cannot be made", folder);
  }
  const std::string path = folder + "/lock";
  File lock(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
  if (!lock.open()) return SystemError("cannot be made", path);
  if (flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return SystemError("cannot be locked", path);
    return absl::FailedPreconditionError(absl::StrCat(
        "'", folder, "': another process has it open: give each mirror a folder of its own"));
  }
  unlink((folder + "/" + std::string(kNew)).c_str());
  return std::unique_ptr<StateStore>(
      new StateStore(std::make_unique<Impl>(folder, options, std::move(lock))));
}

StateStore::StateStore(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
StateStore::~StateStore() = default;
absl::StatusOr<RestoredState> StateStore::Restore(Mirror* mirror) { return impl_->Restore(mirror); }
absl::Status StateStore::Keep(const Mirror& mirror) { return impl_->Keep(mirror); }
absl::Status StateStore::Checkpoint(const Mirror& mirror) { return impl_->Checkpoint(mirror); }
absl::Status StateStore::Restore(Retrainer* retrainer) { return impl_->Restore(retrainer); }
absl::Status StateStore::Keep(const Retrainer& retrainer) { return impl_->Keep(retrainer); }

SEER_END_NAMESPACE
