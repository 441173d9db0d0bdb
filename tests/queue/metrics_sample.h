// A node with something in every metric, and names that try to break out of their quotes.
#pragma once

#include <string>

#include "seer/queue/collector.h"

namespace seer::testing {

struct MetricsSample {
  Topology topology = *Topology::OfNode("node-7", 42);
  Snapshot snapshot;
  CollectorTotals totals;
};

inline MetricsSample SampleMetrics() {
  MetricsSample s;
  const NodeId node = *s.topology.AddNode("node-7");
  // Quotes, a backslash, UTF-8 of every length, bytes that are none, what stands for them.
  const char* const services[] = {
      "cart",         "say \"hi\"",       "back\\slash", "a{b=\"c\"} 1",         "z\xc3\xa4hl",
      "\xe2\x82\xac", "\xf0\x9f\x90\x8c", "\xff",        "\xef\xbf\xbd\x66\x66", "\xed\xa0\x80",
      "\xc0\xaf",     "cut \xe2\x82"};
  for (const char* name : services) {
    const ServiceId service = *s.topology.AddService(name);
    (void)*s.topology.AddInstance(service, std::string(name) + "-0", node);
  }
  (void)*s.topology.AddEdge(ServiceId(), ServiceId(0));
  for (std::uint32_t i = 0; i + 1 < s.topology.services().size(); ++i) {
    (void)*s.topology.AddEdge(ServiceId(i), ServiceId(i + 1));
  }
  s.snapshot.origin = s.topology.origin();
  s.snapshot.tick = 17'000'000'000;
  s.snapshot.instances.Reset(s.topology.instances().size());
  s.snapshot.edges.Reset(s.topology.edges().size());
  for (std::uint32_t i = 0; i < s.topology.instances().size(); ++i) {
    for (Channel channel : kAllChannels) {
      if (channel == Channel::kNic && i != 0) continue;
      ChannelSample sample;
      sample.depth = i;
      sample.counted = true;
      sample.departures = i;
      sample.width = i == 3 ? 2 : 0;
      sample.peak = i == 4 ? 90 : 0;
      sample.timed = channel == Channel::kQueued;
      sample.mean_depth_milli = 1500;
      sample.mean_wait_us = 250;
      s.snapshot.instances.Set(InstanceId(i), channel, sample);
      s.snapshot.instances.SetBytes(InstanceId(i), channel, std::uint64_t{1} << 40);
      s.totals.channels.push_back({InstanceId(i), channel, 0xffffffffffffffffu, i});
    }
  }
  for (std::uint32_t e = 0; e < s.topology.edges().size(); ++e) {
    s.snapshot.edges.Set(EdgeId(e), {e, 0, e});
    s.totals.edges.push_back({EdgeId(e), 7});
  }
  s.snapshot.health.processes = 5;
  s.snapshot.health.late_ns = 1'234'567;
  s.totals.snapshots = 3;
  s.totals.health.missed_ticks = 1;
  return s;
}

}  // namespace seer::testing
