#pragma once

#include <string>

// Runs the service until SIGINT, SIGTERM or SIGHUP; the exit status.
int RunService(const std::string& directory);
