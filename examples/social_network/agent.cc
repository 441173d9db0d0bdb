#include "agent.h"

#include <poll.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <map>
#include <memory>
#include <optional>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cgroups.h"
#include "checked.h"
#include "interrupted.h"
#include "messages.h"
#include "seer/act/callback_actuator.h"
#include "seer/act/cgroup_actuator.h"
#include "seer/act/executor.h"
#include "seer/act/htb_actuator.h"
#include "seer/core/wire.h"
#include "seer/hwmon/hw_exchange.h"
#include "seer/hwmon/software_monitor.h"
#include "seer/queue/collector.h"
#include "seer/queue/kernel_probe.h"
#include "spans.h"
#include "store_probes.h"
#include "switches.h"
#include "unix_time.h"

namespace social {
namespace {

constexpr double kFreeBytes = 125e6;        // per second: nobody is limited
constexpr std::uint32_t kMostWorkers = 64;  // of one pool

std::vector<std::string> Names() {
  std::vector<std::string> names;
  for (const Role& role : Roles()) names.push_back(role.name);
  for (const Store& store : Stores()) names.push_back(store.name);
  return names;
}

const Role* FindRole(const std::string& name) {
  for (const Role& role : Roles()) {
    if (role.name == name) return &role;
  }
  return nullptr;
}

class Agent {
 public:
  Agent(const Deployment& deployment, const std::string& cgroups)
      : deployment_(deployment), board_(deployment), control_(deployment.ControlSocket()) {
    if (!cgroups.empty()) cgroups_ = std::make_unique<Cgroups>(cgroups);
    MakeCollector();
    MakeExecutor();
  }

  void Run() {
    seer::TickPeriod period;
    while (!Interrupted()) {
      const std::int64_t next = period.EndNs(period.TickAt(NowNs()));
      for (std::int64_t now; (now = NowNs()) < next;) {
        Answer(static_cast<int>((next - now) / kMs) + 1);
      }
      if (control_.Connect()) Introduce();
      const seer::Snapshot& snapshot = collector_->Tick();
      const seer::Topology& topology = collector_->topology();
      if (topology.origin() != sent_) {
        sent_ = topology.origin();
        control_.Send(seer::Encode(topology));
      }
      control_.Send(seer::Encode(snapshot));
      if (snapshot.tick % 10 == 0) {
        for (const std::string& name : Names()) SendLimitsOf(name);
      }
      for (const seer::ActionTaken& taken : executor_->Tick()) control_.Send(seer::Encode(taken));
      spans_->Send([&](const std::string& message) { control_.Send(message); });
      if (snapshot.tick % 10 == 0) SendSpent();
    }
  }

 private:
  void MakeCollector() {
    seer::CollectorOptions options;
    options.node = "machine";
    options.reader.directory = deployment_.QueueDirectory();
    collector_ = Value(seer::Collector::Create(options));
    seer::KernelProbeOptions kernel;
    kernel.by_cgroup = false;
    std::vector<std::string> names = Names();
    if (deployment_.Find(kFront) != 0) names.push_back(kFront);
    for (const std::string& name : names) {
      seer::DeclaredInstance instance;
      instance.service = name;
      instance.instance = InstanceOf(name);
      instance.application = kApplication;
      if (const int pid = deployment_.FindPid(name); pid != 0) instance.pids = {pid};
      if (cgroups_) instance.cgroup = cgroups_->PathOf(name);
      Check(collector_->Declare(instance));
      const int port = deployment_.Find(name);
      if (port > 1) {  // 1: it has none
        kernel.ports.push_back({static_cast<std::uint16_t>(port), name, InstanceOf(name)});
      }
    }
    collector_->AddProbe(Value(seer::KernelProbe::Create(kernel)));
    collector_->AddProbe(MakeStoreProbe(deployment_));
    spans_ = WatchSpans(deployment_, collector_.get());
  }

  void MakeExecutor() {
    std::vector<std::unique_ptr<seer::Actuator>> actuators;
    seer::CallbackOptions pool;
    pool.name = "pool";
    pool.actions = {seer::Action::kPoolSize};
    pool.granted = {"*"};
    pool.read = [this](const seer::ActionTarget& target, seer::Action) -> absl::StatusOr<double> {
      const Role* const role = FindRole(target.service);
      if (role == nullptr || role->workers == 0) return absl::NotFoundError("it has no pool");
      return board_.WorkersOf(*role);
    };
    pool.write = [this](const seer::ActionTarget& target, seer::Action, double to) {
      const Role* const role = FindRole(target.service);
      if (role == nullptr || !(to >= 1 && to <= kMostWorkers)) {
        return absl::OutOfRangeError("a pool has 1 to 64 workers");
      }
      board_.Of(role->name)
          .workers.store(static_cast<std::uint32_t>(to), std::memory_order_relaxed);
      return absl::OkStatus();
    };
    actuators.push_back(Value(seer::MakeCallbackActuator(pool)));
    if (cgroups_) {
      seer::CgroupOptions granted;
      granted.granted = {cgroups_->name()};
      if (auto made = seer::MakeCgroupActuator(granted); made.ok()) {
        actuators.push_back(*std::move(made));
      }
    }
    if (access((deployment_.directory() + "/network").c_str(), F_OK) == 0) {
      seer::HtbOptions network;
      int minor = kFirstNetworkClass;
      for (const std::string& name : Names()) {
        network.classes[name] = {"lo", 1, static_cast<std::uint16_t>(minor++)};
      }
      if (auto made = seer::MakeHtbActuator(network); made.ok()) {
        network_ = made->get();
        actuators.push_back(*std::move(made));
      }
    }
    seer::ExecutorOptions options;
    options.dry_run = false;  // what comes here was decided to be done
    options.journal_path = deployment_.directory() + "/actions";
    options.max_step_up = 64;
    executor_ = Value(seer::Executor::Create(options, std::move(actuators)));
  }

