#include "seer/nn/trainer.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <mutex>
#include <numeric>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "nn/backends.h"
#include "nn/optimizer_step.h"
#include "seer/core/internal/status_macros.h"
#include "seer/nn/counter_rng.h"

SEER_BEGIN_NAMESPACE

// Threads that live as long as a call of Train(): nothing is left running for a fork() to lose. A
// condition variable needs std::mutex itself.
class Trainer::Workers {
 public:
  explicit Workers(std::size_t threads) {
    for (std::size_t i = 1; i < threads; ++i) threads_.emplace_back([this, i] { Work(i); });
  }
  ~Workers() {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      end_ = true;
    }
    wake_.notify_all();
    for (std::thread& thread : threads_) thread.join();
  }
  std::size_t count() const { return threads_.size() + 1; }

  // Calls work(i) for each thread i, and waits for all of them.
  void Run(const std::function<void(std::size_t)>& work) {
    if (!threads_.empty()) {
      const std::lock_guard<std::mutex> lock(mutex_);
      work_ = &work;
      ++round_;
      busy_ = threads_.size();
    }
    wake_.notify_all();
    work(0);
    std::unique_lock<std::mutex> lock(mutex_);
    done_.wait(lock, [this] { return busy_ == 0; });
  }

 private:
  void Work(std::size_t i) {
    std::uint64_t seen = 0;
    for (;;) {
      const std::function<void(std::size_t)>* work;
      {
        std::unique_lock<std::mutex> lock(mutex_);
        wake_.wait(lock, [&] { return end_ || round_ != seen; });
        if (end_) return;
        seen = round_;
        work = work_;
      }
      (*work)(i);
      const std::lock_guard<std::mutex> lock(mutex_);
      if (--busy_ == 0) done_.notify_one();
    }
  }

  std::mutex mutex_;
  std::condition_variable wake_, done_;
  const std::function<void(std::size_t)>* work_ = nullptr;
  std::uint64_t round_ = 0;
  std::size_t busy_ = 0;
  bool end_ = false;
  std::vector<std::thread> threads_;
};

// How fast this call of Train() goes.
struct Trainer::Clock {
  std::chrono::steady_clock::time_point begin = std::chrono::steady_clock::now();
  std::uint64_t steps = 0;
};

Trainer::Trainer(const Network& network, const TrainerOptions& options)
    : network_(network), options_(options), parameters_(network.parameters()) {}
Trainer::~Trainer() = default;

absl::StatusOr<std::unique_ptr<Trainer>> Trainer::Create(const Network& network,
                                                         const TrainerOptions& options) {
  const auto wrong = [](const std::string& what) {
    return absl::InvalidArgumentError("trainer: " + what);
  };
  if (options.threads < 1 || options.threads > 256) {
    return wrong(absl::StrCat("threads is ", options.threads, ": give 1 to 256"));
  }
  if (options.carried_ticks >= network.config().ticks) {
    return wrong(absl::StrCat("carried_ticks is ", options.carried_ticks, ": give 0 to ",
                              network.config().ticks - 1, ", or the network more ticks"));
  }
  if (options.batch > 65536) {
    return wrong(absl::StrCat("batch is ", options.batch, ": give 1 to 65536"));
  }
  if (FindBackend(options.backend) == nullptr) {
    std::string known;
    for (const Backend* backend : Backends()) {
      absl::StrAppend(&known, ", ", std::string(backend->name()));
    }
    return wrong(absl::StrCat("backend '", options.backend, "' is unknown: one of auto", known));
  }
  SEER_RETURN_IF_ERROR(options.optimizer.Check());
  SEER_RETURN_IF_ERROR(options.loss.Check(network));
  std::unique_ptr<Trainer> trainer(new Trainer(network, options));
  if (trainer->options_.batch == 0) trainer->options_.batch = network.config().batch;
  trainer->options_.progress_every = std::max<std::uint32_t>(1, options.progress_every);
  SEER_RETURN_IF_ERROR(trainer->MakeEngines());
  network.Initialize(options.seed, absl::MakeSpan(trainer->parameters_));
  SEER_RETURN_IF_ERROR(trainer->SetParameters(trainer->parameters_));
  return trainer;
}

