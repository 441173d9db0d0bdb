// A microservice that records its own RPCs: it stamps a request where it passes from one queue to
// the next and keeps the span for whoever collects spans on this node.
#include <cstdio>
#include <string>

#include "seer/core/span.h"
#include "seer/core/tick.h"
#include "seer/core/tsc_clock.h"
#include "seer/core/wire.h"

int main() {
  const seer::TscClock clock;
  seer::Span::Stamps stamps;
  for (seer::ServerStamp stamp : {seer::ServerStamp::kDequeued, seer::ServerStamp::kHandlerStart,
                                  seer::ServerStamp::kHandlerEnd, seer::ServerStamp::kReplySent}) {
    stamps[static_cast<std::size_t>(stamp)] = clock.ToUnixNs(clock.Stamp());
  }
  seer::Span span;
  span.SetIds({1, 2}, 3, 0);
  span.set_method(seer::MethodId(7));
  span.set_outcome(seer::Outcome::kOk);
  span.SetStamps(seer::SpanSide::kServer, stamps);

  seer::SpanBatch batch;
  batch.origin.node = "node-1";
  batch.instance = seer::InstanceId(0);
  batch.spans.push_back(span);
  const std::string bytes = seer::Encode(batch);

  const absl::StatusOr<seer::SpanBatch> read = seer::Decode<seer::SpanBatch>(bytes);
  if (!read.ok() || *read != batch) {
    std::fprintf(stderr, "the batch does not survive its bytes\n");
    return 1;
  }
  const seer::Span& seen = read->spans.front();
  if (seen.stamp(seer::ServerStamp::kReceived).has_value() || seen.duration_ns() < 0 ||
      seer::TickPeriod().TickAt(seen.start_ns()) <= 0) {
    std::fprintf(stderr, "the span does not hold what was stamped\n");
    return 1;
  }
  std::printf("one span in %zu bytes\n", bytes.size());
}
