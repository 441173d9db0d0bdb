#include "seer/hwmon/hw_exchange.h"

#include <gtest/gtest.h>

#include <string>

#include "seer/hwmon/scripted_monitor.h"
#include "tests/hwmon/samples.h"

namespace seer {
namespace {

using testing::HealthyReading;
using testing::SampleTarget;

TEST(HwExchange, RequestsComeThroughUnchanged) {
  HwTarget process = HwTarget::OfProcess(12);
  process.start_time = 1'234'567'890'123;
  for (const HwTarget& target : {SampleTarget(), process, HwTarget::OfHost()}) {
    absl::StatusOr<HwRequest> request = DecodeHwRequest(EncodeHwRequest({7, target}));
    ASSERT_TRUE(request.ok()) << request.status();
    EXPECT_EQ(request->id, 7u);
    EXPECT_EQ(request->target, target);
  }
}

TEST(HwExchange, AnswersComeThroughUnchanged) {
  absl::StatusOr<HwAnswer> answer = DecodeHwAnswer(EncodeHwAnswer({9, {}, HealthyReading()}));
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(answer->id, 9u);
  EXPECT_TRUE(answer->status.ok());
  EXPECT_EQ(answer->reading, HealthyReading());
  answer = DecodeHwAnswer(EncodeHwAnswer({9, absl::NotFoundError("gone"), HealthyReading()}));
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(answer->status, absl::NotFoundError("gone"));
}

TEST(HwExchange, EveryDamagedByteIsNoticed) {
  const std::string request = EncodeHwRequest({7, SampleTarget()});
  const std::string answer = EncodeHwAnswer({7, {}, HealthyReading()});
  for (std::size_t i = 0; i < request.size(); ++i) {
    std::string damaged = request;
    damaged[i] = static_cast<char>(damaged[i] ^ 0x40);
    EXPECT_FALSE(DecodeHwRequest(damaged).ok()) << i;
    EXPECT_FALSE(DecodeHwRequest(request.substr(0, i)).ok()) << i;
  }
  for (std::size_t i = 0; i < answer.size(); ++i) {
    std::string damaged = answer;
    damaged[i] = static_cast<char>(damaged[i] ^ 0x40);
    EXPECT_FALSE(DecodeHwAnswer(damaged).ok()) << i;
    EXPECT_FALSE(DecodeHwAnswer(answer.substr(0, i)).ok()) << i;
  }
  EXPECT_FALSE(DecodeHwRequest(answer).ok());
  EXPECT_FALSE(DecodeHwAnswer(request).ok());
  EXPECT_FALSE(DecodeHwRequest(request + std::string(kMaxHwRequestBytes, 'x')).ok());
}

TEST(HwExchange, ANodeAnswersWhateverItGets) {
  ScriptedMonitor monitor;
  monitor.Say(HealthyReading());
  absl::StatusOr<HwAnswer> answer =
      DecodeHwAnswer(AnswerHwRequest(monitor, EncodeHwRequest({5, SampleTarget()})));
  ASSERT_TRUE(answer.ok());
  EXPECT_EQ(answer->id, 5u);
  EXPECT_EQ(answer->reading, HealthyReading());
  answer = DecodeHwAnswer(AnswerHwRequest(monitor, "hello"));
  ASSERT_TRUE(answer.ok());
  EXPECT_EQ(answer->id, 0u);
  EXPECT_EQ(answer->status.code(), absl::StatusCode::kInvalidArgument);
  // A target that leads elsewhere never reaches the monitor.
  answer = DecodeHwAnswer(
      AnswerHwRequest(monitor, EncodeHwRequest({6, HwTarget::OfCgroup("/a/../../b")})));
  ASSERT_TRUE(answer.ok());
  EXPECT_EQ(answer->status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(monitor.asked().size(), 1u);
}

}  // namespace
}  // namespace seer
