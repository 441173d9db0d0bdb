#include "seer/predict/replay_buffer.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "seer/core/internal/state_io.h"

namespace seer {
namespace {

constexpr std::size_t kTicks = 3, kInputs = 2;

ReplayWindow Window(std::int32_t initiator, std::int64_t end_ns = 0, std::size_t slots = 4,
                    float depth = 1) {
  ReplayWindow window;
  window.end_ns = end_ns;
  window.slots = slots;
  window.initiator = initiator;
  window.hazards = {initiator == ReplayWindow::kNoViolation ? 2 : 0};
  window.values.assign(kTicks * slots * kInputs,
                       static_cast<std::int16_t>(std::lrint(CompressDepth(depth) * 2048)));
  return window;
}

ReplayBuffer Buffer(std::size_t bytes = 1 << 16) {
  ReplayOptions options;
  options.bytes = bytes;
  return ReplayBuffer::Create(kTicks, kInputs, 1, options).value();
}

ModelInputs Inputs() {
  ModelInputs inputs;
  inputs.inputs = WindowInputs(std::vector<WindowInput>{{}, {WindowInput::Kind::kSelf}});
  return inputs;
}

TEST(ReplayBuffer, GivesWindowsBackAsTheyWere) {
  ReplayBuffer buffer = Buffer();
  ReplayWindow window = Window(2, 7, 4, 100);
  window.values[1 * kInputs] = ReplayWindow::kMissing;  // slot 1, first input, oldest tick
  ASSERT_TRUE(buffer.Add(window).ok());
  ModelInputs inputs = Inputs();
  inputs.normalizer.inputs = {"depth(queued)", "self"};
  inputs.normalizer.common = {{1, 2}, {0, 1}};
  inputs.normalizer.services = {"two"};
  inputs.normalizer.scales = {{0, 4}, {0, 4}};
  // The model has other services, in another order; one that the window has not.
  const std::vector<std::string> services = {"two", "one", "nobody", "later"};
  const auto source = buffer.NewSource(inputs, services, {2, 1, -1, 9}, 0, 1);
  ASSERT_EQ(source->windows(), 1u);
  TrainingBatch batch;
  ASSERT_TRUE(source->Fill({0}, &batch).ok());
  ASSERT_EQ(batch.inputs.size(), kTicks * 4 * kInputs);
  const float depth = CompressDepth(100);
  EXPECT_NEAR(batch.inputs[0], depth / 4, 3e-4) << "slot 2 is the model's first, with its scale";
  EXPECT_EQ(batch.inputs[2], 0) << "missing";
  EXPECT_NEAR(batch.inputs[3], depth, 3e-4);
  EXPECT_NEAR(batch.inputs[4 * kInputs + 2], (depth - 1) / 2, 3e-4) << "the next tick";
  EXPECT_EQ(batch.inputs[4], 0) << "nobody has no slot";
  EXPECT_EQ(batch.inputs[6], 0) << "that slot came later";
  EXPECT_EQ(batch.initiator[0], 0);
  EXPECT_EQ(batch.hazard[0], 0);
  EXPECT_EQ(batch.weight[0], 1);
  EXPECT_FALSE(source->Fill({1}, &batch).ok());
}

TEST(ReplayBuffer, AFloodOfAMillionWindowsIsBoundedAndForgetsNoRareOne) {
  ReplayBuffer buffer = Buffer();
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(buffer.Add(Window(1, i)).ok());
  for (int i = 0; i < 1'000'000; ++i) {
    const std::int32_t who = i % 100 == 0 ? 0 : ReplayWindow::kNoViolation;
    ASSERT_TRUE(buffer.Add(Window(who, i)).ok());
    ASSERT_LE(buffer.bytes(), std::size_t{1} << 16);
  }
  EXPECT_EQ(buffer.added(), 1'000'010u);
  std::map<std::int32_t, int> kept;
  double older = 0;
  for (std::size_t i = 0; i < buffer.windows(); ++i) {
    ++kept[buffer.window(i).initiator];
    if (buffer.window(i).end_ns < 990'000) ++older;
  }
  EXPECT_EQ(kept[1], 10) << "they have less than their share";
  EXPECT_GT(kept[0], 50);
  EXPECT_GT(kept[ReplayWindow::kNoViolation], kept[0]);
  EXPECT_GT(older, 0) << "not only the newest";
  double stands_for = 0;
  for (std::size_t i = 0; i < buffer.windows(); ++i) stands_for += buffer.Represents(i);
  EXPECT_NEAR(stands_for, 1'000'010, 1);
}

TEST(ReplayBuffer, OldVersionsGoFirst) {
  ReplayBuffer buffer = Buffer();
  for (int i = 0; i < 3000; ++i) {
    ReplayWindow window = Window(ReplayWindow::kNoViolation, i);
    window.version = i < 200 ? 1 : 5;
    ASSERT_TRUE(buffer.Add(std::move(window)).ok());
  }
  for (std::size_t i = 0; i < buffer.windows(); ++i) EXPECT_EQ(buffer.window(i).version, 5u);
}

TEST(ReplayBuffer, DrawsHalfWithoutAViolationAndTheRareOftenerThanTheyAre) {
  ReplayBuffer buffer = Buffer(1 << 20);
  for (int i = 0; i < 1000; ++i) ASSERT_TRUE(buffer.Add(Window(ReplayWindow::kNoViolation)).ok());
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(buffer.Add(Window(0)).ok());
  for (int i = 0; i < 4; ++i) ASSERT_TRUE(buffer.Add(Window(1)).ok());
  const std::vector<std::string> services = {"zero", "one"};
  const auto draw = [&](std::uint64_t seed) {
    const auto source = buffer.NewSource(Inputs(), services, {0, 1}, 6000, seed);
    std::vector<std::uint64_t> all(source->windows());
    for (std::size_t i = 0; i < all.size(); ++i) all[i] = i;
    TrainingBatch batch;
    EXPECT_TRUE(source->Fill(all, &batch).ok());
    return batch.initiator;
  };
  const std::vector<std::int32_t> drawn = draw(3);
  std::map<std::int32_t, int> counts;
  for (const std::int32_t who : drawn) ++counts[who];
  EXPECT_NEAR(counts[2 + ModelInputs::kNoViolation], 3000, 150);
  EXPECT_NEAR(counts[0], 2500, 150);  // sqrt(100) : sqrt(4)
  EXPECT_NEAR(counts[1], 500, 100);
  EXPECT_EQ(draw(3), drawn);
  EXPECT_NE(draw(4), drawn);
}

TEST(ReplayBuffer, WhatDoesNotFitIsRefused) {
  ReplayBuffer buffer = Buffer();
  ReplayWindow window = Window(4);
  EXPECT_TRUE(absl::IsInvalidArgument(buffer.Add(window))) << "a slot that it has not";
  window = Window(0);
  window.values.pop_back();
  EXPECT_TRUE(absl::IsInvalidArgument(buffer.Add(window)));
  window = Window(0);
  window.weight = std::nanf("");
  EXPECT_TRUE(absl::IsInvalidArgument(buffer.Add(window)));
  window = Window(0);
  window.hazards.clear();
  EXPECT_TRUE(absl::IsInvalidArgument(buffer.Add(window)));
  EXPECT_TRUE(absl::IsResourceExhausted(buffer.Add(Window(0, 0, 100'000))));
  EXPECT_EQ(buffer.windows(), 0u);
  EXPECT_FALSE(ReplayBuffer::Create(0, 1, 1, {}).ok());
  EXPECT_FALSE(ReplayBuffer::Create(1, 0, 1, {}).ok());
}

TEST(ReplayBuffer, WhatIsKeptAndLoadedIsTheSameAndGoesOnSo) {
  ReplayBuffer buffer = Buffer();
  const auto add = [](ReplayBuffer* to, int i) {
    const std::int32_t who = i % 7 == 0 ? i % 3 : ReplayWindow::kNoViolation;
    ASSERT_TRUE(to->Add(Window(i % 50 == 0 ? ReplayWindow::kLoad : who, i)).ok());
  };
  for (int i = 0; i < 3000; ++i) add(&buffer, i);
  buffer.ForgetBefore(900);
  std::string bytes;
  internal::StateIo save(&bytes);
  buffer.State(save);
  ReplayBuffer other = Buffer();
  internal::StateIo load{std::string_view(bytes)};
  other.State(load);
  ASSERT_TRUE(load.status().ok()) << load.status();
  for (int i = 3000; i < 4000; ++i) add(&buffer, i), add(&other, i);
  ASSERT_EQ(other.windows(), buffer.windows());
  EXPECT_EQ(other.bytes(), buffer.bytes());
  EXPECT_EQ(other.added(), buffer.added());
  for (std::size_t i = 0; i < buffer.windows(); ++i) {
    ASSERT_EQ(other.window(i).end_ns, buffer.window(i).end_ns);
    ASSERT_EQ(other.window(i).values, buffer.window(i).values);
    ASSERT_EQ(other.Represents(i), buffer.Represents(i));
  }

  // One of another shape does not take it, nor what was cut off; a smaller one what it has room
  // for.
  ReplayBuffer wider = ReplayBuffer::Create(kTicks, kInputs + 1, 1, {}).value();
  internal::StateIo into_wider{std::string_view(bytes)};
  wider.State(into_wider);
  EXPECT_TRUE(absl::IsInvalidArgument(into_wider.status()));
  ReplayBuffer half = Buffer();
  internal::StateIo cut(std::string_view(bytes).substr(0, bytes.size() / 2));
  half.State(cut);
  EXPECT_TRUE(absl::IsInvalidArgument(cut.status()));
  ReplayBuffer large = Buffer(1 << 20);
  for (int i = 0; i < 2000; ++i) add(&large, i);
  bytes.clear();
  internal::StateIo save_large(&bytes);
  large.State(save_large);
  ReplayBuffer small = Buffer();
  internal::StateIo into_small{std::string_view(bytes)};
  small.State(into_small);
  EXPECT_TRUE(into_small.status().ok());
  EXPECT_LE(small.bytes(), std::size_t{1} << 16);
  EXPECT_GT(small.windows(), 100u);
}

TEST(ReplayBuffer, ForgetsWhatIsTooOld) {
  ReplayBuffer buffer = Buffer();
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(buffer.Add(Window(i % 2 == 0 ? 0 : -2, i)).ok());
  buffer.ForgetBefore(60);
  EXPECT_EQ(buffer.windows(), 40u);
  EXPECT_EQ(buffer.positives(), 20u);
  buffer.Clear();
  EXPECT_EQ(buffer.bytes(), 0u);
}

}  // namespace
}  // namespace seer
