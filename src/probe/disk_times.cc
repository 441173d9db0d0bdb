#include "seer/probe/disk_times.h"

#include <dirent.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <initializer_list>
#include <memory>
#include <string_view>

#include "probe/first_line.h"
#include "probe/text.h"

SEER_BEGIN_NAMESPACE
namespace {

constexpr DiskTimes Nothing(Reason reason) {
  const Reading not_there = Reading::Not(reason);
  return {not_there, not_there, not_there, not_there, not_there};
}

// Columns of /sys/block/X/stat; the line grew at its end only.
enum Column : std::size_t {
  kReads = 0,
  kReadMs = 3,
  kWrites = 4,
  kWriteMs = 7,
  kInFlight = 8,
  kBusyMs = 9,
  kQueueMs = 10,
  kDiscards = 11,  // Linux 4.18
  kDiscardMs = 14,
  kFlushes = 15,  // Linux 5.5
  kFlushMs = 16,
  kColumns = 17,
};

}  // namespace

DiskProbe::DiskProbe(const std::string& disk, const std::string& root)
    : file_(root + "/sys/block/" + disk + "/stat") {}

DiskTimes DiskProbe::Sample() noexcept {
  std::array<char, 512> buffer;
  std::string_view line;
  if (const Reason reason = internal::FirstLine(file_, absl::MakeSpan(buffer), &line);
      reason != Reason::kNone) {
    return Nothing(reason);
  }
  std::array<std::uint64_t, kColumns> columns = {};
  std::size_t count = 0;
  for (; count < kColumns; ++count) {
    const std::string_view word = internal::TakeWord(&line);
    if (word.empty()) break;
    const auto number = internal::ParseNumber(word);
    if (!number.has_value()) return Nothing(Reason::kMalformed);
    columns[count] = *number;
  }
  if (count <= kQueueMs) return Nothing(Reason::kMalformed);
  const auto sum = [&](std::initializer_list<Column> of) {
    Reading total = Reading::Of(0);
    for (Column column : of) total = Sum(total, Reading::Of(columns[column]));
    return total;
  };
  DiskTimes times;
  times.completed = sum({kReads, kWrites, kDiscards, kFlushes});
  times.wait_ms = sum({kReadMs, kWriteMs, kDiscardMs, kFlushMs});
  times.busy_ms = Reading::Of(columns[kBusyMs]);
  times.queue_ms = Reading::Of(columns[kQueueMs]);
  times.in_flight = Reading::Of(columns[kInFlight]);
  return times;
}

std::vector<std::string> DiskProbe::Disks(const std::string& root) {
  std::vector<std::string> disks;
  const std::string blocks = root + "/sys/block";
  struct Close {
    void operator()(DIR* directory) const { ::closedir(directory); }
  };
  const std::unique_ptr<DIR, Close> directory(::opendir(blocks.c_str()));
  if (directory == nullptr) return disks;
  constexpr int kMaxEntries = 65536;
  for (int i = 0; i < kMaxEntries; ++i) {
    const dirent* const entry = ::readdir(directory.get());
    if (entry == nullptr) break;
    const std::string name = entry->d_name;
    bool skip = name[0] == '.';
    for (const char* prefix : {"ram", "zram", "loop", "dm-", "md", "sr", "fd", "nbd"}) {
      skip = skip || internal::StartsWith(name, prefix);
    }
    if (skip || ::access((blocks + "/" + name + "/stat").c_str(), R_OK) != 0) continue;
    disks.push_back(name);
  }
  std::sort(disks.begin(), disks.end());
  if (disks.size() > kMaxDisks) disks.resize(kMaxDisks);
  return disks;
}

SEER_END_NAMESPACE
