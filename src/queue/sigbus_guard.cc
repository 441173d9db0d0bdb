#include "queue/sigbus_guard.h"

#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdint>

#include "seer/core/internal/mutex.h"

SEER_BEGIN_NAMESPACE
namespace internal {

namespace {

constexpr std::size_t kGuards = 8192;

struct Guard {
  // begin == 0: free. A range is only looked for while it is mapped and may be touched, so the
  // handler, which runs in a thread that touches it, sees the stores that came before: relaxed.
  std::atomic<std::uintptr_t> begin{0};
  std::atomic<std::uintptr_t> end{0};
  std::atomic<bool> broken{false};
};
std::array<Guard, kGuards> guards;
std::atomic<std::size_t> guards_used{0};  // how far the handler has to look
std::uintptr_t page_bytes = 4096;

Mutex mutex;  // for taking and giving back guards
bool installed ABSL_GUARDED_BY(mutex) = false;
struct sigaction previous;  // written once, before the handler can run

// Puts zeros where a guarded range has no page. False: it is none of ours.
bool Mend(std::uintptr_t address) {
  // Relaxed: a thread faults in what it guarded itself or got handed over after that.
  const std::size_t used = guards_used.load(std::memory_order_relaxed);
  for (std::size_t i = 0; i < used; ++i) {
    Guard& guard = guards[i];
    // [G] acquire: no new begin with the end of the guard before.
    const std::uintptr_t begin = guard.begin.load(std::memory_order_acquire);
    if (begin == 0 || address < begin || address >= guard.end.load(std::memory_order_relaxed)) {
      continue;
    }
    // NOLINTNEXTLINE(performance-no-int-to-ptr): the system tells an address
    void* const page = reinterpret_cast<void*>(address / page_bytes * page_bytes);
    // Writable, as the access may have been a drainer's store.
    if (mmap(page, page_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
             0) == MAP_FAILED) {
      return false;
    }
    guard.broken.store(true, std::memory_order_relaxed);  // read by the same thread
    return true;
  }
  return false;
}

void OnSigbus(int signal, siginfo_t* info, void* context) {
  const int saved_errno = errno;
  // Of an access, and not sent by somebody, which comes without an address.
  const bool access = info->si_code > 0;
  const bool mended = access && Mend(reinterpret_cast<std::uintptr_t>(info->si_addr));
  errno = saved_errno;
  if (mended) return;
  if ((previous.sa_flags & SA_SIGINFO) != 0) {
    previous.sa_sigaction(signal, info, context);
  } else if (previous.sa_handler != SIG_DFL && previous.sa_handler != SIG_IGN) {
    previous.sa_handler(signal);
  } else if (access || previous.sa_handler == SIG_DFL) {
    // An access ends the process even where the signal is ignored.
    struct sigaction fallback = {};
    fallback.sa_handler = SIG_DFL;
    sigaction(SIGBUS, &fallback, nullptr);
    if (!access) raise(SIGBUS);  // comes when this handler is left; an access repeats by itself
  }
}

bool Install() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
  if (installed) return true;
  page_bytes = static_cast<std::uintptr_t>(sysconf(_SC_PAGESIZE));
  if (sigaction(SIGBUS, nullptr, &previous) != 0) return false;
  struct sigaction action = {};
  action.sa_sigaction = OnSigbus;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART;
  sigemptyset(&action.sa_mask);
  installed = sigaction(SIGBUS, &action, nullptr) == 0;
  return installed;
}

}  // namespace

int GuardMapping(const char* data, std::size_t bytes) {
  MutexLock lock(&mutex);
  if (!Install()) return -1;
  for (std::size_t i = 0; i < kGuards; ++i) {
    Guard& guard = guards[i];
    // Relaxed: only we write them, under the mutex.
    if (guard.begin.load(std::memory_order_relaxed) != 0) continue;
    const auto begin = reinterpret_cast<std::uintptr_t>(data);
    guard.broken.store(false, std::memory_order_relaxed);
    guard.end.store(begin + bytes, std::memory_order_relaxed);
    guard.begin.store(begin, std::memory_order_release);  // [G]
    if (guards_used.load(std::memory_order_relaxed) <= i) {
      guards_used.store(i + 1, std::memory_order_relaxed);
    }
    return static_cast<int>(i);
  }
  return -1;
}

void UnguardMapping(int guard) {
  if (guard < 0) return;
  MutexLock lock(&mutex);
  // Relaxed: nobody touches the range any more, and who takes the place next has the mutex.
  guards[static_cast<std::size_t>(guard)].begin.store(0, std::memory_order_relaxed);
}

bool MappingBroken(int guard) {
  // Relaxed: it was set in this thread, while it read.
  return guard >= 0 &&
         guards[static_cast<std::size_t>(guard)].broken.load(std::memory_order_relaxed);
}

}  // namespace internal
SEER_END_NAMESPACE
