#include "benchmarks/cluster/sim/model.h"

#include <algorithm>
#include <numeric>
#include <unordered_map>

#include "absl/strings/str_cat.h"
#include "benchmarks/cluster/sim/substream.h"

namespace seer::cluster {
namespace {

std::int64_t Ns(double us) { return static_cast<std::int64_t>(us * 1000); }

// A minimum and an exponential tail up to cv 1, a balanced mixture of two exponentials beyond: mean
// and variance are exact, and a draw takes one logarithm.
void SetTime(double mean_us, double cv, Model::Node* node) {
  const double mean = mean_us * 1000;
  if (cv <= 1) {
    node->tail_ns = node->tail2_ns = static_cast<float>(mean * cv);
    node->base_ns = static_cast<float>(mean * (1 - cv));
    return;
  }
  const double c2 = cv * cv;
  const double p1 = 0.5 * (1 + std::sqrt((c2 - 1) / (c2 + 1)));
  node->p1 = static_cast<float>(p1);
  node->tail_ns = static_cast<float>(mean / (2 * p1));
  node->tail2_ns = static_cast<float>(mean / (2 * (1 - p1)));
}

// What a busy core of ours takes of a resource, in parts of what a core's share would be. Assumed.
double CacheUse(Kind kind) {
  return kind == Kind::kCache ? 1.5 : kind == Kind::kDatabase ? 1.2 : 0.8;
}
double BandwidthUse(Kind kind) {
  return kind == Kind::kCache ? 1.2 : kind == Kind::kDatabase ? 1.2 : 0.6;
}

class Unroller {
 public:
  Unroller(Model* model, std::uint32_t application) : model_(model), application_(application) {
    for (std::size_t e = 0; e < model->edges.size(); ++e) {
      edges_.emplace(Pair(model->edges[e].caller, model->edges[e].callee),
                     static_cast<std::uint32_t>(e));
    }
  }

  absl::StatusOr<std::uint32_t> Root(const CallSpec& call, std::uint32_t caller,
                                     std::uint64_t key) {
    const auto root = static_cast<std::uint32_t>(model_->nodes.size());
    model_->nodes.emplace_back();
    const absl::Status status = Fill(root, call, caller, key);
    if (!status.ok()) return status;
    return root;
  }

 private:
  static std::uint64_t Pair(std::uint32_t a, std::uint32_t b) { return std::uint64_t{a} << 32 | b; }

  absl::StatusOr<std::uint32_t> Edge(std::uint32_t caller, std::uint32_t callee, bool async) {
    const auto found = edges_.find(Pair(caller, callee));
    if (found != edges_.end()) {
      Model::EdgeInfo& edge = model_->edges[found->second];
      if (edge.async && !async) {  // waited for somewhere: then it can hold its caller up
        edge.async = false;
        const absl::Status status =
            model_->topology.SetKind(EdgeId(found->second), EdgeKind::kSync);
        if (!status.ok()) return status;
      }
      return found->second;
    }
    const absl::StatusOr<EdgeId> id =
        model_->topology.AddEdge(caller == kNone ? ServiceId() : ServiceId(caller),
                                 ServiceId(callee), async ? EdgeKind::kAsync : EdgeKind::kSync);
    if (!id.ok()) return id.status();
    Model::EdgeInfo edge;
    edge.caller = caller;
    edge.callee = callee;
    edge.async = async;
    edge.first_pool = model_->pools;
    if (caller != kNone) {
      const ServiceSpec& spec = model_->services[caller].spec;
      edge.pool_limit = spec.pool;
      edge.pool_timeout_ns = Ns(spec.pool_timeout_ms * 1000);
      model_->pools += model_->services[caller].instances;
    } else {
      ++model_->pools;
    }
    model_->edges.push_back(edge);
    edges_.emplace(Pair(caller, callee), id->value());
    return id->value();
  }

