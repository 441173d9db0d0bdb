// Flow: (internal) hooks, sockets, clients -> [variables of a thread] -> hooks, clients
//
// Found without a call also from a shared library, and one and the same for all libraries of a
// process, whatever their visibility: as the thread's parts in queue/ (thread_parts.h). Only for
// what is initialised by a constant, or a call would come back.
//
// Threads: each its own. Cost: one instruction.
#pragma once

#if defined(__GNUC__) && defined(__ELF__)
#define SEER_INTERNAL_THREAD_LOCAL \
  __attribute__((visibility("default"), tls_model("initial-exec"))) inline thread_local
#else
#define SEER_INTERNAL_THREAD_LOCAL inline thread_local
#endif
