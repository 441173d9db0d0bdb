// One POST over plain HTTP/1.1, without a library: name resolution, time-outs, and errors in words.
// For a collector beside the service; across a network use a client that speaks TLS.
#pragma once

#include <chrono>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace example {

struct Url {
  std::string host;  // without the brackets of an IPv6 address
  std::string port;
  std::string path;
};
// http://host[:port][/path]; port 4318 and path /v1/traces unless said otherwise.
absl::StatusOr<Url> ParseUrl(const std::string& url);

// OK: the collector answered 2xx. Unavailable: it may be worth trying again (no connection, a
// time-out, 429, 502, 503, 504); InvalidArgument: it never will.
absl::Status Post(const Url& url, const std::string& content_type, const std::string& body,
                  std::chrono::milliseconds timeout);

}  // namespace example
