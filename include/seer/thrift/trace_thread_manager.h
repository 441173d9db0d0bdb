// Flow: task queue -> [Trace(thread manager)] -> queues `queued` and `accept`, stamps of spans
//
// The queue in front of a pool of workers, which the processor behind it cannot see: twelve slow
// calls on four workers are four running, and eight that wait here.
//
//   auto threads = seer::Trace("cart", ThreadManager::newSimpleThreadManager(4));
//   threads->threadFactory(std::make_shared<ThreadFactory>());
//   threads->start();
//   TNonblockingServer server(seer::Trace("cart", processor), protocols, socket, threads);
//
// Under a TNonblockingServer the tasks are requests: they count as `queued`, with their waiting
// times, and a request's span has both ends of its wait, kReceived and kDequeued. Under a
// TThreadPoolServer the tasks are connections, and one that no worker has time for may hold any
// number of requests or none: they count as connections, in channel `accept`, queue "pool".
//
// All else is the inner manager's, in whose terms this one talks: the tasks that it hands back
// (removeNextPending, the expire callback) are those that were given to add(). Set the callback
// here, not on the inner manager. A task that expires unserved is counted (ThriftCounts::expired).
//
// Threads: as the inner manager. Cost: 0.1 to 0.2 us a task: two stamps, a short lock, and one
//          allocation. Nothing polls.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <typeinfo>
#include <utility>

#include <thrift/concurrency/ThreadManager.h>
#include <thrift/server/TConnectedClient.h>

#include "absl/base/thread_annotations.h"
#include "seer/core/config.h"
#include "seer/core/internal/mutex.h"
#include "seer/queue/registry.h"
#include "seer/thrift/internal/arrival.h"
#include "seer/thrift/internal/service_state.h"

SEER_BEGIN_NAMESPACE

namespace internal {

class TracedTask;

// The tasks that wait, so that remove() finds the one it is asked for. A list through the tasks
// themselves: nothing is allocated.
class WaitingTasks {
 public:
  void Add(TracedTask* task) noexcept;
  void Remove(TracedTask* task) noexcept;  // a second time does nothing
  // Null: it does not wait. Whoever takes the task out of its queue keeps it alive.
  std::shared_ptr<TracedTask> Find(const apache::thrift::concurrency::Runnable* inner);

 private:
  Mutex mutex_;
  TracedTask* first_ ABSL_GUARDED_BY(mutex_) = nullptr;
};

class TracedTask final : public apache::thrift::concurrency::Runnable,
                         public std::enable_shared_from_this<TracedTask> {
 public:
  TracedTask(std::shared_ptr<Runnable> inner, std::shared_ptr<WaitingTasks> waiting)
      : inner_(std::move(inner)), waiting_(std::move(waiting)) {}
  ~TracedTask() override { LeaveQueue(); }

  // In the queue from now on; before the inner manager gets it, so that no worker is faster.
  void EnterQueue(TimedQueue requests, Queue connections) noexcept {
    const Runnable& task = *inner_;
    if (typeid(task) == typeid(apache::thrift::server::TConnectedClient)) {
      connection_ = Ticket(connections);
    } else {
      request_ = TimedTicket(requests);
      received_ = arrival.received;  // by this thread, just now: it is this task's message
      queued_ = StampClock().Stamp();
    }
    waiting_->Add(this);
  }
  void LeaveQueue() noexcept {
    waiting_->Remove(this);
    request_.Leave();
    connection_.Leave();
  }

  void run() override {
    if (queued_ == 0) {
      LeaveQueue();
      inner_->run();
      return;
    }
    struct Restore {
      const Arrival before = arrival;
      ~Restore() { arrival = before; }
    } restore;
    // Before it leaves the queue, so that the stamps enclose what the queue counts.
    arrival = Arrival{received_, queued_, StampClock().FencedStamp(), nullptr};
    LeaveQueue();
    inner_->run();
  }

  std::shared_ptr<apache::thrift::concurrency::Thread> thread() override {
    return inner_->thread();
  }
  void thread(std::shared_ptr<apache::thrift::concurrency::Thread> value) override {
    inner_->thread(std::move(value));
  }

  const std::shared_ptr<Runnable>& inner() const { return inner_; }

 private:
  friend class WaitingTasks;

  const std::shared_ptr<Runnable> inner_;
  const std::shared_ptr<WaitingTasks> waiting_;
  TimedTicket request_;
  Ticket connection_;
  std::uint64_t received_ = 0;
  std::uint64_t queued_ = 0;
  // Of the list; guarded by its lock.
  bool listed_ = false;
  TracedTask* before_ = nullptr;
  TracedTask* after_ = nullptr;
};

inline void WaitingTasks::Add(TracedTask* task) noexcept {
  MutexLock lock(&mutex_);
  task->listed_ = true;
  task->before_ = nullptr;
  task->after_ = first_;
  if (first_ != nullptr) first_->before_ = task;
  first_ = task;
}
inline void WaitingTasks::Remove(TracedTask* task) noexcept {
  MutexLock lock(&mutex_);
  if (!task->listed_) return;
  task->listed_ = false;
  (task->before_ != nullptr ? task->before_->after_ : first_) = task->after_;
  if (task->after_ != nullptr) task->after_->before_ = task->before_;
}
inline std::shared_ptr<TracedTask> WaitingTasks::Find(
    const apache::thrift::concurrency::Runnable* inner) {
  MutexLock lock(&mutex_);
  for (TracedTask* task = first_; task != nullptr; task = task->after_) {
    // One that is just being destroyed is still listed: lock() gives null for it.
    if (task->inner_.get() != inner) continue;
    if (auto found = task->weak_from_this().lock()) return found;
  }
  return nullptr;
}

class TracedThreadManager final : public apache::thrift::concurrency::ThreadManager {
 public:
  using Runnable = apache::thrift::concurrency::Runnable;
  using ThreadFactory = apache::thrift::concurrency::ThreadFactory;

