#include "seer/act/executor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <random>

#include "tests/act/support.h"

namespace seer {
namespace {

using ::testing::HasSubstr;
using testing::kSecondNs;
using testing::kStartNs;
using testing::PoolNode;
using testing::PoolTo;

TEST(Executor, AppliesReadsBackAndUndoesOnExpiry) {
  PoolNode node;
  ASSERT_TRUE(node.Start().ok());
  const Recommendation r = PoolTo(150);
  const ActionTaken taken = node.executor->Apply(r);
  EXPECT_EQ(taken.outcome, ActionOutcome::kApplied) << taken.detail;
  EXPECT_EQ(taken.recommendation_id, r.id);
  EXPECT_EQ(taken.value_before, 100);
  EXPECT_EQ(taken.value_after, 150);
  EXPECT_EQ(taken.time_ns, kStartNs);
  EXPECT_EQ(node.settings.values["cart"], "150");
  EXPECT_TRUE(node.executor->Tick().empty());

  node.clock.Advance(10 * kSecondNs);
  const std::vector<ActionTaken> ended = node.executor->Tick();
  ASSERT_EQ(ended.size(), 1u);
  EXPECT_EQ(ended[0].outcome, ActionOutcome::kExpired);
  EXPECT_EQ(ended[0].value_before, 150);
  EXPECT_EQ(ended[0].value_after, 100);
  EXPECT_EQ(node.settings.values["cart"], "100");
  EXPECT_EQ(node.executor->active(), 0u);
}

TEST(Executor, IsDryUnlessTold) {
  PoolNode node;
  node.dry_run = ExecutorOptions().dry_run;
  ASSERT_TRUE(node.Start().ok());
  const ActionTaken taken = node.executor->Apply(PoolTo(150));
  EXPECT_EQ(taken.outcome, ActionOutcome::kShadow);
  EXPECT_EQ(taken.value_before, 100);
  EXPECT_EQ(taken.value_after, 150);
  EXPECT_EQ(node.settings.writes, 0);
  EXPECT_FALSE(std::filesystem::exists(node.folder.At("journal")));
}

TEST(Executor, SameRecommendationAgainWritesNothingAndRenews) {
  PoolNode node;
  ASSERT_TRUE(node.Start().ok());
  Recommendation r = PoolTo(150);
  ASSERT_EQ(node.executor->Apply(r).outcome, ActionOutcome::kApplied);
  EXPECT_EQ(node.executor->Apply(r).outcome, ActionOutcome::kUnchanged);
  EXPECT_EQ(node.settings.writes, 1);
  r.expires_ns += 10 * kSecondNs;
  EXPECT_THAT(node.executor->Apply(r).detail, HasSubstr("renewed"));
  node.clock.Advance(15 * kSecondNs);
  EXPECT_TRUE(node.executor->Tick().empty());
  node.clock.Advance(5 * kSecondNs);
  EXPECT_EQ(node.executor->Tick().size(), 1u);
  // A late copy of the message does not begin it anew.
  r.issued_ns = node.clock.NowNs();
  r.expires_ns = r.issued_ns + kSecondNs;
  EXPECT_EQ(node.executor->Apply(r).outcome, ActionOutcome::kRefused);
  EXPECT_EQ(node.settings.values["cart"], "100");
}

TEST(Executor, WantedValueInPlaceIsUnchangedAndNotUndone) {
  PoolNode node;
  ASSERT_TRUE(node.Start().ok());
  EXPECT_EQ(node.executor->Apply(PoolTo(100)).outcome, ActionOutcome::kUnchanged);
  EXPECT_EQ(node.executor->active(), 0u);
  EXPECT_EQ(node.settings.writes, 0);
}

TEST(Executor, RefusesWhatItShouldNotDo) {
  struct Case {
    const char* part;  // of the detail
    std::function<void(Recommendation*)> spoil;
  };
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const Case cases[] = {
      {"report", [](Recommendation* r) { r->action = Action::kReport; }},
      {"no actuator here", [](Recommendation* r) { r->action = Action::kCpuLimit; }},
      {"finite", [&](Recommendation* r) { r->to = nan; }},
      {"outside the bounds", [](Recommendation* r) { r->to = 2000; }},
      {"outside the bounds", [](Recommendation* r) { r->lower = 160; }},
      {"undoing would set it", [](Recommendation* r) { r->lower = 120; }},
      {"somebody moved it", [](Recommendation* r) { r->precondition = 90; }},
      {"larger step",
       [](Recommendation* r) {
         r->upper = 10'000;
         r->to = 1601;
       }},
      {"larger step", [](Recommendation* r) { r->to = 74; }},
      {"not from now", [](Recommendation* r) { r->issued_ns -= 11 * kSecondNs; }},
      {"not from now", [](Recommendation* r) { r->issued_ns += 11 * kSecondNs; }},
      {"not from now",
       [](Recommendation* r) { r->issued_ns = std::numeric_limits<std::int64_t>::min(); }},
      {"time is over", [](Recommendation* r) { r->expires_ns = kStartNs; }},
      {"no such pool", [](Recommendation* r) { r->target.service = "nobody"; }},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.part);
    PoolNode node;
    ASSERT_TRUE(node.Start().ok());
    Recommendation r = PoolTo(150);
    c.spoil(&r);
    const ActionTaken taken = node.executor->Apply(r);
    EXPECT_EQ(taken.outcome, ActionOutcome::kRefused);
    EXPECT_THAT(taken.detail, HasSubstr(c.part));
    EXPECT_EQ(node.settings.writes, 0);
    EXPECT_EQ(node.executor->active(), 0u);
  }
}

TEST(Executor, LimitsNothingThatIsUnlimitedUnlessTold) {
  PoolNode node;
  node.settings.values["cart"] = "none";
  ASSERT_TRUE(node.Start().ok());
  EXPECT_EQ(node.executor->Apply(PoolTo(50)).outcome, ActionOutcome::kRefused);
  node.options.may_limit_unlimited = true;
  ASSERT_TRUE(node.Start().ok());
  EXPECT_EQ(node.executor->Apply(PoolTo(50)).outcome, ActionOutcome::kApplied);
  node.executor.reset();
  EXPECT_EQ(node.settings.values["cart"], "none");
}

TEST(Executor, TakesOverAndUndoesToWhatWasThereFirst) {
  PoolNode node;
  ASSERT_TRUE(node.Start().ok());
  const Recommendation first = PoolTo(150), second = PoolTo(300);
  ASSERT_EQ(node.executor->Apply(first).outcome, ActionOutcome::kApplied);
  const ActionTaken taken = node.executor->Apply(second);
  ASSERT_EQ(taken.outcome, ActionOutcome::kApplied) << taken.detail;
  EXPECT_EQ(taken.value_before, 150);
  EXPECT_EQ(node.executor->active(), 1u);
  EXPECT_EQ(node.executor->Undo(first.id).outcome, ActionOutcome::kRefused);
  EXPECT_EQ(node.settings.values["cart"], "300");
  const ActionTaken undone = node.executor->Undo(second.id);
  EXPECT_EQ(undone.outcome, ActionOutcome::kUndone);
  EXPECT_EQ(undone.value_after, 100);
  EXPECT_EQ(node.settings.values["cart"], "100");
}

TEST(Executor, RefusesWhatSharesSettingsWithAnotherTarget) {
  PoolNode node;
  node.settings.values["front"] = "100";
  ASSERT_TRUE(node.Start().ok());
  ASSERT_EQ(node.executor->Apply(PoolTo(150)).outcome, ActionOutcome::kApplied);
  const ActionTaken taken = node.executor->Apply(PoolTo(160, "cart+front"));
  EXPECT_EQ(taken.outcome, ActionOutcome::kRefused);
  EXPECT_EQ(node.settings.values["front"], "100");
}

TEST(Executor, AnotherControllerKeepsWhatItMoved) {
  PoolNode node;
  ASSERT_TRUE(node.Start().ok());
  const Recommendation r = PoolTo(150);
  ASSERT_EQ(node.executor->Apply(r).outcome, ActionOutcome::kApplied);
  node.settings.values["cart"] = "77";
  // Neither raised further nor put back.
  EXPECT_THAT(node.executor->Apply(PoolTo(120)).detail, HasSubstr("somebody moved"));
  EXPECT_EQ(node.settings.values["cart"], "77");
  const ActionTaken undone = node.executor->Undo(r.id);
  EXPECT_EQ(undone.outcome, ActionOutcome::kUndone);
  EXPECT_THAT(undone.detail, HasSubstr("moved by somebody else to '77'"));
  EXPECT_EQ(node.settings.values["cart"], "77");
}

TEST(Executor, WhatIsNotThereAnyMoreIsNotRenewed) {
  for (const char* now : {"400", "100", "gone"}) {
    SCOPED_TRACE(now);
    PoolNode node;
    ASSERT_TRUE(node.Start().ok());
    Recommendation r = PoolTo(150);
    ASSERT_EQ(node.executor->Apply(r).outcome, ActionOutcome::kApplied);
    if (now == std::string("gone")) {
      node.settings.values.erase("cart");
    } else {
      node.settings.values["cart"] = now;
    }
    r.expires_ns += 10 * kSecondNs;
    EXPECT_EQ(node.executor->Apply(r).outcome, ActionOutcome::kRefused);
    // Over at the time that it had, and nothing is touched then.
    node.clock.Advance(10 * kSecondNs);
    ASSERT_EQ(node.executor->Tick().size(), 1u);
    EXPECT_EQ(node.settings.writes, 1);
    EXPECT_EQ(node.executor->active(), 0u);
  }
}

TEST(Executor, WhatCannotBeReadJustNowIsRenewed) {
  PoolNode node;
  ASSERT_TRUE(node.Start().ok());
  Recommendation r = PoolTo(150);
  ASSERT_EQ(node.executor->Apply(r).outcome, ActionOutcome::kApplied);
  node.settings.on_read = [](const std::string&) { return absl::PermissionDeniedError("no"); };
  r.expires_ns += 10 * kSecondNs;
  EXPECT_THAT(node.executor->Apply(r).detail, HasSubstr("renewed"));
  node.settings.on_read = nullptr;
  node.clock.Advance(10 * kSecondNs);
  EXPECT_TRUE(node.executor->Tick().empty());
}

TEST(Executor, SomebodyElsesValueThatIsTheWantedOneIsUnchangedAndNobodysToEnd) {
  PoolNode node;
  ASSERT_TRUE(node.Start().ok());
  ASSERT_EQ(node.executor->Apply(PoolTo(150)).outcome, ActionOutcome::kApplied);
  node.settings.values["cart"] = "120";
  const ActionTaken taken = node.executor->Apply(PoolTo(120));
  EXPECT_EQ(taken.outcome, ActionOutcome::kUnchanged);
  EXPECT_EQ(taken.detail, "in place already");
  EXPECT_EQ(taken.value_after, 120);
}

TEST(Executor, ValueMovedBetweenPlanAndWriteIsLeftAlone) {
  PoolNode node;
  ASSERT_TRUE(node.Start().ok());
  int reads = 0;
  node.settings.on_read = [&](const std::string&) {
    if (++reads == 2) node.settings.values["cart"] = "77";
    return absl::OkStatus();
  };
  EXPECT_EQ(node.executor->Apply(PoolTo(150)).outcome, ActionOutcome::kRefused);
  EXPECT_EQ(node.settings.writes, 0);
  EXPECT_EQ(node.settings.values["cart"], "77");
}

TEST(Executor, LyingActuatorIsFoundOutAndPutBack) {
  for (const bool half : {false, true}) {
    SCOPED_TRACE(half);
    PoolNode node;
    ASSERT_TRUE(node.Start().ok());
    // Says OK and sets nothing, or something else.
    node.settings.on_write = [&](const std::string& knob, std::string* text) {
      if (*text == "150") *text = half ? "125" : node.settings.values[knob];
      return absl::OkStatus();
    };
    const ActionTaken taken = node.executor->Apply(PoolTo(150));
    EXPECT_EQ(taken.outcome, ActionOutcome::kFailed);
    EXPECT_THAT(taken.detail, HasSubstr("reads back as"));
    EXPECT_EQ(node.settings.values["cart"], "100");
    EXPECT_EQ(node.executor->active(), 0u);
  }
}

TEST(Executor, FailureOfOneSettingPutsBackTheOthers) {
  PoolNode node;
  node.settings.values["front"] = "100";
  ASSERT_TRUE(node.Start().ok());
  node.settings.on_write = [](const std::string& knob, std::string*) {
    return knob == "front" ? absl::PermissionDeniedError("lost it") : absl::OkStatus();
  };
  EXPECT_EQ(node.executor->Apply(PoolTo(150, "cart+front")).outcome, ActionOutcome::kRefused);
  EXPECT_EQ(node.settings.values["cart"], "100");
  EXPECT_EQ(node.executor->active(), 0u);
}

TEST(Executor, LostPermissionIsTriedAgainUntilItIsPutBack) {
  PoolNode node;
  ASSERT_TRUE(node.Start().ok());
  const Recommendation r = PoolTo(150);
  ASSERT_EQ(node.executor->Apply(r).outcome, ActionOutcome::kApplied);
  node.settings.on_write = [](const std::string&, std::string*) {
    return absl::PermissionDeniedError("lost it");
  };
  EXPECT_EQ(node.executor->Undo(r.id).outcome, ActionOutcome::kFailed);
  EXPECT_TRUE(node.executor->Tick().empty());
  EXPECT_EQ(node.executor->active(), 1u);
  // A next life finds it in the journal, and cannot either.
  node.clock.Advance(100 * kSecondNs);
  ASSERT_TRUE(node.Start().ok());
  ASSERT_EQ(node.executor->recovered().size(), 1u);
  EXPECT_EQ(node.executor->recovered()[0].outcome, ActionOutcome::kFailed);
  node.settings.on_write = nullptr;
  const std::vector<ActionTaken> ended = node.executor->Tick();
  ASSERT_EQ(ended.size(), 1u);
  EXPECT_EQ(ended[0].outcome, ActionOutcome::kUndone);
  EXPECT_EQ(node.settings.values["cart"], "100");
}

TEST(Executor, PermissionLostWhileOneTakesOverLeavesNothingBehind) {
  PoolNode node;
  ASSERT_TRUE(node.Start().ok());
  ASSERT_EQ(node.executor->Apply(PoolTo(150)).outcome, ActionOutcome::kApplied);
  // Sets something else than asked, once, and nothing after that.
  bool lost = false;
  node.settings.on_write = [&](const std::string&, std::string* text) -> absl::Status {
    if (lost) return absl::PermissionDeniedError("lost it");
    lost = true;
    *text = "260";
    return absl::OkStatus();
  };
  EXPECT_EQ(node.executor->Apply(PoolTo(300)).outcome, ActionOutcome::kFailed);
  node.settings.on_write = nullptr;
  EXPECT_EQ(node.executor->Tick().size(), 2u);
  EXPECT_EQ(node.settings.values["cart"], "100");
  EXPECT_EQ(node.executor->active(), 0u);
}

TEST(Executor, VanishedCgroupNeedsNoUndoing) {
  PoolNode node;
  ASSERT_TRUE(node.Start().ok());
  const Recommendation r = PoolTo(150);
  ASSERT_EQ(node.executor->Apply(r).outcome, ActionOutcome::kApplied);
  node.settings.values.erase("cart");
  const ActionTaken undone = node.executor->Undo(r.id);
  EXPECT_EQ(undone.outcome, ActionOutcome::kUndone);
  EXPECT_THAT(undone.detail, HasSubstr("is gone"));
  EXPECT_EQ(node.executor->active(), 0u);
}

TEST(Executor, ClockThatJumpsNeverProlongsAnAction) {
  for (const std::int64_t jump : {-1000 * kSecondNs, 1000 * kSecondNs}) {
    SCOPED_TRACE(jump);
    PoolNode node;
    ASSERT_TRUE(node.Start().ok());
    ASSERT_EQ(node.executor->Apply(PoolTo(150)).outcome, ActionOutcome::kApplied);
    node.clock.Advance(jump);
    node.steady.Advance(kSecondNs);
    EXPECT_EQ(node.executor->Tick().size(), jump > 0 ? 1u : 0u);
    node.steady.Advance(9 * kSecondNs);
    (void)node.executor->Tick();
    EXPECT_EQ(node.settings.values["cart"], "100");
  }
}

TEST(Executor, ActionWithoutExpiryEndsAfterTheLongestHold) {
  PoolNode node;
  node.options.max_hold_ns = 60 * kSecondNs;
  ASSERT_TRUE(node.Start().ok());
  Recommendation r = PoolTo(150);
  r.expires_ns = 0;
  ASSERT_EQ(node.executor->Apply(r).outcome, ActionOutcome::kApplied);
  node.steady.Advance(59 * kSecondNs);
  EXPECT_TRUE(node.executor->Tick().empty());
  node.steady.Advance(kSecondNs);
  EXPECT_EQ(node.executor->Tick().size(), 1u);
}

TEST(Executor, BoundsHowManyActionsThereAre) {
  PoolNode node;
  node.options.max_active = 1;
  node.options.max_per_minute = 3;
  ASSERT_TRUE(node.Start().ok());
  ASSERT_EQ(node.executor->Apply(PoolTo(150)).outcome, ActionOutcome::kApplied);
  EXPECT_THAT(node.executor->Apply(PoolTo(50, "front")).detail, HasSubstr("max_active"));
  ASSERT_EQ(node.executor->Apply(PoolTo(160)).outcome, ActionOutcome::kApplied);
  ASSERT_EQ(node.executor->Apply(PoolTo(170)).outcome, ActionOutcome::kApplied);
  EXPECT_THAT(node.executor->Apply(PoolTo(180)).detail, HasSubstr("max_per_minute"));
  node.steady.Advance(60 * kSecondNs);
  (void)node.executor->Tick();
  EXPECT_EQ(node.executor->Apply(PoolTo(180)).outcome, ActionOutcome::kApplied);
}

TEST(Executor, RefusesWhatAnotherExecutorHolds) {
  PoolNode node;
  node.settings.held_by_other = "cart";
  ASSERT_TRUE(node.Start().ok());
  EXPECT_EQ(node.executor->Apply(PoolTo(150)).outcome, ActionOutcome::kRefused);
  EXPECT_EQ(node.settings.writes, 0);
  PoolNode second;
  second.folder.Write("journal", "");
  ASSERT_TRUE(second.Start().ok());
  ExecutorOptions options = second.options;
  EXPECT_EQ(Executor::Create(options, {}).status().code(), absl::StatusCode::kUnavailable);
}

TEST(Executor, FullDiskChangesNothing) {
  PoolNode node;
  ASSERT_TRUE(node.Start().ok());
  // No way to fill a disk here: a folder that takes no file stands for a journal that cannot be.
  ExecutorOptions options = node.options;
  options.journal_path = node.folder.At("nowhere/journal");
  EXPECT_EQ(Executor::Create(options, {}).status().code(), absl::StatusCode::kNotFound);
}

TEST(Executor, OptionsAreChecked) {
  const auto message = [](const std::function<void(ExecutorOptions*)>& spoil) {
    ExecutorOptions options;
    spoil(&options);
    return std::string(Executor::Create(options, {}).status().message());
  };
  EXPECT_THAT(message([](ExecutorOptions* o) { o->dry_run = false; }), HasSubstr("journal_path"));
  EXPECT_THAT(message([](ExecutorOptions* o) { o->max_step_up = 0.5; }), HasSubstr("max_step_up"));
  EXPECT_THAT(message([](ExecutorOptions* o) { o->max_step_down = 0; }),
              HasSubstr("max_step_down"));
  EXPECT_THAT(message([](ExecutorOptions* o) { o->max_hold_ns = 0; }), HasSubstr("max_hold_ns"));
  EXPECT_THAT(message([](ExecutorOptions* o) { o->max_age_ns = 0; }), HasSubstr("max_age_ns"));
  EXPECT_THAT(message([](ExecutorOptions* o) { o->max_active = 0; }), HasSubstr("max_active"));
  EXPECT_THAT(message([](ExecutorOptions* o) { o->max_per_minute = 0; }),
              HasSubstr("max_per_minute"));
  EXPECT_THAT(message([](ExecutorOptions*) {}), "");
}

// Each wants its own, and half of the time upon what it saw a while ago.
TEST(Executor, TwoLoopsThatFightStayWithinTheBoundsAndLeaveNothingBehind) {
  PoolNode node;
  node.options.max_per_minute = 40;
  ASSERT_TRUE(node.Start().ok());
  double present = 100, seen[2] = {100, 100};
  int applied = 0, refused = 0;
  for (int round = 0; round < 400; ++round) {
    const int who = round % 2;
    if (round % 4 < 2) seen[who] = present;
    Recommendation r = PoolTo(who == 0 ? 300 - 7 * (round % 3) : 230 + 7 * (round % 5));
    r.lower = 50;
    r.upper = 400;
    r.precondition = seen[who];
    r.issued_ns = node.clock.NowNs();
    r.expires_ns = r.issued_ns + 5 * kSecondNs;
    const ActionOutcome outcome = node.executor->Apply(r).outcome;
    applied += outcome == ActionOutcome::kApplied ? 1 : 0;
    refused += outcome == ActionOutcome::kRefused ? 1 : 0;
    ASSERT_TRUE(absl::SimpleAtod(node.settings.values["cart"], &present));
    EXPECT_GE(present, 50);
    EXPECT_LE(present, 400);
    EXPECT_LE(node.executor->active(), 1u);
    node.clock.Advance(kSecondNs);
    node.steady.Advance(kSecondNs);
    (void)node.executor->Tick();
    ASSERT_TRUE(absl::SimpleAtod(node.settings.values["cart"], &present));
  }
  EXPECT_GT(applied, 20);
  EXPECT_GT(refused, 20);
  (void)node.executor->UndoAll();
  EXPECT_EQ(node.settings.values["cart"], "100");
  EXPECT_EQ(node.executor->active(), 0u);
}

// Whatever is asked, whatever fails: after the end everything is as it was.
TEST(Executor, ThousandRandomSequencesEndAsTheyBegan) {
  std::mt19937 random(1);
  const auto dice = [&](unsigned sides) { return static_cast<unsigned>(random() % sides); };
  int applied = 0;
  for (int sequence = 0; sequence < 1000; ++sequence) {
    PoolNode node;
    node.options.max_per_minute = 1000;
    node.settings.values = {{"a", "100"}, {"b", "40"}, {"c", "250"}, {"d", "7"}};
    const auto before = node.settings.values;
    ASSERT_TRUE(node.Start().ok());
    bool faulty = false, lies = false;
    node.settings.on_write = [&](const std::string&, std::string* text) -> absl::Status {
      if (faulty && dice(4) == 0) return absl::PermissionDeniedError("lost it");
      if (lies && dice(4) == 0) *text += "1";
      return absl::OkStatus();
    };
    std::vector<std::uint64_t> ids;
    for (int step = 0; step < 12; ++step) {
      faulty = dice(3) == 0;
      lies = dice(3) == 0;
      const std::string service(1, static_cast<char>('a' + dice(4)));
      double present = 0;
      (void)absl::SimpleAtod(node.settings.values[service], &present);
      switch (dice(6)) {
        case 0:
          if (!ids.empty()) (void)node.executor->Undo(ids[dice(static_cast<unsigned>(ids.size()))]);
          break;
        case 1:
          node.clock.Advance(static_cast<std::int64_t>(dice(6)) * kSecondNs);
          (void)node.executor->Tick();
          break;
        case 2:
          ASSERT_TRUE(node.Start().ok());  // a next life
          break;
        default: {
          Recommendation r = PoolTo(present * (0.7 + 0.1 * dice(14)), service);
          r.issued_ns = node.clock.NowNs();
          r.expires_ns = r.issued_ns + (1 + dice(20)) * kSecondNs;
          ids.push_back(r.id);
          if (node.executor->Apply(r).outcome == ActionOutcome::kApplied) ++applied;
        }
      }
    }
    faulty = lies = false;
    (void)node.executor->UndoAll();
    (void)node.executor->Tick();
    ASSERT_EQ(node.executor->active(), 0u) << sequence;
    ASSERT_EQ(node.settings.values, before) << sequence;
    node.executor.reset();
    ASSERT_EQ(node.folder.Read("journal"), "") << sequence;
  }
  EXPECT_GT(applied, 2000);
}

}  // namespace
}  // namespace seer
