#include "spans.h"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <optional>
#include <stdexcept>
#include <utility>

#include "seer/trace/sink.h"
#include "seer/trace/span_probe.h"
#include "seer/window/trace_assembler.h"
#include "unix_time.h"

namespace social {
namespace {

constexpr std::int64_t kEveryNs = 2'000'000'000;
constexpr std::size_t kMostHops = 60;

class Spans final : public SlowTraces, public seer::TraceSink {
 public:
  Spans()
      : assembler_(Options(), [this](const seer::RequestTrace& trace) {
          if (!trace.incomplete && trace.latency_ns() > slowest_.latency_ns()) slowest_ = trace;
        }) {}

  void set_probe(const seer::SpanProbe* probe) { probe_ = probe; }

  absl::Status Write(const seer::SpanBatch& batch) override {
    const seer::Topology& topology = probe_->topology();
    for (const seer::Span& span : batch.spans) assembler_.Add(IntervalOf(span, topology));
    return absl::OkStatus();
  }
  absl::Status Flush(std::chrono::nanoseconds) override { return absl::OkStatus(); }

  void Send(const std::function<void(const std::string&)>& send) override {
    const std::int64_t now = NowNs();
    assembler_.AdvanceTo(now);
    if (now - sent_ns_ < kEveryNs) return;
    sent_ns_ = now;
    if (!slowest_.hops.empty() && slowest_.hops.size() <= kMostHops) send(Describe(slowest_));
    slowest_ = seer::RequestTrace();
  }

 private:
  static seer::TraceAssemblerOptions Options() {
    seer::TraceAssemblerOptions options;
    options.max_spans = 1 << 16;
    options.give_incomplete = false;
    return options;
  }

  static seer::SpanInterval IntervalOf(const seer::Span& span, const seer::Topology& topology) {
    seer::SpanInterval interval;
    interval.trace = span.trace_id();
    interval.span_id = span.span_id();
    interval.parent_id = span.parent_id();
    interval.side = span.side();
    interval.outcome = span.outcome();
    interval.root = span.parent_id() == 0;
    if (topology.Has(span.edge())) {
      interval.edge = span.edge();
      interval.caller = topology.edge(span.edge()).caller;
      interval.callee = topology.edge(span.edge()).callee;
    }
    if (topology.Has(span.method())) {
      interval.callee = topology.method(span.method()).service;
      interval.async = topology.method(span.method()).name == "FanOut";  // out of a queue
    }
    interval.start_ns = span.start_ns();
    interval.end_ns = span.start_ns() + span.duration_ns();
    if (span.side() == seer::SpanSide::kServer) {
      if (const auto work = span.stamp(seer::ServerStamp::kHandlerStart)) {
        interval.work_ns = *work;
        interval.queue_known = true;
      }
    }
    return interval;
  }

  std::string Describe(const seer::RequestTrace& trace) const {
    const seer::Topology& topology = probe_->topology();
    std::string text = "trace " + std::to_string(trace.start_ns()) + " " +
                       std::to_string(trace.latency_ns() / 1000) + " " +
                       std::to_string(trace.hops.size());
    for (const seer::Hop& hop : trace.hops) {
      char numbers[160];
      std::snprintf(numbers, sizeof numbers, " %lld %lld %lld %lld %lld",
                    static_cast<long long>((hop.start_ns - trace.start_ns()) / 1000),
                    static_cast<long long>(hop.latency_ns() / 1000),
                    static_cast<long long>(hop.queue_ns / 1000),
                    static_cast<long long>(hop.own_ns / 1000),
                    static_cast<long long>((hop.critical_queue_ns + hop.critical_own_ns) / 1000));
      const std::string name = topology.Has(hop.callee) ? topology.service(hop.callee).name : "?";
      text += " " + std::to_string(hop.parent) + " " + name + numbers;
    }
    return text;
  }

  seer::TraceAssembler assembler_;
  const seer::SpanProbe* probe_ = nullptr;
  seer::RequestTrace slowest_;
  std::int64_t sent_ns_ = 0;
};

}  // namespace

std::shared_ptr<SlowTraces> WatchSpans(const Deployment& deployment, seer::Collector* collector) {
  auto spans = std::make_shared<Spans>();
  seer::SpanProbeOptions options;
  options.drainer.directory = deployment.QueueDirectory();
  options.sink = spans;
  auto probe = seer::SpanProbe::Create(options);
  if (!probe.ok()) throw std::runtime_error(std::string(probe.status().message()));
  spans->set_probe(probe->get());
  collector->AddProbe(*std::move(probe));
  return spans;
}

}  // namespace social
