// nginx, before the service where requests come in.
#pragma once

#include <string>

#include "deployment.h"
#include "processes.h"

namespace social {

// False: it is not installed, `why` says so, and clients go to the service itself. Throws
// std::runtime_error where it does not start.
bool StartFront(const Deployment& deployment, Processes* processes, std::string* why);

}  // namespace social
