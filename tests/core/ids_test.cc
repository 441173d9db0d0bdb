#include "seer/core/ids.h"

#include <gtest/gtest.h>

#include <string>
#include <type_traits>
#include <unordered_set>

#include "absl/hash/hash_testing.h"
#include "seer/core/version.h"

namespace seer {
namespace {

TEST(Id, NoneIsItsOwnValue) {
  const ServiceId none;
  EXPECT_FALSE(none.valid());
  EXPECT_EQ(none, ServiceId(ServiceId::kNone));
  EXPECT_NE(none, ServiceId(0));
  EXPECT_TRUE(ServiceId(0).valid());
  EXPECT_EQ(ServiceId(7).index(), 7u);
  EXPECT_LT(ServiceId(7), ServiceId(8));
  EXPECT_LT(ServiceId(8), none) << "none comes last";
}

TEST(Id, IdsOfDifferentTablesDoNotMix) {
  static_assert(!std::is_convertible_v<ServiceId, InstanceId>, "");
  static_assert(!std::is_constructible_v<ServiceId, InstanceId>, "");
  static_assert(!std::is_convertible_v<std::uint32_t, ServiceId>, "");
  static_assert(sizeof(ServiceId) == 4, "");
}

TEST(Id, HashesWithStdAndWithAbseil) {
  const std::unordered_set<ServiceId> set = {ServiceId(1), ServiceId(1), ServiceId()};
  EXPECT_EQ(set.size(), 2u);
  EXPECT_TRUE(absl::VerifyTypeImplementsAbslHashCorrectly(
      {ServiceId(), ServiceId(0), ServiceId(1), ServiceId(1u << 20)}));
}

}  // namespace
}  // namespace seer
