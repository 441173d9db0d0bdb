#include "arm.h"

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <optional>
#include <stdexcept>
#include <thread>
#include <utility>

#include "checked.h"
#include "interrupted.h"
#include "learning.h"
#include "messages.h"
#include "seer/core/topology.h"
#include "seer/core/wire.h"
#include "seer/window/cluster_tick.h"
#include "seer/window/violations.h"
#include "targets.h"
#include "unix_time.h"

namespace social {
namespace {

constexpr std::size_t kWarmSeconds = 2, kWarmTicks = 10 * kWarmSeconds;
constexpr std::int64_t kKillEveryNs = 8 * kSecond;

// What the clients measure: a node of its own for the control plane, and the truth about
// violations, whether there is a control plane or not.
class ClientNode {
 public:
  explicit ClientNode(const Deployment& deployment) : control_(deployment.ControlSocket()) {
    topology_ = Value(seer::Topology::OfNode("clients", static_cast<std::uint64_t>(NowNs())));
    const seer::ServiceId entry = Value(topology_.AddService(kEntry, kApplication));
    for (std::size_t kind = 0; kind < kRequestKinds; ++kind) {
      Value(topology_.AddRequestClass(kApplication, kRequestNames[kind], Targets()[kind], entry));
    }
  }

  void Tick(Load& load, seer::Tick tick, bool tell, Record* record) {
    snapshot_.origin = topology_.origin();
    snapshot_.tick = tick;
    snapshot_.classes = load.Take(tick);
    if (tell) {
      if (control_.Connect()) control_.Send(seer::Encode(topology_));
      control_.Send(seer::Encode(snapshot_));
    }
    seer::ClusterTick seen;
    seen.tick = tick;
    seen.Reset(topology_.services().size(), 0, kRequestKinds);
    for (std::size_t kind = 0; kind < kRequestKinds; ++kind) {
      const seer::ClassSample& sample = snapshot_.classes[kind];
      seer::ClassTick& row = seen.classes[kind];
      row.seen = true;
      row.count = sample.count;
      row.over_target = sample.over_target;
      row.oldest_open_ns = sample.oldest_open_ns;
      record->answered += sample.count;
      record->over_target += sample.over_target;
    }
    // The first requests make connections, and a control plane that was started again is not there
    // yet.
    if (++ticks_ <= kWarmTicks) return;
    detector_.Observe(seen, topology_);
    Note(detector_.open(), record);
    Note(detector_.TakeFinished(), record);
  }

 private:
  static void Note(const std::vector<seer::Violation>& violations, Record* record) {
    for (const seer::Violation& violation : violations) {
      const std::size_t kind = violation.request_class.index();
      auto known = std::find_if(
          record->missed.rbegin(), record->missed.rend(),
          [&](const Missed& m) { return m.kind == kind && m.start_ns == violation.start_ns; });
      if (known == record->missed.rend()) {
        record->missed.push_back({kind, violation.start_ns, violation.end_ns});
      } else {
        known->end_ns = violation.end_ns;
      }
    }
  }

  MessageClient control_;
  seer::Topology topology_;
  seer::Snapshot snapshot_;
  seer::ViolationDetector detector_;
  std::size_t ticks_ = 0;
};

LatencySecond SecondOf(const Load::Second& second, std::int64_t end_ns) {
  LatencySecond of;
  of.end_ns = end_ns;
  for (std::size_t kind = 0; kind < kRequestKinds; ++kind) {
    of.p50_ms[kind] = static_cast<double>(second.latency[kind].Quantile(0.5)) / 1e6;
    of.p99_ms[kind] = static_cast<double>(second.latency[kind].Quantile(0.99)) / 1e6;
    of.per_s[kind] = static_cast<double>(second.latency[kind].count());
  }
  return of;
}

double SecondsOf(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
  std::string text;
  std::getline(file, text);
  std::size_t at = text.rfind(')');
  for (int i = 0; i < 12 && at != std::string::npos; ++i) at = text.find(' ', at + 1);
  if (at == std::string::npos) return 0;
  char* next = nullptr;
  const double user = std::strtod(text.c_str() + at, &next);
  return (user + std::strtod(next, nullptr)) / static_cast<double>(sysconf(_SC_CLK_TCK));
}

// Kills one of seer's processes now and then, the agent first.
class Chaos {
 public:
  Chaos(SeerProcesses* seer, std::int64_t now) : seer_(seer), next_(now + kKillEveryNs) {}
  void Step(std::int64_t now, Record* record) {
    if (now < next_) return;
    next_ += kKillEveryNs;
    const char* const name = record->killed++ % 2 == 0 ? kAgent : kControlPlane;
    seer_->Kill(name);
    record->notes.emplace_back(now, std::string("killed: ") + name);
  }

