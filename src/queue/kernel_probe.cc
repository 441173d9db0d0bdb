#include "seer/queue/kernel_probe.h"

#include <unistd.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "queue/kernel_parts.h"
#include "seer/probe/cgroup_stats.h"

SEER_BEGIN_NAMESPACE

using internal::NicPart;
using internal::SocketPart;

namespace {

// A plan is made anew after so many samples, though the topology is the same: cgroups and processes
// are removed and made again under their old names.
constexpr std::uint32_t kPlanSamples = 64;

}  // namespace

class KernelProbe::Impl {
 public:
  explicit Impl(const KernelProbeOptions& options)
      : options_(options), cgroup_root_(options.cgroup_root) {
    if (!cgroup_root_.empty() || !options.by_cgroup) return;
    const absl::StatusOr<CgroupPaths> ours = FindCgroups(getpid());
    if (ours.ok()) cgroup_root_ = ours->unified.mount;
  }

  void Sample(const Topology& topology, Snapshot* snapshot);
  std::vector<absl::Status> errors() const;
  bool nic() const { return options_.nic; }

 private:
  // What a new plan is made of.
  struct Plan {
    std::vector<SocketPart> ports, cgroups, networks;
    std::vector<NicPart> nics;  // of our network, and then as `networks`
  };

  void MakePlan(const Topology& topology);
  // Some instance is in no part of the plan.
  void NotPlanned(absl::Status why) {
    const auto known = std::find(not_planned_.begin(), not_planned_.end(), why);
    if (known == not_planned_.end()) not_planned_.push_back(std::move(why));
  }
  // Each: the instance is looked for in this way, and in no other.
  bool AddPorts(const Topology& topology, InstanceId id, Plan* plan) const;
  bool AddCgroup(const Topology& topology, InstanceId id, Plan* plan);
  bool AddNetwork(const Topology& topology, InstanceId id, Plan* plan);

  const KernelProbeOptions options_;
  std::string cgroup_root_;
  SoftnetProbe softnet_;
  std::optional<Origin> planned_;  // the topology that the parts are for
  std::uint32_t plan_age_ = 0;     // in samples
  std::vector<SocketPart> sockets_;
  std::vector<NicPart> nics_;
  std::vector<absl::Status> not_planned_;
};

bool KernelProbe::Impl::AddPorts(const Topology& topology, InstanceId id, Plan* plan) const {
  const Instance& instance = topology.instance(id);
  const Service& service = topology.service(instance.service);
  bool any = false;
  for (const KernelProbeOptions::Port& port : options_.ports) {
    if (port.instance != instance.name || port.service != service.name) continue;
    if (plan->ports.empty()) {
      plan->ports.emplace_back(SocketPart::Key::kPort, internal::Network(), options_.unsent);
    }
    plan->ports.front().Add(port.port, id);
    any = true;
  }
  return any;
}

bool KernelProbe::Impl::AddCgroup(const Topology& topology, InstanceId id, Plan* plan) {
  const std::string& path = topology.instance(id).cgroup;
  if (!options_.by_cgroup || path.empty()) return false;
  if (cgroup_root_.empty()) {
    NotPlanned(absl::UnimplementedError("cgroups: no v2 hierarchy is mounted"));
    return true;
  }
  const Reading cgroup = CgroupId(absl::StrCat(cgroup_root_, "/", path));
  if (!cgroup.ok()) return true;  // not made yet, or removed
  if (plan->cgroups.empty() || plan->cgroups.back().keys() == SocketProbeOptions::kMaxCgroups) {
    plan->cgroups.emplace_back(SocketPart::Key::kCgroup, internal::Network(), options_.unsent);
  }
  plan->cgroups.back().Add(cgroup.value, id);
  return true;
}

bool KernelProbe::Impl::AddNetwork(const Topology& topology, InstanceId id, Plan* plan) {
  const Instance& instance = topology.instance(id);
  if (!options_.by_namespace || instance.pids.empty()) return false;
  const std::optional<internal::Network> network = internal::Network::Of(instance.pids.front());
  if (!network.has_value()) return false;
  std::size_t at = 0;
  while (at < plan->networks.size() && plan->networks[at].network().id != network->id) ++at;
  if (at == options_.max_namespaces) {
    NotPlanned(absl::ResourceExhaustedError(
        absl::StrCat("max_namespaces: there are more than ", at, "; raise it")));
    return true;
  }
  if (at == plan->networks.size()) {
    plan->networks.emplace_back(SocketPart::Key::kAll, *network, options_.unsent);
    plan->nics.emplace_back(*network);
  }
  plan->networks[at].Add(0, id);
  plan->nics[at + 1].Add(id);
  return true;
}

