// Records a request with two calls and posts it to an OpenTelemetry collector (or Jaeger, Tempo,
// ...) as OTLP/HTTP protobuf.
//
//   examples/run otlp-post http://localhost:4318
//   examples/run otlp-post --self-test              # to a collector that it plays itself
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <thread>
#include <utility>

#include "http_post.h"
#include "seer/trace/drainer.h"
#include "seer/trace/otlp.h"
#include "seer/trace/propagation.h"
#include "seer/trace/recorder.h"
#include "seer/trace/sink.h"

namespace {

// What a host writes: the batch becomes bytes, the bytes go to the collector.
class CollectorSink final : public seer::TraceSink {
 public:
  explicit CollectorSink(example::Url url) : url_(std::move(url)) {}
  // Before the first Write(); outlives the sink.
  void SetTopology(const seer::Topology* topology) { topology_ = topology; }

  absl::Status Write(const seer::SpanBatch& batch) override {
    body_.clear();
    encoder_.Append(batch, *topology_, &body_);
    absl::Status posted =
        example::Post(url_, "application/x-protobuf", body_, std::chrono::seconds(5));
    if (posted.ok()) {
      ++counts_.batches;
      counts_.spans += batch.spans.size();
      bytes_ += body_.size();
    }
    return posted;
  }
  absl::Status Flush(std::chrono::nanoseconds) override { return absl::OkStatus(); }
  seer::SinkCounts counts() const override { return counts_; }
  std::size_t bytes() const { return bytes_; }

 private:
  const example::Url url_;
  const seer::Topology* topology_ = nullptr;
  seer::OtlpEncoder encoder_;
  std::string body_;
  std::size_t bytes_ = 0;
  seer::SinkCounts counts_;
};

absl::Status RecordAndPost(const std::string& text) {
  auto url = example::ParseUrl(text);
  if (!url.ok()) return url.status();
  auto recorder = seer::SpanRecorder::Create({});
  if (!recorder.ok()) return recorder.status();
  const auto sink = std::make_shared<CollectorSink>(*std::move(url));
  auto drainer = seer::SpanDrainer::Create(**recorder, sink);
  if (!drainer.ok()) return drainer.status();
  sink->SetTopology(&(*drainer)->topology());

  const auto checkout = (*recorder)->AddServed("shop", "POST /checkout");
  const auto cart = (*recorder)->AddCalled("shop", "cart", "GetCart");
  const auto pay = (*recorder)->AddCalled("shop", "payment", "Charge");
  if (!checkout.ok() || !cart.ok() || !pay.ok()) return absl::InternalError("a table is full");
  std::string trace;
  {
    seer::ServerSpan span(*checkout, seer::TraceContext());
    const seer::ContextScope scope(span.ContextUnder({}));
    const auto traceparent = seer::FormatTraceparent(seer::CurrentContext());
    trace.assign(traceparent.data() + 3, 32);
    span.HandlerStart();
    for (const auto* method : {&*cart, &*pay}) {
      seer::ClientSpan call(*method, seer::CurrentContext());
      call.RequestSent();
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
      call.End(seer::Outcome::kOk);
    }
    span.HandlerEnd();
    span.End(seer::Outcome::kOk);
  }
  if (absl::Status drained = (*drainer)->Drain(); !drained.ok()) return drained;
  std::printf("posted %llu spans, %zu bytes, trace %s\n",
              static_cast<unsigned long long>(sink->counts().spans), sink->bytes(), trace.c_str());
  return absl::OkStatus();
}

// Answers one request a connection: takes what it is sent, and says `status`.
class PlayedCollector {
 public:
  explicit PlayedCollector(std::string status) : status_(std::move(status)) {
    socket_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    if (bind(socket_, reinterpret_cast<sockaddr*>(&address), size) != 0 ||
        listen(socket_, 4) != 0 ||
        getsockname(socket_, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
      std::perror("listen");
    }
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this] { Answer(); });
  }
  ~PlayedCollector() {
    shutdown(socket_, SHUT_RDWR);
    thread_.join();
    close(socket_);
  }
  std::string url() const { return "http://127.0.0.1:" + std::to_string(port_); }

 private:
  void Answer() {
    for (;;) {
      const int fd = accept(socket_, nullptr, nullptr);
      if (fd < 0) return;
      std::string request;
      char buffer[4096];
      std::size_t whole = std::string::npos;
      while (request.size() < whole) {
        const ssize_t n = recv(fd, buffer, sizeof buffer, 0);
        if (n <= 0) break;
        request.append(buffer, static_cast<std::size_t>(n));
        const std::size_t head = request.find("\r\n\r\n");
        const std::size_t length = request.find("Content-Length: ");
        if (head != std::string::npos && length < head) {
          whole = head + 4 + std::strtoul(request.c_str() + length + 16, nullptr, 10);
        }
      }
      const bool good =
          request.find("POST /v1/traces HTTP/1.1\r\n") == 0 &&
          request.find("\r\nContent-Type: application/x-protobuf\r\n") != std::string::npos &&
          request.find("POST /checkout") != std::string::npos;
      const std::string reply =
          "HTTP/1.1 " + (good ? status_ : "400 Bad Request") + "\r\nContent-Length: 0\r\n\r\n";
      if (send(fd, reply.data(), reply.size(), MSG_NOSIGNAL) < 0) std::perror("send");
      close(fd);
    }
  }

  const std::string status_;
  int socket_ = -1;
  int port_ = 0;
  std::thread thread_;
};

void Show(const absl::Status& status) {
  if (!status.ok()) std::printf("%s\n", status.ToString().c_str());
}

int SelfTest() {
  std::string closed;
  {
    const PlayedCollector collector("200 OK");
    Show(RecordAndPost(collector.url()));
    closed = collector.url();
  }
  {
    const PlayedCollector collector("503 Service Unavailable");
    Show(RecordAndPost(collector.url()));
  }
  {
    const PlayedCollector collector("404 Not Found");
    Show(RecordAndPost(collector.url()));
  }
  Show(RecordAndPost(closed));
  Show(RecordAndPost("https://localhost"));
  Show(RecordAndPost("http://:80"));
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: otlp-post http://host[:port][/path] | --self-test\n");
    return 2;
  }
  if (argv[1] == std::string("--self-test")) return SelfTest();
  const absl::Status posted = RecordAndPost(argv[1]);
  if (posted.ok()) return 0;
  std::fprintf(stderr, "otlp-post: %s\n", std::string(posted.message()).c_str());
  return 1;
}
