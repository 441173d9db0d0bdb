// What one process of a run tells another's handlers and pools at once: memory that they share.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>

#include "deployment.h"

namespace social {

// All relaxed: each is a wish of its own and orders nothing.
struct Switches {
  struct Service {
    std::atomic<std::uint32_t> lock_us;  // each request holds the service's only lock for so long
    std::atomic<std::uint32_t> wait_us;  // each request takes so much longer
    std::atomic<std::uint32_t> workers;  // of its pool; 0: as many as its role says
  };
  static constexpr std::size_t kServices = 32;  // by their place in Roles()

  Service services[kServices];
  std::atomic<std::uint32_t> untraced;  // seer looks at nothing
  std::atomic<std::uint32_t> cyclic;    // compose-post has its parts uploaded, instead of returned
};
static_assert(std::atomic<std::uint32_t>::is_always_lock_free);

class SwitchBoard {
 public:
  // Throws std::runtime_error. All zeros where nobody has switched anything yet.
  explicit SwitchBoard(const Deployment& deployment);
  ~SwitchBoard();
  SwitchBoard(const SwitchBoard&) = delete;
  SwitchBoard& operator=(const SwitchBoard&) = delete;

  Switches* operator->() const { return switches_; }
  // Throws std::invalid_argument where there is no such role.
  Switches::Service& Of(const std::string& role) const;
  // Workers of the role's pool, as they are wanted now.
  std::uint32_t WorkersOf(const Role& role) const;

 private:
  Switches* switches_ = nullptr;
};

// What a handler waits, as the switches say.
void WaitAsSwitched(const Switches::Service& service);

}  // namespace social
