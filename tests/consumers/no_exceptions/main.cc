// A host that builds without exceptions and run-time type information, as many low-latency services
// do.
#include "all_seer_headers.h"

namespace {

// Overriding a virtual of seer needs no type information either.
class HalfHourClock final : public seer::Clock {
 public:
  std::int64_t NowNs() const override { return 1'800'000'000'000; }
};

}  // namespace

int main() {
  const HalfHourClock clock;
  const absl::StatusOr<seer::TickPeriod> period = seer::TickPeriod::FromNs(1'000'000'000);
  if (!period.ok() || period->TickAt(clock.NowNs()) != 1800) return 1;
  // Errors arrive as values.
  return seer::TickPeriod::FromNs(0).ok() || seer::Decode<seer::Snapshot>("?").ok() ? 1 : 0;
}
