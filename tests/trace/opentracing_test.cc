#include "seer/trace/opentracing.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <opentracing/noop.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <future>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <sstream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tests/queue/sandbox.h"
#include "tests/trace/depths.h"
#include "tests/trace/recording.h"

namespace seer {
namespace {

using opentracing::ChildOf;
using opentracing::FollowsFrom;
using opentracing::SetTag;
using testing::AllSpans;
using testing::Depths;
using testing::kSlower;
using testing::MakeDrainer;
using testing::MakeRecorder;
using testing::MakeRegistry;

using Headers = std::map<std::string, std::string>;

template <typename Base>
class Reader : public Base {
 public:
  explicit Reader(const Headers& headers) : headers_(headers) {}
  opentracing::expected<void> ForeachKey(
      std::function<opentracing::expected<void>(opentracing::string_view, opentracing::string_view)>
          f) const override {
    for (const auto& [key, value] : headers_) {
      auto result = f(key, value);
      if (!result) return result;
    }
    return {};
  }

 private:
  const Headers& headers_;
};
template <typename Base>
class Writer : public Base {
 public:
  explicit Writer(Headers* headers) : headers_(*headers) {}
  opentracing::expected<void> Set(opentracing::string_view key,
                                  opentracing::string_view value) const override {
    if (full_) return opentracing::make_unexpected(opentracing::invalid_carrier_error);
    headers_[std::string(key)] = std::string(value);
    return {};
  }
  bool full_ = false;

 private:
  Headers& headers_;
};
using TextMapReader = Reader<opentracing::TextMapReader>;
using TextMapWriter = Writer<opentracing::TextMapWriter>;
using HttpReader = Reader<opentracing::HTTPHeadersReader>;
using HttpWriter = Writer<opentracing::HTTPHeadersWriter>;

class OpenTracing : public ::testing::Test {
 protected:
  OpenTracing()
      : registry_(MakeRegistry()),
        recorder_(MakeRecorder(1024)),
        sink_(std::make_shared<MemorySink>()),
        drainer_(MakeDrainer(*recorder_, sink_)),
        depths_(*registry_) {
    options_.service = "compose-post";
    options_.callees = {{"find_followers", "social-graph"}};
    options_.queues = registry_.get();
    options_.recorder = recorder_.get();
    Make();
  }

  void Make() {
    auto tracer = OpenTracingTracer::Create(options_);
    ASSERT_TRUE(tracer.ok()) << tracer.status();
    tracer_ = *std::move(tracer);
  }
  std::vector<Span> Spans() {
    EXPECT_TRUE(drainer_->Drain().ok());
    return AllSpans(*sink_);
  }
  std::string MethodOf(const Span& span) {
    return drainer_->topology().methods()[span.method().index()].name;
  }
  std::string CalleeOf(const Span& span) {
    if (!span.edge().valid()) return "";
    const Topology& topology = drainer_->topology();
    return topology.services()[topology.edges()[span.edge().index()].callee.index()].name;
  }

