#include "tests/thrift/support.h"

#include <gtest/gtest.h>

#include <memory>
#include <mutex>
#include <thread>
#include <utility>

#include <thrift/Thrift.h>

#include "seer/queue/reader.h"
#include "seer/queue/registry.h"
#include "seer/trace/drainer.h"
#include "seer/trace/recorder.h"
#include "seer/trace/sink.h"

namespace seer::testing_support {
namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr std::chrono::seconds kPatience(60);
#else
constexpr std::chrono::seconds kPatience(10);
#endif

// Before anything is traced: no file in /dev/shm/seer, and room for all tests' services.
const bool global_options_are_set = [] {
  // Thrift tells of every connection that a test breaks.
  apache::thrift::GlobalOutput.setOutputFunction([](const char*) {});
  RegistryOptions queues;
  queues.directory = "";
  queues.instance = "test";
  RecorderOptions spans;
  spans.instance = "test";
  return QueueRegistry::SetGlobalOptions(queues).ok() && SpanRecorder::SetGlobalOptions(spans).ok();
}();

class Node {
 public:
  static Node& Global() {
    static Node* const node = new Node;
    return *node;
  }

  template <typename Take>
  std::int64_t Sum(const Take& take) {
    std::lock_guard<std::mutex> lock(mutex_);
    const NodeReading& now = reader_->Read();
    std::int64_t sum = -1;
    for (std::size_t i = 0; i < now.queues.size(); ++i) {
      if (!take.of(reader_->queues()[i])) continue;
      sum = (sum < 0 ? 0 : sum) + take.what(now.queues[i]);
    }
    return sum;
  }

  std::vector<SeenSpan> Spans(std::string_view service, std::string_view method) {
    std::lock_guard<std::mutex> lock(mutex_);
    EXPECT_TRUE(drainer_->Drain().ok());
    const Topology& t = drainer_->topology();
    for (const SpanBatch& batch : sink_->Take()) {
      EXPECT_EQ(batch.dropped, 0u);
      for (const Span& span : batch.spans) {
        SeenSpan seen;
        seen.service = t.service(t.instance(batch.instance).service).name;
        if (span.method().valid()) seen.method = t.method(span.method()).name;
        if (span.edge().valid()) seen.callee = t.service(t.edge(span.edge()).callee).name;
        seen.span = span;
        kept_.push_back(std::move(seen));
      }
    }
    std::vector<SeenSpan> wanted;
    std::vector<SeenSpan> rest;
    for (SeenSpan& seen : kept_) {
      const bool match =
          (service.empty() || seen.service == service) && (method.empty() || seen.method == method);
      (match ? wanted : rest).push_back(std::move(seen));
    }
    kept_ = std::move(rest);
    return wanted;
  }

 private:
  Node() {
    EXPECT_TRUE(global_options_are_set);
    ReaderOptions options;
    options.directory = "";
    reader_ = *Reader::Open(options);
    EXPECT_TRUE(reader_->Add(QueueRegistry::Global()).ok());
    sink_ = std::make_shared<MemorySink>(std::size_t{1} << 20);
    DrainerOptions drainer;
    drainer.lease = std::chrono::hours(1);
    drainer_ = *SpanDrainer::Create(SpanRecorder::Global(), sink_, drainer);
  }

  std::mutex mutex_;
  std::unique_ptr<Reader> reader_;
  std::shared_ptr<MemorySink> sink_;
  std::unique_ptr<SpanDrainer> drainer_;
  std::vector<SeenSpan> kept_;
};

template <typename Of, typename What>
std::int64_t SumOver(Of of, What what) {
  struct Take {
    Of of;
    What what;
  };
  return Node::Global().Sum(Take{of, what});
}

}  // namespace

std::int64_t DepthOf(std::string_view service, Channel channel) {
  return SumOver([=](const QueueInfo& q) { return q.service == service && q.channel == channel; },
                 [](const QueueReading& r) { return std::int64_t{r.depth}; });
}
std::int64_t ArrivalsOf(std::string_view service, Channel channel) {
  return SumOver([=](const QueueInfo& q) { return q.service == service && q.channel == channel; },
                 [](const QueueReading& r) { return static_cast<std::int64_t>(r.enqueued); });
}
std::int64_t EdgeDepth(std::string_view caller, std::string_view callee) {
  return SumOver(
      [=](const QueueInfo& q) {
        return !q.channel.has_value() && q.service == caller && q.callee == callee;
      },
      [](const QueueReading& r) { return std::int64_t{r.depth}; });
}
std::int64_t EdgeCalls(std::string_view caller, std::string_view callee) {
  return SumOver(
      [=](const QueueInfo& q) {
        return !q.channel.has_value() && q.service == caller && q.callee == callee;
      },
      [](const QueueReading& r) { return static_cast<std::int64_t>(r.enqueued); });
}

std::vector<SeenSpan> TakeSpans() { return Node::Global().Spans({}, {}); }
std::vector<SeenSpan> TakeSpansOf(std::string_view service, std::string_view method) {
  return Node::Global().Spans(service, method);
}

bool Eventually(const std::function<bool()>& condition) {
  const auto end = std::chrono::steady_clock::now() + kPatience;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return true;
}

}  // namespace seer::testing_support
