// Ctrl-C and SIGTERM: what takes long asks now and then, and ends.
#pragma once

#include <csignal>

namespace social {

namespace internal {
inline volatile std::sig_atomic_t interrupted = 0;
}

inline bool Interrupted() { return internal::interrupted != 0; }

inline void CatchInterrupts() {
  for (const int number : {SIGINT, SIGTERM, SIGHUP}) {
    std::signal(number, [](int) { internal::interrupted = 1; });
  }
}

}  // namespace social
