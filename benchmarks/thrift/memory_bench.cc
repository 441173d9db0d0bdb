// What tracing costs a call, with memory instead of a network: instructions, and time beside the
// plain peer, call by call in turn.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <ctime>
#include <memory>
#include <string>
#include <vector>

#include <thrift/protocol/TBinaryProtocol.h>
#include <thrift/transport/TBufferTransports.h>
#include <thrift/transport/TVirtualTransport.h>

#include "Bench.h"
#include "benchmarks/harness/figure.h"
#include "benchmarks/harness/instructions.h"
#include "benchmarks/thrift/drain.h"
#include "seer/core/tsc_clock.h"
#include "seer/thrift/make_traced.h"
#include "seer/thrift/node.h"
#include "seer/thrift/trace.h"
#include "seer/thrift/trace_client.h"
#include "seer/trace/drainer.h"
#include "seer/trace/sink.h"

namespace seer::bench {
namespace {

using apache::thrift::TProcessor;
using apache::thrift::protocol::TBinaryProtocol;
using apache::thrift::protocol::TProtocol;
using apache::thrift::transport::TFramedTransport;
using apache::thrift::transport::TMemoryBuffer;
using apache::thrift::transport::TTransport;

class Handler final : public bench_made::BenchIf {
 public:
  void echo(std::string& result, const std::string& text) override { result = text; }
  std::int32_t count(const std::vector<bench_made::Item>& items) override {
    return static_cast<std::int32_t>(items.size());
  }
  std::int32_t work(const std::int32_t) override { return 0; }
};

// Nothing of this reaches /dev/shm.
const bool options_are_set = [] {
  RegistryOptions queues;
  queues.directory = "";
  SetThriftCaller("bench");
  return QueueRegistry::SetGlobalOptions(queues).ok();
}();

class Away final : public TraceSink {
 public:
  absl::Status Write(const SpanBatch&) override { return absl::OkStatus(); }
  absl::Status Flush(std::chrono::nanoseconds) override { return absl::OkStatus(); }
};

const std::string& SmallText() {
  static const auto* const text = new std::string(64, 'x');
  return *text;
}
const std::vector<bench_made::Item>& ManyItems() {
  static const auto* const items = [] {
    auto* const made = new std::vector<bench_made::Item>(1000);
    for (std::size_t i = 0; i < made->size(); ++i) {
      (*made)[i].id = static_cast<std::int32_t>(i);
      (*made)[i].name = "item " + std::to_string(i);
      (*made)[i].weight = 0.5 * static_cast<double>(i);
    }
    return made;
  }();
  return *items;
}
void Send(bench_made::BenchClient& client, bool big) {
  if (big) {
    client.send_count(ManyItems());
  } else {
    client.send_echo(SmallText());
  }
}

// One request, processed again and again.
class ServerSide {
 public:
  // `request`: with a context, as traced clients send it.
  ServerSide(bool traced, bool big, bool request_has_context) {
    processor_ = std::make_shared<bench_made::BenchProcessor>(std::make_shared<Handler>());
    if (traced) processor_ = Trace("bench-server", processor_);
    const auto memory = std::make_shared<TMemoryBuffer>();
    std::shared_ptr<TProtocol> protocol;
    if (request_has_context) {
      protocol = MakeTraced<TBinaryProtocol>("bench-server", memory);
    } else {
      protocol = std::make_shared<TBinaryProtocol>(memory);
    }
    bench_made::BenchClient client(protocol);
    Send(client, big);
    request_ = memory->getBufferAsString();
  }
  void Call() {
    in_->resetBuffer(reinterpret_cast<std::uint8_t*>(request_.data()),
                     static_cast<std::uint32_t>(request_.size()));
    out_->resetBuffer();
    processor_->process(in_protocol_, out_protocol_, nullptr);
  }

