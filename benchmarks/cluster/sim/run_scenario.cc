// A run with its truth: RunScenario of scenario.h.
#include <algorithm>
#include <utility>

#include "benchmarks/cluster/sim/initiator.h"
#include "benchmarks/cluster/sim/scenario.h"

namespace seer::cluster {
namespace {

constexpr std::int64_t kSecond = 1'000'000'000;
// A fault's window: until nothing has violated for so long, and not longer.
constexpr std::int64_t kCalmNs = 5 * kSecond, kMostAfterNs = 60 * kSecond;
// The requests that make a violation began at most so long before its start, in its first second at
// the latest, and end so long after it.
constexpr std::int64_t kBeforeNs = 3 * kSecond, kFirstNs = kSecond, kPatienceNs = 6 * kSecond;
// Violations this close are one.
constexpr std::int64_t kSlackNs = kSecond;

bool Overlaps(const Violation& a, const Violation& b) {
  return a.request_class == b.request_class && a.start_ns <= b.end_ns + kSlackNs &&
         b.start_ns <= a.end_ns + kSlackNs;
}

class Run {
 public:
  Run(std::shared_ptr<const Model> model, const ScenarioOptions& options)
      : model_(std::move(model)),
        options_(options),
        faults_(options.simulator.faults),
        main_{Simulator(model_, options.simulator), ViolationDetector(), 0} {}

  std::vector<TruthRow> Everything(const std::function<void(const ClusterTick&)>& sink) {
    const auto until = static_cast<std::int64_t>(options_.seconds * 1e9);
    const std::int64_t period = options_.simulator.period.ns();
    Simulator& simulator = main_.simulator;
    if (options_.spans) simulator.KeepSpans(options_.span_share, options_.span_application);
    while (simulator.now_ns() < until) {
      Deploy(&main_);
      for (std::size_t f = 0; options_.truth && f < faults_.size(); ++f) {
        if (faults_[f].start_ns >= simulator.now_ns() && faults_[f].enabled &&
            faults_[f].start_ns < simulator.now_ns() + period) {
          forks_.push_back({f, main_});
          forks_.back().second.simulator.KeepSpans(0);
          forks_.back().second.simulator.TakeKeptSpans();
        }
      }
      simulator.RunTick();
      simulator.Observe(&tick_);
      main_.detector.Observe(tick_, model_->topology);
      Collect(&main_.detector, &violations_);
      if (!main_.detector.open().empty()) busy_ns_ = simulator.now_ns();
      if (sink) sink(tick_);
      if (options_.spans) {
        for (const SpanBatch& batch : simulator.TakeSpans()) options_.spans(batch);
      }
      if (options_.control) options_.control(&simulator);
      CloseWindows(false);
    }
    CloseWindows(true);
    main_.detector.Finish();
    Collect(&main_.detector, &violations_);
    std::sort(violations_.begin(), violations_.end(), [](const Violation& a, const Violation& b) {
      return a.start_ns != b.start_ns ? a.start_ns < b.start_ns : a.request_class < b.request_class;
    });
    return Rows();
  }

 private:
  struct Fork {
    Simulator simulator;
    ViolationDetector detector;
    std::size_t updates_done;
  };
  struct Found {
    ClassId request_class;
    std::int64_t start_ns;
    std::uint32_t service;
  };
  struct Window {
    std::size_t fault;
    std::int64_t until_ns;
    std::vector<Violation> without;
    std::vector<Found> initiators;  // where several services were hit
  };

  void Deploy(Fork* fork) const {
    const auto& updates = options_.updates;
    while (fork->updates_done < updates.size() &&
           updates[fork->updates_done].at_ns <= fork->simulator.now_ns()) {
      const Update& update = updates[fork->updates_done++];
      fork->simulator.ReplaceTree(update.request_class, update.root);
    }
  }

  static void Collect(ViolationDetector* from, std::vector<Violation>* to) {
    for (Violation& v : from->TakeFinished()) to->push_back(v);
  }

  // To `until_ns`, and which violations there are.
  std::vector<Violation> Play(Fork* fork, std::int64_t until_ns) {
    ClusterTick tick;
    std::vector<Violation> violations;
    while (fork->simulator.now_ns() < until_ns) {
      Deploy(fork);
      fork->simulator.RunTick();
      fork->simulator.Observe(&tick);
      fork->detector.Observe(tick, model_->topology);
    }
    fork->detector.Finish();
    Collect(&fork->detector, &violations);
    return violations;
  }

  // What a fault leaves behind, messages sent again and full queues, is its doing too.
  void CloseWindows(bool all) {
    const std::int64_t now = main_.simulator.now_ns();
    for (std::size_t i = 0; i < forks_.size();) {  // one at a time: memory stays small
      const std::int64_t end_ns = faults_[forks_[i].first].end_ns;
      if (!all && now < std::max(end_ns, busy_ns_) + kCalmNs && now < end_ns + kMostAfterNs) {
        ++i;
        continue;
      }
      Window window{forks_[i].first, now, {}, {}};
      Fork fork = std::move(forks_[i].second);
      forks_.erase(forks_.begin() + static_cast<std::ptrdiff_t>(i));
      Fork without = fork;
      without.simulator.Disable(window.fault);
      window.without = Play(&without, now);
      FindInitiators(fork, &window);
      windows_.push_back(std::move(window));
    }
  }