  absl::Status Fill(std::uint32_t at, const CallSpec& call, std::uint32_t caller,
                    std::uint64_t key) {
    const std::uint32_t service = model_->applications[application_].first_service + call.service;
    const ServiceSpec& spec = model_->services[service].spec;
    const absl::StatusOr<std::uint32_t> edge = Edge(caller, service, call.async);
    if (!edge.ok()) return edge.status();
    const auto first_step = static_cast<std::uint32_t>(model_->steps.size());
    model_->steps.resize(first_step + call.then.size());
    {
      Model::Node& node = model_->nodes[at];
      node.key = key;
      node.service = service;
      node.edge = *edge;
      node.p = static_cast<float>(call.p);
      node.copies = static_cast<std::uint16_t>(call.n);
      node.async = call.async;
      node.request_bytes = static_cast<float>(spec.request_bytes);
      node.response_bytes = static_cast<float>(spec.response_bytes);
      node.first_step = first_step;
      node.steps = static_cast<std::uint32_t>(call.then.size());
      SetTime(call.us < 0 ? spec.mean_service_us : call.us, spec.cv, &node);
      if (call.us < 0) {
        node.first_time = model_->services[service].first_time;
        node.measured = model_->services[service].times > 0;
      }
    }
    std::unordered_map<std::string, std::uint64_t> same;  // how often a callee came up before
    std::uint32_t cache = kNone;
    for (std::size_t s = 0; s < call.then.size(); ++s) {
      const auto& children = call.then[s];
      const auto first = static_cast<std::uint32_t>(model_->nodes.size());
      model_->nodes.resize(first + children.size());
      model_->steps[first_step + s] = {first, static_cast<std::uint32_t>(children.size())};
      for (std::size_t c = 0; c < children.size(); ++c) {
        const std::uint32_t callee =
            model_->applications[application_].first_service + children[c].service;
        const std::string& name = model_->services[callee].spec.name;
        const std::uint64_t child_key = Sub(Sub(key, KeyOf(name)), same[name]++);
        const auto node = static_cast<std::uint32_t>(first + c);
        const absl::Status status = Fill(node, children[c], service, child_key);
        if (!status.ok()) return status;
        const Kind kind = model_->services[callee].spec.kind;
        if (kind == Kind::kDatabase && cache != kNone && children[c].p < 1) {
          model_->nodes[node].cache = cache;
        }
        if (kind == Kind::kCache) cache = callee;
      }
    }
    return absl::OkStatus();
  }

