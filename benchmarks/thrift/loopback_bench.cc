// What tracing adds to a call over the loopback interface, by the length of its handler: both sides
// traced against both plain, two servers and two clients in this process, call by call in turn.
//
// The handler computes for as long as it is told, in time of its own thread, so that what other
// processes take from the machine does not count as its work. Of the calls of each kind the faster
// half is averaged: the slower half is what the machine does besides.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <ctime>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <thrift/protocol/TBinaryProtocol.h>
#include <thrift/server/TThreadedServer.h>
#include <thrift/transport/TBufferTransports.h>
#include <thrift/transport/TServerSocket.h>
#include <thrift/transport/TSocket.h>

#include "Bench.h"
#include "benchmarks/harness/figure.h"
#include "seer/thrift/make_traced.h"
#include "seer/thrift/trace.h"

namespace seer::bench {
namespace {

using apache::thrift::protocol::TBinaryProtocol;
using apache::thrift::protocol::TBinaryProtocolFactory;
using apache::thrift::protocol::TProtocol;
using apache::thrift::server::TThreadedServer;
using apache::thrift::transport::TFramedTransport;
using apache::thrift::transport::TFramedTransportFactory;
using apache::thrift::transport::TServerSocket;
using apache::thrift::transport::TSocket;

double Ns(clockid_t clock) {
  timespec now;
  clock_gettime(clock, &now);
  return 1e9 * static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec);
}

class Worker final : public bench_made::BenchIf {
 public:
  void echo(std::string& result, const std::string& text) override { result = text; }
  std::int32_t count(const std::vector<bench_made::Item>&) override { return 0; }
  std::int32_t work(const std::int32_t microseconds) override {
    if (microseconds == 0) return 0;
    const double end = Ns(CLOCK_THREAD_CPUTIME_ID) + 1e3 * microseconds;
    while (Ns(CLOCK_THREAD_CPUTIME_ID) < end) {
    }
    return microseconds;
  }
};

class Pair {
 public:
  explicit Pair(bool traced) {
    std::shared_ptr<apache::thrift::TProcessor> processor =
        std::make_shared<bench_made::BenchProcessor>(std::make_shared<Worker>());
    if (traced) processor = Trace("bench-loopback", processor);
    socket_ = std::make_shared<TServerSocket>("127.0.0.1", 0);
    server_ = std::make_unique<TThreadedServer>(processor, socket_,
                                                std::make_shared<TFramedTransportFactory>(),
                                                std::make_shared<TBinaryProtocolFactory>());
    server_->setServerEventHandler(std::make_shared<Listens>(&listens_));
    thread_ = std::thread([this] { server_->serve(); });
    listens_.get_future().wait();
    connection_ = std::make_shared<TSocket>("127.0.0.1", socket_->getPort());
    connection_->open();
    const auto framed = std::make_shared<TFramedTransport>(connection_);
    std::shared_ptr<TProtocol> protocol;
    if (traced) {
      protocol = MakeTraced<TBinaryProtocol>("bench-loopback", framed);
    } else {
      protocol = std::make_shared<TBinaryProtocol>(framed);
    }
    client_ = std::make_unique<bench_made::BenchClient>(protocol);
  }
  ~Pair() {
    connection_->close();
    server_->stop();
    thread_.join();
  }
  struct Taken {
    std::vector<double> wall_ns;
    std::vector<double> cpu_ns;  // of client and server
  };
  void Call(int microseconds, Taken* taken) {
    const double cpu = Ns(CLOCK_PROCESS_CPUTIME_ID);
    const double wall = Ns(CLOCK_MONOTONIC);
    client_->work(microseconds);
    taken->wall_ns.push_back(Ns(CLOCK_MONOTONIC) - wall);
    taken->cpu_ns.push_back(Ns(CLOCK_PROCESS_CPUTIME_ID) - cpu);
  }

 private:
  class Listens final : public apache::thrift::server::TServerEventHandler {
   public:
    explicit Listens(std::promise<void>* listens) : listens_(listens) {}
    void preServe() override { listens_->set_value(); }

   private:
    std::promise<void>* const listens_;
  };
  std::promise<void> listens_;
  std::shared_ptr<TServerSocket> socket_;
  std::unique_ptr<TThreadedServer> server_;
  std::thread thread_;
  std::shared_ptr<TSocket> connection_;
  std::unique_ptr<bench_made::BenchClient> client_;
};

double MeanOfFasterHalf(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  double sum = 0;
  for (auto v = values.begin(); v != middle; ++v) sum += *v;
  return sum / static_cast<double>(middle - values.begin());
}

void BM_Loopback(benchmark::State& state) {
  static Pair* const plain = new Pair(false);  // kept: their threads and connections are warm
  static Pair* const traced = new Pair(true);
  const int microseconds = static_cast<int>(state.range(0));
  const int pairs = std::clamp(300000 / (microseconds + 20), 60, 4000);
  Pair::Taken before, with;
  for (auto _ : state) {
    for (int i = 0; i < pairs; ++i) {
      if (i % 2 == 0) {
        plain->Call(microseconds, &before);
        traced->Call(microseconds, &with);
      } else {
        traced->Call(microseconds, &with);
        plain->Call(microseconds, &before);
      }
    }
  }
  const double wall = MeanOfFasterHalf(before.wall_ns);
  const double cpu = MeanOfFasterHalf(before.cpu_ns);
  const double added = MeanOfFasterHalf(with.wall_ns) - wall;
  const double added_cpu = MeanOfFasterHalf(with.cpu_ns) - cpu;
  state.counters["plain_us"] = wall / 1e3;
  state.counters["added_us"] = added / 1e3;
  state.counters["added_pct"] = 100 * added / wall;
  // A processor does so many calls less in the same time.
  state.counters["throughput_pct"] = 100 * added_cpu / (cpu + added_cpu);
}
BENCHMARK(BM_Loopback)
    ->Arg(0)
    ->Arg(10)
    ->Arg(50)
    ->Arg(200)
    ->Arg(250)
    ->Arg(1000)
    ->Arg(5000)
    ->Iterations(1)
    ->UseRealTime();

// The curve: added latency by the length of the handler.
SEER_FIGURE(added_0, Counter("thrift.added_us_0us", "us", "", "BM_Loopback/0", "added_us"));
SEER_FIGURE(added_10, Counter("thrift.added_us_10us", "us", "", "BM_Loopback/10", "added_us"));
SEER_FIGURE(added_50, Counter("thrift.added_us_50us", "us", "", "BM_Loopback/50", "added_us"));
SEER_FIGURE(added_200, Counter("thrift.added_us_200us", "us", "", "BM_Loopback/200", "added_us"));
SEER_FIGURE(added_1000, Counter("thrift.added_us_1ms", "us", "", "BM_Loopback/1000", "added_us"));
SEER_FIGURE(added_5000, Counter("thrift.added_us_5ms", "us", "", "BM_Loopback/5000", "added_us"));
SEER_FIGURE(plain_0, Counter("thrift.plain_us_0us", "us", "", "BM_Loopback/0", "plain_us"));
SEER_FIGURE(latency_1ms,
            Counter("thrift.latency_pct_1ms", "%", "< 0.1", "BM_Loopback/1000", "added_pct"));
SEER_FIGURE(throughput_250us, Counter("thrift.throughput_pct_250us", "%", "< 0.15",
                                      "BM_Loopback/250", "throughput_pct"));

}  // namespace
}  // namespace seer::bench
