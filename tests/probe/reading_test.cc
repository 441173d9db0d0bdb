#include "seer/probe/reading.h"

#include <gtest/gtest.h>

#include <cerrno>

namespace seer {
namespace {

constexpr std::uint64_t kMost = Reading::kUnlimited;

TEST(Reading, NothingWasObservedUntilItIs) {
  EXPECT_FALSE(Reading().ok());
  EXPECT_EQ(Reading().reason, Reason::kNotObserved);
  EXPECT_TRUE(Reading::Of(0).ok());
  EXPECT_FALSE(Reading::Not(Reason::kNotFound).ok());
  EXPECT_TRUE(Reading::Of(kMost).unlimited());
  EXPECT_FALSE(Reading::Of(7).unlimited());
  EXPECT_FALSE((Reading{kMost, Reason::kFailed}.unlimited()));
}

TEST(Reading, DeltaOfACounterThatFellIsImplausibleNotHuge) {
  struct Case {
    Reading before, after, delta;
  };
  const Reading gone = Reading::Not(Reason::kVanished);
  const Reading denied = Reading::Not(Reason::kPermission);
  for (const Case& c : {
           Case{Reading::Of(5), Reading::Of(5), Reading::Of(0)},
           Case{Reading::Of(5), Reading::Of(9), Reading::Of(4)},
           Case{Reading::Of(0), Reading::Of(kMost), Reading::Of(kMost)},
           Case{Reading::Of(9), Reading::Of(5), Reading::Not(Reason::kImplausible)},
           Case{Reading::Of(9), gone, gone},
           Case{denied, Reading::Of(5), denied},
           Case{denied, gone, gone},
       }) {
    SCOPED_TRACE(c.before.value);
    EXPECT_EQ(Delta(c.before, c.after), c.delta);
  }
}

TEST(Reading, SumStopsAtTheLargestNumberAndKeepsTheReason) {
  EXPECT_EQ(Sum(Reading::Of(2), Reading::Of(3)), Reading::Of(5));
  EXPECT_EQ(Sum(Reading::Of(kMost - 1), Reading::Of(3)), Reading::Of(kMost));
  EXPECT_EQ(Sum(Reading::Of(2), Reading::Not(Reason::kNotFound)), Reading::Not(Reason::kNotFound));
  EXPECT_EQ(Sum(Reading::Not(Reason::kNotFound), Reading::Of(2)), Reading::Not(Reason::kNotFound));
}

TEST(Reading, ErrnoStatusAndReasonTellTheSameStory) {
  struct Case {
    int error;
    Reason reason;
    Missing missing;
  };
  for (const Case& c : {
           Case{0, Reason::kNone, Missing::kNotMissing},
           Case{EACCES, Reason::kPermission, Missing::kNoPermission},
           Case{EPERM, Reason::kPermission, Missing::kNoPermission},
           Case{ENOENT, Reason::kNotFound, Missing::kNotSupported},
           Case{ENODEV, Reason::kVanished, Missing::kFailed},
           Case{ESRCH, Reason::kVanished, Missing::kFailed},
           Case{EOPNOTSUPP, Reason::kNotSupported, Missing::kNotSupported},
           Case{EIO, Reason::kFailed, Missing::kFailed},
       }) {
    SCOPED_TRACE(c.error);
    EXPECT_EQ(ReasonOfErrno(c.error), c.reason);
    EXPECT_EQ(MissingOf(c.reason), c.missing);
  }
  EXPECT_EQ(MissingOf(Reason::kNotObserved), Missing::kNoProbe);
  EXPECT_EQ(ReasonOfStatus(absl::OkStatus()), Reason::kNone);
  EXPECT_EQ(ReasonOfStatus(absl::PermissionDeniedError("")), Reason::kPermission);
  EXPECT_EQ(ReasonOfStatus(absl::UnimplementedError("")), Reason::kNotSupported);
  EXPECT_EQ(ReasonOfStatus(absl::NotFoundError("")), Reason::kNotFound);
  EXPECT_EQ(ReasonOfStatus(absl::UnavailableError("")), Reason::kFailed);
}

TEST(Reading, ASignalOfAMissingReadingIsUnavailable) {
  const HwSignal seen = ToSignal(Reading::Of(12), Scope::kHost);
  EXPECT_TRUE(seen.usable());
  EXPECT_EQ(seen.value, 12);
  EXPECT_EQ(seen.scope, Scope::kHost);
  EXPECT_EQ(seen.reason, Reason::kNone);
  const HwSignal missing = ToSignal(Reading::Not(Reason::kPermission), Scope::kCgroup);
  EXPECT_FALSE(missing.usable());
  EXPECT_EQ(missing.value, 0);
  EXPECT_EQ(missing.reason, Reason::kPermission);
}

}  // namespace
}  // namespace seer
