// What goes wrong, and when: a script that a seed decides.
#pragma once

#include <cstddef>
#include <cstdint>
#include <random>
#include <string>

#include "application.h"

namespace foresee {

// One fault. It begins gently, as most do: its strength grows over `ramp_ns`.
struct Fault {
  enum class Kind { kSlowDisk, kLock, kMild };
  Kind kind = Kind::kMild;
  std::size_t tier = 0;
  std::int64_t start_ns = 0;  // since the script began
  std::int64_t ramp_ns = 0;
  std::int64_t end_ns = 0;
  int extra_wait_us = 0;

  std::string Describe() const;  // "posts: a slow disk, 40 ms more for each request"
};

class FaultScript {
 public:
  FaultScript(std::uint64_t seed, std::int64_t first_ns, std::int64_t every_ns);

  // The fault that is under way or comes next.
  const Fault& current() const { return fault_; }
  // Applies what stands in the script for this moment. True in the step in which a fault begins.
  bool Step(std::int64_t now_ns, Control& control);

 private:
  void Draw(std::int64_t not_before_ns);

  std::mt19937_64 random_;
  const std::int64_t every_ns_;
  int drawn_ = 0;
  bool begun_ = false;
  Fault fault_;
};

}  // namespace foresee