  Model* model_;
  std::uint32_t application_;
  std::unordered_map<std::uint64_t, std::uint32_t> edges_;
};

// The server of each instance.
std::vector<std::uint32_t> Place(const Model& model, const ModelOptions& options) {
  const std::size_t servers = model.cluster.servers.size();
  std::vector<double> promised(servers, 0);
  std::vector<std::uint32_t> where;
  std::uint64_t draw = 0;
  std::size_t next = 0;
  auto random = [&](std::size_t n) {
    return static_cast<std::size_t>(Mix(options.seed * 31 + kGamma * ++draw) % n);
  };
  for (const Model::InstanceInfo& instance : model.instances) {
    const Model::ServiceInfo& service = model.services[instance.service];
    std::size_t first = 0;
    std::size_t count = servers;
    if (options.placement == Placement::kByApplication && servers >= model.applications.size()) {
      const std::size_t apps = model.applications.size();
      first = servers * service.application / apps;
      count = servers * (service.application + 1) / apps - first;
    }
    std::size_t server = first + random(count);
    if (options.placement == Placement::kSpread) {
      for (std::size_t i = 0; i < servers; ++i) {  // from a random one on, so that ties are drawn
        const std::size_t other = (server + i) % servers;
        if (promised[other] / model.cluster.servers[other].cores <
            promised[server] / model.cluster.servers[server].cores) {
          server = other;
        }
      }
    } else if (options.placement == Placement::kPack) {
      // Twice as many cores as there are may be promised: containers rarely need all of theirs.
      for (std::size_t i = 0; i < servers && promised[next] + service.spec.cores >
                                                 2.0 * model.cluster.servers[next].cores;
           ++i) {
        next = (next + 1) % servers;
      }
      server = next;
    }
    promised[server] += service.spec.cores;
    where.push_back(static_cast<std::uint32_t>(server));
  }
  return where;
}

absl::Status AddServiceRow(std::uint32_t application, const ServiceSpec& spec, Model* model) {
  const std::string& app = model->source[application].name;
  const auto id = model->topology.AddService(absl::StrCat(app, "/", spec.name), app);
  if (!id.ok()) return id.status();
  Model::ServiceInfo service;
  service.application = application;
  service.first_instance = static_cast<std::uint32_t>(model->instances.size());
  service.instances = spec.instances;
  service.first_time = static_cast<std::uint32_t>(model->times_ns.size());
  service.times = static_cast<std::uint32_t>(spec.times_us.size());
  for (double us : spec.times_us) model->times_ns.push_back(us * 1000);
  service.spec = spec;
  model->services.push_back(service);
  model->instances.resize(model->instances.size() + spec.instances, {id->value(), 0});
  return absl::OkStatus();
}

absl::Status AddInstanceRow(std::uint32_t instance, std::uint32_t server, Model* model) {
  Model::InstanceInfo& info = model->instances[instance];
  info.server = server;
  const Model::ServiceInfo& service = model->services[info.service];
  const ServerSpec& hardware = model->cluster.servers[server];
  info.cpu_part = 1.0 / hardware.cores;
  info.cache_part = info.cpu_part * CacheUse(service.spec.kind);
  info.bandwidth_part = info.cpu_part * BandwidthUse(service.spec.kind);
  info.slowness = 1 / hardware.speed;
  info.sensitivity = service.spec.sensitivity;
  const auto id = model->topology.AddInstance(
      ServiceId(info.service),
      absl::StrCat(service.spec.name, "-", instance - service.first_instance), NodeId(server));
  return id.status();
}

absl::Status AddRows(const ModelOptions& options, Model* model) {
  for (std::size_t v = 0; v < model->cluster.servers.size(); ++v) {
    const auto node = model->topology.AddNode(absl::StrCat("server-", v));
    if (!node.ok()) return node.status();
  }
  for (std::size_t a = 0; a < model->source.size(); ++a) {
    const Application& app = model->source[a];
    Model::ApplicationInfo info;
    info.first_service = static_cast<std::uint32_t>(model->services.size());
    info.services = static_cast<std::uint32_t>(app.services.size());
    info.message_ns = model->ideal ? 0 : Ns(app.one_way_us + app.per_msg_cpu_us);
    model->applications.push_back(info);
    for (const ServiceSpec& spec : app.services) {
      const absl::Status status = AddServiceRow(static_cast<std::uint32_t>(a), spec, model);
      if (!status.ok()) return status;
    }
  }
  const std::vector<std::uint32_t> where = Place(*model, options);
  for (std::uint32_t i = 0; i < model->instances.size(); ++i) {
    const absl::Status status = AddInstanceRow(i, where[i], model);
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status AddClasses(Model* model) {
  for (std::size_t a = 0; a < model->source.size(); ++a) {
    const Application& app = model->source[a];
    double weights = 0;
    for (const RequestSpec& request : app.requests) weights += request.weight;
    model->applications[a].first_class = static_cast<std::uint32_t>(model->classes.size());
    model->applications[a].classes = static_cast<std::uint32_t>(app.requests.size());
    Unroller unroller(model, static_cast<std::uint32_t>(a));
    double upto = 0;
    for (const RequestSpec& request : app.requests) {
      Model::ClassInfo info;
      info.application = static_cast<std::uint32_t>(a);
      info.target_ns = Ns(request.qos_p99_ms * 1000);
      upto += request.weight / weights;
      info.upto = upto;
      const auto root =
          unroller.Root(request.calls, kNone, Sub(KeyOf(app.name), KeyOf(request.name)));
      if (!root.ok()) return root.status();
      info.root = *root;
      QosTarget target = QosTarget::Percentile(0.99, std::chrono::nanoseconds(info.target_ns),
                                               std::chrono::milliseconds(1000));
      target.min_over = 5;  // of a rare class one slow request is no violation
      const auto id = model->topology.AddRequestClass(app.name, request.name, target,
                                                      ServiceId(model->nodes[*root].service));
      if (!id.ok()) return id.status();
      model->classes.push_back(info);
    }
    model->classes.back().upto = 1;
  }
  return absl::OkStatus();
}

}  // namespace

ClusterSpec UniformCluster(std::uint32_t servers) {
  ClusterSpec cluster;
  cluster.servers.resize(servers);
  return cluster;
}

ClusterSpec DefaultCluster() { return UniformCluster(20); }

ClusterSpec HeterogeneousCluster(std::uint32_t servers, std::uint64_t seed) {
  ClusterSpec cluster = UniformCluster(servers);
  for (std::uint32_t v = 0; v < servers; ++v) {
    const std::uint64_t kind = Sub(seed, v) % 3;
    ServerSpec& server = cluster.servers[v];
    if (kind == 1) server.cores = 32, server.speed = 0.8, server.memory_gb = 64;
    if (kind == 2) server.cores = 48, server.speed = 1.2, server.memory_gb = 256;
  }
  return cluster;
}

void AddReplicas(std::uint32_t instances, std::vector<Application>* applications) {
  struct Candidate {
    ServiceSpec* service;
    double demand;
  };
  std::vector<Candidate> candidates;
  std::uint32_t total = 0;
  for (Application& app : *applications) {
    const std::vector<double> demand = MeanDemandUs(app);
    for (std::size_t s = 0; s < app.services.size(); ++s) {
      candidates.push_back({&app.services[s], demand[s] / app.services[s].cores + 1});
      total += app.services[s].instances;
    }
  }
  for (; total < instances && !candidates.empty(); ++total) {
    auto most = std::max_element(
        candidates.begin(), candidates.end(), [](const Candidate& a, const Candidate& b) {
          return a.demand / a.service->instances < b.demand / b.service->instances;
        });
    if (most->service->instances >= kMaxInstances) return;
    ++most->service->instances;
  }
}

std::uint32_t Model::FindService(std::string_view name) const {
  const std::optional<ServiceId> id = topology.FindService(name);
  return id ? id->value() : kNone;
}

absl::StatusOr<std::shared_ptr<Model>> BuildModel(const std::vector<Application>& applications,
                                                  const ClusterSpec& cluster,
                                                  const ModelOptions& options) {
  if (applications.empty() || applications.size() > 100) {
    return absl::InvalidArgumentError("applications: give 1 to 100");
  }
  if (cluster.servers.empty() || cluster.servers.size() > 10'000) {
    return absl::InvalidArgumentError("cluster.servers: give 1 to 10000");
  }
  for (const ServerSpec& server : cluster.servers) {
    if (server.cores < 1 || !(server.speed > 0) || !(server.nic_gbps > 0) ||
        !(cluster.switch_gbps > 0)) {
      return absl::InvalidArgumentError(
          "cluster.servers: cores, speed, nic_gbps and switch_gbps must be above 0");
    }
  }
  for (const Application& app : applications) {
    const absl::Status status = Validate(app);
    if (!status.ok()) return status;
  }
  auto model = std::make_shared<Model>();
  model->source = model->latest = applications;
  model->cluster = cluster;
  model->ideal = options.ideal;
  absl::Status status = AddRows(options, model.get());
  if (status.ok()) status = AddClasses(model.get());
  if (!status.ok()) return status;
  return model;
}

absl::StatusOr<std::uint32_t> AddService(Model* model, std::uint32_t application,
                                         const ServiceSpec& spec, std::uint64_t seed) {
  if (application >= model->source.size()) {
    return absl::InvalidArgumentError("application: there is no such: give its index");
  }
  Application alone;  // what Validate() says of a service
  alone.name = "added";
  alone.services = {spec};
  alone.requests.resize(1);
  alone.requests[0].name = "any";
  absl::Status status = Validate(alone);
  if (status.ok()) status = AddServiceRow(application, spec, model);
  const Model::ServiceInfo& service = model->services.back();
  for (std::uint32_t i = 0; status.ok() && i < service.instances; ++i) {
    const std::size_t servers = model->cluster.servers.size();
    status = AddInstanceRow(service.first_instance + i,
                            static_cast<std::uint32_t>(Sub(seed, i) % servers), model);
  }
  if (!status.ok()) return status;
  return static_cast<std::uint32_t>(model->services.size() - 1);
}

absl::StatusOr<std::uint32_t> AddTree(Model* model, std::uint32_t application, std::uint32_t caller,
                                      const CallSpec& call) {
  Unroller unroller(model, application);
  return unroller.Root(call, caller, Sub(KeyOf("added"), model->nodes.size()));
}

}  // namespace seer::cluster
