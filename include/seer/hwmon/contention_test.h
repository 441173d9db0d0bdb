// Flow: the victim's latency, with and without a microbenchmark -> [ContentionTest] -> affected or
// not
//
// Does this microbenchmark hurt this service? The service is looked at in pairs of short windows,
// one with the benchmark on and one without, in an order that is drawn by chance, so that a load
// that drifts does not look like an effect. After 8, 10 and 12 pairs the pairs' log ratios are held
// against all ways in which their signs could have fallen; the test ends as soon as it knows.
//
//   seer::ContentionTest test(seed);
//   while (test.decision() == seer::ContentionTest::Decision::kMore) {
//     const bool first = test.OnComesFirst();
//     ... two windows of 10 ms, `on` and `off`: the medians of the victim's latency ...
//     test.Add(on, off);
//   }
//
// Threads: a plain value.
// Cost:    Add() 5 us, but for the pairs after which it is decided: 30 us. No allocation.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "seer/core/config.h"

SEER_BEGIN_NAMESPACE

class ContentionTest {
 public:
  static constexpr std::size_t kMostPairs = 12;
  static constexpr std::size_t kFirstLook = 8;  // then every second pair

  struct Options {
    double alpha = 0.01;         // of each look
    double min_effect = 1.10;    // a smaller one does not matter, however certain it is
    double futile_below = 1.15;  // two standard errors above the mean are still below this: give up
  };
  enum class Decision : std::uint8_t {
    kMore,  // another pair is needed
    kAffected,
    kNotAffected,
    kUndecided,  // too few pairs were of use
  };

  explicit ContentionTest(std::uint64_t seed) : ContentionTest(seed, Options()) {}
  ContentionTest(std::uint64_t seed, const Options& options) : options_(options), random_(seed) {}

  // Of the next pair.
  bool OnComesFirst() noexcept;
  // Latencies, service times, or cycles per instruction: anything that grows under contention. A
  // pair of which one is not positive and finite (no request came) tells nothing; after as many
  // such pairs as kMostPairs the test is undecided.
  Decision Add(double on, double off) noexcept;

  Decision decision() const { return decision_; }
  double effect() const;                       // geometric mean of on / off; 1 without pairs
  double p_value() const { return p_value_; }  // of the last look; 1 before it
  std::size_t pairs() const { return pairs_; }

 private:
  double PValue() const noexcept;

  const Options options_;
  std::uint64_t random_;
  std::array<double, kMostPairs> log_ratios_ = {};
  std::size_t pairs_ = 0, useless_ = 0;
  double p_value_ = 1;
  Decision decision_ = Decision::kMore;
};

SEER_END_NAMESPACE
