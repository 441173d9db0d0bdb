// The signals that end or disturb a program, taken where the program waits instead of in handlers.
#pragma once

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <ctime>
#include <initializer_list>

class Signals {
 public:
  // From here on they wait for Wait(), also in threads that start later. Others are not blocked.
  Signals(std::initializer_list<int> numbers) {
    sigemptyset(&set_);
    for (int number : numbers) sigaddset(&set_, number);
    pthread_sigmask(SIG_SETMASK, &set_, nullptr);
  }

  // One that has come; 0: it is `until`, and none has.
  int Wait(std::chrono::steady_clock::time_point until) const {
    for (;;) {
      const auto left = std::max(until - std::chrono::steady_clock::now(),
                                 std::chrono::steady_clock::duration::zero());
      const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(left);
      const timespec timeout = {
          static_cast<time_t>(seconds.count()),
          static_cast<long>(std::chrono::nanoseconds(left - seconds).count())};
      const int number = sigtimedwait(&set_, nullptr, &timeout);
      if (number > 0) return number;
      if (errno == EAGAIN) return 0;
    }
  }

 private:
  sigset_t set_;
};
