#include "faults.h"

#include <algorithm>

namespace foresee {
namespace {

constexpr std::int64_t kMs = 1'000'000;

}  // namespace

std::string Fault::Describe() const {
  const std::string name = Tiers()[tier].name;
  switch (kind) {
    case Kind::kSlowDisk:
      return name + ": a slow disk, " + std::to_string(extra_wait_us / 1000) +
             " ms more for each request";
    case Kind::kLock:
      return name + ": a lock, one request at a time, each " +
             std::to_string(extra_wait_us / 1000) + " ms slower";
    case Kind::kMild:
      return name + ": a little slower, harmless";
  }
  return name;
}

FaultScript::FaultScript(std::uint64_t seed, std::int64_t first_ns, std::int64_t every_ns)
    : random_(seed), every_ns_(every_ns) {
  Draw(first_ns);
}

void FaultScript::Draw(std::int64_t not_before_ns) {
  const auto uniform = [&](std::int64_t from, std::int64_t to) {
    return std::uniform_int_distribution<std::int64_t>(from, to)(random_);
  };
  fault_ = Fault();
  begun_ = false;
  // Any service but the gateway; a harmless fault now and then: it should raise no alarm.
  fault_.tier = static_cast<std::size_t>(uniform(1, 3));
  const bool mild = ++drawn_ % 4 == 0;
  fault_.kind = mild                 ? Fault::Kind::kMild
                : uniform(0, 2) == 0 ? Fault::Kind::kLock
                                     : Fault::Kind::kSlowDisk;
  fault_.extra_wait_us = mild ? 1000 : fault_.kind == Fault::Kind::kLock ? 10'000 : 80'000;
  fault_.start_ns = not_before_ns + uniform(0, 1000) * kMs;
  fault_.ramp_ns = 2000 * kMs;
  fault_.end_ns = fault_.start_ns + uniform(2500, 3000) * kMs;
}

bool FaultScript::Step(std::int64_t now_ns, Control& control) {
  if (now_ns < fault_.start_ns) return false;
  Control::OfTier& tier = control.tiers[fault_.tier];
  if (now_ns >= fault_.end_ns) {
    tier.extra_wait_us = 0;
    tier.one_at_a_time = false;
    Draw(fault_.start_ns + every_ns_);
    return false;
  }
  const double strength = std::min(
      1.0, static_cast<double>(now_ns - fault_.start_ns) / static_cast<double>(fault_.ramp_ns));
  tier.one_at_a_time = fault_.kind == Fault::Kind::kLock;
  tier.extra_wait_us = static_cast<int>(fault_.extra_wait_us * strength);
  const bool begins = !begun_;
  begun_ = true;
  return begins;
}

}  // namespace foresee