  bool IsDoingOf(const Violation& violation, const Window& window) const {
    const std::int64_t at = violation.start_ns - options_.simulator.start_ns;
    return at >= faults_[window.fault].start_ns && at <= window.until_ns &&
           std::none_of(window.without.begin(), window.without.end(),
                        [&](const Violation& other) { return Overlaps(violation, other); });
  }

  void FindInitiators(const Fork& fork, Window* window) {
    Site site = SiteOf(*model_, faults_[window->fault]);
    if (site.services.size() < 2) return;
    const std::int64_t epoch = options_.simulator.start_ns;
    std::vector<DelayBook::Asked> asked;
    std::vector<Found> found;
    std::int64_t until = 0;
    for (const std::vector<Violation>* violations :
         {&std::as_const(violations_), &main_.detector.open()}) {
      for (const Violation& v : *violations) {
        if (!IsDoingOf(v, *window)) continue;
        asked.push_back({v.request_class.value(), v.start_ns - kBeforeNs, v.start_ns + kFirstNs});
        found.push_back({v.request_class, v.start_ns, kNone});
        until = std::max(until, v.start_ns - epoch + kPatienceNs);
      }
    }
    if (asked.empty()) return;
    until = std::min(until, window->until_ns);
    DelayBook book(model_.get(), std::move(site), std::move(asked));
    for (const bool with_fault : {true, false}) {
      Fork again = fork;
      if (!with_fault) again.simulator.Disable(window->fault);
      again.simulator.KeepSpans(1);
      while (again.simulator.now_ns() < until) {
        Deploy(&again);
        again.simulator.RunTick();
        book.Add(again.simulator.TakeKeptSpans(), with_fault);
      }
    }
    for (std::size_t i = 0; i < found.size(); ++i) {
      found[i].service = book.Initiator(i);
      if (found[i].service != kNone) window->initiators.push_back(found[i]);
    }
  }

  void Blame(std::size_t fault, std::uint32_t service, TruthRow* row) const {
    row->fault = static_cast<std::int32_t>(fault);
    row->cause = std::string(CauseOf(faults_[fault].kind));
    row->violation.initiation = service == kNone ? Initiation::kLoad : Initiation::kService;
    row->violation.culprit = service == kNone ? ServiceId() : ServiceId(service);
  }

  std::uint32_t ServiceOf(std::size_t fault) const {
    return faults_[fault].kind == FaultKind::kLoadSpike ? kNone : faults_[fault].service;
  }

  std::vector<TruthRow> Rows() {
    std::vector<TruthRow> rows;
    std::int64_t undecided_ns = 0;
    for (Violation& violation : violations_) {
      TruthRow row{violation, -1, "load", "load"};
      row.violation.initiation = Initiation::kLoad;
      row.violation.confidence = 1;
      const std::int64_t at = violation.start_ns - options_.simulator.start_ns;
      for (const Window& window : windows_) {
        if (!IsDoingOf(violation, window)) continue;
        const auto initiator = std::find_if(
            window.initiators.begin(), window.initiators.end(), [&](const Found& found) {
              return found.request_class == violation.request_class &&
                     found.start_ns == violation.start_ns;
            });
        const bool found = initiator != window.initiators.end();
        Blame(window.fault, found ? initiator->service : ServiceOf(window.fault), &row);
        const Fault& fault = faults_[window.fault];
        row.reason = fault.kind == FaultKind::kLoadSpike ? "load"
                     : at > fault.end_ns                 ? "aftermath"
                                                         : "fault";
      }
      if (row.fault < 0) undecided_ns = std::max(undecided_ns, at);
      rows.push_back(std::move(row));
    }
    if (options_.truth && undecided_ns > 0 && !faults_.empty()) Decide(undecided_ns, &rows);
    return rows;
  }

  // Those that no single fault explains: are they there without any?
  void Decide(std::int64_t last_ns, std::vector<TruthRow>* rows) {
    SimulatorOptions options = options_.simulator;
    for (Fault& fault : options.faults) fault.enabled = false;
    Fork calm{Simulator(model_, std::move(options)), ViolationDetector(), 0};
    const std::vector<Violation> natural = Play(&calm, last_ns + kCalmNs);
    for (TruthRow& row : *rows) {
      if (row.fault >= 0) continue;
      const bool stays = std::any_of(natural.begin(), natural.end(), [&](const Violation& other) {
        return Overlaps(row.violation, other);
      });
      const std::int64_t at = row.violation.start_ns - options_.simulator.start_ns;
      std::size_t last = faults_.size();
      for (std::size_t f = 0; f < faults_.size(); ++f) {
        const bool later = last == faults_.size() || faults_[f].start_ns >= faults_[last].start_ns;
        if (faults_[f].enabled && faults_[f].start_ns <= at && later) last = f;
      }
      if (stays || last == faults_.size()) continue;
      Blame(last, ServiceOf(last), &row);
      row.reason = "several";
      row.violation.confidence = 0.5f;
    }
  }

  std::shared_ptr<const Model> model_;
  const ScenarioOptions& options_;
  const std::vector<Fault>& faults_;
  Fork main_;
  ClusterTick tick_;
  std::vector<Violation> violations_;
  std::vector<Window> windows_;
  std::vector<std::pair<std::size_t, Fork>> forks_;  // faults that last
  std::int64_t busy_ns_ = 0;                         // when something violated last
};

}  // namespace

std::vector<TruthRow> RunScenario(std::shared_ptr<const Model> model,
                                  const ScenarioOptions& options,
                                  const std::function<void(const ClusterTick&)>& sink) {
  return Run(std::move(model), options).Everything(sink);
}

}  // namespace seer::cluster
