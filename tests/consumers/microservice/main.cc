// A microservice that counts its queues and records its own RPCs: it stamps a request where it
// passes from one queue to the next and keeps the span for whoever collects spans on this node.
#include <cstdio>
#include <string>

#include "seer/core/span.h"
#include "seer/core/tick.h"
#include "seer/core/tsc_clock.h"
#include "seer/core/wire.h"
#include "seer/queue/registry.h"

int main() {
  seer::RegistryOptions options;
  options.directory = "";  // anonymous: nothing of this test outlives it
  const auto registry = seer::QueueRegistry::Create(options);
  if (!registry.ok()) return 1;
  const auto queued = (*registry)->AddQueue("cart", seer::Channel::kQueued);
  const auto running = (*registry)->AddQueue("cart", seer::Channel::kRunning);
  if (!queued.ok() || !running.ok()) return 1;
  seer::Ticket request(*queued);

  const seer::TscClock clock;
  seer::Span::Stamps stamps;
  for (seer::ServerStamp stamp : {seer::ServerStamp::kDequeued, seer::ServerStamp::kHandlerStart,
                                  seer::ServerStamp::kHandlerEnd, seer::ServerStamp::kReplySent}) {
    stamps[static_cast<std::size_t>(stamp)] = clock.ToUnixNs(clock.Stamp());
  }
  request.MoveTo(*running);
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
  request.Leave();
  std::printf("one span in %zu bytes, counters in %zu\n", bytes.size(),
              (*registry)->segment().size());
}
