/* A library of its own, which lttng_bench.cc loads when it needs it: LTTng starts threads. */
#define LTTNG_UST_TRACEPOINT_CREATE_PROBES
#define LTTNG_UST_TRACEPOINT_DEFINE
#include "lttng_span.h"

#include <time.h>

int seer_bench_lttng_enabled(void) { return lttng_ust_tracepoint_enabled(seer_bench, span); }

static uint64_t Now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* Ids, method and outcome, three stamps; the event's own time is the fourth. */
void seer_bench_lttng_span(const uint64_t* ids) {
  uint64_t words[8] = {ids[0], ids[1], ids[2], ids[3], ids[4]};
  words[5] = Now();
  words[6] = Now();
  words[7] = Now();
  lttng_ust_tracepoint(seer_bench, span, words);
}
