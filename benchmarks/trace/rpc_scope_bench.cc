// What counting adds to recording: a request and a call with all of their queues, and the same
// through the OpenTracing API where that is built.
#include <benchmark/benchmark.h>

#include <memory>

#include "seer/queue/registry.h"
#include "seer/trace/recorder.h"
#include "seer/trace/rpc_scope.h"
#ifdef SEER_BENCH_OPENTRACING
#include "seer/trace/opentracing.h"
#endif

namespace seer::bench {
namespace {

struct Host {
  Host() {
    RegistryOptions registry;
    registry.directory = "";
    queues = *QueueRegistry::Create(registry);
    RecorderOptions options;
    options.when_full = RecorderOptions::WhenFull::kKeepLatest;  // never full
    recorder = *SpanRecorder::Create(options);
  }
  std::unique_ptr<QueueRegistry> queues;
  std::unique_ptr<SpanRecorder> recorder;
};

// Both spans alone.
void BM_ServedAndCalledSpans(benchmark::State& state) {
  const Host host;
  const auto served = *host.recorder->AddServed("cart", "Get");
  const auto called = *host.recorder->AddCalled("cart", "user", "Find");
  const TraceContext caller = NewRoot();
  for (auto _ : state) {
    ServerSpan request(served, caller);
    request.Dequeued();
    const ContextScope scope(request.ContextUnder(caller));
    request.HandlerStart();
    ClientSpan call(called, CurrentContext());
    call.End(Outcome::kOk);
    request.HandlerEnd();
    request.End(Outcome::kOk);
  }
}
BENCHMARK(BM_ServedAndCalledSpans);

void BM_ServedAndOutgoingCall(benchmark::State& state) {
  const Host host;
  const auto served = *ServedRpc::Add(*host.queues, *host.recorder, "cart", "Get");
  const auto called = *CalledRpc::Add(*host.queues, *host.recorder, "cart", "user", "Find");
  const TraceContext caller = NewRoot();
  for (auto _ : state) {
    ServedCall request(served, caller);
    request.Dequeued();
    {
      const HandlerScope handling(&request);
      OutgoingCall call(called);
      call.End(Outcome::kOk);
    }
    request.End(Outcome::kOk);
  }
}
BENCHMARK(BM_ServedAndOutgoingCall);

#ifdef SEER_BENCH_OPENTRACING
void BM_OpenTracingServerAndClient(benchmark::State& state) {
  const Host host;
  OpenTracingOptions options;
  options.service = "cart";
  options.queues = host.queues.get();
  options.recorder = host.recorder.get();
  const auto tracer = *OpenTracingTracer::Create(options);
  for (auto _ : state) {
    auto request = tracer->StartSpan("get_cart_server");
    auto call = tracer->StartSpan("find_user_client", {opentracing::ChildOf(&request->context())});
    call->Finish();
    request->Finish();
  }
}
BENCHMARK(BM_OpenTracingServerAndClient);
#endif

}  // namespace
}  // namespace seer::bench
