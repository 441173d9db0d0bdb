#include "control_plane.h"

#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <deque>
#include <fstream>
#include <iterator>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <sstream>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "checked.h"
#include "interrupted.h"
#include "learning.h"
#include "messages.h"
#include "news.h"
#include "seer/advise/control_loop.h"
#include "seer/core/wire.h"
#include "seer/hwmon/remote_monitor.h"
#include "seer/predict/predictor.h"
#include "seer/window/cluster_tick.h"
#include "serving_model.h"
#include "targets.h"
#include "unix_time.h"

namespace social {
namespace {

constexpr std::int64_t kAfterTickNs = 30 * kMs;   // by then all have told
constexpr std::int64_t kAgainNs = 2'000 * kMs;    // an alarm that lasts counts anew
constexpr std::int64_t kUndecidedNs = 500 * kMs;  // before that, a case is still being read
constexpr std::size_t kSaveEvery = 5;             // ticks
constexpr std::uint32_t kLeastSamples = 3;        // of what is usual
constexpr int kAnswerMs = 20;                     // patience with an agent
// Of several services that are abnormal at once the likeliest often has a fifth: its cause is found
// out all the same, and what is done on that is taken back in a second where it does not help.
constexpr float kLeastCulprit = 0.2f;
// An application is blamed with 0.64 of that: nobody here looks into caches and memory bandwidth.
constexpr float kLeastConfidence = 0.6f * kLeastCulprit;

// What is done here about which cause. Faults of this example last some seconds: so does what is
// done about them.
constexpr char kRules[] =
    "cpu          cpu-limit      factor=16 settle=1s hold=8s cooldown=1s min-confidence=0.2\n"
    "network      network-share  factor=32 settle=1s hold=8s cooldown=1s min-confidence=0.2\n"
    "application  pool-size      factor=8 settle=1s hold=8s cooldown=1s min-confidence=0.2\n"
    "application  report         min-confidence=0.2\n"
    "load         pool-size      factor=2 settle=1s hold=8s cooldown=1s min-confidence=0.2\n"
    "storage      report         min-confidence=0.2\n";

std::string Text(double number) {
  char text[32];
  std::snprintf(text, sizeof text, "%.6g", number);
  return text;
}

// What makes a request wait for less than a fiftieth of its target does not make it late: where the
// processor is shared, a millisecond more or less is nobody's fault.
double LeastRiseUs() {
  std::int64_t least_ns = Targets()[0].latency_ns;
  for (const seer::QosTarget& target : Targets()) least_ns = std::min(least_ns, target.latency_ns);
  return 0.02 * static_cast<double>(least_ns) / 1e3;
}

class ControlPlane {
 public:
  ControlPlane(const Deployment& deployment, const ControlPlaneOptions& options)
      : deployment_(deployment),
        options_(options),
        server_(deployment.ControlSocket()),
        news_(deployment.NewsFile()),
        monitor_([this](std::string_view request) { return Ask(request); }),
        model_(deployment, options.model, PredictorOptionsOf(options)),
        predictor_(&model_.predictor()) {
    if (!options.record.empty()) {
      recording_ = std::make_unique<Recording>(options.record, options.act ? "act" : "watch");
    }
    LoadBaselines();
    MakeLoop();
    Tell("began", {predictor_->health().model, options.act ? "acts" : "watches"});
  }

  void Run() {
    const seer::TickPeriod period;
    while (!Interrupted()) {
      const std::int64_t due = period.EndNs(period.TickAt(NowNs() - kAfterTickNs)) + kAfterTickNs;
      for (std::int64_t now; !Interrupted() && (now = NowNs()) < due;) {
        server_.Wait(static_cast<int>((due - now) / kMs) + 1,
                     [this](int client, std::string message) { Take(client, message); });
      }
      while (!waiting_.empty()) {  // came while an agent was asked
        const auto [client, message] = std::move(waiting_.front());
        waiting_.pop_front();
        Take(client, message);
      }
      Tick();
    }
  }

 private:
  static seer::PredictorOptions PredictorOptionsOf(const ControlPlaneOptions& options) {
    seer::PredictorOptions predictor;
    predictor.keep_ticks = 64;
    predictor.rival_options.channels = options.channels;
    predictor.rival_options.edges = options.channels.Has(seer::Channel::kBlocked);
    return predictor;
  }

