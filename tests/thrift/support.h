// What the tests of thrift/ share: the depths of this process, its spans, and waiting for what
// another thread will have done soon.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "seer/core/channel.h"
#include "seer/core/span.h"

namespace seer::testing_support {

// The global node lies in anonymous memory in these tests, and has room for all their services.

// Of all queues of this channel; -1: there are none.
std::int64_t DepthOf(std::string_view service, Channel channel);
// Enqueued since the process began.
std::int64_t ArrivalsOf(std::string_view service, Channel channel);
// The depth of the edge; -1: there is none.
std::int64_t EdgeDepth(std::string_view caller, std::string_view callee);
std::int64_t EdgeCalls(std::string_view caller, std::string_view callee);

struct SeenSpan {
  std::string service;  // who recorded it
  std::string method;
  std::string callee;  // of a client's span
  Span span;
};
// All spans of this process since the last call.
std::vector<SeenSpan> TakeSpans();
// Those of one service (and method), in the order in which they were recorded by each thread.
// Spans of others are kept for later calls.
std::vector<SeenSpan> TakeSpansOf(std::string_view service, std::string_view method = {});

// True as soon as `condition` is; false after ten seconds (a minute under sanitizers).
bool Eventually(const std::function<bool()>& condition);

}  // namespace seer::testing_support
