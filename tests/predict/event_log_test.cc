#include "predict/event_log.h"

#include <gtest/gtest.h>

#include <cstddef>
#include <limits>
#include <string>

#include "seer/core/internal/state_io.h"
#include "tests/predict/faulty_cluster.h"

namespace seer {
namespace {

using internal::EventLog;
using internal::StateIo;
using testing::FaultyRun;

constexpr bool kFind = true;

// The same ticks in another epoch, of which the clock was put back.
ClusterTick Shifted(ClusterTick tick, Tick by) {
  tick.tick -= by;
  return tick;
}

std::size_t Named(const EventLog& log) {
  std::size_t count = 0;
  for (const Violation& each : log.violations()) {
    count += each.initiation != Initiation::kUnknown ? 1 : 0;
  }
  return count;
}

TEST(EventLog, WhoInitiatesIsFoundInAnotherEpochToo) {
  const FaultyRun run(5, 1200, 8, 500'000);
  const Topology& topology = run.cluster.topology;
  EventLog log(&topology, kFind, 0.3);
  for (const ClusterTick& tick : run.all) log.Observe(tick);
  ASSERT_GT(Named(log), 1u);
  log.Clear();
  EXPECT_TRUE(log.violations().empty());
  for (const ClusterTick& tick : run.all) log.Observe(Shifted(tick, 400'000));
  EXPECT_GT(Named(log), 1u) << "whoever finds them still waits for the time before";
}

TEST(EventLog, WhatLastsWhenItIsKeptEndsInTheNextLife) {
  const FaultyRun run(5, 1200, 8);
  const Topology& topology = run.cluster.topology;
  EventLog log(&topology, kFind, 0.3);
  std::size_t i = 0;
  const auto lasts = [&] { return !log.violations().empty() && log.violations().back().open; };
  // Into the second violation, so that the first is one that is over.
  for (; i < run.all.size() && (log.violations().size() < 2 || !lasts()); ++i) {
    log.Observe(run.all[i]);
  }
  ASSERT_TRUE(lasts());
  std::string bytes;
  StateIo save(&bytes);
  log.State(save);

  for (const bool goes_on : {false, true}) {
    SCOPED_TRACE(goes_on);
    EventLog next(&topology, kFind, 0.3);
    StateIo load{std::string_view(bytes)};
    next.State(load);
    ASSERT_TRUE(load.status().ok()) << load.status();
    EXPECT_EQ(next.violations(), log.violations());
    const std::int64_t start_ns = next.violations().back().start_ns;
    for (std::size_t t = i; t < i + 150 && t < run.all.size(); ++t) {
      ClusterTick tick = run.all[t];
      if (!goes_on) tick.classes[0] = ClassTick(), tick.classes[0].seen = true;
      next.Observe(tick);
    }
    std::size_t open = 0;
    for (const Violation& each : next.violations()) {
      open += each.open ? 1 : 0;
      if (each.start_ns != start_ns) continue;
      EXPECT_FALSE(each.open) << "for good";
      EXPECT_GE(each.end_ns, start_ns);
    }
    EXPECT_EQ(open, 0u);
    EXPECT_EQ(next.violations().size(), log.violations().size() + (goes_on ? 1 : 0));
  }
}

TEST(EventLog, TimesThatNoClockTellsAreNotTaken) {
  const FaultyRun run(5, 10);
  EventLog log(&run.cluster.topology, false, 0.3);
  Violation violation;
  for (const std::int64_t time :
       {std::numeric_limits<std::int64_t>::min(), std::numeric_limits<std::int64_t>::max()}) {
    violation.start_ns = time;
    violation.end_ns = 5;
    log.NoteViolation(violation);
    violation.start_ns = 5;
    violation.end_ns = time;
    log.NoteViolation(violation);
    ActionTaken taken;
    taken.action = Action::kCpuLimit;
    taken.outcome = ActionOutcome::kApplied;
    taken.time_ns = time;
    log.NoteAction(taken);
  }
  EXPECT_TRUE(log.violations().empty());
  EXPECT_EQ(log.ActionNear(std::numeric_limits<std::int64_t>::min(),
                           std::numeric_limits<std::int64_t>::max()),
            nullptr);
  log.JudgeAlarms(1'000'000'000);
  log.ForgetBefore(1'000'000'000);
}

}  // namespace
}  // namespace seer
