// seer-agent: what runs on every node. At the end of every tick it reads the queues of all services
// that publish on the node, and writes a snapshot for the control plane, serves it to Prometheus,
// or shows it on the terminal.
//
//   seer-agent --demo                                      a line for every tick
//   seer-agent --quiet --output - | carry-to-control-plane
//   seer-agent --class 'checkout=frontend:p99<=20ms/1s'    and how that class of requests did
//   seer-agent --quiet --listen 9464                       curl http://127.0.0.1:9464/metrics
//
// Everything happens on one thread: the program drives the collector itself (Collector::Tick) and
// serves requests between two looks. Where to look: Run(), at the bottom.
#include <fcntl.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "demo.h"
#include "metrics_server.h"
#include "options.h"
#include "seer/core/wire.h"
#include "seer/queue/collector.h"
#include "seer/queue/kernel_probe.h"
#include "seer/queue/open_metrics.h"
#include "spans.h"

namespace {

using SteadyClock = std::chrono::steady_clock;

std::string Text(const absl::Status& status) { return std::string(status.message()); }

std::int64_t UnixNs() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

// Messages with their lengths before them, into a file or pipe.
class MessageLog {
 public:
  ~MessageLog() {
    if (fd_ > STDOUT_FILENO) close(fd_);
  }
  absl::Status Open(const char* option, const std::string& path) {
    option_ = option;
    fd_ = path == "-" ? STDOUT_FILENO
                      : open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    return fd_ >= 0 ? absl::OkStatus() : absl::ErrnoToStatus(errno, option_ + ": " + path);
  }
  bool is_open() const { return fd_ >= 0; }

  template <typename Value>
  absl::Status Write(const Value& value) {
    seer::EncodeTo(value, &message_);
    char length[4];
    for (int i = 0; i < 4; ++i) length[i] = static_cast<char>(message_.size() >> 8 * i);
    message_.insert(0, length, sizeof length);
    // All of it; whoever reads a pipe slowly makes ticks late, and the snapshots say so.
    for (std::size_t at = 0; at < message_.size();) {
      const ssize_t n = write(fd_, message_.data() + at, message_.size() - at);
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) return absl::ErrnoToStatus(errno, option_);
      at += static_cast<std::size_t>(n);
    }
    return absl::OkStatus();
  }

 private:
  int fd_ = -1;
  std::string option_;
  std::string message_;
};

// "tick 17000000123  3 processes  late 0.2 ms  deepest cart/cart-0 queued 12 (+48 -47)"
void PrintLine(std::FILE* to, const seer::Topology& topology, const seer::Snapshot& snapshot) {
  std::fprintf(to, "tick %lld  %llu processes  late %.1f ms", static_cast<long long>(snapshot.tick),
               static_cast<unsigned long long>(snapshot.health.processes),
               static_cast<double>(snapshot.health.late_ns) / 1e6);
  if (snapshot.health.missed_ticks > 0) {
    std::fprintf(to, "  missed %llu",
                 static_cast<unsigned long long>(snapshot.health.missed_ticks));
  }
  // Of what services count; packets and bytes are no requests.
  seer::InstanceId deepest;
  seer::Channel channel = seer::Channel::kQueued;
  std::uint32_t depth = 0;
  for (const seer::Channel c : {seer::Channel::kQueued, seer::Channel::kRunning}) {
    const auto depths = snapshot.instances.depths(c);
    const auto most = std::max_element(depths.begin(), depths.end());
    if (most == depths.end() || *most <= depth) continue;
    depth = *most;
    channel = c;
    deepest = seer::InstanceId(static_cast<std::uint32_t>(most - depths.begin()));
  }
  if (deepest.valid()) {
    const seer::ChannelSample sample = *snapshot.instances.Get(deepest, channel);
    const seer::Instance& instance = topology.instance(deepest);
    std::fprintf(to, "  deepest %s/%s %s %u (+%u -%u)",
                 topology.service(instance.service).name.c_str(), instance.name.c_str(),
                 std::string(seer::ChannelName(channel)).c_str(), depth, sample.arrivals,
                 sample.departures);
  }
  for (std::uint32_t i = 0; i < snapshot.classes.size(); ++i) {
    const seer::ClassSample& sample = snapshot.classes[i];
    std::fprintf(to, "  %s %u, %u slow, p99 %.1f ms",
                 topology.request_class(seer::ClassId(i)).name.c_str(), sample.count,
                 sample.over_target, static_cast<double>(sample.latency.Quantile(0.99)) / 1e6);
  }
  std::fputc('\n', to);
  std::fflush(to);
}