absl::Status Trainer::MakeEngines() {
  const Backend* backend = FindBackend(options_.backend);
  std::size_t at_once = (options_.batch + options_.threads - 1) / options_.threads;
  for (;;) {
    engines_.clear();
    absl::Status status;
    for (std::uint32_t i = 0; i < options_.threads && status.ok(); ++i) {
      auto engine = backend->NewTraining(network_, at_once);
      status = engine.status();
      if (status.ok()) engines_.push_back(*std::move(engine));
    }
    if (status.ok() && (options_.memory_budget == 0 || memory_bytes() <= options_.memory_budget)) {
      break;
    }
    if (at_once == 1) {
      if (!status.ok()) return status;
      return absl::ResourceExhaustedError(
          absl::StrCat("trainer: memory_budget is ", options_.memory_budget,
                       " bytes: ", memory_bytes(), " are needed; give as many, or fewer threads"));
    }
    at_once = (at_once + 1) / 2;
  }
  gradients_.assign(options_.threads, std::vector<float>(network_.parameters()));
  return absl::OkStatus();
}

std::size_t Trainer::windows_at_once() const { return engines_.front()->max_windows(); }

std::size_t Trainer::memory_bytes() const {
  const std::size_t copies = 3 + (options_.keep_best ? 1 : 0) + options_.threads;
  std::size_t bytes = copies * network_.parameters() * sizeof(float) +
                      options_.batch * network_.window_values() * sizeof(float);
  for (const auto& engine : engines_) bytes += engine->bytes();
  return bytes;
}

absl::Status Trainer::SetParameters(absl::Span<const float> parameters) {
  SEER_RETURN_IF_ERROR(internal::CheckParameters(network_, parameters));
  if (parameters.data() != parameters_.data()) {
    parameters_.assign(parameters.begin(), parameters.end());
  }
  state_ = TrainingState();
  state_.seed = options_.seed;
  state_.batch = options_.batch;
  state_.threads = options_.threads;
  state_.optimizer = OptimizerState(network_);
  return absl::OkStatus();
}

absl::Status Trainer::Restore(absl::Span<const float> parameters, const TrainingState& state) {
  SEER_RETURN_IF_ERROR(internal::CheckParameters(network_, parameters));
  SEER_RETURN_IF_ERROR(internal::CheckParameters(network_, state.optimizer.mean));
  SEER_RETURN_IF_ERROR(internal::CheckParameters(network_, state.optimizer.square));
  if (!state.best.empty()) SEER_RETURN_IF_ERROR(internal::CheckParameters(network_, state.best));
  for (float value : state.optimizer.square) {
    if (value < 0) {
      return absl::InvalidArgumentError(
          "training state: a second moment is negative: take an older checkpoint");
    }
  }
  const auto differs = [](const char* option, std::uint64_t theirs, std::uint64_t ours) {
    return absl::FailedPreconditionError(absl::StrCat("training state: ", option, " is ", theirs,
                                                      ", the trainer's ", ours, ": create it with ",
                                                      theirs));
  };
  if (state.seed != options_.seed) return differs("seed", state.seed, options_.seed);
  if (state.batch != options_.batch) return differs("batch", state.batch, options_.batch);
  if (state.threads != options_.threads) return differs("threads", state.threads, options_.threads);
  parameters_.assign(parameters.begin(), parameters.end());
  state_ = state;
  return absl::OkStatus();
}

std::uint64_t Trainer::StepsPerEpoch() const {
  return (state_.windows + options_.batch - 1) / options_.batch;
}

std::vector<std::uint64_t> Trainer::Order() const {
  std::vector<std::uint64_t> order(state_.windows);
  std::iota(order.begin(), order.end(), std::uint64_t{0});
  if (!options_.shuffle) return order;
  const CounterRng rng(options_.seed,
                       CounterRng::StreamOf("order") ^ CounterRng::Mix(state_.epoch + 1));
  for (std::uint64_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[rng.Below(i, i)]);
  return order;
}

