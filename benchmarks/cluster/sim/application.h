// Flow: graph JSON -> [Application] -> Model -> Simulator
//
// An application of microservices as plain values: its services, and for each request class the
// tree of calls that one request makes. The five applications of ../graphs are such files.
//
//   auto social = seer::cluster::LoadApplication("benchmarks/cluster/graphs/social_network.json");
//   seer::cluster::Application big = seer::cluster::RandomApplication(10'000, /*seed=*/3);
//   seer::cluster::Application old = seer::cluster::Monolith(*social);
//
// A file: {"app": name, "net": {"one_way_us", "per_msg_cpu_us"}, "services": [{"name", "kind",
// "instances", "threads", "cores", "mean_service_us", "cv", "server", ...}], "request_types":
// [{"name", "weight", "qos_p99_ms", "calls": node}]}, node = {"s": service, "op", "us": its own
// time here instead of the service's mean, "p": probability, "n": parallel copies, "async": not
// waited for, "then": [step]}, step = node or {"par": [node]}. Fields that are not known are
// ignored.
//
// Errors: InvalidArgument with the path of the field, as "services[3].cv: ...".
//
// Threads: plain values.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "seer/core/hw_reading.h"

namespace seer::cluster {

// Where a request waits that finds no thread or no core, and what it holds meanwhile.
enum class ServerModel : std::uint8_t {
  kThreadPerConnection,  // TThreadedServer: without a thread the connection waits in `accept`
  kWorkers,              // a pool of workers: requests wait in `queued`
  kEventLoop,            // nginx, node, redis, memcached: unread connections wait in `socket`
  kGoroutines,           // one each, all of them runnable: counted as `running`
};
inline constexpr ServerModel kAllServerModels[] = {ServerModel::kThreadPerConnection,
                                                   ServerModel::kWorkers, ServerModel::kEventLoop,
                                                   ServerModel::kGoroutines};
std::string_view ServerModelName(ServerModel model);

enum class Kind : std::uint8_t { kFrontend, kLogic, kCache, kDatabase, kQueue };
std::string_view KindName(Kind kind);

struct ServiceSpec {
  std::string name;
  Kind kind = Kind::kLogic;
  ServerModel model = ServerModel::kWorkers;
  std::uint32_t instances = 1;
  std::uint32_t threads = 128;  // requests held by an instance, those blocked on children included
  std::uint32_t cores = 2;      // of an instance
  double mean_service_us = 100;
  double cv = 1;
  // Where given, own times are drawn from these instead, each as likely: measured ones. A call's
  // own `us` stays what it is.
  std::vector<double> times_us;
  // Requests that may wait for a thread of an instance; 0 = no limit. Those beyond are refused.
  std::uint32_t queue_limit = 0;
  // Connections of an instance to each service it calls; 0 = no limit. One that waits longer than
  // the time-out for a connection fails.
  std::uint32_t pool = 0;
  double pool_timeout_ms = 1000;
  double request_bytes = 500;
  double response_bytes = 2000;
  // After its CPU time a request reads the server's disk with this probability.
  double disk_p = 0;
  double disk_us = 0;
  // How much slower for each unit of pressure on a resource of the server (Simulator).
  std::array<double, kResources> sensitivity = {};
};

struct CallSpec {
  std::uint32_t service = 0;  // index in Application::services
  std::string op;
  double us = -1;  // own mean time; below 0: the service's
  double p = 1;
  std::uint32_t n = 1;
  bool async = false;
  std::vector<std::vector<CallSpec>> then;  // steps, one after the other; calls of a step together
};

struct RequestSpec {
  std::string name;
  double weight = 1;
  double qos_p99_ms = 50;
  CallSpec calls;
};

struct Application {
  std::string name;
  double one_way_us = 25;     // wire and switch, without queues
  double per_msg_cpu_us = 5;  // network stack, each message
  std::vector<ServiceSpec> services;
  std::vector<RequestSpec> requests;
};

inline constexpr std::size_t kMaxServices = 20'000;
inline constexpr std::size_t kMaxInstances = 1'000;  // of a service
inline constexpr std::size_t kMaxCalls = 200'000;    // nodes of all trees of an application
inline constexpr std::size_t kMaxCallDepth = 64;

[[nodiscard]] absl::Status Validate(const Application& application);
absl::StatusOr<Application> ApplicationFromJson(std::string_view json);
absl::StatusOr<Application> LoadApplication(const std::string& path);
// Canonical: each field in one order, numbers as short as can be. Reads as the same application.
std::string ApplicationToJson(const Application& application);
// Kind, server software and resources as they usually go together; what ApplicationFromJson() fills
// in where a file says nothing. All assumed.
void FillDefaults(std::string_view server, ServiceSpec* service);

// A random layered graph: front end, logic, caches, databases; 1 to 8 request classes.
Application RandomApplication(std::uint32_t services, std::uint64_t seed);
// The paper's Fig. 2: the same work as one process and its databases, and as three tiers.
Application Monolith(const Application& application);
Application ThreeTier(const Application& application);

// Of one visit, without the calls below it.
double MeanOwnUs(const Application& application, const CallSpec& call);
// Mean calls of a request (all classes by weight), and mean CPU seconds of a request at a service.
double MeanVisits(const Application& application);
std::vector<double> MeanDemandUs(const Application& application);

}  // namespace seer::cluster
