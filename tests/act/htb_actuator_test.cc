#include "seer/act/htb_actuator.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>

#include <cstdlib>
#include <thread>

#include "tests/act/support.h"

namespace seer {
namespace {

using ::testing::HasSubstr;

Recommendation RateTo(double to, const std::string& service = "cart") {
  Recommendation r = testing::PoolTo(to, service);
  r.action = Action::kNetworkShare;
  r.upper = 1e12;
  return r;
}

TEST(HtbActuator, OptionsAreChecked) {
  for (const HtbClass& bad : {HtbClass{"", 1, 1}, HtbClass{"a-name-that-is-too-long", 1, 1},
                              HtbClass{"lo", 0, 1}, HtbClass{"lo", 1, 0}, HtbClass{"l|o", 1, 1}}) {
    HtbOptions options;
    options.classes = {{"cart", bad}};
    EXPECT_THAT(std::string(MakeHtbActuator(options).status().message()), HasSubstr("classes"));
  }
}

TEST(HtbActuator, RefusesWhatIsNotThereOrNotGranted) {
  HtbOptions options;
  options.classes = {{"cart", {"lo", 0x77, 0x10}}, {"front", {"seer-nowhere", 1, 0x10}}};
  options.link_bytes_per_second = 1e9;
  const auto actuator = MakeHtbActuator(options).value();
  EXPECT_TRUE(absl::IsNotFound(actuator->Plan(RateTo(1e6)).status()));
  EXPECT_TRUE(absl::IsNotFound(actuator->Plan(RateTo(1e6, "front")).status()));
  EXPECT_TRUE(absl::IsPermissionDenied(actuator->Plan(RateTo(1e6, "other")).status()));
  EXPECT_TRUE(absl::IsOutOfRange(actuator->Plan(RateTo(2e9)).status()));
  EXPECT_TRUE(absl::IsOutOfRange(actuator->Plan(RateTo(0)).status()));
  EXPECT_TRUE(absl::IsPermissionDenied(actuator->Read("lo|1:10").status()));
  EXPECT_FALSE(actuator->Write("lo|77:10", "rate=1").ok());
}

// With a link, a queueing discipline and classes of its own: needs root, tc and ip.
TEST(HtbActuator, SetsAndRestoresAClassOfARealLink) {
  bool ready = false;
  std::thread([&] {
    if (::unshare(CLONE_NEWNET) != 0) return;
    const auto run = [](const char* command) { return std::system(command) == 0; };
    ready =
        run("ip link add seer0 type veth peer name seer1 2>/dev/null && ip link set seer0 up && "
            "tc qdisc add dev seer0 root handle 1: htb default 10 2>/dev/null && "
            "tc class add dev seer0 parent 1: classid 1:1 htb rate 1gbit 2>/dev/null && "
            "tc class add dev seer0 parent 1:1 classid 1:a htb rate 8mbit ceil 16mbit "
            "prio 3 2>/dev/null && "
            "tc class add dev seer0 parent 1:1 classid 1:b htb rate 8mbit 2>/dev/null");
    if (!ready) return;
    HtbOptions options;
    options.classes = {{"cart", {"seer0", 1, 0xa}}};
    const auto actuator = MakeHtbActuator(options).value();
    const auto before = actuator->Read("seer0|1:a");
    ASSERT_TRUE(before.ok()) << before.status();
    EXPECT_THAT(*before, HasSubstr("rate=1000000 ceil=2000000 "));
    EXPECT_THAT(*before, HasSubstr(" prio=3"));

    testing::TestFolder folder;
    ExecutorOptions executor_options;
    executor_options.dry_run = false;
    executor_options.journal_path = folder.At("journal");
    executor_options.max_step_up = 10'000;
    ManualClock clock(testing::kStartNs);
    executor_options.clock = executor_options.steady = &clock;
    // Below the ceiling, above it, and more than fits into 32 bits.
    for (const double to : {1.5e6, 3e6, 6e9}) {
      SCOPED_TRACE(to);
      std::vector<std::unique_ptr<Actuator>> actuators;
      actuators.push_back(MakeHtbActuator(options).value());
      const auto executor = Executor::Create(executor_options, std::move(actuators)).value();
      const ActionTaken taken = executor->Apply(RateTo(to));
      ASSERT_EQ(taken.outcome, ActionOutcome::kApplied) << taken.detail;
      EXPECT_EQ(taken.value_before, 1e6);
      EXPECT_EQ(taken.value_after, to);
      const std::string now = actuator->Read("seer0|1:a").value();
      EXPECT_THAT(now, HasSubstr(absl::StrCat("rate=", static_cast<std::int64_t>(to), " ceil=",
                                              static_cast<std::int64_t>(std::max(to, 2e6)))));
      EXPECT_EQ(executor->UndoAll()[0].outcome, ActionOutcome::kUndone);
      EXPECT_EQ(actuator->Read("seer0|1:a").value(), *before);
    }
  }).join();
  if (!ready) GTEST_SKIP() << "no network namespace with an HTB link (needs root, ip and tc)";
}

}  // namespace
}  // namespace seer
