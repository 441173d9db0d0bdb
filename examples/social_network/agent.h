// The node agent: what runs on every machine. At the end of each tick it sends the control plane
// what the machine's queues hold; it answers when the control plane asks how the machine's
// resources treat an instance; and it carries out what is recommended, and undoes it.
//
// Messages to the control plane:    "agent", Topology, Snapshot, HwAnswer, ActionTaken,
//   "limit <service> <action> <value> <lower> <upper>"  what is in place, when it has changed
//   "spent <us>"                                        of the processor
//   "trace ..."                                         the slowest request (spans.h)
// Messages from the control plane:  HwRequest, Recommendation, "undo <id>"
#pragma once

#include <string>

#include "deployment.h"

namespace social {

// `cgroups`: their name, empty where there are none. Until it is interrupted: then all that it has
// done is undone. Throws std::exception.
void RunAgent(const Deployment& deployment, const std::string& cgroups);

// Classes of the loopback device's queueing discipline: services by their place in the deployment.
inline constexpr int kFirstNetworkClass = 16;

}  // namespace social
