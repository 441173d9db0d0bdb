// What unload_main.cc loads: a library with seer inside.
#include <memory>

#include "seer/queue/reader.h"
#include "seer/queue/registry.h"

namespace {
std::unique_ptr<seer::QueueRegistry> registry;
seer::Queue queue;
}  // namespace

extern "C" __attribute__((visibility("default"))) bool plugin_start(const char* directory) {
  seer::RegistryOptions options;
  options.directory = directory;
  auto made = seer::QueueRegistry::Create(options);
  if (!made.ok() || !(*made)->status().ok()) return false;
  registry = *std::move(made);
  const auto added = registry->AddQueue("plugin", seer::Channel::kQueued);
  if (added.ok()) queue = *added;
  return added.ok();
}

extern "C" __attribute__((visibility("default"))) void plugin_count() { queue.Enter(); }

extern "C" __attribute__((visibility("default"))) unsigned plugin_depth(const char* directory) {
  seer::ReaderOptions options;
  options.directory = directory;
  const auto reader = seer::Reader::Open(options);
  if (!reader.ok()) return 0;
  unsigned depth = 0;
  for (const seer::QueueReading& one : (*reader)->Read().queues) depth += one.depth;
  return depth;
}
