#include "seer/nn/checkpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <limits>
#include <string>
#include <vector>

#include "nn/checkpoint_bytes.h"
#include "seer/core/internal/crc32c.h"
#include "tests/nn/samples.h"
#include "tests/nn/training_task.h"
#include "tests/support/allocations.h"

namespace seer {
namespace {

using ::testing::HasSubstr;

constexpr const char* kLayers =
    "conv units=4 kernel=3 stride=2 padding=1 activation=relu\nlstm units=3\ndropout rate=0.1\n"
    "last_tick\nhead kind=dense output=softmax extras=1\n";

TrainerOptions Options() {
  TrainerOptions options;
  options.batch = 8;
  options.epochs = 4;
  options.threads = 2;
  return options;
}

Checkpoint Trained(bool finished) {
  const Network network = testing::MakeNetwork(kLayers, "5", 4, 1);
  MemorySource training = testing::GrowingQueue(network, 30, 1);
  MemorySource validation = testing::GrowingQueue(network, 10, 2);
  TrainerOptions options = Options();
  int reports = 0;
  options.progress_every = 1;
  options.on_progress = [&](const TrainingProgress&) { return finished || ++reports < 7; };
  auto trainer = *Trainer::Create(network, options);
  EXPECT_TRUE(trainer->Train(training, &validation).ok());
  Checkpoint checkpoint;
  checkpoint.config = network.config();
  checkpoint.parameters.assign(trainer->parameters().begin(), trainer->parameters().end());
  checkpoint.training = trainer->state();
  checkpoint.services = {
      {"db", true}, {"cache", true}, {"old", false}, {"cart", true}, {"web", true}};
  checkpoint.provenance = {{"dataset", "five queues"}, {"seer", "0.1"}};
  checkpoint.sections = {{"calibration", std::string("\0\1\2", 3)}, {"empty", ""}};
  return checkpoint;
}

void ExpectSame(const Checkpoint& a, const Checkpoint& b) {
  EXPECT_EQ(a.config, b.config);
  EXPECT_EQ(a.parameters, b.parameters);
  EXPECT_EQ(a.services, b.services);
  EXPECT_EQ(a.provenance, b.provenance);
  EXPECT_EQ(a.sections, b.sections);
  ASSERT_EQ(a.training.has_value(), b.training.has_value());
  if (!a.training) return;
  EXPECT_EQ(a.training->step, b.training->step);
  EXPECT_EQ(a.training->epoch, b.training->epoch);
  EXPECT_EQ(a.training->best, b.training->best);
  EXPECT_EQ(a.training->best_loss, b.training->best_loss);
  EXPECT_EQ(a.training->optimizer.step, b.training->optimizer.step);
  EXPECT_EQ(a.training->optimizer.mean, b.training->optimizer.mean);
  EXPECT_EQ(a.training->optimizer.square, b.training->optimizer.square);
}

std::string Sealed(std::string bytes) {
  const std::uint64_t size = bytes.size();
  std::memcpy(&bytes[16], &size, sizeof(size));
  const std::uint32_t crc = internal::Crc32c(std::string_view(bytes).substr(0, 28));
  std::memcpy(&bytes[28], &crc, sizeof(crc));
  return bytes;
}

class CheckpointFile : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/seer-checkpoint-XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    folder_ = name;
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  std::size_t Files() const {
    return static_cast<std::size_t>(
        std::distance(std::filesystem::directory_iterator(folder_), {}));
  }
  std::string folder_;
};

TEST(Checkpoint, BytesGiveTheSameValueAndTheOtherWayRound) {
  for (const bool finished : {false, true}) {
    Checkpoint checkpoint = Trained(finished);
    for (int less = 0; less < 4; ++less) {
      const auto bytes = EncodeCheckpoint(checkpoint);
      ASSERT_TRUE(bytes.ok()) << bytes.status();
      const auto again = DecodeCheckpoint(*bytes);
      ASSERT_TRUE(again.ok()) << again.status();
      ExpectSame(*again, checkpoint);
      EXPECT_EQ(*EncodeCheckpoint(*again), *bytes);
      if (less == 0) checkpoint.training.reset();
      if (less == 1) checkpoint.services.clear();
      if (less == 2) checkpoint.provenance.clear(), checkpoint.sections.clear();
    }
  }
}

TEST(Checkpoint, TrainingGoesOnFromItToTheSameBits) {
  const Checkpoint checkpoint = Trained(false);
  const Checkpoint whole = Trained(true);
  EXPECT_FALSE(checkpoint.training->finished);
  const Checkpoint loaded = *DecodeCheckpoint(*EncodeCheckpoint(checkpoint));
  const Network network = *Network::Create(loaded.config);
  MemorySource training = testing::GrowingQueue(network, 30, 1);
  MemorySource validation = testing::GrowingQueue(network, 10, 2);
  auto trainer = *Trainer::Create(network, Options());
  ASSERT_TRUE(trainer->Restore(loaded.parameters, *loaded.training).ok());
  ASSERT_TRUE(trainer->Train(training, &validation).ok());
  EXPECT_EQ(std::vector<float>(trainer->parameters().begin(), trainer->parameters().end()),
            whole.parameters);
  EXPECT_EQ(trainer->state().optimizer.mean, whole.training->optimizer.mean);
}

TEST(Checkpoint, EveryFlippedBitAndEveryCutIsNoticed) {
  Checkpoint small = Trained(false);
  const std::string bytes = *EncodeCheckpoint(small);
  const std::size_t step = bytes.size() > 4000 ? 7 : 1;
  for (std::size_t i = 0; i < bytes.size(); i += i < 200 ? 1 : step) {
    EXPECT_FALSE(DecodeCheckpoint(std::string_view(bytes).substr(0, i)).ok()) << i;
    std::string changed = bytes;
    changed[i] = static_cast<char>(changed[i] ^ (1 << (i % 8)));
    EXPECT_FALSE(DecodeCheckpoint(changed).ok()) << i;
  }
  EXPECT_EQ(DecodeCheckpoint(bytes + "x").status().code(), absl::StatusCode::kDataLoss);
}

TEST(Checkpoint, WhatIsNoneIsSaid) {
  const std::string bytes = *EncodeCheckpoint(Trained(false));
  const auto error = [](const std::string& b) { return DecodeCheckpoint(b).status(); };
  EXPECT_THAT(std::string(error("").message()), HasSubstr("is it the right file"));
  EXPECT_THAT(std::string(error("SEERNN\n\n" + bytes.substr(8)).message()),
              HasSubstr("right file"));
  std::string later = bytes;
  later[8] = 2;
  EXPECT_EQ(error(Sealed(later)).code(), absl::StatusCode::kUnimplemented);
  std::string other_order = bytes;
  std::swap(other_order[12], other_order[15]);
  std::swap(other_order[13], other_order[14]);
  EXPECT_THAT(std::string(error(other_order).message()), HasSubstr("another byte order"));
  std::string fewer = bytes;
  fewer[24] = 1;
  EXPECT_THAT(std::string(error(Sealed(fewer)).message()), HasSubstr("behind the last section"));
}

TEST(Checkpoint, ALaterMinorVersionIsRead) {
  std::string bytes = *EncodeCheckpoint(Trained(false));
  bytes[10] = 9;  // minor
  std::string section;
  internal::Put(std::uint32_t{77}, &section);
  internal::Put(std::uint32_t{0}, &section);
  internal::Put(std::uint64_t{5}, &section);
  section += "later";
  internal::Put(internal::Crc32c(section), &section);
  ++bytes[24];
  EXPECT_TRUE(DecodeCheckpoint(Sealed(bytes + section)).ok());
}

// A few bytes must not ask for gigabytes.
TEST(Checkpoint, MemoryStaysWithinTheFilesSize) {
  Checkpoint checkpoint;
  checkpoint.config = *ModelConfig::Named("flat", 3);
  const Network network = *Network::Create(checkpoint.config);
  checkpoint.parameters.resize(network.parameters());
  std::string bytes = *EncodeCheckpoint(checkpoint);
  std::string huge = checkpoint.config.ToText();
  huge.replace(huge.find("services 3"), 10, "services 99999");
  std::string lie = bytes.substr(0, 32);
  std::string section;
  internal::Put(std::uint32_t{1}, &section);
  internal::Put(std::uint32_t{0}, &section);
  internal::Put(static_cast<std::uint64_t>(huge.size()), &section);
  section += huge;
  internal::Put(internal::Crc32c(section), &section);
  lie += section;
  lie[24] = 1;
  const testing::Allocations allocations;
  EXPECT_THAT(std::string(DecodeCheckpoint(Sealed(lie)).status().message()),
              HasSubstr("has 0 bytes of weights"));
  EXPECT_LT(allocations.peak_bytes(), 100000u);
}

TEST(Checkpoint, WhatDoesNotFitIsNotWritten) {
  const auto error = [](void (*damage)(Checkpoint*)) {
    Checkpoint checkpoint = Trained(false);
    damage(&checkpoint);
    return std::string(EncodeCheckpoint(checkpoint).status().message());
  };
  EXPECT_THAT(error([](Checkpoint* c) { c->parameters.pop_back(); }), HasSubstr("parameters has"));
  EXPECT_THAT(
      error([](Checkpoint* c) { c->parameters[0] = std::numeric_limits<float>::infinity(); }),
      HasSubstr("trunk.0.weight"));
  EXPECT_THAT(error([](Checkpoint* c) { c->services.pop_back(); }), HasSubstr("services has 4"));
  EXPECT_THAT(error([](Checkpoint* c) { c->services[0].name = ""; }), HasSubstr("0 bytes"));
  EXPECT_THAT(error([](Checkpoint* c) { c->services[0].name = "web"; }), HasSubstr("there twice"));
  EXPECT_THAT(error([](Checkpoint* c) { c->sections[""] = "x"; }), HasSubstr("0 bytes"));
  EXPECT_THAT(error([](Checkpoint* c) { c->config.ticks = 0; }), HasSubstr("ticks"));
  EXPECT_THAT(error([](Checkpoint* c) { c->training->optimizer.mean.clear(); }),
              HasSubstr("parameters has 0"));
}

TEST_F(CheckpointFile, IsReplacedAsAWhole) {
  const std::string path = folder_ + "/model.seer";
  Checkpoint checkpoint = Trained(false);
  ASSERT_TRUE(SaveCheckpoint(checkpoint, path).ok());
  ExpectSame(*LoadCheckpoint(path), checkpoint);
  const Checkpoint before = checkpoint;
  checkpoint.provenance["again"] = "yes";
  ASSERT_TRUE(SaveCheckpoint(checkpoint, path).ok());
  ExpectSame(*LoadCheckpoint(path), checkpoint);
  EXPECT_EQ(Files(), 1u) << "nothing is left beside it";
  checkpoint.parameters.clear();
  EXPECT_FALSE(SaveCheckpoint(checkpoint, path).ok());
  EXPECT_EQ(LoadCheckpoint(path)->provenance.at("again"), "yes");
  EXPECT_EQ(Files(), 1u);
}

TEST_F(CheckpointFile, ErrorsNameThePath) {
  EXPECT_EQ(LoadCheckpoint(folder_ + "/none").status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(LoadCheckpoint(folder_ + "/none").status().message()),
              HasSubstr("/none"));
  EXPECT_THAT(std::string(LoadCheckpoint(folder_).status().message()), HasSubstr("regular file"));
  ASSERT_EQ(mkfifo((folder_ + "/pipe").c_str(), 0600), 0);
  EXPECT_THAT(std::string(LoadCheckpoint(folder_ + "/pipe").status().message()),
              HasSubstr("regular file"));
  EXPECT_FALSE(SaveCheckpoint(Trained(false), folder_ + "/no/such/folder").ok());
  ASSERT_TRUE(SaveCheckpoint(Trained(false), folder_ + "/model").ok());
  EXPECT_EQ(LoadCheckpoint(folder_ + "/model", 100).status().code(),
            absl::StatusCode::kResourceExhausted);
  std::filesystem::resize_file(folder_ + "/model", 50);
  EXPECT_THAT(std::string(LoadCheckpoint(folder_ + "/model").status().message()),
              HasSubstr("/model': checkpoint: has 50 bytes"));
}

}  // namespace
}  // namespace seer
