#include "seer/hwmon/bandwidth_monitor.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <map>
#include <string>
#include <utility>

#include "seer/core/clock.h"
#include "seer/hwmon/tiered_monitor.h"
#include "tests/hwmon/samples.h"
#include "tests/probe/fake_root.h"

namespace seer {
namespace {

constexpr std::int64_t kTick = 100'000'000;
constexpr char kDevices[] = "/sys/bus/event_source/devices/";

// Counters of memory controllers: by (type, config, processor).
class FakeControllers final : public PerfEvents {
 public:
  struct Counter {
    std::uint32_t type;
    std::uint64_t config;
    int cpu;
    std::uint64_t enabled = 0, running = 0, value = 0;
  };
  std::map<int, Counter> files;
  int error = 0;
  std::ptrdiff_t read_error = 0;

  // Of all counters: time passes, and each sees so many lines.
  void Pass(std::uint64_t ns, std::uint64_t lines, double running = 1) {
    for (auto& [file, counter] : files) {
      counter.enabled += ns;
      counter.running += static_cast<std::uint64_t>(static_cast<double>(ns) * running);
      counter.value += lines;
    }
  }
  int Open(const CounterRequest& request) override {
    EXPECT_TRUE(request.uncore);
    EXPECT_EQ(request.pid, -1);
    EXPECT_EQ(request.leader, -1);
    if (error != 0 && !files.empty()) return -error;
    const int file = 100 + static_cast<int>(files.size());
    files[file] = {request.event.type, request.event.config, request.cpu};
    return file;
  }
  std::ptrdiff_t Read(int file, absl::Span<std::uint64_t> words) override {
    if (read_error != 0) return read_error;
    const Counter& counter = files.at(file);
    words[0] = 1;
    words[1] = counter.enabled;
    words[2] = counter.running;
    words[3] = counter.value;
    return 4;
  }
  void Close(int file) override { files.erase(file); }
};

struct Machine {
  // A server of Intel with two controllers, and two sockets.
  void AddControllers() {
    for (const char* name : {"uncore_imc_0", "uncore_imc_1"}) {
      const std::string at = kDevices + std::string(name);
      root.Write(at + "/type", name[11] == '0' ? "17\n" : "18\n");
      root.Write(at + "/cpumask", "0,28\n");
      root.Write(at + "/format/event", "config:0-7\n");
      root.Write(at + "/format/umask", "config:8-15\n");
      root.Write(at + "/events/cas_count_read", "event=0x04,umask=0x03\n");
      root.Write(at + "/events/cas_count_read.scale", "6.103515625e-5\n");
      root.Write(at + "/events/cas_count_read.unit", "MiB\n");
      root.Write(at + "/events/cas_count_write", "event=0x04,umask=0x0c\n");
      root.Write(at + "/events/cas_count_write.scale", "6.103515625e-5\n");
      root.Write(at + "/events/cas_count_write.unit", "MiB\n");
    }
  }
  // Groups: the root's, and "pod" with a monitoring group "a".
  void AddGroups() {
    Group("", "1\n2\n", 1000, 50'000'000);
    Group("/pod", "77\n78\n", 3000, 20'000'000);
    Group("/pod/mon_groups/a", "77\n", 2000, 15'000'000);
    root.Write(kResctrl + std::string("/info/L3_MON/mon_features"), "llc_occupancy\n");
  }
  void Group(const std::string& group, const std::string& tasks, std::uint64_t bytes,
             std::uint64_t occupancy) {
    root.Write(kResctrl + group + "/tasks", tasks);
    Bytes(group, bytes, occupancy);
  }
  // Half of it passes through each of two caches.
  void Bytes(const std::string& group, std::uint64_t bytes, std::uint64_t occupancy) {
    for (const char* cache : {"/mon_data/mon_L3_00", "/mon_data/mon_L3_01"}) {
      const std::string at = kResctrl + group + cache;
      root.Write(at + "/mbm_total_bytes", std::to_string(bytes / 2) + "\n");
      root.Write(at + "/llc_occupancy", std::to_string(occupancy / 2) + "\n");
    }
  }
  std::unique_ptr<BandwidthMonitor> Monitor() {
    BandwidthMonitorOptions options;
    options.root = root.path();
    options.clock = &clock;
    options.events = &controllers;
    options.peak_bytes_per_second = 1e9;
    options.cache_bytes = 30e6;
    return std::make_unique<BandwidthMonitor>(options);
  }
  static constexpr char kResctrl[] = "/sys/fs/resctrl";
  testing::FakeRoot root;
  FakeControllers controllers;
  ManualClock clock{1'700'000'000'000'000'000};
};

TEST(BandwidthMonitor, AddsUpWhatTheControllersCount) {
  Machine m;
  m.AddControllers();
  const auto monitor = m.Monitor();
  // Two controllers, two sockets, reads and writes.
  ASSERT_EQ(m.controllers.files.size(), 8u);
  EXPECT_EQ(m.controllers.files[100].config & 0xff, 0x04u);
  EXPECT_NE(m.controllers.files[100].config, m.controllers.files[101].config);
  HwReading reading;
  ASSERT_TRUE(monitor->Read(HwTarget::OfHost(), &reading).ok());
  EXPECT_TRUE(testing::NothingObserved(reading));
  m.clock.Advance(kTick);
  m.controllers.Pass(kTick, 100'000);  // 8 * 100,000 lines of 64 bytes in 0.1 s: 512 MB/s
  ASSERT_TRUE(monitor->Read(HwTarget::OfHost(), &reading).ok());
  EXPECT_NEAR(monitor->last().node_bytes_per_second, 512e6, 1e3);
  const ResourceReading& node = reading.node[Resource::kMemoryBandwidth];
  EXPECT_NEAR(node.utilisation.value, 0.512, 1e-4);
  EXPECT_EQ(node.utilisation.scope, Scope::kHost);
  EXPECT_EQ(node.utilisation.quality, Quality::kOk);
  // Use, not waiting.
  EXPECT_EQ(node.delay_us.reason, Reason::kNotObserved);
  EXPECT_EQ(reading.instance[Resource::kMemoryBandwidth].utilisation.reason, Reason::kNotObserved);
  // They took turns with somebody else's.
  m.clock.Advance(kTick);
  m.controllers.Pass(kTick, 50'000, 0.5);
  ASSERT_TRUE(monitor->Read(HwTarget::OfHost(), &reading).ok());
  EXPECT_NEAR(monitor->last().node_bytes_per_second, 512e6, 1e3);
}

// As the kernel shows the controllers of Zen 4 and 5: it lists no events.
TEST(BandwidthMonitor, ControllersThatListNoEventsAreCountedByTheirCommands) {
  Machine m;
  for (const char* name : {"amd_umc_0", "amd_umc_1"}) {
    const std::string at = kDevices + std::string(name);
    m.root.Write(at + "/type", name[8] == '0' ? "20\n" : "21\n");
    m.root.Write(at + "/cpumask", "0\n");
    m.root.Write(at + "/format/event", "config:0-7\n");
    m.root.Write(at + "/format/rdwrmask", "config:8-9\n");
  }
  const auto monitor = m.Monitor();
  std::map<std::pair<std::uint32_t, std::uint64_t>, int> opened;
  for (const auto& [file, counter] : m.controllers.files) ++opened[{counter.type, counter.config}];
  for (const std::uint32_t type : {20u, 21u}) {
    EXPECT_EQ((opened[{type, 0x10a}]), 1);  // reads
    EXPECT_EQ((opened[{type, 0x20a}]), 1);  // writes
  }
  HwReading reading;
  ASSERT_TRUE(monitor->Read(HwTarget::OfHost(), &reading).ok());
  m.clock.Advance(kTick);
  m.controllers.Pass(kTick, 100'000);
  ASSERT_TRUE(monitor->Read(HwTarget::OfHost(), &reading).ok());
  EXPECT_NEAR(monitor->last().node_bytes_per_second, 256e6, 1e3);
  // One whose fields are unknown is not guessed at.
  Machine other;
  other.root.Write(std::string(kDevices) + "amd_umc_0/type", "20\n");
  other.root.Write(std::string(kDevices) + "amd_umc_0/cpumask", "0\n");
  EXPECT_NE(other.Monitor(), nullptr);
  EXPECT_TRUE(other.controllers.files.empty());
}

TEST(BandwidthMonitor, AGroupTellsOfItsProcess) {
  Machine m;
  m.AddGroups();
  const auto monitor = m.Monitor();
  HwReading reading;
  const HwTarget in_a = HwTarget::OfProcess(77), in_pod = HwTarget::OfProcess(78),
                 nowhere = HwTarget::OfProcess(2);
  for (const HwTarget& target : {in_a, in_pod, nowhere}) {
    ASSERT_TRUE(monitor->Read(target, &reading).ok());
  }
  m.clock.Advance(kTick);
  m.Bytes("", 1000 + 10'000'000, 50'000'000);
  m.Bytes("/pod", 3000 + 30'000'000, 20'000'000);
  m.Bytes("/pod/mon_groups/a", 2000 + 20'000'000, 15'000'000);
  ASSERT_TRUE(monitor->Read(in_a, &reading).ok());
  EXPECT_EQ(monitor->last().group, "/pod/mon_groups/a");
  EXPECT_NEAR(reading.instance[Resource::kMemoryBandwidth].utilisation.value, 0.2, 1e-9);
  EXPECT_NEAR(reading.instance[Resource::kCache].utilisation.value, 0.25, 1e-9);  // of 2 caches
  // No controllers: the groups stand for the node, each counted once.
  EXPECT_EQ(monitor->last().controllers, Reason::kNotFound);
  EXPECT_NEAR(reading.node[Resource::kMemoryBandwidth].utilisation.value, 0.4, 1e-9);
  EXPECT_EQ(reading.node[Resource::kMemoryBandwidth].utilisation.quality, Quality::kScaled);
  ASSERT_TRUE(monitor->Read(in_pod, &reading).ok());
  EXPECT_EQ(monitor->last().group, "/pod");
  EXPECT_NEAR(reading.instance[Resource::kMemoryBandwidth].utilisation.value, 0.3, 1e-9);
  // In the root's group is everybody else, too.
  ASSERT_TRUE(monitor->Read(nowhere, &reading).ok());
  EXPECT_EQ(reading.instance[Resource::kMemoryBandwidth].utilisation.reason, Reason::kNotSupported);
  // It moves: what its new group did before is not its own.
  m.root.Write("/sys/fs/resctrl/pod/mon_groups/a/tasks", "");
  m.clock.Advance(1'000'000'000);
  ASSERT_TRUE(monitor->Read(in_a, &reading).ok());
  EXPECT_EQ(monitor->last().group, "/pod");
  EXPECT_FALSE(reading.instance[Resource::kMemoryBandwidth].utilisation.usable());
}

TEST(BandwidthMonitor, WithoutEitherEverySignalSaysWhy) {
  Machine m;
  const auto monitor = m.Monitor();
  HwReading reading;
  for (int i = 0; i < 2; ++i) {
    ASSERT_TRUE(monitor->Read(HwTarget::OfProcess(77), &reading).ok());
    m.clock.Advance(kTick);
  }
  EXPECT_EQ(reading.node[Resource::kMemoryBandwidth].utilisation.reason, Reason::kNotFound);
  EXPECT_EQ(reading.instance[Resource::kMemoryBandwidth].utilisation.reason, Reason::kNotFound);
  EXPECT_EQ(reading.instance[Resource::kCache].utilisation.reason, Reason::kNotFound);
  // Behind a monitor that knows delays it takes nothing away, and nobody is blamed by it.
  EXPECT_EQ(reading.instance[Resource::kMemoryBandwidth].delay_us.reason, Reason::kNotObserved);
}

TEST(BandwidthMonitor, EverySourceMayFail) {
  for (const int error : {EACCES, EINVAL, EMFILE}) {
    Machine m;
    m.AddControllers();
    m.controllers.error = error;
    const auto monitor = m.Monitor();
    EXPECT_TRUE(m.controllers.files.empty());  // half of the controllers are none
    HwReading reading;
    ASSERT_TRUE(monitor->Read(HwTarget::OfHost(), &reading).ok());
    EXPECT_EQ(monitor->last().controllers, error == EACCES ? Reason::kPermission : Reason::kFailed);
  }
  const std::string kContents[] = {"",
                                   "Unavailable\n",
                                   "Error\n",
                                   "-1\n",
                                   "1 2\n",
                                   "99999999999999999999999\n",
                                   std::string(1000, '7')};
  for (const std::string& content : kContents) {
    SCOPED_TRACE(content.substr(0, 20));
    Machine m;
    m.AddControllers();
    m.AddGroups();
    const auto monitor = m.Monitor();
    HwReading reading;
    ASSERT_TRUE(ReadGuarded(*monitor, HwTarget::OfProcess(77), &reading).ok());
    m.clock.Advance(kTick);
    m.controllers.read_error = -EIO;
    m.root.Write("/sys/fs/resctrl/pod/mon_groups/a/mon_data/mon_L3_01/mbm_total_bytes", content);
    m.root.Write("/sys/fs/resctrl/pod/mon_data/mon_L3_00/mbm_total_bytes", content);
    m.root.Write("/sys/fs/resctrl/pod/mon_groups/a/mon_data/mon_L3_00/llc_occupancy", content);
    ASSERT_TRUE(ReadGuarded(*monitor, HwTarget::OfProcess(77), &reading).ok());
    EXPECT_FALSE(reading.instance[Resource::kMemoryBandwidth].utilisation.usable());
    EXPECT_FALSE(reading.instance[Resource::kCache].utilisation.usable());
    EXPECT_FALSE(reading.node[Resource::kMemoryBandwidth].utilisation.usable());
  }
  for (const char* event : {"event=zz", "nothing=1", "event=0x04,umask", "../type=1", ""}) {
    SCOPED_TRACE(event);
    Machine m;
    m.AddControllers();
    for (const char* name : {"uncore_imc_0", "uncore_imc_1"}) {
      for (const char* file : {"/events/cas_count_read", "/events/cas_count_write"}) {
        m.root.Write(kDevices + std::string(name) + file, std::string(event) + "\n");
      }
    }
    const auto monitor = m.Monitor();
    HwReading reading;
    EXPECT_TRUE(monitor->Read(HwTarget::OfHost(), &reading).ok());
  }
}

TEST(BandwidthMonitor, AWildCountIsImplausibleAndDoesNotStay) {
  Machine m;
  m.AddControllers();
  const auto monitor = m.Monitor();
  HwReading reading;
  ASSERT_TRUE(monitor->Read(HwTarget::OfHost(), &reading).ok());
  m.clock.Advance(kTick);
  m.controllers.Pass(kTick, std::uint64_t{1} << 60);
  ASSERT_TRUE(monitor->Read(HwTarget::OfHost(), &reading).ok());
  EXPECT_EQ(reading.node[Resource::kMemoryBandwidth].utilisation.reason, Reason::kImplausible);
  for (int i = 0; i < 2; ++i) {
    m.clock.Advance(kTick);
    m.controllers.Pass(kTick, 100'000);
    ASSERT_TRUE(monitor->Read(HwTarget::OfHost(), &reading).ok());
  }
  EXPECT_NEAR(monitor->last().node_bytes_per_second, 512e6, 1e3);
}

}  // namespace
}  // namespace seer
