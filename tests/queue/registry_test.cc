#include "seer/queue/registry.h"

#include <gtest/gtest.h>

#include "seer/queue/reader.h"

namespace seer {
namespace {
TEST(QueueRegistry, Works) {
  RegistryOptions options;
  options.directory = "/tmp/seer-x";
  auto registry = QueueRegistry::Create(options);
  ASSERT_TRUE(registry.ok()) << registry.status();
  auto q = (*registry)->AddQueue("a", Channel::kQueued);
  ASSERT_TRUE(q.ok());
  ReaderOptions ro;
  ro.directory = options.directory;
  auto reader = Reader::Open(ro);
  q->Enter();
  const NodeReading& r = (*reader)->Read();
  ASSERT_EQ(r.queues.size(), 1u);
  EXPECT_EQ(r.queues[0].depth, 1u);
}
}  // namespace
}  // namespace seer
