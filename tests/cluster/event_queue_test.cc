#include "benchmarks/cluster/sim/event_queue.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <map>
#include <random>

namespace seer::cluster {
namespace {

// Beside a sorted map, over distances from nanoseconds to hours: the width follows, nothing is
// lost, and time never goes back.
TEST(EventQueue, GivesWhatASortedMapGives) {
  for (double mean_ns : {3.0, 2e3, 4e4, 3e7, 2e11}) {
    SCOPED_TRACE(mean_ns);
    std::mt19937_64 random(7);
    std::exponential_distribution<double> distance(1 / mean_ns);
    EventQueue queue;
    std::multimap<std::int64_t, std::uint32_t> reference;
    std::int64_t now = 0;
    std::uint32_t next = 0;
    const auto push = [&] {
      double ns = distance(random);
      if (random() % 50 == 0) ns *= 10'000;  // time-outs
      const Event event{now + static_cast<std::int64_t>(ns), next, next % 7};
      queue.Push(event);
      reference.emplace(event.time_ns, next++);
    };
    for (int i = 0; i < 300; ++i) push();
    std::int64_t limit = 0;
    Event event{};
    for (int i = 0; i < 60'000; ++i) {
      limit = std::max(limit, now) + static_cast<std::int64_t>(distance(random));
      while (queue.PopBefore(limit, &event)) {
        ASSERT_FALSE(reference.empty());
        ASSERT_EQ(event.time_ns, reference.begin()->first);
        ASSERT_LT(event.time_ns, limit);
        ASSERT_GE(event.time_ns, now);
        ASSERT_EQ(event.what, event.index % 7);
        auto it = reference.begin();
        while (it != reference.end() && it->second != event.index) ++it;
        ASSERT_NE(it, reference.end());
        ASSERT_EQ(it->first, event.time_ns);
        reference.erase(it);
        now = event.time_ns;
        if (reference.size() < 300 || random() % 3 == 0) push();
        if (random() % 3 == 0 && reference.size() < 1000) push();
      }
      if (!reference.empty()) {
        ASSERT_GE(reference.begin()->first, limit);
      }
      now = limit;
      ASSERT_EQ(queue.size(), reference.size());
    }
    while (queue.PopBefore(INT64_MAX, &event)) {
      ASSERT_EQ(event.time_ns, reference.begin()->first);
      reference.erase(reference.begin());
    }
    EXPECT_TRUE(reference.empty());
  }
}

TEST(EventQueue, OfOneTimeTheFirstPushedComesFirst) {
  EventQueue queue;
  for (std::uint32_t i = 0; i < 20; ++i) queue.Push({5'000, i, 0});
  for (std::uint32_t i = 20; i < 40; ++i) queue.Push({900'000'000'000, i, 0});
  Event event{};
  EXPECT_FALSE(queue.PopBefore(5'000, &event));
  for (std::uint32_t i = 0; i < 40; ++i) {
    ASSERT_TRUE(queue.PopBefore(INT64_MAX, &event));
    EXPECT_EQ(event.index, i);
  }
  EXPECT_FALSE(queue.PopBefore(INT64_MAX, &event));
}

TEST(EventQueue, ACopyGoesOnAlone) {
  EventQueue queue;
  for (std::uint32_t i = 0; i < 1000; ++i) queue.Push({i * 37'123 % 50'000'000, i, 0});
  Event event{};
  for (int i = 0; i < 500; ++i) ASSERT_TRUE(queue.PopBefore(INT64_MAX, &event));
  EventQueue copy = queue;
  Event other{};
  for (int i = 0; i < 500; ++i) {
    ASSERT_TRUE(queue.PopBefore(INT64_MAX, &event));
    ASSERT_TRUE(copy.PopBefore(INT64_MAX, &other));
    EXPECT_EQ(event.index, other.index);
  }
  EXPECT_EQ(copy.size(), 0u);
}

}  // namespace
}  // namespace seer::cluster
