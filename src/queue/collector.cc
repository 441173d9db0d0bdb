#include "seer/queue/collector.h"

#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <ctime>
#include <optional>
#include <system_error>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "queue/cells.h"
#include "queue/node_rows.h"
#include "seer/core/internal/mutex.h"
#include "seer/core/internal/status_macros.h"

SEER_BEGIN_NAMESPACE

namespace {

constexpr std::int64_t kNsPerSecond = 1'000'000'000;
// A clock that is set back by less is waited for: time daemons do that, and the gap is short.
constexpr std::int64_t kWaitForClockNs = kNsPerSecond;
// Times far outside of what a clock can mean, kept from overflowing.
constexpr std::int64_t kFarNs = std::int64_t{1} << 62;
constexpr std::chrono::hours kMaxGrace{24};

std::int64_t ReadClock(clockid_t clock) {
  timespec t;
  clock_gettime(clock, &t);
  return static_cast<std::int64_t>(t.tv_sec) * kNsPerSecond + t.tv_nsec;
}

absl::StatusOr<std::string> HostName() {
  char name[256] = {};
  if (gethostname(name, sizeof name - 1) != 0 || name[0] == '\0') {
    return absl::FailedPreconditionError("node: the machine has no host name; give one");
  }
  return std::string(name);
}

// A part of a tick, for Start(): it looks once in each.
struct Part {
  Tick tick;
  std::int64_t number;
  friend bool operator==(Part a, Part b) { return a.tick == b.tick && a.number == b.number; }
};
Part PartAt(TickPeriod period, int parts, std::int64_t now_ns) {
  const Tick tick = period.TickAt(now_ns);
  const std::int64_t number = (now_ns - period.StartNs(tick)) / (period.ns() / parts);
  return {tick, std::min<std::int64_t>(number, parts - 1)};
}
std::int64_t NextPartNs(TickPeriod period, int parts, std::int64_t now_ns) {
  const Part part = PartAt(period, parts, now_ns);
  if (part.number == parts - 1) return period.EndNs(part.tick);
  return period.StartNs(part.tick) + (part.number + 1) * (period.ns() / parts);
}

// A thread that takes no signals: they are the host's. Those that a thread raises itself by a fault
// it has to take, SIGBUS above all (segment.h).
std::thread QuietThread(std::function<void()> run) {
  sigset_t all, before;
  sigfillset(&all);
  for (int fault : {SIGBUS, SIGSEGV, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGSYS}) {
    sigdelset(&all, fault);
  }
  pthread_sigmask(SIG_SETMASK, &all, &before);
  std::thread thread;
  try {
    thread = std::thread(std::move(run));
  } catch (const std::system_error&) {
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (thread.joinable()) pthread_setname_np(thread.native_handle(), "seer-collector");
  return thread;
}

}  // namespace

class Collector::Impl {
 public:
  Impl(const CollectorOptions& options, std::unique_ptr<Reader> reader, internal::NodeRows rows)
      : options_(options),
        clock_(options.clock != nullptr ? *options.clock : system_clock_),
        reader_(std::move(reader)),
        rows_(std::move(rows)) {
    snapshot_.origin = rows_.topology().origin();
    snapshot_.period = options.period;
  }
  ~Impl() {
    Stop();
    if (wake_ >= 0) close(wake_);
  }

  void Declare(const DeclaredInstance& instance) {
    internal::MutexLock lock(&mutex_);
    changes_.push_back({Change::kDeclare, instance, {}});
  }
  void DeclareClass(const DeclaredClass& request_class) {
    internal::MutexLock lock(&mutex_);
    changes_.push_back({Change::kDeclareClass, {}, request_class});
  }
  void Withdraw(std::string_view service, std::string_view instance) {
    internal::MutexLock lock(&mutex_);
    DeclaredInstance which;
    which.service = service;
    which.instance = instance;
    changes_.push_back({Change::kWithdraw, std::move(which), {}});
  }

  bool MakeSnapshot();
  void Look() { Look(Now()); }
  absl::Status Start(Callback callback);
  void Stop();

  Reader& reader() { return *reader_; }
  const internal::NodeRows& rows() const { return rows_; }
  const Snapshot& snapshot() const { return snapshot_; }
  const CollectorTotals& totals() const { return totals_; }
  void AddProbe(std::unique_ptr<DepthProbe> probe) {
    if (probe == nullptr) return;
    probes_.push_back(std::make_unique<GuardedDepthProbe>(std::move(probe)));
  }

