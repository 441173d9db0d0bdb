#include "benchmarks/cluster/live/servers.h"

#include <sys/prctl.h>
#include <time.h>

#include <algorithm>
#include <atomic>
#include <exception>
#include <future>
#include <random>
#include <thread>
#include <unordered_map>
#include <utility>

#include <thrift/TOutput.h>
#include <thrift/concurrency/ThreadFactory.h>
#include <thrift/concurrency/ThreadManager.h>
#include <thrift/protocol/TBinaryProtocol.h>
#include <thrift/server/TNonblockingServer.h>
#include <thrift/transport/TBufferTransports.h>
#include <thrift/transport/TNonblockingServerSocket.h>
#include <thrift/transport/TSocket.h>

#include "LiveTier.h"
#include "seer/thrift/make_traced.h"
#include "seer/thrift/node.h"
#include "seer/thrift/trace.h"
#include "seer/thrift/trace_thread_manager.h"
#include "seer/trace/drainer.h"

namespace seer::cluster {
namespace {

using apache::thrift::concurrency::ThreadFactory;
using apache::thrift::concurrency::ThreadManager;
using apache::thrift::protocol::TBinaryProtocol;
using apache::thrift::protocol::TBinaryProtocolFactory;
using apache::thrift::server::TNonblockingServer;
using apache::thrift::transport::TFramedTransport;
using apache::thrift::transport::TNonblockingServerSocket;
using apache::thrift::transport::TSocket;
using seer_live::LiveTierClient;
using seer_live::LiveTierIf;
using seer_live::LiveTierProcessor;

constexpr std::size_t kConnections = 96;
constexpr char kOutside[] = "live-load";

std::int64_t NowNs() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return std::int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

void SleepUntil(std::int64_t at_ns) {
  thread_local const int slack = prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0);  // else 50 us
  static_cast<void>(slack);
  const timespec at{at_ns / 1'000'000'000, at_ns % 1'000'000'000};
  while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, nullptr) != 0) {
  }
}

std::unique_ptr<LiveTierClient> Connect(const std::string& name, int port) {
  auto socket = std::make_shared<TSocket>("127.0.0.1", port);
  auto client = std::make_unique<LiveTierClient>(
      seer::MakeTraced<TBinaryProtocol>(name, std::make_shared<TFramedTransport>(socket)));
  socket->open();
  return client;
}

class Handler final : public LiveTierIf {
 public:
  Handler(const LiveTierSpec& spec, std::string next, int next_port)
      : spec_(spec), next_(std::move(next)), next_port_(next_port) {}

  std::int32_t Serve(const std::int64_t request) override {
    thread_local std::mt19937_64 random(seeds_.fetch_add(0x9e3779b97f4a7c15u));
    const double ms = std::exponential_distribution<double>(1 / spec_.mean_ms)(random);
    SleepUntil(NowNs() + static_cast<std::int64_t>(ms * 1e6));
    if (next_port_ == 0) return 1;
    // A worker belongs to one tier: one connection each.
    thread_local std::unique_ptr<LiveTierClient> client;
    if (client == nullptr) client = Connect(next_, next_port_);
    try {
      return 1 + client->Serve(request);
    } catch (...) {
      client.reset();
      throw;
    }
  }

 private:
  const LiveTierSpec spec_;
  const std::string next_;
  const int next_port_;
  inline static std::atomic<std::uint64_t> seeds_{20190413};
};

class WhenListening final : public apache::thrift::server::TServerEventHandler {
 public:
  explicit WhenListening(std::promise<void>* listens) : listens_(listens) {}
  void preServe() override { listens_->set_value(); }

 private:
  std::promise<void>* const listens_;
};

class Tier {
 public:
  Tier(const LiveTierSpec& spec, const std::string& next, int next_port)
      : workers_(seer::Trace(spec.name, ThreadManager::newSimpleThreadManager(
                                            static_cast<std::size_t>(spec.workers)))),
        socket_(std::make_shared<TNonblockingServerSocket>("127.0.0.1", 0)) {
    workers_->threadFactory(std::make_shared<ThreadFactory>(false));
    workers_->start();
    auto processor =
        std::make_shared<LiveTierProcessor>(std::make_shared<Handler>(spec, next, next_port));
    server_ = std::make_unique<TNonblockingServer>(seer::Trace(spec.name, processor),
                                                   std::make_shared<TBinaryProtocolFactory>(),
                                                   socket_, workers_);
    std::promise<void> listens;
    server_->setServerEventHandler(std::make_shared<WhenListening>(&listens));
    thread_ = std::thread([this] { server_->serve(); });
    listens.get_future().wait();
  }
  ~Tier() {
    server_->stop();
    thread_.join();
    workers_->stop();
  }
  Tier(const Tier&) = delete;
  Tier& operator=(const Tier&) = delete;
  int port() const { return socket_->getListenPort(); }

 private:
  std::shared_ptr<ThreadManager> workers_;
  std::shared_ptr<TNonblockingServerSocket> socket_;
  std::unique_ptr<TNonblockingServer> server_;
  std::thread thread_;
};

class Servers final : public LiveServers {
 public:
  Servers(const std::vector<LiveTierSpec>& specs, std::unique_ptr<SpanDrainer> drainer,
          std::shared_ptr<MemorySink> sink)
      : specs_(specs), drainer_(std::move(drainer)), sink_(std::move(sink)) {
    tiers_.resize(specs.size());
    for (std::size_t t = specs.size(); t-- > 0;) {
      const bool last = t + 1 == specs.size();
      tiers_[t] = std::make_unique<Tier>(specs[t], last ? "" : specs[t + 1].name,
                                         last ? 0 : tiers_[t + 1]->port());
    }
  }
  // From the front: nobody calls who is gone.
  ~Servers() override {
    for (std::unique_ptr<Tier>& tier : tiers_) tier.reset();
  }

