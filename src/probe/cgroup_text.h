// What /proc says about cgroups, and what their files say.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "seer/core/config.h"
#include "seer/probe/reading.h"

SEER_BEGIN_NAMESPACE
namespace internal {

// A line of mountinfo: where some part of a cgroup hierarchy is to be seen.
struct CgroupMount {
  std::string root;         // which part
  std::string mount_point;  // where
  bool unified = false;
  std::string options;  // v1: ",cpu,cpuacct,", with a comma at either end
};
// False for other file systems and for lines that are none.
bool ParseCgroupMount(std::string_view line, CgroupMount* mount);

// A line of /proc/PID/cgroup: "4:memory:/a/b".
struct CgroupMembership {
  std::string_view controllers;  // "cpu,cpuacct"; empty: v2
  std::string_view path;
};
bool ParseCgroupMembership(std::string_view line, CgroupMembership* membership);

// The directory of the cgroup `path` under this mount; empty where it does not show it.
std::string CgroupDirectory(const CgroupMount& mount, std::string_view path);

// A limit as cgroups write it: a number, or "max", -1, or a number so large that it is none.
Reading ParseLimit(std::string_view word);
// Of a quota and its period, in microseconds.
Reading LimitInMillis(const Reading& quota, const Reading& period);

}  // namespace internal
SEER_END_NAMESPACE
