// A process that counts to its very end: static objects made before the registry and after it,
// exit handlers, thread-local objects, a thread that is not joined. Its end must be an ordinary one
// and leave no file. Prints what went wrong.
//
//   exit_order DIRECTORY     the process itself; without an argument: runs it as its child
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <thread>

#include "seer/queue/registry.h"

namespace {

using seer::Channel;
using seer::Queue;
using seer::QueueRegistry;
using seer::TimedQueue;

struct Counts {
  Queue queue;
  TimedQueue timed;
  void Count() const {
    for (int i = 0; i < 1000; ++i) queue.Leave(queue.Enter());
    timed.Leave(timed.Enter());
  }
  ~Counts() {
    Count();
    // The registry has gone perhaps: a status then, and no crash.
    const auto late = QueueRegistry::Global().AddQueue("late", Channel::kQueued, "late");
    if (late.ok()) late->Enter();
    static_cast<void>(QueueRegistry::Global().status());
    static_cast<void>(QueueRegistry::Global().path());
    std::thread([this] { Count(); }).join();
  }
};

Counts made_before_main;

struct MadeOnFirstUse {
  Counts counts;
};
MadeOnFirstUse& First() {
  static MadeOnFirstUse first;
  return first;
}

void AtExit() { First().counts.Count(); }

int Run(const char* directory) {
  MadeOnFirstUse& before_registry = First();
  std::atexit(AtExit);
  seer::RegistryOptions options;
  options.directory = directory;
  if (!QueueRegistry::SetGlobalOptions(options).ok()) return 2;
  QueueRegistry& global = QueueRegistry::Global();
  if (!global.status().ok()) return 3;
  std::atexit(AtExit);
  static Counts after_registry;
  thread_local Counts of_thread;
  for (Counts* counts : {&made_before_main, &before_registry.counts, &after_registry, &of_thread}) {
    counts->queue = *global.AddQueue("a", Channel::kQueued, "q");
    counts->timed = *global.AddTimedQueue("a", Channel::kRunning, "t");
    counts->Count();
  }
  static auto second = *QueueRegistry::Create(options);  // destroyed with the statics
  second->AddQueue("b", Channel::kQueued)->Enter();
  static std::atomic<bool> counting{false};
  std::thread([queue = after_registry.queue, timed = after_registry.timed] {
    for (;;) {
      queue.Enter();
      timed.Leave(timed.Enter());
      counting.store(true, std::memory_order_relaxed);
    }
  }).detach();
  while (!counting.load(std::memory_order_relaxed)) std::this_thread::yield();
  return 0;  // through exit()
}

}  // namespace

int main(int argc, char** argv) {
  if (argc > 1) return Run(argv[1]);
  std::string directory = (std::filesystem::temp_directory_path() / "seer-exit-XXXXXX").string();
  if (::mkdtemp(directory.data()) == nullptr) return 1;
  int failed = 0;
  for (int i = 0; i < 20 && failed == 0; ++i) {
    const pid_t child = ::fork();
    if (child == 0) {
      ::execl("/proc/self/exe", argv[0], directory.c_str(), nullptr);
      ::_exit(9);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    if (status != 0) {
      std::printf("it ended with status %#x\n", static_cast<unsigned>(status));
      failed = 1;
    }
    for (const auto& entry : std::filesystem::directory_iterator(directory)) {
      std::printf("it left %s\n", entry.path().c_str());
      failed = 1;
    }
  }
  std::filesystem::remove_all(directory);
  return failed;
}
