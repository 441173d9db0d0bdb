// Flow: Model, Load, Fault -> [Simulator] -> ClusterTick, HwReading, Finished
//
// A discrete-event simulation of applications on a cluster: open-loop Poisson requests walk their
// call trees through stations with threads, cores, pools and queues, over links with finite
// buffers, on servers whose resources are shared.
//
//   Simulator simulator(*model, options);
//   seer::ClusterTick tick;
//   for (int i = 0; i < 6000; ++i) {
//     simulator.RunTick();
//     simulator.Observe(&tick);
//   }
//   Simulator without = simulator;       // the whole state
//   without.Disable(3);                  // the same random numbers, without fault 3
//
// A station is an instance. A request needs one of its threads, which it holds until it answers,
// also while it waits for those it calls; and one of its cores for its own time, first come first
// served. A call needs a connection of the caller's pool. A message passes the sender's NIC, the
// switch, the port of the receiver's server and its receive queue, each a FIFO of finite length;
// one that is lost is sent again after 200 ms, and twice that the next time, six times at most.
// Approximation: a message's place in each FIFO of its way is that of the moment it was sent.
//
// Servers. Every 20 ms the use of each server's resources is looked at; what exceeds a knee is
// pressure, and a request at an instance there takes 1 + sum(sensitivity * pressure) times as long.
//
// Random numbers hang on (seed, application, number of the request, place in the call tree), so
// that a fault, an action or another application changes none of the others' draws.
//
// Threads: a value; one at a time. Copies are independent and share the model.
// Cost: about 85 ns an event, 3 events a call (benchmarks/cluster). Memory: 64 bytes for each open
// call, and the stations.
#pragma once

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "benchmarks/cluster/sim/act.h"
#include "benchmarks/cluster/sim/event_queue.h"
#include "benchmarks/cluster/sim/fault.h"
#include "benchmarks/cluster/sim/model.h"
#include "benchmarks/cluster/sim/state.h"
#include "seer/core/hw_reading.h"
#include "seer/core/recommendation.h"
#include "seer/core/span.h"
#include "seer/core/tick.h"
#include "seer/window/cluster_tick.h"

namespace seer::cluster {

// Requests of one application: rate * (1 + amplitude * sin(2 pi (t + phase) / period)).
struct Load {
  double rate = 1000;    // per second; 0 = none
  double amplitude = 0;  // 0 to 1: diurnal
  double period_s = 3600;
  double phase_s = 0;
};

struct SimulatorOptions {
  std::uint64_t seed = 1;
  std::vector<Load> loads;  // by application; those that are missing have none
  // By application, where given: requests at these times since the start, ascending, instead.
  std::vector<std::shared_ptr<const std::vector<std::int64_t>>> arrivals;
  std::vector<Fault> faults;
  TickPeriod period;
  std::int64_t start_ns = 1'700'000'000'000'000'000;  // unix time of the first tick's start
  // Pressure of neighbours that come and go on every server, on average.
  double background = 0.02;
};

// A request that ended, for those who want every one.
struct Finished {
  std::uint32_t request_class = 0;
  bool failed = false;
  std::int64_t start_ns = 0;  // since the simulation's start
  std::int64_t end_ns = 0;
};

class Simulator {
 public:
  static constexpr std::int64_t kEpochNs = 20'000'000;
  static constexpr std::int64_t kRtoNs = 200'000'000;
  static constexpr int kMaxSends = 7;

  Simulator(std::shared_ptr<const Model> model, SimulatorOptions options);

  // To the next tick's end. The time is that of the simulation, from 0.
  void RunTick() { RunUntil((now_ / options_.period.ns() + 1) * options_.period.ns()); }
  void RunUntil(std::int64_t until_ns);
  std::int64_t now_ns() const { return now_; }
  std::uint64_t events() const { return events_; }

  // What is known at the present moment, of the time since the last Observe().
  void Observe(ClusterTick* tick);
  // Of one container and its server, of the time between the last two calls of ReadHardware().
  void ReadHardware();
  HwReading Hardware(std::uint32_t instance) const;

