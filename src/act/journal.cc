#include "act/journal.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "seer/core/internal/crc32c.h"
#include "seer/core/internal/status_macros.h"
#include "seer/core/internal/strings.h"
#include "seer/core/wire.h"

SEER_BEGIN_NAMESPACE
namespace internal {
namespace {

// An entry has a few settings; whoever claims more did not write it.
constexpr std::uint64_t kMaxChanges = 64;

std::string Hex(std::string_view text) {
  return text.empty() ? "-" : absl::BytesToHexString(ToAbsl(text));
}

bool Unhex(std::string_view hex, std::string* text) {
  text->clear();
  if (hex == "-") return true;
  if (hex.empty() || hex.size() % 2 != 0) return false;
  const auto digit = [](char c) {
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
  };
  text->reserve(hex.size() / 2);
  for (std::size_t i = 0; i < hex.size(); i += 2) {
    const int high = digit(hex[i]), low = digit(hex[i + 1]);
    if (high < 0 || low < 0) return false;
    text->push_back(static_cast<char>(high * 16 + low));
  }
  return true;
}

std::string_view NextWord(std::string_view* line) {
  const std::size_t end = std::min(line->find(' '), line->size());
  const std::string_view word = line->substr(0, end);
  line->remove_prefix(std::min(end + 1, line->size()));
  return word;
}

bool NextNumber(std::string_view* line, std::uint64_t* number) {
  const std::string_view word = NextWord(line);
  const auto result = std::from_chars(word.data(), word.data() + word.size(), *number);
  return !word.empty() && result.ec == std::errc() && result.ptr == word.data() + word.size();
}

std::string WithCrc(std::string line) {
  absl::StrAppend(&line, " ", absl::Hex(Crc32c(line), absl::kZeroPad8), "\n");
  return line;
}

// Without its newline. False: damaged.
bool TakeLine(std::string_view line, std::vector<JournalEntry>* open) {
  const std::size_t blank = line.rfind(' ');
  if (blank == std::string_view::npos) return false;
  const std::string_view crc = line.substr(blank + 1);
  line = line.substr(0, blank);
  if (crc != absl::StrCat(absl::Hex(Crc32c(line), absl::kZeroPad8))) return false;

  const std::string_view kind = NextWord(&line);
  std::uint64_t id = 0;
  if (!NextNumber(&line, &id)) return false;
  const auto end_all = [&] {
    open->erase(std::remove_if(open->begin(), open->end(),
                               [&](const JournalEntry& e) { return e.recommendation.id == id; }),
                open->end());
  };
  if (kind == "end") {
    end_all();
    return line.empty();
  }
  if (kind != "begin") return false;
  JournalEntry entry;
  std::string message;
  std::uint64_t changes = 0;
  if (!Unhex(NextWord(&line), &entry.actuator) || !Unhex(NextWord(&line), &message) ||
      !DecodeTo(message, &entry.recommendation).ok() || entry.recommendation.id != id ||
      !NextNumber(&line, &changes) || changes > kMaxChanges) {
    return false;
  }
  entry.changes.resize(changes);
  for (KnobChange& change : entry.changes) {
    if (!Unhex(NextWord(&line), &change.knob) || !Unhex(NextWord(&line), &change.before) ||
        !Unhex(NextWord(&line), &change.after)) {
      return false;
    }
  }
  if (!line.empty()) return false;
  end_all();
  open->push_back(std::move(entry));
  return true;
}

}  // namespace

JournalContents ParseJournal(std::string_view bytes) {
  JournalContents contents;
  while (!bytes.empty()) {
    const std::size_t end = bytes.find('\n');
    if (end == std::string_view::npos) break;  // cut off
    if (!TakeLine(bytes.substr(0, end), &contents.open)) ++contents.damaged;
    bytes.remove_prefix(end + 1);
  }
  return contents;
}

std::string FormatBegin(const JournalEntry& entry) {
  std::string line = absl::StrCat("begin ", entry.recommendation.id, " ", Hex(entry.actuator), " ",
                                  Hex(Encode(entry.recommendation)), " ", entry.changes.size());
  for (const KnobChange& change : entry.changes) {
    absl::StrAppend(&line, " ", Hex(change.knob), " ", Hex(change.before), " ", Hex(change.after));
  }
  return WithCrc(std::move(line));
}

std::string FormatEnd(std::uint64_t id) { return WithCrc(absl::StrCat("end ", id)); }

absl::StatusOr<Journal> Journal::Open(const std::string& path, JournalContents* contents) {
  OwnedFd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!fd) return StatusOfErrno(errno, absl::StrCat("journal_path: opening '", path, "'"));
  if (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
    return absl::UnavailableError(absl::StrCat(
        "journal_path: '", path, "' is in use: end the other executor, or name another file"));
  }
  struct stat ours, there;
  if (::fstat(fd.get(), &ours) != 0 || !S_ISREG(ours.st_mode)) {
    return absl::DataLossError(
        absl::StrCat("journal_path: '", path, "' is no regular file: name another"));
  }
  if (::stat(path.c_str(), &there) != 0 || ours.st_ino != there.st_ino ||
      ours.st_dev != there.st_dev) {
    return absl::UnavailableError(
        absl::StrCat("journal_path: '", path, "' was replaced meanwhile: try again"));
  }
  if (static_cast<std::uint64_t>(ours.st_size) > kMaxBytes) {
    return absl::DataLossError(
        absl::StrCat("journal_path: '", path, "' has more than 16 MiB, which none of ours has"));
  }
  std::string bytes(static_cast<std::size_t>(ours.st_size), '\0');
  std::size_t have = 0;
  for (int interruptions = 0; have < bytes.size();) {
    const ssize_t n =
        ::pread(fd.get(), bytes.data() + have, bytes.size() - have, static_cast<off_t>(have));
    if (n < 0 && errno == EINTR && ++interruptions < 16) continue;
    if (n < 0) return StatusOfErrno(errno, absl::StrCat("journal_path: reading '", path, "'"));
    if (n == 0) break;
    have += static_cast<std::size_t>(n);
  }
  bytes.resize(have);
  const std::string_view start = std::string_view(bytes).substr(0, 4);
  if (start != std::string_view("begin").substr(0, start.size()) &&
      start != std::string_view("end ").substr(0, start.size())) {
    return absl::DataLossError(
        absl::StrCat("journal_path: '", path, "' is no journal of actions: name another file"));
  }
  *contents = ParseJournal(bytes);
  // What was cut off must not lead into the next line.
  const std::size_t whole = bytes.rfind('\n') + 1;  // npos + 1 is 0
  if (whole != bytes.size() && ::ftruncate(fd.get(), static_cast<off_t>(whole)) != 0) {
    return StatusOfErrno(errno, absl::StrCat("journal_path: cutting '", path, "'"));
  }
  return Journal(path, std::move(fd), whole);
}

