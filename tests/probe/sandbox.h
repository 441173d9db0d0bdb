// Where tests may play: a network namespace of their own, and a process without privileges.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/if.h>
#include <linux/sockios.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <string>
#include <thread>

#include "seer/core/internal/owned_fd.h"

namespace seer::testing {

// Asks until it holds, for what another thread or the kernel does on its own; false after 10 s.
template <typename Predicate>
bool Eventually(const Predicate& holds) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (!holds()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::yield();
  }
  return true;
}

inline bool BringLoopbackUp() {
  const internal::OwnedFd fd(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ifreq request = {};
  std::strcpy(request.ifr_name, "lo");
  request.ifr_flags = IFF_UP;
  return ::ioctl(fd.get(), SIOCSIFFLAGS, &request) == 0;
}

// Runs `test(isolated)` on a thread with a network namespace of its own, where nothing but the
// test's sockets and a loopback device is; where that is not permitted, in this one.
template <typename Test>
void InOwnNetwork(const Test& test) {
  std::thread([&] {
    const internal::OwnedFd before(::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
    bool isolated = ::unshare(CLONE_NEWNET) == 0;
    if (isolated && !BringLoopbackUp()) {
      EXPECT_EQ(::setns(before.get(), CLONE_NEWNET), 0) << std::strerror(errno);
      isolated = false;
    }
    test(isolated);
  }).join();
}

inline std::string OwnNetworkPath() {
  return "/proc/" + std::to_string(::getpid()) + "/task/" + std::to_string(::syscall(SYS_gettid)) +
         "/ns/net";
}

// Runs `look(away)` on a thread of the process's first network, where InOwnNetwork() came from;
// where the way back is not permitted, it is not away.
template <typename Look>
void InFirstNetwork(const Look& look) {
  std::thread([&] {
    const internal::OwnedFd first(::open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC));
    look(::setns(first.get(), CLONE_NEWNET) == 0);
  }).join();
}

// Runs `test(dropped)` in a child process, with all privileges dropped if it had any and may, and
// gives what it returns: the number of the expectation that failed, 0 for none. No EXPECT in there:
// nobody would see it.
template <typename Test>
int AsNobody(const Test& test) {
  const pid_t child = ::fork();
  if (child == 0) {
    constexpr unsigned kNobody = 65534;
    const bool dropped = ::getuid() == 0 && ::setgid(kNobody) == 0 && ::setuid(kNobody) == 0;
    ::_exit(test(dropped));
  }
  int status = 0;
  if (child < 0 || ::waitpid(child, &status, 0) != child || !WIFEXITED(status)) return 201;
  return WEXITSTATUS(status);
}

}  // namespace seer::testing
