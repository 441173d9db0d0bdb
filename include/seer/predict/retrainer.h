// Flow: ClusterTick, Forecast, ActionTaken -> [Retrainer] -> model -> Predictor, model_store.h
//
// A model that goes on learning while it serves, as the application changes under it: a network
// (nn/), or the trees of `seer train` (tree_model.h).
//
//   auto retrainer = seer::Retrainer::Create(*seer::LoadTreeModel("shop.model"));    // StatusOr
//   (*retrainer)->Observe(tick, topology);                     // each tick (Predictor::TicksSince)
//   (*retrainer)->NoteForecast(forecast);                      // what was foreseen then
//   (*retrainer)->NoteAction(taken);                           // what was done about it
//
//   (*retrainer)->Step(clock.NowNs());                         // elsewhere: RetrainerThread
//   if (auto model = (*retrainer)->TakeModel()) predictor->UseModel(*MakeModelOf(*model));
//
// What it learns from. Ticks become windows, or for trees a row of numbers for each class, and are
// labelled `label_delay_ns` later, when it is known what came of them (window/violation_labeller.h
// finds violations and who initiated them; or the host tells them). They go into a buffer of
// bounded size (replay_buffer.h). Of time in blocks of 30 s one in four is held back: it is never
// trained with, only judged by.
//
// What it does with a network, the cheapest first:
//   normaliser  what is usual at a service is something else than the model takes for it: the
//               scales of these services are taken from the last minute. At once.
//   head        the last layer learns, everything before it stays.
//   whole       all layers do, in smaller steps.
//   scratch     services that requests wait for came or went, more than `major_change` of them: a
//               new network for the services that there are now. Meanwhile the old one serves,
//               mapped onto the new services where it can be (nn/topology_map.h).
// And with trees, which learn what is usual while they run and do not care who is there:
//   alarm       the probabilities are fitted anew to what is held back, and there is alarm from the
//               same one on as before; each fourth time, and where false alarms are clearly too
//               many, that one is fitted too (fit_alarm.h), each twelfth time with its horizon.
//               Only as far as there are violations to go by: with 20 of them half way. By halves:
//               each half is judged by what the other one gave. Nothing but what was said of it is
//               needed, which is kept.
//   boost       `boost_trees` more trees are grown upon those there are, `added_trees` at most:
//               then the oldest of the added ones go. From `boost_rows` rows, half of them of the
//               last ten minutes, and a third of the numbers in each, by chance, those that the
//               trees ask most the likeliest; those that tell who initiates each second time. The
//               alarm stays as it is, where that does. Where that is of no use, the alarm alone is
//               tried.
//   scratch     new trees from what is in the buffer: after a major change from what came since,
//               and where boosting was of no use three times. The old ones serve meanwhile.
// Something is tried when there are `new_windows` windows ahead of violations that it has not
// learnt from, and at most every `retrain_every_ns`.
//
// What replaces the model that serves. Only one that is no worse on what is held back (of trees: on
// the newest blocks of it that have 40 violations): not less able to tell what is ahead of
// violations from the rest, nor to name who initiates them, and with no larger loss; trees also not
// with more false alarms than `false_alarms_per_hour` and the old one, nor with fewer hits; but
// where false alarms are clearly too many, more than chance makes of that rate, and each hit lost
// saves one. Labels by which nobody does better than chance are not believed. Each decision has its
// reason (TakeDecisions). One that was replaced is kept for `probation_ns`: where it would have
// done better since, it comes back.
//
// Actions. A violation that was avoided is not learnt as a false alarm: windows after which
// somebody acted, and nothing came, are no negatives. They count as windows before a violation of
// the service that was acted on, with the weight that alarms deserve on which nobody acted. Where
// all alarms are acted on nobody learns any more how often they are right: `left_alone` is the
// share of them for which LeaveAlone() says so. Off unless set.
//
// A restart. A model says itself which version it is and what it came of (provenance), and the
// count goes on from there. SaveState() has all that it learns from and judges by, and
// state_store.h keeps it in a folder; without it, it begins to collect anew, and does nothing
// before `fewest_held_back` violations are held back again. One with a network then goes on as if
// nothing had happened, bit by bit, in the middle of what was being trained, with the optimizer's
// moments; but where it finds violations itself, whoever finds them begins anew: who initiated one
// that was not labelled yet stays unknown, and one that lasts is two. One with trees loses the
// ticks of the last `label_delay_ns`, what is being trained, and for half a minute what is usual at
// present.
//
// A clock that is put back, with another epoch of the topology, stops nothing; what trees held back
// of the time that is yet to come goes.
//
// Threads: Observe(), Note...(), TakeModel() and the rest from any; Step() from one at a time, and
// it holds no lock while it trains. The same calls give the same model, whatever the clock was.
// Cost: Observe() cuts one tick (some 20 us at 386 services; for trees what a forecast's features
// cost); Step() a few minibatches or trees, see benchmarks/RESULTS.md. Memory: `replay` and
// `held_back`, the last minutes of ticks at 2 bytes a value, and a trainer while there is something
// to train; 64 MiB of windows or rows that Step() has not taken yet. SaveState() copies all of it;
// of a network it holds the lock while it copies the last minutes' ticks.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "seer/core/action_taken.h"
#include "seer/core/config.h"
#include "seer/core/forecast.h"
#include "seer/core/topology.h"
#include "seer/nn/checkpoint.h"
#include "seer/predict/replay_buffer.h"
#include "seer/predict/tree_model.h"
#include "seer/window/cluster_tick.h"
#include "seer/window/span_interval.h"
#include "seer/window/violations.h"

