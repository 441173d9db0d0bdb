#include "seer/predict/alarm.h"

#include <cmath>

SEER_BEGIN_NAMESPACE

absl::Status AlarmOptions::Validate() const {
  if (raise_ns < 0) return absl::InvalidArgumentError("alarm.raise_ns: negative: give 0 or more");
  if (clear_ns < 0) return absl::InvalidArgumentError("alarm.clear_ns: negative: give 0 or more");
  if (!(clear_ratio > 0 && clear_ratio <= 1)) {
    return absl::InvalidArgumentError("alarm.clear_ratio: give more than 0 and at most 1");
  }
  return absl::OkStatus();
}

bool AlarmLatch::Observe(double ratio, std::int64_t now_ns, const AlarmOptions& options) {
  const bool other_side = alarm_ ? ratio < options.clear_ratio : ratio >= 1;
  if (!other_side) {
    pending_ = false;
    return alarm_;
  }
  if (!pending_) {
    pending_ = true;
    since_ns_ = now_ns;
  }
  if (now_ns - since_ns_ >= (alarm_ ? options.clear_ns : options.raise_ns)) {
    alarm_ = !alarm_;
    pending_ = false;
  }
  return alarm_;
}

SEER_END_NAMESPACE
