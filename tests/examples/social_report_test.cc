// examples/social_network: the report of a run is one whole page that needs nothing else, and a
// recording of a run is something to learn from.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "examples/predict_quickstart/record.h"
#include "examples/social_network/judge.h"
#include "examples/social_network/learning.h"
#include "examples/social_network/options.h"
#include "examples/social_network/report.h"
#include "seer/dataset/reader.h"
#include "seer/predict/tree_model.h"
#include "tests/examples/process.h"

namespace seer::testing {
namespace {

using ::social::FaultKind;
using ::social::News;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr std::int64_t kMs = 1'000'000;

std::string Text(const std::string& path) {
  std::ifstream file(path);
  return std::string((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
}

std::size_t Count(const std::string& text, const std::string& what) {
  std::size_t count = 0;
  for (std::size_t at = 0; (at = text.find(what, at)) != std::string::npos; at += what.size()) {
    ++count;
  }
  return count;
}

// ---- The report

social::Record PartOf(const std::string& title, std::int64_t start_ms) {
  social::Record record;
  record.title = title;
  record.start_ns = start_ms * kMs;
  record.end_ns = (start_ms + 40'000) * kMs;
  for (int second = 1; second <= 40; ++second) {
    social::LatencySecond& of = record.seconds.emplace_back();
    of.end_ns = (start_ms + 1000 * second) * kMs;
    of.p50_ms = {2, 2, 5};
    of.p99_ms = {second == 22 ? 900.0 : 8.0, 9, 20};
    record.Take({"queues", of.end_ns, {"postgres=3,2,1", "post-storage-service=9,4,5"}});
  }
  social::Fault fault;
  fault.kind = FaultKind::kCpuQuota;
  fault.target = "post-storage-service";
  record.faults.push_back({fault, (start_ms + 20'000) * kMs, (start_ms + 23'000) * kMs});
  record.missed.push_back({0, (start_ms + 21'000) * kMs, (start_ms + 23'000) * kMs});
  const auto tell = [&](const char* kind, std::int64_t ms, std::vector<std::string> words) {
    record.Take(News{kind, (start_ms + ms) * kMs, std::move(words)});
  };
  tell("calls", 1'000,
       {"clients=web-service", "web-service=home-timeline-service",
        "home-timeline-service=post-storage-service", "post-storage-service=postgres",
        "postgres=post-storage-service"});  // a circle
  tell("alarm", 20'400, {"read-home-timeline", "post-storage-service", "0.7", "new"});
  tell("cause", 20'600, {"read-home-timeline", "post-storage-service", "cpu", "0.8", "x <&> y"});
  tell("action", 20'600, {"1", "post-storage-service", "cpu-limit", "0.025", "0.4", "cpu"});
  tell("outcome", 20'650, {"1", "post-storage-service", "applied", "0.025", "0.4", "<script>"});
  tell("alarm", 30'000, {"compose-post", "<b>&\"", "0.5", "new"});  // whatever a service is called
  tell(
      "trace", 22'000,
      {"1 900000 2 -1 web-service 0 900000 10 20 30 0 post-storage-service 100 800000 5 6 790000"});
  tell("trace", 24'000, {"not a trace"});
  return record;
}

std::string Report(const std::vector<social::Record>& records) {
  return social::ReportHtml(records, {"limits of the network: <none>"}, social::Options());
}

// Every element is closed, in the right order, and no letter stands where it would be read as one.
std::string WhatIsWrong(std::string_view html) {
  std::vector<std::string> open;
  for (std::size_t at = 0; (at = html.find('<', at)) != std::string_view::npos; ++at) {
    const std::size_t end = html.find('>', at);
    if (end == std::string_view::npos) return "a tag does not end";
    const std::string tag(html.substr(at + 1, end - at - 1));
    const std::string name = tag.substr(0, tag.find_first_of(" \n/", 1));
    if (Count(tag, "\"") % 2 != 0 || tag.find('<') != std::string::npos) return "in <" + tag + ">";
    if (tag[0] == '!' || name == "meta" || name == "link" || name == "br" || tag.back() == '/') {
      continue;
    }
    if (tag[0] != '/') {
      open.push_back(name);
    } else if (open.empty() || open.back() != tag.substr(1)) {
      return "<" + tag + "> closes " + (open.empty() ? "nothing" : open.back());
    } else {
      open.pop_back();
    }
  }
  return open.empty() ? "" : "<" + open.back() + "> is not closed";
}

TEST(SocialReport, IsOneWholePageThatNeedsNothingElse) {
  const std::string html = Report({PartOf("watch", 0), PartOf("act", 100'000)});
  EXPECT_EQ(WhatIsWrong(html), "");
  EXPECT_THAT(html, AllOf(HasSubstr("<!doctype html>"), HasSubstr("prefers-color-scheme: dark"),
                          HasSubstr("width=device-width")));
  for (const char* outside : {"<script", " src=", "http:", "https:", "@import", "url("}) {
    EXPECT_THAT(html, Not(HasSubstr(outside)));
  }
  EXPECT_THAT(html, Not(HasSubstr("nan"))) << "a number that is none";
  EXPECT_THAT(html, Not(HasSubstr("inf\"")));
}

TEST(SocialReport, ShowsEachPartWithItsFaultsAlarmsAndActions) {
  const std::string html = Report({PartOf("watch", 0), PartOf("act", 100'000)});
  // Of each part the latencies of three classes and the queues; leads, call graph, two traces.
  EXPECT_EQ(Count(html, "<svg "), 2u * 4 + 2 + 2);
  EXPECT_EQ(Count(html, "class=\"missed\""), 2u);
  EXPECT_EQ(Count(html, "class=\"alarm\""), 2u * 2);
  EXPECT_EQ(Count(html, "class=\"action\""), 2u);
  EXPECT_EQ(Count(html, "class=\"bar\""), 1u) << "both leads are 600 ms";
  EXPECT_EQ(Count(html, "<b>post-storage: cpu</b>"), 2u) << "right, and said so";
  EXPECT_THAT(html, HasSubstr("Of 2 violations, seer foresaw 2, half of them 600 ms ahead or more, "
                              "and named the service where the fault was for 2 of 2; false "
                              "alarms: 2."));
  for (const char* text : {"seer watches", "seer acts", "1 of 1", "600 ms", "cpu-limit, applied",
                           "initiated 2, blamed 2", "900 ms</text>"}) {
    EXPECT_THAT(html, HasSubstr(text));
  }
  EXPECT_THAT(html, Not(HasSubstr("<b>&\""))) << "a name is text";
}

TEST(SocialReport, PartsAreDrawnToTheSameScaleAndComparedInTheFirstSentence) {
  social::Record watched = PartOf("watch", 0), acted = PartOf("act", 100'000);
  watched.answered = acted.answered = 1000;
  watched.over_target = 40;
  acted.over_target = 10;
  acted.seconds[21].p99_ms[0] = 120;  // the slowest
  const std::string html = Report({watched, acted});
  EXPECT_EQ(Count(html, ">2000 ms</text>"), 2u) << "900 ms in one of them";
  EXPECT_THAT(html, HasSubstr("Faults made 40 of 1000 requests late; while seer acted, 10: 75 % "
                              "fewer. Of 2 violations"));
  acted.over_target = 50;
  EXPECT_THAT(Report({watched, acted}), HasSubstr("while seer acted, 50. Of 2"));
}

TEST(SocialReport, FiguresTellWhatEachRequestTookWhereItIsKept) {
  social::Record part = PartOf("watch", 0);
  EXPECT_THAT(social::FiguresJson({part}), Not(HasSubstr("each_us")));
  part.each_us = {1234.4f, -1.0f, 99.6f};
  EXPECT_THAT(social::FiguresJson({part}), HasSubstr("\"each_us\":[1234,-1,100]}"));
}

TEST(SocialReport, OfNothingIsWhole) {
  social::Record empty;
  empty.title = "none";
  EXPECT_EQ(WhatIsWrong(Report({empty})), "");
  EXPECT_THAT(social::FiguresJson({empty}), Not(HasSubstr("nan")));
}

TEST(SocialReport, IsShownByABrowserWithoutAComplaint) {
  const char* const browser = "/usr/bin/chromium";
  if (::access(browser, X_OK) != 0) GTEST_SKIP() << "chromium is not installed";
  const ScratchDirectory folder;
  const std::string page = folder.path() + "/report.html";
  std::ofstream(page) << Report({PartOf("watch", 0), PartOf("act", 100'000)});
  // As wide as a phone: the page must not be wider than that, what scrolls are the charts.
  std::ofstream(page, std::ios::app)
      << "<script>document.title = 'wide ' + document.documentElement.scrollWidth + ' charts ' + "
         "[...document.querySelectorAll('svg')].filter(s => s.getBoundingClientRect().height > "
         "30).length</script>";
  const std::string command = std::string(browser) +
                              " --headless --no-sandbox --disable-gpu --disable-dev-shm-usage "
                              "--user-data-dir=" +
                              folder.path() +
                              "/profile --window-size=390,800 --enable-logging=stderr --dump-dom "
                              "file://" +
                              page + " >" + folder.path() + "/dom 2>" + folder.path() + "/said";
  ASSERT_EQ(std::system(command.c_str()), 0) << Text(folder.path() + "/said");
  EXPECT_THAT(Text(folder.path() + "/said"), Not(HasSubstr("CONSOLE")));
  const std::string dom = Text(folder.path() + "/dom");
  EXPECT_THAT(dom, HasSubstr("charts 12"));
  const std::size_t at = dom.find("<title>wide ");
  ASSERT_NE(at, std::string::npos) << dom.substr(0, 2000);
  // Headless windows have a least width of their own.
  EXPECT_LE(std::atoi(dom.c_str() + at + 12), 500);
}

// ---- Learning

TEST(SocialLearning, AModelComesOfARecordingThatTheToolReadsToo) {
  const ScratchDirectory folder;
  const std::string recording = folder.path() + "/runs.seerdata", model = folder.path() + "/model";
  EXPECT_EQ(social::RunsIn(recording), 0u);
  const seer::LabelledRun run = Record(1, 9'000);
  social::Record truth;
  {
    social::Recording record(recording, "learn");
    ASSERT_TRUE(run.for_each_tick([&](const seer::ClusterTick& tick) {
                     record.Add(tick, run.topology);
                     return absl::OkStatus();
                   })
                    .ok());
  }
  EXPECT_THROW(social::Train(recording, model, 1), std::runtime_error)
      << "nobody said what is true";
  for (const seer::Violation& violation : run.violations) {
    social::Fault fault;
    fault.kind = FaultKind::kLock;
    if (violation.initiation == seer::Initiation::kService) {
      fault.target = run.topology.service(violation.culprit).name;
      truth.faults.push_back({fault, violation.start_ns - 500 * kMs, violation.end_ns});
    }
    truth.missed.push_back({0, violation.start_ns, violation.end_ns});
  }
  social::AddTruth(recording, 0, truth);
  EXPECT_EQ(social::RunsIn(recording), 1u);
  auto reader = seer::DatasetReader::Open(recording);
  ASSERT_TRUE(reader.ok());
  EXPECT_EQ(reader->manifest().runs[0].ticks, 9'000u);
  EXPECT_EQ(reader->Events(0)->size(), truth.faults.size() + truth.missed.size());

  EXPECT_THAT(social::Train(recording, model, 1), HasSubstr("are foreseen"));
  const auto learnt = seer::LoadTreeModel(model);
  ASSERT_TRUE(learnt.ok()) << learnt.status();
  EXPECT_GT(learnt->violations.size(), 0u);
  EXPECT_GT(learnt->initiators.size(), 0u) << "who it was is known, and learnt";
}

TEST(SocialLearning, TheRecordingThatShipsIsSmallAndTellsEnough) {
  std::error_code none;
  const auto bytes = std::filesystem::file_size(SEER_SOCIAL_RECORDING, none);
  ASSERT_FALSE(none) << SEER_SOCIAL_RECORDING;
  EXPECT_LT(bytes, 1'500'000u);
  const auto reader = seer::DatasetReader::Open(SEER_SOCIAL_RECORDING);
  ASSERT_TRUE(reader.ok()) << reader.status();
  std::size_t faults = 0, known = 0;
  std::map<std::string, int> culprits;
  for (std::uint32_t run = 0; run < reader->manifest().runs.size(); ++run) {
    const auto events = reader->Events(run);
    ASSERT_TRUE(events.ok()) << events.status();
    for (const seer::DatasetEvent& event : *events) {
      faults += event.kind == seer::DatasetEventKind::kFault ? 1 : 0;
      if (event.kind != seer::DatasetEventKind::kViolation || event.culprit.empty()) continue;
      ++known;
      ++culprits[event.culprit];
    }
  }
  EXPECT_GE(faults, 250u);
  EXPECT_GE(known, 350u) << "violations whose initiator is known";
  EXPECT_GE(culprits.size(), 10u);
  for (const char* each : {"postgres", "post-memcached", "timeline-redis", "post-storage-service",
                           "home-timeline-service", "user-timeline-service", "web-service",
                           "compose-post-service", "text-service"}) {
    EXPECT_GE(culprits[each], 3) << each;
  }
}

}  // namespace
}  // namespace seer::testing
