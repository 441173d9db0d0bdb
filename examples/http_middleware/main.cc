// A shop of two services, each an HTTP server with a task queue and two workers: "cart" asks "user"
// for every request. middleware.h is what seer adds to them. Then the example shows the queues
// while requests are open, and what was recorded.
//
//   examples/run http-middleware
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <queue>
#include <string>
#include <thread>
#include <vector>

#include "http.h"
#include "middleware.h"
#include "seer/core/channel.h"
#include "seer/queue/reader.h"
#include "seer/queue/registry.h"
#include "seer/trace/drainer.h"
#include "seer/trace/recorder.h"
#include "seer/trace/sink.h"

namespace {

using example::Handle;
using example::HttpReply;
using example::HttpRequest;
using example::Job;

class Server {
 public:
  using Handler = std::function<HttpReply(const HttpRequest&)>;

  Server(example::Routes routes, Handler handler)
      : routes_(std::move(routes)), handler_(std::move(handler)), listener_(example::Listen()) {
    if (listener_.socket < 0) return;
    threads_.emplace_back([this] { Accept(); });
    for (int i = 0; i < 2; ++i) threads_.emplace_back([this] { Work(); });
  }
  ~Server() {
    shutdown(listener_.socket, SHUT_RDWR);
    {
      std::lock_guard<std::mutex> lock(mutex_);
      stopping_ = true;
    }
    work_.notify_all();
    for (std::thread& thread : threads_) thread.join();
    close(listener_.socket);
  }
  int port() const { return listener_.port; }

 private:
  void Accept() {
    for (;;) {
      const int socket = accept(listener_.socket, nullptr, nullptr);
      if (socket < 0) return;
      HttpRequest request;
      if (!example::ReadRequest(socket, &request)) {
        close(socket);
        continue;
      }
      Job job(socket, std::move(request), routes_);  // it waits, and is counted
      {
        std::lock_guard<std::mutex> lock(mutex_);
        jobs_.push(std::move(job));
      }
      work_.notify_one();
    }
  }
  void Work() {
    for (;;) {
      std::unique_lock<std::mutex> lock(mutex_);
      work_.wait(lock, [this] { return stopping_ || !jobs_.empty(); });
      if (jobs_.empty()) return;
      Job job = std::move(jobs_.front());
      jobs_.pop();
      lock.unlock();
      const HttpReply reply = Handle(&job, handler_);
      const bool sent = example::WriteReply(job.socket, reply);
      close(job.socket);
      job.call.End(sent ? example::OutcomeOf(reply) : seer::Outcome::kTransport);
    }
  }

  const example::Routes routes_;
  const Handler handler_;
  const example::Listener listener_;
  std::mutex mutex_;
  std::condition_variable work_;
  std::queue<Job> jobs_;
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

// This process's own queues.
class Queues {
 public:
  Queues() {
    seer::ReaderOptions options;
    options.directory = "";
    auto reader = seer::Reader::Open(options);
    if (reader.ok() && (*reader)->Add(seer::QueueRegistry::Global()).ok()) {
      reader_ = *std::move(reader);
    }
  }
  std::uint64_t CameTo(const std::string& service, seer::Channel channel) {
    std::uint64_t came = 0;
    if (reader_ == nullptr) return came;
    const seer::NodeReading& now = reader_->Read();
    for (std::size_t i = 0; i < now.queues.size(); ++i) {
      const seer::QueueInfo& queue = reader_->queues()[i];
      if (queue.service == service && queue.channel == channel) came += now.queues[i].enqueued;
    }
    return came;
  }
  void Show() {
    if (reader_ == nullptr) return;
    const seer::NodeReading& now = reader_->Read();
    for (std::size_t i = 0; i < now.queues.size(); ++i) {
      const seer::QueueInfo& queue = reader_->queues()[i];
      const std::string name = queue.channel ? std::string(seer::ChannelName(*queue.channel))
                                             : "calls to " + queue.callee;
      std::printf("%-5s %-14s %u\n", queue.service.c_str(), name.c_str(), now.queues[i].depth);
    }
  }

 private:
  std::unique_ptr<seer::Reader> reader_;
};

void ShowSpans(seer::SpanDrainer& drainer, seer::MemorySink& sink) {
  drainer.Drain().IgnoreError();
  int requests = 0;
  int calls = 0;
  for (const seer::SpanBatch& batch : sink.Take()) {
    for (const seer::Span& span : batch.spans) {
      ++(span.side() == seer::SpanSide::kServer ? requests : calls);
    }
  }
  std::printf("recorded: %d requests, %d calls\n", requests, calls);
}

}  // namespace

int main() {
  seer::RegistryOptions registry;
  registry.directory = "";  // nobody else looks at this example
  if (!seer::QueueRegistry::SetGlobalOptions(registry).ok()) return 1;
  auto sink = std::make_shared<seer::MemorySink>();
  auto drainer = seer::SpanDrainer::Create(seer::SpanRecorder::Global(), sink);
  if (!drainer.ok()) {
    std::fprintf(stderr, "%s\n", std::string(drainer.status().message()).c_str());
    return 1;
  }

  // "user" answers when it is told to, so that there is something to see.
  std::mutex mutex;
  std::condition_variable changed;
  int in_user = 0;
  bool answer = false;
  example::Routes user_routes("user");
  user_routes.Add("GET /user");
  std::optional<Server> user;
  user.emplace(std::move(user_routes), [&](const HttpRequest&) {
    std::unique_lock<std::mutex> lock(mutex);
    ++in_user;
    changed.notify_all();
    changed.wait(lock, [&] { return answer; });
    return HttpReply{200, "alice"};
  });

  const auto get_user = seer::CalledRpc::Add("cart", "user", "GET /user");
  if (!get_user.ok()) return 1;
  example::Routes cart_routes("cart");
  cart_routes.Add("GET /cart");
  std::optional<Server> cart;
  cart.emplace(std::move(cart_routes), [&](const HttpRequest&) {
    HttpRequest request;
    request.path = "/user";
    return example::TracedCall(*get_user, user->port(), request);
  });

  std::vector<std::thread> clients;
  for (int i = 0; i < 5; ++i) {
    clients.emplace_back([&] {
      HttpRequest request;
      request.path = "/cart";
      if (example::Call(cart->port(), request).body != "alice") std::puts("no answer");
    });
  }
  {
    // Two workers of cart are waiting for user, three requests wait for a worker of cart.
    std::unique_lock<std::mutex> lock(mutex);
    changed.wait(lock, [&] { return in_user == 2; });
  }
  Queues queues;
  for (int i = 0; i < 500 && queues.CameTo("cart", seer::Channel::kQueued) < 5; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  queues.Show();
  {
    std::lock_guard<std::mutex> lock(mutex);
    answer = true;
  }
  changed.notify_all();
  for (std::thread& client : clients) client.join();
  std::puts("all answered");
  cart.reset();  // joins the workers: their spans have ended then
  user.reset();
  ShowSpans(**drainer, *sink);
  return 0;
}
