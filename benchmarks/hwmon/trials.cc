#include "benchmarks/hwmon/trials.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <random>
#include <sstream>

#include "seer/hwmon/attribution.h"
#include "seer/hwmon/probe_monitor.h"
#include "seer/probe/schedstat.h"

namespace seer::bench {
namespace {

constexpr std::int64_t kMs = 1'000'000;
constexpr std::int64_t kTickNs = 100 * kMs;
constexpr int kTicks = 8;

void SleepUntil(std::int64_t steady_ns) {
  timespec t = {steady_ns / 1'000'000'000, steady_ns % 1'000'000'000};
  while (::clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, nullptr) == EINTR) {
  }
}

// Neighbours: processes that do one thing until they are killed.
class Hogs {
 public:
  ~Hogs() { Stop(); }
  template <typename Body>
  void Start(int count, int cpu, const Body& body) {
    for (int i = 0; i < count; ++i) {
      const pid_t pid = ::fork();
      if (pid == 0) {
        ::prctl(PR_SET_PDEATHSIG, SIGKILL);
        ::setpriority(PRIO_PROCESS, 0, 0);
        WriteFile("/sys/fs/cgroup/cpu/seer-trial/hog/cgroup.procs", std::to_string(::getpid()));
        PinTo(cpu);
        body(i);
        std::_Exit(0);
      }
      if (pid > 0) pids_.push_back(pid);
    }
  }
  void Stop() {
    for (const pid_t pid : pids_) ::kill(pid, SIGKILL);
    for (const pid_t pid : pids_) ::waitpid(pid, nullptr, 0);
    pids_.clear();
  }

 private:
  std::vector<pid_t> pids_;
};

void Spin(int) {
  for (volatile std::uint64_t i = 0;; i = i + 1) {
  }
}

void ThrashMemory(int) {
  constexpr std::size_t kBytes = 256u << 20;
  auto* const words = static_cast<std::uint64_t*>(::mmap(
      nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0));
  if (words == MAP_FAILED) return;
  ::madvise(words, kBytes, MADV_HUGEPAGE);
  for (std::uint64_t round = 0;; ++round) {
    for (std::size_t i = 0; i < kBytes / 8; i += 8) words[i] += round;
  }
}

void ReadDisk(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDWR | O_DIRECT | O_CLOEXEC);
  constexpr std::size_t kBlock = 512 << 10;
  void* const block =
      ::mmap(nullptr, kBlock, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  const off_t blocks = ::lseek(fd, 0, SEEK_END) / static_cast<off_t>(kBlock);
  if (fd < 0 || block == MAP_FAILED || blocks < 1) return;
  std::mt19937 random(static_cast<unsigned>(::getpid()));
  for (;;) {
    const off_t at = static_cast<off_t>(random() % static_cast<unsigned>(blocks)) * kBlock;
    if (random() % 2 == 0) {
      (void)!::pread(fd, block, kBlock, at);
    } else {
      (void)!::pwrite(fd, block, kBlock, at);
    }
  }
}

void FloodNetwork(const Victim& victim) {
  const std::string path = "/proc/" + std::to_string(victim.pid()) + "/ns/net";
  const int space = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (space < 0 || ::setns(space, CLONE_NEWNET) != 0) return;
  const int fd = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  int bytes = 100'000;  // bounds what stands in the queue: a delay, no losses
  ::setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
  sockaddr_in to = {};
  to.sin_family = AF_INET;
  to.sin_port = htons(9);
  ::inet_pton(AF_INET, victim.peer_address().c_str(), &to.sin_addr);
  char packet[1400] = {};
  for (;;) {
    (void)::sendto(fd, packet, sizeof(packet), 0, reinterpret_cast<sockaddr*>(&to), sizeof(to));
  }
}

double PercentileUs(std::vector<std::int64_t> values, double p) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  const auto i = static_cast<std::size_t>(p * static_cast<double>(values.size() - 1) + 0.5);
  return static_cast<double>(values[i]) / 1000;
}

// Of both processors: what others took.
class Foreign {
 public:
  Foreign() { Read(&busy_, &total_, &own_); }
  double Share() {
    double busy, total, own;
    Read(&busy, &total, &own);
    return std::max(0.0, (busy - busy_) - (own - own_)) / std::max(1.0, total - total_);
  }

