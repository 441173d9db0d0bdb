// A snapshot in which every channel of every instance and every edge was seen: more than a real
// cluster has. What a node may also know of the time between two ticks can be added to it.
#pragma once

#include <cstdint>
#include <random>

#include "seer/core/snapshot.h"

namespace seer::bench {

// Depths of a busy cluster: mostly a few, a backlog now and then. One instance in fifty has a depth
// that could not be read exactly.
inline Snapshot BusySnapshot(std::uint32_t instances, std::uint32_t edges) {
  std::mt19937 random(20190413);
  std::geometric_distribution<std::uint32_t> depth(0.2);
  std::poisson_distribution<std::uint32_t> per_tick(60);
  const auto backlog = [&] { return random() % 100 == 0 ? 1000u : 0u; };
  Snapshot snapshot;
  snapshot.origin = {"node-17", 1'700'000'000, 4};
  snapshot.tick = 17'000'000'000;
  snapshot.instances.Reset(instances);
  for (std::uint32_t i = 0; i < instances; ++i) {
    for (Channel channel : kAllChannels) {
      ChannelSample sample;
      sample.depth = depth(random) + backlog();
      sample.width = random() % 50 == 0 ? 1 : 0;
      sample.counted = true;
      sample.arrivals = per_tick(random);
      sample.departures = per_tick(random);
      snapshot.instances.Set(InstanceId(i), channel, sample);
    }
  }
  snapshot.edges.Reset(edges);
  for (std::uint32_t e = 0; e < edges; ++e) {
    snapshot.edges.Set(EdgeId(e), {depth(random) + backlog(), 0, per_tick(random)});
  }
  snapshot.classes.resize(4);
  std::lognormal_distribution<double> latency(14.5, 0.7);
  for (ClassSample& sample : snapshot.classes) {
    sample.count = 500;
    for (std::uint32_t i = 0; i < sample.count; ++i) {
      sample.latency.Record(static_cast<std::int64_t>(latency(random)));
    }
  }
  return snapshot;
}

// Adds a peak to every depth, and times to the queues inside the application.
inline void AddPeaksAndTimes(Snapshot* snapshot) {
  std::mt19937 random(20190417);
  std::geometric_distribution<std::uint32_t> above(0.2);
  std::poisson_distribution<std::uint32_t> wait_us(700);
  for (std::uint32_t i = 0; i < snapshot->instances.size(); ++i) {
    for (Channel channel : kAllChannels) {
      ChannelSample sample = *snapshot->instances.Get(InstanceId(i), channel);
      sample.peak = sample.depth + above(random);
      sample.timed = ChannelMask::AppOnly().Has(channel);
      sample.mean_depth_milli = sample.depth * 1000 + above(random) * 100;
      sample.mean_wait_us = wait_us(random);
      snapshot->instances.Set(InstanceId(i), channel, sample);
    }
  }
}

// Edges in proportion to the 386 instances with 800 edges.
inline std::uint32_t EdgesFor(std::int64_t instances) {
  return static_cast<std::uint32_t>(instances * 800 / 386);
}

}  // namespace seer::bench