 private:
  struct Change {
    enum What { kDeclare, kWithdraw, kDeclareClass };
    What what;
    DeclaredInstance instance;
    DeclaredClass request_class;
  };

  std::int64_t Now() const { return std::clamp(clock_.NowNs(), -kFarNs, kFarNs); }
  void ApplyChanges(std::int64_t now_ns);
  void RemoveGone(std::int64_t now_ns);
  void NewEpoch(std::int64_t now_ns);
  void Look(std::int64_t now_ns);
  void FillSnapshot(seer::Tick tick);
  void AskProbes(ChannelMask seen);
  void AddToTotals();
  void Run(Part looked);
  bool Sleep(std::int64_t ns);

  const CollectorOptions options_;
  const SystemClock system_clock_;
  const Clock& clock_;
  const std::unique_ptr<Reader> reader_;
  internal::NodeRows rows_;
  internal::Cells cells_;
  std::vector<std::unique_ptr<GuardedDepthProbe>> probes_;
  std::vector<internal::QueuePlace> places_;  // of the reader's queues
  std::uint64_t placed_version_ = 0;
  std::int64_t looked_ns_ = 0;  // CLOCK_MONOTONIC: what means are weighted by
  NodeHealth health_;           // of the tick so far

  Snapshot snapshot_;
  std::optional<seer::Tick> last_;  // the tick of `snapshot_`
  bool topology_changed_ = false;
  CollectorTotals totals_;

  internal::Mutex mutex_;
  std::vector<Change> changes_ ABSL_GUARDED_BY(mutex_);
  std::vector<Change> applied_;  // swapped with the above

