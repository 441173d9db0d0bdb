// Any bytes as a file of /proc or of a cgroup, line by line into every parser. The first byte says
// how small the buffer is.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "probe/cgroup_text.h"
#include "probe/ethtool.h"
#include "probe/first_line.h"
#include "probe/schedstat_text.h"
#include "seer/probe/internal/proc_file.h"

namespace seer::internal {
namespace {

void Require(bool condition) {
  if (!condition) std::abort();
}

// A file in memory with these bytes.
class MemoryFile {
 public:
  explicit MemoryFile(std::string_view bytes) : fd_(::memfd_create("fuzz", MFD_CLOEXEC)) {
    Require(::write(fd_.get(), bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size()));
  }
  std::string path() const { return "/proc/self/fd/" + std::to_string(fd_.get()); }

 private:
  OwnedFd fd_;
};

void Lines(std::string_view bytes, std::size_t buffer_bytes) {
  const MemoryFile memory(bytes);
  const ProcFile file(memory.path());
  std::vector<char> buffer(buffer_bytes);
  LineReader lines(file, absl::MakeSpan(buffer));
  std::string together;
  std::string_view line;
  while (lines.Next(&line)) {
    Require(line.size() < buffer_bytes);
    Require(line.find('\n') == std::string_view::npos);
    together.append(line);
    together += '\n';

    (void)ParseTaskStat(line);
    (void)ParseSchedStat(line);
    CgroupMembership membership;
    CgroupMount mount;
    if (ParseCgroupMembership(line, &membership)) {
      mount.root = "/a";
      mount.mount_point = "/m";
      const std::string directory = CgroupDirectory(mount, membership.path);
      Require(directory.empty() || directory == "/m" || directory.compare(0, 3, "/m/") == 0);
      Require((directory + "/").find("/../") == std::string::npos);
    }
    if (ParseCgroupMount(line, &mount)) (void)CgroupDirectory(mount, line);
    const Reading limit = ParseLimit(line);
    const Reading millis = LimitInMillis(limit, ParseLimit(line));
    Require(millis.ok() || millis.value == 0);
    (void)ClassifyNicStatistic(line);
    std::string_view rest = line;
    while (!TakeWord(&rest).empty()) {
    }
  }
  if (lines.reason() == Reason::kNone) {
    Require(together == bytes || together == std::string(bytes) + "\n");
  }
  (void)ReadNumber(file);
}

}  // namespace
}  // namespace seer::internal

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  seer::internal::Lines(bytes.substr(1), 1 + data[0] * std::size_t{8});
  return 0;
}
