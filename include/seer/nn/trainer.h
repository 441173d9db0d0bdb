// Flow: BatchSource -> [Trainer] -> weights, TrainingState -> Checkpoint
//
// Trains a network: shuffles the windows of each epoch, computes the gradients of a minibatch in
// several threads, steps the optimizer, looks at a validation set after each epoch, stops early,
// and can be stopped and resumed at any step.
//
//   seer::TrainerOptions options;
//   options.threads = 2;
//   options.on_progress = [](const seer::TrainingProgress& p) { Show(p.loss); return true; };
//   auto trainer = seer::Trainer::Create(network, options);
//   if (absl::Status status = (*trainer)->Train(training, &validation); !status.ok()) return
//   status; Use((*trainer)->parameters());
//
// The same seed, windows, options and number of threads give the same bits, whether training was
// interrupted or not. Another number of threads changes the order of sums, and so the last bits.
//
// Threads: one at a time, but for Stop(). The threads it starts end with each call. Callbacks run
// in
//          the thread that called Train().
// Cost: memory is 12 bytes a weight, as much again to keep the best weights, and for each thread
//       4 bytes a weight and what its windows need; `memory_budget` makes fewer windows at once of
//       it.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "seer/core/config.h"
#include "seer/nn/backend.h"
#include "seer/nn/batch.h"
#include "seer/nn/loss.h"
#include "seer/nn/network.h"
#include "seer/nn/optimizer.h"

SEER_BEGIN_NAMESPACE

struct TrainingProgress {
  std::uint64_t epoch = 0, epochs = 0;          // the current one, from 0
  std::uint64_t step = 0, steps_per_epoch = 0;  // done in this epoch
  double loss = 0;                              // mean of this epoch so far
  std::optional<double> validation_loss;        // of the last epoch that was validated
  double learning_rate = 0;
  double windows_per_s = 0, remaining_s = 0;  // of this call of Train()
};

struct TrainerOptions {
  std::string backend = "auto";
  std::uint32_t batch = 0;  // windows per step; 0: the configuration's
  std::uint32_t epochs = 10;
  std::uint32_t threads = 1;  // 1 to 256
  std::uint64_t seed = 1;     // of the first weights, the order of windows, dropout
  bool shuffle = true;
  // Ends after so many epochs in a row whose validation loss was no new best; 0: never.
  std::uint32_t patience = 0;
  bool keep_best = true;          // with a validation set: end with the best epoch's weights
  std::size_t memory_budget = 0;  // bytes; 0: as much as the batch needs
  // For a network that will stream (RunMode::kStream): so many first ticks of each window only
  // bring the state from which the LSTMs go on, with the weights of the step; gradients end there.
  // Give the network more ticks than a gradient has to reach back, 60 with 40 of them carried, say:
  // weights do not depend on their number, unless there are local layers.
  std::uint32_t carried_ticks = 0;
  OptimizerOptions optimizer;
  LossOptions loss;
  // After each `progress_every` steps and each epoch. false: stop here.
  std::function<bool(const TrainingProgress&)> on_progress;
  std::uint32_t progress_every = 100;
};

// All that makes a resumed training the same as an uninterrupted one. Plain values, for a
// checkpoint.
struct TrainingState {
  std::uint64_t seed = 0, batch = 0, threads = 0;  // have to be those of the options
  std::uint64_t windows = 0;                       // of the training set; 0: not begun
  std::uint64_t epoch = 0, step = 0;               // step: done in this epoch
  LossSum epoch_loss;
  std::optional<double> validation_loss;
  std::optional<double> best_loss;
  std::uint64_t epochs_since_best = 0;
  bool finished = false;
  std::vector<float> best;  // weights; empty: none yet
  OptimizerState optimizer;
};

struct Evaluation {
  LossSum loss;
  std::uint64_t windows = 0, right = 0;  // output softmax: whose most likely output was right
};

class Trainer {
 public:
  // Begins with random weights. InvalidArgument names the option; ResourceExhausted: the memory
  // budget is too small for one window at a time, and how much would do.
  static absl::StatusOr<std::unique_ptr<Trainer>> Create(const Network& network,
                                                         const TrainerOptions& options);
  ~Trainer();
  Trainer(const Trainer&) = delete;
  Trainer& operator=(const Trainer&) = delete;

  // Other weights to begin with. A new training begins.
  absl::Status SetParameters(absl::Span<const float> parameters);
  // Goes on where a state of another trainer was taken. InvalidArgument: it is of another network;
  // FailedPrecondition: of other options, the message says which.
  absl::Status Restore(absl::Span<const float> parameters, const TrainingState& state);

  // Until all epochs are done, patience is over, on_progress says false or Stop() is called; the
  // next call goes on from there. FailedPrecondition: the training set has another size than when
  // this training began. Internal: the loss is not finite any more.
  absl::Status Train(BatchSource& training, BatchSource* validation = nullptr);
  // From any thread. Also a Train() that is yet to come ends at once.
  void Stop() { stop_.store(true, std::memory_order_relaxed); }  // orders nothing

  // Without dropout.
  absl::StatusOr<Evaluation> Evaluate(BatchSource& windows);

  const Network& network() const { return network_; }
  absl::Span<const float> parameters() const { return parameters_; }
  const TrainingState& state() const { return state_; }
  std::size_t windows_at_once() const;  // of one thread; what the memory budget allowed
  std::size_t memory_bytes() const;

 private:
  class Workers;
  struct Clock;
  Trainer(const Network& network, const TrainerOptions& options);
  absl::Status MakeEngines();
  std::uint64_t StepsPerEpoch() const;
  std::vector<std::uint64_t> Order() const;
  absl::Status Step(Workers& workers, BatchSource& training, absl::Span<const std::uint64_t> which);
  absl::StatusOr<Evaluation> EvaluateWith(Workers& workers, BatchSource& windows);
  absl::Status EndEpoch(Workers& workers, BatchSource* validation);
  bool Report(const Clock& clock) const;  // false: stop
  void Finish();

  const Network network_;
  TrainerOptions options_;
  std::vector<float> parameters_;
  TrainingState state_;
  std::vector<std::unique_ptr<TrainingEngine>> engines_;  // one for each thread
  std::vector<std::vector<float>> gradients_;
  TrainingBatch batch_;
  std::atomic<bool> stop_{false};
};

SEER_END_NAMESPACE
