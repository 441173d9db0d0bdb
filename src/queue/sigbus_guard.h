// A file that is mapped can be truncated by whoever may write it, and reading beyond its new end is
// a SIGBUS. Nothing but a signal handler can make that survivable:
//
//   const int guard = GuardMapping(data, size);       // -1: no place left
//   ... read ...
//   if (MappingBroken(guard)) ...                     // zeros were read from some point on
//   UnguardMapping(guard);
//
// In a guarded range the handler puts a page of zeros where the file has none any more, and marks
// the range. Any other SIGBUS is handed to the handler that was installed before; if there was
// none, the default action is restored and the access repeats, so the process dies as it would
// have.
//
// A thread that blocks SIGBUS would die all the same: the kernel never delivers it to a handler
// then. Whoever reads holds a SegmentAccess (segment.h) meanwhile.
//
// Threads: any; the handler takes no lock. Cost: nothing until the first GuardMapping(), which
// installs the handler for good.
#pragma once

#include <cstddef>

#include "seer/core/config.h"

SEER_BEGIN_NAMESPACE
namespace internal {

int GuardMapping(const char* data, std::size_t bytes);
void UnguardMapping(int guard);
bool MappingBroken(int guard);

}  // namespace internal
SEER_END_NAMESPACE
