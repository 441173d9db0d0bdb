// Starts memcached, redis and PostgreSQL as the installed programs that they are, each on a free
// port of the loopback interface, with its data in the deployment's directory.
#pragma once

#include "deployment.h"
#include "processes.h"

namespace social {

// Returns when all answer. Throws std::runtime_error, which says what to install or what a store
// complained of.
void StartStores(const Deployment& deployment, Processes* processes);

// The store's program; empty: it is not installed.
std::string ProgramOf(StoreKind kind);

// Free a moment ago; who finds it taken is started again on another one.
int FreePort();

}  // namespace social
