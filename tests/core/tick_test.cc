#include "seer/core/tick.h"

#include <gtest/gtest.h>

namespace seer {
namespace {

TEST(TickPeriod, OnlyTenMillisecondsToFiveSeconds) {
  for (std::int64_t ns : {10'000'000LL, 100'000'000LL, 5'000'000'000LL}) {
    SCOPED_TRACE(ns);
    ASSERT_TRUE(TickPeriod::FromNs(ns).ok());
    EXPECT_EQ(TickPeriod::FromNs(ns)->ns(), ns);
  }
  for (std::int64_t ns : {-1LL, 0LL, 9'999'999LL, 5'000'000'001LL}) {
    SCOPED_TRACE(ns);
    EXPECT_EQ(TickPeriod::FromNs(ns).status().code(), absl::StatusCode::kInvalidArgument);
  }
}

TEST(TickPeriod, ATickEndsWhereTheNextOneStarts) {
  const TickPeriod period;
  for (std::int64_t unix_ns : {-100'000'001LL, -1LL, 0LL, 99'999'999LL, 100'000'000LL}) {
    SCOPED_TRACE(unix_ns);
    const Tick tick = period.TickAt(unix_ns);
    EXPECT_LE(period.StartNs(tick), unix_ns);
    EXPECT_GT(period.EndNs(tick), unix_ns);
    EXPECT_EQ(period.StartNs(tick + 1), period.EndNs(tick));
  }
}

}  // namespace
}  // namespace seer
