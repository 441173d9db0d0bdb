#include "seer/core/tick.h"

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

SEER_BEGIN_NAMESPACE

absl::StatusOr<TickPeriod> TickPeriod::FromNs(std::int64_t ns) {
  if (ns < kMinNs || ns > kMaxNs) {
    return absl::InvalidArgumentError(absl::StrCat(
        "tick period: ", ns, " ns is outside 10 ms to 5 s; 100 ms suits most clusters"));
  }
  return TickPeriod(ns);
}

SEER_END_NAMESPACE
