#include "seer/hwmon/monitor.h"

#include <gtest/gtest.h>

#include <cstring>
#include <limits>
#include <stdexcept>
#include <string>

#include "tests/hwmon/samples.h"

namespace seer {
namespace {

using testing::Good;
using testing::HealthyReading;
using testing::NothingObserved;
using testing::SampleTarget;

// What a host writes: one class.
class HostsMonitor final : public HwMonitor {
 public:
  enum class Does { kReads, kThrows, kThrowsAnything, kFails };
  HostsMonitor(Does does, const HwReading& reading) : does_(does), reading_(reading) {}
  absl::Status Read(const HwTarget&, HwReading* reading) override {
    *reading = reading_;
    if (does_ == Does::kThrows) throw std::runtime_error("the device is on fire");
    if (does_ == Does::kThrowsAnything) throw 7;
    if (does_ == Does::kFails) return absl::UnavailableError("busy");
    return absl::OkStatus();
  }

 private:
  const Does does_;
  const HwReading reading_;
};

TEST(HwTarget, OfAnInstanceIsItsCgroupElseItsFirstProcess) {
  Topology topology(7);
  const ServiceId cart = *topology.AddService("cart");
  const NodeId node = *topology.AddNode("node-1");
  const InstanceId with_cgroup = *topology.AddInstance(cart, "cart-0", node);
  const InstanceId with_pid = *topology.AddInstance(cart, "cart-1", node);
  const InstanceId unknown = *topology.AddInstance(cart, "cart-2", node);
  const InstanceId in_root = *topology.AddInstance(cart, "cart-3", node);
  ASSERT_TRUE(topology.SetCgroup(with_cgroup, "pods/a1").ok());
  ASSERT_TRUE(topology.SetPids(with_cgroup, {12}).ok());
  ASSERT_TRUE(topology.SetPids(with_pid, {77, 78}).ok());
  ASSERT_TRUE(topology.SetCgroup(in_root, "/").ok());
  ASSERT_TRUE(topology.SetPids(in_root, {80}).ok());

  absl::StatusOr<HwTarget> target = HwTarget::OfInstance(topology, with_cgroup);
  ASSERT_TRUE(target.ok()) << target.status();
  EXPECT_EQ(target->kind, HwTarget::Kind::kCgroup);
  EXPECT_EQ(target->cgroup, "/pods/a1");
  EXPECT_EQ(target->instance, with_cgroup);
  EXPECT_EQ(target->origin, topology.origin());
  EXPECT_EQ(HwTarget::OfInstance(topology, with_pid)->pid, 77);
  // Everything on the node is in the root: that would say nothing about the instance.
  EXPECT_EQ(HwTarget::OfInstance(topology, in_root)->pid, 80);
  EXPECT_EQ(HwTarget::OfInstance(topology, unknown).status().code(),
            absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(HwTarget::OfInstance(topology, InstanceId(99)).status().code(),
            absl::StatusCode::kNotFound);
  EXPECT_EQ(HwTarget::OfInstance(topology, InstanceId()).status().code(),
            absl::StatusCode::kNotFound);
}

TEST(HwTarget, OneThatLeadsElsewhereIsRefused) {
  for (const char* path : {"", "pods", "/..", "/a/../../b", "/a/.."}) {
    SCOPED_TRACE(path);
    EXPECT_EQ(CheckTarget(HwTarget::OfCgroup(path)).code(), absl::StatusCode::kInvalidArgument);
  }
  EXPECT_FALSE(CheckTarget(HwTarget::OfCgroup(std::string("/a\0b", 4))).ok());
  EXPECT_FALSE(CheckTarget(HwTarget::OfCgroup("/" + std::string(kMaxCgroupPath, 'a'))).ok());
  EXPECT_TRUE(CheckTarget(HwTarget::OfCgroup("/a..b/c")).ok());
  EXPECT_FALSE(CheckTarget(HwTarget::OfProcess(0)).ok());
  EXPECT_FALSE(CheckTarget(HwTarget::OfProcess(-5)).ok());
  EXPECT_TRUE(CheckTarget(HwTarget::OfHost()).ok());
  HwTarget strange;
  strange.kind = static_cast<HwTarget::Kind>(9);
  EXPECT_FALSE(CheckTarget(strange).ok());
  EXPECT_EQ(ToString(HwTarget::OfProcess(12)), "process 12");
  EXPECT_EQ(ToString(SampleTarget()), "cgroup /pods/a1");
  EXPECT_EQ(ToString(HwTarget::OfHost()), "host");
}

TEST(HwMonitor, TheNullMonitorObservesNothingAndSaysSo) {
  NullMonitor monitor;
  HwReading reading = HealthyReading();
  ASSERT_TRUE(monitor.Read(SampleTarget(), &reading).ok());
  EXPECT_TRUE(NothingObserved(reading));
  EXPECT_EQ(reading.target, InstanceId(3));
  EXPECT_EQ(reading.origin.node, "node-7");
  EXPECT_EQ(reading.requests, 0u);
}

TEST(HwMonitor, GuardedReadTurnsExceptionsAndErrorsIntoNothingObserved) {
  for (const auto& [does, code] :
       {std::make_pair(HostsMonitor::Does::kThrows, absl::StatusCode::kUnknown),
        std::make_pair(HostsMonitor::Does::kThrowsAnything, absl::StatusCode::kUnknown),
        std::make_pair(HostsMonitor::Does::kFails, absl::StatusCode::kUnavailable)}) {
    HostsMonitor monitor(does, HealthyReading());
    HwReading reading = HealthyReading();
    EXPECT_EQ(ReadGuarded(monitor, SampleTarget(), &reading).code(), code);
    EXPECT_TRUE(NothingObserved(reading));
  }
  HostsMonitor monitor(HostsMonitor::Does::kReads, HealthyReading());
  HwReading reading;
  EXPECT_TRUE(ReadGuarded(monitor, SampleTarget(), &reading).ok());
  EXPECT_EQ(reading, HealthyReading());
  EXPECT_FALSE(ReadGuarded(monitor, HwTarget::OfProcess(0), &reading).ok());
  EXPECT_TRUE(NothingObserved(reading));
}

TEST(HwMonitor, GuardedReadTakesNoNumberThatIsNone) {
  HwReading said = HealthyReading();
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  said.instance[Resource::kCpu].delay_us.value = std::numeric_limits<double>::quiet_NaN();
  said.instance[Resource::kCache].delay_us.value = -1;
  said.instance[Resource::kStorage].delay_us.value = kInfinity;
  said.node[Resource::kCpu].utilisation.value = 1.7;
  said.node[Resource::kStorage].saturation = {5, Quality::kUnavailable, Reason::kNone,
                                              Scope::kHost};
  said.node[Resource::kNetwork].saturation.quality = static_cast<Quality>(77);
  said.interval_ns = -3;
  HostsMonitor monitor(HostsMonitor::Does::kReads, said);
  HwReading reading;
  ASSERT_TRUE(ReadGuarded(monitor, SampleTarget(), &reading).ok());
  for (Resource resource : {Resource::kCpu, Resource::kCache, Resource::kStorage}) {
    const HwSignal& signal = reading.instance[resource].delay_us;
    EXPECT_EQ(signal.quality, Quality::kUnavailable);
    EXPECT_EQ(signal.reason, Reason::kImplausible);
    EXPECT_EQ(signal.value, 0);
  }
  EXPECT_EQ(reading.node[Resource::kCpu].utilisation.value, 1);
  EXPECT_EQ(reading.node[Resource::kStorage].saturation.reason, Reason::kNotObserved);
  EXPECT_EQ(reading.node[Resource::kStorage].saturation.value, 0);
  EXPECT_EQ(reading.node[Resource::kNetwork].saturation.reason, Reason::kMalformed);
  EXPECT_EQ(reading.interval_ns, 0);
}

TEST(HwMonitor, AQuotaIsToldFromNeighbours) {
  ResourceReading cpu;
  cpu.saturation = Good(0.6, Scope::kProcess);
  EXPECT_FALSE(IsQuota(cpu));
  cpu.saturation = Good(0.6, Scope::kCgroup);
  EXPECT_TRUE(IsQuota(cpu));
  cpu.saturation = Good(0.05, Scope::kCgroup);
  EXPECT_FALSE(IsQuota(cpu));
  cpu.saturation = {};
  EXPECT_FALSE(IsQuota(cpu));
}

}  // namespace
}  // namespace seer
