// The whole way, on one machine: four Thrift services with a load on them and a fault every few
// seconds; what their queues tell, merged to cluster ticks; and a predictor, untrained or with a
// model of `seer train`, that raises an alarm and names the service to blame, before the clients'
// latencies miss their target.
//
//   examples/run foresee [--seconds N] [--seed N] [--rate REQUESTS_PER_SECOND] [--model FILE]
//
// Each alarm, violation and fault is a line; at the end stands what was foreseen, how long before,
// and whether the right service was named. The services are real and this machine may be busy with
// other things: no two runs are the same.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <unistd.h>

#include <thrift/Thrift.h>

#include "application.h"
#include "control_plane.h"
#include "faults.h"
#include "load.h"
#include "node_agent.h"
#include "seer/thrift/node.h"

namespace foresee {
namespace {

constexpr std::int64_t kMs = 1'000'000;
constexpr std::int64_t kWarmUpNs = 10'000 * kMs;
constexpr std::int64_t kFaultEveryNs = 8'000 * kMs;

struct Options {
  int seconds = 60;
  std::uint64_t seed = 1;
  double rate = 200;
  std::string model;
};

std::int64_t NowNs() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

// What is told at the end. Alarms and violations are matched as anywhere in seer: an alarm foresees
// a violation that starts 100 ms to 2 s later, one to one.
class Tally {
 public:
  void Fault(const Fault& fault) {
    ++faults_;
    culprit_ = Tiers()[fault.tier].name;
    culprit_until_ns_ = fault.end_ns + 1000 * kMs;
  }
  void Alarm(std::int64_t now_ns, const std::string& blamed) {
    alarms_.push_back({now_ns, blamed, false});
  }
  // Returns what to say of it.
  std::string Violation(std::int64_t now_ns) {
    ++violations_;
    const std::string culprit = now_ns < culprit_until_ns_ ? culprit_ : "";
    // The newest alarm that fits: an older one may have been about something else.
    for (auto it = alarms_.rbegin(); it != alarms_.rend(); ++it) {
      OneAlarm& alarm = *it;
      const std::int64_t lead = now_ns - alarm.at_ns;
      if (alarm.used || lead < 100 * kMs || lead > 2000 * kMs) continue;
      alarm.used = true;
      leads_ms_.push_back(lead / kMs);
      const bool right = alarm.blamed == culprit;
      named_ += right ? 1 : 0;
      return "foreseen " + std::to_string(lead / kMs) + " ms ahead, " +
             (culprit.empty() ? "without a fault of ours"
              : right         ? "initiator right"
                              : "initiator wrong");
    }
    return "not foreseen";
  }
  void Print() const {
    const auto hits = leads_ms_.size();
    std::printf(
        "\n%d faults, some of them harmless; %d violations: %zu foreseen, initiator right in "
        "%d\n",
        faults_, violations_, hits, named_);
    if (hits > 0) {
      std::vector<std::int64_t> leads = leads_ms_;
      std::sort(leads.begin(), leads.end());
      std::printf("lead: median %lld ms\n", static_cast<long long>(leads[hits / 2]));
    }
    const auto unused = std::count_if(alarms_.begin(), alarms_.end(),
                                      [](const OneAlarm& alarm) { return !alarm.used; });
    std::printf("%zu alarms, %lld of them late, or no violation followed\n", alarms_.size(),
                static_cast<long long>(unused));
  }

