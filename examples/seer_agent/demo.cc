#include "demo.h"

#include <cstdio>
#include <string>
#include <utility>

#include "absl/status/status.h"

namespace {

absl::Status Why(const absl::Status& status) {
  std::fprintf(stderr, "--demo: %s\n", std::string(status.message()).c_str());
  return status;
}

}  // namespace

std::unique_ptr<Demo> Demo::Publish(const std::string& directory) {
  std::unique_ptr<Demo> demo(new Demo);
  seer::RegistryOptions queues;
  queues.directory = directory;
  queues.instance = "demo-0";
  auto registry = seer::QueueRegistry::Create(queues);
  if (!registry.ok() || !(*registry)->status().ok()) {
    Why(registry.ok() ? (*registry)->status() : registry.status()).IgnoreError();
    return nullptr;
  }
  demo->queues_ = *std::move(registry);
  seer::RecorderOptions spans;
  spans.directory = directory;
  spans.instance = "demo-0";
  auto recorder = seer::SpanRecorder::Create(spans);
  if (!recorder.ok() || !(*recorder)->status().ok()) {
    Why(recorder.ok() ? (*recorder)->status() : recorder.status()).IgnoreError();
    return nullptr;
  }
  demo->spans_ = *std::move(recorder);
  const auto queued = demo->queues_->AddQueue("demo", seer::Channel::kQueued);
  const auto look = demo->spans_->AddServed("demo", "look");
  if (!queued.ok() || !look.ok()) return nullptr;
  for (int i = 0; i < 3; ++i) queued->Enter();
  demo->look_ = *look;
  return demo;
}

void Demo::Serve() const {
  seer::ServerSpan span(look_, seer::TraceContext());
  span.HandlerStart();
  span.HandlerEnd();
  span.End(seer::Outcome::kOk);
}