  // ---- What comes.

  void Take(int client, const std::string& message) {
    if (message == "agent") {
      agent_ = client;
    } else if (message.rfind("limit ", 0) == 0) {
      std::istringstream words(message.substr(6));
      std::string service, action;
      seer::InPlace in_place;
      if (words >> service >> action >> in_place.value >> in_place.lower >> in_place.upper) {
        limits_[service + " " + action] = in_place;
      }
    } else if (message.rfind("spent ", 0) == 0) {
      Tell("spent", {message.substr(6), std::to_string(SpentUs())});
    } else if (message.rfind("trace ", 0) == 0) {
      Tell("trace", {message.substr(6)});
    } else if (const auto header = seer::PeekWire(message); header.ok()) {
      if (header->kind == seer::WireKind::kActionTaken) {
        if (const auto taken = seer::Decode<seer::ActionTaken>(message); taken.ok()) {
          Tell("outcome", {std::to_string(taken->recommendation_id), taken->target.service,
                           std::string(seer::ActionOutcomeName(taken->outcome)),
                           Text(taken->value_before), Text(taken->value_after), taken->detail});
          loop_->Report(*taken);
          model_.NoteAction(*taken);
        }
      } else {
        predictor_->ObserveWire(message).IgnoreError();  // health() counts what is none
      }
    }
  }

  // An agent's monitor: what else comes meanwhile has to wait.
  absl::StatusOr<std::string> Ask(std::string_view request) {
    if (!server_.Send(agent_, request)) return absl::UnavailableError("there is no agent");
    std::optional<std::string> answer;
    const std::int64_t until = NowNs() + kAnswerMs * kMs;
    for (std::int64_t now; !answer && (now = NowNs()) < until;) {
      server_.Wait(static_cast<int>((until - now) / kMs) + 1, [&](int client, std::string message) {
        if (client == agent_ && message.rfind("SeHa", 0) == 0) {
          answer = std::move(message);
        } else if (message.rfind("limit ", 0) == 0) {
          Take(client, message);  // what is in place where it was asked for
        } else {
          waiting_.emplace_back(client, std::move(message));
        }
      });
    }
    if (!answer) return absl::UnavailableError("the agent does not answer");
    return *std::move(answer);
  }

  // ---- What is decided.

  void MakeLoop() {
    seer::RuleAdvisorOptions rules;
    rules.rules = Value(seer::ParseRules(kRules));
    rules.in_place = [this](const seer::ActionTarget& target,
                            seer::Action action) -> std::optional<seer::InPlace> {
      const auto known = limits_.find(target.service + " " + std::string(seer::ActionName(action)));
      if (known == limits_.end() || known->second.value <= 0) return std::nullopt;
      return known->second;
    };
    advisor_ = Value(seer::RuleAdvisor::Create(rules));

    seer::ControlLoopOptions loop;
    loop.shadow = !options_.act;
    loop.monitor = [this](const seer::Topology&, seer::InstanceId) { return &monitor_; };
    loop.act = [this](const seer::Recommendation& wanted) -> absl::Status {
      if (wanted.id <= told_action_) {
        // For longer than was wanted at first: not where the limit has gone meanwhile.
        const auto known = limits_.find(wanted.target.service + " " +
                                        std::string(seer::ActionName(wanted.action)));
        if (known != limits_.end() && known->second.value <= 0) {
          return absl::FailedPreconditionError("there is no limit any more");
        }
      } else {
        told_action_ = wanted.id;
        TellAction("action", wanted);
      }
      if (wanted.action == seer::Action::kReport) return absl::OkStatus();
      return server_.Send(agent_, seer::Encode(wanted))
                 ? absl::OkStatus()
                 : absl::UnavailableError("there is no agent");
    };
    loop.undo = [this](std::uint64_t id) {
      return server_.Send(agent_, "undo " + std::to_string(id))
                 ? absl::OkStatus()
                 : absl::UnavailableError("there is no agent");
    };
    audit_.open(deployment_.directory() + "/audit", std::ios::app);
    loop.audit = [this](std::string_view line) {
      audit_ << line << '\n' << std::flush;
      for (const char* event : {"helped", "did-not-help"}) {
        if (line.find("\"event\":\"" + std::string(event) + "\"") != line.npos) {
          Tell("judged", {event});
        }
      }
    };
    loop.read_ns = 200 * kMs;
    loop.sample_ns = 2'000 * kMs;  // a run is short
    loop.handled = [this](const seer::Topology& topology, seer::InstanceId instance) {
      return Arrived(topology.instance(instance).service);
    };
    loop.diagnose.rules.min_requests = 3;
    loop.diagnose.rules.min_samples = kLeastSamples;
    loop.diagnose.rules.min_rise_us = LeastRiseUs();
    loop.diagnose.min_culprit = kLeastCulprit;
    loop.diagnose.min_confidence = kLeastConfidence;
    loop_ = Value(seer::ControlLoop::Create(predictor_, advisor_.get(), loop));
  }

