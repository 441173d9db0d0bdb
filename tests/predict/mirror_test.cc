// Mirrors in one process: the primary's forecasts are the oracle, bit by bit. What happens when
// processes are killed: mirror_kill_test.cc.
#include "seer/predict/mirror.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "seer/predict/boosted_trees.h"
#include "seer/predict/tree_model.h"
#include "tests/predict/small_nodes.h"

namespace seer {
namespace {

using testing::BitsOf;
using ::testing::HasSubstr;
using testing::NodeInput;
using testing::SmallModel;
using testing::SmallNodes;

struct Group {
  explicit Group(std::string model = "", RivalKind rival = RivalKind::kSelfDepthZ) {
    options.predictor.clock = &clock;
    options.predictor.rival = rival;
    options.predictor.rival_options.baseline_ns = 5'000'000'000;
    options.predictor.rival_options.warmup_ns = 1'000'000'000;
    options.predictor.warm_ticks = 7;
    options.model = std::move(model);
    primary = New();
    EXPECT_TRUE(primary->TakeOver(1).ok());
  }
  std::unique_ptr<Mirror> New() const { return Mirror::Create(options).value(); }

  void Give(const NodeInput& input) {
    clock.Set(input.time_ns);
    EXPECT_TRUE(primary->ObserveWire(input.bytes).ok());
    primary->Predict();
  }
  // What the stand-by lacks.
  absl::Status Follow(Mirror* standby) const {
    auto deltas = primary->DeltasAfter(standby->sequence());
    if (!deltas.ok()) return deltas.status();
    for (const std::string& delta : *deltas) {
      if (absl::Status status = standby->Apply(delta); !status.ok()) return status;
    }
    return absl::OkStatus();
  }