 private:
  static void Read(double* busy, double* total, double* own) {
    static HostCpuProbe host;
    const HostCpuTimes times = host.Sample();
    *busy = static_cast<double>(times.busy_us.value) + static_cast<double>(times.steal_us.value);
    *total = static_cast<double>(times.total_us.value);
    *own = std::atof(ReadFile("/sys/fs/cgroup/cpuacct/seer-trial/cpuacct.usage").c_str()) / 1000;
  }
  double busy_ = 0, total_ = 0, own_ = 0;
};

int Say(const StallAttribution& found) {
  switch (found.verdict) {
    case StallAttribution::Verdict::kUndecided:
      return kUndecided;
    case StallAttribution::Verdict::kNone:
    case StallAttribution::Verdict::kLoad:
      return static_cast<int>(Truth::kNone);
    case StallAttribution::Verdict::kResource:
      break;
  }
  switch (found.worst().resource) {
    case Resource::kCpu:
      return static_cast<int>(found.quota ? Truth::kQuota : Truth::kCpu);
    case Resource::kCache:
    case Resource::kMemoryBandwidth:
      return static_cast<int>(Truth::kMemory);
    case Resource::kMemoryCapacity:
      return static_cast<int>(Truth::kMemoryCapacity);
    case Resource::kNetwork:
      return static_cast<int>(Truth::kNetwork);
    case Resource::kStorage:
      break;
  }
  return static_cast<int>(Truth::kDisk);
}

std::string Evidence(const StallAttribution& found) {
  std::ostringstream text;
  for (const StallRise& rise : found.rises()) {
    text << ResourceName(rise.resource) << " " << std::lround(rise.healthy_us) << "->"
         << std::lround(rise.now_us) << (rise.blamed ? "! " : " ");
  }
  return text.str();
}

// One victim with all that looks at it.
struct Watched {
  explicit Watched(std::unique_ptr<Victim> v) : victim(std::move(v)) {}
  std::unique_ptr<Victim> victim;
  std::unique_ptr<Client> client;
  StallBaseline baseline;
  std::uint64_t handled = 0;
};

class Bench {
 public:
  explicit Bench(const TrialOptions& options) : options_(options), random_(options.seed) {}
  ~Bench() {
    hogs_.Stop();
    watched_.clear();
    WriteFile("/sys/fs/cgroup/cpuacct/cgroup.procs", std::to_string(::getpid()));
    for (const char* c : {"cpu", "cpuacct", "memory", "unified"}) {
      const std::string at = std::string("/sys/fs/cgroup/") + c + "/seer-trial";
      ::rmdir((at + "/hog").c_str());
      ::rmdir(at.c_str());
    }
    ::unlink(hog_file_.c_str());
  }

  std::string Begin() {
    if (::getuid() != 0) return "not root";
    for (const char* c : {"cpu", "cpuacct", "memory", "unified"}) {
      const std::string at = std::string("/sys/fs/cgroup/") + c + "/seer-trial";
      ::mkdir(at.c_str(), 0755);
      if (std::strcmp(c, "cpu") == 0) ::mkdir((at + "/hog").c_str(), 0755);
      if (::access((at + "/cgroup.procs").c_str(), W_OK) != 0) return at + " cannot be made";
    }
    if (!WriteFile("/sys/fs/cgroup/cpuacct/seer-trial/cgroup.procs", std::to_string(::getpid()))) {
      return "cannot account for the trials' own processor time";
    }
    ::setpriority(PRIO_PROCESS, 0, -20);
    PinTo(kClientCpu);
    hog_file_ = options_.directory + "/seer-trial-hog";
    if (!Shell("dd if=/dev/zero of=" + hog_file_ + " bs=1M count=256 conv=fdatasync")) {
      return "no room for 256 MiB in " + options_.directory;
    }
    for (int i = 0; i < kProfiles; ++i) {
      watched_.push_back(std::make_unique<Watched>(
          std::make_unique<Victim>(static_cast<Profile>(i), i, options_.directory)));
    }
    for (auto& w : watched_) {
      if (!w->victim->Begin()) return w->victim->error();
    }
    // Threads begin only now: the victims were forked before.
    for (auto& w : watched_) {
      w->client = std::make_unique<Client>(*w->victim);
      if (!w->client->ok()) return "a victim does not answer";
      w->client->set_rate(1);
    }
    MicrobenchmarkOptions micro;
    auto made = Microbenchmarks::Create(micro);
    if (!made.ok()) return std::string(made.status().ToString());
    micro_ = *std::move(made);
    placement_.processors = {kVictimCpu};
    SleepUntil(SteadyNs() + 300 * kMs);
    absl::Status calibrated = micro_->Calibrate(placement_);
    for (int again = 0; !calibrated.ok() && again < 5; ++again) {
      SleepUntil(SteadyNs() + 1000 * kMs);
      calibrated = micro_->Calibrate(placement_);
    }
    if (!calibrated.ok() && !options_.busy) return std::string(calibrated.ToString());
    monitor_ = std::make_unique<ProbeMonitor>(software_, *micro_);
    monitor_->set_placement(placement_);
    return "";
  }