  void TellAction(const char* kind, const seer::Recommendation& wanted) {
    Tell(kind, {std::to_string(wanted.id), wanted.target.service,
                std::string(seer::ActionName(wanted.action)), Text(wanted.from), Text(wanted.to),
                std::string(seer::CauseName(wanted.cause))});
  }

  void Tick() {
    const seer::Forecast forecast = predictor_->Predict();
    const std::shared_ptr<const seer::Topology> topology = predictor_->topology();
    if (topology == nullptr || forecast.tick == last_) return;
    ticks_since_.clear();
    predictor_->TicksSince(last_, &ticks_since_);
    last_ = forecast.tick;
    end_ns_ = forecast.period.EndNs(forecast.tick);
    for (const seer::ClusterTick& tick : ticks_since_) {
      CountArrivals(tick, *topology);
      if (recording_ != nullptr) recording_->Add(tick, *topology);
    }
    model_.Learn(ticks_since_, *topology, forecast);
    RestoreBaselines(*topology);
    TellAlarms(forecast, *topology);
    loop_->Tick();
    for (const seer::ClassDiagnosis& each : loop_->diagnoses()) TellCause(each, *topology);
    TellQueues(*topology);
    for (std::vector<std::string>& decision : model_.TakeDecisions()) {
      Tell("learnt", std::move(decision));
    }
    if (++ticks_ % kSaveEvery == 0) Save(*topology);
  }

  // Requests that have come to a service, ever: also where it answers none any more.
  void CountArrivals(const seer::ClusterTick& tick, const seer::Topology& topology) {
    came_.assign(topology.services().size(), 0);
    const std::size_t edges = std::min(topology.edges().size(), tick.edges.size());
    for (std::size_t e = 0; e < edges; ++e) {
      const auto made = tick.edges.made(seer::EdgeId(static_cast<std::uint32_t>(e)));
      came_[topology.edges()[e].callee.index()] += made.value_or(0);
    }
    if (arrived_epoch_ != topology.origin().epoch) arrived_.clear();
    arrived_epoch_ = topology.origin().epoch;
    arrived_.resize(topology.services().size());
    for (std::size_t s = 0; s < std::min(came_.size(), tick.services.size()); ++s) {
      const seer::ServiceId id(static_cast<std::uint32_t>(s));
      for (const seer::Channel channel : {seer::Channel::kQueued, seer::Channel::kRunning}) {
        came_[s] = std::max(came_[s], tick.services.arrivals(id, channel).value_or(0));
      }
      arrived_[s] += came_[s];
    }
  }
  std::optional<std::uint64_t> Arrived(seer::ServiceId service) const {
    if (service.index() >= arrived_.size()) return std::nullopt;
    return arrived_[service.index()];
  }

  // ---- What people are told.

  void Tell(const char* kind, std::vector<std::string> words) {
    news_.Write({kind, end_ns_ > 0 ? end_ns_ : NowNs(), std::move(words)});
  }

  static std::string NameOf(const seer::Topology& topology, seer::ServiceId service) {
    return topology.Has(service) ? topology.service(service).name : "load";
  }

  void TellAlarms(const seer::Forecast& forecast, const seer::Topology& topology) {
    for (const seer::ClassForecast& row : forecast.classes) {
      const std::string& name = topology.request_class(row.request_class).name;
      if (!row.alarm || row.initiators.empty()) {
        alarms_.erase(name);
        continue;
      }
      const auto [known, is_new] = alarms_.emplace(name, end_ns_);
      if (!is_new && end_ns_ - known->second < kAgainNs) continue;
      known->second = end_ns_;
      Tell("alarm",
           {name, NameOf(topology, row.initiators[0].service),
            Text(static_cast<double>(row.initiators[0].probability)), is_new ? "new" : "lasts"});
    }
  }

