// Flow: Recommendation -> [MakeResctrlActuator] -> ActionPlan: cache and memory bandwidth
//
// Shares of the last-level cache (Intel CAT, AMD, Arm MPAM) and of memory bandwidth (MBA), by the
// kernel's resctrl file system. The groups, and which tasks are in them, are the host's: here the
// schemata of existing groups are changed.
//
//   kCachePartition        ways, in every cache domain alike: the mask grows or shrinks at its
//                          upper end first, and stays contiguous
//   kMemoryBandwidthShare  percent, in every domain alike; rounded down to what the hardware can do
//
//   seer::ResctrlOptions options;
//   options.groups = {{"cart-7f9c", "cart"}};      // instance or service -> group
//   auto actuator = seer::MakeResctrlActuator(options);
//
// A mask is widened without looking at other groups: who wants exclusive ways gives them bounds
// that leave room. When the kernel refuses, the message carries info/last_cmd_status.
//
// Threads: one at a time. Cost: a few system calls.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "seer/act/actuator.h"
#include "seer/core/config.h"

SEER_BEGIN_NAMESPACE

struct ResctrlOptions {
  std::string root = "/sys/fs/resctrl";
  // From an instance's name, or else a service's, to the group's name below the root. What is not
  // listed is not granted.
  std::map<std::string, std::string> groups;
};

// InvalidArgument names the option; NotFound: resctrl is not mounted there.
absl::StatusOr<std::unique_ptr<Actuator>> MakeResctrlActuator(const ResctrlOptions& options);

SEER_END_NAMESPACE