absl::Status Trainer::Step(Workers& workers, BatchSource& training,
                           absl::Span<const std::uint64_t> which) {
  SEER_RETURN_IF_ERROR(training.Fill(which, &batch_));
  SEER_RETURN_IF_ERROR(batch_.Check(network_));
  if (batch_.windows != which.size()) {
    return absl::InternalError(absl::StrCat("the batch source gave ", batch_.windows,
                                            " windows: ", which.size(), " were asked for"));
  }
  double weights = 0;
  for (std::size_t w = 0; w < batch_.windows; ++w) {
    weights += batch_.weight.empty() ? 1 : static_cast<double>(batch_.weight[w]);
  }
  StepContext step;
  step.loss = &options_.loss;
  step.scale = weights > 0 ? static_cast<float>(1 / weights) : 0;
  step.carried_ticks = options_.carried_ticks;
  step.dropout_seed = options_.seed;
  step.step = state_.optimizer.step;
  const std::size_t threads = workers.count(), n = batch_.windows;
  std::vector<LossSum> sums(threads);
  workers.Run([&](std::size_t thread) {
    std::vector<float>& gradient = gradients_[thread];
    std::fill(gradient.begin(), gradient.end(), 0.0f);
    TrainingEngine& engine = *engines_[thread];
    const std::size_t end = n * (thread + 1) / threads;
    for (std::size_t at = n * thread / threads; at < end;) {
      const std::size_t count = std::min(engine.max_windows(), end - at);
      engine.Gradient(parameters_, batch_, at, count, step, absl::MakeSpan(gradient), {},
                      &sums[thread]);
      at += count;
    }
  });
  // The order of the sum is that of the threads' numbers, whoever adds up which part.
  internal::SquareSums squares(network_.parameters());
  const auto first_block = [&](std::size_t thread) { return squares.blocks() * thread / threads; };
  workers.Run([&](std::size_t thread) {
    const std::size_t first = first_block(thread), last = first_block(thread + 1);
    const std::size_t begin = squares.BeginOf(first), end = squares.BeginOf(last);
    for (std::size_t other = 1; other < threads; ++other) {
      for (std::size_t i = begin; i < end; ++i) gradients_[0][i] += gradients_[other][i];
    }
    squares.Add(gradients_[0], first, last);
  });
  SEER_ASSIGN_OR_RETURN(
      const internal::OptimizerStep optimizer,
      internal::OptimizerStep::Create(options_.optimizer, state_.optimizer, squares.Norm()));
  workers.Run([&](std::size_t thread) {
    optimizer.Apply(network_, gradients_[0], squares.BeginOf(first_block(thread)),
                    squares.BeginOf(first_block(thread + 1)), &state_.optimizer,
                    absl::MakeSpan(parameters_));
  });
  ++state_.optimizer.step;
  for (const LossSum& sum : sums) {
    state_.epoch_loss.loss += sum.loss;
    state_.epoch_loss.weight += sum.weight;
  }
  ++state_.step;
  return absl::OkStatus();
}

absl::StatusOr<Evaluation> Trainer::EvaluateWith(Workers& workers, BatchSource& windows) {
  const std::size_t threads = workers.count(), each = windows_at_once();
  Evaluation evaluation;
  StepContext step;
  step.loss = &options_.loss;
  step.dropout = false;
  std::vector<Evaluation> parts(threads);
  std::vector<std::vector<float>> logits(threads, std::vector<float>(each * network_.outputs()));
  for (std::uint64_t at = 0; at < windows.windows();) {
    std::vector<std::uint64_t> which(
        static_cast<std::size_t>(std::min<std::uint64_t>(each * threads, windows.windows() - at)));
    std::iota(which.begin(), which.end(), at);
    at += which.size();
    SEER_RETURN_IF_ERROR(windows.Fill(which, &batch_));
    SEER_RETURN_IF_ERROR(batch_.Check(network_));
    if (batch_.windows != which.size()) {
      return absl::InternalError("the batch source gave another number of windows than asked for");
    }
    workers.Run([&](std::size_t thread) {
      const std::size_t first = std::min(thread * each, batch_.windows);
      const std::size_t count = std::min(each, batch_.windows - first);
      if (count == 0) return;
      Evaluation& part = parts[thread];
      engines_[thread]->Gradient(parameters_, batch_, first, count, step, {},
                                 absl::MakeSpan(logits[thread]), &part.loss);
      part.windows += count;
      for (std::size_t w = 0; w < count && !batch_.initiator.empty(); ++w) {
        const float* z = &logits[thread][w * network_.outputs()];
        part.right +=
            std::max_element(z, z + network_.initiators()) - z == batch_.initiator[first + w];
      }
    });
  }
  for (const Evaluation& part : parts) {
    evaluation.loss.loss += part.loss.loss;
    evaluation.loss.weight += part.loss.weight;
    evaluation.windows += part.windows;
    evaluation.right += part.right;
  }
  return evaluation;
}

