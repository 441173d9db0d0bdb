// Flow: Snapshot, Topology, CollectorTotals -> [AppendMetrics] -> text -> Prometheus and its kin
//
// What a node knows, as the text that a monitoring system scrapes: the Prometheus text format 0.0.4
// or OpenMetrics 1.0.
//
//   std::string page;                                                  // reused
//   collector->Start([&](const seer::Collection& now) {
//     page.clear();
//     seer::AppendMetrics(now.topology, now.snapshot, now.totals, seer::MetricsFormat::kPrometheus,
//                         &page);
//     server.Publish(page, seer::ContentType(seer::MetricsFormat::kPrometheus));
//   });
//
//   seer_queue_depth{service="cart",instance="cart-0",queue="queued"} 12
//   seer_queue_enqueued_total{service="cart",instance="cart-0",queue="queued"} 48213
//
// Families, `queue` being the channel:
//   seer_queue_depth, seer_queue_depth_width    gauges; the true depth lies in [depth, depth +
//   width];
//                                               no width: it is exact
//   seer_queue_peak_depth                       gauge, the deepest that was seen during the tick
//   seer_queue_mean_depth                       gauge, of timed queues
//   seer_queue_mean_wait_seconds                gauge, of timed queues that some request left
//   seer_queue_bytes                            gauge, unread or unsent
//   seer_queue_enqueued_total, _dequeued_total  counters
//   seer_edge_outstanding, seer_edge_calls_total       of {caller, callee}
//   seer_collector_...                          how the collector itself fares
//
// What is missing has no sample, never a zero. Label values are UTF-8: names may hold any bytes,
// and each one that is not UTF-8 becomes U+FFFD and two hexadecimal digits, so that different names
// stay different (a U+FFFD of the name itself becomes U+FFFD and "u").
//
// Threads: pure functions.
// Cost:    about 0.15 us per sample (benchmarks/queue/collector_bench.cc); allocates only where the
//          text grows beyond what it had before.
#pragma once

#include <string>
#include <string_view>

#include "seer/core/config.h"
#include "seer/core/snapshot.h"
#include "seer/core/topology.h"
#include "seer/queue/collector.h"

SEER_BEGIN_NAMESPACE

enum class MetricsFormat { kPrometheus, kOpenMetrics };

// What the HTTP answer says of itself.
std::string_view ContentType(MetricsFormat format);
// What a scraper prefers, by the Accept header of its request.
MetricsFormat PreferredFormat(std::string_view accept);

// The three are of one numbering. Appends a whole exposition, with `# EOF` where the format has it:
// nothing may follow it.
void AppendMetrics(const Topology& topology, const Snapshot& snapshot,
                   const CollectorTotals& totals, MetricsFormat format, std::string* text);

SEER_END_NAMESPACE