 private:
  SeerProcesses* const seer_;
  std::int64_t next_;
};

}  // namespace

void SeerProcesses::StartOne(const std::string& name) {
  Command command;
  command.name = name;
  command.words = {std::filesystem::read_symlink("/proc/self/exe").string(),
                   "--role",
                   name,
                   "--directory",
                   deployment_.directory(),
                   "--channels",
                   std::to_string(options_.channels.bits())};
  const auto add = [&](const char* option, const std::string& value) {
    if (!value.empty()) command.words.insert(command.words.end(), {option, value});
  };
  add("--model", model_.empty() ? "none" : std::filesystem::absolute(model_).string());
  if (!record_.empty()) add("--record", std::filesystem::absolute(record_).string());
  add("--cgroups", cgroups_);
  if (part_ == Part::kAct) command.words.push_back("--act");
  command.log = deployment_.LogOf(name);
  command.end_signal = SIGTERM;  // the agent undoes what is in force, a recording is ended
  spent_.push_back({name, processes_->Start(command), 0});
}

void SeerProcesses::Start(Part part, const std::string& model, const std::string& record) {
  part_ = part;
  model_ = model;
  record_ = record;
  spent_.clear();
  if (part == Part::kNone) return;
  StartOne(kControlPlane);
  StartOne(kAgent);
}

void SeerProcesses::Stop() {
  if (!running()) return;
  processes_->End(kAgent);
  processes_->End(kControlPlane);
  part_ = Part::kNone;
}

bool SeerProcesses::StartAgain(const std::string& ended) {
  if (!running() || (ended != kAgent && ended != kControlPlane)) return false;
  if (spent_.size() > 100) {
    throw std::runtime_error(ended + " ends again and again:\n" + TailOf(deployment_.LogOf(ended)));
  }
  StartOne(ended);
  return true;
}

void SeerProcesses::Kill(const std::string& name) const {
  for (auto it = spent_.rbegin(); it != spent_.rend(); ++it) {
    if (it->name != name) continue;
    kill(it->pid, SIGKILL);
    return;
  }
}

double SeerProcesses::SpentSeconds() {
  double all = 0;
  for (Spent& spent : spent_) {
    spent.seconds = std::max(spent.seconds, SecondsOf(spent.pid));
    all += spent.seconds;
  }
  return all;
}

Record RunPart(const ArmContext& context, const PartPlan& part,
               const std::function<void(const Record&)>& show) {
  const Options& options = context.options;
  const double seconds = part.seconds;
  Record record;
  record.title = NameOf(part.part);
  record.planned_s = seconds;
  (*context.tools.board)
      ->untraced.store(part.part == Part::kNone ? 1 : 0, std::memory_order_relaxed);
  const std::size_t recorded = part.record.empty() ? 0 : RunsIn(part.record);
  context.seer->Start(part.part, part.model, part.record);
  NewsReader reader(context.deployment.NewsFile());
  reader.Read();  // of the part before

  Load::Plan plan;
  plan.requests_per_s = options.rate;
  plan.shape = options.shape;
  plan.seed = part.seed;
  for (std::size_t i = 0; i < kRequestKinds; ++i) plan.target_ns[i] = Targets()[i].latency_ns;
  plan.each = !options.faults;

  ScriptOptions script;
  script.seed = part.seed;
  script.end_ns = static_cast<std::int64_t>((seconds - 2) * 1e9);
  script.every_ns = static_cast<std::int64_t>(part.fault_every_s * 1e9);
  script.first_ns = static_cast<std::int64_t>(std::min(12.0, seconds / 2) * 1e9);
  script.possible = PossibleWith(context.tools);
  script.all_in_turn = part.all_faults_in_turn;

  ClientNode clients(context.deployment);
  Load load(context.deployment, context.people, plan);
  record.start_ns = record.end_ns = NowNs();
  const std::int64_t script_ns = NowNs();
  Faults faults(context.tools, options.faults ? MakeScript(script) : std::vector<Fault>());
  std::optional<Chaos> chaos;
  if (options.chaos && context.seer->running()) chaos.emplace(context.seer, record.start_ns);

  std::int64_t next_second = record.start_ns + kSecond;
  std::int64_t last_forecast = 0;
  Load::Second all;
  double answered = 0;
  while (record.end_ns - record.start_ns < static_cast<std::int64_t>(seconds * 1e9) &&
         !Interrupted()) {
    // 15 ms after the end of each tick.
    const std::int64_t now = NowNs();
    const std::int64_t wake = plan.period.EndNs(plan.period.TickAt(now - 15 * kMs)) + 15 * kMs;
    std::this_thread::sleep_for(std::chrono::nanoseconds(std::max<std::int64_t>(0, wake - now)));
    record.end_ns = NowNs();
    clients.Tick(load, plan.period.TickAt(record.end_ns) - 1, context.seer->running(), &record);
    for (const News& news : reader.Read()) {
      record.Take(news);
      if (news.kind != "queues") continue;
      if (record.killed > 0 && last_forecast > 0) {
        record.longest_pause_ms = std::max(record.longest_pause_ms,
                                           static_cast<double>(news.at_ns - last_forecast) / 1e6);
      }
      last_forecast = news.at_ns;
    }
    for (const Fault& fault : faults.TakeBegun()) {
      // As it was planned: seen, it is up to a tick later, and there may be an alarm already.
      record.faults.push_back({fault, script_ns + fault.start_ns, script_ns + fault.end_ns});
    }
    while (const auto ended = context.processes->Ended()) {
      if (context.seer->StartAgain(*ended)) continue;
      throw std::runtime_error(*ended + " has ended:\n" + TailOf(context.deployment.LogOf(*ended)));
    }
    if (chaos && seconds > 4) chaos->Step(record.end_ns, &record);
    if (record.end_ns < next_second) continue;
    next_second += kSecond;
    const Load::Second second = load.TakeSecond();
    record.seconds.push_back(SecondOf(second, record.end_ns));
    if (record.seconds.size() > kWarmSeconds) {
      for (std::size_t i = 0; i < kRequestKinds; ++i) {
        all.latency[i].Merge(second.latency[i]);
        answered += static_cast<double>(second.latency[i].count());
      }
      all.sum_ns += second.sum_ns;
    }
    record.failed += second.errors;
    const double cores = std::max(1u, std::thread::hardware_concurrency());
    record.seer_cpu_share = context.seer->SpentSeconds() * 1e9 /
                            static_cast<double>(record.end_ns - record.start_ns) / cores;
    show(record);
  }
  for (std::size_t i = 0; i < kRequestKinds; ++i) {
    record.p50_ms[i] = static_cast<double>(all.latency[i].Quantile(0.5)) / 1e6;
    record.p99_ms[i] = static_cast<double>(all.latency[i].Quantile(0.99)) / 1e6;
  }
  record.mean_ms = all.sum_ns / std::max(1.0, answered) / 1e6;
  record.per_s =
      answered / std::max(1.0, static_cast<double>(record.seconds.size()) - kWarmSeconds);
  record.each_us = load.TakeEach();
  context.seer->Stop();
  for (const News& news : reader.Read()) record.Take(news);
  if (!part.record.empty() && part.part != Part::kNone) AddTruth(part.record, recorded, record);
  return record;
}

}  // namespace social