// When to look next: the end of the tick's present part.
SteadyClock::time_point NextLook(const seer::CollectorOptions& options) {
  const std::int64_t now = UnixNs();
  const std::int64_t start = options.period.StartNs(options.period.TickAt(now));
  const std::int64_t part = options.period.ns() / options.samples_per_tick;
  const std::int64_t number = (now - start) / part + 1;
  const bool last = number >= options.samples_per_tick;  // it takes what the division leaves over
  const std::int64_t next = start + (last ? options.period.ns() : number * part);
  return SteadyClock::now() + std::chrono::nanoseconds(next - now);
}

absl::Status Run(const Options& options) {
  // SIGTERM and SIGINT wait until we ask for them; a reader that goes away is an error of write().
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  sigprocmask(SIG_BLOCK, &signals, nullptr);
  signal(SIGPIPE, SIG_IGN);
  const int stop = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
  if (stop < 0) return absl::ErrnoToStatus(errno, "signalfd");

  std::unique_ptr<Demo> demo;
  if (options.demo) {
    demo = Demo::Publish(options.collector.reader.directory);
    if (demo == nullptr) return absl::UnavailableError("--demo: nothing to show");
  }

  auto created = seer::Collector::Create(options.collector);
  if (!created.ok()) return created.status();
  seer::Collector& collector = **created;
  if (options.use_kernel) {
    auto probe = seer::KernelProbe::Create(options.kernel);
    if (!probe.ok()) return probe.status();
    for (const auto& port : options.kernel.ports) {
      seer::DeclaredInstance instance;  // it may publish nothing itself
      instance.service = port.service;
      instance.instance = port.instance;
      if (absl::Status status = collector.Declare(instance); !status.ok()) return status;
    }
    collector.AddProbe(*std::move(probe));
  }

  MessageLog log, spans;
  if (!options.output.empty()) {
    if (absl::Status status = log.Open("--output", options.output); !status.ok()) return status;
  }
  if (!options.spans_output.empty()) {
    if (absl::Status status = spans.Open("--spans", options.spans_output); !status.ok()) {
      return status;
    }
  }
  if (!options.spans.classes.empty() || spans.is_open()) {
    WriteSpans write;
    if (spans.is_open()) {
      write = [&spans, known = seer::Origin()](const seer::SpanBatch& batch,
                                               const seer::Topology& topology) mutable {
        absl::Status status;
        if (topology.origin() != known) status = spans.Write(topology);
        known = topology.origin();
        return status.ok() ? spans.Write(batch) : status;
      };
    }
    absl::Status status = WatchSpans(options.spans, std::move(write), &collector);
    if (!status.ok()) return status;
  }
  std::FILE* const lines = options.output == "-" ? stderr : stdout;

  const seer::Snapshot* snapshot = nullptr;
  MetricsServer server([&](std::string_view accept, std::string* type, std::string* body) {
    const seer::MetricsFormat format = seer::PreferredFormat(accept);
    *type = seer::ContentType(format);
    static const seer::Snapshot none;  // before the first tick has ended
    seer::AppendMetrics(collector.topology(), snapshot != nullptr ? *snapshot : none,
                        collector.totals(), format, body);
  });
  if (options.listen) {
    if (absl::Status status = server.Listen(*options.listen); !status.ok()) return status;
    std::fprintf(lines, "http://127.0.0.1:%d/metrics\n", server.port());
    std::fflush(lines);
  }

  seer::Origin sent;
  std::uint64_t made = 0;
  collector.Sample();  // so that the first tick's counts are of that tick
  seer::Tick looked = options.collector.period.TickAt(UnixNs());
  while (!server.Poll(stop, NextLook(options.collector))) {
    const seer::Tick now = options.collector.period.TickAt(UnixNs());
    if (now == looked) {
      if (options.collector.samples_per_tick > 1) collector.Sample();
      continue;
    }
    looked = now;
    if (demo != nullptr) demo->Serve();
    snapshot = &collector.Tick();
    if (collector.totals().snapshots == made) continue;  // the clock was set back a little
    ++made;
    if (log.is_open()) {
      absl::Status status;
      if (snapshot->origin != sent) status = log.Write(collector.topology());
      sent = snapshot->origin;
      if (status.ok()) status = log.Write(*snapshot);
      if (!status.ok()) return status;
    }
    if (!options.quiet) PrintLine(lines, collector.topology(), *snapshot);
    if (made == options.ticks) break;
  }
  return absl::OkStatus();
}

}  // namespace

int main(int argc, char** argv) {
  int result = 0;
  const std::optional<Options> options = ParseOptions(argc, argv, &result);
  if (!options) return result;
  const absl::Status status = Run(*options);
  if (status.ok()) return 0;
  std::fprintf(stderr, "seer-agent: %s\n", Text(status).c_str());
  return 1;
}