 private:
  std::shared_ptr<TProcessor> processor_;
  std::string request_;
  const std::shared_ptr<TMemoryBuffer> in_ = std::make_shared<TMemoryBuffer>();
  const std::shared_ptr<TMemoryBuffer> out_ = std::make_shared<TMemoryBuffer>();
  const std::shared_ptr<TProtocol> in_protocol_ = std::make_shared<TBinaryProtocol>(in_);
  const std::shared_ptr<TProtocol> out_protocol_ = std::make_shared<TBinaryProtocol>(out_);
};

// What lies under a client's framed transport: it reads the same reply each time, and what it
// writes is thrown away.
class Loop final
    : public apache::thrift::transport::TVirtualTransport<Loop,
                                                          apache::thrift::transport::TBufferBase> {
 public:
  explicit Loop(std::string reply) : reply_(std::move(reply)), written_(1 << 20) {
    setWriteBuffer(written_.data(), static_cast<std::uint32_t>(written_.size()));
  }
  bool isOpen() const override { return true; }
  void flush() override {
    setWriteBuffer(written_.data(), static_cast<std::uint32_t>(written_.size()));
    setReadBuffer(reinterpret_cast<std::uint8_t*>(reply_.data()),
                  static_cast<std::uint32_t>(reply_.size()));
  }

 private:
  std::uint32_t readSlow(std::uint8_t*, std::uint32_t) override { return 0; }
  void writeSlow(const std::uint8_t*, std::uint32_t) override {}
  const std::uint8_t* borrowSlow(std::uint8_t*, std::uint32_t*) override { return nullptr; }
  std::string reply_;
  std::vector<std::uint8_t> written_;
};

enum class How { kPlain, kMakeTraced, kTraceClient };
class ClientSide {
 public:
  ClientSide(How how, bool big) : big_(big) {
    const auto loop = std::make_shared<TFramedTransport>(std::make_shared<Loop>(Reply(big)));
    std::shared_ptr<TProtocol> protocol;
    if (how == How::kMakeTraced) {
      protocol = MakeTraced<TBinaryProtocol>("bench-callee", loop);
    } else {
      protocol = std::make_shared<TBinaryProtocol>(loop);
      if (how == How::kTraceClient) protocol = TraceClient("bench-callee", protocol);
    }
    client_ = std::make_unique<bench_made::BenchClient>(protocol);
  }
  void Call() {
    if (big_) {
      benchmark::DoNotOptimize(client_->count(ManyItems()));
    } else {
      client_->echo(result_, SmallText());
    }
  }