SEER_BEGIN_NAMESPACE

enum class RetrainStage : std::uint8_t {
  kIdle,
  kMapping,
  kNormaliser,
  kHead,
  kWhole,
  kScratch,
  kAlarm,
  kBoost
};
// "idle", "mapping", "normaliser", "head", "whole", "scratch", "alarm", "boost".
std::string_view RetrainStageName(RetrainStage stage);

struct RetrainerOptions {
  ReplayOptions replay;
  std::size_t held_back_bytes = std::size_t{64} << 20;
  std::int64_t label_delay_ns = 20'000'000'000;
  bool find_violations = true;  // else NoteViolation() tells them, within the delay
  std::uint64_t seed = 1;

  std::string backend = "auto";
  std::uint32_t batches_a_step = 4;  // minibatches that one Step() trains
  std::uint32_t head_steps = 30, whole_steps = 30, scratch_steps = 500;  // Step()s
  float head_rate = 1e-3f, whole_rate = 3e-4f, scratch_rate = 1e-3f;     // learning rates

  double false_alarms_per_hour = 1;  // of trees' alarms, near misses not counted
  std::uint32_t trees_a_step = 24;   // that one Step() grows
  std::uint32_t boost_trees = 8, added_trees = 96, scratch_trees = 120;
  double boost_learning_rate = 0.08, scratch_learning_rate = 0.1;  // shrinkage
  std::size_t boost_rows = 1'500, scratch_rows = 100'000;          // drawn from the buffer, at most

  std::int64_t recent_ns = 60'000'000'000;  // of which the normaliser takes what is usual
  double drift_shift = 1;                   // in spreads, from which on it is something else
  double major_change = 0.2;                // share of the services that requests wait for
  std::int64_t settle_ns = 30'000'000'000;  // services have been the same for so long
  std::size_t new_windows = 20;             // ahead of violations, before it learns again
  std::size_t fewest_held_back = 4;         // violations, to judge by
  std::int64_t retrain_every_ns = 60'000'000'000;
  std::int64_t probation_ns = 600'000'000'000;
  double avoided_weight = 0.3;  // until ten alarms were left alone or overlooked
  double left_alone = 0;        // share of the alarms, 0 to 0.5

  // InvalidArgument names the field.
  [[nodiscard]] absl::Status Validate() const;
};

