#include "benchmarks/cluster/live/pressure.h"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>

namespace seer::cluster {

CpuTimes ReadCpuTimes() {
  CpuTimes times;
  const double tick = 1.0 / static_cast<double>(std::max(1l, sysconf(_SC_CLK_TCK)));
  std::ifstream stat("/proc/stat");
  std::string cpu;
  // user nice system idle iowait irq softirq steal; guests are in user.
  double fields[8] = {};
  stat >> cpu;
  for (double& field : fields) stat >> field;
  for (double field : fields) times.seconds += field * tick;
  times.steal = fields[7] * tick;
  times.busy = times.seconds - (fields[3] + fields[4]) * tick;
  rusage usage{};
  if (getrusage(RUSAGE_SELF, &usage) == 0) {
    const auto seconds = [](const timeval& t) {
      return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) * 1e-6;
    };
    times.ours = seconds(usage.ru_utime) + seconds(usage.ru_stime);
  }
  std::error_code error;
  for (const auto& task : std::filesystem::directory_iterator("/proc/self/task", error)) {
    std::ifstream schedstat(task.path() / "schedstat");
    double ran = 0, waited = 0;
    if (schedstat >> ran >> waited) times.run_delay += waited * 1e-9;
  }
  return times;
}

Pressure Between(const CpuTimes& before, const CpuTimes& after, std::uint64_t requests) {
  Pressure pressure;
  const double seconds = std::max(1e-9, after.seconds - before.seconds);
  pressure.steal_share = (after.steal - before.steal) / seconds;
  const double others =
      (after.busy - before.busy) - (after.steal - before.steal) - (after.ours - before.ours);
  pressure.others_share = std::max(0.0, others / seconds);
  pressure.run_delay_ms = 1000 * std::max(0.0, after.run_delay - before.run_delay) /
                          static_cast<double>(std::max<std::uint64_t>(1, requests));
  return pressure;
}

std::string Pressure::Text() const {
  char text[120];
  std::snprintf(text, sizeof text, "steal %.1f %%, others %.1f %%, run delay %.2f ms%s",
                100 * steal_share, 100 * others_share, run_delay_ms,
                Discards() ? ": DISCARDED" : "");
  return text;
}

}  // namespace seer::cluster
