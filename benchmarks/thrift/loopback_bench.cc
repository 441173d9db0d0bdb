// What tracing adds to a call over the loopback interface, by the length of its handler: both sides
// traced against both plain.
//
// Three pairs of a client and a server in this process: plain, plain again, traced. One call of
// each in turn is a round; each comes after each, also after itself, equally often. The estimate of
// a run is the median over its rounds of (traced - plain); what (plain again - plain) says is
// printed beside it: what this machine, now, tells apart from nothing. A round is left out, as a
// whole, if one of its calls takes more than 20 us and 20 % longer than the median of all calls of
// that run: something else had the machine. The rule was fixed before anything was measured, and
// looks at the three alike.
//
// Rounds of one run are not independent of each other, and two servers of one kind differ by a part
// of a microsecond for as long as they live. So each run makes its own; and runs, in random order
// with all others, are nearly independent. Hence the interval of the table that is printed at the
// end: the order statistics of the runs' estimates that enclose their median with 95 %.
//
// The client has one core, the servers another, as on two machines: each finds its caches as cold
// as the handler's length leaves them. "Together" all have one core, which is never idle: there the
// time of a call is the processor time of both sides, and its inverse the throughput.
//
// The handler looks at the clock until its time is over, so that an interrupt within it costs
// nothing: what is measured lies outside of it.
#include <benchmark/benchmark.h>
#include <sched.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <future>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <thrift/protocol/TBinaryProtocol.h>
#include <thrift/server/TThreadedServer.h>
#include <thrift/transport/TBufferTransports.h>
#include <thrift/transport/TServerSocket.h>
#include <thrift/transport/TSocket.h>

#include "Bench.h"
#include "benchmarks/harness/figure.h"
#include "benchmarks/thrift/drain.h"
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

double NowUs() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return 1e6 * static_cast<double>(now.tv_sec) + 1e-3 * static_cast<double>(now.tv_nsec);
}

double Median(std::vector<double> values) {
  if (values.empty()) return 0;
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

// The calling thread on one of the processors that it may have; those it makes inherit that.
class Pinned {
 public:
  explicit Pinned(int which) {
    sched_getaffinity(0, sizeof(before_), &before_);
    const int count = CPU_COUNT(&before_);
    for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
      if (!CPU_ISSET(cpu, &before_) || which-- % count != 0) continue;
      cpu_set_t only;
      CPU_ZERO(&only);
      CPU_SET(cpu, &only);
      sched_setaffinity(0, sizeof(only), &only);
      return;
    }
  }
  ~Pinned() { sched_setaffinity(0, sizeof(before_), &before_); }
  Pinned(const Pinned&) = delete;
  Pinned& operator=(const Pinned&) = delete;

 private:
  cpu_set_t before_;
};

class Worker final : public bench_made::BenchIf {
 public:
  void echo(std::string& result, const std::string& text) override { result = text; }
  std::int32_t count(const std::vector<bench_made::Item>&) override { return 0; }
  std::int32_t work(const std::int32_t microseconds) override {
    if (microseconds == 0) return 0;
    const double end = NowUs() + microseconds;
    while (NowUs() < end) {
    }
    return microseconds;
  }
};