  void TellCause(const seer::ClassDiagnosis& each, const seer::Topology& topology) {
    const seer::Diagnosis& diagnosis = each.diagnosis;
    // Once for each that is another one; a case is looked at in every tick.
    const std::string& of_class = topology.request_class(each.request_class).name;
    Told& told = told_causes_[of_class];
    const bool undecided = diagnosis.cause == seer::Cause::kUndecided;
    if (!undecided || end_ns_ - told.undecided_ns > 3 * 100 * kMs)
      told.undecided_since_ns = end_ns_;
    if (undecided) {
      told.undecided_ns = end_ns_;
      if (end_ns_ - told.undecided_since_ns < kUndecidedNs) return;
    }
    Told now = told;
    now.at_ns = end_ns_;
    now.culprit = diagnosis.culprit;
    now.cause = diagnosis.cause;
    if (told.culprit == now.culprit && told.cause == now.cause && end_ns_ - told.at_ns < kAgainNs) {
      return;
    }
    told = now;
    std::string evidence = undecided ? WhyUndecided(diagnosis, topology) : "";
    for (const seer::DiagnosisEvidence& e : diagnosis.evidence) {
      if (e.value < e.healthy + LeastRiseUs()) continue;
      char text[80];
      std::snprintf(text, sizeof text, " %.0f us for each request, usually %.0f", e.value,
                    e.healthy);
      evidence +=
          (evidence.empty() ? "" : "; ") + std::string(seer::ResourceName(e.resource)) + text;
    }
    Tell("cause",
         {topology.request_class(each.request_class).name, NameOf(topology, diagnosis.culprit),
          std::string(seer::CauseName(diagnosis.cause)),
          Text(static_cast<double>(diagnosis.confidence)), evidence});
  }

  std::string WhyUndecided(const seer::Diagnosis& diagnosis, const seer::Topology& topology) const {
    if (diagnosis.confidence < kLeastCulprit) return "any of several may initiate it";
    if (!diagnosis.evidence.empty()) {
      for (const seer::Resource needed :
           {seer::Resource::kCpu, seer::Resource::kMemoryCapacity, seer::Resource::kStorage}) {
        if (std::none_of(diagnosis.evidence.begin(), diagnosis.evidence.end(),
                         [&](const auto& e) { return e.resource == needed; })) {
          return "its waiting for " + std::string(seer::ResourceName(needed)) + " is not seen here";
        }
      }
      return "what has risen tells too little";
    }
    for (std::size_t i = 0; i < topology.instances().size(); ++i) {
      const seer::InstanceId id(static_cast<std::uint32_t>(i));
      if (!topology.IsLive(id) || topology.instance(id).service != diagnosis.culprit) continue;
      const seer::StallBaseline* const usual = loop_->baseline(id);
      if (usual == nullptr || usual->StallUs(seer::Resource::kCpu).samples < kLeastSamples) {
        return "what is usual there is not known yet";
      }
    }
    return "it could not be read, or too few requests came";
  }

  void TellQueues(const seer::Topology& topology) {
    if (ticks_since_.empty()) return;
    const seer::ClusterTick& tick = ticks_since_.back();
    seer::SelfDepths(tick, topology, &self_);
    std::vector<std::string> words;
    for (std::size_t i = 0; i < topology.services().size(); ++i) {
      const seer::Service& service = topology.services()[i];
      if (service.removed || service.name == "clients") continue;
      const seer::ServiceId id(static_cast<std::uint32_t>(i));
      const auto queued = tick.services.depth(id, seer::Channel::kQueued);
      words.push_back(
          service.name + "=" +
          Text(i < self_.outstanding.size() ? static_cast<double>(self_.outstanding[i]) : 0) + "," +
          Text(queued.value_or(0)) + "," +
          Text(i < self_.self.size() ? static_cast<double>(self_.self[i]) : 0));
    }
    Tell("queues", std::move(words));
    if (topology.version() == told_version_ && topology.origin().epoch == told_epoch_) return;
    told_version_ = topology.version();
    told_epoch_ = topology.origin().epoch;
    std::vector<std::string> calls;
    for (const seer::Edge& edge : topology.edges()) {
      if (edge.removed || !topology.Has(edge.callee)) continue;
      calls.push_back((topology.Has(edge.caller) ? topology.service(edge.caller).name : "clients") +
                      "=" + topology.service(edge.callee).name);
    }
    Tell("calls", std::move(calls));
  }

