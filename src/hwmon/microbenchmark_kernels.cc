#include "hwmon/microbenchmark_kernels.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <numeric>

#include "seer/probe/reading.h"

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

SEER_BEGIN_NAMESPACE
namespace internal {
namespace {

std::uint64_t NsOf(clockid_t clock) {
  timespec t;
  ::clock_gettime(clock, &t);
  return static_cast<std::uint64_t>(t.tv_sec) * 1'000'000'000 +
         static_cast<std::uint64_t>(t.tv_nsec);
}
std::uint64_t WallNs() { return NsOf(CLOCK_MONOTONIC); }
std::uint64_t ThreadNs() { return NsOf(CLOCK_THREAD_CPUTIME_ID); }

std::uint64_t NextRandom(std::uint64_t* state) {
  *state ^= *state << 13;
  *state ^= *state >> 7;
  *state ^= *state << 17;
  return *state;
}

// Keeps the compiler from leaving a computation out.
template <typename T>
void Keep(const T& value) {
  asm volatile("" : : "g"(value) : "memory");
}

// The time of one run, and the sums of its result.
class Run {
 public:
  Run(const KernelResources& resources, KernelJob* job)
      : job_(*job),
        end_ns_(WallNs() + static_cast<std::uint64_t>(resources.options.budget.count())),
        half_ns_(end_ns_ - static_cast<std::uint64_t>(resources.options.budget.count() / 2)),
        began_ns_(ThreadNs()) {}
  ~Run() { job_.processor_ns = ThreadNs() - began_ns_; }

  bool Goes() {
    const std::uint64_t now_ns = WallNs();
    if (job_.stop->load(std::memory_order_relaxed) || now_ns >= end_ns_) return false;  // no order
    // After the look at the clock: beside another that takes idle time it comes back late, and is
    // to make a turn all the same. The first time at once.
    constexpr std::uint64_t kOftenNs = 10'000, kSeldomNs = 1'000'000;
    if (job_.gives_way && now_ns - turn_ns_ >= turns_every_ns_) {
      ::sched_yield();
      turn_ns_ = WallNs();
      turns_every_ns_ = turn_ns_ - now_ns < kSeldomNs ? kOftenNs : kSeldomNs;
    }
    return true;
  }
  bool IsFirstHalf() { return WallNs() < half_ns_ && Goes(); }
  std::uint64_t step_ns() const { return job_.step_ns; }
  // A piece by the clock that counts: the thread's own for what only the core and the memory do.
  template <typename Piece>
  void Timed(std::uint64_t (*clock)(), std::uint64_t steps, const Piece& piece) {
    const std::uint64_t before = clock();
    piece();
    job_.step_ns += clock() - before;
    job_.steps += steps;
  }
  // Leaves the rest of the time to others, in slices of 200 us of which `share` is work.
  void Pause(std::uint64_t worked_ns, double share) const {
    if (share >= 1) return;
    const double pause = static_cast<double>(worked_ns) * (1 - share) / std::max(share, 0.01);
    constexpr double kMost = 2e6;
    const timespec t = {0, static_cast<long>(std::min(pause, kMost))};
    if (t.tv_nsec > 0) ::nanosleep(&t, nullptr);
  }

