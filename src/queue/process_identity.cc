#include "queue/process_identity.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

#include <cstddef>
#include <cstdio>
#include <cstring>
#include <string_view>

SEER_BEGIN_NAMESPACE
namespace internal {

namespace {

// The beginning of a small file; empty if it cannot be read.
std::string_view ReadSmall(const char* path, char* buffer, std::size_t bytes) {
  const int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return {};
  const ssize_t n = read(fd, buffer, bytes);
  close(fd);
  return n > 0 ? std::string_view(buffer, static_cast<std::size_t>(n)) : std::string_view();
}

}  // namespace

std::uint64_t ProcessStartTime(std::uint64_t pid) {
  char path[40];
  std::snprintf(path, sizeof path, "/proc/%llu/stat", static_cast<unsigned long long>(pid));
  char buffer[1024];
  std::string_view stat = ReadSmall(path, buffer, sizeof buffer);
  // "pid (name) S ppid ...": the name may hold anything, so count from its closing bracket.
  const std::size_t bracket = stat.rfind(')');
  if (bracket == std::string_view::npos) return 0;
  stat.remove_prefix(bracket);
  for (int field = 2; field < 22; ++field) {
    const std::size_t space = stat.find(' ');
    if (space == std::string_view::npos) return 0;
    stat.remove_prefix(space + 1);
  }
  std::uint64_t value = 0;
  for (const char c : stat) {
    if (c < '0' || c > '9') break;
    value = value * 10 + static_cast<std::uint64_t>(c - '0');
  }
  return value;
}

std::uint64_t OwnPidNamespace() {
  struct stat info;
  return stat("/proc/self/ns/pid", &info) == 0 ? static_cast<std::uint64_t>(info.st_ino) : 0;
}

std::array<std::uint8_t, 16> BootId() {
  std::array<std::uint8_t, 16> id = {};
  char buffer[64];
  std::size_t digits = 0;
  for (const char c : ReadSmall("/proc/sys/kernel/random/boot_id", buffer, sizeof buffer)) {
    int value = -1;
    if (c >= '0' && c <= '9') value = c - '0';
    if (c >= 'a' && c <= 'f') value = c - 'a' + 10;
    if (value < 0 || digits >= 32) continue;
    id[digits / 2] = static_cast<std::uint8_t>(id[digits / 2] << 4 | value);
    ++digits;
  }
  return id;
}

std::string HostName() {
  char name[256] = {};
  if (gethostname(name, sizeof name - 1) != 0 || name[0] == 0) return "localhost";
  return std::string(name, strnlen(name, 255));
}

ProcessIdentity ProcessIdentity::Self() {
  ProcessIdentity self;
  self.pid = static_cast<std::uint64_t>(getpid());
  self.start_time = ProcessStartTime(self.pid);
  self.pid_namespace = OwnPidNamespace();
  self.boot_id = BootId();
  return self;
}

}  // namespace internal
SEER_END_NAMESPACE
