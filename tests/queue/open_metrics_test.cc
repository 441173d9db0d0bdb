#include "seer/queue/open_metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest-spi.h>
#include <gtest/gtest.h>

#include <cctype>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <random>
#include <set>
#include <string>
#include <string_view>
#include <utility>

#include "tests/queue/metrics_sample.h"
#include "tests/support/allocations.h"

namespace seer {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

// A strict reader of both formats: whatever the specifications do not allow is a failed test.
class StrictReader {
 public:
  StrictReader(std::string page, bool open) : open_(open), page_(std::move(page)), rest_(page_) {
    while (!rest_.empty() && !failed_) Line();
    Check(!open_ || ended_, "no # EOF");
  }

  using Labels = std::map<std::string, std::string>;
  std::map<std::pair<std::string, Labels>, double> samples;
  std::map<std::string, std::string> types;  // by family

 private:
  void Check(bool condition, const char* what) {
    if (condition || failed_) return;
    failed_ = true;
    ADD_FAILURE() << what << " before: " << rest_.substr(0, 100);
  }
  bool Take(std::string_view text) {
    if (rest_.substr(0, text.size()) != text) return false;
    rest_.remove_prefix(text.size());
    return true;
  }
  std::string TakeUntil(char end) {
    const std::size_t at = rest_.find(end);
    Check(at != std::string_view::npos, "a line is not ended");
    if (failed_) return "";
    std::string taken(rest_.substr(0, at));
    rest_.remove_prefix(at + 1);
    return taken;
  }
  std::string Name() {
    std::size_t length = 0;
    while (length < rest_.size() &&
           (std::isalnum(static_cast<unsigned char>(rest_[length])) != 0 || rest_[length] == '_')) {
      ++length;
    }
    Check(length > 0 && std::isdigit(static_cast<unsigned char>(rest_[0])) == 0, "no name");
    std::string name(rest_.substr(0, length));
    rest_.remove_prefix(length);
    return name;
  }

  void Line() {
    Check(!ended_, "something follows # EOF");
    if (Take("# EOF\n")) {
      Check(open_, "# EOF");
      ended_ = true;
    } else if (Take("# HELP ")) {
      family_ = TakeUntil(' ');
      Check(types.count(family_) == 0, "a family is there twice");
      const std::string help = TakeUntil('\n');
      Check(!help.empty() && help.find('\\') == std::string::npos, "help");
    } else if (Take("# TYPE ")) {
      Check(TakeUntil(' ') == family_, "TYPE of another family");
      type_ = types[family_] = TakeUntil('\n');
      Check(type_ == "gauge" || type_ == "counter", "type");
      const bool total =
          family_.size() > 6 && family_.compare(family_.size() - 6, 6, "_total") == 0;
      Check(total == (type_ == "counter" && !open_), "_total");
    } else {
      SampleLine();
    }
  }

  void SampleLine() {
    const std::string name = Name();
    const std::string expected = open_ && type_ == "counter" ? family_ + "_total" : family_;
    Check(name == expected, "a sample outside its family");
    Labels labels;
    if (Take("{")) {
      do {
        const std::string label = Name();
        Check(Take("=\""), "=\"");
        Check(labels.emplace(label, Value()).second, "a label is there twice");
      } while (!failed_ && Take(","));
      Check(Take("}"), "}");
    }
    Check(Take(" "), "one space");
    const std::string number = TakeUntil('\n');
    char* end = nullptr;
    const double value = std::strtod(number.c_str(), &end);
    Check(!number.empty() && *end == '\0' &&
              number.find_first_not_of("0123456789.e+-") == std::string::npos,
          "number");
    Check(samples.emplace(std::make_pair(name, labels), value).second, "a sample is there twice");
  }

  // To the closing quote; UTF-8 is checked by counting continuation bytes.
  std::string Value() {
    std::string value;
    int continuation = 0;
    while (!rest_.empty()) {
      const char c = rest_[0];
      rest_.remove_prefix(1);
      const auto byte = static_cast<unsigned char>(c);
      if (continuation > 0) {
        Check(byte >> 6 == 2, "UTF-8");
        --continuation;
      } else if (byte >= 0x80) {
        continuation = byte >= 0xf0 ? 3 : byte >= 0xe0 ? 2 : 1;
        Check(byte >= 0xc2 && byte <= 0xf4, "UTF-8");
      }
      if (c == '"') return value;
      Check(c != '\n', "a line ends inside a label");
      if (c != '\\') {
        value.push_back(c);
        continue;
      }
      const char escaped = rest_.empty() ? 'x' : rest_[0];
      Check(escaped == '\\' || escaped == '"' || escaped == 'n', "an escape that is none");
      value.push_back(escaped == 'n' ? '\n' : escaped);
      if (!rest_.empty()) rest_.remove_prefix(1);
    }
    Check(false, "a label is not ended");
    return value;
  }

