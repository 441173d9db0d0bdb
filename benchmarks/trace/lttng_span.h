/* The tracepoint that lttng_bench.cc measures: what a span of seer holds. LTTng's macros include
 * this file several times. */
#undef LTTNG_UST_TRACEPOINT_PROVIDER
#define LTTNG_UST_TRACEPOINT_PROVIDER seer_bench

#undef LTTNG_UST_TRACEPOINT_INCLUDE
#define LTTNG_UST_TRACEPOINT_INCLUDE "lttng_span.h"

#if !defined(SEER_BENCH_LTTNG_SPAN_H) || defined(LTTNG_UST_TRACEPOINT_HEADER_MULTI_READ)
#define SEER_BENCH_LTTNG_SPAN_H

#include <lttng/tracepoint.h>
#include <stdint.h>

/* clang-format off */
LTTNG_UST_TRACEPOINT_EVENT(
  seer_bench, span,
  LTTNG_UST_TP_ARGS(const uint64_t*, words),
  LTTNG_UST_TP_FIELDS(
    lttng_ust_field_integer(uint64_t, trace_high, words[0])
    lttng_ust_field_integer(uint64_t, trace_low, words[1])
    lttng_ust_field_integer(uint64_t, span_id, words[2])
    lttng_ust_field_integer(uint64_t, parent_id, words[3])
    lttng_ust_field_integer(uint64_t, bits, words[4])
    lttng_ust_field_integer(uint64_t, stamp0, words[5])
    lttng_ust_field_integer(uint64_t, stamp1, words[6])
    lttng_ust_field_integer(uint64_t, stamp2, words[7])
  )
)
/* clang-format on */

#endif
#include <lttng/tracepoint-event.h>
