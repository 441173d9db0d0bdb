// Ids: xoshiro256++ (Blackman and Vigna), one generator a thread, each seeded with 256 bits from
// the operating system. That much state, and not the 64 bits of a faster generator, because two
// streams of a fleet must never meet: with 2^256 states they do not, however many threads there
// are.
//
// A fork copies the generator, and without a remedy parent and child would go on with the same ids.
// So every draw compares the generation under which the thread was seeded with a word that is zero
// in a child process, however it came about (fork, _Fork, clone): the kernel clears its page
// (MADV_WIPEONFORK). Where the kernel cannot, pthread_atfork does the same for fork() alone.
#include <pthread.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <ctime>
#include <new>

#include "seer/trace/context.h"

SEER_BEGIN_NAMESPACE

namespace {

constexpr std::uint64_t kForked = 0;  // what the kernel leaves in a child
constexpr std::uint64_t kNotSeeded = ~std::uint64_t{0};
constexpr std::uint64_t kFirstGeneration = 1;

// A thread that was never seeded looks here, and finds its generation outdated.
const std::atomic<std::uint64_t> no_generation{kForked};

struct Generator {
  std::uint64_t state[4];
  std::uint64_t generation;
  const std::atomic<std::uint64_t>* process_generation;
};
thread_local Generator generator = {{}, kNotSeeded, &no_generation};

std::uint64_t RotateLeft(std::uint64_t x, int bits) { return x << bits | x >> (64 - bits); }

std::uint64_t Step(std::uint64_t* s) noexcept {
  const std::uint64_t result = RotateLeft(s[0] + s[3], 23) + s[0];
  const std::uint64_t shifted = s[1] << 17;
  s[2] ^= s[0];
  s[3] ^= s[1];
  s[1] ^= s[2];
  s[0] ^= s[3];
  s[2] ^= shifted;
  s[3] = RotateLeft(s[3], 45);
  return result;
}

std::atomic<std::uint64_t>* MakeGenerationWord() noexcept {
  static std::atomic<std::uint64_t> fallback{kFirstGeneration};
  const auto size = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  void* page =
      mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, /*fd=*/-1, 0);
  if (page != MAP_FAILED) {
    if (madvise(page, size, MADV_WIPEONFORK) == 0) {
      return new (page) std::atomic<std::uint64_t>(kFirstGeneration);
    }
    munmap(page, size);
  }
  // Relaxed: the child has one thread when this runs.
  pthread_atfork(nullptr, nullptr, [] { fallback.store(kForked, std::memory_order_relaxed); });
  return &fallback;
}

// Made once and kept for ever. Not a function's static: a fork in the middle of its initialisation
// would leave the child waiting for a thread that it does not have.
std::atomic<std::uint64_t>* GenerationWord() noexcept {
  static std::atomic<std::atomic<std::uint64_t>*> word{nullptr};
  // [A] acquire, pairs with [B]: seeing the pointer means seeing the first generation behind it.
  std::atomic<std::uint64_t>* known = word.load(std::memory_order_acquire);
  if (known != nullptr) return known;
  std::atomic<std::uint64_t>* made = MakeGenerationWord();
  // [B] release on success; [A] on failure: another thread was first, and our page is one too many.
  if (word.compare_exchange_strong(known, made, std::memory_order_acq_rel,
                                   std::memory_order_acquire)) {
    return made;
  }
  return known;
}

void Seed(std::uint64_t* state) noexcept {
  constexpr std::size_t kBytes = 4 * sizeof(std::uint64_t);
  // Does not wait for a machine that has just booted to gather randomness.
  if (getrandom(state, kBytes, GRND_NONBLOCK) == static_cast<ssize_t>(kBytes)) return;
  // What is left is what differs between processes, threads and moments.
  timespec now = {};
  clock_gettime(CLOCK_MONOTONIC, &now);
  std::uint64_t from_kernel[2] = {};
  // The auxiliary vector has addresses as numbers. NOLINTNEXTLINE(performance-no-int-to-ptr)
  if (const auto* bytes = reinterpret_cast<const void*>(getauxval(AT_RANDOM)); bytes != nullptr) {
    std::memcpy(from_kernel, bytes, sizeof(from_kernel));
  }
  state[0] ^= from_kernel[0] ^ static_cast<std::uint64_t>(now.tv_nsec);
  state[1] ^= from_kernel[1] ^ static_cast<std::uint64_t>(now.tv_sec);
  state[2] ^= reinterpret_cast<std::uintptr_t>(state) | std::uint64_t{1};
  state[3] ^= static_cast<std::uint64_t>(getpid()) << 32;
  for (int i = 0; i < 64; ++i) Step(state);  // spreads few differing bits over all
}

[[gnu::noinline, gnu::cold]] void Reseed(Generator* g) noexcept {
  std::atomic<std::uint64_t>* word = GenerationWord();
  Seed(g->state);
  // Relaxed here and in Next(): the word carries no other data with it. In a forked process only
  // the forking thread has a generator of before; it sees either zero or the new generation, and
  // both differ from its own.
  std::uint64_t generation = word->load(std::memory_order_relaxed);
  if (generation == kForked) {
    std::uint64_t wanted = Step(g->state) | 2;  // neither zero nor the first
    if (wanted == kNotSeeded) wanted = 2;
    generation = word->compare_exchange_strong(generation, wanted, std::memory_order_relaxed)
                     ? wanted
                     : generation;
  }
  g->generation = generation;
  g->process_generation = word;
}

std::uint64_t Next() noexcept {
  Generator& g = generator;
  if (g.generation != g.process_generation->load(std::memory_order_relaxed)) Reseed(&g);
  const std::uint64_t id = Step(g.state);
  return id + (id == 0);  // one id is twice as likely as the others: 2^-63
}

}  // namespace

std::uint64_t NewSpanId() noexcept { return Next(); }

TraceId NewTraceId() noexcept {
  TraceId id;
  id.high = Next();
  id.low = Next();
  return id;
}

TraceContext NewRoot() noexcept {
  TraceContext context;
  context.trace_id = NewTraceId();
  context.span_id = NewSpanId();
  context.flags = TraceContext::kSampled | TraceContext::kRandomId;
  return context;
}

TraceContext NewChild(const TraceContext& parent) noexcept {
  if (!parent.valid()) return NewRoot();
  TraceContext child = parent;
  child.span_id = NewSpanId();
  return child;
}

SEER_END_NAMESPACE
