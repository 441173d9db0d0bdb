#include "seer/thrift/trace_async.h"

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "cob/Echo.h"
#include "seer/thrift/node.h"
#include "seer/trace/propagation.h"
#include "tests/thrift/echo_handler.h"
#include "tests/thrift/in_memory.h"
#include "tests/thrift/support.h"

namespace seer {
namespace {

using apache::thrift::TDelayedException;
using apache::thrift::TProcessorEventHandler;
using apache::thrift::async::TAsyncProcessor;
using echo_plain::EchoClient;
using testing_support::ArrivalsOf;
using testing_support::DepthOf;
using testing_support::InMemory;
using testing_support::SeenSpan;
using testing_support::TakeSpansOf;

// Answers at once, or keeps what it would have answered in `later`.
class CobHandler final : public echo_cob::EchoCobSvNull {
 public:
  std::vector<std::function<void()>> later;
  bool keep = false;
  std::function<void()> within;

  void echo(std::function<void(const std::string&)> cob, const std::string& text) override {
    if (within) within();
    Answer([cob = std::move(cob), text] { cob(text); });
  }
  void undeclared(std::function<void(const std::string&)>, const std::string& why) override {
    throw std::runtime_error(why);
  }
  void declared(std::function<void(const std::string&)>,
                std::function<void(TDelayedException*)> fail, const std::string& why) override {
    Answer([fail = std::move(fail), why] {
      if (why == "declared") {
        echo_cob::Declared error;
        fail(TDelayedException::delayException(error));
      } else {
        fail(TDelayedException::delayException(apache::thrift::TException("not in the interface")));
      }
    });
  }
  void fire(std::function<void()> cob, const std::string&) override { Answer(std::move(cob)); }

 private:
  void Answer(std::function<void()> answer) {
    if (keep) {
      later.push_back(std::move(answer));
    } else {
      answer();
    }
  }
};

struct Service {
  explicit Service(const std::string& its_name)
      : name(its_name),
        handler(std::make_shared<CobHandler>()),
        inner(std::make_shared<echo_cob::EchoAsyncProcessor>(handler)),
        processor(Trace(name, std::shared_ptr<TAsyncProcessor>(inner))) {
    TakeSpansOf(name);
  }
  void Process() {
    processor->process([this](bool ok) { done.push_back(ok); }, memory.server_in(),
                       memory.server_out());
  }
  std::int64_t running() const { return DepthOf(name, Channel::kRunning); }
  SeenSpan only_span() const {
    const std::vector<SeenSpan> spans = TakeSpansOf(name);
    EXPECT_EQ(spans.size(), 1u);
    return spans.empty() ? SeenSpan() : spans[0];
  }

