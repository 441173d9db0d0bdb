#include "application.h"

#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <new>
#include <thread>
#include <utility>

#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <thrift/concurrency/ThreadFactory.h>
#include <thrift/concurrency/ThreadManager.h>
#include <thrift/protocol/TBinaryProtocol.h>
#include <thrift/server/TNonblockingServer.h>
#include <thrift/transport/TBufferTransports.h>
#include <thrift/transport/TNonblockingServerSocket.h>
#include <thrift/transport/TSocket.h>

#include "Tier.h"
#include "seer/queue/registry.h"
#include "seer/thrift/make_traced.h"
#include "seer/thrift/trace.h"
#include "seer/thrift/trace_thread_manager.h"

namespace foresee {
namespace {

using apache::thrift::concurrency::ThreadManager;
using apache::thrift::protocol::TBinaryProtocol;
using apache::thrift::protocol::TBinaryProtocolFactory;
using apache::thrift::server::TNonblockingServer;
using apache::thrift::transport::TFramedTransport;
using apache::thrift::transport::TNonblockingServerSocket;
using apache::thrift::transport::TSocket;
using std::chrono::microseconds;
using std::chrono::milliseconds;

class Handler : public TierIf {
 public:
  Handler(const Tier& tier, Control& control) : tier_(tier), control_(control) {}

  std::int32_t Serve(std::int64_t user) override {
    Control::OfTier& mine = control_.tiers[static_cast<std::size_t>(&tier_ - Tiers().data())];
    Spin(microseconds(50));
    const microseconds wait(tier_.wait_us + mine.extra_wait_us.load());
    if (mine.one_at_a_time.load()) {
      const std::lock_guard<std::mutex> lock(convoy_);
      std::this_thread::sleep_for(wait);
    } else {
      std::this_thread::sleep_for(wait);
    }
    std::int32_t services = 1;
    for (const std::size_t callee : tier_.calls) services += Callee(callee).Serve(user);
    return services;
  }

 private:
  static void Spin(microseconds time) {
    const auto end = std::chrono::steady_clock::now() + time;
    while (std::chrono::steady_clock::now() < end) {
    }
  }

  // Each worker has connections of its own.
  TierClient& Callee(std::size_t callee) {
    thread_local std::unique_ptr<TierClient> clients[kTiers];
    std::unique_ptr<TierClient>& client = clients[callee];
    if (client == nullptr) {
      auto socket = std::make_shared<TSocket>("127.0.0.1", control_.tiers[callee].port.load());
      client = std::make_unique<TierClient>(seer::MakeTraced<TBinaryProtocol>(
          Tiers()[callee].name, std::make_shared<TFramedTransport>(socket)));
      socket->open();
    }
    return *client;
  }

  const Tier& tier_;
  Control& control_;
  std::mutex convoy_;
};

class WhenListening : public apache::thrift::server::TServerEventHandler {
 public:
  explicit WhenListening(std::function<void()> tell) : tell_(std::move(tell)) {}
  void preServe() override { tell_(); }

 private:
  const std::function<void()> tell_;
};

// Everything that a service does for seer: the name of its queues, the processor, the task queue.
void ServeTier(const Tier& tier, Control& control, const std::string& queue_directory) {
  seer::RegistryOptions options;
  options.directory = queue_directory;
  options.instance = std::string(tier.name) + "-0";
  if (!seer::QueueRegistry::SetGlobalOptions(options).ok()) std::abort();

  auto workers = seer::Trace(tier.name, ThreadManager::newSimpleThreadManager(tier.workers));
  workers->threadFactory(std::make_shared<apache::thrift::concurrency::ThreadFactory>());
  workers->start();
  auto socket = std::make_shared<TNonblockingServerSocket>("127.0.0.1", 0);
  auto processor = std::make_shared<TierProcessor>(std::make_shared<Handler>(tier, control));
  TNonblockingServer server(seer::Trace(tier.name, processor),
                            std::make_shared<TBinaryProtocolFactory>(), socket, workers);
  std::atomic<int>& port = control.tiers[static_cast<std::size_t>(&tier - Tiers().data())].port;
  server.setServerEventHandler(
      std::make_shared<WhenListening>([&] { port = socket->getListenPort(); }));
  server.serve();
}

}  // namespace

const std::vector<Tier>& Tiers() {
  static const std::vector<Tier> tiers = {{"gateway", {1}, 64, 0},
                                          {"timeline", {2, 3}, 32, 1000},
                                          {"posts", {}, 8, 5000},
                                          {"users", {}, 8, 2000}};
  return tiers;
}

Application::Application(const std::string& queue_directory) {
  void* const shared =
      mmap(nullptr, sizeof(Control), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (shared == MAP_FAILED) throw std::bad_alloc();
  control_ = new (shared) Control;
  for (const Tier& tier : Tiers()) {
    const pid_t pid = fork();
    if (pid == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      try {
        ServeTier(tier, *control_, queue_directory);
      } catch (const std::exception& e) {
        std::fprintf(stderr, "%s: %s\n", tier.name, e.what());
      }
      control_->failed = true;
      _exit(1);
    }
    if (pid > 0) pids_.push_back(pid);
  }
}

Application::~Application() {
  for (const pid_t pid : pids_) kill(pid, SIGKILL);
  for (const pid_t pid : pids_) waitpid(pid, nullptr, 0);
  munmap(control_, sizeof(Control));
}

bool Application::WaitUntilServing() const {
  for (int i = 0; i < 1000 && !control_->failed; ++i) {
    bool all = pids_.size() == kTiers;
    for (const Control::OfTier& tier : control_->tiers) all = all && tier.port != 0;
    if (all) return true;
    std::this_thread::sleep_for(milliseconds(10));
  }
  return false;
}

}  // namespace foresee
