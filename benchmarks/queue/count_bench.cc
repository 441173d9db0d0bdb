// One request in and out of a queue, beside two additions to an atomic on a cache line of its own.
#include <benchmark/benchmark.h>

#include <atomic>
#include <cmath>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "benchmarks/harness/figure.h"
#include "benchmarks/harness/instructions.h"
#include "seer/queue/registry.h"

namespace seer::bench {
namespace {

constexpr int kManyQueues = 1000;

struct alignas(64) PaddedAtomic {
  std::atomic<std::int64_t> depth{0};
};

QueueRegistry& Registry() {
  static QueueRegistry* const registry = [] {
    RegistryOptions options;
    options.directory.clear();
    options.max_queues = 2048;
    return QueueRegistry::Create(options)->release();
  }();
  return *registry;
}

Queue OneQueue() { return *Registry().AddQueue("bench", Channel::kQueued); }

void BM_QueuePair(benchmark::State& state) {
  const Queue queue = OneQueue();
  for (auto _ : state) {
    queue.Enter();
    queue.Leave();
  }
}
BENCHMARK(BM_QueuePair);
BENCHMARK(BM_QueuePair)->Name("BM_QueuePairTwoThreads")->Threads(2)->UseRealTime();

void BM_AtomicPair(benchmark::State& state) {
  static PaddedAtomic atomic;
  for (auto _ : state) {
    atomic.depth.fetch_add(1, std::memory_order_relaxed);
    atomic.depth.fetch_sub(1, std::memory_order_relaxed);
  }
}
BENCHMARK(BM_AtomicPair);
BENCHMARK(BM_AtomicPair)->Name("BM_AtomicPairTwoThreads")->Threads(2)->UseRealTime();

void BM_QueuePairOver1000(benchmark::State& state) {
  std::vector<Queue> queues;
  for (int i = 0; i < kManyQueues; ++i) {
    queues.push_back(*Registry().AddQueue("bench", Channel::kQueued, std::to_string(i)));
  }
  std::size_t next = 0;
  for (auto _ : state) {
    queues[next].Enter();
    queues[next].Leave();
    if (++next == kManyQueues) next = 0;
  }
}
BENCHMARK(BM_QueuePairOver1000);

void BM_AtomicPairOver1000(benchmark::State& state) {
  const auto atomics = std::make_unique<PaddedAtomic[]>(kManyQueues);
  std::size_t next = 0;
  for (auto _ : state) {
    atomics[next].depth.fetch_add(1, std::memory_order_relaxed);
    atomics[next].depth.fetch_sub(1, std::memory_order_relaxed);
    if (++next == kManyQueues) next = 0;
  }
}
BENCHMARK(BM_AtomicPairOver1000);

void BM_ScopePair(benchmark::State& state) {
  const Queue queue = OneQueue();
  for (auto _ : state) {
    const QueueScope scope(queue);
    benchmark::ClobberMemory();
  }
}
BENCHMARK(BM_ScopePair);

void BM_TimedPair(benchmark::State& state) {
  const TimedQueue queue = *Registry().AddTimedQueue("bench", Channel::kRunning, "timed");
  for (auto _ : state) queue.Leave(queue.Enter());
}
BENCHMARK(BM_TimedPair);

// A thread that found no shard of its own.
void BM_SharedShardPair(benchmark::State& state) {
  RegistryOptions options;
  options.directory.clear();
  options.max_threads = 1;
  const auto registry = *QueueRegistry::Create(options);
  const Queue queue = *registry->AddQueue("bench", Channel::kQueued);
  std::atomic<bool> done{false};
  std::atomic<bool> taken{false};
  std::thread other([&] {
    queue.Enter();
    queue.Leave();
    taken.store(true);
    while (!done.load()) usleep(1000);
  });
  while (!taken.load()) usleep(100);
  for (auto _ : state) {
    queue.Enter();
    queue.Leave();
  }
  done.store(true);
  other.join();
}
BENCHMARK(BM_SharedShardPair);

// Counted, not timed: one iteration is enough.
void BM_PairInstructions(benchmark::State& state) {
  const Queue queue = OneQueue();
  double instructions = 0;
  for (auto _ : state) {
    instructions = InstructionsPerCall([&] {
      queue.Enter();
      queue.Leave();
    });
  }
  if (std::isnan(instructions)) {
    state.SkipWithError("ptrace() is not permitted here");
    return;
  }
  state.counters["instructions"] = instructions;
}
BENCHMARK(BM_PairInstructions)->Iterations(1)->Unit(benchmark::kMillisecond);

SEER_FIGURE(pair, Ratio("queue.pair_vs_atomic", "<= 0.12", "BM_QueuePair", "BM_AtomicPair",
                        "padded std::atomic"));
SEER_FIGURE(instructions,
            Counter("queue.pair_instructions", "", "<= 28", "BM_PairInstructions", "instructions"));
SEER_FIGURE(contended, Ratio("queue.contended_vs_atomic", "<= 0.05", "BM_QueuePairTwoThreads",
                             "BM_AtomicPairTwoThreads", "padded std::atomic"));
SEER_FIGURE(many, Ratio("queue.over1000_vs_atomic", "<= 0.25", "BM_QueuePairOver1000",
                        "BM_AtomicPairOver1000", "padded std::atomic"));

}  // namespace
}  // namespace seer::bench