absl::Status Journal::Append(std::string_view line, bool sync) {
  if (size_ + line.size() > kMaxBytes) {
    return absl::ResourceExhaustedError("the journal is full: end some actions");
  }
  std::size_t written = 0;
  int error = 0;
  for (int interruptions = 0; written < line.size() && error == 0;) {
    const ssize_t n = ::pwrite(fd_.get(), line.data() + written, line.size() - written,
                               static_cast<off_t>(size_ + written));
    if (n > 0) {
      written += static_cast<std::size_t>(n);
    } else if (n == 0 || errno != EINTR || ++interruptions >= 16) {
      error = n == 0 ? ENOSPC : errno;
    }
  }
  if (error == 0 && sync && ::fdatasync(fd_.get()) != 0) error = errno;
  if (error != 0) {
    // Best effort: a line left half-written is ended by what is written over it, or cut off.
    (void)!::ftruncate(fd_.get(), static_cast<off_t>(size_));
    return StatusOfErrno(error, absl::StrCat("writing the journal '", path_, "'"));
  }
  size_ += line.size();
  return absl::OkStatus();
}

absl::Status Journal::Begin(const JournalEntry& entry) { return Append(FormatBegin(entry), true); }

void Journal::End(std::uint64_t id, absl::Span<const JournalEntry* const> still_open) {
  if (still_open.empty() && ::ftruncate(fd_.get(), 0) == 0) {
    size_ = 0;
    return;
  }
  (void)Append(FormatEnd(id), false);
  if (size_ > kCompactBytes) Compact(still_open);
}

void Journal::Compact(absl::Span<const JournalEntry* const> still_open) {
  std::string bytes;
  for (const JournalEntry* entry : still_open) bytes += FormatBegin(*entry);
  if (bytes.size() >= size_) return;
  // A new file, locked before it has the name: at every moment the name leads to a whole journal
  // that is ours. If anything fails the old one stays.
  const std::string fresh = path_ + ".new";
  OwnedFd fd(::open(fresh.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!fd || ::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) return;
  const ssize_t n = ::write(fd.get(), bytes.data(), bytes.size());
  if (n != static_cast<ssize_t>(bytes.size()) || ::fdatasync(fd.get()) != 0 ||
      ::rename(fresh.c_str(), path_.c_str()) != 0) {
    ::unlink(fresh.c_str());
    return;
  }
  fd_ = std::move(fd);
  size_ = bytes.size();
  const std::size_t slash = path_.rfind('/');
  const std::string folder = slash == std::string::npos ? "." : path_.substr(0, slash + 1);
  const OwnedFd directory(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (directory) (void)::fsync(directory.get());
}

}  // namespace internal
SEER_END_NAMESPACE
