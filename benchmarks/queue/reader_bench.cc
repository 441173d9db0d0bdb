// Reading the queues of one process, and of a node.
#include <benchmark/benchmark.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <condition_variable>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "benchmarks/harness/figure.h"
#include "seer/core/tsc_clock.h"
#include "seer/queue/reader.h"
#include "seer/queue/registry.h"

namespace seer::bench {
namespace {

std::string MakeDirectory() {
  std::string path = "/dev/shm/seer-bench-XXXXXX";
  if (mkdtemp(path.data()) == nullptr) {
    path = "/tmp/seer-bench-XXXXXX";
    if (mkdtemp(path.data()) == nullptr) return "";
  }
  return path;
}

// Threads that have counted once in every queue and then live on.
class Writers {
 public:
  Writers(const std::vector<Queue>& queues, int threads) {
    for (int i = 0; i < threads; ++i) {
      threads_.emplace_back([this, &queues] {
        for (const Queue& queue : queues) queue.Enter();
        std::unique_lock<std::mutex> lock(mutex_);
        ++counted_;
        changed_.notify_all();
        changed_.wait(lock, [this] { return over_; });
      });
    }
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, [&] { return counted_ == threads; });
  }
  ~Writers() {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      over_ = true;
    }
    changed_.notify_all();
    for (std::thread& thread : threads_) thread.join();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int counted_ = 0;
  bool over_ = false;
  std::vector<std::thread> threads_;
};

struct Process {
  Process(int queues, int threads) : directory(MakeDirectory()) {
    RegistryOptions options;
    options.directory = directory;
    options.max_queues = static_cast<std::uint32_t>(queues);
    options.max_threads = static_cast<std::uint32_t>(threads) + 2;
    registry = *QueueRegistry::Create(options);
    for (int i = 0; i < queues; ++i) {
      handles.push_back(*registry->AddQueue("bench", Channel::kQueued, std::to_string(i)));
    }
    writers = std::make_unique<Writers>(handles, threads);
    // Not through the directory: what that costs is the agent's figure.
    ReaderOptions reader_options;
    reader_options.directory.clear();
    reader = *Reader::Open(reader_options);
    if (!reader->Add(*registry).ok()) std::abort();
    reader->Read();
  }
  ~Process() {
    writers.reset();
    registry.reset();
    std::filesystem::remove_all(directory);
  }

  std::string directory;
  std::unique_ptr<QueueRegistry> registry;
  std::vector<Queue> handles;
  std::unique_ptr<Writers> writers;
  std::unique_ptr<Reader> reader;
};

void BM_Snapshot(benchmark::State& state) {
  Process process(static_cast<int>(state.range(0)), static_cast<int>(state.range(1)));
  std::uint64_t inexact = 0;
  for (auto _ : state) inexact += process.reader->Read().inexact;
  if (inexact != 0) state.SkipWithError("a depth that nobody changed was not exact");
}
BENCHMARK(BM_Snapshot)->Args({386, 8})->Args({386, 64})->Args({10000, 8})->Args({10000, 64});

// One of 386 queues changes a million times a second: how often is its depth exact?
void BM_ExactShare(benchmark::State& state) {
  Process process(386, 8);
  std::atomic<bool> over{false};
  std::atomic<std::uint64_t> done{0};
  const TscClock clock;
  const auto per_operation = static_cast<std::uint64_t>(
      1000.0 * (1 << 20) / static_cast<double>(clock.ToUnixNs(1 << 20) - clock.ToUnixNs(0)));
  std::thread writer([&] {
    const Queue queue = process.handles[200];
    std::uint64_t due = clock.Stamp();
    while (!over.load(std::memory_order_relaxed)) {
      while (clock.Stamp() < due) {
      }
      queue.Enter();
      due += per_operation;
      while (clock.Stamp() < due) {
      }
      queue.Leave();
      due += per_operation;
      done.fetch_add(2, std::memory_order_relaxed);
    }
  });
  while (done.load() < 1000) usleep(100);
  std::uint64_t reads = 0;
  std::uint64_t exact = 0;
  const std::int64_t started_ns = clock.NowNs();
  const std::uint64_t started_at = done.load();
  for (auto _ : state) {
    exact += process.reader->Read().queues[200].width == 0;
    ++reads;
  }
  const double seconds = static_cast<double>(clock.NowNs() - started_ns) / 1e9;
  state.counters["operations_per_s"] = static_cast<double>(done.load() - started_at) / seconds;
  over.store(true);
  writer.join();
  state.counters["exact_pct"] = 100.0 * static_cast<double>(exact) / static_cast<double>(reads);
}
BENCHMARK(BM_ExactShare)->UseRealTime();

// Real processes, each with queues and threads of its own.
class Node {
 public:
  Node(int processes, int queues, int threads) : directory_(MakeDirectory()) {
    for (int i = 0; i < processes; ++i) {
      const pid_t child = fork();
      if (child == 0) Serve(queues, threads, i);
      children_.push_back(child);
    }
    ReaderOptions options;
    options.directory = directory_;
    reader_ = *Reader::Open(options);
    const std::size_t all = static_cast<std::size_t>(processes) * queues;
    for (int i = 0; i < 1000 && !Complete(all, threads); ++i) usleep(10000);
  }
  ~Node() {
    for (const pid_t child : children_) kill(child, SIGKILL);
    for (const pid_t child : children_) waitpid(child, nullptr, 0);
    std::filesystem::remove_all(directory_);
  }
  Reader& reader() { return *reader_; }

 private:
  [[noreturn]] void Serve(int queues, int threads, int number) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    RegistryOptions options;
    options.directory = directory_;
    options.instance = "bench-" + std::to_string(number);
    const auto registry = *QueueRegistry::Create(options);
    std::vector<Queue> handles;
    for (int i = 0; i < queues; ++i) {
      handles.push_back(*registry->AddQueue("bench", Channel::kQueued, std::to_string(i)));
    }
    const Writers writers(handles, threads);
    for (;;) pause();
  }
  bool Complete(std::size_t queues, int threads) {
    const NodeReading& now = reader_->Read();
    if (now.queues.size() != queues) return false;
    for (const QueueReading& queue : now.queues) {
      if (queue.depth != static_cast<std::uint32_t>(threads)) return false;
    }
    return true;
  }

  std::string directory_;
  std::vector<pid_t> children_;
  std::unique_ptr<Reader> reader_;
};

void BM_Agent(benchmark::State& state) {
  Node node(static_cast<int>(state.range(0)), 5, 8);
  // Past the time in which a directory's time of change does not tell changes apart.
  usleep(100000);
  std::size_t running = 0;
  for (auto _ : state) {
    node.reader().Read();
    running = node.reader().processes().size();
  }
  if (running != static_cast<std::size_t>(state.range(0))) {
    state.SkipWithError("not all processes are there");
  }
}
BENCHMARK(BM_Agent)->Arg(36)->UseRealTime();

SEER_FIGURE(snapshot386, Time("queue.snapshot386_us", "us", "<= 4", "BM_Snapshot/386/8"));
SEER_FIGURE(snapshot10k, Time("queue.snapshot10k_us", "us", "<= 800", "BM_Snapshot/10000/64"));
SEER_FIGURE(exact, Counter("queue.exact_pct", "%", ">= 99", "BM_ExactShare", "exact_pct"));
SEER_FIGURE(agent, Time("queue.agent36_us", "us", "<= 12", "BM_Agent/36"));

}  // namespace
}  // namespace seer::bench
