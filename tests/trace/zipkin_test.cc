// Zipkin v2 JSON by openzipkin's zipkin2-api.yaml.
#include "seer/trace/zipkin.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>

#include "tests/support/json.h"
#include "tests/trace/trace_samples.h"

namespace seer {
namespace {

using testing::Json;
using testing::MakeTraceSample;
using testing::TraceSample;

void ExpectKeys(const Json& json, std::initializer_list<std::string_view> allowed) {
  ASSERT_TRUE(json.IsObject());
  for (const auto& [key, value] : json.members) {
    EXPECT_NE(std::find(allowed.begin(), allowed.end(), key), allowed.end()) << key;
  }
}
bool IsHex(const Json& json, std::size_t digits) {
  return json.IsString() && json.text.size() == digits &&
         json.text.find_first_not_of("0123456789abcdef") == json.text.npos;
}
bool IsPositive(const Json& json) { return json.IsInteger() && std::stoll(json.text) >= 1; }

void CheckSpan(const Json& span) {
  ExpectKeys(span, {"traceId", "id", "parentId", "name", "kind", "timestamp", "duration",
                    "localEndpoint", "remoteEndpoint", "annotations", "tags"});
  EXPECT_TRUE(IsHex(span["traceId"], 32));
  EXPECT_TRUE(IsHex(span["id"], 16));
  if (span.Has("parentId")) {
    EXPECT_TRUE(IsHex(span["parentId"], 16));
  }
  EXPECT_TRUE(span["name"].IsString());
  EXPECT_TRUE(span["kind"].text == "SERVER" || span["kind"].text == "CLIENT");
  EXPECT_EQ(span.Has("timestamp"), span.Has("duration"));
  if (span.Has("timestamp")) {
    EXPECT_TRUE(IsPositive(span["timestamp"]) && IsPositive(span["duration"]));
  }
  for (const char* endpoint : {"localEndpoint", "remoteEndpoint"}) {
    if (!span.Has(endpoint)) continue;
    ExpectKeys(span[endpoint], {"serviceName"});
    EXPECT_TRUE(span[endpoint]["serviceName"].IsString());
  }
  EXPECT_TRUE(span.Has("localEndpoint"));
  ASSERT_TRUE(span["annotations"].IsArray());
  for (const Json& annotation : span["annotations"].items) {
    ExpectKeys(annotation, {"timestamp", "value"});
    EXPECT_TRUE(IsPositive(annotation["timestamp"]));
    EXPECT_TRUE(annotation["value"].IsString());
  }
  ASSERT_TRUE(span["tags"].IsObject());
  for (const auto& [key, value] : span["tags"].members) EXPECT_TRUE(value.IsString()) << key;
}

TEST(Zipkin, FollowsTheSchemaForSpansOfAllKinds) {
  const TraceSample sample = MakeTraceSample();
  for (const Topology& topology : {sample.topology, Topology(7)}) {
    const SpanBatch batch = SpansOfAllKinds(sample);
    const auto json = Json::Parse(EncodeZipkin(batch, topology));
    ASSERT_TRUE(json && json->IsArray());
    ASSERT_EQ(json->items.size(), batch.spans.size());
    for (const Json& span : json->items) CheckSpan(span);
  }
  SpanBatch empty = sample.batch;
  EXPECT_EQ(EncodeZipkin(empty, sample.topology), "[]");
}

TEST(Zipkin, CountsMicrosecondsAndKeepsNanosecondsInTags) {
  const TraceSample sample = MakeTraceSample();
  SpanBatch batch = sample.batch;
  batch.spans = {ServerSpan(sample), ClientSpan(sample)};
  const auto json = Json::Parse(EncodeZipkin(batch, sample.topology));
  ASSERT_TRUE(json);
  const Json& server = (*json)[std::size_t{0}];
  EXPECT_EQ(server["timestamp"].text, "1700000000123456");
  EXPECT_EQ(server["duration"].text, "901");
  EXPECT_EQ(server["localEndpoint"]["serviceName"].text, "front");
  EXPECT_FALSE(server.Has("remoteEndpoint"));
  EXPECT_EQ(server["tags"]["seer.received"].text, "1700000000123456789");
  EXPECT_EQ(server["tags"]["seer.dequeued"].text, "1700000000123458289");
  EXPECT_FALSE(server["tags"].Has("error"));
  EXPECT_FALSE(server["tags"].Has("seer.outcome"));
  ASSERT_EQ(server["annotations"].items.size(), 5u);
  EXPECT_EQ(server["annotations"][std::size_t{1}]["timestamp"].text, "1700000000123458");
  const Json& client = (*json)[std::size_t{1}];
  EXPECT_EQ(client["remoteEndpoint"]["serviceName"].text, testing::kHostileNameAsUtf8);
  EXPECT_EQ(client["tags"]["error"].text, "timed-out");
  EXPECT_EQ(client["parentId"].text, "00000000000000a1");
}

TEST(Zipkin, DurationsAreAtLeastOneMicrosecondAndUnknownTimesAbsent) {
  const TraceSample sample = MakeTraceSample();
  Span quick, timeless;
  quick.SetStamps(SpanSide::kServer, {testing::kStartNs, testing::kStartNs + 999});
  timeless.SetStamps(SpanSide::kServer, {});
  SpanBatch batch = sample.batch;
  batch.spans = {quick, timeless};
  const auto json = Json::Parse(EncodeZipkin(batch, sample.topology));
  ASSERT_TRUE(json);
  EXPECT_EQ((*json)[std::size_t{0}]["duration"].text, "1");
  EXPECT_FALSE((*json)[std::size_t{1}].Has("timestamp"));
}

TEST(Zipkin, HostileSpansFollowTheSchemaToo) {
  const TraceSample sample = MakeTraceSample();
  const SpanBatch batch = testing::HostileSpans(sample);
  const auto json = Json::Parse(EncodeZipkin(batch, sample.topology));
  ASSERT_TRUE(json && json->IsArray());
  ASSERT_EQ(json->items.size(), batch.spans.size());
  for (const Json& span : json->items) CheckSpan(span);
}

}  // namespace
}  // namespace seer
