// What an executor has changed and not yet put back, on the disk before it is changed.
//
// A text file of lines, each ending in the CRC-32C of what stands before it:
//
//   begin <id> <actuator> <recommendation> <n> {<knob> <before> <after>} <crc>
//   end <id> <crc>
//
// with texts in hexadecimal, "-" for an empty one, and the recommendation as its wire message. A
// second begin of an id (what was read back is not what was written) takes the first one's place. A
// line that was cut off was not on the disk when begin() returned, so nothing was changed for it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "act/directory.h"
#include "seer/act/actuator.h"
#include "seer/core/config.h"
#include "seer/core/recommendation.h"

SEER_BEGIN_NAMESPACE
namespace internal {

struct JournalEntry {
  std::string actuator;
  Recommendation recommendation;  // its id is the entry's
  std::vector<KnobChange> changes;
};

struct JournalContents {
  std::vector<JournalEntry> open;  // begun and not ended, oldest first
  std::size_t damaged = 0;         // lines that say nothing, but for one cut off at the end
};
JournalContents ParseJournal(std::string_view bytes);
std::string FormatBegin(const JournalEntry& entry);
std::string FormatEnd(std::uint64_t id);

class Journal {
 public:
  static constexpr std::size_t kMaxBytes = std::size_t{16} << 20;
  static constexpr std::size_t kCompactBytes = std::size_t{1} << 18;

  // Makes the file where there is none. It is ours as long as this lives, then the kernel's to give
  // to another. `contents` gets what is there.
  static absl::StatusOr<Journal> Open(const std::string& path, JournalContents* contents);

  // On the disk when it returns OK; as if never called otherwise.
  absl::Status Begin(const JournalEntry& entry);
  // If it is lost, the entry is undone once more, which does nothing.
  void End(std::uint64_t id, absl::Span<const JournalEntry* const> still_open);

 private:
  Journal(std::string path, OwnedFd fd, std::size_t size)
      : path_(std::move(path)), fd_(std::move(fd)), size_(size) {}
  absl::Status Append(std::string_view line, bool sync);
  void Compact(absl::Span<const JournalEntry* const> still_open);

  std::string path_;
  OwnedFd fd_;
  std::size_t size_;
};

}  // namespace internal
SEER_END_NAMESPACE
