// Folders of tables: what `outstanding` and means.csv become. The rest: importer_test.cc.
#include <sys/stat.h>

#include "gmock/gmock.h"
#include "seer/dataset/importer.h"
#include "seer/dataset/reader.h"
#include "tests/dataset/random_ticks.h"

namespace seer {
namespace {

using ::testing::HasSubstr;

class CsvFolder : public ::testing::Test {
 protected:
  CsvFolder() {
    EXPECT_EQ(mkdir((dir_ / "f").c_str(), 0755), 0);
    // front and mail both call store; front alone calls cart.
    Put("topology.csv", "caller,callee\n,front\nfront,cart\nfront,store\nmail,store\n");
  }
  void Put(const std::string& name, const std::string& text) {
    testing::WriteFile(dir_ / ("f/" + name), text);
  }
  absl::Status Import() {
    const std::string out = dir_ / "out";
    std::remove(out.c_str());
    ticks_.clear();
    const auto report = ImportToFile(ImportFormat::kCsvFolder, {dir_ / "f"}, out);
    if (!report.ok()) return report.status();
    const auto reader = DatasetReader::Open(out);
    topology_ = *reader->LatestTopology(0);
    ClusterTick tick;
    for (TickCursor cursor = reader->Ticks(0); *cursor.Next(&tick);) ticks_.push_back(tick);
    return absl::OkStatus();
  }
  // With default options.
  static absl::StatusOr<ImportReport> ImportToFile(ImportFormat format,
                                                   const std::vector<std::string>& inputs,
                                                   const std::string& out) {
    return seer::ImportToFile(format, inputs, out, ImportOptions());
  }
  ServiceId Of(const char* name) const { return topology_.FindService(name).value(); }
  EdgeId Of(const char* caller, const char* callee) const {
    return topology_.FindEdge(*caller == '\0' ? ServiceId() : Of(caller), Of(callee)).value();
  }

  testing::TempDir dir_;
  Topology topology_;
  std::vector<ClusterTick> ticks_;
};

TEST_F(CsvFolder, OutstandingOfSeveralCallersIsTheServicesAndNoEdges) {
  Put("depths.csv", "time_ms,front#outstanding,cart#outstanding,store#outstanding\n1000,7,2,4\n");
  const absl::Status status = Import();
  ASSERT_TRUE(status.ok()) << status;
  ASSERT_EQ(ticks_.size(), 1u);
  const ClusterTick& tick = ticks_[0];
  EXPECT_EQ(tick.services.outstanding(Of("store")), 4);
  EXPECT_EQ(tick.edges.depth(Of("front", "store")), std::nullopt) << "nobody measured it";
  EXPECT_EQ(tick.edges.depth(Of("mail", "store")), std::nullopt);
  EXPECT_FALSE(topology_.FindEdge(ServiceId(), Of("store"))) << "nobody said that clients call it";
  EXPECT_EQ(Outstanding(tick, topology_, Of("store")), 4);
  EXPECT_EQ(SelfDepth(tick, topology_, Of("store")), 4);
  // One edge leads there: they are its calls.
  EXPECT_EQ(tick.edges.depth(Of("front", "cart")), 2);
  EXPECT_EQ(tick.edges.depth(Of("", "front")), 7);
  EXPECT_EQ(tick.services.outstanding(Of("cart")), std::nullopt);
  EXPECT_EQ(SelfDepth(tick, topology_, Of("cart")), 2);
  EXPECT_EQ(SelfDepth(tick, topology_, Of("front")), std::nullopt)
      << "which of store's calls are front's nobody tells";
  EXPECT_EQ(Outstanding(tick, topology_, Of("mail")), std::nullopt);
}

TEST_F(CsvFolder, OutstandingAndOutboundMayBothBeMeasured) {
  // The column of the second edge comes after that of the service.
  Put("depths.csv",
      "time_ms,store#outstanding,front>store#outbound,mail>store#outbound,mail>cart#outbound,"
      "cart#outstanding\n1000,5,3,2,1,9\n1100,5,3,,,\n");
  const absl::Status status = Import();
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_EQ(Outstanding(ticks_[0], topology_, Of("store")), 5);
  EXPECT_EQ(Outstanding(ticks_[1], topology_, Of("store")), 5)
      << "as a whole, where an edge is not";
  EXPECT_EQ(Outstanding(ticks_[0], topology_, Of("cart")), 9) << "mail calls it too";
  EXPECT_EQ(ticks_[0].edges.depth(Of("front", "cart")), std::nullopt);
  EXPECT_EQ(ticks_[0].edges.depth(Of("mail", "cart")), 1);
}

TEST_F(CsvFolder, WhomNobodyCallsTheClientsCall) {
  Put("topology.csv", "caller,callee\nfront,cart\n");
  Put("depths.csv", "time_ms,front#outstanding,cart#outstanding\n1000,7,2\n");
  ASSERT_TRUE(Import().ok());
  EXPECT_EQ(ticks_[0].edges.depth(Of("", "front")), 7);
  EXPECT_EQ(SelfDepth(ticks_[0], topology_, Of("front")), 5);
}

TEST_F(CsvFolder, MeansAreMeansAndNoDepths) {
  Put("depths.csv", "time_ms,front#queued\n1000,3\n1200,4\n");
  Put("means.csv",
      "time_ms,front#queued,front>cart#outbound,store#outstanding\n1000,2.5,0.25,1.5\n1100,2.75,,"
      "\n");
  const absl::Status status = Import();
  ASSERT_TRUE(status.ok()) << status;
  ASSERT_EQ(ticks_.size(), 3u);
  const ServiceTable& first = ticks_[0].services;
  EXPECT_EQ(first.depth(Of("front"), Channel::kQueued), 3);
  EXPECT_EQ(first.mean(Of("front"), Channel::kQueued), 2.5);
  EXPECT_EQ(ticks_[0].edges.mean(Of("front", "cart")), 0.25);
  EXPECT_EQ(ticks_[0].edges.depth(Of("front", "cart")), std::nullopt);
  EXPECT_EQ(first.outstanding_mean(Of("store")), 1.5);
  EXPECT_EQ(first.outstanding(Of("store")), std::nullopt);
  EXPECT_EQ(ticks_[1].services.depth(Of("front"), Channel::kQueued), std::nullopt);
  EXPECT_EQ(ticks_[1].services.mean(Of("front"), Channel::kQueued), 2.75);
  EXPECT_EQ(ticks_[2].services.mean(Of("front"), Channel::kQueued), std::nullopt);

  // A recording of nothing but means.
  Put("depths.csv", "time_ms\n");
  ASSERT_TRUE(Import().ok());
  ASSERT_EQ(ticks_.size(), 2u);
  EXPECT_EQ(ticks_[0].services.depth(Of("front"), Channel::kQueued), std::nullopt);
  Put("means.csv", "time_ms,front#queued,front#queued\n1000,1,1\n");
  EXPECT_THAT(Import().ToString(), HasSubstr("means.csv:1: column front#queued: is there twice"));
  Put("means.csv", "time_ms,front#queued\n1000,1\n1000,1\n");
  EXPECT_THAT(Import().ToString(), HasSubstr("means.csv:3: column time_ms"));
  Put("means.csv", "time_ms\n");
  EXPECT_THAT(Import().ToString(), HasSubstr("depths.csv:1: the header has no depth"));
}

}  // namespace
}  // namespace seer
