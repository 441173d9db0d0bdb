// Flow: SpanBatch -> [IntervalOf] -> SpanInterval -> window/
//
// What tracers in the simulated services record: both sides of each call of the requests that are
// sampled, with all stamps.
//
//   simulator.KeepSpans(/*share=*/0.1);
//   simulator.RunTick();
//   for (const seer::SpanBatch& batch : simulator.TakeSpans()) {
//     for (const seer::Span& span : batch.spans) {
//       assembler.Add(seer::cluster::IntervalOf(simulator.model(), batch.instance, span));
//     }
//   }
//
// A batch without an instance is that of the clients outside. The high half of a trace id is the
// request's class plus one. Where a request waits, and so from when it runs, is told by its
// service's server software, as in Simulator::Observe(). The client's span of a call that nobody
// waits for ends when it is sent, and has no first byte.
//
// Threads: a pure function. Cost: tens of ns. A span costs the simulation about 50 ns, and nothing
// where none are kept.
#pragma once

#include "benchmarks/cluster/sim/model.h"
#include "seer/core/span.h"
#include "seer/window/span_interval.h"

namespace seer::cluster {

SpanInterval IntervalOf(const Model& model, InstanceId recorded_by, const Span& span);

}  // namespace seer::cluster
