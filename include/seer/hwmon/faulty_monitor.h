// Flow: HwMonitor -> [FaultyMonitor] -> HwReading with faults
//
// A monitor around another one that goes wrong now and then, the same way for the same seed: for
// tests of what reads monitors, and for drills.
//
//   seer::FaultyMonitor::Options options;
//   options.error = 0.1;                                // of the Reads
//   options.missing = 0.2;                              // of the signals
//   seer::FaultyMonitor faulty(monitor, options);
//
// Threads: one at a time. Cost: the other monitor's.
#pragma once

#include <cstdint>
#include <random>

#include "absl/status/status.h"
#include "seer/core/config.h"
#include "seer/hwmon/monitor.h"

SEER_BEGIN_NAMESPACE

class FaultyMonitor final : public HwMonitor {
 public:
  struct Options {
    std::uint64_t seed = 1;
    // Probabilities for each Read:
    double error = 0;   // it fails, with one of the codes of HwMonitor::Read
    double thrown = 0;  // it throws: for callers of ReadGuarded()
    double stale = 0;   // it says what it said the last time
    // Probabilities for each signal:
    double missing = 0;  // it is unavailable, with some reason
    double garbage = 0;  // it is NaN, infinite, negative or enormous, and claims to be good
    double dead = 0;     // it is 0, and claims to be good
  };
  FaultyMonitor(HwMonitor& monitor, const Options& options)
      : monitor_(monitor), options_(options), random_(options.seed) {}
  absl::Status Read(const HwTarget& target, HwReading* reading) override;

  std::uint64_t faults() const { return faults_; }  // done so far

 private:
  bool Happens(double probability);
  void Spoil(HwSignal* signal);

  HwMonitor& monitor_;
  const Options options_;
  std::mt19937_64 random_;
  HwReading last_;
  bool has_last_ = false;
  std::uint64_t faults_ = 0;
};

SEER_END_NAMESPACE