 private:
  struct OneAlarm {
    std::int64_t at_ns;
    std::string blamed;
    bool used;
  };
  int faults_ = 0;
  int violations_ = 0;
  int named_ = 0;
  std::string culprit_;  // of the fault under way
  std::int64_t culprit_until_ns_ = 0;
  std::vector<OneAlarm> alarms_;
  std::vector<std::int64_t> leads_ms_;
};

void Say(std::int64_t since_start_ns, const std::string& text) {
  std::printf("%6.1f s  %s\n", static_cast<double>(since_start_ns) / 1e9, text.c_str());
  std::fflush(stdout);
}

int Watch(const Options& options, const std::string& directory) {
  apache::thrift::GlobalOutput.setOutputFunction([](const char*) {});
  if (!options.model.empty()) {  // before anything is started
    if (const auto loaded = seer::Predictor::Load(options.model); !loaded.ok()) {
      std::fprintf(stderr, "foresee: %s\n", std::string(loaded.status().message()).c_str());
      return 1;
    }
  }
  Application application(directory);  // forks: before there are threads
  if (!application.WaitUntilServing()) {
    std::fprintf(stderr, "foresee: the services did not start\n");
    return 1;
  }

  seer::RegistryOptions registry;
  registry.directory = directory;
  registry.instance = "client-0";
  if (!seer::QueueRegistry::SetGlobalOptions(registry).ok()) return 1;
  seer::SetThriftCaller("client");
  NodeAgent agent(directory);
  Load::Plan plan;
  plan.port = application.control().tiers[0].port;
  plan.requests_per_s = options.rate;
  plan.target_ns = agent.target().latency_ns;
  plan.period = agent.period();
  plan.seed = options.seed;
  Load load(plan);

  ControlPlane control_plane(plan.period, options.model);
  FaultScript faults(options.seed, kWarmUpNs, kFaultEveryNs);
  Tally tally;
  std::printf(
      "gateway -> timeline -> posts, users; %.0f requests/s, at most 1 %% over %lld ms in 1 s\n\n",
      options.rate, static_cast<long long>(plan.target_ns / kMs));
  const std::int64_t start = NowNs();
  std::int64_t now = start;
  while (now - start < options.seconds * 1000 * kMs) {
    // 20 ms after the end of each tick.
    const seer::Tick next = plan.period.TickAt(now - 20 * kMs);
    const std::int64_t wake = plan.period.EndNs(next) + 20 * kMs;
    std::this_thread::sleep_for(
        std::chrono::nanoseconds(std::max<std::int64_t>(0, wake - NowNs())));
    now = NowNs();

    if (faults.Step(now - start, application.control())) {
      Say(now - start, "fault      " + faults.current().Describe());
      tally.Fault(faults.current());
    }
    for (const std::string& message : agent.Tick(load)) {
      if (absl::Status status = control_plane.Receive(message); !status.ok()) {
        Say(now - start, std::string(status.message()));
      }
    }
    for (const News& news : control_plane.Poll()) {
      const std::int64_t at = news.end_ns - start;
      if (news.alarm_began) {
        char share[32];
        std::snprintf(share, sizeof share, " (%.0f %%)", news.share * 100);
        Say(at, "ALARM      initiator " + news.blamed + share);
        tally.Alarm(at, news.blamed);
      }
      if (news.violation_began) {
        Say(at, "violation  p99 of the tick " + std::to_string(news.p99_ns / kMs) + " ms; " +
                    tally.Violation(at));
      }
    }
  }
  tally.Print();
  if (load.errors() > 0) {
    std::printf("%llu requests failed\n", static_cast<unsigned long long>(load.errors()));
  }
  return 0;
}

bool Parse(int argc, char** argv, Options* options) {
  for (int i = 1; i + 1 < argc; i += 2) {
    const double value = std::atof(argv[i + 1]);
    if (std::strcmp(argv[i], "--seconds") == 0 && value >= 1 && value <= 86400) {
      options->seconds = static_cast<int>(value);
    } else if (std::strcmp(argv[i], "--seed") == 0 && value >= 0) {
      options->seed = static_cast<std::uint64_t>(value);
    } else if (std::strcmp(argv[i], "--rate") == 0 && value >= 1 && value <= 1000) {
      options->rate = value;
    } else if (std::strcmp(argv[i], "--model") == 0) {
      options->model = argv[i + 1];
    } else {
      return false;
    }
  }
  return argc % 2 == 1;
}

}  // namespace
}  // namespace foresee

int main(int argc, char** argv) {
  foresee::Options options;
  if (!foresee::Parse(argc, argv, &options)) {
    std::fprintf(
        stderr,
        "foresee [--seconds 1..86400] [--seed N] [--rate 1..1000] [--model FILE]\n"
        "Four Thrift services, a fault every few seconds, and alarms before the violations.\n");
    return 2;
  }
  char directory[] = "/tmp/seer-foresee-XXXXXX";
  if (mkdtemp(directory) == nullptr) {
    std::perror("foresee: /tmp");
    return 1;
  }
  const int status = foresee::Watch(options, directory);
  std::error_code ignored;
  std::filesystem::remove_all(directory, ignored);
  return status;
}
