// Two Thrift services, traced: home-timeline asks post-storage, which takes 100 ms for a request
// and has two workers. Eight users come at once. Prints the depth of each queue while they wait,
// and where the slowest request spent its time.
#include <algorithm>
#include <cstdio>
#include <thread>

#include <thrift/protocol/TBinaryProtocol.h>
#include <thrift/server/TNonblockingServer.h>
#include <thrift/transport/TNonblockingServerSocket.h>

#include "HomeTimeline.h"
#include "PostStorage.h"
#include "seer/queue/reader.h"
#include "seer/thrift/make_traced.h"
#include "seer/thrift/node.h"
#include "seer/thrift/trace.h"
#include "seer/thrift/trace_thread_manager.h"
#include "seer/trace/drainer.h"

using namespace apache::thrift;
using Socket = transport::TNonblockingServerSocket;

// A service on a port of its own, whose requests wait in a queue for its workers.
struct Service {
  Service(const char* name, TProcessor* processor, std::size_t workers)
      : threads(seer::Trace(name, concurrency::ThreadManager::newSimpleThreadManager(workers))),
        server(seer::Trace(name, std::shared_ptr<TProcessor>(processor)),
               std::make_shared<protocol::TBinaryProtocolFactory>(), socket, threads) {
    threads->threadFactory(std::make_shared<concurrency::ThreadFactory>());
    threads->start();
    server.createAndListenOnSocket();
    thread = std::thread([this] { server.serve(); });
  }
  ~Service() { server.stop(), thread.join(); }
  std::shared_ptr<Socket> socket = std::make_shared<Socket>("127.0.0.1", 0);
  std::shared_ptr<concurrency::ThreadManager> threads;
  server::TNonblockingServer server;
  std::thread thread;
};

// The protocol of a client, over a connection of its own.
std::shared_ptr<protocol::TProtocol> To(const char* name, const Service& service) {
  auto socket = std::make_shared<transport::TSocket>("127.0.0.1", service.socket->getListenPort());
  socket->open();
  auto framed = std::make_shared<transport::TFramedTransport>(socket);
  return seer::MakeTraced<protocol::TBinaryProtocol>(name, framed);
}

struct Storage : PostStorageIf {
  void ReadPosts(std::vector<std::string>& posts, const std::int64_t user) override {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));  // the disk
    posts = {"a post of user " + std::to_string(user)};
  }
};

void PrintDepths() {
  auto reader = *seer::Reader::Open(seer::ReaderOptions{""});
  if (!reader->Add(seer::QueueRegistry::Global()).ok()) return;
  const seer::NodeReading& now = reader->Read();
  for (std::size_t i = 0; i < now.queues.size(); ++i) {
    const seer::QueueInfo& q = reader->queues()[i];
    const std::string what(q.channel ? seer::ChannelName(*q.channel) : "calls to " + q.callee);
    std::printf("%-14s %-22s %u\n", q.service.c_str(), what.c_str(), now.queues[i].depth);
  }
}

void PrintSlowestTrace() {
  auto sink = std::make_shared<seer::MemorySink>();
  auto drainer = *seer::SpanDrainer::Create(seer::SpanRecorder::Global(), sink);
  drainer->Drain().IgnoreError();
  std::vector<seer::Span> spans;
  for (const auto& b : sink->Take()) spans.insert(spans.end(), b.spans.begin(), b.spans.end());
  std::sort(spans.begin(), spans.end(),  // from the outside inwards
            [](const auto& a, const auto& b) { return a.duration_ns() > b.duration_ns(); });
  using S = seer::ServerStamp;
  for (const seer::Span& span : spans) {
    if (span.trace_id() != spans[0].trace_id()) continue;
    const auto ms = [&](S a, S b) { return 1e-6 * double(*span.stamp(b) - *span.stamp(a)); };
    const char* method = drainer->topology().method(span.method()).name.c_str();
    if (span.side() == seer::SpanSide::kClient) {
      std::printf("call   %-13s %6.1f ms\n", method, 1e-6 * double(span.duration_ns()));
    } else {
      std::printf("server %-13s %6.1f ms queued, then %.1f ms of service\n", method,
                  ms(S::kReceived, S::kDequeued), ms(S::kHandlerStart, S::kHandlerEnd));
    }
  }
}

int main() {
  GlobalOutput.setOutputFunction([](const char*) {});  // no log lines of Thrift's
  // Not in /dev/shm, where the node's agent would read along.
  if (!seer::QueueRegistry::SetGlobalOptions({"", "example"}).ok()) return 1;
  seer::SetThriftCaller("users");
  static Service posts("post-storage", new PostStorageProcessor(std::make_shared<Storage>()), 2);
  struct HomeTimeline : HomeTimelineIf {
    void ReadTimeline(std::vector<std::string>& read, const std::int64_t user) override {
      PostStorageClient(To("post-storage", posts)).ReadPosts(read, user);
    }
  };
  Service home("home-timeline", new HomeTimelineProcessor(std::make_shared<HomeTimeline>()), 8);
  std::vector<std::thread> users;
  for (int user = 1; user <= 8; ++user) {
    users.emplace_back([&home, user, read = std::vector<std::string>()]() mutable {
      HomeTimelineClient(To("home-timeline", home)).ReadTimeline(read, user);
    });
  }
  std::this_thread::sleep_for(std::chrono::milliseconds(60));
  PrintDepths();
  for (std::thread& user : users) user.join();
  PrintSlowestTrace();
}