  const std::unique_ptr<QueueRegistry> registry_;
  const std::unique_ptr<SpanRecorder> recorder_;
  const std::shared_ptr<MemorySink> sink_;
  const std::unique_ptr<SpanDrainer> drainer_;
  Depths depths_;
  OpenTracingOptions options_;
  std::shared_ptr<OpenTracingTracer> tracer_;
};

TEST_F(OpenTracing, OptionsOutOfRangeAreNamed) {
  const auto message = [&](const OpenTracingOptions& options) {
    const absl::Status status = OpenTracingTracer::Create(options).status();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
    return std::string(status.message());
  };
  OpenTracingOptions bad = options_;
  bad.max_operations = 1;
  EXPECT_THAT(message(bad), ::testing::HasSubstr("max_operations"));
  bad = options_;
  bad.service = "";
  EXPECT_THAT(message(bad), ::testing::HasSubstr("service"));
  bad = options_;
  bad.callees["op"] = "a\nb";
  EXPECT_THAT(message(bad), ::testing::HasSubstr("callees"));
}

TEST_F(OpenTracing, ServerSpanIsARunningRequest) {
  auto span = tracer_->StartSpan("compose_post_server");
  EXPECT_EQ(depths_.Of("compose-post running"), 1);
  span->Finish();
  span->Finish();  // once only
  EXPECT_EQ(depths_.Of("compose-post running"), 0);
  span.reset();
  const std::vector<Span> spans = Spans();
  ASSERT_EQ(spans.size(), 1u);
  EXPECT_EQ(spans[0].side(), SpanSide::kServer);
  EXPECT_EQ(spans[0].outcome(), Outcome::kOk);
  EXPECT_EQ(MethodOf(spans[0]), "compose_post_server");
  EXPECT_TRUE(spans[0].stamp(ServerStamp::kHandlerStart).has_value());
  EXPECT_TRUE(spans[0].stamp(ServerStamp::kHandlerEnd).has_value());
  EXPECT_EQ(depths_.errors(), 0u);
}

TEST_F(OpenTracing, KindIsDecidedByTagThenCalleesThenNameThenParent) {
  auto server = tracer_->StartSpan("compose_post_server");
  const opentracing::SpanContext& parent = server->context();
  struct Case {
    const char* operation;
    const char* kind;  // tag
    bool child;
    const char* is;  // side, callee
  };
  for (const Case& c : {
           Case{"x", "server", true, "server "},
           Case{"x", "consumer", true, "server "},
           Case{"x", "client", false, "client x"},
           Case{"x", "producer", true, "client x"},
           Case{"find_followers", "", false, "client social-graph"},
           Case{"find_followers", "server", false, "server "},
           Case{"read_client", "", false, "client read"},
           Case{"read_server", "", true, "server "},
           Case{"read_client", "server", true, "server "},
           Case{"read", "", false, "server "},
           Case{"read", "", true, ""},
           Case{"_client", "", true, ""},
           Case{"read", "no such kind", true, ""},
       }) {
    SCOPED_TRACE(std::string(c.operation) + " " + c.kind);
    {
      opentracing::StartSpanOptions options;
      if (c.child) {
        options.references.emplace_back(opentracing::SpanReferenceType::ChildOfRef, &parent);
      }
      if (*c.kind != 0) options.tags.emplace_back("span.kind", c.kind);
      tracer_->StartSpanWithOptions(c.operation, options)->Finish();
    }
    const std::vector<Span> spans = Spans();
    std::string is;
    if (!spans.empty()) {
      is = (spans[0].side() == SpanSide::kServer ? "server " : "client ") + CalleeOf(spans[0]);
    }
    EXPECT_EQ(is, c.is);
  }
}

TEST_F(OpenTracing, CalleeIsNamedByTagWhereTheTableIsSilent) {
  auto span = tracer_->StartSpan(
      "get", {SetTag("span.kind", "client"), SetTag("peer.service", std::string("user-db"))});
  EXPECT_EQ(depths_.Of("compose-post -> user-db"), 1);
  span->SetTag("peer.service", "other-db");  // it learns better
  EXPECT_EQ(depths_.Of("compose-post -> user-db"), 0);
  EXPECT_EQ(depths_.Of("compose-post -> other-db"), 1);
  span->Finish();
  EXPECT_EQ(depths_.Of("compose-post -> other-db"), 0);
  auto known = tracer_->StartSpan("find_followers", {SetTag("peer.service", "somebody")});
  EXPECT_EQ(depths_.Of("compose-post -> social-graph"), 1);
}

TEST_F(OpenTracing, InnerSpansPassTheirParentOn) {
  auto server = tracer_->StartSpan("s_server");
  auto inner = tracer_->StartSpan("parse", {ChildOf(&server->context())});
  auto client = tracer_->StartSpan("read_client", {ChildOf(&inner->context())});
  EXPECT_EQ(inner->context().ToSpanID(), server->context().ToSpanID());
  EXPECT_EQ(depths_.Of("compose-post blocked"), 1);
  for (auto* span : {&client, &inner, &server}) (*span)->Finish();
  const std::vector<Span> spans = Spans();
  ASSERT_EQ(spans.size(), 2u);
  EXPECT_EQ(spans[0].parent_id(), spans[1].span_id());
  EXPECT_EQ(spans[0].trace_id(), spans[1].trace_id());
  EXPECT_EQ(tracer_->counts().inner, 1u);
  EXPECT_EQ(tracer_->counts().served, 1u);
  EXPECT_EQ(tracer_->counts().called, 1u);
}

TEST_F(OpenTracing, KindThatComesLateStillCounts) {
  auto server = tracer_->StartSpan("s_server");
  auto late = tracer_->StartSpan("query", {ChildOf(&server->context())});
  EXPECT_EQ(depths_.Of("compose-post blocked"), 0);
  late->SetTag("span.kind", "client");
  EXPECT_EQ(depths_.Of("compose-post -> query"), 1);
  EXPECT_EQ(depths_.Of("compose-post blocked"), 1);
  late->SetOperationName("ask");
  EXPECT_EQ(depths_.Of("compose-post -> query"), 0);
  EXPECT_EQ(depths_.Of("compose-post -> ask"), 1);
  late->Finish();
  late->SetOperationName("too late");
  late->SetTag("span.kind", "server");
  EXPECT_EQ(depths_.Of("compose-post blocked"), 0);
  EXPECT_EQ(depths_.Of("compose-post -> ask"), 0);
  EXPECT_EQ(tracer_->counts().inner, 0u);
}

TEST_F(OpenTracing, FollowsFromHasTheParentButDoesNotBlock) {
  auto server = tracer_->StartSpan("s_server");
  auto after = tracer_->StartSpan("notify_client", {FollowsFrom(&server->context())});
  EXPECT_EQ(depths_.Of("compose-post blocked"), 0);
  EXPECT_EQ(depths_.Of("compose-post -> notify"), 1);
  auto both = tracer_->StartSpan("tell_client",
                                 {FollowsFrom(&after->context()), ChildOf(&server->context())});
  EXPECT_EQ(depths_.Of("compose-post blocked"), 1);
  both->Finish();
  after->Finish();
  const std::vector<Span> spans = Spans();
  ASSERT_EQ(spans.size(), 2u);
  EXPECT_EQ(spans[0].parent_id(), spans[1].parent_id());
}

TEST_F(OpenTracing, ErrorTagAndUnfinishedSpansFail) {
  tracer_->StartSpan("a_server", {SetTag("error", true)})->Finish();
  auto b = tracer_->StartSpan("b_server");
  b->SetTag("error", "true");
  b->Finish();
  auto c = tracer_->StartSpan("c_server");
  c->SetTag("error", true);
  c->SetTag("error", false);
  c->Finish();
  tracer_->StartSpan("d_server").reset();
  std::vector<Outcome> outcomes;
  for (const Span& span : Spans()) outcomes.push_back(span.outcome());
  EXPECT_THAT(outcomes, ::testing::ElementsAre(Outcome::kFailed, Outcome::kFailed, Outcome::kOk,
                                               Outcome::kFailed));
  EXPECT_EQ(depths_.Of("compose-post running"), 0);
}

TEST_F(OpenTracing, TimesThatTheApplicationGivesAreKept) {
  using std::chrono::seconds;
  const auto now = std::chrono::steady_clock::now();
  auto span = tracer_->StartSpan(
      "s_server", {opentracing::StartTimestamp(std::chrono::system_clock::now() - seconds(5),
                                               now - seconds(5))});
  span->Finish({opentracing::FinishTimestamp(now - seconds(2))});
  auto plain = tracer_->StartSpan("t_server");
  plain->Finish();
  const std::vector<Span> spans = Spans();
  ASSERT_EQ(spans.size(), 2u);
  EXPECT_NEAR(static_cast<double>(spans[0].duration_ns()), 3e9, 0.1e9);
  EXPECT_NEAR(static_cast<double>(spans[1].start_ns() - spans[0].start_ns()), 5e9, 1e9);
  EXPECT_LT(spans[1].duration_ns(), 1'000'000'000);
}

TEST_F(OpenTracing, ContextsSurviveEveryCarrier) {
  auto span = tracer_->StartSpan("s_server");
  span->SetBaggageItem("user", "caf\xc3\xa9 %2f\r\nX-Evil: 1");
  span->SetBaggageItem("empty", "");
  const auto check = [&](opentracing::expected<std::unique_ptr<opentracing::SpanContext>> read) {
    ASSERT_TRUE(read && *read != nullptr);
    EXPECT_EQ((*read)->ToTraceID(), span->context().ToTraceID());
    EXPECT_EQ((*read)->ToSpanID(), span->context().ToSpanID());
    Headers baggage;
    (*read)->ForeachBaggageItem([&](const std::string& key, const std::string& value) {
      baggage[key] = value;
      return true;
    });
    EXPECT_EQ(baggage.size(), 2u);
    EXPECT_EQ(baggage["user"], span->BaggageItem("user"));
    const auto child = tracer_->StartSpan("c_client", {ChildOf(read->get())});
    EXPECT_EQ(child->context().ToTraceID(), span->context().ToTraceID());
    EXPECT_EQ(child->BaggageItem("user"), span->BaggageItem("user"));
    EXPECT_EQ((*read)->Clone()->ToSpanID(), span->context().ToSpanID());
  };
  Headers text;
  ASSERT_TRUE(tracer_->Inject(span->context(), TextMapWriter(&text)));
  EXPECT_EQ(text.count("traceparent"), 1u);
  check(tracer_->Extract(TextMapReader(text)));
  Headers http;
  ASSERT_TRUE(tracer_->Inject(span->context(), HttpWriter(&http)));
  for (const auto& [key, value] : http) {
    EXPECT_EQ((key + value).find_first_of("\r\n "), std::string::npos) << key;
  }
  check(tracer_->Extract(HttpReader(http)));
  std::stringstream stream;
  ASSERT_TRUE(tracer_->Inject(span->context(), stream));
  check(tracer_->Extract(stream));
}

TEST_F(OpenTracing, CarriersWithoutAContextGiveNull) {
  for (const Headers& headers :
       {Headers{}, Headers{{"traceparent", "nonsense"}}, Headers{{"ot-baggage-a", "b"}}}) {
    const auto read = tracer_->Extract(TextMapReader(headers));
    ASSERT_TRUE(read);
    EXPECT_EQ(*read, nullptr);
  }
  std::stringstream empty;
  const auto read = tracer_->Extract(empty);
  ASSERT_TRUE(read);
  EXPECT_EQ(*read, nullptr);
  // What DeathStarBench does with it.
  tracer_->StartSpan("s_server", {ChildOf(read->get())})->Finish();
}

TEST_F(OpenTracing, HeadersOfOtherTracersAreRead) {
  const Headers jaeger = {
      {"uber-trace-id", "463ac35c9f6413ad48485a3953bb6124:a2fb4a1d1a96d312:0:1"}};
  const auto read = tracer_->Extract(TextMapReader(jaeger));
  ASSERT_TRUE(read && *read != nullptr);
  EXPECT_EQ((*read)->ToTraceID(), "463ac35c9f6413ad48485a3953bb6124");
}

TEST_F(OpenTracing, ForeignContextsAndBrokenCarriersAreErrors) {
  const auto noop = opentracing::MakeNoopTracer();
  const auto foreign = noop->StartSpan("x");
  Headers headers;
  EXPECT_FALSE(tracer_->Inject(foreign->context(), TextMapWriter(&headers)));
  auto span = tracer_->StartSpan("s_server", {ChildOf(&foreign->context())});
  TextMapWriter full(&headers);
  full.full_ = true;
  EXPECT_FALSE(tracer_->Inject(span->context(), full));
  std::ostringstream bad;
  bad.setstate(std::ios::badbit);
  EXPECT_FALSE(tracer_->Inject(span->context(), bad));
}

TEST_F(OpenTracing, BinaryCarriersOfAnyBytesAreSurvived) {
  auto span = tracer_->StartSpan("s_server");
  span->SetBaggageItem("key", "value");
  std::ostringstream stream;
  ASSERT_TRUE(tracer_->Inject(span->context(), stream));
  const std::string good = stream.str();
  for (std::size_t cut = 1; cut < good.size(); ++cut) {
    std::istringstream in(good.substr(0, cut));
    EXPECT_FALSE(tracer_->Extract(in)) << cut;
  }
  std::mt19937 random(7);
  for (int i = 0; i < 20000 / kSlower; ++i) {
    std::string bytes = good;
    for (std::size_t k = random() % 4; k > 0; --k) {
      bytes[random() % bytes.size()] = static_cast<char>(random());
    }
    std::istringstream in(bytes);
    const auto read = tracer_->Extract(in);
    if (read && *read != nullptr) (*read)->Clone();
  }
}

TEST_F(OpenTracing, BaggageIsBounded) {
  auto span = tracer_->StartSpan("s_server");
  for (int i = 0; i < 1000; ++i) span->SetBaggageItem("k" + std::to_string(i), "v");
  span->SetBaggageItem("k0", std::string(9000, 'x'));
  EXPECT_EQ(span->BaggageItem("k0"), "v");
  int items = 0;
  span->context().ForeachBaggageItem(
      [&](const std::string&, const std::string&) { return ++items < 1000; });
  EXPECT_EQ(items, 64);
}

TEST_F(OpenTracing, OperationsBeyondTheTableGoTogether) {
  options_.max_operations = 4;
  Make();
  for (int i = 0; i < 20; ++i) {
    tracer_->StartSpan("op" + std::to_string(i) + "_server")->Finish();
  }
  auto client = tracer_->StartSpan("x_client");
  EXPECT_EQ(depths_.Of("compose-post -> (other)"), 1);
  client->Finish();
  std::map<std::string, int> methods;
  for (const Span& span : Spans()) ++methods[MethodOf(span)];
  EXPECT_EQ(methods["op0_server"], 1);
  EXPECT_EQ(methods["(other)"], 17);
  EXPECT_EQ(tracer_->counts().unnamed, 17u);
}

TEST_F(OpenTracing, NamesThatDoNotFitAreMadeTo) {
  tracer_->StartSpan("")->Finish();
  tracer_->StartSpan("a\nb_client")->Finish();
  tracer_->StartSpan(std::string(300, 'x') + "_client")->Finish();
  const std::vector<Span> spans = Spans();
  ASSERT_EQ(spans.size(), 3u);
  EXPECT_EQ(MethodOf(spans[0]), "(unnamed)");
  EXPECT_EQ(CalleeOf(spans[1]), "a_b");
  EXPECT_EQ(CalleeOf(spans[2]), std::string(63, 'x'));
}

TEST_F(OpenTracing, SpanOutlivesItsTracer) {
  auto span = tracer_->StartSpan("s_server");
  tracer_.reset();
  EXPECT_NE(&span->tracer(), nullptr);
  span->Finish();
  EXPECT_EQ(Spans().size(), 1u);
}

// As the handlers of DeathStarBench's social network are written: contexts go through maps of
// strings also within the process, calls run in std::async, nothing has a tag.
class ComposePostHandler {
 public:
  explicit ComposePostHandler(std::shared_ptr<opentracing::Tracer> tracer)
      : tracer_(std::move(tracer)) {}

  void ComposePost(const Headers& carrier, const std::function<void()>& while_waiting) {
    TextMapReader reader(carrier);
    auto parent_span = tracer_->Extract(reader);
    auto span = tracer_->StartSpan("compose_post_server", {ChildOf(parent_span->get())});
    Headers writer_text_map;
    TextMapWriter writer(&writer_text_map);
    tracer_->Inject(span->context(), writer);
    std::vector<std::future<void>> calls;
    for (const char* name : {"compose_text_client", "compose_media_client"}) {
      calls.push_back(std::async(std::launch::async, [&, name] { Call(name, writer_text_map); }));
    }
    while_waiting();
    for (auto& call : calls) call.wait();
    span->Finish();
  }

  std::promise<void> both_called;
  std::promise<void> answer;
  Headers sent;  // by the text client

 private:
  void Call(const char* name, const Headers& carrier) {
    TextMapReader reader(carrier);
    auto parent_span = tracer_->Extract(reader);
    auto span = tracer_->StartSpan(name, {ChildOf(parent_span->get())});
    Headers writer_text_map;
    TextMapWriter writer(&writer_text_map);
    tracer_->Inject(span->context(), writer);
    {
      std::lock_guard<std::mutex> lock(mutex_);
      if (name == std::string("compose_text_client")) sent = writer_text_map;
      if (++called_ == 2) both_called.set_value();
    }
    answered_.wait();
    span->Finish();
  }

  std::shared_ptr<opentracing::Tracer> tracer_;
  std::shared_future<void> answered_ = answer.get_future().share();
  std::mutex mutex_;
  int called_ = 0;
};

TEST_F(OpenTracing, HandlersOfDeathStarBenchHaveDepthsUnedited) {
  ComposePostHandler handler(tracer_);
  handler.ComposePost({}, [&] {
    handler.both_called.get_future().wait();
    EXPECT_EQ(depths_.Of("compose-post running"), 1);
    EXPECT_EQ(depths_.Of("compose-post blocked"), 1);
    EXPECT_EQ(depths_.Of("compose-post -> compose_text"), 1);
    EXPECT_EQ(depths_.Of("compose-post -> compose_media"), 1);
    handler.answer.set_value();
  });
  for (const char* queue : {"compose-post running", "compose-post blocked",
                            "compose-post -> compose_text", "compose-post -> compose_media"}) {
    EXPECT_EQ(depths_.Of(queue), 0) << queue;
  }
  EXPECT_EQ(depths_.errors(), 0u);
  const std::vector<Span> spans = Spans();
  ASSERT_EQ(spans.size(), 3u);
  const auto served = std::find_if(spans.begin(), spans.end(), [](const Span& span) {
    return span.side() == SpanSide::kServer;
  });
  ASSERT_NE(served, spans.end());
  int calls = 0;
  for (const Span& span : spans) {
    if (span.side() != SpanSide::kClient) continue;
    ++calls;
    EXPECT_EQ(span.parent_id(), served->span_id());
    EXPECT_EQ(span.trace_id(), served->trace_id());
    if (MethodOf(span) == "compose_text_client") {
      EXPECT_EQ(Extract(handler.sent).span_id, span.span_id());
    }
  }
  EXPECT_EQ(calls, 2);
}

// One span used by several threads, many spans in many threads; all is gone in the end.
TEST_F(OpenTracing, AnyThreadMayUseAnySpanConcurrency) {
  const int rounds = 2000 / kSlower;
  auto shared = tracer_->StartSpan("shared_server");
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < rounds; ++i) {
        auto server = tracer_->StartSpan("op" + std::to_string(i % 40) + "_server");
        auto client =
            tracer_->StartSpan("db" + std::to_string(i % 7) + "_client",
                               {ChildOf(i % 2 == 0 ? &server->context() : &shared->context())});
        shared->SetTag("error", i % 2 == 0);
        shared->SetBaggageItem("k" + std::to_string(t), std::to_string(i));
        shared->BaggageItem("k0");
        client->SetTag("peer.service", "p");
        if (i % 3 == 0) server->Finish();
        client->Finish();
        server->Finish();
        if (i == rounds / 2) shared->Finish();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const char* queue : {"compose-post running", "compose-post blocked", "compose-post -> db0",
                            "compose-post -> p"}) {
    EXPECT_EQ(depths_.Of(queue), 0) << queue;
  }
  EXPECT_EQ(depths_.errors(), 0u);
  EXPECT_EQ(tracer_->counts().served, 4u * static_cast<unsigned>(rounds) + 1);
}

}  // namespace
}  // namespace seer
