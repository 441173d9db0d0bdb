// Flow: Recommendation -> [MakeHtbActuator] -> ActionPlan: a share of a network link
//
// The guaranteed rate of a class of the hierarchical token bucket (tc-htb), by rtnetlink and
// without starting another program. Queueing disciplines, classes and filters are the host's: here
// the rate of existing classes is changed.
//
//   kNetworkShare  bytes per second: the class's rate. Its ceiling is raised where it would be
//                  below, and otherwise left alone, as is all else
//
//   seer::HtbOptions options;
//   options.classes = {{"cart-7f9c", {"eth0", 1, 10}}};     // instance or service -> class 1:10
//   auto actuator = seer::MakeHtbActuator(options);
//
// The kernel takes a change of a class whose parent is wrong without a word; here the class is
// looked up first, changed with the parent that it has, and read back by the executor.
//
// It acts in the network namespace of the thread that makes it. Changing needs CAP_NET_ADMIN.
//
// Threads: one at a time. Cost: one class is asked for in each Plan, Read and Write; where the
// kernel does not tell one alone, a dump of the device's.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "seer/act/actuator.h"
#include "seer/core/config.h"

SEER_BEGIN_NAMESPACE

struct HtbClass {
  std::string device;
  std::uint16_t major = 0;
  std::uint16_t minor = 0;
};

struct HtbOptions {
  // From an instance's name, or else a service's. What is not listed is not granted.
  std::map<std::string, HtbClass> classes;
  double link_bytes_per_second = 0;  // more is refused; 0: no such limit
};

// InvalidArgument names the option; Unimplemented: no rtnetlink here.
absl::StatusOr<std::unique_ptr<Actuator>> MakeHtbActuator(const HtbOptions& options);

SEER_END_NAMESPACE
