#include "seer/predict/retrainer_thread.h"

#include <sched.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>

SEER_BEGIN_NAMESPACE
namespace {

std::int64_t ThreadCpuNs() {
  timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<std::int64_t>(t.tv_sec) * 1'000'000'000 + t.tv_nsec;
}

void BeModest() {
  sched_param none{};
  if (sched_setscheduler(0, SCHED_IDLE, &none) == 0) return;
  // Of this thread only, as Linux has it.
  (void)setpriority(PRIO_PROCESS, static_cast<id_t>(syscall(SYS_gettid)), 19);
}

}  // namespace

class RetrainerThread::Impl {
 public:
  Impl(Retrainer* retrainer, OnModel on_model, const RetrainerThreadOptions& options)
      : retrainer_(retrainer),
        on_model_(std::move(on_model)),
        share_(options.cpu_share > 0 && options.cpu_share <= 1 ? options.cpu_share : 1),
        idle_ns_(std::max<std::int64_t>(options.idle_ns, 1'000'000)),
        clock_(options.clock != nullptr ? *options.clock : system_clock_),
        thread_([this] { Run(); }) {}

  ~Impl() {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      end_ = true;
    }
    wake_.notify_all();
    thread_.join();
  }

  std::int64_t cpu_ns() const { return cpu_ns_.load(std::memory_order_relaxed); }

 private:
  void Run() {
    BeModest();
    for (;;) {
      const std::int64_t before = ThreadCpuNs();
      const absl::StatusOr<bool> more = retrainer_->Step(clock_.NowNs());
      if (on_model_) {
        if (std::optional<std::string> model = retrainer_->TakeModel())
          on_model_(*std::move(model));
      }
      const std::int64_t used = ThreadCpuNs() - before;
      cpu_ns_.fetch_add(used, std::memory_order_relaxed);  // a count; orders nothing
      auto rest = static_cast<std::int64_t>(static_cast<double>(used) * (1 - share_) / share_);
      if (!more.ok() || !*more) rest = std::max(rest, idle_ns_);
      std::unique_lock<std::mutex> lock(mutex_);
      if (wake_.wait_for(lock, std::chrono::nanoseconds(rest), [this] { return end_; })) return;
    }
  }

  Retrainer* const retrainer_;
  const OnModel on_model_;
  const double share_;
  const std::int64_t idle_ns_;
  const SystemClock system_clock_;
  const Clock& clock_;
  std::mutex mutex_;
  std::condition_variable wake_;
  bool end_ = false;  // under mutex_
  std::atomic<std::int64_t> cpu_ns_{0};
  std::thread thread_;  // the last: it uses all of the others
};

RetrainerThread::RetrainerThread(Retrainer* retrainer, OnModel on_model,
                                 const RetrainerThreadOptions& options)
    : impl_(std::make_unique<Impl>(retrainer, std::move(on_model), options)) {}
RetrainerThread::~RetrainerThread() = default;
std::int64_t RetrainerThread::cpu_ns() const { return impl_->cpu_ns(); }

SEER_END_NAMESPACE
