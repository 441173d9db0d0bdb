// A queue and requests that this program publishes itself, for people who have no service at hand.
#pragma once

#include <memory>
#include <string>

#include "seer/queue/registry.h"
#include "seer/trace/recorder.h"

// Three requests wait in its queue for ever, and others come and go.
class Demo {
 public:
  // Null: it cannot be; a line on stderr says why.
  static std::unique_ptr<Demo> Publish(const std::string& directory);
  // One request, served at once.
  void Serve() const;

 private:
  Demo() = default;
  std::unique_ptr<seer::QueueRegistry> queues_;
  std::unique_ptr<seer::SpanRecorder> spans_;
  seer::ServedMethod look_;
};
