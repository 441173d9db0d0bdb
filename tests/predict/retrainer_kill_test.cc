// A retrainer whose process is killed with -9 at any moment: the next one goes on with what the
// last whole state had.
#include <gtest/gtest.h>

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "seer/predict/retrainer.h"
#include "seer/predict/state_store.h"
#include "seer/predict/tree_trainer.h"
#include "tests/predict/faulty_cluster.h"
#include "tests/predict/retrain_text.h"

namespace seer {
namespace {

using testing::FaultyRun;
using testing::SmallTraining;
using testing::StepAll;

constexpr int kLives = 8, kTicks = 9000, kEach = 50;
constexpr double kUpdated = 8;

const TreeModel& Trained() {
  static const TreeModel* const model = [] {
    const FaultyRun a(1), held(3);
    TreeTrainingOptions options = SmallTraining();
    options.violations.rounds = options.initiators.rounds = 30;
    return new TreeModel(TrainTrees({a.Labelled()}, {held.Labelled()}, options).value());
  }();
  return *model;
}

RetrainerOptions Options() {
  RetrainerOptions options;
  options.find_violations = false;
  options.replay.bytes = options.held_back_bytes = 4 << 20;
  options.label_delay_ns = 3'000'000'000;
  options.false_alarms_per_hour = 12;
  return options;
}

// Observes the run's ticks from the `from`-th on; after each few of them it keeps its state, and
// says so by a byte.
void Live(Retrainer* retrainer, const FaultyRun& run, std::size_t from, StateStore* store = nullptr,
          int progress = -1) {
  std::size_t told = 0;
  for (std::size_t i = from; i < run.all.size(); ++i) {
    const ClusterTick& tick = run.all[i];
    if (!retrainer->Observe(tick, run.cluster.topology).ok()) _exit(11);
    const std::int64_t now_ns = tick.period.EndNs(tick.tick);
    for (; told < run.violations.size() && run.violations[told].end_ns <= now_ns; ++told) {
      retrainer->NoteViolation(run.violations[told]);
    }
    if (i % 10 == 0) StepAll(retrainer, now_ns);
    if ((i + 1) % kEach != 0 || store == nullptr) continue;
    if (!store->Keep(*retrainer).ok()) _exit(12);
    if (progress >= 0 && write(progress, "t", 1) != 1) _exit(13);
  }
}

TEST(RetrainerKill, TheNextOneGoesOnWithWhatWasKept) {
  char name[] = "/tmp/seer-retrainer-XXXXXX";
  const std::string folder = mkdtemp(name);
  // As whoever comes next finds it.
  const auto restored = [&] {
    auto retrainer = Retrainer::Create(Trained(), Options()).value();
    const absl::Status status = StateStore::Open(folder).value()->Restore(retrainer.get());
    EXPECT_TRUE(status.ok()) << status;
    return retrainer;
  };
  const FaultyRun run(21, kTicks, kUpdated);
  (void)Trained();
  std::mt19937 random(7);
  std::size_t at = 0, kills = 0;
  std::uint64_t version = 1;
  for (int life = 0; life < kLives && at < run.all.size(); ++life) {
    int pipes[2];
    ASSERT_EQ(pipe(pipes), 0);
    const pid_t child = fork();
    if (child == 0) {
      close(pipes[0]);
      auto retrainer = Retrainer::Create(Trained(), Options()).value();
      const auto store = StateStore::Open(folder).value();
      const absl::Status status = store->Restore(retrainer.get());
      if (life == 0 ? !absl::IsNotFound(status) : !status.ok()) _exit(14);
      Live(retrainer.get(), run, at, store.get(), pipes[1]);
      _exit(0);
    }
    close(pipes[1]);
    const std::size_t ends = 10 + random() % 20;  // the last life is not cut short
    std::size_t told = 0;
    char byte;
    while ((told < ends || life + 1 == kLives) && read(pipes[0], &byte, 1) == 1) ++told;
    at += told * kEach;
    if (at < run.all.size()) {
      if (random() % 2 == 0) usleep(static_cast<useconds_t>(random() % 3000));
      ASSERT_EQ(kill(child, SIGKILL), 0);
      ++kills;
    }
    close(pipes[0]);
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status) || WEXITSTATUS(status) == 0) << WEXITSTATUS(status);
    const std::uint64_t now = restored()->health().version;
    EXPECT_GE(now, version);
    version = now;
  }
  EXPECT_EQ(kills, static_cast<std::size_t>(kLives - 1));
  EXPECT_GT(version, 1u) << "nothing was learnt";

