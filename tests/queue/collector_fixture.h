// A collector over a directory of its own, with a clock that the test moves.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "seer/queue/collector.h"
#include "seer/queue/registry.h"
#include "tests/queue/sandbox.h"

namespace seer::testing {

inline constexpr std::int64_t kTick = 100'000'000;
inline constexpr std::int64_t kStart = 1'700'000'000'000'000'000;
inline constexpr Tick kFirst = kStart / kTick - 1;  // what Tick() at kStart makes

class CollectorFixture : public ::testing::Test {
 protected:
  CollectorFixture() {
    options_.node = "node-7";
    options_.clock = &clock_;
    options_.epoch = 42;
    options_.reader.directory = directory_.path();
  }

  // As if another process published there.
  std::unique_ptr<QueueRegistry> Process(const std::string& instance) {
    RegistryOptions options;
    options.directory = directory_.path();
    options.instance = instance;
    auto registry = QueueRegistry::Create(options);
    EXPECT_TRUE(registry.ok()) << registry.status();
    EXPECT_TRUE((*registry)->status().ok()) << (*registry)->status();
    return *std::move(registry);
  }

  std::unique_ptr<Collector> Make() {
    auto collector = Collector::Create(options_);
    EXPECT_TRUE(collector.ok()) << collector.status();
    return *std::move(collector);
  }

  const Snapshot& NextTick(Collector& collector) {
    clock_.Advance(kTick);
    return collector.Tick();
  }

  static std::optional<ChannelSample> At(const Collector& collector, const Snapshot& snapshot,
                                         const char* service, const char* instance,
                                         Channel channel) {
    const Topology& topology = collector.topology();
    const auto service_id = topology.FindService(service);
    if (!service_id) return std::nullopt;
    const auto id = topology.FindInstance(*service_id, instance);
    return id ? snapshot.instances.Get(*id, channel) : std::nullopt;
  }

  const ScratchDirectory directory_;
  ManualClock clock_{kStart};
  CollectorOptions options_;
};

inline ChannelSample Counted(std::uint32_t depth, std::uint32_t arrivals,
                             std::uint32_t departures) {
  ChannelSample sample;
  sample.depth = depth;
  sample.counted = true;
  sample.arrivals = arrivals;
  sample.departures = departures;
  return sample;
}

}  // namespace seer::testing
