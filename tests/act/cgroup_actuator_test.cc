#include "seer/act/cgroup_actuator.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <random>

#include "tests/act/support.h"

namespace seer {
namespace {

using ::testing::HasSubstr;
using testing::kSecondNs;
using testing::kStartNs;
using testing::TestFolder;

Recommendation To(Action action, double to, const std::string& cgroup = "shop/cart") {
  Recommendation r;
  r.action = action;
  r.to = to;
  r.upper = 1e15;
  r.target.cgroup = cgroup;
  return r;
}

CgroupOptions Granted(const TestFolder& folder) {
  CgroupOptions options;
  options.root = folder.path();
  options.granted = {"shop"};
  options.cores = 8;
  options.memory_bytes = 64.0 * (1 << 30);
  return options;
}

void MakeVersion1(const TestFolder& folder) {
  folder.Write("cpu/shop/cart/cpu.cfs_quota_us", "50000\n");
  folder.Write("cpu/shop/cart/cpu.cfs_period_us", "100000\n");
  folder.Write("cpu/shop/cart/cpu.shares", "1024\n");
  folder.Write("cpuset/shop/cpuset.cpus", "0-3,6\n");
  folder.Write("cpuset/shop/cart/cpuset.cpus", "2\n");
  folder.Write("memory/shop/cart/memory.limit_in_bytes", "1073741824\n");
  folder.Write("blkio/shop/cart/blkio.throttle.read_bps_device", "8:0 1048576\n");
  folder.Write("blkio/shop/cart/blkio.throttle.write_bps_device", "");
}

void MakeVersion2(const TestFolder& folder) {
  folder.Write("cgroup.controllers", "cpu io memory\n");
  folder.Write("shop/cart/cpu.max", "50000 100000\n");
  folder.Write("shop/cart/cpu.weight", "100\n");
  folder.Write("shop/cart/memory.max", "1073741824\n");
  folder.Write("shop/cart/memory.stat", "file 5\nanon 104857600\n");
  folder.Write("shop/cart/io.max", "8:0 rbps=1048576 wbps=max riops=max wiops=max\n");
}

struct Case {
  Action action;
  double to;
  double from;
  std::string file;
  std::string after;
};

void CheckRoundTrips(const TestFolder& folder, const std::vector<Case>& cases) {
  CgroupOptions options = Granted(folder);
  options.io_device = "8:0";
  const auto actuator = MakeCgroupActuator(options).value();
  for (const Case& c : cases) {
    SCOPED_TRACE(c.file);
    const std::string before = folder.Read(c.file);
    const absl::StatusOr<ActionPlan> plan = actuator->Plan(To(c.action, c.to));
    ASSERT_TRUE(plan.ok()) << plan.status();
    EXPECT_FALSE(plan->unlimited);
    EXPECT_NEAR(plan->from, c.from, 1e-3 * c.from);
    EXPECT_NEAR(plan->to, c.to, 0.02 * c.to);
    ASSERT_EQ(plan->changes.size(), 1u);
    const KnobChange& change = plan->changes[0];
    ASSERT_TRUE(actuator->Hold(change.knob).ok());
    EXPECT_EQ(actuator->Read(change.knob).value(), change.before);
    ASSERT_TRUE(actuator->Write(change.knob, change.after).ok());
    EXPECT_EQ(actuator->Read(change.knob).value(), change.after);
    EXPECT_EQ(folder.Read(c.file), c.after);
    EXPECT_TRUE(actuator->Plan(To(c.action, c.to))->changes.empty());
    ASSERT_TRUE(actuator->Write(change.knob, change.before).ok());
    EXPECT_EQ(folder.Read(c.file), before);
    actuator->Release(change.knob);
  }
}

TEST(CgroupActuator, SetsAndRestoresVersion1) {
  TestFolder folder;
  MakeVersion1(folder);
  CheckRoundTrips(folder,
                  {
                      {Action::kCpuLimit, 0.75, 0.5, "cpu/shop/cart/cpu.cfs_quota_us", "75000\n"},
                      {Action::kMemoryLimit, 2147483648.0, 1073741824.0,
                       "memory/shop/cart/memory.limit_in_bytes", "2147483648\n"},
                      {Action::kMemoryLimit, 2147483648.0 + 5000, 1073741824.0,  // whole pages
                       "memory/shop/cart/memory.limit_in_bytes", "2147487744\n"},
                      {Action::kIoShare, 2097152, 1048576,
                       "blkio/shop/cart/blkio.throttle.read_bps_device", "8:0 2097152\n"},
                  });
  folder.Write("cpu/shop/cart/cpu.cfs_quota_us", "-1\n");
  CheckRoundTrips(folder, {{Action::kCpuLimit, 2, 1, "cpu/shop/cart/cpu.shares", "2048\n"}});
}

TEST(CgroupActuator, SetsAndRestoresVersion2) {
  TestFolder folder;
  MakeVersion2(folder);
  CheckRoundTrips(folder, {
                              {Action::kCpuLimit, 0.75, 0.5, "shop/cart/cpu.max", "75000 100000\n"},
                              {Action::kMemoryLimit, 2147483648.0, 1073741824.0,
                               "shop/cart/memory.max", "2147483648\n"},
                              {Action::kIoShare, 2097152, 1048576, "shop/cart/io.max",
                               "8:0 rbps=2097152 wbps=max riops=max wiops=max\n"},
                          });
  folder.Write("shop/cart/cpu.max", "max 100000\n");
  // Weight 100 is 2598 shares by Kubernetes' formula.
  CheckRoundTrips(folder, {{Action::kCpuLimit, 5, 2597.5 / 1024, "shop/cart/cpu.weight", "196\n"}});
}

TEST(CgroupActuator, HybridFindsEachControllerWhereItIs) {
  TestFolder folder;
  folder.Write("cpu/shop/cart/cpu.cfs_quota_us", "50000\n");
  folder.Write("cpu/shop/cart/cpu.cfs_period_us", "100000\n");
  folder.Write("unified/shop/cart/memory.max", "1073741824\n");
  const auto actuator = MakeCgroupActuator(Granted(folder)).value();
  EXPECT_THAT(actuator->Plan(To(Action::kCpuLimit, 1))->changes[0].knob, HasSubstr("cfs_quota"));
  EXPECT_THAT(actuator->Plan(To(Action::kMemoryLimit, 2e9))->changes[0].knob,
              HasSubstr("memory.max"));
}

TEST(CgroupActuator, WidensACpuset) {
  TestFolder folder;
  MakeVersion1(folder);
  folder.Write("cpu/shop/cart/cpu.cfs_quota_us", "100000\n");
  CgroupOptions options = Granted(folder);
  options.widen_cpuset = true;
  const auto actuator = MakeCgroupActuator(options).value();
  const ActionPlan plan = actuator->Plan(To(Action::kCpuLimit, 2.5)).value();
  ASSERT_EQ(plan.changes.size(), 2u);
  EXPECT_EQ(plan.changes[1].before, "2");
  EXPECT_EQ(plan.changes[1].after, "0-2");
  EXPECT_EQ(actuator->Plan(To(Action::kCpuLimit, 5))->changes[1].after, "0-3,6");
  // Never narrower.
  EXPECT_EQ(actuator->Plan(To(Action::kCpuLimit, 0.8))->changes.size(), 1u);
}

TEST(CgroupActuator, UnlimitedIsNoLimitOfZero) {
  TestFolder folder;
  MakeVersion1(folder);
  folder.Write("memory/shop/cart/memory.limit_in_bytes", "9223372036854771712\n");
  folder.Write("blkio/shop/cart/blkio.throttle.read_bps_device", "");
  CgroupOptions options = Granted(folder);
  options.io_device = "8:0";
  const auto actuator = MakeCgroupActuator(options).value();
  EXPECT_TRUE(actuator->Plan(To(Action::kMemoryLimit, 1e9))->unlimited);
  const ActionPlan io = actuator->Plan(To(Action::kIoShare, 1e6)).value();
  EXPECT_TRUE(io.unlimited);
  EXPECT_EQ(io.changes.size(), 2u);
}

TEST(CgroupActuator, RefusesMoreThanTheMachineHas) {
  TestFolder folder;
  MakeVersion1(folder);
  const auto actuator = MakeCgroupActuator(Granted(folder)).value();
  EXPECT_TRUE(absl::IsOutOfRange(actuator->Plan(To(Action::kCpuLimit, 8.5)).status()));
  EXPECT_TRUE(absl::IsOutOfRange(actuator->Plan(To(Action::kMemoryLimit, 1e12)).status()));
  EXPECT_FALSE(actuator->Plan(To(Action::kCpuLimit, 0)).ok());
  EXPECT_FALSE(actuator->Plan(To(Action::kMemoryLimit, 10)).ok());
}

TEST(CgroupActuator, Version2IsNotShrunkBelowWhatCannotBeReclaimed) {
  TestFolder folder;
  MakeVersion2(folder);
  folder.Write("shop/cart/memory.stat", "file 5\nanon 1000000000\n");
  const auto actuator = MakeCgroupActuator(Granted(folder)).value();
  EXPECT_TRUE(absl::IsFailedPrecondition(actuator->Plan(To(Action::kMemoryLimit, 9e8)).status()));
  // Nor when an action is undone.
  EXPECT_TRUE(absl::IsFailedPrecondition(actuator->Write("|memory.max|shop/cart", "900000000")));
  EXPECT_EQ(folder.Read("shop/cart/memory.max"), "1073741824\n");
  EXPECT_TRUE(actuator->Write("|memory.max|shop/cart", "max").ok());
}

TEST(CgroupActuator, GoesNowhereThatWasNotGranted) {
  TestFolder folder;
  MakeVersion1(folder);
  folder.Write("cpu/other/cpu.cfs_quota_us", "50000\n");
  folder.Write("cpu/other/cpu.cfs_period_us", "100000\n");
  folder.Write("cpu/shopping/cpu.cfs_quota_us", "50000\n");
  std::filesystem::create_directory_symlink(folder.At("cpu/other"), folder.At("cpu/shop/link"));
  std::filesystem::create_directory(folder.At("cpu/shop/file"));
  std::filesystem::create_symlink(folder.At("cpu/other/cpu.cfs_quota_us"),
                                  folder.At("cpu/shop/file/cpu.cfs_quota_us"));
  const auto actuator = MakeCgroupActuator(Granted(folder)).value();
  for (const char* cgroup :
       {"other", "shopping", "", "/", "shop/..", "shop/../other", "../cpu/shop/cart", "shop//cart",
        "shop/./cart", "shop/link", "shop/file", "shop/nobody", "shop/cart\n", "shop/cart/"}) {
    SCOPED_TRACE(cgroup);
    EXPECT_FALSE(actuator->Plan(To(Action::kCpuLimit, 1, cgroup)).ok());
    const std::string knob = std::string("cpu|cpu.cfs_quota_us|") + cgroup;
    EXPECT_FALSE(actuator->Read(knob).ok());
    EXPECT_FALSE(actuator->Write(knob, "1000").ok());
    // The folder of a linked file is granted; it may be held.
    EXPECT_EQ(actuator->Hold(knob).ok(), std::string_view(cgroup) == "shop/file");
  }
  EXPECT_EQ(folder.Read("cpu/other/cpu.cfs_quota_us"), "50000\n");
  // Files that no plan names, whoever wrote the journal.
  for (const char* knob : {"cpu|cgroup.procs|shop/cart", "cpu|../cpu.shares|shop/cart", "cpu", "",
                           "cpu|cpu.shares 8:0|shop/cart", "nowhere|cpu.shares|shop/cart"}) {
    SCOPED_TRACE(knob);
    EXPECT_FALSE(actuator->Write(knob, "1").ok());
  }
  CgroupOptions none = Granted(folder);
  none.granted.clear();
  EXPECT_TRUE(absl::IsPermissionDenied(
      MakeCgroupActuator(none).value()->Plan(To(Action::kCpuLimit, 1)).status()));
}

TEST(CgroupActuator, TwoNeverHoldOneCgroup) {
  TestFolder folder;
  MakeVersion1(folder);
  const auto one = MakeCgroupActuator(Granted(folder)).value();
  const auto other = MakeCgroupActuator(Granted(folder)).value();
  const std::string quota = "cpu|cpu.cfs_quota_us|shop/cart", shares = "cpu|cpu.shares|shop/cart";
  ASSERT_TRUE(one->Hold(quota).ok());
  ASSERT_TRUE(one->Hold(shares).ok());
  EXPECT_TRUE(absl::IsUnavailable(other->Hold(quota)));
  one->Release(quota);
  EXPECT_TRUE(absl::IsUnavailable(other->Hold(shares)));
  one->Release(shares);
  EXPECT_TRUE(other->Hold(shares).ok());
  one->Release(shares);  // it holds nothing
  EXPECT_FALSE(one->Hold(shares).ok());
}

TEST(CgroupActuator, GarbageInTheFilesIsAnError) {
  std::mt19937 random(3);
  for (const char* text : {"", "abc", "-5", "1e9", "99999999999999999999", "max", "1 2 3", "0"}) {
    SCOPED_TRACE(text);
    TestFolder folder;
    MakeVersion1(folder);
    folder.Write("cpu/shop/cart/cpu.cfs_period_us", text);
    const auto actuator = MakeCgroupActuator(Granted(folder)).value();
    EXPECT_FALSE(actuator->Plan(To(Action::kCpuLimit, 1)).ok());
  }
  TestFolder folder;
  MakeVersion2(folder);
  const auto actuator = MakeCgroupActuator(Granted(folder)).value();
  folder.Write("shop/cart/cpu.max", std::string(100'000, '1'));
  EXPECT_FALSE(actuator->Plan(To(Action::kCpuLimit, 1)).ok());
  folder.Write("shop/cart/memory.max", "lots\n");
  EXPECT_FALSE(actuator->Plan(To(Action::kMemoryLimit, 1e9)).ok());
}

TEST(CgroupActuator, OptionsAreChecked) {
  TestFolder folder;
  EXPECT_TRUE(absl::IsNotFound(MakeCgroupActuator(Granted(folder)).status()));
  MakeVersion1(folder);
  for (const char* granted : {"", "/", "..", "a//b", "a/../b"}) {
    CgroupOptions options = Granted(folder);
    options.granted = {granted};
    EXPECT_THAT(std::string(MakeCgroupActuator(options).status().message()), HasSubstr("granted"));
  }
  for (const char* device : {"sda", "8", "8:", "8:x"}) {
    CgroupOptions options = Granted(folder);
    options.io_device = device;
    EXPECT_THAT(std::string(MakeCgroupActuator(options).status().message()),
                HasSubstr("io_device"));
  }
}

// ---- Live, where this process may make cgroups of version 1.

class LiveCgroup : public ::testing::Test {
 protected:
  void SetUp() override {
    name_ = absl::StrCat("seer-act-test-", ::getpid());
    for (const char* controller : {"cpu", "memory"}) {
      const std::string path = Path(controller);
      if (::mkdir(path.c_str(), 0755) != 0) {
        GTEST_SKIP() << "no cgroup can be made at " << path << " (version 1, as root)";
      }
      made_.push_back(path);
    }
    options_.granted = {name_};
    SetText("cpu", "cpu.cfs_quota_us", "50000");
    SetText("memory", "memory.limit_in_bytes", "268435456");
  }
  void TearDown() override {
    for (const std::string& path : made_) ::rmdir(path.c_str());
  }
  std::string Path(const std::string& controller) const {
    return "/sys/fs/cgroup/" + controller + "/" + name_;
  }
  std::string Text(const std::string& controller, const std::string& file) const {
    std::ifstream in(Path(controller) + "/" + file);
    std::string text;
    std::getline(in, text);
    return text;
  }
  void SetText(const std::string& controller, const std::string& file, const char* text) const {
    std::ofstream(Path(controller) + "/" + file) << text << std::endl;
    ASSERT_EQ(Text(controller, file), text);
  }

  std::string name_;
  std::vector<std::string> made_;
  CgroupOptions options_;
};

TEST_F(LiveCgroup, RandomActionsEndByteIdentical) {
  TestFolder folder;
  SystemClock clock;
  ExecutorOptions options;
  options.dry_run = false;
  options.journal_path = folder.At("journal");
  options.max_per_minute = 100'000;
  options.max_step_down = 0.5;
  std::mt19937 random(5);
  const auto state = [&] {
    return Text("cpu", "cpu.cfs_quota_us") + "|" + Text("cpu", "cpu.shares") + "|" +
           Text("memory", "memory.limit_in_bytes");
  };
  std::uint64_t id = 0;
  int applied = 0;
  for (int sequence = 0; sequence < 100; ++sequence) {
    SetText("cpu", "cpu.cfs_quota_us", sequence % 3 == 0 ? "-1" : "50000");
    const std::string before = state();
    std::vector<std::unique_ptr<Actuator>> actuators;
    actuators.push_back(MakeCgroupActuator(options_).value());
    const auto executor = Executor::Create(options, std::move(actuators)).value();
    for (int step = 0; step < 6; ++step) {
      Recommendation r;
      r.id = ++id;
      r.issued_ns = clock.NowNs();
      r.target.cgroup = name_;
      r.lower = 0;
      r.upper = 1e12;
      r.action = random() % 2 == 0 ? Action::kCpuLimit : Action::kMemoryLimit;
      r.to = r.action == Action::kCpuLimit ? 0.3 + 0.01 * static_cast<double>(random() % 90)
                                           : 2e8 + 1e6 * static_cast<double>(random() % 300);
      const ActionTaken taken = executor->Apply(r);
      applied += taken.outcome == ActionOutcome::kApplied ? 1 : 0;
      ASSERT_NE(taken.outcome, ActionOutcome::kFailed) << taken.detail;
      if (random() % 4 == 0) (void)executor->Undo(1 + random() % id);
    }
    for (const ActionTaken& taken : executor->UndoAll()) {
      ASSERT_EQ(taken.outcome, ActionOutcome::kUndone) << taken.detail;
    }
    ASSERT_EQ(state(), before) << sequence;
  }
  EXPECT_GT(applied, 200);
}

TEST_F(LiveCgroup, CgroupThatDisappearsIsNoTrouble) {
  TestFolder folder;
  ExecutorOptions options;
  options.dry_run = false;
  options.journal_path = folder.At("journal");
  std::vector<std::unique_ptr<Actuator>> actuators;
  actuators.push_back(MakeCgroupActuator(options_).value());
  const auto executor = Executor::Create(options, std::move(actuators)).value();
  Recommendation r = To(Action::kCpuLimit, 0.75, name_);
  r.id = 1;
  r.issued_ns = SystemClock().NowNs();
  ASSERT_EQ(executor->Apply(r).outcome, ActionOutcome::kApplied);
  EXPECT_EQ(Text("cpu", "cpu.cfs_quota_us"), "75000");
  ASSERT_EQ(::rmdir(Path("cpu").c_str()), 0);
  const ActionTaken undone = executor->Undo(1);
  EXPECT_EQ(undone.outcome, ActionOutcome::kUndone);
  EXPECT_THAT(undone.detail, HasSubstr("is gone"));
  EXPECT_EQ(folder.Read("journal"), "");
}

}  // namespace
}  // namespace seer