  TracedThreadManager(ServiceState& service, std::shared_ptr<ThreadManager> inner)
      : service_(service),
        inner_(std::move(inner)),
        waiting_(std::make_shared<WaitingTasks>()),
        requests_(service.AddTaskQueue()),
        connections_(service.AddPoolQueue()) {
    // Tasks that expire are handed back even where the host does not ask: to count them.
    setExpireCallback(nullptr);
    StampClock();  // calibrates now, not with the first request
  }

  void add(std::shared_ptr<Runnable> task, std::int64_t timeout, std::int64_t expiration) override {
    if (task == nullptr || !ThriftTracingIsOn()) {
      inner_->add(std::move(task), timeout, expiration);
      return;
    }
    const auto traced = std::make_shared<TracedTask>(std::move(task), waiting_);
    traced->EnterQueue(requests_, connections_);
    inner_->add(traced, timeout, expiration);  // where it throws, the task leaves with us
  }

  void remove(std::shared_ptr<Runnable> task) override {
    if (const auto traced = waiting_->Find(task.get())) {
      inner_->remove(traced);
    } else {
      inner_->remove(std::move(task));
    }
  }
  std::shared_ptr<Runnable> removeNextPending() override {
    return Unwrap(inner_->removeNextPending());
  }
  void removeExpiredTasks() override { inner_->removeExpiredTasks(); }
  void setExpireCallback(ExpireCallback callback) override {
    inner_->setExpireCallback(
        [service = &service_, callback = std::move(callback)](std::shared_ptr<Runnable> task) {
          service->expired.Add();
          task = Unwrap(std::move(task));
          if (callback) callback(std::move(task));
        });
  }

  void start() override { inner_->start(); }
  void stop() override { inner_->stop(); }
  STATE state() const override { return inner_->state(); }
  std::shared_ptr<ThreadFactory> threadFactory() const override { return inner_->threadFactory(); }
  void threadFactory(std::shared_ptr<ThreadFactory> value) override {
    inner_->threadFactory(std::move(value));
  }
  void addWorker(std::size_t value) override { inner_->addWorker(value); }
  void removeWorker(std::size_t value) override { inner_->removeWorker(value); }
  std::size_t idleWorkerCount() const override { return inner_->idleWorkerCount(); }
  std::size_t workerCount() const override { return inner_->workerCount(); }
  std::size_t pendingTaskCount() const override { return inner_->pendingTaskCount(); }
  std::size_t totalTaskCount() const override { return inner_->totalTaskCount(); }
  std::size_t pendingTaskCountMax() const override { return inner_->pendingTaskCountMax(); }
  std::size_t expiredTaskCount() const override { return inner_->expiredTaskCount(); }

 private:
  // Servers cast what they get back to what they put in.
  static std::shared_ptr<Runnable> Unwrap(std::shared_ptr<Runnable> task) {
    const auto traced = std::dynamic_pointer_cast<TracedTask>(task);
    if (traced == nullptr) return task;
    traced->LeaveQueue();
    return traced->inner();
  }

  ServiceState& service_;
  const std::shared_ptr<ThreadManager> inner_;
  const std::shared_ptr<WaitingTasks> waiting_;
  const TimedQueue requests_;
  const Queue connections_;
};

}  // namespace internal

// The manager, its queue counted as that of service `name`. Null stays null.
inline std::shared_ptr<apache::thrift::concurrency::ThreadManager> Trace(
    std::string_view name, std::shared_ptr<apache::thrift::concurrency::ThreadManager> inner) {
  if (inner == nullptr) return inner;
  return std::make_shared<internal::TracedThreadManager>(internal::ServiceState::Of(name),
                                                         std::move(inner));
}

SEER_END_NAMESPACE