struct RetrainDecision {
  RetrainStage stage = RetrainStage::kIdle;
  bool replaced = false;
  bool rolled_back = false;
  std::string reason;         // why not, or why back; empty: it is no worse
  std::uint64_t version = 0;  // of the model that serves from now on
  std::int64_t at_ns = 0;
  double serving_loss = 0, candidate_loss = 0;  // on the held-back windows
  std::size_t held_back = 0, held_back_ahead = 0;
};

struct RetrainerHealth {
  RetrainStage stage = RetrainStage::kIdle;
  std::uint64_t version = 1;  // of the model that serves; the one it was made with is 1
  std::uint64_t steps = 0;    // that trained something
  std::size_t replay_windows = 0, replay_ahead = 0, replay_bytes = 0;
  std::size_t held_back_windows = 0, held_back_ahead = 0;
  std::uint64_t dropped_windows = 0;                     // that came faster than Step() took them
  std::uint64_t hits = 0, false_alarms = 0, missed = 0;  // of alarms that nobody acted on
  double drifted_services = 0;                           // share of the model's
  absl::Status last_error;                               // of a Step() that went wrong
};

class Retrainer {
 public:
  // InvalidArgument: not a checkpoint that MakeModelPredictor() takes, not a valid tree model, or
  // an option.
  static absl::StatusOr<std::unique_ptr<Retrainer>> Create(const Checkpoint& serving,
                                                           const RetrainerOptions& options = {});
  static absl::StatusOr<std::unique_ptr<Retrainer>> Create(const TreeModel& serving,
                                                           const RetrainerOptions& options = {});
  virtual ~Retrainer() = default;
  Retrainer(const Retrainer&) = delete;
  Retrainer& operator=(const Retrainer&) = delete;

  // Each tick, in order. InvalidArgument: another period, not later, or rows that the topology has
  // not.
  [[nodiscard]] virtual absl::Status Observe(const ClusterTick& tick, const Topology& topology) = 0;
  // Spans, where there are some, before the tick that they are of: who initiated violations is then
  // told from them.
  virtual void Add(const SpanInterval& interval) = 0;
  // With the ids of the topology of the last tick. One that was told already is told better; one
  // that is open is told again while it lasts, with the end so far: when that is forgotten, after
  // `label_delay_ns` and the window, it is over. Of a time that no clock tells (before 1896, after
  // 2116) nothing is taken.
  virtual void NoteViolation(const Violation& violation) = 0;
  virtual void NoteForecast(const Forecast& forecast) = 0;
  virtual void NoteAction(const ActionTaken& action) = 0;
  // What no topology tells has changed in a major way, as the hardware: it learns from scratch.
  virtual void NoteMajorChange() = 0;
  // Whether nothing should be done about this recommendation, for the sake of a clean label.
  virtual bool LeaveAlone(std::uint64_t recommendation_id) const = 0;

  // A small piece of the work that there is: takes what has become known, judges, or trains a few
  // minibatches or trees. Returns whether there is more to do now. After an error what was being
  // trained is given up, and the old model serves on.
  virtual absl::StatusOr<bool> Step(std::int64_t now_ns) = 0;

  // The bytes of the model that is to serve from now on, as Mirror::UseModel() and MakeModelOf()
  // take them: EncodeCheckpoint() or EncodeTreeModel(). Once each time that it changes.
  virtual std::optional<std::string> TakeModel() = 0;
  // As it is now.
  virtual std::string serving() const = 0;
  virtual std::vector<RetrainDecision> TakeDecisions() = 0;

  // What it would go on with after a restart, behind what is in `bytes`; between two Step()s.
  [[nodiscard]] virtual absl::Status SaveState(std::string* bytes) const = 0;
  // Into one that was just made, with any model of the same inputs and with the same
  // `options.seed`: it then serves what that one did (serving()). DataLoss: not whole.
  // InvalidArgument: no such state, of another version, seed or kind of model. After an error it is
  // as it was.
  [[nodiscard]] virtual absl::Status LoadState(std::string_view bytes) = 0;
  virtual RetrainerHealth health() const = 0;

 protected:
  Retrainer() = default;
};

SEER_END_NAMESPACE