  void Introduce() {
    sent_ = seer::Origin();
    limits_.clear();
    control_.Send("agent");
    for (const seer::ActionTaken& taken : executor_->recovered()) {
      control_.Send(seer::Encode(taken));
    }
  }

  // What the control plane asks for or wants, until the time is over or something came.
  void Answer(int timeout_ms) {
    pollfd waiting = {control_.socket(), POLLIN, 0};
    if (::poll(&waiting, control_.connected() ? 1 : 0, timeout_ms) <= 0) return;
    bool any = false;
    while (const auto message = control_.Receive()) {
      any = true;
      if (message->rfind("SeHq", 0) == 0) {
        AnswerReading(*message);
      } else if (message->rfind("undo ", 0) == 0) {
        control_.Send(seer::Encode(executor_->Undo(std::stoull(message->substr(5)))));
      } else if (auto wanted = seer::Decode<seer::Recommendation>(*message); wanted.ok()) {
        Apply(*std::move(wanted));
      }
    }
    if (!any && control_.connected()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }

  void AnswerReading(const std::string& request) {
    if (const auto asked = seer::DecodeHwRequest(request); asked.ok()) {
      SendLimitsOf(asked->target);
    }
    control_.Send(seer::AnswerHwRequest(monitor_, request));
  }

  void Apply(seer::Recommendation wanted) {
    if (wanted.target.cgroup.empty() && cgroups_) {
      wanted.target.cgroup = cgroups_->PathOf(wanted.target.service);
    }
    control_.Send(seer::Encode(executor_->Apply(wanted)));
  }

  void SendLimit(const std::string& service, seer::Action action, double value, double lower,
                 double upper) {
    std::ostringstream text;
    text << "limit " << service << " " << seer::ActionName(action) << " " << value << " " << lower
         << " " << upper;
    std::string& known = limits_[service + " " + std::string(seer::ActionName(action))];
    if (known == text.str()) return;
    if (control_.Send(text.str())) known = text.str();
  }

  void SendLimitsOf(const std::string& name) {
    const double cores = std::max(1u, std::thread::hardware_concurrency());
    if (cgroups_) {
      // No limit: nothing that could be raised.
      SendLimit(name, seer::Action::kCpuLimit, cgroups_->Cores(name).value_or(0), 0.01, cores);
    }
    const Role* const role = FindRole(name);
    if (role != nullptr && role->workers > 0) {
      SendLimit(name, seer::Action::kPoolSize, board_.WorkersOf(*role), 1, kMostWorkers);
    }
  }

  // Of whom the control plane is about to judge: now, and with the share of the network.
  void SendLimitsOf(const seer::HwTarget& target) {
    for (const std::string& name : Names()) {
      const bool is_it = target.kind == seer::HwTarget::Kind::kCgroup
                             ? cgroups_ && target.cgroup == "/" + cgroups_->PathOf(name)
                             : target.pid != 0 && target.pid == deployment_.FindPid(name);
      if (!is_it) continue;
      SendLimitsOf(name);
      if (network_ == nullptr) return;
      seer::Recommendation question;
      question.action = seer::Action::kNetworkShare;
      question.target.service = name;
      question.to = kFreeBytes;
      const auto plan = network_->Plan(question);
      // A share that is not limited is none that could be raised.
      const double share = plan.ok() && plan->from < kFreeBytes / 2 ? plan->from : 0;
      SendLimit(name, question.action, share, 1e4, kFreeBytes);
      return;
    }
  }

  void SendSpent() {
    rusage usage = {};
    getrusage(RUSAGE_SELF, &usage);
    control_.Send("spent " +
                  std::to_string((usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1'000'000 +
                                 usage.ru_utime.tv_usec + usage.ru_stime.tv_usec));
  }

  const Deployment& deployment_;
  const SwitchBoard board_;
  std::unique_ptr<Cgroups> cgroups_;
  MessageClient control_;
  std::unique_ptr<seer::Collector> collector_;
  std::shared_ptr<SlowTraces> spans_;
  seer::Actuator* network_ = nullptr;  // the executor's; null: there is none
  std::unique_ptr<seer::Executor> executor_;
  seer::SoftwareMonitor monitor_;
  seer::Origin sent_;
  std::map<std::string, std::string> limits_;
};

}  // namespace

void RunAgent(const Deployment& deployment, const std::string& cgroups) {
  CatchInterrupts();
  Agent(deployment, cgroups).Run();
}

}  // namespace social