void KernelProbe::Impl::MakePlan(const Topology& topology) {
  Plan plan;
  not_planned_.clear();
  plan.nics.emplace_back(internal::Network());
  for (std::uint32_t i = 0; i < topology.instances().size(); ++i) {
    const InstanceId id(i);
    if (!topology.IsLive(id)) continue;
    if (!AddPorts(topology, id, &plan) && !AddCgroup(topology, id, &plan) &&
        AddNetwork(topology, id, &plan)) {
      continue;  // its packets are those of its own network
    }
    plan.nics.front().Add(id);
  }

  std::vector<SocketPart> sockets;
  for (auto* const parts : {&plan.ports, &plan.cgroups, &plan.networks}) {
    for (SocketPart& part : *parts) {
      part.Finish(&sockets_);
      sockets.push_back(std::move(part));
    }
  }
  for (NicPart& part : plan.nics) part.Finish(&nics_);
  if (!options_.nic) plan.nics.clear();
  sockets_ = std::move(sockets);
  nics_ = std::move(plan.nics);
  planned_ = topology.origin();
  plan_age_ = 0;
}

void KernelProbe::Impl::Sample(const Topology& topology, Snapshot* snapshot) {
  if (!planned_.has_value() || *planned_ != topology.origin() || ++plan_age_ == kPlanSamples) {
    MakePlan(topology);
  }
  ChannelTable& table = snapshot->instances;
  const auto failed = [&](const internal::Answer& answer, ChannelMask channels) {
    if (answer.tried) ++snapshot->health.probe_errors;
    for (const Channel channel : kAllChannels) {
      if (channels.Has(channel)) table.set_missing(channel, WhyMissing(answer.status));
    }
  };
  constexpr ChannelMask kSockets =
      ChannelMask::Of(Channel::kAccept, Channel::kSocket, Channel::kSend);
  for (const absl::Status& status : not_planned_) failed({false, status}, kSockets);
  for (SocketPart& part : sockets_) {
    const internal::Answer answer = part.Sample();
    if (answer.status.ok()) {
      part.Fill(&table);
    } else {
      failed(answer, kSockets);
    }
  }
  for (NicPart& part : nics_) {
    if (part.empty()) continue;
    const internal::Answer answer = part.Sample(&softnet_);
    if (answer.status.ok()) {
      part.Fill(&table);
    } else {
      failed(answer, ChannelMask::NicOnly());
    }
  }
}

std::vector<absl::Status> KernelProbe::Impl::errors() const {
  std::vector<absl::Status> errors = not_planned_;
  for (const SocketPart& part : sockets_) {
    if (!part.error().ok()) errors.push_back(part.error());
  }
  for (const NicPart& part : nics_) {
    if (!part.error().ok()) errors.push_back(part.error());
  }
  return errors;
}

absl::StatusOr<std::unique_ptr<KernelProbe>> KernelProbe::Create(
    const KernelProbeOptions& options) {
  if (options.ports.size() > SocketProbeOptions::kMaxPorts) {
    return absl::InvalidArgumentError(absl::StrCat("ports: has ", options.ports.size(),
                                                   " entries; give at most ",
                                                   SocketProbeOptions::kMaxPorts));
  }
  std::vector<std::uint16_t> ports;
  for (const KernelProbeOptions::Port& port : options.ports) ports.push_back(port.port);
  std::sort(ports.begin(), ports.end());
  if (!ports.empty() && ports.front() == 0) {
    return absl::InvalidArgumentError("ports: 0 is no port; give 1 to 65535");
  }
  const auto twice = std::adjacent_find(ports.begin(), ports.end());
  if (twice != ports.end()) {
    return absl::InvalidArgumentError(
        absl::StrCat("ports: ", *twice, " is there twice; a port belongs to one instance"));
  }
  return std::unique_ptr<KernelProbe>(new KernelProbe(std::make_unique<Impl>(options)));
}

KernelProbe::KernelProbe(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
KernelProbe::~KernelProbe() = default;

ChannelMask KernelProbe::channels() const {
  ChannelMask channels = ChannelMask::KernelOnly();
  if (!impl_->nic()) channels.Remove(Channel::kNic);
  return channels;
}

absl::Status KernelProbe::Sample(const Topology& topology, Snapshot* snapshot) {
  impl_->Sample(topology, snapshot);
  return absl::OkStatus();
}

std::vector<absl::Status> KernelProbe::errors() const { return impl_->errors(); }

SEER_END_NAMESPACE