  const auto after = restored();
  auto never_killed = Retrainer::Create(Trained(), Options()).value();
  Live(never_killed.get(), run, 0);
  const RetrainerHealth had = after->health(), all = never_killed->health();
  // Each life loses what was not labelled yet, and half a minute in which it learns what is usual.
  const double lost = static_cast<double>(kills) * (30 + 10 + kEach) / (kTicks / 10.0);
  EXPECT_GE(static_cast<double>(had.replay_ahead),
            (1 - lost) * static_cast<double>(all.replay_ahead) - 20);
  EXPECT_GT(had.held_back_ahead, 0u);
  std::filesystem::remove_all(folder);
}

TEST(RetrainerKill, WhereTheNewestIsDamagedTheOneBeforeIsTaken) {
  char name[] = "/tmp/seer-retrainer-XXXXXX";
  const std::string folder = mkdtemp(name);
  const FaultyRun run(23, 2000, kUpdated);
  auto retrainer = Retrainer::Create(Trained(), Options()).value();
  {
    const auto store = StateStore::Open(folder).value();
    Live(retrainer.get(), run, 0, store.get());
  }
  std::vector<std::string> kept;
  for (const auto& file : std::filesystem::directory_iterator(folder)) {
    if (file.path().filename().string().rfind("retrainer.", 0) == 0) kept.push_back(file.path());
  }
  ASSERT_EQ(kept.size(), StateStoreOptions().checkpoints) << "older ones go";
  std::sort(kept.begin(), kept.end());
  const auto store = StateStore::Open(folder).value();
  for (const bool both : {false, true}) {
    std::filesystem::resize_file(kept[both ? 0 : 1], 100);
    auto next = Retrainer::Create(Trained(), Options()).value();
    const absl::Status status = store->Restore(next.get());
    EXPECT_EQ(status.ok(), !both) << status;
    EXPECT_EQ(absl::IsDataLoss(status), both) << status;
    EXPECT_EQ(next->health().replay_windows > 0, !both);
  }
  std::filesystem::remove_all(folder);
}

TEST(RetrainerKill, BytesOfNobodysAreRefusedAndChangeNothing) {
  const FaultyRun run(22, 3000, kUpdated);
  auto retrainer = Retrainer::Create(Trained(), Options()).value();
  Live(retrainer.get(), run, 0);
  std::string state;
  ASSERT_TRUE(retrainer->SaveState(&state).ok());
  auto other = Retrainer::Create(Trained(), Options()).value();
  const std::string before = other->serving();
  EXPECT_TRUE(absl::IsInvalidArgument(other->LoadState("no state")));
  EXPECT_TRUE(absl::IsDataLoss(other->LoadState(state.substr(0, state.size() / 2))));
  std::string damaged = state;
  damaged[state.size() / 3] ^= 4;
  EXPECT_TRUE(absl::IsDataLoss(other->LoadState(damaged)));
  TreeModel blind = Trained();
  blind.inputs.latency = false;
  EXPECT_TRUE(
      absl::IsInvalidArgument(Retrainer::Create(blind, Options()).value()->LoadState(state)));
  EXPECT_EQ(other->serving(), before);
  EXPECT_EQ(other->health().replay_windows, 0u);

  // And what is whole is the same again.
  ASSERT_TRUE(other->LoadState(state).ok());
  EXPECT_EQ(other->serving(), retrainer->serving());
  EXPECT_EQ(other->health().replay_windows, retrainer->health().replay_windows);
  EXPECT_EQ(other->health().held_back_windows, retrainer->health().held_back_windows);
  EXPECT_EQ(other->health().version, retrainer->health().version);
  std::string again;
  ASSERT_TRUE(other->SaveState(&again).ok());
  EXPECT_EQ(again, state);
}

}  // namespace
}  // namespace seer
