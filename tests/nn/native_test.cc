// The backend native (src/nn/native_*): what backend_test.cc does not ask of every backend.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "nn/backends.h"
#include "nn/native_kernels.h"
#include "seer/nn/backend.h"
#include "tests/nn/oracle.h"
#include "tests/nn/samples.h"
#include "tests/support/allocations.h"

#if defined(__SSE2__)
#include <xmmintrin.h>
#endif

namespace seer {
namespace {

using testing::Weights;

// One for each set of instructions that this processor has.
const std::vector<std::unique_ptr<Backend>>& Sets() {
  static const auto* const all = [] {
    auto* made = new std::vector<std::unique_ptr<Backend>>;
    std::size_t count = 0;
    const internal::NativeKernels* const* kernels = internal::UsableNativeKernels(&count);
    for (std::size_t i = 0; i < count; ++i) {
      made->push_back(internal::MakeNativeBackend(*kernels[i]));
    }
    return made;
  }();
  return *all;
}

// Wide enough for more than one piece of the convolutions and panel of each product; LSTMs below,
// at and above a vector's width.
std::vector<Network> Shapes() {
  std::vector<Network> all;
  const std::string end = "last_tick\nhead kind=dense output=softmax extras=1\n";
  const std::string convs =
      "conv units=8 kernel=5 stride=2 padding=2 activation=relu\n"
      "conv units=16 kernel=5 stride=3 padding=2 activation=relu\n";
  for (const std::string units : {"1", "16", "17", "31", "64"}) {
    all.push_back(testing::MakeNetwork(
        convs + "lstm units=" + units + "\nlstm units=" + units + "\n" + end, "40", 5, 1));
  }
  all.push_back(testing::MakeNetwork(convs + "lstm units=24\n" + end, "1300 3 700", 3, 1));
  all.push_back(
      testing::MakeNetwork("conv units=24 kernel=7 stride=1 padding=6 activation=tanh\n"
                           "conv units=40 kernel=3 stride=2 padding=0 activation=none\n"
                           "conv units=2 kernel=4 stride=3 padding=3 activation=sigmoid\n"
                           "dense units=70 activation=relu\nlstm units=20\n" +
                               end,
                           "301 9", 4, 3));
  for (const std::string& name : ModelConfig::Names()) {
    all.push_back(*Network::Create(*ModelConfig::Named(name, 230, 2, 6)));
  }
  return all;
}

std::vector<float> Logits(const Backend& backend, const Network& network,
                          const std::vector<float>& inputs) {
  InferenceOptions options;
  options.logits = true;
  const std::size_t windows = inputs.size() / network.window_values();
  auto engine = *backend.NewInference(network, Weights(network), options);
  auto workspace = *engine->NewWorkspace(windows);
  std::vector<float> out(windows * network.outputs());
  EXPECT_TRUE(engine->Run(inputs, windows, workspace.get(), absl::MakeSpan(out)).ok());
  return out;
}

TEST(Native, OutputsOfEverySetOfInstructionsAreWithinAMillionthOfTheOracle) {
  for (const Network& network : Shapes()) {
    SCOPED_TRACE(network.config().ToText());
    // More windows than are computed at once.
    const auto inputs = testing::Uniform(7 * network.window_values(), 3, -1, 1);
    const std::vector<float> weights = Weights(network);
    const std::vector<double> p(weights.begin(), weights.end());
    const std::vector<double> x(inputs.begin(), inputs.end());
    internal::Reference<double> reference(network);
    std::vector<double> expected;
    for (std::size_t w = 0; w < 7; ++w) {
      std::vector<double> z(network.outputs());
      reference.Forward(p.data(), x.data() + w * network.window_values(), {}, z.data());
      expected.insert(expected.end(), z.begin(), z.end());
    }
    const double scale = std::max(1.0, testing::Largest(expected, 0, expected.size()));
    for (const auto& backend : Sets()) {
      SCOPED_TRACE(backend->Description());
      const std::vector<float> out = Logits(*backend, network, inputs);
      for (std::size_t i = 0; i < out.size(); ++i) {
        ASSERT_NEAR(double{out[i]}, expected[i], 1e-6 * scale) << i;
      }
    }
  }
}

TEST(Native, TheSameSetOfInstructionsGivesTheSameBits) {
  for (const Network& network : Shapes()) {
    SCOPED_TRACE(network.config().ToText());
    const auto inputs = testing::Uniform(7 * network.window_values(), 3, -1, 1);
    for (const auto& backend : Sets()) {
      const std::vector<float> once = Logits(*backend, network, inputs);
      EXPECT_EQ(once, Logits(*backend, network, inputs)) << backend->Description();
    }
  }
}

TEST(Native, SlidingEqualsTheWholeWindowInPieces) {
  for (const Network& network : Shapes()) {
    SCOPED_TRACE(network.config().ToText());
    const std::size_t each = network.window_values() / network.config().ticks;
    const std::size_t ticks = network.config().ticks + 3;
    const auto inputs = testing::Uniform(ticks * each, 3, -1, 1);
    for (const auto& backend : Sets()) {
      SCOPED_TRACE(backend->Description());
      auto engine = *backend->NewInference(network, Weights(network));
      auto session = *engine->NewSession(RunMode::kSlide);
      auto workspace = *engine->NewWorkspace(1);
      std::vector<float> slid(network.outputs()), whole(slid);
      for (std::size_t t = 0; t < ticks; ++t) {
        const auto tick = absl::MakeConstSpan(inputs).subspan(t * each, each);
        ASSERT_TRUE(session->Push(tick, absl::MakeSpan(slid)).ok());
      }
      const auto window = absl::MakeConstSpan(inputs).subspan(3 * each);
      ASSERT_TRUE(engine->Run(window, 1, workspace.get(), absl::MakeSpan(whole)).ok());
      for (std::size_t i = 0; i < whole.size(); ++i) ASSERT_NEAR(slid[i], whole[i], 1e-6) << i;
    }
  }
}

// Networks without local layers know nothing of their number of ticks but through the window.
std::vector<std::string> Streams() {
  return {
      "conv units=8 kernel=5 stride=2 padding=2 activation=relu\nlstm units=20\ndropout rate=0.1\n"
      "lstm units=9\nlast_tick\ndense units=7 activation=tanh\n"
      "head kind=dense output=softmax extras=1\n",
      "dense units=7 activation=none\nlstm units=33\nlast_tick\n"
      "head kind=dense output=sigmoid extras=0\nhazard classes=2 horizons=3\n",
      "pool\nlast_tick\nhead kind=dense output=softmax extras=1\n"};
}

TEST(Native, TicksAreTheSameBitsWhicheverWayTheWeightsAreRead) {
  for (const Network& network : Shapes()) {
    SCOPED_TRACE(network.config().ToText());
    const std::size_t ticks = network.config().ticks;
    const auto tick = testing::Uniform(network.window_values() / ticks, 3, -1, 1);
    for (const auto& backend : Sets()) {
      SCOPED_TRACE(backend->Description());
      auto engine = *backend->NewInference(network, Weights(network));
      auto session = *engine->NewSession(RunMode::kSlide);
      // Once all ticks of the window are the same, an even and an odd number of them are.
      std::vector<float> even(network.outputs()), odd(even);
      for (std::size_t t = 0; t < 2 * ticks; ++t) {
        ASSERT_TRUE(session->Push(tick, absl::MakeSpan(even)).ok());
      }
      ASSERT_TRUE(session->Push(tick, absl::MakeSpan(odd)).ok());
      EXPECT_EQ(even, odd);
    }
  }
}

TEST(Native, WeightsPackedWhereTheyStandGiveTheSameBits) {
  std::vector<Network> shapes = Shapes();
  // Products of whole panels; one that begins with the first weight; one that is too large.
  const std::string end = "lstm units=64\nlast_tick\nhead kind=dense output=softmax extras=0\n";
  shapes.push_back(testing::MakeNetwork(
      "conv units=16 kernel=5 stride=3 padding=2 activation=relu\ndense units=192 "
      "activation=tanh\nlstm units=128\n" +
          end,
      "192", 4, 1));
  shapes.push_back(testing::MakeNetwork("lstm units=64\n" + end, "128", 4, 1));
  shapes.push_back(testing::MakeNetwork("dense units=256 activation=relu\n" + end, "4160", 2, 1));
  for (const Network& network : shapes) {
    SCOPED_TRACE(network.config().ToText());
    const auto inputs = testing::Uniform(network.window_values(), 3, -1, 1);
    for (const auto& backend : Sets()) {
      SCOPED_TRACE(backend->Description());
      for (const bool halves : {false, true}) {
        InferenceOptions options;
        options.bfloat16_weights = halves;
        std::vector<float> out[2];
        for (const bool taken : {false, true}) {
          auto engine = taken ? *backend->NewInferenceTaking(network, Weights(network), options)
                              : *backend->NewInference(network, Weights(network), options);
          auto workspace = *engine->NewWorkspace(1);
          out[taken].resize(network.outputs());
          ASSERT_TRUE(engine->Run(inputs, 1, workspace.get(), absl::MakeSpan(out[taken])).ok());
        }
        EXPECT_EQ(out[0], out[1]) << halves;
      }
    }
  }
}

TEST(Native, StreamEqualsOneWindowOfAllTicks) {
  for (const std::string& layers : Streams()) {
    const Network network = testing::MakeNetwork(layers, "9 4", 3, 2);
    for (const auto& backend : Sets()) {
      SCOPED_TRACE(backend->Description() + layers);
      auto engine = *backend->NewInference(network, Weights(network));
      auto session = *engine->NewSession(RunMode::kStream);
      const auto inputs = testing::Uniform(11 * 26, 3, -1, 1);
      std::vector<float> streamed(network.outputs()), whole(streamed);
      for (int round = 0; round < 2; ++round) {
        for (std::uint32_t t = 0; t < 11; ++t) {
          const auto tick = absl::MakeConstSpan(inputs).subspan(t * 26, 26);
          if (t == 7) {  // as if they had never come
            std::vector<float> bad(tick.begin(), tick.end());
            bad[5] = 0x1p70f;
            EXPECT_FALSE(session->Push(bad, absl::MakeSpan(streamed)).ok());
            EXPECT_FALSE(session->Push(tick.subspan(1), absl::MakeSpan(streamed)).ok());
          }
          ASSERT_TRUE(session->Push(tick, absl::MakeSpan(streamed)).ok());
          const Network longer = testing::MakeNetwork(layers, "9 4", t + 1, 2);
          auto other = *FindBackend("reference")->NewInference(longer, Weights(longer));
          auto workspace = *other->NewWorkspace(1);
          const auto window = absl::MakeConstSpan(inputs).subspan(0, (t + 1) * 26);
          ASSERT_TRUE(other->Run(window, 1, workspace.get(), absl::MakeSpan(whole)).ok());
          for (std::size_t i = 0; i < whole.size(); ++i) {
            ASSERT_NEAR(streamed[i], whole[i], 1e-6) << "tick " << t;
          }
        }
        session->Reset();
      }
    }
  }
}

TEST(Native, StreamsOfSeveralApplicationsAreThoseOfEach) {
  for (const std::string& layers : Streams()) {
    const Network network = testing::MakeNetwork(layers, "9 4", 3, 2);
    const std::size_t outputs = network.outputs();
    for (const auto& backend : Sets()) {
      SCOPED_TRACE(backend->Description() + layers);
      auto engine = *backend->NewInference(network, Weights(network));
      for (const std::size_t applications : {3, 12}) {
        auto together = *engine->NewSessionOf(applications, RunMode::kStream);
        std::vector<std::unique_ptr<TickSession>> alone;
        for (std::size_t a = 0; a < applications; ++a) {
          alone.push_back(*engine->NewSession(RunMode::kStream));
        }
        std::vector<float> all(applications * outputs), one(outputs);
        for (std::uint64_t t = 0; t < 7; ++t) {
          if (t == 4) {
            together->Reset();
            for (auto& session : alone) session->Reset();
          }
          const auto ticks = testing::Uniform(applications * 26, t, -1, 1);
          if (t == 2) {  // as if they had never come
            std::vector<float> bad = ticks;
            bad[30] = 0x1p70f;
            EXPECT_FALSE(together->Push(bad, absl::MakeSpan(all)).ok());
          }
          ASSERT_TRUE(together->Push(ticks, absl::MakeSpan(all)).ok());
          for (std::size_t a = 0; a < applications; ++a) {
            const auto tick = absl::MakeConstSpan(ticks).subspan(a * 26, 26);
            ASSERT_TRUE(alone[a]->Push(tick, absl::MakeSpan(one)).ok());
            for (std::size_t i = 0; i < outputs; ++i) {
              ASSERT_NEAR(all[a * outputs + i], one[i], 1e-6) << "application " << a;
            }
          }
        }
      }
    }
  }
}

// What 16 bits cost (README.md): of a network with weights rounded to them it is the exact output.
TEST(Native, Bfloat16WeightsAreTheWeightsToTheNearestSixteenBits) {
  InferenceOptions halves;
  halves.logits = halves.bfloat16_weights = true;
  for (const Network& network : Shapes()) {
    SCOPED_TRACE(network.config().ToText());
    const auto inputs = testing::Uniform(3 * network.window_values(), 3, -1, 1);
    const std::vector<float> weights = Weights(network);
    std::vector<float> rounded = weights;
    for (const Tensor& tensor : network.tensors()) {
      // Of products, but for those of a recurrence, and of the last one of a shared head.
      bool of_product = !tensor.bias && tensor.name.find("recurrent") == std::string::npos &&
                        tensor.name != "head.out";
      for (std::size_t i = 0; i < network.trunk().size(); ++i) {
        const Stage& stage = network.trunk()[i];
        if (stage.layer.kind == LayerKind::kConv && stage.weight == tensor.offset) {
          of_product = false;
        }
      }
      of_product = of_product && tensor.name.rfind("local", 0) != 0 &&
                   (network.config().head == HeadKind::kDense ||
                    network.config().head_hidden != 0 || tensor.name != "head.weight");
      for (std::size_t i = 0; of_product && i < tensor.size(); ++i) {
        std::uint32_t bits;
        float& value = rounded[tensor.offset + i];
        std::memcpy(&bits, &value, sizeof(bits));
        bits = (bits + 0x7fff + (bits >> 16 & 1)) & 0xffff0000u;
        std::memcpy(&value, &bits, sizeof(bits));
      }
    }
    for (const auto& backend : Sets()) {
      SCOPED_TRACE(backend->Description());
      auto engine = *backend->NewInference(network, weights, halves);
      auto session = *engine->NewSession(RunMode::kSlide);
      InferenceOptions plain;
      plain.logits = true;
      auto exact = *backend->NewInference(network, rounded, plain);
      auto workspace = *engine->NewWorkspace(3), other = *exact->NewWorkspace(3);
      std::vector<float> out(3 * network.outputs()), expected(out), slid(network.outputs());
      ASSERT_TRUE(engine->Run(inputs, 3, workspace.get(), absl::MakeSpan(out)).ok());
      ASSERT_TRUE(exact->Run(inputs, 3, other.get(), absl::MakeSpan(expected)).ok());
      EXPECT_EQ(out, expected);
      const std::size_t each = network.window_values() / network.config().ticks;
      for (std::size_t at = 0; at < network.window_values(); at += each) {
        const auto tick = absl::MakeConstSpan(inputs).subspan(at, each);
        ASSERT_TRUE(session->Push(tick, absl::MakeSpan(slid)).ok());
      }
      for (std::size_t i = 0; i < slid.size(); ++i) ASSERT_NEAR(slid[i], out[i], 2e-6) << i;
    }
  }
}

TEST(Native, WeightsThatNoBfloat16IsNearStayFinite) {
  const Network network =
      testing::MakeNetwork("pool\nlast_tick\nhead kind=dense output=sigmoid extras=0\n", "2", 1, 1);
  InferenceOptions halves;
  halves.logits = halves.bfloat16_weights = true;
  const std::vector<float> weights(network.parameters(), std::numeric_limits<float>::max());
  auto engine = *FindBackend("native")->NewInference(network, weights, halves);
  auto workspace = *engine->NewWorkspace(1);
  std::vector<float> out(network.outputs());
  const std::vector<float> zeros(network.window_values());
  EXPECT_TRUE(engine->Run(zeros, 1, workspace.get(), absl::MakeSpan(out)).ok());
}

TEST(Native, OnlyNativeHasBfloat16Weights) {
  const Network network = testing::MakeNetwork(testing::Samples()[0].layers, "9", 4, 2);
  InferenceOptions halves;
  halves.bfloat16_weights = true;
  for (const Backend* backend : Backends()) {
    const auto engine = backend->NewInference(network, Weights(network), halves);
    EXPECT_EQ(engine.ok(), backend->name() == "native") << backend->name();
    if (!engine.ok()) {
      EXPECT_THAT(std::string(engine.status().message()), ::testing::HasSubstr("native"));
    }
  }
}

TEST(Native, StreamOfANetworkWithoutStateIsTheSlidingWindow) {
  const Network network = *Network::Create(*ModelConfig::Named("cnn", 12, 2, 4));
  auto engine = *FindBackend("native")->NewInference(network, Weights(network));
  auto slide = *engine->NewSession(RunMode::kSlide), stream = *engine->NewSession(RunMode::kStream);
  std::vector<float> slid(network.outputs()), streamed(slid);
  for (std::uint64_t t = 0; t < 6; ++t) {
    const auto tick = testing::Uniform(24, t, -1, 1);
    ASSERT_TRUE(slide->Push(tick, absl::MakeSpan(slid)).ok());
    ASSERT_TRUE(stream->Push(tick, absl::MakeSpan(streamed)).ok());
    EXPECT_EQ(slid, streamed);
  }
}

TEST(Native, AnOutputThatIsNotFiniteLeavesTheStreamAsItWas) {
  const Network network = testing::MakeNetwork(Streams()[1], "9", 4, 2);
  std::vector<float> weights = Weights(network);
  const Tensor& dense = *network.Find("trunk.0.weight");
  for (std::size_t i = 0; i < dense.size(); ++i) weights[dense.offset + i] *= 1e20f;
  auto engine = *FindBackend("native")->NewInference(network, weights);
  auto session = *engine->NewSession(RunMode::kStream),
       other = *engine->NewSession(RunMode::kStream);
  const auto huge = testing::Uniform(18, 4, -1e19f, 1e19f);  // 1e39 is no float
  std::vector<float> out(network.outputs()), expected(out);
  for (std::uint64_t t = 0; t < 4; ++t) {
    const auto tick = testing::Uniform(18, t, -1e-20f, 1e-20f);
    ASSERT_TRUE(session->Push(tick, absl::MakeSpan(out)).ok());
    ASSERT_TRUE(other->Push(tick, absl::MakeSpan(expected)).ok());
    EXPECT_EQ(out, expected);
    EXPECT_EQ(session->Push(huge, absl::MakeSpan(out)).code(), absl::StatusCode::kInternal);
  }
}

TEST(Native, OnlyNativeStreams) {
  const Network network = testing::MakeNetwork(testing::Samples()[0].layers, "9", 4, 2);
  for (const Backend* backend : Backends()) {
    auto engine = *backend->NewInference(network, Weights(network));
    const auto session = engine->NewSession(RunMode::kStream);
    if (backend->name() == "native") {
      EXPECT_TRUE(session.ok());
    } else {
      EXPECT_EQ(session.status().code(), absl::StatusCode::kUnimplemented);
      EXPECT_THAT(std::string(session.status().message()), ::testing::HasSubstr("no mode stream"));
    }
  }
}

TEST(Native, StreamsWithoutTheHeap) {
  for (const std::string& name : ModelConfig::Names()) {
    const Network network = *Network::Create(*ModelConfig::Named(name, 150));
    auto engine = *FindBackend("native")->NewInference(network, Weights(network));
    auto session = *engine->NewSession(RunMode::kStream);
    const auto tick = testing::Uniform(150, 3, -1, 1);
    std::vector<float> out(network.outputs());
    const testing::Allocations allocations;
    EXPECT_TRUE(session->Push(tick, absl::MakeSpan(out)).ok());
    EXPECT_EQ(allocations.count(), 0u) << name;
  }
}

TEST(Native, AWorkspaceForManyWindowsIsNotLarger) {
  const Network network = *Network::Create(*ModelConfig::Named("flat", 386));
  auto engine = *FindBackend("native")->NewInference(network, Weights(network));
  const std::size_t some = (*engine->NewWorkspace(8))->bytes();
  EXPECT_EQ((*engine->NewWorkspace(100000))->bytes(), some);
}

#if defined(__SSE2__)
TEST(Native, DenormalInputsCountAsZerosAndTheModeOfTheProcessorStays) {
  const Network network = *Network::Create(*ModelConfig::Named("flat", 36));
  auto engine = *FindBackend("native")->NewInference(network, Weights(network));
  auto workspace = *engine->NewWorkspace(1);
  auto session = *engine->NewSession(RunMode::kSlide);
  std::vector<float> zeros(network.window_values()), tiny(zeros.size(), 1e-40f);
  std::vector<float> out(network.outputs()), expected(out), slid(out);
  const unsigned before = _mm_getcsr();
  for (const unsigned mode : {0x1f80u, 0x9fc0u}) {  // plain, flushing
    _mm_setcsr(mode);
    const bool ok =
        engine->Run(zeros, 1, workspace.get(), absl::MakeSpan(expected)).ok() &&
        engine->Run(tiny, 1, workspace.get(), absl::MakeSpan(out)).ok() &&
        session->Push(absl::MakeConstSpan(tiny).subspan(0, 36), absl::MakeSpan(slid)).ok();
    const unsigned after = _mm_getcsr();
    _mm_setcsr(before);
    EXPECT_TRUE(ok);
    EXPECT_EQ(out, expected);
    EXPECT_EQ(after & ~0x3fu, mode & ~0x3fu);  // the lowest bits tell what has happened
  }
}
#endif

}  // namespace
}  // namespace seer