  // Future draws become others; what has been drawn stays. For futures that were not forked alike.
  void Reseed(std::uint64_t salt);
  void Disable(std::size_t fault);
  // From now on; at most the rate it began with (times 1 + amplitude), more counts as that.
  void SetRate(std::uint32_t application, double rate) { options_.loads[application].rate = rate; }
  // Its calls will be those of another root node (AddTree), from now on.
  void ReplaceTree(std::uint32_t request_class, std::uint32_t root) {
    class_roots_[request_class] = root;
  }

  // Takes effect after the delay that such an action has (act.h); what was there before is put back
  // when it expires. One for the same service takes over from the one in force, and inherits what
  // was there before that. NotFound, InvalidArgument or OutOfRange where it cannot be carried out.
  [[nodiscard]] absl::Status Act(const Recommendation& recommendation);
  // Puts back what was there before, after the same delay; its expiry is void then. NotFound: it is
  // not in force.
  [[nodiscard]] absl::Status Undo(std::uint64_t recommendation_id);
  // What actions cost so far: core-seconds and such beyond the plan, and requests refused.
  const ActionCost& cost() const { return cost_; }

  const Model& model() const { return *model_; }
  const SimulatorOptions& options() const { return options_; }
  absl::Span<const Station> stations() const { return stations_; }
  absl::Span<const EdgeState> edges() const { return edges_; }
  double PressureOf(std::uint32_t server, Resource resource) const {
    return servers_[server].pressure[static_cast<std::size_t>(resource)];
  }
  std::size_t open_requests() const { return open_requests_; }
  const LinkTotals& link_totals() const { return link_totals_; }
  double CoreSeconds(std::uint32_t instance) const;     // busy, so far
  double RequestSeconds(std::uint32_t instance) const;  // in the station, so far
  void KeepFinished(bool keep) { keep_finished_ = keep; }
  std::vector<Finished> TakeFinished() { return std::exchange(finished_, {}); }
  absl::Span<const Server> servers() const { return servers_; }

  // Spans of the requests that begin from now on: of an application, or all (kNone), and of a share
  // of the traces, drawn by their ids; 0 = of none. They are kept until they are taken.
  void KeepSpans(double share, std::uint32_t application = kNone);
  // Those that ended since the last call, by who recorded them (spans.h).
  std::vector<SpanBatch> TakeSpans();
  // The same in the order in which they ended, with what only the simulator knows.
  std::vector<KeptSpan> TakeKeptSpans() { return std::exchange(kept_spans_, {}); }

 private:
  enum What : std::uint32_t {
    kArrival,
    kDeliver,
    kServiceEnd,
    kResume,
    kReply,
    kResend,
    kResendReply,
    kPoolTimer,
    kCallTimeout,
    kActionDue,
  };

  void Push(std::int64_t time, What what, std::uint32_t index, std::uint32_t tag = 0) {
    queue_.Push({time, index, static_cast<std::uint32_t>(what) | tag << 8});
  }
  void Handle(const Event& event);

  // Requests and calls: simulator.cc.
  void Arrive(std::uint32_t stream);
  void StartRequest(std::uint32_t application, std::uint64_t key);
  void EndRequest(std::uint32_t request, bool failed);
  std::uint32_t NewVisit();
  void FreeVisit(std::uint32_t visit);
  std::uint32_t ChooseInstance(const Model::Node& node, std::uint64_t key) const;
  std::uint32_t Call(std::uint32_t parent, std::uint32_t node, std::uint64_t key,
                     std::uint8_t attempts);
  void TakeThread(std::uint32_t visit);
  void Send(std::uint32_t visit);
  void Deliver(std::uint32_t visit);
  void WantCore(std::uint32_t visit);
  void StartService(std::uint32_t visit);
  void EndService(std::uint32_t visit);
  void Advance(std::uint32_t visit);
  void Answer(std::uint32_t visit);
  void SendAnswer(std::uint32_t visit);
  void Returned(std::uint32_t visit);
  void Settle(std::uint32_t parent, bool failed);
  void ReleaseConnection(std::uint32_t visit);
  void LeaveEdge(std::uint32_t visit);
  void ExpirePool(std::uint32_t pool);
  void TimeOut(std::uint32_t visit, std::uint32_t generation);
  void ScheduleArrival(std::uint32_t stream);
  double RateOf(const Stream& stream) const;
  // The times of a stream that are given, or null. Those of applications come first.
  const std::vector<std::int64_t>* GivenTimes(std::uint32_t stream) const {
    return stream < options_.arrivals.size() && stream < model_->applications.size()
               ? options_.arrivals[stream].get()
               : nullptr;
  }
  void KickThreads(std::uint32_t station);
  void KickCores(std::uint32_t station);
  std::uint32_t PopFront(Fifo* fifo);
  void PushBack(Fifo* fifo, std::uint32_t visit);
  void MarkBusy(std::uint32_t station) {
    busy_[station / 64] |= std::uint64_t{1} << (station % 64);
  }
  // In their order, so that sums are always the same ones.
  template <typename F>
  void ForEachBusy(const F& handle) {
    for (std::uint32_t word = 0; word < busy_.size(); ++word) {
      for (std::uint64_t bits = busy_[word]; bits != 0; bits &= bits - 1) {
        handle(word * 64 + static_cast<std::uint32_t>(__builtin_ctzll(bits)));
      }
    }
  }

