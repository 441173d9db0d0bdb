// What the process has to tell the registries: a thread exits, the process forks, the process ends.
#pragma once

#include "seer/core/config.h"

SEER_BEGIN_NAMESPACE
namespace internal {

// Once; later calls do nothing.
void InstallProcessHooks();
// Gives the calling thread's shards back when it exits. False if the system refuses.
bool CallAtThreadExit() noexcept;
// The calling thread owns no shard any more: after fork(), in the child.
void ForgetThreadShards() noexcept;

}  // namespace internal
SEER_END_NAMESPACE