absl::StatusOr<Evaluation> Trainer::Evaluate(BatchSource& windows) {
  Workers workers(options_.threads);
  return EvaluateWith(workers, windows);
}

absl::Status Trainer::EndEpoch(Workers& workers, BatchSource* validation) {
  if (validation != nullptr && validation->windows() > 0) {
    SEER_ASSIGN_OR_RETURN(const Evaluation evaluation, EvaluateWith(workers, *validation));
    state_.validation_loss = evaluation.loss.mean();
    if (!state_.best_loss || *state_.validation_loss < *state_.best_loss) {
      state_.best_loss = state_.validation_loss;
      state_.epochs_since_best = 0;
      if (options_.keep_best) state_.best = parameters_;
    } else {
      ++state_.epochs_since_best;
    }
  }
  ++state_.epoch;
  state_.step = 0;
  state_.epoch_loss = LossSum();
  return absl::OkStatus();
}

bool Trainer::Report(const Clock& clock) const {
  if (!options_.on_progress) return true;
  TrainingProgress progress;
  progress.epoch = state_.epoch;
  progress.epochs = options_.epochs;
  progress.step = state_.step;
  progress.steps_per_epoch = StepsPerEpoch();
  progress.loss = state_.epoch_loss.mean();
  progress.validation_loss = state_.validation_loss;
  progress.learning_rate = static_cast<double>(
      options_.optimizer.RateAt(std::max<std::uint64_t>(state_.optimizer.step, 1) - 1));
  const double s =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - clock.begin).count();
  const double steps = static_cast<double>(clock.steps);
  if (s > 0 && clock.steps > 0) {
    const auto left = static_cast<double>(options_.epochs - state_.epoch) *
                          static_cast<double>(progress.steps_per_epoch) -
                      static_cast<double>(state_.step);
    progress.windows_per_s = steps * options_.batch / s;
    progress.remaining_s = std::max(0.0, left * s / steps);
  }
  return options_.on_progress(progress);
}

void Trainer::Finish() {
  state_.finished = true;
  if (options_.keep_best && !state_.best.empty()) parameters_ = state_.best;
}

absl::Status Trainer::Train(BatchSource& training, BatchSource* validation) {
  if (training.windows() == 0) {
    return absl::InvalidArgumentError("trainer: the training set has no windows: give some");
  }
  if (state_.windows == 0) state_.windows = training.windows();
  if (state_.windows != training.windows()) {
    return absl::FailedPreconditionError(absl::StrCat(
        "trainer: the training set has ", training.windows(), " windows, this training began with ",
        state_.windows, ": give the same, or call SetParameters() to begin anew"));
  }
  if (options_.optimizer.total_steps == 0) {
    options_.optimizer.total_steps = StepsPerEpoch() * options_.epochs;
  }
  Workers workers(options_.threads);
  Clock clock;
  bool go_on = true;
  while (go_on && !state_.finished) {
    if (state_.epoch >= options_.epochs ||
        (options_.patience > 0 && state_.epochs_since_best >= options_.patience)) {
      Finish();
      break;
    }
    const std::vector<std::uint64_t> order = Order();
    while (go_on && state_.step < StepsPerEpoch()) {
      if (stop_.exchange(false, std::memory_order_relaxed)) return absl::OkStatus();
      const std::size_t at = state_.step * options_.batch;
      SEER_RETURN_IF_ERROR(Step(workers, training,
                                absl::MakeConstSpan(order).subspan(
                                    at, std::min<std::size_t>(options_.batch, order.size() - at))));
      ++clock.steps;
      if (state_.step % options_.progress_every == 0) go_on = Report(clock);
    }
    if (state_.step < StepsPerEpoch()) break;
    // After the report, so that one may stop between the last step and the validation.
    if (go_on) go_on = Report(clock);
    if (!go_on) break;
    SEER_RETURN_IF_ERROR(EndEpoch(workers, validation));
  }
  return absl::OkStatus();
}

SEER_END_NAMESPACE
