// An executor that is killed between any two of its steps: whoever starts next finds everything in
// the journal and puts it back.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <fstream>

#include "seer/act/cgroup_actuator.h"
#include "tests/act/support.h"

namespace seer {
namespace {

using testing::kSecondNs;
using testing::kStartNs;
using testing::TestFolder;

// Dies before or after one of the calls that it hands on.
class KilledActuator final : public Actuator {
 public:
  KilledActuator(std::unique_ptr<Actuator> actuator, int calls)
      : actuator_(std::move(actuator)), left_(calls) {}
  std::string_view name() const override { return actuator_->name(); }
  bool Can(Action action) const override { return actuator_->Can(action); }
  absl::StatusOr<ActionPlan> Plan(const Recommendation& r) override { return actuator_->Plan(r); }
  absl::StatusOr<std::string> Read(const std::string& knob) override {
    Step();
    return actuator_->Read(knob);
  }
  absl::Status Write(const std::string& knob, const std::string& text) override {
    Step();
    absl::Status status = actuator_->Write(knob, text);
    Step();
    return status;
  }
  absl::Status Hold(const std::string& knob) override {
    Step();
    return actuator_->Hold(knob);
  }
  void Release(const std::string& knob) override {
    Step();
    actuator_->Release(knob);
  }

 private:
  void Step() {
    if (--left_ < 0) ::raise(SIGKILL);
  }
  std::unique_ptr<Actuator> actuator_;
  int left_;
};

constexpr char kQuota[] = "cg/cpu/shop/cart/cpu.cfs_quota_us";
constexpr char kMemory[] = "cg/memory/shop/cart/memory.limit_in_bytes";

struct Host {
  Host() {
    folder.Write(kQuota, "50000\n");
    folder.Write("cg/cpu/shop/cart/cpu.cfs_period_us", "100000\n");
    folder.Write("cg/cpu/shop/cart/cpu.shares", "1024\n");
    folder.Write(kMemory, "1073741824\n");
    cgroups.root = folder.At("cg");
    cgroups.granted = {"shop"};
    cgroups.cores = 8;
    cgroups.memory_bytes = 64e9;
    options.dry_run = false;
    options.journal_path = folder.At("journal");
    options.clock = &clock;
    options.steady = &clock;
    options.max_per_minute = 1'000'000;
  }
  absl::StatusOr<std::unique_ptr<Executor>> Start(int calls) {
    std::vector<std::unique_ptr<Actuator>> actuators;
    actuators.push_back(
        std::make_unique<KilledActuator>(MakeCgroupActuator(cgroups).value(), calls));
    return Executor::Create(options, std::move(actuators));
  }
  // A life: two limits, one of them raised twice, and the end.
  void Live(int calls) {
    auto executor = Start(calls);
    if (!executor.ok()) ::_exit(2);
    double to = 0.75;
    for (const Action action : {Action::kCpuLimit, Action::kMemoryLimit, Action::kCpuLimit}) {
      Recommendation r;
      r.id = ++last_id;
      r.issued_ns = kStartNs;
      r.target.cgroup = "shop/cart";
      r.action = action;
      r.to = action == Action::kCpuLimit ? to : 2147483648.0;
      r.upper = 1e12;
      r.expires_ns = kStartNs + kSecondNs;
      to += 0.25;
      if ((*executor)->Apply(r).outcome != ActionOutcome::kApplied) ::_exit(3);
    }
  }

