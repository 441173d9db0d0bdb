#include "seer/window/span_interval.h"

#include "gtest/gtest.h"

namespace seer {
namespace {

TEST(SpanInterval, RunsFromWhenAWorkerTookItWhereThatIsKnown) {
  SpanInterval interval;
  interval.start_ns = 10;
  interval.work_ns = 15;
  interval.end_ns = 20;
  EXPECT_EQ(interval.running_from_ns(), 10);
  interval.queue_known = true;
  EXPECT_EQ(interval.running_from_ns(), 15);
}

TEST(SpanInterval, KnowsNothingAtFirst) {
  const SpanInterval interval;
  EXPECT_FALSE(interval.trace.valid());
  EXPECT_FALSE(interval.caller.valid());
  EXPECT_FALSE(interval.edge.valid());
  EXPECT_FALSE(interval.request_class.valid());
}

}  // namespace
}  // namespace seer