  const std::string name;
  std::shared_ptr<CobHandler> handler;
  std::shared_ptr<echo_cob::EchoAsyncProcessor> inner;
  std::shared_ptr<TAsyncProcessor> processor;
  InMemory memory;
  EchoClient client{memory.client()};
  std::vector<bool> done;
};

TEST(TraceAsync, Case22OneStartAndOneFinishForEachCall) {
  Service service("async-at-once");
  TraceContext within;
  service.handler->within = [&] {
    EXPECT_EQ(service.running(), 1);
    within = CurrentContext();
  };
  service.client.send_echo("x");
  service.Process();
  std::string answer;
  service.client.recv_echo(answer);
  EXPECT_EQ(answer, "x");
  EXPECT_EQ(service.done, std::vector<bool>{true});
  EXPECT_EQ(service.running(), 0);
  EXPECT_EQ(ArrivalsOf(service.name, Channel::kRunning), 1);
  const SeenSpan seen = service.only_span();
  EXPECT_EQ(seen.method, "echo");
  EXPECT_EQ(seen.span.outcome(), Outcome::kOk);
  EXPECT_EQ(seen.span.span_id(), within.span_id);
  EXPECT_TRUE(seen.span.stamp(ServerStamp::kHandlerStart).has_value());
  EXPECT_TRUE(seen.span.stamp(ServerStamp::kReplySent).has_value());
  EXPECT_FALSE(CurrentContext().valid());
}

TEST(TraceAsync, Case18AFieldThatComesLastIsFoundWhereItIsSearchedFor) {
  using namespace apache::thrift::protocol;
  Service service("async-search");
  ThriftTraceOptions options;
  options.search_arguments = true;
  service.processor = Trace(service.name, std::shared_ptr<TAsyncProcessor>(service.inner), options);
  const TraceContext caller = NewRoot();
  const auto text = FormatTraceparent(caller);
  TProtocol& out = *service.memory.client();
  out.writeMessageBegin("echo", T_CALL, 1);
  out.writeFieldBegin("text", T_STRING, 1);
  out.writeString(std::string("x"));
  out.writeFieldBegin("context", T_MAP, 8888);
  out.writeMapBegin(T_STRING, T_STRING, 1);
  out.writeString(std::string("traceparent"));
  out.writeString(std::string(text.data(), text.size()));
  out.writeMapEnd();
  out.writeFieldStop();
  out.writeMessageEnd();
  service.Process();
  std::string answer;
  service.client.recv_echo(answer);
  EXPECT_EQ(answer, "x");
  EXPECT_EQ(service.only_span().span.parent_id(), caller.span_id);
}

TEST(TraceAsync, Case22CompletedOnAnotherThread) {
  Service service("async-elsewhere");
  service.handler->keep = true;
  service.client.send_echo("x");
  service.Process();
  EXPECT_EQ(service.running(), 1);
  EXPECT_TRUE(TakeSpansOf(service.name).empty());
  EXPECT_FALSE(CurrentContext().valid());
  std::thread([&] { service.handler->later[0](); }).join();
  EXPECT_EQ(service.running(), 0);
  EXPECT_EQ(service.done, std::vector<bool>{true});
  const SeenSpan seen = service.only_span();
  EXPECT_EQ(seen.span.outcome(), Outcome::kOk);
  EXPECT_TRUE(seen.span.StampsAreOrdered());
  EXPECT_TRUE(seen.span.stamp(ServerStamp::kReplySent).has_value());
}

TEST(TraceAsync, Case22AHandlerThatThrowsEndsTheCall) {
  Service service("async-throws");
  service.client.send_undeclared("broken");
  EXPECT_THROW(service.Process(), std::runtime_error);
  EXPECT_EQ(service.running(), 0);
  EXPECT_EQ(ThriftCountsOf(service.name)->failed, 1u);
  EXPECT_EQ(ThriftCountsOf(service.name)->unhandled, 0u);
  EXPECT_EQ(service.only_span().span.outcome(), Outcome::kFailed);
}

TEST(TraceAsync, ACallbackThatIsDroppedEndsTheCallAsFailed) {
  Service service("async-dropped");
  service.handler->keep = true;
  service.client.send_echo("x");
  service.Process();
  service.handler->later.clear();
  EXPECT_EQ(service.running(), 0);
  EXPECT_EQ(service.only_span().span.outcome(), Outcome::kFailed);
  EXPECT_TRUE(service.done.empty());
}

TEST(TraceAsync, ExceptionsAndOnewayCalls) {
  Service service("async-outcomes");
  service.client.send_declared("declared");
  service.Process();
  EXPECT_EQ(service.only_span().span.outcome(), Outcome::kOk);
  service.client.send_declared("undeclared");
  service.Process();
  EXPECT_EQ(service.only_span().span.outcome(), Outcome::kFailed);
  EXPECT_EQ(ThriftCountsOf(service.name)->failed, 1u);
  service.client.send_fire("x");
  service.Process();
  const SeenSpan fired = service.only_span();
  EXPECT_EQ(fired.span.outcome(), Outcome::kOk);
  EXPECT_FALSE(fired.span.stamp(ServerStamp::kReplySent).has_value());
  EXPECT_EQ(ThriftCountsOf(service.name)->oneway, 1u);
  EXPECT_EQ(service.running(), 0);
  EXPECT_EQ(service.done, (std::vector<bool>{true, true, true}));
}

TEST(TraceAsync, UnknownMethodsAndBadArguments) {
  Service service("async-bad");
  service.memory.client()->writeMessageBegin("nonsense", apache::thrift::protocol::T_CALL, 1);
  service.memory.client()->writeStructBegin("args");
  service.memory.client()->writeFieldStop();
  service.memory.client()->writeStructEnd();
  service.memory.client()->writeMessageEnd();
  service.Process();
  EXPECT_EQ(ThriftCountsOf(service.name)->unhandled, 1u);
  EXPECT_TRUE(TakeSpansOf(service.name).empty());
  service.client.send_echo("a text that will be cut");
  service.memory.TruncateRequest(5);
  service.Process();
  EXPECT_EQ(service.done.back(), false);
  EXPECT_EQ(service.only_span().span.outcome(), Outcome::kUndecodable);
  EXPECT_EQ(service.running(), 0);
}

TEST(TraceAsync, TheHostsHandlerIsCalledAsWithoutUs) {
  class Counting final : public TProcessorEventHandler {
   public:
    std::vector<std::string> calls;
    void* getContext(const char*, void*) override {
      calls.push_back("get");
      return this;
    }
    void preRead(void* ctx, const char*) override { Note("preRead", ctx); }
    void postRead(void* ctx, const char*, std::uint32_t) override { Note("postRead", ctx); }
    void preWrite(void* ctx, const char*) override { Note("preWrite", ctx); }
    void postWrite(void* ctx, const char*, std::uint32_t) override { Note("postWrite", ctx); }
    void freeContext(void* ctx, const char*) override { Note("free", ctx); }

   private:
    void Note(const char* what, void* ctx) {
      calls.push_back(what);
      EXPECT_EQ(ctx, this);
    }
  };
  const auto handler = std::make_shared<CobHandler>();
  const auto inner = std::make_shared<echo_cob::EchoAsyncProcessor>(handler);
  const auto counting = std::make_shared<Counting>();
  inner->setEventHandler(counting);
  const auto processor = Trace("async-chained", std::shared_ptr<TAsyncProcessor>(inner));
  InMemory memory;
  EchoClient client(memory.client());
  client.send_echo("x");
  processor->process([](bool) {}, memory.server_in(), memory.server_out());
  EXPECT_EQ(counting->calls, (std::vector<std::string>{"get", "preRead", "postRead", "get",
                                                       "preWrite", "postWrite", "free"}));
  EXPECT_EQ(TakeSpansOf("async-chained").size(), 1u);
}

TEST(TraceAsync, OffItIsThePlainProcessor) {
  Service service("async-off");
  SetThriftTracing(false);
  service.client.send_echo("x");
  service.Process();
  SetThriftTracing(true);
  EXPECT_EQ(service.done, std::vector<bool>{true});
  EXPECT_TRUE(TakeSpansOf(service.name).empty());
}

TEST(TraceAsyncConcurrency, ManyAreCompletedElsewhere) {
  const std::string name = "async-many";
  constexpr int kThreads = 3;
  constexpr int kCalls = 100;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&] {
      const auto handler = std::make_shared<CobHandler>();
      handler->keep = true;
      const auto processor =
          Trace(name, std::shared_ptr<TAsyncProcessor>(
                          std::make_shared<echo_cob::EchoAsyncProcessor>(handler)));
      for (int i = 0; i < kCalls; ++i) {
        InMemory memory;
        EchoClient client(memory.client());
        client.send_echo("x");
        processor->process([](bool) {}, memory.server_in(), memory.server_out());
        std::thread([&] { handler->later.back()(); }).join();
        handler->later.clear();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(DepthOf(name, Channel::kRunning), 0);
  EXPECT_EQ(ArrivalsOf(name, Channel::kRunning), kThreads * kCalls);
  EXPECT_EQ(TakeSpansOf(name).size(), static_cast<std::size_t>(kThreads * kCalls));
}

}  // namespace
}  // namespace seer
