// A whole run: starts the application, plays its parts, and ends everything.
#pragma once

#include "options.h"

namespace social {

// The exit status.
int Run(const Options& options);

}  // namespace social