  // spans.cc
  TraceId TraceOf(std::uint32_t request_class, std::uint64_t key) const;
  void BeginSpans(std::uint32_t visit, std::uint32_t parent);
  void KeepClientSpan(std::uint32_t visit, Outcome outcome);
  void KeepServerSpan(std::uint32_t visit, Outcome outcome);

  // network.cc
  std::int64_t Transmit(std::uint32_t from, std::uint32_t to, double bytes, std::uint64_t key,
                        double drop_p, std::uint32_t sender, std::uint32_t receiver);
  void BookNetwork(std::uint32_t station, std::int64_t ns);
  std::int64_t BehindBurst(std::uint32_t server) const;

  // dynamics.cc
  void Epoch();
  void ApplyFaults();
  void ApplyFault(const Fault& fault, double intensity);
  void LookAtServers();

  // act.cc
  void ApplyAction(std::uint32_t index);
  void TakeEffect(std::uint32_t service);
  double SlowOf(std::uint32_t instance) const;
  void Set(std::uint32_t service, Action action, double to);

  // observe.cc: what the stations waited for since the last time.
  void BookStalls();

  std::shared_ptr<const Model> model_;
  std::shared_ptr<const Places> places_;
  SimulatorOptions options_;
  std::uint64_t salt_ = 0;
  std::int64_t now_ = 0;
  std::int64_t next_epoch_ = 0;
  std::int64_t level_second_ = -1;  // whose levels the servers hold
  std::int64_t observed_ns_ = 0;
  std::uint64_t events_ = 0;
  EventQueue queue_;

  std::vector<Visit> visits_;
  std::vector<std::uint32_t> free_visits_;
  std::vector<Request> requests_;
  std::vector<std::uint32_t> free_requests_;
  std::size_t open_requests_ = 0;
  std::vector<Stream> streams_;  // of requests: one per application, then one per load spike
  std::vector<ClassState> classes_;
  std::vector<std::uint32_t> class_roots_;
  std::vector<Station> stations_;
  // A bit for each station that has worked or has had somebody wait for a core since the last
  // epoch: of the others an epoch has nothing to book.
  std::vector<std::uint64_t> busy_;
  bool look_at_all_ = true;  // the speed of every station may have changed, not by pressure alone
  std::vector<Pool> pools_;
  std::vector<EdgeState> edges_;
  std::vector<Server> servers_;
  Link switch_;
  bool switch_down_ = false;
  LinkTotals link_totals_;
  std::vector<double> cold_;  // by service: part of a cache that is cold
  bool faults_applied_ = false;
  std::vector<ActionInForce> actions_;
  std::vector<Granted> granted_;  // by service
  ActionCost cost_;
  std::vector<HardwareTotals> hardware_;                      // by instance, as far as it is booked
  std::vector<HardwareTotals> hardware_then_, hardware_now_;  // by instance
  std::int64_t hardware_then_ns_ = 0, hardware_now_ns_ = 0;
  bool keep_finished_ = false;
  std::vector<Finished> finished_;
  double span_share_ = 0;
  std::uint32_t span_application_ = kNone;
  TraceId root_trace_;                         // of the request that begins just now
  std::vector<TracedVisit> traced_;            // by visit
  std::vector<KeptSpan> kept_spans_;           // in the order in which they ended
  std::vector<std::uint64_t> span_sequences_;  // by instance, and the client outside
};

}  // namespace seer::cluster