 private:
  KernelJob& job_;
  const std::uint64_t end_ns_, half_ns_;
  const std::uint64_t began_ns_;
  std::uint64_t turn_ns_ = 0;  // when it gave way last
  std::uint64_t turns_every_ns_ = 0;
};

void Multiply(std::uint64_t rounds) {
  // Chains that do not wait for each other.
  std::uint64_t a = 3, b = 5, c = 7, d = 11;
  for (std::uint64_t i = 0; i < rounds; ++i) {
    a *= 0x9e3779b97f4a7c15u;
    b *= 0xbf58476d1ce4e5b9u;
    c *= 0x94d049bb133111ebu;
    d *= 0xd6e8feb86659fd93u;
    Keep(a);
    Keep(b);
    Keep(c);
    Keep(d);
  }
}

void RunCpu(const KernelResources& resources, KernelJob* job) {
  Run run(resources, job);
  const double share = job->intensity > 0 ? job->intensity : 1;  // a sensor wants all it can get
  constexpr std::uint64_t kRounds = 20'000;                      // some 20 us
  while (run.Goes()) {
    const std::uint64_t before = WallNs();
    do {
      run.Timed(WallNs, kRounds, [] { Multiply(kRounds); });
    } while (run.Goes() && WallNs() - before < static_cast<std::uint64_t>(200'000 * share));
    run.Pause(WallNs() - before, share);
  }
}

// A stub is one line: a jump to the next, in random order; the last one returns.
bool WriteStubs(char* code, std::size_t count, std::size_t line) {
  std::vector<std::uint32_t> order(count);
  std::iota(order.begin(), order.end(), 0u);
  std::uint64_t random = 88172645463325252u;
  // The first one stays first: it is where the call goes.
  for (std::size_t i = count - 1; i > 1; --i) {
    std::swap(order[i], order[1 + NextRandom(&random) % i]);
  }
  for (std::size_t i = 0; i < count; ++i) {
    char* const at = code + order[i] * line;
    const bool last = i + 1 == count;
#if defined(__x86_64__)
    if (last) {
      at[0] = static_cast<char>(0xc3);  // ret
    } else {
      const auto offset = static_cast<std::int32_t>(code + order[i + 1] * line - (at + 5));
      at[0] = static_cast<char>(0xe9);  // jmp rel32
      std::memcpy(at + 1, &offset, sizeof(offset));
    }
#elif defined(__aarch64__)
    std::uint32_t word = 0xd65f03c0u;  // ret
    if (!last) {
      const auto offset = static_cast<std::int32_t>(code + order[i + 1] * line - at);
      word = 0x14000000u | (static_cast<std::uint32_t>(offset >> 2) & 0x03ffffffu);  // b
    }
    std::memcpy(at, &word, sizeof(word));
#else
    (void)at;
    (void)last;
    return false;
#endif
  }
  __builtin___clear_cache(code, code + count * line);
  return true;
}

void RunJumps(const KernelResources& resources, KernelJob* job) {
  if (resources.code_reason != Reason::kNone) {
    job->reason = resources.code_reason;
    return;
  }
  using Stubs = void (*)();
  Stubs stubs;
  const char* const data = resources.code.data();
  std::memcpy(&stubs, &data, sizeof(stubs));
  Run run(resources, job);
  constexpr int kCalls = 20;
  const double share = job->intensity > 0 ? job->intensity : 1;
  while (run.Goes()) {
    const std::uint64_t before = WallNs();
    run.Timed(ThreadNs, kCalls * resources.stubs, [&] {
      for (int i = 0; i < kCalls; ++i) stubs();
    });
    run.Pause(WallNs() - before, share);
  }
}

const char* Chase(const char* at, std::uint64_t steps) {
  for (std::uint64_t i = 0; i < steps; ++i) {
    const void* const place = at;  // of the next place's address
    std::memcpy(&at, place, sizeof(at));
  }
  Keep(at);
  return at;
}

// Through the first `lines` lines, which are linked; `more` is done between two pieces. The first
// look at each line is not counted, as far as half of the time suffices for it.
template <typename More>
void RunChase(const char* at, std::size_t lines, Run* run, const More& more) {
  // As many steps as take some ten microseconds: of a cache a hundred times as many as of memory.
  constexpr std::uint64_t kFewest = 200, kMost = 6400, kLeastNs = 20'000;
  std::uint64_t steps = kFewest;
  for (std::size_t seen = 0; seen < lines && run->IsFirstHalf(); seen += steps) {
    at = Chase(at, steps);
  }
  while (run->Goes()) {
    const std::uint64_t before = run->step_ns();
    run->Timed(ThreadNs, steps, [&] { at = Chase(at, steps); });
    if (steps < kMost && run->step_ns() - before < kLeastNs) steps *= 2;
    more();
  }
}

// Of what a benchmark of the first or the second level leans on: all of it at full intensity. As a
// sensor half of the first level, and an eighth of the second, which others may well leave there.
std::size_t NearLines(const KernelResources& resources, const KernelJob& job, int level) {
  const CacheSizes& caches = resources.options.caches;
  const double share = job.intensity > 0 ? job.intensity : (level == 0 ? 0.5 : 0.125);
  const auto bytes =
      static_cast<std::size_t>(static_cast<double>(level == 0 ? caches.l1d : caches.l2) * share);
  return std::clamp<std::size_t>(bytes, caches.line * 16, resources.near[level].size()) /
         caches.line;
}

void RunNear(const KernelResources& resources, KernelJob* job, int level) {
  Run run(resources, job);
  RunChase(resources.near[level].data(), resources.near_lines[level], &run, [] {});
}

// What others leave of it in a millisecond: every look at all lines comes after a pause in which
// whoever shares the processor may run. A loop that runs on has its lines back after one look, and
// hears nothing of a neighbour that waits meanwhile. The median look is what counts.
void RunReuse(const KernelResources& resources, KernelJob* job) {
  constexpr std::int64_t kMostPauseNs = 1'000'000;
  const timespec pause = {0, std::min(kMostPauseNs, resources.options.budget.count() / 4)};
  const std::size_t lines = resources.near_lines[1];
  std::array<std::uint64_t, 128> looks_ns;  // a budget is 100 ms at most
  std::size_t looks = 0;
  Run run(resources, job);
  const char* at = Chase(resources.near[1].data(), lines);
  while (looks < looks_ns.size() && run.Goes()) {
    ::nanosleep(&pause, nullptr);
    const std::uint64_t before = ThreadNs();
    at = Chase(at, lines);
    looks_ns[looks++] = ThreadNs() - before;
  }
  if (looks == 0) return;
  const auto median = looks_ns.begin() + static_cast<std::ptrdiff_t>(looks / 2);
  std::nth_element(looks_ns.begin(), median, looks_ns.begin() + static_cast<std::ptrdiff_t>(looks));
  job->steps = looks * lines;
  job->step_ns = looks * *median;
}

// Writes all over the first `bytes` of the stream's memory.
void Scatter(const KernelResources& resources, std::size_t bytes, std::uint64_t* random) {
  constexpr int kWrites = 200;
  const std::size_t words = bytes / sizeof(std::uint64_t);
  for (int i = 0; i < kWrites; ++i) {
    char* const at = resources.stream.data() + NextRandom(random) % words * sizeof(std::uint64_t);
    std::uint64_t word;
    std::memcpy(&word, at, sizeof(word));
    ++word;
    std::memcpy(at, &word, sizeof(word));
  }
}

void RunLlc(KernelResources* resources, KernelJob* job) {
  std::uint64_t random = 12345;
  const std::size_t most = std::min(resources->options.caches.llc, resources->stream.size());
  const auto bytes = static_cast<std::size_t>(static_cast<double>(most) * job->intensity);
  if (job->intensity > 0 && most == 0) {
    job->reason = Reason::kNotObserved;  // memory is off
    return;
  }
  Run run(*resources, job);
  RunChase(resources->chase.data(), resources->chase.size() / resources->options.caches.line, &run,
           [&] {
             if (bytes >= 4096) Scatter(*resources, bytes, &random);
           });
}

// Adds up a piece, and writes as much past the caches.
void Stream(char* data, std::size_t bytes) {
  std::uint64_t sum = 0;
  const std::size_t half = bytes / 2;
  for (std::size_t i = 0; i + 64 <= half; i += 64) {
    std::uint64_t word;
    std::memcpy(&word, data + i, sizeof(word));
    sum += word;
  }
#if defined(__SSE2__)
  const __m128i value = _mm_set1_epi64x(static_cast<long long>(sum));
  for (std::size_t i = half; i + 16 <= bytes; i += 16) {
    _mm_stream_si128(reinterpret_cast<__m128i*>(data + i), value);
  }
  _mm_sfence();
#else
  std::memset(data + half, static_cast<int>(sum & 0xff), bytes - half);
#endif
  Keep(sum);
}

void RunStream(const KernelResources& resources, KernelJob* job) {
  constexpr std::size_t kPiece = 256 << 10;
  const std::size_t pieces = resources.stream.size() / kPiece;
  if (pieces == 0) {
    job->reason = Reason::kNotObserved;
    return;
  }
  Run run(resources, job);
  const double share = job->intensity > 0 ? job->intensity : 0.25;
  for (std::size_t i = 0; run.Goes(); ++i) {
    const std::uint64_t before = WallNs();
    run.Timed(ThreadNs, kPiece / 64,
              [&] { Stream(resources.stream.data() + i % pieces * kPiece, kPiece); });
    run.Pause(WallNs() - before, share);
  }
}

void RunCapacity(const KernelResources& resources, KernelJob* job) {
  if (!resources.options.memory) {
    job->reason = Reason::kNotObserved;
    return;
  }
  constexpr std::size_t kUnknownRoom = 16 << 20, kPage = 4096, kPagesAtOnce = 64;
  const std::size_t room = job->memory_room > 0 ? job->memory_room / 2 : kUnknownRoom;
  const double share = job->intensity > 0 ? job->intensity : 0.25;
  const auto bytes = static_cast<std::size_t>(
      share * static_cast<double>(std::min(room, resources.options.max_bytes)));
  const std::size_t pages = std::max<std::size_t>(1, bytes / kPage);
  void* const memory = ::mmap(nullptr, pages * kPage, PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) {
    job->reason = ReasonOfErrno(errno);
    return;
  }
  ::madvise(memory, pages * kPage, MADV_NOHUGEPAGE);
  {
    Run run(resources, job);
    char* const data = static_cast<char*>(memory);
    for (std::size_t page = 0; page < pages && run.Goes(); page += kPagesAtOnce) {
      const std::size_t end = std::min(pages, page + kPagesAtOnce);
      run.Timed(WallNs, end - page, [&] {
        for (std::size_t i = page; i < end; ++i) data[i * kPage] = 1;
      });
    }
  }
  ::munmap(memory, pages * kPage);
}

void RunNetwork(const KernelResources& resources, KernelJob* job) {
  if (!resources.options.network) {
    job->reason = Reason::kNotObserved;
    return;
  }
  sockaddr_in to = {};
  to.sin_family = AF_INET;
  to.sin_port = htons(resources.options.port);
  if (::inet_pton(AF_INET, resources.options.address.c_str(), &to.sin_addr) != 1) {
    job->reason = Reason::kMalformed;
    return;
  }
  const OwnedFd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket || ::connect(socket.get(), reinterpret_cast<const sockaddr*>(&to), sizeof(to)) != 0) {
    job->reason = ReasonOfErrno(errno);
    return;
  }
  char packet[1024] = {};
  Run run(resources, job);
  const double share = job->intensity > 0 ? job->intensity : 0.05;
  const double gap_ns = 1e9 / std::max(1.0, resources.options.packets_per_second * share);
  while (run.Goes()) {
    const std::uint64_t before = WallNs();
    // Nobody listens there: refused is as good as sent. A full queue counts by its time.
    run.Timed(WallNs, 1, [&] { (void)::send(socket.get(), packet, sizeof(packet), MSG_NOSIGNAL); });
    const auto took = static_cast<double>(WallNs() - before);
    constexpr double kMostGapNs = 2e6;
    const timespec gap = {0, static_cast<long>(std::clamp(gap_ns - took, 0.0, kMostGapNs))};
    if (gap.tv_nsec > 0) ::nanosleep(&gap, nullptr);
  }
}

void RunDisk(const KernelResources& resources, KernelJob* job) {
  if (!resources.file) {
    job->reason = resources.file_reason;
    return;
  }
  constexpr std::size_t kBlock = 4096, kLarge = 256 << 10;
  Pages buffer(kLarge);
  if (buffer.data() == nullptr) {
    job->reason = Reason::kFailed;
    return;
  }
  const bool capacity = job->benchmark == Microbenchmark::kDiskCapacity;
  const std::size_t blocks = resources.options.disk_bytes / kBlock;
  const double share = capacity && job->intensity > 0 ? job->intensity : 1;
  const auto extent =
      std::max<std::size_t>(1, static_cast<std::size_t>(static_cast<double>(blocks) * share));
  std::uint64_t random = 777;
  std::size_t large = 0;
  int error = 0;
  {
    Run run(resources, job);
    while (error == 0 && run.Goes()) {
      const std::uint64_t before = WallNs();
      run.Timed(WallNs, 1, [&] {
        const auto at = static_cast<off_t>(NextRandom(&random) % extent * kBlock);
        if (::pread(resources.file.get(), buffer.data(), kBlock, at) < 0) error = errno;
      });
      const std::uint64_t took = WallNs() - before;
      if (!capacity && job->intensity > 0) {
        const std::size_t places = std::max<std::size_t>(1, resources.options.disk_bytes / kLarge);
        const std::uint64_t begin = WallNs();
        (void)!::pread(resources.file.get(), buffer.data(), kLarge,
                       static_cast<off_t>(large++ % places * kLarge));
        run.Pause(WallNs() - begin, job->intensity);
      } else {
        run.Pause(took, 0.25);
      }
    }
  }
  if (error != 0 && error != EINTR) job->reason = ReasonOfErrno(error);
}

}  // namespace

Pages::Pages(std::size_t bytes) {
  if (bytes == 0) return;
  void* const memory =
      ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return;
  data_ = static_cast<char*>(memory);
  size_ = bytes;
  std::memset(data_, 1, size_);
}
Pages& Pages::operator=(Pages&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}
Pages::~Pages() {
  if (data_ != nullptr) ::munmap(data_, size_);
}
bool Pages::MakeExecutable() { return ::mprotect(data_, size_, PROT_READ | PROT_EXEC) == 0; }

void LinkLines(char* data, std::size_t lines, std::size_t line, std::uint64_t seed) {
  // Sattolo's shuffle: one cycle through all of them.
  std::vector<std::uint32_t> next(lines);
  std::iota(next.begin(), next.end(), 0u);
  std::uint64_t random = seed * 0x9e3779b97f4a7c15u + 1;
  for (std::size_t i = lines - 1; i > 0; --i) std::swap(next[i], next[NextRandom(&random) % i]);
  for (std::size_t i = 0; i < lines; ++i) {
    const char* const to = data + next[i] * line;
    std::memcpy(data + i * line, &to, sizeof(to));
  }
}

void PrepareKernels(KernelResources* resources) {
  MicrobenchmarkOptions& options = resources->options;
  const CacheSizes& caches = options.caches;
  // Beyond the second level, so that the last one answers.
  const std::size_t chase =
      std::min(std::max<std::size_t>(2u << 20, 2 * caches.l2), options.max_bytes);
  resources->chase = Pages(chase);
  for (const int level : {0, 1}) {
    const std::size_t bytes = std::min(level == 0 ? caches.l1d : caches.l2, options.max_bytes);
    resources->near[level] = Pages(std::max(bytes, caches.line * 16));
  }
  if (resources->chase.data() == nullptr || resources->near[0].data() == nullptr ||
      resources->near[1].data() == nullptr) {
    return;
  }
  LinkLines(resources->chase.data(), chase / caches.line, caches.line, 1);
  if (options.memory) {
    resources->stream = Pages(std::min(4 * caches.llc, options.max_bytes));
  }
  resources->stubs = std::max<std::size_t>(16, caches.l1i / caches.line);
  resources->code = Pages(resources->stubs * caches.line);
  if (resources->code.data() == nullptr) {
    resources->code_reason = Reason::kFailed;
  } else if (!WriteStubs(resources->code.data(), resources->stubs, caches.line)) {
    resources->code_reason = Reason::kNotSupported;
  } else if (!resources->code.MakeExecutable()) {
    resources->code_reason = ReasonOfErrno(errno);
  } else {
    resources->code_reason = Reason::kNone;
  }
  if (!options.disk || options.directory.empty()) return;
  // Without a name: it is gone with its last descriptor, whatever happens.
  const int flags = O_TMPFILE | O_RDWR | O_CLOEXEC;
  OwnedFd file(::open(options.directory.c_str(), flags | O_DIRECT, 0600));
  Pages block(1 << 20);
  if (!file || block.data() == nullptr) {
    resources->file_reason = file ? Reason::kFailed : ReasonOfErrno(errno);
    return;
  }
  for (std::size_t at = 0; at < options.disk_bytes; at += block.size()) {
    const std::size_t bytes = std::min(block.size(), options.disk_bytes - at);
    if (::pwrite(file.get(), block.data(), bytes, static_cast<off_t>(at)) !=
        static_cast<ssize_t>(bytes)) {
      resources->file_reason = ReasonOfErrno(errno);
      return;
    }
  }
  (void)::fdatasync(file.get());
  resources->file = std::move(file);
  resources->file_reason = Reason::kNone;
}

void PrepareKernel(KernelResources* resources, const KernelJob& job) {
  if (job.benchmark != Microbenchmark::kL1d && job.benchmark != Microbenchmark::kL2) return;
  const int level = job.benchmark == Microbenchmark::kL1d ? 0 : 1;
  const std::size_t lines = NearLines(*resources, job, level);
  if (lines == resources->near_lines[level]) return;
  LinkLines(resources->near[level].data(), lines, resources->options.caches.line, 1);
  resources->near_lines[level] = lines;
}

void RunKernel(KernelResources* resources, KernelJob* job) {
  switch (job->benchmark) {
    case Microbenchmark::kCpu:
      return RunCpu(*resources, job);
    case Microbenchmark::kL1i:
      return RunJumps(*resources, job);
    case Microbenchmark::kL1d:
      return RunNear(*resources, job, 0);
    case Microbenchmark::kL2:
      return job->intensity > 0 ? RunNear(*resources, job, 1) : RunReuse(*resources, job);
    case Microbenchmark::kLlc:
      return RunLlc(resources, job);
    case Microbenchmark::kMemoryBandwidth:
      return RunStream(*resources, job);
    case Microbenchmark::kMemoryCapacity:
      return RunCapacity(*resources, job);
    case Microbenchmark::kNetwork:
      return RunNetwork(*resources, job);
    case Microbenchmark::kDiskBandwidth:
    case Microbenchmark::kDiskCapacity:
      return RunDisk(*resources, job);
  }
  job->reason = Reason::kNotSupported;
}

}  // namespace internal
SEER_END_NAMESPACE