// A server and its client.
class Way {
 public:
  explicit Way(bool traced) {
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
  ~Way() {
    connection_->close();
    server_->stop();
    thread_.join();
  }
  // Us of so many calls, one after the other.
  double Take(int microseconds, int calls) {
    const double start = NowUs();
    for (int i = 0; i < calls; ++i) client_->work(microseconds);
    return NowUs() - start;
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

enum Which { kPlain, kPlainAgain, kTraced, kWays };
// New ones for each run; who is made first changes from run to run.
struct Ways {
  explicit Ways(int servers_cpu) {
    static int made = 0;
    const Pinned pinned(servers_cpu);
    for (int i = 0; i < kWays; ++i) {
      const int way = (made + i) % kWays;
      ways[static_cast<std::size_t>(way)] = std::make_unique<Way>(way == kTraced);
    }
    ++made;
  }
  std::array<std::unique_ptr<Way>, kWays> ways;
};
constexpr int kClientCpu = 0;
enum class Where { kApart, kTogether };

struct Run {
  double plain_us = 0;  // of a call
  double added_us = 0;  // to it
  double null_us = 0;   // to it, if nothing is added
  int rounds = 0;       // that were counted
  int left_out = 0;
};
Run Measure(Where where, int microseconds, int rounds, int calls) {
  // Each round begins with whom the one before ended with.
  static constexpr std::array<std::array<int, 3>, 6> kOrders = {
      {{0, 1, 2}, {2, 1, 0}, {0, 2, 1}, {1, 0, 2}, {2, 0, 1}, {1, 2, 0}}};
  Ways to(where == Where::kApart ? kClientCpu + 1 : kClientCpu);
  const Pinned pinned(kClientCpu);
  std::vector<std::array<double, kWays>> taken(static_cast<std::size_t>(rounds));
  for (const auto& way : to.ways) {
    way->Take(0, 500);  // warm
    way->Take(microseconds, calls);
  }
  for (std::size_t round = 0; round < taken.size(); ++round) {
    for (const int way : kOrders[round % kOrders.size()]) {
      taken[round][static_cast<std::size_t>(way)] =
          to.ways[static_cast<std::size_t>(way)]->Take(microseconds, calls);
    }
  }
  Drain();

  std::vector<double> all;
  for (const auto& round : taken) all.insert(all.end(), round.begin(), round.end());
  const double most = 1.2 * Median(all) + 20;
  std::vector<double> plain, added, null;
  Run run;
  for (const auto& round : taken) {
    if (*std::max_element(round.begin(), round.end()) > most) {
      ++run.left_out;
      continue;
    }
    ++run.rounds;
    plain.push_back(round[kPlain] / calls);
    added.push_back((round[kTraced] - round[kPlain]) / calls);
    null.push_back((round[kPlainAgain] - round[kPlain]) / calls);
  }
  run.plain_us = Median(std::move(plain));
  run.added_us = Median(std::move(added));
  run.null_us = Median(std::move(null));
  return run;
}

// ---- The table at the end.

// The lowest and the highest of the order statistics that enclose the median with 95 %: with less
// than six runs, all of them.
struct Interval {
  double median = 0, low = 0, high = 0;
};
Interval Of(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const auto n = static_cast<int>(values.size());
  double outside = 0;  // probability that more than n - k of n lie on one side of the median
  double choose = 1;
  int k = 0;
  for (; 2 * (k + 1) <= n; ++k) {
    outside += choose;
    if (2 * outside * std::pow(0.5, n) > 0.05) break;
    choose = choose * (n - k) / (k + 1);
  }
  const int lowest = std::max(k - 1, 0);
  return {Median(values), values[static_cast<std::size_t>(lowest)],
          values[static_cast<std::size_t>(n - 1 - lowest)]};
}

struct Row {
  int microseconds = 0;
  std::vector<Run> runs;
};
std::map<std::string, std::map<int, Row>>& Tables() {
  static auto* const tables = new std::map<std::string, std::map<int, Row>>;
  return *tables;
}
template <typename Field>
std::vector<double> Column(const Row& row, Field field) {
  std::vector<double> column;
  for (const Run& run : row.runs) column.push_back(run.*field);
  return column;
}
void PrintTables() {
  for (const auto& [title, rows] : Tables()) {
    std::printf("\n%s\n%9s %10s  %-26s %-26s %-26s %s\n", title.c_str(), "handler", "plain us",
                "added us (95 %)", "added % (95 %)", "null us (95 %)", "rounds (left out)");
    for (const auto& [microseconds, row] : rows) {
      const double plain = Median(Column(row, &Run::plain_us));
      const Interval added = Of(Column(row, &Run::added_us));
      const Interval null = Of(Column(row, &Run::null_us));
      int rounds = 0, left_out = 0;
      for (const Run& run : row.runs) rounds += run.rounds, left_out += run.left_out;
      const auto text = [](const Interval& i, double scale) {
        char line[64];
        std::snprintf(line, sizeof(line), "%.3f (%.3f .. %.3f)", scale * i.median, scale * i.low,
                      scale * i.high);
        return std::string(line);
      };
      std::printf("%6d us %10.2f  %-26s %-26s %-26s %d (%d)\n", microseconds, plain,
                  text(added, 1).c_str(), text(added, 100 / plain).c_str(), text(null, 1).c_str(),
                  rounds, left_out);
    }
  }
}
void Note(const std::string& table, int microseconds, const Run& run, benchmark::State* state) {
  if (Tables().empty()) std::atexit(&PrintTables);
  Row& row = Tables()[table][microseconds];
  row.microseconds = microseconds;
  row.runs.push_back(run);
  state->counters["plain_us"] = run.plain_us;
  state->counters["added_us"] = run.added_us;
  state->counters["null_us"] = run.null_us;
  state->counters["added_pct"] = 100 * run.added_us / run.plain_us;
  // So many calls less in the same time.
  state->counters["throughput_pct"] = 100 * run.added_us / (run.plain_us + run.added_us);
  state->counters["left_out"] = run.left_out;
}

// ---- What is measured. A run takes about half a second, at most 600 rounds (a multiple of six).

int RoundsFor(int microseconds) {
  return std::clamp(700000 / (3 * (microseconds + 25)) / 6 * 6, 48, 600);
}
void BM_Apart(benchmark::State& state) {
  const int microseconds = static_cast<int>(state.range(0));
  for (auto _ : state) {
    Note("Added latency, client and server on a core each", microseconds,
         Measure(Where::kApart, microseconds, RoundsFor(microseconds), 1), &state);
  }
}
void BM_Together(benchmark::State& state) {
  const int microseconds = static_cast<int>(state.range(0));
  for (auto _ : state) {
    Note("Added time on one core", microseconds,
         Measure(Where::kTogether, microseconds, RoundsFor(microseconds), 1), &state);
  }
}
// The core works on 20 calls of 0.25 ms, one after the other, before the next way has its turn.
void BM_Throughput(benchmark::State& state) {
  const int microseconds = static_cast<int>(state.range(0));
  for (auto _ : state) {
    Note("Calls one after the other on one core", microseconds,
         Measure(Where::kTogether, microseconds, 48, 20), &state);
  }
}
void Lengths(benchmark::internal::Benchmark* benchmark) {
  for (const int microseconds : {0, 10, 50, 200, 1000, 5000}) benchmark->Arg(microseconds);
  benchmark->Iterations(1)->UseRealTime();
}
BENCHMARK(BM_Apart)->Apply(Lengths);
BENCHMARK(BM_Together)->Apply(Lengths);
BENCHMARK(BM_Throughput)->Arg(250)->Iterations(1)->UseRealTime();

SEER_FIGURE(added_0, Counter("thrift.added_us_0us", "us", "", "BM_Apart/0", "added_us"));
SEER_FIGURE(added_10, Counter("thrift.added_us_10us", "us", "", "BM_Apart/10", "added_us"));
SEER_FIGURE(added_50, Counter("thrift.added_us_50us", "us", "", "BM_Apart/50", "added_us"));
SEER_FIGURE(added_200, Counter("thrift.added_us_200us", "us", "", "BM_Apart/200", "added_us"));
SEER_FIGURE(added_1000, Counter("thrift.added_us_1ms", "us", "", "BM_Apart/1000", "added_us"));
SEER_FIGURE(added_5000, Counter("thrift.added_us_5ms", "us", "", "BM_Apart/5000", "added_us"));
SEER_FIGURE(null_1000, Counter("thrift.null_us_1ms", "us", "", "BM_Apart/1000", "null_us"));
SEER_FIGURE(plain_0, Counter("thrift.plain_us_0us", "us", "", "BM_Apart/0", "plain_us"));
SEER_FIGURE(latency_1ms,
            Counter("thrift.latency_pct_1ms", "%", "< 0.1", "BM_Apart/1000", "added_pct"));
SEER_FIGURE(together_1ms,
            Counter("thrift.one_core_pct_1ms", "%", "", "BM_Together/1000", "added_pct"));
SEER_FIGURE(throughput_250us, Counter("thrift.throughput_pct_250us", "%", "< 0.15",
                                      "BM_Throughput/250", "throughput_pct"));

}  // namespace
}  // namespace seer::bench
