#include "seer/hwmon/remote_monitor.h"

#include <gtest/gtest.h>

#include <string>

#include "seer/hwmon/hw_exchange.h"
#include "seer/hwmon/scripted_monitor.h"
#include "tests/hwmon/samples.h"

namespace seer {
namespace {

using testing::HealthyReading;
using testing::NothingObserved;
using testing::SampleTarget;

TEST(RemoteMonitor, ReadsAsTheNodesMonitorDoes) {
  ScriptedMonitor node;
  node.Say(HealthyReading());
  node.Fail(absl::NotFoundError("gone"));
  RemoteMonitor remote([&](std::string_view request) { return AnswerHwRequest(node, request); });
  HwReading reading;
  ASSERT_TRUE(remote.Read(SampleTarget(), &reading).ok());
  EXPECT_EQ(reading, HealthyReading());
  EXPECT_EQ(remote.Read(SampleTarget(), &reading), absl::NotFoundError("gone"));
  EXPECT_TRUE(NothingObserved(reading));
  EXPECT_EQ(node.asked(), (std::vector<HwTarget>{SampleTarget(), SampleTarget()}));
}

TEST(RemoteMonitor, WhatIsNoAnswerToTheQuestionIsUnavailable) {
  HwReading of_another = HealthyReading();
  of_another.target = InstanceId(4);
  HwReading renumbered = HealthyReading();
  ++renumbered.origin.epoch;
  for (const std::string& answer :
       {std::string(), std::string("garbage"), EncodeHwAnswer({77, {}, HealthyReading()}),
        EncodeHwAnswer({1, {}, of_another}), EncodeHwAnswer({1, {}, renumbered}),
        EncodeHwRequest({1, SampleTarget()})}) {
    RemoteMonitor remote([&](std::string_view) { return answer; });
    HwReading reading = HealthyReading();
    EXPECT_EQ(remote.Read(SampleTarget(), &reading).code(), absl::StatusCode::kUnavailable);
    EXPECT_TRUE(NothingObserved(reading));
  }
}

TEST(RemoteMonitor, TheTransportsErrorIsTheReadings) {
  RemoteMonitor remote([](std::string_view) -> absl::StatusOr<std::string> {
    return absl::DeadlineExceededError("node-7 is slow");
  });
  HwReading reading;
  EXPECT_EQ(remote.Read(SampleTarget(), &reading).code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(RemoteMonitor(nullptr).Read(SampleTarget(), &reading).code(),
            absl::StatusCode::kUnimplemented);
}

}  // namespace
}  // namespace seer
