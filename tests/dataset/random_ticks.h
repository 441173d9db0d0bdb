// Ticks and files for tests.
#pragma once

#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <random>
#include <sstream>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "seer/core/topology.h"
#include "seer/window/cluster_tick.h"

namespace seer::testing {

// A folder that goes away with the test.
class TempDir {
 public:
  TempDir() {
    // In memory where there is such a place: some tests write thousands of files.
    const std::string parent = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : ::testing::TempDir();
    std::string name = parent + "/seer-dataset-XXXXXX";
    path_ = mkdtemp(name.data());
  }
  ~TempDir() {
    if (std::system(("rm -rf '" + path_ + "'").c_str()) != 0) ADD_FAILURE() << path_;
  }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

inline std::string ReadFile(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}
inline void WriteFile(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

inline Topology SomeTopology(int services, int classes = 2) {
  Topology topology(7);
  ServiceId before;
  for (int i = 0; i < services; ++i) {
    const ServiceId id = *topology.AddService("service-" + std::to_string(i), "shop");
    EXPECT_TRUE(topology.AddEdge(before, id).ok());
    before = id;
  }
  for (int i = 0; i < classes; ++i) {
    EXPECT_TRUE(topology
                    .AddRequestClass("shop", "class-" + std::to_string(i),
                                     {20'000'000, 10'000, 1000, 1},
                                     services > 0 ? ServiceId(0) : ServiceId())
                    .ok());
  }
  return topology;
}

// Everything that a tick can hold, in every combination of known and not.
inline ClusterTick RandomTick(std::mt19937* random, const Topology& topology, Tick number,
                              TickPeriod period = {}) {
  const auto dice = [&](unsigned n) { return static_cast<unsigned>((*random)() % n); };
  ClusterTick tick;
  tick.tick = number;
  tick.period = period;
  tick.topology_version = topology.version();
  tick.Reset(topology.services().size(), topology.edges().size(), topology.classes().size());
  tick.nodes_seen = dice(4);
  tick.nodes_expected = 4;
  const unsigned style = dice(4);
  const auto real = [&]() -> double {
    if (style == 0) return dice(100);
    if (style == 1) return dice(100'000) / 100'000.0;
    if (style == 2) return dice(1'000'000) / 7.0;
    return dice(10) == 0 ? 3e38 : dice(1000) / 1000.0;
  };
  for (std::uint32_t s = 0; s < tick.services.size(); ++s) {
    for (const Channel channel : kAllChannels) {
      if (channel == Channel::kNic) continue;  // a channel that nobody knows
      const unsigned known = dice(16);
      const ServiceId id(s);
      if (known & 1) tick.services.SetDepth(id, channel, real());
      if (known & 2) tick.services.SetMean(id, channel, real());
      if (known & 4) tick.services.SetFlow(id, channel, dice(1u << 31) * 2, dice(50));
      if (known & 8) tick.services.SetMeanWait(id, channel, real());
    }
  }
  for (std::uint32_t e = 0; e < tick.edges.size(); ++e) {
    const unsigned known = dice(8);
    if (known & 1) tick.edges.SetDepth(EdgeId(e), real());
    if (known & 2) tick.edges.SetMean(EdgeId(e), real());
    if (known & 4) tick.edges.SetMade(EdgeId(e), static_cast<std::uint32_t>((*random)()));
  }
  for (ClassTick& row : tick.classes) {
    row.seen = dice(4) != 0;
    if (!row.seen) continue;
    row.count = dice(1000);
    row.over_target = dice(1000) == 0 ? ~std::uint64_t{0} : dice(10);
    row.oldest_open_ns = dice(2) == 0 ? 0 : std::int64_t{1} << dice(63);
    row.p50_ns = dice(1'000'000);
    row.p99_ns = dice(100'000'000);
    for (unsigned i = dice(10); i > 0; --i) row.latency.Record(dice(1u << 30), 1 + dice(5));
  }
  return tick;
}

}  // namespace seer::testing
