// Request classes and spans: what --class and --spans ask for.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "seer/core/span.h"
#include "seer/core/topology.h"
#include "seer/queue/collector.h"
#include "seer/trace/span_probe.h"

// "shop/checkout=frontend/POST:p99<=20ms/1s": application (or none), class, service, method (or all
// of them), and a target:
//   p99<=20ms/1s    the 99th percentile over a second
//   2%>90ms/1s      at most 2 % slower than 90 ms
//   5>90ms/10s      fewer than 5 slower than 90 ms in ten seconds
std::optional<seer::SpanClass> ParseClass(std::string_view text);

// Puts a SpanProbe on the collector. `write`, if there is one, gets every batch, with the topology
// of its numbering.
using WriteSpans = std::function<absl::Status(const seer::SpanBatch&, const seer::Topology&)>;
absl::Status WatchSpans(const seer::SpanProbeOptions& options, WriteSpans write,
                        seer::Collector* collector);
