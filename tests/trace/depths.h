// The queues of an anonymous registry, by name, for tests of what counts in them.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "seer/queue/reader.h"
#include "seer/queue/registry.h"

namespace seer::testing {

inline std::unique_ptr<QueueRegistry> MakeRegistry() {
  RegistryOptions options;
  options.directory = "";
  options.instance = "test-1";
  auto registry = QueueRegistry::Create(options);
  EXPECT_TRUE(registry.ok()) << registry.status();
  return registry.ok() ? *std::move(registry) : nullptr;
}

class Depths {
 public:
  explicit Depths(const QueueRegistry& registry) {
    ReaderOptions options;
    options.directory = "";
    auto reader = Reader::Open(options);
    EXPECT_TRUE(reader.ok()) << reader.status();
    if (!reader.ok()) return;
    reader_ = *std::move(reader);
    EXPECT_TRUE(reader_->Add(registry).ok());
  }

  // -1: there is no such queue. `channel`: "cart queued", or "cart -> user".
  std::int64_t Of(const std::string& channel) { return Look(channel, &QueueReading::depth); }
  std::uint64_t Enqueued(const std::string& channel) {
    return static_cast<std::uint64_t>(Look(channel, &QueueReading::enqueued));
  }
  // Leaves without an enter, in all readings.
  std::uint64_t errors() const { return errors_; }

 private:
  template <typename Field>
  std::int64_t Look(const std::string& channel, Field QueueReading::*field) {
    const NodeReading& now = reader_->Read();
    errors_ += now.counter_errors;
    for (std::size_t i = 0; i < now.queues.size(); ++i) {
      const QueueInfo& info = reader_->queues()[i];
      const std::string name = info.channel
                                   ? info.service + " " + std::string(ChannelName(*info.channel))
                                   : info.service + " -> " + info.callee;
      if (name == channel) return static_cast<std::int64_t>(now.queues[i].*field);
    }
    return -1;
  }

  std::unique_ptr<Reader> reader_;
  std::uint64_t errors_ = 0;
};

}  // namespace seer::testing
