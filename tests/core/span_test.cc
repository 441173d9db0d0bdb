#include "seer/core/span.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <optional>

namespace seer {
namespace {

constexpr std::int64_t kStart = 1'700'000'000'000'000'000;
constexpr std::int64_t kHour = 3'600'000'000'000;

TEST(Span, StampsAreExactUpToFourSeconds) {
  Span span;
  span.SetStamps(SpanSide::kServer,
                 {kStart, kStart + 1, kStart + 12'345, kStart + 4'294'967'295, std::nullopt});
  EXPECT_EQ(span.side(), SpanSide::kServer);
  EXPECT_EQ(span.stamp(ServerStamp::kReceived), kStart);
  EXPECT_EQ(span.stamp(ServerStamp::kDequeued), kStart + 1);
  EXPECT_EQ(span.stamp(ServerStamp::kHandlerStart), kStart + 12'345);
  EXPECT_EQ(span.stamp(ServerStamp::kHandlerEnd), kStart + 4'294'967'295);
  EXPECT_EQ(span.stamp(ServerStamp::kReplySent), std::nullopt);
  EXPECT_EQ(span.duration_ns(), 4'294'967'295);
  EXPECT_EQ(span.stamp(std::size_t{5}), std::nullopt);
}

TEST(Span, AnHourIsToldToTheMicrosecond) {
  Span span;
  span.SetStamps(SpanSide::kClient, {kStart, kStart + 777, std::nullopt, kStart + kHour, {}});
  EXPECT_EQ(span.side(), SpanSide::kClient);
  EXPECT_EQ(span.stamp(ClientStamp::kFirstByte), std::nullopt);
  EXPECT_NEAR(static_cast<double>(*span.stamp(ClientStamp::kCallEnd) - kStart),
              static_cast<double>(kHour), 1024);
  EXPECT_GE(*span.stamp(ClientStamp::kRequestSent), kStart);
  EXPECT_TRUE(span.StampsAreOrdered());
}

TEST(Span, TheFirstKnownStampNeedNotBeTheFirst) {
  Span span;
  span.SetStamps(SpanSide::kServer, {std::nullopt, std::nullopt, kStart, kStart + 5, kStart + 6});
  EXPECT_EQ(span.stamp(ServerStamp::kReceived), std::nullopt);
  EXPECT_EQ(span.stamp(ServerStamp::kHandlerStart), kStart);
  EXPECT_EQ(span.stamp(ServerStamp::kReplySent), kStart + 6);
  EXPECT_EQ(span.start_ns(), kStart);
  EXPECT_EQ(span.duration_ns(), 6);
}

TEST(Span, NoDurationIsNegativeAndNoneOverflows) {
  constexpr std::int64_t kMin = std::numeric_limits<std::int64_t>::min();
  constexpr std::int64_t kMax = std::numeric_limits<std::int64_t>::max();
  struct Case {
    const char* what;
    Span::Stamps stamps;
  };
  for (const Case& c :
       {Case{"a clock that went back", {kStart, kStart - 5, kStart + 3, kStart + 1}},
        Case{"the ends of time", {kMin, kMax, kMin, kMax, 0}},
        Case{"from the end of time", {kMax, kMin, kMax}}, Case{"nothing known", {}}}) {
    SCOPED_TRACE(c.what);
    Span span;
    span.SetStamps(SpanSide::kServer, c.stamps);
    EXPECT_TRUE(span.StampsAreOrdered());
    EXPECT_GE(span.duration_ns(), 0);
    for (std::size_t i = 0; i < Span::kStamps; ++i) {
      EXPECT_EQ(span.stamp(i).has_value(), c.stamps[i].has_value());
    }
  }
}

TEST(Span, FieldsDoNotTouchEachOther) {
  Span span;
  EXPECT_FALSE(span.method().valid());
  EXPECT_FALSE(span.edge().valid());
  span.SetStamps(SpanSide::kClient, {kStart, kStart + 100 * kHour});
  span.set_method(MethodId(0xabcdef));
  span.set_edge(EdgeId(0x123456));
  span.set_outcome(Outcome::kRejected);
  span.SetIds({1, 2}, 3, 4);
  EXPECT_EQ(span.method(), MethodId(0xabcdef));
  EXPECT_EQ(span.edge(), EdgeId(0x123456));
  EXPECT_EQ(span.outcome(), Outcome::kRejected);
  EXPECT_EQ(span.side(), SpanSide::kClient);
  span.set_outcome(Outcome::kOk);
  span.set_method(MethodId(1u << 24));  // does not fit
  EXPECT_EQ(span.outcome(), Outcome::kOk);
  EXPECT_FALSE(span.method().valid());
  EXPECT_EQ(span.edge(), EdgeId(0x123456));
  EXPECT_TRUE(span.trace_id().valid());
  EXPECT_EQ(span.span_id(), 3u);
  EXPECT_EQ(span.parent_id(), 4u);
}

}  // namespace
}  // namespace seer