  ManualClock clock;
  MirrorOptions options;
  std::unique_ptr<Mirror> primary;
};

TEST(Mirror, StandBysForecastAsThePrimaryWhateverTheNodesDo) {
  for (const bool model : {false, true}) {
    SCOPED_TRACE(model);
    Group group(model ? SmallModel(4) : "");
    const auto standby = group.New();
    int alarms = 0;
    for (const NodeInput& input : SmallNodes(1).Send(240)) {
      group.Give(input);
      ASSERT_TRUE(group.Follow(standby.get()).ok());
      ASSERT_EQ(BitsOf(standby->forecast()), BitsOf(group.primary->forecast()));
      alarms += standby->forecast().alarm() ? 1 : 0;
    }
    EXPECT_GT(alarms, 0) << "nothing happened that could be told apart";
    const PredictorHealth ours = group.primary->health(), theirs = standby->health();
    EXPECT_GT(ours.merger.late + ours.merger.duplicates, 10u);
    EXPECT_GT(ours.merger.forgotten, 0u);
    EXPECT_EQ(ours.merger.restarts, 1u);
    EXPECT_EQ(theirs.merger.late, ours.merger.late);
    EXPECT_EQ(theirs.ticks, ours.ticks);
    EXPECT_GT(ours.ticks, 200u);
  }
}

// The state of every kind of predictor, taken in the middle of everything.
void JoinsAtAnyMoment(Group* group, std::uint32_t seed, int every) {
  int joined = 0;
  std::vector<std::unique_ptr<Mirror>> standbys;
  for (const NodeInput& input : SmallNodes(seed).Send(160)) {
    group->Give(input);
    for (const auto& standby : standbys) {
      const absl::Status status = group->Follow(standby.get());
      ASSERT_TRUE(status.ok()) << status;
      ASSERT_EQ(BitsOf(standby->forecast()), BitsOf(group->primary->forecast()));
    }
    if (++joined % every != 0) continue;
    const auto state = group->primary->SaveState();
    ASSERT_TRUE(state.ok()) << state.status();
    standbys.push_back(group->New());
    const absl::Status status = standbys.back()->LoadState(*state);
    ASSERT_TRUE(status.ok()) << status;
    ASSERT_EQ(BitsOf(standbys.back()->forecast()), BitsOf(group->primary->forecast()));
    ASSERT_TRUE(standbys.back()->SaveState().ok());
    if (standbys.size() > 5) standbys.erase(standbys.begin());
  }
  for (const auto& standby : standbys) {
    EXPECT_EQ(standby->health().merger.late, group->primary->health().merger.late);
  }
}

TEST(Mirror, JoinersLoadTheStateOfARivalAtAnyMoment) {
  for (const RivalKind rival : kAllRivals) {
    SCOPED_TRACE(RivalName(rival));
    Group group("", rival);
    JoinsAtAnyMoment(&group, 2, 13);
  }
}

TEST(Mirror, JoinersLoadTheStateOfAModelAtAnyMoment) {
  Group group(SmallModel(4));
  JoinsAtAnyMoment(&group, 3, 7);
}

// Trees that learnt nothing of use, and have opinions about everything that they look at.
std::string SmallTrees() {
  TreeRows rows;
  rows.columns = TreeModel::kClassColumns;
  rows.outputs = 2;
  std::mt19937 random(1);
  std::normal_distribution<float> normal(0, 2);
  for (int i = 0; i < 600; ++i) {
    float sum = 0;
    for (std::size_t c = 0; c < rows.columns; ++c) {
      rows.values.push_back(normal(random));
      sum += c % 3 == 0 ? rows.values.back() : 0;
    }
    rows.labels.push_back(sum > 3 ? 1.0f : 0.0f);
    rows.labels.push_back(sum > 0 ? 1.0f : 0.0f);
  }
  TreeFitOptions options;
  options.rounds = 30;
  TreeModel model;
  model.horizons_ns = {300'000'000, 1'000'000'000};
  model.violations = BoostedTrees::Fit(rows, nullptr, options).value();
  model.calibration.threshold = 0.3;
  return EncodeTreeModel(model);
}

TEST(Mirror, JoinersLoadTheStateOfTreesAtAnyMoment) {
  Group group(SmallTrees());
  JoinsAtAnyMoment(&group, 4, 11);
  EXPECT_EQ(group.primary->health().model, "trees");
  EXPECT_FALSE(group.primary->forecast().classes.empty());
}

TEST(Mirror, ModelsChangeOnAllAtTheSameTick) {
  Group group(SmallModel(4));
  const auto standby = group.New();
  std::unique_ptr<Mirror> joiner;
  const std::string next = SmallModel(5);
  int given = 0;
  for (const NodeInput& input : SmallNodes(4).Send(120, true)) {
    group.Give(input);
    if (++given == 150) {
      ASSERT_TRUE(group.primary->UseModel(next).ok());
    }
    if (given == 160) {
      EXPECT_EQ(group.primary->health().next_model, "model") << "it looks on";
      joiner = group.New();
      ASSERT_TRUE(joiner->LoadState(group.primary->SaveState().value()).ok());
    }
    ASSERT_TRUE(group.Follow(standby.get()).ok());
    if (joiner != nullptr) {
      ASSERT_TRUE(group.Follow(joiner.get()).ok());
      ASSERT_EQ(BitsOf(joiner->forecast()), BitsOf(group.primary->forecast()));
    }
  }
  EXPECT_EQ(standby->health().models_changed, 1u);
  EXPECT_EQ(joiner->health().models_changed, 1u);
  // One that joins now has the new model, though it was made with the old one.
  const auto late = group.New();
  ASSERT_TRUE(late->LoadState(group.primary->SaveState().value()).ok());
  EXPECT_TRUE(absl::IsInvalidArgument(group.primary->UseModel("no model")));
  for (const NodeInput& input : SmallNodes(4).Send(150, true)) {
    if (input.time_ns <= group.clock.NowNs()) continue;
    group.Give(input);
    ASSERT_TRUE(group.Follow(late.get()).ok());
    ASSERT_EQ(BitsOf(late->forecast()), BitsOf(group.primary->forecast()));
  }
}

class MirrorRules : public ::testing::Test {
 protected:
  MirrorRules() : standby(group.New()) {
    for (const NodeInput& input : SmallNodes(5).Send(20, true)) group.Give(input);
    deltas = group.primary->DeltasAfter(0).value();
    for (std::size_t i = 0; i < 60; ++i) EXPECT_TRUE(standby->Apply(deltas[i]).ok());
  }
  // `delta` is refused, with this code, and nothing has changed.
  void Refused(const std::string& delta, absl::StatusCode code) {
    const std::string before = standby->SaveState().value();
    const absl::Status status = standby->Apply(delta);
    EXPECT_EQ(status.code(), code) << status;
    EXPECT_TRUE(standby->SaveState().value() == before);
    EXPECT_EQ(standby->sequence(), 60u);
    EXPECT_TRUE(standby->Apply(deltas[60]).ok()) << "the right one is still taken";
    ASSERT_TRUE(standby->LoadState(before).ok());
  }

  Group group;
  std::unique_ptr<Mirror> standby;
  std::vector<std::string> deltas;
};

TEST_F(MirrorRules, NothingIsAppliedTwiceOrOutOfOrder) {
  Refused(deltas[59], absl::StatusCode::kAlreadyExists);
  Refused(deltas[0], absl::StatusCode::kAlreadyExists);
  Refused(deltas[61], absl::StatusCode::kOutOfRange);
  Refused(deltas[80], absl::StatusCode::kOutOfRange);
}

TEST_F(MirrorRules, DamagedDeltasAreRefused) {
  const std::string& next = deltas[60];
  for (const std::size_t at : {std::size_t{0}, std::size_t{33}, next.size() - 1}) {
    std::string damaged = next;
    damaged[at] = static_cast<char>(damaged[at] ^ 4);
    const absl::Status status = standby->Apply(damaged);
    EXPECT_FALSE(status.ok());
    EXPECT_EQ(standby->sequence(), 60u);
  }
  Refused(next.substr(0, next.size() - 1), absl::StatusCode::kDataLoss);
  Refused("", absl::StatusCode::kDataLoss);
  // One with a good checksum and no message in it.
  StateDelta delta = DecodeDelta(next).value();
  delta.kind = DeltaKind::kMessage;
  delta.payload = "nothing that a node would say";
  Refused(EncodeDelta(delta), absl::StatusCode::kInvalidArgument);
  delta.payload = "SEER\x10";  // and nothing more
  Refused(EncodeDelta(delta), absl::StatusCode::kDataLoss);
  delta.kind = DeltaKind::kModel;
  Refused(EncodeDelta(delta), absl::StatusCode::kInvalidArgument);
}

TEST_F(MirrorRules, OtherHistoriesAreRefused) {
  StateDelta delta = DecodeDelta(deltas[60]).value();
  delta.stream ^= 1;
  Refused(EncodeDelta(delta), absl::StatusCode::kFailedPrecondition);
  delta = DecodeDelta(deltas[60]).value();
  delta.term = 0;
  Refused(EncodeDelta(delta), absl::StatusCode::kFailedPrecondition);
  delta.term = 2;  // whose beginning was not seen
  Refused(EncodeDelta(delta), absl::StatusCode::kFailedPrecondition);
  // After another delta 60 than ours: what is known here is not what the primary did.
  delta = DecodeDelta(deltas[60]).value();
  delta.previous ^= 1;
  EXPECT_TRUE(absl::IsFailedPrecondition(standby->Apply(EncodeDelta(delta))));
  EXPECT_TRUE(absl::IsFailedPrecondition(standby->Apply(deltas[60]))) << "until it has a state";
  ASSERT_TRUE(standby->LoadState(group.primary->SaveState().value()).ok());
  EXPECT_EQ(standby->sequence(), group.primary->sequence());
}

TEST_F(MirrorRules, AForecastThatDiffersIsNoticed) {
  std::size_t i = 60;
  while (DecodeDelta(deltas[i])->forecast == 0) ASSERT_TRUE(standby->Apply(deltas[i++]).ok());
  StateDelta delta = DecodeDelta(deltas[i]).value();
  delta.forecast ^= 2;
  const absl::Status status = standby->Apply(EncodeDelta(delta));
  EXPECT_TRUE(absl::IsInternal(status));
  EXPECT_THAT(std::string(status.message()), HasSubstr("same build"));
  EXPECT_TRUE(absl::IsFailedPrecondition(standby->SaveState().status()));
  EXPECT_TRUE(absl::IsFailedPrecondition(standby->TakeOver(9)));
  ASSERT_TRUE(standby->LoadState(group.primary->SaveState().value()).ok());
  EXPECT_TRUE(standby->TakeOver(9).ok());
}

TEST_F(MirrorRules, AnOldPrimaryLearnsThatItIsOneNoMore) {
  // It did things that nobody was told, and another took over without them.
  ASSERT_TRUE(standby->TakeOver(2).ok());
  const std::string news = standby->DeltasAfter(60)->front();
  EXPECT_TRUE(group.primary->primary());
  EXPECT_TRUE(absl::IsFailedPrecondition(group.primary->Apply(news)));
  EXPECT_FALSE(group.primary->primary());
  EXPECT_TRUE(absl::IsFailedPrecondition(
      group.primary->ObserveWire(SmallNodes(5).Send(1, true).front().bytes)));
  ASSERT_TRUE(group.primary->LoadState(standby->SaveState().value()).ok());
  EXPECT_EQ(group.primary->term(), 2u);
  // And what it still sends from before is of no use to anybody.
  EXPECT_TRUE(absl::IsFailedPrecondition(standby->Apply(deltas[61])));
}

TEST_F(MirrorRules, TheElectedGoOnWhereThePrimaryEnded) {
  ASSERT_TRUE(group.Follow(standby.get()).ok());
  const auto other = group.New();
  ASSERT_TRUE(group.Follow(other.get()).ok());
  ASSERT_TRUE(standby->TakeOver(2).ok());
  for (const NodeInput& input : SmallNodes(5).Send(40, true)) {
    if (input.time_ns <= group.clock.NowNs()) continue;
    group.Give(input);  // as if it had not died
    ASSERT_TRUE(standby->ObserveWire(input.bytes).ok());
    standby->Predict();
    ASSERT_EQ(BitsOf(standby->forecast()), BitsOf(group.primary->forecast()));
  }
  const auto news = standby->DeltasAfter(other->sequence()).value();
  for (const std::string& delta : news) {
    ASSERT_TRUE(other->Apply(delta).ok());
  }
  EXPECT_EQ(BitsOf(other->forecast()), BitsOf(standby->forecast()));
  EXPECT_EQ(other->term(), 2u);
  EXPECT_TRUE(absl::IsInvalidArgument(other->TakeOver(2))) << "there was one already";
}

TEST(Mirror, KeepsNoMoreThanItIsAllowed) {
  Group group;
  group.options.keep_bytes = 4000;
  group.primary = group.New();
  ASSERT_TRUE(group.primary->TakeOver(1).ok());
  for (const NodeInput& input : SmallNodes(6).Send(60, true)) group.Give(input);
  EXPECT_TRUE(absl::IsOutOfRange(group.primary->DeltasAfter(0).status()));
  EXPECT_TRUE(absl::IsOutOfRange(group.primary->DeltasAfter(1'000'000).status()));
  const std::uint64_t last = group.primary->sequence();
  EXPECT_TRUE(group.primary->DeltasAfter(last)->empty());
  EXPECT_EQ(group.primary->DeltasAfter(last - 2)->size(), 2u);
  EXPECT_EQ(group.primary->DeltasAfter(last - 2, 1)->size(), 1u) << "at least one";
}

TEST(Mirror, DamagedStatesAreRefusedAndNothingChanges) {
  Group group(SmallModel(4));
  for (const NodeInput& input : SmallNodes(7).Send(15, true)) group.Give(input);
  const std::string state = group.primary->SaveState().value();
  const auto standby = group.New();
  ASSERT_TRUE(standby->LoadState(state).ok());
  for (std::size_t i = 0; i < state.size(); i += 1 + state.size() / 500) {
    std::string damaged = state;
    damaged[i] = static_cast<char>(damaged[i] ^ 1);
    EXPECT_FALSE(standby->LoadState(damaged).ok()) << i;
    EXPECT_FALSE(standby->LoadState(state.substr(0, i)).ok()) << i;
  }
  EXPECT_TRUE(standby->SaveState().value() == state);

  Group other;  // a rival, where the state brings its own model
  ASSERT_TRUE(other.primary->LoadState(state).ok());
  Group wide;
  wide.options.predictor.warm_ticks = 8;
  const absl::Status status = wide.New()->LoadState(state);
  EXPECT_TRUE(absl::IsFailedPrecondition(status));
  EXPECT_THAT(std::string(status.message()), HasSubstr("options.warm_ticks was 7, is 8"));
}

TEST(Mirror, AModelThatCannotBeSavedIsSaidToBeSo) {
  class Mute : public TickPredictor {
   public:
    std::string_view name() const override { return "mute"; }
    absl::Status Observe(const ClusterTick&, const Topology&, Forecast*) override {
      return absl::OkStatus();
    }
    void Reset() override {}
  };
  Group group;
  group.options.model = "anything";
  group.options.make_model = [](std::string_view) {
    return absl::StatusOr<std::unique_ptr<TickPredictor>>(std::make_unique<Mute>());
  };
  const auto mirror = group.New();
  ASSERT_TRUE(mirror->TakeOver(1).ok());
  EXPECT_TRUE(absl::IsUnimplemented(mirror->SaveState().status()));
}

}  // namespace
}  // namespace seer
