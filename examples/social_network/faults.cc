#include "faults.h"

#include <fcntl.h>
#include <libpq-fe.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <functional>
#include <utility>

namespace social {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr double kStarvedCores = 0.025;
constexpr milliseconds kStep(5);
constexpr int kStoppedMs = 85, kContinuedMs = 15;
// Of some MB a second that pass otherwise.
constexpr int kNarrowKbit = 3'000, kNarrowRoom = 1 << 20;
constexpr int kDroppingKbit = 40'000, kDroppingRoom = 6'000;

}  // namespace

class Faults::Undone {
 public:
  explicit Undone(std::function<void()> undo) : undo_(std::move(undo)) {}
  virtual ~Undone() {
    if (undo_) undo_();
  }
  // Every few ms while it lasts; since it was made.
  virtual void Step(milliseconds) {}

 private:
  const std::function<void()> undo_;
};

namespace {

// What is common to those that do something again and again.
template <typename Base>
class Stepping : public Base {
 public:
  Stepping(std::function<void(milliseconds)> step, std::function<void()> undo)
      : Base(std::move(undo)), step_(std::move(step)) {}
  void Step(milliseconds since) override { step_(since); }

 private:
  const std::function<void(milliseconds)> step_;
};

// A transaction that holds the lock, until the connection is closed.
PGconn* LockTable(const Deployment& deployment) {
  std::string password;
  std::ifstream(deployment.PasswordFile()) >> password;
  PGconn* const pq =
      PQconnectdb(("host=127.0.0.1 port=" + std::to_string(deployment.Find("postgres")) +
                   " user=social dbname=postgres connect_timeout=2 password=" + password)
                      .c_str());
  for (const char* statement :
       {"SET lock_timeout = 500", "BEGIN", "LOCK TABLE posts IN ACCESS EXCLUSIVE MODE"}) {
    PQclear(PQexec(pq, statement));
  }
  return pq;
}

}  // namespace

std::set<FaultKind> PossibleWith(const FaultTools& tools) {
  std::set<FaultKind> possible = {FaultKind::kStopped, FaultKind::kLock,      FaultKind::kPool,
                                  FaultKind::kCycle,   FaultKind::kTableLock, FaultKind::kDisk};
  if (tools.cgroups != nullptr) possible.insert(FaultKind::kCpuQuota);
  if (tools.network != nullptr) possible.insert({FaultKind::kBandwidth, FaultKind::kDrops});
  return possible;
}

Faults::Faults(const FaultTools& tools, std::vector<Fault> script)
    : tools_(tools), script_(std::move(script)), thread_([this] { Run(); }) {}

Faults::~Faults() {
  stop_ = true;
  thread_.join();
}

std::vector<Fault> Faults::TakeBegun() {
  const std::lock_guard<std::mutex> lock(mutex_);
  return std::exchange(begun_, {});
}

std::optional<Fault> Faults::Current() {
  const std::lock_guard<std::mutex> lock(mutex_);
  return current_;
}

void Faults::Run() {
  const auto start = steady_clock::now();
  const auto since = [&] { return (steady_clock::now() - start).count(); };
  for (const Fault& fault : script_) {
    while (!stop_ && since() < fault.start_ns) std::this_thread::sleep_for(kStep);
    if (stop_) return;
    const auto made_at = steady_clock::now();
    const std::unique_ptr<Undone> made = Make(fault);
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      begun_.push_back(fault);
      current_ = fault;
    }
    while (!stop_ && since() < fault.end_ns) {
      made->Step(std::chrono::duration_cast<milliseconds>(steady_clock::now() - made_at));
      std::this_thread::sleep_for(kStep);
    }
    const std::lock_guard<std::mutex> lock(mutex_);
    current_.reset();
  }
}

std::unique_ptr<Faults::Undone> Faults::Make(const Fault& fault) const {
  constexpr auto kRelaxed = std::memory_order_relaxed;
  const std::string& target = fault.target;
  const auto undone = [](auto undo) { return std::make_unique<Undone>(undo); };
  const auto stepping = [](auto step, auto undo) {
    return std::make_unique<Stepping<Undone>>(step, undo);
  };
  switch (fault.kind) {
    case FaultKind::kCpuQuota:
      tools_.cgroups->SetCores(target, kStarvedCores);
      return undone([this, &target] { tools_.cgroups->SetCores(target, std::nullopt); });
    case FaultKind::kStopped: {
      const pid_t pid = tools_.deployment->FindPid(target);
      if (pid <= 0) return undone([] {});
      return stepping(
          [pid](milliseconds since) {
            const auto at = since.count() % (kStoppedMs + kContinuedMs);
            kill(pid, at < kStoppedMs ? SIGSTOP : SIGCONT);
          },
          [pid] { kill(pid, SIGCONT); });
    }
    case FaultKind::kLock: {
      Switches::Service& service = tools_.board->Of(target);
      // It begins gently, as most do.
      return stepping(
          [&service, most = fault.wait_us](milliseconds since) {
            const double share =
                std::min(1.0, 0.5 + 0.5 * static_cast<double>(since.count()) / 500);
            service.lock_us.store(static_cast<std::uint32_t>(share * most), kRelaxed);
          },
          [&service] { service.lock_us.store(0, kRelaxed); });
    }
    case FaultKind::kPool: {
      Switches::Service& service = tools_.board->Of(target);
      service.wait_us.store(fault.wait_us, kRelaxed);
      service.workers.store(1, kRelaxed);
      return undone([&service] {
        service.wait_us.store(0, kRelaxed);
        service.workers.store(0, kRelaxed);
      });
    }
    case FaultKind::kCycle: {
      Switches::Service& service = tools_.board->Of(target);
      const SwitchBoard& board = *tools_.board;
      service.workers.store(2, kRelaxed);
      const std::uint32_t before = board->cyclic.exchange(1, kRelaxed);
      return undone([&service, &board, before] {
        board->cyclic.store(before, kRelaxed);
        service.workers.store(0, kRelaxed);
      });
    }
    case FaultKind::kTableLock: {
      PGconn* const pq = LockTable(*tools_.deployment);
      return undone([pq] { PQfinish(pq); });
    }
    case FaultKind::kBandwidth:
      tools_.network->Limit(target, kNarrowKbit, kNarrowRoom);
      return undone([this, &target] { tools_.network->Lift(target); });
    case FaultKind::kDrops:
      tools_.network->Limit(target, kDroppingKbit, kDroppingRoom);
      return undone([this, &target] { tools_.network->Lift(target); });
    case FaultKind::kDisk: {
      const std::string path = tools_.deployment->directory() + "/busy";
      const int file = open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | O_DSYNC, 0600);
      return stepping(
          [file, block = std::string(1 << 20, 'x'), n = 0](milliseconds) mutable {
            // At most 64 MB, over and over.
            if (file >= 0) {
              [[maybe_unused]] const ssize_t written =
                  pwrite(file, block.data(), block.size(), off_t{1 << 20} * (n++ % 64));
            }
          },
          [file, path] {
            if (file >= 0) close(file);
            unlink(path.c_str());
          });
    }
  }
  return undone([] {});
}

}  // namespace social
