#include "load.h"

#include <algorithm>
#include <chrono>
#include <exception>
#include <memory>

#include <thrift/protocol/TBinaryProtocol.h>
#include <thrift/transport/TBufferTransports.h>
#include <thrift/transport/TSocket.h>

#include "Tier.h"
#include "seer/thrift/make_traced.h"

namespace foresee {
namespace {

using apache::thrift::protocol::TBinaryProtocol;
using apache::thrift::transport::TFramedTransport;
using apache::thrift::transport::TSocket;
using std::chrono::nanoseconds;
using std::chrono::system_clock;

std::int64_t NowNs() {
  return std::chrono::duration_cast<nanoseconds>(system_clock::now().time_since_epoch()).count();
}

}  // namespace

Load::Load(const Plan& plan)
    : plan_(plan),
      random_(plan.seed),
      due_ns_(NowNs() + 1'000'000'000),  // until then the connections are opened
      open_since_(plan.connections, 0) {
  for (std::size_t i = 0; i < plan.connections; ++i) {
    threads_.emplace_back([this, i] { Connection(i); });
  }
}

Load::~Load() {
  stop_ = true;
  for (std::thread& thread : threads_) thread.join();
}

std::int64_t Load::NextDue() {
  due_ns_ += static_cast<std::int64_t>(
      std::exponential_distribution<double>(plan_.requests_per_s)(random_) * 1e9);
  return due_ns_;
}

void Load::Connection(std::size_t index) {
  std::unique_ptr<TierClient> client;
  const auto connect = [&] {
    auto socket = std::make_shared<TSocket>("127.0.0.1", plan_.port);
    client = std::make_unique<TierClient>(
        seer::MakeTraced<TBinaryProtocol>("gateway", std::make_shared<TFramedTransport>(socket)));
    socket->open();
  };
  try {
    connect();
  } catch (const std::exception&) {
    client.reset();  // again when a request is due
  }
  while (!stop_) {
    std::int64_t due;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      due = NextDue();
      open_since_[index] = due;
    }
    std::this_thread::sleep_until(system_clock::time_point(nanoseconds(due)));
    if (stop_) break;
    bool answered = true;
    try {
      if (client == nullptr) connect();
      client->Serve(due % 1000);
    } catch (const std::exception&) {
      client.reset();
      answered = false;
      ++errors_;
    }
    const std::int64_t end = NowNs();
    const std::lock_guard<std::mutex> lock(mutex_);
    open_since_[index] = 0;
    seer::ClassSample& sample = samples_[plan_.period.TickAt(end)];
    ++sample.count;
    if (!answered || end - due > plan_.target_ns) ++sample.over_target;
    sample.latency.Record(end - due);
  }
}

seer::ClassSample Load::Take(seer::Tick tick) {
  const std::int64_t end = plan_.period.EndNs(tick);
  const std::lock_guard<std::mutex> lock(mutex_);
  seer::ClassSample sample;
  while (!samples_.empty() && samples_.begin()->first <= tick) {
    seer::ClassSample& first = samples_.begin()->second;
    sample.count += first.count;
    sample.over_target += first.over_target;
    sample.latency.Merge(first.latency);
    samples_.erase(samples_.begin());
  }
  for (const std::int64_t since : open_since_) {
    if (since != 0 && since < end) {
      sample.oldest_open_ns = std::max(sample.oldest_open_ns, end - since);
    }
  }
  return sample;
}

}  // namespace foresee
