// A retrainer of a network that is kept and goes on in another process: as one that never ended.
#include <gtest/gtest.h>

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "seer/core/internal/crc32c.h"
#include "seer/predict/model_predictor.h"
#include "seer/predict/retrainer.h"
#include "seer/predict/state_store.h"
#include "seer/predict/tree_trainer.h"
#include "tests/predict/faulty_cluster.h"
#include "tests/predict/retrain_text.h"
#include "tests/predict/sick_shop.h"
#include "tests/predict/small_nodes.h"

namespace seer {
namespace {

using testing::Shop;
using testing::Text;
using testing::TrainedShop;

// A run of the shop, and what is told of it: the same for everybody.
struct Recorded {
  explicit Recorded(int ticks, double load = 6) : shop(load, 3) {
    for (int i = 0; i < ticks; ++i) all.push_back(shop.Next());
  }
  Shop shop;
  std::vector<ClusterTick> all;
};

RetrainerOptions Options() {
  RetrainerOptions options = testing::ShopRetraining();
  options.head_steps = options.whole_steps = 12;
  options.replay.bytes = 100'000;  // so that somebody has to go
  options.held_back_bytes = 70'000;
  return options;
}

// Tick i, and what belongs to it. One Step() a second: what is trained takes several of them.
void Live(Retrainer* retrainer, const Recorded& run, std::size_t i) {
  const ClusterTick& tick = run.all[i];
  const std::int64_t now_ns = tick.period.EndNs(tick.tick);
  ASSERT_TRUE(retrainer->Observe(tick, run.shop.cluster.topology).ok());
  for (const Violation& each : run.shop.violations) {
    if (each.start_ns == now_ns) retrainer->NoteViolation(each);
  }
  Forecast forecast;
  forecast.tick = tick.tick;
  forecast.classes.resize(1);
  forecast.classes[0].request_class = run.shop.cluster.buy;
  forecast.classes[0].alarm = i % 130 == 83;
  retrainer->NoteForecast(forecast);
  if (i % 400 == 150) {
    ActionTaken taken;
    taken.action = Action::kCpuLimit;
    taken.outcome = ActionOutcome::kApplied;
    taken.target.service = "store";
    taken.time_ns = now_ns;
    retrainer->NoteAction(taken);
  }
  if (i % 10 != 0) return;
  ASSERT_TRUE(retrainer->Step(now_ns).ok());
}

std::string StateOf(const Retrainer& retrainer) {
  std::string state;
  EXPECT_TRUE(retrainer.SaveState(&state).ok());
  return state;
}

// What it says of the same ticks, bit by bit.
std::string ForecastsOf(const Retrainer& retrainer, const Recorded& run) {
  const Checkpoint serving = DecodeCheckpoint(retrainer.serving()).value();
  const auto predictor = MakeModelPredictor(serving).value();
  std::string text;
  Forecast forecast;
  for (std::size_t i = 0; i < 300; ++i) {
    EXPECT_TRUE(predictor->Observe(run.all[i], run.shop.cluster.topology, &forecast).ok());
    text += testing::BitsOf(forecast);
  }
  return text;
}

void ExpectTheSame(const RetrainerHealth& a, const RetrainerHealth& b) {
  EXPECT_EQ(a.stage, b.stage);
  EXPECT_EQ(a.version, b.version);
  EXPECT_EQ(a.steps, b.steps);
  EXPECT_EQ(a.replay_windows, b.replay_windows);
  EXPECT_EQ(a.replay_bytes, b.replay_bytes);
  EXPECT_EQ(a.held_back_ahead, b.held_back_ahead);
  EXPECT_EQ(a.hits, b.hits);
  EXPECT_EQ(a.false_alarms, b.false_alarms);
  EXPECT_EQ(a.drifted_services, b.drifted_services);
}

// Each of `saves` ticks into it another one goes on beside it, from its bytes.
void GoesOnAsIfNothingHadHappened(const Checkpoint& model, const RetrainerOptions& options,
                                  const Recorded& run, std::size_t every,
                                  std::set<RetrainStage>* stages) {
  auto whole = Retrainer::Create(model, options).value();
  std::unique_ptr<Retrainer> other;
  for (std::size_t i = 0; i < run.all.size(); ++i) {
    if (i % every == every / 2) {
      const std::string state = StateOf(*whole);
      ASSERT_TRUE(other == nullptr || StateOf(*other) == state) << "at tick " << i;
      other = Retrainer::Create(model, options).value();
      ASSERT_TRUE(other->LoadState(state).ok());
      ASSERT_EQ(StateOf(*other) == state, true) << "at once, at tick " << i;
      EXPECT_EQ(other->serving(), whole->serving());
      stages->insert(whole->health().stage);
    }
    ASSERT_NO_FATAL_FAILURE(Live(whole.get(), run, i));
    if (!other) continue;
    ASSERT_NO_FATAL_FAILURE(Live(other.get(), run, i));
    const auto a = whole->TakeDecisions(), b = other->TakeDecisions();
    ASSERT_EQ(Text(a), Text(b)) << "at tick " << i;
    ASSERT_EQ(whole->TakeModel() == other->TakeModel(), true) << "at tick " << i;
  }
  ExpectTheSame(whole->health(), other->health());
  EXPECT_EQ(ForecastsOf(*whole, run), ForecastsOf(*other, run));
  EXPECT_GT(whole->health().version, 1u) << "nothing was learnt";
}

TEST(RetrainerRestart, ANetworkGoesOnAsIfNothingHadHappened) {
  std::set<RetrainStage> stages;
  GoesOnAsIfNothingHadHappened(TrainedShop(), Options(), Recorded(4000), 70, &stages);
  EXPECT_EQ(stages.count(RetrainStage::kIdle), 1u);
  EXPECT_EQ(stages.count(RetrainStage::kHead), 1u) << "never kept while it trained";
  EXPECT_EQ(stages.count(RetrainStage::kWhole), 1u);
}

TEST(RetrainerRestart, SoDoesOneWhoseInputsAreChangesAndThatLearnsFromScratch) {
  RetrainerOptions options = Options();
  options.scratch_steps = 12;
  const Recorded run(2500);
  const Checkpoint model = testing::TrainShop(1, true);
  auto whole = Retrainer::Create(model, options).value();
  whole->NoteMajorChange();  // kept, too
  auto other = Retrainer::Create(model, options).value();
  ASSERT_TRUE(other->LoadState(StateOf(*whole)).ok());
  std::set<RetrainStage> stages;
  for (std::size_t i = 0; i < run.all.size(); ++i) {
    if (i % 100 == 63) {
      other = Retrainer::Create(model, options).value();
      ASSERT_TRUE(other->LoadState(StateOf(*whole)).ok());
    }
    ASSERT_NO_FATAL_FAILURE(Live(whole.get(), run, i));
    ASSERT_NO_FATAL_FAILURE(Live(other.get(), run, i));
    ASSERT_EQ(Text(whole->TakeDecisions()), Text(other->TakeDecisions()));
    stages.insert(other->health().stage);
  }
  EXPECT_EQ(StateOf(*whole) == StateOf(*other), true);
  EXPECT_EQ(stages.count(RetrainStage::kScratch), 1u);
}

TEST(RetrainerRestart, AMajorChangeThatWasNotedIsNotForgotten) {
  for (const bool trees : {false, true}) {
    SCOPED_TRACE(trees);
    const testing::FaultyRun faulty(1);
    const auto make = [&] {
      if (!trees) return Retrainer::Create(TrainedShop(), Options()).value();
      static const TreeModel model =
          TrainTrees({faulty.Labelled()}, {faulty.Labelled()}, testing::SmallTraining()).value();
      return Retrainer::Create(model, Options()).value();
    };
    auto one = make(), other = make();
    const std::string before = StateOf(*one);
    one->NoteMajorChange();
    const std::string state = StateOf(*one);
    EXPECT_NE(state, before);
    ASSERT_TRUE(other->LoadState(state).ok());
    EXPECT_EQ(StateOf(*other), state);
  }
}

TEST(RetrainerRestart, ANetworkKilledAtAnyMomentEndsAsOneThatNeverWas) {
  constexpr int kEach = 50;
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  constexpr int kLives = 6;
#else
  constexpr int kLives = 30;
#endif
  char name[] = "/tmp/seer-retrainer-XXXXXX";
  const std::string folder = mkdtemp(name);
  const Recorded run(3000);
  (void)TrainedShop();
  std::mt19937 random(11);
  int kills = 0;
  bool over = false;
  for (int life = 0; !over; ++life) {
    int pipes[2];
    ASSERT_EQ(pipe(pipes), 0);
    const pid_t child = fork();
    if (child == 0) {
      close(pipes[0]);
      auto retrainer = Retrainer::Create(TrainedShop(), Options()).value();
      const auto store = StateStore::Open(folder).value();
      const absl::Status status = store->Restore(retrainer.get());
      if (!status.ok() && !absl::IsNotFound(status)) _exit(14);
      for (std::size_t i = 0; i < run.all.size(); ++i) {
        // What it has seen already it refuses.
        auto next = retrainer->Observe(run.all[i], run.shop.cluster.topology);
        if (!next.ok()) continue;
        for (const Violation& each : run.shop.violations) {
          if (each.start_ns == run.all[i].period.EndNs(run.all[i].tick)) {
            retrainer->NoteViolation(each);
          }
        }
        if (i % 10 == 0 && !retrainer->Step(0).ok()) _exit(15);
        if ((i + 1) % kEach != 0) continue;
        if (!store->Keep(*retrainer).ok()) _exit(12);
        if (write(pipes[1], "t", 1) != 1) _exit(13);
      }
      _exit(0);
    }
    close(pipes[1]);
    const std::size_t ends = life < kLives ? random() % 4 : run.all.size();
    std::size_t told = 0;
    char byte;
    while (told < ends && read(pipes[0], &byte, 1) == 1) ++told;
    if (life < kLives) {
      usleep(static_cast<useconds_t>(random() % 20'000));
      kill(child, SIGKILL);
    }
    close(pipes[0]);
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    over = WIFEXITED(status);
    kills += over ? 0 : 1;
    ASSERT_TRUE(!over || WEXITSTATUS(status) == 0) << WEXITSTATUS(status);
  }
  EXPECT_GT(kills, 3);
  auto never_killed = Retrainer::Create(TrainedShop(), Options()).value();
  for (std::size_t i = 0; i < run.all.size(); ++i) {
    ASSERT_TRUE(never_killed->Observe(run.all[i], run.shop.cluster.topology).ok());
    for (const Violation& each : run.shop.violations) {
      if (each.start_ns == run.all[i].period.EndNs(run.all[i].tick)) {
        never_killed->NoteViolation(each);
      }
    }
    if (i % 10 != 0) continue;
    ASSERT_TRUE(never_killed->Step(0).ok());
  }
  auto after = Retrainer::Create(TrainedShop(), Options()).value();
  ASSERT_TRUE(StateStore::Open(folder).value()->Restore(after.get()).ok());
  EXPECT_GT(after->health().version, 1u) << "nothing was learnt";
  EXPECT_EQ(StateOf(*after) == StateOf(*never_killed), true);
  EXPECT_EQ(ForecastsOf(*after, run), ForecastsOf(*never_killed, run));
  std::filesystem::remove_all(folder);
}

// With the checksum that belongs to it: whoever wrote it meant it.
std::string Signed(std::string state) {
  const std::uint32_t crc = internal::Crc32c(std::string_view(state).substr(12));
  std::memcpy(&state[8], &crc, sizeof(crc));
  return state;
}

TEST(RetrainerRestart, BytesOfNobodysAreRefusedAndChangeNothing) {
  const Recorded run(3600);
  auto retrainer = Retrainer::Create(TrainedShop(), Options()).value();
  std::size_t i = 0;
  for (; i < 3500 && (i < 1000 || retrainer->health().stage == RetrainStage::kIdle); ++i) {
    ASSERT_NO_FATAL_FAILURE(Live(retrainer.get(), run, i));
  }
  const std::string state = StateOf(*retrainer);
  auto other = Retrainer::Create(TrainedShop(), Options()).value();
  for (std::size_t t = 0; t < 200; ++t) ASSERT_NO_FATAL_FAILURE(Live(other.get(), run, t));
  const std::string own = StateOf(*other);
  const auto refuses = [&](const std::string& bytes) {
    const absl::Status status = other->LoadState(bytes);
    EXPECT_TRUE(absl::IsDataLoss(status) || absl::IsInvalidArgument(status)) << status;
    EXPECT_NE(status.message().find(':'), absl::string_view::npos);
    EXPECT_EQ(StateOf(*other) == own, true) << status;
  };
  refuses("");
  refuses("no state of a retrainer");
  std::mt19937 random(5);
  for (int cut = 0; cut < 60; ++cut) {
    const std::size_t at = cut < 20 ? static_cast<std::size_t>(cut) : random() % state.size();
    refuses(state.substr(0, at));
    std::string damaged = state;
    damaged[random() % state.size()] ^= static_cast<char>(1 << random() % 8);
    refuses(damaged);
    if (at >= 12) refuses(Signed(state.substr(0, at)));
  }
  EXPECT_TRUE(absl::IsInvalidArgument(other->LoadState(Signed(state + "x"))));
  // Another seed holds other time back, a model with other inputs saw something else.
  RetrainerOptions seeded = Options();
  seeded.seed = 2;
  auto stranger = Retrainer::Create(TrainedShop(), seeded).value();
  absl::Status status = stranger->LoadState(state);
  EXPECT_TRUE(absl::IsInvalidArgument(status));
  EXPECT_NE(status.message().find("options.seed"), absl::string_view::npos) << status;
  stranger = Retrainer::Create(testing::TrainShop(1, true), Options()).value();
  status = stranger->LoadState(state);
  EXPECT_TRUE(absl::IsInvalidArgument(status));
  EXPECT_NE(status.message().find("other inputs"), absl::string_view::npos) << status;
  // What is whole is the same again.
  ASSERT_TRUE(other->LoadState(state).ok());
  EXPECT_EQ(StateOf(*other) == state, true);
}

TEST(RetrainerRestart, TreesAndNetworksAreNotTakenForEachOther) {
  const testing::FaultyRun faulty(1);
  const TreeModel model =
      TrainTrees({faulty.Labelled()}, {faulty.Labelled()}, testing::SmallTraining()).value();
  auto trees = Retrainer::Create(model, Options()).value();
  auto network = Retrainer::Create(TrainedShop(), Options()).value();
  absl::Status status = trees->LoadState(StateOf(*network));
  EXPECT_TRUE(absl::IsInvalidArgument(status));
  EXPECT_NE(status.message().find("of a network"), absl::string_view::npos) << status;
  status = network->LoadState(StateOf(*trees));
  EXPECT_TRUE(absl::IsInvalidArgument(status));
  EXPECT_NE(status.message().find("of trees"), absl::string_view::npos) << status;
}

// Bytes that somebody changed and signed: refused, or taken for what they say; it works on.
TEST(RetrainerRestart, SignedBytesOfAnybodysDoNoHarm) {
  const Recorded run(3600);
  auto retrainer = Retrainer::Create(TrainedShop(), Options()).value();
  std::size_t i = 0;
  for (; i < 3500 && (i < 1000 || retrainer->health().stage == RetrainStage::kIdle); ++i) {
    ASSERT_NO_FATAL_FAILURE(Live(retrainer.get(), run, i));
  }
  ASSERT_NE(retrainer->health().stage, RetrainStage::kIdle) << "nothing is being trained";
  const std::string state = StateOf(*retrainer);
  std::mt19937 random(9);
  int taken = 0;
  for (int round = 0; round < 150; ++round) {
    std::string changed = state;
    const int bytes = 1 + static_cast<int>(random() % 3);
    for (int b = 0; b < bytes; ++b) {
      // Half of them where the facts are, before and behind the many values.
      const std::size_t facts = 600;
      std::size_t at = 12 + random() % (changed.size() - 12);
      if (random() % 2 == 0) at = changed.size() - 1 - random() % facts;
      changed[at] = static_cast<char>(random());
    }
    auto other = Retrainer::Create(TrainedShop(), Options()).value();
    const absl::Status status = other->LoadState(Signed(changed));
    if (!status.ok()) {
      EXPECT_FALSE(status.message().empty());
      EXPECT_EQ(other->health().replay_windows, 0u);
      continue;
    }
    ++taken;
    for (std::size_t t = i; t < i + 40; ++t) {
      // Its last tick may be said to be later.
      (void)other->Observe(run.all[t], run.shop.cluster.topology);
      (void)other->Step(0);
    }
    EXPECT_LE(other->health().replay_bytes, Options().replay.bytes);
  }
  EXPECT_GT(taken, 0);
}

}  // namespace
}  // namespace seer