  TestFolder folder;
  CgroupOptions cgroups;
  ExecutorOptions options;
  ManualClock clock{kStartNs};
  std::uint64_t last_id = 0;
};

TEST(ExecutorCrash, HundredKillsLeaveNothingBehind) {
  Host host;
  constexpr int kNoKill = 1'000'000;
  int killed = 0, ended = 0, recovered = 0;
  for (int i = 0; i < 100; ++i) {
    const int calls = i % 40;  // a life has fewer than 40 steps: the last ones end in peace
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      host.Live(calls);
      ::_exit(0);
    }
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    killed += WIFSIGNALED(status) ? 1 : 0;
    if (!WIFSIGNALED(status)) {
      ++ended;
      ASSERT_EQ(WEXITSTATUS(status), 0) << i;
    }
    // The next life may be killed while it recovers, too.
    const pid_t second = ::fork();
    if (second == 0) {
      (void)host.Start(i % 7);
      ::_exit(0);
    }
    ASSERT_EQ(::waitpid(second, &status, 0), second);
    const auto executor = host.Start(kNoKill);
    ASSERT_TRUE(executor.ok()) << executor.status();
    recovered += static_cast<int>((*executor)->recovered().size());
    ASSERT_EQ((*executor)->active(), 0u) << i;
    ASSERT_EQ((*executor)->damaged_journal_lines(), 0u) << i;
    ASSERT_EQ(host.folder.Read(kQuota), "50000\n") << i;
    ASSERT_EQ(host.folder.Read(kMemory), "1073741824\n") << i;
  }
  EXPECT_EQ(killed + ended, 100);
  EXPECT_GT(killed, 50);
  EXPECT_GT(ended, 0);
  EXPECT_GT(recovered, 20);
}

// So too with the kernel's own files, at whatever moment the kill comes.
TEST(ExecutorCrash, HundredKillsLeaveNoLimitInALiveCgroup) {
  const std::string name = absl::StrCat("seer-act-crash-", ::getpid());
  const std::string path = "/sys/fs/cgroup/cpu/" + name;
  if (::mkdir(path.c_str(), 0755) != 0) {
    GTEST_SKIP() << "no cgroup can be made at " << path << " (version 1, as root)";
  }
  const auto quota = [&] {
    std::ifstream in(path + "/cpu.cfs_quota_us");
    std::string text;
    std::getline(in, text);
    return text;
  };
  std::ofstream(path + "/cpu.cfs_quota_us") << "50000" << std::endl;
  Host host;
  host.cgroups.root = "/sys/fs/cgroup";
  host.cgroups.granted = {name};
  int limited = 0;
  for (int i = 0; i < 100; ++i) {
    int ready[2];
    ASSERT_EQ(::pipe(ready), 0);
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    // Every fourth is killed for certain while a limit is in force, however little of the processor
    // it gets meanwhile: it stops there.
    const bool stops = i % 4 == 0;
    if (child == 0) {
      const auto executor = host.Start(1'000'000);
      if (!executor.ok()) ::_exit(2);
      (void)!::write(ready[1], "x", 1);
      // Up and down until the end.
      for (std::uint64_t id = 1;; ++id) {
        Recommendation r;
        r.id = id;
        r.issued_ns = kStartNs;
        r.target.cgroup = name;
        r.action = Action::kCpuLimit;
        r.to = id % 2 == 0 ? 0.6 : 0.7;
        r.upper = 1;
        host.clock.Advance(2);
        (void)(*executor)->Apply(r);
        if (stops && id > 10 && id % 8 != 0) (void)::raise(SIGSTOP);
        if (id % 8 == 0) (void)(*executor)->UndoAll();
        if (id % 50 == 0) host.clock.Set(kStartNs);
      }
    }
    ::close(ready[1]);  // so that a child that ends early is seen
    char byte = 0;
    ASSERT_EQ(::read(ready[0], &byte, 1), 1);
    int stopped = 0;
    if (stops) {
      ASSERT_EQ(::waitpid(child, &stopped, WUNTRACED), child);
    }
    for (volatile int spin = 0; spin < (i * 7919) % 100'000; ++spin) {
    }
    ASSERT_EQ(::kill(child, SIGKILL), 0);
    ASSERT_EQ(::waitpid(child, nullptr, 0), child);
    ::close(ready[0]);
    limited += quota() != "50000" ? 1 : 0;
    const auto executor = host.Start(1'000'000);
    ASSERT_TRUE(executor.ok()) << executor.status();
    ASSERT_EQ((*executor)->active(), 0u) << i;
    ASSERT_EQ(quota(), "50000") << i;
  }
  EXPECT_GE(limited, 25);  // those that stopped, at least
  ::rmdir(path.c_str());
}

}  // namespace
}  // namespace seer
