// What only TraceClient() does, and clients of both kinds (make_traced_test.cc) in many threads.
#include "seer/thrift/trace_client.h"

#include <gtest/gtest.h>
#include <thrift/protocol/TBinaryProtocol.h>
#include <thrift/protocol/TJSONProtocol.h>
#include <thrift/transport/TBufferTransports.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "plain/Echo.h"
#include "seer/thrift/make_traced.h"
#include "seer/thrift/node.h"
#include "tests/thrift/echo_handler.h"
#include "tests/thrift/support.h"
#include "tests/thrift/wire.h"

namespace seer {
namespace {

namespace thrift = apache::thrift;
using testing_support::EchoHandler;
using testing_support::EdgeCalls;
using testing_support::EdgeDepth;
using testing_support::TakeSpansOf;
using testing_support::Wire;
using thrift::protocol::TBinaryProtocol;
using thrift::protocol::TJSONProtocol;
using thrift::protocol::TProtocol;
using thrift::transport::TMemoryBuffer;
using thrift::transport::TTransportException;

constexpr char kCaller[] = "threads-test";

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr int kCalls = 100;
#else
constexpr int kCalls = 1000;
#endif

TEST(TraceClient, NullStaysNull) { EXPECT_EQ(TraceClient("x", nullptr), nullptr); }

TEST(TraceClient, TracesWhateverProtocolThereIs) {
  SetThriftCaller(kCaller);
  const auto wire = std::make_shared<Wire>();
  echo_plain::EchoProcessor processor(std::make_shared<EchoHandler>());
  wire->on_flush = [&] {
    processor.process(std::make_shared<TJSONProtocol>(wire->sent),
                      std::make_shared<TJSONProtocol>(wire->replies), nullptr);
  };
  echo_plain::EchoClient client(TraceClient("json", std::make_shared<TJSONProtocol>(wire)));
  std::string result;
  client.echo(result, "hello");
  EXPECT_EQ(result, "hello");
  EXPECT_EQ(EdgeCalls(kCaller, "json"), 1);
  EXPECT_EQ(EdgeDepth(kCaller, "json"), 0);
}

// A connection between threads, in memory: calls are answered by whoever asks for it, in an order
// of its own.
class Connection final : public thrift::transport::TVirtualTransport<Connection> {
 public:
  bool isOpen() const override { return true; }
  void flush() override {
    const std::string message = writing_.getBufferAsString();
    writing_.resetBuffer();
    std::lock_guard<std::mutex> lock(mutex_);
    requests_.push_back(message);
    changed_.notify_all();
  }
  void write(const std::uint8_t* bytes, std::uint32_t size) { writing_.write(bytes, size); }
  std::uint32_t read(std::uint8_t* bytes, std::uint32_t size) {
    if (reading_.available_read() == 0) {
      std::unique_lock<std::mutex> lock(mutex_);
      changed_.wait(lock, [&] { return closed_ || !replies_.empty(); });
      if (replies_.empty()) throw TTransportException(TTransportException::END_OF_FILE, "closed");
      const std::string reply = std::move(replies_.front());
      replies_.pop_front();
      reading_.resetBuffer();
      reading_.write(reinterpret_cast<const std::uint8_t*>(reply.data()),
                     static_cast<std::uint32_t>(reply.size()));
    }
    return reading_.read(bytes, size);
  }

  // Serves until `calls` were answered, up to `batch` at a time with the last one first.
  void Serve(thrift::TProcessor& processor, int calls, std::size_t batch) {
    for (int answered = 0; answered < calls;) {
      std::vector<std::string> taken;
      {
        std::unique_lock<std::mutex> lock(mutex_);
        changed_.wait(lock, [&] { return !requests_.empty(); });
        while (!requests_.empty() && taken.size() < batch) {
          taken.push_back(std::move(requests_.front()));
          requests_.pop_front();
        }
      }
      for (auto message = taken.rbegin(); message != taken.rend(); ++message, ++answered) {
        const auto in = std::make_shared<TMemoryBuffer>();
        const auto out = std::make_shared<TMemoryBuffer>();
        in->write(reinterpret_cast<const std::uint8_t*>(message->data()),
                  static_cast<std::uint32_t>(message->size()));
        processor.process(std::make_shared<TBinaryProtocol>(in),
                          std::make_shared<TBinaryProtocol>(out), nullptr);
        std::lock_guard<std::mutex> lock(mutex_);
        replies_.push_back(out->getBufferAsString());
        changed_.notify_all();
      }
    }
  }
  void Hangup() {
    std::lock_guard<std::mutex> lock(mutex_);
    closed_ = true;
    changed_.notify_all();
  }

