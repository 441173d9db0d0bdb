// Runs a service on the kind of server that its role names, traced: what a service does for seer.
#pragma once

#include <memory>
#include <string>

#include <thrift/TProcessor.h>

#include "deployment.h"
#include "switches.h"

namespace social {

// Does not return while the server works.
void Serve(const Role& role, const std::shared_ptr<apache::thrift::TProcessor>& processor,
           const Deployment& deployment);

// This process tells seer's agent its queues and spans, under the name of its instance. Before it
// traces anything. Throws std::runtime_error.
void PublishTo(const Deployment& deployment, const std::string& service);

// Calls are traced from now on, unless the switches say otherwise. As long as the process lives.
void TraceAsSwitched(const SwitchBoard& board);

}  // namespace social
