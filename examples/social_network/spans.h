// The spans of the machine's requests, put together: of every two seconds the slowest request is
// told, hop by hop.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "deployment.h"
#include "seer/queue/collector.h"

namespace social {

class SlowTraces {
 public:
  virtual ~SlowTraces() = default;
  // "trace <start, unix ns> <latency, us> <hops> {<parent> <service> <start, us> <latency, us>
  //  <queue, us> <own, us> <on the critical path, us>}": hops by their place, a root's parent is
  //  -1.
  virtual void Send(const std::function<void(const std::string&)>& send) = 0;
};

// Asks for the spans of all processes, whenever the collector's tick ends.
std::shared_ptr<SlowTraces> WatchSpans(const Deployment& deployment, seer::Collector* collector);

}  // namespace social