 private:
  TMemoryBuffer writing_;  // the writing thread's
  TMemoryBuffer reading_;  // the reading thread's
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::string> requests_;
  std::deque<std::string> replies_;
  bool closed_ = false;
};

class TracedClientConcurrency : public testing::TestWithParam<bool> {
 protected:
  TracedClientConcurrency() {
    SetThriftCaller(kCaller);
    TakeSpansOf(kCaller);
    const testing::TestInfo& test = *testing::UnitTest::GetInstance()->current_test_info();
    callee_ = std::string(test.name()).substr(0, 63);
    for (char& c : callee_) c = c == '/' ? '-' : c;
    protocol_ = GetParam()
                    ? std::shared_ptr<TProtocol>(MakeTraced<TBinaryProtocol>(callee_, connection_))
                    : TraceClient(callee_, std::make_shared<TBinaryProtocol>(connection_));
  }

  const std::shared_ptr<Connection> connection_ = std::make_shared<Connection>();
  std::string callee_;
  std::shared_ptr<TProtocol> protocol_;
  echo_plain::EchoProcessor processor_{std::make_shared<EchoHandler>()};
};
INSTANTIATE_TEST_SUITE_P(All, TracedClientConcurrency, testing::Bool(),
                         [](const testing::TestParamInfo<bool>& how) {
                           return how.param ? "MakeTraced" : "TraceClient";
                         });

// Acceptance 21.
TEST_P(TracedClientConcurrency, EightThreadsShareAClientAndRepliesComeInAnyOrder) {
  constexpr int kThreads = 8;
  const auto sync = std::make_shared<thrift::async::TConcurrentClientSyncInfo>();
  echo_plain::EchoConcurrentClient client(protocol_, sync);
  std::thread server([&] { connection_->Serve(processor_, kThreads * kCalls, 5); });
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < kCalls; ++i) {
        const std::string text = std::to_string(t) + " " + std::to_string(i);
        std::string result;
        client.echo(result, text);
        if (result != text) wrong.fetch_add(1);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  server.join();
  EXPECT_EQ(wrong.load(), 0);
  EXPECT_EQ(EdgeDepth(kCaller, callee_), 0);
  EXPECT_EQ(EdgeCalls(kCaller, callee_), kThreads * kCalls);
  const auto spans = TakeSpansOf(kCaller);
  for (const auto& seen : spans) {
    ASSERT_EQ(seen.span.outcome(), Outcome::kOk);
    ASSERT_TRUE(seen.span.StampsAreOrdered());
  }
  EXPECT_EQ(spans.size(), static_cast<std::size_t>(kThreads * kCalls));
}

// send_x() in one thread, recv_x() in another.
TEST_P(TracedClientConcurrency, OneThreadSendsAndAnotherReceives) {
  echo_plain::EchoClient client(protocol_);
  std::thread server([&] { connection_->Serve(processor_, kCalls, 1); });
  std::mutex mutex;  // bounds how far ahead the sender is, as a window of calls would
  std::condition_variable changed;
  int open = 0;
  int wrong = 0;
  std::thread receiver([&] {
    for (int i = 0; i < kCalls; ++i) {
      std::string result;
      client.recv_echo(result);
      if (result != std::to_string(i)) ++wrong;
      std::lock_guard<std::mutex> lock(mutex);
      --open;
      changed.notify_all();
    }
  });
  for (int i = 0; i < kCalls; ++i) {
    {
      std::unique_lock<std::mutex> lock(mutex);
      changed.wait(lock, [&] { return open < 20; });
      ++open;
    }
    client.send_echo(std::to_string(i));
  }
  receiver.join();
  server.join();
  EXPECT_EQ(wrong, 0);
  EXPECT_EQ(EdgeDepth(kCaller, callee_), 0);
  EXPECT_EQ(EdgeCalls(kCaller, callee_), kCalls);
  EXPECT_EQ(TakeSpansOf(kCaller).size(), static_cast<std::size_t>(kCalls));
}

// Calls that fail while others close, in any order: nothing stays open, nothing ends twice.
TEST_P(TracedClientConcurrency, CloseAtAnyMomentEndsEachCallOnce) {
  const auto sync = std::make_shared<thrift::async::TConcurrentClientSyncInfo>();
  echo_plain::EchoConcurrentClient client(protocol_, sync);
  std::thread server([&] { connection_->Serve(processor_, kCalls, 3); });
  std::atomic<bool> done{false};
  std::thread closer([&] {
    // What seer does when the connection is closed; this one in fact goes on.
    while (!done.load()) {
      static_cast<internal::CallTransport*>(protocol_->getTransport().get())
          ->calls.Close(Outcome::kTransport);
      std::this_thread::yield();
    }
  });
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < kCalls / 4; ++i) {
        std::string result;
        client.echo(result, "hello");
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  done.store(true);
  closer.join();
  server.join();
  EXPECT_EQ(EdgeDepth(kCaller, callee_), 0);
  EXPECT_EQ(EdgeCalls(kCaller, callee_), kCalls);
  EXPECT_EQ(TakeSpansOf(kCaller).size(), static_cast<std::size_t>(kCalls));
}

}  // namespace
}  // namespace seer
