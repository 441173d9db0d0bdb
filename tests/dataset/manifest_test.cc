#include "seer/dataset/manifest.h"

#include "tests/dataset/random_ticks.h"

namespace seer {
namespace {

TEST(DatasetManifest, NamesGoBothWays) {
  for (int i = 0; i <= static_cast<int>(DatasetEventKind::kOther); ++i) {
    const auto kind = static_cast<DatasetEventKind>(i);
    EXPECT_EQ(DatasetEventKindFromName(DatasetEventKindName(kind)), kind);
  }
  EXPECT_EQ(DatasetEventKindFromName("nonsense"), std::nullopt);
  EXPECT_EQ(SplitPartName(SplitPart::kValidation), "validation");
}

TEST(DatasetManifest, AViolationBecomesAnEventWithNames) {
  const Topology topology = testing::SomeTopology(3);
  Violation violation;
  violation.request_class = ClassId(1);
  violation.start_ns = 5;
  violation.end_ns = 9;
  violation.initiation = Initiation::kService;
  violation.culprit = ServiceId(2);
  violation.confidence = 0.5f;
  const DatasetEvent event = EventOf(violation, topology, "traces");
  EXPECT_EQ(event.kind, DatasetEventKind::kViolation);
  EXPECT_EQ(event.request_class, "class-1");
  EXPECT_EQ(event.culprit, "service-2");
  EXPECT_EQ(event.confidence, 0.5f);
  EXPECT_EQ(event.source, "traces");
  violation.culprit = ServiceId(99);
  EXPECT_EQ(EventOf(violation, topology, "").culprit, "");
}

}  // namespace
}  // namespace seer
