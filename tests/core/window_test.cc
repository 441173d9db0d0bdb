#include "seer/core/window.h"

#include <gtest/gtest.h>

#include <set>

#include "seer/core/forecast.h"

namespace seer {
namespace {

TEST(Window, EveryCellIsItsOwnAndStartsMissing) {
  Window window;
  window.Reset(2, 3, 4);
  ASSERT_EQ(window.values.size(), 24u);
  std::set<std::size_t> indexes;
  for (std::size_t t = 0; t < 2; ++t) {
    for (std::size_t s = 0; s < 3; ++s) {
      for (std::size_t c = 0; c < 4; ++c) {
        indexes.insert(window.index(t, s, c));
        EXPECT_EQ(window.at(t, s, c), 0.0f);
        EXPECT_EQ(window.seen[window.index(t, s, c)], 0);
      }
    }
  }
  EXPECT_EQ(indexes.size(), 24u);
  EXPECT_EQ(*indexes.rbegin(), 23u);
  EXPECT_EQ(window.index(0, 0, 1), 1u) << "the input varies fastest";
  EXPECT_EQ(window.index(1, 0, 0), 12u) << "time slowest";
}

TEST(Window, ResetForgetsWhatWasThere) {
  Window window;
  window.Reset(1, 1, 1);
  window.values[0] = 7;
  window.seen[0] = 1;
  window.Reset(1, 2, 1);
  EXPECT_EQ(window.at(0, 0, 0), 0.0f);
  EXPECT_EQ(window.seen[0], 0);
}

TEST(Forecast, AnAlarmOfOneClassIsAnAlarm) {
  Forecast forecast;
  EXPECT_FALSE(forecast.alarm());
  forecast.classes.resize(3);
  EXPECT_FALSE(forecast.alarm());
  forecast.classes[2].alarm = true;
  EXPECT_TRUE(forecast.alarm());
  EXPECT_TRUE(Initiator().is_load());
}

}  // namespace
}  // namespace seer
