// A social network of real processes on this machine, a load on it, and what seer foresees.
//
//   examples/run social-network [--duration S] [--rate R] [--shape W] [--seed N]
//
//   clients --> home-timeline, user-timeline --> post-storage --> post-memcached, postgres
//      |                    '--> timeline-redis
//      '------> compose-post --> unique-id, user, media, text --> url-shorten, user-mention
//                    |---> post-storage, user-timeline, search --> search-redis
//                    '---> home-timeline-queue --> write-home-timeline --> social-graph,
//                    timeline-redis
//
// The way of the data through this folder: the clients draw their requests (schedule) and send them
// (load); services (social.thrift, *_services) behind servers of all of Thrift's kinds (servers)
// call each other (clients, pool) and the stores (stores: memcached, redis, postgres over tcp and
// resp). All of these are processes of their own (deployment, processes, store_processes). An agent
// reads their queues and a control plane foresees violations (watch). main.cc puts it together.
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>

#include <thrift/Thrift.h>

#include "deployment.h"
#include "interrupted.h"
#include "load.h"
#include "options.h"
#include "processes.h"
#include "seer/queue/registry.h"
#include "seer/thrift/node.h"
#include "servers.h"
#include "services.h"
#include "store_processes.h"
#include "watch.h"

namespace social {
namespace {

constexpr std::int64_t kMs = 1'000'000;
constexpr std::size_t kPeople = 50;

std::int64_t NowNs() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

void PublishQueues(const std::string& directory, const std::string& instance) {
  seer::RegistryOptions registry;
  registry.directory = directory;
  registry.instance = instance;
  const absl::Status status = seer::QueueRegistry::SetGlobalOptions(registry);
  if (!status.ok()) throw std::runtime_error(std::string(status.message()));
}

// One process of the application.
int RunRole(const Options& options) {
  const Deployment deployment(options.directory);
  for (const Role& role : Roles()) {
    if (role.name != options.role) continue;
    PublishQueues(deployment.QueueDirectory(), options.role + "-0");
    seer::SetThriftCaller(role.name);  // also of calls in threads that serve no request of Thrift's
    if (role.server == Server::kConsumer) WriteHomeTimelines(role, deployment);
    Serve(role, MakeService(options.role, deployment), deployment);
    return 1;  // nobody stops a server
  }
  std::fprintf(stderr, "social-network: there is no role '%s'\n", options.role.c_str());
  return 2;
}

void ThrowIfEnded(const Deployment& deployment, Processes* processes) {
  if (const std::optional<std::string> ended = processes->Ended()) {
    throw std::runtime_error(*ended + " has ended:\n" + TailOf(deployment.LogOf(*ended)));
  }
}

void StartServices(const Deployment& deployment, Processes* processes) {
  const std::string self = std::filesystem::read_symlink("/proc/self/exe").string();
  for (const Role& role : Roles()) {
    Command command;
    command.name = role.name;
    command.words = {self, "--role", role.name, "--directory", deployment.directory()};
    command.log = deployment.LogOf(role.name);
    processes->Start(command);
  }
  for (const Role& role : Roles()) {
    for (int i = 0; deployment.Find(role.name) == 0; ++i) {
      if (Interrupted()) return;
      ThrowIfEnded(deployment, processes);
      if (i == 3000) throw std::runtime_error(std::string(role.name) + " does not listen");
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
  }
}

void Say(std::int64_t since_start_ns, const std::string& text) {
  std::printf("%6.1f s  %s\n", static_cast<double>(since_start_ns) / 1e9, text.c_str());
  std::fflush(stdout);
}

// What was answered in so many seconds.
std::string Describe(const Load::Second& second, double seconds) {
  static const char* const names[kRequestKinds] = {"home", "user", "compose"};
  std::string text;
  for (std::size_t kind = 0; kind < kRequestKinds; ++kind) {
    const seer::LatencyHistogram& latency = second.latency[kind];
    char part[96];
    std::snprintf(part, sizeof part, "%s %.0f/s p50 %.1f p99 %.1f ms   ", names[kind],
                  static_cast<double>(latency.count()) / seconds,
                  static_cast<double>(latency.Quantile(0.5)) / 1e6,
                  static_cast<double>(latency.Quantile(0.99)) / 1e6);
    text += part;
  }
  if (second.errors > 0) text += std::to_string(second.errors) + " failed";
  return text.substr(0, text.find_last_not_of(' ') + 1);
}

std::string Describe(const News& news) {
  if (news.kind == News::Kind::kViolation) return "violation  of " + news.request_class;
  char share[32];
  std::snprintf(share, sizeof share, " (%.0f %%)", news.share * 100);
  return "ALARM      " + news.request_class + ", initiator " + news.blamed + share;
}

// The load, seconds on the terminal, alarms and violations.
void LoadAndWatch(const Options& options, const Deployment& deployment, Processes* processes) {
  seer::SetThriftCaller("clients");
  Load::Plan plan;
  plan.requests_per_s = options.rate;
  plan.shape = options.shape;
  plan.seed = options.seed;
  for (std::size_t i = 0; i < kRequestKinds; ++i) plan.target_ns[i] = Targets()[i].latency_ns;
  std::vector<Person> people = Populate(deployment, kPeople, options.seed);
  std::printf("%zu users; %.0f requests/s, latencies from the moment when each was due\n\n",
              people.size(), options.rate);

  Watch watch(deployment);
  Load load(deployment, std::move(people), plan);
  const std::int64_t start = NowNs();
  std::int64_t next_second = start + 1000 * kMs;
  int alarms = 0, violations = 0;
  Load::Second all;
  for (std::int64_t now = start;
       now - start < static_cast<std::int64_t>(options.seconds * 1e9) && !Interrupted();) {
    // 20 ms after the end of each tick.
    const std::int64_t wake = plan.period.EndNs(plan.period.TickAt(now - 20 * kMs)) + 20 * kMs;
    std::this_thread::sleep_for(
        std::chrono::nanoseconds(std::max<std::int64_t>(0, wake - NowNs())));
    now = NowNs();
    for (const News& news : watch.Tick(load)) {
      Say(news.at_ns - start, Describe(news));
      ++(news.kind == News::Kind::kAlarm ? alarms : violations);
    }
    if (now < next_second) continue;
    next_second += 1000 * kMs;
    const Load::Second second = load.TakeSecond();
    Say(now - start, Describe(second, 1));
    for (std::size_t i = 0; i < kRequestKinds; ++i) all.latency[i].Merge(second.latency[i]);
    all.errors += second.errors;
    ThrowIfEnded(deployment, processes);
  }
  const double seconds = static_cast<double>(next_second - start) / 1e9 - 1;
  std::printf("\nin all: %s\n", Describe(all, std::max(seconds, 1.0)).c_str());
  std::printf("%d alarms, %d violations; queues seen of:", alarms, violations);
  for (const std::string& service : watch.Services()) std::printf(" %s", service.c_str());
  std::printf("\n");
}

int Run(const Options& options) {
  ScratchDirectory scratch;
  const Deployment deployment(scratch.path());
  Processes processes;  // they end before the directory does
  try {
    PublishQueues(deployment.QueueDirectory(), "clients-0");
    std::printf("starting %zu stores and %zu services\n", Stores().size(), Roles().size());
    std::fflush(stdout);
    StartStores(deployment, &processes);
    MakeTables(deployment);
    StartServices(deployment, &processes);
    if (options.serve && !Interrupted()) {
      std::printf("serving in %s\n", scratch.path().c_str());
      std::fflush(stdout);
      while (!Interrupted()) {
        ThrowIfEnded(deployment, &processes);
        std::this_thread::sleep_for(std::chrono::milliseconds(50));
      }
    } else if (!Interrupted()) {
      LoadAndWatch(options, deployment, &processes);
    }
  } catch (const std::exception& e) {
    if (!Interrupted()) {
      std::fprintf(stderr, "social-network: %s\n", e.what());
      return 1;
    }
  }
  return 0;
}

}  // namespace
}  // namespace social

int main(int argc, char** argv) {
  social::Options options;
  std::string why;
  if (!social::Parse(argc, argv, &options, &why)) {
    std::fprintf(stderr, "social-network: %s\n", why.c_str());
    return 2;
  }
  if (options.help) {
    std::fputs(social::kUsage, stdout);
    return 0;
  }
  try {
    apache::thrift::GlobalOutput.setOutputFunction([](const char*) {});
    if (!options.role.empty()) return social::RunRole(options);
    social::CatchInterrupts();
    return social::Run(options);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "social-network: %s\n", e.what());
    return 1;
  }
}
