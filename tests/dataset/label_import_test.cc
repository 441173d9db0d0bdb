// Import with `label`: violations and, by the traces, who initiated them, while a recording is
// read.
#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "seer/dataset/importer.h"
#include "seer/dataset/reader.h"
#include "tests/dataset/random_ticks.h"

namespace seer {
namespace {

// 60 s of 50 requests a second, front -> cart -> store. From 50 s to 51 s one of the three is slow.
std::vector<std::string> Rows(const std::string& slow) {
  std::vector<std::string> rows;
  const auto row = [&](int trace, const char* caller, const char* callee, int start_us, int us) {
    rows.push_back(std::to_string(trace) + "," + caller + "," + callee + ",op," +
                   std::to_string(start_us) + "," + std::to_string(us) + ",,,200\n");
  };
  for (int i = 0; i < 3000; ++i) {
    std::map<std::string, int> own = {{"front", 4000}, {"cart", 3000}, {"store", 5000}};
    if (i >= 2500 && i < 2550) own[slow] = 300'000;
    const int at = i * 20'000;
    const int store = own["store"], cart = own["cart"] + store, front = own["front"] + cart;
    row(i, "", "front", at, front);
    row(i, "front", "cart", at + own["front"], cart);
    row(i, "cart", "store", at + own["front"] + own["cart"], store);
  }
  return rows;
}

class LabelImport : public ::testing::Test {
 protected:
  std::vector<DatasetEvent> Import(const std::vector<std::string>& rows) {
    std::string text = "trace,caller,callee,op,c_start_us,c_dur_us,s_start_us,s_dur_us,status\n";
    for (const std::string& row : rows) text += row;
    testing::WriteFile(dir_ / "calls.csv", text);
    std::remove((dir_ / "out").c_str());
    const auto report =
        ImportToFile(ImportFormat::kRpcCsv, {dir_ / "calls.csv"}, dir_ / "out", options_);
    EXPECT_TRUE(report.ok()) << report.status();
    if (!report.ok()) return {};
    report_ = *report;
    auto events = *DatasetReader::Open(dir_ / "out")->Events(0);
    EXPECT_EQ(events.size(), report->events);
    return events;
  }

  testing::TempDir dir_;
  ImportOptions options_;
  ImportReport report_;
};

TEST_F(LabelImport, NamesTheServiceThatBecameSlow) {
  EXPECT_TRUE(Import(Rows("cart")).empty()) << "only where it is asked for";
  options_.label = true;
  for (const char* const slow : {"front", "cart", "store"}) {
    SCOPED_TRACE(slow);
    const std::vector<DatasetEvent> events = Import(Rows(slow));
    ASSERT_EQ(events.size(), 1u);
    EXPECT_EQ(events[0].kind, DatasetEventKind::kViolation);
    EXPECT_EQ(events[0].request_class, "op");
    EXPECT_EQ(events[0].initiation, Initiation::kService);
    EXPECT_EQ(events[0].culprit, slow);
    EXPECT_GT(events[0].confidence, 0.7f);
    EXPECT_EQ(events[0].source, "seer label: traces");
    EXPECT_NEAR(static_cast<double>(events[0].start_ns) / 1e9, 50.3, 0.2);
  }
}

TEST_F(LabelImport, AnInputThatIsReadTwiceIsLabelledOnce) {
  options_.label = true;
  options_.reorder_ns = 1'000'000'000;
  std::vector<std::string> rows = Rows("store");
  const std::vector<DatasetEvent> in_order = Import(rows);
  ASSERT_EQ(in_order.size(), 1u);
  std::reverse(rows.begin(), rows.end());
  const std::vector<DatasetEvent> sorted = Import(rows);
  EXPECT_TRUE(report_.sorted);
  ASSERT_EQ(sorted.size(), 1u);
  EXPECT_EQ(sorted[0].culprit, "store");
  EXPECT_EQ(sorted[0].start_ns, in_order[0].start_ns);
  // A service that shows up late: all is read again with what is known then.
  std::reverse(rows.begin(), rows.end());
  rows.push_back("9999,front,mail,op,59990000,1000,,,200\n");
  const std::vector<DatasetEvent> again = Import(rows);
  EXPECT_EQ(report_.readings, 2);
  ASSERT_EQ(again.size(), 1u);
  EXPECT_EQ(again[0].culprit, "store");
}

TEST_F(LabelImport, CalmJoinsViolations) {
  options_.label = true;
  options_.request_class = "all";
  std::vector<std::string> rows = Rows("store");
  // The same again, 4 s later; the window of the first ends 1 s after it.
  std::string late;
  for (int i = 2500; i < 2510; ++i) {
    for (int k = 0; k < 3; ++k) rows[static_cast<std::size_t>((i + 210) * 3 + k)] = "";
    const int at = (i + 210) * 20'000;
    late += std::to_string(i + 210) + ",,front,op," + std::to_string(at) + ",300000,,,200\n";
  }
  rows[(2500 + 210) * 3] = late;
  EXPECT_EQ(Import(rows).size(), 2u);
  options_.label_calm_ns = 5'000'000'000;
  EXPECT_EQ(Import(rows).size(), 1u);
}

}  // namespace
}  // namespace seer