 private:
  static std::string Reply(bool big) {
    const auto request = std::make_shared<TMemoryBuffer>();
    const auto reply = std::make_shared<TMemoryBuffer>();
    bench_made::BenchClient client(std::make_shared<TBinaryProtocol>(request));
    Send(client, big);
    bench_made::BenchProcessor(std::make_shared<Handler>())
        .process(std::make_shared<TBinaryProtocol>(request),
                 std::make_shared<TBinaryProtocol>(std::make_shared<TFramedTransport>(reply)),
                 nullptr);
    return reply->getBufferAsString();
  }
  const bool big_;
  std::string result_;
  std::unique_ptr<bench_made::BenchClient> client_;
};

// ---- Instructions. Counted once: they are the same each time.

// Stepping takes some microseconds an instruction: fewer calls than InstructionsPerCall() makes.
template <typename Side>
double Instructions(Side& side, bool big) {
  const auto body = [&] { side.Call(); };
  const int few = big ? 0 : 2, many = big ? 1 : 12;
  const std::int64_t less = internal::CountSteps(few, body);
  const std::int64_t more = internal::CountSteps(many, body);
  if (less < 0 || more < 0) return std::nan("");
  return static_cast<double>(more - less) / (many - few);
}
double ServerInstructions(bool traced, bool big, bool context) {
  ServerSide side(traced, big, context);
  return Instructions(side, big);
}
double ClientInstructions(How how, bool big) {
  ClientSide side(how, big);
  return Instructions(side, big);
}
void BM_Instructions(benchmark::State& state) {
  struct Counts {
    // More than a plain server does for a call without a context. server: with one, as traced
    // clients send it, so that this is all that tracing both sides adds to the server;
    // server_no_context: of plain clients. server_skips: with a context, more than a plain server
    // that has to skip it.
    double server, server_no_context, server_skips, client, client_wrapped;
    double server_off, client_off;  // while tracing is off
    double server_big_pct, client_big_pct, client_wrapped_big_pct;
  };
  static const Counts counts = [] {
    Counts c = {};
    const double server = ServerInstructions(false, false, false);
    c.server = ServerInstructions(true, false, true) - server;
    c.server_no_context = ServerInstructions(true, false, false) - server;
    c.server_skips = ServerInstructions(true, false, true) - ServerInstructions(false, false, true);
    const double client = ClientInstructions(How::kPlain, false);
    c.client = ClientInstructions(How::kMakeTraced, false) - client;
    c.client_wrapped = ClientInstructions(How::kTraceClient, false) - client;
    SetThriftTracing(false);
    c.server_off = ServerInstructions(true, false, false) - server;
    c.client_off = ClientInstructions(How::kMakeTraced, false) - client;
    SetThriftTracing(true);
    const double server_big = ServerInstructions(false, true, false);
    c.server_big_pct = 100 * (ServerInstructions(true, true, true) / server_big - 1);
    const double client_big = ClientInstructions(How::kPlain, true);
    c.client_big_pct = 100 * (ClientInstructions(How::kMakeTraced, true) / client_big - 1);
    c.client_wrapped_big_pct = 100 * (ClientInstructions(How::kTraceClient, true) / client_big - 1);
    return c;
  }();
  for (auto _ : state) benchmark::DoNotOptimize(counts.server);
  state.counters["server"] = counts.server;
  state.counters["server_no_context"] = counts.server_no_context;
  state.counters["server_skips"] = counts.server_skips;
  state.counters["server_off"] = counts.server_off;
  state.counters["client"] = counts.client;
  state.counters["client_off"] = counts.client_off;
  state.counters["trace_client"] = counts.client_wrapped;
  state.counters["server_big_pct"] = counts.server_big_pct;
  state.counters["client_big_pct"] = counts.client_big_pct;
  state.counters["trace_client_big_pct"] = counts.client_wrapped_big_pct;
}
BENCHMARK(BM_Instructions);

// ---- Time: what a traced call takes longer than a plain one. In turn, some hundred calls each, so
// that whatever else the machine does meets both. Of many such rounds the tenth percentile of each:
// a machine that does other things makes all others longer, and never shorter.

double NowNs() {
  timespec now;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return 1e9 * static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec);
}
template <typename Plain, typename Ours>
double AddedNs(Plain& plain, Ours& ours) {
  constexpr int kRounds = 201, kCalls = 300;
  const auto time = [](auto& side) {
    const double start = NowNs();
    for (int i = 0; i < kCalls; ++i) side.Call();
    return (NowNs() - start) / kCalls;
  };
  std::vector<double> before, with;
  for (int i = 0; i < kRounds; ++i) {
    if (i % 2 == 0) before.push_back(time(plain));
    with.push_back(time(ours));
    if (i % 2 != 0) before.push_back(time(plain));
    Drain();
  }
  const auto tenth = [](std::vector<double>& values) {
    std::nth_element(values.begin(), values.begin() + kRounds / 10, values.end());
    return values[kRounds / 10];
  };
  return tenth(with) - tenth(before);
}
// The clock's part: a server and a client take four stamps each. (Virtual machines differ much.)
struct Nothing {
  void Call() { benchmark::ClobberMemory(); }
};
struct FourStamps {
  void Call() {
    for (int i = 0; i < 4; ++i) benchmark::DoNotOptimize(clock.Stamp());
    benchmark::ClobberMemory();
  }
  const TscClock clock;
};
void BM_AddedNs(benchmark::State& state) {
  Nothing nothing;
  FourStamps stamps;
  ServerSide plain_server(false, false, false), server(true, false, true);
  ClientSide plain_client(How::kPlain, false), client(How::kMakeTraced, false),
      wrapped(How::kTraceClient, false);
  double server_ns = 0, client_ns = 0, wrapped_ns = 0, stamps_ns = 0;
  for (auto _ : state) {
    server_ns = AddedNs(plain_server, server);
    client_ns = AddedNs(plain_client, client);
    wrapped_ns = AddedNs(plain_client, wrapped);
    stamps_ns = AddedNs(nothing, stamps);
  }
  state.counters["server"] = server_ns;
  state.counters["client"] = client_ns;
  state.counters["trace_client"] = wrapped_ns;
  state.counters["four_stamps"] = stamps_ns;
}
BENCHMARK(BM_AddedNs)->Iterations(1);

SEER_FIGURE(server_instructions,
            Counter("thrift.server_instructions", "", "<= 1000", "BM_Instructions", "server"));
SEER_FIGURE(client_instructions,
            Counter("thrift.client_instructions", "", "<= 1100", "BM_Instructions", "client"));
SEER_FIGURE(server_big,
            Counter("thrift.server_big_pct", "%", "<= 0.2", "BM_Instructions", "server_big_pct"));
SEER_FIGURE(client_big,
            Counter("thrift.client_big_pct", "%", "<= 0.5", "BM_Instructions", "client_big_pct"));
SEER_FIGURE(trace_client_instructions,
            Counter("thrift.trace_client_instructions", "", "", "BM_Instructions", "trace_client"));
SEER_FIGURE(trace_client_big, Counter("thrift.trace_client_big_pct", "%", "", "BM_Instructions",
                                      "trace_client_big_pct"));
SEER_FIGURE(server_plain_caller, Counter("thrift.server_no_context_instructions", "", "",
                                         "BM_Instructions", "server_no_context"));
SEER_FIGURE(server_skips, Counter("thrift.server_vs_skipping_instructions", "", "",
                                  "BM_Instructions", "server_skips"));
SEER_FIGURE(server_off,
            Counter("thrift.server_off_instructions", "", "", "BM_Instructions", "server_off"));
SEER_FIGURE(client_off,
            Counter("thrift.client_off_instructions", "", "", "BM_Instructions", "client_off"));
SEER_FIGURE(server_ns, Counter("thrift.server_ns", "ns", "<= 140", "BM_AddedNs", "server"));
SEER_FIGURE(client_ns, Counter("thrift.client_ns", "ns", "<= 95", "BM_AddedNs", "client"));
SEER_FIGURE(four_stamps_ns,
            Counter("thrift.four_stamps_ns", "ns", "", "BM_AddedNs", "four_stamps"));
SEER_FIGURE(trace_client_ns,
            Counter("thrift.trace_client_ns", "ns", "", "BM_AddedNs", "trace_client"));

}  // namespace

void Drain() {
  static SpanDrainer* const drainer = [] {
    DrainerOptions options;
    options.lease = std::chrono::hours(1);
    return SpanDrainer::Create(SpanRecorder::Global(), std::make_shared<Away>(), options)
        .value()
        .release();
  }();
  drainer->Drain().IgnoreError();
}

}  // namespace seer::bench