  static std::int64_t SpentUs() {
    rusage usage = {};
    getrusage(RUSAGE_SELF, &usage);
    return (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1'000'000 + usage.ru_utime.tv_usec +
           usage.ru_stime.tv_usec;
  }

  // ---- What is kept.

  void Save(const seer::Topology& topology) {
    model_.Save();
    if (ticks_ % (10 * kSaveEvery) != 0) return;
    // "<service> <bytes>\n" and the bytes.
    std::string baselines;
    for (std::size_t i = 0; i < topology.instances().size(); ++i) {
      const seer::InstanceId id(static_cast<std::uint32_t>(i));
      const seer::StallBaseline* const baseline = loop_->baseline(id);
      if (baseline == nullptr || !topology.IsLive(id)) continue;
      const std::string bytes = baseline->Encode();
      baselines += topology.service(topology.instance(id).service).name + " " +
                   std::to_string(bytes.size()) + "\n" + bytes;
    }
    StoreFile(deployment_, "baselines", baselines);
  }

  void LoadBaselines() {
    const std::string bytes = LoadFile(deployment_, "baselines");
    for (std::size_t at = 0; at < bytes.size();) {
      const std::size_t end = bytes.find('\n', at);
      if (end == std::string::npos) return;
      std::istringstream line(bytes.substr(at, end - at));
      std::string service;
      std::size_t size = 0;
      if (!(line >> service >> size) || size > bytes.size() - end - 1) return;
      auto baseline = seer::StallBaseline::Decode(bytes.substr(end + 1, size));
      if (baseline.ok()) baselines_.emplace(service, *std::move(baseline));
      at = end + 1 + size;
    }
  }
  // As soon as it is known which numbers the services have.
  void RestoreBaselines(const seer::Topology& topology) {
    if (baselines_.empty()) return;
    for (std::size_t i = 0; i < topology.instances().size(); ++i) {
      const seer::InstanceId id(static_cast<std::uint32_t>(i));
      if (!topology.IsLive(id)) continue;
      const auto kept = baselines_.find(topology.service(topology.instance(id).service).name);
      if (kept == baselines_.end()) continue;
      loop_->SetBaseline(id, kept->second);
      baselines_.erase(kept);
    }
  }

  const Deployment& deployment_;
  const ControlPlaneOptions options_;
  MessageServer server_;
  NewsWriter news_;
  seer::RemoteMonitor monitor_;
  ServingModel model_;
  seer::Predictor* const predictor_;      // the model's
  std::unique_ptr<Recording> recording_;  // null: nobody wants one
  std::unique_ptr<seer::RuleAdvisor> advisor_;
  std::unique_ptr<seer::ControlLoop> loop_;
  std::ofstream audit_;
  std::uint64_t told_action_ = 0;  // the newest one

  int agent_ = 0;  // the client that is it
  std::deque<std::pair<int, std::string>> waiting_;
  std::map<std::string, seer::InPlace> limits_;           // "<service> <action>"
  std::map<std::string, seer::StallBaseline> baselines_;  // kept, and not restored yet
  struct Told {
    std::int64_t at_ns = 0;
    seer::ServiceId culprit;
    seer::Cause cause = seer::Cause::kUndecided;
    std::int64_t undecided_since_ns = 0, undecided_ns = 0;  // the case; seen last
  };
  std::map<std::string, Told> told_causes_;     // by class
  std::map<std::string, std::int64_t> alarms_;  // by class: when it was told last
  seer::Tick last_ = 0;
  std::int64_t end_ns_ = 0;
  std::size_t ticks_ = 0;
  std::vector<seer::ClusterTick> ticks_since_;
  std::vector<std::uint32_t> came_;     // in the newest tick, by service
  std::vector<std::uint64_t> arrived_;  // ever, by service
  std::uint64_t arrived_epoch_ = 0;
  seer::SelfDepthTable self_;
  std::uint64_t told_version_ = 0, told_epoch_ = 0;
};

}  // namespace

void RunControlPlane(const Deployment& deployment, const ControlPlaneOptions& options) {
  CatchInterrupts();
  ControlPlane(deployment, options).Run();
}

}  // namespace social
