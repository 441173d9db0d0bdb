#include "seer/trace/context.h"

#include <gtest/gtest.h>

#include <functional>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include "seer/trace/propagation.h"
#include "tests/support/allocations.h"

namespace seer {
namespace {

TraceContext SomeContext(std::uint64_t id) {
  TraceContext context;
  context.trace_id = {id, id + 1};
  context.span_id = id + 2;
  context.flags = TraceContext::kSampled;
  return context;
}

TEST(TraceContext, NeedsBothIdsToBeValid) {
  TraceContext context;
  EXPECT_FALSE(context.valid());
  context.span_id = 1;
  EXPECT_FALSE(context.valid());
  context.trace_id.low = 1;
  EXPECT_TRUE(context.valid());
  context.span_id = 0;
  EXPECT_FALSE(context.valid());
}

TEST(TraceContext, EqualityLooksIntoTheTracestate) {
  TraceContext a = SomeContext(1);
  TraceContext b = a;
  a.tracestate = ParseTracestate("k=v");
  EXPECT_NE(a, b);
  b.tracestate = ParseTracestate("k=v");
  EXPECT_NE(a.tracestate, b.tracestate);
  EXPECT_EQ(a, b);
  b.tracestate = ParseTracestate("k=w");
  EXPECT_NE(a, b);
}

TEST(ContextScope, NestsAndRestores) {
  EXPECT_FALSE(CurrentContext().valid());
  {
    ContextScope outer(SomeContext(10));
    EXPECT_EQ(CurrentContext(), SomeContext(10));
    {
      ContextScope inner(SomeContext(20));
      EXPECT_EQ(CurrentContext(), SomeContext(20));
      EXPECT_EQ(&CurrentContext(), &inner.context());
      ContextScope none((TraceContext()));
      EXPECT_FALSE(CurrentContext().valid());
    }
    EXPECT_EQ(CurrentContext(), SomeContext(10));
  }
  EXPECT_FALSE(CurrentContext().valid());
}

TEST(ContextScope, EndsWithAnException) {
  try {
    ContextScope scope(SomeContext(1));
    throw 1;
  } catch (int) {
  }
  EXPECT_FALSE(CurrentContext().valid());
}

TEST(ContextScope, AllocatesNothing) {
  TraceContext context = SomeContext(1);
  context.tracestate = ParseTracestate("vendor=value");
  testing::Allocations allocations;
  for (int i = 0; i < 10; ++i) {
    ContextScope scope(NewChild(context));
    EXPECT_TRUE(CurrentContext().valid());
  }
  EXPECT_EQ(allocations.count(), 0u);
}

TEST(ContextConcurrency, ThreadsHaveContextsOfTheirOwn) {
  ContextScope scope(SomeContext(1));
  std::vector<std::thread> threads;
  for (std::uint64_t t = 0; t < 4; ++t) {
    threads.emplace_back([t] {
      EXPECT_FALSE(CurrentContext().valid());
      for (std::uint64_t i = 1; i < 1000; ++i) {
        ContextScope mine(SomeContext(1000 * t + i));
        EXPECT_EQ(CurrentContext().span_id, 1000 * t + i + 2);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(CurrentContext(), SomeContext(1));
}

// ComposePost of DeathStarBench fans out in this way, and loses a thread-local context.
TEST(BindConcurrency, CarriesTheContextThroughAsync) {
  ContextScope scope(SomeContext(7));
  auto with = std::async(std::launch::async, Bind([] { return CurrentContext(); }));
  auto without = std::async(std::launch::async, [] { return CurrentContext(); });
  EXPECT_EQ(with.get(), SomeContext(7));
  EXPECT_FALSE(without.get().valid());
}

TEST(BindConcurrency, OutlivesTheScopeAndSharesTheTracestate) {
  std::vector<std::thread> threads;
  {
    TraceContext context = SomeContext(7);
    context.tracestate = ParseTracestate("a=1,b=2");
    ContextScope scope(context);
    for (int i = 0; i < 4; ++i) {
      threads.emplace_back(Bind([] {
        ASSERT_NE(CurrentContext().tracestate, nullptr);
        EXPECT_EQ(*CurrentContext().tracestate, "a=1,b=2");
      }));
    }
  }
  for (std::thread& thread : threads) thread.join();
}

TEST(Bind, PassesArgumentsAndResultsThrough) {
  int number = 1;
  auto bound = Bind(SomeContext(1), [](int& n, std::unique_ptr<int> p) -> int& {
    n += *p;
    return n;
  });
  int& result = bound(number, std::make_unique<int>(41));
  EXPECT_EQ(&result, &number);
  EXPECT_EQ(number, 42);
  EXPECT_FALSE(CurrentContext().valid());
}

TEST(Bind, TakesWhatCanBeInvoked) {
  struct Handler {
    std::uint64_t Span() const { return CurrentContext().span_id; }
  };
  EXPECT_EQ(Bind(SomeContext(1), &Handler::Span)(Handler()), 3u);
  auto move_only = Bind(SomeContext(2), [p = std::make_unique<int>(5)] { return *p; });
  EXPECT_EQ(std::move(move_only)(), 5);
  std::function<std::uint64_t()> function = Bind(
      SomeContext(3), [n = std::uint64_t{0}]() mutable { return CurrentContext().span_id + n++; });
  EXPECT_EQ(function(), 5u);
  EXPECT_EQ(function(), 6u);  // may be called as often as one likes
  const auto constant = Bind(SomeContext(4), [] { return CurrentContext().span_id; });
  EXPECT_EQ(constant(), 6u);
  // Overloads may ask what it takes.
  auto takes_int = Bind([](int) {});
  static_assert(std::is_invocable_v<decltype(takes_int), int>);
  static_assert(!std::is_invocable_v<decltype(takes_int), std::string>);
}

}  // namespace
}  // namespace seer
