// The names of every enumeration of core.
#include <gtest/gtest.h>

#include <cstddef>
#include <set>
#include <string_view>

#include "seer/core/action_taken.h"
#include "seer/core/diagnosis.h"
#include "seer/core/hw_reading.h"
#include "seer/core/recommendation.h"
#include "seer/core/snapshot.h"

namespace seer {
namespace {

template <typename Enum>
void ExpectNames(std::size_t count, std::string_view (*name_of)(Enum)) {
  std::set<std::string_view> names;
  for (std::size_t i = 0; i < count; ++i) {
    const std::string_view name = name_of(static_cast<Enum>(i));
    EXPECT_NE(name, "?") << i;
    EXPECT_NE(name, "") << i;
    EXPECT_TRUE(names.insert(name).second) << name << " twice";
  }
  EXPECT_EQ(name_of(static_cast<Enum>(count)), "?");
  EXPECT_EQ(name_of(static_cast<Enum>(255)), "?");
}

TEST(Names, EveryValueHasOneOfItsOwn) {
  ExpectNames(kMissings, MissingName);
  ExpectNames(kResources, ResourceName);
  ExpectNames(kQualities, QualityName);
  ExpectNames(kReasons, ReasonName);
  ExpectNames(kScopes, ScopeName);
  ExpectNames(kCauses, CauseName);
  ExpectNames(kActions, ActionName);
  ExpectNames(kActionOutcomes, ActionOutcomeName);
}

TEST(Names, RoundTripWhereTheyAreRead) {
  for (Resource resource : kAllResources) {
    EXPECT_EQ(ResourceFromName(ResourceName(resource)), resource);
    EXPECT_EQ(CauseName(CauseOf(resource)), ResourceName(resource)) << "resources are causes";
  }
  for (std::size_t i = 0; i < kCauses; ++i) {
    const auto cause = static_cast<Cause>(i);
    EXPECT_EQ(CauseFromName(CauseName(cause)), cause);
  }
  for (std::size_t i = 0; i < kActions; ++i) {
    const auto action = static_cast<Action>(i);
    EXPECT_EQ(ActionFromName(ActionName(action)), action);
    EXPECT_EQ(ActionUnit(action).empty(), action == Action::kReport);
  }
  EXPECT_EQ(CauseFromName("CPU"), std::nullopt);
  EXPECT_EQ(ActionFromName("?"), std::nullopt);
  EXPECT_EQ(ResourceFromName(""), std::nullopt);
}

TEST(HwSignal, IsUsableOnlyWithAValueToTrust) {
  HwSignal signal;
  EXPECT_FALSE(signal.usable()) << "nothing was read";
  signal.quality = Quality::kSuspect;
  EXPECT_FALSE(signal.usable());
  signal.quality = Quality::kScaled;
  EXPECT_TRUE(signal.usable());
  signal.quality = Quality::kOk;
  EXPECT_TRUE(signal.usable());
}

}  // namespace
}  // namespace seer
