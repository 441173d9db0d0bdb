// OTLP as far as it can be judged without libprotobuf, and OTLP/JSON by its schema: the proto3 JSON
// mapping with OTLP's exceptions. (otlp_proto_test.cc compares with libprotobuf.)
#include "seer/trace/otlp.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <initializer_list>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "tests/support/allocations.h"
#include "tests/support/json.h"
#include "tests/trace/trace_samples.h"

namespace seer {
namespace {

using testing::Json;
using testing::MakeTraceSample;
using testing::TraceSample;

bool IsHex(const Json& json, std::size_t digits) {
  return json.IsString() && json.text.size() == digits &&
         json.text.find_first_not_of("0123456789abcdef") == json.text.npos;
}
bool IsUint64(const Json& json) {
  return json.IsString() && !json.text.empty() && json.text.size() <= 20 &&
         json.text.find_first_not_of("0123456789") == json.text.npos;
}

void ExpectKeys(const Json& json, std::initializer_list<std::string_view> allowed) {
  ASSERT_TRUE(json.IsObject());
  for (const auto& [key, value] : json.members) {
    EXPECT_NE(std::find(allowed.begin(), allowed.end(), key), allowed.end()) << key;
  }
}

// Returns them as text by key.
std::map<std::string, std::string> CheckAttributes(const Json& attributes) {
  std::map<std::string, std::string> texts;
  EXPECT_TRUE(attributes.IsArray());
  for (const Json& attribute : attributes.items) {
    ExpectKeys(attribute, {"key", "value"});
    EXPECT_TRUE(attribute["key"].IsString());
    const Json& value = attribute["value"];
    EXPECT_EQ(value.members.size(), 1u);  // a oneof
    EXPECT_TRUE(value["stringValue"].IsString() || IsUint64(value["intValue"]));
    const std::string& text =
        value.Has("stringValue") ? value["stringValue"].text : value["intValue"].text;
    EXPECT_TRUE(texts.emplace(attribute["key"].text, text).second);
  }
  return texts;
}

void CheckSpan(const Json& span) {
  ExpectKeys(span, {"traceId", "spanId", "parentSpanId", "name", "kind", "startTimeUnixNano",
                    "endTimeUnixNano", "attributes", "events", "status"});
  EXPECT_TRUE(IsHex(span["traceId"], 32));
  EXPECT_TRUE(IsHex(span["spanId"], 16));
  if (span.Has("parentSpanId")) {
    EXPECT_TRUE(IsHex(span["parentSpanId"], 16));
  }
  EXPECT_TRUE(span["name"].IsString() && !span["name"].text.empty());
  EXPECT_TRUE(span["kind"].text == "2" || span["kind"].text == "3");
  EXPECT_TRUE(span["kind"].IsInteger());
  ASSERT_TRUE(IsUint64(span["startTimeUnixNano"]) && IsUint64(span["endTimeUnixNano"]));
  EXPECT_LE(std::stoull(span["startTimeUnixNano"].text), std::stoull(span["endTimeUnixNano"].text));
  CheckAttributes(span["attributes"]);
  ASSERT_TRUE(span["events"].IsArray());
  for (const Json& event : span["events"].items) {
    ExpectKeys(event, {"timeUnixNano", "name"});
    EXPECT_TRUE(IsUint64(event["timeUnixNano"]));
    EXPECT_TRUE(event["name"].IsString());
  }
  if (span.Has("status")) {
    ExpectKeys(span["status"], {"message", "code"});
    EXPECT_TRUE(span["status"]["code"].IsInteger());
    EXPECT_EQ(span["status"]["code"].text, "2");
  }
}

const Json& ScopeSpansOf(const Json& json) {
  return json["resourceSpans"][std::size_t{0}]["scopeSpans"][std::size_t{0}];
}

TEST(OtlpJson, FollowsTheSchemaForSpansOfAllKinds) {
  const TraceSample sample = MakeTraceSample();
  for (const Topology& topology : {sample.topology, Topology(7)}) {
    const SpanBatch batch = SpansOfAllKinds(sample);
    const auto json = Json::Parse(EncodeOtlpJson(batch, topology));
    ASSERT_TRUE(json);
    ExpectKeys(*json, {"resourceSpans"});
    const Json& resource_spans = (*json)["resourceSpans"][std::size_t{0}];
    ExpectKeys(resource_spans, {"resource", "scopeSpans"});
    CheckAttributes(resource_spans["resource"]["attributes"]);
    const Json& spans = ScopeSpansOf(*json)["spans"];
    ASSERT_EQ(spans.items.size(), batch.spans.size());
    for (const Json& span : spans.items) CheckSpan(span);
  }
}

TEST(OtlpJson, SaysWhatIsKnown) {
  const TraceSample sample = MakeTraceSample();
  SpanBatch batch = sample.batch;
  batch.dropped = 3;
  batch.spans = {ServerSpan(sample), ClientSpan(sample)};
  const auto json = Json::Parse(EncodeOtlpJson(batch, sample.topology));
  ASSERT_TRUE(json);
  const auto resource =
      CheckAttributes((*json)["resourceSpans"][std::size_t{0}]["resource"]["attributes"]);
  EXPECT_EQ(resource.at("service.name"), "front");
  EXPECT_EQ(resource.at("service.instance.id"), "front-0");
  EXPECT_EQ(resource.at("host.name"), "node-7");
  const Json& scope = ScopeSpansOf(*json)["scope"];
  EXPECT_EQ(scope["name"].text, "seer");
  EXPECT_EQ(CheckAttributes(scope["attributes"]).at("seer.dropped_spans"), "3");

  const Json& server = ScopeSpansOf(*json)["spans"][std::size_t{0}];
  EXPECT_EQ(server["traceId"].text, "0102030405060708090a0b0c0d0e0f10");
  EXPECT_EQ(server["spanId"].text, "00000000000000a1");
  EXPECT_EQ(server["parentSpanId"].text, "00000000000000b0");
  EXPECT_EQ(server["name"].text, "ReadPosts");
  EXPECT_EQ(server["startTimeUnixNano"].text, "1700000000123456789");
  EXPECT_EQ(server["endTimeUnixNano"].text, "1700000000124358023");
  EXPECT_TRUE(server["attributes"].items.empty());  // all went well, and came from outside
  EXPECT_FALSE(server.Has("status"));
  ASSERT_EQ(server["events"].items.size(), 3u);
  EXPECT_EQ(server["events"][std::size_t{0}]["name"].text, "seer.dequeued");
  EXPECT_EQ(server["events"][std::size_t{0}]["timeUnixNano"].text, "1700000000123458289");

  const Json& client = ScopeSpansOf(*json)["spans"][std::size_t{1}];
  const auto attributes = CheckAttributes(client["attributes"]);
  EXPECT_EQ(client["name"].text, testing::kHostileNameAsUtf8);
  EXPECT_EQ(attributes.at("peer.service"), testing::kHostileNameAsUtf8);
  EXPECT_EQ(attributes.at("seer.outcome"), "timed-out");
  EXPECT_EQ(client["status"]["message"].text, "timed-out");
  ASSERT_EQ(client["events"].items.size(), 1u);  // sent; it starts and ends with the others
}

// The five stamps come back from start, end, events, and two attributes where these are not the
// stamps that one expects.
TEST(OtlpJson, KeepsEveryStamp) {
  const TraceSample sample = MakeTraceSample();
  const SpanBatch batch = SpansOfAllKinds(sample);
  const auto json = Json::Parse(EncodeOtlpJson(batch, sample.topology));
  ASSERT_TRUE(json);
  const std::vector<std::string> server = {"seer.received", "seer.dequeued", "seer.handler_start",
                                           "seer.handler_end", "seer.reply_sent"};
  const std::vector<std::string> client = {"seer.call_start", "seer.request_sent",
                                           "seer.first_byte", "seer.call_end"};
  for (std::size_t n = 0; n < batch.spans.size(); ++n) {
    SCOPED_TRACE(n);
    const Json& span = ScopeSpansOf(*json)["spans"][n];
    const auto& names = span["kind"].text == "2" ? server : client;
    const auto attributes = CheckAttributes(span["attributes"]);
    const auto index_of = [&](const std::string& name) {
      return static_cast<std::size_t>(std::find(names.begin(), names.end(), name) - names.begin());
    };
    Span::Stamps stamps;
    if (span["startTimeUnixNano"].text != "0") {
      const auto first = attributes.find("seer.first_stamp");
      const auto last = attributes.find("seer.last_stamp");
      stamps[first != attributes.end() ? index_of(first->second) : 0] =
          std::stoll(span["startTimeUnixNano"].text);
      stamps[last != attributes.end() ? index_of(last->second) : names.size() - 1] =
          std::stoll(span["endTimeUnixNano"].text);
    }
    for (const Json& event : span["events"].items) {
      const std::size_t i = index_of(event["name"].text);
      ASSERT_LT(i, names.size());
      stamps[i] = std::stoll(event["timeUnixNano"].text);
    }
    for (std::size_t i = 0; i < Span::kStamps; ++i) EXPECT_EQ(stamps[i], batch.spans[n].stamp(i));
  }
}

TEST(Otlp, AnEncoderFollowsTheTopology) {
  TraceSample sample = MakeTraceSample();
  SpanBatch batch = sample.batch;
  batch.spans = {ServerSpan(sample), ClientSpan(sample)};
  OtlpEncoder encoder;
  const auto encode = [&](const Topology& topology) {
    std::string bytes;
    encoder.Append(batch, topology, &bytes);
    EXPECT_EQ(bytes, EncodeOtlp(batch, topology));  // as one that has seen nothing else
    return bytes;
  };
  const std::string before = encode(sample.topology);
  EXPECT_EQ(encode(sample.topology), before);
  ASSERT_TRUE(sample.topology.RenameService(*sample.topology.FindService("front"), "facade").ok());
  ASSERT_TRUE(
      sample.topology.RenameService(*sample.topology.FindService(testing::kHostileName), "b").ok());
  const std::string renamed = encode(sample.topology);
  EXPECT_NE(renamed.find("facade"), renamed.npos);
  const std::string elsewhere = encode(Topology(7));
  EXPECT_NE(elsewhere.find("unknown_service"), elsewhere.npos);
  EXPECT_NE(elsewhere.find("method-0"), elsewhere.npos);
  encode(sample.topology);
}

TEST(Otlp, AWarmEncoderAllocatesAHandfulOfTimesPerBatch) {
  const TraceSample sample = MakeTraceSample();
  SpanBatch batch = SpansOfAllKinds(sample);
  OtlpEncoder encoder;
  std::string bytes;
  encoder.Append(batch, sample.topology, &bytes);
  const auto count = [&] {
    bytes.clear();
    testing::Allocations allocations;
    encoder.Append(batch, sample.topology, &bytes);
    return allocations.count();
  };
  const std::size_t for_many = count();
  batch.spans.resize(10);
  EXPECT_EQ(count(), for_many);  // for the batch, not for its spans
}

TEST(Otlp, HostileSpansStayWithinBounds) {
  const TraceSample sample = MakeTraceSample();
  const SpanBatch batch = testing::HostileSpans(sample);
  const auto json = Json::Parse(EncodeOtlpJson(batch, sample.topology));
  ASSERT_TRUE(json);
  EXPECT_EQ(ScopeSpansOf(*json)["spans"].items.size(), batch.spans.size());
  EXPECT_GT(EncodeOtlp(batch, sample.topology).size(), batch.spans.size() * 64);
}

}  // namespace
}  // namespace seer
