// Who this process is, in words that another process on the machine can check.
//
// Threads: any. Cost: a few small files of /proc, about 40 us.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "seer/core/config.h"

SEER_BEGIN_NAMESPACE
namespace internal {

struct ProcessIdentity {
  std::uint64_t pid = 0;
  std::uint64_t start_time = 0;     // 0: not known
  std::uint64_t pid_namespace = 0;  // 0: not known
  std::array<std::uint8_t, 16> boot_id = {};

  static ProcessIdentity Self();
};

// Field 22 of /proc/PID/stat; 0: no such process, or /proc does not say.
std::uint64_t ProcessStartTime(std::uint64_t pid);
std::uint64_t OwnPidNamespace();
// Zeros: not known.
std::array<std::uint8_t, 16> BootId();
// At least one byte, at most 255; "localhost" if the machine has no name.
std::string HostName();

}  // namespace internal
SEER_END_NAMESPACE
