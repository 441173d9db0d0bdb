#include "seer/nn/trainer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <limits>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "tests/nn/samples.h"
#include "tests/nn/training_task.h"

namespace seer {
namespace {

using ::testing::HasSubstr;

constexpr const char* kLayers =
    "conv units=8 kernel=3 stride=1 padding=1 activation=relu\nlstm units=8\ndropout rate=0.1\n"
    "last_tick\nhead kind=dense output=softmax extras=1\n";

Network Small() { return testing::MakeNetwork(kLayers, "5", 4, 1); }

TrainerOptions Options(std::uint32_t threads = 1) {
  TrainerOptions options;
  options.batch = 16;
  options.epochs = 3;
  options.threads = threads;
  options.optimizer.learning_rate = 0.01f;
  return options;
}

std::vector<float> Weights(const Trainer& trainer) {
  return {trainer.parameters().begin(), trainer.parameters().end()};
}

TEST(Trainer, LearnsWhoseQueueGrows) {
  const Network network = Small();
  MemorySource training = testing::GrowingQueue(network, 600, 1);
  MemorySource validation = testing::GrowingQueue(network, 200, 2);
  TrainerOptions options = Options(2);
  options.epochs = 12;
  auto trainer = *Trainer::Create(network, options);
  const Evaluation before = *trainer->Evaluate(validation);
  ASSERT_TRUE(trainer->Train(training, &validation).ok());
  const Evaluation after = *trainer->Evaluate(validation);
  EXPECT_TRUE(trainer->state().finished);
  EXPECT_EQ(after.windows, 200u);
  EXPECT_GT(after.right, 180u);
  EXPECT_LT(after.loss.mean(), before.loss.mean() / 4);
  EXPECT_DOUBLE_EQ(after.loss.mean(), *trainer->state().best_loss);
}

// It learns all the same: what the state carries is there, only nobody learns how it came to be.
TEST(Trainer, ForAStreamGradientsEndAtCarriedTicks) {
  const Network network = testing::MakeNetwork(kLayers, "5", 12, 1);
  MemorySource training = testing::GrowingQueue(network, 300, 1);
  TrainerOptions options = Options(2);
  options.epochs = 10;
  options.carried_ticks = 12;
  const auto refused = Trainer::Create(network, options);
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(refused.status().message()),
              HasSubstr("carried_ticks is 12: give 0 to 11"));
  std::vector<std::vector<float>> trained;
  for (const std::uint32_t carried : {0u, 8u, 8u}) {
    options.carried_ticks = carried;
    auto trainer = *Trainer::Create(network, options);
    const Evaluation before = *trainer->Evaluate(training);
    ASSERT_TRUE(trainer->Train(training).ok());
    EXPECT_LT(trainer->Evaluate(training)->loss.mean(), before.loss.mean() / 3);
    trained.push_back(Weights(*trainer));
  }
  EXPECT_NE(trained[0], trained[1]);
  EXPECT_EQ(trained[1], trained[2]);
}

TEST(Trainer, IsTheSameToTheBitForTheSameThreads) {
  const Network network = Small();
  MemorySource training = testing::GrowingQueue(network, 100, 1);
  for (const std::uint32_t threads : {1u, 2u, 3u}) {
    std::vector<float> first;
    for (int i = 0; i < 2; ++i) {
      auto trainer = *Trainer::Create(network, Options(threads));
      ASSERT_TRUE(trainer->Train(training).ok());
      if (i == 0) first = Weights(*trainer);
      EXPECT_EQ(Weights(*trainer), first) << threads;
    }
  }
}

// Dropout masks belong to windows, not to threads: only the order of sums differs.
TEST(Trainer, ThreadsAndBudgetChangeTheLastBitsOnly) {
  const Network network = Small();
  MemorySource training = testing::GrowingQueue(network, 32, 1);
  TrainerOptions options = Options();
  options.epochs = 1;
  auto one = *Trainer::Create(network, options);
  options.memory_budget = one->memory_bytes() - 10000;  // most of it is fixed
  auto little = *Trainer::Create(network, options);
  EXPECT_LT(little->windows_at_once(), one->windows_at_once());
  EXPECT_LE(little->memory_bytes(), options.memory_budget);
  options.memory_budget = 0;
  options.threads = 3;
  auto three = *Trainer::Create(network, options);
  for (Trainer* trainer : {one.get(), little.get(), three.get()}) {
    ASSERT_TRUE(trainer->Train(training).ok());
    for (std::size_t i = 0; i < network.parameters(); ++i) {
      ASSERT_NEAR(trainer->parameters()[i], one->parameters()[i], 1e-4) << i;
    }
  }
  options.memory_budget = 1000;
  const auto none = Trainer::Create(network, options);
  EXPECT_EQ(none.status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(none.status().message()), HasSubstr("are needed"));
}

TEST(Trainer, StoppedAndResumedAnywhereItEndsWithTheSameBits) {
  const Network network = Small();
  MemorySource training = testing::GrowingQueue(network, 70, 1);  // the last step is a short one
  MemorySource validation = testing::GrowingQueue(network, 30, 2);
  TrainerOptions options = Options(2);
  options.optimizer.schedule = OptimizerOptions::Schedule::kCosine;
  auto whole = *Trainer::Create(network, options);
  ASSERT_TRUE(whole->Train(training, &validation).ok());
  for (int stop_at : {1, 4, 5, 6, 9, 15}) {
    int steps = 0;
    TrainerOptions stopping = options;
    stopping.progress_every = 1;
    stopping.on_progress = [&](const TrainingProgress&) { return ++steps != stop_at; };
    auto first = *Trainer::Create(network, stopping);
    ASSERT_TRUE(first->Train(training, &validation).ok());
    EXPECT_FALSE(first->state().finished);
    options.seed = 1;
    auto second = *Trainer::Create(network, options);
    ASSERT_TRUE(second->Restore(first->parameters(), first->state()).ok());
    ASSERT_TRUE(second->Train(training, &validation).ok());
    EXPECT_EQ(Weights(*second), Weights(*whole)) << stop_at;
    // The one that was stopped can go on by itself too.
    ASSERT_TRUE(first->Train(training, &validation).ok());
    EXPECT_EQ(Weights(*first), Weights(*whole)) << stop_at;
  }
}

TEST(Trainer, StopsEarlyAndKeepsTheBest) {
  const Network network = Small();
  MemorySource training = testing::GrowingQueue(network, 48, 1);
  MemorySource validation = testing::GrowingQueue(network, 48, 2);
  TrainerOptions options = Options();
  options.epochs = 200;
  options.patience = 2;
  options.optimizer.learning_rate = 0.1f;  // soon worse
  std::vector<double> losses;
  options.on_progress = [&](const TrainingProgress& p) {
    if (p.validation_loss && (losses.empty() || losses.back() != *p.validation_loss)) {
      losses.push_back(*p.validation_loss);
    }
    return true;
  };
  auto trainer = *Trainer::Create(network, options);
  ASSERT_TRUE(trainer->Train(training, &validation).ok());
  EXPECT_TRUE(trainer->state().finished);
  EXPECT_LT(trainer->state().epoch, 200u);
  EXPECT_EQ(trainer->state().epochs_since_best, 2u);
  for (double loss : losses) EXPECT_GE(loss, *trainer->state().best_loss);
  EXPECT_DOUBLE_EQ(trainer->Evaluate(validation)->loss.mean(), *trainer->state().best_loss);
}

TEST(Trainer, TellsItsProgress) {
  const Network network = Small();
  MemorySource training = testing::GrowingQueue(network, 64, 1);
  TrainerOptions options = Options();
  options.progress_every = 3;
  std::vector<TrainingProgress> seen;
  options.on_progress = [&](const TrainingProgress& p) {
    seen.push_back(p);
    return true;
  };
  auto trainer = *Trainer::Create(network, options);
  ASSERT_TRUE(trainer->Train(training).ok());
  ASSERT_EQ(seen.size(), 6u);  // after step 3 and after step 4, in each of 3 epochs
  EXPECT_EQ(seen[0].step, 3u);
  EXPECT_EQ(seen[1].step, 4u);
  EXPECT_EQ(seen[5].epoch, 2u);
  EXPECT_EQ(seen[5].steps_per_epoch, 4u);
  EXPECT_EQ(seen[5].remaining_s, 0);
  EXPECT_GT(seen[0].remaining_s, 0);
  EXPECT_GT(seen[0].windows_per_s, 0);
  EXPECT_LT(seen[5].loss, seen[1].loss);
}

TEST(Trainer, ErrorsNameTheOption) {
  const Network network = Small();
  const auto error = [&](void (*damage)(TrainerOptions*)) {
    TrainerOptions options = Options();
    damage(&options);
    return std::string(Trainer::Create(network, options).status().message());
  };
  EXPECT_THAT(error([](TrainerOptions* o) { o->threads = 0; }), HasSubstr("threads is 0"));
  EXPECT_THAT(error([](TrainerOptions* o) { o->batch = 100000; }), HasSubstr("batch is 100000"));
  EXPECT_THAT(error([](TrainerOptions* o) { o->backend = "tpu"; }), HasSubstr("one of auto"));
  EXPECT_THAT(error([](TrainerOptions* o) { o->optimizer.beta1 = 2; }), HasSubstr("beta1"));
  EXPECT_THAT(error([](TrainerOptions* o) { o->loss.focal_gamma = -2; }), HasSubstr("focal_gamma"));

  auto trainer = *Trainer::Create(network, Options());
  MemorySource empty(network), some = testing::GrowingQueue(network, 20, 1);
  MemorySource more = testing::GrowingQueue(network, 21, 1);
  EXPECT_THAT(std::string(trainer->Train(empty).message()), HasSubstr("no windows"));
  ASSERT_TRUE(trainer->Train(some).ok());
  EXPECT_EQ(trainer->Train(more).code(), absl::StatusCode::kFailedPrecondition);
  TrainingState state = trainer->state();
  state.threads = 2;
  EXPECT_THAT(std::string(trainer->Restore(trainer->parameters(), state).message()),
              HasSubstr("threads is 2, the trainer's 1"));
  state = trainer->state();
  state.optimizer.mean.pop_back();
  EXPECT_EQ(trainer->Restore(trainer->parameters(), state).code(),
            absl::StatusCode::kInvalidArgument);
  state = trainer->state();
  state.optimizer.square[0] = -1;
  EXPECT_FALSE(trainer->Restore(trainer->parameters(), state).ok());
}

// A source that fails, or gives what nobody can learn from, ends the training with that.
TEST(Trainer, ABadSourceEndsTheTraining) {
  class Bad : public BatchSource {
   public:
    explicit Bad(const Network& network) : source_(testing::GrowingQueue(network, 40, 1)) {}
    std::size_t windows() const override { return source_.windows(); }
    absl::Status Fill(absl::Span<const std::uint64_t> which, TrainingBatch* batch) override {
      if (fail) return absl::UnavailableError("the disk");
      absl::Status status = source_.Fill(which, batch);
      if (poison) batch->inputs[3] = std::numeric_limits<float>::quiet_NaN();
      return status;
    }
    bool fail = false, poison = false;

   private:
    MemorySource source_;
  };
  const Network network = Small();
  Bad bad(network);
  auto trainer = *Trainer::Create(network, Options());
  const std::vector<float> before = Weights(*trainer);
  bad.fail = true;
  EXPECT_EQ(trainer->Train(bad).code(), absl::StatusCode::kUnavailable);
  bad.fail = false;
  bad.poison = true;
  EXPECT_EQ(trainer->Train(bad).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(trainer->Evaluate(bad).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Weights(*trainer), before);
  bad.poison = false;
  EXPECT_TRUE(trainer->Train(bad).ok());
}

TEST(Trainer, AChildOfForkTrainsToo) {
  const Network network = Small();
  MemorySource training = testing::GrowingQueue(network, 40, 1);
  auto trainer = *Trainer::Create(network, Options(2));
  ASSERT_TRUE(trainer->Train(training).ok());
  const pid_t child = fork();
  if (child == 0) {
    alarm(60);
    auto again = *Trainer::Create(network, Options(2));
    const bool same = again->Train(training).ok() && Weights(*again) == Weights(*trainer);
    _exit(same ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

TEST(TrainerConcurrency, StopFromAnotherThreadEndsAStep) {
  const Network network = Small();
  MemorySource training = testing::GrowingQueue(network, 64, 1);
  TrainerOptions options = Options(3);
  options.epochs = 1000000;
  auto trainer = *Trainer::Create(network, options);
  std::thread stopper;
  bool started = false;
  // Started from inside, so that there is something to stop.
  options.progress_every = 1;
  options.on_progress = [&](const TrainingProgress&) {
    if (!started) stopper = std::thread([&] { trainer->Stop(); });
    started = true;
    return true;
  };
  trainer = *Trainer::Create(network, options);
  ASSERT_TRUE(trainer->Train(training).ok());
  stopper.join();
  EXPECT_FALSE(trainer->state().finished);
  EXPECT_GT(trainer->state().optimizer.step, 0u);
}

}  // namespace
}  // namespace seer
