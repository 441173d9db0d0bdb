// How many instructions a piece of code executes, on any machine: a child process is stepped
// through it one instruction at a time. Exact and repeatable where times are not, and it needs no
// counters, which virtual machines often lack.
//
//   double n = InstructionsPerCall([&] { queue.Enter(); queue.Leave(); });      // NaN: not
//   permitted
//
// The child is a fork, so `body` runs in a copy of this process with one thread.
#pragma once

#include <signal.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmath>
#include <cstdint>

namespace seer::bench {
namespace internal {

template <typename Body>
__attribute__((noinline)) void Repeat(int times, const Body& body) {
  for (int i = 0; i < times; ++i) {
    body();
    asm volatile("" ::: "memory");
  }
}

// The instructions between two stops of the child; -1: not permitted.
template <typename Body>
std::int64_t CountSteps(int times, const Body& body) {
  const pid_t child = fork();
  if (child == 0) {
    Repeat(100, body);  // what only the first calls do
    if (ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) != 0) _exit(1);
    raise(SIGSTOP);
    Repeat(times, body);
    raise(SIGSTOP);
    _exit(0);
  }
  int status = 0;
  std::int64_t steps = -1;
  if (child > 0 && waitpid(child, &status, 0) == child && WIFSTOPPED(status)) {
    steps = 0;
    for (;;) {
      if (ptrace(PTRACE_SINGLESTEP, child, nullptr, nullptr) != 0 ||
          waitpid(child, &status, 0) != child || !WIFSTOPPED(status)) {
        steps = -1;
        break;
      }
      if (WSTOPSIG(status) == SIGSTOP) break;
      ++steps;
    }
    kill(child, SIGKILL);
  }
  if (child > 0) waitpid(child, &status, 0);
  return steps;
}

}  // namespace internal

template <typename Body>
double InstructionsPerCall(const Body& body) {
  const auto each = [](const auto& what) {
    const std::int64_t few = internal::CountSteps(100, what);
    const std::int64_t many = internal::CountSteps(1100, what);
    return few < 0 || many < 0 ? std::nan("") : static_cast<double>(many - few) / 1000;
  };
  return each(body) - each([] {});
}

}  // namespace seer::bench
