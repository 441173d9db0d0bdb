// Flow: Application, ClusterSpec -> [Model] -> Simulator
//
// What does not change while a simulation runs, as tables with indices: services and their
// instances on servers, the edges and connection pools between them, and all call trees unrolled to
// nodes. Shared by a simulator and its clones.
//
//   auto model = seer::cluster::BuildModel({*social, *hotel}, DefaultCluster(),
//                                          {Placement::kRandom, /*seed=*/7});
//   const seer::Topology& topology = (*model)->topology;   // services
//   "social_network/nginx-thrift"
//
// Threads: read-only once built. Cost: 100 bytes per node of a call tree.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "benchmarks/cluster/sim/application.h"
#include "seer/core/topology.h"

namespace seer::cluster {

inline constexpr std::uint32_t kNone = 0xffffffffu;

struct ServerSpec {
  std::uint32_t cores = 40;
  double speed = 1;  // of its cores
  double nic_gbps = 10;
  double memory_gb = 128;
};

struct ClusterSpec {
  std::vector<ServerSpec> servers;
  double switch_gbps = 40;  // of the top-of-rack switch as a whole
};
ClusterSpec DefaultCluster();  // the paper's 20 servers
ClusterSpec UniformCluster(std::uint32_t servers);
// Three generations of servers: 40 cores; 32 slower ones; 48 faster ones.
ClusterSpec HeterogeneousCluster(std::uint32_t servers, std::uint64_t seed);

enum class Placement : std::uint8_t {
  kRandom,         // each instance anywhere
  kSpread,         // on the server with the fewest cores promised
  kPack,           // first fit: servers are filled one after the other
  kByApplication,  // each application has servers of its own
};
inline constexpr Placement kAllPlacements[] = {Placement::kRandom, Placement::kSpread,
                                               Placement::kPack, Placement::kByApplication};

struct ModelOptions {
  Placement placement = Placement::kRandom;
  std::uint64_t seed = 1;
  // Messages take no time and are never lost, servers never contend: for theory.
  bool ideal = false;
};

// Adds replicas, to the services with the largest demand for each core, until there are so many
// instances: 386 are the containers of the paper's 100 servers.
void AddReplicas(std::uint32_t instances, std::vector<Application>* applications);

struct Model {
  struct ServiceInfo {
    std::uint32_t application = 0;
    std::uint32_t first_instance = 0;
    std::uint32_t instances = 1;
    std::uint32_t first_time = 0, times = 0;  // rows of times_ns
    ServiceSpec spec;
  };
  struct InstanceInfo {
    std::uint32_t service = 0;
    std::uint32_t server = 0;
    // What the simulator looks at every 20 ms, of all instances: in one place. Parts of the
    // server's cpu, cache and memory bandwidth that a busy core takes.
    double cpu_part = 0, cache_part = 0, bandwidth_part = 0;
    double slowness = 1;  // one over the speed of the server
    std::array<double, kResources> sensitivity = {};
  };
  // The rows of Topology::edges(), with the pools of the caller's instances.
  struct EdgeInfo {
    std::uint32_t caller = kNone;  // none: outside
    std::uint32_t callee = 0;
    std::uint32_t first_pool = 0;  // one per instance of the caller
    std::uint32_t pool_limit = 0;  // 0 = no limit
    std::int64_t pool_timeout_ns = 0;
    bool async = false;
  };
  // A call in a tree. Its own time: base + exponential of mean tail (tail2 with probability 1 -
  // p1).
  struct alignas(64) Node {  // a cache line
    std::uint64_t key = 0;   // stable under changes elsewhere in the tree
    float p = 1;
    float base_ns = 0, tail_ns = 0, tail2_ns = 0, p1 = 1;
    float request_bytes = 0, response_bytes = 0;
    std::uint32_t service = 0, edge = 0;
    std::uint32_t first_step = 0, steps = 0;
    std::uint32_t cache = kNone;   // the cache asked just before: its cold part raises p
    std::uint32_t first_time = 0;  // where measured: from here on in times_ns, as many as of the
                                   // service
    std::uint16_t copies = 1;
    bool async = false;
    bool measured = false;
  };
  static_assert(sizeof(Node) == 64);
  struct Step {
    std::uint32_t first_node = 0, nodes = 0;
  };
  struct ClassInfo {
    std::uint32_t application = 0;
    std::uint32_t root = 0;  // node
    double upto = 1;         // cumulative share within the application
    std::int64_t target_ns = 0;
  };
  struct ApplicationInfo {
    std::uint32_t first_class = 0, classes = 0;
    std::uint32_t first_service = 0, services = 0;
    std::int64_t message_ns = 0;  // one way, without queues
  };

  std::vector<Application> source;
  std::vector<Application> latest;  // with all updates made so far (scenario.h)
  ClusterSpec cluster;
  bool ideal = false;
  Topology topology;  // ids equal the indices below
  std::vector<ApplicationInfo> applications;
  std::vector<ServiceInfo> services;
  std::vector<InstanceInfo> instances;
  std::vector<EdgeInfo> edges;
  std::uint32_t pools = 0;
  std::vector<Node> nodes;
  std::vector<Step> steps;
  std::vector<double> times_ns;  // measured ones, of services that have them
  std::vector<ClassInfo> classes;

  std::uint32_t FindService(std::string_view name) const;  // "application/service"; or kNone
};

absl::StatusOr<std::shared_ptr<Model>> BuildModel(const std::vector<Application>& applications,
                                                  const ClusterSpec& cluster,
                                                  const ModelOptions& options);

// Adds a service that no tree calls yet, on servers drawn by the seed; before a simulator is made
// of the model. Returns its index; as CallSpec::service it counts from the application's first one.
absl::StatusOr<std::uint32_t> AddService(Model* model, std::uint32_t application,
                                         const ServiceSpec& spec, std::uint64_t seed);

// Adds a call tree below an existing service, for faults and updates: calls are those of the
// application with its indices. Returns its root.
absl::StatusOr<std::uint32_t> AddTree(Model* model, std::uint32_t application, std::uint32_t caller,
                                      const CallSpec& call);

}  // namespace seer::cluster