  LiveRun Run(const std::vector<std::int64_t>& due_ns) override {
    LiveRun run;
    run.latency_ms.resize(due_ns.size());
    std::atomic<std::size_t> next{0};
    std::atomic<std::uint64_t> failed{0};
    const std::int64_t start = NowNs() + 500'000'000;  // until then connections are opened
    const auto connection = [&] {
      std::unique_ptr<LiveTierClient> client;
      for (;;) {
        // relaxed: a number to be had once; what is written at its place is read after join()
        const std::size_t i = next.fetch_add(1, std::memory_order_relaxed);
        if (i >= due_ns.size()) return;
        const std::int64_t due = start + due_ns[i];
        try {
          if (client == nullptr) client = Connect(specs_[0].name, tiers_[0]->port());
          SleepUntil(due);
          client->Serve(static_cast<std::int64_t>(i));
        } catch (const std::exception&) {
          client.reset();
          failed.fetch_add(1, std::memory_order_relaxed);  // a count
        }
        run.latency_ms[i] = static_cast<double>(NowNs() - due) * 1e-6;
      }
    };
    std::atomic<bool> done{false};
    std::thread drain([&] {
      while (!done.load(std::memory_order_relaxed)) {  // orders nothing: only how soon it ends
        SleepUntil(NowNs() + 100'000'000);
        drainer_->Drain().IgnoreError();
      }
    });
    std::vector<std::thread> threads;
    for (std::size_t i = 0; i < kConnections; ++i) threads.emplace_back(connection);
    for (std::thread& thread : threads) thread.join();
    done.store(true, std::memory_order_relaxed);  // as above
    drain.join();
    run.failed = failed.load(std::memory_order_relaxed);  // the threads have ended
    return run;
  }

  absl::StatusOr<LiveTimes> TakeTimes() override {
    drainer_->Drain().IgnoreError();
    struct Call {
      double client_us = 0, server_us = 0;
      std::uint64_t parent = 0;
    };
    struct Served {
      double with_worker_us = 0;
      std::size_t tier = 0;
      double calls_us = 0;
    };
    std::unordered_map<std::uint64_t, Call> calls;      // by the client's span
    std::unordered_map<std::uint64_t, Served> servers;  // by the server's
    for (const SpanBatch& batch : sink_->Take()) {
      if (!drainer_->topology().Has(batch.instance)) continue;
      const Instance& instance = drainer_->topology().instance(batch.instance);
      const std::string& name = drainer_->topology().service(instance.service).name;
      for (const Span& span : batch.spans) {
        if (span.outcome() != Outcome::kOk) continue;
        const double us = static_cast<double>(span.duration_ns()) / 1000;
        if (span.side() == SpanSide::kClient) {
          Call& call = calls[span.span_id()];
          call.client_us = us;
          call.parent = span.parent_id();
          continue;
        }
        calls[span.parent_id()].server_us = us;
        const auto dequeued = span.stamp(ServerStamp::kDequeued);
        const auto sent = span.stamp(ServerStamp::kReplySent);
        for (std::size_t t = 0; t < specs_.size() && dequeued && sent; ++t) {
          if (specs_[t].name != name) continue;
          servers[span.span_id()] = {static_cast<double>(*sent - *dequeued) / 1000, t, 0};
        }
      }
    }
    std::vector<double> ways;
    for (const auto& [id, call] : calls) {
      if (call.client_us <= 0 || call.server_us <= 0) continue;
      ways.push_back((call.client_us - call.server_us) / 2);
      const auto caller = servers.find(call.parent);
      if (caller != servers.end()) caller->second.calls_us += call.client_us;
    }
    LiveTimes times;
    times.own_us.resize(specs_.size());
    for (const auto& [id, served] : servers) {
      // Whose call is not there would seem to have worked all that time.
      if (served.tier + 1 < specs_.size() && served.calls_us <= 0) continue;
      times.own_us[served.tier].push_back(std::max(0.0, served.with_worker_us - served.calls_us));
    }
    for (std::vector<double>& own : times.own_us) {
      if (own.size() < 100) {
        return absl::UnavailableError("live: fewer than 100 spans of a tier: run for longer");
      }
      std::sort(own.begin(), own.end());  // maps give them in no order
    }
    if (ways.empty()) return absl::UnavailableError("live: no call was seen from both sides");
    std::nth_element(ways.begin(), ways.begin() + static_cast<std::ptrdiff_t>(ways.size() / 2),
                     ways.end());
    times.one_way_us = std::max(0.0, ways[ways.size() / 2]);
    return times;
  }

 private:
  const std::vector<LiveTierSpec> specs_;
  std::unique_ptr<SpanDrainer> drainer_;
  std::shared_ptr<MemorySink> sink_;
  std::vector<std::unique_ptr<Tier>> tiers_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<LiveServers>> LiveServers::Start(
    const std::vector<LiveTierSpec>& tiers) {
  if (tiers.empty()) return absl::InvalidArgumentError("tiers: none: give one at least");
  SetThriftCaller(kOutside);
  // Every start and stop of a server is a line otherwise, in the midst of a table.
  apache::thrift::GlobalOutput.setOutputFunction([](const char*) {});
  auto sink = std::make_shared<MemorySink>(std::size_t{1} << 20);
  auto drainer = SpanDrainer::Create(SpanRecorder::Global(), sink);
  if (!drainer.ok()) return drainer.status();
  try {
    return std::make_unique<Servers>(tiers, *std::move(drainer), std::move(sink));
  } catch (const std::exception& e) {
    return absl::UnavailableError(e.what());
  }
}

}  // namespace seer::cluster
