// What goes through the queue from compose-post to write-home-timeline: which post, whose it is,
// who is mentioned, and the trace that it belongs to. Lines of text.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "seer/trace/context.h"
#include "social_types.h"

namespace social {

struct FanOut {
  std::int64_t post = 0;
  std::int64_t creator = 0;
  std::vector<std::int64_t> mentioned;
  seer::TraceContext context;  // not valid: none came with it
};

std::string EncodeFanOut(const Post& post, const seer::TraceContext& context);
// What is not there stays as it is in FanOut().
FanOut DecodeFanOut(const std::string& message);

}  // namespace social
