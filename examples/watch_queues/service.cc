// A service with a pool of threads behind a bounded queue. What makes its queues visible are the
// lines that end in "// seer"; all others would be there without.
#include "service.h"

#include <chrono>
#include <cmath>
#include <condition_variable>
#include <cstddef>
#include <cstdio>
#include <deque>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "seer/queue/registry.h"  // seer
#include "signals.h"

namespace {

using SteadyClock = std::chrono::steady_clock;

struct Job {
  std::chrono::microseconds work;
  seer::Ticket ticket;  // seer: its place in a queue, which it leaves at the latest when it is gone
};

class ThreadPool {
 public:
  ThreadPool(int workers, std::size_t capacity) : capacity_(capacity) {
    seer::QueueRegistry& node = seer::QueueRegistry::Global();  // seer
    // Without room for its counters the service runs on and counts nowhere: value_or.
    queued_ = node.AddQueue("checkout", seer::Channel::kQueued).value_or(seer::Queue());    // seer
    running_ = node.AddQueue("checkout", seer::Channel::kRunning).value_or(seer::Queue());  // seer
    to_database_ = node.AddOutbound("checkout", "database").value_or(seer::Queue());        // seer
    for (int i = 0; i < workers; ++i) workers_.emplace_back([this] { Work(); });
  }
  ~ThreadPool() {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      stop_ = true;
    }
    ready_.notify_all();
    for (std::thread& worker : workers_) worker.join();
  }

  // False: the queue is full, and the job refused.
  bool Submit(std::chrono::microseconds work) {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      if (jobs_.size() == capacity_) return false;
      jobs_.push_back({work, seer::Ticket(queued_)});  // seer
    }
    ready_.notify_one();
    return true;
  }

 private:
  void Work() {
    for (;;) {
      std::unique_lock<std::mutex> lock(mutex_);
      ready_.wait(lock, [this] { return stop_ || !jobs_.empty(); });
      if (stop_) return;
      Job job = std::move(jobs_.front());
      jobs_.pop_front();
      lock.unlock();
      job.ticket.MoveTo(running_);  // seer
      Handle(job);
    }
  }

  void Handle(const Job& job) const {
    std::this_thread::sleep_for(job.work / 3);
    const seer::Ticket asking(to_database_);  // seer: until the end of this block
    std::this_thread::sleep_for(job.work * 2 / 3);
  }

  const std::size_t capacity_;
  seer::Queue queued_, running_, to_database_;  // seer
  std::mutex mutex_;
  std::condition_variable ready_;
  std::deque<Job> jobs_;  // guarded by mutex_, as stop_ is
  bool stop_ = false;
  std::vector<std::thread> workers_;
};

// Of requests a second: calm, with a burst every three seconds that is more than the pool can do.
double LoadAt(double seconds) {
  const double phase = std::fmod(seconds, 3.0);
  return phase > 0.4 && phase < 0.9 ? 1600 : 400;
}

}  // namespace

int RunService(const std::string& directory) {
  const Signals signals({SIGINT, SIGTERM, SIGHUP});
  seer::RegistryOptions options;
  options.directory = directory;  // by itself that of the node's agent, /dev/shm/seer
  options.instance = "checkout-0";
  if (!seer::QueueRegistry::SetGlobalOptions(options).ok()) return 1;
  const absl::Status shared = seer::QueueRegistry::Global().status();
  if (!shared.ok()) std::fprintf(stderr, "not to be watched: %s\n", shared.ToString().c_str());

  ThreadPool pool(8, 240);  // 8 workers of 10 ms: 800 requests a second
  const auto start = SteadyClock::now();
  double made_until = 0, due = 0;
  while (signals.Wait(SteadyClock::now() + std::chrono::milliseconds(1)) == 0) {
    const double now = std::chrono::duration<double>(SteadyClock::now() - start).count();
    due = std::fmin(due + (now - made_until) * LoadAt(now), 1000);
    made_until = now;
    const int jobs = static_cast<int>(due);
    for (int i = 0; i < jobs; ++i) pool.Submit(std::chrono::milliseconds(10));
    due -= jobs;
  }
  return 0;
}
