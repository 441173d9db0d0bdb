#include "demo.h"

#include <cstdio>
#include <string>
#include <utility>

#include "seer/queue/registry.h"

std::shared_ptr<seer::QueueRegistry> PublishDemo(const std::string& directory) {
  seer::RegistryOptions options;
  options.directory = directory;
  options.instance = "demo-0";
  auto registry = seer::QueueRegistry::Create(options);
  if (!registry.ok() || !(*registry)->status().ok()) {
    const absl::Status status = registry.ok() ? (*registry)->status() : registry.status();
    std::fprintf(stderr, "--demo: %s\n", std::string(status.message()).c_str());
    return nullptr;
  }
  const auto queued = (*registry)->AddQueue("demo", seer::Channel::kQueued);
  if (!queued.ok()) return nullptr;
  for (int i = 0; i < 3; ++i) queued->Enter();
  return *std::move(registry);
}
