// Victims, neighbours and what looks at them: one trial at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "benchmarks/hwmon/trial_neighbours.h"
#include "benchmarks/hwmon/trial_record.h"
#include "benchmarks/hwmon/trial_victim.h"
#include "benchmarks/hwmon/trials.h"
#include "seer/hwmon/probe_monitor.h"

namespace seer::bench {

inline constexpr std::int64_t kMs = 1'000'000;
void SleepUntil(std::int64_t steady_ns);
double PercentileUs(std::vector<std::int64_t> values, double p);

class TrialBench {
 public:
  explicit TrialBench(const TrialOptions& options) : options_(options) {}
  TrialBench(const TrialBench&) = delete;
  ~TrialBench();

  std::string Begin();  // why not; empty: it is ready
  TrialRecord Run(Profile profile, Truth truth);

  // trial_probing.cc
  ProbeCost MeasureProbing();
  LiveTest TestLive(Profile profile, Microbenchmark benchmark, int processor, int tests);
  std::vector<std::string> Gauges();

 private:
  // One victim with all that looks at it.
  struct Watched {
    explicit Watched(std::unique_ptr<Victim> v) : victim(std::move(v)) {}
    std::unique_ptr<Victim> victim;
    std::unique_ptr<Client> client;
    std::uint64_t handled = 0;
    double busy_us = 0;  // of a request, when all is well
  };
  Watched& watched(Profile profile) { return *watched_[static_cast<std::size_t>(profile)]; }
  // Returns what stands behind the reading, for people.
  std::string Read(Watched* w, HwReading* reading);
  void SetContention(Truth truth, Watched* w, bool on);

  const TrialOptions options_;
  Hogs hogs_, awake_;
  std::string hog_file_;
  std::vector<std::unique_ptr<Watched>> watched_;
  SoftwareMonitor software_;
  std::unique_ptr<Microbenchmarks> micro_, weapons_;
  Placement placement_;
  std::unique_ptr<ProbeMonitor> monitor_;
};

}  // namespace seer::bench