  Trial Run(Profile profile, Truth truth) {
    Watched& w = *watched_[static_cast<std::size_t>(profile)];
    Trial trial;
    trial.profile = profile;
    trial.truth = truth;
    const double rate = RequestsPerSecond(profile);
    w.client->set_rate(rate);
    SleepUntil(SteadyNs() + 200 * kMs);
    Foreign foreign;

    HwReading reading;
    const std::int64_t healthy_from = SteadyNs();
    Read(&w, &reading);
    for (int i = 0; i < kTicks; ++i) {
      SleepUntil(healthy_from + (i + 1) * kTickNs);
      Read(&w, &reading);
      w.baseline.Learn(reading);
    }
    const std::int64_t healthy_to = SteadyNs();
    SetContention(truth, &w, true);
    // A neighbour needs a moment to get hold of what it wants.
    SleepUntil(SteadyNs() + 100 * kMs);
    Read(&w, &reading);
    const std::int64_t from = SteadyNs();
    AttributionRules rules;
    const auto healthy = w.client->LatenciesIn(healthy_from, healthy_to);
    trial.healthy_p50_us = PercentileUs(healthy, 0.5);
    trial.healthy_p95_us = PercentileUs(healthy, 0.95);
    rules.healthy_latency_us = trial.healthy_p50_us;
    HwReading total;
    std::size_t look = 0;
    for (int i = 0; i < kTicks; ++i) {
      SleepUntil(from + (i + 1) * kTickNs);
      Read(&w, &reading);
      AddReading(reading, &total);
      if (look < kLooks.size() && i + 1 >= std::lround(kLooks[look] * 10)) {
        const StallAttribution found = Attribute(total, w.baseline, rules);
        trial.said[look++] = Say(found);
        trial.evidence = Evidence(found);
      }
    }
    total.instance[Resource::kCache] = ResourceReading();
    total.instance[Resource::kMemoryBandwidth] = ResourceReading();
    trial.software_said = Say(Attribute(total, w.baseline, rules));
    const std::int64_t to = SteadyNs();
    const auto contended = w.client->LatenciesIn(from, to);
    trial.foreign = foreign.Share();
    SetContention(truth, &w, false);
    trial.p50_us = PercentileUs(contended, 0.5);
    trial.p95_us = PercentileUs(contended, 0.95);
    trial.degraded = contended.empty() || trial.p95_us > 1.5 * trial.healthy_p95_us ||
                     trial.p50_us > 1.3 * trial.healthy_p50_us;
    trial.discarded = trial.foreign > kForeignLimit || healthy.size() < 20;
    // Until what piled up is done.
    w.client->set_rate(1);
    SleepUntil(SteadyNs() + 300 * kMs);
    w.client->Forget();
    return trial;
  }

  // The victim's p99 while it is probed, from the core outwards and for 150 ms, against p99 in
  // equal times before; in per cent.
  double ProbeRise() {
    Watched& w = *watched_[0];
    w.client->set_rate(RequestsPerSecond(Profile::kCompute));
    SleepUntil(SteadyNs() + 200 * kMs);
    std::vector<std::int64_t> with, without;
    for (int i = 0; i < 20; ++i) {
      const std::int64_t quiet = SteadyNs();
      SleepUntil(quiet + 150 * kMs);
      const std::int64_t probed = SteadyNs();
      micro_->FirstSlow(1e9, placement_);
      const std::int64_t done = SteadyNs();
      SleepUntil(done + 50 * kMs);
      for (const std::int64_t l : w.client->LatenciesIn(quiet, probed)) without.push_back(l);
      for (const std::int64_t l : w.client->LatenciesIn(probed, done)) with.push_back(l);
      w.client->Forget();
    }
    w.client->set_rate(1);
    const double healthy = PercentileUs(without, 0.99);
    return healthy > 0 ? (PercentileUs(with, 0.99) / healthy - 1) * 100 : 0;
  }

