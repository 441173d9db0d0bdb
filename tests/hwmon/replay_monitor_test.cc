#include "seer/hwmon/replay_monitor.h"

#include <gtest/gtest.h>

#include <string>

#include "seer/hwmon/scripted_monitor.h"
#include "tests/hwmon/samples.h"

namespace seer {
namespace {

using testing::HealthyReading;
using testing::NothingObserved;
using testing::SampleTarget;

std::string Recorded() {
  ScriptedMonitor script;
  script.Say(HealthyReading(1));
  script.Say(HealthyReading(2));
  script.Fail(absl::UnavailableError("not now"));
  script.Say(HealthyReading(4));
  std::string file;
  RecordingMonitor recording(script, [&](std::string_view bytes) { file += bytes; });
  HwReading reading;
  EXPECT_TRUE(recording.Read(SampleTarget(), &reading).ok());
  EXPECT_EQ(reading.requests, 1u);
  EXPECT_TRUE(recording.Read(HwTarget::OfProcess(9), &reading).ok());
  EXPECT_FALSE(recording.Read(SampleTarget(), &reading).ok());
  EXPECT_TRUE(recording.Read(SampleTarget(), &reading).ok());
  return file;
}

TEST(ReplayMonitor, SaysToEachTargetWhatWasSaidThen) {
  absl::StatusOr<ReplayMonitor> replay = ReplayMonitor::Open(Recorded());
  ASSERT_TRUE(replay.ok()) << replay.status();
  EXPECT_EQ(replay->records(), 4u);
  EXPECT_EQ(replay->Targets(), (std::vector<HwTarget>{SampleTarget(), HwTarget::OfProcess(9)}));
  HwReading reading;
  ASSERT_TRUE(replay->Read(SampleTarget(), &reading).ok());
  EXPECT_EQ(reading, HealthyReading(1));
  EXPECT_EQ(replay->Read(SampleTarget(), &reading), absl::UnavailableError("not now"));
  EXPECT_TRUE(NothingObserved(reading));
  ASSERT_TRUE(replay->Read(SampleTarget(), &reading).ok());
  EXPECT_EQ(reading.requests, 4u);
  ASSERT_TRUE(replay->Read(HwTarget::OfProcess(9), &reading).ok());
  EXPECT_EQ(reading.requests, 2u);
  EXPECT_EQ(replay->Read(SampleTarget(), &reading).code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(replay->Read(HwTarget::OfHost(), &reading).code(), absl::StatusCode::kUnavailable);
}

TEST(ReplayMonitor, ACutOffEndIsLeftOutAndDamageIsAnError) {
  const std::string file = Recorded();
  std::size_t most = 0;
  for (std::size_t size = 0; size < file.size(); ++size) {
    absl::StatusOr<ReplayMonitor> replay = ReplayMonitor::Open(file.substr(0, size));
    ASSERT_TRUE(replay.ok()) << size << replay.status();
    EXPECT_GE(replay->records(), most);
    most = replay->records();
  }
  EXPECT_EQ(most, 3u);
  std::string damaged = file;
  damaged[20] = static_cast<char>(damaged[20] ^ 1);
  EXPECT_EQ(ReplayMonitor::Open(damaged).status().code(), absl::StatusCode::kDataLoss);
  EXPECT_FALSE(ReplayMonitor::Open(std::string(100, '\xff')).ok());
}

}  // namespace
}  // namespace seer
