#include "seer/trace/propagation.h"

#include <gtest/gtest.h>

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "tests/support/allocations.h"

namespace seer {
namespace {

constexpr std::string_view kTraceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
constexpr TraceId kTrace = {0x0af7651916cd43dd, 0x8448eb211c80319c};
constexpr std::uint64_t kSpan = 0xb7ad6b7169203331;

TraceContext Known(std::uint8_t flags = TraceContext::kSampled) {
  TraceContext context;
  context.trace_id = kTrace;
  context.span_id = kSpan;
  context.flags = flags;
  return context;
}

template <std::size_t n>
std::string_view View(const std::array<char, n>& bytes) {
  return {bytes.data(), n};
}

TEST(Traceparent, FormatsAsW3cDoes) {
  EXPECT_EQ(View(FormatTraceparent(Known())), kTraceparent);
  EXPECT_EQ(View(FormatTraceparent(Known(0))).substr(53), "00");
  EXPECT_EQ(View(FormatTraceparent(Known(0xff))).substr(53), "03");  // only bits that are known
  EXPECT_FALSE(ParseTraceparent(View(FormatTraceparent(TraceContext()))));
}

TEST(Traceparent, IsReadByTheRules) {
  const std::string ids = "-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-";
  struct Case {
    std::string header;
    std::optional<int> flags;  // none: refused
  };
  for (const Case& c : {
           Case{"00" + ids + "01", 1},
           Case{"00" + ids + "00", 0},
           Case{"00" + ids + "02", 2},
           Case{"00" + ids + "ff", 3},  // unknown bits are dropped
           Case{"00" + ids + "fc", 0},
           // Later versions, as far as version 00 goes.
           Case{"01" + ids + "01", 1},
           Case{"01" + ids + "01-what-follows", 1},
           Case{"cc" + ids + "01-", 1},
           Case{"fe" + ids + "01", 1},
           Case{"01" + ids + "01.what-follows", std::nullopt},
           Case{"01" + ids + "010", std::nullopt},
           // Version 00 has exactly 55 characters, ff none at all.
           Case{"00" + ids + "01-", std::nullopt},
           Case{"00" + ids + "01-x", std::nullopt},
           Case{"00" + ids + "01 ", std::nullopt},
           Case{" 00" + ids + "01", std::nullopt},
           Case{"ff" + ids + "01", std::nullopt},
           Case{"00" + ids + "0", std::nullopt},
           Case{"00" + ids, std::nullopt},
           Case{"", std::nullopt},
           Case{"00", std::nullopt},
           // Ids of zero.
           Case{"00-00000000000000000000000000000000-b7ad6b7169203331-01", std::nullopt},
           Case{"00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01", std::nullopt},
           // Half an id of zero is an id.
           // Capitals, and what is no digit.
           Case{"00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01", std::nullopt},
           Case{"00-0af7651916cd43dd8448eb211c80319c-B7AD6B7169203331-01", std::nullopt},
           Case{"00" + ids + "0A", std::nullopt},
           Case{"0A" + ids + "01", std::nullopt},
           Case{"00-0af7651916cd43dd8448eb211c80319g-b7ad6b7169203331-01", std::nullopt},
           Case{"00-0af7651916cd43dd8448eb211c80319c-b7ad6b71692033 1-01", std::nullopt},
           Case{".0" + ids + "01", std::nullopt},
           Case{"00" + ids + "1.", std::nullopt},
           // Dashes in other places.
           Case{"00_0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", std::nullopt},
           Case{"00-0af7651916cd43dd8448eb211c80319c_b7ad6b7169203331-01", std::nullopt},
           Case{"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331_01", std::nullopt},
           Case{"00-0af7651916cd43dd8448eb211c80319-cb7ad6b7169203331-01", std::nullopt},
       }) {
    SCOPED_TRACE(c.header);
    const std::optional<TraceContext> context = ParseTraceparent(c.header);
    ASSERT_EQ(context.has_value(), c.flags.has_value());
    if (!context) continue;
    EXPECT_EQ(*context, Known(static_cast<std::uint8_t>(*c.flags)));
  }
}

TEST(Traceparent, EveryOtherByteInAnyPlaceIsNoticed) {
  for (std::size_t i = 0; i < kTraceparent.size(); ++i) {
    for (int byte = 0; byte < 256; ++byte) {
      std::string header(kTraceparent);
      header[i] = static_cast<char>(byte);
      const auto context = ParseTraceparent(header);
      if (context) {
        // What is accepted says the same again, but for versions and unknown flags.
        EXPECT_EQ(View(FormatTraceparent(*context)).substr(2, 51), header.substr(2, 51));
      }
    }
  }
}

TEST(Traceparent, HalfAnIdOfZeroIsAnId) {
  const auto context = ParseTraceparent("00-0000000000000000000000000000000a-b7ad6b7169203331-01");
  ASSERT_TRUE(context);
  EXPECT_EQ(context->trace_id, (TraceId{0, 10}));
}

TEST(Tracestate, KeepsValidListsAndDropsTheOthers) {
  const std::string key256(256, 'k'), value256(256, 'v');
  std::string members32, members33;
  for (int i = 0; i < 33; ++i) {
    members33 += (i > 0 ? ",k" : "k") + std::to_string(i) + "=v";
    if (i == 31) members32 = members33;
  }
  struct Case {
    std::string header;
    std::string kept;  // empty: none
  };
  for (const Case& c :
       {Case{"congo=t61rcWkgMzE", "congo=t61rcWkgMzE"},
        Case{"rojo=00f067aa0ba902b7,congo=t61rcWkgMzE", "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"},
        Case{" a=1 ,\t b=2,,c=3 , ", "a=1,b=2,c=3"},
        Case{"a=  b c", "a=  b c"},
        Case{"fw529a3039@dt=x", "fw529a3039@dt=x"},
        Case{"0a_-*/@=x", "0a_-*/@=x"},
        Case{key256 + "=v", key256 + "=v"},
        Case{"k=" + value256, "k=" + value256},
        Case{members32, members32},
        Case{members33, ""},
        Case{key256 + "k=v", ""},
        Case{"k=" + value256 + "v", ""},
        Case{"", ""},
        Case{" , ,", ""},
        Case{"a", ""},
        Case{"a=", ""},
        Case{"=b", ""},
        Case{"A=b", ""},
        Case{"_a=b", ""},
        Case{"a=b=c", ""},
        Case{"a=1,a=2", ""},
        Case{"a=1,b", ""},
        Case{"a b=1", ""},
        Case{"a=\x7f", ""},
        Case{"a=\xc3\xa4", ""},
        Case{std::string("a=\0b", 4), ""},
        Case{"a=1\r\nb=2", ""}}) {
    SCOPED_TRACE(c.header);
    const auto state = ParseTracestate(c.header);
    EXPECT_EQ(state != nullptr ? *state : "", c.kept);
  }
}

TEST(Tracestate, AboveTheLimitLosesLongMembersFirstAndThenTheLast) {
  const auto member = [](char key, std::size_t bytes) {
    return std::string(1, key) + '=' + std::string(bytes - 2, 'v');
  };
  const auto kept = [](const std::string& header) {
    const auto state = ParseTracestate(header);
    return state != nullptr ? *state : "";
  };
  // Exactly at the limit, and one byte above it.
  const std::string at_limit =
      member('a', 128) + "," + member('b', 128) + "," + member('c', 128) + "," + member('d', 125);
  ASSERT_EQ(at_limit.size(), kMaxTracestateBytes);
  EXPECT_EQ(kept(at_limit), at_limit);
  EXPECT_EQ(kept(at_limit + ",e=1"), at_limit);
  EXPECT_EQ(kept(member('x', 129) + "," + at_limit), at_limit);
  EXPECT_EQ(kept(member('a', 200) + ",b=1," + member('c', 200) + "," + member('d', 200)),
            member('a', 200) + ",b=1," + member('c', 200));  // one long member was enough
  EXPECT_EQ(kept(member('a', 258) + "," + member('b', 258)), member('a', 258));
}

TEST(B3, IsReadInItsForms) {
  const std::string trace = "0af7651916cd43dd8448eb211c80319c", span = "b7ad6b7169203331";
  struct Case {
    std::string header;
    std::optional<int> flags;
  };
  for (const Case& c : {Case{trace + "-" + span + "-1", 1},
                        Case{trace + "-" + span + "-0", 0},
                        Case{trace + "-" + span + "-d", 1},
                        Case{trace + "-" + span, 1},
                        Case{trace + "-" + span + "-1-05e3ac9a4f6e3b90", 1},
                        Case{trace + "-" + span + "-0-05e3ac9a4f6e3b90", 0},
                        Case{trace + "-" + span + "-2", std::nullopt},
                        Case{trace + "-" + span + "-", std::nullopt},
                        Case{trace + "-" + span + "-1-5e3ac9a4f6e3b90", std::nullopt},
                        Case{trace + "-" + span + "-1-05e3ac9a4f6e3bXX", std::nullopt},
                        Case{trace + "-" + span + "-1-05e3ac9a4f6e3b90-", std::nullopt},
                        Case{"0", std::nullopt},
                        Case{"1", std::nullopt},
                        Case{"d", std::nullopt},
                        Case{"", std::nullopt},
                        Case{trace, std::nullopt},
                        Case{trace + "-", std::nullopt},
                        Case{"-", std::nullopt},
                        Case{trace.substr(1) + "-" + span, std::nullopt},
                        Case{"00000000000000000000000000000000-" + span, std::nullopt},
                        Case{trace + "-0000000000000000", std::nullopt},
                        Case{"0AF7651916CD43DD8448EB211C80319C-" + span, std::nullopt}}) {
    SCOPED_TRACE(c.header);
    const std::optional<TraceContext> context = ParseB3(c.header);
    ASSERT_EQ(context.has_value(), c.flags.has_value());
    if (context) {
      EXPECT_EQ(*context, Known(static_cast<std::uint8_t>(*c.flags)));
    }
  }
  // 64-bit trace ids are the low half of one of ours.
  EXPECT_EQ(ParseB3("8448eb211c80319c-" + span)->trace_id, (TraceId{0, kTrace.low}));
  EXPECT_EQ(View(FormatB3(Known())), trace + "-" + span + "-1");
  EXPECT_EQ(View(FormatB3(Known(0))), trace + "-" + span + "-0");
}

TEST(B3, IsReadFromSeveralHeaders) {
  struct Case {
    std::string_view trace, span, sampled, flags;
    std::optional<int> read;
  };
  for (const Case& c :
       {Case{"0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331", "1", "", 1},
        Case{"0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331", "0", "", 0},
        Case{"0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331", "0", "1", 1},
        Case{"0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331", "", "", 1},
        Case{"0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331", "False", "", 0},
        Case{"0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331", "true", "", 1},
        Case{"", "b7ad6b7169203331", "1", "", std::nullopt},
        Case{"0af7651916cd43dd8448eb211c80319c", "", "1", "", std::nullopt},
        Case{"", "", "0", "", std::nullopt}}) {
    SCOPED_TRACE(c.sampled);
    B3Headers headers;
    headers.trace_id = c.trace;
    headers.span_id = c.span;
    headers.sampled = c.sampled;
    headers.flags = c.flags;
    const auto context = ParseB3(headers);
    ASSERT_EQ(context.has_value(), c.read.has_value());
    if (context) {
      EXPECT_EQ(*context, Known(static_cast<std::uint8_t>(*c.read)));
    }
  }
}

TEST(UberTraceId, IsRead) {
  struct Case {
    std::string_view header;
    std::optional<TraceContext> read;
  };
  const auto make = [](std::uint64_t high, std::uint64_t low, std::uint64_t span, int flags) {
    TraceContext context;
    context.trace_id = {high, low};
    context.span_id = span;
    context.flags = static_cast<std::uint8_t>(flags);
    return context;
  };
  for (const Case& c : {Case{"af7651916cd43dd8448eb211c80319c:b7ad6b7169203331:0:1",
                             make(0x0af7651916cd43dd, 0x8448eb211c80319c, kSpan, 1)},
                        Case{"1:2:3:0", make(0, 1, 2, 0)},
                        Case{"1:2:0:3", make(0, 1, 2, 1)},
                        Case{"1:2:0:2", make(0, 1, 2, 1)},
                        Case{"1:2:0:0c", make(0, 1, 2, 0)},
                        Case{"1%3A2%3a0:1", make(0, 1, 2, 1)},
                        Case{"ABCDEF:F:0:1", make(0, 0xabcdef, 0xf, 1)},
                        Case{"10000000000000000:2:0:1", make(1, 0, 2, 1)},
                        Case{"00000000000000000000000000000001:2:0:1", make(0, 1, 2, 1)},
                        Case{"000000000000000000000000000000001:2:0:1", std::nullopt},
                        Case{"1:00000000000000002:0:1", std::nullopt},
                        Case{"0:2:0:1", std::nullopt},
                        Case{"1:0:0:1", std::nullopt},
                        Case{"1:2:0", std::nullopt},
                        Case{"1:2:0:1:", std::nullopt},
                        Case{"1:2::1", std::nullopt},
                        Case{"1:2:0:", std::nullopt},
                        Case{"1:2:0:100", std::nullopt},
                        Case{":2:0:1", std::nullopt},
                        Case{"1:2:g:1", std::nullopt},
                        Case{"1%2:0:1", std::nullopt},
                        Case{"1:2:0%", std::nullopt},
                        Case{"", std::nullopt},
                        Case{"1:2:0:1%3A", std::nullopt},
                        Case{"%3", std::nullopt}}) {
    SCOPED_TRACE(c.header);
    EXPECT_EQ(ParseUberTraceId(c.header), c.read);
  }
}

TEST(Binary, RoundTripsAndIsBigEndian) {
  const auto bytes = ToBytes(Known());
  EXPECT_EQ(bytes[0], '\x0a');
  EXPECT_EQ(bytes[23], '\x31');
  EXPECT_EQ(FromBytes(View(bytes)), Known());
  EXPECT_FALSE(FromBytes(View(bytes).substr(1)));
  EXPECT_FALSE(FromBytes(std::string(25, 'x')));
  EXPECT_FALSE(FromBytes(std::string(24, '\0')));
}

TEST(Inject, WritesTheHeadersOfEachKind) {
  using Map = std::map<std::string, std::string>;
  TraceContext context = Known();
  context.tracestate = ParseTracestate("k=v");
  struct Case {
    Headers headers;
    Map written;
  };
  for (const Case& c : {
           Case{Headers::kW3c, {{"traceparent", std::string(kTraceparent)}, {"tracestate", "k=v"}}},
           Case{Headers::kB3Single,
                {{"b3", "0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-1"}}},
           Case{Headers::kB3Multi,
                {{"x-b3-traceid", "0af7651916cd43dd8448eb211c80319c"},
                 {"x-b3-spanid", "b7ad6b7169203331"},
                 {"x-b3-sampled", "1"}}},
       }) {
    SCOPED_TRACE(static_cast<int>(c.headers));
    Map carrier = {{"traceparent", "of before"}};
    if (c.headers != Headers::kW3c) carrier.clear();
    Inject(context, &carrier, c.headers);
    EXPECT_EQ(carrier, c.written);
    TraceContext expected = context;
    if (c.headers != Headers::kW3c) expected.tracestate = nullptr;
    EXPECT_EQ(Extract(carrier), expected);
    carrier.clear();
    Inject(TraceContext(), &carrier, c.headers);
    EXPECT_TRUE(carrier.empty());
  }
}

TEST(Inject, TakesAnyCarrier) {
  std::vector<std::pair<std::string, std::string>> headers;
  Inject(Known(),
         [&](std::string_view name, std::string_view value) { headers.emplace_back(name, value); });
  ASSERT_EQ(headers.size(), 1u);
  EXPECT_EQ(headers[0].second, kTraceparent);
  EXPECT_EQ(Extract(headers), Known());
  std::unordered_map<std::string, std::string> map;
  Inject(Known(), &map);
  EXPECT_EQ(Extract(map), Known());
}

TEST(Extract, NamesHaveNoCaseAndTheFirstCounts) {
  const std::vector<std::pair<std::string, std::string>> headers = {
      {"TraceParent", std::string(kTraceparent)}, {"TRACESTATE", "a=1"}, {"tracestate", "b=2"}};
  TraceContext expected = Known();
  expected.tracestate = ParseTracestate("a=1");
  EXPECT_EQ(Extract(headers), expected);
}

TEST(Extract, FallsBackToTheNextValidForm) {
  std::map<std::string, std::string> carrier = {
      {"traceparent", std::string(kTraceparent)},
      {"tracestate", "k=v"},
      {"b3", "1af7651916cd43dd8448eb211c80319c-b7ad6b7169203332-1"},
      {"x-b3-traceid", "2af7651916cd43dd8448eb211c80319c"},
      {"x-b3-spanid", "b7ad6b7169203333"},
      {"uber-trace-id", "3:4:0:1"},
  };
  EXPECT_EQ(Extract(carrier).span_id, kSpan);
  carrier["traceparent"] = "00-x";
  EXPECT_EQ(Extract(carrier).span_id, kSpan + 1);
  EXPECT_EQ(Extract(carrier).tracestate, nullptr);  // it belonged to the bad traceparent
  carrier["b3"] = "0";
  EXPECT_EQ(Extract(carrier).span_id, kSpan + 2);
  carrier.erase("x-b3-spanid");
  EXPECT_EQ(Extract(carrier).span_id, 4u);
  carrier.clear();
  EXPECT_FALSE(Extract(carrier).valid());
}

TEST(Extract, ABadTracestateCostsOnlyItself) {
  const std::map<std::string, std::string> carrier = {{"traceparent", std::string(kTraceparent)},
                                                      {"tracestate", "no equals sign"}};
  EXPECT_EQ(Extract(carrier), Known());
}

TEST(Extract, AsksAFunctionForLowerCaseNames) {
  std::vector<std::string> asked;
  const TraceContext context =
      Extract([&](std::string_view name) -> std::optional<std::string_view> {
        asked.emplace_back(name);
        if (name == "traceparent") return kTraceparent;
        return std::nullopt;
      });
  EXPECT_EQ(context, Known());
  EXPECT_EQ(asked.front(), "traceparent");
}

TEST(Extract, AllocatesNothingWithoutTracestate) {
  const std::map<std::string, std::string> carrier = {{"traceparent", std::string(kTraceparent)}};
  testing::Allocations allocations;
  EXPECT_TRUE(Extract(carrier).valid());
  Inject(Known(), [](std::string_view, std::string_view) {});
  EXPECT_EQ(allocations.count(), 0u);
}

}  // namespace
}  // namespace seer