  // What each microbenchmark says when nothing is wrong and under each neighbour.
  std::vector<std::string> Gauges() {
    std::vector<std::string> lines;
    for (const Truth truth : {Truth::kNone, Truth::kCpu, Truth::kMemory, Truth::kDisk}) {
      SetContention(truth, watched_[3].get(), true);
      SleepUntil(SteadyNs() + 200 * kMs);
      std::ostringstream line;
      line << TruthName(truth) << ":";
      for (std::size_t i = 0; i < kMicrobenchmarks; ++i) {
        const MicrobenchmarkRun run = micro_->Sense(static_cast<Microbenchmark>(i), placement_);
        if (!run.ok()) continue;
        char text[64];
        std::snprintf(text, sizeof(text), " %s x%.2f", MicrobenchmarkName(run.benchmark).data(),
                      micro_->Slowdown(run));
        line << text << (run.starved ? " (starved)" : "");
      }
      lines.push_back(line.str());
      SetContention(truth, watched_[3].get(), false);
    }
    return lines;
  }

 private:
  void Read(Watched* w, HwReading* reading) {
    const absl::Status status =
        ReadGuarded(*monitor_, HwTarget::OfProcess(w->victim->pid()), reading);
    const std::uint64_t handled = w->victim->handled();
    if (status.ok()) reading->requests = handled - w->handled;
    w->handled = handled;
  }

