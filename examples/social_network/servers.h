// Runs a service on the kind of server that its role names, traced: what a service does for seer.
#pragma once

#include <memory>

#include <thrift/TProcessor.h>

#include "deployment.h"

namespace social {

// Does not return while the server works.
void Serve(const Role& role, const std::shared_ptr<apache::thrift::TProcessor>& processor,
           const Deployment& deployment);

}  // namespace social