  // The collector whose callback the calling thread may be in. Not thread_.get_id(): the thread can
  // run before Start() has assigned it.
  static thread_local const Impl* running_here;
  std::thread thread_;
  int wake_ = -1;                  // eventfd
  std::atomic<bool> stop_{false};  // [S] release in Stop(), acquire in Run()
  Callback callback_;
};

thread_local const Collector::Impl* Collector::Impl::running_here = nullptr;

void Collector::Impl::ApplyChanges(std::int64_t now_ns) {
  applied_.clear();
  {
    internal::MutexLock lock(&mutex_);
    applied_.swap(changes_);
  }
  for (const Change& change : applied_) {
    switch (change.what) {
      case Change::kDeclare:
        rows_.Declare(change.instance);
        break;
      case Change::kWithdraw:
        rows_.Withdraw(change.instance.service, change.instance.instance, now_ns);
        break;
      case Change::kDeclareClass:
        rows_.DeclareClass(change.request_class);
        break;
    }
  }
}

void Collector::Impl::RemoveGone(std::int64_t now_ns) {
  const std::uint64_t version = rows_.topology().version();
  rows_.RemoveGone(now_ns);
  if (rows_.topology().version() == version) return;
  if (rows_.HasTooManyTombstones()) {
    NewEpoch(now_ns);
  } else {
    cells_.Keep(rows_.topology(), nullptr);
  }
}

void Collector::Impl::NewEpoch(std::int64_t now_ns) {
  const std::uint64_t epoch = rows_.topology().origin().epoch;
  const auto now = static_cast<std::uint64_t>(std::max<std::int64_t>(now_ns, 0));
  const TopologyMap map = rows_.NewEpoch(std::max(epoch + 1, now), now_ns);
  cells_.Keep(rows_.topology(), &map);
}

void Collector::Impl::Look(std::int64_t now_ns) {
  ApplyChanges(now_ns);
  const NodeReading& reading = reader_->Read();
  const std::int64_t looked_ns = ReadClock(CLOCK_MONOTONIC);
  if (reading.version != placed_version_) {
    placed_version_ = reading.version;
    rows_.Place(reader_->processes(), reader_->queues(), now_ns, &places_);
    cells_.Place(rows_.topology(), places_);
  }
  const double elapsed_ns =
      looked_ns_ == 0 ? 0 : static_cast<double>(std::max<std::int64_t>(looked_ns - looked_ns_, 1));
  looked_ns_ = looked_ns;
  cells_.Add(reading.queues, reading.skipped > 0, elapsed_ns);

  health_.counter_errors += reading.counter_errors;
  health_.dead_processes += reading.died;
  health_.inexact_reads = reading.inexact;
  health_.segments_skipped = reading.skipped + rows_.unplaced();
  health_.processes = 0;
  for (const ProcessInfo& process : reader_->processes()) {
    health_.processes += process.life == ProcessInfo::Life::kRuns;
  }
}

bool Collector::Impl::MakeSnapshot() {
  const std::int64_t now_ns = Now();
  const seer::Tick tick = options_.period.TickAt(now_ns) - 1;
  if (last_ && tick <= *last_) {
    if (tick == *last_ || options_.period.EndNs(*last_) - now_ns <= kWaitForClockNs) {
      Look(now_ns);
      return false;
    }
    NewEpoch(now_ns);
    last_.reset();
  }
  RemoveGone(now_ns);
  Look(now_ns);
  health_.late_ns = now_ns - options_.period.EndNs(tick);
  health_.missed_ticks = last_ ? static_cast<std::uint64_t>(tick - *last_ - 1) : 0;
  last_ = tick;
  FillSnapshot(tick);
  return true;
}

void Collector::Impl::FillSnapshot(seer::Tick tick) {
  const Topology& topology = rows_.topology();
  topology_changed_ = totals_.snapshots == 0 || snapshot_.origin != topology.origin();
  snapshot_.origin = topology.origin();
  snapshot_.tick = tick;
  snapshot_.period = options_.period;
  snapshot_.instances.Reset(topology.instances().size());
  snapshot_.edges.Reset(topology.edges().size());
  snapshot_.classes.clear();
  snapshot_.health = std::exchange(health_, NodeHealth());
  AskProbes(cells_.TakeTo(&snapshot_, &totals_));
  AddToTotals();
}

void Collector::Impl::AskProbes(ChannelMask seen) {
  for (const auto& probe : probes_) seen = seen | probe->channels();
  for (const Channel channel : kAllChannels) {
    if (!seen.Has(channel)) snapshot_.instances.set_missing(channel, Missing::kNoProbe);
  }
  for (const auto& probe : probes_) {
    if (!probe->Sample(rows_.topology(), &snapshot_).ok()) ++snapshot_.health.probe_errors;
  }
}

void Collector::Impl::AddToTotals() {
  const NodeHealth& tick = snapshot_.health;
  NodeHealth& sum = totals_.health;
  ++totals_.snapshots;
  sum.spans_dropped += tick.spans_dropped;
  sum.counter_errors += tick.counter_errors;
  sum.probe_errors += tick.probe_errors;
  sum.missed_ticks += tick.missed_ticks;
  sum.dead_processes += tick.dead_processes;
  sum.inexact_reads += tick.inexact_reads;
  sum.segments_skipped = tick.segments_skipped;
  sum.processes = tick.processes;
  sum.late_ns = tick.late_ns;
}

absl::Status Collector::Impl::Start(Callback callback) {
  if (callback == nullptr) {
    return absl::InvalidArgumentError("callback: is empty; nobody would get the snapshots");
  }
  if (running_here == this || (thread_.joinable() && !stop_.load(std::memory_order_relaxed))) {
    return absl::FailedPreconditionError("the collector is started already; Stop() it first");
  }
  if (thread_.joinable()) thread_.join();  // stopped by its own callback
  if (wake_ >= 0) close(wake_);
  wake_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (wake_ < 0) {
    return absl::ResourceExhaustedError(
        absl::StrCat("no descriptor for the collector's thread: ", std::strerror(errno)));
  }
  stop_.store(false, std::memory_order_relaxed);  // the thread's creation publishes it
  callback_ = std::move(callback);
  // Of now: every tick that ends after this call is seen, however late the thread begins.
  const Part now = PartAt(options_.period, options_.samples_per_tick, Now());
  thread_ = QuietThread([this, now] { Run(now); });
  if (thread_.joinable()) return absl::OkStatus();
  return absl::ResourceExhaustedError("no thread for the collector; the system has no more");
}

void Collector::Impl::Stop() {
  const bool from_callback = running_here == this;
  if (!from_callback && !thread_.joinable()) return;
  stop_.store(true, std::memory_order_release);  // [S]
  const std::uint64_t one = 1;
  // Cannot fail but by being full, and then it wakes as well.
  (void)!write(wake_, &one, sizeof one);
  if (!from_callback) thread_.join();  // else it ends when the callback returns
}

bool Collector::Impl::Sleep(std::int64_t ns) {
  pollfd wake = {wake_, POLLIN, 0};
  const timespec timeout = {static_cast<time_t>(ns / kNsPerSecond),
                            static_cast<long>(ns % kNsPerSecond)};
  ppoll(&wake, 1, &timeout, nullptr);
  return !stop_.load(std::memory_order_acquire);  // [S]
}

void Collector::Impl::Run(Part looked) {
  running_here = this;
  const TickPeriod period = options_.period;
  const int parts = options_.samples_per_tick;
  Look();  // so that the first tick's counts are of that tick
  for (;;) {
    // Anew each time, so that no delay adds up. Never longer than a tick: the clock may be set.
    const std::int64_t now_ns = Now();
    if (!Sleep(
            std::clamp<std::int64_t>(NextPartNs(period, parts, now_ns) - now_ns, 0, period.ns()))) {
      return;
    }
    const Part part = PartAt(period, parts, Now());
    if (part == looked) continue;  // awake too early, by a hair
    const bool same_tick = part.tick == looked.tick;
    looked = part;
    if (same_tick) {
      Look();
    } else if (MakeSnapshot()) {
      try {
        callback_({snapshot_, rows_.topology(), totals_, topology_changed_});
      } catch (...) {
        ++totals_.callback_errors;
      }
      if (stop_.load(std::memory_order_acquire)) return;  // [S] the callback itself did it
    }
  }
}

absl::StatusOr<std::unique_ptr<Collector>> Collector::Create(const CollectorOptions& options) {
  CollectorOptions checked = options;
  if (checked.node.empty()) {
    SEER_ASSIGN_OR_RETURN(checked.node, HostName());
  }
  if (checked.samples_per_tick < 1 || checked.samples_per_tick > 100) {
    return absl::InvalidArgumentError(
        absl::StrCat("samples_per_tick: ", checked.samples_per_tick, " is not from 1 to 100"));
  }
  if (checked.grace < std::chrono::nanoseconds::zero() || checked.grace > kMaxGrace) {
    return absl::InvalidArgumentError(
        absl::StrCat("grace: ", checked.grace.count(), " ns is not from 0 to a day"));
  }
  if (checked.max_rows < 1 || checked.max_rows > Topology::kMaxRows / 8) {
    return absl::InvalidArgumentError(
        absl::StrCat("max_rows: ", checked.max_rows, " is not from 1 to ", Topology::kMaxRows / 8));
  }
  std::uint64_t epoch = checked.epoch;
  if (epoch == 0) {
    const std::int64_t now_ns = checked.clock != nullptr ? checked.clock->NowNs()  //
                                                         : ReadClock(CLOCK_REALTIME);
    epoch = static_cast<std::uint64_t>(std::max<std::int64_t>(now_ns, 1));
  }
  SEER_ASSIGN_OR_RETURN(std::unique_ptr<Reader> reader, Reader::Open(checked.reader));
  SEER_ASSIGN_OR_RETURN(internal::NodeRows rows, internal::NodeRows::Create(checked, epoch));
  return std::unique_ptr<Collector>(
      new Collector(std::make_unique<Impl>(checked, std::move(reader), std::move(rows))));
}

Collector::Collector(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Collector::~Collector() = default;

absl::Status Collector::Add(const QueueRegistry& registry) { return impl_->reader().Add(registry); }
void Collector::AddProbe(std::unique_ptr<DepthProbe> probe) { impl_->AddProbe(std::move(probe)); }

absl::Status Collector::Declare(const DeclaredInstance& instance) {
  SEER_RETURN_IF_ERROR(internal::NodeRows::Check(instance));
  impl_->Declare(instance);
  return absl::OkStatus();
}
void Collector::Withdraw(std::string_view service, std::string_view instance) {
  impl_->Withdraw(service, instance);
}

absl::Status Collector::DeclareClass(const DeclaredClass& request_class) {
  SEER_RETURN_IF_ERROR(internal::NodeRows::Check(request_class));
  impl_->DeclareClass(request_class);
  return absl::OkStatus();
}

const Snapshot& Collector::Tick() {
  impl_->MakeSnapshot();
  return impl_->snapshot();
}
void Collector::Sample() { impl_->Look(); }

const Topology& Collector::topology() const { return impl_->rows().topology(); }
const CollectorTotals& Collector::totals() const { return impl_->totals(); }
absl::Span<const SkippedSegment> Collector::skipped() const { return impl_->reader().skipped(); }

absl::Status Collector::Start(Callback callback) { return impl_->Start(std::move(callback)); }
void Collector::Stop() { impl_->Stop(); }

SEER_END_NAMESPACE