  void SetContention(Truth truth, Watched* w, bool on) {
    const Victim& victim = *w->victim;
    const std::string quota = victim.cgroup("cpu") + "/cpu.cfs_quota_us";
    const std::string limit = victim.cgroup("memory") + "/memory.limit_in_bytes";
    if (!on) hogs_.Stop();
    switch (truth) {
      case Truth::kNone:
        return;
      case Truth::kCpu:
        if (on) hogs_.Start(3, kVictimCpu, Spin);
        return;
      case Truth::kQuota: {
        // Less than what it needs: measured as what it used in the healthy time.
        const HwReading none;
        const double busy = w->baseline.BusyUs().median * w->baseline.RequestsPerSecond().median;
        const long us = std::max(1500L, std::lround(busy / 1e6 * 100'000 * 0.7));
        WriteFile(quota, on ? std::to_string(us) : "-1");
        return;
      }
      case Truth::kMemory:
        if (on) hogs_.Start(2, kClientCpu, ThrashMemory);
        return;
      case Truth::kMemoryCapacity:
        if (on) {
          const double used =
              std::atof(ReadFile(victim.cgroup("memory") + "/memory.usage_in_bytes").c_str());
          WriteFile(limit, std::to_string(std::llround(used * 0.5)));
        } else {
          WriteFile(limit, "-1");
          w->client->Warm();
          SleepUntil(SteadyNs() + 500 * kMs);
        }
        return;
      case Truth::kDisk:
        if (on) hogs_.Start(8, kClientCpu, [&](int) { ReadDisk(hog_file_); });
        return;
      case Truth::kNetwork:
        if (on) hogs_.Start(2, kClientCpu, [&](int) { FloodNetwork(victim); });
        return;
      case Truth::kApplication:
        w->client->set_blocked_share(on ? 0.15 : 0);
        return;
      case Truth::kLoad:
        w->client->set_rate(RequestsPerSecond(victim.profile()) * (on ? 5 : 1));
        return;
    }
  }

  const TrialOptions options_;
  std::mt19937_64 random_;
  Hogs hogs_;
  std::string hog_file_;
  std::vector<std::unique_ptr<Watched>> watched_;
  SoftwareMonitor software_;
  std::unique_ptr<Microbenchmarks> micro_;
  Placement placement_;
  std::unique_ptr<ProbeMonitor> monitor_;
};

// Which contentions can hurt which profile: a disk's neighbour does nothing to a service that does
// not read.
std::vector<std::pair<Profile, Truth>> Combinations() {
  std::vector<std::pair<Profile, Truth>> all;
  for (int p = 0; p < kProfiles; ++p) {
    const auto profile = static_cast<Profile>(p);
    for (const Truth truth : {Truth::kNone, Truth::kCpu, Truth::kQuota, Truth::kMemory,
                              Truth::kNetwork, Truth::kApplication, Truth::kLoad}) {
      all.emplace_back(profile, truth);
    }
  }
  for (int twice = 0; twice < 2; ++twice) {
    all.emplace_back(Profile::kPageCache, Truth::kMemoryCapacity);
    all.emplace_back(Profile::kDisk, Truth::kDisk);
    all.emplace_back(Profile::kNetwork, Truth::kNetwork);
  }
  return all;
}

}  // namespace

const char* TruthName(Truth truth) {
  constexpr const char* kNames[kTruths] = {"none", "cpu",     "quota",       "memory", "capacity",
                                           "disk", "network", "application", "load"};
  return kNames[static_cast<int>(truth)];
}

const char* SaidName(int said) {
  return said == kUndecided ? "undecided" : TruthName(static_cast<Truth>(said));
}

TrialScore Score(const std::vector<Trial>& trials) {
  TrialScore score;
  std::array<int, 3> right = {};
  int blamed = 0, software_blamed = 0, abstained = 0;
  for (const Trial& trial : trials) {
    ++score.made;
    if (trial.discarded) {
      ++score.discarded;
      continue;
    }
    const bool innocent = trial.truth == Truth::kNone || trial.truth == Truth::kApplication ||
                          trial.truth == Truth::kLoad;
    if (!innocent && !trial.degraded) {
      ++score.harmless;
      continue;
    }
    const int said = trial.said.back();
    ++score.matrix[static_cast<std::size_t>(trial.truth)][static_cast<std::size_t>(said)];
    abstained += said == kUndecided ? 1 : 0;
    const auto blames = [](int s) {
      return s != kUndecided && s != static_cast<int>(Truth::kNone);
    };
    if (innocent) {
      ++score.innocent;
      blamed += blames(said) ? 1 : 0;
      software_blamed += blames(trial.software_said) ? 1 : 0;
      continue;
    }
    ++score.contended;
    for (std::size_t i = 0; i < right.size(); ++i) {
      right[i] += trial.said[i] == static_cast<int>(trial.truth) ? 1 : 0;
    }
  }
  const auto percent = [](int part, int whole) { return whole > 0 ? 100.0 * part / whole : NAN; };
  for (std::size_t i = 0; i < right.size(); ++i) {
    score.accuracy_pct[i] = percent(right[i], score.contended);
  }
  score.false_blame_pct = percent(blamed, score.innocent);
  score.software_false_blame_pct = percent(software_blamed, score.innocent);
  score.abstain_pct = percent(abstained, score.contended + score.innocent);
  return score;
}

std::string Table(const TrialScore& score) {
  std::ostringstream text;
  char cell[64];
  text << "truth \\ said ";
  for (int s = 0; s < kSaid; ++s) {
    std::snprintf(cell, sizeof(cell), "%10s", SaidName(s));
    text << cell;
  }
  text << "\n";
  for (int t = 0; t < kTruths; ++t) {
    std::snprintf(cell, sizeof(cell), "%-13s", TruthName(static_cast<Truth>(t)));
    text << cell;
    for (int s = 0; s < kSaid; ++s) {
      std::snprintf(cell, sizeof(cell), "%10d",
                    score.matrix[static_cast<std::size_t>(t)][static_cast<std::size_t>(s)]);
      text << cell;
    }
    text << "\n";
  }
  std::snprintf(cell, sizeof(cell), "%d made, %d discarded, %d harmless\n", score.made,
                score.discarded, score.harmless);
  text << cell;
  text << "cause named: " << score.accuracy_pct[0] << " % after 0.1 s, " << score.accuracy_pct[1]
       << " % after 0.3 s, " << score.accuracy_pct[2] << " % after 0.8 s, of " << score.contended
       << "\nfalse blame: " << score.false_blame_pct << " % of " << score.innocent
       << ", software alone " << score.software_false_blame_pct << " %; abstained "
       << score.abstain_pct << " %\n";
  return text.str();
}

TrialResult RunTrials(const TrialOptions& options) {
  TrialResult result;
  Bench bench(options);
  result.error = bench.Begin();
  if (!result.error.empty()) return result;
  std::vector<std::pair<Profile, Truth>> order;
  std::mt19937_64 random(options.seed);
  while (static_cast<int>(order.size()) < options.trials) {
    auto more = Combinations();
    std::shuffle(more.begin(), more.end(), random);
    order.insert(order.end(), more.begin(), more.end());
  }
  order.resize(static_cast<std::size_t>(std::max(0, options.trials)));
  // The baseline of each victim, from healthy trials that nobody scores.
  for (int p = 0; p < kProfiles && options.trials > 0; ++p) {
    bench.Run(static_cast<Profile>(p), Truth::kNone);
  }
  for (const auto& [profile, truth] : order) {
    result.trials.push_back(bench.Run(profile, truth));
    if (options.each) options.each(result.trials.back());
  }
  result.score = Score(result.trials);
  result.probe_p99_rise_pct = bench.ProbeRise();
  result.gauges = bench.Gauges();
  return result;
}

}  // namespace seer::bench