  const bool open_;
  const std::string page_;
  std::string_view rest_;
  std::string family_, type_;
  bool ended_ = false;
  bool failed_ = false;
};

std::string PageOf(const seer::testing::MetricsSample& s, MetricsFormat format) {
  std::string page;
  AppendMetrics(s.topology, s.snapshot, s.totals, format, &page);
  return page;
}

TEST(OpenMetrics, TheStrictReaderIsStrict) {
  const auto read = [](const char* page, bool open) { StrictReader(page, open); };
  const std::string family = "# HELP a x\n# TYPE a gauge\n";
  read((family + "a{b=\"c\"} 1\n").c_str(), false);
  for (const char* const line : {"a 1", "b 1\n", "a  1\n", "a{b=\"c} 1\n", "a{b=\"c\"d\"} 1\n",
                                 "a{b=\"\xff\"} 1\n", "a 1\na 1\n", "a{b=\"\\x\"} 1\n", "a nan\n",
                                 "a{b=\"c\",b=\"d\"} 1\n", "# TYPE a gauge\n# EOF\n"}) {
    SCOPED_TRACE(line);
    ::testing::TestPartResultArray results;
    {
      const ::testing::ScopedFakeTestPartResultReporter caught(
          ::testing::ScopedFakeTestPartResultReporter::INTERCEPT_ONLY_CURRENT_THREAD, &results);
      read((family + line).c_str(), false);
    }
    EXPECT_GT(results.size(), 0) << "it takes that";
  }
}

TEST(OpenMetrics, AQueueAndAnEdge) {
  seer::testing::MetricsSample s;
  const NodeId node = *s.topology.AddNode("node-7");
  const ServiceId cart = *s.topology.AddService("cart");
  const ServiceId db = *s.topology.AddService("db");
  const InstanceId id = *s.topology.AddInstance(cart, "cart-0", node);
  (void)*s.topology.AddEdge(cart, db);
  s.snapshot.instances.Reset(1);
  s.snapshot.edges.Reset(1);
  ChannelSample queued;
  queued.depth = 12;
  queued.timed = queued.counted = true;
  queued.departures = 4;
  queued.mean_depth_milli = 11'500;
  queued.mean_wait_us = 2500;
  s.snapshot.instances.Set(id, Channel::kQueued, queued);
  s.snapshot.edges.Set(EdgeId(0), {5, 0, 9});
  s.totals.channels.push_back({id, Channel::kQueued, 48'213, 48'201});
  s.totals.edges.push_back({EdgeId(0), 77});
  const std::string page = PageOf(s, MetricsFormat::kPrometheus);
  const char labels[] = "{service=\"cart\",instance=\"cart-0\",queue=\"queued\"} ";
  for (const auto& [name, value] :
       std::map<std::string, std::string>{{"seer_queue_depth", "12\n"},
                                          {"seer_queue_peak_depth", "12\n"},
                                          {"seer_queue_mean_depth", "11.5\n"},
                                          {"seer_queue_mean_wait_seconds", "0.0025\n"},
                                          {"seer_queue_enqueued_total", "48213\n"},
                                          {"seer_queue_dequeued_total", "48201\n"}}) {
    EXPECT_THAT(page, HasSubstr("\n" + name + labels + value)) << page;
  }
  EXPECT_THAT(page, HasSubstr("# TYPE seer_queue_enqueued_total counter\n"));
  EXPECT_THAT(page, HasSubstr("\nseer_edge_outstanding{caller=\"cart\",callee=\"db\"} 5\n"));
  EXPECT_THAT(page, HasSubstr("\nseer_edge_calls_total{caller=\"cart\",callee=\"db\"} 77\n"));
  EXPECT_THAT(page, Not(HasSubstr("running"))) << "what is missing has no sample";
  EXPECT_THAT(page, Not(HasSubstr("seer_queue_depth_width{"))) << "the depth is exact";
}

TEST(OpenMetrics, BothFormatsAreWellFormedAndSayTheSame) {
  const seer::testing::MetricsSample s = seer::testing::SampleMetrics();
  const StrictReader prometheus(PageOf(s, MetricsFormat::kPrometheus), false);
  const StrictReader open(PageOf(s, MetricsFormat::kOpenMetrics), true);
  EXPECT_EQ(prometheus.samples, open.samples);
  EXPECT_GT(open.samples.size(), 300u);
  const StrictReader::Labels cart = {
      {"service", "back\\slash"}, {"instance", "back\\slash-0"}, {"queue", "queued"}};
  EXPECT_EQ(open.samples.at({"seer_queue_depth", cart}), 2);
  EXPECT_EQ(open.samples.at({"seer_collector_late_seconds", {}}), 0.001234567);
  EXPECT_EQ(open.types.at("seer_queue_enqueued"), "counter");
  EXPECT_EQ(prometheus.types.at("seer_queue_enqueued_total"), "counter");
}

TEST(OpenMetrics, NamesOfAnyBytesStayDifferentAndWellFormed) {
  std::mt19937 random(5);
  seer::testing::MetricsSample s;
  const NodeId node = *s.topology.AddNode("node-7");
  // Mostly of the bytes that matter.
  const std::string alphabet =
      "\xef\xbf\xbd\xff\x80\xc3\xa4\xe2\x82\xac\xf0\x9f\xed\xa0\xf4\x90\xc0\\\"nu fe" +
      std::string("{}=,");
  while (s.topology.services().size() < 3000) {
    std::string name;
    for (std::uint32_t i = 0; i <= random() % 6; ++i) name += alphabet[random() % alphabet.size()];
    const auto service = s.topology.AddService(name);  // refuses what is there already
    if (service.ok()) (void)*s.topology.AddInstance(*service, name, node);
  }
  s.snapshot.instances.Reset(s.topology.instances().size());
  for (std::uint32_t i = 0; i < s.topology.instances().size(); ++i) {
    s.snapshot.instances.Set(InstanceId(i), Channel::kQueued, ChannelSample());
  }
  for (const bool open : {false, true}) {
    const StrictReader reader(
        PageOf(s, open ? MetricsFormat::kOpenMetrics : MetricsFormat::kPrometheus), open);
    std::set<std::string> services;
    for (const auto& [key, value] : reader.samples) {
      const auto service = key.second.find("service");
      if (key.first == "seer_queue_depth" && service != key.second.end()) {
        services.insert(service->second);
      }
    }
    EXPECT_EQ(services.size(), 3000u);
  }
}

TEST(OpenMetrics, ValuesOfAnotherNumberingDoNoHarm) {
  seer::testing::MetricsSample s = seer::testing::SampleMetrics();
  s.topology = Topology();
  const StrictReader reader(PageOf(s, MetricsFormat::kOpenMetrics), true);
  for (const auto& [key, value] : reader.samples) EXPECT_TRUE(key.second.empty()) << key.first;
}

TEST(OpenMetrics, TheFormatFollowsTheAcceptHeader) {
  EXPECT_EQ(PreferredFormat(""), MetricsFormat::kPrometheus);
  EXPECT_EQ(PreferredFormat("*/*"), MetricsFormat::kPrometheus);
  EXPECT_EQ(
      PreferredFormat("application/openmetrics-text;version=1.0.0,text/plain;q=0.5,*/*;q=0.1"),
      MetricsFormat::kOpenMetrics);
  EXPECT_THAT(std::string(ContentType(MetricsFormat::kPrometheus)), HasSubstr("version=0.0.4"));
  EXPECT_THAT(std::string(ContentType(MetricsFormat::kOpenMetrics)), HasSubstr("version=1.0.0"));
}

TEST(OpenMetrics, AppendsAndAllocatesNothingTheSecondTime) {
  const seer::testing::MetricsSample s = seer::testing::SampleMetrics();
  const std::string once = PageOf(s, MetricsFormat::kOpenMetrics);
  std::string page = "before\n";
  AppendMetrics(s.topology, s.snapshot, s.totals, MetricsFormat::kOpenMetrics, &page);
  EXPECT_EQ(page, "before\n" + once);
  page.clear();
  const seer::testing::Allocations allocations;
  AppendMetrics(s.topology, s.snapshot, s.totals, MetricsFormat::kOpenMetrics, &page);
  EXPECT_EQ(allocations.count(), 0u);
}

}  // namespace
}  // namespace seer
