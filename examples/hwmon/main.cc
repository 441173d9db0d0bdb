// hwmon: what this machine lets one see of its shared resources, and why not the rest; then a live
// view of one process or cgroup.
//
//   hwmon [--pid N | --cgroup PATH] [--seconds N] [--probe]
//
// Without a target it watches a process of its own that works a little. --probe runs a small
// benchmark beside the target for 10 ms of each second, which tells of the cache where there are no
// counters.
//
// Where to look: Watch() below, for the five lines that read a target, and BatteryMonitor, for how
// a host adds a monitor of its own.
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>

#include "seer/hwmon/bandwidth_monitor.h"
#include "seer/hwmon/counter_monitor.h"
#include "seer/hwmon/probe_monitor.h"
#include "seer/hwmon/software_monitor.h"
#include "seer/hwmon/tiered_monitor.h"

namespace {

constexpr char kUsage[] =
    "hwmon [--pid N | --cgroup PATH] [--seconds N] [--probe]\n"
    "\n"
    "Shows what can be seen of a process's or cgroup's resources, and watches it.\n"
    "  --pid N        a process; by itself one of the program's own\n"
    "  --cgroup PATH  as /proc/PID/cgroup shows it\n"
    "  --seconds N    how long; by itself 5\n"
    "  --probe        senses the cache with a benchmark, where there are no counters\n";

// A host's own monitor is one class: this one would know of a disk controller's battery.
class BatteryMonitor final : public seer::HwMonitor {
 public:
  absl::Status Read(const seer::HwTarget& target, seer::HwReading* reading) override {
    seer::ClearReading(target, reading);
    seer::HwSignal& storage = reading->node[seer::Resource::kStorage].saturation;
    storage.reason = seer::Reason::kNotSupported;  // and why a value is missing
    return absl::OkStatus();
  }
};

void SleepMs(long ms) {
  const timespec t = {ms / 1000, ms % 1000 * 1'000'000};
  ::nanosleep(&t, nullptr);
}

// Works for a third of the time.
[[noreturn]] void Work() {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  for (;;) {
    for (volatile int i = 0; i < 3'000'000; i = i + 1) {
    }
    SleepMs(10);
  }
}

std::string Text(const seer::HwSignal& signal, bool share) {
  char text[64];
  if (!signal.usable()) {
    std::snprintf(text, sizeof(text), "-");
  } else if (share) {
    std::snprintf(text, sizeof(text), "%.1f %%", signal.value * 100);
  } else {
    std::snprintf(text, sizeof(text), "%.0f us", signal.value);
  }
  return text;
}

std::string_view Why(const seer::HwSignal& signal) {
  return signal.usable() ? seer::QualityName(signal.quality) : seer::ReasonName(signal.reason);
}

void PrintTable(const seer::HwReading& reading) {
  std::printf("%-17s %-9s %12s  %-14s %12s  %-14s %12s  %-14s\n", "resource", "of", "delay", "",
              "utilisation", "", "saturation", "");
  for (const seer::Resource resource : seer::kAllResources) {
    for (const bool node : {false, true}) {
      const seer::ResourceReading& r = node ? reading.node[resource] : reading.instance[resource];
      std::printf("%-17s %-9s", std::string(seer::ResourceName(resource)).c_str(),
                  node ? "the node" : "target");
      for (const auto& [signal, share] :
           {std::make_pair(&r.delay_us, false), std::make_pair(&r.utilisation, true),
            std::make_pair(&r.saturation, true)}) {
        std::printf(" %12s  %-14s", Text(*signal, share).c_str(),
                    std::string(Why(*signal)).c_str());
      }
      std::printf("\n");
    }
  }
}

int Watch(seer::HwMonitor& monitor, const seer::HwTarget& target, double seconds) {
  seer::HwReading reading;
  absl::Status status = seer::ReadGuarded(monitor, target, &reading);  // opens
  if (!status.ok()) {
    std::fprintf(stderr, "hwmon: %s\n", std::string(status.message()).c_str());
    return 1;
  }
  constexpr long kMs = 500;
  for (int i = 0; i == 0 || i * kMs < seconds * 1000; ++i) {
    SleepMs(kMs);
    status = seer::ReadGuarded(monitor, target, &reading);
    if (!status.ok()) {
      std::printf("%s\n", std::string(status.message()).c_str());
      return status.code() == absl::StatusCode::kNotFound ? 0 : 1;
    }
    if (i == 0) {
      std::printf("%s, over %lld ms:\n\n", seer::ToString(target).c_str(),
                  static_cast<long long>(reading.interval_ns / 1'000'000));
      PrintTable(reading);
      std::printf("\nEvery %ld ms, waited for:\n", kMs);
    }
    for (const seer::Resource resource : seer::kAllResources) {
      std::printf("%s %s  ", std::string(seer::ResourceName(resource)).c_str(),
                  Text(reading.instance[resource].delay_us, false).c_str());
    }
    std::printf("\n");
    std::fflush(stdout);
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  seer::HwTarget target;
  double seconds = 5;
  bool probe = false;
  for (int i = 1; i < argc; ++i) {
    const char* const value = i + 1 < argc ? argv[i + 1] : "";
    if (std::strcmp(argv[i], "--probe") == 0) {
      probe = true;
      continue;
    }
    if (std::strcmp(argv[i], "--pid") == 0) {
      target = seer::HwTarget::OfProcess(std::atoi(value));
    } else if (std::strcmp(argv[i], "--cgroup") == 0) {
      target = seer::HwTarget::OfCgroup(value);
    } else if (std::strcmp(argv[i], "--seconds") == 0 && std::atof(value) > 0) {
      seconds = std::atof(value);
    } else {
      std::fputs(kUsage, stderr);
      return 2;
    }
    ++i;
  }
  pid_t worker = 0;
  if (target.kind == seer::HwTarget::Kind::kHost) {
    worker = ::fork();
    if (worker == 0) Work();
    target = seer::HwTarget::OfProcess(worker);
  }

  const seer::EventTable table = seer::EventTable::OfThisMachine();
  const seer::CounterTrust trust = seer::TestCounters(seer::KernelPerfEvents(), table);
  std::printf("processor: %s; counters that tell the truth at once: %d of %d tried%s%s\n",
              std::string(table.processor).c_str(), trust.at_once, trust.tried,
              trust.reason == seer::Reason::kNone ? "" : ": ",
              trust.reason == seer::Reason::kNone
                  ? ""
                  : std::string(seer::ReasonName(trust.reason)).c_str());
  for (const seer::CounterEvent& event : table.events) {
    if (event.known()) {
      std::printf("  %-34s %s\n", std::string(event.name).c_str(),
                  std::string(event.source).c_str());
    }
  }

  seer::SoftwareMonitor software;
  seer::CounterMonitor counters;
  seer::BandwidthMonitor bandwidth;
  BatteryMonitor own;
  std::unique_ptr<seer::Microbenchmarks> benchmarks;
  std::unique_ptr<seer::ProbeMonitor> probing;
  if (probe) {
    auto made = seer::Microbenchmarks::Create();
    if (!made.ok()) {
      std::fprintf(stderr, "hwmon: %s\n", std::string(made.status().message()).c_str());
      return 1;
    }
    benchmarks = *std::move(made);
    const absl::Status status = benchmarks->Calibrate({});
    std::printf("calibrated now, as if the machine were idle: %s\n",
                status.ok() ? "ok" : std::string(status.message()).c_str());
    for (std::size_t i = 0; i < seer::kMicrobenchmarks; ++i) {
      const auto benchmark = static_cast<seer::Microbenchmark>(i);
      if (benchmarks->idle_ns(benchmark) > 0) {
        std::printf("  %-8s %8.2f ns a step\n",
                    std::string(seer::MicrobenchmarkName(benchmark)).c_str(),
                    benchmarks->idle_ns(benchmark));
      }
    }
    probing = std::make_unique<seer::ProbeMonitor>(software, *benchmarks);
  }
  seer::HwMonitor* const first = probe ? static_cast<seer::HwMonitor*>(probing.get())
                                       : static_cast<seer::HwMonitor*>(&software);
  seer::TieredMonitor monitor({first, &counters, &bandwidth, &own});
  std::printf("\n");
  const int result = Watch(monitor, target, seconds);
  if (worker > 0) {
    ::kill(worker, SIGKILL);
    ::waitpid(worker, nullptr, 0);
  }
  return result;
}
