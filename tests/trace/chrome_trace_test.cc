// Chromium's Trace Event Format, as far as the encoder uses it.
#include "seer/trace/chrome_trace.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <map>
#include <set>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "tests/support/json.h"
#include "tests/trace/trace_samples.h"

namespace seer {
namespace {

using testing::Json;
using testing::kStartNs;
using testing::MakeTraceSample;
using testing::TraceSample;

std::uint64_t Ns(const Json& microseconds) {
  EXPECT_TRUE(microseconds.IsNumber());
  const std::size_t point = microseconds.text.find('.');
  EXPECT_EQ(point + 4, microseconds.text.size()) << microseconds.text;
  return std::stoull(microseconds.text.substr(0, point)) * 1000 +
         std::stoull(microseconds.text.substr(point + 1));
}

struct Slice {
  std::uint64_t begin, end;
  std::string name;
};
using ThreadKey = std::pair<std::string, std::string>;

// Checks types, that slices of a thread nest, and that every thread and process that is used has a
// name. Returns the slices.
std::map<ThreadKey, std::vector<Slice>> CheckAndCollect(const Json& json) {
  std::map<ThreadKey, std::vector<Slice>> slices;
  EXPECT_EQ(json["displayTimeUnit"].text, "ns");
  EXPECT_TRUE(json["otherData"]["start_unix_ns"].IsString());
  EXPECT_TRUE(json["traceEvents"].IsArray());
  std::set<std::string> named_processes;
  std::set<ThreadKey> named_threads;
  for (const Json& event : json["traceEvents"].items) {
    const std::string& phase = event["ph"].text;
    EXPECT_TRUE(event["name"].IsString() && event["cat"].IsString());
    EXPECT_TRUE(event["pid"].IsInteger() && event["tid"].IsInteger());
    const ThreadKey thread = {event["pid"].text, event["tid"].text};
    if (phase == "M") {
      EXPECT_TRUE(event["args"]["name"].IsString());
      if (event["name"].text == "process_name") named_processes.insert(thread.first);
      if (event["name"].text == "thread_name") named_threads.insert(thread);
    } else if (phase == "X") {
      const std::uint64_t begin = Ns(event["ts"]);
      slices[thread].push_back({begin, begin + Ns(event["dur"]), event["name"].text});
    } else {
      EXPECT_TRUE(phase == "s" || phase == "f") << phase;
      EXPECT_TRUE(event["id"].IsString());
      Ns(event["ts"]);
      EXPECT_EQ(event["bp"].text, phase == "f" ? "e" : "");
    }
  }
  for (const auto& [thread, of_thread] : slices) {
    EXPECT_EQ(named_processes.count(thread.first), 1u);
    EXPECT_EQ(named_threads.count(thread), 1u);
    std::vector<Slice> open;
    for (const Slice& slice : of_thread) {  // in the order of the file
      while (!open.empty() && open.back().end <= slice.begin) open.pop_back();
      if (!open.empty()) {
        EXPECT_LE(slice.end, open.back().end) << slice.name << " in " << open.back().name;
      }
      open.push_back(slice);
    }
  }
  return slices;
}

TEST(ChromeTrace, SpansOfAllKindsNestInTheirLanes) {
  const TraceSample sample = MakeTraceSample();
  for (const Topology& topology : {sample.topology, Topology(7)}) {
    const SpanBatch batches[] = {SpansOfAllKinds(sample), SpansOfAllKinds(sample)};
    const auto json = Json::Parse(EncodeChromeTrace(batches, topology));
    ASSERT_TRUE(json);
    EXPECT_FALSE(CheckAndCollect(*json).empty());
  }
}

TEST(ChromeTrace, ShowsWaitingAndWorkingWithinARequest) {
  const TraceSample sample = MakeTraceSample();
  SpanBatch batch = sample.batch;
  batch.spans = {ServerSpan(sample), ClientSpan(sample)};
  const auto json = Json::Parse(EncodeChromeTrace({&batch, 1}, sample.topology));
  ASSERT_TRUE(json);
  EXPECT_EQ((*json)["otherData"]["start_unix_ns"].text, std::to_string(kStartNs));
  std::vector<std::tuple<std::string, std::uint64_t, std::uint64_t>> seen;
  for (const auto& [thread, slices] : CheckAndCollect(*json)) {
    for (const Slice& s : slices) seen.emplace_back(s.name, s.begin, s.end);
  }
  const decltype(seen) expected = {
      {"ReadPosts", 0, 901'234},   {"queued", 0, 1'500},
      {"decode", 1'500, 2'001},    {"handler", 2'001, 900'000},
      {"reply", 900'000, 901'234}, {testing::kHostileNameAsUtf8, 3'000, 800'000},
      {"send", 3'000, 3'700},      {"receive", 3'700, 800'000}};
  EXPECT_EQ(seen, expected);
}

TEST(ChromeTrace, RequestsThatWereOpenTogetherHaveLanesOfTheirOwn) {
  const TraceSample sample = MakeTraceSample();
  SpanBatch batch = sample.batch;
  const auto add = [&](std::int64_t begin, std::int64_t end) {
    Span span;
    span.SetIds({1, 2}, batch.spans.size() + 1, 0);
    span.SetStamps(SpanSide::kServer,
                   {kStartNs + begin, std::nullopt, std::nullopt, std::nullopt, kStartNs + end});
    batch.spans.push_back(span);
  };
  add(0, 100);
  add(50, 150);
  add(100, 200);  // the first is over
  add(120, 130);
  add(300, 300);  // of no length, twice
  add(300, 300);
  const auto json = Json::Parse(EncodeChromeTrace({&batch, 1}, sample.topology));
  ASSERT_TRUE(json);
  std::map<std::string, std::size_t> requests;
  for (const auto& [thread, slices] : CheckAndCollect(*json)) {
    for (const Slice& s : slices) requests[thread.second] += s.name == "unknown" ? 1 : 0;
  }
  EXPECT_EQ(requests, (std::map<std::string, std::size_t>{{"1", 3}, {"2", 2}, {"3", 1}}));
}

TEST(ChromeTrace, AnArrowLeadsFromACallToWhereItWasServed) {
  const TraceSample sample = MakeTraceSample();
  SpanBatch batch = sample.batch;
  Span call = ClientSpan(sample, 0xb0);  // the parent of the server span
  Span served = ServerSpan(sample);
  Span from_elsewhere = ServerSpan(sample, 0xa2);
  from_elsewhere.SetIds({1, 2}, 0xa2, 0xdead);
  batch.spans = {call, served, from_elsewhere};
  const auto json = Json::Parse(EncodeChromeTrace({&batch, 1}, sample.topology));
  ASSERT_TRUE(json);
  std::map<std::string, std::vector<std::string>> arrows;
  for (const Json& event : (*json)["traceEvents"].items) {
    if (event.Has("id")) arrows[event["id"].text].push_back(event["ph"].text);
  }
  EXPECT_EQ(arrows.size(), 1u);
  auto ends = arrows["00000000000000b0"];
  EXPECT_EQ(std::set<std::string>(ends.begin(), ends.end()), (std::set<std::string>{"s", "f"}));
}

TEST(ChromeTrace, LeavesOutWhatHasNoTime) {
  const TraceSample sample = MakeTraceSample();
  SpanBatch batch = sample.batch;
  batch.spans.resize(2);
  const auto json = Json::Parse(EncodeChromeTrace({&batch, 1}, sample.topology));
  ASSERT_TRUE(json);
  EXPECT_TRUE((*json)["traceEvents"].items.empty());
  EXPECT_TRUE(Json::Parse(EncodeChromeTrace({}, sample.topology)));
}

TEST(ChromeTrace, SurvivesTheEndsOfTime) {
  const TraceSample sample = MakeTraceSample();
  SpanBatch batch = sample.batch;
  for (std::int64_t start :
       {std::numeric_limits<std::int64_t>::min(), std::numeric_limits<std::int64_t>::max() - 1}) {
    Span span;
    span.SetStamps(SpanSide::kClient,
                   {start, start + 1, std::nullopt, std::numeric_limits<std::int64_t>::max()});
    batch.spans.push_back(span);
  }
  EXPECT_TRUE(Json::Parse(EncodeChromeTrace({&batch, 1}, sample.topology)));
}

TEST(ChromeTrace, HostileSpansAreStillJson) {
  const TraceSample sample = MakeTraceSample();
  const SpanBatch batch = testing::HostileSpans(sample);
  EXPECT_TRUE(Json::Parse(EncodeChromeTrace({&batch, 1}, sample.topology)));
}

}  // namespace
}  // namespace seer
